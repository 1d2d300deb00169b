//! A chip that runs the forward passes: first spikes are measured, derivatives are taken at them.
//!
//! ```text
//! times of inputs and pulses ─ticks─► input lines ─► hidden ─► outputs ─first spikes─► Measured
//! ```
//!
//! Every layer is a layer of spiking neurons; synchronisation pulses are input lines of their own. Time
//! constants, weight scale and thresholds are those of the ordinary translation, for current-based neurons
//! with τ_mem = τ_syn or τ_mem = 2 τ_syn. A neuron that fires again says nothing: only its first spike
//! counts, and the refractory time is set as long as the trial, or as long as the chip can.

use crate::calibration_choice::Device;
use crate::chip_loop::{ChipLoop, LoopCounters, LoopError, Needs};
use crate::lesson::{Figures, LessonError, State};
use serde::{Deserialize, Serialize};
use spikeloop_calibration::{Baseline, Codes, Grid, LayerTarget, Site};
use spikeloop_calibration::{SpikeTiming, Spread, TranslationOptions};
use spikeloop_hal::{Parameter, SpikeEvent, Stimulus, Tick};
use spikeloop_models::encode::SpikeTimes;
use spikeloop_models::method::first_spike::{FirstSpikeNetwork, Kernel, Measured, NetworkConfig};

/// The section `[chip]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChipConfig {
    /// Microseconds of the chip in one unit of the model's time.
    pub(super) unit_us: f64,
    /// Length of a trial, in the model's time. Later spikes are not seen.
    pub(super) duration: f64,
    /// From the spike of a neuron to its arrival at another, in µs: no chip announces it.
    pub(super) delay_us: f64,
    /// Least slope at a measured spike, in thresholds per time constant, that derivatives divide by.
    pub(super) least_slope: f64,
    /// Layout over the array.
    pub(super) spread: Spread,
    /// Whether a calibration sets the chip, or only leaves out what cannot be used.
    pub(super) codes: Codes,
}

impl Default for ChipConfig {
    fn default() -> Self {
        Self {
            unit_us: 1.0,
            duration: 40.0,
            delay_us: 0.0,
            // A guess. A neuron that one strong input drives has a slope of about 1.
            least_slope: 0.1,
            spread: Spread::default(),
            codes: Codes::default(),
        }
    }
}

impl ChipConfig {
    /// Refuses numbers that make no sense.
    pub(super) fn check(&self) -> Result<(), LessonError> {
        let refuse =
            |key, got: f64, must| Err(LessonError::Value { key, got: got.to_string(), must });
        for (key, got) in [("chip.unit_us", self.unit_us), ("chip.duration", self.duration)] {
            if !(got.is_finite() && got > 0.0) {
                return refuse(key, got, "positive");
            }
        }
        for (key, got) in [("chip.delay_us", self.delay_us), ("chip.least_slope", self.least_slope)]
        {
            if !(got.is_finite() && got >= 0.0) {
                return refuse(key, got, "0 or positive");
            }
        }
        Ok(())
    }
}

/// A chip with the network on it.
pub(super) struct Board {
    chip: ChipLoop,
    identity: String,
    /// Ticks in a unit of the model's time.
    unit_ticks: f64,
    duration: Tick,
    /// Layer and unit that a neuron of the chip plays.
    players: Vec<Option<(u16, u16)>>,
    measured: Measured,
    /// Number of the next trial: it selects the noise of an emulated chip.
    trial: u64,
    /// Weights of the last network that codes cannot express.
    clipped: u64,
    /// Spikes after the first one of a neuron, and trials, since the last figures.
    second: u64,
    trials: u64,
    /// Counters at the last figures.
    mark: LoopCounters,
}

impl Board {
    /// Places `network` on the chip. `latest` is the last input spike of any sample.
    pub(super) fn new(
        device: Device,
        config: ChipConfig,
        network: &FirstSpikeNetwork,
        latest: f64,
    ) -> Result<Self, LessonError> {
        config.check()?;
        if latest >= config.duration {
            let must = "longer than the last input spike";
            let got = format!("{} for input spikes until {latest}", config.duration);
            return Err(LessonError::Value { key: "chip.duration", got, must });
        }
        let caps = device.chip.capabilities();
        let identity = caps.identity.to_string();
        let tick_us = f64::from(caps.tick_ns) / 1000.0;
        let unit_ticks = config.unit_us / tick_us;
        let duration = (config.duration * unit_ticks).round().clamp(1.0, f64::from(Tick::MAX));
        let neurons = usize::from(caps.neurons);
        let needs = Needs {
            // Spikes keep their ticks: the grid is the chip's own.
            grid: Grid { dt_us: tick_us as f32, steps: duration as usize },
            inputs: network.inputs() + network.config().pulses * network.depth(),
            layers: targets(network, config.unit_us),
            options: TranslationOptions {
                spread: config.spread,
                membranes: false,
                baseline: Baseline::default(),
                timing: SpikeTiming::NewCurrent,
                window: None,
            },
            codes: config.codes,
        };
        let calibration = device.calibration.as_ref().map(|chosen| &chosen.calibration);
        let mut chip = ChipLoop::placed(device.chip, &needs, calibration)?;
        chip.set(Parameter::Refractory, (duration * tick_us) as f32);
        let mut players = vec![None; neurons];
        for layer in 0..network.depth() {
            for (unit, id) in chip.translation().placement().layer(layer).iter().enumerate() {
                players[usize::from(*id)] = Some((layer as u16, unit as u16));
            }
        }
        let delay = config.delay_us / config.unit_us;
        Ok(Self {
            chip,
            identity,
            unit_ticks,
            duration: duration as Tick,
            players,
            measured: Measured { delay, least_slope: config.least_slope, ..Measured::default() },
            trial: 0,
            clipped: 0,
            second: 0,
            trials: 0,
            mark: LoopCounters::default(),
        })
    }

    /// The largest weight of `layer` that a code expresses.
    pub(super) fn limit(&self, layer: usize) -> Option<f64> {
        self.chip.translation().weight_limit(layer).map(f64::from)
    }

    /// Writes the weights of `network`, runs these samples, and returns their first spikes.
    pub(super) fn measure(
        &mut self,
        network: &FirstSpikeNetwork,
        inputs: &SpikeTimes,
        samples: &[u32],
    ) -> Result<&Measured, LoopError> {
        self.write(network)?;
        let depth = network.depth();
        let pulses: Vec<SpikeEvent> = (0..depth)
            .flat_map(|layer| network.pulses(layer))
            .enumerate()
            .filter_map(|(k, t)| self.event(*t, network.inputs() + k))
            .collect();
        let Self { chip, measured, players, second, .. } = self;
        measured.times.resize_with(depth, Vec::new);
        let sizes: Vec<usize> = (0..depth).map(|layer| network.weights(layer).ncols()).collect();
        for (times, units) in measured.times.iter_mut().zip(&sizes) {
            times.clear();
            times.resize(samples.len() * units, f64::INFINITY);
        }
        let (unit_ticks, duration, first_trial) = (self.unit_ticks, self.duration, self.trial);
        let most = samples.iter().map(|k| inputs.sample(*k as usize).0.len()).max().unwrap_or(0);
        chip.exchange(
            (samples.len(), most + pulses.len()),
            |_, range, stimuli| {
                stimuli.resize_with(range.len(), Stimulus::default);
                for (stimulus, k) in stimuli.iter_mut().zip(range) {
                    let (times, ids) = inputs.sample(samples[k] as usize);
                    stimulus.trial = first_trial + k as u64;
                    stimulus.duration = duration;
                    stimulus.events.clear();
                    let spikes = times.iter().zip(ids).filter_map(|(t, id)| {
                        event(f64::from(*t), usize::from(*id), unit_ticks, duration)
                    });
                    stimulus.events.extend(spikes.chain(pulses.iter().copied()));
                    stimulus.events.sort_unstable();
                }
            },
            |_, range, observables| {
                for (k, sample) in range.enumerate() {
                    let spikes = observables.spikes_of(k).iter();
                    for spike in spikes {
                        let Some((layer, unit)) = players[usize::from(spike.id)] else { continue };
                        let (layer, unit) = (usize::from(layer), usize::from(unit));
                        let t = &mut measured.times[layer][sample * sizes[layer] + unit];
                        if t.is_finite() {
                            *second += 1;
                        } else {
                            *t = f64::from(spike.tick) / unit_ticks;
                        }
                    }
                }
                Ok::<(), LoopError>(())
            },
        )?;
        self.trial += samples.len() as u64;
        self.trials += samples.len() as u64;
        Ok(&self.measured)
    }

    fn event(&self, time: f64, line: usize) -> Option<SpikeEvent> {
        event(time, line, self.unit_ticks, self.duration)
    }

    fn write(&mut self, network: &FirstSpikeNetwork) -> Result<(), LoopError> {
        let before = self.chip.counters().clipped_weights;
        let pulses = network.config().pulses;
        for layer in 0..network.depth() {
            let weights = network.weights(layer);
            let flat: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
            if layer == 0 {
                // Its pulses are the lines after the inputs.
                self.chip.write_lines(0, 0, &flat)?;
                continue;
            }
            let (neurons, lines) = flat.split_at((weights.nrows() - pulses) * weights.ncols());
            self.chip.write_layer(layer, neurons, None)?;
            self.chip.write_lines(layer, network.inputs() + pulses * layer, lines)?;
        }
        self.clipped = self.chip.counters().clipped_weights - before;
        self.chip.send()
    }

    /// What must not be silent, since the last call.
    pub(super) fn figures(&mut self) -> Figures {
        let now = self.chip.counters();
        let trials = self.trials.max(1) as f64;
        let figures = vec![
            ("clipped_weights", self.clipped as f64),
            ("second_spikes", self.second as f64 / trials),
            ("dropped_events", (now.dropped_events - self.mark.dropped_events) as f64),
            ("repeated_trials", (now.retries - self.mark.retries) as f64),
        ];
        (self.mark, self.second, self.trials) = (now, 0, 0);
        figures
    }

    /// Which chip it is, and how far the numbers of trials are.
    pub(super) fn save(&self, state: &mut State) {
        state.put_text("chip.identity", &self.identity);
        state.put_text("chip.trial", self.trial);
    }

    /// Goes on on the same chip.
    pub(super) fn restore(&mut self, state: &State) -> Result<(), LessonError> {
        let learned: String = state.text("chip.identity")?;
        if learned != self.identity {
            let problem =
                format!("is {learned}, this is {}: weights belong to their chip", self.identity);
            return Err(LessonError::State { name: "chip.identity".into(), problem });
        }
        self.trial = state.text("chip.trial")?;
        Ok(())
    }
}

/// A spike of an input line at `time`; nothing after the end of the trial.
fn event(time: f64, line: usize, unit_ticks: f64, duration: Tick) -> Option<SpikeEvent> {
    let tick = (time * unit_ticks).round();
    (tick < f64::from(duration)).then(|| SpikeEvent::new(tick as Tick, line as u16))
}

/// What the layers need of the chip: a weight lets the membrane of the model rise to `peak κ/θ`.
fn targets(network: &FirstSpikeNetwork, unit_us: f64) -> Vec<LayerTarget> {
    let NetworkConfig { kernel, threshold, .. } = network.config();
    let tau = kernel.time_constant();
    // Where the response to one spike is highest: τ, or 2 τ_syn ln 2.
    let (tau_mem, peak) = match kernel {
        Kernel::LifDouble { .. } => (2.0 * tau, 2.0 * tau * std::f64::consts::LN_2),
        Kernel::Alpha { .. } | Kernel::LifEqual { .. } => (tau, tau),
    };
    let target = |units| LayerTarget {
        units,
        tau_mem_us: tau_mem * unit_us,
        tau_syn_us: tau * unit_us,
        spiking: true,
        recurrent: false,
        psp_peak: kernel.potential(peak) / threshold,
        site: Site::Chip,
    };
    (0..network.depth()).map(|layer| target(network.weights(layer).ncols())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
