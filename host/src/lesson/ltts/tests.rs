#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

struct Quiet;

impl Watch for Quiet {
    fn part(&self, _done: usize, _of: usize) -> bool {
        true
    }
}

fn lesson(text: &str) -> Result<LttsLesson, LessonError> {
    let config: Config = parse(text.parse().unwrap())?;
    LttsLesson::new(config, 3, None, None)
}

const SMALL: &str = "
[task]
name = \"trajectory\"
steps = 60
noise_runs = 1
[network]
neurons = 40
[learning]
epochs = 12
";

const XOR: &str = "
[task]
name = \"temporal-xor\"
learned = [3, 0]
[network]
neurons = 30
tau_mem = 2.0
[learning]
mode = \"offline\"
epochs = 2
";

fn learn(lesson: &mut LttsLesson, epochs: std::ops::Range<usize>) -> Vec<Figures> {
    epochs.map(|k| lesson.epoch(k, &Quiet).unwrap()).collect()
}

fn value(figures: &Figures, name: &str) -> f64 {
    figures.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn a_lesson_that_was_saved_goes_on_with_the_same_bits() {
    let (mut through, mut first, mut second) =
        (lesson(SMALL).unwrap(), lesson(SMALL).unwrap(), lesson(SMALL).unwrap());
    let expected = learn(&mut through, 0..12);
    learn(&mut first, 0..5);
    let mut state = State::default();
    first.save(&mut state);
    second.restore(&state).unwrap();
    assert_eq!(learn(&mut second, 5..12), expected[5..]);
    assert_eq!(second.finish().unwrap(), through.finish().unwrap());
    let other = SMALL.replace("neurons = 40", "neurons = 41");
    assert!(lesson(&other).unwrap().restore(&state).is_err());
}

#[test]
fn the_best_weights_are_kept() {
    let mut lesson = lesson(SMALL).unwrap();
    let seen = learn(&mut lesson, 0..12);
    let figures = lesson.finish().unwrap();
    let best = seen.iter().map(|f| value(f, "mse")).fold(f64::INFINITY, f64::min);
    assert_eq!(value(&figures, "mse"), best);
    assert_eq!(value(&figures, "last_mse"), value(&seen[11], "mse"));
    let epoch = value(&figures, "best_epoch") as usize;
    assert_eq!(value(&seen[epoch - 1], "mse"), best);
    assert!(value(&figures, "mse_noise_0.1") > 0.0);
    let pictures = lesson.pictures();
    assert_eq!(pictures.len(), 3);
    assert!(pictures.iter().all(|(_, html)| html.contains("<svg")));
}

#[test]
fn patterns_that_are_not_learned_come_last_and_are_named() {
    let mut lesson = lesson(XOR).unwrap();
    assert_eq!(lesson.patterns.names, ["11", "00", "01", "10"]);
    learn(&mut lesson, 0..2);
    let figures = lesson.finish().unwrap();
    assert!(value(&figures, "worst_mse_of_patterns_not_learned") > 0.0);
    assert!((0.0..=4.0).contains(&value(&figures, "right_signs")));
    assert!(lesson.pictures()[0].1.contains("01 (not learned)"));
}

#[test]
fn the_configuration_comes_back_with_its_defaults() {
    let config = lesson(SMALL).unwrap().config();
    assert_eq!(config["learning"]["delta_v"].as_float(), Some(0.05));
    assert_eq!(config["task"]["sigma_clock"].as_float(), Some(4.0));
    let again = lesson(&toml::to_string(&config).unwrap()).unwrap();
    assert_eq!(again.config(), config);
}

#[test]
fn mistakes_are_named() {
    let error = |from: &str, to: &str, text: &str| {
        lesson(&text.replace(from, to)).err().unwrap().to_string()
    };
    assert!(error("steps = 60", "stepz = 60", SMALL).contains("stepz"));
    assert!(error("steps = 60", "steps = 1", SMALL).contains("task.steps"));
    assert!(error("neurons = 40", "tau_mem = 0.1", SMALL).contains("network.tau_mem"));
    assert!(error("epochs = 12", "excluded = 60", SMALL).contains("learning.excluded"));
    assert!(error("noise_runs = 1", "sigma_clock = -1.0", SMALL).contains("task.sigma_clock"));
    assert!(error("[3, 0]", "[3, 3]", XOR).contains("task.learned"));
    assert!(
        error("\"trajectory\"", "\"walking\"", &SMALL.replace("noise_runs = 1", ""))
            .contains("02_01.amc")
    );
}
