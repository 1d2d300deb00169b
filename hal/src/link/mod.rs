//! Links: bytes to and from a device.
//!
//! A link is any asynchronous byte stream. Framing, checksums and meaning are the business of the
//! wire and the session above it; a link only promises that bytes arrive in order, and it may lose
//! or damage them only where its medium does (serial lines).
//!
//! | link | opened by | a second client |
//! |---|---|---|
//! | [`serial`] | device file | is refused (exclusive mode and lock) |
//! | [`pty`] | name of a virtual board, or path | is refused (lock) |
//! | [`tcp`] | `host:port` | is refused by the board |
//! | [`memory`] | [`memory::pair`] | cannot be |

pub mod fault;
pub mod memory;
#[cfg(all(feature = "serial", unix))]
pub mod pty;
#[cfg(feature = "serial")]
pub mod serial;
pub mod tcp;
pub mod tracer;

use crate::error::Error;
use crate::selector::Address;

/// A byte stream to a device. Implemented by everything that reads and writes asynchronously.
pub trait Link: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + ?Sized> Link for T {}

/// A link of any kind.
pub type BoxLink = Box<dyn Link>;

/// Opens the link to a board. Call it on the runtime that will drive the link.
///
/// # Errors
/// [`Error::NoDevice`], [`Error::DeviceInUse`], [`Error::Permission`], or [`Error::Open`] with
/// what the operating system said.
pub async fn open(address: &Address) -> Result<BoxLink, Error> {
    match address {
        Address::Tcp { address } => tcp::open(address).await,
        #[cfg(feature = "serial")]
        Address::Serial { path, baud, hardware_flow } => serial::open(path, *baud, *hardware_flow),
        #[cfg(all(feature = "serial", unix))]
        Address::Pty { name } => pty::open(name),
        #[allow(unreachable_patterns, reason = "reachable only without serial ports")]
        other => Err(Error::Unsupported {
            device: other.to_string(),
            remedy: "this build has no serial ports: build with the feature `serial`",
        }),
    }
}
