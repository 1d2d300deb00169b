//! What was recorded of a chip is that chip again; what a killed host had recorded is not asked again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop::recording::diff::compare;
use spikeloop_hal::recording::{Cause, Tape};
use spikeloop_hal::{PROTOCOL_VERSION, Recorder, Replay};
use spikeloop_models::checkpoint::Checkpoint;
use spikeloop_tests::boards::{Way, open};
use spikeloop_tests::learning::{experiment, one_epoch, one_epoch_on};
use spikeloop_tests::program::{Running, User, bytes, outcome};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const CHIP: &str = "emu:preset=bss2-cal,neurons=40,inputs=64,seed=1";
const SMALL: &str = "--set learning.init.gain=3.0 --set task.train=200 --set task.test=50 --set network.hidden=[20] \
                     --set learning.batch=10 --set learning.epochs=3 --threads 1 --json";

fn user() -> User {
    User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"))
}

/// A recording may be read with this many runs in flight when its process was killed.
const IN_FLIGHT: u64 = 4;

/// Bits of the weights and optimizer, and the metrics without the time they took.
fn left(run: &Path) -> (Vec<(String, Vec<u32>)>, Vec<serde_json::Value>) {
    let checkpoint =
        Checkpoint::<f32>::from_bytes(&bytes(&run.join("checkpoint.safetensors"))).unwrap();
    let tensors = checkpoint.tensors.iter();
    let tensors =
        tensors.map(|(name, t)| (name.clone(), t.values.iter().map(|v| v.to_bits()).collect()));
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let metrics = metrics.lines().map(|line| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("seconds");
        value
    });
    (tensors.collect(), metrics.collect())
}

#[test]
fn a_training_on_a_recording_ends_in_the_same_bits() {
    let chip = "chip.selector=emu:preset=bss2-cal,seed=5";
    let task = experiment(
        "digits",
        &["learning.init.gain=3.0", "task.train=200", "task.test=60", "network.hidden=[40]", chip],
    );
    let live = one_epoch(&task, Way::InProcess, (1, 1));
    assert!(live.learned.hidden_spikes > 0, "silent: nothing was tested");
    let folder = tempfile::tempdir().unwrap();
    let selector = task.0.chip.selector.clone().unwrap();
    let mut tapes = Vec::new();
    for way in [Way::InProcess, Way::Memory] {
        let path = folder.path().join(format!("{way:?}"));
        let (chip, bench) = open(&selector, way, 2);
        let recorder = Box::new(Recorder::create(chip, &path, Vec::new()).unwrap());
        assert!(one_epoch_on((&task.0, &task.1), recorder, 2).0 == live, "{way:?}: recorded");
        drop(bench);
        let replay = Box::new(Replay::open(&path).unwrap());
        assert!(one_epoch_on((&task.0, &task.1), replay, 1).0 == live, "{way:?}: replayed");
        tapes.push(Tape::open(&path).unwrap());
    }
    // What went over a wire and what did not is the same recording, but for its times.
    let [direct, wire] = tapes.as_mut_slice() else { panic!("two ways") };
    let comparison = compare(direct, wire).unwrap();
    assert!(comparison.same && comparison.agreeing > 4, "{comparison:?}");
}

#[test]
fn a_recorded_command_is_replayed_shown_compared_and_exported() {
    let user = user();
    let record = |out: &str, more: &str| {
        let line =
            format!("train digits {SMALL} --chip {CHIP} --out {out} --record {out}.rec {more}");
        user.run(&line).done()
    };
    let _ = record("live", "");
    let _ = user.run(&format!("train digits {SMALL} --chip replay:live.rec --out again")).done();
    assert_eq!(left(&user.path("again")), left(&user.path("live")));
    // The weights still belong to the chip, and not to its recording.
    let chip = |run: &str| fs::read_to_string(user.path(run).join("chip.json")).unwrap();
    let identity =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["identity"].clone();
    assert_eq!(identity(&chip("again")), identity(&chip("live")));

    let shown = user.run("recording show live.rec --json").done().json();
    assert_eq!(
        (&shown["runs"], &shown["complete"]),
        (&shown["records"]["submitted"], &shown["runs"])
    );
    assert_eq!(
        (&shown["sessions"][0]["notes"]["seed"], &shown["ending"]["cause"]),
        (&"1".into(), &"closed".into())
    );
    assert!(shown["sessions"][0]["notes"]["command"].as_str().unwrap().contains("train digits"));
    let text = user.run("recording show live.rec").done().out;
    assert!(text.contains("input events") && text.contains("it was closed there"), "{text}");

    // Another noise: the first answers differ.
    let _ = record("same", "");
    let same = user.run("recording diff live.rec same.rec").done();
    assert!(same.out.starts_with("the same: "), "{}", same.out);
    let other =
        format!("train digits {SMALL} --chip {CHIP},noise_seed=9 --out other --record other.rec");
    let _ = user.run(&other).done();
    let differ = user.run("recording diff live.rec other.rec");
    assert_eq!(differ.code, 1, "{}", differ.err);
    assert!(differ.out.contains("first difference in run 0, trial number"), "{}", differ.out);
    let object = user.run("recording diff live.rec other.rec --json").json();
    assert_eq!((&object["same"], &object["first"]["run"]), (&false.into(), &0.into()));
    assert_ne!(object["first"]["left"], object["first"]["right"]);

    for (to, files) in [("vcd", 1), ("npz", 1), ("csv", 2)] {
        let exported =
            user.run(&format!("recording export live.rec --to {to} --run 3 --json")).done().json();
        let written = exported["files"].as_array().unwrap();
        assert_eq!(written.len(), files, "{to}");
        for file in written {
            let path = user.path(".").join(file.as_str().unwrap());
            assert!(fs::metadata(path).unwrap().len() > 200, "{file}");
        }
    }
}

#[test]
fn calibration_and_evaluation_replay_as_well() {
    let user = user();
    let chip = "emu:preset=bss2-chip66-uncal,neurons=12,inputs=8,seed=2";
    let made = |line: &str| {
        let mut object = user.run(line).done().json();
        let object = object.as_object_mut().unwrap();
        for volatile in ["wall_s", "time", "file", "report"] {
            object.remove(volatile);
        }
        serde_json::to_value(object).unwrap()
    };
    let line = "calibrate --fresh --threads 1 --json";
    let live = made(&format!("{line} --chip {chip} --record cal.rec"));
    assert_eq!(made(&format!("{line} --chip replay:cal.rec")), live);

    let _ = user.run(&format!("train digits {SMALL} --chip {CHIP} --out run")).done();
    let live = user.run(&format!("eval run --chip {CHIP} --record eval.rec --json")).done().json();
    let again = user.run("eval run --chip replay:eval.rec --json").done().json();
    assert_eq!(again["test_accuracy"], live["test_accuracy"]);
    assert_eq!(again["time_split"], live["time_split"], "times are those of the live chip");
    let parity = "parity run --samples 8 --json --threads 1";
    let live = user.run(&format!("{parity} --chip {CHIP} --record parity.rec")).done().out;
    assert_eq!(user.run(&format!("{parity} --chip replay:parity.rec")).done().out, live);
}

#[test]
fn a_killed_host_does_not_ask_the_chip_again() {
    let user = user();
    let line = format!("train digits {SMALL} --chip {CHIP}");
    let _ = user.run(&format!("{line} --out straight --record straight.rec")).done();
    let whole = fs::metadata(user.path("straight.rec")).unwrap().len();
    let recording = user.path("run.rec");
    let (mut next, mut kills) = (format!("{line} --out run --record run.rec"), 0);
    for eighths in [1, 3, 4, 6, 7] {
        let mut running = Running::start(user.command(&next));
        let length = || fs::metadata(&recording).map_or(0, |m| m.len());
        kills += u64::from(running.until(|| length() > whole * eighths / 8));
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        drop(running);
        next = "train --resume --out run --record run.rec --threads 1 --json".into();
    }
    assert!(kills >= 4, "{kills}");
    let _ = user.run(&next).done();
    assert_eq!(left(&user.path("run")), left(&user.path("straight")));
    let tape = Tape::open(&recording).unwrap();
    let again = tape.totals().submitted - tape.runs() as u64;
    assert!(again <= kills * IN_FLIGHT, "{again} runs were repeated by {kills} kills");
    assert_eq!(tape.ending().cause, Cause::Closed);
    assert_eq!(tape.totals().collected, tape.runs() as u64, "no answer was asked for twice");
    // All the pieces together are the recording of the run that was never killed.
    let _ = user.run("recording diff straight.rec run.rec").done();
    let _ = user.run(&format!("train digits {SMALL} --chip replay:run.rec --out replayed")).done();
    assert_eq!(left(&user.path("replayed")), left(&user.path("straight")));
}

#[cfg(unix)]
#[test]
fn a_full_disk_does_not_stop_the_training() {
    let user = user();
    // Long enough that the recording is by far the largest file.
    let line = format!("train digits {SMALL} --set learning.epochs=12 --chip {CHIP}");
    let _ = user.run(&format!("{line} --out straight --record straight.rec")).done();
    let whole = fs::metadata(user.path("straight.rec")).unwrap().len();
    // Files of at most a part of the recording, but more than everything else takes: a shell counts
    // them in blocks of 512 or 1024 bytes.
    let blocks = whole / 1024 / 2;
    let program = env!("CARGO_BIN_EXE_spikeloop-under-test");
    let mut command = user.command("");
    let envs: Vec<_> =
        command.get_envs().map(|(k, v)| (k.to_owned(), v.map(ToOwned::to_owned))).collect();
    command = Command::new("sh");
    command.current_dir(user.path("."));
    for (key, value) in envs {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    let script = format!(
        "trap '' XFSZ; ulimit -f {blocks}; exec {program} {line} --out run --record run.rec"
    );
    command.args(["-c", &script]).stdin(Stdio::null());
    let ended = outcome(command).done();
    assert_eq!(ended.err.matches("cannot be written").count(), 1, "{}", ended.err);
    assert!(ended.err.contains("recording run.rec is incomplete"), "{}", ended.err);
    assert_eq!(left(&user.path("run")), left(&user.path("straight")));
    // What is there is whole, and the way to its end is the same.
    let replayed = user.run(
        &format!("{line} --chip replay:run.rec --out replayed")
            .replace(&format!("--chip {CHIP} "), ""),
    );
    // It says that there is a gap if there was room for that, or that it ends.
    replayed.refused(9, &["the recording run.rec", "replay"]);
}

#[test]
fn bad_recordings_and_bad_wishes() {
    let user = user();
    let line = format!("train digits {SMALL} --set learning.epochs=1");
    let _ = user.run(&format!("{line} --chip {CHIP} --out run --record run.rec")).done();
    let whole = bytes(&user.path("run.rec"));
    let replay = |name: &str, more: &str| {
        user.run(&format!("{line} --chip replay:{name} --out {name}.out {more}"))
    };
    // Cut off in the middle of a record: up to there it replays.
    fs::write(user.path("cut.rec"), &whole[..whole.len() / 2]).unwrap();
    let end = format!("at byte {}", whole.len() / 2);
    replay("cut.rec", "").refused(9, &["ends after run", "cut off in the middle of record", &end]);
    let shown = user.run("recording show cut.rec").done();
    assert!(shown.err.contains("cut off in the middle of record"), "{}", shown.err);
    assert!(shown.out.contains(&end), "{}", shown.out);

    let mut other = whole.clone();
    other[10..12].copy_from_slice(&(PROTOCOL_VERSION + 1).to_le_bytes());
    fs::write(user.path("other.rec"), &other).unwrap();
    let (found, known) =
        (format!("version {}", PROTOCOL_VERSION + 1), format!("reads {PROTOCOL_VERSION}"));
    replay("other.rec", "").refused(9, &["protocol version", &found, &known, "record again"]);
    user.run("recording diff run.rec other.rec").refused(9, &["protocol version"]);

    fs::write(user.path("text.rec"), "not a recording at all").unwrap();
    replay("text.rec", "").refused(9, &["is no recording"]);
    replay("none.rec", "").refused(9, &["none.rec", "check the path"]);
    user.run("info --chip replay:a,b").refused(2, &["without commas"]);
    // Another seed asks for something else.
    replay("run.rec", "--set seed=5")
        .refused(2, &["run 0 is not what was recorded", "asked for", "recording show"]);
    // Nothing is overwritten, and software needs no recording.
    user.run(&format!("{line} --chip {CHIP} --out twice --record run.rec"))
        .refused(2, &["run.rec exists already"]);
    assert_eq!(bytes(&user.path("run.rec")), whole);
    user.run(&format!("{line} --software --out soft --record soft.rec"))
        .refused(2, &["--record needs a chip"]);
    user.run(&format!("{line} --chip {CHIP} --out r --record no/such/folder.rec"))
        .refused(9, &["check the path"]);
    user.run("recording export run.rec --to csv --run 999").refused(2, &["has no run 999"]);
    user.run("recording export run.rec --to npz --out no/such/folder.npz").refused(9, &["no/such"]);
    // A run that goes on, on another chip than the recorded one.
    let chip = CHIP.replace("seed=1", "seed=2");
    user.run(&format!("train --resume --out run --chip {chip} --record run.rec --threads 1"))
        .refused(7, &["is a recording of chip"]);
}
