//! The page of a lesson: figures, learning curves, what the method wants to show, configuration.

use super::run::{Heading, LessonMetrics, LessonSummary};
use crate::picture::{LineChart, Series, escape, readable};
use crate::report::{KeyFigure, ReportData, Section, figure, row};

/// More epochs than this are thinned out for the curves.
const POINTS: usize = 600;

/// A figure as people read it: `test_accuracy` as a percentage, the rest with a few digits.
#[must_use]
pub fn shown(name: &str, value: f64) -> String {
    match name.ends_with("accuracy") {
        true => format!("{:.2} %", 100.0 * value),
        false => readable(value),
    }
}

/// `test_accuracy` as `test accuracy`.
#[must_use]
pub fn label(name: &str) -> String {
    name.replace('_', " ")
}

pub(super) fn page(
    heading: &Heading,
    summary: &LessonSummary,
    metrics: &[LessonMetrics],
    pictures: &[Section],
) -> String {
    let mut data = ReportData::new(&format!("{} \u{2013} {}", heading.name, heading.method));
    let place = match &heading.chip {
        None => "in software".to_owned(),
        Some(chip) => format!("with {} running the forward passes", chip.identity),
    };
    data.summary = format!("{} {}s of {} {place}.", summary.epochs, summary.unit, heading.method);
    data.command.clone_from(&heading.command);
    data.program = format!("spikeloop {}", env!("CARGO_PKG_VERSION"));
    data.identify("method", heading.method.to_owned());
    data.identify("seed", heading.seed.to_string());
    if let Some(chip) = &heading.chip {
        data.identify("chip", chip.identity.clone());
        data.identify("selector", chip.selector.clone());
    }
    for (name, value) in &summary.figures {
        let value = value.as_f64().unwrap_or(f64::NAN);
        data.figures.push(KeyFigure::new(&label(name), shown(name, value), String::new()));
    }
    let mut sections: Vec<Section> = vec![("Learning curves", curves(summary.unit, metrics))];
    sections.extend(pictures.iter().cloned());
    let config = format!("<pre>{}</pre>\n", escape(&heading.config));
    sections.push(("Configuration", config));
    data.document(&sections)
}

/// One chart a figure.
fn curves(unit: &str, metrics: &[LessonMetrics]) -> String {
    let mut names: Vec<&String> = Vec::new();
    for name in metrics.iter().flat_map(|m| m.figures.keys()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let step = metrics.len().div_ceil(POINTS).max(1);
    let figures = names.into_iter().map(|name| {
        let percent = name.ends_with("accuracy");
        let scale = if percent { 100.0 } else { 1.0 };
        let points = metrics.iter().step_by(step);
        let points = points.filter_map(|m| Some((m.epoch as f64, scale * m.get(name)?)));
        let caption = label(name);
        let chart = LineChart {
            title: caption.clone(),
            x_label: unit.to_owned(),
            y_label: if percent { format!("{caption} (%)") } else { caption.clone() },
            series: vec![Series {
                name: caption.clone(),
                points: points.collect(),
                dots: metrics.len() <= 12,
                ..Series::default()
            }],
            y_range: None,
            compact: true,
        };
        figure(&caption, &chart.draw())
    });
    row(&figures.collect::<String>())
}
