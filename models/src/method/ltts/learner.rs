//! A network that learns its patterns.

use ndarray::Array2;

use super::adam::{Step, ascend};
use super::config::{LttsLearning, LttsNetwork, Mode, Synapse};
use super::dynamics::Escape;
use super::offline::Offline;
use super::online::{Epoch, Online};
use super::pattern::Pattern;
use super::readout::Readout;
use super::recurrent::Recurrent;
use super::series::Series;
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::random;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Stream of the seed that the first weights of the readout are drawn from.
const READOUT_STREAM: u64 = 0;

/// What an epoch was like while it was learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Mean of |s* − p| over neurons and bins, with teacher forcing.
    pub deviation: f64,
    /// Mean squared error of the output read from the target spikes, all bins counted, before the
    /// step of the readout.
    pub readout_error: f64,
}

/// How a run without a teacher compares with a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Mean squared error of the output, after the excluded bins.
    pub mse: f64,
    /// ΔS: share of neurons and bins whose spike is missing or wrong.
    pub delta_s: f64,
}

/// Network, readout and the state of their optimizers.
#[derive(Clone, Debug)]
pub struct Ltts<F> {
    learning: LttsLearning,
    patterns: Vec<Pattern<F>>,
    pub(crate) recurrent: Recurrent<F>,
    readout: Readout<F>,
    rule: Memory<F>,
    /// Epochs learned.
    epochs: u64,
}

#[derive(Clone, Debug)]
enum Memory<F> {
    Online(Online<F>),
    Offline { offline: Offline<F>, mean: Vec<Aligned<F>>, square: Vec<Aligned<F>> },
}

impl<F: Real> Ltts<F> {
    /// A network without recurrent weights that will learn `patterns`.
    ///
    /// # Errors
    /// A wrong constant ([`LttsNetwork::check`], [`LttsLearning::check`]), no pattern, patterns of
    /// another network or with outputs of different widths, excluded bins that leave none.
    pub fn new(
        network: &LttsNetwork,
        learning: &LttsLearning,
        patterns: Vec<Pattern<F>>,
        seed: u64,
    ) -> Result<Self> {
        learning.check()?;
        let recurrent = Recurrent::new(network)?;
        let outputs = patterns.first().map_or(0, |p| p.output().units());
        if outputs == 0 {
            let what = "patterns with an output";
            return Err(ModelError::Size { what, got: 0, max: usize::MAX });
        }
        for pattern in &patterns {
            for (what, expected, got) in [
                ("neurons of a pattern", network.neurons, pattern.drive().units()),
                ("outputs of a pattern", outputs, pattern.output().units()),
            ] {
                if expected != got {
                    return Err(ModelError::Input { what, expected, got });
                }
            }
            let steps = pattern.drive().steps();
            if learning.excluded >= steps {
                let (what, got, max) = ("learning.excluded", learning.excluded, steps - 1);
                return Err(ModelError::Size { what, got, max });
            }
        }
        let rule = match learning.mode {
            Mode::Online => {
                Memory::Online(Online::new(recurrent.factors, &patterns, network.neurons))
            }
            Mode::Offline => {
                let zeros: Vec<_> = match network.synapse {
                    Synapse::Current => recurrent
                        .matrices
                        .iter()
                        .flat_map(|m| &m.tiles)
                        .map(|t| Aligned::zeros(t.len()))
                        .collect(),
                    Synapse::Conductance { .. } => Vec::new(),
                };
                let offline = Offline::new(&recurrent, &patterns);
                Memory::Offline { offline, mean: zeros.clone(), square: zeros }
            }
        };
        let mut rng = random::stream(seed, READOUT_STREAM);
        let readout = Readout::new(network.neurons, outputs, learning.init_readout, &mut rng);
        Ok(Self { learning: *learning, patterns, recurrent, readout, rule, epochs: 0 })
    }

    /// Learns from every pattern once, in their order, with teacher forcing.
    pub fn epoch(&mut self) -> Progress {
        let squares = self.learn_readout();
        let deviation = match self.learning.mode {
            Mode::Online => self.online(),
            Mode::Offline => {
                let escape = Escape::new(self.learning.delta_v);
                self.step_offline(|offline, recurrent, patterns| {
                    offline.gradient(recurrent, patterns, escape)
                })
            }
        };
        self.end_epoch(deviation, squares)
    }

    /// An epoch in which something else has changed the recurrent weights; the readout learns as ever.
    /// `deviation` is the mean of |s* − p| that was seen.
    pub fn epoch_elsewhere(&mut self, deviation: f64) -> Progress {
        let squares = self.learn_readout();
        let count = self.recurrent.network().neurons * self.learned_bins();
        self.end_epoch(deviation * count as f64, squares)
    }

    /// Bins that an epoch learns from.
    fn learned_bins(&self) -> usize {
        self.patterns.iter().map(|p| p.drive().steps() - 1).sum()
    }

    /// The epoch's step of the readout; returns the sum of its squared errors before.
    pub(crate) fn learn_readout(&mut self) -> f64 {
        let step = Step::new(self.epochs + 1, self.learning.rate_readout);
        self.readout.learn(self.recurrent.factors, &self.patterns, step)
    }

    /// Counts the epoch; `deviation` is Σ |s* − p|, `squares` that of the readout.
    pub(crate) fn end_epoch(&mut self, deviation: f64, squares: f64) -> Progress {
        let neurons = self.recurrent.network().neurons;
        let outputs: usize =
            self.patterns.iter().map(|p| p.drive().steps() * p.output().units()).sum();
        self.epochs += 1;
        Progress {
            deviation: deviation / (neurons * self.learned_bins()) as f64,
            readout_error: squares / outputs as f64,
        }
    }

    /// Rate of step `k`, from 1, where an epoch counts `bins` steps. Online it falls after each
    /// `epochs/5 · T` steps, as published.
    fn rate(&self, k: u64, bins: usize) -> f64 {
        let period = (self.learning.epochs * bins / self.learning.rate_periods).max(1) as u64;
        self.learning.rate * libm::pow(self.learning.rate_factor, (k / period) as f64)
    }

    fn online(&mut self) -> f64 {
        let learned = self.learned_bins();
        let bins = self.patterns.iter().map(|p| p.drive().steps()).sum();
        let first = self.epochs * learned as u64 + 1;
        let numbers = first..first + learned as u64;
        let rates: Vec<f64> = numbers.clone().map(|k| self.rate(k, bins)).collect();
        let steps: Vec<Step<F>> =
            numbers.zip(&rates).map(|(k, rate)| Step::new(k, *rate)).collect();
        let rates: Vec<F> = rates.iter().map(|rate| F::of(*rate)).collect();
        let Memory::Online(online) = &mut self.rule else { return 0.0 };
        let epoch = Epoch {
            escape: Escape::new(self.learning.delta_v),
            patterns: &self.patterns,
            steps: &steps,
            rates: &rates,
        };
        online.epoch(self.recurrent.factors, &mut self.recurrent.matrices, &epoch)
    }

    /// One step with what `gradient` leaves in the memory of the offline rule; passes on what it
    /// returns.
    pub(crate) fn step_offline(
        &mut self,
        gradient: impl FnOnce(&mut Offline<F>, &Recurrent<F>, &[Pattern<F>]) -> f64,
    ) -> f64 {
        let rate = self.rate(self.epochs + 1, 1);
        let step = Step::new(self.epochs + 1, rate);
        let rate = F::of(rate);
        let Memory::Offline { offline, mean, square } = &mut self.rule else { return 0.0 };
        let deviation = gradient(offline, &self.recurrent, &self.patterns);
        match self.recurrent.matrices.as_mut_slice() {
            [weights] => {
                let moments = mean.iter_mut().zip(square);
                for ((w, tile), (m, q)) in weights.tiles.iter_mut().zip(&offline.tiles).zip(moments)
                {
                    ascend(w, m, q, &tile.gradient[0], step.scale, step);
                }
            }
            matrices => {
                for (k, weights) in matrices.iter_mut().enumerate() {
                    for (w, tile) in weights.tiles.iter_mut().zip(&offline.tiles) {
                        super::online::climb(w, &tile.gradient[k], rate);
                    }
                }
            }
        }
        deviation
    }

    /// The gradient rule of the whole training set at the present weights: `δv` times the gradient
    /// of [`Ltts::log_likelihood`], `[pre, post]` for each weight matrix, self-connections 0. What
    /// [`Mode::Offline`] follows.
    #[must_use]
    pub fn gradient(&self) -> Vec<Array2<F>> {
        let mut offline = Offline::new(&self.recurrent, &self.patterns);
        offline.gradient(&self.recurrent, &self.patterns, Escape::new(self.learning.delta_v));
        let mut matrices = self.recurrent.matrices.clone();
        for (k, matrix) in matrices.iter_mut().enumerate() {
            for (to, tile) in matrix.tiles.iter_mut().zip(&offline.tiles) {
                to.copy_from_slice(&tile.gradient[k]);
            }
        }
        matrices.iter().map(super::weights::Weights::to_array).collect()
    }

    /// How run and readout compare with pattern `which` if the network is left alone with its input.
    ///
    /// # Errors
    /// As [`compare`].
    pub fn test(&self, which: usize) -> Result<Comparison> {
        let Some(pattern) = self.patterns.get(which) else {
            let (what, max) = ("number of a pattern", self.patterns.len());
            return Err(ModelError::Size { what, got: which, max });
        };
        let spikes = self.recurrent.run(pattern.drive(), None)?;
        compare(pattern, &spikes, &self.read(&spikes), self.learning.excluded)
    }

    /// What the readout makes of `spikes` (one sample of this network), `[time, K]`.
    #[must_use]
    pub fn read(&self, spikes: &SpikeTrains) -> Series<F> {
        self.readout.read(self.recurrent.factors, spikes)
    }

    /// The recurrent network.
    #[must_use]
    pub fn recurrent(&self) -> &Recurrent<F> {
        &self.recurrent
    }

    /// The recurrent network.
    pub fn recurrent_mut(&mut self) -> &mut Recurrent<F> {
        &mut self.recurrent
    }

    /// Weights of the readout, `[neuron, K]`.
    #[must_use]
    pub fn readout_weights(&self) -> Array2<F> {
        self.readout.weights.to_array()
    }

    /// What is learned.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern<F>] {
        &self.patterns
    }

    /// Constants of the rule.
    #[must_use]
    pub fn learning(&self) -> &LttsLearning {
        &self.learning
    }

    /// Epochs learned so far.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Everything that learning changes besides [`Ltts::epochs`], by name: `recurrent.K.weights.T`,
    /// `readout.weights.T`, and the moments `….mean.T`, `….square.T`. The order of the numbers is
    /// that of the memory and belongs to this network, mode and patterns.
    #[must_use]
    pub fn state(&self) -> Vec<(String, &[F])> {
        let mut all = Vec::new();
        for (k, matrix) in self.recurrent.matrices.iter().enumerate() {
            push(&mut all, &format!("recurrent.{k}.weights"), &matrix.tiles);
        }
        let (mean, square) = match &self.rule {
            Memory::Online(online) => {
                (std::slice::from_ref(&online.mean), std::slice::from_ref(&online.square))
            }
            Memory::Offline { mean, square, .. } => (mean.as_slice(), square.as_slice()),
        };
        push(&mut all, "recurrent.mean", mean);
        push(&mut all, "recurrent.square", square);
        push(&mut all, "readout.weights", &self.readout.weights.tiles);
        push(&mut all, "readout.mean", &self.readout.mean);
        push(&mut all, "readout.square", &self.readout.square);
        all
    }

    /// The same to be overwritten, and the number of epochs.
    pub fn state_mut(&mut self) -> (&mut u64, Vec<(String, &mut [F])>) {
        let mut all = Vec::new();
        for (k, matrix) in self.recurrent.matrices.iter_mut().enumerate() {
            push(&mut all, &format!("recurrent.{k}.weights"), &mut matrix.tiles);
        }
        let (mean, square) = match &mut self.rule {
            Memory::Online(online) => {
                (std::slice::from_mut(&mut online.mean), std::slice::from_mut(&mut online.square))
            }
            Memory::Offline { mean, square, .. } => (mean.as_mut_slice(), square.as_mut_slice()),
        };
        push(&mut all, "recurrent.mean", mean);
        push(&mut all, "recurrent.square", square);
        push(&mut all, "readout.weights", &mut self.readout.weights.tiles);
        push(&mut all, "readout.mean", &mut self.readout.mean);
        push(&mut all, "readout.square", &mut self.readout.square);
        (&mut self.epochs, all)
    }
}

/// `NAME.0`, `NAME.1` … for the tiles that are not empty.
fn push<A: Piece>(
    all: &mut Vec<(String, A::Slice)>,
    name: &str,
    tiles: impl IntoIterator<Item = A>,
) {
    for (k, tile) in tiles.into_iter().enumerate().filter(|(_, tile)| tile.holds()) {
        all.push((format!("{name}.{k}"), tile.slice()));
    }
}

/// A tile, to be read or to be written.
trait Piece {
    type Slice;
    fn holds(&self) -> bool;
    fn slice(self) -> Self::Slice;
}

impl<'a, F: Real> Piece for &'a Aligned<F> {
    type Slice = &'a [F];
    fn holds(&self) -> bool {
        !self.is_empty()
    }
    fn slice(self) -> &'a [F] {
        self
    }
}

impl<'a, F: Real> Piece for &'a mut Aligned<F> {
    type Slice = &'a mut [F];
    fn holds(&self) -> bool {
        !self.is_empty()
    }
    fn slice(self) -> &'a mut [F] {
        self
    }
}

/// Compares `spikes` and the `output` read from them with `pattern`; the first `excluded` bins of
/// the output do not count.
///
/// # Errors
/// [`ModelError::Input`] for other lengths.
pub fn compare<F: Real>(
    pattern: &Pattern<F>,
    spikes: &SpikeTrains,
    output: &Series<F>,
    excluded: usize,
) -> Result<Comparison> {
    let (target, wanted) = (pattern.target(), pattern.output());
    for (what, expected, got) in [
        ("bins of the spikes", target.steps(), spikes.steps()),
        ("neurons of the spikes", target.units(), spikes.units()),
        ("bins of the output", wanted.steps(), output.steps()),
        ("channels of the output", wanted.units(), output.units()),
    ] {
        if expected != got {
            return Err(ModelError::Input { what, expected, got });
        }
    }
    let (mut squares, mut count) = (0.0, 0);
    for t in excluded..wanted.steps() {
        for (y, o) in wanted.row(t).iter().zip(output.row(t)) {
            squares += (y.wide() - o.wide()).powi(2);
            count += 1;
        }
    }
    let different: usize =
        (0..target.steps()).map(|t| difference(target.at(0, t), spikes.at(0, t))).sum();
    Ok(Comparison {
        mse: squares / f64::from(count.max(1)),
        delta_s: different as f64 / (target.steps() * target.units()) as f64,
    })
}

/// Number of ids that are in one of two ascending lists only.
fn difference(a: &[u16], b: &[u16]) -> usize {
    let common = a.iter().filter(|id| b.binary_search(id).is_ok()).count();
    a.len() + b.len() - 2 * common
}
