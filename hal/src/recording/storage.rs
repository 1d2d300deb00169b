//! Where a recording is written to.

use super::error::RecordingError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes that are only ever appended, except for cutting off what was written in vain.
pub trait Storage: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// What the operating system says; a part of them may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts everything from byte `length` on off; the next append goes there.
    ///
    /// # Errors
    /// What the operating system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Returns when everything survives a power loss.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that no other process records into. The lock ends with the process, however it ends.
#[derive(Debug)]
pub struct FileStorage {
    file: File,
}

impl FileStorage {
    /// Makes a new file.
    ///
    /// # Errors
    /// [`RecordingError::Exists`], [`RecordingError::Io`].
    pub fn create(path: &Path) -> Result<Self, RecordingError> {
        let options = OpenOptions::new().read(true).write(true).create_new(true).to_owned();
        Self::locked(path, &options, "create")
    }

    /// Opens a file to append to it.
    ///
    /// # Errors
    /// [`RecordingError::InUse`], [`RecordingError::Io`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::locked(path, OpenOptions::new().read(true).write(true), "open")
    }

    fn locked(
        path: &Path,
        options: &OpenOptions,
        action: &'static str,
    ) -> Result<Self, RecordingError> {
        let path = path.to_owned();
        let file = match options.open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RecordingError::Exists { path });
            }
            Err(source) => return Err(RecordingError::Io { action, path, source }),
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(RecordingError::InUse { path }),
            // Some network file systems have no locks: then the user has to take care.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        Ok(Self { file })
    }

    /// The same file, to be read.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

impl Storage for FileStorage {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Readers of the same file share its position.
        self.file.seek(SeekFrom::End(0))?;
        self.file.write_all(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}
