//! How much shape and steepness of a surrogate derivative matter (after Zenke & Vogels, Neural Computation 2021, whose
//! finding is that the shape hardly matters and the scale does).
//!
//! The same network from the same weights is trained with every shape at every steepness. Shapes of peak 1 become
//! narrower as they become steeper; those of area 1 become higher, too.

use super::{Learned, StudyError, Watch, mean_and_deviation, train};
use crate::data::Dataset;
use crate::experiment::Experiment;
use serde::{Deserialize, Serialize};
use spikeloop_models::surrogate::Surrogate;

/// A family of surrogates with one steepness β.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Fast sigmoid, peak 1.
    Superspike,
    /// Triangle, peak 1.
    Triangle,
    /// `1 − tanh²(βx)`, peak 1.
    Tanh,
    /// Gaussian, peak 1.13.
    Gauss,
    /// Fast sigmoid of area 2, peak β.
    SuperspikeAsymptotic,
    /// Logistic of area 1, peak β/4.
    Sigmoid,
    /// Lorentzian of area 1, peak β/2.
    Arctan,
}

impl Shape {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Superspike,
        Self::Triangle,
        Self::Tanh,
        Self::Gauss,
        Self::SuperspikeAsymptotic,
        Self::Sigmoid,
        Self::Arctan,
    ];

    /// The surrogate of this shape.
    #[must_use]
    pub fn with(self, beta: f64) -> Surrogate {
        match self {
            Self::Superspike => Surrogate::SuperSpike { beta },
            Self::Triangle => Surrogate::Triangle { beta },
            Self::Tanh => Surrogate::Tanh { k: beta },
            Self::Gauss => Surrogate::Gauss { k: beta },
            Self::SuperspikeAsymptotic => Surrogate::SuperSpikeAsymptotic { beta },
            Self::Sigmoid => Surrogate::Sigmoid { beta },
            Self::Arctan => Surrogate::Arctan { alpha: beta },
        }
    }

    /// As in tables and legends.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Superspike => "fast sigmoid, peak 1",
            Self::Triangle => "triangle, peak 1",
            Self::Tanh => "tanh, peak 1",
            Self::Gauss => "Gauss, peak 1.13",
            Self::SuperspikeAsymptotic => "fast sigmoid, area 2",
            Self::Sigmoid => "sigmoid, area 1",
            Self::Arctan => "arctan, area 1",
        }
    }
}

/// One training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Shape.
    pub shape: Shape,
    /// Steepness β.
    pub beta: f64,
    /// Seed of weights and order.
    pub seed: u64,
    /// What it came to.
    #[serde(flatten)]
    pub learned: Learned,
}

/// What to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Shapes.
    pub shapes: Vec<Shape>,
    /// Values of β.
    pub betas: Vec<f64>,
    /// Seeds.
    pub seeds: Vec<u64>,
}

impl Plan {
    /// Number of trainings.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.shapes.len() * self.betas.len() * self.seeds.len()
    }

    /// Trains them all, one after the other.
    ///
    /// # Errors
    /// [`StudyError`].
    pub fn run(
        &self,
        experiment: &Experiment,
        data: &Dataset,
        watch: &dyn Watch,
    ) -> Result<Vec<Cell>, StudyError> {
        let mut cells = Vec::with_capacity(self.cells());
        for &shape in &self.shapes {
            for &beta in &self.betas {
                for &seed in &self.seeds {
                    let mut one = experiment.clone();
                    one.seed = seed;
                    one.network.surrogate = shape.with(beta);
                    let every = one.learning.epochs;
                    let learned = train(&one, data, every, watch)?;
                    cells.push(Cell { shape, beta, seed, learned });
                }
            }
        }
        Ok(cells)
    }
}

/// Mean and deviation of the test accuracy over the seeds of one shape and steepness.
#[must_use]
pub fn accuracy(cells: &[Cell], shape: Shape, beta: f64) -> (f64, f64) {
    let of = cells.iter().filter(|c| c.shape == shape && c.beta == beta);
    mean_and_deviation(&of.map(|c| c.learned.test_accuracy).collect::<Vec<_>>())
}

/// Values of β around its best one at which a shape stays within `margin` of its best mean accuracy: its plateau, as the
/// least and the greatest of them.
#[must_use]
pub fn plateau(cells: &[Cell], shape: Shape, betas: &[f64], margin: f64) -> Option<(f64, f64)> {
    let mut betas = betas.to_vec();
    betas.sort_unstable_by(f64::total_cmp);
    let means: Vec<f64> = betas.iter().map(|beta| accuracy(cells, shape, *beta).0).collect();
    let best = (0..means.len()).max_by(|a, b| means[*a].total_cmp(&means[*b]))?;
    let inside = |k: &usize| means[*k] >= means[best] - margin;
    let low = (0..=best).rev().take_while(inside).last()?;
    let high = (best..means.len()).take_while(inside).last()?;
    Some((betas[low], betas[high]))
}
