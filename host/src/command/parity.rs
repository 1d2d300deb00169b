//! `spikeloop parity`: why a chip does not do what the model says.

use super::{CommandError, Context, RecordArgs, output, train};
use crate::cache;
use crate::calibration_choice::{Choice, Device};
use crate::checkpoint;
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::{Backward, Experiment};
use crate::parity::Subject;
use crate::parity_report::{self, Head};
use crate::run_folder::{RunFolder, RunFolderError, file};
use crate::run_report::command_line;
use crate::trainer::Trainer;
use serde::Serialize;
use spikeloop_calibration::measure::Effort;
use spikeloop_calibration::parity::Parity;
use spikeloop_hal::Selector;
use std::path::{Path, PathBuf};

/// Arguments of `parity`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the run whose network is examined
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Chip to examine, instead of the run's
    #[arg(long, value_name = "SELECTOR", env = "SPIKELOOP_CHIP", hide_env_values = true)]
    pub chip: Option<Selector>,
    /// Calibration of the chip: a file, `none`, or `latest` [default: that of the run]
    #[arg(long, value_name = "FILE|none|latest")]
    pub calibration: Option<Choice>,
    /// Test samples in the batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=4096))]
    pub samples: u32,
    /// Factor on the repetitions of every measurement
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub effort: f64,
    /// Write a page with pictures
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
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
    chip: &'a str,
    #[serde(flatten)]
    parity: &'a Parity,
    advice: Option<&'static str>,
    /// The page with pictures.
    report: Option<&'a Path>,
}

/// Examines a network on a chip; neither the run folder nor the chip's calibration is changed.
///
/// # Errors
/// No run, no chip, a network that does not fit, failures of the chip, a page that cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    super::use_threads(args.threads)?;
    if !(args.effort > 0.0 && args.effort <= 1000.0) {
        return Err(CommandError::Usage("--effort must be above 0 and at most 1000".into()));
    }
    let folder = RunFolder::open(&args.run).map_err(anyhow::Error::from)?;
    let kept = folder.file(file::CONFIG);
    let mut experiment: Experiment = config::load(&kept.to_string_lossy(), &[])
        .map_err(|e| CommandError::Usage(e.to_string()))?;
    if let Some(chip) = &args.chip {
        experiment.chip.selector = Some(chip.to_string());
    }
    let saved = checkpoint::load(&folder).map_err(anyhow::Error::from)?;
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let mut trainer = Trainer::new(&experiment, &data).map_err(anyhow::Error::from)?;
    saved.restore(&mut trainer).map_err(anyhow::Error::from)?;
    let network = trainer.network;
    // Nothing goes back through the network here.
    experiment.chip.backward = Backward::Nominal;
    let device = train::open_chip(&experiment, args.threads, &Choice::None)?;
    // Speaks when everything else is dropped.
    let (device, _recording) = args.record.device(device, &experiment, false)?;
    let Some(Device { chip, .. }) = device else {
        return Err(CommandError::Usage("the run has no chip: name one with --chip".into()));
    };
    let identity = chip.capabilities().identity.to_string();
    let own = saved.belongs_to(&identity).is_ok();
    if !own {
        tracing::info!(
            "the weights were trained on {}, this is {identity}",
            saved.header.trained_on
        );
    }
    let choice = match &args.calibration {
        Some(choice) => choice.clone(),
        None if own && folder.has(file::CALIBRATION) => {
            Choice::File(folder.file(file::CALIBRATION))
        }
        None if own => Choice::None,
        None => Choice::Latest,
    };
    let chosen =
        choice.find(chip.capabilities(), &cache::calibrations()).map_err(anyhow::Error::from)?;
    let calibration = chosen.as_ref().map_or_else(
        || "none: measured at the codes the network runs with".to_owned(),
        |c| c.summary(experiment.chip.codes, crate::run::now()).line(),
    );
    tracing::info!("calibration: {calibration}");
    let subject = Subject {
        network: &network,
        experiment: &experiment,
        split: &data.test,
        samples: args.samples as usize,
        calibration: chosen.as_ref().map(|c| &c.calibration),
        effort: Effort { repeats: args.effort },
    };
    let (parity, pictures, _) = subject.examine(chip).map_err(anyhow::Error::from)?;
    if let Some(path) = &args.report {
        let head = Head {
            name: experiment.name.clone(),
            chip: identity.clone(),
            calibration,
            command: command_line(),
            dt_ns: (experiment.network.dt_us * 1000.0).round() as u32,
        };
        let page = parity_report::page(&parity, &pictures, &head);
        std::fs::write(path, page).map_err(|source| {
            let (action, path) = ("write", path.clone());
            anyhow::Error::from(RunFolderError::Io { action, path, source })
        })?;
    }
    if context.json {
        let advice = parity.verdict.first.map(|cause| cause.advice());
        let report = args.report.as_deref();
        output::json(&Report { chip: &identity, parity: &parity, advice, report })?;
    } else {
        output::text(&parity_report::render(&parity))?;
    }
    Ok(ExitCode::Ok)
}
