//! A network, its task and a chip, brought together for [`spikeloop_calibration::parity`].

use crate::chip_loop::LoopError;
use crate::data::Split;
use crate::experiment::{Experiment, Observe, layer_targets};
use crate::trainer::TrainError;
use spikeloop_calibration::measure::Effort;
use spikeloop_calibration::parity::{self, Assumed, Parity, Pictures, Request};
use spikeloop_calibration::{Calibration, Error, Translation, TranslationOptions};
use spikeloop_hal::{Capabilities, Chip};
use spikeloop_models::inference::{Batch, Inference};
use spikeloop_models::layer::{Current, Reset};
use spikeloop_models::network::Network;
use spikeloop_models::spike_train::SpikeTrains;

/// What is examined.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The network.
    pub network: &'a Network<f32>,
    /// Its experiment.
    pub experiment: &'a Experiment,
    /// Where samples come from.
    pub split: &'a Split,
    /// How many, from the first on.
    pub samples: usize,
    /// The chip's calibration, if it runs with one.
    pub calibration: Option<&'a Calibration>,
    /// Effort of measurements.
    pub effort: Effort,
}

/// What the model takes for granted: its reset holds the membrane until the next state but one, or not at all,
/// and a spike waits for the grid (half a step on average; with the old current one step more).
fn assumed(network: &Network<f32>) -> Assumed {
    let Some(layer) = network.layers.first() else { return Assumed::default() };
    let dt = layer.spec.dt_us;
    Assumed {
        refractory_us: if layer.spec.reset == Reset::Multiplicative { 1.5 * dt } else { 0.0 },
        delay_us: if layer.spec.current == Current::New { 0.5 * dt } else { 1.5 * dt },
    }
}

impl Subject<'_> {
    /// Places the network. Membranes are recorded wherever the chip can, because they say more than spikes.
    fn translation(&self, caps: &Capabilities) -> Result<(Translation, bool), Error> {
        let build = |observe: Observe| {
            let options = TranslationOptions {
                spread: self.experiment.chip.spread,
                membranes: observe.membranes(),
                baseline: self.experiment.chip.baseline,
                timing: self.experiment.timing(),
                window: None,
            };
            let layers = layer_targets(self.network, observe);
            let (grid, inputs) = (self.experiment.grid(), self.network.inputs);
            match self.calibration {
                None => Translation::new(caps, grid, inputs, &layers, options),
                Some(calibration) => {
                    let codes = self.experiment.chip.codes;
                    Translation::calibrated(
                        caps,
                        grid,
                        inputs,
                        &layers,
                        options,
                        calibration,
                        codes,
                    )
                }
            }
        };
        if self.experiment.chip.observe != Observe::Spikes || caps.adc.is_none() {
            return Ok((build(self.experiment.chip.observe)?, false));
        }
        match build(Observe::Hidden) {
            // The converter is too slow for the grid, or its memory too small.
            Err(Error::StepTooShort { .. } | Error::TrialTooLarge { .. }) => {
                Ok((build(Observe::Spikes)?, true))
            }
            built => Ok((built?, false)),
        }
    }

    /// Runs the batch on model, twin and chip, and judges. The chip comes back.
    ///
    /// # Errors
    /// A network that does not fit the chip, failures of the chip, a calibration of another chip.
    pub fn examine(
        &self,
        chip: Box<dyn Chip>,
    ) -> Result<(Parity, Pictures, Box<dyn Chip>), TrainError> {
        let caps = chip.capabilities().clone();
        let failed = |error: Error| TrainError::from(LoopError::from(error));
        let (mut translation, blind) = self.translation(&caps).map_err(failed)?;
        let weights: Vec<parity::LayerWeights<'_>> = (self.network.layers.iter())
            .map(|layer| {
                let recurrent = layer.recurrent.as_ref().and_then(|r| r.as_slice());
                (layer.weights.as_slice().unwrap_or(&[]), recurrent)
            })
            .collect();
        let written = parity::write_weights(&mut translation, &caps, &weights).map_err(failed)?;
        let indices: Vec<u32> = (0..self.samples.min(self.split.len()) as u32).collect();
        let mut inputs = SpikeTrains::default();
        self.split.encode(&indices, &self.experiment.grid(), &mut inputs);
        let inference = Inference::new(self.network, self.experiment.learning.loss)?;
        let batch =
            Batch { inputs: &inputs, labels: None, first: 0, tie_break_key: 0, observation: None };
        let model = (0..indices.len())
            .map(|sample| inference.record(&batch, sample))
            .collect::<Result<Vec<_>, _>>()?;
        let request = Request {
            translation: &translation,
            config: &written.config,
            wanted: &written.wanted,
            clipped: written.clipped,
            inputs: &inputs,
            model: &model,
            assumed: assumed(self.network),
            calibration: self.calibration.map(|c| (c, self.experiment.chip.codes)),
            effort: self.effort,
        };
        let (mut parity, pictures, chip) = parity::examine(chip, &request).map_err(failed)?;
        if blind {
            parity.notes.push("membranes could not be recorded on the network's time grid: only spikes were compared".to_owned());
        }
        Ok((parity, pictures, chip))
    }
}
