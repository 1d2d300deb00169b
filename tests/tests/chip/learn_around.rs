//! Learning around what calibration leaves: who picks a calibration up, who says so, and who refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

use spikeloop::chip_loop::ChipLoop;
use spikeloop::exit_code::ExitCode;
use spikeloop::experiment::Backward;
use spikeloop::trainer::{Step, Trainer};
use spikeloop_hal::Selector;
use spikeloop_hal::emulator::Emulator;
use spikeloop_tests::learning::experiment;
use spikeloop_tests::program::User;
use std::fs;

/// Few repetitions, wide limits: a second instead of a minute.
const QUICK: &str = "[options]\nrepeats = 0.15\naccept = 0.5\n";
const CHIP: &str = "emu:preset=bss2-chip66-uncal,neurons=64,inputs=64,seed=3";
const OTHER: &str = "emu:preset=bss2-chip66-uncal,neurons=64,inputs=64,seed=4";
const SMALL: &str = "--set network.hidden=[24] --set task.train=200 --set task.test=100 --set learning.epochs=1 --threads 1";

fn user() -> User {
    let user = User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
    fs::write(user.path("quick.toml"), QUICK).unwrap();
    user
}

fn summary(user: &User, run: &str) -> serde_json::Value {
    let text = fs::read_to_string(user.path(run).join("summary.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_run_takes_the_calibration_of_its_chip_and_keeps_it() {
    let user = user();
    let train = |chip: &str, out: &str, more: &str| {
        user.run(&format!("train yinyang --chip {chip} --out {out} {SMALL} {more}"))
    };
    // Nothing there yet: said, and no calibration in the summary.
    let plain = train(CHIP, "plain", "").done();
    assert!(plain.err.contains("no calibration"), "{}", plain.err);
    assert!(summary(&user, "plain").get("calibration").is_none());
    train(CHIP, "wants", "--backward measured").refused(ExitCode::Usage as i32, &["calibrate"]);

    let _ =
        user.run(&format!("calibrate --chip {CHIP} --target quick.toml --out mine.json")).done();
    let found = train(CHIP, "found", "--backward measured").done();
    assert!(
        found.err.contains("calibration of 20") && found.err.contains("usable"),
        "{}",
        found.err
    );
    let kept = &summary(&user, "found")["calibration"];
    assert!(kept["usable"].as_f64().unwrap() > 0.5, "{kept}");
    assert_eq!(kept["codes"], "calibrated");
    assert!(user.path("found").join("calibration.json").exists());

    // Another chip of the same kind has none of its own, and does not take a foreign one.
    let other = train(OTHER, "other", "").done();
    assert!(other.err.contains("no calibration"), "{}", other.err);
    let foreign = train(OTHER, "foreign", "--calibration mine.json");
    foreign.refused(ExitCode::DeviceRefused as i32, &["bss2-chip66-uncal"]);

    // An evaluation uses that of the run, and warns of any other.
    let same = user.run("eval found --threads 1").done();
    assert!(!same.err.contains("another one"), "{}", same.err);
    let without = user.run("eval found --threads 1 --calibration none").done();
    assert!(without.err.contains("trained with another one"), "{}", without.err);
    let none = train(CHIP, "none", "--calibration none").done();
    assert!(summary(&user, "none").get("calibration").is_none(), "{}", none.err);

    // A run goes on with the calibration it began with, even if the cache is gone.
    fs::remove_dir_all(user.path("cache")).unwrap();
    let _ = user.run("train --resume --out found --threads 1 --set learning.epochs=2").done();
    assert_eq!(&summary(&user, "found")["calibration"]["id"], &kept["id"]);
    // Nor does it take one up on the way.
    let with =
        "train --resume --out plain --threads 1 --set learning.epochs=3 --calibration mine.json";
    user.run(with).refused(ExitCode::DeviceRefused as i32, &["made with no calibration"]);
}

#[test]
fn what_is_estimated_while_learning_survives_an_interruption() {
    let set = ["task.train=200", "task.test=50", "network.hidden=[24]", "learning.epochs=1"];
    let (mut experiment, data) = experiment("yinyang", &set);
    experiment.chip.backward = Backward::Estimated;
    let attach = |trainer: &mut Trainer<'_>| {
        let Selector::Emulator(options) = CHIP.parse().unwrap() else { panic!("no emulator") };
        let chip = Box::new(Emulator::from_options(&options, 1).unwrap());
        let observe = experiment.chip.observe;
        trainer.attach(ChipLoop::new(chip, &trainer.network, &experiment, observe).unwrap());
    };
    let mut whole = Trainer::new(&experiment, &data).unwrap();
    attach(&mut whole);
    let mut begun = Trainer::new(&experiment, &data).unwrap();
    attach(&mut begun);
    whole.step().unwrap();
    begun.step().unwrap();
    let mut resumed = Trainer::new(&experiment, &data).unwrap();
    resumed.network.layers.iter_mut().zip(&begun.network.layers).for_each(|(to, from)| {
        to.weights.clone_from(&from.weights);
    });
    resumed.optimizer = begun.optimizer.clone();
    resumed.position = begun.position.clone();
    let stored = serde_json::to_string(begun.estimator().unwrap()).unwrap();
    resumed.set_estimator(serde_json::from_str(&stored).unwrap());
    attach(&mut resumed);
    while whole.step().unwrap() == Step::Batch {}
    while resumed.step().unwrap() == Step::Batch {}
    assert_eq!(whole.network, resumed.network);
    let units = whole.estimator().unwrap().layer(0).unwrap();
    assert!(units.iter().any(|u| (u.gain.value - 1.0).abs() > 1e-3), "something was learned");
}
