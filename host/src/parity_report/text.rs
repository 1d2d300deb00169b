//! The report on a terminal.

use super::{COLUMNS, counters, difference_rows, place, sentence};
use crate::command::table::{pairs, table};
use spikeloop_calibration::parity::Parity;

/// Tables: suspects, differences, counters, first divergence.
#[must_use]
pub fn render(parity: &Parity) -> String {
    let verdict = &parity.verdict;
    let mut text = format!("{}\n", sentence(parity));
    if let Some(cause) = verdict.first {
        text.push_str(&format!("What to do: {}.\n", cause.advice()));
    }
    if let Some(first) = parity.first_divergence() {
        text.push_str(&format!("First divergence from the ideal chip: {}.\n", place(first)));
    }
    let rows: Vec<[String; 3]> = verdict
        .suspects
        .iter()
        .map(|s| {
            let share = format!("{:.1} ± {:.1} %", 100.0 * s.share, 100.0 * s.error);
            [s.cause.label().to_owned(), share, s.cause.scope().to_owned()]
        })
        .collect();
    text.push_str(&format!(
        "\n{}",
        table(["cause", "explains", "what belongs to it"], &rows, &[1])
    ));
    text.push_str(&format!("\n{}", table(COLUMNS, &difference_rows(parity), &[1, 2, 3, 4, 5, 6])));
    let energy = |share: f64| format!("{:.2} % of the energy of the signals", 100.0 * share);
    let mut facts = vec![
        ("samples", parity.samples.to_string()),
        ("diverged", format!("{} samples", parity.divergences.len())),
        ("distance", energy(verdict.distance)),
        ("noise", energy(verdict.noise)),
        ("not explained", format!("{:.1} % of the distance", 100.0 * verdict.unexplained)),
        ("jitter of spikes", format!("{:.2} µs", parity.jitter_us)),
    ];
    if let Some(us) = parity.axonal_delay_us {
        facts.push(("axonal delay", format!("{us:.1} µs")));
    }
    facts.extend(counters(parity).into_iter().map(|(name, value, _, _)| (name, value)));
    facts.push(("round trips", parity.cost.round_trips.to_string()));
    text.push_str(&format!("\n{}", pairs(facts)));
    for note in &parity.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text
}
