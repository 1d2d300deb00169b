//! Images as events: what a network sees of a still image that is shown for a while.
//!
//! Every pixel fires independently in every step with a probability proportional to its value
//! ([`bernoulli`]): rate coding, the stand-in for event-camera recordings of digits. Draws are a pure
//! function of (key, step, pixel), so a sample has the same events wherever it is made.

use crate::error::{ModelError, Result};
use crate::random::mix;
use crate::spike_train::SpikeTrains;

/// Appends one sample: pixel value `v` of 255 fires in each of the steps of `out` with probability
/// `rate · v / 255`, in steps of 1/65 536.
///
/// # Errors
/// A rate outside [0, 1]; an image whose size is not the number of units of `out`.
pub fn bernoulli(image: &[u8], rate: f64, key: u64, out: &mut SpikeTrains) -> Result<()> {
    if !(0.0..=1.0).contains(&rate) {
        let must = "it must be a probability, between 0 and 1";
        return Err(ModelError::Parameter { what: "task.rate", got: rate, must });
    }
    if image.len() != out.units() {
        let (expected, got) = (out.units(), image.len());
        return Err(ModelError::Input { what: "pixels of an image", expected, got });
    }
    let bright: Vec<(u16, u64)> = image
        .iter()
        .enumerate()
        .filter(|(_, value)| **value > 0)
        .map(|(pixel, value)| (pixel as u16, (65536.0 * rate * f64::from(*value) / 255.0) as u64))
        .collect();
    for step in 0..out.steps() {
        let key = mix(key, step as u64);
        // One hash holds the draws of four pixels.
        let mut bits = (usize::MAX, 0);
        for (pixel, limit) in &bright {
            let block = usize::from(*pixel) / 4;
            if bits.0 != block {
                bits = (block, mix(key, block as u64));
            }
            if (bits.1 >> (16 * (pixel % 4))) & 0xFFFF < *limit {
                out.push(*pixel);
            }
        }
        out.end_step();
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn pixels_fire_as_often_as_they_are_bright() {
        let image: Vec<u8> = (0..=255).collect();
        let (steps, samples) = (100, 40);
        let mut trains = SpikeTrains::new(steps, 256);
        for key in 0..samples {
            bernoulli(&image, 0.5, key, &mut trains).unwrap();
        }
        let mut counts = [0.0_f64; 256];
        for sample in 0..samples as usize {
            for t in 0..steps {
                trains.at(sample, t).iter().for_each(|id| counts[usize::from(*id)] += 1.0);
            }
        }
        let trials = (steps as u64 * samples) as f64;
        let mut chi2 = 0.0;
        for (value, count) in counts.iter().enumerate() {
            let p = 0.5 * value as f64 / 255.0;
            if value == 0 {
                assert_eq!(*count, 0.0);
            } else {
                chi2 += (count - trials * p).powi(2) / (trials * p * (1.0 - p));
            }
        }
        // 255 degrees of freedom: mean 255, standard deviation √510; four of them.
        assert!((chi2 - 255.0).abs() < 90.0, "chi² {chi2}");
    }

    #[test]
    fn events_are_a_function_of_the_key() {
        let image = [0, 100, 255, 30];
        let draw = |keys: &[u64]| {
            let mut trains = SpikeTrains::new(30, 4);
            keys.iter().for_each(|key| bernoulli(&image, 0.4, *key, &mut trains).unwrap());
            trains
        };
        let (pair, one) = (draw(&[7, 9]), draw(&[9]));
        assert!((0..30).all(|t| pair.at(1, t) == one.at(0, t)));
        assert!((0..30).any(|t| pair.at(0, t) != pair.at(1, t)));
        let mut wrong = SpikeTrains::new(30, 5);
        assert!(matches!(bernoulli(&image, 0.4, 1, &mut wrong), Err(ModelError::Input { .. })));
        assert!(bernoulli(&image, f64::NAN, 1, &mut wrong).is_err());
        assert!(bernoulli(&image, 1.5, 1, &mut wrong).is_err());
    }
}
