//! One neuron: its model with derivatives, and the Gauss–Newton step.
#![allow(clippy::needless_range_loop, reason = "rows and columns of small matrices")]

use super::Options;
use crate::estimate::Estimate;
use serde::{Deserialize, Serialize};
use spikeloop_models::layer::{InputScale, LayerSpec};

/// Parameters: ln(gain), ln(τ_mem), ln(τ_syn), threshold, reset.
const N: usize = 5;
/// Indices.
const GAIN: usize = 0;
const TAU_MEM: usize = 1;
const TAU_SYN: usize = 2;
const THRESHOLD: usize = 3;
const RESET: usize = 4;

/// Spreads before anything was seen: those of an uncalibrated BrainScaleS-2 chip (measured: gain 0.24 and θ
/// 0.22 together, τ_mem 0.13, τ_syn 0.26, reset against leak 0.16 of θ).
const PRIOR: [f64; N] = [0.35, 0.15, 0.26, 0.22, 0.2];
/// Longest step of any parameter in one update.
const LONGEST: f64 = 0.25;

type Vector = [f64; N];
type Matrix = [[f64; N]; N];

/// Estimates of one neuron, in units of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Gain, 1 by design.
    pub gain: Estimate,
    /// Membrane time constant, µs.
    pub tau_mem_us: Estimate,
    /// Synaptic time constant, µs; one for both signs.
    pub tau_syn_us: Estimate,
    /// Threshold; 1 with error 0 where only spikes are measured.
    pub threshold: Estimate,
    /// Membrane after a spike.
    pub reset: Estimate,
}

/// Membrane and current of a unit with their derivatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct V {
    i: f64,
    /// ∂I/∂ln τ_syn.
    i_tau: f64,
    v: f64,
    /// ∂V/∂parameter.
    d: Vector,
    /// States for which the membrane is still held.
    held: usize,
    /// The next measured membrane is where the model starts again.
    lost: bool,
}

impl V {
    pub(super) fn hold(&mut self, states: usize) {
        self.held = states;
        self.lost = true;
    }
}

/// A unit and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unit {
    dt_us: f64,
    /// Time constants of the nominal model.
    tau_us: [f64; 2],
    /// Factor between current and membrane of the nominal model.
    scale: f64,
    /// Deviations from the nominal model (ln, ln, ln, difference, difference).
    at: Vector,
    /// Curvature with which steps are made, and information for standard errors.
    curvature: Matrix,
    information: Matrix,
    #[serde(skip)]
    slope: Vector,
    #[serde(skip)]
    new_curvature: Matrix,
    #[serde(skip)]
    new_information: Matrix,
    #[serde(skip)]
    now: Now,
}

/// Coefficients at the present estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Now {
    alpha: f64,
    alpha_tau: f64,
    beta: f64,
    beta_tau: f64,
    gain: f64,
}

fn prior() -> Matrix {
    let mut out = Matrix::default();
    (0..N).for_each(|k| out[k][k] = PRIOR[k].powi(-2));
    out
}

impl Unit {
    pub(super) fn new(spec: &LayerSpec, unit: usize) -> Self {
        let scale = match spec.input_scale {
            InputScale::One => 1.0,
            InputScale::OneMinusBeta => 1.0 - spec.beta(unit),
        };
        Self {
            dt_us: spec.dt_us,
            tau_us: [spec.tau_mem_us.at(unit), spec.tau_syn_us.at(unit)],
            scale,
            at: Vector::default(),
            curvature: prior(),
            information: prior(),
            slope: Vector::default(),
            new_curvature: Matrix::default(),
            new_information: Matrix::default(),
            now: Now::default(),
        }
    }

    /// Before the samples of an update.
    pub(super) fn begin(&mut self) {
        self.slope = Vector::default();
        self.new_curvature = Matrix::default();
        self.new_information = Matrix::default();
        let decay = |tau: f64| {
            let factor = (-self.dt_us / tau).exp();
            (factor, factor * self.dt_us / tau)
        };
        let (beta, beta_tau) = decay(self.tau_us[0] * self.at[TAU_MEM].exp());
        let (alpha, alpha_tau) = decay(self.tau_us[1] * self.at[TAU_SYN].exp());
        let gain = self.scale * self.at[GAIN].exp();
        self.now = Now { alpha, alpha_tau, beta, beta_tau, gain };
    }

    /// State 0 of a trial.
    pub(super) fn rest(&self) -> V {
        V { i: 0.0, i_tau: 0.0, v: 0.0, d: [0.0; N], held: 0, lost: false }
    }

    /// To the next state.
    pub(super) fn step(&self, x: &mut V, input: f64, new_current: bool) {
        let n = &self.now;
        let before = (x.i, x.i_tau);
        x.i_tau = n.alpha * x.i_tau + n.alpha_tau * x.i;
        x.i = n.alpha * x.i + input;
        let (i, i_tau) = if new_current { (x.i, x.i_tau) } else { before };
        if x.held > 0 {
            x.held -= 1;
            x.v = self.at[RESET];
            x.d = [0.0; N];
            x.d[RESET] = 1.0;
            return;
        }
        x.d[GAIN] = n.beta * x.d[GAIN] + n.gain * i;
        x.d[TAU_MEM] = n.beta * x.d[TAU_MEM] + n.beta_tau * x.v;
        x.d[TAU_SYN] = n.beta * x.d[TAU_SYN] + n.gain * i_tau;
        x.d[RESET] *= n.beta;
        x.v = n.beta * x.v + n.gain * i;
    }

    /// Holds the state against what was measured.
    pub(super) fn compare(
        &mut self,
        x: &mut V,
        spiked: bool,
        sample: Option<f64>,
        options: &Options,
    ) {
        if x.held > 0 {
            return;
        }
        let mut d = x.d;
        let z = (x.v - 1.0 - self.at[THRESHOLD]) / options.width;
        d[THRESHOLD] = -1.0;
        if sample.is_some() {
            // The membrane itself says more about the other parameters.
            d[..THRESHOLD].fill(0.0);
            d[RESET] = 0.0;
        }
        // Where no spike was near, nothing is learned but time is spent.
        if spiked || z > -12.0 {
            let p = 1.0 / (1.0 + (-z).exp());
            let miss = if spiked { 1.0 - p } else { -p };
            let bound = if z.abs() < 1e-3 { 0.25 } else { (0.5 * z).tanh() / (2.0 * z) };
            let width = options.width;
            add(
                &mut self.slope,
                &mut self.new_curvature,
                &d,
                miss / width,
                bound / (width * width),
            );
            spread(&mut self.new_information, &d, p * (1.0 - p) / (width * width));
        }
        let Some(sample) = sample else { return };
        if spiked {
            // The sample is taken after the reset; the rule has put it at the threshold.
            return;
        }
        if x.lost {
            x.lost = false;
            x.v = sample;
            x.d = [0.0; N];
            return;
        }
        let weight = options.noise.powi(-2);
        add(&mut self.slope, &mut self.new_curvature, &x.d, (sample - x.v) * weight, weight);
        spread(&mut self.new_information, &x.d, weight);
    }

    /// After the samples of an update: one step.
    pub(super) fn finish(&mut self, options: &Options, spikes_only: bool) {
        let prior = prior();
        let fade = 1.0 - options.memory;
        for j in 0..N {
            for k in 0..N {
                let keep = |old: f64, new: f64| options.memory * old + fade * prior[j][k] + new;
                self.curvature[j][k] = keep(self.curvature[j][k], self.new_curvature[j][k]);
                self.information[j][k] = keep(self.information[j][k], self.new_information[j][k]);
            }
            self.slope[j] -= fade * prior[j][j] * self.at[j];
        }
        let mut curvature = self.curvature;
        if spikes_only {
            // The unit of the membrane cannot be known: the threshold is it.
            self.slope[THRESHOLD] = 0.0;
            pin(&mut curvature, THRESHOLD);
        }
        let step = solve(&curvature, &self.slope);
        let longest = step.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
        let shorter = if longest > LONGEST { LONGEST / longest } else { 1.0 };
        if step.iter().all(|s| s.is_finite()) {
            self.at.iter_mut().zip(step).for_each(|(a, s)| *a += s * shorter);
        }
        if spikes_only {
            pin(&mut self.information, THRESHOLD);
        }
    }

    pub(super) fn parameters(&self) -> Parameters {
        let sigma = |k: usize| {
            let mut unit = Vector::default();
            unit[k] = 1.0;
            solve(&self.information, &unit)[k].max(0.0).sqrt()
        };
        let log = |k: usize, nominal: f64| {
            let value = nominal * self.at[k].exp();
            Estimate::good(value, value * sigma(k))
        };
        Parameters {
            gain: log(GAIN, 1.0),
            tau_mem_us: log(TAU_MEM, self.tau_us[0]),
            tau_syn_us: log(TAU_SYN, self.tau_us[1]),
            threshold: Estimate::good(1.0 + self.at[THRESHOLD], sigma(THRESHOLD)),
            reset: Estimate::good(self.at[RESET], sigma(RESET)),
        }
    }
}

/// Takes a parameter out of a problem.
fn pin(matrix: &mut Matrix, k: usize) {
    for j in 0..N {
        matrix[j][k] = 0.0;
        matrix[k][j] = 0.0;
    }
    matrix[k][k] = 1e12;
}

fn add(slope: &mut Vector, curvature: &mut Matrix, d: &Vector, miss: f64, weight: f64) {
    slope.iter_mut().zip(d).for_each(|(s, d)| *s += miss * d);
    spread(curvature, d, weight);
}

fn spread(matrix: &mut Matrix, d: &Vector, weight: f64) {
    for (row, a) in matrix.iter_mut().zip(d) {
        row.iter_mut().zip(d).for_each(|(m, b)| *m += weight * a * b);
    }
}

/// `A⁻¹ b` for a symmetric positive A (Cholesky).
fn solve(a: &Matrix, b: &Vector) -> Vector {
    let mut l = Matrix::default();
    for j in 0..N {
        for k in 0..=j {
            let sum = a[j][k] - (0..k).map(|m| l[j][m] * l[k][m]).sum::<f64>();
            l[j][k] = if j == k { sum.max(1e-12).sqrt() } else { sum / l[k][k] };
        }
    }
    let mut x = *b;
    for j in 0..N {
        x[j] = (x[j] - (0..j).map(|m| l[j][m] * x[m]).sum::<f64>()) / l[j][j];
    }
    for j in (0..N).rev() {
        x[j] = (x[j] - (j + 1..N).map(|m| l[m][j] * x[m]).sum::<f64>()) / l[j][j];
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let mut a = Matrix::default();
        for j in 0..N {
            for k in 0..N {
                a[j][k] = 1.0 / (1.0 + (j + k) as f64) + if j == k { 1.0 } else { 0.0 };
            }
        }
        let x = [1.0, -2.0, 3.0, 0.5, 0.0];
        let b: Vector = std::array::from_fn(|j| (0..N).map(|k| a[j][k] * x[k]).sum());
        for (got, want) in solve(&a, &b).iter().zip(x) {
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
    }

    #[test]
    fn derivatives_run_along() {
        let spec = LayerSpec::chip_grid(1);
        let run = |at: Vector| {
            let mut unit = Unit { at, ..Unit::new(&spec, 0) };
            unit.begin();
            let mut x = unit.rest();
            for t in 0..12 {
                if t == 6 {
                    x.hold(2);
                }
                unit.step(&mut x, if t % 5 < 2 { 0.3 } else { 0.0 }, true);
            }
            x
        };
        let at = [0.1, -0.2, 0.15, 0.0, 0.05];
        let x = run(at);
        for k in [GAIN, TAU_MEM, TAU_SYN, RESET] {
            let moved = |h: f64| {
                let mut at = at;
                at[k] += h;
                run(at).v
            };
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((x.d[k] - difference).abs() < 1e-6, "{k}: {} {difference}", x.d[k]);
        }
    }
}
