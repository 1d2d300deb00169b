//! What every [`Method`] promises: own measurements give the bits of software, and neither the cut of
//! a batch nor the number of threads changes one.
#![allow(clippy::unwrap_used, reason = "tests")]

use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::init::{Init, draw};
use spikeloop_models::layer::LayerSpec;
use spikeloop_models::loss::Loss;
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::eprop::{Eprop, Feedback};
use spikeloop_models::method::rtrl::Rtrl;
use spikeloop_models::method::{Chunk, Gradients, Method};
use spikeloop_models::regularise::Regulariser;
use spikeloop_models::{LayerObservation, ModelError, Network, Observation, SpikeTrains, random};

const SAMPLES: usize = 13;

fn config() -> BpttConfig {
    BpttConfig {
        loss: Loss::max_over_time(10.0),
        regularisers: vec![Regulariser::SpikeCountSquared { strength: 5e-4 }],
        sigma_at_measured_spikes: true,
    }
}

/// Every method, by name.
fn methods(network: &Network<f32>) -> Vec<(&'static str, Box<dyn Method<f32>>)> {
    let random = Feedback::Random { std: 1.0 };
    vec![
        ("bptt", Box::new(Bptt::new(network, config()).unwrap())),
        ("eprop", Box::new(Eprop::new(network, config(), Feedback::Symmetric, 3).unwrap())),
        ("eprop", Box::new(Eprop::new(network, config(), random, 3).unwrap())),
        ("rtrl", Box::new(Rtrl::new(network, config()).unwrap())),
    ]
}

fn network(spec: &LayerSpec, loops: bool) -> Network<f32> {
    let specs = vec![
        LayerSpec { units: 11, ..spec.clone() },
        LayerSpec { units: 9, ..spec.clone() },
        spec.readout(4),
    ];
    let mut network = Network::new(20, 12, specs, &[loops, loops]).unwrap();
    for layer in 0..3 {
        draw(
            &mut network,
            layer,
            &Init::FanIn { mean: 0.3, gain: 2.0, one_minus_beta: false },
            None,
            5,
        )
        .unwrap();
    }
    network
}

fn inputs() -> SpikeTrains {
    let mut rng = random::stream(3, 7);
    let mut out = SpikeTrains::new(20, 12);
    for _ in 0..SAMPLES * 20 {
        (0..12).filter(|_| random::uniform(&mut rng) < 0.15).for_each(|unit| out.push(unit));
        out.end_step();
    }
    out
}

/// Samples `range` of what the software model did, as if it had been measured.
fn own(
    network: &Network<f32>,
    inputs: &SpikeTrains,
    range: std::ops::Range<usize>,
) -> Observation<f32> {
    let inference = Inference::new(network, Loss::max_over_time(10.0)).unwrap();
    let batch = Batch { inputs, labels: None, first: 0, tie_break_key: 1, observation: None };
    let layers = network.layers.iter().enumerate().map(|(l, layer)| {
        let mut spikes = SpikeTrains::new(network.steps, layer.spec.units);
        let mut membrane = Vec::new();
        for sample in range.clone() {
            let recording = &inference.record(&batch, sample).unwrap()[l];
            for t in 0..network.steps {
                recording.spikes.at(0, t).iter().for_each(|id| spikes.push(*id));
                spikes.end_step();
            }
            membrane.extend_from_slice(&recording.membrane);
        }
        let spiking = layer.spec.neuron.spikes();
        assert!(!spiking || range.len() < SAMPLES || spikes.total() > 0, "layer {l} is silent");
        LayerObservation { spikes: spiking.then_some(spikes), membrane: Some(membrane) }
    });
    Observation { layers: layers.collect() }
}

/// The gradient with the batch in parts that begin at `cuts`.
fn gradient(
    method: &mut dyn Method<f32>,
    network: &Network<f32>,
    inputs: &SpikeTrains,
    cuts: &[usize],
    measured: bool,
) -> Gradients<f32> {
    method.begin(network).unwrap();
    let mut part = SpikeTrains::default();
    for (k, first) in cuts.iter().enumerate() {
        let range = *first..cuts.get(k + 1).copied().unwrap_or(SAMPLES);
        part.copy_range(inputs, range.clone());
        let labels: Vec<u16> = range.clone().map(|k| (k % 4) as u16).collect();
        let observation = measured.then(|| own(network, inputs, range.clone()));
        let chunk = Chunk {
            inputs: &part,
            labels: &labels,
            first: *first,
            batch: SAMPLES,
            tie_break_key: 1,
        };
        method.accumulate(&chunk, observation.as_ref()).unwrap();
    }
    method.finish().unwrap().clone()
}

#[test]
fn every_method_keeps_the_promises() {
    let inputs = inputs();
    for (spec, loops) in [(LayerSpec::chip_grid(1), true), (LayerSpec::tutorial(1), false)] {
        let network = network(&spec, loops);
        for (name, mut method) in methods(&network) {
            let software = gradient(&mut *method, &network, &inputs, &[0], false);
            for layer in &software.layers {
                assert!(layer.weights.iter().any(|g| *g != 0.0), "{name}: a layer does not learn");
            }
            let needs = method.requirements();
            assert_eq!(needs.method, name);
            assert!(matches!(needs.check(false, true, true), Err(ModelError::Requirement { .. })));
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for cuts in [vec![0], vec![0, 1, 6], (0..SAMPLES).collect()] {
                    for measured in [false, true] {
                        let again = pool
                            .install(|| gradient(&mut *method, &network, &inputs, &cuts, measured));
                        assert_eq!(
                            software, again,
                            "{name}, {threads} threads, cuts {cuts:?}, measured {measured}"
                        );
                    }
                }
            }
        }
    }
}
