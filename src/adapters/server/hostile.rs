//! A server that answers without end.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::{Address, Bounds, Session};
use crate::adapters::home::Credential;
use crate::adapters::system::{OneCaller, one_caller};

fn packet(number: u8, payload: &[u8]) -> Vec<u8> {
    let [a, b, c, ..] = payload.len().to_le_bytes();
    [&[a, b, c, number], payload].concat()
}

/// A text as the protocol writes it.
fn text(bytes: &[u8]) -> Vec<u8> {
    let [a, b, ..] = bytes.len().to_le_bytes();
    if bytes.len() < 251 { [&[a], bytes].concat() } else { [&[0xfc, a, b], bytes].concat() }
}

fn greeting() -> Vec<u8> {
    // No TLS: this is a socket of the machine.
    let capabilities = [0xff, 0xf7];
    let rest =
        [&[8, 2, 0, 0x0f, 0x80, 21][..], &[0; 10], b"salt56789012\0", b"mysql_native_password\0"].concat();
    packet(0, &[b"\x0a8.4.0\0", &[1, 0, 0, 0][..], b"salt1234\0", &capabilities, &rest].concat())
}

fn head_of_one_column() -> Vec<u8> {
    let column = [
        text(b"def"),
        text(b""),
        text(b""),
        text(b""),
        text(b"c"),
        text(b"c"),
        vec![0x0c, 33, 0, 0, 1, 0, 0, 0xfd, 0, 0, 0, 0, 0],
    ]
    .concat();
    [packet(1, &[1]), packet(2, &column), packet(3, &[0xfe, 0, 0, 2, 0])].concat()
}

async fn payload(client: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut head = [0; 4];
    client.read_exact(&mut head).await.expect("a packet");
    let mut payload = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    client.read_exact(&mut payload).await.expect("a packet");
    payload
}

/// Serves one client, and answers its first statement with rows of this size for as long as it reads.
/// Returns the statement, and how many bytes it sent.
async fn endless(door: OneCaller, row: usize) -> (String, usize) {
    let mut client = door.accept().await.expect("a client");
    client.write_all(&greeting()).await.expect("written");
    payload(&mut client).await;
    client.write_all(&packet(2, &[0, 0, 0, 2, 0, 0, 0])).await.expect("written");
    let statement = String::from_utf8_lossy(&payload(&mut client).await[1..]).into_owned();
    client.write_all(&head_of_one_column()).await.expect("written");
    let (mut number, mut sent) = (4_u8, 0);
    let row = text(&vec![b'x'; row]);
    while client.write_all(&packet(number, &row)).await.is_ok() {
        number = number.wrapping_add(1);
        sent += row.len();
    }
    (statement, sent)
}

/// In a runtime that goes on, as that of the monitor does.
#[tokio::test]
async fn an_answer_without_end_is_cut_off_and_nothing_reads_on() {
    let small = Bounds { rows: 1000, bytes: 1 << 30 };
    for (row, bounds) in [(20, small), (60_000, Bounds { bytes: 1 << 20, ..small })] {
        let door = one_caller().expect("a socket");
        let address = Address::Socket(door.path().to_owned());
        let server = tokio::spawn(endless(door, row));
        let account = Credential { user: "u".into(), password: "p".into() };
        let opened = Session::open(&address, &account, Duration::from_secs(10)).await;
        let mut session = opened.unwrap_or_else(|blind| panic!("{}", blind.evidence));
        session.bounds = bounds;
        let error = session.query("SELECT everything").await.expect_err("an answer without end");
        assert!(error.to_string().contains("reads no further"), "{error}");
        drop(session);
        let ended = tokio::time::timeout(Duration::from_secs(20), server).await;
        let (statement, sent) = ended.expect("somebody reads on").expect("no panic");
        assert_eq!(statement, "SELECT everything", "the driver asked for nothing else");
        assert!(sent < 64 << 20, "{sent} bytes were read");
    }
}
