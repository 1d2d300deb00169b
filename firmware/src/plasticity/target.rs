//! Target spikes (LTTS; Muratore, Capone & Paolucci, PLoS ONE 2021).
//!
//! The host says when which unit should spike.
//!
//! ```text
//! U*(t) = U(t) + k' d(t−1)                      k' = 1 − k: the leak of a tick
//! p_i   = 1 / (1 + e^(−slope (U*_i − threshold)))
//! Σ_ij ← Σ_ij + (s*_i − p_i) e_ij               e_ij ← k' e_ij + k z_j, and 0 after a target of i
//! d(t)  = (reset if s*(t), else U*(t)) − U(t),  0 where the spike came that should
//! ```
//!
//! `e` is the published eligibility up to a constant factor that the update takes out, and `slope` is 1/δv.
//! The chip resets a neuron at its own spikes; a spike too many or too few would leave it in a state that
//! it is not in when all goes well. `d` undoes that: U* is the membrane of a neuron that is reset by its
//! targets, which forgets at each of them what came before. A spike says better than the sample after it,
//! which is one after the reset, where the membrane was: at the threshold, or beyond (p = 1) while d is 0.
//! `reset` is the first sample of the trial: the chip must reset to rest.
//!
//! With the slope [`STEP`](spikeloop_hal::wire::PlasticityRule::STEP) p is the spike itself, and e is cut at own spikes: the rule
//! that the paper calls spike-dependent. It needs no membranes, and cannot undo a reset.
//!
//! A target has the tick with which the chip would stamp the spike, which is the one at whose end the
//! membrane is above the threshold: z has the arrivals of that tick, and U is the sample before the next
//! one. The last tick has no sample after it and teaches nothing.
//!
//! Teacher forcing is the host's part: it plays the target spikes on input lines. Where line `j` is the
//! train of output `j` ([`own`](spikeloop_hal::wire::PlasticityRule::own)) no synapse from one to the other learns.

use super::{Factor, Learner, Record, Rule, SUM_SHIFT, State, Unit, of_tick, scale};

/// 2^(−k/16) in 2⁻³⁰.
const POWERS: [u32; 17] = [
    1_073_741_824,
    1_028_218_693,
    984_625_594,
    942_880_699,
    902_905_651,
    864_625_413,
    827_968_132,
    792_865_000,
    759_250_125,
    727_060_411,
    696_235_434,
    666_717_336,
    638_450_708,
    611_382_493,
    585_461_881,
    560_640_218,
    536_870_912,
];
/// log₂ e in 2⁻¹⁶.
const LOG2_E: u64 = 94_548;

/// `1 / (1 + e^(−x))` with x in 2⁻⁸: off by 10⁻⁴ at most. The power of two is interpolated between
/// sixteenths. A table of all codes in a smaller device.
fn logistic(x: i64) -> State {
    let t = (x.unsigned_abs() * LOG2_E) >> 8;
    let (whole, sixteenth, rest) = (t >> 16, (t >> 12) as usize & 15, t & 0xFFF);
    let (high, low) = (u64::from(POWERS[sixteenth]), u64::from(POWERS[sixteenth + 1]));
    let power = high - (((high - low) * rest) >> 12);
    // e^(−|x|) in 2⁻³⁰.
    let e = if whole < 31 { power >> whole } else { 0 };
    let above = (1u64 << (30 + State::FRAC_NBITS)) / ((1 << 30) + e);
    let above = State::from_bits(above as i32);
    if x < 0 { State::ONE - above } else { above }
}

/// Fraction bits of membranes that are not samples.
const FINE: u32 = 12;

impl Rule {
    /// p for a membrane in 2⁻¹² codes.
    fn escape(&self, membrane: i64) -> State {
        let above = membrane - (i64::from(self.threshold) << FINE);
        logistic((i64::from(self.slope) * above) >> FINE)
    }

    /// What the synapses of a unit take of it, `s* − p`, from its sample after the tick; moves the shift on.
    fn residual(&self, unit: &mut Unit, code: u16, reset: u16) {
        let told = unit.fast == State::ONE;
        let [sample, reset, threshold] =
            [code, reset, self.threshold].map(|code| i64::from(code) << FINE);
        let carried =
            i64::from(unit.shift) * i64::from(self.stay.to_bits()) / (1 << Factor::FRAC_NBITS);
        let reached = carried + if unit.spiked { threshold } else { sample };
        let p = match unit.spiked && carried == 0 {
            true => State::ONE,
            false => self.escape(reached),
        };
        unit.slow = unit.fast - p;
        let shift = match (told, unit.spiked) {
            (true, true) => 0,
            (true, false) => reset - sample,
            (false, _) => reached - sample,
        };
        unit.shift = shift.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    }
}

impl Learner<'_> {
    pub(super) fn target_spikes(&mut self, record: &Record<'_>) {
        let (mut inputs, mut arriving) = (record.inputs, record.spikes);
        let (mut spikes, mut targets) = (record.spikes, record.events);
        let (rule, units) = (self.rule, self.rule.units());
        for tick in 0..record.duration.saturating_sub(1) {
            self.arrivals(of_tick(&mut inputs, tick), &mut arriving, tick);
            self.mark(of_tick(&mut spikes, tick));
            for target in of_tick(&mut targets, tick) {
                if let Some(unit) = self.units.get_mut(usize::from(target.id)) {
                    unit.fast = State::ONE;
                }
            }
            if rule.reads_membranes() {
                let resets = &record.samples[..units];
                let codes = &record.samples[(tick as usize + 1) * units..][..units];
                for (unit, (code, reset)) in self.units.iter_mut().zip(codes.iter().zip(resets)) {
                    rule.residual(unit, *code, *reset);
                }
            } else {
                for unit in self.units.iter_mut() {
                    unit.slow = unit.fast - if unit.spiked { State::ONE } else { State::ZERO };
                }
            }
            self.credit_each(rule.reads_membranes());
        }
        if self.rule.own {
            for k in 0..self.rule.inputs.min(self.rule.outputs) {
                let (first, ..) = self.rule.row(k);
                self.synapses[first + k].sum = 0;
            }
        }
    }

    /// `Σ ← Σ + slow e` with an eligibility for each synapse, which ends at the targets, or at the spikes, of
    /// its unit.
    fn credit_each(&mut self, at_targets: bool) {
        let Rule { follow, stay, .. } = self.rule;
        let sources = self.rule.sources();
        for (k, source) in self.sources.iter_mut().enumerate().take(sources) {
            if !source.live {
                continue;
            }
            // The trace of a source is one that is never cut: it lasts longest.
            source.live = source.fast != State::ZERO || source.slow != State::ZERO;
            let arriving = scale(source.fast, follow);
            let (first, count, unit) = self.rule.row(k);
            let row = &mut self.synapses[first..first + count];
            for (synapse, unit) in row.iter_mut().zip(&self.units[unit..]) {
                synapse.slow = scale(synapse.slow, stay).saturating_add(arriving);
                if unit.slow != State::ZERO {
                    let term = i64::from(unit.slow.to_bits()) * i64::from(synapse.slow.to_bits());
                    synapse.sum = synapse.sum.saturating_add(term >> SUM_SHIFT);
                }
                let forgets = if at_targets { unit.fast == State::ONE } else { unit.spiked };
                if forgets {
                    synapse.slow = State::ZERO;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
