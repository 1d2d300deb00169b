//! The device's end of the wire: bytes in, bytes out, time as an argument.
//!
//! ```text
//!  receive ─► decoder ─► window ─► judge ─► schedule ─► Core ─► record ─► window ─► transmit, sent
//!                          ▲         │ registers ───────►│                   ▲
//!                          └ frames for which there is no use yet            └ until acknowledged
//! ```
//!
//! The server never needs more memory than it was given. It takes every byte at once, so that
//! acknowledgements are never stuck behind a run; what the host may send is limited by the
//! [window](spikeloop_hal::wire::window), and a trial begins only when the results of the one before
//! are on their way out. A host that does not listen therefore stops the input in the end.

mod buffers;
mod checks;
mod output;

use buffers::check_buffers;
pub use buffers::{BufferTooSmall, Buffers};

use crate::core::{Core, Trial, Write};
use crate::record::{Format, Record};
use crate::schedule::Schedule;
use checks::{
    each, out_of_range, parameters, readable, recording, unteachable, weights, within, write,
};
use heapless::Deque;
use spikeloop_hal::PROTOCOL_VERSION;
use spikeloop_hal::wire::window::{Arrival, Side, WINDOW, Window, read_ack};
use spikeloop_hal::wire::{
    CapabilitiesBody, Decoder, DeviceHealth, Digest, Frame, Full, Header, Hello, Kind, Malformed,
    Message, RecordingHead, Refusal, RefusalCode, RunBegin, StimulusBlock, StimulusBlocks,
    WeightRequest, WeightSpan, Writer, address_bits, encoded_len,
};

/// Runs that a server keeps apart: one in execution and three behind it.
pub const MAX_RUNS: usize = 4;

/// Longest body of the messages that are not results or capabilities.
const SMALL: usize = 64;

/// What the caller should do after [`Server::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Poll again at once.
    Busy,
    /// Nothing to do until bytes arrive, the link takes output, [`Server::deadline`] comes, or a core
    /// that [works by itself](crate::Progress::Working) asks for it.
    Idle,
}

/// A session as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No hello yet.
    Silent,
    /// Messages are obeyed.
    Open,
    /// Something was refused: only hello and ping are answered, so that one fault is one refusal.
    Refused,
}

/// What became of a frame.
enum Verdict {
    Taken,
    /// There is no room at the moment; offer it again.
    Wait,
    /// Taken, and the device says how it is.
    Report(u32),
    /// Taken, and the device sends weights.
    Weights(WeightRequest),
    /// The host is told.
    Refuse(RefusalCode, u32, u32),
}

/// A run under way.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    run: u32,
    trials: u32,
    /// Trials whose stimulus is complete.
    arrived: u32,
    /// Trials handed to the core.
    begun: u32,
    /// Trials whose results are in frames.
    done: u32,
    execute_ns: u64,
    /// Of everything the host sent for this run, once all of it is here.
    received: Option<u32>,
}

/// The server. See the [module documentation](self).
pub struct Server<'a, C> {
    decoder: Decoder<&'a mut [u8]>,
    window: Outgoing<'a>,
    /// Number of the session that is open.
    session: u32,
    state: State<'a, C>,
}

type Outgoing<'a> = Window<&'a mut [u8]>;

struct State<'a, C> {
    core: C,
    phase: Phase,
    schedule: Schedule<'a>,
    record: Record<'a>,
    recording: RecordingHead,
    /// Result body that is being filled.
    body: &'a mut [u8],
    body_len: usize,
    runs: Deque<Run, MAX_RUNS>,
    /// Blocks of the stimulus frame in front that were taken already.
    blocks_taken: usize,
    /// The trial begun last still wants events.
    injecting: bool,
    /// When the core was polled last, if that time is not accounted for yet.
    polled_at: Option<u64>,
    /// Of what came since the last stimulus of the run before.
    received: Digest,
    /// Of the results of the run in front.
    returned: Digest,
    health: DeviceHealth,
}

impl<'a, C: Core> Server<'a, C> {
    /// Least output buffer: the answer to a hello, and a refusal.
    pub const MIN_OUTPUT: usize = encoded_len(CapabilitiesBody::MAX_LEN + 6) + encoded_len(SMALL);

    /// A server for `core` in memory lent by the caller.
    ///
    /// # Errors
    /// [`BufferTooSmall`] naming the first buffer that cannot do what the capabilities promise.
    pub fn new(mut core: C, buffers: Buffers<'a>) -> Result<Self, BufferTooSmall> {
        let caps = core.capabilities();
        check_buffers(caps, &buffers, Self::MIN_OUTPUT)?;
        let format = Format {
            address_bits: address_bits(caps.neurons),
            sample_bits: caps.adc.map_or(8, |adc| adc.bits),
            neurons: caps.neurons,
        };
        let longest = usize::from(caps.buffers.frame_body);
        core.reset();
        Ok(Self {
            decoder: Decoder::new(buffers.input),
            window: Window::new(Side::Device, buffers.output, buffers.early, longest),
            session: 0,
            state: State {
                core,
                phase: Phase::Silent,
                schedule: Schedule::new(buffers.events, buffers.trials),
                record: Record::new(buffers.spikes, buffers.samples, format),
                recording: RecordingHead::default(),
                body: buffers.body,
                body_len: 0,
                runs: Deque::new(),
                blocks_taken: 0,
                injecting: false,
                polled_at: None,
                received: Digest::default(),
                returned: Digest::default(),
                health: DeviceHealth::default(),
            },
        })
    }

    /// Takes bytes from the link. `now_ns` is the time in nanoseconds of any clock that never goes
    /// back, here and in every other method the same one.
    pub fn receive(&mut self, bytes: &[u8], now_ns: u64) {
        let mut rest = bytes;
        loop {
            match self.decoder.feed(&mut rest) {
                None => return,
                Some(Err(_)) => self.state.health.damaged_frames += 1,
                Some(Ok(_)) => {
                    if let Some(frame) = self.decoder.current() {
                        hear(&mut self.state, &mut self.window, &mut self.session, frame, now_ns);
                    }
                }
            }
        }
    }

    /// Moves everything on as far as it goes.
    pub fn poll(&mut self, now_ns: u64) -> Activity {
        self.state.account(now_ns);
        let took = self.pump(now_ns);
        if self.state.advance(&mut self.window, now_ns) || took {
            return Activity::Busy;
        }
        // Nothing else will be added soon: what is there goes out.
        if self.state.body_len > 0 && self.state.flush(&mut self.window, now_ns).is_ok() {
            return Activity::Busy;
        }
        Activity::Idle
    }

    /// Bytes for the link. Empty: nothing to send for now.
    pub fn transmit(&mut self, now_ns: u64) -> &[u8] {
        self.window.pending(now_ns)
    }

    /// The link has taken the first `n` bytes of [`transmit`](Self::transmit).
    pub fn sent(&mut self, n: usize, now_ns: u64) {
        self.window.taken(n, now_ns);
    }

    /// When to ask [`transmit`](Self::transmit) again although nothing came.
    pub fn deadline(&self) -> Option<u64> {
        self.window.deadline()
    }

    /// The other side is gone (a socket closed, a cable pulled): forget the session, and be ready
    /// for the next one.
    pub fn disconnect(&mut self) {
        self.decoder.reset();
        self.state.forget();
        self.window.restart(0, 0, 0);
        self.state.phase = Phase::Silent;
    }

    /// Whether somebody has begun a session.
    pub fn in_session(&self) -> bool {
        self.state.phase != Phase::Silent
    }

    /// The core, to look at.
    pub fn core(&self) -> &C {
        &self.state.core
    }

    /// Takes the frames that wait, as far as there is use for them.
    fn pump(&mut self, now_ns: u64) -> bool {
        let mut took = false;
        while self.window.has_room(SMALL)
            && let Some((kind, body)) = self.window.next()
        {
            let verdict = self.state.judge(kind, body);
            if matches!(verdict, Verdict::Wait) {
                return took;
            }
            let sequence = self.window.awaited();
            settle(&mut self.state, &mut self.window, verdict, kind, sequence, now_ns);
            took = true;
        }
        took
    }
}

/// What a frame from the line means.
fn hear<C: Core>(
    state: &mut State<'_, C>,
    window: &mut Outgoing<'_>,
    session: &mut u32,
    frame: Frame<'_>,
    now_ns: u64,
) {
    let Header { version, kind, sequence, .. } = frame.header;
    let refuse =
        |code: RefusalCode, got, limit| Refusal { code: code as u8, kind, sequence, got, limit };
    if let Some(limit) = checks::foreign(version, &frame) {
        window.refuse(refuse(RefusalCode::UnknownVersion, limit, u32::from(PROTOCOL_VERSION)));
    } else if let Ok(Message::Hello(hello)) = Message::decode(kind, frame.body) {
        // The line may have doubled it.
        if state.phase == Phase::Silent || hello.session != *session {
            *session = hello.session;
            begin_session(state, window, hello, sequence, now_ns);
        }
    } else if state.phase == Phase::Silent {
        window.refuse(refuse(RefusalCode::NoSession, 0, 0));
    } else if let Ok(ack) = read_ack(&frame) {
        window.acknowledgement(frame.header, &ack, now_ns);
    } else if window.arrived(frame.header, frame.body, now_ns) == Arrival::Next {
        let verdict = match window.has_room(SMALL) {
            true => state.judge(kind, frame.body),
            false => Verdict::Wait,
        };
        match verdict {
            Verdict::Wait => window.keep(kind, frame.body),
            verdict => settle(state, window, verdict, kind, sequence, now_ns),
        }
    }
}

/// A frame is done with: it counts as taken, and the host hears what there is to say. The caller has
/// made sure of the room.
fn settle<C: Core>(
    state: &mut State<'_, C>,
    window: &mut Outgoing<'_>,
    verdict: Verdict,
    kind: u8,
    sequence: u16,
    now_ns: u64,
) {
    state.blocks_taken = 0;
    window.consumed(now_ns);
    match verdict {
        Verdict::Taken | Verdict::Wait => {}
        Verdict::Report(token) => {
            let health = DeviceHealth { token, ..state.health };
            let _ = say(window, &Message::Health(health), now_ns);
        }
        Verdict::Weights(request) => send_weights(&state.core, window, request, now_ns),
        Verdict::Refuse(code, got, limit) => {
            let refusal = Refusal { code: code as u8, kind, sequence, got, limit };
            state.refuse(window, refusal, now_ns);
        }
    }
}

/// A hello: back to power-up, and the device says what it is.
fn begin_session<C: Core>(
    state: &mut State<'_, C>,
    window: &mut Outgoing<'_>,
    hello: Hello,
    sequence: u16,
    now_ns: u64,
) {
    state.forget();
    state.health = DeviceHealth::default();
    state.phase = Phase::Open;
    window.restart(hello.session as u16, sequence.wrapping_add(1), WINDOW);
    let mut bytes = [0; CapabilitiesBody::MAX_LEN + 6];
    let mut body = Writer::new(&mut bytes);
    let caps = state.core.capabilities();
    let written = CapabilitiesBody::put(hello.session, window.capacity(), caps, &mut body)
        .and_then(|()| window.send(Kind::Capabilities, body.written(), now_ns));
    if written.is_err() {
        state.phase = Phase::Silent;
        let (code, kind) = (RefusalCode::Fault as u8, Kind::Hello as u8);
        window.refuse(Refusal { code, kind, sequence, got: 0, limit: 0 });
    }
}

/// Answers a request for weights that was found to be in order.
fn send_weights<C: Core>(core: &C, window: &mut Outgoing<'_>, request: WeightRequest, now_ns: u64) {
    let WeightRequest { row, first, count } = request;
    let mut codes = [0; WeightRequest::MOST as usize];
    let codes = &mut codes[..usize::from(count.min(WeightRequest::MOST))];
    for (code, neuron) in codes.iter_mut().zip(first..) {
        *code = core.weight(row, neuron).unwrap_or(0);
    }
    let mut bytes = [0; SMALL];
    let mut body = Writer::new(&mut bytes);
    // The caller has made sure of the room.
    if WeightSpan::write(row, first, codes, &mut body).is_ok() {
        let _ = window.send(Kind::LearnedWeights, body.written(), now_ns);
    }
}

/// Sends a message of at most [`SMALL`] bytes.
fn say(window: &mut Outgoing<'_>, message: &Message<'_>, now_ns: u64) -> Result<(), Full> {
    let mut bytes = [0; SMALL];
    let mut body = Writer::new(&mut bytes);
    message.encode(&mut body)?;
    window.send(message.kind(), body.written(), now_ns)
}

/// Input: what becomes of a message.
impl<C: Core> State<'_, C> {
    /// The next message of the sequence. Afterwards its place in the sequence is taken, unless it
    /// has to wait.
    fn judge(&mut self, kind: u8, body: &[u8]) -> Verdict {
        let message = match Message::decode(kind, body) {
            Ok(message) => message,
            Err(_) if self.phase == Phase::Refused => return Verdict::Taken,
            Err(Malformed::Kind) => {
                return Verdict::Refuse(RefusalCode::UnknownMessage, u32::from(kind), 0);
            }
            Err(error) => return Verdict::Refuse(RefusalCode::Malformed, error as u32, 0),
        };
        match (message, self.phase) {
            (Message::Ping(token), _) => Verdict::Report(token),
            (_, Phase::Refused) => Verdict::Taken,
            (message, _) => {
                let verdict = self.obey(message);
                if matches!(verdict, Verdict::Taken) {
                    self.note_received(kind, body);
                }
                verdict
            }
        }
    }

    /// Adds an obeyed message to the digest of the run that it belongs to.
    fn note_received(&mut self, kind: u8, body: &[u8]) {
        self.received.add(&[kind]);
        self.received.add(body);
        if let Some(run) = self.runs.back_mut()
            && run.arrived == run.trials
            && run.received.is_none()
        {
            run.received = Some(self.received.take());
        }
    }

    fn obey(&mut self, message: Message<'_>) -> Verdict {
        match message {
            Message::RunBegin(begin) => self.run_begin(begin),
            Message::Stimulus(blocks) => self.stimulus(&blocks),
            Message::Weights(spans) => {
                self.configure(|core| each(spans.iter(), |span| weights(core, &span)))
            }
            Message::Parameters(spans) => {
                self.configure(|core| each(spans.iter(), |span| parameters(core, &span)))
            }
            Message::Flags(spans) => self.configure(|core| {
                each(spans.iter(), |span| {
                    let neurons = usize::from(core.capabilities().neurons);
                    within(usize::from(span.first) + span.len(), neurons)?;
                    write(core, Write::Flag(span))
                })
            }),
            Message::Recording(head) => {
                let verdict = self.configure(|core| recording(core, head));
                if matches!(verdict, Verdict::Taken) {
                    self.recording = head;
                }
                verdict
            }
            Message::Plasticity(rule) => self.configure(|core| {
                core.set_rule(&rule).map_err(|why| unteachable(why, Kind::Plasticity))
            }),
            Message::Learn(lesson) => self
                .configure(|core| core.learn(&lesson).map_err(|why| unteachable(why, Kind::Learn))),
            Message::ReadWeights(request) => match self.configure(|core| readable(core, request)) {
                Verdict::Taken => Verdict::Weights(request),
                other => other,
            },
            // Messages of the other direction.
            _ => Verdict::Refuse(RefusalCode::OutOfPlace, 0, 0),
        }
    }

    /// Back to power-up.
    fn forget(&mut self) {
        self.core.reset();
        self.schedule.clear();
        self.record.open();
        self.recording = RecordingHead::default();
        self.runs.clear();
        self.body_len = 0;
        self.blocks_taken = 0;
        self.injecting = false;
        self.polled_at = None;
        self.received = Digest::default();
        self.returned = Digest::default();
    }

    fn configure(&mut self, write: impl FnOnce(&mut C) -> Result<(), Verdict>) -> Verdict {
        // A new configuration holds for the runs after it: the ones before have to end first.
        match self.runs.back() {
            None => write(&mut self.core).err().unwrap_or(Verdict::Taken),
            Some(run) if run.arrived < run.trials => {
                Verdict::Refuse(RefusalCode::OutOfPlace, run.run, run.run)
            }
            Some(_) => Verdict::Wait,
        }
    }

    fn run_begin(&mut self, begin: RunBegin) -> Verdict {
        if let Some(last) = self.runs.back()
            && last.arrived < last.trials
        {
            return Verdict::Refuse(RefusalCode::OutOfPlace, begin.run, last.run);
        }
        let (needed, room) = (self.core.samples_per_trial(), self.record.sample_capacity());
        if needed > room {
            return Verdict::Refuse(RefusalCode::BeyondBuffers, needed as u32, room as u32);
        }
        let run = Run { run: begin.run, trials: begin.trials, ..Run::default() };
        if self.runs.push_back(run).is_ok() { Verdict::Taken } else { Verdict::Wait }
    }

    fn stimulus(&mut self, blocks: &StimulusBlocks<'_>) -> Verdict {
        for block in blocks.iter().skip(self.blocks_taken) {
            match self.runs.back() {
                Some(run) if run.run == blocks.run && run.arrived < run.trials => {}
                last => {
                    let open = last.map_or(0, |run| run.run);
                    return Verdict::Refuse(RefusalCode::OutOfPlace, blocks.run, open);
                }
            }
            match self.block(block) {
                Verdict::Taken => self.blocks_taken += 1,
                other => return other,
            }
        }
        Verdict::Taken
    }

    fn block(&mut self, block: StimulusBlock<'_>) -> Verdict {
        let trial = Trial { number: block.trial, duration: block.duration, more: false };
        if self.schedule.arriving().is_some_and(|open| open != trial) {
            return Verdict::Refuse(RefusalCode::OutOfPlace, 0, 0);
        }
        let count = block.events.announced();
        let room = self.schedule.event_room();
        if count > room || self.schedule.trial_room() == 0 {
            if self.schedule.will_drain() {
                return Verdict::Wait;
            }
            let capacity = self.schedule.event_capacity() as u32;
            let needed = capacity - room as u32 + count as u32;
            return Verdict::Refuse(RefusalCode::BeyondBuffers, needed, capacity);
        }
        let caps = self.core.capabilities();
        let (inputs, longest) = (caps.inputs, caps.max_duration);
        if trial.duration > longest {
            return Verdict::Refuse(RefusalCode::OutOfRange, trial.duration, longest);
        }
        self.schedule.open(trial);
        for event in block.events {
            let event = match event {
                Ok(event) => event,
                Err(error) => return Verdict::Refuse(RefusalCode::Malformed, error as u32, 0),
            };
            if event.id >= inputs {
                return out_of_range(usize::from(event.id), usize::from(inputs));
            }
            if event.tick >= trial.duration || !self.schedule.push(event) {
                return out_of_range(event.tick as usize, trial.duration as usize);
            }
        }
        if !block.more {
            self.schedule.close();
            if let Some(run) = self.runs.back_mut() {
                run.arrived += 1;
            }
        }
        Verdict::Taken
    }

    fn refuse(&mut self, window: &mut Outgoing<'_>, refusal: Refusal, now_ns: u64) {
        // The caller has made sure of the room.
        let _ = say(window, &Message::Refusal(refusal), now_ns);
        if self.phase == Phase::Open {
            self.forget();
            self.phase = Phase::Refused;
        }
    }
}

#[cfg(test)]
mod tests;
