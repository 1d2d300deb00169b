//! Adamax over flat slices.

use crate::kernel::kernel;
use crate::real::Real;

kernel! {
    /// One step of all weights; `step` is η/(1 − β₁ᵗ).
    fn update[F: Real](
        w: &mut [F], g: &[F], m: &mut [F], u: &mut [F], beta1: F, gain1: F, beta2: F, epsilon: F, step: F,
    ) {
        for (((w, g), m), u) in w.iter_mut().zip(g).zip(m).zip(u) {
            *m = beta1 * *m + gain1 * *g;
            let (old, new) = (beta2 * *u, g.abs() + epsilon);
            *u = if old > new { old } else { new };
            *w -= step * *m / *u;
        }
    }
}
