//! A training that was stopped, in whatever way, goes on with the same bits.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop_models::checkpoint::Checkpoint;
use spikeloop_tests::program::{Outcome, Running, User, bytes};
use std::fs;
use std::path::Path;

const CHIP: &str = "emu:preset=bss2-cal,neurons=40,inputs=64,seed=1";
const SMALL: &str = "--set learning.init.gain=3.0 --set task.train=200 --set task.test=50 --set network.hidden=[20] \
                     --set learning.batch=10 --set learning.epochs=4 \
                     --set learning.evaluate_every=2 --threads 1 --json";

fn user() -> User {
    User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"))
}

/// Everything a run leaves behind that does not depend on the clock.
#[derive(Debug, PartialEq)]
struct Left {
    tensors: Vec<(String, Vec<u32>)>,
    position: String,
    metrics: Vec<serde_json::Value>,
    results: Vec<serde_json::Value>,
}

fn left(run: &Path) -> Left {
    let checkpoint =
        Checkpoint::<f32>::from_bytes(&bytes(&run.join("checkpoint.safetensors"))).unwrap();
    let tensors = checkpoint
        .tensors
        .iter()
        .map(|(name, t)| (name.clone(), t.values.iter().map(|v| v.to_bits()).collect()))
        .collect();
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let metrics = metrics
        .lines()
        .map(|line| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("seconds");
            value
        })
        .collect();
    let summary: serde_json::Value =
        serde_json::from_slice(&bytes(&run.join("summary.json"))).unwrap();
    let keys = [
        "test_accuracy",
        "train_accuracy",
        "hidden_spikes_per_sample",
        "epochs",
        "dropped_events",
        "saturated_samples",
        "clipped_weights",
    ];
    Left {
        tensors,
        position: checkpoint.metadata["spikeloop.position"].clone(),
        metrics,
        results: keys.map(|key| summary[key].clone()).to_vec(),
    }
}

fn lines(path: &Path) -> usize {
    fs::read(path).map_or(0, |text| text.iter().filter(|b| **b == b'\n').count())
}

fn resume(user: &User, out: &str) -> Outcome {
    user.run(&format!("train --resume --out {out} --threads 2 --json")).done()
}

fn reference(user: &User, way: &str) -> Left {
    let _ = user.run(&format!("train digits {SMALL} {way} --out straight")).done();
    left(&user.path("straight"))
}

#[test]
fn killed_at_any_moment_it_goes_on_with_the_same_bits() {
    let user = user();
    let way = format!("--chip {CHIP} --set learning.warm_start_epochs=1");
    let expected = reference(&user, &way);
    assert_eq!(expected.metrics.len(), 5);
    let run = user.path("run");
    // Before anything is saved, when the folder exists; then after lines of the metrics, which come before
    // the checkpoint of their epoch; then when the temporary file of a checkpoint shows.
    type Moment = Box<dyn Fn(&Path) -> bool>;
    let moments: [(&str, Moment); 4] = [
        ("begun", Box::new(|run| run.join("config.toml").exists())),
        ("one epoch", Box::new(|run| lines(&run.join("metrics.jsonl")) >= 1)),
        ("three epochs", Box::new(|run| lines(&run.join("metrics.jsonl")) >= 3)),
        ("a checkpoint", Box::new(|run| run.join("checkpoint.safetensors").exists())),
    ];
    for (name, moment) in moments {
        let mut running =
            Running::start(user.command(&format!("train digits {SMALL} {way} --out run")));
        assert!(running.until(|| moment(&run)), "{name}: ended before");
        assert_eq!(running.signal("KILL"), None, "{name}");
        let _ = resume(&user, "run");
        assert_eq!(left(&run), expected, "{name}");
        fs::remove_dir_all(&run).unwrap();
    }
}

#[test]
fn killed_again_and_again() {
    let user = user();
    let expected = reference(&user, "--software");
    let run = user.path("run");
    let mut line = format!("train digits {SMALL} --software --out run");
    for epochs in 1..=3 {
        let mut running = Running::start(user.command(&line));
        if running.until(|| lines(&run.join("metrics.jsonl")) >= epochs) {
            assert_eq!(running.signal("KILL"), None);
        }
        line = "train --resume --out run --threads 1 --json".into();
    }
    let _ = resume(&user, "run");
    assert_eq!(left(&run), expected);
    // A complete run stays what it is.
    let _ = resume(&user, "run");
    assert_eq!(left(&run), expected);
}

#[test]
fn an_interrupt_saves_the_batch_and_says_130() {
    let user = user();
    let way = format!("--chip {CHIP}");
    let expected = reference(&user, &way);
    let run = user.path("run");
    for signal in ["INT", "TERM"] {
        let mut running =
            Running::start(user.command(&format!("train digits {SMALL} {way} --out run")));
        assert!(running.until(|| lines(&run.join("metrics.jsonl")) >= 1));
        assert_eq!(running.signal(signal), Some(130));
        let saved = bytes(&run.join("checkpoint.safetensors"));
        assert!(Checkpoint::<f32>::from_bytes(&saved).is_ok());
        assert!(!run.join("summary.json").exists());
        let _ = resume(&user, "run");
        assert_eq!(left(&run), expected, "{signal}");
        fs::remove_dir_all(&run).unwrap();
    }
}

#[test]
fn a_run_goes_on_only_as_what_it_was() {
    let user = user();
    let _ = user.run(&format!("train digits {SMALL} --chip {CHIP} --out run")).done();
    let before = left(&user.path("run"));
    let go_on = "train --resume --out run --threads 1";
    let other = "emu:preset=bss2-cal,neurons=40,inputs=64,seed=2";
    user.run(&format!("{go_on} --chip {other}")).refused(7, &["belong to chip"]);
    let changed = ["seed=9", "learning.rate=1e-2", "network.hidden=[21]", "chip.observe=spikes"];
    for set in changed {
        user.run(&format!("{go_on} --set {set}"))
            .refused(2, &["another experiment", "start a new run"]);
    }
    user.run(&format!("train yinyang --resume --out run --chip {CHIP}"))
        .refused(2, &["another experiment"]);
    assert_eq!(left(&user.path("run")), before);
}
