//! What a lesson has learned so far, by name: arrays of numbers and a few counters.

use super::LessonError;
use spikeloop_models::Real;
use spikeloop_models::checkpoint::{Checkpoint, Tensor};
use std::fmt::Display;
use std::str::FromStr;

/// Arrays and counters by name. Numbers of 32 bits are kept in 64 and come back as the same bits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    checkpoint: Checkpoint<f64>,
}

impl State {
    /// Keeps an array, row-major.
    pub fn put<F: Real>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: impl IntoIterator<Item = F>,
    ) {
        let values = values.into_iter().map(F::wide).collect();
        self.checkpoint.tensors.insert(name.to_owned(), Tensor { shape: shape.to_vec(), values });
    }

    /// Keeps a counter, or anything else that is text.
    pub fn put_text(&mut self, name: &str, value: impl Display) {
        self.checkpoint.metadata.insert(name.to_owned(), value.to_string());
    }

    /// An array, which must have this shape.
    ///
    /// # Errors
    /// [`LessonError::State`].
    pub fn array<F: Real>(&self, name: &str, shape: &[usize]) -> Result<Vec<F>, LessonError> {
        let found = self.checkpoint.tensors.get(name);
        let tensor = found.ok_or_else(|| problem(name, "is missing".into()))?;
        if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
            let text = format!("has shape {:?}, needed is {shape:?}", tensor.shape);
            return Err(problem(name, text));
        }
        Ok(tensor.values.iter().map(|v| F::of(*v)).collect())
    }

    /// An array that fills `into`.
    ///
    /// # Errors
    /// [`LessonError::State`].
    pub fn fill<F: Real>(
        &self,
        name: &str,
        shape: &[usize],
        into: &mut [F],
    ) -> Result<(), LessonError> {
        let values = self.array(name, shape)?;
        if values.len() != into.len() {
            return Err(problem(
                name,
                format!("has {} values, needed are {}", values.len(), into.len()),
            ));
        }
        into.copy_from_slice(&values);
        Ok(())
    }

    /// A counter, or what else was kept as text.
    ///
    /// # Errors
    /// [`LessonError::State`].
    pub fn text<T: FromStr>(&self, name: &str) -> Result<T, LessonError> {
        let found = self.checkpoint.metadata.get(name);
        let text = found.ok_or_else(|| problem(name, "is missing".into()))?;
        text.parse().map_err(|_| problem(name, format!("{text:?} cannot be read")))
    }

    /// The first array with a number that is none.
    pub(super) fn not_finite(&self) -> Option<(&str, f64)> {
        self.checkpoint.tensors.iter().find_map(|(name, tensor)| {
            let bad = tensor.values.iter().find(|v| !v.is_finite())?;
            Some((name.as_str(), *bad))
        })
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, LessonError> {
        Ok(self.checkpoint.to_bytes()?)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, LessonError> {
        Ok(Self { checkpoint: Checkpoint::from_bytes(bytes)? })
    }
}

fn problem(name: &str, problem: String) -> LessonError {
    LessonError::State { name: name.to_owned(), problem }
}
