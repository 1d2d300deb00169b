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
const BLOCK: usize = 16;

kernel! {
    /// Appends the units with `v > threshold`, in ascending order.
    fn detect[F: Real](v: &[F], threshold: &[F], ids: &mut Vec<u16>) {
        for (block, (v, th)) in v.chunks_exact(BLOCK).zip(threshold.chunks_exact(BLOCK)).enumerate() {
            let mut any = false;
            for (v, th) in v.iter().zip(th) {
                any |= *v > *th;
            }
            if any {
                for (k, (v, th)) in v.iter().zip(th).enumerate() {
                    if *v > *th {
                        ids.push((block * BLOCK + k) as u16);
                    }
                }
            }
        }
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
