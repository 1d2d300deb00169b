//! Virtual boards: the real firmware with an emulated chip, behind a pseudo-terminal, a TCP
//! address or memory.
//!
//! ```text
//! client ══ pty · TCP · memory ══ serve: bytes ─► Server ─► BesideCore ─► Emulator
//!                                         bytes ◄─┘
//!                                 └────── the board's thread ──────┘      └ a thread of its own
//! ```
//!
//! A board serves one client at a time, any number one after the other. What a client left
//! configured does not reach the next: every session begins at the power-up state. On TCP a second
//! client is told that the board is in use; on a pseudo-terminal the lock of the first keeps it out.
//!
//! ```no_run
//! use spikeloop::virtual_board::{Place, VirtualBoard};
//! use spikeloop_hal::OpenOptions;
//!
//! let board = VirtualBoard::start(&"emu:preset=bss2-cal,seed=7".parse()?, &Place::Pty(None), 1)?;
//! let chip = board.selector().open(&OpenOptions::default())?;
//! println!("{}", chip.capabilities().identity);
//! // Dropping the board stops it.
//! # Ok::<(), spikeloop_hal::Error>(())
//! ```

mod serve;

use serve::Door;
use spikeloop_firmware::board::{BesideCore, Memory, Notebook};
use spikeloop_firmware::{Core, PlasticCore, Server};
use spikeloop_hal::emulator::Emulator;
use spikeloop_hal::registry::{Board, Registry};
use spikeloop_hal::{Chip, Error, Selector};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::DuplexStream;
use tokio::sync::{Notify, watch};

/// Where a board is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A new pseudo-terminal. With a name the board can be listed, and reached as `pty:NAME`.
    Pty(Option<String>),
    /// A TCP address, `host:port`; port 0 takes a free one. With a name the board can be listed.
    Tcp {
        /// Where to listen.
        address: String,
        /// Name in the list.
        name: Option<String>,
    },
    /// Memory of this process, for one client: [`VirtualBoard::take_link`].
    Memory,
}

impl Place {
    fn name(&self) -> Option<&str> {
        match self {
            Place::Pty(name) | Place::Tcp { name, .. } => name.as_deref(),
            Place::Memory => None,
        }
    }
}

/// A running board. Dropping it stops the board.
#[derive(Debug)]
pub struct VirtualBoard {
    selector: Selector,
    identity: String,
    link: Option<DuplexStream>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the board's thread reports once it can be reached.
struct Ready {
    selector: Selector,
    link: Option<DuplexStream>,
}

impl VirtualBoard {
    /// Starts the chip that `chip` describes (an `emu:` selector) at `place`, computed by
    /// `threads` threads. Named boards are listed in the registry of the current user. Returns
    /// when clients can connect.
    ///
    /// # Errors
    /// [`Error::Emulator`] for a description that makes no sense, [`Error::Open`] if the place
    /// cannot be had, [`Error::NameTaken`], [`Error::Registry`], and [`Error::Unsupported`] for a
    /// selector that is no emulated chip.
    pub fn start(chip: &Selector, place: &Place, threads: usize) -> Result<Self, Error> {
        Self::start_in(chip, place, threads, &Registry::user()?)
    }

    /// As [`start`](Self::start), with the list of running boards in a folder of one's own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_in(
        chip: &Selector,
        place: &Place,
        threads: usize,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let Selector::Emulator(options) = chip else {
            return Err(Error::Unsupported {
                device: chip.to_string(),
                remedy: "a virtual board runs an emulated chip: use an emu: selector",
            });
        };
        let emulator = Emulator::from_options(options, threads)?;
        let identity = emulator.capabilities().identity.to_string();
        let (stop, stopped) = watch::channel(false);
        let (ready, started) = mpsc::channel();
        let entry = Entry {
            registry: registry.clone(),
            name: place.name().map(str::to_owned),
            chip: chip.to_string(),
            identity: identity.clone(),
        };
        let place = place.clone();
        let thread = std::thread::Builder::new()
            .name("spikeloop-board".into())
            .spawn(move || board_thread(emulator, threads, &place, &entry, &ready, stopped))
            .map_err(|source| Error::Open { device: "a thread for the board".into(), source })?;
        let Ready { selector, link } = started.recv().unwrap_or_else(|_| {
            let source = io::Error::other("the board's thread ended");
            Err(Error::Open { device: chip.to_string(), source })
        })?;
        Ok(Self { selector, identity, link, stop, thread: Some(thread) })
    }

    /// Selector that reaches the board from any process (of a memory board: none does).
    #[must_use]
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The chip's identity, `kind/serial`.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The client's end of a [`Place::Memory`] board, once.
    pub fn take_link(&mut self) -> Option<DuplexStream> {
        self.link.take()
    }

    /// Whether the board still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for VirtualBoard {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(board = %self.selector, "the board's thread panicked");
        }
    }
}

/// What is needed to list a board.
struct Entry {
    registry: Registry,
    name: Option<String>,
    chip: String,
    identity: String,
}

impl Entry {
    /// Lists the board, if it has a name.
    fn register(
        &self,
        selector: &Selector,
        terminal: Option<PathBuf>,
    ) -> Result<Option<spikeloop_hal::registry::Registration>, Error> {
        let Some(name) = self.name.clone() else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let board = Board {
            name,
            selector: selector.to_string(),
            terminal,
            client: None,
            chip: self.chip.clone(),
            identity: self.identity.clone(),
            pid: std::process::id(),
            started_unix_s: now.as_secs(),
        };
        self.registry.register(board).map(Some)
    }
}

/// The whole life of a board.
fn board_thread(
    emulator: Emulator,
    threads: usize,
    place: &Place,
    entry: &Entry,
    ready: &mpsc::Sender<Result<Ready, Error>>,
    stop: watch::Receiver<bool>,
) {
    let open = |source| Error::Open { device: "the board's runtime".into(), source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(open).and_then(|runtime| {
        runtime.block_on(async {
            let (mut door, ready_now) = Door::open(place, entry).await?;
            let wake = Arc::new(Notify::new());
            let bell = Arc::clone(&wake);
            let core = BesideCore::new(emulator, threads, move || bell.notify_one());
            let core = core.map_err(open)?;
            let mut memory = Memory::new(core.capabilities());
            let mut notebook = Notebook::new(core.capabilities());
            let core = PlasticCore::new(core, notebook.memory());
            let mut server = Server::new(core, memory.buffers())
                .map_err(|error| open(io::Error::other(error.to_string())))?;
            // Whoever started the board may be gone already; then it stops at once below.
            let _ = ready.send(Ok(ready_now));
            door.serve(&mut server, &wake, stop).await;
            Ok(())
        })
    });
    if let Err(error) = result {
        let _ = ready.send(Err(error));
    }
}

#[cfg(test)]
mod tests;
