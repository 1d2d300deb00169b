//! How probable the target spikes are if each bin is drawn with p = σ(v/δv).

use super::dynamics::membrane;
use super::learner::Ltts;
use super::pattern::Pattern;
use super::recurrent::Recurrent;
use super::series::Series;
use crate::error::{ModelError, Result};
use crate::real::Real;

impl<F: Real> Ltts<F> {
    /// `Σ log P(s*(t) | v(t))` over all patterns, neurons and bins after bin 0, with teacher
    /// forcing. Its gradient times δv is [`Ltts::gradient`].
    ///
    /// # Errors
    /// [`ModelError::Parameter`] with δv below 1/30, where p is a step and this is −∞ or 0.
    pub fn log_likelihood(&self) -> Result<f64> {
        let delta_v = self.learning().delta_v;
        if self.learning().spike_dependent() {
            let must = "it must be at least 1/30 for a likelihood";
            return Err(ModelError::Parameter { what: "learning.delta_v", got: delta_v, must });
        }
        let mut sum = 0.0;
        for pattern in self.patterns() {
            let v = forced_membranes(self.recurrent(), pattern);
            for t in 1..v.steps() {
                let mut fires =
                    pattern.target().at(0, t).iter().map(|id| usize::from(*id)).peekable();
                for (k, v) in v.row(t).iter().enumerate() {
                    let x = v.wide() / delta_v;
                    // log σ(±x), written so that neither end overflows.
                    let x = if fires.next_if_eq(&k).is_some() { x } else { -x };
                    sum += x.min(0.0) - libm::log1p(libm::exp(-x.abs()));
                }
            }
        }
        Ok(sum)
    }
}

/// Membranes with teacher forcing, `[time, neuron]`: bin by bin from the equations, dense, without
/// the short cuts of the learning path.
fn forced_membranes<F: Real>(of: &Recurrent<F>, pattern: &Pattern<F>) -> Series<F> {
    let (f, drive, target) = (of.factors, pattern.drive(), pattern.target());
    let (steps, n) = (drive.steps(), drive.units());
    let mut v = Series::zeros(steps, n);
    v.row_mut(0).fill(f.v0);
    let mut s_hat = vec![F::zero(); n];
    let mut u = vec![vec![F::zero(); n]; of.matrices.len()];
    for t in 0..steps - 1 {
        s_hat.iter_mut().for_each(|s| *s *= f.syn);
        for id in target.at(0, t) {
            s_hat[usize::from(*id)] += f.spike_gain(t);
        }
        for (u, weights) in u.iter_mut().zip(&of.matrices) {
            for (post, u) in u.iter_mut().enumerate() {
                *u = F::zero();
                for (pre, s) in s_hat.iter().enumerate() {
                    *u += weights.get(pre, post) * *s;
                }
            }
        }
        let mut next = v.row(t).to_vec();
        membrane(&mut next, &u, drive.row(t), f);
        for id in target.at(0, t) {
            next[usize::from(*id)] -= f.s_inh;
        }
        v.row_mut(t + 1).copy_from_slice(&next);
    }
    v
}
