//! Learning firing times: every neuron spikes at most once, and the derivative of its time is exact
//! ([`spikeloop_models::method::first_spike`]).
//!
//! The neuron is that of the experiment in continuous time, without a grid and, as it spikes once, without a reset.
//! Spike times have a closed form for τ_mem = τ_syn and τ_mem = 2 τ_syn (Göltz et al. 2021). The earliest output
//! decides.

use super::{Learner, StudyError, Watch, epoch_key, shuffled};
use crate::data::{Dataset, Split};
use crate::experiment::Experiment;
use serde::{Deserialize, Serialize};
use spikeloop_models::error::ModelError;
use spikeloop_models::method::first_spike::{
    Batch, FirstSpike, FirstSpikeNetwork, Kernel, LearningConfig, NetworkConfig, Teach,
};

/// What firing times need besides the experiment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FiringSettings {
    /// Learning rate.
    pub rate: f64,
    /// Mean of the first weights in their standard deviations: they have to make neurons spike.
    pub mean: f64,
    /// Scale ξ of the loss `softmax(−t/ξ)` in membrane time constants (Göltz et al. 2021: 0.2).
    pub loss_scale: f64,
    /// Minus the gradient of every weight onto a neuron that did not spike.
    pub penalty_no_spike: f64,
    /// Limit of every derivative of a spike time by a weight or time.
    pub clip_derivative: f64,
}

impl Default for FiringSettings {
    /// Rate, mean, scale and penalty were chosen on held-out samples of both tasks, out of two to three values each.
    fn default() -> Self {
        Self {
            rate: 3e-3,
            mean: 1.5,
            loss_scale: 0.2,
            penalty_no_spike: 1.0,
            clip_derivative: 100.0,
        }
    }
}

/// The kernel of the experiment's neuron.
fn kernel(experiment: &Experiment) -> Result<Kernel, ModelError> {
    let (mem, syn) = (experiment.network.tau_mem_us, experiment.network.tau_syn_us);
    if mem == syn {
        return Ok(Kernel::LifEqual { tau: mem });
    }
    if mem == 2.0 * syn {
        return Ok(Kernel::LifDouble { tau_syn: syn });
    }
    let must = "for the answer first-spike it must be once or twice network.tau_syn_us";
    Err(ModelError::Parameter { what: "network.tau_mem_us", got: mem, must })
}

/// Refuses what has no closed form.
///
/// # Errors
/// [`StudyError::Model`] with the key.
pub fn check(experiment: &Experiment, settings: FiringSettings) -> Result<(), StudyError> {
    kernel(experiment)?;
    Ok(learning(experiment, settings).check()?)
}

fn learning(experiment: &Experiment, settings: FiringSettings) -> LearningConfig {
    LearningConfig {
        epochs: experiment.learning.epochs,
        batch: experiment.learning.batch,
        rate: settings.rate,
        pulse_rate: 0.0,
        schedule: experiment.learning.schedule,
        clip_derivative: settings.clip_derivative,
        penalty_no_spike: settings.penalty_no_spike,
        loss_scale: settings.loss_scale * experiment.network.tau_mem_us,
        teach: Teach::All,
        ..LearningConfig::default()
    }
}

/// Learns firing times.
pub(super) struct FiringLearner {
    method: FirstSpike,
    seed: u64,
}

impl FiringLearner {
    /// Hidden layers, time constants, batch, schedule and seed of the experiment; `data` holds spike times.
    pub(super) fn new(
        experiment: &Experiment,
        settings: FiringSettings,
        data: &Dataset,
    ) -> Result<Self, StudyError> {
        let network = NetworkConfig {
            hidden: experiment.network.hidden.clone(),
            pulses: 0,
            kernel: kernel(experiment)?,
            threshold: 1.0,
            mean: settings.mean,
            ..NetworkConfig::default()
        };
        let seed = experiment.seed;
        let network = FirstSpikeNetwork::new(network, data.inputs, data.classes, seed)?;
        let method = FirstSpike::new(network, learning(experiment, settings))?;
        Ok(Self { method, seed })
    }
}

impl Learner for FiringLearner {
    fn epoch(&mut self, data: &Dataset, epoch: usize, watch: &dyn Watch) -> Result<(), StudyError> {
        self.method.begin_epoch(epoch);
        let (inputs, labels) = (&data.train.times, &data.train.labels[..]);
        let batch = self.method.config().batch;
        for samples in shuffled(data.train.len(), epoch_key(self.seed, epoch)).chunks(batch) {
            if watch.stop() {
                return Err(StudyError::Interrupted);
            }
            self.method.learn(&Batch { inputs, samples, labels })?;
        }
        Ok(())
    }

    fn judge(&self, split: &Split) -> Result<(f64, f64), StudyError> {
        let samples: Vec<u32> = (0..split.len() as u32).collect();
        let batch = Batch { inputs: &split.times, samples: &samples, labels: &split.labels };
        let answers = self.method.network().answers(self.method.config(), &batch)?;
        let right = answers.iter().zip(&split.labels).filter(|(a, l)| a.is_correct(**l)).count();
        let spikes: f64 = answers.iter().map(|a| f64::from(a.hidden_spikes)).sum();
        let samples = split.len().max(1) as f64;
        Ok((right as f64 / samples, spikes / samples))
    }
}
