//! Offset, gain and noise of every converter channel, at known reference potentials.
//!
//! `sample = pivot + gain · (V − pivot) + offset + noise`, pivot in the middle of the levels. A straight line is
//! fitted to the means at several levels. A chip without reference gets the ideal channel: its potentials are
//! then all shifted by the offset of their channel, which differences within a neuron do not notice.

use crate::bench::{Bench, Setup};
use crate::error::Error;
use crate::estimate::Estimate;
use crate::measure::Effort;
use crate::measure::traces::Sampling;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, ChipConfig};

/// Runs at each level.
const RUNS: usize = 4;
/// Standard error of the sampling instant as long as it was not measured, µs (guess).
const UNKNOWN_SKEW_US: f64 = 0.1;
/// Samples of each trial.
const SAMPLES: u16 = 64;

/// What is known about the converter channels, one per neuron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Converter {
    /// Potential about which the gain acts, LSB.
    pub pivot: f64,
    /// Offset at the pivot, LSB.
    pub offset: Vec<Estimate>,
    /// Gain.
    pub gain: Vec<Estimate>,
    /// Standard deviation of a single sample, LSB; NaN where it was not measured.
    #[serde(with = "crate::nan::list")]
    pub noise: Vec<f64>,
    /// Shift of the sampling instant in µs: positive where a channel samples late.
    pub skew_us: Vec<Estimate>,
    /// Whether it was measured against a reference.
    pub referenced: bool,
}

impl Converter {
    /// Ideal channels.
    #[must_use]
    pub fn ideal(caps: &Capabilities) -> Self {
        let n = usize::from(caps.neurons);
        let pivot = caps.adc.map_or(0.0, |adc| f64::from(1_u32 << adc.bits) / 2.0);
        Self {
            pivot,
            offset: vec![Estimate::good(0.0, 0.0); n],
            gain: vec![Estimate::good(1.0, 0.0); n],
            noise: vec![f64::NAN; n],
            skew_us: vec![Estimate::good(0.0, UNKNOWN_SKEW_US); n],
            referenced: false,
        }
    }

    /// True membrane of `neuron` in LSB for a (mean) sample.
    #[must_use]
    pub fn membrane(&self, neuron: usize, sample: f64) -> f64 {
        self.pivot + (sample - self.pivot - self.offset[neuron].value) / self.gain[neuron].value
    }

    /// Standard error that the channel's own uncertainty adds to a potential of `neuron` at `v` LSB.
    #[must_use]
    pub fn error_at(&self, neuron: usize, v: f64) -> f64 {
        let gain = self.gain[neuron];
        let from_gain = (v - self.pivot) * gain.sigma;
        self.offset[neuron].sigma.hypot(from_gain) / gain.value
    }

    /// Measures all channels.
    ///
    /// # Errors
    /// Failures of the chip.
    pub fn measure(bench: &mut Bench, base: &ChipConfig, effort: Effort) -> Result<Self, Error> {
        let caps = bench.capabilities().clone();
        let mut out = Self::ideal(&caps);
        let Some(adc) = caps.adc.filter(|adc| adc.reference) else { return Ok(out) };
        let top = f64::from((1_u32 << adc.bits) - 1);
        let (low, high) = (f64::from(adc.reliable_min), f64::from(adc.reliable_max));
        // Twelve percent from the rails where the converter names no range: offsets must fit in.
        let (low, high) = (low.max(0.12 * top), high.min(0.88 * top));
        let levels: Vec<u16> =
            (0..4).map(|k| (low + (high - low) * f64::from(k) / 3.0).round() as u16).collect();
        let period = adc.min_period.max(1);
        let sampling = Sampling { period, samples: SAMPLES };
        let mut config = base.clone();
        config.weights.fill(0);
        config.enabled.fill(true);
        config.spiking.fill(false);
        sampling.apply(&mut config, false);
        let memory = caps.buffers.trace_bytes / caps.bytes_per_sample();
        let per_run = memory as usize / (config.neurons() * usize::from(SAMPLES)).max(1);
        let repeats = effort.of(RUNS * per_run.max(1));
        let setups: Vec<Setup> = levels
            .iter()
            .map(|level| {
                let mut config = config.clone();
                config.recording.reference = Some(*level);
                Setup {
                    config: config.into(),
                    events: Vec::new(),
                    duration: sampling.duration(),
                    repeats,
                }
            })
            .collect();
        let recorded = bench.round(&setups)?;
        let moments: Vec<Vec<(f64, f64)>> =
            recorded.iter().map(|r| moments(&r.samples, config.neurons())).collect();
        let count = (repeats * usize::from(SAMPLES)) as f64;
        out.pivot = levels.iter().map(|l| f64::from(*l)).sum::<f64>() / levels.len() as f64;
        let spread: f64 = levels.iter().map(|l| (f64::from(*l) - out.pivot).powi(2)).sum();
        for n in 0..config.neurons() {
            let points =
                levels.iter().zip(&moments).map(|(l, m)| (f64::from(*l) - out.pivot, m[n]));
            let (mut sum, mut product, mut variance) = (0.0, 0.0, 0.0);
            for (x, (mean, var)) in points {
                sum += mean;
                product += x * mean;
                variance += var / levels.len() as f64;
            }
            let each = (variance / count).sqrt();
            let mean_error = each / (levels.len() as f64).sqrt();
            out.offset[n] = Estimate::good(sum / levels.len() as f64 - out.pivot, mean_error);
            out.gain[n] = Estimate::good(product / spread, each / spread.sqrt());
            out.noise[n] = variance.sqrt();
        }
        out.referenced = true;
        Ok(out)
    }
}

/// Mean and variance of all samples of each channel.
fn moments(samples: &[u16], channels: usize) -> Vec<(f64, f64)> {
    let (mut sum, mut squares) = (vec![0_u64; channels], vec![0_u64; channels]);
    for row in samples.chunks_exact(channels) {
        for (k, s) in row.iter().enumerate() {
            sum[k] += u64::from(*s);
            squares[k] += u64::from(*s) * u64::from(*s);
        }
    }
    let n = (samples.len() / channels.max(1)).max(2) as f64;
    let pairs = sum.iter().zip(&squares);
    pairs
        .map(|(sum, squares)| {
            let mean = *sum as f64 / n;
            (mean, (*squares as f64 / n - mean * mean).max(0.0) * n / (n - 1.0))
        })
        .collect()
}
