//! A chip that runs the trials, and may learn from them itself.
//!
//! The network is laid out straight: input `j` on line `j`, hidden neurons first, outputs behind them;
//! time constants, thresholds and gain are the codes that should give them by the chip's own
//! announcement. A calibration is not used: what the chip is off by is left to learning.

use super::NAME;
use super::config::SuperSpikeExperiment;
use crate::lesson::LessonError;
use crate::lesson::plastic::{chip_error, teach};
use spikeloop_hal::wire::{PlasticityRule, RuleKind};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Observables, Parameter, SpikeEvent, Stimulus};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::superspike::{Activity, SuperSpike};

/// A chip with the network on it.
pub(super) struct Board {
    chip: Box<dyn Chip>,
    config: ChipConfig,
    observables: Observables,
    stimulus: Stimulus,
    sizes: Vec<usize>,
    /// Ticks of a step.
    step: u32,
    /// Ticks between two samples.
    period: u32,
    /// Steps from a hidden spike to its arrival.
    delay: usize,
    /// Converter step of rest, and steps from rest to threshold.
    rest: f64,
    theta: f64,
    weight_step: f64,
    trial: u64,
    stalled: u64,
    dropped: u64,
    clipped: u64,
    teaches: bool,
}

fn unfit(problem: impl Into<String>, remedy: &'static str) -> LessonError {
    LessonError::Unfit { method: NAME, problem: problem.into(), remedy }
}

/// Design value of a parameter at its default code.
fn design(caps: &Capabilities, parameter: Parameter) -> Option<f64> {
    caps.parameter(parameter).map(|spec| f64::from(spec.value(spec.code_default)))
}

impl Board {
    /// Puts the network of `experiment` on `chip`: `steps` steps a trial.
    ///
    /// # Errors
    /// [`LessonError::Unfit`] with what is missing, [`LessonError::Value`], and failures of the chip.
    pub(super) fn new(
        chip: Box<dyn Chip>,
        experiment: &SuperSpikeExperiment,
        sizes: &[usize],
        steps: usize,
    ) -> Result<Self, LessonError> {
        let caps = chip.capabilities().clone();
        let rule = &experiment.rule;
        let Some(adc) = caps.adc else {
            let remedy = "the rule needs them: choose another chip, or add --software";
            return Err(unfit("it records no membranes", remedy));
        };
        let units: usize = sizes[1..].iter().sum();
        if sizes[0] > usize::from(caps.inputs) || units > usize::from(caps.neurons) {
            let problem = format!(
                "the network has {} inputs and {units} neurons, the chip {} and {}",
                sizes[0], caps.inputs, caps.neurons
            );
            let remedy =
                "choose a larger chip, or make network.hidden smaller if it is the neurons";
            return Err(unfit(problem, remedy));
        }
        if sizes.len() > 2 && !caps.recurrent {
            let remedy = "set network.hidden=0, or choose a recurrent one such as loihi-like";
            return Err(unfit("its neurons cannot drive neurons, as a hidden layer does", remedy));
        }
        let us = |ms: f64| ms * 1000.0 / experiment.chip.speedup;
        let step = us(rule.dt_ms) * 1000.0 / f64::from(caps.tick_ns);
        if (step - step.round()).abs() > 1e-6 || step < 0.5 {
            let got = experiment.chip.speedup.to_string();
            let must = "such that a step is a whole number of the chip's ticks";
            return Err(LessonError::Value { key: "chip.speedup", got, must });
        }
        let step = step.round() as u32;
        let period = step * adc.min_period.div_ceil(step);
        let ticks = steps as u64 * u64::from(step);
        let samples = ticks.div_ceil(u64::from(period));
        if ticks > u64::from(caps.max_duration) || samples > u64::from(u16::MAX) {
            let problem = format!(
                "a trial takes {ticks} ticks and {samples} samples, it runs {} and {} at most",
                caps.max_duration,
                u16::MAX
            );
            return Err(unfit(problem, "a larger chip.speedup makes trials shorter"));
        }
        let (Some(threshold), Some(rest)) =
            (design(&caps, Parameter::Threshold), design(&caps, Parameter::LeakPotential))
        else {
            let remedy = "choose another chip, or add --software";
            return Err(unfit("it does not say where threshold and rest are", remedy));
        };
        let mut config = ChipConfig::power_up(&caps);
        let theta = threshold - rest;
        // dU/dt = I/τ_m: a code moves the membrane by gain a µs, a weight of 1 by θ/τ_m.
        let gain = experiment.chip.weight_step * theta / us(rule.tau_mem_ms);
        let wanted = [
            (Parameter::TauMem, us(rule.tau_mem_ms)),
            (Parameter::TauSynExc, us(rule.tau_syn_ms)),
            (Parameter::TauSynInh, us(rule.tau_syn_ms)),
            (Parameter::GainExc, gain),
            (Parameter::GainInh, gain),
            (Parameter::Refractory, us(rule.refractory_ms)),
        ];
        if caps.parameter(Parameter::GainExc).is_none() {
            let remedy = "choose another chip, or add --software";
            return Err(unfit("the strength of its synapses cannot be set", remedy));
        }
        for (parameter, value) in wanted {
            if let (Some(spec), Some(codes)) =
                (caps.parameter(parameter), config.codes_mut(parameter))
            {
                let (code, clipped) = spec.nearest_code(value as f32);
                if clipped {
                    tracing::warn!(
                        "{parameter:?} of {value} is beyond the chip's range: nearest code {code}"
                    );
                }
                codes[..units].fill(code);
            }
        }
        config.enabled[..units].fill(true);
        config.spiking[..units].fill(true);
        config.recording.spikes = true;
        config.recording.traces = (0..units as u16).collect();
        config.recording.sample_period = period;
        config.recording.samples = samples as u16;
        Ok(Self {
            chip,
            config,
            observables: Observables::default(),
            stimulus: Stimulus { trial: 0, duration: ticks as u32, events: Vec::new() },
            sizes: sizes.to_vec(),
            step,
            period,
            delay: rule.steps(rule.hidden_delay_ms).max(1),
            rest,
            theta,
            weight_step: experiment.chip.weight_step,
            trial: 0,
            stalled: 0,
            dropped: 0,
            clipped: 0,
            teaches: false,
        })
    }

    /// Row of the weight matrix of a source of a layer, and first neuron of the layer.
    fn place(&self, layer: usize, source: usize) -> (usize, usize) {
        match layer {
            0 => (source, 0),
            _ => (usize::from(self.chip.capabilities().inputs) + source, self.sizes[1]),
        }
    }

    /// Writes the learner's weights.
    ///
    /// # Errors
    /// Failures of the chip.
    pub(super) fn write(&mut self, learner: &SuperSpike<f32>) -> Result<(), LessonError> {
        let caps = self.chip.capabilities();
        let (low, high) = (f64::from(caps.weight_min), f64::from(caps.weight_max));
        for (k, layer) in learner.layers().iter().enumerate() {
            for source in 0..layer.sources() {
                let (row, first) = self.place(k, source);
                let codes = &mut self.config.row_mut(row)[first..];
                for (code, w) in codes.iter_mut().zip(layer.row(source)) {
                    let exact = (f64::from(*w) / self.weight_step).round();
                    self.clipped += u64::from(exact < low || exact > high);
                    *code = exact.clamp(low, high) as i8;
                }
            }
        }
        self.chip.configure(&self.config).map_err(chip_error)
    }

    /// Runs one trial from rest. A trial whose sampling stalled is repeated, twice at most.
    ///
    /// # Errors
    /// Failures of the chip.
    pub(super) fn run(&mut self, inputs: &SpikeTrains) -> Result<(), LessonError> {
        self.stimulus.events.clear();
        for step in 0..inputs.steps() {
            let tick = step as u32 * self.step;
            let spikes = inputs.at(0, step).iter().map(|id| SpikeEvent::new(tick, *id));
            self.stimulus.events.extend(spikes);
        }
        for _ in 0..3 {
            self.stimulus.trial = self.trial;
            self.trial += 1;
            let ticket =
                self.chip.submit(std::slice::from_ref(&self.stimulus)).map_err(chip_error)?;
            self.chip.collect(ticket, &mut self.observables).map_err(chip_error)?;
            self.dropped += self.observables.dropped_events;
            if self.observables.stalled.is_empty() {
                return Ok(());
            }
            self.stalled += 1;
        }
        let remedy = "look at its converter, or choose another chip";
        Err(unfit("its sampling stalled in three trials one after the other", remedy))
    }

    /// Events lost, weights that were beyond the codes, trials repeated.
    pub(super) fn counters(&self) -> (u64, u64, u64) {
        (self.dropped, self.clipped, self.stalled)
    }

    /// Trials run so far: their numbers select the noise of an emulated chip.
    pub(super) fn trials(&self) -> u64 {
        self.trial
    }

    /// Goes on with this number.
    pub(super) fn set_trials(&mut self, trial: u64) {
        self.trial = trial;
    }

    /// What the chip measured in `step` of the trial that was run last, as the learner wants it.
    /// `next` is the first spike that was not looked at; 0 before the first step.
    pub(super) fn activity(
        &self,
        inputs: &SpikeTrains,
        step: usize,
        next: &mut usize,
        activity: &mut Activity<f32>,
        history: &mut [Vec<u16>],
    ) {
        for spikes in &mut activity.spikes {
            spikes.clear();
        }
        let hidden = if self.sizes.len() > 2 { self.sizes[1] } else { 0 };
        let end = (step as u32 + 1) * self.step;
        let spikes = &self.observables.spikes;
        while let Some(event) = spikes.get(*next).filter(|event| event.tick < end) {
            let id = usize::from(event.id);
            let (layer, unit) =
                if id < hidden { (0, id) } else { (usize::from(hidden > 0), id - hidden) };
            let unit = unit as u16;
            if !activity.spikes[layer].contains(&unit) {
                activity.spikes[layer].push(unit);
            }
            *next += 1;
        }
        activity.arrivals[0].clear();
        activity.arrivals[0].extend_from_slice(inputs.at(0, step));
        if hidden > 0 {
            let slot = step % self.delay;
            std::mem::swap(&mut activity.arrivals[1], &mut history[slot]);
            history[slot].clear();
            history[slot].extend_from_slice(&activity.spikes[0]);
        }
        // The membrane after this step is the sample that begins the next.
        let channels: usize = self.sizes[1..].iter().sum();
        let samples = &self.observables.samples;
        let last = samples.len() / channels - 1;
        let at = ((end / self.period) as usize).min(last) * channels;
        let mut codes = samples[at..at + channels].iter();
        for membranes in &mut activity.membranes {
            for (u, code) in membranes.iter_mut().zip(&mut codes) {
                *u = ((f64::from(*code) - self.rest) / self.theta) as f32;
            }
        }
    }

    /// Empty lists for [`activity`](Self::activity).
    pub(super) fn history(&self) -> Vec<Vec<u16>> {
        vec![Vec::new(); self.delay]
    }

    /// Gives the device the rule, with the feedback that `learner` has.
    ///
    /// # Errors
    /// [`LessonError::Unfit`] if it does not learn, and failures of the chip.
    pub(super) fn teach(
        &mut self,
        experiment: &SuperSpikeExperiment,
        learner: &SuperSpike<f32>,
        block: usize,
    ) -> Result<(), LessonError> {
        let rule = &experiment.rule;
        if self.period != 1 || self.step != 1 {
            let problem = format!(
                "learning in the device needs a step of one tick and a sample in each, here a step is {} \
                 ticks and the converter takes {} a sample",
                self.step, self.period
            );
            let remedy = "choose chip.speedup accordingly, another chip, or learn on the host (--learn host)";
            return Err(unfit(problem, remedy));
        }
        let (inputs, outputs) = (self.sizes[0], self.sizes[self.sizes.len() - 1]);
        let hidden = if self.sizes.len() > 2 { self.sizes[1] } else { 0 };
        let mut feedback = Vec::new();
        for k in 0..outputs {
            for i in 0..hidden {
                let b = learner.feedback(k, i).unwrap_or(0.0);
                let code = (f64::from(b) * 4096.0).round();
                let code = code.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
                feedback.extend(code.to_le_bytes());
            }
        }
        let block_ms = block as f64 * rule.dt_ms;
        let fraction = |x: f64| (x * 65536.0).round().clamp(0.0, 65535.0) as u16;
        let caps = self.chip.capabilities();
        let most = caps.weight_max.min(-caps.weight_min.max(-127));
        let limit = (rule.weight_limit / self.weight_step).min(f64::from(most)) as i8;
        let message = PlasticityRule {
            kind: RuleKind::SuperSpike,
            inputs: inputs as u16,
            hidden_first: 0,
            hidden: hidden as u16,
            output_first: hidden as u16,
            outputs: outputs as u16,
            decay: fraction(rule.decay(rule.tau_syn_ms)),
            follow: fraction(rule.follow()),
            // Of the root of the normaliser.
            keep: fraction((-0.5 * block_ms / rule.tau_rms_ms).exp()),
            rate: (rule.rate / self.weight_step * 256.0).round().clamp(1.0, 65535.0) as u16,
            slope: (rule.beta / self.theta * 256.0).round().clamp(1.0, 65535.0) as u16,
            threshold: (self.rest + self.theta).round() as u16,
            delay: self.delay.min(255) as u8,
            weight_limit: limit,
            feedback: &feedback,
            ..PlasticityRule::default()
        };
        let smaller = "make network.hidden smaller, or learn on the host (--learn host)";
        teach(self.chip.as_mut(), NAME, smaller, &message)?;
        self.teaches = true;
        Ok(())
    }

    /// Sends what was wrong in the trial that was run last: step, output, and whether the spike should
    /// not have been.
    ///
    /// # Errors
    /// Failures of the chip; a device that lost its state has lost what it learned, and refuses.
    pub(super) fn correct(
        &mut self,
        errors: &[(u32, u16, bool)],
        update: bool,
    ) -> Result<(), LessonError> {
        let events: Vec<SpikeEvent> = errors
            .iter()
            .map(|(step, output, wrong)| {
                SpikeEvent::new(step * self.step, 2 * output + u16::from(*wrong))
            })
            .collect();
        let trial = self.stimulus.trial;
        let Some(plastic) = self.chip.plastic() else { return Ok(()) };
        plastic.learn(trial, update, &events).map_err(chip_error)
    }

    /// Reads the weights that the device has learned into the learner.
    ///
    /// # Errors
    /// Failures of the chip.
    pub(super) fn read_back(&mut self, learner: &mut SuperSpike<f32>) -> Result<(), LessonError> {
        if !self.teaches {
            return Ok(());
        }
        for k in 0..self.sizes.len() - 1 {
            for source in 0..self.sizes[k] {
                let (row, first) = self.place(k, source);
                let count = self.sizes[k + 1];
                let Some(plastic) = self.chip.plastic() else { return Ok(()) };
                let codes = plastic
                    .read_weights(row as u16, first as u16, count as u16)
                    .map_err(chip_error)?;
                if let Some(layer) = learner.layer_mut(k) {
                    for (w, code) in layer.row_mut(source).iter_mut().zip(codes) {
                        *w = (f64::from(code) * self.weight_step) as f32;
                    }
                }
            }
        }
        Ok(())
    }
}
