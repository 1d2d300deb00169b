//! What is said on standard error: log lines and progress bars that share one terminal.
//!
//! Both go through one [`Progress`]: a log line takes the bars away, prints itself and puts them
//! back. Where standard error is no terminal, or with `--quiet` or `--json`, there are no bars.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;

/// Bars are redrawn this often at most.
const REDRAWS_PER_SECOND: u8 = 10;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// What the user should know.
    Normal,
    /// What helps to understand (`-v`).
    Verbose,
    /// Everything (`-vv`).
    Debug,
}

impl Verbosity {
    /// From how often `-v` and `-q` were given.
    #[must_use]
    pub fn from_flags(verbose: u8, quiet: u8) -> Self {
        match i16::from(verbose) - i16::from(quiet) {
            ..=-1 => Self::Quiet,
            0 => Self::Normal,
            1 => Self::Verbose,
            _ => Self::Debug,
        }
    }

    /// Filter for our own crates; other crates only warn.
    const fn filter(self) -> &'static str {
        match self {
            Self::Quiet => "error",
            Self::Normal => {
                "warn,spikeloop=info,spikeloop_hal=info,spikeloop_calibration=info,spikeloop_models=info"
            }
            Self::Verbose => {
                "warn,spikeloop=debug,spikeloop_hal=debug,spikeloop_calibration=debug,spikeloop_models=debug"
            }
            Self::Debug => "trace",
        }
    }
}

/// The one place that draws bars. Clones draw in the same place.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Bars on standard error if it is a terminal.
    #[must_use]
    pub fn on_stderr() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        Self { bars: MultiProgress::with_draw_target(target) }
    }

    /// No bars at all: for tests, `--quiet` and `--json`.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bars: MultiProgress::with_draw_target(ProgressDrawTarget::hidden()) }
    }

    /// A new bar below the others. It disappears when the returned handle is dropped.
    #[must_use]
    pub fn bar(&self, label: impl Into<String>, length: u64) -> Bar {
        let style = ProgressStyle::with_template(
            "{prefix:>12} [{bar:28}] {pos}/{len} {msg} ({elapsed}, {eta} left)",
        );
        let bar = ProgressBar::new(length);
        self.add(bar, style, label.into())
    }

    /// A line that shows that something of unknown length goes on.
    #[must_use]
    pub fn spinner(&self, label: impl Into<String>) -> Bar {
        let style = ProgressStyle::with_template("{prefix:>12} {spinner} {msg} ({elapsed})");
        let bar = self.add(ProgressBar::new_spinner(), style, label.into());
        bar.bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    fn add(
        &self,
        bar: ProgressBar,
        style: Result<ProgressStyle, indicatif::style::TemplateError>,
        label: String,
    ) -> Bar {
        // The templates are constants of this file; a broken one would cost the style, no more.
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label);
        Bar { bar: self.bars.add(bar) }
    }

    /// Runs `print` with the bars out of the way: for anything that writes to the terminal.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bars.suspend(print)
    }
}

/// One progress bar. Dropping it takes it off the screen.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// Goes on by `steps`.
    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// Goes to `position`.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Sets the text behind the bar, e.g. the loss.
    pub fn set_message(&self, message: impl Into<String>) {
        self.bar.set_message(message.into());
    }

    /// Starts again from 0 with a new label and length.
    pub fn restart(&self, label: impl Into<String>, length: u64) {
        self.bar.reset();
        self.bar.set_length(length);
        self.bar.set_prefix(label.into());
        self.bar.set_message("");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Sends log lines to standard error through `progress`. `RUST_LOG` overrides the verbosity. Does
/// nothing if the process has a subscriber already.
pub fn install(progress: &Progress, verbosity: Verbosity, color: bool) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(verbosity.filter()));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(AboveBars(progress.clone()))
        .with_ansi(color)
        .with_target(verbosity > Verbosity::Normal)
        .with_timer(NoTime);
    // Only a second installation fails, and then the first one stays.
    let _ = if verbosity > Verbosity::Normal {
        lines.with_timer(tracing_subscriber::fmt::time::uptime()).try_init()
    } else {
        lines.try_init()
    };
}

/// Whether standard error should be coloured with `--color auto`.
#[must_use]
pub fn stderr_takes_color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Ordinary users do not read timestamps.
struct NoTime;

impl tracing_subscriber::fmt::time::FormatTime for NoTime {
    fn format_time(&self, _: &mut Writer<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Writes whole log lines while the bars are out of the way.
struct AboveBars(Progress);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { progress: &self.0, text: Vec::new() }
    }
}

/// One log line; printed when it is complete.
struct Line<'a> {
    progress: &'a Progress,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.progress.suspend(|| {
            // Nobody is left to be told that standard error is closed.
            let _ = io::stderr().write_all(&self.text);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_add_up() {
        assert_eq!(Verbosity::from_flags(0, 0), Verbosity::Normal);
        assert_eq!(Verbosity::from_flags(1, 0), Verbosity::Verbose);
        assert_eq!(Verbosity::from_flags(5, 0), Verbosity::Debug);
        assert_eq!(Verbosity::from_flags(0, 2), Verbosity::Quiet);
        assert_eq!(Verbosity::from_flags(1, 1), Verbosity::Normal);
    }

    #[test]
    fn hidden_bars_count_silently() {
        let progress = Progress::hidden();
        let bar = progress.bar("epoch 1", 10);
        bar.advance(3);
        bar.set_message("loss 0.5");
        assert_eq!(bar.bar.position(), 3);
        bar.restart("epoch 2", 5);
        assert_eq!((bar.bar.position(), bar.bar.length()), (0, Some(5)));
        assert_eq!(progress.suspend(|| 7), 7);
    }
}
