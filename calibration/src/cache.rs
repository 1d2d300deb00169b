//! Calibrations that were made once are found again.
//!
//! ```text
//! FOLDER/KIND-SERIAL/HASH.json            a finished calibration
//! FOLDER/KIND-SERIAL/HASH.progress.json   stages of one that was interrupted
//! ```
//!
//! The hash names everything a calibration follows from: targets and options as they were resolved for the chip, identity
//! and firmware of the chip, version of this library and of its files. Change one and there is nothing to be found. Files are written
//! under another name and renamed, so that nobody ever reads half of one; readers never write, so a folder may be shared
//! read-only. Where the folder is, the caller says.

use crate::error::Error;
use crate::plan::Progress;
use crate::result::{Calibration, Provenance, write_atomically};
use crate::targets::{Options, Target, TargetFile};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spikeloop_hal::Capabilities;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// End of the name of a finished calibration.
const FINISHED: &str = ".json";
/// End of the name of an unfinished one.
const UNFINISHED: &str = ".progress.json";

/// What a calibration follows from, as a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    chip: String,
    hash: String,
}

impl Key {
    /// The key of a calibration of the chip that `caps` describe with these targets.
    ///
    /// # Errors
    /// [`Error::TargetFile`] and [`Error::MissingParameter`] if the targets make no sense on this chip.
    pub fn new(caps: &Capabilities, targets: &TargetFile) -> Result<Self, Error> {
        #[derive(Serialize)]
        struct Basis<'a> {
            format: u32,
            version: &'a str,
            chip: &'a str,
            firmware: u32,
            targets: &'a [Target],
            options: &'a Options,
        }
        let chip = caps.identity.to_string();
        let basis = Basis {
            format: Calibration::FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            chip: &chip,
            firmware: caps.identity.firmware,
            targets: &targets.resolve(caps)?,
            options: &targets.options,
        };
        let text = serde_json::to_string(&basis)
            .map_err(|e| Error::TargetFile { reason: e.to_string() })?;
        let digest = Sha256::digest(text.as_bytes());
        let hash = digest.iter().take(8).fold(String::new(), |mut hex, byte| {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Ok(Self { chip: folder_name(&chip), hash })
    }

    /// The hash, 16 hexadecimal digits.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// A chip's name as the name of a folder. Foreign firmware may call itself anything.
fn folder_name(chip: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    chip.chars().map(|c| if plain(c) { c } else { '-' }).collect()
}

/// A folder of calibrations. Nothing is created before something is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in `folder`.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the finished calibration of a key is, or would be.
    #[must_use]
    pub fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.chip).join(format!("{}{FINISHED}", key.hash))
    }

    /// Where an interrupted calibration of a key is, or would be.
    #[must_use]
    pub fn progress_path(&self, key: &Key) -> PathBuf {
        self.folder.join(&key.chip).join(format!("{}{UNFINISHED}", key.hash))
    }

    /// The finished calibration of a key; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::CalibrationFile`] if there is one that cannot be read.
    pub fn load(&self, key: &Key) -> Result<Option<Calibration>, Error> {
        let path = self.path(key);
        if path.exists() { Calibration::load(&path).map(Some) } else { Ok(None) }
    }

    /// Keeps a finished calibration and forgets how far it had come before. Returns where it is.
    ///
    /// # Errors
    /// [`Error::CalibrationFile`] if it cannot be written.
    pub fn store(&self, key: &Key, calibration: &Calibration) -> Result<PathBuf, Error> {
        let path = self.path(key);
        calibration.save(&path)?;
        self.forget_progress(key);
        Ok(path)
    }

    /// How far an interrupted calibration has come; `None` if there is none, or none that this build can continue.
    #[must_use]
    pub fn load_progress(&self, key: &Key) -> Option<Progress> {
        let path = self.progress_path(key);
        let text = std::fs::read_to_string(&path).ok()?;
        serde_json::from_str(&text)
            .inspect_err(|e| {
                tracing::warn!("{}: {e}; the calibration starts anew", path.display());
            })
            .ok()
    }

    /// Keeps how far a calibration has come.
    ///
    /// # Errors
    /// [`Error::CalibrationFile`] if it cannot be written.
    pub fn store_progress(&self, key: &Key, progress: &Progress) -> Result<(), Error> {
        write_atomically(&self.progress_path(key), progress)
    }

    /// Forgets an interrupted calibration.
    pub fn forget_progress(&self, key: &Key) {
        // Where there was none, or where nothing can be removed, nothing is lost.
        let _ = std::fs::remove_file(self.progress_path(key));
    }

    /// The newest calibration of the chip that `caps` describe, whatever its targets, and where it is. Those made with
    /// another firmware are passed over, damaged ones too, both with a warning.
    #[must_use]
    pub fn latest_for(&self, caps: &Capabilities) -> Option<(PathBuf, Calibration)> {
        let chip = caps.identity.to_string();
        let mut heads = self.heads(&chip);
        // The newest last; equal times in the order of their names, so that the answer is always the same.
        heads.sort_by(|a, b| (&a.1.time, &a.0).cmp(&(&b.1.time, &b.0)));
        while let Some((path, head)) = heads.pop() {
            if head.chip != chip {
                continue;
            }
            let found = Calibration::load(&path);
            match found.and_then(|found| found.check(caps).map(|()| found)) {
                Ok(calibration) => return Some((path, calibration)),
                Err(error) => tracing::warn!("{}: {error}", path.display()),
            }
        }
        None
    }

    /// Finished calibrations in the folder of a chip, with what they say about themselves.
    fn heads(&self, chip: &str) -> Vec<(PathBuf, Provenance)> {
        #[derive(Deserialize)]
        struct Head {
            provenance: Provenance,
        }
        let Ok(entries) = std::fs::read_dir(self.folder.join(folder_name(chip))) else {
            return Vec::new();
        };
        let finished = |path: &PathBuf| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            name.is_some_and(|n| n.ends_with(FINISHED) && !n.ends_with(UNFINISHED))
        };
        let mut heads = Vec::new();
        for path in entries.flatten().map(|e| e.path()).filter(finished) {
            let text = std::fs::read_to_string(&path).map_err(|e| e.to_string());
            let head =
                text.and_then(|t| serde_json::from_str::<Head>(&t).map_err(|e| e.to_string()));
            match head {
                Ok(head) => heads.push((path, head.provenance)),
                Err(error) => tracing::warn!("{}: passed over: {error}", path.display()),
            }
        }
        heads
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
