//! Post-synaptic potentials with a closed spike time.
//!
//! With `x = (t − t_first)/τ` and `Δ = x − x_i`, the membrane is `V = gain Σ w_i s(Δ_i)` over the
//! inputs before `x`. Every kernel here splits into two sums that do not depend on `x`:
//!
//! ```text
//! V(x)/gain = A f(x) − B g(x),     A = Σ w_i p(x_i),   B = Σ w_i q(x_i)
//!
//!           s(Δ)             p        q        f         g
//! alpha     Δ e^(−Δ)         e^x      x e^x    x e^(−x)  e^(−x)
//! double    e^(−Δ/2) − e^(−Δ) e^(x/2) e^x      e^(−x/2)  e^(−x)
//! ```
//!
//! so one input costs two multiply-adds per receiving neuron, and the derivatives of a spike time
//! are bilinear in (p, q) of the input and (f, g) of the spike. The rising crossing of
//! `V = gain θ'`:
//!
//! * alpha (Comsa et al. 2019, eq. 4): `x = B/A − W₀(−θ'/A e^(B/A))`, if `A > 0` and the argument is
//!   at least −1/e;
//! * double (Göltz et al. 2021, τ_mem = 2 τ_syn): `x = 2 ln(2B/(A + √(A² − 4Bθ')))`, if `A > 0`,
//!   `B > 0` and the root is real.
//!
//! The other branch (W₋₁, − of the root) is the falling crossing.

use serde::{Deserialize, Serialize};

use super::lambert::w0;
use crate::error::{ModelError, Result};

/// Which neuron. In a configuration: `kernel = { kind = "alpha", rate = 1.0 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kernel {
    /// `V = Σ w (t − t_i) e^(−K (t − t_i))` (Comsa et al. 2019).
    Alpha {
        /// Decay rate K per unit of time.
        rate: f64,
    },
    /// Current-based leaky integrate-and-fire neuron with τ_mem = τ_syn (Göltz et al. 2021, leak
    /// conductance 1): `V = Σ w (t − t_i)/τ e^(−(t − t_i)/τ)`.
    LifEqual {
        /// Both time constants, in the unit of the spike times.
        tau: f64,
    },
    /// Current-based leaky integrate-and-fire neuron with τ_mem = 2 τ_syn (Göltz et al. 2021, leak
    /// conductance 1): `V = Σ w (e^(−(t − t_i)/2τ_syn) − e^(−(t − t_i)/τ_syn))`.
    LifDouble {
        /// Time constant of the synapse, in the unit of the spike times.
        tau_syn: f64,
    },
}

/// What a kernel needs of a moment `x`: `V = A f − B g` and `dV/dx = A df − B dg`, per gain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) f: f64,
    pub(crate) g: f64,
    pub(crate) df: f64,
    pub(crate) dg: f64,
}

impl Kernel {
    /// Time constant τ that makes times dimensionless.
    #[must_use]
    pub fn time_constant(&self) -> f64 {
        match *self {
            Self::Alpha { rate } => 1.0 / rate,
            Self::LifEqual { tau } => tau,
            Self::LifDouble { tau_syn } => tau_syn,
        }
    }

    /// Factor between the membrane and the dimensionless sum.
    #[must_use]
    pub fn gain(&self) -> f64 {
        match *self {
            Self::Alpha { rate } => 1.0 / rate,
            Self::LifEqual { .. } | Self::LifDouble { .. } => 1.0,
        }
    }

    /// The response to one spike of weight 1 after the time `delay`, 0 before it.
    #[must_use]
    pub fn potential(&self, delay: f64) -> f64 {
        let x = delay / self.time_constant();
        if x <= 0.0 {
            0.0
        } else if self.double() {
            self.gain() * (libm::exp(-x / 2.0) - libm::exp(-x))
        } else {
            self.gain() * x * libm::exp(-x)
        }
    }

    /// Checks the time constant.
    ///
    /// # Errors
    /// A rate or time constant that is not a positive number.
    pub fn check(&self) -> Result<()> {
        let (what, got) = match *self {
            Self::Alpha { rate } => ("network.kernel.rate", rate),
            Self::LifEqual { tau } => ("network.kernel.tau", tau),
            Self::LifDouble { tau_syn } => ("network.kernel.tau_syn", tau_syn),
        };
        if got.is_finite() && got > 0.0 && (1.0 / got).is_finite() {
            return Ok(());
        }
        Err(ModelError::Parameter { what, got, must: "it must be a positive number" })
    }

    fn double(&self) -> bool {
        matches!(self, Self::LifDouble { .. })
    }

    /// (p, q) of an input at `x`.
    pub(crate) fn input(&self, x: f64) -> (f64, f64) {
        if self.double() {
            let half = libm::exp(x / 2.0);
            (half, half * half)
        } else {
            let e = libm::exp(x);
            (e, x * e)
        }
    }

    /// (f, g) and their derivatives at `x`.
    pub(crate) fn probe(&self, x: f64) -> Probe {
        if self.double() {
            let half = libm::exp(-x / 2.0);
            let e = half * half;
            Probe { f: half, g: e, df: -0.5 * half, dg: -e }
        } else {
            let e = libm::exp(-x);
            Probe { f: x * e, g: e, df: (1.0 - x) * e, dg: -e }
        }
    }

    /// Where `A f − B g` rises through `threshold`, were there no inputs but those in `a` and `b`.
    pub(crate) fn rise(&self, a: f64, b: f64, threshold: f64) -> Option<f64> {
        if self.double() {
            let square = a * a - 4.0 * b * threshold;
            if !(a > 0.0 && b > 0.0 && square >= 0.0) {
                return None;
            }
            Some(2.0 * libm::log(2.0 * b / (a + square.sqrt())))
        } else {
            if a.is_nan() || a <= 0.0 {
                return None;
            }
            let ratio = b / a;
            let w = w0(-(threshold / a) * libm::exp(ratio));
            w.is_finite().then_some(ratio - w)
        }
    }
}
