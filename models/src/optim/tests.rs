use super::*;
use crate::layer::LayerSpec;

fn network() -> Network<f64> {
    let mut network = Network::new(3, 1, vec![LayerSpec::chip_grid(1).readout(2)], &[]).unwrap();
    network.layers[0].weights[[0, 0]] = 1.0;
    network.layers[0].weights[[0, 1]] = -2.0;
    network
}

/// Weights after each of three steps with gradients (0.5, −0.1), (0.25, 0), (−1, 0.2).
fn run(rule: Rule, eta: f64) -> Vec<[f64; 2]> {
    let mut network = network();
    let mut optimizer = Optimizer::new(rule, &network).unwrap();
    let mut gradients = Gradients::zeros(&network);
    [[0.5, -0.1], [0.25, 0.0], [-1.0, 0.2]]
        .into_iter()
        .map(|g| {
            gradients.layers[0].weights[[0, 0]] = g[0];
            gradients.layers[0].weights[[0, 1]] = g[1];
            optimizer.step(&mut network, &gradients, eta, &[]).unwrap();
            [network.layers[0].weights[[0, 0]], network.layers[0].weights[[0, 1]]]
        })
        .collect()
}

fn assert_close(got: &[[f64; 2]], expected: &[[f64; 2]]) {
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!((got - expected).abs() < 1e-12, "{got} against {expected}");
    }
}

#[test]
fn adam_follows_the_published_rule() {
    // Step 1: m̂ = g, v̂ = g², so the step is η g/(|g| + ε).
    // Step 2, first weight: m = .9·.05 + .1·.25 = .07, m̂ = .07/.19; v = .999·.00025 + .001·.0625
    // = .00031225, v̂ = .00031225/.001999.
    let first = [1.0 - 0.1 * 0.5 / (0.5 + 1e-8), -2.0 + 0.1 * 0.1 / (0.1 + 1e-8)];
    let second = [
        first[0] - 0.1 * (0.07 / 0.19) / ((0.00031225_f64 / 0.001999).sqrt() + 1e-8),
        first[1] + 0.1 * (0.009 / 0.19) / ((0.00000999_f64 / 0.001999).sqrt() + 1e-8),
    ];
    // Step 3: m = .9·.07 − .1 = −.037; v = .999·.00031225 + .001; 1 − .9³ = .271; 1 − .999³.
    let root = 1.0 - 0.999_f64 * 0.999 * 0.999;
    let third = [
        second[0] + 0.1 * (0.037 / 0.271) / (((0.999 * 0.00031225 + 0.001) / root).sqrt() + 1e-8),
        second[1]
            - 0.1 * (0.0119 / 0.271) / (((0.999 * 0.00000999 + 0.00004) / root).sqrt() + 1e-8),
    ];
    assert_close(&run(Rule::adam(), 0.1), &[first, second, third]);
}

#[test]
fn adamax_follows_the_published_rule() {
    let first = [1.0 - 0.1 * 0.5 / (0.5 + 1e-8), -2.0 + 0.1 * 0.1 / (0.1 + 1e-8)];
    let u = [0.999 * (0.5 + 1e-8), 0.999 * (0.1 + 1e-8)];
    let second = [first[0] - 0.1 / 0.19 * 0.07 / u[0], first[1] + 0.1 / 0.19 * 0.009 / u[1]];
    let third = [
        second[0] + 0.1 / 0.271 * 0.037 / (1.0 + 1e-8),
        second[1] - 0.1 / 0.271 * 0.0119 / (0.2 + 1e-8),
    ];
    assert_close(&run(Rule::adamax(), 0.1), &[first, second, third]);
}

#[test]
fn smorms3_follows_the_published_rule() {
    // Step 1: r = ½, g₁ = g/2, g₂ = g²/2, x = ½, mem = 1 + 1·½ = 3/2, rate min(½, η) = η, so the
    // step is η g/(|g|/√2).
    let step = 0.1 * 2.0_f64.sqrt();
    let first = [1.0 - step, -2.0 + step];
    // Step 2: r = 1/(5/2) = .4. First weight: g₁ = .6·.25 + .4·.25 = .25, g₂ = .6·.125 + .4·.0625
    // = .1. Second: g₁ = −.03, g₂ = .003, no gradient, no step.
    let second = [first[0] - 0.1 * 0.25 / 0.1_f64.sqrt(), first[1]];
    // mem = 1 + 1.5(1 − .0625/.1) = 1.5625; 1 + 1.5(1 − .0009/.003) = 2.05. Step 3: r = 1/2.5625;
    // x = g₁²/g₂ of the first weight is small.
    let (r, s) = (1.0 / 2.5625, 1.0 / 3.05);
    let (g1, g2) = ((1.0 - r) * 0.25 - r, (1.0 - r) * 0.1 + r);
    let (h1, h2) = ((1.0 - s) * -0.03 + s * 0.2, (1.0 - s) * 0.003 + s * 0.04);
    let rate = |x: f64| x.min(0.1);
    let third = [
        second[0] + rate(g1 * g1 / g2) / g2.sqrt(),
        second[1] - rate(h1 * h1 / h2) * 0.2 / h2.sqrt(),
    ];
    assert_close(&run(Rule::smorms3(), 0.1), &[first, second, third]);
}

#[test]
fn weights_are_clamped_after_the_step() {
    let mut network = network();
    let mut optimizer = Optimizer::new(Rule::adam(), &network).unwrap();
    let gradients = Gradients::zeros(&network);
    optimizer.step(&mut network, &gradients, 0.1, &[Some(0.5)]).unwrap();
    assert_eq!(network.layers[0].weights.as_slice().unwrap(), [0.5, -0.5]);
}

#[test]
fn another_network_is_refused() {
    let network = network();
    let mut optimizer = Optimizer::new(Rule::adam(), &network).unwrap();
    let mut other =
        Network::<f64>::new(3, 2, vec![LayerSpec::chip_grid(1).readout(2)], &[]).unwrap();
    let gradients = Gradients::zeros(&other);
    assert!(optimizer.step(&mut other, &gradients, 0.1, &[]).is_err());
    assert_eq!(optimizer.steps(), 0);
    assert!(
        Optimizer::new(Rule::Adam { beta1: 1.0, beta2: 0.9, epsilon: 1e-8 }, &network).is_err()
    );
    assert!(Optimizer::new(Rule::Smorms3 { epsilon: 0.0 }, &network).is_err());
}

#[test]
fn schedules_follow_their_formulas() {
    assert_eq!(Schedule::Constant.factor(9), 1.0);
    assert!((Schedule::Exponential { factor: 0.97 }.factor(50) - 0.97_f64.powi(50)).abs() < 1e-15);
    assert_eq!(Schedule::Step { factor: 0.5, every: 10 }.factor(29), 0.25);
    let cosine = Schedule::Cosine { epochs: 10, floor: 0.1 };
    assert_eq!((cosine.factor(0), cosine.factor(10), cosine.factor(99)), (1.0, 0.1, 0.1));
    assert!((cosine.factor(5) - 0.55).abs() < 1e-15);
}
