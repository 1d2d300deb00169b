//! What a run reports: one line an epoch, and the result.

use crate::calibration_choice::CalibrationSummary;
use crate::chip_loop::LoopCounters;
use serde::{Deserialize, Serialize};
use spikeloop_calibration::TraceBytes;
use spikeloop_hal::{Health, LinkUse, TimeSplit};

/// Who ran the forward passes of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The model.
    Software,
    /// A digital twin of the chip.
    Twin,
    /// The chip.
    InTheLoop,
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Who ran it.
    pub phase: Phase,
    /// Learning rate.
    pub rate: f64,
    /// Mean loss while learning, without penalties.
    pub train_loss: f64,
    /// Accuracy while learning.
    pub train_accuracy: f64,
    /// Hidden spikes a sample while learning.
    pub train_spikes_per_sample: f64,
    /// Accuracy on the validation set, if the task has one and it was evaluated after this epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test set, if it was evaluated after this epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Trials of the chip so far, evaluations included; nothing for software.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip_trials: Option<u64>,
    /// Seconds the epoch took, evaluations included. The only value that differs between two equal runs.
    pub seconds: f64,
}

/// The chip of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChipSummary {
    /// How it was reached.
    pub selector: String,
    /// Which one it is: family and serial number.
    pub identity: String,
    /// Firmware version.
    pub firmware: String,
    /// Protocol version.
    pub protocol: u16,
}

/// What the weights of a warm start are worth, without and with the chip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Accuracy on the test set of the model, or of the digital twin if the warm start ran on one.
    pub software_accuracy: f64,
    /// Accuracy of the same weights on the chip, before any learning in the loop.
    pub chip_accuracy: f64,
    /// Whether the warm start ran on a digital twin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_twin: bool,
}

/// `summary.json`, and what `train --json` and `eval --json` print.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the data set.
    pub task: String,
    /// Name of the experiment.
    pub name: String,
    /// The chip; nothing for software.
    pub chip: Option<ChipSummary>,
    /// Its calibration, if one was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationSummary>,
    /// Seed of the experiment.
    pub seed: u64,
    /// Epochs learned, those of the warm start included.
    pub epochs: usize,
    /// Accuracy while learning the last epoch.
    pub train_accuracy: Option<f64>,
    /// Accuracy on the training set after the last epoch, if the experiment asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_accuracy: Option<f64>,
    /// Accuracy on the validation set, if there is one.
    pub validation_accuracy: Option<f64>,
    /// Accuracy on the test set.
    pub test_accuracy: f64,
    /// What the warm start was worth, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Samples of the test set.
    pub test_samples: u64,
    /// Hidden spikes a sample on the test set.
    pub hidden_spikes_per_sample: f64,
    /// Samples learned a second (or evaluated, for `eval`), wall clock.
    pub samples_per_s: f64,
    /// Trials of the chip, evaluations included.
    #[serde(default)]
    pub chip_trials: u64,
    /// Trials of a warm start on a digital twin, evaluations included: the chip did not have to run them.
    #[serde(default)]
    pub twin_trials: u64,
    /// Events lost on the way in or out.
    pub dropped_events: u64,
    /// Trials or frames that were repeated.
    pub retries: u64,
    /// Samples at a rail of the converter.
    pub saturated_samples: u64,
    /// Weights outside the range of codes, summed over writes.
    pub clipped_weights: u64,
    /// What membranes cost on the link, if not all of them were sent ([`trace_window`]), or would have in
    /// process.
    ///
    /// [`trace_window`]: crate::experiment::ChipSpec::trace_window
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_bytes: Option<TraceBytes>,
    /// Where the time on the chip went.
    pub time_split: TimeSplit,
    /// The chip's own counters.
    pub health: Option<Health>,
    /// What the link carried, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkUse>,
}

impl Summary {
    /// Fills in what the loop counted.
    pub fn count(&mut self, counters: &LoopCounters) {
        self.chip_trials = counters.trials;
        self.twin_trials = counters.twin_trials;
        self.dropped_events = counters.dropped_events;
        self.retries = counters.retries;
        self.saturated_samples = counters.saturated_samples;
        self.clipped_weights = counters.clipped_weights;
        let traces = counters.trace_bytes;
        self.trace_bytes = (traces.sent < traces.all).then_some(traces);
        self.time_split = counters.time;
    }
}
