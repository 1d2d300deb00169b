//! The offline rule around a chip: measured spikes and membranes in place of the simulated ones.
//!
//! The chip is forced from outside: the target spikes arrive on input lines whose weights are those
//! of the recurrent synapses, so that every neuron gets what it would get if all others were on
//! target. Its own spikes reset it. Weights stay as they are while it runs, so the rule is the
//! offline one:
//!
//! ```text
//! ΔJ_ij = Σₜ (s*_i − p_i)(t) e_ij(t),    p = σ(v/δv)
//! ```
//! * s* and the filtered spikes ŝ* behind e are given, as without a chip. Leak and synaptic filter of e are the
//!   nominal ones.
//! * A measured spike says on which side of the threshold a membrane was, better than its sample:
//!   without a spike v counts as 0 at most, with one as 0 at least. How far it came beyond the threshold the
//!   reset hides: it is taken to have gone on as in the bin before.
//! * [`Reset::To`]: the chip resets a neuron at its own spikes, and to a fixed potential. A spike too many or
//!   too few would leave the neuron in a state that it is not in when all goes well, and what it is taught
//!   there is of little use: learning from the membranes as they are does not get far. So the difference d is
//!   undone: with v*(t) the membrane of a neuron that is reset by s*, instead of by its own spikes,
//!
//! ```text
//! v*(t) = v(t) + (1 − 1/τ_m) d(t−1),    d(t) = (v_reset if s*(t), else v*(t)) − sample(t)
//! ```
//!   and d = 0 where the spike came that should. As long as d is not 0 the side of the threshold is not known.
//!   A neuron that is reset so has forgotten what came before: `e_ij(t+1) = ŝ*_j(t)/τ_m` if s*_i(t), an
//!   eligibility for each synapse, which costs nothing in the backward form (see `offline`): `q_i` is cut.
//! * Without membranes p is the measured spike: the rule for δv below 1/30. Eligibilities are cut at own spikes.

use super::config::{Factors, Mode, SMALLEST_DELTA_V, Synapse};
use super::dynamics::Escape;
use super::learner::{Ltts, Progress};
use super::series::Series;
use super::weights::Span;
use crate::error::{ModelError, Result};
use crate::method::{Need, Requirements};
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Membranes this part of the way from reset to threshold apart are in the same state.
const SAME: f64 = 0.01;

/// What a spike does to a membrane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reset<F> {
    /// The target takes s_inh off it, as in the published model; membranes count as they are.
    Subtract,
    /// An own spike puts it to this potential.
    To(F),
}

/// What was measured while the network was forced to a pattern.
#[derive(Clone, Debug)]
pub struct Measured<F> {
    /// Spikes of the neurons, one sample, ascending in each bin.
    pub spikes: SpikeTrains,
    /// Membranes `[time, neuron]` in the units of the network, threshold at 0. `None`: p is the spike.
    pub membranes: Option<Series<F>>,
    /// What spikes do to membranes.
    pub reset: Reset<F>,
}

impl<F> Measured<F> {
    /// Spikes after which a membrane does not know what came before.
    pub(crate) fn forgets<'a>(&'a self, target: &'a SpikeTrains) -> Option<&'a SpikeTrains> {
        match (&self.reset, &self.membranes) {
            (Reset::Subtract, _) => None,
            (Reset::To(_), Some(_)) => Some(target),
            (Reset::To(_), None) => Some(&self.spikes),
        }
    }
}

/// What learning with this width of the escape function needs of a chip.
#[must_use]
pub fn requirements(delta_v: f64) -> Requirements {
    Requirements {
        method: "ltts",
        hidden_spikes: Need::Required,
        hidden_membranes: match delta_v < SMALLEST_DELTA_V {
            true => Need::Unused,
            false => Need::Required,
        },
        readout_membranes: Need::Unused,
    }
}

impl<F: Real> Ltts<F> {
    /// Learns from every pattern once, from what was measured of it, in their order.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] for the online rule and for conductances, [`ModelError::Input`] and
    /// [`ModelError::Requirement`] for measurements that are missing or of another shape.
    pub fn epoch_measured(&mut self, runs: &[Measured<F>]) -> Result<Progress> {
        self.check_measured(runs)?;
        let squares = self.learn_readout();
        let escape = Escape::new(self.learning().delta_v);
        let deviation = self.step_offline(|offline, recurrent, patterns| {
            offline.gradient_measured(recurrent, patterns, runs, escape)
        });
        Ok(self.end_epoch(deviation, squares))
    }

    /// Puts recurrent weights beyond ± `limit` back to it; returns how many stand there.
    pub fn clamp(&mut self, limit: F) -> usize {
        let mut beyond = 0;
        for matrix in &mut self.recurrent.matrices {
            for w in matrix.tiles.iter_mut().flat_map(|tile| tile.iter_mut()) {
                if w.abs() >= limit {
                    *w = if *w > F::zero() { limit } else { -limit };
                    beyond += 1;
                }
            }
        }
        beyond
    }

    fn check_measured(&self, runs: &[Measured<F>]) -> Result<()> {
        let refuse = |what, must| Err(ModelError::Parameter { what, got: f64::NAN, must });
        if self.learning().mode != Mode::Offline {
            let must = "with measurements it must be \"offline\": weights change between runs, not in them";
            return refuse("learning.mode", must);
        }
        if self.recurrent().network().synapse != Synapse::Current {
            let must = "with measurements it must be \"current\", as the synapses of a chip are";
            return refuse("network.synapse", must);
        }
        let fits = |what, expected: usize, got: usize| {
            if expected == got { Ok(()) } else { Err(ModelError::Input { what, expected, got }) }
        };
        fits("measured runs, one a pattern", self.patterns().len(), runs.len())?;
        for (pattern, run) in self.patterns().iter().zip(runs) {
            let (bins, neurons) = (pattern.drive().steps(), pattern.drive().units());
            fits("samples of the measured spikes", 1, run.spikes.samples())?;
            fits("bins of the measured spikes", bins, run.spikes.steps())?;
            fits("neurons of the measured spikes", neurons, run.spikes.units())?;
            match &run.membranes {
                Some(v) => {
                    fits("bins of the measured membranes", bins, v.steps())?;
                    fits("neurons of the measured membranes", neurons, v.units())?;
                }
                None => requirements(self.learning().delta_v).check(true, false, false)?,
            }
        }
        Ok(())
    }
}

/// Neurons of a tile, as their measurements show them.
pub(crate) struct Sight<'a, F> {
    run: &'a Measured<F>,
    keep: F,
    first: usize,
    /// d(t−1) of each neuron.
    off: Vec<F>,
}

impl<'a, F: Real> Sight<'a, F> {
    pub(crate) fn new(f: Factors<F>, run: &'a Measured<F>, span: Span) -> Self {
        Self { run, keep: f.keep, first: span.first, off: vec![F::zero(); span.units] }
    }

    /// δ = s* − p of neuron `k` of the tile in bin `t`, one after the other: whether it should fire, and
    /// whether it did.
    pub(crate) fn residual(
        &mut self,
        escape: Escape<F>,
        (t, k): (usize, usize),
        (fires, fired): (bool, bool),
    ) -> F {
        let Some(membranes) = &self.run.membranes else {
            return F::of(f64::from(i8::from(fires) - i8::from(fired)));
        };
        let at = |t: usize| membranes.row(t)[self.first + k];
        let Reset::To(reset) = self.run.reset else {
            let v = if fired { at(t).max(F::zero()) } else { at(t).min(F::zero()) };
            return escape.residual(v, fires);
        };
        let sample = at(t);
        let before = if t > 1 { at(t - 1) + at(t - 1) - at(t - 2) } else { F::zero() };
        let own = if fired { before.max(F::zero()) } else { sample.min(F::zero()) };
        let carried = self.keep * self.off[k];
        let v = own + carried;
        self.off[k] = match (fires, fired) {
            (true, true) => F::zero(),
            (true, false) => reset - sample,
            (false, true) => v - sample,
            (false, false) => carried,
        };
        if self.off[k].abs() < F::of(SAME) * reset.abs() {
            self.off[k] = F::zero();
        }
        escape.residual(v, fires)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
