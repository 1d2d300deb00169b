use super::*;
use crate::init::{Init, draw};
use crate::spike_train::SpikeTrains;

fn network(steps: usize) -> Network<f64> {
    let specs =
        vec![integrate_and_fire(5), integrate_and_fire(4), integrate_and_fire(1).readout(3)];
    let mut network = Network::new(steps, 3, specs, &[]).unwrap();
    for layer in 0..3 {
        draw(&mut network, layer, &Init::Normal { mean: 0.15, std: 0.4 }, None, 4).unwrap();
    }
    network
}

/// Constant analog inputs of two samples.
fn inputs(steps: usize) -> SpikeTrains {
    let mut trains = SpikeTrains::new(steps, 3);
    for x in [[0.9, 0.1, 0.6], [0.2, 0.8, 0.5]] {
        for _ in 0..steps {
            (0..3).for_each(|k| trains.push_graded(k as u16, x[k]));
            trains.end_step();
        }
    }
    trains
}

fn gradient(network: &Network<f64>, forward: Rates, steps: usize) -> (f64, Gradients<f64>) {
    let mut method = RateBackprop::new(network, RateConfig { forward, scale: 2.0 }).unwrap();
    method.begin(network).unwrap();
    let inputs = inputs(steps);
    let chunk = Chunk { inputs: &inputs, labels: &[0, 2], first: 0, batch: 2, tie_break_key: 1 };
    let loss = method.accumulate(&chunk, None).unwrap().loss.iter().sum::<f64>() / 2.0;
    (loss, method.finish().unwrap().clone())
}

#[test]
fn the_analog_gradient_equals_central_differences() {
    let network = network(4);
    let (_, gradients) = gradient(&network, Rates::Analog, 4);
    for layer in 0..3 {
        for (k, g) in gradients.layers[layer].weights.iter().enumerate() {
            let at = |by: f64| {
                let mut moved = network.clone();
                moved.layers[layer].weights.as_slice_mut().unwrap()[k] += by;
                gradient(&moved, Rates::Analog, 4).0
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((numeric - g).abs() < 1e-9, "layer {layer} entry {k}: {g} against {numeric}");
        }
    }
}

#[test]
fn counted_spikes_approach_the_rectified_units() {
    // One unit short of its bound of 1 spike a step: the counts are within one spike of the drive.
    let mut network = network(400);
    network.layers.iter_mut().for_each(|l| l.weights.mapv_inplace(|w| 0.3 * w));
    let mut method = RateBackprop::new(&network, RateConfig::default()).unwrap();
    method.begin(&network).unwrap();
    let inputs = inputs(400);
    let chunk = Chunk { inputs: &inputs, labels: &[0, 2], first: 0, batch: 2, tie_break_key: 1 };
    method.forward(&chunk, 0);
    for (rate, drive) in method.rates[1].iter().zip(&method.drive[0]) {
        assert!(
            (rate - drive.max(0.0)).abs() <= 1.0 / 399.0 + 1e-9,
            "{rate} for a drive of {drive}"
        );
    }
    assert!(method.rates[1].iter().any(|r| *r > 0.05));
}

#[test]
fn silent_and_saturated_units_pass_nothing_on() {
    let mut network = network(20);
    network.layers[0].weights.column_mut(0).fill(-1.0);
    network.layers[0].weights.column_mut(1).fill(3.0);
    let (_, gradients) = gradient(&network, Rates::Spikes, 20);
    assert!(gradients.layers[0].weights.column(0).iter().all(|g| *g == 0.0));
    assert!(gradients.layers[0].weights.column(1).iter().all(|g| *g == 0.0));
    assert!(gradients.layers[0].weights.iter().any(|g| *g != 0.0));
}

#[test]
fn what_has_no_rates_is_refused() {
    let refused = |spec: LayerSpec, recurrent: bool| {
        let readout = integrate_and_fire(1).readout(3);
        let network = Network::<f64>::new(4, 3, vec![spec, readout], &[recurrent]).unwrap();
        RateBackprop::new(&network, RateConfig::default()).unwrap_err().to_string()
    };
    let plain = integrate_and_fire(2);
    assert!(refused(plain.clone(), true).contains("recurrent"));
    let reset = LayerSpec { reset: Reset::Multiplicative, ..plain.clone() };
    assert!(refused(reset, false).contains("reset"));
    assert!(refused(LayerSpec { threshold: 0.0.into(), ..plain }, false).contains("threshold"));
    assert!(refused(LayerSpec::chip_grid(2), false).contains("synaptic currents"));
}
