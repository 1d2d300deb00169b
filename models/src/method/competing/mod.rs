//! Competing hidden units: features without labels, by a local rule (Krotov & Hopfield 2019,
//! *Unsupervised learning by competing hidden units*, PNAS 116).
//!
//! For a batch of patterns v, weights W `[unit, input]`:
//!
//! ```text
//! I   = (sign(W) |W|^(p−1)) v                      of every unit and pattern
//! g   = 1 for the unit with the largest I, −Δ for the k-th largest, else 0     for every pattern
//! ds  = Σ_v g vᵀ − (Σ_v g I) ⊙ W                   the second sum is one number a unit
//! W  += ε ds / max(|ds|, 1e-30)                    the maximum is over the whole matrix
//! ε   = ε₀ (1 − epoch/epochs)
//! ```
//!
//! The second term drives `Σ_i |W_i|^p` of every unit that wins to 1: rows become unit vectors in
//! the L_p norm. That is the check of a training.
//!
//! Nearly all of ds is zero: only units that were first or k-th for a pattern of the batch change,
//! at most twice as many as there are patterns. The product runs over blocks of 64 units with the
//! pixels of a pattern that are not black, and everything else over the units that change.
//!
//! [`readout`] is the second stage.

mod patterns;
pub mod readout;

pub use patterns::Patterns;

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::random;
use crate::real::Real;
use crate::task::sequence::size;

/// Stream of the seed that draws the weights.
const STREAM: u64 = 0xC000;

/// Units of a block; its sums stay in registers.
const LANES: usize = 64;

/// Blocks from which waking other threads for a batch costs less than it saves.
const PARALLEL_FROM: usize = 8;

/// Weights of pixels that are always black fade for ever; below this they are 0, because arithmetic
/// with numbers next to the smallest ones is many times slower.
const FADED: f64 = 1e-30;

/// Least value that ds is divided by (published).
const PRECISION: f64 = 1e-30;

/// The first stage. Defaults are those of the published notebook.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CompetingConfig {
    /// Hidden units (100).
    pub hidden: usize,
    /// p of the norm (2); the product costs a power for every weight unless p is 2 or 3.
    pub norm: f64,
    /// k, the rank of the unit that is pushed away (2).
    pub rank: usize,
    /// Δ, how strongly it is pushed (0.4).
    pub repulsion: f64,
    /// ε₀, the first step (0.02).
    pub rate: f64,
    /// Passes over all patterns (200).
    pub epochs: usize,
    /// Patterns of a batch (100).
    pub batch: usize,
    /// Weights start at N(0, this) (1). A step moves no weight by more than ε: with a start near norm 1
    /// (`1/√inputs`) many units need fewer epochs.
    pub weight_std: f64,
}

impl Default for CompetingConfig {
    fn default() -> Self {
        Self {
            hidden: 100,
            norm: 2.0,
            rank: 2,
            repulsion: 0.4,
            rate: 0.02,
            epochs: 200,
            batch: 100,
            weight_std: 1.0,
        }
    }
}

impl CompetingConfig {
    /// Refuses values that make no network.
    ///
    /// # Errors
    /// [`ModelError::Size`] or [`ModelError::Parameter`] with the key.
    pub fn check(&self) -> Result<()> {
        size("learning.hidden", self.hidden, 1 << 20)?;
        size("learning.epochs", self.epochs, 1 << 20)?;
        size("learning.batch", self.batch, 1 << 20)?;
        if !(2..=self.hidden).contains(&self.rank) {
            return Err(ModelError::Parameter {
                what: "learning.rank",
                got: self.rank as f64,
                must: "it must lie between 2 and learning.hidden",
            });
        }
        for (what, got, least) in [
            ("learning.norm", self.norm, 1.0),
            ("learning.repulsion", self.repulsion, 0.0),
            ("learning.rate", self.rate, 0.0),
            ("learning.weight-std", self.weight_std, 0.0),
        ] {
            if !(got.is_finite() && got >= least) {
                let must =
                    if least == 0.0 { "it must be at least 0" } else { "it must be at least 1" };
                return Err(ModelError::Parameter { what, got, must });
            }
        }
        Ok(())
    }
}

/// Hidden units in competition.
#[derive(Clone, Debug)]
pub struct Competing<F> {
    config: CompetingConfig,
    inputs: usize,
    /// `[unit, input]`.
    weights: Array2<F>,
    /// `sign(W) |W|^(p−1)` as `[block, input, unit of the block]`, for the product.
    blocks: Vec<Aligned<F>>,
    scratch: Scratch<F>,
}

/// Buffers of a batch, so that learning allocates nothing.
#[derive(Clone, Debug, Default)]
struct Scratch<F> {
    /// `[block][pattern, unit of the block]`.
    currents: Vec<Aligned<F>>,
    /// Best units of a pattern with their currents, best first.
    best: Vec<(F, usize)>,
    /// Row of `change` of every unit, `usize::MAX` if it does not change.
    place: Vec<usize>,
    /// Units that change.
    changed: Vec<usize>,
    /// Σ g I of each of them.
    shrink: Vec<F>,
    /// ds of each of them.
    change: Vec<F>,
}

impl<F: Real> Competing<F> {
    /// Units for `inputs` inputs with normal weights of [`CompetingConfig::weight_std`].
    ///
    /// # Errors
    /// A configuration that [`CompetingConfig::check`] refuses, no inputs.
    pub fn new(config: CompetingConfig, inputs: usize, seed: u64) -> Result<Self> {
        config.check()?;
        size("task.inputs", inputs, 1 << 24)?;
        let mut rng = random::stream(seed, STREAM);
        let draw = || F::of(config.weight_std * random::normal(&mut rng));
        let weights = Array2::from_shape_simple_fn((config.hidden, inputs), draw);
        let count = config.hidden.div_ceil(LANES);
        let mut competing = Self {
            config,
            inputs,
            weights,
            blocks: vec![Aligned::zeros(inputs * LANES); count],
            scratch: Scratch {
                currents: vec![Aligned::zeros(config.batch * LANES); count],
                place: vec![usize::MAX; config.hidden],
                ..Scratch::default()
            },
        };
        competing.fill_blocks(0..config.hidden);
        Ok(competing)
    }

    /// Weights `[unit, input]`.
    #[must_use]
    pub fn weights(&self) -> ArrayView2<'_, F> {
        self.weights.view()
    }

    /// Puts weights back, e.g. from a checkpoint.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for another number of units or inputs.
    pub fn set_weights(&mut self, weights: ArrayView2<'_, F>) -> Result<()> {
        if weights.dim() != self.weights.dim() {
            return Err(ModelError::Shape {
                what: "weights [unit, input]",
                layer: 0,
                expected: self.weights.shape().to_vec(),
                got: weights.shape().to_vec(),
            });
        }
        self.weights.assign(&weights);
        self.fill_blocks(0..self.config.hidden);
        Ok(())
    }

    /// `Σ_i |W_i|^p` to the power 1/p, of every unit.
    #[must_use]
    pub fn norms(&self) -> Vec<f64> {
        let p = self.config.norm;
        let power = |w: &F| libm::pow(w.wide().abs(), p);
        let rows = self.weights.rows().into_iter();
        rows.map(|row| libm::pow(row.iter().map(power).sum(), 1.0 / p)).collect()
    }

    /// Learns epoch number `epoch`, from 0, with the patterns in the order of `order`.
    ///
    /// # Errors
    /// Patterns of another number of inputs, an index that is none, an epoch beyond the last.
    pub fn epoch(&mut self, epoch: usize, patterns: &Patterns<F>, order: &[usize]) -> Result<()> {
        self.check(patterns)?;
        if epoch >= self.config.epochs {
            return Err(ModelError::Size {
                what: "number of the epoch, from 1,",
                got: epoch + 1,
                max: self.config.epochs,
            });
        }
        if let Some(wrong) = order.iter().find(|index| **index >= patterns.len()) {
            return Err(ModelError::Size {
                what: "number of a pattern, from 1,",
                got: wrong + 1,
                max: patterns.len(),
            });
        }
        let rate = self.config.rate * (1.0 - epoch as f64 / self.config.epochs as f64);
        for batch in order.chunks(self.config.batch) {
            self.learn(patterns, batch, rate);
        }
        Ok(())
    }

    fn check(&self, patterns: &Patterns<F>) -> Result<()> {
        if patterns.inputs() == self.inputs {
            return Ok(());
        }
        Err(ModelError::Input {
            what: "inputs of the patterns",
            expected: self.inputs,
            got: patterns.inputs(),
        })
    }

    /// One batch.
    fn learn(&mut self, patterns: &Patterns<F>, batch: &[usize], rate: f64) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let run = |(currents, block): (&mut Aligned<F>, &Aligned<F>)| {
            for (out, pattern) in currents.chunks_exact_mut(LANES).zip(batch) {
                let (ids, values) = patterns.get(*pattern);
                out.fill(F::zero());
                product(out, block, ids, values);
            }
        };
        if self.blocks.len() < PARALLEL_FROM {
            scratch.currents.iter_mut().zip(&self.blocks).for_each(run);
        } else {
            scratch.currents.par_iter_mut().zip(&self.blocks).for_each(run);
        }
        self.compete(patterns, batch, &mut scratch);
        let mut largest = F::of(PRECISION);
        for ((unit, shrink), row) in scratch
            .changed
            .iter()
            .zip(&scratch.shrink)
            .zip(scratch.change.chunks_exact_mut(self.inputs))
        {
            // Rows of a matrix that was made here are in one piece.
            let Some(weights) = self.weights.row(*unit).to_slice() else { continue };
            largest = shrink_row(row, weights, *shrink, largest);
        }
        let step = F::of(rate) / largest;
        for (unit, row) in scratch.changed.iter().zip(scratch.change.chunks_exact(self.inputs)) {
            let mut weights = self.weights.row_mut(*unit);
            let Some(weights) = weights.as_slice_mut() else { continue };
            add_scaled(weights, row, step, F::of(FADED));
        }
        self.fill_blocks(scratch.changed.iter().copied());
        for unit in &scratch.changed {
            scratch.place[*unit] = usize::MAX;
        }
        self.scratch = scratch;
    }

    /// Ranks the units for every pattern, and collects `Σ g vᵀ` and `Σ g I` of those that change.
    fn compete(&self, patterns: &Patterns<F>, batch: &[usize], scratch: &mut Scratch<F>) {
        scratch.changed.clear();
        scratch.shrink.clear();
        scratch.change.clear();
        let repulsion = F::of(self.config.repulsion);
        for (place, pattern) in batch.iter().enumerate() {
            rank(&mut scratch.best, &scratch.currents, place, self.config);
            let (ids, values) = patterns.get(*pattern);
            let first = scratch.best[0];
            let last = scratch.best[self.config.rank - 1];
            for ((current, unit), g) in [(first, F::one()), (last, -repulsion)] {
                let mut row = scratch.place[unit];
                if row == usize::MAX {
                    row = scratch.changed.len();
                    scratch.place[unit] = row;
                    scratch.changed.push(unit);
                    scratch.shrink.push(F::zero());
                    scratch.change.resize((row + 1) * self.inputs, F::zero());
                }
                scratch.shrink[row] += g * current;
                let change = &mut scratch.change[row * self.inputs..][..self.inputs];
                for (id, value) in ids.iter().zip(values) {
                    change[*id as usize] += g * *value;
                }
            }
        }
    }

    /// Brings the blocks up to date with the weights of some units.
    fn fill_blocks(&mut self, units: impl Iterator<Item = usize>) {
        let p = self.config.norm;
        for unit in units {
            let lane = unit % LANES;
            let rows = self.blocks[unit / LANES].chunks_exact_mut(LANES);
            let weights = self.weights.row(unit);
            // Rows of a matrix that was made here are in one piece.
            let Some(weights) = weights.as_slice() else { continue };
            if p == 2.0 {
                rows.zip(weights).for_each(|(row, w)| row[lane] = *w);
            } else if p == 3.0 {
                rows.zip(weights).for_each(|(row, w)| row[lane] = *w * w.abs());
            } else {
                let raised = |w: f64| libm::copysign(libm::pow(w.abs(), p - 1.0), w);
                rows.zip(weights).for_each(|(row, w)| row[lane] = F::of(raised(w.wide())));
            }
        }
    }

    /// What the second stage reads: `relu(W v)^power`, `[pattern, unit]`. Needs 4 bytes a number in
    /// `f32`: 480 MB for 60 000 patterns and 2000 units.
    ///
    /// # Errors
    /// Patterns of another number of inputs.
    pub fn activations(&self, patterns: &Patterns<F>, power: f64) -> Result<Array2<F>> {
        self.check(patterns)?;
        let hidden = self.config.hidden;
        let mut plain = self.clone();
        // W itself, whatever the norm.
        plain.config.norm = 2.0;
        plain.fill_blocks(0..hidden);
        let mut out = Array2::zeros((patterns.len(), hidden));
        let Some(rows) = out.as_slice_mut() else { return Ok(out) };
        rows.par_chunks_exact_mut(hidden).enumerate().for_each(|(pattern, row)| {
            let (ids, values) = patterns.get(pattern);
            for (part, block) in row.chunks_mut(LANES).zip(&plain.blocks) {
                let mut sums = [F::zero(); LANES];
                product(&mut sums, block, ids, values);
                for (out, sum) in part.iter_mut().zip(&sums) {
                    *out = if *sum > F::zero() { raise(*sum, power) } else { F::zero() };
                }
            }
        });
        Ok(out)
    }
}

/// x to the power n for x > 0: half-integers by multiplication and one root.
fn raise<F: Real>(x: F, n: f64) -> F {
    let twice = 2.0 * n;
    if twice == twice.trunc() && (0.0..=64.0).contains(&twice) {
        // Truncation is intended: `twice` is a whole number.
        let halves = twice as usize;
        let whole = num_traits::pow(x, halves / 2);
        return if halves % 2 == 1 { whole * x.sqrt() } else { whole };
    }
    F::of(libm::pow(x.wide(), n))
}

/// The `config.rank` best units of the pattern at `place` of the batch, best first; of two equal
/// ones the one with the lower number.
fn rank<F: Real>(
    best: &mut Vec<(F, usize)>,
    currents: &[Aligned<F>],
    place: usize,
    config: CompetingConfig,
) {
    best.clear();
    for (block, currents) in currents.iter().enumerate() {
        let first = block * LANES;
        let units = (config.hidden - first).min(LANES);
        for (lane, current) in currents[place * LANES..][..units].iter().enumerate() {
            let full = best.len() == config.rank;
            if full && best.last().is_some_and(|(worst, _)| *current <= *worst) {
                continue;
            }
            let at = best.iter().position(|(c, _)| *current > *c).unwrap_or(best.len());
            best.insert(at, (*current, first + lane));
            best.truncate(config.rank);
        }
    }
}

kernel! {
    /// `out[unit] += Σ_k values[k] block[ids[k], unit]` for one block of units.
    fn product[F: Real](out: &mut [F], block: &[F], ids: &[u32], values: &[F]) {
        let Some(out) = out.first_chunk_mut::<LANES>() else { return };
        let mut sums = *out;
        for (id, value) in ids.iter().zip(values) {
            let Some(row) = block[*id as usize * LANES..].first_chunk::<LANES>() else { return };
            for k in 0..LANES {
                sums[k] += *value * row[k];
            }
        }
        *out = sums;
    }
}

kernel! {
    /// `row −= shrink ⊙ weights`; returns the larger of `largest` and the largest |row|.
    fn shrink_row[F: Real](row: &mut [F], weights: &[F], shrink: F, largest: F) -> F {
        let mut top = [largest; 16];
        let (rows, rest) = row.as_chunks_mut::<16>();
        let (columns, tail) = weights.as_chunks::<16>();
        for (row, weights) in rows.iter_mut().zip(columns) {
            for k in 0..16 {
                row[k] -= shrink * weights[k];
                let size = row[k].abs();
                top[k] = if size > top[k] { size } else { top[k] };
            }
        }
        for (r, w) in rest.iter_mut().zip(tail) {
            *r -= shrink * *w;
            let size = r.abs();
            top[0] = if size > top[0] { size } else { top[0] };
        }
        let mut all = largest;
        for t in top {
            all = if t > all { t } else { all };
        }
        all
    }
}

kernel! {
    /// `weights += step · row`; what has faded below `least` is 0.
    fn add_scaled[F: Real](weights: &mut [F], row: &[F], step: F, least: F) {
        for (w, r) in weights.iter_mut().zip(row) {
            let x = *w + step * *r;
            *w = if x.abs() < least { F::zero() } else { x };
        }
    }
}

#[cfg(test)]
mod tests;
