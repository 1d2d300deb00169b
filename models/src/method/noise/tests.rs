use super::*;
use crate::inference::{Batch, Inference};
use crate::init::{Init, draw};
use crate::layer::LayerSpec;
use crate::loss::Loss;
use crate::spike_train::SpikeTrains;

const STEPS: usize = 4;

/// Two inputs, two hidden neurons with every draw of their spikes possible, two classes.
fn tiny() -> Network<f64> {
    let hidden = LayerSpec::chip_grid(2);
    let readout = hidden.readout(2);
    let mut network = Network::new(STEPS, 2, vec![hidden, readout], &[true]).unwrap();
    for layer in 0..2 {
        draw(&mut network, layer, &Init::Normal { mean: 0.4, std: 0.5 }, None, 3).unwrap();
    }
    network
}

fn input() -> SpikeTrains {
    let mut trains = SpikeTrains::new(STEPS, 2);
    for step in 0..STEPS {
        if step < 2 {
            trains.push(step as u16);
        }
        trains.end_step();
    }
    trains
}

fn config() -> BpttConfig {
    BpttConfig {
        loss: Loss::SumOverTime { scale: 1.0 },
        regularisers: vec![],
        sigma_at_measured_spikes: true,
    }
}

/// Loss and probability of every one of the 2^(2·(STEPS − 1)) spike patterns that matter, from the equations alone. The
/// noise is weak at rest, but spikes of state 0 count as well: they are patterns, too.
fn expected_loss(network: &Network<f64>, beta: f64) -> f64 {
    let spec = &network.layers[0].spec;
    let (alpha, decay) = ((-spec.dt_us / 6.0_f64).exp(), (-spec.dt_us / 6.0_f64).exp());
    let recurrent = network.layers[0].recurrent.as_ref().unwrap();
    let trains = input();
    let mut sum = 0.0;
    for pattern in 0..1_u32 << (2 * STEPS) {
        let spikes = |t: usize, u: usize| f64::from(pattern >> (2 * t + u) & 1);
        let (mut probability, mut v, mut i) = (1.0, [0.0; 2], [0.0; 2]);
        let (mut o, mut j, mut logits) = ([0.0; 2], [0.0; 2], [0.0; 2]);
        for t in 0..STEPS {
            for u in 0..2 {
                let p = 1.0 / (1.0 + (-beta * (v[u] - 1.0)).exp());
                probability *= if spikes(t, u) > 0.0 { p } else { 1.0 - p };
                logits[u] += o[u];
            }
            for u in 0..2 {
                let x: f64 = trains
                    .at(0, t)
                    .iter()
                    .map(|id| network.layers[0].weights[[usize::from(*id), u]])
                    .sum();
                let own: f64 = (0..2).map(|k| recurrent[[k, u]] * spikes(t, k)).sum();
                i[u] = alpha * i[u] + x + own;
                let up: f64 =
                    (0..2).map(|k| network.layers[1].weights[[k, u]] * spikes(t, k)).sum();
                j[u] = alpha * j[u] + up;
                o[u] = decay * o[u] + j[u];
            }
            for u in 0..2 {
                v[u] = decay * v[u] + i[u] - spikes(t, u);
            }
        }
        let norm = (logits[0].exp() + logits[1].exp()).ln();
        sum += probability * (norm - logits[0]);
    }
    sum
}

fn sampled(network: &Network<f64>, draws: usize, key: u64) -> (f64, Gradients<f64>) {
    let noise = Noise { draws, beta: 4.0, ..Noise::default() };
    let mut method = NoisyBptt::new(network, config(), noise).unwrap();
    method.begin(network).unwrap();
    let inputs = input();
    let chunk = Chunk { inputs: &inputs, labels: &[0], first: 0, batch: 1, tie_break_key: key };
    let loss = method.accumulate(&chunk, None).unwrap().loss[0];
    (loss, method.finish().unwrap().clone())
}

#[test]
fn the_mean_loss_is_the_expectation_over_all_patterns() {
    let network = tiny();
    let wanted = expected_loss(&network, 4.0);
    let losses: Vec<f64> = (0..4).map(|key| sampled(&network, 1024, key).0).collect();
    let mean = losses.iter().sum::<f64>() / 4.0;
    let error = (losses.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / 12.0).sqrt();
    assert!((mean - wanted).abs() < 4.0 * error.max(1e-3), "{mean} ± {error}, expected {wanted}");
}

#[test]
fn the_sampled_gradient_points_along_that_of_the_expected_loss() {
    let network = tiny();
    let (_, gradients) = sampled(&network, 1024, 1);
    let (mut dot, mut own, mut true_) = (0.0, 0.0, 0.0);
    for layer in 0..2 {
        for (k, g) in gradients.layers[layer].weights.iter().enumerate() {
            let at = |by: f64| {
                let mut moved = network.clone();
                moved.layers[layer].weights.as_slice_mut().unwrap()[k] += by;
                expected_loss(&moved, 4.0)
            };
            let numeric = (at(1e-4) - at(-1e-4)) / 2e-4;
            dot += g * numeric;
            own += g * g;
            true_ += numeric * numeric;
        }
    }
    let cosine = dot / (own * true_).sqrt();
    assert!(cosine > 0.95, "cosine {cosine}");
}

#[test]
fn spikes_come_with_the_escape_probability() {
    // Without input the membrane stays at 0: every state is a draw with σ(−β).
    let mut network = tiny();
    network.layers.iter_mut().for_each(|l| l.weights.fill(0.0));
    network.layers[0].recurrent.as_mut().unwrap().fill(0.0);
    network.layers[0].spec.reset = crate::layer::Reset::None;
    Noise { beta: 2.0, ..Noise::default() }.disturb(&mut network);
    let mut silent = SpikeTrains::new(STEPS, 2);
    (0..5000 * STEPS).for_each(|_| silent.end_step());
    let mut inference = Inference::new(&network, config().loss).unwrap();
    let batch =
        Batch { inputs: &silent, labels: None, first: 0, tie_break_key: 5, observation: None };
    let spikes: u32 = inference.run(&batch).unwrap().spikes[0].iter().sum();
    let (draws, p) = (5000.0 * 2.0 * STEPS as f64, 1.0 / (1.0 + 2.0_f64.exp()));
    let deviation = (f64::from(spikes) - draws * p) / (draws * p * (1.0 - p)).sqrt();
    assert!(deviation.abs() < 4.0, "{deviation} standard deviations from {p}");
}

#[test]
fn the_same_key_draws_the_same_spikes_and_another_one_others() {
    let network = tiny();
    assert_eq!(sampled(&network, 3, 1), sampled(&network, 3, 1));
    assert_ne!(sampled(&network, 3, 1), sampled(&network, 3, 2));
}

#[test]
fn more_draws_have_less_variance() {
    let network = tiny();
    let variance = |draws| {
        let all: Vec<f64> =
            (0..64).map(|key| sampled(&network, draws, key).1.layers[0].weights[[0, 0]]).collect();
        let mean = all.iter().sum::<f64>() / 64.0;
        all.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / 63.0
    };
    let ratio = variance(1) / variance(16);
    // 16 in the limit; the ratio of two variances of 64 draws lies within a factor of 2.
    assert!((8.0..32.0).contains(&ratio), "{ratio}");
}

#[test]
fn the_expected_gradient_is_that_of_the_smooth_network() {
    let network = tiny();
    let noise = Noise { estimate: Estimate::Expected, beta: 4.0, draws: 1 };
    let mut method = NoisyBptt::new(&network, config(), noise).unwrap();
    let inputs = input();
    let chunk = Chunk { inputs: &inputs, labels: &[0], first: 0, batch: 1, tie_break_key: 1 };
    method.begin(&network).unwrap();
    method.accumulate(&chunk, None).unwrap();
    let mut smooth = network.clone();
    super::smooth::Annealing { from: 4.0, to: 4.0 }.soften(&mut smooth, 0, 1);
    let mut bptt = Bptt::new(&smooth, config()).unwrap();
    bptt.begin(&smooth).unwrap();
    bptt.accumulate(&chunk, None).unwrap();
    assert_eq!(method.finish().unwrap(), bptt.finish().unwrap());
}

#[test]
fn nonsense_is_refused_by_name() {
    let wrong = |noise: Noise| noise.check().unwrap_err().to_string();
    assert!(wrong(Noise { beta: -1.0, ..Noise::default() }).contains("noise.beta"));
    assert!(wrong(Noise { draws: 0, ..Noise::default() }).contains("noise.draws"));
    let mut network = tiny();
    network.layers[0].spec.forward = Forward::Sampled;
    let text = network.check().unwrap_err().to_string();
    assert!(text.contains("escape probability"), "{text}");
}
