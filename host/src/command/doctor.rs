//! `spikeloop doctor`: what may be wrong, and what to do about it.

use super::table::table;
use super::{ChipArgs, CommandError, Context, output};
use crate::doctor::{Examination, Finding, Places, State, bundle, chip, computer, ports};
use crate::exit_code::ExitCode;
use anyhow::Context as _;
use spikeloop_hal::registry::Registry;
use spikeloop_hal::selector::Address;
use spikeloop_hal::{OpenOptions, Selector, list};
use std::path::{Path, PathBuf};

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ends with 0 if all is well, with 1 if something was found.

Examples:
  spikeloop doctor                                   this computer and its ports
  spikeloop doctor --chip serial:/dev/ttyUSB0        and the board there
  spikeloop doctor --report bug.zip --include runs/7 everything a bug report needs, in one file")]
pub struct Args {
    /// The chip to be tried out; needs no name if only one device is there.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Write everything that a bug report needs to a zip file: findings, versions, capabilities, ports,
    /// the settings of this program
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Add a run folder (without its weights) or the file of a log to the report
    #[arg(long, value_name = "PATH", requires = "report")]
    pub include: Vec<PathBuf>,
}

/// Looks at everything and says what it found.
///
/// # Errors
/// If standard output or the report cannot be written. What is found is no error.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let examination = examine(args, &Places::default());
    let text = render(&examination);
    if let Some(path) = &args.report {
        pack(path, args, &examination, &text)?;
    }
    if context.json {
        output::json(&examination)?;
    } else {
        output::text(&text)?;
    }
    Ok(if examination.healthy { ExitCode::Ok } else { ExitCode::Other })
}

fn examine(args: &Args, places: &Places) -> Examination {
    let selector = args.chip.selector();
    let named = match &selector {
        Ok(Selector::Link(Address::Serial { path, .. })) => Some(Path::new(path)),
        _ => None,
    };
    let mut findings = ports::examine(places, named);
    findings.push(match Registry::user() {
        Ok(registry) => computer::registry(&registry),
        Err(error) => Finding::bad(
            State::Problem,
            "virtual boards",
            "the list of running boards",
            error.to_string(),
            "set XDG_RUNTIME_DIR to a folder that only you can write to",
        ),
    });
    let cache = crate::cache::calibrations();
    findings.extend(computer::cache(cache.folder(), computer::ENOUGH_BYTES));
    findings.push(computer::cores());
    let answer = match selector {
        // It answers what was recorded and nothing else.
        Ok(Selector::Replay(path)) => {
            let found = format!("{} is a recording: there is nothing to try out", path.display());
            findings.push(Finding::good("chip", "none tried out", found));
            None
        }
        Ok(selector) => {
            let (found, answer) = chip::examine(&selector, places, &OpenOptions::default(), &cache);
            findings.extend(found);
            answer
        }
        Err(error) => {
            findings.push(not_asked(&error));
            None
        }
    };
    Examination::new(findings, answer)
}

/// No chip was named: that is no fault.
fn not_asked(error: &CommandError) -> Finding {
    let found = match error {
        CommandError::Ambiguous { candidates } => format!(
            "{} devices are there; name one with --chip to have it tried out, e.g. --chip {}",
            candidates.len(),
            candidates.first().map_or("", String::as_str)
        ),
        _ => "none is connected; name one with --chip to have it tried out".to_owned(),
    };
    Finding::good("chip", "none tried out", found)
}

fn pack(
    path: &Path,
    args: &Args,
    examination: &Examination,
    text: &str,
) -> Result<(), CommandError> {
    let devices = Registry::user().map(|registry| list::devices(&registry)).unwrap_or_default();
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let home = std::env::var("HOME").ok();
    let contents = bundle::Contents {
        examination,
        text: &anstream::adapter::strip_str(text).to_string(),
        devices: &devices,
        environment: &environment,
        home: home.as_deref(),
        more: &args.include,
    };
    let files = bundle::write(path, &contents)
        .with_context(|| format!("cannot write the report {}", path.display()))?;
    tracing::info!(
        "{} holds {}: look through it before you send it",
        path.display(),
        files.join(", ")
    );
    Ok(())
}

fn render(examination: &Examination) -> String {
    let rows: Vec<_> = examination
        .findings
        .iter()
        .map(|finding| {
            let Finding { check, subject, state, found, .. } = finding;
            [state.name().to_owned(), (*check).to_owned(), subject.clone(), found.clone()]
        })
        .collect();
    let mut text = table(["STATE", "CHECK", "OF", "FOUND"], &rows, &[]);
    let bold = anstyle::Style::new().bold();
    for (number, finding) in examination.complaints().enumerate() {
        let remedy = finding.remedy.as_deref().unwrap_or_default();
        text += &format!(
            "\n{bold}{}. {} of {}:{bold:#} {}\n   {remedy}\n",
            number + 1,
            finding.check,
            finding.subject,
            finding.found
        );
    }
    if examination.healthy {
        text += "\nNothing is wrong.\n";
    }
    text
}
