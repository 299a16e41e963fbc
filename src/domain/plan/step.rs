//! The steps of a plan, and what they carry.

use serde::{Deserialize, Serialize};

use super::hook::HookMoment;
use crate::domain::coordinates::Coordinates;
use crate::domain::definitions::Named;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::Renewal;
use crate::domain::returned::Returned;
use crate::domain::standing::BinlogPlace;

/// What an offline boot of the server is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task")]
pub enum BootTask {
    /// Create the tool's accounts on the primary and record the coordinates.
    PrepareSource {
        /// Marks the pack in the data.
        pack_id: String,
    },
    /// Set up the secondary's accounts and point it at its source.
    PrepareReplica {
        /// The application's account.
        account: String,
        /// The coordinates from which it replicates.
        from: Coordinates,
        /// Whether the pair had a secondary before, from which the primary may have got rows since the pack
        /// was made.
        #[serde(default)]
        again: bool,
        /// Whether the return channel goes on until the primary meets the new secondary.
        #[serde(default)]
        goes_on: bool,
    },
    /// Apply what was received, forget the source, set up the accounts.
    StandAlone {
        /// The application's account.
        account: String,
        /// Whether to continue if something that was received cannot be applied.
        accept_loss: bool,
        /// How the data were copied from a running server, which had applied everything it
        /// received.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copied: Option<CopyWay>,
        /// Whether only the data themselves can show whose they are.
        #[serde(default)]
        unnamed: bool,
        /// What the source knows about its pair, if it was the primary of it. Of what it had received, it
        /// takes what a primary takes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        primary: Option<Box<Membership>>,
        /// How to check the key against the data, if at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_check: Option<KeyCheck>,
    },
    /// Take everything of the pair out of the database.
    LeavePair {
        /// The role in which the node leaves. A secondary applies what it has received.
        role: Role,
        /// The node that it leaves.
        peer: String,
    },
}

/// A check whether the data are encrypted with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCheck {
    /// Full path of the key file. The key itself never appears here.
    pub key: String,
    /// The query, with [`KEY_PLACEHOLDER`] in place of the key.
    pub query: String,
}

/// The placeholder of the key in the query that checks it.
pub const KEY_PLACEHOLDER: &str = "{key}";

/// How to copy the data of a running database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum CopyWay {
    /// The server copies itself.
    Clone {
        /// Whether the CLONE plugin must be loaded first, and unloaded afterwards.
        install: bool,
    },
    /// The server's own backup tool.
    BackupTool {
        /// Its full path.
        program: String,
    },
    /// Block writes with a lock, and copy the files when every page is on the disk.
    Lock,
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

/// The corrections of a table's rows: numbers and keys, never values.
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

/// A part of a switchover between two working nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "part")]
pub enum Exchange {
    /// Wait until the other node takes part, too.
    Meet {
        /// The name of the switchover, which the secondary chooses.
        run: Option<String>,
        /// The time limit in seconds.
        wait: u64,
    },
    /// Continue a switchover in which the other node has handed over its role.
    TakeUp {
        /// Its name.
        run: String,
    },
    /// On the primary: refuse the application's writes.
    RefuseWrites {
        /// The application's account.
        account: String,
    },
    /// On the primary: wait until the secondary has applied everything.
    AwaitCaughtUp {
        /// The time limit in seconds. After it, everything is put back.
        at_most: u64,
    },
    /// On the primary: give up the role.
    HandOver,
    /// On the secondary: wait until the primary refuses writes, apply everything.
    CatchUp,
    /// On the secondary: wait until the primary has given up its role.
    AwaitHandOver,
}

/// One step. Every step can be done again, and undone until the point of no return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// Write certificates, credentials and the option file of the primary.
    MakeNodeFiles {
        /// What the home will know about its pair.
        membership: Membership,
        /// Whether the folder exists already; then its CA and passwords stay.
        renew: bool,
    },
    /// Put the node files of an extracted pack in place.
    TakeNodeFiles {
        /// What the home will know about its pair.
        membership: Membership,
    },
    /// Make the start script pass the option file to mysqld.
    WireStartScript,
    /// Restore the start script as it was before it was ever wired.
    UnwireStartScript,
    /// Remove certificates, credentials and the option file.
    DropNodeFiles,
    /// Remove the tool's own files.
    DropTraces {
        /// Which, from the home.
        files: Vec<String>,
    },
    /// Start the server without a network, do a task, stop it cleanly.
    OfflineBoot(BootTask),
    /// Boot offline and apply what was received, because a normal start discards it.
    WorkOffOffline {
        /// The application's account.
        account: String,
        /// Whether to continue if something that was received cannot be applied.
        accept_loss: bool,
    },
    /// Boot offline and look for rows that only this node has.
    FindExtra {
        /// Up to where the other node had applied the binlogs here.
        since: BinlogPlace,
        /// The file that they are saved in.
        file: String,
        /// Whether to continue if there are any, because the data are kept.
        go_on: bool,
    },
    /// Copy the data of the stopped database, to compress the copy.
    CopySource {
        /// How many files of the data directory.
        files: usize,
        /// Their size in bytes.
        bytes: u64,
    },
    /// Start the database with the product's own script, and leave it running.
    StartDatabase,
    /// Mark the pack in the data of the running database.
    RenewWayBack {
        /// What the home will know about its pair.
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
        /// Their size in bytes.
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
        /// Their size in bytes.
        bytes: u64,
        /// Whether a small pack matters more than a quick one.
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
        /// Which pack the plan is for. Another pack under the same name is not extracted.
        pack_id: String,
        /// When it was made, RFC 3339; empty in old journals.
        #[serde(default)]
        made_at: String,
        /// How many files.
        files: usize,
        /// Their size in bytes, uncompressed.
        bytes: u64,
    },
    /// Copy a verified pack that was unpacked by hand into the staging folder.
    CopyUnpacked {
        /// Which pack was verified. Another pack is not used.
        pack_id: String,
        /// When it was made, RFC 3339; empty in old journals.
        #[serde(default)]
        made_at: String,
        /// How many files.
        files: usize,
        /// Their size in bytes.
        bytes: u64,
    },
    /// Copy another home's data directory beside this one's.
    CopyData {
        /// The data directory to copy.
        from: String,
        /// How many files.
        files: usize,
        /// Their size in bytes.
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
        /// Their size in bytes.
        bytes: u64,
    },
    /// Exchange the data directory with the staging folder beside it.
    SwapData,
    /// Write what the home knows about its pair, and the option file derived from it.
    SetMembership {
        /// What the home will know about its pair.
        membership: Membership,
    },
    /// Apply what the home knows about its pair to the channel, the events and the write guard.
    Reconfigure {
        /// The application's account.
        account: String,
    },
    /// Write `conf/serverstate.conf`.
    WriteRole {
        /// The role.
        role: Role,
        /// The word for it, unless it is the product's own word for a primary.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word: Option<String>,
    },
    /// Run the program that fences the other node.
    Fence {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// Run a program of the administrator's before or after the role changes.
    Hook {
        /// When.
        moment: HookMoment,
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// Start the database, unless it runs.
    BringUp,
    /// Stop the database, unless it is stopped.
    TakeDown,
    /// Stop receiving, and apply everything that was received.
    DrainReplica {
        /// The application's account.
        account: String,
        /// Whether to continue if something cannot be applied.
        accept_loss: bool,
    },
    /// Announce the new epoch to the other node, and check that it has not come back.
    Claim {
        /// The new epoch.
        epoch: u64,
        /// The latest epoch of the other node that this one knows of.
        replaces: u64,
        /// The application's account.
        account: String,
        /// Whether the fenced node was seen alive before. If not, a greeting means that it came back. A
        /// start means that in any case.
        #[serde(alias = "fenced")]
        seen_alive: bool,
    },
    /// A part of a switchover.
    Exchange(Exchange),
    /// A part of a change of the pair's secrets.
    Renew(Renewal),
    /// Restart the database, for settings that take effect only at a start.
    RestartDatabase,
    /// Write `conf/manage_key.conf`.
    WriteKeyPath {
        /// The key file.
        key: String,
    },
    /// Start the database as the product does, check it, stop it.
    ProveStart,
    /// Remove the old data directory.
    DropOldData,
    /// Keep the old data directory under its own name.
    KeepOldData {
        /// The name, beside the data directory.
        name: String,
    },
    /// Exchange the data directory with the kept one.
    SwapKept {
        /// The name of the kept directory, beside the data directory.
        name: String,
    },
    /// Restore the kept small files of the home.
    RestoreKept,
    /// Make the previous state of the home the kept state: its data and small files.
    KeepHome {
        /// The current name of its data. Without it, they are the old data of an exchange.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The new name of its data, beside the data directory.
        name: String,
        /// What happened to the home then.
        then: String,
    },
    /// Remove the data that were kept before.
    DropKept {
        /// Their name, beside the data directory.
        name: String,
    },
    /// Open the file that can restore the secondary's rows as they were before a repair.
    SaveRows {
        /// Full path of the file.
        file: String,
        /// Whether to save at once what differs now: the applier is stopped, and continues next.
        now: bool,
        /// Whether the applier ran: then it runs again, however the repair ends.
        #[serde(default)]
        applier_ran: bool,
    },
    /// Take a table out of the way that the primary does not have.
    SetAside {
        /// The table.
        table: String,
        /// Where it stays, in the tool's own local schema.
        kept: String,
    },
    /// Create an empty table with the primary's structure.
    MakeTable {
        /// The table.
        table: String,
        /// The name under which the existing table is kept in the tool's local schema.
        kept: Option<String>,
    },
    /// Drop views, triggers, routines and events that the primary does not have, or that would be set
    /// off by the repair.
    Undefine {
        /// Which.
        what: Vec<Named>,
    },
    /// Make views, triggers, routines and events as they are on the primary.
    Define {
        /// Which.
        what: Vec<Named>,
    },
    /// Let the applier pass the error it stopped at. The primary's row replaces a conflicting one.
    PassConflicts {
        /// The error that it stopped at, 0 for none.
        error: u32,
    },
    /// Leave out what the server of the primary refused to execute of the secondary's, and start its
    /// applier.
    LeaveOut {
        /// At what it stopped, without the statement.
        what: String,
    },
    /// Mark as seen what the secondary has sent to the primary and the primary may have executed.
    Acknowledge {
        /// What was found, and up to where.
        reading: Returned,
    },
    /// Start receiver and applier.
    StartReplication,
    /// Make the rows of the secondary equal to the primary's.
    CorrectRows {
        /// Which tables are compared.
        scope: Scope,
        /// Whether the applier passes conflicts meanwhile.
        passing: bool,
        /// The differences when the plan was made.
        changes: Vec<TableChange>,
    },
    /// Compare again until nothing differs.
    ProveEqual {
        /// Which tables are compared.
        scope: Scope,
        /// Whether the applier may pass a new conflict.
        passing: bool,
        /// The position in the local binlog up to which errant writes are then corrected.
        put_right: Option<(String, u64)>,
    },
}
