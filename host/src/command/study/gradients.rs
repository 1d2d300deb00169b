//! `spikeloop study gradients`: answers to the missing derivative of a spike, side by side.

use super::super::{CommandError, Context, table, use_threads};
use super::{Common, Files, Progress, conclude, folder, page, percent, seeds};
use crate::exit_code::ExitCode;
use crate::experiment::Experiment;
use crate::picture::{Layer, LineChart, Mark, Plot, Series, Spread};
use crate::report::{self, KeyFigure, Section, figure, row};
use crate::study::firing::FiringSettings;
use crate::study::gradients::{Answer, Cell, Data, Plan, Row, Task, rows};
use crate::study::local::LocalSettings;
use crate::study::mean_and_deviation;
use crate::study::rates::RateSettings;
use crate::study::variance::{self, Variance};
use serde::Serialize;
use spikeloop_models::method::noise::Noise;
use spikeloop_models::method::smooth::Annealing;

/// Draws at which the variance of the sampled gradient is measured.
const DRAWS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Arguments of `study gradients`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Tasks
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "yinyang,digits")]
    pub tasks: Vec<Task>,
    /// Answers [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub answers: Vec<Answer>,
    /// Seeds 1 to N
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub seeds: u64,
    /// Epochs of every training
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub epochs: usize,
    /// Steepness of the escape noise
    #[arg(long, value_name = "BETA", default_value_t = 10.0)]
    pub noise_beta: f64,
    /// Steepness of the noise whose mean activity is sent: flat, it lets silent neurons speak all the time
    #[arg(long, value_name = "BETA", default_value_t = 20.0)]
    pub expected_beta: f64,
    /// Draws of every sample of the sampled gradient
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub draws: usize,
    /// Steepness of smoothed spikes in the first and in the last epoch
    #[arg(
        long,
        value_name = "FROM,TO",
        value_delimiter = ',',
        num_args = 1,
        default_value = "20,200"
    )]
    pub smooth: Vec<f64>,
    /// Learning rate of firing times
    #[arg(long, value_name = "RATE", default_value_t = FiringSettings::default().rate)]
    pub firing_rate: f64,
    /// Learning rate of local readouts
    #[arg(long, value_name = "RATE", default_value_t = LocalSettings::default().rate)]
    pub local_rate: f64,
    /// Steps of the networks that are fed constant currents
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub steps: usize,
    /// Override a value of both tasks' experiments, e.g. --set learning.rate=1e-3 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder and threads.
    #[command(flatten)]
    pub common: Common,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
    variance: Vec<TaskVariance>,
    cells: Vec<Cell>,
}

/// Noise of the sampled gradient on one task.
#[derive(Serialize)]
struct TaskVariance {
    task: Task,
    #[serde(flatten)]
    variance: Variance,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let plan = plan(args)?;
    use_threads(args.common.threads)?;
    let usage = |e: crate::config::ConfigError| CommandError::Usage(e.to_string());
    let experiments: Vec<(Task, Experiment)> = (plan.tasks.iter())
        .map(|task| Ok((*task, plan.experiment(*task, &args.set).map_err(usage)?)))
        .collect::<Result<_, CommandError>>()?;
    experiments.iter().try_for_each(|(_, experiment)| plan.check(experiment))?;
    let folder = folder(&args.common, "gradients")?;
    let noisy = plan.answers.contains(&Answer::NoiseSampled);
    let parts = plan.cells() * plan.epochs + if noisy { plan.tasks.len() * DRAWS.len() } else { 0 };
    let progress = Progress::new(context, "gradients", parts as u64);
    let (mut cells, mut variances) = (Vec::new(), Vec::new());
    for (task, experiment) in &experiments {
        let data = Data::load(experiment)?;
        for &answer in &plan.answers {
            for &seed in &plan.seeds {
                let cell = plan.run(*task, answer, seed, experiment, &data, &progress)?;
                tracing::info!(
                    "{} {} seed {seed}: {} %",
                    task.name(),
                    answer.label(),
                    percent(cell.learned.test_accuracy)
                );
                cells.push(cell);
            }
        }
        if noisy {
            let variance =
                variance::measure(experiment, &data.spikes, plan.noise, &DRAWS, &progress)?;
            variances.push(TaskVariance { task: *task, variance });
        }
    }
    drop(progress);
    let report = Report { rows: rows(&cells), variance: variances, cells };
    let (page, sections) = document(&plan, &report);
    let tables = [("gradients.csv", csv(&report.cells)), ("curves.csv", curves_csv(&report.cells))];
    let files = Files { tables: &tables, page: &page, sections: &sections };
    conclude(context, &folder, &report, &text(&report), &files)
}

fn plan(args: &Args) -> Result<Plan, CommandError> {
    let usage = |text: String| CommandError::Usage(text);
    let [from, to] = args.smooth[..] else {
        return Err(usage("--smooth takes two numbers, e.g. --smooth 20,200".into()));
    };
    if args.epochs == 0 || args.steps == 0 || args.tasks.is_empty() {
        return Err(usage("--epochs, --steps and --tasks must be at least one".into()));
    }
    for (flag, rate) in [("--firing-rate", args.firing_rate), ("--local-rate", args.local_rate)] {
        if !(rate.is_finite() && rate > 0.0) {
            return Err(usage(format!("{flag} is {rate}: a learning rate is a positive number")));
        }
    }
    let plan = Plan {
        tasks: args.tasks.clone(),
        answers: if args.answers.is_empty() { Answer::ALL.to_vec() } else { args.answers.clone() },
        seeds: seeds(args.seeds)?,
        epochs: args.epochs,
        every: args.epochs.div_ceil(20),
        noise: Noise { beta: args.noise_beta, draws: args.draws, ..Noise::default() },
        expected_beta: args.expected_beta,
        smooth: Annealing { from, to },
        firing: FiringSettings { rate: args.firing_rate, ..FiringSettings::default() },
        local: LocalSettings { rate: args.local_rate, ..LocalSettings::default() },
        rates: RateSettings { steps: args.steps, ..RateSettings::default() },
    };
    for noise in [plan.noise, Noise { beta: plan.expected_beta, ..plan.noise }] {
        noise.check().map_err(|e| usage(e.to_string()))?;
    }
    plan.smooth.check().map_err(|e| usage(e.to_string()))?;
    Ok(plan)
}

fn value<T: Serialize>(name: T) -> String {
    let value = serde_json::to_value(name).ok();
    value.as_ref().and_then(|v| v.as_str()).unwrap_or_default().to_owned()
}

fn csv(cells: &[Cell]) -> String {
    let head = "task,answer,seed,test_accuracy,hidden_spikes_per_sample,analog_accuracy,seconds\n";
    let mut out = head.to_owned();
    for c in cells {
        let analog = c.analog_accuracy.map_or(String::new(), |a| a.to_string());
        let (task, answer) = (value(c.task), value(c.answer));
        let (accuracy, spikes) = (c.learned.test_accuracy, c.learned.hidden_spikes);
        out +=
            &format!("{task},{answer},{},{accuracy},{spikes},{analog},{:.3}\n", c.seed, c.seconds);
    }
    out
}

fn curves_csv(cells: &[Cell]) -> String {
    let mut out = "task,answer,seed,against,at,accuracy\n".to_owned();
    for c in cells {
        let head = format!("{},{},{}", value(c.task), value(c.answer), c.seed);
        for (epoch, accuracy) in &c.learned.curve {
            out += &format!("{head},epoch,{epoch},{accuracy}\n");
        }
        for (steps, accuracy) in &c.by_steps {
            out += &format!("{head},steps,{steps},{accuracy}\n");
        }
    }
    out
}

fn lines(rows: &[Row]) -> Vec<[String; 7]> {
    let line = |r: &Row| {
        [
            r.task.name().to_owned(),
            r.answer.label().to_owned(),
            r.answer.input().to_owned(),
            r.seeds.to_string(),
            format!("{} ± {}", percent(r.test_accuracy), percent(r.deviation)),
            format!("{:.1}", r.hidden_spikes),
            format!("{:.1}", r.seconds),
        ]
    };
    rows.iter().map(line).collect()
}

const HEAD: [&str; 7] = ["TASK", "ANSWER", "INPUT", "SEEDS", "TEST %", "HIDDEN SPIKES", "SECONDS"];

fn text(report: &Report) -> String {
    let mut text = table::table(HEAD, &lines(&report.rows), &[3, 4, 5, 6]);
    for v in &report.variance {
        let at = |k: usize| v.variance.points.get(k).map_or(f64::NAN, |p| p.relative_variance);
        text += &format!(
            "\n{}: variance of the sampled gradient / squared mean {:.3} with {} draw, {:.4} with {}; its mean is at a cosine \
             of {:.3} to the expected and {:.3} to the surrogate gradient\n",
            v.task.name(),
            at(0),
            DRAWS[0],
            at(DRAWS.len() - 1),
            DRAWS[DRAWS.len() - 1],
            v.variance.cosine_expected,
            v.variance.cosine_surrogate
        );
    }
    text
}

fn document(plan: &Plan, report: &Report) -> (report::ReportData, Vec<Section>) {
    let summary = format!(
        "{} epochs each, {} seeds, the same samples and hidden layers. Every network is judged by its spikes, without noise or \
         smoothing, on the test set. Input in spike times or in constant currents: compare within a code.",
        plan.epochs,
        plan.seeds.len()
    );
    let mut page = page("Answers to the missing gradient", summary);
    for task in &plan.tasks {
        let of = report.rows.iter().filter(|r| r.task == *task);
        if let Some(best) = of.max_by(|a, b| a.test_accuracy.total_cmp(&b.test_accuracy)) {
            let value = format!("{} %", percent(best.test_accuracy));
            let note = format!("{} on {}", best.answer.label(), task.name());
            page.figures.push(KeyFigure::new("highest mean", value, note));
        }
    }
    let header = HEAD.map(str::to_lowercase).to_vec();
    let rows = lines(&report.rows).into_iter().map(Vec::from).collect();
    let sections = vec![
        ("Accuracy on the test set", report::table(&report::Table { header, rows })),
        (
            "Learning curves",
            row(&plan.tasks.iter().map(|t| curves(plan, report, *t)).collect::<String>()),
        ),
        (
            "Accuracy against steps",
            row(&plan.tasks.iter().map(|t| by_steps(plan, report, *t)).collect::<String>()),
        ),
        ("Noise of the sampled gradient", noise(report)),
    ];
    (page, sections)
}

/// Mean and deviation over seeds of what a function picks at each place of the cells' lists.
fn averaged<'a>(
    cells: impl Iterator<Item = &'a Cell>,
    list: fn(&Cell) -> &Vec<(usize, f64)>,
) -> (Vec<(f64, f64)>, Vec<f64>) {
    let lists: Vec<&Vec<(usize, f64)>> = cells.map(list).collect();
    let Some(first) = lists.first() else { return Default::default() };
    let at = |k: usize| {
        let all: Vec<f64> = lists.iter().filter_map(|l| l.get(k)).map(|p| 100.0 * p.1).collect();
        mean_and_deviation(&all)
    };
    let points = first.iter().enumerate().map(|(k, p)| (p.0 as f64, at(k).0)).collect();
    (points, (0..first.len()).map(|k| at(k).1).collect())
}

fn curves(plan: &Plan, report: &Report, task: Task) -> String {
    let series = plan.answers.iter().map(|answer| {
        let of = report.cells.iter().filter(|c| (c.task, c.answer) == (task, *answer));
        let (points, error) = averaged(of, |c| &c.learned.curve);
        Series { name: answer.label().to_owned(), points, error, spread: Spread::Band, dots: false }
    });
    let caption = format!("{}: held-out samples", task.name());
    let chart = LineChart {
        title: caption.clone(),
        x_label: "epoch".into(),
        y_label: "accuracy (%)".into(),
        series: series.filter(|s| !s.points.is_empty()).collect(),
        y_range: None,
        compact: false,
    };
    figure(&caption, &chart.draw())
}

fn by_steps(plan: &Plan, report: &Report, task: Task) -> String {
    let mut layers = Vec::new();
    for (colour, answer) in plan.answers.iter().enumerate() {
        let of = || report.cells.iter().filter(move |c| (c.task, c.answer) == (task, *answer));
        let (points, _) = averaged(of(), |c| &c.by_steps);
        if points.is_empty() {
            continue;
        }
        layers.push(Layer::new(answer.label(), colour, Mark::Line(points.clone())));
        layers.push(Layer::unnamed(colour, Mark::Dots(points)));
        let analog: Vec<f64> = of().filter_map(|c| c.analog_accuracy).map(|a| 100.0 * a).collect();
        if !analog.is_empty() {
            let level = mean_and_deviation(&analog).0;
            layers.push(Layer::new("rectified units", colour, Mark::Level(level)));
        }
    }
    if layers.is_empty() {
        return String::new();
    }
    let caption = format!("{}: test set, spiking network", task.name());
    let plot = Plot {
        title: caption.clone(),
        x_label: "steps".into(),
        y_label: "accuracy (%)".into(),
        log: (true, false),
        layers,
        ..Plot::default()
    };
    figure(&caption, &plot.draw())
}

fn noise(report: &Report) -> String {
    let mut layers = Vec::new();
    for (colour, v) in report.variance.iter().enumerate() {
        let points = v.variance.points.iter().map(|p| (p.draws as f64, p.relative_variance));
        let points: Vec<(f64, f64)> = points.filter(|p| p.1.is_finite()).collect();
        if let Some(first) = points.first() {
            let ideal = points.iter().map(|p| (p.0, first.1 * first.0 / p.0)).collect();
            layers.push(Layer::unnamed(colour, Mark::Dashed(ideal)));
        }
        layers.push(Layer::new(v.task.name(), colour, Mark::Dots(points)));
    }
    if layers.is_empty() {
        return String::new();
    }
    let caption = "Variance of the gradient at the initial weights; dashed: 1/draws";
    let plot = Plot {
        title: caption.to_owned(),
        x_label: "draws of each sample".into(),
        y_label: "variance / squared mean".into(),
        log: (true, true),
        layers,
        ..Plot::default()
    };
    let header = ["task", "cosine to the expected gradient", "cosine to the surrogate gradient"];
    let rows = report.variance.iter().map(|v| {
        let cosine = |c: f64| format!("{c:.3}");
        vec![
            v.task.name().to_owned(),
            cosine(v.variance.cosine_expected),
            cosine(v.variance.cosine_surrogate),
        ]
    });
    let header = header.map(str::to_owned).to_vec();
    row(&figure(caption, &plot.draw()))
        + &report::table(&report::Table { header, rows: rows.collect() })
}
