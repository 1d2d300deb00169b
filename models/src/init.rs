//! Initial weights: normal, scaled by fan-in, and fluctuation-driven.
//!
//! Every matrix draws from its own stream of the seed, in row-major order `[pre, post]`.

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::layer::{Current, LayerSpec, Wiring};
use crate::network::Network;
use crate::random;
use crate::real::Real;

/// How a weight matrix is drawn. In a configuration: `{ kind = "fan-in", gain = 0.7, mean = 1e-3,
/// one_minus_beta = true }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Init {
    /// `N(mean, std)`.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        std: f64,
    },
    /// `N(mean, gain (1 − β)/√fan_in)` with `one_minus_beta`, else `N(mean, gain/√fan_in)`, where β
    /// is the decay of the membrane of the post-synaptic unit. Cramer et al. 2022: mean 1e-3, gain
    /// 0.7; SpyTorch tutorials 1 and 2: mean 0, gain 7.
    FanIn {
        /// Mean.
        #[serde(default)]
        mean: f64,
        /// Factor.
        gain: f64,
        /// Whether to multiply by 1 − β.
        #[serde(default)]
        one_minus_beta: bool,
    },
    /// Fluctuation-driven (Rossbroich, Gygax & Zenke 2022), see [`fluctuation_driven`].
    Fluctuation(Fluctuation),
}

/// Target of the fluctuation-driven initialisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fluctuation {
    /// Rate of the presynaptic units, Hz of model time.
    pub rate_hz: f64,
    /// Mean membrane μ_U.
    #[serde(default)]
    pub mu_u: f64,
    /// Distance ξ of mean and threshold in standard deviations of the membrane.
    #[serde(default = "one")]
    pub xi: f64,
    /// Share α of the variance for the feed-forward connections of a recurrent layer (0.9).
    #[serde(default = "share")]
    pub feed_forward_share: f64,
}

fn one() -> f64 {
    1.0
}

fn share() -> f64 {
    0.9
}

/// Response of the membrane to one spike through a unit weight, and its sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PspSums {
    /// Largest value.
    pub peak: f64,
    /// Update at which it is reached, counting from 0, the update that takes the spike.
    pub peak_step: usize,
    /// `Σ_t PSP[t]`; times dt this is ε̄.
    pub sum: f64,
    /// `Σ_t PSP[t]²`; times dt this is ε̂.
    pub sum_squares: f64,
}

/// Sums the discrete response of `unit` of a layer over thirty of its longer time constant: what is left beyond is
/// below the rounding of `f64`.
#[must_use]
pub fn psp_sums(spec: &LayerSpec, unit: usize) -> PspSums {
    let (alpha, beta, scale) = (spec.alpha(unit), spec.beta(unit), spec.scale(unit));
    let longest = if spec.neuron.has_current() {
        spec.tau_mem_us.at(unit).max(spec.tau_syn_us.at(unit))
    } else {
        spec.tau_mem_us.at(unit)
    };
    let states = (30.0 * longest / spec.dt_us).ceil() as usize + 1;
    let (mut i, mut v) = (0.0, 0.0);
    let mut sums = PspSums { peak: 0.0, peak_step: 0, sum: 0.0, sum_squares: 0.0 };
    for t in 0..states {
        let next = alpha * i + if t == 0 { 1.0 } else { 0.0 };
        v = beta * v + scale * if spec.current == Current::New { next } else { i };
        i = next;
        if v > sums.peak {
            (sums.peak, sums.peak_step) = (v, t);
        }
        sums.sum += v;
        sums.sum_squares += v * v;
    }
    sums
}

/// Mean and standard deviation of fluctuation-driven weights.
///
/// With ε̄ = Σ PSP·dt, ε̂ = Σ PSP²·dt of the discrete response, N presynaptic units of rate ν in
/// this connection and `total` over all connections of the layer, share s of the variance:
/// `μ_w = μ_U/(N_total ν ε̄)`, `σ_w² = s/(N ν ε̂) ((θ − μ_U)/ξ)² − μ_w²`.
///
/// # Errors
/// Numbers that are not positive, or a target that needs a negative variance.
pub fn fluctuation_driven(
    spec: &LayerSpec,
    unit: usize,
    target: &Fluctuation,
    fan_in: usize,
    total: usize,
    share: f64,
) -> Result<(f64, f64)> {
    for (what, got) in [
        ("init.rate_hz", target.rate_hz),
        ("init.xi", target.xi),
        ("init share of the variance", share),
    ] {
        if !(got.is_finite() && got > 0.0) {
            return Err(ModelError::Parameter { what, got, must: "it must be positive" });
        }
    }
    let psp = psp_sums(spec, unit);
    let dt_s = spec.dt_us * 1e-6;
    let (bar, hat) = (psp.sum * dt_s, psp.sum_squares * dt_s);
    let mean = target.mu_u / (total as f64 * target.rate_hz * bar);
    let sigma_u = (spec.threshold.at(unit) - target.mu_u) / target.xi;
    let variance = share / (fan_in as f64 * target.rate_hz * hat) * sigma_u * sigma_u - mean * mean;
    if variance < 0.0 {
        return Err(ModelError::Parameter {
            what: "variance of fluctuation-driven weights",
            got: variance,
            must: "choose a mean nearer to 0 or a smaller xi",
        });
    }
    Ok((mean, libm::sqrt(variance)))
}

/// Place of a matrix among the connections of its layer.
struct Connection {
    /// Presynaptic units of all connections of the layer.
    total: usize,
    /// Share of the variance of the membrane.
    share: fn(&Fluctuation) -> f64,
}

/// Draws the feed-forward weights of `layer` from stream `2·layer` of `seed`, and its recurrent
/// weights, if any, from stream `2·layer + 1` with `recurrent` (default: as `feed_forward`).
///
/// # Errors
/// A layer that does not exist, parameters out of range.
pub fn draw<F: Real>(
    network: &mut Network<F>,
    layer: usize,
    feed_forward: &Init,
    recurrent: Option<&Init>,
    seed: u64,
) -> Result<()> {
    let max = network.layers.len();
    let Some(target) = network.layers.get_mut(layer) else {
        return Err(ModelError::Size { what: "layer to initialise", got: layer, max });
    };
    target.spec.check()?;
    let pre = target.weights.nrows();
    let spec = &target.spec;
    if spec.wiring == Wiring::Encoder {
        return draw_encoder(&mut target.weights, spec, feed_forward, seed, layer);
    }
    let Some(matrix) = &mut target.recurrent else {
        let connection = Connection { total: pre, share: |_| 1.0 };
        return fill(
            &mut target.weights,
            spec,
            feed_forward,
            connection,
            random::stream(seed, 2 * layer as u64),
        );
    };
    let total = pre + spec.units;
    let below = Connection { total, share: |f| f.feed_forward_share };
    fill(&mut target.weights, spec, feed_forward, below, random::stream(seed, 2 * layer as u64))?;
    let own = Connection { total, share: |f| 1.0 - f.feed_forward_share };
    fill(
        matrix,
        spec,
        recurrent.unwrap_or(feed_forward),
        own,
        random::stream(seed, 2 * layer as u64 + 1),
    )
}

/// Draws gains and biases of an encoder in the same way; entries without effect are 0.
fn draw_encoder<F: Real>(
    parameters: &mut Array2<F>,
    spec: &LayerSpec,
    init: &Init,
    seed: u64,
    layer: usize,
) -> Result<()> {
    let rng = random::stream(seed, 2 * layer as u64);
    fill(parameters, spec, init, Connection { total: 1, share: |_| 1.0 }, rng)?;
    let channels = parameters.nrows() - 1;
    for ((row, unit), value) in parameters.indexed_iter_mut() {
        if row != channels && row != unit % channels {
            *value = F::zero();
        }
    }
    Ok(())
}

fn fill<F: Real>(
    matrix: &mut Array2<F>,
    spec: &LayerSpec,
    init: &Init,
    connection: Connection,
    mut rng: ChaCha8Rng,
) -> Result<()> {
    let fan_in = matrix.nrows();
    let mut moments = Vec::with_capacity(spec.units);
    for unit in 0..spec.units {
        moments.push(match init {
            Init::Normal { mean, std } => (*mean, *std),
            Init::FanIn { mean, gain, one_minus_beta } => {
                let factor = if *one_minus_beta { 1.0 - spec.beta(unit) } else { 1.0 };
                (*mean, gain * factor / libm::sqrt(fan_in as f64))
            }
            Init::Fluctuation(target) => {
                let share = (connection.share)(target);
                fluctuation_driven(spec, unit, target, fan_in, connection.total, share)?
            }
        });
    }
    if let Some((_, got)) =
        moments.iter().find(|(mean, std)| !(mean.is_finite() && std.is_finite() && *std >= 0.0))
    {
        return Err(ModelError::Parameter {
            what: "init std",
            got: *got,
            must: "it must not be negative",
        });
    }
    for mut row in matrix.rows_mut() {
        for (weight, (mean, std)) in row.iter_mut().zip(&moments) {
            *weight = F::of(mean + std * random::normal(&mut rng));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
