//! Commands that put a pair right.

use std::path::PathBuf;

use clap::Args;

use super::set_up::OpeningArgs;

/// Arguments of `reconfigure`.
#[derive(Debug, Args)]
pub struct ReconfigureArgs {
    /// The new port at which this node reaches the database of the other node.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,
    /// The port at which the other node reaches this database, if that port is forwarded.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub own_port: Option<u16>,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// On the secondary: the file from the primary. By default, HASecrets.toml or HASecrets.toml.age in the home or in its folder replication.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How long to wait for the other node. After that, run the command again.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub wait: u64,
    /// On the primary: discard new secrets that the secondary has not accepted.
    #[arg(long, conflicts_with = "file")]
    pub cancel: bool,
    /// Sign the file with this private key. By default, `pack.sign_with` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub sign_with: Option<PathBuf>,
    /// Encrypt the file to the owner of this public key. By default, `pack.encrypt_to` in the configuration.
    #[arg(long, value_name = "FILE")]
    pub encrypt_to: Option<PathBuf>,
    /// How to open it.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// Arguments of `repair`.
#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Repair only this table, if the applier runs. Can be repeated. [default: every table]
    #[arg(long = "table", value_name = "NAME")]
    pub tables: Vec<String>,
    /// On the primary: skip what its server refused from the secondary, or mark as seen what it may have executed.
    #[arg(long, conflicts_with = "tables")]
    pub return_channel: bool,
}
