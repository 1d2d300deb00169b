//! The sections of the page; each is empty when its data are.

use super::data::{ArrayMap, EpochPoint, Robustness, RobustnessPoint, Table, WeightView};
use super::page::Section;
use super::{ReportData, SampleView};
use crate::picture::{
    ConfusionMatrix, HeatMap, HistogramChart, HistogramSeries, LineChart, Picture, Raster, Series,
    SplitBar, TraceChart, escape, readable,
};

/// Every section in the order of the page.
pub(super) fn all(data: &ReportData) -> Vec<Section> {
    vec![
        ("Ways to use this chip", data.comparison.as_ref().map(table).unwrap_or_default()),
        ("Accuracy against mismatch", data.robustness.as_ref().map(robustness).unwrap_or_default()),
        ("Learning curves", curves(&data.epochs)),
        ("Decisions on the test set", data.confusion.as_ref().map(confusion).unwrap_or_default()),
        ("Spikes and membranes", data.samples.iter().map(sample).collect()),
        ("Weights", data.weights.iter().map(weights).collect()),
        ("Mismatch of the chip", mismatch(data)),
        ("Where the time went", time_split(data)),
        ("Health", health(data)),
        ("Configuration", data.config.as_deref().map(config).unwrap_or_default()),
    ]
}

pub(crate) fn figure(caption: &str, picture: &Picture) -> String {
    let caption = escape(caption);
    let width = picture.size().0;
    format!(
        "<figure style=\"max-width:{width}px;flex-basis:{:.0}px\"><figcaption>{caption}</figcaption>\
         <div class=\"scroll\">{}</div></figure>\n",
        0.84 * width,
        picture.inline()
    )
}

pub(crate) fn row(figures: &str) -> String {
    if figures.is_empty() { String::new() } else { format!("<div class=\"row\">{figures}</div>\n") }
}

pub(crate) fn table(table: &Table) -> String {
    let cells = |cells: &[String], tag: &str| -> String {
        cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect()
    };
    let rows: String =
        table.rows.iter().map(|r| format!("<tr>{}</tr>\n", cells(r, "td"))).collect();
    let header = cells(&table.header, "th");
    format!(
        "<div class=\"scroll\"><table><thead><tr>{header}</tr></thead>\n\
         <tbody>{rows}</tbody></table></div>\n"
    )
}

/// A quantity of an epoch.
type Value = fn(&EpochPoint) -> Option<f64>;

/// A figure of one curve per accessor, if any epoch has it.
fn curve_figure(
    caption: &str,
    y_label: &str,
    epochs: &[EpochPoint],
    lines: &[(&str, Value)],
) -> String {
    let series: Vec<Series> = (lines.iter())
        .map(|(name, value)| Series {
            name: (*name).to_owned(),
            points: epochs.iter().filter_map(|e| value(e).map(|v| (e.epoch, v))).collect(),
            dots: epochs.len() <= 12,
            ..Series::default()
        })
        .filter(|s| !s.points.is_empty())
        .collect();
    if series.is_empty() {
        return String::new();
    }
    let chart = LineChart {
        title: caption.to_owned(),
        x_label: "epoch".to_owned(),
        y_label: y_label.to_owned(),
        series,
        y_range: None,
        compact: true,
    };
    figure(caption, &chart.draw())
}

fn curves(epochs: &[EpochPoint]) -> String {
    let accuracy = curve_figure(
        "Accuracy",
        "accuracy (%)",
        epochs,
        &[
            ("training", |e| e.train_accuracy.map(|a| 100.0 * a)),
            ("test", |e| e.test_accuracy.map(|a| 100.0 * a)),
            ("validation", |e| e.validation_accuracy.map(|a| 100.0 * a)),
        ],
    );
    let loss = curve_figure("Loss", "loss", epochs, &[("training", |e| e.loss)]);
    let spikes =
        curve_figure("Activity", "spikes / sample", epochs, &[("hidden", |e| e.hidden_spikes)]);
    row(&(accuracy + &loss + &spikes))
}

/// Mean and deviation of a point as a cell.
fn percent(point: &RobustnessPoint) -> String {
    match point.mean_and_deviation() {
        None => "–".to_owned(),
        Some((mean, _)) if point.accuracies.len() < 2 => format!("{:.1} %", 100.0 * mean),
        Some((mean, sd)) => format!("{:.1} ± {:.1} %", 100.0 * mean, 100.0 * sd),
    }
}

fn robustness(data: &Robustness) -> String {
    let series = (data.lines.iter()).map(|line| {
        let stats = line.points.iter().filter_map(|p| Some((p.sigma, p.mean_and_deviation()?)));
        let stats: Vec<_> = stats.collect();
        Series {
            name: line.name.clone(),
            points: stats.iter().map(|s| (s.0, 100.0 * s.1.0)).collect(),
            error: stats.iter().map(|s| 100.0 * s.1.1).collect(),
            dots: true,
            ..Series::default()
        }
    });
    let chart = LineChart {
        title: "accuracy against mismatch".to_owned(),
        x_label: data.x_label.clone(),
        y_label: "test accuracy (%)".to_owned(),
        series: series.collect(),
        y_range: None,
        compact: false,
    };
    let mut sigmas: Vec<f64> =
        data.lines.iter().flat_map(|l| l.points.iter().map(|p| p.sigma)).collect();
    sigmas.sort_unstable_by(f64::total_cmp);
    sigmas.dedup();
    let chips = data.lines.iter().flat_map(|l| &l.points).map(|p| p.accuracies.len()).max();
    let header = std::iter::once(data.x_label.clone());
    let rows = data.lines.iter().map(|line| {
        let cell =
            |s: &f64| line.points.iter().find(|p| p.sigma == *s).map_or("–".to_owned(), percent);
        std::iter::once(line.name.clone()).chain(sigmas.iter().map(cell)).collect()
    });
    let numbers = Table {
        header: header.chain(sigmas.iter().map(|s| readable(*s))).collect(),
        rows: rows.collect(),
    };
    format!(
        "{}{}<p class=\"hint\">Mean and standard deviation over {} chips per point.</p>\n",
        table(&numbers),
        figure("Test accuracy", &chart.draw()),
        chips.unwrap_or(0),
    )
}

fn confusion(matrix: &ConfusionMatrix) -> String {
    let n = matrix.classes.len();
    if n == 0 || matrix.counts.len() != n * n {
        return String::new();
    }
    let total: u64 = matrix.counts.iter().sum();
    let right: u64 = matrix.counts.iter().step_by(n + 1).sum();
    let errors = (0..n * n).filter(|i| i % (n + 1) != 0).map(|i| (matrix.counts[i], i));
    let worst = errors.max().filter(|(count, _)| *count > 0).map(|(count, i)| {
        let (truth, decision) = (&matrix.classes[i / n], &matrix.classes[i % n]);
        format!("; the most frequent error takes {truth} for {decision} ({count} times)")
    });
    let share = 100.0 * right as f64 / total.max(1) as f64;
    let worst = escape(&worst.unwrap_or_default());
    format!(
        "<p class=\"hint\">{right} of {total} right ({share:.2} %){worst}.</p>\n\
         <div class=\"scroll\">{}</div>\n",
        matrix.draw().inline()
    )
}

fn sample(view: &SampleView) -> String {
    let mut figures = String::new();
    if !view.panels.is_empty() {
        let raster = Raster {
            title: format!("spikes, {}", view.title),
            duration_us: view.duration_us,
            panels: view.panels.clone(),
        };
        figures += &figure("Spikes", &raster.draw());
    }
    if !view.traces.is_empty() {
        let chart = TraceChart {
            title: format!("membranes, {}", view.title),
            duration_us: view.duration_us,
            traces: view.traces.clone(),
        };
        figures += &figure("Membranes; triangles mark spikes", &chart.draw());
    }
    if figures.is_empty() {
        return String::new();
    }
    format!("<h3>{}</h3>\n{}", escape(&view.title), row(&figures))
}

/// Bins for learned and quantised weights: each holds the same number of chip codes, with its edges
/// between codes, since bins that hold now one code and now two would show a comb.
fn weight_bins(view: &WeightView) -> (usize, Option<(f64, f64)>) {
    const MOST: f64 = 63.0;
    let step = code_step(&view.quantised);
    let all = view.learned.iter().chain(&view.quantised).map(|v| f64::from(v.abs()));
    let span = all.filter(|v| v.is_finite()).fold(0.0, f64::max);
    let Some(step) = step.filter(|s| span / s <= 1e4) else { return (MOST as usize, None) };
    let codes = (2.0 * span / step / MOST / 2.0).floor() * 2.0 + 1.0; // odd: 0 is amid its bin
    let width = codes * step;
    let bins = 2.0 * (span / width - 0.5).ceil().max(0.0) + 1.0;
    (bins as usize, Some((-bins * width / 2.0, bins * width / 2.0)))
}

/// Distance of neighbouring codes in model units, from the weights that the chip realises; `None`
/// with fewer than two different ones.
fn code_step(quantised: &[f32]) -> Option<f64> {
    let mut levels: Vec<f32> = quantised.iter().copied().filter(|v| v.is_finite()).collect();
    levels.sort_unstable_by(f32::total_cmp);
    let steps = levels.windows(2).map(|w| f64::from(w[1] - w[0]));
    // Rounding leaves differences far below a code between equal codes.
    steps.filter(|d| *d > 1e-6).min_by(f64::total_cmp)
}

/// What quantisation did to each weight, in codes: within ± ½ by rounding, beyond it by clipping.
fn rounding(view: &WeightView) -> String {
    let Some(step) = code_step(&view.quantised) else { return String::new() };
    let pairs = view.learned.iter().zip(&view.quantised);
    let errors: Vec<f64> = pairs.map(|(l, q)| (f64::from(*q) - f64::from(*l)) / step).collect();
    let clipped = errors.iter().filter(|e| e.abs() > 0.51).count();
    let chart = HistogramChart {
        title: format!("quantisation error of {}", view.layer),
        x_label: "on the chip − learned (codes)".to_owned(),
        series: vec![HistogramSeries { name: "error".to_owned(), values: errors }],
        bins: 40,
        x_range: None,
    };
    figure(&format!("Quantisation error; {clipped} weights clipped"), &chart.draw())
}

fn weights(view: &WeightView) -> String {
    let series = |name: &str, values: &[f32]| HistogramSeries {
        name: name.to_owned(),
        values: values.iter().map(|&v| f64::from(v)).collect(),
    };
    let mut sets = vec![series("learned", &view.learned)];
    if !view.quantised.is_empty() {
        sets.push(series("on the chip", &view.quantised));
    }
    let (bins, x_range) = weight_bins(view);
    let histogram = HistogramChart {
        title: format!("weights of {}", view.layer),
        x_label: "weight (threshold = 1)".to_owned(),
        series: sets,
        bins,
        x_range,
    };
    let mut figures = figure("Distribution", &histogram.draw()) + &rounding(view);
    if view.columns > 0 {
        let shown = if view.quantised.is_empty() { &view.learned } else { &view.quantised };
        let map = HeatMap {
            title: format!("weight matrix of {}", view.layer),
            value_label: "weight".to_owned(),
            x_label: "neuron".to_owned(),
            y_label: "input".to_owned(),
            columns: view.columns,
            values: shown.iter().map(|&v| f64::from(v)).collect(),
            ..HeatMap::default()
        };
        figures += &figure("Matrix", &map.draw());
    }
    format!("<h3>{}</h3>\n{}", escape(&view.layer), row(&figures))
}

fn mismatch(data: &ReportData) -> String {
    let Some(view) = &data.mismatch else { return String::new() };
    let with_unit = |name: &str, unit: &str| {
        if unit.is_empty() { name.to_owned() } else { format!("{name} ({unit})") }
    };
    let histograms: String = (view.parameters.iter())
        .map(|p| {
            let name = with_unit(&p.name, &p.unit);
            let chart = HistogramChart {
                title: format!("spread of {}", p.name),
                x_label: name,
                series: vec![HistogramSeries { name: p.name.clone(), values: p.values.clone() }],
                bins: 32,
                x_range: None,
            };
            figure(&spread_caption(&p.name, &p.values), &chart.draw())
        })
        .collect();
    let map = |m: &ArrayMap| {
        let name = with_unit(&m.name, &m.unit);
        let map = HeatMap {
            title: format!("{} over the array", m.name),
            value_label: name.clone(),
            x_label: "column".to_owned(),
            y_label: "row".to_owned(),
            columns: m.columns,
            values: m.values.clone(),
            palette: m.palette,
            centre: m.centre,
            block: m.block,
            extent: None,
        };
        figure(&format!("{name} over the array"), &map.draw())
    };
    let maps: String = view.maps.iter().map(map).collect();
    let source = escape(&view.source);
    format!("<p class=\"hint\">{source}</p>\n{}{}", row(&histograms), row(&maps))
}

/// Name, mean and standard deviation.
fn spread_caption(name: &str, values: &[f64]) -> String {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let n = finite.len().max(1) as f64;
    let mean = finite.iter().sum::<f64>() / n;
    let squares: f64 = finite.iter().map(|v| (v - mean).powi(2)).sum();
    let deviation = (squares / (n - 1.0).max(1.0)).sqrt();
    format!("{name}: {} ± {}", readable(mean), readable(deviation))
}

fn time_split(data: &ReportData) -> String {
    if data.time_split.is_empty() {
        return String::new();
    }
    let bar = SplitBar {
        title: "time split".to_owned(),
        unit: "s".to_owned(),
        parts: data.time_split.clone(),
    };
    figure("Wall-clock time by part", &bar.draw())
}

fn health(data: &ReportData) -> String {
    if data.health.is_empty() {
        return String::new();
    }
    let rows: String = (data.health.iter())
        .map(|r| {
            let [name, value, note] = [&r.name, &r.value, &r.note].map(|t| escape(t));
            let (class, mark) = if r.ok { ("", "✓") } else { (" class=\"bad\"", "!") };
            format!("<tr{class}><td>{name}</td><td>{mark} {value}</td><td>{note}</td></tr>\n")
        })
        .collect();
    format!(
        "<div class=\"scroll\"><table class=\"text\"><thead><tr><th>counter</th><th>value</th>\
         <th>meaning</th></tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
    )
}

fn config(text: &str) -> String {
    let lines = text.lines().count();
    format!(
        "<details><summary>resolved configuration, {lines} lines</summary><pre>{}</pre></details>\n",
        escape(text)
    )
}
