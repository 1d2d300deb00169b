//! Learning through target spikes as a lesson: `learning.method = "ltts"`.
//!
//! Every epoch is followed by a run without a teacher of each pattern that is learned; the weights
//! with the smallest error of these runs are kept, and are the ones that the final figures, the
//! noise and the pictures are about. All figures are about patterns that were learned, but for
//! those that say otherwise.
//!
//! With a chip it runs the network, learning and tests alike (see `chip`); with `--learn on-chip` the device
//! changes the weights itself. Noise on the input and the long
//! run of the walk are for software alone: a chip has noise of its own, and trials of one length.

mod chip;
mod picture;
mod task;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spikeloop_calibration::Spread;
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::ltts::{
    Comparison, Ltts, LttsLearning, LttsNetwork, Noise, Pattern, Series, compare,
};
use spikeloop_models::random::stream;
use spikeloop_models::task::temporal_xor;

use super::plastic::cannot_go_on;
use super::superspike::Learn;
use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, parse, table};
use crate::calibration_choice::Device;
use crate::run_folder::{RunFolder, file};
use chip::{Board, ChipConfig};
use task::{Patterns, Task, Way};

/// As in `learning.method`.
pub const NAME: &str = "ltts";

/// First stream of the noise, one a run.
const NOISE: u64 = 100;

/// Variance of the noise that is added to the inputs, over that of the projection of the input, and
/// the names of the mean errors.
const NOISE_RATIOS: [(f64, &str); 7] = [
    (0.001, "mse_noise_0.001"),
    (0.003, "mse_noise_0.003"),
    (0.01, "mse_noise_0.01"),
    (0.03, "mse_noise_0.03"),
    (0.1, "mse_noise_0.1"),
    (0.3, "mse_noise_0.3"),
    (1.0, "mse_noise_1"),
];

/// Sections of the experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    task: Task,
    #[serde(default)]
    network: LttsNetwork,
    #[serde(default)]
    learning: LttsLearning,
    /// With it, inputs reach the neurons through synapses, in software as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    chip: Option<ChipConfig>,
    /// `learning.learn`, which is no constant of the rule.
    #[serde(skip)]
    learn: Learn,
}

/// The weights that did best so far.
#[derive(Clone, Debug)]
struct Best {
    /// Mean squared error over the learned patterns.
    mse: f64,
    /// Epoch, from 1.
    epoch: usize,
    weights: Vec<(String, Vec<f32>)>,
}

/// What a run without a teacher gave.
struct Answer {
    spikes: SpikeTrains,
    output: Series<f32>,
    comparison: Comparison,
}

struct LttsLesson {
    config: Config,
    seed: u64,
    patterns: Patterns,
    ltts: Ltts<f32>,
    best: Option<Best>,
    board: Option<Board>,
    /// Weights of an earlier run on this chip, before the first epoch.
    start: Option<Comparison>,
    /// What the best weights made of every pattern at the end, for the pictures.
    shown: Vec<Answer>,
    /// First epoch after which every spike of every learned pattern was right, from 1; 0 for none.
    exact_epoch: usize,
    noise: Vec<(f64, Vec<Comparison>)>,
}

/// Opens the lesson.
///
/// # Errors
/// [`LessonError`] for a wrong key or value, or data that are not there.
pub fn open(
    mut sections: toml::Table,
    around: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let learn = take_learn(&mut sections)?;
    let config = Config { learn, ..parse(sections)? };
    let data = around.data.map(Path::to_owned);
    Ok(Box::new(LttsLesson::new(config, around.seed, data, around.chip)?))
}

impl LttsLesson {
    fn new(
        config: Config,
        seed: u64,
        data: Option<PathBuf>,
        device: Option<Device>,
    ) -> Result<Self, LessonError> {
        let (network, learning) = (&config.network, &config.learning);
        let way = match &config.chip {
            None => Way::Current,
            Some(chip) => {
                chip.check()?;
                Way::Synapses
            }
        };
        let excluded = learning.excluded;
        let patterns = config.task.patterns(network, excluded, (seed, way), data.as_deref())?;
        let learned = patterns.all[..patterns.learned].to_vec();
        let mut ltts = Ltts::new(network, learning, learned, seed)?;
        let on_chip = config.learn == Learn::OnChip;
        let mut board = match (device, &config.chip) {
            (None, _) if on_chip => {
                let must = "\"host\" without a chip: name one that learns with --chip";
                let got = "on-chip".into();
                return Err(LessonError::Value { key: "learning.learn", got, must });
            }
            (None, _) => None,
            (Some(device), Some(chip)) => {
                let mut chip = chip.clone();
                if on_chip {
                    // The neurons of a rule are consecutive.
                    chip.spread = Spread::Packed;
                }
                Some(Board::new(device, &chip, (network, learning), &patterns)?)
            }
            (Some(_), None) => {
                let must = "a section of the experiment to run on a chip: see ltts-chip, or set chip.dt_us";
                return Err(LessonError::Value { key: "chip", got: "missing".into(), must });
            }
        };
        if let Some(folder) = config.chip.as_ref().and_then(|chip| chip.weights.as_ref()) {
            take_weights(&mut ltts, &config, seed, folder)?;
        }
        if let Some(board) = board.as_mut().filter(|_| on_chip) {
            board.teach(&ltts, network, learning)?;
        }
        Ok(Self {
            config,
            seed,
            patterns,
            ltts,
            best: None,
            board,
            start: None,
            shown: Vec::new(),
            exact_epoch: 0,
            noise: Vec::new(),
        })
    }

    /// In software.
    fn answer(
        &self,
        ltts: &Ltts<f32>,
        pattern: &Pattern<f32>,
        noise: Option<Noise<'_>>,
    ) -> Result<Answer, LessonError> {
        let spikes = ltts.recurrent().run(pattern.drive(), noise)?;
        self.judge(ltts, pattern, spikes)
    }

    fn judge(
        &self,
        ltts: &Ltts<f32>,
        pattern: &Pattern<f32>,
        spikes: SpikeTrains,
    ) -> Result<Answer, LessonError> {
        let output = ltts.read(&spikes);
        let comparison = compare(pattern, &spikes, &output, self.config.learning.excluded)?;
        Ok(Answer { spikes, output, comparison })
    }

    /// What the network makes of the first `count` patterns without a teacher: one answer in software, those
    /// of all its runs on a chip.
    fn answers(&mut self, ltts: &Ltts<f32>, count: usize) -> Result<Vec<Vec<Answer>>, LessonError> {
        let Some(board) = &mut self.board else {
            let patterns = self.patterns.all[..count].iter();
            return patterns.map(|pattern| Ok(vec![self.answer(ltts, pattern, None)?])).collect();
        };
        let runs = board.runs();
        let mut spikes = board.free(ltts, 0..count)?.into_iter();
        let patterns = self.patterns.all[..count].iter();
        patterns
            .map(|pattern| {
                spikes.by_ref().take(runs).map(|s| self.judge(ltts, pattern, s)).collect()
            })
            .collect()
    }

    /// Mean over the learned patterns.
    fn test(&mut self, ltts: &Ltts<f32>) -> Result<Comparison, LessonError> {
        let answers = self.answers(ltts, self.patterns.learned)?;
        Ok(mean(answers.iter().flatten().map(|answer| answer.comparison)))
    }

    /// One epoch of the rule: deviation, error of the readout, and what the chip has to say.
    fn learn(&mut self, epoch: usize) -> Result<Figures, LessonError> {
        let mut figures = Vec::new();
        let progress = match &mut self.board {
            None => self.ltts.epoch(),
            Some(board) => {
                let progress = match self.config.learn {
                    Learn::Host => {
                        let runs = board.force(&self.ltts)?;
                        self.ltts.epoch_measured(&runs)?
                    }
                    Learn::OnChip => {
                        if let Some(learning) = new_rate(&self.config.learning, epoch) {
                            board.teach(&self.ltts, &self.config.network, &learning)?;
                        }
                        let wrong = board.learn(&mut self.ltts)?;
                        self.ltts.epoch_elsewhere(wrong)
                    }
                };
                let limited = self.ltts.clamp(board.limit());
                figures.push(("limited_weights", limited as f64));
                figures.extend(board.figures());
                progress
            }
        };
        figures.push(("deviation", progress.deviation));
        figures.push(("readout_error", progress.readout_error));
        Ok(figures)
    }

    /// The network with the best weights.
    fn kept(&self) -> Ltts<f32> {
        let mut ltts = self.ltts.clone();
        if let Some(best) = &self.best {
            for (name, array) in ltts.state_mut().1 {
                if let Some((_, kept)) = best.weights.iter().find(|(n, _)| *n == name) {
                    array.copy_from_slice(kept);
                }
            }
        }
        ltts
    }

    /// Figures that only one of the tasks has.
    fn figures_of_task(
        &self,
        kept: &Ltts<f32>,
        answers: &[Vec<Answer>],
        figures: &mut Figures,
    ) -> Result<(), LessonError> {
        match &self.config.task {
            Task::Trajectory(_) => {
                for (ratio, runs) in &self.noise {
                    let name = NOISE_RATIOS.iter().find(|(r, _)| r == ratio).map(|(_, name)| *name);
                    let mean = runs.iter().map(|c| c.mse).sum::<f64>() / runs.len() as f64;
                    figures.extend(name.map(|name| (name, mean)));
                }
            }
            Task::TemporalXor(_) => {
                let (mut right, mut worst, mut untaught) = (0.0, 0.0_f64, 0.0_f64);
                for (k, (pattern, answers)) in self.patterns.all.iter().zip(answers).enumerate() {
                    let wanted = temporal_xor::answered(&pattern.output().to_array());
                    for answer in answers {
                        let given = temporal_xor::answered(&answer.output.to_array());
                        right += f64::from(u8::from(given == wanted)) / answers.len() as f64;
                        worst = worst.max(answer.comparison.mse);
                        if k >= self.patterns.learned {
                            untaught = untaught.max(answer.comparison.mse);
                        }
                    }
                }
                figures.push(("right_signs", right));
                figures.push(("worst_mse", worst));
                if self.patterns.learned < self.patterns.all.len() {
                    figures.push(("worst_mse_of_patterns_not_learned", untaught));
                }
            }
            Task::Walking(_) => {
                let pattern = &self.patterns.all[0];
                let variance = variance(pattern.output(), self.config.learning.excluded);
                let found = mean(answers.iter().flatten().map(|answer| answer.comparison));
                figures.push(("mse_share_of_variance", found.mse / variance));
                if let Some(long) = self.patterns.long.as_ref().filter(|_| self.board.is_none()) {
                    let output = kept.read(&kept.recurrent().run(long, None)?);
                    let mse =
                        later_rounds(pattern.output(), &output, self.config.learning.excluded);
                    figures
                        .extend(mse.map(|mse| ("later_rounds_share_of_variance", mse / variance)));
                }
            }
        }
        Ok(())
    }

    /// Runs with noise on the input.
    fn disturb(&mut self, kept: &Ltts<f32>) -> Result<(), LessonError> {
        let Task::Trajectory(task) = &self.config.task else { return Ok(()) };
        if self.board.is_some() {
            return Ok(());
        }
        let mut all = Vec::new();
        for (ratio, _) in NOISE_RATIOS.iter().filter(|_| task.noise_runs > 0) {
            let sigma = ratio.sqrt() * self.patterns.sigma_input;
            let runs = (0..task.noise_runs as u64).map(|k| {
                let mut rng = stream(self.seed, NOISE + k);
                let noise = Noise { sigma, rng: &mut rng };
                Ok(self.answer(kept, &self.patterns.all[0], Some(noise))?.comparison)
            });
            all.push((*ratio, runs.collect::<Result<Vec<_>, LessonError>>()?));
        }
        self.noise = all;
        Ok(())
    }
}

/// What is learned with from `epoch` on, where that is the first of a period but not the first of all.
fn new_rate(learning: &LttsLearning, epoch: usize) -> Option<LttsLearning> {
    let period = (learning.epochs / learning.rate_periods).max(1);
    let falls = libm::pow(learning.rate_factor, (epoch / period) as f64);
    let begins = epoch > 0 && epoch.is_multiple_of(period);
    begins.then_some(LttsLearning { rate: learning.rate * falls, ..*learning })
}

/// Takes `learning.learn` out of the sections.
fn take_learn(sections: &mut toml::Table) -> Result<Learn, LessonError> {
    let section = sections.get_mut("learning").and_then(toml::Value::as_table_mut);
    let Some(value) = section.and_then(|section| section.remove("learn")) else {
        return Ok(Learn::default());
    };
    let got = value.to_string();
    let must = "\"host\" or \"on-chip\"";
    value.try_into().map_err(|_| LessonError::Value { key: "learning.learn", got, must })
}

/// Best weights of the run in `folder`, which must have had the same task, network and seed, become those of
/// `ltts`.
fn take_weights(
    ltts: &mut Ltts<f32>,
    config: &Config,
    seed: u64,
    folder: &str,
) -> Result<(), LessonError> {
    let bytes = RunFolder::open(Path::new(folder))?.read(file::CHECKPOINT)?;
    let state = State::from_bytes(&bytes)?;
    let text: String = state.text("run.experiment")?;
    let of: toml::Table = text.parse().unwrap_or_default();
    let own = table(config);
    let same = ["task", "network"].iter().all(|section| of.get(*section) == own.get(*section));
    if !same || of.get("seed").and_then(toml::Value::as_integer) != i64::try_from(seed).ok() {
        return Err(LessonError::Value {
            key: "chip.weights",
            got: folder.to_owned(),
            must: "a run of this method with the same seed, [task] and [network]: weights belong to their targets",
        });
    }
    let prefix = if state.text::<usize>("best.epoch")? > 0 { "best." } else { "" };
    let (_, arrays) = ltts.state_mut();
    for (name, array) in arrays.into_iter().filter(|(name, _)| name.contains("weights")) {
        state.fill(&format!("{prefix}{name}"), &[array.len()], array)?;
    }
    tracing::warn!("weights of {folder} were learned elsewhere: on this chip they are a start");
    Ok(())
}

/// Mean of comparisons; there is at least one.
fn mean(all: impl Iterator<Item = Comparison>) -> Comparison {
    let (mut sum, mut count) = (Comparison { mse: 0.0, delta_s: 0.0 }, 0.0_f64);
    for found in all {
        sum.mse += found.mse;
        sum.delta_s += found.delta_s;
        count += 1.0;
    }
    let count = count.max(1.0);
    Comparison { mse: sum.mse / count, delta_s: sum.delta_s / count }
}

/// Variance of an output over time after `excluded` bins, mean over its channels.
fn variance(output: &Series<f32>, excluded: usize) -> f64 {
    let array = output.to_array();
    let part = array.slice(ndarray::s![excluded.min(array.nrows()).., ..]);
    part.var_axis(ndarray::Axis(0), 0.0).mean().unwrap_or(f64::NAN)
}

/// Mean squared error of the rounds after the first against what was taught, without the `excluded`
/// bins of each round; `None` if there is one round only.
fn later_rounds(taught: &Series<f32>, output: &Series<f32>, excluded: usize) -> Option<f64> {
    let steps = taught.steps();
    let (mut sum, mut count) = (0.0, 0_usize);
    for t in (steps..output.steps()).filter(|t| t % steps >= excluded) {
        for (y, o) in taught.row(t % steps).iter().zip(output.row(t)) {
            sum += f64::from(y - o).powi(2);
            count += 1;
        }
    }
    (count > 0).then(|| sum / count as f64)
}

impl Lesson for LttsLesson {
    fn epochs(&self) -> usize {
        self.config.learning.epochs
    }

    fn epoch(&mut self, epoch: usize, _watch: &dyn Watch) -> Result<Figures, LessonError> {
        if epoch == 0 && self.config.chip.as_ref().is_some_and(|chip| chip.weights.is_some()) {
            let ltts = self.ltts.clone();
            self.start = Some(self.test(&ltts)?);
        }
        let learned = self.learn(epoch)?;
        let ltts = self.ltts.clone();
        let found = self.test(&ltts)?;
        if self.best.as_ref().is_none_or(|best| found.mse < best.mse) {
            let weights =
                self.ltts.state().into_iter().filter(|(name, _)| name.contains("weights"));
            let weights = weights.map(|(name, array)| (name, array.to_vec())).collect();
            self.best = Some(Best { mse: found.mse, epoch: epoch + 1, weights });
        }
        if found.delta_s == 0.0 && self.exact_epoch == 0 {
            self.exact_epoch = epoch + 1;
        }
        let mut figures = vec![("mse", found.mse), ("delta_s", found.delta_s)];
        figures.extend(learned);
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let (kept, ltts) = (self.kept(), self.ltts.clone());
        let last = self.test(&ltts)?;
        let answers = self.answers(&kept, self.patterns.all.len())?;
        let learned = answers[..self.patterns.learned].iter().flatten();
        let best = mean(learned.map(|answer| answer.comparison));
        let mut figures = vec![
            ("mse", best.mse),
            ("delta_s", best.delta_s),
            ("best_epoch", self.best.as_ref().map_or(0.0, |best| best.epoch as f64)),
            ("last_mse", last.mse),
            ("last_delta_s", last.delta_s),
            ("first_exact_epoch", self.exact_epoch as f64),
        ];
        if let Some(start) = &self.start {
            figures.extend([("start_mse", start.mse), ("start_delta_s", start.delta_s)]);
        }
        self.disturb(&kept)?;
        self.figures_of_task(&kept, &answers, &mut figures)?;
        figures.extend(self.board.as_mut().map(Board::figures).unwrap_or_default());
        self.shown = answers.into_iter().filter_map(|runs| runs.into_iter().next()).collect();
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        for (name, array) in self.ltts.state() {
            state.put(&name, &[array.len()], array.iter().copied());
        }
        state.put_text("epochs", self.ltts.epochs());
        state.put_text("exact_epoch", self.exact_epoch);
        if let Some(board) = &self.board {
            board.save(state);
        }
        state.put_text("start.known", self.start.is_some());
        if let Some(start) = &self.start {
            state.put("start", &[2], [start.mse, start.delta_s]);
        }
        let best = self.best.as_ref();
        state.put_text("best.epoch", best.map_or(0, |best| best.epoch));
        if let Some(best) = best {
            state.put("best.mse", &[1], [best.mse]);
            for (name, array) in &best.weights {
                state.put(&format!("best.{name}"), &[array.len()], array.iter().copied());
            }
        }
    }

    fn can_go_on(&self) -> bool {
        self.config.learn == Learn::Host
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        if !self.can_go_on() {
            return Err(cannot_go_on(NAME));
        }
        if let Some(board) = &mut self.board {
            board.restore(state)?;
        }
        if state.text("start.known")? {
            let start: Vec<f64> = state.array("start", &[2])?;
            self.start = Some(Comparison { mse: start[0], delta_s: start[1] });
        }
        let (epochs, arrays) = self.ltts.state_mut();
        let mut weights = Vec::new();
        let epoch: usize = state.text("best.epoch")?;
        *epochs = state.text("epochs")?;
        for (name, array) in arrays {
            state.fill(&name, &[array.len()], array)?;
            if epoch > 0 && name.contains("weights") {
                let kept = state.array(&format!("best.{name}"), &[array.len()])?;
                weights.push((name, kept));
            }
        }
        self.exact_epoch = state.text("exact_epoch")?;
        self.best = match epoch {
            0 => None,
            _ => Some(Best { mse: state.array("best.mse", &[1])?[0], epoch, weights }),
        };
        Ok(())
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        let kept = self.kept();
        let answers: Vec<_> = (self.patterns.all.iter().zip(&self.patterns.names))
            .zip(std::mem::take(&mut self.shown))
            .enumerate()
            .map(|(k, ((pattern, name), answer))| {
                let name = match k < self.patterns.learned {
                    true => name.clone(),
                    false => format!("{name} (not learned)"),
                };
                (name, pattern, answer)
            })
            .collect();
        let mut sections = vec![
            ("Outputs without a teacher", picture::outputs(&answers)),
            ("Spikes without a teacher", picture::rasters(&answers)),
        ];
        if let Some(long) = self.patterns.long.as_ref().filter(|_| self.board.is_none())
            && let Ok(spikes) = kept.recurrent().run(long, None)
        {
            let output = kept.read(&spikes);
            sections.push(("Round after round", picture::rounds(&self.patterns.all[0], &output)));
        }
        if !self.noise.is_empty() {
            sections.push(("Noise on the input", picture::noise(&self.noise)));
        }
        sections
    }

    fn config(&self) -> toml::Table {
        let mut all = table(&self.config);
        if let (Learn::OnChip, Some(toml::Value::Table(learning))) =
            (self.config.learn, all.get_mut("learning"))
        {
            learning.insert("learn".into(), "on-chip".into());
        }
        all
    }
}

#[cfg(test)]
mod tests;
