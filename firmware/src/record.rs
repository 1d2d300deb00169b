//! What the trial under way has brought back, until it is on the wire.

use crate::core::{Emit, Outcome};
use spikeloop_hal::wire::{Floor, Full, ResultBlocks, TrialEnd, Writer, packed_len};
use spikeloop_hal::{NeuronId, SpikeEvent};

/// How far a trial's results are on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The core still emits.
    Open,
    /// Complete; spikes, then samples, then the end go out.
    Closed(Outcome),
}

/// Spikes and samples of one trial in memory of the caller.
pub(crate) struct Record<'a> {
    spikes: &'a mut [SpikeEvent],
    samples: &'a mut [u16],
    spike_count: usize,
    sample_count: usize,
    /// Spikes that found no room.
    lost: u32,
    sent_spikes: usize,
    sent_samples: usize,
    stage: Stage,
    index: u32,
    /// How samples and addresses are packed.
    format: Format,
}

/// How this chip's results are packed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    pub(crate) address_bits: u8,
    pub(crate) sample_bits: u8,
    pub(crate) neurons: NeuronId,
}

impl<'a> Record<'a> {
    pub(crate) fn new(
        spikes: &'a mut [SpikeEvent],
        samples: &'a mut [u16],
        format: Format,
    ) -> Self {
        Self {
            spikes,
            samples,
            spike_count: 0,
            sample_count: 0,
            lost: 0,
            sent_spikes: 0,
            sent_samples: 0,
            stage: Stage::Open,
            index: 0,
            format,
        }
    }

    /// Samples of one trial that fit.
    pub(crate) fn sample_capacity(&self) -> usize {
        self.samples.len()
    }

    /// Empties the record for the next trial.
    pub(crate) fn open(&mut self) {
        (self.spike_count, self.sample_count, self.lost) = (0, 0, 0);
        (self.sent_spikes, self.sent_samples) = (0, 0);
        self.stage = Stage::Open;
    }

    /// The trial, number `index` of its run, is complete.
    pub(crate) fn close(&mut self, outcome: Outcome, index: u32) {
        self.stage = Stage::Closed(outcome);
        self.index = index;
    }

    /// Whether the trial is complete but not all of it is on the wire.
    pub(crate) fn is_closed(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Spikes of this trial that were lost so far.
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Moves as much as fits into the body of a result message. `Ok` when the end of the trial is
    /// in; [`Full`] when the body has to be sent first. With a `floor` what lies below it
    /// stays here, wherever that makes the rest shorter.
    pub(crate) fn drain(
        &mut self,
        floor: Option<&Floor<impl Fn(usize) -> bool>>,
        to: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let Stage::Closed(outcome) = self.stage else { return Ok(()) };
        let (index, format) = (self.index, self.format);
        while self.sent_spikes < self.spike_count {
            let rest = &self.spikes[self.sent_spikes..self.spike_count];
            self.sent_spikes += ResultBlocks::push_spikes(index, rest, format.address_bits, to)?;
        }
        while self.sent_samples < self.sample_count {
            let rest = &self.samples[self.sent_samples..self.sample_count];
            let first = self.sent_samples as u32;
            let bits = format.sample_bits;
            let dense = packed_len(rest.len(), bits);
            let shorter = floor.filter(|f| f.packed_len(self.sent_samples, rest, bits) < dense);
            self.sent_samples += match shorter {
                None => ResultBlocks::push_samples(index, first, rest, bits, to)?,
                Some(floor) => ResultBlocks::push_sparse(index, first, rest, bits, floor, to)?,
            };
        }
        let end = TrialEnd {
            index,
            stalled: outcome.stalled,
            spikes: self.spike_count as u32,
            samples: self.sample_count as u32,
            dropped_inputs: outcome.dropped_inputs,
            dropped_spikes: outcome.dropped_spikes.saturating_add(self.lost),
        };
        ResultBlocks::push_end(&end, to)
    }
}

impl Emit for Record<'_> {
    fn spikes(&mut self, spikes: &[SpikeEvent]) {
        for spike in spikes {
            match self.spikes.get_mut(self.spike_count) {
                // An address that the chip does not have would be misread on the wire.
                Some(slot) if spike.id < self.format.neurons => {
                    *slot = *spike;
                    self.spike_count += 1;
                }
                _ => self.lost = self.lost.saturating_add(1),
            }
        }
    }

    fn samples(&mut self, samples: &[u16]) {
        let room = self.samples.len() - self.sample_count;
        let n = samples.len().min(room);
        self.samples[self.sample_count..][..n].copy_from_slice(&samples[..n]);
        self.sample_count += n;
    }
}
