//! Which way onto a chip is worth its cost? Four paths, played on the chip's digital twin.
//!
//! ```text
//!                        weights from software    then learned in the loop
//! one code for all       naive                    in the loop
//! calibrated             calibrated               calibrated, in the loop
//! ```
//!
//! The twin foretells accuracies on samples held out from the training set, never on the test set. Learning is
//! played shortened: as many epochs as are asked for, cooling down as far as in all of them, the same for all paths. Costs are those of the whole path on the
//! chip, as long as the experiment says.

use crate::chip_loop::{ChipLoop, LoopError};
use crate::data::Dataset;
use crate::experiment::{Backward, Experiment, WarmStart};
use crate::robustness::{StudyError, learn};
use crate::trainer::{TrainError, Trainer};
use crate::twin::{Measured, TwinError};
use serde::{Deserialize, Serialize};
use spikeloop_calibration::bench::Cost;
use spikeloop_calibration::{Calibration, Codes};
use spikeloop_hal::{Capabilities, Chip};
use spikeloop_models::network::Network;
use spikeloop_models::optim::Schedule;
use spikeloop_models::spike_train::SpikeTrains;

/// Paths this much worse than the best one count as as good.
pub const MARGIN: f64 = 0.005;
/// What a training that was cut short falls behind the whole one, as an allowance in favour of paths with learning
/// (measured on 20 emulated chips: forecasts of such paths scatter by about two points about the truth, and learning on
/// never lost more than that).
pub const SHORTENED: f64 = 0.015;
/// Pause between two trials in membrane or synaptic time constants, whichever is longer, so that each trial begins at
/// rest (derived: e⁻⁵ is below the resolution of an 8-bit converter).
const PAUSE: f64 = 5.0;
/// Share of the training set that is held out to foretell accuracies, if the experiment has no validation set.
const HELD_OUT: f64 = 0.2;
/// Most samples that are held out: their accuracy is then known to less than half a point.
const MOST_HELD_OUT: usize = 2000;

/// A way onto a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Weights trained in software, one code for all neurons.
    Naive,
    /// Weights trained in software, calibrated.
    Calibrated,
    /// Weights trained in software, then learned in the loop, one code for all neurons.
    InTheLoop,
    /// The same, calibrated.
    CalibratedInTheLoop,
}

impl Path {
    /// All of them, from the cheapest kind to the dearest.
    pub const ALL: [Self; 4] =
        [Self::Naive, Self::Calibrated, Self::InTheLoop, Self::CalibratedInTheLoop];

    /// As in tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Naive => "naive transfer",
            Self::Calibrated => "calibrate, transfer",
            Self::InTheLoop => "in the loop",
            Self::CalibratedInTheLoop => "calibrate, in the loop",
        }
    }

    /// What to do, as part of a sentence.
    fn instruction(self) -> &'static str {
        match self {
            Self::Naive => "write the weights trained in software to the chip as it is",
            Self::Calibrated => "calibrate, then write the weights trained in software",
            Self::InTheLoop => "train on in the loop, without a calibration",
            Self::CalibratedInTheLoop => "calibrate, then train on in the loop",
        }
    }

    /// Codes that it runs with.
    #[must_use]
    pub fn codes(self) -> Codes {
        match self {
            Self::Naive | Self::InTheLoop => Codes::Uniform,
            Self::Calibrated | Self::CalibratedInTheLoop => Codes::Calibrated,
        }
    }

    /// Whether the chip is in the loop.
    #[must_use]
    pub fn learns(self) -> bool {
        matches!(self, Self::InTheLoop | Self::CalibratedInTheLoop)
    }
}

/// What a path costs on the chip, evaluations not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PathCost {
    /// Trials.
    pub trials: u64,
    /// Runs: batches as the chip takes them.
    pub runs: u64,
    /// Time on the chip in µs, pauses between trials and settling included.
    pub chip_us: f64,
}

/// One path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Which.
    pub path: Path,
    /// Accuracy on the twin; `None` if the network cannot be run this way.
    pub accuracy: Option<f64>,
    /// Accuracy of the same path on the chip itself, if it was played there as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_chip: Option<f64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What it would cost.
    pub cost: PathCost,
}

/// Spread of one parameter over the neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterSpread {
    /// Its name.
    pub name: String,
    /// With one code for all, as a share of θ (potentials) or of the target.
    pub before: f64,
    /// Calibrated, in the same measure.
    pub after: f64,
}

/// What is advised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// The chip.
    pub chip: String,
    /// Accuracy of the model in software on the held-out samples.
    pub software: f64,
    /// All paths.
    pub paths: Vec<Forecast>,
    /// The cheapest path within [`MARGIN`] of the best one; `None` if no path can be taken.
    pub recommended: Option<Path>,
    /// In words.
    pub sentence: String,
    /// Epochs that were played.
    pub epochs_played: usize,
    /// Epochs of the experiment.
    pub epochs: usize,
    /// Spreads.
    pub spread: Vec<ParameterSpread>,
}

/// A task with its weights from software, ready to be played on chips.
pub struct Player {
    experiment: Experiment,
    data: Dataset,
    epochs: usize,
    software: Network<f32>,
    /// Accuracy of the model in software.
    pub software_accuracy: f64,
}

impl Player {
    /// Trains in software for `epochs` epochs on what is not held out. `stop` is polled after every batch.
    ///
    /// # Errors
    /// An experiment that contradicts itself, [`StudyError::Interrupted`].
    pub fn new(
        experiment: &Experiment,
        data: &Dataset,
        epochs: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, StudyError> {
        let mut experiment = experiment.clone();
        // Both kinds of paths learn alike; what calibration gains must not hide behind a better gradient.
        experiment.chip.backward = Backward::Nominal;
        experiment.chip.codes = Codes::Calibrated;
        experiment.chip.warm_start = WarmStart::Software;
        experiment.learning.warm_start_epochs = 0;
        let all = experiment.learning.epochs;
        experiment.learning.schedule = shortened(experiment.learning.schedule, all, epochs);
        let data = held_out(data);
        let mut trainer = Trainer::new(&experiment, &data)?;
        learn(&mut trainer, epochs, stop)?;
        let software_accuracy = trainer.evaluate(&data.test, 0)?.tally.accuracy();
        let software = trainer.network.clone();
        drop(trainer);
        Ok(Self { experiment, data, epochs, software, software_accuracy })
    }

    /// Accuracy of a path on `chip`, a twin or the chip itself. `calibration` is the chip's own.
    ///
    /// # Errors
    /// A network that does not fit, failures of the chip, [`StudyError::Interrupted`].
    pub fn play(
        &self,
        path: Path,
        chip: Box<dyn Chip>,
        calibration: &Calibration,
        stop: &dyn Fn() -> bool,
    ) -> Result<f64, StudyError> {
        let mut trainer = Trainer::new(&self.experiment, &self.data)?;
        // Learning goes on from these weights as well: from scratch a short training may fail altogether, which says
        // nothing about the path.
        trainer.network.clone_from(&self.software);
        let known = (path.codes() == Codes::Calibrated).then_some(calibration);
        let (network, observe) = (&trainer.network, self.experiment.chip.observe);
        let looped = ChipLoop::calibrated(chip, network, &self.experiment, observe, known)
            .map_err(TrainError::from)?;
        trainer.attach(looped);
        if path.learns() {
            learn(&mut trainer, self.epochs, stop)?;
        }
        Ok(trainer.evaluate(&self.data.test, 0)?.tally.accuracy())
    }
}

/// A schedule that cools down in `epochs` as far as the whole one does in `all`: without it a short training ends where
/// the last step was large, and its accuracy is left to chance.
fn shortened(schedule: Schedule, all: usize, epochs: usize) -> Schedule {
    let ratio = all.max(1) as f64 / epochs.max(1) as f64;
    if ratio <= 1.0 {
        return schedule;
    }
    let less = |n: usize| ((n as f64 / ratio).round() as usize).max(1);
    match schedule {
        Schedule::Constant => Schedule::Constant,
        Schedule::Exponential { factor } => Schedule::Exponential { factor: factor.powf(ratio) },
        Schedule::Step { factor, every } => Schedule::Step { factor, every: less(every) },
        Schedule::Cosine { epochs, floor } => Schedule::Cosine { epochs: less(epochs), floor },
    }
}

/// The data set with held-out training samples (or its validation set) in the place of the test set.
fn held_out(data: &Dataset) -> Dataset {
    let mut data = data.clone();
    if let Some(validation) = data.validation.take() {
        data.test = validation;
        return data;
    }
    let all = data.train.len();
    let held = ((all as f64 * HELD_OUT) as usize).clamp(1, MOST_HELD_OUT);
    data.test = data.train.slice(all - held, all);
    data.train = data.train.slice(0, all - held);
    data
}

/// Plays all paths on the twin of a measured chip.
///
/// # Errors
/// [`StudyError`], [`TwinError`] within it. A path that the chip cannot take is no error.
pub fn advise(
    measured: &Measured,
    player: &Player,
    experiment: &Experiment,
    data: &Dataset,
    threads: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Advice, AdviseError> {
    let mut paths = Vec::new();
    for path in Path::ALL {
        let twin = measured.twin(path.codes())?;
        let played = player.play(path, twin.open(threads)?, &twin.calibration, stop);
        let (accuracy, trouble) = match played {
            Ok(accuracy) => (Some(accuracy), None),
            Err(StudyError::Train(TrainError::Loop(LoopError::Translation(e)))) => {
                (None, Some(e.to_string()))
            }
            Err(error) => return Err(error.into()),
        };
        let cost = cost(path, experiment, data, &measured.caps, &measured.calibration.cost);
        paths.push(Forecast { path, accuracy, on_chip: None, trouble, cost });
    }
    let recommended = recommend(&paths);
    Ok(Advice {
        chip: measured.caps.identity.to_string(),
        software: player.software_accuracy,
        sentence: sentence(&paths, recommended),
        recommended,
        paths,
        epochs_played: player.epochs,
        epochs: experiment.learning.epochs,
        spread: spreads(&measured.calibration),
    })
}

/// What can go wrong in advising.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdviseError {
    /// The twin.
    #[error(transparent)]
    Twin(#[from] TwinError),
    /// Playing a path.
    #[error(transparent)]
    Study(#[from] StudyError),
}

/// Cost of a path from the length of trials, the number of epochs, and what the calibration took.
fn cost(
    path: Path,
    experiment: &Experiment,
    data: &Dataset,
    caps: &Capabilities,
    calibration: &Cost,
) -> PathCost {
    let mut cost = PathCost::default();
    if path.codes() == Codes::Calibrated {
        cost.trials += calibration.trials;
        cost.runs += calibration.runs;
        cost.chip_us += calibration.chip_us;
    }
    if path.learns() {
        let network = &experiment.network;
        let trial = network.dt_us * network.steps as f64;
        let pause = PAUSE * network.tau_mem_us.max(network.tau_syn_us);
        let (samples, batch) = (data.train.len(), experiment.learning.batch.max(1));
        let epochs = experiment.learning.epochs as u64;
        let trials = epochs * samples as u64;
        cost.trials += trials;
        cost.runs +=
            epochs * (samples.div_ceil(batch) * runs_of_batch(experiment, data, caps)) as u64;
        cost.chip_us += trials as f64 * (trial + pause);
    }
    cost
}

/// Runs in which the chip takes a batch, by its buffers.
fn runs_of_batch(experiment: &Experiment, data: &Dataset, caps: &Capabilities) -> usize {
    let batch = experiment.learning.batch.clamp(1, data.train.len().max(1));
    let mut trains = SpikeTrains::default();
    let samples: Vec<u32> = (0..batch as u32).collect();
    data.train.encode(&samples, &experiment.grid(), &mut trains);
    let events = (0..batch).map(|k| trains.count(k)).max().unwrap_or(0).max(1);
    let hidden: usize = experiment.network.hidden.iter().sum();
    let traces = if experiment.chip.observe.membranes() { hidden + data.classes } else { 0 };
    let bytes = traces * experiment.network.steps * caps.bytes_per_sample() as usize;
    let by_memory = (caps.buffers.trace_bytes as usize).checked_div(bytes).unwrap_or(usize::MAX);
    let by_events = caps.buffers.stimulus_events as usize / events;
    let part = by_memory.min(by_events).min(caps.buffers.trials as usize).max(1);
    batch.div_ceil(part)
}

/// The cheapest path within [`MARGIN`] of the best. Paths with learning are given [`SHORTENED`] on top of their
/// forecast, which comes from a training that was cut short.
#[must_use]
pub fn recommend(paths: &[Forecast]) -> Option<Path> {
    let score = |p: &Forecast| {
        let allowance = if p.path.learns() { SHORTENED } else { 0.0 };
        p.accuracy.map(|a| a + allowance)
    };
    let best = paths.iter().filter_map(score).reduce(f64::max)?;
    paths
        .iter()
        .filter(|p| score(p).is_some_and(|s| s >= best - MARGIN))
        .min_by(|a, b| a.cost.chip_us.total_cmp(&b.cost.chip_us))
        .map(|p| p.path)
}

/// A time on the chip for people.
#[must_use]
pub fn seconds(us: f64) -> String {
    match us * 1e-6 {
        0.0 => "nothing".to_owned(),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.1} min", s / 60.0),
    }
}

fn sentence(paths: &[Forecast], recommended: Option<Path>) -> String {
    let percent = |a: f64| format!("{:.1} %", 100.0 * a);
    let of = |path: Path| paths.iter().find(|p| p.path == path);
    let Some(chosen) = recommended.and_then(of) else {
        return "the network cannot be run on this chip".to_owned();
    };
    let accuracy = chosen.accuracy.unwrap_or(0.0);
    let mut text = format!(
        "{}: {} for {} on the chip",
        chosen.path.instruction(),
        percent(accuracy),
        seconds(chosen.cost.chip_us)
    );
    let better = paths
        .iter()
        .filter(|p| p.path != chosen.path)
        .filter_map(|p| Some((p, p.accuracy?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((other, best)) = better {
        text.push_str(&format!(
            "; the best of the others, {}, gives {} for {}",
            other.path.label(),
            percent(best),
            seconds(other.cost.chip_us)
        ));
    }
    text
}

fn spreads(calibration: &Calibration) -> Vec<ParameterSpread> {
    use spikeloop_hal::{Parameter, Unit};
    let target = |p: Parameter| calibration.parameter(p).map(|r| r.target.value);
    let theta = target(Parameter::Threshold).unwrap_or(1.0)
        - target(Parameter::LeakPotential).unwrap_or(0.0);
    calibration
        .parameters
        .iter()
        .map(|r| {
            let scale = if r.unit == Unit::Lsb { theta } else { r.target.value }.abs().max(1e-9);
            ParameterSpread {
                name: r.parameter.name().to_owned(),
                before: r.sigma_before() / scale,
                after: r.sigma_after() / scale,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(path: Path, accuracy: Option<f64>, chip_us: f64) -> Forecast {
        let cost = PathCost { trials: 0, runs: 0, chip_us };
        Forecast { path, accuracy, on_chip: None, trouble: None, cost }
    }

    #[test]
    fn a_shortened_training_cools_down_as_far() {
        let whole = Schedule::Exponential { factor: 0.975 };
        let short = shortened(whole, 150, 10);
        assert!((short.factor(10) / whole.factor(150) - 1.0).abs() < 1e-9, "{short:?}");
        assert_eq!(shortened(whole, 10, 10), whole);
        let cosine = Schedule::Cosine { epochs: 100, floor: 0.1 };
        assert_eq!(shortened(cosine, 100, 10).factor(10), 0.1);
    }

    #[test]
    fn the_cheapest_within_half_a_point_of_the_best_is_recommended() {
        let paths = |naive| {
            vec![
                forecast(Path::Naive, naive, 0.0),
                forecast(Path::Calibrated, Some(0.946), 1e6),
                forecast(Path::InTheLoop, Some(0.93), 2e6),
                forecast(Path::CalibratedInTheLoop, Some(0.95), 3e6),
            ]
        };
        // Learning is foretold short: 95 % of it outweigh 94.6 % without, 96.6 % do not.
        assert_eq!(recommend(&paths(Some(0.60))), Some(Path::CalibratedInTheLoop));
        assert_eq!(recommend(&paths(Some(0.966))), Some(Path::Naive));
        assert_eq!(recommend(&paths(None)), Some(Path::CalibratedInTheLoop));
        assert_eq!(recommend(&[forecast(Path::Naive, None, 0.0)]), None);
        let text = sentence(&paths(Some(0.60)), Some(Path::Calibrated));
        assert!(text.starts_with("calibrate, then write") && text.contains("94.6 %"), "{text}");
        assert!(text.contains("95.0 % for 3.0 s"), "{text}");
    }
}
