#![allow(clippy::unwrap_used, reason = "tests")]

extern crate std;
use super::super::tests::{draw, filter};
use super::super::*;
use std::vec;
use std::vec::Vec;

/// Four lines, the last of which spikes in every tick and drives both layers.
const INPUTS: usize = 4;
const HIDDEN: usize = 3;
const OUTPUTS: usize = 2;
const UNITS: usize = HIDDEN + OUTPUTS;
const CLASSES: usize = 3;
const DURATION: usize = 120;
const DECAY: u16 = 52_429;
const FOLLOW: u16 = 6_554;

/// Readouts `[class, hidden, outputs, two biases]`, some with errors that are clamped.
fn readouts(state: &mut u64) -> Vec<i16> {
    (0..CLASSES * (UNITS + 2)).map(|_| draw(state, 6000) as i16 - 3000).collect()
}

fn rule() -> PlasticityRule<'static> {
    PlasticityRule {
        kind: RuleKind::LocalReadouts,
        inputs: INPUTS as u16,
        shared: 1,
        hidden_first: 3,
        hidden: HIDDEN as u16,
        output_first: 10,
        outputs: OUTPUTS as u16,
        classes: CLASSES as u16,
        decay: DECAY,
        follow: FOLLOW,
        keep: 60_000,
        rate: 256,
        slope: 37,
        threshold: 150,
        delay: 2,
        weight_limit: 127,
        ..PlasticityRule::default()
    }
}

struct Case {
    inputs: Vec<SpikeEvent>,
    spikes: Vec<SpikeEvent>,
    samples: Vec<u16>,
    readouts: Vec<i16>,
}

fn neuron(unit: usize) -> u16 {
    if unit < HIDDEN { 3 + unit as u16 } else { 10 + (unit - HIDDEN) as u16 }
}

fn case(seed: u64) -> Case {
    let mut state = seed;
    let (mut inputs, mut spikes) = (vec![], vec![]);
    for tick in 0..DURATION as u32 {
        for line in 0..INPUTS - 1 {
            if draw(&mut state, 10) < 2 {
                inputs.push(SpikeEvent::new(tick, line as u16));
            }
        }
        inputs.push(SpikeEvent::new(tick, INPUTS as u16 - 1));
        for unit in 0..UNITS {
            if draw(&mut state, 10) < 2 {
                spikes.push(SpikeEvent::new(tick, neuron(unit)));
            }
        }
        // A neuron that is none of the rule's.
        spikes.push(SpikeEvent::new(tick, 7));
    }
    let samples = (0..DURATION * UNITS).map(|_| 80 + draw(&mut state, 70) as u16).collect();
    Case { inputs, spikes, samples, readouts: readouts(&mut state) }
}

/// Class 2 from tick 30 on, class 0 from tick 90 on.
const TAUGHT: [SpikeEvent; 2] = [SpikeEvent { tick: 30, id: 2 }, SpikeEvent { tick: 90, id: 0 }];

/// Sums after a trial, in the order of the sources and units.
fn learned(case: &Case, events: &[SpikeEvent], slope: u16) -> Vec<f64> {
    let rule = Rule::new(&PlasticityRule { slope, ..rule() });
    assert_eq!(rule.feedback(), case.readouts.len());
    let mut sources = vec![Source::default(); rule.sources()];
    let mut units = vec![Unit::default(); rule.units()];
    let mut synapses = vec![Synapse::default(); rule.synapses()];
    let mut learner = Learner {
        rule,
        sources: &mut sources,
        units: &mut units,
        synapses: &mut synapses,
        feedback: &case.readouts,
    };
    learner.trial(&Record {
        duration: DURATION as u32,
        inputs: &case.inputs,
        spikes: &case.spikes,
        samples: &case.samples,
        events,
    });
    let one = f64::from(1 << (2 * State::FRAC_NBITS - SUM_SHIFT));
    synapses.iter().map(|synapse| synapse.sum as f64 / one).collect()
}

/// The rule in floating point, one synapse at a time, from the equations.
fn expected(case: &Case, slope: f64) -> Vec<f64> {
    let train = |list: &[SpikeEvent], id: u16, delay: usize| {
        let mut train = vec![0.0; DURATION + delay];
        for event in list.iter().filter(|event| event.id == id) {
            train[event.tick as usize + delay] = 1.0;
        }
        train.truncate(DURATION);
        train
    };
    let g =
        |class: usize, place: usize| f64::from(case.readouts[class * (UNITS + 2) + place]) / 4096.0;
    let own: Vec<Vec<f64>> = (0..UNITS).map(|i| train(&case.spikes, neuron(i), 0)).collect();
    let delta = |unit: usize, t: usize| {
        let (layer, bias) =
            if unit < HIDDEN { (0..HIDDEN, UNITS) } else { (HIDDEN..UNITS, UNITS + 1) };
        let right = match t {
            0..30 => return 0.0,
            30..90 => 2,
            _ => 0,
        };
        let mut sum = 0.0;
        for class in 0..CLASSES {
            let output: f64 = layer.clone().map(|i| g(class, i) * own[i][t]).sum();
            let target = if class == right { 1.0 } else { 0.0 };
            sum += g(class, unit) * (output + g(class, bias) - target).clamp(-1.0, 1.0);
        }
        let code = f64::from(case.samples[(t + 1) * UNITS + unit]);
        let away = if own[unit][t] > 0.0 { 0.0 } else { (code - 150.0).abs() };
        sum / (1.0 + slope * away).powi(2)
    };
    let mut sums = vec![];
    let mut row = |trace: Vec<f64>, units: core::ops::Range<usize>| {
        let trace = filter(&trace, f64::from(DECAY) / 65536.0, f64::from(FOLLOW) / 65536.0);
        for unit in units {
            sums.push((0..DURATION - 1).map(|t| -delta(unit, t) * trace[t]).sum());
        }
    };
    for line in 0..INPUTS {
        let end = if line == INPUTS - 1 { UNITS } else { HIDDEN };
        row(train(&case.inputs, line as u16, 0), 0..end);
    }
    for hidden in 0..HIDDEN {
        row(train(&case.spikes, neuron(hidden), 2), HIDDEN..UNITS);
    }
    sums
}

#[test]
fn sums_are_those_of_the_rule_in_floating_point() {
    for seed in 1..4 {
        let case = case(seed);
        let expected = expected(&case, 37.0 / 256.0);
        let got = learned(&case, &TAUGHT, 37);
        assert_eq!(got.len(), expected.len());
        let largest = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        for (got, sum) in got.iter().zip(&expected) {
            assert!((got - sum).abs() < 5e-4 * largest, "{got} against {sum}, largest {largest}");
        }
        assert!(largest > 1.0, "{largest}");
    }
}

#[test]
fn nothing_is_learned_before_a_class_is_named() {
    let case = case(5);
    assert!(learned(&case, &[], 37).iter().all(|sum| *sum == 0.0));
    let late = [SpikeEvent::new(DURATION as u32 - 1, 0)];
    assert!(learned(&case, &late, 37).iter().all(|sum| *sum == 0.0));
}

#[test]
fn the_largest_readouts_do_not_overflow() {
    let mut case = case(6);
    for extreme in [i16::MIN, i16::MAX] {
        case.readouts.fill(extreme);
        // The surrogate is 1 everywhere.
        let sums = learned(&case, &TAUGHT, 0);
        // Outputs are beyond their targets, errors −1 or 1 as the weights: Σ G ε is three times 8.
        assert!(sums.iter().all(|sum| *sum < 0.0));
        let trace: f64 = {
            let always = vec![1.0; DURATION];
            let (d, k) = (f64::from(DECAY) / 65536.0, f64::from(FOLLOW) / 65536.0);
            filter(&always, d, k)[30..DURATION - 1].iter().sum()
        };
        let bias_of_hidden = sums[(INPUTS - 1) * HIDDEN];
        let exact = -24.0 * trace;
        assert!((bias_of_hidden / exact - 1.0).abs() < 1e-3, "{bias_of_hidden} against {exact}");
    }
}
