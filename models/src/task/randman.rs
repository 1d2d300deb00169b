//! Random manifolds: a classification task in spike times (Zenke & Vogels, Neural Computation 2021).
//!
//! Every class is a smooth random manifold, embedded in the space of the spike times of all inputs. With the intrinsic
//! coordinate `x ∈ [0, 1]^D`, each embedding dimension (one spike of one input) is
//!
//! ```text
//! f(x) = Π_{d<D} Σ_{i<cut} θ⁰_i s_i sin(2π (i x_d θ¹_i + θ²_i)),   θ ~ U(0, 1),   θ⁰_0 = 0
//! s_i = 1/((i + 1)^α + 1),   cut = min(⌈1e-3^(−1/α)⌉, 1000)
//! ```
//!
//! with its own θ for every class, spike, dimension and `d`. The spectrum `s` is that of the torch version of the
//! published generator, which the `stork` reference figures rest on; its numpy version has `(i + 1)^(−α)`. Large α
//! makes smooth manifolds. Each dimension is stretched over the samples of its class so that the least value is 0 and
//! the greatest 1: a spike time relative to the code's window.

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::encode::SpikeTimes;
use crate::error::{ModelError, Result};
use crate::random::{mix, stream, uniform};

/// Terms of the sum at most (published).
const MOST_TERMS: usize = 1000;
/// Relative weight of the first term that is left out (published).
const LEAST_WEIGHT: f64 = 1e-3;
/// Stream of the order of the samples, beyond those of the classes.
const ORDER: u64 = 1 << 32;

/// What to generate. The defaults are those of the first example of `stork` (Rossbroich, Gygax & Zenke 2022).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Randman {
    /// Classes.
    pub classes: usize,
    /// Samples of each class.
    pub samples: usize,
    /// Inputs.
    pub units: usize,
    /// Spikes of each input.
    pub spikes: usize,
    /// Intrinsic dimension D of a manifold.
    pub dimension: usize,
    /// Smoothness α.
    pub alpha: f64,
    /// Length of a sample in µs.
    pub duration_us: f64,
    /// Part of the duration that spike times lie in.
    pub window: f64,
    /// Seed of manifolds, samples and order.
    pub seed: u64,
}

impl Default for Randman {
    fn default() -> Self {
        Self {
            classes: 10,
            samples: 1000,
            units: 20,
            spikes: 1,
            dimension: 1,
            alpha: 1.0,
            duration_us: 200e3,
            window: 0.5,
            seed: 1,
        }
    }
}

/// One embedding dimension of one manifold: for each `d` and term, amplitude, frequency and phase.
struct Wave {
    terms: usize,
    theta: Vec<[f64; 3]>,
}

impl Wave {
    fn draw(spec: &Randman, rng: &mut ChaCha8Rng) -> Self {
        let terms = terms(spec.alpha);
        let theta = (0..spec.dimension * terms)
            .map(|k| {
                let i = k % terms;
                let [amplitude, frequency, phase] = std::array::from_fn(|_| uniform(rng));
                let weight = 1.0 / (libm::pow((i + 1) as f64, spec.alpha) + 1.0);
                [if i == 0 { 0.0 } else { amplitude * weight }, i as f64 * frequency, phase]
            })
            .collect();
        Self { terms, theta }
    }

    fn at(&self, x: &[f64]) -> f64 {
        let sum = |(x, theta): (&f64, &[[f64; 3]])| -> f64 {
            theta
                .iter()
                .map(|[amplitude, frequency, phase]| {
                    // Only the fraction of a turn counts; small arguments are faster, too.
                    let turns = x * frequency + phase;
                    amplitude * libm::sin(std::f64::consts::TAU * (turns - turns.floor()))
                })
                .sum()
        };
        x.iter().zip(self.theta.chunks_exact(self.terms)).map(sum).product()
    }
}

/// Terms of the sum for a smoothness.
fn terms(alpha: f64) -> usize {
    let wanted = libm::ceil(libm::pow(LEAST_WEIGHT, -1.0 / alpha));
    if wanted < MOST_TERMS as f64 { (wanted as usize).max(1) } else { MOST_TERMS }
}

impl Randman {
    /// Checks every parameter.
    ///
    /// # Errors
    /// The first parameter out of range.
    pub fn check(&self) -> Result<()> {
        for (what, got) in [
            ("randman.classes", self.classes),
            ("randman.samples", self.samples),
            ("randman.units", self.units),
            ("randman.spikes", self.spikes),
            ("randman.dimension", self.dimension),
        ] {
            let max = usize::from(u16::MAX);
            if got == 0 || got > max {
                return Err(ModelError::Size { what, got, max });
            }
        }
        let number = |what, got: f64, fine: bool, must| {
            if got.is_finite() && fine {
                return Ok(());
            }
            Err(ModelError::Parameter { what, got, must })
        };
        number("randman.alpha", self.alpha, self.alpha > 0.0, "it must be positive")?;
        number(
            "randman.duration_us",
            self.duration_us,
            self.duration_us > 0.0,
            "it must be positive",
        )?;
        let inside = self.window > 0.0 && self.window <= 1.0;
        number("randman.window", self.window, inside, "it must lie in (0, 1]")
    }

    /// Spike times and classes of all samples, shuffled. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// Parameters out of range.
    pub fn generate(&self) -> Result<(SpikeTimes, Vec<u16>)> {
        self.check()?;
        let classes: Vec<Vec<f64>> =
            (0..self.classes).into_par_iter().map(|class| self.class(class)).collect();
        let width = self.units * self.spikes;
        let mut order: Vec<usize> = (0..self.classes * self.samples).collect();
        let mut rng = stream(self.seed, ORDER);
        for k in (1..order.len()).rev() {
            order.swap(k, (uniform(&mut rng) * (k + 1) as f64) as usize);
        }
        let mut times = SpikeTimes::new(self.units);
        let mut labels = Vec::with_capacity(order.len());
        let scale = self.duration_us * self.window;
        for k in order {
            let (class, sample) = (k / self.samples, k % self.samples);
            let relative = &classes[class][sample * width..][..width];
            let event = |(j, t): (usize, &f64)| ((t * scale) as f32, (j % self.units) as u16);
            times.push_events(relative.iter().enumerate().map(event));
            labels.push(class as u16);
        }
        Ok((times, labels))
    }

    /// Relative spike times of one class `[sample, spike, unit]`.
    fn class(&self, class: usize) -> Vec<f64> {
        let key = mix(self.seed, class as u64);
        let mut rng = stream(key, 0);
        let x: Vec<f64> = (0..self.samples * self.dimension).map(|_| uniform(&mut rng)).collect();
        let width = self.units * self.spikes;
        let mut out = vec![0.0; self.samples * width];
        let mut rng = stream(key, 1);
        let waves: Vec<Wave> = (0..width).map(|_| Wave::draw(self, &mut rng)).collect();
        out.par_chunks_mut(width).zip(x.par_chunks(self.dimension)).for_each(|(out, x)| {
            out.iter_mut().zip(&waves).for_each(|(out, wave)| *out = wave.at(x));
        });
        for k in 0..width {
            let column = || out.iter().skip(k).step_by(width).copied();
            let (low, high) = (
                column().fold(f64::INFINITY, f64::min),
                column().fold(f64::NEG_INFINITY, f64::max),
            );
            let span = if high > low { high - low } else { 1.0 };
            out.iter_mut().skip(k).step_by(width).for_each(|t| *t = (*t - low) / span);
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn small() -> Randman {
        Randman { classes: 3, samples: 40, units: 4, alpha: 3.0, ..Randman::default() }
    }

    #[test]
    fn terms_follow_the_published_cut() {
        // 1e-3^(−1/α): 10³ at α = 1, 10 at α = 3, and never more than 1000.
        assert_eq!([terms(1.0), terms(3.0), terms(0.5)], [1000, 10, 1000]);
    }

    #[test]
    fn a_wave_is_the_published_sum() {
        let spec = Randman { dimension: 2, alpha: 3.0, ..Randman::default() };
        let wave = Wave::draw(&spec, &mut stream(9, 0));
        // The same numbers, read in the order of drawing, put into the formula of the documentation.
        let mut rng = stream(9, 0);
        let mut product = 1.0;
        for x in [0.3, 0.8] {
            let mut sum = 0.0;
            for i in 0..10 {
                let theta: Vec<f64> = (0..3).map(|_| uniform(&mut rng)).collect();
                let s = 1.0 / (((i + 1) as f64).powi(3) + 1.0);
                let turns = i as f64 * x * theta[1] + theta[2];
                sum +=
                    if i == 0 { 0.0 } else { theta[0] * s * (std::f64::consts::TAU * turns).sin() };
            }
            product *= sum;
        }
        assert!((wave.at(&[0.3, 0.8]) - product).abs() < 1e-12);
    }

    #[test]
    fn every_dimension_of_a_class_fills_the_window() {
        let spec = small();
        let (times, labels) = spec.generate().unwrap();
        assert_eq!((times.samples(), times.total(), labels.len()), (120, 480, 120));
        for class in 0..3 {
            assert_eq!(labels.iter().filter(|l| **l == class).count(), 40);
            for unit in 0..4 {
                let of_unit = |s: usize| {
                    let (t, ids) = times.sample(s);
                    t[ids.iter().position(|id| *id == unit).unwrap()]
                };
                let all: Vec<f32> = (0..120).filter(|s| labels[*s] == class).map(of_unit).collect();
                let low = all.iter().copied().fold(f32::INFINITY, f32::min);
                let high = all.iter().copied().fold(0.0, f32::max);
                assert_eq!((low, high), (0.0, 100e3));
            }
        }
        assert!(labels[..20].iter().any(|l| *l != labels[0]), "not shuffled");
    }

    #[test]
    fn a_seed_means_the_same_samples_in_five_years() {
        let (times, labels) = small().generate().unwrap();
        insta::assert_debug_snapshot!((times.sample(0), &labels[..12]));
        assert_ne!(Randman { seed: 2, ..small() }.generate().unwrap().0, times);
    }

    #[test]
    fn several_spikes_of_an_input_are_kept() {
        let (times, _) = Randman { spikes: 3, ..small() }.generate().unwrap();
        let (t, ids) = times.sample(5);
        assert_eq!(ids.iter().filter(|id| **id == 2).count(), 3);
        assert!(t.windows(2).all(|w| w[0] <= w[1]));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let wrong = |spec: Randman| spec.generate().unwrap_err().to_string();
        assert!(wrong(Randman { units: 0, ..small() }).contains("randman.units"));
        assert!(wrong(Randman { alpha: f64::NAN, ..small() }).contains("randman.alpha"));
        assert!(wrong(Randman { window: 1.5, ..small() }).contains("randman.window"));
        assert!(wrong(Randman { duration_us: -1.0, ..small() }).contains("randman.duration_us"));
    }
}
