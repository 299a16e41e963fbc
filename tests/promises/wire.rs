//! A network between the nodes that can be listened to, cut, and made to swallow everything.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How a link treats what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Passes it on.
    Open,
    /// Lets nobody in, and ends what there is.
    Cut,
    /// Keeps every connection and drops every byte.
    Swallowing,
}

struct Shared {
    mode: Mutex<Mode>,
    /// Counts up whenever the connections that there are have to end.
    cuts: AtomicUsize,
    turned_away: AtomicUsize,
    recorded: Mutex<Vec<u8>>,
    ended: AtomicBool,
}

/// A link on the loopback: listens on a port of its own and forwards to one target.
pub struct Link {
    pub port: u16,
    shared: Arc<Shared>,
}

const TICK: Duration = Duration::from_millis(20);

impl Link {
    /// Opens a link to HOST:PORT.
    pub fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("settable");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared {
            mode: Mutex::new(Mode::Open),
            cuts: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            recorded: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let (target, of_thread) = (target.to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || accept(&listener, &target, &of_thread));
        Self { port, shared }
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

    /// Keeps all connections, takes new ones, and passes nothing on.
    pub fn swallow(&self) {
        self.set(Mode::Swallowing);
    }

    /// Ends all connections, the dead ones too.
    pub fn end_connections(&self) {
        self.shared.cuts.fetch_add(1, Ordering::SeqCst);
    }

    /// How many tries to connect met a cut link.
    pub fn turned_away(&self) -> usize {
        self.shared.turned_away.load(Ordering::SeqCst)
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

fn accept(listener: &TcpListener, target: &str, shared: &Arc<Shared>) {
    while !shared.ended.load(Ordering::SeqCst) {
        let Ok((client, _)) = listener.accept() else {
            std::thread::sleep(TICK);
            continue;
        };
        let mode = *shared.mode.lock().expect("whole");
        if mode == Mode::Cut {
            shared.turned_away.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        // A target that is down ends the connection, as it would without the link.
        let Ok(server) = TcpStream::connect(target) else {
            continue;
        };
        let swallowed = Arc::new(AtomicBool::new(false));
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (from, to) = (from.try_clone().expect("clonable"), to.try_clone().expect("clonable"));
            let (shared, swallowed) = (Arc::clone(shared), Arc::clone(&swallowed));
            std::thread::spawn(move || pump(from, to, &shared, &swallowed));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, swallowed: &AtomicBool) {
    let born = shared.cuts.load(Ordering::SeqCst);
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
        if *shared.mode.lock().expect("whole") == Mode::Swallowing {
            swallowed.store(true, Ordering::SeqCst);
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
    // ignored: the other direction may have ended both already
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
