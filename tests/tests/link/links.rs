//! What every link promises: bytes arrive whole and in order, and the end is seen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use spikeloop_hal::link::pty::BoardSide;
use spikeloop_hal::link::{self, BoxLink, memory};
use spikeloop_hal::selector::Address;
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Kinds of link that need no hardware.
const KINDS: [&str; 3] = ["memory", "pty", "tcp"];

/// A connected pair: the host's end as a session gets it, and the device's.
async fn pair(kind: &str) -> (BoxLink, BoxLink) {
    match kind {
        "memory" => {
            let (host, device) = memory::pair();
            (Box::new(host), Box::new(device))
        }
        "pty" => {
            let device = BoardSide::create().unwrap();
            let host = link::open(&Address::pty_path(device.path())).await.unwrap();
            (host, Box::new(device))
        }
        _ => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let address = Address::Tcp { address };
            let (host, device) = tokio::join!(link::open(&address), listener.accept());
            (host.unwrap(), Box::new(device.unwrap().0))
        }
    }
}

fn each<F: Future<Output = ()>>(test: impl Fn(&'static str) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for kind in KINDS {
        eprintln!("{kind}");
        runtime.block_on(test(kind));
    }
}

/// Every byte value, in an order that repeats after 65 536 bytes only.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|k| (k * 167 + k / 256) as u8).collect()
}

#[test]
fn all_byte_values_survive_in_both_directions() {
    each(|kind| async move {
        let (mut host, mut device) = pair(kind).await;
        for value in 0..=255 {
            host.write_u8(value).await.unwrap();
            host.flush().await.unwrap();
            assert_eq!(device.read_u8().await.unwrap(), value);
            device.write_u8(!value).await.unwrap();
            device.flush().await.unwrap();
            assert_eq!(host.read_u8().await.unwrap(), !value);
        }
    });
}

/// Far more than any buffer holds, both ways at once.
#[test]
fn large_transfers_cross_each_other() {
    each(|kind| async move {
        let (host, device) = pair(kind).await;
        let (mut host_reads, mut host_writes) = tokio::io::split(host);
        let (mut device_reads, mut device_writes) = tokio::io::split(device);
        let there = bytes(1 << 20);
        let back: Vec<u8> = there.iter().rev().copied().collect();
        let mut got_there = vec![0; there.len()];
        let mut got_back = vec![0; back.len()];
        let results = tokio::join!(
            host_writes.write_all(&there),
            device_reads.read_exact(&mut got_there),
            device_writes.write_all(&back),
            host_reads.read_exact(&mut got_back),
        );
        results.0.unwrap();
        results.1.unwrap();
        results.2.unwrap();
        results.3.unwrap();
        assert!(got_there == there, "{kind}");
        assert!(got_back == back, "{kind}");
    });
}

#[test]
fn a_device_that_goes_away_ends_the_stream() {
    each(|kind| async move {
        let (mut host, device) = pair(kind).await;
        drop(device);
        assert_eq!(host.read(&mut [0; 16]).await.unwrap(), 0, "{kind}");
    });
}
