//! `spikeloop bench`: how fast the way to a chip is.

use super::table::{pairs, table};
use super::{ChipArgs, CommandError, Context, output};
use crate::exit_code::ExitCode;
use crate::link_bench::{Effort, Measured, Throughput, measure};
use clap::Subcommand;
use serde::Serialize;
use spikeloop_hal::{LinkUse, Selector};

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Latency, throughput each way, bytes for a spike and for a sample
    Link(LinkArgs),
}

/// Arguments of `bench link`.
#[derive(Debug, clap::Args)]
pub struct LinkArgs {
    /// Which chip.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Empty runs to measure the latency with
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub round_trips: u32,
    /// Seconds for each throughput
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    pub seconds: f64,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    chip: &'a Selector,
    identity: String,
    #[serde(flatten)]
    measured: &'a Measured,
}

/// Measures and prints.
///
/// # Errors
/// Those of choosing and opening a chip, and of the link.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let What::Link(args) = &args.what;
    if !(args.seconds >= 0.0 && args.seconds <= 3600.0) {
        return Err(CommandError::Usage(format!("--seconds {}: between 0 and 3600", args.seconds)));
    }
    let (selector, mut chip) = args.chip.open(context)?;
    let effort = Effort { round_trips: args.round_trips as usize, runs: 4, seconds: args.seconds };
    let measured = measure(chip.as_mut(), effort)?;
    let identity = chip.capabilities().identity.to_string();
    if context.json {
        output::json(&Report { chip: &selector, identity, measured: &measured })?;
    } else {
        output::text(&render(&selector, &identity, &measured))?;
    }
    Ok(ExitCode::Ok)
}

fn render(selector: &Selector, identity: &str, measured: &Measured) -> String {
    let latency = &measured.latency;
    let mut text = pairs([
        ("chip", identity.to_owned()),
        ("selector", selector.to_string()),
        (
            "empty run",
            format!(
                "median {}, 99 % {}, longest {}",
                time(latency.median_us),
                time(latency.p99_us),
                time(latency.longest_us)
            ),
        ),
    ]);
    text.push('\n');
    text.push_str(&histogram(&latency.histogram));
    text.push('\n');
    let mut rows = vec![row("input spikes, host to chip", &measured.input_spikes)];
    rows.extend(measured.samples.as_ref().map(|t| row("samples, chip to host", t)));
    let head = ["LOAD", "PER SECOND", "BYTES/S", "BYTES EACH", "CHIP BUSY"];
    text.push_str(&table(head, &rows, &[1, 2, 3, 4]));
    text.push('\n');
    text.push_str(&link(measured.link.as_ref()));
    text
}

fn row(name: &str, load: &Throughput) -> [String; 5] {
    let none = || "-".to_owned();
    [
        name.to_owned(),
        si(load.units_per_s),
        load.bytes_per_s.map_or_else(none, si),
        load.bytes_per_unit.map_or_else(none, |bytes| format!("{bytes:.2}")),
        format!("{:.0} %", 100.0 * load.executing.min(1.0)),
    ]
}

fn histogram(classes: &[(f64, usize)]) -> String {
    const WIDTH: usize = 40;
    let most = classes.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let rows: Vec<_> = classes
        .iter()
        .map(|(lower, count)| {
            let bar = "#".repeat((count * WIDTH).div_ceil(most));
            [format!("{} to {}", time(*lower), time(2.0 * lower)), count.to_string(), bar]
        })
        .collect();
    table(["ROUND TRIP", "RUNS", ""], &rows, &[1])
}

fn link(link: Option<&LinkUse>) -> String {
    let Some(link) = link else {
        return "no link: the chip is in this process\n".to_owned();
    };
    pairs([
        ("to the chip", format!("{}B in {} frames", si(link.bytes_up as f64), link.frames_sent)),
        ("from the chip", format!("{}B", si(link.bytes_down as f64))),
        (
            "repeated",
            format!(
                "{} frames sent again, {} came twice, {} came damaged",
                link.frames_resent, link.duplicates, link.damaged_frames
            ),
        ),
        ("round trip", time(link.round_trip_ns as f64 / 1e3)),
    ])
}

/// A number with a decimal prefix.
fn si(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v => format!("{v:.0} "),
    }
}

fn time(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{:.2} s", us / 1e6),
        us if us >= 1e3 => format!("{:.2} ms", us / 1e3),
        us => format!("{us:.0} us"),
    }
}
