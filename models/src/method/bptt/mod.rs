//! Back-propagation through time with surrogate derivatives, with or without measurements.
//!
//! One sample goes forward and backward at a time while its states are in cache. With `δ` for the
//! adjoint `∂L/∂·`, `r[t] = 1 − S[t]` for a multiplicative reset and 1 otherwise, `q = δP`:
//!
//! ```text
//! δV[t] = σ'(V[t] − θ) δS[t] + β q[t+1]            q[t] = r[t−1] δV[t]
//! δI[t] = α δI[t+1] + c q[t]      (new current)  |  α δI[t+1] + c q[t+1]      (old current)
//! δS[t] = ∂L/∂S + Wᵀ_above δI_above[t+1] + Rᵀ δI[t+1]  (− θ δV[t+1] or − P[t+1] δV[t+1] unless detached)
//! ∂L/∂W[i, ·] = Σ over spikes of input i at t of δI[t+1]
//! ```
//!
//! The weight gradient is gathered at spikes alone; the adjoint of the readout starts at the last
//! state that the loss looks at.
//!
//! **Measurements** (Cramer et al., PNAS 2022). `Ṽ = f(V_measured, x̃)` with `f(x, x̃) = x`,
//! `∂f/∂x = 0`, `∂f/∂x̃ = 1`: values come from the chip, Jacobians from the nominal model, and the
//! reset is detached. With spikes alone the membrane is the model's, reset by the measured spikes;
//! where a spike was measured σ' is then taken at the threshold
//! ([`BpttConfig::sigma_at_measured_spikes`]): the model's own membrane may be far from it there.
//! Measurements are never modified.
//!
//! **Order.** Sample `i` of the batch adds to lane `i mod 8`; lanes are summed in order. The result
//! depends neither on the number of threads nor on how the batch is cut into chunks.

pub(super) mod backward;
mod lane;

use rayon::prelude::*;

use self::lane::{Lane, Task};
use super::{Chunk, Gradients, Method, Need, Outcomes, Requirements};
use crate::engine::{Compiled, check_inputs, check_observation};
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::loss::Loss;
use crate::network::Network;
use crate::observation::Observation;
use crate::real::Real;
use crate::regularise::Regulariser;
use crate::surrogate::Surrogate;

/// Number of partial gradients; also the most threads that share a batch.
pub const LANES: usize = 8;

/// What is minimised and how measurements enter.
#[derive(Clone, Debug, PartialEq)]
pub struct BpttConfig {
    /// Loss on the readout.
    pub loss: Loss,
    /// Penalties.
    pub regularisers: Vec<Regulariser>,
    /// Where only spikes were measured: take σ' at the threshold where a spike was measured, instead
    /// of at the model's membrane.
    pub sigma_at_measured_spikes: bool,
}

/// How the error of the readout is turned into gradients.
#[derive(Clone, Debug)]
pub(super) enum Credit<F> {
    /// Back-propagation through time.
    ThroughTime,
    /// Straight to every hidden layer, through one matrix `[class, unit padded]` each: e-prop.
    Direct(Vec<Aligned<F>>),
    /// Sensitivities carried forward: real-time recurrent learning.
    Forward,
}

/// Back-propagation through time.
#[derive(Clone, Debug)]
pub struct Bptt<F> {
    config: BpttConfig,
    credit: Credit<F>,
    network: Compiled<F>,
    lanes: Vec<Lane<F>>,
    outcomes: Outcomes,
    gradients: Gradients<F>,
    /// Samples of the batch, once the first chunk has said so.
    batch: Option<usize>,
    accumulated: usize,
}

impl<F: Real> Bptt<F> {
    /// Memory and checks for networks of the shape of `network`.
    ///
    /// # Errors
    /// A network, loss or regulariser out of range; a surrogate that needs more than one sample.
    pub fn new(network: &Network<F>, config: BpttConfig) -> Result<Self> {
        Self::with_credit(network, config, Credit::ThroughTime)
    }

    /// The same batches, lanes and losses with another way to assign credit.
    pub(super) fn with_credit(
        network: &Network<F>,
        config: BpttConfig,
        credit: Credit<F>,
    ) -> Result<Self> {
        let compiled = Compiled::new(network)?;
        config.loss.check()?;
        config.regularisers.iter().try_for_each(|r| r.check())?;
        for (layer, compiled) in compiled.layers.iter().enumerate() {
            if let (true, Surrogate::SuperSpikeNormalised { .. }) =
                (compiled.spikes(), compiled.surrogate())
            {
                return Err(ModelError::UnsupportedSurrogate {
                    layer,
                    surrogate: compiled.surrogate().name(),
                    needs: "the gradients of the whole batch at every step",
                });
            }
        }
        let lanes = (0..LANES).map(|_| Lane::new(&compiled)).collect();
        let outcomes =
            Outcomes { spikes: vec![Vec::new(); compiled.hidden()], ..Outcomes::default() };
        Ok(Self {
            config,
            credit,
            network: compiled,
            lanes,
            outcomes,
            gradients: Gradients::zeros(network),
            batch: None,
            accumulated: 0,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &BpttConfig {
        &self.config
    }

    pub(super) fn set_credit(&mut self, credit: Credit<F>) {
        self.credit = credit;
    }

    fn check(&self, chunk: &Chunk<'_>, observation: Option<&Observation<F>>) -> Result<()> {
        let samples = chunk.inputs.samples();
        check_inputs(&self.network, chunk.inputs)?;
        if samples != chunk.labels.len() {
            return Err(ModelError::Input {
                what: "labels",
                expected: chunk.labels.len(),
                got: samples,
            });
        }
        let (end, batch) = (chunk.first + samples, chunk.batch);
        if end > batch || self.batch.is_some_and(|known| known != batch) {
            return Err(ModelError::Chunk { first: chunk.first, end, batch });
        }
        let classes = self.network.classes();
        if let Some((sample, &label)) =
            chunk.labels.iter().enumerate().find(|(_, l)| usize::from(**l) >= classes)
        {
            return Err(ModelError::Label { sample, label, classes });
        }
        if let Some(whole) = self.config.regularisers.iter().find(|r| r.needs_whole_batch())
            && samples < batch
        {
            return Err(ModelError::NeedsWholeBatch { name: whole.name(), got: samples, batch });
        }
        observation.map_or(Ok(()), |o| check_observation(&self.network, samples, o))
    }

    /// Brings the lanes' outcomes into the order of the chunk.
    fn collect(&mut self, chunk: &Chunk<'_>) {
        let samples = chunk.labels.len();
        self.outcomes.loss.resize(samples, 0.0);
        self.outcomes.predicted.resize(samples, 0);
        self.outcomes.spikes.iter_mut().for_each(|layer| layer.resize(samples, 0));
        for (index, lane) in self.lanes.iter().enumerate() {
            let hidden = self.outcomes.spikes.len();
            for (k, sample) in lane::samples(index, chunk.first, samples).enumerate() {
                self.outcomes.loss[sample] = lane.results[k].value;
                self.outcomes.predicted[sample] = lane.results[k].predicted;
                for layer in 0..hidden {
                    self.outcomes.spikes[layer][sample] = lane.spikes[k * hidden + layer];
                }
            }
        }
    }
}

impl<F: Real> Method<F> for Bptt<F> {
    fn requirements(&self) -> Requirements {
        Requirements {
            method: "bptt",
            hidden_spikes: Need::Required,
            hidden_membranes: Need::Used,
            readout_membranes: Need::Used,
        }
    }

    fn begin(&mut self, network: &Network<F>) -> Result<()> {
        self.network.load(network)?;
        self.lanes.par_iter_mut().for_each(Lane::clear);
        self.batch = None;
        self.accumulated = 0;
        Ok(())
    }

    fn accumulate(
        &mut self,
        chunk: &Chunk<'_>,
        observation: Option<&Observation<F>>,
    ) -> Result<&Outcomes> {
        self.check(chunk, observation)?;
        let (network, config) = (&self.network, &self.config);
        let credit = &self.credit;
        let mut task = Task { network, config, chunk, observation, credit, batch_counts: None };
        if config.regularisers.iter().any(|r| r.needs_whole_batch()) {
            task.batch_counts = Some(batch_counts(&mut self.lanes, &task));
        }
        self.lanes.par_iter_mut().enumerate().for_each(|(index, lane)| lane.run(index, &task));
        self.collect(chunk);
        self.batch = Some(chunk.batch);
        self.accumulated += chunk.labels.len();
        Ok(&self.outcomes)
    }

    fn finish(&mut self) -> Result<&Gradients<F>> {
        let batch = self.batch.unwrap_or(0);
        if self.accumulated != batch || batch == 0 {
            return Err(ModelError::Incomplete { batch, got: self.accumulated });
        }
        lane::reduce(&self.network, &self.lanes, &self.config.regularisers, &mut self.gradients);
        Ok(&self.gradients)
    }
}

/// Spikes of each unit of each hidden layer in the whole batch.
fn batch_counts<F: Real>(lanes: &mut [Lane<F>], task: &Task<'_, F>) -> Vec<Vec<f64>> {
    lanes.par_iter_mut().enumerate().for_each(|(index, lane)| lane.count(index, task));
    let hidden = &task.network.layers[..task.network.hidden()];
    let mut sums: Vec<Vec<f64>> = hidden.iter().map(|layer| vec![0.0; layer.units]).collect();
    for lane in lanes {
        for (sum, counts) in sums.iter_mut().zip(&lane.batch_counts) {
            sum.iter_mut().zip(counts).for_each(|(s, c)| *s += c);
        }
    }
    sums
}

#[cfg(test)]
mod tests;
