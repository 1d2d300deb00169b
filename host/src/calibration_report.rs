//! The page of a calibration: what the chip was, what it is now, and what could not be mended. One HTML file with everything
//! inside, in the style of the report of a run.
//!
//! | part | needs |
//! |---|---|
//! | table, distributions and maps of each parameter, failures, rates, converter, weights | the calibration |
//! | traces with their fits, ramps, noise against averaging | the raw data of the measurements, which are not kept |

mod noise;
mod parameters;
mod responses;
mod tables;

use crate::calibrate::{Summary, by_reason, out_of_range, short};
use crate::picture::{Picture, escape, readable};
use crate::report::{KeyFigure, ReportData, Section, row};
use spikeloop_calibration::Calibration;
use spikeloop_calibration::result::RawData;
use spikeloop_calibration::targets::symbol;

/// The page. Without raw data (a calibration that was read from a file) the pictures of single traces are left out.
#[must_use]
pub fn page(calibration: &Calibration, raw: Option<&RawData>) -> String {
    let summary = Summary::new(calibration, None);
    let nothing = RawData::default();
    let raw_or_nothing = raw.unwrap_or(&nothing);
    let sections: Vec<Section> = vec![
        ("Parameters", tables::parameters(&summary)),
        ("Parameter by parameter", parameters::all(calibration)),
        ("Neurons that cannot be used", tables::failures(&summary)),
        ("Firing rate against input", responses::rates(calibration)),
        ("After a spike", responses::relaxation(raw_or_nothing)),
        ("Response to one volley", responses::volley(raw_or_nothing)),
        ("Threshold on a ramp", responses::threshold(calibration, raw_or_nothing)),
        ("Noise of the read-out", noise::all(calibration, raw_or_nothing)),
        ("Weights", responses::weights(calibration)),
        ("What it cost", tables::cost(&summary)),
    ];
    head(calibration, &summary, raw.is_some()).document(&sections)
}

fn head(calibration: &Calibration, summary: &Summary, with_raw: bool) -> ReportData {
    let mut data = ReportData::new(&format!("Calibration of {}", summary.chip));
    let ratio = median_ratio(summary);
    let share = 100.0 * summary.calibrated as f64 / summary.neurons.max(1) as f64;
    data.summary = match ratio {
        Some(ratio) => format!(
            "{} of {} neurons are where they were wanted; what differs from neuron to neuron is {:.0} % of what it was before.",
            summary.calibrated,
            summary.neurons,
            100.0 * ratio
        ),
        None => format!(
            "{} of {} neurons are where they were wanted.",
            summary.calibrated, summary.neurons
        ),
    };
    data.identify("chip", summary.chip.clone());
    data.identify("firmware", summary.firmware.clone());
    data.identify("measured", summary.time.clone());
    if let Some(temperature) = summary.temperature_c {
        data.identify("temperature", format!("{temperature:.1} °C"));
    }
    let options = &calibration.options;
    data.identify("repetitions", format!("× {}", short(options.repeats)));
    data.program = format!("spikeloop {}", summary.version);
    for result in calibration.parameters.iter().filter(|r| !r.target.is_feasible()) {
        data.warnings.push(out_of_range(&result.target, symbol(result.unit)));
    }
    if !calibration.converter.referenced {
        let gaps = by_reason(&summary.unavailable);
        data.warnings.extend(gaps.iter().map(|text| format!("Not available: {text}.")));
    }
    if summary.cost.dropped_events > 0 {
        data.warnings.push(format!(
            "{} spikes were lost on the way out of the chip: rates at strong input are higher than shown.",
            readable(summary.cost.dropped_events as f64)
        ));
    }
    if !with_raw && calibration.weights.is_some() {
        data.warnings.push(
            "Traces, fits and noise are not shown: raw data are not kept. calibrate --fresh --report measures and shows them."
                .into(),
        );
    }
    let card = |label: &str, value: String, note: &str| KeyFigure::new(label, &value, note);
    data.figures.push(card(
        "neurons calibrated",
        format!("{share:.1} %"),
        &format!("{} of {}", summary.calibrated, summary.neurons),
    ));
    if let Some(ratio) = ratio {
        data.figures.push(card(
            "spread left",
            format!("{:.0} %", 100.0 * ratio),
            "median over parameters",
        ));
    }
    let most = summary.parameters.iter().map(|p| p.round_trips).max().unwrap_or(0);
    data.figures.push(card(
        "round trips",
        summary.cost.round_trips.to_string(),
        &format!("at most {most} for a parameter"),
    ));
    let seconds = format!("{} s", readable(summary.cost.chip_us * 1e-6));
    data.figures.push(card("time on the chip", seconds, "trials and settling"));
    data
}

/// Median over the parameters of the spread after as a share of that before.
fn median_ratio(summary: &Summary) -> Option<f64> {
    let ratios = summary.parameters.iter().map(|p| p.ratio).filter(|r| r.is_finite());
    Some(spikeloop_calibration::fit::median(ratios)).filter(|m| m.is_finite())
}

/// A picture with its caption and a sentence that says what there is to see.
fn shown(caption: &str, see: &str, picture: &Picture) -> String {
    let width = picture.size().0;
    format!(
        "<figure style=\"max-width:{width}px;flex-basis:{:.0}px\"><figcaption>{}</figcaption>\
         <div class=\"scroll\">{}</div><p class=\"see\">{}</p></figure>\n",
        0.84 * width,
        escape(caption),
        picture.inline(),
        escape(see)
    )
}

/// Pictures side by side, with a heading.
fn group(heading: &str, figures: &str) -> String {
    if figures.is_empty() {
        return String::new();
    }
    format!("<h3>{}</h3>\n{}", escape(heading), row(figures))
}

/// A unit as pages write it.
fn unit_text(unit: &str) -> String {
    unit.replace("us", "µs")
}

/// Mean and standard deviation of the finite values.
fn moments(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let finite: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
    let n = finite.len().max(1) as f64;
    let mean = finite.iter().sum::<f64>() / n;
    let squares: f64 = finite.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// One neuron of each quarter of the array, the first of each that `good` accepts.
fn examples(neurons: usize, good: impl Fn(usize) -> bool) -> Vec<usize> {
    let quarter = |k: usize| k * neurons / 4..(k + 1) * neurons / 4;
    (0..4).filter_map(|k| quarter(k).find(|n| good(*n))).collect()
}

#[cfg(test)]
mod tests;
