//! Memory of learning from the heap.

use crate::plastic_core::PlasticMemory;
use crate::plasticity::{Source, Synapse, Unit};
use spikeloop_hal::{Capabilities, SpikeEvent};

/// Owns what [`PlasticMemory`] borrows.
#[derive(Debug)]
pub struct Notebook {
    sources: Vec<Source>,
    units: Vec<Unit>,
    synapses: Vec<Synapse>,
    feedback: Vec<i16>,
    inputs: Vec<SpikeEvent>,
    spikes: Vec<SpikeEvent>,
    samples: Vec<u16>,
    errors: Vec<SpikeEvent>,
}

impl Notebook {
    /// Synapses that learn at most: 100-256-100 and some.
    pub const SYNAPSES: usize = 1 << 16;
    /// Events that teach, of a trial, at most.
    pub const ERRORS: usize = 1 << 16;

    /// For a chip with these capabilities.
    #[must_use]
    pub fn new(caps: &Capabilities) -> Self {
        let limits = &caps.buffers;
        let neurons = usize::from(caps.neurons);
        let trace = (limits.trace_bytes / caps.bytes_per_sample()) as usize;
        Self {
            sources: vec![Source::default(); usize::from(caps.inputs) + neurons],
            units: vec![Unit::default(); neurons],
            synapses: vec![Synapse::default(); Self::SYNAPSES],
            feedback: vec![0; Self::SYNAPSES],
            inputs: vec![SpikeEvent::default(); limits.stimulus_events as usize],
            spikes: vec![SpikeEvent::default(); limits.spikes_per_trial as usize],
            samples: vec![0; trace.min(neurons * usize::from(u16::MAX))],
            errors: vec![SpikeEvent::default(); Self::ERRORS],
        }
    }

    /// Lends everything to a core.
    pub fn memory(&mut self) -> PlasticMemory<'_> {
        PlasticMemory {
            sources: &mut self.sources,
            units: &mut self.units,
            synapses: &mut self.synapses,
            feedback: &mut self.feedback,
            inputs: &mut self.inputs,
            spikes: &mut self.spikes,
            samples: &mut self.samples,
            errors: &mut self.errors,
        }
    }
}
