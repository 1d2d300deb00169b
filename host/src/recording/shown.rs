//! What stands in a recording.

use super::walk::walk;
use serde::Serialize;
use spikeloop_hal::recording::{Ending, Failure, Notes, RecordingError, Tape, Totals};
use spikeloop_hal::{Health, TimeSplit};
use std::path::PathBuf;

/// A process that wrote a part of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Number of its first run.
    pub first_run: u64,
    /// What it wanted to be remembered.
    #[serde(serialize_with = "as_map")]
    pub notes: Notes,
}

fn as_map<S: serde::Serializer>(notes: &Notes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(notes.iter().map(|(key, value)| (key, value)))
}

/// A recording in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The file.
    pub file: PathBuf,
    /// Version of its layout.
    pub format: u16,
    /// Version of the wire protocol.
    pub protocol: u16,
    /// Identity of the chip.
    pub chip: String,
    /// Its neurons.
    pub neurons: u16,
    /// Its input lines.
    pub inputs: u16,
    /// Its tick in ns.
    pub tick_ns: u32,
    /// The processes that wrote it.
    pub sessions: Vec<Session>,
    /// Runs that count, and how many of them brought something back.
    pub runs: usize,
    /// Runs that brought something back.
    pub complete: usize,
    /// Trials of the runs that count.
    pub trials: u64,
    /// Input events.
    pub inputs_given: u64,
    /// Spikes.
    pub spikes: u64,
    /// Membrane samples.
    pub samples: u64,
    /// Trials that stalled.
    pub stalled: u64,
    /// Events lost, in and out.
    pub dropped_events: u64,
    /// Where the time went.
    pub time: TimeSplit,
    /// Counters of the chip after the last run.
    pub health: Health,
    /// Failures of the chip, and requests that it refused.
    pub failures: Vec<Failure>,
    /// Records of all kinds, counted.
    pub records: Totals,
    /// Where and why it ends.
    pub ending: Ending,
}

impl Shown {
    /// Reads a whole recording.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn of(tape: &mut Tape) -> Result<Self, RecordingError> {
        let (head, caps) = (tape.head().clone(), tape.capabilities().clone());
        let session = |(first_run, notes): &(u64, Notes)| Session {
            first_run: *first_run,
            notes: notes.clone(),
        };
        let mut shown = Self {
            file: tape.path().to_owned(),
            format: head.format,
            protocol: head.protocol,
            chip: caps.identity.to_string(),
            neurons: caps.neurons,
            inputs: caps.inputs,
            tick_ns: caps.tick_ns,
            sessions: tape.sessions().iter().map(session).collect(),
            runs: tape.runs(),
            complete: 0,
            trials: 0,
            inputs_given: 0,
            spikes: 0,
            samples: 0,
            stalled: 0,
            dropped_events: 0,
            time: TimeSplit::default(),
            health: Health::default(),
            failures: tape.failures().to_vec(),
            records: *tape.totals(),
            ending: tape.ending(),
        };
        walk(tape, None, |run| -> Result<(), RecordingError> {
            shown.trials += run.stimuli.len() as u64;
            shown.inputs_given += run.stimuli.iter().map(|s| s.events.len() as u64).sum::<u64>();
            if let Some(results) = run.results {
                let observables = &results.observables;
                shown.complete += 1;
                shown.spikes += observables.spikes.len() as u64;
                shown.samples += observables.samples.len() as u64;
                shown.stalled += observables.stalled.len() as u64;
                shown.dropped_events =
                    shown.dropped_events.saturating_add(observables.dropped_events);
                shown.time = plus(shown.time, observables.time);
                shown.health = results.health;
            }
            Ok(())
        })?;
        Ok(shown)
    }
}

/// A file can hold any number.
fn plus(a: TimeSplit, b: TimeSplit) -> TimeSplit {
    TimeSplit {
        encode_ns: a.encode_ns.saturating_add(b.encode_ns),
        transfer_ns: a.transfer_ns.saturating_add(b.transfer_ns),
        execute_ns: a.execute_ns.saturating_add(b.execute_ns),
        decode_ns: a.decode_ns.saturating_add(b.decode_ns),
    }
}
