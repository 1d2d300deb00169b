//! Randomness as an argument: named ChaCha8 streams, a counter-based hash, and a normal sampler
//! whose bits do not depend on the machine.
//!
//! Normal numbers by Box & Muller (1958), `√(−2 ln u) cos(2πv)`, with `ln`, `sqrt` and `cos` from
//! `libm`, so that a seed means the same weights everywhere and in five years.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator of stream `stream` of `seed`. Every purpose (initialisation, shuffle, dropout …)
/// takes its own stream, so that using more of one never shifts another.
#[must_use]
pub fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Uniform number in (0, 1] from the upper 53 bits of a word.
#[must_use]
pub fn unit_interval(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A standard normal number; takes two 64-bit words of `rng`.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (unit_interval(rng.next_u64()), unit_interval(rng.next_u64()));
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
}

/// Uniform number in [0, 1); takes one 64-bit word of `rng`.
pub fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Mixes one word into another: the finaliser of SplitMix64 (Steele, Lea & Flood 2014).
#[must_use]
pub fn mix(key: u64, word: u64) -> u64 {
    let mut z = key ^ word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Largest absolute value of [`counter_normal`]: `2√3`, rounded up.
pub const COUNTER_NORMAL_BOUND: f64 = 3.465;

/// A number of mean 0 and variance 1 that is a pure function of its key: four uniform numbers of 16
/// bits added up (Irwin–Hall), near enough to a normal number to break ties, a few nanoseconds, and
/// bounded by [`COUNTER_NORMAL_BOUND`].
#[must_use]
pub fn counter_normal(key: u64) -> f64 {
    let bits = mix(key, 0x5EED);
    let part = |shift: u32| ((bits >> shift) & 0xFFFF) as u32;
    let sum = part(0) + part(16) + part(32) + part(48);
    // A uniform number on 0..=65535 has variance (65536² − 1)/12; four of them a third of 65536².
    (f64::from(sum) - 2.0 * 65535.0) * (1.732_050_807_568_877_2 / 65536.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_same_in_five_years() {
        let mut rng = stream(7, 3);
        let drawn: Vec<f64> = (0..3).map(|_| normal(&mut rng)).collect();
        insta::assert_debug_snapshot!(drawn);
        insta::assert_debug_snapshot!([mix(1, 2), mix(0, 0), mix(u64::MAX, 5)]);
    }

    #[test]
    fn moments_are_those_of_a_normal_number() {
        let mut rng = stream(1, 1);
        let count = 100_000;
        for counter in [false, true] {
            let draws: Vec<f64> = (0..count)
                .map(|k| if counter { counter_normal(k) } else { normal(&mut rng) })
                .collect();
            let mean = draws.iter().sum::<f64>() / count as f64;
            let variance = draws.iter().map(|x| x * x).sum::<f64>() / count as f64;
            // Three standard errors: 3/√n and 3√(2/n).
            assert!(mean.abs() < 0.0095, "mean {mean}, counter {counter}");
            assert!((variance - 1.0).abs() < 0.0135, "variance {variance}, counter {counter}");
            if counter {
                assert!(draws.iter().all(|x| x.abs() <= COUNTER_NORMAL_BOUND));
            }
        }
    }

    #[test]
    fn streams_are_independent() {
        let draw = |s| normal(&mut stream(1, s));
        assert_ne!(draw(0), draw(1));
        assert_eq!(draw(1), draw(1));
    }
}
