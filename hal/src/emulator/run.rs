//! Trials through the compiled chip: stage by stage, part by part, trial by trial.
//!
//! A chunk of trials is computed by one thread. The weights of a part stay in its cache while the
//! trials pass by. Nothing is carried from trial to trial.

use super::adc::{Converter, SampleClock};
use super::bus;
use super::compiled::{Compiled, Stage};
use super::kernel::{Bundle, Event, Fired, Live, Stored};
#[cfg(target_arch = "x86_64")]
use super::lanes::{Array, Avx512};
use super::lanes::{Portable, Row};
use super::mismatch::DrawnChip;
use super::noise::{Noise, NoiseOf};
use super::unit::Unit;
use crate::caps::Capabilities;
use crate::chip::Stimulus;
use crate::event::SpikeEvent;

/// Vector units that the kernels were compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Simd {
    /// Whatever the compiler makes of portable code.
    Portable,
    /// The portable code compiled for AVX2 and FMA.
    Avx2,
    /// AVX-512.
    Avx512,
}

impl Simd {
    /// The best this processor has.
    #[must_use]
    pub fn detect() -> Self {
        Self::available()[0]
    }

    /// All that this processor has, best first. They give the same bits.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut out = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            if avx512 {
                out.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                out.push(Self::Avx2);
            }
        }
        out.push(Self::Portable);
        out
    }
}

/// What all trials of a run have in common.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) chip: &'a DrawnChip,
    pub(crate) caps: &'a Capabilities,
    pub(crate) compiled: &'a Compiled,
    pub(crate) noise: Noise,
    pub(crate) simd: Simd,
}

/// What one trial brought, besides its samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrialResult {
    pub(crate) spikes: Vec<SpikeEvent>,
    pub(crate) dropped: u64,
    pub(crate) saturated: u64,
    pub(crate) stalled: bool,
}

/// Memory of one trial in flight.
#[derive(Clone, Debug, Default)]
struct InFlight {
    trial: u64,
    steps: u32,
    inputs: Vec<Event>,
    /// Spikes of finished stages, as events.
    spikes: Vec<Event>,
    /// Both, merged.
    merged: Vec<Event>,
    fired: Vec<Fired>,
    /// Fired times with jitter, in sub-steps, and neuron.
    out: Vec<(f64, u16)>,
    clock: SampleClock,
}

/// Memory of one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    trials: Vec<InFlight>,
    trace: Vec<Row>,
    stored: Vec<Stored>,
    counts: Vec<u32>,
    pending: Vec<Event>,
    now: Vec<Event>,
    digital: super::digital::DigitalScratch,
}

/// Runs `stimuli`; `samples` is `[trial, sample, channel]` of this chunk.
pub(crate) fn run_chunk(
    setting: Setting<'_>,
    stimuli: &[Stimulus],
    samples: &mut [u16],
    results: &mut [TrialResult],
    scratch: &mut Scratch,
) {
    if let Some(core) = &setting.chip.profile.digital {
        let scratch = &mut scratch.digital;
        return super::digital::run_chunk(setting, core, stimuli, samples, results, scratch);
    }
    match setting.simd {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 => {
            // SAFETY: `Simd::available` found these features on this processor.
            unsafe { chunk_avx512(setting, stimuli, samples, results, scratch) }
        }
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => {
            // SAFETY: as above.
            unsafe { chunk_avx2(setting, stimuli, samples, results, scratch) }
        }
        _ => chunk::<Portable>(setting, stimuli, samples, results, scratch),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,avx2,bmi1,bmi2,popcnt,lzcnt")]
fn chunk_avx512(
    s: Setting<'_>,
    st: &[Stimulus],
    sa: &mut [u16],
    r: &mut [TrialResult],
    sc: &mut Scratch,
) {
    chunk::<Avx512>(s, st, sa, r, sc);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn chunk_avx2(
    s: Setting<'_>,
    st: &[Stimulus],
    sa: &mut [u16],
    r: &mut [TrialResult],
    sc: &mut Scratch,
) {
    chunk::<Array>(s, st, sa, r, sc);
}

#[inline(always)]
fn chunk<L: Unit>(
    setting: Setting<'_>,
    stimuli: &[Stimulus],
    samples: &mut [u16],
    results: &mut [TrialResult],
    scratch: &mut Scratch,
) {
    prepare(setting, stimuli, scratch);
    let recording = &setting.compiled.config.recording;
    let per_trial = recording.traces.len() * usize::from(recording.samples);
    results.iter_mut().for_each(|r| {
        r.spikes.clear();
        (r.dropped, r.saturated, r.stalled) = (0, 0, false);
    });
    let count = stimuli.len();
    let mut stages = setting.compiled.stages.iter().peekable();
    while let Some(stage) = stages.next() {
        let last = stages.peek().is_none();
        if stage.cyclic {
            for k in 0..count {
                let samples = &mut samples[k * per_trial..(k + 1) * per_trial];
                cyclic_trial::<L>(setting, stage, k, samples, &mut results[k], scratch);
            }
        } else {
            for part in stage.parts.clone() {
                let bundle = setting.compiled.bundle(part);
                for k in 0..count {
                    let samples = &mut samples[k * per_trial..(k + 1) * per_trial];
                    match bundle.blocks.len() {
                        4 => acyclic_trial::<L, 4>(
                            setting,
                            &bundle,
                            stage,
                            part,
                            k,
                            samples,
                            &mut results[k],
                            scratch,
                        ),
                        _ => acyclic_trial::<L, 1>(
                            setting,
                            &bundle,
                            stage,
                            part,
                            k,
                            samples,
                            &mut results[k],
                            scratch,
                        ),
                    }
                }
            }
        }
        for k in 0..count {
            finish_stage(setting, &mut scratch.trials[k], stage.cyclic, last, &mut scratch.counts);
        }
    }
    for (k, result) in results.iter_mut().enumerate() {
        emit(setting, &mut scratch.trials[k], stimuli[k].duration, result);
    }
}

/// Turns stimuli into events on the grid and draws what belongs to whole trials.
fn prepare(setting: Setting<'_>, stimuli: &[Stimulus], scratch: &mut Scratch) {
    let grid = setting.compiled.grid;
    let recording = &setting.compiled.config.recording;
    if scratch.trials.len() < stimuli.len() {
        scratch.trials.resize_with(stimuli.len(), InFlight::default);
    }
    scratch.counts.clear();
    scratch.counts.resize(setting.compiled.config.neurons(), 0);
    for (stimulus, flight) in stimuli.iter().zip(&mut scratch.trials) {
        flight.trial = stimulus.trial;
        let sampled = if recording.traces.is_empty() { 0 } else { u32::from(recording.samples) };
        let sampling = sampled.saturating_sub(1).saturating_mul(recording.sample_period);
        flight.steps = grid.steps(stimulus.duration.max(sampling));
        flight.inputs.clear();
        flight.spikes.clear();
        flight.fired.clear();
        flight.out.clear();
        let mut sorted = true;
        let mut before = 0;
        for event in &stimulus.events {
            let (step, frac) = grid.locate(event.tick);
            let event = Event { step, row: u32::from(event.id), frac };
            let key = event.key();
            sorted &= key >= before;
            before = key;
            flight.inputs.push(event);
        }
        if !sorted {
            // Stable, so that events of one line keep their order in time.
            flight.inputs.sort_by_key(Event::key);
        }
        flight.clock.draw(setting, stimulus.trial, sampled);
    }
}

/// The events that drive a stage in a trial.
fn drive<'a>(flight: &'a InFlight, stage: &Stage) -> &'a [Event] {
    match (stage.from_inputs, stage.from_neurons && !flight.spikes.is_empty()) {
        (true, false) => &flight.inputs,
        (false, true) => &flight.spikes,
        (true, true) => &flight.merged,
        (false, false) => &[],
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "all of it lives in registers across the trials")]
fn acyclic_trial<L: Unit, const B: usize>(
    setting: Setting<'_>,
    bundle: &Bundle<'_>,
    stage: &Stage,
    part: usize,
    k: usize,
    samples: &mut [u16],
    result: &mut TrialResult,
    scratch: &mut Scratch,
) {
    let mut fired = core::mem::take(&mut scratch.trials[k].fired);
    let flight = &scratch.trials[k];
    let mut stored = [Stored::EMPTY; B];
    L::begin(setting, bundle, flight.trial, &mut stored);
    let mut live = Live::<L, B>::load(&stored);
    let events = drive(flight, stage);
    let grid = setting.compiled.grid;
    let converter = Converter::new(setting, part);
    let wanted = if converter.records() {
        usize::from(setting.compiled.config.recording.samples)
    } else {
        0
    };
    if scratch.trace.len() < wanted * B {
        scratch.trace.resize(wanted * B, Row::ZERO);
    }
    let (mut at, mut sample) = (0, 0);
    let mut next_sample = if wanted > 0 { 0 } else { u32::MAX };
    for step in 0..flight.steps {
        if step == next_sample {
            record::<L, B>(&live, bundle, &stored, &mut scratch.trace, sample);
            sample += 1;
            next_sample = if sample < wanted { step + grid.substeps } else { u32::MAX };
        }
        let from = at;
        while at < events.len() && events[at].step == step {
            at += 1;
        }
        live.advance(bundle, &mut stored, step, &events[from..at], &mut fired);
    }
    if next_sample == flight.steps {
        record::<L, B>(&live, bundle, &stored, &mut scratch.trace, sample);
    }
    if wanted > 0 {
        L::convert(&converter, flight.trial, &flight.clock, &scratch.trace, samples, result);
    }
    scratch.trials[k].fired = fired;
}

#[inline(always)]
fn record<L: Unit, const B: usize>(
    live: &Live<L, B>,
    bundle: &Bundle<'_>,
    stored: &[Stored; B],
    trace: &mut [Row],
    sample: usize,
) {
    if let Some(into) = trace[sample * B..].first_chunk_mut::<B>() {
        live.sample(bundle, stored, into);
    }
}

/// A stage whose neurons drive each other: all parts step by step.
#[inline(always)]
fn cyclic_trial<L: Unit>(
    setting: Setting<'_>,
    stage: &Stage,
    k: usize,
    samples: &mut [u16],
    result: &mut TrialResult,
    scratch: &mut Scratch,
) {
    let Scratch { trials, trace, stored, counts, pending, now, .. } = scratch;
    let flight = &mut trials[k];
    let compiled = setting.compiled;
    let parts = &compiled.parts[stage.parts.clone()];
    let first = parts.first().map_or(0, |p| p.first);
    let blocks: usize = parts.iter().map(|p| p.blocks).sum();
    let wanted = usize::from(compiled.config.recording.samples);
    stored.clear();
    stored.resize(blocks, Stored::EMPTY);
    if trace.len() < wanted * blocks {
        trace.resize(wanted * blocks, Row::ZERO);
    }
    for part in stage.parts.clone() {
        let bundle = compiled.bundle(part);
        let at = compiled.parts[part].first - first;
        L::begin(setting, &bundle, flight.trial, &mut stored[at..at + bundle.blocks.len()]);
    }
    pending.clear();
    let mut fired = core::mem::take(&mut flight.fired);
    let (mut at, mut next_sample, mut sample) = (0, 0, 0);
    for step in 0..=flight.steps {
        let sampling = sample < wanted && step == next_sample;
        if step == flight.steps && !sampling {
            break;
        }
        let events = drive(flight, stage);
        now.clear();
        while at < events.len() && events[at].step == step {
            now.push(events[at]);
            at += 1;
        }
        pending.retain(|event| {
            if event.step == step {
                now.push(*event);
            }
            event.step != step
        });
        now.sort_by_key(Event::key);
        let seen = fired.len();
        for part in stage.parts.clone() {
            let bundle = compiled.bundle(part);
            let b = compiled.parts[part].first - first;
            // `[part][sample][block]`, as the converter reads it.
            let lines = &mut trace[b * wanted..(b + bundle.blocks.len()) * wanted];
            let sample = sampling.then_some(sample);
            let run = step < flight.steps;
            let stored = &mut stored[b..];
            cyclic_step::<L>(&bundle, stored, lines, sample, run, step, now, &mut fired);
        }
        if sampling {
            sample += 1;
            next_sample += compiled.grid.substeps;
        }
        for f in &fired[seen..] {
            let time = jittered(setting, flight.trial, *f, counts);
            flight.out.push((time, f.neuron as u16));
            pending.push(arrival(setting, *f, time));
        }
    }
    for f in &fired {
        counts[f.neuron as usize] = 0;
    }
    for part in stage.parts.clone() {
        let converter = Converter::new(setting, part);
        if wanted > 0 && converter.records() {
            let b = compiled.parts[part].first - first;
            let lines = &trace[b * wanted..(b + compiled.parts[part].blocks) * wanted];
            L::convert(&converter, flight.trial, &flight.clock, lines, samples, result);
        }
    }
    flight.fired = fired;
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "one step of one part")]
fn cyclic_step<L: Unit>(
    bundle: &Bundle<'_>,
    stored: &mut [Stored],
    trace: &mut [Row],
    sample: Option<usize>,
    run: bool,
    step: u32,
    now: &[Event],
    fired: &mut Vec<Fired>,
) {
    let Some(stored) = stored.first_chunk_mut::<1>() else { return };
    let mut live = Live::<L, 1>::load(stored);
    if let Some(sample) = sample {
        record::<L, 1>(&live, bundle, stored, trace, sample);
    }
    if run {
        live.advance(bundle, stored, step, now, fired);
        live.save(stored);
    }
}

/// Time at which a spike leaves, in sub-steps, with the jitter of its way.
#[inline(always)]
fn jittered(setting: Setting<'_>, trial: u64, fired: Fired, counts: &mut [u32]) -> f64 {
    let jitter = setting.chip.profile.noise.spike_jitter_us;
    let time = f64::from(fired.step) + f64::from(fired.frac);
    if jitter == 0.0 {
        return time;
    }
    let count = &mut counts[fired.neuron as usize];
    let z = setting.noise.normal(NoiseOf::Jitter, trial, fired.neuron, *count);
    *count += 1;
    (time + f64::from(z) * jitter / setting.compiled.grid.step_us()).max(0.0)
}

/// The spike as it arrives at synapses: never in the sub-step in which it was fired, so that the
/// order of computation inside a sub-step cannot matter.
fn arrival(setting: Setting<'_>, fired: Fired, time: f64) -> Event {
    let delay = setting.chip.profile.time.axonal_delay_us / setting.compiled.grid.step_us();
    let at = (time + delay).max(f64::from(fired.step) + 1.0);
    let step = at as u32;
    let row = u32::from(setting.caps.inputs) + fired.neuron;
    Event { step, row, frac: ((at - f64::from(step)) as f32).min(0.999_999_9) }
}

/// Collects the spikes of a finished stage and merges them into what drives the next ones.
#[inline(always)]
fn finish_stage(
    setting: Setting<'_>,
    flight: &mut InFlight,
    cyclic: bool,
    last: bool,
    counts: &mut [u32],
) {
    let deliver = !last && setting.caps.recurrent;
    for k in 0..flight.fired.len() {
        let f = flight.fired[k];
        // A cyclic stage has drawn its jitter already, in the same order for each neuron.
        let time = if cyclic {
            flight.out[flight.out.len() - flight.fired.len() + k].0
        } else {
            let time = jittered(setting, flight.trial, f, counts);
            flight.out.push((time, f.neuron as u16));
            time
        };
        if deliver {
            flight.spikes.push(arrival(setting, f, time));
        }
    }
    for f in &flight.fired {
        counts[f.neuron as usize] = 0;
    }
    if deliver && !flight.fired.is_empty() {
        flight.spikes.sort_by_key(Event::key);
        flight.merged.clear();
        flight.merged.extend_from_slice(&flight.inputs);
        flight.merged.extend_from_slice(&flight.spikes);
        flight.merged.sort_by_key(Event::key);
    }
    flight.fired.clear();
}

/// Spikes as the host gets them: stamped, sorted, through the bus.
fn emit(setting: Setting<'_>, flight: &mut InFlight, duration: u32, result: &mut TrialResult) {
    result.stalled = flight.clock.stalled();
    if !setting.compiled.config.recording.spikes {
        return;
    }
    let stamp = f64::from(setting.chip.profile.time.stamp_ticks);
    let scale = setting.compiled.grid.step_ticks() / stamp;
    for (time, neuron) in &flight.out {
        let tick = (time * scale + 0.5) as u32 * setting.chip.profile.time.stamp_ticks;
        if tick < duration {
            result.spikes.push(SpikeEvent::new(tick, *neuron));
        }
    }
    result.spikes.sort_unstable();
    result.dropped = bus::deliver(&setting.chip.profile, setting.caps, &mut result.spikes);
}
