//! Boards that live in a process of the host.

mod beside;
mod chip_core;
mod memory;
mod notebook;
mod registers;

pub use beside::BesideCore;
pub use chip_core::ChipCore;
pub use memory::Memory;
pub use notebook::Notebook;
pub use registers::Registers;
