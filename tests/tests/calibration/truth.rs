//! What an emulated chip really is: computed from its drawn values by the laws alone.

use spikeloop_calibration::Calibration;
use spikeloop_calibration::result::ParameterResult;
use spikeloop_hal::emulator::Emulator;
use spikeloop_hal::{Chip, ChipConfig, Parameter};
use std::collections::BTreeMap;

/// True values of every neuron.
pub struct Truth {
    values: BTreeMap<Parameter, Vec<f64>>,
    dead: Vec<bool>,
}

impl Truth {
    /// At the codes of `config`.
    pub fn of(chip: &Emulator, config: &ChipConfig) -> Self {
        let (caps, drawn) = (chip.capabilities(), chip.truth());
        let n = usize::from(caps.neurons);
        let design = |p: Parameter| -> Vec<f64> {
            let spec = caps.parameter(p).unwrap();
            config.codes(p).unwrap().iter().map(|c| f64::from(spec.value(*c))).collect()
        };
        let product = |p: Parameter, factor: &[f32]| -> Vec<f64> {
            design(p).iter().zip(factor).map(|(d, f)| d * f64::from(*f)).collect()
        };
        let sum = |p: Parameter, offset: &[f32]| -> Vec<f64> {
            design(p).iter().zip(offset).map(|(d, o)| d + f64::from(*o)).collect()
        };
        let tau_mem = product(Parameter::TauMem, &drawn.tau_mem);
        let leak = sum(Parameter::LeakPotential, &drawn.leak_lsb);
        let (exc, inh) = (
            sum(Parameter::OffsetExc, &drawn.offset_exc),
            sum(Parameter::OffsetInh, &drawn.offset_inh),
        );
        // The potential where the membrane rests: a constant current moves it by itself times tau_mem.
        let rest = (0..n).map(|k| leak[k] + tau_mem[k] * (exc[k] + inh[k])).collect();
        let step = drawn.profile.nominal.refractory_step_us;
        let refractory = design(Parameter::Refractory)
            .iter()
            .zip(&drawn.refractory_steps)
            .map(|(d, s)| ((d / step).round() + f64::from(*s)) * step)
            .collect();
        let values = BTreeMap::from([
            (Parameter::LeakPotential, rest),
            (Parameter::ResetPotential, sum(Parameter::ResetPotential, &drawn.reset_lsb)),
            (Parameter::Threshold, sum(Parameter::Threshold, &drawn.threshold_lsb)),
            (Parameter::TauSynExc, product(Parameter::TauSynExc, &drawn.tau_syn_exc)),
            (Parameter::TauSynInh, product(Parameter::TauSynInh, &drawn.tau_syn_inh)),
            (Parameter::GainExc, product(Parameter::GainExc, &drawn.gain_exc)),
            (Parameter::GainInh, product(Parameter::GainInh, &drawn.gain_inh)),
            (Parameter::TauMem, tau_mem),
            (Parameter::Refractory, refractory),
        ]);
        let dead = (0..n).map(|k| drawn.dead.contains(&(k as u16))).collect();
        Self { values, dead }
    }

    pub fn value(&self, parameter: Parameter, neuron: usize) -> f64 {
        self.values[&parameter][neuron]
    }

    /// 5 % trimmed standard deviation over the neurons that the calibration could measure.
    pub fn spread(&self, parameter: Parameter, calibration: &Calibration) -> f64 {
        let result = calibration.parameter(parameter).unwrap();
        let mut values: Vec<f64> = (0..self.dead.len())
            .filter(|n| result.after[*n].is_good())
            .map(|n| self.value(parameter, n))
            .collect();
        values.sort_by(f64::total_cmp);
        let cut = values.len() / 20;
        let kept = &values[cut..values.len() - cut];
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let squares: f64 = kept.iter().map(|v| (v - mean).powi(2)).sum();
        (squares / (kept.len() - 1) as f64).sqrt()
    }
}

/// How many of the good estimates have the truth within 1.96 standard errors, and of how many.
pub fn coverage(result: &ParameterResult, truth: &Truth) -> (usize, usize) {
    let good: Vec<usize> = (0..result.after.len()).filter(|n| result.after[*n].is_good()).collect();
    let hit = good
        .iter()
        .filter(|n| {
            let e = result.after[**n];
            (e.value - truth.value(result.parameter, **n)).abs() <= 1.96 * e.sigma
        })
        .count();
    (hit, good.len())
}

/// Mean of measured minus true, in standard errors of a single neuron.
pub fn bias(result: &ParameterResult, truth: &Truth) -> f64 {
    let all: Vec<f64> = (0..result.after.len())
        .filter(|n| result.after[*n].is_good())
        .map(|n| (result.after[n].value - truth.value(result.parameter, n)) / result.after[n].sigma)
        .collect();
    all.iter().sum::<f64>() / all.len() as f64
}
