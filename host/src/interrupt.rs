//! Signals: the first asks for an orderly end, the second ends at once.
//!
//! SIGINT (Ctrl-C) and SIGTERM are treated alike: a batch system's notice before it kills a job
//! is the same wish as an impatient user's.

use crate::exit_code::ExitCode;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether an orderly end was asked for. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over SIGINT and SIGTERM of this process: the first one is noted, the second one ends
    /// the process with exit code 130.
    ///
    /// # Errors
    /// If the operating system refuses the handler.
    pub fn install() -> io::Result<Self> {
        let interrupt = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // The order counts: on the first signal the flag is still down when this looks at it.
            let code = i32::from(ExitCode::Interrupted as u8);
            flag::register_conditional_shutdown(signal, code, interrupt.requested.clone())?;
            flag::register(signal, interrupt.requested.clone())?;
        }
        Ok(interrupt)
    }

    /// Whether an orderly end was asked for. Loops look at this once a batch.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Asks for an orderly end, as a signal would.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_is_noted() {
        let interrupt = Interrupt::install().unwrap();
        assert!(!interrupt.requested());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(interrupt.requested());
    }
}
