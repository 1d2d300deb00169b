//! Softmax over minus the output times.
//!
//! `p = softmax(−t/ξ)` (the smallest time is subtracted first), `L = −ln p_label + c Σ t²` (Comsa et
//! al. 2019), so `∂L/∂t_k = (y_k − p_k)/ξ + 2ct_k`: the true neuron is pushed earlier, the others
//! later. An output that does not spike has p = 0 and no derivative.

use super::config::LearningConfig;

/// Loss of a sample whose true output does not spike: −ln 1e-8, the bound of the released code.
pub const LOSS_NO_SPIKE: f64 = 18.420_680_743_952_367;

/// Loss of the output times (infinite = no spike); writes its derivatives to `delta`, which is at
/// least as long as `times`.
pub(crate) fn loss(times: &[f64], label: u16, config: &LearningConfig, delta: &mut [f64]) -> f64 {
    let scale = 1.0 / config.loss_scale;
    let first = times.iter().copied().fold(f64::INFINITY, f64::min);
    if first.is_infinite() {
        return LOSS_NO_SPIKE;
    }
    let weight = |t: f64| libm::exp((first - t) * scale);
    let sum: f64 = times.iter().map(|t| weight(*t)).sum();
    let mut penalty = 0.0;
    for (k, (delta, &t)) in delta.iter_mut().zip(times).enumerate() {
        if t.is_finite() {
            let target = f64::from(u8::from(k == usize::from(label)));
            *delta = (target - weight(t) / sum) * scale + 2.0 * config.penalty_output_time * t;
            penalty += config.penalty_output_time * t * t;
        }
    }
    let own = times[usize::from(label)];
    let missed =
        if own.is_finite() { (own - first) * scale + libm::log(sum) } else { LOSS_NO_SPIKE };
    missed + penalty
}
