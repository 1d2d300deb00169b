//! Learning through target spikes as a lesson: `learning.method = "ltts"`.
//!
//! Every epoch is followed by a run without a teacher of each pattern that is learned; the weights
//! with the smallest error of these runs are kept, and are the ones that the final figures, the
//! noise and the pictures are about. All figures are about patterns that were learned, but for
//! those that say otherwise. In software only: a chip would have to take the target spikes in place
//! of its own while it learns.

mod picture;
mod task;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::ltts::{
    Comparison, Ltts, LttsLearning, LttsNetwork, Noise, Pattern, Series, compare,
};
use spikeloop_models::random::stream;
use spikeloop_models::task::temporal_xor;

use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, parse, table};
use task::{Patterns, Task};

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
    /// First epoch after which every spike of every learned pattern was right, from 1; 0 for none.
    exact_epoch: usize,
    noise: Vec<(f64, Vec<Comparison>)>,
}

/// Opens the lesson.
///
/// # Errors
/// [`LessonError`] for a wrong key or value, or data that are not there.
pub fn open(
    sections: toml::Table,
    around: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let config: Config = parse(sections)?;
    let data = around.data.map(Path::to_owned);
    Ok(Box::new(LttsLesson::new(config, around.seed, data)?))
}

impl LttsLesson {
    fn new(config: Config, seed: u64, data: Option<PathBuf>) -> Result<Self, LessonError> {
        let (network, learning) = (&config.network, &config.learning);
        let patterns = config.task.patterns(network, learning.excluded, seed, data.as_deref())?;
        let learned = patterns.all[..patterns.learned].to_vec();
        let ltts = Ltts::new(network, learning, learned, seed)?;
        Ok(Self { config, seed, patterns, ltts, best: None, exact_epoch: 0, noise: Vec::new() })
    }

    fn answer(
        &self,
        ltts: &Ltts<f32>,
        pattern: &Pattern<f32>,
        noise: Option<Noise<'_>>,
    ) -> Result<Answer, LessonError> {
        let spikes = ltts.recurrent().run(pattern.drive(), noise)?;
        let output = ltts.read(&spikes);
        let comparison = compare(pattern, &spikes, &output, self.config.learning.excluded)?;
        Ok(Answer { spikes, output, comparison })
    }

    /// Mean over the learned patterns.
    fn test(&self, ltts: &Ltts<f32>) -> Result<Comparison, LessonError> {
        let mut mean = Comparison { mse: 0.0, delta_s: 0.0 };
        let learned = &self.patterns.all[..self.patterns.learned];
        for pattern in learned {
            let found = self.answer(ltts, pattern, None)?.comparison;
            mean.mse += found.mse / learned.len() as f64;
            mean.delta_s += found.delta_s / learned.len() as f64;
        }
        Ok(mean)
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
    fn figures_of_task(&self, kept: &Ltts<f32>, figures: &mut Figures) -> Result<(), LessonError> {
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
                for (k, pattern) in self.patterns.all.iter().enumerate() {
                    let answer = self.answer(kept, pattern, None)?;
                    let wanted = temporal_xor::answered(&pattern.output().to_array());
                    let given = temporal_xor::answered(&answer.output.to_array());
                    right += f64::from(u8::from(given == wanted));
                    worst = worst.max(answer.comparison.mse);
                    if k >= self.patterns.learned {
                        untaught = untaught.max(answer.comparison.mse);
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
                let found = self.answer(kept, pattern, None)?.comparison;
                figures.push(("mse_share_of_variance", found.mse / variance));
                if let Some(long) = &self.patterns.long {
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
        let progress = self.ltts.epoch();
        let found = self.test(&self.ltts)?;
        if self.best.as_ref().is_none_or(|best| found.mse < best.mse) {
            let weights =
                self.ltts.state().into_iter().filter(|(name, _)| name.contains("weights"));
            let weights = weights.map(|(name, array)| (name, array.to_vec())).collect();
            self.best = Some(Best { mse: found.mse, epoch: epoch + 1, weights });
        }
        if found.delta_s == 0.0 && self.exact_epoch == 0 {
            self.exact_epoch = epoch + 1;
        }
        Ok(vec![
            ("mse", found.mse),
            ("delta_s", found.delta_s),
            ("deviation", progress.deviation),
            ("readout_error", progress.readout_error),
        ])
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let kept = self.kept();
        let (best, last) = (self.test(&kept)?, self.test(&self.ltts)?);
        let mut figures = vec![
            ("mse", best.mse),
            ("delta_s", best.delta_s),
            ("best_epoch", self.best.as_ref().map_or(0.0, |best| best.epoch as f64)),
            ("last_mse", last.mse),
            ("last_delta_s", last.delta_s),
            ("first_exact_epoch", self.exact_epoch as f64),
        ];
        self.disturb(&kept)?;
        self.figures_of_task(&kept, &mut figures)?;
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        for (name, array) in self.ltts.state() {
            state.put(&name, &[array.len()], array.iter().copied());
        }
        state.put_text("epochs", self.ltts.epochs());
        state.put_text("exact_epoch", self.exact_epoch);
        let best = self.best.as_ref();
        state.put_text("best.epoch", best.map_or(0, |best| best.epoch));
        if let Some(best) = best {
            state.put("best.mse", &[1], [best.mse]);
            for (name, array) in &best.weights {
                state.put(&format!("best.{name}"), &[array.len()], array.iter().copied());
            }
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
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
        let answers: Vec<_> = (self.patterns.all.iter().zip(&self.patterns.names).enumerate())
            .filter_map(|(k, (pattern, name))| {
                let name = match k < self.patterns.learned {
                    true => name.clone(),
                    false => format!("{name} (not learned)"),
                };
                Some((name, pattern, self.answer(&kept, pattern, None).ok()?))
            })
            .collect();
        let mut sections = vec![
            ("Outputs without a teacher", picture::outputs(&answers)),
            ("Spikes without a teacher", picture::rasters(&answers)),
        ];
        if let Some(long) = &self.patterns.long
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
        table(&self.config)
    }
}

#[cfg(test)]
mod tests;
