//! Outputs and spikes of a run without a teacher next to what was taught.

use super::Answer;
use crate::picture::{LineChart, Raster, RasterPanel, Series as Curve, Spread};
use crate::report::{figure, row};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::ltts::{Comparison, Pattern, Series};

/// Channels shown of an output; the rest would not be told apart.
const CHANNELS: usize = 6;

/// Neurons shown of a raster.
const NEURONS: usize = 100;

/// A pattern with its name and what the network made of it.
type Answered<'a> = (String, &'a Pattern<f32>, Answer);

fn points(series: &Series<f32>, channel: usize) -> Vec<(f64, f64)> {
    (0..series.steps()).map(|t| (t as f64, f64::from(series.row(t)[channel]))).collect()
}

/// One chart a channel of each pattern.
pub(super) fn outputs(answers: &[Answered<'_>]) -> String {
    let mut figures = String::new();
    for (name, pattern, answer) in answers {
        let channels = pattern.output().units();
        for channel in 0..channels.min(CHANNELS) {
            let caption = match channels {
                1 => name.clone(),
                _ => format!("{name}, channel {channel} of {channels}"),
            };
            figures += &chart(&caption, pattern.output(), &answer.output, channel, true);
        }
    }
    row(&figures)
}

fn chart(
    caption: &str,
    taught: &Series<f32>,
    given: &Series<f32>,
    channel: usize,
    compact: bool,
) -> String {
    let curve = |name: &str, points| Curve { name: name.to_owned(), points, ..Curve::default() };
    let chart = LineChart {
        title: format!("Output taught and given: {caption}"),
        x_label: "bin".to_owned(),
        y_label: "output".to_owned(),
        series: vec![
            curve("taught", points(taught, channel)),
            curve("given", points(given, channel)),
        ],
        y_range: None,
        compact,
    };
    figure(caption, &chart.draw())
}

/// Target and own spikes of each pattern.
pub(super) fn rasters(answers: &[Answered<'_>]) -> String {
    let figures = answers.iter().map(|(name, pattern, answer)| {
        let panel = |name: &str, spikes: &SpikeTrains| RasterPanel {
            name: name.to_owned(),
            units: spikes.units().min(NEURONS),
            spikes: events(spikes),
        };
        let raster = Raster {
            title: format!("Target spikes and own spikes: {name}"),
            // A bin is a millisecond in the paper.
            duration_us: 1000.0 * pattern.target().steps() as f64,
            panels: vec![panel("target", pattern.target()), panel("own", &answer.spikes)],
        };
        figure(&format!("{name}, first {NEURONS} neurons, 1 ms a bin"), &raster.draw())
    });
    row(&figures.collect::<String>())
}

fn events(spikes: &SpikeTrains) -> Vec<(f32, u32)> {
    let at = |t: usize| spikes.at(0, t).iter().map(move |id| (1000.0 * t as f32, u32::from(*id)));
    (0..spikes.steps()).flat_map(at).filter(|(_, id)| *id < NEURONS as u32).collect()
}

/// The first channels of a run of several rounds, and what was taught, repeated.
pub(super) fn rounds(pattern: &Pattern<f32>, output: &Series<f32>) -> String {
    let taught = pattern.output();
    let mut repeated = Series::zeros(output.steps(), taught.units());
    for t in 0..output.steps() {
        repeated.row_mut(t).copy_from_slice(taught.row(t % taught.steps()));
    }
    let charts = (0..taught.units().min(CHANNELS))
        .map(|channel| chart(&format!("channel {channel}"), &repeated, output, channel, false));
    row(&charts.collect::<String>())
}

/// Error against the strength of the noise.
pub(super) fn noise(runs: &[(f64, Vec<Comparison>)]) -> String {
    let statistics: Vec<(f64, f64, f64)> = runs
        .iter()
        .map(|(ratio, runs)| {
            let n = runs.len() as f64;
            let mean = runs.iter().map(|c| c.mse).sum::<f64>() / n;
            let variance =
                runs.iter().map(|c| (c.mse - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
            (ratio.log10(), mean, variance.sqrt())
        })
        .collect();
    let chart = LineChart {
        title: "Error of the output with noise on the input".to_owned(),
        x_label: "log10 of the variance of the noise over that of the clock".to_owned(),
        y_label: "mean squared error".to_owned(),
        series: vec![Curve {
            name: "mean and deviation of the runs".to_owned(),
            points: statistics.iter().map(|(x, mean, _)| (*x, *mean)).collect(),
            error: statistics.iter().map(|(_, _, deviation)| *deviation).collect(),
            spread: Spread::Bars,
            dots: true,
        }],
        y_range: None,
        compact: false,
    };
    row(&figure("Noise on the input", &chart.draw()))
}
