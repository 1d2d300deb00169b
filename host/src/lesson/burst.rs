//! Burst-based credit assignment: a network of rates learns to follow targets that it is rarely shown
//! ([`spikeloop_models::method::burst`]).

use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, order, parse, table};
use crate::picture::{LineChart, Series};
use crate::report::{figure, row};
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use spikeloop_models::method::burst::{Burst, BurstConfig};
use spikeloop_models::task::sequence::Sequence;
use spikeloop_models::task::sinusoid::Sinusoids;
use spikeloop_models::task::xor_classes::{XorClasses, XorTask};

/// Steps of a sequence that a picture shows at most.
const SHOWN: usize = 1000;

/// The sections of the experiment file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    task: TaskConfig,
    #[serde(default)]
    learning: BurstConfig,
}

/// Which sequences.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum TaskConfig {
    /// One sequence of sums of sinusoids; tested on itself, without the teacher.
    Sinusoids(Sinusoids),
    /// Classes of sequences with targets that are the exclusive or of two inputs.
    XorClasses(XorClasses),
}

/// The sequences, made or ready to be made.
enum Task {
    Sinusoids(Sequence<f32>),
    XorClasses(Box<XorTask<f32>>),
}

impl Task {
    /// Number of sequences to learn and to test.
    fn counts(&self) -> (usize, usize) {
        match self {
            Self::Sinusoids(_) => (1, 1),
            Self::XorClasses(task) => {
                let sizes = task.sizes();
                (sizes.classes * sizes.train, sizes.classes * sizes.test)
            }
        }
    }

    /// Writes a sequence to learn into `out`.
    fn train(&self, index: usize, out: &mut Sequence<f32>) {
        match self {
            Self::Sinusoids(sequence) => out.clone_from(sequence),
            Self::XorClasses(task) => {
                let of = task.sizes().train;
                task.example(index / of, index % of, out);
            }
        }
    }

    /// Writes a sequence to test with into `out`.
    fn test(&self, index: usize, out: &mut Sequence<f32>) {
        match self {
            Self::Sinusoids(sequence) => out.clone_from(sequence),
            Self::XorClasses(task) => {
                let sizes = task.sizes();
                task.example(index / sizes.test, sizes.train + index % sizes.test, out);
            }
        }
    }
}

/// What is shown of the test.
struct Shown {
    targets: Array2<f32>,
    outputs: Array2<f32>,
    generated: Array2<f32>,
}

struct BurstLesson {
    config: Config,
    seed: u64,
    task: Task,
    net: Burst<f32>,
    sequence: Sequence<f32>,
    shown: Option<Shown>,
}

/// Opens the lesson.
///
/// # Errors
/// Keys or values that cannot be used.
pub(super) fn open(
    sections: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let config: Config = parse(sections)?;
    let seed = surroundings.seed;
    let (task, steps, inputs, outputs) = match config.task {
        TaskConfig::Sinusoids(sizes) => {
            (Task::Sinusoids(sizes.draw(seed)?), sizes.steps, sizes.inputs, sizes.outputs)
        }
        TaskConfig::XorClasses(sizes) => {
            let task = Task::XorClasses(Box::new(XorTask::new(sizes, seed)?));
            (task, sizes.steps, sizes.inputs, sizes.outputs)
        }
    };
    let net = Burst::new(config.learning, inputs, outputs, seed)?;
    let sequence = Sequence::zeros(steps, inputs, outputs);
    Ok(Box::new(BurstLesson { config, seed, task, net, sequence, shown: None }))
}

impl Lesson for BurstLesson {
    fn epochs(&self) -> usize {
        self.config.learning.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        let (count, _) = self.task.counts();
        let (mut squared, mut taught, mut absolute) = (0.0, 0, 0.0);
        for (done, index) in order(count, self.seed, epoch).into_iter().enumerate() {
            if !watch.part(done, count) {
                return Err(LessonError::Interrupted);
            }
            self.task.train(index, &mut self.sequence);
            let errors = self.net.learn(&self.sequence)?;
            if errors.taught > 0 {
                squared += errors.taught_squared * errors.taught as f64;
                taught += errors.taught;
            }
            absolute += errors.absolute / count as f64;
        }
        let mut figures = vec![("mean_error", absolute)];
        if taught > 0 {
            figures.push(("taught_squared_error", squared / taught as f64));
        }
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let (_, count) = self.task.counts();
        let (mut error, mut generated) = (0.0, 0.0);
        for index in 0..count {
            self.task.test(index, &mut self.sequence);
            let mut outputs = Array2::zeros(self.sequence.targets.dim());
            let mut dream = outputs.clone();
            // Two copies: a resumed run must find the state of its last learned step.
            let half = self.sequence.steps() / 2;
            let mut net = self.net.clone();
            error += net.run(&self.sequence, None, Some(&mut outputs))?.absolute;
            let mut net = self.net.clone();
            generated += net.run(&self.sequence, Some(half), Some(&mut dream))?.absolute;
            if index == 0 {
                let targets = self.sequence.targets.clone();
                self.shown = Some(Shown { targets, outputs, generated: dream });
            }
        }
        let count = count as f64;
        Ok(vec![("test_error", error / count), ("generated_error", generated / count)])
    }

    fn save(&self, state: &mut State) {
        state.put_text("burst.steps", self.net.steps());
        for (name, shape, values) in self.net.state() {
            state.put(name, &shape, values);
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        let mut arrays = Vec::new();
        for (name, shape, _) in self.net.state() {
            arrays.push((name, state.array::<f32>(name, &shape)?));
        }
        let steps = state.text("burst.steps")?;
        let get = |name: &str| arrays.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_slice());
        Ok(self.net.restore(steps, get)?)
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        let Some(shown) = &self.shown else { return Vec::new() };
        vec![
            ("Targets and outputs, no teacher", charts(&shown.targets, &shown.outputs, 0)),
            (
                "The feedback alone drives the network",
                charts(&shown.targets, &shown.generated, shown.targets.nrows() / 2),
            ),
        ]
    }

    fn config(&self) -> toml::Table {
        table(&self.config)
    }
}

/// A chart an output: its target and what it did, from step `from` on.
fn charts(targets: &Array2<f32>, outputs: &Array2<f32>, from: usize) -> String {
    let steps = from..targets.nrows().min(from + SHOWN);
    let figures = (0..targets.ncols()).map(|output| {
        let curve = |name: &str, values: &Array2<f32>| Series {
            name: name.to_owned(),
            points: steps
                .clone()
                .step_by(2)
                .map(|t| (t as f64, f64::from(values[[t, output]])))
                .collect(),
            ..Series::default()
        };
        let caption = format!("output {output}");
        let chart = LineChart {
            title: format!("target and rate of output {output}"),
            x_label: "step".into(),
            y_label: "rate".into(),
            series: vec![curve("target", targets), curve("output", outputs)],
            y_range: None,
            compact: true,
        };
        figure(&caption, &chart.draw())
    });
    row(&figures.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::testing::{Always, open_shipped};

    const SMALL: [&str; 5] = [
        "task.inputs=20",
        "task.outputs=2",
        "task.steps=100",
        "learning.hidden=10",
        "learning.epochs=3",
    ];

    #[test]
    fn both_tasks_run_and_go_on_after_a_restore() {
        for name in ["burst-sinusoid", "burst-xor"] {
            let mut set = SMALL.to_vec();
            if name == "burst-xor" {
                set.extend(["task.classes=2", "task.train=2"]);
            }
            let mut lesson = open_shipped(name, &set).unwrap();
            assert_eq!(lesson.epochs(), 3);
            lesson.epoch(0, &Always).unwrap();
            let mut state = State::default();
            lesson.save(&mut state);
            let mut other = open_shipped(name, &set).unwrap();
            other.restore(&state).unwrap();
            assert_eq!(lesson.epoch(1, &Always).unwrap(), other.epoch(1, &Always).unwrap());
            let figures = other.finish().unwrap();
            assert_eq!(figures, lesson.finish().unwrap());
            assert!(figures[0].1 > 0.0 && figures[0].1 < 0.7, "{figures:?}");
            let pictures = lesson.pictures();
            assert!(pictures.len() == 2 && pictures[0].1.contains("target and rate of output 1"));
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        let wrong = open_shipped("burst-sinusoid", &["learning.hiden=3"]).err().unwrap();
        assert!(wrong.to_string().contains("hiden"), "{wrong}");
        let wrong = open_shipped("burst-xor", &["task.inputs=1"]).err().unwrap();
        assert!(wrong.to_string().contains("task.inputs"), "{wrong}");
    }
}
