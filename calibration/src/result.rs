//! What a calibration found: codes, what they give, how sure that is, and who failed.

use crate::bench::Cost;
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit::trimmed_std;
use crate::measure::Converter;
use crate::measure::rate::Rates;
use crate::measure::weights::Weights;
use crate::targets::{Options, Target};
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, ChipConfig, NeuronId, Parameter, Unit};
use std::path::Path;

/// Share cut off at each tail of a distribution before its spread is taken (published).
pub const TRIM: f64 = 0.05;
/// Standard deviation of a normal distribution that is cut at its 5 % and 95 % points, relative to the
/// uncut one: `√(1 − 2 · 1.645 φ(1.645) / 0.9)`.
const TRIMMED_NORMAL: f64 = 0.7894;

/// Which chip, and under which circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Kind of chip.
    pub kind: String,
    /// Kind and serial, as the chip names itself.
    pub chip: String,
    /// Version of its firmware, `major << 16 | minor << 8 | patch`.
    pub firmware: u32,
    /// Version of this library.
    pub version: String,
    /// Temperature of the chip in °C, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f32>,
    /// When, in UTC, as `2026-11-22T09:30:00Z`.
    pub time: String,
}

/// One parameter of all neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterResult {
    /// Which.
    pub parameter: Parameter,
    /// Unit of the values.
    pub unit: Unit,
    /// What was wanted.
    pub target: Target,
    /// Codes found.
    pub codes: Vec<u16>,
    /// Values with one code for all neurons, before anything was set.
    pub before: Vec<Estimate>,
    /// Values with the codes found, measured anew after everything was set.
    pub after: Vec<Estimate>,
    /// Relative error that repeated measurements share, because they use the same synapses. Part of the
    /// uncertainty of each value, but not of the scatter between measurements.
    pub shared_error: f64,
    /// Judgement of each neuron.
    pub verdict: Vec<Flag>,
    /// Round trips spent.
    pub round_trips: u64,
}

impl ParameterResult {
    /// Spread before, in the unit of the values: 5 % trimmed, noise of the measurement taken out.
    #[must_use]
    pub fn sigma_before(&self) -> f64 {
        spread(&self.before, self.shared_error)
    }

    /// Spread after.
    #[must_use]
    pub fn sigma_after(&self) -> f64 {
        spread(&self.after, self.shared_error)
    }

    /// Spread after as a share of that before; NaN if none was seen before.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let before = self.sigma_before();
        if before > 0.0 { self.sigma_after() / before } else { f64::NAN }
    }

    /// Neurons that failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.verdict.iter().filter(|v| **v != Flag::Good).count()
    }
}

/// Trimmed spread of the true values: that of the good estimates, without the noise of the measurement, with
/// the error that search and verification share (the search took it for a deviation and corrected it).
fn spread(estimates: &[Estimate], shared_error: f64) -> f64 {
    let good = || estimates.iter().filter(|e| e.is_good());
    let count = good().count().max(1) as f64;
    let total = trimmed_std(good().map(|e| e.value), TRIM);
    let shared = |e: &Estimate| (shared_error * e.value).powi(2);
    let noise = good().map(|e| e.sigma * e.sigma - 2.0 * shared(e)).sum::<f64>() / count;
    (total * total - TRIMMED_NORMAL * TRIMMED_NORMAL * noise).max(0.0).sqrt()
}

/// A neuron that should not be used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which.
    pub neuron: NeuronId,
    /// Which parameter; none if the whole neuron is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<Parameter>,
    /// Why.
    pub reason: Flag,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "neuron {}: ", self.neuron)?;
        if let Some(parameter) = self.parameter {
            write!(f, "{}: ", parameter.name())?;
        }
        f.write_str(self.reason.reason())
    }
}

/// The result of a calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Version of this file format.
    pub format: u32,
    /// Which chip, when.
    pub provenance: Provenance,
    /// How.
    pub options: Options,
    /// All parameters that were set, in the order of the wire.
    pub parameters: Vec<ParameterResult>,
    /// The converter channels.
    pub converter: Converter,
    /// Standard deviation of the threshold from trial to trial, LSB; empty if unknown.
    #[serde(default, with = "crate::nan::list")]
    pub threshold_noise: Vec<f64>,
    /// Weights, on chips with a converter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Firing rates after calibration.
    pub rates: Rates,
    /// Every neuron that is not to be used, with the reason.
    pub failures: Vec<Failure>,
    /// Parameters that could not be calibrated, and why.
    #[serde(default)]
    pub unavailable: Vec<String>,
    /// What was decided on the way, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What it cost.
    pub cost: Cost,
}

impl Calibration {
    /// Version of the file format written by this build.
    pub const FORMAT: u32 = 1;

    /// Number of neurons.
    #[must_use]
    pub fn neurons(&self) -> usize {
        self.rates.khz.len()
    }

    /// Result for one parameter.
    #[must_use]
    pub fn parameter(&self, parameter: Parameter) -> Option<&ParameterResult> {
        self.parameters.iter().find(|p| p.parameter == parameter)
    }

    /// Which neurons can be used, `[neuron]`.
    #[must_use]
    pub fn usable(&self) -> Vec<bool> {
        let mut usable = vec![true; self.neurons()];
        for failure in &self.failures {
            if let Some(cell) = usable.get_mut(usize::from(failure.neuron)) {
                *cell = false;
            }
        }
        usable
    }

    /// Share of the neurons that can be used.
    #[must_use]
    pub fn success(&self) -> f64 {
        let usable = self.usable();
        usable.iter().filter(|u| **u).count() as f64 / usable.len().max(1) as f64
    }

    /// Writes the codes into `config`.
    pub fn apply(&self, config: &mut ChipConfig) {
        for result in &self.parameters {
            if let Some(codes) = config.codes_mut(result.parameter) {
                codes.copy_from_slice(&result.codes);
            }
        }
    }

    /// Checks that this belongs to a chip.
    ///
    /// # Errors
    /// [`Error::OtherChip`], [`Error::OtherFirmware`], [`Error::OtherSize`].
    pub fn check(&self, caps: &Capabilities) -> Result<(), Error> {
        let chip = caps.identity.to_string();
        if chip != self.provenance.chip {
            let calibrated = self.provenance.chip.clone();
            return Err(Error::OtherChip { calibrated, present: chip });
        }
        if caps.identity.firmware != self.provenance.firmware {
            return Err(Error::OtherFirmware {
                calibrated: self.provenance.firmware,
                present: caps.identity.firmware,
            });
        }
        let (calibrated, present) = (self.neurons(), usize::from(caps.neurons));
        if calibrated != present {
            return Err(Error::OtherSize { calibrated, present });
        }
        Ok(())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::CalibrationFile`] if it cannot be read, is truncated, or was written in another format.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::CalibrationFile {
            path: path.display().to_string(),
            reason: e.to_string(),
        })?;
        Self::from_json(&text, path)
    }

    /// Reads what stands in a file; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_json(text: &str, path: &Path) -> Result<Self, Error> {
        let fail =
            |reason: String| Error::CalibrationFile { path: path.display().to_string(), reason };
        let calibration: Self = serde_json::from_str(text).map_err(|e| {
            let kind = if e.is_eof() { "the file is truncated: " } else { "" };
            fail(format!("{kind}{e}"))
        })?;
        if calibration.format != Self::FORMAT {
            return Err(fail(format!(
                "format {} was written, this build reads {}",
                calibration.format,
                Self::FORMAT
            )));
        }
        calibration.check_shape().map_err(fail)?;
        Ok(calibration)
    }

    fn check_shape(&self) -> Result<(), String> {
        let n = self.neurons();
        for p in &self.parameters {
            let lengths = [p.codes.len(), p.before.len(), p.after.len(), p.verdict.len()];
            if let Some(odd) = lengths.into_iter().find(|len| *len != n) {
                return Err(format!("{}: {odd} entries for {n} neurons", p.parameter.name()));
            }
        }
        let channels = [self.converter.offset.len(), self.converter.gain.len()];
        match channels.into_iter().find(|len| *len != n) {
            Some(odd) => Err(format!("converter: {odd} channels for {n} neurons")),
            None => Ok(()),
        }
    }

    /// Writes a file: under another name first, so that nobody ever sees half of it.
    ///
    /// # Errors
    /// [`Error::CalibrationFile`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, self)
    }
}

/// Writes JSON under another name, then renames it.
pub(crate) fn write_atomically(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let fail = |reason: String| Error::CalibrationFile { path: path.display().to_string(), reason };
    let text = serde_json::to_string(value).map_err(|e| fail(e.to_string()))?;
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| fail(e.to_string()))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    std::fs::write(&temporary, text)
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|e| fail(e.to_string()))
}

/// Raw data of the last measurements, for pictures. Not part of the file.
#[derive(Clone, Debug, Default)]
pub struct RawData {
    /// After a spike: traces and fits.
    pub relaxation: Option<crate::measure::relaxation::Relaxation>,
    /// Responses to a volley, with fits.
    pub psp: Option<crate::measure::psp::TimeConstants>,
    /// Ramps.
    pub threshold: Option<crate::measure::threshold::Threshold>,
    /// Single samples of quiet membranes, for the noise.
    pub rest: Option<crate::measure::rest::Quiet>,
}
