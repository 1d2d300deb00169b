//! The threshold: where on a known ramp does the neuron fire?
//!
//! Input whose rate grows steadily lifts the membrane slowly and smoothly. Without comparators the mean membrane is
//! recorded; with them, the spike times. The threshold of a trial is the mean membrane at its spike, the
//! spread over trials is the noise of the comparator.

use crate::bench::{Bench, Recorded, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit;
use crate::measure::traces::{Sampling, Traces};
use crate::measure::{Converter, Effort, mean_design, waves};
use rayon::prelude::*;
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, SpikeEvent};

/// Trials without comparators.
const TEMPLATE_REPEATS: usize = 64;
/// Trials with them, in each wave.
const SPIKING_REPEATS: usize = 64;
/// Length of the ramp in membrane time constants.
const LENGTH: f64 = 16.0;
/// Height of the ramp by design at its end, LSB: so high that the weakest neuron fires in the middle.
const HEIGHT_LSB: f64 = 380.0;
/// Events of the ramp from each row, about.
const EVENTS_PER_ROW: usize = 4;
/// Half of the span of time, in membrane time constants, over which the mean membrane is smoothed.
const SMOOTHING: f64 = 1.0;

/// What was found, per neuron.
#[derive(Clone, Debug, Default)]
pub struct Threshold {
    /// Threshold, LSB.
    pub threshold: Vec<Estimate>,
    /// Standard deviation of the threshold from trial to trial, LSB; NaN where there is none.
    pub noise: Vec<f64>,
    /// The ramps, for pictures.
    pub traces: Traces,
    /// Mean time of the first spike, µs; NaN where there is none.
    pub spike_us: Vec<f64>,
}

impl Threshold {
    /// Measures with the parameter codes of `base`. `None` on a chip without converter.
    ///
    /// # Errors
    /// Failures of the chip.
    pub fn measure(
        bench: &mut Bench,
        base: &ChipConfig,
        converter: &Converter,
        effort: Effort,
    ) -> Result<Option<Self>, Error> {
        let caps = bench.capabilities().clone();
        let neurons = usize::from(caps.neurons);
        let tau = mean_design(&caps, base, Parameter::TauMem).unwrap_or(10.0);
        let Some(sampling) = Sampling::new(&caps, (tau / 6.0).max(0.1), LENGTH * tau) else {
            return Ok(None);
        };
        let mut config = base.clone();
        config.enabled.fill(true);
        config.weights.fill(0);
        let events = ramp(&caps, &mut config, LENGTH * tau);
        // One spike is enough: a long clamp keeps the way out free.
        if let Some(spec) = caps.parameter(Parameter::Refractory)
            && let Some(codes) = config.codes_mut(Parameter::Refractory)
        {
            codes.fill(spec.code_max);
        }
        let duration = sampling.duration();
        let mut template = config.clone();
        template.spiking.fill(false);
        sampling.apply(&mut template, false);
        let repeats = effort.of(TEMPLATE_REPEATS);
        let mut setups =
            vec![Setup { config: template.into(), events: events.clone(), duration, repeats }];
        let waves = waves(neurons);
        for wave in 0..waves {
            let mut config = config.clone();
            for (n, spiking) in config.spiking.iter_mut().enumerate() {
                *spiking = n % waves == wave;
            }
            config.recording = spikeloop_hal::Recording { spikes: true, ..Default::default() };
            let repeats = effort.of(SPIKING_REPEATS);
            setups.push(Setup { config: config.into(), events: events.clone(), duration, repeats });
        }
        let recorded = bench.round(&setups)?;
        let traces = Traces::new(&recorded[0], &caps, sampling, converter);
        Ok(Some(evaluate(&caps, &recorded[1..], traces, converter, tau)))
    }
}

/// Weights and events of the ramp: the `k`-th of `K` events at `T √(k/K)`, a rate that grows with time.
pub(crate) fn ramp(
    caps: &Capabilities,
    config: &mut ChipConfig,
    length_us: f64,
) -> Vec<SpikeEvent> {
    let inputs = usize::from(caps.inputs);
    let tau_mem = mean_design(caps, config, Parameter::TauMem).unwrap_or(10.0);
    let tau_syn = mean_design(caps, config, Parameter::TauSynExc).unwrap_or(5.0);
    let gain = mean_design(caps, config, Parameter::GainExc).unwrap_or(1.0);
    // At the end the rate is 2K/T, and the membrane stands at rate · code · gain · τ_s · τ_m.
    let wanted = HEIGHT_LSB * length_us / (2.0 * gain * tau_syn * tau_mem);
    // Several events from each row: the ripple of a train falls with the square of its rate.
    let most = (EVENTS_PER_ROW * inputs) as f64;
    let code = (wanted / most).ceil().clamp(1.0, f64::from(caps.weight_max));
    let count = (wanted / code).round().clamp(1.0, 60_000.0) as usize;
    for row in 0..inputs {
        config.row_mut(row).fill(code as i8);
    }
    let at = |k: usize| length_us * ((k as f64 + 0.5) / count as f64).sqrt();
    // Neighbouring events come from far rows, so that no stretch of the ramp rests on few synapses.
    let stride = (inputs * 5 / 8) | 1;
    (0..count).map(|k| SpikeEvent::new(caps.ticks(at(k)), (k * stride % inputs) as u16)).collect()
}

fn evaluate(
    caps: &Capabilities,
    waves: &[Recorded],
    traces: Traces,
    converter: &Converter,
    tau: f64,
) -> Threshold {
    let neurons = usize::from(caps.neurons);
    let mut first = vec![Vec::new(); neurons];
    let mut trials = vec![0; neurons];
    for (wave, recorded) in waves.iter().enumerate() {
        trials.iter_mut().skip(wave).step_by(waves.len()).for_each(|t| *t = recorded.trials);
        for trial in 0..recorded.trials {
            let mut seen = vec![false; neurons];
            for spike in recorded.spikes_of(trial) {
                let n = usize::from(spike.id);
                if !std::mem::replace(&mut seen[n], true) {
                    first[n].push(caps.microseconds(spike.tick));
                }
            }
        }
    }
    let found: Vec<(Estimate, f64, f64)> = (0..neurons)
        .into_par_iter()
        .map(|n| crossing(&traces, converter, n, &first[n], trials[n], tau))
        .collect();
    Threshold {
        threshold: found.iter().map(|f| f.0).collect(),
        noise: found.iter().map(|f| f.1).collect(),
        spike_us: found.iter().map(|f| f.2).collect(),
        traces,
    }
}

/// Threshold of one neuron, its noise, and the mean time of the spike.
fn crossing(
    traces: &Traces,
    converter: &Converter,
    n: usize,
    first: &[f64],
    trials: usize,
    tau: f64,
) -> (Estimate, f64, f64) {
    let none = |flag| (Estimate::missing(flag), f64::NAN, f64::NAN);
    // A neuron that fires in fewer trials would show only its lower thresholds.
    if first.len() < trials || first.len() < 2 {
        return none(if first.len() * 2 < trials { Flag::Silent } else { Flag::NoFit });
    }
    let middle = fit::median(first.iter().copied());
    if middle < 2.0 {
        return none(Flag::AlwaysFiring);
    }
    let skew = converter.skew_us[n];
    let half = SMOOTHING * tau;
    let (from, to) = (middle - half, middle + half);
    if traces.railed_share(n, from, to) > 0.0 {
        return none(Flag::Saturated);
    }
    // In half spans, so that the powers stay comparable. Of fourth order: the gains of the rows differ, and their
    // scatter bends the ramp within a time constant.
    let points: Vec<(f64, f64)> =
        traces.points(n, from, to).iter().map(|(t, v)| ((t - middle) / half, *v)).collect();
    let powers = |t: f64| [1.0, t, t * t, t.powi(3), t.powi(4)];
    let curve = |t: f64, x: &[f64; 5]| powers(t).iter().zip(x).map(|(p, c)| p * c).sum::<f64>();
    let Some(fit) = fit::fit(&points, [0.0; 5], |t, x| (curve(t, x), powers(t))) else {
        return none(Flag::NoFit);
    };
    let at = |t: f64| curve((t - middle) / half, &fit.x);
    // A sample that is labelled t was taken at t + skew.
    let values: Vec<f64> = first.iter().map(|t| at(t - skew.value)).collect();
    let Some((mean, error)) = fit::mean(&values) else { return none(Flag::NoFit) };
    // Few points: the noise of a sample is known better than from their scatter, unless the curve does not fit.
    let excess = fit.scatter / traces.error(n).max(1e-9);
    let smoothing = if excess > 1.6 { fit.sigma(0) } else { fit.sigma(0) / excess.max(1e-9) };
    let by_skew = fit.x[1] / half * skew.sigma;
    let total = error.hypot(smoothing).hypot(by_skew).hypot(converter.error_at(n, mean));
    let noise = error * (values.len() as f64).sqrt();
    (Estimate::good(mean, total), noise, middle)
}
