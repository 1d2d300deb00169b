//! The one task that touches the link: it reads and writes at the same time, so that host and device
//! never wait for each other with full buffers.

use super::assemble::{Assembler, Plan, Shape};
use super::encode::Encoder;
use super::{Clock, Failure, Settings};
use crate::caps::{Capabilities, PROTOCOL_VERSION};
use crate::chip::{Health, Observables};
use crate::limits::check_capabilities;
use crate::link::BoxLink;
use crate::wire::{
    Decoder, DeviceHealth, Frame, Hello, Kind, MAX_BODY, Message, Refusal, RefusalCode, SAFE_BODY,
    encoded_len,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

/// Bytes read from the link at a time.
const CHUNK: usize = 64 * 1024;

/// From the session to the task.
pub(super) enum Command {
    /// Frames to be sent, and the run that they start, if they start one.
    Send { frames: Vec<u8>, plan: Option<Plan> },
    /// A ping is among the frames sent before: an answer is due.
    Expect,
    /// Memory to use again.
    Recycle(Observables),
}

/// From the task to the session.
pub(super) enum Report {
    /// The device answered.
    Opened(Box<Capabilities>),
    /// A run came back.
    Run { run: u32, observables: Observables, health: Health },
    /// The device's counters.
    Pong(DeviceHealth),
    /// The session is over.
    Failed { failure: Failure, waiting_for: &'static str },
}

/// The link, and what is on its way in both directions.
pub(super) struct Actor {
    reader: ReadHalf<BoxLink>,
    writer: WriteHalf<BoxLink>,
    decoder: Decoder<Vec<u8>>,
    settings: Settings,
    clock: Clock,
    reports: Sender<Report>,
    acknowledge: Arc<AtomicU16>,
    outgoing: VecDeque<Vec<u8>>,
    /// Bytes of the first outgoing piece that the link has taken.
    written: usize,
    runs: VecDeque<Assembler>,
    spare: Vec<Observables>,
    pings: u32,
    shape: Option<Shape>,
    /// Sequence number that the next frame from the device should have.
    expected: u16,
    damaged: u64,
    /// Damaged frames that no run has reported yet.
    unreported: u64,
    heard: u64,
}

impl Actor {
    pub(super) fn new(
        link: BoxLink,
        settings: Settings,
        clock: Clock,
        reports: Sender<Report>,
        acknowledge: Arc<AtomicU16>,
    ) -> Self {
        let (reader, writer) = tokio::io::split(link);
        Self {
            reader,
            writer,
            decoder: Decoder::new(vec![0; encoded_len(MAX_BODY)]),
            settings,
            clock,
            reports,
            acknowledge,
            outgoing: VecDeque::new(),
            written: 0,
            runs: VecDeque::new(),
            spare: Vec::new(),
            pings: 0,
            shape: None,
            expected: 0,
            damaged: 0,
            unreported: 0,
            heard: 0,
        }
    }

    /// Lives until the session drops its end of `commands`, or until something fails.
    pub(super) async fn live(mut self, mut commands: UnboundedReceiver<Command>) {
        if let Err(failure) = self.work(&mut commands).await {
            let waiting_for = self.waiting_for();
            // The session may be gone already; then nobody wants to know.
            let _ = self.reports.send(Report::Failed { failure, waiting_for });
        }
    }

    async fn work(&mut self, commands: &mut UnboundedReceiver<Command>) -> Result<(), Failure> {
        let caps = self.greet().await?;
        self.shape = Some(Shape::of(&caps));
        let _ = self.reports.send(Report::Opened(Box::new(caps)));
        let mut chunk = vec![0; CHUNK];
        let mut deadline = Instant::now();
        loop {
            let idle = self.runs.is_empty() && self.pings == 0 && self.outgoing.is_empty();
            let front = self.outgoing.front().map_or(&[][..], |piece| &piece[self.written..]);
            tokio::select! {
                command = commands.recv() => {
                    let Some(command) = command else { return Ok(()) };
                    if idle {
                        deadline = self.deadline();
                    }
                    self.take(command);
                }
                read = self.reader.read(&mut chunk) => {
                    let n = some(read.map_err(Failure::Io)?)?;
                    self.hear(&chunk[..n])?;
                    deadline = self.deadline();
                }
                written = self.writer.write(front), if !front.is_empty() => {
                    self.wrote(some(written.map_err(Failure::Io)?)?);
                    deadline = self.deadline();
                }
                () = sleep_until(deadline), if !idle => return Err(self.timeout(self.patience())),
            }
        }
    }

    /// Says hello until the device answers with what it is. Several times, because a board that
    /// restarts when its port is opened does not hear the first one.
    async fn greet(&mut self) -> Result<Capabilities, Failure> {
        let settings = self.settings;
        let attempts = settings.hello_attempts.max(1);
        for attempt in 0..attempts {
            let session = settings.session.wrapping_add(attempt);
            let deadline = Instant::now() + settings.handshake / attempts;
            match tokio::time::timeout_at(deadline, self.ask(session)).await {
                Ok(answer) => return answer,
                Err(_) => self.decoder.reset(),
            }
        }
        Err(self.timeout(settings.handshake))
    }

    async fn ask(&mut self, session: u32) -> Result<Capabilities, Failure> {
        let mut encoder = Encoder::new(SAFE_BODY, 0);
        encoder.message(&Message::Hello(Hello { protocol: PROTOCOL_VERSION, session }));
        // A zero first: whatever an earlier program left unfinished on the line ends here.
        self.writer.write_all(&[0]).await.map_err(Failure::Io)?;
        self.writer.write_all(&encoder.take()).await.map_err(Failure::Io)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let n = some(self.reader.read(&mut chunk).await.map_err(Failure::Io)?)?;
            self.heard += n as u64;
            let mut input = &chunk[..n];
            while let Some(frame) = self.decoder.feed(&mut input) {
                // Damage and stray frames are what an earlier session left behind.
                if let Ok(frame) = frame
                    && let Some(caps) = answer(frame, session)?
                {
                    self.expected = frame.header.sequence.wrapping_add(1);
                    self.acknowledge.store(self.expected, Ordering::Relaxed);
                    check_capabilities(&caps).map_err(Failure::Open)?;
                    // Nothing was asked yet: whatever follows in this chunk is not for us.
                    return Ok(caps);
                }
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Send { frames, plan } => {
                if !frames.is_empty() {
                    self.outgoing.push_back(frames);
                }
                if let (Some(plan), Some(shape)) = (plan, self.shape) {
                    let memory = self.spare.pop().unwrap_or_default();
                    self.runs.push_back(Assembler::new(plan, shape, memory));
                }
            }
            Command::Expect => self.pings += 1,
            Command::Recycle(observables) => self.spare.push(observables),
        }
    }

    fn wrote(&mut self, n: usize) {
        self.written += n;
        if self.outgoing.front().is_some_and(|piece| self.written >= piece.len()) {
            self.outgoing.pop_front();
            self.written = 0;
        }
    }

    fn hear(&mut self, mut input: &[u8]) -> Result<(), Failure> {
        let mut since = (self.clock)();
        self.heard += input.len() as u64;
        while let Some(frame) = self.decoder.feed(&mut input) {
            let Ok(frame) = frame else {
                self.damaged += 1;
                self.unreported += 1;
                continue;
            };
            let (kind, sequence) = (frame.header.kind, frame.header.sequence);
            let message = Message::decode(kind, frame.body)
                .map_err(|why| Failure::Malformed { kind, why })?;
            if let Message::Refusal(refusal) = message {
                return Err(Failure::Refused(refusal));
            }
            if sequence != self.expected {
                let (expected, got, damaged) = (self.expected, sequence, self.damaged);
                return Err(Failure::Lost { expected, got, damaged });
            }
            self.expected = sequence.wrapping_add(1);
            match message {
                Message::Result(blocks) => match self.runs.front_mut() {
                    Some(run) => run.accept(&blocks)?,
                    None => return Err(Failure::Protocol("results, but no run is in flight")),
                },
                Message::RunEnd(end) => {
                    let now = (self.clock)();
                    let run = self.runs.pop_front().filter(|run| {
                        run.plan.run == end.run
                            && run.is_complete()
                            && run.plan.trials == end.trials
                    });
                    let Some(mut run) = run else {
                        return Err(Failure::Protocol("a run ended that is not complete"));
                    };
                    run.decode_ns += now.saturating_sub(since);
                    run.health.damaged_frames += std::mem::take(&mut self.unreported);
                    since = now;
                    finish(&self.reports, run, end.execute_ns, now);
                }
                Message::Health(health) => {
                    self.pings = self.pings.saturating_sub(1);
                    let _ = self.reports.send(Report::Pong(health));
                }
                _ => return Err(Failure::Protocol("a message that only a host may send")),
            }
        }
        self.acknowledge.store(self.expected, Ordering::Relaxed);
        if let Some(run) = self.runs.front_mut() {
            run.decode_ns += (self.clock)().saturating_sub(since);
        }
        Ok(())
    }

    /// How long the device may be silent: the user's patience, and the chip's own time.
    fn patience(&self) -> Duration {
        let chip_ns = self.runs.front().map_or(0, |run| run.plan.chip_ns);
        self.settings.silence + Duration::from_nanos(chip_ns)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience()
    }

    fn timeout(&self, after: Duration) -> Failure {
        Failure::Timeout { after_ms: after.as_millis() as u64, heard: self.heard }
    }

    fn waiting_for(&self) -> &'static str {
        match (self.shape, self.runs.is_empty(), self.pings) {
            (None, ..) => "an answer to hello",
            (_, false, _) => "the results of a run",
            (_, true, 0) => "room for configuration",
            (_, true, _) => "an answer to ping",
        }
    }
}

fn finish(reports: &Sender<Report>, run: Assembler, execute_ns: u64, now: u64) {
    let Assembler { plan, mut observables, health, decode_ns, .. } = run;
    let time = &mut observables.time;
    time.encode_ns = plan.encode_ns;
    time.execute_ns = execute_ns;
    time.decode_ns = decode_ns;
    let total = now.saturating_sub(plan.submitted_ns);
    time.transfer_ns = total.saturating_sub(execute_ns).saturating_sub(decode_ns);
    let _ = reports.send(Report::Run { run: plan.run, observables, health });
}

/// What a frame says to somebody who waits for the answer to hello number `session`.
fn answer(frame: Frame<'_>, session: u32) -> Result<Option<Capabilities>, Failure> {
    let kind = frame.header.kind;
    match Message::decode(kind, frame.body) {
        Ok(Message::Capabilities(body)) if body.session == session => {
            let caps = body.capabilities().map_err(|why| Failure::Malformed { kind, why })?;
            if caps.protocol == PROTOCOL_VERSION {
                return Ok(Some(caps));
            }
            let (got, limit) = (u32::from(PROTOCOL_VERSION), u32::from(caps.protocol));
            let code = RefusalCode::UnknownVersion as u8;
            Err(Failure::Refused(Refusal { code, kind, sequence: 0, got, limit }))
        }
        Ok(Message::Refusal(refusal)) if refusal.kind == Kind::Hello as u8 => {
            Err(Failure::Refused(refusal))
        }
        _ => Ok(None),
    }
}

/// No bytes at all means that the other side is gone.
fn some(n: usize) -> Result<usize, Failure> {
    if n == 0 { Err(Failure::Disconnected) } else { Ok(n) }
}
