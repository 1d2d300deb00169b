//! Tasks to learn: data as pure functions of a seed.

pub mod events;
pub mod logic;
pub mod temporal_xor;
pub mod trajectory;
