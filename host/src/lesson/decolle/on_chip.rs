//! DECOLLE inside the device: the chip's own firmware has the traces, the readouts and the rule
//! ([`RuleKind::LocalReadouts`]), the host sends the class of every sample.
//!
//! A sample is a trial, and a trial a run: a device learns from the one that ended last. Sums of a batch
//! stay in the device, and the last sample of the batch asks for the update. What of the model becomes what
//! of the rule:
//!
//! | model | rule |
//! |---|---|
//! | β, α | decay, follow: the nominal ones, as in the loop |
//! | σ'(U) | slope by design: a converter step is rest/θ of U |
//! | readout G, c | feedback, rounded to 2⁻¹² |
//! | bias b | the line of the bias, for both layers: its trace grows to that of a spike in every step |
//! | Adamax with β₁ = 0 | keep = β₂, rate in codes |
//! | burn-in | the class is named one tick before: that tick ends with the first sample that teaches |
//!
//! Not in the device: dropout, other surrogates, other optimizers, more than two layers.

use super::NAME;
use super::chip::Board;
use crate::lesson::LessonError;
use crate::lesson::plastic::{chip_error, teach};
use spikeloop_hal::wire::{PlasticityRule, RuleKind};
use spikeloop_hal::{Parameter, SpikeEvent};
use spikeloop_models::method::decolle::{Batch, Decisions, Decolle, DecolleConfig};
use spikeloop_models::optim::Rule;
use spikeloop_models::surrogate::Surrogate;

/// Ticks from a spike to the next layer.
const DELAY: u8 = 1;

/// Numbers of the model that the device's rule is made of.
struct Constants {
    /// Steepness of the surrogate.
    steepness: f64,
    /// Factor of the normaliser.
    keep: f64,
}

/// Refuses what integers in a device cannot do, before data are read.
pub(super) fn check(config: &DecolleConfig) -> Result<(), LessonError> {
    constants(config).map(|_| ())
}

fn constants(config: &DecolleConfig) -> Result<Constants, LessonError> {
    let refuse = |key, got: String, must| Err(LessonError::Value { key, got, must });
    if config.layers.len() > 2 {
        let must = "at most 2 to learn in the device, or learn on the host (--learn host)";
        return refuse("network.layers (their number)", config.layers.len().to_string(), must);
    }
    if config.dropout != 0.0 {
        let must = "0 to learn in the device, which has none";
        return refuse("network.dropout", config.dropout.to_string(), must);
    }
    let Surrogate::SuperSpike { beta } = config.surrogate else {
        let must = "superspike to learn in the device";
        return refuse("network.surrogate", config.surrogate.name().into(), must);
    };
    match config.optimizer {
        Rule::Adamax { beta1: 0.0, beta2, .. } => Ok(Constants { steepness: beta, keep: beta2 }),
        other => {
            let must = "adamax with beta1 = 0 (the default) to learn in the device";
            refuse("network.optimizer", format!("{other:?}"), must)
        }
    }
}

fn unfit(problem: impl Into<String>, remedy: &'static str) -> LessonError {
    LessonError::Unfit { method: NAME, problem: problem.into(), remedy }
}

/// A fraction in 2⁻¹⁶.
fn fraction(x: f64) -> u16 {
    (x * 65536.0).round().clamp(0.0, 65535.0) as u16
}

impl Board {
    /// Gives the device the rule with this rate. The weights of `net` must have been written before the
    /// first time; later ones go on with what was learned.
    ///
    /// # Errors
    /// [`LessonError::Unfit`] if it does not learn, or not so, and failures of the chip.
    pub(super) fn teach(&mut self, net: &Decolle<f32>, rate: f64) -> Result<(), LessonError> {
        let config = net.config();
        let Constants { steepness, keep } = constants(config)?;
        let places = self.places(net)?;
        let caps = self.chip.capabilities();
        let design = |p| caps.parameter(p).map(|spec| f64::from(spec.value(spec.code_default)));
        let potentials = [Parameter::Threshold, Parameter::LeakPotential].map(design);
        let [Some(threshold), Some(leak)] = potentials else {
            let remedy = "choose another chip, or learn on the host (--learn host)";
            return Err(unfit("it does not say where threshold and rest are", remedy));
        };
        let most = f64::from(caps.weight_max.min(-caps.weight_min.max(-127)));
        let feedback = feedback(net);
        let hidden = if places.len() > 1 { places[0] } else { (0, 0) };
        let outputs = places[places.len() - 1];
        let message = PlasticityRule {
            kind: RuleKind::LocalReadouts,
            own: false,
            inputs: self.inputs as u16 + 1,
            shared: u16::from(places.len() > 1),
            hidden_first: hidden.0,
            hidden: hidden.1,
            output_first: outputs.0,
            outputs: outputs.1,
            classes: net.readout(0).1.len() as u16,
            decay: fraction(config.beta),
            follow: fraction(1.0 - config.alpha),
            keep: fraction(keep),
            rate: (rate * self.codes_per_weight(0, most) * 256.0).round().clamp(1.0, 65535.0)
                as u16,
            slope: (steepness * f64::from(self.rest) / (threshold - leak) * 256.0)
                .round()
                .clamp(1.0, 65535.0) as u16,
            threshold: threshold.round() as u16,
            delay: DELAY,
            weight_limit: most as i8,
            feedback: &feedback,
        };
        let smaller = "make layers of network.layers smaller, or learn on the host (--learn host)";
        teach(self.chip.chip_mut(), NAME, smaller, &message)
    }

    /// First neuron and number of neurons of each layer.
    fn places(&self, net: &Decolle<f32>) -> Result<Vec<(u16, u16)>, LessonError> {
        let translation = self.chip.translation();
        let tick_ns = f64::from(self.chip.capabilities().tick_ns);
        let ticks = (f64::from(translation.grid().dt_us) * 1000.0 / tick_ns).round();
        if ticks != 1.0 {
            let problem = format!(
                "learning in the device needs a step of one tick, here it is {ticks} ticks of {tick_ns} ns"
            );
            let remedy = "set chip.dt_us to a tick of the chip, choose another chip, or learn on the host (--learn host)";
            return Err(unfit(problem, remedy));
        }
        (0..net.depth())
            .map(|l| {
                let circuits = translation.placement().layer(l);
                let (first, count) = (circuits[0], circuits.len() as u16);
                let last = circuits[circuits.len() - 1];
                match last - first + 1 == count {
                    true => Ok((first, count)),
                    false => Err(LessonError::Value {
                        key: "chip.spread",
                        got: "even".into(),
                        must: "\"packed\" to learn in the device: neurons of a layer lie side by side",
                    }),
                }
            })
            .collect()
    }

    /// Weight codes of a weight of 1.
    fn codes_per_weight(&self, l: usize, most: f64) -> f64 {
        let limit = self.chip.translation().weight_limit(l);
        most / f64::from(limit.unwrap_or(1.0))
    }

    /// Runs the samples of a batch one by one, lets the device learn from each, and tells `each` what was
    /// decided by the measured spikes.
    ///
    /// # Errors
    /// Failures of the chip; a device that lost its state has lost what it learned, and refuses.
    pub(super) fn learn(
        &mut self,
        batch: &Batch<'_>,
        net: &Decolle<f32>,
        mut each: impl FnMut(Decisions),
    ) -> Result<(), LessonError> {
        let taught = net.config().burn_in.saturating_sub(1) as u32;
        let samples = batch.labels.len();
        let mut inputs = spikeloop_models::SpikeTrains::default();
        for (k, label) in batch.labels.iter().enumerate() {
            inputs.copy_range(batch.inputs, k..k + 1);
            let one = Batch { inputs: &inputs, labels: &[*label], key: batch.key };
            let (number, repeated) = (self.trial, self.chip.repeated_trials());
            self.run(&one, |part| {
                each(net.decide_measured(&part)?);
                Ok(())
            })?;
            // A trial that stalled was repeated under a number of its own.
            let attempt = self.chip.repeated_trials() - repeated;
            let number = number | attempt << spikeloop_hal::runner::ATTEMPT_SHIFT;
            let Some(plastic) = self.chip.chip_mut().plastic() else { return Ok(()) };
            let event = SpikeEvent::new(taught, *label);
            plastic.learn(number, k + 1 == samples, &[event]).map_err(chip_error)?;
        }
        Ok(())
    }

    /// Reads the weights that the device has learned into `net`, in the precision of their codes.
    ///
    /// # Errors
    /// Failures of the chip.
    pub(super) fn read_back(&mut self, net: &mut Decolle<f32>) -> Result<(), LessonError> {
        let places = self.places(net)?;
        let caps = self.chip.capabilities();
        let most = f64::from(caps.weight_max.min(-caps.weight_min.max(-127)));
        let lines = usize::from(caps.inputs);
        for (l, (first, count)) in places.iter().copied().enumerate() {
            let scale = self.codes_per_weight(l, most);
            let rows: Vec<usize> = match l {
                0 => (0..self.inputs).collect(),
                _ => {
                    (0..places[l - 1].1).map(|k| lines + usize::from(places[l - 1].0 + k)).collect()
                }
            };
            let Some(plastic) = self.chip.chip_mut().plastic() else { return Ok(()) };
            let mut read = |row: usize| {
                let codes = plastic.read_weights(row as u16, first, count).map_err(chip_error)?;
                Ok::<_, LessonError>(codes.into_iter().map(move |code| f64::from(code) / scale))
            };
            let mut weights = Vec::new();
            for row in rows {
                weights.extend(read(row)?.map(|w| w as f32));
            }
            let (gain, rest) = (f64::from(self.gain), f64::from(self.rest));
            let bias: Vec<f32> = read(self.inputs)?.map(|w| (w * gain - rest) as f32).collect();
            net.set_dense(l, &weights, &bias);
        }
        Ok(())
    }
}

/// Readouts of one layer or two as the device takes them.
fn feedback(net: &Decolle<f32>) -> Vec<u8> {
    let code = |g: f32| {
        let code = (f64::from(g) * 4096.0).round();
        code.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
    };
    let layers: Vec<_> = (0..net.depth()).map(|l| net.readout(l)).collect();
    let classes = layers[0].1.len();
    let mut bytes = Vec::new();
    for class in 0..classes {
        for (weights, _) in &layers {
            let row = weights.len() / classes;
            let row = &weights[class * row..][..row];
            bytes.extend(row.iter().flat_map(|g| code(*g).to_le_bytes()));
        }
        // Two biases in any case: without a hidden layer its own is 0.
        if layers.len() == 1 {
            bytes.extend([0, 0]);
        }
        for (_, biases) in &layers {
            bytes.extend(code(biases[class]).to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
