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

fn head_of_one_column(name: &[u8]) -> Vec<u8> {
    let column = [
        text(b"def"),
        text(b""),
        text(b""),
        text(b""),
        text(name),
        text(name),
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

/// Serves one client, and answers its first statement of this beginning with rows of this size, of one column with this
/// name, for as long as it reads. Returns the statement, and how many bytes it sent.
async fn endless(door: OneCaller, at: &'static str, name: usize, row: usize) -> (String, usize) {
    let mut client = door.accept().await.expect("a client");
    client.write_all(&greeting()).await.expect("written");
    payload(&mut client).await;
    client.write_all(&packet(2, &[0, 0, 0, 2, 0, 0, 0])).await.expect("written");
    let statement = loop {
        let statement = String::from_utf8_lossy(&payload(&mut client).await[1..]).into_owned();
        if statement.starts_with(at) {
            break statement;
        }
        client.write_all(&packet(1, &[0, 0, 0, 2, 0, 0, 0])).await.expect("written");
    };
    client.write_all(&head_of_one_column(&vec![b'n'; name])).await.expect("written");
    let (mut number, mut sent) = (4_u8, 0);
    let row = text(&vec![b'x'; row]);
    loop {
        // Many small rows at once, so that the client never has to wait for the next.
        let mut rows = Vec::new();
        while rows.len() < 60_000 {
            rows.extend(packet(number, &row));
            number = number.wrapping_add(1);
        }
        if client.write_all(&rows).await.is_err() {
            break;
        }
        sent += rows.len();
    }
    (statement, sent)
}

/// Asks an endless server, which is read by nobody afterwards. Returns the error, and how many bytes
/// the server sent.
async fn asked(name: usize, row: usize, bounds: Bounds, deadline: Duration) -> (String, usize) {
    let door = one_caller().expect("a socket");
    let address = Address::Socket(door.path().to_owned());
    let server = tokio::spawn(endless(door, "SELECT", name, row));
    let account = Credential { user: "u".into(), password: "p".into() };
    let opened = Session::open(&address, &account, Duration::from_secs(10)).await;
    let mut session = opened.unwrap_or_else(|blind| panic!("{}", blind.evidence)).with_deadline(deadline);
    session.bounds = bounds;
    let error = session.query("SELECT everything").await.expect_err("an answer without end");
    drop(session);
    let ended = tokio::time::timeout(Duration::from_secs(20), server).await;
    let (statement, sent) = ended.expect("somebody reads on").expect("no panic");
    assert_eq!(statement, "SELECT everything", "the driver asked for nothing else");
    (error.to_string(), sent)
}

/// In a runtime that goes on, as that of the monitor does.
#[tokio::test]
async fn an_answer_without_end_is_cut_off_and_nothing_reads_on() {
    let small = Bounds { rows: 1000, bytes: 1 << 30 };
    for (row, bounds) in [(20, small), (60_000, Bounds { bytes: 1 << 20, ..small })] {
        let (error, sent) = asked(1, row, bounds, Duration::from_secs(60)).await;
        assert!(error.contains("stops reading"), "{error}");
        assert!(sent < 64 << 20, "{sent} bytes were read");
    }
}

/// The first thing that is said to a server is answered by it, too.
#[tokio::test]
async fn an_answer_without_end_to_a_setting_is_cut_off_as_well() {
    let door = one_caller().expect("a socket");
    let address = Address::Socket(door.path().to_owned());
    let server = tokio::spawn(endless(door, "SET", 1, 20));
    let account = Credential { user: "u".into(), password: "p".into() };
    let opened = Session::open(&address, &account, Duration::from_secs(60)).await;
    let mut session = opened.unwrap_or_else(|blind| panic!("{}", blind.evidence));
    let error = session.query("SELECT 1").await.expect_err("an answer without end").to_string();
    assert!(error.contains("stops reading"), "{error}");
    drop(session);
    let (_, sent) = tokio::time::timeout(Duration::from_secs(20), server).await.expect("read").expect("sent");
    assert!(sent < 64 << 20, "{sent} bytes were read");
}

/// What is small on the wire may be large in memory.
#[tokio::test]
async fn names_and_empty_values_count_and_a_name_that_no_server_has_is_refused() {
    let all = Bounds { rows: usize::MAX, bytes: 1 << 20 };
    let (error, _) = asked(30_000, 1, all, Duration::from_secs(60)).await;
    assert!(error.contains("bytes in the name of a column"), "{error}");
    // A row of one empty value is five bytes of the server's.
    let (error, sent) = asked(1000, 0, all, Duration::from_secs(60)).await;
    assert!(error.contains("stops reading"), "{error}");
    assert!(sent < 4 << 20, "{sent} bytes were read");
}

#[tokio::test]
async fn rows_that_are_at_hand_do_not_outrun_the_time_limit() {
    let all = Bounds { rows: usize::MAX, bytes: usize::MAX };
    let begun = std::time::Instant::now();
    let (error, _) = asked(1, 0, all, Duration::from_millis(100)).await;
    assert!(error.contains("did not end within"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
