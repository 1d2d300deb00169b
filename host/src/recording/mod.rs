//! Recordings of chips: making one while a command works, and looking at it afterwards.
//!
//! ```text
//! --record F ─► Recorder(chip) ─► F ─┬─► replay:F     the same chip again
//!                                    ├─► show         what stands in it
//!                                    ├─► diff         the first place in which two differ
//!                                    └─► export       wave forms, arrays, tables
//! ```
//! The file itself is described in [`spikeloop_hal::recording`].

pub mod diff;
pub mod export;
pub mod shown;
pub mod walk;

use crate::run::now;
use crate::run_folder::timestamp;
use crate::run_report::command_line;
use spikeloop_hal::recording::{Notes, Status};
use spikeloop_hal::{Chip, Error, Recorder};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is remembered in the head of a recording: the command, its time and version, the way to the
/// chip, and `more`.
#[must_use]
pub fn notes(selector: &str, more: &[(&str, String)]) -> Notes {
    let common = [
        ("command", command_line()),
        ("time", timestamp(now())),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("selector", selector.to_owned()),
    ];
    common.iter().chain(more).map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// Puts a recorder around a chip. With `resume` it goes on with the file if there is one, and answers
/// from it what the chip has answered before.
///
/// # Errors
/// [`Error::RecordingFile`].
pub fn record(
    chip: Box<dyn Chip>,
    path: &Path,
    resume: bool,
    notes: Notes,
) -> Result<(Box<dyn Chip>, Watch), Error> {
    let recorder = match resume {
        true => Recorder::resume(chip, path, notes)?,
        false => Recorder::create(chip, path, notes)?,
    };
    let watch = Watch { path: path.to_owned(), status: recorder.status() };
    Ok((Box::new(recorder), watch))
}

/// Says at the end of a command what became of its recording. Drop it after the chip.
#[derive(Debug)]
pub struct Watch {
    path: PathBuf,
    status: Arc<Status>,
}

impl Watch {
    /// Counters of the recorder.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (status, path) = (&self.status, self.path.display());
        if status.replayed() > 0 {
            tracing::info!(
                "{} runs were answered from {path}, {} by the chip",
                status.replayed(),
                status.live()
            );
        }
        if status.lost() > 0 {
            tracing::warn!(
                "the recording {path} is incomplete: {} records could not be written; the results of this command are not affected, but it replays only up to the gap. Free some space and record again",
                status.lost()
            );
        } else {
            tracing::info!(
                "recorded in {path}: {} records, {:.1} MB",
                status.records(),
                status.bytes() as f64 * 1e-6
            );
        }
    }
}
