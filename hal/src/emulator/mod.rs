//! An emulated chip: realistic, fast, deterministic.
//!
//! A [`Profile`] says what kind of chip it is, [`DrawnChip`] which one of its kind, [`Emulator`] runs
//! it. Analog chips are integrated in continuous time with exact exponential propagators and
//! threshold crossings located inside the step; nothing here shares code with the models that are
//! trained on it, so that it can serve as their oracle.
//!
//! ```text
//! Profile ─ seed ─► DrawnChip ─ Environment ─► the chip now ─ ChipConfig ─► compiled blocks of 16 neurons
//! Stimulus ─► events on a grid of sub-steps ─► time loop ─► spikes ─ jitter, stamp, bus ─► host
//!                                                 └─► membranes ─ skew, gain, noise, rails ─► host
//! ```
//!
//! **Promises.** A chip seed names the same chip on every machine. Noise is a pure function of noise
//! seed, trial number, neuron, purpose and index. The same seeds give the same bits for every number
//! of threads, every vector unit, every order of trials and every split into runs.

mod adc;
mod bus;
mod compiled;
mod crossing;
mod crosstalk;
pub mod digital;
mod environment;
mod error;
mod kernel;
mod lanes;
mod layout;
mod mismatch;
mod noise;
mod normal;
mod options;
mod physics;
pub mod profile;
mod run;
mod state;
mod unit;
mod values;

pub use environment::Environment;
pub use error::EmulatorError;
pub use mismatch::{DrawnChip, StuckBit};
pub use options::KEYS;
pub use profile::{PRESETS, Profile};
pub use run::Simd;
pub use values::TrueValues;

#[cfg(test)]
mod tests;

use crate::caps::Capabilities;
use crate::chip::{Chip, Health, Observables, Stimulus, Ticket, TimeSplit};
use crate::config::ChipConfig;
use crate::error::Error;
use crate::limits::check_run;
use compiled::Compiled;
use crosstalk::Crosstalk;
use noise::Noise;
use rayon::prelude::*;
use run::{Scratch, Setting, TrialResult, run_chunk};
use std::collections::VecDeque;

/// A run that was submitted.
#[derive(Debug)]
struct Pending {
    ticket: u64,
    stimuli: Vec<Stimulus>,
    samples: Vec<u16>,
    results: Vec<TrialResult>,
    done: bool,
}

/// An emulated chip.
///
/// [`Chip::submit`] only checks and queues; the work is done by the first [`Chip::collect`] that
/// needs it, for all queued runs at once.
#[derive(Debug)]
pub struct Emulator {
    /// As drawn, loaded or altered.
    drawn: DrawnChip,
    environment: Environment,
    /// `drawn` as it is in the environment.
    chip: DrawnChip,
    caps: Capabilities,
    compiled: Compiled,
    noise: Noise,
    simd: Simd,
    threads: usize,
    pool: Option<rayon::ThreadPool>,
    scratch: Vec<Scratch>,
    queue: VecDeque<Pending>,
    /// Memory of collected runs, to be used again.
    spare: Vec<Pending>,
    next_ticket: u64,
    health: Health,
}

impl Emulator {
    /// The chip of `chip_seed` with the noise of `noise_seed`, computed by `threads` threads.
    ///
    /// # Errors
    /// [`EmulatorError::Profile`] and [`EmulatorError::Threads`].
    pub fn new(
        profile: Profile,
        chip_seed: u64,
        noise_seed: u64,
        threads: usize,
    ) -> Result<Self, Error> {
        profile.check()?;
        Self::from_chip(DrawnChip::draw(&profile, chip_seed), Some(noise_seed), threads)
    }

    /// A drawn (or loaded) chip. Without `noise_seed` the one that belongs to the chip's seed.
    ///
    /// # Errors
    /// As [`Emulator::new`].
    pub fn from_chip(
        chip: DrawnChip,
        noise_seed: Option<u64>,
        threads: usize,
    ) -> Result<Self, Error> {
        Self::in_environment(chip, Environment::default(), noise_seed, threads)
    }

    /// As [`Emulator::from_chip`], after some hours and at some temperature.
    ///
    /// # Errors
    /// As [`Emulator::new`], and what [`Environment::check`] refuses.
    pub fn in_environment(
        drawn: DrawnChip,
        environment: Environment,
        noise_seed: Option<u64>,
        threads: usize,
    ) -> Result<Self, Error> {
        environment.check()?;
        let threads = threads.max(1);
        let caps = drawn.profile.capabilities(drawn.serial())?;
        let chip = environment.apply(&drawn);
        let compiled = Compiled::new(&chip, &caps, &ChipConfig::power_up(&caps));
        let pool = if threads > 1 {
            let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            Some(built.map_err(|e| EmulatorError::Threads { threads, reason: e.to_string() })?)
        } else {
            None
        };
        Ok(Self {
            noise: Noise::new(noise_seed.unwrap_or_else(|| drawn.default_noise_seed())),
            simd: Simd::detect(),
            threads,
            pool,
            scratch: vec![Scratch::default(); threads],
            queue: VecDeque::new(),
            spare: Vec::new(),
            next_ticket: 0,
            health: Health::default(),
            drawn,
            environment,
            chip,
            caps,
            compiled,
        })
    }

    /// The truth about this chip as it is now: mismatch with drift, temperature and what
    /// [`Emulator::alter`] did, but without what depends on codes. For tests and reports only: calibration
    /// may never read it.
    #[must_use]
    pub fn truth(&self) -> &DrawnChip {
        &self.chip
    }

    /// The values that every neuron realises under `config`, `[neuron]`. An oracle for tests and
    /// reports only: calibration may never read it.
    ///
    /// # Errors
    /// What [`ChipConfig::check`] finds.
    pub fn true_values(&self, config: &ChipConfig) -> Result<Vec<TrueValues>, Error> {
        config.check(&self.caps)?;
        let crosstalk = Crosstalk::new(&self.chip, config);
        let of = |n| TrueValues::of(&self.chip, &self.caps, config, &crosstalk, n);
        Ok((0..config.neurons()).map(of).collect())
    }

    /// Hours and temperature of the chip.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Lets hours pass or the temperature change. The chip stays the same: identity, configuration and
    /// runs that were submitted before.
    ///
    /// # Errors
    /// What [`Environment::check`] refuses.
    pub fn set_environment(&mut self, environment: Environment) -> Result<(), Error> {
        environment.check()?;
        self.work();
        self.environment = environment;
        self.recompile();
        Ok(())
    }

    /// Changes the chip behind the back of its users, and leaves its identity alone: for tests that plant
    /// a fault, a drift or a noise. `change` sees the values without the drift of the environment.
    ///
    /// ```
    /// # use spikeloop_hal::emulator::{Emulator, Profile};
    /// # use spikeloop_hal::Chip;
    /// # fn main() -> Result<(), spikeloop_hal::Error> {
    /// let mut chip = Emulator::new(Profile::preset("bss2-cal")?, 1, 1, 1)?;
    /// let serial = chip.capabilities().identity.serial;
    /// chip.alter(|chip| chip.dead.push(3))?;
    /// assert!(chip.truth().dead.contains(&3));
    /// assert_eq!(chip.capabilities().identity.serial, serial);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`EmulatorError::Profile`] if the result is no valid chip, or announces something else than
    /// before; the chip then stays as it was.
    pub fn alter(&mut self, change: impl FnOnce(&mut DrawnChip)) -> Result<(), Error> {
        let mut altered = self.drawn.clone();
        change(&mut altered);
        altered.identity = Some(self.caps.identity.serial);
        altered.stuck_bits.sort_by_key(|stuck| (stuck.source, stuck.neuron));
        altered.check()?;
        if altered.profile.capabilities(self.caps.identity.serial)? != self.caps {
            let reason = "a chip in use cannot announce something else: make a new one";
            return Err(EmulatorError::Profile { reason: reason.to_owned() }.into());
        }
        self.work();
        self.drawn = altered;
        self.recompile();
        Ok(())
    }

    /// After a change of the chip under its configuration.
    fn recompile(&mut self) {
        self.chip = self.environment.apply(&self.drawn);
        self.compiled = Compiled::new(&self.chip, &self.caps, &self.compiled.config);
    }

    /// Uses another vector unit. The results are the same bits.
    ///
    /// # Errors
    /// Gives `simd` back if this processor does not have it.
    pub fn set_simd(&mut self, simd: Simd) -> Result<(), Simd> {
        if !Simd::available().contains(&simd) {
            return Err(simd);
        }
        self.simd = simd;
        Ok(())
    }

    /// A quick check for the common case that only weights have changed; `false` means "look closer".
    fn plainly_valid(&self, config: &ChipConfig) -> bool {
        let last = &self.compiled.config;
        let (low, high) = (self.caps.weight_min, self.caps.weight_max);
        let widest =
            config.weights.iter().fold(0, |most: u8, w| most.max(w.wrapping_sub(low) as u8));
        config.neurons() == last.neurons()
            && config.sources() == last.sources()
            && config.weights.len() == last.weights.len()
            && config.enabled.len() == last.enabled.len()
            && config.spiking.len() == last.spiking.len()
            && config.parameters == last.parameters
            && config.recording == last.recording
            && widest <= high.wrapping_sub(low) as u8
    }

    /// Computes all queued runs that are not done.
    fn work(&mut self) {
        let setting = Setting {
            chip: &self.chip,
            caps: &self.caps,
            compiled: &self.compiled,
            noise: self.noise,
            simd: self.simd,
        };
        let recording = &self.compiled.config.recording;
        let width = recording.traces.len() * usize::from(recording.samples);
        let total: usize = self.queue.iter().filter(|r| !r.done).map(|r| r.stimuli.len()).sum();
        // Every thread gets several chunks, so that none waits long for another.
        let chunk = total.div_ceil(self.threads * 4).clamp(1, 16);
        let mut tasks = Vec::new();
        for run in self.queue.iter_mut().filter(|r| !r.done) {
            run.done = true;
            run.results.resize_with(run.stimuli.len().max(run.results.len()), TrialResult::default);
            run.results.truncate(run.stimuli.len());
            run.samples.clear();
            run.samples.resize(run.stimuli.len() * width, 0);
            let mut samples: &mut [u16] = &mut run.samples;
            for (stimuli, results) in run.stimuli.chunks(chunk).zip(run.results.chunks_mut(chunk)) {
                let (own, rest) = samples.split_at_mut(stimuli.len() * width);
                samples = rest;
                tasks.push((stimuli, own, results));
            }
        }
        match &self.pool {
            Some(pool) if tasks.len() > 1 => {
                let scratch: Vec<_> = self.scratch.iter_mut().map(std::sync::Mutex::new).collect();
                pool.install(|| {
                    tasks.into_par_iter().with_max_len(1).for_each(
                        |(stimuli, samples, results)| {
                            let thread = rayon::current_thread_index().unwrap_or(0);
                            let mut own = scratch[thread]
                                .lock()
                                .unwrap_or_else(std::sync::PoisonError::into_inner);
                            run_chunk(setting, stimuli, samples, results, &mut own);
                        },
                    );
                });
            }
            _ => {
                for (stimuli, samples, results) in tasks {
                    run_chunk(setting, stimuli, samples, results, &mut self.scratch[0]);
                }
            }
        }
    }
}

impl Chip for Emulator {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        if !self.plainly_valid(config) {
            config.check(&self.caps)?;
        }
        // Queued runs belong to the configuration under which they were submitted.
        self.work();
        self.compiled.update(&self.chip, &self.caps, config);
        Ok(())
    }

    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        let limit = self.caps.buffers.runs_in_flight;
        if self.queue.len() >= usize::from(limit) {
            return Err(Error::TooManyRuns { limit });
        }
        check_run(&self.caps, &self.compiled.config.recording, stimuli)?;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut run = self.spare.pop().unwrap_or_else(|| Pending {
            ticket,
            stimuli: Vec::new(),
            samples: Vec::new(),
            results: Vec::new(),
            done: false,
        });
        (run.ticket, run.done) = (ticket, false);
        run.stimuli.truncate(stimuli.len());
        run.stimuli.resize_with(stimuli.len(), Stimulus::default);
        for (own, given) in run.stimuli.iter_mut().zip(stimuli) {
            own.trial = given.trial;
            own.duration = given.duration;
            own.events.clone_from(&given.events);
        }
        self.queue.push_back(run);
        Ok(Ticket(ticket))
    }

    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        if self.queue.front().is_none_or(|run| run.ticket != ticket.0) {
            return Err(Error::UnknownTicket { ticket: ticket.0 });
        }
        if self.queue.front().is_some_and(|run| !run.done) {
            self.work();
        }
        let Some(mut run) = self.queue.pop_front() else {
            return Err(Error::UnknownTicket { ticket: ticket.0 });
        };
        into.clear();
        std::mem::swap(&mut into.samples, &mut run.samples);
        let mut time = TimeSplit::default();
        for (k, (stimulus, result)) in run.stimuli.iter().zip(&run.results).enumerate() {
            into.spikes.extend_from_slice(&result.spikes);
            into.offsets.push(into.spikes.len() as u32);
            into.dropped_events += result.dropped;
            self.health.saturated_samples += result.saturated;
            if result.stalled {
                into.stalled.push(k as u32);
                self.health.stalled_trials += 1;
            }
            time.execute_ns += u64::from(stimulus.duration) * u64::from(self.caps.tick_ns);
        }
        self.health.trials += run.stimuli.len() as u64;
        self.health.dropped_spikes += into.dropped_events;
        // The time the chip would take; this crate reads no clock.
        into.time = time;
        self.spare.push(run);
        Ok(())
    }

    fn health(&self) -> Health {
        self.health
    }

    fn temperature_c(&self) -> Option<f32> {
        Some(self.environment.temperature_c as f32)
    }
}
