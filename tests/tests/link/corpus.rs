//! What fuzzing has found, and what it starts from, once more in every test run: each file of each corpus, and
//! all beginnings of the short ones, through the same functions as in the fuzz targets.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "helpers of tests")]

#[path = "../../../calibration/fuzz/src/bodies.rs"]
mod calibration_bodies;
#[path = "../../../hal/fuzz/src/bodies.rs"]
mod hal_bodies;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Files up to this many bytes are cut off at each byte as well.
const SHORT: usize = 400;

fn folder(krate: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("fuzz/corpus").join(target)
}

/// Runs `body` with every file of a corpus.
#[track_caller]
fn replay(krate: &str, target: &str, body: fn(&[u8])) {
    let folder = folder(krate, target);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let shortest = if bytes.len() <= SHORT { 0 } else { bytes.len() };
        for end in shortest..=bytes.len() {
            let run = AssertUnwindSafe(|| body(&bytes[..end]));
            assert!(catch_unwind(run).is_ok(), "the first {end} bytes of {}", file.display());
        }
    }
}

#[test]
fn frames() {
    replay("hal", "frames", hal_bodies::frames);
}

#[test]
fn messages() {
    replay("hal", "messages", hal_bodies::messages);
}

#[test]
fn capabilities() {
    replay("hal", "capabilities", hal_bodies::capabilities);
}

#[test]
fn profiles() {
    replay("hal", "profile", hal_bodies::profile);
}

#[test]
fn selectors() {
    replay("hal", "selector", hal_bodies::selector);
}

#[test]
fn faults() {
    replay("hal", "faults", hal_bodies::faults);
}

#[test]
fn recordings() {
    replay("hal", "recording", hal_bodies::recording);
}

#[test]
fn windows() {
    replay("hal", "window", hal_bodies::window);
}

#[test]
fn calibration_results() {
    replay("calibration", "result", calibration_bodies::result);
}

#[test]
fn calibration_targets() {
    replay("calibration", "targets", calibration_bodies::targets);
}

/// Makes the seeds anew that no text editor can write: run it with `--ignored` when a format has changed.
mod seeds {
    use super::{calibration_bodies, folder};
    use spikeloop_calibration::Bench;
    use spikeloop_calibration::plan::Plan;
    use spikeloop_calibration::targets::TargetFile;
    use spikeloop_hal::emulator::{Emulator, PRESETS, Profile};
    use spikeloop_hal::recording::Recorder;
    use spikeloop_hal::wire::{CapabilitiesBody, Message, Writer};
    use spikeloop_hal::{Chip, ChipConfig, Observables, Recording, SpikeEvent, Stimulus};
    use std::fs;

    fn chip(preset: &str) -> Emulator {
        let mut profile = Profile::preset(preset).unwrap();
        (profile.size.neurons, profile.size.inputs) = (8, 64);
        Emulator::new(profile, 1, 1, 1).unwrap()
    }

    #[test]
    #[ignore = "writes files into the repository"]
    fn capabilities() {
        for (preset, _) in PRESETS {
            let mut scratch = [0; CapabilitiesBody::MAX_LEN];
            let chip = chip(preset);
            let body = CapabilitiesBody::new(7, 8, chip.capabilities(), &mut scratch).unwrap();
            let mut out = [0; 600];
            let mut writer = Writer::new(&mut out);
            Message::Capabilities(body).encode(&mut writer).unwrap();
            // Without the number of the session.
            let bytes = &writer.written()[4..];
            fs::write(folder("hal", "capabilities").join(preset), bytes).unwrap();
        }
    }

    #[test]
    #[ignore = "writes files into the repository"]
    fn recording() {
        let path = folder("hal", "recording").join("small");
        let mut chip = Recorder::create(Box::new(chip("bss2-cal")), &path, Vec::new()).unwrap();
        let mut config = ChipConfig::power_up(chip.capabilities());
        let sample_period = chip.capabilities().adc.unwrap().min_period;
        for round in 0..3i8 {
            config.row_mut(3).fill(round * 20);
            config.enabled.fill(true);
            config.spiking.fill(round > 0);
            let traces = vec![1, 4];
            config.recording = Recording {
                spikes: true,
                traces,
                sample_period,
                samples: 5,
                reference: None,
                floor: None,
            };
            chip.configure(&config).unwrap();
            let events = (0..9).map(|k| SpikeEvent::new(10 * k, 3)).collect();
            let stimuli = [
                Stimulus { trial: 5, duration: 400, events },
                Stimulus { trial: 6, duration: 100, ..Stimulus::default() },
            ];
            let ticket = chip.submit(&stimuli).unwrap();
            chip.collect(ticket, &mut Observables::default()).unwrap();
        }
    }

    #[test]
    #[ignore = "writes files into the repository"]
    fn calibration() {
        let targets = TargetFile::from_toml("[options]\nrepeats = 0.25\n").unwrap();
        let chip = chip("dynapse-like");
        assert!(calibration_bodies::chips().contains(chip.capabilities()));
        let mut bench = Bench::new(Box::new(chip), 0);
        let plan = Plan::new(&mut bench, &targets, None).unwrap();
        let time = "2026-11-22T09:30:00Z".to_owned();
        let (calibration, _) = plan.run(time, None, &mut |_, _| Ok(())).unwrap();
        calibration.save(&folder("calibration", "result").join("small")).unwrap();
    }
}
