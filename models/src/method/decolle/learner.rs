//! From local errors to weights: gradients summed over samples in order, and the optimizer.

use rayon::prelude::*;

use super::config::DecolleConfig;
use super::geometry::correlate;
use super::kernel::{TOGETHER, add, outer, weighted};
use super::layer::Layer;
use super::sample::Sample;
use crate::kernel::aligned::Aligned;
use crate::optim::{self, Rule};
use crate::real::Real;

/// Rows of a weight matrix that one task works on; a multiple of [`TOGETHER`].
const ROWS: usize = 16;

/// Gradient and moments of one array.
#[derive(Clone, Debug)]
pub(super) struct Slot<F> {
    pub(super) gradient: Aligned<F>,
    pub(super) moments: Vec<Vec<F>>,
}

impl<F: Real> Slot<F> {
    fn new(rule: Rule, len: usize) -> Self {
        let fresh = |name: &&str| vec![if *name == "memory" { F::one() } else { F::zero() }; len];
        Self { gradient: Aligned::zeros(len), moments: rule.moments().iter().map(fresh).collect() }
    }

    fn update(&mut self, rule: Rule, steps: u64, weights: &mut [F], rate: f64) {
        optim::update(rule, steps, weights, &self.gradient, &mut self.moments, rate);
        self.gradient.fill(F::zero());
    }
}

/// What a layer needs to learn.
#[derive(Clone, Debug)]
pub(super) struct Learner<F> {
    pub(super) weights: Slot<F>,
    pub(super) bias: Slot<F>,
}

/// Local errors of all samples: `[sample, total]`, those of one layer from `offset` on.
#[derive(Clone, Copy)]
pub(super) struct Errors<'a, F> {
    pub(super) delta: &'a [F],
    pub(super) total: usize,
    pub(super) offset: usize,
}

/// Samples with a trace in four rows, and the traces; memory of one task.
struct Lists<F> {
    ids: Vec<u16>,
    values: Vec<[F; TOGETHER]>,
}

impl<F> Default for Lists<F> {
    fn default() -> Self {
        Self { ids: Vec::new(), values: Vec::new() }
    }
}

impl<F: Real> Lists<F> {
    /// Traces are padded with zeros, so that four can always be read.
    fn fill<'a>(&mut self, traces: impl Iterator<Item = &'a [F]>) {
        self.ids.clear();
        self.values.clear();
        for (sample, traces) in traces.enumerate() {
            if let Some(four) = traces.first_chunk::<TOGETHER>()
                && four.iter().any(|p| *p != F::zero())
            {
                self.ids.push(sample as u16);
                self.values.push(*four);
            }
        }
    }
}

impl<F: Real> Learner<F> {
    pub(super) fn new(layer: &Layer<F>, config: &DecolleConfig) -> Self {
        let slot = |len| Slot::new(config.optimizer, len);
        Self { weights: slot(layer.weights.len()), bias: slot(layer.bias.len()) }
    }

    /// `∂L/∂W += Σ P δ`, `∂L/∂b += Σ δ` over the samples, in order.
    pub(super) fn accumulate(
        &mut self,
        l: usize,
        layer: &Layer<F>,
        samples: &[Sample<F>],
        errors: Errors<'_, F>,
    ) {
        let g = &layer.geometry;
        let of = |b: usize| &errors.delta[b * errors.total + errors.offset..][..g.len()];
        for b in 0..samples.len() {
            of(b).chunks_exact(g.stride).for_each(|pixel| add(&mut self.bias.gradient, pixel));
        }
        let gradient = &mut self.weights.gradient;
        if !g.is_dense() {
            gradient.par_chunks_mut(g.kernel * g.stride).enumerate().for_each(|(k, rows)| {
                for (b, sample) in samples.iter().enumerate() {
                    correlate(rows, &sample.layers[l].p, of(b), g, k / g.kernel, k % g.kernel);
                }
            });
            return;
        }
        let rows = errors.delta.get(errors.offset..).unwrap_or(&[]);
        gradient.par_chunks_mut(ROWS * g.stride).enumerate().for_each_init(
            Lists::default,
            |lists, (block, chunk)| {
                for (k, part) in chunk.chunks_mut(TOGETHER * g.stride).enumerate() {
                    let first = block * ROWS + k * TOGETHER;
                    lists.fill(samples.iter().map(|sample| &sample.layers[l].p[first..]));
                    let Lists { ids, values } = &*lists;
                    if part.len() == TOGETHER * g.stride {
                        outer(part, g.stride, rows, errors.total, ids, values);
                        continue;
                    }
                    // The last rows, if their number is no multiple of four.
                    for (r, row) in part.chunks_exact_mut(g.stride).enumerate() {
                        let own: Vec<F> = values.iter().map(|v| v[r]).collect();
                        weighted(row, rows, errors.total, ids, &own);
                    }
                }
            },
        );
    }

    /// A step of the optimizer; the gradients are 0 afterwards.
    pub(super) fn update(&mut self, layer: &mut Layer<F>, rule: Rule, steps: u64, rate: f64) {
        self.weights.update(rule, steps, &mut layer.weights, rate);
        self.bias.update(rule, steps, &mut layer.bias, rate);
    }
}
