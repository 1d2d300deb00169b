//! Hidden units on target: every hidden layer has a fixed random readout of its own, and learns at every step to
//! bring that readout to the label ([`spikeloop_models::method::decolle`]; Kaiser, Mostafa & Neftci 2020).
//!
//! No error travels through layers or back in time, and no readout learns. The last layer's readout decides, by the
//! class that has the largest output most often.

use super::{Learner, StudyError, Watch, epoch_key, shuffled};
use crate::data::{Dataset, Split};
use crate::experiment::Experiment;
use serde::{Deserialize, Serialize};
use spikeloop_models::SpikeTrains;
use spikeloop_models::encode::Grid;
use spikeloop_models::method::decolle::{
    Batch, Decisions, Decolle, DecolleConfig, LayerKind, Shape,
};
use spikeloop_models::optim::Schedule;
use spikeloop_models::random::mix;

/// Samples that scale the first weights (published).
const FIRST_SAMPLES: usize = 32;
/// Samples that are decided about together.
const PART: usize = 250;

/// What local readouts need besides the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSettings {
    /// Learning rate of Adamax (the published rule); the experiment's belongs to another one.
    pub rate: f64,
    /// Share of the steps that neither teach nor vote, from the start (published: 0.2).
    pub burn_in: f64,
    /// Share of hidden spikes that the readout does not see while learning.
    pub dropout: f64,
    /// Readout weights are uniform in ± this over √fan-in.
    pub readout_amplitude: f64,
}

impl Default for LocalSettings {
    /// Chosen on held-out samples of both tasks. With the published dropout of ½ and amplitude of ½ a hundred units can
    /// hardly bring a readout to its target: 2.5 points less.
    fn default() -> Self {
        Self { rate: 5e-3, burn_in: 0.25, dropout: 0.0, readout_amplitude: 1.0 }
    }
}

/// Neuron and layers of the experiment, the rest as published.
fn config(experiment: &Experiment, settings: LocalSettings) -> DecolleConfig {
    let network = &experiment.network;
    let decay = |tau_us: f64| libm::exp(-network.dt_us / tau_us);
    let (alpha, beta) = (decay(network.tau_mem_us), decay(network.tau_syn_us));
    let dense = network.hidden.iter().map(|units| LayerKind::Dense { units: *units });
    DecolleConfig {
        alpha,
        beta,
        // The traces here are averages; the experiment's are sums, and rates are meant for inputs of that size.
        gain: 1.0 / ((1.0 - alpha) * (1.0 - beta)),
        burn_in: libm::floor(settings.burn_in * network.steps as f64) as usize,
        dropout: settings.dropout,
        readout_amplitude: settings.readout_amplitude,
        ..DecolleConfig::new(dense.collect())
    }
}

/// Refuses numbers out of range.
///
/// # Errors
/// [`StudyError::Model`] with the key.
pub fn check(experiment: &Experiment, settings: LocalSettings) -> Result<(), StudyError> {
    Ok(config(experiment, settings).check()?)
}

/// Learns by local readouts.
pub(super) struct LocalLearner {
    net: Decolle<f32>,
    grid: Grid,
    seed: u64,
    batch: usize,
    rate: f64,
    schedule: Schedule,
}

impl LocalLearner {
    /// Hidden layers, time constants, grid, batch, schedule and seed of the experiment. The first weights are scaled
    /// on training samples.
    pub(super) fn new(
        experiment: &Experiment,
        settings: LocalSettings,
        data: &Dataset,
    ) -> Result<Self, StudyError> {
        let (seed, grid) = (experiment.seed, experiment.grid());
        let shape = Shape::flat(data.inputs);
        let mut net = Decolle::new(config(experiment, settings), shape, data.classes, seed)?;
        let first: Vec<u32> = (0..data.train.len().min(FIRST_SAMPLES) as u32).collect();
        let mut inputs = SpikeTrains::default();
        data.train.encode(&first, &grid, &mut inputs);
        net.initialise(&inputs)?;
        let learning = &experiment.learning;
        let (batch, rate, schedule) = (learning.batch, settings.rate, learning.schedule);
        Ok(Self { net, grid, seed, batch, rate, schedule })
    }
}

impl Learner for LocalLearner {
    fn epoch(&mut self, data: &Dataset, epoch: usize, watch: &dyn Watch) -> Result<(), StudyError> {
        let rate = self.rate * self.schedule.factor(epoch);
        let key = epoch_key(self.seed, epoch);
        let mut inputs = SpikeTrains::default();
        let order = shuffled(data.train.len(), key);
        for (index, samples) in order.chunks(self.batch).enumerate() {
            if watch.stop() {
                return Err(StudyError::Interrupted);
            }
            data.train.encode(samples, &self.grid, &mut inputs);
            let labels: Vec<u16> = samples.iter().map(|s| data.train.labels[*s as usize]).collect();
            let key = mix(key, index as u64);
            self.net.learn(&Batch { inputs: &inputs, labels: &labels, key }, rate)?;
        }
        Ok(())
    }

    fn judge(&self, split: &Split) -> Result<(f64, f64), StudyError> {
        let all: Vec<u32> = (0..split.len() as u32).collect();
        let (mut right, mut spikes) = (0, 0);
        let mut inputs = SpikeTrains::default();
        for samples in all.chunks(PART) {
            split.encode(samples, &self.grid, &mut inputs);
            let Decisions { predicted, spikes: fired, .. } = self.net.decide(&inputs)?;
            let labels = samples.iter().map(|s| split.labels[*s as usize]);
            let last = predicted.last().into_iter().flatten();
            right += last.zip(labels).filter(|(p, l)| **p == *l).count();
            spikes += fired.iter().sum::<u64>();
        }
        let samples = split.len().max(1) as f64;
        Ok((right as f64 / samples, spikes as f64 / samples))
    }
}
