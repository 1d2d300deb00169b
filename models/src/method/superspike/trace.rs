//! The double exponential, made by two cascaded filters.

use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::padded;
use crate::real::Real;

/// What is smaller than this is 0. It keeps traces that fade out from becoming subnormal numbers,
/// which processors handle a hundred times more slowly; a trace counts about 0.1.
pub(super) const TINY: f64 = 1e-15;

/// Two filters in a row for every unit: `fast` decays and takes the events, `slow` follows it.
///
/// Two orders are used, and each belongs to one place. *Membrane order*: the slow filter moves, then
/// the fast one decays and takes what arrives, exactly as the membrane and the current of the
/// neuron; so the trace of a source is the derivative of the membrane by its weight. *Kernel order*:
/// the fast filter decays and takes the event, then the slow one moves.
#[derive(Clone, Debug, Default)]
pub(super) struct DoubleTrace<F> {
    pub(super) fast: Aligned<F>,
    pub(super) slow: Aligned<F>,
}

kernel! {
    /// The slow filter moves, then the fast one decays.
    fn membrane_order[F: Real](slow: &mut [F], fast: &mut [F], decay: F, follow: F, tiny: F) {
        for (s, f) in slow.iter_mut().zip(fast) {
            let x = *s + follow * (*f - *s);
            *s = if x < tiny { F::zero() } else { x };
            let y = *f * decay;
            *f = if y < tiny { F::zero() } else { y };
        }
    }
}

kernel! {
    /// The fast filter decays and takes the events, then the slow one moves.
    fn kernel_order[F: Real](
        slow: &mut [F], fast: &mut [F], events: &[F], decay: F, follow: F, tiny: F,
    ) {
        for ((s, f), e) in slow.iter_mut().zip(fast).zip(events) {
            let y = *f * decay + *e;
            let y = if y.abs() < tiny { F::zero() } else { y };
            let x = *s + follow * (y - *s);
            *f = y;
            *s = if x.abs() < tiny { F::zero() } else { x };
        }
    }
}

impl<F: Real> DoubleTrace<F> {
    pub(super) fn new(units: usize) -> Self {
        Self { fast: Aligned::zeros(padded(units)), slow: Aligned::zeros(padded(units)) }
    }

    pub(super) fn clear(&mut self) {
        self.fast.fill(F::zero());
        self.slow.fill(F::zero());
    }

    /// One step in membrane order; `arrivals` add 1.
    pub(super) fn arrive(&mut self, arrivals: &[u16], decay: F, follow: F) {
        membrane_order(&mut self.slow, &mut self.fast, decay, follow, F::of(TINY));
        for id in arrivals {
            self.fast[usize::from(*id)] += F::one();
        }
    }

    /// One step in kernel order.
    pub(super) fn take(&mut self, events: &[F], decay: F, follow: F) {
        kernel_order(&mut self.slow, &mut self.fast, events, decay, follow, F::of(TINY));
    }
}

/// Area under the square of the kernel in kernel order, in steps: `Σ α[n]²` over its response to one
/// event. What one missing spike costs, so that costs can be counted in spikes.
///
/// The response is `α[n] = c (p^{n+1} − q^{n+1})` with `q` the decay of the fast filter,
/// `p = 1 − follow` and `c = follow / (p − q)`; the sum is a geometric series. (For `p = q` the limit
/// is taken by moving `p` a little.)
#[must_use]
pub fn kernel_energy(decay: f64, follow: f64) -> f64 {
    let q = decay;
    let mut p = 1.0 - follow;
    if (p - q).abs() < 1e-9 {
        p = q + 1e-9;
    }
    let c = (1.0 - p) / (p - q);
    // α[n] = follow Σ_{m ≤ n} p^{n−m} q^m.
    let series = |x: f64, y: f64| x * y / (1.0 - x * y);
    c * c * (series(p, p) - 2.0 * series(p, q) + series(q, q))
}
