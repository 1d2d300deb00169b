//! The command line: one verb a file.
//!
//! Every verb has `pub struct Args` (what clap parses) and
//! `pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError>`, one variant in
//! [`Verb`] and one arm in `dispatch`. Results go to standard output through [`output`],
//! everything else to standard error through [`tracing`] and [`Context::progress`].

pub mod advise;
pub mod bench;
pub mod calibrate;
pub mod calibration;
pub mod calibration_check;
pub mod choose;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod emulate;
pub mod error;
pub mod eval;
pub mod experiments;
pub mod info;
mod lesson;
pub mod list;
pub mod output;
pub mod parity;
pub mod record;
pub mod recording;
pub mod robustness;
pub mod study;
pub mod table;
pub mod train;
pub mod twin;

pub use choose::ChipArgs;
pub use error::CommandError;
pub use record::RecordArgs;

use crate::exit_code::ExitCode;
use crate::interrupt::Interrupt;
use crate::log::{self, Progress, Verbosity};
use clap::{ArgAction, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use spikeloop_hal::link::fault::{FaultSettings, Faults};
use spikeloop_hal::link::tracer::{Format, Sink};
use spikeloop_hal::open::Around;
use spikeloop_hal::{Chip, OpenOptions, Selector};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// How the process ends, at the bottom of the help text.
const EXIT_CODES: &str = "\
Exit codes:
  0  done                              5  an expectation (--expect) was missed
  1  any other error                   6  the link failed or timed out
  2  usage, selector, configuration    7  the device refused
  3  no device                         8  the device is in use
  4  several devices, none named       9  a file: missing, damaged, disk full
                                     130  interrupted

Chips are named by selectors, with --chip or the variable SPIKELOOP_CHIP:
  emu:preset=bss2-chip66-uncal,seed=7     the emulator, in this process
  serial:/dev/ttyACM0,baud=3000000        a board on a serial port
  tcp:127.0.0.1:4000                      a board behind a network address
  pty:NAME                                a running virtual board (see `emulate`)
  replay:FILE                             the chip of a recording (see --record)";

/// Train spiking networks in the loop on mismatched neuromorphic chips.
#[derive(Debug, Parser)]
#[command(name = "spikeloop", bin_name = "spikeloop", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// Say more on standard error (twice: everything); RUST_LOG overrides it
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "Output")]
    pub verbose: u8,
    /// Say only errors on standard error
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "Output")]
    pub quiet: u8,
    /// Colour
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    #[arg(help_heading = "Output")]
    pub color: ColorChoice,
    /// Faults on purpose on the link to the chip, such as flip=1e-4,drop=0.01,stall=0.001:20ms,seed=3
    #[arg(long, value_name = "FAULTS", global = true, help_heading = "Link")]
    pub fault: Option<FaultSettings>,
    /// Write everything that passes on the link to a file: text, or for Wireshark if it ends in .pcap
    #[arg(long, value_name = "FILE", global = true, help_heading = "Link")]
    pub trace: Option<PathBuf>,
    /// Print one JSON object on standard output and nothing else
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Watch the whole story in under a minute: an uncalibrated chip behind a serial link, trained in the loop
    Demo(demo::Args),
    /// Show the boards that are connected, and what of them can be used
    List(list::Args),
    /// Show what a chip says it is
    Info(info::Args),
    /// Run virtual boards: emulated chips behind the real firmware and the real wire
    Emulate(emulate::Args),
    /// Measure a chip, set every neuron to the wanted values, and say how good each one is
    Calibrate(calibrate::Args),
    /// Look at calibrations that were made
    Calibration(calibration::Args),
    /// Show the experiments inside the program, or print the file of one
    Experiments(experiments::Args),
    /// Learn a task, in software or with a chip in the loop
    Train(train::Args),
    /// Show what the weights of a run are worth on a chip
    Eval(eval::Args),
    /// Find out why a chip does not do what the model of a run says
    Parity(parity::Args),
    /// Study accuracy against mismatch, for several ways of bringing a network onto a chip
    Robustness(robustness::Args),
    /// Compare ways of learning: six answers to the missing gradient, shapes of surrogates, the loss around a network
    Study(study::Args),
    /// Say which way onto a chip is worth its cost, played on its digital twin
    Advise(advise::Args),
    /// Make a digital twin of a chip, and see how well it foretells the chip
    Twin(twin::Args),
    /// Look for what may be wrong between this computer and a chip, with a remedy for each finding
    Doctor(doctor::Args),
    /// Measure how fast the way to a chip is
    Bench(bench::Args),
    /// Look at recordings of chips: contents, first difference, export
    Recording(recording::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// What every verb is given besides its own arguments.
#[derive(Clone, Debug)]
pub struct Context {
    /// How much is said on standard error.
    pub verbosity: Verbosity,
    /// Whether standard output carries one JSON object and nothing else.
    pub json: bool,
    /// Where bars are drawn.
    pub progress: Progress,
    /// Whether the user wants an orderly end.
    pub interrupt: Interrupt,
}

/// Runs one command line, program name first. Never panics and never exits the process, except on
/// a second interrupt.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to be told that the stream is closed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
        }
    };
    let context = match context(&cli.global) {
        Ok(context) => context,
        Err(error) => return report(&error, false),
    };
    match dispatch(&cli.verb, &context) {
        Ok(code) => code,
        Err(error) => report(&error, context.json),
    }
}

impl Context {
    /// Opens a chip and says on standard error which one it is.
    ///
    /// # Errors
    /// Those of [`Selector::open`].
    pub fn open(&self, selector: &Selector) -> Result<Box<dyn Chip>, CommandError> {
        let chip = selector.open(&open_options())?;
        tracing::debug!(%selector, identity = %chip.capabilities().identity, "chip open");
        Ok(chip)
    }
}

/// What `--fault` and `--trace` put around every link of this process.
static AROUND: OnceLock<Around> = OnceLock::new();

/// How every verb opens chips.
pub(crate) fn open_options() -> OpenOptions {
    let around = AROUND.get().cloned().unwrap_or_default();
    OpenOptions { around, ..OpenOptions::default() }
}

fn around(global: &Global) -> Result<Around, CommandError> {
    let trace = global.trace.as_deref().map(trace).transpose()?;
    Ok(Around { faults: global.fault.clone().map(Faults::new), trace })
}

fn trace(path: &Path) -> Result<Sink, CommandError> {
    let format = match path.extension().is_some_and(|end| end == "pcap") {
        true => Format::Pcap,
        false => Format::Text,
    };
    let file = std::fs::File::create(path)
        .map_err(|e| anyhow::anyhow!("cannot write the trace {}: {e}", path.display()))?;
    Ok(Sink::new(format, Box::new(std::io::BufWriter::new(file))))
}

/// Opens a chip; an emulated one in this process computes with `threads` threads.
pub(crate) fn open_with(
    selector: &Selector,
    threads: Option<usize>,
) -> Result<Box<dyn Chip>, CommandError> {
    let mut options = open_options();
    options.threads = threads.unwrap_or(options.threads);
    Ok(selector.open(&options)?)
}

/// Limits the threads of everything that computes in this process.
pub(crate) fn use_threads(threads: Option<usize>) -> Result<(), CommandError> {
    match threads {
        Some(0) => Err(CommandError::Usage("--threads must be at least 1".into())),
        Some(n) => {
            // Fails only if the pool exists already, and then results are the same bits anyway.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(n).build_global();
            Ok(())
        }
        None => Ok(()),
    }
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let command = Cli::command().color(asked_color(arguments));
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// Help and usage errors are printed while parsing, so that `--color` has to be known before.
fn asked_color(arguments: &[OsString]) -> ColorChoice {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let value = words.iter().enumerate().find_map(|(k, word)| match *word {
        "--color" => words.get(k + 1).copied(),
        _ => word.strip_prefix("--color="),
    });
    match value {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

fn context(global: &Global) -> Result<Context, CommandError> {
    let verbosity = Verbosity::from_flags(global.verbose, global.quiet);
    let color = match global.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => log::stderr_takes_color(),
    };
    output::set_color(global.color);
    let silent = global.json || verbosity == Verbosity::Quiet;
    let progress = if silent { Progress::hidden() } else { Progress::on_stderr() };
    log::install(&progress, verbosity, color);
    // Set once: a second command line in one process keeps the first one's.
    let _ = AROUND.set(around(global)?);
    let interrupt = Interrupt::install().map_err(anyhow::Error::from)?;
    Ok(Context { verbosity, json: global.json, progress, interrupt })
}

fn dispatch(verb: &Verb, context: &Context) -> Result<ExitCode, CommandError> {
    match verb {
        Verb::Demo(args) => demo::run(args, context),
        Verb::List(args) => list::run(args, context),
        Verb::Info(args) => info::run(args, context),
        Verb::Emulate(args) => emulate::run(args, context),
        Verb::Calibrate(args) => calibrate::run(args, context),
        Verb::Calibration(args) => calibration::run(args, context),
        Verb::Experiments(args) => experiments::run(args, context),
        Verb::Train(args) => train::run(args, context),
        Verb::Eval(args) => eval::run(args, context),
        Verb::Parity(args) => parity::run(args, context),
        Verb::Robustness(args) => robustness::run(args, context),
        Verb::Study(args) => study::run(args, context),
        Verb::Advise(args) => advise::run(args, context),
        Verb::Twin(args) => twin::run(args, context),
        Verb::Doctor(args) => doctor::run(args, context),
        Verb::Bench(args) => bench::run(args, context),
        Verb::Recording(args) => recording::run(args, context),
        Verb::Completions(args) => completions::run(args, context),
    }
}

/// Says what went wrong: on standard error, and with `--json` as an object as well.
fn report(error: &CommandError, json: bool) -> ExitCode {
    let code = error.exit_code();
    if json && !output::printed() {
        let object = output::Failure { error: error.to_string(), exit_code: code as u8 };
        let _ = output::json(&object);
    }
    output::error(&error.to_string());
    code
}
