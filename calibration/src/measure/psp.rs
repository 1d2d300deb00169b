//! The response to one synchronous volley, excitatory and inhibitory.
//!
//! `V(t) = rest + G Σcode · κ(t − t₀)`, `κ(t) = τ_m τ_s / (τ_s − τ_m) (e^{−t/τ_s} − e^{−t/τ_m})`, with the gain G in
//! LSB/µs per code.
//!
//! * τ_syn: with the fastest membrane the response follows the current, and its tail decays with τ_syn. Its
//!   sharp rise tells when the channel really sampled.
//! * gain: at the wanted time constants, which are known by then.
//!
//! Many rows take part with small codes, so that the spread over synapses averages out.

use crate::bench::{Bench, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit;
use crate::measure::traces::{Sampling, Traces};
use crate::measure::{Converter, Effort, mean_design, shift};
use rayon::prelude::*;
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, SpikeEvent};

/// Trials.
const REPEATS: usize = 48;
/// Height of the response by design, LSB.
const HEIGHT_LSB: f64 = 95.0;
/// How far the leak is raised to make room for inhibition, LSB.
const RAISE_LSB: f32 = 85.0;
/// Length of the rise in (fast) membrane time constants.
const RISE: f64 = 2.5;
/// Rows of a volley.
const ROWS: usize = 240;

/// Sign of a synaptic input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Positive weight codes.
    Exc,
    /// Negative weight codes.
    Inh,
}

impl Sign {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Exc, Self::Inh];

    fn gain(self) -> Parameter {
        if self == Self::Exc { Parameter::GainExc } else { Parameter::GainInh }
    }
}

/// κ in µs for a unit jump of the current (per µs) at time 0.
#[must_use]
pub fn kappa(t: f64, tau_mem: f64, tau_syn: f64) -> f64 {
    if t <= 0.0 {
        return 0.0;
    }
    let delta = t * (1.0 / tau_syn - 1.0 / tau_mem);
    let ratio = if delta.abs() < 1e-9 { 1.0 } else { -(-delta).exp_m1() / delta };
    t * (-t / tau_mem).exp() * ratio
}

/// Largest value of κ, µs.
fn peak(tau_mem: f64, tau_syn: f64) -> f64 {
    if ((tau_mem - tau_syn) / tau_mem).abs() < 1e-6 {
        return tau_mem / std::f64::consts::E;
    }
    let t = tau_mem * tau_syn / (tau_mem - tau_syn) * (tau_mem / tau_syn).ln();
    kappa(t, tau_mem, tau_syn)
}

/// Responses of both signs.
#[derive(Clone, Debug)]
pub struct Responses {
    /// Traces by sign: means over the groups.
    pub traces: [Traces; 2],
    /// Traces by sign and group of rows.
    groups: [Vec<Traces>; 2],
    /// Sum of the codes of the volley, by sign (positive).
    pub codes: [f64; 2],
    /// Rows of each volley, by sign.
    pub rows: [usize; 2],
    /// Time of the volley, µs.
    pub at_us: f64,
    /// Mean design values of τ_mem and of τ_syn by sign at the codes used, µs.
    pub design_us: (f64, [f64; 2]),
}

/// τ_syn of both signs and what comes with it.
#[derive(Clone, Debug)]
pub struct TimeConstants {
    /// τ_syn by sign, µs.
    pub tau_syn: [Vec<Estimate>; 2],
    /// Shift of the sampling instant of each channel against the array's mean, µs.
    pub skew_us: Vec<Estimate>,
    /// Fitted `[rest, height, tau_syn, start]` by sign, for pictures; NaN where there is none.
    pub fitted: [Vec<[f64; 4]>; 2],
    /// Time constant of each membrane that the fits were made with, µs.
    pub tau_mem: Vec<f64>,
    /// The raw data.
    pub responses: Responses,
}

impl Responses {
    /// Rows of all groups together, by sign.
    #[must_use]
    pub fn all_rows(&self, sign: usize) -> usize {
        self.rows[sign] * self.groups[sign].len()
    }
}

/// What responses are recorded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For τ_syn: τ_mem is replaced by the shortest one, all rows fire together.
    TimeConstants,
    /// For the gain: several groups of rows, so that a defective synapse stands out.
    Gain,
}

/// Groups of rows for [`Purpose::Gain`].
const GROUPS: usize = 8;

/// Records the responses with the parameter codes of `base`. `None` on a chip without converter.
///
/// # Errors
/// Failures of the chip.
pub fn record(
    bench: &mut Bench,
    base: &ChipConfig,
    converter: &Converter,
    purpose: Purpose,
    effort: Effort,
) -> Result<Option<Responses>, Error> {
    let caps = bench.capabilities().clone();
    let mut base = base.clone();
    base.enabled.fill(true);
    base.spiking.fill(false);
    base.weights.fill(0);
    let groups = if purpose == Purpose::Gain { GROUPS.min(usize::from(caps.inputs)) } else { 1 };
    if purpose == Purpose::TimeConstants
        && let Some(spec) = caps.parameter(Parameter::TauMem)
    {
        let ends = [spec.code_min, spec.code_max];
        let fastest = ends.into_iter().min_by(|a, b| spec.value(*a).total_cmp(&spec.value(*b)));
        if let (Some(codes), Some(fastest)) = (base.codes_mut(Parameter::TauMem), fastest) {
            codes.fill(fastest);
        }
    }
    let tau_mem = mean_design(&caps, &base, Parameter::TauMem).unwrap_or(10.0);
    let tau_exc = mean_design(&caps, &base, Parameter::TauSynExc).unwrap_or(5.0);
    let tau_inh = mean_design(&caps, &base, Parameter::TauSynInh).unwrap_or(tau_exc);
    let slowest = tau_mem.max(tau_exc).max(tau_inh);
    let period_us = (slowest / 6.0).max(0.1);
    let Some(sampling) = Sampling::new(&caps, period_us, 7.0 * period_us + 7.5 * slowest) else {
        return Ok(None);
    };
    let period_us = caps.microseconds(sampling.period);
    // Between two samples, so that the first one after it is on the rise.
    let tick = (6.3 * f64::from(sampling.period)) as u32;
    let mut setups = Vec::new();
    let (mut codes, mut used) = ([0.0; 2], [0; 2]);
    for (k, sign) in Sign::BOTH.into_iter().enumerate() {
        let mut config = base.clone();
        let gain = mean_design(&caps, &base, sign.gain())
            .or_else(|| mean_design(&caps, &base, Parameter::GainExc))
            .unwrap_or(1.0);
        let tau_syn = if sign == Sign::Exc { tau_exc } else { tau_inh };
        let wanted = HEIGHT_LSB / (gain * peak(tau_mem, tau_syn));
        let most = (ROWS.min(usize::from(caps.inputs)) / groups).max(1);
        let code = (wanted / most as f64).ceil().clamp(1.0, f64::from(caps.weight_max));
        let rows = ((wanted / code).round() as usize).clamp(1, most);
        if sign == Sign::Inh {
            shift(&caps, &mut config, Parameter::LeakPotential, RAISE_LSB);
        }
        let value = if sign == Sign::Exc { code as i8 } else { -(code as i8) };
        let value = value.clamp(caps.weight_min, caps.weight_max);
        sampling.apply(&mut config, false);
        for group in 0..groups {
            let mut config = config.clone();
            let list = spread_rows(usize::from(caps.inputs), rows, group, groups);
            list.iter().for_each(|row| config.row_mut(usize::from(*row)).fill(value));
            let events = list.iter().map(|row| SpikeEvent::new(tick, *row)).collect();
            let repeats = effort.of(REPEATS.div_ceil(groups));
            setups.push(Setup {
                config: config.into(),
                events,
                duration: sampling.duration(),
                repeats,
            });
        }
        (codes[k], used[k]) = (f64::from(value.unsigned_abs()) * rows as f64, rows);
    }
    let recorded = bench.round(&setups)?;
    let all: Vec<Traces> =
        recorded.iter().map(|r| Traces::new(r, &caps, sampling, converter)).collect();
    let (exc, inh) = all.split_at(groups);
    let at_us = f64::from(tick) / f64::from(sampling.period) * period_us;
    let design_us = (tau_mem, [tau_exc, tau_inh]);
    let traces = [Traces::average(exc), Traces::average(inh)];
    let groups = [exc.to_vec(), inh.to_vec()];
    Ok(Some(Responses { traces, groups, codes, rows: used, at_us, design_us }))
}

/// `count` of `inputs` rows, evenly spread, for one of several groups that share none.
fn spread_rows(inputs: usize, count: usize, group: usize, groups: usize) -> Vec<u16> {
    let all = inputs / groups;
    (0..count).map(|k| (k * all / count * groups + group) as u16).collect()
}

/// τ_syn from responses of a fast membrane. `tau_mem` are the time constants of the membranes at these codes in
/// µs; their errors are carried over.
#[must_use]
pub fn time_constants(
    caps: &Capabilities,
    responses: Responses,
    tau_mem: &[Estimate],
) -> TimeConstants {
    let neurons = usize::from(caps.neurons);
    let fitted: Vec<Vec<Option<fit::Fit<4>>>> = (0..2)
        .map(|k| {
            let traces = &responses.traces[k];
            let tau_syn = responses.design_us.1[k];
            (0..neurons)
                .into_par_iter()
                .map(|n| {
                    let mut start = start_of(traces, n, responses.at_us)?;
                    start[2] = tau_syn;
                    start[1] /= peak(tau_mem[n].value, tau_syn);
                    let points = traces.points(n, 0.0, f64::INFINITY);
                    rise_and_tail(&points, start, responses.at_us, tau_mem[n])
                })
                .collect()
        })
        .collect();
    let delay =
        fit::median(fitted.iter().flatten().flatten().map(|fit| fit.x[3] - responses.at_us));
    let estimate = |k: usize| -> Vec<Estimate> {
        (0..neurons)
            .map(|n| verdict(&responses.traces[k], n, responses.at_us, fitted[k][n].as_ref()))
            .collect()
    };
    let skew_us = (0..neurons)
        .map(|n| {
            // A channel that samples late sees the rise early.
            let each: Vec<(f64, f64)> = fitted
                .iter()
                .filter_map(|list| list[n].as_ref())
                .map(|fit| (responses.at_us + delay - fit.x[3], fit.sigma(3)))
                .collect();
            combine(&each)
        })
        .collect();
    TimeConstants {
        tau_syn: [estimate(0), estimate(1)],
        skew_us,
        fitted: [0, 1].map(|k| {
            let of = |fit: &Option<fit::Fit<4>>| fit.map_or([f64::NAN; 4], |fit| fit.x);
            fitted[k].iter().map(of).collect()
        }),
        tau_mem: tau_mem.iter().map(|t| t.value).collect(),
        responses,
    }
}

/// Fits `[rest, height, tau_syn, start]`: the start from the whole response, τ_syn from its tail. The errors contain
/// those of the membrane's time constant and, for τ_syn, of the start.
fn rise_and_tail(
    points: &[(f64, f64)],
    start: [f64; 4],
    at_us: f64,
    tau_mem: Estimate,
) -> Option<fit::Fit<4>> {
    let whole = |tau, from| fit::fit(points, from, |t, x| shape(t, x, tau));
    let mut fit = whole(tau_mem.value, start)?;
    let slower = tau_mem.value + tau_mem.sigma;
    if let Some(other) = whole(slower, fit.x) {
        fit.covariance[3][3] += (other.x[3] - fit.x[3]).powi(2);
    }
    let tail = tail_of(points, at_us, tau_mem.value, &fit.x)?;
    let mut later = fit.x;
    later[3] += fit.sigma(3);
    let others =
        [tail_of(points, at_us, slower, &fit.x), tail_of(points, at_us, tau_mem.value, &later)];
    let moved = others.iter().flatten().map(|other| (other.x[2] - tail.x[2]).powi(2)).sum::<f64>();
    (fit.x[2], fit.covariance[2][2]) = (tail.x[2], tail.covariance[2][2] + moved);
    Some(fit)
}

/// Fits `[rest, height, tau_syn]` to what follows the rise: on the rise itself the membrane bends too sharply for
/// a converter that does not sample in no time.
fn tail_of(
    points: &[(f64, f64)],
    at_us: f64,
    tau_mem: f64,
    whole: &[f64; 4],
) -> Option<fit::Fit<3>> {
    let rise = at_us..at_us + RISE * tau_mem;
    let points: Vec<(f64, f64)> =
        points.iter().filter(|(t, _)| !rise.contains(t)).copied().collect();
    fit::fit(&points, [whole[0], whole[1], whole[2]], |t, x| {
        let (v, g) = shape(t, &[x[0], x[1], x[2], whole[3]], tau_mem);
        (v, [g[0], g[1], g[2]])
    })
}

/// Mean weighted by the errors.
fn combine(each: &[(f64, f64)]) -> Estimate {
    let weights = || each.iter().map(|(_, s)| 1.0 / (s * s).max(1e-12));
    let total: f64 = weights().sum();
    if total <= 0.0 {
        return Estimate::missing(Flag::NoFit);
    }
    let sum: f64 = each.iter().zip(weights()).map(|((v, _), w)| v * w).sum();
    Estimate::good(sum / total, total.sqrt().recip())
}

/// `[rest, height, 0, start]` guessed from a trace; `None` if nothing moves.
fn start_of(traces: &Traces, n: usize, at_us: f64) -> Option<[f64; 4]> {
    let before = traces.points(n, 0.0, at_us);
    let rest = before.iter().map(|p| p.1).sum::<f64>() / before.len().max(1) as f64;
    let after = traces.points(n, at_us, f64::INFINITY);
    let highest = after.iter().map(|p| p.1 - rest).max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
    let error = traces.noise[n] / (traces.trials.max(1) as f64).sqrt();
    (highest.abs() > 8.0 * error.max(0.05)).then_some([rest, highest, 0.0, at_us])
}

/// Value and gradient of the response for `[rest, height, tau_syn, start]`.
fn shape(t: f64, x: &[f64; 4], tau_mem: f64) -> (f64, [f64; 4]) {
    let [rest, height, tau_syn, start] = *x;
    let tau = tau_syn.max(1e-3);
    let since = t - start;
    let k = kappa(since, tau_mem, tau);
    let h = 1e-4 * tau;
    let by_tau = (kappa(since, tau_mem, tau + h) - kappa(since, tau_mem, tau - h)) / (2.0 * h);
    // dκ/dt from the differential equation.
    let by_start = if since > 0.0 { -((-since / tau).exp() - k / tau_mem) } else { 0.0 };
    (rest + height * k, [1.0, k, height * by_tau, height * by_start])
}

fn verdict(traces: &Traces, n: usize, at_us: f64, fit: Option<&fit::Fit<4>>) -> Estimate {
    if start_of(traces, n, at_us).is_none() {
        return Estimate::missing(Flag::Unresponsive);
    }
    match fit {
        Some(fit) if fit.x[2] > 0.0 && fit.sigma(2) < 0.3 * fit.x[2] => {
            if traces.railed_share(n, at_us, f64::INFINITY) > 0.3 {
                return Estimate::missing(Flag::Saturated);
            }
            Estimate::good(fit.x[2], fit.sigma(2))
        }
        _ => Estimate::missing(Flag::NoFit),
    }
}

/// Gain of both signs in LSB/µs per code, from responses at time constants that are known. `synapse_spread` is
/// the relative standard deviation over synapses: what is measured is the mean of the rows that took part.
#[must_use]
pub fn gains(
    caps: &Capabilities,
    responses: &Responses,
    tau_mem: &[Estimate],
    tau_syn: &[Vec<Estimate>; 2],
    synapse_spread: f64,
) -> [Vec<Estimate>; 2] {
    [0, 1].map(|k| {
        (0..usize::from(caps.neurons))
            .into_par_iter()
            .map(|n| {
                let (m, s) = (tau_mem[n], tau_syn[k][n]);
                match [m, s].iter().find(|e| !e.is_good()) {
                    Some(bad) => Estimate::missing(bad.flag),
                    None => gain_of(responses, k, n, (m, s), synapse_spread),
                }
            })
            .collect()
    })
}

fn gain_of(
    responses: &Responses,
    k: usize,
    n: usize,
    (m, s): (Estimate, Estimate),
    synapse_spread: f64,
) -> Estimate {
    let traces = &responses.traces[k];
    let Some(start) = start_of(traces, n, responses.at_us) else {
        return Estimate::missing(Flag::Unresponsive);
    };
    if traces.railed_share(n, responses.at_us, f64::INFINITY) > 0.3 {
        return Estimate::missing(Flag::Saturated);
    }
    let height = |m: f64, s: f64| height_of(traces, n, start, m, s);
    let Some(whole) = height(m.value, s.value) else { return Estimate::missing(Flag::NoFit) };
    let moved = |fit: Option<fit::Fit<3>>| fit.map_or(0.0, |f| f.x[1] - whole.x[1]);
    let by_mem = moved(height(m.value + m.sigma, s.value));
    let by_syn = moved(height(m.value, s.value + s.sigma));
    // Each group of rows on its own, at the common instant.
    let own = |trace: &Traces| {
        let points = trace.points(n, 0.0, f64::INFINITY);
        let begin = [whole.x[0], whole.x[1]];
        fit::fit(&points, begin, |t, x| {
            let (v, g) = shape(t, &[x[0], x[1], s.value, whole.x[2]], m.value);
            (v, [g[0], g[1]])
        })
    };
    let fits: Vec<fit::Fit<2>> = responses.groups[k].iter().filter_map(own).collect();
    if fits.len() < 2 {
        return Estimate::missing(Flag::NoFit);
    }
    let middle = fit::median(fits.iter().map(|f| f.x[1]));
    let noise = fits.iter().map(|f| f.sigma(1)).sum::<f64>() / fits.len() as f64;
    let rows = responses.rows[k].max(1) as f64;
    let expected = noise.hypot(middle * synapse_spread / rows.sqrt());
    // A defective synapse lifts its whole group.
    let sound: Vec<f64> = fits
        .iter()
        .map(|f| f.x[1])
        .filter(|h| (h - middle).abs() <= 3.0 * expected.max(0.005 * middle.abs()))
        .collect();
    let count = sound.len() as f64;
    let mean = sound.iter().sum::<f64>() / count;
    let error = (expected / count.sqrt()).hypot(by_mem).hypot(by_syn);
    Estimate::good(mean.abs() / responses.codes[k], error / responses.codes[k])
}

/// Fits `[rest, height, start]` at known time constants.
fn height_of(
    traces: &Traces,
    n: usize,
    start: [f64; 4],
    tau_mem: f64,
    tau_syn: f64,
) -> Option<fit::Fit<3>> {
    let points = traces.points(n, 0.0, f64::INFINITY);
    let begin = [start[0], start[1] / peak(tau_mem, tau_syn), start[3]];
    fit::fit(&points, begin, |t, x| {
        let (v, g) = shape(t, &[x[0], x[1], tau_syn, x[2]], tau_mem);
        (v, [g[0], g[1], g[3]])
    })
}
