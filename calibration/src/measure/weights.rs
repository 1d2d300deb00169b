//! Are equal codes equal? Linearity of the weights of each neuron, gain of rows, spread over synapses.
//!
//! The height of the response is measured for single rows at the highest code and, with all rows together, for a
//! ladder of codes. Shapes are not fitted: at equal time constants the area under the response is
//! proportional to the charge, `∫ (V − rest) dt = τ_m τ_s G Σcode`.

use crate::bench::{Bench, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit;
use crate::measure::traces::{Sampling, Traces};
use crate::measure::{Converter, Effort, mean_design};
use serde::{Deserialize, Serialize};
use spikeloop_hal::{ChipConfig, Parameter, SpikeEvent};

/// Trials of each row and of each step of the ladder.
const REPEATS: usize = 24;
/// Single rows that are tried.
const ROWS: usize = 12;
/// Steps of the ladder, as shares of the highest code.
const LADDER: [f64; 5] = [0.1, 0.3, 0.5, 0.75, 1.0];
/// Height of a response at the highest step by design, LSB.
const HEIGHT_LSB: f64 = 100.0;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// Largest deviation of a response from a straight line through the ladder, relative to the highest
    /// response, per neuron.
    pub nonlinearity: Vec<Estimate>,
    /// Rows that were tried.
    pub rows: Vec<u16>,
    /// Gain of each of these rows relative to their mean: median over the neurons.
    pub row_gain: Vec<Estimate>,
    /// Relative standard deviation of the gain over synapses of one neuron, the noise of this measurement taken
    /// out; one number for the array.
    pub synapse_spread: f64,
}

impl Weights {
    /// Measures with the parameter codes of `base`. `None` on a chip without converter.
    ///
    /// # Errors
    /// Failures of the chip.
    pub fn measure(
        bench: &mut Bench,
        base: &ChipConfig,
        converter: &Converter,
        effort: Effort,
    ) -> Result<Option<Self>, Error> {
        let caps = bench.capabilities().clone();
        let inputs = usize::from(caps.inputs);
        let tau_mem = mean_design(&caps, base, Parameter::TauMem).unwrap_or(10.0);
        let tau_syn = mean_design(&caps, base, Parameter::TauSynExc).unwrap_or(5.0);
        let gain = mean_design(&caps, base, Parameter::GainExc).unwrap_or(1.0);
        let slowest = tau_mem.max(tau_syn);
        let period = (slowest / 4.0).max(0.1);
        let Some(sampling) = Sampling::new(&caps, period, 4.0 * period + 8.0 * slowest) else {
            return Ok(None);
        };
        let tick = 4 * sampling.period;
        let mut base = base.clone();
        base.enabled.fill(true);
        base.spiking.fill(false);
        base.weights.fill(0);
        sampling.apply(&mut base, false);
        let highest = f64::from(caps.weight_max);
        // A single row must be seen over the noise; several pulses of it add up.
        let one = highest * gain * slowest / std::f64::consts::E;
        let pulses = (HEIGHT_LSB / one).floor().clamp(1.0, 16.0) as u32;
        let setup = |config: ChipConfig, events: Vec<SpikeEvent>| Setup {
            config: config.into(),
            events,
            duration: sampling.duration(),
            repeats: effort.of(REPEATS),
        };
        let rows: Vec<u16> =
            (0..ROWS.min(inputs)).map(|k| (k * inputs / ROWS.min(inputs)) as u16).collect();
        let mut setups: Vec<Setup> = rows
            .iter()
            .map(|row| {
                let mut config = base.clone();
                config.row_mut(usize::from(*row)).fill(caps.weight_max);
                let events = (0..pulses).map(|k| SpikeEvent::new(tick + k, *row)).collect();
                setup(config, events)
            })
            .collect();
        let ladder_rows = (pulses as usize).clamp(1, inputs);
        for share in LADDER {
            let mut config = base.clone();
            let code = (highest * share).round() as i8;
            (0..ladder_rows).for_each(|row| config.row_mut(row).fill(code));
            let events = (0..ladder_rows).map(|row| SpikeEvent::new(tick, row as u16)).collect();
            setups.push(setup(config, events));
        }
        let recorded = bench.round(&setups)?;
        let start_us = caps.microseconds(tick);
        let areas: Vec<Vec<(f64, f64)>> = recorded
            .iter()
            .map(|r| areas(&Traces::new(r, &caps, sampling, converter), start_us))
            .collect();
        let (single, ladder) = areas.split_at(rows.len());
        let codes: Vec<f64> = LADDER.iter().map(|s| (highest * s).round()).collect();
        let mut out = spread(single, rows);
        out.nonlinearity =
            (0..usize::from(caps.neurons)).map(|n| nonlinearity(ladder, &codes, n)).collect();
        Ok(Some(out))
    }
}

/// Area under the response of each neuron and its standard error, in LSB times samples.
fn areas(traces: &Traces, start_us: f64) -> Vec<(f64, f64)> {
    let neurons = traces.noise.len();
    (0..neurons)
        .map(|n| {
            let of = traces.of(n);
            let before = traces.times_us.iter().filter(|t| **t <= start_us).count().max(1);
            let rest = of[..before].iter().sum::<f64>() / before as f64;
            let after = (of.len() - before) as f64;
            let area = of[before..].iter().map(|v| v - rest).sum::<f64>();
            let each = traces.noise[n] / (traces.trials.max(1) as f64).sqrt();
            (area, each * (after + after * after / before as f64).sqrt())
        })
        .collect()
}

/// Gain of rows and spread over synapses from single rows.
fn spread(single: &[Vec<(f64, f64)>], rows: Vec<u16>) -> Weights {
    let neurons = single.first().map_or(0, Vec::len);
    let count = single.len().max(1) as f64;
    let mut relative = vec![Vec::new(); single.len()];
    let (mut variances, mut noises) = (Vec::new(), Vec::new());
    for n in 0..neurons {
        let mean = single.iter().map(|row| row[n].0).sum::<f64>() / count;
        let error = single.iter().map(|row| row[n].1).sum::<f64>() / count;
        if mean < 4.0 * error {
            continue;
        }
        let mut squares = 0.0;
        for (list, row) in relative.iter_mut().zip(single) {
            list.push(row[n].0 / mean);
            squares += (row[n].0 / mean - 1.0).powi(2);
        }
        variances.push(squares / (count - 1.0).max(1.0));
        noises.push((error / mean).powi(2));
    }
    // Medians: a stuck bit of one synapse changes one neuron a lot, the array little. The median of a
    // variance of k − 1 numbers lies below its mean by (1 − 2/(9 (k − 1)))³ (Wilson & Hilferty 1931).
    let dof = (count - 1.0).max(1.0);
    let shrink = (1.0 - 2.0 / (9.0 * dof)).powi(3);
    let variance = fit::median(variances) / shrink - fit::median(noises);
    let row_gain = relative
        .iter()
        .map(|list| {
            let middle = fit::median(list.iter().copied());
            let error = fit::mean(list).map_or(f64::NAN, |(_, e)| 1.2533 * e);
            Estimate::good(middle, error)
        })
        .collect();
    Weights {
        rows,
        row_gain,
        synapse_spread: if variance.is_finite() { variance.max(0.0).sqrt() } else { 0.0 },
        nonlinearity: Vec::new(),
    }
}

/// Largest deviation from the straight line through the origin that fits the ladder best.
fn nonlinearity(ladder: &[Vec<(f64, f64)>], codes: &[f64], n: usize) -> Estimate {
    let points = || ladder.iter().map(|step| step[n]).zip(codes);
    let product: f64 = points().map(|((area, _), code)| area * code).sum();
    let square: f64 = codes.iter().map(|c| c * c).sum();
    let slope = product / square;
    let highest = codes.last().copied().unwrap_or(1.0) * slope;
    let error = points().map(|((_, e), _)| e).fold(0.0, f64::max);
    if highest < 4.0 * error {
        return Estimate::missing(Flag::Unresponsive);
    }
    let worst = points()
        .map(|((area, _), code)| ((area - slope * code) / highest).abs())
        .fold(0.0, f64::max);
    Estimate::good(worst, error / highest)
}
