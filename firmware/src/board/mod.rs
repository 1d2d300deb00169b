//! Boards that live in a process of the host.

mod chip_core;
#[cfg(feature = "emulator")]
pub mod emulated;
mod memory;
mod registers;

pub use chip_core::ChipCore;
#[cfg(feature = "emulator")]
pub use emulated::EmulatedCore;
pub use memory::Memory;
pub use registers::Registers;
