//! What procedures answer to the monitor account, with the rights of the admin account.
//!
//! To see it by itself, it would need the right to see every running statement, and a statement of the
//! application's may hold a secret. Whoever holds a pack has this account.

use super::accounts::ADMIN_USER;
use super::locks::lock_name;
use super::settings::OWN_SCHEMA;
use super::sql::Sql;

/// A query, and the procedure in [`OWN_SCHEMA`] that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The name of the procedure.
    pub procedure: &'static str,
    /// The query for pairs without the procedure: their monitor account may run it.
    pub query: &'static str,
    /// What the procedure asks.
    body: &'static str,
}

/// Takes a lock, of this name.
macro_rules! get {
    ($name:expr, $seconds:literal) => {
        concat!(
            "SELECT IF(IFNULL(IS_USED_LOCK(",
            $name,
            "), 0) = CONNECTION_ID(), 1, GET_LOCK(",
            $name,
            ", ",
            $seconds,
            ")) AS got"
        )
    };
}

/// Asks whether a lock is held: under its name, or by a monitor account under the name that earlier
/// versions know.
macro_rules! is_held {
    ($lock:literal) => {
        concat!(
            "SELECT IF(IS_USED_LOCK(",
            lock_name!($lock),
            ") IS NOT NULL OR EXISTS (SELECT 1 FROM information_schema.PROCESSLIST p \
             WHERE p.ID = IS_USED_LOCK('pmp_ha.",
            $lock,
            "') AND p.USER = 'pmp_ha_monitor'), 1, 0) AS held"
        )
    };
}

/// Asks the same where there is no procedure: whoever holds the lock counts.
macro_rules! is_used {
    ($lock:literal) => {
        concat!("SELECT IS_FREE_LOCK('pmp_ha.", $lock, "') = 0 AS held")
    };
}

const CONNECTED: &str =
    "SELECT USER AS user, HOST AS host FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'";

/// Asks for transactions that no session owns.
pub const PREPARED: &str = "SELECT COUNT(*) AS prepared FROM information_schema.INNODB_TRX \
                        WHERE trx_mysql_thread_id = 0 AND trx_started < NOW() - INTERVAL 30 SECOND";

/// The receivers that are connected: `user` and `host`.
pub const RECEIVERS: Question = Question { procedure: "receivers", query: CONNECTED, body: CONNECTED };

/// How many transactions no session owns, and were left for a while, in `prepared`. A restart leaves prepared
/// ones so, and so does an applier.
pub const LEFT_PREPARED: Question = Question { procedure: "left_prepared", query: PREPARED, body: PREPARED };

/// Announces to the secondary's server that its primary starts, until the session ends.
///
/// It returns 1 in `got`, unless another start is announced. One that has just ended releases the lock
/// within a moment.
pub const ANNOUNCE_START: Question = Question {
    procedure: "announce_start",
    query: get!("'pmp_ha.primary_starts'", "1"),
    body: get!(lock_name!("primary_starts"), "1"),
};

/// Whether a start of the primary is announced: 1 in `held`.
pub const IS_STARTING: Question = Question {
    procedure: "is_starting",
    query: is_used!("primary_starts"),
    body: is_held!("primary_starts"),
};

/// Announces to a server that the primary's monitor runs, until the session ends: 1 in `got`.
pub const ANNOUNCE_WATCH: Question = Question {
    procedure: "announce_watch",
    query: get!("'pmp_ha.primary_watches'", "0"),
    body: get!(lock_name!("primary_watches"), "0"),
};

/// Whether the monitor of the primary watches: 1 in `held`.
pub const IS_WATCHED: Question = Question {
    procedure: "is_watched",
    query: is_used!("primary_watches"),
    body: is_held!("primary_watches"),
};

const SHOW_BINARY_LOGS: &str = "SHOW BINARY LOGS";

/// The binlogs: `Log_name` and `File_size`.
///
/// `MySQL` 5.1 shows them only to accounts with all rights.
pub const BINARY_LOGS: Question =
    Question { procedure: "binary_logs", query: SHOW_BINARY_LOGS, body: SHOW_BINARY_LOGS };

const ALL: [Question; 7] =
    [RECEIVERS, LEFT_PREPARED, ANNOUNCE_START, IS_STARTING, ANNOUNCE_WATCH, IS_WATCHED, BINARY_LOGS];

/// The names of all procedures.
#[must_use]
pub fn procedures() -> [&'static str; ALL.len()] {
    ALL.map(|question| question.procedure)
}

/// The statements that make the procedures.
#[must_use]
pub fn make() -> Vec<Sql> {
    ALL.iter()
        .flat_map(|Question { procedure, body, .. }| {
            [
                format!("DROP PROCEDURE IF EXISTS {OWN_SCHEMA}.{procedure}"),
                format!(
                    "CREATE DEFINER='{ADMIN_USER}'@'localhost' PROCEDURE {OWN_SCHEMA}.{procedure}() \
                     READS SQL DATA SQL SECURITY DEFINER {body}"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_foresee_the_name_of_a_lock() {
        for question in [ANNOUNCE_START, ANNOUNCE_WATCH] {
            assert!(question.body.contains("lock_word") && !question.body.contains("LOCK('"), "{question:?}");
        }
        for question in [IS_STARTING, IS_WATCHED] {
            // Under the name that everybody knows, only the monitor account counts.
            assert!(question.body.contains("p.USER = 'pmp_ha_monitor'"), "{question:?}");
        }
        // Names of more than 64 letters are none.
        assert!("pmp_ha.primary_watches.".len() + 32 <= 64);
    }
}
