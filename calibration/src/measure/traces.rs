//! Mean membranes of all neurons over many equal trials.

use super::Converter;
use crate::bench::Recorded;
use spikeloop_hal::{Capabilities, ChipConfig, Recording, Tick};

/// How membranes are sampled in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Ticks between two samples.
    pub period: Tick,
    /// Samples of a trial.
    pub samples: u16,
}

impl Sampling {
    /// Samples every `period_us` (or as fast as the converter can) for `duration_us`. `None` on a chip without
    /// converter.
    #[must_use]
    pub fn new(caps: &Capabilities, period_us: f64, duration_us: f64) -> Option<Self> {
        let adc = caps.adc?;
        let period = caps.ticks(period_us).max(adc.min_period).max(1);
        let samples = (duration_us / caps.microseconds(period)).ceil().clamp(2.0, 4096.0) as u16;
        Some(Self { period, samples })
    }

    /// Length of a trial in ticks.
    #[must_use]
    pub fn duration(&self) -> Tick {
        self.period * Tick::from(self.samples)
    }

    /// Time of sample `k` in µs.
    #[must_use]
    pub fn time_us(&self, caps: &Capabilities, k: usize) -> f64 {
        caps.microseconds(self.period) * k as f64
    }

    /// Records all neurons of the chip.
    pub fn apply(&self, config: &mut ChipConfig, spikes: bool) {
        config.recording = Recording {
            spikes,
            traces: (0..config.neurons() as u16).collect(),
            sample_period: self.period,
            samples: self.samples,
            ..Recording::default()
        };
    }
}

/// Mean membranes in true LSB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traces {
    /// Times of the samples in µs.
    pub times_us: Vec<f64>,
    /// `[neuron, sample]`: means over the trials.
    pub mean: Vec<f64>,
    /// `[neuron, sample]`: whether a rail was met in a noticeable share of the trials.
    pub railed: Vec<bool>,
    /// Standard deviation of a single sample about the mean over trials, per neuron.
    pub noise: Vec<f64>,
    /// Trials.
    pub trials: usize,
}

impl Traces {
    /// Means over all trials of a recording of all neurons.
    #[must_use]
    pub fn new(
        recorded: &Recorded,
        caps: &Capabilities,
        sampling: Sampling,
        converter: &Converter,
    ) -> Self {
        let (neurons, samples) = (usize::from(caps.neurons), usize::from(sampling.samples));
        let size = neurons * samples;
        let (mut sum, mut squares) = (vec![0_u32; size], vec![0_u64; size]);
        let mut rails = vec![0_u32; size];
        let top = caps.adc.map_or(u16::MAX, |adc| ((1_u32 << adc.bits) - 1) as u16);
        for trial in recorded.samples.chunks_exact(size) {
            for (k, s) in trial.iter().enumerate() {
                sum[k] += u32::from(*s);
                squares[k] += u64::from(*s) * u64::from(*s);
                rails[k] += u32::from(*s == 0 || *s >= top);
            }
        }
        let n = recorded.trials.max(1) as f64;
        let kept = without_outliers(recorded, &sum, &squares);
        let mut out = Self {
            times_us: (0..samples).map(|k| sampling.time_us(caps, k)).collect(),
            mean: vec![0.0; size],
            railed: vec![false; size],
            noise: vec![0.0; neurons],
            trials: recorded.trials,
        };
        for neuron in 0..neurons {
            let mut variance = 0.0;
            for sample in 0..samples {
                // Recordings are `[sample, channel]`, what follows works neuron by neuron.
                let (from, to) = (sample * neurons + neuron, neuron * samples + sample);
                let (sum, squares, n) = kept[from];
                let (sum, n) = (f64::from(sum), f64::from(n).max(1.0));
                let mean = sum / n;
                variance += (squares as f64 / n - mean * mean).max(0.0);
                out.mean[to] = converter.membrane(neuron, mean);
                out.railed[to] = f64::from(rails[from]) > 0.01 * n;
            }
            let unbiased = variance / samples as f64 * n / (n - 1.0).max(1.0);
            out.noise[neuron] = unbiased.sqrt() / converter.gain[neuron].value;
        }
        out
    }

    /// Means over several sets of trials with the same sampling, each with the same weight.
    #[must_use]
    pub fn average(sets: &[Self]) -> Self {
        let Some(first) = sets.first() else { return Self::default() };
        let mut out = first.clone();
        let count = sets.len() as f64;
        for set in &sets[1..] {
            out.mean.iter_mut().zip(&set.mean).for_each(|(a, b)| *a += b);
            out.railed.iter_mut().zip(&set.railed).for_each(|(a, b)| *a |= b);
            out.noise.iter_mut().zip(&set.noise).for_each(|(a, b)| *a += b);
            out.trials += set.trials;
        }
        out.mean.iter_mut().for_each(|v| *v /= count);
        out.noise.iter_mut().for_each(|v| *v /= count);
        out
    }

    /// Standard error of a mean sample of one neuron, LSB.
    #[must_use]
    pub fn error(&self, neuron: usize) -> f64 {
        self.noise[neuron] / (self.trials.max(1) as f64).sqrt()
    }

    /// Samples of a trial.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.times_us.len()
    }

    /// Mean membrane of one neuron.
    #[must_use]
    pub fn of(&self, neuron: usize) -> &[f64] {
        &self.mean[neuron * self.samples()..][..self.samples()]
    }

    /// Whether samples of one neuron met a rail.
    #[must_use]
    pub fn railed_of(&self, neuron: usize) -> &[bool] {
        &self.railed[neuron * self.samples()..][..self.samples()]
    }

    /// Points `(time, membrane)` of one neuron within a span of time, without those at a rail.
    #[must_use]
    pub fn points(&self, neuron: usize, from_us: f64, to_us: f64) -> Vec<(f64, f64)> {
        let all = self.times_us.iter().zip(self.of(neuron)).zip(self.railed_of(neuron));
        all.filter(|((t, _), railed)| !**railed && (from_us..to_us).contains(*t))
            .map(|((t, v), _)| (*t, *v))
            .collect()
    }

    /// Share of the samples in a span of time that met a rail.
    #[must_use]
    pub fn railed_share(&self, neuron: usize, from_us: f64, to_us: f64) -> f64 {
        let all = self.times_us.iter().zip(self.railed_of(neuron));
        let within: Vec<bool> =
            all.filter(|(t, _)| (from_us..to_us).contains(*t)).map(|(_, r)| *r).collect();
        let railed = within.iter().filter(|r| **r).count();
        railed as f64 / within.len().max(1) as f64
    }
}

/// A sample further from its mean than this many standard deviations was taken at a wrong instant.
const OUTLIER: f64 = 4.5;

/// Sum, sum of squares and number of the samples at each place of a trial that are no outliers: converters now
/// and then sample a period early or late.
fn without_outliers(recorded: &Recorded, sum: &[u32], squares: &[u64]) -> Vec<(u32, u64, u32)> {
    let n = recorded.trials.max(1) as f64;
    let bounds: Vec<(u16, u16)> = sum
        .iter()
        .zip(squares)
        .map(|(sum, squares)| {
            let mean = f64::from(*sum) / n;
            let spread = (*squares as f64 / n - mean * mean).max(0.0).sqrt();
            // An outlier widens the spread it is judged by: at most to what it is worth in few trials.
            let reach = OUTLIER * spread.clamp(0.5, 3.0);
            ((mean - reach).max(0.0).ceil() as u16, (mean + reach).floor() as u16)
        })
        .collect();
    let mut kept = vec![(0_u32, 0_u64, 0_u32); sum.len()];
    for trial in recorded.samples.chunks_exact(sum.len().max(1)) {
        for ((cell, s), (low, high)) in kept.iter_mut().zip(trial).zip(&bounds) {
            let inside = u32::from(s >= low && s <= high);
            let s = u32::from(*s) * inside;
            cell.0 += s;
            cell.1 += u64::from(s) * u64::from(s);
            cell.2 += inside;
        }
    }
    kept
}
