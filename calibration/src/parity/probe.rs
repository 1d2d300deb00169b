//! What has to be known about a chip without a calibration: every parameter at the codes that the network runs
//! with, measured without a search; and the time that a spike needs from neuron to neuron.

use crate::bench::{Bench, Recorded, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::measure::psp::{self, Purpose, kappa};
use crate::measure::rate::Rates;
use crate::measure::relaxation::Relaxation;
use crate::measure::rest::Rest;
use crate::measure::threshold::Threshold;
use crate::measure::traces::{Sampling, Traces};
use crate::measure::{Converter, Effort, mean_design};
use crate::result::{Calibration, Failure, ParameterResult, Provenance};
use crate::targets::{Options, Target};
use rayon::prelude::*;
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, SpikeEvent};
use std::sync::Arc;

/// Measures everything at the codes of `base`: in the form of a calibration that moved no code.
///
/// # Errors
/// Failures of the chip.
pub fn measure(bench: &mut Bench, base: &ChipConfig, effort: Effort) -> Result<Calibration, Error> {
    let caps = bench.capabilities().clone();
    let cost = bench.cost();
    if caps.adc.is_none() {
        return Ok(as_calibration(&caps, base, Converter::ideal(&caps), Vec::new()));
    }
    let mut converter = Converter::measure(bench, base, effort)?;
    let mut found = Vec::new();
    let mut tau_mem = design(&caps, base, Parameter::TauMem);
    if let Some(seen) = Relaxation::measure(bench, base, &converter, effort)? {
        tau_mem.clone_from(&seen.tau_mem);
        found.push((Parameter::TauMem, seen.tau_mem));
        found.push((Parameter::ResetPotential, seen.reset));
        found.push((Parameter::Refractory, seen.refractory));
    }
    let mut tau_syn = [Parameter::TauSynExc, Parameter::TauSynInh].map(|p| design(&caps, base, p));
    if let Some(responses) = psp::record(bench, base, &converter, Purpose::TimeConstants, effort)? {
        let fast = fast_membranes(&caps, base, &tau_mem, responses.design_us.0);
        let seen = psp::time_constants(&caps, responses, &fast);
        for (own, new) in converter.skew_us.iter_mut().zip(&seen.skew_us) {
            if new.is_good() {
                *own = *new;
            }
        }
        tau_syn.clone_from(&seen.tau_syn);
        let [exc, inh] = seen.tau_syn;
        found.push((Parameter::TauSynExc, exc));
        found.push((Parameter::TauSynInh, inh));
    }
    if let Some(responses) = psp::record(bench, base, &converter, Purpose::Gain, effort)? {
        let [exc, inh] = psp::gains(&caps, &responses, &tau_mem, &tau_syn, 0.0);
        found.push((Parameter::GainExc, exc));
        found.push((Parameter::GainInh, inh));
    }
    let rest = Rest::measure(bench, base, &converter, effort)?;
    found.push((Parameter::LeakPotential, rest.potential));
    let threshold = Threshold::measure(bench, base, &converter, effort)?;
    let noise = threshold.as_ref().map(|t| t.noise.clone());
    found.extend(threshold.map(|t| (Parameter::Threshold, t.threshold)));
    // Where events get lost, a neuron that was not heard may have fired.
    let heard = bench.cost().dropped_events == cost.dropped_events;
    let mut out = as_calibration(&caps, base, converter, found);
    out.threshold_noise = noise.unwrap_or_default();
    out.failures = failures(&rest.firing, &out, heard);
    out.cost = bench.cost() - cost;
    Ok(out)
}

fn failures(firing: &[bool], known: &Calibration, heard: bool) -> Vec<Failure> {
    let silent = known.parameter(Parameter::Threshold);
    let reason = |n: usize| {
        let is_silent = || silent.is_some_and(|t| t.after[n].flag == Flag::Silent);
        match firing[n] {
            true => Some(Flag::AlwaysFiring),
            false => (heard && is_silent()).then_some(Flag::Silent),
        }
    };
    (0..firing.len())
        .filter_map(|n| Some(Failure { neuron: n as u16, parameter: None, reason: reason(n)? }))
        .collect()
}

/// Design values at the codes of `base`, with a wide error.
fn design(caps: &Capabilities, base: &ChipConfig, parameter: Parameter) -> Vec<Estimate> {
    let shared = if parameter == Parameter::TauSynInh { Parameter::TauSynExc } else { parameter };
    let parameter = if caps.parameter(parameter).is_some() { parameter } else { shared };
    let value = |n: usize| match (caps.parameter(parameter), base.codes(parameter)) {
        (Some(spec), Some(codes)) => f64::from(spec.value(codes[n])),
        _ => 1.0,
    };
    (0..usize::from(caps.neurons)).map(|n| Estimate::good(value(n), 0.05 * value(n))).collect()
}

/// τ_mem of every neuron at the code of the shortest one, from how far it is off at its own code.
fn fast_membranes(
    caps: &Capabilities,
    base: &ChipConfig,
    tau_mem: &[Estimate],
    fast_us: f64,
) -> Vec<Estimate> {
    let design = design(caps, base, Parameter::TauMem);
    let one = |(seen, design): (&Estimate, &Estimate)| match seen.is_good() {
        true => {
            let factor = fast_us / design.value;
            Estimate::good(factor * seen.value, factor * seen.sigma)
        }
        false => Estimate::good(fast_us, 0.15 * fast_us),
    };
    tau_mem.iter().zip(&design).map(one).collect()
}

fn as_calibration(
    caps: &Capabilities,
    base: &ChipConfig,
    converter: Converter,
    found: Vec<(Parameter, Vec<Estimate>)>,
) -> Calibration {
    let neurons = usize::from(caps.neurons);
    let parameters = found.into_iter().filter_map(|(parameter, after)| {
        let spec = caps.parameter(parameter)?;
        let codes = base.codes(parameter)?.to_vec();
        let value = f64::from(spec.value(spec.code_default));
        Some(ParameterResult {
            parameter,
            unit: spec.unit,
            target: Target { parameter, value, feasible: (value, value) },
            codes,
            before: after.clone(),
            verdict: after.iter().map(|e| e.flag).collect(),
            after,
            shared_error: 0.0,
            round_trips: 1,
        })
    });
    Calibration {
        format: Calibration::FORMAT,
        provenance: Provenance {
            kind: caps.identity.kind.to_string(),
            chip: caps.identity.to_string(),
            firmware: caps.identity.firmware,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            temperature_c: None,
            time: "now".to_owned(),
        },
        options: Options::default(),
        parameters: parameters.collect(),
        converter,
        threshold_noise: Vec::new(),
        weights: None,
        rates: Rates { khz: vec![Vec::new(); neurons], ..Rates::default() },
        failures: Vec::new(),
        unavailable: Vec::new(),
        notes: Vec::new(),
        cost: crate::bench::Cost::default(),
    }
}

/// Neurons whose spikes are followed.
const SOURCES: usize = 4;
/// Trials of each.
const REPEATS: usize = 12;
/// Input lines that make a source fire.
const LINES: usize = 24;
/// Neurons that listen to each.
const LISTENERS: usize = 32;
/// Longest time that is looked for, µs, and the two grids on which it is looked for.
const LONGEST_US: f64 = 12.0;
const COARSE_US: f64 = 0.5;
const FINE_US: f64 = 0.05;

/// Time from a spike to its effect on another neuron, µs: the onset of responses to single neurons that were made
/// to fire. `None` on chips without converter or without synapses between neurons.
///
/// # Errors
/// Failures of the chip.
pub fn axonal_delay(
    bench: &mut Bench,
    base: &ChipConfig,
    known: &Calibration,
    effort: Effort,
) -> Result<Option<f64>, Error> {
    let caps = bench.capabilities().clone();
    let tau = mean_design(&caps, base, Parameter::TauMem).unwrap_or(10.0);
    let length = LONGEST_US + 5.0 * tau;
    let (true, Some(sampling)) = (caps.recurrent, Sampling::new(&caps, tau / 8.0, length)) else {
        return Ok(None);
    };
    let neurons = usize::from(caps.neurons);
    let sources: Vec<usize> = (0..SOURCES).map(|k| k * neurons / SOURCES).collect();
    let lines = LINES.min(usize::from(caps.inputs));
    let setups: Vec<Setup> = sources
        .iter()
        .map(|source| {
            let mut config = base.clone();
            config.weights.fill(0);
            config.enabled.fill(true);
            config.spiking.fill(false);
            config.spiking[*source] = true;
            (0..lines).for_each(|line| config.row_mut(line)[*source] = caps.weight_max);
            let row = config.row_mut(usize::from(caps.inputs) + source);
            row.fill(caps.weight_max);
            row[*source] = 0;
            sampling.apply(&mut config, true);
            let tick = 2 * sampling.period;
            Setup {
                config: Arc::new(config),
                events: (0..lines).map(|line| SpikeEvent::new(tick, line as u16)).collect(),
                duration: sampling.duration(),
                repeats: effort.of(REPEATS),
            }
        })
        .collect();
    let recorded = bench.round(&setups)?;
    let responses: Vec<Response> = recorded
        .iter()
        .zip(&sources)
        .flat_map(|(recorded, source)| responses(recorded, *source, &caps, sampling, known))
        .collect();
    let step = |from: f64, by: f64, count: usize| -> Option<f64> {
        let misfit = |k: &usize| -> f64 {
            let delay = from + *k as f64 * by;
            responses.par_iter().map(|r| r.misfit(delay)).sum()
        };
        let misfits: Vec<f64> = (0..=count).collect::<Vec<_>>().iter().map(misfit).collect();
        let best = (0..=count).min_by(|a, b| misfits[*a].total_cmp(&misfits[*b]))?;
        Some(from + best as f64 * by)
    };
    if responses.is_empty() {
        return Ok(None);
    }
    let coarse = step(0.0, COARSE_US, (LONGEST_US / COARSE_US) as usize);
    let around = (2.0 * COARSE_US / FINE_US) as usize;
    Ok(coarse.and_then(|at| step((at - COARSE_US).max(0.0), FINE_US, around)))
}

/// The membrane of one neuron after the spikes of another one.
struct Response {
    times_us: Vec<f64>,
    values: Vec<f64>,
    spikes_us: Vec<f64>,
    tau_mem: f64,
    tau_syn: f64,
}

impl Response {
    /// What is left of the membrane after the best response to spikes that arrive `delay` late.
    fn misfit(&self, delay: f64) -> f64 {
        let shape = |t: &f64| -> f64 {
            let one = |at: &f64| kappa(t - at - delay, self.tau_mem, self.tau_syn);
            self.spikes_us.iter().map(one).sum()
        };
        let shape: Vec<f64> = self.times_us.iter().map(shape).collect();
        residual(&shape, &self.values)
    }
}

/// Responses of neurons all over the array; none if the source was not heard.
fn responses(
    recorded: &Recorded,
    source: usize,
    caps: &Capabilities,
    sampling: Sampling,
    known: &Calibration,
) -> Vec<Response> {
    let spikes_us: Vec<f64> = recorded.spikes.iter().map(|s| caps.microseconds(s.tick)).collect();
    if spikes_us.is_empty() {
        return Vec::new();
    }
    let traces = Traces::new(recorded, caps, sampling, &known.converter);
    let neurons = usize::from(caps.neurons);
    let value = |p: Parameter, n: usize| {
        known.parameter(p).map(|r| r.after[n]).filter(Estimate::is_good).map(|e| e.value)
    };
    (0..neurons)
        .step_by(neurons.div_ceil(LISTENERS))
        .filter(|n| *n != source)
        .filter_map(|n| {
            Some(Response {
                times_us: traces.times_us.clone(),
                values: traces.of(n).to_vec(),
                spikes_us: spikes_us.clone(),
                tau_mem: value(Parameter::TauMem, n)?,
                tau_syn: value(Parameter::TauSynExc, n)?,
            })
        })
        .collect()
}

/// What is left of `values` after the best `rest + height · shape`.
fn residual(shape: &[f64], values: &[f64]) -> f64 {
    let n = shape.len() as f64;
    let mean = |x: &[f64]| x.iter().sum::<f64>() / n;
    let (a, b) = (mean(shape), mean(values));
    let dot = |x: &[f64], p: f64, y: &[f64], q: f64| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - p) * (y - q)).sum()
    };
    let (xx, xy, yy) =
        (dot(shape, a, shape, a), dot(shape, a, values, b), dot(values, b, values, b));
    if xx > 0.0 { yy - xy * xy / xx } else { yy }
}
