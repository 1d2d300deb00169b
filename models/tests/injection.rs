//! Measured values go forward, the nominal model's Jacobians go backward.
//!
//! The reference is a dense backward pass written from the equations alone, over full
//! `[state, unit]` arrays of the sample; it shares no code with the engine.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::init::{Init, draw};
use spikeloop_models::layer::{Current, LayerSpec, Reset};
use spikeloop_models::loss::Loss;
use spikeloop_models::method::bptt::{Bptt, BpttConfig};
use spikeloop_models::method::{Chunk, Gradients, Method};
use spikeloop_models::{LayerObservation, Network, Observation, Real, SpikeTrains, random};

fn trains(samples: usize, steps: usize, units: usize, density: f64, seed: u64) -> SpikeTrains {
    let mut rng = random::stream(seed, 7);
    let mut out = SpikeTrains::new(steps, units);
    for _ in 0..samples * steps {
        for unit in 0..units {
            if random::uniform(&mut rng) < density {
                out.push(unit as u16);
            }
        }
        out.end_step();
    }
    out
}

fn network<F: Real>(
    steps: usize,
    inputs: usize,
    hidden: LayerSpec,
    classes: usize,
    loops: bool,
    seed: u64,
) -> Network<F> {
    let readout = hidden.readout(classes);
    let gain = if hidden.current == Current::New { 1.5 } else { 4.0 };
    let mut network = Network::new(steps, inputs, vec![hidden, readout], &[loops]).unwrap();
    for layer in 0..2 {
        let init = Init::FanIn { mean: 0.05, gain, one_minus_beta: false };
        draw(&mut network, layer, &init, None, seed).unwrap();
    }
    network
}

fn config(sigma_at_measured_spikes: bool) -> BpttConfig {
    BpttConfig { loss: Loss::max_over_time(10.0), regularisers: vec![], sigma_at_measured_spikes }
}

fn gradient<F: Real>(
    network: &Network<F>,
    inputs: &SpikeTrains,
    labels: &[u16],
    observation: Option<&Observation<F>>,
    config: BpttConfig,
) -> Gradients<F> {
    let mut bptt = Bptt::new(network, config).unwrap();
    bptt.begin(network).unwrap();
    let chunk = Chunk { inputs, labels, first: 0, batch: labels.len(), tie_break_key: 1 };
    bptt.accumulate(&chunk, observation).unwrap();
    bptt.finish().unwrap().clone()
}

/// What the software model did, as if it had been measured.
fn own<F: Real>(
    network: &Network<F>,
    inputs: &SpikeTrains,
    membranes: [bool; 2],
) -> Observation<F> {
    let inference = Inference::new(network, Loss::max_over_time(10.0)).unwrap();
    let batch = Batch { inputs, labels: None, first: 0, tie_break_key: 1, observation: None };
    let mut spikes = SpikeTrains::new(network.steps, network.layers[0].spec.units);
    let mut values = [Vec::new(), Vec::new()];
    for sample in 0..inputs.samples() {
        let layers = inference.record(&batch, sample).unwrap();
        for t in 0..network.steps {
            layers[0].spikes.at(0, t).iter().for_each(|id| spikes.push(*id));
            spikes.end_step();
        }
        values.iter_mut().zip(&layers).for_each(|(v, layer)| v.extend_from_slice(&layer.membrane));
    }
    assert!(spikes.total() > 0, "the network must fire for the test to mean anything");
    let [hidden, readout] = values;
    Observation {
        layers: vec![
            LayerObservation { spikes: Some(spikes), membrane: membranes[0].then_some(hidden) },
            LayerObservation { spikes: None, membrane: membranes[1].then_some(readout) },
        ],
    }
}

#[test]
fn own_measurements_give_the_bits_of_software() {
    let inputs = trains(11, 20, 30, 0.1, 3);
    let labels: Vec<u16> = (0..11).map(|k| k % 4).collect();
    for (name, spec) in [
        ("chip grid", LayerSpec::chip_grid(37)),
        ("tutorial", LayerSpec::tutorial(37)),
        (
            "stork",
            LayerSpec {
                input_scale: spikeloop_models::layer::InputScale::One,
                ..LayerSpec::stork(37)
            },
        ),
    ] {
        for loops in [false, true] {
            let network = network::<f32>(20, 30, spec.clone(), 4, loops, 5);
            let software = gradient(&network, &inputs, &labels, None, config(true));
            assert!(software.layers[0].weights.iter().any(|g| *g != 0.0));
            for membranes in [[true, true], [true, false]] {
                let observation = own(&network, &inputs, membranes);
                let before = observation.clone();
                let injected =
                    gradient(&network, &inputs, &labels, Some(&observation), config(true));
                assert_eq!(software, injected, "{name}, loops {loops}, membranes {membranes:?}");
                assert_eq!(before, observation, "measurements are not modified");
            }
            // Spikes alone: the model's membrane, reset by them, is the model's membrane.
            let observation = own(&network, &inputs, [false, false]);
            let injected = gradient(&network, &inputs, &labels, Some(&observation), config(false));
            assert_eq!(software, injected, "{name}, loops {loops}, spikes alone");
        }
    }
}

/// Dense backward pass of one layer pair given all states. `x`, `s`, `v`: `[state][unit]`.
struct Dense<'a> {
    network: &'a Network<f64>,
    x: Vec<Vec<f64>>,
    s: Vec<Vec<f64>>,
    v: Vec<Vec<f64>>,
    /// Adjoint of the readout membrane.
    o: Vec<Vec<f64>>,
}

impl Dense<'_> {
    fn membrane_to_current(
        &self,
        layer: usize,
        dv: impl Fn(usize, &[Vec<f64>]) -> Vec<f64>,
    ) -> Vec<Vec<f64>> {
        let spec = &self.network.layers[layer].spec;
        let (steps, units) = (self.network.steps, spec.units);
        let mut di = vec![vec![0.0; units]; steps + 1];
        let mut q = vec![vec![0.0; units]; steps + 1];
        for t in (1..steps).rev() {
            // Old current: V[t+1] takes I[t].
            if spec.current == Current::Old {
                for u in 0..units {
                    di[t][u] = spec.alpha(u) * di[t + 1][u] + spec.scale(u) * q[t + 1][u];
                }
            }
            let direct = dv(t, &di);
            for u in 0..units {
                let mut slope = direct[u] + spec.beta(u) * q[t + 1][u];
                if spec.neuron.spikes() && spec.reset == Reset::Multiplicative {
                    slope *= 1.0 - self.s[t - 1][u];
                }
                q[t][u] = slope;
                if spec.current == Current::New {
                    di[t][u] = spec.alpha(u) * di[t + 1][u] + spec.scale(u) * q[t][u];
                }
            }
        }
        di
    }

    fn gradients(&self) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (steps, layers) = (self.network.steps, &self.network.layers);
        let dj = self.membrane_to_current(1, |t, _| self.o[t].clone());
        let hidden = &layers[0];
        let sigma = |t: usize, u: usize| {
            let x: f64 = self.v[t][u] - 1.0;
            1.0 / (50.0 * x.abs() + 1.0).powi(2)
        };
        let di = self.membrane_to_current(0, |t, di| {
            (0..hidden.spec.units)
                .map(|u| {
                    let above: f64 = dj[t + 1]
                        .iter()
                        .enumerate()
                        .map(|(k, d)| d * layers[1].weights[[u, k]])
                        .sum();
                    let own: f64 = hidden.recurrent.as_ref().map_or(0.0, |r| {
                        di[t + 1].iter().enumerate().map(|(k, d)| d * r[[u, k]]).sum()
                    });
                    sigma(t, u) * (above + own)
                })
                .collect()
        });
        let outer = |pre: &[Vec<f64>], post: &[Vec<f64>]| {
            let mut out = vec![0.0; pre[0].len() * post[0].len()];
            for t in 0..steps - 1 {
                for (i, a) in pre[t].iter().enumerate() {
                    for (j, b) in post[t + 1].iter().enumerate() {
                        out[i * post[0].len() + j] += a * b;
                    }
                }
            }
            out
        };
        (outer(&self.x, &di), outer(&self.s, &di), outer(&self.s, &dj))
    }
}

/// `[state][unit]` of one sample.
fn dense(trains: &SpikeTrains, sample: usize) -> Vec<Vec<f64>> {
    (0..trains.steps())
        .map(|t| {
            let mut row = vec![0.0; trains.units()];
            trains.at(sample, t).iter().for_each(|id| row[usize::from(*id)] += 1.0);
            row
        })
        .collect()
}

fn rows(values: &[f64], units: usize) -> Vec<Vec<f64>> {
    values.chunks(units).map(<[f64]>::to_vec).collect()
}

fn close(a: &[f64], b: &[f64]) -> bool {
    let top = b.iter().fold(1e-30_f64, |m, x| m.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * top)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was measured (here: noise), the sparse engine gives the dense reference.
    #[test]
    fn sparse_equals_dense_for_any_measurement(
        seed in 0u64..1000, loops: bool, old: bool, multiplicative: bool, units in 1usize..20, steps in 2usize..15,
    ) {
        let mut spec = LayerSpec::chip_grid(units);
        spec.current = if old { Current::Old } else { Current::New };
        spec.reset = if multiplicative { Reset::Multiplicative } else { Reset::Subtractive };
        let network = network::<f64>(steps, 6, spec, 3, loops, seed);
        let inputs = trains(1, steps, 6, 0.3, seed);
        let spikes = trains(1, steps, units, 0.2, seed + 5000);
        let mut rng = random::stream(seed, 1);
        let v: Vec<f64> = (0..steps * units).map(|_| 1.0 + 0.1 * random::normal(&mut rng)).collect();
        let o: Vec<f64> = (0..steps * 3).map(|_| random::normal(&mut rng)).collect();
        let observation = Observation {
            layers: vec![
                LayerObservation { spikes: Some(spikes.clone()), membrane: Some(v.clone()) },
                LayerObservation { spikes: None, membrane: Some(o.clone()) },
            ],
        };
        let loss = Loss::MaxOverTime { scale: 2.0, tie_noise: 0.0, amplitude: 0.0 };
        let config = BpttConfig { loss, ..config(true) };
        let got = gradient(&network, &inputs, &[1], Some(&observation), config);

        let o = rows(&o, 3);
        let best: Vec<usize> = (0..3)
            .map(|k| (0..steps).max_by(|a, b| o[*a][k].total_cmp(&o[*b][k])).unwrap())
            .collect();
        let e: Vec<f64> = best.iter().enumerate().map(|(k, t)| (2.0 * o[*t][k]).exp()).collect();
        let mut adjoint = vec![vec![0.0; 3]; steps];
        for (k, t) in best.iter().enumerate() {
            adjoint[*t][k] = 2.0 * (e[k] / e.iter().sum::<f64>() - f64::from(u8::from(k == 1)));
        }
        let reference = Dense {
            network: &network, x: dense(&inputs, 0), s: dense(&spikes, 0), v: rows(&v, units), o: adjoint,
        };
        let (w, r, u) = reference.gradients();
        prop_assert!(close(got.layers[0].weights.as_slice().unwrap(), &w));
        prop_assert!(close(got.layers[1].weights.as_slice().unwrap(), &u));
        if let Some(recurrent) = &got.layers[0].recurrent {
            prop_assert!(close(recurrent.as_slice().unwrap(), &r));
        }
    }
}

#[test]
fn measured_spikes_alone_take_the_slope_at_the_threshold() {
    let inputs = trains(6, 20, 30, 0.1, 3);
    let labels: Vec<u16> = (0..6).map(|k| k % 4).collect();
    let network = network::<f64>(20, 30, LayerSpec::chip_grid(37), 4, false, 5);
    // The model's own membranes with the threshold wherever a spike was.
    let mut with = own(&network, &inputs, [true, true]);
    let units = 37;
    let LayerObservation { spikes: Some(spikes), membrane: Some(v) } = &mut with.layers[0] else {
        unreachable!()
    };
    for sample in 0..6 {
        for t in 0..20 {
            spikes
                .at(sample, t)
                .iter()
                .for_each(|id| v[(sample * 20 + t) * units + usize::from(*id)] = 1.0);
        }
    }
    let expected = gradient(&network, &inputs, &labels, Some(&with), config(true));
    let alone = own(&network, &inputs, [false, true]);
    assert_eq!(expected, gradient(&network, &inputs, &labels, Some(&alone), config(true)));
    assert_ne!(expected, gradient(&network, &inputs, &labels, Some(&alone), config(false)));
}

#[test]
fn observations_that_do_not_fit_are_refused() {
    let inputs = trains(2, 20, 30, 0.1, 3);
    let network = network::<f32>(20, 30, LayerSpec::chip_grid(7), 4, false, 5);
    let mut bptt = Bptt::new(&network, config(true)).unwrap();
    bptt.begin(&network).unwrap();
    let chunk = Chunk { inputs: &inputs, labels: &[0, 1], first: 0, batch: 2, tie_break_key: 1 };
    let mut refuse = |hidden: LayerObservation<f32>, readout: LayerObservation<f32>| {
        let observation = Observation { layers: vec![hidden, readout] };
        assert!(bptt.accumulate(&chunk, Some(&observation)).is_err());
    };
    let empty = LayerObservation::default;
    let spikes = |samples, units| Some(trains(samples, 20, units, 0.1, 1));
    refuse(LayerObservation { spikes: spikes(1, 7), membrane: None }, empty());
    refuse(LayerObservation { spikes: spikes(2, 8), membrane: None }, empty());
    refuse(LayerObservation { spikes: spikes(2, 7), membrane: Some(vec![0.0; 5]) }, empty());
    refuse(LayerObservation { spikes: None, membrane: Some(vec![0.0; 280]) }, empty());
    refuse(empty(), LayerObservation { spikes: spikes(2, 4), membrane: None });
    assert!(bptt.accumulate(&chunk, Some(&Observation { layers: vec![empty()] })).is_err());
}
