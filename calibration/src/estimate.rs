//! One measured number with its uncertainty, and why it may be missing.

use serde::{Deserialize, Serialize};

/// What is wrong with a neuron or with one measurement of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    /// Nothing.
    #[default]
    Good,
    /// The neuron did not fire when it was driven hard: dead, or its threshold is out of reach.
    Silent,
    /// The neuron fires without input: stuck, or its leak lies above its threshold.
    AlwaysFiring,
    /// The membrane did not follow its input.
    Unresponsive,
    /// The converter was at a rail where the value would have been read.
    Saturated,
    /// The model does not describe the trace.
    NoFit,
    /// The value wanted is not within reach of the codes.
    OutOfReach,
    /// The search ended further from its target than is tolerated.
    NotConverged,
}

impl Flag {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    fn is_good(&self) -> bool {
        *self == Self::Good
    }

    /// In words, for tables and messages.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Silent => "does not fire when driven hard (dead, or threshold out of reach)",
            Self::AlwaysFiring => "fires without input (stuck, or leak above threshold)",
            Self::Unresponsive => "membrane does not respond to input",
            Self::Saturated => "converter saturated",
            Self::NoFit => "trace does not fit the model",
            Self::OutOfReach => "target not within reach of the codes",
            Self::NotConverged => "search ended outside the tolerance",
        }
    }
}

/// A measured value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Best value; NaN if there is none.
    #[serde(with = "crate::nan")]
    pub value: f64,
    /// Standard error of it.
    #[serde(with = "crate::nan")]
    pub sigma: f64,
    /// Why it is missing or not to be trusted.
    #[serde(default, skip_serializing_if = "Flag::is_good")]
    pub flag: Flag,
}

impl Estimate {
    /// A good one.
    #[must_use]
    pub fn good(value: f64, sigma: f64) -> Self {
        Self { value, sigma, flag: Flag::Good }
    }

    /// None, with the reason.
    #[must_use]
    pub fn missing(flag: Flag) -> Self {
        Self { value: f64::NAN, sigma: f64::NAN, flag }
    }

    /// Whether there is a value.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.flag == Flag::Good && self.value.is_finite()
    }

    /// The same quantity shifted by something known.
    #[must_use]
    pub fn plus(self, shift: f64) -> Self {
        Self { value: self.value + shift, ..self }
    }
}
