//! What `MySQL` 5.1 and 5.5 lack, and what stands in for it.

use std::borrow::Cow;

use super::{Family, Flavor};
use crate::domain::definitions::PARAMETERS;
use crate::domain::own_schema::CLOCK;
use crate::domain::questions::PREPARED;

/// Which of the old servers it is, for what was new in 5.5 and in 5.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// 5.1.
    Of51,
    /// 5.5.
    Of55,
    /// Newer, or of the other family.
    Newer,
}

/// The clock of [`CLOCK`] where the server has none with microseconds: the time in a UUID has units of
/// 100 ns since 1582. One call of the function, hence the inner query.
const CLOCK_OF_UUID: &str = "(SELECT (CONV(CONCAT(SUBSTR(c.u,16,3),SUBSTR(c.u,10,4),SUBSTR(c.u,1,8)),16,10) \
     - 122192928000000000) DIV 10 FROM (SELECT UUID() AS u) c)";

/// What the tool says, and what an old server understands instead.
const OF_BOTH: [(&str, &str); 2] =
    [(CLOCK, CLOCK_OF_UUID), ("START TRANSACTION READ ONLY", "START TRANSACTION")];
const OF_51: [(&str, &str); 9] = [
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
    // It has no patience of a session's own for locks.
    (", innodb_lock_wait_timeout = 1", ""),
];

/// The words of the server at the other end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect(Age);

impl Dialect {
    /// The dialect of a server that greets with this version. No supported server of the other family
    /// has so low a one.
    #[must_use]
    pub fn of(version: (u16, u16, u16)) -> Self {
        Self(match version {
            (5, 0..=4, _) => Age::Of51,
            (5, 5, _) | (5, 6, 0..=3) => Age::Of55,
            _ => Age::Newer,
        })
    }

    /// The same statement in the words of the server.
    #[must_use]
    pub fn say<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(sql);
        let replacements: &[&[(&str, &str)]] = match self.0 {
            Age::Newer => &[],
            Age::Of55 => &[&OF_BOTH],
            Age::Of51 => &[&OF_BOTH, &OF_51],
        };
        for (new, old) in replacements.iter().copied().flatten() {
            if out.contains(new) {
                out = Cow::Owned(out.replace(new, old));
            }
        }
        out
    }
}

impl Flavor {
    /// Whether the server notes the applier's place in a plain file behind the commit, and leaves a torn
    /// event at the end of a binlog when it is killed: both are put right before it starts.
    #[must_use]
    pub fn is_mended_before_start(&self) -> bool {
        self.age != Age::Newer
    }

    /// Whether the receiver itself asks for signs of life.
    #[must_use]
    pub fn has_heartbeat_period(&self) -> bool {
        self.age != Age::Of51
    }

    /// Whether the retry count may be said of the channel.
    #[must_use]
    pub fn has_retry_count_of_channel(&self) -> bool {
        self.family == Family::MySql && self.age == Age::Newer
    }

    /// Whether the replica status says that everything in the relay logs was read; else
    /// [`Self::applier_state_query`] does.
    #[must_use]
    pub fn status_has_applier_state(&self) -> bool {
        self.age == Age::Newer
    }

    /// Answers with `state`, what the applier does.
    #[must_use]
    pub fn applier_state_query(&self) -> &'static str {
        "SELECT STATE AS state FROM information_schema.PROCESSLIST \
         WHERE USER = 'system user' AND STATE LIKE '%has read all relay log%'"
    }

    /// Whether a receiver that connects, or connects again, shows as stopped, with what it does beside.
    #[must_use]
    pub fn connecting_shows_as_stopped(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether several plugins stand in one option, which counts once.
    #[must_use]
    pub fn loads_plugins_at_once(&self) -> bool {
        self.age == Age::Of55
    }

    /// Whether it forgets a source only after it was pointed at none.
    #[must_use]
    pub(super) fn resets_in_two_steps(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether an account may act for another one.
    #[must_use]
    pub(super) fn has_proxies(&self) -> bool {
        self.age != Age::Of51
    }

    /// Whether commits can wait for the secondary.
    #[must_use]
    pub fn has_semi_sync(&self) -> bool {
        self.age != Age::Of51
    }

    /// Whether an option says that statements do not go into the binlog beside their rows.
    #[must_use]
    pub fn has_rows_query_events(&self) -> bool {
        self.age == Age::Newer
    }

    /// Whether it shows what is in its relay logs. Where it does not, only their files do.
    #[must_use]
    pub fn shows_relay_logs(&self) -> bool {
        self.age != Age::Of51
    }

    /// Whether it takes no certificate that was signed with anything newer than SHA-1, and says so to nobody.
    #[must_use]
    pub fn wants_sha1(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether tables of its own, which hold its logs, cannot be checked like others.
    #[must_use]
    pub fn locks_no_log_tables(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether a statement may be told how long it may wait for another one to leave a table.
    #[must_use]
    pub fn has_lock_wait_timeout(&self) -> bool {
        self.age != Age::Of51
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coordinates::Coordinates;
    use crate::domain::flavor::SourceSpec;

    #[test]
    fn the_channel_of_an_old_server_is_told_only_what_it_knows() {
        let from = Coordinates::FilePosition { file: "b.000002".into(), position: 107 };
        let spec = SourceSpec {
            host: "a",
            port: 1,
            user: "u",
            password: "p",
            ca: "/ca",
            cert: "/c",
            key: "/k",
            from: &from,
            connect_retry: 3,
            heartbeat: 1,
            limited: true,
        };
        let [of51, of55] = ["MySQL 5.1", "MySQL 5.5"].map(Flavor::called);
        let told = |flavor: &Flavor| flavor.change_source(&spec).text().to_owned();
        assert!(!told(of51).contains("HEARTBEAT") && !told(of51).contains("RETRY_COUNT"));
        assert!(told(of55).contains("HEARTBEAT_PERIOD=1") && !told(of55).contains("RETRY_COUNT"));
        assert_eq!(of51.forget_source(), ["CHANGE MASTER TO MASTER_HOST=''", "RESET SLAVE"]);
        assert_eq!(of55.forget_source(), ["RESET SLAVE ALL"]);
        let tables =
            |flavor: &Flavor| flavor.grant_tables().iter().any(|(table, _)| *table == "proxies_priv");
        assert!(!tables(of51) && tables(of55));
        assert!(of51.rights().iter().all(|[table, ..]| *table != "proxies_priv"));
        assert!(of51.grants_that_revoke_leaves().is_empty());
    }

    #[test]
    fn an_old_server_hears_only_words_that_it_knows() {
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
