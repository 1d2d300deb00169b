//! Cubic smoothing spline through equidistant samples (Reinsch 1967): the smoothest curve whose
//! squared distance to the samples is at most a given sum.
//!
//! Minimises `∫ g″²` subject to `Σ (y_i − g(x_i))² ≤ S`. With γ the second derivatives at the inner
//! knots, λ a multiplier, spacing h, R tridiagonal (2h/3, h/6) and Q the second differences divided
//! by h (notation of Green & Silverman 1994): `(R + λ QᵀQ) γ = Qᵀy`, `g = y − λ Q γ`. The residual
//! grows with λ, which is found by bisection. Beyond the last sample the curve is a straight line.

use crate::error::{ModelError, Result};

/// Halvings of the interval of ln λ: more than enough for all digits of `f64`.
const HALVINGS: usize = 80;

/// A natural cubic spline with equidistant knots.
#[derive(Clone, Debug, PartialEq)]
pub struct SmoothingSpline {
    spacing: f64,
    /// Values at the knots.
    values: Vec<f64>,
    /// Second derivatives at the knots; 0 at both ends.
    curvature: Vec<f64>,
}

impl SmoothingSpline {
    /// Fits `samples` at 0, `spacing`, 2 `spacing` …; `residual` is S, 0 interpolates.
    ///
    /// # Errors
    /// Fewer than three samples, a spacing that is not positive, a residual that is negative.
    pub fn fit(samples: &[f64], spacing: f64, residual: f64) -> Result<Self> {
        if samples.len() < 3 {
            return Err(ModelError::Size {
                what: "number of samples of a spline, less 2,",
                got: samples.len().saturating_sub(2),
                max: usize::MAX,
            });
        }
        for (what, got, right) in [
            ("spacing of a spline", spacing, spacing > 0.0),
            ("residual of a spline", residual, residual >= 0.0),
        ] {
            if !(got.is_finite() && right) {
                return Err(ModelError::Parameter { what, got, must: "it must not be negative" });
            }
        }
        let fitted = |lambda| Self::with_multiplier(samples, spacing, lambda);
        if residual == 0.0 {
            return Ok(fitted(0.0));
        }
        // λ has the dimension of h³; outside of this range the curve interpolates or is a line.
        let scale = spacing * spacing * spacing;
        let (mut low, mut high) = (libm::log(1e-12 * scale), libm::log(1e12 * scale));
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            let curve = fitted(libm::exp(middle));
            if curve.residual(samples) > residual { high = middle } else { low = middle }
        }
        Ok(fitted(libm::exp(low)))
    }

    /// The spline of a given λ.
    fn with_multiplier(samples: &[f64], spacing: f64, lambda: f64) -> Self {
        let inner = samples.len() - 2;
        let weight = lambda / (spacing * spacing);
        let difference: Vec<f64> =
            samples.windows(3).map(|y| (y[0] - 2.0 * y[1] + y[2]) / spacing).collect();
        let bands = [2.0 * spacing / 3.0 + 6.0 * weight, spacing / 6.0 - 4.0 * weight, weight];
        let solved = solve_pentadiagonal(bands, difference);
        let mut curvature = vec![0.0; samples.len()];
        curvature[1..=inner].copy_from_slice(&solved);
        // Q γ: second differences of γ, which is 0 at and beyond both ends.
        let at = |k: isize| usize::try_from(k).ok().and_then(|k| curvature.get(k)).unwrap_or(&0.0);
        let values = samples.iter().enumerate().map(|(k, y)| {
            let k = k as isize;
            y - lambda * (at(k - 1) - 2.0 * at(k) + at(k + 1)) / spacing
        });
        Self { spacing, values: values.collect(), curvature: curvature.clone() }
    }

    fn residual(&self, samples: &[f64]) -> f64 {
        samples.iter().zip(&self.values).map(|(y, g)| (y - g) * (y - g)).sum()
    }

    /// The curve at `x`, straight on beyond the ends.
    #[must_use]
    pub fn at(&self, x: f64) -> f64 {
        let h = self.spacing;
        let last = self.values.len() - 2;
        // Truncation is intended: the interval that x lies in.
        let k = ((x / h).max(0.0) as usize).min(last);
        let (g0, g1) = (self.values[k], self.values[k + 1]);
        let (c0, c1) = (self.curvature[k], self.curvature[k + 1]);
        let u = x / h - k as f64;
        if u > 1.0 {
            return g1 + (u - 1.0) * (g1 - g0 + h * h * (c0 + 2.0 * c1) / 6.0);
        }
        if u < 0.0 {
            return g0 + u * (g1 - g0 - h * h * (2.0 * c0 + c1) / 6.0);
        }
        let v = 1.0 - u;
        v * g0 + u * g1 + h * h / 6.0 * ((v * v * v - v) * c0 + (u * u * u - u) * c1)
    }
}

/// Solves a symmetric positive system with constant diagonals `bands` = (main, first, second) by
/// LDLᵀ.
fn solve_pentadiagonal(bands: [f64; 3], mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    let (mut d, mut e, mut f) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let (mut pivot, mut next) = (bands[0], bands[1]);
        if i >= 1 {
            pivot -= d[i - 1] * e[i - 1] * e[i - 1];
            next -= d[i - 1] * e[i - 1] * f[i - 1];
            b[i] -= e[i - 1] * b[i - 1];
        }
        if i >= 2 {
            pivot -= d[i - 2] * f[i - 2] * f[i - 2];
            b[i] -= f[i - 2] * b[i - 2];
        }
        (d[i], e[i], f[i]) = (pivot, next / pivot, bands[2] / pivot);
    }
    for i in (0..n).rev() {
        b[i] /= d[i];
        if i + 1 < n {
            b[i] -= e[i] * b[i + 1];
        }
        if i + 2 < n {
            b[i] -= f[i] * b[i + 2];
        }
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(n: usize) -> Vec<f64> {
        (0..n).map(|k| if (k / 7) % 2 == 0 { 0.2 } else { 0.8 }).collect()
    }

    /// ∫ g″² and Σ (y − g)² from values of the curve alone, `extra` added to it.
    fn cost(curve: &SmoothingSpline, y: &[f64], h: f64, extra: &dyn Fn(f64) -> f64) -> (f64, f64) {
        let g = |x: f64| curve.at(x) + extra(x);
        let fine = 0.05;
        let end = (y.len() - 1) as f64 * h;
        let points = (end / fine) as usize;
        let bend = |x: f64| (g(x - fine) - 2.0 * g(x) + g(x + fine)) / (fine * fine);
        let roughness = (1..points).map(|k| bend(k as f64 * fine).powi(2) * fine).sum();
        let distance =
            y.iter().enumerate().map(|(k, y)| (y - g(k as f64 * h)).powi(2)).sum::<f64>();
        (roughness, distance)
    }

    #[test]
    fn no_residual_interpolates_and_a_given_one_is_used_up() {
        let y = square(60);
        let exact = SmoothingSpline::fit(&y, 5.0, 0.0).unwrap();
        for (k, value) in y.iter().enumerate() {
            assert!((exact.at(5.0 * k as f64) - value).abs() < 1e-12);
        }
        for allowed in [0.1, 1.0, 3.0] {
            let curve = SmoothingSpline::fit(&y, 5.0, allowed).unwrap();
            let (_, distance) = cost(&curve, &y, 5.0, &|_| 0.0);
            assert!((distance - allowed).abs() < 1e-6, "{distance} of {allowed}");
        }
    }

    #[test]
    fn no_neighbouring_curve_is_both_as_smooth_and_as_near() {
        let (y, h) = (square(40), 5.0);
        let curve = SmoothingSpline::fit(&y, h, 1.0).unwrap();
        let (smooth, near) = cost(&curve, &y, h, &|_| 0.0);
        // The multiplier from the two derivatives in one direction must hold in all others.
        let slope = |extra: &dyn Fn(f64) -> f64| {
            let (up, down) = (cost(&curve, &y, h, extra), cost(&curve, &y, h, &|x| -extra(x)));
            ((up.0 - down.0) / 2.0, (up.1 - down.1) / 2.0)
        };
        let lambda = {
            let (rough, distance) = slope(&|x| 0.01 * libm::cos(0.09 * x));
            -distance / rough
        };
        for frequency in [0.05, 0.07, 0.11] {
            let wave = move |x: f64| 0.01 * libm::cos(frequency * x + 1.0);
            let (rough, distance) = slope(&wave);
            let total = (distance + lambda * rough).abs();
            assert!(total < 0.02 * distance.abs().max(lambda * rough.abs()), "{total}");
            let (rougher, farther) = cost(&curve, &y, h, &wave);
            assert!(farther + lambda * rougher > near + lambda * smooth);
        }
    }

    #[test]
    fn beyond_the_end_the_curve_is_straight() {
        let curve = SmoothingSpline::fit(&square(20), 5.0, 0.3).unwrap();
        let slope = |x: f64| curve.at(x + 0.5) - curve.at(x);
        assert!((slope(95.0) - slope(97.0)).abs() < 1e-12);
        assert!((slope(-3.0) - slope(-1.0)).abs() < 1e-12);
        assert!((curve.at(95.0 + 1e-9) - curve.at(95.0 - 1e-9)).abs() < 1e-8);
    }

    #[test]
    fn too_few_samples_and_a_negative_residual_are_refused() {
        assert!(SmoothingSpline::fit(&[1.0, 2.0], 1.0, 0.0).is_err());
        assert!(SmoothingSpline::fit(&square(9), 1.0, -1.0).is_err());
        assert!(SmoothingSpline::fit(&square(9), f64::NAN, 1.0).is_err());
    }
}
