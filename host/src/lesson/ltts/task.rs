//! What a network learns by target spikes: the tasks of Muratore, Capone & Paolucci 2021.

use std::path::Path;

use ndarray::{Array2, concatenate};
use serde::{Deserialize, Serialize};
use spikeloop_models::method::ltts::{LttsNetwork, Pattern, Series, project};
use spikeloop_models::random::stream;
use spikeloop_models::task::temporal_xor;
use spikeloop_models::task::trajectory::{clock, trajectory};

use crate::data::Motion;
use crate::lesson::LessonError;

/// Streams of the seed.
const OUTPUT: u64 = 1;
const INPUT: u64 = 2;
const TEACHER: u64 = 3;

/// Which task. Standard deviations are those of the random projections of teacher and input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Task {
    /// Sums of four harmonics, paced by a clock.
    Trajectory(Trajectory),
    /// The XOR of two pulse lengths.
    TemporalXor(Xor),
    /// Joint angles of a walk, paced by a clock.
    Walking(Walking),
}

/// Constants of the trajectory. Defaults as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Trajectory {
    /// Bins.
    pub steps: usize,
    /// Channels of the output.
    pub channels: usize,
    /// Windows of the clock.
    pub windows: usize,
    /// Of the teacher.
    pub sigma_teach: f64,
    /// Of the clock.
    pub sigma_clock: f64,
    /// Runs at each strength of input noise after learning; 0 for none.
    pub noise_runs: usize,
}

impl Default for Trajectory {
    fn default() -> Self {
        let (sigma_teach, sigma_clock) = (2.0, 4.0);
        Self { steps: 1000, channels: 3, windows: 5, sigma_teach, sigma_clock, noise_runs: 5 }
    }
}

/// Constants of the temporal XOR. Defaults as published, but for the patterns learned: there the
/// first three.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Xor {
    /// Patterns that are learned: bits `00, 01, 10, 11` are 0 to 3.
    pub learned: Vec<usize>,
    /// Of the teacher.
    pub sigma_teach: f64,
    /// Of the input.
    pub sigma_input: f64,
}

impl Default for Xor {
    fn default() -> Self {
        Self { learned: vec![0, 1, 2, 3], sigma_teach: 6.0, sigma_input: 3.0 }
    }
}

/// Constants of the walk (proposal; the authors' are not published).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Walking {
    /// Name of the recording, without `.amc`.
    pub recording: String,
    /// First frame that is learned.
    pub first: usize,
    /// Frames that are learned, one a bin (published: 150).
    pub steps: usize,
    /// How often the clock goes round in the long run after learning (published: 4, 600 bins).
    pub rounds: usize,
    /// Windows of the clock.
    pub windows: usize,
    /// Of the teacher.
    pub sigma_teach: f64,
    /// Of the clock.
    pub sigma_clock: f64,
}

impl Default for Walking {
    fn default() -> Self {
        Self {
            recording: "02_01".to_owned(),
            first: 0,
            steps: 150,
            rounds: 4,
            windows: 5,
            sigma_teach: 0.5,
            sigma_clock: 4.0,
        }
    }
}

/// The patterns of a task.
pub(super) struct Patterns {
    /// All, those that are learned first.
    pub all: Vec<Pattern<f32>>,
    /// How many are learned.
    pub learned: usize,
    /// A name for each.
    pub names: Vec<String>,
    /// A longer input than that of pattern 0, for a run after learning.
    pub long: Option<Series<f32>>,
    /// Standard deviation of the projection of the input, which noise is compared with.
    pub sigma_input: f64,
    /// What reaches the neurons as input, for lines of a chip: see [`Input`].
    pub input: Input,
}

/// The input before its projection.
pub(super) struct Input {
    /// `[time, channel]` of each pattern.
    pub signals: Vec<Array2<f64>>,
    /// `[channel, neuron]`.
    pub projection: Array2<f64>,
}

/// How the input reaches the neurons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As a current, as published.
    Current,
    /// Through synapses, as the spikes of lines do: filtered with their time constant.
    Synapses,
}

impl Task {
    /// Draws the projections from `seed` and makes the target spikes. The first `excluded` bins of
    /// paced outputs are 0.
    ///
    /// # Errors
    /// [`LessonError::Value`] for a wrong constant, [`LessonError::Data`], [`LessonError::Model`].
    pub(super) fn patterns(
        &self,
        network: &LttsNetwork,
        excluded: usize,
        (seed, way): (u64, Way),
        data: Option<&Path>,
    ) -> Result<Patterns, LessonError> {
        network.check()?;
        match self {
            Self::Trajectory(task) => {
                positive("task.channels", task.channels)?;
                let mut rng = stream(seed, OUTPUT);
                check_paced(task.steps, task.windows, [task.sigma_teach, task.sigma_clock])?;
                let output = trajectory(task.steps, task.channels, excluded, &mut rng);
                let clock = clock(task.steps, task.windows);
                let sigmas = (task.sigma_clock, task.sigma_teach);
                let pattern = make(network, &clock, &output, sigmas, (seed, way))?;
                let input = Input::new(network, vec![clock], task.sigma_clock, seed);
                Ok(paced(pattern, "trajectory", None, task.sigma_clock, input))
            }
            Self::Walking(task) => {
                check_paced(task.steps, task.windows, [task.sigma_teach, task.sigma_clock])?;
                positive("task.rounds", task.rounds)?;
                let motion = Motion::load(&task.recording, data)?;
                let mut output = motion.standardised(task.first, task.steps).ok_or_else(|| {
                    LessonError::Value {
                        key: "task.steps",
                        got: format!("{} from frame {} on", task.steps, task.first),
                        must: "within the frames of the recording",
                    }
                })?;
                let silent = excluded.min(task.steps);
                output.slice_mut(ndarray::s![..silent, ..]).fill(0.0);
                let clock = clock(task.steps, task.windows);
                let sigmas = (task.sigma_clock, task.sigma_teach);
                let pattern = make(network, &clock, &output, sigmas, (seed, way))?;
                let drive = pattern.drive().to_array();
                let rounds = vec![drive.view(); task.rounds];
                let long = concatenate(ndarray::Axis(0), &rounds).unwrap_or(drive.clone());
                let input = Input::new(network, vec![clock], task.sigma_clock, seed);
                Ok(paced(pattern, "walk", Some(Series::of(&long)), task.sigma_clock, input))
            }
            Self::TemporalXor(task) => task.patterns(network, (seed, way)),
        }
    }
}

impl Input {
    fn new(network: &LttsNetwork, signals: Vec<Array2<f64>>, sigma: f64, seed: u64) -> Self {
        let channels = signals.first().map_or(0, Array2::ncols);
        // The projection of a unit vector is a row of it.
        let unit = Array2::eye(channels);
        let projection = project(&unit, network.neurons, sigma, &mut stream(seed, INPUT));
        Self { signals, projection }
    }
}

fn paced(
    pattern: Pattern<f32>,
    name: &str,
    long: Option<Series<f32>>,
    sigma: f64,
    input: Input,
) -> Patterns {
    let names = vec![name.to_owned()];
    Patterns { all: vec![pattern], learned: 1, names, long, sigma_input: sigma, input }
}

impl Xor {
    fn patterns(
        &self,
        network: &LttsNetwork,
        (seed, way): (u64, Way),
    ) -> Result<Patterns, LessonError> {
        check_sigmas([(SIGMA_TEACH, self.sigma_teach), (SIGMA_INPUT, self.sigma_input)])?;
        let mut order = self.learned.clone();
        order.sort_unstable();
        order.dedup();
        if order.len() != self.learned.len() || order.is_empty() || order.iter().any(|k| *k > 3) {
            return Err(LessonError::Value {
                key: "task.learned",
                got: format!("{:?}", self.learned),
                must: "one to four different numbers from 0 to 3",
            });
        }
        let rest = (0..4).filter(|k| !self.learned.contains(k));
        let order: Vec<usize> = self.learned.iter().copied().chain(rest).collect();
        let sigmas = (self.sigma_input, self.sigma_teach);
        let patterns = order.iter().map(|k| {
            let bits = temporal_xor::PATTERNS[*k];
            let (input, answer) = (temporal_xor::input(bits), temporal_xor::answer(bits));
            make(network, &input, &answer, sigmas, (seed, way))
        });
        let signals = order.iter().map(|k| temporal_xor::input(temporal_xor::PATTERNS[*k]));
        let name = |k: &usize| {
            let [a, b] = temporal_xor::PATTERNS[*k].map(u8::from);
            format!("{a}{b}")
        };
        Ok(Patterns {
            all: patterns.collect::<Result<_, _>>()?,
            learned: self.learned.len(),
            names: order.iter().map(name).collect(),
            long: None,
            sigma_input: self.sigma_input,
            input: Input::new(network, signals.collect(), self.sigma_input, seed),
        })
    }
}

/// A pattern from signals `[time, channel]`; `sigmas` of input and teacher. All patterns of a seed
/// share the projections.
fn make(
    network: &LttsNetwork,
    input: &Array2<f64>,
    output: &Array2<f64>,
    (sigma_input, sigma_teach): (f64, f64),
    (seed, way): (u64, Way),
) -> Result<Pattern<f32>, LessonError> {
    let n = network.neurons;
    let mut drive = project(input, n, sigma_input, &mut stream(seed, INPUT));
    if way == Way::Synapses {
        let keep = libm::exp(-1.0 / network.tau_syn);
        let mut filtered = ndarray::Array1::<f64>::zeros(n);
        for mut row in drive.outer_iter_mut() {
            filtered = keep * filtered + (1.0 - keep) * &row;
            row.assign(&filtered);
        }
    }
    let teach = project(output, n, sigma_teach, &mut stream(seed, TEACHER));
    Ok(Pattern::taught(network, &drive, &teach, output)?)
}

fn positive(key: &'static str, got: usize) -> Result<(), LessonError> {
    match got {
        0 => Err(LessonError::Value { key, got: got.to_string(), must: "at least 1" }),
        _ => Ok(()),
    }
}

fn check_sigmas(sigmas: [(&'static str, f64); 2]) -> Result<(), LessonError> {
    match sigmas.into_iter().find(|(_, s)| !(s.is_finite() && *s >= 0.0)) {
        None => Ok(()),
        Some((key, got)) => {
            Err(LessonError::Value { key, got: got.to_string(), must: "at least 0" })
        }
    }
}

const SIGMA_TEACH: &str = "task.sigma_teach";
const SIGMA_CLOCK: &str = "task.sigma_clock";
const SIGMA_INPUT: &str = "task.sigma_input";

fn check_paced(steps: usize, windows: usize, [teach, clock]: [f64; 2]) -> Result<(), LessonError> {
    check_sigmas([(SIGMA_TEACH, teach), (SIGMA_CLOCK, clock)])?;
    if (2..=1_000_000).contains(&steps) && (1..=steps).contains(&windows) {
        return Ok(());
    }
    Err(LessonError::Value {
        key: "task.steps",
        got: format!("{steps}, with {windows} windows"),
        must: "2 to 1000000, with at least one window and one bin a window",
    })
}
