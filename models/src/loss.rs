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
use crate::kernel::dynamics::{maxima, rows_above};
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
            return Err(ModelError::Parameter {
                what: "loss.scale",
                got: scale,
                must: "it must be positive",
            });
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

/// Loss of one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleLoss {
    /// Value; NaN without a label.
    pub value: f64,
    /// Class with the largest logit.
    pub predicted: u16,
    /// Last state whose adjoint is not zero; 0 if there is none.
    pub last: usize,
}

/// Memory of an evaluation, allocated once.
#[derive(Clone, Debug, Default)]
pub struct LossScratch {
    logits: Vec<f64>,
    maximum: MaximumScratch,
}

/// Memory of the search for maxima: one entry a class, and the states near a maximum.
#[derive(Clone, Debug, Default)]
struct MaximumScratch {
    steps: Vec<usize>,
    noisy: Vec<f64>,
    near: Vec<usize>,
}

/// Readouts up to this width find their maxima without allocation.
const FLOORS: usize = 256;

/// Readout of one sample: membranes `[state, unit]` in rows of `stride`, of which the first
/// `classes` count.
#[derive(Clone, Copy, Debug)]
pub struct Readout<'a, F> {
    /// Membranes.
    pub membrane: &'a [F],
    /// Length of a row.
    pub stride: usize,
    /// Number of classes.
    pub classes: usize,
}

impl<F: Real> Readout<'_, F> {
    fn rows(&self) -> impl ExactSizeIterator<Item = &[F]> {
        self.membrane.chunks_exact(self.stride).map(|row| &row[..self.classes])
    }

    fn row(&self, t: usize) -> &[F] {
        &self.membrane[t * self.stride..][..self.classes]
    }

    fn states(&self) -> usize {
        self.membrane.len() / self.stride
    }
}

impl Loss {
    /// Evaluates one sample. With a `label`, writes `weight · ∂L/∂O` into `adjoint` (same layout as
    /// the readout; everything is overwritten up to [`SampleLoss::last`], zero beyond is implied).
    /// `key` names the sample for the tie breaker.
    pub fn evaluate<F: Real>(
        self,
        readout: Readout<'_, F>,
        label: Option<u16>,
        key: u64,
        weight: f64,
        adjoint: &mut [F],
        scratch: &mut LossScratch,
    ) -> SampleLoss {
        let LossScratch { logits, maximum } = scratch;
        logits.clear();
        logits.resize(readout.classes, 0.0);
        let end = readout.states() - 1;
        let scale = match self {
            Self::MaxOverTime { scale, tie_noise } => {
                latest_maxima(&readout, key, tie_noise, maximum);
                for (k, (logit, t)) in logits.iter_mut().zip(maximum.steps.iter()).enumerate() {
                    *logit = scale * readout.membrane[t * readout.stride + k].wide();
                }
                scale
            }
            Self::SumOverTime { scale } | Self::EveryStep { scale } => {
                for row in readout.rows() {
                    logits.iter_mut().zip(row).for_each(|(logit, o)| *logit += scale * o.wide());
                }
                scale
            }
            Self::LastStep { scale } => {
                let row = &readout.membrane[end * readout.stride..];
                logits.iter_mut().zip(row).for_each(|(logit, o)| *logit = scale * o.wide());
                scale
            }
        };
        let predicted = largest(logits);
        let Some(label) = label else { return SampleLoss { value: f64::NAN, predicted, last: 0 } };
        let row = |t: usize| t * readout.stride..t * readout.stride + readout.classes;
        if let Self::EveryStep { .. } = self {
            let value = every_step(&readout, label, scale, weight, adjoint, logits);
            return SampleLoss { value, predicted, last: end };
        }
        let value = cross_entropy(logits, label);
        let factor = weight * scale;
        let last = match self {
            Self::MaxOverTime { .. } => {
                let last = maximum.steps.iter().copied().max().unwrap_or(0);
                adjoint[..(last + 1) * readout.stride].fill(F::zero());
                for (k, (slope, t)) in logits.iter().zip(maximum.steps.iter()).enumerate() {
                    adjoint[t * readout.stride + k] = F::of(factor * slope);
                }
                last
            }
            Self::SumOverTime { .. } => {
                for t in 0..=end {
                    adjoint[row(t)]
                        .iter_mut()
                        .zip(logits.iter())
                        .for_each(|(a, s)| *a = F::of(factor * s));
                }
                end
            }
            _ => {
                adjoint.fill(F::zero());
                adjoint[row(end)]
                    .iter_mut()
                    .zip(logits.iter())
                    .for_each(|(a, s)| *a = F::of(factor * s));
                end
            }
        };
        SampleLoss { value, predicted, last }
    }
}

/// Replaces logits by `p − [k = label]` and returns `−ln p_label`.
pub(crate) fn cross_entropy(logits: &mut [f64], label: u16) -> f64 {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let own = logits[usize::from(label)] - highest;
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = libm::exp(*logit - highest);
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit /= sum;
    }
    logits[usize::from(label)] -= 1.0;
    libm::log(sum) - own
}

/// Mean cross-entropy over the states after the first, whose value is not learned.
fn every_step<F: Real>(
    readout: &Readout<'_, F>,
    label: u16,
    scale: f64,
    weight: f64,
    adjoint: &mut [F],
    logits: &mut [f64],
) -> f64 {
    let count = readout.states().saturating_sub(1).max(1) as f64;
    let first = usize::from(readout.states() > 1);
    adjoint.fill(F::zero());
    let mut sum = 0.0;
    for (t, row) in readout.rows().enumerate().skip(first) {
        logits.iter_mut().zip(row).for_each(|(logit, o)| *logit = scale * o.wide());
        sum += cross_entropy(logits, label);
        let out = &mut adjoint[t * readout.stride..];
        out.iter_mut().zip(logits.iter()).for_each(|(a, s)| *a = F::of(weight * scale / count * s));
    }
    sum / count
}

/// Index of the largest logit, the first of several.
pub(crate) fn largest(logits: &[f64]) -> u16 {
    let mut best = 0;
    for (k, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = k;
        }
    }
    best as u16
}

/// State of the maximum of each class. The noise is bounded, so only states within twice its bound
/// of the maximum can win: it is drawn for those alone, and the result is that of drawing it for
/// all.
fn latest_maxima<F: Real>(
    readout: &Readout<'_, F>,
    key: u64,
    tie_noise: f64,
    scratch: &mut MaximumScratch,
) {
    let MaximumScratch { steps, noisy, near } = scratch;
    let (classes, stride) = (readout.classes, readout.stride);
    steps.clear();
    steps.resize(classes, 0);
    // Columns beyond the classes are padding: nothing is above an infinite floor.
    let mut floors = [F::neg_infinity(); FLOORS];
    let mut many = Vec::new();
    let floors = if stride <= FLOORS {
        &mut floors[..stride]
    } else {
        many.resize(stride, F::neg_infinity());
        &mut many[..]
    };
    maxima(floors, readout.membrane);
    let margin = F::of(2.0 * COUNTER_NORMAL_BOUND * tie_noise);
    floors[..classes].iter_mut().for_each(|floor| *floor -= margin);
    floors[classes..].fill(F::infinity());
    near.clear();
    rows_above(readout.membrane, floors, near);
    noisy.clear();
    noisy.resize(classes, f64::NEG_INFINITY);
    for &t in near.iter() {
        for (k, (value, floor)) in readout.row(t).iter().zip(floors.iter()).enumerate() {
            if *value < *floor {
                continue;
            }
            let noise = if tie_noise > 0.0 {
                counter_normal(mix(mix(key, t as u64), k as u64))
            } else {
                0.0
            };
            let value = value.wide() + tie_noise * noise;
            if value > noisy[k] {
                (noisy[k], steps[k]) = (value, t);
            }
        }
    }
}

#[cfg(test)]
mod tests;
