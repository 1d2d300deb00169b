//! Forward and backward updates of current and membrane, element by element.

use super::kernel;
use crate::real::Real;
use crate::surrogate::{Derivative, Surrogate, with_derivative};

kernel! {
    /// `x = factor ⊙ x`: decay of the current.
    fn decay[F: Real](x: &mut [F], factor: &[F]) {
        for (x, f) in x.iter_mut().zip(factor) {
            *x *= *f;
        }
    }
}

kernel! {
    /// `next = beta ⊙ v + offset + scale ⊙ i`: the membrane before reset.
    fn membrane[F: Real](next: &mut [F], v: &[F], i: &[F], beta: &[F], scale: &[F], offset: &[F]) {
        for (((((n, v), i), b), s), o) in next.iter_mut().zip(v).zip(i).zip(beta).zip(scale).zip(offset) {
            *n = *b * *v + (*s * *i + *o);
        }
    }
}

/// Units tested at once for spikes.
const BLOCK: usize = super::rows::PAD;

kernel! {
    /// Writes the units with `v > threshold` to the front of `ids`, in ascending order, and returns
    /// their number; `ids` has room for all units.
    fn detect[F: Real](v: &[F], threshold: &[F], ids: &mut [u16]) -> usize {
        let mut found = 0;
        let (v, _) = v.as_chunks::<BLOCK>();
        let (threshold, _) = threshold.as_chunks::<BLOCK>();
        for (block, (v, th)) in v.iter().zip(threshold).enumerate() {
            let mut bits = 0_u32;
            for k in 0..BLOCK {
                bits |= u32::from(v[k] > th[k]) << k;
            }
            while bits != 0 {
                let unit = block * BLOCK + bits.trailing_zeros() as usize;
                if let Some(id) = ids.get_mut(found) {
                    *id = unit as u16;
                    found += 1;
                }
                bits &= bits - 1;
            }
        }
        found
    }
}

kernel! {
    /// `q = σ'(v − θ) ⊙ s + beta ⊙ q`: adjoint of the membrane from that of the spike and of the
    /// next membrane.
    fn adjoint_spiking[F: Real, D: Derivative<F>](q: &mut [F], s: &[F], v: &[F], threshold: &[F], beta: &[F], d: D) {
        for ((((q, s), v), th), b) in q.iter_mut().zip(s).zip(v).zip(threshold).zip(beta) {
            *q = d.at(*v - *th) * *s + *b * *q;
        }
    }
}

/// [`adjoint_spiking`] with the surrogate chosen outside the loop.
pub(crate) fn adjoint_membrane<F: Real>(
    q: &mut [F],
    s: &[F],
    v: &[F],
    threshold: &[F],
    beta: &[F],
    surrogate: Surrogate,
) {
    with_derivative!(surrogate, F, d => adjoint_spiking(q, s, v, threshold, beta, d));
}

kernel! {
    /// `q = s + beta ⊙ q`: adjoint of the membrane of a readout.
    fn adjoint_linear[F: Real](q: &mut [F], s: &[F], beta: &[F]) {
        for ((q, s), b) in q.iter_mut().zip(s).zip(beta) {
            *q = *s + *b * *q;
        }
    }
}

kernel! {
    /// `di = alpha ⊙ di + scale ⊙ q`: adjoint of the current.
    fn adjoint_current[F: Real](di: &mut [F], q: &[F], alpha: &[F], scale: &[F]) {
        for (((i, q), a), s) in di.iter_mut().zip(q).zip(alpha).zip(scale) {
            *i = *a * *i + *s * *q;
        }
    }
}
