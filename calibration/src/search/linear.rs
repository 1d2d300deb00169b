//! A sweep over the whole range: for parameters of which nothing is known.

use super::{Best, Goal, Search};
use crate::estimate::Estimate;

/// Evenly spaced codes, then a code between the two that enclose the target.
pub struct Linear {
    goal: Goal,
    codes: Vec<u16>,
    at: usize,
    /// Values seen, `[step][neuron]`.
    seen: Vec<Vec<Estimate>>,
    tried: Vec<u16>,
    best: Best,
}

impl Linear {
    /// Tries `steps` codes (at least two) over the whole range, and one more for each neuron.
    #[must_use]
    pub fn new(goal: Goal, neurons: usize, steps: usize) -> Self {
        let (low, high) = (f64::from(goal.spec.code_min), f64::from(goal.spec.code_max));
        let steps = steps.max(2);
        let codes: Vec<u16> = (0..steps)
            .map(|k| goal.clamp(low + (high - low) * k as f64 / (steps - 1) as f64))
            .collect();
        let tried = vec![codes[0]; neurons];
        let best = Best::new(goal.target, &tried);
        Self { goal, codes, at: 0, seen: Vec::new(), tried, best }
    }

    /// Where a straight line between two neighbouring codes meets the target; the best code seen if no two
    /// enclose it.
    fn between(&self, n: usize) -> u16 {
        for k in 1..self.seen.len() {
            let (a, b) = (&self.seen[k - 1][n], &self.seen[k][n]);
            let (low, high) = (a.value - self.goal.target, b.value - self.goal.target);
            if a.is_good() && b.is_good() && low * high <= 0.0 && low != high {
                let (from, to) = (f64::from(self.codes[k - 1]), f64::from(self.codes[k]));
                return self.goal.clamp(from + (to - from) * low / (low - high));
            }
        }
        self.best.codes()[n]
    }
}

impl Search for Linear {
    fn first(&self) -> Vec<u16> {
        self.tried.clone()
    }

    fn next(&mut self, measured: &[Estimate]) -> Option<Vec<u16>> {
        self.best.see(&self.tried, measured);
        self.seen.push(measured.to_vec());
        self.at += 1;
        if self.at < self.codes.len() {
            self.tried.fill(self.codes[self.at]);
            return Some(self.tried.clone());
        }
        if self.at > self.codes.len() {
            return None;
        }
        self.tried = (0..self.tried.len()).map(|n| self.between(n)).collect();
        Some(self.tried.clone())
    }

    fn best(&self) -> Vec<u16> {
        self.best.codes().to_vec()
    }
}
