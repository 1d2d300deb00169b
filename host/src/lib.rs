//! wip
pub mod data;
