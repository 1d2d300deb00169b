//! `spikeloop train`: learn a task, in software or with a chip in the loop.

use super::{CommandError, Context, RecordArgs, output};
use crate::cache;
use crate::calibration_choice::{Choice, Chosen, Device};
use crate::config;
use crate::data::{self, Dataset};
use crate::exit_code::ExitCode;
use crate::expect::{Expectation, Verdict};
use crate::experiment::{Backward, Experiment, WarmStart};
use crate::lesson;
use crate::lesson::superspike::Learn;
use crate::log::Bar;
use crate::run::{Ending, Outcome, Run, Watch};
use crate::run_folder::{RunFolder, file, timestamp};
use crate::run_report;
use crate::summary::{EpochMetrics, Phase, Summary, Transfer};
use crate::trainer::Tally;
use crate::twin::{self, Measured, Twin};
use serde::Serialize;
use spikeloop_calibration::Codes;
use spikeloop_hal::{LinkUse, Selector};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Arguments of `train`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or the name of a shipped one (see `spikeloop experiments`)
    #[arg(value_name = "CONFIG", required_unless_present = "resume")]
    pub config: Option<String>,
    /// Chip to learn on, instead of the experiment's
    #[arg(long, value_name = "SELECTOR", env = "SPIKELOOP_CHIP", hide_env_values = true)]
    #[arg(conflicts_with = "software")]
    pub chip: Option<Selector>,
    /// Calibration of the chip: a file, `none`, or the newest of the chip in the cache [default: the newest]
    #[arg(long, value_name = "FILE|none")]
    pub calibration: Option<Choice>,
    /// Model that the gradient goes back through, instead of the experiment's
    #[arg(long, value_name = "MODEL")]
    pub backward: Option<Backward>,
    /// Learn without a chip: the model runs the forward passes
    #[arg(long)]
    pub software: bool,
    /// Where weights change: on the host, or in the device by its own rule, which superspike has
    /// [default: the experiment's]
    #[arg(long, value_name = "WHERE")]
    pub learn: Option<Learn>,
    /// Override a value of the experiment, e.g. --set learning.rate=1e-3 (repeatable)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder with the files of the data set
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder of the run [default: runs/TIME-NAME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Continue the run in --out where it stopped
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Learn the first epochs on a digital twin of the chip instead of the chip
    #[arg(long, value_name = "WHERE", conflicts_with_all = ["resume", "software"])]
    pub pretrain: Option<Pretrain>,
    /// The twin [default: one is made now]
    #[arg(long, value_name = "FILE", requires = "pretrain")]
    pub twin: Option<PathBuf>,
    /// How many of the experiment's epochs are learned on the twin [default: all but one in ten]
    #[arg(long, value_name = "N", requires = "pretrain")]
    pub pretrain_epochs: Option<usize>,
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

/// Where the first epochs are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pretrain {
    /// On a digital twin of the chip.
    Twin,
}

/// Trains, and prints what came out.
///
/// # Errors
/// A configuration, data set, chip or folder that cannot be used; a missed expectation.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let table = table(args)?;
    if let Some(method) = lesson::method_of(&table) {
        return super::lesson::run(args, context, method, table);
    }
    if args.learn == Some(Learn::OnChip) {
        return Err(CommandError::Usage(lesson::Method::nowhere_to_learn("bptt")));
    }
    let experiment = experiment(args, table)?;
    super::use_threads(args.threads)?;
    let data = data::load(&experiment.task, args.data.as_deref()).map_err(anyhow::Error::from)?;
    let folder = folder(args, &experiment.name)?;
    let chip = open_chip(&experiment, args.threads, &choice(args, &folder))?;
    // Speaks when everything else is dropped.
    let (mut chip, _recording) = args.record.device(chip, &experiment, args.resume)?;
    if args.pretrain.is_some() {
        chip = Some(prepare_twin(args, chip, &folder)?);
    }
    let mut run = match args.resume {
        true => Run::resume(&experiment, &data, chip, folder),
        false => Run::start(&experiment, &data, chip, folder),
    }
    .map_err(anyhow::Error::from)?;
    tracing::info!("run folder: {}", run.folder().path().display());
    let observer = Observer::new(context);
    match run.learn(&observer).map_err(anyhow::Error::from)? {
        Ending::Interrupted { epochs } => {
            let path = run.folder().path().display();
            tracing::warn!(
                "interrupted after {epochs} epochs; everything is saved. Continue with: spikeloop train --resume --out {path}"
            );
            Err(CommandError::Interrupted)
        }
        Ending::Complete(outcome) => {
            drop(observer);
            conclude(args, context, &experiment, &data, run, &outcome)
        }
    }
}

fn conclude(
    args: &Args,
    context: &Context,
    experiment: &Experiment,
    data: &Dataset,
    mut run: Run<'_>,
    outcome: &Outcome,
) -> Result<ExitCode, CommandError> {
    let folder = run.folder().clone();
    let command = run_report::command_line();
    let report = run_report::of_run(experiment, data, &mut run.trainer, outcome, &command)
        .map_err(anyhow::Error::from)?;
    folder.write(file::REPORT, report.html().as_bytes()).map_err(anyhow::Error::from)?;
    if context.json {
        output::json(&outcome.summary)?;
    } else {
        output::text(&render(&outcome.summary, Some(&folder)))?;
    }
    judge(&args.expect, &outcome.summary)?;
    Ok(ExitCode::Ok)
}

/// Puts the twin of the chip into the run's folder.
fn prepare_twin(
    args: &Args,
    device: Option<Device>,
    folder: &RunFolder,
) -> Result<Device, CommandError> {
    let Some(Device { selector, chip, calibration }) = device else {
        return Err(CommandError::Usage(
            "--pretrain twin needs a chip: name one with --chip".into(),
        ));
    };
    if args.calibration == Some(Choice::None) {
        let why = "--pretrain twin needs a calibration: leave --calibration none out";
        return Err(CommandError::Usage(why.into()));
    }
    if let Some(path) = &args.twin {
        // Before a calibration is made for a twin that cannot be used.
        twin::read(path, chip.capabilities()).map_err(super::twin::failed)?;
    }
    let (cache, file) = (cache::calibrations(), folder.file(file::TWIN));
    if calibration.is_none() {
        tracing::info!("no calibration of {} yet: making one", chip.capabilities().identity);
    }
    let (path, known) = calibration.map(|c| (c.path, c.calibration)).unzip();
    let time = super::calibrate::now();
    let (mut chip, calibration, _) =
        twin::calibrated(chip, known, &cache, time).map_err(super::twin::failed)?;
    let made = match &args.twin {
        Some(path) => Twin::load(path, chip.capabilities(), &calibration, Codes::Calibrated),
        None => {
            tracing::info!("making a twin: measuring synapses");
            let measured = Measured::new(chip, calibration.clone()).map_err(super::twin::failed)?;
            let made = measured.twin(Codes::Calibrated);
            chip = measured.chip;
            made
        }
    };
    made.and_then(|twin| twin.save(&file, &cache)).map_err(super::twin::failed)?;
    let path = path.unwrap_or_else(|| folder.file(file::CALIBRATION));
    Ok(Device { selector, chip, calibration: Some(Chosen { path, calibration }) })
}

/// Gives all but the last epochs to the twin.
fn plan_pretraining(args: &Args, experiment: &mut Experiment) -> Result<(), CommandError> {
    let learning = &mut experiment.learning;
    let all = learning.epochs + learning.warm_start_epochs;
    let twin = args.pretrain_epochs.unwrap_or(all - all.div_ceil(10));
    if twin == 0 || twin >= all {
        return Err(CommandError::Usage(format!(
            "--pretrain-epochs {twin}: the experiment has {all} epochs; at least one must be the twin's and one the chip's"
        )));
    }
    (learning.warm_start_epochs, learning.epochs) = (twin, all - twin);
    experiment.chip.warm_start = WarmStart::Twin;
    Ok(())
}

/// The calibration that is wanted. A run that goes on keeps the one it began with.
fn choice(args: &Args, folder: &RunFolder) -> Choice {
    match &args.calibration {
        Some(choice) => choice.clone(),
        None if !args.resume => Choice::Latest,
        None if folder.has(file::CALIBRATION) => Choice::File(folder.file(file::CALIBRATION)),
        None => Choice::None,
    }
}

/// The experiment file that the arguments name, or the one of the run that goes on, with overrides.
fn table(args: &Args) -> Result<toml::Table, CommandError> {
    let usage = |e: config::ConfigError| CommandError::Usage(e.to_string());
    let kept = args.out.as_ref().map(|out| out.join(file::CONFIG));
    match (&args.config, kept) {
        (Some(given), _) => config::table(given, &args.set).map_err(usage),
        (None, Some(kept)) => {
            let folder = args.out.as_deref().unwrap_or(Path::new("."));
            RunFolder::open(folder).map_err(anyhow::Error::from)?;
            config::table(&kept.to_string_lossy(), &args.set).map_err(usage)
        }
        (None, None) => Err(CommandError::Usage("name an experiment".into())),
    }
}

/// The experiment that the arguments describe.
fn experiment(args: &Args, table: toml::Table) -> Result<Experiment, CommandError> {
    let mut experiment: Experiment =
        config::typed(table).map_err(|e| CommandError::Usage(e.to_string()))?;
    if let Some(chip) = &args.chip {
        experiment.chip.selector = Some(chip.to_string());
    }
    if let Some(backward) = args.backward {
        experiment.chip.backward = backward;
    }
    if args.software {
        experiment.chip.selector = None;
    }
    if args.pretrain.is_some() {
        plan_pretraining(args, &mut experiment)?;
    }
    experiment.check().map_err(|e| CommandError::Usage(e.to_string()))?;
    if args.resume {
        check_same(args, &experiment)?;
    }
    Ok(experiment)
}

/// A run goes on with the experiment it was started with; only its length and its chip's address may change.
fn check_same(args: &Args, experiment: &Experiment) -> Result<(), CommandError> {
    let Some(out) = &args.out else { return Ok(()) };
    let folder = RunFolder::open(out).map_err(anyhow::Error::from)?;
    let kept = folder.file(file::CONFIG);
    let mut kept: Experiment = config::load(&kept.to_string_lossy(), &[])
        .map_err(|e| CommandError::Usage(e.to_string()))?;
    kept.chip.selector.clone_from(&experiment.chip.selector);
    kept.learning.epochs = experiment.learning.epochs;
    if kept == *experiment {
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "{} was started with another experiment: continue it without CONFIG and --set, or start a new run",
        out.display()
    )))
}

/// The folder of the run: as given, or a new one named after the time and the experiment.
pub(super) fn folder(args: &Args, name: &str) -> Result<RunFolder, CommandError> {
    let folder = match (&args.out, args.resume) {
        (Some(out), true) => RunFolder::open(out),
        (Some(out), false) => RunFolder::create(out),
        (None, _) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
            let name = format!("{}-{name}", timestamp(now));
            RunFolder::create(&Path::new("runs").join(name))
        }
    };
    Ok(folder.map_err(anyhow::Error::from)?)
}

/// Opens the experiment's chip, if it has one, and finds its calibration.
///
/// # Errors
/// A selector that cannot be read, a chip that cannot be opened, a calibration that is not its own.
pub fn open_chip(
    experiment: &Experiment,
    threads: Option<usize>,
    choice: &Choice,
) -> Result<Option<Device>, CommandError> {
    let Some(text) = &experiment.chip.selector else { return Ok(None) };
    let selector: Selector =
        text.parse().map_err(|e| CommandError::Usage(format!("chip.selector: {e}")))?;
    let chip = super::open_with(&selector, threads)?;
    tracing::info!("chip {} at {selector}", chip.capabilities().identity);
    let calibration =
        choice.find(chip.capabilities(), &cache::calibrations()).map_err(anyhow::Error::from)?;
    if *choice != Choice::None {
        tell(experiment, calibration.as_ref());
    }
    Ok(Some(Device { selector: selector.to_string(), chip, calibration }))
}

/// Says which calibration is used.
fn tell(experiment: &Experiment, calibration: Option<&Chosen>) {
    match calibration {
        Some(chosen) => {
            let summary = chosen.summary(experiment.chip.codes, crate::run::now());
            tracing::info!("calibration of {}", summary.line());
        }
        None => tracing::info!("no calibration: one code for all neurons"),
    }
}

/// Holds every expectation against the summary.
///
/// # Errors
/// [`CommandError::ExpectationMissed`] naming all that were missed, [`CommandError::Usage`] for a key that the
/// summary does not have.
pub fn judge(expectations: &[Expectation], summary: &impl Serialize) -> Result<(), CommandError> {
    let value = serde_json::to_value(summary).map_err(anyhow::Error::from)?;
    let mut missed = Vec::new();
    for expectation in expectations {
        match expectation.judge(&value) {
            Verdict::Met => {}
            Verdict::Missed(found) => missed.push(format!("{expectation}, found {found}")),
            Verdict::Unknown(keys) => {
                return Err(CommandError::Usage(format!(
                    "--expect {expectation}: the summary has no such number; it has {}",
                    keys.join(", ")
                )));
            }
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(CommandError::ExpectationMissed(missed.join("; ")))
}

/// The summary as a person reads it.
#[must_use]
pub fn render(summary: &Summary, folder: Option<&RunFolder>) -> String {
    let percent = |a: f64| format!("{:.2} %", 100.0 * a);
    let chip = summary.chip.as_ref();
    let mut rows = vec![
        ("task", format!("{}, seed {}", summary.task, summary.seed)),
        (
            "chip",
            chip.map_or("none (software)".into(), |c| format!("{}  {}", c.identity, c.selector)),
        ),
        (
            "test accuracy",
            format!("{} of {} samples", percent(summary.test_accuracy), summary.test_samples),
        ),
    ];
    if let Some(calibration) = &summary.calibration {
        rows.insert(2, ("calibration", calibration.line()));
    }
    if let Some(transfer) = &summary.transfer {
        rows.push((
            "before the loop",
            format!(
                "{} {}, {} with the same weights on the chip",
                percent(transfer.software_accuracy),
                if transfer.on_twin { "on the twin" } else { "in software" },
                percent(transfer.chip_accuracy)
            ),
        ));
    }
    if let Some(accuracy) = summary.validation_accuracy {
        rows.push(("validation", percent(accuracy)));
    }
    if let Some(accuracy) = summary.train_accuracy {
        rows.push(("train accuracy", format!("{} in epoch {}", percent(accuracy), summary.epochs)));
    }
    if let Some(accuracy) = summary.learned_accuracy {
        rows.push(("training set", format!("{} after the last epoch", percent(accuracy))));
    }
    rows.push(("hidden spikes", format!("{:.1} a sample", summary.hidden_spikes_per_sample)));
    rows.push(("speed", format!("{:.0} samples/s", summary.samples_per_s)));
    if summary.twin_trials > 0 {
        let (chip, twin) = (summary.chip_trials, summary.twin_trials);
        let share = (chip + twin) as f64 / chip.max(1) as f64;
        rows.push((
            "trials",
            format!("{chip} on the chip, {twin} on its twin: {share:.1} times fewer than all on the chip"),
        ));
    }
    if let Some(traces) = summary.trace_bytes {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let times = traces.all as f64 / traces.sent.max(1) as f64;
        let (sent, all) = (mb(traces.sent), mb(traces.all));
        let text =
            format!("{sent:.1} MB of membranes instead of {all:.1} MB: {times:.1} times fewer");
        rows.push(("traces", text));
    }
    if chip.is_some() {
        rows.push((
            "losses",
            format!(
                "{} events dropped, {} retries, {} samples saturated, {} weights clipped",
                summary.dropped_events,
                summary.retries,
                summary.saturated_samples,
                summary.clipped_weights
            ),
        ));
    }
    if let Some(link) = &summary.link {
        let recoveries = summary.health.map_or(0, |health| health.recoveries);
        rows.push((
            "link",
            format!(
                "{:.1} MB up, {:.1} MB down; {} frames sent again, {} came twice, {} damaged; brought back {recoveries} times",
                link.bytes_up as f64 / 1e6,
                link.bytes_down as f64 / 1e6,
                link.frames_resent,
                link.duplicates,
                link.damaged_frames,
            ),
        ));
    }
    if let Some(folder) = folder {
        rows.push(("report", folder.file(file::REPORT).display().to_string()));
    }
    super::table::pairs(rows)
}

/// Shows progress on standard error.
pub(super) struct Observer<'a> {
    context: &'a Context,
    bar: Bar,
    shown: std::cell::Cell<Option<usize>>,
    meter: Meter,
}

/// Bytes a second on the link, over the last second.
#[derive(Debug, Default)]
struct Meter {
    /// When it was read last, and what stood there.
    last: std::cell::Cell<Option<(Instant, LinkUse)>>,
    text: std::cell::RefCell<String>,
}

impl Meter {
    fn note(&self, link: &LinkUse) {
        let now = Instant::now();
        let Some((then, before)) = self.last.get() else {
            return self.last.set(Some((now, *link)));
        };
        let seconds = (now - then).as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        let rate = |after: u64, before: u64| (after - before) as f64 / seconds / 1e3;
        let mut text = format!(
            "  link {:.0} kB/s up, {:.0} kB/s down",
            rate(link.bytes_up, before.bytes_up),
            rate(link.bytes_down, before.bytes_down)
        );
        let trouble = link.frames_resent + link.duplicates;
        if trouble > 0 {
            text.push_str(&format!(", {trouble} repeated"));
        }
        self.text.replace(text);
        self.last.set(Some((now, *link)));
    }
}

impl<'a> Observer<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            bar: context.progress.bar("", 0),
            shown: std::cell::Cell::new(None),
            meter: Meter::default(),
        }
    }
}

impl Watch for Observer<'_> {
    fn batch(&self, phase: Phase, epoch: usize, batch: usize, batches: usize, tally: &Tally) {
        if self.shown.replace(Some(epoch)) != Some(epoch) {
            let label = match phase {
                Phase::Software => "software",
                Phase::Twin => "on the twin",
                Phase::InTheLoop => "in the loop",
            };
            self.bar.restart(format!("{label} {}", epoch + 1), batches as u64);
        }
        self.bar.set_position(batch as u64);
        let (loss, accuracy) = (tally.mean_loss(), 100.0 * tally.accuracy());
        let meter = self.meter.text.borrow();
        self.bar.set_message(format!("loss {loss:.4}  accuracy {accuracy:.1} %{meter}"));
    }

    fn link(&self, link: &LinkUse) {
        self.meter.note(link);
    }

    fn epoch(&self, m: &EpochMetrics, epochs: usize) {
        let phase = match m.phase {
            Phase::Software => "software",
            Phase::Twin => "on the twin",
            Phase::InTheLoop => "in the loop",
        };
        let tested = match (m.validation_accuracy, m.test_accuracy) {
            (Some(a), _) => format!("  validation {:.2} %", 100.0 * a),
            (None, Some(a)) => format!("  test {:.2} %", 100.0 * a),
            (None, None) => String::new(),
        };
        tracing::info!(
            "epoch {}/{epochs} {phase}: loss {:.4}  train {:.2} %{tested}  {:.1} hidden spikes  {:.1} s",
            m.epoch,
            m.train_loss,
            100.0 * m.train_accuracy,
            m.train_spikes_per_sample,
            m.seconds
        );
    }

    fn transfer(&self, transfer: &Transfer) {
        tracing::info!(
            "warm start over: {:.2} % {}, the same weights on the chip {:.2} %",
            100.0 * transfer.software_accuracy,
            if transfer.on_twin { "on the twin" } else { "in software" },
            100.0 * transfer.chip_accuracy
        );
    }

    fn interrupted(&self) -> bool {
        self.context.interrupt.requested()
    }
}
