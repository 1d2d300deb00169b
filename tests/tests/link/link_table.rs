//! What a line with errors costs: both ends of the window over a serial line of 1 Mbaud in virtual time.
//!
//! The table is a golden file: whoever changes the window sees what it does to goodput and latency.
//! Nothing here depends on the machine; the lines are seeded.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop_hal::link::fault::{Direction, FaultSettings, Line};
use spikeloop_hal::wire::window::{Arrival, Side, Traffic, Window, read_ack};
use spikeloop_hal::wire::{Decoder, Kind, encoded_len};
use std::collections::VecDeque;
use std::fmt::Write;

/// Bodies of the bulk transfer, as sessions and boards send them.
const BODY: usize = 1024;

/// Bytes that a driver takes before its writer has to wait.
const DRIVER: usize = 4096;

/// Bulk: bytes in each direction, both at once.
const BULK: usize = 150 * BODY;

/// Questions and answers of 16 bytes, one after the other.
const PINGS: usize = 200;

struct End {
    window: Window<Vec<u8>>,
    decoder: Decoder<Vec<u8>>,
    queue: VecDeque<Vec<u8>>,
    got: usize,
    damaged: u64,
}

impl End {
    fn new(side: Side, output: usize, places: usize) -> Self {
        Self {
            window: Window::new(side, vec![0; output], vec![0; places * BODY], BODY),
            decoder: Decoder::new(vec![0; encoded_len(BODY)]),
            queue: VecDeque::new(),
            got: 0,
            damaged: 0,
        }
    }

    fn hear(&mut self, mut bytes: &[u8], now_ns: u64) {
        while let Some(frame) = self.decoder.feed(&mut bytes) {
            let Ok(frame) = frame else {
                self.damaged += 1;
                continue;
            };
            if let Ok(ack) = read_ack(&frame) {
                self.window.acknowledgement(frame.header, &ack, now_ns);
            } else if self.window.arrived(frame.header, frame.body, now_ns) == Arrival::Next {
                self.got += frame.body.len();
                self.window.consumed(now_ns);
                while let Some((_, body)) = self.window.next() {
                    self.got += body.len();
                    self.window.consumed(now_ns);
                }
            }
        }
    }

    fn speak(&mut self, line: &mut Line, now_ns: u64) {
        while let Some(body) = self.queue.front()
            && self.window.has_room(body.len())
        {
            self.window.send(Kind::Result, body, now_ns).unwrap();
            self.queue.pop_front();
        }
        loop {
            let room = DRIVER.saturating_sub(line.queued());
            let pending = self.window.pending(now_ns);
            let n = pending.len().min(room);
            if n == 0 {
                return;
            }
            line.push(now_ns / 1000, &pending[..n]);
            self.window.taken(n, now_ns);
        }
    }
}

struct Cable {
    host: End,
    device: End,
    up: Line,
    down: Line,
    now_us: u64,
}

impl Cable {
    fn new(faults: &FaultSettings) -> Self {
        // A window of 16 frames at the device is 16 KiB of its memory.
        let (mut host, mut device) =
            (End::new(Side::Host, 40_000, 32), End::new(Side::Device, 40_000, 16));
        host.window.restart(7, 500, device.window.capacity());
        device.window.restart(500, 7, host.window.capacity());
        let (up, down) = (Line::new(faults, Direction::Up), Line::new(faults, Direction::Down));
        Self { host, device, up, down, now_us: 0 }
    }

    /// Moves the time on to the next event.
    fn step(&mut self) {
        let windows = [self.host.window.deadline(), self.device.window.deadline()];
        let timers = windows.map(|at| at.map(|at| at.div_ceil(1000)));
        let next = [self.up.next_due(), self.down.next_due()].into_iter().chain(timers).flatten();
        self.now_us = next.min().unwrap_or(self.now_us).max(self.now_us + 1);
        assert!(self.now_us < 600_000_000, "ten minutes of virtual time: nothing moves any more");
        self.settle();
    }

    /// Lets everything happen that happens now.
    fn settle(&mut self) {
        let now = self.now_us * 1000;
        let came = self.up.pop(self.now_us);
        self.device.hear(&came, now);
        let came = self.down.pop(self.now_us);
        self.host.hear(&came, now);
        self.host.speak(&mut self.up, now);
        self.device.speak(&mut self.down, now);
    }

    /// Both directions at once. Bytes a second of the slower one.
    fn bulk(&mut self) -> f64 {
        let start = self.now_us;
        let bodies = || (0..BULK / BODY).map(|k| vec![k as u8 | 1; BODY]);
        self.host.queue.extend(bodies());
        self.device.queue.extend(bodies());
        self.settle();
        let (host, device) = (self.host.got + BULK, self.device.got + BULK);
        while self.host.got < host || self.device.got < device {
            self.step();
        }
        BULK as f64 / (self.now_us - start) as f64 * 1e6
    }

    /// Questions and answers; round trips in µs, ascending.
    fn pings(&mut self) -> Vec<u64> {
        let mut times = Vec::new();
        for _ in 0..PINGS {
            let start = self.now_us;
            let (host, device) = (self.host.got + 16, self.device.got + 16);
            self.host.queue.push_back(vec![5; 16]);
            self.settle();
            while self.device.got < device {
                self.step();
            }
            self.device.queue.push_back(vec![6; 16]);
            self.settle();
            while self.host.got < host {
                self.step();
            }
            times.push(self.now_us - start);
        }
        times.sort_unstable();
        times
    }
}

/// Goodput of the bulk transfer in bytes a second, and a line of the table.
fn measure(faults: &str, clean: Option<f64>) -> (f64, String) {
    let settings: FaultSettings = format!("baud=1000000,seed=11,{faults}").parse().unwrap();
    let mut cable = Cable::new(&settings);
    let goodput = cable.bulk();
    let sum = |a: Traffic, b: Traffic| (a.resent + b.resent, a.probes + b.probes);
    let (resent, probes) = sum(cable.host.window.traffic(), cable.device.window.traffic());
    let damaged = cable.host.damaged + cable.device.damaged;
    let mut cable = Cable::new(&settings);
    let times = cable.pings();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let line = format!(
        "{:<28} {:>6.1} {:>6.1} {:>8.2} {:>8.2} {:>7} {:>7} {:>6}",
        if faults.is_empty() { "clean" } else { faults },
        goodput / 1e3,
        100.0 * goodput / clean.unwrap_or(goodput),
        at(0.5),
        at(0.99),
        damaged,
        resent,
        probes,
    );
    (goodput, line)
}

#[test]
fn goodput_and_latency_against_loss() {
    let mut table = format!(
        "{:<28} {:>6} {:>6} {:>8} {:>8} {:>7} {:>7} {:>6}\n",
        "line (1 Mbaud)", "kB/s", "%", "p50 ms", "p99 ms", "damaged", "resent", "probes"
    );
    let (clean, line) = measure("", None);
    writeln!(table, "{line}").unwrap();
    let rows = [
        "flip=1e-5",
        "flip=1e-4",
        "flip=1e-3",
        "loss=1e-5",
        "loss=1e-4",
        "loss=1e-3",
        "drop=0.01",
        "dup=0.01",
        "reorder=0.01",
        "stall=0.01:20ms",
        "flip=1e-4,stall=0.01:20ms",
    ];
    for faults in rows {
        let (goodput, line) = measure(faults, Some(clean));
        writeln!(table, "{line}").unwrap();
        if faults == "flip=1e-4" || faults == "loss=1e-4" {
            assert!(goodput >= 0.8 * clean, "{line}");
        }
    }
    insta::assert_snapshot!(table);
}
