//! Devices at the far end of an in-memory link: the real server, or a script that misbehaves.

use spikeloop_firmware::board::Memory;
use spikeloop_firmware::{Activity, Core, Server};
use spikeloop_hal::link::BoxLink;
use spikeloop_hal::wire::{Decoder, Frame, Header, MAX_BODY, Message, Writer, encoded_len};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A device on a thread of its own.
pub struct Device {
    pub link: BoxLink,
    pub thread: JoinHandle<()>,
}

fn on_thread<F: Future<Output = ()>>(
    capacity: usize,
    body: impl FnOnce(DuplexStream) -> F + Send + 'static,
) -> Device {
    let (host, board) = duplex(capacity);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(body(board));
    });
    Device { link: Box::new(host), thread }
}

/// The real server over `core`; `capacity` is how many bytes the link holds.
pub fn serve<C: Core + Send + 'static>(core: C, capacity: usize) -> Device {
    on_thread(capacity, move |board| async move {
        let mut memory = Memory::new(core.capabilities());
        let mut server = Server::new(core, memory.buffers()).unwrap();
        pump(&mut server, board).await;
    })
}

/// The real server over `core`, for one link after the other, as a board on a serial line: it does
/// not notice that the program on the other side has changed.
pub fn serve_twice<C: Core + Send + 'static>(core: C) -> (BoxLink, BoxLink, JoinHandle<()>) {
    let (second, board) = duplex(999);
    let first = on_thread(999, move |early| async move {
        let mut memory = Memory::new(core.capabilities());
        let mut server = Server::new(core, memory.buffers()).unwrap();
        pump(&mut server, early).await;
        pump(&mut server, board).await;
    });
    (first.link, Box::new(second), first.thread)
}

/// The real server over cores that `core` makes: after every `bytes` bytes to the host the device is
/// reset, at most `times` times. The link stays.
pub fn serve_with_resets<C: Core>(
    core: impl Fn() -> C + Send + 'static,
    bytes: usize,
    times: usize,
) -> Device {
    on_thread(4096, move |mut board| async move {
        for reset in 0..=times {
            let core = core();
            let mut memory = Memory::new(core.capabilities());
            let mut server = Server::new(core, memory.buffers()).unwrap();
            let life = if reset < times { bytes } else { usize::MAX };
            pump_for(&mut server, &mut board, life).await;
        }
    })
}

/// Moves bytes between a link and a server until the other side is gone. The device's clock moves
/// 1 µs a poll, and 1 ms in each real millisecond without anything to do.
async fn pump<C: Core>(server: &mut Server<'_, C>, mut link: DuplexStream) {
    pump_for(server, &mut link, usize::MAX).await;
}

/// The same, until so many bytes went to the host.
async fn pump_for<C: Core>(server: &mut Server<'_, C>, link: &mut DuplexStream, mut life: usize) {
    let mut now = 0;
    let mut chunk = [0; 700];
    loop {
        loop {
            now += 1000;
            if server.poll(now) == Activity::Idle {
                break;
            }
        }
        let output = server.transmit(now).to_vec();
        if !output.is_empty() {
            match link.write(&output[..output.len().min(life)]).await {
                Ok(n) if n > 0 => {
                    server.sent(n, now);
                    life -= n;
                }
                _ => return,
            }
            if life == 0 {
                return;
            }
            continue;
        }
        tokio::select! {
            came = link.read(&mut chunk) => match came {
                Ok(n) if n > 0 => server.receive(&chunk[..n], now),
                _ => return,
            },
            () = tokio::time::sleep(Duration::from_millis(1)) => now += 1_000_000,
        }
    }
}

/// A frame as it goes over the line.
pub fn frame(version: u8, sequence: u16, message: &Message<'_>) -> Vec<u8> {
    let mut body = vec![0; 4096];
    let mut writer = Writer::new(&mut body);
    message.encode(&mut writer).unwrap();
    raw(version, message.kind() as u8, sequence, writer.written())
}

/// A frame of any kind with any body.
pub fn raw(version: u8, kind: u8, sequence: u16, body: &[u8]) -> Vec<u8> {
    let header = Header { version, kind, sequence, acknowledge: 0 };
    let mut line = vec![0; encoded_len(body.len())];
    let n = Frame { header, body }.encode(&mut line).unwrap();
    line.truncate(n);
    line
}

/// A device that answers each message as `script` says, and hangs up when it says nothing.
pub fn scripted(
    mut script: impl FnMut(&Header, Message<'_>) -> Option<Vec<u8>> + Send + 'static,
) -> Device {
    on_thread(4096, move |mut link| async move {
        let mut decoder = Decoder::new(vec![0; encoded_len(MAX_BODY)]);
        let mut chunk = [0; 4096];
        while let Ok(n) = link.read(&mut chunk).await {
            if n == 0 {
                return;
            }
            let mut input = &chunk[..n];
            while let Some(Ok(frame)) = decoder.feed(&mut input) {
                let message = Message::decode(frame.header.kind, frame.body).unwrap();
                let Some(answer) = script(&frame.header, message) else { return };
                if link.write_all(&answer).await.is_err() {
                    return;
                }
            }
        }
    })
}
