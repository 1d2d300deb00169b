//! Local random readouts (DECOLLE; Kaiser, Mostafa & Neftci 2020).
//!
//! Every layer has a fixed random readout of its own, and its error teaches the layer. The host sends the
//! class that is right from a tick on; before the first such event nothing is learned.
//!
//! ```text
//! r_k = Σ_i G_ki S_i + c_k                      a layer; S_i: unit i spiked in this tick
//! ε_k = clamp(r_k − y_k, −1, 1)                 the slope of the smooth L1 loss; y: 1 at the class
//! δ_i = σ'(U_i) Σ_k G_ki ε_k                    σ' = (1 + slope |U − threshold|)⁻², 1 at a spike
//! Σ_ij ← Σ_ij − δ_i z̄_j                         downhill
//! ```
//!
//! The sample after a spike is one after the reset, so that a unit that spiked counts as being at its
//! threshold. The last tick has no sample after it and teaches nothing. A bias that learns is a line that
//! spikes in every tick; a `shared` one is the bias of both layers. `r` is exact; a product with G is
//! rounded to 2⁻²². There is no dropout.

use super::{Learner, Record, State, of_tick, product};

impl Learner<'_> {
    /// Goes over a trial.
    pub(super) fn local_readouts(&mut self, record: &Record<'_>) {
        let (mut inputs, mut arriving) = (record.inputs, record.spikes);
        let (mut spikes, mut events) = (record.spikes, record.events);
        let units = self.rule.units();
        let mut class = None;
        for tick in 0..record.duration.saturating_sub(1) {
            self.arrivals(of_tick(&mut inputs, tick), &mut arriving, tick);
            let spiked = of_tick(&mut spikes, tick);
            if let Some(event) = of_tick(&mut events, tick).last() {
                class = Some(usize::from(event.id));
            }
            let Some(class) = class else { continue };
            self.mark(spiked);
            self.readout_errors(class);
            let codes = &record.samples[(tick as usize + 1) * units..][..units];
            for (unit, code) in self.units.iter_mut().zip(codes) {
                let surrogate = if unit.spiked { State::ONE } else { self.rule.surrogate(*code) };
                unit.slow = -product(surrogate, unit.fast);
            }
            self.credit();
        }
    }

    /// `Σ_k G_ki ε_k` of every unit, after [`mark`](Self::mark).
    fn readout_errors(&mut self, class: usize) {
        let (hidden, units) = (self.rule.hidden, self.rule.units());
        for (k, row) in self.feedback.chunks_exact(units + 2).enumerate() {
            let (weights, biases) = row.split_at(units);
            for (range, bias) in [0..hidden, hidden..units].into_iter().zip(biases) {
                let layer = &mut self.units[range.clone()];
                let weights = &weights[range];
                let spiking = layer.iter().zip(weights).filter(|(unit, _)| unit.spiked);
                let r: i64 = i64::from(*bias) + spiking.map(|(_, g)| i64::from(*g)).sum::<i64>();
                let target = if k == class { ONE } else { 0 };
                let error = (r - target).clamp(-ONE, ONE) as i32;
                for (unit, g) in layer.iter_mut().zip(weights) {
                    // 2⁻²⁴ to 2⁻²², towards zero; at most 2²⁷ before.
                    let term = State::from_bits(i32::from(*g) * error / 4);
                    unit.fast = unit.fast.saturating_add(term);
                }
            }
        }
    }
}

/// 1 in 2⁻¹².
const ONE: i64 = 1 << 12;

#[cfg(test)]
mod tests;
