//! SuperSpike (Zenke & Ganguli, Neural Computation 2018): online learning of spike times with one
//! eligibility a synapse.
//!
//! Cost ½ ∫ (α∗(Ŝ − S))² dt with target Ŝ and output S (van Rossum, 2001). With the surrogate
//! `σ'(U) = (1 + |β (U − θ)|)⁻²` and the reset left out, its gradient can be summed up forwards in
//! time (kernels `ε = α`: double exponentials of the neuron's own time constants):
//!
//! ```text
//! Δw_ij ∝ Σ_t  ē_i(t) · α∗[ σ'(U_i) (ε∗S_j) ](t),        ē = α∗(Ŝ − S) at an output
//! ```
//!
//! A hidden neuron gets the raw ±1 error events of the outputs through a [`Feedback`] and filters them
//! itself; `σ'` of the outputs is left out on the way (straight-through), unless asked for. Every t_b
//! the mean `g` of the sum moves the weight by `r₀ g/√v`, `v ← max(g², v e^(−t_b/τ_rms))`. With random
//! feedback the hidden layer also has the heterosynaptic penalty `−ρ w_ij z_i^a`, `z` a spike trace of
//! the neuron, at steps in which its error is not 0 (below 1e-7, as in the published code).
//!
//! | file | |
//! |---|---|
//! | `config` | constants, published defaults |
//! | `neuron` | the published neuron, forward Euler: the own forward pass |
//! | `trace`, `synapses` | double exponentials of units; eligibility, sum, normaliser of synapses |
//! | `feedback`, `teacher` | how errors travel; what is an error |
//!
//! The forward pass can come from elsewhere: [`SuperSpike::observe`] takes the spikes and membranes of
//! one step, measured or not, and [`SuperSpike::trial`] is that with the own neurons.
//!
//! What does not depend on the parts of the constants is left out: `σ'` has no factor β, which the
//! normaliser cancels.

mod config;
mod feedback;
mod neuron;
mod synapses;
mod teacher;
mod trace;

pub use config::SuperSpikeConfig;
pub use feedback::Feedback;
pub use neuron::EulerNet;
pub use synapses::Synapses;
pub use teacher::{Score, Teacher, Window, on_target};
pub use trace::kernel_energy;

use crate::error::{ModelError, Result};
use crate::kernel::aligned::Aligned;
use crate::kernel::kernel;
use crate::kernel::rows::padded;
use crate::method::{Need, Requirements};
use crate::real::Real;
use crate::spike_train::SpikeTrains;
use synapses::{CHUNK, Factors, Update};
use teacher::Attention;
use trace::{DoubleTrace, TINY};

/// What a chip has to give: spikes of all neurons and, for the surrogate, their membranes.
pub const REQUIREMENTS: Requirements = Requirements {
    method: "superspike",
    hidden_spikes: Need::Required,
    hidden_membranes: Need::Required,
    readout_membranes: Need::Required,
};

/// Errors that are smaller do not call for the regulariser (published).
const QUIET: f64 = 1e-7;

/// What happened in one step, layer by layer from the first hidden one (or the output).
#[derive(Clone, Debug, Default)]
pub struct Activity<F> {
    /// `arrivals[layer]`: sources whose spikes reach the synapses of the layer in this step.
    pub arrivals: Vec<Vec<u16>>,
    /// `spikes[layer]`: neurons that spiked.
    pub spikes: Vec<Vec<u16>>,
    /// `membranes[layer]`: membranes in thresholds, one a neuron.
    pub membranes: Vec<Vec<F>>,
    /// Error events of the outputs: neuron and sign (+1 missing, −1 wrong).
    pub errors: Vec<(u16, F)>,
}

impl<F: Real> Activity<F> {
    /// For the sizes of a network: inputs, then every layer.
    #[must_use]
    pub fn new(sizes: &[usize]) -> Self {
        let layers = sizes.len().saturating_sub(1);
        Self {
            arrivals: vec![Vec::new(); layers],
            spikes: vec![Vec::new(); layers],
            membranes: sizes.iter().skip(1).map(|n| vec![F::zero(); *n]).collect(),
            errors: Vec::new(),
        }
    }
}

/// Traces of one layer between its synapses.
#[derive(Clone, Debug)]
struct LayerState<F> {
    /// z and z̄ of the sources.
    sources: DoubleTrace<F>,
    /// Error events of this step, padded.
    events: Aligned<F>,
    /// Filtered errors of the neurons.
    errors: DoubleTrace<F>,
    /// Slow spike trace of the neurons.
    het: Vec<F>,
    /// Σ over the block of the trace to the power a, at steps with an error.
    penalty: Vec<F>,
    window: synapses::Window<F>,
}

impl<F: Real> LayerState<F> {
    fn new(sources: usize, neurons: usize) -> Self {
        Self {
            sources: DoubleTrace::new(sources),
            events: Aligned::zeros(padded(neurons)),
            errors: DoubleTrace::new(neurons),
            het: vec![F::zero(); neurons],
            penalty: vec![F::zero(); neurons],
            window: synapses::Window::new(sources, neurons),
        }
    }
}

/// What a trial came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrialOutcome {
    /// Van Rossum cost per output neuron, in missing spikes: Σ (α∗Δ)² by what one spike costs.
    pub cost: f64,
    /// Spikes of the outputs: step of the trial and neuron.
    pub spikes: Vec<(u32, u16)>,
    /// Spikes of the hidden layer.
    pub hidden_spikes: usize,
    /// Errors counted by the teacher.
    pub score: Score,
}

/// The learner: weights, eligibilities, traces. One hidden layer or none.
#[derive(Clone, Debug)]
pub struct SuperSpike<F> {
    config: SuperSpikeConfig,
    sizes: Vec<usize>,
    synapses: Vec<Synapses<F>>,
    states: Vec<LayerState<F>>,
    feedback: Aligned<F>,
    activity: Activity<F>,
    attention: Attention,
    factors: Factors<F>,
    het_decay: F,
    block: usize,
    in_chunk: usize,
    in_block: usize,
    steps: u64,
    learns: bool,
    energy: f64,
}

kernel! {
    /// `σ' = (1 + |β (U − 1)|)⁻²`, 0 below the floor.
    fn surrogate[F: Real](sigma: &mut [F], membranes: &[F], beta: F, floor: F) {
        for (s, u) in sigma.iter_mut().zip(membranes) {
            let h = F::one() + (beta * (*u - F::one())).abs();
            let x = F::one() / (h * h);
            *s = if *u < floor { F::zero() } else { x };
        }
    }
}

impl<F: Real> SuperSpike<F> {
    /// A learner for `sizes`: inputs, hidden neurons if any, outputs. First weights and random
    /// feedback from `seed`.
    ///
    /// # Errors
    /// [`ModelError::Architecture`] for another number of layers, [`ModelError::Size`] for a size of 0
    /// or beyond 65535, and what [`SuperSpikeConfig::check`] finds.
    pub fn new(config: SuperSpikeConfig, sizes: &[usize], seed: u64) -> Result<Self> {
        config.check()?;
        if !(2..=3).contains(&sizes.len()) {
            let problem = "SuperSpike takes one hidden layer or none: give two or three sizes";
            return Err(ModelError::Architecture { layer: sizes.len(), problem });
        }
        if let Some(got) = sizes.iter().find(|n| !(1..=65535).contains(*n)) {
            return Err(ModelError::Size { what: "a layer's size", got: *got, max: 65535 });
        }
        let layers = sizes.windows(2).enumerate();
        let synapses =
            layers.map(|(k, pair)| Synapses::draw(&config, k, pair[0], pair[1], seed)).collect();
        let feedback = match sizes {
            [_, hidden, outputs] => config.feedback.draw(*outputs, *hidden, seed),
            _ => Aligned::default(),
        };
        let (decay, follow) = (config.decay(config.tau_syn_ms), config.follow());
        Ok(Self {
            sizes: sizes.to_vec(),
            synapses,
            states: sizes.windows(2).map(|pair| LayerState::new(pair[0], pair[1])).collect(),
            feedback,
            activity: Activity::new(sizes),
            attention: Attention::default(),
            factors: Factors { decay: F::of(decay), follow: F::of(follow), tiny: F::of(TINY) },
            het_decay: F::of(config.decay(config.tau_het_ms)),
            block: config.steps(config.block_ms).max(1),
            in_chunk: 0,
            in_block: 0,
            steps: 0,
            learns: true,
            energy: kernel_energy(decay, follow),
            config,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &SuperSpikeConfig {
        &self.config
    }

    /// Weights of every layer.
    #[must_use]
    pub fn layers(&self) -> &[Synapses<F>] {
        &self.synapses
    }

    /// Weights of a layer, to be set.
    pub fn layer_mut(&mut self, layer: usize) -> Option<&mut Synapses<F>> {
        self.synapses.get_mut(layer)
    }

    /// Feedback weight from `output` to `hidden` if it is fixed.
    #[must_use]
    pub fn feedback(&self, output: usize, hidden: usize) -> Option<F> {
        let outputs = self.sizes.last().copied().unwrap_or(0);
        let inside = self.sizes.len() == 3 && output < outputs && hidden < self.sizes[1];
        if !inside {
            return None;
        }
        self.feedback.get(output * padded(self.sizes[1]) + hidden).copied()
    }

    /// Steps seen so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether weights change and eligibilities are kept up. Off: only costs are measured.
    pub fn set_learning(&mut self, learns: bool) {
        self.learns = learns;
    }

    /// Puts every trace and eligibility to rest, for trials that do not go on from the one before.
    /// Sums and normalisers stay.
    pub fn rest(&mut self) {
        self.carry_over();
        for (state, synapses) in self.states.iter_mut().zip(&mut self.synapses) {
            state.sources.clear();
            state.errors.clear();
            state.het.fill(F::zero());
            synapses.forget();
        }
    }

    /// One trial with the own neurons, from the state that `net` is in: `inputs` is one sample,
    /// `teacher` judges it.
    ///
    /// # Errors
    /// [`ModelError::Input`] if the sizes do not fit.
    pub fn trial(
        &mut self,
        net: &mut EulerNet<F>,
        inputs: &SpikeTrains,
        teacher: Teacher<'_>,
    ) -> Result<TrialOutcome> {
        self.fits("input units", self.sizes[0], inputs.units())?;
        if let Teacher::Spikes(targets) = teacher {
            self.fits("target units", self.sizes[self.sizes.len() - 1], targets.units())?;
            self.fits("steps of the targets", inputs.steps(), targets.steps())?;
        }
        let mut activity = std::mem::take(&mut self.activity);
        let mut outcome = self.begin_trial(teacher);
        for step in 0..inputs.steps() {
            net.step(&self.synapses, inputs.at(0, step), &mut activity);
            self.judged(&mut activity, teacher, step, &mut outcome);
        }
        self.activity = activity;
        self.end_trial(&mut outcome);
        Ok(outcome)
    }

    /// Begins a trial whose forward pass comes from elsewhere.
    pub fn begin_trial(&mut self, teacher: Teacher<'_>) -> TrialOutcome {
        self.attention.begin(teacher);
        TrialOutcome::default()
    }

    /// One step of such a trial: fills the errors of `activity`, then [`observe`](Self::observe)s it.
    pub fn judged(
        &mut self,
        activity: &mut Activity<F>,
        teacher: Teacher<'_>,
        step: usize,
        outcome: &mut TrialOutcome,
    ) {
        if let Some(spikes) = activity.spikes.last() {
            self.attention.judge(teacher, step, spikes, &mut activity.errors, &mut outcome.score);
            outcome.spikes.extend(spikes.iter().map(|id| (step as u32, *id)));
        }
        if activity.spikes.len() > 1 {
            outcome.hidden_spikes += activity.spikes[0].len();
        }
        outcome.cost += self.observe(activity);
    }

    /// Ends such a trial: brings the synapses up to date and the cost to its unit.
    pub fn end_trial(&mut self, outcome: &mut TrialOutcome) {
        self.carry_over();
        let outputs = self.sizes[self.sizes.len() - 1];
        outcome.cost /= self.energy * outputs as f64;
    }

    fn fits(&self, what: &'static str, expected: usize, got: usize) -> Result<()> {
        if expected == got { Ok(()) } else { Err(ModelError::Input { what, expected, got }) }
    }

    /// One step, wherever it was computed or measured: traces, errors, and at the end of a block the
    /// update. Returns Σ (α∗Δ)² over the outputs.
    pub fn observe(&mut self, activity: &Activity<F>) -> f64 {
        let at = self.in_chunk;
        let last = self.states.len() - 1;
        let Factors { decay, follow, .. } = self.factors;
        // The slow trace of a source moves as the membranes did in this step.
        for (state, arrivals) in self.states.iter_mut().zip(&activity.arrivals) {
            state.sources.arrive(arrivals, decay, follow);
        }
        if self.learns {
            self.put_surrogates(activity, at);
        }
        self.spread_errors(activity);
        let mut squares = 0.0;
        for (k, state) in self.states.iter_mut().enumerate() {
            if k == last || self.config.straight_through {
                state.errors.take(&state.events, decay, follow);
            }
            if k == last {
                let outputs = &state.errors.slow[..self.sizes[k + 1]];
                squares = outputs.iter().map(|e| (*e * *e).wide()).sum();
            }
        }
        if self.learns {
            if last == 1 && !self.config.straight_through {
                self.propagate_errors(at);
            }
            self.put_errors(activity, at);
            self.in_chunk += 1;
        }
        self.steps += 1;
        self.in_block += 1;
        if self.in_chunk == CHUNK {
            self.carry_over();
        }
        if self.in_block == self.block {
            self.update();
        }
        squares
    }

    /// Surrogates of this step go to the window.
    fn put_surrogates(&mut self, activity: &Activity<F>, at: usize) {
        let (beta, floor) = (F::of(self.config.beta), F::of(self.config.floor));
        for (k, state) in self.states.iter_mut().enumerate() {
            let neurons = self.sizes[k + 1];
            let sigma = &mut state.window.sigma[at * padded(neurons)..][..neurons];
            surrogate(sigma, &activity.membranes[k][..neurons], beta, floor);
            if self.config.sigma_at_spikes {
                for id in &activity.spikes[k] {
                    sigma[usize::from(*id)] = F::one();
                }
            }
        }
    }

    /// The events of the outputs, and of the hidden layer through the feedback.
    fn spread_errors(&mut self, activity: &Activity<F>) {
        for state in &mut self.states {
            state.events.fill(F::zero());
        }
        let last = self.states.len() - 1;
        for (k, sign) in &activity.errors {
            self.states[last].events[usize::from(*k)] += *sign;
        }
        if last == 0 || !self.config.straight_through {
            return;
        }
        let hidden = self.sizes[1];
        for (k, sign) in &activity.errors {
            let output = usize::from(*k);
            let events = &mut self.states[0].events[..hidden];
            if self.feedback.is_empty() {
                for (i, event) in events.iter_mut().enumerate() {
                    *event += *sign * self.synapses[1].row(i)[output];
                }
            } else {
                let row = &self.feedback[output * padded(hidden)..][..hidden];
                for (event, b) in events.iter_mut().zip(row) {
                    *event += *sign * *b;
                }
            }
        }
    }

    /// Without straight-through: the filtered errors of the outputs times their surrogates.
    fn propagate_errors(&mut self, at: usize) {
        let (hidden, outputs) = (self.sizes[1], self.sizes[2]);
        let [first, second] = &mut self.states[..] else { return };
        let sigma = &second.window.sigma[at * padded(outputs)..][..outputs];
        let slow = &mut first.errors.slow;
        slow.fill(F::zero());
        for (k, (s, e)) in sigma.iter().zip(second.errors.slow.iter()).enumerate() {
            let credit = *s * *e;
            if credit == F::zero() {
                continue;
            }
            for (i, x) in slow[..hidden].iter_mut().enumerate() {
                let b = match self.feedback.is_empty() {
                    true => self.synapses[1].row(i)[k],
                    false => self.feedback[k * padded(hidden) + i],
                };
                *x += credit * b;
            }
        }
    }

    /// Errors and source traces of this step go to the window; the regulariser is added up.
    fn put_errors(&mut self, activity: &Activity<F>, at: usize) {
        let quiet = F::of(QUIET);
        let exponent = F::of(self.config.exponent);
        for (k, state) in self.states.iter_mut().enumerate() {
            let stride = padded(self.sizes[k + 1]);
            state.window.errors[at * stride..][..stride].copy_from_slice(&state.errors.slow);
            state.window.put_traces(at, &state.sources.slow);
            let hidden = k + 1 < self.sizes.len() - 1;
            if hidden && self.config.rho > 0.0 {
                for id in &activity.spikes[k] {
                    state.het[usize::from(*id)] += F::one();
                }
                let slow = state.errors.slow.iter();
                for ((z, sum), e) in state.het.iter_mut().zip(&mut state.penalty).zip(slow) {
                    if e.abs() >= quiet {
                        *sum += power(*z, exponent);
                    }
                    *z *= self.het_decay;
                }
            }
        }
    }

    /// Carries the synapses over the steps that are kept.
    fn carry_over(&mut self) {
        if self.in_chunk == 0 {
            return;
        }
        for (state, synapses) in self.states.iter_mut().zip(&mut self.synapses) {
            synapses.carry_over(&mut state.window, self.in_chunk, self.factors);
        }
        self.in_chunk = 0;
    }

    /// The update at the end of a block.
    fn update(&mut self) {
        self.carry_over();
        self.in_block = 0;
        if !self.learns {
            return;
        }
        let block_ms = self.block as f64 * self.config.dt_ms;
        let seconds = self.steps as f64 * self.config.dt_ms * 1e-3;
        let update = Update {
            per_step: F::of(1.0 / self.block as f64),
            keep: F::of(libm::exp(-block_ms / self.config.tau_rms_ms)),
            rate: F::of(self.config.rate_at(seconds)),
            epsilon: F::of(self.config.epsilon),
            limit: F::of(self.config.weight_limit),
        };
        let rho = F::of(self.config.rho_model());
        for (state, synapses) in self.states.iter_mut().zip(&mut self.synapses) {
            for penalty in &mut state.penalty {
                *penalty *= rho;
            }
            synapses.update(update, &state.penalty);
            state.penalty.fill(F::zero());
        }
    }

    /// Every number that continues a training with the same bits, by name; call it between trials.
    #[must_use]
    pub fn state(&self) -> Vec<(String, Vec<f64>)> {
        let wide = |values: &[F]| values.iter().map(|x| x.wide()).collect::<Vec<f64>>();
        let clock = vec![self.steps as f64, self.in_block as f64];
        let mut all = vec![("clock".to_owned(), clock)];
        for (k, (synapses, state)) in self.synapses.iter().zip(&self.states).enumerate() {
            for (name, values) in synapses.state() {
                all.push((format!("layers.{k}.{name}"), values));
            }
            for (name, values) in [
                ("source-fast", &state.sources.fast[..]),
                ("source-slow", &state.sources.slow[..]),
                ("error-fast", &state.errors.fast[..]),
                ("error-slow", &state.errors.slow[..]),
                ("het", &state.het[..]),
                ("penalty", &state.penalty[..]),
            ] {
                all.push((format!("layers.{k}.{name}"), wide(values)));
            }
        }
        all
    }

    /// Puts an array of [`state`](Self::state) back.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] for a name or a length that does not belong to this learner.
    pub fn restore(&mut self, name: &str, values: &[f64]) -> Result<()> {
        if name == "clock" && values.len() == 2 {
            (self.steps, self.in_block) = (values[0] as u64, values[1] as usize);
            return Ok(());
        }
        if self.put_back(name, values) {
            return Ok(());
        }
        let problem = format!("{} values do not belong to this network", values.len());
        Err(ModelError::Checkpoint { name: name.into(), problem })
    }

    fn put_back(&mut self, name: &str, values: &[f64]) -> bool {
        let mut parts = name.splitn(3, '.').skip(1);
        let index = parts.next().and_then(|k| k.parse::<usize>().ok());
        let (Some(k), Some(what)) = (index, parts.next()) else { return false };
        let Some(state) = self.states.get_mut(k) else { return false };
        let target: &mut [F] = match what {
            "source-fast" => &mut state.sources.fast,
            "source-slow" => &mut state.sources.slow,
            "error-fast" => &mut state.errors.fast,
            "error-slow" => &mut state.errors.slow,
            "het" => &mut state.het,
            "penalty" => &mut state.penalty,
            _ => return self.synapses[k].restore(what, values),
        };
        if target.len() != values.len() {
            return false;
        }
        for (x, value) in target.iter_mut().zip(values) {
            *x = F::of(*value);
        }
        true
    }
}

/// `x^a` for `x ≥ 0`, the same bits everywhere.
fn power<F: Real>(x: F, a: F) -> F {
    if x > F::zero() { (a * x.det_ln()).det_exp() } else { F::zero() }
}

#[cfg(test)]
mod tests;
