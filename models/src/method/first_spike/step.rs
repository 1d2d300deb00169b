//! One step of Adam with ε inside the root, row by row, and the state that it needs.

use rayon::prelude::*;

use super::FirstSpike;
use super::network::Dense;
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;

/// Rows of weights that one task of the thread pool changes.
const ROWS: usize = 64;

/// Moments of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    mean: Aligned<f64>,
    square: Aligned<f64>,
    pulse_mean: Vec<f64>,
    pulse_square: Vec<f64>,
}

impl Moments {
    pub(crate) fn new(dense: &Dense) -> Self {
        let len = dense.weights.len();
        let pulses = vec![0.0; dense.pulses.len()];
        Self {
            mean: Aligned::zeros(len),
            square: Aligned::zeros(len),
            pulse_mean: pulses.clone(),
            pulse_square: pulses,
        }
    }
}

/// Numbers of one step, the same for all weights.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    beta1: f64,
    beta2: f64,
    /// η/(1 − β₁ᵗ).
    step: f64,
    /// 1/(1 − β₂ᵗ).
    square: f64,
    epsilon: f64,
}

kernel! {
    /// `w ← w − η m̂/√(v̂ + ε)`.
    fn adam[](w: &mut [f64], g: &[f64], m: &mut [f64], v: &mut [f64], c: Constants) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            *m = c.beta1 * *m + (1.0 - c.beta1) * *g;
            *v = c.beta2 * *v + (1.0 - c.beta2) * (*g * *g);
            *w -= c.step * *m / (*v * c.square + c.epsilon).sqrt();
        }
    }
}

impl FirstSpike {
    fn constants(&self, rate: f64) -> Constants {
        let (config, t) = (&self.config, self.steps as f64);
        Constants {
            beta1: config.beta1,
            beta2: config.beta2,
            step: rate * self.pace / (1.0 - libm::pow(config.beta1, t)),
            square: 1.0 / (1.0 - libm::pow(config.beta2, t)),
            epsilon: config.epsilon,
        }
    }

    /// Changes the weights and pulse times of `layer` by the mean gradient of the batch.
    pub(super) fn step(&mut self, layer: usize, samples: usize, teaching: usize) {
        let gradient = self.pulse_gradient(layer, samples, teaching);
        let (weights, pulses) =
            (self.constants(self.config.rate), self.constants(self.config.pulse_rate));
        let stride = self.network.layers[layer].stride;
        // Taken out while the rows read the samples.
        let mut w = std::mem::take(&mut self.network.layers[layer].weights);
        let mut mean = std::mem::take(&mut self.moments[layer].mean);
        let mut square = std::mem::take(&mut self.moments[layer].square);
        let chunk = stride * ROWS;
        let change =
            |sum: &mut Vec<f64>, first: usize, w: &mut [f64], m: &mut [f64], v: &mut [f64]| {
                sum.resize(stride, 0.0);
                let rows = w.chunks_exact_mut(stride).zip(m.chunks_exact_mut(stride));
                for (k, ((w, m), v)) in rows.zip(v.chunks_exact_mut(stride)).enumerate() {
                    self.row_gradient(layer, first + k, teaching, sum);
                    adam(w, sum, m, v, weights);
                }
            };
        if w.len() <= chunk {
            change(&mut Vec::new(), 0, &mut w, &mut mean, &mut square);
        } else {
            let chunks = w.par_chunks_mut(chunk).zip(mean.par_chunks_mut(chunk));
            let chunks = chunks.zip(square.par_chunks_mut(chunk)).enumerate();
            chunks.for_each_init(Vec::new, |sum, (k, ((w, m), v))| change(sum, k * ROWS, w, m, v));
        }
        let dense = &mut self.network.layers[layer];
        dense.weights = w;
        let moments = &mut self.moments[layer];
        (moments.mean, moments.square) = (mean, square);
        let (m, v) = (&mut moments.pulse_mean, &mut moments.pulse_square);
        adam(&mut dense.pulses, &gradient, m, v, pulses);
        dense.pulses.iter_mut().for_each(|t| *t = t.max(0.0));
    }

    /// Hands out everything that learning continues from: names, and numbers without padding.
    pub fn save(&self, mut put: impl FnMut(String, &[usize], Vec<f64>)) {
        put("steps".into(), &[1], vec![self.steps as f64]);
        for (layer, (dense, moments)) in self.network.layers.iter().zip(&self.moments).enumerate() {
            let matrices =
                [("weights", &dense.weights), ("mean", &moments.mean), ("square", &moments.square)];
            for (name, matrix) in matrices {
                let rows = matrix.chunks_exact(dense.stride);
                let values = rows.flat_map(|row| row[..dense.post].iter().copied()).collect();
                put(format!("{layer}.{name}"), &[dense.rows(), dense.post], values);
            }
            let pulses = [
                ("pulses", &dense.pulses),
                ("pulse-mean", &moments.pulse_mean),
                ("pulse-square", &moments.pulse_square),
            ];
            for (name, values) in pulses {
                put(format!("{layer}.{name}"), &[values.len()], values.clone());
            }
        }
    }

    /// Takes back what [`Self::save`] handed out, by name and shape: learning continues with the same bits.
    ///
    /// # Errors
    /// [`ModelError::OptimizerState`] if a name is missing or has another length.
    pub fn restore(
        &mut self,
        mut get: impl FnMut(&str, &[usize]) -> Option<Vec<f64>>,
    ) -> Result<()> {
        let mut take = |name: String, shape: &[usize]| {
            let expected = shape.iter().product();
            let values = get(&name, shape).unwrap_or_default();
            if values.len() == expected {
                return Ok(values);
            }
            Err(ModelError::OptimizerState { name, expected, got: values.len() })
        };
        self.steps = take("steps".into(), &[1])?[0] as u64;
        for layer in 0..self.moments.len() {
            let (dense, moments) = (&mut self.network.layers[layer], &mut self.moments[layer]);
            let (rows, post, stride) = (dense.rows(), dense.post, dense.stride);
            let matrices = [
                ("weights", &mut dense.weights),
                ("mean", &mut moments.mean),
                ("square", &mut moments.square),
            ];
            for (name, matrix) in matrices {
                let values = take(format!("{layer}.{name}"), &[rows, post])?;
                let into = matrix.chunks_exact_mut(stride);
                for (into, from) in into.zip(values.chunks_exact(post)) {
                    into[..post].copy_from_slice(from);
                }
            }
            let pulses = [
                ("pulses", &mut dense.pulses),
                ("pulse-mean", &mut moments.pulse_mean),
                ("pulse-square", &mut moments.pulse_square),
            ];
            for (name, values) in pulses {
                *values = take(format!("{layer}.{name}"), &[values.len()])?;
            }
        }
        Ok(())
    }
}
