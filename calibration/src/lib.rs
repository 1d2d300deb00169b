//! The seam between model units and chip codes: the only place below the host where a network and
//! a chip meet.
//!
//! ```text
//!  network (threshold 1, rest 0, float weights)                 Observation (model units, time bins)
//!        │                                                              ▲
//!        ▼                                                              │
//!  Translation::write_weights, ::configuration            Translation::observe
//!        │ codes                                                        │ spikes, converter samples
//!        ▼                                                              │
//!  ChipConfig, Stimulus ──────────►  Chip (board or emulator)  ─────► Observables
//! ```
//!
//! * [`LayerTarget`] says what a layer of the model needs of the chip, [`Grid`] on which clock.
//! * [`Placement`] decides which circuit plays which unit.
//! * [`Translation`] is the product: codes for the design values, weight scales, stimuli, and the way
//!   back. Here it knows the chip's design values only; what a measurement of the chip adds has its
//!   place in the same type.
//!
//! # Conventions
//! A model state with index `k` is the membrane at chip time `k · dt`; state 0 is the resting state.
//! An input spike in step `t` reaches the chip at the time from which the model's convention lets the
//! membrane rise: `t · dt` where the membrane sees the new current, `(t + 1) · dt` where it sees the
//! old one. A chip spike at time `s` belongs to state `ceil(s / dt)`: the first state at which a model on
//! this grid would have noticed the crossing.
#![warn(missing_docs)]

pub mod bench;
pub mod cache;
mod error;
mod estimate;
pub mod drift;
pub mod fit;
pub mod measure;
mod nan;
mod observe;
pub mod plan;
pub mod result;
pub mod search;
pub mod targets;
pub mod twin;
mod placement;
mod target;
mod translation;

pub use bench::Bench;
pub use error::Error;
pub use estimate::{Estimate, Flag};
pub use result::Calibration;
pub use observe::{Baseline, ObserveReport};
pub use placement::{Placement, Spread};
pub use spikeloop_models::encode::Grid;
pub use target::{LayerTarget, Site, SpikeTiming};
pub use translation::{Codes, Translation, TranslationOptions, UnitValues, WeightReport};
