//! The backward pass of one sample, all layers together, from the last state to the first.

use crate::engine::{Compiled, CompiledLayer, LayerTrace, Source, Trace};
use crate::kernel::aligned::Aligned;
use crate::kernel::dynamics::{adjoint_current, adjoint_linear, adjoint_membrane};
use crate::kernel::rows::{backproject, scatter, scatter_weighted};
use crate::layer::{Current, Reset};
use crate::observation::LayerObservation;
use crate::real::Real;

/// Partial gradient of one layer, rows padded as the weights.
#[derive(Clone, Debug)]
pub(in crate::method) struct LaneGradient<F> {
    pub(in crate::method) weights: Aligned<F>,
    pub(in crate::method) recurrent: Aligned<F>,
}

impl<F: Real> LaneGradient<F> {
    pub(super) fn new(layer: &CompiledLayer<F>) -> Self {
        Self {
            weights: Aligned::zeros(layer.weights.len()),
            recurrent: Aligned::zeros(layer.recurrent.as_ref().map_or(0, |r| r.len())),
        }
    }

    pub(super) fn clear(&mut self) {
        self.weights.fill(F::zero());
        self.recurrent.fill(F::zero());
    }
}

/// Adjoints of one layer at the state being visited; `stride` entries each.
#[derive(Clone, Debug)]
pub(in crate::method) struct LayerAdjoint<F> {
    /// Of what the units send.
    s: Aligned<F>,
    /// Of the membrane, then of the membrane before its reset.
    q: Aligned<F>,
    /// Of the current.
    i: Aligned<F>,
    /// Part of the adjoint of the spikes that is the same at all states (regularisers).
    pub(in crate::method) constant: Aligned<F>,
    /// Whether any entry of `constant` differs from 0.
    pub(super) constant_active: bool,
    /// Last state with an adjoint.
    start: usize,
}

/// Adjoints of a network.
#[derive(Clone, Debug)]
pub(in crate::method) struct Adjoints<F> {
    pub(in crate::method) layers: Vec<LayerAdjoint<F>>,
    /// Of the membranes of the readout `[state, unit padded]`.
    pub(in crate::method) readout: Aligned<F>,
}

impl<F: Real> Adjoints<F> {
    pub(super) fn new(network: &Compiled<F>) -> Self {
        let layers = network
            .layers
            .iter()
            .map(|layer| {
                let zeros = || Aligned::zeros(layer.stride);
                LayerAdjoint {
                    s: zeros(),
                    q: zeros(),
                    i: zeros(),
                    constant: zeros(),
                    constant_active: false,
                    start: 0,
                }
            })
            .collect();
        let stride = network.layers.last().map_or(0, |layer| layer.stride);
        Self { layers, readout: Aligned::zeros(network.steps * stride) }
    }

    /// Before the last state. A layer starts one state below the one that teaches it (the one above,
    /// or the readout with `direct` feedback), or at the last state if a regulariser acts on it.
    fn start(&mut self, steps: usize, last: usize, direct: bool) {
        let top = self.layers.len() - 1;
        let mut above = last + 1;
        for (l, layer) in self.layers.iter_mut().enumerate().rev() {
            layer.start = if layer.constant_active { steps - 1 } else { above.saturating_sub(1) };
            if l == top || !direct {
                above = layer.start;
            }
            layer.s.copy_from_slice(&layer.constant);
            layer.q.fill(F::zero());
            layer.i.fill(F::zero());
        }
    }
}

/// Adds the gradient of one sample whose forward pass is in `trace`. `last` is the last state whose
/// readout has an adjoint; `measured` is empty without an observation. With `feedback`, one matrix
/// `[class, unit padded]` for every hidden layer, the error of the readout reaches each hidden layer
/// through it alone, and none travels along recurrent weights.
#[allow(clippy::too_many_arguments, reason = "what a sample consists of")]
pub(super) fn backward<F: Real>(
    network: &Compiled<F>,
    trace: &Trace<F>,
    adjoints: &mut Adjoints<F>,
    gradients: &mut [LaneGradient<F>],
    input: Source<'_, F>,
    measured: &[LayerObservation<F>],
    last: usize,
    feedback: Option<&[Aligned<F>]>,
) {
    adjoints.start(network.steps, last, feedback.is_some());
    let first = adjoints.layers.iter().map(|layer| layer.start).max().unwrap_or(0);
    for t in (1..=first).rev() {
        for (index, layer) in network.layers.iter().enumerate() {
            let (below, rest) = adjoints.layers.split_at_mut(index);
            let Some(own) = rest.first_mut() else { return };
            if t > own.start {
                continue;
            }
            // A measured reset has no model behind it: it is detached.
            let detached =
                layer.detached() || measured.get(index).is_some_and(|m| m.spikes.is_some());
            let own_trace = &trace.layers[index];
            let row = t * layer.stride..(t + 1) * layer.stride;
            let direct = (!layer.spikes() && t <= last).then(|| &adjoints.readout[row.clone()]);
            step(layer, own_trace, own, &own_trace.v[row], t, detached, direct);
            let source = match index.checked_sub(1) {
                Some(below) => Source::Layer(&trace.layers[below]),
                None => input,
            };
            add_rows(&mut gradients[index].weights, &own.i, source.at(t - 1));
            if layer.recurrent.is_some() {
                add_rows(&mut gradients[index].recurrent, &own.i, own_trace.events(t - 1));
            }
            let error = &own.i[..layer.units];
            match feedback {
                None => {
                    if layer.recurrent.is_some() {
                        backproject(&mut own.s, &layer.recurrent_transposed, error);
                    }
                    if let Some(below) = below.last_mut() {
                        backproject(&mut below.s, &layer.transposed, error);
                    }
                }
                Some(feedback) if !layer.spikes() => {
                    for (hidden, matrix) in below.iter_mut().zip(feedback) {
                        backproject(&mut hidden.s, matrix, error);
                    }
                }
                Some(_) => {}
            }
        }
    }
}

/// Adjoints of membrane and current at state `t`; leaves in `s` the part of the adjoint of state
/// `t − 1` that comes from the layer itself.
fn step<F: Real>(
    layer: &CompiledLayer<F>,
    trace: &LayerTrace<F>,
    own: &mut LayerAdjoint<F>,
    v: &[F],
    t: usize,
    detached: bool,
    direct: Option<&[F]>,
) {
    if layer.current() == Current::Old {
        adjoint_current(&mut own.i, &own.q, &layer.alpha, &layer.scale);
    }
    if layer.spikes() {
        adjoint_membrane(&mut own.q, &own.s, v, &layer.threshold, &layer.beta, layer.surrogate());
        own.s.copy_from_slice(&own.constant);
        if !detached {
            through_reset(layer, trace, own, v, t);
        }
        let spiked = (t - 1).checked_sub(layer.reset_delay());
        if let (Reset::Multiplicative, Some(spiked)) = (layer.reset(), spiked) {
            let (ids, values) = trace.events(spiked);
            for (k, id) in ids.iter().enumerate() {
                own.q[usize::from(*id)] *= F::one() - values.get(k).copied().unwrap_or_else(F::one);
            }
        }
    } else if let Some(direct) = direct {
        adjoint_linear(&mut own.q, direct, &layer.beta);
    }
    if layer.current() == Current::New {
        adjoint_current(&mut own.i, &own.q, &layer.alpha, &layer.scale);
    }
}

/// `δS[t−1] −= θ δV[t]` or `P[t] δV[t]`: the gradient through a reset that is not detached.
fn through_reset<F: Real>(
    layer: &CompiledLayer<F>,
    trace: &LayerTrace<F>,
    own: &mut LayerAdjoint<F>,
    v: &[F],
    t: usize,
) {
    if layer.reset() == Reset::Subtractive {
        for ((s, q), th) in own.s.iter_mut().zip(own.q.iter()).zip(layer.threshold.iter()) {
            *s -= *th * *q;
        }
        return;
    }
    // Units without an event were not reset: their membrane is P. The others' P was kept.
    for ((s, q), v) in own.s.iter_mut().zip(own.q.iter()).zip(v) {
        *s -= *v * *q;
    }
    let (ids, _) = trace.events(t - 1);
    for (id, before) in ids.iter().zip(&trace.before_reset[trace.span(t - 1)]) {
        let unit = usize::from(*id);
        own.s[unit] -= (*before - v[unit]) * own.q[unit];
    }
}

fn add_rows<F: Real>(rows: &mut [F], adjoint: &[F], (ids, values): (&[u16], &[F])) {
    if ids.is_empty() {
        return;
    }
    if values.is_empty() {
        scatter(rows, adjoint, ids);
    } else {
        scatter_weighted(rows, adjoint, ids, values);
    }
}
