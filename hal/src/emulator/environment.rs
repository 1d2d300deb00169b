//! What happens to a chip after it was made: hours of operation and temperature.
//!
//! **Drift.** Leak and threshold of each neuron wander as an Ornstein-Uhlenbeck process that starts
//! from the drawn value: `x_{k+1} = a x_k + √(1 − a²) z_k`, `a = e^{−1/T}`, `x_0 = 0`, for whole hours
//! k, T the correlation time, z standard normal from the neuron's own stream of the chip seed; between
//! two hours the mean of the bridge, `x(k+f) = (x_k sinh((1−f)/T) + x_{k+1} sinh(f/T)) / sinh(1/T)`.
//! So the value is a function of chip seed, neuron and hour, whoever asks and in which order.
//!
//! **Temperature.** All time constants change by the same factor, linear in the distance from 25 °C.
//!
//! Sizes stand in the profile; they are guesses.

use super::error::EmulatorError;
use super::mismatch::DrawnChip;
use super::normal::{Draws, Purpose};

/// The state of the world around an emulated chip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Environment {
    /// Hours since the chip had the values it was drawn (or loaded) with, 0 to [`Self::MAX_HOURS`].
    pub hours: f64,
    /// Temperature of the chip in °C.
    pub temperature_c: f64,
}

impl Default for Environment {
    fn default() -> Self {
        Self { hours: 0.0, temperature_c: Self::REFERENCE_C }
    }
}

impl Environment {
    /// Temperature in °C at which a chip has its drawn values.
    pub const REFERENCE_C: f64 = 25.0;
    /// Longest time in hours, more than a year.
    pub const MAX_HOURS: f64 = 10_000.0;
    /// Lowest and highest temperature in °C: the industrial range.
    pub const RANGE_C: (f64, f64) = (-40.0, 85.0);

    /// Refuses times and temperatures that make no sense.
    ///
    /// # Errors
    /// [`EmulatorError::OptionValue`] naming the key and the range.
    pub fn check(&self) -> Result<(), EmulatorError> {
        let refuse = |key: &str, value: f64, expected| {
            let (key, value) = (key.to_owned(), value.to_string());
            Err(EmulatorError::OptionValue { key, value, expected })
        };
        if !(0.0..=Self::MAX_HOURS).contains(&self.hours) {
            return refuse("hours", self.hours, "hours from 0 to 10000");
        }
        if !(Self::RANGE_C.0..=Self::RANGE_C.1).contains(&self.temperature_c) {
            let expected = "degrees Celsius from -40 to 85";
            return refuse("temperature", self.temperature_c, expected);
        }
        Ok(())
    }

    /// `chip` as it is in this environment. Its serial stays.
    pub(crate) fn apply(&self, chip: &DrawnChip) -> DrawnChip {
        let mut now = chip.clone();
        if *self == Self::default() {
            return now;
        }
        now.identity = Some(chip.serial());
        let drift = chip.profile.drift;
        let warmer = self.temperature_c - Self::REFERENCE_C;
        if warmer != 0.0 {
            let factor = (1.0 + drift.tau_per_kelvin * warmer).max(0.15);
            for list in [&mut now.tau_mem, &mut now.tau_syn_exc, &mut now.tau_syn_inh] {
                list.iter_mut().for_each(|tau| *tau = (f64::from(*tau) * factor) as f32);
            }
        }
        if self.hours > 0.0 && (drift.leak_theta > 0.0 || drift.threshold_theta > 0.0) {
            let theta = chip.profile.nominal.theta();
            for n in 0..now.leak_lsb.len() {
                let [leak, threshold] = wander(chip.seed, n, self.hours, drift.hours);
                let moved = |from: f32, by: f64| (f64::from(from) + by * theta) as f32;
                now.leak_lsb[n] = moved(now.leak_lsb[n], drift.leak_theta * leak);
                now.threshold_lsb[n] =
                    moved(now.threshold_lsb[n], drift.threshold_theta * threshold);
            }
        }
        now
    }
}

/// Two processes of unit stationary variance of one neuron at `hours`: leak, threshold.
fn wander(seed: u64, neuron: usize, hours: f64, correlation: f64) -> [f64; 2] {
    let mut draws = Draws::of_neuron(seed, Purpose::Drift, neuron);
    let keep = libm::exp(-1.0 / correlation);
    let fresh = libm::sqrt(1.0 - keep * keep);
    let (whole, part) = (libm::floor(hours), hours - libm::floor(hours));
    let mut next = |x: [f64; 2]| x.map(|x| keep * x + fresh * draws.normal());
    let mut x = [0.0; 2];
    for _ in 0..whole as u32 {
        x = next(x);
    }
    if part > 0.0 {
        let sinh = |t: f64| libm::sinh(t / correlation);
        let later = next(x);
        for (x, later) in x.iter_mut().zip(later) {
            *x = (*x * sinh(1.0 - part) + later * sinh(part)) / sinh(1.0);
        }
    }
    x
}
