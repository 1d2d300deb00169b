//! A lane: the partial gradient of every eighth sample, with the memory to compute it.

use ndarray::Array2;
use rayon::prelude::*;

use super::backward::{Adjoints, LaneGradient, backward};
use super::{BpttConfig, Credit, LANES};
use crate::engine::{Compiled, Trace, encoder_gradient, forward};
use crate::kernel::rows::{padded, sum_rows};
use crate::loss::{LossScratch, Readout, SampleLoss};
use crate::method::rtrl::Sensitivities;
use crate::method::{Chunk, Gradients};
use crate::observation::Observation;
use crate::random::mix;
use crate::real::Real;
use crate::regularise::Regulariser;

/// What all lanes work on.
pub(super) struct Task<'a, F> {
    pub(super) network: &'a Compiled<F>,
    pub(super) config: &'a BpttConfig,
    pub(super) chunk: &'a Chunk<'a>,
    pub(super) observation: Option<&'a Observation<F>>,
    pub(super) credit: &'a Credit<F>,
    pub(super) batch_counts: Option<Vec<Vec<f64>>>,
}

impl<F> Task<'_, F> {
    /// Key of a sample of the chunk, for what is drawn for it.
    fn key(&self, sample: usize) -> u64 {
        mix(self.chunk.tie_break_key, (self.chunk.first + sample) as u64)
    }
}

/// One lane.
#[derive(Clone, Debug)]
pub(super) struct Lane<F> {
    trace: Trace<F>,
    adjoints: Adjoints<F>,
    gradients: Vec<LaneGradient<F>>,
    loss: LossScratch,
    counts: Vec<f64>,
    slopes: Vec<f64>,
    /// Of the samples of this lane in the chunk, in order.
    pub(super) results: Vec<SampleLoss>,
    /// `[sample, hidden layer]`.
    pub(super) spikes: Vec<u32>,
    /// Spikes of each unit of each hidden layer over the samples of this lane.
    pub(super) batch_counts: Vec<Vec<f64>>,
    regularisation: f64,
    /// Made when it is first needed.
    forward_mode: Option<Sensitivities<F>>,
}

/// Indices in the chunk of the samples that lane `lane` takes.
pub(super) fn samples(lane: usize, first: usize, samples: usize) -> impl Iterator<Item = usize> {
    let start = (lane + LANES - first % LANES) % LANES;
    (start..samples).step_by(LANES)
}

impl<F: Real> Lane<F> {
    pub(super) fn new(network: &Compiled<F>) -> Self {
        Self {
            trace: Trace::new(network, false),
            adjoints: Adjoints::new(network),
            gradients: network.layers.iter().map(LaneGradient::new).collect(),
            loss: LossScratch::default(),
            counts: Vec::new(),
            slopes: Vec::new(),
            results: Vec::new(),
            spikes: Vec::new(),
            batch_counts: Vec::new(),
            regularisation: 0.0,
            forward_mode: None,
        }
    }

    /// Zeroes the gradient.
    pub(super) fn clear(&mut self) {
        self.gradients.iter_mut().for_each(LaneGradient::clear);
        self.regularisation = 0.0;
    }

    /// Forward pass alone, for the spike counts of the batch.
    pub(super) fn count(&mut self, index: usize, task: &Task<'_, F>) {
        let hidden = task.network.hidden();
        self.batch_counts =
            task.network.layers[..hidden].iter().map(|layer| vec![0.0; layer.units]).collect();
        for sample in samples(index, task.chunk.first, task.chunk.labels.len()) {
            self.forward(sample, task);
            for (layer, sums) in self.batch_counts.iter_mut().enumerate() {
                self.counts.resize(sums.len(), 0.0);
                self.trace.layers[layer].counts(&mut self.counts);
                sums.iter_mut().zip(&self.counts).for_each(|(s, c)| *s += c);
            }
        }
    }

    /// Forward and backward pass of the samples of this lane.
    pub(super) fn run(&mut self, index: usize, task: &Task<'_, F>) {
        self.results.clear();
        self.spikes.clear();
        for sample in samples(index, task.chunk.first, task.chunk.labels.len()) {
            self.forward(sample, task);
            let result = self.evaluate(sample, task);
            for layer in 0..task.network.hidden() {
                self.spikes.push(self.trace.layers[layer].total() as u32);
                self.regularise(layer, task);
            }
            self.results.push(result);
            let measured = task.observation.map_or(&[][..], |o| &o.layers);
            let input = self.trace.input(task.chunk.inputs, sample);
            let (network, trace, last) = (task.network, &self.trace, result.last);
            let (adjoints, gradients) = (&mut self.adjoints, &mut self.gradients);
            let feedback = match task.credit {
                Credit::ThroughTime => None,
                Credit::Direct(feedback) => Some(feedback.as_slice()),
                Credit::Forward => {
                    let memory =
                        self.forward_mode.get_or_insert_with(|| Sensitivities::new(network));
                    memory.run(network, trace, adjoints, gradients, input, measured, last);
                    continue;
                }
            };
            backward(network, trace, adjoints, gradients, input, measured, last, feedback);
        }
    }

    fn forward(&mut self, sample: usize, task: &Task<'_, F>) {
        let at_threshold = task.config.sigma_at_measured_spikes;
        forward(
            task.network,
            &mut self.trace,
            task.chunk.inputs,
            sample,
            task.observation,
            at_threshold,
            task.key(sample),
        );
    }

    fn evaluate(&mut self, sample: usize, task: &Task<'_, F>) -> SampleLoss {
        let top = task.network.layers.len() - 1;
        let layer = &task.network.layers[top];
        let membrane = &self.trace.layers[top].v;
        let readout = Readout { membrane, stride: layer.stride, classes: layer.units };
        let key = task.key(sample);
        let label = Some(task.chunk.labels[sample]);
        let weight = 1.0 / task.chunk.batch as f64;
        task.config.loss.evaluate(
            readout,
            label,
            key,
            weight,
            &mut self.adjoints.readout,
            &mut self.loss,
        )
    }

    /// Writes the adjoint of the spikes of a layer that is constant in time.
    fn regularise(&mut self, layer: usize, task: &Task<'_, F>) {
        let adjoint = &mut self.adjoints.layers[layer];
        if !task.config.regularisers.iter().any(|r| r.on_spikes()) {
            return;
        }
        let units = task.network.layers[layer].units;
        self.counts.resize(units, 0.0);
        self.slopes.clear();
        self.slopes.resize(units, 0.0);
        self.trace.layers[layer].counts(&mut self.counts);
        for regulariser in task.config.regularisers.iter().filter(|r| r.on_spikes()) {
            let sums = task.batch_counts.as_ref().map(|sums| sums[layer].as_slice());
            self.regularisation +=
                regulariser.on_counts(&self.counts, task.chunk.batch, sums, &mut self.slopes);
        }
        adjoint.constant_active = self.slopes.iter().any(|s| *s != 0.0);
        adjoint.constant.iter_mut().zip(&self.slopes).for_each(|(c, s)| *c = F::of(*s));
    }
}

/// Sums the lanes in order and adds the regularisers of the weights.
pub(super) fn reduce<F: Real>(
    network: &Compiled<F>,
    lanes: &[Lane<F>],
    regularisers: &[Regulariser],
    out: &mut Gradients<F>,
) {
    out.regularisation = lanes.iter().map(|lane| lane.regularisation).sum();
    let decay: f64 = regularisers.iter().filter(|r| !r.on_spikes()).map(|r| r.strength()).sum();
    for (index, (layer, gradient)) in network.layers.iter().zip(&mut out.layers).enumerate() {
        let partial: Vec<&[F]> = lanes.iter().map(|lane| &*lane.gradients[index].weights).collect();
        out.regularisation += sum_lanes(&mut gradient.weights, &partial, &layer.weights, decay);
        if let Some(parameters) = &layer.encoder {
            encoder_gradient(parameters, &mut gradient.weights);
        }
        if let (Some(gradient), Some(weights)) = (&mut gradient.recurrent, &layer.recurrent) {
            let partial: Vec<&[F]> =
                lanes.iter().map(|lane| &*lane.gradients[index].recurrent).collect();
            out.regularisation += sum_lanes(gradient, &partial, weights, decay);
        }
    }
}

/// One matrix; returns `decay · mean(W²)`.
fn sum_lanes<F: Real>(out: &mut Array2<F>, lanes: &[&[F]], weights: &[F], decay: f64) -> f64 {
    let (columns, count) = (out.ncols(), out.len() as f64);
    let stride = padded(columns);
    let slope = F::of(2.0 * decay / count);
    let Some(values) = out.as_slice_mut() else { return 0.0 };
    values.par_chunks_mut(columns).with_min_len(32).enumerate().for_each(|(row, out)| {
        sum_rows(out, lanes, row * stride, weights, slope);
    });
    if decay > 0.0 {
        decay / count * weights.iter().map(|w| w.wide() * w.wide()).sum::<f64>()
    } else {
        0.0
    }
}
