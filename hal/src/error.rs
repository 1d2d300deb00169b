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
    /// A rule for learning in the device is longer than one message.
    #[error(
        "the rule takes {needed} bytes, the device takes messages of {limit}: fewer hidden or output neurons"
    )]
    Rule {
        /// Bytes of the rule.
        needed: usize,
        /// Longest message.
        limit: usize,
    },
    /// The ticket is not the oldest uncollected one.
    #[error("run {ticket} is not the next to be collected")]
    UnknownTicket {
        /// The ticket's number.
        ticket: u64,
    },
    /// The converter stalled in every attempt at some trials.
    #[error(
        "{trials} trial(s) stalled in each of {attempts} attempts: record fewer neurons or a longer sample period"
    )]
    Stalled {
        /// Trials concerned.
        trials: usize,
        /// Attempts made.
        attempts: u8,
    },
    /// The selector is malformed.
    #[error(transparent)]
    Selector(#[from] crate::selector::SelectorError),
    /// Faults to be injected are described wrongly.
    #[error(transparent)]
    Faults(#[from] crate::link::fault::FaultError),
    /// There is nothing where the device should be.
    #[error("no device at {device}: {remedy}")]
    NoDevice {
        /// Its selector.
        device: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Somebody else talks to the device.
    #[error(
        "{device} is in use by another program: close that one first, `spikeloop list` shows which"
    )]
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
    #[error(
        "cannot use {path}, where running virtual boards are listed: {source}; set XDG_RUNTIME_DIR to a folder of your own"
    )]
    Registry {
        /// The folder or file.
        path: std::path::PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A virtual board of this name runs already.
    #[error(
        "a virtual board named {name:?} runs already (process {pid}): choose another name, or stop that one"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The process that runs it.
        pid: u32,
    },
    /// The link itself failed.
    #[error(
        "the link failed: {message}; check the cable or the network, then open the device again"
    )]
    Link {
        /// What kind of failure.
        kind: std::io::ErrorKind,
        /// What the operating system said.
        message: String,
    },
    /// The device did not answer in time.
    #[error(
        "no {waiting_for} within {after_ms} ms ({heard} bytes came since the device was opened): check that the device runs and that its speed is set right"
    )]
    Timeout {
        /// What should have come.
        waiting_for: &'static str,
        /// How long nothing came.
        after_ms: u64,
        /// Bytes received since the device was opened. Some, but no answer: the wrong speed, or not
        /// a device of ours.
        heard: u64,
    },
    /// The device went away.
    #[error(
        "the device disconnected while the host was waiting for {waiting_for}: reconnect it and open it again"
    )]
    Disconnected {
        /// What should have come.
        waiting_for: &'static str,
    },
    /// The device speaks another version of the protocol.
    #[error(
        "the device speaks protocol version {device}, this program {host}: update the older of the two"
    )]
    ProtocolVersion {
        /// Version of this build.
        host: u16,
        /// Version of the device.
        device: u16,
    },
    /// The device did not accept a message.
    #[error("the device refused: {refusal}")]
    Refused {
        /// What it said.
        refusal: crate::wire::Refusal,
    },
    /// The device lost its state again and again.
    #[error(
        "the device was reset while the host was waiting for {waiting_for}, and did not come back in time: check its power supply"
    )]
    DeviceReset {
        /// What should have come.
        waiting_for: &'static str,
    },
    /// A run was damaged although every frame of it looked sound, and repetition did not help.
    #[error(
        "run {run} arrives damaged in every attempt although its frames look sound: the line makes more errors than its checksums can find, use a slower or shorter one"
    )]
    Corrupted {
        /// Number of the run.
        run: u32,
    },
    /// After an interruption another chip answered.
    #[error(
        "another chip answers now: {got} instead of {expected}; connect the one that was there, or begin anew with this one"
    )]
    OtherChip {
        /// Identity of the chip that the session began with.
        expected: String,
        /// Identity of the chip that is there now.
        got: String,
    },
    /// The device sent what the protocol does not allow.
    #[error(
        "the device sent an invalid message: {what}; its firmware does not follow the protocol"
    )]
    Protocol {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The body of a message from the device cannot be read.
    #[error(
        "message 0x{kind:02x} from the device cannot be read: {why}; its firmware does not follow the protocol"
    )]
    Malformed {
        /// Number of the message.
        kind: u8,
        /// What is wrong with it.
        why: crate::wire::Malformed,
    },
    /// What the device says it is makes no sense.
    #[error("what the device says of itself makes no sense: {reason}; its firmware is broken")]
    Announcement {
        /// What is wrong.
        reason: &'static str,
    },
    /// The session ended with an earlier error.
    #[error("the session is over ({reason}): open the device again")]
    SessionOver {
        /// The error that ended it.
        reason: String,
    },
    /// A recording of a chip cannot be written, read or replayed.
    #[error(transparent)]
    RecordingFile(#[from] crate::recording::RecordingError),
    /// An emulated chip is described wrongly.
    #[cfg(feature = "emulator")]
    #[error(transparent)]
    Emulator(#[from] crate::emulator::EmulatorError),
}
