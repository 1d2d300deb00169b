//! Advice: complete, consistent with what it says of itself, and refused where nothing can be foretold.
#![allow(clippy::unwrap_used, reason = "tests")]

use spikeloop_tests::program::User;

const CHIP: &str = "emu:preset=bss2-chip66-uncal,neurons=64,inputs=32,seed=5";
const SHORT: &str =
    "--set network.hidden=[40] --set task.train=500 --set task.test=100 --threads 1";

#[test]
fn four_paths_are_foretold_and_the_cheapest_good_one_is_recommended() {
    let user = User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
    let line = format!("advise yinyang --chip {CHIP} {SHORT} --epochs 2 --check --json");
    let advice = user.run(&line).done().json();
    let paths = advice["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 4);
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let best = paths.iter().map(|p| number(&p["accuracy"])).fold(0.0, f64::max);
    let chosen = paths.iter().find(|p| p["path"] == advice["recommended"]).unwrap();
    assert!(number(&chosen["accuracy"]) >= best - 0.005 - 1e-9, "{advice}");
    for path in paths {
        let good = number(&path["accuracy"]) >= best - 0.005;
        let cheaper = number(&path["cost"]["chip_us"]) < number(&chosen["cost"]["chip_us"]);
        assert!(!(good && cheaper), "{path} is cheaper than {chosen}");
        assert!(number(&path["on_chip"]) > 0.2, "{path}");
    }
    // The whole experiment is paid for, not the two epochs that were played.
    assert_eq!((&advice["epochs_played"], &advice["epochs"]), (&2.into(), &150.into()));
    let in_the_loop = paths.iter().find(|p| p["path"] == "in-the-loop").unwrap();
    assert_eq!(in_the_loop["cost"]["trials"], 150 * 500);
    // 38 states of 1 us and five time constants of 6 us.
    assert!((number(&in_the_loop["cost"]["chip_us"]) / (150.0 * 500.0 * 68.0) - 1.0).abs() < 1e-9);
    assert!(number(&advice["spent"]["chip_us"]) > 0.0);

    let shown = user.run(&line.replace("--check --json", "")).done();
    assert!(shown.out.contains("CHIP TIME") && shown.out.contains("advice"), "{}", shown.out);
}

#[test]
fn nothing_is_foretold_of_a_chip_that_shows_no_membranes() {
    let user = User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
    let refused = user.run(&format!("advise yinyang --chip emu:preset=dynapse-like {SHORT}"));
    refused.refused(7, &["membrane read-back"]);
    user.run(&format!("advise yinyang --chip {CHIP} --epochs 0")).refused(2, &["--epochs"]);
    user.run(&format!("advise nonsense --chip {CHIP}")).refused(2, &["nonsense"]);
}
