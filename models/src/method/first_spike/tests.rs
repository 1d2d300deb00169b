//! Oracles: the membrane as a plain sum, the published search for the spike time neuron by neuron,
//! central differences.

use proptest::prelude::*;

use super::*;
use crate::optim::Schedule;
use crate::random;

pub(super) const KERNELS: [Kernel; 4] = [
    Kernel::Alpha { rate: 1.0 },
    Kernel::Alpha { rate: 0.181_769 },
    Kernel::LifEqual { tau: 0.7 },
    Kernel::LifDouble { tau_syn: 0.4 },
];

/// V and dV/dt at `t` as plain sums.
pub(super) fn membrane(kernel: &Kernel, inputs: &[(f64, f64)], t: f64) -> (f64, f64) {
    let tau = kernel.time_constant();
    let (mut v, mut slope) = (0.0, 0.0);
    for &(at, w) in inputs.iter().filter(|(at, _)| *at <= t) {
        let x = (t - at) / tau;
        let (s, ds) = match kernel {
            Kernel::LifDouble { .. } => {
                ((-x / 2.0).exp() - (-x).exp(), (-x).exp() - 0.5 * (-x / 2.0).exp())
            }
            _ => (x * (-x).exp(), (1.0 - x) * (-x).exp()),
        };
        v += w * kernel.gain() * s;
        slope += w * kernel.gain() * ds / tau;
    }
    (v, slope)
}

/// First crossing by walking in fine steps, then bisection; shares nothing with the closed forms.
fn walk(kernel: &Kernel, inputs: &[(f64, f64)], threshold: f64) -> Option<f64> {
    let last = inputs.iter().map(|i| i.0).fold(0.0, f64::max) + 8.0 * kernel.time_constant();
    let dt = kernel.time_constant() / 400.0;
    let mut t = 0.0;
    while t < last {
        if membrane(kernel, inputs, t + dt).0 >= threshold {
            let (mut low, mut high) = (t, t + dt);
            for _ in 0..60 {
                let middle = 0.5 * (low + high);
                if membrane(kernel, inputs, middle).0 >= threshold {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            return Some(high);
        }
        t += dt;
    }
    None
}

/// A network of one layer with the given inputs (time, weight per unit).
fn layer(
    kernel: Kernel,
    threshold: f64,
    weights: &Array2<f64>,
    pulses: &[f64],
) -> FirstSpikeNetwork {
    let config = NetworkConfig {
        hidden: vec![],
        pulses: pulses.len(),
        kernel,
        threshold,
        ..NetworkConfig::default()
    };
    let inputs = weights.nrows() - pulses.len();
    let mut network = FirstSpikeNetwork::new(config, inputs, weights.ncols(), 1).unwrap();
    network.set(0, weights, pulses).unwrap();
    network
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// (2d) V(t_out) = θ to 1e-12, dV/dt > 0, and no crossing is missed or invented.
    #[test]
    fn a_spike_is_the_first_rising_crossing(seed in any::<u64>(), which in 0..KERNELS.len()) {
        let kernel = KERNELS[which];
        let mut rng = random::stream(seed, 0);
        let (neurons, pulses, post) = (6, 2, 3);
        let tau = kernel.time_constant();
        let times: Vec<f32> = (0..neurons)
            .map(|k| match k {
                // One input does not spike, two come together.
                0 => f32::INFINITY,
                1 => 0.5,
                2 => 0.5,
                _ => (random::uniform(&mut rng) * 3.0 * tau) as f32,
            })
            .collect();
        let late: Vec<f64> = (0..pulses).map(|_| random::uniform(&mut rng) * 4.0 * tau).collect();
        let weights = Array2::from_shape_simple_fn((neurons + pulses, post), || {
            0.5 + 1.2 * random::normal(&mut rng)
        });
        // A threshold that inhibition makes hard to reach for some.
        let threshold = 0.4 * kernel.gain();
        let network = layer(kernel, threshold, &weights, &late);
        let mut inputs = SpikeTimes::new(neurons);
        inputs.push_sample(times.iter().copied());
        let found = network.spike_times(&inputs, 0).unwrap().remove(0);
        for (k, &t) in found.iter().enumerate() {
            let all: Vec<(f64, f64)> = times.iter().map(|t| f64::from(*t))
                .chain(late.iter().copied())
                .zip(weights.column(k).iter().copied())
                .filter(|(t, _)| t.is_finite())
                .collect();
            let expected = walk(&kernel, &all, threshold);
            if t.is_finite() {
                let (v, slope) = membrane(&kernel, &all, t);
                prop_assert!((v - threshold).abs() < 1e-12 * threshold.max(1.0), "V = {v}");
                prop_assert!(slope > 0.0, "slope {slope}");
                let expected = expected.unwrap_or(f64::INFINITY);
                // The walk may step over a graze that the closed form finds.
                prop_assert!(t <= expected + 1e-9, "{t} against {expected}");
                if t < expected - 1e-6 {
                    let peak = membrane(&kernel, &all, t + tau / 400.0).0;
                    prop_assert!(peak < threshold, "an invented spike at {t}");
                }
            } else {
                prop_assert!(expected.is_none(), "missed a spike at {expected:?}");
            }
        }
    }
}

/// A batch of three samples, and a 2-4-2 network with two pulses a layer all of whose neurons spike
/// for each of them although some weights inhibit.
pub(super) fn small(kernel: Kernel) -> (FirstSpike, SpikeTimes) {
    let mut inputs = SpikeTimes::new(2);
    inputs.push_sample([0.05, 0.41]);
    inputs.push_sample([0.37, 0.11]);
    inputs.push_sample([f32::INFINITY, 0.2]);
    let learning = LearningConfig {
        penalty_output_time: 0.1,
        loss_scale: 0.5,
        teach: Teach::All,
        ..LearningConfig::default()
    };
    for seed in 0..5000 {
        let config = NetworkConfig {
            kernel,
            threshold: 0.3 * kernel.gain(),
            mean: 1.5,
            pulse_mean: 1.0,
            ..NetworkConfig::default()
        };
        let mut network = FirstSpikeNetwork::new(config, 2, 2, seed).unwrap();
        for l in 0..2 {
            let pulses: Vec<f64> = (0..2).map(|k| 0.04 + 0.13 * (k + l) as f64).collect();
            let weights = network.weights(l);
            network.set(l, &weights, &pulses).unwrap();
        }
        // Outputs that wait for at least three hidden neurons.
        let fits = |sample| {
            let mut times = network.spike_times(&inputs, sample).unwrap();
            times[0].sort_by(f64::total_cmp);
            let first = times[1].iter().copied().fold(f64::INFINITY, f64::min);
            times.iter().flatten().all(|t| t.is_finite()) && first > times[0][2]
        };
        let inhibits = (0..2).all(|l| network.weights(l).iter().any(|w| *w < 0.0));
        if inhibits && (0..3).all(fits) {
            return (FirstSpike::new(network, learning).unwrap(), inputs);
        }
    }
    panic!("no such network for {kernel:?}")
}

fn mean_loss(network: &FirstSpikeNetwork, config: &LearningConfig, batch: &Batch<'_>) -> f64 {
    let answers = network.answers(config, batch).unwrap();
    answers.iter().map(|a| a.loss).sum::<f64>() / answers.len() as f64
}

/// (2d) Every weight and pulse time against central differences with Richardson's extrapolation.
#[test]
fn gradients_equal_central_differences() {
    for kernel in KERNELS {
        let (mut method, inputs) = small(kernel);
        let batch = Batch { inputs: &inputs, samples: &[0, 1, 2], labels: &[0, 1, 1] };
        let (gradients, _) = method.gradients(&batch).unwrap();
        let (network, config) = (method.network().clone(), method.config().clone());
        let difference = |change: &dyn Fn(f64) -> FirstSpikeNetwork, eps: f64| {
            let up = mean_loss(&change(eps), &config, &batch);
            (up - mean_loss(&change(-eps), &config, &batch)) / (2.0 * eps)
        };
        let check = |change: &dyn Fn(f64) -> FirstSpikeNetwork, exact: f64, what: String| {
            let (fine, coarse) = (difference(change, 1e-5), difference(change, 2e-5));
            let measured = (4.0 * fine - coarse) / 3.0;
            let scale = exact.abs().max(measured.abs()).max(1e-3);
            let error = (measured - exact).abs() / scale;
            assert!(error < 1e-6, "{kernel:?} {what}: {measured} against {exact}: {error:e}");
        };
        for (l, gradient) in gradients.iter().enumerate() {
            let (weights, pulses) = (network.weights(l), network.pulses(l).to_vec());
            assert!(gradient.weights.iter().filter(|g| **g != 0.0).count() > 8);
            for (at, exact) in gradient.weights.indexed_iter() {
                let change = |eps: f64| {
                    let (mut network, mut weights) = (network.clone(), weights.clone());
                    weights[at] += eps;
                    network.set(l, &weights, &pulses).unwrap();
                    network
                };
                check(&change, *exact, format!("weight {at:?} of layer {l}"));
            }
            for (k, exact) in gradient.pulses.iter().enumerate() {
                let change = |eps: f64| {
                    let (mut network, mut pulses) = (network.clone(), pulses.clone());
                    pulses[k] += eps;
                    network.set(l, &weights, &pulses).unwrap();
                    network
                };
                check(&change, *exact, format!("pulse {k} of layer {l}"));
            }
        }
    }
}

/// The closed form of the paper, term by term, for one neuron and two inputs.
#[test]
fn derivatives_are_those_of_the_paper() {
    let (k, theta) = (1.3_f64, 0.25);
    let weights = ndarray::array![[0.9, 0.9], [0.7, 0.7]];
    let network = layer(Kernel::Alpha { rate: k }, theta, &weights, &[]);
    let mut inputs = SpikeTimes::new(2);
    inputs.push_sample([0.1, 0.25]);
    let t: [f64; 2] = [f64::from(0.1_f32), 0.25];
    let (a, b) = t
        .iter()
        .zip([0.9, 0.7])
        .fold((0.0, 0.0), |(a, b), (t, w)| (a + w * (k * t).exp(), b + w * t * (k * t).exp()));
    let w = w0(-k * theta / a * (k * b / a).exp());
    let out = b / a - w / k;
    let found = network.spike_times(&inputs, 0).unwrap();
    assert!((found[0][0] - out).abs() < 1e-14, "{} against {out}", found[0][0]);
    // Both outputs are equal, so p = ½: the loss pulls at the first with ½, at the second with −½.
    let config = LearningConfig { teach: Teach::All, ..LearningConfig::default() };
    let mut method = FirstSpike::new(network, config).unwrap();
    let batch = Batch { inputs: &inputs, samples: &[0], labels: &[0] };
    let (gradients, answers) = method.gradients(&batch).unwrap();
    assert!((answers[0].loss - std::f64::consts::LN_2).abs() < 1e-15);
    for (j, t) in t.iter().enumerate() {
        let exact = (k * t).exp() * (t - b / a + w / k) / (a * (1.0 + w));
        for (post, sign) in [(0, 0.5), (1, -0.5)] {
            let got = gradients[0].weights[[j, post]];
            assert!((got - sign * exact).abs() < 1e-14, "{got} against {}", sign * exact);
        }
    }
}

#[test]
fn a_silent_neuron_is_pushed_and_passes_no_time() {
    let weights = ndarray::array![[1.0, 0.01], [1.0, 0.01], [1.0, 0.01]];
    let network = layer(Kernel::Alpha { rate: 1.0 }, 0.3, &weights, &[0.2]);
    let mut inputs = SpikeTimes::new(2);
    inputs.push_sample([0.1, f32::INFINITY]);
    let config =
        LearningConfig { penalty_no_spike: 3.0, teach: Teach::All, ..LearningConfig::default() };
    let mut method = FirstSpike::new(network, config).unwrap();
    let labels = [0, 1];
    let batch = Batch { inputs: &inputs, samples: &[0], labels: &labels };
    let (gradients, answers) = method.gradients(&batch).unwrap();
    assert_eq!(answers[0].predicted, Some(0));
    // p of the only spike is 1, so the loss is 0 and nothing pulls at it; the silent neuron's
    // weights all grow, that of the silent input as well.
    assert_eq!(answers[0].loss, 0.0);
    assert_eq!(gradients[0].weights, ndarray::array![[0.0, -3.0], [0.0, -3.0], [0.0, -3.0]]);
    assert_eq!(gradients[0].pulses, [0.0]);
}

#[test]
fn derivatives_are_clipped_one_by_one() {
    let (mut free, inputs) = small(Kernel::Alpha { rate: 1.0 });
    let batch = Batch { inputs: &inputs, samples: &[0], labels: &[0, 0, 0] };
    let (wide, _) = free.gradients(&batch).unwrap();
    // Onto the outputs the gradient is δ times the derivative of the spike time.
    let times = free.network().spike_times(&inputs, 0).unwrap();
    let mut delta = vec![0.0; 2];
    loss::loss(&times[1], 0, free.config(), &mut delta);
    let slopes = Array2::from_shape_fn((6, 2), |at| wide[1].weights[at] / delta[at.1]);
    let mut sizes: Vec<f64> = slopes.iter().map(|s| s.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let clip = 0.5 * (sizes[9] + sizes[10]);
    let config = LearningConfig { clip_derivative: clip, ..free.config().clone() };
    let mut method = FirstSpike::new(free.network().clone(), config).unwrap();
    let (narrow, _) = method.gradients(&batch).unwrap();
    for (at, g) in narrow[1].weights.indexed_iter() {
        let expected = delta[at.1] * slopes[at].clamp(-clip, clip);
        assert!((g - expected).abs() < 1e-14, "{at:?}: {g} against {expected}");
    }
    assert!(sizes[9] > 0.0 && sizes[9] < clip && clip < sizes[10], "{sizes:?}");
}

/// Adam by hand: first step η g/√(g² + ε) for every weight, pulses with their own rate and never
/// below 0; without a wrong answer nothing moves.
#[test]
fn one_step_of_adam_with_epsilon_inside() {
    let (mut method, inputs) = small(Kernel::Alpha { rate: 1.0 });
    let batch = Batch { inputs: &inputs, samples: &[0, 1, 2], labels: &[0, 1, 1] };
    let config = LearningConfig { pulse_rate: 0.5, epsilon: 1e-2, ..method.config().clone() };
    method = FirstSpike::new(method.network().clone(), config).unwrap();
    let (gradients, _) = method.gradients(&batch).unwrap();
    let before = method.network().clone();
    method.learn(&batch).unwrap();
    let mut at_zero = 0;
    for (l, gradient) in gradients.iter().enumerate() {
        let step = |rate: f64, g: f64| rate * g / (g * g + 1e-2_f64).sqrt();
        let after = method.network().weights(l);
        for (at, w) in before.weights(l).indexed_iter() {
            let expected = w - step(1e-4, gradient.weights[at]);
            assert!((after[at] - expected).abs() < 1e-15);
        }
        for ((t, old), g) in
            method.network().pulses(l).iter().zip(before.pulses(l)).zip(&gradient.pulses)
        {
            let expected = (old - step(0.5, *g)).max(0.0);
            assert!((t - expected).abs() < 1e-14, "{t} against {expected}");
            at_zero += usize::from(*t == 0.0);
        }
    }
    assert!(at_zero > 0, "no pulse was held at 0");

    let config = LearningConfig { teach: Teach::Wrong, ..LearningConfig::default() };
    let mut method = FirstSpike::new(before.clone(), config).unwrap();
    let right: Vec<u16> =
        method.learn(&batch).unwrap().iter().map(|a| a.predicted.unwrap()).collect();
    let mut method = FirstSpike::new(before.clone(), method.config().clone()).unwrap();
    let batch = Batch { labels: &right, ..batch };
    method.learn(&batch).unwrap();
    assert_eq!(method.network().weights(0), before.weights(0));
}

/// The first step of an epoch at half the pace is that of half the rates.
#[test]
fn the_schedule_is_a_factor_on_both_rates() {
    let mut inputs = SpikeTimes::new(2);
    inputs.push_sample([0.1, 0.8]);
    let batch = Batch { inputs: &inputs, samples: &[0], labels: &[1] };
    let network =
        FirstSpikeNetwork::new(NetworkConfig { pulses: 2, ..Default::default() }, 2, 2, 5).unwrap();
    let whole = LearningConfig { teach: Teach::All, ..Default::default() };
    let half = LearningConfig {
        rate: 0.5 * whole.rate,
        pulse_rate: 0.5 * whole.pulse_rate,
        ..whole.clone()
    };
    let schedule = Schedule::Exponential { factor: 0.5 };
    let mut slowed =
        FirstSpike::new(network.clone(), LearningConfig { schedule, ..whole }).unwrap();
    slowed.begin_epoch(1);
    slowed.learn(&batch).unwrap();
    let mut halved = FirstSpike::new(network, half).unwrap();
    halved.learn(&batch).unwrap();
    for layer in 0..2 {
        assert_eq!(slowed.network().weights(layer), halved.network().weights(layer));
        assert_eq!(slowed.network().pulses(layer), halved.network().pulses(layer));
    }
}

/// A larger net learns the same bits with one thread and with five, from the middle on as well.
#[test]
fn threads_and_restarts_change_no_bit() {
    let config = NetworkConfig { hidden: vec![70, 9], pulses: 3, mean: 2.0, ..Default::default() };
    let mut inputs = SpikeTimes::new(90);
    let mut rng = random::stream(3, 0);
    for _ in 0..20 {
        inputs.push_sample((0..90).map(|_| (random::uniform(&mut rng) * 2.0) as f32));
    }
    let labels: Vec<u16> = (0..20).map(|k| k % 3).collect();
    let batches = [(0..10).collect::<Vec<u32>>(), (10..20).collect(), vec![1]];
    let fresh = || {
        let learning = LearningConfig { rate: 1e-2, teach: Teach::All, ..Default::default() };
        let network = FirstSpikeNetwork::new(config.clone(), 90, 3, 7).unwrap();
        FirstSpike::new(network, learning).unwrap()
    };
    let bits = |method: &FirstSpike| {
        let mut all = Vec::new();
        method.save(|_, _, values| all.extend(values.iter().map(|v| v.to_bits())));
        all
    };
    let learn = |method: &mut FirstSpike, batches: &[Vec<u32>]| {
        for samples in batches {
            method.learn(&Batch { inputs: &inputs, samples, labels: &labels }).unwrap();
        }
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut method = fresh();
            learn(&mut method, &batches);
            bits(&method)
        })
    };
    let one = run(1);
    assert_eq!(one, run(5));
    let mut first = fresh();
    learn(&mut first, &batches[..1]);
    let mut saved = std::collections::HashMap::new();
    first.save(|name, _, values| {
        saved.insert(name, values);
    });
    let mut second = fresh();
    second.restore(|name, _| saved.get(name).cloned()).unwrap();
    learn(&mut second, &batches[1..]);
    assert_eq!(one, bits(&second));
    saved.remove("1.mean");
    let refused = second.restore(|name, _| saved.get(name).cloned()).unwrap_err();
    assert!(refused.to_string().contains("1.mean"), "{refused}");
}

#[test]
fn late_inputs_do_not_overflow() {
    // The second input comes after 5000 time constants, far beyond the range of e^x.
    let weights = ndarray::array![[0.1, 2.0], [2.0, 0.0]];
    let network = layer(Kernel::Alpha { rate: 1.0 }, 0.3, &weights, &[]);
    let mut inputs = SpikeTimes::new(2);
    inputs.push_sample([4000.0, 4001.0]);
    inputs.push_sample([0.0, 5000.0]);
    let near = network.spike_times(&inputs, 0).unwrap().remove(0);
    let plain = walk(&Kernel::Alpha { rate: 1.0 }, &[(0.0, 0.1), (1.0, 2.0)], 0.3).unwrap();
    assert!((near[0] - 4000.0 - plain).abs() < 1e-9, "{near:?} against {plain}");
    let far = network.spike_times(&inputs, 1).unwrap().remove(0);
    assert!(far[0].is_infinite() && far[1].is_finite(), "{far:?}");
}

#[test]
fn bad_numbers_are_refused_by_name() {
    let network = |config: NetworkConfig| FirstSpikeNetwork::new(config, 2, 2, 1).unwrap_err();
    let base = NetworkConfig::default;
    let kernel = Kernel::LifDouble { tau_syn: -1.0 };
    for (refused, key) in [
        (network(NetworkConfig { kernel, ..base() }), "network.kernel.tau_syn"),
        (network(NetworkConfig { threshold: 0.0, ..base() }), "network.threshold"),
        (network(NetworkConfig { threshold: f64::NAN, ..base() }), "network.threshold"),
        (network(NetworkConfig { hidden: vec![3, 0], ..base() }), "network.hidden"),
        (network(NetworkConfig { pulse_range: -1.0, ..base() }), "network.pulse_range"),
        (
            LearningConfig { loss_scale: 0.0, ..Default::default() }.check().unwrap_err(),
            "learning.loss_scale",
        ),
        (
            LearningConfig { beta1: 1.0, ..Default::default() }.check().unwrap_err(),
            "learning.beta1",
        ),
    ] {
        assert!(refused.to_string().contains(key), "{refused}");
    }
    let (mut method, inputs) = small(Kernel::Alpha { rate: 1.0 });
    let batch = LearningConfig { batch: 0, ..Default::default() };
    assert!(batch.check().unwrap_err().to_string().contains("learning.batch"));
    for (samples, labels) in [(&[9][..], &[0, 0, 0][..]), (&[0], &[2, 0, 0])] {
        method.learn(&Batch { inputs: &inputs, samples, labels }).unwrap_err();
    }
}
