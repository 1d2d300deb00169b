//! State and steps of the network.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

use super::dense::Dense;
use super::{BurstConfig, Rule, SPIKES_PER_BURST};
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::random;
use crate::real::Real;
use crate::task::sequence::{Sequence, size};

/// Streams of the seed.
const HIDDEN: u64 = 0xB000;
const OUTPUT: u64 = 0xB001;
const FEEDBACK: u64 = 0xB002;
const SPARSE: u64 = 0xB003;
const TEACHING: u64 = 0xB004;

/// First steps at which outputs, hidden units and apical dendrites run: one step of delay a layer.
const OUTPUTS_FROM: usize = 2;
const HIDDEN_FROM: usize = 1;
const APICAL_FROM: usize = 4;

/// What a step does besides running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Weights change.
    pub learn: bool,
    /// The feedback drives the hidden units.
    pub generate: bool,
}

/// How far the outputs were from their targets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SequenceErrors {
    /// Mean of (target − λ¹(t−1))² over outputs and taught steps; NaN if no step was taught.
    pub taught_squared: f64,
    /// Taught steps.
    pub taught: usize,
    /// Mean of |target − λ¹(t)| over outputs and all steps.
    pub absolute: f64,
}

/// A layer's rate now and one step before.
#[derive(Clone, Debug)]
pub(super) struct Rate<F> {
    pub(super) now: Aligned<F>,
    pub(super) before: Aligned<F>,
}

impl<F: Real> Rate<F> {
    fn zeros(units: usize) -> Self {
        Self { now: Aligned::zeros(padded(units)), before: Aligned::zeros(padded(units)) }
    }

    /// The present becomes the past; `now` is to be overwritten.
    fn shift(&mut self) {
        std::mem::swap(&mut self.now, &mut self.before);
    }
}

/// The network. Results depend on the seed and the sequences alone.
#[derive(Clone, Debug)]
pub struct Burst<F> {
    pub(super) config: BurstConfig,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) seed: u64,
    /// Steps made; names the teacher's next coin.
    pub(super) steps: u64,
    pub(super) hidden_weights: Dense<F>,
    pub(super) hidden_bias: Aligned<F>,
    pub(super) output_weights: Dense<F>,
    pub(super) output_bias: Aligned<F>,
    /// `[output, hidden]`.
    pub(super) feedback: Dense<F>,
    /// Feedback weights that stay zero; empty if none do.
    pub(super) silent: Vec<bool>,
    pub(super) input_mean: Vec<F>,
    pub(super) hidden_mean: Vec<F>,
    pub(super) output_mean: Vec<F>,
    pub(super) output_mean_before: Vec<F>,
    pub(super) event: Rate<F>,
    pub(super) output: Rate<F>,
    pub(super) probability: Rate<F>,
    pub(super) burst: Rate<F>,
    pub(super) delta: Aligned<F>,
    pub(super) taught_before: bool,
}

impl<F: Real> Burst<F> {
    /// A network for `inputs` and `outputs` units with the weights of `seed`.
    ///
    /// # Errors
    /// A configuration that [`BurstConfig::check`] refuses, sizes of zero.
    pub fn new(config: BurstConfig, inputs: usize, outputs: usize, seed: u64) -> Result<Self> {
        config.check()?;
        size("task.inputs", inputs, 1 << 16)?;
        size("task.outputs", outputs, 1 << 16)?;
        let hidden = config.hidden;
        let draw = |rows, columns, range: f64, stream| {
            let mut rng = random::stream(seed, stream);
            Dense::of(rows, columns, || F::of(range * (2.0 * random::uniform(&mut rng) - 1.0)))
        };
        let bias = |units: usize| {
            let mut bias = Aligned::zeros(padded(units));
            bias[..units].fill(F::of(config.bias));
            bias
        };
        let mut feedback: Dense<F> = draw(outputs, hidden, config.feedback_range, FEEDBACK);
        let silent = silent(config.sparse_feedback, outputs * hidden, seed);
        feedback.silence(&silent);
        Ok(Self {
            config,
            inputs,
            outputs,
            seed,
            steps: 0,
            hidden_weights: draw(inputs, hidden, config.weight_range, HIDDEN),
            hidden_bias: bias(hidden),
            output_weights: draw(hidden, outputs, config.weight_range, OUTPUT),
            output_bias: bias(outputs),
            feedback,
            silent,
            input_mean: vec![F::zero(); inputs],
            hidden_mean: vec![F::zero(); hidden],
            output_mean: vec![F::zero(); outputs],
            output_mean_before: vec![F::zero(); outputs],
            event: Rate::zeros(hidden),
            output: Rate::zeros(outputs),
            probability: Rate::zeros(hidden),
            burst: Rate::zeros(hidden),
            delta: Aligned::zeros(padded(hidden.max(outputs))),
            taught_before: false,
        })
    }

    /// Steps made in all sequences that learned.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Output rates λ¹ of the last step.
    #[must_use]
    pub fn output(&self) -> &[F] {
        &self.output.now[..self.outputs]
    }

    /// Event rates λ⁰ of the hidden units after the last step.
    #[must_use]
    pub fn event_rates(&self) -> &[F] {
        &self.event.now[..self.config.hidden]
    }

    /// Burst rates ψ of the hidden units after the last step.
    #[must_use]
    pub fn burst_rates(&self) -> &[F] {
        &self.burst.now[..self.config.hidden]
    }

    /// Spike rates of the hidden units, `λ⁰ (1 − ψ) + 10 ψ λ⁰`: what a plot shows.
    pub fn spike_rates(&self) -> impl Iterator<Item = F> {
        let many = F::of(SPIKES_PER_BURST);
        let pairs = self.event_rates().iter().zip(self.burst_rates());
        pairs.map(move |(l, psi)| *l * (F::one() - *psi) + many * *psi * *l)
    }

    /// Learns one sequence, with the teacher's coins. States carry over from the last sequence.
    ///
    /// # Errors
    /// A sequence of other sizes than the network's.
    pub fn learn(&mut self, sequence: &Sequence<F>) -> Result<SequenceErrors> {
        self.check(sequence)?;
        let mode = Mode { learn: true, generate: false };
        let (mut squared, mut taught, mut absolute) = (0.0, 0, 0.0);
        for (time, (x, target)) in rows(&sequence.inputs).zip(rows(&sequence.targets)).enumerate() {
            let taught_now = self.coin();
            self.step(time, x, taught_now.then_some(target), mode);
            if taught_now && time >= OUTPUTS_FROM {
                taught += 1;
                squared += sum(target, &self.output.before, |e| e * e);
            }
            absolute += sum(target, &self.output.now, f64::abs);
        }
        Ok(SequenceErrors {
            taught_squared: squared / (taught * self.outputs) as f64,
            taught,
            absolute: absolute / sequence.targets.len() as f64,
        })
    }

    /// Runs one sequence without teacher and without learning; in generative mode from step
    /// `generate_from` on. The outputs `[time, output]` go to `record`, if there is one.
    ///
    /// # Errors
    /// A sequence or record of other sizes than the network's.
    pub fn run(
        &mut self,
        sequence: &Sequence<F>,
        generate_from: Option<usize>,
        mut record: Option<&mut Array2<F>>,
    ) -> Result<SequenceErrors> {
        self.check(sequence)?;
        if let Some(record) = &record
            && record.dim() != sequence.targets.dim()
        {
            return Err(ModelError::Input {
                what: "recorded numbers",
                expected: sequence.targets.len(),
                got: record.len(),
            });
        }
        let (mut absolute, mut counted) = (0.0, 0);
        for (time, (x, target)) in rows(&sequence.inputs).zip(rows(&sequence.targets)).enumerate() {
            let generate = generate_from.is_some_and(|from| time >= from);
            self.step(time, x, None, Mode { learn: false, generate });
            if generate || generate_from.is_none() {
                absolute += sum(target, &self.output.now, f64::abs);
                counted += self.outputs;
            }
            if let Some(record) = record.as_deref_mut() {
                for (to, from) in record.row_mut(time).iter_mut().zip(self.output.now.iter()) {
                    *to = *from;
                }
            }
        }
        Ok(SequenceErrors {
            taught_squared: f64::NAN,
            taught: 0,
            absolute: absolute / counted as f64,
        })
    }

    fn check(&self, sequence: &Sequence<F>) -> Result<()> {
        for (what, expected, got) in [
            ("inputs of the sequence", self.inputs, sequence.inputs.ncols()),
            ("outputs of the sequence", self.outputs, sequence.targets.ncols()),
            ("steps of the targets", sequence.inputs.nrows(), sequence.targets.nrows()),
        ] {
            if expected != got {
                return Err(ModelError::Input { what, expected, got });
            }
        }
        for matrix in [&sequence.inputs, &sequence.targets] {
            if !matrix.is_standard_layout() {
                return Err(ModelError::Shape {
                    what: "sequence (row-major)",
                    layer: 0,
                    expected: vec![matrix.ncols(), 1],
                    got: matrix.strides().iter().map(|s| s.unsigned_abs()).collect(),
                });
            }
        }
        Ok(())
    }

    /// Whether the next step is taught: a pure function of the seed and the number of the step.
    fn coin(&mut self) -> bool {
        let word = random::mix(random::mix(self.seed, TEACHING), self.steps);
        self.steps += 1;
        let uniform = (word >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        uniform < self.config.teaching_probability
    }

    /// Step number `time` of a sequence, from 0, with inputs `x` and, if it is taught, `target`.
    pub fn step(&mut self, time: usize, x: &[F], target: Option<&[F]>, mode: Mode) {
        if time >= OUTPUTS_FROM {
            self.run_outputs(target);
        }
        if time >= HIDDEN_FROM {
            self.run_hidden(x);
        }
        if time >= APICAL_FROM {
            self.run_apical(mode);
            if mode.learn && self.taught_before {
                self.learn_hidden();
            }
        }
        if mode.learn && target.is_some() && time >= OUTPUTS_FROM {
            self.learn_outputs();
        }
        self.taught_before = target.is_some();
    }

    fn run_outputs(&mut self, target: Option<&[F]>) {
        average(&mut self.hidden_mean, &self.event.now);
        self.output.shift();
        self.output.now.copy_from_slice(&self.output_bias);
        self.output_weights.multiply(&mut self.output.now, &self.hidden_mean);
        sigmoid(&mut self.output.now[..self.outputs]);
        if let Some(target) = target {
            let w = F::of(self.config.teaching_weight);
            for (rate, target) in self.output.now.iter_mut().zip(target) {
                *rate = (F::one() - w) * *rate + w * *target;
            }
        }
    }

    fn run_hidden(&mut self, x: &[F]) {
        average(&mut self.input_mean, x);
        self.event.shift();
        self.event.now.copy_from_slice(&self.hidden_bias);
        self.hidden_weights.multiply(&mut self.event.now, &self.input_mean);
        sigmoid(&mut self.event.now[..self.config.hidden]);
    }

    fn run_apical(&mut self, mode: Mode) {
        self.output_mean_before.copy_from_slice(&self.output_mean);
        average(&mut self.output_mean, &self.output.now);
        self.probability.shift();
        self.probability.now.fill(F::zero());
        self.feedback.multiply(&mut self.probability.now, &self.output_mean);
        let hidden = self.config.hidden;
        sigmoid(&mut self.probability.now[..hidden]);
        self.burst.shift();
        let rates = self.probability.now.iter().zip(self.event.now.iter());
        for (psi, (rho, lambda)) in self.burst.now.iter_mut().zip(rates) {
            *psi = *rho * *lambda;
        }
        if mode.learn && self.config.feedback_rate > 0.0 {
            self.learn_feedback();
        }
        if mode.generate {
            self.event.now[..hidden].copy_from_slice(&self.burst.now[..hidden]);
        }
    }

    fn learn_hidden(&mut self) {
        let hidden = self.config.hidden;
        if self.config.hidden_rate == 0.0 {
            return;
        }
        let eta = F::of(self.config.hidden_rate);
        let (event, burst, probability) = (&self.event, &self.burst, &self.probability);
        for (k, delta) in self.delta[..hidden].iter_mut().enumerate() {
            let change = match self.config.rule {
                Rule::A => event.now[k] * (burst.now[k] - burst.before[k]),
                Rule::B => probability.now[k] - probability.before[k],
            };
            let before = event.before[k];
            *delta = eta * (change * before * (F::one() - before));
        }
        let delta = &mut self.delta[..padded(hidden)];
        delta[hidden..].fill(F::zero());
        self.hidden_weights.add_outer(&self.input_mean, delta);
        add(&mut self.hidden_bias, delta);
        decay(&mut self.hidden_weights, self.config.weight_decay);
    }

    fn learn_outputs(&mut self) {
        let eta = F::of(self.config.output_rate);
        let rates = self.output.now.iter().zip(self.output.before.iter());
        for (delta, (now, before)) in self.delta[..self.outputs].iter_mut().zip(rates) {
            *delta = eta * ((*now - *before) * *before * (F::one() - *before));
        }
        let delta = &mut self.delta[..padded(self.outputs)];
        delta[self.outputs..].fill(F::zero());
        self.output_weights.add_outer(&self.hidden_mean, delta);
        add(&mut self.output_bias, delta);
        decay(&mut self.output_weights, self.config.weight_decay);
    }

    fn learn_feedback(&mut self) {
        let hidden = self.config.hidden;
        let eta = F::of(self.config.feedback_rate);
        let (event, burst, probability) = (&self.event.now, &self.burst.now, &self.probability.now);
        for (k, delta) in self.delta[..hidden].iter_mut().enumerate() {
            let slope = probability[k] * (F::one() - probability[k]);
            let missing = (event[k] - burst[k]) * slope;
            *delta = eta
                * match self.config.rule {
                    Rule::A => event[k] * missing,
                    Rule::B => missing,
                };
        }
        let delta = &mut self.delta[..padded(hidden)];
        delta[hidden..].fill(F::zero());
        let mean = match self.config.rule {
            Rule::A => &self.output_mean_before,
            Rule::B => &self.output_mean,
        };
        self.feedback.add_outer(mean, delta);
        decay(&mut self.feedback, self.config.weight_decay);
        if !self.silent.is_empty() {
            self.feedback.silence(&self.silent);
        }
    }
}

/// Marks a share of the feedback weights, the same number for every seed: a partial shuffle.
fn silent(share: f64, count: usize, seed: u64) -> Vec<bool> {
    if share == 0.0 {
        return Vec::new();
    }
    let mut rng: ChaCha8Rng = random::stream(seed, SPARSE);
    let mut order: Vec<usize> = (0..count).collect();
    let mut marked = vec![false; count];
    // Truncation is intended: the published program rounds down.
    for k in 0..(share * count as f64) as usize {
        let other = k + (random::uniform(&mut rng) * (count - k) as f64) as usize;
        order.swap(k, other);
        marked[order[k]] = true;
    }
    marked
}

fn rows<F: Real>(matrix: &Array2<F>) -> impl Iterator<Item = &[F]> {
    // `check` has refused matrices that are not row-major.
    matrix.as_slice().unwrap_or(&[]).chunks_exact(matrix.ncols().max(1))
}

fn average<F: Real>(mean: &mut [F], value: &[F]) {
    let half = F::of(0.5);
    for (m, v) in mean.iter_mut().zip(value) {
        *m = half * (*m + *v);
    }
}

fn sigmoid<F: Real>(x: &mut [F]) {
    for x in x {
        *x = F::one() / (F::one() + (-*x).det_exp());
    }
}

fn add<F: Real>(to: &mut [F], values: &[F]) {
    for (t, v) in to.iter_mut().zip(values) {
        *t += *v;
    }
}

fn decay<F: Real>(weights: &mut Dense<F>, share: f64) {
    if share > 0.0 {
        weights.scale(F::of(1.0 - share));
    }
}

fn sum<F: Real>(target: &[F], rate: &[F], of: impl Fn(f64) -> f64) -> f64 {
    target.iter().zip(rate).map(|(t, r)| of(t.wide() - r.wide())).sum()
}
