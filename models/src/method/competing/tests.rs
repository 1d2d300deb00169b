use ndarray::Array2;

use super::readout::{Readout, ReadoutConfig};
use super::*;

/// Patterns with about a third of zeros.
fn matrix(count: usize, inputs: usize, seed: u64) -> Array2<f64> {
    let mut rng = random::stream(seed, 5);
    Array2::from_shape_simple_fn((count, inputs), || {
        let value = random::uniform(&mut rng);
        if value < 0.33 { 0.0 } else { value }
    })
}

/// One batch as the equations are printed: three nested loops over dense matrices.
fn naive(weights: &mut Array2<f64>, batch: &Array2<f64>, config: CompetingConfig, rate: f64) {
    let ((units, inputs), patterns) = (weights.dim(), batch.nrows());
    let mut ds = Array2::<f64>::zeros((units, inputs));
    let mut shrink = vec![0.0; units];
    for b in 0..patterns {
        let mut currents = vec![0.0; units];
        for mu in 0..units {
            for i in 0..inputs {
                let w = weights[[mu, i]];
                currents[mu] += w.signum() * w.abs().powf(config.norm - 1.0) * batch[[b, i]];
            }
        }
        let mut order: Vec<usize> = (0..units).collect();
        order.sort_by(|x, y| currents[*y].total_cmp(&currents[*x]));
        let mut g = vec![0.0; units];
        g[order[0]] = 1.0;
        g[order[config.rank - 1]] = -config.repulsion;
        for mu in 0..units {
            shrink[mu] += g[mu] * currents[mu];
            for i in 0..inputs {
                ds[[mu, i]] += g[mu] * batch[[b, i]];
            }
        }
    }
    for mu in 0..units {
        for i in 0..inputs {
            ds[[mu, i]] -= shrink[mu] * weights[[mu, i]];
        }
    }
    let largest = ds.iter().fold(1e-30, |top: f64, d| top.max(d.abs()));
    *weights += &(ds * (rate / largest));
}

#[test]
fn updates_equal_three_nested_loops() {
    let base = CompetingConfig { hidden: 70, epochs: 4, batch: 8, ..CompetingConfig::default() };
    for config in [
        base,
        CompetingConfig { norm: 3.0, rank: 7, ..base },
        CompetingConfig { norm: 2.5, rank: 3, repulsion: 0.1, ..base },
    ] {
        let values = matrix(20, 37, 1);
        let patterns = Patterns::new(values.view()).unwrap();
        let mut net = Competing::<f64>::new(config, 37, 2).unwrap();
        let mut weights = net.weights().to_owned();
        let order: Vec<usize> = (0..20).rev().collect();
        for epoch in 0..3 {
            net.epoch(epoch, &patterns, &order).unwrap();
            let rate = 0.02 * (1.0 - epoch as f64 / 4.0);
            for batch in order.chunks(8) {
                naive(&mut weights, &values.select(ndarray::Axis(0), batch), config, rate);
            }
        }
        for (own, w) in net.weights().iter().zip(&weights) {
            assert!((own - w).abs() < 1e-11, "{config:?}: {own}, naive {w}");
        }
    }
}

/// Patterns in six groups, each with its own four inputs.
fn groups(count: usize) -> Array2<f64> {
    let mut rng = random::stream(3, 5);
    Array2::from_shape_fn((count, 24), |(pattern, input)| {
        let value = random::uniform(&mut rng);
        if input / 4 == pattern % 6 { 0.7 + 0.3 * value } else { 0.1 * value }
    })
}

#[test]
fn winners_become_unit_vectors() {
    for norm in [2.0, 3.0] {
        let config = CompetingConfig {
            hidden: 6,
            norm,
            epochs: 60,
            batch: 10,
            ..CompetingConfig::default()
        };
        let patterns = Patterns::new(groups(120).view()).unwrap();
        let mut net = Competing::<f64>::new(config, 24, 3).unwrap();
        // Every batch of ten has patterns of all groups.
        let order: Vec<usize> = (0..120).collect();
        let before = net.norms();
        assert!(before.iter().all(|n| *n > 1.5), "{before:?}");
        for epoch in 0..60 {
            net.epoch(epoch, &patterns, &order).unwrap();
        }
        // One may have lost every competition and kept its weights.
        let near = net.norms().iter().filter(|n| (*n - 1.0).abs() < 0.01).count();
        assert!(near >= 4, "norm {norm}: {:?}", net.norms());
    }
}

#[test]
fn norms_and_activations_follow_their_formulas() {
    let config = CompetingConfig { hidden: 3, norm: 3.0, ..CompetingConfig::default() };
    let mut net = Competing::<f64>::new(config, 2, 1).unwrap();
    let weights = ndarray::arr2(&[[1.0, -2.0], [0.5, 0.5], [-1.0, -1.0]]);
    net.set_weights(weights.view()).unwrap();
    assert!((net.norms()[0] - 9.0_f64.powf(1.0 / 3.0)).abs() < 1e-12);
    let patterns = Patterns::new(ndarray::arr2(&[[3.0, 1.0], [0.0, 2.0]]).view()).unwrap();
    for power in [1.0, 2.0, 4.5, 1.3] {
        let h = net.activations(&patterns, power).unwrap();
        let expected = [[1.0_f64, 2.0, 0.0], [0.0, 1.0, 0.0]];
        for (p, row) in expected.iter().enumerate() {
            for (u, value) in row.iter().enumerate() {
                let wanted = if *value > 0.0 { value.powf(power) } else { 0.0 };
                assert!((h[[p, u]] - wanted).abs() < 1e-12, "{power}: {}", h[[p, u]]);
            }
        }
    }
    assert!(net.set_weights(Array2::zeros((3, 3)).view()).is_err());
}

/// Loss of the readout from its weights alone.
fn loss(weights: &[f64], h: &Array2<f64>, labels: &[u16], config: ReadoutConfig) -> f64 {
    let hidden = h.ncols();
    let mut total = 0.0;
    for (row, label) in h.rows().into_iter().zip(labels) {
        for (class, s) in weights.chunks(hidden).enumerate() {
            let sum: f64 = s.iter().zip(row).map(|(s, h)| s * h).sum();
            let target = if class == usize::from(*label) { 1.0 } else { -1.0 };
            total += ((config.beta * sum).tanh() - target).abs().powf(config.exponent);
        }
    }
    total
}

#[test]
fn the_gradient_of_the_readout_equals_differences() {
    for exponent in [6.0, 3.5] {
        let config = ReadoutConfig { beta: 0.4, exponent, batch: 7, ..ReadoutConfig::default() };
        let h = matrix(7, 9, 8);
        let labels = [0, 17, 3, 3, 9, 1, 12];
        let order: Vec<usize> = (0..7).collect();
        let mut readout = Readout::<f64>::new(config, 9, 18, 2).unwrap();
        let [weights, ..] = readout.state();
        let score = readout.score(h.view(), &labels, &order).unwrap();
        assert!((7.0 * score.loss - loss(&weights, &h, &labels, config)).abs() < 1e-9);
        readout.epoch(h.view(), &labels, &order).unwrap();
        // After the first step Adam's mean is a tenth of the gradient.
        let [_, mean, _] = readout.state();
        for k in (0..weights.len()).step_by(5) {
            let at = |by: f64| {
                let mut moved = weights.clone();
                moved[k] += by;
                loss(&moved, &h, &labels, config)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((10.0 * mean[k] - slope).abs() < 1e-6 * slope.abs().max(1.0), "{k}");
        }
    }
}

#[test]
fn a_readout_learns_classes_and_goes_on_after_a_restore() {
    let config = ReadoutConfig { beta: 1.0, rate: 0.02, batch: 10, ..ReadoutConfig::default() };
    let mut rng = random::stream(1, 1);
    let labels: Vec<u16> = (0..90).map(|k| k % 3).collect();
    let h = Array2::from_shape_fn((90, 6), |(p, u)| {
        let own = if u % 3 == p % 3 { 1.0 } else { 0.2 };
        own + 0.2 * random::uniform(&mut rng)
    });
    let order: Vec<usize> = (0..90).collect();
    let mut readout = Readout::<f64>::new(config, 6, 3, 2).unwrap();
    for _ in 0..10 {
        readout.epoch(h.view(), &labels, &order).unwrap();
    }
    let mut other = Readout::<f64>::new(config, 6, 3, 9).unwrap();
    let [w, m, v] = readout.state();
    other.restore(readout.steps(), [&w, &m, &v]).unwrap();
    for net in [&mut readout, &mut other] {
        for _ in 0..20 {
            net.epoch(h.view(), &labels, &order).unwrap();
        }
    }
    assert_eq!(readout.state(), other.state());
    let score = readout.score(h.view(), &labels, &order).unwrap();
    assert!(score.accuracy == 1.0 && score.loss < 1.0, "{score:?}");
    assert!(other.restore(1, [&w, &m, &v[1..]]).is_err());
}

#[test]
fn wrong_values_are_named() {
    let base = CompetingConfig::default();
    for (config, key) in [
        (CompetingConfig { hidden: 0, ..base }, "learning.hidden is 0"),
        (CompetingConfig { rank: 1, ..base }, "learning.rank"),
        (CompetingConfig { rank: 101, ..base }, "learning.rank"),
        (CompetingConfig { norm: 0.5, ..base }, "learning.norm"),
        (CompetingConfig { rate: f64::NAN, ..base }, "learning.rate"),
        (CompetingConfig { batch: 0, ..base }, "learning.batch"),
    ] {
        let error = Competing::<f32>::new(config, 4, 1).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    let readout = ReadoutConfig { exponent: 0.5, ..ReadoutConfig::default() };
    assert!(readout.check().unwrap_err().to_string().contains("readout.exponent"));
    assert!(Patterns::<f64>::new(Array2::zeros((0, 4)).view()).is_err());
    assert!(Patterns::new(ndarray::arr2(&[[f64::NAN]]).view()).is_err());
    let mut net = Competing::<f64>::new(base, 4, 1).unwrap();
    let patterns = Patterns::new(matrix(3, 4, 1).view()).unwrap();
    assert!(net.epoch(200, &patterns, &[0]).is_err(), "beyond the last epoch");
    assert!(net.epoch(0, &patterns, &[3]).is_err(), "no such pattern");
    assert!(net.epoch(0, &Patterns::new(matrix(3, 5, 1).view()).unwrap(), &[0]).is_err());
    let mut second = Readout::<f64>::new(ReadoutConfig::default(), 4, 3, 1).unwrap();
    assert!(second.epoch(matrix(2, 4, 1).view(), &[0, 3], &[0, 1]).is_err(), "no such class");
}
