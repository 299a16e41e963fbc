//! A plan: the steps of a command as a value. `--dry-run` prints the very value that would run.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::coordinates::Coordinates;
use super::pair::{Membership, Role};
use super::settings::LOCAL_SCHEMA;
use super::standing::BinlogPlace;

/// What an offline boot of the server is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task")]
pub enum BootTask {
    /// Create the tool's accounts on the primary and record the coordinates.
    PrepareSource {
        /// Marks the pack in the data.
        pack_id: String,
    },
    /// Make the secondary's accounts agree and point it at its source.
    PrepareReplica {
        /// The application's account.
        account: String,
        /// Where to go on.
        from: Coordinates,
    },
    /// Work off what was received, forget the source, make the accounts agree.
    StandAlone {
        /// The application's account.
        account: String,
        /// Whether to go on where what was received cannot all be applied.
        accept_loss: bool,
        /// How the data were copied from a running server, which had applied all that it had received.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copied: Option<CopyWay>,
        /// Whether nothing but the data themselves can say that they are a secondary's.
        #[serde(default)]
        unnamed: bool,
        /// How the data are asked whether the key is theirs, if they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_check: Option<KeyCheck>,
    },
    /// Work off what was received before a start lets go of it.
    WorkOff {
        /// The application's account.
        account: String,
        /// Whether to go on where what was received cannot all be applied.
        accept_loss: bool,
    },
    /// Look for rows that only this node has.
    FindExtra {
        /// Up to where the other node had applied the binlogs here.
        since: BinlogPlace,
        /// The file that they are saved in.
        file: String,
        /// Whether to go on when there are any: the data are kept.
        go_on: bool,
    },
}

/// A question to the data: whether a key is the one that they are encrypted with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCheck {
    /// Full path of the key file. The key itself never gets here.
    pub key: String,
    /// The query, with [`KEY_PLACEHOLDER`] where the key belongs.
    pub query: String,
}

/// Stands for the key in the query that asks about it.
pub const KEY_PLACEHOLDER: &str = "{key}";

/// How the data of a running database are copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum CopyWay {
    /// The server copies itself.
    Clone {
        /// Whether the plugin that does it is not there yet, and goes again.
        install: bool,
    },
    /// The server's own backup tool.
    BackupTool {
        /// Its full path.
        program: String,
    },
    /// A lock against writes, and a copy of the files once every page is on the disk.
    Lock,
}

impl fmt::Display for CopyWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clone { .. } => f.write_str("by the server itself (CLONE); writes go on"),
            Self::BackupTool { program } => write!(f, "by {program}; writes wait for a moment"),
            Self::Lock => f.write_str("under a lock; writes wait for as long as the copy takes"),
        }
    }
}

/// Which tables a repair compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every table of the product.
    Every,
    /// These.
    Tables(Vec<String>),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("every table"),
            Self::Tables(names) => f.write_str(&names.join(", ")),
        }
    }
}

/// What is done to the rows of a table to make them equal to the primary's: numbers and keys, never
/// values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// The table.
    pub table: String,
    /// Rows that only the primary has.
    pub insert: u64,
    /// Rows that both have, and that differ.
    pub update: u64,
    /// Rows that only the secondary has.
    pub delete: u64,
    /// Audit rows that only the secondary has.
    pub merge: u64,
    /// The keys of the first of them.
    pub keys: Vec<String>,
    /// How many more keys there are.
    pub more: u64,
}

impl fmt::Display for TableChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.insert, "to insert"),
            (self.update, "to update"),
            (self.delete, "to delete"),
            (self.merge, "to merge into both"),
        ];
        let counts: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        write!(f, "{}: {} ({}", self.table, counts.join(", "), self.keys.join(", "))?;
        if self.more > 0 {
            write!(f, " and {} more", self.more)?;
        }
        f.write_str(")")
    }
}

/// A part of an exchange of roles between two nodes that work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "part")]
pub enum Exchange {
    /// Wait until the other node takes part, too.
    Meet {
        /// The name of the exchange, which the secondary gives it.
        run: Option<String>,
        /// How long, seconds.
        wait: u64,
    },
    /// Go on with an exchange in which the other node has handed the role over.
    TakeUp {
        /// Its name.
        run: String,
    },
    /// On the primary: the application may write no more.
    RefuseWrites {
        /// The application's account.
        account: String,
    },
    /// On the primary: wait until the secondary has applied everything.
    AwaitCaughtUp {
        /// How long, seconds; then everything is put back.
        at_most: u64,
    },
    /// On the primary: it is none any more.
    HandOver,
    /// On the secondary: wait until the primary refuses writes, apply everything.
    CatchUp,
    /// On the secondary: wait until the primary is none any more.
    AwaitHandOver,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meet { wait, .. } => {
                write!(f, "wait until the other node takes part, for {wait} s at most")
            }
            Self::TakeUp { .. } => f.write_str("take the role that the other node has handed over"),
            Self::RefuseWrites { .. } => f.write_str("refuse the application's writes, by the write guard"),
            Self::AwaitCaughtUp { at_most } => {
                write!(f, "wait until the other node has applied everything, for {at_most} s at most")
            }
            Self::HandOver => f.write_str("hand the role over"),
            Self::CatchUp => {
                f.write_str("wait until the primary refuses writes, apply everything that it wrote")
            }
            Self::AwaitHandOver => f.write_str("wait until the primary hands the role over"),
        }
    }
}

/// One step. Every step can be done again, and undone until the point of no return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Write certificates, credentials and the option file of the primary.
    MakeNodeFiles {
        /// What the home is to know about its pair.
        membership: Membership,
        /// Whether the folder is there already and its CA and passwords are kept.
        renew: bool,
    },
    /// Put the node files of an extracted pack in their place.
    TakeNodeFiles {
        /// What the home is to know about its pair.
        membership: Membership,
    },
    /// Make the start script hand the option file to mysqld.
    WireStartScript,
    /// Start the server without a network, do a task, stop it cleanly.
    OfflineBoot(BootTask),
    /// Copy the data of the stopped database, to compress them from there.
    CopySource {
        /// How many files of the data directory.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Start the database with the product's own script, and leave it to the product.
    StartDatabase,
    /// Begin the way back anew on the running database, and mark the pack in the data.
    RenewWayBack {
        /// What the home is to know about its pair.
        membership: Membership,
        /// Marks the pack in the data.
        pack_id: String,
    },
    /// Copy the data of the running database.
    CopyOnline {
        /// How.
        way: CopyWay,
        /// Which pack they are for.
        pack_id: String,
        /// How many files of the data directory there were when the plan was made.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Boot the copy without a network, and stop it cleanly.
    SettleCopy {
        /// How it was made.
        way: CopyWay,
        /// Which pack it is for.
        pack_id: String,
    },
    /// Compress the data directory, or the copy of it, and the secondary's node files into the pack.
    WritePack {
        /// The file.
        pack: String,
        /// How many files of the data directory.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// Whether it shall rather be small than quickly made.
        #[serde(default)]
        dense: bool,
        /// The private key that signs it.
        #[serde(default)]
        sign_with: Option<String>,
        /// The file with the public key that it is encrypted to.
        #[serde(default)]
        encrypt_to: Option<String>,
    },
    /// Extract a pack beside the data directory, every byte verified on the way.
    ExtractPack {
        /// The file.
        pack: String,
        /// Which pack was planned for: another one under the same name is not extracted.
        pack_id: String,
        /// How many files.
        files: usize,
        /// Their bytes, uncompressed.
        bytes: u64,
    },
    /// Copy a verified pack that was unpacked by hand to the place beside the data directory.
    CopyUnpacked {
        /// Which pack was verified: another one is not taken.
        pack_id: String,
        /// How many files.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Copy another home's data directory beside this one's.
    CopyData {
        /// The data directory to copy.
        from: String,
        /// How many files.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Copy the data of another home, whose database runs, beside this one's.
    CopyLive {
        /// The home to copy from.
        from: String,
        /// How.
        way: CopyWay,
        /// How many files of the data directory there were when the plan was made.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Exchange the data directory with what lies ready beside it.
    SwapData,
    /// Write what the home knows about its pair, and the option file that follows from it.
    SetMembership {
        /// What the home is to know about its pair.
        membership: Membership,
    },
    /// Align the channel, the events and the write guard with what the home knows about its pair.
    Reconfigure {
        /// The application's account.
        account: String,
    },
    /// Write `conf/serverstate.conf`.
    WriteRole {
        /// The role.
        role: Role,
        /// The word for it, where it is not the product's own for a primary.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<String>,
    },
    /// Run the program that cuts the other node off.
    Fence {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// Start the database, unless it runs.
    BringUp,
    /// Stop the database, unless it is stopped.
    TakeDown,
    /// Receive nothing more, and apply everything that was received.
    DrainReplica {
        /// The application's account.
        account: String,
        /// Whether to go on where it cannot all be applied.
        accept_loss: bool,
    },
    /// Tell the other node that a new epoch begins, and see that it is not about to start.
    Claim {
        /// The new epoch.
        epoch: u64,
        /// The latest epoch of the other node that this one knows of.
        replaces: u64,
        /// The application's account.
        account: String,
        /// Whether the other node is known to be fenced, so that nothing of it has to be seen.
        fenced: bool,
    },
    /// A part of an exchange of roles.
    Exchange(Exchange),
    /// Stop the database and start it again: what only a start can teach it.
    RestartDatabase,
    /// Write `conf/manage_key.conf`.
    WriteKeyPath {
        /// The key file.
        key: String,
    },
    /// Start the database as the product does, look at it, stop it.
    ProveStart,
    /// Remove the old data directory.
    DropOldData,
    /// Keep the old data directory under a name of its own.
    KeepOldData {
        /// The name, beside the data directory.
        name: String,
    },
    /// Exchange the data directory with the kept one.
    SwapKept {
        /// The name of the kept one, beside the data directory.
        name: String,
    },
    /// Put the small files of the home back as they were kept.
    RestoreKept,
    /// Make what the home was the kept state: its data, and the small files that belong to them.
    KeepHome {
        /// The name that its data have now; without it they are the old data of an exchange.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The name that its data get, beside the data directory.
        name: String,
        /// What was done to the home then.
        then: String,
    },
    /// Remove the data that were kept before.
    DropKept {
        /// Their name, beside the data directory.
        name: String,
    },
    /// Begin the file that brings back the rows of a secondary as they were before a repair.
    SaveRows {
        /// Full path of the file.
        file: String,
        /// Whether what differs now is saved at once: the applier stands, and goes on next.
        now: bool,
    },
    /// Make a table as it is on the primary, empty.
    MakeTable {
        /// The table.
        table: String,
        /// Where the table that is there stays, in the tool's own local schema.
        kept: Option<String>,
    },
    /// Let the applier pass what it stopped at, the primary's row over whatever is in the way.
    PassConflicts {
        /// The error that it stopped at, 0 for none.
        error: u32,
    },
    /// Start receiver and applier.
    StartReplication,
    /// Make the rows of the secondary equal to the primary's.
    CorrectRows {
        /// Which tables are compared.
        scope: Scope,
        /// Whether conflicts of the applier are passed meanwhile.
        passing: bool,
        /// What was found to differ when the plan was made.
        changes: Vec<TableChange>,
    },
    /// Compare again until nothing differs.
    ProveEqual {
        /// Which tables are compared.
        scope: Scope,
        /// Whether a conflict that comes up may be passed.
        passing: bool,
        /// The place in the binlog here before which writes against the rules are put right then.
        put_right: Option<(String, u64)>,
    },
}

impl fmt::Display for BootTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrepareSource { .. } => {
                f.write_str("boot the database without a network: create the tool's accounts, record the coordinates, stop cleanly")
            }
            Self::PrepareReplica { from, account } => write!(
                f,
                "boot the database without a network: give '{account}' the password of this home, replicate from {from}, stop cleanly"
            ),
            Self::WorkOff { .. } => f.write_str(
                "boot the database without a network: apply what was received before it stopped, stop cleanly",
            ),
            Self::FindExtra { since, .. } => write!(
                f,
                "boot the database without a network: look for what only this node has, from {}:{} of its binlogs on, stop cleanly",
                since.file, since.position
            ),
            Self::StandAlone { account, copied, key_check, .. } => {
                f.write_str("boot the database without a network: ")?;
                if copied.is_none() {
                    f.write_str("apply what was received, ")?;
                }
                write!(f, "forget the source, give '{account}' the password of this home, ")?;
                if let Some(check) = key_check {
                    write!(f, "ask the data whether {} is their key, ", check.key)?;
                }
                f.write_str("stop cleanly")
            }
        }
    }
}

impl fmt::Display for Step {
    #[expect(clippy::too_many_lines, reason = "a line a step: the words of every plan")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeNodeFiles { renew: false, .. } => {
                f.write_str("write conf/pmp-ha: a CA, a certificate for each node, credentials, the option file")
            }
            Self::MakeNodeFiles { renew: true, .. } => {
                f.write_str("write conf/pmp-ha: certificates and option file anew, CA and credentials as they are")
            }
            Self::TakeNodeFiles { .. } => f.write_str("write conf/pmp-ha: certificate, credentials, the option file"),
            Self::WireStartScript => f.write_str("wire the start script to conf/pmp-ha/mysqld.cnf"),
            Self::OfflineBoot(task) => task.fmt(f),
            Self::CopySource { files, bytes } => {
                write!(f, "copy {files} files, {}, to replication/pmp-ha-work until they are packed", Bytes(*bytes))
            }
            Self::StartDatabase | Self::BringUp => f.write_str("start the database with the product's own script"),
            Self::RenewWayBack { .. } => f.write_str(
                "on the running database: a new password for the way back of the audit rows, which begins anew",
            ),
            Self::CopyOnline { way, files, bytes, .. } => write!(
                f,
                "copy {files} files, {}, of the running database to replication/pmp-ha-work, {way}",
                Bytes(*bytes)
            ),
            Self::SettleCopy { .. } => f.write_str("boot the copy without a network, stop it cleanly"),
            Self::WritePack { pack, files, bytes, sign_with, encrypt_to, .. } => {
                write!(f, "compress {files} files, {}, into {pack}", Bytes(*bytes))?;
                if let Some(key) = sign_with {
                    write!(f, ", signed with {key}")?;
                }
                match encrypt_to {
                    Some(key) => write!(f, ", encrypted to {key}"),
                    None => Ok(()),
                }
            }
            Self::ExtractPack { pack, files, bytes, .. } => {
                write!(f, "extract {files} files, {}, from {pack} to a place beside mysql/data", Bytes(*bytes))
            }
            Self::CopyUnpacked { files, bytes, .. } => write!(
                f,
                "copy the {files} files of the pack, {}, that were unpacked here to a place beside mysql/data",
                Bytes(*bytes)
            ),
            Self::CopyData { from, files, bytes } => {
                write!(f, "copy {files} files, {}, from {from} to a place beside mysql/data", Bytes(*bytes))
            }
            Self::CopyLive { from, way, files, bytes } => write!(
                f,
                "wait until the database in {from} has applied what it has received, and copy its {files} files, {}, to a place beside mysql/data, {way}",
                Bytes(*bytes)
            ),
            Self::SwapData => f.write_str("exchange mysql/data with the new data; the old data stay beside it"),
            Self::SetMembership { membership } => write!(
                f,
                "write conf/pmp-ha: this is {}, the other node is {}, and the option file",
                membership.this(),
                membership.peer()
            ),
            Self::Reconfigure { .. } => {
                f.write_str("align the channel, the heartbeat and the write guard with it; replication pauses for a moment")
            }
            Self::WriteRole { role, .. } => write!(f, "write the role {role} into conf/serverstate.conf"),
            Self::Fence { command } => write!(f, "fence the other node: {}", command.join(" ")),
            Self::TakeDown => f.write_str("stop the database with the product's own script"),
            Self::DrainReplica { .. } => f.write_str("receive nothing more, apply everything that was received"),
            Self::Claim { epoch, fenced, .. } => {
                write!(f, "begin epoch {epoch}, in which this node is the primary")?;
                if *fenced { Ok(()) } else { f.write_str("; see that the other one is not about to start") }
            }
            Self::Exchange(exchange) => exchange.fmt(f),
            Self::RestartDatabase => {
                f.write_str("restart the database: this server takes over its new role in replication at a start only")
            }
            Self::WriteKeyPath { key } => write!(f, "write {key} into conf/manage_key.conf"),
            Self::ProveStart => f.write_str("start the database with the product's own script, look at it, stop it"),
            Self::DropOldData => f.write_str("remove the old data"),
            Self::KeepOldData { name } => write!(f, "keep the old data as mysql/{name}"),
            Self::SwapKept { name } => write!(f, "exchange mysql/data with the kept mysql/{name}"),
            Self::RestoreKept => f.write_str(
                "put conf/pmp-ha, the start script and conf/manage_key.conf back as they were kept",
            ),
            Self::KeepHome { from: None, name, .. } => write!(
                f,
                "keep the old data as mysql/{name}, and the configuration that belongs to them, for `pmp-ha rollback`"
            ),
            Self::KeepHome { from: Some(_), name, .. } => write!(
                f,
                "keep what was in use until now as mysql/{name}, with its configuration: the next `pmp-ha rollback` returns to it"
            ),
            Self::DropKept { name } => write!(f, "remove what was kept before, mysql/{name}"),
            Self::SaveRows { file, .. } => write!(f, "save the rows as they are in {file}"),
            Self::MakeTable { table, kept: None } => {
                write!(f, "create the table {table} as it is on the primary")
            }
            Self::MakeTable { table, kept: Some(kept) } => write!(
                f,
                "keep the table {table} as {LOCAL_SCHEMA}.{kept}, and make it anew as it is on the primary"
            ),
            Self::PassConflicts { error: 0 } => {
                f.write_str("let the applier go on, the primary's row over whatever is in the way")
            }
            Self::PassConflicts { error } => write!(
                f,
                "let the applier pass error {error}, the primary's row over whatever is in the way"
            ),
            Self::StartReplication => f.write_str("start replication"),
            Self::CorrectRows { scope, changes, .. } if changes.is_empty() => {
                write!(f, "make equal to the primary what differs in {scope}")
            }
            Self::CorrectRows { scope, changes, .. } => {
                write!(f, "make equal to the primary what differs in {scope}; at this moment:")?;
                changes.iter().try_for_each(|change| write!(f, "\n       {change}"))
            }
            Self::ProveEqual { scope, .. } => {
                write!(f, "let the applier be strict again, and compare {scope} until nothing differs")
            }
        }
    }
}

/// Bytes for people: `12.3 MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = |unit: u64| format!("{}.{}", self.0 / unit, self.0 % unit / (unit / 10));
        match self.0 {
            n if n >= 1_000_000_000 => write!(f, "{} GB", tenths(1_000_000_000)),
            n if n >= 1_000_000 => write!(f, "{} MB", tenths(1_000_000)),
            n if n >= 10_000 => write!(f, "{} kB", n / 1000),
            n => write!(f, "{n} bytes"),
        }
    }
}

/// For whom a plan was made: it runs nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeIdentity {
    /// The home.
    pub path: String,
    /// The device of its data directory.
    pub device: u64,
    /// The inode of its `conf` folder, which no step replaces.
    pub inode: u64,
}

/// What a command is going to do, before it does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The command.
    pub command: String,
    /// The home that it changes.
    pub home: HomeIdentity,
    /// What the operator should know before agreeing.
    pub warnings: Vec<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The index of the first step that cannot be undone; behind it only forward.
    pub point_of_no_return: usize,
}

impl Plan {
    /// Whether the steps are meant for a server that runs, and may be undone under it.
    #[must_use]
    pub fn works_on_a_running_server(&self) -> bool {
        let running = |step: &Step| {
            matches!(
                step,
                Step::Reconfigure { .. }
                    | Step::RenewWayBack { .. }
                    | Step::Exchange(_)
                    | Step::SaveRows { .. }
            )
        };
        self.steps.iter().any(running)
    }

    /// What it is about besides the home, in a few words.
    #[must_use]
    pub fn target(&self) -> String {
        let named = self.steps.iter().find_map(|step| match step {
            Step::WritePack { pack, .. } | Step::ExtractPack { pack, .. } => Some(pack.clone()),
            Step::CopyUnpacked { .. } => Some("a pack that was unpacked here".into()),
            Step::CopyData { from, .. } | Step::CopyLive { from, .. } => Some(format!("from {from}")),
            Step::SetMembership { membership } => {
                Some(format!("{}, with {}", membership.this(), membership.peer()))
            }
            Step::SwapKept { name } => Some(format!("to mysql/{name}")),
            Step::ProveEqual { scope, .. } => Some(scope.to_string()),
            _ => None,
        });
        let first = || self.steps.first().map(ToString::to_string).unwrap_or_default();
        named.unwrap_or_else(first).lines().next().unwrap_or_default().to_owned()
    }

    /// The file with the rows as they were before a repair.
    #[must_use]
    pub fn old_rows(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::SaveRows { file, .. }) => Some(file),
            _ => None,
        }
    }

    /// Whether it packs the data of a database that goes on running.
    #[must_use]
    pub fn is_online_pack(&self) -> bool {
        matches!(self.steps.first(), Some(Step::RenewWayBack { .. }))
    }

    /// Whether the database runs when it is done.
    #[must_use]
    pub fn starts_the_database(&self) -> bool {
        self.steps.contains(&Step::StartDatabase)
    }

    /// The pack that it makes, and the public key that this is encrypted to.
    #[must_use]
    pub fn pack(&self) -> Option<(&str, Option<&str>)> {
        self.steps.iter().find_map(|step| match step {
            Step::WritePack { pack, encrypt_to, .. } => Some((pack.as_str(), encrypt_to.as_deref())),
            _ => None,
        })
    }

    /// The name under which the data that were in use stay for a rollback.
    #[must_use]
    pub fn keeps(&self) -> Option<&str> {
        self.steps.iter().find_map(|step| match step {
            Step::KeepHome { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it makes an old primary the secondary.
    #[must_use]
    pub fn is_rejoin(&self) -> bool {
        self.command == super::procedures::rejoin::COMMAND
    }

    /// Whether it repairs the rows of a database that runs, and no file of the home.
    #[must_use]
    pub fn is_repair(&self) -> bool {
        matches!(self.steps.first(), Some(Step::SaveRows { .. }))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}:", self.command, self.home.path)?;
        for (number, step) in self.steps.iter().enumerate() {
            let mark = if number >= self.point_of_no_return { "  (cannot be undone)" } else { "" };
            writeln!(f, "  {}. {step}{mark}", number + 1)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let shown: Vec<_> = [12, 99_999, 12_345_678, 3_210_000_000].map(|n| Bytes(n).to_string()).into();
        assert_eq!(shown, ["12 bytes", "99 kB", "12.3 MB", "3.2 GB"]);
    }

    #[test]
    fn a_plan_survives_the_journal() {
        let plan = Plan {
            command: "install-pack".into(),
            home: HomeIdentity { path: "/x".into(), device: 1, inode: 2 },
            warnings: vec![],
            steps: vec![
                Step::SwapData,
                Step::OfflineBoot(BootTask::PrepareReplica {
                    account: "root".into(),
                    from: Coordinates::Gtid { executed: "a:1".into() },
                }),
                Step::DropOldData,
            ],
            point_of_no_return: 2,
        };
        let text = serde_json::to_string(&plan).expect("writable");
        assert_eq!(serde_json::from_str::<Plan>(&text).expect("readable"), plan);
        assert!(plan.to_string().contains("3. remove the old data  (cannot be undone)"));
    }
}
