//! What the process says when it ends.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | any other error |
//! | 2 | the command line, a selector or a configuration makes no sense |
//! | 3 | no device |
//! | 4 | several devices and none was named |
//! | 5 | an expectation (`--expect`) was missed |
//! | 6 | the link failed or timed out |
//! | 7 | the device refused: protocol version, size, capability |
//! | 8 | the device is in use |
//! | 130 | interrupted |

use spikeloop_hal::emulator::EmulatorError;
use spikeloop_hal::wire::RefusalCode;

/// How the process ends. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    #[default]
    Ok = 0,
    /// Any other error.
    Other = 1,
    /// The command line, a selector or a configuration makes no sense.
    Usage = 2,
    /// No device.
    NoDevice = 3,
    /// Several devices and none was named.
    AmbiguousDevice = 4,
    /// An expectation was missed.
    ExpectationMissed = 5,
    /// The link failed or timed out.
    LinkFailure = 6,
    /// The device refused.
    DeviceRefused = 7,
    /// The device is in use.
    DeviceInUse = 8,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// The class of an error of a chip or of the way to it.
    #[must_use]
    pub fn of(error: &spikeloop_hal::Error) -> Self {
        use spikeloop_hal::Error;
        match error {
            Error::Selector(_) => Self::Usage,
            Error::NoDevice { .. } => Self::NoDevice,
            Error::DeviceInUse { .. } | Error::NameTaken { .. } => Self::DeviceInUse,
            Error::Refused { refusal } if refusal.reason() == Some(RefusalCode::InUse) => {
                Self::DeviceInUse
            }
            Error::Permission { .. }
            | Error::Open { .. }
            | Error::Link { .. }
            | Error::Timeout { .. }
            | Error::Disconnected { .. }
            | Error::FrameLost { .. }
            | Error::SessionOver { .. } => Self::LinkFailure,
            Error::Unsupported { .. } => Self::NoDevice,
            Error::ConfigShape { .. }
            | Error::WeightOutOfRange { .. }
            | Error::CodeOutOfRange { .. }
            | Error::UnknownParameter { .. }
            | Error::Recording { .. }
            | Error::BeyondBuffers { .. }
            | Error::TooManyRuns { .. }
            | Error::Stalled { .. }
            | Error::ProtocolVersion { .. }
            | Error::Refused { .. }
            | Error::Protocol { .. }
            | Error::Malformed { .. }
            | Error::Announcement { .. } => Self::DeviceRefused,
            Error::Emulator(error) => match error {
                EmulatorError::UnknownPreset { .. }
                | EmulatorError::UnknownOption { .. }
                | EmulatorError::OptionValue { .. }
                | EmulatorError::Profile { .. } => Self::Usage,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
