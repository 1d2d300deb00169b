//! Links: bytes to and from a device.
//!
//! A link is any asynchronous byte stream. Framing, checksums and meaning are the business of the
//! wire and the session above it; a link only promises that bytes arrive in order, and it may lose
//! or damage them only where its medium does (serial lines).

/// A byte stream to a device. Implemented by everything that reads and writes asynchronously.
pub trait Link: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + ?Sized> Link for T {}

/// A link of any kind.
pub type BoxLink = Box<dyn Link>;
