//! Which faults, as numbers and as text.
//!
//! | key | means | example |
//! |---|---|---|
//! | `loss` | probability of a byte to be lost | `loss=1e-4` |
//! | `flip` | probability of a byte to arrive with one bit flipped | `flip=1e-4` |
//! | `drop` | probability of a frame to be lost | `drop=0.01` |
//! | `dup` | probability of a frame to arrive twice | `dup=0.01` |
//! | `reorder` | probability of a frame to arrive after the next one | `reorder=0.01` |
//! | `stall` | probability of the line to stand still before a frame, and how long | `stall=0.001:20ms` |
//! | `baud` | symbols a second, ten a byte | `baud=1000000` |
//! | `reset` | the cable is pulled after so many bytes; at most so many times | `reset=20000`, `reset=20000x3` |
//! | `seed` | which faults of their kind | `seed=3` |
//!
//! `up.` in front of a key means host to device only, `down.` device to host only (not of `seed`).

use super::Direction;
use crate::nearest::{hint, nearest};
use std::fmt;
use std::str::FromStr;

const KEYS: [&str; 9] =
    ["loss", "flip", "drop", "dup", "reorder", "stall", "baud", "reset", "seed"];

/// Symbol rates above this are no serial line.
const MAX_BAUD: u32 = 1_000_000_000;

/// Longest stall: an hour.
const MAX_STALL_US: u64 = 3_600_000_000;

/// The line stands still now and then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalls {
    /// Probability before each frame.
    pub probability: f64,
    /// How long, in microseconds.
    pub us: u64,
}

/// The cable is pulled now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resets {
    /// Bytes handed over in this direction before that, for each connection.
    pub after: u64,
    /// How many connections end so; later ones last.
    pub times: Option<u64>,
}

/// Faults of one direction. All probabilities are from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LineSettings {
    /// Of a byte to be lost.
    pub loss: f64,
    /// Of a byte to arrive with one bit flipped.
    pub flip: f64,
    /// Of a frame to be lost.
    pub drop: f64,
    /// Of a frame to arrive twice.
    pub dup: f64,
    /// Of a frame to arrive after the one behind it.
    pub reorder: f64,
    /// Of the line to stand still.
    pub stall: Option<Stalls>,
    /// Symbols a second, ten a byte (start, eight bits, stop). `None`: no limit.
    pub baud: Option<u32>,
    /// When the cable is pulled, which ends both directions.
    pub reset: Option<Resets>,
}

/// Faults of both directions. The default is none. [`FromStr`] reads what [`Display`](fmt::Display)
/// writes; the keys stand in the table of [`fault`](super).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultSettings {
    /// Host to device.
    pub up: LineSettings,
    /// Device to host.
    pub down: LineSettings,
    /// Which faults of their kind.
    pub seed: u64,
}

/// Why a text does not describe faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// There is no such key.
    #[error("there is no fault {key:?}{}; the faults are loss, flip, drop, dup, reorder, stall, baud, reset and seed, with up. or down. in front for one direction", hint(*nearest))]
    UnknownKey {
        /// What was written.
        key: String,
        /// The valid one most like it.
        nearest: Option<&'static str>,
    },
    /// A part is not `key=value`.
    #[error("{text:?} in the faults is not of the form key=value, such as loss=1e-4")]
    NotKeyValue {
        /// What was written.
        text: String,
    },
    /// The same key twice.
    #[error("{key:?} stands twice in the faults: leave one of them out")]
    Duplicate {
        /// Which key.
        key: String,
    },
    /// A value that cannot be.
    #[error("the fault {key} cannot be {value:?}: expected {expected}")]
    Value {
        /// Which key.
        key: String,
        /// What was written.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl FaultSettings {
    /// Of one direction.
    #[must_use]
    pub fn of(&self, direction: Direction) -> &LineSettings {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Whether nothing is done at all.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let clean = LineSettings::default();
        self.up == clean && self.down == clean
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), FaultError> {
        let refuse =
            |expected| FaultError::Value { key: key.into(), value: value.into(), expected };
        if key == "seed" {
            self.seed = value.parse().map_err(|_| refuse("a whole number such as 3"))?;
            return Ok(());
        }
        let (directions, name) = match key.split_once('.') {
            Some(("up", name)) => ([true, false], name),
            Some(("down", name)) => ([false, true], name),
            _ => ([true, true], key),
        };
        if name == "seed" || !KEYS.contains(&name) {
            return Err(FaultError::UnknownKey {
                key: key.into(),
                nearest: nearest(name, KEYS).filter(|known| *known != name),
            });
        }
        for (line, wanted) in [&mut self.up, &mut self.down].into_iter().zip(directions) {
            if wanted {
                line.set(name, value).map_err(refuse)?;
            }
        }
        Ok(())
    }
}

impl LineSettings {
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "loss" => self.loss = probability(value)?,
            "flip" => self.flip = probability(value)?,
            "drop" => self.drop = probability(value)?,
            "dup" => self.dup = probability(value)?,
            "reorder" => self.reorder = probability(value)?,
            "stall" => self.stall = stalls(value)?,
            "baud" => self.baud = baud(value)?,
            _ => self.reset = resets(value)?,
        }
        Ok(())
    }

    /// Values as text, in the order of the keys; empty where there is none.
    fn texts(&self) -> [String; 8] {
        let number = |p: f64| if p == 0.0 { String::new() } else { p.to_string() };
        let stall = self.stall.map(|Stalls { probability, us }| match us {
            us if us % 1_000_000 == 0 => format!("{probability}:{}s", us / 1_000_000),
            us if us % 1000 == 0 => format!("{probability}:{}ms", us / 1000),
            us => format!("{probability}:{us}us"),
        });
        let reset = self.reset.map(|Resets { after, times }| match times {
            Some(times) => format!("{after}x{times}"),
            None => after.to_string(),
        });
        let baud = self.baud.map(|baud| baud.to_string());
        let [stall, baud, reset] = [stall, baud, reset].map(Option::unwrap_or_default);
        let [loss, flip] = [self.loss, self.flip].map(number);
        let [drop, dup, reorder] = [self.drop, self.dup, self.reorder].map(number);
        [loss, flip, drop, dup, reorder, stall, baud, reset]
    }
}

fn probability(text: &str) -> Result<f64, &'static str> {
    // A negative zero would print as "-0".
    text.parse()
        .ok()
        .filter(|p| (0.0..=1.0).contains(p))
        .map(f64::abs)
        .ok_or("a probability from 0 to 1 such as 1e-4")
}

fn stalls(text: &str) -> Result<Option<Stalls>, &'static str> {
    const EXPECTED: &str = "probability:duration, up to an hour, such as 0.001:20ms";
    if text == "0" {
        return Ok(None);
    }
    let (chance, time) = text.split_once(':').ok_or(EXPECTED)?;
    let probability = probability(chance).map_err(|_| EXPECTED)?;
    let (digits, unit) = [("us", 1), ("ms", 1000), ("s", 1_000_000)]
        .into_iter()
        .find_map(|(name, us)| Some((time.strip_suffix(name)?, us)))
        .ok_or(EXPECTED)?;
    let us = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .filter(|us| (1..=MAX_STALL_US).contains(us))
        .ok_or(EXPECTED)?;
    Ok((probability > 0.0).then_some(Stalls { probability, us }))
}

fn baud(text: &str) -> Result<Option<u32>, &'static str> {
    let baud: u32 = text
        .parse()
        .ok()
        .filter(|baud| *baud <= MAX_BAUD)
        .ok_or("symbols a second, at most 1000000000, such as 1000000; 0 for no limit")?;
    Ok((baud > 0).then_some(baud))
}

fn resets(text: &str) -> Result<Option<Resets>, &'static str> {
    const EXPECTED: &str = "a number of bytes such as 20000, or 20000x3 for three times at most";
    let (after, times) = match text.split_once('x') {
        Some((after, times)) => (after, Some(times.parse().map_err(|_| EXPECTED)?)),
        None => (text, None),
    };
    let after = after.parse().map_err(|_| EXPECTED)?;
    Ok((after > 0 && times != Some(0)).then_some(Resets { after, times }))
}

impl FromStr for FaultSettings {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let mut settings = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let not = || FaultError::NotKeyValue { text: part.into() };
            let (key, value) = part.split_once('=').ok_or_else(not)?;
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                return Err(not());
            }
            if seen.contains(&key) {
                return Err(FaultError::Duplicate { key: key.into() });
            }
            // Before it is noted: every noted key exists, so that there are few of them.
            settings.set(key, value)?;
            seen.push(key);
        }
        Ok(settings)
    }
}

impl fmt::Display for FaultSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        let mut part = |f: &mut fmt::Formatter<'_>, prefix: &str, key: &str, value: &str| {
            if value.is_empty() {
                return Ok(());
            }
            let comma = std::mem::replace(&mut between, ",");
            write!(f, "{comma}{prefix}{key}={value}")
        };
        for ((key, up), down) in KEYS.iter().zip(self.up.texts()).zip(self.down.texts()) {
            if up == down {
                part(f, "", key, &up)?;
            } else {
                part(f, "up.", key, &up)?;
                part(f, "down.", key, &down)?;
            }
        }
        let seed = if self.seed == 0 { String::new() } else { self.seed.to_string() };
        part(f, "", "seed", &seed)
    }
}

impl serde::Serialize for FaultSettings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
