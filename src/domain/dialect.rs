//! The tool's statements, in the words that `MySQL` 5.1 and 5.5 understand.

use std::borrow::Cow;

use super::definitions::PARAMETERS;
use super::own_schema::CLOCK;
use super::questions::PREPARED;

/// The clock of [`CLOCK`] where the server has none with microseconds: the time in a UUID has units of
/// 100 ns since 1582. One call of the function, hence the inner query.
const CLOCK_OF_UUID: &str = "(SELECT (CONV(CONCAT(SUBSTR(c.u,16,3),SUBSTR(c.u,10,4),SUBSTR(c.u,1,8)),16,10) \
     - 122192928000000000) DIV 10 FROM (SELECT UUID() AS u) c)";

/// What the tool says, and what an old server understands instead.
const OF_BOTH: [(&str, &str); 3] = [
    (CLOCK, CLOCK_OF_UUID),
    ("START TRANSACTION READ ONLY", "START TRANSACTION"),
    ("REPEATABLE READ, READ WRITE", "REPEATABLE READ"),
];
const OF_51: [(&str, &str); 10] = [
    ("CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", "CHARACTER SET utf8 COLLATE utf8_bin"),
    ("CHARACTER SET utf8mb4", "CHARACTER SET utf8"),
    ("SET NAMES utf8mb4", "SET NAMES utf8"),
    (" USING utf8mb4)", " USING utf8)"),
    ("RESIGNAL;", "SELECT 0 AS beat;"),
    // Its transactions cannot be asked for. It leaves none prepared: it looks into its binlog when it starts.
    (PREPARED, "SELECT 0 AS prepared"),
    // Only a table of its own tells the parameters of a routine.
    (PARAMETERS[0], "p.param_list FROM mysql.proc p WHERE p.db"),
    (PARAMETERS[1], "p.name = ROUTINES.ROUTINE_NAME AND p.type = ROUTINES.ROUTINE_TYPE"),
    (", lc_messages = 'en_US'", ""),
    // It has no patience of a session's own for locks.
    (", innodb_lock_wait_timeout = 1", ""),
];

/// The words of the server at the other end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Of 5.1.
    Of51,
    /// Of 5.5.
    Of55,
    /// Of all others.
    Newer,
}

impl Dialect {
    /// The dialect of a server that greets with this version. No supported server of the other family
    /// has so low a one.
    #[must_use]
    pub fn of(version: (u16, u16, u16)) -> Self {
        match version {
            (5, 0..=4, _) => Self::Of51,
            (5, 5, _) | (5, 6, 0..=3) => Self::Of55,
            _ => Self::Newer,
        }
    }

    /// The same statement in the words of the server.
    #[must_use]
    pub fn say<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(sql);
        let replacements: &[&[(&str, &str)]] = match self {
            Self::Newer => &[],
            Self::Of55 => &[&OF_BOTH],
            Self::Of51 => &[&OF_BOTH, &OF_51],
        };
        for (new, old) in replacements.iter().copied().flatten() {
            if out.contains(new) {
                out = Cow::Owned(out.replace(new, old));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::sql::OWN_DEFAULTS;
    use super::*;

    #[test]
    fn an_old_server_hears_only_words_that_it_knows() {
        for sql in OWN_DEFAULTS {
            let said = [Dialect::Of51, Dialect::Of55].map(|old| old.say(sql).into_owned());
            assert!(!said.iter().any(|sql| sql.contains("READ WRITE")) && !said[0].contains("lc_messages"));
        }
        let sql = format!("CREATE TABLE a (at BIGINT) CHARACTER SET utf8mb4; UPDATE a SET at = {CLOCK}");
        let of55 = Dialect::of((5, 5, 62)).say(&sql).into_owned();
        assert!(!of55.contains("UTC_TIMESTAMP(6)") && of55.contains("utf8mb4") && of55.contains("UUID()"));
        let of51 = Dialect::of((5, 1, 50)).say(&sql).into_owned();
        assert!(!of51.contains("UTC_TIMESTAMP(6)") && of51.contains("CHARACTER SET utf8;"), "{of51}");
        for newer in [(5, 6, 24), (5, 7, 44), (9, 7, 4), (10, 11, 9)] {
            assert!(matches!(Dialect::of(newer).say(&sql), Cow::Borrowed(_)), "{newer:?}");
        }
    }
}
