//! The Mersenne Twister with numpy's legacy draws, which the published Yin-Yang samples come from.
//!
//! MT19937 after Matsumoto & Nishimura (ACM TOMACS 1998); seeding and draws as
//! `numpy.random.RandomState` does them, frozen by numpy since its release 1.17.

const N: usize = 624;
const M: usize = 397;

/// `numpy.random.RandomState(seed)`.
pub(super) struct Mersenne {
    state: [u32; N],
    next: usize,
}

impl Mersenne {
    pub(super) fn new(seed: u32) -> Self {
        let mut state = [0; N];
        state[0] = seed;
        for i in 1..N {
            let last: u32 = state[i - 1];
            state[i] = 1_812_433_253_u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N }
    }

    fn refill(&mut self) {
        for i in 0..N {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
            let twist = if y & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ twist;
        }
        self.next = 0;
    }

    /// 32 uniform bits.
    pub(super) fn bits(&mut self) -> u32 {
        if self.next == N {
            self.refill();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// `randint(below)` for `below ≥ 1`: bits under a mask, drawn again until they are in range.
    pub(super) fn below(&mut self, below: u32) -> u32 {
        let largest = below.saturating_sub(1);
        if largest == 0 {
            return 0; // numpy draws nothing here
        }
        let mask = u32::MAX >> largest.leading_zeros();
        loop {
            let value = self.bits() & mask;
            if value <= largest {
                return value;
            }
        }
    }

    /// `rand()`: 53 uniform bits in `[0, 1)`.
    pub(super) fn unit(&mut self) -> f64 {
        let high = f64::from(self.bits() >> 5);
        let low = f64::from(self.bits() >> 6);
        (high * 67_108_864.0 + low) / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_outputs_of_the_generator() {
        // The first value and the 10 000th that ISO C++ states for mt19937 with its default seed.
        let mut generator = Mersenne::new(5489);
        assert_eq!(generator.bits(), 3_499_211_612);
        for _ in 0..9998 {
            generator.bits();
        }
        assert_eq!(generator.bits(), 4_123_659_995);
    }

    #[test]
    fn known_draws_of_numpy() {
        // numpy.random.seed(42); numpy.random.rand(2)
        let mut generator = Mersenne::new(42);
        assert_eq!(generator.unit(), 0.374_540_118_847_362_5);
        assert_eq!(generator.unit(), 0.950_714_306_409_916_2);
        // numpy.random.seed(42); numpy.random.randint(10, size=5)
        let mut generator = Mersenne::new(42);
        assert_eq!([(); 5].map(|()| generator.below(10)), [6, 3, 7, 4, 6]);
        assert_eq!(generator.below(1), 0);
    }
}
