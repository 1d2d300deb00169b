//! SMORMS3 over flat slices.

use crate::kernel::kernel;
use crate::real::Real;

kernel! {
    /// One step of all weights; `eta` bounds the relative step.
    fn update[F: Real](
        w: &mut [F], g: &[F], mean: &mut [F], square: &mut [F], memory: &mut [F], epsilon: F, eta: F,
    ) {
        for ((((w, g), mean), square), memory) in w.iter_mut().zip(g).zip(mean).zip(square).zip(memory) {
            let r = F::one() / (*memory + F::one());
            *mean = (F::one() - r) * *mean + r * *g;
            *square = (F::one() - r) * *square + r * (*g * *g);
            let x = *mean * *mean / (*square + epsilon);
            *memory = F::one() + *memory * (F::one() - x);
            let rate = if x < eta { x } else { eta };
            *w -= rate * *g / (square.sqrt() + epsilon);
        }
    }
}
