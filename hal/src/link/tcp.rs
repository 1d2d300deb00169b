//! TCP links: boards on the network and virtual boards.

use super::BoxLink;
use crate::error::Error;
use std::io::ErrorKind;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long a connection may take to be established. A laboratory network answers within
/// milliseconds; a host that is switched off never does (a guess between the two).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to `address` (`host:port`), with small segments sent at once (`TCP_NODELAY`).
///
/// # Errors
/// [`Error::NoDevice`] where nothing listens, [`Error::Open`] for everything else.
pub async fn open(address: &str) -> Result<BoxLink, Error> {
    let device = || format!("tcp:{address}");
    let connected = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(connected) => connected,
        Err(_) => Err(std::io::Error::from(ErrorKind::TimedOut)),
    };
    let stream = connected.map_err(|source| match source.kind() {
        ErrorKind::ConnectionRefused => Error::NoDevice {
            device: device(),
            remedy: "nothing listens there: start the board, or a virtual one with \
                     `spikeloop emulate --tcp ADDRESS`",
        },
        _ => Error::Open { device: device(), source },
    })?;
    stream.set_nodelay(true).map_err(|source| Error::Open { device: device(), source })?;
    Ok(Box::new(stream))
}
