//! One sample going through the layers: its state has a fixed size, whatever the duration.

use super::config::DecolleConfig;
use super::kernel::{add, filter, refractory, rest, through_spike, traces, weighted};
use super::layer::Layer;
use crate::kernel::aligned::Aligned;
use crate::kernel::dynamics::detect;
use crate::kernel::rows::{gather, padded};
use crate::random::mix;
use crate::real::Real;
use crate::surrogate::Surrogate;

/// Below this a trace is 0; far below what could matter next to traces of order 1.
const TINY: f64 = 1e-30;

/// Numbers of the configuration, as the loops want them.
#[derive(Clone, Debug)]
pub(super) struct Constants<F> {
    alpha: F,
    beta: F,
    /// 1 − α.
    gain_p: F,
    /// (1 − β) gain.
    gain_q: F,
    alpha_refractory: F,
    /// (1 − α_r) w_rp.
    jump: F,
    tiny: F,
    /// Of 65 536; a unit whose hash is below it is dropped.
    dropped: u64,
    /// 1/(1 − dropout).
    keep: F,
    surrogate: Surrogate,
    triggered: bool,
    regularised: bool,
    /// 0, 1, …: rows of the transposed readout.
    pub(super) classes: Vec<u16>,
    /// Thresholds of the membranes.
    zeros: Aligned<F>,
}

impl<F: Real> Constants<F> {
    pub(super) fn new(config: &DecolleConfig, classes: usize, layers: &[Layer<F>]) -> Self {
        let longest =
            layers.iter().map(|l| l.geometry.len().max(padded(l.geometry.input.units()))).max();
        Self {
            alpha: F::of(config.alpha),
            beta: F::of(config.beta),
            gain_p: F::of(1.0 - config.alpha),
            gain_q: F::of((1.0 - config.beta) * config.gain),
            alpha_refractory: F::of(config.alpha_refractory),
            jump: F::of((1.0 - config.alpha_refractory) * config.refractory_weight),
            tiny: F::of(TINY),
            dropped: (config.dropout * 65536.0) as u64,
            keep: F::of(1.0 / (1.0 - config.dropout)),
            surrogate: config.surrogate,
            triggered: config.trigger.is_some(),
            regularised: config.regularisation > 0.0,
            classes: (0..classes as u16).collect(),
            zeros: Aligned::zeros(longest.unwrap_or(0)),
        }
    }
}

/// Where the membranes come from. Both are `W P`; the second filters after the weights, at a cost
/// proportional to the spikes, and holds while the weights do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membranes {
    /// Traces times weights.
    FromTraces,
    /// Weights times spikes, then filtered; `traces` are kept up as well if they are to teach.
    FromCurrents { traces: bool },
}

/// What a step teaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Teach {
    pub(super) label: u16,
    /// Of the dropout of this sample and step.
    pub(super) key: u64,
    /// 1/(samples · classes).
    pub(super) weight: f64,
}

/// State of one layer for one sample.
#[derive(Clone, Debug)]
pub(super) struct LayerState<F> {
    /// Synaptic and membrane traces of the units below, shared by all units of the layer.
    q: Aligned<F>,
    pub(super) p: Aligned<F>,
    /// The same after the weights.
    j: Aligned<F>,
    v: Aligned<F>,
    r: Aligned<F>,
    pub(super) u: Aligned<F>,
    /// Units below whose trace is not 0, and their traces.
    active: Vec<u16>,
    values: Vec<F>,
    /// Which membrane each unit was pooled from.
    pub(super) top: Vec<u32>,
    pub(super) spikes: Vec<u16>,
    /// Dropout of the readout's inputs, and those that are left.
    keep: Aligned<F>,
    kept: Vec<u16>,
    /// Local error of each unit.
    error: Aligned<F>,
    output: Aligned<F>,
    /// Steps at which each class had the largest output.
    votes: Vec<u32>,
    /// Sum of the losses of the steps.
    pub(super) loss: f64,
    /// Spikes since the start.
    pub(super) fired: u64,
    /// `Σ σ(U)` of this step, for the regulariser.
    pub(super) sigmoid: f64,
    /// Units that taught at this step.
    pub(super) triggered: usize,
}

impl<F: Real> LayerState<F> {
    fn new(layer: &Layer<F>, classes: usize) -> Self {
        let g = &layer.geometry;
        let (below, units) = (padded(g.input.units()), g.units.units());
        let unpadded = |i: usize| (i / g.units.channels * g.stride + i % g.units.channels) as u32;
        Self {
            q: Aligned::zeros(below),
            p: Aligned::zeros(below),
            j: Aligned::zeros(g.len()),
            v: Aligned::zeros(g.len()),
            r: Aligned::zeros(g.len()),
            u: Aligned::zeros(g.len()),
            active: vec![0; below],
            values: Vec::with_capacity(below),
            top: (0..units).map(unpadded).collect(),
            spikes: Vec::with_capacity(padded(units)),
            keep: Aligned::zeros(padded(units)),
            kept: Vec::with_capacity(padded(units)),
            error: Aligned::zeros(padded(units)),
            output: Aligned::zeros(padded(classes)),
            votes: vec![0; classes],
            loss: 0.0,
            fired: 0,
            sigmoid: 0.0,
            triggered: 0,
        }
    }

    fn clear(&mut self) {
        for array in [&mut self.q, &mut self.p, &mut self.j, &mut self.v, &mut self.r, &mut self.u]
        {
            array.fill(F::zero());
        }
        self.spikes.clear();
        self.votes.fill(0);
        (self.loss, self.fired) = (0.0, 0);
    }

    fn bytes(&self) -> usize {
        let numbers = [&self.q, &self.p, &self.j, &self.v, &self.r, &self.u]
            .into_iter()
            .chain([&self.keep, &self.error, &self.output])
            .map(|array| array.len())
            .sum::<usize>()
            + self.values.capacity();
        let short = self.active.capacity() + self.spikes.capacity() + self.kept.capacity();
        numbers * F::BYTES + 2 * short + 4 * (self.top.capacity() + self.votes.capacity())
    }

    /// One step of traces, membranes and spikes.
    fn advance(
        &mut self,
        layer: &Layer<F>,
        c: &Constants<F>,
        incoming: &[u16],
        membranes: Membranes,
    ) {
        if membranes != (Membranes::FromCurrents { traces: false }) {
            traces(&mut self.p, &mut self.q, c.alpha, c.gain_p, c.beta, c.tiny);
            incoming.iter().for_each(|id| self.q[usize::from(*id)] += c.gain_q);
        }
        refractory(&mut self.r, &self.u, c.alpha_refractory, c.jump);
        rest(&mut self.u, &self.r, &layer.bias);
        let g = &layer.geometry;
        if membranes == Membranes::FromTraces {
            let found = detect(&self.p, &c.zeros[..self.p.len()], &mut self.active);
            self.values.clear();
            self.values.extend(self.active[..found].iter().map(|id| self.p[usize::from(*id)]));
            g.propagate(&mut self.u, &layer.weights, &self.active[..found], Some(&self.values));
        } else {
            filter(&mut self.v, &mut self.j, c.alpha, c.gain_p * c.gain_q, c.beta);
            g.propagate(&mut self.j, &layer.weights, incoming, None);
            add(&mut self.u, &self.v);
        }
        self.fire(layer, c);
    }

    /// One step of the traces; the membranes are measured.
    pub(super) fn observe(&mut self, c: &Constants<F>, incoming: &[u16], membrane: &[F]) {
        traces(&mut self.p, &mut self.q, c.alpha, c.gain_p, c.beta, c.tiny);
        incoming.iter().for_each(|id| self.q[usize::from(*id)] += c.gain_q);
        self.u[..membrane.len()].copy_from_slice(membrane);
    }

    /// The spikes of a step, measured: in the order of the units, as simulated ones are.
    pub(super) fn take_spikes(&mut self, spikes: &[u16]) {
        self.spikes.clear();
        self.spikes.extend_from_slice(spikes);
        self.spikes.sort_unstable();
        self.fired += spikes.len() as u64;
    }

    /// Pools the membranes and finds the units above threshold.
    fn fire(&mut self, layer: &Layer<F>, c: &Constants<F>) {
        let g = &layer.geometry;
        if g.is_dense() {
            self.spikes.resize(self.u.len(), 0);
            let found = detect(&self.u, &c.zeros[..self.u.len()], &mut self.spikes);
            self.spikes.truncate(found);
        } else {
            if g.pool > 1 {
                self.pool(layer);
            }
            self.spikes.clear();
            for (unit, top) in self.top.iter().enumerate() {
                if self.u[*top as usize] > F::zero() {
                    self.spikes.push(unit as u16);
                }
            }
        }
        self.fired += self.spikes.len() as u64;
    }

    /// The first of the largest membranes of each block.
    fn pool(&mut self, layer: &Layer<F>) {
        let g = &layer.geometry;
        for (unit, top) in self.top.iter_mut().enumerate() {
            let (pixel, channel) = (unit / g.units.channels, unit % g.units.channels);
            let (y, x) = (pixel / g.units.width * g.pool, pixel % g.units.width * g.pool);
            let mut best = (y * g.membranes.width + x) * g.stride + channel;
            for k in 1..g.pool * g.pool {
                let pixel = (y + k / g.pool) * g.membranes.width + x + k % g.pool;
                let other = pixel * g.stride + channel;
                if self.u[other] > self.u[best] {
                    best = other;
                }
            }
            *top = best as u32;
        }
    }

    /// Output of the readout for the spikes in `kept`, and a vote.
    fn read(&mut self, layer: &Layer<F>, scale: F) {
        self.output.fill(F::zero());
        gather(&mut self.output, &layer.readout, &self.kept);
        for (output, bias) in self.output.iter_mut().zip(layer.readout_bias.iter()) {
            *output = scale * *output + *bias;
        }
        let mut best = 0;
        for (class, output) in self.output[..self.votes.len()].iter().enumerate() {
            if *output > self.output[best] {
                best = class;
            }
        }
        self.votes[best] += 1;
    }

    /// A step without learning: all spikes count.
    fn judge(&mut self, layer: &Layer<F>) {
        self.kept.clear();
        self.kept.extend_from_slice(&self.spikes);
        self.read(layer, F::one());
    }

    /// Draws which spikes the readout does not see.
    fn drop_spikes(&mut self, c: &Constants<F>, key: u64) {
        for (block, keep) in self.keep.chunks_exact_mut(4).enumerate() {
            let bits = mix(key, block as u64);
            for (k, keep) in keep.iter_mut().enumerate() {
                let kept = (bits >> (16 * k)) & 0xFFFF >= c.dropped;
                *keep = if kept { c.keep } else { F::zero() };
            }
        }
        self.kept.clear();
        let keep = &self.keep;
        self.kept.extend(self.spikes.iter().filter(|id| keep[usize::from(**id)] > F::zero()));
    }

    /// Local error of a step: `delta = ∂L/∂U`.
    fn teach(&mut self, layer: &Layer<F>, c: &Constants<F>, teach: &Teach, delta: &mut [F]) {
        self.drop_spikes(c, teach.key);
        self.read(layer, c.keep);
        let classes = self.votes.len();
        for (class, output) in self.output[..classes].iter_mut().enumerate() {
            let target = if class == usize::from(teach.label) { F::one() } else { F::zero() };
            let d = *output - target;
            let a = d.abs().wide();
            self.loss += if a < 1.0 { 0.5 * a * a } else { a - 0.5 } / classes as f64;
            *output = d.max(-F::one()).min(F::one());
        }
        self.error.fill(F::zero());
        let length = self.error.len();
        weighted(&mut self.error, &layer.feedback, length, &c.classes, &self.output[..classes]);
        self.triggered = 0;
        if c.triggered {
            for error in self.error.iter_mut() {
                if error.abs() > layer.threshold {
                    self.triggered += 1;
                } else {
                    *error = F::zero();
                }
            }
        }
        let weight = F::of(teach.weight);
        self.error.iter_mut().zip(self.keep.iter()).for_each(|(e, keep)| *e *= *keep * weight);
        if layer.geometry.is_dense() {
            through_spike(delta, &self.u, &self.error, c.surrogate);
        } else {
            delta.fill(F::zero());
            for (top, error) in self.top.iter().zip(self.error.iter()) {
                let top = *top as usize;
                delta[top] = c.surrogate.derivative(self.u[top]) * *error;
            }
        }
        if c.regularised {
            let sigmoid = |u: f64| 1.0 / (1.0 + libm::exp(-u));
            self.sigmoid = self.top.iter().map(|k| sigmoid(self.u[*k as usize].wide())).sum();
        }
    }

    /// What the readout makes of a spike of `unit` at this step: 0 or 1/(1 − dropout).
    #[cfg(test)]
    pub(super) fn keep(&self, unit: usize) -> F {
        self.keep[unit]
    }

    /// The class with most votes, the first of them on a tie.
    pub(super) fn decision(&self) -> u16 {
        let mut best = 0;
        for (class, votes) in self.votes.iter().enumerate() {
            if *votes > self.votes[best] {
                best = class;
            }
        }
        best as u16
    }
}

/// State of all layers for one sample.
#[derive(Clone, Debug)]
pub(super) struct Sample<F> {
    pub(super) layers: Vec<LayerState<F>>,
}

impl<F: Real> Sample<F> {
    pub(super) fn new(layers: &[Layer<F>], classes: usize) -> Self {
        Self { layers: layers.iter().map(|layer| LayerState::new(layer, classes)).collect() }
    }

    pub(super) fn clear(&mut self) {
        self.layers.iter_mut().for_each(LayerState::clear);
    }

    pub(super) fn bytes(&self) -> usize {
        self.layers.iter().map(LayerState::bytes).sum()
    }

    /// One step of the first `layers.len()` layers. A spike passes all layers within the step.
    pub(super) fn advance(
        &mut self,
        layers: &[Layer<F>],
        c: &Constants<F>,
        input: &[u16],
        membranes: Membranes,
    ) {
        for (l, layer) in layers.iter().enumerate() {
            let (below, rest) = self.layers.split_at_mut(l);
            let Some(own) = rest.first_mut() else { return };
            let incoming = below.last().map_or(input, |below| &below.spikes);
            own.advance(layer, c, incoming, membranes);
        }
    }

    /// Votes of all layers, without dropout.
    pub(super) fn judge(&mut self, layers: &[Layer<F>]) {
        self.layers.iter_mut().zip(layers).for_each(|(own, layer)| own.judge(layer));
    }

    /// Votes, losses and `∂L/∂U` of all layers; `delta` holds one after the other.
    pub(super) fn teach(
        &mut self,
        layers: &[Layer<F>],
        c: &Constants<F>,
        teach: &Teach,
        delta: &mut [F],
    ) {
        let mut rest = delta;
        for (l, (own, layer)) in self.layers.iter_mut().zip(layers).enumerate() {
            let (part, others) = rest.split_at_mut(layer.geometry.len());
            let key = mix(teach.key, l as u64);
            own.teach(layer, c, &Teach { key, ..*teach }, part);
            rest = others;
        }
    }
}
