//! The lesson from its experiment file, on generated problems.

use super::*;

struct Go;

impl Watch for Go {
    fn part(&self, _: usize, _: usize) -> bool {
        true
    }
}

fn lesson(overrides: &str) -> Result<FirstSpikeLesson, LessonError> {
    let mut sections: toml::Table = overrides.parse().unwrap();
    let weights = take_weights(&mut sections)?;
    let surroundings = Surroundings { seed: 1, data: None, chip: None };
    FirstSpikeLesson::new(parse(sections)?, weights, surroundings)
}

fn figure(figures: &Figures, name: &str) -> f64 {
    figures.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).unwrap()
}

const XOR: &str = "[task]\nname = \"logic\"\nproblem = \"xor\"\ntrain = 200\n\
                   [learning]\nepochs = 4\nbatch = 3\nrate = 1e-2\n";

#[test]
fn an_interrupted_lesson_goes_on_with_the_same_bits() {
    let mut whole = lesson(XOR).unwrap();
    let straight: Vec<Figures> = (0..4).map(|k| whole.epoch(k, &Go).unwrap()).collect();
    let mut first = lesson(XOR).unwrap();
    first.epoch(0, &Go).unwrap();
    first.epoch(1, &Go).unwrap();
    let mut state = State::default();
    first.save(&mut state);
    let mut second = lesson(XOR).unwrap();
    second.restore(&state).unwrap();
    assert_eq!(second.epoch(2, &Go).unwrap(), straight[2]);
    assert_eq!(second.epoch(3, &Go).unwrap(), straight[3]);
    assert_eq!(second.finish().unwrap(), whole.finish().unwrap());
    assert!(figure(&straight[3], "loss") < figure(&straight[0], "loss"));
    let mut other = lesson(&format!("{XOR}[network]\nhidden = [5]\n")).unwrap();
    assert!(other.restore(&state).is_err());
}

#[test]
fn the_loss_can_ask_for_a_delay_between_the_outputs() {
    let text = "[task]\nname = \"iris\"\ntimes = { early = 0.0, late = 1.0 }\n\
                [network]\nhidden = [10]\npulses = 2\n[learning]\nepochs = 60\nbatch = 10\nrate = 1e-2\n\
                teach = \"all\"\nloss = { kind = \"shift-invariant\", delay = 0.3 }\n";
    let mut run = lesson(text).unwrap();
    let losses: Vec<f64> = (0..60).map(|k| figure(&run.epoch(k, &Go).unwrap(), "loss")).collect();
    assert!(losses[59] < 0.1 * losses[0], "{losses:?}");
    assert!(figure(&run.finish().unwrap(), "test_accuracy") > 0.8);
    let wrong = text.replace("delay = 0.3", "delay = -0.3");
    assert!(lesson(&wrong).err().unwrap().to_string().contains("learning.loss.delay"));
}

#[test]
fn the_network_of_the_best_epoch_is_tested() {
    let mut run = lesson(XOR).unwrap();
    let validated: Vec<f64> =
        (0..4).map(|k| figure(&run.epoch(k, &Go).unwrap(), "validation_accuracy")).collect();
    let best = validated.iter().copied().fold(0.0, f64::max);
    let figures = run.finish().unwrap();
    assert_eq!(figure(&figures, "validation_accuracy"), best);
    let epoch = figure(&figures, "best_epoch") as usize;
    assert_eq!(validated[epoch - 1], best);
    let pictures = run.pictures();
    assert!(pictures.iter().all(|(_, picture)| picture.contains("<svg")) && pictures.len() == 2);
}

#[test]
fn a_trained_network_is_taken_as_it_is() {
    // Output 0 hears input 0, output 1 hears input 1: not what any of the problems asks for.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network");
    std::fs::write(&path, "pulses_per_layer 0.25 2 2 2 0 2.0 0.0 0.0 2.0").unwrap();
    let text = format!(
        "[task]\nname = \"logic\"\nproblem = \"or\"\nvalidation = 0\n[network]\nweights = {path:?}\n\
         [learning]\nepochs = 0\n"
    );
    let mut run = lesson(&text).unwrap();
    let figures = run.finish().unwrap();
    assert_eq!(figure(&figures, "no_answer_share"), 0.0);
    assert_eq!(run.config()["network"]["hidden"].as_array().unwrap().len(), 0);
    assert_eq!(run.config()["network"]["weights"].as_str(), path.to_str());
    // The earlier input decides: compare with the times themselves.
    let (times, ids) = run.task.test.times.sample(0);
    assert!(times[0] < times[1]);
    assert_eq!(run.answers[0].predicted, Some(ids[0]));
    let wrong = lesson(&text.replace("or\"", "or\"\ntest = 0")).err().unwrap();
    assert!(wrong.to_string().contains("task.test"), "{wrong}");
    std::fs::write(&path, "pulses_per_layer 0.25 2 3 2 0 2 0 1 0 2 1").unwrap();
    let wrong = lesson(&text).err().unwrap().to_string();
    assert!(wrong.contains("network.weights"), "{wrong}");
}

#[test]
fn keys_that_cannot_be_are_named() {
    for (text, key) in [
        ("[network]\nthreshold = -1\n", "network.threshold"),
        ("[network]\nweights = 3\n", "network.weights"),
        ("[learning]\nbatch = 0\n", "learning.batch"),
        ("[learning]\nbeta1 = 1.5\n", "learning.beta1"),
        ("[network]\nkernel = { kind = \"alpha\", rate = 0.0 }\n", "network.kernel.rate"),
        ("[learning]\npace = 1\n", "pace"),
        ("[chip]\nunit_us = 0.0\n", "chip.unit_us"),
        ("[chip]\nduration = -3.0\n", "chip.duration"),
        ("[chip]\ndelay_us = -1.0\n", "chip.delay_us"),
        ("[chip]\nleast_slope = nan\n", "chip.least_slope"),
    ] {
        let text = format!("[task]\nname = \"logic\"\nproblem = \"xor\"\n{text}");
        let error = lesson(&text).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(key), "{text}: {error}");
    }
}
