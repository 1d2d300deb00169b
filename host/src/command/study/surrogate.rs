//! `spikeloop study surrogate`: shapes and steepnesses of the surrogate derivative.

use super::super::{CommandError, Context, table, use_threads};
use super::{Common, Files, Progress, conclude, folder, page, percent, seeds};
use crate::config;
use crate::data;
use crate::exit_code::ExitCode;
use crate::experiment::Experiment;
use crate::picture::{Layer, Mark, Plot, readable};
use crate::report::{self, KeyFigure, figure, row};
use crate::study::surrogate::{Cell, Plan, Shape, accuracy, plateau};
use serde::Serialize;
use std::path::PathBuf;

/// A shape is on its plateau within this of its best mean accuracy.
const MARGIN: f64 = 0.01;

/// Arguments of `study surrogate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or the name of a shipped one (see `spikeloop experiments`)
    #[arg(value_name = "CONFIG", default_value = "digits")]
    pub config: String,
    /// Shapes [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub shapes: Vec<Shape>,
    /// Values of the steepness
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,5,10,20,50,100")]
    pub betas: Vec<f64>,
    /// Seeds 1 to N
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub seeds: u64,
    /// Epochs of every training
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub epochs: usize,
    /// Override a value of the experiment, e.g. --set learning.rate=1e-3 (repeatable)
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
    rows: Vec<Row>,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Row {
    shape: Shape,
    beta: f64,
    test_accuracy: f64,
    deviation: f64,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    use_threads(args.common.threads)?;
    if args.epochs == 0 || args.betas.is_empty() {
        return Err(CommandError::Usage("--epochs and --betas must be at least one".into()));
    }
    let mut experiment: Experiment =
        config::load(&args.config, &args.set).map_err(|e| CommandError::Usage(e.to_string()))?;
    experiment.chip = Default::default();
    experiment.learning.epochs = args.epochs;
    experiment.learning.warm_start_epochs = 0;
    let plan = Plan {
        shapes: if args.shapes.is_empty() { Shape::ALL.to_vec() } else { args.shapes.clone() },
        betas: args.betas.clone(),
        seeds: seeds(args.seeds)?,
    };
    for beta in &plan.betas {
        let fine = Shape::Superspike.with(*beta).check();
        fine.map_err(|e| CommandError::Usage(format!("--betas: {e}")))?;
    }
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let folder = folder(&args.common, "surrogate")?;
    let progress = Progress::new(context, "surrogates", (plan.cells() * args.epochs) as u64);
    let cells = plan.run(&experiment, &data, &progress)?;
    drop(progress);
    let rows = rows(&plan, &cells);
    let report = Report { task: experiment.task.name.to_string(), rows, cells };
    let (page, sections) = document(&plan, &report, args.epochs);
    let tables = [("surrogate.csv", csv(&report.cells))];
    let files = Files { tables: &tables, page: &page, sections: &sections };
    conclude(context, &folder, &report, &text(&plan, &report), &files)
}

fn rows(plan: &Plan, cells: &[Cell]) -> Vec<Row> {
    let each = |shape: &Shape| {
        let shape = *shape;
        plan.betas.iter().map(move |beta| {
            let (test_accuracy, deviation) = accuracy(cells, shape, *beta);
            Row { shape, beta: *beta, test_accuracy, deviation }
        })
    };
    plan.shapes.iter().flat_map(each).collect()
}

fn csv(cells: &[Cell]) -> String {
    let mut out = "shape,beta,peak,area,seed,test_accuracy,hidden_spikes_per_sample\n".to_owned();
    for c in cells {
        let surrogate = c.shape.with(c.beta);
        let (peak, area) = (surrogate.peak(), surrogate.area());
        let or_none = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        out += &format!(
            "{},{},{},{},{},{},{}\n",
            surrogate.name(),
            c.beta,
            or_none(peak),
            or_none(area),
            c.seed,
            c.learned.test_accuracy,
            c.learned.hidden_spikes
        );
    }
    out
}

/// One row a shape: its label, its accuracy at every steepness, its plateau.
fn cells_of(plan: &Plan, report: &Report) -> Vec<Vec<String>> {
    let one = |shape: &Shape| {
        let at = |beta: &f64| {
            let (mean, deviation) = accuracy(&report.cells, *shape, *beta);
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * deviation)
        };
        let plateau = plateau(&report.cells, *shape, &plan.betas, MARGIN)
            .map_or(String::new(), |(low, high)| {
                format!("{} to {}", readable(low), readable(high))
            });
        std::iter::once(shape.label().to_owned())
            .chain(plan.betas.iter().map(at))
            .chain([plateau])
            .collect()
    };
    plan.shapes.iter().map(one).collect()
}

fn text(plan: &Plan, report: &Report) -> String {
    let rows: Vec<[String; 4]> = report
        .rows
        .iter()
        .map(|r| {
            let accuracy = format!("{} ± {}", percent(r.test_accuracy), percent(r.deviation));
            [r.shape.label().to_owned(), readable(r.beta), plan.seeds.len().to_string(), accuracy]
        })
        .collect();
    table::table(["SHAPE", "BETA", "SEEDS", "TEST %"], &rows, &[1, 2, 3])
}

fn document(
    plan: &Plan,
    report: &Report,
    epochs: usize,
) -> (report::ReportData, Vec<report::Section>) {
    let summary = format!(
        "{}: {epochs} epochs, {} seeds; every shape at every steepness from the same initial weights. Shapes of peak 1 only become \
         narrower, the others higher, too.",
        report.task,
        plan.seeds.len()
    );
    let mut page = page("Sensitivity to the surrogate derivative", summary);
    for shape in &plan.shapes {
        if let Some((low, high)) = plateau(&report.cells, *shape, &plan.betas, MARGIN) {
            let best = plan.betas.iter().map(|b| accuracy(&report.cells, *shape, *b).0);
            let best = best.fold(0.0, f64::max);
            let note =
                format!("within a point for steepness {} to {}", readable(low), readable(high));
            page.figures.push(KeyFigure::new(shape.label(), format!("{} %", percent(best)), note));
        }
    }
    let mut header = vec!["shape, test % at steepness".to_owned()];
    header.extend(plan.betas.iter().map(|b| readable(*b)));
    header.push("within a point".to_owned());
    let table = report::table(&report::Table { header, rows: cells_of(plan, report) });
    let sections =
        vec![("Accuracy against steepness", row(&picture(plan, report))), ("Test accuracy", table)];
    (page, sections)
}

/// A caption, and which shapes stand under it.
type Group = (&'static str, fn(Shape) -> bool);

fn picture(plan: &Plan, report: &Report) -> String {
    let groups: [Group; 2] = [
        ("Shapes whose peak stays at 1", |s| {
            matches!(s, Shape::Superspike | Shape::Triangle | Shape::Tanh | Shape::Gauss)
        }),
        ("Shapes whose area stays the same", |s| {
            matches!(s, Shape::SuperspikeAsymptotic | Shape::Sigmoid | Shape::Arctan)
        }),
    ];
    let all = report.rows.iter().map(|r| 100.0 * r.test_accuracy);
    let low = all.clone().fold(f64::INFINITY, f64::min);
    let high = all.fold(f64::NEG_INFINITY, f64::max);
    let draw = |(caption, inside): (&str, fn(Shape) -> bool)| {
        let mut layers = Vec::new();
        for (colour, shape) in plan.shapes.iter().filter(|s| inside(**s)).enumerate() {
            let of = report.rows.iter().filter(|r| r.shape == *shape);
            let points: Vec<(f64, f64)> = of.map(|r| (r.beta, 100.0 * r.test_accuracy)).collect();
            layers.push(Layer::new(shape.label(), colour, Mark::Line(points.clone())));
            layers.push(Layer::unnamed(colour, Mark::Dots(points)));
        }
        if layers.is_empty() {
            return String::new();
        }
        let plot = Plot {
            title: caption.to_owned(),
            x_label: "steepness".into(),
            y_label: "test accuracy (%)".into(),
            log: (true, false),
            // The same for both, so that they can be compared.
            y_range: Some((low - 2.0, (high + 2.0).min(100.0))),
            layers,
            ..Plot::default()
        };
        figure(caption, &plot.draw())
    };
    groups.map(draw).concat()
}
