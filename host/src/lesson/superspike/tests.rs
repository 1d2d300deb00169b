#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

struct GoOn;

impl Watch for GoOn {
    fn part(&self, _done: usize, _of: usize) -> bool {
        true
    }
}

/// A shipped experiment without what every experiment has, with keys set.
fn sections(name: &str, set: &[&str]) -> toml::Table {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    let mut table = crate::config::table(name, &set).unwrap();
    table.remove("name");
    table.remove("seed");
    table.get_mut("learning").unwrap().as_table_mut().unwrap().remove("method");
    table
}

fn in_software<'a>(data: Option<&'a std::path::Path>) -> Surroundings<'a> {
    Surroundings { seed: 1, data, chip: None }
}

/// A raster task of 50 inputs that fire once and two target spikes, in the place of `poisson`.
fn rasters() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("ssbm/poisson");
    std::fs::create_dir_all(&inside).unwrap();
    let input: String = (0..100).map(|k| format!("{:.4} {k}\n", 0.004 * f64::from(k))).collect();
    std::fs::write(inside.join("input.ras"), input).unwrap();
    std::fs::write(inside.join("target.ras"), "0.12 0\n0.3 0\n").unwrap();
    folder
}

fn figure(figures: &Figures, name: &str) -> f64 {
    figures.iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn every_shipped_experiment_can_be_read_and_says_everything() {
    for name in ["superspike-poisson", "superspike-auryn", "superspike-xor"] {
        let experiment = SuperSpikeExperiment::parse(sections(name, &[])).unwrap();
        let again = SuperSpikeExperiment::parse(experiment.table()).unwrap();
        assert_eq!(experiment, again, "{name}");
    }
}

#[test]
fn wrong_values_are_refused_by_name() {
    for (set, key) in [
        ("learning.epochs=0", "learning.epochs"),
        ("learning.rest=1", "learning.rest"),
        ("learning.tau-mem-ms=-1", "learning.tau-mem-ms"),
        ("task.tolerance-ms=-1", "task.tolerance-ms"),
        ("learning.epsiln=1.0", "epsilon"),
    ] {
        let error = SuperSpikeExperiment::parse(sections("superspike-poisson", &[set]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(key), "{set}: {error}");
    }
}

/// State and figures after `trials` trials, with a break before trial `cut`.
fn learned(name: &str, set: &[&str], trials: usize, cut: usize) -> (State, Figures) {
    let folder = rasters();
    let make = || open(sections(name, set), in_software(Some(folder.path()))).unwrap();
    let mut lesson = make();
    let mut figures = Figures::new();
    for trial in 0..trials {
        if trial == cut {
            let mut state = State::default();
            lesson.save(&mut state);
            lesson = make();
            lesson.restore(&state).unwrap();
        }
        figures = lesson.epoch(trial, &GoOn).unwrap();
    }
    let mut state = State::default();
    lesson.save(&mut state);
    (state, figures)
}

#[test]
fn a_lesson_goes_on_with_the_same_bits() {
    let raster = ["network.hidden=3", "learning.feedback=random"];
    assert_eq!(
        learned("superspike-poisson", &raster, 4, 99),
        learned("superspike-poisson", &raster, 4, 2)
    );
    let xor = ["network.hidden=5", "task.patterns=3"];
    assert_eq!(learned("superspike-xor", &xor, 4, 99), learned("superspike-xor", &xor, 4, 2));
}

#[test]
fn a_raster_is_learned_and_its_cost_falls() {
    let set = ["network.hidden=0", "learning.rate=0.3"];
    let first = figure(&learned("superspike-poisson", &set, 1, 99).1, "cost");
    let (_, last) = learned("superspike-poisson", &set, 60, 99);
    assert!(first > 1.5, "{first}");
    assert!(figure(&last, "cost") < 0.5 * first, "{last:?}");
}
