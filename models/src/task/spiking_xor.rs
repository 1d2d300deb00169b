//! Exclusive or of spike patterns (the task of SuperSpike; Zenke & Ganguli 2018).
//!
//! The inputs are three groups of the same size. In a pattern every neuron of an active group fires
//! once, at a time that was drawn once within the length of the pattern. The first group is the cue
//! and always active, the other two are the operands and active when theirs is 1. All inputs fire
//! besides at a low rate. The one output has to spike in a window after the pattern if exactly one
//! operand is 1, and to be silent otherwise and elsewhere. No layer of weights alone can do it: the
//! output that two operands drive is not below the one that each drives.
//!
//! Published are the three sets, 100 inputs, 10 ms, 4 Hz and the 15 ms window. That the window begins
//! with the end of the pattern and the time between patterns are choices of ours.

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::method::superspike::Window;
use crate::random::{stream, uniform};
use crate::spike_train::SpikeTrains;

/// Stream of the times within the groups.
const PATTERN: u64 = 0x5550_0100;
/// First stream of the episodes: operands and background.
const EPISODE: u64 = 0x5550_0200;

/// Sizes and times of the task.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SpikingXor {
    /// Input neurons, at least three (published: 100).
    pub inputs: usize,
    /// Length of a pattern in ms (published: 10).
    pub pattern_ms: f64,
    /// Length of the window that begins with the end of the pattern, in ms (published: 15).
    pub window_ms: f64,
    /// Time from pattern to pattern in ms.
    pub period_ms: f64,
    /// Background rate of each input in Hz (published: 4).
    pub background_hz: f64,
    /// Patterns of an episode.
    pub patterns: usize,
}

impl Default for SpikingXor {
    fn default() -> Self {
        Self {
            inputs: 100,
            pattern_ms: 10.0,
            window_ms: 15.0,
            period_ms: 100.0,
            background_hz: 4.0,
            patterns: 20,
        }
    }
}

/// A row of patterns.
#[derive(Clone, Debug, PartialEq)]
pub struct XorEpisode {
    /// One sample.
    pub inputs: SpikeTrains,
    /// Where the output has to spike.
    pub windows: Vec<Window>,
    /// Operands of each pattern.
    pub operands: Vec<[bool; 2]>,
    /// The window of each pattern whether or not there has to be a spike: first step and the step
    /// after the last.
    pub spans: Vec<(u32, u32)>,
}

impl XorEpisode {
    /// Patterns that the output spikes (pairs of step and neuron) answer rightly: at least one spike in
    /// the window if exactly one operand is 1, none if not.
    #[must_use]
    pub fn right(&self, spikes: &[(u32, u16)]) -> usize {
        let answers = self.spans.iter().zip(&self.operands);
        let right = answers.filter(|((begin, end), operands)| {
            let spiked = spikes.iter().any(|(step, _)| (*begin..*end).contains(step));
            spiked == (operands[0] != operands[1])
        });
        right.count()
    }
}

impl SpikingXor {
    /// Checks every value.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] naming the first key that is wrong.
    pub fn check(&self) -> Result<()> {
        let refuse = |what, got, must| Err(ModelError::Parameter { what, got, must });
        if !(3..=65535).contains(&self.inputs) {
            return refuse("task.inputs", self.inputs as f64, "it must lie between 3 and 65535");
        }
        if self.patterns == 0 {
            return refuse("task.patterns", 0.0, "it must be at least 1");
        }
        let positive = "it must be a finite number above 0";
        for (what, x) in [("task.pattern-ms", self.pattern_ms), ("task.window-ms", self.window_ms)]
        {
            if !(x.is_finite() && x > 0.0) {
                return refuse(what, x, positive);
            }
        }
        if !(self.background_hz.is_finite() && self.background_hz >= 0.0) {
            let must = "it must be a finite number, 0 or above";
            return refuse("task.background-hz", self.background_hz, must);
        }
        let used = self.pattern_ms + self.window_ms;
        if !(self.period_ms.is_finite() && self.period_ms >= used) {
            let must = "it must be at least pattern and window together";
            return refuse("task.period-ms", self.period_ms, must);
        }
        Ok(())
    }

    /// Episode `number` of the task that `seed` stands for, in steps of `dt_ms`.
    ///
    /// # Errors
    /// What [`check`](Self::check) finds, and a step of 0 or less.
    pub fn episode(&self, dt_ms: f64, seed: u64, number: u64) -> Result<XorEpisode> {
        self.check()?;
        if !(dt_ms.is_finite() && dt_ms > 0.0) {
            let must = "it must be a finite number above 0";
            return Err(ModelError::Parameter { what: "learning.dt-ms", got: dt_ms, must });
        }
        let steps = |ms: f64| libm::round(ms / dt_ms).max(1.0) as usize;
        let (pattern, window) = (steps(self.pattern_ms), steps(self.window_ms));
        let period = steps(self.period_ms).max(pattern + window);
        let group = self.inputs / 3;
        let mut rng = stream(seed, PATTERN);
        let times: Vec<usize> =
            (0..3 * group).map(|_| (uniform(&mut rng) * pattern as f64) as usize).collect();
        let mut rng = stream(seed, EPISODE + number);
        let operands: Vec<[bool; 2]> = (0..self.patterns)
            .map(|_| [uniform(&mut rng) < 0.5, uniform(&mut rng) < 0.5])
            .collect();
        let chance = self.background_hz * 1e-3 * dt_ms;
        let mut inputs = SpikeTrains::new(period * self.patterns, self.inputs);
        for [a, b] in &operands {
            for step in 0..period {
                for unit in 0..self.inputs {
                    let group_active = match unit / group {
                        0 => true,
                        1 => *a,
                        2 => *b,
                        _ => false,
                    };
                    let active = group_active && times.get(unit) == Some(&step);
                    let noise = chance > 0.0 && uniform(&mut rng) < chance;
                    if noise || active {
                        inputs.push(unit as u16);
                    }
                }
                inputs.end_step();
            }
        }
        let begins = (0..self.patterns).map(|k| k * period + pattern);
        let spans: Vec<(u32, u32)> =
            begins.map(|begin| (begin as u32, (begin + window) as u32)).collect();
        let asked = spans.iter().zip(&operands).filter(|(_, [a, b])| a != b);
        let windows = asked.map(|((begin, end), _)| Window { unit: 0, begin: *begin, end: *end });
        Ok(XorEpisode { inputs, windows: windows.collect(), operands, spans })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn groups_fire_by_their_operands_at_times_that_never_change() {
        let task = SpikingXor { inputs: 10, background_hz: 0.0, ..SpikingXor::default() };
        let (first, second) = (task.episode(0.1, 3, 0).unwrap(), task.episode(0.1, 3, 1).unwrap());
        assert_ne!(first.operands, second.operands);
        let mut seen = [None; 10];
        for episode in [&first, &second] {
            for (k, operands) in episode.operands.iter().enumerate() {
                let spikes: Vec<(u16, usize)> = (0..1000)
                    .flat_map(|t| episode.inputs.at(0, 1000 * k + t).iter().map(move |id| (*id, t)))
                    .collect();
                let active = 3 * (1 + usize::from(operands[0]) + usize::from(operands[1]));
                assert_eq!(spikes.len(), active);
                for (id, t) in spikes {
                    assert!(t < 100 && id < 9);
                    assert_eq!(*seen[usize::from(id)].get_or_insert(t), t);
                }
            }
        }
    }

    #[test]
    fn background_has_its_rate_and_answers_are_counted() {
        let task = SpikingXor { patterns: 200, ..SpikingXor::default() };
        let episode = task.episode(0.5, 1, 0).unwrap();
        let asked: usize = episode.operands.iter().filter(|[a, b]| a != b).count();
        assert_eq!(episode.windows.len(), asked);
        let active: usize =
            episode.operands.iter().map(|o| 33 * (1 + usize::from(o[0]) + usize::from(o[1]))).sum();
        // 200 patterns of 0.1 s, 100 inputs, 4 Hz: 8000 spikes, standard deviation 90; about 50 more
        // fall on spikes that are there.
        let background = episode.inputs.count(0) as f64 - active as f64;
        assert!((background - 8000.0).abs() < 360.0, "{background}");
        assert_eq!(episode.right(&[]), 200 - asked);
        let spikes: Vec<(u32, u16)> = episode.windows.iter().map(|w| (w.end - 1, 0)).collect();
        assert_eq!(episode.right(&spikes), 200);
        let late: Vec<(u32, u16)> = episode.windows.iter().map(|w| (w.end, 0)).collect();
        assert_eq!(episode.right(&late), 200 - asked);
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        let base = SpikingXor::default();
        for (wrong, key) in [
            (SpikingXor { inputs: 2, ..base }, "task.inputs"),
            (SpikingXor { patterns: 0, ..base }, "task.patterns"),
            (SpikingXor { period_ms: 20.0, ..base }, "task.period-ms"),
            (SpikingXor { background_hz: f64::NAN, ..base }, "task.background-hz"),
        ] {
            let error = wrong.episode(0.1, 0, 0).unwrap_err();
            assert!(matches!(error, ModelError::Parameter { what, .. } if what == key));
        }
    }
}
