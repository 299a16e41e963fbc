//! The command line: types only, their doc comments are the help.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::domain::pair::Endpoint;

/// High availability for Password Manager Pro with its bundled MySQL.
///
/// The four steps of the manual: `pack` on the primary, `install-pack` and `key` on the
/// secondary, `start`; then `verify` on either.
#[derive(Debug, Parser)]
#[command(name = "pmp-ha", version, max_term_width = 100)]
pub struct Cli {
    /// What is the same for every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
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
    /// Do not ask for agreement. Without a terminal nothing is ever asked.
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Write the result as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say only what went wrong.
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
    /// Password Manager Pro and its database must be stopped. The names are those by which the
    /// two machines reach each other.
    Pack(PackArgs),
    /// Install HAPack.zip on the secondary.
    InstallPack(InstallPackArgs),
    /// Write the path of the encryption key into `conf/manage_key.conf`.
    Key(KeyArgs),
    /// Start the bundled database with the product's own script.
    Start,
    /// Stop the bundled database with the product's own script.
    Stop,
    /// Say whether the pair is Alive or Failed, and why. Exit code 0 only if both are Alive.
    Verify,
    /// Disaster recovery: make a new primary from the secondary's data.
    Recover(RecoverArgs),
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
}

/// Arguments of `install-pack`.
#[derive(Debug, Args)]
pub struct InstallPackArgs {
    /// The pack; by default HAPack.zip in the home or in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A file of mode 0600 with the database password of this home, where the product keeps it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
}

/// Arguments of `key`.
#[derive(Debug, Args)]
pub struct KeyArgs {
    /// The primary's `pmp_key.key`, as this machine sees it. Asked for on a terminal.
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// A fresh installation of the same version, which becomes the primary. --home names the secondary's home, or a copy of it.
    #[arg(long, value_name = "NEW_HOME")]
    pub into: PathBuf,
    /// The original encryption key, `pmp_key.key` of the lost primary. Asked for on a terminal.
    #[arg(long, value_name = "PATH")]
    pub key: Option<PathBuf>,
    /// Go on, with a warning, where what the secondary had received cannot all be applied.
    #[arg(long)]
    pub accept_loss: bool,
    /// A file of mode 0600 with the database password of the new home, where the product keeps it encrypted.
    #[arg(long, value_name = "FILE")]
    pub db_password_file: Option<PathBuf>,
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
