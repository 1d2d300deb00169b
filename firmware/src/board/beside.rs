//! A chip that computes in a thread of its own, as a core: receiving a run, computing one and sending
//! the results of another happen at the same time.
//!
//! ```text
//!  server's thread                                 chip's thread
//!  begin, inject ─► trials ─ poll ─►  queue  ────► a slice of one run ─► Chip
//!  emit ◄─ results ◄──────── poll ──  done   ◄──── its results ──► wake
//! ```

use super::Registers;
use crate::core::{Core, Emit, Fault, Outcome, Progress, Trial, Write};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Error, Observables, SpikeEvent, Stimulus};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Trials that the chip gets at once, for each of its threads: enough that waking the server for their
/// results costs little, few enough that results do not wait long for the last one.
const SLICE: usize = 32;

/// A trial on its way to the chip.
struct Job {
    stimulus: Stimulus,
    /// Another trial of the same run follows.
    more: bool,
}

/// What came of the trials of a slice.
#[derive(Default)]
struct Slice {
    results: Observables,
    dropped_inputs: u32,
    dropped_spikes: u32,
    /// Its trials, for their memory.
    jobs: Vec<Job>,
    /// Why there are no results.
    failure: Option<(Fault, Error)>,
}

/// What both threads see.
#[derive(Default)]
struct Desk {
    queue: VecDeque<Job>,
    done: VecDeque<Slice>,
    /// Slices for their memory.
    spare: Vec<Slice>,
    /// Registers that the chip does not have yet.
    config: Option<ChipConfig>,
    /// Counts resets: a slice that was begun before the last one is void.
    epoch: u64,
    /// No more trials come.
    closed: bool,
    /// The chip's thread is gone.
    ended: bool,
}

#[derive(Default)]
struct Shared {
    desk: Mutex<Desk>,
    /// There is something in the queue.
    work: Condvar,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing is half done where the lock is held.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Chip`] in a thread of its own as a [`Core`]. It takes the trials of all runs that have arrived,
/// computes them in slices of at most 32 trials for each thread of the chip, never across the end of a
/// run, and calls `wake` whenever it should be polled. What a trial returns must not depend on the
/// trials beside it; of emulated chips that is true.
pub struct BesideCore {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    caps: Capabilities,
    registers: Registers,
    /// The chip's thread was not told the registers' state yet.
    dirty: bool,
    /// Trials taken and not handed over; the last one may still want events.
    trials: Vec<Job>,
    /// Memory of trials that are done.
    spare: Vec<Stimulus>,
    /// Trials handed over that have not come back.
    away: usize,
    slice: Slice,
    /// Trials of `slice` that were emitted.
    emitted: usize,
    /// Why nothing comes any more, until the next reset: what was computed behind a failure must not
    /// pass for what failed.
    fault: Option<Fault>,
    last_error: Option<Error>,
}

impl BesideCore {
    /// The chip did not accept its configuration.
    pub const CONFIGURE: Fault = Fault(1);
    /// The chip did not accept a run.
    pub const SUBMIT: Fault = Fault(2);
    /// The chip did not return a run.
    pub const COLLECT: Fault = Fault(3);
    /// The chip's thread is gone.
    pub const THREAD: Fault = Fault(4);

    /// Puts `chip`, which computes with `threads` threads, behind the interface of a core. `wake` is
    /// called from the chip's thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new<C: Chip + 'static>(
        chip: C,
        threads: usize,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let caps = chip.capabilities().clone();
        let shared = Arc::new(Shared::default());
        let mut worker = Worker { shared: Arc::clone(&shared), wake, most: SLICE * threads.max(1) };
        let thread = std::thread::Builder::new()
            .name("spikeloop-chip".into())
            .spawn(move || worker.live(chip))?;
        Ok(Self {
            shared,
            thread: Some(thread),
            registers: Registers::power_up(&caps),
            caps,
            dirty: true,
            trials: Vec::new(),
            spare: Vec::new(),
            away: 0,
            slice: Slice::default(),
            emitted: 0,
            fault: None,
            last_error: None,
        })
    }

    /// What the chip said when it failed last: a fault on the wire is only a number.
    #[must_use]
    pub fn last_error(&self) -> Option<&Error> {
        self.last_error.as_ref()
    }

    /// Trials in hand that are not emitted.
    fn pending(&self) -> usize {
        self.slice.results.trials() - self.emitted
    }

    /// Hands over what was taken and takes back what is done, if nothing is in hand.
    fn exchange(&mut self) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        if !self.trials.is_empty() {
            if std::mem::take(&mut self.dirty) {
                desk.config = Some(self.registers.config().clone());
            }
            self.away += self.trials.len();
            desk.queue.extend(self.trials.drain(..));
            shared.work.notify_one();
        }
        if self.pending() > 0 {
            return Ok(());
        }
        let Some(slice) = desk.done.pop_front() else {
            // A thread that is gone has put down what it had done before.
            return if desk.ended && self.away > 0 { Err(Self::THREAD) } else { Ok(()) };
        };
        let mut used = std::mem::replace(&mut self.slice, slice);
        self.emitted = 0;
        self.away -= self.slice.jobs.len();
        self.spare.extend(used.jobs.drain(..).map(|job| job.stimulus));
        desk.spare.push(used);
        match self.slice.failure.take() {
            Some((fault, error)) => {
                self.last_error = Some(error);
                self.fault = Some(fault);
                Err(fault)
            }
            None => Ok(()),
        }
    }
}

impl Drop for BesideCore {
    fn drop(&mut self) {
        let mut desk = self.shared.desk();
        desk.closed = true;
        desk.queue.clear();
        drop(desk);
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic was reported as a fault already.
            let _ = thread.join();
        }
    }
}

/// The chip's thread.
struct Worker<W: Fn()> {
    shared: Arc<Shared>,
    wake: W,
    /// Trials of a slice.
    most: usize,
}

impl<W: Fn()> Worker<W> {
    /// Computes slices until the core is gone.
    fn live(&mut self, mut chip: impl Chip) {
        let mut stimuli = Vec::new();
        while let Some((mut slice, config, epoch)) = self.next() {
            slice.failure = compute(&mut chip, config.as_ref(), &mut slice, &mut stimuli).err();
            let mut desk = self.shared.desk();
            if desk.epoch == epoch {
                desk.done.push_back(slice);
                drop(desk);
                (self.wake)();
            }
        }
    }

    /// Waits for trials: some of one run, what is to be written before them, and the present epoch.
    fn next(&self) -> Option<(Slice, Option<ChipConfig>, u64)> {
        let mut desk = self.shared.desk();
        while desk.queue.is_empty() && !desk.closed {
            desk = self.shared.work.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
        if desk.closed {
            return None;
        }
        let end = desk.queue.iter().take(self.most).position(|job| !job.more);
        let count = end.map_or(self.most.min(desk.queue.len()), |last| last + 1);
        let mut slice = desk.spare.pop().unwrap_or_default();
        slice.jobs.extend(desk.queue.drain(..count));
        Some((slice, desk.config.take(), desk.epoch))
    }
}

impl<W: Fn()> Drop for Worker<W> {
    fn drop(&mut self) {
        // Also after a panic of the chip: whoever waits for trials has to hear of it.
        self.shared.desk().ended = true;
        (self.wake)();
    }
}

/// Runs the trials of a slice. `stimuli` is memory.
fn compute(
    chip: &mut impl Chip,
    config: Option<&ChipConfig>,
    slice: &mut Slice,
    stimuli: &mut Vec<Stimulus>,
) -> Result<(), (Fault, Error)> {
    let fault = |fault| move |error| (fault, error);
    slice.results.clear();
    if let Some(config) = config {
        chip.configure(config).map_err(fault(BesideCore::CONFIGURE))?;
    }
    let before = chip.health().dropped_inputs;
    stimuli.extend(slice.jobs.iter_mut().map(|job| std::mem::take(&mut job.stimulus)));
    let submitted = chip.submit(stimuli);
    slice.jobs.iter_mut().zip(stimuli.drain(..)).for_each(|(job, own)| job.stimulus = own);
    let ticket = submitted.map_err(fault(BesideCore::SUBMIT))?;
    chip.collect(ticket, &mut slice.results).map_err(fault(BesideCore::COLLECT))?;
    let inputs = chip.health().dropped_inputs.saturating_sub(before);
    let inputs = inputs.min(slice.results.dropped_events);
    // A chip counts drops by the run; they are reported with the first trial of the slice.
    slice.dropped_inputs = inputs as u32;
    slice.dropped_spikes = (slice.results.dropped_events - inputs) as u32;
    Ok(())
}

impl Core for BesideCore {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn reset(&mut self) {
        self.registers = Registers::power_up(&self.caps);
        self.dirty = true;
        self.trials.clear();
        self.away = 0;
        self.slice = Slice::default();
        self.emitted = 0;
        self.fault = None;
        let mut desk = self.shared.desk();
        desk.epoch += 1;
        desk.queue.clear();
        desk.done.clear();
        desk.config = None;
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
        self.trials.len() + self.away + self.pending() < self.caps.buffers.trials as usize
    }

    fn begin(&mut self, trial: Trial) -> Result<(), Fault> {
        let mut stimulus = self.spare.pop().unwrap_or_default();
        stimulus.trial = trial.number;
        stimulus.duration = trial.duration;
        stimulus.events.clear();
        self.trials.push(Job { stimulus, more: trial.more });
        Ok(())
    }

    fn inject(&mut self, event: SpikeEvent) -> bool {
        if let Some(job) = self.trials.last_mut() {
            job.stimulus.events.push(event);
        }
        true
    }

    fn seal(&mut self) {}

    fn poll<E: Emit>(&mut self, _now_ns: u64, emit: &mut E) -> Result<Progress, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.pending() == 0 || !self.trials.is_empty() {
            self.exchange()?;
        }
        if self.pending() == 0 {
            return Ok(if self.away > 0 { Progress::Working } else { Progress::Starved });
        }
        let (k, slice) = (self.emitted, &mut self.slice);
        let results = &slice.results;
        emit.spikes(results.spikes_of(k));
        let per_trial = results.samples.len() / results.trials().max(1);
        emit.samples(&results.samples[k * per_trial..][..per_trial]);
        self.emitted += 1;
        Ok(Progress::Done(Outcome {
            stalled: results.stalled.contains(&(k as u32)),
            dropped_inputs: std::mem::take(&mut slice.dropped_inputs),
            dropped_spikes: std::mem::take(&mut slice.dropped_spikes),
        }))
    }
}
