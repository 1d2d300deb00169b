//! Each parameter: its distribution before and after, and where in the array the neurons stand.

use super::{group, shown, unit_text};
use crate::calibrate::{ParameterRow, rough, short};
use crate::picture::{Array, BeforeAfter};
use spikeloop_calibration::result::ParameterResult;
use spikeloop_calibration::{Calibration, Estimate, Flag};
use spikeloop_hal::{Parameter, Unit};

/// Neurons of a block: the quadrants of BrainScaleS-2 have so many. Lines at other chips' multiples of it do no harm.
const BLOCK: usize = 128;

/// A row of pictures for every parameter.
pub(super) fn all(calibration: &Calibration) -> String {
    let rows = calibration.parameters.iter().map(|result| one(calibration, result));
    rows.collect()
}

fn one(calibration: &Calibration, result: &ParameterResult) -> String {
    let row = ParameterRow::new(result);
    let unit = unit_text(row.unit);
    let (low, high) = result.target.feasible;
    let target = result.target.value.clamp(low, high);
    let bound = calibration.options.accept * scale(calibration, result, target);
    let histogram = BeforeAfter {
        title: format!("{} before and after", row.name),
        x_label: format!("{} ({unit})", row.name),
        before: values(&result.before),
        after: values(&result.after),
        target,
        bounds: (target - bound, target + bound),
    };
    let spread = if row.sigma_before > 0.0 {
        format!(
            "Above, one code for all neurons spreads them by ± {}; with codes of their own ± {} are left.",
            rough(row.sigma_before),
            rough(row.sigma_after)
        )
    } else {
        "Above, the neurons do not differ by more than the measurement is unsure of.".to_owned()
    };
    let see = format!(
        "{spread} Below, the neurons after calibration enlarged. Green: within {} of the target, beyond it a neuron counts as failed.",
        rough(bound)
    );
    let figures = shown("Distribution over the neurons", &see, &histogram.draw())
        + &map("Before", result, &result.before, target, &unit, before_sentence(result, &row))
        + &map("After", result, &result.after, target, &unit, after_sentence(result));
    group(&format!("{}: target {} {unit}", row.name, short(result.target.value)), &figures)
}

/// What deviations are measured by: θ for potentials, the target for all others.
fn scale(calibration: &Calibration, result: &ParameterResult, target: f64) -> f64 {
    let of = |p| calibration.parameter(p).map(|r| r.target.value);
    match (result.unit, of(Parameter::Threshold), of(Parameter::LeakPotential)) {
        (Unit::Lsb, Some(threshold), Some(leak)) if threshold > leak => threshold - leak,
        (Unit::Lsb, ..) => 70.0,
        _ => target.abs(),
    }
}

fn values(estimates: &[Estimate]) -> Vec<f64> {
    estimates.iter().map(|e| if e.is_good() { e.value } else { f64::NAN }).collect()
}

fn map(
    caption: &str,
    result: &ParameterResult,
    estimates: &[Estimate],
    target: f64,
    unit: &str,
    see: String,
) -> String {
    let deviations: Vec<f64> = values(estimates).iter().map(|v| v - target).collect();
    let array = Array {
        title: format!("{} {caption}", result.parameter.name()),
        reach: reach(&deviations),
        values: deviations,
        failed: result.verdict.iter().map(|v| *v != Flag::Good).collect(),
        centre: 0.0,
        block: if estimates.len() > BLOCK { BLOCK } else { 0 },
    };
    let caption = format!("{caption}: distance from the target ({unit})");
    shown(&caption, &see, &array.draw())
}

/// Distance from 0 that all but a fiftieth of the values keep: a few strays must not wash out the rest.
fn reach(deviations: &[f64]) -> f64 {
    let mut sizes: Vec<f64> =
        deviations.iter().map(|d| d.abs()).filter(|d| d.is_finite()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let at = (sizes.len() * 49 / 50).min(sizes.len().saturating_sub(1));
    sizes.get(at).copied().filter(|r| *r > 0.0).unwrap_or(1.0)
}

fn before_sentence(result: &ParameterResult, row: &ParameterRow) -> String {
    let share = block_share(&values(&result.before));
    match share {
        Some(share) => format!(
            "Distance from the target with one code for all. Differences between the blocks of {BLOCK} neurons (lines) make up \
             {:.0} % of the variance.",
            100.0 * share
        ),
        None => format!(
            "Distance from the target with one code for all; on average {}.",
            rough(row.mean_before - row.target)
        ),
    }
}

fn after_sentence(result: &ParameterResult) -> String {
    let own = reach_ratio(result);
    let failed = result.failed();
    let crosses = match failed {
        0 => "no neuron failed".to_owned(),
        1 => "the neuron that failed is crossed out".to_owned(),
        n => format!("{n} neurons that failed are crossed out"),
    };
    format!(
        "The same with codes of their own; colours are {own} times as fine. No structure should be left; {crosses}, grey has no value."
    )
}

fn reach_ratio(result: &ParameterResult) -> String {
    let (low, high) = result.target.feasible;
    let target = result.target.value.clamp(low, high);
    let of = |e: &[Estimate]| reach(&values(e).iter().map(|v| v - target).collect::<Vec<_>>());
    let ratio = of(&result.before) / of(&result.after);
    if ratio >= 10.0 { format!("{ratio:.0}") } else { format!("{ratio:.1}") }
}

/// Share of the variance that lies between blocks, corrected for what lies there by chance; `None` with one block.
fn block_share(values: &[f64]) -> Option<f64> {
    if values.len() < 2 * BLOCK {
        return None;
    }
    let (mut within, mut means) = (0.0, Vec::new());
    for block in values.chunks(BLOCK) {
        let (mean, deviation) = super::moments(block.iter().copied());
        within += deviation * deviation;
        means.push(mean);
    }
    within /= means.len() as f64;
    let between = super::moments(means).1.powi(2) - within / BLOCK as f64;
    Some(between.max(0.0) / (between.max(0.0) + within)).filter(|s| s.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found() {
        let value = |n: usize| (n / BLOCK) as f64 * 10.0 + (n % 7) as f64;
        let share = block_share(&(0..512).map(value).collect::<Vec<_>>()).unwrap();
        assert!(share > 0.95, "{share}");
        let none = block_share(&(0..512).map(|n| (n % 7) as f64).collect::<Vec<_>>()).unwrap();
        assert!(none < 0.02, "{none}");
        assert!(block_share(&[1.0; 64]).is_none());
    }

    #[test]
    fn strays_do_not_set_the_colours() {
        let mut deviations = vec![0.1; 99];
        deviations.push(50.0);
        assert!((reach(&deviations) - 0.1).abs() < 1e-12);
        assert!((reach(&[f64::NAN]) - 1.0).abs() < 1e-12);
    }
}
