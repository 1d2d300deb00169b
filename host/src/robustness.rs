//! Accuracy against mismatch, for several ways of bringing a network onto a chip.
//!
//! The study draws the same chips for every way, so that differences are paired. Cells are independent and run
//! side by side, each on one thread; the numbers do not depend on how many run at once.

use crate::calibrate::{self, Request};
use crate::chip_loop::ChipLoop;
use crate::data::Dataset;
use crate::experiment::{Backward, Experiment, Observe};
use crate::trainer::{Evaluation, Step, TrainError, Trainer};
use serde::{Deserialize, Serialize};
use spikeloop_calibration::cache::Cache;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_calibration::{Calibration, Codes};
use spikeloop_hal::Chip;
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
    /// Weights trained in software, written to the calibrated chip.
    Calibrated,
    /// The same, then trained in the loop for a few epochs.
    CalibratedFineTune,
    /// Trained in the loop from the start on the calibrated chip, membranes measured.
    CalibratedMembranes,
    /// Trained in the loop from the start on the calibrated chip, spikes measured, readout on the host.
    CalibratedSpikes,
}

impl Way {
    /// As in tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Naive => "naive transfer",
            Self::FineTune => "transfer + fine-tune",
            Self::Membranes => "in the loop, membranes",
            Self::Spikes => "in the loop, spikes only",
            Self::Calibrated => "calibrated, naive transfer",
            Self::CalibratedFineTune => "calibrated, transfer + fine-tune",
            Self::CalibratedMembranes => "calibrated, in the loop, membranes",
            Self::CalibratedSpikes => "calibrated, in the loop, spikes only",
        }
    }

    /// Whether the chip gets the codes of a calibration.
    #[must_use]
    pub fn is_calibrated(self) -> bool {
        use Way::{Calibrated, CalibratedFineTune, CalibratedMembranes, CalibratedSpikes};
        matches!(self, Calibrated | CalibratedFineTune | CalibratedMembranes | CalibratedSpikes)
    }

    /// Whether the chip is in the loop.
    #[must_use]
    pub fn learns(self) -> bool {
        !matches!(self, Self::Naive | Self::Calibrated)
    }

    /// Whether the weights come from software.
    fn starts_in_software(self) -> bool {
        use Way::{Calibrated, CalibratedFineTune, FineTune, Naive};
        matches!(self, Naive | FineTune | Calibrated | CalibratedFineTune)
    }

    /// What comes back: as the experiment says, unless the name of the way says it.
    fn observe(self, experiment: &Experiment) -> Observe {
        match (self, experiment.chip.observe) {
            (Self::Spikes | Self::CalibratedSpikes, _) => Observe::Spikes,
            (Self::Membranes | Self::CalibratedMembranes, Observe::Hidden) => Observe::Hidden,
            (Self::Membranes | Self::CalibratedMembranes, _) => Observe::Membranes,
            (_, given) => given,
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
    /// Models that the gradient goes back through, for ways that learn.
    #[serde(default = "nominal")]
    pub backward: Vec<Backward>,
    /// What the calibrated chips are calibrated to.
    #[serde(default)]
    pub targets: TargetFile,
}

fn nominal() -> Vec<Backward> {
    vec![Backward::Nominal]
}

/// Which cell of a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Mismatch.
    pub sigma: f64,
    /// Chip seed.
    pub chip: u64,
    /// Way.
    pub way: Way,
    /// Model that the gradient goes back through.
    pub backward: Backward,
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
    /// Model that the gradient went back through.
    #[serde(default)]
    pub backward: Backward,
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
    /// Share of the neurons that the calibration left, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable: Option<f64>,
}

/// What can go wrong in a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// A chip could not be made.
    #[error(transparent)]
    Chip(#[from] spikeloop_hal::Error),
    /// A chip could not be calibrated.
    #[error(transparent)]
    Calibration(#[from] spikeloop_calibration::Error),
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
    pub fn cells(&self) -> Vec<Spot> {
        let mut cells = Vec::new();
        for &sigma in &self.sigmas {
            for (way, backward) in self.rows() {
                cells.extend(self.chips.iter().map(|&chip| Spot { sigma, chip, way, backward }));
            }
        }
        cells
    }

    /// Ways, and for those that learn the models that the gradient goes back through.
    #[must_use]
    pub fn rows(&self) -> Vec<(Way, Backward)> {
        let mut rows = Vec::new();
        for way in &self.ways {
            match way.learns() {
                true => rows.extend(self.backward.iter().map(|backward| (*way, *backward))),
                false => rows.push((*way, Backward::Nominal)),
            }
        }
        rows
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
    /// `software` is the network trained in software; `stop` is polled after every batch. Calibrations of the
    /// chips are kept in `cache`.
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
        cache: &Cache,
        done: &[Cell],
        jobs: usize,
        stop: &(dyn Fn() -> bool + Sync),
        finished: &(dyn Fn(Cell) + Sync),
    ) -> Result<(), StudyError> {
        let is_done = |spot: &Spot| done.iter().any(|cell| cell.spot() == *spot);
        let queue: VecDeque<_> = self.cells().into_iter().filter(|c| !is_done(c)).collect();
        let queue = Mutex::new(queue);
        let failure = Mutex::new(None);
        let failed = AtomicBool::new(false);
        let stopped = || failed.load(Ordering::Relaxed) || stop();
        let next = || queue.lock().ok()?.pop_front();
        let work = || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
            pool.install(|| {
                while let Some(spot) = next() {
                    finished(self.cell(experiment, data, software, cache, spot, &stopped)?);
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
        cache: &Cache,
        spot: Spot,
        stop: &dyn Fn() -> bool,
    ) -> Result<Cell, StudyError> {
        let Spot { sigma, chip, way, backward } = spot;
        let mut experiment = experiment.clone();
        experiment.learning.warm_start_epochs = 0;
        experiment.learning.epochs = match way {
            Way::Naive | Way::Calibrated => 0,
            Way::FineTune | Way::CalibratedFineTune => self.fine_tune_epochs,
            _ => experiment.learning.epochs,
        };
        if matches!(way, Way::FineTune | Way::CalibratedFineTune) {
            experiment.learning.rate = self.fine_tune_rate;
        }
        experiment.chip.backward = backward;
        experiment.chip.codes =
            if way.is_calibrated() { Codes::Calibrated } else { Codes::Uniform };
        let observe = way.observe(&experiment);
        let mut trainer = Trainer::new(&experiment, data)?;
        if way.starts_in_software() {
            trainer.network = software.clone();
        }
        let mut emulator: Box<dyn Chip> =
            Box::new(Emulator::from_options(&self.options(sigma, chip), 1)?);
        let mut calibration = None;
        if way.is_calibrated() || backward == Backward::Measured {
            calibration = Some(calibrated(emulator, &self.targets, cache)?);
            // The calibrated chip as it is after power-up: a study does not depend on what came before.
            emulator = Box::new(Emulator::from_options(&self.options(sigma, chip), 1)?);
        }
        let network = &trainer.network;
        let known = calibration.as_ref();
        let chip_loop = ChipLoop::calibrated(emulator, network, &experiment, observe, known)
            .map_err(TrainError::from)?;
        trainer.attach(chip_loop);
        let train_accuracy = learn(&mut trainer, experiment.learning.epochs, stop)?;
        let Evaluation { tally, .. } = trainer.evaluate(&data.test, 0)?;
        Ok(Cell {
            sigma,
            chip,
            way,
            backward,
            test_accuracy: tally.accuracy(),
            train_accuracy,
            hidden_spikes_per_sample: tally.spikes_per_sample(),
            epochs: experiment.learning.epochs,
            dropped_events: trainer.chip().map_or(0, |c| c.counters().dropped_events),
            usable: calibration.filter(|_| way.is_calibrated()).map(|c| c.success()),
        })
    }
}

impl Cell {
    /// Which cell it is.
    #[must_use]
    pub fn spot(&self) -> Spot {
        let Self { sigma, chip, way, backward, .. } = *self;
        Spot { sigma, chip, way, backward }
    }
}

/// The calibration of an emulated chip, made once and then kept.
fn calibrated(
    chip: Box<dyn Chip>,
    targets: &TargetFile,
    cache: &Cache,
) -> Result<Calibration, StudyError> {
    // No clock: the study's files are the same whenever it runs.
    let time = "1970-01-01T00:00:00Z".to_owned();
    let request = Request { targets, cache, fresh: false, time };
    Ok(calibrate::calibrate(chip, &request, &calibrate::Unwatched)?.calibration)
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
pub fn spread(cells: &[Cell], sigma: f64, (way, backward): (Way, Backward)) -> Option<Spread> {
    let row = |c: &&Cell| c.sigma == sigma && c.way == way && c.backward == backward;
    let of: Vec<&Cell> = cells.iter().filter(row).collect();
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
            backward: vec![Backward::Nominal, Backward::Measured],
            targets: TargetFile::default(),
        }
    }

    #[test]
    fn every_way_meets_the_same_chips() {
        // Naive transfer learns nothing: it has no gradient.
        let cells = study().cells();
        assert_eq!(cells.len(), 12);
        let (sigma, way, backward) = (0.0, Way::Spikes, Backward::Measured);
        assert_eq!(cells[4], Spot { sigma, chip: 1, way, backward });
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
            backward: Backward::Nominal,
            test_accuracy,
            train_accuracy: None,
            hidden_spikes_per_sample: 10.0,
            epochs: 0,
            dropped_events: 0,
            usable: None,
        };
        let cells = [cell(1, 0.8), cell(2, 0.9), cell(3, 1.0)];
        let naive = (Way::Naive, Backward::Nominal);
        let s = spread(&cells, 0.5, naive).unwrap();
        assert!((s.mean - 0.9).abs() < 1e-12 && (s.std - 0.1).abs() < 1e-12);
        assert_eq!((s.min, s.max, s.chips), (0.8, 1.0, 3));
        assert!(spread(&cells, 0.5, (Way::Spikes, Backward::Nominal)).is_none());
        assert_eq!(spread(&cells[..1], 0.5, naive).unwrap().std, 0.0);
    }
}
