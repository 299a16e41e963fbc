//! The names of the tool's locks in a server.
//!
//! Every login may take any lock whose name it knows, without a right. So each name has a word that is
//! random, and that only the tool's administrator can read.

use super::settings::LOCAL_SCHEMA;
use super::sql::{Sql, quote};

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

/// Answers with the `word`.
pub const LOCK_WORD: &str = "SELECT MAX(w.word) AS word FROM pmp_ha_local.lock_word w";

/// The statements that keep a word for the names of the locks. A node keeps the one that it has: another
/// one would make its locks free.
#[must_use]
pub fn keep_word(new: &str) -> Vec<Sql> {
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {LOCAL_SCHEMA}.lock_word (id INT UNSIGNED NOT NULL PRIMARY KEY, \
             word VARCHAR(32) NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
        ),
        format!("INSERT IGNORE INTO {LOCAL_SCHEMA}.lock_word VALUES (1, {})", quote(new)),
    ]
    .map(Sql::new)
    .into()
}
