//! Learning in the device, in integers: rules that need at a synapse only what is there.
//!
//! That is a trace of its source, the membrane and the spikes of its neuron, and what the host says of its
//! neuron, as events. A rule runs over the record of one trial, tick by tick from rest; the membrane of a
//! tick is the one after it, which is the sample before the next. Common to all rules:
//!
//! ```text
//! z ← d z + arrivals            z̄ ← z̄ + k (z − z̄)        a source, as current and membrane
//! Σ                                                       a synapse, over one trial or several
//! update:  m ← max(|Σ|, keep · m)     w ← w + rate · Σ / m     Σ ← 0
//! ```
//!
//! The update is Adamax without momentum (Kingma & Ba 2015, β₁ = 0). What a rule makes of it:
//!
//! | rule | module |
//! |---|---|
//! | SuperSpike with fixed feedback (Zenke & Ganguli 2018) | [`superspike`] |
//! | local random readouts (DECOLLE; Kaiser, Mostafa & Neftci 2020) | [`local`] |
//! | target spikes (Muratore, Capone & Paolucci 2021) | [`target`] |
//!
//! Products with a factor are rounded towards zero, so that a trace of either sign fades to exactly
//! zero and a synapse without a gradient stays where it is. States saturate.

pub mod local;
pub mod superspike;
pub mod target;

use fixed::types::{I10F22, I16F16, U0F16};
use spikeloop_hal::SpikeEvent;
use spikeloop_hal::wire::{PlasticityRule, RuleKind};

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
    /// What it is told, before it acts on synapses: f, Σ G error, s*.
    fast: State,
    /// What its synapses take of it: f̄, −δ, s* − p.
    slow: State,
    /// It spiked in this tick.
    spiked: bool,
    /// How far its membrane would be from where it is, had it been reset by its targets, in 2⁻¹² codes.
    shift: i32,
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

impl Synapse {
    /// Leaves out what was gathered for the next update.
    pub fn forget(&mut self) {
        self.sum = 0;
    }
}

/// The numbers of a [`PlasticityRule`], with the types that they have here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    kind: RuleKind,
    own: bool,
    /// Input lines that are sources.
    pub inputs: usize,
    /// The last so many of them drive hidden neurons and outputs.
    shared: usize,
    /// First hidden neuron.
    pub hidden_first: u16,
    /// Hidden neurons.
    pub hidden: usize,
    /// First output neuron.
    pub output_first: u16,
    /// Output neurons.
    pub outputs: usize,
    /// Classes of the readouts.
    classes: usize,
    /// Events have addresses below it.
    pub addresses: u32,
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
            kind: rule.kind,
            own: rule.own,
            inputs: usize::from(rule.inputs),
            shared: usize::from(rule.shared),
            hidden_first: rule.hidden_first,
            hidden: usize::from(rule.hidden),
            output_first: rule.output_first,
            outputs: usize::from(rule.outputs),
            classes: usize::from(rule.classes),
            addresses: rule.addresses(),
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

    /// Whether `other` learns the same synapses by the same rule, with numbers of its own: what was
    /// learned can go on.
    #[must_use]
    pub fn goes_on(&self, other: &Self) -> bool {
        let shape = |rule: &Self| {
            (rule.kind, rule.own, rule.inputs, rule.shared, rule.hidden, rule.outputs, rule.classes)
        };
        let place = |rule: &Self| (rule.hidden_first, rule.output_first);
        shape(self) == shape(other) && place(self) == place(other)
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
            (self.inputs + self.outputs) * self.hidden + self.shared * self.outputs
        }
    }

    /// Where the synapses of a source begin, how many there are, and their first unit.
    #[must_use]
    pub fn row(&self, source: usize) -> (usize, usize, usize) {
        let (hidden, units) = (self.hidden, self.units());
        let plain = self.inputs - self.shared;
        if hidden == 0 {
            (source * self.outputs, self.outputs, 0)
        } else if source < plain {
            (source * hidden, hidden, 0)
        } else if source < self.inputs {
            (plain * hidden + (source - plain) * units, units, 0)
        } else {
            let before = self.inputs * hidden + self.shared * self.outputs;
            (before + (source - self.inputs) * self.outputs, self.outputs, hidden)
        }
    }

    /// Numbers of feedback.
    #[must_use]
    pub fn feedback(&self) -> usize {
        match self.kind {
            RuleKind::SuperSpike => self.hidden * self.outputs,
            RuleKind::LocalReadouts => self.classes * (self.units() + 2),
            RuleKind::TargetSpikes | RuleKind::Other(_) => 0,
        }
    }

    /// Whether it needs the membranes of a trial.
    #[must_use]
    pub fn reads_membranes(&self) -> bool {
        self.kind != RuleKind::TargetSpikes || self.slope != u32::from(PlasticityRule::STEP)
    }

    /// The neuron of a unit.
    #[must_use]
    pub fn neuron(&self, unit: usize) -> u16 {
        match unit.checked_sub(self.hidden) {
            None => self.hidden_first + unit as u16,
            Some(output) => self.output_first + output as u16,
        }
    }

    /// The unit of a neuron, if it is one.
    fn unit(&self, neuron: u16) -> Option<usize> {
        let within = |first: u16, count: usize| {
            neuron.checked_sub(first).map(usize::from).filter(|k| *k < count)
        };
        within(self.hidden_first, self.hidden)
            .or_else(|| within(self.output_first, self.outputs).map(|output| self.hidden + output))
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
    /// Membranes of the units `[tick, unit]`, each before its tick; none if the rule needs none.
    pub samples: &'a [u16],
    /// What teaches, in ascending order of time; what addresses mean is the rule's.
    pub events: &'a [SpikeEvent],
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
    /// As in the message, in 2⁻¹²; [`Rule::feedback`] numbers.
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
        match self.rule.kind {
            RuleKind::SuperSpike => self.superspike(record),
            RuleKind::LocalReadouts => self.local_readouts(record),
            RuleKind::TargetSpikes => self.target_spikes(record),
            // Not taken by any core.
            RuleKind::Other(_) => {}
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

    /// Marks the units that spiked in this tick; nobody has told them anything yet.
    fn mark(&mut self, spikes: &[SpikeEvent]) {
        for unit in self.units.iter_mut() {
            (unit.spiked, unit.fast) = (false, State::ZERO);
        }
        for event in spikes {
            if let Some(unit) = self.rule.unit(event.id) {
                self.units[unit].spiked = true;
            }
        }
    }

    /// `Σ ← Σ + slow z̄` at the synapses of sources that have a trace.
    fn credit(&mut self) {
        let sources = self.rule.sources();
        for (k, source) in self.sources.iter_mut().enumerate().take(sources) {
            if !source.live {
                continue;
            }
            source.live = source.fast != State::ZERO || source.slow != State::ZERO;
            let trace = i64::from(source.slow.to_bits());
            let (first, count, unit) = self.rule.row(k);
            let row = &mut self.synapses[first..first + count];
            for (synapse, unit) in row.iter_mut().zip(&self.units[unit..]) {
                if unit.slow != State::ZERO {
                    let term = i64::from(unit.slow.to_bits()) * trace;
                    synapse.sum = synapse.sum.saturating_add(term >> SUM_SHIFT);
                }
            }
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
