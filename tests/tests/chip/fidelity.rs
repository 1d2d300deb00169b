//! The emulator against the models: two programs that share no code and must agree where their assumptions do.
//!
//! The chip is continuous in time, the model is not. On a fine grid, without mismatch, noise or limits, with a
//! refractory time of the 1.5 steps for which the model's reset holds the membrane on average, both must fire
//! at the same time. What is left is the model's reset, which takes place on its grid: each one shifts what
//! follows by up to half a step, so that the time of the tenth spike of a burst says nothing about the chip. The
//! input here drives a neuron through one to four spikes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::type_complexity,
    reason = "helpers of tests"
)]

use spikeloop::experiment::{Observe, layer_targets};
use spikeloop_calibration::{Grid, SpikeTiming, Spread, Translation, TranslationOptions};
use spikeloop_hal::emulator::{Emulator, Profile};
use spikeloop_hal::{Chip, Observables};
use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::layer::{LayerSpec, Reset};
use spikeloop_models::loss::Loss;
use spikeloop_models::network::Network;
use spikeloop_models::observation::Observation;
use spikeloop_models::random;
use spikeloop_models::spike_train::SpikeTrains;

const INPUTS: usize = 30;
const UNITS: usize = 40;
const SAMPLES: usize = 60;

/// Uniform in `0 .. below`, a pure function of its place.
fn draw(stream: u64, index: u64, below: f64) -> f64 {
    (random::mix(stream, index) >> 11) as f64 / (1_u64 << 53) as f64 * below
}

struct Setup {
    dt_us: f64,
    steps: usize,
    /// Factor on the chip's membrane time constant: what a wrong translation would do.
    detune: f64,
    membranes: bool,
}

/// A network with random weights that are whole codes, and random input: each line fires twice.
fn network(setup: &Setup) -> (Network<f32>, SpikeTrains) {
    let hidden = LayerSpec {
        dt_us: setup.dt_us,
        reset: Reset::Multiplicative,
        ..LayerSpec::chip_grid(UNITS)
    };
    let readout = hidden.readout(5);
    let mut network = Network::new(setup.steps, INPUTS, vec![hidden, readout], &[]).unwrap();
    let mut inputs = SpikeTrains::new(setup.steps, INPUTS);
    let duration = 0.9 * setup.steps as f64 * setup.dt_us;
    for sample in 0..SAMPLES as u64 {
        let mut rows = vec![Vec::new(); setup.steps];
        for line in 0..2 * INPUTS as u64 {
            let time = draw(1, sample * 1000 + line, duration);
            let row: &mut Vec<u16> = &mut rows[(time / setup.dt_us) as usize];
            let id = (line / 2) as u16;
            if !row.contains(&id) {
                row.push(id);
            }
        }
        for row in &mut rows {
            row.sort_unstable();
            row.iter().for_each(|id| inputs.push(*id));
            inputs.end_step();
        }
    }
    for (layer, spread) in [(0, 1.0), (1, 0.5)] {
        let peak = 0.06 / psp_peak(&network, layer);
        for (k, w) in network.layers[layer].weights.iter_mut().enumerate() {
            *w = ((draw(2 + layer as u64, k as u64, 2.0) - 0.5) * peak * spread) as f32;
        }
    }
    (network, inputs)
}

fn psp_peak(network: &Network<f32>, layer: usize) -> f64 {
    spikeloop_models::init::psp_sums(&network.layers[layer].spec, 0).peak
}

/// A chip with nothing wrong.
fn ideal(setup: &Setup) -> Emulator {
    let mut profile = Profile::preset("pnas-decal").unwrap().ideal();
    profile.nominal.refractory_us = 1.5 * setup.dt_us;
    profile.nominal.refractory_step_us = 0.0;
    profile.codes.refractory = None;
    profile.time.stamp_ticks = 1;
    profile.time.tick_ns = 4;
    profile.nominal.tau_mem_us *= setup.detune;
    Emulator::new(profile, 1, 1, 1).unwrap()
}

/// Runs both; the model with the weights that the codes stand for.
fn both(setup: &Setup) -> (Observation<f32>, Vec<Vec<Vec<f32>>>, Vec<SpikeTrains>, f32) {
    let (mut network, inputs) = network(setup);
    let mut chip = ideal(setup);
    let observe = if setup.membranes { Observe::Membranes } else { Observe::Spikes };
    let mut targets = layer_targets(&network, observe);
    for target in &mut targets {
        target.tau_mem_us *= setup.detune;
    }
    let options = TranslationOptions {
        spread: Spread::Even,
        membranes: setup.membranes,
        baseline: Default::default(),
        timing: SpikeTiming::NewCurrent,
        window: None,
    };
    let grid = Grid { dt_us: setup.dt_us as f32, steps: setup.steps };
    let caps = chip.capabilities().clone();
    let mut translation = Translation::new(&caps, grid, INPUTS, &targets, options).unwrap();
    let mut config = translation.configuration();
    for (l, layer) in network.layers.iter_mut().enumerate() {
        let weights: Vec<f32> = layer.weights.iter().copied().collect();
        let report = translation.write_weights(l, &weights, None, &mut config).unwrap();
        assert_eq!(report.clipped, 0);
        if translation.on_chip(l) {
            layer.weights.mapv_inplace(|w| translation.quantised(l, w));
        }
    }
    chip.configure(&config).unwrap();
    let mut stimuli = Vec::new();
    translation.stimuli(&inputs, 0..SAMPLES, 0, &mut stimuli);
    let mut observables = Observables::default();
    let ticket = chip.submit(&stimuli).unwrap();
    chip.collect(ticket, &mut observables).unwrap();
    let mut observation = Observation::default();
    translation.observe(&observables, &mut observation).unwrap();
    let inference = Inference::new(&network, Loss::max_over_time(1.0)).unwrap();
    let batch =
        Batch { inputs: &inputs, labels: None, first: 0, tie_break_key: 0, observation: None };
    let mut membranes = Vec::new();
    let mut spikes = Vec::new();
    for sample in 0..SAMPLES {
        let layers = inference.record(&batch, sample).unwrap();
        spikes.push(layers[0].spikes.clone());
        membranes.push(layers.into_iter().map(|l| l.membrane).collect());
    }
    let value = |p| caps.parameter(p).map(|s| s.value(s.code_default)).unwrap();
    use spikeloop_hal::Parameter::{LeakPotential, Threshold};
    (observation, membranes, spikes, value(Threshold) - value(LeakPotential))
}

/// States in which `unit` fires.
fn times(trains: &SpikeTrains, sample: usize, unit: u16) -> Vec<i64> {
    (0..trains.steps())
        .filter(|t| trains.at(sample, *t).contains(&unit))
        .map(|t| t as i64)
        .collect()
}

/// Spikes of both sides, and those of them that have a partner at most one state away. Partners are in order
/// and unique.
fn agreement(setup: &Setup) -> (usize, usize) {
    let (observation, _, modelled, _) = both(setup);
    let measured = observation.layers[0].spikes.as_ref().unwrap();
    let (mut total, mut agreed) = (0, 0);
    for (sample, modelled) in modelled.iter().enumerate() {
        for unit in 0..UNITS as u16 {
            let chip = times(measured, sample, unit);
            let model = times(modelled, 0, unit);
            total += chip.len() + model.len();
            let mut rest = model.as_slice();
            for at in chip {
                while rest.first().is_some_and(|m| *m < at - 1) {
                    rest = &rest[1..];
                }
                if rest.first().is_some_and(|m| *m <= at + 1) {
                    rest = &rest[1..];
                    agreed += 2;
                }
            }
        }
    }
    (total, agreed)
}

const FINE: Setup = Setup { dt_us: 0.04, steps: 500, detune: 1.0, membranes: false };

/// Measured: 7888 of 7925 spikes, 99.53 %. Every first spike agrees.
#[test]
fn spikes_agree_within_a_step() {
    let (total, agreed) = agreement(&FINE);
    let share = agreed as f64 / total as f64;
    println!("{agreed} of {total} spikes agree: {share:.4}");
    assert!(total > 1000, "only {total} spikes");
    assert!(share >= 0.99, "{agreed} of {total} spikes agree: {share:.4}");
}

/// The same comparison sees a membrane time constant that is wrong by 2 %. Measured: 86.9 %.
#[test]
fn two_percent_of_a_time_constant_show() {
    let (total, agreed) = agreement(&Setup { detune: 1.02, ..FINE });
    let share = agreed as f64 / total as f64;
    println!("{agreed} of {total} spikes agree: {share:.4}");
    assert!(share < 0.95, "{agreed} of {total} spikes agree: {share:.4}");
}

/// On the grid of training, until a neuron fires, the converter's samples are the model's membranes. Measured: at
/// most 1.06 steps apart, two roundings and the 0.8 % by which the peak between two states is higher than at
/// either of them.
#[test]
fn membranes_agree_within_a_step_of_the_converter() {
    let setup = Setup { dt_us: 1.7, steps: 20, detune: 1.0, membranes: true };
    let (observation, membranes, spikes, theta) = both(&setup);
    let measured = observation.layers[1].membrane.as_ref().unwrap();
    let hidden = observation.layers[0].membrane.as_ref().unwrap();
    let fired = observation.layers[0].spikes.as_ref().unwrap();
    let (mut worst, mut compared) = (0.0_f32, 0);
    for sample in 0..SAMPLES {
        for unit in 0..UNITS {
            let own = times(fired, sample, unit as u16);
            let model = times(&spikes[sample], 0, unit as u16);
            let until = own.iter().chain(&model).min().copied().unwrap_or(20) as usize;
            for t in 0..until {
                let chip = hidden[(sample * 20 + t) * UNITS + unit];
                let model = membranes[sample][0][t * UNITS + unit];
                // The lower rail of the converter is at -80 / 70 of the threshold.
                if model < -1.1 {
                    continue;
                }
                worst = worst.max((chip - model).abs() * theta);
                compared += 1;
            }
        }
    }
    println!(
        "{compared} membranes before the first spike: worst {worst:.3} LSB; {} readouts",
        measured.len()
    );
    assert!(compared > 5000);
    assert!(worst <= 1.5, "worst difference {worst} steps of the converter");
}
