//! Leaky integrate-and-fire with exponentially decaying synaptic currents.
//!
//! ```text
//! τ_s dI/dt = −I        τ_m dV/dt = −(V − V_leak) + R I        I += w at an input spike
//! I(t + dt) = α I(t)                                            α = e^(−dt/τ_s)
//! V(t + dt) = V_leak + β (V(t) − V_leak) + R p I(t)             β = e^(−dt/τ_m)
//! p = τ_s/(τ_m − τ_s) (β − α)
//!   = (dt/τ_m) β (1 − e^(−x))/x     with x = dt (1/τ_s − 1/τ_m)
//! ```
//!
//! The 2×2 propagator (Rotter & Diesmann 1999) is exact. Its second form has no difference of nearly
//! equal numbers and contains the limit τ_m = τ_s, `p = (dt/τ) e^(−dt/τ)`. Spikes lie on the grid.

use serde::{Deserialize, Serialize};

use super::passive::Passive;
use super::{fine, finite, not_negative, positive, steps};
use crate::error::Result;

/// What a spike does to the membrane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpikeReset {
    /// Puts it at the resting potential and holds it there for the refractory period. Currents go
    /// on and act afterwards.
    #[default]
    ToRest,
    /// Takes away the distance of the threshold from rest. During the refractory period the
    /// membrane goes on; it cannot spike.
    Subtractive,
}

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LifExp {
    /// Membrane below threshold.
    pub membrane: Passive,
    /// Synaptic time constant τ_s, ms.
    pub tau_syn_ms: f64,
    /// Threshold, mV: a membrane above it spikes.
    pub v_threshold_mv: f64,
    /// Refractory period, ms, rounded to steps.
    pub refractory_ms: f64,
    /// What a spike does.
    pub reset: SpikeReset,
}

impl Default for LifExp {
    /// 10 ms, 5 ms, −50 mV, 5 ms (Zenke & Ganguli 2018).
    fn default() -> Self {
        Self {
            membrane: Passive::default(),
            tau_syn_ms: 5.0,
            v_threshold_mv: -50.0,
            refractory_ms: 5.0,
            reset: SpikeReset::ToRest,
        }
    }
}

/// What a neuron remembers from step to step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LifExpState {
    /// Membrane, mV.
    pub v_mv: f64,
    /// Synaptic current, nA.
    pub current_na: f64,
    refractory_left: usize,
}

impl LifExp {
    /// Checks every parameter.
    ///
    /// # Errors
    /// A time constant that is not positive, a threshold at or below rest, a negative refractory
    /// period.
    pub fn check(&self) -> Result<()> {
        self.membrane.check()?;
        positive("neuron.tau_syn_ms", self.tau_syn_ms)?;
        finite("neuron.v_threshold_mv", self.v_threshold_mv)?;
        let above = self.v_threshold_mv > self.membrane.v_leak_mv;
        fine("neuron.v_threshold_mv", self.v_threshold_mv, above, "it must lie above rest")?;
        not_negative("neuron.refractory_ms", self.refractory_ms)
    }

    /// At rest, without current.
    #[must_use]
    pub fn rest(&self) -> LifExpState {
        LifExpState { v_mv: self.membrane.v_leak_mv, current_na: 0.0, refractory_left: 0 }
    }

    /// The step of `dt_ms`.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive.
    pub fn step(&self, dt_ms: f64) -> Result<LifExpStep> {
        self.check()?;
        positive("neuron.dt_ms", dt_ms)?;
        let beta = self.membrane.keep(dt_ms);
        let x = dt_ms * (1.0 / self.tau_syn_ms - 1.0 / self.membrane.tau_mem_ms);
        // (1 − e^(−x))/x, with its limit.
        let ratio = if x == 0.0 { 1.0 } else { -libm::expm1(-x) / x };
        Ok(LifExpStep {
            neuron: *self,
            alpha: libm::exp(-dt_ms / self.tau_syn_ms),
            beta,
            drive: self.membrane.r_mohm * dt_ms / self.membrane.tau_mem_ms * beta * ratio,
            refractory: steps(self.refractory_ms, dt_ms),
        })
    }

    /// Time of the peak of a postsynaptic potential after its spike, ms:
    /// `τ_m τ_s/(τ_m − τ_s) ln(τ_m/τ_s)`, or τ if both are equal.
    #[must_use]
    pub fn psp_peak_ms(&self) -> f64 {
        let (mem, syn) = (self.membrane.tau_mem_ms, self.tau_syn_ms);
        // ln(1 + y)/y with y = τ_m/τ_s − 1 stays exact near 0.
        let y = (mem - syn) / syn;
        if y == 0.0 { mem } else { mem * libm::log1p(y) / y }
    }
}

/// The exact propagator of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LifExpStep {
    neuron: LifExp,
    alpha: f64,
    beta: f64,
    drive: f64,
    refractory: usize,
}

impl LifExpStep {
    /// One step; `arriving_na` is the sum of the weights of the spikes that arrive at its end.
    /// Returns the membrane before a reset and whether the neuron spikes at the end of the step.
    pub fn advance(&self, state: &mut LifExpState, arriving_na: f64) -> (f64, bool) {
        let rest = self.neuron.membrane.v_leak_mv;
        let held = state.refractory_left > 0;
        state.refractory_left -= usize::from(held);
        if !(held && self.neuron.reset == SpikeReset::ToRest) {
            state.v_mv = rest + self.beta * (state.v_mv - rest) + self.drive * state.current_na;
        }
        state.current_na = self.alpha * state.current_na + arriving_na;
        let before = state.v_mv;
        let spike = !held && before > self.neuron.v_threshold_mv;
        if spike {
            state.refractory_left = self.refractory;
            state.v_mv = match self.neuron.reset {
                SpikeReset::ToRest => rest,
                SpikeReset::Subtractive => before - (self.neuron.v_threshold_mv - rest),
            };
        }
        (before, spike)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn quiet(tau_mem_ms: f64, tau_syn_ms: f64) -> LifExp {
        let membrane = Passive { tau_mem_ms, r_mohm: 1.0, v_leak_mv: 0.0 };
        LifExp { membrane, tau_syn_ms, v_threshold_mv: 1e9, ..LifExp::default() }
    }

    /// Response at `k dt` to one input of weight 1 at time 0.
    fn response(neuron: &LifExp, dt: f64, count: usize) -> Vec<f64> {
        let step = neuron.step(dt).unwrap();
        let mut state = LifExpState { current_na: 1.0, ..neuron.rest() };
        (0..count).map(|_| step.advance(&mut state, 0.0).0).collect()
    }

    #[test]
    fn responses_are_those_of_the_closed_form() {
        for (mem, syn) in [(10.0, 5.0), (5.0, 10.0), (20.0, 0.5), (10.0, 9.0)] {
            let got = response(&quiet(mem, syn), 0.1, 600);
            for (k, v) in got.iter().enumerate() {
                let t = 0.1 * (k + 1) as f64;
                let expected = syn / (mem - syn) * ((-t / mem).exp() - (-t / syn).exp());
                assert!((v - expected).abs() < 1e-12, "{mem}/{syn}, t = {t}: {v}, {expected}");
            }
        }
    }

    #[test]
    fn the_peak_of_10_and_5_ms_comes_after_6_93_ms() {
        let neuron = quiet(10.0, 5.0);
        let got = response(&neuron, 0.01, 2000);
        let top = (0..got.len()).max_by(|a, b| got[*a].total_cmp(&got[*b])).unwrap();
        let at = 0.01 * (top + 1) as f64;
        assert!((at - 6.93).abs() < 0.006, "{at}");
        assert!((neuron.psp_peak_ms() - 6.931_471_805_599_453).abs() < 1e-12);
        assert!((quiet(8.0, 8.0).psp_peak_ms() - 8.0).abs() < 1e-12);
    }

    /// τ_m = τ_s gives `t/τ e^(−t/τ)`, and so does, to first order, what is nearly equal.
    #[test]
    fn equal_time_constants_are_the_limit_of_nearly_equal_ones() {
        let equal = response(&quiet(7.0, 7.0), 0.1, 500);
        for (k, v) in equal.iter().enumerate() {
            let t = 0.1 * (k + 1) as f64;
            assert!((v - t / 7.0 * (-t / 7.0).exp()).abs() < 1e-13, "t = {t}");
        }
        for apart in [1e-3, 1e-6, 1e-9, 1e-12, 1e-15] {
            let near = response(&quiet(7.0, 7.0 * (1.0 + apart)), 0.1, 500);
            let worst = near.iter().zip(&equal).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < apart + 1e-13, "{apart}: {worst}");
        }
    }

    /// Residual current acts after a reset to rest; the refractory period holds the membrane.
    #[test]
    fn refractory_neurons_wait_at_rest() {
        let neuron = LifExp { tau_syn_ms: 1e6, ..LifExp::default() };
        let step = neuron.step(0.1).unwrap();
        let mut state = LifExpState { current_na: 0.15, ..neuron.rest() };
        let spikes: Vec<i32> = (0..1000).filter(|_| step.advance(&mut state, 0.0).1).collect();
        // 10 ln 3 = 10.99 ms to the threshold and 5 ms of waiting, on a grid of 0.1 ms.
        assert_eq!(spikes[0], 109);
        assert_eq!(spikes[1] - spikes[0], 160);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(LifExp { tau_syn_ms: -1.0, ..LifExp::default() }.step(0.1).is_err());
        let low = LifExp { v_threshold_mv: -60.0, ..LifExp::default() };
        assert!(low.check().unwrap_err().to_string().contains("above rest"));
        assert!(LifExp::default().step(f64::NAN).is_err());
    }
}
