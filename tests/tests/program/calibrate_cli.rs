//! Calibration as a user meets it: what goes wrong is named, and nothing that was measured is lost.
#![allow(clippy::unwrap_used, reason = "tests")]

use spikeloop::calibrate::{Request, Watch, calibrate};
use spikeloop::exit_code::ExitCode;
use spikeloop_calibration::cache::Cache;
use spikeloop_calibration::plan::Stage;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_hal::emulator::{Emulator, Profile};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Error, Health, Observables, Stimulus, Ticket};
use spikeloop_tests::program::User;
use std::cell::RefCell;
use std::fs;

/// Few repetitions: seconds instead of a minute, and accurate enough for what is tested here.
const QUICK: &str = "[options]\nrepeats = 0.15\naccept = 0.5\n";
const CHIP: &str = "emu:preset=bss2-chip66-uncal,neurons=16,inputs=64,seed=3";
/// Without converter, and fast.
const SPIKES_ONLY: &str = "emu:preset=dynapse-like,neurons=32,inputs=64,seed=3";

fn user() -> User {
    let user = User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"));
    fs::write(user.path("quick.toml"), QUICK).unwrap();
    user
}

/// A profile file made of a preset with some lines replaced, or added to their table.
fn profile(user: &User, replace: &[(&str, &str)]) -> String {
    let mut text =
        include_str!("../../../hal/src/emulator/presets/bss2-chip66-uncal.toml").to_owned();
    for (from, to) in replace {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    fs::write(user.path("chip.toml"), text).unwrap();
    "emu:profile=chip.toml,neurons=20,inputs=64,seed=3".to_owned()
}

#[test]
fn a_chip_is_calibrated_once_and_found_again() {
    let user = user();
    let line = format!("calibrate --chip {CHIP} --target quick.toml");
    let first = user.run(&format!("{line} --json --report page.html --out mine.json")).done();
    let first = first.json();
    assert_eq!(first["neurons"], 16);
    assert!(first["calibrated"].as_u64().unwrap() >= 14, "{first}");
    let names: Vec<&str> = first["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"tau_mem") && names.contains(&"leak_potential"), "{names:?}");
    for p in first["parameters"].as_array().unwrap() {
        assert!(p["round_trips"].as_u64().unwrap() <= 12, "{p}");
    }
    assert!(first["temperature_c"].as_f64().is_some(), "the emulator knows its temperature");
    assert!(
        fs::read_to_string(user.path("page.html")).unwrap().contains("Noise against averaging")
    );

    let again = user.run(&line).done();
    for words in ["nothing was measured", "--fresh"] {
        assert!(again.err.contains(words), "{}", again.err);
    }
    assert!(
        again.out.contains("leak_potential") && again.out.contains("calibrated"),
        "{}",
        again.out
    );

    // Looked at, by file and by chip; compared with itself.
    let by_file = user.run("calibration show mine.json --json").done().json();
    let by_chip = user.run(&format!("calibration show --chip {CHIP} --json")).done().json();
    assert_eq!(by_file["parameters"], by_chip["parameters"]);
    assert_eq!(by_file["parameters"], first["parameters"]);
    let same = user.run("calibration diff mine.json mine.json --json").done().json();
    assert!(
        same["parameters"].as_array().unwrap().iter().all(|p| p["moved"] == 0 && p["recoded"] == 0)
    );
    assert!(same["same_chip"].as_bool().unwrap());
}

#[test]
fn files_of_another_chip_or_firmware_or_cut_off() {
    let user = user();
    let _ = user
        .run(&format!("calibrate --chip {SPIKES_ONLY} --target quick.toml --out a.json"))
        .done();
    let other = SPIKES_ONLY.replace("seed=3", "seed=4");
    user.run(&format!("calibration show a.json --chip {other}"))
        .refused(7, &["belongs to chip dynapse-like/", "no two are alike"]);
    user.run(&format!("calibration show --chip {other}"))
        .refused(1, &["has not been calibrated", "spikeloop calibrate"]);
    let text = fs::read_to_string(user.path("a.json")).unwrap();
    let firmware =
        text.split("\"firmware\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let updated = text.replace(&format!("\"firmware\":{firmware}"), "\"firmware\":66051");
    fs::write(user.path("b.json"), updated).unwrap();
    user.run(&format!("calibration show b.json --chip {SPIKES_ONLY}"))
        .refused(7, &["firmware 0x010203", "calibrate again"]);
    fs::write(user.path("c.json"), &text[..text.len() / 2]).unwrap();
    user.run("calibration show c.json").refused(9, &["c.json", "truncated", "calibrate again"]);
    user.run("calibration diff a.json c.json").refused(9, &["c.json", "truncated"]);
    user.run("calibration show nowhere.json").refused(9, &["nowhere.json"]);
    let moved = user.run("calibration diff a.json b.json").done();
    assert!(moved.err.contains("firmware changed"), "{}", moved.err);

    // A damaged file in the cache is measured anew, not believed.
    let cached = user.run(&format!("calibration show --chip {SPIKES_ONLY} --json")).done().json();
    fs::write(cached["file"].as_str().unwrap(), &text[..text.len() / 2]).unwrap();
    let anew =
        user.run(&format!("calibrate --chip {SPIKES_ONLY} --target quick.toml --json")).done();
    assert_eq!(anew.json()["reused"], false);
}

#[test]
fn targets_that_make_no_sense() {
    let user = user();
    let refused = |text: &str, words: &[&str]| {
        fs::write(user.path("t.toml"), text).unwrap();
        user.run(&format!("calibrate --chip {CHIP} --target t.toml")).refused(2, words);
    };
    refused(
        "[targets]\ntau_men = \"6 us\"",
        &["t.toml", "tau_men", "no such parameter", "tau_mem"],
    );
    refused("[targets]\ntau_mem = \"6 LSB\"", &["t.toml", "LSB", "measured in us"]);
    refused("[targets]\ntau_mem = \"6\"", &["unit is missing"]);
    refused("[options]\nrepeats = -1", &["t.toml", "repeats"]);
    refused("[options]\nrepeat = 1", &["t.toml", "repeat"]);
    refused("[targets\n", &["t.toml", "line 1"]);
    user.run(&format!("calibrate --chip {CHIP} --target none.toml")).refused(2, &["none.toml"]);
    assert!(!user.path("cache").exists(), "nothing was begun");
}

#[test]
fn a_chip_without_read_back_and_a_target_out_of_range() {
    let user = user();
    fs::write(user.path("far.toml"), format!("[targets]\nthreshold = \"9999 LSB\"\n{QUICK}"))
        .unwrap();
    let line = format!("calibrate --chip {SPIKES_ONLY} --target far.toml --report pages");
    let got = user.run(&line);
    // Whatever a threshold that high leaves of the neurons: the range is said, and the run goes on.
    assert!(
        got.err.contains("target threshold = 9999 LSB is out of the chip's range"),
        "{}",
        got.err
    );
    assert!(got.err.contains("is taken instead"), "{}", got.err);
    assert!(
        got.out.contains("threshold") && got.out.contains("needs membrane read-back"),
        "{}",
        got.out
    );
    assert!(got.code == 0 || got.code == 7, "{}", got.err);
    assert!(user.path("pages/report.html").exists());
    let plain =
        user.run(&format!("calibrate --chip {SPIKES_ONLY} --target quick.toml --json")).done();
    let plain = plain.json();
    let set: Vec<_> = plain["parameters"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert_eq!(set, ["threshold"], "spikes alone show the threshold");
    assert!(plain["parameters"][0]["ratio"].as_f64().unwrap() < 1.0, "{plain}");
    let unavailable = plain["unavailable"].as_array().unwrap();
    assert!(unavailable.iter().any(|u| u.as_str().unwrap().starts_with("tau_mem: ")));
}

#[test]
fn dead_neurons_are_named_and_the_rest_is_calibrated() {
    let user = user();
    let chip = profile(&user, &[("dead = 0.002", "dead = 0.2")]);
    let got =
        user.run(&format!("calibrate --chip {chip} --target quick.toml --json")).done().json();
    let dead: Vec<&serde_json::Value> = got["failures"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|f| matches!(f["flag"].as_str(), Some("silent" | "unresponsive")))
        .collect();
    assert!((1..12).contains(&dead.len()), "{got}");
    let calibrated = got["calibrated"].as_u64().unwrap();
    assert!(calibrated >= 20 - dead.len() as u64 - 2, "{got}");
    let text = user.run(&format!("calibrate --chip {chip} --target quick.toml")).done();
    assert!(text.out.contains("failed") && text.out.contains("neuron "), "{}", text.out);
}

#[test]
fn a_chip_whose_neurons_all_saturate() {
    let user = user();
    // Everything lies six thresholds too high: beyond the converter's rail, and beyond what codes can take back.
    let chip = profile(
        &user,
        &[
            ("leak        = { block", "leak        = { mean = 6.0, block"),
            ("reset       = { block", "reset       = { mean = 6.0, block"),
            ("threshold   = { block", "threshold   = { mean = 6.0, block"),
        ],
    );
    let line = format!("calibrate --chip {chip} --target quick.toml --out no.json");
    let got = user.run(&line);
    got.refused(7, &["no neuron of this chip could be calibrated", "saturated", "--fresh"]);
    assert!(got.out.contains("0 of 20 neurons"), "{}", got.out);
    user.run(&format!("calibration show --chip {chip}")).refused(1, &["has not been calibrated"]);
}

/// A chip that stops answering after a number of runs.
struct Failing {
    chip: Emulator,
    left: u64,
}

impl Chip for Failing {
    fn capabilities(&self) -> &Capabilities {
        self.chip.capabilities()
    }
    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        self.chip.configure(config)
    }
    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        if self.left == 0 {
            return Err(Error::Disconnected { waiting_for: "the answer to a run" });
        }
        self.left -= 1;
        self.chip.submit(stimuli)
    }
    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        self.chip.collect(ticket, into)
    }
    fn health(&self) -> Health {
        self.chip.health()
    }
}

/// Writes down what happens.
#[derive(Default)]
struct Notes {
    begun: RefCell<Vec<Stage>>,
    resumed: RefCell<Vec<Stage>>,
}

impl Watch for Notes {
    fn stage(&self, stage: Stage) {
        self.begun.borrow_mut().push(stage);
    }
    fn resumed(&self, finished: &[Stage]) {
        self.resumed.borrow_mut().extend(finished);
    }
}

#[test]
fn a_chip_that_stops_answering_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let targets = TargetFile::from_toml(QUICK).unwrap();
    let request = || Request {
        targets: &targets,
        cache: &cache,
        fresh: false,
        time: "2026-11-22T09:30:00Z".into(),
    };
    let chip = |left: u64| -> Box<dyn Chip> {
        let mut profile = Profile::preset("bss2-chip66-uncal").unwrap();
        (profile.size.neurons, profile.size.inputs) = (16, 64);
        Box::new(Failing { chip: Emulator::new(profile, 3, 3, 1).unwrap(), left })
    };
    // The first stages need some tens of runs: this is in the middle.
    let error = calibrate(chip(60), &request(), &Notes::default()).unwrap_err();
    assert_eq!(ExitCode::of_fit(&error), ExitCode::LinkFailure, "{error}");
    let notes = Notes::default();
    let outcome = calibrate(chip(u64::MAX), &request(), &notes).unwrap();
    let kept = notes.resumed.borrow().clone();
    assert!(kept.len() >= 2 && kept.len() < 9, "{kept:?}");
    assert_eq!(kept, Stage::ALL[..kept.len()], "the first ones");
    assert_eq!(*notes.begun.borrow(), Stage::ALL[kept.len()..], "the rest, once each");
    assert_eq!((outcome.reused, outcome.resumed), (false, kept));
    // Complete, and as good as in one go; what the first part cost is part of the cost.
    let whole = calibrate(chip(u64::MAX), &Request { fresh: true, ..request() }, &Notes::default())
        .unwrap();
    let (resumed, whole) = (outcome.calibration, whole.calibration);
    let names = |c: &spikeloop_calibration::Calibration| {
        c.parameters.iter().map(|p| p.parameter).collect::<Vec<_>>()
    };
    assert_eq!(names(&resumed), names(&whole));
    assert!(resumed.success() >= 0.85, "{:?}", resumed.failures);
    assert!(resumed.cost.runs * 10 >= whole.cost.runs * 8, "{:?} {:?}", resumed.cost, whole.cost);
    let third = calibrate(chip(0), &request(), &Notes::default()).unwrap();
    assert!(third.reused, "a finished one needs no chip at all");
}
