//! One chip, reached in every way there is.

use spikeloop::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::registry::Registry;
use spikeloop_hal::{Chip, OpenOptions, Selector, Session, SessionOptions};
use std::time::Duration;

/// How a chip is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The emulator in this process, without firmware or wire.
    InProcess,
    /// The firmware's server behind a link in memory.
    Memory,
    /// The firmware's server behind a pseudo-terminal.
    Pty,
    /// The firmware's server behind a local network address.
    Tcp,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::InProcess, Self::Memory, Self::Pty, Self::Tcp];
}

/// What has to live as long as the chip that was opened with it: drop it after the chip.
#[derive(Debug, Default)]
pub struct Bench {
    board: Option<VirtualBoard>,
    registry: Option<tempfile::TempDir>,
}

/// Options of a session that waits long: on a machine with much else to do a thread may not run for seconds.
fn patient() -> SessionOptions {
    let mut options = SessionOptions::default();
    options.silence = Duration::from_secs(120);
    options.handshake = Duration::from_secs(60);
    options
}

/// Opens the chip that `selector` (an `emu:` one) describes, computed by `threads` threads.
///
/// # Panics
/// If it cannot be opened.
#[must_use]
pub fn open(selector: &str, way: Way, threads: usize) -> (Box<dyn Chip>, Bench) {
    let selector: Selector = selector.parse().unwrap();
    let options = OpenOptions { threads, session: patient(), ..OpenOptions::default() };
    let place = match way {
        Way::InProcess => return (selector.open(&options).unwrap(), Bench::default()),
        Way::Memory => Place::Memory,
        Way::Pty => Place::Pty(None),
        Way::Tcp => Place::Tcp { address: "127.0.0.1:0".into(), name: None },
    };
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::at(folder.path().to_owned());
    let mut board = VirtualBoard::start_in(&selector, &place, threads, &registry).unwrap();
    let chip: Box<dyn Chip> = match board.take_link() {
        Some(link) => Box::new(Session::open(Box::new(link), patient()).unwrap()),
        None => board.selector().open(&options).unwrap(),
    };
    (chip, Bench { board: Some(board), registry: Some(folder) })
}

impl Bench {
    /// Whether a board stands behind the chip.
    #[must_use]
    pub fn has_board(&self) -> bool {
        self.board.is_some() && self.registry.is_some()
    }
}
