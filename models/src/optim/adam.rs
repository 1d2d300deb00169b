//! Adam over flat slices.

use crate::kernel::kernel;
use crate::real::Real;

/// Numbers of one step, the same for all weights.
#[derive(Clone, Copy)]
pub(crate) struct Constants<F> {
    /// β₁.
    pub(crate) beta1: F,
    /// 1 − β₁.
    pub(crate) gain1: F,
    /// β₂.
    pub(crate) beta2: F,
    /// 1 − β₂.
    pub(crate) gain2: F,
    /// η/(1 − β₁ᵗ).
    pub(crate) step: F,
    /// 1/√(1 − β₂ᵗ).
    pub(crate) root: F,
    /// ε.
    pub(crate) epsilon: F,
}

kernel! {
    /// One step of all weights.
    fn update[F: Real](w: &mut [F], g: &[F], m: &mut [F], v: &mut [F], c: Constants<F>) {
        for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            *m = c.beta1 * *m + c.gain1 * *g;
            *v = c.beta2 * *v + c.gain2 * (*g * *g);
            *w -= c.step * *m / (v.sqrt() * c.root + c.epsilon);
        }
    }
}

kernel! {
    /// Limits |w|.
    fn clamp[F: Real](w: &mut [F], limit: F) {
        for w in w {
            let low = if *w < -limit { -limit } else { *w };
            *w = if low > limit { limit } else { low };
        }
    }
}
