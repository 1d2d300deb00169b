//! wip
pub mod observation;
pub mod spike_train;
