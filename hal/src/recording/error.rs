//! What can be wrong with a recording.

use super::difference::Difference;
use super::format::Call;
use super::tape::Ending;
use crate::wire::Malformed;
use std::io;
use std::path::PathBuf;

/// Why a recording cannot be written, read or replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// Reading or writing failed.
    #[error("cannot {action} the recording {}: {source}{}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A recording is never overwritten.
    #[error("{} exists already and is not overwritten: choose another name for the recording, or continue the run that it belongs to with --resume", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("another process is writing the recording {}: wait for it or stop it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file does not begin as a recording does.
    #[error("{} is no recording: name a file that was written with --record", path.display())]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// It is of another version.
    #[error("the recording {} has {what} version {found}, this program reads {known}: use the version of spikeloop that made it, or record again", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Which version: of the format, or of the wire protocol.
        what: &'static str,
        /// What the file has.
        found: u16,
        /// What this build reads.
        known: u16,
    },
    /// Its head cannot be used.
    #[error("the head of the recording {} is damaged ({why}), and nothing after it can be read: record again", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A record with a good checksum makes no sense.
    #[error("the record at byte {offset} of {} makes no sense: {why}; it was written by another program, or changed on purpose", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where its body begins.
        offset: u64,
        /// What is wrong with it.
        why: Malformed,
    },
    /// A run is to be continued on another chip than the recorded one.
    #[error("{} is a recording of chip {recorded}, this is {present} (or its firmware or size is another): continue on the recorded chip, or record into another file", path.display())]
    OtherChip {
        /// The file.
        path: PathBuf,
        /// Identity of the recorded chip.
        recorded: String,
        /// Identity of the chip at hand.
        present: String,
    },
    /// The replay was asked for something else than what was recorded.
    #[error("run {run} is not what was recorded: {}; a recording replays only with the program, experiment and seed that made it (`spikeloop recording show {}` names them)", difference.between("recorded", "asked for"), path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// Number of the run.
        run: u64,
        /// Where, and both values.
        difference: Box<Difference>,
    },
    /// The replay is at its end.
    #[error("the recording {} {}: {ending}; there is no more to replay", path.display(), after(*runs))]
    Ended {
        /// The file.
        path: PathBuf,
        /// Runs that it holds.
        runs: u64,
        /// Where and why it ends.
        ending: Ending,
    },
    /// What is wanted was lost while recording.
    #[error("the recording {} has a gap at run {run}: {lost} records could not be written while it was made (disk full?); replay ends here", path.display())]
    Gap {
        /// The file.
        path: PathBuf,
        /// First run that is missing.
        run: u64,
        /// Records lost in the whole file.
        lost: u64,
    },
    /// The recorded chip failed here.
    #[error("the recorded chip failed at this point, run {run} ({call}): {message}")]
    Failed {
        /// Number of the run.
        run: u64,
        /// In which call.
        call: Call,
        /// What it said.
        message: String,
    },
}

fn after(runs: u64) -> String {
    match runs {
        0 => "holds no run".into(),
        n => format!("ends after run {}", n - 1),
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => ": the disk is full, free some space",
        io::ErrorKind::PermissionDenied => ": choose a place you may write to",
        io::ErrorKind::NotFound => ": check the path",
        _ => "",
    }
}
