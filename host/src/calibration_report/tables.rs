//! Tables: all parameters, all failures, the cost.

use super::unit_text;
use crate::calibrate::{ParameterRow, Summary, by_reason, rough, short, with_spread};
use crate::picture::{escape, readable};
use crate::report::{Table, table};
use std::collections::BTreeMap;

/// All parameters in one table.
pub(super) fn parameters(summary: &Summary) -> String {
    let header = [
        "parameter",
        "unit",
        "target",
        "reachable by design",
        "before",
        "after",
        "left",
        "known to",
        "failed",
        "round trips",
    ];
    let rows = summary.parameters.iter().map(|p| {
        let (low, high) = p.feasible;
        vec![
            p.name.to_owned(),
            unit_text(p.unit),
            short(p.target),
            format!("{} to {}", short(low), short(high)),
            with_spread(p.mean_before, p.sigma_before),
            with_spread(p.mean_after, p.sigma_after),
            left(p),
            format!("± {}", rough(p.uncertainty)),
            p.failed.to_string(),
            p.round_trips.to_string(),
        ]
    });
    let gaps: String = by_reason(&summary.unavailable)
        .iter()
        .map(|gap| format!("<p class=\"hint\">Not set: {}.</p>\n", escape(gap)))
        .collect();
    let content = Table { header: header.map(str::to_owned).to_vec(), rows: rows.collect() };
    format!(
        "{}<p class=\"hint\">Mean and standard deviation over the neurons, 5 % cut off at both ends, noise of the \
         measurement taken out. Before: one code for all neurons. After: each neuron with its own code, \
         measured anew when everything was set. Left: standard deviation after as a share of that before. Known to: \
         standard error of a single neuron's value.</p>\n{gaps}",
        table(&content)
    )
}

fn left(row: &ParameterRow) -> String {
    if row.ratio.is_finite() { format!("{:.1} %", 100.0 * row.ratio) } else { "–".to_owned() }
}

/// Every neuron that failed, grouped by the reason.
pub(super) fn failures(summary: &Summary) -> String {
    if summary.failures.is_empty() {
        return "<p>None: every neuron is where it was wanted.</p>\n".to_owned();
    }
    let mut groups: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for failure in &summary.failures {
        let parameter = failure.parameter.unwrap_or("whole neuron");
        groups.entry((parameter, failure.reason)).or_default().push(failure.neuron.to_string());
    }
    let rows: String = groups
        .iter()
        .map(|((parameter, reason), neurons)| {
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(parameter),
                escape(reason),
                neurons.len(),
                neurons.join(", ")
            )
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"text\"><thead><tr><th>what failed</th><th>why</th><th>neurons</th>\
         <th>which</th></tr></thead>\n<tbody>{rows}</tbody></table></div>\n\
         <p class=\"hint\">Each neuron stands here once, with its first reason. Training leaves these neurons out.</p>\n"
    )
}

/// What the measurements cost.
pub(super) fn cost(summary: &Summary) -> String {
    let cost = &summary.cost;
    let settling = cost.settlings as f64 * spikeloop_calibration::bench::SETTLE_US * 1e-6;
    let rows = [
        (
            "round trips",
            cost.round_trips.to_string(),
            "times the host had to wait before it could decide what comes next",
        ),
        ("runs", cost.runs.to_string(), "submissions to the chip"),
        ("trials", cost.trials.to_string(), "stimuli in all runs"),
        (
            "time on the chip",
            format!("{} s", readable(cost.chip_us * 1e-6)),
            "trials, and settling after parameters were written",
        ),
        (
            "of it settling",
            format!("{} s", readable(settling)),
            "20 ms after each change of an analog parameter",
        ),
        (
            "lost events",
            cost.dropped_events.to_string(),
            "spikes and inputs that did not get through",
        ),
    ];
    let rows: String = rows
        .iter()
        .map(|(name, value, note)| {
            format!("<tr><td>{name}</td><td>{}</td><td>{note}</td></tr>\n", escape(value))
        })
        .collect();
    format!("<div class=\"scroll\"><table class=\"text\"><tbody>{rows}</tbody></table></div>\n")
}
