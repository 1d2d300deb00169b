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
use std::pin::Pin;

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
    Place::new(address.clone()).open().await
}

/// Where a board is, and what is needed to find it again.
#[derive(Clone, Debug)]
pub struct Place {
    address: Address,
    #[cfg(feature = "serial")]
    port: Option<serial::Port>,
}

impl Place {
    /// The place at `address`.
    #[must_use]
    pub fn new(address: Address) -> Self {
        #[cfg(feature = "serial")]
        let port = match &address {
            Address::Serial { path, baud, hardware_flow } => {
                Some(serial::Port::new(path, *baud, *hardware_flow))
            }
            _ => None,
        };
        Self {
            address,
            #[cfg(feature = "serial")]
            port,
        }
    }

    /// Opens the link, the first time or again. A board on a serial port is found even if it has moved
    /// to another port since. Call it on the runtime that will drive the link.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&mut self) -> Opening {
        #[cfg(feature = "serial")]
        if let Some(port) = &mut self.port {
            let link = port.open();
            return Box::pin(async move { link });
        }
        let address = self.address.clone();
        Box::pin(async move {
            match &address {
                Address::Tcp { address } => tcp::open(address).await,
                #[cfg(all(feature = "serial", unix))]
                Address::Pty { name } => pty::open(name),
                other => Err(Error::Unsupported {
                    device: other.to_string(),
                    remedy: "this build has no serial ports: build with the feature `serial`",
                }),
            }
        })
    }
}

/// A link that is being opened.
pub type Opening = Pin<Box<dyn Future<Output = Result<BoxLink, Error>> + Send>>;
