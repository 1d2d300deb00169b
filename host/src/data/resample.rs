//! 28×28 images to 16×16, as published for the chip's 256 inputs (Cramer et al., PNAS 2022).
//!
//! Rows and columns 2 to 25 are kept (24×24) and resampled with the interpolating cubic B-spline at
//! the coordinates `u_k = 23 k / 15`, the edges being mirrors that do not repeat the edge sample;
//! the result is rounded half up and clamped, since the spline overshoots. The whole of it is one
//! 16×24 matrix: `out = M · image · Mᵀ`.

/// Side of the images that come out.
pub const SIDE: usize = 16;
/// Side of the part that is kept of the images that go in.
pub const CROP: usize = 24;
/// Side of the images that go in.
pub(super) const FULL: usize = 28;
/// First row and column that is kept.
const MARGIN: usize = 2;

/// The resampling matrix `[out, in]`.
pub(super) type Matrix = [[f64; CROP]; SIDE];

/// Cubic B-spline at distance `d` from its centre.
fn b_spline(d: f64) -> f64 {
    let d = d.abs();
    if d < 1.0 {
        (4.0 - 6.0 * d * d + 3.0 * d * d * d) / 6.0
    } else if d < 2.0 {
        (2.0 - d).powi(3) / 6.0
    } else {
        0.0
    }
}

/// Coefficients of the spline that has the value 1 at sample `one` and 0 at the others: solves
/// `(c[i−1] + 4 c[i] + c[i+1]) / 6 = [i = one]` with mirrored ends (elimination on a tridiagonal
/// system).
fn coefficients(one: usize) -> [f64; CROP] {
    let mut upper = [0.0; CROP];
    let mut c = [0.0; CROP];
    for i in 0..CROP {
        let value = if i == one { 6.0 } else { 0.0 };
        // The mirror doubles the only neighbour of an edge.
        let lower = if i == CROP - 1 { 2.0 } else { 1.0 };
        let (last_upper, last_c) = if i == 0 { (0.0, 0.0) } else { (upper[i - 1], c[i - 1]) };
        let pivot = 4.0 - lower * last_upper;
        upper[i] = if i == 0 { 2.0 } else { 1.0 } / pivot;
        c[i] = (value - lower * last_c) / pivot;
    }
    for i in (0..CROP - 1).rev() {
        c[i] -= upper[i] * c[i + 1];
    }
    c
}

/// The resampling matrix.
pub(super) fn matrix() -> Matrix {
    let last = CROP as isize - 1;
    let splines: Vec<[f64; CROP]> = (0..CROP).map(coefficients).collect();
    let entry = |k: usize, spline: &[f64; CROP]| {
        let u = (k * (CROP - 1)) as f64 / (SIDE - 1) as f64;
        let first = u.floor() as isize - 1;
        let term = |i: isize| {
            let mirrored = if i < 0 {
                -i
            } else if i > last {
                2 * last - i
            } else {
                i
            };
            spline[mirrored as usize] * b_spline(u - i as f64)
        };
        (first..first + 4).map(term).sum()
    };
    let mut matrix = [[0.0; CROP]; SIDE];
    for (k, row) in matrix.iter_mut().enumerate() {
        for (m, spline) in row.iter_mut().zip(&splines) {
            *m = entry(k, spline);
        }
    }
    matrix
}

/// Resamples one image of 28×28 pixels, row by row, to 16×16.
///
/// For many images, keep the matrix: this is the form for one.
#[must_use]
pub fn resample_16(image: &[u8; FULL * FULL]) -> [u8; SIDE * SIDE] {
    let mut out = [0; SIDE * SIDE];
    resample_with(&matrix(), image, &mut out);
    out
}

/// [`resample_16`] with the matrix at hand. `image` has 28·28 pixels, `out` 16·16.
pub(super) fn resample_with(matrix: &Matrix, image: &[u8], out: &mut [u8]) {
    // Columns first; rows that are all dark (half of a digit) cost nothing.
    let mut half = [[0.0; SIDE]; CROP];
    let rows = image.chunks_exact(FULL).skip(MARGIN);
    for (row, half) in rows.zip(half.iter_mut()) {
        let row = &row[MARGIN..MARGIN + CROP];
        for (pixel, k) in row.iter().zip(0..CROP).filter(|(pixel, _)| **pixel != 0) {
            for (sum, weights) in half.iter_mut().zip(matrix) {
                *sum += f64::from(*pixel) * weights[k];
            }
        }
    }
    for (weights, out) in matrix.iter().zip(out.chunks_exact_mut(SIDE)) {
        let mut line = [0.0; SIDE];
        for (weight, half) in weights.iter().zip(&half) {
            for (sum, value) in line.iter_mut().zip(half) {
                *sum += weight * value;
            }
        }
        for (pixel, value) in out.iter_mut().zip(line) {
            *pixel = (value + 0.5).floor().clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_matches_the_published_check_values() {
        let m = matrix();
        assert!((m[0][0] - 1.0).abs() < 1e-12);
        assert!(m[0][1..].iter().all(|v| v.abs() < 1e-12));
        let expected = [
            0.019_509, -0.072_808, 0.290_685, 0.866_512, -0.126_510, 0.033_898, -0.009_083,
            0.002_434,
        ];
        for (found, expected) in m[7][8..16].iter().zip(expected) {
            assert!((found - expected).abs() < 6e-7, "{found} against {expected}");
        }
    }

    #[test]
    fn a_constant_stays_and_the_picture_turns_with_its_mirror() {
        assert!(resample_16(&[200; FULL * FULL]).iter().all(|&v| v == 200));
        let mut image = [0_u8; FULL * FULL];
        for (i, pixel) in image.iter_mut().enumerate() {
            *pixel = ((i * 37 + i / 28 * 11) % 251) as u8;
        }
        let mut mirrored = image;
        mirrored.reverse();
        let mut out = resample_16(&mirrored);
        out.reverse();
        assert_eq!(out, resample_16(&image));
    }

    #[test]
    fn overshoot_is_clamped() {
        let mut image = [0_u8; FULL * FULL];
        for row in image.chunks_exact_mut(FULL) {
            row[14..].fill(255);
        }
        let row: Vec<f64> = matrix().iter().map(|m| 255.0 * m[12..].iter().sum::<f64>()).collect();
        assert!(row.iter().any(|&v| v < -10.0) && row.iter().any(|&v| v > 265.0));
        let out = resample_16(&image);
        for line in out.chunks(SIDE) {
            for (&pixel, &exact) in line.iter().zip(&row) {
                assert_eq!(f64::from(pixel), (exact + 0.5).floor().clamp(0.0, 255.0));
            }
        }
    }
}
