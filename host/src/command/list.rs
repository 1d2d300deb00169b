//! `spikeloop list`: what there is.

use super::table::table;
use super::{CommandError, Context, output};
use crate::exit_code::ExitCode;
use serde::Serialize;
use spikeloop_hal::emulator::{PRESETS, Profile};
use spikeloop_hal::list::{self, Entry, Kind};
use spikeloop_hal::registry::Registry;

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show built-in serial ports as well, which are there whether or not a board is connected
    #[arg(short, long)]
    pub all: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Listing {
    devices: Vec<Entry>,
    emulator_presets: Vec<Preset>,
}

#[derive(Debug, Serialize)]
struct Preset {
    selector: String,
    description: String,
}

/// Prints the list. An empty one is no error.
///
/// # Errors
/// If the list of running boards cannot be trusted, or standard output cannot be written.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let mut devices = list::devices(&Registry::user()?);
    let hidden = devices.len();
    if !args.all && !context.json {
        devices.retain(|entry| entry.kind != Kind::Serial);
    }
    let hidden = hidden - devices.len();
    let listing = Listing { devices, emulator_presets: presets() };
    if context.json {
        output::json(&listing)?;
    } else {
        output::text(&render(&listing, hidden))?;
    }
    Ok(ExitCode::Ok)
}

fn presets() -> Vec<Preset> {
    let preset = |(name, _): &(&str, &str)| Preset {
        selector: format!("emu:preset={name}"),
        description: Profile::preset(name).map(|profile| profile.description).unwrap_or_default(),
    };
    PRESETS.iter().map(preset).collect()
}

fn render(listing: &Listing, hidden: usize) -> String {
    let mut text = String::new();
    let rows: Vec<_> = listing.devices.iter().map(row).collect();
    if rows.is_empty() {
        text.push_str(
            "No boards. Connect one, or start a virtual one: spikeloop emulate --pty left\n",
        );
    } else {
        text.push_str(&table(["DEVICE", "KIND", "STATE", "WHAT IT IS"], &rows, &[]));
    }
    for hint in listing.devices.iter().filter(|entry| entry.hint.is_some()) {
        let said = hint.hint.as_deref().unwrap_or_default();
        text.push_str(&format!("  {}: {said}\n", hint.selector));
    }
    if hidden > 0 {
        text.push_str(&format!("{hidden} built-in serial port(s) not shown (--all)\n"));
    }
    let rows: Vec<_> = listing
        .emulator_presets
        .iter()
        .map(|preset| [preset.selector.clone(), preset.description.clone()])
        .collect();
    text.push('\n');
    text.push_str(&table(["EMULATOR", "WHAT IT IS"], &rows, &[]));
    text
}

fn row(entry: &Entry) -> [String; 4] {
    [
        entry.selector.to_string(),
        entry.kind.name().to_owned(),
        entry.access.name().to_owned(),
        entry.description.clone(),
    ]
}
