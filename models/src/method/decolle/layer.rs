//! A layer with its weights, and the fixed random readout that teaches it.

use rand_chacha::ChaCha8Rng;

use super::config::DecolleConfig;
use super::geometry::Geometry;
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::random;
use crate::real::Real;

/// Weights, bias and readout of a layer.
#[derive(Clone, Debug)]
pub(super) struct Layer<F> {
    pub(super) geometry: Geometry,
    /// `[(input channel, kernel row, kernel column), channel padded]`.
    pub(super) weights: Aligned<F>,
    /// `[channel padded]`.
    pub(super) bias: Aligned<F>,
    /// Readout `[unit, class padded]`; never learned.
    pub(super) readout: Aligned<F>,
    /// Its transpose `[class, unit padded]`.
    pub(super) feedback: Aligned<F>,
    /// `[class padded]`.
    pub(super) readout_bias: Aligned<F>,
    /// Of the local error, in error-triggered learning.
    pub(super) threshold: F,
}

/// First threshold of error-triggered learning: below any error that matters, so that learning
/// starts with every pair and the threshold rises to its place within some tens of steps.
const FIRST_THRESHOLD: f64 = 1e-3;

impl<F: Real> Layer<F> {
    /// Orthogonal weights without bias (Saxe et al. 2014) and a uniform readout. The weights take
    /// stream `2 · index` of the seed, the readout the one after it.
    pub(super) fn draw(
        geometry: Geometry,
        classes: usize,
        config: &DecolleConfig,
        seed: u64,
        index: u64,
    ) -> Self {
        let mut rng = random::stream(seed, 2 * index);
        let channels = geometry.membranes.channels;
        let matrix = orthogonal(geometry.rows(), channels, &mut rng);
        let mut weights = Aligned::zeros(geometry.rows() * geometry.stride);
        for (row, values) in
            weights.chunks_exact_mut(geometry.stride).zip(matrix.chunks_exact(channels))
        {
            row.iter_mut().zip(values).for_each(|(w, x)| *w = F::of(*x));
        }
        let mut rng = random::stream(seed, 2 * index + 1);
        let units = geometry.units.units();
        let bound = config.readout_amplitude / libm::sqrt(units as f64);
        let mut uniform = || F::of(bound * (2.0 * random::uniform(&mut rng) - 1.0));
        let (wide, tall) = (padded(classes), padded(units));
        let mut readout = Aligned::zeros(units * wide);
        for row in readout.chunks_exact_mut(wide) {
            row[..classes].iter_mut().for_each(|g| *g = uniform());
        }
        let mut readout_bias = Aligned::zeros(wide);
        readout_bias[..classes].iter_mut().for_each(|b| *b = uniform());
        let mut layer = Self {
            geometry,
            weights,
            bias: Aligned::zeros(geometry.stride),
            readout,
            feedback: Aligned::zeros(classes * tall),
            readout_bias,
            threshold: F::of(FIRST_THRESHOLD),
        };
        layer.transpose();
        layer
    }

    /// Brings the transpose of the readout in line with it.
    pub(super) fn transpose(&mut self) {
        let wide = self.readout_bias.len();
        let tall = padded(self.geometry.units.units());
        for (class, row) in self.feedback.chunks_exact_mut(tall).enumerate() {
            for (to, from) in row.iter_mut().zip(self.readout.chunks_exact(wide)) {
                *to = from[class];
            }
        }
    }
}

/// A `rows × columns` matrix whose shorter side is orthonormal, by Gram–Schmidt on normal numbers,
/// twice, so that rounding does not spoil it.
fn orthogonal(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (many, long) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(many);
    for _ in 0..many {
        let mut new: Vec<f64> = (0..long).map(|_| random::normal(rng)).collect();
        for _ in 0..2 {
            for old in &vectors {
                let dot: f64 = new.iter().zip(old).map(|(a, b)| a * b).sum();
                new.iter_mut().zip(old).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = libm::sqrt(new.iter().map(|a| a * a).sum());
        new.iter_mut().for_each(|a| *a /= norm);
        vectors.push(new);
    }
    let at = |r: usize, c: usize| if rows < columns { vectors[r][c] } else { vectors[c][r] };
    (0..rows * columns).map(|k| at(k / columns, k % columns)).collect()
}
