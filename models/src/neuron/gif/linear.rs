//! Small symmetric systems: sums of products and their solution by Cholesky's factorisation.

/// `Σ x xᵀ`, `Σ x y`, `Σ y²`, `Σ y` over observations, as least squares needs them.
#[derive(Clone, Debug)]
pub(super) struct Normal {
    pub(super) size: usize,
    /// Lower triangle in rows of `size`.
    pub(super) xx: Vec<f64>,
    pub(super) xy: Vec<f64>,
    pub(super) yy: f64,
    pub(super) y: f64,
    pub(super) count: usize,
}

impl Normal {
    pub(super) fn new(size: usize) -> Self {
        Self { size, xx: vec![0.0; size * size], xy: vec![0.0; size], yy: 0.0, y: 0.0, count: 0 }
    }

    pub(super) fn add(&mut self, x: &[f64], y: f64) {
        add_outer(&mut self.xx, x, 1.0);
        self.xy.iter_mut().zip(x).for_each(|(s, x)| *s += x * y);
        self.yy += y * y;
        self.y += y;
        self.count += 1;
    }

    /// Coefficients and the share of the variance of y that they explain; `Err(k)` if column `k`
    /// says nothing that those before it do not.
    pub(super) fn solve(&self) -> Result<(Vec<f64>, f64), usize> {
        let b = solve(&self.xx, &self.xy)?;
        let explained: f64 = b.iter().zip(&self.xy).map(|(b, s)| b * s).sum();
        // With the normal equations solved, Σ(y − xb)² = Σy² − b·Σxy.
        let total = self.yy - self.y * self.y / self.count as f64;
        Ok((b, 1.0 - (self.yy - explained) / total))
    }
}

/// Adds `weight x xᵀ` to a lower triangle.
pub(super) fn add_outer(xx: &mut [f64], x: &[f64], weight: f64) {
    for (i, row) in xx.chunks_exact_mut(x.len()).enumerate() {
        let factor = weight * x[i];
        row[..=i].iter_mut().zip(x).for_each(|(s, x)| *s += factor * x);
    }
}

/// Solves `A b = y` for a positive definite matrix, given by its lower triangle. `Err(k)`: row `k`
/// depends on those before it.
pub(super) fn solve(matrix: &[f64], y: &[f64]) -> Result<Vec<f64>, usize> {
    let n = y.len();
    // The scale of each variable is taken out: a pivot is then the share that is its own.
    let scale: Vec<f64> = (0..n).map(|i| matrix[i * n + i].max(0.0).sqrt()).collect();
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let inner: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let rest = matrix[i * n + j] / (scale[i] * scale[j]) - inner;
            if i == j {
                // What is left is rounding, or no number.
                if rest.is_nan() || rest <= 1e-13 {
                    return Err(i);
                }
                l[i * n + i] = rest.sqrt();
            } else {
                l[i * n + j] = rest / l[j * n + j];
            }
        }
    }
    let mut b: Vec<f64> = y.iter().zip(&scale).map(|(y, s)| y / s).collect();
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| l[i * n + k] * b[k]).sum();
        b[i] = (b[i] - inner) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| l[k * n + i] * b[k]).sum();
        b[i] = (b[i] - inner) / l[i * n + i];
    }
    b.iter_mut().zip(&scale).for_each(|(b, s)| *b /= s);
    Ok(b)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_and_dependence_is_named() {
        let mut normal = Normal::new(3);
        let mut dependent = Normal::new(3);
        for k in 0..40 {
            let t = f64::from(k);
            let (a, b) = ((t * 0.7).sin(), 1e3 * (t * 0.3).cos());
            normal.add(&[a, b, 1.0], 2.0 * a - 0.5 * b + 7.0);
            dependent.add(&[a, 1.0, 3.0 * a - 2.0], t);
        }
        let (b, share) = normal.solve().unwrap();
        for (got, expected) in b.iter().zip([2.0, -0.5, 7.0]) {
            assert!((got - expected).abs() < 1e-9, "{b:?}");
        }
        assert!((share - 1.0).abs() < 1e-12, "{share}");
        assert_eq!(dependent.solve(), Err(2));
        assert!(solve(&[0.0], &[1.0]).is_err());
    }
}
