//! What the fuzz targets do with their bytes; the tests do the same with every file of the corpus.
//! Each must come to its end without a panic, in bounded memory, and find its promises kept.

use spikeloop_hal::emulator::{Emulator, Profile};
use spikeloop_hal::limits::check_capabilities;
use spikeloop_hal::link::fault::{Direction, FaultSettings, Line};
use spikeloop_hal::recording::{Results, Tape};
use spikeloop_hal::wire::window::{Arrival, Side, Window};
use spikeloop_hal::wire::{
    Ack, CapabilitiesBody, Decoder, Frame, Header, Kind, MAX_BODY, Message, Reader, ResultBlock,
    RuleKind, Writer, encoded_len,
};
use spikeloop_hal::{Capabilities, Chip, ChipConfig, Selector};
use std::path::Path;

/// What a decoder found: frames by header and body, damage by its number.
type Found = Vec<Result<(Header, Vec<u8>), u8>>;

fn decode(room: usize, pieces: impl Iterator<Item = Vec<u8>>) -> Found {
    let mut decoder = Decoder::new(vec![0; room]);
    let mut found = Vec::new();
    for piece in pieces {
        let mut input = &piece[..];
        while let Some(frame) = decoder.feed(&mut input) {
            found.push(match frame {
                Ok(frame) => Ok((frame.header, frame.body.to_vec())),
                Err(damage) => Err(damage as u8),
            });
        }
        assert!(input.is_empty());
    }
    found
}

/// The line in pieces gives what the whole line gives; what was found is found again after it was
/// written anew; any body goes through the line.
pub fn frames(data: &[u8]) {
    let [room, cut, line @ ..] = data else { return };
    let room = 16 + usize::from(*room) * 3;
    let whole = decode(room, std::iter::once(line.to_vec()));
    let pieces = decode(room, line.chunks(1 + usize::from(*cut)).map(<[u8]>::to_vec));
    assert_eq!(whole, pieces);
    let body = (Header::default(), line[..line.len().min(MAX_BODY)].to_vec());
    for (header, body) in whole.into_iter().flatten().chain([body]) {
        let mut out = vec![0; encoded_len(body.len())];
        let n = Frame { header, body: &body }.encode(&mut out).expect("there is room");
        assert!(out[..n - 1].iter().all(|byte| *byte != 0) && out[n - 1] == 0);
        let again = decode(n, std::iter::once(out[..n].to_vec()));
        assert_eq!(again, [Ok((header, body))]);
    }
}

/// Reads a view to its end.
fn read_to_the_end(message: &Message<'_>) {
    match message {
        Message::Weights(spans) | Message::LearnedWeights(spans) => {
            spans.iter().for_each(|span| assert_eq!(span.codes().count(), span.len()));
        }
        Message::Parameters(spans) => {
            spans.iter().for_each(|span| assert_eq!(span.codes().count(), span.len()));
        }
        Message::Flags(spans) => {
            spans.iter().for_each(|span| assert_eq!(span.values().count(), span.len()));
        }
        Message::Plasticity(rule) => {
            let [hidden, outputs, classes] =
                [rule.hidden, rule.outputs, rule.classes].map(usize::from);
            let numbers = match rule.kind {
                RuleKind::SuperSpike => outputs * hidden,
                RuleKind::LocalReadouts => classes * (hidden + outputs + 2),
                RuleKind::TargetSpikes => 0,
                RuleKind::Other(_) => rule.feedback.len() / 2,
            };
            assert_eq!(rule.feedback().count(), numbers);
        }
        Message::Learn(learn) => {
            let events = learn.events().expect("looked at when it was read");
            let errors = events.take_while(Result::is_ok).map(Result::unwrap);
            assert!(errors.is_sorted_by_key(|error| error.tick));
            assert!(!(learn.more && learn.update));
        }
        Message::Stimulus(blocks) => {
            for block in blocks.iter() {
                let events = block.events.take_while(Result::is_ok).map(Result::unwrap);
                assert!(events.is_sorted_by_key(|event| event.tick));
            }
        }
        Message::Result(blocks) => {
            for block in blocks.iter() {
                match block {
                    ResultBlock::Spikes { events, .. } => {
                        let spikes = events.take_while(Result::is_ok).map(Result::unwrap);
                        assert!(spikes.is_sorted_by_key(|spike| spike.tick));
                    }
                    ResultBlock::Samples { samples, .. } => {
                        let mut codes = vec![0; samples.len()];
                        samples.unpack(&mut codes);
                        let top = (1u32 << samples.bits()) - 1;
                        assert!(codes.iter().all(|code| u32::from(*code) <= top));
                    }
                    ResultBlock::Sparse { span, kept, .. } => {
                        let kept: Vec<_> = kept.map_while(Result::ok).collect();
                        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
                        assert!(kept.iter().all(|(place, _)| *place < span as usize));
                    }
                    ResultBlock::End(_) => {}
                }
            }
        }
        _ => {}
    }
}

/// A message that is understood is written as it was read.
pub fn messages(data: &[u8]) {
    let [kind, body @ ..] = data else { return };
    let body = &body[..body.len().min(MAX_BODY)];
    let Ok(message) = Message::decode(*kind, body) else { return };
    assert_eq!(message.kind() as u8, *kind);
    read_to_the_end(&message);
    let mut out = vec![0; body.len() + 16];
    let mut writer = Writer::new(&mut out);
    message.encode(&mut writer).expect("there is room");
    if let Message::Capabilities(view) = &message
        && view.window == 0
    {
        // A window of 0 frames is written as in version 1: not at all.
        assert_eq!(
            writer.written(),
            body.strip_suffix(&[0, 0]).filter(|_| body.len() > writer.len()).unwrap_or(body)
        );
        return;
    }
    assert_eq!(writer.written(), body);
}

/// The most weights that a body configures: the time of one try is bounded.
const FEW: usize = 1 << 18;

/// What passes the checks can be used, and is written and read again as the same.
pub fn capabilities(data: &[u8]) {
    let mut body = vec![0; 4];
    body.extend_from_slice(data);
    let Ok(Message::Capabilities(view)) = Message::decode(0x81, &body) else { return };
    let Ok(caps) = view.capabilities() else { return };
    if check_capabilities(&caps).is_err() {
        return;
    }
    use_capabilities(&caps);
    let mut scratch = [0; CapabilitiesBody::MAX_LEN];
    let body = CapabilitiesBody::new(7, 8, &caps, &mut scratch).expect("longer than said");
    // Compared as text: a number that is none is not equal to itself.
    let again = body.capabilities().expect("just written");
    assert_eq!(format!("{again:?}"), format!("{caps:?}"));
}

fn use_capabilities(caps: &Capabilities) {
    let _ = caps.identity.to_string();
    let _ = (caps.ticks(100.0), caps.microseconds(caps.max_duration), caps.bytes_per_sample());
    for spec in &caps.parameters {
        for value in [f32::MIN, -1.0, 0.0, 1e-9, 1.0, 5e8, f32::MAX, f32::INFINITY, f32::NAN] {
            let (code, _) = spec.nearest_code(value);
            assert!((spec.code_min..=spec.code_max).contains(&code));
        }
        let _ = (spec.value(spec.code_min), spec.value(spec.code_max));
    }
    if caps.sources() * usize::from(caps.neurons) <= FEW {
        let config = ChipConfig::power_up(caps);
        config.check(caps).expect("the state after power-up is allowed");
    }
}

/// A profile that passes its checks makes a chip whose announcement passes the host's.
pub fn profile(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(mut profile) = Profile::from_toml(text) else { return };
    profile.size.neurons = profile.size.neurons.min(24);
    profile.size.inputs = profile.size.inputs.min(24);
    let Ok(chip) = Emulator::new(profile, 1, 1, 1) else { return };
    check_capabilities(chip.capabilities()).expect("a host would refuse it");
    use_capabilities(chip.capabilities());
}

/// What a selector prints is the same selector.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = text.parse::<Selector>() {
        assert_eq!(selector.to_string().parse(), Ok(selector));
    }
}

/// Text up to the first line feed: faults, which print as themselves. Behind it: bytes for a line with these
/// faults, handed over in two pieces, which come out as if they were one.
pub fn faults(data: &[u8]) {
    let (text, bytes) = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(settings) = text.parse::<FaultSettings>() else { return };
    assert_eq!(settings.to_string().parse(), Ok(settings.clone()));
    let mut whole = Line::new(&settings, Direction::Up);
    whole.push(0, bytes);
    let mut pieces = Line::new(&settings, Direction::Up);
    let (one, two) = bytes.split_at(bytes.len() / 2);
    pieces.push(0, one);
    pieces.push(0, two);
    // As many looks as bytes, and a few for frames that were held back and lost.
    for _ in 0..2 * bytes.len() + 2 {
        let due = whole.next_due();
        assert_eq!(due, pieces.next_due());
        let Some(due) = due else { break };
        assert_eq!(whole.pop(due), pieces.pop(due));
    }
    assert_eq!(whole.next_due(), None);
    assert_eq!(whole.counts(), pieces.counts());
    assert!(whole.counts().bytes <= bytes.len() as u64);
}

/// A recording is read as far as it is whole; what it says is read to the end.
pub fn recording(data: &[u8]) {
    let source = std::io::Cursor::new(data.to_vec());
    let Ok(mut tape) = Tape::read(source, Path::new("fuzz")) else { return };
    let caps = tape.capabilities();
    if check_capabilities(caps).is_err() || caps.sources() * usize::from(caps.neurons) > FEW {
        return;
    }
    let (mut stimuli, mut results) = (Vec::new(), Results::default());
    for run in 0..tape.runs() {
        let _ = tape.configuration(run).map(|config| config.enabled.len());
        let _ = tape.stimuli(run, &mut stimuli);
        let _ = tape.results(run, &mut results);
    }
    let _ = (tape.ended().to_string(), tape.totals(), tape.failures().len());
}

/// Most bytes of a frame's body in the window that is fuzzed, and frames that it keeps.
const BODY: usize = 32;
const PLACES: usize = 4;

/// One end of a connection whose other end does what it likes: what it sends is always whole frames, what it
/// keeps stays within its memory, and it delivers each number once.
pub fn window(data: &[u8]) {
    let mut window =
        Window::new(Side::Device, vec![0; 4 * encoded_len(BODY)], vec![0; PLACES * BODY], BODY);
    window.restart(0, 0, PLACES as u16);
    let mut line = Vec::new();
    let (mut now, mut delivered) = (0, 0u16);
    let mut from = Reader::new(data);
    while let Ok(()) = step(&mut from, &mut window, &mut line, &mut now, &mut delivered) {}
    // Whatever was begun is ended before it is judged.
    for _ in 0..100 {
        let piece = window.pending(now).to_vec();
        window.taken(piece.len(), now);
        line.extend(piece);
    }
    let found = decode(encoded_len(BODY), std::iter::once(line));
    assert!(found.iter().all(Result::is_ok), "it sends whole frames only");
    assert_eq!(window.traffic().delivered, u64::from(delivered));
}

/// One thing that happens to the window; an error when nothing is left to happen.
fn step(
    from: &mut Reader<'_>,
    window: &mut Window<Vec<u8>>,
    line: &mut Vec<u8>,
    now: &mut u64,
    delivered: &mut u16,
) -> Result<(), spikeloop_hal::wire::Malformed> {
    let body = [7; BODY + 1];
    let header = |sequence, acknowledge| Header { sequence, acknowledge, ..Header::default() };
    match from.u8()? % 8 {
        0 => {
            let header = header(from.u16()?, from.u16()?);
            let len = usize::from(from.u8()?).min(body.len());
            // Many times: a flood of the same.
            let times = 1u32 << (from.u8()? % 18);
            for _ in 0..times {
                match window.arrived(header, &body[..len], *now) {
                    Arrival::Next => {
                        assert_eq!(header.sequence, *delivered, "in order, each once");
                        window.keep(Kind::Ping as u8, &body[..len]);
                    }
                    Arrival::Early => assert!(len <= BODY),
                    Arrival::Duplicate | Arrival::Beyond => {}
                }
            }
        }
        1 => {
            let header = header(from.u16()?, from.u16()?);
            let (received, limit) = (from.u32()?, from.u16()?);
            let ack = Ack { received, limit, probe: from.u16()?, echo: from.u16()? };
            window.acknowledgement(header, &ack, *now);
        }
        2 => {
            let len = usize::from(from.u8()?).min(BODY);
            let room = window.has_room(len);
            assert_eq!(window.send(Kind::Health, &body[..len], *now).is_ok(), room);
        }
        3 => {
            let n = usize::from(from.u8()?);
            let piece = window.pending(*now).to_vec();
            let n = n.min(piece.len());
            line.extend_from_slice(&piece[..n]);
            window.taken(n, *now);
        }
        4 => *now += u64::from(from.u32()?),
        5 => {
            if window.next().is_some() {
                window.consumed(*now);
                *delivered = delivered.wrapping_add(1);
            }
        }
        6 => window.set_waiting(from.u8()? % 2 == 0, *now),
        _ => {
            if let Some(deadline) = window.deadline() {
                *now = (*now).max(deadline);
            }
        }
    }
    Ok(())
}
