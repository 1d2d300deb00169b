//! DECOLLE around a chip: measured spikes and membranes in place of the simulated ones.
//!
//! The traces Q and P run on the host, from the spikes of the inputs and the measured spikes of the
//! layer below, with the nominal constants. The surrogate derivative is taken at the measured
//! membrane, the readout sees the measured spikes; readouts, losses and the rule stay as they are:
//!
//! ```text
//! ∂L/∂W_ij = [Σ_k G_ki clamp(r_k − y_k, −1, 1)] σ'(U_i measured) P_j,     r = G dropout(S measured) + c
//! ```
//!
//! Weights stay as they are while the chip runs: they change once, after the last step of a batch, as
//! with `update_every = 0`. A chip returns a batch in several parts; the gradient adds up over them.

use rayon::prelude::*;

use super::sample::{Sample, Teach};
use super::{Batch, Decisions, Decolle, decisions};
use crate::error::{ModelError, Result};
use crate::method::{Need, Requirements};
use crate::observation::LayerObservation;
use crate::random::mix;
use crate::real::Real;

/// What learning needs of a chip.
pub const REQUIREMENTS: Requirements = Requirements {
    method: "decolle",
    hidden_spikes: Need::Required,
    hidden_membranes: Need::Required,
    readout_membranes: Need::Unused,
};

/// Measurements of some samples of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a, F> {
    /// Inputs and labels of these samples, and the key of the whole batch.
    pub batch: Batch<'a>,
    /// Place of the first of them in the whole batch, and how many samples that has.
    pub place: (usize, usize),
    /// Spikes and membranes of each layer; membranes in units of the model's U, with the threshold at 0.
    pub layers: &'a [LayerObservation<F>],
}

impl<F: Real> Decolle<F> {
    /// Highest U that one spike through a weight of 1 reaches.
    #[must_use]
    pub fn psp_peak(&self) -> f64 {
        let config = &self.config;
        let (mut p, mut q, mut peak) = (0.0, (1.0 - config.beta) * config.gain, 0.0_f64);
        loop {
            p = config.alpha * p + (1.0 - config.alpha) * q;
            q *= config.beta;
            if p <= peak {
                return peak;
            }
            peak = p;
        }
    }

    /// Weights `[pre, post]` of layer `l` without padding, and its biases.
    ///
    /// # Panics
    /// If there is no such layer.
    #[must_use]
    pub fn dense(&self, l: usize) -> (Vec<F>, Vec<F>) {
        let layer = &self.layers[l];
        let (stride, units) = (layer.geometry.stride, layer.geometry.membranes.channels);
        let rows = layer.weights.chunks_exact(stride);
        (rows.flat_map(|row| row[..units].iter().copied()).collect(), layer.bias[..units].to_vec())
    }

    /// Replaces the weights `[pre, post]` of layer `l`, without padding, and its biases.
    ///
    /// # Panics
    /// If there is no such layer, or it has fewer weights or biases.
    pub fn set_dense(&mut self, l: usize, weights: &[F], bias: &[F]) {
        let layer = &mut self.layers[l];
        let (stride, units) = (layer.geometry.stride, layer.geometry.membranes.channels);
        let rows = layer.weights.chunks_exact_mut(stride).zip(weights.chunks_exact(units));
        rows.for_each(|(row, new)| row[..units].copy_from_slice(new));
        layer.bias[..units].copy_from_slice(&bias[..units]);
    }

    /// The fixed readout of layer `l`: weights `[class, unit]` without padding, and biases.
    ///
    /// # Panics
    /// If there is no such layer.
    #[must_use]
    pub fn readout(&self, l: usize) -> (Vec<F>, Vec<F>) {
        let layer = &self.layers[l];
        let units = layer.geometry.units.units();
        let rows = layer.feedback.chunks_exact(layer.feedback.len() / self.classes);
        let weights = rows.flat_map(|row| row[..units].iter().copied()).collect();
        (weights, layer.readout_bias[..self.classes].to_vec())
    }

    /// Puts weights of layer `l` beyond ± `limit` back to it; returns how many.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn clamp(&mut self, l: usize, limit: F) -> usize {
        let mut beyond = 0;
        for w in self.layers[l].weights.iter_mut().filter(|w| w.abs() > limit) {
            *w = if *w > F::zero() { limit } else { -limit };
            beyond += 1;
        }
        beyond
    }

    /// Adds the gradient of a part of a batch; [`Self::finish_measured`] makes the step.
    ///
    /// # Errors
    /// Measurements that are missing or of another shape, layers that are not dense, and what the
    /// method cannot do in parts: `update_every`, `regularisation` and `trigger`.
    pub fn accumulate_measured(&mut self, part: &Part<'_, F>) -> Result<Decisions> {
        self.check(&part.batch)?;
        self.check_measured(part, true)?;
        let batch = &part.batch;
        self.begin(batch.labels.len());
        for t in 0..batch.inputs.steps() {
            self.step_measured(part, t);
            if t >= self.config.burn_in {
                self.accumulate();
            }
        }
        let taught = (batch.inputs.steps() - self.config.burn_in) as f64;
        let mut decisions = decisions(&self.state.samples, self.layers.len());
        decisions.loss = (0..self.layers.len())
            .map(|l| self.state.samples.iter().map(|s| s.layers[l].loss).sum::<f64>() / taught)
            .collect();
        Ok(decisions)
    }

    /// A step of size `rate` with the gradient of all parts since the last one.
    pub fn finish_measured(&mut self, rate: f64) {
        self.update(rate);
    }

    /// Decides about every sample of a part by its measured spikes; membranes are not needed.
    ///
    /// # Errors
    /// Measurements that are missing or of another shape.
    pub fn decide_measured(&self, part: &Part<'_, F>) -> Result<Decisions> {
        self.check_inputs(part.batch.inputs)?;
        self.check_measured(part, false)?;
        let mut samples: Vec<Sample<F>> = Vec::new();
        for b in 0..part.batch.inputs.samples() {
            let mut sample = Sample::new(&self.layers, self.classes);
            for t in 0..part.batch.inputs.steps() {
                for (own, measured) in sample.layers.iter_mut().zip(part.layers) {
                    let spikes = measured.spikes.as_ref().map_or(&[][..], |s| s.at(b, t));
                    own.take_spikes(spikes);
                }
                if t >= self.config.burn_in {
                    sample.judge(&self.layers);
                }
            }
            samples.push(sample);
        }
        Ok(decisions(&samples, self.layers.len()))
    }

    /// One step of all samples of a part and, after burn-in, their local errors.
    fn step_measured(&mut self, part: &Part<'_, F>, t: usize) {
        let (layers, constants, batch) = (&self.layers, &self.constants, &part.batch);
        let total = self.state.delta.len() / self.state.samples.len().max(1);
        let (first, all) = part.place;
        let weight = 1.0 / (all * self.classes) as f64;
        let taught = t >= self.config.burn_in;
        let (key, steps) = (mix(batch.key, t as u64), batch.inputs.steps());
        let (samples, delta) = (&mut self.state.samples, &mut self.state.delta);
        samples.par_iter_mut().zip(delta.par_chunks_mut(total)).enumerate().for_each(
            |(b, (sample, delta))| {
                for (l, (layer, measured)) in layers.iter().zip(part.layers).enumerate() {
                    let (below, rest) = sample.layers.split_at_mut(l);
                    let Some(own) = rest.first_mut() else { return };
                    let incoming =
                        below.last().map_or(batch.inputs.at(b, t), |below| &below.spikes);
                    let units = layer.geometry.membranes.channels;
                    let membrane = measured.membrane.as_deref().unwrap_or(&[]);
                    own.observe(constants, incoming, &membrane[(b * steps + t) * units..][..units]);
                    own.take_spikes(measured.spikes.as_ref().map_or(&[][..], |s| s.at(b, t)));
                }
                if taught {
                    let key = mix(key, (first + b) as u64);
                    let teach = Teach { label: batch.labels[b], key, weight };
                    sample.teach(layers, constants, &teach, delta);
                }
            },
        );
    }

    fn check_measured(&self, part: &Part<'_, F>, learns: bool) -> Result<()> {
        let config = &self.config;
        for (what, got, fine) in [
            ("network.update_every", config.update_every as f64, config.update_every == 0),
            ("network.regularisation", config.regularisation, config.regularisation == 0.0),
            ("network.trigger", config.trigger.unwrap_or(0.0), config.trigger.is_none()),
        ] {
            if learns && !fine {
                let must = "with measurements it must be 0 (left out): weights change between runs, and a batch comes in parts";
                return Err(ModelError::Parameter { what, got, must });
            }
        }
        let (steps, samples) = (part.batch.inputs.steps(), part.batch.inputs.samples());
        for (layer, own) in self.layers.iter().enumerate() {
            if !own.geometry.is_dense() {
                let problem = "is not dense: only dense layers are placed on a chip";
                return Err(ModelError::Architecture { layer, problem });
            }
            let units = own.geometry.membranes.channels;
            let found = part.layers.get(layer);
            let spikes = found.and_then(|found| found.spikes.as_ref());
            let got = spikes.map_or([0; 3], |s| [s.samples(), s.steps(), s.units()]).to_vec();
            let shape = |what, expected, got| ModelError::Shape { what, layer, expected, got };
            if got != [samples, steps, units] {
                let what = "measured spikes [sample, state, unit]";
                return Err(shape(what, vec![samples, steps, units], got));
            }
            let membrane = found.and_then(|found| found.membrane.as_ref()).map_or(0, Vec::len);
            if learns && membrane != samples * steps * units {
                let (expected, got) = (vec![samples * steps * units], vec![membrane]);
                return Err(shape("measured membranes", expected, got));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
