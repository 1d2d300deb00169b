//! The distance of van Rossum (2001) between two spike trains: both are filtered, and the squared
//! difference is summed over time. One spike too many or too few costs ½.
//!
//! ```text
//! D = 1/τ ∫ (κ ∗ (S − Ŝ))² dt      κ(t) = e^(−t/τ), t ≥ 0
//!   = ½ Σ_ij s_i s_j e^(−|t_i − t_j|/τ)      over all spikes; s = 1 for actual, −1 for target ones
//! ```

/// Distance of the spikes at `actual_ms` from those at `target_ms`, over all time. `tau_ms` is how far
/// apart two spikes may be and still be nearly the same; it is positive.
#[must_use]
pub fn distance(actual_ms: &[f64], target_ms: &[f64], tau_ms: f64) -> f64 {
    let signed = || {
        let actual = actual_ms.iter().map(|t| (*t, 1.0));
        actual.chain(target_ms.iter().map(|t| (*t, -1.0)))
    };
    let pairs =
        signed().flat_map(|(at, sign)| signed().map(move |(other, s)| (at - other, sign * s)));
    pairs.map(|(apart, sign): (f64, f64)| 0.5 * sign * libm::exp(-apart.abs() / tau_ms)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_missing_spike_costs_a_half() {
        assert!((distance(&[], &[3.0], 10.0) - 0.5).abs() < 1e-15);
        assert!(distance(&[3.0], &[3.0], 10.0).abs() < 1e-15);
        // Far apart: one too many and one missing. Near: D = 1 − e^(−Δ/τ).
        assert!((distance(&[3.0], &[900.0], 10.0) - 1.0).abs() < 1e-15);
        assert!((distance(&[3.0], &[5.0], 10.0) - (1.0 - (-0.2_f64).exp())).abs() < 1e-15);
        assert_eq!(distance(&[], &[], 10.0), 0.0);
    }

    /// The integral itself, on a fine grid.
    #[test]
    fn it_is_the_integral_of_the_filtered_difference() {
        let (times, wanted, dt, tau) = ([10.0, 85.0, 200.0], [12.0, 80.0, 310.0], 0.01, 10.0);
        let (mut filtered, mut sum) = (0.0, 0.0);
        for k in 0..50_000 {
            let at = |times: &[f64]| times.iter().filter(|t| (*t / dt).round() as u32 == k).count();
            filtered += at(&times) as f64 - at(&wanted) as f64;
            sum += filtered * filtered * tau / 2.0 * (1.0 - (-2.0 * dt / tau).exp());
            filtered *= (-dt / tau).exp();
        }
        let closed = distance(&times, &wanted, tau);
        assert!((sum / tau - closed).abs() < 1e-6, "{} against {closed}", sum / tau);
    }
}
