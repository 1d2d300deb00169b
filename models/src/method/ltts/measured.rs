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
//! * s* and the filtered spikes ŝ* behind e are given, as without a chip.
//! * A measured spike says on which side of the threshold a membrane was, better than its sample:
//!   without a spike v counts as 0 at most, with one as 0 at least. A sample that was taken after
//!   the reset has lost how far beyond the threshold the membrane came: then p is 1, the spike is
//!   there, and only its absence or presence teaches.
//! * Without membranes p is the measured spike: the rule for δv below 1/30.
//! * [`Reset::Forget`]: a neuron that is put to a fixed potential by its spike has forgotten what
//!   came before. Then `e_ij(t+1) = ŝ*_j(t)/τ_m` if neuron i spiked in bin t: an eligibility for
//!   each synapse, which costs nothing in the backward form (see `offline`), where `q_i` is cut.
//! * The leak and the synaptic filter of e are the nominal ones.

use super::config::{Mode, SMALLEST_DELTA_V, Synapse};
use super::dynamics::Escape;
use super::learner::{Ltts, Progress};
use super::series::Series;
use crate::error::{ModelError, Result};
use crate::method::{Need, Requirements};
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// What a spike leaves of the membrane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Everything but s_inh, as in the published model.
    Subtract,
    /// Nothing: the membrane begins anew at a potential of its own.
    Forget,
}

/// What was measured while the network was forced to a pattern.
#[derive(Clone, Debug)]
pub struct Measured<F> {
    /// Spikes of the neurons, one sample, ascending in each bin.
    pub spikes: SpikeTrains,
    /// Membranes `[time, neuron]` in the units of the network, threshold at 0. `None`: p is the spike.
    pub membranes: Option<Series<F>>,
    /// What spikes do to membranes.
    pub reset: Reset,
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

/// δ = s* − p of one neuron in one bin: whether it should fire, and whether it did.
pub(crate) fn residual<F: Real>(
    escape: Escape<F>,
    v: Option<F>,
    (fires, fired): (bool, bool),
) -> F {
    let Some(v) = v else {
        return F::of(f64::from(i8::from(fires) - i8::from(fired)));
    };
    if !fired {
        return escape.residual(v.min(F::zero()), fires);
    }
    if v > F::zero() {
        return escape.residual(v, fires);
    }
    if fires { F::zero() } else { -F::one() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
