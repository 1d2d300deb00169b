//! Accuracy against mismatch, for several ways of bringing a network onto a chip.
//!
//! The study draws the same chips for every way, so that differences are paired. Cells are independent and run
//! side by side, each on one thread; the numbers do not depend on how many run at once.

use crate::chip_loop::ChipLoop;
use crate::data::Dataset;
use crate::experiment::{Experiment, Observe};
use crate::trainer::{Evaluation, Step, TrainError, Trainer};
use serde::{Deserialize, Serialize};
use spikeloop_hal::emulator::Emulator;
use spikeloop_models::network::Network;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A way of bringing a network onto a chip.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Weights trained in software, written to the chip.
    Naive,
    /// The same, then trained in the loop for a few epochs, membranes measured.
    FineTune,
    /// Trained in the loop from the start, membranes measured.
    Membranes,
    /// Trained in the loop from the start, spikes measured, readout on the host.
    Spikes,
}

impl Way {
    /// All ways.
    pub const ALL: [Self; 4] = [Self::Naive, Self::FineTune, Self::Membranes, Self::Spikes];

    /// As in tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Naive => "naive transfer",
            Self::FineTune => "transfer + fine-tune",
            Self::Membranes => "in the loop, membranes",
            Self::Spikes => "in the loop, spikes only",
        }
    }
}

/// What is to be studied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// Options of the emulator, `sigma` and `seed` excepted: these the study sets.
    pub chip: Vec<(String, String)>,
    /// Mismatch values.
    pub sigmas: Vec<f64>,
    /// Chip seeds.
    pub chips: Vec<u64>,
    /// Ways.
    pub ways: Vec<Way>,
    /// Epochs of [`Way::FineTune`] in the loop.
    pub fine_tune_epochs: usize,
    /// Learning rate of fine-tuning.
    pub fine_tune_rate: f64,
}

/// One chip, one way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Mismatch.
    pub sigma: f64,
    /// Chip seed.
    pub chip: u64,
    /// Way.
    pub way: Way,
    /// Accuracy on the test set, on the chip.
    pub test_accuracy: f64,
    /// Accuracy while learning the last epoch, if anything was learned.
    pub train_accuracy: Option<f64>,
    /// Hidden spikes a sample on the test set.
    pub hidden_spikes_per_sample: f64,
    /// Epochs in the loop.
    pub epochs: usize,
    /// Events lost.
    pub dropped_events: u64,
}

/// What can go wrong in a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A chip could not be made.
    #[error(transparent)]
    Chip(#[from] spikeloop_hal::Error),
    /// A training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The thread pool could not be made.
    #[error("cannot start worker threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// The user stopped it. Cells already finished are kept.
    #[error("interrupted; finished cells are kept")]
    Interrupted,
}

impl Study {
    /// All cells, in the order of the table.
    #[must_use]
    pub fn cells(&self) -> Vec<(f64, u64, Way)> {
        let mut cells = Vec::new();
        for sigma in &self.sigmas {
            for way in &self.ways {
                cells.extend(self.chips.iter().map(|chip| (*sigma, *chip, *way)));
            }
        }
        cells
    }

    /// Selector options of one chip.
    #[must_use]
    pub fn options(&self, sigma: f64, chip: u64) -> Vec<(String, String)> {
        let mut options = self.chip.clone();
        options.retain(|(key, _)| key != "sigma" && key != "seed");
        options.push(("sigma".into(), sigma.to_string()));
        options.push(("seed".into(), chip.to_string()));
        options
    }

    /// Runs the cells that are not in `done`, `jobs` at a time, and hands each result to `finished` as it comes.
    /// `software` is the network trained in software; `stop` is polled after every batch.
    ///
    /// # Errors
    /// The first failure, or [`StudyError::Interrupted`].
    #[allow(
        clippy::too_many_arguments,
        reason = "inputs and callbacks of one study, each used once"
    )]
    pub fn run(
        &self,
        experiment: &Experiment,
        data: &Dataset,
        software: &Network<f32>,
        done: &[Cell],
        jobs: usize,
        stop: &(dyn Fn() -> bool + Sync),
        finished: &(dyn Fn(Cell) + Sync),
    ) -> Result<(), StudyError> {
        let is_done = |(sigma, chip, way): &(f64, u64, Way)| {
            done.iter().any(|c| c.sigma == *sigma && c.chip == *chip && c.way == *way)
        };
        let queue: VecDeque<_> = self.cells().into_iter().filter(|c| !is_done(c)).collect();
        let queue = Mutex::new(queue);
        let failure = Mutex::new(None);
        let failed = AtomicBool::new(false);
        let stopped = || failed.load(Ordering::Relaxed) || stop();
        let next = || queue.lock().ok()?.pop_front();
        let work = || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
            pool.install(|| {
                while let Some((sigma, chip, way)) = next() {
                    let cell =
                        self.cell(experiment, data, software, (sigma, chip, way), &stopped)?;
                    finished(cell);
                }
                Ok(())
            })
        };
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(|| {
                    if let Err(error) = work() {
                        failed.store(true, Ordering::Relaxed);
                        if let Ok(mut first) = failure.lock() {
                            first.get_or_insert(error);
                        }
                    }
                });
            }
        });
        failure.into_inner().ok().flatten().map_or(Ok(()), Err)
    }

    fn cell(
        &self,
        experiment: &Experiment,
        data: &Dataset,
        software: &Network<f32>,
        (sigma, chip, way): (f64, u64, Way),
        stop: &dyn Fn() -> bool,
    ) -> Result<Cell, StudyError> {
        let mut experiment = experiment.clone();
        experiment.learning.warm_start_epochs = 0;
        experiment.learning.epochs = match way {
            Way::Naive => 0,
            Way::FineTune => self.fine_tune_epochs,
            Way::Membranes | Way::Spikes => experiment.learning.epochs,
        };
        if way == Way::FineTune {
            experiment.learning.rate = self.fine_tune_rate;
        }
        let observe = if way == Way::Spikes { Observe::Spikes } else { Observe::Membranes };
        let mut trainer = Trainer::new(&experiment, data)?;
        if matches!(way, Way::Naive | Way::FineTune) {
            trainer.network = software.clone();
        }
        let emulator = Emulator::from_options(&self.options(sigma, chip), 1)?;
        let chip_loop = ChipLoop::new(Box::new(emulator), &trainer.network, &experiment, observe)
            .map_err(TrainError::from)?;
        trainer.attach(chip_loop);
        let train_accuracy = learn(&mut trainer, experiment.learning.epochs, stop)?;
        let Evaluation { tally, .. } = trainer.evaluate(&data.test, 0)?;
        Ok(Cell {
            sigma,
            chip,
            way,
            test_accuracy: tally.accuracy(),
            train_accuracy,
            hidden_spikes_per_sample: tally.spikes_per_sample(),
            epochs: experiment.learning.epochs,
            dropped_events: trainer.chip().map_or(0, |c| c.counters().dropped_events),
        })
    }
}

/// Learns until `epochs` are complete; returns the accuracy while learning the last one.
///
/// # Errors
/// [`StudyError::Train`], [`StudyError::Interrupted`].
pub fn learn(
    trainer: &mut Trainer<'_>,
    epochs: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Option<f64>, StudyError> {
    let mut accuracy = None;
    while trainer.position.epoch < epochs {
        if stop() {
            return Err(StudyError::Interrupted);
        }
        if let Step::EpochEnd(tally) = trainer.step()? {
            accuracy = Some(tally.accuracy());
        }
    }
    Ok(accuracy)
}

/// Mean, standard deviation (n − 1), smallest and largest of the cells of one way at one mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Chips.
    pub chips: usize,
    /// Mean accuracy.
    pub mean: f64,
    /// Standard deviation over chips.
    pub std: f64,
    /// Worst chip.
    pub min: f64,
    /// Best chip.
    pub max: f64,
    /// Mean hidden spikes a sample.
    pub hidden_spikes_per_sample: f64,
}

/// Sums the cells of one way at one mismatch up; `None` if there are none.
#[must_use]
pub fn spread(cells: &[Cell], sigma: f64, way: Way) -> Option<Spread> {
    let of: Vec<&Cell> = cells.iter().filter(|c| c.sigma == sigma && c.way == way).collect();
    if of.is_empty() {
        return None;
    }
    let n = of.len() as f64;
    let mean = of.iter().map(|c| c.test_accuracy).sum::<f64>() / n;
    let squares = of.iter().map(|c| (c.test_accuracy - mean).powi(2)).sum::<f64>();
    let accuracies = of.iter().map(|c| c.test_accuracy);
    Some(Spread {
        chips: of.len(),
        mean,
        std: if of.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 },
        min: accuracies.clone().fold(f64::INFINITY, f64::min),
        max: accuracies.fold(f64::NEG_INFINITY, f64::max),
        hidden_spikes_per_sample: of.iter().map(|c| c.hidden_spikes_per_sample).sum::<f64>() / n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study() -> Study {
        Study {
            chip: vec![("preset".into(), "pnas-decal".into()), ("seed".into(), "9".into())],
            sigmas: vec![0.0, 0.5],
            chips: vec![1, 2],
            ways: vec![Way::Naive, Way::Spikes],
            fine_tune_epochs: 1,
            fine_tune_rate: 1e-3,
        }
    }

    #[test]
    fn every_way_meets_the_same_chips() {
        let cells = study().cells();
        assert_eq!(cells.len(), 8);
        assert_eq!(cells[2], (0.0, 1, Way::Spikes));
        let options = study().options(0.5, 2);
        let text: Vec<String> = options.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(text, ["preset=pnas-decal", "sigma=0.5", "seed=2"]);
    }

    #[test]
    fn spreads_are_over_chips() {
        let cell = |chip, test_accuracy| Cell {
            sigma: 0.5,
            chip,
            way: Way::Naive,
            test_accuracy,
            train_accuracy: None,
            hidden_spikes_per_sample: 10.0,
            epochs: 0,
            dropped_events: 0,
        };
        let cells = [cell(1, 0.8), cell(2, 0.9), cell(3, 1.0)];
        let s = spread(&cells, 0.5, Way::Naive).unwrap();
        assert!((s.mean - 0.9).abs() < 1e-12 && (s.std - 0.1).abs() < 1e-12);
        assert_eq!((s.min, s.max, s.chips), (0.8, 1.0, 3));
        assert!(spread(&cells, 0.5, Way::Spikes).is_none());
        assert_eq!(spread(&cells[..1], 0.5, Way::Naive).unwrap().std, 0.0);
    }
}
