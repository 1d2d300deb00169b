//! A chip that runs the forward passes of DECOLLE: spikes and membranes of all layers come back, traces,
//! readouts and the rule stay on the host.
//!
//! What of the model becomes what of the chip:
//!
//! | model | chip |
//! |---|---|
//! | a step | `chip.dt_us`; P and Q decay by α and β a step: τ_mem = −dt/ln α, τ_syn = −dt/ln β |
//! | U, threshold 0 | `U = rest (V − 1)`, with V in thresholds above the chip's own rest: a membrane rests `chip.rest` below 0 |
//! | bias b | a line that fires at every step, of weight (b + rest)/gain: it lifts the rest to b. It acts fully a few τ_mem after the start, which burn-in must leave out |
//! | refractory memory R | none: after a spike the membrane is put (1 − α_r) w_rp below the threshold (reset potential), the first value of R, if the chip can |
//! | P, Q of the rule | the host's, from measured spikes with the nominal constants |
//! | pooling, convolution | none: dense layers only |
//!
//! Weights change between batches, not within them (`update_every = 0`).

use crate::calibration_choice::Device;
use crate::chip_loop::{ChipLoop, LoopCounters, LoopError, Needs};
use crate::lesson::{Figures, LessonError, State};
use serde::{Deserialize, Serialize};
use spikeloop_calibration::{Baseline, Codes, Grid, LayerTarget, Site};
use spikeloop_calibration::{SpikeTiming, Spread, TranslationOptions};
use spikeloop_hal::{Capabilities, Parameter};
use spikeloop_models::method::decolle::{
    Batch, Decolle, DecolleConfig, LayerKind, Part, REQUIREMENTS,
};
use spikeloop_models::observation::LayerObservation;
use spikeloop_models::spike_train::SpikeTrains;

/// The section `[chip]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChipConfig {
    /// Microseconds of a step.
    pub(super) dt_us: f64,
    /// How far below the threshold a membrane rests, in units of U.
    pub(super) rest: f64,
    /// Factor on the strength of the chip's synapses: weights of this method are many and small.
    pub(super) gain: f64,
    /// Layout over the array.
    pub(super) spread: Spread,
    /// Reference of the membranes.
    pub(super) baseline: Baseline,
    /// Whether a calibration sets the chip, or only leaves out what cannot be used.
    pub(super) codes: Codes,
}

impl Default for ChipConfig {
    fn default() -> Self {
        Self {
            dt_us: 1.0,
            rest: 1.0,
            gain: 1.0,
            spread: Spread::default(),
            baseline: Baseline::default(),
            codes: Codes::default(),
        }
    }
}

impl ChipConfig {
    /// Refuses numbers that make no sense.
    pub(super) fn check(&self) -> Result<(), LessonError> {
        for (key, got) in
            [("chip.dt_us", self.dt_us), ("chip.rest", self.rest), ("chip.gain", self.gain)]
        {
            if !(got.is_finite() && got > 0.0) {
                return Err(LessonError::Value { key, got: got.to_string(), must: "positive" });
            }
        }
        Ok(())
    }
}

/// Refuses what no chip does, before data are read.
pub(super) fn check(config: &DecolleConfig) -> Result<(), LessonError> {
    let refuse = |key, got: String, must| Err(LessonError::Value { key, got, must });
    if config.layers.iter().any(|layer| !matches!(layer, LayerKind::Dense { .. })) {
        let must = "of dense layers alone on a chip: leave convolutions out, or add --software";
        return refuse("network.layers", "a convolution".into(), must);
    }
    if config.update_every != 0 {
        let must = "0 on a chip: weights change between runs, not within them";
        return refuse("network.update_every", config.update_every.to_string(), must);
    }
    if config.regularisation != 0.0 {
        let must =
            "0 (left out) on a chip: its means are over the whole batch, which comes in parts";
        return refuse("network.regularisation", config.regularisation.to_string(), must);
    }
    match config.trigger {
        None => Ok(()),
        Some(share) => {
            let must = "left out on a chip: it follows the whole batch, which comes in parts";
            refuse("network.trigger", share.to_string(), must)
        }
    }
}

/// A chip with the network on it.
pub(super) struct Board {
    pub(super) chip: ChipLoop,
    identity: String,
    pub(super) inputs: usize,
    pub(super) rest: f32,
    /// Of the model, on incoming spikes.
    pub(super) gain: f32,
    /// Inputs and the line of the bias.
    lines: SpikeTrains,
    /// Number of the next trial: it selects the noise of an emulated chip.
    pub(super) trial: u64,
    /// Weights of the last network that codes cannot express.
    clipped: u64,
    /// Counters at the last figures.
    mark: LoopCounters,
}

impl Board {
    /// Places `net`, which has so many `inputs` and sees a sample for so many `steps`.
    pub(super) fn new(
        device: Device,
        config: ChipConfig,
        net: &Decolle<f32>,
        [inputs, steps]: [usize; 2],
    ) -> Result<Self, LessonError> {
        let caps = device.chip.capabilities();
        REQUIREMENTS.check(true, caps.adc.is_some(), false)?;
        let identity = caps.identity.to_string();
        let scale = gain_scale(caps, config.gain)?;
        let model = net.config();
        let tau = |decay: f64| -config.dt_us / decay.max(f64::MIN_POSITIVE).ln();
        let target = |units: usize| LayerTarget {
            units,
            tau_mem_us: tau(model.alpha),
            tau_syn_us: tau(model.beta),
            spiking: true,
            recurrent: false,
            psp_peak: net.psp_peak() / (config.rest * scale),
            site: Site::Chip,
        };
        let needs = Needs {
            grid: Grid { dt_us: config.dt_us as f32, steps },
            inputs: inputs + 1,
            layers: net.units().into_iter().map(target).collect(),
            options: TranslationOptions {
                spread: config.spread,
                membranes: true,
                baseline: config.baseline,
                timing: SpikeTiming::NewCurrent,
                window: None,
            },
            codes: config.codes,
        };
        let design = |p| caps.parameter(p).map(|spec| f64::from(spec.value(spec.code_default)));
        let potentials =
            [Parameter::Threshold, Parameter::LeakPotential, Parameter::ResetPotential];
        let jump = (1.0 - model.alpha_refractory) * model.refractory_weight / config.rest;
        // From the reset of the design to `jump` thresholds below the threshold.
        let shift = match potentials.map(design) {
            [Some(threshold), Some(leak), Some(reset)] => {
                Some((threshold - (threshold - leak) * jump - reset) as f32)
            }
            _ => None,
        };
        let calibration = device.calibration.as_ref().map(|chosen| &chosen.calibration);
        let mut chip = ChipLoop::placed(device.chip, &needs, calibration)?;
        for parameter in [Parameter::GainExc, Parameter::GainInh] {
            chip.adjust(parameter, |_, code| f64::from(code) * scale);
        }
        if let Some(shift) = shift {
            chip.adjust(Parameter::ResetPotential, |spec, code| {
                let wanted = spec.value(spec.code_default) + shift;
                let moved = f64::from(spec.nearest_code(wanted).0) - f64::from(spec.code_default);
                f64::from(code) + moved
            });
        }
        chip.set(Parameter::Refractory, config.dt_us as f32);
        Ok(Self {
            chip,
            identity,
            inputs,
            rest: config.rest as f32,
            gain: model.gain as f32,
            lines: SpikeTrains::default(),
            trial: 0,
            clipped: 0,
            mark: LoopCounters::default(),
        })
    }

    /// Writes weights and biases.
    pub(super) fn write(&mut self, net: &Decolle<f32>) -> Result<(), LoopError> {
        let before = self.chip.counters().clipped_weights;
        for l in 0..net.depth() {
            let (mut weights, bias) = net.dense(l);
            let lift = bias.iter().map(|b| (*b + self.rest) / self.gain);
            if l == 0 {
                weights.extend(lift);
                self.chip.write_lines(0, 0, &weights)?;
            } else {
                self.chip.write_layer(l, &weights, None)?;
                let lift: Vec<f32> = lift.collect();
                self.chip.write_lines(l, self.inputs, &lift)?;
            }
        }
        self.clipped = self.chip.counters().clipped_weights - before;
        self.chip.send()
    }

    /// Keeps the weights within what codes express.
    pub(super) fn clamp(&self, net: &mut Decolle<f32>) {
        for l in 0..net.depth() {
            if let Some(limit) = self.chip.translation().weight_limit(l) {
                net.clamp(l, limit);
            }
        }
    }

    /// Runs a batch and hands what was measured of every part of it to `each`, in order.
    pub(super) fn run(
        &mut self,
        batch: &Batch<'_>,
        mut each: impl FnMut(Part<'_, f32>) -> Result<(), LessonError>,
    ) -> Result<(), LessonError> {
        let (samples, steps) = (batch.inputs.samples(), batch.inputs.steps());
        self.lines.reset(steps, self.inputs + 1);
        for sample in 0..samples {
            for step in 0..steps {
                batch.inputs.at(sample, step).iter().for_each(|id| self.lines.push(*id));
                self.lines.push(self.inputs as u16);
                self.lines.end_step();
            }
        }
        let first_trial = self.trial;
        self.trial += samples as u64;
        let (mut inputs, mut layers) = (SpikeTrains::default(), Vec::new());
        let rest = self.rest;
        self.chip.run(&self.lines, first_trial, |range, observation| {
            inputs.copy_range(batch.inputs, range.clone());
            layers.clear();
            layers.extend(observation.layers.iter().map(|layer| LayerObservation {
                spikes: layer.spikes.clone(),
                membrane:
                    layer.membrane.as_ref().map(|v| v.iter().map(|v| rest * (*v - 1.0)).collect()),
            }));
            let labels = &batch.labels[range.clone()];
            let batch = Batch { inputs: &inputs, labels, key: batch.key };
            each(Part { batch, place: (range.start, samples), layers: &layers })
        })
    }

    /// What must not be silent, since the last call.
    pub(super) fn figures(&mut self) -> Figures {
        let now = self.chip.counters();
        let of = |get: fn(&LoopCounters) -> u64| (get(&now) - get(&self.mark)) as f64;
        let figures = vec![
            ("clipped_weights", self.clipped as f64),
            ("saturated_samples", of(|c| c.saturated_samples)),
            ("unreliable_samples", of(|c| c.unreliable_samples)),
            ("dropped_events", of(|c| c.dropped_events)),
            ("unused_spikes", of(|c| c.unused_spikes)),
            ("repeated_trials", of(|c| c.retries)),
        ];
        self.mark = now;
        figures
    }

    /// Which chip it is, and how far the numbers of trials are.
    pub(super) fn save(&self, state: &mut State) {
        state.put_text("chip.identity", &self.identity);
        state.put_text("chip.trial", self.trial);
    }

    /// Goes on on the same chip.
    pub(super) fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        let learned: String = state.text("chip.identity")?;
        if learned != self.identity {
            let problem =
                format!("is {learned}, this is {}: weights belong to their chip", self.identity);
            return Err(LessonError::State { name: "chip.identity".into(), problem });
        }
        self.trial = state.text("chip.trial")?;
        Ok(())
    }
}

/// What becomes of `wanted`, a factor on the gain, in whole codes of a chip: codes and gain of a proportional
/// law go together.
fn gain_scale(caps: &Capabilities, wanted: f64) -> Result<f64, LessonError> {
    let Some(spec) = caps.parameter(Parameter::GainExc).filter(|_| wanted != 1.0) else {
        if wanted == 1.0 {
            return Ok(1.0);
        }
        let must = "1: the strength of this chip's synapses cannot be set";
        return Err(LessonError::Value { key: "chip.gain", got: wanted.to_string(), must });
    };
    let code = (f64::from(spec.code_default) * wanted).round();
    if code < f64::from(spec.code_min.max(1)) || code > f64::from(spec.code_max) {
        let must = "within what the chip's synapses can be set to";
        return Err(LessonError::Value { key: "chip.gain", got: wanted.to_string(), must });
    }
    let default = f64::from(spec.value(spec.code_default));
    Ok(f64::from(spec.value(code as u16)) / default)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
