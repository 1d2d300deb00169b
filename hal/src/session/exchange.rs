//! A session without its link and without a clock: bytes in, bytes out, time as an argument.
//!
//! ```text
//!  order ─► journal ─► window ─► transmit, sent ══ link ══► receive ─► decoder ─► window ─► report
//!             ▲ until the run that it belongs to is complete
//! ```
//!
//! Whoever owns the exchange moves the bytes: the session's own task, a simulation in virtual time,
//! another runtime. It says hello by itself, again if nobody answers, and after
//! [`recover`](Exchange::recover) brings a device that lost its state back to where it was.

use super::assemble::{Assembler, Plan, Shape};
use super::encode::Parcel;
use super::journal::{Item, Journal};
use super::{Clock, Failure, Settings};
use crate::caps::{Capabilities, PROTOCOL_VERSION};
use crate::chip::{Health, LinkUse, Observables};
use crate::limits::check_capabilities;
use crate::wire::window::{Arrival, Side, WINDOW, Window, read_ack};
use crate::wire::{
    Decoder, DeviceHealth, Digest, Frame, Header, Hello, Kind, Message, Refusal, RefusalCode,
    RunEnd, SAFE_BODY, Writer, encoded_len,
};
use std::time::Duration;

/// How many times longer a device may be busy that gives signs of life than one that gives none.
const IDLE_PATIENCE: u64 = 10;

/// From the session to the exchange: messages to be sent.
pub(super) struct Order {
    pub(super) parcel: Parcel,
    /// The run that they start, if they start one.
    pub(super) run: Option<Box<NewRun>>,
    /// Whether they end in a ping.
    pub(super) ping: bool,
}

/// A run that begins.
pub(super) struct NewRun {
    pub(super) plan: Plan,
    /// Memory for what comes back.
    pub(super) memory: Observables,
}

/// From the exchange to the session.
pub(super) enum Report {
    /// The device answered for the first time.
    Opened(Box<Capabilities>),
    /// A run came back.
    Run { run: u32, observables: Observables, health: Health, link: LinkUse },
    /// The device's counters.
    Pong(DeviceHealth),
    /// Weights that were asked for.
    Weights(Vec<i8>),
    /// The session is over.
    Failed { failure: Failure, waiting_for: &'static str },
}

/// Where the conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was said yet.
    Fresh,
    /// Hello was said with this number; the next attempt comes at `again_at`, the last hope ends at
    /// `until`.
    Greeting { session: u32, again_at: u64, until: u64 },
    /// The device answers.
    Open { session: u32 },
}

/// See the [module documentation](self).
pub(super) struct Exchange {
    window: Window<Vec<u8>>,
    decoder: Decoder<Vec<u8>>,
    settings: Settings,
    clock: Clock,
    phase: Phase,
    /// A hello on its way to the line, and how much of it went.
    hello: Vec<u8>,
    hello_at: usize,
    /// Hellos said so far.
    hellos: u32,
    /// The device, once it has answered.
    known: Option<Known>,
    /// Of what was handed to the window since the last run.
    digest: Digest,
    /// Since when time is spent on the run in front, on the session's clock.
    decoding_since: u64,
    reports: Vec<Report>,
    /// When something undamaged came last.
    heard_at: u64,
    /// When something came of it: a message in its order, or an acknowledgement of ours.
    moved_at: u64,
    /// Bytes received.
    heard: u64,
    /// Frames that came damaged.
    damaged: u64,
    /// What no run has reported yet.
    unreported: Health,
    /// The part of the window's traffic that was reported.
    resent: u64,
}

/// What belongs to a device that has answered.
struct Known {
    caps: Capabilities,
    shape: Shape,
    journal: Journal,
    /// Longest body that it gets.
    limit: usize,
}

impl Exchange {
    pub(super) fn new(settings: Settings, clock: Clock) -> Self {
        let places = usize::from(WINDOW);
        let (output, input) =
            (vec![0; places * encoded_len(SAFE_BODY)], vec![0; places * SAFE_BODY]);
        Self {
            window: Window::new(Side::Host, output, input, SAFE_BODY),
            decoder: Decoder::new(vec![0; encoded_len(SAFE_BODY)]),
            settings,
            clock,
            phase: Phase::Fresh,
            hello: Vec::new(),
            hello_at: 0,
            hellos: 0,
            known: None,
            digest: Digest::default(),
            decoding_since: 0,
            reports: Vec::new(),
            heard_at: 0,
            moved_at: 0,
            heard: 0,
            damaged: 0,
            unreported: Health::default(),
            resent: 0,
        }
    }

    /// Begins the conversation over a link that is fresh or was emptied.
    pub(super) fn greet(&mut self, now_ns: u64) {
        self.decoder.reset();
        (self.heard_at, self.moved_at) = (now_ns, now_ns);
        let until = now_ns + nanos(self.settings.handshake);
        self.say_hello(now_ns, until);
    }

    /// The device lost its state, or the link was opened anew: greets, and then repeats what is not
    /// done.
    pub(super) fn recover(&mut self, now_ns: u64) {
        if let Some(known) = &mut self.known {
            let repeated = known.journal.restart(&known.caps, known.limit);
            self.unreported.retries += repeated;
            self.unreported.recoveries += 1;
        }
        self.greet(now_ns);
    }

    fn say_hello(&mut self, now_ns: u64, until: u64) {
        let session = self.settings.session.wrapping_add(self.hellos);
        self.hellos = self.hellos.wrapping_add(1);
        let again_at = now_ns + (until - now_ns).min(self.hello_gap(until - now_ns));
        self.phase = Phase::Greeting { session, again_at, until };
        let first = first_sequence(session);
        let mut bytes = [0; 16];
        let mut body = Writer::new(&mut bytes);
        let message = Message::Hello(Hello { protocol: PROTOCOL_VERSION, session });
        let version = PROTOCOL_VERSION as u8;
        let header = Header { version, kind: Kind::Hello as u8, sequence: first, acknowledge: 0 };
        // A zero first: whatever an earlier program left unfinished on the line ends here.
        self.hello.clear();
        self.hello.resize(1 + encoded_len(16), 0);
        let written = message
            .encode(&mut body)
            .and_then(|()| Frame { header, body: body.written() }.encode(&mut self.hello[1..]));
        self.hello.truncate(1 + written.unwrap_or(0));
        self.hello_at = 0;
    }

    /// How long to wait for the answer to a hello, with `left` ns of the handshake to go. The gaps double,
    /// so that a board that merely missed the first hello is found soon and a slow one in the end.
    fn hello_gap(&self, left: u64) -> u64 {
        let total = nanos(self.settings.handshake);
        let first = total / ((1u64 << self.settings.hello_attempts.clamp(1, 16)) - 1);
        // After n gaps of 1, 2, 4 … the next one is as long as all of them and one more.
        total - left + first
    }

    /// Takes an order. Nothing is sent before the next [`transmit`](Self::transmit).
    pub(super) fn order(&mut self, order: Order, now_ns: u64) {
        let Order { parcel, run, ping } = order;
        let Some(known) = &mut self.known else { return };
        if known.journal.is_empty() {
            (self.heard_at, self.moved_at) = (now_ns, now_ns);
        }
        let run = run.map(|run| Assembler::new(run.plan, known.shape, run.memory));
        known.journal.push(Item::new(parcel, run, ping));
        self.window.set_waiting(true, now_ns);
    }

    /// What happened since the last call.
    pub(super) fn reports(&mut self) -> std::vec::Drain<'_, Report> {
        self.reports.drain(..)
    }

    /// Whether nothing is awaited and nothing is to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.journal.is_empty())
    }

    /// Whether the device has answered at least once.
    pub(super) fn was_open(&self) -> bool {
        self.known.is_some()
    }

    /// Bytes for the link. Empty: nothing to send for now.
    pub(super) fn transmit(&mut self, now_ns: u64) -> &[u8] {
        match self.phase {
            Phase::Fresh => &[],
            Phase::Greeting { .. } => &self.hello[self.hello_at..],
            Phase::Open { .. } => {
                self.hand_over(now_ns);
                self.window.pending(now_ns)
            }
        }
    }

    /// The link has taken the first `n` bytes of [`transmit`](Self::transmit).
    pub(super) fn sent(&mut self, n: usize, now_ns: u64) {
        match self.phase {
            Phase::Fresh => {}
            Phase::Greeting { .. } => self.hello_at = (self.hello_at + n).min(self.hello.len()),
            Phase::Open { .. } => self.window.taken(n, now_ns),
        }
    }

    /// Moves messages of the journal into the window, as far as there is room.
    fn hand_over(&mut self, now_ns: u64) {
        let Some(known) = &mut self.known else { return };
        while let Some(item) = known.journal.unfinished() {
            let Some((kind, body)) = item.parcel.part(item.handed) else { return };
            if !self.window.has_room(body.len()) || self.window.send(kind, body, now_ns).is_err() {
                return;
            }
            if !matches!(kind, Kind::Ping | Kind::ReadWeights) {
                self.digest.add(&[kind as u8]);
                self.digest.add(body);
            }
            item.handed += 1;
            if item.handed == item.parcel.len()
                && let Some(run) = &mut item.run
            {
                run.sent_digest = self.digest.take();
            }
        }
    }

    /// When [`tick`](Self::tick) and [`transmit`](Self::transmit) are to be called although nothing
    /// came.
    pub(super) fn deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Fresh => None,
            Phase::Greeting { again_at, .. } => Some(again_at),
            Phase::Open { .. } => {
                let silence = (!self.is_idle()).then(|| self.silent_until());
                [self.window.deadline(), silence].into_iter().flatten().min()
            }
        }
    }

    /// Notes that time has passed.
    ///
    /// # Errors
    /// [`Failure::Timeout`] if the device was silent for too long.
    pub(super) fn tick(&mut self, now_ns: u64) -> Result<(), Failure> {
        match self.phase {
            Phase::Fresh => Ok(()),
            Phase::Greeting { until, .. } if now_ns >= until => {
                Err(self.timeout(self.settings.handshake))
            }
            Phase::Greeting { again_at, until, .. } => {
                if now_ns >= again_at {
                    self.decoder.reset();
                    self.say_hello(now_ns, until);
                }
                Ok(())
            }
            Phase::Open { .. } => {
                if !self.is_idle() && now_ns >= self.silent_until() {
                    return Err(self.timeout(self.patience()));
                }
                Ok(())
            }
        }
    }

    /// Takes bytes from the link.
    ///
    /// # Errors
    /// Why the conversation cannot go on as it is. Bytes behind the fault are lost.
    pub(super) fn receive(&mut self, mut input: &[u8], now_ns: u64) -> Result<(), Failure> {
        self.decoding_since = (self.clock)();
        self.heard += input.len() as u64;
        // The decoder is lent out, so that its frames can be looked at while the rest changes.
        let mut decoder = std::mem::replace(&mut self.decoder, Decoder::new(Vec::new()));
        let mut result = Ok(());
        while let Some(frame) = decoder.feed(&mut input) {
            match frame {
                Err(_) => {
                    self.unreported.damaged_frames += 1;
                    self.damaged += 1;
                }
                Ok(frame) => result = self.frame(frame, now_ns),
            }
            if result.is_err() {
                break;
            }
        }
        self.decoder = decoder;
        self.note_time();
        result
    }

    /// Adds the time since the last call to the run in front.
    fn note_time(&mut self) {
        let now = (self.clock)();
        let spent = now.saturating_sub(std::mem::replace(&mut self.decoding_since, now));
        if let Some(run) = self.known.as_mut().and_then(|known| known.journal.front_run()) {
            run.decode_ns += spent;
        }
    }

    fn frame(&mut self, frame: Frame<'_>, now_ns: u64) -> Result<(), Failure> {
        let session = match self.phase {
            Phase::Fresh => return Ok(()),
            Phase::Greeting { session, .. } => {
                return match answer(frame, session)? {
                    Some((caps, window)) => {
                        self.opened(caps, window, session, frame.header, now_ns)
                    }
                    None => Ok(()),
                };
            }
            Phase::Open { session } => session,
        };
        let before = self.window.progress();
        let result = self.sequence(frame, session, now_ns);
        if self.window.progress() != before {
            self.moved_at = now_ns;
        }
        // What comes while a gap stays open is no sign that it will close.
        if !self.window.has_gap() {
            self.heard_at = now_ns;
        }
        result
    }

    /// A frame of an open session.
    fn sequence(&mut self, frame: Frame<'_>, session: u32, now_ns: u64) -> Result<(), Failure> {
        let header = frame.header;
        if let Ok(ack) = read_ack(&frame) {
            self.window.acknowledgement(header, &ack, now_ns);
            self.after_ack(now_ns);
            return Ok(());
        }
        check_stranger(&frame, session)?;
        if self.window.arrived(header, frame.body, now_ns) == Arrival::Next {
            self.message(header.kind, frame.body)?;
            self.window.consumed(now_ns);
            while let Some((kind, body)) = self.window.next() {
                // Early frames are few: a copy frees the window for what they cause.
                let body = body.to_vec();
                self.message(kind, &body)?;
                self.window.consumed(now_ns);
            }
        }
        self.after_ack(now_ns);
        Ok(())
    }

    fn after_ack(&mut self, now_ns: u64) {
        let Some(known) = &mut self.known else { return };
        if self.window.is_empty() {
            known.journal.settle();
        }
        self.window.set_waiting(!known.journal.is_empty(), now_ns);
    }

    /// The device has answered hello.
    fn opened(
        &mut self,
        caps: Capabilities,
        window: u16,
        session: u32,
        header: Header,
        now_ns: u64,
    ) -> Result<(), Failure> {
        match &self.known {
            Some(known) if known.caps != caps => {
                let (expected, got) = (known.caps.identity.to_string(), caps.identity.to_string());
                return Err(Failure::OtherChip { expected, got });
            }
            Some(_) => {}
            None => {
                check_capabilities(&caps).map_err(Failure::Open)?;
                let limit = usize::from(caps.buffers.frame_body)
                    .min(SAFE_BODY)
                    .min(usize::from(self.settings.longest_body));
                let (shape, journal) = (Shape::of(&caps), Journal::new(&caps));
                self.reports.push(Report::Opened(Box::new(caps.clone())));
                self.known = Some(Known { caps, shape, journal, limit });
            }
        }
        let first = first_sequence(session).wrapping_add(1);
        self.window.restart(first, header.sequence.wrapping_add(1), window);
        self.window.acknowledge_soon(now_ns);
        self.digest = Digest::default();
        self.phase = Phase::Open { session };
        (self.heard_at, self.moved_at) = (now_ns, now_ns);
        self.window.set_waiting(!self.is_idle(), now_ns);
        Ok(())
    }

    /// The next message of the device, in order.
    fn message(&mut self, kind: u8, body: &[u8]) -> Result<(), Failure> {
        let message =
            Message::decode(kind, body).map_err(|why| Failure::Malformed { kind, why })?;
        let Some(known) = &mut self.known else { return Ok(()) };
        match message {
            Message::Result(blocks) => match known.journal.front_run() {
                Some(run) => {
                    run.returned.add(body);
                    run.accept(&blocks)
                }
                None => Err(Failure::Protocol("results, but no run is in flight")),
            },
            Message::RunEnd(end) => self.run_end(end),
            Message::Health(health) => {
                if !known.journal.finish_ping() {
                    return Err(Failure::Protocol("an answer to a ping that was not sent"));
                }
                self.reports.push(Report::Pong(health));
                Ok(())
            }
            Message::LearnedWeights(spans) => {
                if !known.journal.finish_ping() {
                    return Err(Failure::Protocol("weights that were not asked for"));
                }
                let codes = spans.iter().flat_map(|span| span.codes().collect::<Vec<i8>>());
                self.reports.push(Report::Weights(codes.collect()));
                Ok(())
            }
            Message::Refusal(refusal) => Err(Failure::Refused(refusal)),
            _ => Err(Failure::Protocol("a message that only a host may send")),
        }
    }

    fn run_end(&mut self, end: RunEnd) -> Result<(), Failure> {
        let Some(known) = &mut self.known else { return Ok(()) };
        let Some(run) = known.journal.front_run() else {
            return Err(Failure::Protocol("a run ended, but none is in flight"));
        };
        if run.plan.run != end.run || run.plan.trials != end.trials || !run.is_complete() {
            return Err(Failure::Protocol("a run ended that is not complete"));
        }
        let digests = end.digests.unwrap_or_default();
        if digests.received != run.sent_digest || digests.returned != run.returned.value() {
            return Err(Failure::Digest { run: end.run });
        }
        self.note_time();
        let Some(mut run) = self.known.as_mut().and_then(|known| known.journal.finish_run()) else {
            return Ok(());
        };
        let resent = self.window.traffic().resent;
        self.unreported.retries += resent - std::mem::replace(&mut self.resent, resent);
        add(&mut run.health, &std::mem::take(&mut self.unreported));
        let link = self.link_use();
        self.reports.push(finish(run, end.execute_ns, self.decoding_since, link));
        Ok(())
    }

    fn link_use(&self) -> LinkUse {
        let traffic = self.window.traffic();
        LinkUse {
            bytes_up: traffic.bytes_out,
            bytes_down: self.heard,
            frames_sent: traffic.sent,
            frames_resent: traffic.resent,
            duplicates: traffic.duplicates,
            damaged_frames: self.damaged,
            probes: traffic.probes,
            round_trip_ns: self.window.round_trip_ns().unwrap_or(0),
        }
    }

    /// How long the device may be silent: the user's patience, and the chip's own time.
    fn patience(&self) -> Duration {
        let run = self.known.as_ref().and_then(|known| known.journal.runs().next());
        let chip_ns = run.map_or(0, |run| run.plan.chip_ns);
        self.settings.silence + Duration::from_nanos(chip_ns)
    }

    /// When patience ends: soon if nothing is heard, later if signs of life are all that comes.
    fn silent_until(&self) -> u64 {
        let patience = nanos(self.patience());
        (self.heard_at + patience).min(self.moved_at + IDLE_PATIENCE * patience)
    }

    fn timeout(&self, after: Duration) -> Failure {
        Failure::Timeout { after_ms: after.as_millis() as u64, heard: self.heard }
    }

    /// What an error interrupts.
    pub(super) fn waiting_for(&self) -> &'static str {
        match (&self.known, self.phase) {
            (Some(known), Phase::Open { .. }) if known.journal.runs().next().is_some() => {
                "the results of a run"
            }
            (Some(known), Phase::Open { .. }) if known.journal.awaits_pong() => "an answer to ping",
            (Some(_), Phase::Open { .. }) => "room for configuration",
            _ => "an answer to hello",
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

/// Sequence numbers begin where those of an earlier session are not: frames of it may still be on
/// the line.
fn first_sequence(session: u32) -> u16 {
    // Knuth's multiplicative hash spreads neighbours over the whole range.
    (session.wrapping_mul(0x9E37_79B1) >> 16) as u16
}

/// Adds counters to counters.
pub(super) fn add(sum: &mut Health, more: &Health) {
    sum.trials += more.trials;
    sum.dropped_inputs += more.dropped_inputs;
    sum.dropped_spikes += more.dropped_spikes;
    sum.saturated_samples += more.saturated_samples;
    sum.stalled_trials += more.stalled_trials;
    sum.damaged_frames += more.damaged_frames;
    sum.retries += more.retries;
    sum.recoveries += more.recoveries;
}

fn finish(run: Assembler, execute_ns: u64, now: u64, link: LinkUse) -> Report {
    let Assembler { plan, mut observables, health, decode_ns, .. } = run;
    let time = &mut observables.time;
    time.encode_ns = plan.encode_ns;
    time.execute_ns = execute_ns;
    time.decode_ns = decode_ns;
    let total = now.saturating_sub(plan.submitted_ns);
    time.transfer_ns = total.saturating_sub(execute_ns).saturating_sub(decode_ns);
    Report::Run { run: plan.run, observables, health, link }
}

/// What a frame says to somebody who waits for the answer to hello number `session`.
fn answer(frame: Frame<'_>, session: u32) -> Result<Option<(Capabilities, u16)>, Failure> {
    let kind = frame.header.kind;
    match Message::decode(kind, frame.body) {
        Ok(Message::Capabilities(body)) if body.session == session => {
            let caps = body.capabilities().map_err(|why| Failure::Malformed { kind, why })?;
            if caps.protocol == PROTOCOL_VERSION && (1..=WINDOW).contains(&body.window) {
                return Ok(Some((caps, body.window)));
            }
            let (got, limit) = (u32::from(PROTOCOL_VERSION), u32::from(caps.protocol));
            let code = RefusalCode::UnknownVersion as u8;
            Err(Failure::Refused(Refusal { code, kind, sequence: 0, got, limit }))
        }
        Ok(Message::Refusal(refusal)) if refusal.kind == Kind::Hello as u8 => {
            Err(Failure::Refused(refusal))
        }
        _ => Ok(None),
    }
}

/// Finds out from a frame that the device knows nothing of this session any more.
fn check_stranger(frame: &Frame<'_>, session: u32) -> Result<(), Failure> {
    match Message::decode(frame.header.kind, frame.body) {
        Ok(Message::Capabilities(body)) if body.session != session => Err(Failure::Reset),
        Ok(Message::Refusal(refusal)) => match refusal.reason() {
            Some(RefusalCode::NoSession) => Err(Failure::Reset),
            Some(RefusalCode::UnknownVersion) => Err(Failure::Refused(refusal)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
