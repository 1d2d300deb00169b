//! Boolean problems and a disc inside a ring, as spike times between 0 and 1 (Comsa et al. 2019).

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::encode::SpikeTimes;
use crate::random;

/// Width of the noise on an input.
const NOISE: f64 = 0.45;
/// Earliest time of an input that is true; a false one starts at 0.
const TRUE: f64 = 0.55;
/// Radius of the disc.
const DISC: f64 = 0.3;
/// Inner and outer radius of the ring.
const RING: (f64, f64) = (0.4, 0.5);

/// Which problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logic {
    /// Both inputs are true.
    And,
    /// At least one input is true.
    Or,
    /// Exactly one input is true.
    Xor,
    /// The point lies in the ring around the disc; its coordinates are the inputs.
    Circle,
}

impl Logic {
    /// `count` samples of two inputs and their labels (1 = the statement holds), from stream `stream`
    /// of `seed`.
    ///
    /// Both labels are equally likely; within a label of a Boolean problem each number of true
    /// inputs is, and then each choice of them. A false input spikes at U(0, 0.45), a true one at
    /// 0.55 + U(0, 0.45). Points are uniform over the disc of radius 0.3 or the ring from 0.4 to 0.5
    /// around (½, ½).
    #[must_use]
    pub fn samples(self, count: usize, seed: u64, stream: u64) -> (SpikeTimes, Vec<u16>) {
        let mut rng = random::stream(seed, stream);
        let mut inputs = SpikeTimes::new(2);
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let label = coin(&mut rng);
            let times = match self {
                Self::Circle => point(label, &mut rng),
                _ => self
                    .bits(label, &mut rng)
                    .map(|bit| f64::from(u8::from(bit)) * TRUE + NOISE * random::uniform(&mut rng)),
            };
            inputs.push_sample(times.map(|t| t as f32));
            labels.push(u16::from(label));
        }
        (inputs, labels)
    }

    /// Two bits for which the statement is `label`; always draws twice.
    fn bits(self, label: bool, rng: &mut ChaCha8Rng) -> [bool; 2] {
        let (several, which) = (coin(rng), coin(rng));
        let one = [which, !which];
        match (self, label) {
            (Self::And, true) => [true, true],
            (Self::Or, false) => [false, false],
            // One of two numbers of true inputs: 0 or 1, 1 or 2, 0 or 2.
            (Self::And, false) if several => [false, false],
            (Self::Or, true) if several => [true, true],
            (Self::Xor, false) => [several, several],
            (Self::And | Self::Or | Self::Xor | Self::Circle, _) => one,
        }
    }
}

fn coin(rng: &mut ChaCha8Rng) -> bool {
    random::uniform(rng) < 0.5
}

/// A point of the disc, or of the ring.
fn point(ring: bool, rng: &mut ChaCha8Rng) -> [f64; 2] {
    let (inner, outer) = if ring { RING } else { (0.0, DISC) };
    // Uniform over the area: uniform in the square of the radius.
    let square = inner * inner + (outer * outer - inner * inner) * random::uniform(rng);
    let angle = 2.0 * std::f64::consts::PI * random::uniform(rng);
    let radius = square.sqrt();
    [0.5 + radius * libm::cos(angle), 0.5 + radius * libm::sin(angle)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_true_and_balanced() {
        for problem in [Logic::And, Logic::Or, Logic::Xor, Logic::Circle] {
            let (inputs, labels) = problem.samples(4000, 1, 0);
            let mut kinds = [0; 4];
            for (sample, label) in labels.iter().enumerate() {
                let (times, ids) = inputs.sample(sample);
                let mut at = [0.0; 2];
                times.iter().zip(ids).for_each(|(t, id)| at[usize::from(*id)] = f64::from(*t));
                assert!(at.iter().all(|t| (0.0..1.0).contains(t)), "{at:?}");
                let [a, b] = at.map(|t| t >= TRUE);
                let holds = match problem {
                    Logic::And => a && b,
                    Logic::Or => a || b,
                    Logic::Xor => a != b,
                    Logic::Circle => {
                        let r = (at[0] - 0.5).hypot(at[1] - 0.5);
                        assert!(!(0.300_001..=0.399_999).contains(&r), "radius {r}");
                        r > 0.35
                    }
                };
                assert_eq!(*label, u16::from(holds), "{problem:?} {at:?}");
                assert!(
                    problem == Logic::Circle || at.iter().all(|t| *t < 0.450_001 || *t >= TRUE)
                );
                kinds[usize::from(a) * 2 + usize::from(b)] += 1;
            }
            let ones = labels.iter().filter(|l| **l == 1).count();
            // Four standard errors of 4000 throws of a coin.
            assert!((1874..=2126).contains(&ones), "{problem:?}: {ones} of 4000");
            if problem == Logic::And {
                // None, the second, the first, both: 1/4, 1/8, 1/8, 1/2.
                assert!(kinds[1] > 400 && kinds[2] > 400 && kinds[0] > 880, "{kinds:?}");
            }
        }
    }

    #[test]
    fn a_seed_names_the_samples() {
        let draw = |seed, stream| Logic::Xor.samples(5, seed, stream);
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
    }
}
