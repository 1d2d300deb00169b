//! A sequence of inputs and what the outputs should be.

use ndarray::Array2;

use crate::error::{ModelError, Result};
use crate::real::Real;

/// Rates over time, about between 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence<F> {
    /// `[time, input]`.
    pub inputs: Array2<F>,
    /// `[time, output]`.
    pub targets: Array2<F>,
}

impl<F: Real> Sequence<F> {
    /// Zeros.
    #[must_use]
    pub fn zeros(steps: usize, inputs: usize, outputs: usize) -> Self {
        Self { inputs: Array2::zeros((steps, inputs)), targets: Array2::zeros((steps, outputs)) }
    }

    /// Number of steps.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.inputs.nrows()
    }
}

/// Refuses a size of zero, or one that would not fit into memory.
pub(crate) fn size(what: &'static str, got: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&got) { Ok(()) } else { Err(ModelError::Size { what, got, max }) }
}
