//! Adam (Kingma & Ba 2015) uphill: β₁ = 0.9, β₂ = 0.999, ε = 1e-8 outside the root.

use crate::kernel::kernel;
use crate::real::Real;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Gradients are multiplied by this power of two, and ε with them: the step stays the same, and the
/// squares of small gradients stay away from the numbers that are slow because they are denormal.
const SCALE: f64 = (1u64 << 40) as f64;

/// A mean gradient below this part of ε is 0: it would move a weight by less than 1e-9 of the rate.
const NOTHING: f64 = 1e-9;

/// Added to the squares (of scaled gradients) in each step for the same reason. Their root is at
/// least 3e-14 then, next to an ε of 1e4.
const FLOOR: f64 = 1e-30;

/// Numbers of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<F> {
    /// What gradients are multiplied by before they are passed to [`ascend`].
    pub(crate) scale: F,
    beta1: F,
    gain1: F,
    beta2: F,
    gain2: F,
    /// α/(1 − β₁ᵏ).
    step: F,
    /// 1/√(1 − β₂ᵏ).
    root: F,
    epsilon: F,
    nothing: F,
    floor: F,
}

impl<F: Real> Step<F> {
    /// Step number `k`, from 1, at `rate`.
    pub(crate) fn new(k: u64, rate: f64) -> Self {
        let left = |beta: f64| 1.0 - libm::pow(beta, k as f64);
        Self {
            scale: F::of(SCALE),
            beta1: F::of(BETA1),
            gain1: F::of(1.0 - BETA1),
            beta2: F::of(BETA2),
            gain2: F::of(1.0 - BETA2),
            step: F::of(rate / left(BETA1)),
            root: F::of(1.0 / left(BETA2).sqrt()),
            epsilon: F::of(EPSILON * SCALE),
            nothing: F::of(EPSILON * SCALE * NOTHING),
            floor: F::of(FLOOR),
        }
    }
}

/// What `steps` steps without a gradient leave of a square.
pub(crate) fn rest<F: Real>(steps: u32) -> F {
    F::of(libm::pow(BETA2, f64::from(steps)))
}

kernel! {
    /// One step of the weights `w` with moments `m`, `q` and the gradient `delta · e`, `delta` scaled
    /// by [`Step::scale`]. Returns whether any mean is still other than 0: if not, and while `delta`
    /// is 0, further steps change nothing but decay `q` ([`rest`]).
    fn ascend[F: Real](w: &mut [F], m: &mut [F], q: &mut [F], e: &[F], delta: F, c: Step<F>) -> bool {
        let mut moves = false;
        for (((w, m), q), e) in w.iter_mut().zip(m).zip(q).zip(e) {
            let g = delta * *e;
            let mean = c.beta1 * *m + c.gain1 * g;
            let mean = if mean.abs() < c.nothing { F::zero() } else { mean };
            let square = c.beta2 * *q + (c.gain2 * (g * g) + c.floor);
            moves |= mean != F::zero();
            *m = mean;
            *q = square;
            *w += c.step * mean / (square.sqrt() * c.root + c.epsilon);
        }
        moves
    }
}

kernel! {
    /// `x = factor · x`.
    fn shrink[F: Real](x: &mut [F], factor: F) {
        for x in x {
            *x *= factor;
        }
    }
}
