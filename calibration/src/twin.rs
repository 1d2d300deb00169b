//! A digital twin: the emulator's description of one real chip, from what calibration measured.
//!
//! Each neuron gets its measured time constants, gains and potentials (relative to the design at its codes, so that
//! other codes follow the law), its converter channel, and the measured gain of each synapse from the inputs; the noise of
//! converter and threshold is the array's median. Dead neurons are dead in the twin. What no
//! measurement tells stays ideal: the gain of synapses between neurons, crosstalk, losses on the way out.
//!
//! Crosstalk makes a value depend on the codes of other neurons, so that a twin holds at the codes it was measured
//! at. A calibration measured the chip at two sets of codes, its own and one code for all neurons; [`describe_at`] makes a
//! twin of either.

pub mod probe;

use crate::bench::Bench;
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit::median;
use crate::measure::Effort;
use crate::measure::synapses::Synapses;
use crate::result::{Calibration, ParameterResult};
use crate::translation::Codes as Setting;
use spikeloop_hal::emulator::profile::{
    AdcProfile, BufferProfile, Bus, Code, Codes, CrosstalkProfile, Drift, Faults, Mismatch, Noise,
    Nominal, Size, Time,
};
use spikeloop_hal::emulator::{DrawnChip, Profile};
use spikeloop_hal::{Capabilities, Law, NeuronId, Parameter};

/// Longest integration step of the twin: a quarter of the sample period of Cramer et al. 2022.
const STEP_NS: f64 = 425.0;
/// Resolution of a synapse's gain in the emulator's files: `gain = 1 + q · 2⁻¹³`.
const SYNAPSE_UNIT: f64 = 1.0 / 8192.0;
/// From a spike to its effect on another neuron, µs: not measured (guess, as in the shipped profiles).
const AXONAL_DELAY_US: f64 = 0.5;

/// Marks the description of a twin that holds at one code for all neurons.
const UNIFORM: &str = ", with one code for all neurons";

/// Fits a twin to the chip on the bench: measures its synapses, takes the rest from the calibration.
///
/// # Errors
/// Failures of the chip, [`Calibration::check`], [`Error::TwinNeedsMembranes`] on a chip without converter.
pub fn fit(
    bench: &mut Bench,
    calibration: &Calibration,
    effort: Effort,
) -> Result<DrawnChip, Error> {
    let caps = bench.capabilities().clone();
    let synapses = synapses(bench, calibration, effort)?;
    Ok(describe(&caps, calibration, &synapses))
}

/// Measures what a twin needs beyond a calibration.
///
/// # Errors
/// As [`fit`].
pub fn synapses(
    bench: &mut Bench,
    calibration: &Calibration,
    effort: Effort,
) -> Result<Synapses, Error> {
    if bench.capabilities().adc.is_none() {
        return Err(Error::TwinNeedsMembranes);
    }
    calibration.check(bench.capabilities())?;
    Synapses::measure(bench, calibration, effort)?.ok_or(Error::TwinNeedsMembranes)
}

/// Whether `twin` describes the chip with these capabilities.
#[must_use]
pub fn is_of(twin: &DrawnChip, caps: &Capabilities) -> bool {
    twin.seed == caps.identity.serial && twin.profile.name == name_of(caps)
}

/// Codes at which a twin describes its chip.
#[must_use]
pub fn setting_of(twin: &DrawnChip) -> Setting {
    let uniform = twin.profile.description.ends_with(UNIFORM);
    if uniform { Setting::Uniform } else { Setting::Calibrated }
}

/// Name of the profile of a twin. Bounded, because a chip's name is.
fn name_of(caps: &Capabilities) -> String {
    format!("twin-of-{}", caps.identity.kind).chars().take(40).collect()
}

/// Deviation of the measured values from the design at the codes they were measured at; `otherwise` where there is
/// none.
fn deviations(
    caps: &Capabilities,
    calibration: &Calibration,
    setting: Setting,
    parameter: Parameter,
    otherwise: f32,
    of: impl Fn(f64, f64) -> f64,
) -> Vec<f32> {
    let neurons = usize::from(caps.neurons);
    let (Some(result), Some(spec)) = (calibration.parameter(parameter), caps.parameter(parameter))
    else {
        return vec![otherwise; neurons];
    };
    let deviation = |estimate: &Estimate, code: u16| {
        let design = f64::from(spec.value(code));
        estimate.is_good().then(|| of(estimate.value, design) as f32)
    };
    (0..neurons)
        .map(|n| {
            let after = deviation(&result.after[n], result.codes[n]);
            let before = || deviation(&result.before[n], spec.code_default);
            let found = match setting {
                Setting::Calibrated => after,
                Setting::Uniform => before().or(after),
            };
            found.unwrap_or(otherwise)
        })
        .collect()
}

/// A twin from what was measured, at the codes that the calibration found.
#[must_use]
pub fn describe(caps: &Capabilities, calibration: &Calibration, synapses: &Synapses) -> DrawnChip {
    describe_at(caps, calibration, synapses, Setting::Calibrated)
}

/// A twin from what was measured, at the codes that the calibration found or at one code for all neurons.
#[must_use]
pub fn describe_at(
    caps: &Capabilities,
    calibration: &Calibration,
    synapses: &Synapses,
    setting: Setting,
) -> DrawnChip {
    let neurons = usize::from(caps.neurons);
    let factor =
        |p| deviations(caps, calibration, setting, p, 1.0, |v, d| (v / d).clamp(0.15, 10.0));
    let offset = |p| deviations(caps, calibration, setting, p, 0.0, |v, d| v - d);
    let mut profile = profile_of(caps, calibration);
    if setting == Setting::Uniform {
        profile.description.push_str(UNIFORM);
    }
    let step = profile.nominal.refractory_step_us;
    let inhibitory = |own, shared| if caps.parameter(own).is_some() { own } else { shared };
    let converter = &calibration.converter;
    // The emulator's channels turn about the design leak, the measured ones about the middle of the levels.
    let pivot = profile.nominal.leak_lsb;
    let adc_offset = (0..neurons)
        .map(|n| {
            let (gain, at) = (converter.gain[n].value, converter.offset[n].value);
            (at + (gain - 1.0) * (pivot - converter.pivot)) as f32
        })
        .collect();
    let rows = caps.sources();
    let mut synapse = vec![0_i16; rows * neurons];
    for (q, gain) in synapse.iter_mut().zip(&synapses.gain) {
        let deviation = (f64::from(*gain) - 1.0).clamp(-1.0, 3.9);
        *q = (deviation / SYNAPSE_UNIT).round() as i16;
    }
    DrawnChip {
        format: DrawnChip::FORMAT,
        seed: caps.identity.serial,
        identity: None,
        tau_mem: factor(Parameter::TauMem),
        tau_syn_exc: factor(Parameter::TauSynExc),
        tau_syn_inh: factor(inhibitory(Parameter::TauSynInh, Parameter::TauSynExc)),
        gain_exc: factor(Parameter::GainExc),
        gain_inh: factor(inhibitory(Parameter::GainInh, Parameter::GainExc)),
        leak_lsb: offset(Parameter::LeakPotential),
        reset_lsb: offset(Parameter::ResetPotential),
        threshold_lsb: offset(Parameter::Threshold),
        // What the inputs' references do is part of the measured resting potential.
        offset_exc: vec![0.0; neurons],
        offset_inh: vec![0.0; neurons],
        refractory_steps: offset(Parameter::Refractory)
            .iter()
            .map(|us| (f64::from(*us) / step.max(1e-9)).round().clamp(-100.0, 100.0) as i8)
            .collect(),
        adc_offset_lsb: adc_offset,
        adc_gain: converter.gain.iter().map(|g| g.value as f32).collect(),
        adc_skew_us: converter
            .skew_us
            .iter()
            .map(|s| if s.is_good() { s.value as f32 } else { 0.0 })
            .collect(),
        dead: named(calibration, &[Flag::Silent, Flag::Unresponsive]),
        stuck: named(calibration, &[Flag::AlwaysFiring]),
        stuck_bits: Vec::new(),
        synapse,
        profile,
    }
}

fn named(calibration: &Calibration, flags: &[Flag]) -> Vec<NeuronId> {
    let failures = calibration.failures.iter();
    failures.filter(|f| flags.contains(&f.reason)).map(|f| f.neuron).collect()
}

/// The kind of chip, as far as it says itself.
fn profile_of(caps: &Capabilities, calibration: &Calibration) -> Profile {
    let at_reference = |p: Parameter, otherwise: f64| {
        caps.parameter(p).map_or(otherwise, |spec| {
            f64::from(match spec.law {
                Law::Linear { at_reference, .. }
                | Law::Proportional { at_reference, .. }
                | Law::Reciprocal { at_reference, .. } => at_reference,
                _ => spec.value(spec.code_default),
            })
        })
    };
    let leak_lsb = at_reference(Parameter::LeakPotential, 0.0);
    let nominal = Nominal {
        leak_lsb,
        threshold_lsb: at_reference(Parameter::Threshold, leak_lsb + 1.0),
        reset_lsb: at_reference(Parameter::ResetPotential, leak_lsb),
        tau_mem_us: at_reference(Parameter::TauMem, 10.0),
        tau_syn_us: at_reference(Parameter::TauSynExc, 5.0),
        refractory_us: at_reference(Parameter::Refractory, 0.0),
        refractory_step_us: refractory_step(caps),
        gain: at_reference(Parameter::GainExc, 1.0),
    };
    let theta = nominal.theta();
    let tick_us = f64::from(caps.tick_ns) / 1000.0;
    Profile {
        name: name_of(caps),
        description: format!(
            "digital twin of {}, calibrated {}",
            caps.identity, calibration.provenance.time
        ),
        sigma: 1.0,
        size: Size {
            neurons: caps.neurons,
            inputs: caps.inputs,
            recurrent: caps.recurrent,
            block: caps.neurons.max(1),
            weight_min: caps.weight_min,
            weight_max: caps.weight_max,
        },
        time: Time {
            tick_ns: caps.tick_ns,
            max_duration_us: f64::from(caps.max_duration) * tick_us,
            stamp_ticks: 1,
            max_step_ns: STEP_NS,
            axonal_delay_us: AXONAL_DELAY_US,
        },
        adc: caps.adc.map(|adc| AdcProfile {
            bits: adc.bits,
            min_period_us: f64::from(adc.min_period) * tick_us,
            reliable_min: adc.reliable_min,
            reliable_max: adc.reliable_max,
            offset_lsb: 0.0,
            gain: 0.0,
            skew_us: 0.0,
            noise_lsb: finite_or(median(calibration.converter.noise.iter().copied()), 0.0),
            jitter_probability: 0.0,
            stall_probability: 0.0,
            reference: adc.reference,
        }),
        buffers: BufferProfile {
            trials: caps.buffers.trials,
            stimulus_events: caps.buffers.stimulus_events,
            spikes_per_trial: caps.buffers.spikes_per_trial,
            trace_bytes: caps.buffers.trace_bytes,
            runs_in_flight: caps.buffers.runs_in_flight,
            frame_body: caps.buffers.frame_body,
        },
        nominal,
        codes: codes_of(caps),
        mismatch: Mismatch::default(),
        crosstalk: CrosstalkProfile::default(),
        drift: Drift::default(),
        noise: Noise {
            threshold_theta: finite_or(
                median(calibration.threshold_noise.iter().copied()) / theta,
                0.0,
            ),
            ..Noise::default()
        },
        bus: Bus::default(),
        faults: Faults::default(),
        digital: None,
    }
}

fn finite_or(value: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value } else { otherwise }
}

/// Change of the refractory time per code: its clock step; 0 (continuous) where the law has no slope.
fn refractory_step(caps: &Capabilities) -> f64 {
    match caps.parameter(Parameter::Refractory).map(|spec| spec.law) {
        Some(Law::Linear { slope, .. }) => f64::from(slope).abs(),
        _ => 0.0,
    }
}

fn codes_of(caps: &Capabilities) -> Codes {
    let code = |p: Parameter| {
        let spec = caps.parameter(p)?;
        let (reference, slope) = match spec.law {
            Law::Linear { reference, slope, .. } => (reference, Some(f64::from(slope))),
            Law::Proportional { reference, .. } | Law::Reciprocal { reference, .. } => {
                (reference, None)
            }
            _ => return None,
        };
        Some(Code {
            reference: reference.round().clamp(0.0, 65_535.0) as u16,
            min: spec.code_min,
            max: spec.code_max,
            slope,
        })
    };
    Codes {
        leak_potential: code(Parameter::LeakPotential),
        reset_potential: code(Parameter::ResetPotential),
        threshold: code(Parameter::Threshold),
        tau_mem: code(Parameter::TauMem),
        tau_syn_exc: code(Parameter::TauSynExc),
        tau_syn_inh: code(Parameter::TauSynInh),
        gain_exc: code(Parameter::GainExc),
        gain_inh: code(Parameter::GainInh),
        offset_exc: code(Parameter::OffsetExc),
        offset_inh: code(Parameter::OffsetInh),
        refractory: code(Parameter::Refractory),
    }
}

/// A calibration of the chip, as one of its twin: same codes, same values, other name.
#[must_use]
pub fn calibration_of(twin: &Capabilities, calibration: &Calibration) -> Calibration {
    let mut own = calibration.clone();
    own.provenance.chip = twin.identity.to_string();
    own.provenance.kind = twin.identity.kind.to_string();
    own.provenance.firmware = twin.identity.firmware;
    own
}

/// Parameters that a twin takes from a calibration, with the number of neurons that have a value.
#[must_use]
pub fn coverage(calibration: &Calibration) -> Vec<(Parameter, usize)> {
    let good = |r: &ParameterResult| r.after.iter().filter(|e| e.is_good()).count();
    calibration.parameters.iter().map(|r| (r.parameter, good(r))).collect()
}
