//! The device's end of the wire: bytes in, bytes out, time as an argument.
//!
//! ```text
//!  receive(bytes) ─► decoder ─► dispatch ─► schedule ─► Core ─► record ─► transmit() ─► sent(n)
//!                      ▲           │ registers ────────►│                    ▲
//!                      └─ a frame for which there is no room waits here ─────┘
//! ```
//!
//! The server never needs more memory than it was given: it takes input only as far as it has room,
//! and a trial begins only when the results of the one before are on their way out. A link that
//! does not take output therefore stops the input in the end, which is all the flow control that
//! TCP, USB and pseudo-terminals need.

mod checks;

use crate::core::{Core, Fault, Progress, Trial, Write};
use crate::record::{Format, Record};
use crate::schedule::{Schedule, Waiting};
use crate::transmit::Transmit;
use checks::{each, out_of_range, parameters, recording, unknown_version, weights, within, write};
use heapless::Deque;
use spikeloop_hal::wire::{
    CapabilitiesBody, Damage, Decoder, DeviceHealth, Frame, Full, Hello, Kind, MIN_BODY, Malformed,
    Message, Refusal, RefusalCode, ResultBlocks, RunBegin, RunEnd, StimulusBlock, StimulusBlocks,
    Writer, address_bits, encoded_len,
};
use spikeloop_hal::{Capabilities, PROTOCOL_VERSION, SpikeEvent};

/// Runs that a server keeps apart: one in execution and three behind it.
pub const MAX_RUNS: usize = 4;

/// Longest body of the messages that are not results or capabilities.
const SMALL: usize = 64;

/// Memory of a server, lent by the caller: statics on a microcontroller, vectors on a host.
pub struct Buffers<'a> {
    /// One frame from the host: [`encoded_len`] of [`frame_body`](spikeloop_hal::Buffers::frame_body).
    pub input: &'a mut [u8],
    /// Frames to the host: at least [`Server::MIN_OUTPUT`] bytes and one encoded `body`; more lets the
    /// chip run ahead of the link.
    pub output: &'a mut [u8],
    /// The body of one result frame: at least [`MIN_BODY`] bytes. At most 4080 keeps the checksum at
    /// full strength on lines that make errors.
    pub body: &'a mut [u8],
    /// Input events that wait: [`stimulus_events`](spikeloop_hal::Buffers::stimulus_events) or more.
    pub events: &'a mut [SpikeEvent],
    /// Trials that wait, at least one.
    pub trials: &'a mut [Waiting],
    /// Spikes of one trial: [`spikes_per_trial`](spikeloop_hal::Buffers::spikes_per_trial).
    pub spikes: &'a mut [SpikeEvent],
    /// Samples of one trial.
    pub samples: &'a mut [u16],
}

/// A buffer is too small for this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Which one.
    pub which: &'static str,
    /// Elements needed.
    pub needed: usize,
    /// Elements lent.
    pub got: usize,
}

impl core::fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { which, needed, got } = self;
        write!(f, "the server's {which} buffer has {got} elements and needs {needed}")
    }
}

/// What the caller should do after [`Server::poll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Poll again at once.
    Busy,
    /// Nothing to do until bytes arrive or the link takes output.
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
}

/// The server. See the [module documentation](self).
pub struct Server<'a, C> {
    decoder: Decoder<&'a mut [u8]>,
    /// A frame stands in the decoder and waits for room.
    held: bool,
    state: State<'a, C>,
}

struct State<'a, C> {
    core: C,
    phase: Phase,
    schedule: Schedule<'a>,
    record: Record<'a>,
    transmit: Transmit<'a>,
    /// Result body that is being filled.
    body: &'a mut [u8],
    body_len: usize,
    runs: Deque<Run, MAX_RUNS>,
    /// Blocks of the held stimulus frame that were taken already.
    blocks_taken: usize,
    /// The trial begun last still wants events.
    injecting: bool,
    /// When the core was polled last, if that time is not accounted for yet.
    polled_at: Option<u64>,
    /// Sequence number that the next frame from the host should have.
    expected: u16,
    health: DeviceHealth,
}

impl<'a, C: Core> Server<'a, C> {
    /// Least output buffer: the answer to a hello, and a refusal.
    pub const MIN_OUTPUT: usize = encoded_len(CapabilitiesBody::MAX_LEN + 4) + encoded_len(SMALL);

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
        core.reset();
        Ok(Self {
            decoder: Decoder::new(buffers.input),
            held: false,
            state: State {
                core,
                phase: Phase::Silent,
                schedule: Schedule::new(buffers.events, buffers.trials),
                record: Record::new(buffers.spikes, buffers.samples, format),
                transmit: Transmit::new(buffers.output),
                body: buffers.body,
                body_len: 0,
                runs: Deque::new(),
                blocks_taken: 0,
                injecting: false,
                polled_at: None,
                expected: 0,
                health: DeviceHealth::default(),
            },
        })
    }

    /// Takes bytes from the link, as many as there is room for, and says how many. The rest is to
    /// be offered again after [`poll`](Self::poll).
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !self.held && !rest.is_empty() && self.state.transmit.has_room(SMALL) {
            let damage = match self.decoder.feed(&mut rest) {
                None => break,
                Some(Ok(_)) => None,
                Some(Err(damage)) => Some(damage),
            };
            match damage {
                None => self.held = true,
                Some(damage) => self.state.damaged(damage),
            }
            self.dispatch();
        }
        bytes.len() - rest.len()
    }

    /// Moves everything on as far as it goes. `now_ns` is the time in nanoseconds of any clock that
    /// never goes back.
    pub fn poll(&mut self, now_ns: u64) -> Activity {
        self.state.account(now_ns);
        let held = self.held;
        self.dispatch();
        let moved = self.state.advance(now_ns);
        if moved || (held && !self.held) {
            return Activity::Busy;
        }
        // Nothing else will be added soon: what is there goes out.
        if self.state.body_len > 0 && self.state.flush().is_ok() {
            return Activity::Busy;
        }
        Activity::Idle
    }

    /// Bytes for the link. Empty: nothing to send.
    pub fn transmit(&self) -> &[u8] {
        self.state.transmit.pending()
    }

    /// The link has taken the first `n` bytes of [`transmit`](Self::transmit).
    pub fn sent(&mut self, n: usize) {
        self.state.transmit.taken(n);
    }

    /// The other side is gone (a socket closed, a cable pulled): forget the session, and be ready
    /// for the next one.
    pub fn disconnect(&mut self) {
        self.decoder.reset();
        self.held = false;
        self.state.forget();
        self.state.transmit.restart();
        self.state.phase = Phase::Silent;
    }

    /// The core, to look at.
    pub fn core(&self) -> &C {
        &self.state.core
    }

    fn dispatch(&mut self) {
        if self.held
            && let Some(frame) = self.decoder.current()
        {
            self.held = !self.state.accept(frame);
        }
    }
}

fn check_buffers(
    caps: &Capabilities,
    buffers: &Buffers<'_>,
    min_output: usize,
) -> Result<(), BufferTooSmall> {
    let limits = &caps.buffers;
    let output = min_output.max(encoded_len(buffers.body.len()) + encoded_len(SMALL));
    for (which, needed, got) in [
        ("input", encoded_len(usize::from(limits.frame_body)), buffers.input.len()),
        ("output", output, buffers.output.len()),
        ("body", MIN_BODY, buffers.body.len()),
        ("events", limits.stimulus_events as usize, buffers.events.len()),
        ("trials", 1, buffers.trials.len()),
        ("spikes", limits.spikes_per_trial as usize, buffers.spikes.len()),
    ] {
        if got < needed {
            return Err(BufferTooSmall { which, needed, got });
        }
    }
    Ok(())
}

/// Input: what becomes of a frame.
impl<C: Core> State<'_, C> {
    /// Whether the frame is done with; `false`: it waits.
    fn accept(&mut self, frame: Frame<'_>) -> bool {
        if !self.transmit.has_room(SMALL) {
            return false;
        }
        match self.judge(frame) {
            Verdict::Taken => self.expected = frame.header.sequence.wrapping_add(1),
            Verdict::Wait => return false,
            Verdict::Refuse(code, got, limit) => {
                let (kind, sequence) = (frame.header.kind, frame.header.sequence);
                self.refuse(Refusal { code: code as u8, kind, sequence, got, limit });
            }
        }
        self.blocks_taken = 0;
        true
    }

    fn judge(&mut self, frame: Frame<'_>) -> Verdict {
        let header = frame.header;
        if u16::from(header.version) != PROTOCOL_VERSION {
            return unknown_version(u32::from(header.version));
        }
        let message = match Message::decode(header.kind, frame.body) {
            Ok(message) => message,
            Err(_) if self.phase == Phase::Refused => return Verdict::Taken,
            Err(Malformed::Kind) => {
                return Verdict::Refuse(RefusalCode::UnknownMessage, u32::from(header.kind), 0);
            }
            Err(error) => return Verdict::Refuse(RefusalCode::Malformed, error as u32, 0),
        };
        match (message, self.phase) {
            (Message::Hello(hello), _) => self.hello(hello),
            (Message::Ping(token), _) => self.ping(token),
            (_, Phase::Refused) => Verdict::Taken,
            (_, Phase::Silent) => Verdict::Refuse(RefusalCode::NoSession, 0, 0),
            (_, Phase::Open) if header.sequence != self.expected => {
                let (got, limit) = (u32::from(header.sequence), u32::from(self.expected));
                Verdict::Refuse(RefusalCode::LostFrame, got, limit)
            }
            (message, Phase::Open) => self.obey(message),
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
            Message::Recording(head) => self.configure(|core| recording(core, head)),
            // Messages of the other direction.
            _ => Verdict::Refuse(RefusalCode::OutOfPlace, 0, 0),
        }
    }

    fn hello(&mut self, hello: Hello) -> Verdict {
        if hello.protocol != PROTOCOL_VERSION {
            return unknown_version(u32::from(hello.protocol));
        }
        self.forget();
        self.health = DeviceHealth::default();
        self.transmit.restart();
        let mut bytes = [0; CapabilitiesBody::MAX_LEN + 4];
        let mut body = Writer::new(&mut bytes);
        let written = CapabilitiesBody::put(hello.session, self.core.capabilities(), &mut body)
            .and_then(|()| self.transmit.send(Kind::Capabilities, 1, body.written()));
        if written.is_err() {
            return Verdict::Refuse(RefusalCode::Fault, 0, 0);
        }
        self.phase = Phase::Open;
        Verdict::Taken
    }

    /// Back to power-up.
    fn forget(&mut self) {
        self.core.reset();
        self.schedule.clear();
        self.record.open();
        self.runs.clear();
        self.body_len = 0;
        self.blocks_taken = 0;
        self.injecting = false;
        self.polled_at = None;
        self.expected = 0;
    }

    fn ping(&mut self, token: u32) -> Verdict {
        let health = Message::Health(DeviceHealth { token, ..self.health });
        match self.say(&health) {
            Ok(()) => Verdict::Taken,
            Err(Full) => Verdict::Wait,
        }
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
        let trial = Trial { number: block.trial, duration: block.duration };
        if self.schedule.arriving().is_some_and(|open| open != trial) {
            return Verdict::Refuse(RefusalCode::OutOfPlace, 0, 0);
        }
        let count = block.events.count();
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

    fn damaged(&mut self, damage: Damage) {
        self.health.damaged_frames += 1;
        if self.phase == Phase::Open {
            let code = RefusalCode::DamagedFrame as u8;
            let sequence = self.expected;
            self.refuse(Refusal { code, kind: 0, sequence, got: damage as u32, limit: 0 });
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        // The caller has made sure of the room.
        let _ = self.say(&Message::Refusal(refusal));
        if self.phase == Phase::Open {
            self.forget();
            self.phase = Phase::Refused;
        }
    }

    /// Sends a message of at most [`SMALL`] bytes.
    fn say(&mut self, message: &Message<'_>) -> Result<(), Full> {
        let mut bytes = [0; SMALL];
        let mut body = Writer::new(&mut bytes);
        message.encode(&mut body)?;
        self.transmit.send(message.kind(), self.expected, body.written())
    }
}

/// Output: trials through the core, results into frames.
impl<C: Core> State<'_, C> {
    /// Adds the time since the core was polled to the run under way.
    fn account(&mut self, now_ns: u64) {
        if let (Some(then), Some(run)) = (self.polled_at.take(), self.runs.front_mut()) {
            run.execute_ns += now_ns.saturating_sub(then);
        }
    }

    /// Whether anything moved.
    fn advance(&mut self, now_ns: u64) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let drained = self.record.is_closed() && self.drain();
        if self.record.is_closed() {
            return drained;
        }
        let ended = self.end_run();
        match self.feed_core().and_then(|fed| Ok(self.poll_core(now_ns)? || fed)) {
            Ok(moved) => moved || drained || ended,
            Err(Fault(number)) => self.fault(number),
        }
    }

    fn fault(&mut self, number: u32) -> bool {
        let room = self.transmit.has_room(SMALL);
        if room {
            let code = RefusalCode::Fault as u8;
            self.refuse(Refusal { code, kind: 0, sequence: 0, got: number, limit: 0 });
        }
        room
    }

    /// Moves the record into result frames. Whether the trial is done with.
    fn drain(&mut self) -> bool {
        loop {
            if self.fill_body().is_ok() {
                self.record.open();
                if let Some(run) = self.runs.front_mut() {
                    run.done += 1;
                }
                self.health.trials += 1;
                return true;
            }
            if self.flush().is_err() {
                return false;
            }
        }
    }

    fn fill_body(&mut self) -> Result<(), Full> {
        let mut body = Writer::resume(self.body, self.body_len);
        if body.is_empty() {
            let run = self.runs.front().map_or(0, |run| run.run);
            ResultBlocks::begin(run, &mut body)?;
        }
        let drained = self.record.drain(&mut body);
        self.body_len = body.len();
        drained
    }

    fn flush(&mut self) -> Result<(), Full> {
        if self.body_len > 0 {
            let body = &self.body[..self.body_len];
            self.transmit.send(Kind::Result, self.expected, body)?;
            self.body_len = 0;
        }
        Ok(())
    }

    /// Closes the run in front if all its trials are in frames.
    fn end_run(&mut self) -> bool {
        let Some(run) = self.runs.front().copied() else { return false };
        // The time of the last poll is known at the next one.
        if run.done < run.trials || self.polled_at.is_some() || self.flush().is_err() {
            return false;
        }
        let end = RunEnd { run: run.run, trials: run.trials, execute_ns: run.execute_ns };
        let said = self.say(&Message::RunEnd(end)).is_ok();
        if said {
            self.runs.pop_front();
        }
        said
    }

    /// Hands trials and events to the core as far as it takes them.
    fn feed_core(&mut self) -> Result<bool, Fault> {
        let mut moved = false;
        loop {
            while let Some(event) = self.schedule.next_event() {
                if !self.core.inject(event) {
                    return Ok(moved);
                }
                self.schedule.injected();
                moved = true;
            }
            if core::mem::take(&mut self.injecting) {
                self.core.seal();
                moved = true;
            }
            let Some(run) = self.runs.front_mut() else { return Ok(moved) };
            if run.begun == run.trials || !self.core.ready() {
                return Ok(moved);
            }
            let Some(trial) = self.schedule.begin() else { return Ok(moved) };
            self.core.begin(trial)?;
            run.begun += 1;
            self.injecting = true;
            moved = true;
        }
    }

    /// Lets the core work, unless it could take more trials that are sure to come.
    fn poll_core(&mut self, now_ns: u64) -> Result<bool, Fault> {
        let Some(run) = self.runs.front() else { return Ok(false) };
        let under_way = run.begun - run.done;
        let may_grow = run.begun < run.trials && self.core.ready();
        if under_way == 0 || (may_grow && !self.injecting) {
            return Ok(false);
        }
        let outcome = match self.core.poll(now_ns, &mut self.record)? {
            Progress::Running => {
                self.polled_at = Some(now_ns);
                return Ok(true);
            }
            Progress::Done(outcome) => outcome,
        };
        self.polled_at = Some(now_ns);
        let health = &mut self.health;
        health.dropped_inputs += u64::from(outcome.dropped_inputs);
        health.dropped_spikes += u64::from(outcome.dropped_spikes) + u64::from(self.record.lost());
        health.stalled_trials += u64::from(outcome.stalled);
        self.record.close(outcome, run.done);
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
