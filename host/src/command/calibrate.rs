//! `spikeloop calibrate`: measure a chip, set it, and say how good every neuron is.

use super::calibration::render;
use super::{ChipArgs, CommandError, Context, RecordArgs, output};
use crate::cache;
use crate::calibrate::{self, Outcome, Request, Summary, Watch, out_of_range};
use crate::calibration_report;
use crate::exit_code::ExitCode;
use crate::log::Bar;
use crate::run_folder::{RunFolderError, file, timestamp};
use serde::Serialize;
use spikeloop_calibration::bench::Cost;
use spikeloop_calibration::plan::Stage;
use spikeloop_calibration::targets::{Target, TargetFile, symbol};
use spikeloop_hal::Capabilities;
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Arguments of `calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which chip.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Wanted values and options, a TOML file [default: the design values after power-up]
    #[arg(long, value_name = "FILE.toml")]
    pub target: Option<PathBuf>,
    /// Write the calibration to this file as well
    #[arg(long, value_name = "FILE.json")]
    pub out: Option<PathBuf>,
    /// Measure anew, whatever was found or begun before
    #[arg(long)]
    pub fresh: bool,
    /// Write a page with pictures: a file (*.html), or report.html in a folder
    #[arg(long, value_name = "DIR|FILE.html")]
    pub report: Option<PathBuf>,
    /// Recording.
    #[command(flatten)]
    pub record: RecordArgs,
    /// Threads [default: all cores]; the results are the same bits for every number
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Whether an earlier calibration was taken and nothing was measured.
    reused: bool,
    /// Stages of an interrupted calibration that were not repeated.
    resumed: Vec<Stage>,
    /// Duration in this process, in seconds.
    wall_s: f64,
    /// The page with pictures.
    report: Option<&'a Path>,
}

/// Calibrates a chip, or finds an earlier calibration of it.
///
/// # Errors
/// Targets that make no sense, a chip that cannot be opened or stops answering, files that cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    super::use_threads(args.threads)?;
    let targets = targets(args.target.as_deref())?;
    let selector = args.chip.selector()?;
    let chip = super::open_with(&selector, args.threads)?;
    // Speaks when everything else is dropped.
    let (chip, _recording) = args.record.chip(chip, &selector)?;
    let caps = chip.capabilities().clone();
    tracing::info!("chip {} at {selector}", caps.identity);
    let started = Instant::now();
    let cache = cache::calibrations();
    let request = Request { targets: &targets, cache: &cache, fresh: args.fresh, time: now() };
    let observer = Observer::new(context, &caps);
    let outcome = calibrate::calibrate(chip, &request, &observer).map_err(|error| {
        observer.say_what_is_kept(args);
        blame(error, args.target.as_deref())
    })?;
    drop(observer);
    let wall_s = started.elapsed().as_secs_f64();
    conclude(args, context, &outcome, wall_s)
}

fn conclude(
    args: &Args,
    context: &Context,
    outcome: &Outcome,
    wall_s: f64,
) -> Result<ExitCode, CommandError> {
    let calibration = &outcome.calibration;
    if let Some(path) = &args.out {
        calibration.save(path).map_err(anyhow::Error::from)?;
    }
    if outcome.reused {
        tracing::info!(
            "calibrated before, at {}, with the same targets, options, chip and firmware: nothing was measured (--fresh does)",
            calibration.provenance.time
        );
    }
    let file = args.out.clone().or_else(|| outcome.path.clone());
    let summary = Summary::new(calibration, file);
    let report = args.report.as_deref().map(report_path);
    if let Some(path) = &report {
        let page = calibration_report::page(calibration, outcome.raw.as_ref());
        write(path, &page)?;
    }
    if context.json {
        output::json(&Report {
            summary: &summary,
            reused: outcome.reused,
            resumed: outcome.resumed.clone(),
            wall_s,
            report: report.as_deref(),
        })?;
    } else {
        let mut text = render(&summary, (!outcome.reused).then_some(wall_s));
        if let Some(path) = &report {
            text.push_str(&super::table::pairs([("report", path.display().to_string())]));
        }
        output::text(&text)?;
    }
    if summary.calibrated == 0 {
        return Err(CommandError::NoNeuron(most_frequent_reason(&summary)));
    }
    if summary.file.is_none() {
        return Err(anyhow::anyhow!(
            "the calibration could not be kept: name a file with --out, or make {} writable",
            cache::calibrations().folder().display()
        )
        .into());
    }
    Ok(ExitCode::Ok)
}

/// What most of the failures have in common.
fn most_frequent_reason(summary: &Summary) -> String {
    let count = |reason: &str| summary.failures.iter().filter(|f| f.reason == reason).count();
    let reasons = summary.failures.iter().map(|f| f.reason);
    let most = reasons.max_by_key(|reason| count(reason)).unwrap_or("unknown");
    format!("{} of {}: {most}", count(most), summary.neurons)
}

/// The targets of a file, or none.
fn targets(path: Option<&Path>) -> Result<TargetFile, CommandError> {
    let Some(path) = path else { return Ok(TargetFile::default()) };
    let text = std::fs::read_to_string(path).map_err(|e| {
        CommandError::Usage(format!("cannot read the targets in {}: {e}", path.display()))
    })?;
    TargetFile::from_toml(&text).map_err(|e| blame(e, Some(path)))
}

/// An error with the file it comes from, where it is one of the targets.
fn blame(error: spikeloop_calibration::Error, target: Option<&Path>) -> CommandError {
    use spikeloop_calibration::Error;
    let of_targets = matches!(error, Error::TargetFile { .. } | Error::MissingParameter { .. });
    match (target, of_targets) {
        (Some(path), true) => CommandError::Usage(format!("{}: {error}", path.display())),
        _ if matches!(error, Error::Stopped { .. }) => CommandError::Interrupted,
        _ => anyhow::Error::from(error).into(),
    }
}

/// Where a report goes.
pub(super) fn report_path(given: &Path) -> PathBuf {
    let is_page = given.extension().is_some_and(|e| e.eq_ignore_ascii_case("html"));
    if is_page { given.to_owned() } else { given.join(file::REPORT) }
}

/// Writes a page and the folders above it.
pub(super) fn write(path: &Path, page: &str) -> Result<(), CommandError> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, page)).map_err(|source| {
        let failed = RunFolderError::Io { action: "write", path: path.to_owned(), source };
        anyhow::Error::from(failed).into()
    })
}

/// The present time as calibrations name it: `2026-11-22T09:30:00Z`.
pub(super) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let stamp = timestamp(seconds);
    let (date, clock) = stamp.split_at(10);
    format!("{date}{}Z", clock.replace('-', ":"))
}

/// Share of the time, in %, after which each stage begins (measured on an emulated chip of 512 neurons).
const BEGINS: [u64; Stage::ALL.len()] = [0, 1, 3, 45, 51, 52, 55, 56, 65];

/// What the bar shows; the meter of the bench holds it as well.
struct Shown {
    bar: Bar,
    stage: AtomicUsize,
}

impl Shown {
    fn update(&self, cost: Option<Cost>) {
        let stage = Stage::ALL[self.stage.load(Ordering::Relaxed)].label();
        let trips = cost.map_or(String::new(), |c| format!(", {} round trips", c.round_trips));
        self.bar.set_message(format!("{stage}{trips}"));
    }
}

/// Shows progress on standard error.
struct Observer<'a> {
    context: &'a Context,
    caps: &'a Capabilities,
    shown: Arc<Shown>,
    begun: Cell<(usize, Instant)>,
    kept: Cell<usize>,
}

impl<'a> Observer<'a> {
    fn new(context: &'a Context, caps: &'a Capabilities) -> Self {
        let bar = context.progress.bar("calibrate", 100);
        let shown = Arc::new(Shown { bar, stage: AtomicUsize::new(0) });
        Self { context, caps, shown, begun: Cell::new((0, Instant::now())), kept: Cell::new(0) }
    }

    /// After a failure: what the next call need not repeat.
    fn say_what_is_kept(&self, args: &Args) {
        let (kept, all) = (self.kept.get(), Stage::ALL.len());
        if kept > 0 {
            let fresh = if args.fresh { " without --fresh" } else { "" };
            tracing::warn!(
                "{kept} of {all} stages are finished and kept: the same command{fresh} goes on with the next"
            );
        }
    }
}

impl Watch for Observer<'_> {
    fn unreachable(&self, targets: &[Target]) {
        for target in targets {
            let unit = self.caps.parameter(target.parameter).map_or("", |spec| symbol(spec.unit));
            tracing::warn!("{}", out_of_range(target, unit));
        }
    }

    fn resumed(&self, finished: &[Stage]) {
        let last = finished.last().map_or("", |s| s.label());
        tracing::info!(
            "goes on after \"{last}\": {} of {} stages were finished before an interruption",
            finished.len(),
            Stage::ALL.len()
        );
        self.kept.set(finished.len());
    }

    fn stage(&self, stage: Stage) {
        let at = Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0);
        let (before, since) = self.begun.replace((at, Instant::now()));
        if at > before {
            let seconds = since.elapsed().as_secs_f64();
            tracing::debug!("{}: {seconds:.2} s", Stage::ALL[before].label());
            self.kept.set(at);
        }
        self.shown.bar.set_position(BEGINS[at]);
        self.shown.stage.store(at, Ordering::Relaxed);
        self.shown.update(None);
    }

    fn meter(&self) -> Option<Box<dyn FnMut(Cost) + Send>> {
        let shown = Arc::clone(&self.shown);
        Some(Box::new(move |cost| shown.update(Some(cost))))
    }

    fn trouble(&self, message: &str) {
        tracing::warn!("{message}");
    }

    fn interrupted(&self) -> bool {
        self.context.interrupt.requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_the_form_of_the_standard() {
        let time = now();
        assert_eq!(time.len(), 20, "{time}");
        let marks: Vec<char> = time.chars().filter(|c| !c.is_ascii_digit()).collect();
        assert_eq!(marks, ['-', '-', 'T', ':', ':', 'Z'], "{time}");
    }

    #[test]
    fn reports_go_to_a_file_or_into_a_folder() {
        assert_eq!(report_path(Path::new("a/b.html")), Path::new("a/b.html"));
        assert_eq!(report_path(Path::new("a/b")), Path::new("a/b/report.html"));
    }
}
