//! Devices that lie, flood or fall silent, and clients of a virtual board that do: a clear error with what to
//! do about it on this side, bounded memory, nobody waits for ever, and the next one is served.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop::virtual_board::{Place, VirtualBoard};
use spikeloop_hal::registry::Registry;
use spikeloop_hal::wire::{
    CapabilitiesBody, Decoder, DeviceHealth, Frame, Full, Header, Hello, Kind, MAX_BODY, Message,
    ResultBlocks, RunBegin, RunEnd, StimulusBlocks, TrialEnd, WeightSpan, Writer, encoded_len,
};
use spikeloop_hal::{
    Capabilities, Chip, ChipConfig, Error, Observables, OpenOptions, PROTOCOL_VERSION, Selector,
    SpikeEvent, Stimulus,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

// ---- memory ------------------------------------------------------------------------------------

/// Counts what the process holds, host and device and board together.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn taken(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
        // SAFETY: the caller keeps the promises of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: they share the counters.
static ALONE: Mutex<()> = Mutex::new(());

/// How long anything may take before it counts as a hang. Far beyond what is needed: machines are busy.
const HANG: Duration = Duration::from_secs(60);

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `act` on a thread of its own; it must end in time, and hold at most `limit` MiB more than before.
#[track_caller]
fn bounded<T: Send + 'static>(limit: usize, act: impl FnOnce() -> T + Send + 'static) -> T {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let (done, finished) = channel();
    std::thread::spawn(move || done.send(act()));
    let result = finished.recv_timeout(HANG).expect("it hangs");
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    assert!(peak <= limit << 20, "{} MiB of memory", peak >> 20);
    result
}

// ---- frames ------------------------------------------------------------------------------------

fn body(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut writer = Writer::new(&mut bytes);
    write(&mut writer).unwrap();
    writer.written().to_vec()
}

fn raw(kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let header = Header { version: PROTOCOL_VERSION as u8, kind, sequence, acknowledge: 0 };
    let mut line = vec![0; encoded_len(body.len())];
    let n = Frame { header, body }.encode(&mut line).unwrap();
    line.truncate(n);
    line
}

fn frame(sequence: u16, message: &Message<'_>) -> Vec<u8> {
    raw(message.kind() as u8, sequence, &body(|out| message.encode(out)))
}

/// A frame whose header says another length than its body has, with a good checksum (CRC-16/IBM-3740, bit by
/// bit, as the specification of the wire has it).
fn wrong_length(sequence: u16, declared: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![PROTOCOL_VERSION as u8, Kind::Health as u8];
    for field in [sequence, 0, declared] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(body);
    // Every block ends at a zero; none is as long as 254 bytes here.
    let mut line: Vec<u8> = Vec::new();
    for block in bytes.split(|byte| *byte == 0) {
        line.push(u8::try_from(block.len() + 1).unwrap());
        line.extend(block);
    }
    let crc = line.iter().fold(0xFFFFu16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    });
    let seven = |shift: u16| 0x80 | (crc >> shift & 0x7F) as u8;
    line.extend([seven(0), seven(7), 0x80 | (crc >> 14) as u8, 0]);
    line
}

// ---- hostile devices ---------------------------------------------------------------------------

fn caps() -> Capabilities {
    let chip: Selector = "emu:preset=bss2-cal,neurons=16,inputs=8,seed=7".parse().unwrap();
    chip.open(&options()).unwrap().capabilities().clone()
}

fn options() -> OpenOptions {
    let mut options = OpenOptions { threads: 1, ..OpenOptions::default() };
    options.session.handshake = Duration::from_millis(1500);
    options.session.silence = Duration::from_millis(300);
    options.session.recovery = Duration::from_millis(800);
    options
}

/// A device behind a local address that treats every client as `act` does.
fn device(act: impl Fn(TcpStream) + Send + 'static) -> Selector {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let selector = format!("tcp:{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(act));
    selector
}

/// Messages of the host, one after the other; `None` when it is gone.
struct Heard {
    stream: TcpStream,
    decoder: Decoder<Vec<u8>>,
    chunk: Vec<u8>,
    held: Vec<u8>,
}

impl Heard {
    fn new(stream: &TcpStream) -> Self {
        Self {
            stream: stream.try_clone().unwrap(),
            decoder: Decoder::new(vec![0; encoded_len(MAX_BODY)]),
            chunk: vec![0; 4096],
            held: Vec::new(),
        }
    }

    /// The next frame: its header and its body.
    fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        loop {
            let mut input = &self.held[..];
            let found = match self.decoder.feed(&mut input) {
                Some(Ok(frame)) => Some((frame.header, frame.body.to_vec())),
                Some(Err(_)) | None => None,
            };
            let left = input.len();
            self.held.drain(..self.held.len() - left);
            if found.is_some() {
                return found;
            }
            if left == 0 {
                let n = self.stream.read(&mut self.chunk).ok().filter(|n| *n > 0)?;
                self.held.extend_from_slice(&self.chunk[..n]);
            }
        }
    }

    /// Waits for hello and says what `caps` say.
    fn greet(&mut self, caps: &Capabilities) -> Option<()> {
        loop {
            let (header, body) = self.next()?;
            if let Ok(Message::Hello(hello)) = Message::decode(header.kind, &body) {
                let mut scratch = [0; CapabilitiesBody::MAX_LEN];
                let body = CapabilitiesBody::new(hello.session, 8, caps, &mut scratch).unwrap();
                return self.stream.write_all(&frame(0, &Message::Capabilities(body))).ok();
            }
        }
    }

    /// Waits for a message of this kind.
    fn wait_for(&mut self, kind: Kind) -> Option<()> {
        while self.next()?.0.kind != kind as u8 {}
        Some(())
    }
}

/// A device that greets and then, when a run was sent, says `answer` for ever or until the host is gone.
fn greets_then(answer: impl Fn() -> Vec<u8> + Send + 'static, times: usize) -> Selector {
    device(move |stream| {
        let mut heard = Heard::new(&stream);
        let act = || {
            heard.greet(&caps())?;
            heard.wait_for(Kind::RunBegin)?;
            let bytes = answer();
            (0..times).try_for_each(|_| (&stream).write_all(&bytes).ok())?;
            // Quiet from here on; the host decides how long it waits.
            while heard.next().is_some() {}
            Some(())
        };
        let mut act = act;
        let _ = act();
    })
}

fn run(chip: &mut dyn Chip) -> Result<Observables, Error> {
    let events = vec![SpikeEvent::new(3, 1), SpikeEvent::new(9, 2)];
    let stimulus = Stimulus { trial: 1, duration: 100, events };
    let mut config = ChipConfig::power_up(chip.capabilities());
    config.recording.spikes = true;
    chip.configure(&config)?;
    let ticket = chip.submit(&[stimulus.clone(), stimulus])?;
    let mut out = Observables::default();
    chip.collect(ticket, &mut out)?;
    Ok(out)
}

/// Opens the device and runs something on it; what comes of it must be an error that says what to do.
#[track_caller]
fn fails(limit: usize, selector: Selector) -> Error {
    let error = bounded(limit, move || {
        let mut chip = selector.open(&options())?;
        run(&mut *chip)
    })
    .expect_err("the device does not do what it should");
    let text = error.to_string();
    let says_what_to_do = [
        "check",
        "update",
        "slower",
        "firmware",
        "reconnect",
        "open it again",
        "open the device",
        "wait",
        "switch",
        "reset",
    ];
    assert!(says_what_to_do.iter().any(|word| text.contains(word)), "{text}");
    error
}

#[test]
fn a_device_that_never_answers() {
    let _alone = alone();
    let error = fails(64, device(|stream| while Heard::new(&stream).next().is_some() {}));
    assert!(matches!(error, Error::Timeout { heard: 0, .. }), "{error}");
}

#[test]
fn devices_that_flood_instead_of_greeting() {
    let _alone = alone();
    let unknown = raw(0x7B, 9, &[1; 500]);
    let health = frame(3, &Message::Health(DeviceHealth::default()));
    for flood in [vec![0; 5000], vec![0xFF; 5000], vec![7; 70_000], unknown, health] {
        let error = fails(64, device(move |mut stream| while stream.write_all(&flood).is_ok() {}));
        assert!(matches!(error, Error::Timeout { heard: 1.., .. }), "{error}");
    }
}

#[test]
fn a_device_that_sends_one_byte_now_and_then() {
    let _alone = alone();
    let drip = |mut stream: TcpStream| {
        let mut heard = Heard::new(&stream);
        if heard.greet(&caps()).is_some() {
            // Often enough that the line is never silent, and never a frame.
            while stream.write_all(&[9]).is_ok() {
                std::thread::sleep(Duration::from_millis(30));
            }
        }
    };
    fails(64, device(drip));
}

#[test]
fn devices_that_flood_instead_of_running() {
    let _alone = alone();
    let endless = usize::MAX;
    fails(64, greets_then(|| vec![0; 5000], endless));
    fails(64, greets_then(|| vec![0xFF; 5000], endless));
    fails(64, greets_then(|| raw(0x7B, 1, &[1; 500]), endless));
    fails(64, greets_then(|| frame(1, &Message::Health(DeviceHealth::default())), endless));
    fails(64, greets_then(|| raw(Kind::Result as u8, 1, &[0, 0, 0, 0]), endless));
    let damaged = || {
        let mut bytes = frame(1, &Message::Ping(7));
        bytes[4] ^= 1;
        bytes
    };
    fails(64, greets_then(damaged, endless));
}

/// Results as a device would send them, with something wrong.
fn result(run: u32, write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let blocks = body(|out| {
        ResultBlocks::begin(run, out)?;
        write(out)
    });
    raw(Kind::Result as u8, 1, &blocks)
}

#[test]
fn results_that_cannot_be() {
    let _alone = alone();
    let spike = [SpikeEvent::new(4, 2)];
    let late = [SpikeEvent::new(4, 2), SpikeEvent::new(4, 900)];
    let end = |index, spikes| TrialEnd { index, spikes, ..TrialEnd::default() };
    let run_end =
        |run, trials| Message::RunEnd(RunEnd { run, trials, execute_ns: 1, digests: None });
    let answers: Vec<Vec<u8>> = vec![
        // Another run, a trial out of order, a trial beyond the last.
        result(77, |out| ResultBlocks::push_end(&end(0, 0), out)),
        result(0, |out| ResultBlocks::push_end(&end(1, 0), out)),
        result(0, |out| (0..3).try_for_each(|index| ResultBlocks::push_end(&end(index, 0), out))),
        // Other counts than were sent.
        result(0, |out| ResultBlocks::push_end(&end(0, 1), out)),
        result(0, |out| {
            ResultBlocks::push_spikes(0, &spike, 4, out)?;
            ResultBlocks::push_end(&end(0, u32::MAX), out)
        }),
        // A neuron that does not exist, samples that nobody asked for.
        result(0, |out| ResultBlocks::push_spikes(0, &late, 10, out).map(drop)),
        result(0, |out| ResultBlocks::push_samples(0, 0, &[1, 2, 3], 10, out).map(drop)),
        result(0, |out| ResultBlocks::push_samples(0, u32::MAX, &[1], 10, out).map(drop)),
        // An end without results, of another run, of another size.
        frame(1, &run_end(0, 2)),
        frame(1, &run_end(9, 2)),
        frame(1, &run_end(0, u32::MAX)),
        // Bodies that end too early, and messages of a host.
        raw(Kind::Result as u8, 1, &[0, 0, 0, 0, 1, 0, 0]),
        raw(Kind::RunEnd as u8, 1, &[1]),
        frame(1, &Message::RunBegin(RunBegin { run: 0, trials: 2 })),
    ];
    for (case, answer) in answers.into_iter().enumerate() {
        let error = fails(64, greets_then(move || answer.clone(), 1));
        let expected = matches!(
            error,
            Error::Protocol { .. } | Error::Malformed { .. } | Error::Timeout { .. }
        );
        assert!(expected, "case {case}: {error}");
    }
}

#[test]
fn lengths_that_are_not_those_of_the_body() {
    let _alone = alone();
    // What this test writes by itself is what the library reads.
    let good = wrong_length(1, 3, &[4, 5, 6]);
    let mut decoder = Decoder::new(vec![0; 100]);
    assert_eq!(decoder.feed(&mut &good[..]).unwrap().unwrap().body, [4, 5, 6]);
    for declared in [0, 2, 4, u16::MAX] {
        fails(64, greets_then(move || wrong_length(1, declared, &[4, 5, 6]), 3));
    }
}

#[test]
fn capabilities_that_promise_everything() {
    let _alone = alone();
    // Allowed, and nothing is made ready for it before it is used.
    let mut most = caps();
    let buffers = &mut most.buffers;
    (buffers.trials, buffers.stimulus_events) = (u32::MAX, u32::MAX);
    (buffers.spikes_per_trial, buffers.trace_bytes) = (u32::MAX, u32::MAX);
    (buffers.runs_in_flight, buffers.frame_body) = (u8::MAX, u16::MAX);
    most.max_duration = u32::MAX;
    let selector = device(move |stream| {
        let mut heard = Heard::new(&stream);
        if heard.greet(&most).is_some() {
            while heard.next().is_some() {}
        }
    });
    let error = fails(64, selector);
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    // The largest chip that is believed has 2²⁶ weights, a byte each, held twice.
    type Change = fn(&mut Capabilities);
    let absurd: [Change; 4] = [
        |caps| (caps.neurons, caps.inputs) = (u16::MAX, u16::MAX),
        |caps| (caps.neurons, caps.inputs, caps.recurrent) = (u16::MAX, 1, true),
        |caps| caps.tick_ns = 0,
        |caps| caps.weight_min = caps.weight_max.saturating_add(1),
    ];
    for change in absurd {
        let mut absurd = caps();
        change(&mut absurd);
        let selector = device(move |stream| {
            let mut heard = Heard::new(&stream);
            if heard.greet(&absurd).is_some() {
                while heard.next().is_some() {}
            }
        });
        let error = fails(64, selector);
        assert!(matches!(error, Error::Announcement { .. }), "{error}");
    }
}

#[test]
fn a_device_that_answers_too_late_every_time() {
    let _alone = alone();
    let selector = device(|stream| {
        let mut heard = Heard::new(&stream);
        if heard.greet(&caps()).is_none() {
            return;
        }
        while heard.wait_for(Kind::RunBegin).is_some() {
            std::thread::sleep(Duration::from_millis(1500));
            let end = |index| TrialEnd { index, ..TrialEnd::default() };
            let results = result(0, |out| {
                (0..2).try_for_each(|index| ResultBlocks::push_end(&end(index), out))
            });
            if (&stream).write_all(&results).is_err() {
                return;
            }
        }
    });
    fails(64, selector);
}

// ---- hostile clients ---------------------------------------------------------------------------

struct Victim {
    board: VirtualBoard,
    _folder: tempfile::TempDir,
}

impl Victim {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(folder.path());
        let chip = "emu:preset=bss2-cal,neurons=16,inputs=8,seed=7".parse().unwrap();
        let place = Place::Tcp { address: "127.0.0.1:0".into(), name: None };
        Self {
            board: VirtualBoard::start_in(&chip, &place, 1, &registry).unwrap(),
            _folder: folder,
        }
    }

    fn connect(&self) -> TcpStream {
        let selector = self.board.selector().to_string();
        let stream = TcpStream::connect(selector.strip_prefix("tcp:").unwrap()).unwrap();
        // A board that has had enough must not hold the test.
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// The next client gets what it asks for, as soon as the board has seen that the last one is gone.
    #[track_caller]
    fn serves_the_next(&self) {
        let mut last = None;
        for _ in 0..400 {
            let mut options = OpenOptions { threads: 1, ..OpenOptions::default() };
            options.session.silence = Duration::from_secs(30);
            match self.board.selector().open(&options) {
                Ok(mut chip) => {
                    assert_eq!(run(&mut *chip).unwrap().trials(), 2);
                    return;
                }
                Err(error) => last = Some(error),
            }
            std::thread::yield_now();
        }
        panic!("the board serves nobody any more: {}", last.unwrap());
    }
}

/// The first frames of a client: zero, hello. Leaves the answer unread.
fn hello(stream: &mut TcpStream) {
    let hello = Hello { protocol: PROTOCOL_VERSION, session: 0x1234 };
    stream.write_all(&[0]).unwrap();
    stream.write_all(&frame(0, &Message::Hello(hello))).unwrap();
}

/// Writes until the board takes no more, at most `most` times; says how many bytes it took.
fn pour(stream: &mut TcpStream, most: usize, mut next: impl FnMut(usize) -> Vec<u8>) -> usize {
    let mut bytes = 0;
    for k in 0..most {
        let piece = next(k);
        if stream.write_all(&piece).is_err() {
            break;
        }
        bytes += piece.len();
    }
    bytes
}

/// A client does something to a board; the board holds little memory, and serves the next.
#[track_caller]
fn survives(limit: usize, act: impl FnOnce(&Victim) + Send + 'static) {
    let _alone = alone();
    let victim = Victim::new();
    let victim = bounded(limit, move || {
        act(&victim);
        victim
    });
    bounded(256, move || victim.serves_the_next());
}

#[test]
fn a_client_that_talks_garbage() {
    survives(64, |victim| {
        let mut stream = victim.connect();
        let mut state = 1u32;
        pour(&mut stream, 200, |_| {
            (0..5000)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect()
        });
    });
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_frame() {
    survives(64, |victim| {
        let mut stream = victim.connect();
        hello(&mut stream);
        stream.write_all(&frame(1, &Message::Ping(7))[..9]).unwrap();
        // Whoever comes meanwhile is told so, and not kept waiting.
        let error = victim.board.selector().open(&options()).err().unwrap();
        assert_eq!(
            spikeloop::exit_code::ExitCode::of(&error),
            spikeloop::exit_code::ExitCode::DeviceInUse,
            "{error}"
        );
    });
}

#[test]
fn a_client_that_connects_and_holds() {
    survives(64, |victim| {
        let held = victim.connect();
        let mut crowd: Vec<_> = (0..50).map(|_| victim.connect()).collect();
        // All of the others hear that the board is in use.
        for stream in &mut crowd {
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(!answer.is_empty());
        }
        drop(held);
    });
}

#[test]
fn a_client_whose_stimulus_never_ends() {
    survives(64, |victim| {
        let mut stream = victim.connect();
        hello(&mut stream);
        stream.write_all(&frame(1, &Message::RunBegin(RunBegin { run: 0, trials: 1 }))).unwrap();
        let events: Vec<_> = (0..200).map(|k| SpikeEvent::new(k, 3)).collect();
        let mut blocks = body(|out| {
            StimulusBlocks::begin(0, 3, out)?;
            StimulusBlocks::push(1, 1000, &events, 3, out).map(drop)
        });
        // Bit 15 of the length: the same trial goes on in the next block. Run, address bits, trial and
        // duration stand before it.
        blocks[4 + 1 + 8 + 4 + 1] |= 0x80;
        pour(&mut stream, 20_000, |k| raw(Kind::Stimulus as u8, 2 + k as u16, &blocks));
    });
}

#[test]
fn clients_with_absurd_configurations() {
    survives(64, |victim| {
        let weights = body(|out| WeightSpan::write(u16::MAX, u16::MAX, &[1, 2, 3], out));
        let bodies = [
            (Kind::Weights, weights),
            (Kind::Parameters, vec![9, 255, 255, 255, 255]),
            (Kind::Flags, vec![200, 0, 0, 1, 0, 1]),
            (Kind::Recording, vec![1, 0, 0, 0, 0, 255, 255]),
            (Kind::RunBegin, vec![0, 0, 0, 0, 255, 255, 255, 255]),
            (Kind::RunBegin, vec![0, 0, 0, 0, 0, 0, 0, 0]),
            (Kind::Stimulus, vec![5, 0, 0, 0, 3]),
            (Kind::Capabilities, vec![0; 40]),
            (Kind::Result, vec![0, 0, 0, 0]),
        ];
        for (kind, body) in bodies {
            let mut stream = victim.connect();
            hello(&mut stream);
            let _ = stream.write_all(&raw(kind as u8, 1, &body));
            let _ = stream.write_all(&frame(2, &Message::Ping(7)));
        }
    });
}

#[test]
fn a_client_that_does_not_read() {
    survives(64, |victim| {
        let mut stream = victim.connect();
        hello(&mut stream);
        // Every ping is answered: a board that keeps answers for ever would grow with every one.
        let pings: Vec<u8> = (0..500).flat_map(|k| frame(1 + k, &Message::Ping(7))).collect();
        pour(&mut stream, 20_000, |_| pings.clone());
    });
}

#[test]
fn a_client_that_begins_again_and_again() {
    survives(64, |victim| {
        let mut stream = victim.connect();
        pour(&mut stream, 3000, |_| {
            frame(0, &Message::Hello(Hello { protocol: PROTOCOL_VERSION, session: 9 }))
        });
        for _ in 0..100 {
            let mut stream = victim.connect();
            let _ = stream.write_all(&[1, 2, 3]);
        }
    });
}
