//! The one interface to anything that can be configured, stimulated and observed.

use crate::caps::Capabilities;
use crate::config::ChipConfig;
use crate::error::Error;
use crate::event::{SpikeEvent, Tick};
use crate::wire::PlasticityRule;
use serde::{Deserialize, Serialize};

/// One trial: input spikes over a fixed time, from a resting state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stimulus {
    /// Number of this trial. It selects the noise of an emulated chip, so that a repetition of the
    /// same trial gives the same bits whatever ran in between; hardware ignores it.
    pub trial: u64,
    /// Length of the trial in ticks. Input events at or after it are refused.
    pub duration: Tick,
    /// Input events, in ascending order of time.
    pub events: Vec<SpikeEvent>,
}

/// Receipt of a submitted run; redeemed by [`Chip::collect`] in the order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Where the time of a run went, in nanoseconds of host time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeSplit {
    /// Host: packing of configuration and stimuli.
    pub encode_ns: u64,
    /// On the link, and waiting for it.
    pub transfer_ns: u64,
    /// Device: running the trials, as the device reports it.
    pub execute_ns: u64,
    /// Host: unpacking of observables.
    pub decode_ns: u64,
}

impl core::ops::AddAssign for TimeSplit {
    fn add_assign(&mut self, other: Self) {
        self.encode_ns += other.encode_ns;
        self.transfer_ns += other.transfer_ns;
        self.execute_ns += other.execute_ns;
        self.decode_ns += other.decode_ns;
    }
}

/// Counters since the chip was opened. They only grow; compare two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Trials completed.
    pub trials: u64,
    /// Input events the device did not deliver to its synapses.
    pub dropped_inputs: u64,
    /// Spikes that happened and were lost on the way out.
    pub dropped_spikes: u64,
    /// Samples at a rail of the converter.
    pub saturated_samples: u64,
    /// Trials whose sampling stalled and that have to be repeated.
    pub stalled_trials: u64,
    /// Frames that arrived damaged (bad CRC or framing).
    pub damaged_frames: u64,
    /// Frames or runs that were sent again.
    pub retries: u64,
    /// Times that a device was brought back after a reset or a broken link.
    #[serde(default)]
    pub recoveries: u64,
}

/// What the way to a chip has carried since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkUse {
    /// Bytes to the device: frames, acknowledgements, repetitions.
    pub bytes_up: u64,
    /// Bytes from the device.
    pub bytes_down: u64,
    /// Frames sent for the first time.
    pub frames_sent: u64,
    /// Frames sent again.
    pub frames_resent: u64,
    /// Frames that came twice: the device sent them again.
    pub duplicates: u64,
    /// Frames that came damaged.
    pub damaged_frames: u64,
    /// Questions for a sign of life.
    pub probes: u64,
    /// Round trip of a frame, smoothed, in ns; 0 before the first.
    pub round_trip_ns: u64,
}

/// What one run brought back. Trials stand in the order of submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observables {
    /// Spikes of all trials, one after the other, each trial in ascending order of time.
    pub spikes: Vec<SpikeEvent>,
    /// `spikes[offsets[k] .. offsets[k + 1]]` belong to trial `k`; one longer than there are trials.
    pub offsets: Vec<u32>,
    /// Converter samples `[trial, sample, channel]`; channels as in [`Recording::traces`](crate::Recording).
    pub samples: Vec<u16>,
    /// Trials (indices into this run) whose sampling stalled: their data are void.
    pub stalled: Vec<u32>,
    /// Events lost in this run, in and out.
    pub dropped_events: u64,
    /// Where the time went.
    pub time: TimeSplit,
}

impl Observables {
    /// Number of trials.
    #[must_use]
    pub fn trials(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Spikes of trial `k`.
    #[must_use]
    pub fn spikes_of(&self, k: usize) -> &[SpikeEvent] {
        &self.spikes[self.offsets[k] as usize..self.offsets[k + 1] as usize]
    }

    /// Empties everything but keeps the memory.
    pub fn clear(&mut self) {
        self.spikes.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.samples.clear();
        self.stalled.clear();
        self.dropped_events = 0;
        self.time = TimeSplit::default();
    }
}

/// A chip that changes its own weights; see [section 10 of the wire](crate::wire).
pub trait Plastic {
    /// Gives the device its rule. It starts from the weights that it has; a rule for the same synapses with
    /// other numbers goes on where the last one was.
    ///
    /// # Errors
    /// [`Error::Rule`] if the rule is longer than a message to this device may be; that the device
    /// does not learn, or not with this rule, comes as [`Error::Refused`] from a later call.
    fn set_rule(&mut self, rule: &PlasticityRule<'_>) -> Result<(), Error>;

    /// Sends what the trial that was collected last should have been, in ascending order of time: errors,
    /// a class, or spikes, as the rule wants it ([`Learn::events`](crate::wire::Learn::events)). With
    /// `update` the weights change; without it the trial adds to the sums for the next update.
    ///
    /// # Errors
    /// Failures of the link, and refusals of earlier messages.
    fn learn(&mut self, trial: u64, update: bool, events: &[SpikeEvent]) -> Result<(), Error>;

    /// Weights of `row` to consecutive neurons as the device has them, after everything that was sent
    /// before.
    ///
    /// # Errors
    /// As [`learn`](Self::learn).
    fn read_weights(&mut self, row: u16, first: u16, count: u16) -> Result<Vec<i8>, Error>;
}

/// Something that can be configured, given stimuli, and asked for observables.
///
/// A run is submitted and later collected, so that the device computes while the host does.
/// Runs are collected in the order of submission; a new configuration applies to the runs that
/// are submitted after it.
pub trait Chip: Send {
    /// What this chip is. Never changes while it is open.
    fn capabilities(&self) -> &Capabilities;

    /// Brings the chip to `config`. Only differences cost time.
    ///
    /// # Errors
    /// Everything [`ChipConfig::check`] finds, and failures of the link.
    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error>;

    /// Starts one run of several trials and returns at once.
    ///
    /// # Errors
    /// [`Error::BeyondBuffers`], [`Error::Stimulus`], [`Error::TooManyRuns`], and failures of the link.
    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error>;

    /// Waits for a run and replaces the contents of `into` by what came back.
    ///
    /// # Errors
    /// [`Error::UnknownTicket`] if runs are collected out of order, and failures of the link.
    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error>;

    /// Counters since the chip was opened.
    fn health(&self) -> Health;

    /// What the link has carried when the last run came back; `None` for a chip without one.
    fn link_use(&self) -> Option<LinkUse> {
        None
    }

    /// The chip as one that learns by itself, if it can be reached as such. Whether it does learn is
    /// known when it is given a rule.
    fn plastic(&mut self) -> Option<&mut dyn Plastic> {
        None
    }

    /// Temperature of the chip in °C, if it can tell. The wire does not carry it yet: a chip behind a
    /// link never tells.
    fn temperature_c(&self) -> Option<f32> {
        None
    }
}
