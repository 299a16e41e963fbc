//! Commands for practice.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use super::examples;
use super::set_up::OpeningArgs;

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

/// The lab.
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Create DIR/primary and DIR/secondary, stopped.
    #[command(after_help = examples::LAB_UP)]
    Up(LabUpArgs),
    /// Create one more fresh installation, stopped.
    #[command(after_help = examples::LAB_HOME)]
    Home(LabHomeArgs),
    /// Run a statement with the product's account, and print rows.
    #[command(after_help = examples::LAB_SQL)]
    Sql(LabSqlArgs),
    /// Stop the databases of a lab, and remove it.
    #[command(after_help = examples::LAB_DOWN)]
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

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder, which must exist.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}
