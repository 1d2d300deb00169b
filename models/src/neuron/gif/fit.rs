//! Fitting a GIF neuron to recordings, in the two convex steps of Pozzorini et al. (2015).
//!
//! **Subthreshold.** Outside of spikes the membrane equation is linear in its parameters, so that
//! least squares on the measured slope gives them:
//!
//! ```text
//! (V(t+1) − V(t))/dt = −(g/C) V + (1/C) I + gE/C − Σ_k (η_k/C) h_k(t)
//! ```
//!
//! with `h_k` the basis functions summed over past spikes. V_r is the mean voltage T_ref after a
//! spike. **Threshold.** The fitted membrane is run along the measured spikes. With
//! `x = (V(t+1) − V_ref, −1, −f_k(t))` and `z = ln(λ₀ dt) + θ·x`, `θ = (1, V* − V_ref, γ_k)/ΔV`, the
//! number of expected spikes in a step is `μ = e^z`, and the log-likelihood
//!
//! ```text
//! L(θ) = Σ over steps with a spike ln(1 − e^(−μ)) − Σ over steps without μ
//! ```
//!
//! is concave: Newton's method finds its maximum from anywhere. (The published fit writes ln μ for
//! the first term, its limit for small dt; the form above is the law that the simulation draws from.)

use serde::{Deserialize, Serialize};

use super::super::{fine, not_negative, positive, steps};
use super::Gif;
use super::kernel::{Basis, History, Kernel};
use super::likelihood::Likelihood;
use super::linear::Normal;
use crate::error::{ModelError, Result};

/// How to fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitConfig {
    /// Functions that make η.
    pub eta: Basis,
    /// Functions that make γ.
    pub gamma: Basis,
    /// T_ref, ms.
    pub refractory_ms: f64,
    /// How long before a spike the voltage is left out of the subthreshold fit, ms: the upstroke.
    pub before_spike_ms: f64,
    /// λ₀, Hz; only its product with `e^(−V*/ΔV)` means anything.
    pub rate_hz: f64,
    /// Weak pull of γ/ΔV to 0, `ridge/2 Σ (γ_k/ΔV)²` in units of log-likelihood: a function that no
    /// spike has ever met would have no maximum otherwise.
    pub ridge: f64,
}

impl Default for FitConfig {
    /// T_ref = 4 ms, 5 ms before a spike, λ₀ = 1 Hz, and rectangles that widen up to 500 ms, as
    /// published (their edges are ours).
    fn default() -> Self {
        let edges_ms = vec![0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 500.0];
        let basis = Basis::Rectangles { edges_ms };
        Self {
            eta: basis.clone(),
            gamma: basis,
            refractory_ms: 4.0,
            before_spike_ms: 5.0,
            rate_hz: 1.0,
            ridge: 1e-4,
        }
    }
}

impl FitConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// A basis or number out of range, with its key.
    pub fn check(&self) -> Result<()> {
        self.eta.check("learning.eta")?;
        self.gamma.check("learning.gamma")?;
        not_negative("learning.refractory_ms", self.refractory_ms)?;
        not_negative("learning.before_spike_ms", self.before_spike_ms)?;
        positive("learning.rate_hz", self.rate_hz)?;
        not_negative("learning.ridge", self.ridge)
    }
}

/// One recording: current and voltage sample by sample, and its spikes.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Injected current, nA.
    pub current_na: &'a [f64],
    /// Voltage, mV, without the drop over the electrode.
    pub membrane_mv: &'a [f64],
    /// Samples of the spikes, sorted, at least T_ref apart.
    pub spikes: &'a [usize],
}

/// A fitted neuron and how well it describes what it was fitted to.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The neuron.
    pub gif: Gif,
    /// Share of the variance of dV/dt that the subthreshold fit explains.
    pub explained_slope: f64,
    /// Share of the variance of V that the membrane run along the measured spikes explains.
    pub explained_membrane: f64,
    /// Log-likelihood of the spikes, nats.
    pub log_likelihood: f64,
    /// Log-likelihood of a constant rate, nats.
    pub log_likelihood_constant: f64,
    /// Spikes fitted.
    pub spikes: usize,
    /// Newton steps.
    pub iterations: usize,
}

impl Fit {
    /// What the neuron knows about the spikes beyond their rate, bit a spike.
    #[must_use]
    pub fn bits_per_spike(&self) -> f64 {
        (self.log_likelihood - self.log_likelihood_constant)
            / (self.spikes as f64 * std::f64::consts::LN_2)
    }
}

/// Fits a neuron to recordings of one cell.
///
/// # Errors
/// Settings out of range; recordings whose current and voltage differ in length, whose spikes are not
/// sorted or too close, or that hold fewer than two spikes; data that do not determine a parameter.
pub fn fit(recordings: &[Recording<'_>], dt_ms: f64, config: &FitConfig) -> Result<Fit> {
    config.check()?;
    positive("task.dt_ms", dt_ms)?;
    let refractory = steps(config.refractory_ms, dt_ms);
    let (what, must) = ("learning.refractory_ms", "it must be one step at least");
    fine(what, config.refractory_ms, refractory > 0, must)?;
    recordings.iter().try_for_each(|r| check(r, refractory))?;
    let spikes: usize = recordings.iter().map(|r| r.spikes.len()).sum();
    if spikes < 2 {
        return Err(unfit("the threshold", "fewer than two spikes: record longer or drive harder"));
    }
    let (mut gif, explained_slope) = subthreshold(recordings, dt_ms, config)?;
    let likelihood = Likelihood::new(&gif, recordings, dt_ms, config)?;
    let maximum = likelihood.maximise()?;
    likelihood.write(&maximum.theta, &mut gif)?;
    gif.check()?;
    let explained_membrane = explained_membrane(&gif, recordings, dt_ms, config)?;
    Ok(Fit {
        gif,
        explained_slope,
        explained_membrane,
        log_likelihood: maximum.value,
        log_likelihood_constant: likelihood.constant(),
        spikes,
        iterations: maximum.iterations,
    })
}

/// Share of the variance of V, outside of spikes, that `gif` explains when it is run along the
/// measured spikes.
///
/// # Errors
/// Parameters out of range; recordings that do not fit, as for [`fit`].
pub fn explained_membrane(
    gif: &Gif,
    recordings: &[Recording<'_>],
    dt_ms: f64,
    config: &FitConfig,
) -> Result<f64> {
    let (mut residual, mut sum, mut squares, mut count) = (0.0, 0.0, 0.0, 0_usize);
    for recording in recordings {
        check(recording, steps(gif.refractory_ms, dt_ms))?;
        let v = recording.membrane_mv;
        let start = v.first().copied().unwrap_or(gif.v_leak_mv);
        let (model, _) = gif.follow(recording.current_na, dt_ms, recording.spikes, start)?;
        let free = free(recording, dt_ms, config);
        for ((v, model), _) in v.iter().zip(&model).zip(&free).filter(|(_, free)| **free) {
            residual += (v - model) * (v - model);
            sum += v;
            squares += v * v;
            count += 1;
        }
    }
    Ok(1.0 - residual / (squares - sum * sum / count.max(1) as f64))
}

pub(super) fn unfit(what: &'static str, problem: &'static str) -> ModelError {
    ModelError::Fit { what, problem }
}

fn check(recording: &Recording<'_>, refractory: usize) -> Result<()> {
    let (expected, got) = (recording.current_na.len(), recording.membrane_mv.len());
    if expected != got || got < 2 {
        return Err(ModelError::Input { what: "samples of a recording", expected, got });
    }
    let apart = refractory.max(1);
    if recording.spikes.windows(2).any(|pair| pair[1] < pair[0] + apart) {
        return Err(unfit("a recording", "its spikes are not sorted or closer than refractory_ms"));
    }
    if recording.spikes.last().is_some_and(|last| *last >= got) {
        return Err(unfit("a recording", "a spike lies after its end"));
    }
    let finite = |values: &[f64]| values.iter().all(|v| v.is_finite());
    if finite(recording.current_na) && finite(recording.membrane_mv) {
        Ok(())
    } else {
        Err(unfit("a recording", "current or voltage holds a number that is not finite"))
    }
}

/// Which samples are neither in the upstroke nor in the refractory period of a spike.
fn free(recording: &Recording<'_>, dt_ms: f64, config: &FitConfig) -> Vec<bool> {
    let before = steps(config.before_spike_ms, dt_ms);
    let after = steps(config.refractory_ms, dt_ms);
    let mut free = vec![true; recording.membrane_mv.len()];
    for spike in recording.spikes {
        let end = (spike + after).min(free.len());
        free[spike.saturating_sub(before)..end].fill(false);
    }
    free
}

/// Steps through the samples of a recording with the sums of `basis` over its past spikes.
pub(super) fn along(
    basis: &Basis,
    recording: &Recording<'_>,
    dt_ms: f64,
    refractory: usize,
    mut each: impl FnMut(usize, &[f64]),
) {
    let mut history = History::new(basis, dt_ms);
    let mut starts = recording.spikes.iter().map(|s| s + refractory).peekable();
    for t in 0..recording.membrane_mv.len() {
        if t > 0 {
            history.advance();
        }
        while starts.next_if_eq(&t).is_some() {
            history.start();
        }
        each(t, history.values());
    }
}

/// C, g, E, V_r and η, and the share of the variance of dV/dt that they explain.
fn subthreshold(
    recordings: &[Recording<'_>],
    dt_ms: f64,
    config: &FitConfig,
) -> Result<(Gif, f64)> {
    let refractory = steps(config.refractory_ms, dt_ms);
    let mut normal = Normal::new(3 + config.eta.count());
    let mut x = vec![0.0; normal.size];
    let (mut reset, mut resets) = (0.0, 0_usize);
    for recording in recordings {
        let (v, i) = (recording.membrane_mv, recording.current_na);
        let free = free(recording, dt_ms, config);
        along(&config.eta, recording, dt_ms, refractory, |t, history| {
            if free[t] && free.get(t + 1) == Some(&true) {
                x[..3].copy_from_slice(&[v[t], i[t], 1.0]);
                x[3..].iter_mut().zip(history).for_each(|(x, h)| *x = -h);
                normal.add(&x, (v[t + 1] - v[t]) / dt_ms);
            }
        });
        for v in recording.spikes.iter().filter_map(|s| v.get(s + refractory)) {
            reset += v;
            resets += 1;
        }
    }
    let (b, explained) = normal.solve().map_err(|column| match column {
        0 | 2 => unfit("the leak", "the voltage does not vary outside of spikes"),
        1 => unfit("the capacitance", "the current does not vary outside of spikes"),
        _ => unfit("eta", "a function of its basis is never met: choose fewer or others"),
    })?;
    if b[1] <= 0.0 || b[0] >= 0.0 {
        return Err(unfit(
            "the membrane",
            "current and voltage do not belong to a leaky membrane: check signs and units (nA, mV)",
        ));
    }
    if resets == 0 {
        return Err(unfit("the reset", "no recording goes on for refractory_ms after a spike"));
    }
    let capacitance_nf = 1.0 / b[1];
    let gif = Gif {
        capacitance_nf,
        conductance_us: -b[0] * capacitance_nf,
        v_leak_mv: -b[2] / b[0],
        v_reset_mv: reset / resets as f64,
        refractory_ms: config.refractory_ms,
        rate_hz: config.rate_hz,
        eta: Kernel {
            basis: config.eta.clone(),
            coefficients: b[3..].iter().map(|b| b * capacitance_nf).collect(),
        },
        gamma: Kernel {
            basis: config.gamma.clone(),
            coefficients: vec![0.0; config.gamma.count()],
        },
        ..Gif::default()
    };
    gif.check()?;
    Ok((gif, explained))
}

#[cfg(test)]
mod tests;
