//! Weights and pulse times.

use ndarray::Array2;

use super::config::NetworkConfig;
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::random;

/// Weights of one layer `[pre, post]`; the presynaptic pulses follow the presynaptic neurons.
#[derive(Clone, Debug)]
pub(crate) struct Dense {
    /// Presynaptic neurons, without pulses.
    pub(crate) pre: usize,
    /// Receiving neurons.
    pub(crate) post: usize,
    /// Receiving neurons with padding: length of a row.
    pub(crate) stride: usize,
    /// Rows of weights.
    pub(crate) weights: Aligned<f64>,
    /// Times of the presynaptic pulses.
    pub(crate) pulses: Vec<f64>,
}

impl Dense {
    /// Number of rows: neurons and pulses.
    pub(crate) fn rows(&self) -> usize {
        self.pre + self.pulses.len()
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.weights[row * self.stride..][..self.stride]
    }
}

/// A feed-forward network whose neurons fire at most once.
#[derive(Clone, Debug)]
pub struct FirstSpikeNetwork {
    pub(crate) config: NetworkConfig,
    pub(crate) layers: Vec<Dense>,
}

impl FirstSpikeNetwork {
    /// A network of `inputs` inputs and `classes` outputs with the first weights of Comsa et al.
    /// (2019): normal, `σ = √(2/(fan_in + fan_out))` with the pulses in the fan-in, and mean
    /// `mean σ` for neurons, `pulse_mean σ` for pulses. Each layer draws from its own stream of
    /// `seed`, in the order `[pre, post]`; pulses start at `pulse_range i/(n + 1)`.
    ///
    /// # Errors
    /// Numbers out of range ([`NetworkConfig::check`]), no inputs or fewer than two classes.
    pub fn new(config: NetworkConfig, inputs: usize, classes: usize, seed: u64) -> Result<Self> {
        config.check()?;
        let max = usize::from(u16::MAX) - config.pulses;
        for (what, got, least) in [("inputs", inputs, 1), ("classes", classes, 2)] {
            if got < least || got > max {
                return Err(ModelError::Size { what, got, max });
            }
        }
        let sizes: Vec<usize> =
            [inputs].into_iter().chain(config.hidden.iter().copied()).chain([classes]).collect();
        let spacing = config.pulse_range / (config.pulses + 1) as f64;
        let layers = sizes.windows(2).enumerate().map(|(layer, size)| {
            let (pre, post) = (size[0], size[1]);
            let rows = pre + config.pulses;
            let stride = padded(post);
            let std = (2.0 / (rows + post) as f64).sqrt();
            let mut rng = random::stream(seed, layer as u64);
            let mut weights = Aligned::zeros(rows * stride);
            for (row, weights) in weights.chunks_exact_mut(stride).enumerate() {
                let mean = if row < pre { config.mean } else { config.pulse_mean };
                for w in &mut weights[..post] {
                    *w = std * (random::normal(&mut rng) + mean);
                }
            }
            let pulses = (1..=config.pulses).map(|i| spacing * i as f64).collect();
            Dense { pre, post, stride, weights, pulses }
        });
        let layers = layers.collect();
        Ok(Self { config, layers })
    }

    /// Number of layers with weights.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Number of inputs, without pulses.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |l| l.pre)
    }

    /// Number of outputs.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |l| l.post)
    }

    /// Sizes and neuron.
    #[must_use]
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// Weights `[pre, post]` of layer `layer` (0 = onto the first hidden layer); the rows of the
    /// pulses stand last.
    ///
    /// # Panics
    /// If there is no such layer.
    #[must_use]
    pub fn weights(&self, layer: usize) -> Array2<f64> {
        let dense = &self.layers[layer];
        let shape = (dense.rows(), dense.post);
        Array2::from_shape_fn(shape, |(pre, post)| dense.weights[pre * dense.stride + post])
    }

    /// Times of the pulses that act on layer `layer`.
    ///
    /// # Panics
    /// If there is no such layer.
    #[must_use]
    pub fn pulses(&self, layer: usize) -> &[f64] {
        &self.layers[layer].pulses
    }

    /// Replaces weights and pulse times of one layer.
    ///
    /// # Errors
    /// Another shape, a weight that is not finite, a pulse time that is negative or not finite.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn set(&mut self, layer: usize, weights: &Array2<f64>, pulses: &[f64]) -> Result<()> {
        let dense = &mut self.layers[layer];
        let shape = |what, expected: &[usize], got: &[usize]| {
            let (expected, got) = (expected.to_vec(), got.to_vec());
            if expected == got {
                return Ok(());
            }
            Err(ModelError::Shape { what, layer, expected, got })
        };
        shape("pulse times", &[dense.pulses.len()], &[pulses.len()])?;
        shape("weights [pre + pulses, post]", &[dense.rows(), dense.post], weights.shape())?;
        if let Some(&got) = weights.iter().find(|w| !w.is_finite()) {
            let must = "weights must be finite numbers";
            return Err(ModelError::Parameter { what: "weight", got, must });
        }
        if let Some(&got) = pulses.iter().find(|t| !(t.is_finite() && **t >= 0.0)) {
            let must = "pulse times must be 0 or positive";
            return Err(ModelError::Parameter { what: "pulse time", got, must });
        }
        dense.pulses.copy_from_slice(pulses);
        for (into, from) in dense.weights.chunks_exact_mut(dense.stride).zip(weights.rows()) {
            for (w, new) in into.iter_mut().zip(from) {
                *w = *new;
            }
        }
        Ok(())
    }
}
