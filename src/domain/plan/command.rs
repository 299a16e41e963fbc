//! The commands that carry out a plan, as an operator types them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The command that a plan belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// `pack`
    Pack,
    /// `install-pack`
    InstallPack,
    /// `reconfigure`
    Reconfigure,
    /// `recover`
    Recover,
    /// `recover --promote`
    #[serde(rename = "recover --promote")]
    Promote,
    /// `rejoin`
    Rejoin,
    /// `repair`
    Repair,
    /// `rollback`
    Rollback,
    /// `rotate`
    Rotate,
    /// `switchover`
    Switchover,
    /// `teardown`
    Teardown,
}

impl Command {
    /// Returns the words after `pmp-ha` on the command line.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::InstallPack => "install-pack",
            Self::Reconfigure => "reconfigure",
            Self::Recover => "recover",
            Self::Promote => "recover --promote",
            Self::Rejoin => "rejoin",
            Self::Repair => "repair",
            Self::Rollback => "rollback",
            Self::Rotate => "rotate",
            Self::Switchover => "switchover",
            Self::Teardown => "teardown",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words())
    }
}
