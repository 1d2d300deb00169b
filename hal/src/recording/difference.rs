//! The first place in which two of a kind differ: configurations, stimuli, results.

use crate::caps::Parameter;
use crate::chip::{Observables, Stimulus};
use crate::config::{ChipConfig, Recording};
use crate::event::{NeuronId, SpikeEvent};
use core::fmt;
use serde::Serialize;

/// Where two runs differ. Trials, events, spikes and samples are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// What the chip says it is.
    Chip,
    /// Whether there is such a run.
    Run,
    /// A weight code.
    Weight {
        /// Row of the weight matrix.
        row: usize,
        /// Column of the weight matrix.
        neuron: usize,
    },
    /// A parameter code.
    Parameter {
        /// Which parameter.
        parameter: Parameter,
        /// Of which neuron.
        neuron: usize,
    },
    /// Whether a neuron is powered.
    Powered {
        /// Which one.
        neuron: usize,
    },
    /// Whether a neuron's threshold comparator is on.
    Comparator {
        /// Whose.
        neuron: usize,
    },
    /// Whether spikes come back.
    RecordSpikes,
    /// A neuron whose membrane is sampled.
    Traced {
        /// Place in the list.
        channel: usize,
    },
    /// Time between two samples, in ticks.
    SamplePeriod,
    /// Samples of a trial.
    Samples,
    /// The potential that is sampled instead of membranes.
    Reference,
    /// Floor of the samples.
    Floor,
    /// Number of trials.
    Trials,
    /// The number of a trial.
    TrialNumber {
        /// Which trial of the run.
        trial: usize,
    },
    /// The length of a trial, in ticks.
    Duration {
        /// Which trial of the run.
        trial: usize,
    },
    /// An input event.
    Input {
        /// Which trial of the run.
        trial: usize,
        /// Which event of the trial.
        event: usize,
    },
    /// A spike.
    Spike {
        /// Which trial of the run.
        trial: usize,
        /// Which spike of the trial.
        spike: usize,
    },
    /// A sample of a membrane.
    Sample {
        /// Which trial of the run.
        trial: usize,
        /// Which sample of the trial.
        sample: usize,
        /// Of which neuron.
        neuron: NeuronId,
    },
    /// Number of samples of the run.
    SampleCount,
    /// A stalled trial.
    Stalled {
        /// Place in the list of stalled trials.
        index: usize,
    },
    /// Number of events lost.
    Dropped,
    /// Whether and how the chip answered.
    Answer,
}

/// One of the two values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// There is none.
    Nothing,
    /// A switch.
    Switch(bool),
    /// A number or code.
    Number(i64),
    /// A spike or input event.
    Event(SpikeEvent),
    /// Something else.
    Text(String),
}

/// The first difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// In the first of the two.
    pub left: Value,
    /// In the second.
    pub right: Value,
}

impl Difference {
    /// A difference at `place`.
    #[must_use]
    pub fn new(place: Place, left: impl Into<Value>, right: impl Into<Value>) -> Self {
        Self { place, left: left.into(), right: right.into() }
    }

    /// As a sentence in which the sides have these names.
    #[must_use]
    pub fn between(&self, left: &str, right: &str) -> String {
        format!("{}: {left} {}, {right} {}", self.place, self.left, self.right)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chip => f.write_str("chip"),
            Self::Run => f.write_str("run"),
            Self::Weight { row, neuron } => write!(f, "weight code of row {row}, neuron {neuron}"),
            Self::Parameter { parameter, neuron } => {
                write!(f, "code of {} of neuron {neuron}", parameter.name())
            }
            Self::Powered { neuron } => write!(f, "power of neuron {neuron}"),
            Self::Comparator { neuron } => write!(f, "threshold comparator of neuron {neuron}"),
            Self::RecordSpikes => f.write_str("whether spikes come back"),
            Self::Traced { channel } => write!(f, "traced neuron of channel {channel}"),
            Self::SamplePeriod => f.write_str("ticks between samples"),
            Self::Samples => f.write_str("samples of a trial"),
            Self::Reference => f.write_str("sampled reference"),
            Self::Floor => f.write_str("floor of the samples"),
            Self::Trials => f.write_str("number of trials"),
            Self::TrialNumber { trial } => write!(f, "number of trial {trial}"),
            Self::Duration { trial } => write!(f, "duration of trial {trial} in ticks"),
            Self::Input { trial, event } => write!(f, "input event {event} of trial {trial}"),
            Self::Spike { trial, spike } => write!(f, "spike {spike} of trial {trial}"),
            Self::Sample { trial, sample, neuron } => {
                write!(f, "sample {sample} of neuron {neuron} in trial {trial}")
            }
            Self::SampleCount => f.write_str("number of samples"),
            Self::Stalled { index } => write!(f, "stalled trial {index}"),
            Self::Dropped => f.write_str("dropped events"),
            Self::Answer => f.write_str("answer of the chip"),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Switch(on) => f.write_str(if *on { "on" } else { "off" }),
            Self::Number(number) => number.fmt(f),
            Self::Event(event) => write!(f, "{} at tick {}", event.id, event.tick),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

impl From<SpikeEvent> for Value {
    fn from(event: SpikeEvent) -> Self {
        Self::Event(event)
    }
}

fn number(value: impl TryInto<i64>) -> Value {
    // Trial numbers beyond 2^63 are attempts of attempts: nobody gets there.
    Value::Number(value.try_into().unwrap_or(i64::MAX))
}

/// The first index at which two lists differ; the end of the shorter one counts.
fn first<T: PartialEq>(a: &[T], b: &[T]) -> Option<usize> {
    if a == b {
        return None;
    }
    let common = a.iter().zip(b).position(|(a, b)| a != b);
    Some(common.unwrap_or(a.len().min(b.len())))
}

/// The first difference of two configurations of one chip, whose parameters stand in one order.
#[must_use]
pub fn of_configurations(a: &ChipConfig, b: &ChipConfig) -> Option<Difference> {
    if let Some(at) = first(&a.weights, &b.weights) {
        let (row, neuron) = (at / a.neurons().max(1), at % a.neurons().max(1));
        let code = |c: &ChipConfig| c.weights.get(at).map(|code| i64::from(*code));
        return Some(Difference::new(Place::Weight { row, neuron }, code(a), code(b)));
    }
    for ((parameter, left), (_, right)) in a.parameters.iter().zip(&b.parameters) {
        if let Some(neuron) = first(left, right) {
            let code = |codes: &[u16]| codes.get(neuron).map(|code| i64::from(*code));
            let place = Place::Parameter { parameter: *parameter, neuron };
            return Some(Difference::new(place, code(left), code(right)));
        }
    }
    let switch = |place, at: usize, left: &[bool], right: &[bool]| {
        Difference::new(place, left.get(at).copied(), right.get(at).copied())
    };
    if let Some(neuron) = first(&a.enabled, &b.enabled) {
        return Some(switch(Place::Powered { neuron }, neuron, &a.enabled, &b.enabled));
    }
    if let Some(neuron) = first(&a.spiking, &b.spiking) {
        return Some(switch(Place::Comparator { neuron }, neuron, &a.spiking, &b.spiking));
    }
    of_settings(&a.recording, &b.recording)
}

fn of_settings(a: &Recording, b: &Recording) -> Option<Difference> {
    if a.spikes != b.spikes {
        return Some(Difference::new(Place::RecordSpikes, a.spikes, b.spikes));
    }
    if let Some(channel) = first(&a.traces, &b.traces) {
        let neuron = |r: &Recording| r.traces.get(channel).map(|id| i64::from(*id));
        return Some(Difference::new(Place::Traced { channel }, neuron(a), neuron(b)));
    }
    let numbers = [
        (Place::SamplePeriod, number(a.sample_period), number(b.sample_period)),
        (Place::Samples, number(a.samples), number(b.samples)),
        (Place::Reference, a.reference.map(i64::from).into(), b.reference.map(i64::from).into()),
        (Place::Floor, a.floor.map(i64::from).into(), b.floor.map(i64::from).into()),
    ];
    numbers.into_iter().find(|(_, a, b)| a != b).map(|(place, a, b)| Difference::new(place, a, b))
}

/// The first difference of the stimuli of two runs.
#[must_use]
pub fn of_stimuli(a: &[Stimulus], b: &[Stimulus]) -> Option<Difference> {
    for (trial, (left, right)) in a.iter().zip(b).enumerate() {
        let numbers = [
            (Place::TrialNumber { trial }, number(left.trial), number(right.trial)),
            (Place::Duration { trial }, number(left.duration), number(right.duration)),
        ];
        if let Some((place, a, b)) = numbers.into_iter().find(|(_, a, b)| a != b) {
            return Some(Difference::new(place, a, b));
        }
        if let Some(event) = first(&left.events, &right.events) {
            let at = |s: &Stimulus| s.events.get(event).copied();
            return Some(Difference::new(Place::Input { trial, event }, at(left), at(right)));
        }
    }
    let differ = a.len() != b.len();
    differ.then(|| Difference::new(Place::Trials, number(a.len()), number(b.len())))
}

/// The first difference of what two runs brought back; time does not count. `traces` are the neurons
/// whose membranes were sampled.
#[must_use]
pub fn of_observables(a: &Observables, b: &Observables, traces: &[NeuronId]) -> Option<Difference> {
    if a.trials() != b.trials() {
        return Some(Difference::new(Place::Trials, number(a.trials()), number(b.trials())));
    }
    for trial in 0..a.trials() {
        let (left, right) = (a.spikes_of(trial), b.spikes_of(trial));
        if let Some(spike) = first(left, right) {
            let (left, right) = (left.get(spike).copied(), right.get(spike).copied());
            return Some(Difference::new(Place::Spike { trial, spike }, left, right));
        }
    }
    if a.samples.len() != b.samples.len() {
        let count = |o: &Observables| number(o.samples.len());
        return Some(Difference::new(Place::SampleCount, count(a), count(b)));
    }
    if let Some(at) = first(&a.samples, &b.samples) {
        let channels = traces.len().max(1);
        let width = (a.samples.len() / a.trials().max(1)).max(1);
        let neuron = traces.get(at % width % channels).copied().unwrap_or(0);
        let place = Place::Sample { trial: at / width, sample: at % width / channels, neuron };
        return Some(Difference::new(place, number(a.samples[at]), number(b.samples[at])));
    }
    if let Some(index) = first(&a.stalled, &b.stalled) {
        let trial = |o: &Observables| o.stalled.get(index).map(|k| i64::from(*k));
        return Some(Difference::new(Place::Stalled { index }, trial(a), trial(b)));
    }
    let dropped = |o: &Observables| number(o.dropped_events);
    (a.dropped_events != b.dropped_events)
        .then(|| Difference::new(Place::Dropped, dropped(a), dropped(b)))
}
