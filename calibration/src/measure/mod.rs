//! Measurements over the ordinary chip interface: stimuli in, recordings out, all neurons at once.
//!
//! | file | stimulus | quantity |
//! |---|---|---|
//! | [`converter`] | reference potentials instead of membranes | offset, gain and noise of each channel |
//! | [`rest`] | none | resting potential; neurons that fire on their own |
//! | [`relaxation`] | one hard kick through fast synapses | reset potential, refractory time, τ_mem; silent neurons |
//! | [`psp`] | one synchronous volley | τ_syn of both signs, sampling skew; gain of both signs |
//! | [`threshold`] | a slow ramp, with and without comparator | threshold and its noise |
//! | [`weights`] | one row at several codes, several rows | linearity of weights, spread over synapses |
//! | [`rate`] | regular input of several strengths | firing rate against input |
//!
//! Every measurement returns an [`Estimate`](crate::Estimate) for each neuron: value, standard error, flag. Potentials are in
//! steps of an ideal converter (LSB), times in µs of chip time.

pub mod converter;
pub mod psp;
pub mod rate;
pub mod relaxation;
pub mod rest;
pub mod synapses;
pub mod threshold;
pub mod traces;
pub mod weights;

pub use converter::Converter;
pub use traces::Traces;

use spikeloop_hal::{Capabilities, ChipConfig, Law, Parameter};

/// How much is measured: number of repetitions, as factors on what the figures in the documentation were
/// measured with.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effort {
    /// Factor on all repetitions.
    pub repeats: f64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { repeats: 1.0 }
    }
}

impl Effort {
    /// `n` repetitions at this effort, at least 2.
    #[must_use]
    pub fn of(&self, n: usize) -> usize {
        ((n as f64 * self.repeats).round() as usize).max(2)
    }
}

/// Codes of `parameter` moved so that its design value changes by `by` (in its unit) for all neurons. What the
/// range does not allow is clipped. A chip without that parameter is left alone.
pub(crate) fn shift(caps: &Capabilities, config: &mut ChipConfig, parameter: Parameter, by: f32) {
    let Some(spec) = caps.parameter(parameter) else { return };
    let Some(codes) = config.codes_mut(parameter) else { return };
    let delta = match spec.law {
        Law::Linear { slope, .. } if slope != 0.0 => by / slope,
        _ => return,
    };
    for code in codes {
        let moved = (f32::from(*code) + delta).round();
        *code = moved.clamp(f32::from(spec.code_min), f32::from(spec.code_max)) as u16;
    }
}

/// One code for all neurons: the nearest to the design value `value`. Returns the design value really set;
/// `None` on a chip without that parameter.
pub(crate) fn set_all(
    caps: &Capabilities,
    config: &mut ChipConfig,
    parameter: Parameter,
    value: f32,
) -> Option<f32> {
    let spec = caps.parameter(parameter)?;
    let (code, _) = spec.nearest_code(value);
    config.codes_mut(parameter)?.fill(code);
    Some(spec.value(code))
}

/// Mean design value of `parameter` at the codes of `config`.
pub(crate) fn mean_design(
    caps: &Capabilities,
    config: &ChipConfig,
    parameter: Parameter,
) -> Option<f64> {
    let spec = caps.parameter(parameter)?;
    let codes = config.codes(parameter)?;
    let sum: f64 = codes.iter().map(|c| f64::from(spec.value(*c))).sum();
    Some(sum / codes.len().max(1) as f64)
}

/// Neurons of wave `n % waves`: so few fire at once that the way out is not overrun (published: at least 250
/// of 512 events get through in a burst).
pub(crate) fn waves(neurons: usize) -> usize {
    neurons.div_ceil(192)
}
