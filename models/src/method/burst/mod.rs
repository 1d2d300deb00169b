//! Bursts carry the error: a network of event rates whose apical dendrites teach the hidden layer
//! (J. Guerguiev, *Temporal Deep Learning*, 2017).
//!
//! Rates only, no spikes are drawn. Inputs x, hidden units with a soma (event rate λ⁰) and an apical
//! dendrite (burst probability ρ, burst rate ψ), outputs (λ¹); one step of delay per layer. In
//! step t, in this order (a tilde is the running mean `x̃ ← (x̃ + x)/2`):
//!
//! ```text
//! t ≥ 2  outputs   λ̃⁰ ← (λ̃⁰ + λ⁰(t−1))/2     λ¹ = σ(W¹ λ̃⁰ + b¹)     taught: λ¹ ← (1 − w) λ¹ + w target
//! t ≥ 1  hidden    x̃ ← (x̃ + x)/2              λ⁰ = σ(W⁰ x̃ + b⁰)
//! t > 3  apical    λ̃¹ ← (λ̃¹ + λ¹)/2           ρ = σ(Y λ̃¹)             ψ = ρ λ⁰
//! t > 3  if step t − 1 was taught:  W⁰ += η₀ δ⁰ x̃ᵀ,  b⁰ += η₀ δ⁰
//! t ≥ 2  if step t is taught:       W¹ += η₁ δ¹ λ̃⁰ᵀ, b¹ += η₁ δ¹
//!
//! δ¹ = (λ¹(t) − λ¹(t−1)) λ¹(t−1) (1 − λ¹(t−1))
//! δ⁰ = λ⁰(t) (ψ(t) − ψ(t−1)) λ⁰(t−1) (1 − λ⁰(t−1))          rule A, the first write-up
//! δ⁰ = (ρ(t) − ρ(t−1)) λ⁰(t−1) (1 − λ⁰(t−1))               rule B, a few days later: the default
//! ```
//!
//! The teacher moves the outputs, the outputs move the burst probability, and the burst probability
//! moves the weights of the hidden layer: no derivative is sent down. Feedback weights can learn to
//! predict the event rates, in every step with t > 3, `Y += η_Y δY λ̃¹ᵀ`:
//! `δY = λ⁰ (λ⁰ − ψ) ρ (1 − ρ)` with λ̃¹ of the step before (rule A), `(λ⁰ − ψ) ρ (1 − ρ)` with the
//! present λ̃¹ (rule B). In generative mode `λ⁰ ← ψ`: the feedback alone drives the network.
//!
//! All rates are bounded, and so are the updates: learning cannot run away to infinity.

mod dense;
mod network;
mod state;

pub use network::{Burst, Mode, SequenceErrors};
pub use state::NamedArray;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::task::sequence::size;

/// Spikes of a burst (published); for the spike rate that a plot shows.
pub const SPIKES_PER_BURST: f64 = 10.0;

/// Which of the two published forms of the hidden update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// From the change of the burst rate.
    A,
    /// From the change of the burst probability.
    B,
}

/// Network and learning. Defaults are the published values, with rule B.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct BurstConfig {
    /// Hidden units (200).
    pub hidden: usize,
    /// Form of the hidden update.
    pub rule: Rule,
    /// η₀, step of the hidden weights (5.0); 0 freezes them.
    pub hidden_rate: f64,
    /// η₁, step of the output weights (0.01).
    pub output_rate: f64,
    /// η_Y, step of the feedback weights (0: fixed; published where they learn: 0.1, 1e-3, 1e-4).
    pub feedback_rate: f64,
    /// Share of the weights that is lost at every update (0).
    pub weight_decay: f64,
    /// Probability that a step is taught (0.05).
    pub teaching_probability: f64,
    /// w, how far the teacher moves the outputs (0.5; 1 in the later program).
    pub teaching_weight: f64,
    /// Weights start at U(±this) (0.1).
    pub weight_range: f64,
    /// Biases start at this (0.1).
    pub bias: f64,
    /// Feedback weights start at U(±this) (10).
    pub feedback_range: f64,
    /// Share of the feedback weights that are zero for ever (0; published where it is used: 0.5).
    pub sparse_feedback: f64,
    /// Passes over all sequences (100); for who runs the network, it does not count them itself.
    pub epochs: usize,
}

impl Default for BurstConfig {
    fn default() -> Self {
        Self {
            hidden: 200,
            rule: Rule::B,
            hidden_rate: 5.0,
            output_rate: 0.01,
            feedback_rate: 0.0,
            weight_decay: 0.0,
            teaching_probability: 0.05,
            teaching_weight: 0.5,
            weight_range: 0.1,
            bias: 0.1,
            feedback_range: 10.0,
            sparse_feedback: 0.0,
            epochs: 100,
        }
    }
}

impl BurstConfig {
    /// Refuses values that make no network.
    ///
    /// # Errors
    /// [`ModelError::Size`] or [`ModelError::Parameter`] with the key.
    pub fn check(&self) -> Result<()> {
        size("learning.hidden", self.hidden, 1 << 16)?;
        size("learning.epochs", self.epochs, 1 << 24)?;
        for (what, got) in [
            ("learning.hidden-rate", self.hidden_rate),
            ("learning.output-rate", self.output_rate),
            ("learning.feedback-rate", self.feedback_rate),
            ("learning.weight-range", self.weight_range),
            ("learning.feedback-range", self.feedback_range),
        ] {
            if !(got.is_finite() && got >= 0.0) {
                let must = "it must be a number, at least 0";
                return Err(ModelError::Parameter { what, got, must });
            }
        }
        for (what, got) in [
            ("learning.weight-decay", self.weight_decay),
            ("learning.teaching-probability", self.teaching_probability),
            ("learning.teaching-weight", self.teaching_weight),
            ("learning.sparse-feedback", self.sparse_feedback),
        ] {
            if !(0.0..=1.0).contains(&got) {
                return Err(ModelError::Parameter { what, got, must: "it must lie in [0, 1]" });
            }
        }
        if !self.bias.is_finite() {
            let must = "it must be a number";
            return Err(ModelError::Parameter { what: "learning.bias", got: self.bias, must });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
