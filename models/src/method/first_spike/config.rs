//! What a first-spike network is and how it learns: the numbers, with their published defaults.

use serde::{Deserialize, Serialize};

use super::kernel::Kernel;
use crate::error::{ModelError, Result};
use crate::optim::Schedule;

/// Sizes, neuron and first weights. The defaults are those of the released code of Comsa et al.
/// (2019), made for the Boolean problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Neurons of each hidden layer.
    pub hidden: Vec<usize>,
    /// Synchronisation pulses that accompany the inputs, and as many for each hidden layer.
    pub pulses: usize,
    /// Post-synaptic potential.
    pub kernel: Kernel,
    /// Firing threshold.
    pub threshold: f64,
    /// Mean of the first weights of neurons, in standard deviations of these weights.
    pub mean: f64,
    /// Mean of the first weights of pulses, in standard deviations of these weights.
    pub pulse_mean: f64,
    /// Pulses start evenly spaced between 0 and this time.
    pub pulse_range: f64,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            hidden: vec![4],
            pulses: 2,
            kernel: Kernel::Alpha { rate: 1.0 },
            threshold: 0.4,
            mean: 0.0,
            pulse_mean: 0.0,
            pulse_range: 1.0,
        }
    }
}

impl NetworkConfig {
    /// The published network for MNIST (README of the released code).
    #[must_use]
    pub fn mnist() -> Self {
        Self {
            hidden: vec![340],
            pulses: 10,
            kernel: Kernel::Alpha { rate: 0.181_769_491_507_018_54 },
            threshold: 1.167_320_500_578_895_6,
            mean: -0.275_418_842_591_390_6,
            pulse_mean: 7.839_124_550_382_458,
            pulse_range: 1.0,
        }
    }

    /// Checks all numbers.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] or [`ModelError::Size`] with the key in the experiment file.
    pub fn check(&self) -> Result<()> {
        self.kernel.check()?;
        let max = usize::from(u16::MAX);
        for &got in &self.hidden {
            if got == 0 || got > max {
                return Err(ModelError::Size { what: "network.hidden", got, max });
            }
        }
        if self.pulses > 1000 {
            return Err(ModelError::Size { what: "network.pulses", got: self.pulses, max: 1000 });
        }
        positive("network.threshold", self.threshold)?;
        finite("network.mean", self.mean)?;
        finite("network.pulse_mean", self.pulse_mean)?;
        not_negative("network.pulse_range", self.pulse_range)
    }
}

/// Which samples of a batch teach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Teach {
    /// All.
    All,
    /// Those that were answered wrongly.
    Wrong,
}

/// What the output times should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TimeLoss {
    /// Cross-entropy of `softmax(−t/ξ)`: the true output first (Comsa et al. 2019).
    #[default]
    CrossEntropy,
    /// Every other output this much later than the true one, wherever that is, by squares (used on
    /// BrainScaleS-2 for Yin-Yang, with 0.3 τ).
    ShiftInvariant {
        /// Δ, in the unit of the spike times.
        delay: f64,
    },
}

/// Loss, limits and optimizer. The defaults are those of the released code of Comsa et al. (2019),
/// made for the Boolean problems.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningConfig {
    /// Passes through the training samples.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Learning rate of the weights.
    pub rate: f64,
    /// Learning rate of the pulse times.
    pub pulse_rate: f64,
    /// Factor on both rates, epoch by epoch; published: constant.
    pub schedule: Schedule,
    /// Limit of the absolute value of every derivative of a spike time; 0 = none.
    pub clip_derivative: f64,
    /// Minus the gradient of every weight onto a neuron that did not spike.
    pub penalty_no_spike: f64,
    /// c of the penalty `c Σ t²` on the output spikes.
    pub penalty_output_time: f64,
    /// What the output times should be.
    pub loss: TimeLoss,
    /// ξ of the loss `softmax(−t/ξ)`, in the unit of the spike times.
    pub loss_scale: f64,
    /// Which samples teach.
    pub teach: Teach,
    /// Decay of Adam's mean.
    pub beta1: f64,
    /// Decay of Adam's square.
    pub beta2: f64,
    /// Added to Adam's square, inside the root.
    pub epsilon: f64,
}

impl Default for LearningConfig {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 1,
            rate: 1e-4,
            pulse_rate: 1e-3,
            schedule: Schedule::Constant,
            clip_derivative: 0.0,
            penalty_no_spike: 1.0,
            penalty_output_time: 0.0,
            loss: TimeLoss::CrossEntropy,
            loss_scale: 1.0,
            teach: Teach::Wrong,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
        }
    }
}

impl LearningConfig {
    /// The published numbers for MNIST (README of the released code).
    #[must_use]
    pub fn mnist() -> Self {
        Self {
            batch: 32,
            rate: 0.001_018_640_787_749_450_7,
            pulse_rate: 0.095_375_348_607_014_44,
            clip_derivative: 539.699_739_042_116_8,
            penalty_no_spike: 48.374_830_659_132_556,
            teach: Teach::All,
            ..Self::default()
        }
    }

    /// Checks all numbers.
    ///
    /// # Errors
    /// [`ModelError::Parameter`] with the key in the experiment file.
    pub fn check(&self) -> Result<()> {
        let max = usize::from(u16::MAX);
        if self.batch == 0 || self.batch > max {
            return Err(ModelError::Size { what: "learning.batch", got: self.batch, max });
        }
        not_negative("learning.rate", self.rate)?;
        not_negative("learning.pulse_rate", self.pulse_rate)?;
        not_negative("learning.schedule (its last factor)", self.schedule.factor(self.epochs))?;
        not_negative("learning.clip_derivative", self.clip_derivative)?;
        not_negative("learning.penalty_no_spike", self.penalty_no_spike)?;
        not_negative("learning.penalty_output_time", self.penalty_output_time)?;
        positive("learning.loss_scale", self.loss_scale)?;
        if let TimeLoss::ShiftInvariant { delay } = self.loss {
            not_negative("learning.loss.delay", delay)?;
        }
        positive("learning.epsilon", self.epsilon)?;
        for (what, got) in [("learning.beta1", self.beta1), ("learning.beta2", self.beta2)] {
            if !(0.0..1.0).contains(&got) {
                let must = "it must be at least 0 and below 1";
                return Err(ModelError::Parameter { what, got, must });
            }
        }
        Ok(())
    }
}

fn finite(what: &'static str, got: f64) -> Result<()> {
    if got.is_finite() {
        return Ok(());
    }
    Err(ModelError::Parameter { what, got, must: "it must be a finite number" })
}

fn positive(what: &'static str, got: f64) -> Result<()> {
    if got.is_finite() && got > 0.0 {
        return Ok(());
    }
    Err(ModelError::Parameter { what, got, must: "it must be a positive number" })
}

fn not_negative(what: &'static str, got: f64) -> Result<()> {
    if got.is_finite() && got >= 0.0 {
        return Ok(());
    }
    Err(ModelError::Parameter { what, got, must: "it must be 0 or a positive number" })
}
