//! The drift watch against planted drifts.

use super::{chips, uncalibrated};
use spikeloop_calibration::drift::{Advice, Drift};
use spikeloop_calibration::plan::Plan;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_calibration::{Bench, Calibration, Error};
use spikeloop_hal::emulator::{DrawnChip, Emulator};
use spikeloop_hal::{Chip, Parameter};

fn calibrated(seed: u64) -> Calibration {
    let mut bench = Bench::new(Box::new(uncalibrated(seed)), 0);
    let plan = Plan::new(&mut bench, &TargetFile::default(), None).unwrap();
    plan.run("test".into(), None, &mut |_, _| Ok(())).unwrap().0
}

fn check(chip: Emulator, calibration: &Calibration, series: u32) -> Drift {
    Drift::check(&mut Bench::new(Box::new(chip), series), calibration).unwrap()
}

fn altered(seed: u64, change: impl FnOnce(&mut DrawnChip)) -> Emulator {
    let mut chip = uncalibrated(seed);
    chip.alter(change).unwrap();
    chip
}

#[test]
fn a_planted_drift_is_found_and_a_clean_chip_raises_no_alarm() {
    let calibration = calibrated(1);
    // Two percent of theta on one neuron in twenty.
    let neurons = usize::from(uncalibrated(1).capabilities().neurons);
    let moved: Vec<usize> = (0..neurons).filter(|n| n % 20 == 7).collect();
    let chip = altered(1, |chip| moved.iter().for_each(|n| chip.threshold_lsb[*n] += 1.4));
    let drift = check(chip, &calibration, 1);
    let threshold = drift.parameters.iter().find(|p| p.parameter == Parameter::Threshold).unwrap();
    let right = threshold.moved.iter().filter(|m| moved.contains(&usize::from(m.neuron))).count();
    let wrong = threshold.moved.len() - right;
    eprintln!("planted {}: found {right}, wrongly named {wrong}; {:?}", moved.len(), drift.cost);
    assert!(right * 10 >= moved.len() * 7, "{right} of {}", moved.len());
    assert!(wrong <= 1, "{wrong}");
    assert_eq!(drift.advice, Advice::FineTune);
    // A clean chip: a hundred checks where figures are wanted, two in continuous integration.
    let checks = if chips() > 1 { 100 } else { 2 };
    let alarms = (0..checks)
        .filter(|k| {
            let drift = check(uncalibrated(1), &calibration, 10 + k);
            if drift.any() {
                for p in &drift.parameters {
                    eprintln!("check {k}: {} {:?} {:?}", p.parameter.name(), p.common, p.moved);
                }
                eprintln!("check {k}: lost {:?}", drift.lost);
            }
            drift.any()
        })
        .count();
    eprintln!("{alarms} false alarms in {checks} clean checks");
    assert!(alarms <= 1, "{alarms}");
}

#[test]
fn a_warm_chip_is_told_from_moved_neurons_and_another_chip_is_refused() {
    let calibration = calibrated(1);
    let warm = altered(1, |chip| chip.threshold_lsb.iter_mut().for_each(|t| *t += 5.0));
    let drift = check(warm, &calibration, 1);
    assert_eq!(drift.advice, Advice::Recalibrate);
    assert!(drift.parameters.iter().all(|p| p.moved.len() < 5));
    let other = uncalibrated(2);
    let mut bench = Bench::new(Box::new(other), 0);
    let refused = Drift::check(&mut bench, &calibration);
    assert!(matches!(refused, Err(Error::OtherChip { .. })));
    assert!(bench.capabilities().neurons > 0);
}
