//! Digital twins: what they foretell, what they refuse, and a training that begins on one.
#![allow(clippy::unwrap_used, reason = "tests")]

use spikeloop::twin::{self, Measured, Twin};
use spikeloop_calibration::Codes;
use spikeloop_calibration::cache::Cache;
use spikeloop_hal::{Chip, OpenOptions, Selector};
use spikeloop_tests::program::User;

const CHIP: &str = "emu:preset=bss2-chip66-uncal,neurons=64,inputs=32,seed=5";
const TRAINING: &str = "--set network.hidden=[40] --set task.train=200 --set task.test=100 --set learning.epochs=2 --threads 1 --json";

fn open(selector: &str) -> Box<dyn Chip> {
    selector.parse::<Selector>().unwrap().open(&OpenOptions::default()).unwrap()
}

fn measured(selector: &str, cache: &Cache) -> Measured {
    let time = "2026-11-22T09:30:00Z".to_owned();
    let (chip, calibration, cost) = twin::calibrated(open(selector), None, cache, time).unwrap();
    assert!(cost.is_none_or(|c| c.trials > 0));
    Measured::new(chip, calibration).unwrap()
}

#[test]
fn a_twin_does_what_its_chip_does_at_either_set_of_codes() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    for (codes, membranes, counts) in
        [(Codes::Calibrated, 0.995, 0.96), (Codes::Uniform, 0.99, 0.94)]
    {
        let measured = measured(CHIP, &cache);
        let made = measured.twin(codes).unwrap();
        let (_, seen, cost) = twin::check(measured.chip, &measured.calibration, &made, 1).unwrap();
        assert!(seen.membrane_correlation > membranes, "{codes:?}: {seen:?}");
        assert!(seen.count_correlation > counts, "{codes:?}: {seen:?}");
        assert!(seen.count_chip > 0.2 && seen.neurons > 50, "{codes:?}: {seen:?}");
        assert_eq!(cost.round_trips, 1);
        // The check can fail: another chip of the kind is no twin.
        let mut other = made.clone();
        other.drawn.tau_syn_exc.rotate_left(7);
        other.drawn.gain_exc.rotate_left(7);
        other.drawn.synapse.rotate_left(7);
        let chip = open(CHIP);
        let (_, odd, _) = twin::check(chip, &measured.calibration, &other, 1).unwrap();
        assert!(odd.membrane_rms_lsb > 2.0 * seen.membrane_rms_lsb, "{odd:?} against {seen:?}");
        let path = folder.path().join("twin.toml");
        let beside = made.save(&path, &cache).unwrap();
        assert_eq!(beside.is_some(), codes == Codes::Calibrated);
        let caps = &measured.caps;
        let again = Twin::load(&path, caps, &measured.calibration, codes).unwrap();
        assert_eq!(again, made);
        let otherwise = match codes {
            Codes::Calibrated => Codes::Uniform,
            Codes::Uniform => Codes::Calibrated,
        };
        let refused = Twin::load(&path, caps, &measured.calibration, otherwise).unwrap_err();
        assert!(refused.to_string().contains("twin fit"), "{refused}");
    }
}

#[test]
fn twins_are_made_used_and_refused_on_the_command_line() {
    let user = User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
    let made = user.run(&format!("twin fit --chip {CHIP} --out t/twin.toml --json")).done().json();
    assert_eq!(made["calibrated_now"], true);
    assert!(made["check"]["membrane_correlation"].as_f64().unwrap() > 0.99, "{made}");
    assert!(user.path("t/twin.calibration.json").exists());

    let start = format!("train yinyang --chip {CHIP} {TRAINING}");
    let pretrained = format!("{start} --pretrain twin --pretrain-epochs 1");
    let run = user.run(&format!("{pretrained} --twin t/twin.toml --out a")).done().json();
    // An epoch and an evaluation on the twin; the same weights, the other epoch and the result on the chip.
    assert_eq!(run["twin_trials"], 300, "{run}");
    assert_eq!(run["chip_trials"], 400, "{run}");
    assert_eq!(run["transfer"]["on_twin"], true);
    let fitted = user.run(&format!("{pretrained} --out b")).done().json();
    assert_eq!(fitted["test_accuracy"], run["test_accuracy"], "a twin made on the way is the same");
    let resumed = user.run("train --resume --out a --json").done().json();
    assert_eq!(resumed["test_accuracy"], run["test_accuracy"]);
    assert_eq!(resumed["twin_trials"], 300);

    let same =
        user.run(&format!("twin compare a b --chip {CHIP} --twin t/twin.toml --json")).done();
    let same = same.json();
    assert_eq!(same["pairs"].as_array().unwrap().len(), 2);
    assert!(same["mean_error"].as_f64().unwrap() < 0.1, "{same}");

    let other = CHIP.replace("seed=5", "seed=6");
    let line =
        format!("train yinyang --chip {other} {TRAINING} --pretrain twin --twin t/twin.toml");
    user.run(&format!("{line} --out c")).refused(7, &["not a twin of", "twin fit"]);
    let line = format!("{start} --pretrain twin --out d");
    user.run(&format!("{line} --twin missing.toml")).refused(9, &["missing.toml"]);
    let line = format!("{start} --pretrain twin --pretrain-epochs 2 --out e");
    user.run(&line).refused(2, &["--pretrain-epochs 2", "2 epochs"]);
}

#[test]
fn a_chip_without_converter_has_no_twin() {
    let user = User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
    let chip = "emu:preset=dynapse-like";
    let refused = user.run(&format!("twin fit --chip {chip}"));
    refused.refused(7, &["membrane read-back", "spikes only"]);
    assert!(!user.path("twin.toml").exists());
}
