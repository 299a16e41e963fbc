//! The names of the tool's locks in a server.
//!
//! Every login may take any lock whose name it knows, without a right. So each name has a word that is
//! random, and that only the tool's administrator can read.

use super::settings::LOCAL_SCHEMA;
use super::sql::Sql;

/// The name of one of the tool's locks, as an expression of SQL.
macro_rules! lock_name {
    ($lock:literal) => {
        concat!(
            "CONCAT('pmp_ha.",
            $lock,
            ".', IFNULL((SELECT MAX(w.word) FROM pmp_ha_local.lock_word w), ''))"
        )
    };
}
pub(super) use lock_name;

/// Returns the `word`.
pub const LOCK_WORD: &str = "SELECT MAX(w.word) AS word FROM pmp_ha_local.lock_word w";

/// Makes the table of the word. The server itself makes the word, with its next heartbeat (`MAKE_WORD`).
#[must_use]
pub fn table_of_word() -> Sql {
    Sql::new(format!(
        "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.lock_word (id INT UNSIGNED NOT NULL PRIMARY KEY, \
         word VARCHAR(32) NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
    ))
}

/// Deletes the word, because a copy of the data contains it.
///
/// The locks that are held become free. The statement must not be logged.
#[must_use]
pub fn forget_word() -> Sql {
    Sql::new(format!("DELETE FROM {LOCAL_SCHEMA}.lock_word"))
}

/// Makes a word where there is none, from inside a stored program. A binlog that somebody may read does not get it.
pub(super) const MAKE_WORD: &str = "IF NOT EXISTS (SELECT 1 FROM pmp_ha_local.lock_word) THEN\n\
     COMMIT;\n\
     SET SESSION sql_log_bin = 0;\n\
     INSERT IGNORE INTO pmp_ha_local.lock_word VALUES (1, LEFT(SHA2(CONCAT(UUID(), RAND(), UUID(), RAND()), 256), 32));\n\
     COMMIT;\n\
     SET SESSION sql_log_bin = 1;\n\
     END IF;";
