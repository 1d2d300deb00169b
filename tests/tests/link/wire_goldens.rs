//! Golden frames: what versions 1 and 2 of the wire looked like must be read, and written, for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop_hal::wire::{
    Ack, CapabilitiesBody, Decoder, DeviceHealth, Digest, Digests, Flag, FlagSpan, FlagSpans,
    Floor, Frame, Full, Header, Hello, Kind, Learn, MAX_BODY, Malformed, Message, ParameterSpan,
    ParameterSpans, PlasticityRule, RecordingHead, Refusal, RefusalCode, ResultBlock, ResultBlocks,
    RuleKind, RunBegin, RunEnd, StimulusBlocks, TrialEnd, WeightRequest, WeightSpan, WeightSpans,
    Writer, encoded_len,
};
use spikeloop_hal::{
    Adc, Buffers, Capabilities, Identity, Law, Parameter, ParameterSpec, SpikeEvent, Unit,
};
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder(version: u8) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/wire_v{version}"))
}

fn bytes(version: u8, name: &str) -> Vec<u8> {
    let file = folder(version).join(name).with_extension("hex");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// A body made by the library's own writers.
fn body(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut bytes = vec![0; 2000];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer).unwrap();
    writer.written().to_vec()
}

fn header(version: u8, kind: Kind, sequence: u16, acknowledge: u16) -> Header {
    Header { version, kind: kind as u8, sequence, acknowledge }
}

/// The file must hold exactly this message, and this message must be written as in the file.
fn check(name: &str, sequence: u16, acknowledge: u16, message: Message<'_>) {
    check_in(1, name, sequence, acknowledge, message);
}

fn check_in(version: u8, name: &str, sequence: u16, acknowledge: u16, message: Message<'_>) {
    let golden = bytes(version, name);
    let expected = header(version, message.kind(), sequence, acknowledge);
    let mut decoder = Decoder::new(vec![0; encoded_len(MAX_BODY)]);
    let mut input = &golden[..];
    let frame = decoder.feed(&mut input).expect("a whole frame").expect("an undamaged frame");
    assert!(input.is_empty(), "{name}: bytes after the frame");
    assert_eq!(frame.header, expected, "{name}");
    assert_eq!(Message::decode(frame.header.kind, frame.body), Ok(message), "{name}");
    let body = body(|writer| message.encode(writer));
    let mut line = vec![0; encoded_len(body.len())];
    let n = Frame { header: expected, body: &body }.encode(&mut line).unwrap();
    assert_eq!(&line[..n], golden, "{name} is written differently");
}

const RUN: u32 = 9;

fn spike(tick: u32, id: u16) -> SpikeEvent {
    SpikeEvent::new(tick, id)
}

#[test]
fn beginning_and_health() {
    check("hello", 0, 0, Message::Hello(Hello { protocol: 1, session: 0xDEAD_BEEF }));
    check("ping", 7, 3, Message::Ping(0x00C0_FFEE));
    let health = DeviceHealth {
        token: 0x00C0_FFEE,
        trials: 1000,
        dropped_inputs: 1,
        dropped_spikes: 2,
        stalled_trials: 3,
        damaged_frames: 1 << 32,
    };
    check("health", 1, 2, Message::Health(health));
    let code = RefusalCode::UnknownVersion as u8;
    let refusal = Refusal { code, kind: 1, sequence: 0, got: 2, limit: 1 };
    check("refusal", 0, 0, Message::Refusal(refusal));
}

fn golden_chip(reference: bool) -> Capabilities {
    let spec = |parameter, unit, code_min, code_default, law| ParameterSpec {
        parameter,
        unit,
        code_min,
        code_max: 1022,
        code_default,
        law,
    };
    let linear = Law::Linear { at_reference: 120.5, reference: 400.0, slope: 0.25 };
    let reciprocal = Law::Reciprocal { at_reference: 10.0, reference: 300.0 };
    let proportional = Law::Proportional { at_reference: 0.5, reference: 512.0 };
    Capabilities {
        protocol: 1,
        identity: Identity {
            kind: "golden-chip".try_into().unwrap(),
            serial: 0x0123_4567_89AB_CDEF,
            firmware: 0x01_02_03,
        },
        neurons: 512,
        inputs: 256,
        recurrent: true,
        weight_min: -63,
        weight_max: 63,
        tick_ns: 100,
        max_duration: 1_000_000,
        adc: Some(Adc {
            bits: 10,
            min_period: 17,
            reliable_min: 50,
            reliable_max: 1000,
            reference,
        }),
        buffers: Buffers {
            trials: 100,
            stimulus_events: 65536,
            spikes_per_trial: 4096,
            trace_bytes: 1 << 20,
            runs_in_flight: 2,
            frame_body: 4096,
        },
        parameters: [
            spec(Parameter::Threshold, Unit::Lsb, 0, 400, linear),
            spec(Parameter::TauMem, Unit::Microseconds, 1, 300, reciprocal),
            spec(Parameter::GainExc, Unit::LsbPerMicrosecondPerCode, 0, 512, proportional),
        ]
        .into_iter()
        .collect(),
    }
}

#[test]
fn capabilities() {
    for (name, reference) in [("capabilities", false), ("capabilities_reference", true)] {
        let caps = golden_chip(reference);
        let mut scratch = [0; CapabilitiesBody::MAX_LEN];
        let body = CapabilitiesBody::new(0xDEAD_BEEF, 0, &caps, &mut scratch).unwrap();
        check(name, 0, 1, Message::Capabilities(body));
        assert_eq!(body.capabilities(), Ok(caps));
    }
}

#[test]
fn configuration() {
    let spans = body(|out| {
        WeightSpan::write(3, 5, &[-63, 0, 1, 63], out)?;
        WeightSpan::write(400, 0, &[-128], out)
    });
    check("weights", 1, 1, Message::Weights(WeightSpans::new(&spans).unwrap()));
    let codes: Vec<i8> = (0..600)
        .map(|k| match k % 255 - 127 {
            0 => 1,
            code => code as i8,
        })
        .collect();
    let spans = body(|out| WeightSpan::write(1, 0, &codes, out));
    check("weights_long", 2, 1, Message::Weights(WeightSpans::new(&spans).unwrap()));
    let spans = body(|out| {
        ParameterSpan::write(Parameter::Threshold, 0, &[600, 0], out)?;
        ParameterSpan::write(Parameter::Refractory, 511, &[65535], out)
    });
    check("parameters", 3, 1, Message::Parameters(ParameterSpans::new(&spans).unwrap()));
    let ten = [1, 1, 0, 0, 0, 0, 0, 1, 0, 1].map(|bit| bit == 1);
    let spans = body(|out| {
        FlagSpan::write(Flag::Enabled, 0, &ten, out)?;
        FlagSpan::write(Flag::Traced, 300, &[true], out)
    });
    check("flags", 4, 1, Message::Flags(FlagSpans::new(&spans).unwrap()));
    let head =
        RecordingHead { spikes: true, sample_period: 17, samples: 20, ..RecordingHead::default() };
    check("recording", 5, 1, Message::Recording(head));
    let head = RecordingHead { spikes: false, reference: Some(300), ..head };
    check("recording_reference", 6, 1, Message::Recording(head));
}

#[test]
fn runs_and_stimuli() {
    check("run_begin", 6, 1, Message::RunBegin(RunBegin { run: RUN, trials: 25 }));
    let end = RunEnd { run: RUN, trials: 25, execute_ns: 1_000_000_007, digests: None };
    check("run_end", 2, 41, Message::RunEnd(end));
    let events = [spike(5, 3), spike(5, 200), spike(339, 255)];
    let blocks = body(|out| {
        StimulusBlocks::begin(RUN, 8, out)?;
        StimulusBlocks::push(1, 340, &events, 8, out)?;
        StimulusBlocks::push(1 << 40, 340, &[], 8, out).map(drop)
    });
    let view = StimulusBlocks::new(&blocks).unwrap();
    check("stimulus", 7, 1, Message::Stimulus(view));
    let read: Vec<_> = view.iter().next().unwrap().events.map(Result::unwrap).collect();
    assert_eq!(read, events);
}

#[test]
fn a_continued_stimulus() {
    let golden = bytes(1, "stimulus_continued");
    let mut decoder = Decoder::new(vec![0; 200]);
    let frame = decoder.feed(&mut &golden[..]).unwrap().unwrap();
    let Ok(Message::Stimulus(view)) = Message::decode(frame.header.kind, frame.body) else {
        panic!("not a stimulus")
    };
    check("stimulus_continued", 8, 1, Message::Stimulus(view));
    let blocks: Vec<_> = view
        .iter()
        .map(|b| (b.trial, b.duration, b.more, b.events.map(Result::unwrap).collect::<Vec<_>>()))
        .collect();
    let duration = u32::MAX;
    let first = (3, duration, true, vec![spike(0, 65535)]);
    let second = (3, duration, false, vec![spike(duration - 1, 1)]);
    assert_eq!(blocks, [first, second]);
}

#[test]
fn results() {
    let spikes = [spike(4, 0), spike(4, 9), spike(100, 300)];
    let samples = [0, 1023, 512, 1, 2];
    let first = TrialEnd { index: 0, spikes: 3, samples: 5, ..TrialEnd::default() };
    let second = TrialEnd {
        index: 1,
        stalled: true,
        dropped_inputs: 70000,
        dropped_spikes: 1,
        ..TrialEnd::default()
    };
    let blocks = body(|out| {
        ResultBlocks::begin(RUN, out)?;
        ResultBlocks::push_spikes(0, &spikes, 9, out)?;
        ResultBlocks::push_samples(0, 0, &samples, 10, out)?;
        ResultBlocks::push_end(&first, out)?;
        ResultBlocks::push_end(&second, out)
    });
    let view = ResultBlocks::new(&blocks).unwrap();
    check("result", 1, 40, Message::Result(view));
    let ends: Vec<_> = view.iter().filter(|b| matches!(b, ResultBlock::End(_))).collect();
    assert_eq!(ends, [ResultBlock::End(first), ResultBlock::End(second)]);
    let blocks = body(|out| {
        ResultBlocks::begin(10, out)?;
        ResultBlocks::push_samples(7, 5120, &[1, 2, 3, 0, 255], 8, out)?;
        ResultBlocks::push_samples(7, 5125, &[65535, 256], 16, out).map(drop)
    });
    let message = Message::Result(ResultBlocks::new(&blocks).unwrap());
    check("result_samples", 65535, 65535, message);
}

#[test]
fn what_version_2_added() {
    let hello = Hello { protocol: 2, session: 0xDEAD_BEEF };
    check_in(2, "hello", 0x1234, 0, Message::Hello(hello));
    let ack = Ack { received: 0b1_0010, limit: 26, probe: 7, echo: 0 };
    check_in(2, "host_ack", 44, 65530, Message::HostAck(ack));
    let ack = Ack { received: 0, limit: 53, probe: 0, echo: 7 };
    check_in(2, "device_ack", 65530, 45, Message::DeviceAck(ack));
    let mut digest = Digest::default();
    digest.add(b"12345");
    digest.add(b"6789");
    // The check value of CRC-32/ISO-HDLC.
    let digests = Some(Digests { received: digest.take(), returned: digest.value() });
    let end = RunEnd { run: RUN, trials: 25, execute_ns: 1_000_000_007, digests };
    check_in(2, "run_end", 2, 41, Message::RunEnd(end));
    let caps = golden_chip(false);
    let mut scratch = [0; CapabilitiesBody::MAX_LEN];
    let body = CapabilitiesBody::new(0xDEAD_BEEF, 32, &caps, &mut scratch).unwrap();
    check_in(2, "capabilities", 0xBEEF, 0x1235, Message::Capabilities(body));
    assert_eq!((body.capabilities(), body.window), (Ok(caps), 32));
}

#[test]
fn learning_in_the_device() {
    let feedback: Vec<u8> =
        [4096_i16, -2048, 0, 32767].iter().flat_map(|b| b.to_le_bytes()).collect();
    let rule = PlasticityRule {
        kind: RuleKind::SuperSpike,
        own: false,
        inputs: 100,
        shared: 0,
        hidden_first: 0,
        hidden: 4,
        output_first: 4,
        outputs: 1,
        classes: 0,
        decay: 64238,
        follow: 655,
        keep: 64996,
        rate: 256,
        slope: 37,
        threshold: 150,
        delay: 1,
        weight_limit: 127,
        feedback: &feedback,
    };
    check_in(2, "plasticity", 9, 3, Message::Plasticity(rule));
    // For each of two classes: two hidden neurons, one output, two biases.
    let readouts: Vec<u8> = [205_i16, -205, 400, 12, -12, -1, 1, 0, 4096, -4096]
        .iter()
        .flat_map(|g| g.to_le_bytes())
        .collect();
    let local = PlasticityRule {
        kind: RuleKind::LocalReadouts,
        inputs: 65,
        shared: 1,
        hidden: 2,
        output_first: 2,
        classes: 2,
        feedback: &readouts,
        ..rule
    };
    check_in(2, "plasticity_local", 13, 4, Message::Plasticity(local));
    let target = PlasticityRule {
        kind: RuleKind::TargetSpikes,
        own: true,
        hidden: 0,
        output_first: 0,
        outputs: 100,
        slope: PlasticityRule::STEP,
        feedback: &[],
        ..rule
    };
    check_in(2, "plasticity_target", 14, 4, Message::Plasticity(target));
    let unknown = PlasticityRule { kind: RuleKind::Other(7), ..rule };
    check_in(2, "plasticity_unknown", 15, 4, Message::Plasticity(unknown));
    let errors = [SpikeEvent::new(83, 1), SpikeEvent::new(783, 0), SpikeEvent::new(783, 0)];
    let whole = body(|out| Learn::pack(70000, true, &errors, 1, out).map(drop));
    let message = Message::decode(Kind::Learn as u8, &whole).unwrap();
    check_in(2, "learn", 10, 3, message);
    let Message::Learn(learn) = message else { panic!("{message:?}") };
    assert_eq!((learn.trial, learn.more, learn.update), (70000, false, true));
    let read: Vec<SpikeEvent> = learn.events().unwrap().map(Result::unwrap).collect();
    assert_eq!(read, errors);
    // Room for one event only.
    let mut bytes = [0; 10 + 7];
    let mut part = Writer::new(&mut bytes);
    let errors = [SpikeEvent::new(0, 7), SpikeEvent::new(1, 1)];
    assert_eq!(Learn::pack(70000, true, &errors, 3, &mut part), Ok(1));
    let message = Message::decode(Kind::Learn as u8, part.written()).unwrap();
    check_in(2, "learn_more", 11, 3, message);
    let request = WeightRequest { row: 260, first: 4, count: 48 };
    check_in(2, "read_weights", 12, 3, Message::ReadWeights(request));
    let span = body(|out| WeightSpan::write(260, 4, &[-127, 0, 5], out));
    let message = Message::LearnedWeights(WeightSpans::new(&span).unwrap());
    check_in(2, "learned_weights", 4, 13, message);
    // Feedback of another size than the neurons say, and an update before the last errors.
    let mut short = body(|out| Message::Plasticity(rule).encode(out));
    short.pop();
    assert_eq!(Message::decode(Kind::Plasticity as u8, &short), Err(Malformed::Truncated));
    let mut long = body(|out| Message::Plasticity(local).encode(out));
    long.extend([0, 0]);
    assert_eq!(Message::decode(Kind::Plasticity as u8, &long), Err(Malformed::Trailing));
    // A flag that does not exist, and 65535 classes.
    long[1] = 2;
    assert_eq!(Message::decode(Kind::Plasticity as u8, &long), Err(Malformed::Reserved));
    (long[1], long[14], long[15]) = (0, 0xFF, 0xFF);
    assert_eq!(Message::decode(Kind::Plasticity as u8, &long), Err(Malformed::Truncated));
    let mut both = whole.clone();
    both[8] = 3;
    assert_eq!(Message::decode(Kind::Learn as u8, &both), Err(Malformed::Reserved));
}

#[test]
fn samples_with_a_floor() {
    let head = RecordingHead {
        spikes: true,
        sample_period: 17,
        samples: 20,
        floor: Some(130),
        ..RecordingHead::default()
    };
    check_in(2, "recording_floor", 5, 1, Message::Recording(head));
    // Of three channels the first row comes whole, then what is above the floor.
    let floor = Floor { code: 130, channels: 3, keeps_all: |_: usize| false };
    let mut samples = vec![0; 70_406];
    samples[..7].copy_from_slice(&[80, 81, 60, 130, 129, 131, 255]);
    (samples[307], samples[405]) = (161, 1023);
    let end = TrialEnd { index: 3, samples: 70_406, ..TrialEnd::default() };
    let blocks = body(|out| {
        ResultBlocks::begin(RUN, out)?;
        ResultBlocks::push_sparse(3, 0, &samples[..400], 8, &floor, out)?;
        ResultBlocks::push_sparse(3, 400, &samples[400..406], 10, &floor, out)?;
        ResultBlocks::push_sparse(3, 406, &samples[406..], 8, &floor, out)?;
        ResultBlocks::push_end(&end, out)
    });
    let view = ResultBlocks::new(&blocks).unwrap();
    check_in(2, "result_sparse", 2, 41, Message::Result(view));
    let read = view.iter().filter_map(|block| match block {
        ResultBlock::Sparse { first, span, kept, .. } => {
            Some((first, span, kept.bits(), kept.map(Result::unwrap).collect::<Vec<_>>()))
        }
        _ => None,
    });
    let places = vec![(0, 80), (1, 81), (2, 60), (5, 131), (6, 255), (307, 161)];
    let expected = [(0, 400, 8, places), (400, 6, 10, vec![(5, 1023)]), (406, 70_000, 8, vec![])];
    assert_eq!(read.collect::<Vec<_>>(), expected);
}

#[test]
fn every_message_has_a_golden_frame() {
    let mut kinds = BTreeSet::new();
    for version in [1, 2] {
        for entry in std::fs::read_dir(folder(version)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "hex") {
                let golden = bytes(version, path.file_stem().unwrap().to_str().unwrap());
                let mut decoder = Decoder::new(vec![0; encoded_len(MAX_BODY)]);
                let frame = decoder.feed(&mut &golden[..]).unwrap().unwrap();
                assert!(Message::decode(frame.header.kind, frame.body).is_ok(), "{path:?}");
                kinds.insert(frame.header.kind);
            }
        }
    }
    assert_eq!(kinds, Kind::ALL.map(|kind| kind as u8).into());
}
