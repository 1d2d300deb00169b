//! Oracles: the solved times themselves, and the derivatives written out over plain sums.

use ndarray::Array2;

use super::super::tests::{KERNELS, membrane, small};
use super::super::{Batch, FirstSpike, FirstSpikeNetwork};
use super::*;
use crate::encode::SpikeTimes;

/// The solved times of these samples.
fn solved(network: &FirstSpikeNetwork, inputs: &SpikeTimes, samples: &[u32]) -> Measured {
    let mut times = vec![Vec::new(); network.depth()];
    for sample in samples {
        let found = network.spike_times(inputs, *sample).unwrap();
        times.iter_mut().zip(found).for_each(|(all, own)| all.extend(own));
    }
    Measured { times, delay: 0.0, least_slope: 0.0 }
}

/// Whatever the model solves and then measures gives the gradient that it has without measuring.
#[test]
fn the_models_own_times_give_the_same_bits() {
    for kernel in KERNELS {
        let (mut method, inputs) = small(kernel);
        let samples = [2, 0, 1];
        let batch = Batch { inputs: &inputs, samples: &samples, labels: &[0, 1, 1] };
        let measured = solved(method.network(), &inputs, &samples);
        let (own, said) = method.gradients(&batch).unwrap();
        let said = said.to_vec();
        let (injected, answers) = method.gradients_from(&batch, Some(&measured)).unwrap();
        assert_eq!(own, injected, "{kernel:?}");
        assert_eq!(said, answers);
        let answers = method.network().answers_from(method.config(), &batch, Some(&measured));
        assert_eq!(said, answers.unwrap());
        // Other times, another gradient: the assertion above can fail.
        let mut other = measured.clone();
        other.times[0][3] *= 1.0 + 1e-9;
        assert_ne!(own, method.gradients_from(&batch, Some(&other)).unwrap().0);
        let mut twin = FirstSpike::new(method.network().clone(), method.config().clone()).unwrap();
        method.learn(&batch).unwrap();
        twin.learn_from(&batch, Some(&measured)).unwrap();
        for layer in 0..2 {
            assert_eq!(method.network().weights(layer), twin.network().weights(layer));
        }
    }
}

/// Inputs of one layer with their rows, in no order: neurons with their delay, then pulses.
fn arrivals(
    network: &FirstSpikeNetwork,
    layer: usize,
    below: &[(f64, usize)],
) -> Vec<(f64, usize)> {
    let pre = network.weights(layer).nrows() - network.pulses(layer).len();
    let pulses = network.pulses(layer).iter().enumerate().map(|(k, t)| (*t, pre + k));
    below.iter().copied().chain(pulses).collect()
}

/// ∂t/∂w and ∂t/∂t_i of one spike at `at` by every input: κ over the slope, over plain sums.
fn slopes(
    network: &FirstSpikeNetwork,
    weights: &Array2<f64>,
    unit: usize,
    inputs: &[(f64, usize)],
    (at, least): (f64, f64),
) -> Vec<(f64, f64)> {
    let kernel = network.config().kernel;
    let sum: Vec<(f64, f64)> = inputs.iter().map(|(t, row)| (*t, weights[[*row, unit]])).collect();
    let least = least * network.config().threshold / kernel.time_constant();
    let slope = membrane(&kernel, &sum, at).1.max(least);
    let each = sum.iter().map(|&(t, w)| {
        if t >= at {
            return (0.0, 0.0);
        }
        let (v, rise) = membrane(&kernel, &[(t, 1.0)], at);
        (-v / slope, w * rise / slope)
    });
    each.collect()
}

/// Times that no solution has, a delay between the layers, a spike past the model's peak.
#[test]
fn other_times_give_the_formula_at_those_times() {
    for kernel in KERNELS {
        let (mut method, inputs) = small(kernel);
        let tau = kernel.time_constant();
        let mut measured = solved(method.network(), &inputs, &[0]);
        for (layer, times) in measured.times.iter_mut().enumerate() {
            for (k, t) in times.iter_mut().enumerate() {
                *t += tau * 0.03 * (k as f64 - 1.2) * (1.0 + layer as f64);
            }
        }
        measured.times[1][1] += 4.0 * tau;
        (measured.delay, measured.least_slope) = (0.02 * tau, 0.3);
        let (network, config) = (method.network().clone(), method.config().clone());
        let batch = Batch { inputs: &inputs, samples: &[0], labels: &[1] };
        let (got, _) = method.gradients_from(&batch, Some(&measured)).unwrap();

        let out = &measured.times[1];
        let mut delta = vec![0.0; 2];
        super::super::loss::loss(out, 1, &config, &mut delta);
        let [w0, w1] = [0, 1].map(|l| network.weights(l));
        let hidden: Vec<(f64, usize)> =
            measured.times[0].iter().enumerate().map(|(k, t)| (*t + measured.delay, k)).collect();
        let into = arrivals(&network, 1, &hidden);
        let (mut pulls, mut late) = (vec![0.0; 4], 0);
        for unit in 0..2 {
            let at = (out[unit], measured.least_slope);
            let all: Vec<(f64, f64)> = into.iter().map(|(t, row)| (*t, w1[[*row, unit]])).collect();
            late += usize::from(membrane(&kernel, &all, out[unit]).1 <= 0.0);
            for ((_, row), (by_w, by_t)) in into.iter().zip(slopes(&network, &w1, unit, &into, at))
            {
                let (exact, got) = (delta[unit] * by_w, got[1].weights[[*row, unit]]);
                assert!(
                    (got - exact).abs() < 1e-10 * exact.abs().max(1.0),
                    "{got} against {exact}"
                );
                if *row < 4 {
                    pulls[*row] += delta[unit] * by_t;
                }
            }
        }
        assert!(late > 0, "no spike past the peak: the bound of the slope is not tried");
        let (times, ids) = inputs.sample(0);
        let first: Vec<(f64, usize)> =
            times.iter().zip(ids).map(|(t, id)| (f64::from(*t), usize::from(*id))).collect();
        let into = arrivals(&network, 0, &first);
        for (unit, pull) in pulls.iter().enumerate() {
            let at = (measured.times[0][unit], measured.least_slope);
            for ((_, row), (by_w, _)) in into.iter().zip(slopes(&network, &w0, unit, &into, at)) {
                let (exact, got) = (pull * by_w, got[0].weights[[*row, unit]]);
                assert!(
                    (got - exact).abs() < 1e-10 * exact.abs().max(1.0),
                    "{got} against {exact}"
                );
            }
        }
    }
}

#[test]
fn spikes_without_a_cause_pass_nothing_on_and_are_not_silent() {
    let (mut method, inputs) = small(KERNELS[0]);
    let batch = Batch { inputs: &inputs, samples: &[0], labels: &[0] };
    let mut measured = solved(method.network(), &inputs, &[0]);
    measured.times[0][1] = 0.0;
    measured.times[0][2] = f64::INFINITY;
    let (got, answers) = method.gradients_from(&batch, Some(&measured)).unwrap();
    assert_eq!(answers[0].hidden_spikes, 3);
    assert!(got[0].weights.column(1).iter().all(|g| *g == 0.0));
    assert!(got[0].weights.column(2).iter().all(|g| *g == -1.0), "the penalty alone");
    assert_ne!(got[1].weights[[1, 0]], 0.0);
}

#[test]
fn weights_are_put_back_to_the_limit() {
    let (mut method, _) = small(KERNELS[0]);
    let before = method.network().weights(0);
    let mut sizes: Vec<f64> = before.iter().map(|w| w.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let limit = 0.5 * (sizes[9] + sizes[10]);
    assert_eq!(method.clamp(0, limit), sizes.len() - 10);
    assert_eq!(method.network().weights(0), before.mapv(|w| w.clamp(-limit, limit)));
}

#[test]
fn measurements_that_do_not_fit_are_refused() {
    let (mut method, inputs) = small(KERNELS[0]);
    let batch = Batch { inputs: &inputs, samples: &[0, 1], labels: &[0, 1] };
    let good = solved(method.network(), &inputs, &[0, 1]);
    let mut short = good.clone();
    short.times[1].pop();
    let mut none = good.clone();
    none.times[0][3] = f64::NAN;
    let early = Measured { delay: -1.0, ..good.clone() };
    for (wrong, part) in [(short, "of layer 1"), (none, "NaN"), (early, "delay is -1")] {
        let error = method.gradients_from(&batch, Some(&wrong)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    method.gradients_from(&batch, Some(&good)).unwrap();
}
