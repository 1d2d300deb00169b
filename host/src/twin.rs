//! Digital twins as users want them: made from a calibrated chip, kept in files, compared with the chip.
//!
//! ```text
//! twin.toml              an emulated chip: --chip emu:chip=twin.toml
//! twin.calibration.json  the calibration of the chip under the twin's name: the same codes
//! ```

use crate::calibrate::{self, Request};
use crate::chip_loop::ChipLoop;
use crate::data::Dataset;
use crate::experiment::{Backward, Experiment};
use crate::trainer::{TrainError, Trainer};
use serde::{Deserialize, Serialize};
use spikeloop_calibration::bench::Cost;
use spikeloop_calibration::cache::{Cache, Key};
use spikeloop_calibration::measure::Effort;
use spikeloop_calibration::measure::synapses::Synapses;
use spikeloop_calibration::targets::TargetFile;
use spikeloop_calibration::twin::probe::{self, Agreement};
use spikeloop_calibration::{Bench, Calibration, Codes, twin};
use spikeloop_hal::emulator::{DrawnChip, Emulator};
use spikeloop_hal::{Capabilities, Chip};
use spikeloop_models::network::Network;
use std::path::{Path, PathBuf};

/// Trial series of the measurements for a twin, apart from those of calibrations: other noise.
const SERIES: u32 = 0x7717;

/// What can go wrong with a twin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TwinError {
    /// Measuring.
    #[error(transparent)]
    Calibration(#[from] spikeloop_calibration::Error),
    /// A chip or its emulation.
    #[error(transparent)]
    Chip(#[from] spikeloop_hal::Error),
    /// A file that is no chip.
    #[error(transparent)]
    File(#[from] spikeloop_hal::emulator::EmulatorError),
    /// A twin at other codes than those it is to be used with.
    #[error(
        "{path} describes the chip {described}, not {wanted}: make another with `spikeloop twin fit`{remedy}"
    )]
    OtherCodes {
        /// The file.
        path: PathBuf,
        /// At which codes it describes the chip.
        described: &'static str,
        /// At which codes it is to be used.
        wanted: &'static str,
        /// Option to be added.
        remedy: &'static str,
    },
    /// A chip file that is not the twin of this chip.
    #[error(
        "{path} is not a twin of {chip} but of {of}: make one with `spikeloop twin fit --chip ...`"
    )]
    OtherChip {
        /// The file.
        path: PathBuf,
        /// What the file describes.
        of: String,
        /// The chip that is there.
        chip: String,
    },
}

/// A twin of one chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// As an emulated chip.
    pub drawn: DrawnChip,
    /// The calibration under the twin's name.
    pub calibration: Calibration,
    /// Codes at which it describes the chip.
    pub codes: Codes,
}

/// A chip after everything a twin needs was measured on it.
pub struct Measured {
    /// The chip.
    pub chip: Box<dyn Chip>,
    /// What it says it is.
    pub caps: Capabilities,
    /// Its calibration.
    pub calibration: Calibration,
    /// Its synapses.
    pub synapses: Synapses,
    /// What measuring them cost.
    pub cost: Cost,
}

impl Measured {
    /// Measures the synapses of a calibrated chip.
    ///
    /// # Errors
    /// Failures of the chip, a calibration of another one, a chip without converter.
    pub fn new(chip: Box<dyn Chip>, calibration: Calibration) -> Result<Self, TwinError> {
        let mut bench = Bench::new(chip, SERIES);
        let synapses = twin::synapses(&mut bench, &calibration, Effort::default())?;
        let (caps, cost) = (bench.capabilities().clone(), bench.cost());
        Ok(Self { chip: bench.into_chip(), caps, calibration, synapses, cost })
    }

    /// The twin at the codes of the calibration or at one code for all neurons.
    ///
    /// # Errors
    /// [`TwinError::Chip`] if such a chip cannot be emulated.
    pub fn twin(&self, codes: Codes) -> Result<Twin, TwinError> {
        let drawn = twin::describe_at(&self.caps, &self.calibration, &self.synapses, codes);
        Twin::new(drawn, &self.calibration)
    }
}

impl Twin {
    fn new(drawn: DrawnChip, calibration: &Calibration) -> Result<Self, TwinError> {
        let emulator = Emulator::from_chip(drawn.clone(), None, 1)?;
        let calibration = twin::calibration_of(emulator.capabilities(), calibration);
        let codes = twin::setting_of(&drawn);
        Ok(Self { drawn, calibration, codes })
    }

    /// The emulator that plays it.
    ///
    /// # Errors
    /// [`TwinError::Chip`].
    pub fn open(&self, threads: usize) -> Result<Box<dyn Chip>, TwinError> {
        Ok(Box::new(Emulator::from_chip(self.drawn.clone(), None, threads)?))
    }

    /// The file of the calibration that belongs to the twin in `path`.
    #[must_use]
    pub fn calibration_path(path: &Path) -> PathBuf {
        path.with_extension("calibration.json")
    }

    /// Writes the twin and, if it stands at calibrated codes, its calibration, and puts the calibration where runs
    /// look for it. Returns the calibration's file.
    ///
    /// # Errors
    /// Files that cannot be written. A cache that cannot be written is none: the file remains.
    pub fn save(&self, path: &Path, cache: &Cache) -> Result<Option<PathBuf>, TwinError> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            // What cannot be made here is reported when the file is written.
            let _ = std::fs::create_dir_all(folder);
        }
        self.drawn.save(path)?;
        if self.codes == Codes::Uniform {
            return Ok(None);
        }
        let beside = Self::calibration_path(path);
        self.calibration.save(&beside)?;
        let emulator = Emulator::from_chip(self.drawn.clone(), None, 1)?;
        let key = Key::new(emulator.capabilities(), &TargetFile::default())?;
        if let Err(error) = cache.store(&key, &self.calibration) {
            tracing::warn!("runs on the twin need --calibration {}: {error}", beside.display());
        }
        Ok(Some(beside))
    }

    /// Reads the twin in `path` of the chip that `caps` describe, with the calibration of the chip, to be used at
    /// `codes`.
    ///
    /// # Errors
    /// A file that is missing or damaged, [`TwinError::OtherChip`], [`TwinError::OtherCodes`].
    pub fn load(
        path: &Path,
        caps: &Capabilities,
        calibration: &Calibration,
        codes: Codes,
    ) -> Result<Self, TwinError> {
        let twin = Self::new(read(path, caps)?, calibration)?;
        if twin.codes == codes {
            return Ok(twin);
        }
        let [described, wanted] = [twin.codes, codes].map(|c| match c {
            Codes::Calibrated => "at calibrated codes",
            Codes::Uniform => "with one code for all neurons",
        });
        let remedy = if codes == Codes::Uniform { " --uncalibrated" } else { "" };
        Err(TwinError::OtherCodes { path: path.to_owned(), described, wanted, remedy })
    }
}

/// Reads a chip file that must describe the chip of `caps`.
///
/// # Errors
/// A file that is missing or damaged, [`TwinError::OtherChip`].
pub fn read(path: &Path, caps: &Capabilities) -> Result<DrawnChip, TwinError> {
    let drawn = DrawnChip::load(path)?;
    if twin::is_of(&drawn, caps) {
        return Ok(drawn);
    }
    let of = match drawn.profile.name.strip_prefix("twin-of-") {
        Some(kind) => format!("{kind}/{:016x}", drawn.seed),
        None => format!("{}, which is an emulated chip and no twin", drawn.profile.name),
    };
    let chip = caps.identity.to_string();
    Err(TwinError::OtherChip { path: path.to_owned(), of, chip })
}

/// A chip with its calibration, and what was spent on that now, if it was.
pub type Calibrated = (Box<dyn Chip>, Calibration, Option<Cost>);

/// The calibration of a chip: the one given, or made now with the default targets and kept in `cache`. Gives the
/// chip back, and what was spent now.
///
/// # Errors
/// Failures of the chip; [`spikeloop_calibration::Error::TwinNeedsMembranes`] before anything is measured on a chip
/// without converter.
pub fn calibrated(
    chip: Box<dyn Chip>,
    known: Option<Calibration>,
    cache: &Cache,
    time: String,
) -> Result<Calibrated, TwinError> {
    if chip.capabilities().adc.is_none() {
        return Err(spikeloop_calibration::Error::TwinNeedsMembranes.into());
    }
    if let Some(calibration) = known {
        calibration.check(chip.capabilities())?;
        return Ok((chip, calibration, None));
    }
    let targets = TargetFile::default();
    let request = Request { targets: &targets, cache, fresh: false, time };
    let outcome = calibrate::calibrate(chip, &request, &calibrate::Unwatched)?;
    let cost = (!outcome.reused).then_some(outcome.calibration.cost);
    Ok((outcome.chip, outcome.calibration, cost))
}

/// Runs random programs on a chip and its twin. Gives the chip back, with what the check cost on it.
///
/// # Errors
/// Failures of either.
pub fn check(
    chip: Box<dyn Chip>,
    calibration: &Calibration,
    twin: &Twin,
    threads: usize,
) -> Result<(Box<dyn Chip>, Agreement, Cost), TwinError> {
    let mut bench = Bench::new(chip, SERIES + 1);
    let mut played = Bench::new(twin.open(threads)?, SERIES + 1);
    let agreement = probe::compare(&mut bench, &mut played, calibration, twin.codes, 1)?;
    let cost = bench.cost();
    Ok((bench.into_chip(), agreement, cost))
}

/// Accuracy of a network on a chip on the test set. `calibration` is the chip's own, `None` for one code for
/// all neurons.
///
/// # Errors
/// A network that does not fit, failures of the chip.
pub fn accuracy(
    experiment: &Experiment,
    data: &Dataset,
    network: &Network<f32>,
    chip: Box<dyn Chip>,
    calibration: Option<&Calibration>,
) -> Result<f64, TrainError> {
    let mut experiment = experiment.clone();
    experiment.chip.backward = Backward::Nominal;
    experiment.chip.codes = Codes::Calibrated;
    let mut trainer = Trainer::new(&experiment, data)?;
    trainer.network.clone_from(network);
    let observe = experiment.chip.observe;
    let chip = ChipLoop::calibrated(chip, network, &experiment, observe, calibration)?;
    trainer.attach(chip);
    Ok(trainer.evaluate(&data.test, 0)?.tally.accuracy())
}

/// One network on a chip and on its twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Which network.
    pub name: String,
    /// Accuracy on the chip.
    pub chip: f64,
    /// Accuracy on the twin.
    pub twin: f64,
}

/// How well a twin foretells accuracies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Network by network.
    pub pairs: Vec<Pair>,
    /// Mean absolute difference of the accuracies.
    pub mean_error: f64,
    /// Mean of twin − chip.
    pub bias: f64,
    /// Rank correlation (Spearman); `None` for less than three networks.
    pub rank_correlation: Option<f64>,
}

impl Forecast {
    /// Sums pairs up.
    #[must_use]
    pub fn new(pairs: Vec<Pair>) -> Self {
        let n = pairs.len().max(1) as f64;
        let side = |of: fn(&Pair) -> f64| pairs.iter().map(of).collect::<Vec<_>>();
        let (chip, twin) = (side(|p| p.chip), side(|p| p.twin));
        Self {
            mean_error: pairs.iter().map(|p| (p.twin - p.chip).abs()).sum::<f64>() / n,
            bias: pairs.iter().map(|p| p.twin - p.chip).sum::<f64>() / n,
            rank_correlation: (pairs.len() > 2).then(|| rank_correlation(&chip, &twin)),
            pairs,
        }
    }
}

/// Spearman's rank correlation, ties at their mean rank; 0 where one side is constant.
#[must_use]
pub fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        let below = |x: f64| values.iter().filter(|y| **y < x).count() as f64;
        let same = |x: f64| values.iter().filter(|y| **y == x).count() as f64;
        values.iter().map(|x| below(*x) + 0.5 * (same(*x) - 1.0)).collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 - 1.0) / 2.0;
    let sum = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - middle) * (y - middle)).sum()
    };
    let power = sum(&a, &a) * sum(&b, &b);
    if power > 0.0 { sum(&a, &b) / power.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_spearman_says() {
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[10.0, 20.0, 90.0]), 1.0);
        assert_eq!(rank_correlation(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), -1.0);
        // 1 − 6 Σd² / n(n² − 1) with d = (0, 1, 1, 0).
        let found = rank_correlation(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]);
        assert!((found - 0.8).abs() < 1e-12);
        assert_eq!(rank_correlation(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), 0.0);
    }

    #[test]
    fn forecasts_sum_up() {
        let pair = |chip, twin| Pair { name: "n".into(), chip, twin };
        let forecast = Forecast::new(vec![pair(0.9, 0.92), pair(0.8, 0.79)]);
        assert!((forecast.mean_error - 0.015).abs() < 1e-12);
        assert!((forecast.bias - 0.005).abs() < 1e-12);
        assert_eq!(forecast.rank_correlation, None);
    }
}
