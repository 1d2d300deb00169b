use super::*;
use spikeloop_calibration::Bench;
use spikeloop_calibration::plan::Plan;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_hal::emulator::{Emulator, Profile};

fn calibrated(preset: &str) -> (Calibration, RawData) {
    let mut profile = Profile::preset(preset).unwrap();
    (profile.size.neurons, profile.size.inputs) = (8, 64);
    let chip = Emulator::new(profile, 3, 3, 1).unwrap();
    let targets = "[targets]\nthreshold = \"150 LSB\"\n[options]\nrepeats = 0.1\n";
    let targets = TargetFile::from_toml(targets).unwrap();
    let mut bench = Bench::new(Box::new(chip), 0);
    let plan = Plan::new(&mut bench, &targets, None).unwrap();
    plan.run("2026-11-22T09:30:00Z".into(), Some(25.0), &mut |_, _| Ok(())).unwrap()
}

/// Every figure says what it shows: to those who see it, and to those who do not.
fn check(page: &str) {
    let figures = page.matches("<figure").count();
    assert_eq!(figures, page.matches("<figcaption>").count());
    assert_eq!(figures, page.matches("class=\"see\"").count());
    assert_eq!(figures, page.matches("role=\"img\"").count());
    assert!(!page.contains("NaN") && !page.contains(" inf"), "a number that is none");
    assert!(
        !page.contains("http://") || page.matches("http://").count() == figures,
        "only namespaces"
    );
    assert!(!page.contains("<script"));
}

#[test]
fn a_page_has_every_part_and_without_raw_data_it_says_so() {
    let (calibration, raw) = calibrated("bss2-chip66-uncal");
    let with = page(&calibration, Some(&raw));
    check(&with);
    for part in [
        "Parameter by parameter",
        "f-I curves",
        "After a spike",
        "Excitatory input",
        "Threshold on a ramp",
        "Noise against averaging",
        "Linearity",
        "What it cost",
    ] {
        assert!(with.contains(part), "{part}");
    }
    let without = page(&calibration, None);
    check(&without);
    assert!(without.contains("raw data are not kept"));
    assert!(!without.contains("After a spike") && without.contains("f-I curves"));
    assert_eq!(with, page(&calibration, Some(&raw)), "the same bytes for the same data");
}

#[test]
fn a_chip_without_converter_has_a_page_too() {
    let (calibration, raw) = calibrated("dynapse-like");
    let page = page(&calibration, Some(&raw));
    check(&page);
    assert!(page.contains("needs membrane read-back") && page.contains("f-I curves"));
    assert!(!page.contains("After a spike"));
}
