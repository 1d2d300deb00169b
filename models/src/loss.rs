//! Losses on the membrane of the readout, which an experiment names, and on spikes.
//!
//! `O[t, k]` is the membrane of readout `k`, `y` the label, `p = softmax(logits)`:
//!
//! ```text
//! max over time    logits_k = scale · max_t O[t, k]
//! sum over time    logits_k = scale · Σ_t O[t, k]
//! last step        logits_k = scale · O[T − 1, k]
//! every step       L = mean over t ≥ 1 of the cross-entropy of scale · O[t]
//! L = −ln p_y      ∂L/∂logits_k = p_k − [k = y]
//!
//! penalty          + ρ mean_k (max_t O[t, k])², with the maximum over time: outputs stay within what a
//!                  converter reads
//! focal            L = −(1 − p_y)^γ ln p_y of one of the first three (Lin et al. 2017): samples
//!                  that are already right count less; γ = 0 is the cross-entropy
//! mean square      L = mean over t ≥ 1 and k of ½ (scale · O[t, k] − [k = y])²
//! smooth L1        the same with d²/2 where |d| < 1 and |d| − ½ elsewhere (Kaiser et al. 2020)
//! ```
//!
//! The distance of spike trains is [`van_rossum`](crate::van_rossum); losses on spike times are those
//! of [`first_spike`](crate::method::first_spike::loss).
//!
//! **Ties.** With a silent hidden layer all outputs are 0 at all times. Taking the first index would
//! choose the initial state, where no gradient exists, and a deterministic network would never
//! learn. Noise `N(0, tie_noise)` from a counter-based hash of (key, sample, step, class) therefore
//! decides which step is the maximum; the value of the maximum is the clean one.

mod maximum;

use serde::{Deserialize, Serialize};

use self::maximum::{MaximumScratch, latest_maxima};
use crate::error::{ModelError, Result};
use crate::real::Real;

/// Default standard deviation of the noise that breaks ties (published code of Cramer et al. 2022).
pub const TIE_NOISE: f64 = 1e-5;

fn one() -> f64 {
    1.0
}

fn tie_noise() -> f64 {
    TIE_NOISE
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn none(x: &f64) -> bool {
    *x == 0.0
}

fn gamma() -> f64 {
    2.0
}

/// How a readout becomes one logit a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// `scale · max_t O`.
    #[default]
    MaxOverTime,
    /// `scale · Σ_t O`.
    SumOverTime,
    /// `scale · O[T − 1]`.
    LastStep,
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
        /// ρ of the penalty on large outputs, `ρ mean_k (max_t O)²`.
        #[serde(default, skip_serializing_if = "none")]
        amplitude: f64,
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
    /// Focal cross-entropy.
    Focal {
        /// Which logits.
        #[serde(default)]
        over: Over,
        /// Factor between membrane and logit.
        #[serde(default = "one")]
        scale: f64,
        /// γ: 0 is the cross-entropy, 2 the published choice.
        #[serde(default = "gamma")]
        gamma: f64,
        /// As for the maximum over time; unused by the others.
        #[serde(default = "tie_noise")]
        tie_noise: f64,
    },
    /// Mean over the states after the first and over classes of `½ (scale · O − target)²`, with the
    /// target 1 for the label and 0 for the others; the prediction is the class with the largest sum.
    MeanSquare {
        /// Factor between membrane and output.
        #[serde(default = "one")]
        scale: f64,
    },
    /// The same, linear beyond a distance of 1.
    SmoothL1 {
        /// Factor between membrane and output.
        #[serde(default = "one")]
        scale: f64,
    },
}

impl Loss {
    /// Maximum over time with a scale and the usual tie breaker.
    #[must_use]
    pub fn max_over_time(scale: f64) -> Self {
        Self::MaxOverTime { scale, tie_noise: TIE_NOISE, amplitude: 0.0 }
    }

    /// Checks the parameters.
    ///
    /// # Errors
    /// A scale that is not positive, a negative noise, penalty or γ.
    pub fn check(self) -> Result<()> {
        let fine = |what, got: f64, within: bool, must| {
            if got.is_finite() && within {
                Ok(())
            } else {
                Err(ModelError::Parameter { what, got, must })
            }
        };
        let scale = self.scale();
        fine("loss.scale", scale, scale > 0.0, "it must be positive")?;
        if let Self::MaxOverTime { tie_noise, .. } | Self::Focal { tie_noise, .. } = self {
            fine("loss.tie_noise", tie_noise, tie_noise >= 0.0, "it must not be negative")?;
        }
        let amplitude = self.amplitude();
        fine("loss.amplitude", amplitude, amplitude >= 0.0, "it must not be negative")?;
        if let Self::Focal { gamma, .. } = self {
            fine("loss.gamma", gamma, gamma >= 0.0, "it must not be negative")?;
        }
        Ok(())
    }

    /// Factor between membrane and logit or output.
    #[must_use]
    pub fn scale(self) -> f64 {
        match self {
            Self::MaxOverTime { scale, .. }
            | Self::SumOverTime { scale }
            | Self::LastStep { scale }
            | Self::EveryStep { scale }
            | Self::Focal { scale, .. }
            | Self::MeanSquare { scale }
            | Self::SmoothL1 { scale } => scale,
        }
    }

    /// Penalty on large outputs.
    fn amplitude(self) -> f64 {
        if let Self::MaxOverTime { amplitude, .. } = self { amplitude } else { 0.0 }
    }

    /// Which logits decide, with the noise that breaks ties of maxima, and γ of a focal loss;
    /// nothing for losses on every step.
    fn reduction(self) -> Option<(Over, f64, f64)> {
        match self {
            Self::MaxOverTime { tie_noise, .. } => Some((Over::MaxOverTime, tie_noise, 0.0)),
            Self::SumOverTime { .. } => Some((Over::SumOverTime, 0.0, 0.0)),
            Self::LastStep { .. } => Some((Over::LastStep, 0.0, 0.0)),
            Self::Focal { over, gamma, tie_noise, .. } => Some((over, tie_noise, gamma)),
            Self::EveryStep { .. } | Self::MeanSquare { .. } | Self::SmoothL1 { .. } => None,
        }
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
        let scale = self.scale();
        let (over, tie_noise, gamma) = self.reduction().unwrap_or((Over::SumOverTime, 0.0, 0.0));
        if over == Over::MaxOverTime {
            latest_maxima(&readout, key, tie_noise, maximum);
        }
        reduce(&readout, over, scale, &maximum.steps, logits);
        let predicted = largest(logits);
        let Some(label) = label else { return SampleLoss { value: f64::NAN, predicted, last: 0 } };
        let end = readout.states() - 1;
        if self.reduction().is_none() {
            let value = every_step(self, &readout, label, weight, adjoint, logits);
            return SampleLoss { value, predicted, last: end };
        }
        let mut value = focal(logits, label, gamma);
        logits.iter_mut().for_each(|slope| *slope *= weight * scale);
        if self.amplitude() > 0.0 {
            value += penalise(&readout, self.amplitude(), &maximum.steps, weight, logits);
        }
        let last = spread(&readout, over, &maximum.steps, logits, adjoint);
        SampleLoss { value, predicted, last }
    }
}

/// Adds the slopes of `ρ mean_k (max_t O)²` to those of the outputs and returns its value.
fn penalise<F: Real>(
    readout: &Readout<'_, F>,
    amplitude: f64,
    steps: &[usize],
    weight: f64,
    slopes: &mut [f64],
) -> f64 {
    let share = amplitude / slopes.len() as f64;
    let mut sum = 0.0;
    for (k, (slope, t)) in slopes.iter_mut().zip(steps).enumerate() {
        let output = readout.row(*t)[k].wide();
        *slope += weight * 2.0 * share * output;
        sum += share * output * output;
    }
    sum
}

/// Logits of a readout; `steps` holds the states of the maxima.
fn reduce<F: Real>(
    readout: &Readout<'_, F>,
    over: Over,
    scale: f64,
    steps: &[usize],
    logits: &mut [f64],
) {
    match over {
        Over::MaxOverTime => {
            for (k, (logit, t)) in logits.iter_mut().zip(steps).enumerate() {
                *logit = scale * readout.row(*t)[k].wide();
            }
        }
        Over::SumOverTime => {
            for row in readout.rows() {
                logits.iter_mut().zip(row).for_each(|(logit, o)| *logit += scale * o.wide());
            }
        }
        Over::LastStep => {
            let row = readout.row(readout.states() - 1);
            logits.iter_mut().zip(row).for_each(|(logit, o)| *logit = scale * o.wide());
        }
    }
}

/// Writes the slopes of the logits to where the logits come from; returns the last such state.
fn spread<F: Real>(
    readout: &Readout<'_, F>,
    over: Over,
    steps: &[usize],
    slopes: &[f64],
    adjoint: &mut [F],
) -> usize {
    let (stride, end) = (readout.stride, readout.states() - 1);
    match over {
        Over::MaxOverTime => {
            let last = steps.iter().copied().max().unwrap_or(0);
            adjoint[..(last + 1) * stride].fill(F::zero());
            for (k, (slope, t)) in slopes.iter().zip(steps).enumerate() {
                adjoint[t * stride + k] = F::of(*slope);
            }
            last
        }
        Over::SumOverTime => {
            for t in 0..=end {
                let row = &mut adjoint[t * stride..][..readout.classes];
                row.iter_mut().zip(slopes).for_each(|(a, s)| *a = F::of(*s));
            }
            end
        }
        Over::LastStep => {
            adjoint.fill(F::zero());
            let row = &mut adjoint[end * stride..][..readout.classes];
            row.iter_mut().zip(slopes).for_each(|(a, s)| *a = F::of(*s));
            end
        }
    }
}

/// Replaces logits by the slopes of `−(1 − p_label)^γ ln p_label` and returns its value. With
/// `q = 1 − p`: slopes are those of the cross-entropy times `q^γ (1 − γ p ln p / q)`.
fn focal(logits: &mut [f64], label: u16, gamma: f64) -> f64 {
    let plain = cross_entropy(logits, label);
    if gamma == 0.0 {
        return plain;
    }
    let label = usize::from(label);
    // The others' shares: exact where p is near 1.
    let others = logits.iter().enumerate().filter(|(k, _)| *k != label).map(|(_, p)| p);
    let q: f64 = others.sum();
    let ratio = if q > 0.0 { plain / q } else { 1.0 };
    let damped = libm::pow(q, gamma);
    let factor = damped * (1.0 + gamma * libm::exp(-plain) * ratio);
    logits.iter_mut().for_each(|slope| *slope *= factor);
    damped * plain
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

/// Mean over the states after the first, whose value is not learned.
fn every_step<F: Real>(
    loss: Loss,
    readout: &Readout<'_, F>,
    label: u16,
    weight: f64,
    adjoint: &mut [F],
    logits: &mut [f64],
) -> f64 {
    let count = readout.states().saturating_sub(1).max(1) as f64;
    let first = usize::from(readout.states() > 1);
    let scale = loss.scale();
    adjoint.fill(F::zero());
    let mut sum = 0.0;
    for (t, row) in readout.rows().enumerate().skip(first) {
        logits.iter_mut().zip(row).for_each(|(logit, o)| *logit = scale * o.wide());
        sum += match loss {
            Loss::MeanSquare { .. } => distance(logits, label, f64::INFINITY),
            Loss::SmoothL1 { .. } => distance(logits, label, 1.0),
            _ => cross_entropy(logits, label),
        };
        let out = &mut adjoint[t * readout.stride..];
        out.iter_mut().zip(logits.iter()).for_each(|(a, s)| *a = F::of(weight * scale / count * s));
    }
    sum / count
}

/// Replaces outputs by the slopes of the mean over classes of `d²/2` (beyond `bend`: `|d| − ½`), `d`
/// the distance from 1 for the label and 0 for the others, and returns that mean.
fn distance(outputs: &mut [f64], label: u16, bend: f64) -> f64 {
    let share = 1.0 / outputs.len() as f64;
    let mut sum = 0.0;
    for (k, output) in outputs.iter_mut().enumerate() {
        let d = *output - f64::from(u8::from(k == usize::from(label)));
        let near = d.abs() < bend;
        sum += if near { 0.5 * d * d } else { d.abs() - 0.5 };
        *output = share * if near { d } else { d.signum() };
    }
    share * sum
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

#[cfg(test)]
mod tests;
