//! What a calibrated chip should be: target values in a TOML file, with units.
//!
//! ```toml
//! [targets]
//! leak_potential = "80 LSB"
//! threshold = "150 LSB"
//! tau_mem = "6 us"
//!
//! [options]
//! repeats = 1.0
//! ```
//!
//! Parameters that are not named keep the design value of their code after power-up as target. The references of
//! the synaptic inputs (`offset_exc`, `offset_inh`) are only searched if they are named: what they shift, the leak
//! potential takes back.

use crate::error::Error;
use crate::search::Algorithm;
use serde::{Deserialize, Serialize};
use spikeloop_hal::{Capabilities, Parameter, Unit};
use std::collections::BTreeMap;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFile {
    /// Wanted values by name, with their unit.
    #[serde(default)]
    pub targets: BTreeMap<String, String>,
    /// How to get there.
    #[serde(default)]
    pub options: Options,
}

/// How a calibration is made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Factor on the repetitions of every measurement: errors fall with its square root.
    pub repeats: f64,
    /// How codes are searched.
    pub algorithm: Algorithm,
    /// Deviation below which nothing is gained, as a share of θ (potentials) or of the target (all others).
    pub tolerance: f64,
    /// Deviation above which a neuron counts as failed, in the same measure.
    pub accept: f64,
    /// Seed of noisy searches.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { repeats: 1.0, algorithm: Algorithm::Model, tolerance: 0.01, accept: 0.12, seed: 1 }
    }
}

/// A wanted value in the unit of its parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Which parameter.
    pub parameter: Parameter,
    /// Wanted value.
    pub value: f64,
    /// Values the codes reach by design.
    pub feasible: (f64, f64),
}

impl Target {
    /// Whether the design reaches it.
    #[must_use]
    pub fn is_feasible(&self) -> bool {
        (self.feasible.0..=self.feasible.1).contains(&self.value)
    }
}

/// θ in LSB that targets aim at; 70, that of BrainScaleS-2 (published), where they do not say.
pub(crate) fn theta<'a>(targets: impl IntoIterator<Item = &'a Target>) -> f64 {
    let (mut threshold, mut leak) = (None, None);
    for target in targets {
        match target.parameter {
            Parameter::Threshold => threshold = Some(target.value),
            Parameter::LeakPotential => leak = Some(target.value),
            _ => {}
        }
    }
    match (threshold, leak) {
        (Some(threshold), Some(leak)) if threshold > leak => threshold - leak,
        _ => 70.0,
    }
}

/// Whether a parameter is searched when nobody names it.
fn by_default(parameter: Parameter) -> bool {
    !matches!(parameter, Parameter::OffsetExc | Parameter::OffsetInh)
}

impl TargetFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::TargetFile`] with what is wrong and where.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let file: Self = toml::from_str(text)
            .map_err(|e| Error::TargetFile { reason: e.to_string().trim_end().to_owned() })?;
        let options = &file.options;
        for (key, value, fine) in [
            ("options.repeats", options.repeats, (0.05..=100.0).contains(&options.repeats)),
            ("options.tolerance", options.tolerance, (0.0..1.0).contains(&options.tolerance)),
            ("options.accept", options.accept, (0.0..=10.0).contains(&options.accept)),
        ] {
            if !fine {
                let reason = format!(
                    "{key} = {value} makes no sense (repeats 0.05 to 100, tolerance 0 to 1, accept 0 to 10)"
                );
                return Err(Error::TargetFile { reason });
            }
        }
        Ok(file)
    }

    /// Targets for a chip: those named, then the design values of the rest.
    ///
    /// # Errors
    /// [`Error::TargetFile`] for a name or a unit that does not exist; [`Error::MissingParameter`] for a
    /// parameter that this chip does not have.
    pub fn resolve(&self, caps: &Capabilities) -> Result<Vec<Target>, Error> {
        let mut wanted = BTreeMap::new();
        for (name, text) in &self.targets {
            let Some(parameter) = Parameter::ALL.into_iter().find(|p| p.name() == name) else {
                let known = Parameter::ALL.map(Parameter::name).join(", ");
                let reason = format!("targets.{name}: no such parameter; there are {known}");
                return Err(Error::TargetFile { reason });
            };
            let spec = caps.parameter(parameter).ok_or(Error::MissingParameter { parameter })?;
            wanted.insert(parameter, quantity(name, text, spec.unit)?);
        }
        Ok(caps
            .parameters
            .iter()
            .filter(|spec| by_default(spec.parameter) || wanted.contains_key(&spec.parameter))
            .map(|spec| {
                let ends = [spec.value(spec.code_min), spec.value(spec.code_max)].map(f64::from);
                let design = f64::from(spec.value(spec.code_default));
                Target {
                    parameter: spec.parameter,
                    value: wanted.get(&spec.parameter).copied().unwrap_or(design),
                    feasible: (ends[0].min(ends[1]), ends[0].max(ends[1])),
                }
            })
            .collect())
    }
}

/// Symbol of a unit, as in target files and tables.
#[must_use]
pub fn symbol(unit: Unit) -> &'static str {
    match unit {
        Unit::Lsb => "LSB",
        Unit::Microseconds => "us",
        Unit::LsbPerMicrosecondPerCode => "LSB/us/code",
        Unit::LsbPerMicrosecond => "LSB/us",
        _ => "",
    }
}

/// `"6 us"` in the unit of the parameter. Times may also be given in ns, ms or s.
fn quantity(name: &str, text: &str, unit: Unit) -> Result<f64, Error> {
    let fail = |reason: String| Error::TargetFile { reason: format!("targets.{name}: {reason}") };
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace()).unwrap_or_else(|| {
        text.find(|c: char| c.is_alphabetic() && !matches!(c, 'e' | 'E')).unwrap_or(text.len())
    });
    let (number, given) = text.split_at(end);
    let value: f64 = number
        .parse()
        .map_err(|_| fail(format!("{text:?} is not a number with a unit such as \"6 us\"")))?;
    let given = given.trim();
    let factor = match (unit, given) {
        (Unit::Microseconds, "us" | "µs") => 1.0,
        (Unit::Microseconds, "ns") => 1e-3,
        (Unit::Microseconds, "ms") => 1e3,
        (Unit::Microseconds, "s") => 1e6,
        (_, own) if own == symbol(unit) => 1.0,
        (_, "") => return Err(fail(format!("the unit is missing: {value} {}?", symbol(unit)))),
        (_, other) => {
            return Err(fail(format!(
                "unit {other:?} does not fit, it is measured in {}",
                symbol(unit)
            )));
        }
    };
    // Also what is finite may be too large in the unit of the chip.
    let value = value * factor;
    if value.is_finite() { Ok(value) } else { Err(fail("must be finite".into())) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use spikeloop_hal::emulator::Profile;

    fn caps() -> Capabilities {
        Profile::preset("bss2-chip66-uncal").unwrap().capabilities(0).unwrap()
    }

    #[test]
    fn targets_come_with_units() {
        let text = "[targets]\ntau_mem = \"6000 ns\"\nthreshold = \"140 LSB\"\n";
        let targets = TargetFile::from_toml(text).unwrap().resolve(&caps()).unwrap();
        let of = |p| targets.iter().find(|t: &&Target| t.parameter == p).unwrap();
        assert!((of(Parameter::TauMem).value - 6.0).abs() < 1e-9);
        assert!((of(Parameter::Threshold).value - 140.0).abs() < 1e-9);
        // Not named: the design value after power-up.
        assert!((of(Parameter::LeakPotential).value - 80.0).abs() < 0.01);
        assert!(of(Parameter::TauMem).is_feasible());
        assert!(!targets.iter().any(|t| t.parameter == Parameter::OffsetExc));
    }

    #[test]
    fn nonsense_is_explained() {
        let refuse = |text: &str| {
            let file = TargetFile::from_toml(text)?;
            file.resolve(&caps()).map(|_| ())
        };
        for (text, part) in [
            ("[targets]\ntau = \"6 us\"", "tau_mem"),
            ("[targets]\ntau_mem = \"6\"", "unit is missing"),
            ("[targets]\ntau_mem = \"6 LSB\"", "measured in us"),
            ("[targets]\ntau_mem = \"fast\"", "not a number"),
            ("[options]\nrepeats = 0", "repeats"),
            ("[option]\n", "option"),
        ] {
            let message = refuse(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
    }
}
