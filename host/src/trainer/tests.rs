use super::*;
use crate::{config, data};

/// Learns three batches of digits with a method; returns loss and weights.
fn learn(overrides: &[&str]) -> (f64, Vec<Vec<f32>>) {
    let sizes = ["network.hidden=[8]", "task.train=60", "task.test=10", "learning.batch=20"];
    let overrides: Vec<String> =
        sizes.iter().chain(overrides).map(|set| (*set).to_owned()).collect();
    let experiment: Experiment = config::load("digits", &overrides).unwrap();
    let set = data::load(&experiment.task, None).unwrap();
    let mut trainer = Trainer::new(&experiment, &set).unwrap();
    let tally = loop {
        if let Step::EpochEnd(tally) = trainer.step().unwrap() {
            break tally;
        }
    };
    let weights = trainer.network.layers.iter().map(|l| l.weights.iter().copied().collect());
    (tally.mean_loss(), weights.collect())
}

#[test]
fn methods_are_chosen_by_name() {
    let bptt = learn(&[]);
    let eprop = learn(&["learning.method=eprop"]);
    let random = learn(&["learning.method=eprop", "learning.feedback.kind=random"]);
    let rtrl = learn(&["learning.method=rtrl"]);
    // One hidden layer without recurrence: e-prop with symmetric feedback is BPTT.
    assert_eq!(bptt, eprop);
    assert_ne!(bptt.1[0], random.1[0]);
    // The oracle differs by rounding, which Adam divides by itself.
    assert!((bptt.0 - rtrl.0).abs() < 1e-2 * bptt.0, "{} against {}", bptt.0, rtrl.0);
}

#[test]
fn feedback_without_its_method_is_refused() {
    let refused = |overrides: &[&str]| {
        let overrides: Vec<String> = overrides.iter().map(|set| (*set).to_owned()).collect();
        let experiment: Experiment = config::load("digits", &overrides).unwrap();
        experiment.check().unwrap_err().to_string()
    };
    let random = "learning.feedback.kind=random";
    assert!(refused(&[random]).contains("learning.feedback.std"));
    let negative = "learning.feedback.std=-1.0";
    assert!(
        refused(&["learning.method=eprop", random, negative]).contains("learning.feedback.std")
    );
}
