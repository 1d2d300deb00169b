//! The page and the table of a parity report, in the style of the report of a run.

mod page;
mod text;

pub use page::{Head, page};
pub use text::render;

use spikeloop_calibration::parity::{Difference, Divergence, LayerDifference, Parity};

/// The judgement in a sentence.
#[must_use]
pub fn sentence(parity: &Parity) -> String {
    let verdict = &parity.verdict;
    match (verdict.first, verdict.suspects.first()) {
        (Some(cause), Some(suspect)) => format!(
            "First suspect: {} ({}), which explains {:.0} ± {:.0} % of what model and chip differ; first in {:.0} % of the draws.",
            cause.label(),
            cause.scope(),
            100.0 * suspect.share,
            100.0 * suspect.error,
            100.0 * verdict.confidence
        ),
        _ => "No suspect: beyond noise the chip does what the model says.".to_owned(),
    }
}

/// Name of layer `l` of `layers`.
fn layer_name(l: usize) -> String {
    format!("layer {}", l + 1)
}

/// A divergence in words.
fn place(d: &Divergence) -> String {
    let Divergence { sample, layer, unit, time_us, what } = d;
    let layer = layer_name(*layer);
    format!("sample {sample}, {layer}, unit {unit}, at {time_us:.2} µs: {what}")
}

/// Columns of the table of differences.
const COLUMNS: [&str; 7] =
    ["against the chip", "layer", "spikes", "|Δt| of first spikes", "missing", "extra", "rms ΔV"];

/// Rows of the table of differences.
fn difference_rows(parity: &Parity) -> Vec<[String; 7]> {
    let layers = &parity.layers;
    let kinds: [(&str, &[LayerDifference]); 4] = [
        ("model on its grid", &layers.model),
        ("ideal chip", &layers.ideal),
        ("digital twin", &layers.twin),
        ("the chip once more", &layers.repeat),
    ];
    let mut rows = Vec::new();
    for (name, list) in kinds {
        for d in list {
            rows.push([
                name.to_owned(),
                (d.layer + 1).to_string(),
                d.chip_spikes.to_string(),
                format!("{:.2} µs", d.first_spike_us),
                d.missing.to_string(),
                d.extra.to_string(),
                format!("{:.3} θ", d.membrane_rms),
            ]);
        }
    }
    rows
}

/// Counters: name, value, whether it is as it should be, what it means.
fn counters(parity: &Parity) -> Vec<(&'static str, String, bool, &'static str)> {
    let c = &parity.counts;
    let of = |part: u64, whole: u64| {
        format!("{part} of {whole} ({:.1} %)", 100.0 * part as f64 / whole.max(1) as f64)
    };
    vec![
        ("events lost", of(c.lost, c.lost + c.spikes), c.lost == 0, "in one run of the batch"),
        (
            "of these inputs",
            c.lost_inputs.to_string(),
            c.lost_inputs == 0,
            "did not reach a synapse",
        ),
        (
            "samples at a rail",
            of(c.railed_samples, c.samples),
            c.railed_samples == 0,
            "of the membrane converter",
        ),
        (
            "weights clipped",
            of(c.clipped_weights, c.weights),
            c.clipped_weights == 0,
            "outside the range of codes",
        ),
    ]
}

/// Whether a divergence is one of spikes.
fn of_spikes(d: &Divergence) -> bool {
    !matches!(d.what, Difference::Membrane { .. })
}

#[cfg(test)]
mod tests;
