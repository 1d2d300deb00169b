//! What an emulated chip really is.

use spikeloop_calibration::Calibration;
use spikeloop_calibration::result::ParameterResult;
use spikeloop_hal::emulator::{Emulator, TrueValues};
use spikeloop_hal::{ChipConfig, Parameter};
use std::collections::BTreeMap;

/// True values of every neuron.
pub(crate) struct Truth {
    values: BTreeMap<Parameter, Vec<f64>>,
    pub(crate) dead: Vec<bool>,
}

impl Truth {
    /// At the codes of `config`.
    pub(crate) fn of(chip: &Emulator, config: &ChipConfig) -> Self {
        let drawn = chip.truth();
        let all = chip.true_values(config).unwrap();
        let of = |pick: fn(&TrueValues) -> f64| -> Vec<f64> { all.iter().map(pick).collect() };
        let values = BTreeMap::from([
            (Parameter::LeakPotential, of(|v| v.rest_lsb)),
            (Parameter::ResetPotential, of(|v| v.reset_lsb)),
            (Parameter::Threshold, of(|v| v.threshold_lsb)),
            (Parameter::TauMem, of(|v| v.tau_mem_us)),
            (Parameter::TauSynExc, of(|v| v.tau_syn_exc_us)),
            (Parameter::TauSynInh, of(|v| v.tau_syn_inh_us)),
            (Parameter::GainExc, of(|v| v.gain_exc)),
            (Parameter::GainInh, of(|v| v.gain_inh)),
            (Parameter::Refractory, of(|v| v.refractory_us)),
        ]);
        let n = all.len();
        let dead = (0..n).map(|k| drawn.dead.contains(&(k as u16))).collect();
        Self { values, dead }
    }

    pub(crate) fn value(&self, parameter: Parameter, neuron: usize) -> f64 {
        self.values[&parameter][neuron]
    }

    /// 5 % trimmed standard deviation over the neurons that the calibration could measure.
    pub(crate) fn spread(&self, parameter: Parameter, calibration: &Calibration) -> f64 {
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
pub(crate) fn coverage(result: &ParameterResult, truth: &Truth) -> (usize, usize) {
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
pub(crate) fn bias(result: &ParameterResult, truth: &Truth) -> f64 {
    let all: Vec<f64> = (0..result.after.len())
        .filter(|n| result.after[*n].is_good())
        .map(|n| (result.after[n].value - truth.value(result.parameter, n)) / result.after[n].sigma)
        .collect();
    all.iter().sum::<f64>() / all.len() as f64
}

/// Half of the span that holds 68.3 % of the deviations, in standard errors of single neurons: 1 if these are right.
pub(crate) fn pull(result: &ParameterResult, truth: &Truth) -> f64 {
    let mut all: Vec<f64> = (0..result.after.len())
        .filter(|n| result.after[*n].is_good())
        .map(|n| (result.after[n].value - truth.value(result.parameter, n)) / result.after[n].sigma)
        .collect();
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all[(share * (all.len() - 1) as f64) as usize];
    (at(0.8415) - at(0.1585)) / 2.0
}
