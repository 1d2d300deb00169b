//! A chip at the other end of a link.
//!
//! ```text
//!  caller's thread                        session thread (one task)               device
//!  configure ─► difference to what ─┐
//!               the device has      ├─► frames ─► queue ─► write ══════► link ══► server ─► core
//!  submit ────► stimuli ────────────┘                                              │
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
//! session knows what the device holds and sends only differences. Every error of the link, of the
//! device or of the protocol ends the session: the first call after it returns the error, later
//! ones [`Error::SessionOver`].

mod actor;
mod assemble;
mod encode;
mod failure;

use crate::caps::Capabilities;
use crate::chip::{Chip, Health, Observables, Stimulus, Ticket};
use crate::config::ChipConfig;
use crate::error::Error;
use crate::limits::check_run;
use crate::link::BoxLink;
use crate::wire::{DeviceHealth, Message};
use actor::{Actor, Command, Report};
use assemble::Plan;
use encode::Encoder;
use failure::Failure;
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
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
    /// How often hello is said within that time. Boards that restart when their port is opened do
    /// not hear the first.
    pub hello_attempts: u32,
    /// How long the device may neither send nor take a byte while something is outstanding, in
    /// addition to the chip time of the run under way.
    pub silence: Duration,
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
            hello_attempts: 3,
            silence: Duration::from_secs(10),
            session: None,
            clock: Arc::new(move || start.elapsed().as_nanos() as u64),
        }
    }
}

impl std::fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { handshake, hello_attempts, silence, session, clock: _ } = self;
        f.debug_struct("SessionOptions")
            .field("handshake", handshake)
            .field("hello_attempts", hello_attempts)
            .field("silence", silence)
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
    session: u32,
}

impl SessionOptions {
    fn settings(&self) -> Settings {
        let Self { handshake, hello_attempts, silence, .. } = *self;
        let session = self.session.unwrap_or_else(next_session);
        Settings { handshake, hello_attempts, silence, session }
    }
}

/// A session number that no other session of this process has, and hardly one of another.
fn next_session() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Sixteen attempts at a hello, 256 sessions, then the process.
    (std::process::id() << 12).wrapping_add(count << 4)
}

/// An open chip behind a link. See the [module documentation](self).
pub struct Session {
    caps: Capabilities,
    /// What the device holds once it has read everything that was sent.
    device: ChipConfig,
    encoder: Encoder,
    acknowledge: Arc<AtomicU16>,
    clock: Clock,
    /// Encoding time that no run has carried yet.
    encode_ns: u64,
    commands: Option<UnboundedSender<Command>>,
    reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    /// Runs submitted and not collected, oldest first.
    in_flight: VecDeque<u32>,
    /// Runs that have come back and were not collected, oldest first.
    arrived: VecDeque<(u32, Observables)>,
    next_run: u32,
    pong: Option<DeviceHealth>,
    health: Health,
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
    /// Begins a session over a link that needs no asynchronous runtime of its own (in memory, or
    /// one that was made inside the session by [`connect`](Self::connect)).
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Disconnected`], [`Error::Link`] if nobody answers;
    /// [`Error::ProtocolVersion`], [`Error::Refused`], [`Error::Announcement`], [`Error::Malformed`]
    /// if the answer cannot be used.
    pub fn open(link: BoxLink, options: SessionOptions) -> Result<Self, Error> {
        Self::connect(move || async move { Ok(link) }, options)
    }

    /// Opens a link on the session's own runtime and begins a session over it. Sockets and serial
    /// ports belong to the runtime that they were opened on: `open` runs there.
    ///
    /// # Errors
    /// What `open` returns, and everything of [`Session::open`].
    pub fn connect<F, L>(open: F, options: SessionOptions) -> Result<Self, Error>
    where
        F: FnOnce() -> L + Send + 'static,
        L: Future<Output = Result<BoxLink, Error>>,
    {
        let (commands, orders) = unbounded_channel();
        let (sender, reports) = channel();
        let acknowledge = Arc::new(AtomicU16::new(0));
        let (settings, clock) = (options.settings(), options.clock.clone());
        let numbers = acknowledge.clone();
        let thread = std::thread::Builder::new()
            .name("spikeloop-session".to_owned())
            .spawn(move || run_thread(open, settings, clock, sender, numbers, orders))
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
            encoder: Encoder::new(usize::from(caps.buffers.frame_body), 1),
            caps,
            acknowledge,
            clock: options.clock,
            encode_ns: 0,
            commands: Some(commands),
            reports,
            thread: Some(thread),
            in_flight: VecDeque::new(),
            arrived: VecDeque::new(),
            next_run: 0,
            pong: None,
            health: Health::default(),
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
        let frames = self.encoder.take();
        self.send(Command::Send { frames, plan: None })?;
        self.send(Command::Expect)?;
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
            Report::Run { run, observables, health } => {
                self.arrived.push_back((run, observables));
                add(&mut self.health, &health);
            }
            Report::Pong(health) => self.pong = Some(health),
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
        self.commands = None;
        error
    }

    fn send(&mut self, command: Command) -> Result<(), Error> {
        let sent = self.commands.as_ref().is_some_and(|commands| commands.send(command).is_ok());
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

fn add(sum: &mut Health, more: &Health) {
    sum.trials += more.trials;
    sum.dropped_inputs += more.dropped_inputs;
    sum.dropped_spikes += more.dropped_spikes;
    sum.saturated_samples += more.saturated_samples;
    sum.stalled_trials += more.stalled_trials;
    sum.damaged_frames += more.damaged_frames;
    sum.retries += more.retries;
}

fn run_thread<F, L>(
    open: F,
    settings: Settings,
    clock: Clock,
    reports: Sender<Report>,
    acknowledge: Arc<AtomicU16>,
    commands: UnboundedReceiver<Command>,
) where
    F: FnOnce() -> L,
    L: Future<Output = Result<BoxLink, Error>>,
{
    let fail = |failure| {
        let _ = reports.send(Report::Failed { failure, waiting_for: "the link" });
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Failure::Io(error)),
    };
    runtime.block_on(async {
        match open().await {
            Ok(link) => {
                Actor::new(link, settings, clock, reports.clone(), acknowledge)
                    .live(commands)
                    .await;
            }
            Err(error) => fail(Failure::Open(error)),
        }
    });
}

impl Chip for Session {
    fn capabilities(&self) -> &Capabilities {
        &self.caps
    }

    fn configure(&mut self, config: &ChipConfig) -> Result<(), Error> {
        self.look()?;
        config.check(&self.caps)?;
        let start = (self.clock)();
        self.encoder.acknowledge = self.acknowledge.load(Ordering::Relaxed);
        self.encoder.difference(&self.device, config);
        let frames = self.encoder.take();
        if !frames.is_empty() {
            remember(&mut self.device, config);
            self.send(Command::Send { frames, plan: None })?;
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
        self.encoder.acknowledge = self.acknowledge.load(Ordering::Relaxed);
        self.encoder.run(run, stimuli, &self.caps);
        let frames = self.encoder.take();
        let recording = &self.device.recording;
        let ticks: u64 = stimuli.iter().map(|stimulus| u64::from(stimulus.duration)).sum();
        let now = (self.clock)();
        let plan = Plan {
            run,
            trials: stimuli.len() as u32,
            samples_per_trial: recording.traces.len() * usize::from(recording.samples),
            encode_ns: std::mem::take(&mut self.encode_ns) + now.saturating_sub(start),
            submitted_ns: now,
            chip_ns: ticks.saturating_mul(u64::from(self.caps.tick_ns)),
        };
        self.send(Command::Send { frames, plan: Some(plan) })?;
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
            let used = std::mem::replace(into, observables);
            // A session that is over needs no memory any more.
            if let Some(commands) = &self.commands {
                let _ = commands.send(Command::Recycle(used));
            }
        }
        Ok(())
    }

    fn health(&self) -> Health {
        self.health
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported as a closed session already.
            let _ = thread.join();
        }
    }
}
