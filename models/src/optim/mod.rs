//! Optimizers: from gradients to new weights.
//!
//! An [`Optimizer`] holds one set of moments per weight matrix, feed-forward before recurrent, layer
//! by layer. Its state can be taken out and put back bit for bit. After each step the weights of a
//! layer can be clamped, as a chip clamps them.

mod adam;
mod adamax;
pub mod schedule;
mod smorms3;

use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::method::Gradients;
use crate::network::Network;
use crate::real::Real;

pub use schedule::Schedule;

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn epsilon() -> f64 {
    1e-8
}

fn smorms_epsilon() -> f64 {
    1e-16
}

/// Which rule. In a configuration: `optimizer = { kind = "adam" }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// Adam (Kingma & Ba 2015), ε outside the square root:
    /// `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`,
    /// `w ← w − η m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)`.
    Adam {
        /// Decay of the mean.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the square.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
    /// Adamax (Kingma & Ba 2015): `u ← max(β₂u, |g| + ε)`, `w ← w − η/(1 − β₁ᵗ) m/u`.
    Adamax {
        /// Decay of the mean.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the maximum.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the gradient's absolute value.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
    /// SMORMS3 (Funk 2015): `r = 1/(mem + 1)`, `g₁ ← (1 − r)g₁ + rg`, `g₂ ← (1 − r)g₂ + rg²`,
    /// `x = g₁²/(g₂ + ε)`, `mem ← 1 + mem(1 − x)`, `w ← w − min(x, η) g/(√g₂ + ε)`.
    Smorms3 {
        /// Guards the divisions.
        #[serde(default = "smorms_epsilon")]
        epsilon: f64,
    },
}

impl Rule {
    /// Adam with the usual constants (0.9, 0.999, 1e-8).
    #[must_use]
    pub fn adam() -> Self {
        Self::Adam { beta1: beta1(), beta2: beta2(), epsilon: epsilon() }
    }

    /// Adamax with the usual constants (0.9, 0.999, 1e-8).
    #[must_use]
    pub fn adamax() -> Self {
        Self::Adamax { beta1: beta1(), beta2: beta2(), epsilon: epsilon() }
    }

    /// SMORMS3 with the usual constant 1e-16.
    #[must_use]
    pub fn smorms3() -> Self {
        Self::Smorms3 { epsilon: smorms_epsilon() }
    }

    /// Names of the moments, in the order in which they are stored.
    #[must_use]
    pub fn moments(self) -> &'static [&'static str] {
        match self {
            Self::Adam { .. } => &["mean", "square"],
            Self::Adamax { .. } => &["mean", "maximum"],
            Self::Smorms3 { .. } => &["mean", "square", "memory"],
        }
    }

    /// Checks the constants.
    ///
    /// # Errors
    /// The first one out of range.
    pub(crate) fn check(self) -> Result<()> {
        let decay = |what, got: f64| {
            if (0.0..1.0).contains(&got) {
                Ok(())
            } else {
                Err(ModelError::Parameter { what, got, must: "it must lie in [0, 1)" })
            }
        };
        let (Self::Adam { epsilon, .. } | Self::Adamax { epsilon, .. } | Self::Smorms3 { epsilon }) =
            self;
        if !(epsilon.is_finite() && epsilon > 0.0) {
            return Err(ModelError::Parameter {
                what: "optimizer.epsilon",
                got: epsilon,
                must: "it must be positive",
            });
        }
        match self {
            Self::Adam { beta1, beta2, .. } | Self::Adamax { beta1, beta2, .. } => {
                decay("optimizer.beta1", beta1)?;
                decay("optimizer.beta2", beta2)
            }
            Self::Smorms3 { .. } => Ok(()),
        }
    }
}

/// Moments of one weight matrix.
#[derive(Clone, Debug, PartialEq)]
struct Slot<F> {
    name: String,
    moments: Vec<Vec<F>>,
}

/// A rule with its state for one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimizer<F> {
    rule: Rule,
    steps: u64,
    slots: Vec<Slot<F>>,
}

impl<F: Real> Optimizer<F> {
    /// Fresh state for the matrices of `network`.
    ///
    /// # Errors
    /// Constants of the rule out of range.
    pub fn new(rule: Rule, network: &Network<F>) -> Result<Self> {
        rule.check()?;
        let mut slots = Vec::new();
        let fresh = |name: String, len: usize| Slot {
            name,
            moments: rule
                .moments()
                .iter()
                .map(|moment| vec![if *moment == "memory" { F::one() } else { F::zero() }; len])
                .collect(),
        };
        for (index, layer) in network.layers.iter().enumerate() {
            slots.push(fresh(format!("layers.{index}.weights"), layer.weights.len()));
            if let Some(recurrent) = &layer.recurrent {
                slots.push(fresh(format!("layers.{index}.recurrent"), recurrent.len()));
            }
        }
        Ok(Self { rule, steps: 0, slots })
    }

    /// Number of steps made.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// One step of size `learning_rate`, then `clamp[layer]` limits |weight|, feed-forward and
    /// recurrent (missing entries and `None`: no limit).
    ///
    /// # Errors
    /// Gradients or a network of other shapes than those of the state.
    pub fn step(
        &mut self,
        network: &mut Network<F>,
        gradients: &Gradients<F>,
        learning_rate: f64,
        clamp: &[Option<F>],
    ) -> Result<()> {
        self.check_shapes(network, gradients)?;
        self.steps += 1;
        let mut slots = self.slots.iter_mut();
        for (index, (layer, gradient)) in
            network.layers.iter_mut().zip(&gradients.layers).enumerate()
        {
            let limit = clamp.get(index).copied().flatten();
            let own = layer.recurrent.iter_mut().zip(&gradient.recurrent);
            for (weights, gradient) in
                std::iter::once((&mut layer.weights, &gradient.weights)).chain(own)
            {
                let (Some(weights), Some(gradient), Some(slot)) =
                    (weights.as_slice_mut(), gradient.as_slice(), slots.next())
                else {
                    continue;
                };
                update(self.rule, self.steps, weights, gradient, &mut slot.moments, learning_rate);
                if let Some(limit) = limit {
                    adam::clamp(weights, limit);
                }
            }
        }
        Ok(())
    }

    fn check_shapes(&self, network: &Network<F>, gradients: &Gradients<F>) -> Result<()> {
        let mut slots = self.slots.iter();
        if network.layers.len() != gradients.layers.len() {
            return Err(ModelError::Shape {
                what: "gradients",
                layer: network.layers.len(),
                expected: vec![network.layers.len()],
                got: vec![gradients.layers.len()],
            });
        }
        for (index, (layer, gradient)) in network.layers.iter().zip(&gradients.layers).enumerate() {
            if layer.recurrent.is_some() != gradient.recurrent.is_some() {
                return Err(ModelError::Architecture {
                    layer: index,
                    problem: "is recurrent in the network and not in the gradients, or the other way round",
                });
            }
            let own = layer.recurrent.iter().zip(&gradient.recurrent);
            for (weights, gradient) in
                std::iter::once((&layer.weights, &gradient.weights)).chain(own)
            {
                let standard = weights.is_standard_layout() && gradient.is_standard_layout();
                if weights.shape() != gradient.shape() || !standard {
                    return Err(ModelError::Shape {
                        what: "gradient (row-major)",
                        layer: index,
                        expected: weights.shape().to_vec(),
                        got: gradient.shape().to_vec(),
                    });
                }
                let (name, got) =
                    slots.next().map_or(("missing", 0), |s| (&s.name, s.moments[0].len()));
                if got != weights.len() {
                    return Err(ModelError::OptimizerState {
                        name: name.into(),
                        expected: weights.len(),
                        got,
                    });
                }
            }
        }
        Ok(())
    }

    /// The state as named tensors: `optimizer.layers.L.{weights|recurrent}.MOMENT`.
    pub fn state(&self) -> impl Iterator<Item = (String, &[F])> {
        let names = self.rule.moments();
        self.slots.iter().flat_map(move |slot| {
            slot.moments.iter().zip(names).map(move |(values, moment)| {
                (format!("optimizer.{}.{moment}", slot.name), values.as_slice())
            })
        })
    }

    /// Puts a state back: `steps` made and every tensor of [`Optimizer::state`] by name.
    ///
    /// # Errors
    /// A tensor that is missing or has another length; the state is then unchanged.
    pub fn restore<'a>(&mut self, steps: u64, get: impl Fn(&str) -> Option<&'a [F]>) -> Result<()> {
        let mut fresh = self.slots.clone();
        for slot in &mut fresh {
            for (values, moment) in slot.moments.iter_mut().zip(self.rule.moments()) {
                let name = format!("optimizer.{}.{moment}", slot.name);
                let found = get(&name).unwrap_or(&[]);
                if found.len() != values.len() {
                    return Err(ModelError::OptimizerState {
                        name,
                        expected: values.len(),
                        got: found.len(),
                    });
                }
                values.copy_from_slice(found);
            }
        }
        self.slots = fresh;
        self.steps = steps;
        Ok(())
    }
}

/// One step of one matrix.
pub(crate) fn update<F: Real>(
    rule: Rule,
    steps: u64,
    w: &mut [F],
    g: &[F],
    moments: &mut [Vec<F>],
    eta: f64,
) {
    let t = steps.min(i32::MAX as u64) as i32;
    match (rule, moments) {
        (Rule::Adam { beta1, beta2, epsilon }, [m, v]) => {
            let constants = adam::Constants {
                beta1: F::of(beta1),
                gain1: F::of(1.0 - beta1),
                beta2: F::of(beta2),
                gain2: F::of(1.0 - beta2),
                // 1 − βᵗ by repeated multiplication in f64: the same bits on every machine.
                step: F::of(eta / (1.0 - num_traits::pow(beta1, t as usize))),
                root: F::of(1.0 / libm::sqrt(1.0 - num_traits::pow(beta2, t as usize))),
                epsilon: F::of(epsilon),
            };
            adam::update(w, g, m, v, constants);
        }
        (Rule::Adamax { beta1, beta2, epsilon }, [m, u]) => {
            let step = F::of(eta / (1.0 - num_traits::pow(beta1, t as usize)));
            adamax::update(
                w,
                g,
                m,
                u,
                F::of(beta1),
                F::of(1.0 - beta1),
                F::of(beta2),
                F::of(epsilon),
                step,
            );
        }
        (Rule::Smorms3 { epsilon }, [mean, square, memory]) => {
            smorms3::update(w, g, mean, square, memory, F::of(epsilon), F::of(eta));
        }
        _ => debug_assert!(false, "moments are made by the rule"),
    }
}

#[cfg(test)]
mod tests;
