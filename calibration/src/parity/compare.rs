//! Where and when two behaviours part: differences by layer, the first divergence, divergence over time.

use super::behaviour::{Behaviour, LayerBehaviour, Spike};
use serde::{Deserialize, Serialize};

/// Spikes further apart than this many steps are not the same spike.
const WINDOW_STEPS: f32 = 3.0;
/// A membrane that differs by more than this share of θ has diverged, unless the noise is larger (guess).
const MEMBRANE_TOLERANCE: f32 = 0.25;

/// How a behaviour differs from the chip's in one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerDifference {
    /// Layer, from 0.
    pub layer: usize,
    /// Spikes on the chip.
    pub chip_spikes: usize,
    /// Mean |Δt| of the first spikes of units that fire in both, µs; 0 where there is none.
    pub first_spike_us: f64,
    /// Spikes that the chip does not have.
    pub missing: usize,
    /// Spikes that only the chip has.
    pub extra: usize,
    /// Root of the mean squared difference of the membranes in θ; 0 where none were recorded.
    pub membrane_rms: f64,
}

/// The first divergence of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// Sample of the batch.
    pub sample: usize,
    /// Layer, from 0.
    pub layer: usize,
    /// Unit of the layer.
    pub unit: usize,
    /// When, µs.
    pub time_us: f64,
    /// What.
    pub what: Difference,
}

/// In what two behaviours differ.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Difference {
    /// The chip's spike is late (or early, negative) by this much.
    Shifted {
        /// µs.
        by_us: f64,
    },
    /// The chip has no such spike.
    Missing,
    /// Only the chip has this spike.
    Extra,
    /// The chip's membrane is off by this much.
    Membrane {
        /// In θ.
        by: f64,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shifted { by_us } if *by_us < 0.0 => write!(f, "spike {:.2} µs early", -by_us),
            Self::Shifted { by_us } => write!(f, "spike {by_us:.2} µs late"),
            Self::Missing => f.write_str("spike missing on the chip"),
            Self::Extra => f.write_str("extra spike on the chip"),
            Self::Membrane { by } => write!(f, "membrane off by {by:+.2} θ"),
        }
    }
}

/// Pairs of spikes of one unit: the same spike in both, or a spike in one alone. In the order of time.
fn pairs(a: &[f32], b: &[f32], window: f32) -> Vec<(Option<f32>, Option<f32>)> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::with_capacity(a.len().max(b.len()));
    while i < a.len() || j < b.len() {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if (x - y).abs() <= window => {
                out.push((Some(*x), Some(*y)));
                (i, j) = (i + 1, j + 1);
            }
            (Some(x), Some(y)) if x > y => {
                out.push((None, Some(*y)));
                j += 1;
            }
            (Some(x), _) => {
                out.push((Some(*x), None));
                i += 1;
            }
            (None, y) => {
                out.push((None, y.copied()));
                j += 1;
            }
        }
    }
    out
}

/// Times of each unit's spikes in one sample.
fn by_unit(layer: &LayerBehaviour, sample: usize) -> Vec<Vec<f32>> {
    let mut out = vec![Vec::new(); layer.units];
    for Spike { time_us, unit } in layer.spikes.get(sample).into_iter().flatten() {
        out[usize::from(*unit)].push(*time_us);
    }
    out
}

/// Compares everything with the chip, layer by layer.
pub(super) fn layers(other: &Behaviour, chip: &Behaviour, dt_us: f32) -> Vec<LayerDifference> {
    let both = other.layers.iter().zip(&chip.layers).enumerate();
    both.map(|(layer, (a, b))| {
        let mut out = LayerDifference { layer, ..LayerDifference::default() };
        let (mut shifts, mut shifted) = (0.0, 0_usize);
        for sample in 0..other.samples.min(chip.samples) {
            for (x, y) in by_unit(a, sample).iter().zip(&by_unit(b, sample)) {
                out.chip_spikes += y.len();
                if let (Some(first), Some(own)) = (x.first(), y.first()) {
                    shifts += f64::from((first - own).abs());
                    shifted += 1;
                }
                for pair in pairs(x, y, WINDOW_STEPS * dt_us) {
                    out.missing += usize::from(pair.1.is_none());
                    out.extra += usize::from(pair.0.is_none());
                }
            }
        }
        out.first_spike_us = shifts / shifted.max(1) as f64;
        let squares: f64 =
            a.membrane.iter().zip(&b.membrane).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        out.membrane_rms = (squares / b.membrane.len().max(1) as f64).sqrt();
        out
    })
    .collect()
}

/// The first divergence of every sample that diverges. A spike has diverged when it is off by more than a step.
pub(super) fn first(other: &Behaviour, chip: &Behaviour, dt_us: f32) -> Vec<Divergence> {
    let samples = 0..other.samples.min(chip.samples);
    samples.filter_map(|sample| first_of(other, chip, dt_us, sample)).collect()
}

fn first_of(other: &Behaviour, chip: &Behaviour, dt_us: f32, sample: usize) -> Option<Divergence> {
    let mut best: Option<Divergence> = None;
    let mut offer = |layer: usize, unit: usize, time_us: f32, what: Difference| {
        let found = Divergence { sample, layer, unit, time_us: f64::from(time_us), what };
        if best.is_none_or(|b| found.time_us < b.time_us) {
            best = Some(found);
        }
    };
    for (l, (a, b)) in other.layers.iter().zip(&chip.layers).enumerate() {
        for (unit, (x, y)) in by_unit(a, sample).iter().zip(&by_unit(b, sample)).enumerate() {
            for pair in pairs(x, y, WINDOW_STEPS * dt_us) {
                match pair {
                    (Some(x), Some(y)) if (x - y).abs() > dt_us => {
                        let by_us = f64::from(y - x);
                        offer(l, unit, x.min(y), Difference::Shifted { by_us });
                    }
                    (Some(x), None) => offer(l, unit, x, Difference::Missing),
                    (None, Some(y)) => offer(l, unit, y, Difference::Extra),
                    _ => {}
                }
            }
        }
        let size = other.steps * a.units;
        let of = |layer: &'_ LayerBehaviour| -> Vec<f32> {
            layer.membrane.get(sample * size..(sample + 1) * size).unwrap_or(&[]).to_vec()
        };
        for (at, (x, y)) in of(a).iter().zip(of(b)).enumerate() {
            if (x - y).abs() > MEMBRANE_TOLERANCE {
                let time = (at / a.units) as f32 * dt_us;
                offer(l, at % a.units, time, Difference::Membrane { by: f64::from(y - x) });
                break;
            }
        }
    }
    best
}

/// Root of the mean squared difference of the membranes of all layers in each step, in θ.
pub(super) fn membrane_over_time(other: &Behaviour, chip: &Behaviour) -> Vec<f64> {
    let mut sums = vec![(0.0, 0_usize); other.steps];
    for (a, b) in other.layers.iter().zip(&chip.layers) {
        for (at, (x, y)) in a.membrane.iter().zip(&b.membrane).enumerate() {
            let (sum, count) = &mut sums[at / a.units % other.steps];
            *sum += f64::from(x - y).powi(2);
            *count += 1;
        }
    }
    let recorded = sums.iter().any(|(_, count)| *count > 0);
    if !recorded {
        return Vec::new();
    }
    sums.iter().map(|(sum, count)| (sum / (*count).max(1) as f64).sqrt()).collect()
}

/// Median |Δt| of spikes that two runs of one chip have in common, scaled to the standard deviation of one spike
/// time (a normal distribution assumed), µs.
pub(super) fn time_noise(a: &Behaviour, b: &Behaviour, dt_us: f32) -> f64 {
    let mut shifts = Vec::new();
    for (x, y) in a.layers.iter().zip(&b.layers) {
        for sample in 0..a.samples.min(b.samples) {
            for (x, y) in by_unit(x, sample).iter().zip(&by_unit(y, sample)) {
                for pair in pairs(x, y, WINDOW_STEPS * dt_us) {
                    if let (Some(x), Some(y)) = pair {
                        shifts.push(f64::from((x - y).abs()));
                    }
                }
            }
        }
    }
    if shifts.is_empty() {
        return 0.0;
    }
    1.4826 * crate::fit::median(shifts) / std::f64::consts::SQRT_2
}

/// `other` without up to `lost` of its spikes that the chip does not have: those in the densest bursts first, as
/// a way out that is overrun loses them.
pub(super) fn without_lost(
    other: &Behaviour,
    chip: &Behaviour,
    lost: usize,
    dt_us: f32,
) -> Behaviour {
    let mut missing: Vec<(usize, usize, usize, Spike)> = Vec::new();
    for (l, (a, b)) in other.layers.iter().zip(&chip.layers).enumerate() {
        for sample in 0..other.samples.min(chip.samples) {
            let times: Vec<f32> = a.spikes[sample].iter().map(|s| s.time_us).collect();
            for (unit, (x, y)) in by_unit(a, sample).iter().zip(&by_unit(b, sample)).enumerate() {
                for pair in pairs(x, y, WINDOW_STEPS * dt_us) {
                    if let (Some(time_us), None) = pair {
                        let near = |t: &&f32| (**t - time_us).abs() <= dt_us;
                        let density = times.iter().filter(near).count();
                        missing.push((density, l, sample, Spike { time_us, unit: unit as u16 }));
                    }
                }
            }
        }
    }
    missing.sort_by_key(|m| std::cmp::Reverse(m.0));
    let mut out = other.clone();
    for (_, l, sample, spike) in missing.into_iter().take(lost) {
        out.layers[l].spikes[sample].retain(|s| *s != spike);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spikes_are_paired_in_the_order_of_time() {
        let found = pairs(&[1.0, 5.0, 20.0], &[1.5, 12.0, 20.0, 30.0], 2.0);
        let expected = [
            (Some(1.0), Some(1.5)),
            (Some(5.0), None),
            (None, Some(12.0)),
            (Some(20.0), Some(20.0)),
            (None, Some(30.0)),
        ];
        assert_eq!(found, expected);
    }
}
