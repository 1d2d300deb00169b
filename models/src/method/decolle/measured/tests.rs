//! Oracles: the simulation itself, and the rule written out over plain sums.

use super::super::{DecolleConfig, LayerKind, Shape};
use super::*;
use crate::random;
use crate::spike_train::SpikeTrains;

const STEPS: usize = 12;
const UNITS: [usize; 2] = [7, 5];

/// A 10-7-5 network with readouts of 3 classes.
fn net(dropout: f64) -> Decolle<f64> {
    let layers = UNITS.map(|units| LayerKind::Dense { units }).to_vec();
    let mut config = DecolleConfig::new(layers);
    (config.burn_in, config.gain, config.update_every) = (4, 6.0, 0);
    (config.dropout, config.readout_amplitude) = (dropout, 2.0);
    let mut net = Decolle::new(config, Shape { height: 5, width: 2, channels: 1 }, 3, 5).unwrap();
    net.initialise(&inputs(8, 1)).unwrap();
    net
}

fn inputs(samples: usize, seed: u64) -> SpikeTrains {
    let mut rng = random::stream(seed, 7);
    let mut out = SpikeTrains::new(STEPS, 10);
    for _ in 0..samples * STEPS {
        for unit in 0..10 {
            if random::uniform(&mut rng) < 0.4 {
                out.push(unit);
            }
        }
        out.end_step();
    }
    out
}

fn one(trains: &SpikeTrains, sample: usize) -> SpikeTrains {
    let mut out = SpikeTrains::new(trains.steps(), trains.units());
    out.copy_range(trains, sample..sample + 1);
    out
}

/// What an ideal chip would measure: the simulation, sample by sample.
fn simulated(net: &Decolle<f64>, trains: &SpikeTrains) -> Vec<LayerObservation<f64>> {
    let mut net = net.clone();
    let mut spikes = UNITS.map(|units| SpikeTrains::new(STEPS, units));
    let mut membranes = UNITS.map(|_| Vec::new());
    for sample in 0..trains.samples() {
        let own = one(trains, sample);
        net.begin(1);
        for t in 0..STEPS {
            net.step(&Batch { inputs: &own, labels: &[0], key: 0 }, t);
            for l in 0..2 {
                let state = &net.state.samples[0].layers[l];
                state.spikes.iter().for_each(|unit| spikes[l].push(*unit));
                spikes[l].end_step();
                membranes[l].extend_from_slice(&state.u[..UNITS[l]]);
            }
        }
    }
    let layers = spikes.into_iter().zip(membranes);
    layers.map(|(s, m)| LayerObservation { spikes: Some(s), membrane: Some(m) }).collect()
}

fn weights(net: &Decolle<f64>) -> Vec<(Vec<f64>, Vec<f64>)> {
    (0..2).map(|l| net.dense(l)).collect()
}

#[test]
fn what_the_simulation_would_measure_gives_the_same_bits() {
    let start = net(0.5);
    let trains = inputs(6, 2);
    let batch = Batch { inputs: &trains, labels: &[0, 1, 2, 0, 1, 2], key: 9 };
    let layers = simulated(&start, &trains);
    assert!(layers.iter().all(|l| l.spikes.as_ref().unwrap().total() > 20));
    let mut simulated = start.clone();
    let said = simulated.learn(&batch, 1e-2).unwrap();
    let mut measured = start.clone();
    let part = Part { batch, place: (0, 6), layers: &layers };
    assert_eq!(measured.accumulate_measured(&part).unwrap(), said);
    measured.finish_measured(1e-2);
    assert_eq!(weights(&measured), weights(&simulated));
    assert_ne!(weights(&measured), weights(&start));
    let decided = start.decide_measured(&part).unwrap();
    assert_eq!(decided, start.decide(&trains).unwrap());
    // In two parts: the same sum in another order.
    let mut parts = start.clone();
    for range in [0..4, 4..6] {
        let (mut own, mut layers) = (SpikeTrains::new(STEPS, 10), layers.clone());
        own.copy_range(&trains, range.clone());
        for (layer, units) in layers.iter_mut().zip(UNITS) {
            let mut some = SpikeTrains::new(STEPS, units);
            some.copy_range(layer.spikes.as_ref().unwrap(), range.clone());
            let all = layer.membrane.take().unwrap();
            let size = STEPS * units;
            layer.membrane = Some(all[range.start * size..range.end * size].to_vec());
            layer.spikes = Some(some);
        }
        let batch = Batch { inputs: &own, labels: &batch.labels[range.clone()], key: 9 };
        let part = Part { batch, place: (range.start, 6), layers: &layers };
        parts.accumulate_measured(&part).unwrap();
    }
    for l in 0..2 {
        let whole = start.clone();
        let mut whole = whole;
        whole.accumulate_measured(&part).unwrap();
        let gradients = parts.learners[l].weights.gradient.iter();
        for (got, exact) in gradients.zip(whole.learners[l].weights.gradient.iter()) {
            assert!((got - exact).abs() < 1e-14, "{got} against {exact}");
        }
    }
}

/// Other spikes and membranes than the simulation's: the rule over plain sums.
#[test]
fn the_rule_is_taken_at_what_was_measured() {
    let mut net = net(0.0);
    let trains = inputs(2, 3);
    let mut layers = simulated(&net, &inputs(2, 4));
    for layer in &mut layers {
        layer.membrane.as_mut().unwrap().iter_mut().for_each(|u| *u = 0.3 - 0.5 * *u);
    }
    let labels = [2, 0];
    let batch = Batch { inputs: &trains, labels: &labels, key: 1 };
    net.accumulate_measured(&Part { batch, place: (0, 2), layers: &layers }).unwrap();
    for l in 0..2 {
        let (below, n_below) = match l {
            0 => (&trains, 10),
            _ => (layers[0].spikes.as_ref().unwrap(), UNITS[0]),
        };
        let (spikes, u) =
            (layers[l].spikes.as_ref().unwrap(), layers[l].membrane.as_ref().unwrap());
        let own = &net.layers[l];
        let wide = own.readout_bias.len();
        let mut exact = vec![0.0; n_below * UNITS[l]];
        for b in 0..2 {
            let (mut p, mut q) = (vec![0.0; n_below], vec![0.0; n_below]);
            for t in 0..STEPS {
                for j in 0..n_below {
                    p[j] = 0.97 * p[j] + 0.03 * q[j];
                    let x = f64::from(u8::from(below.at(b, t).contains(&(j as u16))));
                    q[j] = 0.92 * q[j] + 0.08 * 6.0 * x;
                }
                if t < 4 {
                    continue;
                }
                let fired = spikes.at(b, t);
                let error = |k: usize| {
                    let g = |i: &u16| own.readout[usize::from(*i) * wide + k];
                    let r = fired.iter().map(g).sum::<f64>() + own.readout_bias[k];
                    let y = f64::from(u8::from(usize::from(labels[b]) == k));
                    (r - y).clamp(-1.0, 1.0) / 6.0
                };
                let errors = [error(0), error(1), error(2)];
                for i in 0..UNITS[l] {
                    let u = u[(b * STEPS + t) * UNITS[l] + i];
                    let slope = 1.0 / (10.0 * u.abs() + 1.0_f64).powi(2);
                    let pull: f64 = (0..3).map(|k| own.readout[i * wide + k] * errors[k]).sum();
                    for j in 0..n_below {
                        exact[j * UNITS[l] + i] += pull * slope * p[j];
                    }
                }
            }
        }
        let stride = own.geometry.stride;
        let gradient = &net.learners[l].weights.gradient;
        assert!(exact.iter().any(|g| g.abs() > 1e-3));
        for (at, exact) in exact.iter().enumerate() {
            let got = gradient[at / UNITS[l] * stride + at % UNITS[l]];
            assert!((got - exact).abs() < 1e-12, "layer {l}, {at}: {got} against {exact}");
        }
    }
}

#[test]
fn the_peak_is_that_of_the_traces() {
    let net = net(0.5);
    let (mut p, mut q) = (0.0_f64, 0.08 * 6.0);
    let peak = (0..200).fold(0.0_f64, |peak, _| {
        (p, q) = (0.97 * p + 0.03 * q, 0.92 * q);
        peak.max(p)
    });
    assert!((net.psp_peak() - peak).abs() < 1e-15);
}

#[test]
fn what_was_not_measured_is_named() {
    let trains = inputs(2, 3);
    let batch = Batch { inputs: &trains, labels: &[0, 1], key: 1 };
    let good = simulated(&net(0.5), &trains);
    let refuse = |net: &mut Decolle<f64>, layers: &[LayerObservation<f64>]| {
        let part = Part { batch, place: (0, 2), layers };
        net.accumulate_measured(&part).unwrap_err().to_string()
    };
    let mut blind = good.clone();
    blind[1].membrane = None;
    assert!(refuse(&mut net(0.5), &blind).contains("membranes of layer 1"));
    assert!(net(0.5).decide_measured(&Part { batch, place: (0, 2), layers: &blind }).is_ok());
    blind[0].spikes = None;
    assert!(refuse(&mut net(0.5), &blind).contains("spikes"));
    let mut online = net(0.5);
    online.config.update_every = 1;
    assert!(refuse(&mut online, &good).contains("update_every"));
    assert!(REQUIREMENTS.check(true, false, false).is_err());
}

#[test]
fn weights_are_replaced_as_they_are_read_and_a_readout_is_that_of_the_state() {
    let mut net = net(0.0);
    let before = net.clone();
    for l in 0..net.depth() {
        let (mut weights, mut bias) = net.dense(l);
        weights.iter_mut().enumerate().for_each(|(k, w)| *w = k as f64);
        bias.iter_mut().enumerate().for_each(|(k, b)| *b = -(k as f64));
        net.set_dense(l, &weights, &bias);
        assert_eq!(net.dense(l), (weights, bias));
        assert_eq!(net.readout(l), before.readout(l));
        let (readout, biases) = net.readout(l);
        let layer = &net.layers[l];
        let (wide, units) = (layer.readout_bias.len(), net.units()[l]);
        assert_eq!(
            (readout.len(), &biases[..]),
            (units * net.classes, &layer.readout_bias[..net.classes])
        );
        for (unit, row) in layer.readout.chunks_exact(wide).enumerate() {
            (0..net.classes)
                .for_each(|class| assert_eq!(readout[class * units + unit], row[class]));
        }
    }
}
