//! The emulated chip as a core: the virtual board.

use super::ChipCore;
use spikeloop_hal::emulator::Emulator;

/// The emulated physics behind the server. Trials give the same bits as in process, because the
/// emulator's noise depends on the number of a trial and on nothing that ran before it.
pub type EmulatedCore = ChipCore<Emulator>;
