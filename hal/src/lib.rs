//! What a neuromorphic chip is, and how to reach one.
//!
//! A [`Chip`] can be configured, given stimuli and asked for observables. It says what it is by its
//! [`Capabilities`]; its state is a [`ChipConfig`] of integer codes; a run of [`Stimulus`]es brings
//! back [`Observables`]: spikes, membrane samples, drops and a time split. A [`Selector`] names one,
//! whatever it is: the emulated chip in this process, or a [`Session`] over a [link] to a device,
//! which answers with the server of `spikeloop-firmware` or with anything else that follows the
//! [wire] protocol. The results are the same bits either way.
//!
//! ```text
//!                  Selector::open
//!                 ┌──────┴───────────────┐
//!   emu:…         ▼ replay:…             ▼        serial:…  pty:…  tcp:…
//!         Emulator, Replay            Session ─ wire ═ link ═ wire ─ server ─ core
//!                 └─────── dyn Chip ─────┘
//!        configure(codes) · submit(stimuli) → ticket · collect(ticket) → observables
//! ```
//!
//! `submit` returns at once and `collect` waits, so that the chip runs while its host computes.
//!
//! ```
//! # #[cfg(feature = "emulator")]
//! # fn main() -> Result<(), spikeloop_hal::Error> {
//! use spikeloop_hal::{Chip, ChipConfig, Observables, OpenOptions, Selector, SpikeEvent, Stimulus};
//!
//! let selector: Selector = "emu:preset=fpga-ideal,seed=7".parse()?;
//! let mut chip = selector.open(&OpenOptions::default())?;
//!
//! let mut config = ChipConfig::power_up(chip.capabilities());
//! config.row_mut(0)[3] = chip.capabilities().weight_max; // input line 0 drives neuron 3
//! config.enabled[3] = true;
//! config.spiking[3] = true;
//! config.recording.spikes = true;
//! chip.configure(&config)?;
//!
//! let duration = chip.capabilities().ticks(100.0); // 100 µs of chip time
//! let events = (0..10).map(|tick| SpikeEvent::new(tick, 0)).collect();
//! let ticket = chip.submit(&[Stimulus { trial: 0, duration, events }])?;
//! let mut observables = Observables::default();
//! chip.collect(ticket, &mut observables)?;
//! assert!(observables.spikes_of(0).iter().all(|spike| spike.id == 3));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "emulator"))]
//! # fn main() {}
//! ```
//!
//! Without the feature `std` the crate is the vocabulary that both sides of the wire share (events,
//! capabilities and the wire itself): `no_std`, no allocation.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod caps;
pub mod event;
pub mod wire;

#[cfg(feature = "std")]
pub mod chip;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "emulator")]
pub mod emulator;
#[cfg(feature = "std")]
pub mod error;
#[cfg(feature = "std")]
pub mod limits;
#[cfg(feature = "std")]
pub mod link;
#[cfg(feature = "std")]
pub mod list;
#[cfg(feature = "std")]
pub mod nearest;
#[cfg(feature = "std")]
pub mod open;
#[cfg(feature = "std")]
pub mod recording;
#[cfg(feature = "std")]
pub mod registry;
#[cfg(feature = "std")]
pub mod replay;
#[cfg(feature = "std")]
pub mod runner;
#[cfg(feature = "std")]
pub mod selector;
#[cfg(feature = "std")]
pub mod session;

pub use caps::{
    Adc, Buffers, Capabilities, Identity, Law, PROTOCOL_VERSION, Parameter, ParameterSpec, Unit,
};
pub use event::{NeuronId, SpikeEvent, Tick};

#[cfg(feature = "std")]
pub use chip::{Chip, Health, LinkUse, Observables, Stimulus, Ticket, TimeSplit};
#[cfg(feature = "std")]
pub use config::{ChipConfig, Recording};
#[cfg(feature = "std")]
pub use error::Error;
#[cfg(feature = "std")]
pub use open::OpenOptions;
#[cfg(feature = "std")]
pub use recording::Recorder;
#[cfg(feature = "std")]
pub use replay::Replay;
#[cfg(feature = "std")]
pub use runner::Runner;
#[cfg(feature = "std")]
pub use selector::Selector;
#[cfg(feature = "std")]
pub use session::{Session, SessionOptions};
