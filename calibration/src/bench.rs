//! A chip on the bench: configurations and stimuli in, recordings out, every cost counted.
//!
//! A *round trip* is what the host has to wait for before it can decide what to do next: any number of
//! configurations and runs that were sent one after the other without looking at the results in between.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Runner, SpikeEvent, Stimulus, Tick};
use std::collections::VecDeque;
use std::sync::Arc;

/// Waiting time after analog parameters were written, in µs of chip time (published: 20 ms).
pub const SETTLE_US: f64 = 20_000.0;

/// Trials of calibrations are numbered from here, so that an emulated chip draws other noise than in training.
const FIRST_TRIAL: u64 = 1 << 50;

/// What measurements have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Times the host had to wait for results before it could go on.
    pub round_trips: u64,
    /// Runs submitted.
    pub runs: u64,
    /// Trials run.
    pub trials: u64,
    /// Times analog parameters were written and had to settle.
    pub settlings: u64,
    /// Time on the chip in µs: trials and settling.
    pub chip_us: f64,
    /// Events that were lost.
    pub dropped_events: u64,
}

impl core::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.round_trips += other.round_trips;
        self.runs += other.runs;
        self.trials += other.trials;
        self.settlings += other.settlings;
        self.chip_us += other.chip_us;
        self.dropped_events += other.dropped_events;
    }
}

impl core::ops::Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            round_trips: self.round_trips - other.round_trips,
            runs: self.runs - other.runs,
            trials: self.trials - other.trials,
            settlings: self.settlings - other.settlings,
            chip_us: self.chip_us - other.chip_us,
            dropped_events: self.dropped_events - other.dropped_events,
        }
    }
}

/// One configuration and a stimulus that is repeated with it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Everything that is set. Shared, because many stimuli may go with one configuration.
    pub config: Arc<ChipConfig>,
    /// Input events, ascending in time.
    pub events: Vec<SpikeEvent>,
    /// Length of a trial in ticks.
    pub duration: Tick,
    /// Number of trials.
    pub repeats: usize,
}

/// What all trials of one setup brought back.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// Trials.
    pub trials: usize,
    /// `[trial, sample, channel]`.
    pub samples: Vec<u16>,
    /// Spikes, trial after trial.
    pub spikes: Vec<SpikeEvent>,
    /// `spikes[offsets[k] .. offsets[k + 1]]` belong to trial `k`.
    pub offsets: Vec<u32>,
}

impl Recorded {
    /// Spikes of trial `k`.
    #[must_use]
    pub fn spikes_of(&self, k: usize) -> &[SpikeEvent] {
        &self.spikes[self.offsets[k] as usize..self.offsets[k + 1] as usize]
    }
}

/// A chip on the bench.
pub struct Bench {
    runner: Runner,
    next_trial: u64,
    cost: Cost,
    /// Analog codes as last written.
    written: Option<Vec<(spikeloop_hal::Parameter, Vec<u16>)>>,
    watch: Option<Watch>,
}

/// Told what everything has cost so far.
type Watch = Box<dyn FnMut(Cost) + Send>;

impl Bench {
    /// Puts a chip on the bench. `series` numbers the calibrations of one chip: each draws other noise on an
    /// emulated chip; hardware ignores it.
    #[must_use]
    pub fn new(chip: Box<dyn Chip>, series: u32) -> Self {
        let next_trial = FIRST_TRIAL + (u64::from(series % (1 << 16)) << 32);
        Self {
            runner: Runner::new(chip),
            next_trial,
            cost: Cost::default(),
            written: None,
            watch: None,
        }
    }

    /// What the chip is.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.runner.chip().capabilities()
    }

    /// Everything spent so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// Calls `watch` after every run that was collected, with everything spent so far: for progress bars.
    pub fn watch(&mut self, watch: impl FnMut(Cost) + Send + 'static) {
        self.watch = Some(Box::new(watch));
    }

    /// Takes the chip off the bench.
    #[must_use]
    pub fn into_chip(self) -> Box<dyn Chip> {
        self.runner.into_chip()
    }

    /// One round trip: runs all setups, one after the other without waiting in between.
    ///
    /// # Errors
    /// Whatever the chip reports.
    pub fn round(&mut self, setups: &[Setup]) -> Result<Vec<Recorded>, Error> {
        self.cost.round_trips += 1;
        let mut out = vec![Recorded::default(); setups.len()];
        out.iter_mut().for_each(|r| r.offsets.push(0));
        let mut waiting: VecDeque<usize> = VecDeque::new();
        for (k, setup) in setups.iter().enumerate() {
            self.settle(&setup.config);
            self.runner.chip_mut().configure(&setup.config)?;
            let per_run = self.trials_per_run(setup);
            let mut left = setup.repeats;
            while left > 0 {
                while !self.runner.has_room() {
                    self.collect(&mut waiting, &mut out)?;
                }
                let now = left.min(per_run);
                self.submit(setup, now)?;
                waiting.push_back(k);
                left -= now;
            }
        }
        while !waiting.is_empty() {
            self.collect(&mut waiting, &mut out)?;
        }
        Ok(out)
    }

    fn submit(&mut self, setup: &Setup, trials: usize) -> Result<(), Error> {
        let mut stimuli = self.runner.stimuli();
        stimuli.resize_with(trials, Stimulus::default);
        for stimulus in &mut stimuli {
            stimulus.trial = self.next_trial;
            stimulus.duration = setup.duration;
            stimulus.events.clone_from(&setup.events);
            self.next_trial += 1;
        }
        let us = self.capabilities().microseconds(setup.duration);
        self.cost.chip_us += us * trials as f64;
        self.cost.trials += trials as u64;
        self.cost.runs += 1;
        Ok(self.runner.submit(stimuli)?)
    }

    fn collect(
        &mut self,
        waiting: &mut VecDeque<usize>,
        out: &mut [Recorded],
    ) -> Result<(), Error> {
        let (Some(k), Some(seen)) = (waiting.pop_front(), self.runner.collect()?) else {
            return Ok(());
        };
        let into = &mut out[k];
        let base = into.spikes.len() as u32;
        into.trials += seen.trials();
        into.samples.extend_from_slice(&seen.samples);
        into.spikes.extend_from_slice(&seen.spikes);
        into.offsets.extend(seen.offsets.iter().skip(1).map(|o| base + o));
        self.cost.dropped_events += seen.dropped_events;
        self.runner.recycle(seen);
        if let Some(watch) = &mut self.watch {
            watch(self.cost);
        }
        Ok(())
    }

    /// Counts the waiting time if analog codes change.
    fn settle(&mut self, config: &ChipConfig) {
        if self.written.as_ref() != Some(&config.parameters) {
            self.written = Some(config.parameters.clone());
            self.cost.settlings += 1;
            self.cost.chip_us += SETTLE_US;
        }
    }

    fn trials_per_run(&self, setup: &Setup) -> usize {
        let caps = self.capabilities();
        let recording = &setup.config.recording;
        let bytes = recording.traces.len() * usize::from(recording.samples);
        let bytes = bytes * caps.bytes_per_sample() as usize;
        let by_memory =
            (caps.buffers.trace_bytes as usize).checked_div(bytes).unwrap_or(usize::MAX);
        let events = caps.buffers.stimulus_events as usize;
        let by_events = events.checked_div(setup.events.len()).unwrap_or(usize::MAX);
        by_memory.min(by_events).min(caps.buffers.trials as usize).max(1)
    }
}
