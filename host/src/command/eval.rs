//! `spikeloop eval`: what the weights of a run are worth on a chip.

use super::{CommandError, Context, RecordArgs, output, train};
use crate::cache;
use crate::calibration_choice::{CalibrationSummary, Choice, Device};
use crate::checkpoint::{self, SOFTWARE, Saved};
use crate::chip_loop::ChipLoop;
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::expect::Expectation;
use crate::experiment::{Backward, Experiment};
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
    /// Calibration of the chip: a file, `none`, or `latest` [default: that of the run]
    #[arg(long, value_name = "FILE|none|latest")]
    pub calibration: Option<Choice>,
    /// Evaluate the model, without a chip
    #[arg(long)]
    pub software: bool,
    /// Use the weights on a chip they were not trained on
    #[arg(long)]
    pub transfer: bool,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Recording.
    #[command(flatten)]
    pub record: RecordArgs,
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
    // Nothing goes back through the network here.
    experiment.chip.backward = Backward::Nominal;
    let saved = checkpoint::load(&folder).map_err(anyhow::Error::from)?;
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let mut trainer = Trainer::new(&experiment, &data).map_err(anyhow::Error::from)?;
    saved.restore(&mut trainer).map_err(anyhow::Error::from)?;
    let device = train::open_chip(&experiment, args.threads, &Choice::None)?;
    let (device, recording) = args.record.device(device, &experiment, false)?;
    let identity = |d: &Device| d.chip.capabilities().identity.to_string();
    let present = device.as_ref().map_or(SOFTWARE.to_owned(), identity);
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
    let mut calibration = None;
    if let Some(Device { selector, chip, .. }) = device {
        let own = saved.belongs_to(&present).is_ok() && folder.has(file::CALIBRATION);
        let choice = match (&args.calibration, own) {
            (Some(choice), _) => choice.clone(),
            (None, true) => Choice::File(folder.file(file::CALIBRATION)),
            (None, false) if present == saved.header.trained_on => Choice::None,
            (None, false) => Choice::Latest,
        };
        let chosen = choice
            .find(chip.capabilities(), &cache::calibrations())
            .map_err(anyhow::Error::from)?;
        calibration = chosen.as_ref().map(|c| c.summary(experiment.chip.codes, crate::run::now()));
        compare(&saved, calibration.as_ref());
        let identity = &chip.capabilities().identity;
        description = Some(ChipSummary {
            selector,
            identity: identity.to_string(),
            firmware: super::info::version(identity.firmware),
            protocol: chip.capabilities().protocol,
        });
        let chip = ChipLoop::calibrated(
            chip,
            &trainer.network,
            &experiment,
            experiment.chip.observe,
            chosen.as_ref().map(|c| &c.calibration),
        )
        .map_err(anyhow::Error::from)?;
        trainer.attach(chip);
    }
    let started = Instant::now();
    let evaluation = trainer.evaluate(&data.test, 0).map_err(anyhow::Error::from)?;
    let seconds = started.elapsed().as_secs_f64();
    let mut summary = summarise(&experiment, &evaluation);
    summary.chip = description;
    summary.calibration = calibration;
    summary.epochs = saved.header.position.epoch;
    summary.samples_per_s = data.test.len() as f64 / seconds.max(1e-9);
    if let Some(chip) = trainer.chip() {
        summary.count(&chip.counters());
        summary.health = Some(chip.health());
        summary.link = chip.link_use();
    }
    drop((trainer, recording));
    if context.json {
        output::json(&summary)?;
    } else {
        output::text(&train::render(&summary, None))?;
    }
    train::judge(&args.expect, &summary)?;
    Ok(ExitCode::Ok)
}

/// Says which calibration is used, and warns if it is not the one that the weights were trained with.
fn compare(saved: &Saved, present: Option<&CalibrationSummary>) {
    let name = |c: Option<&CalibrationSummary>| match c {
        Some(c) => format!("calibration of {}", c.line()),
        None => "no calibration: one code for all neurons".to_owned(),
    };
    tracing::info!("{}", name(present));
    if !saved.same_calibration(present) && saved.header.trained_on != SOFTWARE {
        tracing::warn!(
            "the weights were trained with another one ({}); expect worse results, and fine-tune",
            name(saved.header.calibration.as_ref())
        );
    }
}
