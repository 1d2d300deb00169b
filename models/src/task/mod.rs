//! Tasks to learn: data as pure functions of a seed.

pub mod events;
pub mod randman;
pub mod temporal_xor;
pub mod trajectory;
