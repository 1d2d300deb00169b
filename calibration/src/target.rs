//! What a layer of the model needs of a chip.

use serde::{Deserialize, Serialize};

/// Who computes a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Site {
    /// Circuits of the chip.
    Chip,
    /// The host, from the spikes that the chip returned for the layer below: the readout of chips
    /// without membrane read-back.
    Host,
}

/// When a presynaptic spike starts to move the membrane, in steps after its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpikeTiming {
    /// The membrane integrates the new current: it rises from the spike's own step on.
    NewCurrent,
    /// The membrane integrates the old current: it rises one step later.
    OldCurrent,
}

/// One layer as the chip has to play it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerTarget {
    /// Number of units.
    pub units: usize,
    /// Membrane time constant in microseconds.
    pub tau_mem_us: f64,
    /// Synaptic time constant in microseconds, excitatory and inhibitory.
    pub tau_syn_us: f64,
    /// Whether the units spike. If not they are readouts: their weights may be scaled freely, because
    /// only the measured membrane counts.
    pub spiking: bool,
    /// Whether the layer projects to itself.
    pub recurrent: bool,
    /// Highest membrane (threshold 1) that a single spike through a weight of 1 reaches in the model.
    pub psp_peak: f64,
    /// Who computes the layer.
    pub site: Site,
}
