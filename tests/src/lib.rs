//! What the cross-crate tests in the `tests` folder share: chips reached in every way, and the program as a
//! user starts it.
#![warn(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

pub mod boards;
pub mod learning;
pub mod program;
