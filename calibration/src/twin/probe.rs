//! Does a twin do what its chip does? Random weights and random input on both, compared sample by sample.
//!
//! Each probe is run twice: with firing switched off, when every membrane is a sum of responses, and with firing
//! on, when spikes are counted. Means over equal trials are compared, so that noise counts little.

use crate::bench::{Bench, Recorded, Setup};
use crate::error::Error;
use crate::fit::median;
use crate::measure::psp::kappa;
use crate::measure::traces::Sampling;
use crate::result::Calibration;
use crate::translation::Codes;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, SpikeEvent};
use spikeloop_models::random;
use std::sync::Arc;

/// Weight matrices.
const PROBES: u64 = 3;
/// Trials of each.
const REPEATS: usize = 16;
/// Input events of a trial.
const EVENTS: usize = 40;
/// Length of a trial in time constants.
const LENGTH: f64 = 10.0;
/// Wanted standard deviation of a membrane, in θ: neurons then fire a few times.
const SWING: f64 = 0.55;

/// How a twin compares with its chip, over usable neurons.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Correlation of the membranes about the mean of each neuron.
    pub membrane_correlation: f64,
    /// Root mean square of the difference of the membranes, LSB.
    pub membrane_rms_lsb: f64,
    /// Root mean square of the chip's own membranes about the mean of each neuron, LSB.
    pub membrane_swing_lsb: f64,
    /// Correlation of the spike counts of neurons.
    pub count_correlation: f64,
    /// Root mean square of the difference of the mean counts a trial.
    pub count_rms: f64,
    /// Spikes a neuron and trial on the chip.
    pub count_chip: f64,
    /// Spikes a neuron and trial on the twin.
    pub count_twin: f64,
    /// Neurons that were compared.
    pub neurons: usize,
}

/// Runs the same random programs on a chip and its twin, at the codes of the calibration or at one code for all
/// neurons. `seed` draws them.
///
/// # Errors
/// Failures of either; [`Error::TwinNeedsMembranes`] on a chip without converter.
pub fn compare(
    chip: &mut Bench,
    twin: &mut Bench,
    calibration: &Calibration,
    codes: Codes,
    seed: u64,
) -> Result<Agreement, Error> {
    let caps = chip.capabilities().clone();
    let probes = probes(&caps, calibration, codes, seed).ok_or(Error::TwinNeedsMembranes)?;
    let on_chip = chip.round(&probes)?;
    let on_twin = twin.round(&probes)?;
    let usable: Vec<usize> =
        calibration.usable().iter().enumerate().filter(|(_, u)| **u).map(|(n, _)| n).collect();
    let top = caps.adc.map_or(f64::MAX, |adc| ((1_u32 << adc.bits) - 1) as f64);
    let (mut membranes, mut difference) = (Pairs::default(), 0.0);
    let mut counts = Pairs::default();
    for (k, (a, b)) in on_chip.iter().zip(&on_twin).enumerate() {
        if k % 2 == 0 {
            for n in &usable {
                let (mine, twins) = (mean_trace(a, &caps, *n), mean_trace(b, &caps, *n));
                let inside = |v: f64| v > 1.0 && v < top - 1.0;
                let seen: Vec<(f64, f64)> =
                    mine.into_iter().zip(twins).filter(|(x, y)| inside(*x) && inside(*y)).collect();
                let size = seen.len().max(1) as f64;
                let (sx, sy) = seen.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
                for (x, y) in seen {
                    membranes.add(x - sx / size, y - sy / size);
                    difference += (x - y).powi(2);
                }
            }
        } else {
            let (mine, twins) = (mean_counts(a, &caps), mean_counts(b, &caps));
            usable.iter().for_each(|n| counts.add(mine[*n], twins[*n]));
        }
    }
    Ok(Agreement {
        membrane_correlation: membranes.correlation(),
        membrane_rms_lsb: (difference / membranes.count.max(1.0)).sqrt(),
        membrane_swing_lsb: (membranes.xx / membranes.count.max(1.0)).sqrt(),
        count_correlation: counts.correlation(),
        count_rms: (counts.difference / counts.count.max(1.0)).sqrt(),
        count_chip: counts.x / counts.count.max(1.0),
        count_twin: counts.y / counts.count.max(1.0),
        neurons: usable.len(),
    })
}

/// Two setups a probe: membranes without firing, spikes without membranes. `None` without a converter.
fn probes(
    caps: &Capabilities,
    calibration: &Calibration,
    codes: Codes,
    seed: u64,
) -> Option<Vec<Setup>> {
    let typical = |p: Parameter| {
        let result = calibration.parameter(p)?;
        Some(median(result.after.iter().filter(|e| e.is_good()).map(|e| e.value)))
    };
    let tau_mem = typical(Parameter::TauMem)?;
    let tau_syn = typical(Parameter::TauSynExc)?;
    let theta = typical(Parameter::Threshold)? - typical(Parameter::LeakPotential)?;
    let gain = typical(Parameter::GainExc)?;
    let slowest = tau_mem.max(tau_syn);
    let sampling = Sampling::new(caps, slowest / 4.0, LENGTH * slowest)?;
    // Shot noise: the variance is rate · w² · ∫κ².
    let step = slowest / 20.0;
    let power: f64 = (0..400).map(|k| kappa(f64::from(k) * step, tau_mem, tau_syn).powi(2)).sum();
    let rate = EVENTS as f64 / ((LENGTH - 2.0) * slowest);
    let rms = SWING * theta / (gain * (rate * power * step).sqrt());
    let most = f64::from(caps.weight_max).min(-f64::from(caps.weight_min));
    let bound = (rms * 3.0_f64.sqrt()).min(most);
    let bias = 0.15 * bound;
    let mut setups = Vec::new();
    for probe in 0..PROBES {
        let mut rng = random::stream(seed, probe);
        let mut quiet = ChipConfig::power_up(caps);
        if codes == Codes::Calibrated {
            calibration.apply(&mut quiet);
        }
        quiet.enabled.copy_from_slice(&calibration.usable());
        quiet.spiking.fill(false);
        for row in 0..usize::from(caps.inputs) {
            for cell in quiet.row_mut(row) {
                let weight = bound * (2.0 * random::uniform(&mut rng) - 1.0) + bias;
                *cell = weight.clamp(-most, most).round() as i8;
            }
        }
        let mut events: Vec<SpikeEvent> = (0..EVENTS)
            .map(|_| {
                let at = slowest * (1.0 + (LENGTH - 2.0) * random::uniform(&mut rng));
                let row = (f64::from(caps.inputs) * random::uniform(&mut rng)) as u16;
                SpikeEvent::new(caps.ticks(at), row.min(caps.inputs.saturating_sub(1)))
            })
            .collect();
        events.sort_by_key(|e| (e.tick, e.id));
        let mut firing = quiet.clone();
        firing.spiking.clone_from(&quiet.enabled);
        firing.recording.spikes = true;
        sampling.apply(&mut quiet, false);
        setups.extend([quiet, firing].map(|config| Setup {
            config: Arc::new(config),
            events: events.clone(),
            duration: sampling.duration(),
            repeats: REPEATS,
        }));
    }
    Some(setups)
}

/// Mean over the trials of what the converter said of one neuron.
fn mean_trace(recorded: &Recorded, caps: &Capabilities, neuron: usize) -> Vec<f64> {
    let neurons = usize::from(caps.neurons);
    let samples = recorded.samples.len() / (neurons * recorded.trials.max(1));
    let mut mean = vec![0.0; samples];
    for trial in recorded.samples.chunks_exact(neurons * samples) {
        for (k, m) in mean.iter_mut().enumerate() {
            *m += f64::from(trial[k * neurons + neuron]) / recorded.trials as f64;
        }
    }
    mean
}

fn mean_counts(recorded: &Recorded, caps: &Capabilities) -> Vec<f64> {
    let mut counts = vec![0.0; usize::from(caps.neurons)];
    for spike in &recorded.spikes {
        if let Some(count) = counts.get_mut(usize::from(spike.id)) {
            *count += 1.0 / recorded.trials.max(1) as f64;
        }
    }
    counts
}

/// Sums over pairs of values.
#[derive(Clone, Copy, Debug, Default)]
struct Pairs {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
    difference: f64,
}

impl Pairs {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
        self.difference += (x - y).powi(2);
    }

    /// Pearson's correlation; 0 where one side does not vary.
    fn correlation(&self) -> f64 {
        let n = self.count.max(1.0);
        let covariance = self.xy - self.x * self.y / n;
        let power = (self.xx - self.x * self.x / n) * (self.yy - self.y * self.y / n);
        if power > 0.0 { covariance / power.sqrt() } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_is_that_of_pearson() {
        let mut pairs = Pairs::default();
        [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)].into_iter().for_each(|(x, y)| pairs.add(x, y));
        assert!((pairs.correlation() - 1.0).abs() < 1e-12);
        let mut pairs = Pairs::default();
        [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)].into_iter().for_each(|(x, y)| pairs.add(x, y));
        assert!((pairs.correlation() - 0.5).abs() < 1e-12);
        let mut flat = Pairs::default();
        [(1.0, 1.0), (1.0, 3.0)].into_iter().for_each(|(x, y)| flat.add(x, y));
        assert_eq!(flat.correlation(), 0.0);
    }
}
