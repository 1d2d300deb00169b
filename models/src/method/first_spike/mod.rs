//! First-spike times: every neuron fires at most once, and when it fires is what it says.
//!
//! `V(t) = Σ w_i κ(t − t_i)` over the inputs with `t_i ≤ t`; a neuron spikes the first time that V
//! reaches the threshold θ. For the kernels of [`Kernel`] that moment has a closed form, and so have
//! its derivatives (implicit function theorem, with V' the slope at the spike, over the causal
//! inputs `t_j < t_out`):
//!
//! ```text
//! ∂t_out/∂w_j = − κ(t_out − t_j)/V'          ∂t_out/∂t_j = w_j κ'(t_out − t_j)/V'
//! ```
//!
//! For the alpha kernel `t e^(−Kt)` this is, with `A = Σ w_i e^(K t_i)`, `B = Σ w_i t_i e^(K t_i)`,
//! `W = W₀(−Kθ/A e^(KB/A))` and `V' = A e^(−K t_out)(1 + W)`,
//!
//! ```text
//! t_out       = B/A − W/K
//! ∂t_out/∂w_j = e^(K t_j)(t_j − B/A + W/K)/(A(1 + W))
//! ∂t_out/∂t_j = w_j e^(K t_j)(K(t_j − B/A) + W + 1)/(A(1 + W))
//! ```
//!
//! (Comsa, Potempa, Versari, Fischbacher, Gesmundo & Alakuijala 2019; notes that repeat the "+1" in
//! the derivative by the weight are wrong.) The current-based neurons are those of Göltz et al.
//! (2021). Derivatives are limited to ± [`LearningConfig::clip_derivative`] one by one: they diverge
//! where V only grazes θ.
//!
//! A neuron that does not spike gives every weight onto it the gradient `−penalty_no_spike` and no
//! derivative by time. Each layer has synchronisation pulses: extra inputs, with weights, at times
//! that are learned with a rate of their own and never fall below 0. Loss: [`loss`]. The
//! optimizer is Adam with ε **inside** the root, `w ← w − η m̂/√(v̂ + ε)`, on the mean over the
//! samples that teach.
//!
//! In the loop with a chip the spike times are [`Measured`] ones.
//!
//! Times are counted from the first spike into a layer, so late inputs do not overflow; inputs
//! later than 300 time constants after it count as not spiking.
//!
//! **Order.** Samples go forward and backward in parallel; then every row of weights adds its
//! gradient in the order of the samples and takes its step. The result does not depend on the number
//! of threads.
//!
//! ```
//! use spikeloop_models::encode::SpikeTimes;
//! use spikeloop_models::method::first_spike::{
//!     Batch, FirstSpike, FirstSpikeNetwork, LearningConfig, NetworkConfig, Teach,
//! };
//!
//! // Which of two inputs is earlier?
//! let mut inputs = SpikeTimes::new(2);
//! inputs.push_sample([0.1, 0.8]);
//! inputs.push_sample([0.7, 0.2]);
//! let batch = Batch { inputs: &inputs, samples: &[0, 1], labels: &[0, 1] };
//! let network = FirstSpikeNetwork::new(NetworkConfig::default(), 2, 2, 1)?;
//! let config = LearningConfig { rate: 1e-2, teach: Teach::All, ..LearningConfig::default() };
//! let mut method = FirstSpike::new(network, config)?;
//! for _ in 0..300 {
//!     method.learn(&batch)?;
//! }
//! let answers = method.learn(&batch)?;
//! assert!(answers.iter().zip(batch.labels).all(|(answer, label)| answer.is_correct(*label)));
//! # Ok::<(), spikeloop_models::ModelError>(())
//! ```

mod config;
mod kernel;
mod lambert;
pub mod loss;
mod measured;
mod network;
mod pass;
mod sample;
mod step;

use ndarray::Array2;
use rayon::prelude::*;

pub use config::{LearningConfig, NetworkConfig, Teach, TimeLoss};
pub use kernel::Kernel;
pub use lambert::w0;
pub use measured::Measured;
pub use network::FirstSpikeNetwork;
pub use sample::Answer;

use self::sample::SampleState;
use self::step::Moments;
use crate::encode::SpikeTimes;
use crate::error::{ModelError, Result};

/// Samples that one task of the thread pool answers.
const TASK: usize = 64;
/// Batches below this many samples are not worth a thread pool.
const FEW: usize = 4;

/// Samples chosen out of a set.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Spike times of the whole set, in the unit of the network's time constant.
    pub inputs: &'a SpikeTimes,
    /// Which samples of it.
    pub samples: &'a [u32],
    /// Label of every sample of the set.
    pub labels: &'a [u16],
}

impl Batch<'_> {
    fn check(&self, network: &FirstSpikeNetwork) -> Result<()> {
        let (expected, got) = (network.inputs(), self.inputs.units());
        if expected != got {
            return Err(ModelError::Input { what: "inputs", expected, got });
        }
        let known = self.labels.len().min(self.inputs.samples());
        let classes = network.classes();
        for (index, &sample) in self.samples.iter().enumerate() {
            let sample = sample as usize;
            if sample >= known {
                return Err(ModelError::Input {
                    what: "samples",
                    expected: known,
                    got: sample + 1,
                });
            }
            let label = self.labels[sample];
            if usize::from(label) >= classes {
                return Err(ModelError::Label { sample: index, label, classes });
            }
        }
        Ok(())
    }
}

impl FirstSpikeNetwork {
    /// What the network says to each sample of `batch`, in its order.
    ///
    /// # Errors
    /// Samples or labels that do not fit the network.
    pub fn answers(&self, config: &LearningConfig, batch: &Batch<'_>) -> Result<Vec<Answer>> {
        self.answers_from(config, batch, None)
    }

    /// The same with the spikes that a chip measured, if they are given.
    ///
    /// # Errors
    /// Samples, labels or measurements that do not fit the network.
    pub fn answers_from(
        &self,
        config: &LearningConfig,
        batch: &Batch<'_>,
        measured: Option<&Measured>,
    ) -> Result<Vec<Answer>> {
        batch.check(self)?;
        measured.map_or(Ok(()), |m| m.check(self, batch.samples.len()))?;
        let mut answers = vec![Answer::default(); batch.samples.len()];
        let tasks = answers.par_chunks_mut(TASK).zip(batch.samples.par_chunks(TASK)).enumerate();
        tasks.for_each_init(SampleState::default, |state, (task, (answers, samples))| {
            for (k, (answer, &sample)) in answers.iter_mut().zip(samples).enumerate() {
                let (sample, found) = (sample as usize, measured.map(|m| (m, task * TASK + k)));
                let label = batch.labels[sample];
                state.forward(self, config, batch.inputs.sample(sample), label, found);
                *answer = state.answer;
            }
        });
        Ok(answers)
    }

    /// Spike times of every layer with weights for one sample; infinite = none.
    ///
    /// # Errors
    /// A sample that does not fit the network.
    pub fn spike_times(&self, inputs: &SpikeTimes, sample: u32) -> Result<Vec<Vec<f64>>> {
        let labels = vec![0; inputs.samples()];
        Batch { inputs, samples: &[sample], labels: &labels }.check(self)?;
        let mut state = SampleState::default();
        let config = LearningConfig::default();
        state.forward(self, &config, inputs.sample(sample as usize), 0, None);
        Ok(state.layers.into_iter().map(|pass| pass.times).collect())
    }
}

/// Gradient of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstSpikeGradient {
    /// Of the weights `[pre + pulses, post]`.
    pub weights: Array2<f64>,
    /// Of the pulse times.
    pub pulses: Vec<f64>,
}

/// A network that learns first-spike times.
#[derive(Clone, Debug)]
pub struct FirstSpike {
    network: FirstSpikeNetwork,
    config: LearningConfig,
    /// Number of steps of the optimizer.
    steps: u64,
    /// Factor of the schedule.
    pace: f64,
    /// One per layer.
    moments: Vec<Moments>,
    samples: Vec<SampleState>,
    answers: Vec<Answer>,
    /// `[row]`: which sample of the batch, and which of its inputs, belongs to a row of weights.
    index: Vec<Vec<(u32, u32)>>,
    /// Teaching samples in which each unit of a layer did not spike, padded.
    silent: Vec<f64>,
}

impl FirstSpike {
    /// Prepares `network` to learn.
    ///
    /// # Errors
    /// Numbers out of range ([`LearningConfig::check`]).
    pub fn new(network: FirstSpikeNetwork, config: LearningConfig) -> Result<Self> {
        config.check()?;
        let moments = network.layers.iter().map(Moments::new).collect();
        Ok(Self {
            network,
            config,
            steps: 0,
            pace: 1.0,
            moments,
            samples: Vec::new(),
            answers: Vec::new(),
            index: Vec::new(),
            silent: Vec::new(),
        })
    }

    /// The network as it is now.
    #[must_use]
    pub fn network(&self) -> &FirstSpikeNetwork {
        &self.network
    }

    /// How it learns.
    #[must_use]
    pub fn config(&self) -> &LearningConfig {
        &self.config
    }

    /// Sets the pace of epoch number `epoch`, from 0: the factor of [`LearningConfig::schedule`].
    pub fn begin_epoch(&mut self, epoch: usize) {
        self.pace = self.config.schedule.factor(epoch);
    }

    /// The answers of the last batch.
    #[must_use]
    pub fn answered(&self) -> &[Answer] {
        &self.answers
    }

    /// Learns from `batch`: one step of the optimizer, none if no sample teaches. Returns the
    /// answers before the step.
    ///
    /// # Errors
    /// Samples or labels that do not fit the network.
    pub fn learn(&mut self, batch: &Batch<'_>) -> Result<&[Answer]> {
        self.learn_from(batch, None)
    }

    /// The same with the spikes that a chip measured, if they are given: they go forward, and the
    /// derivatives are taken at them.
    ///
    /// # Errors
    /// Samples, labels or measurements that do not fit the network.
    pub fn learn_from(
        &mut self,
        batch: &Batch<'_>,
        measured: Option<&Measured>,
    ) -> Result<&[Answer]> {
        let teaching = self.accumulate(batch, measured)?;
        if teaching > 0 {
            self.steps += 1;
            for layer in 0..self.network.depth() {
                self.prepare(layer, batch.samples.len());
                self.step(layer, batch.samples.len(), teaching);
            }
        }
        Ok(&self.answers)
    }

    /// Puts the weights of `layer` that lie beyond ± `limit` back to it; returns how many. For
    /// chips, whose codes end somewhere.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn clamp(&mut self, layer: usize, limit: f64) -> usize {
        let mut beyond = 0;
        for w in self.network.layers[layer].weights.iter_mut().filter(|w| w.abs() > limit) {
            *w = limit.copysign(*w);
            beyond += 1;
        }
        beyond
    }

    /// Gradients of the mean over the teaching samples of `batch`, layer by layer, and the answers.
    ///
    /// # Errors
    /// Samples or labels that do not fit the network.
    pub fn gradients(&mut self, batch: &Batch<'_>) -> Result<(Vec<FirstSpikeGradient>, &[Answer])> {
        self.gradients_from(batch, None)
    }

    /// The same with the spikes that a chip measured, if they are given.
    ///
    /// # Errors
    /// Samples, labels or measurements that do not fit the network.
    pub fn gradients_from(
        &mut self,
        batch: &Batch<'_>,
        measured: Option<&Measured>,
    ) -> Result<(Vec<FirstSpikeGradient>, &[Answer])> {
        let teaching = self.accumulate(batch, measured)?.max(1);
        let mut gradients = Vec::new();
        for layer in 0..self.network.depth() {
            self.prepare(layer, batch.samples.len());
            let dense = &self.network.layers[layer];
            let mut weights = Array2::zeros((dense.rows(), dense.post));
            let mut sum = vec![0.0; dense.stride];
            for (row, mut into) in weights.rows_mut().into_iter().enumerate() {
                self.row_gradient(layer, row, teaching, &mut sum);
                into.iter_mut().zip(&sum).for_each(|(w, s)| *w = *s);
            }
            let pulses = self.pulse_gradient(layer, batch.samples.len(), teaching);
            gradients.push(FirstSpikeGradient { weights, pulses });
        }
        Ok((gradients, &self.answers))
    }

    /// Forward and backward of every sample; returns how many teach.
    fn accumulate(&mut self, batch: &Batch<'_>, measured: Option<&Measured>) -> Result<usize> {
        batch.check(&self.network)?;
        measured.map_or(Ok(()), |m| m.check(&self.network, batch.samples.len()))?;
        if self.samples.len() < batch.samples.len() {
            self.samples.resize_with(batch.samples.len(), SampleState::default);
        }
        let (network, config, clip) = (&self.network, &self.config, self.clip());
        let run = |(k, (state, &sample)): (usize, (&mut SampleState, &u32))| {
            let (sample, found) = (sample as usize, measured.map(|m| (m, k)));
            let label = batch.labels[sample];
            state.forward(network, config, batch.inputs.sample(sample), label, found);
            state.teaches = config.teach == Teach::All || !state.answer.is_correct(label);
            if state.teaches {
                state.backward(network, clip);
            }
        };
        if batch.samples.len() < FEW {
            self.samples.iter_mut().zip(batch.samples).enumerate().for_each(run);
        } else {
            self.samples.par_iter_mut().zip(batch.samples).enumerate().for_each(run);
        }
        let states = &self.samples[..batch.samples.len()];
        self.answers.clear();
        self.answers.extend(states.iter().map(|s| s.answer));
        Ok(states.iter().filter(|s| s.teaches).count())
    }

    fn clip(&self) -> f64 {
        if self.config.clip_derivative > 0.0 { self.config.clip_derivative } else { f64::MAX }
    }

    /// Which sample belongs to which row of `layer`, and which neurons were silent.
    fn prepare(&mut self, layer: usize, samples: usize) {
        let dense = &self.network.layers[layer];
        self.index.resize_with(dense.rows().max(self.index.len()), Vec::new);
        self.index.iter_mut().for_each(Vec::clear);
        self.silent.clear();
        self.silent.resize(dense.stride, 0.0);
        let states = self.samples[..samples].iter().enumerate().filter(|(_, s)| s.teaches);
        for (sample, state) in states {
            let pass = &state.layers[layer];
            for (i, row) in pass.rows.iter().enumerate() {
                self.index[usize::from(*row)].push((sample as u32, i as u32));
            }
            for (silent, t) in self.silent.iter_mut().zip(&pass.times) {
                *silent += f64::from(u8::from(t.is_infinite()));
            }
        }
    }

    /// Mean gradient of one row of weights, in the order of the samples.
    fn row_gradient(&self, layer: usize, row: usize, teaching: usize, sum: &mut [f64]) {
        for (sum, silent) in sum.iter_mut().zip(&self.silent) {
            *sum = -self.config.penalty_no_spike * *silent;
        }
        let clip = self.clip();
        for &(sample, i) in &self.index[row] {
            let pass = &self.samples[sample as usize].layers[layer];
            pass.add_weight_gradient(sum, i as usize, clip);
        }
        let mean = 1.0 / teaching as f64;
        sum.iter_mut().for_each(|s| *s *= mean);
    }

    fn pulse_gradient(&self, layer: usize, samples: usize, teaching: usize) -> Vec<f64> {
        let mut sum = vec![0.0; self.network.layers[layer].pulses.len()];
        for state in self.samples[..samples].iter().filter(|s| s.teaches) {
            sum.iter_mut().zip(&state.pulses[layer]).for_each(|(s, g)| *s += *g);
        }
        let mean = 1.0 / teaching as f64;
        sum.iter_mut().for_each(|s| *s *= mean);
        sum
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
