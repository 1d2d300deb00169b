//! Learning through target spikes (Muratore, Capone & Paolucci, PLoS ONE 2021; LTTS).
//!
//! A recurrent network learns to answer an input with given spikes; a linear readout turns them into
//! the output. The target spikes are the network's own answer to input and a random projection of
//! the wanted output ([`Pattern::taught`]), with no recurrent weights; learning finds weights with
//! which the input alone brings them forth.
//!
//! # Dynamics
//! Times in bins; s(0) = 0, v(0) = v₀.
//!
//! ```text
//! ŝ(t) = β_s ŝ(t−1) + (1 − β_s) s(t),    ŝ(0) = β_s s(0),    β_s = e^(−1/τ_s)
//! v(t+1) = (1 − 1/τ_m) v(t) + (J ŝ(t) + I(t) + h)/τ_m − s_inh s(t)
//! s(t+1) = Θ(v(t+1))
//! ```
//! ŝ(0) is that of the published code; it matters only for a target that spikes in bin 0.
//! With conductances `J ŝ` is `J⁺ŝ (E − v)/E − J⁻ŝ (E + v)/E`.
//!
//! # Rule
//! With the target spikes s* in place of s (teacher forcing) and p = σ(v/δv), for δv < 1/30 p = Θ(v):
//!
//! ```text
//! e(t+1) = (1 − 1/τ_m) e(t) + ŝ*(t)/τ_m              one number a presynaptic neuron
//! ΔJ_ij(t+1) = (s*_i − p_i)(t+1) e_j(t+1)            uphill, by Adam (0.9, 0.999, 1e-8)
//! ```
//! No self-connections. [`Mode::Online`] takes a step after every bin, [`Mode::Offline`] one an epoch
//! with the sum over bins and patterns, which is δv times the gradient of the log-likelihood of s*
//! ([`Ltts::log_likelihood`]). Conductances follow the plain gradient, kept at or above 0; their
//! eligibilities take the leak that the conductances add into account, one number a synapse.
//!
//! The readout `J_out r`, `r(t) = β_ro r(t−1) + (1 − β_ro) s(t)`, r(0) = s(0), learns on the target
//! spikes alone: one Adam step an epoch with `Σₜ (y − J_out r) rᵀ`.
//!
//! # How it is computed
//! * Offline: two products with a raster of 0 and 1, which are sums of weight rows at spikes, and
//!   scans; tiles of 64 neurons, on all threads.
//! * Online: rows of J learn alone, and walk through all bins while they are in cache; neurons that
//!   never spike in a target are left out, and so are bins in which a row neither has nor gets a
//!   gradient.
//! * [`stepping`] has the same rule bin by bin, as a reference.
//!
//! * With a chip ([`Ltts::epoch_measured`]) its spikes and membranes take the place of the scans forwards.
//!
//! Results depend neither on the number of threads nor on the instruction set.
//!
//! # Example
//!
//! ```
//! use ndarray::Array2;
//! use spikeloop_models::method::ltts::{Ltts, LttsLearning, LttsNetwork, Pattern, project};
//! use spikeloop_models::random;
//!
//! let network = LttsNetwork { neurons: 40, ..Default::default() };
//! let clock = Array2::from_shape_fn((60, 5), |(t, k)| f64::from(u8::from(t / 12 == k)));
//! let wave = Array2::from_shape_fn((60, 1), |(t, _)| (t as f64 / 10.0).sin());
//! let mut rng = random::stream(1, 0);
//! let input = project(&clock, 40, 4.0, &mut rng);
//! let teach = project(&wave, 40, 2.0, &mut rng);
//! let pattern = Pattern::<f32>::taught(&network, &input, &teach, &wave)?;
//!
//! let mut ltts = Ltts::new(&network, &LttsLearning::default(), vec![pattern], 1)?;
//! let before = ltts.test(0)?;
//! for _ in 0..100 {
//!     ltts.epoch();
//! }
//! assert!(ltts.test(0)?.delta_s < before.delta_s / 2.0);
//! # Ok::<(), spikeloop_models::ModelError>(())
//! ```

mod adam;
mod config;
mod dynamics;
mod learner;
mod likelihood;
mod measured;
mod offline;
mod online;
mod pattern;
mod readout;
mod recurrent;
mod series;
pub mod stepping;
mod teacher;
mod weights;

pub use config::{LttsLearning, LttsNetwork, MOST_NEURONS, Mode, SMALLEST_DELTA_V, Synapse};
pub use learner::{Comparison, Ltts, Progress, compare};
pub use measured::{Measured, Reset, requirements};
pub use pattern::{Pattern, project};
pub use recurrent::{Noise, Recurrent};
pub use series::Series;

#[cfg(test)]
mod tests;
