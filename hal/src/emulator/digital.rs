//! A discrete-time core in integers, in the manner of Loihi (Davies et al., IEEE Micro 2018) or of a
//! plain FPGA design.
//!
//! One tick is one step, `D` the bits of a decay factor, all numbers integers, every state saturates
//! at its width:
//!
//! ```text
//! u ← u · (2^D − d_syn) / 2^D + Σ jump          decay rounded towards zero
//! v ← v · (2^D − d_mem) / 2^D + u               rounded towards zero
//! v > threshold: spike, v ← reset, held for the refractory ticks
//! ```
//! `v` counts `2^-fraction_bits` converter steps above the rest, `u` the same per tick. The membrane
//! uses the new current. A sample is the state before its tick. Spikes beyond the limit of a step are
//! lost, highest neurons first.

use super::bus;
use super::compiled::realised;
use super::mismatch::DrawnChip;
use super::profile::DigitalProfile;
use super::run::{Setting, TrialResult};
use crate::caps::{Capabilities, Parameter};
use crate::chip::Stimulus;
use crate::config::ChipConfig;
use crate::event::SpikeEvent;

/// The gain multiplier: eight fractional bits.
type Gain = fixed::types::I56F8;

/// One half.
const HALF: Gain = Gain::from_bits(1 << 7);

/// One neuron's registers and constants.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    neuron: u16,
    keep_syn: i64,
    keep_mem: i64,
    threshold: i64,
    reset: i64,
    refractory: u32,
    gain: Gain,
    u: i64,
    v: i64,
    held: u32,
}

/// Memory of one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct DigitalScratch {
    cells: Vec<Cell>,
    channel_of: Vec<u32>,
    /// Rows of spikes on their way, with the tick of their arrival.
    travelling: std::collections::VecDeque<(u32, u32)>,
}

fn cell(
    chip: &DrawnChip,
    caps: &Capabilities,
    config: &ChipConfig,
    core: &DigitalProfile,
    n: u16,
) -> Cell {
    let index = usize::from(n);
    let value = |p: Parameter| match (caps.parameter(p), config.codes(p)) {
        (Some(spec), Some(codes)) => f64::from(spec.value(codes[index])),
        _ => chip.profile.design_value(p),
    };
    let tick_us = f64::from(caps.tick_ns) / 1000.0;
    let one = f64::from(1_u32 << core.fraction_bits);
    let span = 1_i64 << core.decay_bits;
    // The code of a decay is 2^D / tau in ticks: exactly the register where it can be set.
    let keep = |p: Parameter| {
        let code = libm::round(span as f64 * tick_us / value(p)) as i64;
        span - code.clamp(1, span)
    };
    let states = |lsb: f64| libm::round(lsb * one) as i64;
    let rest = value(Parameter::LeakPotential);
    let mut threshold = states(value(Parameter::Threshold) - rest);
    if !config.spiking[index] || chip.dead.contains(&n) {
        threshold = i64::MAX;
    } else if chip.stuck.contains(&n) {
        threshold = i64::MIN;
    }
    let gain = Gain::saturating_from_num(value(Parameter::GainExc) * tick_us * one);
    Cell {
        neuron: n,
        keep_syn: keep(Parameter::TauSynExc),
        keep_mem: keep(Parameter::TauMem),
        threshold,
        reset: states(value(Parameter::ResetPotential) - rest),
        refractory: libm::round(value(Parameter::Refractory) / tick_us) as u32,
        gain: if chip.dead.contains(&n) { Gain::ZERO } else { gain },
        ..Cell::default()
    }
}

/// Runs trials one after the other; `samples` is `[trial, sample, channel]`.
pub(crate) fn run_chunk(
    setting: Setting<'_>,
    core: &DigitalProfile,
    stimuli: &[Stimulus],
    samples: &mut [u16],
    results: &mut [TrialResult],
    scratch: &mut DigitalScratch,
) {
    let config = &setting.compiled.config;
    scratch.cells.clear();
    for n in 0..setting.caps.neurons {
        if config.enabled[usize::from(n)] {
            scratch.cells.push(cell(setting.chip, setting.caps, config, core, n));
        }
    }
    scratch.channel_of.clear();
    scratch.channel_of.resize(config.neurons(), u32::MAX);
    for (k, n) in config.recording.traces.iter().enumerate() {
        scratch.channel_of[usize::from(*n)] = k as u32;
    }
    let width = config.recording.traces.len() * usize::from(config.recording.samples);
    for (k, (stimulus, result)) in stimuli.iter().zip(results).enumerate() {
        *result =
            TrialResult { spikes: std::mem::take(&mut result.spikes), ..TrialResult::default() };
        result.spikes.clear();
        trial(setting, core, stimulus, &mut samples[k * width..(k + 1) * width], result, scratch);
        if config.recording.spikes {
            result.dropped += bus::deliver(&setting.chip.profile, setting.caps, &mut result.spikes);
        } else {
            result.spikes.clear();
        }
    }
}

fn trial(
    setting: Setting<'_>,
    core: &DigitalProfile,
    stimulus: &Stimulus,
    samples: &mut [u16],
    result: &mut TrialResult,
    scratch: &mut DigitalScratch,
) {
    let recording = &setting.compiled.config.recording;
    let limit = (1_i64 << (core.state_bits - 1)) - 1;
    let inputs = u32::from(setting.caps.inputs);
    let tick_us = f64::from(setting.caps.tick_ns) / 1000.0;
    let delay = (libm::round(setting.chip.profile.time.axonal_delay_us / tick_us) as u32).max(1);
    for cell in &mut scratch.cells {
        (cell.u, cell.v, cell.held) = (0, 0, 0);
    }
    scratch.travelling.clear();
    let wanted = if recording.traces.is_empty() { 0 } else { u32::from(recording.samples) };
    let last = wanted.saturating_sub(1).saturating_mul(recording.sample_period);
    let (mut next, mut sample) = (0, 0);
    for tick in 0..=last.max(stimulus.duration.saturating_sub(1)) {
        if sample < wanted && tick == sample * recording.sample_period {
            let channels = recording.traces.len();
            let line = &mut samples[sample as usize * channels..][..channels];
            result.saturated += read_out(setting, core, scratch, line, sample == 0);
            sample += 1;
        }
        for cell in &mut scratch.cells {
            cell.u = (cell.u * cell.keep_syn) / (1 << core.decay_bits);
        }
        while next < stimulus.events.len() && stimulus.events[next].tick == tick {
            deliver(setting, &mut scratch.cells, u32::from(stimulus.events[next].id), limit);
            next += 1;
        }
        while let Some((_, row)) = scratch.travelling.pop_front_if(|(at, _)| *at == tick) {
            deliver(setting, &mut scratch.cells, row, limit);
        }
        let mut fired = 0;
        for cell in &mut scratch.cells {
            let v = (cell.v * cell.keep_mem) / (1 << core.decay_bits) + cell.u;
            cell.v = v.clamp(-limit - 1, limit);
            if cell.held > 0 {
                cell.held -= 1;
                cell.v = cell.reset;
            } else if cell.v > cell.threshold {
                cell.v = cell.reset;
                cell.held = cell.refractory;
                fired += 1;
                if core.spikes_per_step > 0 && fired > core.spikes_per_step {
                    result.dropped += 1;
                    continue;
                }
                if setting.caps.recurrent {
                    scratch.travelling.push_back((tick + delay, inputs + u32::from(cell.neuron)));
                }
                if tick < stimulus.duration {
                    result.spikes.push(SpikeEvent::new(tick, cell.neuron));
                }
            }
        }
    }
}

/// Adds the weights of a row to the currents.
fn deliver(setting: Setting<'_>, cells: &mut [Cell], row: u32, limit: i64) {
    let source = row as usize;
    let codes = setting.compiled.config.row(source);
    let broken = !setting.chip.stuck_bits.is_empty();
    for cell in cells {
        let n = usize::from(cell.neuron);
        let code = if broken { realised(setting.chip, source, n, codes[n]) } else { codes[n] };
        // Half is rounded up, by adding a half and cutting the fraction off.
        let jump = (cell.gain.saturating_mul_int(i64::from(code)) + HALF).floor().to_num::<i64>();
        cell.u = (cell.u + jump).clamp(-limit - 1, limit);
    }
}

/// Writes the membranes of a sample; returns how many are at a rail.
fn read_out(
    setting: Setting<'_>,
    core: &DigitalProfile,
    scratch: &DigitalScratch,
    line: &mut [u16],
    first: bool,
) -> u64 {
    let config = &setting.compiled.config;
    let floor = config.recording.floor.filter(|_| !first).map_or(0, i64::from);
    let top = setting.caps.adc.map_or(0, |adc| (1_i64 << adc.bits) - 1);
    let rest = setting.chip.profile.nominal.leak_lsb as i64;
    let reference = config.recording.reference.map(i64::from);
    let mut saturated = 0;
    for cell in &scratch.cells {
        let channel = scratch.channel_of[usize::from(cell.neuron)];
        if channel != u32::MAX {
            // Half a step up, so that the shift rounds to the nearest.
            let half = (1_i64 << core.fraction_bits) >> 1;
            let membrane = rest + ((cell.v + half) >> core.fraction_bits);
            let value = reference.unwrap_or(membrane).clamp(0, top);
            let value = if config.keeps_all(cell.neuron) { value } else { value.max(floor) };
            saturated += u64::from(value == 0 || value == top);
            line[channel as usize] = value as u16;
        }
    }
    saturated
}
