//! The principal branch of Lambert's W: the `W ≥ −1` with `W e^W = z`.
//!
//! First guess by the square-root series at the branch point −1/e (Corless et al. 1996, eq. 4.22) or
//! by a rational function, then two steps of the fourth-order iteration of Fritsch, Shafer &
//! Crowley (1973), which need one logarithm each. The residual `|W e^W − z|` stays below 1e-14 |z|
//! for `z ≤ 10`.

use std::f64::consts::E;

/// Below this distance `p = √(2(ez + 1))` from the branch point the series alone is exact to
/// rounding: its first omitted term is below 0.02 p¹⁰.
const SERIES_ALONE: f64 = 0.02;
/// Coefficients of `p, p², …` of `W + 1`.
const SERIES: [f64; 9] = [
    1.0,
    -1.0 / 3.0,
    11.0 / 72.0,
    -43.0 / 540.0,
    769.0 / 17_280.0,
    -221.0 / 8_505.0,
    680_863.0 / 43_545_600.0,
    -1_963.0 / 204_120.0,
    226_287_557.0 / 37_623_398_400.0,
];

/// `W₀(z)`; not a number for `z < −1/e`.
#[must_use]
pub fn w0(z: f64) -> f64 {
    if z == 0.0 || z == f64::INFINITY {
        return z;
    }
    let distance = 2.0 * (E * z + 1.0);
    // The double next to −1/e may lie below it by its rounding.
    if distance < 0.0 {
        return if distance > -1e-15 { -1.0 } else { f64::NAN };
    }
    let w = if z < -0.2 {
        let p = distance.sqrt();
        let w = SERIES.iter().rev().fold(0.0, |sum, c| (sum + c) * p) - 1.0;
        if p < SERIES_ALONE {
            return w;
        }
        w
    } else if z < 0.7385 {
        z * (1.0 + 4.0 / 3.0 * z) / (1.0 + z * (7.0 / 3.0 + 5.0 / 6.0 * z))
    } else {
        let l = libm::log(z);
        l - 24.0 * (l * (l + 2.0) - 3.0) / (l * (7.0 * l + 58.0) + 127.0)
    };
    step(z, step(z, w))
}

/// One step of the iteration.
fn step(z: f64, w: f64) -> f64 {
    let error = libm::log(z / w) - w;
    let slope = 1.0 + w;
    let q = 2.0 * slope * (slope + 2.0 / 3.0 * error);
    w * (1.0 + error / slope * (q - error) / (q - 2.0 * error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn residual(z: f64) -> f64 {
        let w = w0(z);
        assert!(w >= -1.0, "W({z}) = {w} is not on the principal branch");
        (w * libm::exp(w) - z).abs() / z.abs()
    }

    #[test]
    fn known_values() {
        // Corless et al. 1996: W(1) is the omega constant, W(e) = 1, W(−ln 2 / 2) = −ln 2.
        for (z, w) in [
            (1.0, 0.567_143_290_409_783_8),
            (E, 1.0),
            (-std::f64::consts::LN_2 / 2.0, -std::f64::consts::LN_2),
            (-1.0 / E, -1.0),
            (0.0, 0.0),
            (-0.1, -0.111_832_559_158_962_97),
        ] {
            assert!(
                (w0(z) - w).abs() < 2e-8 * f64::from(z == -1.0 / E) + 2e-15,
                "W({z}) = {}",
                w0(z)
            );
        }
        assert!(w0(-0.4).is_nan());
        assert!(w0(f64::NAN).is_nan());
    }

    #[test]
    fn residual_at_the_branch_point_and_far_from_it() {
        for k in 0..300 {
            // From 1e-16 above −1/e to 0 from below, and up to 10.
            let above = libm::exp(-36.7 + 0.12 * f64::from(k)).min(0.36);
            assert!(residual(-1.0 / E + above) < 1e-14, "−1/e + {above:e}");
            let small = libm::exp(-690.0 + 2.3 * f64::from(k));
            assert!(residual(-small.min(0.3)) < 1e-14, "−{small:e}");
            assert!(residual(small.min(10.0)) < 1e-14, "{small:e}");
        }
    }

    proptest! {
        #[test]
        fn residual_is_rounding(z in -0.367_879_441_171_442_3..10.0) {
            prop_assert!(z == 0.0 || residual(z) < 1e-14);
        }
    }
}
