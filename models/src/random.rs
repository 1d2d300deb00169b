//! Randomness as an argument: named ChaCha8 streams, a counter-based hash, and a normal sampler
//! whose bits do not depend on the machine.
//!
//! Normal numbers by Box & Muller (1958), `√(−2 ln u) cos(2πv)`, with `ln`, `sqrt` and `cos` from
//! `libm`, so that a seed means the same weights everywhere and in five years.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The generator of stream `stream` of `seed`. Every purpose (initialisation, shuffle, dropout …)
/// takes its own stream, so that using more of one never shifts another.
#[must_use]
pub fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// Uniform number in (0, 1] from 53 bits.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A standard normal number; takes two 64-bit words of `rng`.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v) = (unit(rng.next_u64()), unit(rng.next_u64()));
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

/// Largest absolute value of [`counter_normal`]: `√(−2 ln 2⁻³²)`, rounded up.
pub const COUNTER_NORMAL_BOUND: f64 = 6.661;

/// A standard normal number that is a pure function of its key; bounded by
/// [`COUNTER_NORMAL_BOUND`].
#[must_use]
pub fn counter_normal(key: u64) -> f64 {
    let bits = mix(key, 0x5EED);
    let scale = 1.0 / (1u64 << 32) as f64;
    let u = ((bits >> 32) + 1) as f64 * scale;
    let v = (bits & 0xFFFF_FFFF) as f64 * scale;
    libm::sqrt(-2.0 * libm::log(u)) * libm::cos(2.0 * std::f64::consts::PI * v)
}
