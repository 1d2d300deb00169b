//! The recurrent network and its free run.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

use super::config::{Factors, LttsNetwork};
use super::dynamics::{filter, membrane};
use super::series::Series;
use super::weights::{Span, Weights};
use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::dynamics::detect;
use crate::kernel::rows::{gather, padded};
use crate::random;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// A normal number added to the input of every neuron in every bin (inside the factor 1/τ_m).
#[derive(Debug)]
pub struct Noise<'a> {
    /// Standard deviation.
    pub sigma: f64,
    /// Where the numbers come from: N for each bin, in the order of the neurons.
    pub rng: &'a mut ChaCha8Rng,
}

/// N neurons and their recurrent weights; all weights are 0 at first.
#[derive(Clone, Debug)]
pub struct Recurrent<F> {
    network: LttsNetwork,
    pub(crate) factors: Factors<F>,
    /// J, or J⁺ and J⁻.
    pub(crate) matrices: Vec<Weights<F>>,
}

impl<F: Real> Recurrent<F> {
    /// A network without weights.
    ///
    /// # Errors
    /// As [`LttsNetwork::check`].
    pub fn new(network: &LttsNetwork) -> Result<Self> {
        network.check()?;
        let n = network.neurons;
        let matrices = (0..network.synapse.matrices()).map(|_| Weights::zeros(n, n)).collect();
        Ok(Self { network: *network, factors: network.factors(), matrices })
    }

    /// Its constants.
    #[must_use]
    pub fn network(&self) -> &LttsNetwork {
        &self.network
    }

    /// Weight matrix `which` as `[pre, post]`: 0 is J or J⁺, 1 is J⁻. `None` if there is none.
    #[must_use]
    pub fn weights(&self, which: usize) -> Option<Array2<F>> {
        self.matrices.get(which).map(Weights::to_array)
    }

    /// Replaces weight matrix `which` by `weights` `[pre, post]`.
    ///
    /// # Errors
    /// [`ModelError::Shape`]; [`ModelError::Size`] if there is no such matrix.
    pub fn set_weights(&mut self, which: usize, weights: &Array2<F>) -> Result<()> {
        let max = self.matrices.len();
        let Some(matrix) = self.matrices.get_mut(which) else {
            return Err(ModelError::Size { what: "number of a weight matrix", got: which, max });
        };
        if weights.shape() != matrix.shape() {
            return Err(ModelError::Shape {
                what: "recurrent weights",
                layer: which,
                expected: matrix.shape().to_vec(),
                got: weights.shape().to_vec(),
            });
        }
        matrix.copy_from(weights);
        Ok(())
    }

    /// The spikes that the network answers `drive` `[time, neuron]` with, from rest: one sample.
    ///
    /// # Errors
    /// [`ModelError::Input`] if `drive` is for another number of neurons.
    pub fn run(&self, drive: &Series<F>, mut noise: Option<Noise<'_>>) -> Result<SpikeTrains> {
        let (n, f) = (self.network.neurons, self.factors);
        if drive.units() != n {
            let what = "neurons of the drive";
            return Err(ModelError::Input { what, expected: n, got: drive.units() });
        }
        let (steps, spans) = (drive.steps(), Span::all(n));
        let mut spikes = SpikeTrains::new(steps, n);
        let mut state = State::new(self);
        let mut fired: Vec<u16> = Vec::with_capacity(n);
        let mut ids = vec![0_u16; n];
        for t in 0..steps {
            // Bin 0 is silent by definition; bin t follows from bin t − 1.
            if let Some(before) = t.checked_sub(1) {
                state.take_input(drive, before, noise.as_mut());
                for (k, span) in spans.iter().enumerate() {
                    state.advance(self, k, *span, &fired, f.spike_gain(before));
                }
                let found = detect(&state.v, &state.threshold, &mut ids);
                fired.clear();
                fired.extend_from_slice(&ids[..found]);
            }
            fired.iter().for_each(|id| spikes.push(*id));
            spikes.end_step();
        }
        Ok(spikes)
    }
}

/// What changes during a run.
struct State<F> {
    v: Aligned<F>,
    threshold: Aligned<F>,
    input: Aligned<F>,
    /// Filtered spikes behind each weight matrix.
    u: Vec<Aligned<F>>,
    /// A tile wide.
    sum: Aligned<F>,
}

impl<F: Real> State<F> {
    fn new(of: &Recurrent<F>) -> Self {
        let n = of.network.neurons;
        let zeros = || Aligned::<F>::zeros(padded(n));
        let (mut v, mut threshold) = (zeros(), zeros());
        v.fill(of.factors.v0);
        // Padding never spikes.
        threshold[n..].fill(F::infinity());
        let u = of.matrices.iter().map(|_| zeros()).collect();
        Self { v, threshold, input: zeros(), u, sum: Aligned::zeros(super::weights::TILE) }
    }

    fn take_input(&mut self, drive: &Series<F>, t: usize, noise: Option<&mut Noise<'_>>) {
        self.input.copy_from_slice(drive.padded_row(t));
        if let Some(noise) = noise {
            for input in &mut self.input[..drive.units()] {
                *input += F::of(noise.sigma * random::normal(noise.rng));
            }
        }
    }

    /// One bin of one tile, after the spikes `fired`.
    fn advance(&mut self, of: &Recurrent<F>, k: usize, span: Span, fired: &[u16], gain: F) {
        let range = span.range();
        for (u, weights) in self.u.iter_mut().zip(&of.matrices) {
            let sum = &mut self.sum[..span.width];
            sum.fill(F::zero());
            gather(sum, &weights.tiles[k], fired);
            filter(&mut u[range.clone()], sum, of.factors.syn, gain);
        }
        let v = &mut self.v[range.clone()];
        let input = &self.input[range.clone()];
        match self.u.as_slice() {
            [plus, minus] => {
                membrane(v, &[&plus[range.clone()], &minus[range]], input, of.factors);
            }
            [u, ..] => membrane(v, &[&u[range]], input, of.factors),
            [] => {}
        }
        for id in span.own(fired) {
            v[id] -= of.factors.s_inh;
        }
    }
}
