//! The server without any link: bytes in, bytes out.

use super::*;
use crate::core::{Emit, Fault, Outcome, Progress};
use crate::schedule::Waiting;
use spikeloop_hal::wire::{
    Ack, Flag, FlagSpan, Header, MAX_BODY, ParameterSpan, RecordingHead, ResultBlock, WeightSpan,
};
use spikeloop_hal::{Adc, Capabilities, Identity, Law, Parameter, ParameterSpec, SpikeEvent, Unit};
use std::vec;
use std::vec::Vec;

/// Every event comes back as a spike of the same address, one event a poll.
struct Echo {
    caps: Capabilities,
    events: heapless::Deque<SpikeEvent, 2>,
    under_way: bool,
    sealed: bool,
    writes: usize,
    samples: usize,
    spiking: bool,
}

impl Core for Echo {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }
    fn reset(&mut self) {
        *self = echo();
    }
    fn write(&mut self, write: Write<'_>) -> Result<(), Fault> {
        assert!(!self.under_way);
        self.writes += 1;
        match write {
            Write::Recording(head) => self.samples = usize::from(head.samples),
            Write::Flag(span) if span.flag == Flag::Spiking => {
                self.spiking = span.values().all(|bit| bit);
            }
            _ => {}
        }
        Ok(())
    }
    fn samples_per_trial(&self) -> usize {
        self.samples
    }
    fn keeps_all(&self, channel: usize) -> bool {
        assert_eq!(channel, 0);
        !self.spiking
    }
    fn ready(&self) -> bool {
        !self.under_way
    }
    fn begin(&mut self, _: Trial) -> Result<(), Fault> {
        (self.under_way, self.sealed) = (true, false);
        Ok(())
    }
    fn inject(&mut self, event: SpikeEvent) -> bool {
        self.events.push_back(event).is_ok()
    }
    fn seal(&mut self) {
        self.sealed = true;
    }
    fn poll<E: Emit>(&mut self, _: u64, emit: &mut E) -> Result<Progress, Fault> {
        if let Some(event) = self.events.pop_front() {
            emit.spikes(&[event]);
        } else if self.sealed {
            self.under_way = false;
            emit.samples(&[7; 99][..self.samples]);
            return Ok(Progress::Done(Outcome::default()));
        }
        Ok(Progress::Running)
    }
}

fn echo() -> Echo {
    let law = Law::Proportional { at_reference: 1.0, reference: 1.0 };
    let (parameter, unit) = (Parameter::Threshold, Unit::Lsb);
    let spec = ParameterSpec { parameter, unit, code_min: 1, code_max: 9, code_default: 5, law };
    let caps = Capabilities {
        protocol: PROTOCOL_VERSION,
        identity: Identity { kind: "echo".try_into().unwrap(), serial: 1, firmware: 1 },
        neurons: 8,
        inputs: 8,
        recurrent: false,
        weight_min: -3,
        weight_max: 3,
        tick_ns: 1,
        max_duration: 1000,
        adc: Some(Adc {
            bits: 8,
            min_period: 1,
            reliable_min: 0,
            reliable_max: 255,
            reference: true,
        }),
        buffers: spikeloop_hal::Buffers {
            trials: 4,
            stimulus_events: 10,
            spikes_per_trial: 6,
            trace_bytes: 0,
            runs_in_flight: 2,
            frame_body: 64,
        },
        parameters: [spec].into_iter().collect(),
    };
    let events = heapless::Deque::new();
    Echo { caps, events, under_way: false, sealed: false, writes: 0, samples: 0, spiking: false }
}

/// The smallest memory that the capabilities allow.
struct Small {
    input: [u8; encoded_len(64)],
    early: [u8; 64],
    output: [u8; Server::<Echo>::MIN_OUTPUT],
    body: [u8; 64],
    events: [SpikeEvent; 10],
    trials: [Waiting; 1],
    spikes: [SpikeEvent; 6],
    samples: [u16; 4],
}

impl Small {
    fn new() -> Self {
        Self {
            input: [0; encoded_len(64)],
            early: [0; 64],
            output: [0; Server::<Echo>::MIN_OUTPUT],
            body: [0; 64],
            events: [SpikeEvent::default(); 10],
            trials: [Waiting::default(); 1],
            spikes: [SpikeEvent::default(); 6],
            samples: [0; 4],
        }
    }

    fn server(&mut self) -> Server<'_, Echo> {
        let buffers = Buffers {
            input: &mut self.input,
            early: &mut self.early,
            output: &mut self.output,
            body: &mut self.body,
            events: &mut self.events,
            trials: &mut self.trials,
            spikes: &mut self.spikes,
            samples: &mut self.samples,
        };
        Server::new(echo(), buffers).unwrap()
    }
}

/// Frames and their numbers.
type Lines = Vec<(u16, Vec<u8>)>;

/// A host that numbers its frames, keeps within the device's room and acknowledges what comes.
struct Host {
    sequence: u16,
    session: u32,
    /// First number that the device has no room for.
    limit: u16,
    /// Next number from the device, once it has answered.
    expected: Option<u16>,
    decoder: Decoder<Vec<u8>>,
}

impl Host {
    fn new() -> Self {
        let decoder = Decoder::new(vec![0; encoded_len(MAX_BODY)]);
        Self { sequence: 100, session: 5, limit: 0, expected: None, decoder }
    }

    fn line(&self, kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
        let acknowledge = self.expected.unwrap_or(0);
        let header = Header { version: 2, kind, sequence, acknowledge };
        let mut line = vec![0; encoded_len(body.len())];
        let n = Frame { header, body }.encode(&mut line).unwrap();
        line.truncate(n);
        line
    }

    fn frame(&mut self, kind: u8, body: &[u8]) -> Lines {
        let sequence = self.sequence;
        self.sequence += 1;
        vec![(sequence, self.line(kind, sequence, body))]
    }

    fn message(&mut self, message: &Message<'_>) -> Lines {
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        message.encode(&mut body).unwrap();
        self.frame(message.kind() as u8, body.written())
    }

    fn hello(&mut self) -> Lines {
        self.sequence = 100;
        self.limit = 102;
        self.expected = None;
        self.session += 1;
        self.message(&Message::Hello(Hello { protocol: 2, session: self.session }))
    }

    fn stimulus(&mut self, run: u32, duration: u32, events: &[(u32, u16)]) -> Lines {
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        let events: Vec<_> = events.iter().map(|(t, id)| SpikeEvent::new(*t, *id)).collect();
        StimulusBlocks::begin(run, 4, &mut body).unwrap();
        StimulusBlocks::push(1, duration, &events, 4, &mut body).unwrap();
        self.frame(Kind::Stimulus as u8, body.written())
    }

    fn begin(&mut self, run: u32, trials: u32) -> Lines {
        self.message(&Message::RunBegin(RunBegin { run, trials }))
    }

    /// Sends frames as far as the device has room, and hears it until it has nothing more to say.
    fn talk(&mut self, server: &mut Server<'_, Echo>, lines: Lines) -> Vec<(u8, Vec<u8>)> {
        let mut answers = Vec::new();
        let mut lines = std::collections::VecDeque::from(lines);
        let mut quiet = 0;
        for now in 0.. {
            if lines.front().is_some_and(|(number, _)| *number < self.limit)
                && let Some((_, line)) = lines.pop_front()
            {
                server.receive(&line, now);
            }
            let activity = server.poll(now);
            // A slow link: a few bytes at a time.
            let out = server.transmit(now);
            let piece = out[..out.len().min(11)].to_vec();
            server.sent(piece.len(), now);
            let mut input = &piece[..];
            let mut reply = Vec::new();
            while let Some(frame) = self.decoder.feed(&mut input) {
                let frame = frame.unwrap();
                let (header, body) = (frame.header, frame.body.to_vec());
                if let Some((answer, ack)) = self.note(header, &body) {
                    answers.extend(answer.then_some((header.kind, body)));
                    reply.extend(ack);
                }
            }
            for (number, ack) in reply {
                let mut bytes = [0; 64];
                let mut body = Writer::new(&mut bytes);
                Message::HostAck(ack).encode(&mut body).unwrap();
                let line = self.line(Kind::HostAck as u8, number, body.written());
                server.receive(&line, now);
            }
            quiet = if activity == Activity::Idle && piece.is_empty() { quiet + 1 } else { 0 };
            if quiet > 2 && lines.is_empty() {
                break;
            }
            assert!(now < 100_000, "the server leaves {} frames without room", lines.len());
        }
        answers
    }

    /// Whether a frame is an answer, and how it is acknowledged.
    fn note(&mut self, header: Header, body: &[u8]) -> Option<(bool, Option<(u16, Ack)>)> {
        let mut echo = 0;
        let answer = match Message::decode(header.kind, body) {
            Ok(Message::DeviceAck(ack)) => {
                self.limit = ack.limit;
                if ack.probe == 0 {
                    return None;
                }
                echo = ack.probe;
                false
            }
            // Said to somebody without a session: not part of a sequence.
            Ok(Message::Refusal(_)) if self.expected.is_none() => return Some((true, None)),
            _ => {
                let expected = *self.expected.get_or_insert(header.sequence);
                assert_eq!(header.sequence, expected, "answers come in order");
                self.expected = Some(expected.wrapping_add(1));
                true
            }
        };
        let limit = self.expected.unwrap_or(0).wrapping_add(32);
        Some((answer, Some((self.sequence, Ack { limit, echo, ..Ack::default() }))))
    }

    fn refusal(&mut self, server: &mut Server<'_, Echo>, lines: Lines) -> (RefusalCode, u32, u32) {
        let answers = self.talk(server, lines);
        let Ok(Message::Refusal(refusal)) = Message::decode(answers[0].0, &answers[0].1) else {
            panic!("no refusal: {answers:?}")
        };
        assert_eq!(answers.len(), 1);
        (refusal.reason().unwrap(), refusal.got, refusal.limit)
    }
}

fn spikes_of(answers: &[(u8, Vec<u8>)]) -> Vec<SpikeEvent> {
    let mut spikes = Vec::new();
    for (kind, body) in answers {
        if let Ok(Message::Result(view)) = Message::decode(*kind, body) {
            for block in view.iter() {
                if let ResultBlock::Spikes { events, .. } = block {
                    spikes.extend(events.map(Result::unwrap));
                }
            }
        }
    }
    spikes
}

#[test]
fn a_run_in_the_smallest_memory() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    let hello = host.hello();
    let answers = host.talk(&mut server, hello);
    assert_eq!(answers[0].0, Kind::Capabilities as u8);
    // Six trials through a queue for one, more events than the schedule holds at a time.
    let mut bytes = host.begin(3, 6);
    for k in 0..6 {
        let events: Vec<_> = (0..5).map(|e| (10 * e, (e + k) as u16 % 8)).collect();
        bytes.extend(host.stimulus(3, 100, &events));
    }
    let answers = host.talk(&mut server, bytes);
    assert_eq!(spikes_of(&answers).len(), 30);
    let (kind, body) = answers.last().unwrap();
    let Ok(Message::RunEnd(end)) = Message::decode(*kind, body) else { panic!() };
    assert_eq!((end.run, end.trials), (3, 6));
    assert!(end.execute_ns >= 30, "each event takes a poll, each poll a nanosecond");
}

#[test]
fn spikes_beyond_the_record_are_counted() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    let mut bytes = host.hello();
    bytes.extend(host.begin(1, 1));
    bytes.extend(host.stimulus(1, 100, &[(1, 1); 8]));
    bytes.extend(host.message(&Message::Ping(9)));
    let answers = host.talk(&mut server, bytes);
    assert_eq!(spikes_of(&answers).len(), 6);
    let health = host.message(&Message::Ping(9));
    let answers = host.talk(&mut server, health);
    let Ok(Message::Health(health)) = Message::decode(answers[0].0, &answers[0].1) else {
        panic!()
    };
    assert_eq!((health.token, health.trials, health.dropped_spikes), (9, 1, 2));
}

#[test]
fn configuration_waits_for_the_run_before_it() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    let mut bytes = host.hello();
    bytes.extend(host.begin(1, 1));
    bytes.extend(host.stimulus(1, 100, &[(1, 1), (2, 2), (3, 3)]));
    let head = RecordingHead { spikes: true, sample_period: 1, samples: 2, ..Default::default() };
    bytes.extend(host.message(&Message::Recording(head)));
    // The core asserts that no write comes while a trial is under way.
    let answers = host.talk(&mut server, bytes);
    assert_eq!((server.core().writes, answers.last().unwrap().0), (1, Kind::RunEnd as u8));
}

/// First place, number of places and samples of the only block of samples, sparse or dense.
fn block_of_samples(answers: &[(u8, Vec<u8>)]) -> (bool, u32, usize, Vec<u16>) {
    let mut found = Vec::new();
    for (kind, body) in answers {
        if let Ok(Message::Result(view)) = Message::decode(*kind, body) {
            found.extend(view.iter().filter_map(|block| match block {
                ResultBlock::Samples { first, samples, .. } => {
                    let mut codes = vec![0; samples.len()];
                    samples.unpack(&mut codes);
                    Some((false, first, samples.len(), codes))
                }
                ResultBlock::Sparse { first, span, kept, .. } => {
                    let codes = kept.map(|sample| sample.unwrap().1).collect();
                    Some((true, first, span as usize, codes))
                }
                ResultBlock::End(end) => {
                    assert_eq!(end.samples, 4, "the dense number");
                    None
                }
                ResultBlock::Spikes { .. } => None,
            }));
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn below_a_floor_only_the_first_row_is_sent_wherever_that_is_shorter() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    // All samples are 7, one channel.
    let dense = (false, 0, 4, vec![7; 4]);
    let sparse = (true, 0, 4, vec![7]);
    for (floor, spiking, expected) in [
        (Some(8), true, &sparse),
        (Some(7), true, &sparse),
        (Some(6), true, &dense),
        (Some(8), false, &dense),
        (None, true, &dense),
    ] {
        let mut bytes = host.hello();
        let mut body = [0; 64];
        let mut writer = Writer::new(&mut body);
        FlagSpan::write(Flag::Spiking, 0, &[spiking], &mut writer).unwrap();
        bytes.extend(host.frame(Kind::Flags as u8, writer.written()));
        let head =
            RecordingHead { spikes: true, sample_period: 1, samples: 4, reference: None, floor };
        bytes.extend(host.message(&Message::Recording(head)));
        bytes.extend(host.begin(1, 1));
        bytes.extend(host.stimulus(1, 100, &[(1, 1)]));
        let answers = host.talk(&mut server, bytes);
        assert_eq!(&block_of_samples(&answers), expected, "{floor:?} {spiking}");
    }
}

#[test]
fn what_does_not_exist_is_refused_with_its_numbers() {
    use RefusalCode::{BeyondBuffers, OutOfRange};
    let weights = |row: u16, first: u16, code: i8| {
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        WeightSpan::write(row, first, &[0, code], &mut body).unwrap();
        (Kind::Weights, body.written().to_vec())
    };
    let codes = |parameter, first, code| {
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        ParameterSpan::write(parameter, first, &[code], &mut body).unwrap();
        (Kind::Parameters, body.written().to_vec())
    };
    let flags = |first| {
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        FlagSpan::write(Flag::Spiking, first, &[true; 3], &mut body).unwrap();
        (Kind::Flags, body.written().to_vec())
    };
    let reference = |code| {
        let head = RecordingHead { reference: Some(code), ..RecordingHead::default() };
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        Message::Recording(head).encode(&mut body).unwrap();
        (Kind::Recording, body.written().to_vec())
    };
    let floor = |reference, code| {
        let head = RecordingHead { reference, floor: Some(code), ..RecordingHead::default() };
        let mut bytes = [0; 64];
        let mut body = Writer::new(&mut bytes);
        Message::Recording(head).encode(&mut body).unwrap();
        (Kind::Recording, body.written().to_vec())
    };
    for ((kind, body), expected) in [
        (weights(8, 0, 0), (OutOfRange, 8, 7)),
        (weights(0, 7, 0), (OutOfRange, 8, 7)),
        (weights(0, 0, 4), (OutOfRange, 4, 3)),
        (codes(Parameter::TauMem, 0, 5), (OutOfRange, Parameter::TauMem as u32, 0)),
        (codes(Parameter::Threshold, 8, 5), (OutOfRange, 8, 7)),
        (codes(Parameter::Threshold, 0, 10), (OutOfRange, 10, 9)),
        (flags(6), (OutOfRange, 8, 7)),
        (reference(256), (OutOfRange, 256, 255)),
        (floor(None, 256), (OutOfRange, 256, 255)),
        (floor(Some(9), 8), (OutOfRange, 8, 9)),
    ] {
        let mut memory = Small::new();
        let (mut server, mut host) = (memory.server(), Host::new());
        let hello = host.hello();
        host.talk(&mut server, hello);
        let bytes = host.frame(kind as u8, &body);
        assert_eq!(host.refusal(&mut server, bytes), expected);
    }
    type Case<'a> = (u32, &'a [(u32, u16)], (RefusalCode, u32, u32));
    let stimuli: [Case<'_>; 4] = [
        (1001, &[], (OutOfRange, 1001, 1000)),
        (50, &[(1, 8)], (OutOfRange, 8, 7)),
        (50, &[(50, 1)], (OutOfRange, 50, 49)),
        (50, &[(1, 1); 11], (BeyondBuffers, 11, 10)),
    ];
    for (duration, events, expected) in stimuli {
        let mut memory = Small::new();
        let (mut server, mut host) = (memory.server(), Host::new());
        let mut bytes = host.hello();
        bytes.extend(host.begin(1, 1));
        host.talk(&mut server, bytes);
        let bytes = host.stimulus(1, duration, events);
        assert_eq!(host.refusal(&mut server, bytes), expected);
    }
}

#[test]
fn what_does_not_belong_is_refused_once_and_hello_helps() {
    use RefusalCode::{BeyondBuffers, NoSession, OutOfPlace, UnknownMessage, UnknownVersion};
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    host.limit = 200;
    let early = host.begin(1, 1);
    assert_eq!(host.refusal(&mut server, early), (NoSession, 0, 0));
    let newer = Frame {
        header: Header { version: 3, kind: 1, ..Header::default() },
        body: &[3, 0, 0, 0, 0, 0, 1, 2, 3],
    };
    let mut line = [0; 64];
    let n = newer.encode(&mut line).unwrap();
    assert_eq!(host.refusal(&mut server, vec![(0, line[..n].to_vec())]), (UnknownVersion, 3, 2));

    type Bad = fn(&mut Host) -> Lines;
    let bad: [(Bad, (RefusalCode, u32, u32)); 7] = [
        (|host| host.frame(0x77, &[1]), (UnknownMessage, 0x77, 0)),
        (|host| host.frame(Kind::RunBegin as u8, &[1]), (RefusalCode::Malformed, 1, 0)),
        (|host| host.frame(Kind::RunEnd as u8, &[0; 16]), (OutOfPlace, 0, 0)),
        (|host| host.stimulus(4, 9, &[]), (OutOfPlace, 4, 0)),
        (
            |host| {
                let mut bytes = host.begin(6, 2);
                bytes.extend(host.begin(7, 1));
                bytes
            },
            (OutOfPlace, 7, 6),
        ),
        (
            |host| {
                let mut bytes = host.begin(6, 2);
                bytes.extend(host.stimulus(5, 9, &[]));
                bytes
            },
            (OutOfPlace, 5, 6),
        ),
        (
            |host| {
                let head = RecordingHead {
                    spikes: true,
                    sample_period: 1,
                    samples: 5,
                    ..Default::default()
                };
                let mut bytes = host.message(&Message::Recording(head));
                bytes.extend(host.begin(1, 1));
                bytes
            },
            (BeyondBuffers, 5, 4),
        ),
    ];
    for (make, expected) in bad {
        let hello = host.hello();
        assert_eq!(host.talk(&mut server, hello).len(), 1);
        let mut bytes = make(&mut host);
        // Whatever follows is passed over in silence.
        bytes.extend(host.begin(1, 1));
        bytes.extend(host.stimulus(1, 9, &[]));
        assert_eq!(host.refusal(&mut server, bytes), expected);
        let ping = host.message(&Message::Ping(1));
        assert_eq!(host.talk(&mut server, ping)[0].0, Kind::Health as u8);
    }
}

#[test]
fn a_host_that_does_not_read_stops_the_server() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    let hello = host.hello();
    host.talk(&mut server, hello);
    // It keeps within the room that it was given, but hears nothing of more.
    let mut said = 0;
    for run in 0..60 {
        for (number, line) in
            host.begin(run, 1).into_iter().chain(host.stimulus(run, 100, &[(1, 1); 6]))
        {
            if number < host.limit + 20 {
                server.receive(&line, u64::from(run));
                said += 1;
            }
        }
        for now in 0..100 {
            server.poll(u64::from(run) + now);
        }
    }
    assert!(said > 10);
    let done = server.core().events.len();
    assert!(done <= 2, "the core holds {done} events");
    // A hello still gets through.
    let hello = host.hello();
    assert_eq!(host.talk(&mut server, hello)[0].0, Kind::Capabilities as u8);
}

#[test]
fn buffers_that_cannot_do_what_is_promised_are_named() {
    let mut memory = Small::new();
    let buffers = Buffers {
        input: &mut memory.input,
        early: &mut memory.early,
        output: &mut memory.output,
        body: &mut memory.body,
        events: &mut memory.events[..9],
        trials: &mut memory.trials,
        spikes: &mut memory.spikes,
        samples: &mut memory.samples,
    };
    let error = Server::new(echo(), buffers).err().unwrap();
    assert_eq!(error, BufferTooSmall { which: "events", needed: 10, got: 9 });
}

#[test]
fn a_hello_throws_away_what_an_earlier_session_left() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    let mut bytes = host.hello();
    bytes.extend(host.begin(1, 1));
    bytes.extend(host.stimulus(1, 100, &[(1, 1), (2, 2)]));
    for (_, line) in bytes {
        server.receive(&line, 0);
    }
    for now in 0..20 {
        server.poll(now);
        server.transmit(now);
    }
    // The earlier program dies in the middle of a frame.
    server.sent(9, 20);
    let hello = host.hello();
    server.receive(&hello[0].1, 21);
    assert_eq!(server.transmit(21), [0], "the half frame on the line ends here");
    server.sent(1, 21);
    let mut decoder = Decoder::new(vec![0; encoded_len(MAX_BODY)]);
    let mut input = server.transmit(21);
    let header = decoder.feed(&mut input).unwrap().unwrap().header;
    assert_eq!(header.kind, Kind::Capabilities as u8);
    assert!(input.is_empty(), "nothing of the earlier session follows");
}

#[test]
fn a_doubled_hello_is_one_hello() {
    let mut memory = Small::new();
    let (mut server, mut host) = (memory.server(), Host::new());
    let hello = host.hello();
    assert_eq!(host.talk(&mut server, hello.clone()).len(), 1);
    let head = RecordingHead { spikes: true, sample_period: 1, samples: 2, ..Default::default() };
    let recording = host.message(&Message::Recording(head));
    host.talk(&mut server, recording);
    assert_eq!(server.core().writes, 1);
    server.receive(&hello[0].1, 50);
    assert_eq!(server.core().writes, 1, "the core was not reset");
}
