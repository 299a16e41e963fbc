//! Semi-synchronous replication, in the words of each server.

use super::{Family, Flavor, Words};
use crate::domain::pair::Role;

/// Configured: a commit waits until the secondary has received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SemiSync {
    /// Seconds after which it continues without the secondary.
    pub timeout: u64,
}

impl Flavor {
    /// The plugins for semi-synchronous replication, one for each side: name and file.
    ///
    /// `MariaDB` has it built in.
    #[must_use]
    pub fn semi_sync_plugins(&self) -> &'static [(&'static str, &'static str)] {
        match (self.family, self.words) {
            _ if !self.has_semi_sync() => &[],
            (Family::MariaDb, _) => &[],
            (Family::MySql, Words::Old) => &[
                ("rpl_semi_sync_master", "semisync_master.so"),
                ("rpl_semi_sync_slave", "semisync_slave.so"),
            ],
            (Family::MySql, Words::New) => &[
                ("rpl_semi_sync_source", "semisync_source.so"),
                ("rpl_semi_sync_replica", "semisync_replica.so"),
            ],
        }
    }

    /// Loads the plugins into a running server, until its next start.
    ///
    /// From then on the option file loads them. A row in `mysql.plugin` would go into packs.
    #[must_use]
    pub fn load_semi_sync(&self) -> Vec<String> {
        let load = |(name, file): &(&str, &str)| {
            [
                format!("INSTALL PLUGIN {name} SONAME '{file}'"),
                format!("DELETE FROM mysql.plugin WHERE name = '{name}'"),
            ]
        };
        self.semi_sync_plugins().iter().flat_map(load).collect()
    }

    /// The variables of semi-synchronous replication, with their values on the node in `role`.
    ///
    /// The side of the source is on only on the primary, that of the replica only on the secondary. So
    /// the return channel stays asynchronous.
    #[must_use]
    pub fn semi_sync_variables(&self, role: Role, wanted: Option<SemiSync>) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
        if !self.has_semi_sync() {
            return out;
        }
        if let Some(SemiSync { timeout }) = wanted {
            out.push(("rpl_semi_sync_source_timeout", (timeout * 1000).to_string()));
            if let Some(place) = self.semi_sync_wait_point {
                out.push(("rpl_semi_sync_source_wait_point", place.into()));
            }
        }
        for (variable, side) in [
            ("rpl_semi_sync_source_enabled", Role::Primary),
            ("rpl_semi_sync_replica_enabled", Role::Secondary),
        ] {
            let on = wanted.is_some() && side == role;
            out.push((variable, if on { "ON" } else { "OFF" }.into()));
        }
        out
    }

    /// Makes a running server that has it take a role in semi-synchronous replication, or none. The
    /// side of the replica takes effect when the receiver connects the next time.
    #[must_use]
    pub fn semi_sync(&self, role: Role, wanted: Option<SemiSync>) -> Vec<String> {
        self.semi_sync_variables(role, wanted)
            .into_iter()
            .map(|(variable, value)| format!("SET GLOBAL {} = {value}", self.option(variable)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MARIADB_105, MYSQL_56, MYSQL_97};
    use super::*;

    #[test]
    fn each_side_of_semi_synchronous_replication_is_on_where_it_belongs_only() {
        let wanted = Some(SemiSync { timeout: 10 });
        assert_eq!(
            MYSQL_56.semi_sync(Role::Primary, wanted),
            [
                "SET GLOBAL rpl_semi_sync_master_timeout = 10000",
                "SET GLOBAL rpl_semi_sync_master_enabled = ON",
                "SET GLOBAL rpl_semi_sync_slave_enabled = OFF",
            ]
        );
        assert_eq!(
            MYSQL_97.semi_sync(Role::Secondary, wanted),
            [
                "SET GLOBAL rpl_semi_sync_source_timeout = 10000",
                "SET GLOBAL rpl_semi_sync_source_wait_point = AFTER_COMMIT",
                "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
                "SET GLOBAL rpl_semi_sync_replica_enabled = ON",
            ]
        );
        assert_eq!(
            MARIADB_105.semi_sync(Role::Primary, None),
            ["SET GLOBAL rpl_semi_sync_master_enabled = OFF", "SET GLOBAL rpl_semi_sync_slave_enabled = OFF"]
        );
    }
}
