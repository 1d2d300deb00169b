//! The distance of van Rossum (2001) between two spike trains: both are filtered, and the squared
//! difference is summed over time. One spike too many or too few costs ½.
//!
//! ```text
//! D = 1/(2N) ∫ (κ ∗ (S − Ŝ))² dt      N = ∫ κ²
//! κ(t) = e^(−t/τ)                       or, with a rise time, e^(−t/τ) − e^(−t/τ_rise)
//! ```
//!
//! [`VanRossum::evaluate`] works on trains on a grid (any numbers, so that smooth spikes have a
//! loss), with the slope by every sample; N is the discrete sum, so the ½ is exact there as well,
//! except near the end, where κ is cut off. [`distance`] takes spike times, for the exponential
//! kernel, with the slope by every time.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// Kernel of the distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VanRossum {
    /// Decay of the kernel τ, ms.
    pub tau_ms: f64,
    /// Rise of the kernel, ms, shorter or longer than `tau_ms`; 0 for the plain exponential.
    /// SuperSpike uses 10 ms with a rise of 5 ms.
    #[serde(default)]
    pub rise_ms: f64,
}

impl VanRossum {
    /// Checks the time constants.
    ///
    /// # Errors
    /// A decay that is not positive, a rise that is negative or equal to the decay.
    pub fn check(&self) -> Result<()> {
        positive("loss.tau_ms", self.tau_ms)?;
        let (got, must) = (self.rise_ms, "it must not be negative or equal to loss.tau_ms");
        if got.is_finite() && got >= 0.0 && got != self.tau_ms {
            Ok(())
        } else {
            Err(ModelError::Parameter { what: "loss.rise_ms", got, must })
        }
    }

    /// Distance of `actual` from `target`, one sample per step of `dt_ms`; writes the slope by every
    /// sample of `actual` into `slopes`.
    ///
    /// # Errors
    /// Time constants out of range; lengths that differ.
    pub fn evaluate(
        &self,
        actual: &[f64],
        target: &[f64],
        dt_ms: f64,
        slopes: &mut [f64],
    ) -> Result<f64> {
        self.check()?;
        positive("dt_ms", dt_ms)?;
        for got in [target.len(), slopes.len()] {
            if got != actual.len() {
                let what = "samples of a spike train";
                return Err(ModelError::Input { what, expected: actual.len(), got });
            }
        }
        let decay = libm::exp(-dt_ms / self.tau_ms);
        // Without a rise the second exponential is 0 from the first sample on.
        let (rise, second) =
            if self.rise_ms > 0.0 { (libm::exp(-dt_ms / self.rise_ms), 1.0) } else { (0.0, 0.0) };
        let norm = 1.0 / (1.0 - decay * decay)
            + second * (1.0 / (1.0 - rise * rise) - 2.0 / (1.0 - decay * rise));
        let (mut a, mut b, mut sum) = (0.0, 0.0, 0.0);
        for ((actual, target), slope) in actual.iter().zip(target).zip(slopes.iter_mut()) {
            let difference = actual - target;
            a = a * decay + difference;
            b = b * rise + second * difference;
            *slope = (a - b) / norm;
            sum += (a - b) * (a - b);
        }
        // The slope is the filtered difference, filtered once more against time.
        let (mut a, mut b) = (0.0, 0.0);
        for slope in slopes.iter_mut().rev() {
            a = a * decay + *slope;
            b = b * rise + second * *slope;
            *slope = a - b;
        }
        Ok(0.5 * sum / norm)
    }
}

fn positive(what: &'static str, got: f64) -> Result<()> {
    if got.is_finite() && got > 0.0 {
        Ok(())
    } else {
        Err(ModelError::Parameter { what, got, must: "it must be positive" })
    }
}

/// Distance of the spikes at `actual_ms` from those at `target_ms` for the kernel `e^(−t/τ)` over
/// all time; writes the slope by every time of `actual_ms` into `slopes`. In closed form
/// `½ Σ_ij s_i s_j e^(−|t_i − t_j|/τ)` over all spikes, `s` = 1 for actual and −1 for target ones.
/// At equal times the slope of a pair is taken as 0.
///
/// # Errors
/// A time constant that is not positive; slopes of another length.
pub fn distance(
    actual_ms: &[f64],
    target_ms: &[f64],
    tau_ms: f64,
    slopes: &mut [f64],
) -> Result<f64> {
    positive("loss.tau_ms", tau_ms)?;
    if slopes.len() != actual_ms.len() {
        let (expected, got) = (actual_ms.len(), slopes.len());
        return Err(ModelError::Input { what: "slopes of spike times", expected, got });
    }
    let signed = || {
        let actual = actual_ms.iter().map(|t| (*t, 1.0));
        actual.chain(target_ms.iter().map(|t| (*t, -1.0)))
    };
    let mut sum = 0.0;
    for (i, (at, sign)) in signed().enumerate() {
        let mut slope = 0.0;
        for (other, its) in signed() {
            let apart = at - other;
            let term = sign * its * libm::exp(-apart.abs() / tau_ms);
            sum += 0.5 * term;
            if apart != 0.0 {
                slope -= term * apart.signum() / tau_ms;
            }
        }
        if let Some(out) = slopes.get_mut(i) {
            *out = slope;
        }
    }
    Ok(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const KERNELS: [VanRossum; 3] = [
        VanRossum { tau_ms: 10.0, rise_ms: 0.0 },
        VanRossum { tau_ms: 10.0, rise_ms: 5.0 },
        VanRossum { tau_ms: 4.0, rise_ms: 7.0 },
    ];

    #[test]
    fn one_missing_spike_costs_a_half() {
        let (mut target, mut slopes) = (vec![0.0; 4000], vec![0.0; 4000]);
        target[100] = 1.0;
        for kernel in KERNELS {
            let cost = kernel.evaluate(&[0.0; 4000], &target, 0.1, &mut slopes).unwrap();
            assert!((cost - 0.5).abs() < 1e-9, "{kernel:?}: {cost}");
        }
        assert!((distance(&[], &[3.0], 10.0, &mut []).unwrap() - 0.5).abs() < 1e-15);
        assert!((distance(&[3.0], &[3.0], 10.0, &mut [0.0]).unwrap()).abs() < 1e-15);
        // Far apart: one too many and one missing.
        assert!((distance(&[3.0], &[900.0], 10.0, &mut [0.0]).unwrap() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn slopes_equal_central_differences() {
        let actual: Vec<f64> = (0..60).map(|k| libm::sin(f64::from(k) * 1.3).max(0.0)).collect();
        let target: Vec<f64> = (0..60).map(|k| f64::from(u8::from(k % 13 == 5))).collect();
        let (mut slopes, mut unused) = (vec![0.0; 60], vec![0.0; 60]);
        let h = 1e-5;
        for kernel in KERNELS {
            kernel.evaluate(&actual, &target, 1.0, &mut slopes).unwrap();
            for (k, slope) in slopes.iter().enumerate() {
                let mut at = |by: f64| {
                    let mut moved = actual.clone();
                    moved[k] += by;
                    kernel.evaluate(&moved, &target, 1.0, &mut unused).unwrap()
                };
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                assert!((numeric - slope).abs() < 1e-8, "{kernel:?} {k}: {slope}, {numeric}");
            }
        }
        let (times, wanted) = ([1.0, 8.5, 20.0], [3.0, 8.0, 31.0, 40.0]);
        let mut slopes = [0.0; 3];
        distance(&times, &wanted, 10.0, &mut slopes).unwrap();
        for k in 0..3 {
            let at = |by: f64| {
                let mut moved = times;
                moved[k] += by;
                distance(&moved, &wanted, 10.0, &mut [0.0; 3]).unwrap()
            };
            let numeric = (at(h) - at(-h)) / (2.0 * h);
            assert!((numeric - slopes[k]).abs() < 1e-8, "{k}: {} against {numeric}", slopes[k]);
        }
    }

    /// The grid and the closed form agree for a fine grid.
    #[test]
    fn times_and_grids_agree() {
        let (times, wanted, dt) = ([10.0, 85.0, 200.0], [12.0, 80.0, 310.0], 0.01);
        let train = |times: &[f64]| {
            let mut train = vec![0.0; 50_000];
            times.iter().for_each(|t| train[(t / dt).round() as usize] += 1.0);
            train
        };
        let mut slopes = vec![0.0; 50_000];
        let grid = KERNELS[0].evaluate(&train(&times), &train(&wanted), dt, &mut slopes).unwrap();
        let closed = distance(&times, &wanted, 10.0, &mut [0.0; 3]).unwrap();
        assert!((grid - closed).abs() < 1e-6, "{grid} against {closed}");
    }

    #[test]
    fn nonsense_is_refused() {
        let equal = VanRossum { tau_ms: 5.0, rise_ms: 5.0 };
        assert!(equal.check().unwrap_err().to_string().contains("loss.rise_ms is 5"));
        assert!(VanRossum { tau_ms: 0.0, rise_ms: 0.0 }.check().is_err());
        assert!(KERNELS[0].evaluate(&[0.0], &[], 1.0, &mut [0.0]).is_err());
        assert!(distance(&[1.0], &[], 1.0, &mut []).is_err());
    }
}
