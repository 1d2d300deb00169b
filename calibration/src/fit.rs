//! Least squares: few parameters, many points, one small system of equations.
//!
//! Levenberg (1944) and Marquardt (1963). Standard errors come from the curvature and the scatter of the
//! residuals, so that they hold whatever the noise is, as long as it is white.

/// A fitted model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit<const P: usize> {
    /// Parameters.
    pub x: [f64; P],
    /// Covariance of the parameters, from the scatter of the residuals.
    pub covariance: [[f64; P]; P],
    /// Standard deviation of the residuals.
    pub scatter: f64,
}

impl<const P: usize> Fit<P> {
    /// Standard error of parameter `k`.
    #[must_use]
    pub fn sigma(&self, k: usize) -> f64 {
        self.covariance[k][k].max(0.0).sqrt()
    }
}

/// Solves `A x = b` for a symmetric positive matrix by Cholesky's decomposition; also returns A⁻¹.
/// `None` if the matrix is singular.
#[must_use]
pub fn solve<const P: usize>(a: &[[f64; P]; P], b: &[f64; P]) -> Option<([f64; P], [[f64; P]; P])> {
    let mut l = [[0.0; P]; P];
    for i in 0..P {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            if i == j {
                let d = a[i][i] - sum;
                // Also refuses a number that is none.
                if d.is_nan() || d <= 1e-14 * a[i][i].abs() {
                    return None;
                }
                l[i][i] = d.sqrt();
            } else {
                l[i][j] = (a[i][j] - sum) / l[j][j];
            }
        }
    }
    let column = |b: &[f64; P]| {
        let mut y = [0.0; P];
        for i in 0..P {
            let sum: f64 = (0..i).map(|k| l[i][k] * y[k]).sum();
            y[i] = (b[i] - sum) / l[i][i];
        }
        let mut x = [0.0; P];
        for i in (0..P).rev() {
            let sum: f64 = (i + 1..P).map(|k| l[k][i] * x[k]).sum();
            x[i] = (y[i] - sum) / l[i][i];
        }
        x
    };
    let mut inverse = [[0.0; P]; P];
    for k in 0..P {
        let mut unit = [0.0; P];
        unit[k] = 1.0;
        let x = column(&unit);
        for i in 0..P {
            inverse[i][k] = x[i];
        }
    }
    Some((column(b), inverse))
}

/// Fits `model(t, x) -> (value, gradient)` to points `(t, y)` from `start`. `None` if there are too few points
/// or no minimum is found.
#[must_use]
pub fn fit<const P: usize>(
    points: &[(f64, f64)],
    start: [f64; P],
    model: impl Fn(f64, &[f64; P]) -> (f64, [f64; P]),
) -> Option<Fit<P>> {
    if points.len() <= P + 1 {
        return None;
    }
    let squares =
        |x: &[f64; P]| -> f64 { points.iter().map(|(t, y)| (y - model(*t, x).0).powi(2)).sum() };
    let mut x = start;
    let mut best = squares(&x);
    let mut damping = 1e-3;
    let mut settled = false;
    for _ in 0..60 {
        let (a, b) = normal_equations(points, &x, &model);
        let mut damped = a;
        for (k, row) in damped.iter_mut().enumerate() {
            row[k] *= 1.0 + damping;
        }
        let (step, _) = solve(&damped, &b)?;
        let mut next = x;
        for k in 0..P {
            next[k] += step[k];
        }
        let now = squares(&next);
        if now.is_finite() && now <= best {
            settled = best - now <= 1e-9 * best;
            (x, best) = (next, now);
            damping = (damping * 0.2).max(1e-12);
            if settled {
                break;
            }
        } else {
            damping *= 8.0;
            if damping > 1e10 {
                settled = true;
                break;
            }
        }
    }
    let (a, b) = normal_equations(points, &x, &model);
    let (_, inverse) = solve(&a, &b)?;
    let variance = best / (points.len() - P) as f64;
    let covariance = inverse.map(|row| row.map(|c| c * variance));
    (settled && x.iter().all(|v| v.is_finite())).then_some(Fit {
        x,
        covariance,
        scatter: variance.sqrt(),
    })
}

fn normal_equations<const P: usize>(
    points: &[(f64, f64)],
    x: &[f64; P],
    model: &impl Fn(f64, &[f64; P]) -> (f64, [f64; P]),
) -> ([[f64; P]; P], [f64; P]) {
    let (mut a, mut b) = ([[0.0; P]; P], [0.0; P]);
    for (t, y) in points {
        let (value, g) = model(*t, x);
        for i in 0..P {
            b[i] += g[i] * (y - value);
            for j in 0..P {
                a[i][j] += g[i] * g[j];
            }
        }
    }
    (a, b)
}

/// Mean and its standard error. `None` for fewer than two values.
#[must_use]
pub fn mean(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len() as f64;
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((mean, (squares / (n - 1.0) / n).sqrt()))
}

/// Middle value; NaN for an empty list. Values that are not finite are left out.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    if sorted.is_empty() {
        return f64::NAN;
    }
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0 }
}

/// Standard deviation after `share` of the values at each end were cut off (published for the bounds of
/// calibrated chips: 5 % from both tails). 0 for fewer than two values that are left.
#[must_use]
pub fn trimmed_std(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let cut = (sorted.len() as f64 * share) as usize;
    let kept = &sorted[cut..sorted.len() - cut];
    mean(kept).map_or(0.0, |(_, error)| error * (kept.len() as f64).sqrt())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn decay(t: f64, x: &[f64; 3]) -> (f64, [f64; 3]) {
        let e = (-t / x[2]).exp();
        (x[0] + x[1] * e, [1.0, e, x[1] * e * t / (x[2] * x[2])])
    }

    #[test]
    fn an_exact_decay_comes_back() {
        let points: Vec<_> =
            (0..40).map(|k| (f64::from(k), decay(f64::from(k), &[80.0, -60.0, 6.5]).0)).collect();
        let fit = fit(&points, [70.0, -40.0, 5.0], decay).unwrap();
        for (got, want) in fit.x.iter().zip([80.0, -60.0, 6.5]) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        assert!(fit.scatter < 1e-6);
    }

    #[test]
    fn standard_errors_cover_what_they_claim() {
        let mut rng = spikeloop_models::random::stream(7, 1);
        let truth = [80.0, -60.0, 6.5];
        let (mut covered, trials) = ([0; 3], 2000);
        for _ in 0..trials {
            let points: Vec<_> = (0..40)
                .map(|k| {
                    let t = f64::from(k);
                    (t, decay(t, &truth).0 + 0.5 * spikeloop_models::random::normal(&mut rng))
                })
                .collect();
            let fit = fit(&points, [75.0, -50.0, 6.0], decay).unwrap();
            for k in 0..3 {
                // Student's t with 37 degrees of freedom.
                covered[k] += usize::from((fit.x[k] - truth[k]).abs() < 2.026 * fit.sigma(k));
            }
        }
        for c in covered {
            let share = c as f64 / f64::from(trials);
            assert!((0.935..0.965).contains(&share), "{share}");
        }
    }

    #[test]
    fn a_singular_system_is_refused() {
        assert!(solve(&[[1.0, 1.0], [1.0, 1.0]], &[1.0, 1.0]).is_none());
        let points = [(0.0, 1.0), (1.0, 1.0)];
        assert!(fit(&points, [0.0, 1.0, 1.0], decay).is_none());
    }

    #[test]
    fn trimming_forgets_outliers() {
        let mut values: Vec<f64> = (0..100).map(|k| f64::from(k) / 100.0).collect();
        let clean = trimmed_std(values.iter().copied(), 0.05);
        values[99] = 1e6;
        assert_eq!(trimmed_std(values.iter().copied(), 0.05), clean);
        assert_eq!(median([3.0, f64::NAN, 1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
    }
}
