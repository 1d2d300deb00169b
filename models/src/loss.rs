//! Losses on the membrane of the readout, all with log-softmax and negative log-likelihood.
//!
//! `O[t, k]` is the membrane of readout `k`, `y` the label, `p = softmax(logits)`:
//!
//! ```text
//! max over time    logits_k = scale · max_t O[t, k]
//! sum over time    logits_k = scale · Σ_t O[t, k]
//! last step        logits_k = scale · O[T − 1, k]
//! every step       L = mean over t ≥ 1 of the cross-entropy of scale · O[t]
//! L = −ln p_y      ∂L/∂logits_k = p_k − [k = y]
//! ```
//!
//! **Ties.** With a silent hidden layer all outputs are 0 at all times. Taking the first index would
//! choose the initial state, where no gradient exists, and a deterministic network would never
//! learn. Noise `N(0, tie_noise)` from a counter-based hash of (key, sample, step, class) therefore
//! decides which step is the maximum; the value of the maximum is the clean one.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::random::{COUNTER_NORMAL_BOUND, counter_normal, mix};
use crate::real::Real;

/// Default standard deviation of the noise that breaks ties (published code of Cramer et al. 2022).
pub const TIE_NOISE: f64 = 1e-5;

fn one() -> f64 {
    1.0
}

fn tie_noise() -> f64 {
    TIE_NOISE
}

/// What is minimised. In a configuration: `loss = { kind = "max-over-time", scale = 10 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Cross-entropy of `scale · max_t O`.
    MaxOverTime {
        /// Factor between membrane and logit.
        #[serde(default = "one")]
        scale: f64,
        /// Standard deviation of the noise that breaks ties, model units.
        #[serde(default = "tie_noise")]
        tie_noise: f64,
    },
    /// Cross-entropy of `scale · Σ_t O`.
    SumOverTime {
        /// Factor between sum and logit.
        #[serde(default = "one")]
        scale: f64,
    },
    /// Cross-entropy of `scale · O[T − 1]`.
    LastStep {
        /// Factor between membrane and logit.
        #[serde(default = "one")]
        scale: f64,
    },
    /// Mean over the states after the first of the cross-entropy of `scale · O[t]`; the prediction
    /// is the class with the largest sum.
    EveryStep {
        /// Factor between membrane and logit.
        #[serde(default = "one")]
        scale: f64,
    },
}

impl Loss {
    /// Maximum over time with a scale and the usual tie breaker.
    #[must_use]
    pub fn max_over_time(scale: f64) -> Self {
        Self::MaxOverTime { scale, tie_noise: TIE_NOISE }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// A scale that is not positive, a negative noise.
    pub fn check(self) -> Result<()> {
        let (Self::MaxOverTime { scale, .. }
        | Self::SumOverTime { scale }
        | Self::LastStep { scale }
        | Self::EveryStep { scale }) = self;
        if !(scale.is_finite() && scale > 0.0) {
            return Err(ModelError::Parameter { what: "loss.scale", got: scale, must: "it must be positive" });
        }
        if let Self::MaxOverTime { tie_noise, .. } = self
            && !(tie_noise.is_finite() && tie_noise >= 0.0)
        {
            return Err(ModelError::Parameter {
                what: "loss.tie_noise",
                got: tie_noise,
                must: "it must not be negative",
            });
        }
        Ok(())
    }
}
