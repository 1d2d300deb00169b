//! SuperSpike as a lesson: raster tasks and the spiking exclusive or, in software. The rule itself is
//! [`spikeloop_models::method::superspike`].
//!
//! An epoch is a trial: once around the raster, or one episode of patterns. Trials follow each other
//! without a gap unless `learning.rest` is set.

mod config;
#[cfg(test)]
mod tests;

pub use config::{Course, Network, SsbmTask, SuperSpikeExperiment, Task};

use crate::lesson::{Figures, Lesson, LessonError, State, Surroundings, Watch};
use crate::picture::{Raster, RasterPanel};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::superspike::{
    EulerNet, SuperSpike, Teacher, TrialOutcome, on_target,
};
use spikeloop_models::task::spiking_xor::XorEpisode;

/// Costs and successes at the end are means over so many last trials.
const LAST: usize = 100;
/// Episodes of the test, numbered from [`TEST`].
const TEST_EPISODES: u64 = 10;
/// Number of the first episode of the test: learning never gets there.
const TEST: u64 = 1 << 32;
/// More neurons than this make a panel of a raster unreadable.
const MOST_SHOWN: usize = 200;

/// What is learned.
enum Material {
    Raster { inputs: SpikeTrains, targets: SpikeTrains, wanted: Vec<(u32, u16)>, tolerance: u32 },
    Xor { episode: XorEpisode },
}

impl Material {
    fn inputs(&self) -> &SpikeTrains {
        match self {
            Self::Raster { inputs, .. } => inputs,
            Self::Xor { episode } => &episode.inputs,
        }
    }

    fn teacher(&self) -> Teacher<'_> {
        match self {
            Self::Raster { targets, .. } => Teacher::Spikes(targets),
            Self::Xor { episode } => Teacher::Windows(&episode.windows),
        }
    }
}

/// See the [module documentation](self).
struct SuperSpikeLesson {
    experiment: SuperSpikeExperiment,
    seed: u64,
    learner: SuperSpike<f32>,
    net: EulerNet<f32>,
    material: Material,
    /// Cost of each trial, and how well it was solved: 0 to 1.
    costs: Vec<f64>,
    solved: Vec<f64>,
    /// The trial that was run last, for the picture.
    shown: TrialOutcome,
}

/// Makes the lesson.
///
/// # Errors
/// What is wrong with the sections or the data.
pub fn open(
    table: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let experiment = SuperSpikeExperiment::parse(table)?;
    let seed = surroundings.seed;
    let material = material(&experiment, seed, surroundings.data)?;
    let outputs = match &material {
        Material::Raster { targets, .. } => targets.units(),
        Material::Xor { .. } => 1,
    };
    let inputs = material.inputs();
    let sizes: Vec<usize> = match experiment.network.hidden {
        0 => vec![inputs.units(), outputs],
        hidden => vec![inputs.units(), hidden, outputs],
    };
    let learner = SuperSpike::new(experiment.rule.clone(), &sizes, seed)?;
    Ok(Box::new(SuperSpikeLesson {
        net: EulerNet::new(&experiment.rule, &sizes),
        experiment,
        seed,
        learner,
        material,
        costs: Vec::new(),
        solved: Vec::new(),
        shown: TrialOutcome::default(),
    }))
}

fn material(
    experiment: &SuperSpikeExperiment,
    seed: u64,
    data: Option<&std::path::Path>,
) -> Result<Material, LessonError> {
    let dt = experiment.rule.dt_ms;
    Ok(match &experiment.task {
        Task::Ssbm(task) => {
            let (inputs, targets) = task.set.load(data, dt)?;
            let steps = 0..targets.steps();
            let wanted = steps
                .flat_map(|t| targets.at(0, t).iter().map(move |id| (t as u32, *id)))
                .collect();
            let tolerance = experiment.rule.steps(task.tolerance_ms) as u32;
            Material::Raster { inputs, targets, wanted, tolerance }
        }
        Task::SpikingXor(task) => Material::Xor { episode: task.episode(dt, seed, 0)? },
    })
}

impl SuperSpikeLesson {
    /// Takes the episode of trial `number`; rasters are always the same.
    fn prepare(&mut self, number: u64) -> Result<(), LessonError> {
        if let (Material::Xor { episode }, Task::SpikingXor(task)) =
            (&mut self.material, &self.experiment.task)
        {
            *episode = task.episode(self.experiment.rule.dt_ms, self.seed, number)?;
        }
        Ok(())
    }

    fn trial(&mut self) -> Result<TrialOutcome, LessonError> {
        if self.experiment.course.rest {
            self.learner.rest();
            self.net.reset();
        }
        let (inputs, teacher) = (self.material.inputs(), self.material.teacher());
        Ok(self.learner.trial(&mut self.net, inputs, teacher)?)
    }

    /// How well a trial was done, 0 to 1.
    fn success(&self, outcome: &TrialOutcome) -> f64 {
        match &self.material {
            Material::Raster { wanted, tolerance, .. } => {
                f64::from(u8::from(on_target(&outcome.spikes, wanted, *tolerance)))
            }
            Material::Xor { episode } => {
                episode.right(&outcome.spikes) as f64 / episode.operands.len() as f64
            }
        }
    }

    fn success_name(&self) -> &'static str {
        match &self.material {
            Material::Raster { .. } => "solved_accuracy",
            Material::Xor { .. } => "pattern_accuracy",
        }
    }
}

fn mean_of_last(values: &[f64], count: usize) -> f64 {
    let last = &values[values.len().saturating_sub(count)..];
    last.iter().sum::<f64>() / last.len().max(1) as f64
}

impl Lesson for SuperSpikeLesson {
    fn unit(&self) -> &'static str {
        "trial"
    }

    fn epochs(&self) -> usize {
        self.experiment.course.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        if !watch.part(0, 1) {
            return Err(LessonError::Interrupted);
        }
        self.prepare(epoch as u64)?;
        let outcome = self.trial()?;
        let success = self.success(&outcome);
        self.costs.push(outcome.cost);
        self.solved.push(success);
        let figures = vec![
            ("cost", outcome.cost),
            ("spikes", outcome.spikes.len() as f64),
            ("hidden_spikes", outcome.hidden_spikes as f64),
            (self.success_name(), success),
        ];
        self.shown = outcome;
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let mut figures = vec![
            ("final_cost", mean_of_last(&self.costs, LAST)),
            ("last100_accuracy", mean_of_last(&self.solved, LAST)),
        ];
        if matches!(self.material, Material::Raster { .. }) {
            let first = self.solved.iter().position(|s| *s == 1.0);
            figures.push(("ever_solved", f64::from(u8::from(first.is_some()))));
            figures.extend(first.map(|first| ("first_solved_trial", (first + 1) as f64)));
        } else {
            self.learner.set_learning(false);
            let mut right = 0.0;
            for k in 0..TEST_EPISODES {
                self.prepare(TEST + k)?;
                let outcome = self.trial()?;
                right += self.success(&outcome);
                self.shown = outcome;
            }
            figures.push(("test_accuracy", right / TEST_EPISODES as f64));
        }
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        let parts = self.learner.state().into_iter().map(|(name, v)| (format!("rule.{name}"), v));
        let neurons = self.net.state().into_iter().map(|(name, v)| (format!("net.{name}"), v));
        let mut names = Vec::new();
        for (name, values) in parts.chain(neurons) {
            names.push(format!("{name}={}", values.len()));
            // An empty array is its length alone.
            if !values.is_empty() {
                state.put(&name, &[values.len()], values);
            }
        }
        state.put_text("arrays", names.join(" "));
        state.put("costs", &[self.costs.len()], self.costs.iter().copied());
        state.put("solved", &[self.solved.len()], self.solved.iter().copied());
        state.put_text("trials", self.costs.len());
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        let wrong = |name: &str| LessonError::State {
            name: name.to_owned(),
            problem: "does not fit this network".into(),
        };
        for entry in state.text::<String>("arrays")?.split(' ') {
            let (name, len) = entry.split_once('=').ok_or_else(|| wrong(entry))?;
            let len: usize = len.parse().map_err(|_| wrong(entry))?;
            let values: Vec<f64> = if len == 0 { Vec::new() } else { state.array(name, &[len])? };
            match name.split_once('.') {
                Some(("rule", name)) => self.learner.restore(name, &values)?,
                Some(("net", name)) if self.net.restore(name, &values) => {}
                _ => return Err(wrong(name)),
            }
        }
        let trials: usize = state.text("trials")?;
        self.costs = state.array("costs", &[trials])?;
        self.solved = state.array("solved", &[trials])?;
        Ok(())
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        let dt_us = self.experiment.rule.dt_ms * 1e3;
        let panel = |name: &str, units: usize, spikes: Vec<(u32, u16)>| RasterPanel {
            name: name.into(),
            units: units.min(MOST_SHOWN),
            spikes: spikes
                .iter()
                .map(|(t, id)| ((f64::from(*t) * dt_us) as f32, u32::from(*id)))
                .collect(),
        };
        let events = |trains: &SpikeTrains| {
            let steps = 0..trains.steps();
            steps
                .flat_map(|t| trains.at(0, t).iter().map(move |id| (t as u32, *id)))
                .collect::<Vec<_>>()
        };
        let inputs = self.material.inputs();
        let mut panels = vec![panel("input", inputs.units(), events(inputs))];
        let outputs = match &self.material {
            Material::Raster { targets, wanted, .. } => {
                panels.push(panel("target", targets.units(), wanted.clone()));
                targets.units()
            }
            Material::Xor { .. } => 1,
        };
        panels.push(panel("output", outputs, self.shown.spikes.clone()));
        let duration_us = inputs.steps() as f64 * dt_us;
        let raster = Raster { title: "The last trial".into(), duration_us, panels };
        let picture = raster.draw();
        vec![("The last trial", crate::report::figure("Times are those of the model.", &picture))]
    }

    fn config(&self) -> toml::Table {
        self.experiment.table()
    }
}
