//! The same rule bin by bin over the whole network, straight from the equations: what the fast
//! paths are checked against and timed against. Current synapses.

use ndarray::Array2;

use super::config::LttsNetwork;
use super::dynamics::Escape;
use super::pattern::Pattern;
use crate::kernel::rows::{gather_weighted, padded, scatter_weighted};
use crate::real::Real;

/// `Σₜ (s* − p)(t+1) e(t+1)ᵀ` of one pattern with weights `[pre, post]`, self-connections
/// included: a product of matrix and vector and an outer product in every bin.
#[must_use]
pub fn gradient<F: Real>(
    network: &LttsNetwork,
    weights: &Array2<F>,
    pattern: &Pattern<F>,
    delta_v: f64,
) -> Array2<F> {
    let n = network.neurons;
    let width = padded(n);
    let mut rows = vec![F::zero(); n * width];
    for ((pre, post), w) in weights.indexed_iter() {
        rows[pre * width + post] = *w;
    }
    let mut sum = vec![F::zero(); n * width];
    let all: Vec<u16> = (0..n as u16).collect();
    let mut stepper = Stepper::new(network, delta_v);
    for t in 0..pattern.drive().steps() - 1 {
        stepper.bin(pattern, t, |s_hat, u| gather_weighted(u, &rows, &all, s_hat));
        scatter_weighted(&mut sum, &stepper.delta, &all, &stepper.e);
    }
    Array2::from_shape_fn((n, n), |(pre, post)| sum[pre * width + post])
}

/// One online epoch of one pattern from moments of 0: Adam as in the textbook after every bin, at
/// one `rate`, self-connections forced to 0.
pub fn online<F: Real>(
    network: &LttsNetwork,
    weights: &mut Array2<F>,
    pattern: &Pattern<F>,
    delta_v: f64,
    rate: f64,
) {
    let (mut mean, mut square) = (weights.mapv(|_| 0.0), weights.mapv(|_| 0.0));
    let mut stepper = Stepper::new(network, delta_v);
    for t in 0..pattern.drive().steps() - 1 {
        stepper.bin(pattern, t, |s_hat, u| {
            for ((pre, post), w) in weights.indexed_iter() {
                u[post] += *w * s_hat[pre];
            }
        });
        let k = (t + 1) as i32;
        for ((pre, post), w) in weights.indexed_iter_mut() {
            let g = stepper.e[pre].wide() * stepper.delta[post].wide();
            let (m, q) = (&mut mean[[pre, post]], &mut square[[pre, post]]);
            *m = 0.9 * *m + 0.1 * g;
            *q = 0.999 * *q + 0.001 * g * g;
            let (m, q) = (*m / (1.0 - 0.9_f64.powi(k)), *q / (1.0 - 0.999_f64.powi(k)));
            *w += F::of(rate * m / (q.sqrt() + 1e-8));
            if pre == post {
                *w = F::zero();
            }
        }
    }
}

/// State of the whole network between two bins.
struct Stepper<F> {
    network: LttsNetwork,
    escape: Escape<F>,
    s_hat: Vec<F>,
    e: Vec<F>,
    u: Vec<F>,
    v: Vec<F>,
    /// Of the bin just reached; padded with zeros.
    delta: Vec<F>,
}

impl<F: Real> Stepper<F> {
    fn new(network: &LttsNetwork, delta_v: f64) -> Self {
        let n = network.neurons;
        Self {
            network: *network,
            escape: Escape::new(delta_v),
            s_hat: vec![F::zero(); n],
            e: vec![F::zero(); n],
            u: vec![F::zero(); padded(n)],
            v: vec![F::of(network.v0); n],
            delta: vec![F::zero(); padded(n)],
        }
    }

    /// From bin `t` to `t + 1`; `product` adds J ŝ to u.
    fn bin(&mut self, pattern: &Pattern<F>, t: usize, mut product: impl FnMut(&[F], &mut [F])) {
        let spikes = |t: usize| {
            let mut s = vec![false; self.s_hat.len()];
            pattern.target().at(0, t).iter().for_each(|id| s[usize::from(*id)] = true);
            s
        };
        let (now, next) = (spikes(t), spikes(t + 1));
        let beta = F::of(libm::exp(-1.0 / self.network.tau_syn));
        let gain = if t == 0 { beta } else { F::one() - beta };
        let leak = F::of(1.0 / self.network.tau_mem);
        for (s_hat, s) in self.s_hat.iter_mut().zip(&now) {
            *s_hat = beta * *s_hat + if *s { gain } else { F::zero() };
        }
        for (e, s_hat) in self.e.iter_mut().zip(&self.s_hat) {
            *e = (F::one() - leak) * *e + leak * *s_hat;
        }
        self.u.fill(F::zero());
        product(&self.s_hat, &mut self.u);
        let (h, s_inh) = (F::of(self.network.h), F::of(self.network.s_inh));
        let drive = pattern.drive().row(t);
        for (k, v) in self.v.iter_mut().enumerate() {
            let reset = if now[k] { s_inh } else { F::zero() };
            *v = (F::one() - leak) * *v + leak * (self.u[k] + drive[k] + h) - reset;
            self.delta[k] = self.escape.residual(*v, next[k]);
        }
    }
}
