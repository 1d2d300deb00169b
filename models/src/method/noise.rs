//! Noise injection: stochastic spikes make the expected loss differentiable.
//!
//! A neuron with escape noise fires in a step with probability `p = σ(β (V − θ))` (Gerstner & Kistler 2002, in
//! discrete time; β = 10). Two gradients:
//!
//! * **sampled**: spikes are drawn, and the gradient goes straight through the draw, `∂S/∂V := p'(V − θ)` (Bengio,
//!   Léonard & Courville 2013), averaged over some draws of every sample. Given the membrane, `E[S] = p`: through a
//!   single layer and a linear loss that is the gradient of the expectation; through several layers or a curved loss
//!   it is biased;
//! * **expected**: every neuron sends `p` itself. No draw, no variance; but it is the gradient of the network of the mean
//!   activity, which is not the mean of the network.
//!
//! The network is trained and reported with noise off (hard spikes) or on, as the caller likes.

use serde::{Deserialize, Serialize};

use super::bptt::{Bptt, BpttConfig};
use super::smooth;
use super::{Chunk, Gradients, Method, Need, Outcomes, Requirements};
use crate::error::{ModelError, Result};
use crate::layer::Forward;
use crate::network::Network;
use crate::observation::Observation;
use crate::real::Real;
use crate::surrogate::Surrogate;

/// Most draws of a sample in one step of the optimizer.
const MOST_DRAWS: usize = 1024;

/// Which gradient of the expected loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimate {
    /// Straight through drawn spikes.
    #[default]
    Sampled,
    /// Of the mean activity.
    Expected,
}

/// Escape noise in every spiking layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Noise {
    /// Steepness β of the escape probability, in units of 1/θ.
    pub beta: f64,
    /// Which gradient.
    pub estimate: Estimate,
    /// Draws of every sample; 1 is enough for [`Estimate::Expected`].
    pub draws: usize,
}

impl Default for Noise {
    fn default() -> Self {
        Self { beta: 10.0, estimate: Estimate::Sampled, draws: 1 }
    }
}

impl Noise {
    /// Checks every parameter.
    ///
    /// # Errors
    /// A steepness that is not positive, no or too many draws.
    pub fn check(self) -> Result<()> {
        if !(self.beta.is_finite() && self.beta > 0.0) {
            let must = "it must be positive";
            return Err(ModelError::Parameter { what: "noise.beta", got: self.beta, must });
        }
        if self.draws == 0 || self.draws > MOST_DRAWS {
            return Err(ModelError::Size { what: "noise.draws", got: self.draws, max: MOST_DRAWS });
        }
        Ok(())
    }

    /// Turns the noise on in the spiking layers of `network`: what is drawn, or its mean.
    pub fn disturb<F: Real>(self, network: &mut Network<F>) {
        let forward = match self.estimate {
            Estimate::Sampled => Forward::Sampled,
            Estimate::Expected => Forward::Smooth,
        };
        smooth::set(network, Surrogate::Sigmoid { beta: self.beta }, forward);
    }
}

/// Learning with escape noise, as a method: takes networks without noise and turns it on itself.
#[derive(Clone, Debug)]
pub struct NoisyBptt<F> {
    noise: Noise,
    bptt: Bptt<F>,
    noisy: Network<F>,
    outcomes: Outcomes,
}

impl<F: Real> NoisyBptt<F> {
    /// Memory and checks for networks of the shape of `network`.
    ///
    /// # Errors
    /// A network, loss or noise out of range.
    pub fn new(network: &Network<F>, config: BpttConfig, noise: Noise) -> Result<Self> {
        noise.check()?;
        let mut noisy = network.clone();
        noise.disturb(&mut noisy);
        Ok(Self { noise, bptt: Bptt::new(&noisy, config)?, noisy, outcomes: Outcomes::default() })
    }
}

impl<F: Real> Method<F> for NoisyBptt<F> {
    /// The noise is drawn by the model: a chip has its own.
    fn requirements(&self) -> Requirements {
        Requirements {
            method: "escape-noise",
            hidden_spikes: Need::Unused,
            hidden_membranes: Need::Unused,
            readout_membranes: Need::Unused,
        }
    }

    fn begin(&mut self, network: &Network<F>) -> Result<()> {
        self.noisy.clone_from(network);
        self.noise.disturb(&mut self.noisy);
        self.bptt.begin(&self.noisy)
    }

    /// The outcomes are those of the first draw, the loss is the mean of all draws. Measurements are ignored.
    fn accumulate(
        &mut self,
        chunk: &Chunk<'_>,
        _observation: Option<&Observation<F>>,
    ) -> Result<&Outcomes> {
        let draws = self.noise.draws;
        for draw in 0..draws {
            // Draws are samples of a larger batch: each has its own key, and the mean is over all.
            let first = draw * chunk.batch + chunk.first;
            let part = Chunk { first, batch: draws * chunk.batch, ..*chunk };
            let outcomes = self.bptt.accumulate(&part, None)?;
            if draw == 0 {
                self.outcomes.clone_from(outcomes);
            } else {
                self.outcomes.loss.iter_mut().zip(&outcomes.loss).for_each(|(l, o)| *l += o);
            }
        }
        self.outcomes.loss.iter_mut().for_each(|l| *l /= draws as f64);
        Ok(&self.outcomes)
    }

    fn finish(&mut self) -> Result<&Gradients<F>> {
        self.bptt.finish()
    }
}

#[cfg(test)]
mod tests;
