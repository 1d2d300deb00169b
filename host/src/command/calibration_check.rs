//! `spikeloop calibration check`: has the chip moved since it was calibrated?

use super::table::{pairs, table};
use super::{ChipArgs, CommandError, Context, output};
use crate::cache;
use crate::exit_code::ExitCode;
use spikeloop_calibration::drift::{Drift, Moved, ParameterDrift};
use spikeloop_calibration::targets::symbol;
use spikeloop_calibration::{Bench, Calibration};
use std::path::PathBuf;

/// Neurons that are listed for each parameter.
const LISTED: usize = 8;

/// Arguments of `calibration check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File of the calibration [default: the newest of the chip]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The chip
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Number of this check: on an emulated chip each number draws other noise
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub series: u32,
}

/// Measures a small probe again and says what to do.
///
/// # Errors
/// No calibration, one of another chip or firmware, failures of the chip.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let (_, chip) = args.chip.open(context)?;
    let (path, calibration) = match &args.file {
        Some(path) => {
            let calibration = Calibration::load(path).map_err(anyhow::Error::from)?;
            (path.clone(), calibration)
        }
        None => {
            let caps = chip.capabilities();
            let name = caps.identity.to_string();
            let found = cache::calibrations().latest_for(caps);
            found.ok_or_else(|| super::calibration::not_calibrated(&name))?
        }
    };
    let mut bench = Bench::new(chip, args.series);
    let drift = Drift::check(&mut bench, &calibration).map_err(anyhow::Error::from)?;
    if context.json {
        output::json(&drift)?;
    } else {
        let file = path.display().to_string();
        output::text(&render(&drift, &calibration.provenance.time, file))?;
    }
    Ok(ExitCode::Ok)
}

fn render(drift: &Drift, time: &str, file: String) -> String {
    let head = ["PARAMETER", "ALL", "ERROR", "UNIT", "MOVED", "OF", "LARGEST"];
    let rows: Vec<_> = drift.parameters.iter().map(row).collect();
    let mut text = table(head, &rows, &[1, 2, 4, 5]);
    text.push('\n');
    let mut facts = vec![("advice", drift.advice.sentence().to_owned())];
    if !drift.lost.is_empty() {
        let some: Vec<String> = drift.lost.iter().take(20).map(ToString::to_string).collect();
        facts.push(("lost", format!("{} neurons: {}", drift.lost.len(), some.join(", "))));
    }
    let cost = &drift.cost;
    facts.push((
        "cost",
        format!("{} round trips, {:.2} s on the chip", cost.round_trips, cost.chip_us * 1e-6),
    ));
    facts.push(("compared with", format!("{file}, measured {time}")));
    text + &pairs(facts)
}

fn row(drift: &ParameterDrift) -> [String; 7] {
    let name = |m: &Moved| format!("{} ({:+.2})", m.neuron, m.change);
    let mut largest: Vec<String> = drift.moved.iter().take(LISTED).map(name).collect();
    if drift.moved.len() > LISTED {
        largest.push("...".into());
    }
    [
        drift.parameter.name().to_owned(),
        format!("{:+.3}", drift.common.value),
        format!("{:.3}", drift.common.sigma),
        symbol(drift.unit).to_owned(),
        drift.moved.len().to_string(),
        drift.compared.to_string(),
        largest.join(", "),
    ]
}
