//! The log-likelihood of spikes given a membrane, and its maximum; see [`super::fit`].

use super::super::steps;
use super::Gif;
use super::fit::{FitConfig, Recording, along, unfit};
use super::linear::{add_outer, solve};
use crate::error::Result;

/// Newton steps after which a fit that goes on improving is called unbounded.
const ITERATIONS: usize = 200;
/// Halvings of a step that does not improve.
const HALVINGS: usize = 40;

/// Every step at which a spike could have come: what its probability depends on.
pub(super) struct Likelihood {
    /// Rows `(V(t+1) − V_ref, −1, −f_k(t))`.
    rows: Vec<f64>,
    width: usize,
    spike: Vec<bool>,
    /// ln(λ₀ dt).
    offset: f64,
    reference: f64,
    ridge: f64,
}

/// Where the log-likelihood is largest.
pub(super) struct Maximum {
    pub(super) theta: Vec<f64>,
    /// Log-likelihood there, nats, without the ridge.
    pub(super) value: f64,
    pub(super) iterations: usize,
}

/// Value of one step's term, and the first and negative second derivative by `z`.
fn term(z: f64, spike: bool) -> (f64, f64, f64) {
    let mu = libm::exp(z);
    if !spike {
        return (-mu, -mu, mu);
    }
    if z < -30.0 {
        // ln(1 − e^(−μ)) → ln μ
        return (z, 1.0, 0.5 * mu);
    }
    if mu > 700.0 {
        return (0.0, 0.0, 0.0);
    }
    let first = mu / libm::expm1(mu);
    (libm::log(-libm::expm1(-mu)), first, first * (first + mu - 1.0))
}

impl Likelihood {
    /// Runs the membrane of `gif` along the measured spikes and collects every chance.
    pub(super) fn new(
        gif: &Gif,
        recordings: &[Recording<'_>],
        dt_ms: f64,
        config: &FitConfig,
    ) -> Result<Self> {
        let refractory = steps(config.refractory_ms, dt_ms);
        let width = 2 + config.gamma.count();
        let mut this = Self {
            rows: vec![],
            width,
            spike: vec![],
            offset: libm::log(config.rate_hz * 1e-3 * dt_ms),
            // Any potential near those of the spikes will do: it centres the first column.
            reference: gif.v_reset_mv,
            ridge: config.ridge,
        };
        for recording in recordings {
            let (current, spikes) = (recording.current_na, recording.spikes);
            let (v, _) = gif.follow(current, dt_ms, spikes, recording.membrane_mv[0])?;
            let mut due = spikes.iter().skip_while(|s| **s == 0).peekable();
            let mut held_until = 0;
            along(&config.gamma, recording, dt_ms, refractory, |t, history| {
                if t < held_until || t + 1 >= v.len() {
                    return;
                }
                let spike = due.next_if(|s| **s == t + 1).is_some();
                if spike {
                    held_until = t + 1 + refractory;
                }
                this.rows.extend([v[t + 1] - this.reference, -1.0]);
                this.rows.extend(history.iter().map(|f| -f));
                this.spike.push(spike);
            });
        }
        Ok(this)
    }

    /// Puts `theta` into a neuron.
    pub(super) fn write(&self, theta: &[f64], gif: &mut Gif) -> Result<()> {
        if theta[0] <= 0.0 {
            return Err(unfit("delta_mv", "spikes do not become more likely with the voltage"));
        }
        gif.delta_mv = 1.0 / theta[0];
        gif.v_threshold_mv = self.reference + theta[1] / theta[0];
        gif.gamma.coefficients = theta[2..].iter().map(|t| t / theta[0]).collect();
        Ok(())
    }

    /// Log-likelihood of the best constant rate, nats.
    pub(super) fn constant(&self) -> f64 {
        let spikes = self.spike.iter().filter(|s| **s).count() as f64;
        let silent = self.spike.len() as f64 - spikes;
        spikes * libm::log(spikes / (spikes + silent))
            + silent * libm::log(silent / (spikes + silent))
    }

    /// `z` of every row with its spike.
    fn terms(&self, theta: &[f64]) -> impl Iterator<Item = (f64, bool, &[f64])> {
        self.rows.chunks_exact(self.width).zip(&self.spike).map(move |(x, spike)| {
            let z = x.iter().zip(theta).fold(self.offset, |z, (x, t)| z + x * t);
            (z, *spike, x)
        })
    }

    /// Log-likelihood, nats, without the ridge.
    pub(super) fn value(&self, theta: &[f64]) -> f64 {
        self.terms(theta).map(|(z, spike, _)| term(z, spike).0).sum()
    }

    fn penalty(&self, theta: &[f64]) -> f64 {
        0.5 * self.ridge * theta[2..].iter().map(|t| t * t).sum::<f64>()
    }

    /// Gradient and negative Hessian (lower triangle) of value − penalty.
    fn slopes(&self, theta: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let n = self.width;
        let (mut gradient, mut hessian) = (vec![0.0; n], vec![0.0; n * n]);
        for (z, spike, x) in self.terms(theta) {
            let (_, first, second) = term(z, spike);
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g += first * x);
            add_outer(&mut hessian, x, second);
        }
        for k in 2..n {
            gradient[k] -= self.ridge * theta[k];
            hessian[k * n + k] += self.ridge;
        }
        (gradient, hessian)
    }

    /// Newton's method with halved steps, from a constant rate.
    pub(super) fn maximise(&self) -> Result<Maximum> {
        let spikes = self.spike.iter().filter(|s| **s).count();
        if spikes == 0 || spikes == self.spike.len() {
            return Err(unfit("the threshold", "no step with or no step without a spike"));
        }
        let mut theta = vec![0.0; self.width];
        theta[1] = self.offset - libm::log(spikes as f64 / self.spike.len() as f64);
        let mut best = self.value(&theta) - self.penalty(&theta);
        for iterations in 1..=ITERATIONS {
            let (gradient, hessian) = self.slopes(&theta);
            let step = solve(&hessian, &gradient).map_err(|k| match k {
                0 | 1 => unfit("the threshold", "the voltage does not vary"),
                _ => unfit("gamma", "two of its functions are alike: choose fewer or others"),
            })?;
            // Twice the gain that the parabola through the present point promises.
            let promise: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            let mut factor = 1.0;
            let mut better = None;
            for _ in 0..HALVINGS {
                let moved: Vec<f64> =
                    theta.iter().zip(&step).map(|(t, s)| t + factor * s).collect();
                let value = self.value(&moved) - self.penalty(&moved);
                if value > best {
                    better = Some((moved, value));
                    break;
                }
                factor *= 0.5;
            }
            if let Some((moved, value)) = better {
                (theta, best) = (moved, value);
            }
            // 1e-9 nats: far below what any data resolve.
            if promise.abs() < 1e-9 {
                let value = best + self.penalty(&theta);
                return Ok(Maximum { theta, value, iterations });
            }
        }
        Err(unfit(
            "the threshold",
            "the likelihood has no maximum: raise learning.ridge or use more data",
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn slopes_equal_central_differences() {
        let h = 1e-5;
        for z in [-40.0, -31.0, -29.0, -8.0, -1.0, 0.0, 2.0, 5.0] {
            for spike in [true, false] {
                let (_, first, second) = term(z, spike);
                let scale = 1.0 + first.abs();
                let numeric = (term(z + h, spike).0 - term(z - h, spike).0) / (2.0 * h);
                assert!((numeric - first).abs() < 1e-8 * scale, "{z} {spike}: {numeric} {first}");
                let numeric = -(term(z + h, spike).1 - term(z - h, spike).1) / (2.0 * h);
                assert!((numeric - second).abs() < 1e-8 * scale, "{z} {spike}: {numeric} {second}");
                assert!(second >= 0.0, "concave");
            }
        }
        assert_eq!(term(50.0, true), (0.0, 0.0, 0.0));
    }
}
