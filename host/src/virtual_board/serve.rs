//! One board's clients, and the bytes between them and the firmware.

use super::{Entry, Place, Ready};
use spikeloop_firmware::{Activity, Core, Server};
use spikeloop_hal::link::pty::BoardSide;
use spikeloop_hal::link::{Link, memory};
use spikeloop_hal::registry::Registration;
use spikeloop_hal::selector::Address;
use spikeloop_hal::wire::{
    Frame, Header, Kind, Message, Refusal, RefusalCode, Writer, encoded_len,
};
use spikeloop_hal::{Error, PROTOCOL_VERSION, Selector};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::sleep_until;

/// Bytes taken from the link at once.
const INPUT: usize = 64 * 1024;

/// Bytes given to the server at once: about one frame.
const PIECE: usize = 1024;

/// How long a client that is turned away may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where clients come in.
pub(super) enum Door {
    Pty { side: BoardSide, _listed: Option<Registration> },
    Tcp { listener: TcpListener, listed: Option<Registration> },
    Memory { side: DuplexStream },
}

/// Why serving a client ended.
enum End {
    /// The client went away.
    Gone,
    /// The board is to stop.
    Stopped,
}

impl Door {
    /// Makes the place reachable, and lists it if it has a name.
    pub(super) async fn open(place: &Place, entry: &Entry) -> Result<(Self, Ready), Error> {
        match place {
            Place::Pty(name) => {
                let side = BoardSide::create()?;
                let address = match name {
                    Some(name) => Address::Pty { name: name.clone() },
                    None => Address::pty_path(side.path()),
                };
                let selector = Selector::from(address);
                let _listed = entry.register(&selector, Some(side.path().to_owned()))?;
                Ok((Door::Pty { side, _listed }, Ready { selector, link: None }))
            }
            Place::Tcp { address, .. } => {
                let failed = |source| Error::Open { device: format!("tcp:{address}"), source };
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?.to_string();
                let selector = Selector::from(Address::Tcp { address });
                let listed = entry.register(&selector, None)?;
                Ok((Door::Tcp { listener, listed }, Ready { selector, link: None }))
            }
            Place::Memory => {
                let (client, side) = memory::pair();
                let selector = Selector::from(Address::Pty { name: "memory".into() });
                Ok((Door::Memory { side }, Ready { selector, link: Some(client) }))
            }
        }
    }

    /// Serves clients until the board is to stop (a memory board: until its client is gone). `wake` is
    /// how the core asks to be polled.
    pub(super) async fn serve<C: Core>(
        &mut self,
        server: &mut Server<'_, C>,
        wake: &Notify,
        mut stop: watch::Receiver<bool>,
    ) {
        match self {
            // Clients of a terminal come and go unseen: a hello is what tells a new one.
            Door::Pty { side, .. } => {
                talk(server, wake, side, &mut stop, None).await;
            }
            Door::Memory { side } => {
                talk(server, wake, side, &mut stop, None).await;
            }
            Door::Tcp { listener, listed } => {
                while let Some(mut client) = next_client(listener, &mut stop).await {
                    note_client(listed.as_mut(), client.peer_addr().ok());
                    let turn_away = turn_away_others(listener);
                    let end = tokio::select! {
                        end = talk(server, wake, &mut client, &mut stop, Some(HELLO_PATIENCE)) => end,
                        never = turn_away => match never {},
                    };
                    server.disconnect();
                    note_client(listed.as_mut(), None);
                    if matches!(end, End::Stopped) {
                        return;
                    }
                }
            }
        }
    }
}

async fn next_client(
    listener: &TcpListener,
    stop: &mut watch::Receiver<bool>,
) -> Option<TcpStream> {
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return None,
            accepted = listener.accept() => match accepted {
                Ok((client, from)) => {
                    // Without it small frames would wait for acknowledgements of earlier ones.
                    let _ = client.set_nodelay(true);
                    tracing::debug!(%from, "client connected");
                    return Some(client);
                }
                Err(error) => {
                    tracing::warn!(%error, "a client could not be accepted");
                    // Out of descriptors, most likely: do not spin until there are some again.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn note_client(listed: Option<&mut Registration>, client: Option<std::net::SocketAddr>) {
    if let Some(listed) = listed
        && let Err(error) = listed.set_client(client.map(|client| client.to_string()))
    {
        tracing::warn!(%error, "the list of running boards is not up to date");
    }
}

/// Tells everybody who comes while the board is in use that it is.
async fn turn_away_others(listener: &TcpListener) -> std::convert::Infallible {
    loop {
        match listener.accept().await {
            Ok((client, from)) => {
                tracing::info!(%from, "turned away: the board is in use");
                tokio::spawn(turn_away(client));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn turn_away(mut client: TcpStream) {
    let farewell = async {
        client.write_all(&in_use()).await?;
        client.shutdown().await?;
        // Closing before the client's hello was read would make the system drop our answer.
        tokio::io::copy(&mut client, &mut tokio::io::sink()).await
    };
    // Whether it heard us or not, it goes.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// The refusal of a hello, as a frame.
fn in_use() -> Vec<u8> {
    let refusal = Refusal {
        code: RefusalCode::InUse as u8,
        kind: Kind::Hello as u8,
        sequence: 0,
        got: 0,
        limit: 0,
    };
    let message = Message::Refusal(refusal);
    let mut body = [0; 64];
    let mut writer = Writer::new(&mut body);
    let written = message.encode(&mut writer).map(|()| writer.len());
    let header =
        Header { version: PROTOCOL_VERSION as u8, kind: message.kind() as u8, ..Header::default() };
    let mut bytes = vec![0; encoded_len(body.len())];
    let frame = written.and_then(|len| Frame { header, body: &body[..len] }.encode(&mut bytes));
    bytes.truncate(frame.unwrap_or(0));
    bytes
}

/// How long a client may hold a board on the network without saying hello: others are turned away
/// meanwhile.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// What happened on the link.
enum Event {
    Stop,
    Came(io::Result<usize>),
    Went(io::Result<usize>),
    Again,
}

/// Steps of the server between two looks at the link. A step takes about a microsecond, a look costs
/// several, and every write wakes threads on the other side.
const STEPS: usize = 64;

/// Lets the server work. Whether there is more to do.
fn work<C: Core>(server: &mut Server<'_, C>, now: impl Fn() -> u64) -> bool {
    (0..STEPS).all(|_| server.poll(now()) == Activity::Busy)
}

/// Carries bytes between the link and the server until one of them is done.
async fn talk<L: Link, C: Core>(
    server: &mut Server<'_, C>,
    wake: &Notify,
    link: &mut L,
    stop: &mut watch::Receiver<bool>,
    patience: Option<Duration>,
) -> End {
    let start = tokio::time::Instant::now();
    let now = || start.elapsed().as_nanos() as u64;
    let (mut reader, mut writer) = tokio::io::split(link);
    let mut buffer = vec![0; INPUT];
    loop {
        let busy = work(server, now);
        let hello_by = patience.filter(|_| !server.in_session()).map(|patience| start + patience);
        if hello_by.is_some_and(|by| by <= tokio::time::Instant::now()) {
            tracing::debug!("a client said nothing");
            return End::Gone;
        }
        let timer = server.deadline().map(|at| start + Duration::from_nanos(at));
        let deadline = [timer, hello_by].into_iter().flatten().min();
        let event = {
            let out = server.transmit(now());
            // A server that is busy is polled again after the link's turn.
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Event::Stop,
                went = writer.write(out), if !out.is_empty() => Event::Went(went),
                came = reader.read(&mut buffer) => Event::Came(came),
                () = tokio::task::yield_now(), if busy => Event::Again,
                () = wake.notified() => Event::Again,
                () = sleep_until(deadline.unwrap_or(start)), if deadline.is_some() => Event::Again,
            }
        };
        match event {
            Event::Stop => return End::Stopped,
            Event::Went(Ok(n)) => server.sent(n, now()),
            Event::Came(Ok(0)) => return End::Gone,
            Event::Came(Ok(n)) => {
                for piece in buffer[..n].chunks(PIECE) {
                    server.receive(piece, now());
                    // Its first trials are on the chip before the rest is read.
                    server.poll(now());
                }
            }
            Event::Went(Err(error)) | Event::Came(Err(error)) => {
                tracing::debug!(%error, "client lost");
                return End::Gone;
            }
            Event::Again => {}
        }
    }
}
