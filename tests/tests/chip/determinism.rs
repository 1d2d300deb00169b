//! The same seeds give the same bits, wherever the chip is and however many threads compute.
//!
//! Everything that is random in these trainings is switched on: mismatch, noise of the samples, of the
//! thresholds and of the spike times, jitter of the converter, the bus that loses spikes.

use spikeloop_tests::boards::Way;
use spikeloop_tests::learning::{Trace, experiment, one_epoch};

/// Initial weights at which hidden neurons fire from the start.
const LIVELY: &str = "learning.init.gain=3.0";

const DIGITS: [&str; 6] = [
    LIVELY,
    "task.train=200",
    "task.test=60",
    "network.hidden=[40]",
    "learning.batch=50",
    "chip.selector=emu:preset=bss2-cal,seed=5",
];

/// Every way once, and 1, 2 and 3 threads on either side.
const PLACES: [(Way, (usize, usize)); 6] = [
    (Way::InProcess, (2, 1)),
    (Way::InProcess, (1, 3)),
    (Way::Memory, (3, 2)),
    (Way::Pty, (2, 2)),
    (Way::Tcp, (1, 1)),
    (Way::Tcp, (2, 3)),
];

fn everywhere_the_same(name: &str, set: &[&str]) -> Trace {
    let task = experiment(name, set);
    let expected = one_epoch(&task, Way::InProcess, (1, 1));
    for (way, threads) in PLACES {
        let got = one_epoch(&task, way, threads);
        // Not assert_eq: thousands of numbers say less than the first that differs.
        let first = expected.weights.iter().zip(&got.weights).position(|(a, b)| a != b);
        assert_eq!(first, None, "{way:?} {threads:?}: weights differ from this one on");
        assert_eq!(got.learned, expected.learned, "{way:?} {threads:?}");
        assert_eq!(got.evaluated, expected.evaluated, "{way:?} {threads:?}");
        assert!(got == expected, "{way:?} {threads:?}: predictions or counters differ");
    }
    assert!(expected.learned.hidden_spikes > 0, "silent: nothing was tested");
    expected
}

#[test]
fn digits_with_membranes() {
    let trace = everywhere_the_same("digits", &DIGITS);
    // The noise is part of it: other noise on the same chip, other bits.
    let mut set = DIGITS.to_vec();
    set[5] = "chip.selector=emu:preset=bss2-cal,seed=5,noise_seed=99";
    let other = one_epoch(&experiment("digits", &set), Way::InProcess, (1, 1));
    assert_ne!(other.weights, trace.weights);
}

#[test]
fn digits_with_spikes_only() {
    let set: Vec<&str> = DIGITS.into_iter().chain(["chip.observe=spikes"]).collect();
    everywhere_the_same("digits", &set);
}

#[test]
fn digits_with_membranes_near_the_threshold() {
    let set: Vec<&str> = DIGITS.into_iter().chain(["chip.trace_window=0.3"]).collect();
    let near = everywhere_the_same("digits", &set);
    let whole = one_epoch(&experiment("digits", &DIGITS), Way::InProcess, (1, 1));
    assert_ne!(near.weights, whole.weights, "the window changes something");
    let (sent, all) = (near.trace_bytes.sent, near.trace_bytes.all);
    assert_eq!((whole.trace_bytes.sent, whole.trace_bytes.all), (all, all));
    assert!(2 * sent < all, "{sent} bytes of {all}");
}

#[test]
fn yin_yang_on_an_uncalibrated_chip() {
    let selector = "chip.selector=emu:preset=bss2-chip66-uncal,seed=3";
    let set = ["task.train=200", "task.test=60", "network.hidden=[40]", LIVELY, selector];
    everywhere_the_same("yinyang", &set);
}

#[test]
fn two_layers_with_recurrence() {
    let set = [
        LIVELY,
        "task.train=100",
        "task.test=40",
        "network.hidden=[30,20]",
        "network.recurrent=true",
        "chip.selector=emu:preset=bss2-cal,seed=5",
    ];
    everywhere_the_same("digits", &set);
}
