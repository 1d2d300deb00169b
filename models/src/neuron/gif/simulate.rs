//! Running a GIF neuron, with its own spikes or with given ones.
//!
//! ```text
//! V(t+1) = V + dt/C (−g (V − E) + I − Σ η)        Σ η, Σ γ at t
//! λ      = λ₀ e^((V(t+1) − V* − Σ γ)/ΔV)
//! ```
//!
//! At a spike `s` the membrane shows the value that drew it. Then it is held at V_r (a place-holder:
//! the model says nothing about it there) until `s + T_ref`, where V = V_r and the kernels start. A spike is drawn by its lifetime
//! ([`super::super::escape`]), which gives `P(no spike) = e^(−λ dt)` with one random number a spike.

use rand_chacha::ChaCha8Rng;

use super::super::escape::Lifetime;
use super::super::{positive, steps};
use super::Gif;
use super::kernel::History;
use crate::error::Result;

/// A neuron that is being stepped.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    gif: &'a Gif,
    /// dt/C, mV per nA.
    drive: f64,
    /// dt g/C.
    leak: f64,
    /// λ₀ dt, expected spikes.
    expected: f64,
    refractory: usize,
    held: usize,
    v: f64,
    eta: History,
    gamma: History,
}

impl<'a> Run<'a> {
    /// A neuron at its leak potential.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive.
    pub fn new(gif: &'a Gif, dt_ms: f64) -> Result<Self> {
        gif.check()?;
        positive("neuron.dt_ms", dt_ms)?;
        Ok(Self {
            gif,
            drive: dt_ms / gif.capacitance_nf,
            leak: dt_ms * gif.conductance_us / gif.capacitance_nf,
            expected: gif.rate_hz * 1e-3 * dt_ms,
            refractory: steps(gif.refractory_ms, dt_ms),
            held: 0,
            v: gif.v_leak_mv,
            eta: History::new(&gif.eta.basis, dt_ms),
            gamma: History::new(&gif.gamma.basis, dt_ms),
        })
    }

    /// The same neuron at another potential.
    #[must_use]
    pub fn starting_at(self, v_mv: f64) -> Self {
        Self { v: v_mv, ..self }
    }

    /// Membrane, mV.
    #[inline]
    #[must_use]
    pub fn membrane_mv(&self) -> f64 {
        self.v
    }

    /// Threshold V_T, mV.
    #[inline]
    #[must_use]
    pub fn threshold_mv(&self) -> f64 {
        self.gif.v_threshold_mv + self.gamma.dot(&self.gif.gamma.coefficients)
    }

    /// One step; `fires` is asked with the number of expected spikes λ dt, not while refractory.
    /// Returns whether the neuron spikes at the end of the step.
    #[inline]
    pub fn step(&mut self, current_na: f64, mut fires: impl FnMut(f64) -> bool) -> bool {
        let gif = self.gif;
        if self.held > 0 {
            self.held -= 1;
            self.v = gif.v_reset_mv;
            self.eta.advance();
            self.gamma.advance();
            if self.held == 0 {
                self.release();
            }
            return false;
        }
        let eta = self.eta.dot(&gif.eta.coefficients);
        let threshold = self.threshold_mv();
        self.v += self.drive * (current_na - eta) - self.leak * (self.v - gif.v_leak_mv);
        let expected = self.expected * libm::exp((self.v - threshold) / gif.delta_mv);
        self.eta.advance();
        self.gamma.advance();
        let spike = fires(expected);
        if spike {
            self.held = self.refractory;
            if self.held == 0 {
                self.release();
            }
        }
        spike
    }

    fn release(&mut self) {
        self.v = self.gif.v_reset_mv;
        self.eta.start();
        self.gamma.start();
    }
}

impl Gif {
    /// Spikes in response to a current of one sample per step, as indices of samples; `record` hears
    /// of the membrane and the threshold at every sample, mV.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive.
    pub fn simulate(
        &self,
        current_na: &[f64],
        dt_ms: f64,
        rng: &mut ChaCha8Rng,
        mut record: impl FnMut(f64, f64),
    ) -> Result<Vec<usize>> {
        let mut run = Run::new(self, dt_ms)?;
        let mut life = Lifetime::draw(rng);
        let mut spikes = vec![];
        record(run.membrane_mv(), run.threshold_mv());
        for (t, current) in current_na.iter().take(current_na.len().saturating_sub(1)).enumerate() {
            if run.step(*current, |expected| life.spend(expected, rng).is_some()) {
                spikes.push(t + 1);
            }
            record(run.membrane_mv(), run.threshold_mv());
        }
        Ok(spikes)
    }

    /// Membrane and threshold, mV, if the neuron spikes where `spikes` says (sorted indices of
    /// samples) and nowhere else, starting at `v_mv`.
    ///
    /// # Errors
    /// Parameters out of range, a step that is not positive.
    pub fn follow(
        &self,
        current_na: &[f64],
        dt_ms: f64,
        spikes: &[usize],
        v_mv: f64,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut run = Run::new(self, dt_ms)?.starting_at(v_mv);
        let (mut membrane, mut threshold) = (vec![v_mv], vec![run.threshold_mv()]);
        let mut spikes = spikes.iter().skip_while(|s| **s == 0).peekable();
        for (t, current) in current_na.iter().take(current_na.len().saturating_sub(1)).enumerate() {
            let due = spikes.next_if(|s| **s == t + 1).is_some();
            run.step(*current, |_| due);
            membrane.push(run.membrane_mv());
            threshold.push(run.threshold_mv());
        }
        membrane.truncate(current_na.len());
        threshold.truncate(current_na.len());
        Ok((membrane, threshold))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::super::escape::unit_exponential;
    use super::super::kernel::{Basis, Kernel};
    use super::super::stimulus::Stimulus;
    use super::*;
    use crate::random::stream;

    /// The published loop, with arrays of what every spike adds to the future.
    fn published(gif: &Gif, current: &[f64], dt: f64, seed: u64) -> (Vec<usize>, Vec<f64>) {
        let (n, held) = (current.len(), (gif.refractory_ms / dt).round() as usize);
        let (mut eta, mut gamma) = (vec![0.0; n + 1], vec![0.0; n + 1]);
        let mut v = vec![gif.v_reset_mv; n + 1];
        v[0] = gif.v_leak_mv;
        let mut rng = stream(seed, 0);
        let mut left = unit_exponential(&mut rng);
        let (mut spikes, mut t) = (vec![], 0);
        while t + 1 < n {
            v[t + 1] = v[t]
                + dt / gif.capacitance_nf
                    * (-gif.conductance_us * (v[t] - gif.v_leak_mv) + current[t] - eta[t]);
            let rate =
                gif.rate_hz * ((v[t + 1] - gif.v_threshold_mv - gamma[t]) / gif.delta_mv).exp();
            left -= rate * dt * 1e-3;
            if left <= 0.0 {
                left = unit_exponential(&mut rng);
                spikes.push(t + 1);
                t += held;
                if t + 1 < n {
                    v[t + 1] = gif.v_reset_mv;
                    for j in t + 1..n {
                        eta[j] += gif.eta.at((j - t - 1) as f64 * dt);
                        gamma[j] += gif.gamma.at((j - t - 1) as f64 * dt);
                    }
                }
            }
            t += 1;
        }
        v.truncate(n);
        (spikes, v)
    }

    #[test]
    fn equals_the_published_loop() {
        let dt = 0.1;
        let current = Stimulus { mean_na: 0.3, ..Stimulus::default() }.draw(2000.0, dt, 5).unwrap();
        let rectangles = Kernel {
            basis: Basis::Rectangles { edges_ms: vec![0.0, 5.0, 20.0, 80.0] },
            coefficients: vec![0.1, 0.05, 0.02],
        };
        let cases = [
            Gif::default(),
            Gif { eta: rectangles, refractory_ms: 2.5, ..Gif::default() },
            Gif { refractory_ms: 0.0, delta_mv: 2.0, ..Gif::default() },
        ];
        for gif in cases {
            let (expected, membrane) = published(&gif, &current, dt, 8);
            let mut got = vec![];
            let mut rng = stream(8, 0);
            let spikes = gif.simulate(&current, dt, &mut rng, |v, _| got.push(v)).unwrap();
            assert_eq!(spikes, expected);
            assert!(spikes.len() > 8, "{}", spikes.len());
            let worst = got.iter().zip(&membrane).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(got.len() == membrane.len() && worst < 1e-9, "{worst}");
            // Following its own spikes, a neuron does what it did.
            let (followed, _) = gif.follow(&current, dt, &spikes, gif.v_leak_mv).unwrap();
            assert_eq!(followed, got);
        }
    }

    /// At a potential that no current changes, intervals are T_ref plus an exponential time:
    /// mean T_ref + 1/λ.
    #[test]
    fn without_kernels_intervals_are_refractory_plus_exponential() {
        let silent = Kernel::exponential(0.0, 1.0);
        let gif = Gif {
            v_reset_mv: -65.0,
            v_threshold_mv: -65.0,
            rate_hz: 50.0,
            eta: silent.clone(),
            gamma: silent,
            ..Gif::default()
        };
        let mut rng = stream(2, 0);
        let spikes = gif.simulate(&vec![0.0; 1_200_000], 0.1, &mut rng, |_, _| ()).unwrap();
        let intervals: Vec<f64> = spikes.windows(2).map(|p| (p[1] - p[0]) as f64 * 0.1).collect();
        let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
        // 20 + 4 ms and half a step for the grid; three standard errors of 5000 intervals are 0.85 ms.
        assert!((mean - 24.05).abs() < 0.85, "{mean} ms of {}", intervals.len());
        assert!(intervals.iter().all(|i| *i > 4.05), "the first chance is a step after T_ref");
    }
}
