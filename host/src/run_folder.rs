//! One folder a run: everything that is needed to understand, repeat or continue it.
//!
//! ```text
//! runs/2026-11-22T10-30-00-mnist16/
//!   config.toml        the resolved experiment: every value, also those that were defaults
//!   chip.json          identity, selector and capabilities of the chip, if there is one
//!   calibration.json   the chip's calibration, if one is used
//!   metrics.jsonl      one line an epoch
//!   checkpoint.safetensors   weights, optimiser, position: continues with the same bits
//!   summary.json       the result, written at the end
//!   report.html        the result, to look at
//! ```
//!
//! Files that replace an earlier version are written beside it, flushed and renamed: a killed process or
//! a full disk leaves the earlier version intact.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

/// File names inside a run folder.
pub mod file {
    /// The resolved experiment.
    pub const CONFIG: &str = "config.toml";
    /// Identity and capabilities of the chip.
    pub const CHIP: &str = "chip.json";
    /// The calibration of the chip, if one is used.
    pub const CALIBRATION: &str = "calibration.json";
    /// One JSON object an epoch.
    pub const METRICS: &str = "metrics.jsonl";
    /// Weights, optimiser and position.
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// The result.
    pub const SUMMARY: &str = "summary.json";
    /// What the weights of a warm start were worth on the chip before it was in the loop.
    pub const TRANSFER: &str = "transfer.json";
    /// Digital twin that the warm start runs on.
    pub const TWIN: &str = "twin.toml";
    /// The result, to look at.
    pub const REPORT: &str = "report.html";
}

/// What can go wrong with files of a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    /// The folder exists and is not empty.
    #[error("{path} already holds a run: choose another --out, or continue it with --resume")]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// There is no run to continue.
    #[error("{path} holds no run that can be continued ({missing} is missing)")]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        missing: &'static str,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {path}: {source}{}", remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file of the run is damaged.
    #[error("{path} is damaged: {message}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull => {
            ": the disk is full; the last checkpoint is intact, free some space and continue with --resume"
        }
        io::ErrorKind::PermissionDenied => ": choose a folder you may write to with --out",
        _ => "",
    }
}

/// A run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes a new folder.
    ///
    /// # Errors
    /// [`RunFolderError::Occupied`] if it holds a run already, [`RunFolderError::Io`].
    pub fn create(path: &Path) -> Result<Self, RunFolderError> {
        let run = Self { path: path.to_owned() };
        fs::create_dir_all(path).map_err(|e| run.io("create", "", e))?;
        if run.has(file::CONFIG) {
            return Err(RunFolderError::Occupied { path: path.to_owned() });
        }
        Ok(run)
    }

    /// Opens the folder of an earlier run.
    ///
    /// # Errors
    /// [`RunFolderError::NotARun`].
    pub fn open(path: &Path) -> Result<Self, RunFolderError> {
        let run = Self { path: path.to_owned() };
        if run.has(file::CONFIG) {
            return Ok(run);
        }
        Err(RunFolderError::NotARun { path: path.to_owned(), missing: file::CONFIG })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether a file is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.file(name).is_file()
    }

    fn io(&self, action: &'static str, name: &str, source: io::Error) -> RunFolderError {
        RunFolderError::Io { action, path: self.file(name), source }
    }

    /// Replaces a file as a whole, or leaves the earlier version.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunFolderError> {
        let temporary = self.file(&format!(".{name}.new"));
        let result = File::create(&temporary).and_then(|mut f| {
            f.write_all(bytes)?;
            f.sync_all()
        });
        let result = result.and_then(|()| fs::rename(&temporary, self.file(name)));
        result.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            self.io("write", name, e)
        })
    }

    /// Writes a value as pretty JSON.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RunFolderError> {
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|e| self.io("encode", name, io::Error::other(e)))?;
        text.push(b'\n');
        self.write(name, &text)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn read(&self, name: &str) -> Result<Vec<u8>, RunFolderError> {
        fs::read(self.file(name)).map_err(|e| self.io("read", name, e))
    }

    /// Reads a JSON file.
    ///
    /// # Errors
    /// [`RunFolderError::Io`], [`RunFolderError::Damaged`].
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunFolderError> {
        serde_json::from_slice(&self.read(name)?)
            .map_err(|e| RunFolderError::Damaged { path: self.file(name), message: e.to_string() })
    }

    /// Adds one JSON line to a file.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn append<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RunFolderError> {
        let mut line =
            serde_json::to_vec(value).map_err(|e| self.io("encode", name, io::Error::other(e)))?;
        line.push(b'\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file(name))
            .and_then(|mut f| f.write_all(&line))
            .map_err(|e| self.io("append to", name, e))
    }

    /// The whole JSON lines of a file, none if it is missing; a line cut off by a power loss is left out.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>, RunFolderError> {
        if !self.has(name) {
            return Ok(Vec::new());
        }
        let file = File::open(self.file(name)).map_err(|e| self.io("read", name, e))?;
        let mut values = Vec::new();
        for line in io::BufReader::new(file).lines() {
            let line = line.map_err(|e| self.io("read", name, e))?;
            match serde_json::from_str(&line) {
                Ok(value) => values.push(value),
                Err(_) => break,
            }
        }
        Ok(values)
    }

    /// Replaces the lines of a file: by those that the checkpoint knows of.
    ///
    /// # Errors
    /// [`RunFolderError::Io`].
    pub fn rewrite<T: Serialize>(&self, name: &str, values: &[T]) -> Result<(), RunFolderError> {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, value)
                .map_err(|e| self.io("encode", name, io::Error::other(e)))?;
            text.push(b'\n');
        }
        self.write(name, &text)
    }
}

/// `2026-11-22T10-30-00` of a time in seconds since 1970 (UTC): sorts by time, fit for a file name.
///
/// Days to a date by the civil-calendar algorithm of Howard Hinnant.
#[must_use]
pub fn timestamp(seconds: u64) -> String {
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}-{m:02}-{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_civil_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00-00-00");
        assert_eq!(timestamp(951_782_400), "2000-02-29T00-00-00");
        assert_eq!(timestamp(1_795_350_645), "2026-11-22T12-30-45");
    }

    #[test]
    fn a_second_run_does_not_overwrite_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::create(&dir.path().join("r")).unwrap();
        run.write(file::CONFIG, b"x = 1").unwrap();
        assert!(matches!(RunFolder::create(run.path()), Err(RunFolderError::Occupied { .. })));
        assert_eq!(RunFolder::open(run.path()).unwrap(), run);
        assert!(matches!(RunFolder::open(dir.path()), Err(RunFolderError::NotARun { .. })));
    }

    #[test]
    fn a_failed_write_leaves_the_earlier_version() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::create(dir.path()).unwrap();
        run.write("a.json", b"old").unwrap();
        // A folder where the temporary file should go makes the write fail.
        fs::create_dir(run.file(".a.json.new")).unwrap();
        assert!(run.write("a.json", b"new").is_err());
        assert_eq!(run.read("a.json").unwrap(), b"old");
    }

    #[test]
    fn a_line_cut_off_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder::create(dir.path()).unwrap();
        run.append("m", &1).unwrap();
        run.append("m", &[2]).unwrap();
        let mut f = OpenOptions::new().append(true).open(run.file("m")).unwrap();
        f.write_all(b"{\"a\":").unwrap();
        assert_eq!(run.lines::<serde_json::Value>("m").unwrap().len(), 2);
        run.rewrite("m", &[7]).unwrap();
        assert_eq!(run.lines::<u32>("m").unwrap(), [7]);
        assert!(run.lines::<u32>("none").unwrap().is_empty());
    }
}
