//! The command line: types only. Their doc comments are the help.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::built_in::long_version;
use crate::domain::pair::Endpoint;

/// The exit codes, as the help lists them.
const EXIT_CODES: &str = "\
Exit codes:
  0    done; `verify`: both are Alive
  1    failed; nothing changed
  2    wrong usage
  3    incomplete: run `pmp-ha resume`
  4    refused: a precondition does not hold, or a pack is damaged or not trusted
  5    not Alive, rows differ, or a rehearsal found a defect
  130  interrupted or not confirmed; everything was put back

`verify --nagios` uses the four exit codes of monitoring plugins.";

/// High availability for Password Manager Pro and its MySQL.
///
/// To set up a pair, run `pack` on the primary, then `install-pack` and `key` on the secondary. Run
/// `start` on both. Then run `verify` on either node.
#[derive(Debug, Parser)]
#[command(name = "pmp-ha", version, long_version = long_version(), max_term_width = 100, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// The options that every command has.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Commands,
}

impl Cli {
    /// Returns whether the answer goes to a monitoring system.
    #[must_use]
    pub fn is_for_nagios(&self) -> bool {
        matches!(&self.command, Commands::Verify(args) if args.nagios)
    }
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// The installation folder of Password Manager Pro. By default, the home around the current folder, or the one in /etc/init.d/pmp-service.
    #[arg(long, global = true, value_name = "DIR", env = "PMP_HOME", value_parser = any_path())]
    pub home: Option<PathBuf>,
    /// The configuration file. By default <home>/conf/pmp-ha.toml, if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show what would be done, and change nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Do not ask for confirmation. With -q or --json, or without a terminal, pmp-ha never asks.
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only errors and the result. Ask nothing.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details.
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// Parses a path, which may be empty: an empty `PMP_HOME` names no home.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Make HAPack.zip on the primary, for the secondary.
    ///
    /// Stop Password Manager Pro and its database first, also with --restart. With --online they keep
    /// running. PRIMARY and SECONDARY are the names by which the two machines reach each other. The pack
    /// is <home>/replication/HAPack.zip.
    #[command(after_long_help = "Example:\n  $ pmp-ha pack --restart pmp-a.example.com pmp-b.example.com")]
    Pack(PackArgs),
    /// Install HAPack.zip on the secondary.
    ///
    /// Stop Password Manager Pro and its database first. pmp-ha verifies the whole pack before it
    /// replaces the data; a refused pack changes nothing. It deletes the old data of a fresh home unless
    /// you pass --keep. It keeps those of a home that was in a pair unless you pass --discard-old.
    #[command(
        after_long_help = "Example:\n  $ pmp-ha install-pack\n  $ pmp-ha key /media/safe/pmp_key.key\n  $ pmp-ha start"
    )]
    InstallPack(InstallPackArgs),
    /// Show what a pack holds, and whether it is intact.
    ///
    /// Every file is decompressed and compared with its hashes. No secret is shown and nothing is
    /// changed. Exit code 4: the pack is damaged, cannot be opened, or is not signed by the owner of
    /// --signed-by. An intact pack is genuine only if its signature was checked.
    Inspect(InspectArgs),
    /// Create a key pair, to sign or to encrypt packs.
    #[command(after_long_help = "Example:\n  $ pmp-ha keygen signing /etc/pmp-ha/signing")]
    Keygen(KeygenArgs),
    /// Return to the kept state, or undo an interrupted run.
    ///
    /// Stop Password Manager Pro and its database first. A state is kept by `rejoin --pack`, and by
    /// `install-pack` with --keep or on a home that was in a pair. A second `rollback` undoes the first.
    /// An interrupted run is undone instead, or finished if it is past its point of no return.
    Rollback,
    /// Finish an interrupted run, or put everything back.
    ///
    /// This works for every command. A run before its point of no return is undone, and finished after
    /// it; --dry-run shows which. An interrupted `repair` compares every table again.
    Resume,
    /// List what pmp-ha did to this home, newest last.
    ///
    /// It shows when, who, what and the outcome. `start`, `stop` and `key` are not listed, because they
    /// leave nothing to undo.
    History(HistoryArgs),
    /// Write the encryption key's path to `conf/manage_key.conf`.
    ///
    /// It first checks that the file is a PMP key and, if possible, that it is the key of this pair's data.
    #[command(after_long_help = "Example:\n  $ pmp-ha key /media/safe/pmp_key.key")]
    Key(KeyArgs),
    /// Start the bundled database with the product's own script.
    Start,
    /// Stop the bundled database with the product's own script.
    Stop,
    /// Show whether the pair is Alive or Failed, and why.
    ///
    /// Exit code 0: both statuses are Alive. docs/health.md explains every finding, the JSON and the
    /// line for monitoring systems.
    #[command(after_long_help = "Example:\n  $ pmp-ha verify --watch")]
    Verify(VerifyArgs),
    /// Check the pair continuously, and announce every status change.
    ///
    /// It runs until Ctrl-C or a signal. It sends alarms through the channels of the configuration. It
    /// stops a primary that the other node has replaced, because such a primary must not serve.
    Monitor(MonitorArgs),
    /// Try the channels through which alarms are sent.
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Apply changed ports, tables and times, without a new pack.
    ///
    /// Run it on both nodes. It reads the ports of this node from its files, and the tables and times
    /// from conf/pmp-ha.toml.
    Reconfigure(ReconfigureArgs),
    /// Recover from the loss of the primary.
    ///
    /// With --into, make a new primary in a fresh installation, from the secondary's data. With
    /// --promote, make the secondary the primary where it stands.
    #[command(
        after_long_help = "Example:\n  $ pmp-ha --home /opt/PMP recover --into /opt/PMP-new --key /media/safe/pmp_key.key\n  $ pmp-ha recover --promote --fenced"
    )]
    Recover(RecoverArgs),
    /// Swap the roles of two working nodes, without loss.
    ///
    /// Run it on both nodes, in either order; each waits for the other. A failure before the handover
    /// leaves the pair unchanged.
    Switchover(SwitchoverArgs),
    /// Make an old primary the secondary of the promoted node.
    ///
    /// Run it on the old primary. If it has no rows that the new primary lacks, it follows at once.
    /// Otherwise pmp-ha shows and saves these rows, and you install a new pack with --pack.
    Rejoin(RejoinArgs),
    /// Asked by the start script: may this node start as the primary?
    #[command(hide = true)]
    MayStart(MayStartArgs),
    /// Test a recovery on a throw-away copy of the data.
    ///
    /// Run it on the secondary, with its database running or stopped. With --pack it tests a pack, on
    /// either node. It changes nothing in the home and removes the copy. Exit code 5: it found a
    /// defect; docs/rehearsal.md explains each.
    Rehearse(RehearseArgs),
    /// Make the secondary's rows equal to the primary's.
    ///
    /// Run it on the secondary while both databases run. It saves every row before it changes it, and
    /// sends audit rows that only the secondary has to the primary. It also restarts a failed applier.
    Repair(RepairArgs),
    /// Create homes with real servers on this machine, for tests.
    #[command(subcommand)]
    Lab(LabCommand),
}

/// Arguments of `pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// The primary: HOST or HOST:DBPORT.
    #[arg(value_name = "PRIMARY")]
    pub primary: Endpoint,
    /// The secondary: HOST or HOST:DBPORT.
    #[arg(value_name = "SECONDARY")]
    pub secondary: Endpoint,
    /// Restart the database as early as possible: after copying its files or, without room for a copy, after packing.
    #[arg(long, conflicts_with = "online")]
    pub restart: bool,
    /// Pack while the database runs. Not for the first pack: the pair's settings take effect only after a restart.
    #[arg(long)]
    pub online: bool,
    /// Make a smaller pack, which takes longer.
    #[arg(long)]
    pub dense: bool,
    /// Sign the pack with this private key. By default, `pack.sign_with` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
    /// Encrypt the pack to the owner of this public key, as HAPack.zip.age. By default, `pack.encrypt_to` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub encrypt_to: Option<PathBuf>,
}

/// Options that open a pack, and demand a signature.
#[derive(Debug, Args)]
pub struct OpeningArgs {
    /// The private key that opens an encrypted pack. By default, `pack.identity` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Refuse a pack that is not signed by the owner of this public key. By default, `pack.signed_by` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub signed_by: Option<PathBuf>,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The pack. By default, HAPack.zip or HAPack.zip.age in the home or in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How to open it.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// What the keys are for.
    #[arg(value_name = "PURPOSE")]
    pub purpose: KeyPurpose,
    /// The file for the private key, which only its owner can read. The public key is FILE.pub. Neither may exist.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What a pair of keys is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyPurpose {
    /// The primary signs with the private key; the secondary checks with the public one.
    Signing,
    /// The primary encrypts to the public key; the secondary opens with the private one.
    Encryption,
}

/// Arguments of `install-pack`.
#[derive(Debug, Args)]
pub struct InstallPackArgs {
    /// The pack. By default, HAPack.zip or HAPack.zip.age in the home or in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// You unpacked HAPack.zip by hand in the home: check every file and install them. With --signed-by, the ZIP is checked first.
    #[arg(long)]
    pub in_place: bool,
    /// Install this pack although it is older than what is installed here. The data and the secrets of that time come back.
    #[arg(long)]
    pub older: bool,
    /// Keep the old data and configuration of a fresh home, too. `pmp-ha rollback` returns to them.
    #[arg(long, conflicts_with_all = ["in_place", "discard_old"])]
    pub keep: bool,
    /// Delete the old data even if this home was in a pair. Rows that exist only here are lost.
    #[arg(long)]
    pub discard_old: bool,
    /// A file of mode 0600 with the database password of this home, if the product stores it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
    /// The pack's port for this secondary is forwarded to the port of its database.
    #[arg(long)]
    pub port_is_forwarded: bool,
    /// How to open it.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// List only the newest N runs.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The path of the primary's `pmp_key.key` on this machine. On a terminal, pmp-ha asks for it.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Arguments of `reconfigure`.
#[derive(Debug, Args)]
pub struct ReconfigureArgs {
    /// The new port at which this node reaches the database of the other node.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,
    /// The port at which the other node reaches the database here, if that port is forwarded.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub own_port: Option<u16>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Print one line for Nagios and similar systems. Exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub nagios: bool,
    /// Repeat every SECONDS (default 2) until Ctrl-C. Ctrl-C exits with 0.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Write a heartbeat here, and wait until it reaches the other node and comes back.
    #[arg(long)]
    pub prove: bool,
    /// On the primary: compare the data of both nodes row by row. The application keeps working. Exit code 5 if rows differ. An interrupted run resumes where it stopped.
    #[arg(long, conflicts_with_all = ["nagios", "watch", "prove"])]
    pub deep: bool,
    /// Compare only this table. Can be repeated.
    #[arg(long = "table", value_name = "NAME", requires = "deep")]
    pub tables: Vec<String>,
    /// Pause MS milliseconds between two chunks, to spare the servers.
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "deep")]
    pub pause: u64,
    /// Start from the beginning, even if an earlier run was interrupted.
    #[arg(long, requires = "deep")]
    pub anew: bool,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Seconds between two checks.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// Check once, send what is due, and end: for cron. Exit code 5: the pair is not Alive.
    #[arg(long, conflicts_with = "every")]
    pub once: bool,
    /// Install the monitor as a systemd service that runs as the home's owner, after showing what it writes. Run it as root.
    #[arg(long, conflicts_with = "once")]
    pub install: bool,
    /// Remove the service that --install made, and nothing else.
    #[arg(long, conflicts_with_all = ["once", "install", "every"])]
    pub uninstall: bool,
    /// The folder of units, for an image or another machine: systemd is not told. By default, /etc/systemd/system.
    #[arg(long, value_name = "DIR")]
    pub unit_dir: Option<PathBuf>,
}

/// The channels of alarms.
#[derive(Debug, Subcommand)]
pub enum AlertCommand {
    /// Send one message through each channel, and show what happened.
    ///
    /// docs/alarms.md explains how to set up each channel. Exit code 1: a channel failed.
    #[command(after_long_help = "Example:\n  $ pmp-ha alert test email")]
    Test(AlertTestArgs),
}

/// Arguments of `alert test`.
#[derive(Debug, Args)]
pub struct AlertTestArgs {
    /// Try only these channels. By default, all.
    #[arg(value_name = "CHANNEL")]
    pub channels: Vec<String>,
}

/// The configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Check every value, and every file that it names.
    ///
    /// An error names the file, the line and the key. Nothing is started or changed.
    Check,
    /// Show every setting in effect, and where it comes from.
    ///
    /// Secrets are not shown.
    Show,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// A fresh installation of the same version, which becomes the primary. You need not start it first.
    #[arg(long, value_name = "NEW_HOME", required_unless_present = "promote", conflicts_with = "promote")]
    pub into: Option<PathBuf>,
    /// The source of the data: the secondary's home, a copy of it, or a copy of its folder mysql. Its database may keep running. By default, the home that --home names.
    #[arg(long, value_name = "DIR", conflicts_with = "promote")]
    pub from: Option<PathBuf>,
    /// On the secondary: make it the primary where it stands. Refused unless the primary is fenced, by you (--fenced) or by `fence.command`.
    #[arg(long)]
    pub promote: bool,
    /// You have switched the primary off, or cut it off from all users: promote even if it seems alive.
    #[arg(long, requires = "promote")]
    pub fenced: bool,
    /// The encryption key, `pmp_key.key` of the lost primary. On a terminal, pmp-ha asks for it.
    #[arg(long, value_name = "PATH", conflicts_with = "promote")]
    pub key: Option<PathBuf>,
    /// Continue, with a warning, even if some received transactions cannot be applied.
    #[arg(long)]
    pub accept_loss: bool,
    /// A file of mode 0600 with the database password of the new home, if the product stores it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
}

/// Arguments of `switchover`.
#[derive(Debug, Args)]
pub struct SwitchoverArgs {
    /// Seconds to wait for the other node.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub wait: u64,
    /// The other node runs this command already: do not start it there.
    #[arg(long, hide = true)]
    pub answer: bool,
}

/// Arguments of `rejoin`.
#[derive(Debug, Args)]
pub struct RejoinArgs {
    /// Set up this node from a pack of the new primary. Its old data are kept; `pmp-ha rollback` returns to them.
    #[arg(long, value_name = "FILE")]
    pub pack: Option<PathBuf>,
    /// How to open it.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// Test a pack instead of the data. By default, HAPack.zip or HAPack.zip.age in the home or in its folder replication.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub pack: Option<Option<PathBuf>>,
    /// The encryption key for the recovery. By default, the one that `conf/manage_key.conf` names.
    #[arg(long, value_name = "PATH")]
    pub key: Option<PathBuf>,
    /// A folder with room for a copy of the data. By default, the folder replication of the home.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How to open a pack.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `may-start`.
#[derive(Debug, Args)]
pub struct MayStartArgs {
    /// Wait until the database answers.
    #[arg(long, hide = true)]
    pub hold: bool,
}

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Repair this table only, where the applier runs. Can be repeated. [default: every table]
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
    /// On the primary: leave out what its server refused of the secondary's, or mark as seen what it may have executed.
    #[arg(long, conflicts_with = "tables")]
    pub return_channel: bool,
}

/// The lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Create DIR/primary and DIR/secondary, stopped.
    Up(LabUpArgs),
    /// Create one more fresh installation, stopped.
    Home(LabHomeArgs),
    /// Run a statement with the product's account, and print rows.
    Sql(LabSqlArgs),
    /// Stop the databases of a lab, and remove it.
    Down(LabDownArgs),
}

/// Arguments of `lab up`.
#[derive(Debug, Args)]
pub struct LabUpArgs {
    /// The new folder. It must not exist.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// A server from scripts/fetch-servers (mysql-5.6, mysql-9.7, mariadb-10.11, mariadb-11.8), or the folder of one.
    #[arg(long, value_name = "NAME_OR_PATH", default_value = "mysql-5.6")]
    pub server: String,
    /// Fill the primary with this much data, in MB.
    #[arg(long, value_name = "MB", default_value_t = 4)]
    pub size: u64,
    /// Copy the databases of another lab of the same server, never started. This is faster.
    #[arg(long, value_name = "LAB", conflicts_with = "size")]
    pub like: Option<PathBuf>,
}

/// Arguments of `lab home`.
#[derive(Debug, Args)]
pub struct LabHomeArgs {
    /// The new folder. It must not exist.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// As for `lab up`.
    #[arg(long, value_name = "NAME_OR_PATH", default_value = "mysql-5.6")]
    pub server: String,
    /// Copy the database of another home of the same server, never started.
    #[arg(long, value_name = "HOME")]
    pub like: Option<PathBuf>,
}

/// Arguments of `lab sql`.
#[derive(Debug, Args)]
pub struct LabSqlArgs {
    /// The home whose database runs the statement.
    #[arg(value_name = "HOME")]
    pub dir: PathBuf,
    /// One statement.
    #[arg(value_name = "STATEMENT")]
    pub statement: String,
}

/// Arguments of `lab down`.
#[derive(Debug, Args)]
pub struct LabDownArgs {
    /// The folder that `lab up` created.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
