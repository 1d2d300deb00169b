//! What can be set, with the published values as defaults.

use serde::{Deserialize, Serialize};

use super::feedback::Feedback;
use crate::error::{ModelError, Result};

/// Constants of neuron, rule and normaliser. Membranes are in thresholds (rest 0, threshold 1); the
/// published numbers are in volts, and 1 threshold is the 10 mV between their rest and threshold.
/// Times are in ms of the model; an accelerated chip is the host's business.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SuperSpikeConfig {
    /// Step in ms (published: 0.1).
    pub dt_ms: f64,
    /// Membrane time constant in ms; also the slow one of both kernels (published: 10).
    pub tau_mem_ms: f64,
    /// Synaptic time constant in ms; also the fast one of both kernels (published: 5).
    pub tau_syn_ms: f64,
    /// Time after a spike for which the membrane is held at rest, in ms (published: 5).
    pub refractory_ms: f64,
    /// Axonal delay of the inputs in ms (published: 0.8).
    pub input_delay_ms: f64,
    /// Axonal delay of the hidden neurons in ms, at least one step (published: 0.8).
    pub hidden_delay_ms: f64,
    /// Slope of the surrogate per threshold (published: 1 per mV).
    pub beta: f64,
    /// Membrane below which the surrogate is 0 (published: −80 mV, which is −2).
    pub floor: f64,
    /// The surrogate is 1 where the neuron spiked. Published is `false`: the membrane after the reset
    /// counts. `true` is for chips whose samples hide the crossing.
    pub sigma_at_spikes: bool,
    /// Standard deviation of the first weights is this by the root of the number of sources
    /// (published: 0.05 V).
    pub init: f64,
    /// Weights are cut to ± this (published: 0.1 V).
    pub weight_limit: f64,
    /// Largest step of a weight, r₀ (published: 0.1, 0.5, 1, 5 or 10 mV, chosen for each task).
    pub rate: f64,
    /// Model times in s after which the rate is divided by ten, each time again.
    pub rate_drops_s: Vec<f64>,
    /// Time t_b between two updates in ms (published: 500).
    pub block_ms: f64,
    /// Memory of the normaliser in ms (published: 30 000).
    pub tau_rms_ms: f64,
    /// Added to the root of the normaliser (published: 1e-12 or less).
    pub epsilon: f64,
    /// How errors reach the hidden layer.
    pub feedback: Feedback,
    /// Whether the surrogate of the output neurons is left out on the way to the hidden layer
    /// (published: yes).
    pub straight_through: bool,
    /// Strength ρ of the heterosynaptic regulariser of the hidden layer in the published unit (weights
    /// in V, surrogate in 1/V). Published: 1 with random feedback, 0 with symmetric.
    pub rho: f64,
    /// Exponent a of the regulariser (published: 4).
    pub exponent: f64,
    /// Time constant of the regulariser's spike trace in ms (published: 100).
    pub tau_het_ms: f64,
}

impl Default for SuperSpikeConfig {
    fn default() -> Self {
        Self {
            dt_ms: 0.1,
            tau_mem_ms: 10.0,
            tau_syn_ms: 5.0,
            refractory_ms: 5.0,
            input_delay_ms: 0.8,
            hidden_delay_ms: 0.8,
            beta: 10.0,
            floor: -2.0,
            sigma_at_spikes: false,
            init: 5.0,
            weight_limit: 10.0,
            rate: 0.1,
            rate_drops_s: Vec::new(),
            block_ms: 500.0,
            tau_rms_ms: 30_000.0,
            epsilon: 1e-12,
            feedback: Feedback::Symmetric,
            straight_through: true,
            rho: 0.0,
            exponent: 4.0,
            tau_het_ms: 100.0,
        }
    }
}

/// ρ of the published unit to thresholds: the weight is 0.01 V a threshold, the surrogate here lacks
/// the factor 1000 per V.
const RHO_UNIT: f64 = 1e-5;

impl SuperSpikeConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] naming the first key that is wrong.
    pub fn check(&self) -> Result<()> {
        let positive: [(&'static str, f64); 12] = [
            ("learning.dt-ms", self.dt_ms),
            ("learning.tau-mem-ms", self.tau_mem_ms),
            ("learning.tau-syn-ms", self.tau_syn_ms),
            ("learning.beta", self.beta),
            ("learning.weight-limit", self.weight_limit),
            ("learning.rate", self.rate),
            ("learning.block-ms", self.block_ms),
            ("learning.tau-rms-ms", self.tau_rms_ms),
            ("learning.epsilon", self.epsilon),
            ("learning.exponent", self.exponent),
            ("learning.tau-het-ms", self.tau_het_ms),
            ("learning.hidden-delay-ms", self.hidden_delay_ms),
        ];
        refuse(&positive, |x| x > 0.0, "it must be a finite number above 0")?;
        let not_negative: [(&'static str, f64); 4] = [
            ("learning.refractory-ms", self.refractory_ms),
            ("learning.input-delay-ms", self.input_delay_ms),
            ("learning.init", self.init),
            ("learning.rho", self.rho),
        ];
        refuse(&not_negative, |x| x >= 0.0, "it must be a finite number, 0 or above")?;
        let floor = [("learning.floor", self.floor)];
        refuse(&floor, |x| x < 1.0, "it must be a finite number below the threshold, which is 1")?;
        for drop in &self.rate_drops_s {
            let drop = [("learning.rate-drops-s", *drop)];
            refuse(&drop, |x| x > 0.0, "every time must be a finite number above 0")?;
        }
        let coarse = 0.5 * self.tau_mem_ms.min(self.tau_syn_ms);
        let dt = [("learning.dt-ms", self.dt_ms)];
        refuse(&dt, |x| x <= coarse, "a step must be at most half of each time constant")?;
        let delay = [("learning.hidden-delay-ms", self.hidden_delay_ms)];
        refuse(&delay, |x| x >= 0.5 * self.dt_ms, "it must be at least one step")?;
        let block = [("learning.block-ms", self.block_ms)];
        refuse(&block, |x| x >= self.dt_ms, "it must be at least one step")
    }

    /// Steps in `ms`, rounded to the nearest.
    #[must_use]
    pub fn steps(&self, ms: f64) -> usize {
        libm::round(ms / self.dt_ms) as usize
    }

    /// Factor of a trace with time constant `tau_ms` from one step to the next.
    #[must_use]
    pub fn decay(&self, tau_ms: f64) -> f64 {
        libm::exp(-self.dt_ms / tau_ms)
    }

    /// Factor `dt / τ_m` of the forward Euler step of the membrane and of the slow traces.
    #[must_use]
    pub fn follow(&self) -> f64 {
        self.dt_ms / self.tau_mem_ms
    }

    /// Strength of the regulariser in thresholds.
    pub(super) fn rho_model(&self) -> f64 {
        self.rho * RHO_UNIT
    }

    /// Rate after `seconds` of model time.
    #[must_use]
    pub fn rate_at(&self, seconds: f64) -> f64 {
        let drops = self.rate_drops_s.iter().filter(|at| seconds >= **at).count();
        self.rate / libm::pow(10.0, drops as f64)
    }
}

fn refuse(
    values: &[(&'static str, f64)],
    fits: impl Fn(f64) -> bool,
    must: &'static str,
) -> Result<()> {
    match values.iter().find(|(_, x)| !(x.is_finite() && fits(*x))) {
        Some((what, got)) => Err(ModelError::Parameter { what, got: *got, must }),
        None => Ok(()),
    }
}
