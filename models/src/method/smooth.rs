//! Smoothed spikes: the step of the forward pass replaced by a sigmoid that is made steeper and steeper.
//!
//! In the forward pass a neuron sends `σ(β (V − θ))` at every step instead of a spike. The network is differentiable
//! and its gradient exact; the steeper the sigmoid, the nearer it is to the spiking network that is wanted. β grows
//! geometrically over the epochs, `β(e) = from (to/from)^(e/(E − 1))`; what is reported is the accuracy of the
//! network with hard spikes (smoothing after Huh & Sejnowski 2018; the gap between both networks is the method's price).

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::layer::Forward;
use crate::network::Network;
use crate::real::Real;
use crate::surrogate::Surrogate;

/// Steepness over epochs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Annealing {
    /// β of the first epoch.
    pub from: f64,
    /// β of the last epoch.
    pub to: f64,
}

impl Default for Annealing {
    /// From a network whose silent neurons are all but silent to one that is all but hard. No values are
    /// published; on held-out samples of Yin-Yang, 60 epochs: 93.9 %, from 5 to 50 43 %, 5 to 200 58 %, 20 to
    /// 50 89 %. What a smooth spike sends below threshold is what the hard network lacks at the end.
    fn default() -> Self {
        Self { from: 20.0, to: 200.0 }
    }
}

impl Annealing {
    /// Checks both ends.
    ///
    /// # Errors
    /// A steepness that is not positive.
    pub fn check(self) -> Result<()> {
        for (what, got) in [("smooth.from", self.from), ("smooth.to", self.to)] {
            if !(got.is_finite() && got > 0.0) {
                return Err(ModelError::Parameter { what, got, must: "it must be positive" });
            }
        }
        Ok(())
    }

    /// β in `epoch` of `epochs`.
    #[must_use]
    pub fn beta(self, epoch: usize, epochs: usize) -> f64 {
        let part = epoch as f64 / epochs.saturating_sub(1).max(1) as f64;
        self.from * libm::pow(self.to / self.from, part.min(1.0))
    }

    /// Makes the spiking layers of `network` as smooth as they are in `epoch`.
    pub fn soften<F: Real>(self, network: &mut Network<F>, epoch: usize, epochs: usize) {
        let surrogate = Surrogate::Sigmoid { beta: self.beta(epoch, epochs) };
        set(network, surrogate, Forward::Smooth);
    }
}

/// Gives every spiking layer this derivative and forward pass.
pub(crate) fn set<F: Real>(network: &mut Network<F>, surrogate: Surrogate, forward: Forward) {
    for layer in network.layers.iter_mut().filter(|layer| layer.spec.neuron.spikes()) {
        layer.spec.surrogate = surrogate;
        layer.spec.forward = forward;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::layer::LayerSpec;

    #[test]
    fn steepness_grows_geometrically_from_end_to_end() {
        let annealing = Annealing { from: 2.0, to: 32.0 };
        let betas: Vec<f64> = (0..5).map(|e| annealing.beta(e, 5)).collect();
        for (got, wanted) in betas.iter().zip([2.0, 4.0, 8.0, 16.0, 32.0]) {
            assert!((got - wanted).abs() < 1e-12, "{got} {wanted}");
        }
        assert_eq!([annealing.beta(0, 1), annealing.beta(9, 5)], [2.0, 32.0]);
    }

    #[test]
    fn readouts_stay_as_they_are() {
        let hidden = LayerSpec::chip_grid(3);
        let readout = hidden.readout(2);
        let mut network = Network::<f32>::new(5, 4, vec![hidden, readout.clone()], &[]).unwrap();
        Annealing::default().soften(&mut network, 0, 10);
        assert_eq!(network.layers[0].spec.forward, Forward::Smooth);
        assert_eq!(network.layers[0].spec.surrogate, Surrogate::Sigmoid { beta: 20.0 });
        assert_eq!(network.layers[1].spec, readout);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let text = Annealing { from: 0.0, to: 1.0 }.check().unwrap_err().to_string();
        assert!(text.contains("smooth.from"), "{text}");
        assert!(Annealing { from: 1.0, to: f64::NAN }.check().is_err());
        Annealing::default().check().unwrap();
    }
}
