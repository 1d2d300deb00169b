//! Links inside one process, for tests and for virtual boards that need no operating system.

use tokio::io::DuplexStream;

/// Bytes that each direction holds before the writer has to wait.
pub const CAPACITY: usize = 64 * 1024;

/// Two connected ends: the host's and the device's.
#[must_use]
pub fn pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(CAPACITY)
}
