//! Frames on their way out, kept until the other side has them.
//!
//! Encoded frames stand in a ring of bytes, each in one piece, oldest first. A frame is *due* when it
//! has to be (re)sent; frames that are due and stand one behind the other are handed to the line
//! together.

use super::WINDOW;
use super::pace::Pace;
use crate::caps::PROTOCOL_VERSION;
use crate::wire::error::Full;
use crate::wire::frame::{Frame, Header, encoded_len};
use crate::wire::message::Kind;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    at: usize,
    len: usize,
    /// When the line had taken it, the last time.
    sent_at: u64,
    /// Place among all transmissions, the last time.
    order: u32,
    /// Transmissions so far.
    tries: u32,
    due: bool,
    acknowledged: bool,
}

/// Frames that the line is taking: `count` from number `first`.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: u16,
    count: u16,
    at: usize,
    end: usize,
}

/// Frames that the line has taken.
pub(super) struct Sent {
    /// For the first time.
    pub(super) first: u16,
    /// Again.
    pub(super) again: u16,
}

/// What an acknowledgement has brought.
pub(super) struct Progress {
    /// Time from the transmission of the newest frame acknowledged, if it was sent once.
    pub(super) round_trip_ns: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Outbox<B> {
    bytes: B,
    slots: [Slot; WINDOW as usize],
    /// Oldest frame that is kept.
    first: u16,
    next: u16,
    /// First number that the other side has no room for.
    limit: u16,
    /// Where the next frame goes.
    write_at: usize,
    span: Option<Span>,
    /// Transmissions so far.
    order: u32,
    /// When, in that order, the last probe went out.
    probe_order: Option<u32>,
    /// A probe sent at this place was answered: what went before it and did not arrive is lost.
    answered_order: Option<u32>,
}

/// Most bytes handed to the line in one piece, if they are more than one frame: acknowledgements wait
/// for them. As much as a pseudo-terminal takes.
const SPAN: usize = 4096;

fn slot_of(sequence: u16) -> usize {
    usize::from(sequence % WINDOW)
}

/// Whether transmission `a` came before `b`.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Outbox<B> {
    pub(super) fn new(bytes: B) -> Self {
        Self {
            bytes,
            slots: [Slot::default(); WINDOW as usize],
            first: 0,
            next: 0,
            limit: 0,
            write_at: 0,
            span: None,
            order: 0,
            probe_order: None,
            answered_order: None,
        }
    }

    pub(super) fn restart(&mut self, first: u16, peer: u16) {
        (self.first, self.next) = (first, first);
        self.limit = first.wrapping_add(peer.min(WINDOW));
        self.write_at = 0;
        self.span = None;
        self.probe_order = None;
        self.answered_order = None;
    }

    pub(super) fn first(&self) -> u16 {
        self.first
    }

    pub(super) fn next(&self) -> u16 {
        self.next
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    fn len(&self) -> u16 {
        self.next.wrapping_sub(self.first)
    }

    pub(super) fn has_room(&self, len: usize) -> bool {
        self.len() < WINDOW && self.place(len).is_some()
    }

    /// Where `len` bytes in one piece are free.
    fn place(&self, len: usize) -> Option<usize> {
        let size = self.bytes.as_ref().len();
        if self.is_empty() {
            return (len <= size).then_some(0);
        }
        let head = self.slots[slot_of(self.first)].at;
        if self.write_at <= head {
            // The free part lies between; it never closes, which would look like an empty ring.
            return (self.write_at + len < head).then_some(self.write_at);
        }
        if self.write_at + len <= size {
            return Some(self.write_at);
        }
        (len < head).then_some(0)
    }

    pub(super) fn push(&mut self, kind: Kind, acknowledge: u16, body: &[u8]) -> Result<(), Full> {
        if self.len() >= WINDOW {
            return Err(Full);
        }
        let at = self.place(encoded_len(body.len())).ok_or(Full)?;
        let header = Header {
            version: PROTOCOL_VERSION as u8,
            kind: kind as u8,
            sequence: self.next,
            acknowledge,
        };
        let len = Frame { header, body }.encode(&mut self.bytes.as_mut()[at..])?;
        self.slots[slot_of(self.next)] = Slot { at, len, due: true, ..Slot::default() };
        self.next = self.next.wrapping_add(1);
        self.write_at = at + len;
        Ok(())
    }

    /// Picks the oldest frames that are due. Whether there are any.
    pub(super) fn choose(&mut self) -> bool {
        let allowed = self.limit.wrapping_sub(self.first).min(self.len());
        let numbers = (0..allowed).map(|k| self.first.wrapping_add(k));
        for sequence in numbers {
            let slot = self.slots[slot_of(sequence)];
            if !slot.due {
                if self.span.is_some() {
                    break;
                }
                continue;
            }
            match &mut self.span {
                None => {
                    let (at, end) = (slot.at, slot.at + slot.len);
                    self.span = Some(Span { first: sequence, count: 1, at, end });
                }
                Some(span) if span.end == slot.at && span.end - span.at + slot.len <= SPAN => {
                    span.end += slot.len;
                    span.count += 1;
                }
                Some(_) => break,
            }
        }
        self.span.is_some()
    }

    pub(super) fn pending(&self) -> &[u8] {
        self.span.map_or(&[], |span| &self.bytes.as_ref()[span.at..span.end])
    }

    /// The line has taken `n` bytes. The frames that are through.
    pub(super) fn taken(&mut self, n: usize, now_ns: u64) -> Sent {
        let mut sent = Sent { first: 0, again: 0 };
        let Some(mut span) = self.span else { return sent };
        span.at = (span.at + n).min(span.end);
        while span.count > 0 {
            let slot = &mut self.slots[slot_of(span.first)];
            if slot.at + slot.len > span.at {
                break;
            }
            if slot.tries == 0 {
                sent.first += 1;
            } else {
                sent.again += 1;
            }
            self.order = self.order.wrapping_add(1);
            slot.due = false;
            slot.tries += 1;
            (slot.sent_at, slot.order) = (now_ns, self.order);
            span.first = span.first.wrapping_add(1);
            span.count -= 1;
        }
        self.span = (span.count > 0).then_some(span);
        self.release();
        sent
    }

    /// A probe has gone out.
    pub(super) fn probed(&mut self) {
        self.order = self.order.wrapping_add(1);
        self.probe_order = Some(self.order);
    }

    /// The last probe was answered. What that proves shows when the acknowledgement that came with
    /// the answer is [taken in](Self::acknowledged).
    pub(super) fn probe_answered(&mut self) {
        self.answered_order = self.probe_order.take().or(self.answered_order);
    }

    /// The other side has every frame before `cumulative`, and of those after it the ones whose bit
    /// is set in `received`. `None`: nothing new.
    pub(super) fn acknowledged(
        &mut self,
        cumulative: u16,
        received: u32,
        now_ns: u64,
        pace: &Pace,
    ) -> Option<Progress> {
        let (upto, len) = (cumulative.wrapping_sub(self.first), self.len());
        if upto > len {
            // Older than what is known already, or nonsense.
            return None;
        }
        let mut newest: Option<Slot> = None;
        for k in 0..len {
            let ahead = k.checked_sub(upto + 1).map(|bit| u32::from(bit).min(31));
            let has = k < upto || ahead.is_some_and(|bit| received >> bit & 1 == 1);
            let slot = &mut self.slots[slot_of(self.first.wrapping_add(k))];
            // What was never sent cannot have arrived, whatever the other side says.
            if !has || slot.acknowledged || slot.tries == 0 {
                continue;
            }
            slot.acknowledged = true;
            slot.due = false;
            if newest.is_none_or(|other| before(other.order, slot.order)) {
                newest = Some(*slot);
            }
        }
        self.note_losses(newest, now_ns, pace);
        self.release();
        newest.map(|slot| Progress {
            round_trip_ns: (slot.tries == 1).then(|| now_ns.saturating_sub(slot.sent_at)),
        })
    }

    /// Frames that were overtaken are due again.
    fn note_losses(&mut self, newest: Option<Slot>, now_ns: u64, pace: &Pace) {
        // An acknowledgement that comes too soon after a repetition is one of the first attempt.
        let proof = newest.filter(|slot| {
            slot.tries == 1 || now_ns.saturating_sub(slot.sent_at) >= pace.least_ns()
        });
        let orders = [proof.map(|slot| slot.order), self.answered_order.take()];
        for order in orders.into_iter().flatten() {
            for k in 0..self.len() {
                let slot = &mut self.slots[slot_of(self.first.wrapping_add(k))];
                slot.due |= slot.tries > 0 && !slot.acknowledged && before(slot.order, order);
            }
        }
    }

    /// Forgets the oldest frames as far as they are acknowledged and the line does not hold them.
    fn release(&mut self) {
        while !self.is_empty()
            && self.slots[slot_of(self.first)].acknowledged
            && self.span.is_none_or(|span| span.first != self.first)
        {
            self.first = self.first.wrapping_add(1);
        }
    }

    /// The other side has room up to number `limit`.
    pub(super) fn extend(&mut self, limit: u16) {
        let (new, old) = (limit.wrapping_sub(self.first), self.limit.wrapping_sub(self.first));
        // Announcements only grow; a smaller one is late.
        if new <= 2 * WINDOW && new > old {
            self.limit = limit;
        }
    }
}
