//! Six answers to the question what the derivative of a spike is, and the surrogate gradient, on the same samples.
//!
//! | answer | while learning | input |
//! |---|---|---|
//! | surrogate | spikes; a surrogate derivative in the backward pass | spike times |
//! | noise, sampled | spikes drawn by their escape probability; straight through | spike times |
//! | noise, expected | the mean activity of neurons with escape noise | spike times |
//! | firing times | times of first spikes without a grid; their exact derivative | spike times |
//! | smooth | a sigmoid in place of spikes, steeper from epoch to epoch | spike times |
//! | local readouts | spikes; every hidden layer is taught by a fixed readout of its own | spike times |
//! | rates | spike counts; the derivative of rectified units | constant currents |
//! | translation | rectified units; translated at the end | constant currents |
//!
//! Each has the hidden layers, batch, schedule and epochs of the experiment, and is worth what its spiking network, without
//! noise or smoothing, decides on the test set. Curves are of held-out samples. All but firing times and local readouts,
//! which have rules of their own, also have its optimizer.

use super::firing::{self, FiringLearner, FiringSettings};
use super::local::{self, LocalLearner, LocalSettings};
use super::rates::{self, BySteps, RateSettings, RateSpec};
use super::{Learned, StudyError, Watch, follow, mean_and_deviation, train};
use crate::config;
use crate::data::{self, DataName, Dataset};
use crate::experiment::{Experiment, MethodName};
use serde::{Deserialize, Serialize};
use spikeloop_models::method::noise::{Estimate, Noise};
use spikeloop_models::method::rate::Rates;
use spikeloop_models::method::smooth::Annealing;

/// A task of the study.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Three classes in a disc.
    Yinyang,
    /// Handwritten digits of 8×8 pixels.
    Digits,
}

impl Task {
    /// Its shipped experiment.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yinyang => "yinyang",
            Self::Digits => "digits",
        }
    }

    /// Samples held out for the curves.
    fn held_out(self) -> usize {
        match self {
            Self::Yinyang => 1000,
            Self::Digits => 200,
        }
    }
}

/// An answer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Surrogate gradient.
    Surrogate,
    /// Escape noise, sampled gradient.
    NoiseSampled,
    /// Escape noise, gradient of the mean activity.
    NoiseExpected,
    /// Times of first spikes.
    FiringTimes,
    /// Smoothed spikes, annealed.
    Smooth,
    /// Hidden units on target, by readouts of their own.
    LocalReadouts,
    /// Rates.
    Rates,
    /// A translated network of rectified units.
    Translation,
}

impl Answer {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Surrogate,
        Self::NoiseSampled,
        Self::NoiseExpected,
        Self::FiringTimes,
        Self::Smooth,
        Self::LocalReadouts,
        Self::Rates,
        Self::Translation,
    ];

    /// As in tables and legends.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Surrogate => "surrogate gradient",
            Self::NoiseSampled => "noise, sampled",
            Self::NoiseExpected => "noise, expected",
            Self::FiringTimes => "firing times",
            Self::Smooth => "smooth, annealed",
            Self::LocalReadouts => "local readouts",
            Self::Rates => "rates",
            Self::Translation => "translation",
        }
    }

    /// What carries the input.
    #[must_use]
    pub fn input(self) -> &'static str {
        match self {
            Self::Rates | Self::Translation => "constant current",
            _ => "spike times",
        }
    }
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Task.
    pub task: Task,
    /// Answer.
    pub answer: Answer,
    /// Seed of weights, order and noise.
    pub seed: u64,
    /// What it came to.
    #[serde(flatten)]
    pub learned: Learned,
    /// Accuracy on the test set against the steps that the network is given, for rates.
    pub by_steps: BySteps,
    /// Accuracy of the rectified units, for translation.
    pub analog_accuracy: Option<f64>,
    /// Seconds that learning took, evaluations included.
    pub seconds: f64,
}

/// What to compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Tasks.
    pub tasks: Vec<Task>,
    /// Answers.
    pub answers: Vec<Answer>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Epochs.
    pub epochs: usize,
    /// Held-out samples are looked at after so many epochs.
    pub every: usize,
    /// Escape noise.
    pub noise: Noise,
    /// Its steepness where the mean activity is sent.
    pub expected_beta: f64,
    /// Smoothing.
    pub smooth: Annealing,
    /// Firing times.
    pub firing: FiringSettings,
    /// Local readouts.
    pub local: LocalSettings,
    /// Rates.
    pub rates: RateSettings,
}

impl Plan {
    /// Number of trainings.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.tasks.len() * self.answers.len() * self.seeds.len()
    }

    /// The experiment of a task, in software, for the surrogate gradient.
    ///
    /// # Errors
    /// Overrides that do not fit.
    pub fn experiment(
        &self,
        task: Task,
        overrides: &[String],
    ) -> Result<Experiment, config::ConfigError> {
        let mut experiment: Experiment = config::load(task.name(), overrides)?;
        experiment.chip = Default::default();
        experiment.learning.epochs = self.epochs;
        experiment.learning.warm_start_epochs = 0;
        if experiment.task.validation == 0 {
            experiment.task.validation = task.held_out();
        }
        Ok(experiment)
    }

    /// Refuses what an answer of the plan cannot do with an experiment.
    ///
    /// # Errors
    /// [`StudyError::Model`] with the key.
    pub fn check(&self, experiment: &Experiment) -> Result<(), StudyError> {
        if self.answers.contains(&Answer::FiringTimes) {
            firing::check(experiment, self.firing)?;
        }
        if self.answers.contains(&Answer::LocalReadouts) {
            local::check(experiment, self.local)?;
        }
        Ok(())
    }

    /// Trains one answer.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn run(
        &self,
        task: Task,
        answer: Answer,
        seed: u64,
        experiment: &Experiment,
        data: &Data,
        watch: &dyn Watch,
    ) -> Result<Cell, StudyError> {
        let started = std::time::Instant::now();
        let experiment = self.experiment_of(answer, seed, experiment);
        let (every, epochs) = (self.every, experiment.learning.epochs);
        let (learned, by_steps, analog_accuracy) = match answer {
            Answer::Rates | Answer::Translation => {
                let forward = if answer == Answer::Rates { Rates::Spikes } else { Rates::Analog };
                let spec = RateSpec::of(&experiment, self.rates, forward);
                rates::learn(spec, epochs, &data.features, every, watch)?
            }
            Answer::FiringTimes => {
                let mut learner = FiringLearner::new(&experiment, self.firing, &data.spikes)?;
                let learned = follow(&mut learner, epochs, &data.spikes, every, watch)?;
                (learned, BySteps::new(), None)
            }
            Answer::LocalReadouts => {
                let mut learner = LocalLearner::new(&experiment, self.local, &data.spikes)?;
                let learned = follow(&mut learner, epochs, &data.spikes, every, watch)?;
                (learned, BySteps::new(), None)
            }
            _ => (train(&experiment, &data.spikes, every, watch)?, BySteps::new(), None),
        };
        let seconds = started.elapsed().as_secs_f64();
        Ok(Cell { task, answer, seed, learned, by_steps, analog_accuracy, seconds })
    }

    /// The experiment with the seed and, for the trainer, the method of an answer.
    fn experiment_of(&self, answer: Answer, seed: u64, experiment: &Experiment) -> Experiment {
        let mut experiment = Experiment { seed, ..experiment.clone() };
        let learning = &mut experiment.learning;
        let noise = |estimate, draws| Some(Noise { estimate, draws, ..self.noise });
        match answer {
            Answer::NoiseSampled => {
                learning.method = MethodName::EscapeNoise;
                learning.noise = noise(Estimate::Sampled, self.noise.draws);
            }
            Answer::NoiseExpected => {
                learning.method = MethodName::EscapeNoise;
                let beta = self.expected_beta;
                learning.noise = noise(Estimate::Expected, 1).map(|noise| Noise { beta, ..noise });
            }
            Answer::Smooth => {
                learning.method = MethodName::SmoothSpikes;
                learning.smooth = Some(self.smooth);
            }
            _ => {}
        }
        experiment
    }
}

/// The samples of a task in both codes.
pub struct Data {
    /// Spike times.
    pub spikes: Dataset,
    /// Features.
    pub features: Dataset,
}

impl Data {
    /// Loads the samples of an experiment; none of the tasks needs files.
    ///
    /// # Errors
    /// [`StudyError::Data`].
    pub fn load(experiment: &Experiment) -> Result<Self, StudyError> {
        debug_assert!(matches!(experiment.task.name, DataName::Yinyang | DataName::Digits));
        let spikes = data::load(&experiment.task, None)?;
        Ok(Self { spikes, features: data::load_features(&experiment.task)? })
    }
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Task.
    pub task: Task,
    /// Answer.
    pub answer: Answer,
    /// Number of seeds.
    pub seeds: usize,
    /// Mean test accuracy.
    pub test_accuracy: f64,
    /// Its standard deviation over seeds.
    pub deviation: f64,
    /// Mean hidden spikes a sample.
    pub hidden_spikes: f64,
    /// Mean seconds of a training.
    pub seconds: f64,
}

/// One row for each task and answer that has cells.
#[must_use]
pub fn rows(cells: &[Cell]) -> Vec<Row> {
    let mut keys: Vec<(Task, Answer)> = cells.iter().map(|c| (c.task, c.answer)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .map(|(task, answer)| {
            let of: Vec<&Cell> =
                cells.iter().filter(|c| (c.task, c.answer) == (task, answer)).collect();
            let mean = |f: fn(&Cell) -> f64| {
                mean_and_deviation(&of.iter().map(|c| f(c)).collect::<Vec<_>>())
            };
            let (test_accuracy, deviation) = mean(|c| c.learned.test_accuracy);
            Row {
                task,
                answer,
                seeds: of.len(),
                test_accuracy,
                deviation,
                hidden_spikes: mean(|c| c.learned.hidden_spikes).0,
                seconds: mean(|c| c.seconds).0,
            }
        })
        .collect()
}
