//! A bridge to servers whose TLS is too old for the driver: the only file that uses OpenSSL.
//!
//! `MySQL` 5.6, and 5.7 in its early builds, speak TLS 1.0 and 1.1, and rustls begins at 1.2. So
//! the driver speaks to a socket in a private folder of this machine, and a task carries what it
//! says over TLS, with both certificates and the host checked. Between greeting and login the
//! protocol has one packet more over there, the request for TLS, so that the numbers of the
//! packets differ by one until the login has ended; then both directions are just copied.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, anyhow};
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContext, SslMethod, SslOptions, SslRef, SslVerifyMode, SslVersion};
use openssl::x509::verify::X509CheckFlags;
use openssl::x509::{X509, X509VerifyResult};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_openssl::SslStream;

use crate::adapters::system::{self, OneCaller};
use crate::domain::certificate::{self, Fault, Unfit};
use crate::domain::settings::TlsPaths;
use crate::domain::snapshot::{Blind, BlindReason};

/// AES or nothing: `kRSA` alone would let in ciphers that do not encrypt. No DHE, because the
/// server's parameters are too small; what 5.6 has in common with this is RSA. Level 0, because
/// TLS 1.0 signs with MD5 and SHA-1.
const CIPHERS: &str = "ECDHE+AES:kRSA+AES:@SECLEVEL=0";

/// `SSL_OP_LEGACY_SERVER_CONNECT`, which the crate does not name: yaSSL in 5.6 does not know the
/// secure way to renegotiate. Nothing is ever renegotiated here.
const LEGACY_SERVER_CONNECT: SslOptions = SslOptions::from_bits_retain(0x4);

/// No packet of a greeting or login is larger than this.
const LONGEST_PACKET: usize = 64 << 10;

/// The part of the client's answer to the greeting that is said before TLS, too.
const TLS_REQUEST: usize = 32;

/// `CLIENT_SSL` in the second byte of the capabilities, which are little-endian.
const CLIENT_SSL: u8 = 0x0800_u16.to_le_bytes()[1];

/// The time limit for the rest of a packet whose beginning was read.
const LAST_WORD: Duration = Duration::from_secs(1);

const OK: u8 = 0x00;
const ERROR: u8 = 0xff;

/// A connection to a server, waiting for the driver at a socket; it ends when this is dropped.
pub struct Bridge {
    socket: PathBuf,
    traffic: JoinSet<Result<(), Blind>>,
}

impl Bridge {
    /// Connects to the server and waits for its greeting, without a deadline.
    pub async fn to(host: &str, port: u16, tls: &TlsPaths) -> Result<Self, Blind> {
        let client = Client::of(host, tls).map_err(|error| turned_away(format!("{error:#}")))?;
        let mut server = TcpStream::connect((host, port)).await.map_err(|error| lost(&error))?;
        server.set_nodelay(true).map_err(|error| lost(&error))?;
        let greeting = Packet::read(&mut server).await.map_err(|error| lost(&error))?;
        let greeting = without_tls(greeting)?;
        let door = system::one_caller()
            .map_err(|error| turned_away(format!("cannot create a socket to reach it: {error}")))?;
        let socket = door.path().to_owned();
        let mut traffic = JoinSet::new();
        traffic.spawn(carry(door, server, greeting, client));
        Ok(Self { socket, traffic })
    }

    /// Where the driver finds the server, once.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits for the end, and says what failed on the server's side before the login had ended.
    pub async fn ended(&mut self) -> Result<(), Blind> {
        self.traffic.join_next().await.and_then(Result::ok).unwrap_or(Ok(()))
    }
}

/// Serves the driver. What goes wrong on the driver's side the driver says itself.
async fn carry(
    door: OneCaller,
    mut server: TcpStream,
    greeting: Packet,
    client: Client,
) -> Result<(), Blind> {
    let Ok(mut driver) = door.accept().await else { return Ok(()) };
    if greeting.write(&mut driver).await.is_err() || greeting.is(ERROR) {
        return Ok(());
    }
    let Ok(mut answer) = Packet::read(&mut driver).await else { return Ok(()) };
    let request = answer.ask_for_tls()?;
    request.write(&mut server).await.map_err(|error| lost(&error))?;

    let mut server = SslStream::new(client.ssl, server).map_err(|error| turned_away(reasons(&error)))?;
    if let Err(error) = Pin::new(&mut server).connect().await {
        if server.ssl().verify_result() == X509VerifyResult::OK && breaks_off(server.get_mut()).await {
            return Err(of_a_certificate(server.ssl(), client.own));
        }
        let evidence = failed_handshake(&error, server.ssl().verify_result());
        let why = certificate::unfit(&evidence).map_or(BlindReason::TurnedAway, BlindReason::Certificate);
        return Err(Blind { why, evidence });
    }
    loop {
        answer.number = answer.number.wrapping_add(1);
        answer.write(&mut server).await.map_err(|error| lost(&error))?;
        let mut said = Packet::read(&mut server).await.map_err(|error| lost(&error))?;
        said.number = said.number.wrapping_sub(1);
        if said.write(&mut driver).await.is_err() || said.is(ERROR) {
            return Ok(());
        }
        if said.is(OK) {
            break;
        }
        // Whatever else a server of this age says in a login is a question.
        let Ok(next) = Packet::read(&mut driver).await else { return Ok(()) };
        answer = next;
    }

    let (mut from_server, mut to_server) = split(server);
    let (mut from_driver, mut to_driver) = split(driver);
    // ignored: whichever side ends first, and however, both are over then
    let _ = tokio::select! {
        ended = copy(&mut from_driver, &mut to_server) => ended,
        ended = copy(&mut from_server, &mut to_driver) => ended,
    };
    let _ = to_server.shutdown().await; // ignored: the server may be gone already
    Ok(())
}

/// The greeting as of a server that has no TLS: on the driver's side there is none.
fn without_tls(mut greeting: Packet) -> Result<Packet, Blind> {
    const PROTOCOL: u8 = 10;
    if greeting.is(ERROR) {
        return Ok(greeting);
    }
    // The version ends with a zero, then come connection id, salt, and one more zero.
    let version = greeting.payload.iter().skip(1).position(|byte| *byte == 0);
    let capabilities = version.filter(|_| greeting.is(PROTOCOL)).map(|length| 1 + length + 1 + 4 + 8 + 1);
    let Some(flags) = capabilities.and_then(|at| greeting.payload.get_mut(at + 1)) else {
        return Err(turned_away("its greeting is not that of a MySQL server".into()));
    };
    if *flags & CLIENT_SSL == 0 {
        return Err(turned_away("it does not offer TLS, and pmp-ha sends nothing unencrypted".into()));
    }
    *flags &= !CLIENT_SSL;
    Ok(greeting)
}

/// OpenSSL, set up for one connection.
struct Client {
    ssl: Ssl,
    /// What must be wrong with the certificate of this node if the server does not take it.
    own: Fault,
}

impl Client {
    fn of(host: &str, tls: &TlsPaths) -> Result<Self> {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        context.set_min_proto_version(Some(SslVersion::TLS1))?;
        context.set_cipher_list(CIPHERS)?;
        // yaSSL takes an empty fragment for the end of the connection, now and then. Nobody who listens
        // can choose a word of what is said here, so that nothing is lost without them.
        let quirks = LEGACY_SERVER_CONNECT | SslOptions::DONT_INSERT_EMPTY_FRAGMENTS;
        context.set_options(quirks | SslOptions::NO_RENEGOTIATION);
        context.set_verify(SslVerifyMode::PEER);
        let mut own = Fault::WrongCa;
        // A new context trusts nobody.
        use_file(&tls.ca, |pem| {
            // While a pair changes its secrets, there are two.
            X509::stack_from_pem(pem)?.into_iter().try_for_each(|ca| context.cert_store_mut().add_cert(ca))
        })?;
        use_file(&tls.cert, |pem| {
            let cert = X509::from_pem(pem)?;
            own = refused_because(&cert)?;
            context.set_certificate(cert.as_ref())
        })?;
        use_file(&tls.key, |pem| context.set_private_key(PKey::private_key_from_pem(pem)?.as_ref()))?;

        let mut ssl = Ssl::new(&context.build())?;
        let expected = ssl.param_mut();
        // As the driver does it: the common name counts for nothing.
        expected.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
        match host.parse::<IpAddr>() {
            Ok(address) => expected.set_ip(address)?,
            Err(_) => expected.set_host(host)?,
        }
        Ok(Self { ssl, own })
    }
}

/// Why a server refuses this certificate, by what is known of it here.
fn refused_because(own: &X509) -> Result<Fault, ErrorStack> {
    let now = Asn1Time::days_from_now(0)?;
    Ok(if own.not_after() < now {
        Fault::Expired
    } else if own.not_before() > now {
        Fault::NotYetValid
    } else {
        Fault::WrongCa
    })
}

/// Whether the server said in clear, in the middle of the handshake, that it goes no further. Of its packet
/// OpenSSL has read the first five bytes, for the head of a TLS record.
async fn breaks_off(server: &mut TcpStream) -> bool {
    const BAD_HANDSHAKE: u16 = 1043;
    let code = tokio::time::timeout(LAST_WORD, server.read_u16_le()).await;
    matches!(code, Ok(Ok(BAD_HANDSHAKE)))
}

/// A server of this age says no more than that it goes no further. If its own certificate has ended or has not
/// begun, it does not come to showing that. Then it looks at this node's.
fn of_a_certificate(ssl: &SslRef, own: Fault) -> Blind {
    let (unfit, when) = if ssl.peer_certificate().is_some() {
        (Unfit { fault: own, ours: true }, "when it saw the certificate of this node")
    } else {
        (Unfit { fault: Fault::NotInTime, ours: false }, "before it showed its own certificate")
    };
    Blind {
        why: BlindReason::Certificate(unfit),
        evidence: format!("it broke off the TLS handshake {when}: error 1043"),
    }
}

fn use_file(path: &str, use_it: impl FnOnce(&[u8]) -> Result<(), ErrorStack>) -> Result<()> {
    use_it(&system::read_bytes(Path::new(path), system::SMALL)?)
        .map_err(|error| anyhow!("cannot use {path}: {}", reasons(&error)))
}

/// A packet of the protocol: three bytes of length, a number, and what it says.
struct Packet {
    number: u8,
    payload: Vec<u8>,
}

impl Packet {
    /// Reads one packet and not a byte more: what follows in clear must not pass for TLS.
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let [a, b, c, number] = from.read_u32().await?.to_be_bytes();
        let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        if length > LONGEST_PACKET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it sends {length} bytes at once"),
            ));
        }
        let mut payload = vec![0; length];
        from.read_exact(&mut payload).await?;
        Ok(Self { number, payload })
    }

    async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let [a, b, c, ..] = self.payload.len().to_le_bytes();
        let mut bytes = vec![a, b, c, self.number];
        bytes.extend(&self.payload);
        to.write_all(&bytes).await?;
        to.flush().await
    }

    /// Whether its first byte, which says what it is, is this one.
    fn is(&self, kind: u8) -> bool {
        self.payload.first() == Some(&kind)
    }

    /// Makes the driver's answer to the greeting one of a client that speaks TLS, and returns
    /// what such a client says before. The server takes the capabilities from that alone.
    fn ask_for_tls(&mut self) -> Result<Self, Blind> {
        if self.payload.len() < TLS_REQUEST {
            return Err(turned_away("the driver's answer to its greeting is too short".into()));
        }
        self.payload[1] |= CLIENT_SSL;
        Ok(Self { number: self.number, payload: self.payload[..TLS_REQUEST].to_vec() })
    }
}

fn failed_handshake(error: &openssl::ssl::Error, verified: X509VerifyResult) -> String {
    if verified != X509VerifyResult::OK {
        return format!("certificate verify failed: {}", verified.error_string());
    }
    match (error.ssl_error().map(reasons), error.io_error()) {
        (Some(said), _) => format!("the TLS handshake failed: {said}"),
        (None, Some(error)) => format!("it ended the TLS handshake: {error}"),
        (None, None) => "it ended the TLS handshake".into(),
    }
}

fn reasons(stack: &ErrorStack) -> String {
    let reasons: Vec<&str> = stack.errors().iter().filter_map(openssl::error::Error::reason).collect();
    reasons.join(", ")
}

fn turned_away(evidence: String) -> Blind {
    Blind { why: BlindReason::TurnedAway, evidence }
}

fn lost(error: &io::Error) -> Blind {
    let why = match error.kind() {
        io::ErrorKind::InvalidData => BlindReason::TurnedAway,
        _ => BlindReason::Unreachable,
    };
    let evidence = match error.kind() {
        io::ErrorKind::UnexpectedEof => format!("it closed the connection: {error}"),
        _ => error.to_string(),
    };
    Blind { why, evidence }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;
    use std::time::Instant;

    use tempfile::TempDir;

    use super::*;
    use crate::adapters::home::Credential;
    use crate::adapters::home::certificates::{issue, make_ca};
    use crate::adapters::server::session::{Address, Session, Speaks};
    use fs_err as fs;

    const TLS_OFFERED: [u8; 2] = [0xff, 0xff];
    const NO_TLS: [u8; 2] = [0xff, 0xf7];
    const TLS_HANDSHAKE: u8 = 22;
    const OK_PACKET: [u8; 11] = [7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0];

    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("a short one");
        [&[length, 0, 0, 0], payload].concat()
    }

    fn greeting(capabilities: [u8; 2]) -> Vec<u8> {
        let rest = [&[8, 2, 0, 0x0f, 0x80, 21][..], &[0; 10], b"salt56789012\0", b"mysql_native_password\0"]
            .concat();
        packet(&[b"\x0a5.6.24\0", &[1, 0, 0, 0][..], b"salt1234\0", &capabilities, &rest].concat())
    }

    /// A server that greets, says one thing more when it is spoken to, and returns what it heard.
    fn server(greeting: Vec<u8>, more: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a caller");
            stream.write_all(&greeting).expect("written");
            let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
            let mut more = Some(more);
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                heard.extend(&buffer[..length]);
                if let Some(more) = more.take() {
                    stream.write_all(more).expect("written");
                }
            }
            heard
        });
        (port, heard)
    }

    struct Meeting {
        blind: Blind,
        heard: Vec<u8>,
        took: Duration,
    }

    /// Tries to log in to such a server.
    fn meet(greeting: Vec<u8>, more: &'static [u8]) -> Meeting {
        let folder = TempDir::new().expect("a folder");
        let ca = make_ca("x").expect("a CA");
        let node = issue(&ca.cert, &ca.key, "127.0.0.1").expect("a certificate");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path.to_string_lossy().into_owned()
        };
        let tls = TlsPaths {
            ca: file("ca.pem", &ca.cert),
            cert: file("node.pem", &node.cert),
            key: file("node-key.pem", &node.key),
        };
        let (port, heard) = server(greeting, more);
        let address = Address::Tls { host: "127.0.0.1".into(), port, tls, speaks: Speaks::Old };
        let account = Credential { user: "the_user".into(), password: "the_password".into() };
        let begun = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let opened = runtime.block_on(Session::open(&address, &account, Duration::from_secs(1)));
        let blind = opened.err().expect("a refusal");
        let took = begun.elapsed();
        drop(runtime);
        let heard = heard.join().expect("no panic");
        assert!(!heard.windows(8).any(|window| window == b"the_user"), "{blind:?}");
        Meeting { blind, heard, took }
    }

    #[test]
    fn a_server_that_offers_no_tls_is_told_nothing_at_all() {
        let Meeting { blind, heard, .. } = meet(greeting(NO_TLS), &OK_PACKET);
        assert_eq!(blind.why, BlindReason::TurnedAway);
        assert!(blind.evidence.contains("does not offer TLS"), "{}", blind.evidence);
        assert!(heard.is_empty(), "{heard:?}");
    }

    #[test]
    fn a_server_that_goes_on_in_clear_is_told_no_more_than_the_wish_for_tls() {
        let Meeting { blind, heard, .. } = meet(greeting(TLS_OFFERED), &OK_PACKET);
        assert_eq!(blind.why, BlindReason::TurnedAway, "{}", blind.evidence);
        assert_eq!(heard[..4], [32, 0, 0, 1]);
        assert_eq!(heard[5] & CLIENT_SSL, CLIENT_SSL);
        assert_eq!(heard[36], TLS_HANDSHAKE);
        // The same before it was even asked for TLS.
        let early = [greeting(TLS_OFFERED), OK_PACKET.to_vec()].concat();
        assert_eq!(meet(early, &[]).blind.why, BlindReason::TurnedAway);
    }

    #[test]
    fn a_server_that_falls_silent_is_waited_for_no_longer_than_said() {
        let silent = meet(greeting(TLS_OFFERED), &[]);
        assert_eq!(silent.blind.why, BlindReason::Silent, "{}", silent.blind.evidence);
        assert!(silent.took < Duration::from_secs(3), "{:?}", silent.took);
        assert_eq!(meet(Vec::new(), &[]).blind.why, BlindReason::Silent);
    }

    #[test]
    fn a_full_server_is_told_as_such_and_what_is_no_server_is_refused() {
        let full = packet(b"\xff\x10\x04Too many connections");
        assert_eq!(meet(full, &[]).blind.why, BlindReason::TooManyConnections);
        for strange in
            [b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), packet(b"\x0a5.6.24"), packet(b""), packet(b"\x09x\0")]
        {
            let blind = meet(strange.clone(), &[]).blind;
            assert_eq!(blind.why, BlindReason::TurnedAway, "{strange:?}: {}", blind.evidence);
        }
    }
}
