//! Options with which an installation leaves changes out: of its binlog, or of what its applier executes.
//!
//! The pair's own filter is `replicate-wild-do-table`. No option file can lift the others: a server adds up what
//! it is given.

use crate::adapters::server::session::Row;

/// Columns of the binlog's status, and the options that they show.
const OF_BINLOG: [(&str, &str); 2] =
    [("Binlog_Do_DB", "binlog-do-db"), ("Binlog_Ignore_DB", "binlog-ignore-db")];

/// The same of the replica's status.
const OF_APPLIER: [(&str, &str); 7] = [
    ("Replicate_Do_DB", "replicate-do-db"),
    ("Replicate_Ignore_DB", "replicate-ignore-db"),
    ("Replicate_Do_Table", "replicate-do-table"),
    ("Replicate_Ignore_Table", "replicate-ignore-table"),
    ("Replicate_Wild_Ignore_Table", "replicate-wild-ignore-table"),
    ("Replicate_Ignore_Domain_Ids", "IGNORE_DOMAIN_IDS"),
    ("Replicate_Rewrite_DB", "replicate-rewrite-db"),
];

/// Returns what a server's applier leaves out, from its status as a replica.
#[must_use]
pub fn of_applier(status: &Row) -> Vec<String> {
    set(status, &OF_APPLIER)
}

/// Returns what a server leaves out of its binlog, from its status.
#[must_use]
pub fn of_binlog(status: &Row) -> Vec<String> {
    set(status, &OF_BINLOG)
}

fn set(status: &Row, columns: &[(&str, &str)]) -> Vec<String> {
    let value = |column: &str| status.get(column).filter(|value| !value.is_empty());
    columns
        .iter()
        .filter_map(|(column, option)| value(column).map(|value| format!("{option} = {value}")))
        .collect()
}
