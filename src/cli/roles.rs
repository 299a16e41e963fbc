//! Commands that change roles, or recover.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::set_up::OpeningArgs;

/// Arguments of `recover`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("way").required(true).args(["promote", "into"]))]
pub struct RecoverArgs {
    /// A fresh installation of the same version, which becomes the primary. You need not start it first.
    #[arg(long, value_name = "NEW_HOME")]
    pub into: Option<PathBuf>,
    /// The source of the data: a node's home, a copy of it, or a copy of its folder mysql. A secondary's database may keep running; a primary's must be stopped or crashed. By default, the home of the secondary that --home names.
    #[arg(long, value_name = "DIR", conflicts_with = "promote")]
    pub from: Option<PathBuf>,
    /// On the secondary: make it the primary in its own home. Refused unless the primary is fenced, by you (--fenced) or by `fence.command`.
    #[arg(long)]
    pub promote: bool,
    /// Confirm that the primary is off, or that no user can reach it. Promote even if it seems alive.
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
    /// Do not start the command on the other node, because it already runs there.
    #[arg(long, hide = true)]
    pub answer: bool,
}

/// Arguments of `rejoin`.
#[derive(Debug, Args)]
pub struct RejoinArgs {
    /// Set up this node from a pack of the new primary. Keep its old data; `pmp-ha rollback` returns to them.
    #[arg(long, value_name = "FILE")]
    pub pack: Option<PathBuf>,
    /// How to open it.
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
