//! The one task that touches the link: it reads and writes at the same time, so that host and device
//! never wait for each other with full buffers, and opens the link again when it breaks.

use super::exchange::{Exchange, Order, Report};
use super::failure::{Failure, Remedy};
use super::{Clock, Opener, Settings};
use crate::error::Error;
use crate::link::BoxLink;
use std::io;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

/// Bytes read from the link at a time.
const CHUNK: usize = 64 * 1024;

/// First and longest pause between two attempts to open a link again.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What happened.
enum Event {
    Order(Option<Order>),
    Came(io::Result<usize>),
    Went(io::Result<usize>),
    Time,
}

/// Why a conversation, or the wait for one, ended.
enum End {
    /// The session was dropped.
    Closed,
    Broken(Failure),
}

/// The task.
pub(super) struct Actor {
    exchange: Exchange,
    settings: Settings,
    opener: Opener,
    reports: Sender<Report>,
    start: Instant,
    /// When the trouble began that no complete run has ended yet, and how long to pause next.
    trouble: Option<(Instant, Duration)>,
}

impl Actor {
    pub(super) fn new(
        opener: Opener,
        settings: Settings,
        clock: Clock,
        reports: Sender<Report>,
    ) -> Self {
        let exchange = Exchange::new(settings, clock);
        Self { exchange, settings, opener, reports, start: Instant::now(), trouble: None }
    }

    /// Lives until the session drops its end of `orders`, or until something fails for good.
    pub(super) async fn live(mut self, mut orders: UnboundedReceiver<Order>) {
        if let End::Broken(failure) = self.work(&mut orders).await {
            let waiting_for = self.exchange.waiting_for();
            // The session may be gone already; then nobody wants to know.
            let _ = self.reports.send(Report::Failed { failure, waiting_for });
        }
    }

    async fn work(&mut self, orders: &mut UnboundedReceiver<Order>) -> End {
        let mut link = match (self.opener)().await {
            Ok(link) => link,
            Err(error) => return End::Broken(Failure::Open(error)),
        };
        self.exchange.greet(self.now());
        loop {
            let failure = match self.talk(&mut link, orders).await {
                End::Broken(failure) => failure,
                End::Closed => return End::Closed,
            };
            let remedy = failure.remedy();
            if remedy == Remedy::None || !self.exchange.was_open() {
                return End::Broken(failure);
            }
            let back = match self.pause(failure, orders).await {
                Ok(failure) if remedy == Remedy::NewLink => self.reopen(failure, orders).await,
                Ok(failure) => Ok((failure, None)),
                Err(end) => Err(end),
            };
            match back {
                Ok((_, Some(new))) => link = new,
                Ok((_, None)) => {}
                Err(end) => return end,
            }
            self.exchange.recover(self.now());
        }
    }

    /// Moves bytes until the link breaks, the device makes no sense, or the session is dropped.
    async fn talk(&mut self, link: &mut BoxLink, orders: &mut UnboundedReceiver<Order>) -> End {
        let (mut reader, mut writer) = tokio::io::split(link);
        let mut chunk = vec![0; CHUNK];
        loop {
            let now = self.now();
            let deadline = self.exchange.deadline().map(|at| self.start + Duration::from_nanos(at));
            let out = self.exchange.transmit(now);
            let event = tokio::select! {
                order = orders.recv() => Event::Order(order),
                came = reader.read(&mut chunk) => Event::Came(came),
                went = writer.write(out), if !out.is_empty() => Event::Went(went),
                () = sleep_until(deadline.unwrap_or(self.start)), if deadline.is_some() => {
                    Event::Time
                }
            };
            let now = self.now();
            let result = match event {
                Event::Order(None) => return End::Closed,
                Event::Order(Some(order)) => {
                    self.exchange.order(order, now);
                    Ok(())
                }
                Event::Came(Ok(0)) | Event::Went(Ok(0)) => Err(Failure::Disconnected),
                Event::Came(Ok(n)) => self.exchange.receive(&chunk[..n], now),
                Event::Went(Ok(n)) => {
                    self.exchange.sent(n, now);
                    Ok(())
                }
                Event::Came(Err(error)) | Event::Went(Err(error)) => Err(Failure::Io(error)),
                Event::Time => Ok(()),
            };
            self.report();
            if let Err(failure) = result.and_then(|()| self.exchange.tick(now)) {
                return End::Broken(failure);
            }
        }
    }

    /// Hands on what came back.
    fn report(&mut self) {
        for report in self.exchange.reports() {
            if matches!(report, Report::Run { .. }) && self.trouble.take().is_some() {
                tracing::info!("the device is back: nothing was lost");
            }
            let _ = self.reports.send(report);
        }
    }

    /// Waits before the next attempt, longer each time, until the user's patience ends. With nothing
    /// to do it waits for an order first: a device that was switched off after work is no trouble.
    async fn pause(
        &mut self,
        failure: Failure,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Result<Failure, End> {
        if self.exchange.is_idle() {
            let Some(order) = orders.recv().await else { return Err(End::Closed) };
            self.exchange.order(order, self.now());
        }
        let fresh = (Instant::now(), PAUSE);
        if self.trouble.is_none() {
            tracing::warn!("{failure}: trying to get the device back");
        }
        let (since, pause) = *self.trouble.get_or_insert(fresh);
        if since.elapsed() >= self.settings.recovery {
            return Err(End::Broken(failure));
        }
        self.trouble = Some((since, (pause * 2).min(LONGEST_PAUSE)));
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return Ok(failure),
                order = orders.recv() => match order {
                    Some(order) => self.exchange.order(order, self.now()),
                    None => return Err(End::Closed),
                },
            }
        }
    }

    /// Opens the link again.
    async fn reopen(
        &mut self,
        mut failure: Failure,
        orders: &mut UnboundedReceiver<Order>,
    ) -> Result<(Failure, Option<BoxLink>), End> {
        loop {
            match (self.opener)().await {
                Ok(link) => return Ok((failure, Some(link))),
                Err(error) if !may_pass(&error) => return Err(End::Broken(failure)),
                Err(error) => tracing::debug!(%error, "not back yet"),
            }
            failure = self.pause(failure, orders).await?;
        }
    }

    /// Nanoseconds since this task began.
    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Whether a device that could not be opened may be there a moment later: it restarts, it is being
/// plugged in, its server still holds the old connection, the system has not set its rights yet.
fn may_pass(error: &Error) -> bool {
    matches!(
        error,
        Error::NoDevice { .. }
            | Error::DeviceInUse { .. }
            | Error::Permission { .. }
            | Error::Open { .. }
            | Error::Link { .. }
    )
}
