#![allow(clippy::unwrap_used, reason = "tests")]

extern crate std;
use super::super::tests::draw;
use super::super::*;
use super::logistic;
use spikeloop_hal::wire::PlasticityRule;
use std::vec;
use std::vec::Vec;

const INPUTS: usize = 5;
const OUTPUTS: usize = 3;
const DURATION: usize = 150;
const DECAY: u16 = 40_000;
const FOLLOW: u16 = 8_192;
/// 1/δv of three converter steps.
const SLOPE: u16 = 85;

fn rule(slope: u16, own: bool) -> Rule {
    Rule::new(&PlasticityRule {
        kind: RuleKind::TargetSpikes,
        own,
        inputs: INPUTS as u16,
        output_first: 2,
        outputs: OUTPUTS as u16,
        decay: DECAY,
        follow: FOLLOW,
        keep: 60_000,
        rate: 256,
        slope,
        threshold: 150,
        delay: 1,
        weight_limit: 127,
        ..PlasticityRule::default()
    })
}

struct Case {
    inputs: Vec<SpikeEvent>,
    spikes: Vec<SpikeEvent>,
    samples: Vec<u16>,
    targets: Vec<SpikeEvent>,
}

fn case(seed: u64) -> Case {
    let mut state = seed;
    let mut events = |first: u16, ids: usize| {
        let mut list = vec![];
        for tick in 0..DURATION as u32 {
            for id in 0..ids as u16 {
                if draw(&mut state, 10) == 0 {
                    list.push(SpikeEvent::new(tick, first + id));
                }
            }
        }
        list
    };
    let (inputs, spikes) = (events(0, INPUTS), events(2, OUTPUTS));
    let targets = events(0, OUTPUTS);
    let samples = (0..DURATION * OUTPUTS).map(|_| 130 + draw(&mut state, 25) as u16).collect();
    Case { inputs, spikes, samples, targets }
}

fn learned(case: &Case, rule: Rule, samples: &[u16]) -> Vec<f64> {
    let mut sources = vec![Source::default(); rule.sources()];
    let mut units = vec![Unit::default(); rule.units()];
    let mut synapses = vec![Synapse::default(); rule.synapses()];
    let mut learner = Learner {
        rule,
        sources: &mut sources,
        units: &mut units,
        synapses: &mut synapses,
        feedback: &[],
    };
    learner.trial(&Record {
        duration: DURATION as u32,
        inputs: &case.inputs,
        spikes: &case.spikes,
        samples,
        events: &case.targets,
    });
    let one = f64::from(1 << (2 * State::FRAC_NBITS - SUM_SHIFT));
    synapses.iter().map(|synapse| synapse.sum as f64 / one).collect()
}

/// The rule in floating point, one synapse at a time; no `slope`: the spikes alone.
fn expected(case: &Case, slope: Option<f64>) -> Vec<f64> {
    let has = |list: &[SpikeEvent], t: usize, id: usize| {
        list.iter().any(|event| event.tick as usize == t && usize::from(event.id) == id)
    };
    let (decay, follow) = (f64::from(DECAY) / 65536.0, f64::from(FOLLOW) / 65536.0);
    let mut sums = vec![];
    for line in 0..INPUTS {
        for unit in 0..OUTPUTS {
            let (mut z, mut e, mut d, mut sum) = (0.0, 0.0, 0.0_f64, 0.0);
            for t in 0..DURATION - 1 {
                z = decay * z + f64::from(u8::from(has(&case.inputs, t, line)));
                e = (1.0 - follow) * e + follow * z;
                let sample = |t: usize| f64::from(case.samples[t * OUTPUTS + unit]);
                let (told, spiked) = (has(&case.targets, t, unit), has(&case.spikes, t, unit + 2));
                let mut p = f64::from(u8::from(spiked));
                if let Some(slope) = slope {
                    let carried = (1.0 - follow) * d;
                    let reached = carried + if spiked { 150.0 } else { sample(t + 1) };
                    if !(spiked && carried.abs() < 1.0 / 4096.0) {
                        p = 1.0 / (1.0 + (-slope * (reached - 150.0)).exp());
                    }
                    d = match (told, spiked) {
                        (true, true) => 0.0,
                        (true, false) => sample(0) - sample(t + 1),
                        _ => reached - sample(t + 1),
                    };
                }
                sum += (f64::from(u8::from(told)) - p) * e;
                if if slope.is_some() { told } else { spiked } {
                    e = 0.0;
                }
            }
            sums.push(sum);
        }
    }
    sums
}

fn agree(got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    for (got, sum) in got.iter().zip(expected) {
        assert!((got - sum).abs() < 1e-3 * largest, "{got} against {sum}, largest {largest}");
    }
    assert!(largest > 0.5, "{largest}");
}

#[test]
fn sums_are_those_of_the_rule_in_floating_point() {
    for seed in 1..4 {
        let case = case(seed);
        let got = learned(&case, rule(SLOPE, false), &case.samples);
        agree(&got, &expected(&case, Some(f64::from(SLOPE) / 256.0)));
    }
}

#[test]
fn a_step_takes_the_spikes_alone() {
    let case = case(4);
    let rule = rule(PlasticityRule::STEP, false);
    assert!(!rule.reads_membranes());
    agree(&learned(&case, rule, &[]), &expected(&case, None));
}

#[test]
fn a_neuron_does_not_learn_from_its_own_train() {
    let case = case(7);
    let all = learned(&case, rule(SLOPE, false), &case.samples);
    let others = learned(&case, rule(SLOPE, true), &case.samples);
    for line in 0..INPUTS {
        for unit in 0..OUTPUTS {
            let at = line * OUTPUTS + unit;
            assert_ne!(all[at], 0.0);
            assert_eq!(others[at], if line == unit { 0.0 } else { all[at] });
        }
    }
}

#[test]
fn what_spikes_on_target_learns_nothing() {
    let mut case = case(9);
    case.spikes = case.targets.iter().map(|e| SpikeEvent::new(e.tick, e.id + 2)).collect();
    let sums = learned(&case, rule(PlasticityRule::STEP, false), &[]);
    assert!(sums.iter().all(|sum| *sum == 0.0));
}

#[test]
fn the_logistic_function_is_as_exact_as_it_says() {
    for x in -8000..8000 {
        let exact = 1.0 / (1.0 + (-f64::from(x) / 256.0).exp());
        let got: f64 = logistic(i64::from(x)).to_num();
        assert!((got - exact).abs() < 1e-4, "{got} against {exact} at {x}");
    }
    // The steepest slope at the converter's whole range.
    assert_eq!(logistic(65534 * 65535), 1);
    assert_eq!(logistic(-65534 * 65535), 0);
}
