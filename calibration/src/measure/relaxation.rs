//! What a neuron does after a spike: reset potential, refractory time, τ_mem.
//!
//! With the fastest synapses a hard kick makes the neuron fire; no current is left when the clamp is released:
//!
//! ```text
//! V(t) = reset                                          t < t_release
//!      = rest + (reset − rest) e^{−(t − t_release)/τ_mem}   afterwards
//! ```
//!
//! The leak potential is raised for it, so that the way back is long. Neurons are kicked in waves, a few µs
//! apart: the way out of the chip would lose spikes of the whole array at once.

use crate::bench::{Bench, Recorded, Setup};
use crate::error::Error;
use crate::estimate::{Estimate, Flag};
use crate::fit;
use crate::measure::traces::{Sampling, Traces};
use crate::measure::{Converter, Effort, mean_design, set_all, shift, waves};
use rayon::prelude::*;
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, SpikeEvent};

/// Trials.
const REPEATS: usize = 64;
/// Time before the first kick, µs.
const BEFORE_US: f64 = 4.0;
/// Time between the kicks of two waves, µs.
const WAVE_US: f64 = 2.0;
/// How far the leak is raised, LSB.
const RAISE_LSB: f32 = 75.0;
/// How far the threshold is raised, LSB: high enough above the raised leak that nothing fires on its own.
const THRESHOLD_LSB: f32 = 95.0;
/// Height of a kick by design, LSB: enough for the weakest neuron.
const KICK_LSB: f64 = 1300.0;
/// Refractory time, µs: long enough to see the reset, and for the kick to be over.
const CLAMP_US: f32 = 10.0;

/// What was found, per neuron.
#[derive(Clone, Debug, Default)]
pub struct Relaxation {
    /// Membrane time constant, µs.
    pub tau_mem: Vec<Estimate>,
    /// Reset potential, LSB.
    pub reset: Vec<Estimate>,
    /// Refractory time at the codes of the base configuration, µs.
    pub refractory: Vec<Estimate>,
    /// The traces, for pictures.
    pub traces: Traces,
    /// Fitted `[rest, amplitude, tau_mem, release]` in LSB and µs, for pictures; NaN where there is none.
    pub fitted: Vec<[f64; 4]>,
}

/// The experiment.
struct Kick {
    waves: usize,
    at_us: Vec<f64>,
    events: Vec<SpikeEvent>,
    /// Refractory time in the experiment, µs by design.
    clamp_us: f64,
    /// Change of the refractory time by the longer clamp, µs by design.
    longer_us: Vec<f64>,
}

impl Relaxation {
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
        let tau = mean_design(&caps, base, Parameter::TauMem).unwrap_or(10.0);
        let mut config = base.clone();
        let kick = Kick::prepare(&caps, &mut config);
        let last = kick.at_us.iter().fold(0.0_f64, |m, t| m.max(*t));
        let length = last + kick.clamp_us + 7.0 * tau;
        let Some(sampling) = Sampling::new(&caps, (tau / 6.0).max(0.1), length) else {
            return Ok(None);
        };
        sampling.apply(&mut config, true);
        let setup = Setup {
            config: config.into(),
            events: kick.events.clone(),
            duration: sampling.duration(),
            repeats: effort.of(REPEATS),
        };
        let recorded = bench.round(std::slice::from_ref(&setup))?;
        let traces = Traces::new(&recorded[0], &caps, sampling, converter);
        Ok(Some(kick.evaluate(&caps, &recorded[0], traces, converter, tau)))
    }
}

impl Kick {
    fn prepare(caps: &Capabilities, config: &mut ChipConfig) -> Self {
        let (neurons, inputs) = (usize::from(caps.neurons), usize::from(caps.inputs));
        config.enabled.fill(true);
        config.spiking.fill(true);
        config.weights.fill(0);
        shift(caps, config, Parameter::LeakPotential, RAISE_LSB);
        shift(caps, config, Parameter::Threshold, THRESHOLD_LSB);
        for tau in [Parameter::TauSynExc, Parameter::TauSynInh] {
            set_all(caps, config, tau, 0.0);
            if let (Some(spec), Some(codes)) = (caps.parameter(tau), config.codes_mut(tau)) {
                let fastest = [spec.code_min, spec.code_max];
                let fastest =
                    fastest.into_iter().min_by(|a, b| spec.value(*a).total_cmp(&spec.value(*b)));
                codes.fill(fastest.unwrap_or(spec.code_default));
            }
        }
        let tau_syn = mean_design(caps, config, Parameter::TauSynExc).unwrap_or(1.0);
        let before = codes_as_values(caps, config, Parameter::Refractory);
        // Synapses that cannot be made fast need more time to fall silent.
        let clamp_us = CLAMP_US.max(6.0 * tau_syn as f32);
        let clamp_us = set_all(caps, config, Parameter::Refractory, clamp_us).unwrap_or(0.0);
        let clamp_us = f64::from(clamp_us);
        let after = codes_as_values(caps, config, Parameter::Refractory);
        let gain = mean_design(caps, config, Parameter::GainExc).unwrap_or(1.0);
        let waves = waves(neurons).min(inputs);
        let rows = inputs / waves;
        let one = f64::from(caps.weight_max) * gain * tau_syn;
        let pulses = (KICK_LSB / one).ceil().clamp(1.0, 4096.0) as usize;
        let used = pulses.min(rows);
        let (mut at_us, mut events) = (Vec::new(), Vec::new());
        for wave in 0..waves {
            let at = BEFORE_US + WAVE_US * wave as f64;
            at_us.push(at);
            for k in 0..pulses {
                // Rows that must give several pulses give them one tick after the other.
                let (row, round) = (wave * rows + k % used, (k / used) as u32);
                events.push(SpikeEvent::new(caps.ticks(at) + round, row as u16));
            }
            for row in wave * rows..wave * rows + used {
                let targets = config.row_mut(row).iter_mut().enumerate();
                for (_, code) in targets.filter(|(n, _)| n % waves == wave) {
                    *code = caps.weight_max;
                }
            }
        }
        events.sort_by_key(|e| e.tick);
        let longer_us = before.iter().zip(&after).map(|(b, a)| a - b).collect();
        Self { waves, at_us, events, clamp_us, longer_us }
    }

    fn evaluate(
        &self,
        caps: &Capabilities,
        recorded: &Recorded,
        traces: Traces,
        converter: &Converter,
        tau: f64,
    ) -> Relaxation {
        let neurons = usize::from(caps.neurons);
        let mut fired = vec![Vec::new(); neurons];
        for trial in 0..recorded.trials {
            let mut seen = vec![false; neurons];
            for spike in recorded.spikes_of(trial) {
                let n = usize::from(spike.id);
                if !seen[n] {
                    seen[n] = true;
                    fired[n].push(caps.microseconds(spike.tick));
                }
            }
        }
        let results: Vec<([Estimate; 3], [f64; 4])> = (0..neurons)
            .into_par_iter()
            .map(|n| {
                let missing = |flag| ([Estimate::missing(flag); 3], [f64::NAN; 4]);
                if fired[n].len() * 2 < recorded.trials {
                    return missing(Flag::Silent);
                }
                let spike = fit::median(fired[n].iter().copied());
                if spike < self.at_us[n % self.waves] {
                    return missing(Flag::AlwaysFiring);
                }
                self.one(&traces, converter, n, &fired[n], spike, tau)
            })
            .collect();
        let pick = |k: usize| results.iter().map(|r| r.0[k]).collect();
        Relaxation {
            tau_mem: pick(0),
            reset: pick(1),
            refractory: pick(2),
            fitted: results.iter().map(|r| r.1).collect(),
            traces,
        }
    }

    fn one(
        &self,
        traces: &Traces,
        converter: &Converter,
        n: usize,
        fired: &[f64],
        spike: f64,
        tau: f64,
    ) -> ([Estimate; 3], [f64; 4]) {
        let missing = |flag| ([Estimate::missing(flag); 3], [f64::NAN; 4]);
        let end = traces.times_us.last().copied().unwrap_or(0.0) + 1.0;
        if traces.railed_share(n, spike + 0.3, end) > 0.2 {
            return missing(Flag::Saturated);
        }
        let points = traces.points(n, spike + 0.3, end);
        let held = fit::median(points.iter().take(3).map(|p| p.1));
        let rest = fit::median(points.iter().rev().take(8).map(|p| p.1));
        // Released where the membrane has first gone a tenth of its way.
        let released = points
            .iter()
            .find(|p| (p.1 - held) / (rest - held) > 0.15)
            .map_or(spike + self.clamp_us, |p| p.0 - 0.16 * tau);
        let Some(fit) = fit::fit(&points, [rest, held - rest, tau, released], relaxing) else {
            return missing(Flag::NoFit);
        };
        let [rest, amplitude, tau_mem, release] = fit.x;
        if tau_mem <= 0.0 || amplitude.abs() < 8.0 * fit.sigma(1) {
            return missing(Flag::Unresponsive);
        }
        let c = &fit.covariance;
        let reset_error = (c[0][0] + c[1][1] + 2.0 * c[0][1]).max(0.0).sqrt();
        let reset = rest + amplitude;
        let (at, at_error) = fit::mean(fired).unwrap_or((spike, 0.0));
        let skew = converter.skew_us[n];
        let clamp = release + skew.value - at - self.longer_us[n];
        let clamp_error = fit.sigma(3).hypot(at_error).hypot(skew.sigma);
        let values = [
            Estimate::good(tau_mem, fit.sigma(2)),
            Estimate::good(reset, reset_error.hypot(converter.error_at(n, reset))),
            Estimate::good(clamp, clamp_error),
        ];
        (values, fit.x)
    }
}

fn codes_as_values(caps: &Capabilities, config: &ChipConfig, parameter: Parameter) -> Vec<f64> {
    match (caps.parameter(parameter), config.codes(parameter)) {
        (Some(spec), Some(codes)) => codes.iter().map(|c| f64::from(spec.value(*c))).collect(),
        _ => vec![0.0; config.neurons()],
    }
}

/// Held, then on the way back: value and gradient for `[rest, amplitude, tau, release]`.
#[must_use]
pub fn relaxing(t: f64, x: &[f64; 4]) -> (f64, [f64; 4]) {
    let [rest, amplitude, tau, release] = *x;
    let since = t - release;
    if since <= 0.0 {
        return (rest + amplitude, [1.0, 1.0, 0.0, 0.0]);
    }
    let e = (-since / tau).exp();
    let slope = amplitude * e / tau;
    (rest + amplitude * e, [1.0, e, slope * since / tau, slope])
}
