//! Chip observables to model units on the model's time grid.
//!
//! * Membranes: `V = (sample − baseline) / θ`, so that rest is 0 and threshold 1 (published: subtract the
//!   neuron's own first sample, which removes the offsets of neuron and converter). State 0 is 0 by definition.
//!   With a calibration θ is the neuron's own, times the gain of its converter channel.
//! * Spikes: time to state index, at most one a state (see the crate's conventions).
//! * Window: what lies below it comes back as its lower end and is used as it is, and is not counted as
//!   unreliable. The surrogate derivative is small there (SuperSpike with β = 50 a distance of 0.3 away:
//!   1/(1 + 50 · 0.3)² = 0.4 % of its peak). To take it as rest instead, where the derivative is ten times
//!   smaller, was no better in the two short trainings in which it was tried.
//! * Post-reset rule: a sample taken after the reset hides the crossing, and the surrogate derivative at a
//!   real spike would all but vanish. Wherever a spike was measured the membrane is set to the threshold.

use crate::error::Error;
use crate::translation::{TraceBytes, Translation};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use spikeloop_hal::Observables;
use spikeloop_models::observation::{LayerObservation, Observation};
use spikeloop_models::spike_train::SpikeTrains;

/// What counts as a membrane of 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The trial's own first sample (published). Follows drift, but adds its noise to the trace.
    #[default]
    FirstSample,
    /// The mean of the first samples of all trials of the run, neuron by neuron: less noise.
    RunMean,
}

/// What was noticed on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObserveReport {
    /// Samples at a rail of the converter.
    pub saturated: u64,
    /// Samples outside the range in which the converter can be trusted, those at a rail included.
    pub unreliable: u64,
    /// Spikes after the last state of the model: not used.
    pub late_spikes: u64,
    /// Second spikes of a neuron within one state: not used.
    pub double_spikes: u64,
    /// What the membranes cost on a link.
    pub trace_bytes: TraceBytes,
}

impl std::ops::AddAssign for ObserveReport {
    fn add_assign(&mut self, other: Self) {
        self.saturated += other.saturated;
        self.unreliable += other.unreliable;
        self.late_spikes += other.late_spikes;
        self.double_spikes += other.double_spikes;
        self.trace_bytes += other.trace_bytes;
    }
}

impl Translation {
    /// Turns what a run brought back into model units. Memory of `into` is used again.
    ///
    /// # Errors
    /// [`Error::UnexpectedObservables`] if the shape is not the one the configuration asked for.
    pub fn observe(
        &self,
        observables: &Observables,
        into: &mut Observation<f32>,
    ) -> Result<ObserveReport, Error> {
        let trials = observables.trials();
        let channels = if self.options.membranes { self.placement.circuits().len() } else { 0 };
        let expected = trials * self.grid.steps * channels;
        if observables.samples.len() != expected {
            let got = observables.samples.len();
            return Err(Error::UnexpectedObservables { what: "samples", expected, got });
        }
        into.layers.resize_with(self.layers.len(), LayerObservation::default);
        let mut report = ObserveReport::default();
        if channels > 0 {
            report.trace_bytes = self.count_trace_bytes(&observables.samples);
        }
        for l in 0..self.layers.len() {
            let layer = &mut into.layers[l];
            if !self.on_chip(l) {
                *layer = LayerObservation::default();
                continue;
            }
            if self.options.membranes {
                let membrane = layer.membrane.get_or_insert_default();
                report += self.membranes_of(l, observables, membrane);
            } else {
                layer.membrane = None;
            }
            if self.layers[l].spiking {
                let spikes = layer.spikes.get_or_insert_default();
                report += self.spikes_of(l, observables, spikes);
                if let Some(membrane) = &mut layer.membrane {
                    mark_crossings(spikes, membrane, &self.thresholds[l]);
                }
            } else {
                layer.spikes = None;
            }
        }
        Ok(report)
    }

    /// What the samples of a run cost on a link.
    fn count_trace_bytes(&self, samples: &[u16]) -> TraceBytes {
        let whole = self.whole_channels();
        let trials = samples.par_chunks(self.grid.steps * whole.len()).with_min_len(16);
        trials.map(|trial| self.trace_bytes(trial, &whole)).reduce(
            TraceBytes::default,
            |mut a, b| {
                a += b;
                a
            },
        )
    }

    fn membranes_of(
        &self,
        l: usize,
        observables: &Observables,
        into: &mut Vec<f32>,
    ) -> ObserveReport {
        let (steps, units) = (self.grid.steps, self.layers[l].units);
        let channels = self.placement.circuits().len();
        let start = self.placement.start(l);
        let trials = observables.trials();
        let scale = self.membrane_scale(l);
        let factors: Vec<f32> = self.lsb_per_unit[l].iter().map(|lsb| scale / lsb).collect();
        into.resize(trials * steps * units, 0.0);
        let mean = match self.options.baseline {
            crate::Baseline::FirstSample => None,
            crate::Baseline::RunMean => Some(self.mean_first_sample(l, observables)),
        };
        let (low, high) = self.rails();
        let (sure_low, sure_high) = self.reliable();
        // What was left out is not known, but neither is it wrong.
        let floor = self.floor().filter(|_| self.layers[l].spiking);
        let (left_out, all_count) = (floor.unwrap_or(0), u16::from(floor.is_none()));
        into.par_chunks_mut(steps * units)
            .zip(observables.samples.par_chunks(steps * channels))
            .with_min_len(4)
            .map(|(out, samples)| {
                let first = &samples[start..start + units];
                let (mut saturated, mut unreliable) = (0_u32, 0_u32);
                out[..units].fill(0.0);
                for k in 1..steps {
                    let row = &samples[k * channels + start..][..units];
                    let out = &mut out[k * units..][..units];
                    match &mean {
                        None => {
                            for (((v, s), zero), factor) in
                                out.iter_mut().zip(row).zip(first).zip(&factors)
                            {
                                *v = (f32::from(*s) - f32::from(*zero)) * factor;
                            }
                        }
                        Some(mean) => {
                            for (((v, s), zero), factor) in
                                out.iter_mut().zip(row).zip(mean).zip(&factors)
                            {
                                *v = (f32::from(*s) - zero) * factor;
                            }
                        }
                    }
                    // In 16 bits the comparisons fill whole vectors; a row is shorter than 2^16.
                    let (mut at_rail, mut unsure) = (0_u16, 0_u16);
                    for s in row {
                        let counts = all_count | u16::from(*s != left_out);
                        at_rail += counts & (u16::from(*s <= low) | u16::from(*s >= high));
                        unsure += counts & (u16::from(*s < sure_low) | u16::from(*s > sure_high));
                    }
                    saturated += u32::from(at_rail);
                    unreliable += u32::from(unsure);
                }
                ObserveReport {
                    saturated: saturated.into(),
                    unreliable: unreliable.into(),
                    ..ObserveReport::default()
                }
            })
            .reduce(ObserveReport::default, |mut a, b| {
                a += b;
                a
            })
    }

    /// Mean of the first samples over the trials of a run, per unit of layer `l`. Sums of integers: exact.
    fn mean_first_sample(&self, l: usize, observables: &Observables) -> Vec<f32> {
        let (steps, units) = (self.grid.steps, self.layers[l].units);
        let channels = self.placement.circuits().len();
        let start = self.placement.start(l);
        let mut sums = vec![0_u64; units];
        for trial in observables.samples.chunks_exact(steps * channels) {
            for (sum, s) in sums.iter_mut().zip(&trial[start..start + units]) {
                *sum += u64::from(*s);
            }
        }
        let trials = observables.trials().max(1) as f32;
        sums.iter().map(|sum| *sum as f32 / trials).collect()
    }

    fn spikes_of(
        &self,
        l: usize,
        observables: &Observables,
        into: &mut SpikeTrains,
    ) -> ObserveReport {
        let steps = self.grid.steps;
        let circuits = self.placement.layer(l);
        let (first, last) = (circuits[0], circuits[circuits.len() - 1]);
        into.reset(steps, circuits.len());
        let mut report = ObserveReport::default();
        let mut seen = vec![0_u32; circuits.len()];
        for trial in 0..observables.trials() {
            seen.fill(0);
            let mut filling = 0;
            for event in observables.spikes_of(trial) {
                if event.id < first || event.id > last {
                    continue;
                }
                let Ok(unit) = circuits.binary_search(&event.id) else { continue };
                let state = event.tick.div_ceil(self.step_ticks).max(1);
                if state as usize >= steps {
                    report.late_spikes += 1;
                    continue;
                }
                if seen[unit] == state {
                    report.double_spikes += 1;
                    continue;
                }
                seen[unit] = state;
                while filling < state {
                    into.end_step();
                    filling += 1;
                }
                into.push(unit as u16);
            }
            for _ in filling as usize..steps {
                into.end_step();
            }
        }
        report
    }
}

/// The post-reset rule: the membrane is at the threshold wherever a spike was measured.
fn mark_crossings(spikes: &SpikeTrains, membrane: &mut [f32], thresholds: &[f32]) {
    let (steps, units) = (spikes.steps(), spikes.units());
    for sample in 0..spikes.samples() {
        for step in 0..steps {
            for unit in spikes.at(sample, step) {
                let unit = usize::from(*unit);
                let threshold = thresholds.get(unit).copied().unwrap_or(1.0);
                membrane[(sample * steps + step) * units + unit] = threshold;
            }
        }
    }
}

#[cfg(test)]
mod tests;
