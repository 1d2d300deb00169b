//! Why a network does not fit a chip.

use spikeloop_hal::Parameter;

/// A network and a chip that do not go together, with the numbers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More units than circuits.
    #[error(
        "the network needs {needed} neurons on the chip, it has {available}: use fewer hidden units or a larger chip"
    )]
    TooFewNeurons {
        /// Units to be placed.
        needed: usize,
        /// Circuits of the chip.
        available: usize,
    },
    /// More units than circuits that the calibration left.
    #[error(
        "the network needs {needed} neurons on the chip, the calibration found {available} of its {neurons} usable: use fewer hidden units, calibrate again with a wider `accept`, or do without (--calibration none)"
    )]
    TooFewUsable {
        /// Units to be placed.
        needed: usize,
        /// Neurons that can be used.
        available: usize,
        /// Neurons of the chip.
        neurons: usize,
    },
    /// More inputs than input lines.
    #[error(
        "the network has {needed} inputs, the chip has {available} input lines: reduce the input or use a larger chip"
    )]
    TooFewInputs {
        /// Inputs of the network.
        needed: usize,
        /// Input lines of the chip.
        available: usize,
    },
    /// Neurons must drive neurons, and cannot on this chip.
    #[error(
        "the network has connections between neurons, which this chip cannot route: use a single layer with the readout on the host (observe = \"spikes\")"
    )]
    NoRecurrence,
    /// Membranes are wanted from a chip that cannot sample them.
    #[error("this chip has no membrane converter: train with observe = \"spikes\"")]
    NoConverter,
    /// The chip does not announce a quantity the translation needs.
    #[error("the chip does not announce its {}, which is needed to translate weights: its firmware must list it among the parameters", parameter.name())]
    MissingParameter {
        /// Which one.
        parameter: Parameter,
    },
    /// A design value is out of reach of the chip's codes.
    #[error("{} = {wanted} is out of the chip's range {} ..= {}: change the network's time constants", parameter.name(), range.0, range.1)]
    OutOfRange {
        /// Which quantity.
        parameter: Parameter,
        /// What the network asks for.
        wanted: f32,
        /// What the chip can do.
        range: (f32, f32),
    },
    /// The step is not a whole number of ticks.
    #[error(
        "a step of {dt_us} us is not a whole number of ticks of {tick_ns} ns: choose a multiple"
    )]
    Grid {
        /// Step of the model.
        dt_us: f32,
        /// Tick of the chip.
        tick_ns: u32,
    },
    /// The step is shorter than the converter's.
    #[error(
        "a step of {dt_us} us is shorter than the converter's shortest period of {min_us} us: use a longer step or observe = \"spikes\""
    )]
    StepTooShort {
        /// Step of the model.
        dt_us: f32,
        /// Shortest period.
        min_us: f64,
    },
    /// A trial is longer than the chip allows, or does not fit its memory.
    #[error(
        "one trial needs {needed} {what}, the chip has {available}: shorten the trial or use fewer neurons"
    )]
    TrialTooLarge {
        /// What is short.
        what: &'static str,
        /// What a trial needs.
        needed: u64,
        /// What there is.
        available: u64,
    },
    /// A layer that only the chip could run cannot be read.
    #[error(
        "layer {layer} does not spike and its membrane is not recorded: it must be computed on the host"
    )]
    Unobservable {
        /// Index of the layer.
        layer: usize,
    },
    /// The network handed in is not the one the translation was made for.
    #[error("layer {layer} has weights {got:?}, the translation was made for {expected:?}")]
    Shape {
        /// Index of the layer.
        layer: usize,
        /// Shape of the translation.
        expected: (usize, usize),
        /// Shape handed in.
        got: (usize, usize),
    },
    /// The chip, or the way to it.
    #[error(transparent)]
    Chip(#[from] spikeloop_hal::Error),
    /// A twin of a chip whose membranes cannot be seen.
    #[error(
        "a twin needs membrane read-back, this chip returns spikes only: train on the chip itself"
    )]
    TwinNeedsMembranes,
    /// A file of targets that makes no sense.
    #[error("targets: {reason}")]
    TargetFile {
        /// What is wrong, and where.
        reason: String,
    },
    /// A calibration file cannot be used.
    #[error("calibration file {path}: {reason}; calibrate again to replace it")]
    CalibrationFile {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// A calibration of another chip.
    #[error(
        "the calibration belongs to chip {calibrated}, this is {present}: calibrate this chip, no two are alike"
    )]
    OtherChip {
        /// The chip of the file.
        calibrated: String,
        /// The chip that is there.
        present: String,
    },
    /// A calibration made with another firmware.
    #[error(
        "the calibration was made with firmware {calibrated:#08x}, the chip now runs {present:#08x}: codes may mean something else, calibrate again"
    )]
    OtherFirmware {
        /// Firmware of the file.
        calibrated: u32,
        /// Firmware that is there.
        present: u32,
    },
    /// A calibration file of the right chip with another number of neurons.
    #[error(
        "the calibration has {calibrated} neurons, its chip {present}: the file was changed by hand, calibrate again"
    )]
    OtherSize {
        /// Neurons in the file.
        calibrated: usize,
        /// Neurons of the chip.
        present: usize,
    },
    /// The caller asked for an end.
    #[error("the calibration was stopped after {stage}, as asked")]
    Stopped {
        /// The last stage that was finished.
        stage: &'static str,
    },
    /// What came back does not have the shape that was asked for.
    #[error(
        "the chip returned {got} {what} where {expected} were asked for: check that firmware and host agree"
    )]
    UnexpectedObservables {
        /// What.
        what: &'static str,
        /// Asked for.
        expected: usize,
        /// Came back.
        got: usize,
    },
}
