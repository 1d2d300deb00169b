//! Has the chip moved since it was calibrated?
//!
//! A small probe measures resting potential, threshold, reset and τ_mem of all neurons again at the codes of the calibration
//! and compares them with what was stored, each difference in its own standard error. What all neurons have in common
//! (temperature) is told apart from what single neurons did. Single neurons are named by the procedure of Benjamini & Hochberg
//! (1995), which bounds the share of false names; on a chip that has not moved at all, the probability of any
//! name is at most [`FALSE_ALARM`].

use crate::bench::{Bench, Cost};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit::median;
use crate::measure::rate::Rates;
use crate::measure::relaxation::Relaxation;
use crate::measure::rest::Rest;
use crate::measure::threshold::Threshold;
use crate::measure::{Converter, Effort};
use crate::result::Calibration;
use crate::targets::theta;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{ChipConfig, NeuronId, Parameter, Unit};

/// Nominal probability of naming any neuron of a chip that has not moved. Below the 1 % that is wanted: the tails of
/// real measurements are heavier than the normal ones that it is computed with.
pub const FALSE_ALARM: f64 = 1e-3;
/// Smallest change of one neuron worth a name, in θ for potentials, relative for all others: below it training does not
/// notice.
const WORTH: f64 = 0.005;
/// Common shift that is worth mentioning, in the same measure.
const COMMON: f64 = 0.005;
/// More measurements than in a calibration, for the parameter that decides most.
const EFFORT: Effort = Effort { repeats: 2.0 };

/// A neuron that moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// Which.
    pub neuron: NeuronId,
    /// By how much, in the unit of the parameter, beyond what all neurons have in common.
    pub change: f64,
    /// Standard error of it.
    pub sigma: f64,
}

/// What happened to one parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterDrift {
    /// Which.
    pub parameter: Parameter,
    /// Its unit.
    pub unit: Unit,
    /// θ for potentials, the target for all others: what changes are compared with.
    pub scale: f64,
    /// Neurons that could be compared.
    pub compared: usize,
    /// Change that all neurons have in common, and its standard error.
    pub common: Estimate,
    /// Neurons that moved on their own, largest change first.
    pub moved: Vec<Moved>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Advice {
    /// Nothing moved that training would notice.
    LeaveIt,
    /// Few neurons moved, or a little: training on takes care of it.
    FineTune,
    /// So much moved that codes should be searched again.
    Recalibrate,
}

impl Advice {
    /// In words.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::LeaveIt => "leave it: nothing moved beyond what was measured",
            Self::FineTune => "fine-tune: train on for a few epochs on this chip",
            Self::Recalibrate => "recalibrate: too much has moved for training alone",
        }
    }
}

/// Result of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Parameters that were measured again.
    pub parameters: Vec<ParameterDrift>,
    /// Neurons that did not answer this time and did before.
    pub lost: Vec<NeuronId>,
    /// What to do.
    pub advice: Advice,
    /// What it cost.
    pub cost: Cost,
}

impl Drift {
    /// Whether anything moved.
    #[must_use]
    pub fn any(&self) -> bool {
        self.advice != Advice::LeaveIt
    }

    /// Measures the chip on the bench again and compares.
    ///
    /// # Errors
    /// Failures of the chip, and those of [`Calibration::check`].
    pub fn check(bench: &mut Bench, calibration: &Calibration) -> Result<Self, Error> {
        let caps = bench.capabilities().clone();
        calibration.check(&caps)?;
        let start = bench.cost();
        let mut config = ChipConfig::power_up(&caps);
        calibration.apply(&mut config);
        let mut now: Vec<(Parameter, Vec<Estimate>)> = Vec::new();
        if caps.adc.is_some() {
            let mut converter = Converter::measure(bench, &config, EFFORT)?;
            converter.skew_us.clone_from(&calibration.converter.skew_us);
            let rest = Rest::measure(bench, &config, &converter, EFFORT)?;
            now.push((Parameter::LeakPotential, rest.potential));
            if let Some(seen) = Threshold::measure(bench, &config, &converter, EFFORT)? {
                now.push((Parameter::Threshold, seen.threshold));
            }
            if let Some(seen) = Relaxation::measure(bench, &config, &converter, EFFORT)? {
                now.push((Parameter::ResetPotential, seen.reset));
                now.push((Parameter::TauMem, seen.tau_mem));
            }
        } else {
            let rates = Rates::measure(bench, &config, EFFORT)?;
            now.extend(rates.thresholds(&caps, &config).map(|t| (Parameter::Threshold, t)));
        }
        let usable = calibration.usable();
        let mut lost = Vec::new();
        let mut parameters = Vec::new();
        for (parameter, values) in &now {
            let Some(stored) = calibration.parameter(*parameter) else { continue };
            let theta = theta(calibration.parameters.iter().map(|p| &p.target));
            let scale = if stored.unit == Unit::Lsb { theta } else { stored.target.value };
            for (n, value) in values.iter().enumerate() {
                // A value that merely could not be fitted this time is no loss.
                let mute = matches!(value.flag, Flag::Silent | Flag::Unresponsive);
                let gone = usable[n] && stored.after[n].is_good() && mute;
                if gone && !lost.contains(&(n as NeuronId)) {
                    lost.push(n as NeuronId);
                }
            }
            parameters.push(compare(
                *parameter,
                stored.unit,
                scale,
                &stored.after,
                values,
                &usable,
            ));
        }
        let advice = advise(&parameters, &lost, usable.iter().filter(|u| **u).count());
        Ok(Self { parameters, lost, advice, cost: bench.cost() - start })
    }
}

/// Compares two measurements of one parameter.
fn compare(
    parameter: Parameter,
    unit: Unit,
    scale: f64,
    before: &[Estimate],
    now: &[Estimate],
    usable: &[bool],
) -> ParameterDrift {
    let pairs: Vec<(usize, f64, f64)> = (0..before.len().min(now.len()))
        .filter(|n| usable[*n] && before[*n].is_good() && now[*n].is_good())
        .map(|n| (n, now[n].value - before[n].value, before[n].sigma.hypot(now[n].sigma)))
        .filter(|(_, _, sigma)| *sigma > 0.0)
        .collect();
    let middle = median(pairs.iter().map(|p| p.1));
    let middle = if middle.is_finite() { middle } else { 0.0 };
    // Standard errors that were a little optimistic must not raise alarms: the scatter of the middle half of
    // the neurons has the last word (1.4826 times the median deviation of a normal distribution is its s.d.).
    let scatter = 1.4826 * median(pairs.iter().map(|(_, d, s)| ((d - middle) / s).abs()));
    let widen = if scatter.is_finite() { scatter.max(1.0) } else { 1.0 };
    let typical = median(pairs.iter().map(|p| p.2));
    let error = 1.2533 * widen * typical / (pairs.len().max(1) as f64).sqrt();
    let mut ranked: Vec<(f64, Moved)> = pairs
        .iter()
        .map(|(n, d, s)| {
            let (change, sigma) = (d - middle, s * widen);
            let tail = libm::erfc((change / sigma).abs() / std::f64::consts::SQRT_2);
            (tail, Moved { neuron: *n as NeuronId, change, sigma })
        })
        .collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = ranked.len() as f64;
    // Four parameters are looked at: each gets its share of the false alarms.
    let level = FALSE_ALARM / 4.0;
    let named = ranked
        .iter()
        .enumerate()
        .rev()
        .find(|(k, (tail, _))| *tail <= level * (*k as f64 + 1.0) / count)
        .map_or(0, |(k, _)| k + 1);
    let mut moved: Vec<Moved> = ranked[..named]
        .iter()
        .map(|r| r.1)
        .filter(|m| m.change.abs() >= WORTH * scale.abs())
        .collect();
    moved.sort_by(|a, b| b.change.abs().total_cmp(&a.change.abs()));
    let common = Estimate::good(middle, error);
    ParameterDrift { parameter, unit, scale, compared: pairs.len(), common, moved }
}

fn advise(parameters: &[ParameterDrift], lost: &[NeuronId], usable: usize) -> Advice {
    let mut advice = if lost.is_empty() { Advice::LeaveIt } else { Advice::FineTune };
    for drift in parameters {
        let scale = drift.scale.abs().max(1e-12);
        let common = drift.common.value.abs() / scale;
        let clear = drift.common.value.abs() > 4.0 * drift.common.sigma;
        if clear && common > COMMON || !drift.moved.is_empty() {
            advice = advice.max(Advice::FineTune);
        }
        let far = drift.moved.iter().filter(|m| m.change.abs() > 0.1 * scale).count();
        let many = drift.moved.len() * 3 > usable || far * 20 > usable;
        if many || (clear && common > 0.05) {
            advice = Advice::Recalibrate;
        }
    }
    if lost.len() * 20 > usable { Advice::Recalibrate } else { advice }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spikeloop_models::random;

    /// Standard error of a threshold as it is measured, LSB.
    const ERROR: f64 = 0.15;

    fn draw(seed: u64, shift: impl Fn(usize) -> f64) -> (Vec<Estimate>, Vec<Estimate>) {
        let mut rng = random::stream(seed, 1);
        let mut noise = || ERROR * random::normal(&mut rng);
        let before = (0..512).map(|_| Estimate::good(150.0 + noise(), ERROR)).collect();
        let now = (0..512).map(|n| Estimate::good(150.0 + shift(n) + noise(), ERROR)).collect();
        (before, now)
    }

    fn compared(seed: u64, shift: impl Fn(usize) -> f64) -> ParameterDrift {
        let (before, now) = draw(seed, shift);
        compare(Parameter::Threshold, Unit::Lsb, 70.0, &before, &now, &[true; 512])
    }

    #[test]
    fn a_chip_that_stays_raises_no_alarm() {
        let alarms = (0..300).filter(|seed| !compared(*seed, |_| 0.0).moved.is_empty()).count();
        assert!(alarms <= 1, "{alarms}");
    }

    #[test]
    fn two_percent_on_one_neuron_in_twenty_is_found() {
        let found = compared(3, |n| if n % 20 == 0 { 1.4 } else { 0.0 });
        let right = found.moved.iter().filter(|m| m.neuron % 20 == 0).count();
        assert!(right >= 20, "{right} of 26");
        assert!(found.moved.len() - right <= 1);
    }

    #[test]
    fn what_all_have_in_common_is_not_blamed_on_single_neurons() {
        let found = compared(4, |_| 2.0);
        assert!(found.moved.is_empty());
        assert!((found.common.value - 2.0).abs() < 0.1);
        assert_eq!(advise(&[found], &[], 512), Advice::FineTune);
        assert_eq!(advise(&[compared(4, |_| 5.0)], &[], 512), Advice::Recalibrate);
        assert_eq!(advise(&[compared(4, |_| 0.0)], &[], 512), Advice::LeaveIt);
    }
}
