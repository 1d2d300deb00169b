//! The report of a run: what the numbers, the chip and a few samples look like.

use crate::data::Dataset;
use crate::experiment::Experiment;
use crate::picture::{ConfusionMatrix, Palette, Part, RasterPanel, Trace};
use crate::report::{
    ArrayMap, EpochPoint, HealthRow, KeyFigure, MismatchView, ParameterSpread, ReportData,
    SampleView, Table, WeightView,
};
use crate::run::Outcome;
use crate::summary::{EpochMetrics, Summary, Transfer};
use crate::trainer::{Evaluation, Inspection, TrainError, Trainer};
use spikeloop_hal::emulator::{DrawnChip, Emulator};
use spikeloop_hal::{Selector, TimeSplit};
use spikeloop_models::spike_train::SpikeTrains;

/// Test samples that are shown with all their spikes.
const SAMPLES: u32 = 3;
/// Hidden neurons whose membranes are shown: those that fire most in the sample.
const HIDDEN_TRACES: usize = 3;
/// Columns in which the array of neurons is drawn.
const MAP_COLUMNS: usize = 64;

/// The report of a complete run.
///
/// # Errors
/// The samples that are shown are run once more; that can fail as any run can.
pub fn of_run(
    experiment: &Experiment,
    data: &Dataset,
    trainer: &mut Trainer<'_>,
    outcome: &Outcome,
    command: &str,
) -> Result<ReportData, TrainError> {
    let summary = &outcome.summary;
    let mut report = ReportData::new(&format!("{} \u{2013} {}", experiment.name, place(summary)));
    report.summary = sentence(experiment, summary);
    command.clone_into(&mut report.command);
    report.program = format!("spikeloop {}", env!("CARGO_PKG_VERSION"));
    identify(&mut report, experiment, summary);
    report.figures = figures(summary);
    report.config = toml::to_string(experiment).ok();
    report.epochs = outcome.metrics.iter().map(epoch_point).collect();
    report.comparison = summary.transfer.as_ref().map(|t| comparison(t, summary));
    let shown: Vec<u32> = (0..SAMPLES.min(data.test.len() as u32)).collect();
    let inspection = trainer.inspect(&data.test, &shown)?;
    report.samples = (0..inspection.labels.len())
        .map(|k| sample_view(experiment, data, &inspection, k))
        .collect();
    report.weights = weights(trainer);
    report.mismatch = summary
        .chip
        .as_ref()
        .and_then(|chip| truth(&chip.selector.parse().ok()?))
        .map(|t| mismatch(&t));
    report.confusion = Some(confusion(data, &outcome.evaluation));
    report.time_split = time_split(&summary.time_split);
    report.health = health(summary);
    Ok(report)
}

/// The command that was given, for the report.
#[must_use]
pub fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| {
        let plain = word.chars().all(|c| c.is_alphanumeric() || "-_./:=,".contains(c));
        if plain && !word.is_empty() { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    std::iter::once("spikeloop".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn place(summary: &Summary) -> &'static str {
    if summary.chip.is_some() { "in the loop" } else { "software" }
}

fn sentence(experiment: &Experiment, summary: &Summary) -> String {
    let warm = experiment.learning.warm_start_epochs;
    let epochs = experiment.learning.epochs;
    match &summary.chip {
        None => format!("Trained for {} epochs in software.", summary.epochs),
        Some(chip) if warm > 0 => format!(
            "Trained for {warm} epochs in software, then for {epochs} epochs with {} running every forward pass.",
            chip.identity
        ),
        Some(chip) => format!(
            "Trained for {epochs} epochs with {} running every forward pass.",
            chip.identity
        ),
    }
}

fn identify(report: &mut ReportData, experiment: &Experiment, summary: &Summary) {
    report.identify("task", summary.task.clone());
    report.identify("seed", summary.seed.to_string());
    if let Some(chip) = &summary.chip {
        report.identify("chip", chip.identity.clone());
        report.identify("selector", chip.selector.clone());
        report.identify("firmware", format!("{}, protocol {}", chip.firmware, chip.protocol));
        let observed = format!("{:?}", experiment.chip.observe).to_lowercase();
        report.identify("observed", observed);
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn figures(summary: &Summary) -> Vec<KeyFigure> {
    let mut figures = vec![KeyFigure::new(
        "test accuracy",
        percent(summary.test_accuracy),
        format!("{} samples", summary.test_samples),
    )];
    if let Some(accuracy) = summary.train_accuracy {
        figures.push(KeyFigure::new(
            "train accuracy",
            percent(accuracy),
            format!("while learning epoch {}", summary.epochs),
        ));
    }
    figures.push(KeyFigure::new(
        "hidden spikes",
        format!("{:.1}", summary.hidden_spikes_per_sample),
        "a test sample",
    ));
    figures.push(KeyFigure::new(
        "speed",
        format!("{:.0} /s", summary.samples_per_s),
        "samples learned, wall clock",
    ));
    figures
}

/// Software, naive transfer and the loop, side by side.
fn comparison(transfer: &Transfer, summary: &Summary) -> Table {
    let row = |what: &str, accuracy: f64| vec![what.to_owned(), percent(accuracy)];
    let before = match transfer.on_twin {
        true => "no chip: its digital twin",
        false => "no chip: the model in software",
    };
    Table {
        header: vec!["how the chip is used".into(), "test accuracy".into()],
        rows: vec![
            row(before, transfer.software_accuracy),
            row("naive transfer: its weights on the chip", transfer.chip_accuracy),
            row("fine-tuned with the chip in the loop", summary.test_accuracy),
        ],
    }
}

fn epoch_point(m: &EpochMetrics) -> EpochPoint {
    EpochPoint {
        epoch: m.epoch as f64,
        loss: Some(m.train_loss),
        train_accuracy: Some(m.train_accuracy),
        validation_accuracy: m.validation_accuracy,
        test_accuracy: m.test_accuracy,
        hidden_spikes: Some(m.train_spikes_per_sample),
    }
}

/// Spikes of one sample as points (time in µs, unit). A spike of state `k` happened in the step before it.
fn points(trains: &SpikeTrains, sample: usize, dt_us: f64) -> Vec<(f32, u32)> {
    (0..trains.steps())
        .flat_map(|step| {
            let t = (step as f64 * dt_us) as f32;
            trains.at(sample, step).iter().map(move |unit| (t, u32::from(*unit)))
        })
        .collect()
}

fn sample_view(
    experiment: &Experiment,
    data: &Dataset,
    inspection: &Inspection,
    k: usize,
) -> SampleView {
    let dt_us = experiment.network.dt_us;
    let class = |c: u16| data.class_names.get(usize::from(c)).map_or("?", String::as_str);
    let mut panels = vec![RasterPanel {
        name: "input".into(),
        units: data.inputs,
        spikes: points(&inspection.inputs, k, dt_us),
    }];
    let layers = &inspection.modelled[k];
    let mut traces = Vec::new();
    for (l, layer) in layers.iter().enumerate() {
        let readout = l + 1 == layers.len();
        let measured = inspection.measured.as_ref().map(|m| &m.layers[l]);
        let spikes = match measured.and_then(|m| m.spikes.as_ref()) {
            Some(spikes) => points(spikes, k, dt_us),
            None => points(&layer.spikes, 0, dt_us),
        };
        let units = layer.spikes.units();
        if !readout {
            let name = if layers.len() > 2 { format!("hidden {}", l + 1) } else { "hidden".into() };
            panels.push(RasterPanel { name, units, spikes: spikes.clone() });
        }
        let chosen = if readout { decided(inspection, k) } else { busiest(&spikes, units) };
        for unit in chosen {
            let series = |values: &[f32], sample: usize| -> Vec<(f32, f32)> {
                let steps = layer.spikes.steps();
                (0..steps)
                    .map(|t| {
                        let at = (sample * steps + t) * units + unit;
                        ((t as f64 * dt_us) as f32, values[at])
                    })
                    .collect()
            };
            let membrane = measured.and_then(|m| m.membrane.as_ref());
            traces.push(Trace {
                name: if readout {
                    format!("readout {}", class(unit as u16))
                } else {
                    format!("hidden {unit}")
                },
                measured: membrane.map(|m| series(m, k)).unwrap_or_default(),
                modelled: series(&layer.membrane, 0),
                spikes_us: spikes
                    .iter()
                    .filter(|(_, u)| !readout && *u as usize == unit)
                    .map(|(t, _)| *t)
                    .collect(),
                threshold: (!readout).then_some(1.0),
            });
        }
    }
    SampleView {
        title: format!(
            "test sample {k}: {}, decided {}",
            class(inspection.labels[k]),
            class(inspection.predicted[k])
        ),
        duration_us: dt_us * experiment.network.steps as f64,
        panels,
        traces,
    }
}

/// The readouts of the right class and of the decision.
fn decided(inspection: &Inspection, k: usize) -> Vec<usize> {
    let (label, predicted) = (inspection.labels[k], inspection.predicted[k]);
    let mut units = vec![usize::from(label)];
    if predicted != label {
        units.push(usize::from(predicted));
    }
    units
}

/// The hidden units with the most spikes; of equals the first.
fn busiest(spikes: &[(f32, u32)], units: usize) -> Vec<usize> {
    let mut counts = vec![0_u32; units];
    for (_, unit) in spikes {
        counts[*unit as usize] += 1;
    }
    let mut order: Vec<usize> = (0..units).collect();
    order.sort_by_key(|unit| std::cmp::Reverse(counts[*unit]));
    order.truncate(HIDDEN_TRACES);
    order
}

fn weights(trainer: &Trainer<'_>) -> Vec<WeightView> {
    let layers = &trainer.network.layers;
    layers
        .iter()
        .enumerate()
        .map(|(l, layer)| {
            let learned: Vec<f32> = layer.weights.iter().copied().collect();
            let translation = trainer.chip().map(|chip| chip.translation());
            let quantised = match translation.filter(|t| t.on_chip(l)) {
                Some(t) => learned.iter().map(|w| t.quantised(l, *w)).collect(),
                None => Vec::new(),
            };
            let layer_name = match l {
                _ if l + 1 == layers.len() => "readout".to_owned(),
                _ if layers.len() == 2 => "hidden".to_owned(),
                _ => format!("hidden {}", l + 1),
            };
            WeightView { layer: layer_name, learned, quantised, columns: layer.spec.units }
        })
        .collect()
}

/// What an emulated chip was drawn with. Only a report may look at it.
#[must_use]
pub fn truth(selector: &Selector) -> Option<DrawnChip> {
    match selector {
        Selector::Emulator(options) => {
            Emulator::from_options(options, 1).ok().map(|e| e.truth().clone())
        }
        Selector::Link(_) | Selector::Replay(_) => None,
    }
}

/// Mismatch of a drawn chip as spreads and maps.
#[must_use]
pub fn mismatch(chip: &DrawnChip) -> MismatchView {
    let factors = [
        ("membrane time constant", &chip.tau_mem),
        ("excitatory time constant", &chip.tau_syn_exc),
        ("inhibitory time constant", &chip.tau_syn_inh),
        ("excitatory gain", &chip.gain_exc),
        ("inhibitory gain", &chip.gain_inh),
    ];
    let offsets = [
        ("leak potential", &chip.leak_lsb),
        ("threshold", &chip.threshold_lsb),
        ("reset potential", &chip.reset_lsb),
        ("converter offset", &chip.adc_offset_lsb),
    ];
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
    let spread = |name: &str, unit: &str, values: &[f32]| ParameterSpread {
        name: name.to_owned(),
        unit: unit.to_owned(),
        values: wide(values),
    };
    let map = |name: &str, unit: &str, values: &[f32], centre: f64| ArrayMap {
        name: name.to_owned(),
        unit: unit.to_owned(),
        columns: MAP_COLUMNS.min(values.len()),
        block: 0,
        values: wide(values),
        palette: Palette::Diverging,
        centre,
    };
    MismatchView {
        source: "truth of the emulated chip; on a board it has to be measured".into(),
        parameters: factors
            .iter()
            .map(|(name, values)| spread(name, "\u{d7} nominal", values))
            .chain(offsets.iter().map(|(name, values)| spread(name, "LSB", values)))
            .collect(),
        maps: vec![
            map("membrane time constant", "\u{d7} nominal", &chip.tau_mem, 1.0),
            map("excitatory gain", "\u{d7} nominal", &chip.gain_exc, 1.0),
            map("threshold", "LSB", &chip.threshold_lsb, 0.0),
        ],
    }
}

fn confusion(data: &Dataset, evaluation: &Evaluation) -> ConfusionMatrix {
    let mut counts = vec![0; data.classes * data.classes];
    for (label, predicted) in data.test.labels.iter().zip(&evaluation.predicted) {
        counts[usize::from(*label) * data.classes + usize::from(*predicted)] += 1;
    }
    ConfusionMatrix { classes: data.class_names.clone(), counts }
}

fn time_split(time: &TimeSplit) -> Vec<Part> {
    let parts = [
        ("encode", time.encode_ns),
        ("transfer", time.transfer_ns),
        ("execute", time.execute_ns),
        ("decode", time.decode_ns),
    ];
    if parts.iter().all(|(_, ns)| *ns == 0) {
        return Vec::new();
    }
    parts.map(|(name, ns)| Part { name: name.to_owned(), value: ns as f64 * 1e-9 }).to_vec()
}

fn health(summary: &Summary) -> Vec<HealthRow> {
    if summary.chip.is_none() {
        return Vec::new();
    }
    let row = |name: &str, value: u64, ok: bool, note: &str| HealthRow {
        name: name.to_owned(),
        value: value.to_string(),
        ok,
        note: note.to_owned(),
    };
    let s = summary;
    let damaged = s.health.map_or(0, |h| h.damaged_frames);
    vec![
        row("dropped events", s.dropped_events, s.dropped_events == 0, "lost on the way in or out"),
        row("retries", s.retries, s.retries == 0, "stalled trials and frames that were repeated"),
        row("damaged frames", damaged, damaged == 0, "failed the checksum on the link"),
        row(
            "saturated samples",
            s.saturated_samples,
            true,
            "at a rail of the converter; strongly inhibited neurons do this",
        ),
        row(
            "clipped weights",
            s.clipped_weights,
            true,
            "outside the range of codes, summed over all writes",
        ),
    ]
}
