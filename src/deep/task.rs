//! What a comparison works with.

use std::time::Duration;

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::config::Config;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Membership;
use crate::ui::Ui;

/// What a comparison works with.
pub struct Task<'a> {
    /// The primary's home.
    pub home: &'a Home,
    /// The pair.
    pub membership: &'a Membership,
    /// The configuration.
    pub config: &'a Config,
    /// The servers' row of differences; both run the same version.
    pub flavor: &'a Flavor,
    /// For progress and for what is worth saying.
    pub ui: &'a Ui,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// The tables that were asked for; empty for all.
    pub wanted: Vec<String>,
    /// Between two pieces.
    pub pause: Duration,
    /// Forget what an earlier run has done.
    pub anew: bool,
}

/// A table that is to be compared.
pub(super) struct Table {
    pub(super) name: String,
    /// What the server thinks that it takes on disk; at least 1.
    pub(super) bytes: u64,
    /// How many of them a row takes.
    pub(super) row_bytes: u64,
}
