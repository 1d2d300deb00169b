//! A drawn chip as a file: the same bits come back.

use super::error::EmulatorError;
use super::mismatch::DrawnChip;
use std::path::Path;

/// `u64` as a hexadecimal string: TOML integers are signed.
pub(crate) mod hex_u64 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:016x}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16)
            .map_err(|_| D::Error::custom("16 hexadecimal digits expected"))
    }
}

/// An optional `u64` as a hexadecimal string.
pub(crate) mod hex_option {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::hex_u64::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        super::hex_u64::deserialize(deserializer).map(Some)
    }
}

/// Many `i16` as one hexadecimal string, four digits each.
pub(crate) mod hex_i16 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        values: &[i16],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(4 * values.len());
        for value in values {
            for shift in [12, 8, 4, 0] {
                text.push(char::from(DIGITS[usize::from((*value as u16 >> shift) & 15)]));
            }
        }
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<i16>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let wrong = || D::Error::custom("groups of four hexadecimal digits expected");
        if text.len() % 4 != 0 || !text.is_ascii() {
            return Err(wrong());
        }
        (0..text.len() / 4)
            .map(|k| u16::from_str_radix(&text[4 * k..4 * k + 4], 16).map(|q| q as i16))
            .collect::<Result<_, _>>()
            .map_err(|_| wrong())
    }
}

impl DrawnChip {
    /// The chip as TOML text.
    ///
    /// # Errors
    /// [`EmulatorError::Profile`] if it cannot be written as TOML, which no drawn chip causes.
    pub fn to_toml(&self) -> Result<String, EmulatorError> {
        toml::to_string(self).map_err(|e| EmulatorError::Profile { reason: e.to_string() })
    }

    /// Reads what [`DrawnChip::to_toml`] wrote.
    ///
    /// # Errors
    /// [`EmulatorError::Profile`] naming the unknown key, the list of the wrong length, or the foreign
    /// version of the format.
    pub fn from_toml(text: &str) -> Result<Self, EmulatorError> {
        let chip: Self =
            toml::from_str(text).map_err(|e| EmulatorError::Profile { reason: e.to_string() })?;
        chip.check()?;
        Ok(chip)
    }

    pub(super) fn check(&self) -> Result<(), EmulatorError> {
        let refuse = |reason: String| Err(EmulatorError::Profile { reason });
        if self.format != Self::FORMAT {
            return refuse(format!(
                "chip file of format {}, this build reads {}",
                self.format,
                Self::FORMAT
            ));
        }
        self.profile.check()?;
        let neurons = usize::from(self.profile.size.neurons);
        let lengths = [
            ("tau_mem", self.tau_mem.len()),
            ("tau_syn_exc", self.tau_syn_exc.len()),
            ("tau_syn_inh", self.tau_syn_inh.len()),
            ("gain_exc", self.gain_exc.len()),
            ("gain_inh", self.gain_inh.len()),
            ("leak_lsb", self.leak_lsb.len()),
            ("reset_lsb", self.reset_lsb.len()),
            ("threshold_lsb", self.threshold_lsb.len()),
            ("offset_exc", self.offset_exc.len()),
            ("offset_inh", self.offset_inh.len()),
            ("refractory_steps", self.refractory_steps.len()),
            ("adc_offset_lsb", self.adc_offset_lsb.len()),
            ("adc_gain", self.adc_gain.len()),
            ("adc_skew_us", self.adc_skew_us.len()),
        ];
        if let Some((name, got)) = lengths.iter().find(|(_, got)| *got != neurons) {
            return refuse(format!("{name} has {got} values for {neurons} neurons"));
        }
        let synapses = self.sources() * neurons;
        if !self.synapse.is_empty() && self.synapse.len() != synapses {
            return refuse(format!(
                "synapse has {} values for {synapses} synapses",
                self.synapse.len()
            ));
        }
        let beyond = |n: &u16| usize::from(*n) >= neurons;
        if self.dead.iter().chain(&self.stuck).any(beyond) {
            return refuse("a dead or stuck neuron does not exist".to_owned());
        }
        let sources = self.sources();
        if self
            .stuck_bits
            .iter()
            .any(|s| s.source as usize >= sources || usize::from(s.neuron) >= neurons || s.bit > 6)
        {
            return refuse("a stuck bit belongs to no synapse".to_owned());
        }
        Ok(())
    }

    /// Writes the chip to a file.
    ///
    /// # Errors
    /// [`EmulatorError::File`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), EmulatorError> {
        let failed = |reason: String| EmulatorError::File { path: path.to_owned(), reason };
        let text = self.to_toml().map_err(|e| failed(e.to_string()))?;
        std::fs::write(path, text).map_err(|e| failed(e.to_string()))
    }

    /// Reads a chip from a file.
    ///
    /// # Errors
    /// [`EmulatorError::File`] naming the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, EmulatorError> {
        let failed = |reason: String| EmulatorError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
        Self::from_toml(&text).map_err(|e| failed(e.to_string()))
    }
}
