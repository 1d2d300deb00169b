//! First weights such that membranes have variance 1 and a mean near 0: layer-sequential unit
//! variance (Mishkin & Matas 2016), on spikes.
//!
//! Layer by layer, from orthogonal weights without bias, on a few samples: weights are divided by
//! the standard deviation of U until its variance lies in 1 ± 0.1, and the bias is shifted by
//! −½ mean(U) until |mean(U)| ≤ 0.2. Statistics are over samples, units and the steps after
//! burn-in (all steps if the samples are shorter than that).

use rayon::prelude::*;

use super::Decolle;
use super::sample::{Membranes, Sample};
use crate::error::{ModelError, Result};
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Samples that are looked at (published).
const SAMPLES: usize = 32;
/// Most rounds for one layer.
const ROUNDS: usize = 40;
/// Distance of the variance from 1 that is good enough (published).
const VARIANCE: f64 = 0.1;
/// Variance of a membrane that does not move, for what rounding leaves of it.
const CONSTANT: f64 = 1e-12;
/// Distance of the mean from 0 that is good enough (published).
const MEAN: f64 = 0.2;

/// Membranes of a layer after the initialisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
    /// Rounds that were needed; the most allowed are 40.
    pub rounds: usize,
}

impl Spread {
    fn reached(&self) -> bool {
        (self.variance - 1.0).abs() <= VARIANCE && self.mean.abs() <= MEAN
    }
}

impl<F: Real> Decolle<F> {
    /// Scales the weights on the first 32 samples of `inputs`. Returns what was reached in each
    /// layer.
    ///
    /// # Errors
    /// Inputs of another size; a layer whose membranes do not move at all.
    pub fn initialise(&mut self, inputs: &SpikeTrains) -> Result<Vec<Spread>> {
        self.check_inputs(inputs)?;
        (0..self.layers.len()).map(|l| self.initialise_layer(l, inputs)).collect()
    }

    fn initialise_layer(&mut self, l: usize, inputs: &SpikeTrains) -> Result<Spread> {
        let mut spread = self.spread(l, inputs);
        while !spread.reached() && spread.rounds < ROUNDS {
            if spread.variance.is_nan() || spread.variance <= CONSTANT {
                return Err(ModelError::Architecture {
                    layer: l,
                    problem: "has a constant membrane on the samples of the initialisation: use samples with more spikes, a longer trial or a larger gain",
                });
            }
            let layer = &mut self.layers[l];
            if (spread.variance - 1.0).abs() > VARIANCE {
                let factor = F::of(1.0 / libm::sqrt(spread.variance));
                layer.weights.iter_mut().for_each(|w| *w *= factor);
            }
            if spread.mean.abs() > MEAN {
                let shift = F::of(-0.5 * spread.mean);
                let channels = layer.geometry.membranes.channels;
                layer.bias[..channels].iter_mut().for_each(|b| *b += shift);
            }
            spread = Spread { rounds: spread.rounds + 1, ..self.spread(l, inputs) };
        }
        Ok(spread)
    }

    /// Statistics of the membranes of layer `l`.
    pub(super) fn spread(&self, l: usize, inputs: &SpikeTrains) -> Spread {
        let layers = &self.layers[..=l];
        let first = if self.config.burn_in < inputs.steps() { self.config.burn_in } else { 0 };
        let g = layers[l].geometry;
        let sums: Vec<[f64; 2]> = (0..inputs.samples().min(SAMPLES))
            .into_par_iter()
            .map(|b| {
                let mut sample = Sample::new(layers, self.classes);
                let (mut sum, mut square) = (0.0, 0.0);
                for t in 0..inputs.steps() {
                    let from = Membranes::FromCurrents { traces: false };
                    sample.advance(layers, &self.constants, inputs.at(b, t), from);
                    if t < first {
                        continue;
                    }
                    for pixel in sample.layers[l].u.chunks_exact(g.stride) {
                        for u in &pixel[..g.membranes.channels] {
                            sum += u.wide();
                            square += u.wide() * u.wide();
                        }
                    }
                }
                [sum, square]
            })
            .collect();
        let count = (sums.len() * (inputs.steps() - first) * g.membranes.units()) as f64;
        let mean = sums.iter().map(|s| s[0]).sum::<f64>() / count;
        let variance = sums.iter().map(|s| s[1]).sum::<f64>() / count - mean * mean;
        Spread { mean, variance, rounds: 0 }
    }
}
