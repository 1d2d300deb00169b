//! Regularisers: penalties on spike counts and weights.
//!
//! `n_bi = Σ_t S[t, b, i]` is the spike count of unit `i` in sample `b`, `B` the batch, `H` the
//! units of a spiking layer. Every penalty on spikes is a function of the counts, so its adjoint
//! `∂R/∂S[t, b, i] = ∂R/∂n_bi` is constant in time. Each applies to every spiking layer; the weight
//! penalty to every weight matrix, recurrent and readout included.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// A penalty added to the loss. In a configuration:
/// `regularisers = [{ kind = "spike-count-squared", strength = 5e-4 }]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Regulariser {
    /// Burst bound, `ρ mean_bi n²` (Cramer et al. 2022: ρ = 5e-4).
    SpikeCountSquared {
        /// ρ.
        strength: f64,
    },
    /// `ρ mean_bi n` (SpyTorch tutorial 5: ρ = 1e-3).
    SpikeCountMean {
        /// ρ.
        strength: f64,
    },
    /// `ρ Σ_bi n` (SpyTorch tutorial 3: ρ = 1e-5; tutorial 4: 2e-6).
    SpikeTotal {
        /// ρ.
        strength: f64,
    },
    /// `ρ mean_i (Σ_b n)²` (SpyTorch tutorial 3: ρ = 1e-5; tutorial 4: 2e-6). Needs the whole batch
    /// in one chunk, and runs the forward pass twice.
    BatchCountSquared {
        /// ρ.
        strength: f64,
    },
    /// Lower bound of every unit, `ρ mean_bi relu(bound − n)²` (stork: ρ = 100, bound = 1e-3).
    LowerBound {
        /// ρ.
        strength: f64,
        /// Spikes a trial below which the penalty acts.
        bound: f64,
    },
    /// Upper bound of the population mean, `ρ mean_b relu(mean_i n − bound)²` (stork: ρ = 0.1,
    /// bound = 4 spikes in 200 ms, or 20 Hz).
    UpperBoundPopulation {
        /// ρ.
        strength: f64,
        /// Mean spikes a trial above which the penalty acts.
        bound: f64,
    },
    /// Upper bound of the spikes of a layer, `ρ mean_b relu(Σ_i n − bound)²`.
    UpperBoundTotal {
        /// ρ.
        strength: f64,
        /// Spikes of the layer in a trial above which the penalty acts.
        bound: f64,
    },
    /// `ρ mean(W²)` of every matrix (Cramer et al. 2022: ρ = 0.1).
    WeightSquared {
        /// ρ.
        strength: f64,
    },
}

impl Regulariser {
    /// Name as in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SpikeCountSquared { .. } => "spike-count-squared",
            Self::SpikeCountMean { .. } => "spike-count-mean",
            Self::SpikeTotal { .. } => "spike-total",
            Self::BatchCountSquared { .. } => "batch-count-squared",
            Self::LowerBound { .. } => "lower-bound",
            Self::UpperBoundPopulation { .. } => "upper-bound-population",
            Self::UpperBoundTotal { .. } => "upper-bound-total",
            Self::WeightSquared { .. } => "weight-squared",
        }
    }

    /// Strength ρ.
    #[must_use]
    pub fn strength(self) -> f64 {
        match self {
            Self::SpikeCountSquared { strength }
            | Self::SpikeCountMean { strength }
            | Self::SpikeTotal { strength }
            | Self::BatchCountSquared { strength }
            | Self::LowerBound { strength, .. }
            | Self::UpperBoundPopulation { strength, .. }
            | Self::UpperBoundTotal { strength, .. }
            | Self::WeightSquared { strength } => strength,
        }
    }

    /// Whether it acts on spikes (and not on weights).
    #[must_use]
    pub fn on_spikes(self) -> bool {
        !matches!(self, Self::WeightSquared { .. })
    }

    /// Whether it needs the counts of the whole batch.
    #[must_use]
    pub fn needs_whole_batch(self) -> bool {
        matches!(self, Self::BatchCountSquared { .. })
    }

    /// Checks the strength and the bound.
    ///
    /// # Errors
    /// A negative or infinite number.
    pub fn check(self) -> Result<()> {
        let fine = |what, got: f64| {
            if got.is_finite() && got >= 0.0 {
                Ok(())
            } else {
                Err(ModelError::Parameter { what, got, must: "it must not be negative" })
            }
        };
        fine("regulariser strength", self.strength())?;
        match self {
            Self::LowerBound { bound, .. }
            | Self::UpperBoundPopulation { bound, .. }
            | Self::UpperBoundTotal { bound, .. } => fine("regulariser bound", bound),
            _ => Ok(()),
        }
    }

    /// Adds `∂R/∂n_i` of one sample of one layer to `adjoint` and returns the sample's share of `R`.
    ///
    /// `counts` are the spikes of the sample, `batch` is B, `batch_counts` are `Σ_b n` where
    /// [`Regulariser::needs_whole_batch`].
    pub fn on_counts(
        self,
        counts: &[f64],
        batch: usize,
        batch_counts: Option<&[f64]>,
        adjoint: &mut [f64],
    ) -> f64 {
        let units = counts.len() as f64;
        let (b, mean) = (batch as f64, 1.0 / (batch as f64 * units));
        let total: f64 = counts.iter().sum();
        match self {
            Self::SpikeCountSquared { strength } => {
                each(counts, adjoint, |n| (strength * mean * n * n, 2.0 * strength * mean * n))
            }
            Self::SpikeCountMean { strength } => {
                each(counts, adjoint, |n| (strength * mean * n, strength * mean))
            }
            Self::SpikeTotal { strength } => each(counts, adjoint, |n| (strength * n, strength)),
            Self::BatchCountSquared { strength } => {
                let sums = batch_counts.unwrap_or(counts);
                let mut share = 0.0;
                for (a, sum) in adjoint.iter_mut().zip(sums) {
                    *a += 2.0 * strength / units * sum;
                    share += strength / units * sum * sum;
                }
                share / b
            }
            Self::LowerBound { strength, bound } => each(counts, adjoint, |n| {
                let gap = (bound - n).max(0.0);
                (strength * mean * gap * gap, -2.0 * strength * mean * gap)
            }),
            Self::UpperBoundPopulation { strength, bound } => {
                let gap = (total / units - bound).max(0.0);
                adjoint.iter_mut().for_each(|a| *a += 2.0 * strength * gap * mean);
                strength * gap * gap / b
            }
            Self::UpperBoundTotal { strength, bound } => {
                let gap = (total - bound).max(0.0);
                adjoint.iter_mut().for_each(|a| *a += 2.0 * strength * gap / b);
                strength * gap * gap / b
            }
            Self::WeightSquared { .. } => 0.0,
        }
    }
}

/// Adds the derivative of a sum over units to `adjoint` and returns the sum.
fn each(counts: &[f64], adjoint: &mut [f64], f: impl Fn(f64) -> (f64, f64)) -> f64 {
    let mut sum = 0.0;
    for (a, n) in adjoint.iter_mut().zip(counts) {
        let (value, slope) = f(*n);
        *a += slope;
        sum += value;
    }
    sum
}

#[cfg(test)]
mod tests;
