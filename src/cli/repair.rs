//! Commands that put a pair right.

use clap::Args;

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
