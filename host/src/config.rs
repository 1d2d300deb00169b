//! Reading of experiment files: defaults of the file < `--set key=value`, with every mistake named.
//!
//! Layers are merged as plain TOML before they are given a type, so that an override can name any key,
//! and the result is what the run folder keeps.

use serde::de::DeserializeOwned;
use spikeloop_hal::nearest::nearest;
use std::path::Path;

/// An experiment file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the experiment file {path}: {source}; shipped ones: {shipped}")]
    Read {
        /// Path as given.
        path: String,
        /// Names that work without a file.
        shipped: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{what} is not valid TOML: {message}")]
    Syntax {
        /// File or override.
        what: String,
        /// The parser's words, with line and column.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {section}{}; valid keys there: {valid}", match nearest { Some(n) => format!(": did you mean `{n}`?"), None => String::new() })]
    UnknownKey {
        /// The key.
        key: String,
        /// The section it stands in.
        section: String,
        /// The nearest valid key.
        nearest: Option<String>,
        /// All valid ones.
        valid: String,
    },
    /// A value that does not fit.
    #[error("{path}: {message}")]
    Value {
        /// Dotted path of the key.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// `--set` without `=`.
    #[error("`--set {given}` is not of the form key=value, e.g. --set optim.lr=1e-3")]
    Override {
        /// As given.
        given: String,
    },
}

/// The experiments that are part of the program: usable by name.
pub const SHIPPED: &[(&str, &str)] = &[
    ("yinyang", include_str!("../experiments/yinyang.toml")),
    ("digits", include_str!("../experiments/digits.toml")),
    ("mnist16", include_str!("../experiments/mnist16.toml")),
    ("fashion16", include_str!("../experiments/fashion16.toml")),
    ("superspike-poisson", include_str!("../experiments/superspike-poisson.toml")),
    ("superspike-chip", include_str!("../experiments/superspike-chip.toml")),
    ("superspike-auryn", include_str!("../experiments/superspike-auryn.toml")),
    ("superspike-oxford", include_str!("../experiments/superspike-oxford.toml")),
    ("superspike-xor", include_str!("../experiments/superspike-xor.toml")),
    ("autoencoder", include_str!("../experiments/autoencoder.toml")),
    ("ltts-trajectory", include_str!("../experiments/ltts-trajectory.toml")),
    ("ltts-xor", include_str!("../experiments/ltts-xor.toml")),
    ("ltts-walking", include_str!("../experiments/ltts-walking.toml")),
    ("ltts-chip", include_str!("../experiments/ltts-chip.toml")),
    ("gif-invitro", include_str!("../experiments/gif-invitro.toml")),
    ("gif-self", include_str!("../experiments/gif-self.toml")),
    ("burst-sinusoid", include_str!("../experiments/burst-sinusoid.toml")),
    ("burst-xor", include_str!("../experiments/burst-xor.toml")),
    ("competing-mnist", include_str!("../experiments/competing-mnist.toml")),
    ("decolle-mnist", include_str!("../experiments/decolle-mnist.toml")),
    ("decolle-conv", include_str!("../experiments/decolle-conv.toml")),
    ("decolle-digits", include_str!("../experiments/decolle-digits.toml")),
    ("decolle-chip", include_str!("../experiments/decolle-chip.toml")),
    ("fashion-latency", include_str!("../experiments/fashion-latency.toml")),
    ("randman", include_str!("../experiments/randman.toml")),
    ("braille", include_str!("../experiments/braille.toml")),
    ("rates", include_str!("../experiments/rates.toml")),
    ("first-spike-mnist", include_str!("../experiments/first-spike-mnist.toml")),
    ("first-spike-logic", include_str!("../experiments/first-spike-logic.toml")),
    ("first-spike-iris", include_str!("../experiments/first-spike-iris.toml")),
    ("first-spike-yinyang", include_str!("../experiments/first-spike-yinyang.toml")),
];

/// The names of [`SHIPPED`], for messages.
#[must_use]
pub fn shipped() -> String {
    SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Reads an experiment: a path, or the name of a shipped one.
///
/// # Errors
/// [`ConfigError`], naming the key.
pub fn load<T: DeserializeOwned>(given: &str, overrides: &[String]) -> Result<T, ConfigError> {
    typed(table(given, overrides)?)
}

/// Reads an experiment as plain TOML: a path, or the name of a shipped one.
///
/// # Errors
/// [`ConfigError`] for a file that cannot be read, or that is not TOML.
pub fn table(given: &str, overrides: &[String]) -> Result<toml::Table, ConfigError> {
    let text = match SHIPPED.iter().find(|(name, _)| *name == given) {
        Some((_, text)) if !Path::new(given).exists() => (*text).to_owned(),
        _ => std::fs::read_to_string(given).map_err(|source| ConfigError::Read {
            path: given.to_owned(),
            shipped: shipped(),
            source,
        })?,
    };
    layered(&text, given, overrides)
}

/// Parses experiment text and applies overrides.
///
/// # Errors
/// [`ConfigError`], naming the key.
pub fn parse<T: DeserializeOwned>(
    text: &str,
    what: &str,
    overrides: &[String],
) -> Result<T, ConfigError> {
    typed(layered(text, what, overrides)?)
}

/// The text of `what` with overrides applied.
fn layered(text: &str, what: &str, overrides: &[String]) -> Result<toml::Table, ConfigError> {
    let mut table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        ConfigError::Syntax { what: what.to_owned(), message: e.to_string().trim().to_owned() }
    })?;
    for given in overrides {
        apply(&mut table, given)?;
    }
    Ok(table)
}

/// Gives a table its type.
///
/// # Errors
/// [`ConfigError`], naming the key.
pub fn typed<T: DeserializeOwned>(table: toml::Table) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|e| {
        let path = e.path().to_string();
        explain(&path, e.inner().message())
    })
}

/// Applies one `key.path=value` to a table. The value is TOML; what is no TOML is taken as a string.
fn apply(table: &mut toml::Table, given: &str) -> Result<(), ConfigError> {
    let wrong = || ConfigError::Override { given: given.to_owned() };
    let (key, value) = given.split_once('=').ok_or_else(wrong)?;
    let key = key.trim();
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(wrong());
    }
    let value = value.trim();
    let value = format!("v = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut t| t.remove("v"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut at = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return Ok(());
        }
        at = at
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| ConfigError::Value {
                path: key.to_owned(),
                message: format!("`{part}` is a value, not a section"),
            })?;
    }
    Ok(())
}

/// Turns serde's words into ours: an unknown field names the nearest valid one.
fn explain(path: &str, message: &str) -> ConfigError {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field") && !quoted.is_empty() {
        let section = match path.rsplit_once('.') {
            Some((section, _)) => format!("[{section}]"),
            None => "the top level".to_owned(),
        };
        return ConfigError::UnknownKey {
            key: quoted[0].to_owned(),
            section,
            nearest: nearest(quoted[0], quoted[1..].iter().copied()).map(str::to_owned),
            valid: quoted[1..].join(", "),
        };
    }
    let path = if path.is_empty() || path == "." { "experiment" } else { path };
    let hint = match quoted.first() {
        Some(given) if message.starts_with("unknown variant") => {
            nearest(given, quoted[1..].iter().copied())
                .map(|n| format!(" (did you mean `{n}`?)"))
                .unwrap_or_default()
        }
        _ => String::new(),
    };
    ConfigError::Value { path: path.to_owned(), message: format!("{}{hint}", message.trim()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Toy {
        name: String,
        optim: Inner,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        lr: f64,
        kind: Kind,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        Adam,
        Adamax,
    }

    const TEXT: &str = "name = 'a'\n[optim]\nlr = 0.1\nkind = 'adam'";

    fn error(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        parse::<Toy>(text, "toy.toml", &overrides).unwrap_err().to_string()
    }

    #[test]
    fn overrides_reach_nested_keys_and_bare_words_are_strings() {
        let set = ["optim.lr=2e-3".to_owned(), "name=b".to_owned(), "optim.kind=adamax".to_owned()];
        let toy: Toy = parse(TEXT, "toy", &set).unwrap();
        assert_eq!(toy, Toy { name: "b".into(), optim: Inner { lr: 2e-3, kind: Kind::Adamax } });
    }

    #[test]
    fn mistakes_are_named_with_the_nearest_valid_key() {
        let unknown = error(TEXT, &["optim.lrr=1"]);
        assert!(unknown.contains("`lrr` in [optim]: did you mean `lr`?"), "{unknown}");
        let top = error("nam = 'a'", &[]);
        assert!(top.contains("did you mean `name`?"), "{top}");
        let kind = error(TEXT, &["optim.kind=adamx"]);
        assert!(kind.contains("optim.kind") && kind.contains("did you mean `adam"), "{kind}");
        let number = error(TEXT, &["optim.lr=fast"]);
        assert!(number.contains("optim.lr"), "{number}");
        assert!(error(TEXT, &["lr"]).contains("key=value"));
        assert!(error(TEXT, &["name.x=1"]).contains("is a value, not a section"));
        assert!(error("= 3", &[]).contains("not valid TOML"));
    }

    #[test]
    fn a_missing_file_names_the_shipped_experiments() {
        let error = load::<Toy>("no-such.toml", &[]).unwrap_err().to_string();
        assert!(error.contains("no-such.toml") && error.contains("mnist16"), "{error}");
    }
}
