//! Images that are turned by a random angle each time they are learned: more training data for nothing.
//!
//! The pixels of the 16×16 image are taken at the turned coordinates, bilinearly between the four nearest and
//! black outside; the centre stands still (Cramer et al., PNAS 2022: angles up to ±15°).

use spikeloop_models::encode::{SpikeTimes, latency_table};

use super::images::{TAU_US, THETA};
use super::resample::SIDE;

/// Pixels of one image.
const PIXELS: usize = SIDE * SIDE;

/// 16×16 images with their latency code, for turning.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// `[image, row, column]`.
    pixels: Vec<u8>,
    copies: usize,
}

impl Images {
    pub(super) fn new(pixels: Vec<u8>, copies: usize) -> Self {
        Self { pixels, copies }
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> Self {
        Self { pixels: self.pixels[start * PIXELS..end * PIXELS].to_vec(), copies: self.copies }
    }

    /// Spike times of image `indices[k]` turned by `angles_deg[k]` (counter-clockwise), one sample each.
    #[must_use]
    pub fn turned(&self, indices: &[u32], angles_deg: &[f32]) -> SpikeTimes {
        let table = latency_table(255, THETA, TAU_US);
        let mut times = SpikeTimes::new(PIXELS * self.copies);
        for (index, angle) in indices.iter().zip(angles_deg) {
            let image = &self.pixels[*index as usize * PIXELS..][..PIXELS];
            let turned = turn(image, *angle);
            let one = turned.iter().map(|&v| table[usize::from(v)]);
            times.push_sample(std::iter::repeat_n(one, self.copies).flatten());
        }
        times
    }
}

/// One image turned by `angle_deg`.
fn turn(image: &[u8], angle_deg: f32) -> [u8; PIXELS] {
    let (sin, cos) = angle_deg.to_radians().sin_cos();
    let centre = (SIDE - 1) as f32 / 2.0;
    let pixel = |row: isize, column: isize| -> f32 {
        let inside = 0..SIDE as isize;
        if inside.contains(&row) && inside.contains(&column) {
            f32::from(image[row as usize * SIDE + column as usize])
        } else {
            0.0
        }
    };
    std::array::from_fn(|k| {
        let (y, x) = ((k / SIDE) as f32 - centre, (k % SIDE) as f32 - centre);
        // Rows grow downwards, so this is counter-clockwise on the screen.
        let (column, row) = (cos * x - sin * y + centre, sin * x + cos * y + centre);
        let (left, top) = (column.floor(), row.floor());
        let (u, v) = (column - left, row - top);
        let (c, r) = (left as isize, top as isize);
        let upper = pixel(r, c) * (1.0 - u) + pixel(r, c + 1) * u;
        let lower = pixel(r + 1, c) * (1.0 - u) + pixel(r + 1, c + 1) * u;
        (upper * (1.0 - v) + lower * v + 0.5) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_angle_changes_nothing_and_a_right_angle_moves_corners() {
        let image: Vec<u8> = (0..PIXELS).map(|k| (k % 251) as u8).collect();
        assert_eq!(turn(&image, 0.0).as_slice(), image.as_slice());
        let mut corner = vec![0; PIXELS];
        corner[SIDE - 1] = 200; // upper right
        let turned = turn(&corner, 90.0);
        // Counter-clockwise: upper right becomes upper left.
        assert!(turned[0] >= 199, "{}", turned[0]);
        assert!(turned[SIDE - 1] == 0);
    }

    #[test]
    fn small_turns_keep_the_brightness() {
        let mut image = vec![0_u8; PIXELS];
        for k in 5..11 {
            image[k * SIDE + 7] = 240;
            image[k * SIDE + 8] = 240;
        }
        let sum = |i: &[u8]| i.iter().map(|v| f64::from(*v)).sum::<f64>();
        let turned = turn(&image, 15.0);
        let ratio = sum(&turned) / sum(&image);
        assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
        assert_ne!(turned.as_slice(), image.as_slice());
    }
}
