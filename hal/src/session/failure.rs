//! Why a session ended, before it is told to the user.

use crate::caps::PROTOCOL_VERSION;
use crate::error::Error;
use crate::wire::{Malformed, Refusal, RefusalCode};
use std::io;

/// The end of a session.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    Timeout {
        after_ms: u64,
        heard: u64,
    },
    Disconnected,
    Refused(Refusal),
    /// The device knows nothing of the session: it was reset.
    Reset,
    /// What came and went for a run is not what was sent.
    Digest {
        run: u32,
    },
    OtherChip {
        expected: String,
        got: String,
    },
    Protocol(&'static str),
    Malformed {
        kind: u8,
        why: Malformed,
    },
    Open(Error),
}

/// What can be done about the end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Say hello again.
    SameLink,
    /// Open the link again, then say hello.
    NewLink,
    /// Nothing: it would happen again.
    None,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the link failed ({error})"),
            Self::Timeout { after_ms, .. } => write!(f, "no sign of life for {after_ms} ms"),
            Self::Disconnected => f.write_str("the device disconnected"),
            Self::Reset => f.write_str("the device was reset"),
            Self::Digest { run } => write!(f, "run {run} was damaged on its way"),
            Self::Refused(refusal) => write!(f, "the device refused: {refusal}"),
            other => write!(f, "{other:?}"),
        }
    }
}

impl Failure {
    pub(super) fn remedy(&self) -> Remedy {
        match self {
            Self::Io(_) | Self::Timeout { .. } | Self::Disconnected => Remedy::NewLink,
            Self::Reset | Self::Digest { .. } => Remedy::SameLink,
            // The board has not noticed yet that the old connection is gone.
            Self::Refused(refusal) if refusal.reason() == Some(RefusalCode::InUse) => {
                Remedy::NewLink
            }
            _ => Remedy::None,
        }
    }

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
            Self::Reset => Error::DeviceReset { waiting_for },
            Self::Digest { run } => Error::Corrupted { run },
            Self::OtherChip { expected, got } => Error::OtherChip { expected, got },
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
