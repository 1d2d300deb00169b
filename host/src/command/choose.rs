//! Which chip is meant: the flag, the variable, or the only one there is.

use super::{CommandError, Context};
use spikeloop_hal::list::{self, Entry};
use spikeloop_hal::registry::Registry;
use spikeloop_hal::{Chip, Selector};

/// `--chip`, for every verb that uses a chip.
#[derive(Clone, Debug, clap::Args)]
pub struct ChipArgs {
    /// Which chip: emu:…, serial:…, tcp:…, pty:… or replay:…; not needed if only one device is there
    #[arg(long, value_name = "SELECTOR", env = "SPIKELOOP_CHIP", hide_env_values = true)]
    pub chip: Option<Selector>,
}

impl ChipArgs {
    /// The chip that was named, or else the only device there is.
    ///
    /// # Errors
    /// [`CommandError::NoDevice`] or [`CommandError::Ambiguous`] if none was named and there is not
    /// exactly one; [`CommandError::Device`] if the list of running boards cannot be trusted.
    pub fn selector(&self) -> Result<Selector, CommandError> {
        match &self.chip {
            Some(selector) => Ok(selector.clone()),
            None => only_one(&list::devices(&Registry::user()?)),
        }
    }

    /// Opens the chip and says on standard error which one it is.
    ///
    /// # Errors
    /// Those of [`selector`](Self::selector) and of [`Selector::open`].
    pub fn open(&self, context: &Context) -> Result<(Selector, Box<dyn Chip>), CommandError> {
        let selector = self.selector()?;
        let chip = context.open(&selector)?;
        Ok((selector, chip))
    }
}

/// The rule: one candidate is taken, several are an error that lists them, never a silent first.
fn only_one(entries: &[Entry]) -> Result<Selector, CommandError> {
    let candidates: Vec<&Entry> = entries.iter().filter(|entry| entry.is_candidate()).collect();
    match candidates.as_slice() {
        [] => Err(CommandError::NoDevice),
        [one] => Ok(one.selector.clone()),
        several => Err(CommandError::Ambiguous {
            candidates: several.iter().map(|entry| entry.selector.to_string()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use spikeloop_hal::list::{Access, Kind};

    fn entry(selector: &str, kind: Kind) -> Entry {
        Entry {
            selector: selector.parse().unwrap(),
            kind,
            access: Access::Free,
            description: String::new(),
            hint: None,
        }
    }

    #[test]
    fn one_is_taken_and_several_are_listed() {
        let builtin = entry("serial:/dev/ttyS0", Kind::Serial);
        let board = entry("pty:left", Kind::VirtualBoard);
        let usb = entry("serial:/dev/ttyACM0", Kind::UsbSerial);
        assert_eq!(only_one(&[]).unwrap_err().exit_code(), ExitCode::NoDevice);
        assert_eq!(
            only_one(std::slice::from_ref(&builtin)).unwrap_err().exit_code(),
            ExitCode::NoDevice
        );
        assert_eq!(only_one(&[builtin, board.clone()]).unwrap(), board.selector);
        let error = only_one(&[board, usb]).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::AmbiguousDevice);
        insta::assert_snapshot!(error, @r"
        2 devices are there; name one with --chip:
          --chip pty:left
          --chip serial:/dev/ttyACM0,baud=3000000
        ");
    }
}
