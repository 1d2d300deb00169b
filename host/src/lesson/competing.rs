//! Competing hidden units on images, and the readout on top of them
//! ([`spikeloop_models::method::competing`]).

use super::{Figures, Lesson, LessonError, State, Surroundings, Watch, order, parse, table};
use crate::data::{Family, FullSize, full_size};
use crate::picture::{HeatMap, HistogramChart, HistogramSeries};
use crate::report::{figure, row};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use spikeloop_models::method::competing::readout::{Readout, ReadoutConfig};
use spikeloop_models::method::competing::{Competing, CompetingConfig, Patterns};

/// A unit counts as converged if its norm is this near to 1.
const NEAR: f64 = 0.01;
/// Receptive fields of a picture: so many beside and so many above each other.
const ACROSS: usize = 14;
const DOWN: usize = 10;
/// Parts of an epoch after which the user is asked whether to go on.
const PARTS: usize = 10;
/// Names of the arrays of the readout's state.
const READOUT: [&str; 3] = ["readout_weights", "readout_mean", "readout_square"];

/// The sections of the experiment file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    task: TaskConfig,
    #[serde(default)]
    learning: CompetingConfig,
    #[serde(default)]
    readout: ReadoutConfig,
}

/// Which images.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskConfig {
    name: Images,
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

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Images {
    Mnist,
    FashionMnist,
}

/// Images with their labels, and what the hidden units make of them once they are learned.
struct Split {
    patterns: Patterns<f32>,
    labels: Vec<u16>,
    activations: Option<Array2<f32>>,
}

impl Split {
    fn new(pixels: &[u8], labels: &[u16], inputs: usize) -> Result<Self, LessonError> {
        let values = pixels.iter().map(|v| f32::from(*v) / 255.0).collect();
        let images = Array2::from_shape_vec((labels.len(), inputs), values);
        let images = images
            .map_err(|e| LessonError::State { name: "images".into(), problem: e.to_string() })?;
        let patterns = Patterns::new(images.view())?;
        Ok(Self { patterns, labels: labels.to_vec(), activations: None })
    }

    fn all(&self) -> Vec<usize> {
        (0..self.labels.len()).collect()
    }

    /// What the readout reads; made when it is first asked for.
    fn activations(
        &mut self,
        units: &Competing<f32>,
        power: f64,
    ) -> Result<(ArrayView2<'_, f32>, &[u16]), LessonError> {
        let made = match self.activations.take() {
            Some(made) => made,
            None => units.activations(&self.patterns, power)?,
        };
        Ok((self.activations.insert(made).view(), &self.labels))
    }
}

struct CompetingLesson {
    config: Config,
    seed: u64,
    side: usize,
    units: Competing<f32>,
    readout: Readout<f32>,
    train: Split,
    validation: Option<Split>,
    test: Split,
}

/// Opens the lesson: reads the images.
///
/// # Errors
/// Keys or values that cannot be used, files that are missing.
pub(super) fn open(
    sections: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let config: Config = parse(sections)?;
    let family = match config.task.name {
        Images::Mnist => Family::Mnist,
        Images::FashionMnist => Family::Fashion,
    };
    // The configuration first: reading takes a second.
    config.learning.check()?;
    config.readout.check()?;
    let images = full_size(family, surroundings.data)?;
    Ok(Box::new(CompetingLesson::new(config, surroundings.seed, &images)?))
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

impl CompetingLesson {
    fn new(config: Config, seed: u64, images: &FullSize) -> Result<Self, LessonError> {
        let inputs = images.side * images.side;
        let [all, tests] = [0, 1].map(|k| images.labels[k].len());
        let held = config.task.validation;
        within("task.validation", held + 1, all)?;
        let train = within("task.train", config.task.train.unwrap_or(all - held), all - held)?;
        let tests = within("task.test", config.task.test.unwrap_or(tests), tests)?;
        let split = |set: usize, from: usize, to: usize| {
            let pixels = &images.pixels[set][from * inputs..to * inputs];
            Split::new(pixels, &images.labels[set][from..to], inputs)
        };
        Ok(Self {
            units: Competing::new(config.learning, inputs, seed)?,
            readout: Readout::new(config.readout, config.learning.hidden, images.classes, seed)?,
            train: split(0, 0, train)?,
            validation: (held > 0).then(|| split(0, all - held, all)).transpose()?,
            test: split(1, 0, tests)?,
            side: images.side,
            config,
            seed,
        })
    }

    /// An epoch of the hidden units.
    fn compete(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        let order = order(self.train.labels.len(), self.seed, epoch);
        // Whole batches, so that the cut changes nothing.
        let batches = order.len().div_ceil(self.config.learning.batch);
        let part = batches.div_ceil(PARTS) * self.config.learning.batch;
        for (done, part) in order.chunks(part).enumerate() {
            if !watch.part(done, PARTS) {
                return Err(LessonError::Interrupted);
            }
            self.units.epoch(epoch, &self.train.patterns, part)?;
        }
        Ok(self.norms())
    }

    /// Share of converged units, smallest and largest norm.
    fn norms(&self) -> Figures {
        let norms = self.units.norms();
        let near = norms.iter().filter(|norm| (*norm - 1.0).abs() < NEAR).count();
        vec![
            ("unit_norm_share", near as f64 / norms.len() as f64),
            ("smallest_norm", norms.iter().copied().fold(f64::INFINITY, f64::min)),
            ("largest_norm", norms.iter().copied().fold(0.0, f64::max)),
        ]
    }

    /// An epoch of the readout.
    fn read(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        if !watch.part(0, 1) {
            return Err(LessonError::Interrupted);
        }
        let power = self.config.readout.power;
        let order = order(self.train.labels.len(), self.seed, epoch);
        let (activations, labels) = self.train.activations(&self.units, power)?;
        let score = self.readout.epoch(activations, labels, &order)?;
        let mut figures = vec![("loss", score.loss), ("train_accuracy", score.accuracy)];
        if let Some(validation) = &mut self.validation {
            let all = validation.all();
            let (activations, labels) = validation.activations(&self.units, power)?;
            let score = self.readout.score(activations, labels, &all)?;
            figures.push(("validation_accuracy", score.accuracy));
        }
        Ok(figures)
    }
}

impl Lesson for CompetingLesson {
    fn epochs(&self) -> usize {
        self.config.learning.epochs + self.config.readout.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        match epoch < self.config.learning.epochs {
            true => self.compete(epoch, watch),
            false => self.read(epoch, watch),
        }
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let power = self.config.readout.power;
        let mut figures = self.norms();
        for (name, split) in
            [("train_accuracy", &mut self.train), ("test_accuracy", &mut self.test)]
        {
            let all = split.all();
            let (activations, labels) = split.activations(&self.units, power)?;
            figures.push((name, self.readout.score(activations, labels, &all)?.accuracy));
        }
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        let weights = self.units.weights();
        state.put("competing_weights", weights.shape(), weights.iter().copied());
        // The step of the hidden units depends on the number of their epochs.
        state.put_text("competing.epochs", self.config.learning.epochs);
        state.put_text("readout.steps", self.readout.steps());
        for (name, values) in READOUT.into_iter().zip(self.readout.state()) {
            state.put(name, &[values.len()], values);
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        let epochs: usize = state.text("competing.epochs")?;
        if epochs != self.config.learning.epochs {
            return Err(LessonError::State {
                name: "learning.epochs".into(),
                problem: format!(
                    "is {} and was {epochs}: the rate of the hidden units depends on it",
                    self.config.learning.epochs
                ),
            });
        }
        let shape = [self.units.weights().nrows(), self.units.weights().ncols()];
        let weights = state.array::<f32>("competing_weights", &shape)?;
        let wrong = |e: ndarray::ShapeError| LessonError::State {
            name: "competing_weights".into(),
            problem: e.to_string(),
        };
        let weights = Array2::from_shape_vec(shape, weights).map_err(wrong)?;
        let length = self.readout.state()[0].len();
        let array = |name: &str| state.array::<f32>(name, &[length]);
        let [w, m, v] = [array(READOUT[0])?, array(READOUT[1])?, array(READOUT[2])?];
        self.units.set_weights(weights.view())?;
        Ok(self.readout.restore(state.text("readout.steps")?, [&w, &m, &v])?)
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        let norms = self.units.norms();
        let histogram = HistogramChart {
            title: "norms of the receptive fields".into(),
            x_label: format!("L{} norm", self.config.learning.norm),
            series: vec![HistogramSeries { name: "units".into(), values: norms }],
            bins: 40,
            ..HistogramChart::default()
        };
        let fields = figure("receptive fields of the first units", &self.fields().draw());
        let norms = figure("norms of all units", &histogram.draw());
        vec![("Receptive fields", row(&fields)), ("Norms", row(&norms))]
    }

    fn config(&self) -> toml::Table {
        table(&self.config)
    }
}

impl CompetingLesson {
    /// The weights of the first units as images, side by side.
    fn fields(&self) -> HeatMap {
        let (side, weights) = (self.side, self.units.weights());
        let columns = ACROSS * side;
        let rows = weights.nrows().div_ceil(ACROSS).min(DOWN) * side;
        let pixel = |row: usize, column: usize| {
            let unit = row / side * ACROSS + column / side;
            let at = row % side * side + column % side;
            weights.get([unit, at]).map_or(f64::NAN, |w| f64::from(*w))
        };
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        HeatMap {
            title: "weights of the hidden units as images".into(),
            value_label: "weight".into(),
            x_label: "pixel".into(),
            y_label: "pixel".into(),
            columns,
            values: cells.map(|(row, column)| pixel(row, column)).collect(),
            ..HeatMap::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::testing::Always;

    /// Images of 4×4 pixels in two classes: bars that lie, bars that stand.
    fn bars() -> FullSize {
        let image = |k: usize| -> Vec<u8> {
            let on = |at: usize| {
                if k.is_multiple_of(2) { at / 4 == k / 2 % 4 } else { at % 4 == k / 2 % 4 }
            };
            (0..16).map(|at| if on(at) { 255 - (k % 7) as u8 } else { 0 }).collect()
        };
        let labels = |n: usize| (0..n).map(|k| (k % 2) as u16).collect();
        FullSize {
            side: 4,
            classes: 2,
            pixels: [(0..80).flat_map(image).collect(), (0..16).flat_map(image).collect()],
            labels: [labels(80), labels(16)],
        }
    }

    fn lesson(extra: &str) -> Result<CompetingLesson, LessonError> {
        let text = format!(
            "[task]\nname = \"mnist\"\nvalidation = 16\n{extra}\n[learning]\nhidden = 20\nepochs = 30\nbatch = 8\n\
             [readout]\nepochs = 40\nbatch = 8\nrate = 0.01\nbeta = 0.5\n"
        );
        let config = parse(text.parse().unwrap())?;
        CompetingLesson::new(config, 3, &bars())
    }

    #[test]
    fn bars_are_told_apart_and_a_restored_lesson_goes_on() {
        let mut one = lesson("").unwrap();
        let mut other = lesson("").unwrap();
        for epoch in 0..one.epochs() {
            // Once in the first stage, once in the second.
            if epoch == 7 || epoch == 35 {
                let mut state = State::default();
                one.save(&mut state);
                other = lesson("").unwrap();
                other.restore(&state).unwrap();
            }
            let figures = one.epoch(epoch, &Always).unwrap();
            if epoch >= 7 {
                assert_eq!(other.epoch(epoch, &Always).unwrap(), figures, "epoch {epoch}");
            }
        }
        let figures = one.finish().unwrap();
        assert_eq!(figures, other.finish().unwrap());
        let test = figures.iter().find(|(name, _)| *name == "test_accuracy").unwrap().1;
        assert_eq!(test, 1.0, "{figures:?}");
        let fields = one.fields();
        assert_eq!((fields.columns, fields.values.len()), (56, 56 * 8));
        assert!(fields.values[0].is_finite() && fields.values.last().unwrap().is_nan());
        assert_eq!(one.pictures().len(), 2);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (extra, key) in
            [("train = 100", "task.train"), ("test = 0", "task.test"), ("trian = 3", "trian")]
        {
            let error = lesson(extra).err().unwrap().to_string();
            assert!(error.contains(key), "{error}");
        }
        let mut state = State::default();
        lesson("").unwrap().save(&mut state);
        state.put_text("competing.epochs", 31);
        let error = lesson("").unwrap().restore(&state).unwrap_err().to_string();
        assert!(error.contains("learning.epochs"), "{error}");
    }
}
