//! SpikeLoop: train spiking networks in the loop on mismatched neuromorphic chips.
//!
//! This crate is the top of the toolkit: experiments, training, command line, pictures. What it builds on
//! stands in crates of its own:
//!
//! ```text
//! host ──► calibration ──► models            networks, gradients, learning; no chip
//!  │            └────────► hal ◄── firmware  what a chip is and how to reach one; the device side
//!  └──► firmware (to run virtual boards)
//! ```
//!
//! # The path of a batch
//! ```text
//! data::Split::encode ─► Trainer ─► ChipLoop ─► Translation ─► Chip (board, or emulator)
//!                           ▲                                    │
//!        Optimizer ◄─ Bptt ◄┴── Observation ◄── Translation::observe
//! ```
//! [`trainer`] learns one batch at a time; [`chip_loop`] cuts it into runs that fit the chip's buffers and keeps
//! the chip busy while the host differentiates; [`run`] adds the run folder, checkpoints and metrics;
//! [`robustness`] repeats all of it over many chips. Randomness follows from the experiment's seed and the
//! position in the training, so that equal experiments give equal bits, whatever the link and the number of
//! threads, and a run that was killed goes on as if nothing had happened.
//!
//! # From a program
//! ```
//! use spikeloop::chip_loop::ChipLoop;
//! use spikeloop::experiment::Experiment;
//! use spikeloop::trainer::{Step, Trainer};
//! use spikeloop::{config, data};
//! use spikeloop_hal::{OpenOptions, Selector};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let small = ["task.train=100", "task.test=50", "learning.epochs=1"].map(str::to_owned);
//! let experiment: Experiment = config::load("digits", &small)?;
//! let data = data::load(&experiment.task, None)?;
//! let mut trainer = Trainer::new(&experiment, &data)?;
//!
//! let chip = "emu:preset=bss2-chip66-uncal,seed=7".parse::<Selector>()?.open(&OpenOptions::default())?;
//! let observe = experiment.chip.observe;
//! trainer.attach(ChipLoop::new(chip, &trainer.network, &experiment, observe)?);
//! while trainer.step()? == Step::Batch {}
//! println!("{:.1} %", 100.0 * trainer.evaluate(&data.test, 0)?.tally.accuracy());
//! # Ok(())
//! # }
//! ```
//!
//! # Exit codes of the program
//! See [`exit_code`].

pub mod advise;
pub mod cache;
pub mod calibrate;
pub mod calibration_choice;
pub mod calibration_report;
pub mod checkpoint;
pub mod chip_loop;
pub mod command;
pub mod config;
pub mod data;
pub mod doctor;
pub mod exit_code;
pub mod expect;
pub mod experiment;
pub mod interrupt;
pub mod lesson;
pub mod link_bench;
pub mod link_estimate;
pub mod log;
pub mod parity;
pub mod parity_report;
pub mod picture;
pub mod recording;
pub mod report;
pub mod robustness;
pub mod run;
pub mod run_away;
pub mod run_folder;
pub mod run_report;
pub mod study;
pub mod summary;
pub mod trainer;
pub mod twin;
pub mod virtual_board;
