//! What was seen of an installation, as a value.

use std::net::IpAddr;
use std::time::Duration;

use super::program::ServerProgram;
use crate::domain::certificate::InUse;
use crate::domain::health::Limits;
use crate::domain::pair::Role;
use crate::domain::procedures::Scene;
use crate::domain::procedures::key::KeyScene;
use crate::domain::snapshot::Snapshot;

/// What was seen of an installation.
#[derive(Debug, Clone)]
pub struct DoctorScene {
    /// The home.
    pub home: Scene,
    /// Evidence of processes of the product or its database in this home.
    pub processes: Vec<String>,
    /// When it was seen, seconds since 1970, UTC.
    pub now: i64,
    /// The home of the service on this machine, if it is another one.
    pub other_service: Option<String>,
    /// The bundled server's program.
    pub program: Option<ServerProgram>,
    /// Whether the start script hands our option file to the server.
    pub is_wired: bool,
    /// The names under which the nodes reach each other.
    pub names: Vec<NameSeen>,
    /// The other node, as far as anybody can see it.
    pub peer: Option<PeerSeen>,
    /// The disk.
    pub disk: DiskSeen,
    /// Files with secrets that others can read.
    pub open_secrets: Vec<String>,
    /// The encryption key that the configuration names, if it names one.
    pub key: Option<KeyScene>,
    /// What the system lets the server do.
    pub limits: LimitsSeen,
    /// What is known of the TFA setting.
    pub tfa: TfaSeen,
    /// The tables whose rows the server numbers, if there is a pair and the database runs here.
    pub numbers: Option<Result<Vec<NumberedTable>, String>>,
    /// The certificates of this node's files.
    pub certificates: Vec<InUse>,
    /// The pair, if there is one and the database runs here.
    pub pair: Option<(Snapshot, Limits)>,
    /// An interrupted run.
    pub cut_off: Option<String>,
    /// Whether a pack waits here to be installed.
    pub pack_waits: bool,
}

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This node's.
    This,
    /// The other node's.
    Other,
}

/// A name, and the answer of this machine's resolver.
#[derive(Debug, Clone)]
pub struct NameSeen {
    /// Whose.
    pub whose: Whose,
    /// The name.
    pub host: String,
    /// Its addresses.
    pub addresses: Result<Vec<IpAddr>, String>,
    /// Whether one of them is of this machine.
    pub local: bool,
    /// How long the answer took.
    pub took: Duration,
    /// The names of the first address.
    pub reverse: Result<Vec<String>, String>,
}

/// The other node.
#[derive(Debug, Clone)]
pub struct PeerSeen {
    /// Its name and the port of its database.
    pub node: String,
    /// What its database greets with.
    pub database: Result<String, String>,
    /// Its web port, and whether something answers there. Without a port, it is not known.
    pub web: Option<(u16, Result<(), String>)>,
}

/// The disk with the data.
#[derive(Debug, Clone, Default)]
pub struct DiskSeen {
    /// The binlogs: when each was last written, seconds since 1970, and its size in bytes.
    pub binlogs: Vec<(i64, u64)>,
    /// For how many days they are kept; 0 for ever.
    pub keep_days: u32,
}

/// What the system lets a process do. `None`: without a limit, or not known.
#[derive(Debug, Clone, Default)]
pub struct LimitsSeen {
    /// Whose limits they are.
    pub whose: String,
    /// The number of open files.
    pub open_files: Option<u64>,
    /// The size of a file in bytes.
    pub file_size: Option<u64>,
}

/// A table with an `AUTO_INCREMENT` column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedTable {
    /// Its name.
    pub table: String,
    /// The type of the column, as `bigint(20) unsigned`.
    pub kind: String,
    /// The number of the next row.
    pub next: u64,
    /// Whether its rows flow back from the secondary.
    pub is_audit: bool,
}

/// What is known of the TFA setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TfaSeen {
    /// A query is configured.
    Watched,
    /// None is. Queries that may read it, the likeliest first.
    NotWatched(Vec<String>),
    /// None is, and the schema could not be searched.
    NotSearched(String),
}

impl DoctorScene {
    pub(super) fn role(&self) -> Role {
        self.home.membership.as_ref().map_or(self.home.role, |own| own.role)
    }

    pub(super) fn runs(&self) -> bool {
        !self.processes.is_empty()
    }
}
