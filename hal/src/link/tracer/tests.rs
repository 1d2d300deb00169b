//! Traces as text and as captures, of good and of damaged bytes.

use super::*;
use crate::link::memory;
use crate::wire::{Header, Hello, Refusal, Writer};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A file in memory that can be looked at.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn frame(kind: u8, sequence: u16, acknowledge: u16, body: &[u8]) -> Vec<u8> {
    let header = Header { version: 1, kind, sequence, acknowledge };
    let mut line = vec![0; encoded_len(body.len())];
    let n = Frame { header, body }.encode(&mut line).unwrap();
    line.truncate(n);
    line
}

fn message(sequence: u16, acknowledge: u16, message: Message<'_>) -> Vec<u8> {
    let mut body = [0; 64];
    let mut writer = Writer::new(&mut body);
    message.encode(&mut writer).unwrap();
    frame(message.kind() as u8, sequence, acknowledge, writer.written())
}

#[test]
fn every_frame_is_a_line() {
    let paper = Paper::default();
    let mut trace = Trace::new(Format::Text, Box::new(paper.clone()));
    let hello = message(0, 0, Message::Hello(Hello { protocol: 1, session: 5 }));
    let refusal = Refusal { code: 11, kind: 1, sequence: 0, got: 0, limit: 0 };
    let refusal = message(7, 1, Message::Refusal(refusal));
    trace.bytes(1_000, Direction::Up, &[0, 0]);
    let (one, two) = hello.split_at(5);
    trace.bytes(2_000, Direction::Up, one);
    trace.bytes(2_500, Direction::Down, &refusal);
    trace.bytes(3_000, Direction::Up, two);
    let mut damaged = hello.clone();
    damaged[3] ^= 4;
    trace.bytes(1_000_004_000, Direction::Down, &damaged);
    trace.bytes(1_000_005_000, Direction::Down, &frame(0x55, 9, 9, &[1]));
    trace.bytes(1_000_006_000, Direction::Down, &frame(0xA1, 9, 9, &[1]));
    trace.bytes(1_000_007_000, Direction::Down, &hello[..6]);
    trace.close(2_000_000_000);
    let refused = "refusal       seq     7 ack     1 body    12 line    25: it is in use by another \
                   client (reason 11, message 0x01 in frame 0, got 0, limit 0)";
    let expected = [
        "    0.000001 > idle          line     2",
        &format!("    0.000002 < {refused}"),
        "    0.000003 > hello         seq     0 ack     0 body     6 line    19",
        "    1.000004 < damaged       line    19: checksum does not match",
        "    1.000005 < 0x55          seq     9 ack     9 body     1 line    14: unknown message number",
        "    1.000006 < run end       seq     9 ack     9 body     1 line    14: the body ends in the middle of a field",
        "    2.000000 < piece         line     6: no end of the frame",
    ];
    let text = paper.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(*line, expected);
    }
}

#[test]
fn what_never_ends_comes_in_pieces() {
    let paper = Paper::default();
    let mut trace = Trace::new(Format::Text, Box::new(paper.clone()));
    for _ in 0..3 * LONGEST / 1000 {
        trace.bytes(0, Direction::Down, &[7; 1000]);
        assert!(trace.down.bytes.capacity() <= 2 * LONGEST);
    }
    trace.bytes(0, Direction::Down, &[0]);
    trace.close(0);
    let text = paper.text();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().all(|line| line.contains("piece")), "{text}");
    for _ in 0..100 {
        trace.bytes(0, Direction::Down, &[0; 1000]);
    }
    assert_eq!(paper.text().lines().count(), 103, "zeros in a row are one entry");
}

#[test]
fn a_capture_has_the_header_of_the_format_and_whole_frames() {
    let paper = Paper::default();
    let mut trace = Trace::new(Format::Pcap, Box::new(paper.clone()));
    let hello = message(0, 0, Message::Hello(Hello { protocol: 1, session: 5 }));
    trace.bytes(3_000_000_007, Direction::Up, &hello);
    trace.bytes(4_000_000_000, Direction::Down, &hello);
    trace.close(0);
    let bytes = paper.bytes();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!([number(0), number(20)], [0xA1B2_3C4D, 147]);
    assert_eq!(bytes[4..8], [2, 0, 4, 0]);
    let len = hello.len() as u32 + 1;
    assert_eq!([24, 28, 32, 36].map(number), [3, 7, len, len]);
    assert_eq!(bytes[40], 0);
    assert_eq!(bytes[41..41 + hello.len()], hello);
    let second = 41 + hello.len();
    assert_eq!(number(second), 4);
    assert_eq!(bytes[second + 16], 1);
    assert_eq!(bytes.len(), second + 17 + hello.len());
}

/// A disk that is full after some bytes.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_link_goes_on_when_the_disk_is_full() {
    let time = Arc::new(AtomicU64::new(0));
    let clock: Clock = Arc::new(move || time.fetch_add(1, Ordering::Relaxed));
    let (host, mut device) = memory::pair();
    let sink = Sink::new(Format::Text, Box::new(Full(30)));
    let mut link = wrap(Box::new(host), sink.clone(), clock);
    for k in 0..10 {
        link.write_all(&[k + 1, 0]).await.unwrap();
        device.write_all(&[k]).await.unwrap();
        assert_eq!(link.read_u8().await.unwrap(), k);
    }
    let mut all = [0; 20];
    device.read_exact(&mut all).await.unwrap();
    sink.with(|trace| assert!(trace.failed));
}

#[tokio::test]
async fn one_sink_takes_one_link_after_the_other() {
    let paper = Paper::default();
    let sink = Sink::new(Format::Pcap, Box::new(paper.clone()));
    for _ in 0..2 {
        let (host, mut device) = memory::pair();
        let mut link = wrap(Box::new(host), sink.clone(), Arc::new(|| 0));
        link.write_all(&[1, 2, 0]).await.unwrap();
        device.read_exact(&mut [0; 3]).await.unwrap();
    }
    assert_eq!(paper.bytes().len(), 24 + 2 * (16 + 1 + 3), "one beginning, two packets");
}
