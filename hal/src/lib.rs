//! What a neuromorphic chip is, and how to reach one.
//!
//! wip
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
pub mod session;
#[cfg(feature = "std")]
pub mod runner;
#[cfg(feature = "std")]
pub mod link;
#[cfg(feature = "std")]
pub mod open;
#[cfg(feature = "std")]
pub mod selector;
#[cfg(feature = "std")]
pub mod registry;
#[cfg(feature = "std")]
pub mod nearest;
#[cfg(feature = "std")]
pub mod list;

pub use caps::{
    Adc, Buffers, Capabilities, Identity, Law, PROTOCOL_VERSION, Parameter, ParameterSpec, Unit,
};
pub use event::{NeuronId, SpikeEvent, Tick};

#[cfg(feature = "std")]
pub use chip::{Chip, Health, Observables, Stimulus, Ticket, TimeSplit};
#[cfg(feature = "std")]
pub use config::{ChipConfig, Recording};
#[cfg(feature = "std")]
pub use error::Error;
#[cfg(feature = "std")]
pub use runner::Runner;
#[cfg(feature = "std")]
pub use selector::Selector;
#[cfg(feature = "std")]
pub use session::{Session, SessionOptions};
#[cfg(feature = "std")]
pub use open::OpenOptions;
