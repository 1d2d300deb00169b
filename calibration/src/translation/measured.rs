//! What a calibration knows about the neurons that play a layer.
//!
//! A calibration was made at its own codes. A layer that asks for other time constants gets codes of its own, and the
//! deviation of each neuron from the design is carried over as a factor: `value = factor · design(code)`, which is what
//! a mismatched transistor in a bias cell does. Potentials and gains keep their codes.
//!
//! A neuron in units of its own θ (threshold − rest) has threshold 1 and rest 0 as the model has; what
//! is left of its mismatch is in its time constants and in its gain
//!
//! ```text
//! gain = G/G_target · θ_target/θ · κ_target/κ,     κ = (1/τ_s − 1/τ_m) / (e^(−dt/τ_m) − e^(−dt/τ_s))
//! ```
//!
//! κ is the ratio of the response on the model's grid to that in continuous time (derived: both are
//! differences of the same two exponentials).

use crate::error::Error;
use crate::result::Calibration;
use crate::target::{LayerTarget, Site};
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, ChipConfig, Law, Parameter};
use spikeloop_models::layer::{InputScale, LayerSpec, PerUnit};

/// Smallest θ of a neuron, as a share of the target: a neuron with less fires at anything, and dividing
/// by its θ would blow its noise up (guess).
const SMALLEST_THETA: f64 = 0.15;

/// Which codes a chip is run with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Codes {
    /// Those a calibration found; without a calibration one code for all neurons.
    #[default]
    Calibrated,
    /// One code for all neurons. A calibration then says what that gives, and changes nothing: its
    /// values from before the search are used, and no neuron is left out.
    Uniform,
}

/// Measured values of the units of a layer in model units: threshold 1, rest 0 for each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitValues {
    /// Membrane time constants, µs.
    pub tau_mem_us: Vec<f64>,
    /// Synaptic time constants, µs: mean of both signs.
    pub tau_syn_us: Vec<f64>,
    /// Gains, 1 by design.
    pub gain: Vec<f64>,
}

impl UnitValues {
    /// Puts the values into the model of a layer. `spec` is the nominal one.
    pub fn write_into(&self, spec: &mut LayerSpec) {
        let nominal = spec.clone();
        spec.tau_mem_us = PerUnit::Each(self.tau_mem_us.clone());
        spec.tau_syn_us = PerUnit::Each(self.tau_syn_us.clone());
        // The scale 1 − β of that convention belongs to the nominal model; the chip has none.
        let scale = |u: usize| match nominal.input_scale {
            InputScale::One => 1.0,
            InputScale::OneMinusBeta => (1.0 - nominal.beta(u)) / (1.0 - spec.beta(u)),
        };
        let gain = self.gain.iter().enumerate().map(|(u, g)| g * scale(u)).collect();
        spec.gain = PerUnit::Each(gain);
    }
}

/// κ of the module's description, per µs.
pub(super) fn grid_gain(dt_us: f64, tau_mem: f64, tau_syn: f64) -> f64 {
    let (m, s) = (tau_mem, tau_syn);
    if ((m - s) / m).abs() < 1e-6 {
        return (dt_us / m).exp() / dt_us;
    }
    (1.0 / s - 1.0 / m) / ((-dt_us / m).exp() - (-dt_us / s).exp())
}

/// What is known about one neuron at the codes it gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neuron {
    pub(super) tau_mem_us: f64,
    pub(super) tau_syn_us: f64,
    /// LSB/µs per code, mean of both signs.
    pub(super) gain: f64,
    /// Threshold − rest, LSB.
    pub(super) theta_lsb: f64,
    /// Gain of its converter channel.
    pub(super) channel: f64,
}

/// A calibration and how it is used.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    caps: &'a Capabilities,
    calibration: &'a Calibration,
    codes: Codes,
}

impl<'a> Known<'a> {
    pub(super) fn new(
        caps: &'a Capabilities,
        calibration: &'a Calibration,
        codes: Codes,
    ) -> Result<Self, Error> {
        calibration.check(caps)?;
        let (expected, got) = (usize::from(caps.neurons), calibration.neurons());
        if expected != got {
            return Err(Error::CalibrationFile {
                path: calibration.provenance.chip.clone(),
                reason: format!("it is of {got} neurons, the chip has {expected}"),
            });
        }
        Ok(Self { caps, calibration, codes })
    }

    /// Neurons that may be used; `None` if all.
    pub(super) fn usable(&self) -> Option<Vec<bool>> {
        (self.codes == Codes::Calibrated).then(|| self.calibration.usable())
    }

    /// Writes the codes found.
    pub(super) fn apply(&self, config: &mut ChipConfig) {
        if self.codes == Codes::Calibrated {
            self.calibration.apply(config);
        }
    }

    /// Value that the design and the search aim at: the target, or the design value of a parameter that was
    /// not calibrated.
    pub(super) fn target(&self, parameter: Parameter) -> Option<f64> {
        let found = self.calibration.parameter(parameter);
        match (self.codes, found) {
            (Codes::Calibrated, Some(found)) => Some(found.target.value),
            _ => {
                let spec = self.caps.parameter(parameter)?;
                Some(f64::from(spec.value(spec.code_default)))
            }
        }
    }

    /// Code at which a value was measured, and the value; `None` where there is none to be trusted.
    fn measured(&self, parameter: Parameter, neuron: usize) -> Option<(u16, f64)> {
        let found = self.calibration.parameter(parameter)?;
        let spec = self.caps.parameter(parameter)?;
        let (before, after) = (found.before[neuron], found.after[neuron]);
        let (own, common) = (found.codes[neuron], spec.code_default);
        let (code, value) = match self.codes {
            Codes::Calibrated if after.is_good() => (own, after.value),
            Codes::Uniform if before.is_good() => (common, before.value),
            // A neuron that had to be set before it could be measured: its deviation is carried back.
            Codes::Uniform if after.is_good() => {
                let (at, was) = (f64::from(spec.value(common)), f64::from(spec.value(own)));
                let moved = match spec.law {
                    Law::Linear { .. } => after.value + at - was,
                    _ => after.value * at / was,
                };
                (common, moved)
            }
            _ => return None,
        };
        (value > 0.0).then_some((code, value))
    }

    /// Measured value over design value.
    fn factor(&self, parameter: Parameter, neuron: usize) -> f64 {
        let Some(spec) = self.caps.parameter(parameter) else { return 1.0 };
        let design = |code| f64::from(spec.value(code));
        self.measured(parameter, neuron).map_or(1.0, |(code, value)| value / design(code))
    }

    /// The code of a time constant that brings `neuron` to `wanted`; one code for all if nothing may be set.
    pub(super) fn time_code(&self, parameter: Parameter, neuron: usize, wanted: f64) -> u16 {
        let Some(spec) = self.caps.parameter(parameter) else { return 0 };
        let found = self.calibration.parameter(parameter);
        match (self.codes, found) {
            (Codes::Uniform, _) | (_, None) => spec.nearest_code(wanted as f32).0,
            // The design value of a code is not the round number of the model: 1 % is the same target.
            (_, Some(found)) if (found.target.value / wanted - 1.0).abs() < 0.01 => {
                found.codes[neuron]
            }
            _ => spec.nearest_code((wanted / self.factor(parameter, neuron)) as f32).0,
        }
    }

    fn time_constant(
        &self,
        parameter: Parameter,
        neuron: usize,
        config: &ChipConfig,
    ) -> Option<f64> {
        let spec = self.caps.parameter(parameter)?;
        let code = config.codes(parameter)?[neuron];
        Some(f64::from(spec.value(code)) * self.factor(parameter, neuron))
    }

    /// Mean of both signs; chips with one setting for both have one value.
    fn both(&self, exc: Parameter, inh: Parameter, of: impl Fn(Parameter) -> Option<f64>) -> f64 {
        let one = of(exc).unwrap_or(1.0);
        if self.caps.parameter(inh).is_none() {
            return one;
        }
        0.5 * (one + of(inh).unwrap_or(one))
    }

    /// Everything about one neuron under `config`.
    pub(super) fn neuron(&self, neuron: usize, config: &ChipConfig) -> Neuron {
        use Parameter as P;
        let potential = |p| self.measured(p, neuron).map(|(_, value)| value);
        let theta =
            self.target(P::Threshold).unwrap_or(1.0) - self.target(P::LeakPotential).unwrap_or(0.0);
        // The two potentials go together: with one of them unknown so is their difference.
        let own = match (potential(P::Threshold), potential(P::LeakPotential)) {
            (Some(threshold), Some(leak)) => threshold - leak,
            _ => theta,
        };
        let tau = |p| self.time_constant(p, neuron, config);
        let gain = |p| self.measured(p, neuron).map(|(_, value)| value).or_else(|| self.target(p));
        let channel = self.calibration.converter.gain[neuron];
        Neuron {
            tau_mem_us: tau(P::TauMem).unwrap_or(1.0),
            tau_syn_us: self.both(P::TauSynExc, P::TauSynInh, tau),
            gain: self.both(P::GainExc, P::GainInh, gain),
            theta_lsb: own.max(SMALLEST_THETA * theta),
            channel: if channel.is_good() { channel.value } else { 1.0 },
        }
    }

    /// Gain at which weights are translated: mean target of both signs.
    pub(super) fn target_gain(&self) -> f64 {
        self.both(Parameter::GainExc, Parameter::GainInh, |p| self.target(p))
    }
}

/// Design point of a layer: what a unit without mismatch has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Design {
    pub(super) dt_us: f64,
    pub(super) tau_mem_us: f64,
    pub(super) tau_syn_us: f64,
    pub(super) gain: f64,
    pub(super) theta_lsb: f64,
}

impl Design {
    /// Values of the units in model units.
    pub(super) fn unit_values(&self, neurons: &[Neuron]) -> UnitValues {
        let nominal = grid_gain(self.dt_us, self.tau_mem_us, self.tau_syn_us);
        let gain = |n: &Neuron| {
            let grid = nominal / grid_gain(self.dt_us, n.tau_mem_us, n.tau_syn_us);
            n.gain / self.gain * self.theta_lsb / n.theta_lsb * grid
        };
        UnitValues {
            tau_mem_us: neurons.iter().map(|n| n.tau_mem_us).collect(),
            tau_syn_us: neurons.iter().map(|n| n.tau_syn_us).collect(),
            gain: neurons.iter().map(gain).collect(),
        }
    }

    /// Steps of the converter for a membrane of 1, unit by unit. Spiking units are read in units of their own
    /// θ. Readouts have no threshold: their unit is the one in which a weight has the effect it has in the model.
    pub(super) fn lsb_per_unit(&self, layer: &LayerTarget, neurons: &[Neuron]) -> Vec<f32> {
        let of = |n: &Neuron| {
            let unit = match layer.spiking {
                true => n.theta_lsb,
                false => self.theta_lsb * n.gain / self.gain,
            };
            (unit * n.channel) as f32
        };
        neurons.iter().map(of).collect()
    }
}

/// Sets the codes of a layer's time constants neuron by neuron.
pub(super) fn set_time_constants(
    known: Known<'_>,
    config: &mut ChipConfig,
    circuits: &[u16],
    layer: &LayerTarget,
) {
    if layer.site == Site::Host {
        return;
    }
    let wanted = [
        (Parameter::TauMem, layer.tau_mem_us),
        (Parameter::TauSynExc, layer.tau_syn_us),
        (Parameter::TauSynInh, layer.tau_syn_us),
    ];
    for (parameter, us) in wanted {
        let Some(codes) = config.codes_mut(parameter) else { continue };
        for id in circuits {
            let neuron = usize::from(*id);
            codes[neuron] = known.time_code(parameter, neuron, us);
        }
    }
}

#[cfg(test)]
mod tests;
