//! `spikeloop twin`: an emulated chip that behaves as a real one does.

use super::table::{pairs, table};
use super::{ChipArgs, CommandError, Context, output};
use crate::cache;
use crate::calibration_choice::Choice;
use crate::checkpoint;
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::Experiment;
use crate::run_folder::{RunFolder, file};
use crate::trainer::Trainer;
use crate::twin::{self, Forecast, Measured, Pair, Twin, TwinError};
use serde::Serialize;
use spikeloop_calibration::bench::Cost;
use spikeloop_calibration::twin::probe::Agreement;
use spikeloop_calibration::{Calibration, Codes};
use spikeloop_hal::{Capabilities, Chip};
use std::path::{Path, PathBuf};

/// Arguments of `twin`.
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
    /// Make a twin of a chip: measure what the calibration has not, write a chip file for the emulator
    Fit(Fit),
    /// Compare what the weights of runs are worth on a chip and on its twin
    Compare(Compare),
}

/// Arguments of `twin fit`.
#[derive(Debug, clap::Args)]
pub struct Fit {
    /// Which chip.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Calibration of the chip: a file, or the newest of the chip in the cache [default: the newest, or a new one]
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<Choice>,
    /// Describe the chip with one code for all neurons instead of the calibrated ones
    #[arg(long)]
    pub uncalibrated: bool,
    /// File of the twin; its calibration is written beside it
    #[arg(long, value_name = "FILE", default_value = "twin.toml")]
    pub out: PathBuf,
    /// Threads [default: all cores]; the results are the same bits for every number
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Arguments of `twin compare`.
#[derive(Debug, clap::Args)]
pub struct Compare {
    /// Folders of runs whose weights are compared
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Which chip.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// The twin
    #[arg(long, value_name = "FILE")]
    pub twin: PathBuf,
    /// Compare with one code for all neurons, as `twin fit --uncalibrated` describes the chip
    #[arg(long)]
    pub uncalibrated: bool,
    /// Calibration of the chip: a file, or the newest of the chip in the cache [default: the newest]
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<Choice>,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Threads [default: all cores]; the results are the same bits for every number
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// What `twin fit --json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    chip: String,
    twin: String,
    file: &'a Path,
    calibration: Option<&'a Path>,
    /// Whether a calibration had to be made first; its cost is then in `cost`.
    calibrated_now: bool,
    check: Agreement,
    cost: Cost,
}

/// Does what the verb says.
///
/// # Errors
/// A chip that cannot be opened or has no converter, files that cannot be used, a calibration or twin of another chip.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    match &args.verb {
        Verb::Fit(args) => fit(args, context),
        Verb::Compare(args) => compare(args, context),
    }
}

pub(super) fn failed(error: TwinError) -> CommandError {
    anyhow::Error::from(error).into()
}

/// The calibration for a twin of `chip`, made now if there is none, saying so.
pub(super) fn calibrated(
    chip: Box<dyn Chip>,
    choice: Option<&Choice>,
) -> Result<crate::twin::Calibrated, CommandError> {
    let cache = cache::calibrations();
    let choice = choice.cloned().unwrap_or_default();
    if choice == Choice::None {
        let why = "a calibration is needed: leave --calibration out, or name a file";
        return Err(CommandError::Usage(why.into()));
    }
    let caps = chip.capabilities();
    let found = choice.find(caps, &cache).map_err(anyhow::Error::from)?;
    match &found {
        Some(chosen) => tracing::info!("calibration {}", chosen.path.display()),
        None if caps.adc.is_some() => {
            tracing::info!("no calibration of {} yet: making one", caps.identity);
        }
        None => {}
    }
    let known = found.map(|chosen| chosen.calibration);
    twin::calibrated(chip, known, &cache, super::calibrate::now()).map_err(failed)
}

fn fit(args: &Fit, context: &Context) -> Result<ExitCode, CommandError> {
    super::use_threads(args.threads)?;
    let selector = args.chip.selector()?;
    let chip = super::open_with(&selector, args.threads)?;
    tracing::info!("chip {} at {selector}", chip.capabilities().identity);
    let (chip, calibration, spent) = calibrated(chip, args.calibration.as_ref())?;
    let codes = if args.uncalibrated { Codes::Uniform } else { Codes::Calibrated };
    tracing::info!("measuring synapses");
    let measured = Measured::new(chip, calibration).map_err(failed)?;
    let made = measured.twin(codes).map_err(failed)?;
    let beside = made.save(&args.out, &cache::calibrations()).map_err(failed)?;
    let mut cost = measured.cost;
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    let (_, check, of_check) =
        twin::check(measured.chip, &measured.calibration, &made, threads).map_err(failed)?;
    cost += of_check;
    cost += spent.unwrap_or_default();
    let report = Report {
        chip: measured.caps.identity.to_string(),
        twin: made.calibration.provenance.chip.clone(),
        file: &args.out,
        calibration: beside.as_deref(),
        calibrated_now: spent.is_some(),
        check,
        cost,
    };
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&render(&report, &selector.to_string()))?;
    }
    Ok(ExitCode::Ok)
}

fn render(report: &Report<'_>, selector: &str) -> String {
    let (check, cost) = (&report.check, &report.cost);
    let with = if report.calibrated_now { ", calibration included" } else { "" };
    let file = report.file.display();
    let mut facts = vec![
        ("chip", format!("{} at {selector}", report.chip)),
        ("twin", format!("{} in {file}", report.twin)),
        (
            "calibration",
            report
                .calibration
                .map_or("none: one code for all neurons".into(), |p| p.display().to_string()),
        ),
        (
            "membranes",
            format!(
                "correlation {:.4}, difference {:.2} of {:.1} LSB (rms)",
                check.membrane_correlation, check.membrane_rms_lsb, check.membrane_swing_lsb
            ),
        ),
        (
            "spike counts",
            format!(
                "correlation {:.4}, difference {:.2} (rms), {:.2} a trial on the chip, {:.2} on the twin",
                check.count_correlation, check.count_rms, check.count_chip, check.count_twin
            ),
        ),
        (
            "cost",
            format!(
                "{} round trips, {} trials, {:.2} s on the chip{with}",
                cost.round_trips,
                cost.trials,
                cost.chip_us * 1e-6
            ),
        ),
        ("use it", format!("spikeloop train CONFIG --chip emu:chip={file}")),
    ];
    if report.calibration.is_some() {
        let line =
            format!("spikeloop train CONFIG --chip {selector} --pretrain twin --twin {file}");
        facts.push(("", line));
    }
    pairs(facts)
}

fn compare(args: &Compare, context: &Context) -> Result<ExitCode, CommandError> {
    super::use_threads(args.threads)?;
    let selector = args.chip.selector()?;
    let open = || super::open_with(&selector, args.threads);
    let chip = open()?;
    let caps = chip.capabilities().clone();
    drop(chip);
    let choice = args.calibration.clone().unwrap_or_default();
    let known = choice.find(&caps, &cache::calibrations()).map_err(anyhow::Error::from)?;
    let Some(chosen) = known else {
        return Err(super::calibration::not_calibrated(&caps.identity.to_string()));
    };
    let codes = if args.uncalibrated { Codes::Uniform } else { Codes::Calibrated };
    let twin = Twin::load(&args.twin, &caps, &chosen.calibration, codes).map_err(failed)?;
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    let mut found = Vec::new();
    for run in &args.runs {
        let known = |calibration| (!args.uncalibrated).then_some(calibration);
        let own = (open()?, known(&chosen.calibration));
        let played = (twin.open(threads).map_err(failed)?, known(&twin.calibration));
        let (chip, twin) = accuracies(run, args.data.as_deref(), [own, played])?;
        found.push(Pair { name: run.display().to_string(), chip, twin });
        if context.interrupt.requested() {
            return Err(CommandError::Interrupted);
        }
    }
    let forecast = Forecast::new(found);
    if context.json {
        output::json(&forecast)?;
    } else {
        output::text(&render_forecast(&forecast, &caps))?;
    }
    Ok(ExitCode::Ok)
}

/// Accuracy of a run's weights on two chips.
fn accuracies(
    run: &Path,
    data_dir: Option<&Path>,
    [a, b]: [(Box<dyn Chip>, Option<&Calibration>); 2],
) -> Result<(f64, f64), CommandError> {
    let folder = RunFolder::open(run).map_err(anyhow::Error::from)?;
    let experiment: Experiment = config::load(&folder.file(file::CONFIG).to_string_lossy(), &[])
        .map_err(|e| CommandError::Usage(e.to_string()))?;
    let saved = checkpoint::load(&folder).map_err(anyhow::Error::from)?;
    let data = data::load(&experiment.task, data_dir).map_err(anyhow::Error::from)?;
    let mut trainer = Trainer::new(&experiment, &data).map_err(anyhow::Error::from)?;
    saved.restore(&mut trainer).map_err(anyhow::Error::from)?;
    let network = &trainer.network;
    let on = |(chip, calibration)| {
        twin::accuracy(&experiment, &data, network, chip, calibration).map_err(anyhow::Error::from)
    };
    Ok((on(a)?, on(b)?))
}

fn render_forecast(forecast: &Forecast, caps: &Capabilities) -> String {
    let percent = |a: f64| format!("{:.2}", 100.0 * a);
    let rows: Vec<_> = forecast
        .pairs
        .iter()
        .map(|p| {
            let off = format!("{:+.2}", 100.0 * (p.twin - p.chip));
            [p.name.clone(), percent(p.chip), percent(p.twin), off]
        })
        .collect();
    let mut text = table(["RUN", "CHIP %", "TWIN %", "OFF"], &rows, &[1, 2, 3]);
    text.push('\n');
    let rank = forecast.rank_correlation.map_or("-".into(), |r| format!("{r:.3}"));
    let mean = format!(
        "{:.2} points, {:+.2} in the mean",
        100.0 * forecast.mean_error,
        100.0 * forecast.bias
    );
    text + &pairs([
        ("chip", caps.identity.to_string()),
        ("difference", mean),
        ("rank correlation", rank),
    ])
}
