//! Method `gif`: fits a generalised integrate-and-fire neuron to current and voltage, and predicts the spikes of
//! recordings that it was not fitted to; see [`spikeloop_models::neuron::gif`].
//!
//! The task is the published in-vitro recordings (`name = "invitro"`), or a neuron of known parameters that is
//! simulated and fitted again (`name = "simulated"`). One unit of progress is the fit; at the end the fitted neuron
//! runs `learning.trains` times and its spike trains are held against the measured ones (M_d*).

mod picture;
mod task;
#[cfg(test)]
mod tests;

use self::task::{Material, Recorded, Task};
use super::{Figures, Lesson, LessonError, State, Surroundings, Watch};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use spikeloop_models::neuron::gif::coincidence::{Agreement, agreement};
use spikeloop_models::neuron::gif::fit::{FitConfig, explained_membrane, fit};
use spikeloop_models::neuron::gif::{Basis, Gif};
use spikeloop_models::random::stream;

/// First stream of the generator of the model's trains; one a train.
const TRAINS: u64 = 1 << 32;

/// Sections of an experiment file with this method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    task: Task,
    #[serde(default)]
    learning: Learning,
}

/// How to fit and how to predict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Learning {
    /// Functions that make the spike-triggered current.
    eta: Basis,
    /// Functions that make the movement of the threshold.
    gamma: Basis,
    /// Absolute refractory period, ms.
    refractory_ms: f64,
    /// How long before a spike the voltage is left out of the subthreshold fit, ms.
    before_spike_ms: f64,
    /// Rate at threshold, Hz.
    rate_hz: f64,
    /// Weak pull of γ/ΔV to 0.
    ridge: f64,
    /// Spike trains that the fitted neuron makes for M_d*.
    trains: usize,
    /// Spikes this far apart agree, ms (Pozzorini et al. 2015: 4).
    window_ms: f64,
}

impl Default for Learning {
    fn default() -> Self {
        let fit = FitConfig::default();
        Self {
            eta: fit.eta,
            gamma: fit.gamma,
            refractory_ms: fit.refractory_ms,
            before_spike_ms: fit.before_spike_ms,
            rate_hz: fit.rate_hz,
            ridge: fit.ridge,
            trains: 500,
            window_ms: 4.0,
        }
    }
}

impl Learning {
    fn fit(&self) -> FitConfig {
        FitConfig {
            eta: self.eta.clone(),
            gamma: self.gamma.clone(),
            refractory_ms: self.refractory_ms,
            before_spike_ms: self.before_spike_ms,
            rate_hz: self.rate_hz,
            ridge: self.ridge,
        }
    }

    fn check(&self) -> Result<(), LessonError> {
        self.fit().check()?;
        let wrong = |key, got: String, must| Err(LessonError::Value { key, got, must });
        if !(2..=100_000).contains(&self.trains) {
            return wrong("learning.trains", self.trains.to_string(), "from 2 to 100000");
        }
        if !(self.window_ms.is_finite() && self.window_ms > 0.0) {
            return wrong("learning.window_ms", self.window_ms.to_string(), "positive");
        }
        Ok(())
    }
}

/// What the end of the lesson found out, for the pictures.
struct Prediction {
    agreement: Agreement,
    /// Spikes of the first trains of the model over a whole recording.
    trains: Vec<Vec<usize>>,
}

struct GifLesson {
    config: Config,
    seed: u64,
    material: Material,
    fitted: Option<Gif>,
    prediction: Option<Prediction>,
}

/// Reads the configuration and the recordings.
///
/// # Errors
/// A configuration or data set that cannot be used.
pub fn open(
    table: toml::Table,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Lesson>, LessonError> {
    let config: Config = super::parse(table)?;
    config.learning.check()?;
    let level = config.learning.refractory_ms;
    let material = config.task.open(surroundings.data, surroundings.seed, level)?;
    let seed = surroundings.seed;
    Ok(Box::new(GifLesson { config, seed, material, fitted: None, prediction: None }))
}

impl GifLesson {
    fn fitted(&self) -> Result<&Gif, LessonError> {
        self.fitted.as_ref().ok_or_else(|| LessonError::State {
            name: "neuron".into(),
            problem: "is missing: nothing was fitted".into(),
        })
    }

    /// Spike trains of `gif` under the current of `recorded`, each from a stream of its own.
    fn trains(&self, gif: &Gif, recorded: &Recorded) -> Result<Vec<Vec<usize>>, LessonError> {
        let (current, dt) = (&recorded.current_na, self.material.dt_ms);
        let train = |k: usize| {
            let mut rng = stream(self.seed, TRAINS + k as u64);
            gif.simulate(current, dt, &mut rng, |_, _| ())
        };
        let trains: Result<Vec<_>, _> =
            (0..self.config.learning.trains).into_par_iter().map(train).collect();
        Ok(trains?)
    }
}

impl Lesson for GifLesson {
    fn unit(&self) -> &'static str {
        "fit"
    }

    fn epochs(&self) -> usize {
        1
    }

    fn epoch(&mut self, _epoch: usize, watch: &dyn Watch) -> Result<Figures, LessonError> {
        if !watch.part(0, 1) {
            return Err(LessonError::Interrupted);
        }
        let recordings: Vec<_> = self.material.fit.iter().map(Recorded::recording).collect();
        let found = fit(&recordings, self.material.dt_ms, &self.config.learning.fit())?;
        let gif = &found.gif;
        let mut figures = vec![
            ("tau_mem_ms", gif.tau_mem_ms()),
            ("r_mohm", 1.0 / gif.conductance_us),
            ("v_leak_mv", gif.v_leak_mv),
            ("v_reset_mv", gif.v_reset_mv),
            ("v_threshold_mv", gif.v_threshold_mv),
            ("delta_mv", gif.delta_mv),
            ("spikes", found.spikes as f64),
            ("bits_per_spike", found.bits_per_spike()),
            ("fit_explained_slope", found.explained_slope),
            ("fit_explained_membrane", found.explained_membrane),
            ("newton_steps", found.iterations as f64),
        ];
        if let Some(electrode) = &self.material.electrode {
            figures.push(("electrode_mohm", electrode.resistance_mohm()));
        }
        self.fitted = Some(found.gif);
        Ok(figures)
    }

    fn finish(&mut self) -> Result<Figures, LessonError> {
        let gif = self.fitted()?;
        let dt = self.material.dt_ms;
        let [from, to] = self.material.window;
        let cut = |spikes: &[usize]| -> Vec<usize> {
            spikes.iter().copied().filter(|s| (from..to).contains(s)).collect()
        };
        // The current of all repeats is the same: the first stands for it.
        let trains = self.trains(gif, &self.material.predict[0])?;
        let data: Vec<_> = self.material.predict.iter().map(|r| cut(&r.spikes)).collect();
        let model: Vec<_> = trains.iter().map(|t| cut(t)).collect();
        let window = (self.config.learning.window_ms / dt).round() as usize;
        let agreement = agreement(&data, &model, window)?;
        let recordings: Vec<_> = self.material.predict.iter().map(Recorded::recording).collect();
        let explained = explained_membrane(gif, &recordings, dt, &self.config.learning.fit())?;
        let seconds = 1e-3 * dt * (to - from) as f64;
        let rate = |trains: &[Vec<usize>]| {
            trains.iter().map(Vec::len).sum::<usize>() as f64 / (trains.len() as f64 * seconds)
        };
        let mean = rate(&data) * seconds;
        let mut figures = vec![
            ("md", agreement.md),
            ("reliability", if mean > 0.0 { agreement.data / mean } else { 0.0 }),
            ("rate_hz", rate(&data)),
            ("model_rate_hz", rate(&model)),
            ("explained_membrane", explained),
        ];
        if let Some(truth) = &self.material.truth {
            let off = |got: f64, true_value: f64| (got / true_value - 1.0).abs();
            figures.extend([
                ("tau_mem_error", off(gif.tau_mem_ms(), truth.tau_mem_ms())),
                ("v_threshold_error", off(gif.v_threshold_mv, truth.v_threshold_mv)),
                ("v_threshold_off_mv", (gif.v_threshold_mv - truth.v_threshold_mv).abs()),
                ("delta_error", off(gif.delta_mv, truth.delta_mv)),
            ]);
        }
        let trains = trains.into_iter().take(picture::TRAINS).collect();
        self.prediction = Some(Prediction { agreement, trains });
        Ok(figures)
    }

    fn save(&self, state: &mut State) {
        let Some(gif) = &self.fitted else { return };
        state.put("neuron", &[NUMBERS], numbers(gif));
        for (name, kernel) in [("eta", &gif.eta), ("gamma", &gif.gamma)] {
            state.put(name, &[kernel.coefficients.len()], kernel.coefficients.iter().copied());
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        let learning = &self.config.learning;
        let mut gif = Gif::default();
        let found: Vec<f64> = state.array("neuron", &[NUMBERS])?;
        set_numbers(&mut gif, &found);
        for (name, kernel, basis) in
            [("eta", &mut gif.eta, &learning.eta), ("gamma", &mut gif.gamma, &learning.gamma)]
        {
            kernel.basis = basis.clone();
            kernel.coefficients = state.array(name, &[basis.count()])?;
        }
        gif.check()?;
        self.fitted = Some(gif);
        Ok(())
    }

    fn pictures(&mut self) -> Vec<(&'static str, String)> {
        match (&self.fitted, &self.prediction) {
            (Some(gif), Some(prediction)) => picture::all(gif, &self.material, prediction),
            _ => Vec::new(),
        }
    }

    fn config(&self) -> toml::Table {
        super::table(&self.config)
    }
}

/// Numbers of a neuron besides its kernels.
const NUMBERS: usize = 8;

fn numbers(gif: &Gif) -> [f64; NUMBERS] {
    [
        gif.capacitance_nf,
        gif.conductance_us,
        gif.v_leak_mv,
        gif.v_reset_mv,
        gif.refractory_ms,
        gif.v_threshold_mv,
        gif.delta_mv,
        gif.rate_hz,
    ]
}

fn set_numbers(gif: &mut Gif, values: &[f64]) {
    let targets = [
        &mut gif.capacitance_nf,
        &mut gif.conductance_us,
        &mut gif.v_leak_mv,
        &mut gif.v_reset_mv,
        &mut gif.refractory_ms,
        &mut gif.v_threshold_mv,
        &mut gif.delta_mv,
        &mut gif.rate_hz,
    ];
    targets.into_iter().zip(values).for_each(|(target, value)| *target = *value);
}
