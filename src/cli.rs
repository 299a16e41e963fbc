//! The command line: types only, their doc comments are the help.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::pair::Endpoint;

/// What a command ends with, as the help says it.
const EXIT_CODES: &str = "\
Exit codes: 0 done, or Alive; 1 failed, nothing changed; 2 usage; 3 incomplete: run `pmp-ha resume`; \
4 refused: a precondition does not hold, or a pack is not whole or not trusted; 5 not Alive, rows differ, \
or a rehearsal found a defect; 130 interrupted or not agreed to, everything put back. `verify --nagios` \
has the four of monitoring plugins instead.";

/// High availability for Password Manager Pro with its bundled MySQL.
///
/// The four steps of the manual: `pack` on the primary, `install-pack` and `key` on the
/// secondary, `start`; then `verify` on either.
#[derive(Debug, Parser)]
#[command(name = "pmp-ha", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// What is the same for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Whether the answer goes to a monitoring system.
    #[must_use]
    pub fn is_for_nagios(&self) -> bool {
        matches!(&self.command, Command::Verify(args) if args.nagios)
    }
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// The installation folder of Password Manager Pro. Without it: the home that the current folder lies in, else the one of /etc/init.d/pmp-service.
    #[arg(long, global = true, value_name = "DIR", env = "PMP_HOME", value_parser = any_path())]
    pub home: Option<PathBuf>,
    /// The configuration, by default <home>/conf/pmp-ha.toml if it is there.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show what would be done, and do nothing.
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Do not ask for agreement. With -q or --json, or without a terminal, nothing is ever asked.
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Write the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong, and the result. Nothing is asked.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more.
    #[arg(long, short, global = true)]
    pub verbose: bool,
}

/// Takes an empty path, too: `PMP_HOME` may be set to nothing, which names no home.
fn any_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build <home>/replication/HAPack.zip on the primary.
    ///
    /// Password Manager Pro and its database must be stopped before, with --restart too; --online leaves
    /// them running. The names are those by which the two machines reach each other.
    Pack(PackArgs),
    /// Install HAPack.zip on the secondary.
    ///
    /// Password Manager Pro and its database must be stopped. The pack is verified while it is extracted
    /// beside the data directory, which is exchanged when all of it is right: a pack that is refused
    /// changes nothing. The old data are removed then, and rows that were written only here with them,
    /// unless --keep keeps them. --dry-run verifies the whole pack and writes nothing.
    InstallPack(InstallPackArgs),
    /// Say what a pack holds and whether it is whole. It shows no secret and changes nothing.
    ///
    /// Every file is inflated and compared with each of its hashes. Exit code 4 if the pack is not whole,
    /// cannot be opened, or is not signed by the owner of --signed-by: without that, whole does not mean
    /// genuine.
    Inspect(InspectArgs),
    /// Make a pair of keys: to sign packs with, or to encrypt them to this node.
    Keygen(KeygenArgs),
    /// Go back to what this home was before `install-pack --keep` or `rejoin --pack`, or before a run that was cut off.
    ///
    /// Password Manager Pro and its database must be stopped. What is in use now becomes what is kept:
    /// run it again to return to that. A run that was cut off is taken back first; one that is behind its
    /// point of no return is finished instead, and unless it kept what was there before, this command
    /// ends with exit code 4 then. --dry-run says which way it goes.
    Rollback,
    /// Take up the run that was cut off, whatever command it was: finish it, or put everything back.
    ///
    /// Behind its point of no return it is finished, before it everything is put back; --dry-run says
    /// which. A repair compares every table anew.
    Resume,
    /// List what was done to this home: when, by whom, what, and how it ended. The newest run stands last.
    ///
    /// `start`, `stop` and `key` are not listed: they leave nothing to take back.
    History(HistoryArgs),
    /// Write the path of the encryption key into `conf/manage_key.conf`.
    Key(KeyArgs),
    /// Start the bundled database with the product's own script.
    Start,
    /// Stop the bundled database with the product's own script.
    Stop,
    /// Say whether the pair is Alive or Failed, and why. Exit code 0 only if both are Alive.
    ///
    /// docs/health.md explains every finding, the JSON and the line for monitoring systems.
    Verify(VerifyArgs),
    /// Look again and again, and say each change of the verdict, until Ctrl-C.
    ///
    /// A primary that the other node has replaced is stopped: it must not serve any more.
    Monitor(MonitorArgs),
    /// Take over changed ports, tables and times, without a new pack. Run it on both nodes.
    ///
    /// The ports of this node are read from its files, and the tables and times from
    /// conf/pmp-ha.toml.
    Reconfigure(ReconfigureArgs),
    /// Disaster recovery: make a new primary from the secondary's data, or promote the secondary.
    Recover(RecoverArgs),
    /// Exchange the roles of two nodes that work, without any loss. Run it on both, in either order.
    ///
    /// The primary becomes the secondary and the secondary the primary. Each waits for the other one;
    /// whatever fails before the role is handed over leaves the pair as it was.
    Switchover(SwitchoverArgs),
    /// On an old primary: become the secondary of the node that was promoted.
    ///
    /// It follows on at once if it has nothing that the new primary lacks. Else what it has is shown
    /// and saved, and the node is made anew with --pack.
    Rejoin(RejoinArgs),
    /// Asked by the start script: may this node start as the primary?
    #[command(hide = true)]
    MayStart(MayStartArgs),
    /// Try a recovery on a throw-away copy of the secondary's data, or on a pack, and remove it again.
    ///
    /// Run it on the secondary, whether its database runs or not; with --pack on either node. Nothing
    /// of the home is changed. Exit code 0 only if nothing is wrong, 5 for a defect.
    /// docs/rehearsal.md explains each.
    Rehearse(RehearseArgs),
    /// Make the rows of the secondary equal to the primary's, and start a failed applier again.
    ///
    /// Run it on the secondary, while both databases run. Audit rows that only the secondary has are
    /// sent to the primary; every row is saved before it is changed.
    Repair(RepairArgs),
    /// Two homes with real servers on this machine, to try things on.
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
    /// Start the database again as soon as its files are no longer needed cold: after a copy of them where there is space, else after they are packed.
    #[arg(long, conflicts_with = "online")]
    pub restart: bool,
    /// Leave the database running. The settings of the pair must be in effect in it, so that the first pack of a pair cannot be made so.
    #[arg(long)]
    pub online: bool,
    /// Smaller, and slower to make.
    #[arg(long)]
    pub dense: bool,
    /// Sign the pack with this private key. By default `pack.sign_with` of the configuration.
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
    /// Encrypt the pack to the owner of this public key, as HAPack.zip.age. By default `pack.encrypt_to` of the configuration.
    #[arg(long, value_name = "FILE")]
    pub encrypt_to: Option<PathBuf>,
}

/// What opens a pack and what is demanded of it.
#[derive(Debug, Args)]
pub struct OpeningArgs {
    /// The private key that opens an encrypted pack. By default `pack.identity` of the configuration.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Refuse a pack that is not signed by the owner of this public key. By default `pack.signed_by` of the configuration.
    #[arg(long, value_name = "FILE")]
    pub signed_by: Option<PathBuf>,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The pack; by default HAPack.zip or HAPack.zip.age in the home, else in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How it is opened.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// For what.
    #[arg(value_name = "PURPOSE")]
    pub purpose: KeyPurpose,
    /// The private key, which only its owner can read; the public one is FILE.pub. Neither is there yet.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// What a pair of keys is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyPurpose {
    /// The primary signs with the private key, the secondary checks with the public one.
    Signing,
    /// The primary encrypts to the public key, the secondary opens with the private one.
    Encryption,
}

/// Arguments of `install-pack`.
#[derive(Debug, Args)]
pub struct InstallPackArgs {
    /// The pack; by default HAPack.zip or HAPack.zip.age in the home, else in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// HAPack.zip was unpacked by hand in the home: check every file of it, and finish the job without the ZIP.
    #[arg(long, conflicts_with = "file")]
    pub in_place: bool,
    /// Keep the present data and configuration of a fresh home, too; `pmp-ha rollback` returns to them.
    #[arg(long, conflicts_with_all = ["in_place", "discard_old"])]
    pub keep: bool,
    /// Delete the old data even if this home was in a pair. Rows that exist only here are lost.
    #[arg(long)]
    pub discard_old: bool,
    /// A file of mode 0600 with the database password of this home, where the product keeps it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
    /// The port that the pack names for this secondary is not the one of its database: something between forwards it.
    #[arg(long)]
    pub port_is_forwarded: bool,
    /// How it is opened.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Only the newest so many runs.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The primary's `pmp_key.key`, as this machine sees it. Asked for on a terminal.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Arguments of `reconfigure`.
#[derive(Debug, Args)]
pub struct ReconfigureArgs {
    /// The port at which this node now reaches the database of the other one.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,
    /// The port at which the other node reaches the database here, where something between forwards it.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub own_port: Option<u16>,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// One line for Nagios and its kin; exit code 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub nagios: bool,
    /// Look again and again, with so many seconds between two looks [default: 2], until Ctrl-C, which is a good end: exit code 0.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub watch: Option<u64>,
    /// Write a heartbeat here, and wait for it on the other node and for its echo.
    #[arg(long)]
    pub prove: bool,
    /// On the primary: compare the data of both nodes, row by row, while the application goes on. Exit code 5 if they differ. A run that was cut off goes on where it stopped.
    #[arg(long, conflicts_with_all = ["nagios", "watch", "prove"])]
    pub deep: bool,
    /// Compare this table only; can be given more than once.
    #[arg(long = "table", value_name = "NAME", requires = "deep")]
    pub tables: Vec<String>,
    /// Milliseconds between two pieces, to spare the servers.
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "deep")]
    pub pause: u64,
    /// Begin from the start, whatever an earlier run has done.
    #[arg(long, requires = "deep")]
    pub anew: bool,
}

/// Arguments of `monitor`.
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// A fresh installation of the same version, which becomes the primary. It need not have been started.
    #[arg(long, value_name = "NEW_HOME", required_unless_present = "promote", conflicts_with = "promote")]
    pub into: Option<PathBuf>,
    /// Where the data come from: the secondary's home, whose database may go on running, a copy of it, or a copy of its folder mysql. By default the home that --home names.
    #[arg(long, value_name = "DIR", conflicts_with = "promote")]
    pub from: Option<PathBuf>,
    /// On the secondary: make it the primary where it stands. It is refused while the primary answers, or may be alive.
    #[arg(long)]
    pub promote: bool,
    /// The primary is switched off, or cut off from everybody: promote whatever is seen of it.
    #[arg(long, requires = "promote")]
    pub fenced: bool,
    /// The original encryption key, `pmp_key.key` of the lost primary. Asked for on a terminal.
    #[arg(long, value_name = "PATH", conflicts_with = "promote")]
    pub key: Option<PathBuf>,
    /// Go on, with a warning, where what the secondary had received cannot all be applied.
    #[arg(long)]
    pub accept_loss: bool,
    /// A file of mode 0600 with the database password of the new home, where the product keeps it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
}

/// Arguments of `switchover`.
#[derive(Debug, Args)]
pub struct SwitchoverArgs {
    /// Seconds to wait for the other node.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub wait: u64,
    /// The other node has run this command: it is not run there once more.
    #[arg(long, hide = true)]
    pub answer: bool,
}

/// Arguments of `rejoin`.
#[derive(Debug, Args)]
pub struct RejoinArgs {
    /// Make this node anew from a pack of the new primary. The data that are here are kept; `pmp-ha rollback` returns to them.
    #[arg(long, value_name = "FILE")]
    pub pack: Option<PathBuf>,
    /// How it is opened.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct RehearseArgs {
    /// Try a pack instead of the data; by default HAPack.zip or HAPack.zip.age in the home, else in its folder replication.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub pack: Option<Option<PathBuf>>,
    /// The encryption key that the recovery will be given. By default the one that `conf/manage_key.conf` names.
    #[arg(long, value_name = "PATH")]
    pub key: Option<PathBuf>,
    /// Where there is room for a copy of the data. By default the folder replication of the home.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How a pack is opened.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `may-start`.
#[derive(Debug, Args)]
pub struct MayStartArgs {
    /// Stay until the database answers.
    #[arg(long, hide = true)]
    pub hold: bool,
}

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// A table to compare, besides those that the applier and the last comparison name. Can be repeated.
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
}

/// The lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Make DIR/primary and DIR/secondary, stopped.
    Up(LabUpArgs),
    /// Make one more fresh installation, stopped.
    Home(LabHomeArgs),
    /// Run a statement as the product would, and print the rows.
    Sql(LabSqlArgs),
    /// Stop the databases of a lab and remove it.
    Down(LabDownArgs),
}

/// Arguments of `lab up`.
#[derive(Debug, Args)]
pub struct LabUpArgs {
    /// A folder that is not there yet.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// A server that scripts/fetch-servers brought (mysql-5.6, mysql-9.7, mariadb-10.11, mariadb-11.8), or the folder of one.
    #[arg(long, value_name = "NAME_OR_PATH", default_value = "mysql-5.6")]
    pub server: String,
    /// How much data the primary is filled with, in MB.
    #[arg(long, value_name = "MB", default_value_t = 4)]
    pub size: u64,
    /// Another lab of the same server, never started, whose databases are copied: that is quicker.
    #[arg(long, value_name = "LAB", conflicts_with = "size")]
    pub like: Option<PathBuf>,
}

/// Arguments of `lab home`.
#[derive(Debug, Args)]
pub struct LabHomeArgs {
    /// A folder that is not there yet.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// As for `lab up`.
    #[arg(long, value_name = "NAME_OR_PATH", default_value = "mysql-5.6")]
    pub server: String,
    /// Another home of the same server, never started, whose database is copied.
    #[arg(long, value_name = "HOME")]
    pub like: Option<PathBuf>,
}

/// Arguments of `lab sql`.
#[derive(Debug, Args)]
pub struct LabSqlArgs {
    /// The home whose database is asked.
    #[arg(value_name = "HOME")]
    pub dir: PathBuf,
    /// One statement.
    #[arg(value_name = "STATEMENT")]
    pub statement: String,
}

/// Arguments of `lab down`.
#[derive(Debug, Args)]
pub struct LabDownArgs {
    /// The folder that `lab up` made.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
