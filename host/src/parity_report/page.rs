//! The report as one HTML file.

use super::{COLUMNS, counters, difference_rows, layer_name, of_spikes, place, sentence};
use crate::picture::{
    LineChart, Part, Raster, RasterPanel, Series, SplitBar, Trace, TraceChart, escape,
};
use crate::report::{KeyFigure, ReportData, Section, Table, figure, row, table};
use spikeloop_calibration::parity::{Behaviour, Divergence, Parity, Pictures};

/// Divergences that the table shows.
const SHOWN: usize = 12;

/// What the page says about where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Name of the run.
    pub name: String,
    /// The chip.
    pub chip: String,
    /// The calibration, or that there is none.
    pub calibration: String,
    /// The command.
    pub command: String,
    /// Time step of the network in µs, for the axes: in ns to be exact.
    pub dt_ns: u32,
}

/// The page: one file, no network, no scripts, the same bytes for the same data.
#[must_use]
pub fn page(parity: &Parity, pictures: &Pictures, head: &Head) -> String {
    let dt_us = f64::from(head.dt_ns) / 1000.0;
    let sections: Vec<Section> = vec![
        ("Who is to blame", blame(parity)),
        ("Where and when", divergences(parity)),
        ("Divergence over time", over_time(parity, pictures, dt_us)),
        ("One sample", sample(parity, pictures, dt_us)),
        ("Layer by layer", differences(parity)),
        ("Counters", counter_table(parity)),
    ];
    data(parity, head).document(&sections)
}

fn data(parity: &Parity, head: &Head) -> ReportData {
    let verdict = &parity.verdict;
    let mut data = ReportData::new(&format!("Parity of {} on {}", head.name, head.chip));
    data.summary = sentence(parity);
    data.command.clone_from(&head.command);
    data.program = format!("spikeloop {}", env!("CARGO_PKG_VERSION"));
    data.identify("chip", head.chip.clone());
    data.identify("calibration", head.calibration.clone());
    data.identify("samples", parity.samples.to_string());
    data.warnings.clone_from(&parity.notes);
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let first = verdict.first.map_or("none", |cause| cause.label());
    let sure = format!("first in {:.0} % of the draws", 100.0 * verdict.confidence);
    data.figures = vec![
        KeyFigure::new("first suspect", first, sure),
        KeyFigure::new("distance", percent(verdict.distance), "of the energy of the signals"),
        KeyFigure::new("noise", percent(verdict.noise), "from trial to trial, same measure"),
        KeyFigure::new(
            "not explained",
            percent(verdict.unexplained),
            "of the distance, by the twin",
        ),
    ];
    data
}

fn blame(parity: &Parity) -> String {
    let verdict = &parity.verdict;
    if verdict.suspects.is_empty() {
        return String::new();
    }
    let mut parts: Vec<Part> = verdict
        .suspects
        .iter()
        .map(|s| Part { name: s.cause.label().to_owned(), value: 100.0 * s.share.max(0.0) })
        .collect();
    parts.push(Part { name: "not explained".into(), value: 100.0 * verdict.unexplained });
    let bar = SplitBar { title: "shares of the distance".into(), unit: "%".into(), parts };
    let advice = verdict
        .first
        .map(|c| format!("<p><strong>What to do:</strong> {}.</p>\n", escape(c.advice())))
        .unwrap_or_default();
    let text = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    let rows = verdict.suspects.iter().map(|s| {
        let (share, error) = (100.0 * s.share, 100.0 * s.error);
        vec![
            s.cause.label().to_owned(),
            s.cause.scope().to_owned(),
            format!("{share:.1} ± {error:.1} %"),
        ]
    });
    let header = text(&["cause", "what belongs to it", "explains"]);
    let list = Table { header, rows: rows.collect() };
    let how = "<p>Each cause is switched on alone in an ideal chip, and off alone in the digital twin; what that takes \
               from the squared distance to the real chip, or brings back, is what it explains. The rest is noise, causes \
               that act together, and what the twin does not know.</p>\n";
    format!(
        "{}{advice}{}{how}",
        figure("How much of the distance each cause explains", &bar.draw()),
        table(&list)
    )
}

fn divergences(parity: &Parity) -> String {
    if parity.divergences.is_empty() {
        return "<p>No sample diverges by more than a step or a quarter of θ.</p>\n".to_owned();
    }
    let mut list: Vec<&Divergence> = parity.divergences.iter().collect();
    list.sort_by(|a, b| a.time_us.total_cmp(&b.time_us));
    let rows = list.iter().take(SHOWN).map(|d| {
        vec![
            format!("sample {}", d.sample),
            (d.layer + 1).to_string(),
            d.unit.to_string(),
            format!("{:.2} µs", d.time_us),
            d.what.to_string(),
        ]
    });
    let header = ["sample", "layer", "unit", "time", "what"].map(str::to_owned).to_vec();
    let list_table = Table { header, rows: rows.collect() };
    format!(
        "<p>{} of {} samples diverge from the ideal chip by more than a step of time or a quarter of θ. The first: {}.</p>\n{}",
        parity.divergences.len(),
        parity.samples,
        list.first().map(|d| escape(&place(d))).unwrap_or_default(),
        table(&list_table)
    )
}

fn over_time(parity: &Parity, pictures: &Pictures, dt_us: f64) -> String {
    let steps = pictures.chip.steps;
    let share = (0..steps).map(|k| {
        let t = k as f64 * dt_us;
        let diverged = parity.divergences.iter().filter(|d| d.time_us <= t).count();
        (t, 100.0 * diverged as f64 / parity.samples.max(1) as f64)
    });
    let series = |name: &str, points: Vec<(f64, f64)>| Series {
        name: name.to_owned(),
        points,
        ..Series::default()
    };
    let samples = LineChart {
        title: "samples that have diverged".into(),
        x_label: "time (µs)".into(),
        y_label: "samples (%)".into(),
        series: vec![series("ideal chip", share.collect())],
        y_range: Some((0.0, 100.0)),
        compact: false,
    };
    let mut out = figure("Samples that have diverged from the ideal chip", &samples.draw());
    let names = ["ideal chip", "digital twin", "the chip once more"];
    let lines: Vec<Series> = names
        .iter()
        .zip(&pictures.membrane_over_time)
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| {
            let points = values.iter().enumerate().map(|(k, v)| (k as f64 * dt_us, *v));
            series(name, points.collect())
        })
        .collect();
    if !lines.is_empty() {
        let chart = LineChart {
            title: "difference of membranes".into(),
            x_label: "time (µs)".into(),
            y_label: "rms ΔV (θ)".into(),
            series: lines,
            y_range: None,
            compact: false,
        };
        out.push_str(&figure("Difference of all membranes from the chip's", &chart.draw()));
    }
    row(&out)
}

/// The sample that diverges first, or the first one.
fn chosen(parity: &Parity) -> usize {
    parity.first_divergence().map_or(0, |d| d.sample)
}

fn sample(parity: &Parity, pictures: &Pictures, dt_us: f64) -> String {
    let k = chosen(parity);
    let duration_us = dt_us * pictures.chip.steps as f64;
    let all: [(&str, &Behaviour); 4] = [
        ("model", &pictures.model),
        ("ideal chip", &pictures.ideal),
        ("twin", &pictures.twin),
        ("chip", &pictures.chip),
    ];
    let mut panels = Vec::new();
    for (name, behaviour) in all {
        for (l, layer) in behaviour.layers.iter().enumerate().filter(|(_, l)| l.spiking) {
            let spikes = layer.spikes.get(k).map_or(&[][..], Vec::as_slice);
            panels.push(RasterPanel {
                name: format!("{name}, {}", layer_name(l)),
                units: layer.units,
                spikes: spikes.iter().map(|s| (s.time_us, u32::from(s.unit))).collect(),
            });
        }
    }
    let raster = Raster { title: "spikes".into(), duration_us, panels };
    let mut out = figure(&format!("Spikes of sample {k}"), &raster.draw());
    for (name, other) in [("ideal chip", &pictures.ideal), ("digital twin", &pictures.twin)] {
        let traces = worst_traces(parity, pictures, other, k, dt_us);
        if !traces.is_empty() {
            let chart = TraceChart { title: "membranes".into(), duration_us, traces };
            let caption = format!("Worst units: the chip (measured) and the {name} (modelled)");
            out.push_str(&figure(&caption, &chart.draw()));
        }
    }
    row(&out)
}

/// Membranes of the unit in each layer that is furthest from the ideal chip in sample `k`.
fn worst_traces(
    parity: &Parity,
    pictures: &Pictures,
    other: &Behaviour,
    k: usize,
    dt_us: f64,
) -> Vec<Trace> {
    let steps = pictures.chip.steps;
    let mut traces = Vec::new();
    for (l, layer) in pictures.chip.layers.iter().enumerate() {
        if layer.membrane.is_empty() {
            continue;
        }
        let units = layer.units;
        let value = |of: &Behaviour, t: usize, unit: usize| {
            of.layers[l].membrane[(k * steps + t) * units + unit]
        };
        let off = |unit: &usize| -> f32 {
            (0..steps)
                .map(|t| {
                    (value(&pictures.ideal, t, *unit) - value(&pictures.chip, t, *unit)).powi(2)
                })
                .sum()
        };
        let Some(worst) = (0..units).max_by(|a, b| off(a).total_cmp(&off(b))) else { continue };
        // The unit that diverged first comes first.
        let first = parity.first_divergence().filter(|d| d.layer == l && d.sample == k);
        let mut shown: Vec<usize> =
            first.filter(|d| of_spikes(d)).map(|d| d.unit).into_iter().collect();
        if !shown.contains(&worst) {
            shown.push(worst);
        }
        for unit in shown {
            let series = |of: &Behaviour| -> Vec<(f32, f32)> {
                (0..steps).map(|t| ((t as f64 * dt_us) as f32, value(of, t, unit))).collect()
            };
            let spikes = layer.spikes.get(k).map_or(&[][..], Vec::as_slice);
            traces.push(Trace {
                name: format!("{}, unit {unit}", layer_name(l)),
                measured: series(&pictures.chip),
                modelled: series(other),
                spikes_us: spikes
                    .iter()
                    .filter(|s| usize::from(s.unit) == unit)
                    .map(|s| s.time_us)
                    .collect(),
                threshold: layer.spiking.then_some(1.0),
            });
        }
    }
    traces
}

fn differences(parity: &Parity) -> String {
    let header = COLUMNS.map(str::to_owned).to_vec();
    let rows = difference_rows(parity).into_iter().map(|row| row.to_vec()).collect();
    table(&Table { header, rows })
}

fn counter_table(parity: &Parity) -> String {
    let header = ["what", "count", "meaning"].map(str::to_owned).to_vec();
    let one = |(name, value, ok, note): (&str, String, bool, &str)| {
        let value = if ok { value } else { format!("⚠ {value}") };
        vec![name.to_owned(), value, note.to_owned()]
    };
    table(&Table { header, rows: counters(parity).into_iter().map(one).collect() })
}
