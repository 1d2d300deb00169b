//! Memory that a server is lent.

use crate::schedule::Waiting;
use spikeloop_hal::wire::{MIN_BODY, encoded_len};
use spikeloop_hal::{Capabilities, SpikeEvent};

use super::SMALL;

/// Memory of a server, lent by the caller: statics on a microcontroller, vectors on a host.
pub struct Buffers<'a> {
    /// One frame from the host: [`encoded_len`] of [`frame_body`](spikeloop_hal::Buffers::frame_body).
    pub input: &'a mut [u8],
    /// Frames from the host that came early or wait: one to 32 times
    /// [`frame_body`](spikeloop_hal::Buffers::frame_body). It is the [`Window`](spikeloop_hal::wire::window::Window) of this direction;
    /// rounded down to a power of two.
    pub early: &'a mut [u8],
    /// Frames to the host until they are acknowledged: at least [`Server::MIN_OUTPUT`](super::Server::MIN_OUTPUT) bytes and one
    /// encoded `body`; what is on its way at once is at most this and [`WINDOW`](spikeloop_hal::wire::window::WINDOW) frames.
    pub output: &'a mut [u8],
    /// The body of one result frame: at least [`MIN_BODY`] bytes. Short ones (512 to 1024) lose little
    /// on lines that make errors; at most [`SAFE_BODY`](spikeloop_hal::wire::SAFE_BODY) is allowed.
    pub body: &'a mut [u8],
    /// Input events that wait: [`stimulus_events`](spikeloop_hal::Buffers::stimulus_events) or more.
    pub events: &'a mut [SpikeEvent],
    /// Trials that wait, at least one.
    pub trials: &'a mut [Waiting],
    /// Spikes of one trial: [`spikes_per_trial`](spikeloop_hal::Buffers::spikes_per_trial).
    pub spikes: &'a mut [SpikeEvent],
    /// Samples of one trial.
    pub samples: &'a mut [u16],
}

/// A buffer is too small for this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Which one.
    pub which: &'static str,
    /// Elements needed.
    pub needed: usize,
    /// Elements lent.
    pub got: usize,
}

impl core::fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { which, needed, got } = self;
        write!(f, "the server's {which} buffer has {got} elements and needs {needed}")
    }
}

/// Names the first buffer that cannot do what the capabilities promise.
pub(super) fn check_buffers(
    caps: &Capabilities,
    buffers: &Buffers<'_>,
    min_output: usize,
) -> Result<(), BufferTooSmall> {
    let limits = &caps.buffers;
    let output = min_output.max(encoded_len(buffers.body.len()) + encoded_len(SMALL));
    for (which, needed, got) in [
        ("input", encoded_len(usize::from(limits.frame_body)), buffers.input.len()),
        ("early", usize::from(limits.frame_body), buffers.early.len()),
        ("output", output, buffers.output.len()),
        ("body", MIN_BODY, buffers.body.len()),
        ("events", limits.stimulus_events as usize, buffers.events.len()),
        ("trials", 1, buffers.trials.len()),
        ("spikes", limits.spikes_per_trial as usize, buffers.spikes.len()),
    ] {
        if got < needed {
            return Err(BufferTooSmall { which, needed, got });
        }
    }
    Ok(())
}
