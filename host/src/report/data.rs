//! What a report can show.

use serde::{Deserialize, Serialize};

use crate::picture::{ConfusionMatrix, Palette, Part, RasterPanel, Trace};

/// Everything a report shows. Start from [`ReportData::new`] and fill what there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportData {
    /// Heading of the page.
    pub title: String,
    /// One sentence below the heading: what was done.
    pub summary: String,
    /// Facts that identify the run, in order: task, chip, selector, seeds, date, version …
    pub identity: Vec<Identity>,
    /// The command line that gives this run again.
    pub command: String,
    /// The figures one looks for first.
    pub figures: Vec<KeyFigure>,
    /// What the reader must know before using the figures.
    pub warnings: Vec<String>,
    /// The resolved configuration as text.
    pub config: Option<String>,
    /// Learning curves, one point an epoch.
    pub epochs: Vec<EpochPoint>,
    /// Accuracies of different ways to use the chip, side by side.
    pub comparison: Option<Table>,
    /// Accuracy against mismatch.
    pub robustness: Option<Robustness>,
    /// A few samples with their spikes and membranes.
    pub samples: Vec<SampleView>,
    /// Weights of each layer.
    pub weights: Vec<WeightView>,
    /// What is known of the chip's mismatch.
    pub mismatch: Option<MismatchView>,
    /// Decisions on the test set.
    pub confusion: Option<ConfusionMatrix>,
    /// Where the time went, in seconds.
    pub time_split: Vec<Part>,
    /// Counters of everything that went wrong or could have.
    pub health: Vec<HealthRow>,
    /// Program and version, for the foot of the page.
    pub program: String,
}

impl ReportData {
    /// A page with a heading and nothing else.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds a fact that identifies the run.
    pub fn identify(&mut self, name: &str, value: impl Into<String>) {
        self.identity.push(Identity { name: name.to_owned(), value: value.into() });
    }
}

/// A fact that identifies the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Such as `chip` or `seed`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A figure on a card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFigure {
    /// What it is.
    pub label: String,
    /// The figure with its unit.
    pub value: String,
    /// Basis or comparison, in a few words.
    pub note: String,
}

impl KeyFigure {
    /// A figure with its label and note.
    #[must_use]
    pub fn new(label: &str, value: impl Into<String>, note: impl Into<String>) -> Self {
        Self { label: label.to_owned(), value: value.into(), note: note.into() }
    }
}

/// One epoch of the learning curves; what was not measured is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochPoint {
    /// Number of the epoch; a fraction is allowed.
    pub epoch: f64,
    /// Mean loss on the training set.
    pub loss: Option<f64>,
    /// Share of right decisions on the training set, 0 to 1.
    pub train_accuracy: Option<f64>,
    /// Share of right decisions on the held-out samples, 0 to 1.
    pub validation_accuracy: Option<f64>,
    /// Share of right decisions on the test set, 0 to 1.
    pub test_accuracy: Option<f64>,
    /// Hidden spikes per sample.
    pub hidden_spikes: Option<f64>,
}

/// A small table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Names of the columns; the first column is text, the others are figures.
    pub header: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
}

/// Accuracy against the size of the mismatch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Robustness {
    /// Name of the horizontal axis, such as `mismatch σ`.
    pub x_label: String,
    /// One line per way to train.
    pub lines: Vec<RobustnessLine>,
}

/// One way to train.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobustnessLine {
    /// Such as `naive transfer`.
    pub name: String,
    /// Its results, one per size of the mismatch.
    pub points: Vec<RobustnessPoint>,
}

/// Results on several chips of the same mismatch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobustnessPoint {
    /// Size of the mismatch.
    pub sigma: f64,
    /// Test accuracy on each chip, 0 to 1.
    pub accuracies: Vec<f64>,
}

impl RobustnessPoint {
    /// Mean and sample standard deviation; the latter is 0 for fewer than two chips. `None` without
    /// any.
    #[must_use]
    pub fn mean_and_deviation(&self) -> Option<(f64, f64)> {
        let n = self.accuracies.len() as f64;
        if self.accuracies.is_empty() {
            return None;
        }
        let mean = self.accuracies.iter().sum::<f64>() / n;
        let squares: f64 = self.accuracies.iter().map(|a| (a - mean).powi(2)).sum();
        Some((mean, (squares / (n - 1.0).max(1.0)).sqrt()))
    }
}

/// One sample: its spikes in every layer and a few membranes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleView {
    /// Such as `test sample 3: label 7, decision 7`.
    pub title: String,
    /// Length of the window in µs.
    pub duration_us: f64,
    /// Spikes of input, hidden layers and output.
    pub panels: Vec<RasterPanel>,
    /// Membranes as measured and as modelled.
    pub traces: Vec<Trace>,
}

/// Weights of a layer in model units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightView {
    /// Name of the layer.
    pub layer: String,
    /// Weights as learned.
    pub learned: Vec<f32>,
    /// The same weights as the chip's codes realise them; empty if there is no chip.
    pub quantised: Vec<f32>,
    /// Columns of the weight map (neurons of the layer), rows being inputs; 0 for no map.
    pub columns: usize,
}

/// Mismatch of a chip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MismatchView {
    /// Where the numbers come from: truth of an emulated chip, measured, …
    pub source: String,
    /// Distributions over the neurons or synapses.
    pub parameters: Vec<ParameterSpread>,
    /// Values over the array of neurons.
    pub maps: Vec<ArrayMap>,
}

/// Distribution of one parameter over the chip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParameterSpread {
    /// Name of the parameter.
    pub name: String,
    /// Its unit; empty for a ratio.
    pub unit: String,
    /// One value per instance.
    pub values: Vec<f64>,
}

/// One parameter over the array of neurons.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArrayMap {
    /// Name of the parameter.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Number of columns of the array.
    pub columns: usize,
    /// A line is drawn after so many columns; 0 for none.
    pub block: usize,
    /// Values, row by row.
    pub values: Vec<f64>,
    /// Colours.
    #[serde(default)]
    pub palette: Palette,
    /// Value in the middle of a diverging palette.
    #[serde(default)]
    pub centre: f64,
}

/// One counter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRow {
    /// What was counted.
    pub name: String,
    /// The count.
    pub value: String,
    /// Whether this is as it should be.
    pub ok: bool,
    /// What it means, or the remedy.
    pub note: String,
}
