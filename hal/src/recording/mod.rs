//! Recordings: everything that was asked of a chip and everything that it answered, in one file.
//!
//! A [`Recorder`] stands around any [`Chip`](crate::Chip) and writes; a [`Tape`] reads;
//! [`Replay`](crate::replay::Replay) is a chip again. A recorder that [resumes](Recorder::resume)
//! first answers from the file what the chip has answered already, then goes on with the chip.
//!
//! # The file
//! It is only ever appended to. Numbers are little-endian; *varint* is a number in groups of seven
//! bits, low group first, top bit set on all but the last byte; *zigzag* is a varint of
//! `2n` for `n ≥ 0` and `−2n − 1` below.
//!
//! ```text
//!   head     magic "SPKREC\r\n", format u16, protocol u16, length u32, body, CRC-32 of all before
//!   record   length u32, kind u8, body, CRC-32 of length, kind and body
//!   record   …
//! ```
//!
//! The CRC is that of ISO-HDLC (of the ASCII bytes `123456789` it is 0xCBF43926); a page of zeros, as
//! a power loss may leave it, is no record. A file that was cut off anywhere is whole up to its last
//! whole record. `protocol` is that of the wire, whose packing of spikes, samples and capabilities
//! is used here.
//!
//! The body of the head is the length (varint) and bytes of the serialised
//! [`Capabilities`](crate::Capabilities), the temperature when the chip was opened (`u8` 0 or 1, then
//! `f32` in °C), then the [`Notes`]: their number (varint), and for each
//! key and value the length (varint) and the UTF-8 bytes.
//!
//! | kind | record | body |
//! |---|---|---|
//! | 1 | configuration | flags `u8` (bit 0: differences from the state after power-up, and not from the last configuration; bit 1: the recording settings follow), weights, number of changed parameters (varint) and for each its place among those that the chip announced (`u8`) and its codes, power switches, comparator switches, recording settings |
//! | 2 | run submitted | number of the run `u64`, trials (varint), address bits `u8`; for each trial its number less that of the trial before it less one (zigzag), duration less that of the trial before (zigzag), length (varint) and bytes of packed events |
//! | 3 | run collected | number of the run `u64`, trials (varint), address bits `u8`; for each trial length (varint) and bytes of packed spikes; sample bits `u8`, number (varint) and bytes of packed samples; stalled trials and their number, dropped events (varints); temperature (`u8` 0 or 1, then `f32`); serialised time split and health, each with its length (varint) in front |
//! | 4 | failure | call `u8` (0 configure, 1 submit, 2 collect), flags `u8` (bit 0: refused, nothing changed), number of the run `u64`, message in UTF-8 |
//! | 5 | loss | records that could not be written here `u64` |
//! | 6 | resumed | number of the first run `u64` that is recorded anew: runs from it on that stand before are void; then notes as in the head |
//! | 7 | closed | nothing: an orderly end |
//!
//! Codes are stretches of changed cells: their number (varint), and for each the unchanged cells
//! before it, its length (varints) and its codes (`i8` weights, row-major `[source, neuron]`; `u16`
//! parameter codes by neuron). Switches are stretches of neurons without codes: they toggle. Recording
//! settings are flags `u8` (bit 0 spikes, bit 1 reference, bit 2 floor), sample period, samples,
//! reference and floor if there are any, number of traced neurons, and each of them (varints). Address bits 0 mean events of six
//! bytes, tick `u32` and address `u16`, in any order.
//!
//! Runs are numbered from 0 in the order of submission. The first configuration of each process, and
//! the first after a loss, stands alone (bit 0).

mod code;
pub mod difference;
mod error;
mod format;
mod recorder;
mod storage;
mod tail;
mod tape;

pub use code::Results;
pub use difference::{Difference, Place, Value};
pub use error::RecordingError;
pub use format::{Call, FORMAT_VERSION, Head, Notes};
pub use recorder::{Recorder, Status};
pub use storage::{FileStorage, Storage};
pub use tape::{Cause, Ending, Failure, Source, Tape, Totals};

#[cfg(all(test, feature = "emulator"))]
mod tests;
