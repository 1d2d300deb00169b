//! `spikeloop completions SHELL`: a script that completes verbs and flags.

use super::{Cli, CommandError, Context, output};
use crate::exit_code::ExitCode;
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If standard output cannot be written, or with `--json`: a script is no object.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode, CommandError> {
    if context.json {
        return Err(CommandError::Usage("completions prints a script: leave out --json".into()));
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "spikeloop", &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::Ok)
}
