//! Networks and optimizer states as safetensors bytes, bit for bit. Files are the host's business.
//!
//! Tensors: `layers.L.weights [pre, post]`, `layers.L.recurrent [pre, post]`, and
//! `optimizer.layers.L.{weights|recurrent}.MOMENT [n]`. The number of optimizer steps stands in the
//! metadata under `optimizer.steps`, next to whatever the caller adds (chip, calibration, epoch …).

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{ModelError, Result};
use crate::network::Network;
use crate::optim::Optimizer;
use crate::real::Real;

/// Metadata key of the number of optimizer steps.
pub const STEPS_KEY: &str = "optimizer.steps";

/// A tensor in memory, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<F> {
    /// Sizes.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<F>,
}

/// Tensors and metadata, each by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<F> {
    /// Tensors.
    pub tensors: BTreeMap<String, Tensor<F>>,
    /// Text.
    pub metadata: BTreeMap<String, String>,
}

impl<F> Default for Checkpoint<F> {
    fn default() -> Self {
        Self { tensors: BTreeMap::new(), metadata: BTreeMap::new() }
    }
}

fn problem(name: &str, problem: impl std::fmt::Display) -> ModelError {
    ModelError::Checkpoint { name: name.into(), problem: problem.to_string() }
}

fn dtype<F: Real>() -> Dtype {
    if F::BYTES == 4 { Dtype::F32 } else { Dtype::F64 }
}

impl<F: Real> Checkpoint<F> {
    /// Weights of `network`, and the state of `optimizer` if there is one.
    #[must_use]
    pub fn of(network: &Network<F>, optimizer: Option<&Optimizer<F>>) -> Self {
        let mut checkpoint = Self::default();
        for (index, layer) in network.layers.iter().enumerate() {
            let matrices =
                [("weights", Some(&layer.weights)), ("recurrent", layer.recurrent.as_ref())];
            for (kind, matrix) in matrices.into_iter().filter_map(|(kind, m)| m.map(|m| (kind, m)))
            {
                let tensor = Tensor {
                    shape: matrix.shape().to_vec(),
                    values: matrix.iter().copied().collect(),
                };
                checkpoint.tensors.insert(format!("layers.{index}.{kind}"), tensor);
            }
        }
        if let Some(optimizer) = optimizer {
            for (name, values) in optimizer.state() {
                let tensor = Tensor { shape: vec![values.len()], values: values.to_vec() };
                checkpoint.tensors.insert(name, tensor);
            }
            checkpoint.metadata.insert(STEPS_KEY.into(), optimizer.steps().to_string());
        }
        checkpoint
    }

    /// Puts weights, and the state of `optimizer` if given, back. On error nothing has changed.
    ///
    /// # Errors
    /// A tensor or key that is missing or of another shape.
    pub fn restore(
        &self,
        network: &mut Network<F>,
        optimizer: Option<&mut Optimizer<F>>,
    ) -> Result<()> {
        let mut fresh = network.clone();
        for (index, layer) in fresh.layers.iter_mut().enumerate() {
            let matrices =
                [("weights", Some(&mut layer.weights)), ("recurrent", layer.recurrent.as_mut())];
            for (kind, matrix) in matrices.into_iter().filter_map(|(kind, m)| m.map(|m| (kind, m)))
            {
                let name = format!("layers.{index}.{kind}");
                let tensor = self.tensors.get(&name).ok_or_else(|| problem(&name, "is missing"))?;
                if tensor.shape != matrix.shape() {
                    let text = format!(
                        "has shape {:?}, the network needs {:?}",
                        tensor.shape,
                        matrix.shape()
                    );
                    return Err(problem(&name, text));
                }
                matrix.iter_mut().zip(&tensor.values).for_each(|(to, from)| *to = *from);
            }
        }
        if let Some(optimizer) = optimizer {
            let text =
                self.metadata.get(STEPS_KEY).ok_or_else(|| problem(STEPS_KEY, "is missing"))?;
            let steps = text
                .parse()
                .map_err(|_| problem(STEPS_KEY, format!("`{text}` is not a number")))?;
            optimizer.restore(steps, |name| self.tensors.get(name).map(|t| t.values.as_slice()))?;
        }
        *network = fresh;
        Ok(())
    }

    /// The file's bytes; the same checkpoint gives the same bytes, except for the order of the
    /// metadata, which the format's writer leaves open.
    ///
    /// # Errors
    /// Tensors whose shape does not match their values.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let mut data = Vec::with_capacity(tensor.values.len() * F::BYTES);
            tensor.values.iter().for_each(|value| value.put(&mut data));
            bytes.push((name.as_str(), &tensor.shape, data));
        }
        let mut views = Vec::with_capacity(bytes.len());
        for (name, shape, data) in &bytes {
            let view = TensorView::new(dtype::<F>(), (*shape).clone(), data)
                .map_err(|e| problem(name, e))?;
            views.push((*name, view));
        }
        let metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        safetensors::serialize(views, Some(metadata)).map_err(|e| problem("file", e))
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// Bytes that are not safetensors, are cut off, or hold another number type.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| problem("file", e))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| problem("file", e))?;
        let mut checkpoint = Self::default();
        if let Some(metadata) = header.metadata() {
            checkpoint.metadata.extend(metadata.clone());
        }
        for (name, view) in file.tensors() {
            if view.dtype() != dtype::<F>() {
                return Err(problem(
                    &name,
                    format!("holds {:?}, expected {}", view.dtype(), F::NAME),
                ));
            }
            let values = view.data().chunks_exact(F::BYTES).filter_map(F::take).collect();
            checkpoint.tensors.insert(name, Tensor { shape: view.shape().to_vec(), values });
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::init::{Init, draw};
    use crate::layer::LayerSpec;
    use crate::method::Gradients;
    use crate::optim::Rule;

    fn trained(rule: Rule) -> (Network<f32>, Optimizer<f32>, Gradients<f32>) {
        let hidden = LayerSpec::chip_grid(7);
        let readout = hidden.readout(3);
        let mut network = Network::new(5, 4, vec![hidden, readout], &[true]).unwrap();
        for layer in 0..2 {
            draw(&mut network, layer, &Init::Normal { mean: 0.0, std: 0.3 }, None, 1).unwrap();
        }
        let mut gradients = Gradients::zeros(&network);
        gradients.layers[0].weights.iter_mut().enumerate().for_each(|(k, g)| *g = (k as f32).sin());
        gradients.layers[1].weights.fill(0.1);
        let mut optimizer = Optimizer::new(rule, &network).unwrap();
        for _ in 0..3 {
            optimizer.step(&mut network, &gradients, 1e-2, &[]).unwrap();
        }
        (network, optimizer, gradients)
    }

    #[test]
    fn a_resumed_training_gives_the_same_bits() {
        for rule in [Rule::adam(), Rule::adamax(), Rule::smorms3()] {
            let (mut network, mut optimizer, gradients) = trained(rule);
            let mut checkpoint = Checkpoint::of(&network, Some(&optimizer));
            checkpoint.metadata.insert("chip".into(), "emu:seed=7 \"µ\"".into());
            let read = Checkpoint::from_bytes(&checkpoint.to_bytes().unwrap()).unwrap();
            assert_eq!(read, checkpoint);

            let (mut resumed, _, _) = trained(Rule::adam());
            let mut again = Optimizer::new(rule, &resumed).unwrap();
            resumed.layers[0].weights.fill(9.0);
            read.restore(&mut resumed, Some(&mut again)).unwrap();
            assert_eq!(resumed, network);
            assert_eq!(again, optimizer);
            optimizer.step(&mut network, &gradients, 1e-2, &[]).unwrap();
            again.step(&mut resumed, &gradients, 1e-2, &[]).unwrap();
            assert_eq!(resumed, network);
        }
    }

    #[test]
    fn every_bit_of_a_number_survives() {
        let values = vec![f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY, 0.1, f32::MAX];
        let mut checkpoint = Checkpoint::default();
        checkpoint
            .tensors
            .insert("odd".into(), Tensor { shape: vec![2, 3], values: values.clone() });
        let read = Checkpoint::<f32>::from_bytes(&checkpoint.to_bytes().unwrap()).unwrap();
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&read.tensors["odd"].values), bits(&values));
    }

    #[test]
    fn foreign_and_broken_files_are_refused() {
        let (mut network, mut optimizer, _) = trained(Rule::adam());
        let bytes = Checkpoint::of(&network, Some(&optimizer)).to_bytes().unwrap();
        for cut in [0, 4, 20, bytes.len() - 1] {
            assert!(Checkpoint::<f32>::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Checkpoint::<f64>::from_bytes(&bytes).is_err());
        let mut other = Checkpoint::<f32>::from_bytes(&bytes).unwrap();
        let before = network.clone();
        other.tensors.remove("optimizer.layers.1.weights.mean");
        assert!(other.restore(&mut network, Some(&mut optimizer)).is_err());
        other.tensors.remove("layers.0.recurrent");
        assert!(other.restore(&mut network, None).is_err());
        assert_eq!(network, before);
    }
}
