//! A network between the nodes that can be listened to, delayed, cut, and made to swallow everything.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockaddrIn};

use super::Lab;

/// How a link treats what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Passes it on.
    Open,
    /// Lets nobody in, and ends what there is.
    Cut,
    /// Refuses every connection, as a firewall's REJECT does, or a machine whose server is down.
    Rejecting,
    /// Keeps every connection and drops every byte.
    Swallowing,
}

struct Shared {
    mode: Mutex<Mode>,
    /// Milliseconds by which whatever is passed on is late.
    delay: AtomicU64,
    /// Counts up whenever the connections that there are have to end.
    cuts: AtomicUsize,
    turned_away: AtomicUsize,
    /// Connections of which bytes were dropped.
    silenced: AtomicUsize,
    recorded: Mutex<Vec<u8>>,
    ended: AtomicBool,
}

/// A link on the loopback: listens on a port of its own and forwards to one target.
pub struct Link {
    pub port: u16,
    /// HOST:PORT of its near end.
    pub endpoint: String,
    shared: Arc<Shared>,
}

/// The network between two nodes: a link for each direction in which one of them connects.
pub struct Links {
    pub to_primary: Link,
    pub to_secondary: Link,
}

impl Links {
    /// Links to both nodes, each at the address of the node that it leads to.
    pub fn of(lab: &Lab) -> Self {
        Self { to_primary: Link::to(&lab.primary.endpoint), to_secondary: Link::to(&lab.secondary.endpoint) }
    }

    fn both(&self) -> [&Link; 2] {
        [&self.to_primary, &self.to_secondary]
    }

    pub fn open(&self) {
        self.both().into_iter().for_each(Link::open);
    }

    pub fn cut(&self) {
        self.both().into_iter().for_each(Link::cut);
    }

    pub fn reject(&self) {
        self.both().into_iter().for_each(Link::reject);
    }

    /// How many tries to connect to each node met a cut link.
    pub fn turned_away(&self) -> [usize; 2] {
        self.both().map(Link::turned_away)
    }

    pub fn swallow(&self) {
        self.both().into_iter().for_each(Link::swallow);
    }

    pub fn delay(&self, by: Duration) {
        self.both().into_iter().for_each(|link| link.delay(by));
    }
}

/// A connection that is closed with this ends with a reset.
const RESET: nix::libc::linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };

const TICK: Duration = Duration::from_millis(20);

impl Link {
    /// Opens a link to HOST:PORT, on another port of the same address.
    pub fn to(target: &str) -> Self {
        let (host, _) = target.rsplit_once(':').expect("a port");
        Self::at(host, target)
    }

    /// Opens a link to HOST:PORT, at another address.
    pub fn at(host: &str, target: &str) -> Self {
        Self::listening(listener_at(host), target)
    }

    /// Opens a link to HOST:PORT, at an address and port that are free.
    pub fn on(endpoint: &str, target: &str) -> Self {
        Self::listening(TcpListener::bind(endpoint).expect("a free port"), target)
    }

    fn listening(listener: TcpListener, target: &str) -> Self {
        listener.set_nonblocking(true).expect("settable");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Open),
            delay: AtomicU64::new(0),
            cuts: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            silenced: AtomicUsize::new(0),
            recorded: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let (target, of_thread) = (target.to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || accept(&listener, &target, &of_thread));
        Self { port: address.port(), endpoint: address.to_string(), shared }
    }

    /// Passes everything on again. A connection from which bytes were swallowed stays dead and
    /// open, as behind a firewall that has forgotten it.
    pub fn open(&self) {
        self.set(Mode::Open);
    }

    /// Ends all connections and lets nobody in.
    pub fn cut(&self) {
        self.set(Mode::Cut);
        self.end_connections();
    }

    /// Resets all connections, and refuses new ones: nobody listens, whatever the target does.
    pub fn reject(&self) {
        self.set(Mode::Rejecting);
        self.end_connections();
        let refused = || TcpStream::connect(&self.endpoint).is_err();
        while !refused() {
            std::thread::sleep(TICK);
        }
    }

    /// Keeps all connections, takes new ones, and passes nothing on.
    pub fn swallow(&self) {
        self.set(Mode::Swallowing);
    }

    /// Passes everything on so much later from now on, each way.
    pub fn delay(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("not so long");
        self.shared.delay.store(by, Ordering::SeqCst);
    }

    /// Ends all connections, the dead ones too.
    pub fn end_connections(&self) {
        self.shared.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// How many tries to connect met a cut link.
    pub fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
    }

    /// How many connections have lost bytes in a silent link.
    pub fn silenced(&self) -> usize {
        self.shared.silenced.load(Ordering::SeqCst)
    }

    /// Every byte that went through, both ways.
    pub fn recorded(&self) -> Vec<u8> {
        self.shared.recorded.lock().expect("whole").clone()
    }

    fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("whole") = mode;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

/// Whether `bytes` hold `part`.
pub fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A listener that keeps its port while it does not listen: the kernel lets go of a port that it
/// chose itself.
fn listener_at(host: &str) -> TcpListener {
    loop {
        let chosen = TcpListener::bind((host, 0)).expect("a port");
        let address = chosen.local_addr().expect("an address");
        drop(chosen);
        if let Ok(listener) = TcpListener::bind(address) {
            return listener;
        }
    }
}

/// Whether somebody listens on an address: it cannot be bound then. A look that connects would count as
/// an aborted login at the server, and the kernel's list of all connections is long to read.
fn is_listened_on(target: &str) -> bool {
    let address: SocketAddrV4 = target.parse().expect("an address and a port");
    let kind = socket::SockType::Stream;
    let probe = socket::socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    // Bound without listening, it is in nobody's way.
    socket::setsockopt(&probe, socket::sockopt::ReuseAddr, &true).expect("set");
    match socket::bind(probe.as_raw_fd(), &SockaddrIn::from(address)) {
        Ok(()) => false,
        Err(Errno::EADDRINUSE) => true,
        Err(error) => panic!("cannot ask for {target}: {error}"),
    }
}

fn accept(listener: &TcpListener, target: &str, shared: &Arc<Shared>) {
    let mut listens = true;
    while !shared.ended.load(Ordering::SeqCst) {
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(TICK);
            // An open link refuses a connection to a target that is down, as the target itself would.
            let mode = *shared.mode.lock().expect("whole");
            let shall_listen = match mode {
                Mode::Open => is_listened_on(target),
                Mode::Rejecting => false,
                Mode::Cut | Mode::Swallowing => true,
            };
            if listens && !shall_listen {
                socket::shutdown(listener.as_raw_fd(), socket::Shutdown::Both).expect("closed");
            } else if shall_listen && !listens {
                socket::listen(listener, socket::Backlog::MAXCONN).expect("it listens again");
            }
            listens = shall_listen;
            continue;
        };
        // A cut that comes after this look ends the connection that is about to be made.
        let born = shared.cuts.load(Ordering::SeqCst);
        let mode = *shared.mode.lock().expect("whole");
        if matches!(mode, Mode::Cut | Mode::Rejecting) {
            shared.turned_away.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        // A target that has just gone down ends the connection.
        let Ok(server) = TcpStream::connect(target) else {
            continue;
        };
        let swallowed = Arc::new(AtomicBool::new(false));
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to) = (from.try_clone().expect("clonable"), to.try_clone().expect("clonable"));
            let (shared, swallowed) = (Arc::clone(shared), Arc::clone(&swallowed));
            std::thread::spawn(move || pump(from, to, &shared, born, &swallowed));
        }
    }
}

/// Passes on what comes in, until the link is cut more often than it was when this was `born`.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, born: usize, swallowed: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    from.set_nonblocking(false).expect("settable");
    from.set_read_timeout(Some(TICK)).expect("settable");
    to.set_nodelay(true).expect("settable");
    loop {
        if shared.ended.load(Ordering::SeqCst) || shared.cuts.load(Ordering::SeqCst) != born {
            break;
        }
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                continue;
            }
            Err(_) => break,
        };
        std::thread::sleep(Duration::from_millis(shared.delay.load(Ordering::SeqCst)));
        // What was sent after the link was cut does not arrive, nor what was on its way.
        if shared.cuts.load(Ordering::SeqCst) != born {
            break;
        }
        let is_silent = *shared.mode.lock().expect("whole") == Mode::Swallowing;
        if is_silent && !swallowed.swap(true, Ordering::SeqCst) {
            shared.silenced.fetch_add(1, Ordering::SeqCst);
        }
        if swallowed.load(Ordering::SeqCst) {
            continue;
        }
        shared.recorded.lock().expect("whole").extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // A dead connection ends on neither side unless it is ended.
    if swallowed.load(Ordering::SeqCst) && shared.cuts.load(Ordering::SeqCst) == born {
        while !shared.ended.load(Ordering::SeqCst) && shared.cuts.load(Ordering::SeqCst) == born {
            std::thread::sleep(TICK);
        }
    }
    if *shared.mode.lock().expect("whole") == Mode::Rejecting {
        for end in [&from, &to] {
            // ignored: the other direction may have ended both already
            let _ = socket::setsockopt(end, socket::sockopt::Linger, &RESET);
        }
        return;
    }
    // ignored: the other direction may have ended both already
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
