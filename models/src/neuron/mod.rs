//! Single neurons: reference models with exact steps where they exist, each held against its closed
//! form.
//!
//! These are the models beneath the networks of this crate, one neuron at a time, in physical units:
//! times in ms, potentials in mV, currents in nA, resistances in MΩ, capacitances in nF, conductances
//! in µS, rates in Hz. They serve as oracles, as teaching material and, for [`gif`], as a model that
//! is fitted to recordings. Networks that learn are built from [`crate::layer`] instead.
//!
//! | model | module | exact? |
//! |---|---|---|
//! | passive membrane | [`passive`] | yes, for currents that are constant within a step |
//! | leaky integrate-and-fire | [`lif`] | yes, spike times within a step included |
//! | the same with exponential currents | [`lif_exp`] | yes between steps; spikes lie on the grid |
//! | forward Euler reference of SuperSpike | [`euler`] | no, first order in the step |
//! | spike response model SRM0 | [`srm0`] | yes, from the history of all spikes |
//! | escape noise | [`escape`] | yes, for potentials that are constant within a step |
//! | generalised integrate-and-fire, fitted | [`gif`] | defined by its discretisation |

pub mod escape;
pub mod euler;
pub mod gif;
pub mod lif;
pub mod lif_exp;
pub mod passive;
pub mod srm0;

use crate::error::{ModelError, Result};

/// Refuses what is not a positive finite number.
fn positive(what: &'static str, got: f64) -> Result<()> {
    fine(what, got, got > 0.0, "it must be positive")
}

/// Refuses what is negative or not finite.
fn not_negative(what: &'static str, got: f64) -> Result<()> {
    fine(what, got, got >= 0.0, "it must not be negative")
}

/// Refuses what is not finite.
fn finite(what: &'static str, got: f64) -> Result<()> {
    fine(what, got, true, "it must be a finite number")
}

fn fine(what: &'static str, got: f64, within: bool, must: &'static str) -> Result<()> {
    if got.is_finite() && within { Ok(()) } else { Err(ModelError::Parameter { what, got, must }) }
}

/// A duration in steps of `dt_ms`, rounded to the nearest.
fn steps(duration_ms: f64, dt_ms: f64) -> usize {
    (duration_ms / dt_ms).round() as usize
}
