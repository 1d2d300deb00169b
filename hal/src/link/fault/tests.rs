//! Lines with faults: determinism, timing, rates; the link under a clock that tests move.

use super::*;
use crate::link::memory;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn line(settings: &str) -> Line {
    Line::new(&settings.parse().unwrap(), Direction::Up)
}

/// Numbers in frames of `len` bytes, the ending zero included.
fn frames(count: usize, len: usize) -> Vec<u8> {
    let byte = |k: usize| if k % len == len - 1 { 0 } else { (k / len % 255 + 1) as u8 };
    (0..count * len).map(byte).collect()
}

/// Everything that comes out, with the time of each byte.
fn drain(line: &mut Line) -> Vec<(u64, u8)> {
    let mut out = Vec::new();
    while let Some(due) = line.next_due() {
        out.extend(line.pop(due).into_iter().map(|byte| (due, byte)));
    }
    out
}

fn bytes(timed: &[(u64, u8)]) -> Vec<u8> {
    timed.iter().map(|(_, byte)| *byte).collect()
}

#[test]
fn a_clean_line_gives_what_it_was_given_at_once() {
    let mut line = line("");
    let sent = frames(10, 7);
    line.push(5, &sent);
    assert_eq!((line.next_due(), line.queued()), (Some(5), 70));
    assert!(line.pop(4).is_empty(), "nothing comes before it was sent");
    assert_eq!(line.pop(5), sent);
    assert_eq!((line.next_due(), line.queued()), (None, 0));
}

#[test]
fn a_byte_takes_ten_bits() {
    let mut line = line("baud=3000000");
    // One byte at a time: nothing is rounded from byte to byte.
    for _ in 0..3000 {
        line.push(100, &[1]);
    }
    assert_eq!(line.next_due(), Some(104));
    assert_eq!(line.pop(100 + 9_999).len(), 2999);
    assert_eq!(line.next_due(), Some(10_100));
    assert_eq!(line.pop(10_100).len(), 1);
    // An idle line begins anew.
    line.push(20_000, &[1, 2]);
    assert_eq!(line.pop(20_007), [1, 2]);
}

#[test]
fn lost_bytes_and_frames_take_their_time() {
    for settings in ["loss=1,baud=1000000", "drop=1,baud=1000000"] {
        let mut lossy = line(settings);
        lossy.push(0, &frames(1, 100));
        assert_eq!((lossy.queued(), lossy.next_due()), (0, None), "{settings}");
        let free = lossy.free(0);
        assert_eq!(free, 1_000_000, "{settings}: {free}");
    }
}

#[test]
fn bytes_behind_lost_ones_keep_their_time() {
    let mut lossy = line("loss=0.5,baud=1000000,seed=4");
    let sent: Vec<u8> = (1..=200).collect();
    lossy.push(0, &sent);
    let out = drain(&mut lossy);
    assert!((60..140).contains(&out.len()), "{}", out.len());
    assert!(out.iter().all(|(time, byte)| *time == 10 * u64::from(*byte)), "{out:?}");
}

#[test]
fn frames_are_dropped_repeated_and_overtaken() {
    let sent = frames(4, 3);
    let mut twice = line("dup=1");
    twice.push(0, &sent);
    let out = [1, 1, 0, 1, 1, 0, 2, 2, 0, 2, 2, 0, 3, 3, 0, 3, 3, 0, 4, 4, 0, 4, 4, 0];
    assert_eq!(twice.pop(0), out);
    let mut swapped = line("reorder=1");
    swapped.push(0, &sent);
    assert_eq!(swapped.pop(0), [2, 2, 0, 1, 1, 0, 4, 4, 0, 3, 3, 0]);
    assert_eq!(swapped.counts().reordered_frames, 2, "only what was really held back");
    let mut gone = line("drop=1");
    gone.push(0, &sent);
    gone.push(0, &[0, 0]);
    assert_eq!(gone.pop(0), [0, 0], "idle zeros are no frames");
    assert_eq!(gone.counts().dropped_frames, 4);
}

#[test]
fn a_frame_that_nothing_overtakes_comes_late() {
    let mut line = line("reorder=1");
    line.push(10, &[1, 2, 0]);
    assert_eq!((line.queued(), line.next_due()), (0, Some(5010)));
    assert!(line.pop(5009).is_empty());
    assert_eq!(line.pop(5010), [1, 2, 0]);
}

#[test]
fn a_stall_stops_the_line_before_a_frame() {
    let mut line = line("stall=1:2ms,baud=1000000");
    line.push(0, &frames(2, 10));
    let out = drain(&mut line);
    let times: Vec<_> = out.iter().map(|(time, _)| *time).collect();
    let first = (1..=10).map(|k| 2000 + 10 * k);
    let second = (1..=10).map(|k| 4100 + 10 * k);
    assert_eq!(times, first.chain(second).collect::<Vec<_>>());
    assert_eq!(line.counts().stalls, 2);
}

#[test]
fn the_cable_is_pulled_after_so_many_bytes() {
    let mut line = line("reset=5");
    line.push(0, &[1, 2]);
    assert!(!line.is_cut());
    line.push(0, &[3, 4, 5, 6, 7]);
    assert!(line.is_cut());
    line.push(0, &[8]);
    assert_eq!(line.pop(0), [1, 2, 3, 4, 5]);
    assert_eq!((line.counts().resets, line.counts().bytes), (1, 5));
    let twice: FaultSettings = "reset=5x2".parse().unwrap();
    let cut = |connection| {
        let mut line = Line::connection(&twice, Direction::Down, connection);
        line.push(0, &[1; 9]);
        line.is_cut()
    };
    assert_eq!([0, 1, 2, 3].map(cut), [true, true, false, false]);
}

#[test]
fn rates_are_what_they_are_said_to_be() {
    let mut line = line("loss=1e-3,flip=2e-3,seed=11");
    let sent = vec![0x55; 1_000_000];
    line.push(0, &sent);
    let out = line.pop(0);
    let counts = line.counts();
    let flipped = out.iter().filter(|byte| **byte != 0x55).count() as u64;
    assert!(out.iter().all(|byte| (byte ^ 0x55).count_ones() <= 1));
    assert_eq!(counts.flipped_bytes, flipped);
    assert_eq!(counts.lost_bytes, 1_000_000 - out.len() as u64);
    // Within four standard deviations of a binomial distribution.
    assert!(counts.lost_bytes.abs_diff(1000) < 130, "{counts:?}");
    assert!(flipped.abs_diff(2000) < 180, "{counts:?}");
    let bits = out.iter().fold(0, |bits, byte| bits | (byte ^ 0x55));
    assert_eq!(bits, 0xFF, "every bit is hit");
}

/// What a seed means must not change: reported runs name it.
#[test]
fn golden_places_of_faults() {
    let places = |direction, connection| {
        let settings = "flip=0.01,seed=3".parse().unwrap();
        let mut line = Line::connection(&settings, direction, connection);
        line.push(0, &[0xFF; 600]);
        let out = line.pop(0);
        let hit = out.iter().enumerate().filter(|(_, byte)| **byte != 0xFF);
        hit.map(|(k, byte)| (k, !byte)).collect::<Vec<_>>()
    };
    assert_eq!(places(Direction::Up, 0), GOLDEN_UP);
    assert_ne!(places(Direction::Down, 0), GOLDEN_UP);
    assert_ne!(places(Direction::Up, 1), GOLDEN_UP);
}

const GOLDEN_UP: [(usize, u8); 4] = [(38, 32), (103, 8), (251, 8), (266, 8)];

#[test]
fn texts_say_what_is_wrong() {
    let said = |text: &str| text.parse::<FaultSettings>().unwrap_err().to_string();
    assert!(said("los=1").contains("did you mean \"loss\"?"));
    assert!(said("up.seed=1").contains("there is no fault \"up.seed\""));
    assert!(said("left.loss=1").contains("up. or down. in front"));
    assert!(said("loss").contains("key=value"));
    assert!(said("loss=").contains("key=value"));
    assert!(said("loss=1,loss=0").contains("twice"));
    assert!(said("loss=1.5").contains("from 0 to 1"));
    assert!(said("loss=nan").contains("from 0 to 1"));
    for stall in ["0.1", "0.1:20", "2:20ms", "0.1:0ms", "0.1:2h", "0.1:99999999999s"] {
        assert!(said(&format!("stall={stall}")).contains("0.001:20ms"), "{stall}");
    }
    assert!(said("baud=2000000000").contains("at most 1000000000"));
    assert!(said("down.reset=5x").contains("20000x3"));
    assert!(said("seed=-1").contains("whole number"));
}

#[test]
fn one_direction_or_both() {
    let same = |text: &str| assert_eq!(text.parse::<FaultSettings>().unwrap().to_string(), text);
    same("");
    same("loss=0.0001,drop=0.01,stall=0.001:20ms,baud=1000000,reset=20000x3,seed=3");
    same("up.flip=0.5,down.flip=0.25,down.stall=0.5:1500us");
    let mixed: FaultSettings = "loss=0.1,up.loss=0.2,stall=0,reset=0,baud=0".parse().unwrap();
    assert_eq!(mixed.to_string(), "up.loss=0.2,down.loss=0.1");
    assert!(!mixed.is_clean() && "seed=4".parse::<FaultSettings>().unwrap().is_clean());
}

fn some_line() -> impl Strategy<Value = LineSettings> {
    let chance = || prop_oneof![2 => Just(0.0), 2 => 0.0..1.0f64, 1 => Just(1.0), 1 => Just(1e-3)];
    let stall = (chance(), 1..5_000_000u64)
        .prop_map(|(probability, us)| (probability > 0.0).then_some(Stalls { probability, us }));
    let resets = (1..3000u64, proptest::option::of(1..4u64))
        .prop_map(|(after, times)| Resets { after, times });
    let chances = (chance(), chance(), chance(), chance(), chance());
    let rest =
        (stall, proptest::option::of(1..5_000_000u32), proptest::option::weighted(0.2, resets));
    (chances, rest).prop_map(|((loss, flip, drop, dup, reorder), (stall, baud, reset))| {
        LineSettings { loss, flip, drop, dup, reorder, stall, baud, reset }
    })
}

fn some_settings() -> impl Strategy<Value = FaultSettings> {
    let pair = prop_oneof![some_line().prop_map(|l| (l, l)), (some_line(), some_line())];
    (pair, any::<u64>()).prop_map(|((up, down), seed)| FaultSettings { up, down, seed })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(settings in some_settings()) {
        prop_assert_eq!(settings.to_string().parse::<FaultSettings>(), Ok(settings));
    }

    #[test]
    fn no_text_makes_it_panic(text in "(up\\.|down\\.)?[a-z=,.:0-9xe-]{0,40}") {
        if let Ok(settings) = text.parse::<FaultSettings>() {
            prop_assert_eq!(settings.to_string().parse::<FaultSettings>(), Ok(settings));
        }
    }

    /// The same bytes at the same times, however they are cut; and what is taken in pieces is the same.
    #[test]
    fn cuts_change_nothing(
        settings in some_settings(),
        sent in proptest::collection::vec(prop_oneof![1 => Just(0), 4 => any::<u8>()], 0..2000),
        cuts in proptest::collection::vec(0..2000usize, 0..12),
    ) {
        let mut whole = Line::new(&settings, Direction::Up);
        whole.push(3, &sent);
        let mut cut = Line::new(&settings, Direction::Up);
        let mut cuts: Vec<_> = cuts.into_iter().map(|at| at.min(sent.len())).collect();
        cuts.extend([0, sent.len()]);
        cuts.sort_unstable();
        for window in cuts.windows(2) {
            cut.push(3, &sent[window[0]..window[1]]);
        }
        prop_assert_eq!(whole.is_cut(), cut.is_cut());
        prop_assert_eq!(whole.counts(), cut.counts());
        let mut pieces = Vec::new();
        let mut small = [0; 3];
        while let Some(due) = cut.next_due() {
            // A frame that is held back gives no byte when it is lost after all.
            let n = cut.pop_into(due, &mut small);
            pieces.extend(small[..n].iter().map(|byte| (due, *byte)));
        }
        let out = drain(&mut whole);
        prop_assert!(out.windows(2).all(|pair| pair[0].0 <= pair[1].0), "times ascend");
        prop_assert_eq!(out, pieces);
    }

    /// Without faults of bytes, what arrives is made of whole frames that were sent.
    #[test]
    fn frames_stay_whole(drop in 0.0..0.5f64, dup in 0.0..0.5f64, reorder in 0.0..0.5f64, seed: u64) {
        let one = LineSettings { drop, dup, reorder, ..LineSettings::default() };
        let mut line = Line::new(&FaultSettings { up: one, down: one, seed }, Direction::Up);
        line.push(0, &frames(200, 5));
        let out = bytes(&drain(&mut line));
        let counts = line.counts();
        prop_assert_eq!(
            out.len() as u64 / 5,
            200 - counts.dropped_frames + counts.duplicated_frames
        );
        for frame in out.chunks(5) {
            prop_assert!(frame[4] == 0 && frame[..4].iter().all(|b| *b == frame[0] && *b > 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_link_keeps_the_rate_both_ways() {
    let (host, mut device) = memory::pair();
    let faults = Faults::new("up.baud=1000000,down.baud=100000".parse().unwrap());
    let (mut read, mut write) = tokio::io::split(faults.wrap(Box::new(host)));
    let sent = frames(100, 100);
    let start = Instant::now();
    let echo = async {
        let mut all = vec![0; 10_000];
        device.read_exact(&mut all).await.unwrap();
        let there = start.elapsed();
        device.write_all(&all[..1000]).await.unwrap();
        (all, there)
    };
    let mut back = vec![0; 1000];
    let (written, (all, there), answer) =
        tokio::join!(write.write_all(&sent), echo, read.read_exact(&mut back));
    written.unwrap();
    answer.unwrap();
    assert_eq!((all, back), (sent.clone(), sent[..1000].to_vec()));
    // 10 000 bytes at 1 Mbaud, 1000 at 100 kbaud; timers of the runtime count in milliseconds.
    assert!((100..=103).contains(&there.as_millis()), "{there:?}");
    let total = start.elapsed().as_millis();
    assert!((200..=206).contains(&total), "{total}");
    assert_eq!((faults.counts().up.bytes, faults.counts().down.bytes), (10_000, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_pulled_cable_ends_both_directions() {
    let (host, mut device) = memory::pair();
    let faults = Faults::new("up.reset=4x1".parse().unwrap());
    let mut link = faults.wrap(Box::new(host));
    device.write_all(&[1]).await.unwrap();
    assert_eq!(link.read_u8().await.unwrap(), 1);
    let error = link.write_all(&[9; 10]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(link.read(&mut [0; 4]).await.unwrap(), 0, "the end of the stream");
    assert_eq!(link.flush().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(faults.counts().up.resets, 1);
    // The next connection lasts.
    let (host, mut device) = memory::pair();
    let mut link = faults.wrap(Box::new(host));
    link.write_all(&[9; 10]).await.unwrap();
    link.flush().await.unwrap();
    device.read_exact(&mut [0; 10]).await.unwrap();
    drop(device);
    assert_eq!(link.read(&mut [0; 4]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_waits_is_woken_by_a_reader_in_another_task() {
    let (host, mut device) = memory::pair();
    let link = wrap(Box::new(host), &"baud=1000000".parse().unwrap());
    let (mut read, mut write) = tokio::io::split(link);
    let reader = tokio::spawn(async move { read.read_u8().await });
    let writer = tokio::spawn(async move { write.write_all(&vec![1; 50_000]).await });
    let mut all = vec![0; 50_000 - ROOM];
    device.read_exact(&mut all).await.unwrap();
    writer.await.unwrap().unwrap();
    device.read_exact(&mut [0; ROOM]).await.unwrap();
    device.write_all(&[5]).await.unwrap();
    assert_eq!(reader.await.unwrap().unwrap(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_long_frame_that_is_held_back_leaves_room_for_the_next() {
    let (host, mut device) = memory::pair();
    let mut link = wrap(Box::new(host), &"reorder=1".parse().unwrap());
    let (first, second) = (frames(1, 20_000), vec![7, 0]);
    link.write_all(&first).await.unwrap();
    link.write_all(&second).await.unwrap();
    link.flush().await.unwrap();
    let mut all = vec![0; 20_002];
    device.read_exact(&mut all).await.unwrap();
    assert_eq!(all[..2], second);
    assert_eq!(all[2..], first);
}
