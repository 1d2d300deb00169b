//! DECOLLE: deep continuous local learning (Kaiser, Mostafa & Neftci, Frontiers in Neuroscience
//! 2020). Every layer has a fixed random readout of its own and learns at every step from the error
//! of that readout; no error travels through layers or back in time.
//!
//! # Equations
//!
//! With `x` the spikes from below, per step:
//!
//! ```text
//! P ← α P + (1 − α) Q            the Q of the step before
//! Q ← β Q + (1 − β) gain x
//! R ← α_r R − (1 − α_r) w_rp S   the S of the step before
//! U = W P + b + R                S = Θ(U)
//! r = G · dropout(Θ(maxpool(U))) + c                     G, c fixed
//! L = mean over samples and classes of SmoothL1(r − y)   at every step after burn-in
//! ```
//!
//! P belongs to the presynaptic unit and is shared by all units above it, and the state is not
//! differentiated, so that `∂U_i/∂W_ij = P_j` and the rule has three factors:
//!
//! ```text
//! ∂L/∂W_ij = [Σ_k G_ki clamp(r_k − y_k, −1, 1)] σ'(U_i) P_j
//! ```
//!
//! The memory is that of one step: it does not depend on the duration ([`Decolle::state_bytes`]).
//! Regulariser per layer, of strength λ: `λ mean(relu(U + 0.01)) + 0.003 λ relu(mean(0.1 − σ(U)))`.
//! A layer decides for the class that had the largest output at most steps after burn-in.
//!
//! In the loop with a chip spikes and membranes are measured: [`Part`].
//!
//! # Order
//!
//! Samples step together. Their local errors are computed in parallel, each in its own memory; the
//! gradient of a weight is summed over samples in their order, rows in parallel. The result does
//! not depend on the number of threads.
//!
//! Work: the gradient costs one multiplication for every (presynaptic unit whose trace is not 0,
//! unit, step), so that silent pixels are free. Where weights stay as they are within a sample
//! (evaluation, and learning with `update_every = 0`), membranes cost one addition for every
//! (spike, unit).

mod checkpoint;
mod config;
mod geometry;
mod kernel;
mod layer;
mod learner;
mod lsuv;
mod measured;
mod sample;

use rayon::prelude::*;

pub use self::config::DecolleConfig;
pub use self::geometry::{LayerKind, Shape};
pub use self::lsuv::Spread;
pub use self::measured::{Part, REQUIREMENTS};

use self::geometry::Geometry;
use self::layer::Layer;
use self::learner::{Errors, Learner};
use self::sample::{Constants, Membranes, Sample, Teach};
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::random::mix;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Weight of the second part of the regulariser (published).
const LOWER: f64 = 3e-3;
/// Mean of σ(U) below which the second part of the regulariser acts (published).
const LOWER_BOUND: f64 = 0.1;
/// Distance below threshold from which the first part of the regulariser acts (published).
const UPPER_MARGIN: f64 = 0.01;
/// Largest relative change of the threshold of error-triggered learning in a step.
const TRIGGER_STEP: f64 = 0.05;

/// Samples to learn from.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Input spikes.
    pub inputs: &'a SpikeTrains,
    /// Class of each sample.
    pub labels: &'a [u16],
    /// Key of the dropout: another one for every batch.
    pub key: u64,
}

/// What the layers decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// `[layer][sample]`.
    pub predicted: Vec<Vec<u16>>,
    /// Spikes of each layer, all samples.
    pub spikes: Vec<u64>,
    /// Sum over samples of the loss of each layer, mean over taught steps; empty without learning.
    pub loss: Vec<f64>,
}

/// State of a batch; its size does not depend on the duration.
#[derive(Clone, Debug)]
struct State<F> {
    samples: Vec<Sample<F>>,
    /// `∂L/∂U` of this step: `[sample, (layer, membrane)]`.
    delta: Aligned<F>,
}

/// A network of local learners.
#[derive(Clone, Debug)]
pub struct Decolle<F> {
    config: DecolleConfig,
    input: Shape,
    classes: usize,
    constants: Constants<F>,
    layers: Vec<Layer<F>>,
    learners: Vec<Learner<F>>,
    /// Steps of the optimizer.
    updates: u64,
    state: State<F>,
}

impl<F: Real> Decolle<F> {
    /// A network with orthogonal weights and random readouts, both from streams of `seed`. Bring
    /// the weights to their scale with [`Decolle::initialise`].
    ///
    /// # Errors
    /// A configuration out of range; layers that do not fit on one another.
    pub fn new(config: DecolleConfig, input: Shape, classes: usize, seed: u64) -> Result<Self> {
        config.check()?;
        let max = usize::from(u16::MAX);
        for (what, got) in [("classes", classes), ("input units", input.units())] {
            if got == 0 || got > max {
                return Err(ModelError::Size { what, got, max });
            }
        }
        let mut below = input;
        let mut layers = Vec::with_capacity(config.layers.len());
        for (l, kind) in config.layers.iter().enumerate() {
            let geometry = Geometry::new(*kind, below, l)?;
            layers.push(Layer::draw(geometry, classes, &config, seed, l as u64));
            below = geometry.units;
        }
        let learners = layers.iter().map(|layer| Learner::new(layer, &config)).collect();
        let constants = Constants::new(&config, classes, &layers);
        let state = State { samples: Vec::new(), delta: Aligned::default() };
        Ok(Self { config, input, classes, constants, layers, learners, updates: 0, state })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &DecolleConfig {
        &self.config
    }

    /// Number of layers.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.layers.len()
    }

    /// Number of units that send spikes, of each layer.
    #[must_use]
    pub fn units(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.geometry.units.units()).collect()
    }

    /// Connections of one unit of each layer.
    #[must_use]
    pub fn fan_in(&self) -> Vec<usize> {
        self.layers.iter().map(|layer| layer.geometry.fan_in()).collect()
    }

    /// Steps of the optimizer so far.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Bytes that the state of the last batch takes: traces, membranes, errors, votes.
    #[must_use]
    pub fn state_bytes(&self) -> usize {
        self.state.samples.iter().map(Sample::bytes).sum::<usize>()
            + self.state.delta.len() * F::BYTES
    }

    fn check_inputs(&self, inputs: &SpikeTrains) -> Result<()> {
        let (expected, got) = (self.input.units(), inputs.units());
        if expected != got {
            return Err(ModelError::Input { what: "input channels", expected, got });
        }
        if inputs.is_graded() {
            let problem = "takes spikes alone, the inputs are graded: encode them as spikes first";
            return Err(ModelError::Architecture { layer: 0, problem });
        }
        let (got, max) = (inputs.samples(), usize::from(u16::MAX));
        if got == 0 || got > max {
            return Err(ModelError::Size { what: "samples of a DECOLLE batch", got, max });
        }
        Ok(())
    }

    fn check(&self, batch: &Batch<'_>) -> Result<()> {
        self.check_inputs(batch.inputs)?;
        let (expected, got) = (batch.labels.len(), batch.inputs.samples());
        if expected != got {
            return Err(ModelError::Input { what: "labels", expected, got });
        }
        let classes = self.classes;
        if let Some((sample, &label)) =
            batch.labels.iter().enumerate().find(|(_, l)| usize::from(**l) >= classes)
        {
            return Err(ModelError::Label { sample, label, classes });
        }
        let (steps, burn_in) = (batch.inputs.steps(), self.config.burn_in);
        if burn_in >= steps {
            return Err(ModelError::Parameter {
                what: "network.burn_in",
                got: burn_in as f64,
                must: "it must be below the number of steps of a sample",
            });
        }
        Ok(())
    }

    /// Learns a batch with steps of size `rate`.
    ///
    /// # Errors
    /// Sizes or labels that do not fit.
    pub fn learn(&mut self, batch: &Batch<'_>, rate: f64) -> Result<Decisions> {
        self.check(batch)?;
        self.begin(batch.labels.len());
        let mut pending = 0;
        for t in 0..batch.inputs.steps() {
            self.step(batch, t);
            if t < self.config.burn_in {
                continue;
            }
            self.accumulate();
            pending += 1;
            if pending == self.config.update_every {
                self.update(rate);
                pending = 0;
            }
        }
        if pending > 0 {
            self.update(rate);
        }
        let taught = (batch.inputs.steps() - self.config.burn_in) as f64;
        let mut decisions = decisions(&self.state.samples, self.layers.len());
        decisions.loss = (0..self.layers.len())
            .map(|l| self.state.samples.iter().map(|s| s.layers[l].loss).sum::<f64>() / taught)
            .collect();
        Ok(decisions)
    }

    /// Decides about every sample, without learning or dropout.
    ///
    /// # Errors
    /// Sizes that do not fit.
    pub fn decide(&self, inputs: &SpikeTrains) -> Result<Decisions> {
        self.check_inputs(inputs)?;
        let samples: Vec<Decisions> = (0..inputs.samples())
            .into_par_iter()
            .map_init(
                || Sample::new(&self.layers, self.classes),
                |sample, b| {
                    sample.clear();
                    for t in 0..inputs.steps() {
                        let from = Membranes::FromCurrents { traces: false };
                        sample.advance(&self.layers, &self.constants, inputs.at(b, t), from);
                        if t >= self.config.burn_in {
                            sample.judge(&self.layers);
                        }
                    }
                    decisions(std::slice::from_ref(sample), self.layers.len())
                },
            )
            .collect();
        let mut all = decisions::<F>(&[], self.layers.len());
        for sample in samples {
            for l in 0..self.layers.len() {
                all.predicted[l].extend_from_slice(&sample.predicted[l]);
                all.spikes[l] += sample.spikes[l];
            }
        }
        Ok(all)
    }

    /// Brings the state to rest, for this many samples.
    fn begin(&mut self, samples: usize) {
        let state = &mut self.state;
        state.samples.resize_with(samples, || Sample::new(&self.layers, self.classes));
        state.samples.shrink_to_fit();
        state.samples.iter_mut().for_each(Sample::clear);
        let total: usize = self.layers.iter().map(|layer| layer.geometry.len()).sum();
        state.delta.resize(samples * total);
    }

    /// One step of all samples and, after burn-in, their local errors.
    fn step(&mut self, batch: &Batch<'_>, t: usize) {
        let (layers, constants, classes) = (&self.layers, &self.constants, self.classes);
        let total = self.state.delta.len() / self.state.samples.len().max(1);
        let weight = 1.0 / (batch.labels.len() * classes) as f64;
        let taught = t >= self.config.burn_in;
        let from = match self.config.update_every {
            0 => Membranes::FromCurrents { traces: true },
            _ => Membranes::FromTraces,
        };
        let key = mix(batch.key, t as u64);
        let (samples, delta) = (&mut self.state.samples, &mut self.state.delta);
        samples.par_iter_mut().zip(delta.par_chunks_mut(total)).enumerate().for_each(
            |(b, (sample, delta))| {
                sample.advance(layers, constants, batch.inputs.at(b, t), from);
                if taught {
                    let teach = Teach { label: batch.labels[b], key: mix(key, b as u64), weight };
                    sample.teach(layers, constants, &teach, delta);
                }
            },
        );
        if taught && self.config.regularisation > 0.0 {
            self.regularise(total);
        }
        if let (true, Some(share)) = (taught, self.config.trigger) {
            self.follow(share);
        }
    }

    /// Adds the gradient of the regulariser to `∂L/∂U`.
    fn regularise(&mut self, total: usize) {
        let lambda = self.config.regularisation;
        let mut offset = 0;
        for (l, layer) in self.layers.iter().enumerate() {
            let samples = &self.state.samples;
            let count = (samples.len() * layer.geometry.units.units()) as f64;
            let mean = samples.iter().map(|s| s.layers[l].sigmoid).sum::<f64>() / count;
            let quiet = mean < LOWER_BOUND;
            for (sample, delta) in samples.iter().zip(self.state.delta.chunks_exact_mut(total)) {
                let own = &sample.layers[l];
                for top in &own.top {
                    let k = *top as usize;
                    let u = own.u[k].wide();
                    let mut slope = if u > -UPPER_MARGIN { 1.0 } else { 0.0 };
                    if quiet {
                        let sigmoid = 1.0 / (1.0 + libm::exp(-u));
                        slope -= LOWER * sigmoid * (1.0 - sigmoid);
                    }
                    delta[offset + k] += F::of(lambda * slope / count);
                }
            }
            offset += layer.geometry.len();
        }
    }

    /// Moves the thresholds of error-triggered learning towards the wanted share.
    fn follow(&mut self, share: f64) {
        for (l, layer) in self.layers.iter_mut().enumerate() {
            let samples = &self.state.samples;
            let count = (samples.len() * layer.geometry.units.units()) as f64;
            let seen = samples.iter().map(|s| s.layers[l].triggered).sum::<usize>() as f64 / count;
            let step = TRIGGER_STEP * (seen / share - 1.0).clamp(-1.0, 1.0);
            layer.threshold *= F::of(1.0 + step);
        }
    }

    /// Adds the gradient of this step.
    fn accumulate(&mut self) {
        let (samples, delta) = (&self.state.samples, &*self.state.delta);
        let total = delta.len() / samples.len().max(1);
        let mut offsets = vec![0; self.layers.len()];
        for l in 1..offsets.len() {
            offsets[l] = offsets[l - 1] + self.layers[l - 1].geometry.len();
        }
        let layers = &self.layers;
        self.learners.par_iter_mut().enumerate().for_each(|(l, learner)| {
            let errors = Errors { delta, total, offset: offsets[l] };
            learner.accumulate(l, &layers[l], samples, errors);
        });
    }

    /// A step of the optimizer.
    fn update(&mut self, rate: f64) {
        self.updates += 1;
        let (rule, updates) = (self.config.optimizer, self.updates);
        self.learners.par_iter_mut().zip(&mut self.layers).for_each(|(learner, layer)| {
            learner.update(layer, rule, updates, rate);
        });
    }
}

fn decisions<F: Real>(samples: &[Sample<F>], layers: usize) -> Decisions {
    let per_layer = |l: usize| samples.iter().map(move |sample| &sample.layers[l]);
    Decisions {
        predicted: (0..layers).map(|l| per_layer(l).map(|own| own.decision()).collect()).collect(),
        spikes: (0..layers).map(|l| per_layer(l).map(|own| own.fired).sum()).collect(),
        loss: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
