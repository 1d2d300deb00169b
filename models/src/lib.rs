//! Spiking networks, surrogate gradients and learning. No input or output, no clock, no chip.

pub mod checkpoint;
pub mod dropout;
pub mod encode;
mod engine;
pub mod error;
pub mod inference;
pub mod init;
pub mod kernel;
pub mod layer;
pub mod loss;
pub mod method;
pub mod network;
pub mod observation;
pub mod optim;
pub mod quantise;
pub mod random;
pub mod real;
pub mod regularise;
pub mod spike_train;
pub mod surrogate;

pub use error::{ModelError, Result};
pub use layer::{Layer, LayerSpec};
pub use network::Network;
pub use observation::{LayerObservation, Observation};
pub use real::Real;
pub use spike_train::SpikeTrains;
pub use surrogate::Surrogate;
