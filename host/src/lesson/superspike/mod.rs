//! SuperSpike as a lesson: raster tasks and the spiking exclusive or, in software, with a chip that runs
//! the trials, or learning in the device. The rule itself is [`spikeloop_models::method::superspike`].
//!
//! An epoch is a trial: once around the raster, or one episode of patterns. In software trials follow
//! each other without a gap unless `learning.rest` is set; on a chip every trial begins at rest.

mod chip;
mod config;
#[cfg(test)]
mod tests;

pub use config::{ChipSection, Course, Learn, Network, SsbmTask, SuperSpikeExperiment, Task};

use crate::lesson::plastic::cannot_go_on;
use crate::lesson::{Figures, Lesson, LessonError, State, Surroundings, Watch};
use crate::picture::{Raster, RasterPanel};
use chip::Board;
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::superspike::{
    Activity, EulerNet, Feedback, SuperSpike, Teacher, TrialOutcome, on_target,
};
use spikeloop_models::task::spiking_xor::XorEpisode;
use spikeloop_models::van_rossum::distance;

/// As in `learning.method`.
pub const NAME: &str = "superspike";
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
    board: Option<Board>,
    material: Material,
    activity: Activity<f32>,
    /// Cost of each trial, and how well it was solved: 0 to 1.
    costs: Vec<f64>,
    solved: Vec<f64>,
    /// The trial that was run last, for the picture.
    shown: TrialOutcome,
    /// Trials between two updates.
    block: usize,
}

/// Makes the lesson.
///
/// # Errors
/// What is wrong with the sections, the data or the chip.
pub fn open(
    table: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let mut experiment = SuperSpikeExperiment::parse(table)?;
    let seed = surroundings.seed;
    if surroundings.chip.is_some() {
        // Spikes are counted from the start of a trial on the chip: lines have no delay of their own.
        experiment.rule.input_delay_ms = 0.0;
        experiment.course.rest = true;
    }
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
    let steps = experiment.rule.steps(experiment.rule.block_ms).max(1);
    let block = steps / inputs.steps();
    let mut board = surroundings
        .chip
        .map(|device| Board::new(device.chip, &experiment, &sizes, inputs.steps()))
        .transpose()?;
    if experiment.course.learn == Learn::OnChip {
        on_chip_fits(&experiment, steps, inputs.steps())?;
        let Some(board) = &mut board else {
            return Err(LessonError::Value {
                key: "learning.learn",
                got: "on-chip".into(),
                must: "\"host\" without a chip: name one that learns with --chip",
            });
        };
        board.write(&learner)?;
        board.teach(&experiment, &learner, steps)?;
    }
    let mut lesson = SuperSpikeLesson {
        net: EulerNet::new(&experiment.rule, &sizes),
        activity: Activity::new(&sizes),
        experiment,
        seed,
        learner,
        board,
        material,
        costs: Vec::new(),
        solved: Vec::new(),
        shown: TrialOutcome::default(),
        block,
    };
    if lesson.on_chip() {
        // The device has the weights; the learner here only measures costs.
        lesson.learner.set_learning(false);
    }
    Ok(Box::new(lesson))
}

/// What integers in a device cannot do is refused before the first trial.
fn on_chip_fits(
    experiment: &SuperSpikeExperiment,
    block: usize,
    trial: usize,
) -> Result<(), LessonError> {
    let rule = &experiment.rule;
    let refuse = |key, got: String, must| Err(LessonError::Value { key, got, must });
    if rule.feedback == Feedback::Symmetric && experiment.network.hidden > 0 {
        let must = "\"random\" or \"uniform\" to learn in the device: its feedback is fixed";
        return refuse("learning.feedback", "symmetric".into(), must);
    }
    if rule.rho > 0.0 {
        let must = "0 to learn in the device, which has no such regulariser";
        return refuse("learning.rho", rule.rho.to_string(), must);
    }
    if !rule.straight_through || rule.sigma_at_spikes || !rule.rate_drops_s.is_empty() {
        let must = "left at straight-through = true, sigma-at-spikes = false and no rate-drops-s to \
                    learn in the device";
        return refuse("learning", "another rule".into(), must);
    }
    if !block.is_multiple_of(trial) {
        let must = "a whole number of trials to learn in the device";
        return refuse("learning.block-ms", rule.block_ms.to_string(), must);
    }
    Ok(())
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
    fn on_chip(&self) -> bool {
        self.experiment.course.learn == Learn::OnChip
    }

    /// Takes the episode of trial `number`; rasters are always the same.
    fn prepare(&mut self, number: u64) -> Result<(), LessonError> {
        if let (Material::Xor { episode }, Task::SpikingXor(task)) =
            (&mut self.material, &self.experiment.task)
        {
            *episode = task.episode(self.experiment.rule.dt_ms, self.seed, number)?;
        }
        Ok(())
    }

    /// One trial; on the chip if there is one.
    fn trial(&mut self, correct: bool, update: bool) -> Result<TrialOutcome, LessonError> {
        if self.experiment.course.rest {
            self.learner.rest();
            self.net.reset();
        }
        let (inputs, teacher) = (self.material.inputs(), self.material.teacher());
        let Some(board) = &mut self.board else {
            return Ok(self.learner.trial(&mut self.net, inputs, teacher)?);
        };
        if self.experiment.course.learn == Learn::Host {
            board.write(&self.learner)?;
        }
        board.run(inputs)?;
        let mut outcome = self.learner.begin_trial(teacher);
        let (mut next, mut history, mut errors) = (0, board.history(), Vec::new());
        for step in 0..inputs.steps() {
            board.activity(inputs, step, &mut next, &mut self.activity, &mut history);
            self.learner.judged(&mut self.activity, teacher, step, &mut outcome);
            let found = self.activity.errors.iter();
            errors.extend(found.map(|(id, sign)| (step as u32, *id, *sign < 0.0)));
        }
        self.learner.end_trial(&mut outcome);
        if correct && self.experiment.course.learn == Learn::OnChip {
            board.correct(&errors, update)?;
        }
        Ok(outcome)
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

    /// How far the spikes of a trial are from those that are wanted: half a unit for each that is missing
    /// or too many, less for one that comes near. Sum over the outputs; nothing for windows.
    fn distance(&self, outcome: &TrialOutcome) -> Option<f64> {
        let Material::Raster { targets, wanted, .. } = &self.material else { return None };
        let rule = &self.experiment.rule;
        let times = |spikes: &[(u32, u16)]| {
            let mut times = vec![Vec::new(); targets.units()];
            for (step, id) in spikes {
                times[usize::from(*id)].push(f64::from(*step) * rule.dt_ms);
            }
            times
        };
        let pairs = times(&outcome.spikes).into_iter().zip(times(wanted));
        Some(pairs.map(|(found, wanted)| distance(&found, &wanted, rule.tau_mem_ms)).sum())
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
        let update = (epoch + 1).is_multiple_of(self.block.max(1));
        let outcome = self.trial(true, update)?;
        let success = self.success(&outcome);
        self.costs.push(outcome.cost);
        self.solved.push(success);
        let mut figures = vec![
            ("cost", outcome.cost),
            ("spikes", outcome.spikes.len() as f64),
            ("hidden_spikes", outcome.hidden_spikes as f64),
            (self.success_name(), success),
        ];
        figures.extend(self.distance(&outcome).map(|distance| ("van_rossum_distance", distance)));
        self.shown = outcome;
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        if let Some(board) = &mut self.board {
            board.read_back(&mut self.learner)?;
        }
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
                let outcome = self.trial(false, false)?;
                right += self.success(&outcome);
                self.shown = outcome;
            }
            figures.push(("test_accuracy", right / TEST_EPISODES as f64));
        }
        if let Some(board) = &self.board {
            let (dropped, clipped, stalled) = board.counters();
            figures.push(("dropped_events", dropped as f64));
            figures.push(("clipped_weights", clipped as f64));
            figures.push(("stalled_trials", stalled as f64));
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
        state.put_text("chip_trials", self.board.as_ref().map_or(0, Board::trials));
    }

    fn can_go_on(&self) -> bool {
        !self.on_chip()
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        if self.on_chip() {
            return Err(cannot_go_on(NAME));
        }
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
        if let Some(board) = &mut self.board {
            board.set_trials(state.text("chip_trials")?);
        }
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
