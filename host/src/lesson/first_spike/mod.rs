//! First-spike times ([`spikeloop_models::method::first_spike`]): images by the brightness of their
//! pixels, Boolean problems, and the tasks of the other methods as continuous times.
//!
//! With held-out samples the network of the epoch that answers most of them is the one that counts
//! at the end; without, the last one. `network.weights` starts from a trained network in the
//! released text format (`slow` and `fast` are the published ones) or from the folder of an earlier
//! run; with `learning.epochs = 0` it is only tested.
//!
//! With a chip every forward pass runs there, those of validation and test as well ([`chip`]).

mod chip;
mod pictures;
mod start;
mod task;

use self::chip::{Board, ChipConfig};
use self::start::Start;
use self::task::{Split, Task, TaskConfig};
use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, parse, table};
use rand::Rng;
use serde::{Deserialize, Serialize};
use spikeloop_models::method::first_spike::{
    Answer, Batch, FirstSpike, FirstSpikeNetwork, LearningConfig, NetworkConfig,
};
use spikeloop_models::random;

/// Stream of the order of samples in epoch 0; later epochs follow.
const SHUFFLE: u64 = 0xF2_0000;
/// Parts of an epoch after which the user is asked whether to go on.
const PARTS: usize = 100;
/// Key of the trained network to start from.
const WEIGHTS: &str = "weights";

/// The sections of the experiment file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    task: TaskConfig,
    #[serde(default)]
    network: NetworkConfig,
    #[serde(default)]
    learning: LearningConfig,
    #[serde(default)]
    chip: ChipConfig,
}

/// The network of the best epoch so far.
#[derive(Clone, Debug)]
struct Best {
    /// From 1; 0 = before learning.
    epoch: usize,
    accuracy: f64,
    loss: f64,
    network: FirstSpikeNetwork,
}

struct FirstSpikeLesson {
    config: Config,
    /// `network.weights`.
    weights: Option<String>,
    seed: u64,
    method: FirstSpike,
    task: Task,
    board: Option<Board>,
    best: Option<Best>,
    /// Answers to the test samples, once they were asked.
    answers: Vec<Answer>,
    /// Spike times of the first of them, layer by layer.
    first: Vec<Vec<f64>>,
}

/// Opens the lesson: reads or makes the samples and the first weights.
///
/// # Errors
/// Keys or values that cannot be used, files that are missing.
pub(super) fn open(
    mut sections: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let weights = take_weights(&mut sections)?;
    let config: Config = parse(sections)?;
    Ok(Box::new(FirstSpikeLesson::new(config, weights, surroundings)?))
}

/// Takes `network.weights` out of the table: the rest of the section is the model's.
fn take_weights(sections: &mut toml::Table) -> Result<Option<String>, LessonError> {
    let network = sections.get_mut("network").and_then(toml::Value::as_table_mut);
    match network.and_then(|network| network.remove(WEIGHTS)) {
        None => Ok(None),
        Some(toml::Value::String(weights)) => Ok(Some(weights)),
        Some(other) => Err(LessonError::Value {
            key: "network.weights",
            got: other.to_string(),
            must: "\"slow\", \"fast\", the path of a network in the released text format, or the folder of a run",
        }),
    }
}

impl FirstSpikeLesson {
    fn new(
        mut config: Config,
        weights: Option<String>,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, LessonError> {
        let Surroundings { seed, data, chip } = surroundings;
        // The configuration first: reading takes a second.
        config.network.check()?;
        config.learning.check()?;
        config.chip.check()?;
        let start = weights.as_deref().map(|name| Start::read(name, data)).transpose()?;
        let task = config.task.load(seed, data)?;
        let classes = task.class_names.len();
        if let Some(start) = &start {
            start.adapt(&mut config.network, task.inputs, classes)?;
        }
        let mut network =
            FirstSpikeNetwork::new(config.network.clone(), task.inputs, classes, seed)?;
        if let Some(start) = &start {
            start.set(&mut network)?;
        }
        let place = |device| Board::new(device, config.chip, &network, task.latest());
        let board = chip.map(place).transpose()?;
        let method = FirstSpike::new(network, config.learning.clone())?;
        let (best, answers, first) = (None, Vec::new(), Vec::new());
        Ok(Self { config, weights, seed, method, task, board, best, answers, first })
    }

    /// Order of the training samples in `epoch`: a Fisher–Yates shuffle from a stream of its own.
    fn order(&self, epoch: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.task.train.labels.len() as u32).collect();
        let mut rng = random::stream(self.seed, SHUFFLE + epoch as u64);
        for last in (1..order.len()).rev() {
            // The bias of the remainder is below 2⁻⁴⁰ for any data set that fits into memory.
            order.swap(last, (rng.next_u64() % (last as u64 + 1)) as usize);
        }
        order
    }

    /// One step of the optimizer; on a chip the weights stay within its codes.
    fn learn(&mut self, samples: &[u32]) -> Result<&[Answer], LessonError> {
        let Split { times, labels } = &self.task.train;
        let batch = Batch { inputs: times, samples, labels };
        let Some(board) = &mut self.board else { return Ok(self.method.learn(&batch)?) };
        let measured = board.measure(self.method.network(), times, samples)?;
        self.method.learn_from(&batch, Some(measured))?;
        for layer in 0..self.method.network().depth() {
            if let Some(limit) = board.limit(layer) {
                self.method.clamp(layer, limit);
            }
        }
        Ok(self.method.answered())
    }

    /// Asks the held-out samples and keeps the network if none was better; of equals, the one of
    /// least loss.
    fn validate(&mut self, epoch: usize) -> Result<Option<f64>, LessonError> {
        let Some(split) = &self.task.validation else { return Ok(None) };
        let network = self.method.network();
        let (answers, _) = ask(self.board.as_mut(), network, &self.config.learning, split)?;
        let accuracy = accuracy(&answers, &split.labels);
        let loss = mean(answers.iter().map(|a| a.loss)).unwrap_or(f64::MAX);
        let better = |best: &Best| (accuracy, best.loss) > (best.accuracy, loss);
        if self.best.as_ref().is_none_or(better) {
            self.best = Some(Best { epoch, accuracy, loss, network: network.clone() });
        }
        Ok(Some(accuracy))
    }
}

/// Answers of `network`, on the chip if there is one, to all samples of `split`, and the spike times of
/// the first sample.
fn ask(
    board: Option<&mut Board>,
    network: &FirstSpikeNetwork,
    config: &LearningConfig,
    split: &Split,
) -> Result<(Vec<Answer>, Vec<Vec<f64>>), LessonError> {
    let all: Vec<u32> = (0..split.labels.len() as u32).collect();
    let batch = Batch { inputs: &split.times, samples: &all, labels: &split.labels };
    let Some(board) = board else {
        let first =
            if all.is_empty() { Vec::new() } else { network.spike_times(&split.times, 0)? };
        return Ok((network.answers(config, &batch)?, first));
    };
    let measured = board.measure(network, &split.times, &all)?;
    let units = |layer: usize| network.weights(layer).ncols();
    let first = measured.times.iter().enumerate();
    let first = first.map(|(layer, times)| times.iter().take(units(layer)).copied().collect());
    Ok((network.answers_from(config, &batch, Some(measured))?, first.collect()))
}

fn accuracy(answers: &[Answer], labels: &[u16]) -> f64 {
    let right = answers.iter().zip(labels).filter(|(answer, label)| answer.is_correct(**label));
    right.count() as f64 / labels.len().max(1) as f64
}

/// Mean of what is finite; nothing if nothing is.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) =
        values.filter(|v| v.is_finite()).fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// What the spike times of many answers say. Times that nobody has are left out.
fn timing(answers: &[Answer], names: [&'static str; 4]) -> Figures {
    let early = |a: &Answer| f64::from(u8::from(a.first_output < a.hidden_mean));
    let values = [
        mean(answers.iter().map(|a| a.first_output)),
        mean(answers.iter().map(|a| a.hidden_mean)),
        mean(answers.iter().map(early)),
        mean(answers.iter().map(|a| f64::from(a.hidden_spikes))),
    ];
    names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

impl Lesson for FirstSpikeLesson {
    fn epochs(&self) -> usize {
        self.config.learning.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        self.method.begin_epoch(epoch);
        self.task.begin_epoch(self.seed, epoch);
        let order = self.order(epoch);
        let size = self.config.learning.batch;
        let part = order.len().div_ceil(size).div_ceil(PARTS).max(1) * size;
        let (mut loss, mut right, mut answers) = (0.0, 0, Vec::with_capacity(order.len()));
        for (done, samples) in order.chunks(part).enumerate() {
            if !watch.part(done, order.len().div_ceil(part)) {
                return Err(LessonError::Interrupted);
            }
            for samples in samples.chunks(size) {
                answers.extend_from_slice(self.learn(samples)?);
                let labels = &self.task.train.labels;
                let said = &answers[answers.len() - samples.len()..];
                for (answer, sample) in said.iter().zip(samples) {
                    loss += answer.loss;
                    right += usize::from(answer.is_correct(labels[*sample as usize]));
                }
            }
        }
        let count = order.len().max(1) as f64;
        let mut figures = vec![("loss", loss / count), ("train_accuracy", right as f64 / count)];
        figures.extend(self.validate(epoch + 1)?.map(|value| ("validation_accuracy", value)));
        figures.extend(timing(
            &answers,
            ["first_output_time", "hidden_spike_time", "early_share", "hidden_spikes"],
        ));
        figures.extend(self.board.as_mut().map(Board::figures).unwrap_or_default());
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        if self.best.is_none() {
            self.validate(0)?;
        }
        let network = self.best.as_ref().map_or(self.method.network(), |best| &best.network);
        let config = &self.config.learning;
        let (answers, first) = ask(self.board.as_mut(), network, config, &self.task.test)?;
        let mut figures: Figures = Vec::new();
        if let Some(best) = &self.best {
            figures.push(("best_epoch", best.epoch as f64));
            figures.push(("validation_accuracy", best.accuracy));
        }
        figures.push(("test_accuracy", accuracy(&answers, &self.task.test.labels)));
        figures.extend(mean(answers.iter().map(|a| a.loss)).map(|loss| ("test_loss", loss)));
        let silent = answers.iter().filter(|a| a.predicted.is_none()).count();
        figures.push(("no_answer_share", silent as f64 / answers.len().max(1) as f64));
        figures.extend(timing(
            &answers,
            ["first_output_time", "hidden_spike_time", "early_share", "hidden_spikes"],
        ));
        figures.extend(self.board.as_mut().map(Board::figures).unwrap_or_default());
        (self.answers, self.first) = (answers, first);
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        self.method.save(|name, shape, values| state.put(&name, shape, values));
        if let Some(board) = &self.board {
            board.save(state);
        }
        state.put_text("best.kept", self.best.is_some());
        let Some(best) = &self.best else { return };
        state.put_text("best.epoch", best.epoch);
        state.put("best.score", &[2], [best.accuracy, best.loss]);
        for layer in 0..best.network.depth() {
            let (weights, pulses) = (best.network.weights(layer), best.network.pulses(layer));
            state.put(&format!("best.{layer}.weights"), weights.shape(), weights.iter().copied());
            state.put(&format!("best.{layer}.pulses"), &[pulses.len()], pulses.iter().copied());
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        self.method.restore(|name, shape| state.array(name, shape).ok())?;
        if let Some(board) = &mut self.board {
            board.restore(state)?;
        }
        self.best = None;
        if !state.text::<bool>("best.kept")? {
            return Ok(());
        }
        let mut network = self.method.network().clone();
        start::take(&mut network, state, "best.")?;
        let mut score = [0.0; 2];
        state.fill("best.score", &[2], &mut score)?;
        let [accuracy, loss] = score;
        self.best = Some(Best { epoch: state.text("best.epoch")?, accuracy, loss, network });
        Ok(())
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        pictures::all(&self.task, &self.answers, &self.first)
    }

    fn config(&self) -> toml::Table {
        let mut config = table(&self.config);
        let network = config.get_mut("network").and_then(toml::Value::as_table_mut);
        if let (Some(network), Some(weights)) = (network, &self.weights) {
            network.insert(WEIGHTS.into(), weights.clone().into());
        }
        config
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
