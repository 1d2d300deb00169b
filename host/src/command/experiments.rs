//! `spikeloop experiments`: the experiment files inside the program, to run by name or to start one's own from.

use super::table::table;
use super::{CommandError, Context, output};
use crate::config::{SHIPPED, shipped};
use crate::exit_code::ExitCode;
use serde::Serialize;
use spikeloop_hal::nearest::nearest;

/// Arguments of `experiments`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the file of this one: `spikeloop experiments yinyang > mine.toml`
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    experiments: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: &'static str,
    method: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'static str>,
}

/// Prints the list, or one file.
///
/// # Errors
/// A name that is not in the list.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let chosen: Vec<_> = match &args.name {
        None => SHIPPED.iter().collect(),
        Some(name) => SHIPPED.iter().filter(|(known, _)| known == name).collect(),
    };
    if let (Some(name), []) = (&args.name, chosen.as_slice()) {
        let hint = nearest(name, SHIPPED.iter().map(|(name, _)| *name))
            .map(|n| format!(": did you mean `{n}`?"))
            .unwrap_or_default();
        let text = format!("no experiment `{name}`{hint}; there are: {}", shipped());
        return Err(CommandError::Usage(text));
    }
    let one = args.name.is_some();
    let experiments: Vec<Entry> =
        chosen.iter().map(|(name, text)| entry(name, text, one)).collect();
    match (context.json, &args.name) {
        (true, _) => output::json(&Listing { experiments })?,
        (false, Some(_)) => output::text(chosen[0].1)?,
        (false, None) => {
            let rows: Vec<_> = experiments
                .into_iter()
                .map(|e| [e.name.to_owned(), e.method, e.description])
                .collect();
            output::text(&table(["EXPERIMENT", "METHOD", "WHAT IT IS"], &rows, &[]))?;
        }
    }
    Ok(ExitCode::Ok)
}

fn entry(name: &'static str, text: &'static str, whole: bool) -> Entry {
    let table: toml::Table = text.parse().unwrap_or_default();
    let method = table.get("learning").and_then(|l| l.get("method")).and_then(toml::Value::as_str);
    Entry {
        name,
        method: method.unwrap_or("bptt").to_owned(),
        description: description(text),
        file: whole.then_some(text),
    }
}

/// The first sentence of the comment at the head of a file.
fn description(text: &str) -> String {
    let comment: Vec<&str> =
        text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    let comment = comment.join(" ");
    let mut ends = comment.match_indices(". ").map(|(at, _)| at);
    // "Pozzorini et al. 2015" goes on.
    let end = ends.find(|at| !comment[..*at].ends_with("et al")).unwrap_or(comment.len());
    comment[..end].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_says_what_it_is_and_carries_its_name() {
        let mut names = std::collections::BTreeSet::new();
        for (name, text) in SHIPPED {
            assert!(names.insert(name), "{name} is listed twice");
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table["name"].as_str(), Some(*name));
            let said = description(text);
            assert!((10..=140).contains(&said.chars().count()), "{name}: {said:?}");
        }
    }
}
