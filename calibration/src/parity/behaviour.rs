//! What a network did on a batch, in one form for the model, the emulators and the chip.

use crate::translation::Translation;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, NeuronId, SpikeEvent};
use spikeloop_models::inference::LayerRecording;

/// A spike of one unit in one sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spike {
    /// When, µs after the beginning of the trial.
    pub time_us: f32,
    /// Which unit of its layer.
    pub unit: u16,
}

/// One layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerBehaviour {
    /// Units.
    pub units: usize,
    /// Whether the units spike.
    pub spiking: bool,
    /// Spikes of each sample, ascending in time.
    pub spikes: Vec<Vec<Spike>>,
    /// Membranes `[sample, state, unit]` in units of the design's θ (of the model's unit for readouts), the mean
    /// first sample of the unit being 0; empty where none were recorded.
    pub membrane: Vec<f32>,
}

/// All layers that the chip computes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Behaviour {
    /// From the first hidden layer on; layers of the host are left out.
    pub layers: Vec<LayerBehaviour>,
    /// Samples.
    pub samples: usize,
    /// States of a sample.
    pub steps: usize,
}

/// What a run brought back, whatever its converter.
pub(super) struct Raw {
    pub(super) spikes: Vec<SpikeEvent>,
    pub(super) offsets: Vec<u32>,
    /// `[trial, sample, channel]` in LSB.
    pub(super) samples: Vec<f32>,
    pub(super) trials: usize,
}

impl Raw {
    fn spikes_of(&self, k: usize) -> &[SpikeEvent] {
        &self.spikes[self.offsets[k] as usize..self.offsets[k + 1] as usize]
    }
}

impl Behaviour {
    /// Sorts a run by layers. `theta_lsb` is the design's distance of threshold and leak.
    pub(super) fn of_run(
        translation: &Translation,
        caps: &Capabilities,
        raw: &Raw,
        theta_lsb: f64,
    ) -> Self {
        let steps = translation.grid().steps;
        let chip_layers = (0..translation.placement().layers()).filter(|l| translation.on_chip(*l));
        let layers = chip_layers
            .map(|l| {
                let circuits = translation.placement().layer(l);
                let spiking = translation.layers[l].spiking;
                LayerBehaviour {
                    units: circuits.len(),
                    spiking,
                    spikes: spikes_of(raw, caps, circuits, spiking),
                    membrane: membranes_of(translation, raw, l, theta_lsb),
                }
            })
            .collect();
        Self { layers, samples: raw.trials, steps }
    }

    /// The model on its own grid: one recording a sample, in it one a layer. A spike of state `k` happened in the
    /// step before it, and is put into the middle of that. Layers of the host are left out.
    #[must_use]
    pub fn of_model(translation: &Translation, recordings: &[Vec<LayerRecording<f32>>]) -> Self {
        let (steps, dt) = (translation.grid().steps, translation.grid().dt_us);
        let chip_layers = (0..translation.placement().layers()).filter(|l| translation.on_chip(*l));
        let layers = chip_layers
            .map(|l| {
                let (units, spiking) = (translation.layers[l].units, translation.layers[l].spiking);
                let spikes = recordings.iter().map(|sample| {
                    let trains = &sample[l].spikes;
                    let at = |step: usize| {
                        let time_us = (step as f32 - 0.5).max(0.0) * dt;
                        trains.at(0, step).iter().map(move |unit| Spike { time_us, unit: *unit })
                    };
                    (0..steps).flat_map(at).collect()
                });
                let membrane = match translation.membranes() {
                    true => recordings.iter().flat_map(|s| s[l].membrane.iter().copied()).collect(),
                    false => Vec::new(),
                };
                LayerBehaviour { units, spiking, spikes: spikes.collect(), membrane }
            })
            .collect();
        Self { layers, samples: recordings.len(), steps }
    }
}

fn spikes_of(
    raw: &Raw,
    caps: &Capabilities,
    circuits: &[NeuronId],
    spiking: bool,
) -> Vec<Vec<Spike>> {
    let one = |k: usize| -> Vec<Spike> {
        let events = raw.spikes_of(k).iter().filter(|_| spiking);
        events
            .filter_map(|event| {
                let unit = circuits.binary_search(&event.id).ok()? as u16;
                Some(Spike { time_us: caps.microseconds(event.tick) as f32, unit })
            })
            .collect()
    };
    (0..raw.trials).map(one).collect()
}

fn membranes_of(translation: &Translation, raw: &Raw, l: usize, theta_lsb: f64) -> Vec<f32> {
    if !translation.membranes() {
        return Vec::new();
    }
    let (steps, units) = (translation.grid().steps, translation.layers[l].units);
    let (start, channels) =
        (translation.placement().start(l), translation.placement().circuits().len());
    let mut zero = vec![0.0_f32; units];
    for trial in raw.samples.chunks_exact(steps * channels) {
        zero.iter_mut().zip(&trial[start..start + units]).for_each(|(z, s)| *z += s);
    }
    zero.iter_mut().for_each(|z| *z /= raw.trials.max(1) as f32);
    let scale = translation.membrane_scale(l) / theta_lsb as f32;
    let mut out = Vec::with_capacity(raw.trials * steps * units);
    for row in raw.samples.chunks_exact(channels) {
        out.extend(row[start..start + units].iter().zip(&zero).map(|(s, z)| (s - z) * scale));
    }
    out
}
