//! The device side of SpikeLoop: what answers at the other end of the wire.
//!
//! A [`Core`] is a chip as its own firmware sees it: registers to write, events to inject, spikes and
//! samples to emit. A [`Server`] puts a core on the wire. It does no input or output of its own:
//! bytes go in, bytes come out, time is an argument, and every byte of memory is lent by the caller
//! as [`Buffers`]. The same server therefore runs on a microcontroller, behind a pseudo-terminal,
//! and inside a test.
//!
//! ```text
//!   link ─► Server::receive ─► decoder ─► schedule ─► Core::begin, inject, seal
//!                                │                      │
//!                                └─ registers ─► Core::write
//!   link ◄─ Server::transmit ◄─ frames ◄─ record ◄─ Core::poll
//! ```
//!
//! The board's main loop is
//!
//! ```text
//! loop {
//!     give what the link brought to server.receive()
//!     server.poll(now)
//!     offer server.transmit() to the link, tell server.sent() how much of it went
//!     if there was nothing to do: sleep until bytes come, the core asks for it, or server.deadline()
//! }
//! ```
//!
//! The crate is `no_std` and does not allocate. With the feature `std` any chip that a process can
//! reach becomes a core, in the server's thread (`board::ChipCore`) or beside it (`board::BesideCore`:
//! the virtual board).
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(all(test, not(feature = "std")))]
extern crate std;

pub mod core;
pub mod plastic_core;
pub mod plasticity;
mod record;
mod schedule;
pub mod server;

#[cfg(feature = "std")]
pub mod board;

pub use crate::core::{Core, Emit, Fault, Outcome, Progress, Trial, Unteachable, Write};
pub use plastic_core::{PlasticCore, PlasticMemory};
pub use schedule::Waiting;
pub use server::{Activity, BufferTooSmall, Buffers, MAX_RUNS, Server};
