//! One sample through a network: what training and inference share.

pub(crate) mod compiled;
pub(crate) mod forward;
pub(crate) mod injection;

pub(crate) use compiled::{Compiled, CompiledLayer, encoder_gradient};
pub(crate) use forward::{LayerTrace, Source, Trace, forward};
pub(crate) use injection::{check_inputs, check_observation};
