//! A network in the layout of the inner loops: one coefficient a unit, rows padded to whole vectors.

use ndarray::Array2;

use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::layer::{Current, Forward, LayerSpec, Reset, Wiring};
use crate::network::Network;
use crate::real::Real;
use crate::surrogate::Surrogate;

/// A layer ready to run. Vectors have `stride` entries; padding units have weight 0 and threshold 1,
/// stay at 0 and never spike.
#[derive(Clone, Debug)]
pub(crate) struct CompiledLayer<F> {
    spec: LayerSpec,
    pub(crate) units: usize,
    pub(crate) stride: usize,
    pub(crate) alpha: Aligned<F>,
    pub(crate) beta: Aligned<F>,
    pub(crate) scale: Aligned<F>,
    pub(crate) offset: Aligned<F>,
    pub(crate) threshold: Aligned<F>,
    pub(crate) initial: Aligned<F>,
    /// `[pre, post padded]`.
    pub(crate) weights: Aligned<F>,
    /// `[post, pre padded]`; empty for the first layer, whose input has no adjoint.
    pub(crate) transposed: Aligned<F>,
    /// `[pre, post padded]`.
    pub(crate) recurrent: Option<Aligned<F>>,
    /// `[post, pre padded]`.
    pub(crate) recurrent_transposed: Aligned<F>,
    /// Gains and biases of an encoder `[channel + 1, unit]`, as the network holds them.
    pub(crate) encoder: Option<Array2<F>>,
}

impl<F: Real> CompiledLayer<F> {
    fn new(spec: &LayerSpec) -> Self {
        let (units, stride) = (spec.units, padded(spec.units));
        let fill = |value: &dyn Fn(usize) -> f64, padding: f64| {
            let mut out = Aligned::zeros(stride);
            out.iter_mut()
                .enumerate()
                .for_each(|(u, x)| *x = F::of(if u < units { value(u) } else { padding }));
            out
        };
        Self {
            units,
            stride,
            alpha: fill(&|u| spec.alpha(u), 0.0),
            beta: fill(&|u| spec.beta(u), 0.0),
            scale: fill(&|u| spec.scale(u), 0.0),
            offset: fill(&|u| (1.0 - spec.beta(u)) * spec.leak.at(u), 0.0),
            threshold: fill(&|u| spec.threshold.at(u), 1.0),
            initial: fill(&|_| spec.initial_membrane, 0.0),
            weights: Aligned::default(),
            transposed: Aligned::default(),
            recurrent: None,
            recurrent_transposed: Aligned::default(),
            encoder: None,
            spec: spec.clone(),
        }
    }

    pub(crate) fn spikes(&self) -> bool {
        self.spec.neuron.spikes()
    }

    pub(crate) fn reset(&self) -> Reset {
        if self.spikes() { self.spec.reset } else { Reset::None }
    }

    pub(crate) fn detached(&self) -> bool {
        self.spec.detach_reset || self.reset() == Reset::None
    }

    /// Steps between a spike and the state whose step its reset acts on.
    pub(crate) fn reset_delay(&self) -> usize {
        usize::from(self.spec.wiring == Wiring::Encoder && self.reset() == Reset::Multiplicative)
    }

    pub(crate) fn current(&self) -> Current {
        self.spec.current
    }

    pub(crate) fn smooth(&self) -> bool {
        self.spec.forward == Forward::Smooth
    }

    pub(crate) fn sampled(&self) -> bool {
        self.spec.forward == Forward::Sampled
    }

    pub(crate) fn surrogate(&self) -> Surrogate {
        self.spec.surrogate
    }
}

/// A network ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Compiled<F> {
    pub(crate) steps: usize,
    pub(crate) inputs: usize,
    pub(crate) layers: Vec<CompiledLayer<F>>,
}

impl<F: Real> Compiled<F> {
    pub(crate) fn new(network: &Network<F>) -> Result<Self> {
        network.check()?;
        let layers = network.layers.iter().map(|layer| CompiledLayer::new(&layer.spec)).collect();
        let mut compiled = Self { steps: network.steps, inputs: network.inputs, layers };
        compiled.load(network)?;
        Ok(compiled)
    }

    pub(crate) fn classes(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.units)
    }

    /// Number of spiking layers; they come first.
    pub(crate) fn hidden(&self) -> usize {
        self.layers.iter().filter(|layer| layer.spikes()).count()
    }

    /// Takes over the weights, and the parameters where they have changed. The shapes must be those
    /// of the network that this was made from.
    pub(crate) fn load(&mut self, network: &Network<F>) -> Result<()> {
        network.check()?;
        let shape = |n: usize, i: usize, l: usize| vec![n, i, l];
        let expected = shape(self.steps, self.inputs, self.layers.len());
        let got = shape(network.steps, network.inputs, network.layers.len());
        if expected != got {
            return Err(ModelError::Shape {
                what: "steps, inputs and layers of the network",
                layer: 0,
                expected,
                got,
            });
        }
        for (index, (compiled, layer)) in self.layers.iter_mut().zip(&network.layers).enumerate() {
            if compiled.units != layer.spec.units {
                return Err(ModelError::Shape {
                    what: "units",
                    layer: index,
                    expected: vec![compiled.units],
                    got: vec![layer.spec.units],
                });
            }
            if compiled.spec != layer.spec {
                *compiled = CompiledLayer::new(&layer.spec);
            }
            match layer.spec.wiring {
                Wiring::Dense => copy_rows(&mut compiled.weights, &layer.weights),
                Wiring::Encoder => {
                    copy_rows(&mut compiled.weights, &encoder_weights(&layer.weights));
                    compiled.encoder = Some(layer.weights.clone());
                }
            }
            if index > 0 {
                copy_columns(&mut compiled.transposed, &layer.weights);
            }
            match &layer.recurrent {
                Some(recurrent) => {
                    copy_rows(compiled.recurrent.get_or_insert_default(), recurrent);
                    copy_columns(&mut compiled.recurrent_transposed, recurrent);
                }
                None => compiled.recurrent = None,
            }
        }
        Ok(())
    }
}

/// Weights that gains and biases amount to: `gain x + gain bias · 1`.
fn encoder_weights<F: Real>(parameters: &Array2<F>) -> Array2<F> {
    let channels = parameters.nrows() - 1;
    let mut weights = Array2::zeros(parameters.raw_dim());
    for unit in 0..parameters.ncols() {
        let gain = parameters[[unit % channels, unit]];
        weights[[unit % channels, unit]] = gain;
        weights[[channels, unit]] = gain * parameters[[channels, unit]];
    }
    weights
}

/// Turns the gradient of the weights of an encoder into that of its gains and biases.
pub(crate) fn encoder_gradient<F: Real>(parameters: &Array2<F>, gradient: &mut Array2<F>) {
    let channels = parameters.nrows() - 1;
    for unit in 0..parameters.ncols() {
        let own = unit % channels;
        let (gain, bias) = (parameters[[own, unit]], parameters[[channels, unit]]);
        let (by_channel, by_one) = (gradient[[own, unit]], gradient[[channels, unit]]);
        for row in 0..channels {
            gradient[[row, unit]] = F::zero();
        }
        gradient[[own, unit]] = by_channel + bias * by_one;
        gradient[[channels, unit]] = gain * by_one;
    }
}

/// Copies a matrix into rows of padded length.
fn copy_rows<F: Real>(to: &mut Aligned<F>, from: &Array2<F>) {
    let stride = padded(from.ncols());
    to.resize(from.nrows() * stride);
    for (to, from) in to.chunks_exact_mut(stride).zip(from.rows()) {
        for (t, f) in to.iter_mut().zip(from) {
            *t = *f;
        }
    }
}

/// Copies the transpose of a matrix into rows of padded length.
fn copy_columns<F: Real>(to: &mut Aligned<F>, from: &Array2<F>) {
    let stride = padded(from.nrows());
    to.resize(from.ncols() * stride);
    for (to, from) in to.chunks_exact_mut(stride).zip(from.columns()) {
        for (t, f) in to.iter_mut().zip(from) {
            *t = *f;
        }
    }
}
