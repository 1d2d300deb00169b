//! Weights to integer codes: `code = round(scale · w)`, clamped to what the chip can hold.
//!
//! Rounding is half away from zero. In training the gradient goes straight through: the update is
//! applied to the real-valued weight, and the chip sees its code (straight-through estimator,
//! Bengio, Léonard & Courville 2013).

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::real::Real;

/// How many codes a unit weight is. In a configuration: `{ kind = "fixed", scale = 240 }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scale {
    /// Always the same (Cramer et al. 2022, hidden layer: 240).
    Fixed {
        /// Codes per unit weight.
        scale: f64,
    },
    /// The largest weight gets the largest code, up to a limit: `min(max_code/max|w|, limit)`,
    /// computed anew for every set of weights (Cramer et al. 2022, readout: limit 250).
    MaxAbs {
        /// Largest scale.
        limit: f64,
    },
}

/// Weight range of a chip and the scale of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiser {
    /// Largest absolute code, 63 for two 6-bit synapses a signed weight.
    pub max_code: i16,
    /// Codes per unit weight.
    pub scale: Scale,
}

/// What rounding did to a matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantised {
    /// Codes per unit weight that were used.
    pub scale: f64,
    /// Number of weights beyond the largest code.
    pub clipped: usize,
}

impl Quantiser {
    /// Checks the range.
    ///
    /// # Errors
    /// A code range or scale that is not positive.
    pub fn check(&self) -> Result<()> {
        let (Scale::Fixed { scale: number } | Scale::MaxAbs { limit: number }) = self.scale;
        if !(number.is_finite() && number > 0.0) {
            return Err(ModelError::Parameter {
                what: "weight scale",
                got: number,
                must: "it must be positive",
            });
        }
        if self.max_code < 1 {
            let got = f64::from(self.max_code);
            return Err(ModelError::Parameter {
                what: "largest weight code",
                got,
                must: "it must be positive",
            });
        }
        Ok(())
    }

    /// Codes per unit weight for these weights.
    #[must_use]
    pub fn scale<F: Real>(&self, weights: &[F]) -> f64 {
        match self.scale {
            Scale::Fixed { scale } => scale,
            Scale::MaxAbs { limit } => {
                let top = weights.iter().fold(0.0_f64, |top, w| top.max(w.wide().abs()));
                if top > 0.0 { (f64::from(self.max_code) / top).min(limit) } else { limit }
            }
        }
    }

    /// Largest absolute weight that a fixed scale can represent: where to clamp after a step.
    /// `None` for a scale that follows the weights.
    #[must_use]
    pub fn weight_limit(&self) -> Option<f64> {
        match self.scale {
            Scale::Fixed { scale } => Some(f64::from(self.max_code) / scale),
            Scale::MaxAbs { .. } => None,
        }
    }

    /// Writes the codes of `weights` into `codes`, which takes their length.
    pub fn codes<F: Real>(&self, weights: &[F], codes: &mut Vec<i16>) -> Quantised {
        let scale = self.scale(weights);
        let limit = f64::from(self.max_code);
        let mut clipped = 0;
        codes.clear();
        codes.extend(weights.iter().map(|w| {
            let code = libm::round(w.wide() * scale);
            clipped += usize::from(code.abs() > limit);
            code.clamp(-limit, limit) as i16
        }));
        Quantised { scale, clipped }
    }

    /// Rounds weights in place to what the chip would hold: `code/scale`.
    pub fn round_trip<F: Real>(&self, weights: &mut [F]) -> Quantised {
        let mut codes = Vec::with_capacity(weights.len());
        let quantised = self.codes(weights, &mut codes);
        for (weight, code) in weights.iter_mut().zip(codes) {
            *weight = F::of(f64::from(code) / quantised.scale);
        }
        quantised
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn codes_round_half_away_and_clip() {
        let quantiser = Quantiser { max_code: 63, scale: Scale::Fixed { scale: 240.0 } };
        let mut codes = Vec::new();
        let weights = [0.0_f64, 1.5 / 240.0, -2.5 / 240.0, 0.2625, 0.3, -9.0, 0.49 / 240.0];
        let done = quantiser.codes(&weights, &mut codes);
        assert_eq!(codes, [0, 2, -3, 63, 63, -63, 0]);
        assert_eq!(done, Quantised { scale: 240.0, clipped: 2 });
        assert_eq!(quantiser.weight_limit(), Some(0.2625));
    }

    #[test]
    fn largest_weight_gets_the_largest_code_up_to_the_limit() {
        let quantiser = Quantiser { max_code: 63, scale: Scale::MaxAbs { limit: 250.0 } };
        assert_eq!(quantiser.scale(&[0.5_f32, -1.0]), 63.0);
        assert_eq!(quantiser.scale(&[0.001_f32]), 250.0);
        assert_eq!(quantiser.scale::<f32>(&[]), 250.0);
        let mut codes = Vec::new();
        assert_eq!(quantiser.codes(&[0.5_f32, -1.0], &mut codes).clipped, 0);
        assert_eq!(codes, [32, -63]);
    }

    #[test]
    fn codes_survive_the_round_trip() {
        let quantiser = Quantiser { max_code: 63, scale: Scale::Fixed { scale: 240.0 } };
        let mut weights: Vec<f32> = (-63..=63).map(|code| code as f32 / 240.0 + 0.001).collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        quantiser.codes(&weights, &mut before);
        quantiser.round_trip(&mut weights);
        quantiser.codes(&weights, &mut after);
        assert_eq!(before, after);
    }
}
