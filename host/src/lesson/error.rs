//! What can stop a lesson.

use crate::chip_loop::LoopError;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::run_folder::RunFolderError;
use spikeloop_models::ModelError;

/// Why a lesson cannot be opened, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LessonError {
    /// A key or value of the experiment.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A value that the types allow and the method does not.
    #[error("{key} = {got}: it must be {must}")]
    Value {
        /// Dotted key.
        key: &'static str,
        /// What it is.
        got: String,
        /// What it must be.
        must: &'static str,
    },
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The method.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The chip or the way to it.
    #[error(transparent)]
    Loop(#[from] LoopError),
    /// A chip that is not used.
    #[error(
        "the method {method} does not run on a chip ({why}): leave --chip and chip.selector out, or add --software"
    )]
    NoChip {
        /// The method.
        method: &'static str,
        /// What is missing.
        why: &'static str,
    },
    /// A chip that lacks what the method needs.
    #[error("the chip cannot serve the method {method}: {problem}; {remedy}")]
    Unfit {
        /// The method.
        method: &'static str,
        /// What is missing, with numbers.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A number that is none, or beyond all bounds.
    #[error(
        "{unit} {epoch}: {what} is {got}: learning has run away; the state of {unit} {good} is kept. Learn more slowly (learning.rate), or start from smaller weights"
    )]
    RunAway {
        /// What an epoch is called.
        unit: &'static str,
        /// The epoch, from 1.
        epoch: usize,
        /// Which figure, or which layer.
        what: String,
        /// Its value.
        got: f64,
        /// The last epoch that is kept.
        good: usize,
    },
    /// A saved state that does not fit.
    #[error("saved state: {name} {problem}; was it written by another experiment?")]
    State {
        /// Which entry.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The files of the run.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
}
