//! Frames on their way out: numbered, encoded, kept until the link has taken them.

use spikeloop_hal::PROTOCOL_VERSION;
use spikeloop_hal::wire::{Frame, Full, Header, Kind, encoded_len};

/// The output buffer. What the link has not taken stands in `bytes[start .. end]`.
pub(crate) struct Transmit<'a> {
    bytes: &'a mut [u8],
    start: usize,
    end: usize,
    sequence: u16,
}

impl<'a> Transmit<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, start: 0, end: 0, sequence: 0 }
    }

    /// Forgets what was not taken and starts a session: the other side may have got a part of a
    /// frame, so that a zero byte goes first.
    pub(crate) fn restart(&mut self) {
        self.bytes[0] = 0;
        (self.start, self.end, self.sequence) = (0, 1, 0);
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn taken(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Whether a frame with a body of `body` bytes fits.
    pub(crate) fn has_room(&self, body: usize) -> bool {
        self.bytes.len() - (self.end - self.start) >= encoded_len(body)
    }

    /// Adds a frame.
    pub(crate) fn send(&mut self, kind: Kind, acknowledge: u16, body: &[u8]) -> Result<(), Full> {
        if !self.has_room(body.len()) {
            return Err(Full);
        }
        if self.bytes.len() - self.end < encoded_len(body.len()) {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let header = Header {
            version: PROTOCOL_VERSION as u8,
            kind: kind as u8,
            sequence: self.sequence,
            acknowledge,
        };
        self.end += Frame { header, body }.encode(&mut self.bytes[self.end..])?;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }
}
