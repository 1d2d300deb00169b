//! One string that says which chip is meant, accepted wherever a chip can be named.
//!
//! | selector | means |
//! |---|---|
//! | `emu:` | the emulated chip, in this process, with its default preset |
//! | `emu:preset=bss2-chip66-uncal,seed=7` | the same, with options |
//! | `serial:/dev/ttyACM0,baud=3000000` | a board on a serial port; `baud` and `flow` (`none`, `hardware`) may be left out |
//! | `tcp:127.0.0.1:4000` | a board, real or virtual, behind a TCP address |
//! | `pty:NAME` | a running virtual board by its name |
//! | `pty:/dev/pts/5` | a pseudo-terminal by its path |
//! | `replay:run.rec` | the chip of a recording, by the path of its file (no comma in it) |
//!
//! ```
//! use spikeloop_hal::selector::{Address, Selector};
//!
//! let selector: Selector = "serial:/dev/ttyACM0,baud=1000000".parse()?;
//! assert!(matches!(selector, Selector::Link(Address::Serial { baud: 1_000_000, .. })));
//! // What is printed can be pasted back.
//! assert_eq!(selector.to_string(), "serial:/dev/ttyACM0,baud=1000000");
//!
//! let error = "seriall:/dev/ttyACM0".parse::<Selector>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "unknown chip selector scheme \"seriall\"; did you mean \"serial\"? \
//!      Selectors start with emu:, serial:, tcp:, pty: or replay:"
//! );
//! # Ok::<(), spikeloop_hal::selector::SelectorError>(())
//! ```

use crate::nearest::{hint, nearest};
use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

/// Symbol rate of a serial port when the selector names none: the highest rate that both common
/// FTDI adapters and USB-CDC devices take (CDC ignores it).
pub const DEFAULT_BAUD: u32 = 3_000_000;

/// The schemes a selector can start with.
pub const SCHEMES: [&str; 5] = ["emu", "serial", "tcp", "pty", "replay"];

const SERIAL_OPTIONS: [&str; 2] = ["baud", "flow"];

/// Which chip is meant. Parse one with [`str::parse`]; [`Display`](fmt::Display) gives back a
/// string that parses to the same selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The emulated chip in this process: options in the order they were written.
    Emulator(Vec<(String, String)>),
    /// A board behind a link.
    Link(Address),
    /// A recording, by the path of its file.
    Replay(PathBuf),
}

/// Where a board is: what a link can be opened to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A serial port.
    Serial {
        /// Device file or port name.
        path: String,
        /// Symbol rate in baud.
        baud: u32,
        /// Whether RTS/CTS hardware flow control is used.
        hardware_flow: bool,
    },
    /// A TCP address, `host:port`.
    Tcp {
        /// Host name or address (IPv6 in brackets), colon, port.
        address: String,
    },
    /// A pseudo-terminal.
    Pty {
        /// Name of a running virtual board, or, if it contains a `/`, the path of the terminal.
        name: String,
    },
}

/// Why a string is not a selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The part before the colon is none of [`SCHEMES`].
    #[error("unknown chip selector scheme {scheme:?}{} Selectors start with emu:, serial:, tcp:, pty: or replay:", if nearest.is_some() { hint(*nearest) } else { ".".into() })]
    UnknownScheme {
        /// What was written.
        scheme: String,
        /// The valid one most like it.
        nearest: Option<&'static str>,
    },
    /// The scheme has no such option.
    #[error("the {scheme}: selector has no option {option:?}{}", suggestion(*nearest, scheme))]
    UnknownOption {
        /// The scheme.
        scheme: &'static str,
        /// What was written.
        option: String,
        /// The valid one most like it.
        nearest: Option<&'static str>,
    },
    /// An option without `=value`.
    #[error("{text:?} in the {scheme}: selector is not of the form key=value")]
    NotKeyValue {
        /// The scheme.
        scheme: &'static str,
        /// What was written.
        text: String,
    },
    /// The same option twice.
    #[error("option {option:?} stands twice in the {scheme}: selector")]
    Duplicate {
        /// The scheme.
        scheme: &'static str,
        /// Which option.
        option: String,
    },
    /// A value that cannot be.
    #[error("{what} cannot be {value:?}: expected {expected}")]
    BadValue {
        /// Name of the option or part.
        what: &'static str,
        /// What was written.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

fn suggestion(nearest: Option<&str>, scheme: &str) -> String {
    if nearest.is_some() {
        return hint(nearest);
    }
    match scheme {
        "serial" => "; it takes baud and flow".into(),
        _ => "; it takes none".into(),
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        match scheme {
            "emu" => Ok(Selector::Emulator(key_values("emu", rest)?)),
            "serial" => serial(rest).map(Selector::Link),
            "tcp" => tcp(rest).map(Selector::Link),
            "pty" => pty(rest).map(Selector::Link),
            "replay" => replay(rest),
            _ => Err(SelectorError::UnknownScheme {
                scheme: scheme.to_owned(),
                nearest: nearest(scheme, SCHEMES),
            }),
        }
    }
}

fn key_values(scheme: &'static str, text: &str) -> Result<Vec<(String, String)>, SelectorError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() && !value.trim().is_empty() => {
                (key.trim(), value.trim())
            }
            _ => return Err(SelectorError::NotKeyValue { scheme, text: part.to_owned() }),
        };
        if pairs.iter().any(|(known, _)| known == key) {
            return Err(SelectorError::Duplicate { scheme, option: key.to_owned() });
        }
        pairs.push((key.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

fn serial(text: &str) -> Result<Address, SelectorError> {
    let (path, options) = text.split_once(',').unwrap_or((text, ""));
    let path = path.trim();
    if path.is_empty() {
        return Err(SelectorError::BadValue {
            what: "the port of the serial: selector",
            value: String::new(),
            expected: "a device file such as /dev/ttyACM0; `list` shows them",
        });
    }
    let (mut baud, mut hardware_flow) = (DEFAULT_BAUD, false);
    for (key, value) in key_values("serial", options)? {
        match key.as_str() {
            "baud" => {
                baud =
                    value.parse().ok().filter(|baud| *baud > 0).ok_or(SelectorError::BadValue {
                        what: "baud",
                        value,
                        expected: "a positive number of symbols per second such as 3000000",
                    })?;
            }
            "flow" => {
                hardware_flow = match value.as_str() {
                    "none" => false,
                    "hardware" => true,
                    _ => {
                        return Err(SelectorError::BadValue {
                            what: "flow",
                            value,
                            expected: "none or hardware",
                        });
                    }
                }
            }
            _ => {
                return Err(SelectorError::UnknownOption {
                    scheme: "serial",
                    nearest: nearest(&key, SERIAL_OPTIONS),
                    option: key,
                });
            }
        }
    }
    Ok(Address::Serial { path: path.to_owned(), baud, hardware_flow })
}

fn tcp(text: &str) -> Result<Address, SelectorError> {
    let refuse = |expected| {
        Err(SelectorError::BadValue {
            what: "the address of the tcp: selector",
            value: text.to_owned(),
            expected,
        })
    };
    if let Some((_, option)) = text.split_once(',') {
        return Err(SelectorError::UnknownOption {
            scheme: "tcp",
            option: option.split('=').next().unwrap_or_default().to_owned(),
            nearest: None,
        });
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return refuse("host:port such as 127.0.0.1:4000");
    };
    if host.is_empty() || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
        return refuse("host:port, an IPv6 host in brackets: [::1]:4000");
    }
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return refuse("a port between 1 and 65535 after the last colon");
    }
    Ok(Address::Tcp { address: text.to_owned() })
}

fn pty(text: &str) -> Result<Address, SelectorError> {
    if text.is_empty() {
        return Err(SelectorError::BadValue {
            what: "the name in the pty: selector",
            value: String::new(),
            expected: "the name of a running virtual board (`list` shows them) or a path",
        });
    }
    if !text.contains('/') {
        check_name(text)?;
    }
    Ok(Address::Pty { name: text.to_owned() })
}

/// A comma would begin options, of which there are none: better said than looked for as a file.
fn replay(text: &str) -> Result<Selector, SelectorError> {
    if text.is_empty() || text.contains(',') {
        return Err(SelectorError::BadValue {
            what: "the file in the replay: selector",
            value: text.to_owned(),
            expected: "the path of a recording without commas in it: link or rename the file",
        });
    }
    Ok(Selector::Replay(PathBuf::from(text)))
}

/// Checks the name of a virtual board: 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
/// It becomes a file name.
///
/// # Errors
/// [`SelectorError::BadValue`].
pub fn check_name(name: &str) -> Result<(), SelectorError> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(good) && !name.starts_with('.') {
        return Ok(());
    }
    Err(SelectorError::BadValue {
        what: "the name of a virtual board",
        value: name.to_owned(),
        expected: "at most 64 letters, digits, '.', '_' or '-', not starting with '.'",
    })
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Emulator(options) => {
                f.write_str("emu:")?;
                for (k, (key, value)) in options.iter().enumerate() {
                    write!(f, "{}{key}={value}", if k > 0 { "," } else { "" })?;
                }
                Ok(())
            }
            Selector::Link(address) => address.fmt(f),
            Selector::Replay(path) => write!(f, "replay:{}", path.display()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Serial { path, baud, hardware_flow } => {
                write!(f, "serial:{path},baud={baud}")?;
                f.write_str(if *hardware_flow { ",flow=hardware" } else { "" })
            }
            Address::Tcp { address } => write!(f, "tcp:{address}"),
            Address::Pty { name } => write!(f, "pty:{name}"),
        }
    }
}

impl From<Address> for Selector {
    fn from(address: Address) -> Self {
        Selector::Link(address)
    }
}

impl Address {
    /// The pseudo-terminal at `path`.
    #[must_use]
    pub fn pty_path(path: &Path) -> Self {
        Address::Pty { name: path.display().to_string() }
    }
}

impl serde::Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::string::String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
