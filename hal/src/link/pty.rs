//! Pseudo-terminals: a serial line without hardware between it.
//!
//! The board side creates the pair and keeps the terminal end open as well, so that a client that
//! goes away does not hang the line up and the next one can come. A client opens the terminal by
//! its path and holds an exclusive `flock` on it; the kernel drops that lock even if the client is
//! killed. (The exclusive mode of the terminal itself, `TIOCEXCL`, would stay behind.)
//!
//! The terminal is raw: all 256 byte values survive in both directions. When the board goes away
//! the client reads end-of-file; what it had not read by then is lost (measured on Linux: the
//! hang-up flushes the terminal), so that a board must stay until its client has what it asked for.

use super::BoxLink;
use crate::error::Error;
use crate::registry::Registry;
use serialport::SerialPort;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::SerialStream;

/// Never wait in the kernel, never become the controlling terminal.
const OPEN_FLAGS: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// The board's side of a pseudo-terminal.
#[derive(Debug)]
pub struct BoardSide {
    line: SerialStream,
    /// Keeps the line from hanging up between two clients.
    _terminal: serialport::TTYPort,
    path: PathBuf,
}

impl BoardSide {
    /// Creates a pseudo-terminal. Needs a running tokio runtime with input and output enabled.
    ///
    /// # Errors
    /// [`Error::Open`] if the system has none left.
    pub fn create() -> Result<Self, Error> {
        let failed =
            |source: io::Error| Error::Open { device: "a new pseudo-terminal".into(), source };
        let (line, terminal) = serialport::TTYPort::pair().map_err(|error| failed(error.into()))?;
        let path = terminal.name().map(PathBuf::from).ok_or_else(|| {
            failed(io::Error::new(ErrorKind::NotFound, "the terminal has no path"))
        })?;
        let line = SerialStream::try_from(line).map_err(|error| failed(error.into()))?;
        Ok(Self { line, _terminal: terminal, path })
    }

    /// Path that a client opens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsyncRead for BoardSide {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_read(cx, buf)
    }
}

impl AsyncWrite for BoardSide {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.line).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is buffered here, and waiting until a client has read would block a board whose
        // client is gone.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The client's side: the terminal, locked.
#[derive(Debug)]
struct ClientSide {
    file: AsyncFd<File>,
}

/// Opens the terminal of the running virtual board `name`, or the one at the path `name` if it
/// contains a `/`. Needs a running tokio runtime with input and output enabled.
///
/// # Errors
/// [`Error::NoDevice`], [`Error::DeviceInUse`], [`Error::Permission`], [`Error::Open`].
pub fn open(name: &str) -> Result<BoxLink, Error> {
    if name.contains('/') {
        return open_path(Path::new(name));
    }
    let board = Registry::user()?.find(name).ok_or_else(|| Error::NoDevice {
        device: format!("pty:{name}"),
        remedy: "no virtual board of this name runs: see `spikeloop list`, or start one with \
                 `spikeloop emulate --pty NAME`",
    })?;
    match board.terminal() {
        Some(path) => open_path(path),
        None => Err(Error::NoDevice {
            device: format!("pty:{name}"),
            remedy: "that board listens on TCP: use its tcp: selector, which `spikeloop list` shows",
        }),
    }
}

/// Opens the terminal at `path`, takes its lock and discards what an earlier client left unread.
pub(super) fn open_path(path: &Path) -> Result<BoxLink, Error> {
    let device = || format!("pty:{}", path.display());
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::NotFound => Error::NoDevice {
            device: device(),
            remedy: "there is no such terminal (any more): see `spikeloop list`",
        },
        ErrorKind::PermissionDenied => Error::Permission {
            device: device(),
            remedy: "the terminal belongs to another user: start the board yourself or use TCP",
        },
        // EBUSY: somebody opened it in the terminal's own exclusive mode.
        ErrorKind::ResourceBusy => Error::DeviceInUse { device: device() },
        _ => Error::Open { device: device(), source },
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OPEN_FLAGS)
        .open(path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::DeviceInUse { device: device() }),
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    discard_input(&file).map_err(failed)?;
    // SAFETY: `file` owns its descriptor, and `ClientSide` neither replaces nor closes it before
    // it drops the `AsyncFd` itself.
    let file = unsafe { AsyncFd::register(file) }.map_err(|error| failed(error.into()))?;
    Ok(Box::new(ClientSide { file }))
}

/// Reads until nothing is there. Bounded: a board that never stops talking must not hold us.
fn discard_input(mut file: &File) -> io::Result<()> {
    let mut sink = [0; 4096];
    for _ in 0..256 {
        match file.read(&mut sink) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl AsyncRead for ClientSide {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.file.poll_read_ready(cx))?;
            match guard.try_io(|file| file.get_ref().read(buf.initialize_unfilled())) {
                Ok(Ok(count)) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The board is gone: the end of the stream, not a failure of the medium.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for ClientSide {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.file.poll_write_ready(cx))?;
            match guard.try_io(|file| file.get_ref().write(buf)) {
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
                }
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
