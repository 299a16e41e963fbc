//! The steps of a plan, and what they carry.

use serde::{Deserialize, Serialize};

use crate::domain::coordinates::Coordinates;
use crate::domain::pair::{Membership, Role};
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

/// Which tables a repair compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every table of the product.
    Every,
    /// These.
    Tables(Vec<String>),
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
    /// Boot offline and work off what was received, before a start lets go of it.
    WorkOffOffline {
        /// The application's account.
        account: String,
        /// Whether to go on where what was received cannot all be applied.
        accept_loss: bool,
    },
    /// Boot offline and look for rows that only this node has.
    FindExtra {
        /// Up to where the other node had applied the binlogs here.
        since: BinlogPlace,
        /// The file that they are saved in.
        file: String,
        /// Whether to go on when there are any: the data are kept.
        go_on: bool,
    },
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
