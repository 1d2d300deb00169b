use ndarray::Array2;

use super::*;
use crate::random;
use crate::task::sequence::Sequence;
use crate::task::sinusoid::Sinusoids;

fn sequence(steps: usize, inputs: usize, outputs: usize, seed: u64) -> Sequence<f64> {
    Sinusoids { inputs, outputs, steps, seed: None }.draw(seed).unwrap()
}

fn array(net: &Burst<f64>, name: &str) -> Vec<f64> {
    net.state().into_iter().find(|(n, ..)| *n == name).unwrap().2
}

/// The network written down from its equations: nested loops, `[post][pre]`, no padding.
struct Naive {
    config: BurstConfig,
    w0: Vec<Vec<f64>>,
    w1: Vec<Vec<f64>>,
    y: Vec<Vec<f64>>,
    silent: Vec<Vec<bool>>,
    b0: Vec<f64>,
    b1: Vec<f64>,
    x: Vec<f64>,
    means: [Vec<f64>; 2],
    event: [Vec<f64>; 2],
    out: [Vec<f64>; 2],
    rho: [Vec<f64>; 2],
    psi: [Vec<f64>; 2],
    taught: bool,
}

fn squash(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn dot(w: &[f64], x: &[f64]) -> f64 {
    w.iter().zip(x).map(|(w, x)| w * x).sum()
}

impl Naive {
    fn of(net: &Burst<f64>, config: BurstConfig, inputs: usize, outputs: usize) -> Self {
        let n = config.hidden;
        let flip = |name: &str, rows: usize, columns: usize| -> Vec<Vec<f64>> {
            let flat = array(net, name);
            (0..columns).map(|c| (0..rows).map(|r| flat[r * columns + c]).collect()).collect()
        };
        let y = flip("feedback_weights", outputs, n);
        Self {
            config,
            w0: flip("hidden_weights", inputs, n),
            w1: flip("output_weights", n, outputs),
            silent: y.iter().map(|r| r.iter().map(|w| *w == 0.0).collect()).collect(),
            y,
            b0: vec![config.bias; n],
            b1: vec![config.bias; outputs],
            x: vec![0.0; inputs],
            means: [vec![0.0; n], vec![0.0; outputs]],
            event: [vec![0.0; n], vec![0.0; n]],
            out: [vec![0.0; outputs], vec![0.0; outputs]],
            rho: [vec![0.0; n], vec![0.0; n]],
            psi: [vec![0.0; n], vec![0.0; n]],
            taught: false,
        }
    }

    fn step(&mut self, t: usize, x: &[f64], target: Option<&[f64]>) {
        let (n, m, c) = (self.b0.len(), self.b1.len(), self.config);
        if t >= 2 {
            self.out[1] = self.out[0].clone();
            for k in 0..n {
                self.means[0][k] = (self.means[0][k] + self.event[0][k]) / 2.0;
            }
            for j in 0..m {
                let own = squash(dot(&self.w1[j], &self.means[0]) + self.b1[j]);
                self.out[0][j] =
                    target.map_or(own, |target| own + c.teaching_weight * (target[j] - own));
            }
        }
        if t >= 1 {
            self.event[1] = self.event[0].clone();
            for (kept, now) in self.x.iter_mut().zip(x) {
                *kept = (*kept + now) / 2.0;
            }
            for k in 0..n {
                self.event[0][k] = squash(dot(&self.w0[k], &self.x) + self.b0[k]);
            }
        }
        if t > 3 {
            let before = self.means[1].clone();
            (self.rho[1], self.psi[1]) = (self.rho[0].clone(), self.psi[0].clone());
            for j in 0..m {
                self.means[1][j] = (self.means[1][j] + self.out[0][j]) / 2.0;
            }
            for k in 0..n {
                let (rho, event) = (squash(dot(&self.y[k], &self.means[1])), self.event[0][k]);
                (self.rho[0][k], self.psi[0][k]) = (rho, rho * event);
                let (factor, mean) = match c.rule {
                    Rule::A => (event, &before),
                    Rule::B => (1.0, &self.means[1]),
                };
                let grow = factor * (event - rho * event) * rho * (1.0 - rho);
                for (j, mean) in mean.iter().enumerate() {
                    if !self.silent[k][j] {
                        self.y[k][j] += c.feedback_rate * grow * mean;
                    }
                }
                if self.taught {
                    let change = match c.rule {
                        Rule::A => event * (self.psi[0][k] - self.psi[1][k]),
                        Rule::B => self.rho[0][k] - self.rho[1][k],
                    };
                    let step = c.hidden_rate * change * self.event[1][k] * (1.0 - self.event[1][k]);
                    for i in 0..x.len() {
                        self.w0[k][i] = (self.w0[k][i] + step * self.x[i]) * (1.0 - c.weight_decay);
                    }
                    self.b0[k] += step;
                }
            }
        }
        if t >= 2 && target.is_some() {
            for j in 0..m {
                let before = self.out[1][j];
                let step = c.output_rate * (self.out[0][j] - before) * before * (1.0 - before);
                for k in 0..n {
                    self.w1[j][k] =
                        (self.w1[j][k] + step * self.means[0][k]) * (1.0 - c.weight_decay);
                }
                self.b1[j] += step;
            }
        }
        self.taught = target.is_some();
    }
}

#[test]
fn steps_follow_the_equations() {
    let (inputs, outputs) = (7, 3);
    let base = BurstConfig { hidden: 5, output_rate: 0.7, ..BurstConfig::default() };
    let cases = [
        BurstConfig { feedback_rate: 0.1, ..base },
        BurstConfig { rule: Rule::A, feedback_rate: 0.3, sparse_feedback: 0.5, ..base },
        BurstConfig { teaching_weight: 1.0, weight_decay: 1e-3, ..base },
    ];
    for config in cases {
        let mut net = Burst::<f64>::new(config, inputs, outputs, 3).unwrap();
        let mut naive = Naive::of(&net, config, inputs, outputs);
        let curves = sequence(80, inputs, outputs, 1);
        let mut rng = random::stream(4, 4);
        let mode = Mode { learn: true, generate: false };
        // Two passes: states carry over from the end of the first.
        for _ in 0..2 {
            for t in 0..80 {
                let (x, target) = (curves.inputs.row(t), curves.targets.row(t));
                let (x, target) = (x.as_slice().unwrap(), target.as_slice().unwrap());
                let taught = (random::uniform(&mut rng) < 0.3).then_some(target);
                net.step(t, x, taught, mode);
                naive.step(t, x, taught);
                for (a, b) in net.output().iter().zip(&naive.out[0]) {
                    assert!((a - b).abs() < 1e-12, "{config:?}: output {a}, naive {b} at {t}");
                }
            }
        }
        let pairs = [("hidden_weights", &naive.w0), ("output_weights", &naive.w1)];
        for (name, rows) in pairs.into_iter().chain([("feedback_weights", &naive.y)]) {
            let flat = array(&net, name);
            for (post, row) in rows.iter().enumerate() {
                for (pre, w) in row.iter().enumerate() {
                    let own = flat[pre * rows.len() + post];
                    assert!((own - w).abs() < 1e-11, "{name} {pre} {post}: {own}, naive {w}");
                }
            }
        }
    }
}

#[test]
fn the_teacher_moves_the_outputs_half_way_along_the_slope() {
    let config = BurstConfig { hidden: 6, ..BurstConfig::default() };
    let mut net = Burst::<f64>::new(config, 4, 2, 8).unwrap();
    let (x, target) = ([0.3, 0.9, 0.1, 0.6], [0.9, 0.2]);
    let mode = Mode { learn: true, generate: false };
    // A constant input settles: every mean halves its distance a step.
    for t in 0..200 {
        net.step(t, &x, None, mode);
    }
    let (before, rates) = (net.output().to_vec(), net.event_rates().to_vec());
    let weights = array(&net, "output_weights");
    let hidden = array(&net, "hidden_weights");
    net.step(200, &x, Some(&target), mode);
    assert_eq!(array(&net, "hidden_weights"), hidden, "hidden units learn one step later");
    for (pre, rate) in rates.iter().enumerate() {
        for post in 0..2 {
            let own = before[post];
            let expected = 0.01 * 0.5 * (target[post] - own) * own * (1.0 - own) * rate;
            let change = array(&net, "output_weights")[pre * 2 + post] - weights[pre * 2 + post];
            assert!((change - expected).abs() < 1e-12, "{change} {expected}");
            assert_eq!(change > 0.0, target[post] > own);
        }
    }
    // The hidden weights then move with the change of the burst probability.
    let rho = array(&net, "burst_probability");
    let settled = net.event_rates().to_vec();
    net.step(201, &x, None, mode);
    let after = array(&net, "hidden_weights");
    assert!(rho.iter().zip(&settled).all(|(r, e)| *r > 0.0 && *e > 0.0));
    assert_ne!(after, hidden);
}

#[test]
fn without_a_teacher_or_without_learning_nothing_changes() {
    let curves = sequence(60, 5, 2, 2);
    let config = BurstConfig { hidden: 4, teaching_probability: 0.0, ..BurstConfig::default() };
    let mut net = Burst::<f64>::new(config, 5, 2, 1).unwrap();
    let weights = |net: &Burst<f64>| [array(net, "hidden_weights"), array(net, "output_weights")];
    let first = weights(&net);
    let errors = net.learn(&curves).unwrap();
    assert!(errors.taught == 0 && errors.taught_squared.is_nan());
    assert_eq!(weights(&net), first);
    let config = BurstConfig { teaching_probability: 1.0, hidden_rate: 0.0, ..config };
    let mut frozen = Burst::<f64>::new(config, 5, 2, 1).unwrap();
    assert_eq!(frozen.learn(&curves).unwrap().taught, 58, "all steps from the third on");
    assert_eq!(weights(&frozen)[0], first[0]);
    assert_ne!(weights(&frozen)[1], first[1]);
    let learned = weights(&frozen);
    frozen.run(&curves, None, None).unwrap();
    assert_eq!(weights(&frozen), learned);
}

#[test]
fn a_trained_hidden_layer_is_better_than_a_frozen_one() {
    for seed in [1, 2] {
        let curves = Sinusoids { inputs: 100, outputs: 2, steps: 300, seed: None }
            .draw::<f32>(seed)
            .unwrap();
        let test = |hidden_rate: f64| {
            let config = BurstConfig {
                hidden: 40,
                hidden_rate,
                teaching_probability: 0.2,
                ..BurstConfig::default()
            };
            let mut net = Burst::<f32>::new(config, 100, 2, seed).unwrap();
            let first = net.learn(&curves).unwrap().taught_squared;
            let mut last = first;
            for _ in 0..100 {
                last = net.learn(&curves).unwrap().taught_squared;
            }
            (first, last, net.run(&curves, None, None).unwrap().absolute)
        };
        let (first, last, learned) = test(5.0);
        let (.., frozen) = test(0.0);
        assert!(last < 0.2 * first, "seed {seed}: squared error {first} to {last}");
        assert!(learned < 0.6 * frozen, "seed {seed}: {learned}, frozen {frozen}");
    }
}

#[test]
fn sparse_feedback_keeps_its_zeros_while_it_learns() {
    let config = BurstConfig {
        hidden: 20,
        sparse_feedback: 0.5,
        feedback_rate: 0.1,
        ..BurstConfig::default()
    };
    let mut net = Burst::<f64>::new(config, 5, 3, 9).unwrap();
    let zeros = |net: &Burst<f64>| -> Vec<bool> {
        array(net, "feedback_weights").iter().map(|w| *w == 0.0).collect()
    };
    let first = zeros(&net);
    assert_eq!(first.iter().filter(|z| **z).count(), 30);
    let weights = array(&net, "feedback_weights");
    net.learn(&sequence(50, 5, 3, 2)).unwrap();
    assert_eq!(zeros(&net), first);
    assert_ne!(array(&net, "feedback_weights"), weights);
}

#[test]
fn generative_mode_lets_the_feedback_drive_the_hidden_units() {
    let config = BurstConfig { hidden: 8, ..BurstConfig::default() };
    let mut net = Burst::<f64>::new(config, 5, 2, 1).unwrap();
    let curves = sequence(40, 5, 2, 1);
    let mut record = Array2::zeros((40, 2));
    let errors = net.run(&curves, Some(20), Some(&mut record)).unwrap();
    assert_eq!(net.event_rates(), net.burst_rates());
    let distance = |t: usize, k: usize| (curves.targets[[t, k]] - record[[t, k]]).abs();
    let mean: f64 = (20..40).map(|t| distance(t, 0) + distance(t, 1)).sum::<f64>() / 40.0;
    assert!((errors.absolute - mean).abs() < 1e-12, "the error is that of the second half");
    let rates: Vec<f64> = net.spike_rates().collect();
    let psi = net.burst_rates()[0];
    assert!((rates[0] - psi * (1.0 - psi + 10.0 * psi)).abs() < 1e-12);
    assert!(net.run(&curves, None, Some(&mut Array2::zeros((40, 3)))).is_err());
}

#[test]
fn a_restored_network_goes_on_with_the_same_bits() {
    let config = BurstConfig { hidden: 9, feedback_rate: 0.01, ..BurstConfig::default() };
    let curves =
        Sinusoids { inputs: 6, outputs: 2, steps: 100, seed: None }.draw::<f32>(1).unwrap();
    let mut net = Burst::<f32>::new(config, 6, 2, 5).unwrap();
    net.learn(&curves).unwrap();
    let mut other = Burst::<f32>::new(config, 6, 2, 77).unwrap();
    let state = net.state();
    let get = |name: &str| state.iter().find(|(n, ..)| *n == name).map(|(.., v)| v.as_slice());
    // The seed names the coins: a network of another seed has others.
    other.restore(net.steps(), get).unwrap();
    assert_ne!(other.clone().learn(&curves), net.clone().learn(&curves));
    let mut same = Burst::<f32>::new(config, 6, 2, 5).unwrap();
    same.restore(net.steps(), get).unwrap();
    assert_eq!(same.learn(&curves), net.learn(&curves));
    assert_eq!(same.state(), net.state());
    let error = same.restore(0, |_| None).unwrap_err().to_string();
    assert!(error.contains("hidden_weights"), "{error}");
    let mut wide = Burst::<f32>::new(BurstConfig { hidden: 10, ..config }, 6, 2, 5).unwrap();
    assert!(wide.restore(0, get).is_err());
}

#[test]
fn wrong_values_are_named_by_their_key() {
    let base = BurstConfig::default();
    for (config, key) in [
        (BurstConfig { hidden: 0, ..base }, "learning.hidden is 0"),
        (BurstConfig { hidden_rate: f64::NAN, ..base }, "learning.hidden-rate"),
        (BurstConfig { teaching_probability: 1.5, ..base }, "learning.teaching-probability"),
        (BurstConfig { sparse_feedback: -0.1, ..base }, "learning.sparse-feedback"),
        (BurstConfig { bias: f64::INFINITY, ..base }, "learning.bias"),
    ] {
        let error = Burst::<f32>::new(config, 5, 2, 1).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let mut net = Burst::<f64>::new(base, 5, 2, 1).unwrap();
    assert!(net.learn(&sequence(20, 6, 2, 1)).is_err());
    assert!(net.learn(&sequence(20, 5, 3, 1)).is_err());
}
