//! Checks of inputs and measurements before they are used.

use super::compiled::Compiled;
use crate::error::{ModelError, Result};
use crate::observation::Observation;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// Inputs must lie on the grid of the network.
pub(crate) fn check_inputs<F: Real>(network: &Compiled<F>, inputs: &SpikeTrains) -> Result<()> {
    for (what, expected, got) in [
        ("steps of the input", network.steps, inputs.steps()),
        ("input channels", network.inputs, inputs.units()),
    ] {
        if expected != got {
            return Err(ModelError::Input { what, expected, got });
        }
    }
    Ok(())
}

/// Measurements must fit the layers and the number of samples.
pub(crate) fn check_observation<F: Real>(
    network: &Compiled<F>,
    samples: usize,
    observation: &Observation<F>,
) -> Result<()> {
    let (expected, got) = (network.layers.len(), observation.layers.len());
    if expected != got {
        return Err(ModelError::Observation {
            layer: got,
            problem: "one entry per layer is needed",
            expected,
            got,
        });
    }
    for (layer, (compiled, measured)) in network.layers.iter().zip(&observation.layers).enumerate()
    {
        let check = |problem, expected, got| {
            if expected == got {
                Ok(())
            } else {
                Err(ModelError::Observation { layer, problem, expected, got })
            }
        };
        if let Some(spikes) = &measured.spikes {
            if !compiled.spikes() {
                return Err(ModelError::Architecture {
                    layer,
                    problem: "does not spike, but spikes were measured: leave them out",
                });
            }
            check("steps of the measured spikes", network.steps, spikes.steps())?;
            check("units of the measured spikes", compiled.units, spikes.units())?;
            check("samples of the measured spikes", samples, spikes.samples())?;
            if compiled.smooth() {
                return Err(ModelError::Architecture {
                    layer,
                    problem: "has a smooth forward, which measured spikes cannot replace: use `forward = \"hard\"`",
                });
            }
        }
        if let Some(membrane) = &measured.membrane {
            check(
                "values of the measured membrane",
                samples * network.steps * compiled.units,
                membrane.len(),
            )?;
            if compiled.spikes() && measured.spikes.is_none() {
                return Err(ModelError::Architecture {
                    layer,
                    problem: "has measured membranes, but no measured spikes: record the spikes, too",
                });
            }
        }
    }
    Ok(())
}
