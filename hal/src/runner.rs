//! Runs in flight: submission ahead of collection, and repetition of stalled trials.
//!
//! A converter that shares its bus with other traffic stalls now and then; the data of such a
//! trial are void and the trial has to be repeated (published for BrainScaleS-2: up to five times).
//! [`Runner`] does that without the caller noticing, keeps the order of the runs, and counts.

use crate::chip::{Chip, Observables, Stimulus, Ticket};
use crate::error::Error;
use std::collections::VecDeque;

/// How often a stalled trial is tried in all (published: five).
pub const MAX_ATTEMPTS: u8 = 5;

/// The attempt counter stands in the top eight bits of a trial's number, so that a repetition on
/// an emulated chip draws fresh noise and a first attempt is not changed by it.
pub const ATTEMPT_SHIFT: u32 = 56;

struct Flight {
    ticket: Ticket,
    stimuli: Vec<Stimulus>,
    /// Already collected, while an earlier run was being repaired.
    arrived: Option<Observables>,
}

/// A chip with a queue of runs in flight.
pub struct Runner {
    chip: Box<dyn Chip>,
    flights: VecDeque<Flight>,
    spare_observables: Vec<Observables>,
    spare_stimuli: Vec<Vec<Stimulus>>,
    retries: u64,
}

impl Runner {
    /// Takes over an open chip.
    #[must_use]
    pub fn new(chip: Box<dyn Chip>) -> Self {
        Self {
            chip,
            flights: VecDeque::new(),
            spare_observables: Vec::new(),
            spare_stimuli: Vec::new(),
            retries: 0,
        }
    }

    /// The chip, to look at.
    #[must_use]
    pub fn chip(&self) -> &dyn Chip {
        self.chip.as_ref()
    }

    /// The chip, to configure. The new configuration holds for runs submitted later.
    pub fn chip_mut(&mut self) -> &mut dyn Chip {
        self.chip.as_mut()
    }

    /// Gives the chip back; runs in flight are forgotten.
    #[must_use]
    pub fn into_chip(self) -> Box<dyn Chip> {
        self.chip
    }

    /// Trials that had to be repeated so far.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Runs submitted and not yet collected.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Whether another run may be submitted before one is collected.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.flights.len() < usize::from(self.chip.capabilities().buffers.runs_in_flight.max(1))
    }

    /// A list to fill with stimuli: memory of an earlier run where possible.
    #[must_use]
    pub fn stimuli(&mut self) -> Vec<Stimulus> {
        self.spare_stimuli.pop().unwrap_or_default()
    }

    /// Gives observables back, so that their memory is used again.
    pub fn recycle(&mut self, observables: Observables) {
        self.spare_observables.push(observables);
    }

    /// Starts a run.
    ///
    /// # Errors
    /// As [`Chip::submit`].
    pub fn submit(&mut self, stimuli: Vec<Stimulus>) -> Result<(), Error> {
        let ticket = self.chip.submit(&stimuli)?;
        self.flights.push_back(Flight { ticket, stimuli, arrived: None });
        Ok(())
    }

    /// Waits for the oldest run. `None` if nothing is in flight.
    ///
    /// # Errors
    /// As [`Chip::collect`]; [`Error::Stalled`] if a trial stalled in every attempt.
    pub fn collect(&mut self) -> Result<Option<Observables>, Error> {
        let Some(mut flight) = self.flights.pop_front() else { return Ok(None) };
        let mut observables = match flight.arrived.take() {
            Some(observables) => observables,
            None => self.fetch(flight.ticket)?,
        };
        if !observables.stalled.is_empty() {
            self.repair(&flight.stimuli, &mut observables)?;
        }
        self.spare_stimuli.push(flight.stimuli);
        Ok(Some(observables))
    }

    fn fetch(&mut self, ticket: Ticket) -> Result<Observables, Error> {
        let mut observables = self.spare_observables.pop().unwrap_or_default();
        self.chip.collect(ticket, &mut observables)?;
        Ok(observables)
    }

    /// Repeats the stalled trials of a run until they are whole. Later runs are collected first,
    /// because a chip returns its runs in order.
    fn repair(&mut self, stimuli: &[Stimulus], whole: &mut Observables) -> Result<(), Error> {
        for at in 0..self.flights.len() {
            if self.flights[at].arrived.is_none() {
                let arrived = self.fetch(self.flights[at].ticket)?;
                self.flights[at].arrived = Some(arrived);
            }
        }
        for attempt in 1..MAX_ATTEMPTS {
            let stalled = std::mem::take(&mut whole.stalled);
            let again: Vec<Stimulus> = stalled
                .iter()
                .map(|k| {
                    let mut stimulus = stimuli[*k as usize].clone();
                    stimulus.trial |= u64::from(attempt) << ATTEMPT_SHIFT;
                    stimulus
                })
                .collect();
            self.retries += again.len() as u64;
            let ticket = self.chip.submit(&again)?;
            let mut repeated = self.fetch(ticket)?;
            let still = std::mem::take(&mut repeated.stalled);
            splice(whole, &stalled, &repeated);
            self.recycle(repeated);
            whole.stalled = still.iter().map(|k| stalled[*k as usize]).collect();
            if whole.stalled.is_empty() {
                return Ok(());
            }
        }
        Err(Error::Stalled { trials: whole.stalled.len(), attempts: MAX_ATTEMPTS })
    }
}

/// Replaces trials `which` of `whole` by those of `part`.
fn splice(whole: &mut Observables, which: &[u32], part: &Observables) {
    let trials = whole.trials();
    let samples_per_trial = whole.samples.len() / trials.max(1);
    let mut spikes = Vec::with_capacity(whole.spikes.len() + part.spikes.len());
    let mut offsets = Vec::with_capacity(trials + 1);
    offsets.push(0);
    for k in 0..trials {
        match which.iter().position(|w| *w as usize == k) {
            Some(p) => {
                spikes.extend_from_slice(part.spikes_of(p));
                whole.samples[k * samples_per_trial..][..samples_per_trial]
                    .copy_from_slice(&part.samples[p * samples_per_trial..][..samples_per_trial]);
            }
            None => spikes.extend_from_slice(whole.spikes_of(k)),
        }
        offsets.push(spikes.len() as u32);
    }
    whole.spikes = spikes;
    whole.offsets = offsets;
    whole.dropped_events += part.dropped_events;
    whole.time += part.time;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caps::{Buffers, Capabilities, Identity, PROTOCOL_VERSION};
    use crate::chip::Health;
    use crate::config::ChipConfig;
    use crate::event::SpikeEvent;

    /// Echoes each trial's number as one spike; trials in `bad` stall in their first `times` attempts.
    struct Stalling {
        caps: Capabilities,
        bad: Vec<u64>,
        times: u64,
        queue: VecDeque<(u64, Vec<Stimulus>)>,
        next: u64,
    }

    impl Stalling {
        fn new(bad: &[u64], times: u64) -> Box<Self> {
            let caps = Capabilities {
                protocol: PROTOCOL_VERSION,
                identity: Identity { kind: heapless::String::new(), serial: 0, firmware: 0 },
                neurons: 1,
                inputs: 1,
                recurrent: false,
                weight_min: -1,
                weight_max: 1,
                tick_ns: 1,
                max_duration: 10,
                adc: None,
                buffers: Buffers {
                    trials: 8,
                    stimulus_events: 8,
                    spikes_per_trial: 8,
                    trace_bytes: 8,
                    runs_in_flight: 2,
                    frame_body: 64,
                },
                parameters: heapless::Vec::new(),
            };
            Box::new(Self { caps, bad: bad.to_vec(), times, queue: VecDeque::new(), next: 0 })
        }
    }

    impl Chip for Stalling {
        fn capabilities(&self) -> &Capabilities {
            &self.caps
        }
        fn configure(&mut self, _: &ChipConfig) -> Result<(), Error> {
            Ok(())
        }
        fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
            self.next += 1;
            self.queue.push_back((self.next, stimuli.to_vec()));
            Ok(Ticket(self.next))
        }
        fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
            let (number, stimuli) = self.queue.pop_front().unwrap();
            assert_eq!(number, ticket.0, "runs must be collected in order");
            into.clear();
            for (k, stimulus) in stimuli.iter().enumerate() {
                let (attempt, trial) =
                    (stimulus.trial >> ATTEMPT_SHIFT, stimulus.trial & ((1 << ATTEMPT_SHIFT) - 1));
                if self.bad.contains(&trial) && attempt < self.times {
                    into.stalled.push(k as u32);
                    into.samples.push(999);
                } else {
                    into.spikes.push(SpikeEvent::new(trial as u32, attempt as u16));
                    into.samples.push(trial as u16);
                }
                into.offsets.push(into.spikes.len() as u32);
            }
            Ok(())
        }
        fn health(&self) -> Health {
            Health::default()
        }
    }

    fn run(range: std::ops::Range<u64>) -> Vec<Stimulus> {
        range.map(|trial| Stimulus { trial, duration: 1, events: vec![] }).collect()
    }

    #[test]
    fn stalled_trials_are_repeated_in_place_with_a_run_in_flight_behind_them() {
        let mut runner = Runner::new(Stalling::new(&[1, 2, 5], 2));
        runner.submit(run(0..4)).unwrap();
        runner.submit(run(4..7)).unwrap();
        assert!(!runner.has_room());
        let first = runner.collect().unwrap().unwrap();
        let second = runner.collect().unwrap().unwrap();
        assert_eq!(first.samples, [0, 1, 2, 3]);
        assert_eq!(second.samples, [4, 5, 6]);
        assert_eq!(first.spikes_of(1), [SpikeEvent::new(1, 2)]);
        assert_eq!(first.spikes_of(3), [SpikeEvent::new(3, 0)]);
        assert_eq!(runner.retries(), 6);
        assert!(runner.collect().unwrap().is_none());
    }

    #[test]
    fn a_trial_that_always_stalls_is_an_error_and_not_a_hang() {
        let mut runner = Runner::new(Stalling::new(&[1], 99));
        runner.submit(run(0..3)).unwrap();
        let error = runner.collect().unwrap_err();
        assert!(matches!(error, Error::Stalled { trials: 1, attempts: MAX_ATTEMPTS }));
    }
}
