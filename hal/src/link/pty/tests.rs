use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Every byte value, in an order that no control sequence survives by accident.
fn all_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|k| (k * 167 + k / 256) as u8).collect()
}

fn connect(board: &BoardSide) -> BoxLink {
    open_path(board.path()).unwrap()
}

#[tokio::test]
async fn all_bytes_survive_in_both_directions() {
    let mut board = BoardSide::create().unwrap();
    let mut client = connect(&board);
    let sent = all_bytes(256);
    let mut received = vec![0; 256];
    client.write_all(&sent).await.unwrap();
    board.read_exact(&mut received).await.unwrap();
    assert_eq!(received, sent);
    received.fill(0);
    board.write_all(&sent).await.unwrap();
    client.read_exact(&mut received).await.unwrap();
    assert_eq!(received, sent);
}

#[tokio::test]
async fn large_transfers_arrive_whole() {
    let mut board = BoardSide::create().unwrap();
    let mut client = connect(&board);
    let sent = all_bytes(1 << 20);
    let echo = async {
        let mut buffer = [0; 4096];
        let mut left = sent.len();
        while left > 0 {
            let count = board.read(&mut buffer).await.unwrap();
            board.write_all(&buffer[..count]).await.unwrap();
            left -= count;
        }
    };
    let mut received = vec![0; sent.len()];
    let (mut read, mut write) = tokio::io::split(&mut client);
    let (_, written, got) =
        tokio::join!(echo, write.write_all(&sent), read.read_exact(&mut received));
    written.unwrap();
    got.unwrap();
    assert!(received == sent);
}

#[tokio::test]
async fn a_second_client_is_refused_and_a_later_one_is_not() {
    let mut board = BoardSide::create().unwrap();
    let mut first = connect(&board);
    assert!(matches!(open_path(board.path()), Err(Error::DeviceInUse { .. })));
    // A client that goes away without reading leaves nothing to the next one.
    board.write_all(b"for the first client").await.unwrap();
    first.write_all(b"from the first").await.unwrap();
    drop(first);
    let mut second = connect(&board);
    board.write_all(b"for the second").await.unwrap();
    let mut received = [0; 14];
    second.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"for the second");
    board.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"from the first");
}

#[tokio::test]
async fn a_serial_selector_with_the_path_works_as_well() {
    let mut board = BoardSide::create().unwrap();
    let path = board.path().to_str().unwrap().to_owned();
    let mut client = crate::link::serial::open(&path, 3_000_000, false).unwrap();
    assert!(matches!(open_path(board.path()), Err(Error::DeviceInUse { .. })));
    client.write_all(&[0xa5]).await.unwrap();
    assert_eq!(board.read_u8().await.unwrap(), 0xa5);
}

#[tokio::test]
async fn a_board_that_goes_away_ends_the_stream() {
    let board = BoardSide::create().unwrap();
    let mut client = connect(&board);
    let path = board.path().to_owned();
    drop(board);
    let mut rest = Vec::new();
    assert_eq!(client.read_to_end(&mut rest).await.unwrap(), 0);
    let error = client.write_all(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    drop(client);
    assert!(matches!(open_path(&path), Err(Error::NoDevice { .. })));
}
