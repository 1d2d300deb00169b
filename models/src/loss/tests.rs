use super::*;
use crate::random::{counter_normal, mix};

const CLASSES: usize = 3;
const STRIDE: usize = 4;

/// Six states of three classes in rows of four.
fn membrane(states: usize) -> Vec<f64> {
    (0..states * STRIDE).map(|k| libm::sin(k as f64 * 1.7) * 0.8).collect()
}

fn evaluate(loss: Loss, o: &[f64], label: u16, adjoint: &mut [f64]) -> SampleLoss {
    let readout = Readout { membrane: o, stride: STRIDE, classes: CLASSES };
    adjoint.fill(f64::NAN);
    let result = loss.evaluate(readout, Some(label), 5, 0.5, adjoint, &mut LossScratch::default());
    for value in &mut adjoint[(result.last + 1) * STRIDE..] {
        *value = 0.0;
    }
    result
}

fn cross_entropies() -> [Loss; 4] {
    [
        Loss::max_over_time(10.0),
        Loss::SumOverTime { scale: 0.7 },
        Loss::LastStep { scale: 2.0 },
        Loss::EveryStep { scale: 1.3 },
    ]
}

fn focal(over: Over, gamma: f64) -> Loss {
    Loss::Focal { over, scale: 2.0, gamma, tie_noise: TIE_NOISE }
}

fn all() -> Vec<Loss> {
    let mut losses = cross_entropies().to_vec();
    losses.extend([Over::MaxOverTime, Over::SumOverTime, Over::LastStep].map(|o| focal(o, 2.0)));
    losses.extend([focal(Over::LastStep, 0.5), focal(Over::LastStep, 1.0)]);
    losses.push(Loss::MaxOverTime { scale: 3.0, tie_noise: 0.0, amplitude: 0.4 });
    losses.extend([Loss::MeanSquare { scale: 1.5 }, Loss::SmoothL1 { scale: 2.5 }]);
    losses
}

#[test]
fn adjoints_equal_central_differences() {
    let o = membrane(6);
    let (mut adjoint, mut unused) = (vec![0.0; o.len()], vec![0.0; o.len()]);
    let h = 1e-6;
    for loss in all() {
        for label in 0..CLASSES as u16 {
            evaluate(loss, &o, label, &mut adjoint);
            for (k, got) in adjoint.iter().enumerate().filter(|(k, _)| k % STRIDE < CLASSES) {
                let mut at = |by: f64| {
                    let mut moved = o.clone();
                    moved[k] += by;
                    evaluate(loss, &moved, label, &mut unused).value
                };
                let numeric = 0.5 * (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (numeric - got).abs() < 1e-8,
                    "{loss:?}, entry {k}: {got} against {numeric}"
                );
            }
        }
    }
}

#[test]
fn values_by_hand() {
    // Equal logits: ln 3. Two states, one class at 1 in the last: max and last see (0, 1, 0).
    let mut adjoint = vec![0.0; 2 * STRIDE];
    for loss in cross_entropies() {
        let result = evaluate(loss, &[0.0; 2 * STRIDE], 1, &mut adjoint);
        assert!((result.value - 3.0_f64.ln()).abs() < 1e-12, "{loss:?}");
    }
    let o = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let expected = (2.0 + 10.0_f64.exp()).ln() - 10.0;
    assert!(
        (evaluate(Loss::max_over_time(10.0), &o, 1, &mut adjoint).value - expected).abs() < 1e-12
    );
    let last = evaluate(Loss::LastStep { scale: 10.0 }, &o, 1, &mut adjoint);
    assert!((last.value - expected).abs() < 1e-12);
    assert_eq!(last.predicted, 1);
    // Maxima (0, 1, 0): the penalty adds 0.6 times the mean of their squares.
    let loud = Loss::MaxOverTime { scale: 10.0, tie_noise: 0.0, amplitude: 0.6 };
    assert!((evaluate(loud, &o, 1, &mut adjoint).value - expected - 0.2).abs() < 1e-12);
}

/// Outputs (0, 0.4, −2) for label 1: distances 0, −0.6, −2. Focal with γ = 0 is the cross-entropy,
/// and with γ = 2 it is that times (1 − p)².
#[test]
fn values_of_distances_and_focal_losses_by_hand() {
    let mut adjoint = vec![0.0; 2 * STRIDE];
    let o = [9.0, 9.0, 9.0, 0.0, 0.0, 0.4, -2.0, 0.0];
    let mut value = |loss: Loss| evaluate(loss, &o, 1, &mut adjoint).value;
    let square = value(Loss::MeanSquare { scale: 1.0 });
    assert!((square - (0.18 + 2.0) / 3.0).abs() < 1e-12, "{square}");
    let smooth = value(Loss::SmoothL1 { scale: 1.0 });
    assert!((smooth - (0.18 + 1.5) / 3.0).abs() < 1e-12, "{smooth}");
    let plain = value(Loss::LastStep { scale: 2.0 });
    assert_eq!(value(focal(Over::LastStep, 0.0)), plain);
    let p = (-plain).exp();
    let expected = (1.0 - p) * (1.0 - p) * plain;
    assert!((value(focal(Over::LastStep, 2.0)) - expected).abs() < 1e-12);
}

/// A sample that is right beyond rounding has no focal loss and no slope, for every γ.
#[test]
fn focal_losses_of_certain_samples_are_zero() {
    let mut adjoint = vec![0.0; STRIDE];
    for gamma in [0.5, 1.0, 2.0] {
        let result =
            evaluate(focal(Over::LastStep, gamma), &[0.0, 900.0, 0.0, 0.0], 1, &mut adjoint);
        assert_eq!(result.value, 0.0);
        assert!(adjoint[..CLASSES].iter().all(|a| *a == 0.0), "{adjoint:?}");
    }
}

#[test]
fn parameters_are_checked_and_read() {
    let wrong = |loss: Loss| loss.check().unwrap_err().to_string();
    assert!(wrong(focal(Over::LastStep, -1.0)).contains("loss.gamma"));
    assert!(wrong(Loss::SmoothL1 { scale: 0.0 }).contains("loss.scale"));
    let noisy = Loss::MaxOverTime { scale: 1.0, tie_noise: f64::NAN, amplitude: 0.0 };
    assert!(wrong(noisy).contains("loss.tie_noise"));
    let negative = Loss::MaxOverTime { scale: 1.0, tie_noise: 0.0, amplitude: -1.0 };
    assert!(wrong(negative).contains("loss.amplitude"));
    assert!(all().into_iter().all(|loss| loss.check().is_ok()));
}

#[test]
fn maximum_over_one_state_is_the_last_step() {
    let o = membrane(1);
    let (mut a, mut b) = (vec![0.0; STRIDE], vec![0.0; STRIDE]);
    let first = evaluate(Loss::max_over_time(3.0), &o, 2, &mut a);
    let second = evaluate(Loss::LastStep { scale: 3.0 }, &o, 2, &mut b);
    assert_eq!(first, second);
    assert_eq!(a[..CLASSES], b[..CLASSES]);
}

/// The maximum of a silent readout is spread over all states, and depends on the key alone.
#[test]
fn ties_are_broken_by_the_key() {
    let o = vec![0.0_f64; 50 * STRIDE];
    let readout = Readout { membrane: &o, stride: STRIDE, classes: CLASSES };
    let mut scratch = MaximumScratch::default();
    let mut seen = std::collections::BTreeSet::new();
    for key in 0..2000 {
        latest_maxima(&readout, key, TIE_NOISE, &mut scratch);
        let again = scratch.steps.clone();
        latest_maxima(&readout, key, TIE_NOISE, &mut scratch);
        assert_eq!(again, scratch.steps);
        seen.extend(again);
    }
    assert_eq!(seen.len(), 50, "every state wins sometimes");
    latest_maxima(&readout, 1, 0.0, &mut scratch);
    assert_eq!(scratch.steps, [0; CLASSES]);
}

/// Drawing the noise only for near maxima gives what drawing it for all states gives.
#[test]
fn lazy_noise_equals_noise_everywhere() {
    let mut scratch = MaximumScratch::default();
    for seed in 0..50_u64 {
        let o: Vec<f64> =
            (0..40 * STRIDE as u64).map(|k| counter_normal(mix(seed, k)) * 1e-5).collect();
        let readout = Readout { membrane: &o, stride: STRIDE, classes: CLASSES };
        latest_maxima(&readout, seed, TIE_NOISE, &mut scratch);
        for (k, step) in scratch.steps.iter().enumerate() {
            let noisy = |t: usize| {
                o[t * STRIDE + k] + TIE_NOISE * counter_normal(mix(mix(seed, t as u64), k as u64))
            };
            let dense = (0..40).max_by(|a, b| noisy(*a).total_cmp(&noisy(*b))).unwrap();
            assert_eq!(*step, dense);
        }
    }
}

#[test]
fn without_a_label_there_is_a_prediction_only() {
    let o = [0.0, 0.0, 2.0, 9.0];
    let readout = Readout { membrane: &o[..], stride: STRIDE, classes: CLASSES };
    let result = Loss::LastStep { scale: 1.0 }.evaluate(
        readout,
        None,
        0,
        1.0,
        &mut [0.0; 4],
        &mut LossScratch::default(),
    );
    assert_eq!(result.predicted, 2);
    assert!(result.value.is_nan());
}
