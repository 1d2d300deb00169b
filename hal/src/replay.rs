//! A recorded chip.
//!
//! [`Replay`] says it is the chip that was recorded and answers as that one did, bit for bit, as long
//! as it is asked the same. If it is asked something else it says what: the first weight code, event
//! or setting that differs, in which run. It checks requests as every chip does, so that what was
//! refused while recording is refused again and needs no record.

use crate::caps::Capabilities;
use crate::chip::{Chip, Health, Observables, Stimulus, Ticket};
use crate::config::ChipConfig;
use crate::error::Error;
use crate::limits::check_run;
use crate::recording::{Call, Difference, RecordingError, Results, Tape, difference};
use std::collections::VecDeque;
use std::path::Path;

/// A chip read from a recording.
#[derive(Debug)]
pub struct Replay {
    tape: Tape,
    /// Place of the run that has to come next.
    next: usize,
    wanted: ChipConfig,
    flights: VecDeque<Ticket>,
    results: Results,
    scratch: Vec<Stimulus>,
}

impl Replay {
    /// Opens a recording as a chip.
    ///
    /// # Errors
    /// [`Error::RecordingFile`] if it is none, or of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::new(Tape::open(path)?))
    }

    /// The chip of an open recording, at its beginning.
    #[must_use]
    pub fn new(tape: Tape) -> Self {
        let wanted = ChipConfig::power_up(tape.capabilities());
        let temperature_c = tape.head().temperature_c;
        Self {
            tape,
            next: 0,
            wanted,
            flights: VecDeque::new(),
            results: Results { temperature_c, ..Results::default() },
            scratch: Vec::new(),
        }
    }

    /// The recording.
    #[must_use]
    pub fn tape(&self) -> &Tape {
        &self.tape
    }

    /// Runs that were replayed so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.next
    }

    /// Why there is no run `number` to answer with.
    fn missing(&self, number: u64, calls: &[Call]) -> Error {
        let failed = |f: &&crate::recording::Failure| {
            !f.refused && f.run == number && calls.contains(&f.call)
        };
        if let Some(failure) = self.tape.failures().iter().find(failed) {
            let (run, call, message) = (number, failure.call, failure.message.clone());
            return RecordingError::Failed { run, call, message }.into();
        }
        match self.tape.totals().lost {
            0 => self.tape.ended().into(),
            lost => {
                RecordingError::Gap { path: self.tape.path().to_owned(), run: number, lost }.into()
            }
        }
    }

    /// Compares what is asked with run `k` of the recording.
    fn compare(&mut self, k: usize, stimuli: &[Stimulus]) -> Result<(), Error> {
        let configured = difference::of_configurations(self.tape.configuration(k)?, &self.wanted);
        self.tape.stimuli(k, &mut self.scratch)?;
        let found = configured.or_else(|| difference::of_stimuli(&self.scratch, stimuli));
        found.map_or(Ok(()), |difference| Err(self.differs(k, difference)))
    }

    fn differs(&self, k: usize, difference: Difference) -> Error {
        RecordingError::Differs {
            path: self.tape.path().to_owned(),
            run: self.tape.number(k),
            difference: Box::new(difference),
        }
        .into()
    }
}

impl Chip for Replay {
    fn capabilities(&self) -> &Capabilities {
        self.tape.capabilities()
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        config.check(self.tape.capabilities())?;
        self.wanted = self.tape.in_order(config);
        Ok(())
    }

    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        let caps = self.tape.capabilities();
        let limit = caps.buffers.runs_in_flight;
        if self.flights.len() >= usize::from(limit) {
            return Err(Error::TooManyRuns { limit });
        }
        check_run(caps, &self.wanted.recording, stimuli)?;
        let k = self.next;
        let number = if k == 0 { 0 } else { self.tape.number(k - 1) + 1 };
        if k >= self.tape.runs() || self.tape.number(k) != number {
            return Err(self.missing(number, &[Call::Configure, Call::Submit]));
        }
        self.compare(k, stimuli)?;
        self.next += 1;
        let ticket = Ticket(k as u64);
        self.flights.push_back(ticket);
        Ok(ticket)
    }

    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        if self.flights.front() != Some(&ticket) {
            return Err(Error::UnknownTicket { ticket: ticket.0 });
        }
        let k = ticket.0 as usize;
        if !self.tape.results(k, &mut self.results)? {
            return Err(self.missing(self.tape.number(k), &[Call::Collect]));
        }
        self.flights.pop_front();
        std::mem::swap(into, &mut self.results.observables);
        Ok(())
    }

    fn health(&self) -> Health {
        self.results.health
    }

    fn temperature_c(&self) -> Option<f32> {
        self.results.temperature_c
    }
}
