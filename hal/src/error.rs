//! Everything that can go wrong between a host and a chip.

use crate::caps::Parameter;

/// What went wrong, with the numbers, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration was made for a chip of another size.
    #[error("the configuration is for a chip of {} sources x {} neurons, this one has {} x {}: make it from this chip's capabilities", got.0, got.1, expected.0, expected.1)]
    ConfigShape {
        /// Sources and neurons of the chip.
        expected: (usize, usize),
        /// Sources and neurons of the configuration.
        got: (usize, usize),
    },
    /// A weight code is outside the chip's range.
    #[error("weight code {code} from source {source_row} to neuron {neuron} is outside {} ..= {}: clip weights before writing them", range.0, range.1)]
    WeightOutOfRange {
        /// Row of the weight matrix.
        source_row: usize,
        /// Column of the weight matrix.
        neuron: usize,
        /// The code.
        code: i8,
        /// What the chip accepts.
        range: (i8, i8),
    },
    /// A parameter code is outside the chip's range.
    #[error("code {code} for {} of neuron {neuron} is outside {} ..= {}", parameter.name(), range.0, range.1)]
    CodeOutOfRange {
        /// Which parameter.
        parameter: Parameter,
        /// Which neuron.
        neuron: usize,
        /// The code.
        code: u16,
        /// What the chip accepts.
        range: (u16, u16),
    },
    /// The chip has no such parameter.
    #[error("this chip has no parameter {}", parameter.name())]
    UnknownParameter {
        /// Which parameter.
        parameter: Parameter,
    },
    /// The recording asks for what the chip cannot do.
    #[error("recording refused: {reason}")]
    Recording {
        /// Why.
        reason: &'static str,
    },
    /// A run asks for more than the device can hold.
    #[error("{what}: {requested} requested, the device holds {limit}; send fewer trials at a time")]
    BeyondBuffers {
        /// What is short.
        what: &'static str,
        /// What was asked for.
        requested: u64,
        /// What there is.
        limit: u64,
    },
    /// A stimulus is malformed.
    #[error("stimulus {trial} of the run is malformed: {reason}")]
    Stimulus {
        /// Index into the run.
        trial: usize,
        /// Why.
        reason: &'static str,
    },
    /// As many runs are in flight as the device can hold.
    #[error("{limit} runs are in flight already: collect one before submitting the next")]
    TooManyRuns {
        /// What the device holds.
        limit: u8,
    },
    /// The ticket is not the oldest uncollected one.
    #[error("run {ticket} is not the next to be collected")]
    UnknownTicket {
        /// The ticket's number.
        ticket: u64,
    },
    /// The converter stalled in every attempt at some trials.
    #[error("{trials} trial(s) stalled in each of {attempts} attempts: record fewer neurons or a longer sample period")]
    Stalled {
        /// Trials concerned.
        trials: usize,
        /// Attempts made.
        attempts: u8,
    },
    /// The selector is malformed.
    #[error(transparent)]
    Selector(#[from] crate::selector::SelectorError),
    /// There is nothing where the device should be.
    #[error("no device at {device}: {remedy}")]
    NoDevice {
        /// Its selector.
        device: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Somebody else talks to the device.
    #[error("{device} is in use by another program: close that one first, `spikeloop list` shows which")]
    DeviceInUse {
        /// Its selector.
        device: String,
    },
    /// The operating system does not let this user open the device.
    #[error("no permission to open {device}: {remedy}")]
    Permission {
        /// Its selector.
        device: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The device is there but cannot be opened.
    #[error("cannot open {device}: {source}")]
    Open {
        /// Its selector.
        device: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// This build cannot reach devices of this kind.
    #[error("cannot open {device}: {remedy}")]
    Unsupported {
        /// Its selector.
        device: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The folder in which running virtual boards are listed cannot be used.
    #[error("cannot use {path}, where running virtual boards are listed: {source}; set XDG_RUNTIME_DIR to a folder of your own")]
    Registry {
        /// The folder or file.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A virtual board of this name runs already.
    #[error("a virtual board named {name:?} runs already (process {pid}): choose another name, or stop that one")]
    NameTaken {
        /// The name.
        name: String,
        /// The process that runs it.
        pid: u32,
    },
}
