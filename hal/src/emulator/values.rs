//! What the parameters of a neuron truly are under a configuration.

use super::crosstalk::Crosstalk;
use super::mismatch::DrawnChip;
use crate::caps::{Capabilities, Parameter};
use crate::config::ChipConfig;

/// The values that one neuron of an emulated chip realises at its codes: mismatch, crosstalk, drift
/// and temperature applied, noise and rounding not. An oracle for tests; calibration may never read it.
///
/// A dead or stuck neuron has the values that its parts would give it. For a digital core these are the
/// design values before they are rounded to its registers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueValues {
    /// Membrane time constant in µs.
    pub tau_mem_us: f64,
    /// Excitatory synaptic time constant in µs.
    pub tau_syn_exc_us: f64,
    /// Inhibitory synaptic time constant in µs.
    pub tau_syn_inh_us: f64,
    /// Potential in LSB at which the membrane rests: the leak, moved by `tau_mem` times the constant
    /// currents of both inputs.
    pub rest_lsb: f64,
    /// Threshold in LSB, its mean over trials.
    pub threshold_lsb: f64,
    /// Reset potential in LSB.
    pub reset_lsb: f64,
    /// Time the membrane is clamped after a spike in µs.
    pub refractory_us: f64,
    /// Jump of the membrane's slope per unit of a positive weight code in LSB/µs, before the gain of the
    /// single synapse.
    pub gain_exc: f64,
    /// The same for negative weight codes.
    pub gain_inh: f64,
}

impl TrueValues {
    pub(crate) fn of(
        chip: &DrawnChip,
        caps: &Capabilities,
        config: &ChipConfig,
        crosstalk: &Crosstalk,
        n: usize,
    ) -> Self {
        let design = |parameter: Parameter| -> f64 {
            match (caps.parameter(parameter), config.codes(parameter)) {
                (Some(spec), Some(codes)) => {
                    let code = f32::from(codes[n]) + crosstalk.shift(parameter, n);
                    f64::from(spec.law.value(code))
                }
                _ => chip.profile.design_value(parameter),
            }
        };
        // Even at the extreme codes a time constant stays longer than 10 ns.
        let tau = |parameter, factor: f32| (design(parameter) * f64::from(factor)).max(0.01);
        // A chip may announce one synaptic time constant and one gain for both signs.
        let shared = |inh, exc| if caps.parameter(inh).is_some() { inh } else { exc };
        let tau_inh = shared(Parameter::TauSynInh, Parameter::TauSynExc);
        let inh = shared(Parameter::GainInh, Parameter::GainExc);
        let tau_mem_us = tau(Parameter::TauMem, chip.tau_mem[n]);
        let offset = design(Parameter::OffsetExc)
            + design(Parameter::OffsetInh)
            + f64::from(chip.offset_exc[n])
            + f64::from(chip.offset_inh[n]);
        let leak = design(Parameter::LeakPotential) + f64::from(chip.leak_lsb[n]);
        let step = chip.profile.nominal.refractory_step_us;
        let mut refractory = design(Parameter::Refractory);
        if step > 0.0 {
            let count = libm::round(refractory / step) + f64::from(chip.refractory_steps[n]);
            refractory = count * step;
        }
        Self {
            tau_mem_us,
            tau_syn_exc_us: tau(Parameter::TauSynExc, chip.tau_syn_exc[n]),
            tau_syn_inh_us: tau(tau_inh, chip.tau_syn_inh[n]),
            rest_lsb: leak + tau_mem_us * offset,
            threshold_lsb: design(Parameter::Threshold) + f64::from(chip.threshold_lsb[n]),
            reset_lsb: design(Parameter::ResetPotential) + f64::from(chip.reset_lsb[n]),
            refractory_us: refractory.max(0.0),
            gain_exc: design(Parameter::GainExc) * f64::from(chip.gain_exc[n]),
            gain_inh: design(inh) * f64::from(chip.gain_inh[n]),
        }
    }
}
