//! The drop over the electrode, and how to take it off a recorded voltage: active electrode
//! compensation (Brette et al. 2008; with the tail fit of Badel et al. 2008, as in Pozzorini et al.
//! 2015).
//!
//! Through one electrode the amplifier sees `V + K_e ∗ I`. From a subthreshold recording with a
//! fluctuating current:
//!
//! 1. the optimal linear filter K from current to voltage by least squares, in bins: single samples
//!    first, wider and wider ones later;
//! 2. its tail is the membrane: `a e^(−t/τ)` is fitted to it;
//! 3. what the head has above the tail is the electrode, `K_e = K − a e^(−t/τ)`.

use serde::{Deserialize, Serialize};

use super::super::{fine, positive, steps};
use super::fit::unfit;
use super::linear::Normal;
use crate::error::Result;

/// How to estimate an electrode.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ElectrodeConfig {
    /// Length of the optimal filter, ms.
    pub filter_ms: f64,
    /// Length of the electrode's filter, ms.
    pub electrode_ms: f64,
    /// Where the tail is fitted: from, ms.
    pub tail_from_ms: f64,
    /// Where the tail is fitted: to, ms.
    pub tail_to_ms: f64,
}

impl Default for ElectrodeConfig {
    /// 150 ms, 7 ms, tail from 3 to 50 ms, as in the authors' published code.
    fn default() -> Self {
        Self { filter_ms: 150.0, electrode_ms: 7.0, tail_from_ms: 3.0, tail_to_ms: 50.0 }
    }
}

/// An electrode.
#[derive(Clone, Debug, PartialEq)]
pub struct Electrode {
    /// K_e by samples, MΩ/ms.
    pub kernel: Vec<f64>,
    /// Time constant of the membrane behind it, from the tail, ms.
    pub tau_mem_ms: f64,
    /// Resistance of the membrane, `a τ`, MΩ.
    pub r_membrane_mohm: f64,
    dt_ms: f64,
}

impl Electrode {
    /// Estimates an electrode from a subthreshold recording.
    ///
    /// # Errors
    /// Settings out of range, a recording that is shorter than four times the filter or whose current
    /// does not vary, a tail that does not decay.
    pub fn estimate(
        voltage_mv: &[f64],
        current_na: &[f64],
        dt_ms: f64,
        config: &ElectrodeConfig,
    ) -> Result<Self> {
        config.check(dt_ms)?;
        let length = steps(config.filter_ms, dt_ms);
        if voltage_mv.len() != current_na.len() || voltage_mv.len() < 4 * length {
            return Err(unfit("the electrode", "its recording is too short for task.filter_ms"));
        }
        let head = steps(config.electrode_ms, dt_ms);
        let edges = edges(head, length);
        let filter = optimal(voltage_mv, current_na, dt_ms, &edges)?;
        let (amplitude, tau) = tail(&filter, &edges, dt_ms, config)?;
        let kernel = (0..head)
            .map(|k| filter[k] - amplitude * libm::exp(-(k as f64) * dt_ms / tau))
            .collect();
        Ok(Self { kernel, tau_mem_ms: tau, r_membrane_mohm: amplitude * tau, dt_ms })
    }

    /// Resistance of the electrode, MΩ.
    #[must_use]
    pub fn resistance_mohm(&self) -> f64 {
        self.kernel.iter().sum::<f64>() * self.dt_ms
    }

    /// Takes the drop off a voltage that was recorded with the same step.
    pub fn compensate(&self, voltage_mv: &mut [f64], current_na: &[f64]) {
        for (t, v) in voltage_mv.iter_mut().enumerate().take(current_na.len()) {
            let past = current_na[..=t].iter().rev();
            let drop: f64 = self.kernel.iter().zip(past).map(|(k, i)| k * i).sum();
            *v -= drop * self.dt_ms;
        }
    }
}

impl ElectrodeConfig {
    fn check(&self, dt_ms: f64) -> Result<()> {
        positive("task.dt_ms", dt_ms)?;
        let rises = self.electrode_ms >= dt_ms
            && self.tail_from_ms > 0.0
            && self.tail_to_ms > 2.0 * self.tail_from_ms;
        let must = "0 < tail_from_ms, 2 tail_from_ms < tail_to_ms, one step <= electrode_ms";
        fine("task.tail_to_ms", self.tail_to_ms, rises, must)?;
        let longest = self.tail_to_ms.max(self.electrode_ms);
        let must = "it must be above tail_to_ms and electrode_ms";
        fine("task.filter_ms", self.filter_ms, self.filter_ms > longest, must)
    }
}

/// Edges of the bins: single samples up to `head`, then each bin a fifth longer than the last.
fn edges(head: usize, length: usize) -> Vec<usize> {
    let mut edges: Vec<usize> = (0..=head).collect();
    let mut width = 1.0;
    let mut at = head as f64;
    while edges[edges.len() - 1] < length {
        width *= 1.2;
        at += width;
        edges.push((at as usize).min(length));
    }
    edges.dedup();
    edges
}

/// The optimal linear filter, MΩ/ms, one value a bin.
fn optimal(v: &[f64], i: &[f64], dt_ms: f64, edges: &[usize]) -> Result<Vec<f64>> {
    let mut sums = Vec::with_capacity(i.len() + 1);
    sums.push(0.0);
    for value in i {
        sums.push(sums[sums.len() - 1] + value);
    }
    let bins = edges.len() - 1;
    let mut normal = Normal::new(bins + 1);
    let mut x = vec![1.0; bins + 1];
    for t in edges[bins]..v.len() {
        for (x, pair) in x.iter_mut().zip(edges.windows(2)) {
            // Samples t − pair[1] + 1 to t − pair[0].
            *x = (sums[t + 1 - pair[0]] - sums[t + 1 - pair[1]]) * dt_ms;
        }
        normal.add(&x, v[t]);
    }
    let (mut filter, _) = normal
        .solve()
        .map_err(|_| unfit("the electrode", "the current of its recording does not vary enough"))?;
    filter.truncate(bins);
    Ok(filter)
}

/// Amplitude, MΩ/ms, and time constant, ms, of the exponential nearest to the filter's tail: for a
/// given τ the amplitude is a ratio of sums, and τ is searched on finer and finer grids.
fn tail(
    filter: &[f64],
    edges: &[usize],
    dt_ms: f64,
    config: &ElectrodeConfig,
) -> Result<(f64, f64)> {
    // Bin centres in ms, widths and values within the range.
    let bins: Vec<(f64, f64, f64)> = edges
        .windows(2)
        .zip(filter)
        .map(|(e, k)| (0.5 * (e[0] + e[1] - 1) as f64 * dt_ms, (e[1] - e[0]) as f64, *k))
        .filter(|(t, ..)| (config.tail_from_ms..=config.tail_to_ms).contains(t))
        .collect();
    let fitted = |tau: f64| {
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (t, weight, k) in &bins {
            let x = libm::exp(-t / tau);
            xy += weight * x * k;
            xx += weight * x * x;
            yy += weight * k * k;
        }
        (xy / xx, yy - xy * xy / xx)
    };
    // From the length of the shortest tail to ten times that of the longest.
    let (mut low, mut high) = (0.2 * config.tail_from_ms, 10.0 * config.tail_to_ms);
    let ends = (low, high);
    let mut best = low;
    for _ in 0..12 {
        let ratio = libm::pow(high / low, 1.0 / 40.0);
        let taus = (0..=40).map(|k| low * libm::pow(ratio, f64::from(k)));
        best = taus.min_by(|a, b| fitted(*a).1.total_cmp(&fitted(*b).1)).unwrap_or(best);
        (low, high) = ((best / ratio).max(ends.0), (best * ratio).min(ends.1));
    }
    let amplitude = fitted(best).0;
    let inside = best > 1.01 * ends.0 && best < 0.99 * ends.1;
    if inside && amplitude > 0.0 {
        Ok((amplitude, best))
    } else {
        Err(unfit("the electrode", "the tail of its filter does not decay like a membrane"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::neuron::gif::stimulus::Stimulus;
    use crate::random::{normal, stream};

    const DT: f64 = 0.1;

    /// A passive membrane (120 MΩ, 18 ms) behind an electrode (15 MΩ, 0.4 ms), with noise.
    fn recording(r_electrode: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let drive =
            Stimulus { mean_na: 0.0, std_na: 0.05, tau_ms: 1.0, swing: 0.0, ..Stimulus::default() };
        let current = drive.draw(5000.0, DT, 1).unwrap();
        let mut rng = stream(2, 0);
        let (mut v, mut u) = (-65.0, 0.0);
        let (keep_m, keep_e) = ((-DT / 18.0_f64).exp(), (-DT / 0.4_f64).exp());
        let (mut clean, mut seen) = (vec![], vec![]);
        for i in &current {
            v = -65.0 + (v + 65.0) * keep_m + 120.0 * i * (1.0 - keep_m);
            u = u * keep_e + r_electrode * i * (1.0 - keep_e);
            clean.push(v);
            seen.push(v + u + 0.02 * normal(&mut rng));
        }
        (current, clean, seen)
    }

    #[test]
    fn an_electrode_is_found_and_taken_off() {
        let config = ElectrodeConfig { filter_ms: 120.0, ..ElectrodeConfig::default() };
        let (current, clean, mut seen) = recording(15.0);
        let electrode = Electrode::estimate(&seen, &current, DT, &config).unwrap();
        assert!(
            (electrode.resistance_mohm() - 15.0).abs() < 0.75,
            "{}",
            electrode.resistance_mohm()
        );
        assert!((electrode.tau_mem_ms - 18.0).abs() < 1.0, "{}", electrode.tau_mem_ms);
        assert!((electrode.r_membrane_mohm - 120.0).abs() < 6.0, "{}", electrode.r_membrane_mohm);
        let rms = |seen: &[f64]| {
            let sum: f64 = clean.iter().zip(seen).map(|(a, b)| (a - b) * (a - b)).sum();
            (sum / clean.len() as f64).sqrt()
        };
        let before = rms(&seen);
        electrode.compensate(&mut seen, &current);
        let after = rms(&seen);
        assert!(before > 0.4 && after < 0.05, "{before} mV before, {after} after");
    }

    #[test]
    fn nonsense_is_refused() {
        let (current, _, seen) = recording(0.0);
        let config = ElectrodeConfig::default();
        let wrong = |v: &[f64], i: &[f64], config: &ElectrodeConfig| {
            Electrode::estimate(v, i, DT, config).unwrap_err().to_string()
        };
        assert!(wrong(&seen[..100], &current[..100], &config).contains("too short"));
        let flat = vec![0.0; 8000];
        assert!(wrong(&seen[..8000], &flat, &config).contains("does not vary"));
        let bad = ElectrodeConfig { filter_ms: 20.0, ..config };
        assert!(wrong(&seen, &current, &bad).contains("task.filter_ms"));
        let bad = ElectrodeConfig { tail_from_ms: -1.0, ..config };
        assert!(wrong(&seen, &current, &bad).contains("tail_from_ms"));
    }
}
