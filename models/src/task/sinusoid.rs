//! Sums of two sinusoids with random frequencies, inputs and targets alike (J. Guerguiev, *Temporal
//! Deep Learning*, 2017).
//!
//! Every unit: `0.2 + ½(sin(a t + φ) + 1) A + ½(cos(b t + φ′) + 1) A′` with a ~ U(.01, .04),
//! b ~ U(.01, .05), φ, φ′ ~ U(0, 20), A, A′ ~ U(.1, .3), for t = 0, 1, …

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::oscillator::Oscillators;
use super::sequence::{Sequence, size};
use crate::error::Result;
use crate::random;
use crate::real::Real;

/// Stream of the seed that draws the curves.
const STREAM: u64 = 0x5105;

/// Sizes of the task. Defaults are the published ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Sinusoids {
    /// Input units (500).
    pub inputs: usize,
    /// Output units (3).
    pub outputs: usize,
    /// Steps of the sequence (2000).
    pub steps: usize,
    /// Seed of the curves; without it they are drawn with the network's. The published program keeps
    /// its curves from run to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Default for Sinusoids {
    fn default() -> Self {
        Self { inputs: 500, outputs: 3, steps: 2000, seed: None }
    }
}

impl Sinusoids {
    /// Refuses sizes of zero.
    ///
    /// # Errors
    /// [`ModelError::Size`](crate::ModelError::Size) with the key.
    pub fn check(&self) -> Result<()> {
        size("task.inputs", self.inputs, 1 << 16)?;
        size("task.outputs", self.outputs, 1 << 16)?;
        size("task.steps", self.steps, 1 << 24)
    }

    /// Draws the curves of [`Sinusoids::seed`] or, without it, of `seed`.
    ///
    /// # Errors
    /// Sizes of zero.
    pub fn draw<F: Real>(&self, seed: u64) -> Result<Sequence<F>> {
        self.check()?;
        let mut rng = random::stream(self.seed.unwrap_or(seed), STREAM);
        let units = self.inputs + self.outputs;
        let (mut slow, mut fast) = (Oscillators::default(), Oscillators::default());
        let mut amplitudes = Vec::with_capacity(units);
        for _ in 0..units {
            let (a, b) = (between(&mut rng, 0.01, 0.04), between(&mut rng, 0.01, 0.05));
            slow.push(a, between(&mut rng, 0.0, 20.0));
            fast.push(b, between(&mut rng, 0.0, 20.0));
            amplitudes.push((between(&mut rng, 0.1, 0.3), between(&mut rng, 0.1, 0.3)));
        }
        let mut sequence = Sequence::zeros(self.steps, self.inputs, self.outputs);
        let rows = sequence.inputs.rows_mut().into_iter().zip(sequence.targets.rows_mut());
        for (inputs, targets) in rows {
            let curves = slow.sin().iter().zip(fast.cos()).zip(&amplitudes);
            for (out, ((sin, cos), (a, b))) in inputs.into_iter().chain(targets).zip(curves) {
                *out = F::of(0.2 + 0.5 * (sin + 1.0) * a + 0.5 * (cos + 1.0) * b);
            }
            slow.advance();
            fast.advance();
        }
        Ok(sequence)
    }
}

/// Uniform in `[low, high)`.
pub(super) fn between(rng: &mut ChaCha8Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * random::uniform(rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_follow_their_formula_and_their_seed() {
        let task = Sinusoids { inputs: 4, outputs: 2, steps: 300, seed: None };
        let drawn = task.draw::<f64>(3).unwrap();
        assert_eq!(drawn, task.draw::<f64>(3).unwrap());
        assert_ne!(drawn, task.draw::<f64>(4).unwrap());
        assert_eq!(drawn, Sinusoids { seed: Some(3), ..task }.draw::<f64>(4).unwrap());
        // The draws of the first unit, in their order, and the formula at once.
        let mut rng = random::stream(3, STREAM);
        let mut next = |low: f64, high: f64| low + (high - low) * random::uniform(&mut rng);
        let (a, b) = (next(0.01, 0.04), next(0.01, 0.05));
        let (phase, other) = (next(0.0, 20.0), next(0.0, 20.0));
        let (height, second) = (next(0.1, 0.3), next(0.1, 0.3));
        for t in [0, 1, 77, 299] {
            let time = f64::from(t);
            let expected = 0.2
                + 0.5 * ((a * time + phase).sin() + 1.0) * height
                + 0.5 * ((b * time + other).cos() + 1.0) * second;
            assert!((drawn.inputs[[t as usize, 0]] - expected).abs() < 1e-12);
        }
        assert!(drawn.targets.iter().all(|v| (0.2..0.8).contains(v)));
    }

    #[test]
    fn a_size_of_zero_is_named() {
        let error = Sinusoids { steps: 0, ..Sinusoids::default() }.draw::<f32>(1).unwrap_err();
        assert!(error.to_string().contains("task.steps is 0"), "{error}");
    }
}
