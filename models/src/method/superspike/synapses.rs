//! Weights of a layer with what every synapse remembers: eligibility, sum, normaliser.
//!
//! ```text
//! e₁ ← e₁ e^(−dt/τ_s) + σ'(U_i) z̄_j       e₂ ← e₂ + (dt/τ_m) (e₁ − e₂)       Σ ← Σ + ē_i e₂
//! ```
//!
//! One state a synapse and a step is the price of learning online. But neither `σ'`, `z̄` nor the
//! error depends on the eligibility, and weights stand still between two updates. So a few steps of
//! all three are kept, and each synapse is then carried over all of them in registers: the same
//! numbers, in the same order, with a small part of the traffic. Sources that were silent for so long
//! that nothing of them is left cost nothing.

use super::config::SuperSpikeConfig;
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::padded;
use crate::random;
use crate::real::Real;

/// Steps that are kept before the synapses are carried over them.
pub(super) const CHUNK: usize = 32;

/// Stream of the first weights of layer 0; layer `k` has the `k`-th after it.
const STREAM: u64 = 0x5550_0000;

/// Weights `[source, neuron]`, rows padded, and the state of each synapse in the same layout.
#[derive(Clone, Debug)]
pub struct Synapses<F> {
    pub(super) sources: usize,
    pub(super) neurons: usize,
    pub(super) weights: Aligned<F>,
    fast: Aligned<F>,
    slow: Aligned<F>,
    pub(super) sum: Aligned<F>,
    normaliser: Aligned<F>,
    /// Whether anything of a source is left in the eligibilities of its row.
    live: Vec<bool>,
    still_live: Vec<bool>,
}

/// What happened in the steps of a chunk, for one layer.
#[derive(Clone, Debug)]
pub(super) struct Window<F> {
    /// Source traces z̄ `[source, CHUNK]`.
    pub(super) traces: Vec<F>,
    /// Surrogate derivatives `[step, neuron]`, padded.
    pub(super) sigma: Aligned<F>,
    /// Filtered errors `[step, neuron]`, padded.
    pub(super) errors: Aligned<F>,
    /// Whether a source had a trace in any step.
    pub(super) active: Vec<bool>,
}

impl<F: Real> Window<F> {
    pub(super) fn new(sources: usize, neurons: usize) -> Self {
        Self {
            traces: vec![F::zero(); sources * CHUNK],
            sigma: Aligned::zeros(padded(neurons) * CHUNK),
            errors: Aligned::zeros(padded(neurons) * CHUNK),
            active: vec![false; sources],
        }
    }

    /// Writes the source traces of step `at` of the chunk.
    pub(super) fn put_traces(&mut self, at: usize, traces: &[F]) {
        let rows = self.traces.chunks_exact_mut(CHUNK);
        for ((row, active), z) in rows.zip(&mut self.active).zip(traces) {
            row[at] = *z;
            *active |= *z != F::zero();
        }
    }
}

/// Factors of the filters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Factors<F> {
    pub(super) decay: F,
    pub(super) follow: F,
    pub(super) tiny: F,
}

/// `N` synapses of one source over the steps of a chunk; whether anything is left of them.
#[inline(always)]
fn carry<F: Real, const N: usize>(
    state: (&mut [F], &mut [F], &mut [F]),
    traces: &[F],
    sigma: &[F],
    errors: &[F],
    first: usize,
    stride: usize,
    factors: Factors<F>,
) -> bool {
    let (Some(fast), Some(slow), Some(sum)) = (
        state.0.first_chunk_mut::<N>(),
        state.1.first_chunk_mut::<N>(),
        state.2.first_chunk_mut::<N>(),
    ) else {
        return false;
    };
    let (mut e1, mut e2, mut total) = (*fast, *slow, *sum);
    for (step, z) in traces.iter().enumerate() {
        let at = step * stride + first;
        let Some(s) = sigma[at..].first_chunk::<N>() else { return false };
        let Some(e) = errors[at..].first_chunk::<N>() else { return false };
        for k in 0..N {
            e1[k] = e1[k] * factors.decay + s[k] * *z;
            e2[k] += factors.follow * (e1[k] - e2[k]);
            total[k] += e[k] * e2[k];
        }
    }
    let mut left = F::zero();
    for k in 0..N {
        e1[k] = if e1[k] < factors.tiny { F::zero() } else { e1[k] };
        e2[k] = if e2[k] < factors.tiny { F::zero() } else { e2[k] };
        left = if e1[k] > left { e1[k] } else { left };
        left = if e2[k] > left { e2[k] } else { left };
    }
    (*fast, *slow, *sum) = (e1, e2, total);
    left > F::zero()
}

kernel! {
    /// Carries all synapses of a layer over `steps` steps. The lanes are the outer loop, so that the
    /// surrogates and errors of a block of neurons stay in the nearest cache for all sources.
    fn sweep[F: Real](
        fast: &mut [F], slow: &mut [F], sum: &mut [F], live: &[bool], still_live: &mut [bool],
        traces: &[F], active: &[bool], sigma: &[F], errors: &[F], stride: usize, steps: usize,
        factors: Factors<F>,
    ) {
        let mut first = 0;
        while first < stride {
            let wide = first + 64 <= stride;
            for source in 0..live.len() {
                if !(live[source] || active[source]) {
                    continue;
                }
                let at = source * stride + first;
                let state = (&mut fast[at..], &mut slow[at..], &mut sum[at..]);
                let z = &traces[source * CHUNK..][..steps];
                let left = if wide {
                    carry::<F, 64>(state, z, sigma, errors, first, stride, factors)
                } else {
                    carry::<F, 16>(state, z, sigma, errors, first, stride, factors)
                };
                still_live[source] |= left;
            }
            first += if wide { 64 } else { 16 };
        }
    }
}

impl<F: Real> Synapses<F> {
    pub(super) fn draw(
        config: &SuperSpikeConfig,
        index: usize,
        sources: usize,
        neurons: usize,
        seed: u64,
    ) -> Self {
        let stride = padded(neurons);
        let zeros = || Aligned::zeros(sources * stride);
        let mut weights = zeros();
        let mut rng = random::stream(seed, STREAM + index as u64);
        let std = config.init / (sources as f64).sqrt();
        for row in weights.chunks_exact_mut(stride) {
            for w in &mut row[..neurons] {
                *w = F::of(std * random::normal(&mut rng));
            }
        }
        Self {
            sources,
            neurons,
            weights,
            fast: zeros(),
            slow: zeros(),
            sum: zeros(),
            normaliser: zeros(),
            live: vec![false; sources],
            still_live: vec![false; sources],
        }
    }

    pub(super) fn stride(&self) -> usize {
        padded(self.neurons)
    }

    /// Number of sources.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources
    }

    /// Number of neurons.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.neurons
    }

    /// Weights of `source`, one a neuron, in thresholds.
    #[must_use]
    pub fn row(&self, source: usize) -> &[F] {
        &self.weights[source * self.stride()..][..self.neurons]
    }

    /// Weights of `source`, to be set.
    pub fn row_mut(&mut self, source: usize) -> &mut [F] {
        let stride = self.stride();
        &mut self.weights[source * stride..][..self.neurons]
    }

    /// What is accumulated since the last update for the synapses of `source`: minus the surrogate
    /// gradient of the cost ½ Σ (α∗(Ŝ − S))², summed over steps.
    #[must_use]
    pub fn accumulated(&self, source: usize) -> &[F] {
        &self.sum[source * self.stride()..][..self.neurons]
    }

    /// Forgets the eligibilities: for trials that begin at rest.
    pub(super) fn forget(&mut self) {
        self.fast.fill(F::zero());
        self.slow.fill(F::zero());
        self.live.fill(false);
    }

    pub(super) fn carry_over(&mut self, window: &mut Window<F>, steps: usize, f: Factors<F>) {
        let stride = self.stride();
        self.still_live.fill(false);
        sweep(
            &mut self.fast,
            &mut self.slow,
            &mut self.sum,
            &self.live,
            &mut self.still_live,
            &window.traces,
            &window.active,
            &window.sigma,
            &window.errors,
            stride,
            steps,
            f,
        );
        std::mem::swap(&mut self.live, &mut self.still_live);
        window.active.fill(false);
    }

    /// The update of every t_b, with `g` the mean of the sum over the steps of the block:
    /// `v ← max(g², v e^(−t_b/τ_rms))`, `w ← w + r₀ g/(√v + ε)`. Synapses without a gradient stay.
    pub(super) fn update(&mut self, step: Update<F>, penalty: &[F]) {
        let stride = self.stride();
        for source in 0..self.sources {
            let row = source * stride..source * stride + self.neurons;
            let synapses = self.weights[row.clone()]
                .iter_mut()
                .zip(&mut self.sum[row.clone()])
                .zip(&mut self.normaliser[row]);
            for (((w, sum), v), penalty) in synapses.zip(penalty) {
                let g = (*sum - *penalty * *w) * step.per_step;
                *sum = F::zero();
                let faded = *v * step.keep;
                *v = if g * g > faded { g * g } else { faded };
                if g != F::zero() {
                    let next = *w + step.rate * g / (v.sqrt() + step.epsilon);
                    *w = next.max(-step.limit).min(step.limit);
                }
            }
        }
    }

    /// Arrays that continue a training, `[source, neuron]` without padding.
    pub(super) fn state(&self) -> [(&'static str, Vec<f64>); 5] {
        let rows = |values: &Aligned<F>| {
            let rows = values.chunks_exact(self.stride());
            rows.flat_map(|row| row[..self.neurons].iter().map(|x| x.wide())).collect()
        };
        [
            ("weights", rows(&self.weights)),
            ("fast", rows(&self.fast)),
            ("slow", rows(&self.slow)),
            ("sum", rows(&self.sum)),
            ("normaliser", rows(&self.normaliser)),
        ]
    }

    pub(super) fn restore(&mut self, name: &str, values: &[f64]) -> bool {
        let (stride, neurons) = (self.stride(), self.neurons);
        let target = match name {
            "weights" => &mut self.weights,
            "fast" => &mut self.fast,
            "slow" => &mut self.slow,
            "sum" => &mut self.sum,
            "normaliser" => &mut self.normaliser,
            _ => return false,
        };
        if values.len() != self.sources * neurons {
            return false;
        }
        for (row, given) in target.chunks_exact_mut(stride).zip(values.chunks_exact(neurons)) {
            for (x, value) in row.iter_mut().zip(given) {
                *x = F::of(*value);
            }
        }
        // Rows are looked at once more and then found to be silent.
        self.live.fill(true);
        true
    }
}

/// Constants of one update.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update<F> {
    /// One by the number of steps of the block.
    pub(super) per_step: F,
    /// e^(−t_b/τ_rms).
    pub(super) keep: F,
    pub(super) rate: F,
    pub(super) epsilon: F,
    pub(super) limit: F,
}
