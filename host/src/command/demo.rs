//! `spikeloop demo`: the whole story, without hardware and in under a minute.
//!
//! A virtual board with a mismatched, uncalibrated chip is started behind a pseudo-terminal, which to the host
//! is a serial port. A network is trained in software, written to the chip (and fails), then fine-tuned with the
//! chip running every forward pass.

use super::train::{Observer, render};
use super::{CommandError, Context, output, table};
use crate::calibration_choice::Choice;
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::{Experiment, Observe};
use crate::run::{Ending, Outcome, Run};
use crate::run_folder::{RunFolder, file, timestamp};
use crate::run_report;
use crate::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::Selector;
use spikeloop_models::optim::Schedule;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Epochs in software, then in the loop: enough to tell the story, few enough for a minute on two cores.
const EPOCHS: (usize, usize) = (20, 30);

/// Decay of the learning rate in an epoch: fast, because there are few.
const EPOCH_DECAY: f64 = 0.9;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which chip the virtual board carries
    #[arg(long, value_name = "SELECTOR", default_value = "emu:preset=bss2-chip66-uncal,seed=1")]
    pub chip: Selector,
    /// Folder of the run [default: runs/TIME-demo]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Runs the demonstration and prints its table.
///
/// # Errors
/// A board that cannot be started, a folder that cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let name = format!("demo-{}", std::process::id());
    let board = VirtualBoard::start(&args.chip, &Place::Pty(Some(name)), threads)?;
    tracing::info!("virtual board {} behind {}", board.identity(), board.selector());
    let experiment = experiment(&args.chip, board.selector())?;
    let data = data::load(&experiment.task, None).map_err(anyhow::Error::from)?;
    let chip = super::train::open_chip(&experiment, None, &Choice::None)?;
    let folder = match &args.out {
        Some(out) => RunFolder::create(out),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            RunFolder::create(&Path::new("runs").join(format!("{}-demo", timestamp(now))))
        }
    }
    .map_err(anyhow::Error::from)?;
    let mut run = Run::start(&experiment, &data, chip, folder).map_err(anyhow::Error::from)?;
    let observer = Observer::new(context);
    let ending = run.learn(&observer).map_err(anyhow::Error::from)?;
    drop(observer);
    let Ending::Complete(outcome) = ending else { return Err(CommandError::Interrupted) };
    let folder = run.folder().clone();
    let mut report =
        run_report::of_run(&experiment, &data, &mut run.trainer, &outcome, "spikeloop demo")
            .map_err(anyhow::Error::from)?;
    report.mismatch = run_report::truth(&args.chip).map(|truth| run_report::mismatch(&truth));
    folder.write(file::REPORT, report.html().as_bytes()).map_err(anyhow::Error::from)?;
    if context.json {
        output::json(&outcome.summary)?;
    } else {
        output::text(&story(&outcome, &folder))?;
    }
    Ok(ExitCode::Ok)
}

fn experiment(chip: &Selector, board: &Selector) -> Result<Experiment, CommandError> {
    let mut experiment: Experiment =
        config::load("yinyang", &[]).map_err(|e| CommandError::Usage(e.to_string()))?;
    experiment.name = "demo".into();
    experiment.learning.warm_start_epochs = EPOCHS.0;
    experiment.learning.epochs = EPOCHS.1;
    experiment.learning.evaluate_every = 10;
    experiment.learning.schedule = Schedule::Exponential { factor: EPOCH_DECAY };
    // Membranes too: there is more to see.
    experiment.chip.observe = Observe::Hidden;
    experiment.chip.selector = Some(board.to_string());
    tracing::debug!("the board carries {chip}");
    Ok(experiment)
}

fn story(outcome: &Outcome, folder: &RunFolder) -> String {
    let summary = &outcome.summary;
    let mut text = String::new();
    if let Some(transfer) = &summary.transfer {
        let row =
            |what: &str, accuracy: f64| [what.to_owned(), format!("{:.1} %", 100.0 * accuracy)];
        let rows = [
            row("the model in software", transfer.software_accuracy),
            row("its weights on the chip (naive transfer)", transfer.chip_accuracy),
            row("fine-tuned with the chip in the loop", summary.test_accuracy),
        ];
        text.push_str(&table::table(["YIN-YANG", "TEST ACCURACY"], &rows, &[1]));
        text.push('\n');
    }
    text.push_str(&render(summary, Some(folder)));
    text
}
