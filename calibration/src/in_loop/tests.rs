#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::target::{LayerTarget, Site, SpikeTiming};
use crate::{Baseline, Grid, Spread, Translation, TranslationOptions};
use spikeloop_hal::emulator::{Emulator, Profile, TrueValues};
use spikeloop_hal::{Chip, Runner};
use spikeloop_models::init::psp_sums;
use spikeloop_models::layer::LayerSpec;

const UNITS: usize = 60;
const INPUTS: usize = 20;
const STEPS: usize = 40;

/// A generator of its own, good enough for inputs.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn inputs(samples: usize, draw: &mut Draw) -> SpikeTrains {
    let mut out = SpikeTrains::new(STEPS, INPUTS);
    for _ in 0..samples * STEPS {
        for unit in 0..INPUTS {
            if draw.next() < 0.04 {
                out.push(unit as u16);
            }
        }
        out.end_step();
    }
    out
}

fn network(draw: &mut Draw) -> Network<f32> {
    let spec = LayerSpec { dt_us: 1.0, ..LayerSpec::chip_grid(UNITS) };
    let readout = spec.readout(2);
    let mut network = Network::new(STEPS, INPUTS, vec![spec, readout], &[]).unwrap();
    network.layers[0].weights.mapv_inplace(|_| (0.02 + 0.22 * (draw.next() - 0.35)) as f32);
    network
}

/// Runs random inputs on an uncalibrated chip and estimates; returns estimates and truth.
fn learn(membranes: bool, batches: usize) -> (Vec<Parameters>, Vec<TrueValues>) {
    let profile = Profile::preset("bss2-chip66-uncal").unwrap();
    let emulator = Emulator::new(profile, 3, 1, 1).unwrap();
    let mut draw = Draw(7);
    let network = network(&mut draw);
    let spec = &network.layers[0].spec;
    let (tau_mem_us, tau_syn_us) = (6.0, 6.0);
    let target = LayerTarget {
        units: UNITS,
        tau_mem_us,
        tau_syn_us,
        spiking: true,
        recurrent: false,
        psp_peak: psp_sums(spec, 0).peak,
        site: Site::Chip,
    };
    let readout = LayerTarget { units: 2, spiking: false, site: Site::Host, ..target.clone() };
    let options = TranslationOptions {
        spread: Spread::Even,
        membranes,
        baseline: Baseline::RunMean,
        timing: SpikeTiming::NewCurrent,
        window: None,
    };
    let grid = Grid { dt_us: 1.0, steps: STEPS };
    let caps = emulator.capabilities().clone();
    let mut translation =
        Translation::new(&caps, grid, INPUTS, &[target, readout], options).unwrap();
    let mut config = translation.configuration();
    let weights = network.layers[0].weights.as_slice().unwrap();
    translation.write_weights(0, weights, None, &mut config).unwrap();
    let truth = emulator.true_values(&config).unwrap();
    let mut runner = Runner::new(Box::new(emulator));
    runner.chip_mut().configure(&config).unwrap();
    let mut estimator = Estimator::new(&network, |l| l == 0, Options::default());
    let mut observation = Observation::default();
    for batch in 0..batches {
        let inputs = inputs(16, &mut draw);
        let mut stimuli = runner.stimuli();
        translation.stimuli(&inputs, 0..16, 16 * batch as u64, &mut stimuli);
        runner.submit(stimuli).unwrap();
        let seen = runner.collect().unwrap().unwrap();
        translation.observe(&seen, &mut observation).unwrap();
        runner.recycle(seen);
        estimator.update(&inputs, &observation, &network);
    }
    let truth = translation.placement().layer(0).iter().map(|id| truth[usize::from(*id)]).collect();
    (estimator.layer(0).unwrap(), truth)
}

fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
    let (a, b) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |f: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|p| f(p.0 - a, p.1 - b)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

fn theta(v: &TrueValues) -> f64 {
    (v.threshold_lsb - v.rest_lsb) / 70.0
}

fn gain(v: &TrueValues) -> f64 {
    0.5 * (v.gain_exc + v.gain_inh) / 0.22592
}

fn pairs(
    estimates: &[Parameters],
    truth: &[TrueValues],
    estimate: impl Fn(&Parameters) -> f64,
    value: impl Fn(&TrueValues) -> f64,
) -> Vec<(f64, f64)> {
    estimates.iter().zip(truth).map(|(e, v)| (estimate(e), value(v))).collect()
}

#[test]
fn membranes_show_every_parameter() {
    let (estimates, truth) = learn(true, 60);
    let of = |e: fn(&Parameters) -> f64, v: fn(&TrueValues) -> f64| {
        correlation(&pairs(&estimates, &truth, e, v))
    };
    let found = [
        of(|e| e.gain.value, gain),
        of(|e| e.tau_mem_us.value, |v| v.tau_mem_us),
        of(|e| e.tau_syn_us.value, |v| 0.5 * (v.tau_syn_exc_us + v.tau_syn_inh_us)),
        of(|e| e.threshold.value, theta),
    ];
    eprintln!("membranes: gain, tau_mem, tau_syn, threshold: {found:.3?}");
    assert!(found.iter().all(|r| *r > 0.5), "{found:?}");
    assert!(found[0] > 0.9 && found[3] > 0.9, "{found:?}");
}

#[test]
fn spikes_alone_show_how_easily_a_neuron_fires() {
    let (estimates, truth) = learn(false, 60);
    let all = pairs(&estimates, &truth, |e| e.gain.value.ln(), |v| (gain(v) / theta(v)).ln());
    let found = correlation(&all);
    let left = |of: fn(&(f64, f64)) -> f64| {
        (all.iter().map(|p| of(p).powi(2)).sum::<f64>() / all.len() as f64).sqrt()
    };
    let (before, after) = (left(|p| p.1), left(|p| p.0 - p.1));
    eprintln!("spikes: correlation {found:.3}, deviation {before:.3} -> {after:.3}");
    assert!(found > 0.9, "{found}");
    assert!(after < 0.5 * before, "{before} {after}");
    // The threshold is the unit.
    assert!(estimates.iter().all(|e| e.threshold.value == 1.0));
}

#[test]
fn what_is_never_seen_stays_at_the_prior() {
    let mut draw = Draw(1);
    let network = network(&mut draw);
    let mut estimator = Estimator::new(&network, |_| true, Options::default());
    let quiet = |units: usize| {
        let mut out = SpikeTrains::new(STEPS, units);
        (0..STEPS).for_each(|_| out.end_step());
        out
    };
    let observation = Observation {
        layers: vec![
            LayerObservation { spikes: Some(quiet(UNITS)), membrane: None },
            LayerObservation::default(),
        ],
    };
    for _ in 0..50 {
        estimator.update(&quiet(INPUTS), &observation, &network);
    }
    for unit in estimator.layer(0).unwrap() {
        assert!((unit.gain.value - 1.0).abs() < 1e-9 && unit.gain.sigma > 0.3, "{unit:?}");
    }
    let mut spec = network.layers[0].spec.clone();
    let nominal = spec.clone();
    estimator.write_into(0, &mut spec);
    assert!((spec.scale(5) - nominal.scale(5)).abs() < 1e-12);
    // The readout is not estimated.
    assert!(estimator.layer(1).is_none());
    // Stored and read, it goes on with the same bits.
    let text = serde_json::to_string(&estimator).unwrap();
    let read: Estimator = serde_json::from_str(&text).unwrap();
    assert_eq!(read.layer(0), estimator.layer(0));
}
