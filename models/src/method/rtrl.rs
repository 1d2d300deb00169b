//! Real-time recurrent learning (Williams & Zipser 1989): the exact gradient, carried forward in
//! time. An oracle for small networks.
//!
//! The derivative of every state with respect to every weight is a state itself. With `∂` for the
//! derivative by one weight, in the notation of [`layer`](crate::layer):
//!
//! ```text
//! ∂I[t+1] = α ∂I[t] + W ∂x[t] + R ∂S[t] + (x_i[t] or S_i[t] at the unit that the weight leads to)
//! ∂P[t+1] = β ∂V[t] + c ∂D                      D = I[t+1] (new) or I[t] (old)
//! ∂V[t+1] = (1 − S[t]) ∂P[t+1] − P[t+1] ∂S[t]   multiplicative (second term unless detached)
//!         | ∂P[t+1] − θ ∂S[t]                   subtractive    (second term unless detached)
//! ∂S[t]   = σ'(V[t] − θ) ∂V[t]
//! ∂L      = Σ_t Σ_k ∂L/∂O_k[t] ∂O_k[t] + regularisers
//! ```
//!
//! It visits states in the opposite order and through other sums than back-propagation, whose
//! gradient it must equal (1e-9 in `f64`, with the reset detached or not). Values come from the same
//! forward pass, measured or not. Memory O(units · weights), time O(units · fan-in · weights) a step:
//! for networks of some 20 units; larger ones are refused.

use super::bptt::backward::{Adjoints, LaneGradient};
use super::bptt::{Bptt, BpttConfig, Credit};
use super::{Chunk, Gradients, Method, Need, Outcomes, Requirements};
use crate::engine::{Compiled, CompiledLayer, Source, Trace};
use crate::error::{ModelError, Result};
use crate::layer::{Current, Reset, Wiring};
use crate::network::Network;
use crate::observation::{LayerObservation, Observation};
use crate::real::Real;

/// Largest number of (unit, weight) pairs: 1024 units · weights · 1024, some 100 MB for eight lanes
/// in `f32`.
const MOST_PAIRS: usize = 1 << 20;

/// The oracle as a method.
#[derive(Clone, Debug)]
pub struct Rtrl<F> {
    inner: Bptt<F>,
}

impl<F: Real> Rtrl<F> {
    /// Memory and checks for networks of the shape of `network`.
    ///
    /// # Errors
    /// As [`Bptt::new`]; a network that is too large.
    pub fn new(network: &Network<F>, config: BpttConfig) -> Result<Self> {
        if let Some(layer) = network.layers.iter().position(|l| l.spec.wiring == Wiring::Encoder) {
            let problem = "is an encoder, whose late reset this method does not know: use bptt";
            return Err(ModelError::Architecture { layer, problem });
        }
        let inner = Bptt::with_credit(network, config, Credit::Forward)?;
        let units: usize = network.layers.iter().map(|layer| layer.spec.units).sum();
        let (got, max) = (units * network.parameters(), MOST_PAIRS);
        if got > max {
            let what = "units times weights (real-time recurrent learning is an oracle for small networks)";
            return Err(ModelError::Size { what, got, max });
        }
        Ok(Self { inner })
    }
}

impl<F: Real> Method<F> for Rtrl<F> {
    fn requirements(&self) -> Requirements {
        Requirements {
            method: "rtrl",
            hidden_spikes: Need::Required,
            hidden_membranes: Need::Used,
            readout_membranes: Need::Used,
        }
    }

    fn begin(&mut self, network: &Network<F>) -> Result<()> {
        self.inner.begin(network)
    }

    fn accumulate(
        &mut self,
        chunk: &Chunk<'_>,
        observation: Option<&Observation<F>>,
    ) -> Result<&Outcomes> {
        self.inner.accumulate(chunk, observation)
    }

    fn finish(&mut self) -> Result<&Gradients<F>> {
        self.inner.finish()
    }
}

/// Derivatives of the states of one layer, `[unit][weight of the network]`.
#[derive(Clone, Debug)]
struct LayerSensitivity<F> {
    i: Vec<F>,
    v: Vec<F>,
    s: Vec<F>,
}

/// Derivatives of all states by all weights: feed-forward, then recurrent ones, layer by layer.
#[derive(Clone, Debug)]
pub(super) struct Sensitivities<F> {
    layers: Vec<LayerSensitivity<F>>,
    weights: usize,
    /// Of the loss.
    gradient: Vec<F>,
    current: Vec<F>,
}

/// Inputs of the layer at one step: units and what they sent (empty: 1 each).
type Events<'a, F> = (&'a [u16], &'a [F]);

impl<F: Real> Sensitivities<F> {
    pub(super) fn new(network: &Compiled<F>) -> Self {
        let mut pre = network.inputs;
        let mut weights = 0;
        for layer in &network.layers {
            let loops = if layer.recurrent.is_some() { layer.units } else { 0 };
            weights += (pre + loops) * layer.units;
            pre = layer.units;
        }
        let layers = network
            .layers
            .iter()
            .map(|layer| {
                let zeros = || vec![F::zero(); layer.units * weights];
                LayerSensitivity { i: zeros(), v: zeros(), s: zeros() }
            })
            .collect();
        let zeros = || vec![F::zero(); weights];
        Self { layers, weights, gradient: zeros(), current: zeros() }
    }

    /// Adds the gradient of one sample whose forward pass is in `trace`.
    #[allow(clippy::too_many_arguments, reason = "what a sample consists of")]
    pub(super) fn run(
        &mut self,
        network: &Compiled<F>,
        trace: &Trace<F>,
        adjoints: &Adjoints<F>,
        gradients: &mut [LaneGradient<F>],
        input: Source<'_, F>,
        measured: &[LayerObservation<F>],
        last: usize,
    ) {
        for layer in &mut self.layers {
            [&mut layer.i, &mut layer.v, &mut layer.s].into_iter().for_each(|a| a.fill(F::zero()));
        }
        self.gradient.fill(F::zero());
        for t in 0..network.steps - 1 {
            let mut first = self.weights;
            // From the top: a layer needs ∂S of this state from the one below.
            for (l, layer) in network.layers.iter().enumerate().rev() {
                let source = match l.checked_sub(1) {
                    Some(below) => Source::Layer(&trace.layers[below]),
                    None => input,
                };
                let pre = l.checked_sub(1).map_or(network.inputs, |b| network.layers[b].units);
                let loops = if layer.recurrent.is_some() { layer.units } else { 0 };
                first -= (pre + loops) * layer.units;
                let offsets = [first, first + pre * layer.units];
                let detached =
                    layer.detached() || measured.get(l).is_some_and(|m| m.spikes.is_some());
                for unit in 0..layer.units {
                    let own = trace.layers[l].events(t);
                    self.advance_current(layer, l, unit, source.at(t), own, offsets);
                    self.advance_membrane(layer, l, unit, trace, t, detached);
                }
                self.spike(layer, l, &trace.layers[l].v[(t + 1) * layer.stride..]);
            }
            self.collect(network, adjoints, t + 1, last);
        }
        self.scatter(network, gradients);
    }

    /// Leaves `∂I[t + 1]` of a unit in `current`; the old one stays where it is.
    fn advance_current(
        &mut self,
        layer: &CompiledLayer<F>,
        l: usize,
        unit: usize,
        below: Events<'_, F>,
        own: Events<'_, F>,
        offsets: [usize; 2],
    ) {
        let n = self.weights;
        let old = &self.layers[l].i[unit * n..][..n];
        self.current.iter_mut().zip(old).for_each(|(c, i)| *c = layer.alpha[unit] * *i);
        if let Some(below) = l.checked_sub(1) {
            for (pre, s) in self.layers[below].s.chunks_exact(n).enumerate() {
                let w = layer.weights[pre * layer.stride + unit];
                self.current.iter_mut().zip(s).for_each(|(c, s)| *c += w * *s);
            }
        }
        if let Some(recurrent) = &layer.recurrent {
            for (pre, s) in self.layers[l].s.chunks_exact(n).enumerate() {
                let w = recurrent[pre * layer.stride + unit];
                self.current.iter_mut().zip(s).for_each(|(c, s)| *c += w * *s);
            }
        }
        let both = if layer.recurrent.is_some() { 2 } else { 1 };
        for ((ids, values), offset) in [below, own].into_iter().zip(offsets).take(both) {
            for (k, id) in ids.iter().enumerate() {
                let value = values.get(k).copied().unwrap_or_else(F::one);
                self.current[offset + usize::from(*id) * layer.units + unit] += value;
            }
        }
    }

    /// `∂V[t + 1]` of a unit, and `∂I[t + 1]` to its place.
    fn advance_membrane(
        &mut self,
        layer: &CompiledLayer<F>,
        l: usize,
        unit: usize,
        trace: &Trace<F>,
        t: usize,
        detached: bool,
    ) {
        let n = self.weights;
        let states = &mut self.layers[l];
        let own = unit * n..(unit + 1) * n;
        let (i, v, s) = (&mut states.i[own.clone()], &mut states.v[own.clone()], &states.s[own]);
        let trace = &trace.layers[l];
        let (ids, values) = trace.events(t);
        let event = ids.iter().position(|id| usize::from(*id) == unit);
        let sent = event.map_or(F::zero(), |k| values.get(k).copied().unwrap_or_else(F::one));
        let before = match event.and_then(|k| trace.before_reset.get(trace.span(t).start + k)) {
            Some(before) => *before,
            // Not reset: P is V.
            None => trace.v[(t + 1) * layer.stride + unit],
        };
        let (factor, reset) = match layer.reset() {
            Reset::None => (F::one(), F::zero()),
            Reset::Subtractive => (F::one(), layer.threshold[unit]),
            Reset::Multiplicative => (F::one() - sent, before),
        };
        let reset = if detached { F::zero() } else { reset };
        for (((v, i), s), new) in v.iter_mut().zip(i.iter_mut()).zip(s).zip(&self.current) {
            let drive = if layer.current() == Current::New { *new } else { *i };
            let next = layer.beta[unit] * *v + layer.scale[unit] * drive;
            *v = factor * next - reset * *s;
            *i = *new;
        }
    }

    /// `∂S` of the state whose membranes begin at `v`.
    fn spike(&mut self, layer: &CompiledLayer<F>, l: usize, v: &[F]) {
        if !layer.spikes() {
            return;
        }
        let n = self.weights;
        let states = &mut self.layers[l];
        for (unit, (s, dv)) in
            states.s.chunks_exact_mut(n).zip(states.v.chunks_exact(n)).enumerate()
        {
            let slope: F = layer.surrogate().derivative(v[unit] - layer.threshold[unit]);
            s.iter_mut().zip(dv).for_each(|(s, v)| *s = slope * *v);
        }
    }

    /// Adds what state `t` contributes to the loss.
    fn collect(&mut self, network: &Compiled<F>, adjoints: &Adjoints<F>, t: usize, last: usize) {
        let n = self.weights;
        for (l, layer) in network.layers.iter().enumerate() {
            let (slopes, states) = if layer.spikes() {
                (&adjoints.layers[l].constant[..layer.units], &self.layers[l].s)
            } else if t <= last {
                (&adjoints.readout[t * layer.stride..][..layer.units], &self.layers[l].v)
            } else {
                continue;
            };
            for (slope, state) in slopes.iter().zip(states.chunks_exact(n)) {
                if *slope != F::zero() {
                    self.gradient.iter_mut().zip(state).for_each(|(g, s)| *g += *slope * *s);
                }
            }
        }
    }

    /// Brings the gradient into rows of padded length.
    fn scatter(&self, network: &Compiled<F>, gradients: &mut [LaneGradient<F>]) {
        let mut rest = self.gradient.as_slice();
        let mut pre = network.inputs;
        for (layer, to) in network.layers.iter().zip(gradients) {
            let loops = if layer.recurrent.is_some() { layer.units } else { 0 };
            for (rows, to) in [(pre, &mut to.weights), (loops, &mut to.recurrent)] {
                let (own, others) = rest.split_at(rows * layer.units);
                for (to, from) in
                    to.chunks_exact_mut(layer.stride).zip(own.chunks_exact(layer.units))
                {
                    to.iter_mut().zip(from).for_each(|(to, g)| *to += *g);
                }
                rest = others;
            }
            pre = layer.units;
        }
    }
}

#[cfg(test)]
mod tests;
