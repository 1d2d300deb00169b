//! `rates` and `translation`: integrate-and-fire units that are fed constant currents, learned as rectified units.
//!
//! With `rates` the spiking network runs forward while it learns, with `translation` rectified units do, and thresholds are
//! balanced on training samples at the end ([`spikeloop_models::method::rate`], [`spikeloop_models::method::translation`]).

use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, parse, table};
use crate::data::{self, DataSpec, Dataset};
use crate::picture::{Layer, Mark, Plot};
use crate::report::{figure, row};
use crate::study::StudyError;
use crate::study::rates::{BySteps, RateLearner, RateSettings, RateSpec};
use crate::trainer::TrainError;
use serde::{Deserialize, Serialize};
use spikeloop_models::method::rate::Rates;
use spikeloop_models::method::translation::Balance;
use spikeloop_models::optim::{Rule, Schedule};

/// The experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    #[serde(default = "one")]
    seed: u64,
    task: DataSpec,
    network: NetworkConfig,
    learning: Learning,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkConfig {
    /// Units of each hidden layer.
    hidden: Vec<usize>,
    /// Steps of the spiking network.
    steps: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learning {
    method: Name,
    epochs: usize,
    batch: usize,
    #[serde(default = "Rule::adam")]
    optimizer: Rule,
    rate: f64,
    #[serde(default)]
    schedule: Schedule,
    /// Factor between drive and logit.
    #[serde(default = "scale")]
    scale: f64,
    /// Standard deviation of initial weights times √fan_in.
    #[serde(default = "gain")]
    gain: f64,
    /// Balance of the translated thresholds.
    #[serde(default)]
    balance: Balance,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    Rates,
    Translation,
}

fn one() -> u64 {
    1
}

fn scale() -> f64 {
    RateSettings::default().scale
}

fn gain() -> f64 {
    RateSettings::default().gain
}

struct RateLesson {
    config: Config,
    data: Dataset,
    learner: RateLearner,
    by_steps: BySteps,
}

impl Config {
    fn check(&self) -> Result<(), LessonError> {
        let at_least_one = |key, got: usize| match got {
            0 => Err(LessonError::Value { key, got: got.to_string(), must: "at least 1" }),
            _ => Ok(()),
        };
        at_least_one("network.steps", self.network.steps)?;
        at_least_one("learning.batch", self.learning.batch)?;
        at_least_one("network.hidden (number of layers)", self.network.hidden.len())?;
        let positive = |key, got: f64| match got {
            x if x.is_finite() && x > 0.0 => Ok(()),
            _ => Err(LessonError::Value { key, got: got.to_string(), must: "positive" }),
        };
        positive("learning.rate", self.learning.rate)?;
        positive("learning.gain", self.learning.gain)
    }

    fn spec(&self) -> RateSpec {
        let learning = &self.learning;
        RateSpec {
            hidden: self.network.hidden.clone(),
            batch: learning.batch,
            optimizer: learning.optimizer,
            rate: learning.rate,
            schedule: learning.schedule,
            seed: self.seed,
            settings: RateSettings {
                steps: self.network.steps,
                scale: learning.scale,
                gain: learning.gain,
                balance: learning.balance,
            },
            forward: match learning.method {
                Name::Rates => Rates::Spikes,
                Name::Translation => Rates::Analog,
            },
        }
    }
}

/// Opens a lesson.
///
/// # Errors
/// A configuration that makes no sense, a task without simple features.
pub fn open(
    experiment: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let mut config: Config = parse(experiment)?;
    config.seed = surroundings.seed;
    config.check()?;
    let data = data::load_features(&config.task)?;
    let learner = RateLearner::new(config.spec(), &data).map_err(failed)?;
    Ok(Box::new(RateLesson { config, data, learner, by_steps: BySteps::new() }))
}

/// What a study calls the same things.
fn failed(error: StudyError) -> LessonError {
    match error {
        StudyError::Model(e) | StudyError::Train(TrainError::Model(e)) => e.into(),
        StudyError::Data(e) => e.into(),
        StudyError::Interrupted => LessonError::Interrupted,
        // Of networks that the trainer learns, which are not used here.
        StudyError::Train(e) => value("learning", &e),
        StudyError::Experiment(e) => value("experiment", &e),
    }
}

fn value(key: &'static str, error: &dyn std::error::Error) -> LessonError {
    LessonError::Value { key, got: error.to_string(), must: "what the method can learn" }
}

impl Lesson for RateLesson {
    fn epochs(&self) -> usize {
        self.config.learning.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        let of = self.data.train.len().div_ceil(self.config.learning.batch);
        let go_on = |done| watch.part(done, of);
        let (loss, accuracy) = self.learner.epoch(&self.data, epoch, &go_on).map_err(failed)?;
        let mut figures = vec![("loss", loss), ("train_accuracy", accuracy)];
        if let Some(held_out) = &self.data.validation {
            let steps = self.config.network.steps;
            let found = self.learner.evaluate(&self.data, held_out, steps).map_err(failed)?;
            figures.push(("validation_accuracy", found.0));
        }
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let (data, steps) = (&self.data, self.config.network.steps);
        let (accuracy, spikes) = self.learner.evaluate(data, &data.test, steps).map_err(failed)?;
        let mut figures = vec![("test_accuracy", accuracy), ("hidden_spikes_per_sample", spikes)];
        if self.config.learning.method == Name::Translation {
            let analog = self.learner.analog_accuracy(&data.test).map_err(failed)?;
            figures.push(("rectified_units_test_accuracy", analog));
        }
        self.by_steps = self.learner.by_steps(data).map_err(failed)?;
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        for (index, layer) in self.learner.network.layers.iter().enumerate() {
            let (name, weights) = (format!("layers.{index}.weights"), &layer.weights);
            state.put(&name, weights.shape(), weights.iter().copied());
        }
        for (name, values) in self.learner.optimizer.state() {
            state.put(&name, &[values.len()], values.iter().copied());
        }
        state.put_text("optimizer.steps", self.learner.optimizer.steps());
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        for (index, layer) in self.learner.network.layers.iter_mut().enumerate() {
            let shape = layer.weights.shape().to_vec();
            let values = state.array(&format!("layers.{index}.weights"), &shape)?;
            layer.weights.iter_mut().zip(values).for_each(|(w, v)| *w = v);
        }
        let names: Vec<(String, usize)> =
            self.learner.optimizer.state().map(|(name, values)| (name, values.len())).collect();
        let mut kept: Vec<(String, Vec<f32>)> = Vec::new();
        for (name, length) in names {
            let values = state.array(&name, &[length])?;
            kept.push((name, values));
        }
        let get = |name: &str| kept.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice());
        Ok(self.learner.optimizer.restore(state.text("optimizer.steps")?, get)?)
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        let points: Vec<(f64, f64)> =
            self.by_steps.iter().map(|(steps, a)| (*steps as f64, 100.0 * a)).collect();
        let caption = "Test set, spiking network";
        let plot = Plot {
            title: caption.to_owned(),
            x_label: "steps".into(),
            y_label: "accuracy (%)".into(),
            log: (true, false),
            layers: vec![
                Layer::unnamed(0, Mark::Line(points.clone())),
                Layer::unnamed(0, Mark::Dots(points)),
            ],
            ..Plot::default()
        };
        vec![("Accuracy against steps", row(&figure(caption, &plot.draw())))]
    }

    fn config(&self) -> toml::Table {
        table(&self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Quiet;

    impl Watch for Quiet {
        fn part(&self, _done: usize, _of: usize) -> bool {
            true
        }
    }

    fn lesson(method: &str, set: &[&str]) -> Result<Box<dyn Lesson>, LessonError> {
        let mut set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        set.push(format!("learning.method={method}"));
        let small = ["task.train=300", "task.test=100", "network.hidden=[30]", "network.steps=12"];
        set.extend(small.map(str::to_owned));
        let table = crate::config::table("rates", &set).unwrap();
        open(table, Surroundings { seed: 1, data: None, chip: None })
    }

    #[test]
    fn both_learn_and_go_on_with_the_same_bits() {
        for method in ["rates", "translation"] {
            let mut whole = lesson(method, &[]).unwrap();
            let mut state = State::default();
            for epoch in 0..6 {
                if epoch == 3 {
                    whole.save(&mut state);
                }
                whole.epoch(epoch, &Quiet).unwrap();
            }
            let mut resumed = lesson(method, &[]).unwrap();
            resumed.restore(&state).unwrap();
            (3..6).for_each(|epoch| drop(resumed.epoch(epoch, &Quiet).unwrap()));
            let figures = whole.finish().unwrap();
            assert_eq!(figures, resumed.finish().unwrap());
            assert!(figures[0].1 > 0.6, "{method}: {figures:?}");
            assert_eq!(figures.len(), if method == "rates" { 2 } else { 3 });
            assert!(whole.pictures()[0].1.contains("<svg"));
        }
    }

    #[test]
    fn nonsense_is_refused_by_its_key() {
        let wrong = |set: &str| lesson("rates", &[set]).err().unwrap().to_string();
        assert!(wrong("learning.batch=0").contains("learning.batch"));
        assert!(wrong("learning.rate=-1").contains("learning.rate"));
        assert!(wrong("learning.gain=nan").contains("learning.gain"));
        assert!(wrong("task.name=randman").contains("features"));
        assert!(wrong("learning.balance.percentile=0").contains("percentile"));
    }
}
