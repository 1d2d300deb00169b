//! A chip at the other end of a link.
//!
//! ```text
//!  caller's thread                        session thread (one task)               device
//!  configure ─► difference to what ─┐
//!               the device has      ├─► frames ─► queue ─► write ══════► link ══► server ─► core
//!  submit ────► stimuli ────────────┘  (journal, window)                           │
//!  collect ◄─── observables ◄─ assemble ◄─ decode ◄─ read ◄═══════════ link ◄══════┘
//! ```
//!
//! [`Session`] is blocking and belongs to one caller; inside, a thread of its own runs one
//! asynchronous task that reads and writes at the same time, so that neither side can block the
//! other with full buffers. `submit` returns as soon as its frames are queued, and results are
//! decoded while the caller computes: up to
//! [`runs_in_flight`](crate::Buffers::runs_in_flight) runs are under way at once.
//!
//! A session begins with a hello, which puts the device into its power-up state; from then on the
//! session knows what the device holds and sends only differences.
//!
//! **Trouble.** Lost and damaged frames are [sent again](crate::wire::window). When the link breaks,
//! the device is silent for too long or has lost its state, the session opens the link again, says
//! hello, brings the device back to where it was and repeats the runs in flight, and nothing else;
//! [`Health::retries`] and [`Health::recoveries`] count it. The same chip has to answer. What
//! cannot be mended within [`SessionOptions::recovery`], and every breach of the protocol, ends the
//! session: the first call after it returns the error, later ones [`Error::SessionOver`].

mod actor;
mod assemble;
pub mod budget;
mod encode;
mod exchange;
mod failure;
mod journal;
mod plastic;

use crate::caps::Capabilities;
use crate::chip::{Chip, Health, LinkUse, Observables, Stimulus, Ticket};
use crate::config::ChipConfig;
use crate::error::Error;
use crate::limits::check_run;
use crate::link::BoxLink;
use crate::wire::{DeviceHealth, Message, SAFE_BODY};
use actor::Actor;
use assemble::{Plan, PlannedFloor};
use encode::Encoder;
use exchange::{NewRun, Order, Report};
use failure::Failure;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A clock: nanoseconds since any fixed moment, never going back. Only used for the time split.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// How a session behaves.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// How long to wait for the answer to hello, over all attempts.
    pub handshake: Duration,
    /// How often hello is said within that time, with gaps that double. Boards that restart when their
    /// port is opened do not hear the first.
    pub hello_attempts: u32,
    /// How long the device may send nothing undamaged while something is outstanding, in addition to
    /// the chip time of the run under way. It is asked for a sign of life all the while.
    pub silence: Duration,
    /// How long to try to get a device back, from the first trouble until a run is complete. Zero:
    /// the first trouble ends the session.
    pub recovery: Duration,
    /// Longest body of a frame to the device, in bytes. Short frames lose little on lines that make
    /// errors, long ones cost less overhead: 13 bytes each.
    pub longest_body: u16,
    /// Number that tells this session's answers from those of an earlier one, which may still be on
    /// the line. `None`: one from the process's number and a counter.
    pub session: Option<u32>,
    /// Where the time split comes from.
    pub clock: Clock,
}

impl Default for SessionOptions {
    fn default() -> Self {
        let start = Instant::now();
        Self {
            handshake: Duration::from_secs(3),
            hello_attempts: 5,
            silence: Duration::from_secs(10),
            recovery: Duration::from_secs(30),
            longest_body: 1024,
            session: None,
            clock: Arc::new(move || start.elapsed().as_nanos() as u64),
        }
    }
}

impl std::fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { handshake, hello_attempts, silence, recovery, longest_body, session, clock: _ } =
            self;
        f.debug_struct("SessionOptions")
            .field("handshake", handshake)
            .field("hello_attempts", hello_attempts)
            .field("silence", silence)
            .field("recovery", recovery)
            .field("longest_body", longest_body)
            .field("session", session)
            .finish_non_exhaustive()
    }
}

/// The plain numbers of the options.
#[derive(Clone, Copy, Debug)]
struct Settings {
    handshake: Duration,
    hello_attempts: u32,
    silence: Duration,
    recovery: Duration,
    longest_body: u16,
    session: u32,
}

/// Opens the link, the first time and after trouble.
type Opener = Box<dyn FnMut() -> Opening + Send>;

/// A link that is being opened, on the session's own thread.
type Opening = Pin<Box<dyn Future<Output = Result<BoxLink, Error>>>>;

impl SessionOptions {
    fn settings(&self) -> Settings {
        let Self { handshake, hello_attempts, silence, recovery, longest_body, .. } = *self;
        // The smallest body that every device takes.
        let longest_body = longest_body.max(crate::wire::MIN_BODY as u16);
        let session = self.session.unwrap_or_else(next_session);
        Settings { handshake, hello_attempts, silence, recovery, longest_body, session }
    }
}

/// A session number that no other session of this process has, and hardly one of another.
fn next_session() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // 256 hellos of a session (attempts and recoveries), 16 sessions, then the process.
    (std::process::id() << 12).wrapping_add(count << 8)
}

/// An open chip behind a link. See the [module documentation](self).
pub struct Session {
    caps: Capabilities,
    /// What the device holds once it has read everything that was sent.
    device: ChipConfig,
    encoder: Encoder,
    clock: Clock,
    /// Encoding time that no run has carried yet.
    encode_ns: u64,
    orders: Option<UnboundedSender<Order>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    /// Runs submitted and not collected, oldest first.
    in_flight: VecDeque<u32>,
    /// Runs that have come back and were not collected, oldest first.
    arrived: VecDeque<(u32, Observables)>,
    /// Memory of collected runs, to be used again: at most as many as can be in flight.
    spare: Vec<Observables>,
    next_run: u32,
    pong: Option<DeviceHealth>,
    weights: Option<Vec<i8>>,
    /// Address bits of errors under the rule that the device has.
    error_bits: u8,
    health: Health,
    link: LinkUse,
    /// The error that ended the session.
    over: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("identity", &self.caps.identity)
            .field("in_flight", &self.in_flight)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Begins a session over a link that needs no asynchronous runtime of its own (in memory). If the
    /// link breaks the session is over: there is no way to open it again.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Disconnected`], [`Error::Link`] if nobody answers;
    /// [`Error::ProtocolVersion`], [`Error::Refused`], [`Error::Announcement`], [`Error::Malformed`]
    /// if the answer cannot be used.
    pub fn open(link: BoxLink, options: SessionOptions) -> Result<Self, Error> {
        let mut link = Some(link);
        let gone = || Error::Disconnected { waiting_for: "the link" };
        Self::connect(
            move || {
                let link = link.take().ok_or_else(gone);
                async move { link }
            },
            options,
        )
    }

    /// Opens a link on the session's own runtime and begins a session over it; after trouble it is
    /// opened again in the same way. Sockets and serial ports belong to the runtime that they were
    /// opened on: `open` runs there.
    ///
    /// # Errors
    /// What `open` returns, and everything of [`Session::open`].
    pub fn connect<F, L>(mut open: F, options: SessionOptions) -> Result<Self, Error>
    where
        F: FnMut() -> L + Send + 'static,
        L: Future<Output = Result<BoxLink, Error>> + 'static,
    {
        let (orders, received) = unbounded_channel();
        let (sender, reports) = channel();
        let (settings, clock) = (options.settings(), options.clock.clone());
        let opener: Opener = Box::new(move || Box::pin(open()));
        let thread = std::thread::Builder::new()
            .name("spikeloop-session".to_owned())
            .spawn(move || run_thread(opener, settings, clock, sender, received))
            .map_err(|error| Failure::Io(error).into_error("a thread"))?;
        let caps = match reports.recv() {
            Ok(Report::Opened(caps)) => *caps,
            Ok(Report::Failed { failure, waiting_for }) => {
                return Err(failure.into_error(waiting_for));
            }
            _ => return Err(Error::Disconnected { waiting_for: "an answer to hello" }),
        };
        tracing::debug!(identity = %caps.identity, "session open");
        Ok(Self {
            device: ChipConfig::power_up(&caps),
            encoder: Encoder::new(
                usize::from(caps.buffers.frame_body.min(settings.longest_body)).min(SAFE_BODY),
            ),
            caps,
            clock: options.clock,
            encode_ns: 0,
            orders: Some(orders),
            reports,
            thread: Some(thread),
            in_flight: VecDeque::new(),
            arrived: VecDeque::new(),
            spare: Vec::new(),
            next_run: 0,
            pong: None,
            weights: None,
            error_bits: 1,
            health: Health::default(),
            link: LinkUse::default(),
            over: None,
        })
    }

    /// Asks the device for its own counters. Waits for the configuration and the stimuli that were
    /// sent before to be taken in by the device.
    ///
    /// # Errors
    /// If the link or the device fails.
    pub fn ping(&mut self) -> Result<DeviceHealth, Error> {
        self.look()?;
        self.pong = None;
        self.encoder.message(&Message::Ping(self.next_run));
        let parcel = self.encoder.take();
        self.send(Order { parcel, run: None, ping: true })?;
        loop {
            if let Some(health) = self.pong.take() {
                return Ok(health);
            }
            self.wait()?;
        }
    }

    /// Takes in what the task has reported, without waiting.
    fn look(&mut self) -> Result<(), Error> {
        self.alive()?;
        while let Ok(report) = self.reports.try_recv() {
            self.note(report)?;
        }
        Ok(())
    }

    /// Waits for one report.
    fn wait(&mut self) -> Result<(), Error> {
        self.alive()?;
        match self.reports.recv() {
            Ok(report) => self.note(report),
            Err(_) => Err(self.end(Error::Disconnected { waiting_for: "the session's thread" })),
        }
    }

    fn alive(&self) -> Result<(), Error> {
        match &self.over {
            Some(reason) => Err(Error::SessionOver { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn note(&mut self, report: Report) -> Result<(), Error> {
        match report {
            Report::Run { run, observables, health, link } => {
                self.link = link;
                self.arrived.push_back((run, observables));
                exchange::add(&mut self.health, &health);
            }
            Report::Pong(health) => self.pong = Some(health),
            Report::Weights(codes) => self.weights = Some(codes),
            Report::Opened(_) => {}
            Report::Failed { failure, waiting_for } => {
                let error = failure.into_error(waiting_for);
                return Err(self.end(error));
            }
        }
        Ok(())
    }

    fn end(&mut self, error: Error) -> Error {
        tracing::warn!(%error, "session over");
        self.over = Some(error.to_string());
        self.orders = None;
        error
    }

    fn send(&mut self, order: Order) -> Result<(), Error> {
        let sent = self.orders.as_ref().is_some_and(|orders| orders.send(order).is_ok());
        if sent {
            return Ok(());
        }
        loop {
            // The task has ended: its last report says why.
            self.wait()?;
        }
    }
}

/// Notes what was sent. Parameters that `config` does not mention keep their codes.
fn remember(device: &mut ChipConfig, config: &ChipConfig) {
    device.weights.clone_from(&config.weights);
    for (parameter, codes) in &config.parameters {
        if let Some(held) = device.codes_mut(*parameter) {
            held.copy_from_slice(codes);
        }
    }
    device.enabled.clone_from(&config.enabled);
    device.spiking.clone_from(&config.spiking);
    device.recording.clone_from(&config.recording);
}

fn run_thread(
    opener: Opener,
    settings: Settings,
    clock: Clock,
    reports: Sender<Report>,
    orders: UnboundedReceiver<Order>,
) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            runtime.block_on(Actor::new(opener, settings, clock, reports).live(orders));
        }
        Err(error) => {
            let failure = Failure::Io(error);
            let _ = reports.send(Report::Failed { failure, waiting_for: "the link" });
        }
    }
}

impl Chip for Session {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        self.look()?;
        config.check(&self.caps)?;
        let start = (self.clock)();
        self.encoder.difference(&self.device, config);
        let parcel = self.encoder.take();
        if !parcel.is_empty() {
            remember(&mut self.device, config);
            self.send(Order { parcel, run: None, ping: false })?;
        }
        self.encode_ns += (self.clock)().saturating_sub(start);
        Ok(())
    }

    fn submit(&mut self, stimuli: &[Stimulus]) -> Result<Ticket, Error> {
        self.look()?;
        let limit = self.caps.buffers.runs_in_flight;
        if self.in_flight.len() >= usize::from(limit) {
            return Err(Error::TooManyRuns { limit });
        }
        check_run(&self.caps, &self.device.recording, stimuli)?;
        let start = (self.clock)();
        let run = self.next_run;
        self.encoder.run(run, stimuli, &self.caps);
        let parcel = self.encoder.take();
        let recording = &self.device.recording;
        let ticks: u64 = stimuli.iter().map(|stimulus| u64::from(stimulus.duration)).sum();
        let now = (self.clock)();
        let plan = Plan {
            run,
            trials: stimuli.len() as u32,
            samples_per_trial: recording.traces.len() * usize::from(recording.samples),
            floor: PlannedFloor::of(&self.device),
            encode_ns: std::mem::take(&mut self.encode_ns) + now.saturating_sub(start),
            submitted_ns: now,
            chip_ns: ticks.saturating_mul(u64::from(self.caps.tick_ns)),
        };
        let memory = self.spare.pop().unwrap_or_default();
        let new = Box::new(NewRun { plan, memory });
        self.send(Order { parcel, run: Some(new), ping: false })?;
        self.in_flight.push_back(run);
        self.next_run = run.wrapping_add(1);
        Ok(Ticket(u64::from(run)))
    }

    fn collect(&mut self, ticket: Ticket, into: &mut Observables) -> Result<(), Error> {
        match self.in_flight.front() {
            Some(run) if u64::from(*run) == ticket.0 => {}
            _ => {
                self.alive()?;
                return Err(Error::UnknownTicket { ticket: ticket.0 });
            }
        }
        while self.arrived.is_empty() {
            self.wait()?;
        }
        self.in_flight.pop_front();
        if let Some((_, observables)) = self.arrived.pop_front() {
            self.spare.push(std::mem::replace(into, observables));
        }
        Ok(())
    }

    fn health(&self) -> Health {
        self.health
    }

    fn link_use(&self) -> Option<LinkUse> {
        Some(self.link)
    }

    fn plastic(&mut self) -> Option<&mut dyn crate::chip::Plastic> {
        Some(self)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported as a closed session already.
            let _ = thread.join();
        }
    }
}
