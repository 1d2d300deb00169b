//! Register writes applied to a chip configuration.

use crate::core::Write;
use spikeloop_hal::wire::{Flag, RecordingHead};
use spikeloop_hal::{Capabilities, ChipConfig, NeuronId, Recording};

/// The state that a host has written, as the [`ChipConfig`] that the host meant.
#[derive(Clone, Debug)]
pub struct Registers {
    config: ChipConfig,
    traced: Vec<bool>,
}

impl Registers {
    /// The state after power-up.
    #[must_use]
    pub fn power_up(caps: &Capabilities) -> Self {
        Self { config: ChipConfig::power_up(caps), traced: vec![false; usize::from(caps.neurons)] }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ChipConfig {
        &self.config
    }

    /// Applies one write. What lies beyond the chip is left out; the server has refused it before.
    pub fn apply(&mut self, write: &Write<'_>) {
        match write {
            Write::Weights(span) => {
                if usize::from(span.row) < self.config.sources() {
                    let row = self.config.row_mut(usize::from(span.row));
                    copy(row, span.first, span.codes());
                }
            }
            Write::Parameter(span) => {
                if let Some(codes) = self.config.codes_mut(span.parameter) {
                    copy(codes, span.first, span.codes());
                }
            }
            Write::Flag(span) => {
                let list = match span.flag {
                    Flag::Enabled => &mut self.config.enabled,
                    Flag::Spiking => &mut self.config.spiking,
                    Flag::Traced => &mut self.traced,
                };
                copy(list, span.first, span.values());
                if span.flag == Flag::Traced {
                    let ids = self.traced.iter().enumerate().filter(|(_, traced)| **traced);
                    self.config.recording.traces = ids.map(|(id, _)| id as NeuronId).collect();
                }
            }
            Write::Recording(head) => {
                let recording = &mut self.config.recording;
                let traces = std::mem::take(&mut recording.traces);
                let RecordingHead { spikes, sample_period, samples, reference, floor } = *head;
                *recording = Recording { spikes, traces, sample_period, samples, reference, floor };
            }
        }
    }

    /// Whether a channel comes back whole in spite of a floor; see
    /// [`Core::keeps_all`](crate::core::Core::keeps_all).
    #[must_use]
    pub fn keeps_all(&self, channel: usize) -> bool {
        let traces = &self.config.recording.traces;
        traces.get(channel).is_none_or(|id| self.config.keeps_all(*id))
    }

    /// Samples that one trial brings back.
    #[must_use]
    pub fn samples_per_trial(&self) -> usize {
        let recording = &self.config.recording;
        recording.traces.len() * usize::from(recording.samples)
    }
}

fn copy<T>(list: &mut [T], first: NeuronId, values: impl Iterator<Item = T>) {
    list.iter_mut().skip(usize::from(first)).zip(values).for_each(|(slot, value)| *slot = value);
}
