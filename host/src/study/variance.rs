//! How noisy the gradient of sampled spikes is, against the number of draws, and how it lies to other gradients.

use super::{StudyError, Watch};
use crate::data::Dataset;
use crate::experiment::{Experiment, MethodName};
use serde::{Deserialize, Serialize};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::noise::{Estimate, Noise, NoisyBptt};
use spikeloop_models::method::{Chunk, Gradients, Method};
use spikeloop_models::network::Network;
use spikeloop_models::random::mix;

/// Gradients that a variance is taken over.
const REPEATS: u64 = 16;
/// Training samples that every gradient is of.
const SAMPLES: u32 = 50;

/// Noise of the gradient at one number of draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Draws of each sample.
    pub draws: usize,
    /// Total variance of the gradient over the squared length of its mean.
    pub relative_variance: f64,
}

/// What is known of the sampled gradient at the initial weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Variance {
    /// Against draws.
    pub points: Vec<Point>,
    /// Cosine of the angle between its mean and the gradient of the mean activity.
    pub cosine_expected: f64,
    /// Cosine of the angle between its mean and the surrogate gradient.
    pub cosine_surrogate: f64,
}

fn flat(gradients: &Gradients<f32>) -> Vec<f64> {
    let matrices =
        gradients.layers.iter().flat_map(|l| l.weights.iter().chain(l.recurrent.iter().flatten()));
    matrices.map(|g| f64::from(*g)).collect()
}

/// Cosine of the angle between two vectors; 0 if one of them is 0.
#[must_use]
pub fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let size = (dot(a, a) * dot(b, b)).sqrt();
    if size > 0.0 { dot(a, b) / size } else { 0.0 }
}

fn gradient(
    method: &mut dyn Method<f32>,
    network: &Network<f32>,
    inputs: &SpikeTrains,
    labels: &[u16],
    key: u64,
) -> Result<Vec<f64>, StudyError> {
    method.begin(network)?;
    let chunk = Chunk { inputs, labels, first: 0, batch: labels.len(), tie_break_key: key };
    method.accumulate(&chunk, None)?;
    Ok(flat(method.finish()?))
}

/// Measures at the initial weights of `experiment`, whose method is [`MethodName::Bptt`].
///
/// # Errors
/// [`StudyError`].
pub fn measure(
    experiment: &Experiment,
    data: &Dataset,
    noise: Noise,
    draws: &[usize],
    watch: &dyn Watch,
) -> Result<Variance, StudyError> {
    debug_assert_eq!(experiment.learning.method, MethodName::Bptt);
    let network = experiment.network(data.inputs, data.classes)?;
    let samples: Vec<u32> = (0..SAMPLES.min(data.train.len() as u32)).collect();
    let mut inputs = SpikeTrains::default();
    data.train.encode(&samples, &experiment.grid(), &mut inputs);
    let labels = &data.train.labels[..samples.len()];
    // No penalties: the gradient of the loss alone.
    let config = || BpttConfig {
        loss: experiment.learning.loss,
        regularisers: Vec::new(),
        sigma_at_measured_spikes: true,
    };
    let mut out = Variance::default();
    let mut mean = Vec::new();
    for &draws in draws {
        if watch.stop() {
            return Err(StudyError::Interrupted);
        }
        let noise = Noise { draws, estimate: Estimate::Sampled, ..noise };
        let mut method = NoisyBptt::new(&network, config(), noise)?;
        let key = |repeat| mix(mix(experiment.seed, draws as u64), repeat);
        let all: Vec<Vec<f64>> = (0..REPEATS)
            .map(|repeat| gradient(&mut method, &network, &inputs, labels, key(repeat)))
            .collect::<Result<_, _>>()?;
        let n = all.len() as f64;
        mean = (0..all[0].len()).map(|k| all.iter().map(|g| g[k]).sum::<f64>() / n).collect();
        let variance: f64 =
            all.iter().flat_map(|g| g.iter().zip(&mean).map(|(g, m)| (g - m).powi(2))).sum::<f64>()
                / (n - 1.0);
        // The squared length of a mean of n holds the n-th part of the variance.
        let squared: f64 = mean.iter().map(|m| m * m).sum::<f64>() - variance / n;
        let relative_variance = if squared > 0.0 { variance / squared } else { f64::NAN };
        out.points.push(Point { draws, relative_variance });
        watch.advance(1);
    }
    let expected = Noise { draws: 1, estimate: Estimate::Expected, ..noise };
    let mut method = NoisyBptt::new(&network, config(), expected)?;
    out.cosine_expected = cosine(&mean, &gradient(&mut method, &network, &inputs, labels, 0)?);
    let mut method = Bptt::new(&network, config())?;
    out.cosine_surrogate = cosine(&mean, &gradient(&mut method, &network, &inputs, labels, 0)?);
    Ok(out)
}
