//! The state of a chip that a host can set: integers, as the chip sees them.

use crate::caps::{Capabilities, Parameter};
use crate::error::Error;
use crate::event::{NeuronId, Tick};
use crate::wire::top_code;
use serde::{Deserialize, Serialize};

/// What one run is to bring back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Whether spikes of enabled, spiking neurons come back.
    pub spikes: bool,
    /// Neurons whose membrane is sampled, in ascending order.
    pub traces: Vec<NeuronId>,
    /// Time between two samples, in ticks. Sample `k` is taken at `k · sample_period`.
    pub sample_period: Tick,
    /// Samples of each trial.
    pub samples: u16,
    /// A known potential that every traced channel samples instead of its membrane, in nominal
    /// converter steps (0 ..= 2^bits − 1): shows offset, gain and noise of the channels. The neurons
    /// go on underneath and their spikes come back as ever. Needs a converter that
    /// [can](crate::Adc::reference). A channel whose neuron is not powered reads 0, as without it.
    #[serde(default)]
    pub reference: Option<u16>,
    /// Codes below this are of no interest for neurons that can spike (powered, comparator on): from
    /// the second sample of a trial on such a sample comes back as the floor itself, and does not
    /// travel. The first sample shows where rest is; neurons without comparator are read out whole.
    /// Needs a converter, and is not possible together with a reference. What is sampled, and what it
    /// costs the device, does not change.
    #[serde(default)]
    pub floor: Option<u16>,
}

/// Everything a host sets on a chip. Cheap to keep; sessions send only what changed.
///
/// Weights form a crossbar `[source, neuron]`: sources are the input lines, followed (on recurrent
/// chips) by the neurons. A chip with less memory announces fewer inputs or neurons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChipConfig {
    neurons: usize,
    sources: usize,
    /// Weight codes, row-major `[source, neuron]`.
    pub weights: Vec<i8>,
    /// Parameter codes: one list of `[neuron]` for each parameter that the chip announces, in that order.
    pub parameters: Vec<(Parameter, Vec<u16>)>,
    /// Neurons that are powered. Others neither integrate nor fire nor cost time.
    pub enabled: Vec<bool>,
    /// Neurons whose threshold comparator is on. Off: a leaky integrator, for readouts.
    pub spiking: Vec<bool>,
    /// What comes back.
    pub recording: Recording,
}

impl ChipConfig {
    /// The state after power-up: no weights, default codes, every neuron off.
    #[must_use]
    pub fn power_up(caps: &Capabilities) -> Self {
        let neurons = usize::from(caps.neurons);
        let sources = caps.sources();
        Self {
            neurons,
            sources,
            weights: vec![0; sources * neurons],
            parameters: caps
                .parameters
                .iter()
                .map(|spec| (spec.parameter, vec![spec.code_default; neurons]))
                .collect(),
            enabled: vec![false; neurons],
            spiking: vec![false; neurons],
            recording: Recording::default(),
        }
    }

    /// Number of neurons (columns).
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.neurons
    }

    /// Number of sources (rows).
    #[must_use]
    pub fn sources(&self) -> usize {
        self.sources
    }

    /// Weight codes from `source` to every neuron.
    #[must_use]
    pub fn row(&self, source: usize) -> &[i8] {
        &self.weights[source * self.neurons..][..self.neurons]
    }

    /// Weight codes from `source` to every neuron, to be written.
    pub fn row_mut(&mut self, source: usize) -> &mut [i8] {
        &mut self.weights[source * self.neurons..][..self.neurons]
    }

    /// Codes of `parameter` for every neuron, if the chip has it.
    #[must_use]
    pub fn codes(&self, parameter: Parameter) -> Option<&[u16]> {
        self.parameters.iter().find(|(p, _)| *p == parameter).map(|(_, codes)| codes.as_slice())
    }

    /// Codes of `parameter` for every neuron, to be written, if the chip has it.
    pub fn codes_mut(&mut self, parameter: Parameter) -> Option<&mut [u16]> {
        self.parameters
            .iter_mut()
            .find(|(p, _)| *p == parameter)
            .map(|(_, codes)| codes.as_mut_slice())
    }

    /// Whether the samples of `neuron` come back whole although the recording has a floor: it is not
    /// powered, or its comparator is off.
    #[must_use]
    pub fn keeps_all(&self, neuron: NeuronId) -> bool {
        let on = |list: &[bool]| list.get(usize::from(neuron)).copied().unwrap_or(false);
        !(on(&self.enabled) && on(&self.spiking))
    }

    /// Checks every code against what the chip announced.
    ///
    /// # Errors
    /// [`Error::ConfigShape`] if this configuration was made for another chip,
    /// [`Error::CodeOutOfRange`] or [`Error::WeightOutOfRange`] naming the first offending cell,
    /// [`Error::Recording`] if the recording asks for what the chip cannot do.
    pub fn check(&self, caps: &Capabilities) -> Result<(), Error> {
        let (neurons, sources) = (usize::from(caps.neurons), caps.sources());
        if self.neurons != neurons || self.sources != sources {
            return Err(Error::ConfigShape {
                expected: (sources, neurons),
                got: (self.sources, self.neurons),
            });
        }
        // The lists are public: somebody may have changed their length.
        let lists = self.parameters.iter().map(|(_, codes)| codes.len());
        let mut lists = lists.chain([self.enabled.len(), self.spiking.len()]);
        let odd = lists.find(|len| *len != neurons);
        if self.weights.len() != sources * neurons || odd.is_some() {
            let got = (self.weights.len() / neurons.max(1), odd.unwrap_or(neurons));
            return Err(Error::ConfigShape { expected: (sources, neurons), got });
        }
        let (low, high) = (caps.weight_min, caps.weight_max);
        if let Some(at) = self.weights.iter().position(|w| *w < low || *w > high) {
            return Err(Error::WeightOutOfRange {
                source_row: at / neurons,
                neuron: at % neurons,
                code: self.weights[at],
                range: (low, high),
            });
        }
        for (parameter, codes) in &self.parameters {
            let Some(spec) = caps.parameter(*parameter) else {
                return Err(Error::UnknownParameter { parameter: *parameter });
            };
            let range = (spec.code_min, spec.code_max);
            if let Some(at) = codes.iter().position(|c| *c < range.0 || *c > range.1) {
                return Err(Error::CodeOutOfRange {
                    parameter: *parameter,
                    neuron: at,
                    code: codes[at],
                    range,
                });
            }
        }
        self.check_recording(caps)
    }

    fn check_recording(&self, caps: &Capabilities) -> Result<(), Error> {
        let recording = &self.recording;
        let refuse = |reason| Err(Error::Recording { reason });
        if let Some(code) = recording.reference {
            let Some(adc) = caps.adc.filter(|adc| adc.reference) else {
                return refuse(
                    "the chip cannot connect its converter to a reference: record membranes instead",
                );
            };
            if code > top_code(adc.bits) {
                return refuse(
                    "the reference lies beyond the converter's range: choose 0 to 2^bits - 1 steps",
                );
            }
        }
        if let Some(code) = recording.floor {
            if recording.reference.is_some() {
                return refuse("a reference and a floor exclude each other: leave one of them out");
            }
            let Some(adc) = caps.adc else {
                return refuse("the chip has no membrane converter: record without a floor");
            };
            if code > top_code(adc.bits) {
                return refuse(
                    "the floor lies beyond the converter's range: choose 0 to 2^bits - 1 steps",
                );
            }
        }
        if recording.traces.is_empty() || recording.samples == 0 {
            return Ok(());
        }
        let Some(adc) = caps.adc else {
            return refuse("the chip has no membrane converter: use spikes only");
        };
        if recording.sample_period < adc.min_period {
            return refuse("the sample period is shorter than the converter allows");
        }
        let last = u64::from(recording.samples - 1) * u64::from(recording.sample_period);
        if last > u64::from(caps.max_duration) {
            return refuse("the last sample lies beyond the longest trial: take fewer samples");
        }
        if recording.traces.iter().any(|id| *id >= caps.neurons) {
            return refuse("a neuron to be traced does not exist on this chip");
        }
        if recording.traces.windows(2).any(|pair| pair[0] >= pair[1]) {
            return refuse("the neurons to be traced must be in ascending order, each once");
        }
        Ok(())
    }
}
