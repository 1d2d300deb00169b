//! `spikeloop robustness`: accuracy against mismatch, for several ways of bringing a network onto a chip.

use super::{CommandError, Context, output, table};
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::{Backward, Experiment};
use crate::report::{KeyFigure, ReportData, Robustness, RobustnessLine, RobustnessPoint};
use crate::robustness::{Cell, Study, Way, learn, spread};
use crate::run_folder::{RunFolder, file, timestamp};
use crate::run_report;
use crate::trainer::Trainer;
use serde::Serialize;
use spikeloop_calibration::cache::Cache;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_hal::Selector;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// Results of the study in its folder.
const CELLS: &str = "cells.jsonl";
/// The table in its folder.
const CSV: &str = "robustness.csv";

/// Calibrations of the chips in its folder.
const CALIBRATIONS: &str = "calibrations";

/// Arguments of `robustness`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or the name of a shipped one (see `spikeloop experiments`)
    #[arg(value_name = "CONFIG")]
    pub config: String,
    /// Mismatch values
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "0,0.2,0.3,0.5")]
    pub sigma: Vec<f64>,
    /// Chips of each mismatch: seeds 1 to N
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub chips: u64,
    /// Ways of bringing the network onto the chip
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    #[arg(default_value = "naive,fine-tune,membranes,spikes")]
    pub ways: Vec<Way>,
    /// Models that the gradient goes back through, for ways that learn
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "nominal")]
    pub backward: Vec<Backward>,
    /// Targets for ways that calibrate, as for `calibrate` [default: the chip's design values]
    #[arg(long, value_name = "TOML")]
    pub target: Option<PathBuf>,
    /// Kind of chip: an emulator without sigma and seed
    #[arg(long, value_name = "SELECTOR", default_value = "emu:preset=pnas-decal")]
    pub chip: Selector,
    /// Epochs in the loop after a transfer from software
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub fine_tune_epochs: usize,
    /// Learning rate in the loop after a transfer [default: the experiment's]
    #[arg(long, value_name = "RATE")]
    pub fine_tune_rate: Option<f64>,
    /// Override a value of the experiment, e.g. --set learning.epochs=20 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the study [default: runs/TIME-robustness-NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the study in --out: chips that are done are not repeated
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Chips at the same time [default: all cores]; the results are the same for every number
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    task: String,
    software_accuracy: f64,
    rows: Vec<Row>,
    cells: &'a [Cell],
}

/// One line of the table.
#[derive(Serialize)]
struct Row {
    sigma: f64,
    way: Way,
    backward: Backward,
    #[serde(flatten)]
    spread: crate::robustness::Spread,
}

/// Runs the study and prints its table.
///
/// # Errors
/// A configuration, data set or folder that cannot be used; a training that fails.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let experiment: Experiment =
        config::load(&args.config, &args.set).map_err(|e| CommandError::Usage(e.to_string()))?;
    experiment.check().map_err(|e| CommandError::Usage(e.to_string()))?;
    let study = study(args, &experiment)?;
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let folder = folder(args, &experiment)?;
    let done = begin(args, &folder, &experiment, &study)?;
    let (software, software_accuracy) = software(&experiment, &data, &folder, context)?;
    tracing::info!("software: {:.2} % on the test set", 100.0 * software_accuracy);
    let jobs =
        args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let cells = Mutex::new(done.clone());
    let bar = context.progress.bar("chips", study.cells().len() as u64);
    bar.advance(done.len() as u64);
    let finished = |cell: Cell| {
        tracing::info!(
            "sigma {} chip {}: {:.2} %  {:.1} hidden spikes  {}, gradient {}",
            cell.sigma,
            cell.chip,
            100.0 * cell.test_accuracy,
            cell.hidden_spikes_per_sample,
            cell.way.label(),
            cell.backward.label()
        );
        bar.advance(1);
        if let Ok(mut cells) = cells.lock() {
            if let Err(error) = folder.append(CELLS, &cell) {
                tracing::warn!("{error}");
            }
            cells.push(cell);
        }
    };
    let stop = || context.interrupt.requested();
    let cache = Cache::at(folder.file(CALIBRATIONS));
    let result = study.run(&experiment, &data, &software, &cache, &done, jobs, &stop, &finished);
    drop(bar);
    if stop() {
        let path = folder.path().display();
        tracing::warn!("interrupted; finished chips are kept. Continue with --resume --out {path}");
        return Err(CommandError::Interrupted);
    }
    result.map_err(anyhow::Error::from)?;
    let mut cells = cells.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    cells.sort_by(|a, b| {
        let rows = (a.way, a.backward, a.chip).cmp(&(b.way, b.backward, b.chip));
        a.sigma.total_cmp(&b.sigma).then(rows)
    });
    conclude(context, &experiment, &study, &folder, software_accuracy, &cells)
}

fn study(args: &Args, experiment: &Experiment) -> Result<Study, CommandError> {
    let usage = |text: &str| Err(CommandError::Usage(text.to_owned()));
    let Selector::Emulator(chip) = &args.chip else {
        return usage("--chip must be an emulator (emu:...): a board has one mismatch, its own");
    };
    if args.sigma.is_empty() || args.sigma.iter().any(|s| !s.is_finite() || *s < 0.0) {
        return usage("--sigma must be a list of numbers not below 0, e.g. 0,0.2,0.5");
    }
    if args.chips == 0 || args.ways.is_empty() || args.backward.is_empty() {
        return usage("--chips, --ways and --backward must name at least one");
    }
    Ok(Study {
        chip: chip.clone(),
        sigmas: args.sigma.clone(),
        chips: (1..=args.chips).collect(),
        ways: args.ways.clone(),
        fine_tune_epochs: args.fine_tune_epochs,
        fine_tune_rate: args.fine_tune_rate.unwrap_or(experiment.learning.rate),
        backward: args.backward.clone(),
        targets: targets(args.target.as_deref())?,
    })
}

/// What the chips are calibrated to.
fn targets(path: Option<&Path>) -> Result<TargetFile, CommandError> {
    let Some(path) = path else { return Ok(TargetFile::default()) };
    let text = std::fs::read_to_string(path)
        .map_err(|e| CommandError::Usage(format!("--target {}: {e}", path.display())))?;
    TargetFile::from_toml(&text)
        .map_err(|e| CommandError::Usage(format!("--target {}: {e}", path.display())))
}

fn folder(args: &Args, experiment: &Experiment) -> Result<RunFolder, CommandError> {
    let folder = match (&args.out, args.resume) {
        (Some(out), true) => RunFolder::open(out),
        (Some(out), false) => RunFolder::create(out),
        (None, _) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            let name = format!("{}-robustness-{}", timestamp(now), experiment.name);
            RunFolder::create(&Path::new("runs").join(name))
        }
    };
    Ok(folder.map_err(anyhow::Error::from)?)
}

/// What a study folder keeps besides its results, so that results of two studies are never mixed.
#[derive(Serialize, serde::Deserialize, PartialEq)]
struct Plan {
    experiment: Experiment,
    study: Study,
}

/// Writes the plan, or checks it against the one that is continued; returns the cells that are done.
fn begin(
    args: &Args,
    folder: &RunFolder,
    experiment: &Experiment,
    study: &Study,
) -> Result<Vec<Cell>, CommandError> {
    let plan = Plan { experiment: experiment.clone(), study: study.clone() };
    if !args.resume {
        let text = toml::to_string(&plan).map_err(anyhow::Error::from)?;
        folder.write(file::CONFIG, text.as_bytes()).map_err(anyhow::Error::from)?;
        return Ok(Vec::new());
    }
    let kept = folder.read(file::CONFIG).map_err(anyhow::Error::from)?;
    let kept: Plan =
        toml::from_str(&String::from_utf8_lossy(&kept)).map_err(anyhow::Error::from)?;
    let same = Plan {
        study: Study {
            sigmas: study.sigmas.clone(),
            chips: study.chips.clone(),
            ways: study.ways.clone(),
            backward: study.backward.clone(),
            ..kept.study
        },
        ..kept
    };
    if same != plan {
        return Err(CommandError::Usage(format!(
            "{} holds a study of another experiment: give the same CONFIG, --set, --chip and --fine-tune-… as before, or another --out",
            folder.path().display()
        )));
    }
    Ok(folder.lines(CELLS).map_err(anyhow::Error::from)?)
}

/// The network trained in software, once; kept in the folder.
fn software(
    experiment: &Experiment,
    data: &data::Dataset,
    folder: &RunFolder,
    context: &Context,
) -> Result<(spikeloop_models::network::Network<f32>, f64), CommandError> {
    use spikeloop_models::checkpoint::Checkpoint;
    let mut plain = experiment.clone();
    plain.chip.selector = None;
    plain.learning.warm_start_epochs = 0;
    let mut trainer = Trainer::new(&plain, data).map_err(anyhow::Error::from)?;
    if folder.has(file::CHECKPOINT) {
        let bytes = folder.read(file::CHECKPOINT).map_err(anyhow::Error::from)?;
        Checkpoint::<f32>::from_bytes(&bytes)
            .and_then(|c| c.restore(&mut trainer.network, None))
            .map_err(anyhow::Error::from)?;
    } else {
        let spinner = context.progress.spinner("software");
        spinner.set_message(format!("{} epochs without a chip", plain.learning.epochs));
        let stop = || context.interrupt.requested();
        match learn(&mut trainer, plain.learning.epochs, &stop) {
            Err(_) if stop() => return Err(CommandError::Interrupted),
            other => other.map_err(anyhow::Error::from)?,
        };
        let bytes =
            Checkpoint::of(&trainer.network, None).to_bytes().map_err(anyhow::Error::from)?;
        folder.write(file::CHECKPOINT, &bytes).map_err(anyhow::Error::from)?;
    }
    let evaluation = trainer.evaluate(&data.test, 0).map_err(anyhow::Error::from)?;
    Ok((trainer.network, evaluation.tally.accuracy()))
}

fn conclude(
    context: &Context,
    experiment: &Experiment,
    study: &Study,
    folder: &RunFolder,
    software_accuracy: f64,
    cells: &[Cell],
) -> Result<ExitCode, CommandError> {
    let rows: Vec<Row> = study
        .sigmas
        .iter()
        .flat_map(|sigma| study.rows().into_iter().map(move |row| (*sigma, row)))
        .filter_map(|(sigma, (way, backward))| {
            let spread = spread(cells, sigma, (way, backward))?;
            Some(Row { sigma, way, backward, spread })
        })
        .collect();
    folder.write(CSV, csv(cells).as_bytes()).map_err(anyhow::Error::from)?;
    let page = page(experiment, study, software_accuracy, cells);
    folder.write(file::REPORT, page.html().as_bytes()).map_err(anyhow::Error::from)?;
    let task = experiment.task.name.to_string();
    let report = Report { task, software_accuracy, rows, cells };
    folder
        .write_json(file::SUMMARY, &output::Versioned::new(&report))
        .map_err(anyhow::Error::from)?;
    if context.json {
        output::json(&report)?;
    } else {
        output::text(&render(&report, folder))?;
    }
    Ok(ExitCode::Ok)
}

fn csv(cells: &[Cell]) -> String {
    let mut text =
        "sigma,chip,way,backward,epochs,test_accuracy,hidden_spikes_per_sample,dropped_events\n"
            .to_owned();
    for c in cells {
        let way = serde_json::to_value(c.way).ok();
        let way = way.as_ref().and_then(|v| v.as_str()).unwrap_or_default();
        text.push_str(&format!(
            "{},{},{way},{},{},{},{},{}\n",
            c.sigma,
            c.chip,
            c.backward.label(),
            c.epochs,
            c.test_accuracy,
            c.hidden_spikes_per_sample,
            c.dropped_events
        ));
    }
    text
}

fn render(report: &Report<'_>, folder: &RunFolder) -> String {
    let rows: Vec<[String; 8]> = report
        .rows
        .iter()
        .map(|r| {
            let percent = |a: f64| format!("{:.2}", 100.0 * a);
            [
                r.sigma.to_string(),
                r.way.label().to_owned(),
                if r.way.learns() { r.backward.label() } else { "-" }.to_owned(),
                r.spread.chips.to_string(),
                format!("{} ± {}", percent(r.spread.mean), percent(r.spread.std)),
                percent(r.spread.min),
                percent(r.spread.max),
                format!("{:.1}", r.spread.hidden_spikes_per_sample),
            ]
        })
        .collect();
    let head = ["SIGMA", "WAY", "GRADIENT", "CHIPS", "TEST %", "WORST", "BEST", "HIDDEN SPIKES"];
    let mut text = format!("software, no chip: {:.2} %\n\n", 100.0 * report.software_accuracy);
    text.push_str(&table::table(head, &rows, &[0, 3, 4, 5, 6, 7]));
    text.push_str(&format!("\nreport  {}\n", folder.file(file::REPORT).display()));
    text.push_str(&format!("table   {}\n", folder.file(CSV).display()));
    text
}

fn page(
    experiment: &Experiment,
    study: &Study,
    software_accuracy: f64,
    cells: &[Cell],
) -> ReportData {
    let mut page =
        ReportData::new(&format!("{} \u{2013} accuracy against mismatch", experiment.name));
    page.summary = format!(
        "{} chips of each mismatch, the same ones for every way of bringing the network onto them.",
        study.chips.len()
    );
    page.command = run_report::command_line();
    page.program = format!("spikeloop {}", env!("CARGO_PKG_VERSION"));
    page.identify("task", experiment.task.name.to_string());
    page.identify("seed", experiment.seed.to_string());
    let options: Vec<String> = study.chip.iter().map(|(k, v)| format!("{k}={v}")).collect();
    page.identify("chips", format!("emu:{}", options.join(",")));
    page.identify("epochs in the loop", experiment.learning.epochs.to_string());
    page.identify("epochs of fine-tuning", study.fine_tune_epochs.to_string());
    let percent = |a: f64| format!("{:.2} %", 100.0 * a);
    page.figures.push(KeyFigure::new("software", percent(software_accuracy), "no chip"));
    if let Some(worst) = study.sigmas.iter().copied().max_by(f64::total_cmp) {
        for row in study.rows() {
            if let Some(s) = spread(cells, worst, row) {
                let note = format!("mean at sigma {worst}, worst chip {}", percent(s.min));
                page.figures.push(KeyFigure::new(&name(study, row), percent(s.mean), note));
            }
        }
    }
    page.config = toml::to_string(experiment).ok();
    let line = |row: (Way, Backward)| RobustnessLine {
        name: name(study, row),
        points: study
            .sigmas
            .iter()
            .map(|sigma| RobustnessPoint {
                sigma: *sigma,
                accuracies: cells
                    .iter()
                    .filter(|c| c.sigma == *sigma && (c.way, c.backward) == row)
                    .map(|c| c.test_accuracy)
                    .collect(),
            })
            .collect(),
    };
    page.robustness = Some(Robustness {
        x_label: "mismatch \u{3c3}".into(),
        lines: study.rows().into_iter().map(line).collect(),
    });
    page
}

/// A row in words; the gradient is named where there are several.
fn name(study: &Study, (way, backward): (Way, Backward)) -> String {
    match way.learns() && study.backward.len() > 1 {
        true => format!("{}, {} gradient", way.label(), backward.label()),
        false => way.label().to_owned(),
    }
}
