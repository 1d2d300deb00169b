//! What the process says when it ends.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | any other error; of `recording diff`: the recordings differ |
//! | 2 | the command line, a selector or a configuration makes no sense |
//! | 3 | no device |
//! | 4 | several devices and none was named |
//! | 5 | an expectation (`--expect`) was missed |
//! | 6 | the link failed or timed out |
//! | 7 | the device refused: protocol version, size, capability; a network or weights that do not belong on it |
//! | 8 | the device is in use |
//! | 9 | a file: data set missing or damaged, checkpoint damaged, disk full |
//! | 130 | interrupted |

use crate::checkpoint::CheckpointError;
use crate::chip_loop::LoopError;
use crate::data::DataError;
use crate::experiment::ExperimentError;
use crate::lesson::LessonError;
use crate::robustness::StudyError;
use crate::run::RunError;
use crate::run_folder::RunFolderError;
use crate::trainer::TrainError;
use crate::twin::TwinError;
use spikeloop_hal::emulator::EmulatorError;
use spikeloop_hal::recording::RecordingError;
use spikeloop_hal::wire::RefusalCode;
use spikeloop_models::error::ModelError;

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
    /// A file is missing, damaged, or cannot be written.
    Files = 9,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl ExitCode {
    /// The class of an error of a chip or of the way to it.
    #[must_use]
    pub fn of(error: &spikeloop_hal::Error) -> Self {
        use spikeloop_hal::Error;
        match error {
            Error::Selector(_) | Error::Faults(_) => Self::Usage,
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
            | Error::DeviceReset { .. }
            | Error::Corrupted { .. }
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
            | Error::OtherChip { .. }
            | Error::Announcement { .. } => Self::DeviceRefused,
            Error::RecordingFile(error) => match error {
                RecordingError::Exists { .. } | RecordingError::Differs { .. } => Self::Usage,
                RecordingError::InUse { .. } => Self::DeviceInUse,
                RecordingError::OtherChip { .. } => Self::DeviceRefused,
                RecordingError::Failed { .. } => Self::LinkFailure,
                _ => Self::Files,
            },
            Error::Emulator(error) => match error {
                EmulatorError::UnknownPreset { .. }
                | EmulatorError::UnknownOption { .. }
                | EmulatorError::OptionValue { .. }
                | EmulatorError::Profile { .. } => Self::Usage,
                EmulatorError::File { .. } => Self::Files,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    /// The class of what stopped a run.
    #[must_use]
    pub fn of_run(error: &RunError) -> Self {
        match error {
            RunError::Train(error) => Self::of_training(error),
            RunError::Checkpoint(error) => Self::of_checkpoint(error),
            RunError::Folder(error) => Self::of_folder(error),
            RunError::Twin(error) => Self::of_twin(error),
            RunError::Model(error) => Self::of_model(error),
            RunError::RunAway { .. } => Self::Other,
        }
    }

    /// The class of what stopped a lesson.
    #[must_use]
    pub fn of_lesson(error: &LessonError) -> Self {
        match error {
            LessonError::Config(_)
            | LessonError::Value { .. }
            | LessonError::NoChip { .. }
            | LessonError::Unfit { .. } => Self::Usage,
            LessonError::Data(error) => Self::of_data(error),
            LessonError::Model(error) => Self::of_model(error),
            LessonError::Loop(error) => Self::of_loop(error),
            LessonError::Folder(error) => Self::of_folder(error),
            LessonError::State { .. } => Self::Files,
            LessonError::Interrupted => Self::Interrupted,
            LessonError::RunAway { .. } => Self::Other,
        }
    }

    /// The class of a digital twin that cannot be made or used.
    #[must_use]
    pub fn of_twin(error: &TwinError) -> Self {
        match error {
            TwinError::Calibration(error) => Self::of_fit(error),
            TwinError::Chip(error) => Self::of(error),
            TwinError::File(_) => Self::Files,
            TwinError::OtherChip { .. } | TwinError::OtherCodes { .. } => Self::DeviceRefused,
        }
    }

    /// The class of what stopped a study of several chips.
    #[must_use]
    pub fn of_study(error: &StudyError) -> Self {
        match error {
            StudyError::Chip(error) => Self::of(error),
            StudyError::Train(error) => Self::of_training(error),
            StudyError::Calibration(error) => Self::of_fit(error),
            StudyError::Interrupted => Self::Interrupted,
            StudyError::Threads(_) => Self::Other,
        }
    }

    /// The class of what stopped learning or evaluating.
    #[must_use]
    pub fn of_training(error: &TrainError) -> Self {
        match error {
            TrainError::Loop(error) => Self::of_loop(error),
            TrainError::Model(error) => Self::of_model(error),
            TrainError::Experiment(error) => Self::of_experiment(error),
            TrainError::RunAway(_) => Self::Other,
        }
    }

    /// The class of what stopped a chip in the loop. A network that does not fit is the device's refusal.
    #[must_use]
    pub fn of_loop(error: &LoopError) -> Self {
        match error {
            LoopError::Chip(error) => Self::of(error),
            LoopError::Translation(error) => Self::of_fit(error),
            LoopError::NoCalibration => Self::Usage,
        }
    }

    /// The class of a network or a calibration that does not fit a chip, and of what stops a calibration.
    #[must_use]
    pub fn of_fit(error: &spikeloop_calibration::Error) -> Self {
        use spikeloop_calibration::Error;
        match error {
            // The program contradicts itself: no choice of the user's.
            Error::Shape { .. } => Self::Other,
            Error::Chip(error) => Self::of(error),
            Error::TargetFile { .. } => Self::Usage,
            Error::CalibrationFile { .. } => Self::Files,
            Error::Stopped { .. } => Self::Interrupted,
            _ => Self::DeviceRefused,
        }
    }

    /// The class of an experiment that contradicts itself.
    #[must_use]
    pub fn of_experiment(error: &ExperimentError) -> Self {
        match error {
            ExperimentError::Model(error) => Self::of_model(error),
            _ => Self::Usage,
        }
    }

    /// The class of an error of the models: what a configuration can cause is usage.
    #[must_use]
    pub fn of_model(error: &ModelError) -> Self {
        match error {
            ModelError::Requirement { .. } => Self::DeviceRefused,
            ModelError::Checkpoint { .. } | ModelError::OptimizerState { .. } => Self::Files,
            ModelError::NoLayers
            | ModelError::Size { .. }
            | ModelError::Parameter { .. }
            | ModelError::PerUnit { .. }
            | ModelError::Architecture { .. }
            | ModelError::NoPrimitive { .. }
            | ModelError::UnsupportedSurrogate { .. }
            | ModelError::NeedsWholeBatch { .. }
            | ModelError::Regulariser { .. }
            // The time grid of the network is not that of the data.
            | ModelError::Input { .. } => Self::Usage,
            _ => Self::Other,
        }
    }

    /// The class of a checkpoint that cannot be used. Weights of another chip do not belong on the device.
    #[must_use]
    pub fn of_checkpoint(error: &CheckpointError) -> Self {
        match error {
            CheckpointError::Folder(error) => Self::of_folder(error),
            CheckpointError::OtherChip { .. } | CheckpointError::OtherCalibration { .. } => {
                Self::DeviceRefused
            }
            CheckpointError::Model { .. } | CheckpointError::Header { .. } => Self::Files,
        }
    }

    /// The class of a run folder that cannot be used.
    #[must_use]
    pub fn of_folder(error: &RunFolderError) -> Self {
        match error {
            RunFolderError::Occupied { .. } | RunFolderError::NotARun { .. } => Self::Usage,
            RunFolderError::Io { .. } | RunFolderError::Damaged { .. } => Self::Files,
        }
    }

    /// The class of a data set that cannot be loaded.
    #[must_use]
    pub fn of_data(error: &DataError) -> Self {
        match error {
            DataError::Count { .. } | DataError::Copies { .. } => Self::Usage,
            _ => Self::Files,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
