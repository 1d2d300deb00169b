//! Boards and hosts that are killed at any moment: the training comes to the same bits, and nothing but the
//! batch in flight is run twice.
//!
//! Three moments each by default; `SPIKELOOP_KILLS=50` for the figures.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]
#![cfg(unix)]

use spikeloop_hal::recording::Tape;
use spikeloop_models::checkpoint::Checkpoint;
use spikeloop_tests::program::{Running, User, bytes};
use std::path::Path;
use std::time::{Duration, Instant};

const CHIP: &str = "emu:preset=bss2-cal,neurons=40,inputs=64,seed=1";
const TASK: &str = "train digits --set learning.init.gain=3.0 --set task.train=600 --set task.test=50 \
                    --set network.hidden=[20] --set learning.batch=10 --set learning.epochs=6 \
                    --set learning.evaluate_every=2 --threads 1 --json";

fn kills() -> u64 {
    std::env::var("SPIKELOOP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

fn user() -> User {
    User::new(env!("CARGO_BIN_EXE_spikeloop-under-test"))
}

/// Bits of all tensors of a run.
fn weights(run: &Path) -> Vec<(String, Vec<u32>)> {
    let file = bytes(&run.join("checkpoint.safetensors"));
    let checkpoint = Checkpoint::<f32>::from_bytes(&file).unwrap();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect();
    checkpoint.tensors.iter().map(|(name, t)| (name.clone(), bits(&t.values))).collect()
}

/// Moments spread over `whole`, none twice: a low-discrepancy sequence (golden ratio).
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    (1..=kills()).map(move |k| whole.mul_f64((k as f64 * 0.618_034).fract()))
}

#[test]
fn a_board_that_is_killed_and_started_again_costs_the_batch_in_flight_only() {
    let user = user();
    let reference = user.run(&format!("{TASK} --chip {CHIP} --out whole")).done().json();
    let expected = weights(&user.path("whole"));
    let board = || Running::heard(user.command(&format!("emulate --pty victim --chip {CHIP}")));
    let (mut repeated, mut recovered) = (0, 0);
    let mut whole = Duration::from_millis(700);
    for (k, moment) in moments(Duration::from_secs(1)).enumerate() {
        let mut victim = board();
        wait_for_board(&user);
        let began = Instant::now();
        let training =
            Running::heard(user.command(&format!("{TASK} --chip pty:victim --out run{k}")));
        // The first trainings show how long one lasts.
        // The first moments belong to finding the board: one that is not there is an error.
        std::thread::sleep(whole.mul_f64(0.2 + 0.8 * moment.as_secs_f64()));
        drop(victim);
        victim = board();
        let output = finish(training);
        whole = (whole + began.elapsed()) / 2;
        let summary: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert!(weights(&user.path(&format!("run{k}"))) == expected, "kill {k}: other bits");
        assert_eq!(summary["chip_trials"], reference["chip_trials"], "kill {k}");
        recovered += summary["health"]["recoveries"].as_u64().unwrap();
        repeated = repeated.max(summary["retries"].as_u64().unwrap());
        drop(victim);
    }
    eprintln!(
        "{} kills, {recovered} recoveries, at most {repeated} retries in one training",
        kills()
    );
    assert!(recovered > 0, "no kill came while the training ran");
    // Two runs can be in flight; a kill while the device is being brought back repeats them again.
    assert!(repeated <= 4, "{repeated} runs were repeated after one kill");
}

#[test]
fn a_host_that_is_killed_goes_on_and_asks_the_chip_for_nothing_twice() {
    let user = user();
    let whole = Instant::now();
    let _ = user.run(&format!("{TASK} --chip {CHIP} --out whole")).done();
    let whole = whole.elapsed();
    let expected = weights(&user.path("whole"));
    let (mut twice, mut cut) = (0, 0);
    for (k, moment) in moments(whole).enumerate() {
        let (out, tape) = (format!("run{k}"), format!("tape{k}"));
        let victim = Running::heard(
            user.command(&format!("{TASK} --chip {CHIP} --record {tape} --out {out}")),
        );
        std::thread::sleep(moment);
        // The signal of `kill -9`.
        drop(victim);
        let done = user.path(&out).join("summary.json").exists();
        cut += u64::from(!done);
        if !user.path(&out).join("config.toml").exists() {
            let _ = std::fs::remove_dir_all(user.path(&out));
            let _ = std::fs::remove_file(user.path(&tape));
            let line = format!("{TASK} --chip {CHIP} --record {tape} --out {out}");
            let _ = user.run(&line).done();
        } else if !done {
            let line = format!("train --resume --record {tape} --out {out} --threads 1 --json");
            let _ = user.run(&line).done();
        }
        assert!(weights(&user.path(&out)) == expected, "kill {k}: other bits");
        let tape = Tape::open(&user.path(&tape)).unwrap();
        let (submitted, runs) = (tape.totals().submitted, tape.runs() as u64);
        assert_eq!(tape.totals().collected, runs, "kill {k}: an answer was asked for twice");
        twice = twice.max(submitted - runs);
    }
    eprintln!(
        "{} kills, {cut} before the end; at most {twice} runs, those in flight, were submitted twice",
        kills()
    );
    assert!(cut > 0, "no kill came while the training ran");
    assert!(twice <= 4, "{twice} runs were repeated; only four can be in flight");
}

/// Waits until the board answers.
fn wait_for_board(user: &User) {
    for _ in 0..400 {
        if user.run("info --identity --chip pty:victim").code == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("the board does not come up");
}

/// Standard output of a training that must end well.
fn finish(mut training: Running) -> String {
    use std::io::Read;
    let mut out = String::new();
    training.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    let mut err = String::new();
    training.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(training.0.wait().unwrap().success(), "{err}");
    out
}
