//! `spikeloop train` with a method that brings its own task and network: see [`crate::lesson`].

use super::train::{self, Args};
use super::{CommandError, Context, output};
use crate::cache;
use crate::calibration_choice::{Choice, Device};
use crate::command::info;
use crate::exit_code::ExitCode;
use crate::lesson::run::{Heading, LessonEnding, LessonRun, LessonSummary, Observer};
use crate::lesson::superspike::Learn;
use crate::lesson::{Figures, LessonError, Method, Surroundings, Watch, report};
use crate::log::Bar;
use crate::run_folder::{RunFolder, file};
use crate::run_report;
use crate::summary::ChipSummary;
use spikeloop_hal::Selector;
use std::time::{Duration, Instant};

/// A line for an epoch at most this often: a trial may take a millisecond.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Learns, and prints what came out.
///
/// # Errors
/// A configuration, data set, chip or folder that cannot be used; a missed expectation.
pub(super) fn run(
    args: &Args,
    context: &Context,
    method: &'static Method,
    table: toml::Table,
) -> Result<ExitCode, CommandError> {
    refuse(args, method)?;
    super::use_threads(args.threads)?;
    let (mut sections, name, seed) = split(table)?;
    if let Some(learn) = args.learn.filter(|_| method.learns_on_chip()) {
        put_learn(&mut sections, learn);
    }
    let chip = take_chip(args, method, &mut sections)?;
    let device = chip.as_ref().map(|selector| open_chip(args, selector)).transpose()?;
    let summary = device.as_ref().map(describe);
    let surroundings = Surroundings { seed, data: args.data.as_deref(), chip: device };
    let lesson = (method.open)(sections, surroundings).map_err(failed)?;
    let config = resolved(lesson.config(), &name, seed, method, chip.as_ref());
    let heading = Heading {
        name,
        method: method.name,
        seed,
        chip: summary,
        config,
        command: run_report::command_line(),
    };
    let folder = train::folder(args, &heading.name)?;
    let mut run = match args.resume {
        true => {
            same(&folder, &heading)?;
            LessonRun::resume(heading, lesson, folder)
        }
        false => LessonRun::start(heading, lesson, folder),
    }
    .map_err(failed)?;
    tracing::info!("run folder: {}", run.folder().path().display());
    let ending = run.learn(&Progress::new(context)).map_err(failed)?;
    match ending {
        LessonEnding::Interrupted(epochs) => {
            let path = run.folder().path().display();
            match run.can_go_on() {
                true => tracing::warn!(
                    "interrupted after {epochs}; what was saved last goes on with: spikeloop train --resume --out {path}"
                ),
                false => tracing::warn!(
                    "interrupted after {epochs}; what the device has learned stays in the device: this run cannot go on"
                ),
            }
            Err(CommandError::Interrupted)
        }
        LessonEnding::Complete(summary) => {
            match context.json {
                true => output::json(&summary)?,
                false => output::text(&render(&summary, run.folder()))?,
            }
            train::judge(&args.expect, &summary)?;
            Ok(ExitCode::Ok)
        }
    }
}

/// A wrong key is a usage error; everything else keeps its class.
fn failed(error: LessonError) -> CommandError {
    match error {
        LessonError::Config(_)
        | LessonError::Value { .. }
        | LessonError::NoChip { .. }
        | LessonError::Unfit { .. } => CommandError::Usage(error.to_string()),
        LessonError::Interrupted => CommandError::Interrupted,
        other => CommandError::Other(other.into()),
    }
}

/// Refuses arguments that only experiments know.
fn refuse(args: &Args, method: &Method) -> Result<(), CommandError> {
    let given = [
        ("--pretrain", args.pretrain.is_some()),
        ("--backward", args.backward.is_some()),
        ("--record", args.record.record.is_some()),
    ];
    if args.learn == Some(Learn::OnChip) && !method.learns_on_chip() {
        return Err(CommandError::Usage(Method::nowhere_to_learn(method.name)));
    }
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => Err(CommandError::Usage(format!(
            "{name} is for experiments with learning.method = \"bptt\", this one has \"{}\": leave it out",
            method.name
        ))),
    }
}

/// Takes what every experiment has out of the table: name and seed.
fn split(mut table: toml::Table) -> Result<(toml::Table, String, u64), CommandError> {
    let usage = |text: &str| CommandError::Usage(text.to_owned());
    let name = match table.remove("name") {
        Some(toml::Value::String(name)) if !name.is_empty() => name,
        _ => return Err(usage("name: the experiment needs one, a string")),
    };
    let seed = match table.remove("seed") {
        None => 1,
        Some(toml::Value::Integer(seed)) if seed >= 0 => seed as u64,
        Some(_) => return Err(usage("seed: it must be a whole number, at least 0")),
    };
    if let Some(learning) = table.get_mut("learning").and_then(toml::Value::as_table_mut) {
        learning.remove("method");
    }
    Ok((table, name, seed))
}

/// The place on the command line comes before the one in the file.
fn put_learn(table: &mut toml::Table, learn: Learn) {
    let section = table.entry("learning").or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        let place = match learn {
            Learn::Host => "host",
            Learn::OnChip => "on-chip",
        };
        section.insert("learn".into(), place.into());
    }
}

/// Takes the selector out of the table; the command line comes first.
fn take_chip(
    args: &Args,
    method: &Method,
    table: &mut toml::Table,
) -> Result<Option<Selector>, CommandError> {
    let section = table.get_mut("chip").and_then(toml::Value::as_table_mut);
    let kept = section.and_then(|section| section.remove("selector"));
    if args.software {
        return Ok(None);
    }
    let given = match (&args.chip, kept) {
        (Some(selector), _) => Some(selector.clone()),
        (None, Some(kept)) => {
            let text = kept.as_str().unwrap_or_default();
            let wrong = |e| CommandError::Usage(format!("chip.selector: {e}"));
            Some(text.parse().map_err(wrong)?)
        }
        (None, None) => None,
    };
    match given {
        Some(_) if !method.chip => Err(failed(LessonError::NoChip {
            method: method.name,
            why: "its forward pass cannot be measured there",
        })),
        given => Ok(given),
    }
}

fn open_chip(args: &Args, selector: &Selector) -> Result<Device, CommandError> {
    let chip = super::open_with(selector, args.threads)?;
    tracing::info!("chip {} at {selector}", chip.capabilities().identity);
    let choice = args.calibration.clone().unwrap_or(Choice::Latest);
    let calibration =
        choice.find(chip.capabilities(), &cache::calibrations()).map_err(anyhow::Error::from)?;
    if let Some(chosen) = &calibration {
        tracing::info!("calibration of {}", chosen.calibration.provenance.time);
    }
    Ok(Device { selector: selector.to_string(), chip, calibration })
}

fn describe(device: &Device) -> ChipSummary {
    let caps = device.chip.capabilities();
    ChipSummary {
        selector: device.selector.clone(),
        identity: caps.identity.to_string(),
        firmware: info::version(caps.identity.firmware),
        protocol: caps.protocol,
    }
}

/// The experiment file with everything filled in.
fn resolved(
    mut table: toml::Table,
    name: &str,
    seed: u64,
    method: &Method,
    chip: Option<&Selector>,
) -> String {
    table.insert("name".into(), name.into());
    table.insert("seed".into(), (seed as i64).into());
    let mut put = |section: &str, key: &str, value: String| {
        let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
        if let Some(section) = section.as_table_mut() {
            section.insert(key.into(), value.into());
        }
    };
    put("learning", "method", method.name.to_owned());
    if let Some(selector) = chip {
        put("chip", "selector", selector.to_string());
    }
    // A table of plain values: its encoding cannot fail.
    toml::to_string(&table).unwrap_or_default()
}

/// A run goes on with the experiment it was started with; only its length and its chip's address may change.
fn same(folder: &RunFolder, heading: &Heading) -> Result<(), CommandError> {
    let kept = folder.read(file::CONFIG).map_err(anyhow::Error::from)?;
    let strip = |text: &str| {
        let mut table: toml::Table = text.parse().unwrap_or_default();
        for (section, key) in [("learning", "epochs"), ("chip", "selector")] {
            if let Some(section) = table.get_mut(section).and_then(toml::Value::as_table_mut) {
                section.remove(key);
            }
        }
        table
    };
    if strip(&String::from_utf8_lossy(&kept)) == strip(&heading.config) {
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "{} was started with another experiment: continue it without CONFIG and --set, or start a new run",
        folder.path().display()
    )))
}

/// The summary as a person reads it.
fn render(summary: &LessonSummary, folder: &RunFolder) -> String {
    let labels: Vec<String> = summary.figures.keys().map(|name| report::label(name)).collect();
    let mut rows = vec![
        ("method", format!("{}, seed {}", summary.method, summary.seed)),
        (
            "chip",
            summary
                .chip
                .as_ref()
                .map_or("none (software)".into(), |c| format!("{}  {}", c.identity, c.selector)),
        ),
        ("learned", format!("{} {}s in {:.1} s", summary.epochs, summary.unit, summary.seconds)),
    ];
    for (label, (name, value)) in labels.iter().zip(&summary.figures) {
        rows.push((label, report::shown(name, value.as_f64().unwrap_or(f64::NAN))));
    }
    rows.push(("report", folder.file(file::REPORT).display().to_string()));
    super::table::pairs(rows)
}

/// Shows progress on standard error.
struct Progress<'a> {
    context: &'a Context,
    bar: Bar,
    said: std::cell::Cell<Option<Instant>>,
}

impl<'a> Progress<'a> {
    fn new(context: &'a Context) -> Self {
        Self { context, bar: context.progress.bar("", 0), said: std::cell::Cell::new(None) }
    }
}

impl Watch for Progress<'_> {
    fn part(&self, done: usize, of: usize) -> bool {
        if done == 0 {
            self.bar.restart("", of as u64);
        }
        self.bar.set_position(done as u64);
        !self.context.interrupt.requested()
    }
}

impl Observer for Progress<'_> {
    fn epoch(&self, unit: &str, epoch: usize, epochs: usize, figures: &Figures, seconds: f64) {
        let due = self.said.get().is_none_or(|said| said.elapsed() >= LINE_INTERVAL);
        if !due && epoch < epochs {
            return;
        }
        self.said.set(Some(Instant::now()));
        let mut line = format!("{unit} {epoch}/{epochs}:");
        for (name, value) in figures {
            line += &format!("  {} {}", report::label(name), report::shown(name, *value));
        }
        tracing::info!("{line}  {seconds:.1} s");
    }

    fn interrupted(&self) -> bool {
        self.context.interrupt.requested()
    }
}
