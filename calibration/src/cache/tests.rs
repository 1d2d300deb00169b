use super::*;
use crate::bench::Bench;
use crate::plan::Plan;
use spikeloop_hal::Chip;
use spikeloop_hal::emulator::{Emulator, Profile};

fn chip(seed: u64) -> Emulator {
    let mut profile = Profile::preset("dynapse-like").unwrap();
    (profile.size.neurons, profile.size.inputs) = (8, 64);
    Emulator::new(profile, seed, seed, 1).unwrap()
}

fn targets(text: &str) -> TargetFile {
    TargetFile::from_toml(text).unwrap()
}

fn quick() -> TargetFile {
    targets("[options]\nrepeats = 0.25\n")
}

/// A calibration of a small chip, and how it stood before its last stage.
fn calibrated(seed: u64, time: &str) -> (Calibration, Progress) {
    let mut bench = Bench::new(Box::new(chip(seed)), 0);
    let mut last = None;
    let plan = Plan::new(&mut bench, &quick(), None).unwrap();
    let keep = &mut |_, p: &Progress| {
        last = Some(p.clone());
        Ok(())
    };
    let (calibration, _) = plan.run(time.into(), None, keep).unwrap();
    (calibration, last.unwrap())
}

#[test]
fn a_key_names_everything_a_calibration_follows_from() {
    let caps = chip(1).capabilities().clone();
    let key = Key::new(&caps, &quick()).unwrap();
    assert_eq!(key, Key::new(&caps, &quick()).unwrap());
    assert_eq!(key.hash().len(), 16);
    let mut updated = caps.clone();
    updated.identity.firmware += 1;
    let others = [
        Key::new(chip(2).capabilities(), &quick()).unwrap(),
        Key::new(&updated, &quick()).unwrap(),
        Key::new(&caps, &targets("[options]\nrepeats = 0.5\n")).unwrap(),
        Key::new(&caps, &targets("[targets]\ntau_mem = \"12 us\"\n[options]\nrepeats = 0.25\n"))
            .unwrap(),
    ];
    for other in others {
        assert_ne!(other.hash(), key.hash());
    }
    assert!(Key::new(&caps, &targets("[targets]\ntau = \"1 us\"\n")).is_err());
}

#[test]
fn what_is_stored_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path().join("not/yet"));
    let caps = chip(1).capabilities().clone();
    let key = Key::new(&caps, &quick()).unwrap();
    assert!(cache.load(&key).unwrap().is_none() && cache.latest_for(&caps).is_none());
    assert!(!cache.folder().exists(), "looking creates nothing");
    let (calibration, progress) = calibrated(1, "2026-11-22T09:30:00Z");
    cache.store_progress(&key, &progress).unwrap();
    assert_eq!(cache.load_progress(&key).unwrap().finished, progress.finished);
    assert!(cache.latest_for(&caps).is_none(), "what is not finished is not taken");
    let path = cache.store(&key, &calibration).unwrap();
    assert_eq!(path, cache.path(&key));
    assert!(cache.load_progress(&key).is_none(), "finished");
    let back = cache.load(&key).unwrap().unwrap();
    assert_eq!(back.parameters[0].codes, calibration.parameters[0].codes);
    let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(names.len(), 1, "nothing is left behind: {names:?}");
}

#[test]
fn the_newest_that_fits_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path());
    let caps = chip(1).capabilities().clone();
    let (mut calibration, _) = calibrated(1, "2026-11-22T09:30:00Z");
    let key = |repeats: &str| {
        Key::new(&caps, &targets(&format!("[options]\nrepeats = {repeats}\n"))).unwrap()
    };
    let old = cache.store(&key("0.5"), &calibration).unwrap();
    calibration.provenance.time = "2026-11-23T09:30:00Z".into();
    let new = cache.store(&key("0.25"), &calibration).unwrap();
    calibration.provenance.time = "2026-11-24T09:30:00Z".into();
    calibration.provenance.firmware += 1;
    cache.store(&key("1.0"), &calibration).unwrap();
    assert_eq!(cache.latest_for(&caps).unwrap().0, new, "the newest of this firmware");
    assert!(cache.latest_for(chip(2).capabilities()).is_none(), "not that of another chip");
    // A damaged one hides neither itself nor the others.
    let text = std::fs::read_to_string(&new).unwrap();
    std::fs::write(&new, &text[..text.len() / 2]).unwrap();
    assert_eq!(cache.latest_for(&caps).unwrap().0, old);
    let message = cache.load(&key("0.25")).unwrap_err().to_string();
    assert!(message.contains("truncated"), "{message}");
}

#[test]
fn names_of_folders_are_harmless() {
    assert_eq!(folder_name("bss2-cal/00ff"), "bss2-cal-00ff");
    assert_eq!(folder_name("../../etc"), "------etc");
}
