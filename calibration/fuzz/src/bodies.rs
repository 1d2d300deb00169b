//! What the fuzz targets do with their bytes; the tests do the same with every file of the corpus.
//! Each must come to its end without a panic, in bounded memory, and find its promises kept.

use spikeloop_calibration::Calibration;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_hal::emulator::{Emulator, Profile};
use spikeloop_hal::{Capabilities, Chip, ChipConfig};
use std::path::Path;
use std::sync::OnceLock;

/// A small chip of each kind that has a converter, or none: what the files of the corpus were made for.
pub fn chips() -> &'static [Capabilities] {
    static CHIPS: OnceLock<Vec<Capabilities>> = OnceLock::new();
    CHIPS.get_or_init(|| {
        ["dynapse-like", "bss2-cal"]
            .map(|preset| {
                let mut profile = Profile::preset(preset).expect("it is compiled in");
                (profile.size.neurons, profile.size.inputs) = (8, 64);
                let chip = Emulator::new(profile, 1, 1, 1).expect("a small chip");
                chip.capabilities().clone()
            })
            .to_vec()
    })
}

/// A calibration that can be read can be looked at, and, if it says that it belongs to a chip, used on it.
pub fn result(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(calibration) = Calibration::from_json(text, Path::new("fuzz")) else { return };
    assert_eq!(calibration.usable().len(), calibration.neurons());
    let _ = calibration.success();
    for parameter in &calibration.parameters {
        let _ = (parameter.sigma_before(), parameter.sigma_after(), parameter.ratio());
        assert!(parameter.failed() <= calibration.neurons());
    }
    for failure in &calibration.failures {
        let _ = failure.to_string();
    }
    for caps in chips().iter().filter(|caps| calibration.check(caps).is_ok()) {
        let mut config = ChipConfig::power_up(caps);
        calibration.apply(&mut config);
        // Codes that the chip does not have are an error, not a panic.
        let _ = config.check(caps);
    }
}

/// Targets that can be read can be resolved for a chip, or are refused.
pub fn targets(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(targets) = TargetFile::from_toml(text) else { return };
    for caps in chips() {
        if let Ok(resolved) = targets.resolve(caps) {
            resolved
                .iter()
                .for_each(|target| assert!(target.is_feasible() || target.value.is_finite()));
        }
    }
}
