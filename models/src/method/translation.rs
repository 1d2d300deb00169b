//! Network translation: weights of a trained network of rectified units, thresholds balanced on data.
//!
//! A rectified unit of activation `a = relu(W a_below)` becomes an integrate-and-fire unit with the same weights. Its
//! rate cannot exceed one spike a step, so every layer is scaled by `λ`, a high percentile of the activations of that
//! layer over training samples (data-based balancing: Diehl et al., IJCNN 2015; the percentile instead of the
//! maximum: Rueckauer et al., Front. Neurosci. 2017). Rates are to be `a/λ`, which is the case with thresholds
//!
//! ```text
//! θ^l = λ^l / λ^(l−1),   λ of the analog input = 1
//! ```
//!
//! The reset is subtractive, so that no drive is lost. A membrane that starts at θ/2 rounds the rate to the nearest
//! number of spikes instead of down (Bu et al., ICLR 2022). The readout integrates without threshold: its order of
//! classes does not depend on a scale.

use serde::{Deserialize, Serialize};

use super::rate::integrate_and_fire;
use crate::error::{ModelError, Result};
use crate::layer::LayerSpec;
use crate::network::Network;
use crate::real::Real;

/// Activations below this count as none: a layer without any keeps a scale of 1.
const SILENT: f64 = 1e-9;

/// How thresholds are balanced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Balance {
    /// Percentile of the activations of a layer that fires once a step, above 0 and at most 100.
    pub percentile: f64,
    /// Whether membranes start at half their threshold.
    pub half_threshold_start: bool,
}

impl Default for Balance {
    fn default() -> Self {
        Self { percentile: 99.9, half_threshold_start: true }
    }
}

impl Balance {
    /// Checks the percentile.
    ///
    /// # Errors
    /// One that is not above 0 and at most 100.
    pub fn check(self) -> Result<()> {
        if self.percentile > 0.0 && self.percentile <= 100.0 {
            return Ok(());
        }
        let must = "it must be above 0 and at most 100";
        Err(ModelError::Parameter { what: "translation.percentile", got: self.percentile, must })
    }
}

/// Activations of every hidden layer `[layer][sample · unit]` of the rectified units for inputs `[sample][channel]`.
#[must_use]
pub fn activations<F: Real>(network: &Network<F>, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let hidden = network.layers.len().saturating_sub(1);
    let mut all = vec![Vec::new(); hidden];
    for x in inputs {
        let mut below = x.clone();
        for (layer, all) in network.layers[..hidden].iter().zip(&mut all) {
            let mut own = vec![0.0; layer.spec.units];
            for (rate, row) in below.iter().zip(layer.weights.rows()) {
                own.iter_mut().zip(row).for_each(|(o, w)| *o += rate * w.wide());
            }
            own.iter_mut().for_each(|o| *o = o.max(0.0));
            all.extend_from_slice(&own);
            below = own;
        }
    }
    all
}

/// Value that `percentile` % of `values` do not exceed (nearest rank); 0 without values.
fn percentile(mut values: Vec<f64>, percentile: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let rank = libm::ceil(percentile / 100.0 * values.len() as f64) as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// The spiking network of `steps` steps for a trained network of rectified units without biases, balanced on the
/// inputs `samples` (`[sample][channel]`, constant over time).
///
/// # Errors
/// A percentile out of range, no samples, a recurrent network, samples of another width.
pub fn translate<F: Real>(
    trained: &Network<F>,
    samples: &[Vec<f64>],
    balance: Balance,
    steps: usize,
) -> Result<Network<F>> {
    balance.check()?;
    trained.check()?;
    if samples.is_empty() {
        return Err(ModelError::Size { what: "samples to balance on", got: 0, max: usize::MAX });
    }
    if let Some(sample) = samples.iter().find(|s| s.len() != trained.inputs) {
        let (expected, got) = (trained.inputs, sample.len());
        return Err(ModelError::Input {
            what: "channels of a sample to balance on",
            expected,
            got,
        });
    }
    if let Some(layer) = trained.layers.iter().position(|l| l.recurrent.is_some()) {
        let problem = "is recurrent: only feed-forward networks can be translated";
        return Err(ModelError::Architecture { layer, problem });
    }
    let mut network = trained.clone();
    network.steps = steps;
    let (top, mut below) = (network.layers.len() - 1, 1.0);
    let mut scales = Vec::with_capacity(top);
    for values in activations(trained, samples) {
        let scale = percentile(values, balance.percentile);
        scales.push(if scale > SILENT { scale } else { 1.0 });
    }
    for (layer, scale) in network.layers[..top].iter_mut().zip(scales) {
        let threshold = scale / below;
        below = scale;
        let start = if balance.half_threshold_start { threshold / 2.0 } else { 0.0 };
        layer.spec = LayerSpec {
            threshold: threshold.into(),
            initial_membrane: start,
            ..integrate_and_fire(layer.spec.units)
        };
    }
    let classes = network.layers[top].spec.units;
    network.layers[top].spec = integrate_and_fire(1).readout(classes);
    network.check()?;
    Ok(network)
}

/// The input of one sample on the time grid: its values as constant graded events.
pub fn constant_input(values: &[f64], steps: usize, into: &mut crate::SpikeTrains) {
    for _ in 0..steps {
        for (channel, value) in values.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            into.push_graded(channel as u16, *value as f32);
        }
        into.end_step();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::SpikeTrains;
    use crate::inference::{Batch, Inference};
    use crate::init::{Init, draw};
    use crate::loss::Loss;

    fn trained() -> Network<f64> {
        let specs =
            vec![integrate_and_fire(8), integrate_and_fire(6), integrate_and_fire(1).readout(3)];
        let mut network = Network::new(2, 4, specs, &[]).unwrap();
        for layer in 0..3 {
            draw(&mut network, layer, &Init::Normal { mean: 0.3, std: 1.5 }, None, 8).unwrap();
        }
        network
    }

    fn samples() -> Vec<Vec<f64>> {
        let mut rng = crate::random::stream(3, 3);
        (0..40).map(|_| (0..4).map(|_| crate::random::uniform(&mut rng)).collect()).collect()
    }

    #[test]
    fn rates_approach_the_scaled_activations() {
        let (trained, samples) = (trained(), samples());
        let balance = Balance { percentile: 100.0, ..Balance::default() };
        let all = activations(&trained, &samples);
        let error = |steps: usize| {
            let network = translate(&trained, &samples, balance, steps + 1).unwrap();
            let mut inputs = SpikeTrains::new(steps + 1, 4);
            constant_input(&samples[0], steps + 1, &mut inputs);
            let inference = Inference::new(&network, Loss::LastStep { scale: 1.0 }).unwrap();
            let batch = Batch {
                inputs: &inputs,
                labels: None,
                first: 0,
                tie_break_key: 1,
                observation: None,
            };
            let recordings = inference.record(&batch, 0).unwrap();
            let mut worst: f64 = 0.0;
            for (l, units) in [8, 6].into_iter().enumerate() {
                let scale = all[l].iter().copied().fold(0.0, f64::max);
                let fires = |unit: u16| {
                    let spikes = &recordings[l].spikes;
                    (0..=steps).filter(|t| spikes.at(0, *t).contains(&unit)).count() as f64
                };
                for (unit, activation) in all[l][..units].iter().enumerate() {
                    let rate = fires(unit as u16) / steps as f64;
                    worst = worst.max((rate - activation / scale).abs());
                }
            }
            worst
        };
        // The error of a rate is a few spikes, whatever the number of steps.
        assert!(error(50) < 0.1, "{}", error(50));
        assert!(error(1000) < 0.01, "{}", error(1000));
    }

    #[test]
    fn thresholds_take_the_scale_of_both_sides() {
        let (trained, samples) = (trained(), samples());
        let balance = Balance { percentile: 90.0, half_threshold_start: true };
        let network = translate(&trained, &samples, balance, 10).unwrap();
        let ranked = |l: usize| {
            let mut values = activations(&trained, &samples)[l].clone();
            values.sort_unstable_by(f64::total_cmp);
            values[values.len() * 9 / 10 - 1]
        };
        let threshold = |l: usize| network.layers[l].spec.threshold.at(0);
        assert_eq!(threshold(0), ranked(0));
        assert_eq!(threshold(1), ranked(1) / ranked(0));
        assert_eq!(network.layers[1].spec.initial_membrane, threshold(1) / 2.0);
    }

    #[test]
    fn what_cannot_be_translated_is_refused() {
        let (trained, samples) = (trained(), samples());
        let wrong = |balance: Balance, samples: &[Vec<f64>]| {
            translate(&trained, samples, balance, 10).unwrap_err().to_string()
        };
        let zero = Balance { percentile: 0.0, ..Balance::default() };
        assert!(wrong(zero, &samples).contains("translation.percentile"));
        assert!(wrong(Balance::default(), &[]).contains("samples to balance on"));
        assert!(wrong(Balance::default(), &[vec![1.0]]).contains("channels"));
    }
}
