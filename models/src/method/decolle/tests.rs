#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::random;

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

/// Input units of all nets here.
const INPUTS: usize = 56;

/// A net of every kind of layer on a 7 × 4 image of 2 channels, for 9 steps and 3 classes. The last
/// layer sees 18 units: a whole number neither of tasks nor of groups of rows.
fn mixed(change: impl FnOnce(&mut DecolleConfig)) -> Decolle<f64> {
    let mut config = DecolleConfig::new(vec![
        LayerKind::Conv { channels: 3, kernel: 3, pool: 2 },
        LayerKind::Conv { channels: 3, kernel: 3, pool: 1 },
        LayerKind::Dense { units: 5 },
    ]);
    (config.burn_in, config.gain, config.readout_amplitude) = (3, 6.0, 2.0);
    change(&mut config);
    let shape = Shape { height: 7, width: 4, channels: 2 };
    let mut net = Decolle::new(config, shape, 3, 5).unwrap();
    net.initialise(&trains(8, 9, INPUTS, 0.4, 1)).unwrap();
    net
}

/// The equations alone, dense, with images as `[y][x][channel]`; shares no code with the layers.
/// Weights, readouts and dropout masks are read from the network under test.
mod oracle {
    use super::*;

    pub(super) struct State {
        q: Vec<f64>,
        pub(super) p: Vec<f64>,
        r: Vec<f64>,
        pub(super) u: Vec<f64>,
    }

    pub(super) fn rest(net: &Decolle<f64>) -> Vec<State> {
        net.layers
            .iter()
            .map(|layer| {
                let below = vec![0.0; layer.geometry.input.units()];
                let own = vec![0.0; layer.geometry.membranes.units()];
                State { q: below.clone(), p: below, r: own.clone(), u: own }
            })
            .collect()
    }

    /// `W P + b`.
    pub(super) fn drive(layer: &Layer<f64>, weights: &[f64], bias: &[f64], p: &[f64]) -> Vec<f64> {
        let g = &layer.geometry;
        let (h, w) = (g.membranes.height as isize, g.membranes.width as isize);
        let half = (g.kernel / 2) as isize;
        let mut out = vec![];
        for y in 0..h {
            for x in 0..w {
                for c in 0..g.membranes.channels {
                    let mut sum = bias[c];
                    for i in 0..g.input.channels {
                        for ky in 0..g.kernel as isize {
                            for kx in 0..g.kernel as isize {
                                let (iy, ix) = (y + ky - half, x + kx - half);
                                if iy < 0 || ix < 0 || iy >= h || ix >= w {
                                    continue;
                                }
                                let row = (i * g.kernel + ky as usize) * g.kernel + kx as usize;
                                let k = (iy * w + ix) as usize * g.input.channels + i;
                                sum += weights[row * g.stride + c] * p[k];
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    /// For each pooled unit the index of its membrane.
    pub(super) fn tops(layer: &Layer<f64>, u: &[f64]) -> Vec<usize> {
        let g = &layer.geometry;
        let at =
            |y: usize, x: usize, c: usize| (y * g.membranes.width + x) * g.membranes.channels + c;
        let mut out = vec![];
        for y in 0..g.membranes.height / g.pool {
            for x in 0..g.membranes.width / g.pool {
                for c in 0..g.membranes.channels {
                    let block = (0..g.pool * g.pool)
                        .map(|k| at(y * g.pool + k / g.pool, x * g.pool + k % g.pool, c));
                    out.push(block.reduce(|a, b| if u[b] > u[a] { b } else { a }).unwrap());
                }
            }
        }
        out
    }

    /// One step of one sample.
    pub(super) fn step(net: &Decolle<f64>, states: &mut [State], input: &[u16]) {
        let c = &net.config;
        let mut x = vec![0.0; net.input.units()];
        input.iter().for_each(|id| x[usize::from(*id)] += 1.0);
        for (layer, s) in net.layers.iter().zip(states) {
            for ((p, q), x) in s.p.iter_mut().zip(&mut s.q).zip(&x) {
                *p = c.alpha * *p + (1.0 - c.alpha) * *q;
                *q = c.beta * *q + (1.0 - c.beta) * c.gain * x;
            }
            let drive = drive(layer, &layer.weights, &layer.bias, &s.p);
            for ((r, u), drive) in s.r.iter_mut().zip(&mut s.u).zip(drive) {
                let spike = f64::from(u8::from(*u > 0.0));
                *r = c.alpha_refractory * *r
                    - (1.0 - c.alpha_refractory) * c.refractory_weight * spike;
                *u = drive + *r;
            }
            x = tops(layer, &s.u).iter().map(|k| f64::from(u8::from(s.u[*k] > 0.0))).collect();
        }
    }

    /// Loss of one step of one layer over the samples, as a function of the weights: spikes are
    /// linear around what they are, with the surrogate as slope. P is a constant.
    pub(super) fn loss(
        net: &Decolle<f64>,
        l: usize,
        states: &[Vec<State>],
        labels: &[u16],
        weights: &[f64],
        bias: &[f64],
    ) -> f64 {
        let layer = &net.layers[l];
        let wide = layer.readout_bias.len();
        let mut total = 0.0;
        for (b, states) in states.iter().enumerate() {
            let s = &states[l];
            let drive = drive(layer, weights, bias, &s.p);
            let tops = tops(layer, &s.u);
            for class in 0..net.classes {
                let mut r = layer.readout_bias[class];
                for (unit, k) in tops.iter().enumerate() {
                    let u = drive[*k] + s.r[*k];
                    let slope = 1.0 / (10.0 * s.u[*k].abs() + 1.0).powi(2);
                    let spike = f64::from(u8::from(s.u[*k] > 0.0)) + slope * (u - s.u[*k]);
                    let keep = net.state.samples[b].layers[l].keep(unit);
                    r += layer.readout[unit * wide + class] * keep * spike;
                }
                let d = (r - f64::from(u8::from(usize::from(labels[b]) == class))).abs();
                total += if d < 1.0 { d * d / 2.0 } else { d - 0.5 };
            }
        }
        total / (labels.len() * net.classes) as f64
    }
}

#[test]
fn membranes_and_gradients_are_those_of_the_equations() {
    for update_every in [0, 1] {
        let mut net = mixed(|c| c.update_every = update_every);
        let inputs = trains(3, 9, INPUTS, 0.4, 2);
        let labels = [0, 2, 1];
        let batch = Batch { inputs: &inputs, labels: &labels, key: 3 };
        let mut states: Vec<_> = labels.iter().map(|_| oracle::rest(&net)).collect();
        let mut numeric: Vec<Vec<f64>> =
            net.layers.iter().map(|l| vec![0.0; l.weights.len() + l.bias.len()]).collect();
        let mut loss = [0.0; 3];
        net.begin(3);
        for t in 0..9 {
            net.step(&batch, t);
            for (b, states) in states.iter_mut().enumerate() {
                oracle::step(&net, states, inputs.at(b, t));
                for (l, s) in states.iter().enumerate() {
                    let g = &net.layers[l].geometry;
                    let own = &net.state.samples[b].layers[l];
                    for (k, u) in s.u.iter().enumerate() {
                        let c = g.membranes.channels;
                        let got = own.u[k / c * g.stride + k % c];
                        assert!((got - u).abs() < 1e-12, "u of layer {l}: {got} against {u}");
                    }
                    s.p.iter().zip(own.p.iter()).for_each(|(p, q)| assert!((p - q).abs() < 1e-14));
                }
            }
            if t < net.config.burn_in {
                continue;
            }
            net.accumulate();
            for l in 0..3 {
                let layer = &net.layers[l];
                let (w, b) = (layer.weights.to_vec(), layer.bias.to_vec());
                loss[l] += oracle::loss(&net, l, &states, &labels, &w, &b);
                for k in 0..numeric[l].len() {
                    let h = 1e-5;
                    let at = |by: f64| {
                        let (mut w, mut b) = (w.clone(), b.clone());
                        if k < w.len() {
                            w[k] += by
                        } else {
                            b[k - w.len()] += by
                        }
                        oracle::loss(&net, l, &states, &labels, &w, &b)
                    };
                    numeric[l][k] += (at(h) - at(-h)) / (2.0 * h);
                }
            }
        }
        for l in 0..3 {
            let learner = &net.learners[l];
            let got = learner.weights.gradient.iter().chain(learner.bias.gradient.iter());
            let top = numeric[l].iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            assert!(top > 1e-4, "layer {l} has no gradient: {top}");
            for (k, (got, expected)) in got.zip(&numeric[l]).enumerate() {
                let error = (got - expected).abs();
                assert!(error < 1e-7 * top, "layer {l} entry {k}: {got} against {expected}");
            }
            let got: f64 = net.state.samples.iter().map(|s| s.layers[l].loss).sum::<f64>()
                / labels.len() as f64;
            assert!((got - loss[l]).abs() < 1e-12, "loss of layer {l}: {got} against {}", loss[l]);
        }
    }
}

#[test]
fn filtering_after_the_weights_is_filtering_before_them() {
    let inputs = trains(2, 60, INPUTS, 0.3, 4);
    let labels = [0, 1];
    let batch = Batch { inputs: &inputs, labels: &labels, key: 3 };
    let (mut before, mut after) = (mixed(|c| c.update_every = 1), mixed(|c| c.update_every = 0));
    before.begin(2);
    after.begin(2);
    let mut spikes = 0;
    for t in 0..60 {
        before.step(&batch, t);
        after.step(&batch, t);
        for (a, b) in before.state.samples.iter().zip(&after.state.samples) {
            for (a, b) in a.layers.iter().zip(&b.layers) {
                assert_eq!(a.spikes, b.spikes, "step {t}");
                spikes += a.spikes.len();
                a.u.iter().zip(b.u.iter()).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
            }
        }
    }
    assert!(spikes > 100, "{spikes} spikes");
}

#[test]
fn memory_does_not_depend_on_the_duration() {
    let bytes = |steps: usize| {
        let mut net = mixed(|_| {});
        let inputs = trains(4, steps, INPUTS, 0.3, 4);
        net.learn(&Batch { inputs: &inputs, labels: &[0, 1, 2, 0], key: 1 }, 1e-3).unwrap();
        net.state_bytes()
    };
    let short = bytes(10);
    assert!(short > 1000);
    assert_eq!(short, bytes(400));
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut net = mixed(|c| c.trigger = Some(0.3));
            for key in 0..2 {
                let inputs = trains(13, 20, INPUTS, 0.3, key);
                let labels: Vec<u16> = (0..13).map(|k| k % 3).collect();
                net.learn(&Batch { inputs: &inputs, labels: &labels, key }, 1e-2).unwrap();
            }
            let decided = net.decide(&trains(13, 20, INPUTS, 0.3, 9)).unwrap();
            let tensors: Vec<Vec<f64>> = net.state().map(|(_, values)| values.to_vec()).collect();
            (decided, tensors)
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

/// Three classes, each with its own third of 30 inputs firing.
fn patterns(samples: usize, steps: usize, seed: u64) -> (SpikeTrains, Vec<u16>) {
    let mut rng = random::stream(seed, 1);
    let mut out = SpikeTrains::new(steps, 30);
    let labels: Vec<u16> = (0..samples).map(|k| (k % 3) as u16).collect();
    for label in &labels {
        for _ in 0..steps {
            for unit in 0..30_u16 {
                let rate = if unit / 10 == *label { 0.45 } else { 0.1 };
                if random::uniform(&mut rng) < rate {
                    out.push(unit);
                }
            }
            out.end_step();
        }
    }
    (out, labels)
}

#[test]
fn every_layer_learns_and_a_restored_net_continues_with_the_same_bits() {
    let fresh = |update_every: usize| {
        let mut config = DecolleConfig::new(vec![LayerKind::Dense { units: 24 }; 2]);
        (config.burn_in, config.update_every, config.dropout) = (20, update_every, 0.2);
        let mut net = Decolle::<f32>::new(config, Shape::flat(30), 3, 2).unwrap();
        net.initialise(&patterns(12, 50, 100).0).unwrap();
        net
    };
    let learn = |net: &mut Decolle<f32>, rounds: std::ops::Range<u64>, rate: f64| {
        for key in rounds {
            let (inputs, labels) = patterns(24, 50, key);
            net.learn(&Batch { inputs: &inputs, labels: &labels, key }, rate).unwrap();
        }
    };
    let (inputs, labels) = patterns(60, 50, 999);
    let wrong = |net: &Decolle<f32>| -> Vec<usize> {
        let decided = net.decide(&inputs).unwrap();
        let count = |p: &Vec<u16>| p.iter().zip(&labels).filter(|(a, b)| a != b).count();
        decided.predicted.iter().map(count).collect()
    };
    for (update_every, rate) in [(1, 5e-3), (5, 2e-2)] {
        let mut net = fresh(update_every);
        let before = wrong(&net);
        learn(&mut net, 0..12, rate);
        let saved: Vec<(String, Vec<f32>)> =
            net.state().map(|(name, values)| (name, values.to_vec())).collect();
        let after = wrong(&net);
        for l in 0..2 {
            assert!(before[l] > 15 && after[l] <= 3, "{update_every}: {before:?} {after:?}");
        }
        let mut again = fresh(update_every);
        let get = |name: &str| saved.iter().find(|s| s.0 == name).map(|s| s.1.as_slice());
        again.restore(net.updates(), get).unwrap();
        learn(&mut net, 12..14, rate);
        learn(&mut again, 12..14, rate);
        assert!(net.state().map(|(_, v)| v.to_vec()).eq(again.state().map(|(_, v)| v.to_vec())));
        assert!(again.restore(1, |_| None).is_err());
    }
}

#[test]
fn membranes_start_with_variance_one() {
    let inputs = trains(32, 60, INPUTS, 0.2, 8);
    let config = DecolleConfig::new(vec![LayerKind::Dense { units: 12 }; 3]);
    let config = DecolleConfig { burn_in: 20, ..config };
    let mut net = Decolle::<f64>::new(config.clone(), Shape::flat(INPUTS), 3, 5).unwrap();
    // Orthogonal before it is scaled.
    let layer = &net.layers[0];
    for a in 0..12 {
        for b in 0..12 {
            let dot: f64 =
                layer.weights.chunks(layer.geometry.stride).map(|row| row[a] * row[b]).sum();
            assert!((dot - f64::from(u8::from(a == b))).abs() < 1e-12);
        }
    }
    let reached = net.initialise(&inputs).unwrap();
    for (l, reached) in reached.iter().enumerate() {
        assert!((reached.variance - 1.0).abs() <= 0.1 && reached.mean.abs() <= 0.2, "{reached:?}");
        // Against the equations.
        let (mut sum, mut square, mut count) = (0.0, 0.0, 0.0);
        for b in 0..32 {
            let mut states = oracle::rest(&net);
            for t in 0..60 {
                oracle::step(&net, &mut states, inputs.at(b, t));
                for u in states[l].u.iter().filter(|_| t >= 20) {
                    (sum, square, count) = (sum + u, square + u * u, count + 1.0);
                }
            }
        }
        let mean: f64 = sum / count;
        assert!((mean - reached.mean).abs() < 1e-9);
        assert!((square / count - mean * mean - reached.variance).abs() < 1e-9);
    }
    let mut silent = Decolle::<f64>::new(config, Shape::flat(INPUTS), 3, 5).unwrap();
    let refused = silent.initialise(&trains(4, 60, INPUTS, 0.0, 1));
    assert!(matches!(refused, Err(ModelError::Architecture { layer: 0, .. })));
}

#[test]
fn the_regulariser_adds_its_own_gradient() {
    let inputs = trains(4, 9, INPUTS, 0.4, 2);
    let batch = Batch { inputs: &inputs, labels: &[0, 1, 2, 0], key: 3 };
    let lambda = 0.7;
    let (mut plain, mut held) = (mixed(|_| {}), mixed(|c| c.regularisation = lambda));
    // Far below threshold everywhere, so that the second part acts on the last layer.
    for net in [&mut plain, &mut held] {
        net.layers[2].bias[..5].iter_mut().for_each(|b| *b -= 4.0);
        net.begin(4);
        (0..6).for_each(|t| net.step(&batch, t));
    }
    let total = plain.state.delta.len() / 4;
    let mut offset = 0;
    for (l, layer) in plain.layers.iter().enumerate() {
        let tops: Vec<&[u32]> =
            held.state.samples.iter().map(|s| s.layers[l].top.as_slice()).collect();
        let u: Vec<Vec<f64>> = held.state.samples.iter().map(|s| s.layers[l].u.to_vec()).collect();
        let penalty = |u: &[Vec<f64>]| {
            let all: Vec<f64> =
                u.iter().zip(&tops).flat_map(|(u, t)| t.iter().map(|k| u[*k as usize])).collect();
            let mean =
                |f: &dyn Fn(f64) -> f64| all.iter().map(|u| f(*u)).sum::<f64>() / all.len() as f64;
            lambda * mean(&|u| (u + 0.01).max(0.0))
                + 3e-3 * lambda * mean(&|u| 0.1 - 1.0 / (1.0 + (-u).exp())).max(0.0)
        };
        let mut seen = 0.0_f64;
        for b in 0..4 {
            for k in 0..layer.geometry.len() {
                let at = |by: f64| {
                    let mut u = u.clone();
                    u[b][k] += by;
                    penalty(&u)
                };
                let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                let place = b * total + offset + k;
                let got = held.state.delta[place] - plain.state.delta[place];
                assert!((got - numeric).abs() < 1e-8, "layer {l}: {got} against {numeric}");
                seen = seen.max(got.abs());
            }
        }
        assert!(seen > 1e-6, "layer {l}: the regulariser does nothing");
        offset += layer.geometry.len();
    }
}

#[test]
fn error_triggered_learning_keeps_its_share() {
    let mut net = mixed(|c| c.trigger = Some(0.1));
    let inputs = trains(10, 300, INPUTS, 0.3, 2);
    let labels: Vec<u16> = (0..10).map(|k| k % 3).collect();
    let batch = Batch { inputs: &inputs, labels: &labels, key: 3 };
    net.begin(10);
    let (mut taught, mut possible) = ([0.0; 3], [0.0; 3]);
    for t in 0..300 {
        net.step(&batch, t);
        for l in (0..3).filter(|_| t >= 200) {
            for (b, sample) in net.state.samples.iter().enumerate() {
                taught[l] += sample.layers[l].triggered as f64;
                possible[l] += sample.layers[l].top.len() as f64;
                let total = net.state.delta.len() / 10;
                let offset: usize = net.layers[..l].iter().map(|l| l.geometry.len()).sum();
                let errors = &net.state.delta[b * total + offset..][..net.layers[l].geometry.len()];
                let changed = errors.iter().filter(|d| **d != 0.0).count();
                assert!(changed <= sample.layers[l].triggered);
            }
        }
    }
    for l in 0..3 {
        let share = taught[l] / possible[l];
        assert!((share - 0.1).abs() < 0.05, "layer {l}: {share}");
    }
}

#[test]
fn weights_change_as_often_as_asked() {
    let inputs = trains(2, 10, INPUTS, 0.4, 2);
    let batch = Batch { inputs: &inputs, labels: &[0, 1], key: 3 };
    // Seven taught steps.
    for (update_every, expected) in [(1, 7), (3, 3), (7, 1), (0, 1)] {
        let mut net = mixed(|c| c.update_every = update_every);
        net.learn(&batch, 1e-3).unwrap();
        assert_eq!(net.updates(), expected, "every {update_every}");
    }
}

#[test]
fn misuse_is_refused_with_numbers() {
    let config = || DecolleConfig::new(vec![LayerKind::Dense { units: 4 }]);
    let make = |config: DecolleConfig| Decolle::<f32>::new(config, Shape::flat(6), 3, 1);
    for (wrong, key) in [
        (DecolleConfig { alpha: 1.0, ..config() }, "network.alpha"),
        (DecolleConfig { beta: f64::NAN, ..config() }, "network.beta"),
        (DecolleConfig { dropout: 1.0, ..config() }, "network.dropout"),
        (DecolleConfig { gain: 0.0, ..config() }, "network.gain"),
        (DecolleConfig { regularisation: -1.0, ..config() }, "network.regularisation"),
        (DecolleConfig { trigger: Some(0.0), ..config() }, "network.trigger"),
    ] {
        match make(wrong) {
            Err(ModelError::Parameter { what, .. }) => assert_eq!(what, key),
            other => panic!("{key}: {:?}", other.map(|_| ())),
        }
    }
    let layers = |kind| make(DecolleConfig::new(vec![kind])).map(|_| ()).unwrap_err();
    assert!(matches!(layers(LayerKind::Dense { units: 0 }), ModelError::Size { got: 0, .. }));
    let conv = |kernel, pool| layers(LayerKind::Conv { channels: 2, kernel, pool });
    assert!(matches!(conv(4, 1), ModelError::Architecture { .. }));
    assert!(matches!(conv(3, 2), ModelError::Architecture { .. }));
    assert!(matches!(conv(3, 0), ModelError::Size { .. }));
    assert!(matches!(make(DecolleConfig::new(vec![])), Err(ModelError::NoLayers)));
    let mut net = make(config()).unwrap();
    let inputs = trains(2, 50, 6, 0.2, 1);
    let batch = |inputs, labels| Batch { inputs, labels, key: 1 };
    assert!(matches!(
        net.learn(&batch(&inputs, &[0, 1]), 1e-3),
        Err(ModelError::Parameter { what: "network.burn_in", .. })
    ));
    let inputs = trains(2, 70, 6, 0.2, 1);
    assert!(matches!(
        net.learn(&batch(&inputs, &[0, 3]), 1e-3),
        Err(ModelError::Label { sample: 1, label: 3, .. })
    ));
    assert!(net.learn(&batch(&inputs, &[0]), 1e-3).is_err());
    assert!(net.decide(&trains(2, 70, 7, 0.2, 1)).is_err());
    assert!(net.learn(&batch(&inputs, &[0, 2]), 1e-3).is_ok());
}
