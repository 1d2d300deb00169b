//! Exactly once, in order, over a line that loses: selective repeat in both directions.
//!
//! ```text
//!   send ─► Outbox ─► pending ─► taken ═══ line ═══► arrived ─► Inbox ─► next ─► consumed
//!             ▲  kept until acknowledged                          │  kept while a gap is open
//!             └──────────────── ack {received, limit, echo} ◄─────┘
//! ```
//!
//! [`Window`] is one end. It allocates nothing, reads no clock and does no input or output: bytes
//! come and go through its methods, time is an argument (nanoseconds of any clock that never goes
//! back).
//!
//! **A frame is only sent again when there is evidence that it was lost**: a frame sent after it was
//! acknowledged, or the answer to a [probe](Ack::probe) sent after it came back. A line keeps its
//! order, so that both prove the loss; where chunks overtake each other the repetition is
//! superfluous and the receiver drops it. Probes are what the timer sends: an acknowledgement that
//! asks for an answer. They find a lost tail, a lost acknowledgement and a lost announcement of
//! room, and they are the heartbeat of a connection that waits. A device that is merely slow costs
//! probes, never repetitions. The timer follows the round trip (mean plus four deviations: Jacobson,
//! SIGCOMM 1988; samples of repeated frames are not taken: Karn and Partridge, SIGCOMM 1987) and
//! doubles with every probe that is not answered.

mod inbox;
mod outbox;
mod pace;
#[cfg(test)]
mod tests;

pub use inbox::Arrival;

use super::control::{Ack, Refusal};
use super::cursor::Writer;
use super::error::{Full, Malformed};
use super::frame::{Frame, Header, encoded_len};
use super::message::{Kind, Message};
use crate::caps::PROTOCOL_VERSION;
use inbox::Inbox;
use outbox::Outbox;
use pace::Pace;

/// Most frames of one direction that are on their way or wait behind a gap.
pub const WINDOW: u16 = 32;

/// How long an acknowledgement may wait for company, in ns: short against the timer of the other
/// side (at least 10 ms), long against a frame of 512 bytes at 3 Mbaud (1.7 ms).
const ACK_DELAY_NS: u64 = 3_000_000;

/// Longest body of the frames outside the sequence: acknowledgement and refusal.
const CONTROL: usize = 32;

/// What one end has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames sent for the first time.
    pub sent: u64,
    /// Frames sent again.
    pub resent: u64,
    /// Frames delivered, in order, each once.
    pub delivered: u64,
    /// Frames that came although they were here already.
    pub duplicates: u64,
    /// Frames that came before one that was sent earlier.
    pub early: u64,
    /// Frames for which the other side was never given room.
    pub beyond: u64,
    /// Acknowledgements sent on their own.
    pub acks: u64,
    /// Acknowledgements that asked for an answer.
    pub probes: u64,
    /// Bytes handed to the line.
    pub bytes_out: u64,
}

/// Which side of the line this is: it decides the kind of acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host.
    Host,
    /// The device.
    Device,
}

/// What is being handed to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Idle,
    /// Bytes of the control buffer; whether they are a probe.
    Control {
        at: usize,
        end: usize,
        probe: bool,
    },
    /// Frames of the outbox.
    Data,
}

/// One end of the connection. See the [module documentation](self).
#[derive(Debug)]
pub struct Window<B> {
    side: Side,
    out: Outbox<B>,
    inbox: Inbox<B>,
    pace: Pace,
    line: Line,
    control: [u8; encoded_len(CONTROL)],
    refusal: Option<Refusal>,
    /// A zero byte goes first: the other side may hold a part of a frame.
    zero: bool,
    /// An acknowledgement is due at this time.
    ack_at: Option<u64>,
    /// Frames that came since the last acknowledgement.
    unacknowledged: u16,
    /// Limit that the other side was told last.
    told_limit: u16,
    /// Last probe of the other side, to be echoed.
    echo: u16,
    probe_wanted: bool,
    /// Number of the last probe sent.
    probe: u16,
    /// Something is awaited: an idle connection is probed too.
    waiting: bool,
    traffic: Traffic,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Window<B> {
    /// An end whose outgoing frames live in `output` and whose early frames live in `input`, which
    /// holds bodies of up to `body` bytes: `input.len() / body` frames, at most [`WINDOW`].
    pub fn new(side: Side, output: B, input: B, body: usize) -> Self {
        Self {
            side,
            out: Outbox::new(output),
            inbox: Inbox::new(input, body),
            pace: Pace::default(),
            line: Line::Idle,
            control: [0; encoded_len(CONTROL)],
            refusal: None,
            zero: false,
            ack_at: None,
            unacknowledged: 0,
            told_limit: 0,
            echo: 0,
            probe_wanted: false,
            probe: 0,
            waiting: false,
            traffic: Traffic::default(),
        }
    }

    /// Forgets everything and begins a session: the next frame sent has number `first`, the next one
    /// awaited number `expected`; the other side has room for `peer` frames. Counters go on.
    pub fn restart(&mut self, first: u16, expected: u16, peer: u16) {
        self.out.restart(first, peer);
        self.inbox.restart(expected);
        self.told_limit = self.inbox.limit();
        self.pace = Pace::default();
        self.line = Line::Idle;
        self.refusal = None;
        self.zero = true;
        self.ack_at = None;
        self.unacknowledged = 0;
        self.echo = 0;
        self.probe_wanted = false;
        self.probe = 0;
        self.waiting = false;
    }

    /// Tells the other side before long what has come, although nothing came through
    /// [`arrived`](Self::arrived).
    pub fn acknowledge_soon(&mut self, now_ns: u64) {
        self.ack_by(now_ns + ACK_DELAY_NS);
    }

    /// Frames that this end takes ahead of the one awaited: what the other side is told at first.
    pub fn capacity(&self) -> u16 {
        self.inbox.capacity()
    }

    /// Whether a frame with a body of `body` bytes can be sent now.
    pub fn has_room(&self, body: usize) -> bool {
        self.out.has_room(encoded_len(body))
    }

    /// Whether nothing waits to be acknowledged.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Number that the next frame sent will have.
    pub fn next_sequence(&self) -> u16 {
        self.out.next()
    }

    /// Whether an answer is awaited even if nothing is on its way: then the other side is asked now
    /// and then whether it is there.
    pub fn set_waiting(&mut self, waiting: bool, now_ns: u64) {
        if waiting && !self.waiting {
            self.pace.touch(now_ns);
        }
        self.waiting = waiting;
    }

    /// Changes whenever a frame is delivered or acknowledged.
    pub fn progress(&self) -> (u64, u16) {
        (self.traffic.delivered, self.out.first())
    }

    /// Whether frames wait behind one that has not come.
    pub fn has_gap(&self) -> bool {
        self.inbox.received() != 0
    }

    /// What this end has seen.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Round trip as measured, in ns; `None` before the first acknowledgement.
    pub fn round_trip_ns(&self) -> Option<u64> {
        self.pace.round_trip_ns()
    }

    /// Takes a frame into the sequence. It is kept until the other side has acknowledged it.
    ///
    /// # Errors
    /// [`Full`] if there is no [room](Self::has_room).
    pub fn send(&mut self, kind: Kind, body: &[u8], now_ns: u64) -> Result<(), Full> {
        if self.out.is_empty() {
            self.pace.touch(now_ns);
        }
        let acknowledge = self.inbox.cumulative();
        self.out.push(kind, acknowledge, body)?;
        // The header says all there is to say, unless there are gaps or news of room.
        if self.inbox.received() == 0 && !self.limit_news() {
            self.ack_at = None;
            self.unacknowledged = 0;
        }
        Ok(())
    }

    /// Says something outside the sequence, once: an answer to somebody without a session.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refusal = Some(refusal);
    }

    /// Bytes for the line. Empty: nothing to send before [`deadline`](Self::deadline), or before
    /// something comes.
    pub fn pending(&mut self, now_ns: u64) -> &[u8] {
        if self.line == Line::Idle {
            self.choose(now_ns);
        }
        match self.line {
            Line::Idle => &[],
            Line::Control { at, end, .. } => &self.control[at..end],
            Line::Data => self.out.pending(),
        }
    }

    /// The line has taken the first `n` bytes of [`pending`](Self::pending).
    pub fn taken(&mut self, n: usize, now_ns: u64) {
        self.traffic.bytes_out += n as u64;
        match &mut self.line {
            Line::Idle => {}
            Line::Control { at, end, probe } => {
                *at = (*at + n).min(*end);
                if at == end {
                    if *probe {
                        self.out.probed();
                        self.pace.touch(now_ns);
                    }
                    self.line = Line::Idle;
                }
            }
            Line::Data => {
                let sent = self.out.taken(n, now_ns);
                self.traffic.sent += u64::from(sent.first);
                self.traffic.resent += u64::from(sent.again);
                if sent.first + sent.again > 0 {
                    self.pace.touch(now_ns);
                }
                if self.out.pending().is_empty() {
                    self.line = Line::Idle;
                }
            }
        }
    }

    /// When [`pending`](Self::pending) is to be asked again although nothing came.
    pub fn deadline(&self) -> Option<u64> {
        let awake = !self.out.is_empty() || self.waiting;
        let probe = awake.then(|| self.pace.deadline(!self.out.is_empty()));
        [self.ack_at, probe].into_iter().flatten().min()
    }

    /// A frame of the sequence came, number `header.sequence`. After [`Arrival::Next`] the caller
    /// either takes the frame at once and says [`consumed`](Self::consumed), or [`keep`](Self::keep)s
    /// it.
    pub fn arrived(&mut self, header: Header, body: &[u8], now_ns: u64) -> Arrival {
        self.acknowledged(header.acknowledge, 0, now_ns);
        let in_order = header.sequence == self.inbox.cumulative();
        let arrival = self.inbox.arrived(header.sequence, header.kind, body);
        match arrival {
            Arrival::Duplicate => self.traffic.duplicates += 1,
            Arrival::Beyond => self.traffic.beyond += 1,
            _ => self.traffic.early += u64::from(!in_order),
        }
        self.unacknowledged = self.unacknowledged.saturating_add(1);
        let many = self.unacknowledged >= (self.inbox.capacity() / 4).max(1);
        let at = if many || !in_order { now_ns } else { now_ns + ACK_DELAY_NS };
        self.ack_by(at);
        arrival
    }

    /// Stores the frame that came [next](Arrival::Next), for which there is no use yet.
    pub fn keep(&mut self, kind: u8, body: &[u8]) {
        self.inbox.keep(kind, body);
    }

    /// An acknowledgement came.
    pub fn acknowledgement(&mut self, header: Header, ack: &Ack, now_ns: u64) {
        if ack.probe != 0 {
            self.echo = ack.probe;
            self.ack_by(now_ns);
        }
        if ack.echo != 0 && ack.echo == self.probe {
            self.out.probe_answered();
            self.pace.answered(now_ns);
        }
        self.out.extend(ack.limit);
        self.acknowledged(header.acknowledge, ack.received, now_ns);
    }

    /// The oldest frame that waits to be taken, in order: its kind and body.
    pub fn next(&self) -> Option<(u8, &[u8])> {
        self.inbox.next()
    }

    /// Number of the frame to be taken next.
    pub fn awaited(&self) -> u16 {
        self.inbox.expected()
    }

    /// The frame that was next has been taken.
    pub fn consumed(&mut self, now_ns: u64) {
        self.inbox.consumed();
        self.traffic.delivered += 1;
        if self.limit_news() {
            self.ack_by(now_ns);
        }
    }

    fn limit_news(&self) -> bool {
        let news = self.inbox.limit().wrapping_sub(self.told_limit);
        news >= (self.inbox.capacity() / 2).max(1)
    }

    fn ack_by(&mut self, at: u64) {
        self.ack_at = Some(self.ack_at.map_or(at, |before| before.min(at)));
    }

    fn acknowledged(&mut self, cumulative: u16, received: u32, now_ns: u64) {
        if let Some(progress) = self.out.acknowledged(cumulative, received, now_ns, &self.pace) {
            self.pace.progress(progress.round_trip_ns, now_ns);
        }
    }

    /// Decides what the line gets next: what is outside the sequence first, because it is short and
    /// others wait for it.
    fn choose(&mut self, now_ns: u64) {
        if core::mem::take(&mut self.zero) {
            self.control[0] = 0;
            self.line = Line::Control { at: 0, end: 1, probe: false };
            return;
        }
        if let Some(refusal) = self.refusal.take() {
            self.put(&Message::Refusal(refusal), false);
            return;
        }
        let awake = !self.out.is_empty() || self.waiting;
        if awake && self.pace.deadline(!self.out.is_empty()) <= now_ns {
            self.pace.probing();
            self.probe_wanted = true;
        }
        if self.probe_wanted || self.ack_at.is_some_and(|at| at <= now_ns) {
            self.acknowledge();
        } else if self.out.choose() {
            self.line = Line::Data;
        }
    }

    fn acknowledge(&mut self) {
        let probing = core::mem::take(&mut self.probe_wanted);
        if probing {
            self.probe = self.probe.wrapping_add(1).max(1);
            self.traffic.probes += 1;
        }
        self.traffic.acks += 1;
        self.told_limit = self.inbox.limit();
        self.ack_at = None;
        self.unacknowledged = 0;
        let ack = Ack {
            received: self.inbox.received(),
            limit: self.told_limit,
            probe: if probing { self.probe } else { 0 },
            echo: core::mem::take(&mut self.echo),
        };
        let message = match self.side {
            Side::Host => Message::HostAck(ack),
            Side::Device => Message::DeviceAck(ack),
        };
        self.put(&message, probing);
    }

    fn put(&mut self, message: &Message<'_>, probe: bool) {
        let mut bytes = [0; CONTROL];
        let mut body = Writer::new(&mut bytes);
        let header = Header {
            version: PROTOCOL_VERSION as u8,
            kind: message.kind() as u8,
            sequence: self.out.next(),
            acknowledge: self.inbox.cumulative(),
        };
        let written = message
            .encode(&mut body)
            .and_then(|()| Frame { header, body: body.written() }.encode(&mut self.control));
        // Acknowledgements and refusals are shorter than the buffer by construction.
        debug_assert!(written.is_ok(), "a control message outgrew its buffer");
        self.line = match written {
            Ok(end) => Line::Control { at: 0, end, probe },
            Err(Full) => Line::Idle,
        };
    }
}

/// Reads the body of an acknowledgement.
///
/// # Errors
/// [`Malformed`] if it is none.
pub fn read_ack(frame: &Frame<'_>) -> Result<Ack, Malformed> {
    match Message::decode(frame.header.kind, frame.body)? {
        Message::HostAck(ack) | Message::DeviceAck(ack) => Ok(ack),
        _ => Err(Malformed::Kind),
    }
}
