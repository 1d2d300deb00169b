//! Ways to learn. A [`Method`] turns a batch, with or without measurements, into gradients.
//!
//! A batch is passed in one or several chunks, as a chip returns them; the result depends neither
//! on the cut nor on the number of threads. What a method needs of a chip is data
//! ([`Requirements`]), checked before the first run.

pub mod bptt;
pub mod burst;
pub mod competing;
pub mod decolle;
pub mod eprop;
pub mod first_spike;
pub mod ltts;
pub mod noise;
pub mod rate;
pub mod rtrl;
pub mod smooth;
pub mod superspike;
pub mod translation;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::network::Network;
use crate::observation::Observation;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// How much a method wants an observable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Without it the method cannot learn on a chip.
    Required,
    /// Used if there, replaced by the model if not.
    Used,
    /// Ignored.
    Unused,
}

/// What a method needs of a chip that runs the forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirements {
    /// Name of the method.
    pub method: &'static str,
    /// Spikes of the hidden layers.
    pub hidden_spikes: Need,
    /// Membranes of the hidden layers.
    pub hidden_membranes: Need,
    /// Membranes of the readout.
    pub readout_membranes: Need,
}

impl Requirements {
    /// Checks what a chip records against what the method needs.
    ///
    /// # Errors
    /// [`ModelError::Requirement`] names the first required observable that is missing.
    pub fn check(
        &self,
        hidden_spikes: bool,
        hidden_membranes: bool,
        readout_membranes: bool,
    ) -> Result<()> {
        let missing = |need: Need, there: bool| need == Need::Required && !there;
        let what = if missing(self.hidden_spikes, hidden_spikes) {
            "spikes of the hidden layers"
        } else if missing(self.hidden_membranes, hidden_membranes) {
            "membranes of the hidden layers"
        } else if missing(self.readout_membranes, readout_membranes) {
            "membranes of the readout"
        } else {
            return Ok(());
        };
        Err(ModelError::Requirement { method: self.method, missing: what })
    }
}

/// Consecutive samples of a batch of the optimizer.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// Input spikes of the samples of the chunk (all samples of the container).
    pub inputs: &'a SpikeTrains,
    /// Class of each sample of the chunk.
    pub labels: &'a [u16],
    /// Index in the batch of the first sample of the chunk.
    pub first: usize,
    /// Samples of the whole batch; means are taken over it.
    pub batch: usize,
    /// Key of the hash that breaks ties; the same for all chunks of a batch.
    pub tie_break_key: u64,
}

/// What happened to each sample of a chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// Loss of each sample, without regularisers and not divided by the batch.
    pub loss: Vec<f64>,
    /// Class predicted for each sample.
    pub predicted: Vec<u16>,
    /// `spikes[layer][sample]`: spikes of each spiking layer, from the first hidden layer.
    pub spikes: Vec<Vec<u32>>,
}

/// Gradient of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerGradient<F> {
    /// Of the feed-forward weights `[pre, post]`.
    pub weights: Array2<F>,
    /// Of the recurrent weights `[pre, post]`.
    pub recurrent: Option<Array2<F>>,
}

/// Gradient of the mean loss over the batch plus regularisers.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<F> {
    /// One entry per layer.
    pub layers: Vec<LayerGradient<F>>,
    /// Value of the regularisers, spikes and weights.
    pub regularisation: f64,
}

impl<F: Real> Gradients<F> {
    /// Zeros in the shapes of `network`.
    #[must_use]
    pub fn zeros(network: &Network<F>) -> Self {
        let layers = network
            .layers
            .iter()
            .map(|layer| LayerGradient {
                weights: Array2::zeros(layer.weights.raw_dim()),
                recurrent: layer.recurrent.as_ref().map(|r| Array2::zeros(r.raw_dim())),
            })
            .collect();
        Self { layers, regularisation: 0.0 }
    }
}

/// A way to learn from batches.
///
/// Call [`Method::begin`], then [`Method::accumulate`] for every chunk of the batch, then
/// [`Method::finish`].
pub trait Method<F: Real>: Send {
    /// What the method needs of a chip.
    fn requirements(&self) -> Requirements;

    /// Starts a batch: takes the weights of `network` and zeroes the gradients.
    ///
    /// # Errors
    /// A network that is not the one the method was made for.
    fn begin(&mut self, network: &Network<F>) -> Result<()>;

    /// Adds the gradient of a chunk. Without `observation` the model runs the forward pass; with
    /// one, measured values go forward and the gradient flows as if they had been simulated.
    ///
    /// # Errors
    /// Sizes or labels that do not fit, a measurement that is missing.
    fn accumulate(
        &mut self,
        chunk: &Chunk<'_>,
        observation: Option<&Observation<F>>,
    ) -> Result<&Outcomes>;

    /// Ends the batch: sums in a fixed order and adds the regularisers of the weights.
    ///
    /// # Errors
    /// A batch whose samples were not all accumulated.
    fn finish(&mut self) -> Result<&Gradients<F>>;
}
