//! What can stop a command, and with which exit code.

use crate::exit_code::ExitCode;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Arguments that make no sense together.
    #[error("{0}")]
    Usage(String),
    /// No chip was named and none is there.
    #[error(
        "no device found: connect a board, start a virtual one with `spikeloop emulate --pty NAME`, or use the emulator in this process with `--chip emu:`"
    )]
    NoDevice,
    /// No chip was named and there are several.
    #[error("{} devices are there; name one with --chip:\n{}", candidates.len(), candidates.iter().map(|c| format!("  --chip {c}")).collect::<Vec<_>>().join("\n"))]
    Ambiguous {
        /// Their selectors.
        candidates: Vec<String>,
    },
    /// What was expected did not come true.
    #[error("expectation missed: {0}")]
    ExpectationMissed(String),
    /// A chip of which nothing could be calibrated.
    #[error(
        "no neuron of this chip could be calibrated ({0}): check supply, reference currents and converter of the chip, then calibrate again with --fresh"
    )]
    NoNeuron(String),
    /// A signal ended the command.
    #[error("interrupted")]
    Interrupted,
    /// A chip or the way to it.
    #[error(transparent)]
    Device(#[from] spikeloop_hal::Error),
    /// Anything else; the class follows from what is inside.
    #[error("{}", chain(.0))]
    Other(#[from] anyhow::Error),
}

/// The whole chain of causes in one line, without what a message repeats of its cause.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let next = cause.to_string();
        if text.ends_with(&next) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&next);
    }
    text
}

impl CommandError {
    /// How the process ends.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::Usage,
            Self::NoDevice => ExitCode::NoDevice,
            Self::Ambiguous { .. } => ExitCode::AmbiguousDevice,
            Self::ExpectationMissed(_) => ExitCode::ExpectationMissed,
            Self::NoNeuron(_) => ExitCode::DeviceRefused,
            Self::Interrupted => ExitCode::Interrupted,
            Self::Device(error) => ExitCode::of(error),
            Self::Other(error) => error.chain().find_map(class).unwrap_or(ExitCode::Other),
        }
    }
}

/// The class of a cause, if it is one that has a class. Causes that only pass on what is inside them do not
/// appear in the chain, so each level is known here by its own type.
fn class(cause: &(dyn std::error::Error + 'static)) -> Option<ExitCode> {
    fn known<E: std::error::Error + 'static>(
        cause: &(dyn std::error::Error + 'static),
        class: impl Fn(&E) -> ExitCode,
    ) -> Option<ExitCode> {
        cause.downcast_ref::<E>().map(class)
    }
    known(cause, CommandError::exit_code)
        .or_else(|| known(cause, |_: &spikeloop_hal::selector::SelectorError| ExitCode::Usage))
        .or_else(|| known(cause, |_: &crate::config::ConfigError| ExitCode::Usage))
        .or_else(|| known(cause, ExitCode::of))
        .or_else(|| known(cause, ExitCode::of_run))
        .or_else(|| known(cause, ExitCode::of_lesson))
        .or_else(|| known(cause, ExitCode::of_twin))
        .or_else(|| known(cause, ExitCode::of_study))
        .or_else(|| known(cause, ExitCode::of_training))
        .or_else(|| known(cause, ExitCode::of_loop))
        .or_else(|| known(cause, ExitCode::of_fit))
        .or_else(|| known(cause, ExitCode::of_experiment))
        .or_else(|| known(cause, ExitCode::of_model))
        .or_else(|| known(cause, ExitCode::of_checkpoint))
        .or_else(|| known(cause, ExitCode::of_folder))
        .or_else(|| known(cause, ExitCode::of_data))
        .filter(|code| *code != ExitCode::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn busy() -> spikeloop_hal::Error {
        spikeloop_hal::Error::DeviceInUse { device: "pty:left".into() }
    }

    #[test]
    fn the_class_is_found_below_context() {
        let error = Err::<(), _>(busy()).context("cannot train").unwrap_err();
        let error = CommandError::from(error);
        assert_eq!(error.exit_code(), ExitCode::DeviceInUse);
        assert!(error.to_string().starts_with("cannot train: pty:left is in use"), "{error}");
    }

    #[test]
    fn the_class_is_found_inside_the_errors_of_a_run() {
        use crate::chip_loop::LoopError;
        use crate::run::RunError;
        let code = |error: LoopError| {
            CommandError::from(anyhow::Error::from(RunError::from(error))).exit_code()
        };
        assert_eq!(code(busy().into()), ExitCode::DeviceInUse);
        let small = spikeloop_calibration::Error::TooFewNeurons { needed: 2, available: 1 };
        assert_eq!(code(small.into()), ExitCode::DeviceRefused);
    }

    #[test]
    fn unknown_causes_are_other_errors() {
        assert_eq!(CommandError::from(anyhow::anyhow!("x")).exit_code(), ExitCode::Other);
        assert_eq!(CommandError::from(busy()).exit_code(), ExitCode::DeviceInUse);
        assert_eq!(CommandError::Interrupted.exit_code() as u8, 130);
    }
}
