//! Running virtual boards of this user, so that they can be listed and found by name.
//!
//! Each board keeps one small file in `$XDG_RUNTIME_DIR/spikeloop` (or, where that variable is not
//! set, in a folder of the temporary directory that only this user can read). As long as the board
//! runs it holds a lock on its file; a file without a lock was left behind by a board that was
//! killed, and is removed by whoever sees it. Unlike a process number, a lock is never reused.

use crate::error::Error;
use crate::selector::{Address, check_name};
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Ending of the boards' files.
const ENDING: &str = "board";

/// Attempts at reading a file that its board is just writing, or at a lock that somebody else
/// takes for a moment to see whether the board is alive.
const ATTEMPTS: usize = 5;

/// What is known of a running virtual board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Its name, unique among the running boards of one user.
    pub name: String,
    /// Selector that reaches it.
    pub selector: String,
    /// Path of its terminal, if it is behind one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<PathBuf>,
    /// Who is connected, if it is behind TCP and somebody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Selector of the emulated chip on it.
    pub chip: String,
    /// The chip's identity, `kind/serial`.
    pub identity: String,
    /// Process that runs it.
    pub pid: u32,
    /// When it was started, in seconds since 1970 (UTC).
    pub started_unix_s: u64,
}

impl Board {
    /// Path of its terminal, if it is behind one.
    #[must_use]
    pub fn terminal(&self) -> Option<&Path> {
        self.terminal.as_deref()
    }

    /// Where a session finds it, if its selector is one of a link.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        match self.selector.parse() {
            Ok(crate::Selector::Link(address)) => Some(address),
            _ => None,
        }
    }
}

/// The folder in which running boards are listed.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// The registry of the current user. Nothing is created until a board registers.
    ///
    /// # Errors
    /// [`Error::Registry`] if the folder exists but others could have written to it.
    pub fn user() -> Result<Self, Error> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(runtime) = set("XDG_RUNTIME_DIR") {
            return Ok(Self::at(Path::new(&runtime).join("spikeloop")));
        }
        let user = match fs::metadata("/proc/self") {
            Ok(metadata) => metadata.uid().to_string(),
            Err(_) => set("USER").map_or("user".into(), |user| user.to_string_lossy().into_owned()),
        };
        let registry = Self::at(std::env::temp_dir().join(format!("spikeloop-{user}")));
        registry.check_private()?;
        Ok(registry)
    }

    /// A registry in a folder of one's own.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// A folder that everybody can create must be ours alone before it is believed.
    fn check_private(&self) -> Result<(), Error> {
        let fail = |text: &str| Err(self.failed(io::Error::other(text)));
        let Ok(metadata) = fs::symlink_metadata(&self.folder) else { return Ok(()) };
        if !metadata.is_dir() {
            return fail("it is not a folder");
        }
        let me = fs::metadata("/proc/self").map(|me| me.uid()).unwrap_or(metadata.uid());
        if metadata.mode() & 0o077 != 0 || metadata.uid() != me {
            return fail("other users can write to it");
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Registry { path: self.folder.clone(), source }
    }

    /// Lists `board` until the returned guard is dropped.
    ///
    /// # Errors
    /// [`Error::NameTaken`] if a running board has that name, [`Error::Selector`] if the name
    /// cannot be a file name, [`Error::Registry`] if the folder cannot be written.
    pub fn register(&self, board: Board) -> Result<Registration, Error> {
        check_name(&board.name)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|source| self.failed(source))?;
        let path = self.folder.join(format!("{}.{ENDING}", board.name));
        let fail = |source| Error::Registry { path: path.clone(), source };
        for _ in 0..ATTEMPTS {
            let mut open = OpenOptions::new();
            open.read(true).write(true).create(true).truncate(false);
            let file = open.open(&path).map_err(fail)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(source)) => return Err(fail(source)),
                Err(TryLockError::WouldBlock) => {
                    if let Some(running) = read_board(&file) {
                        return Err(Error::NameTaken { name: board.name, pid: running.pid });
                    }
                    std::thread::yield_now();
                    continue;
                }
            }
            // Somebody may have removed the file, as a stale one, before it was locked.
            if is_same_file(&file, &path) {
                let mut registration = Registration { file, path: path.clone(), board };
                registration.write().map_err(fail)?;
                return Ok(registration);
            }
        }
        Err(Error::NameTaken { name: board.name, pid: 0 })
    }

    /// Every running board, by name. Files that boards left behind are removed; files that
    /// cannot be read are skipped.
    #[must_use]
    pub fn boards(&self) -> Vec<Board> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut boards: Vec<Board> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .filter_map(|path| running(&path))
            .collect();
        boards.sort_by(|a, b| a.name.cmp(&b.name));
        boards
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Names of files that boards left behind which were killed. [`boards`](Self::boards) removes them.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .filter(|path| File::open(path).is_ok_and(|file| file.try_lock().is_ok()))
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }

    /// The running board of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Board> {
        check_name(name).ok()?;
        running(&self.folder.join(format!("{name}.{ENDING}")))
    }
}

/// The board of the file at `path` if it runs. A stale file is removed.
fn running(path: &Path) -> Option<Board> {
    let file = File::open(path).ok()?;
    match file.try_lock() {
        Ok(()) => {
            if is_same_file(&file, path) {
                tracing::debug!(path = %path.display(), "removing what a killed board left behind");
                let _ = fs::remove_file(path);
            }
            None
        }
        Err(_) => (0..ATTEMPTS).find_map(|_| read_board(&file)),
    }
}

fn is_same_file(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn read_board(mut file: &File) -> Option<Board> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    toml::from_str(&text).ok()
}

/// Keeps a board listed; dropping it takes the board off the list.
#[derive(Debug)]
pub struct Registration {
    file: File,
    path: PathBuf,
    board: Board,
}

impl Registration {
    /// What is listed.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Notes who is connected, or that nobody is.
    ///
    /// # Errors
    /// [`Error::Registry`] if the file cannot be written.
    pub fn set_client(&mut self, client: Option<String>) -> Result<(), Error> {
        self.board.client = client;
        self.write().map_err(|source| Error::Registry { path: self.path.clone(), source })
    }

    fn write(&mut self) -> io::Result<()> {
        let text = toml::to_string(&self.board).map_err(io::Error::other)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if is_same_file(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
