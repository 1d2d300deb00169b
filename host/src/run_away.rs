//! Signs that learning has run away: numbers that are none, and layers that fire all the time.

use spikeloop_models::network::Network;
use std::fmt;

/// A layer that fires in more than this share of all its states over a whole batch carries no information any
/// more, and its gradient no direction. A guess: networks that learn stay below a tenth.
pub const ACTIVITY_LIMIT: f64 = 0.7;

/// What was seen. Layers are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sign {
    /// The loss is not a number, or infinite.
    Loss(f64),
    /// A weight of a layer is not a number, or infinite.
    Weights(usize),
    /// A layer fires all the time: share of its units and states with a spike.
    Activity(usize, f64),
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loss(value) => write!(f, "the loss is {value}"),
            Self::Weights(layer) => write!(f, "layer {layer} has weights that are no numbers"),
            Self::Activity(layer, share) => {
                write!(f, "layer {layer} fires in {:.0} % of all states", 100.0 * share)
            }
        }
    }
}

/// Looks for a sign in one batch: `loss` summed over `samples` samples, `fired[l]` spikes of hidden layer `l` in
/// all of them, and the weights after the step.
#[must_use]
pub fn sign(loss: f64, samples: usize, fired: &[u64], network: &Network<f32>) -> Option<Sign> {
    if !loss.is_finite() {
        return Some(Sign::Loss(loss));
    }
    let states = (samples * network.steps) as f64;
    let layers = network.layers.iter();
    let activity = fired.iter().zip(layers.clone()).enumerate().find_map(|(l, (fired, layer))| {
        let share = *fired as f64 / (states * layer.spec.units as f64).max(1.0);
        (share > ACTIVITY_LIMIT).then_some(Sign::Activity(l, share))
    });
    activity.or_else(|| {
        // A sum is a number exactly if all its terms are, short of an overflow, which is no better.
        let sums = layers.enumerate().map(|(l, layer)| {
            let own = layer.recurrent.as_ref().map_or(0.0, |r| r.sum());
            (l, layer.weights.sum() + own)
        });
        sums.into_iter().find(|(_, sum)| !sum.is_finite()).map(|(l, _)| Sign::Weights(l))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spikeloop_models::LayerSpec;

    #[test]
    fn each_sign_is_seen_and_names_its_layer() {
        let hidden = LayerSpec::chip_grid(4);
        let specs = vec![hidden.clone(), hidden.clone(), hidden.readout(2)];
        let mut network = Network::<f32>::new(10, 3, specs, &[false, true]).unwrap();
        // 5 samples, 10 states, 4 units: 200 chances to fire.
        assert_eq!(sign(1.0, 5, &[140, 20], &network), None);
        assert_eq!(sign(1.0, 5, &[20, 150], &network), Some(Sign::Activity(1, 0.75)));
        assert!(matches!(sign(f64::NAN, 5, &[0, 0], &network), Some(Sign::Loss(_))));
        if let Some(recurrent) = &mut network.layers[1].recurrent {
            recurrent[[2, 1]] = f32::NAN;
        }
        assert_eq!(sign(1.0, 5, &[0, 0], &network), Some(Sign::Weights(1)));
        network.layers[0].weights[[0, 0]] = f32::INFINITY;
        assert_eq!(sign(1.0, 5, &[0, 0], &network), Some(Sign::Weights(0)));
    }
}
