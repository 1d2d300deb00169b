//! A link with faults on purpose: what real cables, hubs and power supplies do, but seeded.
//!
//! ```text
//!  host ── up ──►  frames: lost, twice, out of order, stalls ─► line: rate, lost bytes, flipped bits ──► device
//!       ◄─ down ─  (the same, with settings and random numbers of its own)                           ──
//! ```
//!
//! Each direction is a [`Line`]: a plain state machine without input, output or clock, in which time
//! is an argument. [`wrap`] puts two of them around any link; a simulation drives them by itself.
//!
//! What is hit follows from the seed and from the bytes alone, never from how many are written or
//! read at once: random numbers belong to bytes and to frames. A frame is everything up to the next
//! zero byte. With small rates a fault-free byte costs a copy, no random number is drawn for it.
//!
//! ```
//! use spikeloop_hal::link::fault::{Direction, FaultSettings, Line};
//!
//! let settings: FaultSettings = "baud=1000000,up.flip=1,seed=3".parse()?;
//! assert_eq!(settings.to_string(), "up.flip=1,baud=1000000,seed=3");
//! let mut line = Line::new(&settings, Direction::Down);
//! line.push(0, &[7; 4]);
//! assert_eq!(line.pop(20), [7, 7]); // a byte has ten bits: 10 µs at 1 Mbaud
//! assert_eq!(line.next_due(), Some(30));
//! # Ok::<(), spikeloop_hal::link::fault::FaultError>(())
//! ```

mod counts;
mod draw;
mod line;
mod settings;
#[cfg(test)]
mod tests;

pub use counts::{Counts, DirectionCounts};
pub use line::Line;
pub use settings::{FaultError, FaultSettings, LineSettings, Resets, Stalls};

use super::BoxLink;
use counts::Counters;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that a direction takes before its writer has to wait: the transmit buffer of a serial port
/// under Linux (one page).
const ROOM: usize = 4096;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Host to device.
    Up,
    /// Device to host.
    Down,
}

/// A source of faults for one link after the other: every connection has random numbers of its own,
/// so that a session that opens its link again does not meet the same faults at the same places. Clones
/// are the same source.
#[derive(Clone, Debug)]
pub struct Faults {
    settings: FaultSettings,
    connections: Arc<AtomicU64>,
    counters: Arc<Counters>,
}

impl Faults {
    /// A source of these faults.
    #[must_use]
    pub fn new(settings: FaultSettings) -> Self {
        Self { settings, connections: Arc::default(), counters: Arc::default() }
    }

    /// What it does.
    #[must_use]
    pub fn settings(&self) -> &FaultSettings {
        &self.settings
    }

    /// What was injected so far, over all links; may be read at any time.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Puts faults around `link`. It must be driven on a tokio runtime with time enabled.
    #[must_use]
    pub fn wrap(&self, link: BoxLink) -> BoxLink {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let line = |direction| {
            Line::connection(&self.settings, direction, connection)
                .counting(self.counters.of(direction).clone())
        };
        let start = Instant::now();
        Box::new(Faulty {
            link,
            up: line(Direction::Up),
            down: line(Direction::Down),
            start,
            going: Vec::new(),
            gone: 0,
            coming: vec![0; ROOM],
            ended: false,
            up_timer: Timer::new(start),
            down_timer: Timer::new(start),
            waiting: Arc::default(),
        })
    }
}

/// Puts faults around one link; [`Faults`] is for links that are opened again.
#[must_use]
pub fn wrap(link: BoxLink, settings: &FaultSettings) -> BoxLink {
    Faults::new(settings.clone()).wrap(link)
}

/// A timer that is only set anew when its time changes.
struct Timer {
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    fn new(at: Instant) -> Self {
        Self { sleep: Box::pin(sleep_until(at)) }
    }

    fn poll_until(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() != at {
            self.sleep.as_mut().reset(at);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// Who waits for the way up to move. Reader and writer may be two tasks; whichever of them looked last,
/// and ended since, both are woken.
#[derive(Debug, Default)]
struct Waiting {
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
}

impl Waiting {
    fn note(slot: &Mutex<Option<Waker>>, cx: &Context<'_>) {
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.as_mut() {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *slot = Some(cx.waker().clone()),
        }
    }

    fn wake_one(slot: &Mutex<Option<Waker>>) {
        let waker = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        Self::wake_one(&self.reader);
        Self::wake_one(&self.writer);
    }
}

/// A link with faults.
struct Faulty {
    link: BoxLink,
    up: Line,
    down: Line,
    /// Zero of the lines' time.
    start: Instant,
    /// Bytes that have come through `up` and that the link has not taken: `going[gone..]`.
    going: Vec<u8>,
    gone: usize,
    coming: Vec<u8>,
    /// The device has nothing more to say.
    ended: bool,
    up_timer: Timer,
    down_timer: Timer,
    waiting: Arc<Waiting>,
}

impl Faulty {
    fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn at(&self, due_us: u64) -> Instant {
        // Beyond the end of time is a year from now.
        let after = Duration::from_micros(due_us);
        self.start.checked_add(after).unwrap_or(self.start + Duration::from_secs(31_536_000))
    }

    fn is_cut(&self) -> bool {
        self.up.is_cut() || self.down.is_cut()
    }

    /// Carries what is due on the way up to the link. Ready when nothing is left of it; else those who
    /// are noted in `waiting` are woken.
    fn poll_up(&mut self) -> Poll<io::Result<()>> {
        let waker = Waker::from(self.waiting.clone());
        let cx = &mut Context::from_waker(&waker);
        loop {
            if self.gone == self.going.len() {
                self.gone = 0;
                self.going = self.up.pop(self.now_us());
            }
            if self.going.is_empty() {
                let Some(due) = self.up.next_due() else { return Poll::Ready(Ok(())) };
                let at = self.at(due);
                ready!(self.up_timer.poll_until(at, cx));
                continue;
            }
            let n = ready!(Pin::new(&mut self.link).poll_write(cx, &self.going[self.gone..]))?;
            if n == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.gone += n;
            // The writer may be another task than the one that carried these bytes.
            Waiting::wake_one(&self.waiting.writer);
        }
    }

    /// Takes more from the link, if there is room. Ready when the line has changed.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ended && self.down.queued() < ROOM {
            let mut piece = ReadBuf::new(&mut self.coming);
            if let Poll::Ready(came) = Pin::new(&mut self.link).poll_read(cx, &mut piece) {
                came?;
                let n = piece.filled().len();
                self.ended = n == 0;
                let now = self.now_us();
                self.down.push(now, &self.coming[..n]);
                return Poll::Ready(Ok(()));
            }
        }
        match self.down.next_due() {
            Some(due) => {
                let at = self.at(due);
                self.down_timer.poll_until(at, cx).map(Ok)
            }
            None => Poll::Pending,
        }
    }
}

impl AsyncRead for Faulty {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.is_cut() {
                return Poll::Ready(Ok(()));
            }
            Waiting::note(&this.waiting.reader, cx);
            // Nobody else may be there to carry what was written: readers read all the time. A
            // failure shows itself to the next writer, and as the end of what can be read.
            let _ = this.poll_up();
            let now = this.now_us();
            let n = this.down.pop_into(now, buf.initialize_unfilled());
            buf.advance(n);
            if n > 0 || buf.remaining() == 0 || (this.ended && this.down.next_due().is_none()) {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_down(cx))?;
        }
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let cut = || Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        if this.is_cut() {
            return cut();
        }
        Waiting::note(&this.waiting.writer, cx);
        if let Poll::Ready(Err(error)) = this.poll_up() {
            return Poll::Ready(Err(error));
        }
        let waiting = this.up.queued() + this.going.len() - this.gone;
        let n = buf.len().min(ROOM.saturating_sub(waiting));
        if n == 0 && !buf.is_empty() {
            // The bytes that move on may have been carried, and the waker used, just now.
            Waiting::note(&this.waiting.writer, cx);
            return Poll::Pending;
        }
        let now = this.now_us();
        this.up.push(now, &buf[..n]);
        // What is due at once goes at once; what fails now fails again at the next write.
        let _ = this.poll_up();
        if this.is_cut() { cut() } else { Poll::Ready(Ok(n)) }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_cut() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        Waiting::note(&this.waiting.writer, cx);
        ready!(this.poll_up())?;
        Pin::new(&mut this.link).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_cut() {
            Waiting::note(&this.waiting.writer, cx);
            ready!(this.poll_up())?;
        }
        Pin::new(&mut this.link).poll_shutdown(cx)
    }
}
