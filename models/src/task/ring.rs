//! Bumps on a ring: what an auto-encoder with a narrow middle can compress, and, as a control,
//! uniform noise, which it cannot.
//!
//! Neurons stand on a ring. In a pattern neuron i has the rate `r_max exp(−(i − c)²/2σ²)`, the
//! distance taken around the ring, with the centre c drawn uniformly. As spikes it is either a
//! Poisson process, or one spike at `(1 − r/r_max) T` (latency). The target is the input, later by a
//! delay. The control has the same mean rate everywhere, independent Poisson processes without a
//! centre. There is no published reference; the sizes are a proposal of ours.

use serde::{Deserialize, Serialize};

use super::sequence::size;
use crate::error::{ModelError, Result};
use crate::random;
use crate::spike_train::SpikeTrains;

/// First stream of the patterns; the streams are per pattern.
const STREAM: u64 = 0x81A6_0000_0000;

/// Rates below this share of the largest do not spike in latency code: they would all crowd at the
/// very end.
const FAINTEST: f64 = 0.01;

/// How rates become spikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RingCode {
    /// Independent Poisson processes with the rates of the bump.
    Poisson,
    /// One spike a neuron, the sooner the higher its rate.
    Latency,
    /// Independent Poisson processes of equal rates: the control.
    Uniform,
}

/// Sizes and times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ring {
    /// Neurons on the ring.
    pub units: usize,
    /// Rate at the centre in Hz.
    pub rate_hz: f64,
    /// σ in neurons.
    pub width: f64,
    /// Length of a pattern in ms.
    pub duration_ms: f64,
    /// How much later the target is, in ms.
    pub delay_ms: f64,
    /// How rates become spikes.
    pub code: RingCode,
}

impl Default for Ring {
    fn default() -> Self {
        Self {
            units: 100,
            rate_hz: 100.0,
            width: 5.0,
            duration_ms: 200.0,
            delay_ms: 10.0,
            code: RingCode::Poisson,
        }
    }
}

/// A pattern and what the output should do.
#[derive(Clone, Debug, PartialEq)]
pub struct Bump {
    /// Centre c in neurons; for [`RingCode::Uniform`] a number without meaning.
    pub centre: f64,
    /// One sample.
    pub inputs: SpikeTrains,
    /// One sample: the inputs, later.
    pub targets: SpikeTrains,
}

impl Ring {
    /// Refuses values that make no pattern.
    ///
    /// # Errors
    /// [`ModelError::Size`] or [`ModelError::Parameter`] with the key.
    pub fn check(&self) -> Result<()> {
        size("task.units", self.units, 65535)?;
        for (what, got) in [
            ("task.rate-hz", self.rate_hz),
            ("task.width", self.width),
            ("task.duration-ms", self.duration_ms),
        ] {
            if !(got.is_finite() && got > 0.0) {
                return Err(ModelError::Parameter { what, got, must: "it must be positive" });
            }
        }
        if !(0.0..1e6).contains(&self.delay_ms) {
            return Err(ModelError::Parameter {
                what: "task.delay-ms",
                got: self.delay_ms,
                must: "it must be at least 0 ms, and below 1000 s",
            });
        }
        Ok(())
    }

    /// Rate of neuron `unit` for a bump at `centre`, in Hz.
    #[must_use]
    pub fn rate(&self, unit: usize, centre: f64) -> f64 {
        let apart = self.distance(unit as f64, centre) / self.width;
        self.rate_hz * libm::exp(-0.5 * apart * apart)
    }

    /// Distance of two places around the ring, in neurons.
    #[must_use]
    pub fn distance(&self, a: f64, b: f64) -> f64 {
        let around = self.units as f64;
        let apart = libm::fmod((a - b).abs(), around);
        apart.min(around - apart)
    }

    /// Pattern number `index` of `seed` in steps of `dt_ms`: as long as the duration and the delay.
    ///
    /// # Errors
    /// Values that make no pattern.
    pub fn draw(&self, seed: u64, index: u64, dt_ms: f64) -> Result<Bump> {
        self.check()?;
        if !(dt_ms.is_finite() && dt_ms > 0.0 && dt_ms <= self.duration_ms) {
            return Err(ModelError::Parameter {
                what: "learning.dt-ms",
                got: dt_ms,
                must: "a step must be positive and no longer than task.duration-ms",
            });
        }
        let mut rng = random::stream(seed, STREAM + index);
        let centre = self.units as f64 * random::uniform(&mut rng);
        let steps = libm::round(self.duration_ms / dt_ms) as usize;
        let delay = libm::round(self.delay_ms / dt_ms) as usize;
        let mean =
            (0..self.units).map(|unit| self.rate(unit, 0.0)).sum::<f64>() / self.units as f64;
        let mut fired: Vec<Vec<u16>> = vec![Vec::new(); steps];
        for unit in 0..self.units {
            let rate = match self.code {
                RingCode::Uniform => mean,
                _ => self.rate(unit, centre),
            };
            if self.code == RingCode::Latency {
                let share = rate / self.rate_hz;
                // Truncation is intended: the step in which the spike falls.
                let step = ((1.0 - share) * steps as f64) as usize;
                if share >= FAINTEST && step < steps {
                    fired[step].push(unit as u16);
                }
                continue;
            }
            let chance = rate * dt_ms * 1e-3;
            for spikes in &mut fired {
                if random::uniform(&mut rng) < chance {
                    spikes.push(unit as u16);
                }
            }
        }
        let train = |before: usize, after: usize| {
            let mut train = SpikeTrains::new(steps + delay, self.units);
            (0..before).for_each(|_| train.end_step());
            for spikes in &fired {
                spikes.iter().for_each(|unit| train.push(*unit));
                train.end_step();
            }
            (0..after).for_each(|_| train.end_step());
            train
        };
        Ok(Bump { centre, inputs: train(0, delay), targets: train(delay, 0) })
    }

    /// Centre that spikes of the ring tell: the direction of the sum of all spikes as unit vectors.
    /// Nothing if there is no spike, or none that stands out.
    pub fn decode(&self, spikes: impl Iterator<Item = u16>) -> Option<f64> {
        let turn = 2.0 * std::f64::consts::PI / self.units as f64;
        let (mut x, mut y) = (0.0, 0.0);
        for unit in spikes {
            let angle = turn * f64::from(unit);
            x += libm::cos(angle);
            y += libm::sin(angle);
        }
        if x * x + y * y < 1e-12 {
            return None;
        }
        let place = libm::atan2(y, x) / turn;
        Some(if place < 0.0 { place + self.units as f64 } else { place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(train: &SpikeTrains) -> Vec<(usize, u16)> {
        let steps = 0..train.steps();
        steps.flat_map(|t| train.at(0, t).iter().map(move |unit| (t, *unit))).collect()
    }

    #[test]
    fn targets_are_the_inputs_later() {
        for code in [RingCode::Poisson, RingCode::Latency, RingCode::Uniform] {
            let ring = Ring { code, ..Ring::default() };
            let bump = ring.draw(1, 3, 0.5).unwrap();
            assert_eq!(bump, ring.draw(1, 3, 0.5).unwrap());
            assert_ne!(bump, ring.draw(1, 4, 0.5).unwrap());
            assert_eq!(bump.inputs.steps(), 420);
            let later: Vec<_> = all(&bump.inputs).iter().map(|(t, u)| (t + 20, *u)).collect();
            assert_eq!(all(&bump.targets), later, "{code:?}");
        }
    }

    #[test]
    fn a_seed_means_the_same_patterns_in_five_years() {
        let drawn = [RingCode::Poisson, RingCode::Latency, RingCode::Uniform].map(|code| {
            let bump = Ring { code, ..Ring::default() }.draw(1, 7, 0.5).unwrap();
            let spikes = all(&bump.inputs);
            (format!("{:.12}", bump.centre), spikes.len(), format!("{:?}", &spikes[..8]))
        });
        insta::assert_debug_snapshot!(drawn);
    }

    #[test]
    fn spikes_follow_the_rates() {
        let ring = Ring::default();
        let mut counts = [0.0; 3];
        let draws = 60;
        for index in 0..draws {
            let bump = ring.draw(2, index, 0.5).unwrap();
            for (_, unit) in all(&bump.inputs) {
                let apart = ring.distance(f64::from(unit), bump.centre);
                counts[(apart / 5.0).min(2.0) as usize] += 1.0;
            }
        }
        // Integrals of the bump over |x| below σ, between σ and 2σ, beyond; 100 Hz over 0.2 s.
        let total = 100.0 * 0.2 * 5.0 * (2.0 * std::f64::consts::PI).sqrt() * draws as f64;
        for (count, share) in counts.iter().zip([0.6827, 0.2718, 0.0455]) {
            let expected: f64 = total * share;
            assert!((count - expected).abs() < 4.0 * expected.sqrt(), "{count}, {expected}");
        }
        let uniform = Ring { code: RingCode::Uniform, ..ring };
        let spikes: usize =
            (0..draws).map(|k| all(&uniform.draw(2, k, 0.5).unwrap().inputs).len()).sum();
        assert!((spikes as f64 - total).abs() < 4.0 * total.sqrt(), "{spikes}, {total}");
    }

    #[test]
    fn the_nearest_neuron_fires_first_in_latency_code() {
        let ring = Ring { code: RingCode::Latency, ..Ring::default() };
        let bump = ring.draw(5, 0, 0.1).unwrap();
        let spikes = all(&bump.inputs);
        assert!(ring.distance(f64::from(spikes[0].1), bump.centre) <= 1.0);
        let last = spikes.last().unwrap();
        assert!(ring.distance(f64::from(last.1), bump.centre) > 10.0 && last.0 < 2000);
        let mut units: Vec<u16> = spikes.iter().map(|s| s.1).collect();
        units.sort_unstable();
        units.dedup();
        assert_eq!(units.len(), spikes.len(), "one spike a neuron");
    }

    #[test]
    fn a_centre_is_decoded_across_the_seam() {
        let ring = Ring::default();
        assert!((ring.decode([99, 1].into_iter()).unwrap() % 100.0).abs() < 1e-9);
        assert!((ring.decode([97, 98].into_iter()).unwrap() - 97.5).abs() < 1e-9);
        assert_eq!(ring.decode(std::iter::empty()), None);
        assert_eq!(ring.decode([10, 60].into_iter()), None);
        assert!((ring.distance(99.5, 0.5) - 1.0).abs() < 1e-12);
        let mut error = 0.0;
        for index in 0..20 {
            let bump = ring.draw(1, index, 0.5).unwrap();
            let centre = ring.decode(all(&bump.inputs).iter().map(|s| s.1)).unwrap();
            error += ring.distance(centre, bump.centre) / 20.0;
        }
        // 250 spikes with a standard deviation of 5: 5/√250 = 0.3.
        assert!(error < 0.5, "{error}");
    }

    #[test]
    fn what_makes_no_pattern_is_named() {
        let base = Ring::default();
        for (ring, key) in [
            (Ring { units: 0, ..base }, "task.units"),
            (Ring { width: 0.0, ..base }, "task.width"),
            (Ring { delay_ms: -1.0, ..base }, "task.delay-ms"),
            (Ring { rate_hz: f64::NAN, ..base }, "task.rate-hz"),
        ] {
            let error = ring.draw(1, 0, 0.1).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
        assert!(base.draw(1, 0, 300.0).is_err());
    }
}
