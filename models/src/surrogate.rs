//! Surrogate derivatives: what stands for the derivative of the spike in the backward pass.
//!
//! With `x = V − θ`, a [`Surrogate`] gives `∂S/∂V`. Most are the derivative of a smooth function,
//! the *primitive*, which can replace the step in the forward pass: the gradient of that network is
//! exact and can be compared with finite differences. Peak and area decide how gradients grow from
//! layer to layer: a true smoothed step has area 1, and a peak above 1 can explode in deep or
//! recurrent networks (Zenke & Vogels 2021: the shape hardly matters, the scale does).

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::real::Real;

/// A surrogate derivative. In a configuration: `surrogate = { kind = "superspike", beta = 50 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Surrogate {
    /// Fast sigmoid, `1/(β|x| + 1)²` (Zenke & Ganguli 2018). Peak 1, area 2/β. β = 10 (DECOLLE),
    /// 20 (stork), 50 (BrainScaleS-2), 100 (SpyTorch tutorials).
    #[serde(rename = "superspike")]
    SuperSpike {
        /// Steepness.
        beta: f64,
    },
    /// `β/(β|x| + 1)²`. Peak β, area 2.
    #[serde(rename = "superspike-asymptotic")]
    SuperSpikeAsymptotic {
        /// Steepness.
        beta: f64,
    },
    /// `(β + 1)²/(β|x| + 1)²`, which is 1 at x = −1. Peak (β + 1)², area 2(β + 1)²/β.
    #[serde(rename = "superspike-rescaled")]
    SuperSpikeRescaled {
        /// Steepness.
        beta: f64,
    },
    /// `1/(β relu(−x) + 1)²`: 1 above threshold. Peak 1, area infinite.
    #[serde(rename = "superspike-clamped")]
    SuperSpikeClamped {
        /// Steepness.
        beta: f64,
    },
    /// SuperSpike gradient divided by (0.01 + its mean norm over the batch). Peak and area depend on
    /// the batch. No primitive; needs a method that holds a whole batch at every step.
    #[serde(rename = "superspike-normalised")]
    SuperSpikeNormalised {
        /// Steepness.
        beta: f64,
    },
    /// `β σ(βx)(1 − σ(βx))`. Peak β/4, area 1. β = 10.
    Sigmoid {
        /// Steepness.
        beta: f64,
    },
    /// `σ(x)(1 − σ(x))`, a DECOLLE variant. Peak 1/4, area 1.
    PlainSigmoid,
    /// `max(0, 1 − β|x|)` (Esser et al. 2016). Peak 1, area 1/β. Compact support.
    Triangle {
        /// Inverse half width.
        beta: f64,
    },
    /// `α max(0, 1 − |x|)`. Peak α, area α; α = 0.3. Compact support.
    TriangleScaled {
        /// Height.
        alpha: f64,
    },
    /// 1 for −½ < x ≤ ½. Peak 1, area 1. Compact support.
    Boxcar,
    /// `1 − tanh²(kx)`. Peak 1, area 2/k.
    Tanh {
        /// Steepness.
        k: f64,
    },
    /// `(α/2)/(1 + (παx/2)²)`. Peak α/2, area 1; α = 2.
    Arctan {
        /// Steepness.
        alpha: f64,
    },
    /// `(2/√π) e^(−(kx)²)`, derivative of erf(kx)/k. Peak 1.128, area 2/k.
    Gauss {
        /// Steepness.
        k: f64,
    },
    /// `(α³/2)/(α² + x²)^(3/2)`. Peak ½, area α.
    Circ {
        /// Width.
        alpha: f64,
    },
    /// `(p₀/δu) e^(x/δu)`. Peak and area unbounded; p₀ = 0.01, δu = 0.133.
    Exponential {
        /// Escape probability at threshold.
        p0: f64,
        /// Width.
        delta_u: f64,
    },
    /// The spike itself, `Θ(x)` (Gardner, Sporea & Grüning 2015). Peak 1, area infinite. Its
    /// primitive is the rectifier.
    Spike,
}

/// A derivative that can be inlined into a loop over units.
pub(crate) trait Derivative<F>: Copy + Send + Sync {
    /// Value at `x = V − θ`.
    fn at(self, x: F) -> F;
}

macro_rules! derivative {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* }, $self:ident, $x:ident, $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name<F> { $(pub(crate) $field: F),* }
        impl<F: Real> Derivative<F> for $name<F> {
            #[inline(always)]
            fn at($self, $x: F) -> F {
                $body
            }
        }
    };
}

derivative!(/// `height/(β|x| + 1)²`.
    FastSigmoid { beta, height }, self, x, {
    let d = self.beta * x.abs() + F::one();
    self.height / (d * d)
});
derivative!(/// 1 above threshold, fast sigmoid below.
    Clamped { beta }, self, x, {
    let below = if x < F::zero() { -x } else { F::zero() };
    let d = self.beta * below + F::one();
    F::one() / (d * d)
});
derivative!(/// `height·σ(βx)(1 − σ(βx))`, written with `e = e^(−β|x|)` so that nothing overflows.
    Logistic { beta, height }, self, x, {
    let e = (-(self.beta * x).abs()).det_exp();
    let d = F::one() + e;
    self.height * e / (d * d)
});
derivative!(/// `height·max(0, 1 − β|x|)`.
    Tent { beta, height }, self, x, {
    let y = F::one() - self.beta * x.abs();
    if y > F::zero() { self.height * y } else { F::zero() }
});
derivative!(/// 1 on the interval from `low` (excluded) to `high` (included).
    Box_ { low, high }, self, x, {
    if x > self.low && x <= self.high { F::one() } else { F::zero() }
});
derivative!(/// `1 − tanh²(kx)`.
    TanhSlope { k }, self, x, {
    let t = (self.k * x).det_tanh();
    F::one() - t * t
});
derivative!(/// `height/(1 + (k x)²)`.
    Lorentz { k, height }, self, x, {
    let y = self.k * x;
    self.height / (F::one() + y * y)
});
derivative!(/// `height·e^(−(kx)²)`.
    Bell { k, height }, self, x, {
    let y = self.k * x;
    self.height * (-(y * y)).det_exp()
});
derivative!(/// `height/(α² + x²)^(3/2)`.
    Circle { alpha2, height }, self, x, {
    let y = self.alpha2 + x * x;
    self.height / (y * y.sqrt())
});
derivative!(/// `height·e^(kx)`.
    Escape { k, height }, self, x, self.height * (self.k * x).det_exp());
derivative!(/// `Θ(x)`.
    Step { unit }, self, x, if x > F::zero() { self.unit } else { F::zero() });

/// Binds `$d` to the inlinable derivative of `$surrogate` and evaluates `$body` once for it: the
/// choice is made outside the loop.
macro_rules! with_derivative {
    ($surrogate:expr, $F:ty, $d:ident => $body:expr) => {{
        use $crate::surrogate as s;
        let of = |value: f64| <$F as $crate::real::Real>::of(value);
        match $surrogate {
            s::Surrogate::SuperSpike { beta } | s::Surrogate::SuperSpikeNormalised { beta } => {
                let $d = s::FastSigmoid { beta: of(beta), height: of(1.0) };
                $body
            }
            s::Surrogate::SuperSpikeAsymptotic { beta } => {
                let $d = s::FastSigmoid { beta: of(beta), height: of(beta) };
                $body
            }
            s::Surrogate::SuperSpikeRescaled { beta } => {
                let $d = s::FastSigmoid { beta: of(beta), height: of((beta + 1.0) * (beta + 1.0)) };
                $body
            }
            s::Surrogate::SuperSpikeClamped { beta } => {
                let $d = s::Clamped { beta: of(beta) };
                $body
            }
            s::Surrogate::Sigmoid { beta } => {
                let $d = s::Logistic { beta: of(beta), height: of(beta) };
                $body
            }
            s::Surrogate::PlainSigmoid => {
                let $d = s::Logistic { beta: of(1.0), height: of(1.0) };
                $body
            }
            s::Surrogate::Triangle { beta } => {
                let $d = s::Tent { beta: of(beta), height: of(1.0) };
                $body
            }
            s::Surrogate::TriangleScaled { alpha } => {
                let $d = s::Tent { beta: of(1.0), height: of(alpha) };
                $body
            }
            s::Surrogate::Boxcar => {
                let $d = s::Box_ { low: of(-0.5), high: of(0.5) };
                $body
            }
            s::Surrogate::Tanh { k } => {
                let $d = s::TanhSlope { k: of(k) };
                $body
            }
            s::Surrogate::Arctan { alpha } => {
                let $d = s::Lorentz {
                    k: of(std::f64::consts::FRAC_PI_2 * alpha),
                    height: of(alpha / 2.0),
                };
                $body
            }
            s::Surrogate::Gauss { k } => {
                let $d = s::Bell { k: of(k), height: of(std::f64::consts::FRAC_2_SQRT_PI) };
                $body
            }
            s::Surrogate::Circ { alpha } => {
                let $d = s::Circle {
                    alpha2: of(alpha * alpha),
                    height: of(alpha * alpha * alpha / 2.0),
                };
                $body
            }
            s::Surrogate::Exponential { p0, delta_u } => {
                let $d = s::Escape { k: of(1.0 / delta_u), height: of(p0 / delta_u) };
                $body
            }
            s::Surrogate::Spike => {
                let $d = s::Step { unit: of(1.0) };
                $body
            }
        }
    }};
}
pub(crate) use with_derivative;

impl Surrogate {
    /// Derivative at `x = V − θ`. For [`Surrogate::SuperSpikeNormalised`] before normalisation.
    #[must_use]
    pub fn derivative<F: Real>(self, x: F) -> F {
        with_derivative!(self, F, d => Derivative::at(d, x))
    }

    /// The smooth function whose derivative this is, for the forward pass of gradient checks; its
    /// constant is chosen so that it is 0 at x = 0 where the published form is odd. `None` where
    /// there is no such function.
    #[must_use]
    pub fn primitive<F: Real>(self, x: F) -> Option<F> {
        let of = F::of;
        let fast = |beta: f64| x / (F::one() + of(beta) * x.abs());
        // ∫ max(0, 1 − β|x|) = x − βx|x|/2 inside the support, ±1/(2β) outside.
        let tent = |beta: f64| {
            let edge = of(1.0 / beta);
            let y = if x > edge {
                edge
            } else if x < -edge {
                -edge
            } else {
                x
            };
            y - of(beta / 2.0) * y * y.abs()
        };
        let logistic = |beta: f64| {
            let e = (-(of(beta) * x).abs()).det_exp();
            if x < F::zero() { e / (F::one() + e) } else { F::one() / (F::one() + e) }
        };
        Some(match self {
            Self::SuperSpike { beta } => fast(beta),
            Self::SuperSpikeAsymptotic { beta } => of(beta) * fast(beta),
            Self::SuperSpikeRescaled { beta } => of((beta + 1.0) * (beta + 1.0)) * fast(beta),
            Self::SuperSpikeClamped { beta } => {
                if x < F::zero() {
                    fast(beta)
                } else {
                    x
                }
            }
            Self::SuperSpikeNormalised { .. } => return None,
            Self::Sigmoid { beta } => logistic(beta),
            Self::PlainSigmoid => logistic(1.0),
            Self::Triangle { beta } => tent(beta),
            Self::TriangleScaled { alpha } => of(alpha) * tent(1.0),
            Self::Boxcar => x.max(of(-0.5)).min(of(0.5)),
            Self::Tanh { k } => (of(k) * x).det_tanh() / of(k),
            Self::Arctan { alpha } => {
                (of(std::f64::consts::FRAC_PI_2 * alpha) * x).det_atan() / of(std::f64::consts::PI)
            }
            Self::Gauss { k } => (of(k) * x).det_erf() / of(k),
            Self::Circ { alpha } => of(alpha / 2.0) * x / (of(alpha * alpha) + x * x).sqrt(),
            Self::Exponential { p0, delta_u } => of(p0) * (of(1.0 / delta_u) * x).det_exp(),
            Self::Spike => x.max(F::zero()),
        })
    }

    /// Probability of a spike in one step at `x = V − θ` of a neuron with escape noise whose slope this derivative
    /// is: `σ(βx)` for the sigmoids, `min(p₀ e^(x/δu), 1)` for the exponential (Gerstner & Kistler 2002).
    /// `None` for surrogates that are not the slope of a probability.
    #[must_use]
    pub fn escape_probability<F: Real>(self, x: F) -> Option<F> {
        match self {
            Self::Sigmoid { .. } | Self::PlainSigmoid => self.primitive(x),
            Self::Exponential { .. } => self.primitive(x).map(|p| p.min(F::one())),
            _ => None,
        }
    }

    /// Whether [`Surrogate::primitive`] exists.
    #[must_use]
    pub fn has_primitive(self) -> bool {
        self.primitive(0.0_f64).is_some()
    }

    /// Largest value of the derivative; infinite if unbounded, `None` if it depends on the batch.
    #[must_use]
    pub fn peak(self) -> Option<f64> {
        Some(match self {
            Self::SuperSpike { .. }
            | Self::SuperSpikeClamped { .. }
            | Self::Triangle { .. }
            | Self::Boxcar
            | Self::Tanh { .. }
            | Self::Spike => 1.0,
            Self::SuperSpikeAsymptotic { beta } => beta,
            Self::SuperSpikeRescaled { beta } => (beta + 1.0) * (beta + 1.0),
            Self::SuperSpikeNormalised { .. } => return None,
            Self::Sigmoid { beta } => beta / 4.0,
            Self::PlainSigmoid => 0.25,
            Self::TriangleScaled { alpha } => alpha,
            Self::Arctan { alpha } => alpha / 2.0,
            Self::Gauss { .. } => std::f64::consts::FRAC_2_SQRT_PI,
            Self::Circ { .. } => 0.5,
            Self::Exponential { .. } => f64::INFINITY,
        })
    }

    /// Integral of the derivative over all x; infinite if unbounded, `None` if it depends on the
    /// batch.
    #[must_use]
    pub fn area(self) -> Option<f64> {
        Some(match self {
            Self::SuperSpike { beta } => 2.0 / beta,
            Self::SuperSpikeAsymptotic { .. } => 2.0,
            Self::SuperSpikeRescaled { beta } => 2.0 * (beta + 1.0) * (beta + 1.0) / beta,
            Self::SuperSpikeClamped { .. } | Self::Exponential { .. } | Self::Spike => {
                f64::INFINITY
            }
            Self::SuperSpikeNormalised { .. } => return None,
            Self::Sigmoid { .. } | Self::PlainSigmoid | Self::Boxcar | Self::Arctan { .. } => 1.0,
            Self::Triangle { beta } => 1.0 / beta,
            Self::TriangleScaled { alpha } | Self::Circ { alpha } => alpha,
            Self::Tanh { k } | Self::Gauss { k } => 2.0 / k,
        })
    }

    /// Name as in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SuperSpike { .. } => "superspike",
            Self::SuperSpikeAsymptotic { .. } => "superspike-asymptotic",
            Self::SuperSpikeRescaled { .. } => "superspike-rescaled",
            Self::SuperSpikeClamped { .. } => "superspike-clamped",
            Self::SuperSpikeNormalised { .. } => "superspike-normalised",
            Self::Sigmoid { .. } => "sigmoid",
            Self::PlainSigmoid => "plain-sigmoid",
            Self::Triangle { .. } => "triangle",
            Self::TriangleScaled { .. } => "triangle-scaled",
            Self::Boxcar => "boxcar",
            Self::Tanh { .. } => "tanh",
            Self::Arctan { .. } => "arctan",
            Self::Gauss { .. } => "gauss",
            Self::Circ { .. } => "circ",
            Self::Exponential { .. } => "exponential",
            Self::Spike => "spike",
        }
    }

    /// Checks the parameter.
    ///
    /// # Errors
    /// A steepness or width that is not a positive finite number.
    pub fn check(self) -> Result<()> {
        let fine = |what, got: f64| {
            if got.is_finite() && got > 0.0 {
                Ok(())
            } else {
                Err(ModelError::Parameter { what, got, must: "it must be positive" })
            }
        };
        match self {
            Self::SuperSpike { beta }
            | Self::SuperSpikeAsymptotic { beta }
            | Self::SuperSpikeRescaled { beta }
            | Self::SuperSpikeClamped { beta }
            | Self::SuperSpikeNormalised { beta }
            | Self::Sigmoid { beta }
            | Self::Triangle { beta } => fine("surrogate.beta", beta),
            Self::TriangleScaled { alpha } | Self::Arctan { alpha } | Self::Circ { alpha } => {
                fine("surrogate.alpha", alpha)
            }
            Self::Tanh { k } | Self::Gauss { k } => fine("surrogate.k", k),
            Self::Exponential { p0, delta_u } => {
                fine("surrogate.p0", p0)?;
                fine("surrogate.delta_u", delta_u)
            }
            Self::PlainSigmoid | Self::Boxcar | Self::Spike => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
