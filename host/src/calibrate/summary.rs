//! A calibration in few numbers: what tables show and `--json` prints.

use serde::Serialize;
use spikeloop_calibration::bench::Cost;
use spikeloop_calibration::result::{Calibration, ParameterResult, TRIM};
use spikeloop_calibration::targets::{Target, symbol};
use spikeloop_calibration::{Estimate, Flag};
use std::path::PathBuf;

/// One parameter over all neurons. Numbers that do not exist are `null` in files.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterRow {
    /// Its name, as in target files.
    pub name: &'static str,
    /// Unit of all values.
    pub unit: &'static str,
    /// What was wanted.
    pub target: f64,
    /// What the codes reach by design.
    pub feasible: (f64, f64),
    /// Whether the target lies within it; if not, the nearest value was taken.
    pub reachable: bool,
    /// Trimmed mean over the neurons with one code for all.
    pub mean_before: f64,
    /// Standard deviation over the neurons, trimmed, without the noise of the measurement.
    pub sigma_before: f64,
    /// Trimmed mean with the codes found.
    pub mean_after: f64,
    /// As `sigma_before`, with the codes found.
    pub sigma_after: f64,
    /// `sigma_after / sigma_before`.
    pub ratio: f64,
    /// Median standard error of a single value.
    pub uncertainty: f64,
    /// Neurons that missed the target or could not be measured.
    pub failed: usize,
    /// Round trips spent on it.
    pub round_trips: u64,
}

impl ParameterRow {
    /// The figures of one parameter.
    #[must_use]
    pub fn new(result: &ParameterResult) -> Self {
        Self {
            name: result.parameter.name(),
            unit: symbol(result.unit),
            target: result.target.value,
            feasible: result.target.feasible,
            reachable: result.target.is_feasible(),
            mean_before: mean(&result.before),
            sigma_before: result.sigma_before(),
            mean_after: mean(&result.after),
            sigma_after: result.sigma_after(),
            ratio: result.ratio(),
            uncertainty: spikeloop_calibration::fit::median(
                result.after.iter().filter(|e| e.is_good()).map(|e| e.sigma),
            ),
            failed: result.failed(),
            round_trips: result.round_trips,
        }
    }
}

/// Mean of the good values without the tails; NaN without any.
fn mean(estimates: &[Estimate]) -> f64 {
    let mut values: Vec<f64> = estimates.iter().filter(|e| e.is_good()).map(|e| e.value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let cut = (values.len() as f64 * TRIM) as usize;
    let kept = &values[cut..values.len() - cut];
    kept.iter().sum::<f64>() / kept.len() as f64
}

/// A neuron that is not to be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureRow {
    /// Which.
    pub neuron: u16,
    /// Which parameter; `null` if the neuron as a whole is to blame.
    pub parameter: Option<&'static str>,
    /// Class of the reason, for programs.
    pub flag: Flag,
    /// The reason, for people.
    pub reason: &'static str,
}

/// A calibration in few numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Kind and serial of the chip.
    pub chip: String,
    /// Its firmware, `major.minor.patch`.
    pub firmware: String,
    /// When it was calibrated, UTC.
    pub time: String,
    /// Temperature in °C, if the chip told.
    pub temperature_c: Option<f32>,
    /// Version of the library that made it.
    pub version: String,
    /// Where the whole calibration is.
    pub file: Option<PathBuf>,
    /// Neurons of the chip.
    pub neurons: usize,
    /// Those that can be used.
    pub calibrated: usize,
    /// The parameters, in the order of the wire.
    pub parameters: Vec<ParameterRow>,
    /// Neurons that cannot be used, each with its first reason.
    pub failures: Vec<FailureRow>,
    /// What could not be calibrated, and why.
    pub unavailable: Vec<String>,
    /// What was decided on the way.
    pub notes: Vec<String>,
    /// What it cost.
    pub cost: Cost,
}

impl Summary {
    /// Of a calibration that is kept in `file`.
    #[must_use]
    pub fn new(calibration: &Calibration, file: Option<PathBuf>) -> Self {
        let provenance = &calibration.provenance;
        let failures = calibration.failures.iter().map(|f| FailureRow {
            neuron: f.neuron,
            parameter: f.parameter.map(spikeloop_hal::Parameter::name),
            flag: f.reason,
            reason: f.reason.reason(),
        });
        Self {
            chip: provenance.chip.clone(),
            firmware: crate::command::info::version(provenance.firmware),
            time: provenance.time.clone(),
            temperature_c: provenance.temperature_c,
            version: provenance.version.clone(),
            file,
            neurons: calibration.neurons(),
            calibrated: calibration.usable().iter().filter(|u| **u).count(),
            parameters: calibration.parameters.iter().map(ParameterRow::new).collect(),
            failures: failures.collect(),
            unavailable: calibration.unavailable.clone(),
            notes: calibration.notes.clone(),
            cost: calibration.cost,
        }
    }
}

/// What to say of a target that the codes do not reach by design.
#[must_use]
pub fn out_of_range(target: &Target, unit: &str) -> String {
    let (low, high) = target.feasible;
    let nearest = target.value.clamp(low, high);
    let name = target.parameter.name();
    let [value, low, high, nearest] = [target.value, low, high, nearest].map(short);
    format!(
        "target {name} = {value} {unit} is out of the chip's range {low} to {high} {unit}: {nearest} {unit} is taken instead"
    )
}

/// What is unavailable, with the same reason said once: `a, b: reason`.
#[must_use]
pub fn by_reason(unavailable: &[String]) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for text in unavailable {
        let (what, why) = text.split_once(": ").unwrap_or((text, ""));
        match groups.iter_mut().find(|g| g.0 == why) {
            Some(group) => group.1.push(what),
            None => groups.push((why, vec![what])),
        }
    }
    let joined = |(why, what): (&str, Vec<&str>)| match why {
        "" => what.join(", "),
        why => format!("{}: {why}", what.join(", ")),
    };
    groups.into_iter().map(joined).collect()
}

/// Two significant digits: for errors and spreads.
#[must_use]
pub fn rough(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (1 - value.abs().log10().floor() as i32).clamp(0, 7) as usize;
    format!("{value:.decimals$}")
}

/// Four significant digits, without trailing zeros.
#[must_use]
pub fn short(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let text = format!("{value:.*}", (3 - magnitude).clamp(0, 7) as usize);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// `80.02 ± 0.45`: as many decimals as two digits of the deviation need.
#[must_use]
pub fn with_spread(mean: f64, sigma: f64) -> String {
    if !mean.is_finite() {
        return "-".to_owned();
    }
    if !(sigma.is_finite() && sigma > 0.0) {
        return format!("{} ± 0", short(mean));
    }
    let decimals = (1 - sigma.log10().floor() as i32).clamp(0, 7) as usize;
    // No minus sign before nothing.
    let mean = if mean.abs() < 0.5 * 10_f64.powi(-(decimals as i32)) { 0.0 } else { mean };
    format!("{mean:.decimals$} ± {sigma:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use spikeloop_hal::Parameter;

    #[test]
    fn numbers_fit_their_errors() {
        assert_eq!(with_spread(80.0213, 0.4512), "80.02 ± 0.45");
        assert_eq!(with_spread(0.032_14, 0.000_56), "0.03214 ± 0.00056");
        assert_eq!(with_spread(152.3, 14.2), "152 ± 14");
        assert_eq!(with_spread(2.0, 0.0), "2 ± 0");
        assert_eq!(with_spread(f64::NAN, 1.0), "-");
        assert_eq!(with_spread(-0.004, 9.9), "0.0 ± 9.9");
        assert_eq!((rough(0.136_93), rough(12.36), rough(0.0)).0, "0.14");
        assert_eq!(rough(12.36), "12");
        assert_eq!((short(6.0), short(0.012_345), short(40_000.0)).0, "6");
        assert_eq!(short(0.012_345), "0.01235");
        assert_eq!(short(40_000.0), "40000");
    }

    #[test]
    fn a_reason_is_said_once() {
        let list = ["a: no converter", "b: other", "c: no converter", "alone"].map(str::to_owned);
        assert_eq!(by_reason(&list), ["a, c: no converter", "b: other", "alone"]);
    }

    #[test]
    fn means_leave_the_tails_out() {
        let mut values: Vec<Estimate> = (0..20).map(|_| Estimate::good(1.0, 0.1)).collect();
        values[0].value = 1000.0;
        values.push(Estimate::missing(Flag::Silent));
        assert!((mean(&values) - 1.0).abs() < 1e-12);
        assert!(mean(&[]).is_nan());
    }

    #[test]
    fn ranges_are_said_in_full() {
        let target = Target { parameter: Parameter::TauMem, value: 500.0, feasible: (0.5, 40.0) };
        assert_eq!(
            out_of_range(&target, "us"),
            "target tau_mem = 500 us is out of the chip's range 0.5 to 40 us: 40 us is taken instead"
        );
    }
}
