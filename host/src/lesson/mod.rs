//! Methods whose task is not a batch of labelled samples for one network and one gradient: each brings its own
//! task, network and step, and shares everything around them.
//!
//! ```text
//! experiment file ─ learning.method ─► open ─► dyn Lesson ─► run: metrics, checkpoints, summary, report
//! ```
//!
//! An experiment file without `learning.method`, or with `bptt` or another method of the
//! [`trainer`](crate::trainer), is an [`Experiment`](crate::experiment::Experiment); with one of [`METHODS`] it
//! is a lesson. The sections are the same (`[task] [network] [learning] [chip]`), their keys are the method's.
//!
//! To add a method: a file here with a configuration, an `open` and an implementation of [`Lesson`], one line in
//! [`METHODS`], and an experiment file in `host/experiments`.

mod autoencoder;
mod burst;
mod competing;
mod decolle;
pub mod error;
mod first_spike;
pub mod gif;
pub mod ltts;
mod order;
mod plastic;
pub mod rates;
pub mod report;
pub mod run;
pub mod state;
pub mod superspike;

pub use error::LessonError;
pub use run::{LessonRun, LessonSummary};
pub use state::State;

use order::order;

use crate::calibration_choice::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Numbers by name, in the order in which they are shown. Names are snake_case; shares end in `_accuracy`.
pub type Figures = Vec<(&'static str, f64)>;

/// What a lesson is given besides its configuration.
pub struct Surroundings<'a> {
    /// Seed of the experiment: initial weights, data that are generated, noise, each from a stream of its own.
    pub seed: u64,
    /// Folder of the data sets, if one was named.
    pub data: Option<&'a Path>,
    /// The chip, if one is in the loop.
    pub chip: Option<Device>,
}

/// Told how far an epoch is, and asked whether to go on.
pub trait Watch {
    /// `done` of `of` parts of this epoch are learned. Returns whether to go on.
    fn part(&self, done: usize, of: usize) -> bool;
}

/// A task, a network and a method, in the middle of learning.
pub trait Lesson {
    /// What one step of progress is called: `epoch`, `trial`, `block`.
    fn unit(&self) -> &'static str {
        "epoch"
    }

    /// How many of them there are.
    fn epochs(&self) -> usize;

    /// Learns epoch number `epoch`, from 0, and returns what was measured meanwhile: the columns of
    /// `metrics.jsonl` and the curves of the report. Validation data may be looked at, test data not.
    ///
    /// # Errors
    /// [`LessonError`]; [`LessonError::Interrupted`] if `watch` says so.
    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError>;

    /// What the method is worth at the end, on test data: the numbers of the summary.
    ///
    /// # Errors
    /// [`LessonError`].
    fn finish(&mut self) -> Result<Figures, LessonError>;

    /// Puts everything that learning changes into `state`, so that a lesson that was opened with the same
    /// configuration goes on with the same bits.
    fn save(&self, state: &mut State);

    /// Whether that is all it takes to go on: not where a device has learned by itself.
    fn can_go_on(&self) -> bool {
        true
    }

    /// Takes it back.
    ///
    /// # Errors
    /// [`LessonError::State`] if it is of another lesson.
    fn restore(&mut self, state: &State) -> Result<(), LessonError>;

    /// Headings and contents for the report, after the learning curves. Called after [`Lesson::finish`].
    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The configuration with all defaults filled in.
    fn config(&self) -> toml::Table;
}

/// Makes a lesson from the sections of its experiment file.
pub type Open = fn(toml::Table, Surroundings<'_>) -> Result<Box<dyn Lesson>, LessonError>;

/// A method by name.
pub struct Method {
    /// As in `learning.method`.
    pub name: &'static str,
    /// Makes a lesson.
    pub open: Open,
    /// Whether a chip can run its forward passes.
    pub chip: bool,
}

impl Method {
    /// Whether devices have a rule for it, so that a chip can learn by itself.
    #[must_use]
    pub fn learns_on_chip(&self) -> bool {
        [superspike::NAME, decolle::NAME, ltts::NAME].contains(&self.name)
    }

    /// What to say to `--learn on-chip` where no device has a rule for it.
    #[must_use]
    pub fn nowhere_to_learn(name: &str) -> String {
        let able = METHODS.iter().filter(|method| method.learns_on_chip());
        let able: Vec<&str> = able.map(|method| method.name).collect();
        format!(
            "--learn on-chip: no device has a rule for learning.method = \"{name}\"; leave it out, or use {}",
            able.join(" or ")
        )
    }
}

/// All methods that are lessons.
pub const METHODS: &[Method] = &[
    Method { name: superspike::NAME, open: superspike::open, chip: true },
    Method { name: "autoencoder", open: autoencoder::open, chip: false },
    Method { name: ltts::NAME, open: ltts::open, chip: true },
    Method { name: "gif", open: gif::open, chip: false },
    Method { name: "burst", open: burst::open, chip: false },
    Method { name: "competing", open: competing::open, chip: false },
    Method { name: decolle::NAME, open: decolle::open, chip: true },
    Method { name: "rates", open: rates::open, chip: false },
    Method { name: "translation", open: rates::open, chip: false },
    Method { name: "first-spike", open: first_spike::open, chip: true },
];

/// The lesson that an experiment file asks for; `None` if it is an ordinary experiment.
#[must_use]
pub fn method_of(table: &toml::Table) -> Option<&'static Method> {
    let name = table.get("learning")?.as_table()?.get("method")?.as_str()?;
    METHODS.iter().find(|method| method.name == name)
}

/// Reads the configuration of a lesson, with every mistake named.
///
/// # Errors
/// [`LessonError::Config`].
pub fn parse<T: DeserializeOwned>(table: toml::Table) -> Result<T, LessonError> {
    Ok(crate::config::typed(table)?)
}

/// A configuration as a table, for [`Lesson::config`].
#[must_use]
pub fn table<T: Serialize>(config: &T) -> toml::Table {
    // Structs of numbers, strings and lists: their encoding cannot fail.
    toml::Table::try_from(config).unwrap_or_default()
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
