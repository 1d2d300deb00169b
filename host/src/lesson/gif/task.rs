//! What a neuron is fitted to and what it predicts.

use super::super::LessonError;
use crate::data::invitro::{self, Clamp};
use serde::{Deserialize, Serialize};
use spikeloop_models::neuron::gif::electrode::{Electrode, ElectrodeConfig};
use spikeloop_models::neuron::gif::fit::Recording;
use spikeloop_models::neuron::gif::stimulus::Stimulus;
use spikeloop_models::neuron::gif::{Gif, upward_crossings};
use spikeloop_models::random::{mix, stream};
use std::path::Path;

/// Where the recordings come from. In a file: `name = "invitro"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(super) enum Task {
    /// The published recordings of one pyramidal neuron.
    Invitro(Invitro),
    /// A known neuron.
    Simulated(Simulated),
}

/// Which of the recordings are fitted and which predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Invitro {
    /// Repeats that are fitted, from 0.
    fit_repeats: Vec<usize>,
    /// The part of them that is fitted, ms.
    fit_ms: [f64; 2],
    /// Repeats that are predicted.
    predict_repeats: Vec<usize>,
    /// The part of them in which spikes are compared, ms.
    predict_ms: [f64; 2],
    /// Spikes are upward crossings of this voltage, mV.
    spike_mv: f64,
    /// Whether the drop over the electrode is taken off.
    compensate: bool,
    /// How the electrode is estimated.
    electrode: ElectrodeConfig,
}

impl Default for Invitro {
    fn default() -> Self {
        Self {
            fit_repeats: vec![0, 1, 2],
            fit_ms: [0.0, 20_000.0],
            predict_repeats: vec![3, 4],
            predict_ms: [0.0, 20_000.0],
            spike_mv: 0.0,
            compensate: true,
            electrode: ElectrodeConfig::default(),
        }
    }
}

/// A neuron of known parameters, under one current for the fit and repeats of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Simulated {
    /// The neuron.
    neuron: Gif,
    /// Its current.
    stimulus: Stimulus,
    /// Time step, ms.
    dt_ms: f64,
    /// Length of the recording that is fitted, ms.
    fit_ms: f64,
    /// Length of those that are predicted, ms.
    predict_ms: f64,
    /// Number of those.
    predict_repeats: usize,
}

impl Default for Simulated {
    fn default() -> Self {
        Self {
            neuron: Gif::default(),
            stimulus: Stimulus::default(),
            dt_ms: 0.1,
            fit_ms: 100_000.0,
            predict_ms: 20_000.0,
            predict_repeats: 5,
        }
    }
}

/// A recording that is owned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recorded {
    pub(super) current_na: Vec<f64>,
    pub(super) membrane_mv: Vec<f64>,
    pub(super) spikes: Vec<usize>,
}

impl Recorded {
    pub(super) fn recording(&self) -> Recording<'_> {
        Recording {
            current_na: &self.current_na,
            membrane_mv: &self.membrane_mv,
            spikes: &self.spikes,
        }
    }
}

/// All that a fit and a prediction need.
pub(super) struct Material {
    pub(super) dt_ms: f64,
    pub(super) fit: Vec<Recorded>,
    /// Whole recordings with the same current.
    pub(super) predict: Vec<Recorded>,
    /// Samples in which the spikes of `predict` are compared.
    pub(super) window: [usize; 2],
    pub(super) electrode: Option<Electrode>,
    pub(super) truth: Option<Gif>,
}

fn wrong<T>(key: &'static str, got: String, must: &'static str) -> Result<T, LessonError> {
    Err(LessonError::Value { key, got, must })
}

impl Task {
    pub(super) fn open(
        &self,
        data: Option<&Path>,
        seed: u64,
        refractory_ms: f64,
    ) -> Result<Material, LessonError> {
        match self {
            Self::Invitro(task) => task.open(data, refractory_ms),
            Self::Simulated(task) => task.open(seed),
        }
    }
}

impl Invitro {
    fn open(&self, data: Option<&Path>, refractory_ms: f64) -> Result<Material, LessonError> {
        self.check()?;
        let cell = invitro::load(data)?;
        let dt_ms = cell.dt_ms;
        let electrode = match self.compensate {
            false => None,
            true => {
                let Clamp { voltage_mv, current_na } = &cell.electrode;
                Some(Electrode::estimate(voltage_mv, current_na, dt_ms, &self.electrode)?)
            }
        };
        let apart = ((refractory_ms / dt_ms).round() as usize).max(1);
        let recorded = |repeat: &usize, window: [usize; 2]| {
            let Clamp { mut voltage_mv, current_na } = cell.repeats[*repeat].clone();
            if let Some(electrode) = &electrode {
                electrode.compensate(&mut voltage_mv, &current_na);
            }
            let [from, to] = window.map(|at| at.min(voltage_mv.len()));
            let membrane_mv = voltage_mv[from..to].to_vec();
            let spikes = upward_crossings(&membrane_mv, self.spike_mv, apart);
            Recorded { current_na: current_na[from..to].to_vec(), membrane_mv, spikes }
        };
        let samples = |ms: [f64; 2]| ms.map(|ms| (ms / dt_ms).round() as usize);
        let whole = [0, usize::MAX];
        Ok(Material {
            dt_ms,
            fit: self.fit_repeats.iter().map(|r| recorded(r, samples(self.fit_ms))).collect(),
            predict: self.predict_repeats.iter().map(|r| recorded(r, whole)).collect(),
            window: samples(self.predict_ms),
            electrode,
            truth: None,
        })
    }

    fn check(&self) -> Result<(), LessonError> {
        let one = |key, repeats: &[usize], least: usize, must| {
            let all = repeats.len() >= least && repeats.iter().all(|r| *r < invitro::REPEATS);
            if all { Ok(()) } else { wrong(key, format!("{repeats:?}"), must) }
        };
        one("task.fit_repeats", &self.fit_repeats, 1, "one repeat at least, numbers from 0 to 4")?;
        let must = "two repeats at least, numbers from 0 to 4";
        one("task.predict_repeats", &self.predict_repeats, 2, must)?;
        for (key, [from, to]) in
            [("task.fit_ms", self.fit_ms), ("task.predict_ms", self.predict_ms)]
        {
            if !(from >= 0.0 && to >= from + 1000.0 && to <= 20_000.0) {
                let must = "[from, to] with 0 <= from, from + 1000 <= to <= 20000";
                return wrong(key, format!("[{from}, {to}]"), must);
            }
        }
        if let Some(both) = self.fit_repeats.iter().find(|r| self.predict_repeats.contains(r))
            && self.fit_ms[1] > self.predict_ms[0]
            && self.predict_ms[1] > self.fit_ms[0]
        {
            let must = "other repeats than task.fit_repeats, or another part of them: a neuron \
                        that predicts what it was fitted to shows nothing";
            return wrong("task.predict_repeats", format!("{both}"), must);
        }
        if !self.spike_mv.is_finite() {
            return wrong("task.spike_mv", self.spike_mv.to_string(), "a finite number");
        }
        Ok(())
    }
}

impl Simulated {
    fn open(&self, seed: u64) -> Result<Material, LessonError> {
        self.neuron.check()?;
        if !(2..=1000).contains(&self.predict_repeats) {
            let got = self.predict_repeats.to_string();
            return wrong("task.predict_repeats", got, "from 2 to 1000");
        }
        let run = |current: &[f64], number: u64| -> Result<Recorded, LessonError> {
            let mut membrane_mv = Vec::with_capacity(current.len());
            let mut rng = stream(seed, number);
            let spikes =
                self.neuron.simulate(current, self.dt_ms, &mut rng, |v, _| membrane_mv.push(v))?;
            Ok(Recorded { current_na: current.to_vec(), membrane_mv, spikes })
        };
        let fitted = self.stimulus.draw(self.fit_ms, self.dt_ms, mix(seed, 1))?;
        let other = self.stimulus.draw(self.predict_ms, self.dt_ms, mix(seed, 2))?;
        let predict = (0..self.predict_repeats as u64).map(|k| run(&other, 2 + k));
        Ok(Material {
            dt_ms: self.dt_ms,
            fit: vec![run(&fitted, 1)?],
            predict: predict.collect::<Result<_, _>>()?,
            window: [0, other.len()],
            electrode: None,
            truth: Some(self.neuron.clone()),
        })
    }
}
