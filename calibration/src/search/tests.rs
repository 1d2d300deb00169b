#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;
use spikeloop_hal::{Parameter, Unit};
use spikeloop_models::random;

fn goal(law: Law, target: f64) -> Goal {
    let spec = ParameterSpec {
        parameter: Parameter::TauMem,
        unit: Unit::Microseconds,
        code_min: 1,
        code_max: 1022,
        code_default: 158,
        law,
    };
    Goal { spec, target, tolerance: 0.0 }
}

const LINEAR: Law = Law::Linear { at_reference: 80.0, reference: 500.0, slope: 0.374 };
const RECIPROCAL: Law = Law::Reciprocal { at_reference: 6.0, reference: 158.0 };

/// Neurons that deviate from the law: value = law(code)^bend · factor + offset, measured with noise.
struct Array {
    law: Law,
    factor: Vec<f64>,
    offset: Vec<f64>,
    bend: f64,
    noise: f64,
}

impl Array {
    fn value(&self, n: usize, code: u16) -> f64 {
        f64::from(self.law.value(f32::from(code))).powf(self.bend) * self.factor[n] + self.offset[n]
    }

    fn run(&self, search: &mut dyn Search, seed: u64) -> (Vec<f64>, usize) {
        let mut rng = random::stream(seed, 3);
        let mut codes = search.first();
        let mut steps = 0;
        loop {
            steps += 1;
            let measured: Vec<Estimate> = codes
                .iter()
                .enumerate()
                .map(|(n, c)| {
                    let noise = self.noise * random::normal(&mut rng);
                    Estimate::good(self.value(n, *c) + noise, self.noise.max(1e-6))
                })
                .collect();
            match search.next(&measured) {
                Some(next) => codes = next,
                None => break,
            }
            assert!(steps < 40);
        }
        let best = search.best();
        ((0..best.len()).map(|n| self.value(n, best[n])).collect(), steps)
    }
}

fn array(law: Law, seed: u64, spread: f64, shift: f64, bend: f64, noise: f64) -> Array {
    let mut rng = random::stream(seed, 9);
    let mut draw = |s: f64| s * random::normal(&mut rng);
    Array {
        law,
        factor: (0..64).map(|_| (1.0 + draw(spread)).clamp(0.4, 2.0)).collect(),
        offset: (0..64).map(|_| draw(shift)).collect(),
        bend,
        noise,
    }
}

#[test]
fn every_algorithm_finds_the_nearest_code() {
    for (law, target, spread, shift) in [(LINEAR, 120.0, 0.0, 15.0), (RECIPROCAL, 6.0, 0.2, 0.0)] {
        let array = array(law, 5, spread, shift, 1.0, 0.0);
        for algorithm in
            [Algorithm::Model, Algorithm::Binary, Algorithm::NoisyBinary, Algorithm::Linear]
        {
            let mut search = algorithm.start(goal(law, target), &[158; 64], 3);
            let (values, steps) = array.run(search.as_mut(), 1);
            assert!(steps <= 17, "{algorithm:?}: {steps}");
            for (n, v) in values.iter().enumerate() {
                // One code is 0.374 LSB, or 0.04 us at 6 us; a sweep interpolates a curve by a straight line.
                let step = if law == LINEAR { 0.374 } else { 0.06 };
                let step =
                    if algorithm == Algorithm::Linear && law == RECIPROCAL { 4.0 } else { step };
                assert!((v - target).abs() <= step, "{algorithm:?} neuron {n}: {v} for {target}");
            }
        }
    }
}

#[test]
fn the_model_needs_two_measurements_where_the_law_holds() {
    let array = array(RECIPROCAL, 5, 0.2, 0.0, 1.0, 0.02);
    let mut search = Model::new(Goal { tolerance: 0.1, ..goal(RECIPROCAL, 6.0) }, &[158; 64]);
    assert_eq!(array.run(&mut search, 1).1, 2);
}

#[test]
fn the_model_follows_the_measured_slope_where_the_law_is_wrong() {
    let array = array(RECIPROCAL, 5, 0.2, 0.0, 1.25, 0.02);
    let mut search = Model::new(Goal { tolerance: 0.05, ..goal(RECIPROCAL, 6.0) }, &[158; 64]);
    let (values, steps) = array.run(&mut search, 1);
    assert!(steps <= 5);
    assert!(values.iter().all(|v| (v - 6.0).abs() < 0.2), "{values:?}");
}

#[test]
fn neurons_without_value_keep_their_code() {
    let mut search = Model::new(goal(LINEAR, 120.0), &[158; 2]);
    let missing = Estimate::missing(crate::Flag::Silent);
    let next = search.next(&[missing, Estimate::good(100.0, 0.1)]).unwrap();
    assert_eq!(next[0], 158);
    assert!(next[1] > 200);
}

#[test]
fn a_step_that_goes_too_far_is_halved() {
    let mut search = Model::new(goal(LINEAR, 120.0), &[900; 1]);
    let first = search.next(&[Estimate::good(240.0, 0.1)]).unwrap();
    let second = search.next(&[Estimate::missing(crate::Flag::AlwaysFiring)]).unwrap();
    assert!(first[0] < second[0] && second[0] < 900, "{first:?} {second:?}");
}

proptest! {
    #[test]
    fn searches_never_leave_the_range(target in -500.0..800.0_f64, seed in 0_u64..50) {
        let array = array(LINEAR, seed, 0.1, 30.0, 1.0, 1.0);
        for algorithm in [Algorithm::Model, Algorithm::Binary, Algorithm::NoisyBinary, Algorithm::Linear] {
            let goal = goal(LINEAR, target);
            let mut search = algorithm.start(goal, &[158; 64], seed);
            array.run(search.as_mut(), seed);
            prop_assert!(search.best().iter().all(|c| (1..=1022).contains(c)));
        }
    }

    #[test]
    fn noise_costs_no_more_than_a_few_standard_errors(seed in 0_u64..30) {
        let array = array(LINEAR, seed, 0.0, 15.0, 1.0, 0.3);
        let goal = Goal { tolerance: 0.3, ..goal(LINEAR, 120.0) };
        let mut search = Model::new(goal, &[500; 64]);
        let (values, _) = array.run(&mut search, seed);
        prop_assert!(values.iter().all(|v| (v - 120.0).abs() < 0.19 + 0.3 + 5.0 * 0.3));
    }
}
