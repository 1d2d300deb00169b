use super::*;
use crate::picture::{ConfusionMatrix, Palette, Part, RasterPanel, Trace};

/// Uniform numbers in `[0, 1)` (Weyl sequence with a mixing step): made-up data for the page only.
fn noise(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 27)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Roughly normal numbers of mean 0 and deviation 1.
fn normal(seed: u64) -> impl FnMut() -> f64 {
    let mut uniform = noise(seed);
    move || (0..12).map(|_| uniform()).sum::<f64>() - 6.0
}

fn panel(name: &str, units: usize, count: usize, seed: u64) -> RasterPanel {
    let mut draw = noise(seed);
    let spike = |_| ((draw() * 34.0) as f32, (draw() * units as f64) as u32);
    RasterPanel { name: name.to_owned(), units, spikes: (0..count).map(spike).collect() }
}

/// A leaky membrane under kicks, and a model of it that is slightly wrong.
fn trace(name: &str, seed: u64) -> Trace {
    let mut draw = normal(seed);
    let (mut v, mut m) = (0.0, 0.0);
    let mut trace = Trace { name: name.to_owned(), threshold: Some(1.0), ..Trace::default() };
    for step in 0..21 {
        let kick = 0.42 * draw().max(-0.4);
        (v, m) = (0.78 * v + kick * 1.25, 0.75 * m + kick);
        let t = step as f32 * 1.7;
        trace.measured.push((t, (v + 0.02 * draw()) as f32));
        trace.modelled.push((t, m as f32));
        if v > 1.0 {
            trace.spikes_us.push(t);
            (v, m) = (0.0, 0.0);
        }
    }
    trace
}

fn sample(k: u64) -> SampleView {
    SampleView {
        title: format!("test sample {k}: label 7, decision {}", if k == 1 { 2 } else { 7 }),
        duration_us: 34.0,
        panels: vec![
            panel("input", 256, 57, 10 + k),
            panel("hidden", 246, 14, 20 + k),
            panel("output", 10, 0, 30 + k),
        ],
        traces: vec![
            trace("hidden 17", 3 + k),
            trace("hidden 101", 6 + k),
            trace("output 7", 9 + k),
        ],
    }
}

fn weights(layer: &str, rows: usize, columns: usize) -> WeightView {
    let mut draw = normal(rows as u64);
    let learned: Vec<f32> = (0..rows * columns).map(|_| (0.07 * draw()) as f32).collect();
    let chip = |w: &f32| (w * 240.0).round().clamp(-63.0, 63.0) / 240.0;
    let quantised = learned.iter().map(chip).collect();
    WeightView { layer: layer.to_owned(), learned, quantised, columns }
}

fn mismatch() -> MismatchView {
    let mut draw = normal(77);
    let mut values = |mean: f64, sd: f64| (0..512).map(|_| mean + sd * draw()).collect::<Vec<_>>();
    let spread = |name: &str, unit: &str, values: &[f64]| ParameterSpread {
        name: name.to_owned(),
        unit: unit.to_owned(),
        values: values.to_vec(),
    };
    let (threshold, tau, gain) = (values(1.0, 0.14), values(6.0, 0.9), values(1.0, 0.2));
    let map = |name: &str, unit: &str, centre, values: &[f64]| ArrayMap {
        name: name.to_owned(),
        unit: unit.to_owned(),
        columns: 128,
        block: 32,
        values: values.to_vec(),
        palette: Palette::Diverging,
        centre,
    };
    MismatchView {
        source: "True parameters of the emulated chip, before calibration.".to_owned(),
        parameters: vec![
            spread("threshold", "", &threshold),
            spread("membrane time constant", "µs", &tau),
            spread("synaptic gain", "", &gain),
        ],
        maps: vec![map("threshold", "", 1.0, &threshold)],
    }
}

fn confusion() -> ConfusionMatrix {
    let mut draw = noise(5);
    let count = |i: usize| if i.is_multiple_of(11) { 960 } else { (draw() * draw() * 9.0) as u64 };
    let classes = (0..10).map(|d| d.to_string()).collect();
    ConfusionMatrix { classes, counts: (0..100).map(count).collect() }
}

fn robustness() -> Robustness {
    let mut draw = normal(9);
    let mut line = |name: &str, means: [f64; 4], sd: f64| RobustnessLine {
        name: name.to_owned(),
        points: ([0.0, 0.2, 0.3, 0.5].into_iter().zip(means))
            .map(|(sigma, mean)| RobustnessPoint {
                sigma,
                accuracies: (0..5).map(|_| (mean + sd * (1.0 + sigma) * draw()).min(1.0)).collect(),
            })
            .collect(),
    };
    Robustness {
        x_label: "mismatch σ".to_owned(),
        lines: vec![
            line("naive transfer", [0.968, 0.951, 0.925, 0.842], 0.008),
            line("transfer + fine-tune", [0.971, 0.969, 0.967, 0.957], 0.002),
            line("in the loop, membranes", [0.972, 0.970, 0.968, 0.959], 0.001),
            line("in the loop, spikes only", [0.970, 0.966, 0.961, 0.941], 0.003),
        ],
    }
}

fn epochs() -> Vec<EpochPoint> {
    let point = |e: i32| {
        let t = f64::from(e);
        EpochPoint {
            epoch: t,
            loss: Some(0.05 + 1.1 * (-t / 4.0).exp()),
            train_accuracy: Some(0.985 - 0.35 * (-t / 3.0).exp()),
            validation_accuracy: None,
            test_accuracy: Some(0.967 - 0.33 * (-t / 3.0).exp()),
            hidden_spikes: Some(14.0 + 20.0 * (-t / 6.0).exp()),
        }
    };
    (1..=30).map(point).collect()
}

/// A page with every section, of made-up numbers.
fn everything() -> ReportData {
    let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
    let part = |name: &str, value| Part { name: name.to_owned(), value };
    let health = |name: &str, value: &str, ok, note: &str| HealthRow {
        name: name.to_owned(),
        value: value.to_owned(),
        ok,
        note: note.to_owned(),
    };
    let mut data = ReportData::new("MNIST 16×16 in the loop");
    data.summary = "256-246-10 network, trained for 30 epochs while the chip ran every forward \
                    pass; membranes and spikes injected."
        .to_owned();
    for (name, value) in [
        ("task", "mnist16"),
        ("chip", "emu bss2-chip66-uncal #7"),
        ("selector", "emu:preset=bss2-chip66-uncal,seed=7"),
        ("seeds", "init 1 · shuffle 2 · noise 3"),
        ("date", "2026-01-31"),
        ("firmware", "0.1.0, protocol 1"),
    ] {
        data.identify(name, value);
    }
    data.command = "spikeloop train mnist16 --chip emu:preset=bss2-chip66-uncal,seed=7".to_owned();
    data.figures = vec![
        KeyFigure::new("test accuracy", "96.71 %", "10 000 images"),
        KeyFigure::new("training accuracy", "98.52 %", "last epoch"),
        KeyFigure::new("hidden spikes", "14.2", "per image"),
        KeyFigure::new("throughput", "16 300", "images/s, 2 threads"),
        KeyFigure::new("dropped events", "0", "of 152 million"),
    ];
    data.warnings =
        vec!["These weights belong to chip #7: on another chip they lose points.".into()];
    data.config = Some("[data]\nname = \"mnist16\"\n\n[network]\nhidden = [246]\n".to_owned());
    data.comparison = Some(Table {
        header: row(["way", "test accuracy", "hidden spikes", "time (s)"]),
        rows: vec![
            row(["software, no chip", "97.24 %", "33.6", "41"]),
            row(["naive transfer to this chip", "88.10 %", "61.9", "–"]),
            row(["transfer + fine-tune in the loop", "96.71 %", "14.2", "38"]),
        ],
    });
    data.epochs = epochs();
    data.robustness = Some(robustness());
    data.samples = vec![sample(0), sample(1)];
    data.weights = vec![weights("hidden", 256, 246), weights("readout", 246, 10)];
    data.mismatch = Some(mismatch());
    data.confusion = Some(confusion());
    data.time_split = vec![
        part("encode", 1.2),
        part("chip", 18.4),
        part("transfer", 3.1),
        part("forward", 6.6),
        part("backward", 8.0),
        part("write weights", 0.7),
    ];
    data.health = vec![
        health("dropped events", "0", true, "events that the chip's buffers could not take"),
        health(
            "saturated samples",
            "1 204",
            false,
            "membranes beyond the converter; lower its gain",
        ),
        health("retries", "0", true, "runs repeated after a broken link"),
    ];
    data.program = "SpikeLoop 0.1.0".to_owned();
    data
}

#[test]
fn the_page_has_every_section_and_needs_no_network() {
    let data = everything();
    let html = data.html();
    // To look at it: SPIKELOOP_REPORT=/some/folder cargo test -p spikeloop report
    if let Some(folder) = std::env::var_os("SPIKELOOP_REPORT") {
        let folder = std::path::PathBuf::from(folder);
        std::fs::write(folder.join("report.html"), &html).unwrap();
        let mut study = ReportData::new("Accuracy against mismatch");
        study.robustness = data.robustness.clone();
        std::fs::write(folder.join("robustness.html"), study.html()).unwrap();
    }
    assert_eq!(html.matches("<section>").count(), 10);
    for loader in ["http://", "https://", "<script", "<link", "@import", "src="] {
        let outside = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains(loader), "{loader} in the page");
    }
    assert_eq!(html, data.html(), "the same data give the same page");
    assert!(html.len() < 1_000_000, "{} bytes", html.len());
}

#[test]
fn sections_without_data_are_absent() {
    let mut data = ReportData::new("empty");
    assert_eq!(data.html().matches("<section>").count(), 0);
    data.robustness = Some(Robustness::default());
    data.confusion = Some(ConfusionMatrix { classes: vec!["a".into()], counts: vec![] });
    data.samples = vec![SampleView::default()];
    data.weights = vec![WeightView::default()];
    data.mismatch = Some(MismatchView::default());
    data.epochs =
        vec![EpochPoint::default(), EpochPoint { loss: Some(f64::NAN), ..Default::default() }];
    assert!(!data.html().contains("NaN"));
}

#[test]
fn text_from_outside_cannot_become_markup() {
    let evil = "<img src=x onerror=\"alert('1')\">&";
    let mut data = ReportData::new(evil);
    data.identify(evil, evil);
    data.command = evil.to_owned();
    data.config = Some(evil.to_owned());
    data.warnings.push(evil.to_owned());
    data.confusion = Some(ConfusionMatrix { classes: vec![evil.to_owned()], counts: vec![1] });
    data.time_split = vec![Part { name: evil.to_owned(), value: 1.0 }];
    let html = data.html();
    assert!(!html.contains("<img") && html.contains("&lt;img src=x onerror=&quot;alert(&#39;1"));
}

#[test]
fn data_survive_a_round_trip_and_may_be_partial() {
    let data = everything();
    let text = serde_json::to_string(&data).unwrap();
    assert_eq!(serde_json::from_str::<ReportData>(&text).unwrap().html(), data.html());
    let partial: ReportData = serde_json::from_str(r#"{"title":"x"}"#).unwrap();
    assert_eq!(partial, ReportData::new("x"));
}

#[test]
fn deviation_over_chips_is_the_sample_one() {
    let point = |accuracies: &[f64]| {
        RobustnessPoint { sigma: 0.3, accuracies: accuracies.to_vec() }.mean_and_deviation()
    };
    assert_eq!(point(&[]), None);
    assert_eq!(point(&[0.5]), Some((0.5, 0.0)));
    let (mean, deviation) = point(&[0.25, 0.75]).unwrap();
    assert!((mean - 0.5).abs() < 1e-12 && (deviation - 0.125_f64.sqrt()).abs() < 1e-12);
}
