//! `spikeloop study`: many trainings side by side.

mod gradients;
mod landscape;
mod surrogate;

use super::{CommandError, Context, output};
use crate::exit_code::ExitCode;
use crate::log::Bar;
use crate::report::{ReportData, Section};
use crate::run_folder::{RunFolder, file, timestamp};
use crate::run_report;
use crate::study::{StudyError, Watch};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `study`.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// Which study.
    #[command(subcommand)]
    pub which: Which,
}

/// Which study.
#[derive(Debug, clap::Subcommand)]
pub enum Which {
    /// Compare answers to the missing derivative of a spike, on the same samples
    Gradients(gradients::Args),
    /// Try shapes and steepnesses of the surrogate derivative
    Surrogate(surrogate::Args),
    /// Draw the loss around a trained network, with hard and with smooth spikes
    Landscape(landscape::Args),
}

/// What every study is given besides its own arguments.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// Folder of the study [default: runs/TIME-study-NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Threads [default: all cores]; results are the same for every number, but for seconds
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Runs a study and prints its table.
///
/// # Errors
/// A configuration, data set or folder that cannot be used; a training that fails.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.which {
        Which::Gradients(args) => gradients::run(args, context),
        Which::Surrogate(args) => surrogate::run(args, context),
        Which::Landscape(args) => landscape::run(args, context),
    }
}

impl From<StudyError> for CommandError {
    /// The cause itself, so that its class of exit codes is known.
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::Interrupted => Self::Interrupted,
            StudyError::Train(e) => anyhow::Error::from(e).into(),
            StudyError::Experiment(e) => anyhow::Error::from(e).into(),
            StudyError::Model(e) => anyhow::Error::from(e).into(),
            StudyError::Data(e) => anyhow::Error::from(e).into(),
        }
    }
}

/// A bar on standard error that also asks for interrupts.
struct Progress<'a> {
    bar: Bar,
    context: &'a Context,
}

impl<'a> Progress<'a> {
    fn new(context: &'a Context, label: &str, parts: u64) -> Self {
        Self { bar: context.progress.bar(label.to_owned(), parts), context }
    }
}

impl Watch for Progress<'_> {
    fn advance(&self, parts: u64) {
        self.bar.advance(parts);
    }

    fn stop(&self) -> bool {
        self.context.interrupt.requested()
    }
}

/// The folder of a study, new.
fn folder(common: &Common, name: &str) -> Result<RunFolder, CommandError> {
    let path = common.out.clone().unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Path::new("runs").join(format!("{}-study-{name}", timestamp(now)))
    });
    Ok(RunFolder::create(&path).map_err(anyhow::Error::from)?)
}

/// A page with its head.
fn page(title: &str, summary: String) -> ReportData {
    let mut page = ReportData::new(title);
    page.summary = summary;
    page.command = run_report::command_line();
    page.program = format!("spikeloop {}", env!("CARGO_PKG_VERSION"));
    page
}

/// What a study leaves: tables by file name, and its page.
struct Files<'a> {
    tables: &'a [(&'static str, String)],
    page: &'a ReportData,
    sections: &'a [Section],
}

/// Writes everything and prints the result.
fn conclude<T: Serialize>(
    context: &Context,
    folder: &RunFolder,
    result: &T,
    text: &str,
    files: &Files<'_>,
) -> Result<ExitCode, CommandError> {
    let write =
        |name: &str, text: &str| folder.write(name, text.as_bytes()).map_err(anyhow::Error::from);
    for (name, table) in files.tables {
        write(name, table)?;
    }
    write(file::REPORT, &files.page.document(files.sections))?;
    folder
        .write_json(file::SUMMARY, &output::Versioned::new(result))
        .map_err(anyhow::Error::from)?;
    if context.json {
        output::json(result)?;
        return Ok(ExitCode::Ok);
    }
    let mut text = format!("{text}\nreport  {}\n", folder.file(file::REPORT).display());
    for (name, _) in files.tables {
        text.push_str(&format!("table   {}\n", folder.file(name).display()));
    }
    output::text(&text)?;
    Ok(ExitCode::Ok)
}

/// A share as a percentage.
fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// Seeds 1 to `count`.
fn seeds(count: u64) -> Result<Vec<u64>, CommandError> {
    match count {
        0 => Err(CommandError::Usage("--seeds must be at least 1".into())),
        n => Ok((1..=n).collect()),
    }
}
