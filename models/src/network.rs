//! A feed-forward chain of layers, each with or without recurrence, on one time grid.

use ndarray::Array2;

use crate::error::{ModelError, Result};
use crate::layer::{Forward, Layer, LayerSpec, Wiring};
use crate::real::Real;

/// A network: what is simulated, differentiated and trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<F> {
    /// Number of states of every unit and of steps of the input.
    pub steps: usize,
    /// Number of input channels.
    pub inputs: usize,
    /// From the first hidden layer to the readout.
    pub layers: Vec<Layer<F>>,
}

impl<F: Real> Network<F> {
    /// A network with all weights zero; `recurrent[l]` says which layers have recurrent weights
    /// (missing entries: none). Draw weights with [`crate::init`].
    ///
    /// # Errors
    /// As [`Network::check`].
    pub fn new(
        steps: usize,
        inputs: usize,
        specs: Vec<LayerSpec>,
        recurrent: &[bool],
    ) -> Result<Self> {
        let mut pre = inputs;
        let mut layers = Vec::with_capacity(specs.len());
        for (index, spec) in specs.into_iter().enumerate() {
            let units = spec.units;
            let loops = recurrent.get(index).copied().unwrap_or(false);
            layers.push(Layer {
                spec,
                weights: Array2::zeros((pre, units)),
                recurrent: loops.then(|| Array2::zeros((units, units))),
            });
            pre = units;
        }
        let network = Self { steps, inputs, layers };
        network.check()?;
        Ok(network)
    }

    /// Number of units of the readout.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.spec.units)
    }

    /// Number of trainable weights.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers
            .iter()
            .map(|l| l.weights.len() + l.recurrent.as_ref().map_or(0, Array2::len))
            .sum()
    }

    /// Checks sizes, parameters and that the chain fits together.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<()> {
        let max = usize::from(u16::MAX);
        if self.steps == 0 || self.steps > 1 << 20 {
            return Err(ModelError::Size {
                what: "steps of the network",
                got: self.steps,
                max: 1 << 20,
            });
        }
        if self.inputs == 0 || self.inputs > max {
            return Err(ModelError::Size { what: "inputs of the network", got: self.inputs, max });
        }
        let Some(top) = self.layers.len().checked_sub(1) else { return Err(ModelError::NoLayers) };
        let mut pre = self.inputs;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.spec.check()?;
            check_place(layer, index, top)?;
            let units = layer.spec.units;
            check_shape("weights", index, [pre, units], &layer.weights)?;
            if let Some(recurrent) = &layer.recurrent {
                check_shape("recurrent weights", index, [units, units], recurrent)?;
            }
            pre = units;
        }
        Ok(())
    }
}

fn check_place<F>(layer: &Layer<F>, index: usize, top: usize) -> Result<()> {
    let spec = &layer.spec;
    let problem = if index < top && !spec.neuron.spikes() {
        "does not spike, but a layer above needs its spikes: make it cuba-lif or lif"
    } else if index == top && spec.neuron.spikes() {
        "is the readout, but it spikes: add a cuba-li or li layer on top"
    } else if layer.recurrent.is_some() && !spec.neuron.spikes() {
        "has recurrent weights, but does not spike: remove them"
    } else if index > 0 && spec.wiring == Wiring::Encoder {
        "is an encoder of analog channels, which can only stand first"
    } else if spec.wiring == Wiring::Encoder && spec.neuron.spikes() && !spec.detach_reset {
        "is an encoder, whose reset is always detached: set detach_reset"
    } else if spec.wiring == Wiring::Encoder && layer.weights.nrows() < 2 {
        "is an encoder without a channel: give one input more than there are channels"
    } else {
        if spec.neuron.spikes()
            && spec.forward == Forward::Sampled
            && spec.surrogate.escape_probability(0.0_f64).is_none()
        {
            return Err(ModelError::NoProbability {
                layer: index,
                surrogate: spec.surrogate.name(),
            });
        }
        if spec.neuron.spikes()
            && spec.forward == Forward::Smooth
            && !spec.surrogate.has_primitive()
        {
            return Err(ModelError::NoPrimitive { layer: index, surrogate: spec.surrogate.name() });
        }
        return Ok(());
    };
    Err(ModelError::Architecture { layer: index, problem })
}

fn check_shape<F>(
    what: &'static str,
    layer: usize,
    expected: [usize; 2],
    got: &Array2<F>,
) -> Result<()> {
    if got.shape() == expected {
        Ok(())
    } else {
        Err(ModelError::Shape {
            what,
            layer,
            expected: expected.to_vec(),
            got: got.shape().to_vec(),
        })
    }
}
