#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::init::{Init, draw};
use crate::layer::{Forward, InputScale, LayerSpec, NeuronKind, PerUnit};
use crate::loss::Loss;
use crate::random;
use crate::regularise::Regulariser;
use crate::spike_train::SpikeTrains;
use crate::surrogate::Surrogate;

fn trains(samples: usize, steps: usize, units: usize, seed: u64) -> SpikeTrains {
    let mut rng = random::stream(seed, 7);
    let mut out = SpikeTrains::new(steps, units);
    for _ in 0..samples * steps {
        for unit in 0..units {
            if random::uniform(&mut rng) < 0.35 {
                out.push(unit as u16);
            }
        }
        out.end_step();
    }
    out
}

fn gradients<M: Method<f64>>(
    mut method: M,
    network: &Network<f64>,
    inputs: &SpikeTrains,
    observation: Option<&Observation<f64>>,
) -> Gradients<f64> {
    let labels = [0, 2, 1];
    method.begin(network).unwrap();
    let chunk = Chunk { inputs, labels: &labels, first: 0, batch: 3, tie_break_key: 1 };
    method.accumulate(&chunk, observation).unwrap();
    method.finish().unwrap().clone()
}

fn assert_equal(a: &Gradients<f64>, b: &Gradients<f64>, what: &str) {
    for (l, (a, b)) in a.layers.iter().zip(&b.layers).enumerate() {
        let pairs =
            std::iter::once((&a.weights, &b.weights)).chain(a.recurrent.iter().zip(&b.recurrent));
        for (a, b) in pairs {
            let top = b.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            assert!(top > 0.0, "{what}: layer {l} has no gradient");
            let error = a.iter().zip(b).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(error <= 1e-9 * top, "{what}: layer {l}: {error:e} of {top:e}");
        }
    }
    assert_eq!(a.regularisation, b.regularisation, "{what}");
}

/// Two hidden layers of 7 and 6 units, everything that can differ between units different.
fn network(spec: &LayerSpec, loops: bool) -> Network<f64> {
    let mut first = LayerSpec { units: 7, ..spec.clone() };
    let each =
        |value: f64| PerUnit::Each((0..7).map(|k| value * (0.8 + 0.06 * k as f64)).collect());
    first.tau_mem_us = each(spec.tau_mem_us.at(0));
    first.tau_syn_us = each(spec.tau_syn_us.at(0));
    first.threshold = each(1.0);
    let second = LayerSpec { units: 6, ..spec.clone() };
    let readout = second.readout(3);
    let mut network = Network::new(16, 5, vec![first, second, readout], &[loops, loops]).unwrap();
    let gain = if spec.current == Current::New { 1.5 } else { 4.0 };
    for layer in 0..3 {
        draw(&mut network, layer, &Init::FanIn { mean: 0.2, gain, one_minus_beta: false }, None, 3)
            .unwrap();
    }
    network
}

#[test]
fn equals_back_propagation_for_every_convention() {
    let inputs = trains(3, 16, 5, 4);
    let stork = LayerSpec { input_scale: InputScale::One, ..LayerSpec::stork(1) };
    let bases = [LayerSpec::chip_grid(1), LayerSpec::tutorial(1), stork];
    let surrogate = Surrogate::SuperSpike { beta: 5.0 };
    for base in bases {
        for reset in [Reset::Subtractive, Reset::Multiplicative, Reset::None] {
            for detach_reset in [true, false] {
                for forward in [Forward::Hard, Forward::Smooth] {
                    for loops in [false, true] {
                        let spec =
                            LayerSpec { reset, detach_reset, forward, surrogate, ..base.clone() };
                        let network = network(&spec, loops);
                        let config = BpttConfig {
                            loss: Loss::EveryStep { scale: 1.5 },
                            regularisers: vec![Regulariser::SpikeCountSquared { strength: 0.1 }],
                            sigma_at_measured_spikes: true,
                        };
                        let bptt = Bptt::new(&network, config.clone()).unwrap();
                        let rtrl = Rtrl::new(&network, config).unwrap();
                        let expected = gradients(bptt, &network, &inputs, None);
                        let got = gradients(rtrl, &network, &inputs, None);
                        let what = format!("{spec:?} loops {loops}");
                        assert_equal(&got, &expected, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn equals_back_propagation_for_other_losses_neurons_and_with_measurements() {
    let inputs = trains(3, 16, 5, 4);
    let base = LayerSpec { detach_reset: false, ..LayerSpec::chip_grid(1) };
    let plain = |loss| BpttConfig { loss, regularisers: vec![], sigma_at_measured_spikes: true };
    let both = |network: &Network<f64>, loss, observation: Option<&Observation<f64>>| {
        let bptt =
            gradients(Bptt::new(network, plain(loss)).unwrap(), network, &inputs, observation);
        let rtrl =
            gradients(Rtrl::new(network, plain(loss)).unwrap(), network, &inputs, observation);
        assert_equal(&rtrl, &bptt, &format!("{loss:?} measured {}", observation.is_some()));
    };
    let net = network(&base, true);
    for loss in [Loss::max_over_time(10.0), Loss::LastStep { scale: 2.0 }] {
        both(&net, loss, None);
    }
    let lif = LayerSpec { neuron: NeuronKind::Lif, ..base.clone() };
    both(&network(&lif, true), Loss::SumOverTime { scale: 0.3 }, None);
    // Noise as measurements: values go forward, Jacobians stay the model's.
    let mut rng = random::stream(8, 8);
    let mut layers = vec![];
    for (units, spikes) in [(7, true), (6, true), (3, false)] {
        let membrane = (0..3 * 16 * units).map(|_| 1.0 + 0.1 * random::normal(&mut rng)).collect();
        let spikes = spikes.then(|| trains(3, 16, units, 20 + units as u64));
        layers.push(LayerObservation { spikes, membrane: Some(membrane) });
    }
    both(&net, Loss::max_over_time(10.0), Some(&Observation { layers }));
}

#[test]
fn large_networks_and_encoders_are_refused() {
    let hidden = LayerSpec::chip_grid(100);
    let readout = hidden.readout(10);
    let network = Network::<f64>::new(5, 200, vec![hidden.clone(), readout.clone()], &[]).unwrap();
    let config = BpttConfig {
        loss: Loss::max_over_time(1.0),
        regularisers: vec![],
        sigma_at_measured_spikes: true,
    };
    let refused = Rtrl::new(&network, config.clone());
    assert!(matches!(refused, Err(ModelError::Size { got: 2_310_000, .. })));
    let encoder = LayerSpec {
        neuron: NeuronKind::Lif,
        units: 4,
        wiring: Wiring::Encoder,
        ..LayerSpec::chip_grid(4)
    };
    let network = Network::<f64>::new(5, 3, vec![encoder, readout], &[]).unwrap();
    let refused = Rtrl::new(&network, config);
    assert!(matches!(refused, Err(ModelError::Architecture { layer: 0, .. })));
}
