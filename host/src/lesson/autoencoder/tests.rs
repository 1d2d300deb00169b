#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::lesson::testing::{Always, open_shipped};

/// A ring of 20, patterns of 60 ms, 4 hidden neurons.
const SMALL: [&str; 6] = [
    "task.units=20",
    "task.width=2.0",
    "task.duration-ms=60.0",
    "network.hidden=4",
    "learning.epochs=3",
    "learning.patterns=3",
];

fn small(more: &[&str]) -> Box<dyn Lesson> {
    let set: Vec<&str> = SMALL.iter().chain(more).copied().collect();
    open_shipped("autoencoder", &set).unwrap()
}

fn figure(figures: &Figures, name: &str) -> Option<f64> {
    figures.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}

#[test]
fn a_lesson_goes_on_with_the_same_bits() {
    let set = ["learning.block-ms=100.0", "learning.init=20.0"];
    let mut whole = small(&set);
    (0..3).for_each(|epoch| drop(whole.epoch(epoch, &Always).unwrap()));
    let mut first = small(&set);
    first.epoch(0, &Always).unwrap();
    let mut state = State::default();
    first.save(&mut state);
    let mut second = small(&set);
    second.restore(&state).unwrap();
    (1..3).for_each(|epoch| drop(second.epoch(epoch, &Always).unwrap()));
    let (end, again) = (whole.finish().unwrap(), second.finish().unwrap());
    assert_eq!(end, again);
    assert!(figure(&end, "output_spikes").unwrap() > 0.0, "{end:?}");
    // It has learned in between: weights are not the first ones.
    assert_ne!(figure(&end, "test_cost"), figure(&end, "untrained_cost"));
}

#[test]
fn the_test_leaves_what_is_learned_alone() {
    let mut lesson = small(&[]);
    lesson.epoch(0, &Always).unwrap();
    let state = |lesson: &dyn Lesson| {
        let mut state = State::default();
        lesson.save(&mut state);
        state
    };
    let before = state(lesson.as_ref());
    lesson.finish().unwrap();
    assert_eq!(before, state(lesson.as_ref()));
    assert_eq!(lesson.pictures().len(), 2);
}

#[test]
fn silence_costs_the_filtered_target_and_cannot_be_decoded() {
    let silent = ["learning.init=0.0"];
    let end = small(&silent).finish().unwrap();
    assert_eq!(figure(&end, "test_cost"), figure(&end, "silent_cost"));
    assert_eq!(figure(&end, "relative_cost"), Some(1.0));
    // A guess on a ring of 20 is 5 off.
    assert_eq!(figure(&end, "centre_error"), Some(5.0));
    assert_eq!(figure(&end, "no_centre_share"), Some(1.0));
    // The same from the rates: per output the number of spikes, and what their kernels share, which is
    // 30 ms for kernels of 10 and 5 ms, cut at the end of a pattern.
    let ring = Ring { units: 20, width: 2.0, duration_ms: 60.0, ..Ring::default() };
    let (count, shared) = (0..20).fold((0.0, 0.0), |(count, shared), unit| {
        let per_ms = ring.rate(unit, 0.0) * 1e-3;
        (count + 60.0 * per_ms, shared + 60.0 * 30.0 * per_ms * per_ms)
    });
    let cost = figure(&end, "silent_cost").unwrap() * 20.0;
    assert!(cost > 0.5 * (count + shared) && cost < count + shared, "{cost}");
}

#[test]
fn the_control_has_no_centre() {
    let mut lesson = small(&["task.code=uniform"]);
    let figures = lesson.epoch(0, &Always).unwrap();
    assert_eq!(figure(&figures, "centre_error"), None);
    let end = lesson.finish().unwrap();
    assert!(figure(&end, "centre_error").is_none() && figure(&end, "relative_cost").is_some());
    assert_eq!(lesson.pictures().len(), 1);
}

#[test]
fn the_experiment_says_everything_and_mistakes_are_named() {
    let lesson = small(&[]);
    let experiment = Experiment::parse(lesson.config()).unwrap();
    assert_eq!(experiment.table(), lesson.config());
    assert_eq!(experiment.network.hidden, 4);
    for (set, key) in [
        ("learning.epochs=0", "learning.epochs"),
        ("learning.patterns=-1", "learning.patterns"),
        ("learning.rate=0.0", "learning.rate"),
        ("learning.patern=3", "patern"),
        ("network.hidden=0", "network.hidden"),
        ("task.width=-1.0", "task.width"),
        ("task.code=bump", "task.code"),
        ("task.duration-ms=0.1", "learning.dt-ms"),
    ] {
        let error = open_shipped("autoencoder", &[set]).err().unwrap().to_string();
        assert!(error.contains(key), "{set}: {error}");
    }
}
