use ndarray::Array2;
use rand::Rng;

use super::*;
use crate::layer::{Current, Forward, InputScale, LayerSpec, Reset};
use crate::network::Network;
use crate::random;
use crate::spike_train::SpikeTrains;

/// Every surrogate that has a primitive.
fn surrogates() -> Vec<Surrogate> {
    vec![
        Surrogate::SuperSpike { beta: 5.0 },
        Surrogate::SuperSpikeAsymptotic { beta: 2.0 },
        Surrogate::SuperSpikeRescaled { beta: 0.7 },
        Surrogate::SuperSpikeClamped { beta: 3.0 },
        Surrogate::Sigmoid { beta: 4.0 },
        Surrogate::PlainSigmoid,
        Surrogate::Triangle { beta: 0.5 },
        Surrogate::TriangleScaled { alpha: 0.3 },
        Surrogate::Boxcar,
        Surrogate::Tanh { k: 1.5 },
        Surrogate::Arctan { alpha: 2.0 },
        Surrogate::Gauss { k: 1.3 },
        Surrogate::Circ { alpha: 0.8 },
        Surrogate::Exponential { p0: 0.4, delta_u: 4.0 },
        Surrogate::Spike,
    ]
}

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
    hidden: &[LayerSpec],
    classes: usize,
    loops: bool,
    seed: u64,
) -> Network<F> {
    let mut specs = hidden.to_vec();
    specs.push(hidden[hidden.len() - 1].readout(classes));
    let recurrent: Vec<bool> = hidden.iter().map(|_| loops).collect();
    let mut network = Network::new(steps, inputs, specs, &recurrent).unwrap();
    for layer in 0..network.layers.len() {
        let init = crate::init::Init::FanIn { mean: 0.1, gain: 1.2, one_minus_beta: false };
        crate::init::draw(&mut network, layer, &init, None, seed).unwrap();
    }
    network
}

fn labels(samples: usize, classes: usize, seed: u64) -> Vec<u16> {
    let mut rng = random::stream(seed, 9);
    (0..samples).map(|_| (rng.next_u64() % classes as u64) as u16).collect()
}

fn config(loss: Loss, regularisers: Vec<Regulariser>) -> BpttConfig {
    BpttConfig { loss, regularisers, sigma_at_measured_spikes: true }
}

fn gradient<F: Real>(
    network: &Network<F>,
    inputs: &SpikeTrains,
    labels: &[u16],
    config: BpttConfig,
) -> Gradients<F> {
    let mut bptt = Bptt::new(network, config).unwrap();
    bptt.begin(network).unwrap();
    let chunk = Chunk { inputs, labels, first: 0, batch: labels.len(), tie_break_key: 1 };
    bptt.accumulate(&chunk, None).unwrap();
    bptt.finish().unwrap().clone()
}

/// A forward pass written from the equations alone, dense, in `f64`, one array per quantity; shares
/// no code with the engine. Returns the loss. `frozen` holds the reset factors of an earlier run
/// (per layer, step, sample, unit): the finite difference of a detached reset.
mod oracle {
    use super::*;

    /// `[state][unit]`.
    pub(super) type Rows = Vec<Vec<f64>>;

    #[derive(Clone, Default)]
    pub(super) struct Frozen(pub(super) Vec<Rows>);

    pub(super) fn loss(
        network: &Network<f64>,
        inputs: &SpikeTrains,
        labels: &[u16],
        config: &BpttConfig,
        frozen: Option<&Frozen>,
    ) -> (f64, Frozen) {
        let steps = network.steps;
        let batch = labels.len() as f64;
        let mut out = Frozen::default();
        let mut total = 0.0;
        let mut counts: Vec<Vec<Vec<f64>>> = vec![Vec::new(); network.layers.len()];
        for (b, label) in labels.iter().enumerate() {
            let mut x = vec![vec![0.0; network.inputs]; steps];
            for (t, row) in x.iter_mut().enumerate() {
                let before: usize = (0..t).map(|t| inputs.at(b, t).len()).sum();
                for (k, id) in inputs.at(b, t).iter().enumerate() {
                    let value = inputs.values(b).get(before + k).map_or(1.0, |v| f64::from(*v));
                    row[usize::from(*id)] += value;
                }
            }
            for (l, layer) in network.layers.iter().enumerate() {
                let (v, s, resets) = run(
                    layer,
                    &x,
                    steps,
                    frozen.map(|f| f.0[b * network.layers.len() + l].clone()),
                );
                out.0.push(resets);
                if layer.spec.neuron.spikes() {
                    counts[l].push(
                        (0..layer.spec.units).map(|u| s.iter().map(|row| row[u]).sum()).collect(),
                    );
                    x = s;
                } else {
                    total += readout(config.loss, &v, usize::from(*label)) / batch;
                }
            }
        }
        (total + penalties(network, &counts, config, batch), out)
    }

    fn run(
        layer: &crate::layer::Layer<f64>,
        x: &[Vec<f64>],
        steps: usize,
        frozen: Option<Vec<Vec<f64>>>,
    ) -> (Rows, Rows, Rows) {
        let spec = &layer.spec;
        let units = spec.units;
        let (mut i, mut v, mut s, mut r) = (vec![], vec![], vec![], vec![]);
        i.push(vec![0.0; units]);
        v.push(vec![spec.initial_membrane; units]);
        for t in 0..steps {
            let mut sent = vec![0.0; units];
            for u in 0..units {
                let d: f64 = v[t][u] - spec.threshold.at(u);
                if spec.neuron.spikes() {
                    sent[u] = match spec.forward {
                        Forward::Smooth => spec.surrogate.primitive(d).unwrap(),
                        Forward::Hard => f64::from(u8::from(d > 0.0)),
                        Forward::Sampled => panic!("the oracle draws nothing"),
                    };
                }
            }
            s.push(sent.clone());
            let acting = match (&frozen, spec.detach_reset) {
                (Some(f), true) => f[t].clone(),
                _ => sent.clone(),
            };
            r.push(acting.clone());
            if t + 1 == steps {
                break;
            }
            let held = match (spec.wiring, t) {
                (crate::layer::Wiring::Dense, _) => acting,
                (crate::layer::Wiring::Encoder, 0) => vec![0.0; units],
                (crate::layer::Wiring::Encoder, _) => r[t - 1].clone(),
            };
            let (mut ni, mut nv) = (vec![0.0; units], vec![0.0; units]);
            for u in 0..units {
                let alpha = if spec.neuron.has_current() {
                    (-spec.dt_us / spec.tau_syn_us.at(u)).exp()
                } else {
                    0.0
                };
                let beta = (-spec.dt_us / spec.tau_mem_us.at(u)).exp();
                let c = match spec.input_scale {
                    InputScale::One => 1.0,
                    InputScale::OneMinusBeta => 1.0 - beta,
                };
                ni[u] = alpha * i[t][u];
                if spec.wiring == crate::layer::Wiring::Encoder {
                    let channels = x[t].len() - 1;
                    let (own, bias) = (u % channels, layer.weights[[channels, u]]);
                    ni[u] += layer.weights[[own, u]] * (x[t][own] + bias);
                } else {
                    for (pre, value) in x[t].iter().enumerate() {
                        ni[u] += layer.weights[[pre, u]] * value;
                    }
                }
                if let Some(w) = &layer.recurrent {
                    for (pre, value) in s[t].iter().enumerate() {
                        ni[u] += w[[pre, u]] * value;
                    }
                }
                let drive = if spec.current == Current::New { ni[u] } else { i[t][u] };
                let p =
                    beta * v[t][u] + (1.0 - beta) * spec.leak.at(u) + c * spec.gain.at(u) * drive;
                nv[u] = match (spec.neuron.spikes(), spec.reset) {
                    (true, Reset::Multiplicative) => p * (1.0 - held[u]),
                    (true, Reset::Subtractive) => p - spec.threshold.at(u) * held[u],
                    _ => p,
                };
            }
            i.push(ni);
            v.push(nv);
        }
        (v, s, r)
    }

    fn readout(loss: Loss, v: &[Vec<f64>], label: usize) -> f64 {
        let nll = |logits: &[f64]| logits.iter().map(|x| x.exp()).sum::<f64>().ln() - logits[label];
        let classes = v[0].len();
        match loss {
            Loss::MaxOverTime { scale, .. } => {
                let best = |k: usize| v.iter().map(|row| row[k]).fold(f64::NEG_INFINITY, f64::max);
                nll(&(0..classes).map(|k| scale * best(k)).collect::<Vec<_>>())
            }
            Loss::SumOverTime { scale } => nll(&(0..classes)
                .map(|k| scale * v.iter().map(|row| row[k]).sum::<f64>())
                .collect::<Vec<_>>()),
            Loss::LastStep { scale } => {
                nll(&v[v.len() - 1].iter().map(|o| scale * o).collect::<Vec<_>>())
            }
            Loss::EveryStep { scale } => {
                let each = |row: &Vec<f64>| nll(&row.iter().map(|o| scale * o).collect::<Vec<_>>());
                v[1..].iter().map(each).sum::<f64>() / (v.len() - 1) as f64
            }
            Loss::Focal { over: crate::loss::Over::SumOverTime, scale, gamma, .. } => {
                let plain = readout(Loss::SumOverTime { scale }, v, label);
                (1.0 - (-plain).exp()).powf(gamma) * plain
            }
            Loss::Focal { .. } => unreachable!("the other logits are tested by themselves"),
            Loss::MeanSquare { scale } | Loss::SmoothL1 { scale } => {
                let linear = matches!(loss, Loss::SmoothL1 { .. });
                let far = |d: f64| linear && d.abs() >= 1.0;
                let term = |d: f64| if far(d) { d.abs() - 0.5 } else { d * d / 2.0 };
                let target = |k: usize| if k == label { 1.0 } else { 0.0 };
                let each = |row: &Vec<f64>| -> f64 {
                    row.iter().enumerate().map(|(k, o)| term(scale * o - target(k))).sum()
                };
                v[1..].iter().map(each).sum::<f64>() / ((v.len() - 1) * classes) as f64
            }
        }
    }

    fn penalties(
        network: &Network<f64>,
        counts: &[Vec<Vec<f64>>],
        config: &BpttConfig,
        batch: f64,
    ) -> f64 {
        let mut sum = 0.0;
        let square = |w: &Array2<f64>| w.iter().map(|w| w * w).sum::<f64>() / w.len() as f64;
        for regulariser in &config.regularisers {
            for (layer, counts) in network.layers.iter().zip(counts) {
                if let Regulariser::WeightSquared { strength } = regulariser {
                    sum += strength
                        * (square(&layer.weights) + layer.recurrent.as_ref().map_or(0.0, square));
                    continue;
                }
                if counts.is_empty() {
                    continue;
                }
                let units = counts[0].len() as f64;
                let mean = |f: &dyn Fn(f64) -> f64| {
                    counts.iter().flatten().map(|n| f(*n)).sum::<f64>() / (batch * units)
                };
                let per_sample = |f: &dyn Fn(f64) -> f64| {
                    counts.iter().map(|n| f(n.iter().sum())).sum::<f64>() / batch
                };
                sum += match *regulariser {
                    Regulariser::SpikeCountSquared { strength } => strength * mean(&|n| n * n),
                    Regulariser::SpikeCountMean { strength } => strength * mean(&|n| n),
                    Regulariser::SpikeTotal { strength } => strength * mean(&|n| n) * batch * units,
                    Regulariser::BatchCountSquared { strength } => {
                        let sums =
                            (0..counts[0].len()).map(|u| counts.iter().map(|n| n[u]).sum::<f64>());
                        strength * sums.map(|s| s * s).sum::<f64>() / units
                    }
                    Regulariser::LowerBound { strength, bound } => {
                        strength * mean(&|n| (bound - n).max(0.0).powi(2))
                    }
                    Regulariser::UpperBoundPopulation { strength, bound } => {
                        strength * per_sample(&|n| (n / units - bound).max(0.0).powi(2))
                    }
                    Regulariser::UpperBoundTotal { strength, bound } => {
                        strength * per_sample(&|n| (n - bound).max(0.0).powi(2))
                    }
                    Regulariser::WeightSquared { .. } => 0.0,
                };
            }
        }
        sum
    }
}

/// Every entry against central differences of the oracle, relative to the largest entry of its
/// matrix.
fn assert_gradient(
    network: &Network<f64>,
    inputs: &SpikeTrains,
    labels: &[u16],
    config: &BpttConfig,
    what: &str,
) {
    let gradients = gradient(network, inputs, labels, config.clone());
    let (_, frozen) = oracle::loss(network, inputs, labels, config, None);
    let h = 2e-6;
    for layer in 0..network.layers.len() {
        for recurrent in [false, true] {
            let pick = |n: &mut Network<f64>, k: usize, by: f64| {
                let layer = &mut n.layers[layer];
                let w =
                    if recurrent { layer.recurrent.as_mut().unwrap() } else { &mut layer.weights };
                w.as_slice_mut().unwrap()[k] += by;
            };
            let analytic = if recurrent {
                let Some(g) = &gradients.layers[layer].recurrent else { continue };
                g.as_slice().unwrap().to_vec()
            } else {
                gradients.layers[layer].weights.as_slice().unwrap().to_vec()
            };
            let top = analytic.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            assert!(top > 0.0, "{what}: layer {layer} recurrent {recurrent}: no gradient at all");
            for (k, g) in analytic.iter().enumerate() {
                let at = |by: f64| {
                    let mut moved = network.clone();
                    pick(&mut moved, k, by);
                    oracle::loss(&moved, inputs, labels, config, Some(&frozen)).0
                };
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (numeric - g).abs() <= 1e-6 * top.max(g.abs()),
                    "{what}: layer {layer} recurrent {recurrent} entry {k}: {g} against {numeric} (largest {top})"
                );
            }
        }
    }
}

fn smooth(
    mut spec: LayerSpec,
    surrogate: Surrogate,
    reset: Reset,
    detach_reset: bool,
) -> LayerSpec {
    spec.surrogate = surrogate;
    spec.forward = Forward::Smooth;
    spec.reset = reset;
    spec.detach_reset = detach_reset;
    spec
}

#[test]
fn smooth_gradient_equals_central_differences_for_every_surrogate() {
    let inputs = trains(3, 9, 6, 0.3, 5);
    let labels = labels(3, 3, 5);
    for surrogate in surrogates() {
        for loops in [false, true] {
            for detach in [false, true] {
                for (reset, base) in [
                    (Reset::Subtractive, LayerSpec::chip_grid(5)),
                    (Reset::Multiplicative, LayerSpec::tutorial(5)),
                    (Reset::None, LayerSpec { gain: 8.0.into(), ..LayerSpec::stork(5) }),
                ] {
                    let spec = smooth(base, surrogate, reset, detach);
                    let network = network(9, 6, &[spec], 3, loops, 3);
                    let what = format!("{surrogate:?} loops {loops} detach {detach} {reset:?}");
                    assert_gradient(
                        &network,
                        &inputs,
                        &labels,
                        &config(Loss::LastStep { scale: 1.5 }, vec![]),
                        &what,
                    );
                }
            }
        }
    }
}

/// Two recurrent hidden layers with everything that can differ between units.
fn rich(steps: usize) -> Network<f64> {
    let surrogate = Surrogate::SuperSpike { beta: 2.0 };
    let mut first = smooth(LayerSpec::chip_grid(4), surrogate, Reset::Subtractive, false);
    first.tau_mem_us = crate::layer::PerUnit::Each(vec![5.0, 6.0, 7.0, 9.0]);
    first.tau_syn_us = crate::layer::PerUnit::Each(vec![3.0, 6.0, 4.0, 8.0]);
    first.threshold = crate::layer::PerUnit::Each(vec![1.0, 0.8, 1.2, 0.9]);
    first.gain = crate::layer::PerUnit::Each(vec![1.0, 1.1, 0.7, 0.9]);
    first.leak = 0.1.into();
    first.initial_membrane = -0.01;
    let mut second = smooth(LayerSpec::chip_grid(3), surrogate, Reset::Multiplicative, false);
    second.current = Current::Old;
    second.neuron = crate::layer::NeuronKind::Lif;
    second.input_scale = InputScale::OneMinusBeta;
    network(steps, 5, &[first, second], 3, true, 4)
}

#[test]
fn every_loss_and_regulariser_equals_central_differences() {
    let inputs = trains(4, 10, 5, 0.3, 6);
    let labels = labels(4, 3, 6);
    let network = rich(10);
    let quiet = |scale| Loss::MaxOverTime { scale, tie_noise: 0.0, amplitude: 0.0 };
    let losses = [
        quiet(10.0),
        Loss::SumOverTime { scale: 0.3 },
        Loss::LastStep { scale: 2.0 },
        Loss::EveryStep { scale: 1.5 },
        Loss::Focal {
            over: crate::loss::Over::SumOverTime,
            scale: 0.3,
            gamma: 2.0,
            tie_noise: 0.0,
        },
        Loss::MeanSquare { scale: 1.5 },
        Loss::SmoothL1 { scale: 4.0 },
    ];
    for loss in losses {
        assert_gradient(&network, &inputs, &labels, &config(loss, vec![]), &format!("{loss:?}"));
    }
    let penalties = [
        Regulariser::SpikeCountSquared { strength: 0.5 },
        Regulariser::SpikeCountMean { strength: 0.7 },
        Regulariser::SpikeTotal { strength: 0.1 },
        Regulariser::BatchCountSquared { strength: 0.01 },
        Regulariser::LowerBound { strength: 1.0, bound: 1.0 },
        Regulariser::UpperBoundPopulation { strength: 1.0, bound: 0.0 },
        Regulariser::UpperBoundTotal { strength: 0.1, bound: 0.0 },
        Regulariser::WeightSquared { strength: 0.1 },
    ];
    for penalty in penalties {
        assert_gradient(
            &network,
            &inputs,
            &labels,
            &config(quiet(10.0), vec![penalty]),
            &format!("{penalty:?}"),
        );
    }
}

#[test]
fn loss_and_regularisation_are_those_of_the_oracle() {
    let inputs = trains(5, 12, 6, 0.3, 8);
    let labels = labels(5, 3, 8);
    for base in [LayerSpec::chip_grid(7), LayerSpec::tutorial(7), LayerSpec::stork(7)] {
        let network = network::<f64>(12, 6, &[base], 3, true, 8);
        let config = config(
            Loss::MaxOverTime { scale: 10.0, tie_noise: 0.0, amplitude: 0.0 },
            vec![
                Regulariser::SpikeCountSquared { strength: 0.1 },
                Regulariser::WeightSquared { strength: 0.1 },
            ],
        );
        let mut bptt = Bptt::new(&network, config.clone()).unwrap();
        bptt.begin(&network).unwrap();
        let chunk =
            Chunk { inputs: &inputs, labels: &labels, first: 0, batch: 5, tie_break_key: 1 };
        let mean = bptt.accumulate(&chunk, None).unwrap().loss.iter().sum::<f64>() / 5.0;
        let total = mean + bptt.finish().unwrap().regularisation;
        let (expected, _) = oracle::loss(&network, &inputs, &labels, &config, None);
        assert!((total - expected).abs() < 1e-12 * expected.abs(), "{total} against {expected}");
    }
}

#[test]
fn chunks_and_threads_do_not_change_a_bit() {
    let inputs = trains(37, 20, 30, 0.02, 11);
    let labels = labels(37, 4, 11);
    let network = network::<f32>(20, 30, &[LayerSpec::chip_grid(21)], 4, true, 12);
    let config = config(
        Loss::max_over_time(10.0),
        vec![
            Regulariser::SpikeCountSquared { strength: 5e-4 },
            Regulariser::WeightSquared { strength: 0.1 },
        ],
    );
    let whole = gradient(&network, &inputs, &labels, config.clone());
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for cuts in [vec![0, 37], vec![0, 1, 37], vec![0, 9, 20, 36, 37], (0..=37).collect()] {
            let mut bptt = Bptt::new(&network, config.clone()).unwrap();
            let cut = pool.install(|| {
                bptt.begin(&network).unwrap();
                for pair in cuts.windows(2) {
                    let part = part(&inputs, pair[0]..pair[1]);
                    let labels = &labels[pair[0]..pair[1]];
                    let chunk = Chunk {
                        inputs: &part,
                        labels,
                        first: pair[0],
                        batch: 37,
                        tie_break_key: 1,
                    };
                    bptt.accumulate(&chunk, None).unwrap();
                }
                bptt.finish().unwrap()
            });
            assert_eq!(cut, &whole, "{threads} threads, cuts {cuts:?}");
        }
    }
}

fn part(trains: &SpikeTrains, range: std::ops::Range<usize>) -> SpikeTrains {
    let mut out = SpikeTrains::new(trains.steps(), trains.units());
    for sample in range {
        for t in 0..trains.steps() {
            trains.at(sample, t).iter().for_each(|id| out.push(*id));
            out.end_step();
        }
    }
    out
}

#[test]
fn scalar_code_gives_the_bits_of_vector_code() {
    let inputs = trains(9, 20, 40, 0.05, 21);
    let labels = labels(9, 5, 21);
    let network = network::<f32>(20, 40, &[LayerSpec::chip_grid(70)], 5, true, 22);
    let config =
        config(Loss::max_over_time(10.0), vec![Regulariser::SpikeCountSquared { strength: 5e-4 }]);
    // Other tests may run meanwhile: the level never changes results, which is what is tested.
    let mut seen = Vec::new();
    for level in
        [crate::kernel::Level::Scalar, crate::kernel::Level::Avx2, crate::kernel::Level::Avx512]
    {
        crate::kernel::limit(level);
        seen.push(gradient(&network, &inputs, &labels, config.clone()));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[test]
fn misuse_is_refused_with_numbers() {
    let network = network::<f32>(5, 4, &[LayerSpec::chip_grid(3)], 2, false, 1);
    let inputs = trains(2, 5, 4, 0.2, 1);
    let whole = vec![Regulariser::BatchCountSquared { strength: 1.0 }];
    let mut bptt = Bptt::new(&network, config(Loss::max_over_time(1.0), whole)).unwrap();
    let chunk = Chunk { inputs: &inputs, labels: &[0, 1], first: 0, batch: 4, tie_break_key: 1 };
    assert!(matches!(
        bptt.accumulate(&chunk, None),
        Err(ModelError::NeedsWholeBatch { got: 2, batch: 4, .. })
    ));
    let mut bptt = Bptt::new(&network, config(Loss::max_over_time(1.0), vec![])).unwrap();
    bptt.begin(&network).unwrap();
    bptt.accumulate(&chunk, None).unwrap();
    assert!(matches!(bptt.finish(), Err(ModelError::Incomplete { batch: 4, got: 2 })));
    let wrong = Chunk { labels: &[0, 7], ..chunk };
    assert!(matches!(
        bptt.accumulate(&wrong, None),
        Err(ModelError::Label { sample: 1, label: 7, classes: 2 })
    ));
    let wrong = Chunk { first: 3, ..chunk };
    assert!(matches!(
        bptt.accumulate(&wrong, None),
        Err(ModelError::Chunk { first: 3, end: 5, batch: 4 })
    ));
    let other = trains(2, 6, 4, 0.2, 1);
    let wrong = Chunk { inputs: &other, ..chunk };
    assert!(matches!(
        bptt.accumulate(&wrong, None),
        Err(ModelError::Input { expected: 5, got: 6, .. })
    ));
    let normalised = LayerSpec {
        surrogate: Surrogate::SuperSpikeNormalised { beta: 5.0 },
        ..LayerSpec::chip_grid(3)
    };
    let unsupported = self::network::<f32>(5, 4, &[normalised], 2, false, 1);
    assert!(Bptt::new(&unsupported, config(Loss::max_over_time(1.0), vec![])).is_err());
}

/// Analog channels and a last one that is always 1, as an encoder takes them.
fn analog(samples: usize, steps: usize, channels: usize) -> SpikeTrains {
    let mut rng = random::stream(8, 8);
    let mut out = SpikeTrains::new(steps, channels + 1);
    for _ in 0..samples * steps {
        for channel in 0..channels {
            out.push_graded(channel as u16, random::normal(&mut rng) as f32);
        }
        out.push(channels as u16);
        out.end_step();
    }
    out
}

#[test]
fn gains_and_biases_of_an_encoder_have_the_gradient_of_finite_differences() {
    use crate::layer::{NeuronKind, Wiring};
    let hidden = smooth(
        LayerSpec::stork(4),
        Surrogate::SuperSpike { beta: 3.0 },
        Reset::Multiplicative,
        true,
    );
    let encoder = LayerSpec {
        neuron: NeuronKind::Lif,
        units: 5,
        current: Current::New,
        wiring: Wiring::Encoder,
        ..hidden.clone()
    };
    let readout = hidden.readout(3);
    let mut network =
        Network::<f64>::new(9, 3, vec![encoder, hidden, readout], &[false, true]).unwrap();
    for layer in 0..3 {
        let init = crate::init::Init::Normal { mean: 0.3, std: 1.0 };
        crate::init::draw(&mut network, layer, &init, None, 6).unwrap();
    }
    let penalties = vec![Regulariser::SpikeCountMean { strength: 0.1 }];
    let config = config(Loss::SumOverTime { scale: 0.7 }, penalties);
    assert_gradient(&network, &analog(2, 9, 2), &[0, 2], &config, "encoder");
    // The entries that do nothing stay at nothing.
    let gradients = gradient(
        &network,
        &analog(2, 9, 2),
        &[0, 2],
        BpttConfig {
            loss: Loss::LastStep { scale: 1.0 },
            regularisers: vec![],
            sigma_at_measured_spikes: true,
        },
    );
    for ((row, unit), g) in gradients.layers[0].weights.indexed_iter() {
        let listens = row == 2 || row == unit % 2;
        assert_eq!(*g == 0.0, !listens, "row {row}, unit {unit}: {g}");
        assert_eq!(network.layers[0].weights[[row, unit]] == 0.0, !listens);
    }
}

#[test]
fn drawn_spikes_have_the_gradient_of_the_same_spikes_measured() {
    use crate::inference::{Batch, Inference};
    use crate::observation::LayerObservation;
    let mut hidden = LayerSpec::chip_grid(12);
    hidden.surrogate = Surrogate::Sigmoid { beta: 6.0 };
    let mut network = network::<f32>(14, 6, &[hidden], 3, true, 5);
    let inputs = trains(1, 14, 6, 0.4, 2);
    network.layers[0].spec.forward = Forward::Sampled;
    let config = config(Loss::SumOverTime { scale: 1.0 }, vec![]);
    let drawn = gradient(&network, &inputs, &[1], config.clone());
    let inference = Inference::new(&network, config.loss).unwrap();
    let batch =
        Batch { inputs: &inputs, labels: None, first: 0, tie_break_key: 1, observation: None };
    let recorded = inference.record(&batch, 0).unwrap();
    assert!(recorded[0].spikes.total() > 10);
    let layer = LayerObservation {
        spikes: Some(recorded[0].spikes.clone()),
        membrane: Some(recorded[0].membrane.clone()),
    };
    let observation = Observation { layers: vec![layer, LayerObservation::default()] };
    network.layers[0].spec.forward = Forward::Hard;
    let mut bptt = Bptt::new(&network, config).unwrap();
    bptt.begin(&network).unwrap();
    let chunk = Chunk { inputs: &inputs, labels: &[1], first: 0, batch: 1, tie_break_key: 1 };
    bptt.accumulate(&chunk, Some(&observation)).unwrap();
    assert_eq!(&drawn, bptt.finish().unwrap());
}
