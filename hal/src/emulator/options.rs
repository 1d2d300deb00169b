//! An emulated chip from `key=value` options, as they stand in a selector.

use super::Emulator;
use super::environment::Environment;
use super::error::EmulatorError;
use super::mismatch::DrawnChip;
use super::profile::Profile;
use crate::error::Error;
use crate::nearest::{hint, nearest};
use std::path::Path;

/// Keys that [`Emulator::from_options`] understands.
pub const KEYS: [&str; 11] = [
    "preset",
    "profile",
    "chip",
    "seed",
    "noise_seed",
    "sigma",
    "neurons",
    "inputs",
    "noise",
    "hours",
    "temperature",
];

fn number<T: std::str::FromStr>(
    key: &str,
    value: &str,
    expected: &'static str,
) -> Result<T, EmulatorError> {
    value.trim().parse().map_err(|_| EmulatorError::OptionValue {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    })
}

impl Emulator {
    /// A chip from options: `preset` (default `bss2-cal`) or `profile=FILE` or `chip=FILE` (a saved
    /// chip, whose values stand), `seed` (which chip of its kind, default 1), `noise_seed` (default
    /// follows from the chip), `sigma` (factor on all mismatch; for `pnas-decal` the sigma of its
    /// definition), `neurons`, `inputs`, `noise=off`, and `hours` (of drift, default 0) and
    /// `temperature` (in °C, default 25), see [`Environment`].
    ///
    /// # Errors
    /// [`EmulatorError::UnknownOption`] naming the nearest key, [`EmulatorError::OptionValue`], and what
    /// [`Profile::preset`], [`Profile::from_toml`] and [`DrawnChip::load`] report.
    pub fn from_options(options: &[(String, String)], threads: usize) -> Result<Self, Error> {
        for (key, _) in options {
            if !KEYS.contains(&key.as_str()) {
                return Err(EmulatorError::UnknownOption {
                    key: key.clone(),
                    hint: hint(nearest(key, KEYS)),
                }
                .into());
            }
        }
        let get =
            |name: &str| options.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        let noise_seed =
            get("noise_seed").map(|v| number("noise_seed", v, "a whole number")).transpose()?;
        let mut environment = Environment::default();
        if let Some(value) = get("hours") {
            environment.hours = number("hours", value, "hours from 0 to 10000")?;
        }
        if let Some(value) = get("temperature") {
            let expected = "degrees Celsius from -40 to 85";
            environment.temperature_c = number("temperature", value, expected)?;
        }
        environment.check()?;
        let quiet = match get("noise") {
            None | Some("on") => false,
            Some("off") => true,
            Some(other) => {
                let (key, value) = ("noise".to_owned(), other.to_owned());
                return Err(EmulatorError::OptionValue { key, value, expected: "on or off" }.into());
            }
        };
        if let Some(path) = get("chip") {
            let fixed = ["preset", "profile", "seed", "sigma", "neurons", "inputs"];
            if let Some(key) = fixed.iter().find(|key| get(key).is_some()) {
                let value = get(key).unwrap_or_default().to_owned();
                let expected = "nothing beside chip=FILE: the file fixes it";
                let key = (*key).to_owned();
                return Err(EmulatorError::OptionValue { key, value, expected }.into());
            }
            let mut chip = DrawnChip::load(Path::new(path))?;
            if quiet {
                chip.profile = chip.profile.without_noise();
            }
            return Self::in_environment(chip, environment, noise_seed, threads);
        }
        let mut profile = match get("profile") {
            Some(path) => {
                let file = Path::new(path);
                let failed = |reason: String| EmulatorError::File { path: file.to_owned(), reason };
                let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
                Profile::from_toml(&text).map_err(|e| failed(e.to_string()))?
            }
            None => Profile::preset(get("preset").unwrap_or("bss2-cal"))?,
        };
        if let Some(value) = get("sigma") {
            profile.sigma = number("sigma", value, "a number from 0 to 100")?;
        }
        if let Some(value) = get("neurons") {
            profile.size.neurons = number("neurons", value, "a number of neurons from 1 to 4096")?;
        }
        if let Some(value) = get("inputs") {
            profile.size.inputs = number("inputs", value, "a number of inputs from 1 to 4096")?;
        }
        profile.check()?;
        if quiet {
            profile = profile.without_noise();
        }
        let seed = match get("seed") {
            Some(value) => number("seed", value, "a whole number")?,
            None => 1,
        };
        Self::in_environment(DrawnChip::draw(&profile, seed), environment, noise_seed, threads)
    }
}
