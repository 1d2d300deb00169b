//! Oracles: the offline rule with the model's own membranes in place of measured ones; the rule written
//! out forwards, with an eligibility for every synapse.

use super::*;
use crate::method::ltts::{LttsLearning, LttsNetwork, Pattern};
use crate::random::{normal, stream, uniform};
use ndarray::Array2;

const NEURONS: usize = 70;
const BINS: usize = 40;

fn network() -> LttsNetwork {
    LttsNetwork {
        neurons: NEURONS,
        tau_mem: 3.0,
        v0: -0.5,
        h: -0.5,
        s_inh: 1.5,
        ..Default::default()
    }
}

/// Random spikes, silent in bin 0.
fn spikes(rate: f64, seed: u64) -> SpikeTrains {
    let mut rng = stream(seed, 0);
    let mut trains = SpikeTrains::new(BINS, NEURONS);
    for t in 0..BINS {
        for id in 0..NEURONS {
            if uniform(&mut rng) < rate && t > 0 {
                trains.push(id as u16);
            }
        }
        trains.end_step();
    }
    trains
}

fn series(scale: f64, seed: u64) -> Series<f64> {
    let mut rng = stream(seed, 1);
    Series::of(&Array2::from_shape_simple_fn((BINS, NEURONS), || scale * normal(&mut rng)))
}

/// A learner of two patterns, with weights.
fn learner(mode: Mode, delta_v: f64) -> Ltts<f64> {
    let patterns = [3, 4]
        .map(|seed| Pattern::new(series(2.0, seed), spikes(0.1, seed), series(1.0, seed)).unwrap());
    let rule = LttsLearning { mode, delta_v, excluded: 2, ..Default::default() };
    let mut ltts = Ltts::new(&network(), &rule, patterns.to_vec(), 1).unwrap();
    let mut rng = stream(9, 0);
    let mut weights = Array2::from_shape_simple_fn((NEURONS, NEURONS), || 0.5 * normal(&mut rng));
    weights.diag_mut().fill(0.0);
    ltts.recurrent_mut().set_weights(0, &weights).unwrap();
    ltts
}

/// Membranes of the model under teacher forcing, from its equations, and the spikes that they say.
fn simulated(ltts: &Ltts<f64>, pattern: &Pattern<f64>) -> (SpikeTrains, Series<f64>) {
    let (c, w) = (network(), ltts.recurrent().weights(0).unwrap());
    let beta = (-1.0 / c.tau_syn).exp();
    let (mut v, mut s_hat) = (vec![c.v0; NEURONS], vec![0.0; NEURONS]);
    let mut membranes = Series::zeros(BINS, NEURONS);
    let mut trains = SpikeTrains::new(BINS, NEURONS);
    trains.end_step();
    membranes.row_mut(0).fill(c.v0);
    for t in 0..BINS - 1 {
        let fired = pattern.target().at(0, t);
        for (j, s) in s_hat.iter_mut().enumerate() {
            *s = beta * *s + (1.0 - beta) * f64::from(u8::from(fired.contains(&(j as u16))));
        }
        for (i, v) in v.iter_mut().enumerate() {
            let u: f64 = s_hat.iter().enumerate().map(|(j, s)| w[[j, i]] * s).sum();
            let reset = if fired.contains(&(i as u16)) { c.s_inh } else { 0.0 };
            *v += (u + pattern.drive().row(t)[i] + c.h - *v) / c.tau_mem - reset;
            if *v > 0.0 {
                trains.push(i as u16);
            }
        }
        trains.end_step();
        membranes.row_mut(t + 1).copy_from_slice(&v);
    }
    (trains, membranes)
}

fn largest(a: &Array2<f64>) -> f64 {
    a.iter().fold(0.0, |m: f64, x| m.max(x.abs()))
}

/// The gradient, which an epoch leaves in the first moment: 0.1 of it.
fn gradient(ltts: &Ltts<f64>) -> Vec<f64> {
    let state = ltts.state();
    let means = state.iter().filter(|(name, _)| name.starts_with("recurrent.mean"));
    means.flat_map(|(_, values)| values.iter().copied()).collect()
}

#[test]
fn with_the_membranes_of_the_model_it_is_the_offline_rule() {
    for delta_v in [0.3, 0.0] {
        let mut model = learner(Mode::Offline, delta_v);
        let runs: Vec<_> = model
            .patterns()
            .iter()
            .map(|pattern| {
                let (spikes, membranes) = simulated(&model, pattern);
                let membranes = (delta_v > 0.0).then_some(membranes);
                Measured { spikes, membranes, reset: Reset::Subtract }
            })
            .collect();
        let mut measured = model.clone();
        for _ in 0..2 {
            // The second epoch has the same measurements and other weights: no longer the model's.
            let [a, b] = [model.epoch(), measured.epoch_measured(&runs).unwrap()];
            assert!((a.deviation - b.deviation).abs() < 1e-12 || model.epochs() > 1);
            assert_eq!(a.readout_error, b.readout_error);
            if model.epochs() == 1 {
                let (a, b) = (gradient(&model), gradient(&measured));
                let most = a.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
                let off = a.iter().zip(&b).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
                assert!(most > 0.0 && off < 1e-9 * most, "{delta_v}: {off:e} of {most:e}");
            }
        }
    }
}

/// `Σₜ δ_i(t) e_ij(t)` forwards, with an eligibility for every synapse; neuron by neuron, with the two
/// membranes side by side: the chip's and that of the neuron that is reset by the target.
fn forwards(target: &SpikeTrains, run: &Measured<f64>, delta_v: f64) -> Array2<f64> {
    let c = network();
    let (beta, keep) = ((-1.0 / c.tau_syn).exp(), 1.0 - 1.0 / c.tau_mem);
    let at = |trains: &SpikeTrains, t: usize, i: usize| trains.at(0, t).contains(&(i as u16));
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v / delta_v).exp());
    let membranes = run.membranes.as_ref().unwrap();
    let mut sum = Array2::<f64>::zeros((NEURONS, NEURONS));
    for i in 0..NEURONS {
        let (mut e, mut s_hat) = (vec![0.0; NEURONS], vec![0.0; NEURONS]);
        // Of both membranes after the resets of the bin before.
        let (mut chip, mut forced) = (0.0, 0.0);
        for t in 1..BINS {
            for j in 0..NEURONS {
                s_hat[j] =
                    beta * s_hat[j] + (1.0 - beta) * f64::from(u8::from(at(target, t - 1, j)));
                let forgot = at(target, t - 1, i) && run.reset != Reset::Subtract;
                e[j] = if forgot { 0.0 } else { keep * e[j] } + s_hat[j] / c.tau_mem;
            }
            let (s, x) = (at(&run.spikes, t, i), membranes.row(t)[i]);
            let v = match (run.reset, s) {
                (Reset::Subtract, true) => x.max(0.0),
                (_, false) => x.min(0.0) + keep * (forced - chip),
                (Reset::To(_), true) => {
                    let went_on = if t > 1 {
                        2.0 * membranes.row(t - 1)[i] - membranes.row(t - 2)[i]
                    } else {
                        0.0
                    };
                    went_on.max(0.0) + keep * (forced - chip)
                }
            };
            let wanted = at(target, t, i);
            let delta = f64::from(u8::from(wanted)) - sigmoid(v);
            for j in (0..NEURONS).filter(|j| *j != i) {
                sum[[j, i]] += delta * e[j];
            }
            if let Reset::To(reset) = run.reset {
                let together = keep * (forced - chip);
                (chip, forced) = match (wanted, s) {
                    (true, true) => (0.0, 0.0),
                    (true, false) => (x, reset),
                    (false, true) => (x, v),
                    (false, false) => (0.0, together),
                };
                if (forced - chip).abs() < 0.01 * reset.abs() {
                    (chip, forced) = (0.0, 0.0);
                }
            }
        }
    }
    sum
}

#[test]
fn a_reset_cuts_the_eligibilities_of_the_neuron_that_spiked() {
    let delta_v = 0.4;
    for reset in [Reset::To(-2.0), Reset::Subtract] {
        let mut ltts = learner(Mode::Offline, delta_v);
        let run = |seed| Measured {
            spikes: spikes(0.15, seed),
            membranes: Some(series(0.6, seed)),
            reset,
        };
        let runs = [run(20), run(21)];
        let mut expected = Array2::zeros((NEURONS, NEURONS));
        for (pattern, run) in ltts.patterns().iter().zip(&runs) {
            expected += &forwards(pattern.target(), run, delta_v);
        }
        let before = ltts.recurrent().weights(0).unwrap();
        ltts.epoch_measured(&runs).unwrap();
        // The first step of Adam has the sign of the gradient and the size of the rate.
        let moved = ltts.recurrent().weights(0).unwrap() - before;
        for (moved, g) in moved.iter().zip(&expected).filter(|(_, g)| g.abs() > 1e-4) {
            assert!((moved - 0.01 * g.signum()).abs() < 1e-6, "{moved} for {g}");
        }
        let tiles = Array2::from_shape_vec((NEURONS, 80), rows(&ltts)).unwrap();
        let off = &tiles.slice(ndarray::s![.., ..NEURONS]) - &(0.1 * expected.clone());
        let most = largest(&expected);
        // In the moments gradients are scaled by 2^40.
        assert!(largest(&off) < 1e-6 * most, "{reset:?}: {:e} of {most:e}", largest(&off));
    }
}

/// First moments `[pre, post]`, tiles side by side, unscaled.
fn rows(ltts: &Ltts<f64>) -> Vec<f64> {
    let state = ltts.state();
    let tile = |k: usize| {
        let name = format!("recurrent.mean.{k}");
        state.iter().find(|(n, _)| *n == name).unwrap().1
    };
    let (first, second) = (tile(0), tile(1));
    let scale = (1_u64 << 40) as f64;
    (0..NEURONS)
        .flat_map(|pre| first[pre * 64..][..64].iter().chain(&second[pre * 16..][..16]))
        .map(|m| m / scale)
        .collect()
}

/// δ of one neuron bin by bin, for its samples, target spikes and own spikes.
fn residuals(samples: &[f64], fires: &[usize], fired: &[usize], reset: f64) -> Vec<f64> {
    let column = Array2::from_shape_vec((samples.len(), 1), samples.to_vec()).unwrap();
    let run = Measured {
        spikes: SpikeTrains::default(),
        membranes: Some(Series::of(&column)),
        reset: Reset::To(reset),
    };
    let network = LttsNetwork { neurons: 1, tau_mem: 2.0, ..network() };
    let mut sight = Sight::new(network.factors(), &run, Span { first: 0, units: 1, width: 16 });
    let escape = Escape::new(0.5);
    (1..samples.len())
        .map(|t| sight.residual(escape, (t, 0), (fires.contains(&t), fired.contains(&t))))
        .collect()
}

#[test]
fn a_spike_says_more_than_a_sample_and_its_reset_is_undone() {
    let p = |v: f64| 1.0 / (1.0 + (-v / 0.5).exp());
    let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
    // A target spike that is missing teaches at least half, however high the sample is.
    assert_eq!(residuals(&[-4.0, 3.0], &[1], &[], -4.0), [0.5]);
    // The spike that should come goes on as in the bin before, and leaves nothing to undo.
    let found = residuals(&[-4.0, -1.0, -0.25, -4.0, -3.0], &[3], &[3], -4.0);
    assert!(near(&found, &[-p(-1.0), -p(-0.25), 1.0 - p(0.5), -p(-3.0)]), "{found:?}");
    // One too many: the neuron is where it would be without it, half as far off in every bin.
    let found = residuals(&[-4.0, -1.0, -0.25, -4.0, -3.0], &[], &[3], -4.0);
    assert!(near(&found, &[-p(-1.0), -p(-0.25), -p(0.5), -p(-3.0 + 2.25)]), "{found:?}");
    // One that is missing: the neuron counts as reset.
    let found = residuals(&[-4.0, -1.0, -0.5, -0.4], &[2], &[], -4.0);
    assert!(near(&found, &[-p(-1.0), 1.0 - p(-0.5), -p(-0.4 - 1.75)]), "{found:?}");
    let run = Measured { spikes: SpikeTrains::default(), membranes: None, reset: Reset::To(-4.0) };
    let mut sight = Sight::new(network().factors(), &run, Span { first: 0, units: 1, width: 16 });
    for (spikes, expected) in
        [((true, true), 0.0), ((true, false), 1.0), ((false, true), -1.0), ((false, false), 0.0)]
    {
        assert_eq!(sight.residual(Escape::new(0.0), (1, 0), spikes), expected);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let run = |membranes| Measured { spikes: spikes(0.1, 1), membranes, reset: Reset::To(-0.5) };
    let both = [run(Some(series(1.0, 1))), run(Some(series(1.0, 2)))];
    let error = |ltts: &mut Ltts<f64>, runs: &[Measured<f64>]| {
        ltts.epoch_measured(runs).unwrap_err().to_string()
    };
    assert!(error(&mut learner(Mode::Online, 0.1), &both).contains("learning.mode"));
    let mut ltts = learner(Mode::Offline, 0.1);
    assert!(error(&mut ltts, &both[..1]).contains("one a pattern"));
    assert!(error(&mut ltts, &[run(None), run(None)]).contains("membranes"));
    assert!(learner(Mode::Offline, 0.0).epoch_measured(&[run(None), run(None)]).is_ok());
    let short = Measured { membranes: Some(Series::zeros(BINS - 1, NEURONS)), ..run(None) };
    assert!(error(&mut ltts, &[short.clone(), short]).contains("bins of the measured membranes"));
    assert_eq!(ltts.clamp(0.2), ltts.clamp(0.2));
    assert!(ltts.recurrent().weights(0).unwrap().iter().all(|w| w.abs() <= 0.2));
}
