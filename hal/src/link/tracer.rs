//! A link that writes down everything that passes: as text to read, or as a capture file.
//!
//! **Text**, a line for each frame at the moment of its last byte: seconds, direction (`>` host to
//! device), message, sequence number, acknowledged number, bytes of the body, bytes on the line, and
//! what is wrong with it, if anything is.
//!
//! ```text
//!     0.000153 > hello         seq     0 ack     0 body     6 line    18
//!     0.001021 < capabilities  seq     0 ack     1 body   214 line   226
//!     0.050400 < damaged       line   311: checksum does not match
//! ```
//!
//! **Capture**: the pcap format with nanoseconds, link type 147 (`LINKTYPE_USER0`). A packet is one
//! byte for the direction (0: host to device, 1: device to host) and a frame as it was on the line,
//! stuffed, with its ending zero. Wireshark opens it as user data.
//!
//! [`Trace`] is the plain part, in which time is an argument; [`wrap`] puts it around a link. If the
//! file cannot be written any more (a full disk), tracing ends with a warning and the link goes on.

use super::BoxLink;
use super::fault::Direction;
use crate::session::Clock;
use crate::wire::{Damage, Decoder, Frame, Kind, MAX_BODY, Message, encoded_len};
use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longer than this is no frame; it is written down in pieces.
const LONGEST: usize = encoded_len(MAX_BODY);

/// `LINKTYPE_USER0` of the list at tcpdump.org: reserved for private use.
const LINK_TYPE: u32 = 147;

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of text.
    Text,
    /// A capture file.
    Pcap,
}

/// What passed in one direction since the last end of a frame.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    /// The frame is too long for one piece, and this is not its first.
    goes_on: bool,
}

/// Writes down what it is shown.
pub struct Trace {
    format: Format,
    out: Box<dyn Write + Send>,
    up: Piece,
    down: Piece,
    decoder: Decoder<Vec<u8>>,
    /// The beginning was written.
    begun: bool,
    failed: bool,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Trace {
    /// A trace that goes to `out`. Wrap files in a `BufWriter`; a trace is flushed when its link is
    /// closed.
    #[must_use]
    pub fn new(format: Format, out: Box<dyn Write + Send>) -> Self {
        Self {
            format,
            out,
            up: Piece::default(),
            down: Piece::default(),
            decoder: Decoder::new(vec![0; LONGEST]),
            begun: false,
            failed: false,
        }
    }

    /// Bytes passed at the time `now_ns`, in nanoseconds since any fixed moment.
    pub fn bytes(&mut self, now_ns: u64, direction: Direction, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.failed {
            let piece = match direction {
                Direction::Up => &mut self.up,
                Direction::Down => &mut self.down,
            };
            let room = bytes.len().min(LONGEST - piece.bytes.len());
            let zeros = bytes[..room].iter().take_while(|byte| **byte == 0).count();
            // Idle zeros in a row are one entry; the end of a frame is one zero.
            let taken = match (piece.bytes.is_empty(), zeros) {
                (true, 1..) => zeros,
                _ => bytes[..room].iter().position(|b| *b == 0).map_or(room, |at| at + 1),
            };
            piece.bytes.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if piece.bytes.last() == Some(&0) || piece.bytes.len() == LONGEST {
                self.entry(now_ns, direction);
            }
        }
    }

    /// The link is closed at the time `now_ns`: writes down what is half there, and flushes.
    pub fn close(&mut self, now_ns: u64) {
        for direction in [Direction::Up, Direction::Down] {
            self.entry(now_ns, direction);
        }
        let result = self.out.flush();
        self.note(result);
    }

    /// Writes down the present piece of a direction.
    fn entry(&mut self, now_ns: u64, direction: Direction) {
        let piece = match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        };
        let bytes = std::mem::take(&mut piece.bytes);
        let whole = bytes.last() == Some(&0);
        let goes_on = std::mem::replace(&mut piece.goes_on, !whole && !bytes.is_empty());
        if bytes.is_empty() || self.failed {
            return;
        }
        let result = match self.format {
            Format::Text => self.line(now_ns, direction, &bytes, whole && !goes_on),
            Format::Pcap => self.packet(now_ns, direction, &bytes),
        };
        self.note(result);
    }

    fn note(&mut self, result: io::Result<()>) {
        if let Err(error) = result
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!(%error, "the trace ends here: it cannot be written; the link goes on");
        }
    }

    fn line(
        &mut self,
        now_ns: u64,
        direction: Direction,
        bytes: &[u8],
        whole: bool,
    ) -> io::Result<()> {
        let (s, us) = (now_ns / 1_000_000_000, now_ns / 1000 % 1_000_000);
        let way = match direction {
            Direction::Up => '>',
            Direction::Down => '<',
        };
        let len = bytes.len();
        let out = &mut self.out;
        write!(out, "{s:5}.{us:06} {way} ")?;
        if bytes.iter().all(|byte| *byte == 0) {
            return writeln!(out, "{:13} line {len:5}", "idle");
        }
        if !whole {
            return writeln!(out, "{:13} line {len:5}: no end of the frame", "piece");
        }
        self.decoder.reset();
        match self.decoder.feed(&mut &bytes[..]) {
            Some(Ok(frame)) => writeln!(out, "{}", describe(&frame, len)),
            Some(Err(damage)) => damaged(out, len, damage),
            // A piece ends in a zero, so that something was found.
            None => writeln!(out, "{:13} line {len:5}", "piece"),
        }
    }

    fn packet(&mut self, now_ns: u64, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) {
            self.out.write_all(&pcap_header())?;
        }
        let (s, ns) = ((now_ns / 1_000_000_000) as u32, (now_ns % 1_000_000_000) as u32);
        let len = bytes.len() as u32 + 1;
        for field in [s, ns, len, len] {
            self.out.write_all(&field.to_le_bytes())?;
        }
        self.out.write_all(&[match direction {
            Direction::Up => 0,
            Direction::Down => 1,
        }])?;
        self.out.write_all(bytes)
    }
}

fn damaged(out: &mut impl Write, len: usize, damage: Damage) -> io::Result<()> {
    writeln!(out, "{:13} line {len:5}: {damage}", "damaged")
}

fn describe(frame: &Frame<'_>, len: usize) -> String {
    let header = frame.header;
    let name = name(header.kind);
    let (seq, ack, body) = (header.sequence, header.acknowledge, frame.body.len());
    let fields = format!("{name:13} seq {seq:5} ack {ack:5} body {body:5} line {len:5}");
    match Message::decode(header.kind, frame.body) {
        Ok(Message::Refusal(refusal)) => format!("{fields}: {refusal}"),
        Ok(_) => fields,
        Err(malformed) => format!("{fields}: {malformed}"),
    }
}

/// The message's name with a blank between words, as in the table of the wire; `0x55` for others.
fn name(kind: u8) -> String {
    let Some(kind) = Kind::from_code(kind) else { return format!("0x{kind:02x}") };
    let mut text = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// The beginning of a capture file: nanoseconds, version 2.4, packets as long as they come.
fn pcap_header() -> [u8; 24] {
    const MAGIC_NS: u32 = 0xA1B2_3C4D;
    let snap = (LONGEST + 1) as u32;
    let mut header = [0; 24];
    header[..4].copy_from_slice(&MAGIC_NS.to_le_bytes());
    header[4..6].copy_from_slice(&2u16.to_le_bytes());
    header[6..8].copy_from_slice(&4u16.to_le_bytes());
    header[16..20].copy_from_slice(&snap.to_le_bytes());
    header[20..].copy_from_slice(&LINK_TYPE.to_le_bytes());
    header
}

/// Where traces go. Clones are the same place: a session that opens its link again goes on in the same
/// file.
#[derive(Clone, Debug)]
pub struct Sink(Arc<Mutex<Trace>>);

impl Sink {
    /// A place for traces.
    #[must_use]
    pub fn new(format: Format, out: Box<dyn Write + Send>) -> Self {
        Self(Arc::new(Mutex::new(Trace::new(format, out))))
    }

    fn with(&self, act: impl FnOnce(&mut Trace)) {
        // A writer that panicked has left nothing that could not be written after.
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

/// A link that shows everything to a trace.
struct Traced {
    link: BoxLink,
    sink: Sink,
    clock: Clock,
}

/// Writes everything that passes through `link` to `sink`, with the times of `clock`.
#[must_use]
pub fn wrap(link: BoxLink, sink: Sink, clock: Clock) -> BoxLink {
    Box::new(Traced { link, sink, clock })
}

impl Traced {
    fn show(&self, direction: Direction, bytes: &[u8]) {
        if !bytes.is_empty() {
            let now = (self.clock)();
            self.sink.with(|trace| trace.bytes(now, direction, bytes));
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let now = (self.clock)();
        self.sink.with(|trace| trace.close(now));
    }
}

impl AsyncRead for Traced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.link).poll_read(cx, buf))?;
        self.show(Direction::Down, &buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Traced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let n = ready!(Pin::new(&mut self.link).poll_write(cx, buf))?;
        self.show(Direction::Up, &buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
