//! The generalised integrate-and-fire neuron (GIF) of Pozzorini, Mensi, Hagens, Naud, Koch &
//! Gerstner (PLOS Comput. Biol. 2015): a leaky membrane, a current and a threshold that every spike
//! moves, and escape noise. Small enough to be fitted to a minute of recording.
//!
//! ```text
//! C dV/dt = −g (V − E) + I − Σ η(t − t̂)        η: spike-triggered current, nA
//! V_T     = V* + Σ γ(t − t̂)                     γ: movement of the threshold, mV
//! λ       = λ₀ e^((V − V_T)/ΔV)                  P(no spike in dt) = e^(−λ dt)
//! ```
//!
//! One step of length dt is forward Euler; λ uses the *new* V and the *old* threshold. A spike takes
//! the neuron out for T_ref; then V = V_r, and both kernels start *after* T_ref.
//!
//! | step | file |
//! |---|---|
//! | the drop over the electrode is estimated and taken off the recorded voltage | [`electrode`] |
//! | spikes are found, [`upward_crossings`] | here |
//! | C, g, E and η by least squares on dV/dt; V*, ΔV and γ by maximum likelihood | [`fit`] |
//! | the fitted neuron is run | [`simulate`] |
//! | its spike trains are held against measured ones, M_d* | [`coincidence`] |
//!
//! A current to try it with: [`stimulus`].

pub mod coincidence;
pub mod electrode;
pub mod fit;
pub mod kernel;
mod likelihood;
mod linear;
pub mod simulate;
pub mod stimulus;

use serde::{Deserialize, Serialize};

pub use self::kernel::{Basis, Kernel};
use super::escape::Escape;
use super::{finite, not_negative, positive};
use crate::error::Result;

/// Parameters of a GIF neuron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gif {
    /// Capacitance C, nF.
    pub capacitance_nf: f64,
    /// Leak conductance g, µS.
    pub conductance_us: f64,
    /// Leak potential E, mV.
    pub v_leak_mv: f64,
    /// Reset potential V_r, mV.
    pub v_reset_mv: f64,
    /// Absolute refractory period T_ref, ms.
    pub refractory_ms: f64,
    /// Threshold at rest V*, mV.
    pub v_threshold_mv: f64,
    /// Width of the threshold ΔV, mV.
    pub delta_mv: f64,
    /// Rate at threshold λ₀, Hz.
    pub rate_hz: f64,
    /// η, nA.
    pub eta: Kernel,
    /// γ, mV.
    pub gamma: Kernel,
}

impl Default for Gif {
    /// The neuron of the authors' published code: τ = 20 ms, kernels of 100 ms.
    fn default() -> Self {
        Self {
            capacitance_nf: 0.2,
            conductance_us: 0.01,
            v_leak_mv: -65.0,
            v_reset_mv: -50.0,
            refractory_ms: 4.0,
            v_threshold_mv: -48.0,
            delta_mv: 0.5,
            rate_hz: 1.0,
            eta: Kernel::exponential(0.2, 100.0),
            gamma: Kernel::exponential(10.0, 100.0),
        }
    }
}

impl Gif {
    /// Checks every parameter.
    ///
    /// # Errors
    /// A number out of range, named; a kernel whose coefficients do not fit its basis.
    pub fn check(&self) -> Result<()> {
        positive("neuron.capacitance_nf", self.capacitance_nf)?;
        positive("neuron.conductance_us", self.conductance_us)?;
        finite("neuron.v_leak_mv", self.v_leak_mv)?;
        finite("neuron.v_reset_mv", self.v_reset_mv)?;
        not_negative("neuron.refractory_ms", self.refractory_ms)?;
        self.escape().check()?;
        self.eta.check("neuron.eta")?;
        self.gamma.check("neuron.gamma")
    }

    /// Membrane time constant C/g, ms.
    #[must_use]
    pub fn tau_mem_ms(&self) -> f64 {
        self.capacitance_nf / self.conductance_us
    }

    /// λ as a function of V with the threshold at rest.
    #[must_use]
    pub fn escape(&self) -> Escape {
        Escape {
            rate_hz: self.rate_hz,
            v_threshold_mv: self.v_threshold_mv,
            delta_mv: self.delta_mv,
        }
    }
}

/// Indices at which `membrane` is first above `level`, at least `apart` samples after the one
/// before. (Pozzorini et al. find spikes at upward crossings of 0 mV.)
#[must_use]
pub fn upward_crossings(membrane_mv: &[f64], level_mv: f64, apart: usize) -> Vec<usize> {
    let mut found: Vec<usize> = vec![];
    for (index, pair) in membrane_mv.windows(2).enumerate() {
        let late_enough = found.last().is_none_or(|last| index + 1 >= last + apart);
        if pair[0] <= level_mv && pair[1] > level_mv && late_enough {
            found.push(index + 1);
        }
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn crossings_are_counted_once_and_apart() {
        let v = [-1.0, 1.0, 2.0, -1.0, 3.0, -3.0, -1.0, 0.0, 0.5];
        assert_eq!(upward_crossings(&v, 0.0, 1), [1, 4, 8]);
        assert_eq!(upward_crossings(&v, 0.0, 4), [1, 8]);
        assert!(upward_crossings(&[], 0.0, 1).is_empty());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let wrong = |gif: Gif| gif.check().unwrap_err().to_string();
        assert!(wrong(Gif { delta_mv: 0.0, ..Gif::default() }).contains("neuron.delta_mv"));
        assert!(wrong(Gif { conductance_us: -1.0, ..Gif::default() }).contains("conductance_us"));
        let eta = Kernel { coefficients: vec![], ..Kernel::exponential(1.0, 2.0) };
        assert!(wrong(Gif { eta, ..Gif::default() }).contains("neuron.eta"));
        assert!(Gif::default().check().is_ok());
        assert!((Gif::default().tau_mem_ms() - 20.0).abs() < 1e-12);
    }
}
