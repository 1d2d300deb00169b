//! Chips that could have been: the network on emulated chips in which only some imperfections of the real one are
//! switched on.
//!
//! With everything off this is the model without its time grid: real weights, every neuron as the model assumes
//! it, membranes without rails, no noise. With everything on it is the digital twin. Real weights are played by
//! integer codes and the gain of each synapse; rails are taken away by lifting every potential and by a
//! converter of 16 bits.

use super::behaviour::{Behaviour, Raw};
use super::cause::{Cause, Causes};
use crate::error::Error;
use crate::translation::Translation;
use spikeloop_hal::emulator::{DrawnChip, Emulator};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Observables, Parameter, Stimulus};

/// How far all potentials are lifted, LSB: far beyond what membranes reach, and still exact to 0.001 LSB in `f32`.
const LIFT_LSB: f64 = 2048.0;
/// Unit of the gain of a synapse in the emulator's files: `gain = 1 + q · 2⁻¹³`.
const SYNAPSE_UNIT: f64 = 1.0 / 8192.0;
/// Weights below this many codes are nothing.
const SMALLEST_WEIGHT: f64 = 1e-4;

/// What the model takes for granted about a chip and what no code of the network says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Assumed {
    /// Time for which a spike holds the membrane, µs.
    pub refractory_us: f64,
    /// Time from a spike to its effect on the next layer, µs.
    pub delay_us: f64,
}

/// Everything that all counterfactual chips have in common.
pub(super) struct Scene<'a> {
    pub(super) translation: &'a Translation,
    pub(super) caps: &'a Capabilities,
    /// The configuration that the chip runs, weights included.
    pub(super) config: &'a ChipConfig,
    /// The weights that the model has, in codes, `[source, neuron]`.
    pub(super) wanted: &'a [f32],
    /// The chip as measured.
    pub(super) twin: DrawnChip,
    pub(super) aims: Aims,
    pub(super) assumed: Assumed,
    pub(super) stimuli: Vec<Stimulus>,
}

/// What every neuron would be without mismatch.
#[derive(Clone)]
pub(super) struct Aims {
    /// µs, `[neuron]`.
    pub(super) tau_mem: Vec<f64>,
    /// µs, `[neuron]`, for both signs.
    pub(super) tau_syn: Vec<f64>,
    pub(super) leak: f64,
    pub(super) reset: f64,
    pub(super) threshold: f64,
    pub(super) gain: [f64; 2],
}

impl Aims {
    pub(super) fn theta(&self) -> f64 {
        self.threshold - self.leak
    }
}

impl Scene<'_> {
    /// Design value of `parameter` at the code of `neuron`.
    fn design(&self, parameter: Parameter, neuron: usize) -> Option<f64> {
        let spec = self.caps.parameter(parameter)?;
        Some(f64::from(spec.value(self.config.codes(parameter)?[neuron])))
    }

    /// Factors that bring `neuron` to `aim`, or what was measured.
    fn factors(&self, on: bool, measured: &[f32], p: Parameter, aim: &[f64]) -> Vec<f32> {
        let ideal = |(n, aim): (usize, &f64)| match self.design(p, n) {
            Some(design) if design > 0.0 => (aim / design) as f32,
            _ => 1.0,
        };
        if on { measured.to_vec() } else { aim.iter().enumerate().map(ideal).collect() }
    }

    /// Offsets that bring all neurons to `aim`, or what was measured.
    fn offsets(&self, on: bool, measured: &[f32], p: Parameter, aim: f64) -> Vec<f32> {
        let ideal = |n| self.design(p, n).map_or(0.0, |design| (aim - design) as f32);
        if on { measured.to_vec() } else { (0..measured.len()).map(ideal).collect() }
    }

    /// The chip with only `on` wrong with it, and its configuration.
    fn chip(&self, on: Causes) -> (DrawnChip, ChipConfig) {
        use Parameter as P;
        let (twin, aims) = (&self.twin, &self.aims);
        let shared = |own, other| if self.caps.parameter(own).is_some() { own } else { other };
        let (tau_inh, gain_inh) =
            (shared(P::TauSynInh, P::TauSynExc), shared(P::GainInh, P::GainExc));
        let (taus, gains) = (on.has(Cause::TimeConstants), on.has(Cause::Gain));
        let (potentials, timing) = (on.has(Cause::Threshold), on.has(Cause::Timing));
        let neurons = twin.tau_mem.len();
        let all = |value: f64| vec![value; neurons];
        let mut chip = twin.clone();
        chip.identity = None;
        chip.tau_mem = self.factors(taus, &twin.tau_mem, P::TauMem, &aims.tau_mem);
        chip.tau_syn_exc = self.factors(taus, &twin.tau_syn_exc, P::TauSynExc, &aims.tau_syn);
        chip.tau_syn_inh = self.factors(taus, &twin.tau_syn_inh, tau_inh, &aims.tau_syn);
        chip.gain_exc = self.factors(gains, &twin.gain_exc, P::GainExc, &all(aims.gain[0]));
        chip.gain_inh = self.factors(gains, &twin.gain_inh, gain_inh, &all(aims.gain[1]));
        chip.leak_lsb = self.offsets(potentials, &twin.leak_lsb, P::LeakPotential, aims.leak);
        chip.reset_lsb = self.offsets(potentials, &twin.reset_lsb, P::ResetPotential, aims.reset);
        chip.threshold_lsb =
            self.offsets(potentials, &twin.threshold_lsb, P::Threshold, aims.threshold);
        if !gains {
            chip.adc_gain.fill(1.0);
            chip.adc_offset_lsb.fill(0.0);
        }
        if !timing {
            chip.adc_skew_us.fill(0.0);
            chip.refractory_steps.fill(0);
            chip.profile.nominal.refractory_us = self.assumed.refractory_us;
            // The codes stay, but mean nothing.
            if let Some(code) = &mut chip.profile.codes.refractory {
                code.slope = Some(0.0);
            }
            chip.profile.time.axonal_delay_us =
                self.assumed.delay_us.max(chip.profile.time.max_step_ns / 1000.0);
        }
        if !on.has(Cause::Defects) {
            chip.dead.clear();
            chip.stuck.clear();
        }
        self.lift(&mut chip);
        let mut config = self.config.clone();
        self.write_weights(on, &mut chip, &mut config);
        (chip, config)
    }

    fn lift(&self, chip: &mut DrawnChip) {
        let profile = &mut chip.profile;
        profile.nominal.leak_lsb += LIFT_LSB;
        profile.nominal.threshold_lsb += LIFT_LSB;
        profile.nominal.reset_lsb += LIFT_LSB;
        if let Some(adc) = &mut profile.adc {
            (adc.bits, adc.reliable_min, adc.reliable_max) = (16, 0, u16::MAX);
        }
        profile.size.weight_min = -127;
        profile.size.weight_max = 127;
        let events: usize = self.stimuli.iter().map(|s| s.events.len()).sum();
        profile.buffers.stimulus_events = events as u32;
        profile.buffers.trials = self.stimuli.len() as u32;
        profile.buffers.trace_bytes = u32::MAX;
        profile.buffers.spikes_per_trial = 1 << 20;
        *profile = profile.clone().without_noise();
    }

    /// Writes real-valued weights as codes and gains of synapses.
    fn write_weights(&self, on: Causes, chip: &mut DrawnChip, config: &mut ChipConfig) {
        let (rounds, clips) = (on.has(Cause::Quantisation), on.has(Cause::Saturation));
        let (low, high) = (f64::from(self.caps.weight_min), f64::from(self.caps.weight_max));
        let measured = |at: usize| match (on.has(Cause::Gain), self.twin.synapse.get(at)) {
            (true, Some(q)) => 1.0 + f64::from(*q) * SYNAPSE_UNIT,
            _ => 1.0,
        };
        let mut synapse = vec![0_i16; self.wanted.len()];
        for (at, wanted) in self.wanted.iter().enumerate() {
            let mut weight = f64::from(*wanted);
            if rounds {
                weight = weight.round();
            }
            if clips {
                weight = weight.clamp(low, high);
            }
            weight *= measured(at);
            if weight.abs() < SMALLEST_WEIGHT {
                config.weights[at] = 0;
                continue;
            }
            let magnitude = weight.abs().round().clamp(1.0, 127.0);
            let deviation = (weight.abs() / magnitude - 1.0) / SYNAPSE_UNIT;
            config.weights[at] = (magnitude * weight.signum()) as i8;
            synapse[at] = deviation.round().clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16;
        }
        chip.synapse = synapse;
    }

    /// What the network does on the chip with only `on` wrong with it.
    pub(super) fn run(&self, on: Causes) -> Result<Behaviour, Error> {
        let (chip, config) = self.chip(on);
        self.run_chip(chip, &config, on, 0)
    }

    /// The same with spikes that arrive with a jitter.
    pub(super) fn run_with_jitter(&self, on: Causes, jitter_us: f64) -> Result<Behaviour, Error> {
        let (mut chip, config) = self.chip(on);
        chip.profile.noise.spike_jitter_us = jitter_us;
        self.run_chip(chip, &config, on, 0)
    }

    /// The twin with the noise of its thresholds; `round` draws it anew.
    pub(super) fn run_noisy(&self, round: u64) -> Result<Behaviour, Error> {
        let (mut chip, config) = self.chip(Causes::ALL);
        chip.profile.noise = self.twin.profile.noise;
        self.run_chip(chip, &config, Causes::ALL, round)
    }

    fn run_chip(
        &self,
        chip: DrawnChip,
        config: &ChipConfig,
        on: Causes,
        round: u64,
    ) -> Result<Behaviour, Error> {
        let mut emulator = Emulator::from_chip(chip, Some(1), rayon::current_num_threads())?;
        emulator.configure(config)?;
        let mut stimuli = self.stimuli.clone();
        stimuli.iter_mut().for_each(|s| s.trial += round << 40);
        let mut seen = Observables::default();
        let ticket = emulator.submit(&stimuli)?;
        emulator.collect(ticket, &mut seen)?;
        let rails = self.translation.rails();
        let (low, high) = match on.has(Cause::Saturation) {
            true => (f32::from(rails.0), f32::from(rails.1)),
            false => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let raw = Raw {
            trials: seen.trials(),
            samples: seen
                .samples
                .iter()
                .map(|s| (f32::from(*s) - LIFT_LSB as f32).clamp(low, high))
                .collect(),
            spikes: seen.spikes,
            offsets: seen.offsets,
        };
        Ok(Behaviour::of_run(self.translation, self.caps, &raw, self.aims.theta()))
    }
}
