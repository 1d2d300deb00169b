//! What can be wrong with a description of an emulated chip.

use std::path::PathBuf;

/// What is wrong with a profile, a chip file or an option.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmulatorError {
    /// No such preset.
    #[error(
        "no preset named {name:?}{hint}; there are bss2-chip66-uncal, bss2-cal, delgrad-hwaware, pnas-decal, dynapse-like, loihi-like, fpga-ideal"
    )]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The nearest one, as a question.
        hint: String,
    },
    /// An option has an unknown key.
    #[error(
        "unknown option {key:?} of an emulated chip{hint}; valid: preset, profile, chip, seed, noise_seed, sigma, neurons, inputs, noise, hours, temperature"
    )]
    UnknownOption {
        /// The key.
        key: String,
        /// The nearest one, as a question.
        hint: String,
    },
    /// An option has a value that makes no sense.
    #[error("option {key}={value} of an emulated chip: expected {expected}")]
    OptionValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A profile or a drawn chip is malformed.
    #[error("chip profile refused: {reason}")]
    Profile {
        /// Key, line, and what is allowed.
        reason: String,
    },
    /// A file could not be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The threads of the emulator could not be started.
    #[error("cannot start {threads} threads: {reason}; ask for fewer")]
    Threads {
        /// How many.
        threads: usize,
        /// What the operating system said.
        reason: String,
    },
}
