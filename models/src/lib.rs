//! Spiking networks, surrogate gradients and learning. No input or output, no clock, no chip.
//!
//! # Architecture
//!
//! ```text
//! encode ─► SpikeTrains ─┐
//!                        ├─► engine: one sample forward, then backward ─► 8 lanes ─► Gradients ─► Optimizer
//! Observation (chip) ────┘      │ surrogate, loss, regularise                                       │
//!                               └─ kernel: loops over units, AVX-512 / AVX2 / scalar       Network ◄┘
//! ```
//!
//! | noun | module |
//! |---|---|
//! | [`SpikeTrains`]: spikes of a batch as sparse events | [`spike_train`], made by [`encode`] |
//! | [`Network`] of [`Layer`]s; [`LayerSpec`] = neuron kind, constants, conventions | [`network`], [`layer`] |
//! | [`Surrogate`]: what stands for the derivative of a spike | [`surrogate`] |
//! | [`Observation`]: what a chip measured, in model units | [`observation`] |
//! | [`method::Method`]: from batches to gradients, and the other ways to learn (below) | [`method`] |
//! | predictions, spike counts, recordings without gradients | [`inference`] |
//! | losses on the readout, on spike trains and on spike times; penalties on spikes and weights | [`loss`], [`regularise`] |
//! | steps, schedules, first weights, dropout | [`optim`], [`init`], [`dropout`] |
//! | weights to integer codes; state to bytes | [`quantise`], [`checkpoint`] |
//! | data as pure functions of a seed | [`task`] |
//! | single neurons in physical units, each held against its closed form; the GIF neuron, fitted to recordings | [`neuron`] |
//!
//! The diagram is that of back-propagation through time. Methods that implement [`method::Method`] share its way in
//! and out; the others bring a network and a step of their own.
//!
//! | way to learn | module | where its error comes from |
//! |---|---|---|
//! | back-propagation through time, with injection of measurements | [`method::bptt`] | through layers, and back in time |
//! | e-prop | [`method::eprop`] | from the readout straight to every unit; eligibility traces forward in time |
//! | real-time recurrent learning, an oracle for small networks | [`method::rtrl`] | exact, carried forward in time |
//! | DECOLLE | [`method::decolle`] | from a fixed random readout of each layer, at every step |
//! | learning through target spikes | [`method::ltts`] | from the spikes that the recurrent network should have |
//! | first-spike times | [`method::first_spike`] | through layers, by exact derivatives of spike times |
//! | escape noise | [`method::noise`] | through layers and time, by the slope of the firing probability |
//! | smoothed spikes, steeper and steeper | [`method::smooth`] | through layers and time, exact for the smooth network |
//! | rates | [`method::rate`] | through layers, as if units were rectified linear ones |
//! | translation of rectified units into spiking ones | [`method::translation`] | none in the spiking network: weights are taken over, thresholds balanced on data |
//! | burst network, rates only | [`method::burst`] | from bursts that apical feedback causes |
//! | SuperSpike, online | [`method::superspike`] | from the output's filtered error through symmetric, random or uniform feedback |
//! | competing hidden units | [`method::competing`] | none: a local rule without labels, and a readout trained on top |
//!
//! # Equations
//!
//! With `x` the spikes from below and `S` the own ones, `α = e^(−dt/τ_syn)`, `β = e^(−dt/τ_mem)`,
//! for the states `t = 0 … T − 1` (state 0 is rest, the input of the last step is unused):
//!
//! ```text
//! I[t+1] = α I[t] + W x[t] + R S[t]
//! V[t+1] = β V[t] + c I − reset(S[t])        I of t + 1 (new) or t (old); c = 1 or 1 − β
//! S[t]   = Θ(V[t] − θ),   ∂S/∂V := σ'(V − θ)
//! ```
//!
//! Three published conventions that do not mix are constructors: [`LayerSpec::chip_grid`],
//! [`LayerSpec::tutorial`], [`LayerSpec::stork`]. Backward pass and injection of measurements:
//! [`method::bptt`].
//!
//! # Example
//!
//! A network learns which of two inputs fires first.
//!
//! ```
//! use spikeloop_models::init::{Init, draw};
//! use spikeloop_models::loss::Loss;
//! use spikeloop_models::method::bptt::{Bptt, BpttConfig};
//! use spikeloop_models::method::{Chunk, Method};
//! use spikeloop_models::optim::{Optimizer, Rule};
//! use spikeloop_models::{LayerSpec, Network, SpikeTrains};
//!
//! let hidden = LayerSpec::chip_grid(20);
//! let readout = hidden.readout(2);
//! let mut network = Network::<f32>::new(20, 2, vec![hidden, readout], &[])?;
//! for layer in 0..2 {
//!     draw(&mut network, layer, &Init::Normal { mean: 0.1, std: 0.5 }, None, 1)?;
//! }
//!
//! let mut inputs = SpikeTrains::new(20, 2);
//! for label in [0, 1] {
//!     for step in 0..20 {
//!         match step {
//!             2 => inputs.push(label),
//!             8 => inputs.push(1 - label),
//!             _ => {}
//!         }
//!         inputs.end_step();
//!     }
//! }
//!
//! let config = BpttConfig {
//!     loss: Loss::max_over_time(10.0),
//!     regularisers: vec![],
//!     sigma_at_measured_spikes: true,
//! };
//! let mut bptt = Bptt::new(&network, config)?;
//! let mut optimizer = Optimizer::new(Rule::adam(), &network)?;
//! let chunk = Chunk { inputs: &inputs, labels: &[0, 1], first: 0, batch: 2, tie_break_key: 7 };
//! let mut predicted = vec![];
//! for _ in 0..100 {
//!     bptt.begin(&network)?;
//!     // With a chip: `Some(&observation)`, what it measured for these samples.
//!     predicted.clone_from(&bptt.accumulate(&chunk, None)?.predicted);
//!     optimizer.step(&mut network, bptt.finish()?, 1e-2, &[])?;
//! }
//! assert_eq!(predicted, [0, 1]);
//! # Ok::<(), spikeloop_models::ModelError>(())
//! ```
//!
//! # Promises
//!
//! * **Deterministic.** The same bits for every number of threads, every cut of a batch into chunks
//!   and every instruction set: loops are element-wise, sums have a fixed order, nothing is fused,
//!   and `exp`, `ln`, `cos` come from `libm`.
//! * **Honest gradients.** Own spikes and membranes injected give the bits of pure software; the
//!   smooth forward's gradient equals central differences (1e-6 relative, `f64`) for every surrogate
//!   with a primitive.
//! * **Work proportional to spikes.** Weight rows are gathered and weight gradients scattered at
//!   spikes; no array over time, batch and inputs exists.
//!
//! **Not supported**: convolutions (but in [`method::decolle`]), delays, trainable time constants, the batch-normalised
//! SuperSpike in training.

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
pub mod neuron;
pub mod observation;
pub mod optim;
pub mod quantise;
pub mod random;
pub mod real;
pub mod regularise;
pub mod spike_train;
pub mod surrogate;
pub mod task;
pub mod van_rossum;

pub use error::{ModelError, Result};
pub use layer::{Layer, LayerSpec};
pub use network::Network;
pub use observation::{LayerObservation, Observation};
pub use real::Real;
pub use spike_train::SpikeTrains;
pub use surrogate::Surrogate;
