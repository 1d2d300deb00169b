//! What is injected as measured: the model's own values change nothing, a chip's values point the same way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop::chip_loop::{ChipLoop, LoopError};
use spikeloop::data::Dataset;
use spikeloop::experiment::{Experiment, Observe, layer_targets};
use spikeloop_calibration::{Translation, TranslationOptions};
use spikeloop_hal::{Observables, OpenOptions, Selector, SpikeEvent};
use spikeloop_models::inference::{Batch, Inference, LayerRecording};
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::{Chunk, Gradients, Method};
use spikeloop_models::network::Network;
use spikeloop_models::observation::{LayerObservation, Observation};
use spikeloop_models::spike_train::SpikeTrains;
use spikeloop_tests::learning::experiment;

const SAMPLES: usize = 50;

/// Initial weights at which hidden neurons fire.
const LIVELY: &str = "learning.init.gain=3.0";

struct Task {
    experiment: Experiment,
    data: Dataset,
    network: Network<f32>,
    inputs: SpikeTrains,
    labels: Vec<u16>,
}

impl Task {
    fn new(name: &str, set: &[&str]) -> Self {
        let (experiment, data) = experiment(name, set);
        let network = experiment.network(data.inputs, data.classes).unwrap();
        let indices: Vec<u32> = (0..SAMPLES as u32).collect();
        let mut inputs = SpikeTrains::default();
        data.train.encode(&indices, &experiment.grid(), &mut inputs);
        let labels = data.train.labels[..SAMPLES].to_vec();
        Self { experiment, data, network, inputs, labels }
    }

    /// Gradient of the batch; measurements, if there are any, come in one chunk.
    fn gradients(&self, observation: Option<&Observation<f32>>) -> Gradients<f32> {
        self.gradients_with(observation, true)
    }

    /// The same; `at_measured` puts the membrane at the threshold wherever a spike was measured.
    fn gradients_with(
        &self,
        observation: Option<&Observation<f32>>,
        at_measured: bool,
    ) -> Gradients<f32> {
        let learning = &self.experiment.learning;
        let config = BpttConfig {
            loss: learning.loss,
            regularisers: learning.regularisers.clone(),
            sigma_at_measured_spikes: at_measured,
        };
        let mut method = Bptt::new(&self.network, config).unwrap();
        method.begin(&self.network).unwrap();
        let chunk = Chunk {
            inputs: &self.inputs,
            labels: &self.labels,
            first: 0,
            batch: SAMPLES,
            tie_break_key: 7,
        };
        method.accumulate(&chunk, observation).unwrap();
        method.finish().unwrap().clone()
    }

    /// What the model does by itself, sample by sample.
    fn recordings(&self) -> Vec<Vec<LayerRecording<f32>>> {
        let inference = Inference::new(&self.network, self.experiment.learning.loss).unwrap();
        let batch = Batch {
            inputs: &self.inputs,
            labels: None,
            first: 0,
            tie_break_key: 7,
            observation: None,
        };
        (0..SAMPLES).map(|sample| inference.record(&batch, sample).unwrap()).collect()
    }

    /// What a chip measures on the batch.
    fn measured(&self, selector: &str) -> Observation<f32> {
        let options = OpenOptions { threads: 1, ..OpenOptions::default() };
        let chip = selector.parse::<Selector>().unwrap().open(&options).unwrap();
        let observe = self.experiment.chip.observe;
        let mut chip = ChipLoop::new(chip, &self.network, &self.experiment, observe).unwrap();
        chip.write(&self.network).unwrap();
        let mut measured = None;
        chip.run(&self.inputs, 0, |range, observation| -> Result<(), LoopError> {
            assert_eq!(range, 0..SAMPLES, "one run holds the batch");
            measured = Some(observation.clone());
            Ok(())
        })
        .unwrap();
        measured.unwrap()
    }
}

fn bits(gradients: &Gradients<f32>) -> Vec<u32> {
    let layers = gradients.layers.iter();
    layers
        .flat_map(|l| l.weights.iter().chain(l.recurrent.iter().flatten()))
        .map(|g| g.to_bits())
        .collect()
}

/// Cosine between the hidden weights' gradients.
fn cosine(a: &Gradients<f32>, b: &Gradients<f32>) -> f64 {
    let dot = |a: &Gradients<f32>, b: &Gradients<f32>| -> f64 {
        let pairs = a.layers[0].weights.iter().zip(b.layers[0].weights.iter());
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

const TASKS: [(&str, &[&str]); 3] = [
    ("digits", &["network.hidden=[60]", LIVELY]),
    ("yinyang", &["network.hidden=[60]", "network.reset=multiplicative", LIVELY]),
    ("digits", &["network.hidden=[40,30]", "network.recurrent=true", LIVELY]),
];

#[test]
fn own_spikes_and_membranes_change_no_bit() {
    for (name, set) in TASKS {
        let task = Task::new(name, set);
        let software = task.gradients(None);
        let recordings = task.recordings();
        let layers = (0..task.network.layers.len()).map(|l| {
            let membrane = recordings.iter().flat_map(|r| r[l].membrane.iter().copied()).collect();
            let mut spikes = SpikeTrains::default();
            spikes.reset(task.network.steps, task.network.layers[l].spec.units);
            for recording in &recordings {
                for step in 0..task.network.steps {
                    recording[l].spikes.at(0, step).iter().for_each(|id| spikes.push(*id));
                    spikes.end_step();
                }
            }
            let spiking = task.network.layers[l].spec.neuron.spikes();
            LayerObservation { spikes: spiking.then_some(spikes), membrane: Some(membrane) }
        });
        let own = Observation { layers: layers.collect() };
        assert_eq!(bits(&task.gradients(Some(&own))), bits(&software), "{name} {set:?}");
        // The comparison sees values that are not the model's own.
        let mut other = own.clone();
        let first = other.layers[0].membrane.as_mut().unwrap();
        let units = task.network.layers[0].spec.units;
        first.iter_mut().skip(3 * units).take(units).for_each(|v| *v += 0.01);
        assert_ne!(bits(&task.gradients(Some(&other))), bits(&software));
    }
}

/// The model's spikes, as a chip would return them, through the translation and back. Where nothing is known of
/// the membrane but the spike, learning takes it to be at the threshold; here the model's own value is kept.
#[test]
fn own_spikes_through_the_translation_change_no_bit() {
    for (name, set) in TASKS {
        let task = Task::new(name, set);
        let selector: Selector = "emu:preset=bss2-cal".parse().unwrap();
        let chip = selector.open(&OpenOptions::default()).unwrap();
        let options = TranslationOptions {
            spread: task.experiment.chip.spread,
            membranes: false,
            baseline: task.experiment.chip.baseline,
            timing: task.experiment.timing(),
            window: None,
        };
        let targets = layer_targets(&task.network, Observe::Spikes);
        let (caps, grid) = (chip.capabilities(), task.experiment.grid());
        let translation =
            Translation::new(caps, grid, task.data.inputs, &targets, options).unwrap();
        let step = caps.ticks(f64::from(grid.dt_us));
        let mut observables = Observables::default();
        observables.clear();
        for recording in task.recordings() {
            let start = observables.spikes.len();
            for (l, layer) in recording.iter().enumerate().filter(|(l, _)| translation.on_chip(*l))
            {
                let circuits = translation.placement().layer(l);
                for state in 0..grid.steps {
                    // Anywhere in the interval that ends with the state; at its end here.
                    let tick = state as u32 * step;
                    let ids = layer.spikes.at(0, state).iter();
                    observables
                        .spikes
                        .extend(ids.map(|id| SpikeEvent::new(tick, circuits[usize::from(*id)])));
                }
            }
            observables.spikes[start..].sort();
            observables.offsets.push(observables.spikes.len() as u32);
        }
        assert!(!observables.spikes.is_empty());
        let mut observation = Observation::default();
        translation.observe(&observables, &mut observation).unwrap();
        let software = bits(&task.gradients(None));
        let injected = bits(&task.gradients_with(Some(&observation), false));
        assert!(injected == software, "{name} {set:?}");
    }
}

/// Why learning in the loop works at all: what a mismatched chip measures turns into a gradient that is finite
/// and points to the same side as that of the model. Measured: cosines of 0.74 and 0.70 on the ideal chip
/// (membranes, spikes), whose spikes are not on the grid, and of 0.61 and 0.66 with mismatch and noise.
#[test]
fn measurements_of_a_chip_point_the_same_way() {
    for (observe, selector, least) in [
        ("membranes", "emu:preset=pnas-decal", 0.6),
        ("membranes", "emu:preset=bss2-cal", 0.5),
        ("spikes", "emu:preset=pnas-decal", 0.6),
        ("spikes", "emu:preset=bss2-cal", 0.5),
    ] {
        let observe_as = format!("chip.observe={observe}");
        let task = Task::new("digits", &["network.hidden=[60]", LIVELY, &observe_as]);
        let software = task.gradients(None);
        let measured = task.gradients(Some(&task.measured(selector)));
        assert!(bits(&measured).iter().all(|b| f32::from_bits(*b).is_finite()));
        let cosine = cosine(&measured, &software);
        println!("{observe} {selector}: cosine {cosine:.4}");
        assert!(cosine > least, "{observe} {selector}: cosine {cosine:.4}");
        assert_ne!(bits(&measured), bits(&software));
    }
}
