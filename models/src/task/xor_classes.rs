//! Classes of sequences whose targets are the exclusive or of two of the inputs (J. Guerguiev,
//! *Temporal Deep Learning*, 2017): a task that cannot be learned without a hidden layer.
//!
//! Curve of an input in a class: `A cos(B t + C) + 0.5`, A ~ U(.2, .4), B ~ U(.005, .03),
//! C ~ U(0, 1). Curve of an output: 0.8 while exactly one of two inputs (drawn for this output and
//! class) is above 0.5, else 0.2, then smoothed: a cubic smoothing spline through every fifth value
//! with residual 10. An example multiplies every curve by `1 + a cos(b t + c)` and adds
//! `d cos(e t + f)` with a ~ U(.05, .2), d ~ U(.01, .05), b, e ~ U(.005, .05), c, f ~ U(0, 1).
//!
//! The published program smooths with FITPACK's `splrep`, which thins out the knots; here it is the
//! smoothing spline of Reinsch with all of them, under the same bound of the residual.

use serde::{Deserialize, Serialize};

use super::oscillator::Oscillators;
use super::sequence::{Sequence, size};
use super::sinusoid::between;
use super::smoothing_spline::SmoothingSpline;
use crate::error::{ModelError, Result};
use crate::random;
use crate::real::Real;

/// Streams of the seed: classes from here on, one each; examples far above.
const CLASSES: u64 = 0x0C1A_5500_0000;
const EXAMPLES: u64 = 0x0E8A_0000_0000;

/// Every fifth value of the square wave enters the spline.
const SPACING: usize = 5;
/// Squared distance of the spline to the square wave, over [`REFERENCE`] values.
const RESIDUAL: f64 = 10.0;
/// Values that the published residual belongs to: every fifth of 2000.
const REFERENCE: f64 = 400.0;

/// Sizes of the task. Defaults are the published ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct XorClasses {
    /// Input units (500).
    pub inputs: usize,
    /// Output units (3).
    pub outputs: usize,
    /// Steps of a sequence (2000).
    pub steps: usize,
    /// Classes (10).
    pub classes: usize,
    /// Training sequences of a class (10).
    pub train: usize,
    /// Test sequences of a class (1).
    pub test: usize,
    /// Seed of the sequences; without it they are drawn with the network's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Default for XorClasses {
    fn default() -> Self {
        Self { inputs: 500, outputs: 3, steps: 2000, classes: 10, train: 10, test: 1, seed: None }
    }
}

impl XorClasses {
    /// Refuses sizes that make no task.
    ///
    /// # Errors
    /// [`ModelError::Size`] or [`ModelError::Parameter`] with the key.
    pub fn check(&self) -> Result<()> {
        size("task.outputs", self.outputs, 1 << 16)?;
        size("task.classes", self.classes, 1 << 16)?;
        size("task.train", self.train, 1 << 16)?;
        size("task.test", self.test, 1 << 16)?;
        size("task.inputs", self.inputs, 1 << 16)?;
        size("task.steps", self.steps, 1 << 24)?;
        if self.inputs < 2 {
            return Err(ModelError::Parameter {
                what: "task.inputs",
                got: self.inputs as f64,
                must: "the exclusive or needs two inputs",
            });
        }
        if self.steps < 3 * SPACING {
            return Err(ModelError::Parameter {
                what: "task.steps",
                got: self.steps as f64,
                must: "it must be at least 15, for a spline through every fifth",
            });
        }
        Ok(())
    }
}

/// The classes of a seed; examples are made when they are asked for.
#[derive(Clone, Debug)]
pub struct XorTask<F> {
    sizes: XorClasses,
    seed: u64,
    classes: Vec<Sequence<F>>,
    pairs: Vec<Vec<[usize; 2]>>,
}

impl<F: Real> XorTask<F> {
    /// Draws the classes of [`XorClasses::seed`] or, without it, of `seed`.
    ///
    /// # Errors
    /// Sizes that make no task.
    pub fn new(sizes: XorClasses, seed: u64) -> Result<Self> {
        sizes.check()?;
        let seed = sizes.seed.unwrap_or(seed);
        let drawn = (0..sizes.classes).map(|class| draw_class(&sizes, seed, class));
        let (classes, pairs) = drawn.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(Self { sizes, seed, classes, pairs })
    }

    /// Sizes.
    #[must_use]
    pub fn sizes(&self) -> &XorClasses {
        &self.sizes
    }

    /// The curves that the examples of `class` are variations of.
    #[must_use]
    pub fn class(&self, class: usize) -> &Sequence<F> {
        &self.classes[class]
    }

    /// The two inputs that each output of `class` depends on.
    #[must_use]
    pub fn pairs(&self, class: usize) -> &[[usize; 2]] {
        &self.pairs[class]
    }

    /// Writes example `index` of `class` into `out`: the first [`XorClasses::train`] ones are for
    /// training, those after them for testing.
    pub fn example(&self, class: usize, index: usize, out: &mut Sequence<F>) {
        let number = (class as u64) << 20 | index as u64;
        let mut rng = random::stream(self.seed, EXAMPLES + number);
        let units = self.sizes.inputs + self.sizes.outputs;
        let (mut factor, mut shift) = (Oscillators::default(), Oscillators::default());
        let mut amplitudes = Vec::with_capacity(units);
        for _ in 0..units {
            let a = between(&mut rng, 0.05, 0.2);
            let b = between(&mut rng, 0.005, 0.05);
            factor.push(b, between(&mut rng, 0.0, 1.0));
            let d = between(&mut rng, 0.01, 0.05);
            let e = between(&mut rng, 0.005, 0.05);
            shift.push(e, between(&mut rng, 0.0, 1.0));
            amplitudes.push((a, d));
        }
        let canonical = &self.classes[class];
        for t in 0..self.sizes.steps {
            let curves = canonical.inputs.row(t).into_iter().chain(canonical.targets.row(t));
            let out = out.inputs.row_mut(t).into_iter().chain(out.targets.row_mut(t));
            let waves = factor.cos().iter().zip(shift.cos()).zip(&amplitudes);
            for ((out, curve), ((up, along), (a, d))) in out.zip(curves).zip(waves) {
                *out = F::of((1.0 + a * up) * curve.wide() + d * along);
            }
            factor.advance();
            shift.advance();
        }
    }
}

/// Curves of a class and the pairs of inputs behind its targets.
fn draw_class<F: Real>(
    sizes: &XorClasses,
    seed: u64,
    class: usize,
) -> Result<(Sequence<F>, Vec<[usize; 2]>)> {
    let mut rng = random::stream(seed, CLASSES + class as u64);
    let mut bank = Oscillators::default();
    let mut amplitudes = Vec::with_capacity(sizes.inputs);
    for _ in 0..sizes.inputs {
        let frequency = between(&mut rng, 0.005, 0.03);
        bank.push(frequency, between(&mut rng, 0.0, 1.0));
        amplitudes.push(between(&mut rng, 0.2, 0.4));
    }
    let pairs: Vec<[usize; 2]> = (0..sizes.outputs)
        .map(|_| {
            // Truncation is intended: a whole number below the number of inputs.
            let a = (random::uniform(&mut rng) * sizes.inputs as f64) as usize;
            let b = (random::uniform(&mut rng) * (sizes.inputs - 1) as f64) as usize;
            [a, b + usize::from(b >= a)]
        })
        .collect();
    let mut sequence = Sequence::zeros(sizes.steps, sizes.inputs, sizes.outputs);
    let mut square = vec![Vec::with_capacity(sizes.steps / SPACING + 1); sizes.outputs];
    for (t, mut row) in sequence.inputs.rows_mut().into_iter().enumerate() {
        for ((out, cos), amplitude) in row.iter_mut().zip(bank.cos()).zip(&amplitudes) {
            *out = F::of(amplitude * cos + 0.5);
        }
        if t % SPACING == 0 {
            // A cosine is positive where its curve is above 0.5.
            let high = |unit: usize| bank.cos()[unit] > 0.0;
            for (wave, [a, b]) in square.iter_mut().zip(&pairs) {
                wave.push(if high(*a) != high(*b) { 0.8 } else { 0.2 });
            }
        }
        bank.advance();
    }
    for (wave, mut column) in square.iter().zip(sequence.targets.columns_mut()) {
        let residual = RESIDUAL * wave.len() as f64 / REFERENCE;
        let curve = SmoothingSpline::fit(wave, SPACING as f64, residual)?;
        for (t, out) in column.iter_mut().enumerate() {
            *out = F::of(curve.at(t as f64));
        }
    }
    Ok((sequence, pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: XorClasses = XorClasses {
        inputs: 6,
        outputs: 2,
        steps: 1000,
        classes: 2,
        train: 2,
        test: 1,
        seed: None,
    };

    #[test]
    fn targets_are_high_where_exactly_one_input_is() {
        let task = XorTask::<f64>::new(SMALL, 5).unwrap();
        for class in 0..2 {
            let curves = task.class(class);
            for (output, [a, b]) in task.pairs(class).iter().enumerate() {
                assert_ne!(a, b);
                let (mut high, mut low, mut highs, mut lows) = (0.0, 0.0, 0.0, 0.0);
                for t in 0..SMALL.steps {
                    let above = |unit: usize| curves.inputs[[t, unit]] > 0.5;
                    let target = curves.targets[[t, output]];
                    if above(*a) != above(*b) {
                        high += target;
                        highs += 1.0;
                    } else {
                        low += target;
                        lows += 1.0;
                    }
                }
                // The spline rounds the corners: an RMS distance of √(10/400) = 0.16.
                assert!(highs > 0.0 && lows > 0.0, "class {class}, output {output}");
                assert!(high / highs > 0.6 && low / lows < 0.4, "{} {}", high / highs, low / lows);
            }
        }
    }

    #[test]
    fn examples_differ_a_little_from_their_class_and_from_each_other() {
        let task = XorTask::<f32>::new(SMALL, 5).unwrap();
        let mut one = Sequence::zeros(1000, 6, 2);
        let mut other = one.clone();
        task.example(1, 0, &mut one);
        task.example(1, 2, &mut other);
        assert_ne!(one, other);
        // Largest deviation: 0.2 of the curve, and 0.05.
        for example in [&one, &other] {
            for (value, curve) in example.inputs.iter().zip(&task.class(1).inputs) {
                assert!((value - curve).abs() <= 0.2 * curve.abs() + 0.05 + 1e-6);
            }
        }
        let mut again = Sequence::zeros(1000, 6, 2);
        XorTask::new(SMALL, 5).unwrap().example(1, 0, &mut again);
        assert_eq!(one, again);
    }

    #[test]
    fn what_makes_no_task_is_named() {
        for (sizes, key) in [
            (XorClasses { inputs: 1, ..SMALL }, "task.inputs"),
            (XorClasses { steps: 9, ..SMALL }, "task.steps"),
            (XorClasses { test: 0, ..SMALL }, "task.test"),
        ] {
            let error = sizes.check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
