//! `spikeloop study landscape`: the loss around a trained network.

use super::super::{CommandError, Context, table, use_threads};
use super::{Common, Files, Progress, conclude, folder, page};
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::Experiment;
use crate::picture::{HeatMap, Layer, Mark, Palette, Plot, readable};
use crate::report::{self, KeyFigure, figure, row};
use crate::study::StudyError;
use crate::study::Watch as _;
use crate::study::landscape::{Check, Grid, Plane};
use crate::trainer::{Step, Trainer};
use serde::Serialize;
use spikeloop_models::SpikeTrains;
use spikeloop_models::surrogate::Surrogate;
use std::path::PathBuf;

/// Arguments of `study landscape`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or the name of a shipped one (see `spikeloop experiments`)
    #[arg(value_name = "CONFIG", default_value = "digits")]
    pub config: String,
    /// Steepness of the sigmoid: surrogate while learning, spike of the smooth network
    #[arg(long, value_name = "BETA", default_value_t = 10.0)]
    pub beta: f64,
    /// Epochs of the training
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub epochs: usize,
    /// Points along each axis
    #[arg(long, value_name = "N", default_value_t = 41)]
    pub points: usize,
    /// Axes reach from -R to R, in lengths of the weights
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    pub reach: f64,
    /// Training samples that losses are of
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub samples: usize,
    /// Weights whose finite differences are taken, at each of nine points
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub weights: usize,
    /// Override a value of the experiment, e.g. --set seed=2 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder and threads.
    #[command(flatten)]
    pub common: Common,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    task: String,
    test_accuracy: f64,
    grid: Grid,
    checks: Vec<Check>,
    positive: usize,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    use_threads(args.common.threads)?;
    let reach = args.reach.is_finite() && args.reach > 0.0;
    if args.points < 2 || args.samples == 0 || args.weights == 0 || args.epochs == 0 || !reach {
        let text = "--points must be at least 2, --samples, --weights and --epochs at least 1, --reach positive";
        return Err(CommandError::Usage(text.into()));
    }
    let mut experiment: Experiment =
        config::load(&args.config, &args.set).map_err(|e| CommandError::Usage(e.to_string()))?;
    experiment.chip = Default::default();
    experiment.learning.epochs = args.epochs;
    experiment.learning.warm_start_epochs = 0;
    experiment.network.surrogate = Surrogate::Sigmoid { beta: args.beta };
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let folder = folder(&args.common, "landscape")?;
    let mut trainer = Trainer::new(&experiment, &data).map_err(anyhow::Error::from)?;
    let places = (-1..=1).flat_map(|a| (-1..=1).map(move |b| (f64::from(a), f64::from(b))));
    let places: Vec<(f64, f64)> = places.collect();
    let parts = args.epochs + args.points * args.points + places.len();
    let progress = Progress::new(context, "landscape", parts as u64);
    for _ in 0..args.epochs {
        while trainer.step().map_err(anyhow::Error::from)? == Step::Batch {
            if context.interrupt.requested() {
                return Err(StudyError::Interrupted.into());
            }
        }
        progress.advance(1);
    }
    let evaluation = trainer.evaluate(&data.test, 0).map_err(anyhow::Error::from)?;
    let samples: Vec<u32> = (0..args.samples.min(data.train.len()) as u32).collect();
    let mut inputs = SpikeTrains::default();
    data.train.encode(&samples, &experiment.grid(), &mut inputs);
    let labels = &data.train.labels[..samples.len()];
    let plane =
        Plane::new(&trainer.network, &inputs, labels, experiment.learning.loss, experiment.seed);
    let grid = plane.grid(args.points, args.reach, &progress)?;
    let mut checks = Vec::new();
    for (a, b) in places {
        let half = args.reach / 2.0;
        checks.push(plane.check(a * half, b * half, args.weights)?);
        progress.advance(1);
    }
    drop(progress);
    let positive = checks.iter().filter(|c| c.product > 0.0).count();
    let task = experiment.task.name.to_string();
    let test_accuracy = evaluation.tally.accuracy();
    let report = Report { task, test_accuracy, grid, checks, positive };
    let (page, sections) = document(args, &report);
    let tables = [("landscape.csv", csv(&report.grid)), ("checks.csv", checks_csv(&report.checks))];
    let files = Files { tables: &tables, page: &page, sections: &sections };
    conclude(context, &folder, &report, &text(&report), &files)
}

/// Place of point `k` of an axis.
fn place(grid: &Grid, k: usize) -> f64 {
    grid.reach * (2.0 * k as f64 / (grid.points - 1) as f64 - 1.0)
}

fn csv(grid: &Grid) -> String {
    let mut out = "a,b,hard_loss,smooth_loss\n".to_owned();
    for (k, (hard, smooth)) in grid.hard.iter().zip(&grid.smooth).enumerate() {
        let (row, column) = (k / grid.points, k % grid.points);
        let (a, b) = (place(grid, column), place(grid, grid.points - 1 - row));
        out += &format!("{a},{b},{hard},{smooth}\n");
    }
    out
}

fn checks_csv(checks: &[Check]) -> String {
    let mut out = "a,b,product,cosine,difference_error\n".to_owned();
    for c in checks {
        out += &format!("{},{},{},{},{}\n", c.a, c.b, c.product, c.cosine, c.error);
    }
    out
}

fn lines(checks: &[Check]) -> Vec<[String; 5]> {
    let line = |c: &Check| {
        [
            format!("{:.2}", c.a),
            format!("{:.2}", c.b),
            format!("{:.2e}", c.product),
            format!("{:.3}", c.cosine),
            format!("{:.1e}", c.error),
        ]
    };
    checks.iter().map(line).collect()
}

const HEAD: [&str; 5] = ["A", "B", "PRODUCT", "COSINE", "ERROR OF THE DIFFERENCES"];

fn text(report: &Report) -> String {
    let centre = report.grid.hard.len() / 2;
    let mut text = table::table(HEAD, &lines(&report.checks), &[0, 1, 2, 3, 4]);
    text += &format!(
        "\nsurrogate gradient along the smooth network's: {} of {} points; loss at the centre {:.4} hard, {:.4} smooth\n",
        report.positive,
        report.checks.len(),
        report.grid.hard[centre],
        report.grid.smooth[centre]
    );
    text
}

fn document(args: &Args, report: &Report) -> (report::ReportData, Vec<report::Section>) {
    let summary = format!(
        "{} after {} epochs: mean loss of {} training samples on a plane of two random, filter-normalised directions through the \
         trained weights (centre). The smooth network sends a sigmoid of steepness {} in place of spikes.",
        report.task, args.epochs, args.samples, args.beta
    );
    let mut page = page("The loss around a trained network", summary);
    let accuracy = format!("{:.2} %", 100.0 * report.test_accuracy);
    page.figures.push(KeyFigure::new("test accuracy", accuracy, "hard spikes"));
    let figure_text = format!("{} of {}", report.positive, report.checks.len());
    let note =
        "points where the surrogate gradient points along the smooth network's finite differences";
    page.figures.push(KeyFigure::new("gradients agree", figure_text, note));
    let map = |title: &str, values: &[f64], extent| {
        let map = HeatMap {
            title: title.to_owned(),
            value_label: "log\u{2081}\u{2080} loss".into(),
            x_label: "first direction".into(),
            y_label: "second direction".into(),
            columns: report.grid.points,
            values: values.iter().map(|l| l.max(1e-6).log10()).collect(),
            palette: Palette::Sequential,
            extent: Some(extent),
            ..HeatMap::default()
        };
        figure(title, &map.draw())
    };
    let extent = ((-report.grid.reach, report.grid.reach), (report.grid.reach, -report.grid.reach));
    let maps = map("Hard spikes", &report.grid.hard, extent)
        + &map("Smooth spikes", &report.grid.smooth, extent);
    let header = HEAD.map(str::to_lowercase).to_vec();
    let rows = lines(&report.checks).into_iter().map(Vec::from).collect();
    let table = report::table(&report::Table { header, rows });
    let worst = report.checks.iter().map(|c| c.error).fold(0.0, f64::max);
    let hint = format!(
        "<p class=\"hint\">Over {} weights drawn at random. The finite differences agree with the smooth network's own gradient to {} of \
         its largest entry.</p>\n",
        args.weights,
        readable(worst)
    );
    let sections = vec![
        ("Loss on the plane", row(&maps)),
        ("A cut along the first direction", row(&cut(&report.grid))),
        ("Surrogate gradient against finite differences of the smooth network", hint + &table),
    ];
    (page, sections)
}

fn cut(grid: &Grid) -> String {
    let middle = grid.points / 2 * grid.points;
    let line = |values: &[f64]| {
        let row = &values[middle..middle + grid.points];
        row.iter().enumerate().map(|(k, l)| (place(grid, k), *l)).collect::<Vec<_>>()
    };
    let caption = "Loss along the first direction";
    let plot = Plot {
        title: caption.to_owned(),
        x_label: "first direction".into(),
        y_label: "loss".into(),
        layers: vec![
            Layer::new("hard spikes", 0, Mark::Line(line(&grid.hard))),
            Layer::new("smooth spikes", 1, Mark::Dashed(line(&grid.smooth))),
        ],
        ..Plot::default()
    };
    figure(caption, &plot.draw())
}
