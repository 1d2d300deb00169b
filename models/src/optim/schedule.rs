//! Learning rate over epochs.

use serde::{Deserialize, Serialize};

/// Factor on the learning rate. In a configuration: `schedule = { kind = "exponential", factor = 0.97 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// `factor^epoch` (Cramer et al. 2022: 0.97).
    Exponential {
        /// Factor of one epoch.
        factor: f64,
    },
    /// `factor^⌊epoch/every⌋`.
    Step {
        /// Factor of one stage.
        factor: f64,
        /// Epochs of one stage; 0 counts as 1.
        every: usize,
    },
    /// `floor + (1 − floor)(1 + cos(π epoch/epochs))/2`, `floor` after the last epoch.
    Cosine {
        /// Epochs until the floor is reached.
        epochs: usize,
        /// Lowest factor.
        floor: f64,
    },
}

impl Schedule {
    /// Factor in `epoch`, counted from 0.
    #[must_use]
    pub fn factor(self, epoch: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Exponential { factor } => num_traits::pow(factor, epoch),
            Self::Step { factor, every } => num_traits::pow(factor, epoch / every.max(1)),
            Self::Cosine { epochs, floor } => {
                let part = epoch.min(epochs) as f64 / epochs.max(1) as f64;
                floor + (1.0 - floor) * (1.0 + libm::cos(std::f64::consts::PI * part)) / 2.0
            }
        }
    }
}
