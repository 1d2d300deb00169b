//! Any chip that a process can reach, as a core behind the wire.

use super::Registers;
use crate::core::{Core, Emit, Fault, Outcome, Progress, Trial, Write};
use spikeloop_hal::{Capabilities, Chip, Error, Observables, SpikeEvent, Stimulus};

/// A [`Chip`] as a [`Core`]: it takes whole trials, as many of a run as have arrived, hands them to
/// the chip at once, and emits what came back trial by trial. A chip that computes on several
/// threads can so use them all.
pub struct ChipCore<C> {
    chip: C,
    caps: Capabilities,
    registers: Registers,
    /// The chip does not have the registers' state yet.
    dirty: bool,
    /// Trials taken and not computed; the last one may still want events.
    trials: Vec<Stimulus>,
    /// Another trial of the run follows the last one.
    more: bool,
    /// Memory of trials that are done.
    spare: Vec<Stimulus>,
    results: Observables,
    /// Trials of `results` that were emitted.
    emitted: usize,
    dropped_inputs: u32,
    dropped_spikes: u32,
    last_error: Option<Error>,
}

impl<C: Chip> ChipCore<C> {
    /// The chip did not accept its configuration.
    pub const CONFIGURE: Fault = Fault(1);
    /// The chip did not accept a run.
    pub const SUBMIT: Fault = Fault(2);
    /// The chip did not return a run.
    pub const COLLECT: Fault = Fault(3);

    /// Puts `chip` behind the interface of a core.
    #[must_use]
    pub fn new(chip: C) -> Self {
        let caps = chip.capabilities().clone();
        Self {
            registers: Registers::power_up(&caps),
            caps,
            chip,
            dirty: true,
            trials: Vec::new(),
            more: false,
            spare: Vec::new(),
            results: Observables::default(),
            emitted: 0,
            dropped_inputs: 0,
            dropped_spikes: 0,
            last_error: None,
        }
    }

    /// The chip.
    #[must_use]
    pub fn chip(&self) -> &C {
        &self.chip
    }

    /// What the chip said when it failed last: a fault on the wire is only a number.
    #[must_use]
    pub fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    fn fault<T>(&mut self, result: Result<T, Error>, fault: Fault) -> Result<T, Fault> {
        result.map_err(|error| {
            self.last_error = Some(error);
            fault
        })
    }

    /// Runs all trials taken.
    fn compute(&mut self) -> Result<(), Fault> {
        if self.dirty {
            let configured = self.chip.configure(self.registers.config());
            self.fault(configured, Self::CONFIGURE)?;
            self.dirty = false;
        }
        let before = self.chip.health().dropped_inputs;
        let ticket = self.chip.submit(&self.trials);
        let ticket = self.fault(ticket, Self::SUBMIT)?;
        let collected = self.chip.collect(ticket, &mut self.results);
        self.fault(collected, Self::COLLECT)?;
        let inputs = self.chip.health().dropped_inputs.saturating_sub(before);
        let inputs = inputs.min(self.results.dropped_events);
        // A chip counts drops by the run; they are reported with its first trial.
        self.dropped_inputs = inputs as u32;
        self.dropped_spikes = (self.results.dropped_events - inputs) as u32;
        self.spare.append(&mut self.trials);
        self.emitted = 0;
        Ok(())
    }

    fn pending(&self) -> bool {
        self.emitted < self.results.trials()
    }
}

impl<C: Chip> Core for ChipCore<C> {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn reset(&mut self) {
        self.registers = Registers::power_up(&self.caps);
        self.dirty = true;
        self.spare.append(&mut self.trials);
        self.results.clear();
        self.emitted = 0;
        (self.dropped_inputs, self.dropped_spikes) = (0, 0);
    }

    fn write(&mut self, write: Write<'_>) -> Result<(), Fault> {
        self.registers.apply(&write);
        self.dirty = true;
        Ok(())
    }

    fn weight(&self, row: u16, neuron: u16) -> Option<i8> {
        self.registers.config().row(usize::from(row)).get(usize::from(neuron)).copied()
    }

    fn samples_per_trial(&self) -> usize {
        self.registers.samples_per_trial()
    }

    fn keeps_all(&self, channel: usize) -> bool {
        self.registers.keeps_all(channel)
    }

    fn ready(&self) -> bool {
        let fits = self.trials.len() < self.caps.buffers.trials as usize;
        !self.pending() && fits && (self.more || self.trials.is_empty())
    }

    fn begin(&mut self, trial: Trial) -> Result<(), Fault> {
        let mut stimulus = self.spare.pop().unwrap_or_default();
        stimulus.trial = trial.number;
        stimulus.duration = trial.duration;
        stimulus.events.clear();
        self.trials.push(stimulus);
        self.more = trial.more;
        Ok(())
    }

    fn inject(&mut self, event: SpikeEvent) -> bool {
        if let Some(stimulus) = self.trials.last_mut() {
            stimulus.events.push(event);
        }
        true
    }

    fn seal(&mut self) {}

    fn poll<E: Emit>(&mut self, _now_ns: u64, emit: &mut E) -> Result<Progress, Fault> {
        if !self.pending() {
            // The chip computes best what it gets at once.
            if self.more && self.ready() {
                return Ok(Progress::Starved);
            }
            self.compute()?;
        }
        let k = self.emitted;
        emit.spikes(self.results.spikes_of(k));
        let per_trial = self.results.samples.len() / self.results.trials().max(1);
        emit.samples(&self.results.samples[k * per_trial..][..per_trial]);
        self.emitted += 1;
        Ok(Progress::Done(Outcome {
            stalled: self.results.stalled.contains(&(k as u32)),
            dropped_inputs: std::mem::take(&mut self.dropped_inputs),
            dropped_spikes: std::mem::take(&mut self.dropped_spikes),
        }))
    }
}
