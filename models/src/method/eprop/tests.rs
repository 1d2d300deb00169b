#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::init::{Init, draw};
use crate::layer::{Current, InputScale, LayerSpec, Reset};
use crate::loss::Loss;
use crate::spike_train::SpikeTrains;
use crate::surrogate::Surrogate;
use ndarray::Array2;

fn trains(samples: usize, steps: usize, units: usize, seed: u64) -> SpikeTrains {
    let mut rng = random::stream(seed, 7);
    let mut out = SpikeTrains::new(steps, units);
    for _ in 0..samples * steps {
        for unit in 0..units {
            if random::uniform(&mut rng) < 0.3 {
                out.push(unit as u16);
            }
        }
        out.end_step();
    }
    out
}

fn network(spec: &LayerSpec, hidden: &[usize], loops: bool) -> Network<f64> {
    let mut specs: Vec<LayerSpec> =
        hidden.iter().map(|units| LayerSpec { units: *units, ..spec.clone() }).collect();
    specs.push(spec.readout(3));
    let recurrent = vec![loops; hidden.len()];
    let mut network = Network::new(14, 6, specs, &recurrent).unwrap();
    let gain = if spec.current == Current::New { 1.5 } else { 4.0 };
    for layer in 0..=hidden.len() {
        let init = Init::FanIn { mean: 0.2, gain, one_minus_beta: false };
        draw(&mut network, layer, &init, None, 3).unwrap();
    }
    network
}

fn config(loss: Loss) -> BpttConfig {
    BpttConfig { loss, regularisers: vec![], sigma_at_measured_spikes: true }
}

fn gradients<M: Method<f64>>(
    mut method: M,
    network: &Network<f64>,
    inputs: &SpikeTrains,
    labels: &[u16],
) -> Gradients<f64> {
    method.begin(network).unwrap();
    let chunk = Chunk { inputs, labels, first: 0, batch: labels.len(), tie_break_key: 1 };
    method.accumulate(&chunk, None).unwrap();
    method.finish().unwrap().clone()
}

/// Eligibility traces carried forward for one sample with the loss at the last state, dense, from
/// the equations alone. Returns what each matrix gets: feed-forward and recurrent of every hidden
/// layer. `feedback[l][class][unit]`.
fn forward_traces(
    network: &Network<f64>,
    inputs: &SpikeTrains,
    sample: usize,
    label: usize,
    feedback: &[Vec<Vec<f64>>],
) -> Vec<[Array2<f64>; 2]> {
    let steps = network.steps;
    let dense = |trains: &SpikeTrains, sample: usize| -> Vec<Vec<f64>> {
        (0..steps)
            .map(|t| {
                let mut row = vec![0.0; trains.units()];
                trains.at(sample, t).iter().for_each(|id| row[usize::from(*id)] += 1.0);
                row
            })
            .collect()
    };
    // States from the published equations.
    let mut x = vec![dense(inputs, sample)];
    let (mut v, mut logits) = (vec![], vec![]);
    for layer in &network.layers {
        let spec = &layer.spec;
        let (mut vs, mut ss) = (vec![vec![0.0; spec.units]], vec![]);
        let mut current = vec![0.0; spec.units];
        for t in 0..steps {
            let spiking = spec.neuron.spikes();
            let s: Vec<f64> =
                vs[t].iter().map(|v| f64::from(u8::from(spiking && *v > 1.0))).collect();
            let mut next = vec![0.0; spec.units];
            for u in 0..spec.units {
                let old = current[u];
                current[u] *= spec.alpha(u);
                current[u] += (0..layer.weights.nrows())
                    .map(|i| layer.weights[[i, u]] * x[x.len() - 1][t][i])
                    .sum::<f64>();
                if let Some(r) = &layer.recurrent {
                    current[u] += (0..spec.units).map(|i| r[[i, u]] * s[i]).sum::<f64>();
                }
                let drive = if spec.current == Current::New { current[u] } else { old };
                let p = spec.beta(u) * vs[t][u] + spec.scale(u) * drive;
                next[u] = match spec.reset {
                    _ if !spiking => p,
                    Reset::Multiplicative => p * (1.0 - s[u]),
                    Reset::Subtractive => p - s[u],
                    Reset::None => p,
                };
            }
            ss.push(s);
            vs.push(next);
        }
        if !spec.neuron.spikes() {
            logits = vs[steps - 1].clone();
        }
        v.push(vs);
        x.push(ss);
    }
    let total: f64 = logits.iter().map(|o| o.exp()).sum();
    let error: Vec<f64> = logits
        .iter()
        .enumerate()
        .map(|(k, o)| o.exp() / total - f64::from(u8::from(k == label)))
        .collect();
    let readout = &network.layers[network.layers.len() - 1].spec;
    let mut out = vec![];
    for (l, layer) in network.layers[..network.layers.len() - 1].iter().enumerate() {
        let spec = &layer.spec;
        let synapse = |pre: &[Vec<f64>], i: usize, j: usize| -> f64 {
            let signal: f64 = error.iter().zip(&feedback[l]).map(|(e, b)| e * b[j]).sum();
            let (mut ei, mut ev, mut fi, mut fv) = (0.0, 0.0, 0.0, 0.0);
            for t in 0..steps - 1 {
                let d: f64 = v[l][t][j] - 1.0;
                let e = ev / (5.0 * d.abs() + 1.0).powi(2);
                // The unit itself.
                let new = spec.alpha(j) * ei + pre[t][i];
                let drive = if spec.current == Current::New { new } else { ei };
                ev = spec.beta(j) * ev + spec.scale(j) * drive;
                if spec.reset == Reset::Multiplicative {
                    ev *= 1.0 - x[l + 1][t][j];
                }
                if spec.reset == Reset::Subtractive && !spec.detach_reset {
                    ev -= e;
                }
                ei = new;
                // What the readout makes of the eligibility.
                let new = readout.alpha(0) * fi + e;
                let drive = if readout.current == Current::New { new } else { fi };
                fv = readout.beta(0) * fv + readout.scale(0) * drive;
                fi = new;
            }
            signal * fv
        };
        let matrix = |pre: &[Vec<f64>]| {
            Array2::from_shape_fn((pre[0].len(), spec.units), |(i, j)| synapse(pre, i, j))
        };
        out.push([matrix(&x[l]), matrix(&x[l + 1])]);
    }
    out
}

fn assert_close(got: &Array2<f64>, expected: &Array2<f64>, what: &str) {
    let top = expected.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    assert!(top > 0.0, "{what}: no gradient");
    let error = got.iter().zip(expected).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(error <= 1e-11 * top, "{what}: {error:e} of {top:e}");
}

fn specs() -> Vec<LayerSpec> {
    let surrogate = Surrogate::SuperSpike { beta: 5.0 };
    let stork = LayerSpec { input_scale: InputScale::One, ..LayerSpec::stork(1) };
    let mut specs = vec![LayerSpec::chip_grid(1), LayerSpec::tutorial(1), stork];
    specs.push(LayerSpec { detach_reset: false, ..LayerSpec::chip_grid(1) });
    specs.push(LayerSpec { reset: Reset::None, ..LayerSpec::chip_grid(1) });
    specs.iter_mut().for_each(|spec| spec.surrogate = surrogate);
    specs
}

#[test]
fn equals_eligibility_traces_carried_forward() {
    let inputs = trains(2, 14, 6, 4);
    for spec in specs() {
        for feedback in [Feedback::Symmetric, Feedback::Random { std: 0.7 }] {
            let network = network(&spec, &[7, 5], true);
            let matrices: Vec<Vec<Vec<f64>>> = match feedback {
                Feedback::Symmetric => {
                    let (w, top) = (&network.layers[1].weights, &network.layers[2].weights);
                    [w.dot(top), top.clone()]
                        .iter()
                        .map(|b| b.columns().into_iter().map(|c| c.to_vec()).collect())
                        .collect()
                }
                Feedback::Random { std } => drawn(&network, std, 9)
                    .iter()
                    .map(|m| m.chunks(padded(7)).map(<[f64]>::to_vec).collect())
                    .collect(),
            };
            let loss = config(Loss::LastStep { scale: 1.0 });
            let eprop = Eprop::new(&network, loss, feedback, 9).unwrap();
            let got = gradients(eprop, &network, &inputs, &[1, 2]);
            let samples = [1, 2].iter().enumerate();
            let parts: Vec<_> = samples
                .map(|(b, label)| forward_traces(&network, &inputs, b, *label, &matrices))
                .collect();
            for (l, got) in got.layers[..2].iter().enumerate() {
                let sum = |m: usize| (&parts[0][l][m] + &parts[1][l][m]) / 2.0;
                let what = format!("{spec:?} {feedback:?} layer {l}");
                assert_close(&got.weights, &sum(0), &what);
                assert_close(got.recurrent.as_ref().unwrap(), &sum(1), &what);
            }
        }
    }
}

#[test]
fn the_last_hidden_layer_gets_the_gradient_of_back_propagation() {
    let inputs = trains(5, 14, 6, 4);
    let labels = [0, 1, 2, 1, 0];
    for spec in specs() {
        for loss in [Loss::max_over_time(3.0), Loss::EveryStep { scale: 1.0 }] {
            let network = network(&spec, &[9, 7], false);
            let bptt = Bptt::new(&network, config(loss)).unwrap();
            let eprop = Eprop::new(&network, config(loss), Feedback::Symmetric, 1).unwrap();
            let bptt = gradients(bptt, &network, &inputs, &labels);
            let eprop = gradients(eprop, &network, &inputs, &labels);
            // The same sums in the same order: the same bits.
            assert_eq!(bptt.layers[1], eprop.layers[1], "{spec:?}");
            assert_eq!(bptt.layers[2], eprop.layers[2], "{spec:?}");
            assert_ne!(bptt.layers[0], eprop.layers[0], "{spec:?}");
        }
    }
}

#[test]
fn feedback_out_of_range_is_refused() {
    let network = network(&LayerSpec::chip_grid(1), &[4], false);
    for std in [0.0, -1.0, f64::NAN] {
        let feedback = Feedback::Random { std };
        let refused = Eprop::new(&network, config(Loss::max_over_time(1.0)), feedback, 1);
        assert!(matches!(refused, Err(ModelError::Parameter { .. })), "{std}");
    }
}
