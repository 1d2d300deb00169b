#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::needless_range_loop,
    reason = "the oracle is written with indices, as its equations"
)]

use super::*;
use proptest::prelude::*;

/// Random spike trains, about `rate` a step and unit.
fn trains(steps: usize, units: usize, rate: f64, seed: u64) -> SpikeTrains {
    let mut rng = crate::random::stream(seed, 99);
    let mut trains = SpikeTrains::new(steps, units);
    for _ in 0..steps {
        for unit in 0..units {
            if crate::random::uniform(&mut rng) < rate {
                trains.push(unit as u16);
            }
        }
        trains.end_step();
    }
    trains
}

fn config(block: usize) -> SuperSpikeConfig {
    SuperSpikeConfig {
        dt_ms: 0.5,
        input_delay_ms: 0.0,
        hidden_delay_ms: 0.5,
        block_ms: 0.5 * block as f64,
        ..SuperSpikeConfig::default()
    }
}

/// The surrogate gradient of ½ Σ_t Σ_i (α∗(Ŝ − S))² by full back-propagation through time for one
/// layer, reset detached, from plain arrays: adjoint of the error filter, surrogate, adjoint of
/// membrane and current. Shares nothing with the online rule.
struct Tape {
    inputs: Vec<Vec<usize>>,
    membranes: Vec<Vec<f64>>,
    errors: Vec<Vec<f64>>,
}

impl Tape {
    fn gradient(&self, sources: usize, c: &SuperSpikeConfig) -> Vec<Vec<f64>> {
        let (d, k) = ((-c.dt_ms / c.tau_syn_ms).exp(), c.dt_ms / c.tau_mem_ms);
        let steps = self.membranes.len();
        let neurons = self.membranes[0].len();
        let mut gradient = vec![vec![0.0; neurons]; sources];
        for i in 0..neurons {
            let mut filtered = vec![0.0; steps];
            let (mut a, mut b) = (0.0, 0.0);
            for t in 0..steps {
                a = a * d + self.errors[t][i];
                b += k * (a - b);
                filtered[t] = b;
            }
            // Cost = ½ Σ b². a' = d a + x, b' = (1 − k) b + k a'. Then U' = (1 − k) U + k I, and
            // I' = d I + w x.
            let (mut adj_a, mut adj_b, mut adj_u, mut adj_i) = (0.0, 0.0, 0.0, 0.0);
            for t in (0..steps).rev() {
                // I[t] = d I[t−1] + Σ w x[t]; I[t] feeds U[t+1], whose adjoint is adj_u so far.
                adj_i = d * adj_i + k * adj_u;
                for source in &self.inputs[t] {
                    gradient[*source][i] += adj_i;
                }
                adj_b += filtered[t];
                adj_a += k * adj_b;
                // The error is Ŝ − S.
                let adj_spike = -adj_a;
                let u = self.membranes[t][i];
                let sigma =
                    if u < c.floor { 0.0 } else { (1.0 + (c.beta * (u - 1.0)).abs()).powi(-2) };
                adj_u = (1.0 - k) * adj_u + adj_spike * sigma;
                adj_b *= 1.0 - k;
                adj_a *= d;
            }
        }
        gradient
    }
}

/// Runs the learner with frozen spikes and membranes and returns what it accumulated with the tape.
fn frozen(c: &SuperSpikeConfig, sources: usize, neurons: usize, steps: usize, seed: u64) -> f64 {
    let inputs = trains(steps, sources, 0.05, seed);
    let outputs = trains(steps, neurons, 0.02, seed + 1);
    let targets = trains(steps, neurons, 0.02, seed + 2);
    let mut rng = crate::random::stream(seed, 98);
    let mut learner = SuperSpike::<f64>::new(c.clone(), &[sources, neurons], 1).unwrap();
    let mut activity = Activity::new(&[sources, neurons]);
    let mut tape = Tape { inputs: vec![], membranes: vec![], errors: vec![] };
    let teacher = Teacher::Spikes(&targets);
    let mut outcome = learner.begin_trial(teacher);
    for step in 0..steps {
        activity.arrivals[0] = inputs.at(0, step).to_vec();
        activity.spikes[0] = outputs.at(0, step).to_vec();
        let u: Vec<f64> =
            (0..neurons).map(|_| 4.0 * crate::random::uniform(&mut rng) - 2.5).collect();
        activity.membranes[0].copy_from_slice(&u);
        learner.judged(&mut activity, teacher, step, &mut outcome);
        let mut errors = vec![0.0; neurons];
        targets.at(0, step).iter().for_each(|i| errors[usize::from(*i)] += 1.0);
        outputs.at(0, step).iter().for_each(|i| errors[usize::from(*i)] -= 1.0);
        tape.inputs.push(inputs.at(0, step).iter().map(|j| usize::from(*j)).collect());
        tape.membranes.push(u);
        tape.errors.push(errors);
    }
    learner.end_trial(&mut outcome);
    let gradient = tape.gradient(sources, c);
    let mut worst: f64 = 0.0;
    let largest = gradient.iter().flatten().fold(0.0_f64, |m, g| m.max(g.abs()));
    for (j, row) in gradient.iter().enumerate() {
        for (g, sum) in row.iter().zip(learner.layers()[0].accumulated(j)) {
            worst = worst.max((g + sum).abs() / largest);
        }
    }
    assert!(largest > 1e-3, "nothing to compare: {largest}");
    worst
}

#[test]
fn with_frozen_spikes_the_sum_is_the_surrogate_gradient_by_back_propagation_through_time() {
    // 20 neurons: more than a block of lanes, with padding; 150 steps: no multiple of a chunk.
    let worst = frozen(&config(10_000), 7, 20, 150, 3);
    assert!(worst < 1e-11, "relative difference {worst}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_gradient_holds_for_any_constants(
        tau_mem in 2.0..20.0_f64, tau_syn in 1.5..15.0_f64, beta in 0.5..30.0_f64, seed in 0..1000_u64,
    ) {
        let c = SuperSpikeConfig {
            tau_mem_ms: tau_mem, tau_syn_ms: tau_syn, beta, ..config(10_000)
        };
        let worst = frozen(&c, 3, 2, 90, seed);
        prop_assert!(worst < 1e-10, "relative difference {worst}");
    }
}

/// The published neuron written down step by step for one neuron and one weight each input.
fn scalar_neuron(c: &SuperSpikeConfig, weights: &[f64], inputs: &SpikeTrains) -> Vec<usize> {
    let (mut u, mut i, mut held) = (0.0, 0.0, 0);
    let mut spikes = vec![];
    for t in 0..inputs.steps() {
        u += c.dt_ms / c.tau_mem_ms * (0.0 - u + i);
        if held > 0 {
            (u, held) = (0.0, held - 1);
        } else if u > 1.0 {
            spikes.push(t);
            (u, held) = (0.0, (c.refractory_ms / c.dt_ms).round() as usize);
        }
        i *= (-c.dt_ms / c.tau_syn_ms).exp();
        let delay = (c.input_delay_ms / c.dt_ms).round() as usize;
        if t >= delay {
            i += inputs.at(0, t - delay).iter().map(|j| weights[usize::from(*j)]).sum::<f64>();
        }
    }
    spikes
}

#[test]
fn the_own_neuron_is_the_published_one() {
    let c = SuperSpikeConfig { input_delay_ms: 1.5, ..config(1_000_000) };
    let inputs = trains(2000, 30, 0.02, 5);
    let targets = trains(2000, 1, 0.0, 0);
    let mut learner = SuperSpike::<f64>::new(c.clone(), &[30, 1], 9).unwrap();
    let weights: Vec<f64> = (0..30).map(|j| 0.2 + 0.05 * f64::from(j)).collect();
    for (j, w) in weights.iter().enumerate() {
        learner.layer_mut(0).unwrap().row_mut(j)[0] = *w;
    }
    let mut net = EulerNet::new(&c, &[30, 1]);
    let outcome = learner.trial(&mut net, &inputs, Teacher::Spikes(&targets)).unwrap();
    let seen: Vec<usize> = outcome.spikes.iter().map(|s| s.0 as usize).collect();
    assert_eq!(seen, scalar_neuron(&c, &weights, &inputs));
    assert!(seen.len() > 10);
}

#[test]
fn one_missing_spike_costs_one() {
    let c = config(1_000_000);
    let inputs = trains(400, 2, 0.0, 0);
    let mut targets = SpikeTrains::new(400, 1);
    for step in 0..400 {
        if step == 10 {
            targets.push(0);
        }
        targets.end_step();
    }
    let mut learner = SuperSpike::<f64>::new(c.clone(), &[2, 1], 0).unwrap();
    let mut net = EulerNet::new(&c, &[2, 1]);
    let outcome = learner.trial(&mut net, &inputs, Teacher::Spikes(&targets)).unwrap();
    assert!((outcome.cost - 1.0).abs() < 1e-9, "{}", outcome.cost);
    assert_eq!(outcome.score, Score { missed: 1, wrong: 0 });
}

/// Weights after a few blocks.
fn trained(c: SuperSpikeConfig, cut: &[usize]) -> Vec<(String, Vec<f64>)> {
    let sizes = [20, 18, 3];
    let inputs = trains(500, 20, 0.01, 1);
    let targets = trains(500, 3, 0.01, 2);
    let mut learner = SuperSpike::<f32>::new(c.clone(), &sizes, 4).unwrap();
    let mut net = EulerNet::new(&c, &sizes);
    for trial in 0..6 {
        if cut.contains(&trial) {
            let (saved, neurons) = (learner.state(), net.state());
            learner = SuperSpike::new(c.clone(), &sizes, 77).unwrap();
            // The fixed feedback belongs to the seed, not to the state.
            learner.feedback = c.feedback.draw(3, 18, 4);
            net = EulerNet::new(&c, &sizes);
            saved.iter().for_each(|(name, values)| learner.restore(name, values).unwrap());
            assert!(neurons.iter().all(|(name, values)| net.restore(name, values)));
        }
        learner.trial(&mut net, &inputs, Teacher::Spikes(&targets)).unwrap();
    }
    learner.state()
}

#[test]
fn a_training_goes_on_with_the_same_bits() {
    for feedback in [Feedback::Symmetric, Feedback::Random, Feedback::Uniform] {
        let c = SuperSpikeConfig { feedback, rho: 1.0, ..config(300) };
        assert_eq!(trained(c.clone(), &[]), trained(c.clone(), &[1, 4]), "{feedback:?}");
    }
}

#[test]
fn feedback_and_regulariser_change_the_hidden_layer_only_in_the_first_update() {
    let weights = |c: SuperSpikeConfig| {
        let sizes = [20, 18, 3];
        let mut learner = SuperSpike::<f32>::new(c.clone(), &sizes, 4).unwrap();
        let mut net = EulerNet::new(&c, &sizes);
        let (inputs, targets) = (trains(500, 20, 0.02, 1), trains(500, 3, 0.01, 2));
        let outcome = learner.trial(&mut net, &inputs, Teacher::Spikes(&targets)).unwrap();
        assert!(outcome.hidden_spikes > 0);
        let layer = |k: usize| {
            let layer = &learner.layers()[k];
            (0..layer.sources()).flat_map(|j| layer.row(j).to_vec()).collect::<Vec<f32>>()
        };
        (layer(0), layer(1))
    };
    let base = config(500);
    let symmetric = weights(base.clone());
    for other in [
        SuperSpikeConfig { feedback: Feedback::Random, ..base.clone() },
        SuperSpikeConfig { feedback: Feedback::Uniform, ..base.clone() },
        SuperSpikeConfig { straight_through: false, ..base.clone() },
        SuperSpikeConfig { rho: 1e4, ..base.clone() },
    ] {
        let (first, second) = weights(other.clone());
        assert_ne!(first, symmetric.0, "{other:?}");
        assert_eq!(second, symmetric.1, "{other:?}");
    }
}

#[test]
fn a_window_wants_a_spike_and_nothing_else_does() {
    let windows = [Window { unit: 0, begin: 10, end: 20 }, Window { unit: 1, begin: 10, end: 20 }];
    let teacher = Teacher::Windows(&windows);
    let mut attention = Attention::default();
    attention.begin(teacher);
    let (mut errors, mut score) = (Vec::<(u16, f64)>::new(), Score::default());
    let mut events = vec![];
    for step in 0..30 {
        // Neuron 0: too early, then twice in its window. Neuron 1: after its window.
        let spikes: &[u16] = match step {
            5 | 12 | 19 => &[0],
            20 => &[1],
            _ => &[],
        };
        attention.judge(teacher, step, spikes, &mut errors, &mut score);
        events.extend(errors.iter().map(|(id, sign)| (step, *id, *sign as i32)));
    }
    assert_eq!(events, [(5, 0, -1), (20, 1, 1), (20, 1, -1)]);
    assert_eq!(score, Score { missed: 1, wrong: 2 });
}

#[test]
fn on_target_means_all_spikes_and_no_other() {
    let targets = [(10, 0), (20, 1), (30, 0)];
    assert!(on_target(&[(12, 0), (19, 1), (30, 0)], &targets, 2));
    assert!(!on_target(&[(13, 0), (19, 1), (30, 0)], &targets, 2));
    assert!(!on_target(&[(12, 0), (19, 1)], &targets, 2));
    assert!(!on_target(&[(12, 0), (19, 1), (30, 1)], &targets, 2));
}

#[test]
fn wrong_configurations_are_refused_by_name() {
    let base = SuperSpikeConfig::default;
    for (wrong, key) in [
        (SuperSpikeConfig { dt_ms: 0.0, ..base() }, "learning.dt-ms"),
        (SuperSpikeConfig { tau_mem_ms: -1.0, ..base() }, "learning.tau-mem-ms"),
        (SuperSpikeConfig { rate: f64::NAN, ..base() }, "learning.rate"),
        (SuperSpikeConfig { hidden_delay_ms: 0.01, ..base() }, "learning.hidden-delay-ms"),
        (SuperSpikeConfig { dt_ms: 3.0, ..base() }, "learning.dt-ms"),
        (SuperSpikeConfig { floor: 1.0, ..base() }, "learning.floor"),
    ] {
        let error = SuperSpike::<f32>::new(wrong, &[2, 2], 0).unwrap_err();
        assert!(matches!(error, ModelError::Parameter { what, .. } if what == key), "{error}");
    }
    assert!(base().check().is_ok());
    assert!(SuperSpike::<f32>::new(base(), &[2, 0, 1], 0).is_err());
    assert!(SuperSpike::<f32>::new(base(), &[2, 2, 2, 2], 0).is_err());
}

#[test]
fn the_rate_drops_by_ten_each_time() {
    let c = SuperSpikeConfig { rate_drops_s: vec![1.0, 2.0], ..SuperSpikeConfig::default() };
    assert_eq!([c.rate_at(0.5), c.rate_at(1.0)], [0.1, 0.01]);
    assert!((c.rate_at(3.0) - 0.001).abs() < 1e-15);
}
