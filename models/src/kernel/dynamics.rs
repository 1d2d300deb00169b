//! Forward and backward updates of current and membrane, element by element.

use super::kernel;
use super::rows::PAD;
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

/// Units tested at once for spikes: few spike at a step, and a wide test is one branch.
const WIDE: usize = 64;

/// Whether any unit of a block is above its threshold.
#[inline(always)]
fn any_above<F: Real>(v: &[F], threshold: &[F]) -> bool {
    let mut any = false;
    for (v, th) in v.iter().zip(threshold) {
        any |= *v > *th;
    }
    any
}

kernel! {
    /// Writes the units with `v > threshold` to the front of `ids`, in ascending order, and returns
    /// their number; `ids` has room for all units.
    fn detect[F: Real](v: &[F], threshold: &[F], ids: &mut [u16]) -> usize {
        let mut found = 0;
        for (block, (v, th)) in v.chunks(WIDE).zip(threshold.chunks(WIDE)).enumerate() {
            // The full block has a constant length, which is what makes the test one of vectors.
            let some = match (v.first_chunk::<WIDE>(), th.first_chunk::<WIDE>()) {
                (Some(v), Some(th)) => any_above(v, th),
                _ => true,
            };
            if !some {
                continue;
            }
            let first = block * WIDE;
            for (k, (v, th)) in v.as_chunks::<PAD>().0.iter().zip(th.as_chunks::<PAD>().0).enumerate() {
                if !any_above(v, th) {
                    continue;
                }
                for (j, (v, th)) in v.iter().zip(th).enumerate() {
                    if *v > *th && let Some(id) = ids.get_mut(found) {
                        *id = (first + k * PAD + j) as u16;
                        found += 1;
                    }
                }
            }
        }
        found
    }
}

kernel! {
    /// `top = max(top, row)` over all rows of `rows`; `top` has the length of a row.
    fn maxima[F: Real](top: &mut [F], rows: &[F]) {
        for row in rows.chunks_exact(top.len()) {
            for (t, v) in top.iter_mut().zip(row) {
                *t = if *v > *t { *v } else { *t };
            }
        }
    }
}

kernel! {
    /// Appends the rows that have an entry of at least `floor`.
    fn rows_above[F: Real](rows: &[F], floor: &[F], found: &mut Vec<usize>) {
        for (t, row) in rows.chunks_exact(floor.len()).enumerate() {
            let mut any = false;
            for (v, f) in row.iter().zip(floor) {
                any |= *v >= *f;
            }
            if any {
                found.push(t);
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
