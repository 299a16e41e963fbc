//! What was seen of a pair at one moment, and what could not be seen and why.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::built_in::Feature;
use super::certificate::{InUse, Unfit};
use super::digest::Sha256Hex;
use super::errant::{Errant, Reading};
use super::flavor::ServerVersion;
use super::pair::{Membership, Role};
use super::returned::Returned;
use super::rotation::HowFar;
use super::standing::NodeState;
use super::web::WebLook;

/// A fact that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed<T> {
    /// It was seen.
    Seen(T),
    /// It was not seen, which is a fact too.
    NotSeen(Blind),
}

impl<T> Observed<T> {
    /// Returns what was seen, if it was.
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
    /// The message of the attempt.
    pub evidence: String,
}

/// The kinds of reasons for not seeing a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlindReason {
    /// No process holds its data.
    NotRunning,
    /// Nobody answers at its address, or something there refuses the connection. A firewall and a
    /// forwarder do that too, so it is no sign that the server is down.
    Unreachable,
    /// Something accepts the connection and then sends nothing: frozen, or not this server.
    Silent,
    /// It let this node in and answered, and the look did not end in time.
    Slow,
    /// It answers, but refused the account.
    TurnedAway,
    /// The connection failed because of a certificate: ours, or that of what answers.
    Certificate(Unfit),
    /// It is alive, but has no connection left.
    TooManyConnections,
    /// It answers, and this program lacks the part that speaks with it.
    NotBuiltIn(Feature),
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
    /// Whether its commits wait for a replica; read only if that is configured.
    pub semi_sync: Option<SemiSyncView>,
    /// Its clock when the heartbeat rows were read, microseconds since 1970, UTC.
    pub clock: i64,
    /// How far its clock is ahead of the clock of the machine that looks, in microseconds.
    pub clock_offset: i64,
    /// The heartbeat rows in its data.
    pub beats: Vec<Beat>,
    /// Whether its data are to be compared: it may lack rows that a former secondary sent to the primary.
    pub compare_due: bool,
    /// The installation's own options that leave changes out of what its applier executes: `option = value`.
    pub left_out: Vec<String>,
    /// The account that it used for this login, if it does not check logins.
    pub lets_everybody_in: Option<String>,
    /// The role that it publishes.
    pub says: Option<NodeState>,
    /// How the application's rights differ from the write guard; `None` if it was never set.
    pub rights_changed: Option<Vec<String>>,
    /// Transactions that no session owns and that hold their locks for a while: prepared by XA, and left.
    pub prepared: u64,
    /// The tables into which the write guard lets the application insert, as `schema.table`.
    pub insertable: Vec<String>,
    /// Errant writes on it; searched for only on the secondary.
    pub errant: Option<Errantry>,
    /// What the other node has sent to it; read only on the primary, where the server cannot limit what it
    /// executes.
    pub returned: Option<Result<ReturnedWrites, String>>,
    /// When the certificate that it uses ends, seconds since 1970; `None` if it does not say.
    pub certificate_ends: Option<i64>,
    /// For how many seconds it has run; `None` if it does not say.
    pub uptime: Option<u64>,
}

/// Semi-synchronous replication, as the server of a source describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SemiSyncView {
    /// It has none: its plugin is not loaded.
    Absent,
    /// It has it.
    Present {
        /// Whether its commits wait now.
        on: bool,
        /// How many replicas say when they have received something.
        replicas: u64,
        /// How many commits have not waited since the server was started.
        not_awaited: u64,
    },
}

/// Errant writes on the secondary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrantWrites {
    /// The first ones.
    pub found: Vec<Errant>,
    /// How many there are.
    pub total: u64,
    /// Bytes of binlog that were not read yet.
    pub unread: u64,
    /// How far the binlogs were read: where the next look continues, once it is stored.
    pub reading: Reading,
}

/// What the secondary has sent to the primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnedWrites {
    /// What was found, and where the next look continues, once it is stored.
    pub reading: Returned,
    /// Whether more is there to be read.
    pub more: bool,
}

/// The result of the search for errant writes.
pub type Errantry = Result<ErrantWrites, String>;

impl ServerView {
    /// The heartbeat row of a node in the data of this server.
    #[must_use]
    pub fn beat_of(&self, node: u32) -> Option<Beat> {
        self.beats.iter().find(|beat| beat.node == node).copied()
    }
}

/// The heartbeat row of a node. Times are microseconds since 1970, UTC; 0 is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Whose row it is.
    pub node: u32,
    /// When it was written, by the clock of that node.
    pub beat: i64,
    /// The newest row of the other node that it had applied by then, by the other's clock.
    pub echo: i64,
    /// The last epoch in which it was the primary then; 0 is none.
    pub epoch: u64,
    /// When the event of its server last wrote it, as far as the queried server knows.
    ///
    /// A request may have written a newer row.
    pub by_event: i64,
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
    /// The host it replicates from.
    pub source_host: String,
    /// The port it replicates from.
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
    /// The server's limit for the applier; `None` if it cannot limit it.
    pub limit: Option<ApplierLimit>,
    /// Whether the link is alive, if it was watched.
    pub pulse: Option<Pulse>,
}

/// The limit of a server for its applier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplierLimit {
    /// The account whose rights bind it, `'user'@'host'`, if one does.
    pub account: Option<String>,
    /// Whether it executes changes of rows only, and no statements that change data.
    pub rows_only: bool,
    /// How the account's rights differ from those that it was given; `None` if it never got any.
    pub rights_changed: Option<Vec<String>>,
}

/// What the channel requires of the source.
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

impl Deviation {
    /// Whether it only reports that the server has no semi-synchronous replication.
    #[must_use]
    pub fn is_for_want_of_semi_sync(&self) -> bool {
        self.found.is_none() && self.variable.starts_with("rpl_semi_sync_")
    }
}

/// Everything that one check of the pair found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The pair, and the node from which it was seen.
    pub membership: Membership,
    /// This home's ports now.
    pub ports: CurrentPorts,
    /// This node's server.
    pub local: Observed<ServerView>,
    /// The other node's server.
    pub peer: Observed<ServerView>,
    /// What of the nodes' settings is not in effect.
    pub deviations: Vec<Deviation>,
    /// The option file of the installation's own, if it has changed since this home's was written.
    pub own_options: Option<String>,
    /// The TFA setting, on a secondary.
    pub tfa: Tfa,
    /// The key file of a secondary, if its data say that another key opens them.
    pub old_key: Option<String>,
    /// Bytes free on the disk with the data of this node.
    pub disk: Option<u64>,
    /// When this was seen, seconds since 1970, UTC.
    pub now: i64,
    /// The certificates of the pair that are known here, and when they end.
    pub certificates: Vec<InUse>,
    /// The command of a run that was interrupted here, if there is one.
    pub open_run: Option<String>,
    /// How far a change of the pair's secrets is here, if one is under way.
    pub rotating: Option<HowFar>,
    /// Whether this node trusts two CAs of the pair, and no change of the secrets is the reason.
    pub trusts_two_cas: bool,
    /// Whether the product itself answers on both nodes.
    pub web: WebLook,
    /// The proof that rows flow both ways, if it was asked for, or why there is none.
    pub proof: Option<Result<RoundTrip, String>>,
}

/// The TFA setting, which the product reads when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tfa {
    /// No query is configured, or this is not a secondary.
    NotWatched,
    /// It is what it was at the last start.
    AsAtStart,
    /// It has changed since.
    Changed,
    /// Nothing was noted since the last start: this is what to note.
    NotNoted(TfaNote),
    /// It cannot be read.
    Unknown(String),
}

/// The TFA setting at one start of the server, with which a later look detects a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TfaNote {
    /// The server that runs: its process, and when that was started, in ticks since the machine booted.
    pub server: (u32, u64),
    /// Of the answer to the query.
    pub hash: Sha256Hex,
}

/// How long a heartbeat row took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrip {
    /// Until it was seen on the other node; `None` where that did not happen or could not be seen.
    pub there: Option<Duration>,
    /// Until its echo was back here; `None` when it did not come in time.
    pub back: Option<Duration>,
    /// How long pmp-ha waited for it.
    pub waited: Duration,
}

impl RoundTrip {
    /// Whether a value tells of the heartbeat that this node wrote at `written`, by its server's clock, if
    /// so much time has passed since. A later one cannot have come from here: somebody made it up.
    #[must_use]
    pub fn tells_of(value: i64, written: i64, passed: Duration) -> bool {
        /// A clock may be set forward a little meanwhile.
        const SLEWED: i64 = 1_000_000;
        let passed = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
        (written..=written.saturating_add(passed).saturating_add(SLEWED)).contains(&value)
    }
}

impl Snapshot {
    /// Returns the server of the node in `role`, seen or not.
    #[must_use]
    pub fn observed(&self, role: Role) -> &Observed<ServerView> {
        if role == self.membership.role { &self.local } else { &self.peer }
    }

    /// Returns the server of the node in `role`, if it was seen.
    #[must_use]
    pub fn server(&self, role: Role) -> Option<&ServerView> {
        self.observed(role).seen()
    }
}
