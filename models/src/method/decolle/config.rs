//! What can be chosen about DECOLLE; defaults are the published values.

use serde::{Deserialize, Serialize};

use super::geometry::LayerKind;
use crate::error::{ModelError, Result};
use crate::optim::Rule;
use crate::surrogate::Surrogate;

/// Configuration of [`Decolle`](super::Decolle). Defaults are those of Kaiser, Mostafa & Neftci 2020
/// for N-MNIST at 1 ms a step, as far as they do not depend on the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecolleConfig {
    /// Layers from the input upwards; each has its own readout.
    pub layers: Vec<LayerKind>,
    /// Decay of the membrane trace P over one step.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// Decay of the synaptic trace Q over one step.
    #[serde(default = "beta")]
    pub beta: f64,
    /// Decay of the refractory trace R over one step.
    #[serde(default = "alpha_refractory")]
    pub alpha_refractory: f64,
    /// Weight w_rp of the refractory trace, in units of the membrane.
    #[serde(default = "one")]
    pub refractory_weight: f64,
    /// Factor on incoming spikes.
    #[serde(default = "one")]
    pub gain: f64,
    /// Derivative of a spike.
    #[serde(default = "surrogate")]
    pub surrogate: Surrogate,
    /// Readout weights and biases are uniform in ± this over √fan-in.
    #[serde(default = "readout_amplitude")]
    pub readout_amplitude: f64,
    /// Steps at the start of a sample that neither teach nor vote.
    #[serde(default = "burn_in")]
    pub burn_in: usize,
    /// Share of spikes that the readout does not see while learning; drawn anew at every step.
    #[serde(default = "dropout")]
    pub dropout: f64,
    /// Strength λ of the regulariser of activity.
    #[serde(default)]
    pub regularisation: f64,
    /// Weights change after every so many taught steps; 1 is the published online rule, 0 changes
    /// them once, after the last step of the samples.
    #[serde(default = "one_step")]
    pub update_every: usize,
    /// Error-triggered learning: the share of (unit, step) pairs that may change weights; a
    /// threshold on the local error follows so that this share is kept (Payvand et al. 2020: 0.01
    /// and 0.05). Missing: every pair teaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<f64>,
    /// Rule of the optimizer.
    #[serde(default = "rule")]
    pub optimizer: Rule,
}

fn alpha() -> f64 {
    0.97
}
fn beta() -> f64 {
    0.92
}
fn alpha_refractory() -> f64 {
    0.65
}
fn one() -> f64 {
    1.0
}
fn surrogate() -> Surrogate {
    Surrogate::SuperSpike { beta: 10.0 }
}
fn readout_amplitude() -> f64 {
    0.5
}
fn burn_in() -> usize {
    60
}
fn dropout() -> f64 {
    0.5
}
fn one_step() -> usize {
    1
}
fn rule() -> Rule {
    Rule::Adamax { beta1: 0.0, beta2: 0.95, epsilon: 1e-8 }
}

impl DecolleConfig {
    /// The published constants with these layers.
    #[must_use]
    pub fn new(layers: Vec<LayerKind>) -> Self {
        Self {
            layers,
            alpha: alpha(),
            beta: beta(),
            alpha_refractory: alpha_refractory(),
            refractory_weight: one(),
            gain: one(),
            surrogate: surrogate(),
            readout_amplitude: readout_amplitude(),
            burn_in: burn_in(),
            dropout: dropout(),
            regularisation: 0.0,
            update_every: one_step(),
            trigger: None,
            optimizer: rule(),
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// The first one out of range, with its key.
    pub fn check(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(ModelError::NoLayers);
        }
        let range = |what, got: f64, fine: bool, must| match got.is_finite() && fine {
            true => Ok(()),
            false => Err(ModelError::Parameter { what, got, must }),
        };
        let share = "it must lie in [0, 1)";
        for (what, got) in [
            ("network.alpha", self.alpha),
            ("network.beta", self.beta),
            ("network.alpha_refractory", self.alpha_refractory),
            ("network.dropout", self.dropout),
        ] {
            range(what, got, (0.0..1.0).contains(&got), share)?;
        }
        for (what, got) in [
            ("network.refractory_weight", self.refractory_weight),
            ("network.regularisation", self.regularisation),
        ] {
            range(what, got, got >= 0.0, "it must not be negative")?;
        }
        for (what, got) in
            [("network.gain", self.gain), ("network.readout_amplitude", self.readout_amplitude)]
        {
            range(what, got, got > 0.0, "it must be positive")?;
        }
        if let Some(got) = self.trigger {
            range("network.trigger", got, got > 0.0 && got <= 1.0, "it must lie in (0, 1]")?;
        }
        self.optimizer.check()?;
        if let Surrogate::SuperSpikeNormalised { .. } = self.surrogate {
            return Err(ModelError::UnsupportedSurrogate {
                layer: 0,
                surrogate: self.surrogate.name(),
                needs: "the gradients of the whole batch at every step",
            });
        }
        self.surrogate.check()
    }
}
