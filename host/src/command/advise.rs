//! `spikeloop advise`: which way onto a chip is worth its cost.

use super::table::{pairs, table};
use super::{ChipArgs, CommandError, Context, output, twin};
use crate::advise::{self, Advice, AdviseError, Forecast, Player, seconds};
use crate::calibration_choice::Choice;
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::Experiment;
use crate::robustness::StudyError;
use crate::twin::Measured;
use serde::Serialize;
use spikeloop_calibration::Codes;
use spikeloop_calibration::bench::Cost;
use std::path::PathBuf;

/// Arguments of `advise`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or the name of a shipped one (see `spikeloop experiments`)
    #[arg(value_name = "CONFIG")]
    pub config: String,
    /// Which chip.
    #[command(flatten)]
    pub chip: ChipArgs,
    /// Calibration of the chip: a file, or the newest of the chip in the cache [default: the newest, or a new one]
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<Choice>,
    /// Epochs that are played at most: more foretell better and take longer
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub epochs: usize,
    /// Play the paths on the chip itself as well, to see whether the advice is right
    #[arg(long)]
    pub check: bool,
    /// Override a value of the experiment, e.g. --set task.train=2000 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Threads [default: all cores]; the results are the same bits for every number
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    /// What measuring the chip cost now.
    spent: Cost,
}

/// Measures the chip, plays four ways on its twin, and recommends one.
///
/// # Errors
/// A configuration, data set, chip or calibration that cannot be used; a chip without converter.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    super::use_threads(args.threads)?;
    if args.epochs == 0 {
        return Err(CommandError::Usage("--epochs must be at least 1".into()));
    }
    let experiment: Experiment =
        config::load(&args.config, &args.set).map_err(|e| CommandError::Usage(e.to_string()))?;
    experiment.check().map_err(|e| CommandError::Usage(e.to_string()))?;
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let selector = args.chip.selector()?;
    let chip = super::open_with(&selector, args.threads)?;
    tracing::info!("chip {} at {selector}", chip.capabilities().identity);
    let (chip, calibration, spent) = twin::calibrated(chip, args.calibration.as_ref())?;
    tracing::info!("measuring synapses for a twin");
    let mut measured = Measured::new(chip, calibration).map_err(twin::failed)?;
    let mut cost = measured.cost;
    cost += spent.unwrap_or_default();
    let epochs = args.epochs.min(experiment.learning.epochs.max(1));
    tracing::info!("playing four ways on the twin, {epochs} epochs each");
    let stop = || context.interrupt.requested();
    let threads = args.threads.unwrap_or_else(rayon::current_num_threads);
    let player = Player::new(&experiment, &data, epochs, &stop).map_err(stopped)?;
    let mut advice = advise::advise(&measured, &player, &experiment, &data, threads, &stop)
        .map_err(|e| match e {
            AdviseError::Study(error) => stopped(error),
            AdviseError::Twin(error) => twin::failed(error),
        })?;
    if args.check {
        // A chip can be opened once at a time.
        let stand_in = measured.twin(Codes::Uniform).and_then(|twin| twin.open(1));
        measured.chip = stand_in.map_err(twin::failed)?;
        for forecast in advice.paths.iter_mut().filter(|f| f.accuracy.is_some()) {
            tracing::info!("on the chip itself: {}", forecast.path.label());
            let chip = super::open_with(&selector, args.threads)?;
            let played = player.play(forecast.path, chip, &measured.calibration, &stop);
            forecast.on_chip = Some(played.map_err(stopped)?);
        }
    }
    if context.json {
        output::json(&Report { advice: &advice, spent: cost })?;
    } else {
        output::text(&render(&advice, &cost))?;
    }
    Ok(ExitCode::Ok)
}

fn stopped(error: StudyError) -> CommandError {
    match error {
        StudyError::Interrupted => CommandError::Interrupted,
        error => anyhow::Error::from(error).into(),
    }
}

fn render(advice: &Advice, spent: &Cost) -> String {
    let rows: Vec<_> = advice.paths.iter().map(|f| row(f, advice)).collect();
    let head = ["", "PATH", "ACCURACY", "CHIP TIME", "TRIALS", "RUNS", "ON THE CHIP"];
    let mut text = table(head, &rows, &[2, 3, 4, 5, 6]);
    text.push('\n');
    let spread: Vec<String> = advice
        .spread
        .iter()
        .map(|s| format!("{} {:.1} to {:.1} %", s.name, 100.0 * s.before, 100.0 * s.after))
        .collect();
    let played = match advice.epochs_played < advice.epochs {
        true => format!(
            "{} of {} epochs, so that accuracies are lower than after all; costs are of all {}",
            advice.epochs_played, advice.epochs, advice.epochs
        ),
        false => format!("all {} epochs", advice.epochs),
    };
    let mut facts = vec![
        ("advice", advice.sentence.clone()),
        ("chip", advice.chip.clone()),
        (
            "software",
            format!(
                "{:.2} %, no chip; all paths begin with these weights",
                100.0 * advice.software
            ),
        ),
        ("played", format!("on the twin, on samples held out from learning: {played}")),
        ("spread", spread.join(", ")),
        (
            "spent",
            format!("{} round trips, {} on the chip", spent.round_trips, seconds(spent.chip_us)),
        ),
    ];
    for path in &advice.paths {
        if let Some(trouble) = &path.trouble {
            facts.push(("impossible", format!("{}: {trouble}", path.path.label())));
        }
    }
    text + &pairs(facts)
}

fn row(forecast: &Forecast, advice: &Advice) -> [String; 7] {
    let percent = |a: Option<f64>| a.map_or("-".into(), |a| format!("{:.2} %", 100.0 * a));
    let mark = if advice.recommended == Some(forecast.path) { "*" } else { "" };
    [
        mark.to_owned(),
        forecast.path.label().to_owned(),
        percent(forecast.accuracy),
        seconds(forecast.cost.chip_us),
        forecast.cost.trials.to_string(),
        forecast.cost.runs.to_string(),
        percent(forecast.on_chip),
    ]
}
