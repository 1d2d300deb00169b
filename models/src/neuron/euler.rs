//! The forward-Euler reference neuron of SuperSpike (Zenke & Ganguli 2018). One step, in this order:
//!
//! ```text
//! U += (dt/τ_m) (V_leak − U + I)
//! spike and U := V_leak  if U > θ and not refractory; refractory neurons stay at V_leak
//! I *= e^(−dt/τ_s)
//! I += w for every spike that arrives
//! ```
//!
//! The current is in mV (it already contains the resistance). Of first order in dt: its error halves
//! with the step. [`super::lif_exp`] is the same neuron with exact steps.

use serde::{Deserialize, Serialize};

use super::{fine, finite, not_negative, positive, steps};
use crate::error::Result;

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Euler {
    /// Membrane time constant τ_m, ms.
    pub tau_mem_ms: f64,
    /// Synaptic time constant τ_s, ms.
    pub tau_syn_ms: f64,
    /// Resting and reset potential, mV.
    pub v_leak_mv: f64,
    /// Threshold θ, mV.
    pub v_threshold_mv: f64,
    /// How long a spike holds the membrane at rest, ms.
    pub refractory_ms: f64,
    /// Step, ms.
    pub dt_ms: f64,
}

impl Default for Euler {
    /// As published: 10 ms, 5 ms, −60 mV, −50 mV, 5 ms, 0.1 ms.
    fn default() -> Self {
        Self {
            tau_mem_ms: 10.0,
            tau_syn_ms: 5.0,
            v_leak_mv: -60.0,
            v_threshold_mv: -50.0,
            refractory_ms: 5.0,
            dt_ms: 0.1,
        }
    }
}

/// A neuron that is being stepped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EulerNeuron {
    /// Membrane U, mV.
    pub v_mv: f64,
    /// Synaptic current I, mV.
    pub current_mv: f64,
    parameters: Euler,
    alpha: f64,
    slope: f64,
    refractory: usize,
    left: usize,
}

impl Euler {
    /// Checks every parameter.
    ///
    /// # Errors
    /// A time constant or step that is not positive, a step above the membrane time constant (forward
    /// Euler then overshoots), a threshold at or below rest.
    pub fn check(&self) -> Result<()> {
        positive("neuron.tau_mem_ms", self.tau_mem_ms)?;
        positive("neuron.tau_syn_ms", self.tau_syn_ms)?;
        positive("neuron.dt_ms", self.dt_ms)?;
        let stable = self.dt_ms <= self.tau_mem_ms;
        fine("neuron.dt_ms", self.dt_ms, stable, "it must not exceed neuron.tau_mem_ms")?;
        finite("neuron.v_leak_mv", self.v_leak_mv)?;
        let above = self.v_threshold_mv > self.v_leak_mv;
        fine("neuron.v_threshold_mv", self.v_threshold_mv, above, "it must lie above rest")?;
        not_negative("neuron.refractory_ms", self.refractory_ms)
    }

    /// A neuron at rest.
    ///
    /// # Errors
    /// Parameters out of range.
    pub fn neuron(&self) -> Result<EulerNeuron> {
        self.check()?;
        Ok(EulerNeuron {
            v_mv: self.v_leak_mv,
            current_mv: 0.0,
            parameters: *self,
            alpha: libm::exp(-self.dt_ms / self.tau_syn_ms),
            slope: self.dt_ms / self.tau_mem_ms,
            refractory: steps(self.refractory_ms, self.dt_ms),
            left: 0,
        })
    }
}

impl EulerNeuron {
    /// One step; `arriving_mv` is the sum of the weights of the spikes that arrive. Returns whether
    /// the neuron spikes.
    pub fn step(&mut self, arriving_mv: f64) -> bool {
        let rest = self.parameters.v_leak_mv;
        self.v_mv += self.slope * (rest - self.v_mv + self.current_mv);
        let mut spike = false;
        if self.left > 0 {
            self.left -= 1;
            self.v_mv = rest;
        } else if self.v_mv > self.parameters.v_threshold_mv {
            spike = true;
            self.v_mv = rest;
            self.left = self.refractory;
        }
        self.current_mv = self.current_mv * self.alpha + arriving_mv;
        spike
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Largest distance from the closed form of the response to one input of 10 mV.
    fn error(dt_ms: f64) -> f64 {
        let mut neuron = Euler { dt_ms, v_leak_mv: 0.0, v_threshold_mv: 1e9, ..Euler::default() }
            .neuron()
            .unwrap();
        neuron.current_mv = 10.0;
        (1..=(50.0 / dt_ms) as u32)
            .map(|k| {
                neuron.step(0.0);
                let t = f64::from(k) * dt_ms;
                (neuron.v_mv - 10.0 * ((-t / 10.0).exp() - (-t / 5.0).exp())).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_error_halves_with_the_step() {
        let errors = [0.4, 0.2, 0.1].map(error);
        assert!(errors[2] < 0.05 && errors[2] > 1e-4, "{errors:?}");
        for pair in errors.windows(2) {
            assert!((pair[0] / pair[1] - 2.0).abs() < 0.1, "{errors:?}");
        }
    }

    /// The published step by hand: U after two steps, the spike, the held membrane.
    #[test]
    fn the_order_of_a_step_is_the_published_one() {
        let mut neuron = Euler::default().neuron().unwrap();
        assert!(!neuron.step(1000.0));
        assert_eq!((neuron.v_mv, neuron.current_mv), (-60.0, 1000.0));
        assert!(!neuron.step(500.0));
        assert!((neuron.v_mv + 50.0).abs() < 1e-12, "U = −60 + 0.01·1000 is not above −50");
        assert!((neuron.current_mv - (1000.0 * (-0.02_f64).exp() + 500.0)).abs() < 1e-12);
        assert!(neuron.step(0.0));
        let silent = (0..50).filter(|_| neuron.step(0.0) || neuron.v_mv != -60.0).count();
        assert_eq!(silent, 0, "5 ms at rest");
        neuron.step(0.0);
        assert!(neuron.v_mv > -60.0);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Euler { dt_ms: 11.0, ..Euler::default() }.neuron().is_err());
        assert!(Euler { v_threshold_mv: f64::NAN, ..Euler::default() }.check().is_err());
        assert!(Euler { refractory_ms: -0.1, ..Euler::default() }.check().is_err());
    }
}
