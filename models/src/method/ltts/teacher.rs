//! What is known before learning because the spikes are given: filtered spikes and eligibilities.

use super::config::Factors;
use super::pattern::Pattern;
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::PAD;
use crate::real::Real;

/// Traces below this are 0: with |δ| ≤ 1 the gradient would be below 1e-10 of Adam's ε.
const NOTHING: f64 = 1e-18;

/// Neurons that spike in a target. All others have no trace: their weights never change and never
/// count, so the loops leave them out.
pub(crate) fn active<F: Real>(patterns: &[Pattern<F>]) -> Vec<u16> {
    let mut ids: Vec<u16> = Vec::new();
    for pattern in patterns {
        let target = pattern.target();
        // A spike in the last bin acts on nothing.
        for t in 0..target.steps() - 1 {
            ids.extend_from_slice(target.at(0, t));
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Traces of the active neurons for one pattern, in rows of `width`.
#[derive(Clone, Debug)]
pub(crate) struct Teacher<F> {
    pub(crate) steps: usize,
    pub(crate) width: usize,
    /// ŝ*(t), `[time, active]`.
    s_hat: Aligned<F>,
    /// e(t), `[time, active]`.
    e: Aligned<F>,
    /// s*(t), `[neuron, time]`.
    fires: Vec<bool>,
}

impl<F: Real> Teacher<F> {
    /// `active` is ascending.
    pub(crate) fn new(f: Factors<F>, pattern: &Pattern<F>, active: &[u16]) -> Self {
        let (steps, neurons) = (pattern.drive().steps(), pattern.drive().units());
        let width = width(active);
        let mut s_hat = Aligned::zeros(steps * width);
        let mut e = Aligned::zeros(steps * width);
        let mut fires = vec![false; neurons * steps];
        let flush = |x: F| if x < F::of(NOTHING) { F::zero() } else { x };
        for t in 0..steps {
            let fired = pattern.target().at(0, t);
            for id in fired {
                fires[usize::from(*id) * steps + t] = true;
            }
            if t > 0 {
                let (done, now) = e.split_at_mut(t * width);
                let (e, s) = (&done[(t - 1) * width..], &s_hat[(t - 1) * width..]);
                for ((to, e), s) in now.iter_mut().zip(e).zip(s).take(width) {
                    *to = flush(f.keep * *e + f.input * *s);
                }
                let (done, now) = s_hat.split_at_mut(t * width);
                for (to, s) in now.iter_mut().zip(&done[(t - 1) * width..]).take(width) {
                    *to = flush(f.syn * *s);
                }
            }
            for id in fired {
                if let Ok(k) = active.binary_search(id) {
                    s_hat[t * width + k] += f.spike_gain(t);
                }
            }
        }
        Self { steps, width, s_hat, e, fires }
    }

    pub(crate) fn s_hat(&self, t: usize) -> &[F] {
        &self.s_hat[t * self.width..][..self.width]
    }

    pub(crate) fn e(&self, t: usize) -> &[F] {
        &self.e[t * self.width..][..self.width]
    }

    /// Whether `neuron` spikes in each bin.
    pub(crate) fn fires(&self, neuron: usize) -> &[bool] {
        &self.fires[neuron * self.steps..][..self.steps]
    }
}

/// Length of a row of the active neurons.
pub(crate) fn width(active: &[u16]) -> usize {
    active.len().max(1).div_ceil(PAD) * PAD
}
