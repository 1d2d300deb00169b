//! Address-events: who fired, and when.

use serde::{Deserialize, Serialize};

/// Index of a neuron circuit, or of an input line, on one chip.
pub type NeuronId = u16;

/// Chip time since the start of a trial, in ticks of [`Capabilities::tick_ns`](crate::Capabilities::tick_ns).
pub type Tick = u32;

/// One spike. As a stimulus `id` is an input line, as an observable a neuron.
///
/// The order is by time, then by address, which is the order on the wire.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SpikeEvent {
    /// When, in ticks since the start of the trial.
    pub tick: Tick,
    /// Input line or neuron.
    pub id: NeuronId,
}

impl SpikeEvent {
    /// A spike of `id` at `tick`.
    #[must_use]
    pub const fn new(tick: Tick, id: NeuronId) -> Self {
        Self { tick, id }
    }
}
