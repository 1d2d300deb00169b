//! Learning in the device: the host plays the target spikes on the lines, says when which neuron should spike,
//! and reads the weights for the free runs, in which they are those of the neurons.
//!
//! The device has the host's rule, but a simpler optimizer: a weight moves by `learning.rate` times its sum over
//! the largest sum of about the last thousand epochs. Rates fall with the periods of `learning.rate_periods`:
//! a rule with another rate goes on with the fractions of the weights.

use super::{Board, unfit};
use crate::lesson::LessonError;
use crate::lesson::plastic::{chip_error, teach};
use ndarray::Array2;
use spikeloop_hal::wire::{PlasticityRule, RuleKind};
use spikeloop_hal::{Parameter, SpikeEvent};
use spikeloop_models::method::ltts::{Ltts, LttsLearning, LttsNetwork};

/// Factor of the normaliser from epoch to epoch, as that of the squares in the host's Adam.
const KEEP: f64 = 0.999;

impl Board {
    /// Writes the weights of `ltts` and gives the device its rule.
    ///
    /// # Errors
    /// [`LessonError::Unfit`] if it does not learn, or not this, and failures of the chip.
    pub(in crate::lesson::ltts) fn teach(
        &mut self,
        ltts: &Ltts<f32>,
        network: &LttsNetwork,
        learning: &LttsLearning,
    ) -> Result<(), LessonError> {
        let caps = self.chip.capabilities().clone();
        let first = self.chip.translation().placement().layer(0)[0];
        if self.step != 1 || self.delay != 1 || caps.adc.is_none_or(|adc| adc.min_period != 1) {
            let problem = format!(
                "a bin is {} ticks here and a spike travels {}; a device learns with bins of one tick, sampled \
                 in each",
                self.step, self.delay
            );
            let remedy = "set chip.dt_us and chip.delay_us to its tick, choose another chip, or learn on the host (--learn host)";
            return Err(unfit(problem, remedy));
        }
        let design = |p| caps.parameter(p).map(|spec| spec.value(spec.code_default));
        let Some(threshold) = design(Parameter::Threshold) else {
            let remedy = "choose another chip, or learn on the host (--learn host)";
            return Err(unfit("it does not say where its threshold is", remedy));
        };
        self.write(ltts, false)?;
        let fraction = |x: f64| (x * 65536.0).round().clamp(0.0, 65535.0) as u16;
        let codes = f64::from(caps.weight_max.min(-caps.weight_min.max(-127)));
        let lsb = self.chip.translation().lsb_per_unit(0)[0];
        // Of v a step of the converter is −h/θ.
        let slope = -network.h / (f64::from(lsb) * learning.delta_v);
        let n = self.neurons as u16;
        let rule = PlasticityRule {
            kind: RuleKind::TargetSpikes,
            own: true,
            inputs: n,
            output_first: first,
            outputs: n,
            decay: fraction(libm::exp(-1.0 / network.tau_syn)),
            follow: fraction(1.0 / network.tau_mem),
            keep: fraction(KEEP),
            rate: (learning.rate / f64::from(self.limit()) * codes * 256.0).round().max(1.0) as u16,
            slope: match learning.spike_dependent() {
                true => PlasticityRule::STEP,
                false => (slope * 256.0).round().clamp(1.0, 65534.0) as u16,
            },
            threshold: threshold.round() as u16,
            delay: 1,
            weight_limit: codes as i8,
            ..PlasticityRule::default()
        };
        let smaller = "make network.neurons smaller, or learn on the host (--learn host)";
        teach(self.chip.chip_mut(), "ltts", smaller, &rule)
    }

    /// Lets the device learn from every pattern once, and reads its weights into `ltts`. Returns the share of
    /// neurons and bins whose spike was missing or too many meanwhile.
    ///
    /// # Errors
    /// Failures of the chip; a device that lost its state has lost what it learned, and refuses.
    pub(in crate::lesson::ltts) fn learn(
        &mut self,
        ltts: &mut Ltts<f32>,
    ) -> Result<f64, LessonError> {
        self.write(ltts, false)?;
        let (patterns, mut wrong) = (self.teaching.len(), 0);
        for pattern in 0..patterns {
            let trial = self.trial;
            let run = self.force_one(pattern)?;
            let target = ltts.patterns()[pattern].target();
            let mut events = Vec::new();
            for bin in 1..self.bins {
                let (wanted, fired) = (target.at(0, bin), run.spikes.at(0, bin));
                let met = wanted.iter().filter(|id| fired.binary_search(id).is_ok()).count();
                wrong += wanted.len() + fired.len() - 2 * met;
                // A spike of state t is stamped with the tick before the sample of that state.
                events.extend(wanted.iter().map(|id| SpikeEvent::new(bin as u32 - 1, *id)));
            }
            let update = pattern + 1 == patterns;
            let Some(plastic) = self.chip.chip_mut().plastic() else { continue };
            plastic.learn(trial, update, &events).map_err(chip_error)?;
        }
        self.read_back(ltts)?;
        Ok(wrong as f64 / (patterns * self.neurons * (self.bins - 1)) as f64)
    }

    fn read_back(&mut self, ltts: &mut Ltts<f32>) -> Result<(), LessonError> {
        let n = self.neurons;
        let first = self.chip.translation().placement().layer(0)[0];
        let limit = self.limit();
        let most = f32::from(self.chip.capabilities().weight_max);
        let mut weights = Array2::zeros((n, n));
        for (line, mut row) in weights.outer_iter_mut().enumerate() {
            let Some(plastic) = self.chip.chip_mut().plastic() else { return Ok(()) };
            let codes = plastic.read_weights(line as u16, first, n as u16).map_err(chip_error)?;
            for (w, code) in row.iter_mut().zip(codes) {
                *w = f32::from(code) * limit / most;
            }
        }
        Ok(ltts.recurrent_mut().set_weights(0, &weights)?)
    }
}
