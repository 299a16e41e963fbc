//! What was seen of a pair at one moment, and what could not be seen, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use super::flavor::ServerVersion;
use super::pair::Membership;

/// Something that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed<T> {
    /// It was seen.
    Seen(T),
    /// It was not, which is a fact of its own.
    NotSeen(Blind),
}

impl<T> Observed<T> {
    /// What was seen, if it was.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(value) => Some(value),
            Self::NotSeen(_) => None,
        }
    }
}

/// Why something was not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blind {
    /// The kind of reason.
    pub why: BlindReason,
    /// What the attempt said.
    pub evidence: String,
}

/// The kinds of reasons for not seeing a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlindReason {
    /// No process holds its data.
    NotRunning,
    /// Nobody answers at its address.
    Unreachable,
    /// Somebody accepts the connection and then says nothing: frozen, or not this server.
    Silent,
    /// It answers, and turned the account away.
    TurnedAway,
    /// It answers, and has no connection left: alive.
    TooManyConnections,
    /// It only speaks TLS that no client of today speaks; it did answer with its greeting.
    TlsTooOld,
}

/// A server, as its own answers describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView {
    /// Which server it is.
    pub version: ServerVersion,
    /// `SHOW GLOBAL VARIABLES`, names in lower case.
    pub variables: BTreeMap<String, String>,
    /// Whether it can speak TLS to its clients.
    pub tls: bool,
    /// Its replica side, if it has one.
    pub replica: Option<ReplicaView>,
    /// The hosts from which replicas of the pair are reading its binlog.
    pub replicas_connected: Vec<String>,
}

/// The receiver thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// Connected to the source.
    Connected,
    /// Trying to connect.
    Connecting,
    /// Not running.
    Stopped,
}

/// What moves on a living link: heartbeats, or events received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// Whether anything came in.
    pub moved: bool,
    /// How long it was watched.
    pub watched: Duration,
}

/// The replica side of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaView {
    /// The receiver.
    pub receiver: Receiver,
    /// Whether the applier runs.
    pub applier_runs: bool,
    /// Whom it replicates from.
    pub source_host: String,
    /// And at which port.
    pub source_port: u16,
    /// The server id of the source, once it has connected.
    pub source_server_id: Option<u32>,
    /// Whether the channel has TLS, a CA and the check of the host name.
    pub channel_tls: ChannelTls,
    /// The receiver's last error, 0 for none.
    pub receiver_error: (u32, String),
    /// The applier's last error, 0 for none.
    pub applier_error: (u32, String),
    /// The server's own figure in seconds; `None` while it is unknown.
    pub lag: Option<u64>,
    /// The table patterns it takes.
    pub wild_do_tables: Vec<String>,
    /// Whether the link is alive, if it was watched.
    pub pulse: Option<Pulse>,
}

/// What the channel demands of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelTls {
    /// TLS, the pair's CA, and the host in the certificate.
    Verified,
    /// TLS, but the certificate is not fully checked.
    Unverified,
    /// No TLS.
    Off,
}

/// The ports of this home as its files give them now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentPorts {
    /// From the URL in `conf/database_params.conf`.
    pub db: u16,
    /// From `conf/server.xml`.
    pub web: Option<u16>,
}

/// A setting that the running server does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deviation {
    /// The host of the node whose server it is.
    pub node: String,
    /// The variable.
    pub variable: String,
    /// What it should be.
    pub wanted: String,
    /// What it is; `None` when the server does not know it.
    pub found: Option<String>,
}

/// Everything that one look at the pair gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The pair, and which node was looked from.
    pub membership: Membership,
    /// This home's ports now.
    pub ports: CurrentPorts,
    /// This node's server.
    pub local: Observed<ServerView>,
    /// The other node's server.
    pub peer: Observed<ServerView>,
    /// What of the nodes' settings is not in effect.
    pub deviations: Vec<Deviation>,
}
