//! Searching codes: all neurons at once, one measurement a step.
//!
//! | algorithm | steps for 10 bits | when |
//! |---|---|---|
//! | [`Model`] | 2 to 4 | the law of the parameter is known: invert it, then follow the measured slope |
//! | [`Binary`] | 12 | only the direction is known |
//! | [`NoisyBinary`] | 15 | the same, on cells that disturb each other at equal codes |
//! | [`Linear`] | as chosen | not even monotony is known |
//!
//! Each search keeps, for every neuron, the code whose measured value came nearest to the target.

mod binary;
mod linear;
mod model;

pub use binary::{Binary, NoisyBinary};
pub use linear::Linear;
pub use model::Model;

use crate::estimate::Estimate;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Law, ParameterSpec};

/// Which algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// [`Model`].
    #[default]
    Model,
    /// [`Binary`].
    Binary,
    /// [`NoisyBinary`].
    NoisyBinary,
    /// [`Linear`].
    Linear,
}

impl Algorithm {
    /// A search for `goal` that starts at `codes`. `seed` draws the start of a noisy search.
    #[must_use]
    pub fn start(self, goal: Goal, codes: &[u16], seed: u64) -> Box<dyn Search> {
        match self {
            Self::Model => Box::new(Model::new(goal, codes)),
            Self::Binary => Box::new(Binary::new(goal, codes.len())),
            Self::NoisyBinary => Box::new(NoisyBinary::new(goal, codes.len(), seed)),
            Self::Linear => Box::new(Linear::new(goal, codes.len(), 12)),
        }
    }
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// The parameter's codes.
    pub spec: ParameterSpec,
    /// Wanted value, in the unit of the parameter.
    pub target: f64,
    /// Deviation below which nothing is gained by going on: what training absorbs.
    pub tolerance: f64,
}

impl Goal {
    /// Whether larger codes mean larger values.
    #[must_use]
    pub fn rising(&self) -> bool {
        match self.spec.law {
            Law::Linear { slope, .. } => slope > 0.0,
            Law::Reciprocal { .. } => false,
            _ => true,
        }
    }

    fn clamp(&self, code: f64) -> u16 {
        let (low, high) = (f64::from(self.spec.code_min), f64::from(self.spec.code_max));
        code.round().clamp(low, high) as u16
    }
}

/// A search over the codes of one parameter for all neurons.
pub trait Search: Send {
    /// Codes to be tried first.
    fn first(&self) -> Vec<u16>;

    /// Takes what was measured at the codes that were tried last and names the next ones; `None` when done.
    fn next(&mut self, measured: &[Estimate]) -> Option<Vec<u16>>;

    /// The best code of every neuron so far.
    fn best(&self) -> Vec<u16>;
}

/// Remembers the best code of every neuron.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    target: f64,
    codes: Vec<u16>,
    distance: Vec<f64>,
}

impl Best {
    pub(crate) fn new(target: f64, codes: &[u16]) -> Self {
        Self { target, codes: codes.to_vec(), distance: vec![f64::INFINITY; codes.len()] }
    }

    pub(crate) fn see(&mut self, tried: &[u16], measured: &[Estimate]) {
        for (n, (code, estimate)) in tried.iter().zip(measured).enumerate() {
            let distance = (estimate.value - self.target).abs();
            if estimate.is_good() && distance <= self.distance[n] {
                (self.codes[n], self.distance[n]) = (*code, distance);
            }
        }
    }

    /// Whether a value of this neuron was seen.
    pub(crate) fn known(&self, n: usize) -> bool {
        self.distance[n].is_finite()
    }

    /// Forgets what was seen, keeps the codes.
    pub(crate) fn forget(&mut self) {
        self.distance.fill(f64::INFINITY);
    }

    pub(crate) fn codes(&self) -> &[u16] {
        &self.codes
    }
}

#[cfg(test)]
mod tests;
