//! The loops over neurons that every run shares: synaptic filter, membrane, escape.

use super::config::Factors;
use crate::kernel::kernel;
use crate::real::Real;

/// Beyond this many widths below the threshold, p (then below 5e-18) is taken as 0: Adam's ε makes
/// a gradient of that size a step of less than 1e-9 of the rate.
const FAR: f64 = 40.0;

/// p, and the residual that drives learning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Escape<F> {
    /// p = Θ(v).
    Step,
    /// p = σ(v · inverse).
    Sigmoid {
        /// 1/δv.
        inverse: F,
    },
}

impl<F: Real> Escape<F> {
    pub(crate) fn new(delta_v: f64) -> Self {
        if delta_v < super::config::SMALLEST_DELTA_V {
            Self::Step
        } else {
            Self::Sigmoid { inverse: F::of(1.0 / delta_v) }
        }
    }

    /// s* − p(v). With a spike it is computed as σ(−v/δv), which keeps its digits near p = 1.
    #[inline]
    pub(crate) fn residual(self, v: F, fires: bool) -> F {
        match self {
            Self::Step => {
                let (s, p) = (f64::from(u8::from(fires)), f64::from(u8::from(v > F::zero())));
                F::of(s - p)
            }
            Self::Sigmoid { inverse } => {
                let x = v * inverse;
                let x = if fires { -x } else { x };
                if x < F::of(-FAR) {
                    return F::zero();
                }
                let p = F::one() / (F::one() + (-x).det_exp());
                if fires { p } else { -p }
            }
        }
    }
}

kernel! {
    /// `u = decay · u + gain · sum`: the filtered spikes behind the weights.
    fn filter[F: Real](u: &mut [F], sum: &[F], decay: F, gain: F) {
        for (u, s) in u.iter_mut().zip(sum) {
            *u = decay * *u + gain * *s;
        }
    }
}

kernel! {
    /// One bin of the membrane with current synapses, without the reset.
    fn membrane_of_current[F: Real](v: &mut [F], u: &[F], i: &[F], f: Factors<F>) {
        for ((v, u), i) in v.iter_mut().zip(u).zip(i) {
            *v = f.keep * *v + f.input * (*u + *i + f.h);
        }
    }
}

kernel! {
    /// One bin of the membrane with conductances, without the reset.
    fn membrane_of_conductance[F: Real](v: &mut [F], plus: &[F], minus: &[F], i: &[F], f: Factors<F>, reversal: F) {
        let inverse = F::one() / reversal;
        for (((v, p), m), i) in v.iter_mut().zip(plus).zip(minus).zip(i) {
            let x = *v * inverse;
            let current = *p * (F::one() - x) - *m * (F::one() + x);
            *v = f.keep * *v + f.input * (current + *i + f.h);
        }
    }
}

/// One bin of the membranes of a tile, without the reset. `u` holds one row per weight matrix.
pub(crate) fn membrane<F: Real, U: AsRef<[F]>>(v: &mut [F], u: &[U], i: &[F], f: Factors<F>) {
    match (f.reversal, u) {
        (Some(reversal), [plus, minus]) => {
            membrane_of_conductance(v, plus.as_ref(), minus.as_ref(), i, f, reversal);
        }
        (_, [u, ..]) => membrane_of_current(v, u.as_ref(), i, f),
        (_, []) => {}
    }
}
