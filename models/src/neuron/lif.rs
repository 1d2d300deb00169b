//! Leaky integrate-and-fire: a passive membrane that spikes at a threshold, is set to a reset
//! potential and stays there for a refractory period (Stein 1965).
//!
//! For a current that is constant within a step everything is exact, spike times included: from `V`
//! the threshold θ is reached after
//!
//! ```text
//! t = τ ln((V_∞ − V) / (V_∞ − θ))      if V_∞ > θ, otherwise never
//! rate = 1 / (t_ref + τ ln((V_∞ − V_reset) / (V_∞ − θ)))
//! ```

use serde::{Deserialize, Serialize};

use super::passive::Passive;
use super::{fine, finite, not_negative, positive};
use crate::error::Result;

/// Shortest interval between spikes, as a part of the step: what bounds the spikes of one step for
/// currents without measure.
const SHORTEST: f64 = 1e-6;

/// Parameters of a leaky integrate-and-fire neuron.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lif {
    /// Membrane below threshold.
    pub membrane: Passive,
    /// Threshold θ, mV.
    pub v_threshold_mv: f64,
    /// Where a spike puts the membrane, mV.
    pub v_reset_mv: f64,
    /// How long it stays there, ms.
    pub refractory_ms: f64,
}

impl Default for Lif {
    /// Threshold −50 mV, reset −60 mV, 5 ms (Zenke & Ganguli 2018).
    fn default() -> Self {
        Self {
            membrane: Passive::default(),
            v_threshold_mv: -50.0,
            v_reset_mv: -60.0,
            refractory_ms: 5.0,
        }
    }
}

/// What a neuron remembers from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LifState {
    /// Membrane, mV.
    pub v_mv: f64,
    /// Rest of the refractory period, ms.
    pub refractory_left_ms: f64,
}

impl Lif {
    /// Checks every parameter.
    ///
    /// # Errors
    /// Parameters of the membrane out of range, a reset at or above the threshold, a negative
    /// refractory period.
    pub fn check(&self) -> Result<()> {
        self.membrane.check()?;
        finite("neuron.v_threshold_mv", self.v_threshold_mv)?;
        let below = self.v_reset_mv < self.v_threshold_mv;
        fine("neuron.v_reset_mv", self.v_reset_mv, below, "it must lie below the threshold")?;
        not_negative("neuron.refractory_ms", self.refractory_ms)
    }

    /// At rest.
    #[must_use]
    pub fn rest(&self) -> LifState {
        LifState { v_mv: self.membrane.v_leak_mv, refractory_left_ms: 0.0 }
    }

    /// Time from `v_mv` to the threshold under a constant current, ms; `None` if it never comes.
    #[must_use]
    pub fn time_to_threshold(&self, v_mv: f64, current_na: f64) -> Option<f64> {
        let end = self.membrane.v_infinity(current_na);
        if v_mv > self.v_threshold_mv {
            return Some(0.0);
        }
        (end > self.v_threshold_mv).then(|| {
            self.membrane.tau_mem_ms * libm::log((end - v_mv) / (end - self.v_threshold_mv))
        })
    }

    /// Rate under a constant current, Hz.
    #[must_use]
    pub fn rate_hz(&self, current_na: f64) -> f64 {
        self.time_to_threshold(self.v_reset_mv, current_na)
            .map_or(0.0, |interval| 1e3 / (self.refractory_ms + interval))
    }

    /// One step of a constant current; `spike` hears of every spike, in ms after the beginning of
    /// the step. Intervals below a millionth of the step are taken as that.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive, a current that is not finite.
    pub fn advance(
        &self,
        state: &mut LifState,
        current_na: f64,
        dt_ms: f64,
        mut spike: impl FnMut(f64),
    ) -> Result<()> {
        self.check()?;
        positive("neuron.dt_ms", dt_ms)?;
        finite("current of a neuron in nA", current_na)?;
        let mut left = dt_ms;
        loop {
            let held = state.refractory_left_ms.min(left);
            state.refractory_left_ms -= held;
            left -= held;
            if left <= 0.0 {
                return Ok(());
            }
            let end = self.membrane.v_infinity(current_na);
            match self.time_to_threshold(state.v_mv, current_na) {
                Some(time) if time <= left => {
                    left -= time.max(SHORTEST * dt_ms);
                    spike(dt_ms - left.max(0.0));
                    *state =
                        LifState { v_mv: self.v_reset_mv, refractory_left_ms: self.refractory_ms };
                }
                _ => {
                    state.v_mv = end + (state.v_mv - end) * self.membrane.keep(left);
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn spikes(lif: &Lif, current: impl Fn(u32) -> f64, dt: f64, steps: u32) -> Vec<f64> {
        let (mut state, mut times) = (lif.rest(), vec![]);
        for k in 0..steps {
            let begin = f64::from(k) * dt;
            lif.advance(&mut state, current(k), dt, |t| times.push(begin + t)).unwrap();
        }
        times
    }

    /// By hand: `1000 / (t_ref + τ ln(RI / (RI − θ)))` with θ = 10 mV above rest.
    #[test]
    fn the_rate_is_that_of_the_closed_form() {
        for refractory_ms in [0.0, 2.0, 5.0] {
            let lif = Lif { refractory_ms, ..Lif::default() };
            for drive in [10.001, 11.0, 15.0, 40.0, 300.0] {
                let times = spikes(&lif, |_| drive / 100.0, 0.1, 20_000);
                let rate = 1e3 * (times.len() - 1) as f64 / (times[times.len() - 1] - times[0]);
                let expected = 1e3 / (refractory_ms + 10.0 * (drive / (drive - 10.0)).ln());
                assert!((rate / expected - 1.0).abs() < 1e-9, "RI {drive}: {rate}, {expected}");
                assert!((lif.rate_hz(drive / 100.0) / expected - 1.0).abs() < 1e-12);
            }
            assert_eq!(lif.rate_hz(0.0999), 0.0);
            assert!(spikes(&lif, |_| 0.0999, 0.1, 2000).is_empty());
        }
    }

    /// A current that changes on a coarse grid gives the spikes of a fine one.
    #[test]
    fn spike_times_do_not_depend_on_the_step() {
        let lif = Lif { refractory_ms: 1.7, ..Lif::default() };
        let drive = |slot: u32| 0.2 + 0.15 * f64::from(slot * 7919 % 13) / 13.0;
        let coarse = spikes(&lif, drive, 4.0, 200);
        let fine = spikes(&lif, |k| drive(k / 64), 4.0 / 64.0, 200 * 64);
        assert_eq!(coarse.len(), fine.len());
        assert!(coarse.len() > 50);
        let worst = coarse.iter().zip(&fine).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-9, "{worst}");
    }

    #[test]
    fn runaway_currents_end_and_nonsense_is_refused() {
        let lif = Lif { refractory_ms: 0.0, ..Lif::default() };
        let (mut state, mut count) = (lif.rest(), 0);
        lif.advance(&mut state, 1e300, 0.1, |_| count += 1).unwrap();
        assert!((1..=1_000_001).contains(&count), "{count}");
        assert!(lif.advance(&mut state, f64::NAN, 0.1, |_| ()).is_err());
        let error = Lif { v_reset_mv: -50.0, ..lif }.check().unwrap_err().to_string();
        assert!(error.contains("neuron.v_reset_mv is -50"), "{error}");
        assert!(Lif { refractory_ms: -1.0, ..lif }.check().is_err());
    }
}
