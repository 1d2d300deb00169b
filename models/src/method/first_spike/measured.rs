//! First spikes as a chip measured them, in place of the solved ones.
//!
//! The derivatives of the module's description are functions of the weights and of spike times; with
//! measured times they are those of the chip's own operating point (Göltz et al. 2021). Causal are
//! the inputs before the measured spike. The chip's membrane is not known: at its spike time that of
//! the model may be past its peak, so the slope that derivatives divide by is held above
//! [`Measured::least_slope`].

use super::network::FirstSpikeNetwork;
use crate::error::{ModelError, Result};

/// Measured first spikes of a batch, in the unit of the network's time constant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// `[layer with weights][sample of the batch, unit]`; infinite = no spike.
    pub times: Vec<Vec<f64>>,
    /// From the spike of a neuron to its arrival at the next layer.
    pub delay: f64,
    /// Least slope dV/dt at a spike, in thresholds per time constant; 0 as for solved times.
    pub least_slope: f64,
}

impl Measured {
    /// Times of the `units` neurons of layer `l` in one sample.
    pub(crate) fn of(&self, l: usize, sample: usize, units: usize) -> &[f64] {
        &self.times[l][sample * units..][..units]
    }

    /// Whether it is of `samples` samples of `network`.
    pub(crate) fn check(&self, network: &FirstSpikeNetwork, samples: usize) -> Result<()> {
        for (what, got) in [("delay", self.delay), ("least slope", self.least_slope)] {
            if !(got.is_finite() && got >= 0.0) {
                let must = "it must be 0 or a positive number";
                return Err(ModelError::Parameter { what, got, must });
            }
        }
        for (layer, dense) in network.layers.iter().enumerate() {
            let found = self.times.get(layer).map_or(&[][..], Vec::as_slice);
            if found.len() != samples * dense.post {
                let (what, got) = ("measured spike times", vec![found.len()]);
                let expected = vec![samples * dense.post];
                return Err(ModelError::Shape { what, layer, expected, got });
            }
            if let Some(got) = found.iter().copied().find(|t| t.is_nan()) {
                let must = "it must be a number, or infinite for no spike";
                return Err(ModelError::Parameter { what: "measured spike time", got, must });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
