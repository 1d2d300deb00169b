//! Learning rates and translating networks of rectified units, on features instead of spike times.
//!
//! Both have the same units: integrate-and-fire hidden neurons, fed constant currents (the features and one input that
//! is always 1), an integrating readout. The difference is what runs forward while they learn.

use super::{Learned, StudyError, Watch, epoch_key, shuffled};
use crate::data::{Dataset, Split};
use crate::experiment::Experiment;
use serde::{Deserialize, Serialize};
use spikeloop_models::SpikeTrains;
use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::init::{Init, draw};
use spikeloop_models::loss::Loss;
use spikeloop_models::method::rate::{RateBackprop, RateConfig, Rates, integrate_and_fire};
use spikeloop_models::method::translation::{Balance, constant_input, translate};
use spikeloop_models::method::{Chunk, Method};
use spikeloop_models::network::Network;
use spikeloop_models::optim::{Optimizer, Rule, Schedule};

/// Samples that thresholds are balanced on: as many of the training set.
const BALANCED_ON: usize = 1000;
/// Samples that an evaluation takes at once.
const PART: usize = 250;

/// What the rates are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSettings {
    /// Steps of the spiking network.
    pub steps: usize,
    /// Factor between drive and logit.
    pub scale: f64,
    /// Standard deviation of initial weights times √fan_in (√2 keeps the scale of rectified units: He et al. 2015).
    pub gain: f64,
    /// How translated thresholds are balanced.
    pub balance: Balance,
}

impl Default for RateSettings {
    fn default() -> Self {
        let gain = std::f64::consts::SQRT_2;
        Self { steps: 32, scale: 5.0, gain, balance: Balance::default() }
    }
}

/// Accuracy against the steps that a network is given.
pub type BySteps = Vec<(usize, f64)>;

/// How a network learns rates.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSpec {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Samples of one step of the optimizer.
    pub batch: usize,
    /// Rule of the optimizer.
    pub optimizer: Rule,
    /// Learning rate.
    pub rate: f64,
    /// Learning rate over epochs.
    pub schedule: Schedule,
    /// Seed of initial weights and order.
    pub seed: u64,
    /// What the rates are.
    pub settings: RateSettings,
    /// What runs forward.
    pub forward: Rates,
}

impl RateSpec {
    /// Hidden layers, optimizer, schedule, batch and seed of an experiment.
    #[must_use]
    pub fn of(experiment: &Experiment, settings: RateSettings, forward: Rates) -> Self {
        let learning = &experiment.learning;
        Self {
            hidden: experiment.network.hidden.clone(),
            batch: learning.batch,
            optimizer: learning.optimizer,
            rate: learning.rate,
            schedule: learning.schedule,
            seed: experiment.seed,
            settings,
            forward,
        }
    }
}

/// A network that learns rates.
pub struct RateLearner {
    spec: RateSpec,
    /// The network: weights of rectified units, or of spiking ones.
    pub network: Network<f32>,
    /// The state of the optimizer.
    pub optimizer: Optimizer<f32>,
    method: RateBackprop<f32>,
}

/// Features of a sample and the input that is always 1.
fn channels(split: &Split, sample: usize) -> Vec<f64> {
    let Some(analog) = &split.analog else { return Vec::new() };
    let row = &analog.values[sample * analog.channels..][..analog.channels];
    row.iter().map(|v| f64::from(*v)).chain([1.0]).collect()
}

impl RateLearner {
    /// A learner at its start. `data` holds features.
    ///
    /// # Errors
    /// Numbers out of range.
    pub fn new(spec: RateSpec, data: &Dataset) -> Result<Self, StudyError> {
        spec.settings.balance.check()?;
        let inputs = data.train.analog.as_ref().map_or(0, |a| a.channels) + 1;
        let mut layers: Vec<_> =
            spec.hidden.iter().map(|units| integrate_and_fire(*units)).collect();
        layers.push(integrate_and_fire(1).readout(data.classes));
        // Rectified units need no time: one step of input, and the state behind it.
        let steps = if spec.forward == Rates::Analog { 2 } else { spec.settings.steps + 1 };
        let mut network = Network::new(steps, inputs, layers, &[])?;
        for layer in 0..network.layers.len() {
            let init = Init::FanIn { mean: 0.0, gain: spec.settings.gain, one_minus_beta: false };
            draw(&mut network, layer, &init, None, spec.seed)?;
        }
        let config = RateConfig { forward: spec.forward, scale: spec.settings.scale };
        let method = RateBackprop::new(&network, config)?;
        let optimizer = Optimizer::new(spec.optimizer, &network)?;
        Ok(Self { spec, network, optimizer, method })
    }

    fn encode(&self, split: &Split, samples: &[u32], steps: usize) -> SpikeTrains {
        let mut trains = SpikeTrains::new(steps, self.network.inputs);
        for sample in samples {
            constant_input(&channels(split, *sample as usize), steps, &mut trains);
        }
        trains
    }

    /// One pass over the training samples: mean loss and share of right decisions while learning.
    ///
    /// # Errors
    /// [`StudyError`]; [`StudyError::Interrupted`] if `go_on` says so.
    pub fn epoch(
        &mut self,
        data: &Dataset,
        epoch: usize,
        go_on: &dyn Fn(usize) -> bool,
    ) -> Result<(f64, f64), StudyError> {
        let rate = self.spec.rate * self.spec.schedule.factor(epoch);
        let key = epoch_key(self.spec.seed, epoch);
        let order = shuffled(data.train.len(), key);
        let (mut loss, mut right) = (0.0, 0);
        for (index, samples) in order.chunks(self.spec.batch.max(1)).enumerate() {
            if !go_on(index) {
                return Err(StudyError::Interrupted);
            }
            let inputs = self.encode(&data.train, samples, self.network.steps);
            let labels: Vec<u16> = samples.iter().map(|s| data.train.labels[*s as usize]).collect();
            let batch = labels.len();
            let chunk =
                Chunk { inputs: &inputs, labels: &labels, first: 0, batch, tie_break_key: key };
            self.method.begin(&self.network)?;
            let outcomes = self.method.accumulate(&chunk, None)?;
            loss += outcomes.loss.iter().sum::<f64>();
            right += outcomes.predicted.iter().zip(&labels).filter(|(p, l)| p == l).count();
            self.optimizer.step(&mut self.network, self.method.finish()?, rate, &[])?;
        }
        let samples = data.train.len().max(1) as f64;
        Ok((loss / samples, right as f64 / samples))
    }

    /// The spiking network of so many steps that the present weights stand for.
    fn spiking(&self, data: &Dataset, steps: usize) -> Result<Network<f32>, StudyError> {
        if self.spec.forward == Rates::Spikes {
            return Ok(Network { steps: steps + 1, ..self.network.clone() });
        }
        let some = BALANCED_ON.min(data.train.len());
        let samples: Vec<Vec<f64>> = (0..some).map(|s| channels(&data.train, s)).collect();
        Ok(translate(&self.network, &samples, self.spec.settings.balance, steps + 1)?)
    }

    /// Share of right decisions and hidden spikes a sample of the spiking network after so many steps.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn evaluate(
        &self,
        data: &Dataset,
        split: &Split,
        steps: usize,
    ) -> Result<(f64, f64), StudyError> {
        let network = self.spiking(data, steps)?;
        let mut inference = Inference::new(&network, Loss::LastStep { scale: 1.0 })?;
        let (mut right, mut spikes) = (0, 0.0);
        let all: Vec<u32> = (0..split.len() as u32).collect();
        for samples in all.chunks(PART) {
            let inputs = self.encode(split, samples, steps + 1);
            let batch = Batch {
                inputs: &inputs,
                labels: None,
                first: 0,
                tie_break_key: 0,
                observation: None,
            };
            let outcomes = inference.run(&batch)?;
            let labels = samples.iter().map(|s| split.labels[*s as usize]);
            right += outcomes.predicted.iter().zip(labels).filter(|(p, l)| *p == l).count();
            spikes += outcomes.spikes.iter().flatten().map(|n| f64::from(*n)).sum::<f64>();
        }
        let samples = split.len().max(1) as f64;
        Ok((right as f64 / samples, spikes / samples))
    }

    /// Share of right decisions of the rectified units themselves.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn analog_accuracy(&self, split: &Split) -> Result<f64, StudyError> {
        let network = Network { steps: 2, ..self.network.clone() };
        let config = RateConfig { forward: Rates::Analog, scale: self.spec.settings.scale };
        let mut method = RateBackprop::new(&network, config)?;
        method.begin(&network)?;
        let all: Vec<u32> = (0..split.len() as u32).collect();
        let inputs = self.encode(split, &all, 2);
        let (labels, batch) = (&split.labels, split.len());
        let chunk = Chunk { inputs: &inputs, labels, first: 0, batch, tie_break_key: 0 };
        let predicted = &method.accumulate(&chunk, None)?.predicted;
        let right = predicted.iter().zip(labels).filter(|(p, l)| p == l).count();
        Ok(right as f64 / batch.max(1) as f64)
    }

    /// Accuracy on the test set against steps: 1, 2, 4 … up to eight times what was asked for.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn by_steps(&self, data: &Dataset) -> Result<BySteps, StudyError> {
        let most = 8 * self.spec.settings.steps;
        let steps = std::iter::successors(Some(1), |s| Some(2 * s)).take_while(|s| *s <= most);
        steps.map(|steps| Ok((steps, self.evaluate(data, &data.test, steps)?.0))).collect()
    }
}

/// Learns rates for `epochs` epochs. Gives what the spiking network is worth after [`RateSettings::steps`], its accuracy
/// against steps, and that of the rectified units if they are what was trained.
///
/// # Errors
/// [`StudyError`].
pub fn learn(
    spec: RateSpec,
    epochs: usize,
    data: &Dataset,
    every: usize,
    watch: &dyn Watch,
) -> Result<(Learned, BySteps, Option<f64>), StudyError> {
    let (steps, forward) = (spec.settings.steps, spec.forward);
    let mut learner = RateLearner::new(spec, data)?;
    let mut learned = Learned::default();
    for epoch in 1..=epochs {
        learner.epoch(data, epoch - 1, &|_| !watch.stop())?;
        watch.advance(1);
        let held_out = data.validation.as_ref().filter(|_| epoch % every == 0 || epoch == epochs);
        if let Some(held_out) = held_out {
            learned.curve.push((epoch, learner.evaluate(data, held_out, steps)?.0));
        }
    }
    (learned.test_accuracy, learned.hidden_spikes) = learner.evaluate(data, &data.test, steps)?;
    let analog = match forward {
        Rates::Analog => Some(learner.analog_accuracy(&data.test)?),
        Rates::Spikes => None,
    };
    Ok((learned, learner.by_steps(data)?, analog))
}
