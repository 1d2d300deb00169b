//! Training through a link that makes errors: the same bits as over a clean one, and everything counted.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::link::fault::Faults;
use spikeloop_hal::registry::Registry;
use spikeloop_hal::{Health, OpenOptions, Selector};
use spikeloop_tests::boards::Way;
use spikeloop_tests::learning::{Trace, experiment, one_epoch, one_epoch_on};
use std::time::Duration;

const CHIP: &str = "emu:preset=bss2-cal,seed=5";

const TASK: [&str; 6] = [
    "learning.init.gain=3.0",
    "task.train=200",
    "task.test=60",
    "network.hidden=[40]",
    "learning.batch=50",
    "chip.selector=emu:preset=bss2-cal,seed=5",
];

/// Trains over TCP through `faults`.
fn through(faults: &str) -> (Trace, Health, Faults) {
    let (experiment, data) = experiment("digits", &TASK);
    let selector: Selector = CHIP.parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path().to_owned());
    let place = Place::Tcp { address: "127.0.0.1:0".into(), name: None };
    let board = VirtualBoard::start_in(&selector, &place, 1, &registry).unwrap();
    let faults = Faults::new(faults.parse().unwrap());
    let mut options = OpenOptions::default();
    options.session.recovery = Duration::from_secs(600);
    options.session.silence = Duration::from_secs(120);
    options.around.faults = Some(faults.clone());
    let chip = board.selector().open(&options).unwrap();
    let (trace, health) = one_epoch_on((&experiment, &data), chip, 1);
    (trace, health, faults)
}

#[test]
fn errors_lost_frames_stalls_and_pulled_cables_change_no_bit() {
    let clean = one_epoch(&experiment("digits", &TASK), Way::InProcess, (1, 1));
    let (trace, health, faults) = through(
        "flip=5e-5,loss=5e-5,drop=0.01,dup=0.01,reorder=0.01,stall=0.005:2ms,down.reset=50000x6,seed=4",
    );
    assert!(trace == clean, "weights, predictions or counters differ");
    let counts = faults.counts();
    assert!(counts.down.resets >= 3, "{counts:?}");
    // A board may still hold the old connection when the new one comes.
    assert!(health.recoveries >= counts.down.resets, "{health:?}");
    assert!(health.damaged_frames > 0 && health.retries > 3, "{health:?}");
}

#[test]
fn a_clean_link_costs_no_repetition() {
    let (_, health, _) = through("seed=1");
    assert_eq!((health.retries, health.recoveries, health.damaged_frames), (0, 0, 0));
}
