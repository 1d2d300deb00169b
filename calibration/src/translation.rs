//! Model units to chip codes.
//!
//! A weight of 1 lets the membrane of the model rise to `psp_peak` (threshold 1). A weight code of 1
//! lets the membrane of the chip rise to
//!
//! ```text
//! gain · peak(τ_mem, τ_syn) / θ,    peak = τ_m τ_s / (τ_m − τ_s) · ((τ_s/τ_m)^(τ_s/(τ_m−τ_s)) − (τ_s/τ_m)^(τ_m/(τ_m−τ_s)))
//! ```
//!
//! (`τ / e` where both are equal), with `gain` in steps of the converter per µs and code and θ = threshold −
//! leak in the same steps. The quotient of the two is the scale in codes per unit of weight: 240 for
//! BrainScaleS-2 at 1.7 µs and τ = 6 µs, the published value. Readouts are free in their scale, so theirs is
//! chosen anew from the largest weight: `min(max code / max |w|, 250/240 · scale)` (published), and the
//! measured membrane is divided by the same factor.
//!
//! With a calibration ([`Translation::calibrated`]) the codes are those that it found, the scale follows from its
//! targets, neurons that failed are left out, membranes are read in units of each neuron's own θ, and
//! [`Translation::unit_values`] says what is left of the mismatch.

mod measured;

pub use measured::{Codes, UnitValues};

use crate::Grid;
use crate::error::Error;
use crate::placement::{Placement, Spread};
use crate::result::Calibration;
use crate::target::{LayerTarget, Site, SpikeTiming};
use measured::{Design, Known};
use serde::{Deserialize, Serialize};
use spikeloop_hal::wire::{Floor, packed_len, top_code};
use spikeloop_hal::{Capabilities, ChipConfig, Parameter, Recording, SpikeEvent, Stimulus, Tick};
use spikeloop_models::spike_train::SpikeTrains;

/// A readout may use slightly more than the nominal scale (published: 250 against 240).
const READOUT_HEADROOM: f32 = 250.0 / 240.0;

/// A code whose design value is further from the wanted one than this fraction is no translation of it: the
/// end of the range was met, or the codes are too coarse there.
const MAX_DEVIATION: f64 = 0.1;

/// What can be chosen about a translation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TranslationOptions {
    /// Layout over the array.
    pub spread: Spread,
    /// Whether membranes are recorded. If not, only spikes come back.
    pub membranes: bool,
    /// Reference of the membranes.
    pub baseline: crate::Baseline,
    /// Convention of the model.
    pub timing: SpikeTiming,
    /// How far below the threshold membranes of spiking units are still measured, in units of threshold −
    /// rest; below the lowest such point of all units placed they come back as that point, and cost
    /// nothing on the link. `None`: everything is measured. The point is one code for all channels,
    /// and offsets of the converter's channels are not known: a window must have room for them.
    #[serde(default)]
    pub window: Option<f32>,
}

/// What happened to the weights of one layer when they became codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WeightReport {
    /// Codes per unit of weight.
    pub scale: f32,
    /// Weights outside the range of codes: written as the nearest one.
    pub clipped: usize,
}

/// The way from model units to the codes of one chip and back.
#[derive(Clone, Debug)]
pub struct Translation {
    pub(crate) grid: Grid,
    pub(crate) layers: Vec<LayerTarget>,
    pub(crate) placement: Placement,
    pub(crate) options: TranslationOptions,
    pub(crate) step_ticks: Tick,
    /// Converter steps of a membrane of 1, per layer and unit.
    pub(crate) lsb_per_unit: Vec<Vec<f32>>,
    /// What a calibration knows about the units, per layer; nothing without one and for layers on the host.
    unit_values: Vec<Option<UnitValues>>,
    /// Membrane at which the units of a layer spike; 1 for all if empty.
    pub(crate) thresholds: Vec<Vec<f32>>,
    /// Neurons that the calibration says not to use.
    left_out: usize,
    /// Codes per unit of weight by design, per layer.
    nominal_scale: Vec<f32>,
    /// Codes per unit of weight as last written, per layer.
    scale: Vec<f32>,
    inputs: usize,
    chip_inputs: usize,
    weight_max: f32,
    weight_min: f32,
    base: ChipConfig,
    trials_by_memory: usize,
    event_limit: usize,
    adc_max: u16,
    adc_bits: u8,
    reliable: (u16, u16),
}

/// Peak of the response of a membrane to a unit jump of the synaptic current (per µs), which decays with
/// `tau_syn` (µs): in µs.
#[must_use]
pub fn psp_peak_us(tau_mem: f64, tau_syn: f64) -> f64 {
    let (m, s) = (tau_mem, tau_syn);
    if ((m - s) / m).abs() < 1e-6 {
        return m / std::f64::consts::E;
    }
    let t = m * s / (m - s) * (m / s).ln();
    m * s / (m - s) * ((-t / m).exp() - (-t / s).exp())
}

impl Translation {
    /// Finds codes, scales and a place on the chip for a network of `inputs` inputs and these layers.
    ///
    /// # Errors
    /// Every way in which the network does not fit the chip: see [`Error`].
    pub fn new(
        caps: &Capabilities,
        grid: Grid,
        inputs: usize,
        layers: &[LayerTarget],
        options: TranslationOptions,
    ) -> Result<Self, Error> {
        Self::build(caps, grid, inputs, layers, options, None)
    }

    /// The same with what a calibration knows about the chip. `codes` says whether the chip gets the codes that
    /// it found, or is only described by it.
    ///
    /// For time constants other than the calibrated ones each neuron's code follows from its deviation (see
    /// [`UnitValues`]); the resting potential, which a constant current of the synaptic inputs moves in
    /// proportion to τ_mem, is then not the calibrated one.
    ///
    /// # Errors
    /// As [`Translation::new`]; [`Error::OtherChip`], [`Error::OtherFirmware`] if the calibration belongs elsewhere,
    /// [`Error::TooFewUsable`] if it left too few neurons.
    pub fn calibrated(
        caps: &Capabilities,
        grid: Grid,
        inputs: usize,
        layers: &[LayerTarget],
        options: TranslationOptions,
        calibration: &Calibration,
        codes: Codes,
    ) -> Result<Self, Error> {
        let known = Known::new(caps, calibration, codes)?;
        Self::build(caps, grid, inputs, layers, options, Some(known))
    }

    fn build(
        caps: &Capabilities,
        grid: Grid,
        inputs: usize,
        layers: &[LayerTarget],
        options: TranslationOptions,
        known: Option<Known<'_>>,
    ) -> Result<Self, Error> {
        check_fit(caps, inputs, layers, &options)?;
        let step_ticks = step_ticks(caps, &grid, options.membranes)?;
        let units: Vec<usize> =
            layers.iter().map(|l| if l.site == Site::Chip { l.units } else { 0 }).collect();
        let usable = known.and_then(|k| k.usable());
        let placement = Placement::new(&units, caps, options.spread, usable.as_deref())?;
        let mut base = ChipConfig::power_up(caps);
        let (theta_lsb, gain) = design_point(caps, known)?;
        if let Some(known) = known {
            known.apply(&mut base);
        }
        let mut nominal_scale = Vec::with_capacity(layers.len());
        let mut lsb_per_unit = Vec::with_capacity(layers.len());
        let mut unit_values = Vec::with_capacity(layers.len());
        for (l, layer) in layers.iter().enumerate() {
            lsb_per_unit.push(vec![theta_lsb; layer.units]);
            unit_values.push(None);
            if layer.site == Site::Host {
                nominal_scale.push(1.0);
                continue;
            }
            let circuits = placement.layer(l);
            let (tau_mem, tau_syn) = set_time_constants(caps, &mut base, circuits, layer)?;
            let per_code = gain * psp_peak_us(tau_mem, tau_syn) / f64::from(theta_lsb);
            nominal_scale.push((layer.psp_peak / per_code) as f32);
            if let Some(known) = known {
                measured::set_time_constants(known, &mut base, circuits, layer);
                let neurons: Vec<_> =
                    circuits.iter().map(|id| known.neuron(usize::from(*id), &base)).collect();
                let design = Design {
                    dt_us: f64::from(grid.dt_us),
                    tau_mem_us: tau_mem,
                    tau_syn_us: tau_syn,
                    gain,
                    theta_lsb: f64::from(theta_lsb),
                };
                lsb_per_unit[l] = design.lsb_per_unit(layer, &neurons);
                unit_values[l] = Some(design.unit_values(&neurons));
            }
            for id in circuits {
                base.enabled[usize::from(*id)] = true;
                base.spiking[usize::from(*id)] = layer.spiking;
            }
        }
        let adc_max = caps.adc.map_or(u16::MAX, |adc| top_code(adc.bits));
        let lowest = lowest_theta(layers, &lsb_per_unit);
        let floor = match (options.membranes, options.window, lowest) {
            (true, Some(window), Some(theta)) => {
                floor_code(rest_lsb(caps, known)?, theta, window, adc_max)
            }
            _ => None,
        };
        base.recording = Recording {
            spikes: true,
            traces: if options.membranes { placement.circuits().to_vec() } else { Vec::new() },
            sample_period: if options.membranes { step_ticks } else { 0 },
            samples: if options.membranes { grid.steps as u16 } else { 0 },
            reference: None,
            floor,
        };
        let trials_by_memory = trials_by_memory(caps, &base.recording)?;
        Ok(Self {
            grid,
            layers: layers.to_vec(),
            placement,
            options,
            step_ticks,
            lsb_per_unit,
            unit_values,
            thresholds: vec![Vec::new(); layers.len()],
            left_out: usable.map_or(0, |u| u.iter().filter(|usable| !**usable).count()),
            scale: nominal_scale.clone(),
            nominal_scale,
            inputs,
            chip_inputs: usize::from(caps.inputs),
            weight_max: f32::from(caps.weight_max),
            weight_min: f32::from(caps.weight_min),
            base,
            trials_by_memory,
            event_limit: caps.buffers.stimulus_events as usize,
            adc_max,
            adc_bits: caps.adc.map_or(16, |adc| adc.bits),
            reliable: caps.adc.map_or((0, u16::MAX), |a| (a.reliable_min, a.reliable_max)),
        })
    }

    /// The configuration without weights: parameters, flags and recording.
    #[must_use]
    pub fn configuration(&self) -> ChipConfig {
        self.base.clone()
    }

    /// Who plays what.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What a calibration knows about the units of layer `l`; `None` without one, and for a layer on the host.
    #[must_use]
    pub fn unit_values(&self, l: usize) -> Option<&UnitValues> {
        self.unit_values.get(l)?.as_ref()
    }

    /// From now on units of layer `l` count as spiking at these membranes instead of at 1: where a spike is measured
    /// the membrane is put there. Units without an entry keep 1.
    pub fn set_thresholds(&mut self, l: usize, thresholds: Vec<f32>) {
        self.thresholds[l] = thresholds;
    }

    /// Neurons of the chip that the calibration says not to use.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// The model's clock.
    #[must_use]
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Whether membranes are recorded.
    #[must_use]
    pub fn membranes(&self) -> bool {
        self.options.membranes
    }

    /// Converter steps of a membrane of 1 (from rest to threshold) for each unit of layer `l`.
    #[must_use]
    pub fn lsb_per_unit(&self, l: usize) -> &[f32] {
        &self.lsb_per_unit[l]
    }

    /// Ticks of a step of the model.
    #[must_use]
    pub fn step_ticks(&self) -> Tick {
        self.step_ticks
    }

    /// Highest weight (model units) of layer `l` that a code can express, for clamping after a step of the
    /// optimiser. `None` for readouts, whose scale follows the weights, and for layers on the host.
    #[must_use]
    pub fn weight_limit(&self, l: usize) -> Option<f32> {
        let layer = &self.layers[l];
        (layer.site == Site::Chip && layer.spiking)
            .then(|| self.weight_max.min(-self.weight_min) / self.nominal_scale[l])
    }

    /// Model membrane per membrane of the chip (both in thresholds) in layer `l`: 1 but for readouts.
    pub(crate) fn membrane_scale(&self, l: usize) -> f32 {
        self.nominal_scale[l] / self.scale[l]
    }

    pub(crate) fn rails(&self) -> (u16, u16) {
        (0, self.adc_max)
    }

    pub(crate) fn reliable(&self) -> (u16, u16) {
        self.reliable
    }

    /// Code that stands for every membrane outside the window of the spiking units; `None` without one.
    #[must_use]
    pub fn floor(&self) -> Option<u16> {
        self.base.recording.floor
    }

    /// Bytes that the samples of one trial take on a link (heads of blocks and frames left out), as they
    /// are sent with the window and as they would be without. `whole` says which channels have no floor:
    /// [`Translation::whole_channels`].
    pub(crate) fn trace_bytes(&self, samples: &[u16], whole: &[bool]) -> TraceBytes {
        let all = packed_len(samples.len(), self.adc_bits) as u64;
        let Some(code) = self.floor() else { return TraceBytes { sent: all, all } };
        let floor =
            Floor { code, channels: whole.len(), keeps_all: |channel: usize| whole[channel] };
        let sparse = floor.packed_len(0, samples, self.adc_bits) as u64;
        TraceBytes { sent: sparse.min(all), all }
    }

    /// For each channel whether its neuron has no threshold.
    pub(crate) fn whole_channels(&self) -> Vec<bool> {
        self.base.recording.traces.iter().map(|id| self.base.keeps_all(*id)).collect()
    }

    /// Whether layer `l` is computed by the chip.
    #[must_use]
    pub fn on_chip(&self, l: usize) -> bool {
        self.layers[l].site == Site::Chip
    }

    /// Writes the weights of layer `l` as codes into `config`. `weights` is row-major `[pre, post]`, with the
    /// inputs or the layer below as `pre`; `recurrent` is `[post, post]` where the layer has it.
    ///
    /// # Errors
    /// [`Error::Shape`] if the weights are not those of this layer.
    pub fn write_weights(
        &mut self,
        l: usize,
        weights: &[f32],
        recurrent: Option<&[f32]>,
        config: &mut ChipConfig,
    ) -> Result<WeightReport, Error> {
        let layer = &self.layers[l];
        let pre = if l == 0 { self.inputs } else { self.layers[l - 1].units };
        let expected = (pre, layer.units);
        let got = weights.len() / layer.units.max(1);
        if weights.len() != pre * layer.units {
            return Err(Error::Shape { layer: l, expected, got: (got, layer.units) });
        }
        if recurrent.is_some() != layer.recurrent
            || recurrent.is_some_and(|r| r.len() != layer.units * layer.units)
        {
            let got = (recurrent.map_or(0, <[f32]>::len) / layer.units.max(1), layer.units);
            return Err(Error::Shape { layer: l, expected: (layer.units, layer.units), got });
        }
        if layer.site == Site::Host {
            return Ok(WeightReport { scale: 1.0, clipped: 0 });
        }
        let scale = self.layer_scale(l, weights);
        self.scale[l] = scale;
        let mut clipped = 0;
        for (j, row) in weights.chunks_exact(self.layers[l].units).enumerate() {
            let source = match l {
                0 => j,
                _ => self.chip_inputs + usize::from(self.placement.layer(l - 1)[j]),
            };
            clipped += self.write_row(l, row, scale, config.row_mut(source));
        }
        for (j, row) in recurrent.unwrap_or(&[]).chunks_exact(self.layers[l].units).enumerate() {
            let source = self.chip_inputs + usize::from(self.placement.layer(l)[j]);
            clipped += self.write_row(l, row, scale, config.row_mut(source));
        }
        Ok(WeightReport { scale, clipped })
    }

    /// Writes the weights of input lines, from line `first` on, onto layer `l` of any depth at the scale of
    /// its last [`Self::write_weights`]. `weights` is row-major `[line, post]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if the weights are not rows of this layer, or go beyond the inputs.
    pub fn write_lines(
        &self,
        l: usize,
        first: usize,
        weights: &[f32],
        config: &mut ChipConfig,
    ) -> Result<WeightReport, Error> {
        let units = self.layers[l].units;
        let lines = weights.len() / units.max(1);
        let left = self.inputs.saturating_sub(first);
        if !weights.len().is_multiple_of(units.max(1)) || lines > left {
            return Err(Error::Shape { layer: l, expected: (left, units), got: (lines, units) });
        }
        let scale = self.scale[l];
        if self.layers[l].site == Site::Host {
            return Ok(WeightReport { scale, clipped: 0 });
        }
        let rows = weights.chunks_exact(units).enumerate();
        let clipped = rows.map(|(k, row)| self.write_row(l, row, scale, config.row_mut(first + k)));
        Ok(WeightReport { scale, clipped: clipped.sum() })
    }

    fn layer_scale(&self, l: usize, weights: &[f32]) -> f32 {
        let nominal = self.nominal_scale[l];
        if self.layers[l].spiking {
            return nominal;
        }
        let largest = weights.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        let limit = self.weight_max.min(-self.weight_min);
        if largest > 0.0 { (limit / largest).min(nominal * READOUT_HEADROOM) } else { nominal }
    }

    fn write_row(&self, l: usize, weights: &[f32], scale: f32, row: &mut [i8]) -> usize {
        let (low, high) = (self.weight_min, self.weight_max);
        let circuits = self.placement.layer(l);
        let mut clipped = 0;
        let code = |w: f32, clipped: &mut usize| {
            let wanted = round(w * scale);
            let code = wanted.clamp(low, high);
            *clipped += usize::from(code != wanted);
            code as i8
        };
        let first = usize::from(circuits[0]);
        if usize::from(circuits[circuits.len() - 1]) - first + 1 == circuits.len() {
            for (cell, w) in row[first..].iter_mut().zip(weights) {
                *cell = code(*w, &mut clipped);
            }
        } else {
            for (id, w) in circuits.iter().zip(weights) {
                row[usize::from(*id)] = code(*w, &mut clipped);
            }
        }
        clipped
    }

    /// The weight that the code of `weight` stands for, in model units: what the chip really uses.
    #[must_use]
    pub fn quantised(&self, l: usize, weight: f32) -> f32 {
        let scale = self.scale[l];
        round(weight * scale).clamp(self.weight_min, self.weight_max) / scale
    }

    /// Trials that fit one run, if none has more than `events` input events.
    #[must_use]
    pub fn trials_per_run(&self, events: usize) -> usize {
        (self.event_limit / events.max(1)).min(self.trials_by_memory).max(1)
    }

    /// Turns samples `range` of a batch into stimuli. Trial numbers are `first_trial + k` for the `k`-th of them.
    pub fn stimuli(
        &self,
        inputs: &SpikeTrains,
        range: std::ops::Range<usize>,
        first_trial: u64,
        into: &mut Vec<Stimulus>,
    ) {
        let shift = match self.options.timing {
            SpikeTiming::NewCurrent => 0,
            SpikeTiming::OldCurrent => 1,
        };
        let duration = self.step_ticks * self.grid.steps as Tick;
        into.resize_with(range.len(), Stimulus::default);
        for ((k, sample), stimulus) in range.enumerate().zip(into.iter_mut()) {
            stimulus.trial = first_trial + k as u64;
            stimulus.duration = duration;
            stimulus.events.clear();
            // Events of the last steps could not reach a state any more.
            for step in 0..self.grid.steps - shift {
                let tick = (step + shift) as Tick * self.step_ticks;
                let units = inputs.at(sample, step);
                stimulus.events.extend(units.iter().map(|unit| SpikeEvent::new(tick, *unit)));
            }
        }
    }
}

/// Bytes of membranes on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceBytes {
    /// As they were sent: below the window nothing is.
    pub sent: u64,
    /// If all of them had been sent.
    pub all: u64,
}

impl std::ops::AddAssign for TraceBytes {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.all += other.all;
    }
}

/// Smallest θ of all spiking units on the chip, in steps of the converter.
fn lowest_theta(layers: &[LayerTarget], lsb_per_unit: &[Vec<f32>]) -> Option<f32> {
    let spiking =
        layers.iter().zip(lsb_per_unit).filter(|(l, _)| l.spiking && l.site == Site::Chip);
    spiking.flat_map(|(_, lsb)| lsb).copied().reduce(f32::min)
}

/// The lowest code of interest; `None` if that is all of them.
fn floor_code(rest: f32, theta: f32, window: f32, adc_max: u16) -> Option<u16> {
    let code = (rest + theta * (1.0 - window)).round().min(f32::from(adc_max));
    (code >= 1.0).then_some(code as u16)
}

/// The resting potential in steps of the converter: by design, or as a calibration aimed at.
fn rest_lsb(caps: &Capabilities, known: Option<Known<'_>>) -> Result<f32, Error> {
    match known.and_then(|known| known.target(Parameter::LeakPotential)) {
        Some(leak) => Ok(leak as f32),
        None => default_value(caps, Parameter::LeakPotential),
    }
}

/// Rounds to the nearest whole number, ties to even. Numbers beyond 2²² come back as they are or off by less
/// than one part in a million; they are clipped anyway. Adding and taking away 1.5 · 2²³ leaves no room for a
/// fraction, and unlike the library's function it needs no call for every weight of a network.
fn round(x: f32) -> f32 {
    const NO_FRACTION: f32 = 12_582_912.0;
    (x + NO_FRACTION) - NO_FRACTION
}

fn default_value(caps: &Capabilities, parameter: Parameter) -> Result<f32, Error> {
    let spec = caps.parameter(parameter).ok_or(Error::MissingParameter { parameter })?;
    Ok(spec.value(spec.code_default))
}

fn check_fit(
    caps: &Capabilities,
    inputs: usize,
    layers: &[LayerTarget],
    options: &TranslationOptions,
) -> Result<(), Error> {
    if inputs > usize::from(caps.inputs) {
        return Err(Error::TooFewInputs { needed: inputs, available: usize::from(caps.inputs) });
    }
    if options.membranes && caps.adc.is_none() {
        return Err(Error::NoConverter);
    }
    let on_chip: Vec<&LayerTarget> = layers.iter().filter(|l| l.site == Site::Chip).collect();
    if !caps.recurrent && (on_chip.len() > 1 || on_chip.iter().any(|l| l.recurrent)) {
        return Err(Error::NoRecurrence);
    }
    let unobservable = |l: &LayerTarget| l.site == Site::Chip && !l.spiking && !options.membranes;
    match layers.iter().position(unobservable) {
        Some(layer) => Err(Error::Unobservable { layer }),
        None => Ok(()),
    }
}

fn step_ticks(caps: &Capabilities, grid: &Grid, membranes: bool) -> Result<Tick, Error> {
    let exact = f64::from(grid.dt_us) * 1000.0 / f64::from(caps.tick_ns);
    let ticks = exact.round();
    if ticks < 1.0 || (exact - ticks).abs() > 1e-6 * exact {
        return Err(Error::Grid { dt_us: grid.dt_us, tick_ns: caps.tick_ns });
    }
    if let (true, Some(adc)) = (membranes, caps.adc)
        && (ticks as u32) < adc.min_period
    {
        let min_us = caps.microseconds(adc.min_period);
        return Err(Error::StepTooShort { dt_us: grid.dt_us, min_us });
    }
    let needed = ticks as u64 * grid.steps as u64;
    if needed > u64::from(caps.max_duration) {
        let available = u64::from(caps.max_duration);
        return Err(Error::TrialTooLarge { what: "ticks", needed, available });
    }
    Ok(ticks as Tick)
}

fn trials_by_memory(caps: &Capabilities, recording: &Recording) -> Result<usize, Error> {
    let needed = u64::from(recording.samples)
        * recording.traces.len() as u64
        * u64::from(caps.bytes_per_sample());
    let available = u64::from(caps.buffers.trace_bytes);
    if needed > available {
        return Err(Error::TrialTooLarge { what: "bytes of trace memory", needed, available });
    }
    let fitting = available.checked_div(needed).unwrap_or(u64::MAX);
    Ok(fitting.min(u64::from(caps.buffers.trials)) as usize)
}

/// θ in LSB and gain at which weights are translated: by design, or as a calibration aimed at.
fn design_point(caps: &Capabilities, known: Option<Known<'_>>) -> Result<(f32, f64), Error> {
    let leak = default_value(caps, Parameter::LeakPotential)?;
    let theta = default_value(caps, Parameter::Threshold)? - leak;
    let gain = f64::from(default_value(caps, Parameter::GainExc)?);
    let Some(known) = known else { return Ok((theta, gain)) };
    match (known.target(Parameter::Threshold), known.target(Parameter::LeakPotential)) {
        (Some(threshold), Some(leak)) if threshold > leak => {
            Ok(((threshold - leak) as f32, known.target_gain()))
        }
        _ => Ok((theta, known.target_gain())),
    }
}

/// Sets the codes of a layer's time constants and returns their design values (τ_mem, τ_syn) in µs.
fn set_time_constants(
    caps: &Capabilities,
    config: &mut ChipConfig,
    circuits: &[u16],
    layer: &LayerTarget,
) -> Result<(f64, f64), Error> {
    let mut set = |parameter: Parameter, wanted: f64| -> Result<f64, Error> {
        let spec = caps.parameter(parameter).ok_or(Error::MissingParameter { parameter })?;
        let (code, _) = spec.nearest_code(wanted as f32);
        let value = spec.value(code);
        if (f64::from(value) - wanted).abs() > MAX_DEVIATION * wanted {
            let ends = (spec.value(spec.code_min), spec.value(spec.code_max));
            let range = (ends.0.min(ends.1), ends.0.max(ends.1));
            return Err(Error::OutOfRange { parameter, wanted: wanted as f32, range });
        }
        if let Some(codes) = config.codes_mut(parameter) {
            for id in circuits {
                codes[usize::from(*id)] = code;
            }
        }
        Ok(f64::from(value))
    };
    let tau_mem = set(Parameter::TauMem, layer.tau_mem_us)?;
    let tau_syn = set(Parameter::TauSynExc, layer.tau_syn_us)?;
    if caps.parameter(Parameter::TauSynInh).is_some() {
        set(Parameter::TauSynInh, layer.tau_syn_us)?;
    }
    Ok((tau_mem, tau_syn))
}

#[cfg(test)]
pub(crate) mod tests;
