//! Training and evaluation of one network, in software or with a chip in the loop.
//!
//! One batch: spikes are put on the grid, the chip (if there is one) runs them and returns what it measured,
//! the method turns both into a gradient, the optimizer into new weights, the translation into new codes.
//! Everything random is a function of the seed and of the position in the training, so a run that was
//! interrupted goes on with the same bits.

use crate::chip_loop::{ChipLoop, LoopError};
use crate::data::{Dataset, Split};
use crate::experiment::{Backward, Experiment, ExperimentError, MethodName, WarmStart};
use crate::run_away::{self, Sign};
use rand::Rng;
use serde::{Deserialize, Serialize};
use spikeloop_calibration::in_loop::{self, Estimator};
use spikeloop_models::dropout::DropoutMask;
use spikeloop_models::encode::Grid;
use spikeloop_models::error::ModelError;
use spikeloop_models::inference::{Batch, Inference, LayerRecording};
use spikeloop_models::layer::LayerSpec;
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::eprop::Eprop;
use spikeloop_models::method::noise::NoisyBptt;
use spikeloop_models::method::rtrl::Rtrl;
use spikeloop_models::method::{Chunk, Method, Outcomes};
use spikeloop_models::network::Network;
use spikeloop_models::observation::Observation;
use spikeloop_models::optim::Optimizer;
use spikeloop_models::random;
use spikeloop_models::spike_train::SpikeTrains;

/// Streams of the experiment's seed. Initialisation uses those below 1000 (two a layer).
mod stream {
    pub(super) const SHUFFLE: u64 = 1000;
    pub(super) const TIES: u64 = 1001;
    pub(super) const DROPOUT: u64 = 1002;
    pub(super) const ROTATION: u64 = 1003;
    pub(super) const FEEDBACK: u64 = 1004;
}

/// Trial numbers from here on are evaluations; below, training. Leaves the top eight bits for attempts.
const EVALUATION_TRIALS: u64 = 1 << 48;

/// Samples that are put on the grid together in an evaluation.
const EVALUATION_BATCH: usize = 100;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The chip or its translation.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// The network or the method.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The experiment.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// Numbers that are none, or a layer that fires all the time.
    #[error(
        "{0}: learning has run away. Learn more slowly (learning.rate), start from smaller weights (learning.init), or add a penalty on spikes (learning.regularisers)"
    )]
    RunAway(Sign),
}

/// Sums over the samples seen so far in an epoch or an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Samples.
    pub samples: u64,
    /// Samples whose class was predicted.
    pub correct: u64,
    /// Sum of the losses.
    pub loss: f64,
    /// Spikes of the hidden layers.
    pub hidden_spikes: u64,
}

impl Tally {
    fn add(&mut self, outcomes: &Outcomes, labels: &[u16]) {
        self.samples += labels.len() as u64;
        self.loss += outcomes.loss.iter().sum::<f64>();
        self.correct +=
            outcomes.predicted.iter().zip(labels).filter(|(p, l)| p == l).count() as u64;
        self.hidden_spikes += outcomes.spikes.iter().flatten().map(|n| u64::from(*n)).sum::<u64>();
    }

    /// Fraction of correct predictions.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples.max(1) as f64
    }

    /// Mean loss.
    #[must_use]
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.samples.max(1) as f64
    }

    /// Mean number of hidden spikes a sample.
    #[must_use]
    pub fn spikes_per_sample(&self) -> f64 {
        self.hidden_spikes as f64 / self.samples.max(1) as f64
    }
}

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Sums over all samples.
    pub tally: Tally,
    /// Predicted class of every sample.
    pub predicted: Vec<u16>,
}

/// Everything about a few samples.
pub struct Inspection {
    /// Input spikes.
    pub inputs: SpikeTrains,
    /// Classes.
    pub labels: Vec<u16>,
    /// What the chip measured, if there is one.
    pub measured: Option<Observation<f32>>,
    /// What the model does with the same weights on its own: one entry a sample, in it one a layer.
    pub modelled: Vec<Vec<LayerRecording<f32>>>,
    /// Classes decided by what was measured (or modelled, without a chip).
    pub predicted: Vec<u16>,
}

/// Where a training stands: the next batch to be learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Epochs completed, those of the warm start included.
    pub epoch: usize,
    /// Batches completed in this epoch.
    pub batch: usize,
    /// Sums over this epoch so far.
    pub tally: Tally,
}

/// What one call of [`Trainer::step`] did.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A batch in the middle of an epoch.
    Batch,
    /// The last batch of an epoch; its sums.
    EpochEnd(Tally),
}

/// The method that the experiment names.
fn method(
    experiment: &Experiment,
    network: &Network<f32>,
    config: BpttConfig,
) -> Result<Box<dyn Method<f32>>, ModelError> {
    let learning = &experiment.learning;
    Ok(match learning.method {
        MethodName::Bptt | MethodName::SmoothSpikes => Box::new(Bptt::new(network, config)?),
        MethodName::EscapeNoise => {
            Box::new(NoisyBptt::new(network, config, learning.noise.unwrap_or_default())?)
        }
        MethodName::Eprop => {
            let seed = random::mix(experiment.seed, stream::FEEDBACK);
            Box::new(Eprop::new(network, config, learning.feedback, seed)?)
        }
        MethodName::Rtrl => Box::new(Rtrl::new(network, config)?),
    })
}

/// A network being trained.
pub struct Trainer<'a> {
    experiment: &'a Experiment,
    data: &'a Dataset,
    /// The network.
    pub network: Network<f32>,
    /// The optimizer's state.
    pub optimizer: Optimizer<f32>,
    /// Where the training stands.
    pub position: Position,
    method: Box<dyn Method<f32>>,
    inference: Inference<f32>,
    chip: Option<ChipLoop>,
    /// Parameters of the layers by design.
    nominal: Vec<LayerSpec>,
    /// Parameters of the chip's neurons as far as its answers showed them, if the gradient wants them.
    estimator: Option<Estimator>,
    grid: Grid,
    order: Vec<u32>,
    /// Epoch that `order` belongs to.
    ordered: Option<usize>,
    /// The network of this batch, some units dropped.
    thinned: Option<Network<f32>>,
    /// The network of this batch, its spikes smoothed.
    softened: Option<Network<f32>>,
    batch: SpikeTrains,
    part: SpikeTrains,
    labels: Vec<u16>,
}

impl<'a> Trainer<'a> {
    /// A trainer at the start of an experiment, without a chip.
    ///
    /// # Errors
    /// An experiment that contradicts itself.
    pub fn new(experiment: &'a Experiment, data: &'a Dataset) -> Result<Self, TrainError> {
        experiment.check()?;
        if experiment.learning.rotation_deg > 0.0 && data.train.images.is_none() {
            return Err(ExperimentError::NotImages { task: data.name.as_str() }.into());
        }
        experiment.check_inputs(data.train.analog.is_some())?;
        let network = experiment.network(data.inputs, data.classes)?;
        let nominal = network.layers.iter().map(|layer| layer.spec.clone()).collect();
        let learning = &experiment.learning;
        let config = BpttConfig {
            loss: learning.loss,
            regularisers: learning.regularisers.clone(),
            sigma_at_measured_spikes: true,
        };
        let method = method(experiment, &network, config)?;
        let inference = Inference::new(&network, learning.loss)?;
        let optimizer = Optimizer::new(learning.optimizer, &network)?;
        Ok(Self {
            experiment,
            data,
            network,
            optimizer,
            position: Position::default(),
            method,
            inference,
            chip: None,
            nominal,
            estimator: None,
            grid: experiment.grid(),
            order: Vec::new(),
            ordered: None,
            thinned: None,
            softened: None,
            batch: SpikeTrains::default(),
            part: SpikeTrains::default(),
            labels: Vec::new(),
        })
    }

    /// Forgets the optimizer's moments. Squares of the small gradients at the end of a warm start in software would
    /// make the first steps on the chip, where gradients are large again, many times the learning rate.
    ///
    /// # Errors
    /// None for a trainer that could be made.
    pub fn restart_optimizer(&mut self) -> Result<(), TrainError> {
        self.optimizer = Optimizer::new(self.experiment.learning.optimizer, &self.network)?;
        Ok(())
    }

    /// From now on forward passes run on this chip, and the gradient goes back through what is known about it if
    /// the experiment says so.
    pub fn attach(&mut self, chip: ChipLoop) {
        self.forget_chip();
        match self.experiment.chip.backward {
            Backward::Nominal => {}
            Backward::Measured => chip.describe(&mut self.network),
            Backward::Estimated if self.estimator.is_none() => {
                let on_chip = |l| chip.translation().on_chip(l);
                let options = in_loop::Options {
                    refractory_us: chip.refractory_us(),
                    ..in_loop::Options::default()
                };
                self.estimator = Some(Estimator::new(&self.network, on_chip, options));
            }
            // Restored with a checkpoint.
            Backward::Estimated => {}
        }
        self.chip = Some(chip);
        self.use_estimates();
    }

    /// What was estimated about the chip's neurons so far.
    #[must_use]
    pub fn estimator(&self) -> Option<&Estimator> {
        self.estimator.as_ref()
    }

    /// Goes on with these estimates.
    pub fn set_estimator(&mut self, estimator: Option<Estimator>) {
        self.estimator = estimator;
    }

    /// Brings the estimates into the gradient, and thresholds to where membranes are read.
    fn use_estimates(&mut self) {
        let (Some(estimator), Some(chip)) = (&self.estimator, &mut self.chip) else { return };
        for (l, nominal) in self.nominal.iter().enumerate() {
            let Some(units) = estimator.layer(l) else { continue };
            let mut spec = nominal.clone();
            estimator.write_into(l, &mut spec);
            self.network.layers[l].spec = spec;
            chip.set_thresholds(l, units.iter().map(|p| p.threshold.value as f32).collect());
        }
    }

    /// Gives the chip back: from now on the model runs forward passes.
    pub fn detach(&mut self) -> Option<ChipLoop> {
        self.forget_chip();
        self.chip.take()
    }

    fn forget_chip(&mut self) {
        for (layer, nominal) in self.network.layers.iter_mut().zip(&self.nominal) {
            layer.spec.clone_from(nominal);
        }
    }

    /// The chip, if there is one.
    #[must_use]
    pub fn chip(&self) -> Option<&ChipLoop> {
        self.chip.as_ref()
    }

    /// What the method needs of a chip.
    #[must_use]
    pub fn requirements(&self) -> spikeloop_models::method::Requirements {
        self.method.requirements()
    }

    /// Batches of one epoch.
    #[must_use]
    pub fn batches_per_epoch(&self) -> usize {
        self.data.train.len().div_ceil(self.experiment.learning.batch)
    }

    /// Learning rate of the present epoch. The schedule starts again when a warm start in software ends,
    /// and goes on after one on a digital twin: that is the same learning on another chip.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        let warm = self.experiment.learning.warm_start_epochs;
        let epoch = self.position.epoch;
        let again = self.experiment.chip.warm_start == WarmStart::Software;
        let epoch = if again && epoch >= warm { epoch - warm } else { epoch };
        self.experiment.learning.rate * self.experiment.learning.schedule.factor(epoch)
    }

    /// Learns one batch.
    ///
    /// # Errors
    /// [`TrainError`]; the position is then still that of the failed batch.
    pub fn step(&mut self) -> Result<Step, TrainError> {
        let (epoch, index) = (self.position.epoch, self.position.batch);
        self.shuffle(epoch);
        let data = self.data;
        let size = self.experiment.learning.batch;
        let range = index * size..((index + 1) * size).min(data.train.len());
        let position = (epoch as u64) << 32 | index as u64;
        self.encode(range.clone(), position);
        let first_trial = (epoch * data.train.len() + range.start) as u64;
        let key = self.key(stream::TIES, position);
        let mask = self.drop_units(position)?;
        self.soften(epoch);
        let tally = self.learn(first_trial, key, mask.as_ref())?;
        self.position.tally = tally;
        self.position.batch += 1;
        self.use_estimates();
        if self.position.batch < self.batches_per_epoch() {
            return Ok(Step::Batch);
        }
        self.position.epoch += 1;
        self.position.batch = 0;
        Ok(Step::EpochEnd(std::mem::take(&mut self.position.tally)))
    }

    /// Key of what is drawn for one batch, by purpose.
    fn key(&self, purpose: u64, position: u64) -> u64 {
        random::mix(random::mix(self.experiment.seed, purpose), position)
    }

    /// Puts the training samples of `range` (in this epoch's order) on the grid, turned if that is asked for.
    fn encode(&mut self, range: std::ops::Range<usize>, position: u64) {
        let train = &self.data.train;
        let samples = &self.order[range];
        let most = self.experiment.learning.rotation_deg;
        if most > 0.0 {
            let mut rng = random::stream(self.key(stream::ROTATION, position), stream::ROTATION);
            let angle = |_: &u32| most * (2.0 * random::uniform(&mut rng) - 1.0) as f32;
            let angles: Vec<f32> = samples.iter().map(angle).collect();
            train.encode_turned(samples, &angles, &self.grid, &mut self.batch);
        } else {
            train.encode(samples, &self.grid, &mut self.batch);
        }
        self.labels.clear();
        self.labels.extend(samples.iter().map(|k| train.labels[*k as usize]));
    }

    /// Draws the units that this batch leaves out and prepares the network without them.
    fn drop_units(&mut self, position: u64) -> Result<Option<DropoutMask>, TrainError> {
        let rate = self.experiment.learning.dropout;
        if rate <= 0.0 {
            return Ok(None);
        }
        let mut rng = random::stream(self.key(stream::DROPOUT, position), stream::DROPOUT);
        let mask = DropoutMask::draw(&self.network, rate, &mut rng)?;
        let thinned = self.thinned.get_or_insert_with(|| self.network.clone());
        thinned.clone_from(&self.network);
        mask.apply(thinned);
        Ok(Some(mask))
    }

    /// Prepares the network with spikes as smooth as they are in this epoch, if the method is of that kind.
    fn soften(&mut self, epoch: usize) {
        let learning = &self.experiment.learning;
        if learning.method != MethodName::SmoothSpikes {
            return;
        }
        let network = self.thinned.as_ref().unwrap_or(&self.network);
        let softened = self.softened.get_or_insert_with(|| network.clone());
        softened.clone_from(network);
        let epochs = learning.warm_start_epochs + learning.epochs;
        learning.smooth.unwrap_or_default().soften(softened, epoch, epochs);
    }

    /// Runs, differentiates and updates on the batch that was prepared. Returns the sums of the epoch with it.
    fn learn(
        &mut self,
        first_trial: u64,
        key: u64,
        mask: Option<&DropoutMask>,
    ) -> Result<Tally, TrainError> {
        let rate = self.learning_rate();
        let mut tally = self.position.tally.clone();
        let network = match (&self.softened, &self.thinned, mask) {
            (Some(softened), _, _) => softened,
            (None, Some(thinned), Some(_)) => thinned,
            _ => &self.network,
        };
        self.method.begin(network)?;
        let (batch, labels, method, part) =
            (&self.batch, &self.labels, &mut self.method, &mut self.part);
        let size = batch.samples();
        let estimator = &mut self.estimator;
        let before = tally.loss;
        let mut fired = vec![0; network.layers.len() - 1];
        let mut learn = |range: std::ops::Range<usize>,
                         observation: Option<&Observation<f32>>|
         -> Result<(), TrainError> {
            part.copy_range(batch, range.clone());
            let labels = &labels[range.clone()];
            let chunk =
                Chunk { inputs: part, labels, first: range.start, batch: size, tie_break_key: key };
            let outcomes = method.accumulate(&chunk, observation)?;
            tally.add(outcomes, labels);
            for (sum, spikes) in fired.iter_mut().zip(&outcomes.spikes) {
                *sum += spikes.iter().map(|n| u64::from(*n)).sum::<u64>();
            }
            if let (Some(estimator), Some(observation)) = (estimator.as_mut(), observation) {
                estimator.update(part, observation, network);
            }
            Ok(())
        };
        let limits = match &mut self.chip {
            None => {
                learn(0..size, None)?;
                Vec::new()
            }
            Some(chip) => {
                chip.write(network)?;
                chip.run(batch, first_trial, |range, observation| learn(range, Some(observation)))?;
                chip.weight_limits()
            }
        };
        let gradients = self.method.finish()?;
        let thinned = mask.map(|mask| {
            let mut gradients = gradients.clone();
            mask.apply_to_gradients(&mut gradients);
            gradients
        });
        let gradients = thinned.as_ref().unwrap_or(gradients);
        self.optimizer.step(&mut self.network, gradients, rate, &limits)?;
        match run_away::sign(tally.loss - before, size, &fired, &self.network) {
            Some(sign) => Err(TrainError::RunAway(sign)),
            None => Ok(tally),
        }
    }

    /// Order of the training samples in `epoch`: a Fisher–Yates shuffle from a stream of its own.
    fn shuffle(&mut self, epoch: usize) {
        if self.ordered == Some(epoch) {
            return;
        }
        let key = random::mix(random::mix(self.experiment.seed, stream::SHUFFLE), epoch as u64);
        let mut rng = random::stream(key, stream::SHUFFLE);
        self.order.clear();
        self.order.extend(0..self.data.train.len() as u32);
        for k in (1..self.order.len()).rev() {
            // 64 random bits against at most 32 of range: the bias is below 2⁻³².
            let j = ((u128::from(rng.next_u64()) * (k as u128 + 1)) >> 64) as usize;
            self.order.swap(k, j);
        }
        self.ordered = Some(epoch);
    }

    /// Runs single samples of a split and keeps everything: for pictures.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn inspect(&mut self, split: &Split, samples: &[u32]) -> Result<Inspection, TrainError> {
        let mut inputs = SpikeTrains::default();
        split.encode(samples, &self.grid, &mut inputs);
        let mut measured = None;
        if let Some(chip) = &mut self.chip {
            chip.write(&self.network)?;
            let mut parts: Vec<Observation<f32>> = Vec::new();
            let first = EVALUATION_TRIALS;
            chip.run(&inputs, first, |_, observation| -> Result<(), TrainError> {
                parts.push(observation.clone());
                Ok(())
            })?;
            // A handful of samples fits one run; of more, the first run is shown.
            measured = parts.into_iter().next();
        }
        self.inference.refresh(&self.network)?;
        let shown = measured.as_ref().map_or(samples.len(), |m| {
            m.layers.iter().find_map(|l| l.spikes.as_ref()).map_or(0, SpikeTrains::samples)
        });
        let mut batch = SpikeTrains::default();
        batch.copy_range(&inputs, 0..shown);
        let free = Batch {
            inputs: &batch,
            labels: None,
            first: 0,
            tie_break_key: EVALUATION_TRIALS,
            observation: None,
        };
        let mut modelled = Vec::new();
        for sample in 0..shown {
            modelled.push(self.inference.record(&free, sample)?);
        }
        let seen = Batch { observation: measured.as_ref(), ..free };
        let predicted = self.inference.run(&seen)?.predicted.clone();
        let labels = samples[..shown].iter().map(|k| split.labels[*k as usize]).collect();
        Ok(Inspection { inputs: batch, labels, measured, modelled, predicted })
    }

    /// Predicts every sample of a split, on the chip if there is one. `round` numbers the evaluations, so that
    /// each draws its own noise on an emulated chip.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn evaluate(&mut self, split: &Split, round: u64) -> Result<Evaluation, TrainError> {
        let mut evaluation = Evaluation::default();
        if let Some(chip) = &mut self.chip {
            chip.write(&self.network)?;
        }
        self.inference.refresh(&self.network)?;
        let indices: Vec<u32> = (0..split.len() as u32).collect();
        let first = EVALUATION_TRIALS + (round << 28);
        for (k, samples) in indices.chunks(EVALUATION_BATCH).enumerate() {
            split.encode(samples, &self.grid, &mut self.batch);
            let start = k * EVALUATION_BATCH;
            let labels = &split.labels[start..start + samples.len()];
            let (batch, inference, part) = (&self.batch, &mut self.inference, &mut self.part);
            let mut judge = |range: std::ops::Range<usize>,
                             observation: Option<&Observation<f32>>|
             -> Result<(), TrainError> {
                part.copy_range(batch, range.clone());
                let labels = &labels[range.clone()];
                let batch = Batch {
                    inputs: part,
                    labels: Some(labels),
                    first: start + range.start,
                    tie_break_key: first,
                    observation,
                };
                let outcomes = inference.run(&batch)?;
                evaluation.tally.add(outcomes, labels);
                evaluation.predicted.extend_from_slice(&outcomes.predicted);
                Ok(())
            };
            match &mut self.chip {
                None => judge(0..samples.len(), None)?,
                Some(chip) => {
                    chip.run(batch, first + start as u64, |range, o| judge(range, Some(o)))?;
                }
            }
        }
        Ok(evaluation)
    }
}

#[cfg(test)]
mod tests;
