//! Random numbers for faults: small streams, one for each purpose, and gaps between rare events.

use super::Direction;

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): 64 bits of state, equidistributed, and the same
/// numbers everywhere. What it decides needs no better generator.
#[derive(Clone, Debug)]
pub(super) struct Stream(u64);

/// What a stream decides. Part of the meaning of a seed: never renumber.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(super) enum Purpose {
    Loss = 1,
    Flip = 2,
    Bit = 3,
    Drop = 4,
    Twice = 5,
    Reorder = 6,
    Stall = 7,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Stream {
    pub(super) fn new(seed: u64, direction: Direction, connection: u64, purpose: Purpose) -> Self {
        let way = match direction {
            Direction::Up => 0,
            Direction::Down => 1,
        };
        let place = mix(connection.wrapping_add(1)).wrapping_add(16 * way + purpose as u64);
        Self(mix(seed ^ mix(place)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// Events that hit each of many things with the same small probability, without a draw for each: the
/// number of things passed over is geometrically distributed, ⌊ln u / ln(1 − p)⌋ for u uniform in
/// (0, 1] (inversion).
#[derive(Clone, Debug)]
pub(super) struct Rare {
    stream: Stream,
    /// 1 / ln(1 − p); 0 for certainty.
    scale: f64,
    /// Things that are passed over before the next hit.
    left: u64,
}

impl Rare {
    pub(super) fn new(probability: f64, stream: Stream) -> Self {
        // libm, so that a seed means the same on every machine.
        let scale = if probability < 1.0 { 1.0 / libm::log1p(-probability) } else { 0.0 };
        let mut rare = Self { stream, scale, left: u64::MAX };
        if probability > 0.0 {
            rare.draw();
        }
        rare
    }

    fn draw(&mut self) {
        // The cast saturates: a gap beyond 2⁶⁴ is never.
        self.left = (libm::log(self.stream.unit()) * self.scale).floor() as u64;
    }

    /// How many of the next `n` things pass before one is hit; `n` if none of them is.
    pub(super) fn pass(&mut self, n: usize) -> usize {
        let passed = n.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if self.left != u64::MAX {
            self.left -= passed as u64;
        }
        passed
    }

    /// The thing at which [`pass`](Self::pass) stopped is hit: on to the next.
    pub(super) fn hit(&mut self) {
        self.draw();
    }

    /// Whether the next thing is hit.
    pub(super) fn next(&mut self) -> bool {
        let hit = self.pass(1) == 0;
        if hit {
            self.hit();
        }
        hit
    }
}
