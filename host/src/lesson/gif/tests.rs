//! The path of the lesson on a short simulation, and what it refuses.

use super::*;

struct Quiet;

impl Watch for Quiet {
    fn part(&self, _done: usize, _of: usize) -> bool {
        true
    }
}

fn lesson(text: &str) -> Result<Box<dyn Lesson>, LessonError> {
    let table: toml::Table = text.parse().unwrap();
    open(table, Surroundings { seed: 3, data: None, chip: None })
}

const SHORT: &str = "
[task]
name = 'simulated'
fit_ms = 12000.0
predict_ms = 3000.0
predict_repeats = 3
[learning]
trains = 10
before_spike_ms = 0.0
eta = { kind = 'exponentials', tau_ms = [100.0] }
gamma = { kind = 'exponentials', tau_ms = [100.0] }
";

fn get(figures: &Figures, name: &str) -> f64 {
    figures.iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn a_simulated_neuron_is_fitted_predicted_and_kept() {
    let mut first = lesson(SHORT).unwrap();
    let fitted = first.epoch(0, &Quiet).unwrap();
    assert!((get(&fitted, "tau_mem_ms") - 20.0).abs() < 1e-6);
    let mut state = State::default();
    first.save(&mut state);
    let figures = first.finish().unwrap();
    assert!(get(&figures, "md") > 0.8, "{figures:?}");
    assert!(get(&figures, "v_threshold_off_mv") < 0.5 && get(&figures, "delta_error") < 0.3);
    let pages: Vec<_> = first.pictures().into_iter().map(|(name, _)| name).collect();
    assert_eq!(pages.len(), 3);
    // Opened again from its own configuration and the saved state, it predicts the same.
    let mut second = lesson(&first.config().to_string()).unwrap();
    second.restore(&state).unwrap();
    assert_eq!(second.finish().unwrap(), figures);
    assert!(lesson(SHORT).unwrap().finish().is_err(), "nothing was fitted");
}

#[test]
fn what_cannot_be_is_named() {
    let wrong = |text: &str| lesson(text).err().unwrap().to_string();
    let invitro = |rest: &str| wrong(&format!("[task]\nname = 'invitro'\n{rest}"));
    assert!(invitro("fit_repeats = [5]").contains("task.fit_repeats = [5]"));
    assert!(invitro("predict_repeats = [4]").contains("two repeats"));
    assert!(invitro("predict_repeats = [2, 4]").contains("shows nothing"));
    assert!(invitro("fit_ms = [9.0, 3.0]").contains("task.fit_ms"));
    assert!(invitro("fitrepeats = [1]").contains("fitrepeats"));
    let trains = wrong(&SHORT.replace("trains = 10", "trains = 1"));
    assert!(trains.contains("learning.trains = 1"), "{trains}");
    let basis = wrong(&SHORT.replace("[100.0] }\ngamma", "[-1.0] }\ngamma"));
    assert!(basis.contains("learning.eta is -1"), "{basis}");
}
