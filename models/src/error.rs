//! What can be wrong with a network, a batch, an observation or a checkpoint.

/// Errors of this crate. Each message carries the numbers and says what to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A network needs at least one layer.
    #[error("the network has no layer: add at least a readout")]
    NoLayers,
    /// A size that must not be zero, or is too large for 16-bit unit ids.
    #[error("{what} is {got}: it must lie between 1 and {max}")]
    Size {
        /// What was sized.
        what: &'static str,
        /// Value found.
        got: usize,
        /// Largest value allowed.
        max: usize,
    },
    /// Two shapes that must agree do not.
    #[error("{what} of layer {layer}: expected {expected:?}, got {got:?}")]
    Shape {
        /// Which array.
        what: &'static str,
        /// Layer index, 0 = first after the input.
        layer: usize,
        /// Shape needed.
        expected: Vec<usize>,
        /// Shape found.
        got: Vec<usize>,
    },
    /// A parameter outside its range.
    #[error("{what} is {got}: {must}")]
    Parameter {
        /// Name of the parameter.
        what: &'static str,
        /// Value found.
        got: f64,
        /// What it has to be.
        must: &'static str,
    },
    /// A parameter vector whose length is not the number of units.
    #[error("{what} has {got} values for {units} units: give one number, or one for every unit")]
    PerUnit {
        /// Name of the parameter.
        what: &'static str,
        /// Length found.
        got: usize,
        /// Units of the layer.
        units: usize,
    },
    /// A layer kind at a place where it cannot stand.
    #[error("layer {layer} {problem}")]
    Architecture {
        /// Layer index.
        layer: usize,
        /// What is wrong and how to put it right.
        problem: &'static str,
    },
    /// The smooth forward needs a surrogate with a primitive.
    #[error(
        "layer {layer}: surrogate `{surrogate}` has no closed primitive, so there is no smooth \
         forward for it: use `forward = \"hard\"` or another surrogate"
    )]
    NoPrimitive {
        /// Layer index.
        layer: usize,
        /// Name of the surrogate.
        surrogate: &'static str,
    },
    /// Sampled spikes need a surrogate that is the slope of a probability.
    #[error(
        "layer {layer}: surrogate `{surrogate}` is not the slope of an escape probability, so no spikes can be \
         drawn by it: use `sigmoid`, `plain-sigmoid` or `exponential`"
    )]
    NoProbability {
        /// Layer index.
        layer: usize,
        /// Name of the surrogate.
        surrogate: &'static str,
    },
    /// The surrogate cannot be evaluated element by element by this method.
    #[error(
        "layer {layer}: surrogate `{surrogate}` needs {needs}, which this method does not have"
    )]
    UnsupportedSurrogate {
        /// Layer index.
        layer: usize,
        /// Name of the surrogate.
        surrogate: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// Inputs do not fit the network.
    #[error("{what}: the network has {expected}, the batch has {got}")]
    Input {
        /// Steps, units or samples.
        what: &'static str,
        /// What the network or the labels say.
        expected: usize,
        /// What the batch says.
        got: usize,
    },
    /// A label that is not a class.
    #[error(
        "label {label} of sample {sample}: the readout has {classes} classes, 0 to {classes} - 1"
    )]
    Label {
        /// Index in the chunk.
        sample: usize,
        /// Value found.
        label: u16,
        /// Units of the readout.
        classes: usize,
    },
    /// A chunk reaches beyond its batch.
    #[error("chunk of samples {first}..{end} in a batch of {batch}: the batch is too small")]
    Chunk {
        /// Index of the first sample.
        first: usize,
        /// One past the last sample.
        end: usize,
        /// Size of the batch.
        batch: usize,
    },
    /// A regulariser over the whole batch met a part of one.
    #[error(
        "regulariser `{name}` needs the whole batch at once, got {got} of {batch} samples: \
         pass the batch in one chunk, or use a regulariser per sample"
    )]
    NeedsWholeBatch {
        /// Name of the regulariser.
        name: &'static str,
        /// Samples in the chunk.
        got: usize,
        /// Samples in the batch.
        batch: usize,
    },
    /// Samples of the batch were not passed, or passed twice, between `begin` and `finish`.
    #[error("the batch has {batch} samples, {got} were accumulated: pass each exactly once")]
    Incomplete {
        /// Samples of the batch.
        batch: usize,
        /// Samples accumulated.
        got: usize,
    },
    /// An observation that does not fit the network.
    #[error("observation of layer {layer}: {problem} (expected {expected}, got {got})")]
    Observation {
        /// Layer index.
        layer: usize,
        /// What does not fit.
        problem: &'static str,
        /// Number needed.
        expected: usize,
        /// Number found.
        got: usize,
    },
    /// A method needs observables that the chip does not give.
    #[error(
        "method `{method}` needs {missing}, which this chip does not record: choose another method or chip"
    )]
    Requirement {
        /// Name of the method.
        method: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// A regulariser at a layer or network that it does not fit.
    #[error("regulariser `{name}`: {problem}")]
    Regulariser {
        /// Name of the regulariser.
        name: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Optimizer state that does not belong to this network.
    #[error(
        "optimizer state `{name}`: expected {expected} values, got {got}: it belongs to another network"
    )]
    OptimizerState {
        /// Tensor name.
        name: String,
        /// Values needed.
        expected: usize,
        /// Values found.
        got: usize,
    },
    /// Data that do not determine what was to be fitted to them.
    #[error("fit of {what}: {problem}")]
    Fit {
        /// What was fitted.
        what: &'static str,
        /// Why it cannot be, and what to change.
        problem: &'static str,
    },
    /// A tensor that a checkpoint should hold and does not.
    #[error("checkpoint: {name}: {problem}")]
    Checkpoint {
        /// Tensor or metadata key.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, ModelError>;
