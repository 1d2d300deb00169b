//! The first place in which two recordings differ.
//!
//! Compared run by run: the chip, what it was configured to and given, and what it answered. Times and
//! counters of the link are not compared: two runs of the same differ in them.

use serde::Serialize;
use spikeloop_hal::recording::difference::{of_configurations, of_observables, of_stimuli};
use spikeloop_hal::recording::{Difference, Place, RecordingError, Results, Tape, Value};

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether nothing differs.
    pub same: bool,
    /// Runs of the two.
    pub runs: [usize; 2],
    /// Runs that are the same, from the first on.
    pub agreeing: usize,
    /// The first difference.
    pub first: Option<Found>,
}

/// A difference, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Number of the run; nothing if the chips differ.
    pub run: Option<u64>,
    /// Number of the trial, if it is in one: what the stimulus calls it.
    pub trial_number: Option<u64>,
    /// Where in the run, and both values.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Compares two recordings.
///
/// # Errors
/// One that cannot be read.
pub fn compare(a: &mut Tape, b: &mut Tape) -> Result<Comparison, RecordingError> {
    let runs = [a.runs(), b.runs()];
    let found = |agreeing, first: Option<Found>| {
        Ok(Comparison { same: first.is_none(), runs, agreeing, first })
    };
    if a.capabilities() != b.capabilities() {
        let name = |tape: &Tape| {
            let caps = tape.capabilities();
            format!("{} ({} neurons, {} inputs)", caps.identity, caps.neurons, caps.inputs)
        };
        let difference = Difference::new(Place::Chip, name(a), name(b));
        return found(0, Some(Found { run: None, trial_number: None, difference }));
    }
    for k in 0..runs[0].max(runs[1]) {
        if let Some(first) = at(a, b, k)? {
            return found(k, Some(first));
        }
    }
    found(runs[0], None)
}

fn at(a: &mut Tape, b: &mut Tape, k: usize) -> Result<Option<Found>, RecordingError> {
    let number = |tape: &Tape| (k < tape.runs()).then(|| tape.number(k));
    let numbers = (number(a), number(b));
    if numbers.0 != numbers.1 {
        let run = numbers.0.or(numbers.1);
        let value = |n: Option<u64>| n.map(|n| Value::from(n as i64));
        let difference = Difference::new(Place::Run, value(numbers.0), value(numbers.1));
        return Ok(Some(Found { run, trial_number: None, difference }));
    }
    let run = numbers.0;
    let (mut left, mut right) = (Vec::new(), Vec::new());
    a.stimuli(k, &mut left)?;
    b.stimuli(k, &mut right)?;
    let trial = |place: &Place| match place {
        Place::Input { trial, .. }
        | Place::Duration { trial }
        | Place::Spike { trial, .. }
        | Place::Sample { trial, .. } => left.get(*trial).map(|s| s.trial),
        _ => None,
    };
    let configuration = a.configuration(k)?;
    let traces = configuration.recording.traces.clone();
    let asked = of_configurations(configuration, b.configuration(k)?);
    let difference = match asked.or_else(|| of_stimuli(&left, &right)) {
        Some(difference) => Some(difference),
        None => answers(a, b, k, &traces)?,
    };
    Ok(difference.map(|difference| Found {
        run,
        trial_number: trial(&difference.place),
        difference,
    }))
}

fn answers(
    a: &mut Tape,
    b: &mut Tape,
    k: usize,
    traces: &[u16],
) -> Result<Option<Difference>, RecordingError> {
    let (mut left, mut right) = (Results::default(), Results::default());
    let answered = (a.results(k, &mut left)?, b.results(k, &mut right)?);
    Ok(match answered {
        (true, true) => of_observables(&left.observables, &right.observables, traces),
        (false, false) => None,
        (left, right) => {
            let side = |tape: &Tape, there: bool| match there {
                true => Value::Text("results".into()),
                false => silence(tape, k),
            };
            Some(Difference::new(Place::Answer, side(a, left), side(b, right)))
        }
    })
}

/// What stands in place of results.
fn silence(tape: &Tape, k: usize) -> Value {
    let number = tape.number(k);
    let failure = tape.failures().iter().find(|f| f.run == number && !f.refused);
    failure.map_or(Value::Nothing, |f| Value::Text(f.message.clone()))
}
