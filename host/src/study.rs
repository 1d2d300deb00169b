//! Studies: many trainings side by side, and what they say together.
//!
//! | study | question |
//! |---|---|
//! | [`gradients`] | what the answers to the missing derivative of a spike are worth on the same tasks |
//! | [`surrogate`] | how much the shape and the steepness of a surrogate derivative matter |
//! | [`landscape`] | what the loss looks like around a trained network, with hard and with smooth spikes |
//!
//! All run in software and depend on their seeds alone, except for the seconds that they report.

pub mod firing;
pub mod gradients;
pub mod landscape;
pub mod local;
pub mod rates;
pub mod surrogate;
pub mod variance;

use crate::data::{DataError, Dataset, Split};
use crate::experiment::{Experiment, ExperimentError};
use crate::trainer::{Step, TrainError, Trainer};
use rand::Rng;
use serde::{Deserialize, Serialize};
use spikeloop_models::error::ModelError;
use spikeloop_models::random::{mix, stream};

/// Stream of the order of the samples.
const SHUFFLE: u64 = 1000;

/// What can go wrong in a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An experiment.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// A network or method.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The user wants an orderly end.
    #[error("interrupted")]
    Interrupted,
}

/// Told about progress, and asked whether to stop.
pub trait Watch {
    /// So many parts of the whole are done.
    fn advance(&self, parts: u64);
    /// Whether to stop.
    fn stop(&self) -> bool;
}

/// Mean and sample standard deviation (0 for fewer than two values).
#[must_use]
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n.max(1.0);
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// What a training came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Share of right decisions on the held-out samples after some epochs: `(epoch, share)`.
    pub curve: Vec<(usize, f64)>,
    /// Share of right decisions on the test set, after the last epoch.
    pub test_accuracy: f64,
    /// Hidden spikes a sample, there.
    pub hidden_spikes: f64,
}

/// Trains an experiment in software from start to end; looks at the held-out samples after every `every` epochs, and at
/// the test set once, at the end.
///
/// # Errors
/// [`StudyError`].
pub fn train(
    experiment: &Experiment,
    data: &Dataset,
    every: usize,
    watch: &dyn Watch,
) -> Result<Learned, StudyError> {
    let mut trainer = Trainer::new(experiment, data)?;
    let mut learned = Learned::default();
    let epochs = experiment.learning.epochs;
    for epoch in 1..=epochs {
        while trainer.step()? == Step::Batch {
            if watch.stop() {
                return Err(StudyError::Interrupted);
            }
        }
        watch.advance(1);
        let held_out = data.validation.as_ref().filter(|_| epoch % every == 0 || epoch == epochs);
        if let Some(held_out) = held_out {
            let evaluation = trainer.evaluate(held_out, epoch as u64)?;
            learned.curve.push((epoch, evaluation.tally.accuracy()));
        }
    }
    let evaluation = trainer.evaluate(&data.test, 0)?;
    learned.test_accuracy = evaluation.tally.accuracy();
    learned.hidden_spikes = evaluation.tally.spikes_per_sample();
    Ok(learned)
}

/// A network with a way to learn that is not the trainer's.
trait Learner {
    /// Learns epoch number `epoch`, from 0.
    fn epoch(&mut self, data: &Dataset, epoch: usize, watch: &dyn Watch) -> Result<(), StudyError>;

    /// Share of right decisions, and hidden spikes a sample.
    fn judge(&self, split: &Split) -> Result<(f64, f64), StudyError>;
}

/// As [`train`], for another learner.
fn follow(
    learner: &mut dyn Learner,
    epochs: usize,
    data: &Dataset,
    every: usize,
    watch: &dyn Watch,
) -> Result<Learned, StudyError> {
    let mut learned = Learned::default();
    for epoch in 1..=epochs {
        learner.epoch(data, epoch - 1, watch)?;
        watch.advance(1);
        let held_out = data.validation.as_ref().filter(|_| epoch % every == 0 || epoch == epochs);
        if let Some(held_out) = held_out {
            learned.curve.push((epoch, learner.judge(held_out)?.0));
        }
    }
    (learned.test_accuracy, learned.hidden_spikes) = learner.judge(&data.test)?;
    Ok(learned)
}

/// Key of everything that is drawn in one epoch.
fn epoch_key(seed: u64, epoch: usize) -> u64 {
    mix(mix(seed, SHUFFLE), epoch as u64)
}

/// The numbers 0 to `count` − 1, shuffled (Fisher & Yates).
fn shuffled(count: usize, key: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    let mut rng = stream(key, SHUFFLE);
    for k in (1..order.len()).rev() {
        // The bias of the remainder is below 2⁻⁴⁰ for any data set that fits into memory.
        order.swap(k, (rng.next_u64() % (k as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests;
