//! The linear readout: `r(t) = β_ro r(t−1) + (1 − β_ro) s(t)`, r(0) = s(0), output `J_out r`.
//!
//! As in [`super::offline`], products with the raster come first and filters after.

use rand_chacha::ChaCha8Rng;

use super::adam::{Step, ascend};
use super::config::Factors;
use super::dynamics::filter;
use super::pattern::Pattern;
use super::series::Series;
use super::weights::{Span, Weights};
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::{gather, scatter};
use crate::random;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Weights and their moments.
#[derive(Clone, Debug)]
pub(crate) struct Readout<F> {
    /// `[neuron, K]`.
    pub(crate) weights: Weights<F>,
    pub(crate) mean: Vec<Aligned<F>>,
    pub(crate) square: Vec<Aligned<F>>,
    gradient: Vec<Aligned<F>>,
}

impl<F: Real> Readout<F> {
    /// Weights from N(0, sigma), drawn in row-major order `[K, neuron]`.
    pub(crate) fn new(neurons: usize, outputs: usize, sigma: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut weights = Weights::zeros(neurons, outputs);
        for k in 0..outputs {
            for neuron in 0..neurons {
                weights.set(neuron, k, F::of(sigma * random::normal(rng)));
            }
        }
        let zeros: Vec<_> = weights.tiles.iter().map(|tile| Aligned::zeros(tile.len())).collect();
        Self { weights, mean: zeros.clone(), square: zeros.clone(), gradient: zeros }
    }

    /// What is read from `spikes` (one sample), `[time, K]`.
    pub(crate) fn read(&self, f: Factors<F>, spikes: &SpikeTrains) -> Series<F> {
        let [_, outputs] = self.weights.shape();
        let mut out = Series::zeros(spikes.steps(), outputs);
        for (span, tile) in Span::all(outputs).iter().zip(&self.weights.tiles) {
            let (mut sum, mut o) = (Aligned::<F>::zeros(span.width), Aligned::zeros(span.width));
            for t in 0..spikes.steps() {
                sum.fill(F::zero());
                gather(&mut sum, tile, spikes.at(0, t));
                filter(&mut o, &sum, f.readout, f.readout_spike_gain(t));
                out.padded_row_mut(t)[span.range()].copy_from_slice(&o);
            }
        }
        out
    }

    /// One step of Adam with the gradient summed over all bins of all target rasters; returns the
    /// sum of the squared errors before the step.
    pub(crate) fn learn(&mut self, f: Factors<F>, patterns: &[Pattern<F>], step: Step<F>) -> f64 {
        self.gradient.iter_mut().for_each(|g| g.fill(F::zero()));
        let mut squares = 0.0;
        for pattern in patterns {
            let read = self.read(f, pattern.target());
            squares += self.add_gradient(f, pattern, &read);
        }
        let moments = self.mean.iter_mut().zip(&mut self.square);
        let tiles = self.weights.tiles.iter_mut().zip(&self.gradient).zip(moments);
        for ((weights, gradient), (mean, square)) in tiles {
            ascend(weights, mean, square, gradient, step.scale, step);
        }
        squares
    }

    /// Adds `Σₜ (y − J_out r) rᵀ`.
    fn add_gradient(&mut self, f: Factors<F>, pattern: &Pattern<F>, read: &Series<F>) -> f64 {
        let (target, output) = (pattern.target(), pattern.output());
        let mut squares = 0.0;
        for (span, gradient) in Span::all(output.units()).iter().zip(&mut self.gradient) {
            let (mut error, mut back) =
                (Aligned::<F>::zeros(span.width), Aligned::<F>::zeros(span.width));
            for t in (0..output.steps()).rev() {
                let (y, o) =
                    (&output.padded_row(t)[span.range()], &read.padded_row(t)[span.range()]);
                for ((e, y), o) in error.iter_mut().zip(y).zip(o) {
                    *e = *y - *o;
                    squares += e.wide() * e.wide();
                }
                filter(&mut back, &error, f.readout, F::one());
                for (e, b) in error.iter_mut().zip(&*back) {
                    *e = f.readout_spike_gain(t) * *b;
                }
                scatter(gradient, &error, target.at(0, t));
            }
        }
        squares
    }
}
