//! Tasks to learn: data as pure functions of a seed.

pub mod events;
