//! What the network is taught: an input, the spikes that it shall answer with, and the output that
//! is read from them.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;

use super::config::LttsNetwork;
use super::recurrent::Recurrent;
use super::series::Series;
use crate::error::{ModelError, Result};
use crate::random;
use crate::real::Real;
use crate::spike_train::SpikeTrains;

/// One sequence.
#[derive(Clone, Debug)]
pub struct Pattern<F> {
    drive: Series<F>,
    target: SpikeTrains,
    output: Series<F>,
}

impl<F: Real> Pattern<F> {
    /// A pattern whose target spikes are given: `drive` `[time, neuron]` is the current that the
    /// network gets while learning and in every later run, `output` `[time, K]` what the readout
    /// shall give.
    ///
    /// # Errors
    /// [`ModelError::Input`] for lengths that differ, fewer than 2 bins, or spikes of a bin that are
    /// not in ascending order; [`ModelError::Parameter`] for a number that is not finite.
    pub fn new(drive: Series<F>, target: SpikeTrains, output: Series<F>) -> Result<Self> {
        let fits = |what, expected: usize, got: usize| {
            if expected == got { Ok(()) } else { Err(ModelError::Input { what, expected, got }) }
        };
        let steps = drive.steps();
        fits("bins of the target spikes of a pattern", steps, target.steps())?;
        fits("neurons of the target spikes of a pattern", drive.units(), target.units())?;
        fits("target rasters of a pattern", 1, target.samples())?;
        fits("bins of the output of a pattern", steps, output.steps())?;
        if steps < 2 {
            return Err(ModelError::Input {
                what: "bins of a pattern (at least)",
                expected: 2,
                got: steps,
            });
        }
        for t in 0..steps {
            if !target.at(0, t).is_sorted_by(|a, b| a < b) {
                let what = "first bin whose target spikes are not ascending and distinct";
                return Err(ModelError::Input { what, expected: steps, got: t });
            }
        }
        for (what, series) in [("drive of a pattern", &drive), ("output of a pattern", &output)] {
            if !series.finite() {
                return Err(ModelError::Parameter {
                    what,
                    got: f64::NAN,
                    must: "it must be finite",
                });
            }
        }
        Ok(Self { drive, target, output })
    }

    /// A pattern whose target spikes are those of the network without recurrent weights under
    /// `input` and `teach` together, both currents `[time, neuron]`. Only `input` stays.
    ///
    /// # Errors
    /// As [`Pattern::new`]; [`ModelError::Input`] for currents of different shapes.
    pub fn taught(
        network: &LttsNetwork,
        input: &Array2<f64>,
        teach: &Array2<f64>,
        output: &Array2<f64>,
    ) -> Result<Self> {
        network.check()?;
        for (what, expected, got) in [
            ("bins of the teaching current", input.nrows(), teach.nrows()),
            ("neurons of the teaching current", input.ncols(), teach.ncols()),
            ("neurons of the input current", network.neurons, input.ncols()),
        ] {
            if expected != got {
                return Err(ModelError::Input { what, expected, got });
            }
        }
        let both = Series::<F>::of(&(input + teach));
        let target = Recurrent::new(network)?.run(&both, None)?;
        Self::new(Series::of(input), target, Series::of(output))
    }

    /// Current into the neurons, `[time, neuron]`.
    #[must_use]
    pub fn drive(&self) -> &Series<F> {
        &self.drive
    }

    /// The spikes to learn, one sample.
    #[must_use]
    pub fn target(&self) -> &SpikeTrains {
        &self.target
    }

    /// What the readout shall give, `[time, K]`.
    #[must_use]
    pub fn output(&self) -> &Series<F> {
        &self.output
    }
}

/// Currents `signal · Jᵀ` into `neurons` neurons, with J `[neuron, channel]` drawn from N(0, sigma) in
/// row-major order: the random projections of teacher, clock and input.
#[must_use]
pub fn project(
    signal: &Array2<f64>,
    neurons: usize,
    sigma: f64,
    rng: &mut ChaCha8Rng,
) -> Array2<f64> {
    let channels = signal.ncols();
    let weights = Array2::from_shape_simple_fn((neurons, channels), || sigma * random::normal(rng));
    // By hand: the library's product fuses multiplications where the machine can, and its last bits
    // depend on the machine.
    Array2::from_shape_fn((signal.nrows(), neurons), |(t, i)| {
        (0..channels).map(|k| signal[[t, k]] * weights[[i, k]]).sum()
    })
}
