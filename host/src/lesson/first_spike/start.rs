//! Where the first weights come from, if they are not drawn: a network in the released text format, or an
//! earlier run.

use crate::data::{FirstSpikeWeights, first_spike_weights};
use crate::lesson::{LessonError, State};
use crate::run_folder::{RunFolder, file};
use ndarray::Array2;
use spikeloop_models::ModelError;
use spikeloop_models::method::first_spike::{FirstSpikeNetwork, Kernel, NetworkConfig};
use std::path::Path;

/// A trained network.
pub(super) enum Start {
    /// Read from a text file.
    Text(FirstSpikeWeights),
    /// Learned by an earlier run, in software or on a chip.
    Run {
        /// Its folder.
        folder: String,
        /// Its last checkpoint.
        state: State,
    },
}

impl Start {
    /// `slow`, `fast`, the path of a text file, or the folder of a run.
    pub(super) fn read(name: &str, data: Option<&Path>) -> Result<Self, LessonError> {
        if !Path::new(name).is_dir() {
            return Ok(Self::Text(first_spike_weights(name, data)?));
        }
        let bytes = RunFolder::open(Path::new(name))?.read(file::CHECKPOINT)?;
        Ok(Self::Run { folder: name.to_owned(), state: State::from_bytes(&bytes)? })
    }

    /// Puts what the file says about the network into `config`, which is of a network with `inputs` inputs and
    /// `classes` outputs. A run must have had the neuron that `config` has.
    pub(super) fn adapt(
        &self,
        config: &mut NetworkConfig,
        inputs: usize,
        classes: usize,
    ) -> Result<(), LessonError> {
        let trained = match self {
            Self::Text(trained) => trained,
            Self::Run { folder, state } => return same_neuron(config, folder, state),
        };
        let [of_inputs, hidden @ .., outputs] = &trained.sizes[..] else {
            return Err(sizes(inputs, classes, &trained.sizes));
        };
        if (*of_inputs, *outputs) != (inputs, classes) {
            return Err(sizes(inputs, classes, &trained.sizes));
        }
        config.hidden = hidden.to_vec();
        config.pulses = trained.pulses.first().map_or(0, Vec::len);
        config.threshold = trained.threshold;
        if let Some(rate) = trained.rate {
            config.kernel = Kernel::Alpha { rate };
        }
        Ok(())
    }

    /// Sets weights and pulses.
    pub(super) fn set(&self, network: &mut FirstSpikeNetwork) -> Result<(), LessonError> {
        match self {
            Self::Text(trained) => {
                for (l, (weights, pulses)) in
                    trained.weights.iter().zip(&trained.pulses).enumerate()
                {
                    network.set(l, weights, pulses)?;
                }
                Ok(())
            }
            // The network that counts: that of the best epoch, if one was chosen.
            Self::Run { state, .. } => match state.text::<bool>("best.kept")? {
                true => take(network, state, "best."),
                false => take(network, state, ""),
            },
        }
    }
}

/// Weights and pulses of all layers out of `state`, where their names begin with `prefix`.
pub(super) fn take(
    network: &mut FirstSpikeNetwork,
    state: &State,
    prefix: &str,
) -> Result<(), LessonError> {
    for layer in 0..network.depth() {
        let mut weights: Array2<f64> = network.weights(layer);
        let shape = weights.shape().to_vec();
        let kept = state.array(&format!("{prefix}{layer}.weights"), &shape)?;
        weights.iter_mut().zip(kept).for_each(|(w, kept)| *w = kept);
        let name = format!("{prefix}{layer}.pulses");
        let pulses: Vec<f64> = state.array(&name, &[network.pulses(layer).len()])?;
        network.set(layer, &weights, &pulses)?;
    }
    Ok(())
}

fn same_neuron(config: &NetworkConfig, folder: &str, state: &State) -> Result<(), LessonError> {
    let text: String = state.text("run.experiment")?;
    let table: toml::Table = text.parse().unwrap_or_default();
    let network = table.get("network").and_then(toml::Value::as_table);
    let own = super::table(config);
    let equal = |key: &str| network.and_then(|network| network.get(key)) == own.get(key);
    if equal("kernel") && equal("threshold") {
        return Ok(());
    }
    Err(LessonError::Value {
        key: "network.weights",
        got: folder.to_owned(),
        must: "a run of this method with the same network.kernel and network.threshold",
    })
}

fn sizes(inputs: usize, classes: usize, found: &[usize]) -> LessonError {
    LessonError::Model(ModelError::Shape {
        what: "network.weights: sizes of inputs and outputs",
        layer: 0,
        expected: vec![inputs, classes],
        got: found.to_vec(),
    })
}
