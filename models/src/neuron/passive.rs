//! The passive membrane (Lapicque 1907), `τ dV/dt = −(V − V_leak) + R I`.
//!
//! For a current that is constant within a step the solution is exact:
//!
//! ```text
//! V_∞ = V_leak + R I        V(t + dt) = V_∞ + (V(t) − V_∞) e^(−dt/τ)
//! ```
//!
//! After one τ of a constant current the membrane has gone 1 − 1/e = 63.2 % of its way.

use serde::{Deserialize, Serialize};

use super::{finite, positive};
use crate::error::Result;

/// Parameters of a passive membrane.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passive {
    /// Membrane time constant τ, ms.
    pub tau_mem_ms: f64,
    /// Input resistance R, MΩ.
    pub r_mohm: f64,
    /// Resting potential, mV.
    pub v_leak_mv: f64,
}

impl Default for Passive {
    /// τ = 10 ms and −60 mV, as in SuperSpike (Zenke & Ganguli 2018); 100 MΩ.
    fn default() -> Self {
        Self { tau_mem_ms: 10.0, r_mohm: 100.0, v_leak_mv: -60.0 }
    }
}

impl Passive {
    /// Checks every parameter.
    ///
    /// # Errors
    /// A time constant or resistance that is not positive, a potential that is not finite.
    pub fn check(&self) -> Result<()> {
        positive("neuron.tau_mem_ms", self.tau_mem_ms)?;
        positive("neuron.r_mohm", self.r_mohm)?;
        finite("neuron.v_leak_mv", self.v_leak_mv)
    }

    /// Where a constant current of `current_na` takes the membrane, mV.
    #[must_use]
    pub fn v_infinity(&self, current_na: f64) -> f64 {
        self.v_leak_mv + self.r_mohm * current_na
    }

    /// The step of `dt_ms`, for as many neurons and steps as wanted.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive.
    pub fn step(&self, dt_ms: f64) -> Result<PassiveStep> {
        self.check()?;
        positive("neuron.dt_ms", dt_ms)?;
        Ok(PassiveStep { membrane: *self, keep: self.keep(dt_ms) })
    }

    /// `e^(−t/τ)`.
    pub(super) fn keep(&self, time_ms: f64) -> f64 {
        libm::exp(-time_ms / self.tau_mem_ms)
    }
}

/// The exact propagator of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassiveStep {
    membrane: Passive,
    keep: f64,
}

impl PassiveStep {
    /// Membrane at the end of a step that begins at `v_mv` with a constant current.
    #[inline]
    #[must_use]
    pub fn next(&self, v_mv: f64, current_na: f64) -> f64 {
        let end = self.membrane.v_infinity(current_na);
        end + (v_mv - end) * self.keep
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up_to_the_closed_form() {
        let membrane = Passive { tau_mem_ms: 20.0, r_mohm: 80.0, v_leak_mv: -65.0 };
        let step = membrane.step(0.1).unwrap();
        // Two currents, one after the other: −65 + 80·0.2 = −49, then −65 − 8 = −73.
        let mut v = -65.0;
        for k in 1..=4000 {
            let second = k > 2000;
            v = step.next(v, if second { -0.1 } else { 0.2 });
            let t = f64::from(k) * 0.1;
            let first = |t: f64| -49.0 - 16.0 * (-t / 20.0).exp();
            let expected = if second {
                -73.0 + (first(200.0) + 73.0) * (-(t - 200.0) / 20.0).exp()
            } else {
                first(t)
            };
            assert!((v - expected).abs() < 1e-12, "t = {t}: {v} against {expected}");
        }
    }

    #[test]
    fn after_one_time_constant_it_has_gone_63_percent() {
        let membrane = Passive::default();
        let step = membrane.step(0.5).unwrap();
        let end = (0..20).fold(-60.0, |v, _| step.next(v, 0.1));
        assert!(((end + 60.0) / 10.0 - 0.632_120_558_828_557_7).abs() < 1e-12, "{end}");
    }

    #[test]
    fn nonsense_is_refused() {
        let bad = [
            Passive { tau_mem_ms: 0.0, ..Passive::default() },
            Passive { r_mohm: f64::NAN, ..Passive::default() },
            Passive { v_leak_mv: f64::INFINITY, ..Passive::default() },
        ];
        assert!(bad.iter().all(|b| b.step(0.1).is_err()));
        let error = Passive::default().step(-1.0).unwrap_err().to_string();
        assert!(error.contains("neuron.dt_ms is -1"), "{error}");
    }
}
