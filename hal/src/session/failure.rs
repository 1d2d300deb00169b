//! Why a session ended, before it is told to the user.

use crate::caps::PROTOCOL_VERSION;
use crate::error::Error;
use crate::wire::{Malformed, Refusal, RefusalCode};
use std::io;

/// The end of a session.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    Timeout { after_ms: u64, heard: u64 },
    Disconnected,
    Refused(Refusal),
    Lost { expected: u16, got: u16, damaged: u64 },
    Protocol(&'static str),
    Malformed { kind: u8, why: Malformed },
    Open(Error),
}

impl Failure {
    /// The error for the user; `waiting_for` is what the session was doing.
    pub(super) fn into_error(self, waiting_for: &'static str) -> Error {
        match self {
            Self::Io(error) if is_hang_up(&error) => Error::Disconnected { waiting_for },
            Self::Io(error) => Error::Link { kind: error.kind(), message: error.to_string() },
            Self::Timeout { after_ms, heard } => Error::Timeout { waiting_for, after_ms, heard },
            Self::Disconnected => Error::Disconnected { waiting_for },
            Self::Refused(refusal) => match refusal.reason() {
                Some(RefusalCode::UnknownVersion) => {
                    Error::ProtocolVersion { host: PROTOCOL_VERSION, device: refusal.limit as u16 }
                }
                _ => Error::Refused { refusal },
            },
            Self::Lost { expected, got, damaged } => Error::FrameLost { expected, got, damaged },
            Self::Protocol(what) => Error::Protocol { what },
            Self::Malformed { kind, why } => Error::Malformed { kind, why },
            Self::Open(error) => error,
        }
    }
}

/// A device that is pulled out shows itself in different ways: as a broken pipe through a socket,
/// as an input/output error (5 on every Unix) through a terminal whose other side is closed.
fn is_hang_up(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    ) || error.raw_os_error() == Some(EIO)
}
