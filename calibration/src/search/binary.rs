//! Binary search, plain and for cells that disturb each other (as published for BrainScaleS-2's calibration).
//!
//! Start in the middle of the range, steps of `ceil(range / 2^{k+2})`; two extra steps try the neighbours, the
//! best of the last three counts. The noisy variant starts at random codes a few steps apart, takes an extra
//! step of that size, and chooses among more of the last codes.

use super::{Best, Goal, Search};
use crate::estimate::Estimate;
use spikeloop_models::random;

/// Random start of the noisy search: up to so many codes to either side (published).
const AMPLITUDE: i64 = 5;

/// Binary search.
pub struct Binary {
    goal: Goal,
    tried: Vec<u16>,
    best: Best,
    /// Steps still to be made, the next one first.
    increments: Vec<f64>,
    at: usize,
    /// From this step on codes count.
    counts_from: usize,
}

impl Binary {
    /// Starts in the middle.
    #[must_use]
    pub fn new(goal: Goal, neurons: usize) -> Self {
        Self::with(goal, vec![0; neurons], 0)
    }

    fn with(goal: Goal, offsets: Vec<i64>, amplitude: i64) -> Self {
        let (low, high) = (f64::from(goal.spec.code_min), f64::from(goal.spec.code_max));
        let range = high - low + 1.0;
        let middle = low + (range / 2.0).floor();
        let steps = range.log2().ceil() as u32;
        let mut increments: Vec<f64> =
            (0..steps).map(|k| (range / 2.0_f64.powi(k as i32 + 2)).ceil()).collect();
        if amplitude > 0 {
            // The random start must not decide what can be reached.
            increments.push(amplitude as f64);
            increments.sort_by(|a, b| b.total_cmp(a));
        }
        // The neighbours.
        increments.extend([1.0, 1.0]);
        let extra = if amplitude > 0 { (amplitude as f64).log2().ceil() as usize } else { 0 };
        let counts_from = (increments.len() + 1).saturating_sub(3 + extra);
        let tried: Vec<u16> = offsets.iter().map(|o| goal.clamp(middle + *o as f64)).collect();
        Self { goal, best: Best::new(goal.target, &tried), tried, increments, at: 0, counts_from }
    }
}

impl Search for Binary {
    fn first(&self) -> Vec<u16> {
        self.tried.clone()
    }

    fn next(&mut self, measured: &[Estimate]) -> Option<Vec<u16>> {
        if self.at == self.counts_from {
            self.best.forget();
        }
        self.best.see(&self.tried, measured);
        let increment = *self.increments.get(self.at)?;
        self.at += 1;
        let rising = self.goal.rising();
        for (code, estimate) in self.tried.iter_mut().zip(measured) {
            if !estimate.is_good() {
                continue;
            }
            let up = (estimate.value < self.goal.target) == rising;
            let moved = f64::from(*code) + if up { increment } else { -increment };
            *code = self.goal.clamp(moved);
        }
        Some(self.tried.clone())
    }

    fn best(&self) -> Vec<u16> {
        self.best.codes().to_vec()
    }
}

/// Binary search from random starts.
pub struct NoisyBinary(Binary);

impl NoisyBinary {
    /// Starts near the middle; ranges too small for it (below 4 × 5 codes) are searched without noise.
    #[must_use]
    pub fn new(goal: Goal, neurons: usize, seed: u64) -> Self {
        let range = i64::from(goal.spec.code_max) - i64::from(goal.spec.code_min) + 1;
        if AMPLITUDE * 4 > range {
            return Self(Binary::new(goal, neurons));
        }
        let mut rng = random::stream(seed, 0);
        let span = (2 * AMPLITUDE + 1) as f64;
        let offsets =
            (0..neurons).map(|_| (random::uniform(&mut rng) * span) as i64 - AMPLITUDE).collect();
        Self(Binary::with(goal, offsets, AMPLITUDE))
    }
}

impl Search for NoisyBinary {
    fn first(&self) -> Vec<u16> {
        self.0.first()
    }

    fn next(&mut self, measured: &[Estimate]) -> Option<Vec<u16>> {
        self.0.next(measured)
    }

    fn best(&self) -> Vec<u16> {
        self.0.best()
    }
}
