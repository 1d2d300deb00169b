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
//! * [`Translation`] is the product: codes, weight scales, stimuli, and the way back; from the design values of the
//!   chip alone, or with what a calibration measured.
//!
//! # Calibration
//! ```text
//!  TargetFile ─► Plan ─► [ measure ─► search ─► codes ]* ─► verification ─► Calibration (file, cache)
//!                  │        ▲ configure, run, read back                       │
//!                  └─ Bench ┘ (round trips and chip time counted)             ├─► Translation: codes, backward graph
//!                                                                             ├─► drift: has it moved?
//!                                                                             └─► twin: this chip as an emulator
//! ```
//!
//! * [`measure`]: one quantity a file, over the ordinary chip interface, all neurons at once, each value with its
//!   standard error ([`Estimate`]).
//! * [`search`]: codes for a target; [`targets`]: what is wanted, with units.
//! * [`plan`]: the order, what depends on what, resumption; [`result`]: codes, residuals, failures by name.
//! * [`drift`]: a small probe against what was stored; [`twin`]: the chip as a file that the emulator loads.
//!
//! ```
//! use spikeloop_calibration::{Bench, plan::Plan, targets::TargetFile};
//! use spikeloop_hal::emulator::{Emulator, Profile};
//!
//! let mut profile = Profile::preset("bss2-chip66-uncal")?;
//! profile.size.neurons = 16;
//! let chip = Emulator::new(profile, 7, 1, 1)?;
//! let mut bench = Bench::new(Box::new(chip), 0);
//! let targets = TargetFile::from_toml("[targets]\ntau_mem = \"6 us\"\n[options]\nrepeats = 0.2\n")?;
//! let plan = Plan::new(&mut bench, &targets, None)?;
//! let now = "2026-11-22T09:30:00Z".into();
//! let (calibration, _) = plan.run(now, None, &mut |_, _| Ok(()))?;
//! assert!(calibration.success() > 0.8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
pub mod drift;
mod error;
mod estimate;
pub mod fit;
pub mod in_loop;
pub mod measure;
mod nan;
mod observe;
pub mod parity;
mod placement;
pub mod plan;
pub mod result;
pub mod search;
mod target;
pub mod targets;
mod translation;
pub mod twin;

pub use bench::Bench;
pub use error::Error;
pub use estimate::{Estimate, Flag};
pub use observe::{Baseline, ObserveReport};
pub use placement::{Placement, Spread};
pub use result::Calibration;
pub use spikeloop_models::encode::Grid;
pub use target::{LayerTarget, Site, SpikeTiming};
pub use translation::{
    Codes, TraceBytes, Translation, TranslationOptions, UnitValues, WeightReport, psp_peak_us,
};
