//! `spikeloop emulate`: virtual boards, until a signal ends them.

use super::table::table;
use super::{CommandError, Context, output};
use crate::exit_code::ExitCode;
use crate::virtual_board::{Place, VirtualBoard};
use serde::Serialize;
use spikeloop_hal::Selector;
use spikeloop_hal::selector::check_name;
use std::thread;
use std::time::Duration;

/// How often the signals are looked at while nothing happens.
const PATIENCE: Duration = Duration::from_millis(100);

/// Name of the board if no place is given.
const DEFAULT_NAME: &str = "board";

/// Arguments of `emulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  spikeloop emulate                                  one board, reached as pty:board
  spikeloop emulate preset=bss2-chip66-uncal,seed=7 --pty left --tcp 127.0.0.1:4000
  spikeloop emulate seed=1 seed=2 --pty left --pty right   two different chips")]
pub struct Args {
    /// The chips, as emu: selectors or their options: one for all boards, or one for each
    /// (--pty boards first)
    #[arg(value_name = "CHIP", value_parser = chip)]
    pub chips: Vec<Selector>,
    /// The same, as with other verbs
    #[arg(long = "chip", value_name = "SELECTOR", value_parser = chip, hide = true)]
    pub more_chips: Vec<Selector>,
    /// Put a board behind a pseudo-terminal, to be reached as pty:NAME
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub pty: Vec<String>,
    /// Put a board behind a TCP address, e.g. 127.0.0.1:4000 (port 0: a free one)
    #[arg(long, value_name = "ADDRESS")]
    pub tcp: Vec<String>,
    /// Threads of each board
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,
}

/// `emu:…`, or its options alone.
fn chip(text: &str) -> Result<Selector, String> {
    let bare = text.contains('=') && !text.split('=').next().unwrap_or_default().contains(':');
    let selector = if bare { format!("emu:{text}").parse() } else { text.parse() };
    match selector {
        Ok(selector @ Selector::Emulator(_)) => Ok(selector),
        Ok(_) => Err("only emulated chips (emu:…) can be put on a virtual board".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// What `--json` prints once the boards can be reached.
#[derive(Debug, Serialize)]
struct Boards {
    boards: Vec<BoardReport>,
    pid: u32,
}

#[derive(Debug, Serialize)]
struct BoardReport {
    selector: String,
    chip: String,
    identity: String,
}

/// Starts the boards, says how to reach them, and runs them until a signal comes.
///
/// # Errors
/// Chips and boards that do not match in number, and whatever keeps a board from starting; boards
/// that were started already are stopped.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    let mut boards = Vec::new();
    for (chip, place) in plan(args)? {
        let board = VirtualBoard::start(&chip, &place, args.threads)?;
        boards.push((chip, board));
    }
    announce(&boards, context)?;
    while !context.interrupt.requested() {
        thread::sleep(PATIENCE);
        if let Some((_, dead)) = boards.iter().find(|(_, board)| !board.is_running()) {
            let reason = anyhow::anyhow!("the board {} stopped by itself", dead.selector());
            return Err(reason.into());
        }
    }
    tracing::info!("stopping");
    // A signal is how this command ends, not a failure of it.
    Ok(ExitCode::Ok)
}

/// Which chip goes where.
fn plan(args: &Args) -> Result<Vec<(Selector, Place)>, CommandError> {
    let mut places: Vec<Place> =
        args.pty.iter().map(|name| Place::Pty(Some(name.clone()))).collect();
    places.extend(args.tcp.iter().map(|address| Place::Tcp {
        address: address.clone(),
        name: Some(format!("tcp-{}", address.replace([':', '[', ']', '%', '/'], "-"))),
    }));
    if places.is_empty() {
        places.push(Place::Pty(Some(DEFAULT_NAME.into())));
    }
    let mut chips: Vec<Selector> = args.chips.iter().chain(&args.more_chips).cloned().collect();
    if chips.is_empty() {
        chips.push(Selector::Emulator(Vec::new()));
    }
    if chips.len() == 1 {
        chips.resize(places.len(), chips[0].clone());
    }
    if chips.len() != places.len() {
        return Err(CommandError::Usage(format!(
            "{} chips for {} boards: give one chip for all boards or one for each (--pty NAME, --tcp ADDRESS)",
            chips.len(),
            places.len()
        )));
    }
    Ok(chips.into_iter().zip(places).collect())
}

fn announce(boards: &[(Selector, VirtualBoard)], context: &Context) -> Result<(), CommandError> {
    let reports = boards.iter().map(|(chip, board)| BoardReport {
        selector: board.selector().to_string(),
        chip: chip.to_string(),
        identity: board.identity().to_owned(),
    });
    if context.json {
        return output::json(&Boards { boards: reports.collect(), pid: std::process::id() });
    }
    let rows: Vec<_> = reports.map(|r| [r.selector, r.identity, r.chip]).collect();
    output::text(&table(["DEVICE", "IDENTITY", "CHIP"], &rows, &[]))?;
    tracing::info!("running; Ctrl-C stops");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn planned(line: &str) -> Result<Vec<String>, String> {
        let words = std::iter::once("emulate").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let plan = plan(&line.args).map_err(|error| error.to_string())?;
        Ok(plan.iter().map(|(chip, place)| format!("{chip} {place:?}")).collect())
    }

    #[test]
    fn chips_and_places_are_matched() {
        assert_eq!(planned("").unwrap(), ["emu: Pty(Some(\"board\"))"]);
        assert_eq!(
            planned("seed=7 --pty left --pty right").unwrap(),
            ["emu:seed=7 Pty(Some(\"left\"))", "emu:seed=7 Pty(Some(\"right\"))"]
        );
        let two = planned("seed=1 --chip emu:seed=2 --tcp 127.0.0.1:0 --pty left").unwrap();
        assert!(two[0].starts_with("emu:seed=1 Pty"));
        assert!(two[1].contains("Some(\"tcp-127.0.0.1-0\")"), "{}", two[1]);
    }

    #[test]
    fn what_cannot_be_emulated_is_refused() {
        assert!(planned("seed=1 seed=2").unwrap_err().contains("2 chips for 1 boards"));
        assert!(planned("serial:/dev/ttyACM0").unwrap_err().contains("only emulated chips"));
        assert!(planned("--pty ../left").unwrap_err().contains("name of a virtual board"));
    }
}
