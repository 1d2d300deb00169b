//! The temporal XOR (Muratore, Capone & Paolucci, PLoS ONE 2021): two bits, coded by the lengths of
//! two pulses, are answered much later by a bump whose sign is their XOR.

use ndarray::Array2;

/// Bins of a pattern.
pub const STEPS: usize = 120;

/// Value of the input outside the pulses, and what is added to them.
pub const OFFSET: f64 = 0.9;

/// Bins of a pulse that means 0; twice as many mean 1. (The figure of the paper labels them the other
/// way round, the published code is as here.)
const PULSE: usize = 10;

/// Bins of the answer.
const ANSWER: std::ops::Range<usize> = 80..110;

/// Width (standard deviation) of the bump, bins.
const WIDTH: f64 = 5.0;

/// All patterns; the published script trains on the first three.
pub const PATTERNS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

/// `[time, 1]`: [`OFFSET`], plus 1 during the pulse of bit k, which starts at bin 10(1 + 3k).
#[must_use]
pub fn input(bits: [bool; 2]) -> Array2<f64> {
    let mut x = Array2::from_elem((STEPS, 1), OFFSET);
    for (k, bit) in bits.into_iter().enumerate() {
        let start = PULSE * (1 + 3 * k);
        let length = PULSE * (1 + usize::from(bit));
        for t in start..start + length {
            x[[t, 0]] += 1.0;
        }
    }
    x
}

/// 1 if the bits differ, else −1.
#[must_use]
pub fn sign(bits: [bool; 2]) -> f64 {
    if bits[0] == bits[1] { -1.0 } else { 1.0 }
}

/// `[time, 1]`: `± e^(−(t − 95)²/(2 · 5²))` in bins 80 to 109, 0 elsewhere.
#[must_use]
pub fn answer(bits: [bool; 2]) -> Array2<f64> {
    let centre = (ANSWER.start + ANSWER.len() / 2) as f64;
    Array2::from_shape_fn((STEPS, 1), |(t, _)| {
        let x = (t as f64 - centre) / WIDTH;
        if ANSWER.contains(&t) { sign(bits) * libm::exp(-0.5 * x * x) } else { 0.0 }
    })
}

/// The sign that an output `[time, 1]` answers with: that of its sum over the bins of the answer.
#[must_use]
pub fn answered(output: &Array2<f64>) -> f64 {
    let sum: f64 = ANSWER.filter_map(|t| output.get([t, 0])).sum();
    if sum > 0.0 { 1.0 } else { -1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses_stand_where_they_should() {
        let high = |bits| -> Vec<usize> {
            let x = input(bits);
            (0..STEPS).filter(|t| x[[*t, 0]] > 1.0).collect()
        };
        let bins =
            |a: std::ops::Range<usize>, b: std::ops::Range<usize>| a.chain(b).collect::<Vec<_>>();
        assert_eq!(high([false, false]), bins(10..20, 40..50));
        assert_eq!(high([false, true]), bins(10..20, 40..60));
        assert_eq!(high([true, false]), bins(10..30, 40..50));
        assert_eq!(high([true, true]), bins(10..30, 40..60));
        assert!(input([true, true]).iter().all(|x| *x == 0.9 || *x == 1.9));
    }

    #[test]
    fn the_answer_is_the_xor() {
        for bits in PATTERNS {
            let y = answer(bits);
            let expected = if bits[0] ^ bits[1] { 1.0 } else { -1.0 };
            assert_eq!(y[[95, 0]], expected);
            assert_eq!(answered(&y), expected);
            assert!(y.iter().enumerate().all(|(t, y)| ANSWER.contains(&t) != (*y == 0.0)));
            assert!((y[[100, 0]].abs() - (-0.5_f64).exp()).abs() < 1e-15);
        }
    }
}
