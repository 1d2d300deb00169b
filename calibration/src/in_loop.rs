//! Parameters of every neuron, estimated while the network learns and from the same runs.
//!
//! Whatever a chip in the loop returns says something about its neurons: the inputs and the weights are known,
//! the spikes are measured, the membranes perhaps too. A unit is modelled as in the network, on the same grid,
//! restarted at its measured spikes:
//!
//! ```text
//! I[t+1] = α I[t] + W x[t],   V[t+1] = β V[t] + c g I[t+1],   V = ρ until the refractory time after a measured spike is over
//! ```
//!
//! Five numbers a unit: gain `g`, both time constants (in `α` and `β`), threshold `h`, reset `ρ`. Their derivatives
//! run along with the states, and each batch makes one Gauss–Newton step with forgetting:
//!
//! * **Measured membranes**: `V_measured − V` is normal with the noise of the converter. After a spike the model
//!   starts again from the first measured sample that is free. This determines `g`, `α`, `β` in measured units. The
//!   threshold follows from which membranes were followed by a spike.
//! * **Spikes alone**: a spike at a state at which one is possible has the probability `1/(1 + e^(−(V − h)/s))`
//!   (teacher forcing). The unit of V cannot be known then: `h` is 1, and an offset of the leak or the threshold
//!   shows as gain. The curvature of the likelihood is replaced by its bound `tanh(z/2)/(2z)` (Jaakkola & Jordan
//!   2000), with which no step can overshoot however wrong the start is.
//!
//! The prior is the spread of uncalibrated chips; what a unit never shows stays there. Standard errors are those of
//! this model: synapses that differ from each other, which it does not know, make them too small.

mod unit;

use crate::translation::UnitValues;
use serde::{Deserialize, Serialize};
use spikeloop_models::layer::{Current, LayerSpec, PerUnit};
use spikeloop_models::network::Network;
use spikeloop_models::observation::{LayerObservation, Observation};
use spikeloop_models::spike_train::SpikeTrains;
use unit::{Unit, V};

pub use unit::Parameters;

/// How parameters are estimated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Samples of each update that are looked at: the first ones. Cost is in proportion.
    pub samples: usize,
    /// Weight of the past at each update.
    pub memory: f64,
    /// Width of the threshold, share of θ: noise of the threshold, and what the grid hides (guess).
    pub width: f64,
    /// Standard deviation of a measured membrane, share of θ: 2 of 70 steps of the converter (published), and as much
    /// again for synapses that differ (guess).
    pub noise: f64,
    /// Time for which a membrane is held after a spike, µs.
    pub refractory_us: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { samples: 16, memory: 0.99, width: 0.05, noise: 0.05, refractory_us: 2.0 }
    }
}

/// Estimates for the units of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct LayerEstimates {
    /// Index of the layer.
    layer: usize,
    units: Vec<Unit>,
}

/// Estimates for all layers on the chip. Can be stored and continued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimator {
    options: Options,
    layers: Vec<LayerEstimates>,
    updates: u64,
}

/// What drives a layer in one sample.
#[derive(Clone, Copy)]
struct Drive<'a> {
    below: &'a SpikeTrains,
    weights: &'a [f32],
    own: &'a SpikeTrains,
    recurrent: Option<&'a [f32]>,
}

impl Drive<'_> {
    /// Input of every unit at a step: rows of the weights of those that spike.
    fn at(&self, sample: usize, step: usize, into: &mut [f64]) {
        into.fill(0.0);
        let mut add = |ids: &[u16], weights: &[f32]| {
            let units = into.len();
            for id in ids {
                let row = &weights[usize::from(*id) * units..][..units];
                into.iter_mut().zip(row).for_each(|(x, w)| *x += f64::from(*w));
            }
        };
        add(self.below.at(sample, step), self.weights);
        if let Some(recurrent) = self.recurrent {
            add(self.own.at(sample, step), recurrent);
        }
    }
}

impl Estimator {
    /// Nothing known yet about the spiking layers of `network` for which `on_chip` says yes. The specifications
    /// of the network are the nominal ones.
    #[must_use]
    pub fn new(network: &Network<f32>, on_chip: impl Fn(usize) -> bool, options: Options) -> Self {
        let layers = network
            .layers
            .iter()
            .enumerate()
            .filter(|(l, layer)| layer.spec.neuron.spikes() && on_chip(*l))
            .map(|(layer, of)| LayerEstimates {
                layer,
                units: (0..of.spec.units).map(|u| Unit::new(&of.spec, u)).collect(),
            })
            .collect();
        Self { options, layers, updates: 0 }
    }

    /// Learns from measured samples: `network` has the weights with which they were made, its other parameters
    /// do not matter. Layers without measured spikes are passed over.
    pub fn update(
        &mut self,
        inputs: &SpikeTrains,
        observation: &Observation<f32>,
        network: &Network<f32>,
    ) {
        self.updates += 1;
        for of in &mut self.layers {
            let layer = &network.layers[of.layer];
            let Some(measured) = observation.layers.get(of.layer) else { continue };
            let Some(own) = &measured.spikes else { continue };
            let below = match of.layer {
                0 => Some(inputs),
                l => observation.layers[l - 1].spikes.as_ref(),
            };
            let (Some(below), Some(weights)) = (below, layer.weights.as_slice()) else { continue };
            let recurrent = layer.recurrent.as_ref().and_then(|r| r.as_slice());
            let drive = Drive { below, weights, own, recurrent };
            of.update(&self.options, &layer.spec, drive, measured);
        }
    }

    /// Updates so far.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Estimates of the units of layer `l`; `None` if the layer is not estimated.
    #[must_use]
    pub fn layer(&self, l: usize) -> Option<Vec<Parameters>> {
        let of = self.layers.iter().find(|of| of.layer == l)?;
        Some(of.units.iter().map(Unit::parameters).collect())
    }

    /// Puts the estimates into the model of layer `l`. `spec` is the nominal one.
    pub fn write_into(&self, l: usize, spec: &mut LayerSpec) {
        let Some(units) = self.layer(l) else { return };
        let values = UnitValues {
            tau_mem_us: units.iter().map(|p| p.tau_mem_us.value).collect(),
            tau_syn_us: units.iter().map(|p| p.tau_syn_us.value).collect(),
            gain: units.iter().map(|p| p.gain.value).collect(),
        };
        let nominal: Vec<f64> = (0..units.len()).map(|u| spec.threshold.at(u)).collect();
        values.write_into(spec);
        let threshold = units.iter().zip(nominal).map(|(p, th)| p.threshold.value * th).collect();
        spec.threshold = PerUnit::Each(threshold);
    }
}

impl LayerEstimates {
    fn update(
        &mut self,
        options: &Options,
        spec: &LayerSpec,
        drive: Drive<'_>,
        measured: &LayerObservation<f32>,
    ) {
        let (steps, samples) = (drive.own.steps(), drive.own.samples().min(options.samples));
        let held = (options.refractory_us / spec.dt_us).round() as usize;
        let new_current = spec.current == Current::New;
        let membrane = measured.membrane.as_deref();
        let count = self.units.len();
        let (mut input, mut spiked) = (vec![0.0; count], vec![false; count]);
        let mut states: Vec<V> = Vec::with_capacity(count);
        self.units.iter_mut().for_each(Unit::begin);
        for sample in 0..samples {
            states.clear();
            states.extend(self.units.iter().map(Unit::rest));
            for t in 1..steps {
                drive.at(sample, t - 1, &mut input);
                spiked.fill(false);
                for id in drive.own.at(sample, t) {
                    spiked[usize::from(*id)] = true;
                }
                let row = membrane.map(|m| &m[(sample * steps + t) * count..][..count]);
                for (u, (unit, v)) in self.units.iter_mut().zip(&mut states).enumerate() {
                    unit.step(v, input[u], new_current);
                    let sample = row.map(|row| f64::from(row[u]));
                    unit.compare(v, spiked[u], sample, options);
                    if spiked[u] {
                        v.hold(held);
                    }
                }
            }
        }
        let spikes_only = membrane.is_none();
        self.units.iter_mut().for_each(|unit| unit.finish(options, spikes_only));
    }
}

#[cfg(test)]
mod tests;
