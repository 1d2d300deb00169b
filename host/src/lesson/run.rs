//! One lesson from start to end: run folder, metrics, checkpoints, summary.

use super::{Figures, Lesson, LessonError, State, Watch, report};
use crate::command::output::Versioned;
use crate::run_folder::{RunFolder, file};
use crate::summary::ChipSummary;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A checkpoint is written this long after the last one, and at the end.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// Names of the counters of the run itself in its [`State`].
const EPOCH: &str = "run.epoch";

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LessonMetrics {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// What was measured.
    #[serde(flatten)]
    pub figures: serde_json::Map<String, serde_json::Value>,
    /// Seconds it took. The only value that differs between two equal runs.
    pub seconds: f64,
}

impl LessonMetrics {
    /// A figure by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.figures.get(name)?.as_f64()
    }
}

/// `summary.json`, and what `train --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LessonSummary {
    /// Name of the experiment.
    pub name: String,
    /// The method.
    pub method: String,
    /// Seed of the experiment.
    pub seed: u64,
    /// Epochs learned.
    pub epochs: usize,
    /// What an epoch is called.
    pub unit: &'static str,
    /// The chip; nothing for software.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chip: Option<ChipSummary>,
    /// Seconds of learning, in this process.
    pub seconds: f64,
    /// The numbers at the end.
    #[serde(flatten)]
    pub figures: serde_json::Map<String, serde_json::Value>,
}

/// Told what happens.
pub trait Observer: Watch {
    /// An epoch is over.
    fn epoch(&self, unit: &str, epoch: usize, epochs: usize, figures: &Figures, seconds: f64);
    /// Whether the user wants an orderly end.
    fn interrupted(&self) -> bool;
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum LessonEnding {
    /// To the end.
    Complete(LessonSummary),
    /// The user stopped it after so many epochs; everything is saved.
    Interrupted(usize),
}

/// What a run is called and which way it learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Heading {
    /// Name of the experiment.
    pub name: String,
    /// The method.
    pub method: &'static str,
    /// Seed.
    pub seed: u64,
    /// The chip.
    pub chip: Option<ChipSummary>,
    /// The resolved experiment file.
    pub config: String,
    /// The command that was given.
    pub command: String,
}

/// A lesson with its folder.
pub struct LessonRun {
    heading: Heading,
    lesson: Box<dyn Lesson>,
    folder: RunFolder,
    epoch: usize,
    metrics: Vec<LessonMetrics>,
}

impl LessonRun {
    /// Begins in an empty folder.
    ///
    /// # Errors
    /// [`LessonError::Folder`].
    pub fn start(
        heading: Heading,
        lesson: Box<dyn Lesson>,
        folder: RunFolder,
    ) -> Result<Self, LessonError> {
        folder.write(file::CONFIG, heading.config.as_bytes())?;
        Ok(Self { heading, lesson, folder, epoch: 0, metrics: Vec::new() })
    }

    /// Goes on where the run in `folder` stopped; from the beginning if it had saved nothing yet.
    ///
    /// # Errors
    /// [`LessonError::Folder`], [`LessonError::State`].
    pub fn resume(
        heading: Heading,
        lesson: Box<dyn Lesson>,
        folder: RunFolder,
    ) -> Result<Self, LessonError> {
        let mut run = Self { heading, lesson, folder, epoch: 0, metrics: Vec::new() };
        run.folder.write(file::CONFIG, run.heading.config.as_bytes())?;
        if run.folder.has(file::CHECKPOINT) {
            let state = State::from_bytes(&run.folder.read(file::CHECKPOINT)?)?;
            run.lesson.restore(&state)?;
            run.epoch = state.text(EPOCH)?;
            run.metrics = run.folder.lines(file::METRICS)?;
            run.metrics.truncate(run.epoch);
        }
        run.folder.rewrite(file::METRICS, &run.metrics)?;
        Ok(run)
    }

    /// The run's folder.
    #[must_use]
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Whether a run that was interrupted can go on.
    #[must_use]
    pub fn can_go_on(&self) -> bool {
        self.lesson.can_go_on()
    }

    /// Learns to the end, or until the user interrupts.
    ///
    /// # Errors
    /// [`LessonError`]; the last checkpoint is then intact.
    pub fn learn(&mut self, observer: &dyn Observer) -> Result<LessonEnding, LessonError> {
        let started = Instant::now();
        let mut saved = Instant::now();
        let (unit, epochs) = (self.lesson.unit(), self.lesson.epochs());
        while self.epoch < epochs {
            if observer.interrupted() {
                self.save()?;
                return Ok(LessonEnding::Interrupted(self.epoch));
            }
            let began = Instant::now();
            let figures = match self.lesson.epoch(self.epoch, observer) {
                // In the middle of an epoch: the last checkpoint is what goes on.
                Err(LessonError::Interrupted) => return Ok(LessonEnding::Interrupted(self.epoch)),
                other => other?,
            };
            self.check(unit, figures.iter().map(|(name, value)| (*name, *value)))?;
            let seconds = began.elapsed().as_secs_f64();
            self.epoch += 1;
            observer.epoch(unit, self.epoch, epochs, &figures, seconds);
            let metrics = LessonMetrics { epoch: self.epoch, figures: map(&figures), seconds };
            self.folder.append(file::METRICS, &metrics)?;
            self.metrics.push(metrics);
            if saved.elapsed() >= CHECKPOINT_INTERVAL || began.elapsed() >= CHECKPOINT_INTERVAL {
                self.save()?;
                saved = Instant::now();
            }
        }
        self.save()?;
        self.conclude(started.elapsed().as_secs_f64()).map(LessonEnding::Complete)
    }

    /// Refuses the first number that is none.
    fn check<'a>(
        &self,
        unit: &'static str,
        mut numbers: impl Iterator<Item = (&'a str, f64)>,
    ) -> Result<(), LessonError> {
        match numbers.find(|(_, value)| !value.is_finite()) {
            None => Ok(()),
            Some((what, got)) => Err(LessonError::RunAway {
                unit,
                epoch: self.epoch + 1,
                what: what.to_owned(),
                got,
                good: self.kept(),
            }),
        }
    }

    /// Epoch of the checkpoint on disk.
    fn kept(&self) -> usize {
        let bytes = self.folder.read(file::CHECKPOINT).ok();
        let state = bytes.and_then(|bytes| State::from_bytes(&bytes).ok());
        state.and_then(|state| state.text(EPOCH).ok()).unwrap_or(0)
    }

    fn save(&self) -> Result<(), LessonError> {
        let mut state = State::default();
        self.lesson.save(&mut state);
        self.check(self.lesson.unit(), state.not_finite().into_iter())?;
        state.put_text(EPOCH, self.epoch);
        state.put_text("run.experiment", &self.heading.config);
        state.put_text("run.version", env!("CARGO_PKG_VERSION"));
        self.folder.write(file::CHECKPOINT, &state.to_bytes()?)?;
        Ok(())
    }

    fn conclude(&mut self, seconds: f64) -> Result<LessonSummary, LessonError> {
        let figures = self.lesson.finish()?;
        let summary = LessonSummary {
            name: self.heading.name.clone(),
            method: self.heading.method.to_owned(),
            seed: self.heading.seed,
            epochs: self.epoch,
            unit: self.lesson.unit(),
            chip: self.heading.chip.clone(),
            seconds,
            figures: map(&figures),
        };
        self.folder.write_json(file::SUMMARY, &Versioned::new(&summary))?;
        let pictures = self.lesson.pictures();
        let page = report::page(&self.heading, &summary, &self.metrics, &pictures);
        self.folder.write(file::REPORT, page.as_bytes())?;
        Ok(summary)
    }
}

/// Figures as a JSON object, in their order.
fn map(figures: &Figures) -> serde_json::Map<String, serde_json::Value> {
    figures.iter().map(|(name, value)| ((*name).to_owned(), serde_json::json!(value))).collect()
}
