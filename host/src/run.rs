//! One training from start to end: run folder, checkpoints, metrics, summary.
//!
//! ```text
//! start ─► [warm start: model] ─► [in the loop: chip] ─► final evaluation ─► summary
//!             │ epoch: metrics, checkpoint                        every few seconds: checkpoint
//! ```
//!
//! Position, weights, optimizer and counters are all in the checkpoint, and randomness follows from seed and
//! position: a run that was killed continues with the same bits.

use crate::calibration_choice::{CalibrationSummary, Device};
use crate::checkpoint::{self, CheckpointError, Header, SOFTWARE, Saved};
use crate::chip_loop::{ChipLoop, LoopCounters, LoopError};
use crate::command::info;
use crate::command::output::Versioned;
use crate::data::Dataset;
use crate::experiment::{Experiment, WarmStart};
use crate::link_estimate;
use crate::run_folder::{RunFolder, RunFolderError, file};
use crate::summary::{ChipSummary, EpochMetrics, Phase, Summary, Transfer};
use crate::trainer::{Evaluation, Step, Tally, TrainError, Trainer};
use crate::twin::{Twin, TwinError};
use spikeloop_calibration::Codes;
use spikeloop_hal::LinkUse;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A checkpoint is written at the end of an epoch, and this long after the last one.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// Evaluation round of the result, apart from those after epochs.
const FINAL_ROUND: u64 = 0;

/// Evaluation round of the weights of a warm start.
const TRANSFER_ROUND: u64 = u32::MAX as u64 >> 16;

/// What can end a run early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Learning or evaluating failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file cannot be used.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The digital twin cannot be used.
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// Learning has run away.
    #[error("epoch {epoch}: {why}. {}", kept_line(*kept, folder))]
    RunAway {
        /// Epoch, from 1.
        epoch: usize,
        /// Epochs that were complete when the checkpoint was written, if one was.
        kept: Option<usize>,
        /// The run's folder.
        folder: String,
        /// What was seen.
        why: Box<TrainError>,
    },
    /// The method needs what the chip does not return.
    #[error(transparent)]
    Model(#[from] spikeloop_models::error::ModelError),
}

fn kept_line(kept: Option<usize>, folder: &str) -> String {
    match kept {
        Some(epochs) => format!("The checkpoint of epoch {epochs} is kept in {folder}"),
        None => "Nothing was saved yet".to_owned(),
    }
}

impl From<LoopError> for RunError {
    fn from(error: LoopError) -> Self {
        Self::Train(error.into())
    }
}

/// Who looks on.
pub trait Watch {
    /// A batch was learned.
    fn batch(&self, phase: Phase, epoch: usize, batch: usize, batches: usize, tally: &Tally);
    /// What the link has carried so far, after a batch on a chip behind one.
    fn link(&self, _link: &LinkUse) {}
    /// An epoch is complete.
    fn epoch(&self, metrics: &EpochMetrics, epochs: usize);
    /// The warm start is over: what its weights are worth on the chip as they are.
    fn transfer(&self, transfer: &Transfer);
    /// Whether the user wants an orderly end.
    fn interrupted(&self) -> bool;
}

/// How a run ended.
pub enum Ending {
    /// It is complete.
    Complete(Box<Outcome>),
    /// The user interrupted it; the checkpoint holds everything.
    Interrupted {
        /// Epochs that are complete.
        epochs: usize,
    },
}

/// A complete run.
pub struct Outcome {
    /// The result.
    pub summary: Summary,
    /// Predictions on the test set.
    pub evaluation: Evaluation,
    /// One entry an epoch.
    pub metrics: Vec<EpochMetrics>,
}

/// A run in progress.
pub struct Run<'a> {
    experiment: &'a Experiment,
    data: &'a Dataset,
    folder: RunFolder,
    /// The network being trained.
    pub trainer: Trainer<'a>,
    /// The chip, as long as the warm start lasts.
    waiting: Option<ChipLoop>,
    /// The digital twin, until the warm start begins.
    twin: Option<ChipLoop>,
    on_twin: bool,
    chip: Option<ChipSummary>,
    calibration: Option<CalibrationSummary>,
    metrics: Vec<EpochMetrics>,
    /// Counters of earlier processes of this run.
    earlier: LoopCounters,
    learned: u64,
    learning_time: Duration,
    epoch_started: Instant,
}

impl<'a> Run<'a> {
    /// A new run in an empty folder.
    ///
    /// # Errors
    /// A network that does not fit the chip, a folder that cannot be written.
    pub fn start(
        experiment: &'a Experiment,
        data: &'a Dataset,
        device: Option<Device>,
        folder: RunFolder,
    ) -> Result<Self, RunError> {
        if let Some(chosen) = device.as_ref().and_then(|d| d.calibration.as_ref()) {
            folder.write_json(file::CALIBRATION, &chosen.calibration)?;
        }
        let run = Self::prepare(experiment, data, device, folder)?;
        run.folder.write(file::CONFIG, run.config().as_bytes())?;
        run.name_chip()?;
        Ok(run)
    }

    fn name_chip(&self) -> Result<(), RunError> {
        if let Some(chip) = &self.chip {
            self.folder.write_json(file::CHIP, chip)?;
        }
        Ok(())
    }

    /// Goes on where the run in `folder` stopped.
    ///
    /// # Errors
    /// No checkpoint, a damaged one, another chip or another calibration.
    pub fn resume(
        experiment: &'a Experiment,
        data: &'a Dataset,
        device: Option<Device>,
        folder: RunFolder,
    ) -> Result<Self, RunError> {
        let mut run = Self::prepare(experiment, data, device, folder)?;
        if !run.folder.has(file::CHECKPOINT) {
            // Killed before the first checkpoint: the folder says what was to be done.
            run.folder.rewrite::<EpochMetrics>(file::METRICS, &[])?;
            return Ok(run);
        }
        let saved = checkpoint::load(&run.folder)?;
        run.check_chip(&saved)?;
        run.check_calibration(&saved)?;
        saved.restore(&mut run.trainer)?;
        run.earlier = saved.header.counters;
        run.metrics = run.folder.lines(file::METRICS)?;
        run.metrics.truncate(run.trainer.position.epoch);
        run.folder.rewrite(file::METRICS, &run.metrics)?;
        Ok(run)
    }

    fn prepare(
        experiment: &'a Experiment,
        data: &'a Dataset,
        device: Option<Device>,
        folder: RunFolder,
    ) -> Result<Self, RunError> {
        let trainer = Trainer::new(experiment, data)?;
        let mut run = Self {
            experiment,
            data,
            folder,
            trainer,
            waiting: None,
            twin: None,
            on_twin: false,
            chip: None,
            calibration: None,
            metrics: Vec::new(),
            earlier: LoopCounters::default(),
            learned: 0,
            learning_time: Duration::ZERO,
            epoch_started: Instant::now(),
        };
        if let Some(Device { selector, chip, calibration }) = device {
            let caps = chip.capabilities();
            run.chip = Some(ChipSummary {
                selector,
                identity: caps.identity.to_string(),
                firmware: info::version(caps.identity.firmware),
                protocol: caps.protocol,
            });
            let observe = experiment.chip.observe;
            let known = calibration.as_ref().map(|c| &c.calibration);
            let network = &run.trainer.network;
            if experiment.chip.warm_start == WarmStart::Twin {
                let known = known.ok_or(LoopError::NoCalibration)?;
                let twin =
                    Twin::load(&run.folder.file(file::TWIN), caps, known, Codes::Calibrated)?;
                let (played, own) = (twin.open(rayon::current_num_threads())?, &twin.calibration);
                run.twin =
                    Some(ChipLoop::calibrated(played, network, experiment, observe, Some(own))?);
            }
            let chip = ChipLoop::calibrated(chip, network, experiment, observe, known)?;
            run.calibration = calibration.map(|c| c.summary(experiment.chip.codes, now()));
            if let Some(budget) = link_estimate::first_batch(&chip, &data.train, experiment) {
                let selector = run.chip.as_ref().map_or("", |chip| chip.selector.as_str());
                let baud = link_estimate::baud(selector);
                tracing::info!("{}", link_estimate::line(&budget, experiment.learning.batch, baud));
            }
            let membranes = chip.translation().membranes();
            run.trainer.requirements().check(true, membranes, membranes)?;
            run.waiting = Some(chip);
        }
        Ok(run)
    }

    /// The resolved experiment as TOML.
    fn config(&self) -> String {
        // A struct of numbers, strings and lists: its encoding cannot fail.
        toml::to_string(self.experiment).unwrap_or_default()
    }

    fn check_chip(&self, saved: &Saved) -> Result<(), RunError> {
        let present = self.chip.as_ref().map_or(SOFTWARE, |c| c.identity.as_str());
        if saved.header.chip == present {
            return Ok(());
        }
        Err(CheckpointError::OtherChip {
            run: self.folder.path().display().to_string(),
            trained_on: saved.header.chip.clone(),
            present: present.to_owned(),
            remedy: "continue on the chip of the run, or start a new run on this one",
        }
        .into())
    }

    fn check_calibration(&self, saved: &Saved) -> Result<(), RunError> {
        if saved.same_calibration(self.calibration.as_ref()) {
            return Ok(());
        }
        let name = |c: Option<&CalibrationSummary>| match c {
            Some(c) => format!("the calibration of {} ({})", c.time, c.id),
            None => "no calibration".to_owned(),
        };
        Err(CheckpointError::OtherCalibration {
            run: self.folder.path().display().to_string(),
            made_with: name(saved.header.calibration.as_ref()),
            present: name(self.calibration.as_ref()),
        }
        .into())
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// All epochs, those of the warm start included.
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.experiment.learning.epochs + self.experiment.learning.warm_start_epochs
    }

    fn phase(&self) -> Phase {
        match self.trainer.chip() {
            Some(_) if self.on_twin => Phase::Twin,
            Some(_) => Phase::InTheLoop,
            None => Phase::Software,
        }
    }

    /// Brings the chip in when the warm start is over, and notes what naive transfer would have given.
    fn attach_when_due(&mut self, watch: &dyn Watch) -> Result<(), RunError> {
        let warm = self.experiment.learning.warm_start_epochs;
        let position = &self.trainer.position;
        if position.epoch < warm {
            if let Some(twin) = self.twin.take() {
                self.trainer.attach(twin);
                self.on_twin = true;
            }
            return Ok(());
        }
        let Some(chip) = self.waiting.take() else { return Ok(()) };
        let fresh = warm > 0 && position.epoch == warm && position.batch == 0;
        let software = match fresh {
            true => Some(self.trainer.evaluate(&self.data.test, FINAL_ROUND)?.tally.accuracy()),
            false => None,
        };
        let on_twin = self.on_twin;
        self.earlier = self.counters();
        self.trainer.detach();
        self.on_twin = false;
        if fresh && !on_twin {
            self.trainer.restart_optimizer()?;
        }
        self.trainer.attach(chip);
        if let Some(software_accuracy) = software {
            let evaluation = self.trainer.evaluate(&self.data.test, TRANSFER_ROUND)?;
            let chip_accuracy = evaluation.tally.accuracy();
            let transfer = Transfer { software_accuracy, chip_accuracy, on_twin };
            self.folder.write_json(file::TRANSFER, &transfer)?;
            watch.transfer(&transfer);
        }
        Ok(())
    }

    /// Learns to the end, or until the user interrupts.
    ///
    /// # Errors
    /// [`RunError`]; the last checkpoint is then intact.
    pub fn learn(&mut self, watch: &dyn Watch) -> Result<Ending, RunError> {
        let batches = self.trainer.batches_per_epoch();
        let mut saved = Instant::now();
        self.epoch_started = Instant::now();
        self.attach_when_due(watch)?;
        while self.trainer.position.epoch < self.epochs() {
            if watch.interrupted() {
                self.save()?;
                return Ok(Ending::Interrupted { epochs: self.trainer.position.epoch });
            }
            let phase = self.phase();
            let (epoch, before) =
                (self.trainer.position.epoch, self.trainer.position.tally.samples);
            let rate = self.trainer.learning_rate();
            let started = Instant::now();
            let step = self.trainer.step().map_err(|e| self.run_away(epoch, e))?;
            self.learning_time += started.elapsed();
            match step {
                Step::Batch => {
                    let position = &self.trainer.position;
                    self.learned += position.tally.samples - before;
                    watch.batch(phase, epoch, position.batch, batches, &position.tally);
                    if let Some(link) = self.trainer.chip().and_then(ChipLoop::link_use) {
                        watch.link(&link);
                    }
                    if saved.elapsed() >= CHECKPOINT_INTERVAL {
                        self.save()?;
                        saved = Instant::now();
                    }
                }
                Step::EpochEnd(tally) => {
                    self.learned += tally.samples - before;
                    watch.batch(phase, epoch, batches, batches, &tally);
                    let metrics = self.close_epoch(phase, rate, &tally)?;
                    watch.epoch(&metrics, self.epochs());
                    self.save()?;
                    saved = Instant::now();
                    self.attach_when_due(watch)?;
                }
            }
        }
        let outcome = self.finish()?;
        Ok(Ending::Complete(Box::new(outcome)))
    }

    /// Evaluates if it is due, and writes the epoch's line.
    fn close_epoch(
        &mut self,
        phase: Phase,
        rate: f64,
        tally: &Tally,
    ) -> Result<EpochMetrics, RunError> {
        let epoch = self.trainer.position.epoch;
        let due = epoch.is_multiple_of(self.experiment.learning.evaluate_every);
        let mut metrics = EpochMetrics {
            epoch,
            phase,
            rate,
            train_loss: tally.mean_loss(),
            train_accuracy: tally.accuracy(),
            train_spikes_per_sample: tally.spikes_per_sample(),
            validation_accuracy: None,
            test_accuracy: None,
            chip_trials: None,
            seconds: 0.0,
        };
        if due {
            // With a validation set the test set is looked at once, at the end.
            match &self.data.validation {
                Some(split) => {
                    let evaluation = self.trainer.evaluate(split, epoch as u64)?;
                    metrics.validation_accuracy = Some(evaluation.tally.accuracy());
                }
                None => {
                    let evaluation = self.trainer.evaluate(&self.data.test, epoch as u64)?;
                    metrics.test_accuracy = Some(evaluation.tally.accuracy());
                }
            }
        }
        metrics.chip_trials = self.chip.as_ref().map(|_| self.counters().trials);
        metrics.seconds = self.epoch_started.elapsed().as_secs_f64();
        self.epoch_started = Instant::now();
        self.folder.append(file::METRICS, &metrics)?;
        self.metrics.push(metrics.clone());
        Ok(metrics)
    }

    fn counters(&self) -> LoopCounters {
        let mut counters = self.trainer.chip().map(ChipLoop::counters).unwrap_or_default();
        let earlier = &self.earlier;
        if self.on_twin {
            // What is lost on the twin is not lost on the chip.
            let twin_trials = counters.trials;
            counters = LoopCounters { twin_trials, ..LoopCounters::default() };
        }
        counters.twin_trials += earlier.twin_trials;
        counters.dropped_events += earlier.dropped_events;
        counters.retries += earlier.retries;
        counters.saturated_samples += earlier.saturated_samples;
        counters.unreliable_samples += earlier.unreliable_samples;
        counters.unused_spikes += earlier.unused_spikes;
        counters.clipped_weights += earlier.clipped_weights;
        counters.trials += earlier.trials;
        counters.trace_bytes += earlier.trace_bytes;
        counters.time += earlier.time;
        counters
    }

    fn save(&self) -> Result<(), RunError> {
        let identity = self.chip.as_ref().map_or(SOFTWARE, |c| c.identity.as_str());
        let warm = self.experiment.learning.warm_start_epochs;
        let position = &self.trainer.position;
        let met = position.epoch > warm || (position.epoch == warm && position.batch > 0);
        let header = Header {
            chip: identity.to_owned(),
            trained_on: if met { identity.to_owned() } else { SOFTWARE.to_owned() },
            details: self.chip.clone(),
            calibration: self.calibration.clone(),
            position: position.clone(),
            counters: self.counters(),
            experiment: self.config(),
        };
        checkpoint::save(&self.folder, &self.trainer, &header)?;
        Ok(())
    }

    /// Says what is left of a run that ran away in `epoch`, from 0.
    fn run_away(&self, epoch: usize, source: TrainError) -> RunError {
        if !matches!(source, TrainError::RunAway(_)) {
            return source.into();
        }
        let folder = self.folder.path().display().to_string();
        let kept = checkpoint::load(&self.folder).ok().map(|saved| saved.header.position.epoch);
        RunError::RunAway { epoch: epoch + 1, kept, folder, why: source.into() }
    }

    fn finish(&mut self) -> Result<Outcome, RunError> {
        // Before the evaluation: a complete run that is resumed counts it once.
        self.save()?;
        let evaluation = self.trainer.evaluate(&self.data.test, FINAL_ROUND)?;
        let validation = match &self.data.validation {
            Some(split) => Some(self.trainer.evaluate(split, FINAL_ROUND + 1)?.tally.accuracy()),
            None => None,
        };
        let learned = match self.experiment.learning.evaluate_train {
            true => {
                Some(self.trainer.evaluate(&self.data.train, FINAL_ROUND + 2)?.tally.accuracy())
            }
            false => None,
        };
        let mut summary = summarise(self.experiment, &evaluation);
        summary.learned_accuracy = learned;
        summary.chip = self.chip.clone();
        summary.calibration = self.calibration.clone();
        summary.epochs = self.trainer.position.epoch;
        summary.train_accuracy = self.metrics.last().map(|m| m.train_accuracy);
        summary.validation_accuracy = validation;
        if self.folder.has(file::TRANSFER) {
            summary.transfer = Some(self.folder.read_json(file::TRANSFER)?);
        }
        summary.samples_per_s = self.learned as f64 / self.learning_time.as_secs_f64().max(1e-9);
        summary.count(&self.counters());
        summary.health = self.trainer.chip().map(ChipLoop::health);
        summary.link = self.trainer.chip().and_then(ChipLoop::link_use);
        self.folder.write_json(file::SUMMARY, &Versioned::new(&summary))?;
        Ok(Outcome { summary, evaluation, metrics: self.metrics.clone() })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A summary with what an evaluation on the test set says; the rest is for the caller to fill in.
#[must_use]
pub fn summarise(experiment: &Experiment, evaluation: &Evaluation) -> Summary {
    Summary {
        task: experiment.task.name.to_string(),
        name: experiment.name.clone(),
        chip: None,
        calibration: None,
        seed: experiment.seed,
        epochs: 0,
        train_accuracy: None,
        learned_accuracy: None,
        validation_accuracy: None,
        test_accuracy: evaluation.tally.accuracy(),
        transfer: None,
        test_samples: evaluation.tally.samples,
        hidden_spikes_per_sample: evaluation.tally.spikes_per_sample(),
        samples_per_s: 0.0,
        dropped_events: 0,
        chip_trials: 0,
        twin_trials: 0,
        retries: 0,
        saturated_samples: 0,
        clipped_weights: 0,
        trace_bytes: None,
        time_split: spikeloop_hal::TimeSplit::default(),
        health: None,
        link: None,
    }
}
