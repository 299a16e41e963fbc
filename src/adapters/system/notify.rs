//! Tells systemd how a service is doing: the protocol of `sd_notify(3)`, one datagram a message.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to systemd; nothing outside of a service that it started.
#[derive(Debug, Default)]
pub struct ServiceManager {
    way: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that the environment names.
    #[must_use]
    pub fn from_environment() -> Self {
        let way = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok()?,
                [b'/', ..] => SocketAddr::from_pathname(&name).ok()?,
                _ => return None,
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address))
        });
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|time| *time > 0 && is_ours && way.is_some());
        Self { way, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// Sends a message: `READY=1`, `STATUS=…`, `WATCHDOG=1`, `STOPPING=1`, one on a line.
    pub fn say(&self, text: &str) {
        if let Some((socket, address)) = &self.way {
            // ignored: a service manager that does not listen misses nothing that matters here
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }

    /// How long systemd waits for a watchdog message before it restarts the service.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }
}
