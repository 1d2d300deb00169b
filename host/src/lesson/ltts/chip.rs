//! A chip that runs the network, forced to the target spikes while it learns, free while it is tested.
//!
//! | model | chip |
//! |---|---|
//! | a bin | `chip.dt_us`; a spike between two samples of the membrane belongs to the second of them |
//! | input | lines that spike while it is there, through the synapses: an experiment with a section `[chip]` has its inputs filtered in software as well. A channel has a line for each of its levels, several if a weight is beyond one |
//! | teacher forcing | line j spikes when neuron j should have been heard, with the weights of neuron j; nothing travels between the neurons |
//! | free run | the weights are those of the neurons, the lines of the target are silent |
//! | v, threshold 0 | `h (1 − V)`, with V in thresholds above the chip's own rest |
//! | s_inh | the chip's own reset, which leaves nothing of the membrane; refractory for a bin if the chip can |
//!
//! A target spike is heard `chip.delay_us` after the neuron itself last fired in that bin, forced or free, or
//! would have in the middle of it. So what the neurons hear while they learn is what they will hear.
//!
//! Lines have synapses of their own: where those of a chip differ from each other the forced neurons do not quite
//! hear what the free ones will, and nothing that is learned makes up for it.
//!
//! Every neuron's rest is the mean of its first samples in all forced trials so far.

mod device;

use crate::calibration_choice::Device;
use crate::chip_loop::{ChipLoop, LoopCounters, LoopError, Needs};
use crate::lesson::{Figures, LessonError, State};
use serde::{Deserialize, Serialize};
use spikeloop_calibration::{Baseline, Codes, Grid, LayerTarget, Site, psp_peak_us};
use spikeloop_calibration::{SpikeTiming, Spread, Translation, TranslationOptions};
use spikeloop_hal::{Capabilities, Observables, Parameter, SpikeEvent, Stimulus, Tick};
use spikeloop_models::SpikeTrains;
use spikeloop_models::method::ltts::{
    Ltts, LttsLearning, LttsNetwork, Measured, Mode, Reset, Series, Synapse, requirements,
};

use super::task::{Input, Patterns};

/// The section `[chip]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChipConfig {
    /// Microseconds of a bin.
    pub(super) dt_us: f64,
    /// From the spike of a neuron to its arrival at another, in µs: no chip announces it.
    pub(super) delay_us: f64,
    /// Weight of the network that the largest code stands for: sets the strength of the synapses.
    pub(super) weight_limit: f64,
    /// Free runs in each test; figures are means over them.
    pub(super) runs: usize,
    /// Folder of an earlier run of the same experiment, in software or on any chip, whose best weights are
    /// the first ones here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weights: Option<String>,
    /// Layout over the array.
    pub(super) spread: Spread,
    /// Whether a calibration sets the chip, or only leaves out what cannot be used.
    pub(super) codes: Codes,
}

impl Default for ChipConfig {
    fn default() -> Self {
        Self {
            dt_us: 0.1,
            delay_us: 0.1,
            weight_limit: 4.0,
            runs: 1,
            weights: None,
            spread: Spread::default(),
            codes: Codes::default(),
        }
    }
}

impl ChipConfig {
    /// Refuses numbers that make no sense.
    pub(super) fn check(&self) -> Result<(), LessonError> {
        let refuse = |key, got: String, must| Err(LessonError::Value { key, got, must });
        for (key, got) in [("chip.dt_us", self.dt_us), ("chip.weight_limit", self.weight_limit)] {
            if !(got.is_finite() && got > 0.0) {
                return refuse(key, got.to_string(), "positive");
            }
        }
        if !(self.delay_us.is_finite() && self.delay_us >= 0.0) {
            return refuse("chip.delay_us", self.delay_us.to_string(), "0 or positive");
        }
        match self.runs {
            1..=1000 => Ok(()),
            runs => refuse("chip.runs", runs.to_string(), "1 to 1000"),
        }
    }
}

fn unfit(problem: impl Into<String>, remedy: &'static str) -> LessonError {
    LessonError::Unfit { method: "ltts", problem: problem.into(), remedy }
}

/// Refuses what no chip does.
fn check_rule(network: &LttsNetwork, learning: &LttsLearning) -> Result<(), LessonError> {
    let refuse = |key, got: String, must| Err(LessonError::Value { key, got, must });
    if network.synapse != Synapse::Current {
        let must = "\"current\" on a chip: its weights are signed and drive currents";
        return refuse("network.synapse", "conductance".into(), must);
    }
    if learning.mode != Mode::Offline {
        let must = "\"offline\" on a chip: weights change between runs, not within them";
        return refuse("learning.mode", "online".into(), must);
    }
    if network.h >= 0.0 {
        let must = "negative on a chip: it is where membranes rest, below their threshold at 0";
        return refuse("network.h", network.h.to_string(), must);
    }
    match network.v0 == network.h {
        true => Ok(()),
        false => refuse(
            "network.v0",
            network.v0.to_string(),
            "network.h on a chip: every run begins at rest",
        ),
    }
}

/// Spikes of the input of a pattern, and the weights behind the lines.
struct Lines {
    /// `[line, neuron]`.
    weights: Vec<f32>,
    /// `[pattern]`: bin and line, ascending.
    spikes: Vec<Vec<(usize, u16)>>,
}

impl Lines {
    /// A line for each step between two levels of a channel, as often as it takes to stay within `limit`.
    fn new(input: &Input, limit: f64) -> Result<Self, LessonError> {
        let mut lines = Self { weights: Vec::new(), spikes: vec![Vec::new(); input.signals.len()] };
        let mut line = 0_u16;
        for (channel, projection) in input.projection.outer_iter().enumerate() {
            let values = input.signals.iter().flat_map(|s| s.column(channel).to_vec());
            let mut levels: Vec<f64> = values.filter(|x| *x != 0.0).collect();
            levels.sort_unstable_by(f64::total_cmp);
            levels.dedup();
            if levels.first().is_some_and(|x| *x < 0.0) || levels.len() > 8 {
                return Err(unfit(
                    format!("channel {channel} of the input is negative or has more than 8 levels"),
                    "lines of a chip spike or are silent: choose another task, or add --software",
                ));
            }
            let largest = projection.iter().fold(0.0_f64, |m, w| m.max(w.abs()));
            let mut below = 0.0;
            for level in levels {
                let step = level - below;
                let copies = (step * largest / limit).ceil().max(1.0);
                for _ in 0..copies as usize {
                    lines.weights.extend(projection.iter().map(|w| (w * step / copies) as f32));
                    for (spikes, signal) in lines.spikes.iter_mut().zip(&input.signals) {
                        let on = signal.column(channel).into_iter().enumerate();
                        let on = on.filter(|(_, x)| **x >= level);
                        spikes.extend(on.map(|(bin, _)| (bin, line)));
                    }
                    line += 1;
                }
                below = level;
            }
        }
        lines.spikes.iter_mut().for_each(|spikes| spikes.sort_unstable());
        Ok(lines)
    }
}

/// A target spike, as the chip is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Teaching {
    /// State of the model that it belongs to.
    bin: u16,
    neuron: u16,
    /// Tick at which the others hear it.
    tick: Tick,
}

/// A chip with the network on it.
pub(super) struct Board {
    chip: ChipLoop,
    identity: String,
    neurons: usize,
    bins: usize,
    /// Ticks of a bin, and of the way from neuron to neuron.
    step: Tick,
    delay: Tick,
    runs: usize,
    /// −h: from rest to threshold.
    depth: f32,
    /// Whether the rule wants membranes.
    membranes: bool,
    lines: Lines,
    /// Of each pattern that is learned.
    teaching: Vec<Vec<Teaching>>,
    /// Unit that a neuron of the chip plays.
    players: Vec<Option<u16>>,
    /// Sum of the first samples of each neuron, and trials in it.
    rest: (Vec<f64>, f64),
    rails: (u16, u16),
    /// Number of the next trial: it selects the noise of an emulated chip.
    trial: u64,
    /// Weights of the last network that codes cannot express.
    clipped: u64,
    saturated: u64,
    /// Second spikes of a neuron in a bin.
    second: u64,
    /// Counters at the last figures.
    mark: LoopCounters,
}

impl Board {
    /// Places the network on the chip.
    ///
    /// # Errors
    /// [`LessonError::Unfit`] and [`LessonError::Value`] with what is missing or wrong.
    pub(super) fn new(
        device: Device,
        config: &ChipConfig,
        (network, learning): (&LttsNetwork, &LttsLearning),
        patterns: &Patterns,
    ) -> Result<Self, LessonError> {
        check_rule(network, learning)?;
        let caps = device.chip.capabilities().clone();
        let bins = patterns.all.first().map_or(0, |pattern| pattern.drive().steps());
        let lines = Lines::new(&patterns.input, config.weight_limit)?;
        let neurons = network.neurons;
        let count = neurons + lines.weights.len() / neurons;
        let wants = !learning.spike_dependent();
        check_fit(&caps, (neurons, count), config, wants)?;
        requirements(learning.delta_v).check(true, caps.adc.is_some(), false)?;
        let mut needs = needs(&caps, config, network, (bins, count), wants)?;
        let scale = set_scale(&caps, &mut needs, config.weight_limit)?;
        let identity = caps.identity.to_string();
        let calibration = device.calibration.as_ref().map(|chosen| &chosen.calibration);
        let mut chip = ChipLoop::placed(device.chip, &needs, calibration)?;
        for parameter in [Parameter::GainExc, Parameter::GainInh] {
            chip.adjust(parameter, |_, code| f64::from(code) * scale);
        }
        chip.set(Parameter::Refractory, config.dt_us as f32);
        let mut players = vec![None; usize::from(caps.neurons)];
        for (unit, id) in chip.translation().placement().layer(0).iter().enumerate() {
            players[usize::from(*id)] = Some(unit as u16);
        }
        let step = chip.translation().step_ticks();
        let delay = (config.delay_us * 1000.0 / f64::from(caps.tick_ns)).round() as Tick;
        let middle = |bin: usize| (bin as Tick - 1) * step + (step - 1) / 2 + delay;
        let learned = patterns.all[..patterns.learned].iter();
        let teaching = learned.map(|pattern| {
            let spikes = (1..bins).flat_map(|bin| {
                let target = pattern.target().at(0, bin).iter();
                target.map(move |id| Teaching { bin: bin as u16, neuron: *id, tick: middle(bin) })
            });
            spikes.collect()
        });
        Ok(Self {
            teaching: teaching.collect(),
            chip,
            identity,
            neurons,
            bins,
            step,
            delay,
            runs: config.runs,
            depth: -network.h as f32,
            membranes: wants,
            lines,
            players,
            rest: (vec![0.0; neurons], 0.0),
            rails: (0, caps.adc.map_or(u16::MAX, |adc| ((1_u32 << adc.bits) - 1) as u16)),
            trial: 0,
            clipped: 0,
            saturated: 0,
            second: 0,
            mark: LoopCounters::default(),
        })
    }

    /// The largest weight that a code expresses.
    pub(super) fn limit(&self) -> f32 {
        self.chip.translation().weight_limit(0).unwrap_or(f32::MAX)
    }

    /// Writes the weights of `ltts`: to the lines of the target, and to the neurons if they are `free`.
    fn write(&mut self, ltts: &Ltts<f32>, free: bool) -> Result<(), LoopError> {
        let n = self.neurons;
        let weights = ltts.recurrent().weights(0).unwrap_or_default();
        let weights: Vec<f32> = weights.iter().copied().collect();
        let nothing = vec![0.0; n * n];
        let all = [&weights[..], &self.lines.weights].concat();
        let before = self.chip.counters().clipped_weights;
        self.chip.write_layer(0, &all, Some(if free { &weights } else { &nothing }))?;
        self.clipped = self.chip.counters().clipped_weights - before;
        self.chip.send()
    }

    /// Runs every pattern that is learned with the target spikes as input.
    ///
    /// # Errors
    /// Failures of the chip.
    pub(super) fn force(&mut self, ltts: &Ltts<f32>) -> Result<Vec<Measured<f32>>, LessonError> {
        self.write(ltts, false)?;
        (0..self.teaching.len()).map(|pattern| self.force_one(pattern)).collect()
    }

    /// Runs a pattern with the target spikes as input and the weights that the chip has.
    fn force_one(&mut self, pattern: usize) -> Result<Measured<f32>, LessonError> {
        let spikes = self.teaching[pattern].iter();
        let events = spikes.map(|spike| SpikeEvent::new(spike.tick, spike.neuron));
        let stimulus = self.stimulus(pattern, events);
        let lsb = self.chip.translation().lsb_per_unit(0).to_vec();
        let (mut spikes, mut membranes) = (SpikeTrains::default(), None);
        self.exchange(&[stimulus], |parts, observables, _| {
            spikes = parts.fired(observables.spikes_of(0), pattern);
            membranes = parts.membranes.then(|| parts.take_membranes(&observables.samples, &lsb));
        })?;
        Ok(Measured { spikes, membranes, reset: Reset::To(-self.depth) })
    }

    /// Spikes of free runs of `patterns`: all runs of the first one, then of the next.
    ///
    /// # Errors
    /// Failures of the chip.
    pub(super) fn free(
        &mut self,
        ltts: &Ltts<f32>,
        patterns: std::ops::Range<usize>,
    ) -> Result<Vec<SpikeTrains>, LessonError> {
        self.write(ltts, true)?;
        let trials: Vec<usize> = patterns.flat_map(|k| std::iter::repeat_n(k, self.runs)).collect();
        let stimuli: Vec<Stimulus> =
            trials.iter().map(|k| self.stimulus(*k, std::iter::empty())).collect();
        let (mut all, mut trials) = (Vec::new(), trials.into_iter());
        self.exchange(&stimuli, |parts, observables, count| {
            for (k, pattern) in trials.by_ref().take(count).enumerate() {
                all.push(parts.fired(observables.spikes_of(k), pattern));
            }
        })?;
        Ok(all)
    }

    /// Free runs of a pattern in a test.
    pub(super) fn runs(&self) -> usize {
        self.runs
    }

    /// One trial of `pattern`, with `events` besides its input.
    fn stimulus(&self, pattern: usize, events: impl Iterator<Item = SpikeEvent>) -> Stimulus {
        let duration = self.step * self.bins as Tick;
        let first = self.neurons as u16;
        let spikes = self.lines.spikes[pattern].iter();
        let input =
            spikes.map(|(bin, line)| SpikeEvent::new(*bin as Tick * self.step, first + line));
        let mut events: Vec<SpikeEvent> =
            events.chain(input).filter(|event| event.tick < duration).collect();
        events.sort_unstable();
        Stimulus { trial: 0, duration, events }
    }

    /// Runs trials and hands over what came back, in order.
    fn exchange(
        &mut self,
        all: &[Stimulus],
        mut each: impl FnMut(&mut Parts<'_>, &Observables, usize),
    ) -> Result<(), LessonError> {
        let most = all.iter().map(|stimulus| stimulus.events.len()).max().unwrap_or(0);
        let first = self.trial;
        let Self { chip, .. } = self;
        let mut parts = Parts {
            neurons: self.neurons,
            bins: self.bins,
            step: self.step,
            delay: self.delay,
            depth: self.depth,
            membranes: self.membranes,
            rails: self.rails,
            players: &self.players,
            teaching: &mut self.teaching,
            rest: &mut self.rest,
            saturated: &mut self.saturated,
            second: &mut self.second,
        };
        chip.exchange(
            (all.len(), most),
            |_, range, stimuli| {
                stimuli.clear();
                stimuli
                    .extend(range.map(|k| Stimulus { trial: first + k as u64, ..all[k].clone() }));
            },
            |_, range, observables| {
                each(&mut parts, observables, range.len());
                Ok::<(), LoopError>(())
            },
        )?;
        self.trial += all.len() as u64;
        Ok(())
    }

    /// What must not be silent, since the last call.
    pub(super) fn figures(&mut self) -> Figures {
        let now = self.chip.counters();
        let figures = vec![
            ("clipped_weights", self.clipped as f64),
            ("saturated_samples", self.saturated as f64),
            ("second_spikes", self.second as f64),
            ("dropped_events", (now.dropped_events - self.mark.dropped_events) as f64),
            ("repeated_trials", (now.retries - self.mark.retries) as f64),
        ];
        (self.mark, self.saturated, self.second) = (now, 0, 0);
        figures
    }

    /// Which chip it is, how far the numbers of trials are, and what was measured of it.
    pub(super) fn save(&self, state: &mut State) {
        state.put_text("chip.identity", &self.identity);
        state.put_text("chip.trial", self.trial);
        state.put("chip.rest", &[self.neurons], self.rest.0.iter().copied());
        state.put_text("chip.rest.trials", self.rest.1);
        for (k, spikes) in self.teaching.iter().enumerate() {
            let ticks = spikes.iter().map(|spike| f64::from(spike.tick));
            state.put(&format!("chip.ticks.{k}"), &[spikes.len()], ticks);
        }
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
        self.rest = (state.array("chip.rest", &[self.neurons])?, state.text("chip.rest.trials")?);
        for (k, spikes) in self.teaching.iter_mut().enumerate() {
            let ticks: Vec<f64> = state.array(&format!("chip.ticks.{k}"), &[spikes.len()])?;
            spikes.iter_mut().zip(ticks).for_each(|(spike, tick)| spike.tick = tick as Tick);
        }
        Ok(())
    }
}

/// What a board needs to read what came back, while its chip is busy.
struct Parts<'a> {
    neurons: usize,
    bins: usize,
    step: Tick,
    delay: Tick,
    depth: f32,
    membranes: bool,
    rails: (u16, u16),
    players: &'a [Option<u16>],
    teaching: &'a mut [Vec<Teaching>],
    rest: &'a mut (Vec<f64>, f64),
    saturated: &'a mut u64,
    second: &'a mut u64,
}

impl Parts<'_> {
    /// Spikes on the grid of the model, and the ticks of the target spikes that came, for the next time.
    fn fired(&mut self, spikes: &[SpikeEvent], pattern: usize) -> SpikeTrains {
        let mut trains = SpikeTrains::new(self.bins, self.neurons);
        let mut heard = Vec::new();
        self.bin(spikes, &mut trains, |bin, neuron, tick| heard.push((bin, neuron, tick)));
        heard.sort_unstable();
        for spike in self.teaching.get_mut(pattern).into_iter().flatten() {
            let key = (usize::from(spike.bin), spike.neuron);
            if let Ok(k) = heard.binary_search_by_key(&key, |(bin, id, _)| (*bin, *id)) {
                spike.tick = heard[k].2 + self.delay;
            }
        }
        trains
    }

    /// Puts spikes, which are in order of time, into bins, ascending in each; tells `each` their ticks.
    fn bin(
        &mut self,
        spikes: &[SpikeEvent],
        trains: &mut SpikeTrains,
        mut each: impl FnMut(usize, u16, Tick),
    ) {
        let mut spikes = spikes.iter().peekable();
        let mut ids: Vec<u16> = Vec::new();
        trains.end_step();
        for bin in 1..self.bins {
            ids.clear();
            while let Some(event) = spikes.next_if(|event| event.tick < bin as Tick * self.step) {
                let Some(id) = self.players[usize::from(event.id)] else { continue };
                match ids.contains(&id) {
                    true => *self.second += 1,
                    false => {
                        ids.push(id);
                        each(bin, id, event.tick);
                    }
                }
            }
            ids.sort_unstable();
            ids.iter().for_each(|id| trains.push(*id));
            trains.end_step();
        }
    }

    /// Membranes `[bin, neuron]` of one trial in units of the model.
    fn take_membranes(&mut self, samples: &[u16], lsb: &[f32]) -> Series<f32> {
        let (sums, trials) = &mut *self.rest;
        for (sum, s) in sums.iter_mut().zip(samples) {
            *sum += f64::from(*s);
        }
        *trials += 1.0;
        let rest: Vec<f32> = sums.iter().map(|sum| (*sum / *trials) as f32).collect();
        let mut membranes = Series::zeros(self.bins, self.neurons);
        for (bin, samples) in samples.chunks_exact(self.neurons).enumerate() {
            let row = membranes.row_mut(bin).iter_mut();
            for (((v, s), rest), lsb) in row.zip(samples).zip(&rest).zip(lsb) {
                *self.saturated += u64::from(*s <= self.rails.0 || *s >= self.rails.1);
                *v = self.depth * ((f32::from(*s) - rest) / lsb - 1.0);
            }
        }
        membranes
    }
}

/// Refuses a chip that lacks something.
fn check_fit(
    caps: &Capabilities,
    (neurons, lines): (usize, usize),
    config: &ChipConfig,
    membranes: bool,
) -> Result<(), LessonError> {
    if !caps.recurrent {
        let remedy = "choose a recurrent one such as loihi-like or bss2-cal, or add --software";
        return Err(unfit("its neurons cannot drive neurons", remedy));
    }
    if neurons > usize::from(caps.neurons) || lines > usize::from(caps.inputs) {
        let problem = format!(
            "forcing {neurons} neurons takes {neurons} lines and {} of the input, the chip has {} neurons and {} lines",
            lines - neurons,
            caps.neurons,
            caps.inputs
        );
        let remedy = "make network.neurons smaller, or choose a larger chip";
        return Err(unfit(problem, remedy));
    }
    let Some(adc) = caps.adc.filter(|_| membranes) else {
        if membranes {
            let remedy =
                "set learning.delta_v=0 (the rule for spikes alone), or choose another chip";
            return Err(unfit("it records no membranes", remedy));
        }
        return Ok(());
    };
    if config.dt_us + 1e-9 < caps.microseconds(adc.min_period) {
        let got = format!(
            "{} where the converter takes {} us a sample",
            config.dt_us,
            caps.microseconds(adc.min_period)
        );
        let must =
            "at least the time of a sample, or learning.delta_v 0: the rule for spikes alone";
        return Err(LessonError::Value { key: "chip.dt_us", got, must });
    }
    Ok(())
}

/// What is asked of the chip.
fn needs(
    caps: &Capabilities,
    config: &ChipConfig,
    network: &LttsNetwork,
    (bins, lines): (usize, usize),
    membranes: bool,
) -> Result<Needs, LessonError> {
    let dt = config.dt_us;
    // A chip whose tick is a bin decays by 1 − 1/τ a bin, any other by e^(−1/τ).
    let decays = |keep: f64| match (dt * 1000.0 / f64::from(caps.tick_ns)).round() <= 1.0 {
        true => dt / (1.0 - keep),
        false => -dt / libm::log(keep),
    };
    let tau_mem = match network.tau_mem > 1.0 {
        true => decays(1.0 - 1.0 / network.tau_mem),
        false => {
            let must = "more than 1 bin on a chip: membranes have a memory";
            let got = network.tau_mem.to_string();
            return Err(LessonError::Value { key: "network.tau_mem", got, must });
        }
    };
    let tau_syn = decays(libm::exp(-1.0 / network.tau_syn));
    // The area below the response to a spike through a weight of 1 is a bin times 1.
    let jump = dt / (tau_mem * tau_syn * -network.h);
    Ok(Needs {
        grid: Grid { dt_us: dt as f32, steps: bins },
        inputs: lines,
        layers: vec![LayerTarget {
            units: network.neurons,
            tau_mem_us: tau_mem,
            tau_syn_us: tau_syn,
            spiking: true,
            recurrent: true,
            psp_peak: jump * psp_peak_us(tau_mem, tau_syn),
            site: Site::Chip,
        }],
        options: TranslationOptions {
            spread: config.spread,
            membranes,
            baseline: Baseline::default(),
            timing: SpikeTiming::NewCurrent,
            window: None,
        },
        codes: config.codes,
    })
}

/// Puts the scale of the weights where the largest code is `limit`, or near, and returns the factor on the
/// strength of the synapses that this takes.
fn set_scale(caps: &Capabilities, needs: &mut Needs, limit: f64) -> Result<f64, LessonError> {
    let nominal = Translation::new(caps, needs.grid, needs.inputs, &needs.layers, needs.options)
        .map_err(LoopError::from)?;
    let Some(spec) = caps.parameter(Parameter::GainExc) else {
        let remedy = "choose another chip, or add --software";
        return Err(unfit("the strength of its synapses cannot be set", remedy));
    };
    let now = f64::from(nominal.weight_limit(0).unwrap_or(f32::MAX));
    let code = (f64::from(spec.code_default) * limit / now).round();
    if code < f64::from(spec.code_min.max(1)) || code > f64::from(spec.code_max) {
        let of = |code: u16| now * f64::from(code) / f64::from(spec.code_default);
        let got = format!(
            "{limit} where the synapses of the chip reach from {:.2} to {:.2}",
            of(spec.code_min.max(1)),
            of(spec.code_max)
        );
        let must = "within what the chip's synapses can be set to";
        return Err(LessonError::Value { key: "chip.weight_limit", got, must });
    }
    let default = f64::from(spec.value(spec.code_default));
    let scale = f64::from(spec.value(code as u16)) / default;
    needs.layers.iter_mut().for_each(|layer| layer.psp_peak /= scale);
    Ok(scale)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
