//! The spike response model SRM0 (Gerstner & van Hemmen 1992): the potential from the times of all
//! spikes, without a state.
//!
//! ```text
//! u(t) = Σ_j w_j ε(t − t_j) + Σ η(t − t̂)
//! ε(s) = R τ_s/(τ_m − τ_s) (e^(−s/τ_m) − e^(−s/τ_s))       η(s) = −θ e^(−s/τ_m)
//! ```
//!
//! With these kernels it is [`super::lif_exp`] with the subtractive reset, the potential counted
//! from rest. It is *not* the same neuron as one that is reset to rest: there the residual current
//! acts on. Nothing is shared with the code of [`super::lif_exp`], so each checks the other. Work
//! per step grows with the number of spikes: this is a reference, not a simulator of networks.

use serde::{Deserialize, Serialize};

use super::{not_negative, positive, steps};
use crate::error::Result;

/// Parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Srm0 {
    /// Membrane time constant τ_m, ms.
    pub tau_mem_ms: f64,
    /// Synaptic time constant τ_s, ms.
    pub tau_syn_ms: f64,
    /// Input resistance R, MΩ.
    pub r_mohm: f64,
    /// Threshold θ above rest, mV.
    pub threshold_mv: f64,
    /// Time after a spike without another, ms, rounded to steps.
    pub refractory_ms: f64,
}

impl Default for Srm0 {
    /// 10 ms, 5 ms, 10 mV above rest (Zenke & Ganguli 2018), 100 MΩ, no absolute refractory period.
    fn default() -> Self {
        Self {
            tau_mem_ms: 10.0,
            tau_syn_ms: 5.0,
            r_mohm: 100.0,
            threshold_mv: 10.0,
            refractory_ms: 0.0,
        }
    }
}

/// An input spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputSpike {
    /// When, ms.
    pub time_ms: f64,
    /// Jump of the synaptic current, nA.
    pub weight_na: f64,
}

impl Srm0 {
    /// Checks every parameter.
    ///
    /// # Errors
    /// A number that is not positive, a negative refractory period.
    pub fn check(&self) -> Result<()> {
        positive("neuron.tau_mem_ms", self.tau_mem_ms)?;
        positive("neuron.tau_syn_ms", self.tau_syn_ms)?;
        positive("neuron.r_mohm", self.r_mohm)?;
        positive("neuron.threshold_mv", self.threshold_mv)?;
        not_negative("neuron.refractory_ms", self.refractory_ms)
    }

    /// ε: response to an input of 1 nA, mV, `since_ms` after it.
    #[must_use]
    pub fn epsilon(&self, since_ms: f64) -> f64 {
        if since_ms <= 0.0 {
            return 0.0;
        }
        let (a, b) = (1.0 / self.tau_mem_ms, 1.0 / self.tau_syn_ms);
        let half = 0.5 * since_ms * (b - a);
        // The difference of exponentials over τ_m − τ_s; near equality as a hyperbolic sine.
        let shape = if half.abs() < 1.0 {
            let sine = if half == 0.0 { 1.0 } else { libm::sinh(half) / half };
            since_ms * a * libm::exp(-0.5 * since_ms * (a + b)) * sine
        } else {
            (libm::exp(-since_ms * a) - libm::exp(-since_ms * b)) * self.tau_syn_ms
                / (self.tau_mem_ms - self.tau_syn_ms)
        };
        self.r_mohm * shape
    }

    /// η: what an own spike leaves behind, mV, `since_ms` after it.
    #[must_use]
    pub fn eta(&self, since_ms: f64) -> f64 {
        if since_ms < 0.0 {
            0.0
        } else {
            -self.threshold_mv * libm::exp(-since_ms / self.tau_mem_ms)
        }
    }

    /// Potential above rest at `time_ms`, mV, from all inputs and all own spikes before that time.
    #[must_use]
    pub fn potential(&self, time_ms: f64, inputs: &[InputSpike], spikes_ms: &[f64]) -> f64 {
        let inputs = inputs.iter().map(|s| s.weight_na * self.epsilon(time_ms - s.time_ms));
        let own = spikes_ms.iter().filter(|t| **t < time_ms).map(|t| self.eta(time_ms - t));
        inputs.sum::<f64>() + own.sum::<f64>()
    }

    /// Runs `count` steps of `dt_ms` after time 0 and returns the potential before a reset at the
    /// end of each, and the indices of the steps at whose end the neuron spikes.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive.
    pub fn run(
        &self,
        inputs: &[InputSpike],
        dt_ms: f64,
        count: usize,
    ) -> Result<(Vec<f64>, Vec<usize>)> {
        self.check()?;
        positive("neuron.dt_ms", dt_ms)?;
        let refractory = steps(self.refractory_ms, dt_ms);
        let (mut potentials, mut spikes, mut times) = (Vec::with_capacity(count), vec![], vec![]);
        for step in 0..count {
            let time = (step + 1) as f64 * dt_ms;
            let u = self.potential(time, inputs, &times);
            let free = spikes.last().is_none_or(|last| step > last + refractory);
            if free && u > self.threshold_mv {
                spikes.push(step);
                times.push(time);
            }
            potentials.push(u);
        }
        Ok((potentials, spikes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::lif_exp::{LifExp, SpikeReset};
    use super::super::passive::Passive;
    use super::*;
    use crate::random::{stream, uniform};

    const DT: f64 = 0.1;

    /// Weights that arrive at the end of each of 4000 steps.
    fn drive() -> Vec<f64> {
        let mut rng = stream(4, 0);
        (0..4000)
            .map(|_| if uniform(&mut rng) < 0.04 { 0.7 * uniform(&mut rng) - 0.1 } else { 0.0 })
            .collect()
    }

    fn both(neuron: Srm0, reset: SpikeReset) -> (Vec<f64>, Vec<usize>, Vec<f64>, Vec<usize>) {
        let drive = drive();
        let inputs: Vec<InputSpike> = drive
            .iter()
            .enumerate()
            .filter(|(_, w)| **w != 0.0)
            .map(|(k, w)| InputSpike { time_ms: (k + 1) as f64 * DT, weight_na: *w })
            .collect();
        let (potentials, spikes) = neuron.run(&inputs, DT, drive.len()).unwrap();
        let membrane =
            Passive { tau_mem_ms: neuron.tau_mem_ms, r_mohm: neuron.r_mohm, v_leak_mv: 0.0 };
        let twin = LifExp {
            membrane,
            tau_syn_ms: neuron.tau_syn_ms,
            v_threshold_mv: neuron.threshold_mv,
            refractory_ms: neuron.refractory_ms,
            reset,
        };
        let step = twin.step(DT).unwrap();
        let mut state = twin.rest();
        let (mut v, mut fired) = (vec![], vec![]);
        for (k, weight) in drive.iter().enumerate() {
            let (before, spike) = step.advance(&mut state, *weight);
            v.push(before);
            if spike {
                fired.push(k);
            }
        }
        (potentials, spikes, v, fired)
    }

    #[test]
    fn equals_the_integrator_with_subtractive_reset() {
        for (tau_mem_ms, tau_syn_ms, refractory_ms) in
            [(10.0, 5.0, 0.0), (10.0, 10.0, 0.0), (10.0, 10.000_001, 2.0), (4.0, 9.0, 1.0)]
        {
            let neuron = Srm0 { tau_mem_ms, tau_syn_ms, refractory_ms, ..Srm0::default() };
            let (u, spikes, v, fired) = both(neuron, SpikeReset::Subtractive);
            assert_eq!(spikes, fired);
            assert!(spikes.len() > 20, "{}", spikes.len());
            let worst = u.iter().zip(&v).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-10, "{tau_mem_ms}/{tau_syn_ms}: {worst}");
        }
    }

    #[test]
    fn differs_from_a_reset_to_rest() {
        let (u, _, v, _) = both(Srm0::default(), SpikeReset::ToRest);
        let worst = u.iter().zip(&v).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst > 1.0, "{worst}");
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Srm0 { threshold_mv: 0.0, ..Srm0::default() }.run(&[], DT, 1).is_err());
        assert!(Srm0::default().run(&[], 0.0, 1).is_err());
    }
}
