//! The program as a user starts it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Outcome {
    /// Standard output as one JSON object.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Checks the exit code and that the message says all of `words`, and that nobody panicked.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(!self.err.contains("panicked at"), "{}", self.err);
        // One message: long ones are not broken into several.
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }

    /// Checks that it went well.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    #[must_use]
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }
}

/// A user with a folder of their own.
#[derive(Debug)]
pub struct User {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl User {
    /// A user of the program at `program` (`env!("CARGO_BIN_EXE_spikeloop-under-test")`).
    ///
    /// # Panics
    /// If there is no place for temporary folders.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self { program: program.into(), home: tempfile::tempdir().unwrap() }
    }

    /// A path in the user's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A command, ready to be started in the user's folder. Words are separated by blanks.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(line.split_whitespace())
            .current_dir(self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env("SPIKELOOP_CACHE", self.home.path().join("cache"))
            .env_remove("SPIKELOOP_CHIP")
            .env_remove("SPIKELOOP_DATA")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If it cannot be started or does not write text.
    #[must_use]
    pub fn run(&self, line: &str) -> Outcome {
        outcome(self.command(line))
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started or does not write text.
#[must_use]
pub fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command under way that is killed whatever becomes of the test.
#[derive(Debug)]
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a command; nobody hears what it says.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Starts a command; what it says can be read.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn heard(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Looks until `seen` or the process has ended; says whether it still runs.
    ///
    /// # Panics
    /// If nothing happens for two minutes.
    pub fn until(&mut self, seen: impl Fn() -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(120) {
            if self.0.try_wait().unwrap().is_some() {
                return false;
            }
            if seen() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("nothing happened for two minutes");
    }

    /// Sends a signal by its name; returns the exit code.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(&mut self, name: &str) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

/// A file as bytes.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
