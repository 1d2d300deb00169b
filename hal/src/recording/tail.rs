//! What a chip has answered already, as far as it is asked for again.
//!
//! A host that was killed goes on from its last checkpoint, and the runs since then are in the
//! recording. The first run that it asks for is looked up by configuration and stimuli (which have the
//! numbers of the trials in them: no two batches of a training have the same); from there on the
//! recorded runs are answers as long as the next one that is asked for is the next one recorded.

use super::code::{Results, put_stimuli};
use super::error::RecordingError;
use super::format::CRC;
use super::tape::Tape;
use crate::chip::{Health, Stimulus};
use crate::config::ChipConfig;

/// A recording that answers for a chip.
pub(super) struct Tail {
    tape: Tape,
    /// The run that has to come next, once the first was found.
    next: Option<usize>,
    /// Counters before the first run that was answered.
    before: Health,
    scratch: Vec<Stimulus>,
    packed: Vec<u8>,
}

impl Tail {
    pub(super) fn new(tape: Tape) -> Self {
        Self {
            tape,
            next: None,
            before: Health::default(),
            scratch: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// The recorded run that this is, if it was recorded to its end.
    pub(super) fn find(
        &mut self,
        config: &ChipConfig,
        stimuli: &[Stimulus],
    ) -> Result<Option<usize>, RecordingError> {
        self.packed.clear();
        put_stimuli(stimuli, &mut self.packed);
        let hash = CRC.checksum(&self.packed);
        let places = match self.next {
            Some(next) => next..(next + 1).min(self.tape.runs()),
            None => 0..self.tape.runs(),
        };
        for k in places {
            if self.tape.hash(k) != hash || !self.tape.is_complete(k) {
                continue;
            }
            if self.tape.configuration(k)? != config {
                continue;
            }
            self.tape.stimuli(k, &mut self.scratch)?;
            if self.scratch != stimuli {
                continue;
            }
            if self.next.is_none() && k > 0 {
                let mut earlier = Results::default();
                if self.tape.results(k - 1, &mut earlier)? {
                    self.before = earlier.health;
                }
            }
            let follows = |at: usize| self.tape.number(at) == self.tape.number(k) + 1;
            let more = k + 1 < self.tape.runs() && follows(k + 1);
            // After a loss nothing fits: as at the end.
            self.next = Some(if more { k + 1 } else { self.tape.runs() });
            return Ok(Some(k));
        }
        Ok(None)
    }

    /// Number of the first run that the chip itself has to answer: after the last answer of the
    /// recording, or after all that was recorded if it has given none.
    pub(super) fn kept(&self, answered: Option<usize>) -> u64 {
        let whole = || (0..self.tape.runs()).rev().find(|k| self.tape.is_complete(*k));
        answered.or_else(whole).map_or(0, |k| self.tape.number(k) + 1)
    }

    pub(super) fn results(&mut self, k: usize, into: &mut Results) -> Result<(), RecordingError> {
        if self.tape.results(k, into)? { Ok(()) } else { Err(self.tape.ended()) }
    }

    /// What the answered runs up to the one with these counters added to them.
    pub(super) fn added(&self, now: &Health) -> Health {
        difference(now, &self.before)
    }
}

/// Counters that two parts of a training add up to.
pub(super) fn sum(a: &Health, b: &Health) -> Health {
    let mut sum = *b;
    for (to, more) in fields(&mut sum).into_iter().zip(fields(&mut a.clone())) {
        *to = to.saturating_add(*more);
    }
    sum
}

/// What was counted between two readings. A chip that was opened again in between began at zero.
fn difference(now: &Health, before: &Health) -> Health {
    if now.trials < before.trials {
        return *now;
    }
    let mut difference = *now;
    for (to, less) in fields(&mut difference).into_iter().zip(fields(&mut before.clone())) {
        *to = to.saturating_sub(*less);
    }
    difference
}

fn fields(health: &mut Health) -> [&mut u64; 8] {
    [
        &mut health.trials,
        &mut health.dropped_inputs,
        &mut health.dropped_spikes,
        &mut health.saturated_samples,
        &mut health.stalled_trials,
        &mut health.damaged_frames,
        &mut health.retries,
        &mut health.recoveries,
    ]
}
