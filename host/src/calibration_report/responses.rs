//! What neurons do: rates, membranes after a spike, responses to a volley, ramps.

use super::{examples, moments, shown};
use crate::calibrate::with_spread;
use crate::picture::{HistogramChart, HistogramSeries, Layer, Mark, Plot};
use crate::report::row;
use spikeloop_calibration::Calibration;
use spikeloop_calibration::fit::median;
use spikeloop_calibration::measure::psp::{TimeConstants, kappa};
use spikeloop_calibration::measure::relaxation::relaxing;
use spikeloop_calibration::measure::traces::Traces;
use spikeloop_calibration::result::RawData;

type Points = Vec<(f64, f64)>;

/// A histogram of one set of values.
pub(super) fn histogram(title: &str, x_label: &str, values: Vec<f64>) -> HistogramChart {
    let series = vec![HistogramSeries { name: title.to_owned(), values }];
    let (title, x_label) = (title.to_owned(), x_label.to_owned());
    HistogramChart { title, x_label, series, bins: 32, x_range: None }
}

/// Firing rates of all usable neurons.
pub(super) fn rates(calibration: &Calibration) -> String {
    let rates = &calibration.rates;
    let usable = calibration.usable();
    let neurons: Vec<usize> = (0..usable.len()).filter(|n| usable[*n]).collect();
    if neurons.is_empty() || rates.strength.is_empty() {
        return String::new();
    }
    let curve = |n: &usize| -> Points {
        rates.strength.iter().copied().zip(rates.khz[*n].iter().map(|r| f64::from(*r))).collect()
    };
    let middle = rates.strength.iter().enumerate().map(|(s, strength)| {
        (*strength, median(neurons.iter().map(|n| f64::from(rates.khz[*n][s]))))
    });
    let plot = Plot {
        title: "firing rate against input".into(),
        x_label: "mean input (1 = just reaches the threshold by design)".into(),
        y_label: "rate (spikes / ms)".into(),
        log: (true, false),
        layers: vec![
            Layer::new("each neuron", 0, Mark::Bundle(neurons.iter().map(curve).collect())),
            Layer::new("median", 1, Mark::Line(middle.collect())),
            Layer::unnamed(2, Mark::Moment(1.0)),
        ],
        ..Plot::default()
    };
    let onset: Vec<f64> = neurons
        .iter()
        .map(|n| rates.rheobase[*n])
        .filter(|e| e.is_good())
        .map(|e| e.value)
        .collect();
    let (mean, deviation) = moments(onset.iter().copied());
    let see = format!(
        "Regular input of growing strength, spikes counted. The {} neurons begin to fire at {} of the strength that the \
         design needs (dotted line); the closer the thin lines lie together, the more equal the neurons are.",
        neurons.len(),
        with_spread(mean, deviation)
    );
    let onsets = histogram("onset of firing", "input at which a neuron begins to fire", onset);
    let see_onset = "The input that makes a neuron fire contains everything: threshold, leak, gain and time constants at once. \
                     What calibration left in each of them adds up here.";
    row(&(shown("f-I curves after calibration", &see, &plot.draw())
        + &shown("Onset of firing", see_onset, &onsets.draw())))
}

/// Dots of samples and the line that was fitted, for a few neurons.
fn fitted(
    list: &[usize],
    samples: impl Fn(usize) -> Points,
    line: impl Fn(usize, f64) -> f64,
    span: (f64, f64),
) -> Vec<Layer> {
    let fine = |n: usize| -> Points {
        let at = |k: u32| span.0 + (span.1 - span.0) * f64::from(k) / 200.0;
        (0..=200).map(|k| (at(k), line(n, at(k)))).collect()
    };
    let lines = list
        .iter()
        .enumerate()
        .map(|(k, n)| Layer::new(&format!("neuron {n}"), k, Mark::Line(fine(*n))));
    let dots = list.iter().enumerate().map(|(k, n)| Layer::unnamed(k, Mark::Dots(samples(*n))));
    lines.chain(dots).collect()
}

fn span_of(traces: &Traces, from: f64) -> (f64, f64) {
    (from, traces.times_us.last().copied().unwrap_or(from + 1.0))
}

/// Membranes after a spike with the fitted way back.
pub(super) fn relaxation(raw: &RawData) -> String {
    let Some(seen) = &raw.relaxation else { return String::new() };
    let traces = &seen.traces;
    let good = |n: usize| seen.tau_mem[n].is_good();
    let list = examples(seen.tau_mem.len(), good);
    if list.is_empty() {
        return String::new();
    }
    // The kick and the spike stand before the first sample of the clamp.
    let first = list.iter().map(|n| seen.fitted[*n][3]).fold(f64::INFINITY, f64::min);
    let from = (first - 8.0).max(0.0);
    let span = span_of(traces, from);
    let plot = Plot {
        title: "membranes after a spike".into(),
        x_label: "time (µs)".into(),
        y_label: "membrane (LSB)".into(),
        x_range: Some(span),
        layers: fitted(
            &list,
            |n| traces.points(n, (seen.fitted[n][3] - 8.0).max(from), f64::INFINITY),
            |n, t| relaxing(t, &seen.fitted[n]).0,
            span,
        ),
        ..Plot::default()
    };
    let n = list[0];
    let see = format!(
        "Dots: mean of {} trials. Lines: held at the reset potential, then released towards the (raised) leak potential with \
         τ_mem. Neuron {n}: τ_mem {} µs, reset {} LSB.",
        traces.trials,
        with_spread(seen.tau_mem[n].value, seen.tau_mem[n].sigma),
        with_spread(seen.reset[n].value, seen.reset[n].sigma),
    );
    // All neurons on one scale: from 0 at the reset to 1 at the rest, since their release.
    let relaxed = |n: usize| -> Points {
        let [rest, amplitude, _, release] = seen.fitted[n];
        let points = traces.points(n, release - 4.0, f64::INFINITY);
        points.iter().map(|(t, v)| (t - release, 1.0 + (v - rest) / -amplitude)).collect()
    };
    let all = (0..seen.tau_mem.len())
        .filter(|n| good(*n))
        .map(|n| relaxed(n).into_iter().map(|(t, v)| (t, v.clamp(-0.3, 1.3))).collect());
    let every = Plot {
        title: "way back of every neuron".into(),
        x_label: "time since the release (µs)".into(),
        y_label: "way back (0 = reset, 1 = rest)".into(),
        layers: vec![Layer::unnamed(0, Mark::Bundle(all.collect()))],
        ..Plot::default()
    };
    let see_all = "Every neuron on one scale. Equal time constants give one narrow bundle; a line that leaves it belongs to a \
                   neuron that differs.";
    row(&(shown("One neuron of each quarter of the array", &see, &plot.draw())
        + &shown("All neurons", see_all, &every.draw())))
}

/// Responses to a volley with their fits, by sign.
pub(super) fn volley(raw: &RawData) -> String {
    let Some(seen) = &raw.psp else { return String::new() };
    let figures =
        ["excitatory", "inhibitory"].iter().enumerate().map(|(k, name)| sign(seen, k, name));
    row(&figures.collect::<String>())
}

fn sign(seen: &TimeConstants, k: usize, name: &str) -> String {
    let traces = &seen.responses.traces[k];
    let list = examples(seen.tau_syn[k].len(), |n| seen.tau_syn[k][n].is_good());
    if list.is_empty() {
        return String::new();
    }
    let span = span_of(traces, 0.0);
    let curve = |n: usize, t: f64| {
        let [rest, height, tau_syn, start] = seen.fitted[k][n];
        rest + height * kappa(t - start, seen.tau_mem[n], tau_syn)
    };
    let plot = Plot {
        title: format!("{name} responses"),
        x_label: "time (µs)".into(),
        y_label: "membrane (LSB)".into(),
        x_range: Some(span),
        layers: fitted(&list, |n| traces.points(n, 0.0, f64::INFINITY), curve, span),
        ..Plot::default()
    };
    let n = list[0];
    let see = format!(
        "{} rows at once at {:.0} µs, fastest membranes, mean of {} trials: the tail shows the {name} τ_syn. Neuron {n}: {} µs.",
        seen.responses.rows[k],
        seen.responses.at_us,
        traces.trials,
        with_spread(seen.tau_syn[k][n].value, seen.tau_syn[k][n].sigma)
    );
    let caption = format!("{}{} input", name[..1].to_uppercase(), &name[1..]);
    shown(&caption, &see, &plot.draw())
}

/// Ramps with the instants at which neurons fire.
pub(super) fn threshold(calibration: &Calibration, raw: &RawData) -> String {
    let mut figures = String::new();
    if let Some(seen) = &raw.threshold {
        let list = examples(seen.threshold.len(), |n| seen.threshold[n].is_good());
        let mut layers: Vec<Layer> = (list.iter().enumerate())
            .map(|(k, n)| {
                let points = seen.traces.points(*n, 0.0, f64::INFINITY);
                Layer::new(&format!("neuron {n}"), k, Mark::Line(points))
            })
            .collect();
        for (k, n) in list.iter().enumerate() {
            layers.push(Layer::unnamed(k, Mark::Moment(seen.spike_us[*n])));
            let at = (seen.spike_us[*n], seen.threshold[*n].value);
            layers.push(Layer::unnamed(k, Mark::Dots(vec![at])));
        }
        let plot = Plot {
            title: "ramps".into(),
            x_label: "time (µs)".into(),
            y_label: "membrane without comparator (LSB)".into(),
            layers,
            ..Plot::default()
        };
        if let Some(n) = list.first() {
            let see = format!(
                "Lines: the membrane on a slow ramp, comparators off. With them on, the neuron fires at the dotted time; where the two meet \
                 (dot) is its threshold. Neuron {n}: {} LSB.",
                with_spread(seen.threshold[*n].value, seen.threshold[*n].sigma)
            );
            figures += &shown("One neuron of each quarter of the array", &see, &plot.draw());
        }
    }
    let noise: Vec<f64> =
        calibration.threshold_noise.iter().copied().filter(|v| v.is_finite()).collect();
    if !noise.is_empty() {
        let (mean, deviation) = moments(noise.iter().copied());
        let see = format!(
            "How much the threshold of a neuron differs from trial to trial: {} LSB. No code can take this away; training must \
             bear it.",
            with_spread(mean, deviation)
        );
        let chart =
            histogram("noise of the threshold", "standard deviation over trials (LSB)", noise);
        figures += &shown("Noise of the threshold", &see, &chart.draw());
    }
    row(&figures)
}

/// Linearity of weights, and rows.
pub(super) fn weights(calibration: &Calibration) -> String {
    let Some(weights) = &calibration.weights else { return String::new() };
    let good = weights.nonlinearity.iter().filter(|e| e.is_good());
    let bent: Vec<f64> = good.map(|e| 100.0 * e.value).collect();
    if bent.is_empty() {
        return String::new();
    }
    let see = format!(
        "Largest deviation from a straight line through weight codes from 10 to 100 %, per neuron; median {:.1} %.",
        median(bent.iter().copied())
    );
    let linear =
        histogram("deviation from a straight line", "deviation (% of the largest response)", bent);
    let dots = weights.rows.iter().zip(&weights.row_gain).filter(|(_, e)| e.is_good());
    let dots: Points = dots.map(|(row, e)| (f64::from(*row), e.value)).collect();
    let rows = Plot {
        title: "gain of rows".into(),
        x_label: "row (input line)".into(),
        y_label: "gain (mean = 1)".into(),
        layers: vec![Layer::unnamed(0, Mark::Dots(dots)), Layer::unnamed(2, Mark::Level(1.0))],
        compact: true,
        ..Plot::default()
    };
    let see_rows = format!(
        "Response to single rows at the highest code, median over the neurons. Synapses of one neuron differ by {:.1} % \
         (standard deviation); they have no code of their own.",
        100.0 * weights.synapse_spread
    );
    row(&(shown("Linearity", &see, &linear.draw()) + &shown("Rows", &see_rows, &rows.draw())))
}
