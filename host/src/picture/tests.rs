use super::*;

/// One picture of each mark, small enough to read in a diff.
fn specimens() -> [(&'static str, Picture); 7] {
    let line = LineChart {
        title: "line".to_owned(),
        x_label: "epoch".to_owned(),
        y_label: "accuracy (%)".to_owned(),
        series: vec![
            Series {
                name: "bars".to_owned(),
                points: vec![(0.0, 90.0), (1.0, f64::NAN), (2.0, 95.0), (3.0, 96.0)],
                error: vec![1.0, 1.0, f64::NAN, 0.5],
                dots: true,
                ..Series::default()
            },
            Series {
                name: "band".to_owned(),
                points: vec![(0.0, 91.0), (3.0, 94.0)],
                error: vec![0.5, 0.5],
                spread: Spread::Band,
                ..Series::default()
            },
        ],
        ..LineChart::default()
    };
    let panel = |name: &str, spikes: &[(f32, u32)]| RasterPanel {
        name: name.to_owned(),
        units: 4,
        spikes: spikes.to_vec(),
    };
    let raster = Raster {
        title: "raster".to_owned(),
        duration_us: 10.0,
        panels: vec![
            panel("input", &[(0.0, 0), (5.0, 3), (10.0, 1), (10.1, 1), (1.0, 4), (f32::NAN, 0)]),
            panel("hidden", &[]),
        ],
    };
    let trace = Trace {
        name: "hidden 1".to_owned(),
        measured: vec![(0.0, 0.0), (5.0, 1.1), (10.0, -0.2)],
        modelled: vec![(0.0, 0.0), (5.0, 0.9), (10.0, 0.1)],
        spikes_us: vec![5.0],
        threshold: Some(1.0),
    };
    let traces = TraceChart { title: "trace".to_owned(), duration_us: 10.0, traces: vec![trace] };
    let histogram = HistogramChart {
        title: "histogram".to_owned(),
        x_label: "weight".to_owned(),
        series: [("before", vec![0.0, 0.1, 0.9, 1.0]), ("after", vec![0.0, 1.0, f64::INFINITY])]
            .map(|(name, values)| HistogramSeries { name: name.to_owned(), values })
            .to_vec(),
        bins: 4,
        x_range: None,
    };
    let heat = HeatMap {
        title: "heat".to_owned(),
        columns: 3,
        values: vec![-1.0, 0.0, 1.0, 2.0, f64::NAN],
        block: 2,
        ..HeatMap::default()
    };
    let confusion =
        ConfusionMatrix { classes: vec!["yin".into(), "yang".into()], counts: vec![9, 1, 0, 8] };
    let bar = SplitBar {
        title: "split".to_owned(),
        unit: "s".to_owned(),
        parts: [("chip", 3.0), ("host", 1.0), ("odd", f64::NAN)]
            .map(|(name, value)| Part { name: name.to_owned(), value })
            .to_vec(),
    };
    [
        ("line", line.draw()),
        ("raster", raster.draw()),
        ("trace", traces.draw()),
        ("histogram", histogram.draw()),
        ("heat", heat.draw()),
        ("confusion", confusion.draw()),
        ("bar", bar.draw()),
    ]
}

#[test]
fn each_mark_keeps_its_golden_drawing() {
    for (name, picture) in specimens() {
        insta::assert_snapshot!(name, picture.inline());
    }
}

#[test]
fn numbers_in_pictures_are_finite_and_standalone_files_carry_their_style() {
    for (name, picture) in specimens() {
        let file = picture.standalone();
        assert!(!file.contains("NaN") && !file.contains("inf"), "{name}");
        assert!(file.contains("<style>") && file.ends_with("</svg>\n"), "{name}");
        assert_eq!(file.matches("<svg").count(), 1, "{name}");
        assert!(picture.size().0 > 0.0 && picture.size().1 > 0.0);
    }
}

#[test]
fn marks_without_data_still_draw() {
    for picture in [
        LineChart::default().draw(),
        LineChart { series: vec![Series::default()], ..LineChart::default() }.draw(),
        Raster::default().draw(),
        TraceChart { traces: vec![Trace::default()], ..TraceChart::default() }.draw(),
        HistogramChart::default().draw(),
        HeatMap::default().draw(),
        ConfusionMatrix::default().draw(),
        SplitBar::default().draw(),
    ] {
        assert!(!picture.inline().contains("NaN"));
    }
}

#[test]
fn numbers_are_rounded_for_people() {
    let cases = [
        (0.0, "0"),
        (15_318.4, "15\u{2009}318"),
        (1_234_567.0, "1\u{2009}234\u{2009}567"),
        (97.24, "97.2"),
        (3.274_59, "3.27"),
        (2.0, "2"),
        (0.012_345, "0.0123"),
        (-1.5, "−1.5"),
        (1.2e-7, "1.2e-7"),
        (f64::NAN, "–"),
    ];
    for (value, text) in cases {
        assert_eq!(readable(value), text);
    }
    assert_eq!([-0.001, 2.50, 3.271, f64::NAN].map(number), ["0", "2.5", "3.27", "0"]);
}

#[test]
fn text_is_escaped() {
    assert_eq!(escape("a<b>&\"'\u{7}"), "a&lt;b&gt;&amp;&quot;&#39; ");
}
