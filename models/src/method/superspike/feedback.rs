//! How an error at the output reaches a hidden neuron.
//!
//! The raw ±1 events of output `k` are added to hidden neuron `i` with a factor `b_ki` and filtered
//! there. Symmetric: `b_ki` is the weight from `i` to `k` of the moment. Random: `N(0, 1)`, fixed
//! (feedback alignment; Lillicrap et al., Nature Communications 2016). Uniform: 1.

use serde::{Deserialize, Serialize};

use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::random;
use crate::real::Real;

/// Stream of the random feedback weights.
const STREAM: u64 = 0x5550_0010;

/// Where the feedback weights come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feedback {
    /// The forward weights.
    #[default]
    Symmetric,
    /// Drawn once from N(0, 1).
    Random,
    /// All 1.
    Uniform,
}

impl Feedback {
    /// The fixed feedback weights `[output, hidden]`, rows padded; empty for symmetric feedback.
    pub(super) fn draw<F: Real>(self, outputs: usize, hidden: usize, seed: u64) -> Aligned<F> {
        let stride = padded(hidden);
        let mut rng = random::stream(seed, STREAM);
        let mut rows = match self {
            Self::Symmetric => return Aligned::default(),
            Self::Random | Self::Uniform => Aligned::zeros(outputs * stride),
        };
        for row in rows.chunks_exact_mut(stride) {
            for b in &mut row[..hidden] {
                *b = match self {
                    Self::Random => F::of(random::normal(&mut rng)),
                    _ => F::one(),
                };
            }
        }
        rows
    }
}
