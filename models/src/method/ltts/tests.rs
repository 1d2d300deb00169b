#![allow(clippy::unwrap_used, reason = "tests")]

use ndarray::Array2;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::error::ModelError;
use crate::random::{normal, stream, uniform};
use crate::real::Real;
use crate::spike_train::SpikeTrains;
use crate::task::trajectory::{clock, trajectory};

fn weights(n: usize, scale: f64, rng: &mut ChaCha8Rng) -> Array2<f64> {
    let mut w = Array2::from_shape_simple_fn((n, n), || scale * normal(rng));
    w.diag_mut().fill(0.0);
    w
}

/// Random spikes, from bin 0 on, under a random drive.
fn random_pattern<F: Real>(n: usize, steps: usize, rate: f64, rng: &mut ChaCha8Rng) -> Pattern<F> {
    let mut target = SpikeTrains::new(steps, n);
    for _ in 0..steps {
        (0..n as u16)
            .filter(|_| uniform(rng) < rate)
            .collect::<Vec<_>>()
            .iter()
            .for_each(|id| target.push(*id));
        target.end_step();
    }
    let drive = Array2::from_shape_simple_fn((steps, n), || 2.0 * normal(rng));
    let output = Array2::from_shape_simple_fn((steps, 2), || normal(rng));
    Pattern::new(Series::of(&drive), target, Series::of(&output)).unwrap()
}

fn small(neurons: usize, synapse: Synapse) -> LttsNetwork {
    LttsNetwork {
        neurons,
        tau_mem: 3.0,
        v0: -0.5,
        h: -0.3,
        s_inh: 1.5,
        synapse,
        ..Default::default()
    }
}

fn learning(mode: Mode, delta_v: f64) -> LttsLearning {
    LttsLearning { mode, delta_v, excluded: 2, ..Default::default() }
}

/// 3-D trajectory with few neurons and bins.
fn trajectory_pattern<F: Real>(network: &LttsNetwork, steps: usize, seed: u64) -> Pattern<F> {
    let y = trajectory(steps, 3, 10, &mut stream(seed, 0));
    let input = project(&clock(steps, 5), network.neurons, 4.0, &mut stream(seed, 1));
    let teach = project(&y, network.neurons, 2.0, &mut stream(seed, 2));
    Pattern::taught(network, &input, &teach, &y).unwrap()
}

fn largest(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// Fourth-order central differences of the log-likelihood.
fn differences(ltts: &Ltts<f64>, which: usize) -> Array2<f64> {
    let centre = ltts.recurrent().weights(which).unwrap();
    let h = 1e-3;
    let mut out = Array2::zeros(centre.raw_dim());
    for ((pre, post), d) in out.indexed_iter_mut().filter(|((a, b), _)| a != b) {
        let at = |k: f64| {
            let mut moved = ltts.clone();
            let mut w = centre.clone();
            w[[pre, post]] += k * h;
            moved.recurrent_mut().set_weights(which, &w).unwrap();
            moved.log_likelihood().unwrap()
        };
        *d = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * h);
    }
    out
}

#[test]
fn offline_rule_is_the_gradient_of_the_likelihood() {
    for synapse in [
        Synapse::Current,
        Synapse::Conductance { reversal: 20.0 },
        Synapse::Conductance { reversal: 3.0 },
    ] {
        let (network, delta_v) = (small(6, synapse), 0.4);
        let mut rng = stream(3, 0);
        let patterns = (0..2).map(|_| random_pattern(6, 40, 0.2, &mut rng)).collect();
        let mut ltts =
            Ltts::<f64>::new(&network, &learning(Mode::Offline, delta_v), patterns, 1).unwrap();
        for which in 0..synapse.matrices() {
            let w = weights(6, 1.0, &mut rng);
            let w = if synapse.matrices() == 2 { w.mapv(f64::abs) } else { w };
            ltts.recurrent_mut().set_weights(which, &w).unwrap();
        }
        for (which, rule) in ltts.gradient().iter().enumerate() {
            let expected = differences(&ltts, which);
            let error = largest(&(rule / delta_v - &expected)) / largest(&expected);
            assert!(error < 1e-8, "{synapse:?}, matrix {which}: {error:e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn fast_offline_is_stepping(n in 1..150_usize, steps in 2..40_usize, seed in 0..1000_u64, hard: bool) {
        let (network, delta_v) = (small(n, Synapse::Current), if hard { 0.0 } else { 0.3 });
        let mut rng = stream(seed, 0);
        let pattern = random_pattern::<f64>(n, steps, 0.1, &mut rng);
        let w = weights(n, 1.0, &mut rng);
        let mut expected = stepping::gradient(&network, &w, &pattern, delta_v);
        expected.diag_mut().fill(0.0);
        let rule = LttsLearning { excluded: 0, ..learning(Mode::Offline, delta_v) };
        let mut ltts = Ltts::new(&network, &rule, vec![pattern], 1).unwrap();
        ltts.recurrent_mut().set_weights(0, &w).unwrap();
        let error = largest(&(&ltts.gradient()[0] - &expected));
        prop_assert!(error <= 1e-12 * (1.0 + largest(&expected)), "{error:e}");
    }

    #[test]
    fn fast_online_is_stepping(n in 1..40_usize, steps in 2..30_usize, seed in 0..1000_u64, hard: bool) {
        let (network, delta_v) = (small(n, Synapse::Current), if hard { 0.0 } else { 0.3 });
        let mut rng = stream(seed, 0);
        let pattern = random_pattern::<f64>(n, steps, 0.1, &mut rng);
        let mut expected = weights(n, 1.0, &mut rng);
        let rule = LttsLearning { excluded: 0, ..learning(Mode::Online, delta_v) };
        let mut ltts = Ltts::new(&network, &rule, vec![pattern.clone()], 1).unwrap();
        ltts.recurrent_mut().set_weights(0, &expected).unwrap();
        stepping::online(&network, &mut expected, &pattern, delta_v, rule.rate);
        ltts.epoch();
        let error = largest(&(&ltts.recurrent().weights(0).unwrap() - &expected));
        // Traces and means that are taken as 0 may move a weight by 1e-9 of the rate in a bin.
        prop_assert!(error <= 1e-9 * rule.rate * steps as f64 + 1e-12, "{error:e}");
    }
}

#[test]
fn a_row_that_rests_ends_up_where_stepping_does() {
    // One spike early and a membrane far below the threshold: δ is exactly 0 for hundreds of bins.
    let network = LttsNetwork { neurons: 3, ..Default::default() };
    let steps = 900;
    let mut target = SpikeTrains::new(steps, 3);
    for t in 0..steps {
        [5, 700].contains(&t).then(|| target.push(0));
        [9, 702].contains(&t).then(|| target.push(1));
        target.end_step();
    }
    let zeros = Array2::zeros((steps, 3));
    let pattern = Pattern::<f64>::new(Series::of(&zeros), target, Series::of(&zeros)).unwrap();
    let rule = learning(Mode::Online, 0.05);
    let mut ltts = Ltts::new(&network, &rule, vec![pattern.clone()], 1).unwrap();
    ltts.epoch();
    let mut expected = Array2::zeros((3, 3));
    stepping::online(&network, &mut expected, &pattern, 0.05, rule.rate);
    let got = ltts.recurrent().weights(0).unwrap();
    assert!(largest(&expected) > 1e-3, "nothing was learned");
    let error = largest(&(&got - &expected));
    assert!(error < 1e-8, "{error:e}: {got} {expected}");
}

/// The equations of the free run, one neuron and bin at a time.
fn naive_run(network: &LttsNetwork, w: &Array2<f64>, drive: &Array2<f64>) -> Vec<Vec<bool>> {
    let (steps, n) = drive.dim();
    let beta = (-1.0 / network.tau_syn).exp();
    let mut s = vec![vec![false; n]];
    let (mut s_hat, mut v) = (vec![0.0; n], vec![network.v0; n]);
    for t in 0..steps - 1 {
        for j in 0..n {
            s_hat[j] = beta * s_hat[j] + if s[t][j] { 1.0 - beta } else { 0.0 };
        }
        let mut fired = vec![false; n];
        for i in 0..n {
            let u: f64 = (0..n).map(|j| w[[j, i]] * s_hat[j]).sum();
            v[i] += (u + drive[[t, i]] + network.h - v[i]) / network.tau_mem;
            v[i] -= if s[t][i] { network.s_inh } else { 0.0 };
            fired[i] = v[i] > 0.0;
        }
        s.push(fired);
    }
    s
}

#[test]
fn free_run_follows_the_equations() {
    let network = small(70, Synapse::Current);
    let mut rng = stream(8, 0);
    let w = weights(70, 0.6, &mut rng);
    let drive = Array2::from_shape_simple_fn((60, 70), || 3.0 * normal(&mut rng));
    let mut recurrent = Recurrent::<f64>::new(&network).unwrap();
    recurrent.set_weights(0, &w).unwrap();
    let spikes = recurrent.run(&Series::of(&drive), None).unwrap();
    let expected = naive_run(&network, &w, &drive);
    assert!(spikes.total() > 200, "{} spikes", spikes.total());
    for (t, row) in expected.iter().enumerate() {
        let ids: Vec<u16> = (0..70).filter(|k| row[usize::from(*k)]).collect();
        assert_eq!(spikes.at(0, t), ids, "bin {t}");
    }
}

#[test]
fn a_target_spike_in_bin_0_counts_with_beta() {
    // Two neurons, two bins: the only term is δ₁(1) e₀(1), with e₀(1) = ŝ₀(0)/τ_m = β_s/τ_m.
    let network = LttsNetwork { neurons: 2, ..Default::default() };
    let mut target = SpikeTrains::new(2, 2);
    target.push(0);
    target.end_step();
    target.push(1);
    target.end_step();
    let none = Series::<f64>::zeros(2, 2);
    let pattern = Pattern::new(none.clone(), target, none).unwrap();
    let rule = LttsLearning { excluded: 0, ..learning(Mode::Offline, 0.0) };
    let ltts = Ltts::new(&network, &rule, vec![pattern], 1).unwrap();
    let gradient = &ltts.gradient()[0];
    let expected = (-0.5_f64).exp() / 8.0;
    assert!((gradient[[0, 1]] - expected).abs() < 1e-15, "{gradient}");
    assert_eq!(gradient[[1, 0]], 0.0);
}

#[test]
fn readout_filters_spikes_and_learns_the_targets_only() {
    let network = LttsNetwork { neurons: 30, ..Default::default() };
    let mut rng = stream(2, 0);
    let pattern = random_pattern::<f64>(30, 25, 0.2, &mut rng);
    let rule = LttsLearning { rate: 0.0, ..learning(Mode::Offline, 0.05) };
    let mut ltts = Ltts::new(&network, &rule, vec![pattern.clone()], 1).unwrap();
    let (w, beta) = (ltts.readout_weights(), (-1.0_f64 / 20.0).exp());
    let read = ltts.read(pattern.target());
    let mut r = vec![0.0; 30];
    for t in 0..25 {
        let fired = pattern.target().at(0, t);
        for (j, r) in r.iter_mut().enumerate() {
            let s = f64::from(u8::from(fired.contains(&(j as u16))));
            *r = if t == 0 { s } else { beta * *r + (1.0 - beta) * s };
        }
        for k in 0..2 {
            let y: f64 = (0..30).map(|j| w[[j, k]] * r[j]).sum();
            assert!((y - read.row(t)[k]).abs() < 1e-12);
        }
    }
    let errors: Vec<f64> = (0..400).map(|_| ltts.epoch().readout_error).collect();
    // The outputs are noise: 30 weights a channel cannot take all of it.
    assert!(errors[399] < 0.65 * errors[0], "{} to {}", errors[0], errors[399]);
    // The rate of the recurrent weights is 0.
    assert!(ltts.recurrent().weights(0).unwrap().iter().all(|w| *w == 0.0));
}

#[test]
fn a_small_trajectory_is_learned_online() {
    let network = LttsNetwork { neurons: 96, ..Default::default() };
    let pattern = trajectory_pattern::<f32>(&network, 100, 1);
    for (delta_v, left) in [(0.05, 0.1), (0.0, 0.4)] {
        let rule = LttsLearning { delta_v, epochs: 120, ..Default::default() };
        let mut ltts = Ltts::new(&network, &rule, vec![pattern.clone()], 1).unwrap();
        let before = ltts.test(0).unwrap();
        for _ in 0..120 {
            ltts.epoch();
        }
        let after = ltts.test(0).unwrap();
        assert!(after.delta_s < left * before.delta_s, "{before:?} {after:?}");
    }
}

#[test]
fn a_small_trajectory_is_learned_offline_and_with_conductances() {
    let cases = [
        (Synapse::Current, Mode::Offline, 0.05),
        (Synapse::Conductance { reversal: 20.0 }, Mode::Online, 1.0),
        (Synapse::Conductance { reversal: 20.0 }, Mode::Offline, 1.0),
    ];
    for (synapse, mode, rate) in cases {
        let network = LttsNetwork { neurons: 96, synapse, ..Default::default() };
        let pattern = trajectory_pattern::<f32>(&network, 100, 1);
        let rule = LttsLearning { mode, rate, epochs: 100, ..Default::default() };
        let mut ltts = Ltts::new(&network, &rule, vec![pattern], 1).unwrap();
        let before = ltts.test(0).unwrap();
        for _ in 0..100 {
            ltts.epoch();
        }
        let after = ltts.test(0).unwrap();
        assert!(after.delta_s < 0.6 * before.delta_s, "{synapse:?} {mode:?}: {before:?} {after:?}");
        for which in 0..synapse.matrices() {
            let w = ltts.recurrent().weights(which).unwrap();
            assert!(w.diag().iter().all(|w| *w == 0.0));
            assert!(synapse.matrices() == 1 || w.iter().all(|w| *w >= 0.0));
        }
    }
}

#[test]
fn online_conductances_follow_the_offline_rule_at_small_rates() {
    let synapse = Synapse::Conductance { reversal: 5.0 };
    let network = small(20, synapse);
    let mut rng = stream(5, 0);
    let pattern = random_pattern::<f64>(20, 30, 0.15, &mut rng);
    let rate = 1e-7;
    let rule = LttsLearning { rate, ..learning(Mode::Online, 0.3) };
    let mut ltts = Ltts::new(&network, &rule, vec![pattern], 1).unwrap();
    let mut before = Vec::new();
    for which in 0..2 {
        let mut w = weights(20, 1.0, &mut rng).mapv(|w| w.abs() + 0.1);
        w.diag_mut().fill(0.0);
        ltts.recurrent_mut().set_weights(which, &w).unwrap();
        before.push(w);
    }
    let expected = ltts.gradient();
    ltts.epoch();
    for which in 0..2 {
        let moved = (&ltts.recurrent().weights(which).unwrap() - &before[which]) / rate;
        let error = largest(&(&moved - &expected[which])) / largest(&expected[which]);
        assert!(error < 1e-5, "matrix {which}: {error:e}");
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_on_an_interruption() {
    let network = LttsNetwork { neurons: 80, ..Default::default() };
    for mode in [Mode::Online, Mode::Offline] {
        let rule = LttsLearning { mode, epochs: 6, ..Default::default() };
        let make = || {
            let patterns =
                (1..3).map(|seed| trajectory_pattern::<f32>(&network, 60, seed)).collect();
            Ltts::new(&network, &rule, patterns, 1).unwrap()
        };
        let learn = |threads: usize, ltts: &mut Ltts<f32>, epochs: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (0..epochs).map(|_| ltts.epoch()).collect::<Vec<_>>())
        };
        let (mut one, mut three) = (make(), make());
        assert_eq!(learn(1, &mut one, 6), learn(3, &mut three, 6));
        assert_eq!(one.recurrent().weights(0), three.recurrent().weights(0));

        let (mut first, mut second) = (make(), make());
        learn(2, &mut first, 3);
        let (to, arrays) = second.state_mut();
        *to = first.epochs();
        for ((name, array), (saved_name, saved)) in arrays.into_iter().zip(first.state()) {
            assert_eq!(name, saved_name);
            array.copy_from_slice(saved);
        }
        learn(2, &mut second, 3);
        assert_eq!(one.recurrent().weights(0), second.recurrent().weights(0));
        assert_eq!(one.readout_weights(), second.readout_weights());
    }
}

#[test]
fn noise_is_drawn_from_the_given_stream() {
    let network = LttsNetwork { neurons: 50, ..Default::default() };
    let pattern = trajectory_pattern::<f32>(&network, 80, 1);
    let recurrent = Recurrent::<f32>::new(&network).unwrap();
    let run = |sigma: f64, seed: u64| {
        recurrent.run(pattern.drive(), Some(Noise { sigma, rng: &mut stream(seed, 0) })).unwrap()
    };
    let silent = recurrent.run(pattern.drive(), None).unwrap();
    assert_eq!(run(0.0, 1), silent);
    assert_eq!(run(3.0, 1), run(3.0, 1));
    assert_ne!(run(3.0, 1), run(3.0, 2));
    assert_ne!(run(3.0, 1), silent);
}

#[test]
fn comparison_counts_wrong_spikes_and_skips_excluded_bins() {
    let mut target = SpikeTrains::new(4, 3);
    let mut other = SpikeTrains::new(4, 3);
    for (a, b) in
        [(vec![0, 2], vec![0, 1]), (vec![], vec![2]), (vec![1], vec![1]), (vec![0], vec![])]
    {
        a.into_iter().for_each(|id| target.push(id));
        b.into_iter().for_each(|id| other.push(id));
        target.end_step();
        other.end_step();
    }
    let pattern = Pattern::<f64>::new(Series::zeros(4, 3), target, Series::zeros(4, 1)).unwrap();
    let output = Series::of(&Array2::from_shape_vec((4, 1), vec![100.0, 100.0, 1.0, 2.0]).unwrap());
    let found = compare(&pattern, &other, &output, 2).unwrap();
    assert_eq!(found, Comparison { mse: 2.5, delta_s: 4.0 / 12.0 });
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let network = LttsNetwork { neurons: 4, ..Default::default() };
    let name = |network: LttsNetwork, rule: LttsLearning| {
        let pattern = random_pattern::<f64>(4, 30, 0.2, &mut stream(1, 0));
        match Ltts::new(&network, &rule, vec![pattern], 1).unwrap_err() {
            ModelError::Parameter { what, .. }
            | ModelError::Size { what, .. }
            | ModelError::Input { what, .. } => what,
            other => panic!("{other}"),
        }
    };
    let rule = LttsLearning::default();
    assert_eq!(name(LttsNetwork { tau_mem: 0.5, ..network }, rule), "network.tau_mem");
    assert_eq!(name(LttsNetwork { tau_syn: f64::NAN, ..network }, rule), "network.tau_syn");
    assert_eq!(name(LttsNetwork { tau_readout: -1.0, ..network }, rule), "network.tau_readout");
    assert_eq!(name(LttsNetwork { h: f64::INFINITY, ..network }, rule), "network.h");
    assert_eq!(name(LttsNetwork { neurons: 0, ..network }, rule), "network.neurons");
    assert_eq!(name(LttsNetwork { neurons: 5, ..network }, rule), "neurons of a pattern");
    let synapse = Synapse::Conductance { reversal: 0.0 };
    assert_eq!(name(LttsNetwork { synapse, ..network }, rule), "network.synapse.reversal");
    assert_eq!(name(network, LttsLearning { delta_v: -0.1, ..rule }), "learning.delta_v");
    assert_eq!(name(network, LttsLearning { rate: f64::NAN, ..rule }), "learning.rate");
    assert_eq!(name(network, LttsLearning { rate_factor: 0.0, ..rule }), "learning.rate_factor");
    assert_eq!(name(network, LttsLearning { epochs: 0, ..rule }), "learning.epochs");
    assert_eq!(name(network, LttsLearning { excluded: 30, ..rule }), "learning.excluded");

    let mut unordered = SpikeTrains::new(2, 4);
    unordered.push(2);
    unordered.push(1);
    unordered.end_step();
    unordered.end_step();
    let (drive, output) = (Series::<f64>::zeros(2, 4), Series::zeros(2, 1));
    assert!(Pattern::new(drive.clone(), unordered, output.clone()).is_err());
    assert!(Pattern::new(drive, SpikeTrains::new(2, 4), output).is_err());
    let hard = LttsLearning { delta_v: 0.0, ..rule };
    let pattern = random_pattern::<f64>(4, 30, 0.2, &mut stream(1, 0));
    assert!(Ltts::new(&network, &hard, vec![pattern], 1).unwrap().log_likelihood().is_err());
}
