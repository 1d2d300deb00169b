//! `spikeloop eval`: what the weights of a run are worth on a chip.

use super::{CommandError, Context, output, train};
use crate::checkpoint::{self, SOFTWARE};
use crate::chip_loop::ChipLoop;
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::expect::Expectation;
use crate::experiment::Experiment;
use crate::run::summarise;
use crate::run_folder::{RunFolder, file};
use crate::summary::ChipSummary;
use crate::trainer::Trainer;
use spikeloop_hal::Selector;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run whose weights are used
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Chip to evaluate on, instead of the run's
    #[arg(long, value_name = "SELECTOR", env = "SPIKELOOP_CHIP", hide_env_values = true)]
    #[arg(conflicts_with = "software")]
    pub chip: Option<Selector>,
    /// Evaluate the model, without a chip
    #[arg(long)]
    pub software: bool,
    /// Use the weights on a chip they were not trained on
    #[arg(long)]
    pub transfer: bool,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Threads [default: all cores]; the results are the same bits for every number
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Fail with exit code 5 unless this holds, e.g. 'test_accuracy>=0.97' (repeatable)
    #[arg(long, value_name = "CONDITION")]
    pub expect: Vec<Expectation>,
}

/// Evaluates on the test set and prints the result; the run folder is not changed.
///
/// # Errors
/// No run, a chip that the weights do not belong to (unless `--transfer`), a missed expectation.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    super::use_threads(args.threads)?;
    let folder = RunFolder::open(&args.run).map_err(anyhow::Error::from)?;
    let kept = folder.file(file::CONFIG);
    let mut experiment: Experiment = config::load(&kept.to_string_lossy(), &[])
        .map_err(|e| CommandError::Usage(e.to_string()))?;
    if let Some(chip) = &args.chip {
        experiment.chip.selector = Some(chip.to_string());
    }
    if args.software {
        experiment.chip.selector = None;
    }
    let saved = checkpoint::load(&folder).map_err(anyhow::Error::from)?;
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let mut trainer = Trainer::new(&experiment, &data).map_err(anyhow::Error::from)?;
    saved.restore(&mut trainer).map_err(anyhow::Error::from)?;
    let chip = train::open_chip(&experiment, args.threads)?;
    let present =
        chip.as_ref().map_or(SOFTWARE.to_owned(), |(_, c)| c.capabilities().identity.to_string());
    if let Err(error) = saved.belongs_to(&present) {
        if !args.transfer {
            return Err(anyhow::Error::from(error).into());
        }
        tracing::warn!(
            "naive transfer: the weights were trained on {}, this is {present}; expect worse results",
            saved.header.trained_on
        );
    }
    let mut description = None;
    if let Some((selector, chip)) = chip {
        let identity = &chip.capabilities().identity;
        description = Some(ChipSummary {
            selector,
            identity: identity.to_string(),
            firmware: super::info::version(identity.firmware),
            protocol: chip.capabilities().protocol,
        });
        let chip = ChipLoop::new(chip, &trainer.network, &experiment, experiment.chip.observe)
            .map_err(anyhow::Error::from)?;
        trainer.attach(chip);
    }
    let started = Instant::now();
    let evaluation = trainer.evaluate(&data.test, 0).map_err(anyhow::Error::from)?;
    let seconds = started.elapsed().as_secs_f64();
    let mut summary = summarise(&experiment, &evaluation);
    summary.chip = description;
    summary.epochs = saved.header.position.epoch;
    summary.samples_per_s = data.test.len() as f64 / seconds.max(1e-9);
    if let Some(chip) = trainer.chip() {
        summary.count(&chip.counters());
        summary.health = Some(chip.health());
    }
    if context.json {
        output::json(&summary)?;
    } else {
        output::text(&train::render(&summary, None))?;
    }
    train::judge(&args.expect, &summary)?;
    Ok(ExitCode::Ok)
}
