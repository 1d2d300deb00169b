//! Recordings for other programs: wave forms (VCD), arrays (NPZ), tables (CSV).

mod csv;
mod npz;
mod vcd;

use super::walk::{place, walk};
use serde::Serialize;
use spikeloop_hal::recording::{RecordingError, Tape};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

/// What a recording can be exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Value change dump: spikes as events, membranes as reals over chip time (GTKWave)
    Vcd,
    /// NumPy arrays
    Npz,
    /// Tables of spikes and of samples
    Csv,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Vcd => "vcd",
            Self::Npz => "npz",
            Self::Csv => "csv",
        }
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is no such run.
    #[error("{} has no run {run}: it holds {held}", file.display())]
    NoSuchRun {
        /// The recording.
        file: PathBuf,
        /// Which run.
        run: u64,
        /// What it holds.
        held: String,
    },
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Runs.
    pub runs: u64,
    /// Trials.
    pub trials: u64,
    /// Input events.
    pub inputs: u64,
    /// Spikes.
    pub spikes: u64,
    /// Membrane samples.
    pub samples: u64,
}

/// Exports a recording, or only the run of number `run`, to `out`, or beside the recording. Runs
/// without results have inputs only.
///
/// # Errors
/// [`ExportError`].
pub fn export(
    tape: &mut Tape,
    format: Format,
    run: Option<u64>,
    out: Option<&Path>,
) -> Result<Exported, ExportError> {
    let only = run.map(|run| place(tape, run).ok_or_else(|| missing(tape, run))).transpose()?;
    let out = match out {
        Some(out) => out.to_owned(),
        None => tape.path().with_extension(format.extension()),
    };
    let mut exported = match format {
        Format::Vcd => vcd::write(tape, only, &out),
        Format::Npz => npz::write(tape, only, &out),
        Format::Csv => csv::write(tape, only, &out),
    }?;
    walk(tape, only, |run| -> Result<(), ExportError> {
        exported.runs += 1;
        exported.trials += run.stimuli.len() as u64;
        exported.inputs += run.stimuli.iter().map(|s| s.events.len() as u64).sum::<u64>();
        if let Some(results) = run.results {
            exported.spikes += results.observables.spikes.len() as u64;
            exported.samples += results.observables.samples.len() as u64;
        }
        Ok(())
    })?;
    Ok(exported)
}

fn missing(tape: &Tape, run: u64) -> ExportError {
    let held = match tape.runs() {
        0 => "none".to_owned(),
        n => format!("runs {} to {}", tape.number(0), tape.number(n - 1)),
    };
    ExportError::NoSuchRun { file: tape.path().to_owned(), run, held }
}

/// An open file and its name.
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    fn create(path: &Path) -> Result<Self, ExportError> {
        let file = File::create(path)
            .map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn failed(&self) -> impl Fn(io::Error) -> ExportError + use<> {
        let path = self.path.clone();
        move |source| ExportError::Write { path: path.clone(), source }
    }

    /// Ends the file and gives its name.
    fn close(mut self) -> Result<PathBuf, ExportError> {
        let failed = self.failed();
        io::Write::flush(&mut self.file).map_err(failed)?;
        Ok(self.path)
    }
}

#[cfg(test)]
mod tests;
