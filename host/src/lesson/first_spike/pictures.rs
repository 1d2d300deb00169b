//! What the report shows of a first-spike network: decisions, when they fall, and one sample.

use super::task::Task;
use crate::picture::{ConfusionMatrix, HistogramChart, HistogramSeries, Layer, Mark, Plot};
use crate::report::{figure, row};
use spikeloop_models::method::first_spike::Answer;

/// Bins of the histogram.
const BINS: usize = 60;

/// Headings and contents, from the answers to the test samples and the spike times of the first one.
pub(super) fn all(
    task: &Task,
    answers: &[Answer],
    first: &[Vec<f64>],
) -> Vec<(&'static str, String)> {
    if answers.is_empty() {
        return Vec::new();
    }
    let decisions = [
        figure("Decisions on test samples", &confusion(task, answers).draw()),
        figure("When they fall", &times(answers).draw()),
    ];
    let mut sections = vec![("Decisions", row(&decisions.concat()))];
    if !first.is_empty() {
        let chart = sample(task, first);
        sections.push(("One sample", row(&figure("The first test sample", &chart.draw()))));
    }
    sections
}

fn confusion(task: &Task, answers: &[Answer]) -> ConfusionMatrix {
    let classes = task.class_names.len();
    let mut counts = vec![0; classes * classes];
    for (answer, label) in answers.iter().zip(&task.test.labels) {
        if let Some(predicted) = answer.predicted {
            counts[usize::from(*label) * classes + usize::from(predicted)] += 1;
        }
    }
    ConfusionMatrix { classes: task.class_names.clone(), counts }
}

fn times(answers: &[Answer]) -> HistogramChart {
    let series = |name: &str, value: fn(&Answer) -> f64| HistogramSeries {
        name: name.to_owned(),
        values: answers.iter().map(value).filter(|t| t.is_finite()).collect(),
    };
    HistogramChart {
        title: "Spike times of test samples".into(),
        x_label: "time".into(),
        series: vec![
            series("first output", |a| a.first_output),
            series("mean of hidden neurons", |a| a.hidden_mean),
        ],
        bins: BINS,
        x_range: None,
    }
}

/// Spike time against neuron, layer above layer.
fn sample(task: &Task, spikes: &[Vec<f64>]) -> Plot {
    let (inputs, ids) = task.test.times.sample(0);
    let mut layers = vec![Layer::new(
        "inputs",
        0,
        Mark::Dots(inputs.iter().zip(ids).map(|(t, id)| (f64::from(*t), f64::from(*id))).collect()),
    )];
    let mut below = task.inputs;
    for (k, times) in spikes.iter().enumerate() {
        let name = if k + 1 == spikes.len() { "outputs" } else { "hidden" };
        let dots = times.iter().enumerate().filter(|(_, t)| t.is_finite());
        let dots = dots.map(|(unit, t)| (*t, (below + unit) as f64)).collect();
        layers.push(Layer::new(name, k + 1, Mark::Dots(dots)));
        below += times.len();
    }
    Plot {
        title: "Spikes of one sample".into(),
        x_label: "time".into(),
        y_label: "neuron, layer above layer".into(),
        layers,
        ..Plot::default()
    }
}
