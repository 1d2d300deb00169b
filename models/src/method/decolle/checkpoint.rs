//! Everything that learning changes, and the readouts, as named arrays.

use super::Decolle;
use crate::error::{ModelError, Result};
use crate::real::Real;

impl<F: Real> Decolle<F> {
    /// The state by name: `layers.L.{weights|bias|readout|readout-bias|threshold}` and the moments of
    /// the optimizer. With [`Decolle::updates`] it is all that learning needs to continue with the
    /// same bits.
    pub fn state(&self) -> impl Iterator<Item = (String, &[F])> {
        let moments = self.config.optimizer.moments();
        self.layers.iter().zip(&self.learners).enumerate().flat_map(move |(l, (layer, learner))| {
            let own = [
                ("weights", &layer.weights[..]),
                ("bias", &layer.bias[..]),
                ("readout", &layer.readout[..]),
                ("readout-bias", &layer.readout_bias[..]),
                ("threshold", std::slice::from_ref(&layer.threshold)),
            ];
            let own =
                own.into_iter().map(move |(name, values)| (format!("layers.{l}.{name}"), values));
            let slots = [("weights", &learner.weights), ("bias", &learner.bias)];
            let moments = slots.into_iter().flat_map(move |(name, slot)| {
                slot.moments.iter().zip(moments).map(move |(values, moment)| {
                    (format!("optimizer.layers.{l}.{name}.{moment}"), values.as_slice())
                })
            });
            own.chain(moments)
        })
    }

    /// Puts a state back: `updates` made and every array of [`Decolle::state`] by name.
    ///
    /// # Errors
    /// An array that is missing or has another length; nothing is changed then.
    pub fn restore<'a>(
        &mut self,
        updates: u64,
        get: impl Fn(&str) -> Option<&'a [F]>,
    ) -> Result<()> {
        for (name, values) in self.state() {
            let (expected, got) = (values.len(), get(&name).map_or(0, <[F]>::len));
            if expected != got {
                return Err(ModelError::OptimizerState { name, expected, got });
            }
        }
        let names = self.config.optimizer.moments();
        for (l, (layer, learner)) in self.layers.iter_mut().zip(&mut self.learners).enumerate() {
            let own = [
                ("weights", &mut layer.weights[..]),
                ("bias", &mut layer.bias[..]),
                ("readout", &mut layer.readout[..]),
                ("readout-bias", &mut layer.readout_bias[..]),
                ("threshold", std::slice::from_mut(&mut layer.threshold)),
            ];
            for (name, values) in own {
                copy(values, get(&format!("layers.{l}.{name}")));
            }
            for (name, slot) in [("weights", &mut learner.weights), ("bias", &mut learner.bias)] {
                for (values, moment) in slot.moments.iter_mut().zip(names) {
                    copy(values, get(&format!("optimizer.layers.{l}.{name}.{moment}")));
                }
            }
            layer.transpose();
        }
        self.updates = updates;
        Ok(())
    }
}

fn copy<F: Real>(to: &mut [F], from: Option<&[F]>) {
    if let Some(from) = from {
        to.copy_from_slice(from);
    }
}
