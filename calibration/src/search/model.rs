//! Inverting the law, then the secant.
//!
//! In coordinates in which the law is a straight line of slope ±1 (values and codes for linear laws, their logarithms
//! for proportional and reciprocal ones) the first step moves by the distance to the target. If two
//! measurements of a neuron lie far enough apart for their noise, their slope replaces that of the law.

use super::{Best, Goal, Search};
use crate::estimate::Estimate;
use spikeloop_hal::Law;

/// Most measurements.
const MOST: usize = 6;
/// Two measurements tell a slope if they differ by this many standard errors.
const CLEAR: f64 = 12.0;

/// The search.
pub struct Model {
    goal: Goal,
    tried: Vec<u16>,
    best: Best,
    /// Position and value (in straight coordinates) of the measurement before the last.
    before: Vec<Option<(f64, f64)>>,
    steps: usize,
}

impl Model {
    /// Starts at `codes`.
    #[must_use]
    pub fn new(goal: Goal, codes: &[u16]) -> Self {
        Self {
            goal,
            tried: codes.to_vec(),
            best: Best::new(goal.target, codes),
            before: vec![None; codes.len()],
            steps: 0,
        }
    }

    fn straight(&self, code: f64, value: f64) -> (f64, f64) {
        match self.goal.spec.law {
            Law::Linear { .. } => (code, value),
            _ => (code.max(0.5).ln(), value.max(1e-12).ln()),
        }
    }

    fn slope(&self) -> f64 {
        match self.goal.spec.law {
            Law::Linear { slope, .. } => f64::from(slope),
            Law::Reciprocal { .. } => -1.0,
            _ => 1.0,
        }
    }

    /// Relative or absolute error of a value in straight coordinates.
    fn error(&self, estimate: &Estimate) -> f64 {
        match self.goal.spec.law {
            Law::Linear { .. } => estimate.sigma,
            _ => estimate.sigma / estimate.value.abs().max(1e-12),
        }
    }

    fn step(&mut self, n: usize, estimate: &Estimate) -> u16 {
        let code = f64::from(self.tried[n]);
        let (x, y) = self.straight(code, estimate.value);
        let (_, wanted) = self.straight(code, self.goal.target);
        let law = self.slope();
        let mut slope = law;
        if let Some((x0, y0)) = self.before[n]
            && (y - y0).abs() > CLEAR * self.error(estimate)
            && x != x0
        {
            // Never further from the law than a factor of two: a wild slope is noise.
            slope = ((y - y0) / (x - x0) / law).clamp(0.5, 2.0) * law;
        }
        self.before[n] = Some((x, y));
        let next = x + (wanted - y) / slope;
        let next = if matches!(self.goal.spec.law, Law::Linear { .. }) { next } else { next.exp() };
        self.goal.clamp(next)
    }
}

impl Search for Model {
    fn first(&self) -> Vec<u16> {
        self.tried.clone()
    }

    fn next(&mut self, measured: &[Estimate]) -> Option<Vec<u16>> {
        self.best.see(&self.tried, measured);
        self.steps += 1;
        let mut far = 0;
        let mut next = self.best.codes().to_vec();
        for (n, estimate) in measured.iter().enumerate() {
            if !estimate.is_good() {
                // The last step went where nothing can be measured (a threshold below the rest, say): half of it.
                if self.best.known(n) && self.tried[n] != next[n] {
                    let middle = (f64::from(self.tried[n]) + f64::from(next[n])) / 2.0;
                    next[n] = self.goal.clamp(middle);
                    far += 1;
                }
                continue;
            }
            let residual = (estimate.value - self.goal.target).abs();
            // A deviation that the measurement cannot tell from none is left alone after the first step.
            let settled = self.steps > 1 && residual <= self.goal.tolerance + 2.0 * estimate.sigma;
            if settled {
                continue;
            }
            next[n] = self.step(n, estimate);
            far += usize::from(residual > self.goal.tolerance + 2.0 * estimate.sigma);
        }
        // One in two hundred may be hopeless (dead, defective): no reason to measure everybody again.
        let done = self.steps >= MOST || (self.steps > 1 && far * 200 <= measured.len());
        if done || next == self.tried {
            return None;
        }
        self.tried.clone_from(&next);
        Some(next)
    }

    fn best(&self) -> Vec<u16> {
        self.best.codes().to_vec()
    }
}
