//! Calibration against the truth of emulated chips, which it never sees.
//!
//! One chip in continuous integration; `SPIKELOOP_CHIPS=10 cargo test --release --test chip calibration -- --nocapture`
//! prints the figures of ten.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod drift;
mod truth;

use spikeloop_calibration::plan::Plan;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_calibration::{Bench, Calibration, Flag};
use spikeloop_hal::emulator::{Emulator, Profile};
use spikeloop_hal::{Chip, ChipConfig, Parameter};
use truth::{Truth, coverage};

fn chips() -> u64 {
    std::env::var("SPIKELOOP_CHIPS").ok().and_then(|v| v.parse().ok()).unwrap_or(1)
}

/// Calibrates a chip; returns the result, the chip as it was left, and the codes.
fn calibrate(make: &dyn Fn() -> Emulator, targets: &TargetFile) -> (Calibration, Truth, Truth) {
    let (chip, twin) = (make(), make());
    let uniform = ChipConfig::power_up(chip.capabilities());
    let caps = chip.capabilities().clone();
    let mut bench = Bench::new(Box::new(chip), 0);
    let plan = Plan::new(&mut bench, targets, None).unwrap();
    let (calibration, _) = plan.run("test".into(), None, &mut |_, _| Ok(())).unwrap();
    let mut config = ChipConfig::power_up(&caps);
    calibration.apply(&mut config);
    (calibration, Truth::of(&twin, &uniform), Truth::of(&twin, &config))
}

/// An uncalibrated chip: whole where figures are wanted, a part of it in continuous integration.
fn uncalibrated(seed: u64) -> Emulator {
    let mut profile = Profile::preset("bss2-chip66-uncal").unwrap();
    if chips() == 1 {
        profile.size.neurons = 192;
        profile.size.block = 64;
    }
    Emulator::new(profile, seed, seed, 2).unwrap()
}

#[test]
fn the_reported_residuals_are_the_true_ones_and_small_enough() {
    let bounds = [
        (Parameter::LeakPotential, 0.15),
        (Parameter::ResetPotential, 0.10),
        (Parameter::Threshold, 0.17),
        (Parameter::TauMem, 0.22),
        (Parameter::TauSynExc, 0.10),
        (Parameter::TauSynInh, 0.10),
    ];
    let mut covered = std::collections::BTreeMap::<Parameter, (usize, usize)>::new();
    for seed in 1..=chips() {
        let started = std::time::Instant::now();
        let (calibration, before, after) =
            calibrate(&|| uncalibrated(seed), &TargetFile::default());
        eprintln!(
            "chip {seed}: {:.1} s, {:.1} % calibrated, {} round trips, {:.1} s on the chip",
            started.elapsed().as_secs_f64(),
            100.0 * calibration.success(),
            calibration.cost.round_trips,
            calibration.cost.chip_us * 1e-6
        );
        for failure in &calibration.failures {
            let n = usize::from(failure.neuron);
            let flags: Vec<_> = calibration.parameters.iter().map(|p| p.verdict[n]).collect();
            eprintln!("  {failure} {flags:?} truly dead: {}", after.dead[n]);
            for p in calibration.parameters.iter().filter(|p| p.verdict[n] == Flag::NotConverged) {
                eprintln!(
                    "     {} {:?} truly {:.3} code {}",
                    p.parameter.name(),
                    p.after[n],
                    after.value(p.parameter, n),
                    p.codes[n]
                );
            }
        }
        for result in &calibration.parameters {
            let p = result.parameter;
            let truth_before = before.spread(p, &calibration);
            let truth_after = after.spread(p, &calibration);
            let (hit, of) = coverage(result, &after);
            let sum = covered.entry(p).or_default();
            sum.0 += hit;
            sum.1 += of;
            eprintln!(
                "  {:16} sigma {:8.4} -> {:8.4} (true {:8.4} -> {:8.4}) ratio {:.3} (true {:.3}) bias {:7.4} pull {:.3} coverage {:.3} trips {}",
                p.name(),
                result.sigma_before(),
                result.sigma_after(),
                truth_before,
                truth_after,
                result.ratio(),
                truth_after / truth_before,
                truth::bias(result, &after),
                truth::pull(result, &after),
                hit as f64 / of as f64,
                result.round_trips,
            );
        }
        eprintln!("  synapse spread {:.4}", calibration.weights.as_ref().unwrap().synapse_spread);
        for (parameter, bound) in bounds {
            let result = calibration.parameter(parameter).unwrap();
            let truth =
                after.spread(parameter, &calibration) / before.spread(parameter, &calibration);
            assert!(truth <= bound, "chip {seed} {}: true ratio {truth}", parameter.name());
            assert!(
                result.ratio() <= bound,
                "chip {seed} {}: {}",
                parameter.name(),
                result.ratio()
            );
            let agreement = result.sigma_after() / after.spread(parameter, &calibration);
            assert!(
                (0.8..1.2).contains(&agreement),
                "chip {seed} {}: {agreement}",
                parameter.name()
            );
            assert!(result.round_trips <= 12, "{}: {}", parameter.name(), result.round_trips);
        }
        assert!(calibration.success() >= 0.99, "chip {seed}: {}", calibration.success());
        assert!(calibration.failures.iter().all(|f| f.reason != Flag::Good));
    }
    let (mut hit, mut of) = (0, 0);
    for (parameter, (h, n)) in &covered {
        eprintln!("coverage {:16} {:.4} of {n}", parameter.name(), *h as f64 / *n as f64);
        hit += h;
        of += n;
    }
    let all = hit as f64 / of as f64;
    eprintln!("coverage of all: {all:.4}");
    // Three standard errors of a share of so few intervals; of ten whole chips they are a fifth of a point each.
    let slack = 3.0 * (0.95 * 0.05 / of as f64).sqrt();
    let slack = if chips() == 1 { slack } else { 0.0 };
    assert!((0.93 - slack..0.97 + slack).contains(&all), "{all}");
}
