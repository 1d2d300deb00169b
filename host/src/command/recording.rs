//! `spikeloop recording`: look at recordings of chips.

use super::table::pairs;
use super::{CommandError, Context, output};
use crate::exit_code::ExitCode;
use crate::recording::diff::{Comparison, Found, compare};
use crate::recording::export::{self, ExportError, Exported, Format};
use crate::recording::shown::Shown;
use crate::run_folder::RunFolderError;
use spikeloop_hal::recording::{RecordingError, Tape};
use std::path::{Path, PathBuf};

/// Failures that are listed before the rest is only counted.
const LISTED: usize = 20;

/// Arguments of `recording`.
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
    /// Show what stands in a recording, and where and why it ends
    Show(Show),
    /// Find the first difference of two recordings: exit code 0 if there is none, 1 if there is one
    Diff(Diff),
    /// Write a recording as wave forms, arrays or tables
    Export(Export),
}

/// Arguments of `recording show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Arguments of `recording diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// One recording
    #[arg(value_name = "A")]
    pub left: PathBuf,
    /// The other
    #[arg(value_name = "B")]
    pub right: PathBuf,
}

/// Arguments of `recording export`.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to write
    #[arg(long, value_name = "FORMAT")]
    pub to: Format,
    /// Only the run of this number [default: all]
    #[arg(long, value_name = "N")]
    pub run: Option<u64>,
    /// Where to write it [default: beside the recording]; csv makes *.spikes.csv and *.samples.csv of it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Does what the verb says.
///
/// # Errors
/// Recordings that cannot be read, files that cannot be written. A difference is no error.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.verb {
        Verb::Show(args) => show(args, context),
        Verb::Diff(args) => diff(args, context),
        Verb::Export(args) => export(args, context),
    }
}

fn failed(error: RecordingError) -> CommandError {
    spikeloop_hal::Error::from(error).into()
}

fn open(path: &Path) -> Result<Tape, CommandError> {
    let tape = Tape::open(path).map_err(failed)?;
    if tape.ending().left > 0 {
        tracing::warn!("{}: {}; read up to there", path.display(), tape.ending());
    }
    Ok(tape)
}

fn show(args: &Show, context: &Context) -> Result<ExitCode, CommandError> {
    let shown = Shown::of(&mut open(&args.file)?).map_err(failed)?;
    if context.json {
        output::json(&shown)?;
    } else {
        output::text(&render(&shown))?;
    }
    Ok(ExitCode::Ok)
}

fn render(shown: &Shown) -> String {
    let Shown { records, ending, health, time, .. } = shown;
    let megabytes = |n: u64| format!("{:.2} MB", n as f64 * 1e-6);
    let seconds = |ns: u64| format!("{:.3} s", ns as f64 * 1e-9);
    let mut facts = vec![
        (
            "file",
            format!(
                "{}, format {}, protocol {}",
                shown.file.display(),
                shown.format,
                shown.protocol
            ),
        ),
        (
            "chip",
            format!(
                "{}: {} neurons, {} inputs, tick {} ns",
                shown.chip, shown.neurons, shown.inputs, shown.tick_ns
            ),
        ),
    ];
    for session in &shown.sessions {
        facts.push(("recorded", format!("from run {} on", session.first_run)));
        facts.extend(session.notes.iter().map(|(key, value)| ("", format!("{key}: {value}"))));
    }
    facts.extend([
        ("runs", format!("{} ({} with results), {} trials", shown.runs, shown.complete, shown.trials)),
        (
            "data",
            format!(
                "{} input events, {} spikes, {} samples",
                shown.inputs_given, shown.spikes, shown.samples
            ),
        ),
        (
            "size",
            format!(
                "{}: configurations {}, stimuli {}, results {}",
                megabytes(ending.offset),
                megabytes(records.bytes[0]),
                megabytes(records.bytes[1]),
                megabytes(records.bytes[2])
            ),
        ),
        (
            "time",
            format!(
                "encode {}, transfer {}, execute {}, decode {}",
                seconds(time.encode_ns),
                seconds(time.transfer_ns),
                seconds(time.execute_ns),
                seconds(time.decode_ns)
            ),
        ),
        (
            "losses",
            format!(
                "{} events dropped, {} trials stalled, {} samples saturated, {} damaged frames, {} retries",
                shown.dropped_events,
                shown.stalled,
                health.saturated_samples,
                health.damaged_frames,
                health.retries
            ),
        ),
    ]);
    if records.resumed > 0 {
        let again = records.submitted.saturating_sub(shown.runs as u64);
        facts.push((
            "resumed",
            format!("{} times, {again} runs were given to the chip again", records.resumed),
        ));
    }
    if records.lost > 0 {
        facts.push(("gaps", format!("{} records could not be written", records.lost)));
    }
    let names = std::iter::once("failures").chain(std::iter::repeat(""));
    let failures = shown.failures.iter().take(LISTED).map(|f| {
        let what = if f.refused { "refused" } else { "failed" };
        format!("run {}: {} {what}: {}", f.run, f.call, f.message)
    });
    facts.extend(names.zip(failures));
    if shown.failures.len() > LISTED {
        facts.push((
            "",
            format!("and {} more (all of them with --json)", shown.failures.len() - LISTED),
        ));
    }
    facts.push(("end", format!("{} records; {ending}", ending.records)));
    pairs(facts)
}

fn diff(args: &Diff, context: &Context) -> Result<ExitCode, CommandError> {
    let (mut left, mut right) = (open(&args.left)?, open(&args.right)?);
    let comparison = compare(&mut left, &mut right).map_err(failed)?;
    if context.json {
        output::json(&comparison)?;
    } else {
        output::text(&explain(&comparison))?;
    }
    // As `diff` does: 1 is an answer, what goes wrong has codes of its own.
    Ok(if comparison.same { ExitCode::Ok } else { ExitCode::Other })
}

fn explain(comparison: &Comparison) -> String {
    let Some(Found { run, trial_number, difference }) = &comparison.first else {
        return format!("the same: {} runs\n", comparison.agreeing);
    };
    let place = match (run, trial_number) {
        (None, _) => "they are of different chips".to_owned(),
        (Some(run), None) => format!("first difference in run {run}"),
        (Some(run), Some(number)) => {
            format!("first difference in run {run}, trial number {number}")
        }
    };
    let [a, b] = comparison.runs;
    pairs([
        ("differ", place),
        ("at", difference.place.to_string()),
        ("A", difference.left.to_string()),
        ("B", difference.right.to_string()),
        ("runs", format!("{a} in A, {b} in B, the first {} agree", comparison.agreeing)),
    ])
}

fn export(args: &Export, context: &Context) -> Result<ExitCode, CommandError> {
    let mut tape = open(&args.file)?;
    let exported =
        export::export(&mut tape, args.to, args.run, args.out.as_deref()).map_err(|error| {
            match error {
                ExportError::Recording(error) => failed(error),
                ExportError::Write { path, source } => {
                    anyhow::Error::from(RunFolderError::Io { action: "write", path, source }).into()
                }
                other => CommandError::Usage(other.to_string()),
            }
        })?;
    if context.json {
        output::json(&exported)?;
    } else {
        output::text(&written(&exported))?;
    }
    Ok(ExitCode::Ok)
}

fn written(exported: &Exported) -> String {
    let Exported { files, runs, trials, inputs, spikes, samples } = exported;
    let names = std::iter::once("written").chain(std::iter::repeat(""));
    let files = names.zip(files.iter().map(|file| file.display().to_string()));
    let what = format!(
        "{runs} runs, {trials} trials: {inputs} input events, {spikes} spikes, {samples} samples"
    );
    pairs(files.chain([("from", what)]))
}
