//! Resting potential of every neuron, and neurons that fire on their own.
//!
//! No input, comparators off: the membrane stays where leak and constant currents hold it. In a second part
//! of the same round trip the comparators are on: what fires is stuck, or rests above its threshold.

use crate::bench::{Bench, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::measure::traces::{Sampling, Traces};
use crate::measure::{Converter, Effort};
use spikeloop_hal::ChipConfig;

/// Length of a trial, µs.
const DURATION_US: f64 = 64.0;
/// Trials.
const REPEATS: usize = 24;
/// Trials with the comparators on.
const SPIKING_REPEATS: usize = 2;

/// Neurons whose single samples are kept.
const QUIET_NEURONS: usize = 16;

/// Single samples of quiet membranes of a few neurons, for the noise of the read-out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quiet {
    /// Which neurons, evenly spread over the array.
    pub neurons: Vec<usize>,
    /// Time between two samples of a trial, µs.
    pub period_us: f64,
    /// Samples of a trial.
    pub per_trial: usize,
    /// `[neuron in the list, trial, sample]` in LSB: one trial after the other.
    pub samples: Vec<Vec<f32>>,
}

impl Quiet {
    fn new(
        recorded: &[u16],
        neurons: usize,
        period_us: f64,
        per_trial: usize,
        converter: &Converter,
    ) -> Self {
        let count = neurons.min(QUIET_NEURONS);
        let list: Vec<usize> = (0..count).map(|k| k * neurons / count).collect();
        let of = |n: usize| {
            let own = recorded.iter().skip(n).step_by(neurons);
            own.map(|s| converter.membrane(n, f64::from(*s)) as f32).collect()
        };
        Self { samples: list.iter().map(|n| of(*n)).collect(), neurons: list, period_us, per_trial }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Resting potential, LSB; empty on a chip without converter.
    pub potential: Vec<Estimate>,
    /// Noise of a single sample, LSB; empty on a chip without converter.
    pub noise: Vec<f64>,
    /// Neurons that fire without input.
    pub firing: Vec<bool>,
    /// Single samples of a few neurons, for pictures; `None` on a chip without converter.
    pub quiet: Option<Quiet>,
}

impl Rest {
    /// Measures with the parameter codes of `base`.
    ///
    /// # Errors
    /// Failures of the chip.
    pub fn measure(
        bench: &mut Bench,
        base: &ChipConfig,
        converter: &Converter,
        effort: Effort,
    ) -> Result<Self, Error> {
        let caps = bench.capabilities().clone();
        let neurons = usize::from(caps.neurons);
        let mut quiet = base.clone();
        quiet.weights.fill(0);
        quiet.enabled.fill(true);
        quiet.spiking.fill(false);
        quiet.recording = spikeloop_hal::Recording::default();
        let mut spiking = quiet.clone();
        spiking.spiking.fill(true);
        spiking.recording.spikes = true;
        let sampling = Sampling::new(&caps, 1.0, DURATION_US);
        let duration = sampling.map_or(caps.ticks(DURATION_US), |s| s.duration());
        let firing = Setup {
            config: spiking.into(),
            events: Vec::new(),
            duration,
            repeats: SPIKING_REPEATS,
        };
        let mut setups = vec![firing];
        if let Some(sampling) = sampling {
            sampling.apply(&mut quiet, false);
            let repeats = effort.of(REPEATS);
            setups.push(Setup { config: quiet.into(), events: Vec::new(), duration, repeats });
        }
        let recorded = bench.round(&setups)?;
        let mut out = Self { firing: vec![false; neurons], ..Self::default() };
        for spike in &recorded[0].spikes {
            out.firing[usize::from(spike.id)] = true;
        }
        let Some(sampling) = sampling else { return Ok(out) };
        let traces = Traces::new(&recorded[1], &caps, sampling, converter);
        let count = (traces.trials * traces.samples()) as f64;
        for n in 0..neurons {
            let railed = traces.railed_of(n).iter().filter(|r| **r).count();
            let mean = traces.of(n).iter().sum::<f64>() / traces.samples() as f64;
            let error = (traces.noise[n] / count.sqrt()).hypot(converter.error_at(n, mean));
            out.potential.push(if railed * 4 > traces.samples() {
                Estimate { flag: Flag::Saturated, ..Estimate::good(mean, error) }
            } else {
                Estimate::good(mean, error)
            });
        }
        let period_us = caps.microseconds(sampling.period);
        out.quiet =
            Some(Quiet::new(&recorded[1].samples, neurons, period_us, traces.samples(), converter));
        out.noise = traces.noise;
        Ok(out)
    }
}
