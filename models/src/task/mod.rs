//! Tasks to learn: data as pure functions of a seed.

pub mod events;
pub mod logic;
pub mod oscillator;
pub mod randman;
pub mod ring;
pub mod sequence;
pub mod sinusoid;
pub mod smoothing_spline;
pub mod spiking_xor;
pub mod temporal_xor;
pub mod trajectory;
pub mod xor_classes;
