//! wip
pub mod chip_loop;
pub mod config;
pub mod data;
pub mod picture;
pub mod report;
pub mod expect;
pub mod experiment;
pub mod run_folder;
pub mod summary;
pub mod trainer;
pub mod command;
pub mod exit_code;
pub mod interrupt;
pub mod log;
pub mod virtual_board;
