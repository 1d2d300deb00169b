//! `spikeloop calibration`: look at calibrations that were made.

use super::table::{pairs, table};
use super::{ChipArgs, CommandError, Context, calibrate, output};
use crate::cache;
use crate::calibrate::{Change, Diff, ParameterRow, Summary, by_reason, rough, short, with_spread};
use crate::calibration_report;
use crate::exit_code::ExitCode;
use anyhow::anyhow;
use spikeloop_calibration::Calibration;
use spikeloop_hal::Selector;
use std::path::{Path, PathBuf};

/// Neurons that are listed before the rest is only counted.
const LISTED: usize = 20;

/// Arguments of `calibration`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show what a calibration found
    Show(Show),
    /// Compare two calibrations of a chip, neuron by neuron
    Diff(Compare),
    /// Measure a small probe again: what moved since, and whether to calibrate, fine-tune or leave it
    Check(super::calibration_check::Args),
}

/// Arguments of `calibration show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// File of the calibration [default: the newest of the chip]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The chip whose newest calibration is shown; with FILE, the chip that it must belong to
    #[arg(long, value_name = "SELECTOR", env = "SPIKELOOP_CHIP", hide_env_values = true)]
    pub chip: Option<Selector>,
    /// Write a page with pictures: a file (*.html), or report.html in a folder
    #[arg(long, value_name = "DIR|FILE.html")]
    pub report: Option<PathBuf>,
}

/// Arguments of `calibration diff`.
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// The earlier calibration
    #[arg(value_name = "A")]
    pub before: PathBuf,
    /// The later calibration
    #[arg(value_name = "B")]
    pub after: PathBuf,
}

/// Does what the verb says.
///
/// # Errors
/// Files that cannot be read, a chip that cannot be opened, a calibration of another chip.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.verb {
        Verb::Show(args) => show(args, context),
        Verb::Diff(args) => diff(args, context),
        Verb::Check(args) => super::calibration_check::run(args, context),
    }
}

fn load(path: &Path) -> Result<Calibration, CommandError> {
    Ok(Calibration::load(path).map_err(anyhow::Error::from)?)
}

fn show(args: &Show, context: &Context) -> Result<ExitCode, CommandError> {
    let named = args.file.is_some() && args.chip.is_none();
    let chip = match named {
        true => None,
        false => Some(ChipArgs { chip: args.chip.clone() }.open(context)?.1),
    };
    let caps = chip.as_ref().map(|c| c.capabilities());
    let (path, calibration) = match (&args.file, caps) {
        (Some(path), caps) => {
            let calibration = load(path)?;
            if let Some(caps) = caps {
                calibration.check(caps).map_err(anyhow::Error::from)?;
            }
            (path.clone(), calibration)
        }
        (None, Some(caps)) => {
            let cache = cache::calibrations();
            cache.latest_for(caps).ok_or_else(|| not_calibrated(&caps.identity.to_string()))?
        }
        (None, None) => return Err(CommandError::Usage("name a file or a chip".into())),
    };
    let summary = Summary::new(&calibration, Some(path));
    let report = args.report.as_deref().map(calibrate::report_path);
    if let Some(path) = &report {
        calibrate::write(path, &calibration_report::page(&calibration, None))?;
    }
    if context.json {
        output::json(&summary)?;
    } else {
        let mut text = render(&summary, None);
        if let Some(path) = &report {
            text.push_str(&pairs([("report", path.display().to_string())]));
        }
        output::text(&text)?;
    }
    Ok(ExitCode::Ok)
}

pub(super) fn not_calibrated(chip: &str) -> CommandError {
    anyhow!("{chip} has not been calibrated with its present firmware: spikeloop calibrate --chip ... does it")
        .into()
}

fn diff(args: &Compare, context: &Context) -> Result<ExitCode, CommandError> {
    let (before, after) = (load(&args.before)?, load(&args.after)?);
    if before.neurons() != after.neurons() {
        return Err(CommandError::Usage(format!(
            "{} has {} neurons, {} has {}: only calibrations of one chip can be compared",
            args.before.display(),
            before.neurons(),
            args.after.display(),
            after.neurons()
        )));
    }
    let diff = Diff::new(&before, &after);
    if !diff.same_chip {
        tracing::warn!(
            "these are two chips, {} and {}: neurons of one number have nothing to do with each other",
            diff.before.0,
            diff.after.0
        );
    } else if !diff.same_firmware {
        tracing::warn!("the firmware changed in between: codes may mean something else");
    }
    if context.json {
        output::json(&diff)?;
    } else {
        output::text(&render_diff(&diff))?;
    }
    Ok(ExitCode::Ok)
}

/// A calibration as a person reads it. `wall_s` is how long it took, if it was made just now.
#[must_use]
pub(super) fn render(summary: &Summary, wall_s: Option<f64>) -> String {
    let head = ["PARAMETER", "TARGET", "BEFORE", "AFTER", "UNIT", "RATIO", "FAILED", "TRIPS"];
    let rows: Vec<_> = summary.parameters.iter().map(parameter).collect();
    let mut text = table(head, &rows, &[1, 2, 3, 5, 6, 7]);
    if !rows.is_empty() {
        text.push('\n');
    }
    let share = 100.0 * summary.calibrated as f64 / summary.neurons.max(1) as f64;
    let mut facts = vec![
        ("chip", format!("{}, firmware {}", summary.chip, summary.firmware)),
        (
            "calibrated",
            format!("{} of {} neurons ({share:.1} %)", summary.calibrated, summary.neurons),
        ),
    ];
    let failures: Vec<String> = failures(summary);
    let names = std::iter::once("failed").chain(std::iter::repeat(""));
    facts.extend(names.zip(failures));
    let names = std::iter::once("unavailable").chain(std::iter::repeat(""));
    facts.extend(names.zip(by_reason(&summary.unavailable)));
    let names = std::iter::once("note").chain(std::iter::repeat(""));
    facts.extend(names.zip(summary.notes.iter().cloned()));
    facts.push(("cost", cost(summary, wall_s)));
    let at = summary.temperature_c.map_or(String::new(), |t| format!(" at {t:.1} °C"));
    facts.push(("measured", format!("{}{at}, spikeloop {}", summary.time, summary.version)));
    if let Some(file) = &summary.file {
        facts.push(("file", file.display().to_string()));
    }
    text + &pairs(facts)
}

fn parameter(row: &ParameterRow) -> [String; 8] {
    let mark = if row.reachable { "" } else { " !" };
    let ratio = if row.ratio.is_finite() { format!("{:.3}", row.ratio) } else { "-".into() };
    [
        row.name.to_owned(),
        format!("{}{mark}", short(row.target)),
        with_spread(row.mean_before, row.sigma_before),
        with_spread(row.mean_after, row.sigma_after),
        row.unit.to_owned(),
        ratio,
        row.failed.to_string(),
        row.round_trips.to_string(),
    ]
}

fn failures(summary: &Summary) -> Vec<String> {
    let mut lines: Vec<String> = summary
        .failures
        .iter()
        .take(LISTED)
        .map(|f| match f.parameter {
            Some(parameter) => format!("neuron {}: {parameter}: {}", f.neuron, f.reason),
            None => format!("neuron {}: {}", f.neuron, f.reason),
        })
        .collect();
    let more = summary.failures.len().saturating_sub(LISTED);
    if more > 0 {
        lines.push(format!("and {more} more (all of them with --json)"));
    }
    lines
}

fn cost(summary: &Summary, wall_s: Option<f64>) -> String {
    let c = &summary.cost;
    let wall = wall_s.map_or(String::new(), |s| format!(", {s:.1} s in all"));
    format!(
        "{} round trips, {} runs of {} trials, {:.1} s on the chip{wall}",
        c.round_trips,
        c.runs,
        c.trials,
        c.chip_us * 1e-6
    )
}

fn render_diff(diff: &Diff) -> String {
    let head = ["PARAMETER", "CHANGE", "BY NOISE", "UNIT", "MOVED", "OF", "RECODED", "LARGEST"];
    let rows: Vec<_> = diff.parameters.iter().map(change).collect();
    let mut text = table(head, &rows, &[1, 2, 4, 5, 6]);
    text.push('\n');
    let side = |(chip, time): &(String, String)| format!("{chip}, {time}");
    let list = |neurons: &[usize]| {
        let shown: Vec<String> = neurons.iter().take(LISTED).map(usize::to_string).collect();
        let more = if neurons.len() > LISTED { ", ..." } else { "" };
        format!("{} neurons: {}{more}", neurons.len(), shown.join(", "))
    };
    let mut facts = vec![("before", side(&diff.before)), ("after", side(&diff.after))];
    if !diff.lost.is_empty() {
        facts.push(("no longer usable", list(&diff.lost)));
    }
    if !diff.gained.is_empty() {
        facts.push(("usable again", list(&diff.gained)));
    }
    if !diff.only_in_one.is_empty() {
        facts.push(("only in one", diff.only_in_one.join(", ")));
    }
    text + &pairs(facts)
}

fn change(change: &Change) -> [String; 8] {
    let largest: Vec<String> = change
        .largest
        .iter()
        .map(|m| format!("{} ({:+.1} sigma)", m.neuron, m.change / m.sigma))
        .collect();
    [
        change.name.to_owned(),
        with_spread(change.mean, change.deviation),
        rough(change.expected),
        change.unit.to_owned(),
        change.moved.to_string(),
        change.compared.to_string(),
        change.recoded.to_string(),
        largest.join(", "),
    ]
}
