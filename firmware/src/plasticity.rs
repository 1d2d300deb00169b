//! Learning in the device: SuperSpike with fixed feedback, in integers.
//!
//! The rule (Zenke & Ganguli 2018) needs at a synapse what is there: a trace of its source, the
//! membrane of its neuron, and the error of its neuron, which the host sends as events. It runs over
//! the record of one trial, tick by tick from rest:
//!
//! ```text
//! z ← d z + arrivals            z̄ ← z̄ + k (z − z̄)        a source, as current and membrane
//! f ← d f + b · errors          f̄ ← f̄ + k (f − f̄)        a neuron; b = 1 at an output
//! e ← d e + σ'(U) z̄             ē ← ē + k (e − ē)        a synapse
//! Σ ← Σ + f̄ ē                   σ' = (1 + slope |U − threshold|)⁻²
//! update:  m ← max(|Σ|, keep · m)     w ← w + rate · Σ / m     Σ ← 0
//! ```
//!
//! `m` is the root of the published normaliser `v ← max(g², v e^(−t_b/τ))`, which so needs no root.
//! Products with a factor are rounded towards zero, so that a trace of either sign fades to exactly
//! zero and a synapse without a gradient stays where it is. States saturate.
//!
//! Not here: the heterosynaptic regulariser, and feedback that follows the weights.

use fixed::types::{I10F22, I16F16, U0F16};
use spikeloop_hal::SpikeEvent;
use spikeloop_hal::wire::PlasticityRule;

/// Traces, eligibilities, errors and surrogates.
pub type State = I10F22;
/// Factors below one.
pub type Factor = U0F16;
/// Weights in codes.
pub type Weight = I16F16;

/// Fraction bits that a product of two states loses before it is summed up.
const SUM_SHIFT: u32 = 16;

/// A neuron or input line that synapses start from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    fast: State,
    slow: State,
    /// Whether anything is left of it, here or in its synapses.
    live: bool,
}

/// A neuron that learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    surrogate: State,
    fast: State,
    slow: State,
}

/// What a synapse remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synapse {
    /// The weight in codes; the chip has it rounded.
    pub weight: Weight,
    fast: State,
    slow: State,
    sum: i64,
    normaliser: i64,
}

/// The numbers of a [`PlasticityRule`], with the types that they have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Input lines that are sources.
    pub inputs: usize,
    /// First hidden neuron.
    pub hidden_first: u16,
    /// Hidden neurons.
    pub hidden: usize,
    /// First output neuron.
    pub output_first: u16,
    /// Output neurons.
    pub outputs: usize,
    decay: Factor,
    follow: Factor,
    stay: Factor,
    keep: Factor,
    rate: Weight,
    slope: u32,
    threshold: u16,
    delay: u32,
    limit: Weight,
}

impl Rule {
    /// Takes the numbers of a message.
    #[must_use]
    pub fn new(rule: &PlasticityRule<'_>) -> Self {
        Self {
            inputs: usize::from(rule.inputs),
            hidden_first: rule.hidden_first,
            hidden: usize::from(rule.hidden),
            output_first: rule.output_first,
            outputs: usize::from(rule.outputs),
            decay: Factor::from_bits(rule.decay),
            follow: Factor::from_bits(rule.follow),
            stay: Factor::from_bits(0u16.wrapping_sub(rule.follow)),
            keep: Factor::from_bits(rule.keep),
            rate: Weight::from_bits(i32::from(rule.rate) << 8),
            slope: u32::from(rule.slope),
            threshold: rule.threshold,
            delay: u32::from(rule.delay),
            limit: Weight::from_num(rule.weight_limit),
        }
    }

    /// Sources: all inputs, then all hidden neurons.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.inputs + self.hidden
    }

    /// Neurons that learn: hidden, then outputs.
    #[must_use]
    pub fn units(&self) -> usize {
        self.hidden + self.outputs
    }

    /// Synapses: those of the inputs, row by row, then those of the hidden neurons.
    #[must_use]
    pub fn synapses(&self) -> usize {
        if self.hidden == 0 {
            self.inputs * self.outputs
        } else {
            self.inputs * self.hidden + self.hidden * self.outputs
        }
    }

    /// Where the synapses of a source begin, how many there are, and their first unit.
    #[must_use]
    pub fn row(&self, source: usize) -> (usize, usize, usize) {
        if self.hidden == 0 {
            (source * self.outputs, self.outputs, 0)
        } else if source < self.inputs {
            (source * self.hidden, self.hidden, 0)
        } else {
            let row = source - self.inputs;
            (self.inputs * self.hidden + row * self.outputs, self.outputs, self.hidden)
        }
    }

    /// The neuron of a unit.
    #[must_use]
    pub fn neuron(&self, unit: usize) -> u16 {
        match unit.checked_sub(self.hidden) {
            None => self.hidden_first + unit as u16,
            Some(output) => self.output_first + output as u16,
        }
    }

    /// `σ'` for a membrane of `code` converter steps. A table of all codes in a smaller device.
    #[must_use]
    pub fn surrogate(&self, code: u16) -> State {
        let h = 256 + u64::from(self.slope) * u64::from(code.abs_diff(self.threshold));
        // 1 / h² with h in 2⁻⁸.
        State::from_bits((((1 << 16) << State::FRAC_NBITS) / (h * h)) as i32)
    }
}

/// What a trial left behind.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Length in ticks.
    pub duration: u32,
    /// Input events in ascending order of time.
    pub inputs: &'a [SpikeEvent],
    /// Spikes of the neurons in ascending order of time.
    pub spikes: &'a [SpikeEvent],
    /// Membranes of the units `[tick, unit]`, each before its tick.
    pub samples: &'a [u16],
    /// Errors in ascending order of time; the address is twice the output, and one more for a spike
    /// that should not have been.
    pub errors: &'a [SpikeEvent],
}

/// The state of learning, in memory that somebody lends.
#[derive(Debug)]
pub struct Learner<'a> {
    /// The numbers.
    pub rule: Rule,
    /// At least [`Rule::sources`].
    pub sources: &'a mut [Source],
    /// At least [`Rule::units`].
    pub units: &'a mut [Unit],
    /// At least [`Rule::synapses`].
    pub synapses: &'a mut [Synapse],
    /// Feedback weights `[output, hidden]` in 2⁻¹².
    pub feedback: &'a [i16],
}

/// `x · factor`, towards zero.
fn scale(x: State, factor: Factor) -> State {
    let product = i64::from(x.to_bits()) * i64::from(factor.to_bits());
    State::from_bits((product / (1 << Factor::FRAC_NBITS)) as i32)
}

fn product(x: State, y: State) -> State {
    let product = i64::from(x.to_bits()) * i64::from(y.to_bits());
    let bits = product / (1 << State::FRAC_NBITS);
    State::from_bits(bits.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
}

/// The events of `tick` at the front of a list in ascending order of time.
fn of_tick<'a>(list: &mut &'a [SpikeEvent], tick: u32) -> &'a [SpikeEvent] {
    let count = list.iter().take_while(|event| event.tick <= tick).count();
    let (now, later) = list.split_at(count);
    *list = later;
    now
}

impl Learner<'_> {
    /// Adds what a trial says to the sums of all synapses.
    pub fn trial(&mut self, record: &Record<'_>) {
        self.rest();
        let (mut inputs, mut spikes, mut errors) = (record.inputs, record.spikes, record.errors);
        let units = self.rule.units();
        let last = (record.samples.len() / units.max(1)).saturating_sub(1);
        for tick in 0..record.duration {
            self.arrivals(of_tick(&mut inputs, tick), &mut spikes, tick);
            // The membrane after this tick is the sample before the next.
            let at = (tick as usize + 1).min(last) * units;
            for (unit, code) in self.units.iter_mut().zip(&record.samples[at..]).take(units) {
                unit.surrogate = self.rule.surrogate(*code);
            }
            self.errors(of_tick(&mut errors, tick));
            self.synapses();
        }
    }

    fn rest(&mut self) {
        self.sources.fill(Source::default());
        self.units.fill(Unit::default());
        for synapse in self.synapses.iter_mut() {
            (synapse.fast, synapse.slow) = (State::ZERO, State::ZERO);
        }
    }

    fn arrivals(&mut self, inputs: &[SpikeEvent], spikes: &mut &[SpikeEvent], tick: u32) {
        let Rule { decay, follow, stay, .. } = self.rule;
        for source in self.sources.iter_mut().filter(|source| source.live) {
            source.fast = scale(source.fast, decay);
        }
        let mut add = |source: usize| {
            if let Some(source) = self.sources.get_mut(source) {
                source.fast = source.fast.saturating_add(State::ONE);
                source.live = true;
            }
        };
        for event in inputs.iter().filter(|event| usize::from(event.id) < self.rule.inputs) {
            add(usize::from(event.id));
        }
        if let Some(sent) = tick.checked_sub(self.rule.delay) {
            for event in of_tick(spikes, sent) {
                let hidden = event.id.checked_sub(self.rule.hidden_first).map(usize::from);
                if let Some(k) = hidden.filter(|k| *k < self.rule.hidden) {
                    add(self.rule.inputs + k);
                }
            }
        }
        for source in self.sources.iter_mut().filter(|source| source.live) {
            source.slow = scale(source.slow, stay).saturating_add(scale(source.fast, follow));
        }
    }

    fn errors(&mut self, events: &[SpikeEvent]) {
        let Rule { decay, follow, stay, hidden, outputs, .. } = self.rule;
        for unit in self.units.iter_mut() {
            unit.fast = scale(unit.fast, decay);
        }
        for event in events {
            let (output, wrong) = (usize::from(event.id >> 1), event.id & 1 != 0);
            if output >= outputs {
                continue;
            }
            let signed = |x: State| if wrong { -x } else { x };
            if let Some(unit) = self.units.get_mut(hidden + output) {
                unit.fast = unit.fast.saturating_add(signed(State::ONE));
            }
            let row = self.feedback.iter().skip(output * hidden).take(hidden);
            for (unit, b) in self.units.iter_mut().zip(row) {
                let b = State::from_bits(i32::from(*b) << (State::FRAC_NBITS - 12));
                unit.fast = unit.fast.saturating_add(signed(b));
            }
        }
        for unit in self.units.iter_mut() {
            unit.slow = scale(unit.slow, stay).saturating_add(scale(unit.fast, follow));
        }
    }

    fn synapses(&mut self) {
        let Rule { decay, follow, stay, .. } = self.rule;
        let sources = self.rule.sources();
        for (k, source) in self.sources.iter_mut().enumerate().take(sources) {
            if !source.live {
                continue;
            }
            let (first, count, unit) = self.rule.row(k);
            let row = self.synapses.iter_mut().skip(first).take(count);
            let mut live = source.fast != State::ZERO || source.slow != State::ZERO;
            for (synapse, unit) in row.zip(&self.units[unit..]) {
                let input = product(unit.surrogate, source.slow);
                synapse.fast = scale(synapse.fast, decay).saturating_add(input);
                let moved = scale(synapse.fast, follow);
                synapse.slow = scale(synapse.slow, stay).saturating_add(moved);
                let term = i64::from(unit.slow.to_bits()) * i64::from(synapse.slow.to_bits());
                synapse.sum = synapse.sum.saturating_add(term >> SUM_SHIFT);
                live |= synapse.fast != State::ZERO || synapse.slow != State::ZERO;
            }
            source.live = live;
        }
    }

    /// The update: every weight moves by its normalised sum.
    pub fn update(&mut self) {
        let count = self.rule.synapses();
        for synapse in self.synapses.iter_mut().take(count) {
            let g = core::mem::take(&mut synapse.sum);
            // Half of what fits, so that the fraction below does.
            let g = g.clamp(-(1 << 46), 1 << 46);
            let faded = (synapse.normaliser >> 16) * i64::from(self.rule.keep.to_bits())
                + (((synapse.normaliser & 0xFFFF) * i64::from(self.rule.keep.to_bits())) >> 16);
            synapse.normaliser = faded.max(g.abs());
            if g != 0 {
                let share = (g << 16) / synapse.normaliser;
                let step = (i64::from(self.rule.rate.to_bits()) * share) / (1 << 16);
                let moved = synapse.weight.saturating_add(Weight::from_bits(step as i32));
                synapse.weight = moved.clamp(-self.rule.limit, self.rule.limit);
            }
        }
    }

    /// The code nearest to a weight.
    #[must_use]
    pub fn code(weight: Weight) -> i8 {
        weight.round().saturating_to_num::<i8>()
    }
}

#[cfg(test)]
mod tests;
