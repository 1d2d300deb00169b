//! Smooth trajectories and the clock that paces them (Muratore, Capone & Paolucci, PLoS ONE 2021).

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

use crate::random::uniform;

/// Periods of the harmonics over the whole trajectory.
const HARMONICS: [f64; 4] = [1.0, 2.0, 3.0, 5.0];

/// Amplitudes are uniform between these.
const AMPLITUDES: [f64; 2] = [0.5, 2.0];

/// `[time, channel]`: `y(t) = Σ A_k cos(2πkt/(T − 1) + φ_k)` over k = 1, 2, 3, 5 with A ~ U(0.5, 2)
/// and φ ~ U(0, 2π), divided by its maximum over time. The first `silent` bins are 0, which comes
/// after the division. For each channel four amplitudes are drawn, then four phases.
#[must_use]
pub fn trajectory(
    steps: usize,
    channels: usize,
    silent: usize,
    rng: &mut ChaCha8Rng,
) -> Array2<f64> {
    let mut y = Array2::zeros((steps, channels));
    let last = steps.saturating_sub(1).max(1) as f64;
    for mut channel in y.columns_mut() {
        let [low, high] = AMPLITUDES;
        let amplitudes = HARMONICS.map(|_| low + (high - low) * uniform(rng));
        let turn = 2.0 * std::f64::consts::PI;
        let phases = HARMONICS.map(|_| turn * uniform(rng));
        for (t, y) in channel.iter_mut().enumerate() {
            for ((k, a), phase) in HARMONICS.iter().zip(amplitudes).zip(phases) {
                *y += a * libm::cos(turn * k * t as f64 / last + phase);
            }
        }
        let top = channel.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (t, y) in channel.iter_mut().enumerate() {
            *y = if t < silent { 0.0 } else { *y / top };
        }
    }
    y
}

/// `[time, window]`: 1 in window k from bin `k · (steps/windows)` on, for `steps/windows` bins (whole
/// numbers; bins that are left over at the end have no window).
#[must_use]
pub fn clock(steps: usize, windows: usize) -> Array2<f64> {
    let length = steps / windows.max(1);
    Array2::from_shape_fn((steps, windows), |(t, k)| {
        f64::from(u8::from((k * length..(k + 1) * length).contains(&t)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn a_channel_is_a_sum_of_four_harmonics_with_maximum_one() {
        let y = trajectory(200, 3, 0, &mut stream(4, 0));
        for channel in y.columns() {
            let top = channel.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!((top - 1.0).abs() < 1e-12);
            // Period T − 1: the last bin repeats the first, the other 199 are an orthogonal basis.
            assert!((channel[0] - channel[199]).abs() < 1e-12);
            let power = |k: f64| {
                let part = |wave: fn(f64) -> f64| {
                    let turn = 2.0 * std::f64::consts::PI * k / 199.0;
                    (0..199).map(|t| channel[t] * wave(turn * t as f64)).sum::<f64>() / 99.5
                };
                part(libm::cos).hypot(part(libm::sin))
            };
            let found = HARMONICS.map(power);
            let ratio = found.iter().fold(0.0, |a: f64, b| a.max(*b))
                / found.iter().fold(f64::INFINITY, |a: f64, b| a.min(*b));
            assert!(ratio <= 4.0 + 1e-9, "{found:?}");
            assert!(power(4.0) < 1e-12 && power(6.0) < 1e-12 && power(0.0) < 1e-12);
        }
    }

    #[test]
    fn the_beginning_is_silent_and_the_rest_does_not_care() {
        let (all, late) =
            (trajectory(90, 2, 0, &mut stream(1, 0)), trajectory(90, 2, 20, &mut stream(1, 0)));
        for ((t, k), y) in late.indexed_iter() {
            assert_eq!(*y, if t < 20 { 0.0 } else { all[[t, k]] });
        }
    }

    #[test]
    fn one_window_at_a_time() {
        let c = clock(103, 5);
        for (t, row) in c.outer_iter().enumerate() {
            assert_eq!(row.sum(), if t < 100 { 1.0 } else { 0.0 });
            assert!(t >= 100 || row[t / 20] == 1.0);
        }
    }
}
