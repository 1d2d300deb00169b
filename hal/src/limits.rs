//! What one run may ask of a chip: the same checks for every kind of chip, before anything is sent.

use crate::caps::{Adc, Capabilities, MAX_PARAMETERS};
use crate::chip::Stimulus;
use crate::config::Recording;
use crate::error::Error;
use crate::wire::{MIN_BODY, top_code};

/// Most weights that a host believes a chip to have: 8192 sources on 8192 neurons. A number beyond
/// it comes from a broken device and would only exhaust memory.
const MAX_WEIGHTS: usize = 1 << 26;

/// Checks a run against the chip's buffers and the form of its stimuli.
///
/// # Errors
/// [`Error::BeyondBuffers`] for what does not fit, [`Error::Stimulus`] for what makes no sense.
pub fn check_run(
    caps: &Capabilities,
    recording: &Recording,
    stimuli: &[Stimulus],
) -> Result<(), Error> {
    let buffers = &caps.buffers;
    let trials = stimuli.len() as u64;
    fits("trials in one run", trials, buffers.trials)?;
    let events: u64 = stimuli.iter().map(|stimulus| stimulus.events.len() as u64).sum();
    fits("input events in one run", events, buffers.stimulus_events)?;
    let samples = recording.traces.len() as u64 * u64::from(recording.samples);
    let bytes = samples * trials * u64::from(caps.bytes_per_sample());
    fits("bytes of membrane samples in one run", bytes, buffers.trace_bytes)?;
    for (trial, stimulus) in stimuli.iter().enumerate() {
        let duration = u64::from(stimulus.duration);
        fits("ticks in one trial", duration, caps.max_duration)?;
        if let Some(reason) = fault(caps, stimulus) {
            return Err(Error::Stimulus { trial, reason });
        }
    }
    Ok(())
}

fn fits(what: &'static str, requested: u64, limit: u32) -> Result<(), Error> {
    let limit = u64::from(limit);
    if requested <= limit { Ok(()) } else { Err(Error::BeyondBuffers { what, requested, limit }) }
}

fn fault(caps: &Capabilities, stimulus: &Stimulus) -> Option<&'static str> {
    let events = &stimulus.events;
    if stimulus.duration == 0 {
        return Some("a trial must last at least one tick");
    }
    if events.iter().any(|event| event.id >= caps.inputs) {
        return Some("an event goes to an input line that this chip does not have");
    }
    if events.windows(2).any(|pair| pair[0].tick > pair[1].tick) {
        return Some("events must be in ascending order of time");
    }
    match events.last() {
        Some(last) if last.tick >= stimulus.duration => {
            Some("an event comes at or after the end of the trial")
        }
        _ => None,
    }
}

/// Checks that what a device says it is makes sense, so that no later computation has to.
///
/// # Errors
/// [`Error::Announcement`] naming the first thing that does not.
pub fn check_capabilities(caps: &Capabilities) -> Result<(), Error> {
    let nonsense = [
        (caps.neurons == 0, "it has no neurons"),
        (caps.inputs == 0, "it has no inputs"),
        (caps.sources() > usize::from(u16::MAX), "more than 65535 rows of weights"),
        (caps.sources() * usize::from(caps.neurons) > MAX_WEIGHTS, "more than 2^26 weights"),
        (caps.weight_min > caps.weight_max, "its weight range is empty"),
        (caps.weight_min > 0 || caps.weight_max < 0, "its weights cannot be 0"),
        (caps.tick_ns == 0, "its tick has no length"),
        (caps.max_duration == 0, "its longest trial has no length"),
        (caps.adc.is_some_and(bad_adc), "its converter makes no sense"),
        (caps.buffers.trials == 0, "it holds no trial"),
        (caps.buffers.runs_in_flight == 0, "it holds no run"),
        (usize::from(caps.buffers.frame_body) < MIN_BODY, "its frames are too short"),
        (bad_parameters(caps), "its parameters make no sense"),
    ];
    match nonsense.into_iter().find(|(wrong, _)| *wrong) {
        Some((_, reason)) => Err(Error::Announcement { reason }),
        None => Ok(()),
    }
}

fn bad_adc(adc: Adc) -> bool {
    !(1..=16).contains(&adc.bits)
        || adc.min_period == 0
        || adc.reliable_min > adc.reliable_max
        || adc.reliable_max > top_code(adc.bits)
}

fn bad_parameters(caps: &Capabilities) -> bool {
    let specs = caps.parameters.as_slice();
    let bad_code = specs.iter().any(|spec| {
        spec.code_min > spec.code_default
            || spec.code_default > spec.code_max
            || !spec.value(spec.code_default).is_finite()
    });
    let twice = (1..specs.len())
        .any(|k| specs[..k].iter().any(|spec| spec.parameter == specs[k].parameter));
    bad_code || twice || specs.len() > MAX_PARAMETERS
}
