//! The loss around a trained network, on a plane of two random directions.
//!
//! Directions are drawn from a normal distribution and then scaled unit by unit to the length of the unit's incoming weights
//! (filter normalisation: Li, Xu, Taylor, Studer & Goldstein, NeurIPS 2018), so that planes of different networks can be compared.
//! On a grid over `weights + a·d₁ + b·d₂` two losses are evaluated on the same samples: that of the network with hard spikes, and
//! that of the smooth network whose exact gradient is the surrogate gradient with smooth values: every neuron sends `σ(β(V − θ))`, the
//! primitive of the surrogate.
//!
//! **Check.** At points of the plane the surrogate gradient of the hard network is compared with finite differences of the smooth one, over a
//! sample of its weights (those of the smooth network go through its reset, whatever the hard one's do): a positive product means that a step along the surrogate gradient lowers the smooth loss.

use super::variance::cosine;
use super::{StudyError, Watch};
use serde::{Deserialize, Serialize};
use spikeloop_models::SpikeTrains;
use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::layer::{Forward, Layer};
use spikeloop_models::loss::Loss;
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::{Chunk, Method};
use spikeloop_models::network::Network;
use spikeloop_models::random::{mix, normal, stream};

/// Step of the finite differences; networks are `f64` here.
const STEP: f64 = 1e-5;
/// First stream of the directions.
const DIRECTIONS: u64 = 2000;
/// Stream of the weights that are checked.
const CHECKED: u64 = 2010;
/// Key of the tie breaker: the same for all evaluations.
const TIES: u64 = 7;

/// A plane through a trained network, and the samples that losses are of.
pub struct Plane<'a> {
    network: Network<f64>,
    directions: [Network<f64>; 2],
    inputs: &'a SpikeTrains,
    labels: &'a [u16],
    loss: Loss,
    seed: u64,
}

/// Losses on the grid, row by row from the largest `b` to the least, columns from the least `a` to the largest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Points along an axis.
    pub points: usize,
    /// The axes reach from − to + this.
    pub reach: f64,
    /// Loss with hard spikes.
    pub hard: Vec<f64>,
    /// Loss with smooth ones.
    pub smooth: Vec<f64>,
}

/// Comparison of gradients at one point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Place along the first direction.
    pub a: f64,
    /// Place along the second direction.
    pub b: f64,
    /// Surrogate gradient · finite differences, over the weights checked.
    pub product: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
    /// Largest difference between the finite differences and the smooth network's own gradient, relative to the largest
    /// entry: how far the differences can be trusted.
    pub error: f64,
}

/// The same network in double precision.
fn wide(network: &Network<f32>) -> Network<f64> {
    let layers = network.layers.iter().map(|layer| Layer {
        spec: layer.spec.clone(),
        weights: layer.weights.mapv(f64::from),
        recurrent: layer.recurrent.as_ref().map(|r| r.mapv(f64::from)),
    });
    Network { steps: network.steps, inputs: network.inputs, layers: layers.collect() }
}

/// A random direction whose columns (the incoming weights of a unit) have the lengths of those of `network`.
fn direction(network: &Network<f64>, seed: u64, number: u64) -> Network<f64> {
    let mut out = network.clone();
    for (index, layer) in out.layers.iter_mut().enumerate() {
        let key = mix(seed, index as u64);
        let matrices = std::iter::once(&mut layer.weights).chain(&mut layer.recurrent);
        for (kind, matrix) in matrices.enumerate() {
            let mut rng = stream(key, DIRECTIONS + 2 * number + kind as u64);
            for mut column in matrix.columns_mut() {
                let length =
                    |c: &ndarray::ArrayViewMut1<f64>| c.iter().map(|w| w * w).sum::<f64>().sqrt();
                let wanted = length(&column);
                column.iter_mut().for_each(|w| *w = normal(&mut rng));
                let drawn = length(&column);
                column
                    .iter_mut()
                    .for_each(|w| *w *= if drawn > 0.0 { wanted / drawn } else { 0.0 });
            }
        }
    }
    out
}

/// Weight number `k`, all matrices in a row.
fn weight(network: &mut Network<f64>, mut k: usize) -> Option<&mut f64> {
    for layer in &mut network.layers {
        for matrix in std::iter::once(&mut layer.weights).chain(&mut layer.recurrent) {
            if k < matrix.len() {
                return matrix.as_slice_mut()?.get_mut(k);
            }
            k -= matrix.len();
        }
    }
    None
}

impl<'a> Plane<'a> {
    /// A plane through `network`; `loss` is taken over all samples of `inputs`.
    #[must_use]
    pub fn new(
        network: &Network<f32>,
        inputs: &'a SpikeTrains,
        labels: &'a [u16],
        loss: Loss,
        seed: u64,
    ) -> Self {
        let network = wide(network);
        let directions = [0, 1].map(|number| direction(&network, seed, number));
        Self { network, directions, inputs, labels, loss, seed }
    }

    /// The network at a point of the plane.
    fn at(&self, a: f64, b: f64, forward: Forward) -> Network<f64> {
        let mut out = self.network.clone();
        for (index, layer) in out.layers.iter_mut().enumerate() {
            if layer.spec.neuron.spikes() {
                layer.spec.forward = forward;
                // The smooth network is differentiated as it is, its reset included.
                layer.spec.detach_reset &= forward == Forward::Hard;
            }
            let [first, second] = [0, 1].map(|d| &self.directions[d].layers[index]);
            layer.weights.scaled_add(a, &first.weights);
            layer.weights.scaled_add(b, &second.weights);
            if let (Some(own), Some(x), Some(y)) =
                (&mut layer.recurrent, &first.recurrent, &second.recurrent)
            {
                own.scaled_add(a, x);
                own.scaled_add(b, y);
            }
        }
        out
    }

    fn loss_of(
        &self,
        inference: &mut Inference<f64>,
        network: &Network<f64>,
    ) -> Result<f64, StudyError> {
        inference.refresh(network)?;
        let batch = Batch {
            inputs: self.inputs,
            labels: Some(self.labels),
            first: 0,
            tie_break_key: TIES,
            observation: None,
        };
        let losses = &inference.run(&batch)?.loss;
        Ok(losses.iter().sum::<f64>() / losses.len().max(1) as f64)
    }

    /// Evaluates both losses on a grid of `points` × `points`.
    ///
    /// # Errors
    /// A surrogate without a smooth network; an interrupt.
    pub fn grid(&self, points: usize, reach: f64, watch: &dyn Watch) -> Result<Grid, StudyError> {
        let place = |k: usize| reach * (2.0 * k as f64 / (points.max(2) - 1) as f64 - 1.0);
        let mut grid = Grid { points, reach, hard: Vec::new(), smooth: Vec::new() };
        let mut hard = Inference::new(&self.at(0.0, 0.0, Forward::Hard), self.loss)?;
        let mut smooth = Inference::new(&self.at(0.0, 0.0, Forward::Smooth), self.loss)?;
        for row in (0..points).rev() {
            for column in 0..points {
                if watch.stop() {
                    return Err(StudyError::Interrupted);
                }
                let (a, b) = (place(column), place(row));
                grid.hard.push(self.loss_of(&mut hard, &self.at(a, b, Forward::Hard))?);
                grid.smooth.push(self.loss_of(&mut smooth, &self.at(a, b, Forward::Smooth))?);
            }
            watch.advance(points as u64);
        }
        Ok(grid)
    }

    /// All gradients of a network in a row.
    fn gradient(&self, network: &Network<f64>) -> Result<Vec<f64>, StudyError> {
        let config = BpttConfig {
            loss: self.loss,
            regularisers: Vec::new(),
            sigma_at_measured_spikes: true,
        };
        let mut method = Bptt::new(network, config)?;
        method.begin(network)?;
        let (inputs, labels) = (self.inputs, self.labels);
        let chunk = Chunk { inputs, labels, first: 0, batch: labels.len(), tie_break_key: TIES };
        method.accumulate(&chunk, None)?;
        let gradients = method.finish()?;
        let matrices =
            gradients.layers.iter().flat_map(|l| std::iter::once(&l.weights).chain(&l.recurrent));
        Ok(matrices.flatten().copied().collect())
    }

    /// Compares gradients at a point, over `count` weights drawn from all.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn check(&self, a: f64, b: f64, count: usize) -> Result<Check, StudyError> {
        let hard = self.gradient(&self.at(a, b, Forward::Hard))?;
        let mut network = self.at(a, b, Forward::Smooth);
        let exact = self.gradient(&network)?;
        let mut inference = Inference::new(&network, self.loss)?;
        let mut rng = stream(self.seed, CHECKED);
        let mut drawn = || {
            let part = spikeloop_models::random::uniform(&mut rng);
            (part * hard.len() as f64) as usize
        };
        let chosen: Vec<usize> = (0..count.min(hard.len())).map(|_| drawn()).collect();
        let mut numeric = Vec::with_capacity(chosen.len());
        for &k in &chosen {
            let Some(kept) = weight(&mut network, k).map(|w| *w) else { continue };
            let mut loss_at = |by: f64| -> Result<f64, StudyError> {
                if let Some(w) = weight(&mut network, k) {
                    *w = kept + by;
                }
                self.loss_of(&mut inference, &network)
            };
            let difference = loss_at(STEP)? - loss_at(-STEP)?;
            loss_at(0.0)?;
            numeric.push(difference / (2.0 * STEP));
        }
        let pick = |all: &[f64]| chosen.iter().map(|k| all[*k]).collect::<Vec<f64>>();
        let (hard, exact) = (pick(&hard), pick(&exact));
        let top = exact.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        let worst = exact.iter().zip(&numeric).fold(0.0_f64, |m, (e, n)| m.max((e - n).abs()));
        Ok(Check {
            a,
            b,
            product: hard.iter().zip(&numeric).map(|(h, n)| h * n).sum(),
            cosine: cosine(&hard, &numeric),
            error: if top > 0.0 { worst / top } else { worst },
        })
    }
}
