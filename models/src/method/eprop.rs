//! e-prop (Bellec et al., Nature Communications 2020): eligibility traces at the synapse times a
//! learning signal from the readout. No error travels back through layers or recurrent weights.
//!
//! # Equations
//!
//! In the notation of [`layer`](crate::layer), for a synapse from `i` to unit `j` of a hidden layer,
//! with `r[t] = 1 − S_j[t]` for a multiplicative reset and 1 otherwise:
//!
//! ```text
//! ε_I[t+1] = α ε_I[t] + x_i[t]
//! ε_V[t+1] = r[t] (β ε_V[t] + c D)                 D = ε_I[t+1] (new) or ε_I[t] (old)
//!            − ∂reset/∂S · e[t]                    unless the reset is detached
//! e[t]     = σ'(V_j[t] − θ) ε_V[t]                 eligibility: what the unit alone knows
//! ē_k      = e filtered as a spike is by readout k (its α, β, c)
//! ∂L/∂w_ij ≈ Σ_t Σ_k B_kj ∂L/∂O_k[t] ē_k[t]        three factors
//! ```
//!
//! What BPTT has besides is the influence of a spike on other hidden units. For the last hidden layer
//! without recurrence there is none, and with symmetric feedback the gradient equals BPTT's. In a
//! recurrent layer this is SnAp-1 without the self-synapse (Menick et al. 2021). The readout's own
//! gradient is exact.
//!
//! # Feedback
//!
//! [`Feedback::Symmetric`]: `B` is the weights to the readout; of a layer further down, the product of
//! the weights on the way, without the derivatives between (an approximation of ours: the published
//! method has one hidden layer). [`Feedback::Random`]: `B ~ N(0, std)`, fixed (broadcast alignment).
//!
//! # Order of the sums
//!
//! Here the whole sample is at hand, so that the double sum over the spike of `i` and the later error
//! is taken from the error's side: `Σ_t L[t] Σ_{s ≤ t} κ[t, s] x[s] = Σ_s x[s] Σ_{t ≥ s} κ[t, s] L[t]`,
//! with the loops of [`bptt`](super::bptt) and its cost, proportional to spikes, instead of one trace
//! for every synapse. The two differ by rounding (tested against traces carried forward). The
//! *memory* advantage of e-prop belongs to an implementation on the device, not to this one.

use serde::{Deserialize, Serialize};

use super::bptt::{Bptt, BpttConfig, Credit};
use super::{Chunk, Gradients, Method, Need, Outcomes, Requirements};
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::rows::padded;
use crate::network::Network;
use crate::observation::Observation;
use crate::random;
use crate::real::Real;

/// How the error of the readout reaches hidden units. In a configuration:
/// `feedback = { kind = "random", std = 1.0 }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Feedback {
    /// Through the weights to the readout, as they are at present.
    #[default]
    Symmetric,
    /// Through fixed random weights `N(0, std)`.
    Random {
        /// Standard deviation; 1 is published.
        #[serde(default = "one")]
        std: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl Feedback {
    /// Checks the parameter.
    ///
    /// # Errors
    /// A standard deviation that is not positive.
    pub fn check(self) -> Result<()> {
        match self {
            Self::Random { std } if !(std.is_finite() && std > 0.0) => Err(ModelError::Parameter {
                what: "learning.feedback.std",
                got: std,
                must: "it must be positive",
            }),
            _ => Ok(()),
        }
    }
}

/// Learning by eligibility traces.
#[derive(Clone, Debug)]
pub struct Eprop<F> {
    inner: Bptt<F>,
    feedback: Feedback,
}

impl<F: Real> Eprop<F> {
    /// Memory and checks for networks of the shape of `network`. Random feedback to hidden layer `l`
    /// is stream `l` of `seed`.
    ///
    /// # Errors
    /// As [`Bptt::new`]; feedback out of range.
    pub fn new(
        network: &Network<F>,
        config: BpttConfig,
        feedback: Feedback,
        seed: u64,
    ) -> Result<Self> {
        feedback.check()?;
        let credit = match feedback {
            Feedback::Symmetric => Credit::Direct(symmetric(network)),
            Feedback::Random { std } => Credit::Direct(drawn(network, std, seed)),
        };
        Ok(Self { inner: Bptt::with_credit(network, config, credit)?, feedback })
    }
}

impl<F: Real> Method<F> for Eprop<F> {
    fn requirements(&self) -> Requirements {
        Requirements {
            method: "eprop",
            hidden_spikes: Need::Required,
            hidden_membranes: Need::Used,
            readout_membranes: Need::Used,
        }
    }

    fn begin(&mut self, network: &Network<F>) -> Result<()> {
        self.inner.begin(network)?;
        if self.feedback == Feedback::Symmetric {
            self.inner.set_credit(Credit::Direct(symmetric(network)));
        }
        Ok(())
    }

    fn accumulate(
        &mut self,
        chunk: &Chunk<'_>,
        observation: Option<&Observation<F>>,
    ) -> Result<&Outcomes> {
        self.inner.accumulate(chunk, observation)
    }

    fn finish(&mut self) -> Result<&Gradients<F>> {
        self.inner.finish()
    }
}

/// `[class, unit padded]` for every hidden layer: products of the weights on the way to the readout.
fn symmetric<F: Real>(network: &Network<F>) -> Vec<Aligned<F>> {
    let classes = network.classes();
    let mut matrices: Vec<Aligned<F>> = Vec::new();
    for layer in network.layers.iter().skip(1).rev() {
        let (below, units) = layer.weights.dim();
        let stride = padded(below);
        let mut matrix = Aligned::zeros(classes * stride);
        for (class, row) in matrix.chunks_exact_mut(stride).enumerate() {
            for (unit, to) in row[..below].iter_mut().enumerate() {
                *to = match matrices.last() {
                    None => layer.weights[[unit, class]],
                    Some(above) => {
                        let above = &above[class * padded(units)..][..units];
                        let mut sum = F::zero();
                        for (w, a) in layer.weights.row(unit).iter().zip(above) {
                            sum += *w * *a;
                        }
                        sum
                    }
                };
            }
        }
        matrices.push(matrix);
    }
    matrices.reverse();
    matrices
}

/// The same shapes with fixed random numbers.
fn drawn<F: Real>(network: &Network<F>, std: f64, seed: u64) -> Vec<Aligned<F>> {
    let (classes, hidden) = (network.classes(), network.layers.len().saturating_sub(1));
    network.layers[..hidden]
        .iter()
        .enumerate()
        .map(|(l, layer)| {
            let mut rng = random::stream(seed, l as u64);
            let stride = padded(layer.spec.units);
            let mut matrix = Aligned::zeros(classes * stride);
            for row in matrix.chunks_exact_mut(stride) {
                row[..layer.spec.units]
                    .iter_mut()
                    .for_each(|b| *b = F::of(std * random::normal(&mut rng)));
            }
            matrix
        })
        .collect()
}

#[cfg(test)]
mod tests;
