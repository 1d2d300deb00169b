//! Target spikes (LTTS; Muratore, Capone & Paolucci, PLoS ONE 2021).
//!
//! The host says when which unit should spike.
//!
//! ```text
//! p_i = 1 if unit i spiked in this tick, otherwise 1 / (1 + e^(−slope (U_i − threshold)))
//! Σ_ij ← Σ_ij + (s*_i − p_i) z̄_j
//! ```
//!
//! `z̄` is the published eligibility e(t + 1), up to a constant factor that the update takes out, and
//! `slope` is 1/δv. With the slope [`STEP`](spikeloop_hal::wire::PlasticityRule::STEP) p is the spike itself: the rule that the
//! paper calls spike-dependent. It needs no membranes.
//!
//! A target has the tick with which the chip would stamp the spike, which is the one at whose end the
//! membrane is above the threshold: z̄ has the arrivals of that tick, and U is the sample before the next
//! one. The sample after a spike is one after the reset, hence the 1. The last tick has no sample after it
//! and teaches nothing.
//!
//! Teacher forcing is the host's part: it plays the target spikes on input lines. Where line `j` is the
//! train of output `j` ([`own`](spikeloop_hal::wire::PlasticityRule::own)) no synapse from one to the other learns.

use super::{Learner, Record, Rule, State, of_tick};

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

impl Rule {
    /// The probability that a unit without a spike escapes at `code`.
    fn escape(&self, code: u16) -> State {
        let above = i64::from(code) - i64::from(self.threshold);
        logistic(i64::from(self.slope) * above)
    }
}

impl Learner<'_> {
    /// Goes over a trial.
    pub(super) fn target_spikes(&mut self, record: &Record<'_>) {
        let (mut inputs, mut arriving) = (record.inputs, record.spikes);
        let (mut spikes, mut targets) = (record.spikes, record.events);
        let units = self.rule.units();
        for tick in 0..record.duration.saturating_sub(1) {
            self.arrivals(of_tick(&mut inputs, tick), &mut arriving, tick);
            self.mark(of_tick(&mut spikes, tick));
            for target in of_tick(&mut targets, tick) {
                if let Some(unit) = self.units.get_mut(usize::from(target.id)) {
                    unit.fast = State::ONE;
                }
            }
            let codes = match self.rule.reads_membranes() {
                true => &record.samples[(tick as usize + 1) * units..][..units],
                false => &[],
            };
            let mut codes = codes.iter();
            for unit in self.units.iter_mut() {
                let escape = codes.next().map_or(State::ZERO, |code| self.rule.escape(*code));
                let p = if unit.spiked { State::ONE } else { escape };
                unit.slow = unit.fast - p;
            }
            self.credit();
        }
        if self.rule.own {
            for k in 0..self.rule.inputs.min(self.rule.outputs) {
                let (first, ..) = self.rule.row(k);
                self.synapses[first + k].sum = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests;
