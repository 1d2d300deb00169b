//! Inner loops of DECOLLE, element by element.

use crate::kernel::kernel;
use crate::kernel::rows::PAD;
use crate::real::Real;
use crate::surrogate::{Derivative, Surrogate, with_derivative};

kernel! {
    /// `p = α p + gain q` with the old `q`, then `q = β q`. What falls below `tiny` becomes 0:
    /// subnormal numbers of units that were silent for thousands of steps would stall the processor.
    fn traces[F: Real](p: &mut [F], q: &mut [F], alpha: F, gain: F, beta: F, tiny: F) {
        for (p, q) in p.iter_mut().zip(q) {
            let next = alpha * *p + gain * *q;
            *p = if next > tiny { next } else { F::zero() };
            let rest = beta * *q;
            *q = if rest > tiny { rest } else { F::zero() };
        }
    }
}

kernel! {
    /// `v = α v + gain j` with the old `j`, then `j = β j`: the traces after the weights.
    fn filter[F: Real](v: &mut [F], j: &mut [F], alpha: F, gain: F, beta: F) {
        for (v, j) in v.iter_mut().zip(j) {
            *v = alpha * *v + gain * *j;
            *j *= beta;
        }
    }
}

kernel! {
    /// `r = α r − jump Θ(u)`: the refractory trace after the spikes of the last step.
    fn refractory[F: Real](r: &mut [F], u: &[F], alpha: F, jump: F) {
        for (r, u) in r.iter_mut().zip(u) {
            *r = alpha * *r - if *u > F::zero() { jump } else { F::zero() };
        }
    }
}

kernel! {
    /// `u = r + bias`, the bias repeated at every pixel.
    fn rest[F: Real](u: &mut [F], r: &[F], bias: &[F]) {
        for (u, r) in u.chunks_exact_mut(bias.len()).zip(r.chunks_exact(bias.len())) {
            for ((u, r), b) in u.iter_mut().zip(r).zip(bias) {
                *u = *r + *b;
            }
        }
    }
}

kernel! {
    /// `u += v`.
    fn add[F: Real](u: &mut [F], v: &[F]) {
        for (u, v) in u.iter_mut().zip(v) {
            *u += *v;
        }
    }
}

kernel! {
    fn slopes[F: Real, D: Derivative<F>](delta: &mut [F], u: &[F], e: &[F], d: D) {
        for ((delta, u), e) in delta.iter_mut().zip(u).zip(e) {
            *delta = d.at(*u) * *e;
        }
    }
}

/// `δ = σ'(u) e`.
pub(super) fn through_spike<F: Real>(delta: &mut [F], u: &[F], e: &[F], surrogate: Surrogate) {
    with_derivative!(surrogate, F, d => slopes(delta, u, e, d));
}

/// `acc += Σ_k values[k] rows[ids[k]]` for one block of `N` units, the block in registers.
#[inline(always)]
fn weighted_block<F: Real, const N: usize>(
    acc: &mut [F],
    first: usize,
    rows: &[F],
    stride: usize,
    ids: &[u16],
    values: &[F],
) {
    let Some(acc) = acc[first..].first_chunk_mut::<N>() else { return };
    let mut sum = *acc;
    for (id, value) in ids.iter().zip(values) {
        let Some(row) = rows[usize::from(*id) * stride + first..].first_chunk::<N>() else {
            return;
        };
        for k in 0..N {
            sum[k] += *value * row[k];
        }
    }
    *acc = sum;
}

kernel! {
    /// `acc[·] += Σ_k values[k] rows[ids[k], ·]`, rows `stride` apart and at least as long as `acc`.
    fn weighted[F: Real](acc: &mut [F], rows: &[F], stride: usize, ids: &[u16], values: &[F]) {
        let mut first = 0;
        while first + 64 <= acc.len() {
            weighted_block::<F, 64>(acc, first, rows, stride, ids, values);
            first += 64;
        }
        while first < acc.len() {
            weighted_block::<F, PAD>(acc, first, rows, stride, ids, values);
            first += PAD;
        }
    }
}

/// Weight rows that [`outer`] works on together: each `∂L/∂U` is then read once for all of them.
pub(super) const TOGETHER: usize = 4;

/// One block of `N` units of [`outer`], in registers.
#[inline(always)]
fn outer_block<F: Real, const N: usize>(
    acc: &mut [F],
    width: usize,
    first: usize,
    rows: &[F],
    stride: usize,
    ids: &[u16],
    values: &[[F; TOGETHER]],
) {
    let (a0, rest) = acc.split_at_mut(width);
    let (a1, rest) = rest.split_at_mut(width);
    let (a2, a3) = rest.split_at_mut(width);
    let [Some(a0), Some(a1), Some(a2), Some(a3)] =
        [a0, a1, a2, a3].map(|a| a[first..].first_chunk_mut::<N>())
    else {
        return;
    };
    let (mut s0, mut s1, mut s2, mut s3) = (*a0, *a1, *a2, *a3);
    for (id, v) in ids.iter().zip(values) {
        let Some(row) = rows[usize::from(*id) * stride + first..].first_chunk::<N>() else {
            return;
        };
        for k in 0..N {
            s0[k] += v[0] * row[k];
        }
        for k in 0..N {
            s1[k] += v[1] * row[k];
        }
        for k in 0..N {
            s2[k] += v[2] * row[k];
        }
        for k in 0..N {
            s3[k] += v[3] * row[k];
        }
    }
    (*a0, *a1, *a2, *a3) = (s0, s1, s2, s3);
}

kernel! {
    /// `acc[r, ·] += Σ_k values[k][r] rows[ids[k], ·]` for four rows of `width` units; `rows` stand
    /// `stride` apart.
    fn outer[F: Real](acc: &mut [F], width: usize, rows: &[F], stride: usize, ids: &[u16], values: &[[F; TOGETHER]]) {
        let mut first = 0;
        while first + 32 <= width {
            outer_block::<F, 32>(acc, width, first, rows, stride, ids, values);
            first += 32;
        }
        while first < width {
            outer_block::<F, PAD>(acc, width, first, rows, stride, ids, values);
            first += PAD;
        }
    }
}
