//! A comparison under way: both servers, what was done, and what was found.

use super::notebook::Notebook;
use super::servers::Servers;
use super::task::Task;
use crate::domain::deep::report::{TableDifference, What};
use crate::domain::deep::state::State;
use crate::ui::Progress;

/// A comparison under way.
pub(super) struct Comparison<'a> {
    pub(super) task: &'a Task<'a>,
    pub(super) servers: Servers,
    pub(super) notebook: Notebook,
    pub(super) state: State,
    /// The number of the next piece.
    pub(super) chunk: u32,
    pub(super) progress: Progress,
}

impl Comparison<'_> {
    pub(super) fn differs(&mut self, table: &str, what: What) {
        self.task.ui.detail(format!("{table} differs: {what}"));
        self.state.differences.push(TableDifference { table: table.to_owned(), what });
    }

    pub(super) fn is_audit(&self, table: &str) -> bool {
        self.task.membership.pair.audit_tables.contains(table)
    }
}
