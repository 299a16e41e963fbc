//! What `MySQL` 5.1 and 5.5 lack, and what replaces it.

use super::{Family, Flavor};

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

impl Flavor {
    /// Whether a kill leaves an outdated position of the applier and a torn binlog.
    ///
    /// Such a server writes the position into a plain file after the commit. pmp-ha repairs both before
    /// it starts.
    #[must_use]
    pub fn is_mended_before_start(&self) -> bool {
        self.age != Age::Newer
    }

    /// Whether the receiver itself requests heartbeats.
    #[must_use]
    pub fn has_heartbeat_period(&self) -> bool {
        self.age != Age::Of51
    }

    /// Whether the channel has an option for the retry count.
    #[must_use]
    pub fn has_retry_count_of_channel(&self) -> bool {
        self.family == Family::MySql && self.age == Age::Newer
    }

    /// Whether the replica status shows that all relay logs were read.
    ///
    /// Otherwise, [`Self::applier_state_query`] does.
    #[must_use]
    pub fn status_has_applier_state(&self) -> bool {
        self.age == Age::Newer
    }

    /// Returns `state`, what the applier does.
    #[must_use]
    pub fn applier_state_query(&self) -> &'static str {
        "SELECT STATE AS state FROM information_schema.PROCESSLIST \
         WHERE USER = 'system user' AND STATE LIKE '%has read all relay log%'"
    }

    /// Whether a connecting receiver is shown as stopped, with its state in another column.
    #[must_use]
    pub fn connecting_shows_as_stopped(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether one option names several plugins; only one such option counts.
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

    /// Whether an option keeps statements out of the binlog if it contains rows.
    #[must_use]
    pub fn has_rows_query_events(&self) -> bool {
        self.age == Age::Newer
    }

    /// Whether it shows what is in its relay logs. Where it does not, only their files do.
    #[must_use]
    pub fn shows_relay_logs(&self) -> bool {
        self.age != Age::Of51
    }

    /// Whether the server silently ignores certificates signed with anything newer than SHA-1.
    #[must_use]
    pub fn wants_sha1(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether the server's own log tables cannot be checked like others.
    #[must_use]
    pub fn locks_no_log_tables(&self) -> bool {
        self.age == Age::Of51
    }

    /// Whether a statement can have a limit for waiting until another one releases a table.
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
}
