//! Deep continuous local learning on images as events ([`spikeloop_models::method::decolle`]): every layer is
//! taught by a fixed random readout of its own, at every step.
//!
//! With a chip all forward passes run there, those of validation and test as well ([`chip`]); a device that
//! learns by itself needs the class of every sample and no more ([`on_chip`]).

mod chip;
mod on_chip;

use self::chip::{Board, ChipConfig};
use super::plastic::cannot_go_on;
use super::superspike::Learn;
use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, order, parse, table};
use crate::calibration_choice::Device;
use crate::data::{DataName, DataSpec, Family, FullSize, full_size, load_features};
use crate::picture::ConfusionMatrix;
use crate::report::{figure, row};
use serde::{Deserialize, Serialize};
use spikeloop_models::method::decolle::{Batch, Decisions, Decolle, DecolleConfig, Shape};
use spikeloop_models::optim::Schedule;
use spikeloop_models::random::mix;
use spikeloop_models::spike_train::SpikeTrains;
use spikeloop_models::task::events::bernoulli;

/// As in `learning.method`.
pub(super) const NAME: &str = "decolle";
/// Samples that scale the first weights (published).
const FIRST_SAMPLES: usize = 32;
/// Samples that are decided about together.
const TOGETHER: usize = 100;
/// Batches after which the user is asked whether to go on.
const PART: usize = 20;
/// Most layers: each has columns of its own.
const MOST_LAYERS: usize = 6;

/// Purposes of random numbers.
mod stream {
    pub(super) const EVENTS: u64 = 0xDEC0;
    pub(super) const DROPOUT: u64 = 0xDEC1;
    pub(super) const HELD: u64 = 0xDEC2;
}

/// Columns of the layers.
const TRAIN_ERROR: [&str; MOST_LAYERS] = [
    "layer_1_train_error",
    "layer_2_train_error",
    "layer_3_train_error",
    "layer_4_train_error",
    "layer_5_train_error",
    "layer_6_train_error",
];
const VALIDATION_ERROR: [&str; MOST_LAYERS] = [
    "layer_1_validation_error",
    "layer_2_validation_error",
    "layer_3_validation_error",
    "layer_4_validation_error",
    "layer_5_validation_error",
    "layer_6_validation_error",
];
const TEST_ERROR: [&str; MOST_LAYERS] = [
    "layer_1_test_error",
    "layer_2_test_error",
    "layer_3_test_error",
    "layer_4_test_error",
    "layer_5_test_error",
    "layer_6_test_error",
];

/// The sections of the experiment file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    task: TaskConfig,
    network: DecolleConfig,
    learning: LearningConfig,
    #[serde(default)]
    chip: ChipConfig,
}

/// Images, each shown for a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskConfig {
    name: Images,
    /// Steps for which an image is shown.
    #[serde(default = "hundred")]
    steps: usize,
    /// Probability of a spike in a step at full brightness.
    #[serde(default = "half")]
    rate: f64,
    /// Training images, the first ones; by default all that are not held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    train: Option<usize>,
    /// Test images, the first ones; by default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test: Option<usize>,
    /// Images held out from the end of the training set.
    #[serde(default)]
    validation: usize,
}

/// How long and how fast.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LearningConfig {
    epochs: usize,
    /// Samples that step together; published: 72.
    #[serde(default = "batch")]
    batch: usize,
    rate: f64,
    #[serde(default)]
    schedule: Schedule,
    /// Where weights change.
    #[serde(default)]
    learn: Learn,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Images {
    Mnist,
    FashionMnist,
    /// 1797 digits of 8×8 pixels, inside the binary.
    Digits,
}

fn hundred() -> usize {
    100
}
fn half() -> f64 {
    0.5
}
fn batch() -> usize {
    72
}

impl Config {
    fn check(&self) -> Result<(), LessonError> {
        let least = |key, got: usize| match got {
            0 => Err(LessonError::Value { key, got: "0".into(), must: "at least 1" }),
            _ => Ok(()),
        };
        least("learning.batch", self.learning.batch)?;
        least("task.steps", self.task.steps)?;
        let rate = self.learning.rate;
        if !(rate.is_finite() && rate > 0.0) {
            let (key, got) = ("learning.rate", rate.to_string());
            return Err(LessonError::Value { key, got, must: "positive" });
        }
        if !(0.0..=1.0).contains(&self.task.rate) {
            let (key, got) = ("task.rate", self.task.rate.to_string());
            return Err(LessonError::Value { key, got, must: "a probability, between 0 and 1" });
        }
        if self.network.layers.len() > MOST_LAYERS {
            let got = self.network.layers.len().to_string();
            let key = "network.layers (their number)";
            return Err(LessonError::Value { key, got, must: "at most 6" });
        }
        self.chip.check()?;
        if self.network.burn_in >= self.task.steps {
            let got = self.network.burn_in.to_string();
            return Err(LessonError::Value {
                key: "network.burn_in",
                got,
                must: "below task.steps",
            });
        }
        Ok(self.network.check()?)
    }
}

struct DecolleLesson {
    config: Config,
    seed: u64,
    images: FullSize,
    /// Number of training, validation and test samples.
    counts: [usize; 3],
    net: Decolle<f32>,
    board: Option<Board>,
    /// `[true class, decision]` of the last layer on the test set.
    confusion: Vec<u64>,
}

/// Which samples.
#[derive(Clone, Copy)]
struct Part<'a> {
    /// 0 training files, 1 test files.
    set: usize,
    indices: &'a [usize],
    /// Of the events.
    key: u64,
}

/// Opens the lesson: reads the images and scales the first weights on some of them.
///
/// # Errors
/// Keys or values that cannot be used, files that are missing.
pub(super) fn open(
    sections: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let config: Config = parse(sections)?;
    // The configuration first: reading takes a second.
    config.check()?;
    if surroundings.chip.is_some() {
        chip::check(&config.network)?;
    }
    if config.learning.learn == Learn::OnChip {
        on_chip::check(&config.network)?;
        if surroundings.chip.is_none() {
            let must = "\"host\" without a chip: name one that learns with --chip";
            return Err(LessonError::Value { key: "learning.learn", got: "on-chip".into(), must });
        }
    }
    let images = match config.task.name {
        Images::Mnist => full_size(Family::Mnist, surroundings.data)?,
        Images::FashionMnist => full_size(Family::Fashion, surroundings.data)?,
        Images::Digits => digits()?,
    };
    let mut lesson = DecolleLesson::new(config, surroundings.seed, images)?;
    if let Some(device) = surroundings.chip {
        lesson.place(device)?;
    }
    Ok(Box::new(lesson))
}

/// The digits inside the binary.
fn digits() -> Result<FullSize, LessonError> {
    let set = load_features(&DataSpec::new(DataName::Digits))?;
    let splits = [set.train, set.test];
    let bright = |split: &crate::data::Split| -> Vec<u8> {
        let values = split.analog.iter().flat_map(|analog| &analog.values);
        values.map(|v| (255.0 * v).round() as u8).collect()
    };
    Ok(FullSize {
        side: 8,
        classes: set.classes,
        pixels: [bright(&splits[0]), bright(&splits[1])],
        labels: splits.map(|split| split.labels),
    })
}

/// Refuses more images than there are, and none.
fn within(key: &'static str, got: usize, most: usize) -> Result<usize, LessonError> {
    match (1..=most).contains(&got) {
        true => Ok(got),
        false => Err(LessonError::Value {
            key,
            got: format!("{got} of {most} images that are there"),
            must: "at least 1, and no more than there are",
        }),
    }
}

impl DecolleLesson {
    fn new(config: Config, seed: u64, images: FullSize) -> Result<Self, LessonError> {
        let [all, tests] = [0, 1].map(|k| images.labels[k].len());
        let held = config.task.validation;
        within("task.validation", held + 1, all)?;
        let train = within("task.train", config.task.train.unwrap_or(all - held), all - held)?;
        let tests = within("task.test", config.task.test.unwrap_or(tests), tests)?;
        let shape = Shape { height: images.side, width: images.side, channels: 1 };
        let net = Decolle::new(config.network.clone(), shape, images.classes, seed)?;
        let counts = [train, held, tests];
        let confusion = Vec::new();
        let mut lesson = Self { config, seed, images, counts, net, board: None, confusion };
        let first: Vec<usize> = (0..train.min(FIRST_SAMPLES)).collect();
        let key = mix(seed, stream::HELD);
        let mut trains = SpikeTrains::default();
        lesson.encode(Part { set: 0, indices: &first, key }, &mut trains)?;
        for (l, spread) in lesson.net.initialise(&trains)?.iter().enumerate() {
            tracing::debug!(
                "layer {}: membranes start with mean {:.3} and variance {:.3} after {} rounds",
                l + 1,
                spread.mean,
                spread.variance,
                spread.rounds
            );
        }
        Ok(lesson)
    }

    /// Puts the network on a chip.
    fn place(&mut self, device: Device) -> Result<(), LessonError> {
        let inputs = self.images.side * self.images.side;
        let steps = self.config.task.steps;
        let mut board = Board::new(device, self.config.chip, &self.net, [inputs, steps])?;
        if self.on_chip() {
            board.write(&self.net)?;
            board.teach(&self.net, self.config.learning.rate)?;
        }
        self.board = Some(board);
        Ok(())
    }

    /// Whether a device learns by itself.
    fn on_chip(&self) -> bool {
        self.config.learning.learn == Learn::OnChip
    }

    fn layers(&self) -> usize {
        self.net.depth()
    }

    /// Learns a batch, on the chip if there is one.
    fn learn(&mut self, batch: &Batch<'_>, rate: f64) -> Result<Decisions, LessonError> {
        let on_chip = self.on_chip();
        let Some(board) = &mut self.board else { return Ok(self.net.learn(batch, rate)?) };
        let mut all = Decisions::default();
        let net = &mut self.net;
        if on_chip {
            board.learn(batch, net, |decisions| join(&mut all, decisions))?;
            return Ok(all);
        }
        board.write(net)?;
        board.run(batch, |part| {
            join(&mut all, net.accumulate_measured(&part)?);
            Ok(())
        })?;
        net.finish_measured(rate);
        board.clamp(net);
        Ok(all)
    }

    /// Decides about samples, on the chip if there is one; its weights must have been written.
    fn decide(&mut self, trains: &SpikeTrains, labels: &[u16]) -> Result<Decisions, LessonError> {
        let Some(board) = &mut self.board else { return Ok(self.net.decide(trains)?) };
        let (mut all, net) = (Decisions::default(), &self.net);
        let batch = Batch { inputs: trains, labels, key: 0 };
        board.run(&batch, |part| {
            join(&mut all, net.decide_measured(&part)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Events of these samples.
    fn encode(&self, part: Part<'_>, into: &mut SpikeTrains) -> Result<(), LessonError> {
        let pixels = self.images.side * self.images.side;
        into.reset(self.config.task.steps, pixels);
        for index in part.indices {
            let image = &self.images.pixels[part.set][index * pixels..][..pixels];
            bernoulli(image, self.config.task.rate, mix(part.key, *index as u64), into)?;
        }
        Ok(())
    }

    fn labels(&self, part: Part<'_>) -> Vec<u16> {
        part.indices.iter().map(|index| self.images.labels[part.set][*index]).collect()
    }

    /// Share of wrong decisions of each layer; the last layer's decisions go to `each`.
    fn errors(
        &mut self,
        set: usize,
        samples: std::ops::Range<usize>,
        mut each: impl FnMut(u16, u16),
    ) -> Result<(Vec<f64>, u64), LessonError> {
        let all: Vec<usize> = samples.collect();
        let key = mix(mix(self.seed, stream::HELD), set as u64);
        let mut wrong = vec![0; self.layers()];
        let mut spikes = 0;
        let mut trains = SpikeTrains::default();
        let on_chip = self.on_chip();
        // What the device has learned is in the device.
        if let Some(board) = self.board.as_mut().filter(|_| !on_chip) {
            board.write(&self.net)?;
        }
        for indices in all.chunks(TOGETHER) {
            let part = Part { set, indices, key };
            self.encode(part, &mut trains)?;
            let labels = self.labels(part);
            let decided = self.decide(&trains, &labels)?;
            count(&decided, &labels, &mut wrong);
            spikes += decided.spikes.iter().sum::<u64>();
            let last = &decided.predicted[self.layers() - 1];
            labels.iter().zip(last).for_each(|(label, decision)| each(*label, *decision));
        }
        Ok((wrong.iter().map(|w| *w as f64 / all.len() as f64).collect(), spikes))
    }
}

/// Adds the decisions of a part to those of the parts before it.
fn join(all: &mut Decisions, part: Decisions) {
    let layers = part.predicted.len();
    all.predicted.resize_with(layers, Vec::new);
    all.spikes.resize(layers, 0);
    all.loss.resize(part.loss.len(), 0.0);
    all.predicted.iter_mut().zip(part.predicted).for_each(|(all, own)| all.extend(own));
    all.spikes.iter_mut().zip(part.spikes).for_each(|(all, own)| *all += own);
    all.loss.iter_mut().zip(part.loss).for_each(|(all, own)| *all += own);
}

/// Adds the wrong decisions of each layer.
fn count(decided: &Decisions, labels: &[u16], wrong: &mut [usize]) {
    for (wrong, predicted) in wrong.iter_mut().zip(&decided.predicted) {
        *wrong += predicted.iter().zip(labels).filter(|(p, l)| p != l).count();
    }
}

impl Lesson for DecolleLesson {
    fn epochs(&self) -> usize {
        self.config.learning.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        let learning = self.config.learning;
        let rate = learning.rate * learning.schedule.factor(epoch);
        let order = order(self.counts[0], self.seed, epoch);
        let key = mix(mix(self.seed, stream::EVENTS), epoch as u64);
        let batches = order.len().div_ceil(learning.batch);
        let on_chip = self.on_chip();
        if let Some(board) = self.board.as_mut().filter(|_| on_chip) {
            board.teach(&self.net, rate)?;
        }
        let mut wrong = vec![0; self.layers()];
        let mut loss = 0.0;
        let mut trains = SpikeTrains::default();
        for (k, indices) in order.chunks(learning.batch).enumerate() {
            if k % PART == 0 && !watch.part(k, batches) {
                return Err(LessonError::Interrupted);
            }
            let part = Part { set: 0, indices, key };
            self.encode(part, &mut trains)?;
            let labels = self.labels(part);
            let key = mix(mix(mix(self.seed, stream::DROPOUT), epoch as u64), k as u64);
            let batch = Batch { inputs: &trains, labels: &labels, key };
            let decided = self.learn(&batch, rate)?;
            count(&decided, &labels, &mut wrong);
            loss += decided.loss.iter().sum::<f64>();
        }
        let samples = self.counts[0] as f64;
        let mut figures = Figures::new();
        // A device does not tell its losses.
        if !self.on_chip() {
            figures.push(("loss", loss / samples));
        }
        let shares = wrong.iter().map(|w| *w as f64 / samples);
        figures.push(("train_accuracy", 1.0 - wrong[self.layers() - 1] as f64 / samples));
        figures.extend(TRAIN_ERROR.into_iter().zip(shares));
        if self.counts[1] > 0 {
            let all = self.images.labels[0].len();
            let (errors, _) = self.errors(0, all - self.counts[1]..all, |_, _| {})?;
            figures.push(("validation_accuracy", 1.0 - errors[self.layers() - 1]));
            figures.extend(VALIDATION_ERROR.into_iter().zip(errors));
        }
        figures.extend(self.board.as_mut().map(Board::figures).unwrap_or_default());
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let on_chip = self.on_chip();
        if let Some(board) = self.board.as_mut().filter(|_| on_chip) {
            board.read_back(&mut self.net)?;
        }
        let classes = self.images.classes;
        let mut confusion = vec![0; classes * classes];
        let (errors, spikes) = self.errors(1, 0..self.counts[2], |label, decision| {
            confusion[usize::from(label) * classes + usize::from(decision)] += 1;
        })?;
        self.confusion = confusion;
        let mut figures = vec![("test_accuracy", 1.0 - errors[self.layers() - 1])];
        figures.extend(TEST_ERROR.into_iter().zip(errors));
        figures.push(("spikes_per_sample", spikes as f64 / self.counts[2] as f64));
        if !self.on_chip() {
            figures.push(("state_bytes", self.net.state_bytes() as f64));
        }
        figures.extend(self.board.as_mut().map(Board::figures).unwrap_or_default());
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        for (name, values) in self.net.state() {
            state.put(&name, &[values.len()], values.iter().copied());
        }
        state.put_text("updates", self.net.updates());
        if let Some(board) = &self.board {
            board.save(state);
        }
    }

    fn can_go_on(&self) -> bool {
        !self.on_chip()
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        if self.on_chip() {
            return Err(cannot_go_on(NAME));
        }
        if let Some(board) = &mut self.board {
            board.restore(state)?;
        }
        let mut arrays = Vec::new();
        for (name, values) in self.net.state() {
            arrays.push((state.array::<f32>(&name, &[values.len()])?, name));
        }
        let get = |name: &str| arrays.iter().find(|a| a.1 == name).map(|a| a.0.as_slice());
        Ok(self.net.restore(state.text("updates")?, get)?)
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        let classes = (0..self.images.classes).map(|class| class.to_string()).collect();
        let matrix = ConfusionMatrix { classes, counts: self.confusion.clone() };
        let picture = figure("decisions of the last layer on the test set", &matrix.draw());
        vec![("Confusion", row(&picture))]
    }

    fn config(&self) -> toml::Table {
        table(&self.config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::method_of;

    struct Always;

    impl Watch for Always {
        fn part(&self, _done: usize, _of: usize) -> bool {
            true
        }
    }

    /// Images of 6×6 pixels in two classes: bright on the left, bright on the right.
    fn halves() -> FullSize {
        let image = |k: usize| {
            (0..36).map(move |at| if (at % 6 < 3) == k.is_multiple_of(2) { 200 } else { 20 })
        };
        let pixels = |n: usize| (0..n).flat_map(image).collect();
        let labels = |n: usize| (0..n).map(|k| (k % 2) as u16).collect();
        FullSize {
            side: 6,
            classes: 2,
            pixels: [pixels(120), pixels(20)],
            labels: [labels(120), labels(20)],
        }
    }

    fn shipped(overrides: &[&str]) -> toml::Table {
        let overrides: Vec<String> = overrides.iter().map(|set| (*set).to_owned()).collect();
        let mut sections = crate::config::table("decolle-mnist", &overrides).unwrap();
        assert_eq!(method_of(&sections).unwrap().name, "decolle");
        sections.remove("name");
        sections.remove("seed");
        sections["learning"].as_table_mut().unwrap().remove("method");
        sections
    }

    fn small() -> DecolleLesson {
        let text = "
            task = { name = 'mnist', steps = 30, validation = 20 }
            network = { layers = [{ kind = 'conv', channels = 3, kernel = 3, pool = 2 }, { kind = 'dense', units = 24 }], burn_in = 12, dropout = 0.2 }
            learning = { epochs = 4, batch = 10, rate = 1e-2 }
        ";
        let config: Config = parse(toml::from_str(text).unwrap()).unwrap();
        config.check().unwrap();
        DecolleLesson::new(config, 3, halves()).unwrap()
    }

    #[test]
    fn it_learns_and_a_restored_lesson_goes_on_with_the_same_bits() {
        let mut lesson = small();
        (0..3).for_each(|epoch| assert!(lesson.epoch(epoch, &Always).is_ok()));
        let mut state = State::default();
        lesson.save(&mut state);
        let figures = lesson.epoch(3, &Always).unwrap();
        let mut again = small();
        again.restore(&state).unwrap();
        assert_eq!(figures, again.epoch(3, &Always).unwrap());
        let end = lesson.finish().unwrap();
        assert_eq!(end, again.finish().unwrap());
        assert_eq!(end[0].0, "test_accuracy");
        assert!(end[0].1 >= 0.9, "{end:?}");
        assert_eq!(lesson.confusion.iter().sum::<u64>(), 20);
        assert!(lesson.pictures()[0].1.contains("svg"));
        let back: Config = parse(lesson.config()).unwrap();
        assert_eq!(back.network, lesson.config.network);
    }

    #[test]
    fn mistakes_are_named_with_their_key() {
        let refused = |overrides: &[&str]| {
            let surroundings = Surroundings { seed: 1, data: None, chip: None };
            open(shipped(overrides), surroundings).err().unwrap().to_string()
        };
        assert!(refused(&["learning.batch=0"]).contains("learning.batch = 0"));
        assert!(refused(&["learning.rate=-1.0"]).contains("learning.rate"));
        assert!(refused(&["task.rate=2.0"]).contains("task.rate"));
        assert!(refused(&["network.alpha=1.5"]).contains("network.alpha"));
        assert!(refused(&["network.burn_in=100"]).contains("network.burn_in"));
        assert!(refused(&["network.alfa=0.9"]).contains("did you mean `alpha`?"));
    }
}
