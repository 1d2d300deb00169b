//! Layers: neuron kind, time constants and the conventions of the discretisation.
//!
//! All kinds are one update with parts switched off. With `x` the spikes from below, `S` the own
//! spikes, `α = e^(−dt/τ_syn)`, `β = e^(−dt/τ_mem)`, for states `t = 0 … steps − 1`:
//!
//! ```text
//! I[t+1] = α I[t] + W x[t] + R S[t]
//! P[t+1] = β V[t] + (1 − β) leak + c · gain · D      D = I[t+1] (new) or I[t] (old)
//! V[t+1] = P (1 − S[t])      multiplicative reset
//!        | P − θ S[t]        subtractive reset
//!        | P                 no reset
//! S[t]   = Θ(V[t] − θ)       Θ(0) = 0;  readouts do not spike
//! ```
//!
//! State 0 is the initial membrane without current; the input of the last step is unused. A kind
//! without synapse (LIF, LI) has `α = 0`, so that the current is the input of one step.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::surrogate::Surrogate;

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NeuronKind {
    /// Leaky integrate-and-fire with an exponentially decaying synaptic current.
    CubaLif,
    /// Leaky integrate-and-fire; input acts on the membrane at once.
    Lif,
    /// Leaky integrator with synaptic current, does not spike: a readout.
    CubaLi,
    /// Leaky integrator, does not spike: a readout.
    Li,
}

impl NeuronKind {
    /// Whether the units spike.
    #[must_use]
    pub fn spikes(self) -> bool {
        matches!(self, Self::CubaLif | Self::Lif)
    }

    /// Whether a synaptic current with its own time constant drives the membrane.
    #[must_use]
    pub fn has_current(self) -> bool {
        matches!(self, Self::CubaLif | Self::CubaLi)
    }
}

/// Which current moves the membrane to its next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Current {
    /// `I[t+1]`: a spike moves the next membrane state.
    New,
    /// `I[t]`: a spike needs two steps to move the membrane.
    Old,
}

/// Factor `c` between current and membrane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputScale {
    /// `c = 1`.
    One,
    /// `c = 1 − β`: a constant current `I` brings the membrane to `I`.
    OneMinusBeta,
}

/// What a spike does to the membrane of the next state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// Times `1 − S`.
    Multiplicative,
    /// Minus `θ S`.
    Subtractive,
    /// Nothing.
    None,
}

/// What the units send on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// `Θ(V − θ)`: spikes.
    #[default]
    Hard,
    /// The primitive of the surrogate at `V − θ`: a smooth network whose exact gradient is the
    /// surrogate gradient. For gradient checks and annealing.
    Smooth,
    /// A spike with the escape probability of the surrogate at `V − θ`
    /// ([`Surrogate::escape_probability`]), drawn by the key of the sample.
    Sampled,
}

/// How the units of a layer listen to what is below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// Every unit to every input, with a weight each.
    #[default]
    Dense,
    /// Every unit to one analog channel, `gain (x + bias)`, gain and bias learned: unit `k` to channel `k mod C`.
    /// The layer stands first; its inputs are the C channels and a last one that is always 1. The weight
    /// matrix `[C + 1, units]` holds the gain of a unit in the row of its channel and its bias in the last row; other
    /// entries have no effect. A multiplicative reset acts one step later than in other layers,
    /// `V[t+1] = P (1 − S[t−1])`, so that units mostly spike twice, and is detached: as published (SpyTorch
    /// tutorial 5).
    Encoder,
}

fn is_dense(wiring: &Wiring) -> bool {
    *wiring == Wiring::Dense
}

/// One number for a layer, or one for every unit: where calibration puts measured values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PerUnit {
    /// The same for all units.
    Uniform(f64),
    /// One value a unit.
    Each(Vec<f64>),
}

impl PerUnit {
    /// Value of `unit`; the length has been checked by [`LayerSpec::check`].
    #[must_use]
    pub fn at(&self, unit: usize) -> f64 {
        match self {
            Self::Uniform(value) => *value,
            Self::Each(values) => values[unit],
        }
    }

    fn check(
        &self,
        what: &'static str,
        units: usize,
        must: &'static str,
        fine: fn(f64) -> bool,
    ) -> Result<()> {
        let values = match self {
            Self::Uniform(value) => std::slice::from_ref(value),
            Self::Each(values) if values.len() == units => values.as_slice(),
            Self::Each(values) => {
                return Err(ModelError::PerUnit { what, got: values.len(), units });
            }
        };
        match values.iter().find(|value| !(value.is_finite() && fine(**value))) {
            Some(&got) => Err(ModelError::Parameter { what, got, must }),
            None => Ok(()),
        }
    }
}

impl From<f64> for PerUnit {
    fn from(value: f64) -> Self {
        Self::Uniform(value)
    }
}

/// Everything about a layer but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerSpec {
    /// Neuron kind.
    pub neuron: NeuronKind,
    /// Number of units, 1 to 65 535.
    pub units: usize,
    /// Time step, microseconds.
    pub dt_us: f64,
    /// Membrane time constant, microseconds.
    pub tau_mem_us: PerUnit,
    /// Synaptic time constant, microseconds; unused by kinds without current.
    pub tau_syn_us: PerUnit,
    /// Threshold θ, model units.
    pub threshold: PerUnit,
    /// Leak potential, model units.
    pub leak: PerUnit,
    /// Factor on the input of a unit, 1 in the nominal model.
    pub gain: PerUnit,
    /// Which current moves the membrane.
    pub current: Current,
    /// Factor between current and membrane.
    pub input_scale: InputScale,
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// Whether the gradient ignores the path through the reset.
    pub detach_reset: bool,
    /// Derivative of the spike.
    pub surrogate: Surrogate,
    /// Spikes, or their smooth stand-in.
    pub forward: Forward,
    /// Membrane of state 0, model units.
    pub initial_membrane: f64,
    /// How the units listen to what is below.
    #[serde(default, skip_serializing_if = "is_dense")]
    pub wiring: Wiring,
}

impl LayerSpec {
    /// Current-based LIF on the grid of the BrainScaleS-2 experiments (Cramer et al., PNAS 2022):
    /// τ_mem = τ_syn = 6 µs, dt = 1.7 µs, new current, input scale 1, subtractive detached reset,
    /// SuperSpike with β = 50. Peak of the response to a unit weight 1.70966 at step 3.
    #[must_use]
    pub fn chip_grid(units: usize) -> Self {
        Self {
            neuron: NeuronKind::CubaLif,
            units,
            dt_us: 1.7,
            tau_mem_us: 6.0.into(),
            tau_syn_us: 6.0.into(),
            threshold: 1.0.into(),
            leak: 0.0.into(),
            gain: 1.0.into(),
            current: Current::New,
            input_scale: InputScale::One,
            reset: Reset::Subtractive,
            detach_reset: true,
            surrogate: Surrogate::SuperSpike { beta: 50.0 },
            forward: Forward::Hard,
            initial_membrane: 0.0,
            wiring: Wiring::Dense,
        }
    }

    /// Current-based LIF of the SpyTorch tutorials (Neftci, Mostafa, Zenke 2019): τ_mem 10 ms,
    /// τ_syn 5 ms, dt 1 ms, old current, input scale 1, multiplicative detached reset, SuperSpike
    /// with β = 100. Peak of the response to a unit weight 2.9032 at step 7.
    #[must_use]
    pub fn tutorial(units: usize) -> Self {
        Self {
            dt_us: 1e3,
            tau_mem_us: 10e3.into(),
            tau_syn_us: 5e3.into(),
            current: Current::Old,
            reset: Reset::Multiplicative,
            surrogate: Surrogate::SuperSpike { beta: 100.0 },
            ..Self::chip_grid(units)
        }
    }

    /// Current-based LIF of stork (Rossbroich, Gygax, Zenke 2022): τ_mem 20 ms, τ_syn 10 ms,
    /// dt 2 ms, old current, input scale 1 − β, multiplicative detached reset, SuperSpike with
    /// β = 20. Peak of the response to a unit weight 0.27628 at step 7.
    #[must_use]
    pub fn stork(units: usize) -> Self {
        Self {
            dt_us: 2e3,
            tau_mem_us: 20e3.into(),
            tau_syn_us: 10e3.into(),
            input_scale: InputScale::OneMinusBeta,
            surrogate: Surrogate::SuperSpike { beta: 20.0 },
            ..Self::tutorial(units)
        }
    }

    /// The readout that goes with a spiking layer: the same time constants and conventions, no
    /// spikes, no reset. (stork's readout has τ_mem = duration of the trial and starts at −0.01:
    /// set `tau_mem_us` and `initial_membrane`.)
    #[must_use]
    pub fn readout(&self, units: usize) -> Self {
        let neuron = if self.neuron.has_current() { NeuronKind::CubaLi } else { NeuronKind::Li };
        Self { neuron, units, reset: Reset::None, wiring: Wiring::Dense, ..self.clone() }
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// The first parameter out of range, with its value and its range.
    pub fn check(&self) -> Result<()> {
        let max = usize::from(u16::MAX);
        if self.units == 0 || self.units > max {
            return Err(ModelError::Size { what: "units of a layer", got: self.units, max });
        }
        let positive = |value: f64| value > 0.0;
        let any = |_: f64| true;
        PerUnit::from(self.dt_us).check("dt_us", 1, "it must be positive", positive)?;
        self.tau_mem_us.check("tau_mem_us", self.units, "it must be positive", positive)?;
        if self.neuron.has_current() {
            self.tau_syn_us.check("tau_syn_us", self.units, "it must be positive", positive)?;
        }
        self.threshold.check("threshold", self.units, "it must be finite", any)?;
        self.leak.check("leak", self.units, "it must be finite", any)?;
        self.gain.check("gain", self.units, "it must be finite", any)?;
        PerUnit::from(self.initial_membrane).check(
            "initial_membrane",
            1,
            "it must be finite",
            any,
        )?;
        self.surrogate.check()
    }

    /// Decay of the current over one step, `e^(−dt/τ_syn)`, 0 for kinds without current.
    #[must_use]
    pub fn alpha(&self, unit: usize) -> f64 {
        if self.neuron.has_current() {
            libm::exp(-self.dt_us / self.tau_syn_us.at(unit))
        } else {
            0.0
        }
    }

    /// Decay of the membrane over one step, `e^(−dt/τ_mem)`.
    #[must_use]
    pub fn beta(&self, unit: usize) -> f64 {
        libm::exp(-self.dt_us / self.tau_mem_us.at(unit))
    }

    /// Factor between current and membrane, `c · gain`.
    #[must_use]
    pub fn scale(&self, unit: usize) -> f64 {
        let c = match self.input_scale {
            InputScale::One => 1.0,
            InputScale::OneMinusBeta => 1.0 - self.beta(unit),
        };
        c * self.gain.at(unit)
    }
}

/// A layer with its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<F> {
    /// Neuron kind, parameters and conventions.
    pub spec: LayerSpec,
    /// Feed-forward weights `[pre, post]`.
    pub weights: Array2<F>,
    /// Weights among the units of the layer `[pre, post]`; they carry the spikes of state `t` to
    /// the current of state `t + 1`.
    pub recurrent: Option<Array2<F>>,
}
