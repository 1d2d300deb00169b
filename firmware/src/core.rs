//! What the server needs of a chip.

use spikeloop_hal::wire::{
    Flag, FlagSpan, Learn, ParameterSpan, PlasticityRule, RecordingHead, WeightSpan,
};
use spikeloop_hal::{Capabilities, SpikeEvent, Tick};

/// One change of the chip's state. The server has checked that rows, neurons and codes exist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Write<'a> {
    /// Weight codes from one source to consecutive neurons.
    Weights(WeightSpan<'a>),
    /// Codes of one parameter for consecutive neurons.
    Parameter(ParameterSpan<'a>),
    /// Power or comparator of consecutive neurons ([`Flag::Traced`] comes with the recording).
    Flag(FlagSpan<'a>),
    /// Spikes, sample period and number of samples.
    Recording(RecordingHead),
}

impl Write<'_> {
    /// The neuron flag that is written, if one is.
    #[must_use]
    pub const fn flag(&self) -> Option<Flag> {
        match self {
            Self::Flag(span) => Some(span.flag),
            _ => None,
        }
    }
}

/// One trial, as the core hears of it before its first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Number of the trial: selects the noise of emulated physics; hardware ignores it.
    pub number: u64,
    /// Length in ticks.
    pub duration: Tick,
    /// Another trial of the same run comes after this one. A core that computes many trials at once
    /// may wait for it.
    pub more: bool,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Sampling stalled; the trial has to be repeated.
    pub stalled: bool,
    /// Input events that did not reach a synapse.
    pub dropped_inputs: u32,
    /// Spikes that the core itself lost (what the recorder has no room for is counted there).
    pub dropped_spikes: u32,
}

/// What came of a call of [`Core::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The oldest trial goes on: poll again at once.
    Running,
    /// The oldest trial goes on by itself, and there is nothing to do here until the core asks to be
    /// polled. How it asks is between the core and whoever runs the server's loop.
    Working,
    /// The core does nothing: it waits for [more](Trial::more) trials of the run.
    Starved,
    /// The oldest trial is complete and everything it brought back has been emitted.
    Done(Outcome),
}

/// The device itself failed. The number goes to the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub u32);

/// Why a core does not learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unteachable {
    /// It never does.
    Never,
    /// It does not have the rule of this number.
    Rule(u8),
    /// It has not the memory.
    Beyond {
        /// What is needed.
        needed: u32,
        /// What there is.
        limit: u32,
    },
    /// A number of the rule, or of samples, that does not fit the chip.
    Range {
        /// What was found.
        got: u32,
        /// What there should be, or at most.
        limit: u32,
    },
    /// Not the trial that ended last, or there is no rule.
    Place {
        /// The trial (its low half).
        got: u32,
        /// The last one (its low half).
        last: u32,
    },
    /// Events that cannot be read.
    Malformed(u32),
    /// The device failed.
    Failed(Fault),
}

impl From<Fault> for Unteachable {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

/// Takes what a core observes.
pub trait Emit {
    /// Spikes, in ascending order of time.
    fn spikes(&mut self, spikes: &[SpikeEvent]);

    /// Membrane samples, `[sample, channel]`, channels in ascending order of the traced neurons.
    fn samples(&mut self, samples: &[u16]);
}

/// The device side of a chip: registers, injected events, emitted events.
///
/// ```text
///          reset ──► write* ──► begin ─► inject* ─► seal ─► poll … poll ─► Done
///                      ▲           ▲                                        │
///                      │           └── also before Done, while ready() ◄────┤
///                      └────────────────── no trial under way ◄─────────────┘
/// ```
///
/// Three kinds of chip fit. One that lives in real time takes one trial at a time, holds a few events
/// in advance and moves with `now_ns`: it must not run past the last injected event until the trial
/// is sealed. One that computes whole trials takes as many as it likes, waits for `seal`, and does
/// all the work in one `poll`. One that works beside the server takes trials of the next runs as well
/// and emits what is done when it is polled; meanwhile the server talks to the host.
///
/// Nothing here knows of frames or of buffers; nothing here reads a clock.
pub trait Core {
    /// What this chip is. Never changes.
    fn capabilities(&self) -> &Capabilities;

    /// Goes to the power-up state: no weights, default codes, every neuron off, nothing recorded.
    /// Trials under way are forgotten.
    fn reset(&mut self);

    /// Changes the state. Only called while no trial is under way.
    ///
    /// # Errors
    /// If the device failed.
    fn write(&mut self, write: Write<'_>) -> Result<(), Fault>;

    /// Takes the rule by which it learns from now on. Only called while no trial is under way.
    ///
    /// # Errors
    /// [`Unteachable`]; the core then goes on as it was.
    fn set_rule(&mut self, rule: &PlasticityRule<'_>) -> Result<(), Unteachable> {
        let _ = rule;
        Err(Unteachable::Never)
    }

    /// Learns from what the host says of the trial that ended last. Only called while no trial is under way.
    ///
    /// # Errors
    /// [`Unteachable`].
    fn learn(&mut self, lesson: &Learn<'_>) -> Result<(), Unteachable> {
        let _ = lesson;
        Err(Unteachable::Never)
    }

    /// The weight that the core has from a row to a neuron, both of which exist; `None` for a core that
    /// cannot tell.
    fn weight(&self, row: u16, neuron: u16) -> Option<i8> {
        let _ = (row, neuron);
        None
    }

    /// Samples that a trial brings back with the recording as it is set.
    fn samples_per_trial(&self) -> usize;

    /// Whether the samples of a channel (of the traced neurons, in ascending order) are sent whole
    /// although the recording has a floor. They are for neurons that are not powered or have their
    /// comparator off. A core that does not know may say yes: the host puts the floor in.
    fn keeps_all(&self, channel: usize) -> bool {
        let _ = channel;
        true
    }

    /// Whether another trial may begin. It may be one of the next run although trials of this one are
    /// under way; trials are emitted in the order in which they began.
    fn ready(&self) -> bool;

    /// Begins a trial from the resting state.
    ///
    /// # Errors
    /// If the device failed.
    fn begin(&mut self, trial: Trial) -> Result<(), Fault>;

    /// Offers the next input event of the trial begun last, in ascending order of time. `false`: no
    /// room at the moment; the server polls and offers it again.
    fn inject(&mut self, event: SpikeEvent) -> bool;

    /// No more events come for the trial begun last.
    fn seal(&mut self);

    /// Moves on to `now_ns` (nanoseconds of any monotonic clock) and emits what the oldest trial
    /// brought back. Only called while a trial is under way.
    ///
    /// # Errors
    /// If the device failed.
    fn poll<E: Emit>(&mut self, now_ns: u64, emit: &mut E) -> Result<Progress, Fault>;
}
