//! What the monitor account is told by procedures, which run with the rights of the tool's administrator.
//!
//! To see it by itself, it would need the right to see every running statement, and a statement of the
//! application's may hold a secret. Whoever holds a pack has this account.

use super::own_schema::ADMIN_USER;
use super::settings::OWN_SCHEMA;
use super::sql::Sql;

/// A query, and the procedure in [`OWN_SCHEMA`] that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The name of the procedure.
    pub procedure: &'static str,
    /// The query, for pairs that were set up before there was the procedure: their monitor account may ask it.
    pub query: &'static str,
}

/// The receivers that are connected: `user` and `host`.
pub const RECEIVERS: Question = Question {
    procedure: "receivers",
    query: "SELECT USER AS user, HOST AS host FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'",
};

/// How many transactions no session owns, and were left for a while, in `prepared`. A restart leaves prepared
/// ones so, and so does an applier.
pub const LEFT_PREPARED: Question = Question {
    procedure: "left_prepared",
    query: "SELECT COUNT(*) AS prepared FROM information_schema.INNODB_TRX \
            WHERE trx_mysql_thread_id = 0 AND trx_started < NOW() - INTERVAL 30 SECOND",
};

const ALL: [Question; 2] = [RECEIVERS, LEFT_PREPARED];

/// The names of all procedures.
#[must_use]
pub fn procedures() -> [&'static str; 2] {
    ALL.map(|question| question.procedure)
}

/// The statements that make the procedures.
#[must_use]
pub fn make() -> Vec<Sql> {
    ALL.iter()
        .flat_map(|Question { procedure, query }| {
            [
                format!("DROP PROCEDURE IF EXISTS {OWN_SCHEMA}.{procedure}"),
                format!(
                    "CREATE DEFINER='{ADMIN_USER}'@'localhost' PROCEDURE {OWN_SCHEMA}.{procedure}() \
                     READS SQL DATA SQL SECURITY DEFINER {query}"
                ),
            ]
        })
        .map(Sql::new)
        .collect()
}

impl Question {
    /// The statement that asks it.
    #[must_use]
    pub fn call(&self) -> String {
        format!("CALL {OWN_SCHEMA}.{}()", self.procedure)
    }
}
