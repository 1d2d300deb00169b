//! A chip that computes in a thread of its own behind the server.

use super::device::{serve, serve_with_resets};
use super::toy::{FAILS, ToyChip, capabilities};
use super::{Draw, open, run, same_as_in_process, some_config, some_stimuli};
use spikeloop_firmware::board::BesideCore;
use spikeloop_hal::wire::RefusalCode;
use spikeloop_hal::{
    Capabilities, Chip, ChipConfig, Error, Health, Observables, Stimulus, Ticket, TimeSplit,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The server of these tests looks every millisecond by itself: nobody has to be woken.
fn core() -> BesideCore {
    BesideCore::new(ToyChip::new(capabilities()), 1, || ()).unwrap()
}

#[test]
fn gives_what_the_chip_gives_in_process() {
    same_as_in_process(core(), 64 * 1024);
    same_as_in_process(core(), 61);
}

/// Runs of more than a slice, several in flight, each with a stalled trial, under one configuration.
#[test]
fn slices_never_mix_runs() {
    let caps = capabilities();
    let mut here = ToyChip::new(caps.clone());
    let mut there = open(serve(core(), 4096));
    let mut draw = Draw(21);
    let mut config = some_config(&caps, &mut draw);
    config.recording.samples = 3;
    here.configure(&config).unwrap();
    there.configure(&config).unwrap();
    let mut waiting = std::collections::VecDeque::new();
    for round in 0..9 {
        let stimuli = some_stimuli(&caps, &mut draw, [1, 17, 40][round % 3]);
        waiting.push_back((there.submit(&stimuli).unwrap(), run(&mut here, &stimuli)));
        while waiting.len() == 3 || round == 8 {
            let Some((ticket, expected)) = waiting.pop_front() else { break };
            let mut out = Observables::default();
            there.collect(ticket, &mut out).unwrap();
            out.time = TimeSplit::default();
            assert_eq!(out, expected, "round {round}");
        }
    }
    assert!(here.health().dropped_spikes > 0);
    assert_eq!(there.health(), here.health());
}

#[test]
fn a_reset_in_the_middle_forgets_what_the_chip_computes() {
    let caps = capabilities();
    let mut here = ToyChip::new(caps.clone());
    for life in [701, 4000] {
        let mut there = open(serve_with_resets(core, life, 6));
        let mut draw = Draw(life as u64);
        for round in 0..8 {
            let mut config = some_config(&caps, &mut draw);
            config.recording.samples = config.recording.samples.min(5);
            here.configure(&config).unwrap();
            there.configure(&config).unwrap();
            let stimuli = some_stimuli(&caps, &mut draw, 1 + round % 4);
            assert_eq!(run(&mut there, &stimuli), run(&mut here, &stimuli), "round {round}");
        }
        assert!(there.health().recoveries >= 1);
    }
}

#[test]
fn a_chip_that_fails_is_a_fault() {
    let mut session = open(serve(core(), 4096));
    assert_eq!(fault(&mut session, FAILS), 2);
}

#[test]
fn a_chip_that_panics_is_a_fault_and_no_silence() {
    let woken = Arc::new(AtomicUsize::new(0));
    let bell = woken.clone();
    let chip = Panics(ToyChip::new(capabilities()));
    let core = BesideCore::new(chip, 1, move || _ = bell.fetch_add(1, Ordering::SeqCst)).unwrap();
    let mut session = open(serve(core, 4096));
    assert_eq!(fault(&mut session, 1), 4);
    assert_eq!(woken.load(Ordering::SeqCst), 1);
}

/// The number of the fault that ends the session with trial `trial`.
fn fault(session: &mut impl Chip, trial: u64) -> u32 {
    let unlucky = Stimulus { trial, duration: 5, events: Vec::new() };
    let ticket = session.submit(&[unlucky]).unwrap();
    let error = session.collect(ticket, &mut Observables::default()).unwrap_err();
    let Error::Refused { refusal } = error else { panic!("{error}") };
    assert_eq!(refusal.reason(), Some(RefusalCode::Fault));
    refusal.got
}

/// A chip that does not survive a run.
struct Panics(ToyChip);

impl Chip for Panics {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        self.0.configure(config)
    }

    fn submit(&mut self, _: &[Stimulus]) -> Result<Ticket, Error> {
        panic!("as it should");
    }

    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        self.0.collect(ticket, into)
    }

    fn health(&self) -> Health {
        self.0.health()
    }
}
