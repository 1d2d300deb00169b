//! Constants of the network and of the rule. Defaults are those of the published 3-D trajectory.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::real::Real;

/// Below this width of the escape function the published rule takes the step: 1/30.
pub const SMALLEST_DELTA_V: f64 = 1.0 / 30.0;

/// Largest number of neurons: ids have 16 bits.
pub const MOST_NEURONS: usize = u16::MAX as usize;

/// How a presynaptic spike acts on a membrane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Synapse {
    /// One signed matrix `J`; learned by Adam, as published.
    #[default]
    Current,
    /// Two matrices `J⁺, J⁻ ≥ 0` with driving forces `(±E − v)/E`; learned by plain gradient ascent.
    Conductance {
        /// `E`, in units of the membrane (published: 20).
        #[serde(default = "reversal")]
        reversal: f64,
    },
}

fn reversal() -> f64 {
    20.0
}

impl Synapse {
    /// Number of weight matrices.
    #[must_use]
    pub fn matrices(self) -> usize {
        match self {
            Self::Current => 1,
            Self::Conductance { .. } => 2,
        }
    }
}

/// The recurrent network and its readout. Times in bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LttsNetwork {
    /// N.
    pub neurons: usize,
    /// Time constant of the membrane; at least 1 bin.
    pub tau_mem: f64,
    /// Time constant of the synapses.
    pub tau_syn: f64,
    /// Time constant of the spike filter of the readout.
    pub tau_readout: f64,
    /// Membrane at bin 0.
    pub v0: f64,
    /// Constant input of every neuron.
    pub h: f64,
    /// What a spike takes off the own membrane in the next bin.
    pub s_inh: f64,
    /// Kind of the synapses.
    pub synapse: Synapse,
}

impl Default for LttsNetwork {
    fn default() -> Self {
        Self {
            neurons: 500,
            tau_mem: 8.0,
            tau_syn: 2.0,
            tau_readout: 20.0,
            v0: -4.0,
            h: -4.0,
            s_inh: 20.0,
            synapse: Synapse::Current,
        }
    }
}

fn parameter(what: &'static str, got: f64, fine: bool, must: &'static str) -> Result<()> {
    if fine && got.is_finite() { Ok(()) } else { Err(ModelError::Parameter { what, got, must }) }
}

impl LttsNetwork {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ModelError::Size`], [`ModelError::Parameter`] with the name of the first wrong one.
    pub fn check(&self) -> Result<()> {
        if !(1..=MOST_NEURONS).contains(&self.neurons) {
            return Err(ModelError::Size {
                what: "network.neurons",
                got: self.neurons,
                max: MOST_NEURONS,
            });
        }
        let tau = "it must be at least 1 bin";
        parameter("network.tau_mem", self.tau_mem, self.tau_mem >= 1.0, tau)?;
        let positive = "it must be positive (bins)";
        parameter("network.tau_syn", self.tau_syn, self.tau_syn > 0.0, positive)?;
        parameter("network.tau_readout", self.tau_readout, self.tau_readout > 0.0, positive)?;
        parameter("network.v0", self.v0, true, "it must be a number")?;
        parameter("network.h", self.h, true, "it must be a number")?;
        parameter("network.s_inh", self.s_inh, self.s_inh >= 0.0, "it must not be negative")?;
        if let Synapse::Conductance { reversal } = self.synapse {
            let must = "it must be positive";
            parameter("network.synapse.reversal", reversal, reversal > 0.0, must)?;
        }
        Ok(())
    }

    pub(crate) fn factors<F: Real>(&self) -> Factors<F> {
        let decay = |tau: f64| libm::exp(-1.0 / tau);
        let (syn, readout) = (decay(self.tau_syn), decay(self.tau_readout));
        Factors {
            keep: F::of(1.0 - 1.0 / self.tau_mem),
            input: F::of(1.0 / self.tau_mem),
            syn: F::of(syn),
            syn_gain: F::of(1.0 - syn),
            readout: F::of(readout),
            readout_gain: F::of(1.0 - readout),
            v0: F::of(self.v0),
            h: F::of(self.h),
            s_inh: F::of(self.s_inh),
            reversal: match self.synapse {
                Synapse::Current => None,
                Synapse::Conductance { reversal } => Some(F::of(reversal)),
            },
        }
    }
}

/// What the loops need of [`LttsNetwork`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors<F> {
    /// 1 − 1/τ_m.
    pub(crate) keep: F,
    /// 1/τ_m.
    pub(crate) input: F,
    /// β_s.
    pub(crate) syn: F,
    /// 1 − β_s.
    pub(crate) syn_gain: F,
    /// β_ro.
    pub(crate) readout: F,
    /// 1 − β_ro.
    pub(crate) readout_gain: F,
    pub(crate) v0: F,
    pub(crate) h: F,
    pub(crate) s_inh: F,
    /// E, of conductances only.
    pub(crate) reversal: Option<F>,
}

impl<F: Real> Factors<F> {
    /// Weight of a spike of bin `t` in ŝ(t): 1 − β_s, and β_s in bin 0, as in the published code.
    pub(crate) fn spike_gain(&self, t: usize) -> F {
        if t == 0 { self.syn } else { self.syn_gain }
    }

    /// Weight of a spike of bin `t` in r(t): 1 − β_ro, and 1 in bin 0.
    pub(crate) fn readout_spike_gain(&self, t: usize) -> F {
        if t == 0 { F::one() } else { self.readout_gain }
    }
}

/// When weights change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// After every bin.
    #[default]
    Online,
    /// Once an epoch, with the sum over all bins and patterns.
    Offline,
}

/// How the network learns.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LttsLearning {
    /// When weights change.
    pub mode: Mode,
    /// Number of epochs; the rate falls over them.
    pub epochs: usize,
    /// Width δv of p = σ(v/δv). Below 1/30 p is the step: the rule sees spikes only.
    pub delta_v: f64,
    /// Rate α of the recurrent weights.
    pub rate: f64,
    /// Factor of the rate from one period to the next.
    pub rate_factor: f64,
    /// Number of equal periods of the training, each with its rate.
    pub rate_periods: usize,
    /// Rate of the readout; its gradient is summed over an epoch.
    pub rate_readout: f64,
    /// Standard deviation of the first weights of the readout.
    pub init_readout: f64,
    /// Bins at the beginning that the error of the output does not count.
    pub excluded: usize,
}

impl Default for LttsLearning {
    fn default() -> Self {
        Self {
            mode: Mode::Online,
            epochs: 1000,
            delta_v: 0.05,
            rate: 0.01,
            rate_factor: 0.9,
            rate_periods: 5,
            rate_readout: 0.02,
            init_readout: 0.01,
            excluded: 20,
        }
    }
}

impl LttsLearning {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ModelError::Size`], [`ModelError::Parameter`] with the name of the first wrong one.
    pub fn check(&self) -> Result<()> {
        for (what, got) in
            [("learning.epochs", self.epochs), ("learning.rate_periods", self.rate_periods)]
        {
            if got == 0 {
                return Err(ModelError::Size { what, got, max: usize::MAX });
            }
        }
        let not_negative = "it must not be negative";
        parameter("learning.delta_v", self.delta_v, self.delta_v >= 0.0, not_negative)?;
        parameter("learning.rate", self.rate, self.rate >= 0.0, not_negative)?;
        let factor = self.rate_factor > 0.0 && self.rate_factor <= 1.0;
        parameter("learning.rate_factor", self.rate_factor, factor, "it must lie in (0, 1]")?;
        let readout = self.rate_readout;
        parameter("learning.rate_readout", readout, readout >= 0.0, not_negative)?;
        let init = self.init_readout;
        parameter("learning.init_readout", init, init >= 0.0, not_negative)
    }

    /// Whether p is the step, and the rule depends on spikes alone.
    #[must_use]
    pub fn spike_dependent(&self) -> bool {
        self.delta_v < SMALLEST_DELTA_V
    }
}
