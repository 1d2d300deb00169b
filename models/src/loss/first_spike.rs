//! Losses on the times of first spikes of output neurons, one a class, for methods whose gradients
//! are those of spike times.
//!
//! ```text
//! cross-entropy    p = softmax(−t/τ)    L = −ln p_y              ∂L/∂t_k = ([k = y] − p_k)/τ
//! shift-invariant  e_k = t_k − t_y − [k ≠ y] Δ    L = ½ Σ_k e_k²   ∂L/∂t_k = e_k, ∂L/∂t_y = −Σ e_k
//! ```
//!
//! The first pushes the true neuron ahead of the others (Comsa et al. 2019; Göltz et al. 2021). The
//! second asks that every wrong neuron fires Δ after the true one, wherever that is (used on a chip
//! for Yin-Yang, Δ = 0.3 τ). A neuron without a spike (infinite time) is taken as spiking at the
//! finite time `no_spike`; as it has no time that could move, its slope is 0: the method has to give
//! it spikes by other means. NaN counts as no spike.

use crate::error::{ModelError, Result};

/// Loss on first spikes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FirstSpike {
    /// Softmax over −t.
    CrossEntropy {
        /// Scale of times τ, in the unit of the times.
        tau: f64,
        /// Time that stands for no spike.
        no_spike: f64,
    },
    /// Squared distances from the true neuron's time.
    ShiftInvariant {
        /// How much later the wrong neurons should fire, in the unit of the times.
        delay: f64,
        /// Time that stands for no spike.
        no_spike: f64,
    },
}

impl FirstSpike {
    /// Checks the parameters.
    ///
    /// # Errors
    /// A scale that is not positive, a time that is not finite.
    pub fn check(self) -> Result<()> {
        let (what, got, within, no_spike) = match self {
            Self::CrossEntropy { tau, no_spike } => ("loss.tau", tau, tau > 0.0, no_spike),
            Self::ShiftInvariant { delay, no_spike } => {
                ("loss.delay", delay, delay >= 0.0, no_spike)
            }
        };
        if !(got.is_finite() && within) {
            let must = "it must be positive (a delay may be 0)";
            return Err(ModelError::Parameter { what, got, must });
        }
        if !no_spike.is_finite() {
            let must = "it must be finite and later than every spike";
            return Err(ModelError::Parameter { what: "loss.no_spike", got: no_spike, must });
        }
        Ok(())
    }

    /// Loss of one sample; writes its slopes by `times` into `slopes`.
    ///
    /// # Errors
    /// Parameters out of range; a label beyond the neurons; slopes of another length.
    pub fn evaluate(self, times: &[f64], label: u16, slopes: &mut [f64]) -> Result<f64> {
        self.check()?;
        let (own, classes) = (usize::from(label), times.len());
        if own >= classes {
            return Err(ModelError::Label { sample: 0, label, classes });
        }
        if slopes.len() != classes {
            let (expected, got) = (classes, slopes.len());
            return Err(ModelError::Input { what: "slopes of spike times", expected, got });
        }
        let loss = match self {
            Self::CrossEntropy { tau, no_spike } => {
                cross_entropy(|k| or(times[k], no_spike), own, tau, slopes)
            }
            Self::ShiftInvariant { delay, no_spike } => {
                shift_invariant(|k| or(times[k], no_spike), own, delay, slopes)
            }
        };
        let silent = slopes.iter_mut().zip(times).filter(|(_, time)| !time.is_finite());
        silent.for_each(|(slope, _)| *slope = 0.0);
        Ok(loss)
    }
}

fn or(time: f64, no_spike: f64) -> f64 {
    if time.is_finite() { time } else { no_spike }
}

fn cross_entropy(time: impl Fn(usize) -> f64, own: usize, tau: f64, slopes: &mut [f64]) -> f64 {
    let first = (0..slopes.len()).map(&time).fold(f64::INFINITY, f64::min);
    let mut sum = 0.0;
    for (k, slope) in slopes.iter_mut().enumerate() {
        *slope = libm::exp(-(time(k) - first) / tau);
        sum += *slope;
    }
    slopes.iter_mut().for_each(|slope| *slope /= -sum * tau);
    slopes[own] += 1.0 / tau;
    libm::log(sum) + (time(own) - first) / tau
}

fn shift_invariant(time: impl Fn(usize) -> f64, own: usize, delay: f64, slopes: &mut [f64]) -> f64 {
    let (mut loss, mut back) = (0.0, 0.0);
    for (k, slope) in slopes.iter_mut().enumerate() {
        let error = if k == own { 0.0 } else { time(k) - time(own) - delay };
        loss += 0.5 * error * error;
        back += error;
        *slope = error;
    }
    slopes[own] = -back;
    loss
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const LOSSES: [FirstSpike; 2] = [
        FirstSpike::CrossEntropy { tau: 0.7, no_spike: 50.0 },
        FirstSpike::ShiftInvariant { delay: 0.3, no_spike: 50.0 },
    ];

    #[test]
    fn slopes_equal_central_differences() {
        let (times, h) = ([1.0, 0.4, 2.2, 1.1], 1e-6);
        for loss in LOSSES {
            for label in 0..4 {
                let mut slopes = [0.0; 4];
                loss.evaluate(&times, label, &mut slopes).unwrap();
                for k in 0..4 {
                    let at = |by: f64| {
                        let mut moved = times;
                        moved[k] += by;
                        loss.evaluate(&moved, label, &mut [0.0; 4]).unwrap()
                    };
                    let numeric = (at(h) - at(-h)) / (2.0 * h);
                    assert!((numeric - slopes[k]).abs() < 1e-8, "{loss:?}: {slopes:?}, {numeric}");
                }
                // A shift of all times changes nothing.
                assert!(slopes.iter().sum::<f64>().abs() < 1e-12);
            }
        }
    }

    #[test]
    fn values_by_hand() {
        let mut slopes = [0.0; 2];
        let equal = FirstSpike::CrossEntropy { tau: 1.0, no_spike: 9.0 };
        let value = equal.evaluate(&[3.0, 3.0], 0, &mut slopes).unwrap();
        assert!((value - 2.0_f64.ln()).abs() < 1e-15);
        assert_eq!(slopes, [0.5, -0.5], "the true neuron is pushed earlier");
        let shift = FirstSpike::ShiftInvariant { delay: 2.0, no_spike: 9.0 };
        assert_eq!(shift.evaluate(&[3.0, 4.0], 0, &mut slopes).unwrap(), 0.5);
        assert_eq!(slopes, [1.0, -1.0]);
    }

    #[test]
    fn silence_is_finite_and_does_not_move() {
        for loss in LOSSES {
            let mut slopes = [f64::NAN; 3];
            for label in 0..3 {
                let silent = [f64::INFINITY; 3];
                assert!(loss.evaluate(&silent, label, &mut slopes).unwrap().is_finite());
                assert_eq!(slopes, [0.0; 3]);
                let mixed = [1.0, f64::INFINITY, f64::NAN];
                assert!(loss.evaluate(&mixed, label, &mut slopes).unwrap().is_finite());
                assert_eq!(slopes[1..], [0.0; 2]);
            }
            assert!(loss.evaluate(&[1.0], 1, &mut [0.0]).is_err());
            assert!(loss.evaluate(&[1.0], 0, &mut []).is_err());
        }
        assert!(FirstSpike::CrossEntropy { tau: 0.0, no_spike: 1.0 }.check().is_err());
        assert!(
            FirstSpike::ShiftInvariant { delay: 0.0, no_spike: f64::INFINITY }.check().is_err()
        );
    }
}
