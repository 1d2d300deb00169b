//! Rates: back-propagation through the rates of spiking neurons, as if they were rectified units.
//!
//! Input `i` has the rate `r⁰_i`, the mean of its events over the steps. A layer of integrate-and-fire units with
//! threshold θ and subtractive reset fires at `r = W r_below / θ` where that lies between 0 and 1, which is a
//! rectified linear unit. The readout integrates; its logits are `scale` times its drive per step. Backward, all
//! units are rectified units at the rates of the forward pass:
//!
//! ```text
//! z^l = W^l r^(l−1)/θ,   ∂L/∂z^l = [0 < z^l] ∂L/∂r^l   ([0 < z^l < 1] with spikes),   ∂L/∂W^l = r^(l−1) ∂L/∂z^l / θ
//! ```
//!
//! * [`Rates::Analog`]: forward with the rectified units: an ordinary neural network, the teacher of
//!   [`super::translation`].
//! * [`Rates::Spikes`]: forward with the spiking network, its spike counts over the steps as rates (tandem learning,
//!   Wu et al., IEEE TNNLS 2023). The gradient does not know when spikes came, only how many.
//!
//! Memory and time are those of an ordinary network whatever the number of steps, but for the spiking forward pass.

use serde::{Deserialize, Serialize};

use super::{Chunk, Gradients, Method, Need, Outcomes, Requirements};
use crate::engine::{Compiled, Trace, check_inputs, forward};
use crate::error::{ModelError, Result};
use crate::layer::{Current, InputScale, LayerSpec, NeuronKind, Reset, Wiring};
use crate::loss::{cross_entropy, largest};
use crate::network::Network;
use crate::observation::Observation;
use crate::random::mix;
use crate::real::Real;

/// Membrane time constant of a unit that does not leak, in steps: the decay over a step is 1 in `f32` and `f64`.
const NO_LEAK_STEPS: f64 = 1e18;

/// What runs forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rates {
    /// Spikes, counted.
    #[default]
    Spikes,
    /// Rectified linear units.
    Analog,
}

/// How rates are learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RateConfig {
    /// What runs forward.
    pub forward: Rates,
    /// Factor between the drive of a readout per step and its logit.
    pub scale: f64,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self { forward: Rates::Spikes, scale: 1.0 }
    }
}

/// Integrate-and-fire units of threshold 1: no leak, no synaptic current, subtractive reset, so that a unit fires at
/// the rate of its drive between 0 and 1 spikes a step.
#[must_use]
pub fn integrate_and_fire(units: usize) -> LayerSpec {
    LayerSpec {
        neuron: NeuronKind::Lif,
        dt_us: 1.0,
        tau_mem_us: NO_LEAK_STEPS.into(),
        tau_syn_us: 1.0.into(),
        current: Current::New,
        input_scale: InputScale::One,
        reset: Reset::Subtractive,
        ..LayerSpec::chip_grid(units)
    }
}

/// Back-propagation through rates. Runs on the calling thread: its networks are small, and studies run many at once.
#[derive(Clone, Debug)]
pub struct RateBackprop<F> {
    config: RateConfig,
    network: Compiled<F>,
    trace: Trace<F>,
    /// Rates of the input, then of every layer: `[layer][unit]`; the readout's entry holds its drive per step.
    rates: Vec<Vec<f64>>,
    /// Drive of every layer in units of its threshold.
    drive: Vec<Vec<f64>>,
    /// Adjoints of the drives.
    adjoint: Vec<Vec<f64>>,
    sums: Vec<Vec<f64>>,
    weights: Vec<Vec<f64>>,
    outcomes: Outcomes,
    gradients: Gradients<F>,
    accumulated: usize,
    batch: Option<usize>,
}

impl<F: Real> RateBackprop<F> {
    /// Memory and checks for networks of the shape of `network`.
    ///
    /// # Errors
    /// A network out of range, or one whose units have no rates of this kind: recurrent ones, encoders, a reset that
    /// is not subtractive, a threshold that is not positive.
    pub fn new(network: &Network<F>, config: RateConfig) -> Result<Self> {
        if !(config.scale.is_finite() && config.scale > 0.0) {
            let must = "it must be positive";
            return Err(ModelError::Parameter { what: "rate.scale", got: config.scale, must });
        }
        let compiled = Compiled::new(network)?;
        for (layer, spec) in network.layers.iter().map(|l| &l.spec).enumerate() {
            check_layer(layer, spec, network.layers[layer].recurrent.is_some())?;
        }
        let units = |l: &crate::layer::Layer<F>| vec![0.0; l.spec.units];
        let per_layer: Vec<Vec<f64>> = network.layers.iter().map(units).collect();
        let mut rates = per_layer.clone();
        rates.insert(0, vec![0.0; network.inputs]);
        let matrices: Vec<Vec<f64>> =
            network.layers.iter().map(|l| vec![0.0; l.weights.len()]).collect();
        let hidden = compiled.hidden();
        Ok(Self {
            config,
            trace: Trace::new(&compiled, false),
            network: compiled,
            rates,
            drive: per_layer.clone(),
            adjoint: per_layer,
            sums: matrices.clone(),
            weights: matrices,
            outcomes: Outcomes { spikes: vec![Vec::new(); hidden], ..Outcomes::default() },
            gradients: Gradients::zeros(network),
            accumulated: 0,
            batch: None,
        })
    }

    /// Runs one sample forward: rates and drives of all layers.
    fn forward(&mut self, chunk: &Chunk<'_>, sample: usize) {
        let steps = self.network.steps;
        input_rates(chunk, sample, steps, &mut self.rates[0]);
        if self.config.forward == Rates::Spikes {
            let key = mix(chunk.tie_break_key, (chunk.first + sample) as u64);
            forward(&self.network, &mut self.trace, chunk.inputs, sample, None, false, key);
        }
        for (l, layer) in self.network.layers.iter().enumerate() {
            let (below, own) = self.rates.split_at_mut(l + 1);
            let drive = &mut self.drive[l];
            drive.fill(0.0);
            for (rate, row) in below[l].iter().zip(self.weights[l].chunks_exact(layer.units)) {
                if *rate != 0.0 {
                    drive.iter_mut().zip(row).for_each(|(d, w)| *d += rate * w);
                }
            }
            drive.iter_mut().zip(layer.threshold.iter()).for_each(|(d, th)| *d /= th.wide());
            match (layer.spikes(), self.config.forward) {
                (true, Rates::Spikes) => {
                    self.trace.layers[l].counts(&mut own[0]);
                    // The state of the first step is the initial one: one step less can spike.
                    own[0].iter_mut().for_each(|n| *n /= (steps - 1) as f64);
                }
                (true, Rates::Analog) => {
                    own[0].iter_mut().zip(drive.iter()).for_each(|(r, d)| *r = d.max(0.0));
                }
                (false, _) => own[0].copy_from_slice(drive),
            }
        }
    }

    /// Adds the gradient of the sample that was run; its drives' adjoints start at `self.adjoint.last()`.
    fn backward(&mut self) {
        for l in (0..self.network.layers.len()).rev() {
            let layer = &self.network.layers[l];
            let units = layer.units;
            let (below, own) = self.adjoint.split_at_mut(l);
            let own = &mut own[0];
            own.iter_mut().zip(layer.threshold.iter()).for_each(|(a, th)| *a /= th.wide());
            for (rate, row) in self.rates[l].iter().zip(self.sums[l].chunks_exact_mut(units)) {
                if *rate != 0.0 {
                    row.iter_mut().zip(own.iter()).for_each(|(g, a)| *g += rate * a);
                }
            }
            let Some(below) = below.last_mut() else { continue };
            let limit = if self.config.forward == Rates::Spikes { 1.0 } else { f64::INFINITY };
            let rows = self.weights[l].chunks_exact(units);
            for ((adjoint, drive), row) in below.iter_mut().zip(&self.drive[l - 1]).zip(rows) {
                let open = *drive > 0.0 && *drive < limit;
                let sum = || row.iter().zip(own.iter()).map(|(w, a)| w * a).sum();
                *adjoint = if open { sum() } else { 0.0 };
            }
        }
    }
}

fn check_layer(layer: usize, spec: &LayerSpec, recurrent: bool) -> Result<()> {
    let problem = if recurrent {
        "has recurrent weights, which rates do not know: remove them"
    } else if spec.wiring == Wiring::Encoder {
        "is an encoder, which has no rates of this kind: use dense weights"
    } else if spec.neuron.spikes() && spec.reset != Reset::Subtractive {
        "loses drive at its reset: only `reset = \"subtractive\"` keeps rate and drive the same"
    } else if spec.neuron.has_current() {
        "has synaptic currents: rates need lif or li units"
    } else if (0..spec.units).any(|unit| spec.threshold.at(unit) <= 0.0) {
        "has a threshold that is not positive, so its rate has no bound"
    } else {
        return Ok(());
    };
    Err(ModelError::Architecture { layer, problem })
}

/// Mean of the events of each input over the steps that act.
fn input_rates(chunk: &Chunk<'_>, sample: usize, steps: usize, rates: &mut [f64]) {
    rates.fill(0.0);
    let values = chunk.inputs.values(sample);
    let acting = (steps - 1).max(1);
    for t in 0..acting {
        let span = chunk.inputs.span(sample, t);
        for (k, id) in chunk.inputs.at(sample, t).iter().enumerate() {
            let value = values.get(span.start + k).map_or(1.0, |v| f64::from(*v));
            rates[usize::from(*id)] += value;
        }
    }
    rates.iter_mut().for_each(|r| *r /= acting as f64);
}

impl<F: Real> Method<F> for RateBackprop<F> {
    fn requirements(&self) -> Requirements {
        Requirements {
            method: "rates",
            hidden_spikes: Need::Unused,
            hidden_membranes: Need::Unused,
            readout_membranes: Need::Unused,
        }
    }

    fn begin(&mut self, network: &Network<F>) -> Result<()> {
        self.network.load(network)?;
        for (to, from) in self.weights.iter_mut().zip(&network.layers) {
            to.iter_mut().zip(&from.weights).for_each(|(t, f)| *t = f.wide());
        }
        self.sums.iter_mut().for_each(|sum| sum.fill(0.0));
        (self.accumulated, self.batch) = (0, None);
        Ok(())
    }

    /// Measurements are ignored: the model runs forward.
    fn accumulate(
        &mut self,
        chunk: &Chunk<'_>,
        _observation: Option<&Observation<F>>,
    ) -> Result<&Outcomes> {
        check_inputs(&self.network, chunk.inputs)?;
        let (samples, classes) = (chunk.labels.len(), self.network.classes());
        if chunk.inputs.samples() != samples {
            let got = chunk.inputs.samples();
            return Err(ModelError::Input { what: "labels", expected: samples, got });
        }
        self.outcomes.loss.clear();
        self.outcomes.predicted.clear();
        self.outcomes.spikes.iter_mut().for_each(Vec::clear);
        for (sample, &label) in chunk.labels.iter().enumerate() {
            if usize::from(label) >= classes {
                return Err(ModelError::Label { sample, label, classes });
            }
            self.forward(chunk, sample);
            let (Some(logits), Some(drive)) = (self.adjoint.last_mut(), self.rates.last()) else {
                return Err(ModelError::NoLayers);
            };
            logits.iter_mut().zip(drive).for_each(|(l, d)| *l = self.config.scale * d);
            self.outcomes.predicted.push(largest(logits));
            self.outcomes.loss.push(cross_entropy(logits, label));
            let factor = self.config.scale / chunk.batch as f64;
            logits.iter_mut().for_each(|l| *l *= factor);
            for (l, spikes) in self.outcomes.spikes.iter_mut().enumerate() {
                let counted = self.config.forward == Rates::Spikes;
                spikes.push(if counted { self.trace.layers[l].total() as u32 } else { 0 });
            }
            self.backward();
        }
        self.accumulated += samples;
        self.batch = Some(chunk.batch);
        Ok(&self.outcomes)
    }

    fn finish(&mut self) -> Result<&Gradients<F>> {
        let batch = self.batch.unwrap_or(0);
        if self.accumulated != batch || batch == 0 {
            return Err(ModelError::Incomplete { batch, got: self.accumulated });
        }
        for (to, from) in self.gradients.layers.iter_mut().zip(&self.sums) {
            to.weights.iter_mut().zip(from).for_each(|(t, f)| *t = F::of(*f));
        }
        Ok(&self.gradients)
    }
}

#[cfg(test)]
mod tests;
