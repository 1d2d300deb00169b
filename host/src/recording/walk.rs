//! Run after run of a recording.

use spikeloop_hal::recording::{RecordingError, Results, Tape};
use spikeloop_hal::{ChipConfig, Stimulus};

/// One recorded run.
#[derive(Debug)]
pub struct Run<'a> {
    /// Its number.
    pub number: u64,
    /// The configuration of the chip.
    pub configuration: &'a ChipConfig,
    /// What it was asked.
    pub stimuli: &'a [Stimulus],
    /// What it answered; nothing if the recording ends before.
    pub results: Option<&'a Results>,
}

impl Run<'_> {
    /// Samples of one trial.
    #[must_use]
    pub fn samples_per_trial(&self) -> usize {
        let results = self.results.map(|r| &r.observables);
        results.map_or(0, |o| o.samples.len() / o.trials().max(1))
    }
}

/// Which run of a recording has this number.
#[must_use]
pub fn place(tape: &Tape, number: u64) -> Option<usize> {
    (0..tape.runs()).find(|k| tape.number(*k) == number)
}

/// Hands runs to `each`: the one at place `only`, or all.
///
/// # Errors
/// A recording that cannot be read, and what `each` returns.
pub fn walk<E: From<RecordingError>>(
    tape: &mut Tape,
    only: Option<usize>,
    mut each: impl FnMut(&Run<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let places = match only {
        Some(k) => k..k + 1,
        None => 0..tape.runs(),
    };
    let (mut stimuli, mut results) = (Vec::new(), Results::default());
    for k in places {
        let number = tape.number(k);
        tape.stimuli(k, &mut stimuli)?;
        let whole = tape.results(k, &mut results)?;
        let configuration = tape.configuration(k)?;
        let results = whole.then_some(&results);
        each(&Run { number, configuration, stimuli: &stimuli, results })?;
    }
    Ok(())
}
