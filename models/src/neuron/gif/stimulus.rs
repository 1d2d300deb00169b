//! A fluctuating current for tests of neurons: an Ornstein–Uhlenbeck process whose standard
//! deviation swings slowly, as in the experiments of Pozzorini et al. (2015).
//!
//! ```text
//! I(t) = mean + σ(t) x(t)      σ(t) = std (1 + swing sin(2π f t))
//! x(t + dt) = x e^(−dt/τ) + √(1 − e^(−2dt/τ)) N(0, 1)
//! ```

use serde::{Deserialize, Serialize};

use super::super::{finite, not_negative, positive};
use crate::error::{ModelError, Result};
use crate::random::{normal, stream};

/// Stream of the generator that draws it.
const STREAM: u64 = 0x0a;

/// Parameters of the current.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stimulus {
    /// Mean, nA.
    pub mean_na: f64,
    /// Standard deviation, nA.
    pub std_na: f64,
    /// Correlation time τ, ms.
    pub tau_ms: f64,
    /// How far the standard deviation swings, as a part of it.
    pub swing: f64,
    /// Frequency of the swing, Hz.
    pub swing_hz: f64,
}

impl Default for Stimulus {
    /// τ = 3 ms and a swing of one half at 0.2 Hz; mean and standard deviation chosen here for some
    /// 10 spikes a second of the default neuron.
    fn default() -> Self {
        Self { mean_na: 0.15, std_na: 0.45, tau_ms: 3.0, swing: 0.5, swing_hz: 0.2 }
    }
}

impl Stimulus {
    /// `duration_ms` of it in samples of `dt_ms`, nA.
    ///
    /// # Errors
    /// Numbers out of range; no sample, or more than 10⁹.
    pub fn draw(&self, duration_ms: f64, dt_ms: f64, seed: u64) -> Result<Vec<f64>> {
        finite("task.mean_na", self.mean_na)?;
        not_negative("task.std_na", self.std_na)?;
        positive("task.tau_ms", self.tau_ms)?;
        not_negative("task.swing", self.swing)?;
        not_negative("task.swing_hz", self.swing_hz)?;
        positive("task.dt_ms", dt_ms)?;
        positive("task.duration_ms", duration_ms)?;
        let count = (duration_ms / dt_ms).round() as usize;
        if count == 0 || count > 1_000_000_000 {
            let what = "samples of a current, task.duration_ms / task.dt_ms,";
            return Err(ModelError::Size { what, got: count, max: 1_000_000_000 });
        }
        let mut rng = stream(seed, STREAM);
        let keep = libm::exp(-dt_ms / self.tau_ms);
        let kick = libm::sqrt(-libm::expm1(-2.0 * dt_ms / self.tau_ms));
        let mut x = normal(&mut rng);
        let turn = 2e-3 * std::f64::consts::PI * self.swing_hz * dt_ms;
        let sample = |k: usize| {
            let std = self.std_na * (1.0 + self.swing * libm::sin(turn * k as f64));
            let value = self.mean_na + std * x;
            x = x * keep + kick * normal(&mut rng);
            value
        };
        Ok((0..count).map(sample).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn moments_and_correlation_are_as_asked() {
        let stimulus = Stimulus { swing: 0.0, ..Stimulus::default() };
        let current = stimulus.draw(60_000.0, 0.5, 3).unwrap();
        let n = current.len() as f64;
        let mean = current.iter().sum::<f64>() / n;
        let moment = |lag: usize| {
            let pairs = current.iter().zip(&current[lag..]);
            pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n
        };
        // 60 s hold some 10 000 correlation times.
        assert!((mean - 0.15).abs() < 0.02, "{mean}");
        assert!((moment(0).sqrt() - 0.45).abs() < 0.02, "{}", moment(0).sqrt());
        assert!((moment(6) / moment(0) - (-1.0_f64).exp()).abs() < 0.03);
        assert_eq!(current, stimulus.draw(60_000.0, 0.5, 3).unwrap());
        assert!(stimulus.draw(0.1, 0.5, 3).is_err());
        assert!(Stimulus { tau_ms: 0.0, ..stimulus }.draw(10.0, 0.5, 3).is_err());
    }
}
