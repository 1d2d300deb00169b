//! Both ends against a reference: what was sent arrives once, in order, whatever the line does.

use super::*;
use crate::wire::frame::Decoder;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const BODY: usize = 64;

/// What happens to a frame on the line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Arrives,
    Lost,
    Damaged,
    Twice,
    Late(u64),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Damaged),
        1 => Just(Fate::Twice),
        1 => (1u64..40).prop_map(|ms| Fate::Late(ms * 1_000_000)),
    ]
}

/// One end with what it has to send and what it got.
struct End {
    window: Window<Vec<u8>>,
    decoder: Decoder<Vec<u8>>,
    to_send: VecDeque<Vec<u8>>,
    got: Vec<Vec<u8>>,
    /// For how many turns the owner has no use for what comes.
    busy: VecDeque<u8>,
}

impl End {
    fn new(side: Side, output: usize, places: usize, to_send: Vec<Vec<u8>>, busy: Vec<u8>) -> Self {
        Self {
            window: Window::new(side, vec![0; output], vec![0; places * BODY], BODY),
            decoder: Decoder::new(vec![0; encoded_len(BODY)]),
            to_send: to_send.into(),
            got: vec![],
            busy: busy.into(),
        }
    }

    fn hear(&mut self, mut bytes: &[u8], now: u64) {
        while let Some(frame) = self.decoder.feed(&mut bytes) {
            let Ok(frame) = frame else { continue };
            let header = frame.header;
            if let Ok(ack) = read_ack(&frame) {
                self.window.acknowledgement(header, &ack, now);
            } else if self.window.arrived(header, frame.body, now) == Arrival::Next {
                self.window.keep(header.kind, frame.body);
            }
        }
    }

    fn work(&mut self, now: u64) {
        let busy = self.busy.front_mut().filter(|busy| **busy > 0);
        if let Some(busy) = busy {
            *busy -= 1;
        } else {
            self.busy.pop_front();
            while let Some((_, body)) = self.window.next() {
                self.got.push(body.to_vec());
                self.window.consumed(now);
                if !self.busy.is_empty() {
                    break;
                }
            }
        }
        while let Some(body) = self.to_send.front()
            && self.window.has_room(body.len())
        {
            self.window.send(Kind::Result, body, now).unwrap();
            self.to_send.pop_front();
        }
    }

    fn is_done(&self, expected: usize) -> bool {
        self.to_send.is_empty() && self.window.is_empty() && self.got.len() == expected
    }
}

/// Bytes on their way, by the time at which they come out.
#[derive(Default)]
struct Line {
    flying: BTreeMap<(u64, u64), Vec<u8>>,
    fates: VecDeque<Fate>,
    number: u64,
    /// Longest number of bytes that the line takes at once.
    bite: usize,
    /// Bytes of a frame of which the end was not taken yet.
    partial: Vec<u8>,
}

impl Line {
    fn carry(&mut self, from: &mut End, now: u64) {
        loop {
            let pending = from.window.pending(now);
            let n = pending.len().min(self.bite);
            if n == 0 {
                return;
            }
            self.partial.extend_from_slice(&pending[..n]);
            from.window.taken(n, now);
            while let Some(end) = self.partial.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.partial.drain(..=end).collect();
                self.fly(frame, now + 1_000_000);
            }
        }
    }

    fn fly(&mut self, mut frame: Vec<u8>, at: u64) {
        self.number += 1;
        match self.fates.pop_front().unwrap_or(Fate::Arrives) {
            Fate::Arrives => {}
            Fate::Lost => return,
            Fate::Damaged => frame[0] ^= 0x10,
            Fate::Twice => {
                self.flying.insert((at + 500_000, self.number), frame.clone());
            }
            Fate::Late(by) => {
                self.flying.insert((at + by, self.number), frame);
                return;
            }
        }
        self.flying.insert((at, self.number), frame);
    }

    fn land(&mut self, to: &mut End, now: u64) {
        while let Some(((at, _), _)) = self.flying.first_key_value()
            && *at <= now
        {
            let (_, bytes) = self.flying.pop_first().unwrap();
            to.hear(&bytes, now);
        }
    }
}

fn bodies(count: usize, tag: u8) -> Vec<Vec<u8>> {
    (0..count).map(|k| vec![tag, k as u8, (k >> 8) as u8][..1 + k % 3].repeat(1 + k % 20)).collect()
}

/// Drives both ends until everything is delivered. The time that it took.
fn converse(host: &mut End, device: &mut End, up: &mut Line, down: &mut Line) -> Option<u64> {
    let (to_host, to_device) = (device.to_send.len(), host.to_send.len());
    for step in 0..60_000u64 {
        let now = step * 1_000_000;
        up.land(device, now);
        down.land(host, now);
        host.work(now);
        device.work(now);
        up.carry(host, now);
        down.carry(device, now);
        if host.is_done(to_host) && device.is_done(to_device) {
            return Some(now);
        }
    }
    None
}

fn pair(first: u16, places: usize, output: usize, count: usize, busy: Vec<u8>) -> (End, End) {
    let mut host = End::new(Side::Host, 4096, 32, bodies(count, 1), vec![]);
    let mut device = End::new(Side::Device, output, places, bodies(count / 2, 2), busy);
    let other = first.wrapping_mul(7);
    host.window.restart(first, other, device.window.capacity());
    device.window.restart(other, first, host.window.capacity());
    (host, device)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn everything_arrives_once_and_in_order(
        up in prop::collection::vec(fate(), 0..200),
        down in prop::collection::vec(fate(), 0..200),
        first in any::<u16>(), places in 1usize..40, output in 160usize..2000,
        count in 0usize..150, busy in prop::collection::vec(0u8..20, 0..30), bite in 1usize..200,
    ) {
        let (mut host, mut device) = pair(first, places, output, count, busy);
        let (said, answered) = (bodies(count, 1), bodies(count / 2, 2));
        let mut up = Line { fates: up.into(), bite, ..Line::default() };
        let mut down = Line { fates: down.into(), bite, ..Line::default() };
        let end = converse(&mut host, &mut device, &mut up, &mut down);
        prop_assert_eq!(&device.got, &said);
        prop_assert_eq!(&host.got, &answered);
        prop_assert!(end.is_some(), "something was never acknowledged");
        let (a, b) = (host.window.traffic(), device.window.traffic());
        prop_assert_eq!((a.sent, b.sent), (count as u64, count as u64 / 2));
        prop_assert_eq!((a.delivered, b.delivered), (count as u64 / 2, count as u64));
    }

    #[test]
    fn nonsense_from_the_other_side_changes_nothing_for_good(
        acks in prop::collection::vec((any::<u16>(), any::<u32>(), any::<u16>(), any::<u16>(), any::<u16>()), 0..60),
        frames in prop::collection::vec((any::<u16>(), 0usize..80), 0..60),
    ) {
        let (mut host, _) = pair(0, 32, 2000, 0, vec![]);
        host.window.send(Kind::Ping, &[1, 2, 3], 0).unwrap();
        for (at, (acknowledge, received, limit, probe, echo)) in acks.into_iter().enumerate() {
            let header = Header { acknowledge, ..Header::default() };
            let ack = Ack { received, limit, probe, echo };
            host.window.acknowledgement(header, &ack, at as u64);
            let n = host.window.pending(at as u64).len();
            host.window.taken(n, at as u64);
        }
        for (sequence, len) in frames {
            let header = Header { sequence, ..Header::default() };
            let _ = host.window.arrived(header, &vec![7; len], 99);
        }
        prop_assert!(host.window.next().is_none());
    }
}

#[test]
fn a_clean_line_carries_every_frame_once() {
    let (mut host, mut device) = pair(65_530, 8, 2000, 400, vec![]);
    let mut up = Line { bite: 1000, ..Line::default() };
    let mut down = Line { bite: 1000, ..Line::default() };
    converse(&mut host, &mut device, &mut up, &mut down).unwrap();
    let (a, b) = (host.window.traffic(), device.window.traffic());
    assert_eq!((a.resent, b.resent, a.duplicates, b.duplicates), (0, 0, 0, 0));
    assert_eq!((a.beyond, b.beyond, a.early, b.early), (0, 0, 0, 0));
}

#[test]
fn a_slow_owner_is_asked_but_nothing_is_sent_twice() {
    let (mut host, mut device) = pair(0, 4, 2000, 40, vec![200; 3]);
    let mut up = Line { bite: 1000, ..Line::default() };
    let mut down = Line { bite: 1000, ..Line::default() };
    converse(&mut host, &mut device, &mut up, &mut down).unwrap();
    assert!(host.window.traffic().probes > 0);
    assert_eq!((host.window.traffic().resent, device.window.traffic().duplicates), (0, 0));
}

#[test]
fn a_lost_tail_is_found_by_one_probe_and_only_what_was_lost_is_sent_again() {
    let (mut host, mut device) = pair(0, 32, 2000, 6, vec![]);
    let mut fates = vec![Fate::Arrives; 7];
    (fates[2], fates[6]) = (Fate::Lost, Fate::Lost);
    let mut up = Line { fates: fates.into(), bite: 1000, ..Line::default() };
    let mut down = Line { bite: 1000, ..Line::default() };
    let end = converse(&mut host, &mut device, &mut up, &mut down).unwrap();
    // The zero byte at the beginning counts as a frame of the line.
    assert_eq!(host.window.traffic().resent, 2);
    assert!(end < 200_000_000, "{end}");
}

#[test]
fn an_idle_end_that_waits_asks_whether_the_other_one_is_there() {
    let (mut host, mut device) = pair(0, 32, 2000, 0, vec![]);
    host.window.set_waiting(true, 0);
    let (mut up, mut down) =
        (Line { bite: 99, ..Line::default() }, Line { bite: 99, ..Line::default() });
    for now in (0..3_000_000_000).step_by(1_000_000) {
        up.land(&mut device, now);
        down.land(&mut host, now);
        up.carry(&mut host, now);
        down.carry(&mut device, now);
    }
    let probes = host.window.traffic().probes;
    assert!((4..=6).contains(&probes), "{probes}");
    assert_eq!(device.window.traffic().acks, probes);
}
