//! Bodies of records: configurations as differences, runs packed as on the wire.

use super::format::{put_serialised, read_serialised};
use crate::caps::Capabilities;
use crate::chip::{Health, Observables, Stimulus, TimeSplit};
use crate::config::{ChipConfig, Recording};
use crate::event::{SpikeEvent, Tick};
use crate::wire::{
    Events, MAX_EVENT_LEN, Malformed, Samples, Writer, address_bits, pack_events, pack_samples,
    packed_len,
};

/// Bit of a configuration's flags: it stands alone.
const FULL: u8 = 1;
/// Bit of a configuration's flags: the recording settings follow.
const SETTINGS: u8 = 2;
/// Unchanged cells between two changed ones up to which it is shorter to write them all.
const BRIDGE: usize = 2;
/// Bytes of an event that is not packed.
const RAW_EVENT: usize = 6;

/// What a run brought back, as it was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Spikes, samples, drops, time split.
    pub observables: Observables,
    /// Counters of the chip after the run.
    pub health: Health,
    /// Temperature of the chip in °C, if it could tell.
    pub temperature_c: Option<f32>,
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads a body front to back. Nothing it returns is longer than what it was given.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        let (head, tail) = self.bytes.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
        self.bytes = tail;
        Ok(u64::from_le_bytes(*head))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for k in 0..10 {
            let byte = self.u8()?;
            let group = u64::from(byte & 0x7F);
            if k == 9 && group > 1 {
                break;
            }
            value |= group << (7 * k);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    fn zigzag(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A varint as an index, at most `most`.
    fn index(&mut self, most: usize) -> Result<usize, Malformed> {
        let value = self.varint()?;
        usize::try_from(value).ok().filter(|v| *v <= most).ok_or(Malformed::Truncated)
    }

    /// How many things follow that take `least` bytes each.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let value = self.varint()?;
        let most = self.bytes.len() / least.max(1);
        usize::try_from(value).ok().filter(|v| *v <= most).ok_or(Malformed::Truncated)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }
}

pub(super) fn put_temperature(temperature_c: Option<f32>, out: &mut Vec<u8>) {
    out.push(u8::from(temperature_c.is_some()));
    out.extend_from_slice(&temperature_c.unwrap_or(0.0).to_le_bytes());
}

pub(super) fn read_temperature(from: &mut Input<'_>) -> Result<Option<f32>, Malformed> {
    let told = from.u8()?;
    let bytes = from.take(4)?;
    let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok((told == 1).then_some(value))
}

/// Brings `state`, which has every parameter in the order in which the chip announced them, to
/// `config`, whose lists may stand in another order.
pub(super) fn adopt(state: &mut ChipConfig, config: &ChipConfig) {
    state.weights.clone_from(&config.weights);
    for (parameter, codes) in &mut state.parameters {
        if let Some(given) = config.codes(*parameter) {
            given.clone_into(codes);
        }
    }
    state.enabled.clone_from(&config.enabled);
    state.spiking.clone_from(&config.spiking);
    state.recording.clone_from(&config.recording);
}

/// Stretches of cells in which two lists of the same length differ.
fn stretches<T: PartialEq>(from: &[T], to: &[T]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let changed = from.iter().zip(to).enumerate().filter(|(_, (a, b))| a != b);
    for (at, _) in changed {
        match found.last_mut() {
            Some((_, end)) if at <= *end + BRIDGE => *end = at + 1,
            _ => found.push((at, at + 1)),
        }
    }
    found
}

fn put_codes<T: PartialEq + Copy>(
    from: &[T],
    to: &[T],
    out: &mut Vec<u8>,
    put: impl Fn(T, &mut Vec<u8>),
) {
    let found = stretches(from, to);
    put_varint(out, found.len() as u64);
    let mut at = 0;
    for (start, end) in found {
        put_varint(out, (start - at) as u64);
        put_varint(out, (end - start) as u64);
        to[start..end].iter().for_each(|code| put(*code, out));
        at = end;
    }
}

fn read_codes<T>(
    from: &mut Input<'_>,
    cells: &mut [T],
    width: usize,
    get: impl Fn(&[u8]) -> T,
) -> Result<(), Malformed> {
    let mut at = 0;
    for _ in 0..from.count(2)? {
        at += from.index(cells.len() - at)?;
        let length = from.index(cells.len() - at)?;
        let bytes = from.take(length * width)?;
        for (cell, bytes) in cells[at..at + length].iter_mut().zip(bytes.chunks_exact(width)) {
            *cell = get(bytes);
        }
        at += length;
    }
    Ok(())
}

/// Neurons between two switches that stay as they are must not be toggled: no bridges here.
fn put_switches(from: &[bool], to: &[bool], out: &mut Vec<u8>) {
    let toggled: Vec<bool> = from.iter().zip(to).map(|(a, b)| a != b).collect();
    let mut found = Vec::new();
    let mut at = 0;
    for part in toggled.chunk_by(|a, b| a == b) {
        if part[0] {
            found.push((at, part.len()));
        }
        at += part.len();
    }
    put_varint(out, found.len() as u64);
    at = 0;
    for (start, length) in found {
        put_varint(out, (start - at) as u64);
        put_varint(out, length as u64);
        at = start + length;
    }
}

fn read_switches(from: &mut Input<'_>, cells: &mut [bool]) -> Result<(), Malformed> {
    let mut at = 0;
    for _ in 0..from.count(2)? {
        at += from.index(cells.len() - at)?;
        let length = from.index(cells.len() - at)?;
        cells[at..at + length].iter_mut().for_each(|cell| *cell = !*cell);
        at += length;
    }
    Ok(())
}

/// The body of a configuration: what changes from `from` to `to`. `full` if `from` is the state after
/// power-up. Both have every parameter in the announced order.
pub(super) fn put_config(full: bool, from: &ChipConfig, to: &ChipConfig, out: &mut Vec<u8>) {
    let settings = from.recording != to.recording;
    out.push(if full { FULL } else { 0 } | if settings { SETTINGS } else { 0 });
    put_codes(&from.weights, &to.weights, out, |code, out| out.push(code as u8));
    let lists = || from.parameters.iter().zip(&to.parameters);
    put_varint(out, lists().filter(|(a, b)| a != b).count() as u64);
    for (k, ((_, before), (_, after))) in lists().enumerate().filter(|(_, (a, b))| a != b) {
        out.push(k as u8);
        put_codes(before, after, out, |code, out| out.extend_from_slice(&code.to_le_bytes()));
    }
    put_switches(&from.enabled, &to.enabled, out);
    put_switches(&from.spiking, &to.spiking, out);
    if settings {
        put_settings(&to.recording, out);
    }
}

fn put_settings(settings: &Recording, out: &mut Vec<u8>) {
    let (reference, floor) = (settings.reference, settings.floor);
    let options = u8::from(reference.is_some()) << 1 | u8::from(floor.is_some()) << 2;
    out.push(u8::from(settings.spikes) | options);
    put_varint(out, u64::from(settings.sample_period));
    put_varint(out, u64::from(settings.samples));
    for code in [reference, floor].into_iter().flatten() {
        put_varint(out, u64::from(code));
    }
    put_varint(out, settings.traces.len() as u64);
    settings.traces.iter().for_each(|id| put_varint(out, u64::from(*id)));
}

fn read_settings(from: &mut Input<'_>) -> Result<Recording, Malformed> {
    let flags = from.u8()?;
    if flags > 7 {
        return Err(Malformed::Reserved);
    }
    let sample_period = from.index(Tick::MAX as usize)? as Tick;
    let samples = from.index(usize::from(u16::MAX))? as u16;
    let mut code = |bit| match flags & bit {
        0 => Ok(None),
        _ => from.index(usize::from(u16::MAX)).map(|code| Some(code as u16)),
    };
    let (reference, floor) = (code(2)?, code(4)?);
    let traced = from.count(1)?;
    let traces = (0..traced)
        .map(|_| Ok(from.index(usize::from(u16::MAX))? as u16))
        .collect::<Result<_, Malformed>>()?;
    let spikes = flags & 1 != 0;
    Ok(Recording { spikes, traces, sample_period, samples, reference, floor })
}

/// Whether a configuration stands alone.
pub(super) fn is_full(body: &[u8]) -> bool {
    body.first().is_some_and(|flags| flags & FULL != 0)
}

/// Brings `state` to what a configuration says.
pub(super) fn apply_config(
    body: &[u8],
    caps: &Capabilities,
    state: &mut ChipConfig,
) -> Result<(), Malformed> {
    let mut from = Input::new(body);
    let flags = from.u8()?;
    if flags & !(FULL | SETTINGS) != 0 {
        return Err(Malformed::Reserved);
    }
    if flags & FULL != 0 {
        *state = ChipConfig::power_up(caps);
    }
    read_codes(&mut from, &mut state.weights, 1, |bytes| bytes[0] as i8)?;
    for _ in 0..from.count(2)? {
        let at = usize::from(from.u8()?);
        let (_, codes) = state.parameters.get_mut(at).ok_or(Malformed::Parameter)?;
        read_codes(&mut from, codes, 2, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))?;
    }
    read_switches(&mut from, &mut state.enabled)?;
    read_switches(&mut from, &mut state.spiking)?;
    if flags & SETTINGS != 0 {
        state.recording = read_settings(&mut from)?;
    }
    from.end()
}

/// Address bits that hold every event of the trials, or 0 if one of them is not in order.
fn bits_for<'a>(trials: impl Iterator<Item = &'a [SpikeEvent]>) -> u8 {
    let mut highest = 0;
    for events in trials {
        if events.windows(2).any(|pair| pair[0].tick > pair[1].tick) {
            return 0;
        }
        highest = events.iter().map(|event| event.id).max().unwrap_or(0).max(highest);
    }
    address_bits(highest.saturating_add(1))
}

fn put_events(events: &[SpikeEvent], bits: u8, out: &mut Vec<u8>, scratch: &mut Vec<u8>) {
    scratch.clear();
    if bits == 0 {
        for event in events {
            scratch.extend_from_slice(&event.tick.to_le_bytes());
            scratch.extend_from_slice(&event.id.to_le_bytes());
        }
        return put_bytes(out, scratch);
    }
    scratch.resize(events.len() * MAX_EVENT_LEN, 0);
    let mut writer = Writer::new(scratch);
    pack_events(events, bits, &mut writer);
    put_bytes(out, writer.written());
}

fn read_events(bytes: &[u8], bits: u8, into: &mut Vec<SpikeEvent>) -> Result<(), Malformed> {
    if bits > 0 {
        for event in Events::new(bytes, bits)? {
            into.push(event?);
        }
        return Ok(());
    }
    let (events, []) = bytes.as_chunks::<RAW_EVENT>() else { return Err(Malformed::Truncated) };
    into.extend(events.iter().map(|[a, b, c, d, e, f]| {
        SpikeEvent::new(u32::from_le_bytes([*a, *b, *c, *d]), u16::from_le_bytes([*e, *f]))
    }));
    Ok(())
}

/// The stimuli of a run, without its number.
pub(super) fn put_stimuli(stimuli: &[Stimulus], out: &mut Vec<u8>) {
    let bits = bits_for(stimuli.iter().map(|s| s.events.as_slice()));
    put_varint(out, stimuli.len() as u64);
    out.push(bits);
    let (mut expected, mut duration) = (0_u64, 0_i64);
    let mut scratch = Vec::new();
    for stimulus in stimuli {
        put_zigzag(out, stimulus.trial.wrapping_sub(expected) as i64);
        put_zigzag(out, i64::from(stimulus.duration) - duration);
        (expected, duration) = (stimulus.trial.wrapping_add(1), i64::from(stimulus.duration));
        put_events(&stimulus.events, bits, out, &mut scratch);
    }
}

/// Reads the stimuli of a run, without its number, into `into`, whose memory is used again.
pub(super) fn read_stimuli(body: &[u8], into: &mut Vec<Stimulus>) -> Result<(), Malformed> {
    let mut from = Input::new(body);
    let trials = from.varint()?;
    let bits = from.u8()?;
    let trials = usize::try_from(trials).ok().filter(|n| *n <= body.len() / 3);
    let trials = trials.ok_or(Malformed::Truncated)?;
    into.truncate(trials);
    into.resize_with(trials, Stimulus::default);
    let (mut expected, mut duration) = (0_u64, 0_i64);
    for stimulus in into {
        stimulus.trial = expected.wrapping_add(from.zigzag()? as u64);
        duration = duration.checked_add(from.zigzag()?).ok_or(Malformed::Time)?;
        stimulus.duration = Tick::try_from(duration).map_err(|_| Malformed::Time)?;
        expected = stimulus.trial.wrapping_add(1);
        stimulus.events.clear();
        read_events(from.bytes()?, bits, &mut stimulus.events)?;
    }
    from.end()
}

/// What a run brought back, without its number. `bits` is the resolution of the chip's converter.
pub(super) fn put_results(
    observables: &Observables,
    bits: u8,
    health: &Health,
    temperature_c: Option<f32>,
    out: &mut Vec<u8>,
) {
    let trials = observables.trials();
    let spikes = || (0..trials).map(|k| observables.spikes_of(k));
    let address_bits = bits_for(spikes());
    put_varint(out, trials as u64);
    out.push(address_bits);
    let mut scratch = Vec::new();
    spikes().for_each(|events| put_events(events, address_bits, out, &mut scratch));
    let highest = observables.samples.iter().copied().max().unwrap_or(0);
    let bits = bits.clamp(1, 16).max((u16::BITS - highest.leading_zeros()) as u8);
    out.push(bits);
    put_varint(out, observables.samples.len() as u64);
    let at = out.len();
    out.resize(at + packed_len(observables.samples.len(), bits), 0);
    pack_samples(&observables.samples, bits, &mut out[at..]);
    put_varint(out, observables.stalled.len() as u64);
    observables.stalled.iter().for_each(|k| put_varint(out, u64::from(*k)));
    put_varint(out, observables.dropped_events);
    put_temperature(temperature_c, out);
    put_serialised(&observables.time, out);
    put_serialised(health, out);
}

/// Reads what a run brought back, without its number, into `into`, whose memory is used again.
pub(super) fn read_results(body: &[u8], into: &mut Results) -> Result<(), Malformed> {
    let mut from = Input::new(body);
    let observables = &mut into.observables;
    observables.clear();
    let trials = from.varint()?;
    let bits = from.u8()?;
    // A trial takes a byte at least; more are cut short by the end of the body.
    for _ in 0..trials.min(body.len() as u64 + 1) {
        read_events(from.bytes()?, bits, &mut observables.spikes)?;
        observables.offsets.push(observables.spikes.len() as u32);
    }
    let bits = from.u8()?;
    let count = from.index(from.bytes.len().saturating_mul(8))?;
    let packed = if (1..=16).contains(&bits) { packed_len(count, bits) } else { 0 };
    let samples = Samples::new(from.take(packed)?, bits, count)?;
    observables.samples.resize(count, 0);
    samples.unpack(&mut observables.samples);
    for _ in 0..from.count(1)? {
        observables.stalled.push(from.index(u32::MAX as usize)? as u32);
    }
    observables.dropped_events = from.varint()?;
    into.temperature_c = read_temperature(&mut from)?;
    observables.time = read_serialised::<TimeSplit>(&mut from)?;
    into.health = read_serialised::<Health>(&mut from)?;
    from.end()
}
