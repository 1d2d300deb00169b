//! Frames: a header and a body, stuffed, checked, ended by a zero byte.

use super::cobs::{Stuffer, find_zero, stuffed_len, unstuff_in_place};
use super::error::{Damage, Full};
use crc::{CRC_16_IBM_3740, Crc, Table};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// Bytes of the checksum on the line (seven payload bits each, so that none is zero).
pub const TRAILER_LEN: usize = 3;

/// Longest body that the length field can express.
pub const MAX_BODY: usize = u16::MAX as usize;

/// Smallest longest body: every receiver takes bodies of at least this many bytes.
pub const MIN_BODY: usize = 64;

/// Longest body for which the checksum finds every error of up to three bits (see the specification).
pub const SAFE_BODY: usize = 4064;

/// Look-up tables: a host spends 8 KiB to check sixteen bytes at a time, a microcontroller 512 bytes.
#[cfg(feature = "std")]
pub(super) type Lanes = Table<16>;
#[cfg(not(feature = "std"))]
pub(super) type Lanes = Table<1>;

static CRC: Crc<u16, Lanes> = Crc::<u16, Lanes>::new(&CRC_16_IBM_3740);

/// Bytes on the line of a frame with a body of `body` bytes, at most, the ending zero included.
#[must_use]
pub const fn encoded_len(body: usize) -> usize {
    stuffed_len(HEADER_LEN + body) + TRAILER_LEN + 1
}

/// The first eight bytes of every frame. Their layout is the same in every protocol version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// Protocol version of the sender.
    pub version: u8,
    /// Message number: [`Kind`](super::Kind).
    pub kind: u8,
    /// Counts the frames of this direction since the session began, starting at 0, modulo 2¹⁶.
    pub sequence: u16,
    /// Sequence number that the sender expects next from its peer.
    pub acknowledge: u16,
}

impl Header {
    fn to_bytes(self, body: u16) -> [u8; HEADER_LEN] {
        let [s0, s1] = self.sequence.to_le_bytes();
        let [a0, a1] = self.acknowledge.to_le_bytes();
        let [l0, l1] = body.to_le_bytes();
        [self.version, self.kind, s0, s1, a0, a1, l0, l1]
    }

    fn from_bytes(bytes: [u8; HEADER_LEN]) -> (Self, usize) {
        let [version, kind, s0, s1, a0, a1, l0, l1] = bytes;
        let header = Self {
            version,
            kind,
            sequence: u16::from_le_bytes([s0, s1]),
            acknowledge: u16::from_le_bytes([a0, a1]),
        };
        (header, usize::from(u16::from_le_bytes([l0, l1])))
    }
}

/// A frame that arrived undamaged. Its message may still be unknown or malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Header, without the length.
    pub header: Header,
    /// Body.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Writes the frame as it goes over the line, ending zero included, to the front of `out` and
    /// says how many bytes that took.
    ///
    /// # Errors
    /// [`Full`] if `out` is shorter than [`encoded_len`] of the body, or the body longer than
    /// [`MAX_BODY`].
    pub fn encode(&self, out: &mut [u8]) -> Result<usize, Full> {
        let length = u16::try_from(self.body.len()).map_err(|_| Full)?;
        if out.len() < encoded_len(self.body.len()) {
            return Err(Full);
        }
        let mut stuffer = Stuffer::new(out);
        stuffer.push(&self.header.to_bytes(length));
        stuffer.push(self.body);
        let n = stuffer.finish();
        let trailer = trailer(&out[..n]);
        out[n..n + TRAILER_LEN].copy_from_slice(&trailer);
        out[n + TRAILER_LEN] = 0;
        Ok(n + TRAILER_LEN + 1)
    }
}

/// The checksum of `stuffed` in three bytes with the top bit set: bits 0 to 6, 7 to 13, 14 and 15.
fn trailer(stuffed: &[u8]) -> [u8; TRAILER_LEN] {
    let crc = CRC.checksum(stuffed);
    [0x80 | (crc & 0x7F) as u8, 0x80 | ((crc >> 7) & 0x7F) as u8, 0x80 | (crc >> 14) as u8]
}

/// Finds frames in a stream of bytes that comes in pieces of any size.
///
/// Memory is the caller's buffer and nothing else; whatever the bytes are, the decoder is in step
/// again after the next zero byte.
///
/// ```
/// use spikeloop_hal::wire::{Decoder, Frame, Header, encoded_len};
/// let frame = Frame { header: Header { version: 1, kind: 2, ..Header::default() }, body: &[9, 0, 9] };
/// let mut line = [0; encoded_len(3)];
/// let n = frame.encode(&mut line).unwrap();
/// let mut decoder = Decoder::new([0u8; encoded_len(64)]);
/// let mut input = &line[..n];
/// assert_eq!(decoder.feed(&mut input).unwrap().unwrap(), frame);
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<B> {
    buffer: B,
    len: usize,
    overflow: bool,
    current: Option<(Header, usize)>,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Decoder<B> {
    /// A decoder for frames whose stuffed form fits into `buffer`: [`encoded_len`] of the longest
    /// body that is to be accepted.
    pub const fn new(buffer: B) -> Self {
        Self { buffer, len: 0, overflow: false, current: None }
    }

    /// Takes bytes from the front of `input` up to the end of the next frame.
    ///
    /// `None`: `input` is empty now and the frame is not complete.
    ///
    /// # Errors
    /// Why the frame had to be thrown away. The decoder goes on with the next.
    pub fn feed(&mut self, input: &mut &[u8]) -> Option<Result<Frame<'_>, Damage>> {
        self.current = None;
        match self.advance(input)? {
            Ok(found) => {
                self.current = Some(found);
                self.current().map(Ok)
            }
            Err(damage) => Some(Err(damage)),
        }
    }

    /// The frame that the last [`feed`](Self::feed) found, until the next one.
    #[must_use]
    pub fn current(&self) -> Option<Frame<'_>> {
        let (header, length) = self.current?;
        let body = self.buffer.as_ref().get(HEADER_LEN..HEADER_LEN + length)?;
        Some(Frame { header, body })
    }

    /// Forgets a frame that is half read.
    pub fn reset(&mut self) {
        self.len = 0;
        self.overflow = false;
        self.current = None;
    }

    fn advance(&mut self, input: &mut &[u8]) -> Option<Result<(Header, usize), Damage>> {
        loop {
            let Some(at) = find_zero(input) else {
                self.keep(input);
                *input = &[];
                return None;
            };
            self.keep(&input[..at]);
            *input = &input[at + 1..];
            let (len, overflow) = (self.len, self.overflow);
            self.reset();
            if overflow {
                return Some(Err(Damage::TooLong));
            }
            // Empty frames are idle fill: a sender may put zeros between frames.
            if len > 0 {
                return Some(self.check(len));
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        match self.buffer.as_mut().get_mut(self.len..self.len + bytes.len()) {
            Some(slot) if !self.overflow => {
                slot.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.overflow = true,
        }
    }

    fn check(&mut self, len: usize) -> Result<(Header, usize), Damage> {
        let line = &mut self.buffer.as_mut()[..len];
        let Some(stuffed_len) = len.checked_sub(TRAILER_LEN) else { return Err(Damage::TooShort) };
        let (stuffed, checksum) = line.split_at_mut(stuffed_len);
        if trailer(stuffed) != *checksum {
            return Err(Damage::Checksum);
        }
        let length = unstuff_in_place(stuffed).ok_or(Damage::Stuffing)?;
        let (header, body) =
            stuffed[..length].split_first_chunk::<HEADER_LEN>().ok_or(Damage::TooShort)?;
        let (header, declared) = Header::from_bytes(*header);
        if declared == body.len() { Ok((header, declared)) } else { Err(Damage::Length) }
    }
}
