//! What may be wrong between this computer and a chip: one remedy for each finding.
//!
//! | where | what is looked at |
//! |---|---|
//! | [`ports`] | permission, who holds a port, latency timer, autosuspend |
//! | [`computer`] | boards that were killed, cache folder, disk, cores |
//! | [`chip`] | whether the board answers, protocol, firmware, latency, losses |
//! | [`bundle`] | everything of it in one file, for a bug report |
//!
//! Looking at ports opens none: that would reset many boards. Only the chip that was named is talked to.

pub mod bundle;
pub mod chip;
pub mod computer;
pub mod ports;

use serde::Serialize;
use std::path::PathBuf;

/// Where the kernel shows itself. Tests put trees of their own here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Processes: `/proc`.
    pub proc: PathBuf,
    /// Devices and their settings: `/sys`.
    pub sys: PathBuf,
    /// Device files: `/dev`.
    pub dev: PathBuf,
}

impl Default for Places {
    /// This computer.
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Good,
    /// It works, but slower or less safely than it could.
    Warning,
    /// It does not work.
    Problem,
}

impl State {
    /// For tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Warning => "warning",
            State::Problem => "problem",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, e.g. `permission`.
    pub check: &'static str,
    /// Of what, e.g. `/dev/ttyUSB0`.
    pub subject: String,
    /// How it is.
    pub state: State,
    /// What was seen.
    pub found: String,
    /// What to do, unless it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn good(check: &'static str, subject: impl Into<String>, found: impl Into<String>) -> Self {
        let (subject, found) = (subject.into(), found.into());
        Self { check, subject, state: State::Good, found, remedy: None }
    }

    /// Something is not as it should be.
    #[must_use]
    pub fn bad(
        state: State,
        check: &'static str,
        subject: impl Into<String>,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (subject, found) = (subject.into(), found.into());
        Self { check, subject, state, found, remedy: Some(remedy.into()) }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Version of this program.
    pub version: &'static str,
    /// Version of the wire protocol that it speaks.
    pub protocol: u16,
    /// Whether nothing was found.
    pub healthy: bool,
    /// What was looked at, in the order of the table of [`doctor`](self).
    pub findings: Vec<Finding>,
    /// What the chip says it is and how it answered, if one was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chip: Option<chip::Answer>,
}

impl Examination {
    /// Sums up.
    #[must_use]
    pub fn new(findings: Vec<Finding>, chip: Option<chip::Answer>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            protocol: spikeloop_hal::PROTOCOL_VERSION,
            healthy: findings.iter().all(|finding| finding.state == State::Good),
            findings,
            chip,
        }
    }

    /// What is not as it should be.
    pub fn complaints(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.state != State::Good)
    }
}
