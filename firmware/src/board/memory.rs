//! Memory of a server from the heap.

use crate::schedule::Waiting;
use crate::server::Buffers;
use spikeloop_hal::wire::encoded_len;
use spikeloop_hal::wire::window::WINDOW;
use spikeloop_hal::{Capabilities, SpikeEvent};

/// Owns what [`Buffers`] borrows.
#[derive(Debug)]
pub struct Memory {
    input: Vec<u8>,
    early: Vec<u8>,
    output: Vec<u8>,
    body: Vec<u8>,
    events: Vec<SpikeEvent>,
    trials: Vec<Waiting>,
    spikes: Vec<SpikeEvent>,
    samples: Vec<u16>,
}

impl Memory {
    /// Longest body of a result: short enough that a line with one error in 10⁴ bytes damages one
    /// frame in ten, long enough that frames cost 1.3 %.
    pub const BODY: usize = 1024;

    /// A full window of results, and the room that a ring loses at its end.
    pub const OUTPUT: usize = (WINDOW as usize + 2) * encoded_len(Self::BODY);

    /// As much as a chip with these capabilities needs.
    #[must_use]
    pub fn new(caps: &Capabilities) -> Self {
        let limits = &caps.buffers;
        let trace = (limits.trace_bytes / caps.bytes_per_sample()) as usize;
        let longest = usize::from(caps.neurons) * usize::from(u16::MAX);
        Self {
            input: vec![0; encoded_len(usize::from(limits.frame_body))],
            early: vec![0; usize::from(WINDOW) * usize::from(limits.frame_body)],
            output: vec![0; Self::OUTPUT],
            body: vec![0; Self::BODY],
            events: vec![SpikeEvent::default(); limits.stimulus_events as usize],
            trials: vec![Waiting::default(); limits.trials.max(1) as usize],
            spikes: vec![SpikeEvent::default(); limits.spikes_per_trial as usize],
            samples: vec![0; trace.min(longest)],
        }
    }

    /// Lends everything to a server.
    pub fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            input: &mut self.input,
            early: &mut self.early,
            output: &mut self.output,
            body: &mut self.body,
            events: &mut self.events,
            trials: &mut self.trials,
            spikes: &mut self.spikes,
            samples: &mut self.samples,
        }
    }
}
