//! Losses on the output times.
//!
//! ```text
//! cross-entropy    p = softmax(−t/ξ)               L = −ln p_y       ∂L/∂t_k = ([k = y] − p_k)/ξ
//! shift-invariant  e_k = t_k − t_y − Δ, k ≠ y      L = ½ Σ_k e_k²    ∂L/∂t_k = e_k, ∂L/∂t_y = −Σ e_k
//! ```
//!
//! The first pushes the true neuron earlier and the others later (Comsa et al. 2019; the smallest time
//! is subtracted first), the second asks that every other one fires Δ after the true one. To both
//! `c Σ t²` is added. An output that does not spike has p = 0 and no error, and no derivative; other
//! methods have to give it spikes ([`LearningConfig::penalty_no_spike`]).

use super::config::{LearningConfig, TimeLoss};

/// Loss of a sample whose true output does not spike: −ln 1e-8, the bound of the released code.
pub const LOSS_NO_SPIKE: f64 = 18.420_680_743_952_367;

/// Loss of the output times (infinite = no spike); writes its derivatives to `delta`, which is at
/// least as long as `times` and 0 where there is no spike.
pub(crate) fn loss(times: &[f64], label: u16, config: &LearningConfig, delta: &mut [f64]) -> f64 {
    let first = times.iter().copied().fold(f64::INFINITY, f64::min);
    if first.is_infinite() {
        return LOSS_NO_SPIKE;
    }
    let label = usize::from(label);
    let missed = match config.loss {
        TimeLoss::CrossEntropy => {
            cross_entropy(times, label, first, 1.0 / config.loss_scale, delta)
        }
        TimeLoss::ShiftInvariant { delay } => shift_invariant(times, label, delay, delta),
    };
    let mut penalty = 0.0;
    for (delta, t) in delta.iter_mut().zip(times).filter(|(_, t)| t.is_finite()) {
        *delta += 2.0 * config.penalty_output_time * t;
        penalty += config.penalty_output_time * t * t;
    }
    missed + penalty
}

fn cross_entropy(times: &[f64], label: usize, first: f64, scale: f64, delta: &mut [f64]) -> f64 {
    let weight = |t: f64| libm::exp((first - t) * scale);
    let sum: f64 = times.iter().map(|t| weight(*t)).sum();
    for (k, (delta, &t)) in delta.iter_mut().zip(times).enumerate() {
        if t.is_finite() {
            let target = f64::from(u8::from(k == label));
            *delta = (target - weight(t) / sum) * scale;
        }
    }
    let own = times[label];
    if own.is_finite() { (own - first) * scale + libm::log(sum) } else { LOSS_NO_SPIKE }
}

fn shift_invariant(times: &[f64], label: usize, delay: f64, delta: &mut [f64]) -> f64 {
    let own = times[label];
    // Without the true spike there is nothing to be late for: the derivatives are 0.
    let error = |t: f64| if own.is_finite() { t - own - delay } else { 0.0 };
    let (mut sum, mut back) = (0.0, 0.0);
    for (k, (delta, &t)) in delta.iter_mut().zip(times).enumerate() {
        if k != label && t.is_finite() {
            *delta = error(t);
            sum += 0.5 * *delta * *delta;
            back += *delta;
        }
    }
    if own.is_infinite() {
        return LOSS_NO_SPIKE;
    }
    delta[label] = -back;
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [TimeLoss; 2] = [TimeLoss::CrossEntropy, TimeLoss::ShiftInvariant { delay: 0.3 }];

    fn with(loss: TimeLoss, penalty_output_time: f64) -> LearningConfig {
        LearningConfig { loss, penalty_output_time, loss_scale: 0.7, ..Default::default() }
    }

    #[test]
    fn derivatives_equal_central_differences() {
        let (times, h) = ([1.0, 0.4, 2.2, f64::INFINITY, 1.1], 1e-6);
        for config in LOSSES.map(|loss| [with(loss, 0.0), with(loss, 0.2)]).concat() {
            for label in [0, 1, 2, 4] {
                let mut slopes = [0.0; 5];
                loss(&times, label, &config, &mut slopes);
                for k in 0..5 {
                    let at = |by: f64| {
                        let mut moved = times;
                        moved[k] += by;
                        loss(&moved, label, &config, &mut [0.0; 5])
                    };
                    let numeric = (at(h) - at(-h)) / (2.0 * h);
                    assert!((numeric - slopes[k]).abs() < 1e-7, "{config:?}: {slopes:?} {numeric}");
                }
                // A shift of all times changes nothing but the penalty.
                let shifted: f64 = slopes.iter().sum();
                assert!(config.penalty_output_time > 0.0 || shifted.abs() < 1e-12);
            }
        }
    }

    #[test]
    fn values_by_hand() {
        let mut slopes = [0.0; 3];
        let config = with(TimeLoss::ShiftInvariant { delay: 2.0 }, 0.0);
        assert_eq!(loss(&[3.0, 4.0, f64::INFINITY], 0, &config, &mut slopes), 0.5);
        assert_eq!(slopes, [1.0, -1.0, 0.0], "the true one earlier, the other later");
        let config = LearningConfig::default();
        let value = loss(&[3.0, 3.0], 0, &config, &mut slopes);
        assert!((value - 2.0_f64.ln()).abs() < 1e-15);
        assert_eq!(slopes[..2], [0.5, -0.5]);
    }

    #[test]
    fn a_true_output_that_is_silent_has_a_finite_loss_and_moves_nothing_by_itself() {
        for config in LOSSES.map(|loss| with(loss, 0.0)) {
            let mut slopes = [0.0; 2];
            let silent = f64::INFINITY;
            assert_eq!(loss(&[silent, silent], 0, &config, &mut slopes), LOSS_NO_SPIKE);
            assert_eq!(slopes, [0.0; 2]);
            assert_eq!(loss(&[silent, 1.0], 0, &config, &mut slopes), LOSS_NO_SPIKE);
            assert_eq!(slopes[0], 0.0);
        }
    }
}
