//! What a run keeps on disk in order to go on, or to be used elsewhere: weights, optimizer, position, and
//! whose weights they are.
//!
//! Weights belong to the chip they were trained on. The header of the safetensors file names it, so that
//! using them on another chip is an explicit act.

use crate::calibration_choice::CalibrationSummary;
use crate::chip_loop::LoopCounters;
use crate::run_folder::{RunFolder, RunFolderError, file};
use crate::summary::ChipSummary;
use crate::trainer::{Position, Trainer};
use spikeloop_models::checkpoint::Checkpoint;
use spikeloop_models::error::ModelError;

/// Keys of the header.
mod key {
    pub(super) const CHIP: &str = "spikeloop.chip";
    pub(super) const TRAINED_ON: &str = "spikeloop.trained_on";
    pub(super) const CHIP_DETAILS: &str = "spikeloop.chip_details";
    pub(super) const CALIBRATION: &str = "spikeloop.calibration";
    pub(super) const POSITION: &str = "spikeloop.position";
    pub(super) const COUNTERS: &str = "spikeloop.counters";
    pub(super) const ESTIMATES: &str = "spikeloop.estimates";
    pub(super) const VERSION: &str = "spikeloop.version";
    pub(super) const EXPERIMENT: &str = "spikeloop.experiment";
}

/// Name of the "chip" of weights that never met one.
pub const SOFTWARE: &str = "software";

/// A checkpoint that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Reading or writing failed.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The tensors do not fit, or the file is damaged.
    #[error("checkpoint in {run}: {source}")]
    Model {
        /// The run's folder.
        run: String,
        /// What is wrong.
        source: ModelError,
    },
    /// The header lacks something or holds nonsense.
    #[error(
        "checkpoint in {run}: header entry {key} {problem}; was it written by another program?"
    )]
    Header {
        /// The run's folder.
        run: String,
        /// Which entry.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The run was made with another calibration.
    #[error(
        "{run} was made with {made_with}, this is {present}: weights do not carry over between codes; continue without --calibration, or start a new run"
    )]
    OtherCalibration {
        /// The run's folder.
        run: String,
        /// The calibration of the run.
        made_with: String,
        /// The calibration at hand.
        present: String,
    },
    /// The weights belong to another chip.
    #[error(
        "the weights in {run} belong to chip {trained_on}, this is {present}: weights do not carry over between chips; {remedy}"
    )]
    OtherChip {
        /// The run's folder.
        run: String,
        /// The chip of the weights.
        trained_on: String,
        /// The chip at hand.
        present: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// The header of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Identity of the chip of the run, or [`SOFTWARE`].
    pub chip: String,
    /// Identity of the chip that ran the last forward passes of the training, or [`SOFTWARE`].
    pub trained_on: String,
    /// Selector, firmware and protocol of that chip.
    pub details: Option<ChipSummary>,
    /// The calibration with whose codes the chip ran.
    pub calibration: Option<CalibrationSummary>,
    /// Where the training stands.
    pub position: Position,
    /// Counters so far.
    pub counters: LoopCounters,
    /// The resolved experiment as TOML.
    pub experiment: String,
}

/// A checkpoint as read.
pub struct Saved {
    run: String,
    tensors: Checkpoint<f32>,
    /// Its header.
    pub header: Header,
}

/// Writes a checkpoint, replacing the last one.
///
/// # Errors
/// [`CheckpointError`]; the last checkpoint is then intact.
pub fn save(
    folder: &RunFolder,
    trainer: &Trainer<'_>,
    header: &Header,
) -> Result<(), CheckpointError> {
    let run = folder.path().display().to_string();
    let model = |source| CheckpointError::Model { run: run.clone(), source };
    let mut checkpoint = Checkpoint::of(&trainer.network, Some(&trainer.optimizer));
    let mut put = |key: &str, value: String| checkpoint.metadata.insert(key.to_owned(), value);
    put(key::CHIP, header.chip.clone());
    put(key::TRAINED_ON, header.trained_on.clone());
    put(key::CHIP_DETAILS, json(&header.details));
    put(key::CALIBRATION, json(&header.calibration));
    put(key::POSITION, json(&header.position));
    put(key::COUNTERS, json(&header.counters));
    if let Some(estimator) = trainer.estimator() {
        put(key::ESTIMATES, json(estimator));
    }
    put(key::EXPERIMENT, header.experiment.clone());
    put(key::VERSION, env!("CARGO_PKG_VERSION").to_owned());
    folder.write(file::CHECKPOINT, &checkpoint.to_bytes().map_err(model)?)?;
    Ok(())
}

/// Plain structs of numbers and strings: their encoding cannot fail.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads the checkpoint of a run.
///
/// # Errors
/// [`CheckpointError`] if there is none or it is damaged.
pub fn load(folder: &RunFolder) -> Result<Saved, CheckpointError> {
    let run = folder.path().display().to_string();
    let bytes = folder.read(file::CHECKPOINT)?;
    let tensors = Checkpoint::<f32>::from_bytes(&bytes)
        .map_err(|source| CheckpointError::Model { run: run.clone(), source })?;
    let text = |key: &'static str| {
        tensors.metadata.get(key).cloned().ok_or_else(|| CheckpointError::Header {
            run: run.clone(),
            key,
            problem: "is missing".into(),
        })
    };
    let header = Header {
        chip: text(key::CHIP)?,
        trained_on: text(key::TRAINED_ON)?,
        details: value(&run, key::CHIP_DETAILS, &text(key::CHIP_DETAILS)?)?,
        // Absent in checkpoints from before there were calibrations.
        calibration: match tensors.metadata.get(key::CALIBRATION) {
            Some(text) => value(&run, key::CALIBRATION, text)?,
            None => None,
        },
        position: value(&run, key::POSITION, &text(key::POSITION)?)?,
        counters: value(&run, key::COUNTERS, &text(key::COUNTERS)?)?,
        experiment: text(key::EXPERIMENT)?,
    };
    Ok(Saved { run, tensors, header })
}

/// An entry of the header of `run`.
fn value<T: serde::de::DeserializeOwned>(
    run: &str,
    key: &'static str,
    text: &str,
) -> Result<T, CheckpointError> {
    serde_json::from_str(text).map_err(|e| CheckpointError::Header {
        run: run.to_owned(),
        key,
        problem: format!("cannot be read ({e})"),
    })
}

impl Saved {
    /// Puts weights, optimizer, position and what was estimated about the chip back.
    ///
    /// # Errors
    /// [`CheckpointError::Model`] if they do not fit the trainer's network.
    pub fn restore(&self, trainer: &mut Trainer<'_>) -> Result<(), CheckpointError> {
        let (network, optimizer) = (&mut trainer.network, &mut trainer.optimizer);
        self.tensors
            .restore(network, Some(optimizer))
            .map_err(|source| CheckpointError::Model { run: self.run.clone(), source })?;
        trainer.position = self.header.position.clone();
        let estimates = self.tensors.metadata.get(key::ESTIMATES);
        let estimates = estimates.map(|text| value(&self.run, key::ESTIMATES, text)).transpose()?;
        trainer.set_estimator(estimates);
        Ok(())
    }

    /// Whether the weights were trained with the calibration of this name (see
    /// [`CalibrationSummary::id`]), or none.
    #[must_use]
    pub fn same_calibration(&self, present: Option<&CalibrationSummary>) -> bool {
        self.header.calibration.as_ref().map(|c| &c.id) == present.map(|c| &c.id)
    }

    /// Refuses a chip that the weights were not trained on.
    ///
    /// # Errors
    /// [`CheckpointError::OtherChip`].
    pub fn belongs_to(&self, chip: &str) -> Result<(), CheckpointError> {
        if self.header.trained_on == chip {
            return Ok(());
        }
        Err(CheckpointError::OtherChip {
            run: self.run.clone(),
            trained_on: self.header.trained_on.clone(),
            present: chip.to_owned(),
            remedy: "train on this one, or give --transfer to use them all the same",
        })
    }
}
