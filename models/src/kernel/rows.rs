//! Gather and scatter of weight rows at spikes.

use super::kernel;
use crate::real::Real;

/// Units are padded to a multiple of this, so that no loop has a remainder.
pub(crate) const PAD: usize = 16;

/// Number of units with padding.
pub(crate) fn padded(units: usize) -> usize {
    units.div_ceil(PAD) * PAD
}

/// `acc += Σ rows[id]` for one block of `N` units, in the order of `ids`, with the block in
/// registers.
#[inline(always)]
fn gather_block<F: Real, const N: usize>(
    acc: &mut [F],
    first: usize,
    rows: &[F],
    stride: usize,
    ids: &[u16],
) {
    let Some(acc) = acc[first..].first_chunk_mut::<N>() else { return };
    let mut sum = *acc;
    for id in ids {
        let Some(row) = rows[usize::from(*id) * stride + first..].first_chunk::<N>() else {
            return;
        };
        for k in 0..N {
            sum[k] += row[k];
        }
    }
    *acc = sum;
}

kernel! {
    /// `acc[·] += Σ_id rows[id, ·]`, rows of `acc.len()` units (padded).
    fn gather[F: Real](acc: &mut [F], rows: &[F], ids: &[u16]) {
        let stride = acc.len();
        let mut first = 0;
        while first + 64 <= stride {
            gather_block::<F, 64>(acc, first, rows, stride, ids);
            first += 64;
        }
        while first < stride {
            gather_block::<F, PAD>(acc, first, rows, stride, ids);
            first += PAD;
        }
    }
}

kernel! {
    /// `acc[·] += Σ_k values[k] rows[ids[k], ·]`.
    fn gather_weighted[F: Real](acc: &mut [F], rows: &[F], ids: &[u16], values: &[F]) {
        let stride = acc.len();
        for (id, value) in ids.iter().zip(values) {
            let row = &rows[usize::from(*id) * stride..][..stride];
            for (a, w) in acc.iter_mut().zip(row) {
                *a += *value * *w;
            }
        }
    }
}

kernel! {
    /// `rows[id, ·] += adjoint[·]` for every id: the weight gradient at the spikes of one step.
    fn scatter[F: Real](rows: &mut [F], adjoint: &[F], ids: &[u16]) {
        let stride = adjoint.len();
        for id in ids {
            let row = &mut rows[usize::from(*id) * stride..][..stride];
            for (r, a) in row.iter_mut().zip(adjoint) {
                *r += *a;
            }
        }
    }
}

kernel! {
    /// `rows[ids[k], ·] += values[k] adjoint[·]`.
    fn scatter_weighted[F: Real](rows: &mut [F], adjoint: &[F], ids: &[u16], values: &[F]) {
        let stride = adjoint.len();
        for (id, value) in ids.iter().zip(values) {
            let row = &mut rows[usize::from(*id) * stride..][..stride];
            for (r, a) in row.iter_mut().zip(adjoint) {
                *r += *value * *a;
            }
        }
    }
}

/// Rows added at once in [`backproject`].
const TOGETHER: usize = 4;

kernel! {
    /// `acc[·] += Σ_post adjoint[post] transposed[post, ·]`: the adjoint of the spikes below, in the
    /// order of `post`. `adjoint` is not padded.
    fn backproject[F: Real](acc: &mut [F], transposed: &[F], adjoint: &[F]) {
        let stride = acc.len();
        let quads = adjoint.chunks_exact(TOGETHER);
        let rest = quads.remainder();
        let done = adjoint.len() - rest.len();
        for (q, a) in quads.enumerate() {
            let rows = &transposed[q * TOGETHER * stride..][..TOGETHER * stride];
            let (r0, rows) = rows.split_at(stride);
            let (r1, rows) = rows.split_at(stride);
            let (r2, r3) = rows.split_at(stride);
            for ((((x, w0), w1), w2), w3) in acc.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
                *x = *x + a[0] * *w0 + a[1] * *w1 + a[2] * *w2 + a[3] * *w3;
            }
        }
        for (k, a) in rest.iter().enumerate() {
            let row = &transposed[(done + k) * stride..][..stride];
            for (x, w) in acc.iter_mut().zip(row) {
                *x += *a * *w;
            }
        }
    }
}

kernel! {
    /// `out = a₀ + a₁ + …`, added in order, then `+ slope · weights` unless `slope` is 0.
    fn sum_rows[F: Real](out: &mut [F], lanes: &[&[F]], first: usize, weights: &[F], slope: F) {
        let len = out.len();
        for (k, lane) in lanes.iter().enumerate() {
            let lane = &lane[first..first + len];
            if k == 0 {
                out.copy_from_slice(lane);
            } else {
                for (o, l) in out.iter_mut().zip(lane) {
                    *o += *l;
                }
            }
        }
        if slope != F::zero() {
            for (o, w) in out.iter_mut().zip(&weights[first..first + len]) {
                *o += slope * *w;
            }
        }
    }
}
