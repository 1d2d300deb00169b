//! What a chip measured, in model units and on the model's time grid, ready to be injected.

use crate::spike_train::SpikeTrains;

/// Measurements of one layer for a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerObservation<F> {
    /// Measured spikes; a spike at state index `t` belongs to the membrane of index `t`.
    /// `None` for layers that do not spike.
    pub spikes: Option<SpikeTrains>,
    /// Measured membranes `[sample, state, unit]` in model units (rest 0, threshold 1), state 0 being
    /// the resting state. `None` when only spikes were measured: the model's own membrane is then
    /// teacher-forced by the measured spikes.
    pub membrane: Option<Vec<F>>,
}

/// Measurements of a network for a batch, one entry per layer. A layer with neither spikes nor
/// membranes is computed by the model from the (measured) spikes of the layer below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observation<F> {
    /// From the first hidden layer to the readout.
    pub layers: Vec<LayerObservation<F>>,
}
