//! Dropout of hidden units, one mask per batch, the same for all samples and steps.
//!
//! A chip cannot switch a neuron off, but it can write zeros into its incoming weights: that is what
//! [`DropoutMask::apply`] does to a copy of the network. The weights are not rescaled, and dropout is
//! off in evaluation (Cramer et al. 2022: rate 0.4).

use rand_chacha::ChaCha8Rng;

use crate::error::{ModelError, Result};
use crate::method::Gradients;
use crate::network::Network;
use crate::random;
use crate::real::Real;

/// Which units of which hidden layers are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropoutMask {
    /// `dropped[layer][unit]`, for the spiking layers.
    pub dropped: Vec<Vec<bool>>,
}

impl DropoutMask {
    /// Drops each hidden unit with probability `rate`; takes one 64-bit word of `rng` a unit.
    ///
    /// # Errors
    /// A rate outside [0, 1).
    pub fn draw<F: Real>(network: &Network<F>, rate: f64, rng: &mut ChaCha8Rng) -> Result<Self> {
        if !(0.0..1.0).contains(&rate) {
            return Err(ModelError::Parameter {
                what: "dropout rate",
                got: rate,
                must: "it must lie in [0, 1)",
            });
        }
        let hidden = network.layers.iter().filter(|layer| layer.spec.neuron.spikes());
        let dropped = hidden
            .map(|l| (0..l.spec.units).map(|_| random::uniform(rng) < rate).collect())
            .collect();
        Ok(Self { dropped })
    }

    /// Zeroes the incoming weights of the dropped units.
    pub fn apply<F: Real>(&self, network: &mut Network<F>) {
        for (layer, dropped) in network.layers.iter_mut().zip(&self.dropped) {
            for matrix in std::iter::once(&mut layer.weights).chain(&mut layer.recurrent) {
                zero_columns(matrix, dropped);
            }
        }
    }

    /// Zeroes the gradients of the incoming weights of the dropped units: they took no part.
    pub fn apply_to_gradients<F: Real>(&self, gradients: &mut Gradients<F>) {
        for (layer, dropped) in gradients.layers.iter_mut().zip(&self.dropped) {
            for matrix in std::iter::once(&mut layer.weights).chain(&mut layer.recurrent) {
                zero_columns(matrix, dropped);
            }
        }
    }
}

fn zero_columns<F: Real>(matrix: &mut ndarray::Array2<F>, dropped: &[bool]) {
    for mut row in matrix.rows_mut() {
        for (value, dropped) in row.iter_mut().zip(dropped) {
            if *dropped {
                *value = F::zero();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::layer::LayerSpec;

    #[test]
    fn dropped_units_lose_their_inputs_only() {
        let hidden = LayerSpec::chip_grid(1000);
        let readout = hidden.readout(2);
        let mut network = Network::<f32>::new(3, 2, vec![hidden, readout], &[true]).unwrap();
        network.layers[0].weights.fill(1.0);
        network.layers[1].weights.fill(1.0);
        let mask = DropoutMask::draw(&network, 0.4, &mut random::stream(1, 2)).unwrap();
        assert_eq!(mask.dropped.len(), 1);
        let count = mask.dropped[0].iter().filter(|d| **d).count();
        assert!((350..450).contains(&count), "{count} of 1000 at rate 0.4");
        mask.apply(&mut network);
        for (unit, dropped) in mask.dropped[0].iter().enumerate() {
            assert_eq!(network.layers[0].weights[[1, unit]], if *dropped { 0.0 } else { 1.0 });
            assert_eq!(network.layers[1].weights[[unit, 1]], 1.0);
        }
        assert!(DropoutMask::draw(&network, 1.0, &mut random::stream(1, 2)).is_err());
    }
}
