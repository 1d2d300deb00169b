//! SuperSpike with fixed feedback (Zenke & Ganguli 2018).
//!
//! The host sends the errors of the outputs: a spike that was missing, a spike that should not have been.
//!
//! ```text
//! f ← d f + b · errors          f̄ ← f̄ + k (f − f̄)        a neuron; b = 1 at an output
//! e ← d e + σ'(U) z̄             ē ← ē + k (e − ē)        a synapse
//! Σ ← Σ + f̄ ē                   σ' = (1 + slope |U − threshold|)⁻²
//! ```
//!
//! The normaliser `m` of the update is the root of the published `v ← max(g², v e^(−t_b/τ))`, which so
//! needs no root. Not here: the heterosynaptic regulariser, and feedback that follows the weights.

use super::{Learner, Record, Rule, SUM_SHIFT, State, of_tick, product, scale};
use spikeloop_hal::SpikeEvent;

impl Learner<'_> {
    /// Goes over a trial.
    pub(super) fn superspike(&mut self, record: &Record<'_>) {
        let (mut inputs, mut spikes, mut errors) = (record.inputs, record.spikes, record.events);
        let units = self.rule.units();
        let last = (record.samples.len() / units.max(1)).saturating_sub(1);
        for tick in 0..record.duration {
            self.arrivals(of_tick(&mut inputs, tick), &mut spikes, tick);
            let at = (tick as usize + 1).min(last) * units;
            for (unit, code) in self.units.iter_mut().zip(&record.samples[at..]).take(units) {
                unit.surrogate = self.rule.surrogate(*code);
            }
            self.errors(of_tick(&mut errors, tick));
            self.eligibilities();
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

    fn eligibilities(&mut self) {
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
}
