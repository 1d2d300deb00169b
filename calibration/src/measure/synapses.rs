//! The gain of single synapses: every input row on its own, all neurons at once.
//!
//! The shape of the response is known (τ_mem and τ_syn of each neuron), so its height is a weighted sum of the
//! samples: least squares for `[rest, height]`, the weights of which are computed once a neuron. Heights are given
//! relative to the neuron's gain, so that 1 is a synapse without deviation.

use crate::bench::{Bench, Setup};
use crate::error::Error;
use crate::estimate::Estimate;
use crate::measure::Effort;
use crate::measure::psp::kappa;
use crate::measure::traces::{Sampling, Traces};
use crate::result::Calibration;
use rayon::prelude::*;
use spikeloop_hal::{ChipConfig, Parameter, SpikeEvent};
use std::sync::Arc;

/// Trials of each row.
const REPEATS: usize = 12;
/// Rows of one round trip.
const ROWS_PER_ROUND: usize = 32;
/// Samples before the response.
const BEFORE: u32 = 4;

/// Gains of the synapses from the inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Synapses {
    /// Gain relative to that of the neuron, `[row, neuron]`; 1 where it could not be measured.
    pub gain: Vec<f32>,
    /// Standard error, `[row, neuron]`.
    pub sigma: Vec<f32>,
    /// Neurons.
    pub neurons: usize,
}

impl Synapses {
    /// Measures at the codes of a calibration. `None` on a chip without converter.
    ///
    /// # Errors
    /// Failures of the chip.
    pub fn measure(
        bench: &mut Bench,
        calibration: &Calibration,
        effort: Effort,
    ) -> Result<Option<Self>, Error> {
        let caps = bench.capabilities().clone();
        let value = |p: Parameter| calibration.parameter(p).map(|r| r.after.as_slice());
        let (Some(tau_mem), Some(tau_syn), Some(gain)) =
            (value(Parameter::TauMem), value(Parameter::TauSynExc), value(Parameter::GainExc))
        else {
            return Ok(None);
        };
        let slowest = [tau_mem, tau_syn]
            .map(|list| crate::fit::median(list.iter().map(|e| e.value)))
            .into_iter()
            .fold(1.0, f64::max);
        let period = (slowest / 4.0).max(0.1);
        let length = (f64::from(BEFORE) + 1.0) * period + 4.5 * slowest;
        let Some(sampling) = Sampling::new(&caps, period, length) else { return Ok(None) };
        let mut config = ChipConfig::power_up(&caps);
        calibration.apply(&mut config);
        config.enabled.fill(true);
        config.spiking.fill(false);
        let inputs = usize::from(caps.inputs);
        (0..inputs).for_each(|row| config.row_mut(row).fill(caps.weight_max));
        sampling.apply(&mut config, false);
        let config = Arc::new(config);
        let tick = BEFORE * sampling.period;
        let at_us = caps.microseconds(tick);
        let times: Vec<f64> =
            (0..usize::from(sampling.samples)).map(|k| sampling.time_us(&caps, k)).collect();
        let filters: Vec<Option<Filter>> = (0..usize::from(caps.neurons))
            .map(|n| {
                let skew = calibration.converter.skew_us[n].value;
                Filter::new(&times, at_us - skew, tau_mem[n], tau_syn[n])
            })
            .collect();
        let full = f64::from(caps.weight_max);
        let neurons = usize::from(caps.neurons);
        let mut out = Self {
            gain: vec![1.0; inputs * neurons],
            sigma: vec![f32::INFINITY; inputs * neurons],
            neurons,
        };
        let rows: Vec<usize> = (0..inputs).collect();
        for part in rows.chunks(ROWS_PER_ROUND) {
            let setups: Vec<Setup> = part
                .iter()
                .map(|row| Setup {
                    config: config.clone(),
                    events: vec![SpikeEvent::new(tick, *row as u16)],
                    duration: sampling.duration(),
                    repeats: effort.of(REPEATS),
                })
                .collect();
            let recorded = bench.round(&setups)?;
            let found: Vec<Vec<(f32, f32)>> = recorded
                .par_iter()
                .map(|r| {
                    let traces = Traces::new(r, &caps, sampling, &calibration.converter);
                    let one = |n: usize| relative(&traces, filters[n].as_ref(), n, gain[n], full);
                    (0..neurons).map(one).collect()
                })
                .collect();
            for (row, list) in part.iter().zip(found) {
                for (n, (g, s)) in list.into_iter().enumerate() {
                    (out.gain[row * neurons + n], out.sigma[row * neurons + n]) = (g, s);
                }
            }
        }
        out.center(neurons);
        Ok(Some(out))
    }

    /// Makes the median over the rows of each neuron 1: what its rows have in common belongs to its gain.
    fn center(&mut self, neurons: usize) {
        let rows = self.gain.len() / neurons.max(1);
        for n in 0..neurons {
            let middle = crate::fit::median(
                (0..rows)
                    .filter(|row| self.sigma[row * neurons + n].is_finite())
                    .map(|row| f64::from(self.gain[row * neurons + n])),
            );
            if middle > 0.2 {
                (0..rows).for_each(|row| self.gain[row * neurons + n] /= middle as f32);
            }
        }
    }
}

/// Weights that turn samples into the height of a response of known shape.
struct Filter {
    weights: Vec<f64>,
    /// Standard error of the height for a unit error of a sample.
    error: f64,
}

impl Filter {
    fn new(times: &[f64], start_us: f64, tau_mem: Estimate, tau_syn: Estimate) -> Option<Self> {
        if !(tau_mem.is_good() && tau_syn.is_good()) {
            return None;
        }
        let shape: Vec<f64> =
            times.iter().map(|t| kappa(t - start_us, tau_mem.value, tau_syn.value)).collect();
        let mean = shape.iter().sum::<f64>() / shape.len() as f64;
        let square: f64 = shape.iter().map(|k| (k - mean).powi(2)).sum();
        let weights = shape.iter().map(|k| (k - mean) / square).collect();
        (square > 0.0).then(|| Self { weights, error: square.sqrt().recip() })
    }
}

fn relative(
    traces: &Traces,
    filter: Option<&Filter>,
    n: usize,
    gain: Estimate,
    code: f64,
) -> (f32, f32) {
    let Some(filter) = filter.filter(|_| gain.is_good()) else { return (1.0, f32::INFINITY) };
    let height: f64 = filter.weights.iter().zip(traces.of(n)).map(|(w, v)| w * v).sum();
    let expected = gain.value * code;
    ((height / expected) as f32, (filter.error * traces.error(n) / expected) as f32)
}
