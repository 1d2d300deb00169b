//! What a first-spike network learns: samples as spike times, and labels.

use crate::data::{self, Analog, DataName, DataSpec, Family, full_size};
use crate::lesson::LessonError;
use serde::{Deserialize, Serialize};
use spikeloop_models::encode::SpikeTimes;
use spikeloop_models::random::mix;
use spikeloop_models::task::logic::Logic;
use std::path::Path;

/// Streams of the generated problems, one a split.
const STREAMS: [u64; 3] = [0xF1_00, 0xF1_01, 0xF1_02];
/// Purpose of the random moves.
const MOVES: u64 = 0xF1_03;
/// Sizes of the generated problems: training and validation of the released code, test of the paper.
const GENERATED: [usize; 3] = [1000, 100, 150];

/// Which task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Name {
    /// 28×28 pixels, `t = 1 − p/256`, background never (Comsa et al. 2019).
    Mnist,
    /// As MNIST.
    FashionMnist,
    /// A Boolean problem or the disc in a ring, by `problem`.
    Logic,
    /// Spike times in µs, as for the other methods.
    Yinyang,
    /// Spike times in µs, as for the other methods.
    Digits,
    /// Spike times in µs, as for the other methods.
    Iris,
    /// Spike times in µs, as for the other methods.
    Mnist16,
    /// Spike times in µs, as for the other methods.
    Fashion16,
}

/// When features spike, in the unit of the network's time constant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeatureTimes {
    /// Of a feature of 0.
    early: f32,
    /// Of a feature of 1; in between in proportion.
    late: f32,
    /// Of one more input that always spikes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias: Option<f32>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn none(pixels: &usize) -> bool {
    *pixels == 0
}

/// The section `[task]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskConfig {
    name: Name,
    /// Which problem, for `logic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Logic>,
    /// Training samples; all that are not held out by default, 1000 generated ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    train: Option<usize>,
    /// Samples held out from the end of the training set, by which the network of the best epoch is
    /// chosen; none by default, 100 generated ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validation: Option<usize>,
    /// Test samples; all by default, 150 generated ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test: Option<usize>,
    /// How often each input of the tasks of other methods is repeated: once by default. Copies have weights of
    /// their own, so a chip with weights that end early can add them up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copies: Option<usize>,
    /// Pixels by which each training image is moved at most, anew in every epoch; for the images of 28×28 pixels.
    #[serde(default, skip_serializing_if = "none")]
    shift: usize,
    /// When the features of `yinyang`, `digits` and `iris` spike; by default the times of the other methods, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<FeatureTimes>,
}

/// Samples with labels.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) times: SpikeTimes,
    pub(super) labels: Vec<u16>,
}

impl Split {
    fn part(&self, start: usize, end: usize) -> Self {
        let labels = self.labels[start.min(end)..end].to_vec();
        Self { times: self.times.slice(start, end), labels }
    }
}

/// A task, loaded.
pub(super) struct Task {
    pub(super) inputs: usize,
    pub(super) class_names: Vec<String>,
    pub(super) train: Split,
    pub(super) validation: Option<Split>,
    pub(super) test: Split,
    /// The training images, if they are moved while they are learned.
    moving: Option<Moving>,
}

/// Images that are moved a little before they are learned: more training data for nothing.
struct Moving {
    /// `[image, row, column]`.
    pixels: Vec<u8>,
    side: usize,
    /// Pixels at most, along each axis.
    most: usize,
}

impl Moving {
    /// Spike times of all images, each moved by its own draw of `key`. What leaves the frame is lost, what enters
    /// is background.
    fn times(&self, key: u64) -> SpikeTimes {
        let (side, choices) = (self.side, 2 * self.most as u64 + 1);
        let mut times = SpikeTimes::new(side * side);
        for (k, image) in self.pixels.chunks_exact(side * side).enumerate() {
            let bits = mix(key, k as u64);
            let by = [bits % choices, (bits >> 32) % choices].map(|by| by as usize);
            // Source = target + most − by, on an image with a frame of background.
            let source = |at: usize, by: usize| {
                (at + self.most).checked_sub(by).filter(|source| *source < side)
            };
            let pixel = |at: usize| match (source(at / side, by[0]), source(at % side, by[1])) {
                (Some(row), Some(column)) => image[row * side + column],
                _ => 0,
            };
            times.push_sample((0..side * side).map(|at| first_spike(pixel(at))));
        }
        times
    }
}

impl Task {
    /// Moves the training images for `epoch`, if they are to be.
    pub(super) fn begin_epoch(&mut self, seed: u64, epoch: usize) {
        if let Some(moving) = &self.moving {
            self.train.times = moving.times(mix(mix(seed, MOVES), epoch as u64));
        }
    }

    /// The last spike of any sample.
    pub(super) fn latest(&self) -> f64 {
        let splits = [Some(&self.train), self.validation.as_ref(), Some(&self.test)];
        let last = |split: &Split| {
            let samples = 0..split.times.samples();
            samples.flat_map(|k| split.times.sample(k).0).copied().fold(0.0, f32::max)
        };
        f64::from(splits.into_iter().flatten().map(last).fold(0.0, f32::max))
    }
}

impl TaskConfig {
    /// Loads or makes the samples.
    pub(super) fn load(&self, seed: u64, data: Option<&Path>) -> Result<Task, LessonError> {
        if self.problem.is_some() != (self.name == Name::Logic) {
            return Err(LessonError::Value {
                key: "task.problem",
                got: self.problem.map_or("nothing".into(), |p| format!("{p:?}").to_lowercase()),
                must: "and, or, xor or circle for task.name = \"logic\", and left out for others",
            });
        }
        self.check_repeats()?;
        match (self.name, self.problem) {
            (Name::Mnist, _) => self.images(Family::Mnist, data),
            (Name::FashionMnist, _) => self.images(Family::Fashion, data),
            (Name::Logic, problem) => self.logic(problem.unwrap_or(Logic::Xor), seed),
            (Name::Yinyang, _) => self.grid(DataName::Yinyang, data),
            (Name::Digits, _) => self.grid(DataName::Digits, data),
            (Name::Iris, _) => self.grid(DataName::Iris, data),
            (Name::Mnist16, _) => self.grid(DataName::Mnist16, data),
            (Name::Fashion16, _) => self.grid(DataName::Fashion16, data),
        }
    }

    /// Copies and times of features belong to some tasks only.
    fn check_repeats(&self) -> Result<(), LessonError> {
        let features = matches!(self.name, Name::Yinyang | Name::Digits | Name::Iris);
        let own = matches!(self.name, Name::Mnist | Name::FashionMnist | Name::Logic);
        let value = |key, got: String, must| Err(LessonError::Value { key, got, must });
        let images = matches!(self.name, Name::Mnist | Name::FashionMnist);
        if self.shift > 14 || (self.shift > 0 && !images) {
            let must = "at most 14, and left out but for mnist and fashion-mnist";
            return value("task.shift", self.shift.to_string(), must);
        }
        if let Some(copies) = self.copies
            && (own || !(1..=255).contains(&copies))
        {
            let must = "1 to 255, and left out for mnist, fashion-mnist and logic";
            return value("task.copies", copies.to_string(), must);
        }
        let Some(times) = self.times else { return Ok(()) };
        let (bias, late) = (times.bias.unwrap_or(0.0), times.late);
        let fine = times.early >= 0.0 && bias >= 0.0 && bias.is_finite() && late.is_finite();
        match features && fine && times.early < late {
            true => Ok(()),
            false => {
                let must = "for yinyang, digits or iris, at least 0, and early before late";
                value("task.times", format!("{times:?}"), must)
            }
        }
    }

    fn logic(&self, problem: Logic, seed: u64) -> Result<Task, LessonError> {
        let wanted = [self.train, self.validation, self.test];
        let make = |k: usize| {
            let count = wanted[k].unwrap_or(GENERATED[k]);
            let (times, labels) = problem.samples(count, seed, STREAMS[k]);
            Split { times, labels }
        };
        for (key, count) in [("task.train", self.train), ("task.test", self.test)] {
            if count == Some(0) {
                return Err(LessonError::Value { key, got: "0".into(), must: "at least 1" });
            }
        }
        Ok(Task {
            inputs: 2,
            class_names: vec!["false".into(), "true".into()],
            train: make(0),
            validation: (self.validation != Some(0)).then(|| make(1)),
            test: make(2),
            moving: None,
        })
    }

    fn images(&self, family: Family, data: Option<&Path>) -> Result<Task, LessonError> {
        let mut images = full_size(family, data)?;
        let pixels = images.side * images.side;
        let [all, tests] = [0, 1].map(|k| Split {
            times: first_spikes(&images.pixels[k], pixels),
            labels: images.labels[k].clone(),
        });
        let (total, held) = (all.labels.len(), self.validation.unwrap_or(0));
        let left = total.saturating_sub(held);
        let train = within("task.train", self.train.unwrap_or(left), left)?;
        let test =
            within("task.test", self.test.unwrap_or(tests.labels.len()), tests.labels.len())?;
        let moving = (self.shift > 0).then(|| {
            let mut pixels_of_training = std::mem::take(&mut images.pixels[0]);
            pixels_of_training.truncate(train * pixels);
            Moving { pixels: pixels_of_training, side: images.side, most: self.shift }
        });
        Ok(Task {
            moving,
            inputs: pixels,
            class_names: family.class_names().iter().map(|name| (*name).to_owned()).collect(),
            train: all.part(0, train),
            validation: (held > 0).then(|| all.part(left, total)),
            test: tests.part(0, test),
        })
    }

    fn grid(&self, name: DataName, data: Option<&Path>) -> Result<Task, LessonError> {
        let spec = DataSpec {
            train: self.train,
            test: self.test,
            validation: self.validation.unwrap_or(0),
            copies: self.copies.or(Some(1)),
            ..DataSpec::new(name)
        };
        let set = match self.times {
            None => data::load(&spec, data)?,
            Some(_) => data::load_features(&spec)?,
        };
        let copies = self.copies.unwrap_or(1);
        let split = |split: data::Split| match (self.times, split.analog) {
            (Some(times), Some(analog)) => {
                Split { times: times.spikes(&analog, copies), labels: split.labels }
            }
            _ => Split { times: split.times, labels: split.labels },
        };
        let train = split(set.train);
        Ok(Task {
            inputs: train.times.units(),
            class_names: set.class_names.clone(),
            train,
            validation: set.validation.map(split),
            test: split(set.test),
            moving: None,
        })
    }
}

impl FeatureTimes {
    /// All features and the bias of every sample, and that `copies` times.
    fn spikes(&self, analog: &Analog, copies: usize) -> SpikeTimes {
        let inputs = analog.channels + usize::from(self.bias.is_some());
        let mut times = SpikeTimes::new(inputs * copies);
        let one = |f: &f32| self.early + (self.late - self.early) * f;
        for features in analog.values.chunks_exact(analog.channels * analog.steps) {
            let sample: Vec<f32> = features.iter().map(one).chain(self.bias).collect();
            times.push_sample(sample.iter().copied().cycle().take(inputs * copies));
        }
        times
    }
}

/// `t = 1 − p/256`; background does not spike.
fn first_spikes(images: &[u8], pixels: usize) -> SpikeTimes {
    let mut times = SpikeTimes::new(pixels);
    for image in images.chunks_exact(pixels) {
        times.push_sample(image.iter().map(|p| first_spike(*p)));
    }
    times
}

fn first_spike(brightness: u8) -> f32 {
    match brightness {
        0 => f32::INFINITY,
        p => 1.0 - f32::from(p) / 256.0,
    }
}

/// Refuses more samples than there are, and none.
fn within(key: &'static str, got: usize, most: usize) -> Result<usize, LessonError> {
    if (1..=most).contains(&got) {
        return Ok(got);
    }
    Err(LessonError::Value {
        key,
        got: format!("{got} of {most} samples that are there"),
        must: "at least 1, and no more than there are",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: &str) -> Result<Task, LessonError> {
        let config: TaskConfig = toml::from_str(text).unwrap();
        config.load(1, None)
    }

    #[test]
    fn generated_splits_have_their_sizes_and_differ() {
        let made = task("name = \"logic\"\nproblem = \"xor\"").unwrap();
        let validation = made.validation.unwrap();
        let sizes = [&made.train, &validation, &made.test].map(|s| s.labels.len());
        assert_eq!(sizes, GENERATED);
        assert_ne!(made.train.times.sample(0), made.test.times.sample(0));
        assert!(
            task("name = \"logic\"\nproblem = \"and\"\nvalidation = 0")
                .unwrap()
                .validation
                .is_none()
        );
    }

    #[test]
    fn features_spike_in_proportion_with_a_bias_and_copies() {
        let text = "name = \"yinyang\"\ntrain = 3\ntest = 2\nvalidation = 1\ncopies = 2\n\
                    times = { early = 0.15, late = 2.0, bias = 0.9 }";
        let made = task(text).unwrap();
        assert_eq!(
            (made.inputs, made.train.times.samples(), made.test.times.samples()),
            (10, 3, 2)
        );
        let (times, ids) = made.train.times.sample(1);
        assert_eq!(times.len(), 10);
        let of = |id: u16| times[ids.iter().position(|k| *k == id).unwrap()];
        for id in 0..5 {
            assert_eq!(of(id), of(id + 5), "a copy");
        }
        assert_eq!(of(4), 0.9);
        // x and 1 − x: their times are mirrored about the middle.
        assert!((of(0) + of(2) - 2.15).abs() < 1e-6 && (of(1) + of(3) - 2.15).abs() < 1e-6);
        assert!(made.latest() > 1.0 && made.latest() <= 2.0);
        assert_eq!(task("name = \"yinyang\"").unwrap().inputs, 5);
    }

    #[test]
    fn a_task_that_cannot_be_is_refused_by_key() {
        for (text, key) in [
            ("name = \"logic\"", "task.problem"),
            ("name = \"yinyang\"\nproblem = \"or\"", "task.problem"),
            ("name = \"logic\"\nproblem = \"or\"\ntest = 0", "task.test"),
            ("name = \"yinyang\"\ncopies = 0", "task.copies"),
            ("name = \"mnist\"\ncopies = 2", "task.copies"),
            ("name = \"iris\"\nshift = 1", "task.shift"),
            ("name = \"mnist\"\nshift = 15", "task.shift"),
            ("name = \"mnist16\"\ntimes = { early = 0.0, late = 1.0 }", "task.times"),
            ("name = \"yinyang\"\ntimes = { early = 2.0, late = 1.0 }", "task.times"),
        ] {
            let refused = task(text).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(refused.contains(key), "{text}: {refused}");
        }
    }

    #[test]
    fn bright_pixels_spike_early_and_background_never() {
        let times = first_spikes(&[0, 255, 1, 128], 4);
        assert_eq!(times.sample(0), (&[1.0 / 256.0, 0.5, 255.0 / 256.0][..], &[1, 3, 2][..]));
    }

    /// One bright pixel in the middle of 5×5 goes everywhere within a pixel, and nowhere else.
    #[test]
    fn images_move_by_a_pixel_at_most_and_the_same_way_for_a_key() {
        let mut image = [0; 25];
        image[12] = 128;
        let moving = Moving { pixels: image.repeat(200), side: 5, most: 1 };
        let times = moving.times(7);
        assert_eq!(times, moving.times(7));
        let mut seen: Vec<u16> = (0..200).flat_map(|k| times.sample(k).1.to_vec()).collect();
        assert_eq!(seen.len(), 200);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [6, 7, 8, 11, 12, 13, 16, 17, 18]);
        // What leaves the frame is lost.
        let mut corner = [0; 25];
        corner[0] = 255;
        let times = Moving { pixels: corner.repeat(200), side: 5, most: 1 }.times(7);
        let left = (0..200).filter(|k| !times.sample(*k).1.is_empty()).count();
        assert!((60..120).contains(&left), "four of nine moves keep it: {left} of 200");
    }
}
