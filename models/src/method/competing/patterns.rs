//! Patterns as lists of their non-zero values: four of five pixels of a digit are black.

use ndarray::ArrayView2;

use crate::error::{ModelError, Result};
use crate::real::Real;

/// Rows of a matrix `[pattern, input]`, without their zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns<F> {
    inputs: usize,
    /// Where each pattern starts, and the end of the last.
    starts: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<F>,
}

impl<F: Real> Patterns<F> {
    /// Keeps what is not zero.
    ///
    /// # Errors
    /// No pattern, no input, or a value that is not a finite number.
    pub fn new(matrix: ArrayView2<'_, F>) -> Result<Self> {
        let (count, inputs) = matrix.dim();
        for (what, got) in [("number of patterns", count), ("inputs of a pattern", inputs)] {
            if got == 0 || got > u32::MAX as usize {
                return Err(ModelError::Size { what, got, max: u32::MAX as usize });
            }
        }
        let mut patterns = Self { inputs, starts: vec![0], ids: Vec::new(), values: Vec::new() };
        for row in matrix.rows() {
            for (id, value) in row.iter().enumerate().filter(|(_, value)| **value != F::zero()) {
                if !value.is_finite() {
                    return Err(ModelError::Parameter {
                        what: "value of a pattern",
                        got: value.wide(),
                        must: "it must be a number",
                    });
                }
                patterns.ids.push(id as u32);
                patterns.values.push(*value);
            }
            patterns.starts.push(patterns.ids.len());
        }
        Ok(patterns)
    }

    /// Number of patterns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Never: a set without patterns is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Inputs and values of one pattern.
    #[must_use]
    pub fn get(&self, pattern: usize) -> (&[u32], &[F]) {
        let range = self.starts[pattern]..self.starts[pattern + 1];
        (&self.ids[range.clone()], &self.values[range])
    }
}
