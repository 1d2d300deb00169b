//! Which calibration a command uses, and how it is named in results.
//!
//! ```text
//! --calibration FILE   that one; refused if it is of another chip or firmware
//! --calibration none   none
//! nothing              the newest of the chip in the cache, if there is one
//! ```
//!
//! A run keeps a copy of its calibration in its folder: codes belong to weights.

use serde::{Deserialize, Serialize};
use spikeloop_calibration::cache::Cache;
use spikeloop_calibration::{Calibration, Codes, Error};
use spikeloop_hal::{Capabilities, Chip};
use std::path::{Path, PathBuf};

/// Which calibration is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The newest of the chip, if there is one.
    #[default]
    Latest,
    /// None.
    None,
    /// The one in a file.
    File(PathBuf),
}

impl std::str::FromStr for Choice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "none" => Self::None,
            "latest" => Self::Latest,
            path => Self::File(PathBuf::from(path)),
        })
    }
}

/// A calibration and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// Its file.
    pub path: PathBuf,
    /// The calibration.
    pub calibration: Calibration,
}

/// A chip that was opened, with what is known about it.
pub struct Device {
    /// How it was reached.
    pub selector: String,
    /// The chip.
    pub chip: Box<dyn Chip>,
    /// Its calibration, if one is used.
    pub calibration: Option<Chosen>,
}

impl Choice {
    /// The calibration for the chip that `caps` describe.
    ///
    /// # Errors
    /// A file that cannot be used, or that belongs to another chip or firmware. The cache is only
    /// searched: what does not fit there is passed over.
    pub fn find(&self, caps: &Capabilities, cache: &Cache) -> Result<Option<Chosen>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Latest => {
                let found = cache.latest_for(caps);
                Ok(found.map(|(path, calibration)| Chosen { path, calibration }))
            }
            Self::File(path) => Chosen::load(path, caps).map(Some),
        }
    }
}

impl Chosen {
    /// A file that must belong to the chip that `caps` describe.
    ///
    /// # Errors
    /// As [`Calibration::load`] and [`Calibration::check`].
    pub fn load(path: &Path, caps: &Capabilities) -> Result<Self, Error> {
        let calibration = Calibration::load(path)?;
        calibration.check(caps)?;
        Ok(Self { path: path.to_owned(), calibration })
    }

    /// How results name it. `now` are seconds since 1970.
    #[must_use]
    pub fn summary(&self, codes: Codes, now: u64) -> CalibrationSummary {
        let time = self.calibration.provenance.time.clone();
        let age_h = seconds_of(&time).map(|then| now.saturating_sub(then) as f64 / 3600.0);
        CalibrationSummary {
            path: self.path.display().to_string(),
            id: id(&self.calibration),
            age_h: age_h.map(|h| (h * 100.0).round() / 100.0),
            time,
            temperature_c: self.calibration.provenance.temperature_c,
            codes,
            usable: self.calibration.success(),
            left_out: self.calibration.usable().iter().filter(|usable| !**usable).count(),
        }
    }
}

/// The calibration of a run, as results and checkpoints name it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationSummary {
    /// File it was read from.
    pub path: String,
    /// Hash of its content: equal ones are the same calibration.
    pub id: String,
    /// When it was made, UTC.
    pub time: String,
    /// How old it was when the run began, in hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_h: Option<f64>,
    /// Temperature at which it was made, °C.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f32>,
    /// Whether its codes are used, or only its values.
    pub codes: Codes,
    /// Share of the neurons of the chip that can be used.
    pub usable: f64,
    /// Neurons that cannot be used.
    pub left_out: usize,
}

impl CalibrationSummary {
    /// In a line.
    #[must_use]
    pub fn line(&self) -> String {
        let age = match self.age_h {
            Some(h) if h >= 48.0 => format!(", {:.0} days old", h / 24.0),
            Some(h) => format!(", {h:.1} hours old"),
            None => String::new(),
        };
        let use_ = match self.codes {
            Codes::Calibrated => format!(
                "{:.1} % of the neurons usable, {} left out",
                100.0 * self.usable,
                self.left_out
            ),
            Codes::Uniform => "its values only, all codes equal".to_owned(),
        };
        format!("{}{age}, {use_} ({})", self.time, self.path)
    }
}

/// A hash of everything in a calibration (FNV-1a over its file).
fn id(calibration: &Calibration) -> String {
    let text = serde_json::to_string(calibration).unwrap_or_default();
    let eat = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, eat))
}

/// Seconds since 1970 of a time such as `2026-11-22T09:30:00Z`.
fn seconds_of(time: &str) -> Option<u64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(by).map(|p| p.parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let ([year, month, day], [h, m, s]) = (numbers(date, '-')?, numbers(clock, ':')?);
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Days from 1 March of the year 0: leap days then stand at the end of a year.
    let (y, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + h * 3600 + m * 60 + s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nonsense_is_not() {
        assert_eq!(seconds_of("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds_of("2000-02-29T12:00:01Z"), Some(951_825_601));
        assert_eq!(seconds_of("2026-11-22T09:30:00Z"), Some(1_795_339_800));
        for bad in ["", "test", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T09:30Z"] {
            assert_eq!(seconds_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn words_and_paths_are_told_apart() {
        let parse = |text: &str| text.parse::<Choice>();
        assert_eq!(parse("none"), Ok(Choice::None));
        assert_eq!(parse("latest"), Ok(Choice::Latest));
        assert_eq!(parse("a/b.json"), Ok(Choice::File("a/b.json".into())));
    }
}
