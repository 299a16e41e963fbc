//! Serves the monitor's page: the only room that uses hyper.
//!
//! A client can ask and nothing else. However many ask, and however slowly, the watch goes on: each
//! connection is for one request, has a deadline, and counts against a limit.

mod tls;
mod token;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::config::ConfigFile;
use crate::config::page::{PageConfig, listen_address};
use crate::config::place::Complaint;
use crate::domain::page::PageAnswer;
use crate::failure::{Failure, Kind};

use self::tls::PageTls;
use self::token::Token;

/// So many connections there are at once, and so many of one client. Who comes later takes the oldest place.
const MOST: usize = 64;
const MOST_OF_ONE: usize = 32;

/// How long a client may take for the head of its request, and for everything.
const HEAD: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);

/// The largest head of a request, bytes.
const LARGEST_HEAD: usize = 16 << 10;

/// After an error of the system, so long nobody is let in.
const PAUSE: Duration = Duration::from_millis(200);

/// From a path to the answer.
pub type Answering = Arc<dyn Fn(&str) -> PageAnswer + Send + Sync>;

/// A server that has its address, and serves nobody yet.
pub struct PageServer {
    listener: TcpListener,
    door: Arc<Door>,
}

/// Who is let in, and to what.
struct Door {
    tls: Option<PageTls>,
    token: Option<Token>,
    policy: &'static str,
}

impl PageServer {
    /// Takes the address. Any address but a loopback one needs a certificate and a token.
    pub async fn open(
        address: SocketAddr,
        config: &PageConfig,
        source: &ConfigFile,
        policy: &'static str,
    ) -> Result<Self> {
        let door = Door::of(config, source, policy)?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            if listen_address(&config.listen) == Ok(address) {
                let why = format!("is {address}, and pmp-ha cannot listen there: {error}");
                return source.wrong(&Complaint { key: "page.listen".into(), why });
            }
            Failure::new(Kind::Failed, format!("cannot serve the page at {address}"))
                .because(error.to_string())
                .hint("Choose a port that no other program has, and an address of this machine.")
        })?;
        Ok(Self { listener, door: Arc::new(door) })
    }

    /// Where it is, for people.
    pub fn url(&self) -> Result<String> {
        let scheme = if self.door.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{}/", self.listener.local_addr()?))
    }

    /// Serves until it is dropped.
    pub async fn serve(self, answering: Answering) {
        let guests = Arc::new(Guests::default());
        loop {
            let Ok((stream, from)) = self.listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let seat = Guests::seat(&guests, from.ip());
            let (door, answering) = (Arc::clone(&self.door), Arc::clone(&answering));
            tokio::spawn(async move {
                tokio::select! {
                    // ignored: who is too slow, or speaks no HTTP, gets nothing
                    _ = tokio::time::timeout(WHOLE, door.let_in(stream, &answering)) => {}
                    () = seat.leaves.notified() => {}
                }
            });
        }
    }
}

/// Reads the certificate, its key and the token, if they are configured.
pub fn check(config: &PageConfig, source: &ConfigFile) -> Result<()> {
    Door::of(config, source, "").map(|_| ())
}

impl Door {
    fn of(config: &PageConfig, source: &ConfigFile, policy: &'static str) -> Result<Self> {
        let is_protected = config.files().iter().all(|(_, file)| file.is_some());
        let tls = is_protected.then(|| PageTls::open(config, source)).transpose()?;
        let token = is_protected.then(|| Token::open(config, source)).transpose()?;
        Ok(Self { tls, token, policy })
    }

    async fn let_in(&self, stream: TcpStream, answering: &Answering) -> Result<()> {
        match &self.tls {
            Some(tls) => self.talk(tls.accept(stream).await?, answering).await,
            None => self.talk(stream, answering).await,
        }
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
        answering: &Answering,
    ) -> Result<()> {
        let answer = move |request: Request<Incoming>| async move {
            Ok::<_, Infallible>(self.answered(
                request.method(),
                request.uri().path(),
                request.headers(),
                answering,
            ))
        };
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .keep_alive(false);
        Ok(server.serve_connection(TokioIo::new(stream), service_fn(answer)).await?)
    }

    fn answered(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        answering: &Answering,
    ) -> Response<Full<Bytes>> {
        let plain = |status: u16, text: &str| PageAnswer {
            status,
            kind: "text/plain; charset=utf-8",
            body: text.into(),
        };
        let answer = if !matches!(*method, Method::GET | Method::HEAD) {
            plain(405, "Nothing can be changed here.\n")
        } else if let Some(token) = &self.token {
            if token.is_in(headers) { answering(path) } else { plain(401, "A token is needed.\n") }
        } else if is_for_this_machine(headers) {
            answering(path)
        } else {
            plain(421, "This page is for this machine only.\n")
        };
        let mut response = Response::new(Full::new(Bytes::copy_from_slice(answer.body.as_bytes())));
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, answer.kind),
            (header::CACHE_CONTROL, "no-store"),
            (header::CONTENT_SECURITY_POLICY, self.policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if answer.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"pmp-ha\""));
        }
        if answer.status == 405 {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}

/// Whether a request without a token is meant for this machine. A page of a stranger, whose name was
/// made to lead here, says another name.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = if host.starts_with('[') {
        host.trim_start_matches('[').split(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Who is connected, the oldest first.
#[derive(Default)]
struct Guests(Mutex<Vec<Guest>>);

/// One connection.
struct Guest {
    from: IpAddr,
    leaves: Arc<Notify>,
}

/// The place of one connection.
struct Seat {
    guests: Arc<Guests>,
    leaves: Arc<Notify>,
}

impl Guests {
    /// Gives a new connection a place. When there is none, the one of the client with the most connections
    /// goes that has taken the longest: who only asks is answered long before that.
    fn seat(guests: &Arc<Self>, from: IpAddr) -> Seat {
        let from = client(from);
        let mut all = guests.all();
        let number = |one: IpAddr, all: &[Guest]| all.iter().filter(|guest| guest.from == one).count();
        let goes = if number(from, &all) >= MOST_OF_ONE {
            Some(from)
        } else if all.len() >= MOST {
            all.iter().rev().map(|guest| guest.from).max_by_key(|one| number(*one, &all))
        } else {
            None
        };
        if let Some(at) = goes.and_then(|one| all.iter().position(|guest| guest.from == one)) {
            all.remove(at).leaves.notify_one();
        }
        let leaves = Arc::new(Notify::new());
        all.push(Guest { from, leaves: Arc::clone(&leaves) });
        drop(all);
        Seat { guests: Arc::clone(guests), leaves }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guests.all().retain(|guest| !Arc::ptr_eq(&guest.leaves, &self.leaves));
    }
}

/// What counts as one client: an address, and of IPv6 the network in which a machine has all addresses.
fn client(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_for_another_name_is_not_for_this_machine() {
        let asked = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).expect("a header"));
            is_for_this_machine(&headers)
        };
        for host in ["localhost", "LOCALHOST:7273", "127.0.0.1:7273", "127.0.0.1", "[::1]:7273"] {
            assert!(asked(host), "{host}");
        }
        for host in
            ["evil.example.com", "evil.example.com:7273", "10.0.0.7", "localhost.evil.example.com", ""]
        {
            assert!(!asked(host), "{host}");
        }
        assert!(is_for_this_machine(&HeaderMap::new()), "a load balancer with HTTP/1.0");
    }

    #[test]
    fn nobody_keeps_another_client_out() {
        let guests = Arc::new(Guests::default());
        let from = |ip: &str| ip.parse::<IpAddr>().expect("an address");
        let left = |seat: &Seat| !guests.all().iter().any(|guest| Arc::ptr_eq(&guest.leaves, &seat.leaves));
        let take = |ip: &str, number: usize| -> Vec<Seat> {
            (0..number).map(|_| Guests::seat(&guests, from(ip))).collect()
        };
        // One client, in whatever way its address is written, has so many places and keeps the newest.
        let mut first = take("10.0.0.1", 20);
        first.extend(take("::ffff:10.0.0.1", 80));
        assert_eq!(first.iter().filter(|seat| !left(seat)).count(), MOST_OF_ONE);
        assert!(left(&first[0]) && !left(&first[99]));
        // One machine has every address of its network.
        let second: Vec<Seat> = (0..100).flat_map(|n| take(&format!("2001:db8::{n:x}"), 1)).collect();
        assert_eq!(second.iter().filter(|seat| !left(seat)).count(), MOST_OF_ONE);
        // Both together have every place. A third one takes one of theirs, and keeps it.
        let asks = Guests::seat(&guests, from("10.0.0.3"));
        let more = (take("10.0.0.1", 100), take("2001:db8::1", 100));
        assert!(!left(&asks), "who asks stays");
        assert_eq!(guests.all().len(), MOST);
        drop((first, second, more));
        assert_eq!(guests.all().len(), 1);
        drop(asks);
        assert!(guests.all().is_empty());
    }
}
