//! What learning changes, out of the network and back.
//!
//! Rates of the step before are not part of it: they are written before they are read.

use super::dense::Dense;
use super::network::Burst;
use crate::error::{ModelError, Result};
use crate::real::Real;

/// A named array with its shape, without padding.
pub type NamedArray<F> = (&'static str, Vec<usize>, Vec<F>);

/// Matrices `[pre, post]`.
const MATRICES: [&str; 3] = ["hidden_weights", "output_weights", "feedback_weights"];

/// One number a unit.
const VECTORS: [&str; 9] = [
    "hidden_bias",
    "output_bias",
    "input_mean",
    "hidden_mean",
    "output_mean",
    "event_rate",
    "output_rate",
    "burst_probability",
    "burst_rate",
];

/// 1 if the last step was taught, else 0.
const TAUGHT: &str = "taught_before";

impl<F: Real> Burst<F> {
    /// Everything that learning changes, besides [`Burst::steps`].
    #[must_use]
    pub fn state(&self) -> Vec<NamedArray<F>> {
        let matrices = [&self.hidden_weights, &self.output_weights, &self.feedback];
        let matrices = MATRICES.into_iter().zip(matrices).map(|(name, matrix)| {
            (name, matrix.shape().to_vec(), matrix.rows().flatten().copied().collect())
        });
        let (hidden, outputs) = (self.config.hidden, self.outputs);
        let vectors = [
            &self.hidden_bias[..hidden],
            &self.output_bias[..outputs],
            &self.input_mean,
            &self.hidden_mean,
            &self.output_mean,
            &self.event.now[..hidden],
            &self.output.now[..outputs],
            &self.probability.now[..hidden],
            &self.burst.now[..hidden],
        ];
        let vectors = VECTORS
            .into_iter()
            .zip(vectors)
            .map(|(name, values)| (name, vec![values.len()], values.to_vec()));
        let taught = (TAUGHT, vec![1], vec![F::of(f64::from(u8::from(self.taught_before)))]);
        matrices.chain(vectors).chain([taught]).collect()
    }

    /// Puts a state back: `steps` made, and every array of [`Burst::state`] by name.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] for an array that is missing or has another length; the network
    /// is then unchanged.
    pub fn restore<'a>(&mut self, steps: u64, get: impl Fn(&str) -> Option<&'a [F]>) -> Result<()> {
        let mut fresh = self.clone();
        let wrong = |name: &str| ModelError::Checkpoint {
            name: name.into(),
            problem: "is missing, or of a network of another size".into(),
        };
        let found = |name: &str| get(name).ok_or_else(|| wrong(name));
        let matrices: [&mut Dense<F>; 3] =
            [&mut fresh.hidden_weights, &mut fresh.output_weights, &mut fresh.feedback];
        for (matrix, name) in matrices.into_iter().zip(MATRICES) {
            if !matrix.load(found(name)?) {
                return Err(wrong(name));
            }
        }
        let (hidden, outputs) = (self.config.hidden, self.outputs);
        let vectors: [&mut [F]; 9] = [
            &mut fresh.hidden_bias[..hidden],
            &mut fresh.output_bias[..outputs],
            &mut fresh.input_mean,
            &mut fresh.hidden_mean,
            &mut fresh.output_mean,
            &mut fresh.event.now[..hidden],
            &mut fresh.output.now[..outputs],
            &mut fresh.probability.now[..hidden],
            &mut fresh.burst.now[..hidden],
        ];
        for (vector, name) in vectors.into_iter().zip(VECTORS) {
            let values = found(name)?;
            if values.len() != vector.len() {
                return Err(wrong(name));
            }
            vector.copy_from_slice(values);
        }
        fresh.taught_before = *found(TAUGHT)?.first().ok_or_else(|| wrong(TAUGHT))? > F::zero();
        fresh.steps = steps;
        *self = fresh;
        Ok(())
    }
}
