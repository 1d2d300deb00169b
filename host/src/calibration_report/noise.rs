//! The read-out: noise against averaging, channels of the converter.

use super::responses::histogram;
use super::{moments, shown};
use crate::calibrate::{rough, short, with_spread};
use crate::picture::{Layer, Mark, Plot};
use crate::report::row;
use spikeloop_calibration::fit::median;
use spikeloop_calibration::measure::rest::Quiet;
use spikeloop_calibration::result::RawData;
use spikeloop_calibration::{Calibration, Estimate};

/// All pictures of the read-out.
pub(super) fn all(calibration: &Calibration, raw: &RawData) -> String {
    let averaging = raw.rest.as_ref().map(averaging).unwrap_or_default();
    let [noise, others] = channels(calibration);
    row(&(averaging + &noise)) + &row(&others)
}

/// Allan deviation of a series for blocks of 1, 2, 4 … samples (Allan, Proc. IEEE 54, 221, 1966):
/// `σ²(n) = ½ ⟨(ȳ_{k+1} − ȳ_k)²⟩` over neighbouring blocks of n samples, as long as there are four of them.
fn allan(series: &[f32]) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    let mut size = 1;
    while series.len() / size >= 4 {
        let blocks = series.chunks_exact(size);
        let means: Vec<f64> =
            blocks.map(|b| b.iter().map(|v| f64::from(*v)).sum::<f64>() / size as f64).collect();
        let squares: f64 = means.windows(2).map(|w| (w[1] - w[0]).powi(2)).sum();
        out.push((size as f64, (0.5 * squares / (means.len() - 1) as f64).sqrt()));
        size *= 2;
    }
    out
}

fn averaging(quiet: &Quiet) -> String {
    let curves: Vec<Vec<(f64, f64)>> = quiet.samples.iter().map(|s| allan(s)).collect();
    let Some(steps) = curves.first().filter(|c| !c.is_empty()).cloned() else {
        return String::new();
    };
    let middle: Vec<(f64, f64)> = steps
        .iter()
        .enumerate()
        .map(|(k, (n, _))| (*n, median(curves.iter().filter_map(|c| c.get(k)).map(|p| p.1))))
        .collect();
    let (first, last) = (middle[0], middle[middle.len() - 1]);
    let ideal = middle.iter().map(|(n, _)| (*n, first.1 / n.sqrt())).collect();
    let plot = Plot {
        title: "read-out noise against averaging".into(),
        x_label: "samples averaged".into(),
        y_label: "Allan deviation (LSB)".into(),
        log: (true, true),
        layers: vec![
            Layer::new(&format!("{} neurons", curves.len()), 0, Mark::Bundle(curves)),
            Layer::new("median", 0, Mark::Line(middle)),
            Layer::new("white noise", 1, Mark::Dashed(ideal)),
        ],
        ..Plot::default()
    };
    let excess = last.1 / (first.1 / last.0.sqrt());
    let verdict = if excess < 1.5 {
        "it follows the dashed line: the noise is white and averaging helps all the way"
    } else {
        "it leaves the dashed line: slow noise sets a floor that averaging does not lower"
    };
    let see = format!(
        "A single sample of a quiet membrane scatters by {} LSB, a mean of {} by {} LSB; {verdict}. Samples are {} µs apart.",
        rough(first.1),
        last.0,
        rough(last.1),
        short(quiet.period_us)
    );
    shown("Noise against averaging", &see, &plot.draw())
}

/// Noise of the channels; their offsets and gains.
fn channels(calibration: &Calibration) -> [String; 2] {
    let converter = &calibration.converter;
    if !converter.referenced {
        return [String::new(), String::new()];
    }
    let good = |list: &[Estimate]| -> Vec<f64> {
        list.iter().filter(|e| e.is_good()).map(|e| e.value).collect()
    };
    let figure = |caption: &str, x_label: &str, values: Vec<f64>, of: &str| {
        let (mean, deviation) = moments(values.iter().copied());
        let see = format!("{of}: {}.", with_spread(mean, deviation));
        shown(caption, &see, &histogram(caption, x_label, values).draw())
    };
    let others = figure(
        "Offset of the channels",
        "offset (LSB)",
        good(&converter.offset),
        "What a channel shows too much at a known potential; all potentials here are corrected for it",
    ) + &figure(
        "Gain of the channels",
        "gain (1 = by design)",
        good(&converter.gain),
        "Steps of a channel for a step of the known potential; corrected as well",
    );
    let noise = figure(
        "Noise of the channels",
        "noise of a sample (LSB)",
        converter.noise.clone(),
        "Scatter of single samples at a known potential",
    );
    [noise, others]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_noise_falls_with_the_root_and_a_drift_rises() {
        let mut state = 7_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let white: Vec<f32> = (0..4096).map(|_| draw()).collect();
        let curve = allan(&white);
        assert_eq!(curve.len(), 11);
        let (one, many) = (curve[0].1, curve[6].1);
        assert!((one - 1.0 / 12.0_f64.sqrt()).abs() < 0.01, "{one}");
        assert!((many * 8.0 / one - 1.0).abs() < 0.25, "64 samples: {many}");
        let drift: Vec<f32> = (0..4096).map(|k| k as f32).collect();
        let curve = allan(&drift);
        assert!(curve[5].1 > 20.0 * curve[0].1);
    }
}
