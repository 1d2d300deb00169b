#![allow(clippy::unwrap_used, reason = "tests")]

extern crate std;
use super::*;
use std::vec;
use std::vec::Vec;

/// A reproducible number below `below` (Marsaglia's xorshift).
pub(super) fn draw(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

const INPUTS: usize = 6;
const HIDDEN: usize = 2;
const OUTPUTS: usize = 2;

fn rule(feedback: &[u8]) -> PlasticityRule<'_> {
    let rule = PlasticityRule {
        inputs: INPUTS as u16,
        hidden_first: 0,
        hidden: HIDDEN as u16,
        output_first: HIDDEN as u16,
        outputs: OUTPUTS as u16,
        // exp(−1/50), 1/100, and a step of half a code.
        decay: 64238,
        follow: 655,
        keep: 60000,
        rate: 128,
        slope: 37,
        threshold: 150,
        delay: 3,
        weight_limit: 127,
        ..PlasticityRule::default()
    };
    rule.with_feedback(feedback).unwrap()
}

struct Case {
    inputs: Vec<SpikeEvent>,
    spikes: Vec<SpikeEvent>,
    samples: Vec<u16>,
    events: Vec<SpikeEvent>,
    duration: u32,
}

fn case(seed: u64) -> Case {
    let mut state = seed;
    let duration = 600;
    let mut events = |rate: u64, ids: u64| {
        let mut list = vec![];
        for tick in 0..duration {
            for id in 0..ids {
                if draw(&mut state, 1000) < rate {
                    list.push(SpikeEvent::new(tick, id as u16));
                }
            }
        }
        list
    };
    let (inputs, spikes) = (events(10, INPUTS as u64), events(5, (HIDDEN + OUTPUTS) as u64));
    let taught = events(4, 2 * OUTPUTS as u64);
    let samples = (0..duration as usize * (HIDDEN + OUTPUTS))
        .map(|_| 90 + draw(&mut state, 65) as u16)
        .collect();
    Case { inputs, spikes, samples, events: taught, duration }
}

/// What two filters, of factor `d` and step `k`, make of events: a sum over pairs of times.
pub(super) fn filter(events: &[f64], d: f64, k: f64) -> Vec<f64> {
    // Response to a unit event n steps ago: k (q^{n+1} − d^{n+1}) / (q − d).
    let q = 1.0 - k;
    let response = |n: usize| k * (q.powi(n as i32 + 1) - d.powi(n as i32 + 1)) / (q - d);
    (0..events.len())
        .map(|t| {
            let past = (0..=t).filter(|s| events[*s] != 0.0);
            past.map(|s| events[s] * response(t - s)).sum()
        })
        .collect()
}

/// The same rule in floating point, one synapse at a time, as sums over pairs of times: responses of
/// the filters are written down in closed form and nothing is stepped but the last one.
fn expected(case: &Case, feedback: &[i16]) -> Vec<f64> {
    let (d, k) = (64238.0 / 65536.0, 655.0 / 65536.0);
    let steps = case.duration as usize;
    let units = HIDDEN + OUTPUTS;
    let filter = |events: &[f64]| filter(events, d, k);
    let train = |list: &[SpikeEvent], id: u16, delay: u32| {
        let mut train = vec![0.0; steps];
        for event in list.iter().filter(|event| event.id == id && event.tick + delay < 600) {
            train[(event.tick + delay) as usize] += 1.0;
        }
        train
    };
    let sigma = |unit: usize, t: usize| {
        let code = f64::from(case.samples[(t + 1).min(steps - 1) * units + unit]);
        (1.0 + 37.0 / 256.0 * (code - 150.0).abs()).powi(-2)
    };
    let error = |unit: usize| {
        let mut train = vec![0.0; steps];
        for event in &case.events {
            let (output, sign) = (usize::from(event.id / 2), 1.0 - 2.0 * f64::from(event.id % 2));
            let b = match unit {
                unit if unit < HIDDEN => f64::from(feedback[output * HIDDEN + unit]) / 4096.0,
                unit => f64::from(u8::from(unit - HIDDEN == output)),
            };
            train[event.tick as usize] += sign * b;
        }
        filter(&train)
    };
    let errors: Vec<Vec<f64>> = (0..units).map(error).collect();
    let mut sums = vec![];
    for source in 0..INPUTS + HIDDEN {
        let trace = match source.checked_sub(INPUTS) {
            None => filter(&train(&case.inputs, source as u16, 0)),
            Some(hidden) => filter(&train(&case.spikes, hidden as u16, 3)),
        };
        let units = if source < INPUTS { 0..HIDDEN } else { HIDDEN..HIDDEN + OUTPUTS };
        for unit in units {
            let eligible: Vec<f64> = (0..steps).map(|t| sigma(unit, t) * trace[t]).collect();
            let eligible = filter(&eligible);
            sums.push((0..steps).map(|t| eligible[t] * errors[unit][t]).sum());
        }
    }
    sums
}

const FEEDBACK: [i16; 4] = [4096, -2048, 9000, -12000];

fn with_learner<T>(synapses: &mut [Synapse], act: impl FnOnce(&mut Learner<'_>) -> T) -> T {
    let bytes: Vec<u8> = FEEDBACK.iter().flat_map(|b| b.to_le_bytes()).collect();
    let rule = Rule::new(&rule(&bytes));
    assert_eq!(rule.synapses(), synapses.len());
    let mut sources = vec![Source::default(); rule.sources()];
    let mut units = vec![Unit::default(); rule.units()];
    act(&mut Learner {
        rule,
        sources: &mut sources,
        units: &mut units,
        synapses,
        feedback: &FEEDBACK,
    })
}

fn record(case: &Case) -> Record<'_> {
    Record {
        duration: case.duration,
        inputs: &case.inputs,
        spikes: &case.spikes,
        samples: &case.samples,
        events: &case.events,
    }
}

#[test]
fn sums_are_those_of_the_rule_in_floating_point() {
    for seed in 1..4 {
        let case = case(seed);
        let mut synapses = vec![Synapse::default(); INPUTS * HIDDEN + HIDDEN * OUTPUTS];
        with_learner(&mut synapses, |learner| learner.trial(&record(&case)));
        let expected = expected(&case, &FEEDBACK);
        let largest = expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        let unit = f64::from(1 << (2 * State::FRAC_NBITS - SUM_SHIFT));
        for (synapse, sum) in synapses.iter().zip(&expected) {
            let got = synapse.sum as f64 / unit;
            assert!((got - sum).abs() < 2e-3 * largest, "{got} against {sum}, largest {largest}");
        }
        assert!(largest > 0.1, "{largest}");
    }
}

#[test]
fn an_update_moves_each_weight_by_its_share_of_the_largest_sum() {
    let mut synapses = vec![Synapse::default(); INPUTS * HIDDEN + HIDDEN * OUTPUTS];
    synapses[0].sum = 1 << 30;
    synapses[1].sum = -(1 << 30);
    synapses[2].weight = Weight::from_num(126.9);
    synapses[2].sum = 5;
    synapses[3].weight = Weight::from_num(3);
    with_learner(&mut synapses, |learner| learner.update());
    // A first sum is its own normaliser: a whole step, whatever its size.
    assert_eq!(synapses[0].weight, 0.5);
    assert_eq!(synapses[1].weight, -0.5);
    // The limit holds, and nothing moves without a sum.
    assert_eq!(synapses[2].weight, 127);
    assert_eq!(synapses[3].weight, 3);
    synapses[0].sum = 1 << 29;
    with_learner(&mut synapses, |learner| learner.update());
    // The normaliser has faded to 60000/65536 of the first sum.
    let share = 0.5 * 65536.0 / 60000.0;
    assert!((synapses[0].weight.to_num::<f64>() - 0.5 - 0.5 * share).abs() < 1e-3);
    assert_eq!(synapses[0].sum, 0);
}

#[test]
fn traces_of_both_signs_fade_to_nothing() {
    for start in [3.7, -3.7] {
        let mut x = State::from_num(start);
        for _ in 0..3000 {
            x = scale(x, Factor::from_bits(65535 - 655));
        }
        assert_eq!(x, State::ZERO);
    }
}

#[test]
fn the_surrogate_is_one_at_the_threshold_and_falls_to_both_sides() {
    let rule = Rule::new(&rule(&[0; 8]));
    assert_eq!(rule.surrogate(150), 1);
    assert_eq!(rule.surrogate(140), rule.surrogate(160));
    let far: f64 = rule.surrogate(80).to_num();
    assert!((far - (1.0_f64 + 37.0 / 256.0 * 70.0).powi(-2)).abs() < 1e-6);
}

#[test]
fn codes_are_the_nearest() {
    for (weight, code) in [(0.49, 0), (0.51, 1), (-0.51, -1), (-3.2, -3), (126.7, 127)] {
        assert_eq!(Learner::code(Weight::from_num(weight)), code);
    }
}
