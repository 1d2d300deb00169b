//! Frames that came and were not taken yet: behind a gap, or because there is no use for them.

use super::WINDOW;

/// What became of a frame that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is the one awaited. It is not stored: take it, or keep it.
    Next,
    /// It is stored: one before it is missing or was not taken yet.
    Early,
    /// It was here before.
    Duplicate,
    /// The other side was never given room for it, or it is longer than it may be.
    Beyond,
}

#[derive(Debug)]
pub(super) struct Inbox<B> {
    bytes: B,
    /// Bytes of one place.
    stride: usize,
    capacity: u16,
    kinds: [u8; WINDOW as usize],
    lens: [usize; WINDOW as usize],
    /// Number of the frame to be taken next.
    expected: u16,
    /// Bit `k`: frame `expected + k` is stored.
    stored: u32,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Inbox<B> {
    pub(super) fn new(bytes: B, stride: usize) -> Self {
        let places = (bytes.as_ref().len() / stride.max(1)).min(usize::from(WINDOW)) as u16;
        Self {
            // A power of two, so that places and numbers wrap around together.
            capacity: places.checked_ilog2().map_or(0, |log| 1 << log),
            bytes,
            stride,
            kinds: [0; WINDOW as usize],
            lens: [0; WINDOW as usize],
            expected: 0,
            stored: 0,
        }
    }

    pub(super) fn restart(&mut self, expected: u16) {
        self.expected = expected;
        self.stored = 0;
    }

    pub(super) fn capacity(&self) -> u16 {
        self.capacity
    }

    pub(super) fn expected(&self) -> u16 {
        self.expected
    }

    /// First number that there is no room for.
    pub(super) fn limit(&self) -> u16 {
        self.expected.wrapping_add(self.capacity)
    }

    /// First number that has not come.
    pub(super) fn cumulative(&self) -> u16 {
        self.expected.wrapping_add(self.stored.trailing_ones() as u16)
    }

    /// Bit `k`: frame `cumulative + 1 + k` has come.
    pub(super) fn received(&self) -> u32 {
        let gap = self.stored.trailing_ones() + 1;
        self.stored.checked_shr(gap).unwrap_or(0)
    }

    pub(super) fn arrived(&mut self, sequence: u16, kind: u8, body: &[u8]) -> Arrival {
        let ahead = sequence.wrapping_sub(self.expected);
        // Half the numbers lie ahead, half behind.
        if ahead >= 1 << 15 {
            return Arrival::Duplicate;
        }
        if ahead >= self.capacity || body.len() > self.stride {
            return Arrival::Beyond;
        }
        if self.stored & (1 << ahead) != 0 {
            return Arrival::Duplicate;
        }
        if ahead == 0 {
            return Arrival::Next;
        }
        self.store(sequence, kind, body);
        Arrival::Early
    }

    /// Stores the frame awaited.
    pub(super) fn keep(&mut self, kind: u8, body: &[u8]) {
        self.store(self.expected, kind, body);
    }

    fn store(&mut self, sequence: u16, kind: u8, body: &[u8]) {
        let place = self.place(sequence);
        let at = place * self.stride;
        self.bytes.as_mut()[at..at + body.len()].copy_from_slice(body);
        (self.kinds[place], self.lens[place]) = (kind, body.len());
        self.stored |= 1 << sequence.wrapping_sub(self.expected);
    }

    pub(super) fn next(&self) -> Option<(u8, &[u8])> {
        if self.stored & 1 == 0 {
            return None;
        }
        let place = self.place(self.expected);
        let at = place * self.stride;
        Some((self.kinds[place], &self.bytes.as_ref()[at..at + self.lens[place]]))
    }

    pub(super) fn consumed(&mut self) {
        self.expected = self.expected.wrapping_add(1);
        self.stored >>= 1;
    }

    fn place(&self, sequence: u16) -> usize {
        usize::from(sequence & self.capacity.saturating_sub(1))
    }
}
