//! The wire: how a host and a device talk. This page is the specification, protocol version 2; a
//! device can be written from it alone. Golden frames stand in `tests/golden/wire_v1` and `wire_v2`
//! (what version 2 added).
//!
//! Everything here is `no_std` and allocates nothing. Numbers are little-endian. `u8`, `u16`, `u32`
//! and `u64` have no sign, `i8` is two's complement.
//!
//! # 1. A frame on the line
//!
//! ```text
//!   ┌──────────────── stuffed (no byte is zero) ───────────────┬─── trailer ────┬─────┐
//!   │ header, 8 bytes              │ body, 0 to 65535 bytes    │ c0   c1   c2   │  00 │
//!   └──────────────────────────────┴───────────────────────────┴────────────────┴─────┘
//! ```
//!
//! **Stuffing** (COBS; Cheshire and Baker, IEEE/ACM Transactions on Networking 7, 1999). Header and
//! body together are cut into blocks. A block is a code byte `n` (1 to 255) and `n − 1` bytes that
//! are not zero. After a block with `n < 255` the receiver puts a zero, except after the last block;
//! after a block with `n = 255` it puts none. A frame that ends in a full block of 254 bytes has no
//! empty block behind it. One byte in 254 is the most that stuffing costs, beside the first.
//!
//! **Trailer.** The CRC-16 of the *stuffed* bytes: polynomial 0x1021, start 0xFFFF, no reflection, no
//! final inversion (CRC-16/IBM-3740; of the ASCII bytes `123456789` it is 0x29B1). It goes in three
//! bytes with the top bit set, so that none is zero:
//!
//! | byte | bits 6 to 0 |
//! |---|---|
//! | `c0` | CRC bits 6 to 0 |
//! | `c1` | CRC bits 13 to 7 |
//! | `c2` | 0 0 0 0 0, CRC bits 15 and 14 |
//!
//! The checksum covers the bytes of the line and not of the message because one damaged code byte
//! moves zeros all over the message: over the line, one bit is one bit. All errors of one, two and
//! three bits are found as long as the stuffed part is at most 4093 bytes (bodies of at most
//! 4064 bytes), all bursts of up to 16 bits always. An error that makes a zero, or destroys one,
//! cuts a frame in two or joins two: the length in the header finds these.
//!
//! **End.** A zero byte. A receiver that has lost its place drops everything up to the next zero.
//! Empty frames (zeros in a row) are idle fill and mean nothing. Each side sends one zero before its
//! first frame.
//!
//! A frame that fails in any way is dropped and counted. [`Decoder`] takes the line in pieces of any
//! size and needs one buffer.
//!
//! # 2. Header
//!
//! | offset | size | field | |
//! |---|---|---|---|
//! | 0 | 1 | version | protocol version of the sender: 2 |
//! | 1 | 1 | kind | number of the message |
//! | 2 | 2 | sequence | number of the frame in this direction, modulo 2¹⁶ |
//! | 4 | 2 | acknowledge | first number of the other direction that has not come |
//! | 6 | 2 | length | bytes of the body |
//!
//! The framing, this header, and the bodies of hello and refusal are the same in every protocol
//! version.
//!
//! # 3. A session
//!
//! ```text
//!   host                                            device
//!   00, hello #h {2, session}     ─────────────►    forgets everything, goes to power-up
//!                                 ◄─────────────    00, capabilities #d {session, …, window}
//!   weights, parameters, flags, recording ─────►    applied before the next run
//!   run begin {run, trials}       ─────────────►
//!   stimulus …                    ─────────────►    a trial starts when its last event is here
//!                                 ◄─────────────    result …, trial by trial
//!                                 ◄─────────────    run end {run, …, digests}
//! ```
//!
//! - A **hello** is obeyed at any time, unless its session is the one that is open: then the line has
//!   doubled it. The device forgets all configuration, runs and unsent output and answers. The host's
//!   frames go on from the hello's number `h`, which the host is free to choose; the device's begin at
//!   any `d` it likes. A host ignores everything up to the capabilities that carry its own session
//!   number. Without an answer it says hello again, with another session number.
//! - **Power-up state**: weights 0, every parameter at its default code, all flags 0, nothing
//!   recorded.
//! - **Order.** Messages are obeyed in the order of their numbers. Configuration between two runs
//!   holds for the second; a device that still executes the first leaves it waiting.
//!   Configuration between the beginning of a run and its last stimulus is refused.
//! - A device sends nothing that it was not asked for, except refusals and acknowledgements.
//!
//! ## 3.1 Exactly once
//!
//! Every frame but the acknowledgements (and refusals to somebody without a session) has a number of
//! its own, is kept by its sender until it is acknowledged, and is obeyed once, in order. Modulo
//! arithmetic: of two numbers the one less than 2¹⁵ ahead is the later.
//!
//! - **Window.** A receiver takes frames up to its *limit*, a number that only grows: a host is ready
//!   for 32 frames at any time (bodies of up to 4064 bytes), a device for as many as its capabilities
//!   say (`window`, 1 to 32, a power of two), counted from the oldest frame that it has not obeyed. Frames
//!   that come early are stored until the gap closes; frames at or beyond the limit, and frames that
//!   came before, are dropped.
//! - **Acknowledgement** (0x03 from the host, 0x83 from the device): the header's `acknowledge`, the
//!   bits of what came behind it, and the limit. It is due when a quarter of the window has come, when
//!   the limit has grown by half a window, at once if a frame came out of order or twice, and otherwise
//!   within a few milliseconds, unless a frame of the sequence carries `acknowledge` anyway. Its own
//!   `sequence` is the number that the next frame will have.
//! - **Repetition.** A line keeps its order. So a frame is lost for certain when one that was sent
//!   after it has been acknowledged, or when a probe that was sent after it has been answered; then, and
//!   only then, it is sent again.
//! - **Probe.** An acknowledgement with `probe` ≠ 0 wants an answer at once: an acknowledgement with the
//!   same number as `echo`. A side that has frames on their way, or frames without room, and heard
//!   nothing for the round trip and some (here: mean + 4 deviations, 10 ms to 0.5 s, doubled with each
//!   probe) sends one. So does a host, twice a second, while it waits for results: the heartbeat.
//! - A device may do without most of this: with a window of 1, one frame buffer in each direction and
//!   probes it is a stop-and-wait protocol, and a host cannot tell.
//!
//! ## 3.2 Trouble
//!
//! A device that gets a frame without a session (it was reset) answers with refusal 4, outside the
//! sequence. The host then says hello, restores the configuration and repeats the runs that were not
//! complete; so it does after opening a link anew. Emulated chips give the same bits for a repeated
//! trial, because its noise depends on its number.
//!
//! **Digests.** Run end carries two CRC-32 (CRC-32/ISO-HDLC; `123456789` gives 0xCBF43926): `received`,
//! of kind and body of every configuration, run begin and stimulus message obeyed after the last
//! stimulus of the run before, up to the last stimulus of this run; and `returned`, of the bodies of
//! all results of the run. If they are not those of the host, something got past the checksums of the
//! frames (one damaged frame in 65536 with more errors than they can be sure of) and the run is
//! repeated in a new session.
//!
//! # 4. Messages
//!
//! | kind | name | from | body |
//! |---|---|---|---|
//! | 0x01 | [hello](Hello) | host | protocol `u16`, session `u32` |
//! | 0x02 | ping | host | token `u32` |
//! | 0x03 | [acknowledgement](Ack) | host | bits of the frames received behind `acknowledge` `u32`, limit `u16`, probe `u16`, echo `u16` |
//! | 0x10 | [weights](WeightSpans) | host | spans: row `u16`, first neuron `u16`, count `u16`, codes `i8` × count |
//! | 0x11 | [parameters](ParameterSpans) | host | spans: parameter `u8`, first neuron `u16`, count `u16`, codes `u16` × count |
//! | 0x12 | [flags](FlagSpans) | host | spans: flag `u8`, first neuron `u16`, count `u16`, bits (⌈count / 8⌉ bytes) |
//! | 0x13 | [recording](RecordingHead) | host | flags `u8` (bit 0: spikes, bit 1: reference, bit 2: floor), sample period in ticks `u32`, samples of a trial `u16`, with bit 1 the reference `u16`, with bit 2 the floor `u16` |
//! | 0x14 | [plasticity](PlasticityRule) | host | the rule by which the device learns (section 10) |
//! | 0x15 | [read weights](WeightRequest) | host | row `u16`, first neuron `u16`, count `u16`, at most 48 |
//! | 0x20 | [run begin](RunBegin) | host | run `u32`, trials `u32` |
//! | 0x21 | [stimulus](StimulusBlocks) | host | run `u32`, address bits `u8`, blocks (section 6) |
//! | 0x22 | [learn](Learn) | host | errors of a trial (section 10) |
//! | 0x81 | [capabilities](CapabilitiesBody) | device | session `u32`, serialised [`Capabilities`](crate::Capabilities) (section 8), window `u16` |
//! | 0x82 | [health](DeviceHealth) | device | token `u32`, then `u64` each: trials, dropped inputs, dropped spikes, stalled trials, damaged frames |
//! | 0x83 | [acknowledgement](Ack) | device | as 0x03 |
//! | 0x90 | [learned weights](WeightSpans) | device | one span as in 0x10: the answer to 0x15 |
//! | 0xA0 | [result](ResultBlocks) | device | run `u32`, blocks (section 7) |
//! | 0xA1 | [run end](RunEnd) | device | run `u32`, trials `u32`, execution time in ns `u64`, digests received `u32` and returned `u32` |
//! | 0xEE | [refusal](Refusal) | device | reason `u8`, kind `u8`, sequence `u16`, got `u32`, limit `u32` (section 9) |
//!
//! A body longer or shorter than its fields say is malformed.
//!
//! # 5. Configuration
//!
//! A body is a list of spans, each for consecutive neurons of one row, parameter or flag; spans may
//! overlap, later ones win. A row of the weight matrix is an input line, or, above the inputs of a
//! recurrent chip, a neuron. Parameters have the numbers of [`Parameter::ALL`](crate::Parameter::ALL):
//!
//! | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | leak potential | reset potential | threshold | τ_mem | τ_syn exc | τ_syn inh | gain exc | gain inh | offset exc | offset inh | refractory |
//!
//! Flags: 0 enabled (powered), 1 spiking (comparator on), 2 traced (membrane sampled). Bit `k` of byte
//! `j` belongs to neuron `first + 8 j + k`; bits after the last neuron are 0.
//!
//! Sample `k` of a trial is taken at tick `k · period`, of every traced neuron in ascending order.
//! With a **reference** all channels sample this one potential (in nominal converter steps, at most
//! the converter's highest code) instead of their membranes. A host sends it only to a device whose
//! converter announces that it can (section 8); another device refuses it (reason 5).
//!
//! With a **floor** (at most the converter's highest code, and never together with a reference) a
//! sample of a neuron that is powered and has its comparator on is worth the floor if it is less,
//! except sample 0, which shows where rest is. Such samples need not be sent (section 7): what is far
//! below the threshold hardly matters to a surrogate gradient. Flags decide by their state when the
//! run begins. A device may ignore the floor and send everything; the host then puts it in.
//!
//! Version 1 had no window, no acknowledgements, no digests and a shorter run end and capabilities body;
//! its frames are still read, but neither side of this version talks to one of that version.
//!
//! # 6. Stimuli
//!
//! ```text
//!   run u32 │ address bits u8 │ block │ block │ …
//!   block:  trial u64 │ duration in ticks u32 │ length u16 │ events, `length & 0x7FFF` bytes
//! ```
//!
//! Blocks belong to the trials of the run, in order. If bit 15 of the length is set, the next block
//! goes on with the same trial (same trial number, same duration). `trial` selects the noise of an
//! emulated chip; hardware ignores it.
//!
//! **Events** are in ascending order of time, each is one number
//!
//! ```text
//!   (delta << address bits) | address
//! ```
//!
//! where `delta` is the time in ticks since the event before it *in this block*, for the first one
//! since the start of the trial. The number goes in groups of seven bits, the lowest first; all bytes
//! but the last have bit 7 set; no number ends in a group of zeros that could be left out. 1 to 7
//! bytes an event. Addresses need `address bits` bits (1 to 16): the host uses as many as
//! `inputs − 1` needs. Events at or after `duration` are refused.
//!
//! *Example*, 8 address bits: events (tick 5, line 3) and (tick 5, line 200) are the numbers 0x503 and
//! 0xC8, on the wire `83 0A C8 01`.
//!
//! # 7. Results
//!
//! ```text
//!   run u32 │ block │ block │ …
//!   1 spikes:   01 │ index u32 │ address bits u8 │ length u16 │ events, `length` bytes
//!   2 samples:  02 │ index u32 │ first u32 │ count u16 │ bits u8 │ ⌈count · bits / 8⌉ bytes
//!   4 sparse:   04 │ index u32 │ first u32 │ span u32 │ bits u8 │ length u16 │ numbers, `length` bytes
//!   3 end:      03 │ index u32 │ flags u8 │ spikes u32 │ samples u32 │ dropped inputs u32 │ dropped spikes u32
//! ```
//!
//! `index` counts the trials of the run from 0; they come in order. For each trial: any number of
//! spike blocks (events as in section 6, addresses are neurons, ascending in time also from block to
//! block), then sample blocks, then the end. `first` is the place of the first sample of the block in
//! the trial's list `[sample, channel]`; blocks leave no gaps. Samples have `bits` bits each (the
//! converter's), low bit first, without gaps; bits after the last are 0.
//!
//! **Sparse samples**, only with a floor: the block stands for places `first` to `first + span − 1` of
//! that list. Each number is `(gap << bits) | code` in groups of seven bits (as events), where `gap`
//! counts the places skipped since the number before it *in this block*, for the first one since
//! `first`. Places without a number hold the floor. `span` is at least 1; both forms may take turns.
//! *Example*, 8 bits, floor 130, `first` 40, `span` 6, places 41 and 42 with codes 131 and 60 (a
//! readout): the numbers are 0x183 and 0x3C, on the wire `83 03 3C`.
//!
//! Bit 0 of `flags`: sampling stalled, the data are void, the trial has to be repeated; only then may
//! samples be missing. `spikes` says how many were sent, `samples` how many places the sample blocks
//! cover. Blocks of several trials may share a frame.
//!
//! # 8. Capabilities
//!
//! The fields of [`Capabilities`](crate::Capabilities) in [postcard] format: integers of more than
//! eight bits in groups of seven bits, lowest first (as events); one byte for `u8`, `i8`, `bool` (0, 1) and
//! the number of an enumeration's variant; `f32` in four bytes; strings and lists with their length
//! in front; an option as 0, or 1 and the value. A device without floating point sends these bytes
//! from a table. At most 512 bytes.
//!
//! | field | form |
//! |---|---|
//! | protocol | `u16` |
//! | identity | kind: string of at most 48 bytes; serial `u64`; firmware `u32` (major << 16, minor << 8, patch) |
//! | neurons, inputs | `u16` each |
//! | recurrent | `bool` |
//! | weight min, max | `i8` each |
//! | tick in ns, longest trial in ticks | `u32` each |
//! | converter | option of: bits `u8` (bits 0 to 6: resolution 1 to 16; bit 7: a reference can be connected), shortest period in ticks `u32`, lowest and highest reliable code `u16` each |
//! | buffers | trials `u32`, stimulus events `u32`, spikes of a trial `u32`, trace bytes `u32`, runs in flight `u8`, longest frame body `u16` (64 or more) |
//! | parameters | list of at most 16: parameter (section 5), unit (0 LSB, 1 µs, 2 LSB/µs/code, 3 LSB/µs), lowest, highest, default code `u16` each, law: 0 linear (value at reference, reference, slope), 1 proportional, 2 reciprocal (value at reference, reference), all `f32` |
//!
//! [postcard]: https://postcard.jamesmunns.com/wire-format
//!
//! # 9. Refusals
//!
//! A device that cannot obey a message says so once, drops what it was doing, and from then on
//! answers nothing but hello and ping (what else comes is acknowledged and passed over). `kind` and `sequence` name the frame that was refused.
//!
//! | reason | meaning | got | limit |
//! |---|---|---|---|
//! | 1 | unknown protocol version | version that came | version that the device speaks |
//! | 2 | unknown message | its kind | 0; for a rule that is not known one more than its number (section 10) |
//! | 3 | malformed body | what is wrong: [`Malformed`] | 0 |
//! | 4 | no session: a hello comes first | 0 | 0 |
//! | 5 | out of range | the row, neuron, tick, parameter or code | the nearest that exists |
//! | 6 | beyond the buffers | what is needed | what there is |
//! | 7 | out of place | its run | the run that is open |
//! | 8, 9 | version 1 only: a frame arrived damaged, or not at all | | |
//! | 10 | the device failed | its own number of the fault | 0 |
//! | 11 | in use by another client; sent instead of an answer to hello | 0 | 0 |
//!
//! A host reads a refusal whatever version its header names, so that two sides that share no
//! version still understand why.
//!
//! # 10. Learning in the device
//!
//! Optional: a device without it refuses 0x14, 0x15 and 0x22 as unknown messages (reason 2, limit 0).
//! Devices from before these messages do the same. A device that does not have the rule that is asked for
//! refuses 0x14 so as well, with one more than the number of the rule as limit.
//!
//! **Plasticity** (0x14) says which synapses learn, and how. All factors are fractions. (The body got its
//! rule, `shared` and the classes before the first release of this protocol.)
//!
//! | offset | size | field | |
//! |---|---|---|---|
//! | 0 | 1 | rule | 0 SuperSpike, 1 local readouts, 2 target spikes |
//! | 1 | 1 | flags | bit 0 (rule 2 without hidden neurons): input `j` repeats output `j`, no synapse between them learns |
//! | 2 | 2 | inputs | input lines 0 to `inputs` − 1 are sources |
//! | 4 | 2 | shared | the last so many of them drive hidden and output neurons; 0 without hidden ones |
//! | 6 | 2 | first hidden neuron | |
//! | 8 | 2 | hidden neurons | may be 0: the outputs then take the inputs |
//! | 10 | 2 | first output neuron | above the hidden ones |
//! | 12 | 2 | output neurons | |
//! | 14 | 2 | classes | of the readouts of rule 1; otherwise 0 |
//! | 16 | 2 | decay | of the fast traces from tick to tick, in 2⁻¹⁶ |
//! | 18 | 2 | follow | step of the slow traces, in 2⁻¹⁶ |
//! | 20 | 2 | keep | factor of the normaliser from update to update, in 2⁻¹⁶ |
//! | 22 | 2 | rate | largest step of a weight, in 2⁻⁸ codes |
//! | 24 | 2 | slope | of the surrogate (0, 1) or of the escape probability (2) per converter step, in 2⁻⁸; 0xFFFF with rule 2: a step |
//! | 26 | 2 | threshold | converter code |
//! | 28 | 1 | delay | ticks from the spike of a hidden neuron to its arrival |
//! | 29 | 1 | limit | largest weight code by absolute value (`i8`, above 0) |
//! | 30 | | feedback | `i16` each, in 2⁻¹². Rule 0: `[output, hidden]`. Rule 1: for each class the weights of the hidden neurons, of the outputs, the bias of the hidden readout, that of the output readout. Rule 2: none |
//!
//! The device starts from the weights that it has, and forgets what an earlier rule had gathered. If rule,
//! flags, neurons and classes are those of the one before (a host changes the rate), it keeps what its
//! synapses know besides their codes: fractions of weights, and normalisers.
//! Weights that are written later replace what was learned. The rule and everything learned are part
//! of the state that a hello clears; a host cannot bring them back, so a session that had to begin
//! again finds its next 0x22 refused (reason 7).
//!
//! A trial is learned from only if the neurons of the rule, and no others, are traced and sampled at
//! every tick of it; rule 2 with a step needs no samples.
//!
//! **Learn** (0x22) comes after the end of a run and belongs to its last trial:
//!
//! ```text
//!   trial u64 │ flags u8 │ address bits u8 │ events
//! ```
//!
//! Bit 0 of the flags: more events of this trial follow in another message. Bit 1, never together with
//! bit 0: update the weights afterwards. Events as in section 6; what their addresses mean:
//!
//! | rule | address | |
//! |---|---|---|
//! | 0 | 2 × output | a spike was missing (error +1); one more: a spike that should not have been (−1) |
//! | 1 | class | the target from this tick on; before the first one nothing is learned |
//! | 2 | unit: hidden neurons, then outputs | should spike at this tick, as the chip would stamp the spike |
//!
//! Without bit 0 the device adds the trial to its sums before it takes the next message. A trial
//! that is not the last one, and a trial before any rule, are out of place (reason 7: low half of its
//! number, low half of the last one's); samples that are not those of the rule are out of range
//! (reason 5: what there is, what there should be), and so are addresses that do not exist; more events
//! than the device can keep are beyond its buffers.
//!
//! **Read weights** (0x15) is answered by one 0x90, after everything before it has been obeyed. Like
//! ping it belongs to no digest.

mod blocks;
mod cobs;
mod control;
mod cursor;
mod digest;
mod error;
mod frame;
mod message;
mod pack;
mod plasticity;
mod spans;
mod sparse;
#[cfg(test)]
mod tests;
pub mod window;

pub use blocks::{ResultBlock, ResultBlocks, StimulusBlock, StimulusBlocks, TrialEnd};
pub use control::{
    Ack, CapabilitiesBody, DeviceHealth, Hello, Refusal, RefusalCode, RunBegin, RunEnd,
};
pub use cursor::{Reader, Writer};
pub use digest::{Digest, Digests};
pub use error::{Damage, Full, Malformed};
pub use frame::{
    Decoder, Frame, HEADER_LEN, Header, MAX_BODY, MIN_BODY, SAFE_BODY, TRAILER_LEN, encoded_len,
};
pub use message::{Kind, Message};
pub use pack::{
    Events, MAX_EVENT_LEN, Samples, address_bits, number_len, pack_events, pack_samples,
    packed_len, samples_in, top_code,
};
pub use plasticity::{Learn, PlasticityRule, RuleKind, WeightRequest};
pub use spans::{
    FLAG_SPAN_HEAD, Flag, FlagSpan, FlagSpans, PARAMETER_SPAN_HEAD, ParameterSpan, ParameterSpans,
    RecordingHead, WEIGHT_SPAN_HEAD, WeightSpan, WeightSpans, parameter_number,
};
pub use sparse::{Floor, Kept};
