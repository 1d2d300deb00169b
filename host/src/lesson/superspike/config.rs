//! What an experiment with SuperSpike says.

use crate::config::ConfigError;
use crate::data::ssbm::Ssbm;
use crate::lesson::LessonError;
use serde::{Deserialize, Serialize};
use spikeloop_models::method::superspike::SuperSpikeConfig;
use spikeloop_models::task::spiking_xor::SpikingXor;

/// Where weights change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Learn {
    /// On the host.
    #[default]
    Host,
    /// In the device, by its own integers; the host sends what was wrong.
    OnChip,
}

/// `[task]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Task {
    /// Spikes at given times.
    Ssbm(SsbmTask),
    /// Exclusive or of spike patterns.
    SpikingXor(SpikingXor),
}

/// A raster task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SsbmTask {
    /// Which one.
    pub set: Ssbm,
    /// How far a spike may be from its target, in ms.
    #[serde(default = "tolerance")]
    pub tolerance_ms: f64,
}

fn tolerance() -> f64 {
    2.0
}

/// `[network]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Hidden neurons; 0 for none.
    pub hidden: usize,
}

/// `[chip]`, without its selector.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ChipSection {
    /// How many times faster the chip is than the model: 1000 makes 1 ms of the model 1 µs.
    pub speedup: f64,
    /// Weight of one code in thresholds.
    pub weight_step: f64,
}

impl Default for ChipSection {
    fn default() -> Self {
        Self { speedup: 1000.0, weight_step: 0.05 }
    }
}

/// The keys of `[learning]` that are not the rule's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Course {
    /// Trials.
    pub epochs: usize,
    /// Whether every trial begins at rest, as on a chip, instead of where the one before ended.
    pub rest: bool,
    /// Where weights change.
    pub learn: Learn,
}

/// An experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct SuperSpikeExperiment {
    /// `[task]`.
    pub task: Task,
    /// `[network]`.
    pub network: Network,
    /// Of `[learning]`: how long and where.
    pub course: Course,
    /// Of `[learning]`: the rule.
    pub rule: SuperSpikeConfig,
    /// `[chip]`.
    pub chip: ChipSection,
}

/// The sections as they are in the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    task: Task,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    learning: SuperSpikeConfig,
    #[serde(default)]
    chip: ChipSection,
}

fn value(key: &'static str, got: impl ToString, must: &'static str) -> LessonError {
    LessonError::Value { key, got: got.to_string(), must }
}

impl SuperSpikeExperiment {
    /// Reads the sections and checks every value.
    ///
    /// # Errors
    /// [`LessonError::Config`], [`LessonError::Value`], [`LessonError::Model`].
    pub fn parse(mut table: toml::Table) -> Result<Self, LessonError> {
        let course = take_course(&mut table)?;
        let Sections { task, network, learning: rule, chip } = crate::lesson::parse(table)?;
        let experiment = Self { task, network, course, rule, chip };
        experiment.check()?;
        Ok(experiment)
    }

    fn check(&self) -> Result<(), LessonError> {
        self.rule.check()?;
        match &self.task {
            Task::Ssbm(task) if !(task.tolerance_ms.is_finite() && task.tolerance_ms >= 0.0) => {
                let must = "a finite number, 0 or above";
                return Err(value("task.tolerance-ms", task.tolerance_ms, must));
            }
            Task::Ssbm(_) => {}
            Task::SpikingXor(task) => task.check()?,
        }
        for (key, x) in
            [("chip.speedup", self.chip.speedup), ("chip.weight-step", self.chip.weight_step)]
        {
            if !(x.is_finite() && x > 0.0) {
                return Err(value(key, x, "a finite number above 0"));
            }
        }
        if self.network.hidden > 4096 {
            return Err(value("network.hidden", self.network.hidden, "at most 4096"));
        }
        Ok(())
    }

    /// The sections with everything filled in.
    #[must_use]
    pub fn table(&self) -> toml::Table {
        let mut table = crate::lesson::table(&Sections {
            task: self.task.clone(),
            network: self.network,
            learning: self.rule.clone(),
            chip: self.chip,
        });
        if let Some(learning) = table.get_mut("learning").and_then(toml::Value::as_table_mut) {
            learning.extend(crate::lesson::table(&self.course));
        }
        table
    }
}

/// Takes the keys of the course out of `[learning]`, so that what is left is the rule.
fn take_course(table: &mut toml::Table) -> Result<Course, LessonError> {
    let mut course = Course { epochs: 0, rest: false, learn: Learn::Host };
    let Some(learning) = table.get_mut("learning").and_then(toml::Value::as_table_mut) else {
        return Err(value("learning.epochs", "missing", "the number of trials, at least 1"));
    };
    let wrong = |path: &str, message: &str| {
        LessonError::Config(ConfigError::Value { path: path.into(), message: message.into() })
    };
    match learning.remove("epochs").and_then(|v| v.as_integer()) {
        Some(epochs) if epochs >= 1 => course.epochs = epochs as usize,
        _ => return Err(wrong("learning.epochs", "it must be a whole number, at least 1")),
    }
    match learning.remove("rest") {
        None => {}
        Some(toml::Value::Boolean(rest)) => course.rest = rest,
        Some(_) => return Err(wrong("learning.rest", "it must be true or false")),
    }
    match learning.remove("learn").as_ref().map(|v| v.as_str().unwrap_or_default()) {
        None | Some("host") => {}
        Some("on-chip") => course.learn = Learn::OnChip,
        Some(_) => return Err(wrong("learning.learn", "it must be \"host\" or \"on-chip\"")),
    }
    Ok(course)
}
