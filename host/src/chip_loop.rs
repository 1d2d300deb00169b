//! A chip in the loop: batches go out in runs that fit its buffers, measurements come back in model units
//! ([`ChipLoop::run`]), or as they are ([`ChipLoop::exchange`]).
//!
//! While the host works on one run the chip already executes the next one: the gradient stays exact, because
//! the weights change only between batches.

use crate::experiment::{Backward, Experiment, Observe, layer_targets};
use spikeloop_calibration::{
    Calibration, Codes, Grid, LayerTarget, ObserveReport, TraceBytes, Translation,
    TranslationOptions, WeightReport,
};
use spikeloop_hal::session::budget::Budget;
use spikeloop_hal::{
    Capabilities, Chip, ChipConfig, Health, LinkUse, Observables, Parameter, ParameterSpec, Runner,
    SessionOptions, Stimulus, TimeSplit,
};
use spikeloop_models::network::Network;
use spikeloop_models::observation::Observation;
use spikeloop_models::spike_train::SpikeTrains;
use std::collections::VecDeque;
use std::ops::Range;

/// What can go wrong in the loop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopError {
    /// The chip, or the way to it.
    #[error(transparent)]
    Chip(#[from] spikeloop_hal::Error),
    /// The network does not fit the chip.
    #[error(transparent)]
    Translation(#[from] spikeloop_calibration::Error),
    /// A measured gradient without measurements.
    #[error(
        "chip.backward = \"measured\" needs a calibration of this chip: make one with `spikeloop calibrate`, or use \"nominal\""
    )]
    NoCalibration,
}

/// Counters of everything that must not be silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LoopCounters {
    /// Events lost on the way in or out.
    pub dropped_events: u64,
    /// Trials or frames that were repeated.
    pub retries: u64,
    /// Samples at a rail of the converter.
    pub saturated_samples: u64,
    /// Samples outside the range in which the converter can be trusted.
    pub unreliable_samples: u64,
    /// Second spikes of a neuron within one state, and spikes after the last state: not used.
    pub unused_spikes: u64,
    /// Weights that were outside the range of codes, summed over writes.
    pub clipped_weights: u64,
    /// Trials run.
    pub trials: u64,
    /// Trials of a warm start on a digital twin, which the chip did not have to run.
    #[serde(default)]
    pub twin_trials: u64,
    /// What membranes cost on the link, or would in process.
    #[serde(default)]
    pub trace_bytes: TraceBytes,
    /// Where the time went.
    pub time: TimeSplit,
}

/// What a network needs of a chip, whichever way it learns.
#[derive(Clone, Debug)]
pub struct Needs {
    /// The model's clock and the length of a trial.
    pub grid: Grid,
    /// Input lines.
    pub inputs: usize,
    /// Layers, from the first one after the inputs.
    pub layers: Vec<LayerTarget>,
    /// What comes back, and where the layers lie.
    pub options: TranslationOptions,
    /// Whether a calibration sets the chip, or only says what it is like.
    pub codes: Codes,
}

/// A chip with everything needed to run batches of one network on it.
pub struct ChipLoop {
    runner: Runner,
    translation: Translation,
    config: ChipConfig,
    observation: Observation<f32>,
    counters: LoopCounters,
}

impl ChipLoop {
    /// Places `network` on `chip`.
    ///
    /// # Errors
    /// [`LoopError::Translation`] if it does not fit.
    pub fn new(
        chip: Box<dyn Chip>,
        network: &Network<f32>,
        experiment: &Experiment,
        observe: Observe,
    ) -> Result<Self, LoopError> {
        Self::calibrated(chip, network, experiment, observe, None)
    }

    /// The same with a calibration of the chip, if there is one; [`ChipSpec::codes`](crate::experiment::ChipSpec)
    /// says how it is used.
    ///
    /// # Errors
    /// [`LoopError::Translation`] if the network does not fit or the calibration is of another chip;
    /// [`LoopError::NoCalibration`].
    pub fn calibrated(
        chip: Box<dyn Chip>,
        network: &Network<f32>,
        experiment: &Experiment,
        observe: Observe,
        calibration: Option<&Calibration>,
    ) -> Result<Self, LoopError> {
        if experiment.chip.backward == Backward::Measured && calibration.is_none() {
            return Err(LoopError::NoCalibration);
        }
        let options = TranslationOptions {
            spread: experiment.chip.spread,
            membranes: observe.membranes(),
            baseline: experiment.chip.baseline,
            timing: experiment.timing(),
            window: experiment.chip.trace_window,
        };
        let needs = Needs {
            grid: experiment.grid(),
            inputs: network.inputs,
            layers: layer_targets(network, observe),
            options,
            codes: experiment.chip.codes,
        };
        Self::placed(chip, &needs, calibration)
    }

    /// Places what `needs` describes on `chip`.
    ///
    /// # Errors
    /// [`LoopError::Translation`] if it does not fit or the calibration is of another chip.
    pub fn placed(
        chip: Box<dyn Chip>,
        needs: &Needs,
        calibration: Option<&Calibration>,
    ) -> Result<Self, LoopError> {
        let (caps, layers, options) = (chip.capabilities(), &needs.layers[..], needs.options);
        let (grid, inputs) = (needs.grid, needs.inputs);
        let translation = match calibration {
            None => Translation::new(caps, grid, inputs, layers, options),
            Some(calibration) => {
                let codes = needs.codes;
                Translation::calibrated(caps, grid, inputs, layers, options, calibration, codes)
            }
        }?;
        let config = translation.configuration();
        Ok(Self {
            runner: Runner::new(chip),
            translation,
            config,
            observation: Observation::default(),
            counters: LoopCounters::default(),
        })
    }

    /// What the chip is.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        self.runner.chip().capabilities()
    }

    /// How the network is translated.
    #[must_use]
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    /// What the gradient should go back through, as `network` is described by its nominal parameters: units
    /// about which nothing was measured stay as they are.
    pub fn describe(&self, network: &mut Network<f32>) {
        for (l, layer) in network.layers.iter_mut().enumerate() {
            if let Some(values) = self.translation.unit_values(l) {
                values.write_into(&mut layer.spec);
            }
        }
    }

    /// Takes thresholds of the units of a layer over, in units of the membrane; those of units that are not
    /// there are ignored.
    pub fn set_thresholds(&mut self, l: usize, thresholds: Vec<f32>) {
        self.translation.set_thresholds(l, thresholds);
    }

    /// Time for which a membrane is held after a spike by design, in µs.
    #[must_use]
    pub fn refractory_us(&self) -> f64 {
        let spec = self.capabilities().parameter(Parameter::Refractory);
        spec.map_or(0.0, |spec| f64::from(spec.value(spec.code_default)))
    }

    /// The chip's own counters.
    #[must_use]
    pub fn health(&self) -> Health {
        self.runner.chip().health()
    }

    /// What the link has carried; `None` without one.
    #[must_use]
    pub fn link_use(&self) -> Option<LinkUse> {
        self.runner.chip().link_use()
    }

    /// What `batch` will put on a link, with `spikes` coming back for each sample; weights that change
    /// are not part of it.
    #[must_use]
    pub fn budget(&self, batch: &SpikeTrains, spikes: f64) -> Budget {
        let samples = batch.samples();
        let most_events = (0..samples).map(|k| batch.count(k)).max().unwrap_or(0);
        let part = self.translation.trials_per_run(most_events).max(1);
        let longest_body = SessionOptions::default().longest_body;
        let mut stimuli = Vec::new();
        let mut sum = Budget::default();
        for first in (0..samples).step_by(part) {
            let range = first..(first + part).min(samples);
            self.translation.stimuli(batch, range, 0, &mut stimuli);
            let recording = &self.config.recording;
            sum = sum + Budget::of(self.capabilities(), recording, &stimuli, spikes, longest_body);
        }
        sum
    }

    /// Counters since the start.
    #[must_use]
    pub fn counters(&self) -> LoopCounters {
        let retries = self.runner.retries() + self.health().retries;
        LoopCounters { retries, ..self.counters }
    }

    /// Trials that stalled and were repeated, so far.
    #[must_use]
    pub fn repeated_trials(&self) -> u64 {
        self.runner.retries()
    }

    /// The chip itself, for what a loop does not do: to learn by itself.
    pub fn chip_mut(&mut self) -> &mut dyn Chip {
        self.runner.chip_mut()
    }

    /// The largest weight of each layer that the chip can express; `None` where there is no limit.
    #[must_use]
    pub fn weight_limits(&self) -> Vec<Option<f32>> {
        (0..self.observation_layers()).map(|l| self.translation.weight_limit(l)).collect()
    }

    fn observation_layers(&self) -> usize {
        self.translation.placement().layers()
    }

    /// Writes the weights; only codes that changed travel.
    ///
    /// # Errors
    /// [`LoopError`].
    pub fn write(&mut self, network: &Network<f32>) -> Result<(), LoopError> {
        for (l, layer) in network.layers.iter().enumerate() {
            let recurrent = layer.recurrent.as_ref().and_then(|r| r.as_slice());
            self.write_layer(l, layer.weights.as_slice().unwrap_or(&[]), recurrent)?;
        }
        self.send()
    }

    /// Writes the weights of layer `l` into the configuration, which [`Self::send`] brings to the chip:
    /// `[pre, post]`, with the inputs or the layer below as `pre`.
    ///
    /// # Errors
    /// [`LoopError::Translation`] for another shape.
    pub fn write_layer(
        &mut self,
        l: usize,
        weights: &[f32],
        recurrent: Option<&[f32]>,
    ) -> Result<(), LoopError> {
        let report = self.translation.write_weights(l, weights, recurrent, &mut self.config)?;
        self.count_clipped(report);
        Ok(())
    }

    /// Writes the weights of input lines, from line `first` on, onto layer `l`: `[line, post]`.
    ///
    /// # Errors
    /// [`LoopError::Translation`] for another shape.
    pub fn write_lines(
        &mut self,
        l: usize,
        first: usize,
        weights: &[f32],
    ) -> Result<(), LoopError> {
        let report = self.translation.write_lines(l, first, weights, &mut self.config)?;
        self.count_clipped(report);
        Ok(())
    }

    fn count_clipped(&mut self, report: WeightReport) {
        self.counters.clipped_weights += report.clipped as u64;
    }

    /// Sets a parameter of all placed neurons to the code nearest to `value` by design, in the next
    /// configuration. Nothing happens if the chip cannot set it.
    pub fn set(&mut self, parameter: Parameter, value: f32) {
        self.adjust(parameter, |spec, _| f64::from(spec.nearest_code(value).0));
    }

    /// Changes the code of a parameter of every placed neuron in the next configuration to what `change`
    /// makes of it, rounded and within the range. Nothing happens if the chip cannot set it.
    pub fn adjust(&mut self, parameter: Parameter, change: impl Fn(&ParameterSpec, u16) -> f64) {
        let Some(spec) = self.runner.chip().capabilities().parameter(parameter).copied() else {
            return;
        };
        let Some(codes) = self.config.codes_mut(parameter) else { return };
        let (low, high) = (f64::from(spec.code_min), f64::from(spec.code_max));
        for id in self.translation.placement().circuits() {
            let code = &mut codes[usize::from(*id)];
            *code = change(&spec, *code).round().clamp(low, high) as u16;
        }
    }

    /// Brings the chip to the configuration as it was written; only what changed travels.
    ///
    /// # Errors
    /// [`LoopError::Chip`].
    pub fn send(&mut self) -> Result<(), LoopError> {
        Ok(self.runner.chip_mut().configure(&self.config)?)
    }

    /// Runs a batch and hands the measurements of every part of it, in order, to `each`: the samples it
    /// covers and what was measured. Sample `k` of the batch is trial `first_trial + k`.
    ///
    /// # Errors
    /// [`LoopError`], or what `each` returns.
    pub fn run<E: From<LoopError>>(
        &mut self,
        batch: &SpikeTrains,
        first_trial: u64,
        mut each: impl FnMut(Range<usize>, &Observation<f32>) -> Result<(), E>,
    ) -> Result<(), E> {
        let samples = batch.samples();
        let most_events = (0..samples).map(|k| batch.count(k)).max().unwrap_or(0);
        let mut observation = std::mem::take(&mut self.observation);
        let mut sum = ObserveReport::default();
        let done = self.exchange(
            (samples, most_events),
            |translation, range, stimuli| {
                let first = first_trial + range.start as u64;
                translation.stimuli(batch, range, first, stimuli);
            },
            |translation, range, observables| {
                sum +=
                    translation.observe(observables, &mut observation).map_err(LoopError::from)?;
                each(range, &observation)
            },
        );
        self.observation = observation;
        self.count_observed(sum);
        done
    }

    /// Runs `samples` trials of at most `most_events` input events in parts that fit the chip's buffers:
    /// `fill` makes the stimuli of a part, `each` is given what came back, part by part in order.
    ///
    /// # Errors
    /// [`LoopError`], or what `each` returns.
    pub fn exchange<E: From<LoopError>>(
        &mut self,
        (samples, most_events): (usize, usize),
        mut fill: impl FnMut(&Translation, Range<usize>, &mut Vec<Stimulus>),
        mut each: impl FnMut(&Translation, Range<usize>, &Observables) -> Result<(), E>,
    ) -> Result<(), E> {
        let part = self.translation.trials_per_run(most_events).max(1);
        let mut waiting = VecDeque::new();
        let mut next = 0;
        loop {
            while next < samples && self.runner.has_room() {
                let range = next..(next + part).min(samples);
                next = range.end;
                let mut stimuli = self.runner.stimuli();
                fill(&self.translation, range.clone(), &mut stimuli);
                self.runner.submit(stimuli).map_err(LoopError::from)?;
                waiting.push_back(range);
            }
            let Some(range) = waiting.pop_front() else { return Ok(()) };
            let Some(observables) = self.runner.collect().map_err(LoopError::from)? else {
                return Ok(());
            };
            self.count(&observables);
            let done = each(&self.translation, range, &observables);
            self.runner.recycle(observables);
            done?;
        }
    }

    fn count(&mut self, observables: &Observables) {
        let counters = &mut self.counters;
        counters.dropped_events += observables.dropped_events;
        counters.trials += observables.trials() as u64;
        counters.time += observables.time;
    }

    fn count_observed(&mut self, report: ObserveReport) {
        let counters = &mut self.counters;
        counters.saturated_samples += report.saturated;
        counters.unreliable_samples += report.unreliable;
        counters.unused_spikes += report.double_spikes + report.late_spikes;
        counters.trace_bytes += report.trace_bytes;
    }
}
