//! One reproducible run, as data: task, network, method, chip, seeds and budget.
//!
//! An experiment is what an experiment file says after its defaults are filled in; the run folder keeps it in
//! this resolved form. Everything random in it comes from `seed`, each purpose from a stream of its own.

use crate::data::DataSpec;
use serde::{Deserialize, Serialize};
use spikeloop_calibration::{Baseline, Codes, Grid, LayerTarget, Site, SpikeTiming, Spread};
use spikeloop_models::init::{Init, psp_sums};
use spikeloop_models::layer::{Current, InputScale, LayerSpec, NeuronKind, PerUnit, Reset, Wiring};
use spikeloop_models::loss::Loss;
use spikeloop_models::method::eprop::Feedback;
use spikeloop_models::method::noise::Noise;
use spikeloop_models::method::smooth::Annealing;
use spikeloop_models::network::Network;
use spikeloop_models::optim::{Rule, Schedule};
use spikeloop_models::regularise::Regulariser;
use spikeloop_models::surrogate::Surrogate;

/// An experiment file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Name of the run.
    pub name: String,
    /// Seed of initialisation, shuffling and tie-breaking.
    #[serde(default = "one")]
    pub seed: u64,
    /// What is learned.
    pub task: DataSpec,
    /// What learns.
    pub network: NetworkSpec,
    /// How it learns.
    pub learning: Learning,
    /// On what it learns.
    #[serde(default)]
    pub chip: ChipSpec,
}

/// A fully connected chain: hidden layers of current-based LIF neurons and a leaky-integrator readout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Units of each hidden layer.
    pub hidden: Vec<usize>,
    /// Whether hidden layers have recurrent weights.
    #[serde(default)]
    pub recurrent: bool,
    /// Time step in µs of chip time.
    pub dt_us: f64,
    /// States, the resting state included.
    pub steps: usize,
    /// Membrane time constant in µs.
    pub tau_mem_us: f64,
    /// Synaptic time constant in µs.
    pub tau_syn_us: f64,
    /// Which current the membrane integrates.
    #[serde(default = "new_current")]
    pub current: Current,
    /// Factor between current and membrane.
    #[serde(default = "scale_one")]
    pub input_scale: InputScale,
    /// What a spike does to the membrane of the model.
    #[serde(default = "subtractive")]
    pub reset: Reset,
    /// Whether the gradient ignores the reset.
    #[serde(default = "yes")]
    pub detach_reset: bool,
    /// Derivative of a spike.
    pub surrogate: Surrogate,
    /// Membrane of hidden units at the start, in units of the threshold.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub initial_membrane: f64,
    /// Membrane time constant of the readout in µs; as the hidden layers' if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readout_tau_mem_us: Option<f64>,
    /// Membrane of the readout at the start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub initial_readout: f64,
    /// A layer that turns analog inputs into spikes, for tasks that have such inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderSpec>,
}

/// Leaky integrate-and-fire units that listen to one analog channel each, `gain (x + bias)`, both learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSpec {
    /// Number of units, dealt out to the channels in turn.
    pub units: usize,
    /// Initial gains and biases.
    #[serde(default = "standard_normal")]
    pub init: Init,
}

fn standard_normal() -> Init {
    Init::Normal { mean: 0.0, std: 1.0 }
}

/// How the network learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    /// Method. Back-propagation through time with surrogate gradients, if nothing is said.
    #[serde(default)]
    pub method: MethodName,
    /// How the error reaches hidden units, for `method = "eprop"`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub feedback: Feedback,
    /// Passes over the training set, on the chip if there is one.
    pub epochs: usize,
    /// Passes in software before the first on the chip: a warm start.
    #[serde(default)]
    pub warm_start_epochs: usize,
    /// Samples of one step of the optimizer.
    pub batch: usize,
    /// The test set (or validation set, if the task has one) is evaluated after every so many epochs, and
    /// after the last.
    #[serde(default = "one_usize")]
    pub evaluate_every: usize,
    /// Whether the training set is evaluated, too, after the last epoch.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub evaluate_train: bool,
    /// What is minimised.
    pub loss: Loss,
    /// Penalties.
    #[serde(default)]
    pub regularisers: Vec<Regulariser>,
    /// Share of the hidden units that each batch leaves out, by zeros in their incoming weights; none in
    /// evaluations.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Largest angle, in degrees, by which images are turned at random while they are learned.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rotation_deg: f32,
    /// Initial weights of hidden layers.
    pub init: Init,
    /// Initial weights of the readout; as `init` if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_readout: Option<Init>,
    /// Initial weights among the units of a hidden layer; as `init` if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_recurrent: Option<Init>,
    /// Rule of the optimizer.
    #[serde(default = "Rule::adam")]
    pub optimizer: Rule,
    /// Learning rate.
    pub rate: f64,
    /// Learning rate over epochs.
    #[serde(default)]
    pub schedule: Schedule,
    /// The noise of the method `escape-noise`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// Steepness over epochs of the method `smooth-spikes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smooth: Option<Annealing>,
}

/// Methods by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// Surrogate-gradient back-propagation through time, with injection of what a chip measured.
    #[default]
    Bptt,
    /// Eligibility traces times a learning signal; see `learning.feedback`.
    Eprop,
    /// Real-time recurrent learning: the gradient of `bptt`, carried forward. For small networks.
    Rtrl,
    /// Spikes drawn by their escape probability, or the mean activity, while learning.
    EscapeNoise,
    /// Spikes smoothed by a sigmoid that becomes steeper while learning.
    SmoothSpikes,
}

impl MethodName {
    /// As in an experiment file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bptt => "bptt",
            Self::Eprop => "eprop",
            Self::Rtrl => "rtrl",
            Self::EscapeNoise => "escape-noise",
            Self::SmoothSpikes => "smooth-spikes",
        }
    }
}

/// What the chip returns for learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Observe {
    /// Spikes and membranes of all layers.
    #[default]
    Membranes,
    /// Spikes and membranes of the hidden layers; the readout is computed by the host, without the noise
    /// of the converter.
    Hidden,
    /// Spikes of the hidden layers alone; the readout is computed by the host.
    Spikes,
}

/// Which model the gradient goes back through.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Backward {
    /// The network's own: every unit as designed.
    #[default]
    Nominal,
    /// Time constants and gain of every unit as the calibration measured them.
    Measured,
    /// The same, and the threshold, as estimated from what the chip returns while it learns: needs no
    /// calibration.
    Estimated,
}

impl Backward {
    /// As in tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Nominal => "nominal",
            Self::Measured => "measured",
            Self::Estimated => "estimated",
        }
    }
}

/// Who runs the forward passes of a warm start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WarmStart {
    /// The model.
    #[default]
    Software,
    /// A digital twin of the chip, in the run's folder.
    Twin,
}

/// The chip and how it is used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChipSpec {
    /// Selector, as for `--chip`; nothing or `software` trains the model alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What comes back.
    #[serde(default)]
    pub observe: Observe,
    /// Layout over the array.
    #[serde(default)]
    pub spread: Spread,
    /// Reference of the membranes.
    #[serde(default)]
    pub baseline: Baseline,
    /// How far below the lowest threshold membranes of hidden units still come back, in units of threshold −
    /// rest; those further down are left out on the device, which saves most of the traffic. Where the
    /// surrogate derivative is narrow they hardly matter: SuperSpike with beta = 50 has 0.4 % of its
    /// peak at a distance of 0.3. Without a calibration thresholds are those of the design, and mismatch
    /// eats into the window. Missing: all of them come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_window: Option<f32>,
    /// Which model the gradient goes back through.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub backward: Backward,
    /// Who runs the warm start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub warm_start: WarmStart,
    /// Whether a calibration sets the chip, or only says what it is like.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub codes: Codes,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn one() -> u64 {
    1
}
fn one_usize() -> usize {
    1
}
fn yes() -> bool {
    true
}
fn new_current() -> Current {
    Current::New
}
fn scale_one() -> InputScale {
    InputScale::One
}
fn subtractive() -> Reset {
    Reset::Subtractive
}

/// An experiment that contradicts itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A number that makes no sense.
    #[error("{key} = {got}: it must be {must}")]
    Value {
        /// Dotted key.
        key: &'static str,
        /// What it is.
        got: f64,
        /// What it must be.
        must: &'static str,
    },
    /// Turning what is no image.
    #[error("learning.rotation_deg: the task {task} has no images to turn; leave the key out")]
    NotImages {
        /// The task.
        task: &'static str,
    },
    /// What a chip cannot do.
    #[error("{what} runs in software alone: leave [chip] selector out, or use --software")]
    SoftwareOnly {
        /// The method or part.
        what: String,
    },
    /// A section of a method that is not the experiment's.
    #[error("learning.{section} belongs to learning.method = \"{method}\": leave it out")]
    OtherMethod {
        /// Key of the section.
        section: &'static str,
        /// Its method.
        method: &'static str,
    },
    /// Analog inputs without an encoder, or the other way round.
    #[error("network.encoder: the task {task} {problem}")]
    Encoder {
        /// The task.
        task: &'static str,
        /// What does not fit, and how to put it right.
        problem: &'static str,
    },
    /// The network cannot be made.
    #[error(transparent)]
    Model(#[from] spikeloop_models::error::ModelError),
}

impl Observe {
    /// Whether membranes come back.
    #[must_use]
    pub fn membranes(self) -> bool {
        self != Self::Spikes
    }
}

impl Experiment {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn check(&self) -> Result<(), ExperimentError> {
        let positive = |key, got: usize| match got {
            0 => Err(ExperimentError::Value { key, got: 0.0, must: "at least 1" }),
            _ => Ok(()),
        };
        positive("learning.batch", self.learning.batch)?;
        positive("learning.evaluate_every", self.learning.evaluate_every)?;
        positive("network.hidden (number of layers)", self.network.hidden.len())?;
        if self.network.steps < 2 {
            let got = self.network.steps as f64;
            return Err(ExperimentError::Value { key: "network.steps", got, must: "at least 2" });
        }
        if !(self.learning.rate.is_finite() && self.learning.rate > 0.0) {
            let got = self.learning.rate;
            return Err(ExperimentError::Value { key: "learning.rate", got, must: "positive" });
        }
        let within = |key, got: f64, limit: f64, must| match got {
            x if (0.0..limit).contains(&x) => Ok(()),
            _ => Err(ExperimentError::Value { key, got, must }),
        };
        within("learning.dropout", self.learning.dropout, 1.0, "at least 0 and below 1")?;
        let rotation = f64::from(self.learning.rotation_deg);
        within("learning.rotation_deg", rotation, 180.0, "at least 0 and below 180")?;
        self.learning.loss.check()?;
        self.check_feedback()?;
        self.check_method()?;
        self.check_window()
    }

    /// Feedback that the method does not have is a mistake, not a detail.
    fn check_feedback(&self) -> Result<(), ExperimentError> {
        let learning = &self.learning;
        learning.feedback.check()?;
        if let (true, Feedback::Random { std: got }) =
            (learning.method != MethodName::Eprop, learning.feedback)
        {
            let must = "left out, or learning.method \"eprop\"";
            return Err(ExperimentError::Value { key: "learning.feedback.std", got, must });
        }
        Ok(())
    }

    /// Sections of methods, and what runs without a chip alone.
    fn check_method(&self) -> Result<(), ExperimentError> {
        let method = self.learning.method;
        let other = |section, of: MethodName, there: bool| match there && method != of {
            true => Err(ExperimentError::OtherMethod { section, method: of.as_str() }),
            false => Ok(()),
        };
        other("noise", MethodName::EscapeNoise, self.learning.noise.is_some())?;
        other("smooth", MethodName::SmoothSpikes, self.learning.smooth.is_some())?;
        self.learning.noise.unwrap_or_default().check()?;
        self.learning.smooth.unwrap_or_default().check()?;
        let software = self.chip.selector.as_deref().is_none_or(|s| s == "software");
        let what = match (&self.network.encoder, method) {
            (_, MethodName::EscapeNoise | MethodName::SmoothSpikes) => {
                format!("learning.method = \"{}\"", method.as_str())
            }
            (Some(_), _) => "an encoder of analog inputs (network.encoder)".to_owned(),
            (None, _) => return Ok(()),
        };
        if software { Ok(()) } else { Err(ExperimentError::SoftwareOnly { what }) }
    }

    /// Whether the inputs of the data are what the network listens to.
    ///
    /// # Errors
    /// An encoder without analog inputs, or analog inputs without an encoder.
    pub fn check_inputs(&self, analog: bool) -> Result<(), ExperimentError> {
        let problem = match (analog, self.network.encoder.is_some()) {
            (true, false) => {
                "has analog inputs: say how they become spikes, e.g. encoder = { units = 128 }"
            }
            (false, true) => "has spikes as inputs already: leave the encoder out",
            _ => return Ok(()),
        };
        Err(ExperimentError::Encoder { task: self.task.name.as_str(), problem })
    }

    fn check_window(&self) -> Result<(), ExperimentError> {
        let Some(window) = self.chip.trace_window else { return Ok(()) };
        let must = match self.chip.backward {
            // Its model is compared with every membrane.
            Backward::Estimated => "left out with chip.backward = \"estimated\"",
            _ if (0.0..=100.0).contains(&window) => return Ok(()),
            _ => "between 0 and 100 (units of threshold - rest)",
        };
        Err(ExperimentError::Value { key: "chip.trace_window", got: window.into(), must })
    }

    fn layer_spec(&self, units: usize, neuron: NeuronKind) -> LayerSpec {
        let n = &self.network;
        LayerSpec {
            neuron,
            dt_us: n.dt_us,
            tau_mem_us: PerUnit::Uniform(n.tau_mem_us),
            tau_syn_us: PerUnit::Uniform(n.tau_syn_us),
            current: n.current,
            input_scale: n.input_scale,
            reset: if neuron.spikes() { n.reset } else { Reset::None },
            detach_reset: n.detach_reset,
            surrogate: n.surrogate,
            initial_membrane: n.initial_membrane,
            ..LayerSpec::chip_grid(units)
        }
    }

    fn readout_spec(&self, classes: usize) -> LayerSpec {
        let n = &self.network;
        LayerSpec {
            tau_mem_us: PerUnit::Uniform(n.readout_tau_mem_us.unwrap_or(n.tau_mem_us)),
            initial_membrane: n.initial_readout,
            ..self.layer_spec(classes, NeuronKind::CubaLi)
        }
    }

    /// Units without synapses, whose inputs act at once.
    fn encoder_spec(&self, units: usize) -> LayerSpec {
        LayerSpec {
            current: Current::New,
            initial_membrane: 0.0,
            wiring: Wiring::Encoder,
            ..self.layer_spec(units, NeuronKind::Lif)
        }
    }

    /// The network with its initial weights.
    ///
    /// # Errors
    /// Parameters out of range.
    pub fn network(&self, inputs: usize, classes: usize) -> Result<Network<f32>, ExperimentError> {
        let mut specs: Vec<LayerSpec> =
            self.network.hidden.iter().map(|n| self.layer_spec(*n, NeuronKind::CubaLif)).collect();
        let mut recurrent = vec![self.network.recurrent; specs.len()];
        if let Some(encoder) = &self.network.encoder {
            specs.insert(0, self.encoder_spec(encoder.units));
            recurrent.insert(0, false);
        }
        specs.push(self.readout_spec(classes));
        let readout = specs.len() - 1;
        let mut network = Network::new(self.network.steps, inputs, specs, &recurrent)?;
        for l in 0..=readout {
            let init = match (&self.learning.init_readout, &self.network.encoder) {
                (Some(init), _) if l == readout => init,
                (_, Some(encoder)) if l == 0 => &encoder.init,
                _ => &self.learning.init,
            };
            let recurrent = self.learning.init_recurrent.as_ref();
            spikeloop_models::init::draw(&mut network, l, init, recurrent, self.seed)?;
        }
        Ok(network)
    }

    /// The model's clock.
    #[must_use]
    pub fn grid(&self) -> Grid {
        Grid { dt_us: self.network.dt_us as f32, steps: self.network.steps }
    }

    /// When a spike starts to act in the model's convention.
    #[must_use]
    pub fn timing(&self) -> SpikeTiming {
        match self.network.current {
            Current::New => SpikeTiming::NewCurrent,
            Current::Old => SpikeTiming::OldCurrent,
        }
    }
}

/// What the layers of a network need of a chip.
#[must_use]
pub fn layer_targets(network: &Network<f32>, observe: Observe) -> Vec<LayerTarget> {
    network
        .layers
        .iter()
        .map(|layer| {
            let spec = &layer.spec;
            let spiking = spec.neuron.spikes();
            LayerTarget {
                units: spec.units,
                tau_mem_us: spec.tau_mem_us.at(0),
                tau_syn_us: spec.tau_syn_us.at(0),
                spiking,
                recurrent: layer.recurrent.is_some(),
                psp_peak: psp_sums(spec, 0).peak,
                site: if spiking || observe == Observe::Membranes {
                    Site::Chip
                } else {
                    Site::Host
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
