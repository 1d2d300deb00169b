//! Which circuit of the chip plays which unit of the network.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, NeuronId};

/// How units are laid out over the array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Evenly over the whole array, so that a network meets every block of the chip.
    #[default]
    Even,
    /// From neuron 0 on, without gaps.
    Packed,
}

/// Circuits of every layer, ascending: layer after layer, unit after unit. The order makes the samples
/// of a layer one contiguous stretch of what the converter returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    circuits: Vec<NeuronId>,
    /// `circuits[starts[l] .. starts[l + 1]]` play layer `l`.
    starts: Vec<usize>,
}

impl Placement {
    /// Places layers of these many units (0 for a layer that is not on the chip).
    ///
    /// # Errors
    /// [`Error::TooFewNeurons`].
    pub fn new(units: &[usize], caps: &Capabilities, spread: Spread) -> Result<Self, Error> {
        let needed: usize = units.iter().sum();
        let available = usize::from(caps.neurons);
        if needed > available {
            return Err(Error::TooFewNeurons { needed, available });
        }
        let circuits = (0..needed)
            .map(|slot| match spread {
                Spread::Even => (slot * available / needed) as NeuronId,
                Spread::Packed => slot as NeuronId,
            })
            .collect();
        let mut starts = vec![0];
        for n in units {
            starts.push(starts[starts.len() - 1] + n);
        }
        Ok(Self { circuits, starts })
    }

    /// Circuits of layer `l`, unit after unit.
    #[must_use]
    pub fn layer(&self, l: usize) -> &[NeuronId] {
        &self.circuits[self.starts[l]..self.starts[l + 1]]
    }

    /// Where layer `l` starts among all placed units.
    #[must_use]
    pub fn start(&self, l: usize) -> usize {
        self.starts[l]
    }

    /// Every placed circuit, ascending.
    #[must_use]
    pub fn circuits(&self) -> &[NeuronId] {
        &self.circuits
    }

    /// Number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.starts.len() - 1
    }
}
