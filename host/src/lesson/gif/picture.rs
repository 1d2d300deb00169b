//! What a fitted neuron looks like: its kernels, its membrane along measured spikes, its spikes next to measured ones.

use super::Prediction;
use super::task::Material;
use crate::picture::{LineChart, Raster, RasterPanel, Series};
use crate::report::{figure, row};
use spikeloop_models::neuron::gif::{Gif, Kernel};

/// Trains of the model in the raster.
pub(super) const TRAINS: usize = 20;
/// Length of the traces, ms.
const TRACE_MS: f64 = 500.0;
/// Length of the raster, ms.
const RASTER_MS: f64 = 3000.0;
/// Length of the kernels, ms.
const KERNEL_MS: f64 = 400.0;

pub(super) fn all(
    gif: &Gif,
    material: &Material,
    prediction: &Prediction,
) -> Vec<(&'static str, String)> {
    vec![
        ("Predicted spikes", raster(material, prediction)),
        ("Predicted membrane", membrane(gif, material)),
        ("What a spike leaves behind", kernels(gif, material)),
    ]
}

fn raster(material: &Material, prediction: &Prediction) -> String {
    let (from, dt) = (material.window[0], material.dt_ms);
    let panel = |name: &str, trains: &[Vec<usize>]| RasterPanel {
        name: name.to_owned(),
        units: trains.len(),
        spikes: (0_u32..)
            .zip(trains)
            .flat_map(|(unit, train)| {
                let late = train.iter().filter(|s| **s >= from);
                late.map(move |s| ((1e3 * dt * (s - from) as f64) as f32, unit))
            })
            .filter(|(time, _)| f64::from(*time) < 1e3 * RASTER_MS)
            .collect(),
    };
    let measured: Vec<Vec<usize>> = material.predict.iter().map(|r| r.spikes.clone()).collect();
    let title = format!(
        "Spikes of {} recordings that were not fitted, and of {} runs of the fitted neuron; M_d* = {:.3}",
        measured.len(),
        prediction.trains.len(),
        prediction.agreement.md
    );
    let raster = Raster {
        title: title.clone(),
        duration_us: 1e3 * RASTER_MS,
        panels: vec![panel("measured", &measured), panel("model", &prediction.trains)],
    };
    figure(&title, &raster.draw())
}

/// Half a second of the first recording that was not fitted, with the membrane of the model run along its spikes.
fn membrane(gif: &Gif, material: &Material) -> String {
    let recorded = &material.predict[0];
    let start = recorded.membrane_mv.first().copied().unwrap_or(gif.v_leak_mv);
    let Ok((model, threshold)) =
        gif.follow(&recorded.current_na, material.dt_ms, &recorded.spikes, start)
    else {
        return String::new();
    };
    let count = (TRACE_MS / material.dt_ms) as usize;
    // A little before a spike, so that there is one to see.
    let in_window = recorded.spikes.iter().find(|s| **s >= material.window[0] + count / 5);
    let first = in_window.map_or(material.window[0], |s| s - count / 5);
    let points = |values: &[f64]| {
        let part = values.iter().enumerate().skip(first).take(count).step_by(2);
        part.map(|(t, v)| (material.dt_ms * t as f64, *v)).collect()
    };
    let series = |name: &str, values: &[f64]| Series {
        name: name.to_owned(),
        points: points(values),
        ..Series::default()
    };
    let title =
        "Membrane of a recording that was not fitted, and of the model run along its spikes";
    let chart = LineChart {
        title: title.into(),
        x_label: "time (ms)".into(),
        y_label: "membrane (mV)".into(),
        series: vec![
            series("measured", &recorded.membrane_mv),
            series("model", &model),
            series("threshold of the model", &threshold),
        ],
        y_range: None,
        compact: false,
    };
    figure(title, &chart.draw())
}

fn kernels(gif: &Gif, material: &Material) -> String {
    let truth = material.truth.as_ref();
    let charts = [
        ("spike-triggered current", "η (nA)", &gif.eta, truth.map(|t| &t.eta)),
        ("movement of the threshold", "γ (mV)", &gif.gamma, truth.map(|t| &t.gamma)),
    ];
    let charts = charts.map(|(title, y_label, kernel, truth)| {
        let mut series = vec![curve("fitted", kernel)];
        series.extend(truth.map(|kernel| curve("true", kernel)));
        let chart = LineChart {
            title: title.into(),
            x_label: "time after the refractory period (ms)".into(),
            y_label: y_label.into(),
            series,
            y_range: None,
            compact: false,
        };
        figure(title, &chart.draw())
    });
    row(&charts.concat())
}

fn curve(name: &str, kernel: &Kernel) -> Series {
    let points = (0..400).map(|k| {
        let t = KERNEL_MS * f64::from(k) / 400.0;
        (t, kernel.at(t))
    });
    Series { name: name.into(), points: points.collect(), ..Series::default() }
}
