//! What a first-spike network learns: samples as spike times, and labels.

use crate::data::{self, DataName, DataSpec, Family, full_size};
use crate::lesson::LessonError;
use serde::{Deserialize, Serialize};
use spikeloop_models::encode::SpikeTimes;
use spikeloop_models::task::logic::Logic;
use std::path::Path;

/// Streams of the generated problems, one a split.
const STREAMS: [u64; 3] = [0xF1_00, 0xF1_01, 0xF1_02];
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
    Mnist16,
    /// Spike times in µs, as for the other methods.
    Fashion16,
}

/// The section `[task]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        match (self.name, self.problem) {
            (Name::Mnist, _) => self.images(Family::Mnist, data),
            (Name::FashionMnist, _) => self.images(Family::Fashion, data),
            (Name::Logic, problem) => self.logic(problem.unwrap_or(Logic::Xor), seed),
            (Name::Yinyang, _) => self.grid(DataName::Yinyang, data),
            (Name::Digits, _) => self.grid(DataName::Digits, data),
            (Name::Mnist16, _) => self.grid(DataName::Mnist16, data),
            (Name::Fashion16, _) => self.grid(DataName::Fashion16, data),
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
        })
    }

    fn images(&self, family: Family, data: Option<&Path>) -> Result<Task, LessonError> {
        let images = full_size(family, data)?;
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
        Ok(Task {
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
            copies: Some(1),
            ..DataSpec::new(name)
        };
        let set = data::load(&spec, data)?;
        let split = |split: data::Split| Split { times: split.times, labels: split.labels };
        Ok(Task {
            inputs: set.inputs,
            class_names: set.class_names.clone(),
            train: split(set.train),
            validation: set.validation.map(split),
            test: split(set.test),
        })
    }
}

/// `t = 1 − p/256`; background does not spike.
fn first_spikes(images: &[u8], pixels: usize) -> SpikeTimes {
    let mut times = SpikeTimes::new(pixels);
    for image in images.chunks_exact(pixels) {
        times.push_sample(image.iter().map(|p| match p {
            0 => f32::INFINITY,
            p => 1.0 - f32::from(*p) / 256.0,
        }));
    }
    times
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
    fn a_task_that_cannot_be_is_refused_by_key() {
        for (text, key) in [
            ("name = \"logic\"", "task.problem"),
            ("name = \"yinyang\"\nproblem = \"or\"", "task.problem"),
            ("name = \"logic\"\nproblem = \"or\"\ntest = 0", "task.test"),
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
}
