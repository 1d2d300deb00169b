//! Sessions against the real server over in-memory links, and against devices that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "helpers of tests")]

mod beside;
mod device;
mod toy;

use device::{Device, frame, raw, scripted, serve, serve_twice, serve_with_resets};
use spikeloop_firmware::Core;
use spikeloop_firmware::board::ChipCore;
use spikeloop_hal::link::BoxLink;
use spikeloop_hal::wire::{
    CapabilitiesBody, Decoder, DeviceHealth, Kind, MAX_BODY, Message, Refusal, RefusalCode,
    encoded_len,
};
use spikeloop_hal::{
    Capabilities, Chip, ChipConfig, Error, Observables, PROTOCOL_VERSION, Parameter, Recording,
    Session, SessionOptions, SpikeEvent, Stimulus, TimeSplit,
};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use toy::{FAILS, RealTimeCore, STALLS, ToyChip, capabilities, trial};

const VERSION: u8 = PROTOCOL_VERSION as u8;

fn open(device: Device) -> Session {
    Session::open(device.link, SessionOptions::default()).unwrap()
}

fn toy_session() -> Session {
    open(serve(ChipCore::new(ToyChip::new(capabilities())), 4096))
}

/// Numbers that look random and are the same everywhere.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(limit)) as u32
    }
}

fn some_config(caps: &Capabilities, draw: &mut Draw) -> ChipConfig {
    let mut config = ChipConfig::power_up(caps);
    config.weights.iter_mut().for_each(|w| *w = draw.below(127) as i8 - 63);
    for (parameter, codes) in &mut config.parameters {
        let top = caps.parameter(*parameter).unwrap().code_max;
        codes.iter_mut().for_each(|code| *code = draw.below(u32::from(top)) as u16);
    }
    config.enabled.iter_mut().for_each(|on| *on = draw.below(4) > 0);
    config.spiking.iter_mut().for_each(|on| *on = draw.below(4) > 0);
    config.recording = Recording {
        spikes: true,
        traces: (0..caps.neurons).filter(|_| draw.below(2) == 0).collect(),
        sample_period: 2 + draw.below(9),
        samples: draw.below(40) as u16,
        reference: (draw.below(3) == 0).then(|| draw.below(1024) as u16),
        floor: None,
    };
    let recording = &mut config.recording;
    if recording.reference.is_none() && draw.below(2) == 0 {
        recording.floor = Some(draw.below(1024) as u16);
    }
    config
}

fn some_stimuli(caps: &Capabilities, draw: &mut Draw, trials: u32) -> Vec<Stimulus> {
    (0..trials)
        .map(|_| {
            let duration = 200 + draw.below(3000);
            let count = draw.below(90);
            let mut events: Vec<_> = (0..count)
                .map(|_| {
                    let id = draw.below(u32::from(caps.inputs)) as u16;
                    SpikeEvent::new(draw.below(duration), id)
                })
                .collect();
            events.sort_by_key(|event| event.tick);
            let trial = u64::from(draw.below(100_000)) * 1000 + 1;
            Stimulus { trial, duration, events }
        })
        .collect()
}

fn run(chip: &mut dyn Chip, stimuli: &[Stimulus]) -> Observables {
    let ticket = chip.submit(stimuli).unwrap();
    let mut out = Observables::default();
    chip.collect(ticket, &mut out).unwrap();
    out.time = TimeSplit::default();
    out
}

fn same_as_in_process<C: Core + Send + 'static>(core: C, capacity: usize) {
    let caps = core.capabilities().clone();
    let mut here = ToyChip::new(caps.clone());
    let mut there = open(serve(core, capacity));
    assert_eq!(there.capabilities(), &caps);
    let mut draw = Draw(7);
    for round in 0..8 {
        if round != 3 {
            let config = some_config(&caps, &mut draw);
            here.configure(&config).unwrap();
            there.configure(&config).unwrap();
        }
        let mut stimuli = some_stimuli(&caps, &mut draw, 1 + 3 * round);
        if round == 5 {
            stimuli[2].trial = STALLS;
        }
        assert_eq!(run(&mut there, &stimuli), run(&mut here, &stimuli), "round {round}");
    }
    assert_eq!(there.health(), here.health());
    assert!(here.health().dropped_spikes > 0 && here.health().saturated_samples > 0);
}

#[test]
fn whole_trial_core_gives_what_the_chip_gives_in_process() {
    same_as_in_process(ChipCore::new(ToyChip::new(capabilities())), 64 * 1024);
}

#[test]
fn real_time_core_gives_the_same() {
    same_as_in_process(RealTimeCore::new(capabilities()), 64 * 1024);
}

#[test]
fn a_link_that_holds_61_bytes_blocks_nobody() {
    same_as_in_process(ChipCore::new(ToyChip::new(capabilities())), 61);
}

#[test]
fn the_smallest_frames_carry_everything() {
    let mut caps = capabilities();
    caps.buffers.frame_body = 64;
    same_as_in_process(RealTimeCore::new(caps), 512);
}

#[test]
fn a_chip_without_converter_returns_spikes_only() {
    let mut caps = capabilities();
    caps.adc = None;
    let mut session = open(serve(ChipCore::new(ToyChip::new(caps.clone())), 4096));
    let mut draw = Draw(1);
    let mut config = some_config(&caps, &mut draw);
    config.recording.samples = 4;
    config.recording.traces = vec![1, 2];
    assert!(matches!(session.configure(&config), Err(Error::Recording { .. })));
    config.recording.traces.clear();
    session.configure(&config).unwrap();
    let out = run(&mut session, &some_stimuli(&caps, &mut draw, 4));
    assert!(!out.spikes.is_empty() && out.samples.is_empty());
}

#[test]
fn runs_are_pipelined_and_keep_their_configuration() {
    let mut session = toy_session();
    let caps = capabilities();
    let mut draw = Draw(3);
    let mut expected = Vec::new();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let config = some_config(&caps, &mut draw);
        let stimuli = some_stimuli(&caps, &mut draw, 5);
        session.configure(&config).unwrap();
        tickets.push(session.submit(&stimuli).unwrap());
        let spikes: Vec<_> = stimuli.iter().flat_map(|s| trial(&caps, &config, s).0).collect();
        expected.push(spikes);
    }
    let more = some_stimuli(&caps, &mut draw, 1);
    assert!(matches!(session.submit(&more), Err(Error::TooManyRuns { limit: 3 })));
    let mut out = Observables::default();
    let early = session.collect(tickets[1], &mut out);
    assert!(matches!(early, Err(Error::UnknownTicket { ticket: 1 })));
    for (ticket, spikes) in tickets.iter().zip(&expected) {
        session.collect(*ticket, &mut out).unwrap();
        assert_eq!(&out.spikes, spikes);
    }
    let again = session.collect(tickets[2], &mut out);
    assert!(matches!(again, Err(Error::UnknownTicket { ticket: 2 })));
}

#[test]
fn every_run_has_its_time_split() {
    let caps = capabilities();
    let device = serve(RealTimeCore::new(caps.clone()), 4096);
    let mut options = SessionOptions::default();
    let now = Arc::new(AtomicUsize::new(0));
    options.clock = Arc::new(move || now.fetch_add(5_000_000, Ordering::Relaxed) as u64);
    let mut session = Session::open(device.link, options).unwrap();
    let mut draw = Draw(3);
    session.configure(&some_config(&caps, &mut draw)).unwrap();
    let ticket = session.submit(&some_stimuli(&caps, &mut draw, 5)).unwrap();
    let mut out = Observables::default();
    session.collect(ticket, &mut out).unwrap();
    let TimeSplit { encode_ns, execute_ns, decode_ns, .. } = out.time;
    // The device's clock moves 1 µs a poll, the host's 5 ms a look.
    assert_eq!(encode_ns, 10_000_000);
    assert!(execute_ns > 5_000 && execute_ns % 1000 == 0, "{execute_ns}");
    assert!(decode_ns >= 5_000_000);
}

#[test]
fn requests_beyond_the_buffers_are_refused_and_leave_the_session_alive() {
    let mut session = toy_session();
    let caps = capabilities();
    let mut draw = Draw(5);
    session.configure(&some_config(&caps, &mut draw)).unwrap();
    let many = vec![Stimulus { duration: 9, ..Stimulus::default() }; 41];
    let refused = session.submit(&many);
    assert!(matches!(refused, Err(Error::BeyondBuffers { requested: 41, limit: 40, .. })));
    let long = Stimulus { duration: 100_001, ..Stimulus::default() };
    assert!(matches!(session.submit(&[long]), Err(Error::BeyondBuffers { .. })));
    let events = vec![SpikeEvent::new(3, 2); 6001];
    let dense = Stimulus { duration: 10, events, ..Stimulus::default() };
    assert!(matches!(session.submit(&[dense]), Err(Error::BeyondBuffers { .. })));
    for events in [
        vec![SpikeEvent::new(3, 12)],
        vec![SpikeEvent::new(10, 2)],
        vec![SpikeEvent::new(4, 2), SpikeEvent::new(3, 2)],
    ] {
        let bad = Stimulus { duration: 10, events, ..Stimulus::default() };
        assert!(matches!(session.submit(&[bad]), Err(Error::Stimulus { trial: 0, .. })));
    }
    assert_eq!(run(&mut session, &some_stimuli(&caps, &mut draw, 3)).trials(), 3);
}

#[test]
fn the_fullest_run_fits() {
    let mut session = toy_session();
    let caps = capabilities();
    let mut config = some_config(&caps, &mut Draw(6));
    config.recording = Recording {
        spikes: true,
        traces: (0..20).collect(),
        sample_period: 2,
        samples: 50,
        ..Recording::default()
    };
    session.configure(&config).unwrap();
    let events: Vec<_> = (0..6000).map(|t| SpikeEvent::new(t / 2, (t % 12) as u16)).collect();
    let mut stimuli = vec![Stimulus { duration: 4000, events, trial: 1 }];
    stimuli.resize(40, Stimulus { duration: 50, ..Stimulus::default() });
    let out = run(&mut session, &stimuli);
    assert_eq!((out.trials(), out.samples.len()), (40, 40 * 20 * 50));
    assert_eq!(out.spikes_of(0).len(), 300);
    assert!(out.dropped_events > 1000);
}

/// Counts what a host writes.
struct Counted(BoxLink, Arc<Mutex<Vec<u8>>>);

/// Bytes on the line of everything but acknowledgements, which depend on the moment.
fn without_acks(line: &[u8]) -> usize {
    let mut decoder = Decoder::new(vec![0; encoded_len(MAX_BODY)]);
    line.split_inclusive(|byte| *byte == 0)
        .filter(|piece| {
            let mut input = *piece;
            let frame = decoder.feed(&mut input);
            frame.is_some_and(|frame| frame.unwrap().header.kind != Kind::HostAck as u8)
        })
        .map(<[u8]>::len)
        .sum()
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = written {
            self.1.lock().unwrap().extend_from_slice(&buf[..n]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[test]
fn only_what_changed_is_sent() {
    let caps = capabilities();
    let line = Arc::new(Mutex::new(Vec::new()));
    let device = serve(ChipCore::new(ToyChip::new(caps.clone())), 4096);
    let link = Box::new(Counted(device.link, line.clone()));
    let mut session = Session::open(link, SessionOptions::default()).unwrap();
    let mut config = some_config(&caps, &mut Draw(9));
    config.recording.reference = None;
    let mut cost = |config: &ChipConfig| {
        session.configure(config).unwrap();
        // The answer to a ping comes after everything before it.
        session.ping().unwrap();
        without_acks(&std::mem::take(&mut *line.lock().unwrap()))
    };
    assert!(cost(&config) > 32 * 20);
    let ping = cost(&config);
    config.row_mut(3)[7] = if config.row(3)[7] == 1 { 2 } else { 1 };
    assert_eq!(cost(&config) - ping, 13 + 6 + 1, "one weight");
    config.codes_mut(Parameter::TauMem).unwrap()[19] = 499;
    assert_eq!(cost(&config) - ping, 13 + 5 + 2, "one parameter code");
    config.spiking[4] = !config.spiking[4];
    assert_eq!(cost(&config) - ping, 13 + 5 + 1, "one comparator");
    config.recording.sample_period += 1;
    assert_eq!(cost(&config) - ping, 13 + 7, "the sample period");
    config.recording.reference = Some(200);
    assert_eq!(cost(&config) - ping, 13 + 7 + 2, "a reference");
}

#[test]
fn mnist_like_input_takes_less_than_2_6_bytes_a_spike() {
    let mut caps = capabilities();
    (caps.inputs, caps.recurrent, caps.buffers.frame_body) = (256, false, 4096);
    let line = Arc::new(Mutex::new(Vec::new()));
    let device = serve(ChipCore::new(ToyChip::new(caps)), 4096);
    let link = Box::new(Counted(device.link, line.clone()));
    let mut session = Session::open(link, SessionOptions::default()).unwrap();
    session.ping().unwrap();
    let before = line.lock().unwrap().len();
    // 57 active pixels of 256 in 20 steps of 17 ticks, each with one spike (measured mean of the
    // MNIST test set at 16 x 16 pixels).
    let mut draw = Draw(11);
    let stimuli: Vec<_> = (0..25)
        .map(|k| {
            let mut events: Vec<_> =
                (0..57).map(|_| SpikeEvent::new(draw.below(340), draw.below(256) as u16)).collect();
            events.sort();
            Stimulus { trial: 100 + k, duration: 340, events }
        })
        .collect();
    run(&mut session, &stimuli);
    let bytes = line.lock().unwrap().len() - before;
    let each = bytes as f64 / (25.0 * 57.0);
    assert!(each < 2.6, "{each}");
}

#[test]
fn ping_returns_the_devices_counters() {
    let mut session = toy_session();
    let caps = capabilities();
    let mut draw = Draw(2);
    session.configure(&some_config(&caps, &mut draw)).unwrap();
    run(&mut session, &some_stimuli(&caps, &mut draw, 7));
    let health = session.ping().unwrap();
    assert_eq!((health.trials, health.damaged_frames), (7, 0));
}

#[test]
fn a_second_session_finds_the_power_up_state() {
    let caps = capabilities();
    let (first, second, thread) = serve_twice(ChipCore::new(ToyChip::new(caps.clone())));
    let mut draw = Draw(4);
    let stimuli = some_stimuli(&caps, &mut draw, 6);
    let mut session = Session::open(first, SessionOptions::default()).unwrap();
    session.configure(&some_config(&caps, &mut draw)).unwrap();
    assert!(!run(&mut session, &stimuli).spikes.is_empty());
    // The first program dies in the middle of a run.
    session.submit(&stimuli).unwrap();
    drop(session);
    let mut session = Session::open(second, SessionOptions::default()).unwrap();
    let mut fresh = ToyChip::new(caps);
    assert_eq!(run(&mut session, &stimuli), run(&mut fresh, &stimuli));
    assert_eq!(session.health().trials, 6);
    drop(session);
    thread.join().unwrap();
}

#[test]
fn garbage_before_the_session_does_no_harm() {
    let device = serve(ChipCore::new(ToyChip::new(capabilities())), 4096);
    let mut link = device.link;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        use tokio::io::AsyncWriteExt;
        // Half a frame of an earlier program, noise, and a whole frame without a session.
        link.write_all(&[9, 1, 0x10, 5, 0, 0, 255, 254]).await.unwrap();
        link.write_all(&frame(VERSION, 44, &Message::Ping(7))).await.unwrap();
        link.write_all(&raw(VERSION, 0x10, 45, &[1, 2])).await.unwrap();
        link.write_all(&frame(VERSION, 46, &Message::Ping(7))[..6]).await.unwrap();
    });
    let mut session = Session::open(link, SessionOptions::default()).unwrap();
    assert_eq!(session.ping().unwrap().trials, 0);
}

fn quick() -> SessionOptions {
    let mut options = SessionOptions::default();
    options.handshake = Duration::from_millis(60);
    options.silence = Duration::from_millis(60);
    options
}

fn capabilities_frame(message: &Message<'_>, caps: &Capabilities) -> Option<Vec<u8>> {
    let Message::Hello(hello) = message else { return None };
    let mut scratch = [0; CapabilitiesBody::MAX_LEN];
    let body = CapabilitiesBody::new(hello.session, 8, caps, &mut scratch).unwrap();
    Some(frame(VERSION, 0, &Message::Capabilities(body)))
}

#[test]
fn a_device_of_another_version_is_named() {
    let device = scripted(|header, _| {
        let refusal = Refusal {
            code: RefusalCode::UnknownVersion as u8,
            kind: header.kind,
            sequence: header.sequence,
            got: u32::from(header.version),
            limit: 4,
        };
        Some(frame(4, 0, &Message::Refusal(refusal)))
    });
    let error = Session::open(device.link, quick()).unwrap_err();
    assert!(
        matches!(error, Error::ProtocolVersion { host: PROTOCOL_VERSION, device: 4 }),
        "{error}"
    );
    let device = scripted(|_, message| {
        capabilities_frame(&message, &Capabilities { protocol: 3, ..capabilities() })
    });
    let error = Session::open(device.link, quick()).unwrap_err();
    assert!(
        matches!(error, Error::ProtocolVersion { host: PROTOCOL_VERSION, device: 3 }),
        "{error}"
    );
}

#[test]
fn a_device_that_never_answers_times_out() {
    let device = scripted(|_, _| Some(Vec::new()));
    let error = Session::open(device.link, quick()).unwrap_err();
    assert!(matches!(error, Error::Timeout { after_ms: 60, heard: 0, .. }), "{error}");
    // Something answers, but not in our language.
    let device = scripted(|_, _| Some(b"login: ".to_vec()));
    let error = Session::open(device.link, quick()).unwrap_err();
    // How many hellos fit into the time depends on the machine; each was answered with seven bytes.
    let Error::Timeout { heard, .. } = error else { panic!("{error}") };
    assert!(heard > 0 && heard % 7 == 0, "{heard}");
    // A device that greets and then falls silent.
    let device = scripted(|_, message| {
        Some(capabilities_frame(&message, &capabilities()).unwrap_or_default())
    });
    let mut session = Session::open(device.link, quick()).unwrap();
    let ticket = session.submit(&[Stimulus { duration: 5, ..Stimulus::default() }]).unwrap();
    let mut out = Observables::default();
    let error = session.collect(ticket, &mut out).unwrap_err();
    let Error::Timeout { waiting_for, .. } = error else { panic!("{error}") };
    assert_eq!(waiting_for, "the results of a run");
    assert!(matches!(session.collect(ticket, &mut out), Err(Error::SessionOver { .. })));
    assert!(matches!(session.submit(&[]), Err(Error::SessionOver { .. })));
    let config = ChipConfig::power_up(&capabilities());
    assert!(matches!(session.configure(&config), Err(Error::SessionOver { .. })));
}

#[test]
fn a_device_that_vanishes_is_a_disconnect() {
    let device = scripted(|_, message| capabilities_frame(&message, &capabilities()));
    let mut session = Session::open(device.link, quick()).unwrap();
    let ticket = session.submit(&[Stimulus { duration: 5, ..Stimulus::default() }]).unwrap();
    let error = session.collect(ticket, &mut Observables::default()).unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
    let device = scripted(|_, _| None);
    let error = Session::open(device.link, quick()).unwrap_err();
    assert!(matches!(error, Error::Disconnected { .. }), "{error}");
}

#[test]
fn absurd_capabilities_are_refused() {
    let absurd: [fn(&mut Capabilities); 9] = [
        |caps| caps.neurons = 0,
        |caps| (caps.neurons, caps.inputs, caps.recurrent) = (65535, 65535, false),
        |caps| (caps.neurons, caps.inputs) = (60000, 60000),
        |caps| caps.weight_min = 64,
        |caps| caps.tick_ns = 0,
        |caps| caps.adc.as_mut().unwrap().bits = 17,
        |caps| caps.buffers.frame_body = 63,
        |caps| caps.buffers.runs_in_flight = 0,
        |caps| caps.parameters[0].code_default = 2000,
    ];
    for change in absurd {
        let mut caps = capabilities();
        change(&mut caps);
        let device = scripted(move |_, message| capabilities_frame(&message, &caps));
        let error = Session::open(device.link, quick()).unwrap_err();
        assert!(matches!(error, Error::Announcement { .. }), "{error}");
    }
}

#[test]
fn a_device_that_breaks_the_protocol_ends_the_session() {
    let health = DeviceHealth::default();
    type Case = (Vec<u8>, fn(&Error) -> bool);
    let answers: [Case; 5] = [
        (raw(VERSION, 0x7F, 1, &[]), |e| matches!(e, Error::Malformed { kind: 0x7F, .. })),
        (raw(VERSION, 0xA0, 1, &[0, 0, 0, 0, 9]), |e| {
            matches!(e, Error::Malformed { kind: 0xA0, .. })
        }),
        (raw(VERSION, 0xA0, 1, &[0; 4]), |e| matches!(e, Error::Protocol { .. })),
        (frame(VERSION, 2, &Message::Health(health)), |e| {
            // The frame before it never comes.
            matches!(e, Error::Timeout { .. })
        }),
        (frame(VERSION, 1, &Message::Ping(3)), |e| matches!(e, Error::Protocol { .. })),
    ];
    for (answer, is_expected) in answers {
        let device = scripted(move |_, message| {
            Some(capabilities_frame(&message, &capabilities()).unwrap_or(answer.clone()))
        });
        let mut session = Session::open(device.link, quick()).unwrap();
        let error = session.ping().unwrap_err();
        assert!(is_expected(&error), "{error}");
    }
}

#[test]
fn a_failing_chip_is_a_refusal_with_its_fault_number() {
    let mut session = toy_session();
    let unlucky = Stimulus { trial: FAILS, duration: 5, events: Vec::new() };
    let ticket = session.submit(&[unlucky]).unwrap();
    let error = session.collect(ticket, &mut Observables::default()).unwrap_err();
    let Error::Refused { refusal } = error else { panic!("{error}") };
    assert_eq!((refusal.reason(), refusal.got), (Some(RefusalCode::Fault), 2));
}

#[test]
fn a_device_that_is_reset_again_and_again_is_brought_back_to_where_it_was() {
    let caps = capabilities();
    let mut here = ToyChip::new(caps.clone());
    let core = || ChipCore::new(ToyChip::new(capabilities()));
    // Between, within and right after messages.
    for life in [701, 4000, 9973] {
        let mut there = open(serve_with_resets(core, life, 6));
        let mut draw = Draw(life as u64);
        let mut waiting = Vec::new();
        let mut repeated = Vec::new();
        for round in 0..15 {
            if round % 3 != 2 {
                let mut config = some_config(&caps, &mut draw);
                config.recording.samples = config.recording.samples.min(5);
                here.configure(&config).unwrap();
                there.configure(&config).unwrap();
            }
            let stimuli = some_stimuli(&caps, &mut draw, 1 + round % 4);
            waiting.push((there.submit(&stimuli).unwrap(), run(&mut here, &stimuli)));
            if waiting.len() == 3 {
                repeated.extend(waiting.drain(..2));
            }
            for (ticket, expected) in repeated.drain(..) {
                let mut out = Observables::default();
                there.collect(ticket, &mut out).unwrap();
                out.time = TimeSplit::default();
                assert_eq!(out, expected, "round {round}");
            }
        }
        let health = there.health();
        assert!(health.recoveries >= 1, "{health:?}");
        assert!(health.retries >= health.recoveries, "{health:?}");
    }
}

#[test]
fn a_link_that_comes_back_with_another_chip_is_refused() {
    let mut other = capabilities();
    other.identity.serial += 1;
    let mut devices = vec![
        serve(ChipCore::new(ToyChip::new(other)), 4096),
        serve_with_resets(|| ChipCore::new(ToyChip::new(capabilities())), 1200, 0),
    ];
    let first = devices.pop().unwrap();
    let _keep = first.thread;
    let mut links = vec![devices.pop().unwrap().link, first.link];
    let mut draw = Draw(8);
    let cut = Arc::new(AtomicUsize::new(0));
    let shears = cut.clone();
    let mut session = Session::connect(
        move || {
            let link: BoxLink = Box::new(Cut(links.pop().unwrap(), shears.clone()));
            async move { Ok(link) }
        },
        SessionOptions::default(),
    )
    .unwrap();
    session.configure(&some_config(&capabilities(), &mut draw)).unwrap();
    run(&mut session, &some_stimuli(&capabilities(), &mut draw, 2));
    cut.store(1, Ordering::Relaxed);
    let ticket = session.submit(&some_stimuli(&capabilities(), &mut draw, 2)).unwrap();
    let error = session.collect(ticket, &mut Observables::default()).unwrap_err();
    assert!(matches!(error, Error::OtherChip { .. }), "{error}");
}

/// A link that ends as soon as the switch is 1, which it then sets to 2.
struct Cut(BoxLink, Arc<AtomicUsize>);

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.1.compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
