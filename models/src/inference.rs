//! Forward passes without gradients: predictions, spike counts, recordings.

use rayon::prelude::*;

use crate::engine::{Compiled, Trace, check_inputs, check_observation, forward};
use crate::error::{ModelError, Result};
use crate::loss::{Loss, LossScratch, Readout};
use crate::method::Outcomes;
use crate::network::Network;
use crate::observation::Observation;
use crate::random::mix;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Samples that one task takes.
const TASK: usize = 16;

/// What to run: samples with or without labels and measurements.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, F> {
    /// Input spikes.
    pub inputs: &'a SpikeTrains,
    /// Classes; without them no loss is reported.
    pub labels: Option<&'a [u16]>,
    /// Index of the first sample in its batch or data set, for the tie breaker.
    pub first: usize,
    /// Key of the hash that breaks ties.
    pub tie_break_key: u64,
    /// Measurements of the samples.
    pub observation: Option<&'a Observation<F>>,
}

impl<F> Batch<'_, F> {
    /// Key of a sample, for what is drawn for it.
    fn key(&self, sample: usize) -> u64 {
        mix(self.tie_break_key, (self.first + sample) as u64)
    }
}

/// States of one layer during one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRecording<F> {
    /// Membranes `[state, unit]`: as measured where they were measured, otherwise as modelled.
    pub membrane: Vec<F>,
    /// Currents `[state, unit]`; zero for layers with measured membranes, which need none.
    pub current: Vec<F>,
    /// Spikes of the sample.
    pub spikes: SpikeTrains,
}

/// A network that is run, not trained.
#[derive(Clone, Debug)]
pub struct Inference<F> {
    network: Compiled<F>,
    loss: Loss,
    workers: Vec<Worker<F>>,
    outcomes: Outcomes,
}

/// Memory of one task.
#[derive(Clone, Debug)]
struct Worker<F> {
    trace: Trace<F>,
    loss: LossScratch,
    adjoint: Vec<F>,
    results: Vec<(f64, u16)>,
    spikes: Vec<u32>,
}

impl<F: Real> Inference<F> {
    /// Takes the weights of `network`; `loss` decides how the readout becomes a class.
    ///
    /// # Errors
    /// A network or loss out of range.
    pub fn new(network: &Network<F>, loss: Loss) -> Result<Self> {
        loss.check()?;
        let network = Compiled::new(network)?;
        let outcomes =
            Outcomes { spikes: vec![Vec::new(); network.hidden()], ..Outcomes::default() };
        Ok(Self { network, loss, workers: Vec::new(), outcomes })
    }

    /// Takes new weights and parameters of a network of the same shape.
    ///
    /// # Errors
    /// Another shape, parameters out of range.
    pub fn refresh(&mut self, network: &Network<F>) -> Result<()> {
        self.network.load(network)
    }

    /// Runs all samples of `batch` on all threads; results do not depend on their number.
    ///
    /// # Errors
    /// Sizes, labels or measurements that do not fit.
    pub fn run(&mut self, batch: &Batch<'_, F>) -> Result<&Outcomes> {
        let samples = batch.inputs.samples();
        self.check(batch, samples)?;
        let (network, loss) = (&self.network, self.loss);
        let tasks = samples.div_ceil(TASK);
        if self.workers.len() < tasks.min(4 * rayon::current_num_threads()) {
            let wanted = tasks.min(4 * rayon::current_num_threads());
            self.workers.resize_with(wanted, || Worker::new(network));
        }
        let share = samples.div_ceil(self.workers.len().max(1)).max(1);
        self.workers.par_iter_mut().enumerate().for_each(|(index, worker)| {
            worker.results.clear();
            worker.spikes.clear();
            for sample in index * share..((index + 1) * share).min(samples) {
                worker.run(network, loss, batch, sample);
            }
        });
        self.collect(batch.labels.is_some());
        Ok(&self.outcomes)
    }

    /// Records all states of `sample` of `batch`, one entry per layer.
    ///
    /// # Errors
    /// As [`Inference::run`]; a sample that does not exist.
    pub fn record(&self, batch: &Batch<'_, F>, sample: usize) -> Result<Vec<LayerRecording<F>>> {
        let samples = batch.inputs.samples();
        self.check(batch, samples)?;
        if sample >= samples {
            return Err(ModelError::Input {
                what: "samples, as asked for",
                expected: sample + 1,
                got: samples,
            });
        }
        let mut trace = Trace::new(&self.network, true);
        let key = batch.key(sample);
        forward(&self.network, &mut trace, batch.inputs, sample, batch.observation, false, key);
        let steps = self.network.steps;
        let unpadded = |values: &[F], stride: usize, units: usize| {
            values.chunks_exact(stride).flat_map(|row| &row[..units]).copied().collect()
        };
        let record =
            |(layer, trace): (&crate::engine::CompiledLayer<F>, &crate::engine::LayerTrace<F>)| {
                let mut spikes = SpikeTrains::new(steps, layer.units);
                for t in 0..steps {
                    if !layer.smooth() {
                        trace.events(t).0.iter().for_each(|id| spikes.push(*id));
                    }
                    spikes.end_step();
                }
                LayerRecording {
                    membrane: unpadded(&trace.v, layer.stride, layer.units),
                    current: unpadded(&trace.currents, layer.stride, layer.units),
                    spikes,
                }
            };
        Ok(self.network.layers.iter().zip(&trace.layers).map(record).collect())
    }

    fn check(&self, batch: &Batch<'_, F>, samples: usize) -> Result<()> {
        check_inputs(&self.network, batch.inputs)?;
        if let Some(labels) = batch.labels {
            if labels.len() != samples {
                return Err(ModelError::Input {
                    what: "labels",
                    expected: labels.len(),
                    got: samples,
                });
            }
            let classes = self.network.classes();
            if let Some((sample, &label)) =
                labels.iter().enumerate().find(|(_, l)| usize::from(**l) >= classes)
            {
                return Err(ModelError::Label { sample, label, classes });
            }
        }
        batch.observation.map_or(Ok(()), |o| check_observation(&self.network, samples, o))
    }

    fn collect(&mut self, labelled: bool) {
        let hidden = self.outcomes.spikes.len();
        self.outcomes.loss.clear();
        self.outcomes.predicted.clear();
        self.outcomes.spikes.iter_mut().for_each(Vec::clear);
        for worker in &self.workers {
            for (loss, predicted) in &worker.results {
                if labelled {
                    self.outcomes.loss.push(*loss);
                }
                self.outcomes.predicted.push(*predicted);
            }
            for (k, spikes) in worker.spikes.iter().enumerate() {
                self.outcomes.spikes[k % hidden].push(*spikes);
            }
        }
    }
}

impl<F: Real> Worker<F> {
    fn new(network: &Compiled<F>) -> Self {
        let stride = network.layers.last().map_or(0, |layer| layer.stride);
        Self {
            trace: Trace::new(network, false),
            loss: LossScratch::default(),
            adjoint: vec![F::zero(); network.steps * stride],
            results: Vec::new(),
            spikes: Vec::new(),
        }
    }

    fn run(&mut self, network: &Compiled<F>, loss: Loss, batch: &Batch<'_, F>, sample: usize) {
        let key = batch.key(sample);
        forward(network, &mut self.trace, batch.inputs, sample, batch.observation, false, key);
        let top = network.layers.len() - 1;
        let layer = &network.layers[top];
        let readout = Readout {
            membrane: &self.trace.layers[top].v,
            stride: layer.stride,
            classes: layer.units,
        };
        let label = batch.labels.map(|labels| labels[sample]);
        let result = loss.evaluate(readout, label, key, 1.0, &mut self.adjoint, &mut self.loss);
        self.results.push((result.value, result.predicted));
        self.spikes
            .extend(self.trace.layers[..network.hidden()].iter().map(|layer| layer.total() as u32));
    }
}

#[cfg(test)]
mod tests;
