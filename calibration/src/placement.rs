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
    /// Places layers of these many units (0 for a layer that is not on the chip). Where `usable` says no,
    /// nothing is placed; without it every neuron may be used.
    ///
    /// # Errors
    /// [`Error::TooFewNeurons`], [`Error::TooFewUsable`].
    pub fn new(
        units: &[usize],
        caps: &Capabilities,
        spread: Spread,
        usable: Option<&[bool]>,
    ) -> Result<Self, Error> {
        let needed: usize = units.iter().sum();
        let neurons = usize::from(caps.neurons);
        if needed > neurons {
            return Err(Error::TooFewNeurons { needed, available: neurons });
        }
        let free = |n: &usize| usable.is_none_or(|usable| usable.get(*n).copied().unwrap_or(false));
        let candidates: Vec<NeuronId> = (0..neurons).filter(free).map(|n| n as NeuronId).collect();
        let available = candidates.len();
        if needed > available {
            return Err(Error::TooFewUsable { needed, available, neurons });
        }
        let circuits = (0..needed)
            .map(|slot| match spread {
                Spread::Even => candidates[slot * available / needed],
                Spread::Packed => candidates[slot],
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::translation::tests::caps;

    #[test]
    fn neurons_that_cannot_be_used_are_left_out() {
        let usable: Vec<bool> = (0..10).map(|n| n != 0 && n != 4).collect();
        let place =
            |units: &[usize], spread| Placement::new(units, &caps(10, 4), spread, Some(&usable));
        assert_eq!(place(&[2, 2], Spread::Packed).unwrap().circuits(), [1, 2, 3, 5]);
        assert_eq!(place(&[2, 2], Spread::Even).unwrap().circuits(), [1, 3, 6, 8]);
        assert_eq!(place(&[8], Spread::Even).unwrap().circuits().len(), 8);
        let error = place(&[9], Spread::Even).unwrap_err().to_string();
        assert!(error.contains("needs 9") && error.contains("8 of its 10"), "{error}");
    }
}
