//! Properties of the whole wire: what is sent is received, and nothing else ever is.

use super::*;
use crate::event::SpikeEvent;
use crate::{Adc, Buffers, Capabilities, Identity, Law, Parameter, ParameterSpec, Unit};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn line(header: Header, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; encoded_len(body.len())];
    let n = Frame { header, body }.encode(&mut out).unwrap();
    out.truncate(n);
    out
}

fn headers() -> impl Strategy<Value = Header> {
    (any::<u8>(), any::<u8>(), any::<u16>(), any::<u16>()).prop_map(
        |(version, kind, sequence, acknowledge)| Header { version, kind, sequence, acknowledge },
    )
}

/// Bodies with many zeros and long runs without one.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300),
        (200usize..1200).prop_map(|n| vec![0xA5; n]),
    ]
}

/// Everything that a decoder finds in `bytes` offered in pieces of the given sizes.
fn decode_all(bytes: &[u8], pieces: &[usize]) -> Vec<Result<(Header, Vec<u8>), Damage>> {
    let mut decoder = Decoder::new(vec![0; encoded_len(1200)]);
    let mut found = Vec::new();
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let n = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (mut piece, after) = rest.split_at(n);
        while let Some(result) = decoder.feed(&mut piece) {
            found.push(result.map(|frame| (frame.header, frame.body.to_vec())));
        }
        assert!(piece.is_empty());
        rest = after;
    }
    found
}

fn body_of(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut bytes = vec![0; 3000];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer).unwrap();
    writer.written().to_vec()
}

/// The message must survive a line.
fn survives(message: Message<'_>) {
    let body = body_of(|out| message.encode(out));
    let header = Header { version: 1, kind: message.kind() as u8, ..Header::default() };
    let bytes = line(header, &body);
    let mut decoder = Decoder::new(vec![0; encoded_len(3000)]);
    let frame = decoder.feed(&mut &bytes[..]).unwrap().unwrap();
    assert_eq!(Message::decode(frame.header.kind, frame.body), Ok(message));
    // A body that is cut short, or too long, is never a message of fixed layout.
    if !body.is_empty() {
        assert_ne!(Message::decode(header.kind, &body[..body.len() - 1]), Ok(message));
    }
}

fn sorted(list: Vec<(u32, u16)>) -> Vec<SpikeEvent> {
    let mut list: Vec<_> = list.into_iter().map(|(tick, id)| SpikeEvent::new(tick, id)).collect();
    list.sort();
    list
}

/// The largest capabilities there can be.
fn largest() -> Capabilities {
    let spec = |parameter| ParameterSpec {
        parameter,
        unit: Unit::Lsb,
        code_min: u16::MAX,
        code_max: u16::MAX,
        code_default: u16::MAX,
        law: Law::Linear { at_reference: -1.5, reference: 2.5, slope: 1e-9 },
    };
    let mut parameters: heapless::Vec<_, 16> = Parameter::ALL.into_iter().map(spec).collect();
    while parameters.push(spec(Parameter::Refractory)).is_ok() {}
    Capabilities {
        protocol: u16::MAX,
        identity: Identity {
            kind: "0123456789abcdef0123456789abcdef0123456789abcdef".try_into().unwrap(),
            serial: u64::MAX,
            firmware: u32::MAX,
        },
        neurons: u16::MAX,
        inputs: u16::MAX,
        recurrent: true,
        weight_min: i8::MIN,
        weight_max: i8::MAX,
        tick_ns: u32::MAX,
        max_duration: u32::MAX,
        adc: Some(Adc {
            bits: 16,
            min_period: u32::MAX,
            reliable_min: u16::MAX,
            reliable_max: u16::MAX,
            reference: true,
        }),
        buffers: Buffers {
            trials: u32::MAX,
            stimulus_events: u32::MAX,
            spikes_per_trial: u32::MAX,
            trace_bytes: u32::MAX,
            runs_in_flight: u8::MAX,
            frame_body: u16::MAX,
        },
        parameters,
    }
}

#[test]
fn the_largest_capabilities_fit() {
    let caps = largest();
    let mut scratch = [0; CapabilitiesBody::MAX_LEN];
    let body = CapabilitiesBody::new(7, 0xABCD, &caps, &mut scratch).unwrap();
    survives(Message::Capabilities(body));
    assert_eq!(body.capabilities(), Ok(caps));
}

#[test]
fn kinds_are_numbered_once() {
    for kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind as u8), Some(kind));
    }
    assert_eq!((0..=255).filter(|code| Kind::from_code(*code).is_some()).count(), Kind::ALL.len());
    assert_eq!(Message::decode(0x7F, &[]), Err(Malformed::Kind));
}

#[test]
fn every_flipped_bit_is_found() {
    let header = Header { version: 1, kind: 0xA0, sequence: 0x0100, acknowledge: 3 };
    let zeros = [0; 40];
    let full = [7; 600];
    let mixed: Vec<u8> = (0..520u32).map(|k| (k * k / 7) as u8).collect();
    for body in [&zeros[..], &full[..], &mixed[..], &[]] {
        let clean = line(header, body);
        // A second frame behind it shows that the decoder is in step again.
        let follower = line(Header { sequence: 0x0101, ..header }, &[1, 0, 2]);
        for bit in 0..clean.len() * 8 {
            let mut bytes = clean.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes.push(0);
            bytes.extend_from_slice(&follower);
            for frame in decode_all(&bytes, &[]).into_iter().flatten() {
                assert_eq!(frame.0.sequence, 0x0101, "bit {bit} of {} bytes", body.len());
            }
            let last = decode_all(&bytes, &[]).pop().unwrap().unwrap();
            assert_eq!(last.1, [1, 0, 2]);
        }
    }
}

#[test]
fn a_frame_longer_than_the_buffer_is_dropped_and_the_next_one_found() {
    let header = Header { version: 1, kind: 2, ..Header::default() };
    let mut bytes = line(header, &[5; 70]);
    bytes.extend(line(header, &[6; 64]));
    let mut decoder = Decoder::new([0u8; encoded_len(64)]);
    let mut input = &bytes[..];
    assert_eq!(decoder.feed(&mut input), Some(Err(Damage::TooLong)));
    assert_eq!(decoder.feed(&mut input).unwrap().unwrap().body, [6; 64]);
}

#[test]
fn frames_do_not_leave_their_output() {
    let frame = Frame { header: Header::default(), body: &[0; 10] };
    let mut short = [0; encoded_len(10) - 1];
    assert_eq!(frame.encode(&mut short), Err(Full));
    let long = vec![0; MAX_BODY + 1];
    let frame = Frame { header: Header::default(), body: &long };
    assert_eq!(frame.encode(&mut vec![0; encoded_len(MAX_BODY + 1)]), Err(Full));
}

#[test]
fn long_stimuli_go_on_in_the_next_body() {
    let events: Vec<_> = (0..40_000u32).map(|k| SpikeEvent::new(k, (k % 256) as u16)).collect();
    let mut rest = &events[..];
    let (mut back, mut bodies) = (Vec::new(), 0);
    while !rest.is_empty() {
        let mut bytes = vec![0; MAX_BODY];
        let mut body = Writer::new(&mut bytes);
        StimulusBlocks::begin(1, 8, &mut body).unwrap();
        rest = &rest[StimulusBlocks::push(5, 50_000, rest, 8, &mut body).unwrap()..];
        let view = StimulusBlocks::new(body.written()).unwrap();
        for block in view.iter() {
            assert_eq!(block.more, !rest.is_empty());
            back.extend(block.events.map(Result::unwrap));
        }
        bodies += 1;
    }
    assert_eq!(back, events);
    assert_eq!(bodies, 3, "a block ends at 2^15 bytes");
}

proptest! {
    #[test]
    fn frames_survive_any_cutting(
        frames in prop::collection::vec((headers(), bodies()), 1..5),
        pieces in prop::collection::vec(1usize..80, 1..6),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(header, body)| line(*header, body)).collect();
        let found: Vec<_> = decode_all(&bytes, &pieces).into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(found, frames);
    }

    #[test]
    fn noise_is_survived_and_the_next_frame_found(
        noise in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(0u8)], 0..3000),
        header in headers(), body in bodies(),
        pieces in prop::collection::vec(1usize..500, 1..6),
    ) {
        let mut bytes = noise;
        bytes.push(0);
        bytes.extend(line(header, &body));
        let last = decode_all(&bytes, &pieces).pop().unwrap();
        prop_assert_eq!(last, Ok((header, body)));
    }

    #[test]
    fn any_body_is_read_without_panic(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in Kind::ALL.map(|kind| kind as u8).into_iter().chain([kind]) {
            match Message::decode(kind, &body) {
                Ok(Message::Stimulus(view)) => { let _ = view.iter().map(|block| block.events.count()).sum::<usize>(); },
                Ok(Message::Result(view)) => for block in view.iter() {
                    match block {
                        ResultBlock::Spikes { events, .. } => { let _ = events.count(); },
                        ResultBlock::Samples { samples, .. } => samples.unpack(&mut vec![0; samples.len()]),
                        ResultBlock::Sparse { kept, .. } => { let _ = kept.count(); },
                        ResultBlock::End(_) => {}
                    }
                },
                Ok(Message::Learn(learn)) => { let _ = learn.events().unwrap().count(); },
                Ok(Message::Flags(view)) => { let _ = view.iter().map(|span| span.values().count()).sum::<usize>(); },
                Ok(message) => {
                    // What can be read is written the same way.
                    let again = body_of(|out| message.encode(out));
                    prop_assert_eq!(again, body.clone());
                }
                Err(_) => {}
            }
        }
    }

    #[test]
    fn fixed_messages_survive(a in any::<u32>(), b in any::<u16>(), c in any::<[u64; 5]>(), d in any::<u8>()) {
        survives(Message::Hello(Hello { protocol: b, session: a }));
        survives(Message::Ping(a));
        survives(Message::Recording(RecordingHead {
            spikes: d & 1 == 1, sample_period: a, samples: b, reference: (d & 2 != 0).then_some(!b),
            floor: (d & 4 != 0).then_some(b ^ 0x5A5A),
        }));
        survives(Message::RunBegin(RunBegin { run: a, trials: u32::from(b) }));
        let digests = (d & 1 == 1).then_some(Digests { received: !a, returned: c[1] as u32 });
        survives(Message::RunEnd(RunEnd { run: a, trials: u32::from(b), execute_ns: c[0], digests }));
        let ack = Ack { received: a, limit: b, probe: !b, echo: b ^ 0x55AA };
        survives(Message::HostAck(ack));
        survives(Message::DeviceAck(ack));
        let [trials, dropped_inputs, dropped_spikes, stalled_trials, damaged_frames] = c;
        survives(Message::Health(DeviceHealth {
            token: a, trials, dropped_inputs, dropped_spikes, stalled_trials, damaged_frames,
        }));
        survives(Message::Refusal(Refusal { code: d, kind: !d, sequence: b, got: a, limit: !a }));
    }

    #[test]
    fn spans_survive(
        weights in prop::collection::vec((any::<u16>(), any::<u16>(), prop::collection::vec(any::<i8>(), 0..40)), 0..6),
        codes in prop::collection::vec((0usize..11, any::<u16>(), prop::collection::vec(any::<u16>(), 0..40)), 0..6),
        flags in prop::collection::vec((0usize..3, any::<u16>(), prop::collection::vec(any::<bool>(), 0..40)), 0..6),
    ) {
        let body = body_of(|out| weights.iter().try_for_each(|(row, first, codes)| WeightSpan::write(*row, *first, codes, out)));
        let view = WeightSpans::new(&body).unwrap();
        survives(Message::Weights(view));
        let back: Vec<_> = view.iter().map(|span| (span.row, span.first, span.codes().collect())).collect();
        prop_assert_eq!(back, weights);

        let body = body_of(|out| codes.iter().try_for_each(|(p, first, codes)| {
            ParameterSpan::write(Parameter::ALL[*p], *first, codes, out)
        }));
        let view = ParameterSpans::new(&body).unwrap();
        survives(Message::Parameters(view));
        let back: Vec<_> = view
            .iter()
            .map(|span| (usize::from(parameter_number(span.parameter)), span.first, span.codes().collect()))
            .collect();
        prop_assert_eq!(back, codes);

        let body = body_of(|out| flags.iter().try_for_each(|(f, first, bits)| FlagSpan::write(Flag::ALL[*f], *first, bits, out)));
        let view = FlagSpans::new(&body).unwrap();
        survives(Message::Flags(view));
        let back: Vec<_> = view.iter().map(|span| (span.flag as usize, span.first, span.values().collect())).collect();
        prop_assert_eq!(back, flags);
    }

    #[test]
    fn stimuli_and_results_survive(
        run in any::<u32>(), trial in any::<u64>(), bits in 1u8..=16,
        spikes in prop::collection::vec((any::<u32>(), any::<u16>()), 0..60),
        codes in prop::collection::vec(any::<u16>(), 0..60),
    ) {
        let spikes = sorted(spikes);
        let body = body_of(|out| {
            StimulusBlocks::begin(run, 16, out)?;
            StimulusBlocks::push(trial, u32::MAX, &spikes, 16, out).map(drop)
        });
        let view = StimulusBlocks::new(&body).unwrap();
        survives(Message::Stimulus(view));
        let block = view.iter().next().unwrap();
        prop_assert_eq!((block.trial, block.duration, block.more), (trial, u32::MAX, false));
        prop_assert_eq!(block.events.map(Result::unwrap).collect::<Vec<_>>(), spikes.clone());

        let codes: Vec<u16> = codes.into_iter().map(|code| code & top_code(bits)).collect();
        let end = TrialEnd { index: run, stalled: trial & 1 == 1, spikes: 1, samples: 2, dropped_inputs: 3, dropped_spikes: 4 };
        let body = body_of(|out| {
            ResultBlocks::begin(run, out)?;
            ResultBlocks::push_spikes(run, &spikes, 16, out)?;
            ResultBlocks::push_samples(run, 9, &codes, bits, out)?;
            ResultBlocks::push_end(&end, out)
        });
        let view = ResultBlocks::new(&body).unwrap();
        survives(Message::Result(view));
        let blocks: Vec<_> = view.iter().collect();
        let ResultBlock::Spikes { index, events } = blocks[0] else { panic!("spikes first") };
        prop_assert_eq!((index, events.map(Result::unwrap).collect::<Vec<_>>()), (run, spikes));
        let ResultBlock::Samples { first: 9, samples, .. } = blocks[1] else { panic!("then samples") };
        let mut back = vec![0; samples.len()];
        samples.unpack(&mut back);
        prop_assert_eq!(back, codes);
        prop_assert_eq!(blocks[2], ResultBlock::End(end));
    }

    #[test]
    fn messages_about_learning_survive(
        numbers in any::<[u16; 10]>(), small in any::<(u8, i8)>(), outputs in 0u16..6, hidden in 0u16..6,
        kind in 0u8..5, own in any::<bool>(), classes in 0u16..3,
        feedback in prop::collection::vec(any::<i16>(), 36),
    ) {
        let kind = RuleKind::of(kind);
        let pairs = usize::from(match kind {
            RuleKind::SuperSpike => outputs * hidden,
            RuleKind::LocalReadouts => classes * (outputs + hidden + 2),
            RuleKind::TargetSpikes => 0,
            RuleKind::Other(_) => outputs,
        });
        let bytes: Vec<u8> = feedback[..pairs].iter().flat_map(|b| b.to_le_bytes()).collect();
        let [inputs, shared, hidden_first, output_first, decay, follow, keep, rate, slope, threshold] =
            numbers;
        let (delay, weight_limit) = small;
        let rule = PlasticityRule {
            kind, own, inputs, shared, hidden_first, hidden, output_first, outputs, classes, decay,
            follow, keep, rate, slope, threshold, delay, weight_limit, feedback: &[],
        };
        let rule = rule.with_feedback(&bytes).unwrap();
        prop_assert_eq!(rule.feedback().collect::<Vec<_>>(), &feedback[..pairs]);
        survives(Message::Plasticity(rule));
        survives(Message::ReadWeights(WeightRequest { row: inputs, first: rate, count: keep }));
        let body = body_of(|out| WeightSpan::write(inputs, rate, &[weight_limit, 1, -1], out));
        survives(Message::LearnedWeights(WeightSpans::new(&body).unwrap()));
    }

    /// Errors that one body has no room for come in several, and only the last asks for the update.
    #[test]
    fn errors_survive_in_as_many_bodies_as_they_need(
        trial in any::<u64>(), update in any::<bool>(), room in 17usize..80,
        errors in prop::collection::vec((any::<u32>(), any::<u16>()), 0..60),
    ) {
        let errors = sorted(errors);
        let mut back = Vec::new();
        loop {
            let mut bytes = vec![0; room];
            let mut out = Writer::new(&mut bytes);
            let packed = Learn::pack(trial, update, &errors[back.len()..], 16, &mut out).unwrap();
            let Ok(Message::Learn(learn)) = Message::decode(Kind::Learn as u8, out.written()) else {
                panic!("a body that was just written")
            };
            survives(Message::Learn(learn));
            let events: Vec<_> = learn.events().unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(events.len(), packed);
            back.extend(events);
            prop_assert_eq!(learn.trial, trial);
            prop_assert_eq!(learn.more, back.len() < errors.len());
            prop_assert_eq!(learn.update, update && !learn.more);
            if !learn.more {
                break;
            }
        }
        prop_assert_eq!(back, errors);
    }
}
