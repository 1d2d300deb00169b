//! The forward pass of one sample, layer by layer, with measured values where there are any.

use super::compiled::{Compiled, CompiledLayer};
use crate::kernel::aligned::Aligned;
use crate::kernel::dynamics::{decay, detect, membrane};
use crate::kernel::rows::{gather, gather_weighted};
use crate::layer::{Current, Reset};
use crate::observation::{LayerObservation, Observation};
use crate::random::{mix, unit_interval};
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// What a layer did during one sample; all memory is allocated once.
#[derive(Clone, Debug)]
pub(crate) struct LayerTrace<F> {
    /// Membranes `[state, unit padded]`.
    pub(crate) v: Aligned<F>,
    /// Current of the state being computed.
    i: Aligned<F>,
    /// Currents `[state, unit padded]`, empty unless recorded.
    pub(crate) currents: Aligned<F>,
    offsets: Vec<u32>,
    ids: Vec<u16>,
    /// Values of the smooth forward, parallel to `ids`; empty for spikes.
    values: Vec<F>,
    /// Next membranes before a multiplicative reset, parallel to `ids`; empty where not needed.
    pub(crate) before_reset: Vec<F>,
}

impl<F: Real> LayerTrace<F> {
    fn new(layer: &CompiledLayer<F>, steps: usize, record: bool) -> Self {
        let most = if layer.spikes() { steps * layer.units } else { 0 };
        let keep = !layer.detached() && layer.reset() == Reset::Multiplicative;
        Self {
            v: Aligned::zeros(steps * layer.stride),
            i: Aligned::zeros(layer.stride),
            currents: Aligned::zeros(if record { steps * layer.stride } else { 0 }),
            offsets: Vec::with_capacity(steps + 1),
            ids: Vec::with_capacity(most),
            values: Vec::with_capacity(if layer.smooth() { most } else { 0 }),
            before_reset: Vec::with_capacity(if keep { most } else { 0 }),
        }
    }

    /// Range in the event lists of the events of state `t`.
    pub(crate) fn span(&self, t: usize) -> std::ops::Range<usize> {
        self.offsets[t] as usize..self.offsets[t + 1] as usize
    }

    /// Units that sent something at state `t`, and what they sent (empty: 1 each).
    pub(crate) fn events(&self, t: usize) -> (&[u16], &[F]) {
        let span = self.span(t);
        let values = if self.values.is_empty() { &[] } else { &self.values[span.clone()] };
        (&self.ids[span], values)
    }

    /// Number of spikes of the sample; of a smooth forward, the whole number nearest to the sum of what was sent.
    pub(crate) fn total(&self) -> usize {
        match self.values.as_slice() {
            [] => self.ids.len(),
            // Negative sums, which some primitives have, become 0.
            values => values.iter().map(|v| v.wide()).sum::<f64>().round() as usize,
        }
    }

    /// Sum over time of what each unit sent.
    pub(crate) fn counts(&self, counts: &mut [f64]) {
        counts.fill(0.0);
        if self.values.is_empty() {
            self.ids.iter().for_each(|id| counts[usize::from(*id)] += 1.0);
        } else {
            self.ids
                .iter()
                .zip(&self.values)
                .for_each(|(id, s)| counts[usize::from(*id)] += s.wide());
        }
    }
}

/// What a network did during one sample.
#[derive(Clone, Debug)]
pub(crate) struct Trace<F> {
    pub(crate) layers: Vec<LayerTrace<F>>,
    /// Values of the input events of the sample; empty if all of them are 1.
    input: Vec<F>,
}

impl<F: Real> Trace<F> {
    pub(crate) fn new(network: &Compiled<F>, record: bool) -> Self {
        Self {
            layers: network
                .layers
                .iter()
                .map(|layer| LayerTrace::new(layer, network.steps, record))
                .collect(),
            input: Vec::new(),
        }
    }

    /// The input of the sample that was run last.
    pub(crate) fn input<'a>(&'a self, trains: &'a SpikeTrains, sample: usize) -> Source<'a, F> {
        Source::Trains(trains, sample, &self.input)
    }
}

/// Spikes that go into a layer.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a, F> {
    /// Input of a sample, and the values of its events.
    Trains(&'a SpikeTrains, usize, &'a [F]),
    /// A layer below.
    Layer(&'a LayerTrace<F>),
}

impl<'a, F: Real> Source<'a, F> {
    /// Units and values (empty: 1 each) of step `t`.
    #[inline]
    pub(crate) fn at(self, t: usize) -> (&'a [u16], &'a [F]) {
        match self {
            Source::Trains(trains, sample, []) => (trains.at(sample, t), &[]),
            Source::Trains(trains, sample, values) => {
                (trains.at(sample, t), &values[trains.span(sample, t)])
            }
            Source::Layer(layer) => layer.events(t),
        }
    }
}

/// Runs sample `sample` of `inputs` and of `observation`.
///
/// `at_threshold`: where only spikes were measured, put the membrane of a measured spike at the
/// threshold after it has served the next state. `key` names the sample where spikes are drawn.
pub(crate) fn forward<F: Real>(
    network: &Compiled<F>,
    trace: &mut Trace<F>,
    inputs: &SpikeTrains,
    sample: usize,
    observation: Option<&Observation<F>>,
    at_threshold: bool,
    key: u64,
) {
    let Trace { layers, input } = trace;
    input.clear();
    input.extend(inputs.values(sample).iter().map(|x| F::of(f64::from(*x))));
    for index in 0..network.layers.len() {
        let (below, rest) = layers.split_at_mut(index);
        let Some(own) = rest.first_mut() else { return };
        let source = below
            .last()
            .map_or(Source::Trains(inputs, sample, input), |layer| Source::Layer(layer));
        let layer = &network.layers[index];
        let measured = observation.and_then(|o| o.layers.get(index));
        own.offsets.clear();
        own.ids.clear();
        own.values.clear();
        own.before_reset.clear();
        match measured {
            Some(LayerObservation { spikes, membrane: Some(values) }) => {
                inject(layer, own, spikes.as_ref(), values, network.steps, sample);
            }
            _ => {
                let decides = match measured.and_then(|m| m.spikes.as_ref()) {
                    Some(spikes) => Decides::Chip(spikes, sample),
                    None => Decides::Model(mix(key, index as u64)),
                };
                simulate(layer, own, source, decides, network.steps, at_threshold);
            }
        }
    }
}

/// Takes membranes and spikes as measured.
fn inject<F: Real>(
    layer: &CompiledLayer<F>,
    own: &mut LayerTrace<F>,
    spikes: Option<&SpikeTrains>,
    membrane: &[F],
    steps: usize,
    sample: usize,
) {
    let measured = &membrane[sample * steps * layer.units..][..steps * layer.units];
    for (to, from) in own.v.chunks_exact_mut(layer.stride).zip(measured.chunks_exact(layer.units)) {
        to[..layer.units].copy_from_slice(from);
    }
    own.currents.fill(F::zero());
    own.offsets.push(0);
    for t in 0..steps {
        if let Some(spikes) = spikes {
            own.ids.extend_from_slice(spikes.at(sample, t));
        }
        own.offsets.push(own.ids.len() as u32);
    }
}

/// Who says when a layer spikes.
#[derive(Clone, Copy)]
enum Decides<'a> {
    /// Its model; the key is that of the sample and the layer, for spikes that are drawn.
    Model(u64),
    /// A chip, in this sample.
    Chip(&'a SpikeTrains, usize),
}

/// Computes the states of a layer; spikes of a chip reset it instead of its own.
fn simulate<F: Real>(
    layer: &CompiledLayer<F>,
    own: &mut LayerTrace<F>,
    source: Source<'_, F>,
    decides: Decides<'_>,
    steps: usize,
    at_threshold: bool,
) {
    let stride = layer.stride;
    own.i.fill(F::zero());
    own.v[..stride].copy_from_slice(&layer.initial);
    own.offsets.push(0);
    send(layer, own, 0, decides);
    for t in 0..steps {
        if let Some(record) = own.currents.get_mut(t * stride..(t + 1) * stride) {
            record.copy_from_slice(&own.i);
        }
        if t + 1 < steps {
            if layer.current() == Current::New {
                integrate(layer, own, source, t);
                leak(layer, own, t);
            } else {
                leak(layer, own, t);
                integrate(layer, own, source, t);
            }
            reset(layer, own, t);
            send(layer, own, t + 1, decides);
        }
        if at_threshold && matches!(decides, Decides::Chip(..)) {
            for k in own.span(t) {
                let unit = usize::from(own.ids[k]);
                own.v[t * stride + unit] = layer.threshold[unit];
            }
        }
    }
}

/// `I[t+1] = α I[t] + W x[t] + R S[t]`.
fn integrate<F: Real>(
    layer: &CompiledLayer<F>,
    own: &mut LayerTrace<F>,
    source: Source<'_, F>,
    t: usize,
) {
    decay(&mut own.i, &layer.alpha);
    let (ids, values) = source.at(t);
    add_rows(&mut own.i, &layer.weights, ids, values);
    if let Some(recurrent) = &layer.recurrent {
        let span = own.span(t);
        let values = if own.values.is_empty() { &[] } else { &own.values[span.clone()] };
        add_rows(&mut own.i, recurrent, &own.ids[span], values);
    }
}

fn add_rows<F: Real>(acc: &mut [F], rows: &[F], ids: &[u16], values: &[F]) {
    if ids.is_empty() {
        return;
    }
    if values.is_empty() {
        gather(acc, rows, ids);
    } else {
        gather_weighted(acc, rows, ids, values);
    }
}

/// The next membrane before its reset.
fn leak<F: Real>(layer: &CompiledLayer<F>, own: &mut LayerTrace<F>, t: usize) {
    let (now, next) = own.v[t * layer.stride..(t + 2) * layer.stride].split_at_mut(layer.stride);
    membrane(next, now, &own.i, &layer.beta, &layer.scale, &layer.offset);
}

/// What the events of state `t` (of an encoder, `t − 1`) do to the membrane of state `t + 1`.
fn reset<F: Real>(layer: &CompiledLayer<F>, own: &mut LayerTrace<F>, t: usize) {
    let Some(spiked) = t.checked_sub(layer.reset_delay()) else { return };
    let span = own.span(spiked);
    let next = &mut own.v[(t + 1) * layer.stride..(t + 2) * layer.stride];
    let sent = |k: usize| if own.values.is_empty() { F::one() } else { own.values[k] };
    match layer.reset() {
        Reset::None => {}
        Reset::Subtractive => {
            for k in span {
                let unit = usize::from(own.ids[k]);
                next[unit] -= layer.threshold[unit] * sent(k);
            }
        }
        Reset::Multiplicative => {
            for k in span {
                let unit = usize::from(own.ids[k]);
                if !layer.detached() {
                    own.before_reset.push(next[unit]);
                }
                next[unit] *= F::one() - sent(k);
            }
        }
    }
}

/// Appends what the layer sends at state `t`.
fn send<F: Real>(
    layer: &CompiledLayer<F>,
    own: &mut LayerTrace<F>,
    t: usize,
    decides: Decides<'_>,
) {
    if layer.spikes() {
        let v = &own.v[t * layer.stride..(t + 1) * layer.stride];
        match decides {
            Decides::Chip(spikes, sample) => own.ids.extend_from_slice(spikes.at(sample, t)),
            Decides::Model(_) if layer.smooth() => {
                for (unit, (v, threshold)) in
                    v.iter().zip(layer.threshold.iter()).take(layer.units).enumerate()
                {
                    own.ids.push(unit as u16);
                    // `Network::check` admits a smooth forward only with a primitive.
                    own.values
                        .push(layer.surrogate().primitive(*v - *threshold).unwrap_or_default());
                }
            }
            Decides::Model(key) if layer.sampled() => {
                let key = mix(key, t as u64);
                for (unit, (v, threshold)) in
                    v.iter().zip(layer.threshold.iter()).take(layer.units).enumerate()
                {
                    // `Network::check` admits drawn spikes only with a probability.
                    let p = layer.surrogate().escape_probability(*v - *threshold);
                    if unit_interval(mix(key, unit as u64)) <= p.unwrap_or_default().wide() {
                        own.ids.push(unit as u16);
                    }
                }
            }
            Decides::Model(_) => {
                let before = own.ids.len();
                own.ids.resize(before + layer.units, 0);
                let found = detect(v, &layer.threshold, &mut own.ids[before..]);
                own.ids.truncate(before + found);
            }
        }
    }
    own.offsets.push(own.ids.len() as u32);
}
