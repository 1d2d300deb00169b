//! What a spike leaves behind, as a sum of basis functions of the time since it, and the running sum
//! of these over all past spikes.

use serde::{Deserialize, Serialize};

use super::super::{not_negative, positive, steps};
use crate::error::{ModelError, Result};

/// Functions of the time since a spike (more precisely, since the end of its refractory period).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Basis {
    /// `e^(−t/τ_k)`.
    Exponentials {
        /// Time constants, ms.
        tau_ms: Vec<f64>,
    },
    /// 1 between `edges_ms[k]` and `edges_ms[k + 1]`, else 0.
    Rectangles {
        /// Edges, ms, rising.
        edges_ms: Vec<f64>,
    },
}

impl Basis {
    /// Number of functions.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Exponentials { tau_ms } => tau_ms.len(),
            Self::Rectangles { edges_ms } => edges_ms.len().saturating_sub(1),
        }
    }

    /// Checks the numbers; `what` names the basis, as in `learning.eta`.
    ///
    /// # Errors
    /// No function, a time constant that is not positive, edges that do not rise.
    pub fn check(&self, what: &'static str) -> Result<()> {
        if self.count() == 0 {
            return Err(ModelError::Size { what, got: 0, max: 1000 });
        }
        match self {
            Self::Exponentials { tau_ms } => tau_ms.iter().try_for_each(|t| positive(what, *t)),
            Self::Rectangles { edges_ms } => {
                edges_ms.iter().try_for_each(|t| not_negative(what, *t))?;
                match edges_ms.windows(2).find(|pair| pair[1] <= pair[0]) {
                    Some(pair) => {
                        Err(ModelError::Parameter { what, got: pair[1], must: "edges must rise" })
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Value of function `k` at `since_ms`.
    #[must_use]
    pub fn at(&self, k: usize, since_ms: f64) -> f64 {
        if since_ms < 0.0 {
            return 0.0;
        }
        match self {
            Self::Exponentials { tau_ms } => libm::exp(-since_ms / tau_ms[k]),
            Self::Rectangles { edges_ms } => {
                f64::from(u8::from(edges_ms[k] <= since_ms && since_ms < edges_ms[k + 1]))
            }
        }
    }
}

/// A sum of basis functions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Basis.
    pub basis: Basis,
    /// One factor a function, in the unit of the kernel.
    pub coefficients: Vec<f64>,
}

impl Kernel {
    /// One exponential.
    #[must_use]
    pub fn exponential(amplitude: f64, tau_ms: f64) -> Self {
        Self { basis: Basis::Exponentials { tau_ms: vec![tau_ms] }, coefficients: vec![amplitude] }
    }

    /// Value at `since_ms`.
    #[must_use]
    pub fn at(&self, since_ms: f64) -> f64 {
        let value = |(k, c): (usize, &f64)| c * self.basis.at(k, since_ms);
        self.coefficients.iter().enumerate().map(value).sum()
    }

    /// Checks basis and coefficients.
    ///
    /// # Errors
    /// As [`Basis::check`]; another number of coefficients than of functions; one not finite.
    pub fn check(&self, what: &'static str) -> Result<()> {
        self.basis.check(what)?;
        if self.coefficients.len() != self.basis.count() {
            let (got, units) = (self.coefficients.len(), self.basis.count());
            return Err(ModelError::PerUnit { what, got, units });
        }
        self.coefficients.iter().try_for_each(|c| super::super::finite(what, *c))
    }
}

/// Sums of the basis functions over all spikes so far, stepped along a grid of time.
#[derive(Clone, Debug)]
pub struct History {
    values: Vec<f64>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Exponentials {
        keep: Vec<f64>,
    },
    /// Every start passes every edge once: `passed[e]` counts those that have.
    Rectangles {
        edges: Vec<usize>,
        starts: Vec<usize>,
        passed: Vec<usize>,
        now: usize,
        next: usize,
    },
}

impl History {
    /// No spike so far.
    #[must_use]
    pub fn new(basis: &Basis, dt_ms: f64) -> Self {
        let kind = match basis {
            Basis::Exponentials { tau_ms } => Kind::Exponentials {
                keep: tau_ms.iter().map(|tau| libm::exp(-dt_ms / tau)).collect(),
            },
            Basis::Rectangles { edges_ms } => Kind::Rectangles {
                edges: edges_ms.iter().map(|edge| steps(*edge, dt_ms)).collect(),
                starts: vec![],
                passed: vec![0; edges_ms.len()],
                now: 0,
                next: usize::MAX,
            },
        };
        Self { values: vec![0.0; basis.count()], kind }
    }

    /// Sum of each function over all spikes.
    #[inline]
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// `Σ_k c_k value_k`.
    #[inline]
    #[must_use]
    pub fn dot(&self, coefficients: &[f64]) -> f64 {
        self.values.iter().zip(coefficients).map(|(v, c)| v * c).sum()
    }

    /// Goes on by one step.
    #[inline]
    pub fn advance(&mut self) {
        match &mut self.kind {
            Kind::Exponentials { keep } => {
                self.values.iter_mut().zip(keep).for_each(|(v, k)| *v *= *k);
            }
            Kind::Rectangles { now, next, .. } => {
                *now += 1;
                if *now >= *next {
                    self.settle();
                }
            }
        }
    }

    /// A kernel starts now.
    pub fn start(&mut self) {
        match &mut self.kind {
            Kind::Exponentials { .. } => self.values.iter_mut().for_each(|v| *v += 1.0),
            Kind::Rectangles { starts, now, .. } => {
                starts.push(*now);
                self.settle();
            }
        }
    }

    /// Moves every start across the edges that it has reached.
    fn settle(&mut self) {
        let Kind::Rectangles { edges, starts, passed, now, next } = &mut self.kind else { return };
        *next = usize::MAX;
        for (e, edge) in edges.iter().enumerate() {
            while let Some(start) = starts.get(passed[e]) {
                if start + edge > *now {
                    *next = (*next).min(start + edge);
                    break;
                }
                passed[e] += 1;
                if let Some(value) = self.values.get_mut(e) {
                    *value += 1.0;
                }
                if e > 0 {
                    self.values[e - 1] -= 1.0;
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn running_sums_are_sums_over_spikes() {
        let bases = [
            Basis::Exponentials { tau_ms: vec![3.0, 40.0] },
            Basis::Rectangles { edges_ms: vec![0.0, 0.5, 2.0, 7.5] },
            Basis::Rectangles { edges_ms: vec![1.0, 4.0, 30.0] },
        ];
        let (dt, starts) = (0.5, [0, 3, 4, 5, 30, 31, 90]);
        for basis in bases {
            let mut history = History::new(&basis, dt);
            for now in 0..200 {
                if now > 0 {
                    history.advance();
                }
                if starts.contains(&now) {
                    history.start();
                }
                for (k, value) in history.values().iter().enumerate() {
                    let past = starts.iter().filter(|s| **s <= now);
                    let expected: f64 = past.map(|s| basis.at(k, f64::from(now - s) * dt)).sum();
                    assert!((value - expected).abs() < 1e-12, "{basis:?}, step {now}, {k}");
                }
            }
        }
    }

    #[test]
    fn bases_are_checked() {
        let check = |basis: Basis| basis.check("learning.eta").map_err(|e| e.to_string());
        assert!(check(Basis::Exponentials { tau_ms: vec![] }).is_err());
        assert!(check(Basis::Exponentials { tau_ms: vec![1.0, 0.0] }).is_err());
        assert!(check(Basis::Rectangles { edges_ms: vec![1.0] }).is_err());
        let falling = check(Basis::Rectangles { edges_ms: vec![0.0, 2.0, 1.0] }).unwrap_err();
        assert!(falling.contains("learning.eta") && falling.contains("rise"), "{falling}");
        assert!(check(Basis::Rectangles { edges_ms: vec![0.0, 2.0] }).is_ok());
    }
}
