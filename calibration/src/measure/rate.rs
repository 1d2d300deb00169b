//! Firing rate against input, from spikes alone: also on chips without converter.
//!
//! Regular input at several strengths. The *rheobase* is the strength at which a neuron begins to fire: the
//! threshold in units of its own input, the only one a chip without read-back can show.

use crate::bench::{Bench, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::measure::{Effort, mean_design};
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, Recording, SpikeEvent};

/// Strengths as shares of what the design needs to reach the threshold: fine steps of 7 % where neurons begin to
/// fire, coarse ones above.
fn strengths() -> Vec<f64> {
    let fine = (0..22).map(|k| 0.45 * 1.07_f64.powi(k));
    fine.chain([2.2, 3.0, 4.0]).collect()
}

/// Length of a trial in membrane time constants.
const LENGTH: f64 = 40.0;
/// Trials at each strength.
const REPEATS: usize = 4;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Mean input by design, as a share of what the design needs to reach the threshold.
    pub strength: Vec<f64>,
    /// Spikes per millisecond (kHz) `[neuron, strength]`.
    pub khz: Vec<Vec<f32>>,
    /// Strength at which a neuron begins to fire.
    pub rheobase: Vec<Estimate>,
}

impl Rates {
    /// Measures with the parameter codes of `base`.
    ///
    /// # Errors
    /// Failures of the chip.
    pub fn measure(bench: &mut Bench, base: &ChipConfig, effort: Effort) -> Result<Self, Error> {
        let caps = bench.capabilities().clone();
        let neurons = usize::from(caps.neurons);
        let inputs = usize::from(caps.inputs).min(64);
        let tau_mem = mean_design(&caps, base, Parameter::TauMem).unwrap_or(10.0);
        let tau_syn = mean_design(&caps, base, Parameter::TauSynExc).unwrap_or(5.0);
        let gain = mean_design(&caps, base, Parameter::GainExc).unwrap_or(1.0);
        let theta = match (
            mean_design(&caps, base, Parameter::Threshold),
            mean_design(&caps, base, Parameter::LeakPotential),
        ) {
            (Some(threshold), Some(leak)) => threshold - leak,
            _ => 1.0,
        };
        let mut base = base.clone();
        base.enabled.fill(true);
        base.spiking.fill(true);
        base.weights.fill(0);
        base.recording = Recording { spikes: true, ..Recording::default() };
        // Steady input of `rate` spikes per µs holds the membrane at rate · code · gain · τ_s · τ_m: half of
        // the code's range at the strength 1, eight spikes a time constant.
        let middle = f64::from(caps.weight_max) / 5.0;
        let rate = (theta / (middle * gain * tau_syn * tau_mem)).max(2.0 / tau_mem);
        let length_us = LENGTH * tau_mem;
        let duration = caps.ticks(length_us);
        let refractory = mean_design(&caps, &base, Parameter::Refractory).unwrap_or(0.0);
        let mut setups = Vec::new();
        let mut strength = Vec::new();
        // Strength of each setup.
        let mut of_setup = Vec::new();
        for (s, share) in strengths().into_iter().enumerate() {
            let wanted = share * theta / (rate * gain * tau_syn * tau_mem);
            let code = wanted.round().clamp(1.0, f64::from(caps.weight_max));
            // The rest is made up by the rate, so that the strengths are as wanted.
            let exact = share * theta / (code * gain * tau_syn * tau_mem);
            let count = (exact * length_us).round().clamp(1.0, 60_000.0) as usize;
            let mut config = base.clone();
            (0..inputs).for_each(|row| config.row_mut(row).fill(code as i8));
            let at = |k: usize| (f64::from(duration) * (k as f64 + 0.5) / count as f64) as u32;
            let events: Vec<SpikeEvent> =
                (0..count).map(|k| SpikeEvent::new(at(k), (k * 27 % inputs) as u16)).collect();
            strength.push(code * gain * tau_syn * tau_mem * count as f64 / length_us / theta);
            let spikes = length_us / most_often(share, tau_mem, refractory);
            let room = f64::from(caps.buffers.spikes_per_trial.max(1));
            let waves = ((neurons as f64 * spikes / room).ceil() as usize).clamp(1, neurons.max(1));
            for wave in 0..waves {
                let mut config = config.clone();
                (0..neurons).for_each(|n| config.enabled[n] = n % waves == wave);
                let (config, events, repeats) = (config.into(), events.clone(), effort.of(REPEATS));
                setups.push(Setup { config, events, duration, repeats });
                of_setup.push(s);
            }
        }
        let recorded = bench.round(&setups)?;
        let mut khz = vec![vec![0.0_f32; strength.len()]; neurons];
        for (s, run) in of_setup.into_iter().zip(&recorded) {
            let per_spike = 1000.0 / (length_us * run.trials as f64);
            for spike in &run.spikes {
                khz[usize::from(spike.id)][s] += per_spike as f32;
            }
        }
        let one_spike = 1000.0 / length_us;
        let rheobase = khz.iter().map(|rates| onset(&strength, rates, one_spike)).collect();
        Ok(Self { strength, khz, rheobase })
    }
}

/// Shortest time in µs between spikes that is to be expected of a neuron: that of one whose threshold lies a third below
/// the design's, `refractory + τ_m ln(s / (s − 1))`. The neurons take turns, so that the chip can hold the spikes of all
/// that fire at once.
fn most_often(strength: f64, tau_mem: f64, refractory: f64) -> f64 {
    let s = 1.5 * strength;
    if s <= 1.0 { f64::INFINITY } else { refractory + tau_mem * (s / (s - 1.0)).ln() }
}

impl Rates {
    /// Thresholds as spikes alone show them: what the input of the design's gain would have to reach, LSB. `config` is the
    /// configuration that was measured with. `None` on a chip that does not announce its potentials.
    #[must_use]
    pub fn thresholds(&self, caps: &Capabilities, config: &ChipConfig) -> Option<Vec<Estimate>> {
        let leak = mean_design(caps, config, Parameter::LeakPotential)?;
        // Strengths are shares of the mean design θ at these codes.
        let theta = mean_design(caps, config, Parameter::Threshold)? - leak;
        let scaled =
            |e: &Estimate| Estimate { value: leak + e.value * theta, sigma: e.sigma * theta, ..*e };
        Some(self.rheobase.iter().map(scaled).collect())
    }
}

/// Strength at which the rate rises over one spike a trial, between two of the strengths.
fn onset(strength: &[f64], khz: &[f32], one_spike: f64) -> Estimate {
    let rates: Vec<f64> = khz.iter().map(|r| f64::from(*r)).collect();
    let Some(first) = rates.iter().position(|r| *r >= one_spike) else {
        return Estimate::missing(Flag::Silent);
    };
    if first == 0 {
        return Estimate::missing(Flag::AlwaysFiring);
    }
    let (low, high) = (strength[first - 1], strength[first]);
    let (below, above) = (rates[first - 1], rates[first]);
    // Between a strength that is too weak and one that is not: where a straight line meets one spike.
    let share = ((one_spike - below) / (above - below)).clamp(0.0, 1.0);
    Estimate::good(low + (high - low) * share, (high - low) / 12.0_f64.sqrt())
}
