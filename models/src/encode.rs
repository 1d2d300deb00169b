//! From values to spike times, and from spike times to [`SpikeTrains`] on a time grid.
//!
//! Two codes, both with one spike per input at most:
//!
//! * **latency** `t = τ ln(x / (x − θ))`, the first spike of a leaky integrator of threshold θ that
//!   is driven by the constant current x; an input with `x < θ` never fires (Zenke & Vogels, Neural
//!   Computation 2021; on chip: Cramer et al., PNAS 2022 with τ = 8 µs and θ = 0.2);
//! * **linear** `t = offset + scale · x`, the code of the Yin-Yang task (Kriener, Göltz & Petrovici,
//!   NICE 2022).
//!
//! Times are computed once for a whole data set and kept as events sorted by time
//! ([`SpikeTimes`]); a batch then needs one comparison per spike and no memory of its own
//! ([`SpikeTimes::bin`]).

use crate::spike_train::SpikeTrains;

/// Least distance of a value from the threshold, so that `x = θ` has a finite time (published).
const THRESHOLD_MARGIN: f64 = 1e-7;

/// The time grid of a network: `steps` steps of `dt_us` microseconds of chip time.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Length of a step in µs, above 0.
    pub dt_us: f32,
    /// Number of steps.
    pub steps: usize,
}

impl Grid {
    /// The grid of the 16×16 image tasks: 20 steps of 1.7 µs (Cramer et al., PNAS 2022).
    pub const LATENCY: Self = Self { dt_us: 1.7, steps: 20 };
    /// The grid of the Yin-Yang task: 38 steps of 1 µs (inputs end at 26 µs, then 2 τ to decide).
    pub const YIN_YANG: Self = Self { dt_us: 1.0, steps: 38 };

    /// Step of a spike at `t_us`: `floor(t / dt)`; `None` before the grid, after it, or for a
    /// time that is not finite.
    #[must_use]
    pub fn step_of(&self, t_us: f32) -> Option<usize> {
        let bin = (t_us / self.dt_us).floor();
        // A NaN fails both comparisons.
        (bin >= 0.0 && bin < self.steps as f32).then_some(bin as usize)
    }
}

/// What time 0 of the grid is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Time 0 of the code.
    #[default]
    Absolute,
    /// The earliest spike of the batch (published for the 16×16 image tasks). The bins of a sample
    /// then depend on its batch where no image of the batch has a saturated pixel.
    BatchMinimum,
}

/// Time in µs of the latency code for a value `x`; `+∞` (no spike) for `x < theta`.
#[must_use]
pub fn latency_us(x: f32, theta: f32, tau_us: f32) -> f32 {
    let (x, theta) = (f64::from(x), f64::from(theta));
    if x.is_nan() || x < theta {
        return f32::INFINITY;
    }
    let x = x.max(theta + THRESHOLD_MARGIN);
    // libm: the same logarithm, and so the same bins, on every machine.
    (f64::from(tau_us) * libm::log(x / (x - theta))) as f32
}

/// The latency code of every value that an unsigned integer pixel can have: entry `v` is the time
/// in µs for `x = v / max`, for `v` from 0 to `max`.
#[must_use]
pub fn latency_table(max: u8, theta: f32, tau_us: f32) -> Vec<f32> {
    (0..=max).map(|v| latency_us(f32::from(v) / f32::from(max.max(1)), theta, tau_us)).collect()
}

/// Time in µs of the linear code: `offset + scale · x`.
#[must_use]
pub fn linear_us(x: f32, offset_us: f32, scale_us: f32) -> f32 {
    offset_us + scale_us * x
}

/// Spike times of the Yin-Yang task for the four features in `[0, 1]`: `2 + 24 · feature` µs, then a
/// bias spike at 2 µs; the five inputs follow one another `copies` times (published: 5, which makes
/// 25 inputs), since one synapse of a chip is too weak to drive a neuron.
pub fn yin_yang_us(features: [f32; 4], copies: usize) -> impl Iterator<Item = f32> {
    let times = features.map(|x| linear_us(x, 2.0, 24.0));
    std::iter::repeat_n(times, copies).flat_map(|t| [t[0], t[1], t[2], t[3], 2.0])
}

/// Spike times of many samples, as events `(time, unit)` sorted by time, then unit.
///
/// Only spikes that exist are stored: an image of 256 pixels with 57 bright ones takes 57 events.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikeTimes {
    units: usize,
    /// Events of sample `s` stand at `offsets[s] .. offsets[s + 1]`.
    offsets: Vec<u32>,
    times_us: Vec<f32>,
    ids: Vec<u16>,
}

impl SpikeTimes {
    /// No samples yet, of `units` inputs each (at most 65 536).
    #[must_use]
    pub fn new(units: usize) -> Self {
        Self { units, offsets: vec![0], times_us: Vec::new(), ids: Vec::new() }
    }

    /// Samples from a dense table `[sample, unit]` of times in µs, where a time that is not finite
    /// means no spike.
    #[must_use]
    pub fn from_dense(units: usize, times_us: &[f32]) -> Self {
        let mut all = Self::new(units);
        for sample in times_us.chunks_exact(units.max(1)) {
            all.push_sample(sample.iter().copied());
        }
        all
    }

    /// Adds a sample: one time in µs per unit, from unit 0 on; not finite means no spike. Times
    /// beyond `units` are ignored.
    pub fn push_sample(&mut self, times_us: impl IntoIterator<Item = f32>) {
        let units = self.units.min(usize::from(u16::MAX) + 1);
        let events = times_us.into_iter().take(units).enumerate();
        self.push_events(events.map(|(unit, t)| (t, unit as u16)));
    }

    /// Adds a sample of any number of spikes `(time in µs, unit)` in any order. Times that are not finite and units
    /// that do not exist are ignored.
    pub fn push_events(&mut self, events: impl IntoIterator<Item = (f32, u16)>) {
        let mut events: Vec<(f32, u16)> = events
            .into_iter()
            .filter(|(t, unit)| t.is_finite() && usize::from(*unit) < self.units)
            .collect();
        events.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.times_us.extend(events.iter().map(|e| e.0));
        self.ids.extend(events.iter().map(|e| e.1));
        self.offsets.push(self.ids.len() as u32);
    }

    /// Appends the samples of `other`, which has the same number of units.
    pub fn extend(&mut self, other: &Self) {
        debug_assert_eq!(self.units, other.units);
        let base = self.ids.len() as u32;
        self.offsets.extend(other.offsets[1..].iter().map(|o| base + o));
        self.times_us.extend_from_slice(&other.times_us);
        self.ids.extend_from_slice(&other.ids);
    }

    /// The samples from `start` up to, not including, `end`, as a set of their own; the range is
    /// cut to what exists.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let end = end.min(self.samples());
        let start = start.min(end);
        let first = self.offsets[start];
        let range = first as usize..self.offsets[end] as usize;
        Self {
            units: self.units,
            offsets: self.offsets[start..=end].iter().map(|o| o - first).collect(),
            times_us: self.times_us[range.clone()].to_vec(),
            ids: self.ids[range].to_vec(),
        }
    }

    /// Number of inputs of a sample.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of spikes in all samples.
    #[must_use]
    pub fn total(&self) -> usize {
        self.ids.len()
    }

    /// Times in µs and units of the spikes of one sample, in order of time.
    #[must_use]
    pub fn sample(&self, sample: usize) -> (&[f32], &[u16]) {
        let range = self.offsets[sample] as usize..self.offsets[sample + 1] as usize;
        (&self.times_us[range.clone()], &self.ids[range])
    }

    /// Earliest spike of the chosen samples in µs; 0 if none of them fires.
    #[must_use]
    pub fn earliest_us(&self, samples: &[u32]) -> f32 {
        let first = |&s: &u32| {
            self.times_us[self.offsets[s as usize] as usize..]
                .first()
                .filter(|_| self.offsets[s as usize] < self.offsets[s as usize + 1])
                .copied()
        };
        samples.iter().filter_map(first).min_by(f32::total_cmp).unwrap_or(0.0)
    }

    /// Puts the chosen samples on the time grid, in the order given: `bin = floor((t − t₀) / dt)`
    /// with t₀ by `origin`; spikes outside the grid are dropped. What `into` held is forgotten, its
    /// memory is used again.
    pub fn bin(&self, samples: &[u32], grid: &Grid, origin: Origin, into: &mut SpikeTrains) {
        let start = match origin {
            Origin::Absolute => 0.0,
            Origin::BatchMinimum => self.earliest_us(samples),
        };
        into.reset(grid.steps, self.units);
        for &sample in samples {
            self.bin_one(sample as usize, grid, start, into);
        }
    }

    /// One sample of [`Self::bin`]. The events are in order of time and rounding is monotonic, so
    /// the steps come in order as well.
    fn bin_one(&self, sample: usize, grid: &Grid, start: f32, into: &mut SpikeTrains) {
        let (times, ids) = self.sample(sample);
        let mut open = 0;
        for (&t, &id) in times.iter().zip(ids) {
            let bin = ((t - start) / grid.dt_us).floor();
            if bin < 0.0 {
                continue;
            }
            if bin >= grid.steps as f32 {
                break;
            }
            while open < bin as usize {
                into.end_step();
                open += 1;
            }
            into.push(id);
        }
        for _ in open..grid.steps {
            into.end_step();
        }
    }
}

#[cfg(test)]
mod tests;
