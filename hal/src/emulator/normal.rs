//! Normal numbers for drawing chips: ChaCha8 with one stream per purpose, Box–Muller over `libm`.
//!
//! A chip seed must mean the same chip on every machine and in five years. ChaCha8 is specified, the
//! transformation is written out here and `libm` is pure Rust, so nothing depends on a platform's
//! mathematics library. Golden numbers stand in the tests.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for. The numbers are part of the meaning of a chip seed:
/// never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Purpose {
    TauMem = 1,
    TauSyn = 2,
    Gain = 3,
    Potential = 4,
    Offset = 5,
    Converter = 6,
    Synapse = 7,
    Fault = 8,
    Theta = 9,
    Refractory = 10,
    StuckBit = 11,
    NoiseSeed = 12,
    Drift = 13,
}

/// A stream of standard normal and uniform numbers.
pub(crate) struct Draws {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Draws {
    /// The stream of `purpose` for `seed`. Values that a block of neurons shares come from a
    /// sub-stream of their own, so that they do not depend on the number of neurons.
    pub(crate) fn new(seed: u64, purpose: Purpose, shared: bool) -> Self {
        Self::stream(seed, 2 * purpose as u64 + u64::from(shared))
    }

    /// The stream that belongs to one neuron alone, however many it has.
    pub(crate) fn of_neuron(seed: u64, purpose: Purpose, neuron: usize) -> Self {
        Self::stream(seed, (purpose as u64) << 32 | neuron as u64)
    }

    fn stream(seed: u64, number: u64) -> Self {
        let mut key = *b"........spikeloop drawn chip  v1";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(number);
        Self { rng, spare: None }
    }

    /// 64 uniform bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `(0, 1)`, on a grid of 2⁻⁵³.
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Standard normal (Box–Muller, both values of a pair are used).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(-2.0 * libm::log(self.uniform()));
        let angle = 2.0 * core::f64::consts::PI * self.uniform();
        self.spare = Some(radius * libm::sin(angle));
        radius * libm::cos(angle)
    }
}
