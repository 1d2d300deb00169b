use super::*;

/// Responses of the three conventions to one spike: published peaks and sums.
#[test]
fn responses_of_the_three_conventions() {
    for (spec, peak, step, sum, squares) in [
        (LayerSpec::tutorial(1), 2.9032, 7, 57.971, 112.391),
        (LayerSpec::stork(1), 0.27628, 7, 5.5167, 1.01782),
        (LayerSpec::chip_grid(1), 1.70966, 3, 16.4267, 19.3627),
    ] {
        let psp = psp_sums(&spec, 0);
        let close = |got: f64, expected: f64| (got - expected).abs() < 3e-5 * expected;
        assert!(close(psp.peak, peak) && psp.peak_step == step, "{psp:?}");
        assert!(close(psp.sum, sum) && close(psp.sum_squares, squares), "{psp:?}");
    }
}

#[test]
fn numeric_sums_approach_the_closed_form() {
    // (1 − β)-scaled neuron in the limit of small steps: ε̄ = τ_syn, ε̂ = τ_syn²/(2(τ_syn + τ_mem)).
    let spec = LayerSpec { dt_us: 10.0, ..LayerSpec::stork(1) };
    let psp = psp_sums(&spec, 0);
    let (bar, hat) = (psp.sum * 10.0, psp.sum_squares * 10.0);
    assert!((bar - 10e3).abs() < 0.01 * 10e3, "{bar}");
    let expected = 10e3 * 10e3 / (2.0 * 30e3);
    assert!((hat - expected).abs() < 0.01 * expected, "{hat} against {expected}");
}

#[test]
fn fluctuation_driven_moments() {
    let spec = LayerSpec::stork(1);
    let target = Fluctuation { rate_hz: 5.0, mu_u: 0.0, xi: 1.0, feed_forward_share: 0.9 };
    let (mean, std) = fluctuation_driven(&spec, 0, &target, 20, 20, 1.0).unwrap();
    // ε̂ = 1.01782 · 2 ms, N ν ε̂ = 20 · 5 · .00203564 = .203564.
    assert_eq!(mean, 0.0);
    assert!((std - (1.0 / 0.203564_f64).sqrt()).abs() < 1e-4, "{std}");
    let off = Fluctuation { mu_u: 0.5, ..target };
    let (mean, _) = fluctuation_driven(&spec, 0, &off, 20, 20, 1.0).unwrap();
    assert!((mean - 0.5 / (20.0 * 5.0 * 5.5167 * 0.002)).abs() < 1e-4, "{mean}");
    assert!(
        fluctuation_driven(&spec, 0, &Fluctuation { rate_hz: 0.0, ..target }, 20, 20, 1.0).is_err()
    );
    let impossible = Fluctuation { mu_u: 0.999, xi: 10.0, ..target };
    assert!(fluctuation_driven(&spec, 0, &impossible, 20, 20, 1.0).is_err());
}

#[test]
fn a_driven_membrane_has_the_asked_for_spread() {
    // 400 Poisson inputs of 5 Hz without threshold: standard deviation of the membrane near 1.
    let spec = LayerSpec::stork(200).readout(200);
    let mut network = Network::<f64>::new(400, 400, vec![spec], &[]).unwrap();
    let target = Fluctuation { rate_hz: 5.0, mu_u: 0.0, xi: 1.0, feed_forward_share: 0.9 };
    draw(&mut network, 0, &Init::Fluctuation(target), None, 3).unwrap();
    let mut rng = random::stream(1, 9);
    let mut inputs = crate::spike_train::SpikeTrains::new(400, 400);
    for _ in 0..400 {
        (0..400).for_each(|id| {
            if random::uniform(&mut rng) < 0.01 {
                inputs.push(id);
            }
        });
        inputs.end_step();
    }
    let inference =
        crate::inference::Inference::new(&network, crate::loss::Loss::LastStep { scale: 1.0 })
            .unwrap();
    let batch = crate::inference::Batch {
        inputs: &inputs,
        labels: None,
        first: 0,
        tie_break_key: 0,
        observation: None,
    };
    let membrane = &inference.record(&batch, 0).unwrap()[0].membrane;
    let late = &membrane[100 * 200..];
    // Fluctuations in time: the mean of a unit, which differs from unit to unit, is not part of it.
    let variance = |unit: usize| {
        let trace: Vec<f64> = late.iter().skip(unit).step_by(200).copied().collect();
        let mean = trace.iter().sum::<f64>() / trace.len() as f64;
        trace.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / trace.len() as f64
    };
    let spread = ((0..200).map(variance).sum::<f64>() / 200.0).sqrt();
    assert!((spread - 1.0).abs() < 0.1, "{spread}");
}

/// An initialisation means the same weights on every machine and in five years.
#[test]
fn golden_weights() {
    let hidden = LayerSpec::chip_grid(246);
    let readout = hidden.readout(10);
    let mut network = Network::<f32>::new(20, 256, vec![hidden, readout], &[]).unwrap();
    let init = Init::FanIn { mean: 1e-3, gain: 0.7, one_minus_beta: true };
    for layer in 0..2 {
        draw(&mut network, layer, &init, None, 42).unwrap();
    }
    let bits: Vec<u32> =
        network.layers.iter().flat_map(|l| l.weights.iter().take(4)).map(|w| w.to_bits()).collect();
    insta::assert_debug_snapshot!(bits);
    let mean =
        network.layers[0].weights.iter().sum::<f32>() / network.layers[0].weights.len() as f32;
    assert!((mean - 1e-3).abs() < 3.0 * 0.0108 / 250.0, "{mean}");
}

#[test]
fn streams_of_layers_do_not_shift_each_other() {
    let weights = |inputs: usize| {
        let hidden = LayerSpec::chip_grid(5);
        let readout = hidden.readout(3);
        let mut network = Network::<f32>::new(2, inputs, vec![hidden, readout], &[true]).unwrap();
        for layer in 0..2 {
            draw(&mut network, layer, &Init::Normal { mean: 0.0, std: 1.0 }, None, 1).unwrap();
        }
        (network.layers[0].recurrent.clone(), network.layers[1].weights.clone())
    };
    assert_eq!(weights(4), weights(9));
}
