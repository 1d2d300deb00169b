//! Where each class of a readout has its maximum over time, with ties broken by noise; see
//! [`super`].

use super::Readout;
use crate::kernel::dynamics::{maxima, rows_above};
use crate::random::{COUNTER_NORMAL_BOUND, counter_normal, mix};
use crate::real::Real;

/// Memory of the search for maxima: one entry a class, and the states near a maximum.
#[derive(Clone, Debug, Default)]
pub(super) struct MaximumScratch {
    pub(super) steps: Vec<usize>,
    noisy: Vec<f64>,
    near: Vec<usize>,
}

/// Readouts up to this width find their maxima without allocation.
const FLOORS: usize = 256;

/// State of the maximum of each class. The noise is bounded, so only states within twice its bound
/// of the maximum can win: it is drawn for those alone, and the result is that of drawing it for
/// all.
pub(super) fn latest_maxima<F: Real>(
    readout: &Readout<'_, F>,
    key: u64,
    tie_noise: f64,
    scratch: &mut MaximumScratch,
) {
    let MaximumScratch { steps, noisy, near } = scratch;
    let (classes, stride) = (readout.classes, readout.stride);
    steps.clear();
    steps.resize(classes, 0);
    // Columns beyond the classes are padding: nothing is above an infinite floor.
    let mut floors = [F::neg_infinity(); FLOORS];
    let mut many = Vec::new();
    let floors = if stride <= FLOORS {
        &mut floors[..stride]
    } else {
        many.resize(stride, F::neg_infinity());
        &mut many[..]
    };
    maxima(floors, readout.membrane);
    let margin = F::of(2.0 * COUNTER_NORMAL_BOUND * tie_noise);
    floors[..classes].iter_mut().for_each(|floor| *floor -= margin);
    floors[classes..].fill(F::infinity());
    near.clear();
    rows_above(readout.membrane, floors, near);
    noisy.clear();
    noisy.resize(classes, f64::NEG_INFINITY);
    for &t in near.iter() {
        for (k, (value, floor)) in readout.row(t).iter().zip(floors.iter()).enumerate() {
            if *value < *floor {
                continue;
            }
            let noise = if tie_noise > 0.0 {
                counter_normal(mix(mix(key, t as u64), k as u64))
            } else {
                0.0
            };
            let value = value.wide() + tie_noise * noise;
            if value > noisy[k] {
                (noisy[k], steps[k]) = (value, t);
            }
        }
    }
}
