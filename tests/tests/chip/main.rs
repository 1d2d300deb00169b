//! Chips, emulated and real, as the chain sees them: what they promise, how they are measured, and what a
//! training on them comes to.

mod advise;
mod calibration;
mod conformance;
mod determinism;
mod emulator;
mod fidelity;
mod injection;
mod learn_around;
mod parity;
mod twin;
