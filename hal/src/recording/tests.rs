#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use super::code::{
    adopt, apply_config, put_config, put_results, put_stimuli, read_results, read_stimuli,
};
use super::*;
use crate::caps::Capabilities;
use crate::chip::{Chip, Health, Observables, Stimulus, Ticket};
use crate::config::{ChipConfig, Recording};
use crate::error::Error;
use crate::event::SpikeEvent;
use crate::replay::Replay;
use crate::{OpenOptions, Selector};
use proptest::prelude::*;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const CHIP: &str = "emu:preset=bss2-chip66-uncal,neurons=8,inputs=4,seed=3,temperature=31";

/// A disk with room for so many bytes.
#[derive(Clone, Debug)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: Arc<AtomicUsize>,
}

impl Disk {
    fn new(room: usize) -> Self {
        Self { bytes: Arc::default(), room: Arc::new(AtomicUsize::new(room)) }
    }

    fn contents(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Storage for Disk {
    fn append(&mut self, new: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        let room = self.room.load(Ordering::Relaxed).saturating_sub(bytes.len());
        bytes.extend_from_slice(&new[..new.len().min(room)]);
        if room < new.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().truncate(length as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Counts the runs that reach the chip behind it, and fails from one of them on.
struct Counting {
    chip: Box<dyn Chip>,
    runs: Arc<AtomicUsize>,
    fails_at: usize,
}

impl Chip for Counting {
    fn capabilities(&self) -> &Capabilities {
        self.chip.capabilities()
    }
    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        self.chip.configure(config)
    }
    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.chip.submit(stimuli)
    }
    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        if self.runs.load(Ordering::Relaxed) > self.fails_at {
            return Err(Error::Disconnected { waiting_for: "results" });
        }
        self.chip.collect(ticket, into)
    }
    fn health(&self) -> Health {
        self.chip.health()
    }
    fn temperature_c(&self) -> Option<f32> {
        self.chip.temperature_c()
    }
}

fn emulator() -> Box<dyn Chip> {
    let options = OpenOptions { threads: 1, ..OpenOptions::default() };
    CHIP.parse::<Selector>().unwrap().open(&options).unwrap()
}

fn counting(fails_at: usize) -> (Box<dyn Chip>, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    (Box::new(Counting { chip: emulator(), runs: Arc::clone(&runs), fails_at }), runs)
}

fn notes() -> Notes {
    vec![("seed".into(), "7".into()), ("command".into(), "spikeloop train".into())]
}

fn config(caps: &Capabilities, batch: u64) -> ChipConfig {
    let mut config = ChipConfig::power_up(caps);
    config.enabled.fill(true);
    config.spiking[..6].fill(true);
    for source in 0..usize::from(caps.inputs) {
        config.row_mut(source).fill(caps.weight_max - (batch % 7) as i8 * (source as i8 + 1));
    }
    config.recording = Recording {
        spikes: true,
        traces: vec![0, 3, 7],
        sample_period: caps.adc.unwrap().min_period,
        samples: 5,
        reference: None,
        floor: Some(90),
    };
    config
}

fn stimuli(caps: &Capabilities, batch: u64) -> Vec<Stimulus> {
    let events = (0..caps.inputs).map(|id| SpikeEvent::new(caps.ticks(f64::from(id) + 1.0), id));
    let events: Vec<_> = events.collect();
    let duration = caps.ticks(20.0);
    (0..3).map(|k| Stimulus { trial: batch * 3 + k, duration, events: events.clone() }).collect()
}

/// Everything of a run but the time that it took.
fn timeless(mut observables: Observables) -> Observables {
    observables.time = crate::TimeSplit::default();
    observables
}

/// Learns, as far as a chip can tell: batches with new weights, two runs in flight.
fn train(chip: &mut dyn Chip, batches: std::ops::Range<u64>) -> Result<Vec<Observables>, Error> {
    let caps = chip.capabilities().clone();
    let mut found = Vec::new();
    for batch in batches {
        chip.configure(&config(&caps, batch))?;
        let tickets = [2 * batch, 2 * batch + 1].map(|part| chip.submit(&stimuli(&caps, part)));
        for ticket in tickets {
            let mut observables = Observables::default();
            chip.collect(ticket?, &mut observables)?;
            found.push(timeless(observables));
        }
    }
    Ok(found)
}

/// A recording of so many batches, and what the chip said.
fn recorded(batches: u64) -> (Vec<u8>, Vec<Observables>) {
    let disk = Disk::new(usize::MAX);
    let storage = Box::new(disk.clone());
    let mut chip = Recorder::with_storage(emulator(), storage, Path::new("disk"), notes()).unwrap();
    let found = train(&mut chip, 0..batches).unwrap();
    assert!(found.iter().any(|o| !o.spikes.is_empty() && !o.samples.is_empty()));
    drop(chip);
    (disk.contents(), found)
}

fn tape(bytes: &[u8]) -> Result<Tape, RecordingError> {
    Tape::read(Cursor::new(bytes.to_vec()), Path::new("disk"))
}

#[test]
fn a_replay_is_the_chip_that_was_recorded() {
    let (bytes, found) = recorded(3);
    let tape = tape(&bytes).unwrap();
    assert_eq!(tape.head().notes, notes());
    assert_eq!(tape.ending().cause, Cause::Closed);
    assert_eq!((tape.runs(), tape.totals().lost, tape.totals().resumed), (6, 0, 0));
    let live = emulator();
    let mut replay = Replay::new(tape);
    assert_eq!(replay.capabilities(), live.capabilities());
    assert_eq!(replay.temperature_c(), Some(31.0));
    assert_eq!(replay.health(), Health::default());
    assert_eq!(train(&mut replay, 0..3).unwrap(), found);
    assert_eq!(replay.health().trials, 18);
    let error = train(&mut replay, 3..4).unwrap_err().to_string();
    assert!(error.contains("ends after run 5: it was closed there"), "{error}");
}

#[test]
fn what_is_asked_has_to_be_what_was_recorded() {
    let (bytes, found) = recorded(2);
    let mut replay = Replay::new(tape(&bytes).unwrap());
    let caps = replay.capabilities().clone();
    let good = config(&caps, 0);
    let run = stimuli(&caps, 0);
    let mut refused = |change: &dyn Fn(&mut ChipConfig, &mut Vec<Stimulus>), words: &str| {
        let (mut config, mut stimuli) = (good.clone(), run.clone());
        change(&mut config, &mut stimuli);
        replay.configure(&config).unwrap();
        let error = replay.submit(&stimuli).unwrap_err().to_string();
        assert!(
            error.contains("run 0 is not what was recorded") && error.contains(words),
            "{error}"
        );
    };
    refused(
        &|c, _| c.row_mut(2)[5] = 1,
        "weight code of row 2, neuron 5: recorded 63, asked for 1",
    );
    let threshold = crate::Parameter::Threshold;
    refused(
        &|c, _| c.codes_mut(threshold).unwrap()[6] += 1,
        "code of threshold of neuron 6: recorded",
    );
    refused(&|c, _| c.enabled[1] = false, "power of neuron 1: recorded on, asked for off");
    refused(&|c, _| c.spiking[7] = true, "threshold comparator of neuron 7: recorded off");
    refused(
        &|c, _| c.recording.traces[1] = 4,
        "traced neuron of channel 1: recorded 3, asked for 4",
    );
    refused(&|c, _| c.recording.samples = 4, "samples of a trial: recorded 5, asked for 4");
    refused(&|_, s| s[1].trial = 99, "number of trial 1: recorded 1, asked for 99");
    refused(&|_, s| s[2].duration += 1, "duration of trial 2 in ticks: recorded");
    refused(&|_, s| s[1].events[2].id = 0, "input event 2 of trial 1: recorded 2 at tick");
    refused(&|_, s| s[0].events.truncate(3), "input event 3 of trial 0: recorded 3 at tick");
    refused(&|_, s| s.truncate(2), "number of trials: recorded 3, asked for 2");
    // Nothing of it moved the recording on.
    assert_eq!(train(&mut replay, 0..2).unwrap(), found);
}

#[test]
fn cut_off_at_any_byte_it_is_whole_up_to_the_last_record() {
    let (bytes, found) = recorded(2);
    let whole = tape(&bytes).unwrap();
    // Where runs are complete: a cut there or later has them.
    let mut last = (0, 0);
    let mut heads = 0;
    for length in 0..bytes.len() {
        let cut = match tape(&bytes[..length]) {
            Ok(cut) => cut,
            Err(RecordingError::Head { why, .. }) => {
                assert_eq!((why.as_str(), last), ("it is cut off", (0, 0)), "{length}");
                heads += 1;
                continue;
            }
            Err(error) => panic!("{length}: {error}"),
        };
        let ending = cut.ending();
        assert_eq!(ending.offset + ending.left, length as u64);
        assert!(ending.left == 0 || ending.cause == Cause::CutOff, "{length}: {ending}");
        let complete = (0..cut.runs()).filter(|k| cut.is_complete(*k)).count();
        let now = (ending.records, complete);
        assert!(
            now >= last && now.0 <= last.0 + 1 && now.1 <= last.1 + 1,
            "{length}: {last:?} {now:?}"
        );
        if now.1 > last.1 {
            let mut results = Results::default();
            let mut cut = cut;
            assert!(cut.results(complete - 1, &mut results).unwrap());
            assert_eq!(timeless(results.observables), found[complete - 1]);
        }
        last = now;
    }
    assert!(heads > 100 && last.0 == whole.ending().records - 1 && last.1 == found.len());
    // As a chip it answers what it has, and then says where it ends.
    let cut = &bytes[..bytes.len() - 30];
    let error = train(&mut Replay::new(tape(cut).unwrap()), 0..2).unwrap_err().to_string();
    let words = format!("cut off in the middle of record {}, at byte {}", last.0 - 1, cut.len());
    assert!(error.contains(&words), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_damaged_byte_ends_the_recording_before_it(place in 0.0..1.0, bits in 1u8..=255) {
        let (bytes, found) = recorded(1);
        let at = (place * bytes.len() as f64) as usize;
        let mut damaged = bytes.clone();
        damaged[at] ^= bits;
        match tape(&damaged) {
            Err(RecordingError::NotARecording { .. }) => prop_assert!(at < 8),
            Err(RecordingError::Version { .. }) => prop_assert!((8..12).contains(&at)),
            Err(error) => prop_assert!(at < tape(&bytes).unwrap().ending().offset as usize, "{error}"),
            Ok(mut tape) => {
                let ending = tape.ending();
                prop_assert!(ending.offset as usize <= at && ending.cause != Cause::Closed, "{}", ending);
                for (k, live) in found.iter().enumerate().take(tape.runs()) {
                    let mut results = Results::default();
                    if tape.results(k, &mut results).unwrap() {
                        prop_assert_eq!(&timeless(results.observables), live);
                    }
                }
            }
        }
    }

    #[test]
    fn any_body_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let caps = emulator().capabilities().clone();
        let mut state = ChipConfig::power_up(&caps);
        let _ = apply_config(&bytes, &caps, &mut state);
        let mut stimuli = Vec::new();
        let _ = read_stimuli(&bytes, &mut stimuli);
        prop_assert!(stimuli.len() <= bytes.len());
        let mut results = Results::default();
        let _ = read_results(&bytes, &mut results);
        prop_assert!(results.observables.samples.len() <= 8 * bytes.len());
        // And as records with good checksums.
        let mut file = format::head(&caps, None, &notes());
        for kind in 0..9 {
            format::record(&mut file, kind, |out| out.extend_from_slice(&bytes));
        }
        let mut tape = tape(&file).unwrap();
        for k in 0..tape.runs() {
            let _ = tape.configuration(k);
            let _ = tape.stimuli(k, &mut stimuli);
            let _ = tape.results(k, &mut results);
        }
    }

    #[test]
    fn configurations_survive_as_differences(seed in any::<u64>(), changes in prop::collection::vec((0u8..6, any::<u16>(), any::<u16>()), 0..40)) {
        let caps = emulator().capabilities().clone();
        let start = ChipConfig::power_up(&caps);
        let (mut from, mut to) = (config(&caps, seed), config(&caps, seed));
        for (k, (what, place, value)) in changes.into_iter().enumerate() {
            let place = usize::from(place);
            let at = |n: usize| place % n;
            match what {
                0 => { let n = to.weights.len(); to.weights[at(n)] = value as i8 }
                1 => {
                    let n = to.parameters.len();
                    to.parameters[at(n)].1[k % 8] = value;
                }
                2 => to.enabled[at(8)] ^= true,
                3 => to.spiking[at(8)] ^= true,
                4 => to.recording.reference = Some(value),
                5 => to.recording.floor = Some(value),
                _ => to.recording.traces = vec![value, 3],
            }
        }
        let mut body = Vec::new();
        put_config(false, &from, &to, &mut body);
        let mut back = from.clone();
        apply_config(&body, &caps, &mut back).unwrap();
        prop_assert_eq!(&back, &to);
        body.clear();
        put_config(true, &start, &to, &mut body);
        apply_config(&body, &caps, &mut from).unwrap();
        prop_assert_eq!(&from, &to);
    }

    #[test]
    fn runs_survive(
        trials in prop::collection::vec((any::<u64>(), any::<u32>(), prop::collection::vec((any::<u32>(), any::<u16>()), 0..9)), 0..6),
        samples in prop::collection::vec(0u16..1024, 0..20),
        sorted in any::<bool>(),
    ) {
        let mut stimuli: Vec<Stimulus> = trials.into_iter().map(|(trial, duration, events)| {
            let events = events.into_iter().map(|(tick, id)| SpikeEvent::new(tick, id)).collect();
            Stimulus { trial, duration, events }
        }).collect();
        if sorted {
            stimuli.iter_mut().for_each(|s| s.events.sort_by_key(|e| e.tick));
        }
        let mut body = Vec::new();
        put_stimuli(&stimuli, &mut body);
        let mut back = vec![Stimulus::default(); 9];
        read_stimuli(&body, &mut back).unwrap();
        prop_assert_eq!(&back, &stimuli);

        let mut observables = Observables::default();
        observables.clear();
        for stimulus in &stimuli {
            observables.spikes.extend_from_slice(&stimulus.events);
            observables.offsets.push(observables.spikes.len() as u32);
        }
        observables.samples = samples;
        observables.stalled = vec![0, 3];
        observables.dropped_events = 77;
        observables.time.execute_ns = u64::MAX;
        let health = Health { retries: 5, ..Health::default() };
        body.clear();
        put_results(&observables, 8, &health, Some(25.5), &mut body);
        let mut results = Results::default();
        read_results(&body, &mut results).unwrap();
        prop_assert_eq!(results, Results { observables, health, temperature_c: Some(25.5) });
    }
}

/// Any change of these bytes needs a new [`FORMAT_VERSION`]: recordings are kept for years.
#[test]
fn the_layout_of_records_is_what_it_was() {
    let caps = emulator().capabilities().clone();
    let (start, asked) = (ChipConfig::power_up(&caps), config(&caps, 3));
    let stimuli = stimuli(&caps, 2);
    let mut observables = Observables::default();
    observables.clear();
    observables.spikes = vec![SpikeEvent::new(3, 1), SpikeEvent::new(500, 7)];
    observables.offsets.extend([1, 1, 2]);
    observables.samples = (0..45).collect();
    observables.stalled = vec![1];
    observables.time.execute_ns = 12_345;
    let health = Health { trials: 9, recoveries: 1, ..Health::default() };
    let mut file = Vec::new();
    format::record(&mut file, 1, |out| put_config(true, &start, &asked, out));
    format::record(&mut file, 2, |out| {
        out.extend_from_slice(&0_u64.to_le_bytes());
        put_stimuli(&stimuli, out);
    });
    format::record(&mut file, 3, |out| {
        out.extend_from_slice(&0_u64.to_le_bytes());
        put_results(&observables, 8, &health, Some(31.0), out);
    });
    // Backwards, because a checksum over records that end in theirs is the same for all of them.
    file.reverse();
    assert_eq!((file.len(), format::CRC.checksum(&file)), (209, 2_637_386_112));
}

#[test]
fn parameters_may_stand_in_any_order() {
    let caps = emulator().capabilities().clone();
    let mut config = config(&caps, 1);
    config.parameters[2].1[3] += 1;
    let mut ordered = ChipConfig::power_up(&caps);
    let expected = config.clone();
    config.parameters.reverse();
    adopt(&mut ordered, &config);
    assert_eq!(ordered, expected);
}

#[test]
fn another_version_is_told_with_both_numbers() {
    let (bytes, _) = recorded(1);
    for (at, what) in [(8, "format"), (10, "protocol")] {
        let mut other = bytes.clone();
        other[at..at + 2].copy_from_slice(&77_u16.to_le_bytes());
        let error = tape(&other).unwrap_err().to_string();
        let known = if at == 8 { FORMAT_VERSION } else { crate::PROTOCOL_VERSION };
        assert!(
            error.contains(&format!("{what} version 77, this program reads {known}")),
            "{error}"
        );
        assert!(error.contains("record again"), "{error}");
    }
    let error = tape(b"#!/bin/sh\n").unwrap_err().to_string();
    assert!(error.contains("is no recording: name a file"), "{error}");
}

#[test]
fn a_full_disk_stops_the_recording_and_not_the_run() {
    let (bytes, found) = recorded(6);
    let disk = Disk::new(bytes.len() / 2);
    let storage = Box::new(disk.clone());
    let mut chip = Recorder::with_storage(emulator(), storage, Path::new("disk"), notes()).unwrap();
    let status = chip.status();
    let mut all = train(&mut chip, 0..4).unwrap();
    let lost = status.lost();
    assert!(lost > 0 && disk.contents().len() < bytes.len() / 2, "{lost}");
    // With room again, it goes on by itself.
    disk.room.store(usize::MAX, Ordering::Relaxed);
    all.extend(train(&mut chip, 4..6).unwrap());
    drop(chip);
    assert_eq!(all, found);
    let tape = tape(&disk.contents()).unwrap();
    assert_eq!(tape.ending().cause, Cause::Closed);
    assert_eq!(tape.totals().lost, status.lost());
    assert!((3..12).contains(&tape.runs()), "{}", tape.runs());
    assert!(tape.is_complete(tape.runs() - 1) && tape.number(tape.runs() - 1) == 11);
    let error = train(&mut Replay::new(tape), 0..6).unwrap_err().to_string();
    assert!(error.contains("has a gap at run") && error.contains("disk full?"), "{error}");
}

#[test]
fn a_failure_of_the_chip_is_recorded_and_replayed() {
    let disk = Disk::new(usize::MAX);
    let (chip, _) = counting(4);
    let storage = Box::new(disk.clone());
    let mut chip = Recorder::with_storage(chip, storage, Path::new("disk"), notes()).unwrap();
    let caps = chip.capabilities().clone();
    let mut wrong = config(&caps, 0);
    wrong.recording.traces = vec![2, 2];
    assert!(chip.configure(&wrong).is_err());
    let live = train(&mut chip, 0..9).unwrap_err().to_string();
    drop(chip);
    let tape = tape(&disk.contents()).unwrap();
    let [refused, failed] = tape.failures() else { panic!("{:?}", tape.failures()) };
    assert!(refused.refused && refused.call == Call::Configure && refused.run == 0);
    assert_eq!((failed.run, failed.call, &failed.message), (4, Call::Collect, &live));
    let error = train(&mut Replay::new(tape), 0..9).unwrap_err().to_string();
    assert!(error.contains("the recorded chip failed at this point, run 4 (collect)"), "{error}");
    assert!(error.contains(&live), "{error}");
}

/// The bytes of a recording whose process is killed when the chip has answered so many runs.
fn killed_after(path: &Path, batches: u64) {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let mut chip = Recorder::create(emulator(), &whole, notes()).unwrap();
    let _ = train(&mut chip, 0..batches).unwrap();
    // One more is on its way, with its beginning not even written.
    let caps = chip.capabilities().clone();
    chip.configure(&config(&caps, batches)).unwrap();
    let _ = chip.submit(&stimuli(&caps, 2 * batches)).unwrap();
    std::fs::copy(&whole, path).unwrap();
}

#[test]
fn a_resumed_recorder_asks_the_chip_only_for_what_it_has_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let (_, found) = recorded(6);
    for (killed, checkpoint, torn) in [(4, 2, 0), (4, 0, 25), (3, 3, 0), (5, 4, 3)] {
        let path = folder.path().join(format!("{killed}-{checkpoint}"));
        killed_after(&path, killed);
        let length = std::fs::metadata(&path).unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length - torn).unwrap();
        let (chip, runs) = counting(usize::MAX);
        let mut chip = Recorder::resume(chip, &path, notes()).unwrap();
        let status = chip.status();
        let rest = train(&mut chip, checkpoint..6).unwrap();
        assert_eq!(rest, found[2 * checkpoint as usize..]);
        // What was torn off is one run, which is in flight then.
        let kept = (2 * killed - u64::from(torn > 0)) as usize;
        assert_eq!(runs.load(Ordering::Relaxed), 12 - kept, "killed after {killed}");
        assert_eq!(status.replayed() as usize, kept - 2 * checkpoint as usize);
        assert_eq!(chip.health().trials, 3 * (12 - 2 * checkpoint), "both count");
        drop(chip);
        // All of it together is the recording of a run that was never killed.
        let tape = Tape::open(&path).unwrap();
        assert_eq!((tape.runs(), tape.ending().cause), (12, Cause::Closed));
        assert_eq!(tape.sessions().len(), 2);
        assert_eq!(train(&mut Replay::new(tape), 0..6).unwrap(), found);
    }
}

#[test]
fn a_resumed_recorder_refuses_another_chip_and_a_second_writer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let other = || {
        let chip = CHIP.replace("seed=3", "seed=4").parse::<Selector>().unwrap();
        chip.open(&OpenOptions::default()).unwrap()
    };
    let first = Recorder::create(emulator(), &path, notes()).unwrap();
    let error = Recorder::create(emulator(), &path, notes()).err().unwrap().to_string();
    assert!(error.contains("exists already and is not overwritten"), "{error}");
    let error = Recorder::resume(emulator(), &path, notes()).err().unwrap().to_string();
    assert!(error.contains("another process is writing"), "{error}");
    drop(first);
    let error = Recorder::resume(other(), &path, notes()).err().unwrap().to_string();
    assert!(error.contains("continue on the recorded chip"), "{error}");
    // Without a whole head there is nothing to keep.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(20).unwrap();
    drop(file);
    let mut chip = Recorder::resume(other(), &path, notes()).unwrap();
    let _ = train(&mut chip, 0..1).unwrap();
    drop(chip);
    assert_eq!(Tape::open(&path).unwrap().runs(), 2);
}

#[test]
fn a_damaged_end_is_kept_beside_the_recording_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let (mut bytes, found) = recorded(2);
    let from = bytes.len() - 60;
    bytes[from..].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let (chip, runs) = counting(usize::MAX);
    let mut chip = Recorder::resume(chip, &path, notes()).unwrap();
    assert_eq!(train(&mut chip, 0..2).unwrap(), found);
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    drop(chip);
    assert_eq!(Tape::open(&path).unwrap().runs(), 4);
    let rest = std::fs::read(folder.path().join("r.unreadable")).unwrap();
    assert!(bytes.ends_with(&rest) && rest.len() >= 60);
}
