//! `--record`, for every verb that works with one chip.

use super::CommandError;
use crate::calibration_choice::Device;
use crate::experiment::Experiment;
use crate::recording::{self, Watch};
use spikeloop_hal::recording::Notes;
use spikeloop_hal::{Chip, Selector};
use std::path::PathBuf;

/// `--record`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RecordArgs {
    /// Record everything that the chip is asked and answers: `--chip replay:FILE` is that chip again
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

impl RecordArgs {
    /// Records a chip, if that is wanted. Drop the watch after the chip.
    ///
    /// # Errors
    /// A file that is there already, or cannot be written.
    pub fn chip(
        &self,
        chip: Box<dyn Chip>,
        selector: &Selector,
    ) -> Result<(Box<dyn Chip>, Option<Watch>), CommandError> {
        self.wrap(chip, false, recording::notes(&selector.to_string(), &[]))
    }

    /// Records the chip of an experiment, if that is wanted. With `resume` it goes on with the file if
    /// there is one.
    ///
    /// # Errors
    /// As [`chip`](Self::chip); no chip to record.
    pub fn device(
        &self,
        device: Option<Device>,
        experiment: &Experiment,
        resume: bool,
    ) -> Result<(Option<Device>, Option<Watch>), CommandError> {
        let Some(Device { selector, chip, calibration }) = device else {
            if self.record.is_some() {
                let why = "--record needs a chip: name one with --chip, or leave --record out";
                return Err(CommandError::Usage(why.into()));
            }
            return Ok((None, None));
        };
        let own = [("experiment", experiment.name.clone()), ("seed", experiment.seed.to_string())];
        let (chip, watch) = self.wrap(chip, resume, recording::notes(&selector, &own))?;
        Ok((Some(Device { selector, chip, calibration }), watch))
    }

    fn wrap(
        &self,
        chip: Box<dyn Chip>,
        resume: bool,
        notes: Notes,
    ) -> Result<(Box<dyn Chip>, Option<Watch>), CommandError> {
        let Some(path) = &self.record else { return Ok((chip, None)) };
        let (chip, watch) = recording::record(chip, path, resume, notes)?;
        Ok((chip, Some(watch)))
    }
}
