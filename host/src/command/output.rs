//! What goes to standard output: results, and nothing else.

use super::CommandError;
use clap::ColorChoice;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Version of the layout of everything that `--json` prints.
pub const SCHEMA: u32 = 1;

/// Whether this process has printed its one object.
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Whether [`json`] has been called: a result that misses an expectation must not be followed by an
/// object of the error.
pub(super) fn printed() -> bool {
    PRINTED.load(Ordering::Relaxed)
}

/// Standard output with the colour the user wants: escape codes are removed where they must not be.
pub(super) fn set_color(choice: ColorChoice) {
    match choice {
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
        ColorChoice::Auto => anstream::ColorChoice::Auto,
    }
    .write_global();
}

/// Prints `text`, which ends in a newline or is empty.
///
/// # Errors
/// If standard output cannot be written. A reader that has seen enough (`| head`) is no error.
pub fn text(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Prints `value` as one JSON object, in which `schema` stands first.
///
/// # Errors
/// As [`text`].
pub fn json<T: Serialize>(value: &T) -> Result<(), CommandError> {
    let object =
        serde_json::to_string_pretty(&Versioned::new(value)).map_err(anyhow::Error::from)?;
    PRINTED.store(true, Ordering::Relaxed);
    text(&(object + "\n"))
}

/// A value with the version of its layout in front.
#[derive(Debug, Serialize)]
pub struct Versioned<'a, T> {
    schema: u32,
    #[serde(flatten)]
    value: &'a T,
}

impl<'a, T> Versioned<'a, T> {
    /// `value` in the present version.
    #[must_use]
    pub fn new(value: &'a T) -> Self {
        Self { schema: SCHEMA, value }
    }
}

fn failed(error: io::Error) -> CommandError {
    CommandError::Other(anyhow::Error::new(error).context("cannot write to standard output"))
}

/// What `--json` prints instead of a result.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    /// What standard error says as well.
    pub(super) error: String,
    /// How the process ends.
    pub(super) exit_code: u8,
}

/// Says on standard error why the command stopped.
pub(super) fn error(message: &str) {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {message}");
}
