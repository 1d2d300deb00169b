//! The second stage: a readout on fixed hidden units, trained with labels (Krotov & Hopfield 2019).
//!
//! `h = relu(W v)^n` is given ([`Competing::activations`](super::Competing::activations)),
//! `c = tanh(β S h)`, loss `Σ_α |c_α − t_α|^m` with t = 1 for the class and −1 for the others; the
//! class with the largest `S h` is predicted. Adam on S, gradients summed over the batch.
//!
//! Defaults are those of a published replication (n = 4.5, β = .01, m = 6, rate 1e-4, 300 epochs,
//! 2000 hidden units: 97 % on MNIST); it starts S at U(±1/√hidden).

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::optim::{self, Rule};
use crate::random;
use crate::real::Real;
use crate::task::sequence::size;

/// Stream of the seed that draws the weights.
const STREAM: u64 = 0xC001;

/// Classes are padded to a multiple of this.
const LANES: usize = 16;

/// Patterns that go through the weights together.
const TOGETHER: usize = 4;

/// The second stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ReadoutConfig {
    /// n, power of the hidden units (4.5).
    pub power: f64,
    /// β, slope of the hyperbolic tangent (0.01).
    pub beta: f64,
    /// m, power of the loss (6).
    pub exponent: f64,
    /// Step of Adam (1e-4).
    pub rate: f64,
    /// Passes over all patterns (300).
    pub epochs: usize,
    /// Patterns of a batch (64).
    pub batch: usize,
}

impl Default for ReadoutConfig {
    fn default() -> Self {
        Self { power: 4.5, beta: 0.01, exponent: 6.0, rate: 1e-4, epochs: 300, batch: 64 }
    }
}

impl ReadoutConfig {
    /// Refuses values that make no readout.
    ///
    /// # Errors
    /// [`ModelError::Size`] or [`ModelError::Parameter`] with the key.
    pub fn check(&self) -> Result<()> {
        size("readout.epochs", self.epochs, 1 << 20)?;
        size("readout.batch", self.batch, 1 << 20)?;
        for (what, got, right) in [
            ("readout.power", self.power, self.power > 0.0),
            ("readout.beta", self.beta, self.beta > 0.0),
            ("readout.rate", self.rate, self.rate > 0.0),
        ] {
            if !(got.is_finite() && right) {
                return Err(ModelError::Parameter { what, got, must: "it must be positive" });
            }
        }
        if !(self.exponent.is_finite() && self.exponent >= 1.0) {
            return Err(ModelError::Parameter {
                what: "readout.exponent",
                got: self.exponent,
                must: "it must be at least 1",
            });
        }
        Ok(())
    }
}

/// What came out of a set of patterns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Mean loss of a pattern.
    pub loss: f64,
    /// Share of patterns whose class was predicted.
    pub accuracy: f64,
}

/// Weights from hidden units to classes, with the state of their optimizer.
#[derive(Clone, Debug)]
pub struct Readout<F> {
    config: ReadoutConfig,
    hidden: usize,
    classes: usize,
    /// Classes with padding.
    padded: usize,
    /// `[class group, hidden, LANES]`.
    weights: Aligned<F>,
    gradient: Aligned<F>,
    mean: Vec<F>,
    square: Vec<F>,
    steps: u64,
    /// `[pattern, LANES]` of one group of classes.
    sums: Vec<F>,
}

impl<F: Real> Readout<F> {
    /// A readout with the weights of `seed`.
    ///
    /// # Errors
    /// A configuration that [`ReadoutConfig::check`] refuses, sizes of zero.
    pub fn new(config: ReadoutConfig, hidden: usize, classes: usize, seed: u64) -> Result<Self> {
        config.check()?;
        size("learning.hidden", hidden, 1 << 20)?;
        size("number of classes", classes, 1 << 16)?;
        let padded = classes.div_ceil(LANES) * LANES;
        let mut readout = Self {
            config,
            hidden,
            classes,
            padded,
            weights: Aligned::zeros(padded * hidden),
            gradient: Aligned::zeros(padded * hidden),
            mean: vec![F::zero(); padded * hidden],
            square: vec![F::zero(); padded * hidden],
            steps: 0,
            sums: Vec::new(),
        };
        let mut rng = random::stream(seed, STREAM);
        let range = 1.0 / libm::sqrt(hidden as f64);
        for class in 0..classes {
            for unit in 0..hidden {
                let at = readout.place(class, unit);
                readout.weights[at] = F::of(range * (2.0 * random::uniform(&mut rng) - 1.0));
            }
        }
        Ok(readout)
    }

    fn place(&self, class: usize, unit: usize) -> usize {
        (class / LANES * self.hidden + unit) * LANES + class % LANES
    }

    /// Weight from `unit` to `class`.
    #[must_use]
    pub fn weight(&self, class: usize, unit: usize) -> F {
        self.weights[self.place(class, unit)]
    }

    /// Learns the patterns of `activations` (`[pattern, unit]`, row-major) in the order of `order`;
    /// the score is that of each batch before its step.
    ///
    /// # Errors
    /// Sizes or labels that do not fit.
    pub fn epoch(
        &mut self,
        activations: ArrayView2<'_, F>,
        labels: &[u16],
        order: &[usize],
    ) -> Result<Score> {
        let rows = self.check(activations, labels, order)?;
        let mut total = Score::default();
        for batch in order.chunks(self.config.batch) {
            self.gradient.fill(F::zero());
            self.pass(rows, labels, batch, true, &mut total);
            self.steps += 1;
            let mut moments = [std::mem::take(&mut self.mean), std::mem::take(&mut self.square)];
            let rule = Rule::adam();
            let (w, g) = (&mut self.weights, &self.gradient);
            optim::update(rule, self.steps, w, g, &mut moments, self.config.rate);
            [self.mean, self.square] = moments;
        }
        Ok(total.per(order.len()))
    }

    /// Loss and accuracy of the patterns of `order`, without learning.
    ///
    /// # Errors
    /// Sizes or labels that do not fit.
    pub fn score(
        &mut self,
        activations: ArrayView2<'_, F>,
        labels: &[u16],
        order: &[usize],
    ) -> Result<Score> {
        let rows = self.check(activations, labels, order)?;
        let mut total = Score::default();
        for batch in order.chunks(self.config.batch) {
            self.pass(rows, labels, batch, false, &mut total);
        }
        Ok(total.per(order.len()))
    }

    fn check<'a>(
        &self,
        activations: ArrayView2<'a, F>,
        labels: &[u16],
        order: &[usize],
    ) -> Result<&'a [F]> {
        let (patterns, hidden) = activations.dim();
        for (what, expected, got) in [
            ("hidden units of the activations", self.hidden, hidden),
            ("labels", patterns, labels.len()),
        ] {
            if expected != got {
                return Err(ModelError::Input { what, expected, got });
            }
        }
        for index in order {
            let Some(label) = labels.get(*index) else {
                return Err(ModelError::Size {
                    what: "number of a pattern, from 1,",
                    got: index + 1,
                    max: patterns,
                });
            };
            if usize::from(*label) >= self.classes {
                let (sample, label) = (*index, *label);
                return Err(ModelError::Label { sample, label, classes: self.classes });
            }
        }
        activations.to_slice().ok_or_else(|| ModelError::Shape {
            what: "activations (row-major)",
            layer: 0,
            expected: vec![hidden, 1],
            got: activations.strides().iter().map(|s| s.unsigned_abs()).collect(),
        })
    }

    /// Forward for a batch, and backward into `self.gradient` if `learn`.
    fn pass(
        &mut self,
        rows: &[F],
        labels: &[u16],
        batch: &[usize],
        learn: bool,
        total: &mut Score,
    ) {
        let (hidden, groups) = (self.hidden, self.padded / LANES);
        let group_size = batch.len() * LANES;
        self.sums.clear();
        self.sums.resize(groups * group_size, F::zero());
        let weights = self.weights.chunks_exact(hidden * LANES);
        for (sums, weights) in self.sums.chunks_exact_mut(group_size).zip(weights) {
            forward(sums, rows, batch, weights);
        }
        for (place, pattern) in batch.iter().enumerate() {
            self.judge(place, group_size, labels[*pattern], total);
        }
        if learn {
            let gradients = self.gradient.chunks_exact_mut(hidden * LANES);
            for (delta, gradient) in self.sums.chunks_exact(group_size).zip(gradients) {
                backward(gradient, rows, batch, delta);
            }
        }
    }

    /// Adds loss and hit of one pattern to `total`, and replaces `S h` by the derivative of the loss.
    fn judge(&mut self, place: usize, group_size: usize, label: u16, total: &mut Score) {
        let (beta, m) = (self.config.beta, self.config.exponent);
        let mut best = (f64::NEG_INFINITY, 0);
        for class in 0..self.classes {
            let at = class / LANES * group_size + place * LANES + class % LANES;
            let sum = self.sums[at].wide();
            if sum > best.0 {
                best = (sum, class);
            }
            let c = libm::tanh(beta * sum);
            let target = if class == usize::from(label) { 1.0 } else { -1.0 };
            let away = c - target;
            // |c − t|^(m − 1), of which the loss is one factor more.
            let power = power(away.abs(), m - 1.0);
            total.loss += power * away.abs();
            let slope = m * power * away.signum() * beta * (1.0 - c * c);
            self.sums[at] = F::of(slope);
        }
        total.accuracy += f64::from(u8::from(best.1 == usize::from(label)));
    }

    /// Weights `[class, unit]`, then both moments of the optimizer in the same order.
    #[must_use]
    pub fn state(&self) -> [Vec<F>; 3] {
        let order = |values: &[F]| {
            let units = (0..self.classes).flat_map(|c| (0..self.hidden).map(move |u| (c, u)));
            units.map(|(class, unit)| values[self.place(class, unit)]).collect()
        };
        [order(&self.weights), order(&self.mean), order(&self.square)]
    }

    /// Steps of the optimizer.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Puts a state back.
    ///
    /// # Errors
    /// [`ModelError::OptimizerState`] if an array has another length; nothing has changed then.
    pub fn restore(&mut self, steps: u64, state: [&[F]; 3]) -> Result<()> {
        let expected = self.classes * self.hidden;
        for (name, values) in ["weights", "mean", "square"].into_iter().zip(state) {
            if values.len() != expected {
                let (name, got) = (format!("readout.{name}"), values.len());
                return Err(ModelError::OptimizerState { name, expected, got });
            }
        }
        for class in 0..self.classes {
            for unit in 0..self.hidden {
                let (to, from) = (self.place(class, unit), class * self.hidden + unit);
                self.weights[to] = state[0][from];
                self.mean[to] = state[1][from];
                self.square[to] = state[2][from];
            }
        }
        self.steps = steps;
        Ok(())
    }
}

impl Score {
    fn per(self, patterns: usize) -> Self {
        let count = patterns as f64;
        Self { loss: self.loss / count, accuracy: self.accuracy / count }
    }
}

/// x ≥ 0 to the power n, by multiplication for the small whole powers that are used.
fn power(x: f64, n: f64) -> f64 {
    match n == n.trunc() && (0.0..=64.0).contains(&n) {
        // Truncation is intended: `n` is a whole number.
        true => num_traits::pow(x, n as usize),
        false => libm::pow(x, n),
    }
}

kernel! {
    /// `sums[pattern, lane] = Σ_unit rows[batch[pattern], unit] weights[unit, lane]`.
    fn forward[F: Real](sums: &mut [F], rows: &[F], batch: &[usize], weights: &[F]) {
        let hidden = weights.len() / LANES;
        let (weights, _) = weights.as_chunks::<LANES>();
        for (sums, batch) in sums.chunks_mut(TOGETHER * LANES).zip(batch.chunks(TOGETHER)) {
            // A short last group repeats its first pattern; what is too much is thrown away.
            let row = |k: usize| &rows[batch.get(k).unwrap_or(&batch[0]) * hidden..][..hidden];
            let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
            let mut all = [[F::zero(); LANES]; TOGETHER];
            for ((((w, h0), h1), h2), h3) in weights.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
                for k in 0..LANES {
                    all[0][k] += *h0 * w[k];
                    all[1][k] += *h1 * w[k];
                    all[2][k] += *h2 * w[k];
                    all[3][k] += *h3 * w[k];
                }
            }
            for (to, from) in sums.chunks_exact_mut(LANES).zip(&all) {
                to.copy_from_slice(from);
            }
        }
    }
}

kernel! {
    /// `gradient[unit, lane] += Σ_pattern rows[batch[pattern], unit] delta[pattern, lane]`.
    fn backward[F: Real](gradient: &mut [F], rows: &[F], batch: &[usize], delta: &[F]) {
        let hidden = gradient.len() / LANES;
        let (gradient, _) = gradient.as_chunks_mut::<LANES>();
        for (delta, batch) in delta.chunks(TOGETHER * LANES).zip(batch.chunks(TOGETHER)) {
            let row = |k: usize| &rows[batch.get(k).unwrap_or(&batch[0]) * hidden..][..hidden];
            let (r0, r1, r2, r3) = (row(0), row(1), row(2), row(3));
            // Zero for the patterns that a short last group lacks.
            let mut d = [[F::zero(); LANES]; TOGETHER];
            for (to, from) in d.iter_mut().zip(delta.chunks_exact(LANES)) {
                to.copy_from_slice(from);
            }
            for ((((g, h0), h1), h2), h3) in gradient.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
                for k in 0..LANES {
                    g[k] += *h0 * d[0][k] + *h1 * d[1][k] + *h2 * d[2][k] + *h3 * d[3][k];
                }
            }
        }
    }
}
