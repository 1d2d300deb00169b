//! One direction with faults: a state machine without input, output or clock.
//!
//! Two stages. The first knows frames: it loses them, repeats them, holds them back, and stops the
//! line before them. The second knows bytes: it gives each its time on the line, loses some and flips
//! bits of some. What is lost takes its time on the line like everything else; the sender has sent it.

use super::Direction;
use super::counts::{DirectionCounters, DirectionCounts, add};
use super::draw::{Purpose, Rare, Stream};
use super::settings::{FaultSettings, LineSettings};
use crate::wire::{MAX_BODY, encoded_len};
use std::collections::VecDeque;
use std::sync::Arc;

/// Longer than this is no frame: there the next one begins, so that what never ends is bounded.
const LONGEST: usize = encoded_len(MAX_BODY);

/// How long a frame is held back for one to overtake it, in nanoseconds: a few times what a short
/// frame takes on a slow line (a guess). The last frame of a talk must come through, too.
const PATIENCE_NS: u64 = 5_000_000;

/// Bits of a byte on a serial line: start, eight, stop.
const BITS: u128 = 10;

/// What happens to the frame that is being handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Between two frames.
    Idle,
    Pass,
    Drop,
    /// It passes, and is copied to be sent again.
    Twice,
    /// It is copied, and sent after the next.
    Hold,
}

/// Bytes one after the other on the line.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// When the line began to be busy, in nanoseconds.
    since_ns: u64,
    /// Bytes on the line between then and the first of these.
    before: u64,
    len: usize,
}

/// One direction of a link, with faults. Times are in microseconds since any moment and must not go
/// back; the line itself counts in nanoseconds and does not round.
///
/// The same seed and the same bytes at the same times give the same bytes at the same times, however
/// the calls cut them. What is handed over and not due is kept: the caller looks at
/// [`queued`](Self::queued) before it hands over more.
#[derive(Clone, Debug)]
pub struct Line {
    settings: LineSettings,
    counters: Arc<DirectionCounters>,
    loss: Rare,
    flip: Rare,
    bit: Stream,
    drop: Rare,
    twice: Rare,
    reorder: Rare,
    stall: Rare,
    fate: Fate,
    /// Bytes of the present frame so far.
    frame_len: usize,
    /// The present frame, if it has to be kept.
    copy: Vec<u8>,
    /// A frame that is held back, and until when at most, in nanoseconds.
    held: Option<(Vec<u8>, u64)>,
    since_ns: u64,
    /// Bytes since `since_ns`, lost ones included.
    sent: u64,
    segments: VecDeque<Segment>,
    bytes: VecDeque<u8>,
    /// Bytes until the cable is pulled.
    cut_after: Option<u64>,
    cut: bool,
}

impl Line {
    /// The line of the first connection.
    #[must_use]
    pub fn new(settings: &FaultSettings, direction: Direction) -> Self {
        Self::connection(settings, direction, 0)
    }

    /// The line of the connection with number `connection`, from 0: each has faults of its own.
    #[must_use]
    pub fn connection(settings: &FaultSettings, direction: Direction, connection: u64) -> Self {
        let stream = |purpose| Stream::new(settings.seed, direction, connection, purpose);
        let rare = |probability, purpose| Rare::new(probability, stream(purpose));
        let line = *settings.of(direction);
        let reset = line.reset.filter(|reset| reset.times.is_none_or(|times| connection < times));
        Self {
            settings: line,
            counters: Arc::default(),
            loss: rare(line.loss, Purpose::Loss),
            flip: rare(line.flip, Purpose::Flip),
            bit: stream(Purpose::Bit),
            drop: rare(line.drop, Purpose::Drop),
            twice: rare(line.dup, Purpose::Twice),
            reorder: rare(line.reorder, Purpose::Reorder),
            stall: rare(line.stall.map_or(0.0, |stall| stall.probability), Purpose::Stall),
            fate: Fate::Idle,
            frame_len: 0,
            copy: Vec::new(),
            held: None,
            since_ns: 0,
            sent: 0,
            segments: VecDeque::new(),
            bytes: VecDeque::new(),
            cut_after: reset.map(|reset| reset.after),
            cut: false,
        }
    }

    /// Counts into these.
    pub(super) fn counting(mut self, counters: Arc<DirectionCounters>) -> Self {
        self.counters = counters;
        self
    }

    /// Hands bytes over at the time `now_us`. After the cable was pulled they vanish.
    pub fn push(&mut self, now_us: u64, mut bytes: &[u8]) {
        if self.cut {
            return;
        }
        let now = nanoseconds(now_us);
        self.release(now);
        if let Some(left) = &mut self.cut_after {
            let n = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= n as u64;
            self.cut = *left == 0;
            bytes = &bytes[..n];
        }
        add(&self.counters.bytes, bytes.len() as u64);
        while let [first, ..] = bytes {
            if self.fate == Fate::Idle {
                if *first == 0 {
                    self.send(now, &[0]);
                    bytes = &bytes[1..];
                    continue;
                }
                self.begin(now);
            }
            let most = bytes.len().min(LONGEST - self.frame_len);
            let end = bytes[..most].iter().position(|byte| *byte == 0).map(|at| at + 1);
            let (piece, rest) = bytes.split_at(end.unwrap_or(most));
            self.carry(now, piece);
            if end.is_some() || self.frame_len == LONGEST {
                self.finish(now);
            }
            bytes = rest;
        }
        if self.cut {
            add(&self.counters.resets, 1);
        }
    }

    /// Bytes that have arrived by `now_us`.
    pub fn pop(&mut self, now_us: u64) -> Vec<u8> {
        let n = self.due(now_us);
        self.take(n);
        self.bytes.drain(..n).collect()
    }

    /// Bytes that have arrived by `now_us`, as many as fit to the front of `out`; says how many.
    pub fn pop_into(&mut self, now_us: u64, out: &mut [u8]) -> usize {
        let n = self.due(now_us).min(out.len());
        self.take(n);
        for (slot, byte) in out.iter_mut().zip(self.bytes.drain(..n)) {
            *slot = byte;
        }
        n
    }

    /// When the next byte arrives, in microseconds, if nothing more is handed over. `None`: never.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let first = self.segments.front().map(|segment| self.end_of(segment, 1));
        let held = self.held.as_ref().filter(|_| self.fate == Fate::Idle);
        let held = held.map(|(_, until)| *until);
        let due = first.into_iter().chain(held).min()?;
        Some(due.div_ceil(1000))
    }

    /// Bytes on the line and not taken yet. A frame that is held back does not count: the one that
    /// has to overtake it must find room.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the cable was pulled. What was handed over before still arrives.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// What was injected so far.
    #[must_use]
    pub fn counts(&self) -> DirectionCounts {
        self.counters.read()
    }

    /// A frame begins: what becomes of it? Every draw is made for every frame, so that one kind of
    /// fault does not move another.
    fn begin(&mut self, now: u64) {
        let dropped = self.drop.next();
        let twice = self.twice.next();
        let hold = self.reorder.next() && self.held.is_none();
        if self.stall.next()
            && let Some(stall) = self.settings.stall
        {
            self.since_ns = self.free(now).saturating_add(nanoseconds(stall.us));
            self.sent = 0;
            add(&self.counters.stalls, 1);
        }
        self.fate = match (dropped, twice, hold) {
            (true, ..) => Fate::Drop,
            (_, true, _) => Fate::Twice,
            (.., true) => Fate::Hold,
            _ => Fate::Pass,
        };
        self.frame_len = 0;
        let counter = match self.fate {
            Fate::Drop => Some(&self.counters.dropped_frames),
            Fate::Twice => Some(&self.counters.duplicated_frames),
            Fate::Hold => Some(&self.counters.reordered_frames),
            Fate::Idle | Fate::Pass => None,
        };
        counter.into_iter().chain([&self.counters.frames]).for_each(|counter| add(counter, 1));
    }

    /// A piece of a frame.
    fn carry(&mut self, now: u64, piece: &[u8]) {
        self.frame_len += piece.len();
        if matches!(self.fate, Fate::Twice | Fate::Hold) {
            self.copy.extend_from_slice(piece);
        }
        match self.fate {
            Fate::Hold => {}
            Fate::Drop => {
                self.occupy(now, piece.len());
            }
            Fate::Idle | Fate::Pass | Fate::Twice => self.send(now, piece),
        }
    }

    /// A frame is complete.
    fn finish(&mut self, now: u64) {
        let fate = std::mem::replace(&mut self.fate, Fate::Idle);
        let copy = std::mem::take(&mut self.copy);
        match fate {
            Fate::Twice => self.send(now, &copy),
            Fate::Hold => {
                self.held = Some((copy, now.saturating_add(PATIENCE_NS)));
                return;
            }
            Fate::Idle | Fate::Pass | Fate::Drop => {}
        }
        if let Some((frame, _)) = self.held.take() {
            self.send(now, &frame);
        }
    }

    /// Lets a frame go that nothing has overtaken.
    fn release(&mut self, now: u64) {
        if self.fate == Fate::Idle
            && let Some((frame, until)) = self.held.take_if(|(_, until)| *until <= now)
        {
            self.send(until, &frame);
        }
    }

    /// Puts bytes on the line.
    fn send(&mut self, now: u64, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.loss.pass(bytes.len());
            let (good, rest) = bytes.split_at(passed);
            self.queue(now, good);
            bytes = rest;
            if let [_lost, rest @ ..] = rest {
                self.loss.hit();
                self.occupy(now, 1);
                add(&self.counters.lost_bytes, 1);
                bytes = rest;
            }
        }
    }

    /// Puts bytes on the line that are not lost.
    fn queue(&mut self, now: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let before = self.occupy(now, bytes.len());
        let since_ns = self.since_ns;
        match self.segments.back_mut() {
            Some(last)
                if last.since_ns == since_ns
                    && (self.settings.baud.is_none()
                        || last.before + last.len as u64 == before) =>
            {
                last.len += bytes.len();
            }
            _ => self.segments.push_back(Segment { since_ns, before, len: bytes.len() }),
        }
        let mut at = self.bytes.len();
        self.bytes.extend(bytes);
        let mut left = bytes.len();
        loop {
            let passed = self.flip.pass(left);
            at += passed;
            left -= passed;
            if left == 0 {
                return;
            }
            self.flip.hit();
            self.bytes[at] ^= 1 << (self.bit.next() >> 61);
            add(&self.counters.flipped_bytes, 1);
            at += 1;
            left -= 1;
        }
    }

    /// Takes up the line's time for `n` bytes; says how many were before them since it is busy.
    fn occupy(&mut self, now: u64, n: usize) -> u64 {
        if self.free(now) == now {
            (self.since_ns, self.sent) = (now, 0);
        }
        let before = self.sent;
        self.sent += n as u64;
        before
    }

    /// When the line is free, not before `now`.
    pub(super) fn free(&self, now: u64) -> u64 {
        self.after(self.since_ns, self.sent).max(now)
    }

    /// The end of `bytes` bytes that began at `since_ns`.
    fn after(&self, since_ns: u64, bytes: u64) -> u64 {
        let Some(baud) = self.settings.baud else { return since_ns };
        let ns = (u128::from(bytes) * BITS * 1_000_000_000) / u128::from(baud);
        since_ns.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// When the first `n` bytes of a segment have arrived.
    fn end_of(&self, segment: &Segment, n: usize) -> u64 {
        self.after(segment.since_ns, segment.before + n as u64)
    }

    /// How many bytes have arrived.
    fn due(&mut self, now_us: u64) -> usize {
        let now = nanoseconds(now_us);
        self.release(now);
        let mut n = 0;
        for segment in &self.segments {
            if self.end_of(segment, segment.len) <= now {
                n += segment.len;
                continue;
            }
            // The times ascend: look for the first byte that has not arrived.
            let (mut low, mut high) = (0, segment.len);
            while low < high {
                let middle = low.midpoint(high);
                if self.end_of(segment, middle + 1) <= now {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            return n + low;
        }
        n
    }

    /// Notes that `n` bytes leave.
    fn take(&mut self, mut n: usize) {
        while let Some(first) = self.segments.front_mut().filter(|_| n > 0) {
            let taken = n.min(first.len);
            n -= taken;
            first.len -= taken;
            first.before += taken as u64;
            if first.len == 0 {
                self.segments.pop_front();
            }
        }
    }
}

const fn nanoseconds(us: u64) -> u64 {
    us.saturating_mul(1000)
}
