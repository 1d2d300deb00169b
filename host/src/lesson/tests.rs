//! The path around a lesson, with a lesson that adds one.

use super::run::{Heading, LessonEnding, LessonRun, Observer};
use super::*;
use crate::run_folder::{RunFolder, file};

/// Adds one an epoch; turns into no number after `breaks` epochs.
struct Counting {
    value: f64,
    epochs: usize,
    breaks: usize,
}

impl Lesson for Counting {
    fn epochs(&self) -> usize {
        self.epochs
    }

    fn epoch(&mut self, epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        if !watch.part(0, 1) {
            return Err(LessonError::Interrupted);
        }
        self.value += 1.0;
        let loss = if epoch >= self.breaks { f64::NAN } else { 1.0 / self.value };
        Ok(vec![("loss", loss), ("train_accuracy", 0.5)])
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        Ok(vec![("total", self.value), ("test_accuracy", 0.975)])
    }

    fn save(&self, state: &mut State) {
        state.put("value", &[1], [self.value]);
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        self.value = state.array("value", &[1])?[0];
        Ok(())
    }

    fn config(&self) -> toml::Table {
        toml::Table::new()
    }
}

/// Stops before epoch `stop`.
struct Stop {
    stop: usize,
    seen: std::cell::Cell<usize>,
}

impl Watch for Stop {
    fn part(&self, _done: usize, _of: usize) -> bool {
        true
    }
}

impl Observer for Stop {
    fn epoch(&self, _: &str, epoch: usize, _: usize, _: &Figures, _: f64) {
        self.seen.set(epoch);
    }

    fn interrupted(&self) -> bool {
        self.seen.get() >= self.stop
    }
}

fn heading() -> Heading {
    Heading {
        name: "counting".into(),
        method: "counting",
        seed: 1,
        chip: None,
        config: "name = \"counting\"\n".into(),
        command: "spikeloop train counting".into(),
    }
}

fn stop(stop: usize) -> Stop {
    Stop { stop, seen: std::cell::Cell::new(0) }
}

#[test]
fn a_run_that_was_interrupted_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let lesson = || Box::new(Counting { value: 0.0, epochs: 5, breaks: 9 });
    let folder = RunFolder::create(dir.path()).unwrap();
    let mut run = LessonRun::start(heading(), lesson(), folder.clone()).unwrap();
    assert!(matches!(run.learn(&stop(2)).unwrap(), LessonEnding::Interrupted(2)));
    let mut run = LessonRun::resume(heading(), lesson(), folder.clone()).unwrap();
    let LessonEnding::Complete(summary) = run.learn(&stop(99)).unwrap() else { panic!() };
    assert_eq!((summary.epochs, summary.figures["total"].as_f64()), (5, Some(5.0)));
    let lines: Vec<serde_json::Value> = folder.lines(file::METRICS).unwrap();
    assert_eq!(lines.len(), 5);
    let page = String::from_utf8(folder.read(file::REPORT).unwrap()).unwrap();
    assert!(page.contains("97.50 %") && page.contains("train accuracy"));
    let kept: serde_json::Value = folder.read_json(file::SUMMARY).unwrap();
    assert_eq!(kept["test_accuracy"], 0.975);
}

#[test]
fn a_number_that_is_none_stops_the_run_and_names_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path()).unwrap();
    let lesson = || Box::new(Counting { value: 0.0, epochs: 5, breaks: 3 });
    let mut run = LessonRun::start(heading(), lesson(), folder.clone()).unwrap();
    run.learn(&stop(2)).unwrap();
    let mut run = LessonRun::resume(heading(), lesson(), folder).unwrap();
    let error = run.learn(&stop(99)).unwrap_err().to_string();
    assert!(error.contains("epoch 4: loss is NaN") && error.contains("epoch 2 is kept"), "{error}");
}

#[test]
fn a_state_of_another_lesson_is_refused() {
    let mut state = State::default();
    state.put("value", &[2], [1.0_f32, f32::MIN_POSITIVE]);
    let back = State::from_bytes(&state.to_bytes().unwrap()).unwrap();
    assert_eq!(back.array::<f32>("value", &[2]).unwrap(), [1.0, f32::MIN_POSITIVE]);
    let mut lesson = Counting { value: 0.0, epochs: 1, breaks: 1 };
    let error = lesson.restore(&back).unwrap_err().to_string();
    assert!(error.contains("value has shape [2], needed is [1]"), "{error}");
    assert!(state.text::<u64>("steps").is_err());
}
