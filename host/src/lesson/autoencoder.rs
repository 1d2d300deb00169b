//! A spiking auto-encoder: a bump of activity on a ring through a bottleneck of few neurons, taught by
//! [SuperSpike](spikeloop_models::method::superspike) to appear again at the output, 10 ms later.
//!
//! 100 inputs, 8 hidden neurons, 100 outputs; every pattern has a centre of its own and begins at rest
//! ([`spikeloop_models::task::ring`]). What the output says is read by the population vector of its spikes. With
//! `task.code = "uniform"` there is no centre and nothing to compress: the control. There is no published reference.
//!
//! An epoch is a number of new patterns; those of the test are others. A cost is the squared distance of van Rossum
//! (2001) with SuperSpike's kernel, in missing spikes a neuron. It is compared with the cost of the same network
//! before learning and with that of silence.

mod picture;
#[cfg(test)]
mod tests;

use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, parse, table};
use serde::{Deserialize, Serialize};
use spikeloop_models::method::superspike::{
    Activity, EulerNet, SuperSpike, SuperSpikeConfig, Teacher, TrialOutcome,
};
use spikeloop_models::task::ring::{Bump, Ring, RingCode};

/// Patterns of the test.
const TEST_PATTERNS: u64 = 200;
/// Number of the first of them: learning never gets there.
const TEST: u64 = 1 << 32;
/// Keys of `[learning]` that are not the rule's.
const COURSE: [&str; 2] = ["epochs", "patterns"];

/// `[network]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    /// Neurons of the bottleneck.
    hidden: usize,
}

/// How long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Course {
    epochs: usize,
    /// Patterns of an epoch.
    patterns: usize,
}

/// An experiment.
#[derive(Clone, Debug, PartialEq)]
struct Experiment {
    /// `[task]`.
    ring: Ring,
    network: Network,
    course: Course,
    rule: SuperSpikeConfig,
}

/// The sections without the course.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sections {
    #[serde(default)]
    task: Ring,
    network: Network,
    #[serde(default)]
    learning: SuperSpikeConfig,
}

/// The course in its place, so that a mistake is named with its whole key.
#[derive(Deserialize)]
struct CourseSection {
    learning: Course,
}

impl Experiment {
    fn parse(mut table: toml::Table) -> Result<Self, LessonError> {
        let mut own = toml::Table::new();
        if let Some(learning) = table.get_mut("learning").and_then(toml::Value::as_table_mut) {
            own.extend(COURSE.iter().filter_map(|key| learning.remove_entry(*key)));
        }
        let own = toml::Table::from_iter([("learning".to_owned(), toml::Value::Table(own))]);
        let course = parse::<CourseSection>(own)?.learning;
        let Sections { task: ring, network, learning: rule } = parse(table)?;
        let experiment = Self { ring, network, course, rule };
        experiment.check()?;
        Ok(experiment)
    }

    fn check(&self) -> Result<(), LessonError> {
        self.rule.check()?;
        self.ring.check()?;
        let hidden = self.network.hidden;
        if !(1..=4096).contains(&hidden) {
            let (key, got) = ("network.hidden", hidden.to_string());
            return Err(LessonError::Value { key, got, must: "between 1 and 4096" });
        }
        let course =
            [("learning.epochs", self.course.epochs), ("learning.patterns", self.course.patterns)];
        match course.into_iter().find(|(_, got)| *got == 0) {
            Some((key, _)) => Err(LessonError::Value { key, got: "0".into(), must: "at least 1" }),
            None => Ok(()),
        }
    }

    /// Whether there is something to decode.
    fn has_centres(&self) -> bool {
        self.ring.code != RingCode::Uniform
    }

    /// The sections with everything filled in.
    fn table(&self) -> toml::Table {
        let (task, network, learning) = (self.ring, self.network, self.rule.clone());
        let mut all = table(&Sections { task, network, learning });
        if let Some(learning) = all.get_mut("learning").and_then(toml::Value::as_table_mut) {
            learning.extend(table(&self.course));
        }
        all
    }
}

/// What a network did with a pattern.
#[derive(Clone, Debug, Default)]
struct Response {
    outcome: TrialOutcome,
    /// Spikes of the bottleneck: step and neuron.
    hidden: Vec<(u32, u16)>,
    /// Place on the ring that the output spikes tell.
    decoded: Option<f64>,
}

/// A network of neurons and their rule.
struct Coder {
    ring: Ring,
    learner: SuperSpike<f32>,
    net: EulerNet<f32>,
    activity: Activity<f32>,
}

impl Coder {
    fn new(experiment: &Experiment, seed: u64) -> Result<Self, LessonError> {
        let ring = experiment.ring;
        let sizes = [ring.units, experiment.network.hidden, ring.units];
        Ok(Self {
            ring,
            learner: SuperSpike::new(experiment.rule.clone(), &sizes, seed)?,
            net: EulerNet::new(&experiment.rule, &sizes),
            activity: Activity::new(&sizes),
        })
    }

    /// Takes all weights away: it never spikes.
    fn silenced(mut self) -> Self {
        for layer in 0..self.learner.layers().len() {
            if let Some(synapses) = self.learner.layer_mut(layer) {
                (0..synapses.sources()).for_each(|source| synapses.row_mut(source).fill(0.0));
            }
        }
        self
    }

    /// One pattern, from rest.
    fn present(&mut self, bump: &Bump) -> Response {
        let Self { ring, learner, net, activity } = self;
        learner.rest();
        net.reset();
        let teacher = Teacher::Spikes(&bump.targets);
        let mut response =
            Response { outcome: learner.begin_trial(teacher), ..Response::default() };
        for step in 0..bump.inputs.steps() {
            net.step(learner.layers(), bump.inputs.at(0, step), activity);
            response.hidden.extend(activity.spikes[0].iter().map(|id| (step as u32, *id)));
            learner.judged(activity, teacher, step, &mut response.outcome);
        }
        learner.end_trial(&mut response.outcome);
        response.decoded = ring.decode(response.outcome.spikes.iter().map(|spike| spike.1));
        response
    }

    /// How far the decoded centre is off, in neurons. Without one: what a guess is off, on average.
    fn error(&self, bump: &Bump, decoded: Option<f64>) -> f64 {
        decoded.map_or(self.ring.units as f64 / 4.0, |c| self.ring.distance(c, bump.centre))
    }
}

/// Means over patterns.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Means {
    patterns: f64,
    cost: f64,
    error: f64,
    undecoded: f64,
    hidden: f64,
    output: f64,
}

impl Means {
    fn add(&mut self, coder: &Coder, bump: &Bump, response: &Response) {
        self.patterns += 1.0;
        self.cost += response.outcome.cost;
        self.error += coder.error(bump, response.decoded);
        self.undecoded += f64::from(u8::from(response.decoded.is_none()));
        self.hidden += response.hidden.len() as f64;
        self.output += response.outcome.spikes.len() as f64;
    }

    fn of(&self, sum: f64) -> f64 {
        sum / self.patterns.max(1.0)
    }
}

/// See the [module documentation](self).
struct AutoencoderLesson {
    experiment: Experiment,
    seed: u64,
    coder: Coder,
    /// The test, once it was made.
    tested: Vec<(Bump, Response)>,
}

/// Makes the lesson.
///
/// # Errors
/// What is wrong with the sections.
pub(super) fn open(
    sections: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let experiment = Experiment::parse(sections)?;
    let seed = surroundings.seed;
    // A step that is longer than a pattern is refused here.
    experiment.ring.draw(seed, TEST, experiment.rule.dt_ms)?;
    let coder = Coder::new(&experiment, seed)?;
    Ok(Box::new(AutoencoderLesson { experiment, seed, coder, tested: Vec::new() }))
}

impl AutoencoderLesson {
    fn pattern(&self, number: u64) -> Result<Bump, LessonError> {
        Ok(self.experiment.ring.draw(self.seed, number, self.experiment.rule.dt_ms)?)
    }

    /// What a network makes of the patterns of the test; it does not learn from them.
    fn test(
        &self,
        coder: &mut Coder,
        mut each: impl FnMut(Bump, Response),
    ) -> Result<Means, LessonError> {
        coder.learner.set_learning(false);
        let mut means = Means::default();
        for number in TEST..TEST + TEST_PATTERNS {
            let bump = self.pattern(number)?;
            let response = coder.present(&bump);
            means.add(coder, &bump, &response);
            each(bump, response);
        }
        coder.learner.set_learning(true);
        Ok(means)
    }

    /// Mean error of the population vector of the input spikes themselves.
    fn input_error(&self) -> f64 {
        let errors = self.tested.iter().map(|(bump, _)| {
            let inputs = (0..bump.inputs.steps()).flat_map(|t| bump.inputs.at(0, t)).copied();
            self.coder.error(bump, self.experiment.ring.decode(inputs))
        });
        errors.sum::<f64>() / self.tested.len().max(1) as f64
    }
}

impl Lesson for AutoencoderLesson {
    fn epochs(&self) -> usize {
        self.experiment.course.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        let patterns = self.experiment.course.patterns;
        let mut means = Means::default();
        for done in 0..patterns {
            if !watch.part(done, patterns) {
                return Err(LessonError::Interrupted);
            }
            let bump = self.pattern((epoch * patterns + done) as u64)?;
            let response = self.coder.present(&bump);
            means.add(&self.coder, &bump, &response);
        }
        let mut figures = vec![("cost", means.of(means.cost))];
        if self.experiment.has_centres() {
            figures.push(("centre_error", means.of(means.error)));
        }
        figures.push(("hidden_spikes", means.of(means.hidden)));
        figures.push(("output_spikes", means.of(means.output)));
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let mut tested = Vec::new();
        // A copy is tested: the clock of the one that learns stands still.
        let mut copy = Coder::new(&self.experiment, self.seed)?;
        copy.learner = self.coder.learner.clone();
        let means = self.test(&mut copy, |bump, response| tested.push((bump, response)))?;
        let mut fresh = Coder::new(&self.experiment, self.seed)?;
        let untrained = self.test(&mut fresh, |_, _| {})?;
        let silence = self.test(&mut fresh.silenced(), |_, _| {})?;
        self.tested = tested;
        let (cost, before) = (means.of(means.cost), untrained.of(untrained.cost));
        let mut figures = vec![
            ("test_cost", cost),
            ("untrained_cost", before),
            ("silent_cost", silence.of(silence.cost)),
        ];
        // No cost at all before learning: nothing was asked for.
        if before > 0.0 {
            figures.push(("relative_cost", cost / before));
        }
        if self.experiment.has_centres() {
            figures.push(("centre_error", means.of(means.error)));
            figures.push(("untrained_centre_error", untrained.of(untrained.error)));
            figures.push(("input_centre_error", self.input_error()));
            figures.push(("no_centre_share", means.of(means.undecoded)));
        }
        figures.push(("hidden_spikes", means.of(means.hidden)));
        figures.push(("output_spikes", means.of(means.output)));
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        for (name, values) in self.coder.learner.state() {
            state.put(&name, &[values.len()], values);
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        for (name, values) in self.coder.learner.state() {
            let kept: Vec<f64> = state.array(&name, &[values.len()])?;
            self.coder.learner.restore(&name, &kept)?;
        }
        Ok(())
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        picture::all(&self.experiment, &self.tested)
    }

    fn config(&self) -> toml::Table {
        self.experiment.table()
    }
}
