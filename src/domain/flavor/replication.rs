//! The SQL for replication, in the words of each server.

use super::{Family, Flavor, Positioning, Words};
use crate::domain::accounts::APPLIER_USER;
use crate::domain::coordinates::Coordinates;
use crate::domain::datafiles::Layout;
use crate::domain::pair::Role;
use crate::domain::sql::{Sql, quote};

/// Everything that a replica must know about its source.
#[derive(Clone, Copy)]
pub struct SourceSpec<'a> {
    /// The name that the source's certificate carries.
    pub host: &'a str,
    /// The port of its database.
    pub port: u16,
    /// The replication account.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
    /// Full path of the pair's CA certificate.
    pub ca: &'a str,
    /// Full path of this node's certificate.
    pub cert: &'a str,
    /// Full path of this node's private key, PKCS#1.
    pub key: &'a str,
    /// The coordinates from which it replicates.
    pub from: &'a Coordinates,
    /// Seconds between two attempts.
    pub connect_retry: u64,
    /// Seconds between two heartbeats on a quiet link.
    pub heartbeat: u64,
    /// Whether the primary's applier is limited to rows and the rights of [`APPLIER_USER`].
    pub limited: bool,
}

/// The attempts before a receiver gives up: at one a second this takes 136 years, so never.
///
/// `MySQL` 8.1 and later give up after ten by default.
pub const RETRY_COUNT: u64 = 4_294_967_295;

impl Flavor {
    /// `SHOW SLAVE STATUS` or its successor.
    #[must_use]
    pub fn show_replica_status(&self) -> &'static str {
        match self.words {
            Words::Old => "SHOW SLAVE STATUS",
            Words::New => "SHOW REPLICA STATUS",
        }
    }

    fn replica_word(&self) -> &'static str {
        match self.words {
            Words::Old => "SLAVE",
            Words::New => "REPLICA",
        }
    }

    /// Starts the receiver and the applier.
    #[must_use]
    pub fn start_replica(&self) -> String {
        format!("START {}", self.replica_word())
    }

    /// Stops the receiver and the applier.
    #[must_use]
    pub fn stop_replica(&self) -> String {
        format!("STOP {}", self.replica_word())
    }

    /// Starts only the receiver.
    #[must_use]
    pub fn start_receiver(&self) -> String {
        format!("START {} IO_THREAD", self.replica_word())
    }

    /// Starts only the applier, to apply what was received.
    #[must_use]
    pub fn start_applier(&self) -> String {
        format!("START {} SQL_THREAD", self.replica_word())
    }

    /// Stops only the receiver; the applier continues.
    #[must_use]
    pub fn stop_receiver(&self) -> String {
        format!("STOP {} IO_THREAD", self.replica_word())
    }

    /// Stops only the applier; the receiver continues.
    #[must_use]
    pub fn stop_applier(&self) -> String {
        format!("STOP {} SQL_THREAD", self.replica_word())
    }

    /// Makes the applier stop at every conflict, or replace the conflicting row by the source's.
    #[must_use]
    pub fn exec_mode(&self, strict: bool) -> String {
        let mode = if strict { "STRICT" } else { "IDEMPOTENT" };
        format!("SET GLOBAL {} = '{mode}'", self.option("replica_exec_mode"))
    }

    /// Returns the `number` and `message` of each applier worker that failed by itself.
    ///
    /// If there are several, the replica status may show one that only stopped (3030) because another
    /// had failed.
    #[must_use]
    pub fn worker_errors_query(&self) -> Option<&'static str> {
        (self.layout == Layout::MySql8).then_some(
            "SELECT LAST_ERROR_NUMBER AS number, LAST_ERROR_MESSAGE AS message \
             FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER NOT IN (0, 3030)",
        )
    }

    /// Returns one row with `transaction`, the GTID at which a worker of the applier failed.
    ///
    /// It is `None` if the server cannot refuse a transaction.
    #[must_use]
    pub fn failed_transaction_query(&self) -> Option<&'static str> {
        self.limits_the_applier().then_some(
            "SELECT APPLYING_TRANSACTION AS transaction \
             FROM performance_schema.replication_applier_status_by_worker \
             WHERE LAST_ERROR_NUMBER NOT IN (0, 3030) AND APPLYING_TRANSACTION <> ''",
        )
    }

    /// Makes `MariaDB`'s applier read the relay logs from a place. With GTIDs it would drop
    /// them all when it starts, to fetch them again from a source that may be lost.
    #[must_use]
    pub fn read_relay_log_from(&self, file: &str, position: &str) -> Sql {
        Sql::new(format!(
            "CHANGE MASTER TO MASTER_USE_GTID=no, RELAY_LOG_FILE={}, RELAY_LOG_POS={position}",
            quote(file)
        ))
    }

    /// Makes the stopped applier replicate only these tables, until the next start of the server.
    ///
    /// It is `None` if only a start can change the filter.
    #[must_use]
    pub fn filter_now(&self, patterns: &[String]) -> Option<Sql> {
        if !self.filters_at_run_time {
            return None;
        }
        Some(Sql::new(match self.family {
            Family::MySql => {
                let patterns: Vec<String> = patterns.iter().map(|pattern| quote(pattern)).collect();
                format!("CHANGE REPLICATION FILTER REPLICATE_WILD_DO_TABLE = ({})", patterns.join(", "))
            }
            Family::MariaDb => format!("SET GLOBAL replicate_wild_do_table = {}", quote(&patterns.join(","))),
        }))
    }

    /// Returns the `File` and `Position` at which the server's own binlog ends.
    #[must_use]
    pub fn binlog_end_query(&self) -> &'static str {
        // Both statements got their new words in the same version.
        match self.reset_binlogs {
            "RESET MASTER" => "SHOW MASTER STATUS",
            _ => "SHOW BINARY LOG STATUS",
        }
    }

    /// Forgets the source, its position and the relay logs.
    #[must_use]
    pub fn forget_source(&self) -> Vec<String> {
        if self.resets_in_two_steps() {
            return vec!["CHANGE MASTER TO MASTER_HOST=''".into(), "RESET SLAVE".into()];
        }
        vec![format!("RESET {} ALL", self.replica_word())]
    }

    /// Drops every binlog and the GTID history.
    #[must_use]
    pub fn reset_binlogs(&self) -> &'static str {
        self.reset_binlogs
    }

    /// The query for the coordinates, and how to read its first row.
    #[must_use]
    pub fn coordinates_query(&self) -> &'static str {
        match self.positioning {
            Positioning::FilePosition => "SHOW MASTER STATUS",
            Positioning::Gtid => "SELECT REPLACE(@@GLOBAL.gtid_executed, '\\n', '') AS executed",
            Positioning::MariaDbGtid => "SELECT @@GLOBAL.gtid_binlog_pos AS position",
        }
    }

    /// Reads the answer to [`Self::coordinates_query`]; `None` when the server counts nothing.
    pub fn read_coordinates(&self, column: impl Fn(&str) -> Option<String>) -> Option<Coordinates> {
        let filled = |name: &str| column(name).filter(|value| !value.is_empty());
        Some(match self.positioning {
            Positioning::FilePosition => Coordinates::FilePosition {
                file: filled("File")?,
                position: filled("Position")?.parse().ok()?,
            },
            Positioning::Gtid => Coordinates::Gtid { executed: filled("executed")? },
            Positioning::MariaDbGtid => Coordinates::MariaDbGtid { position: filled("position")? },
        })
    }

    /// Makes a stopped replica continue at `from`, before [`Self::change_source`].
    #[must_use]
    pub fn seed_position(&self, from: &Coordinates) -> Vec<Sql> {
        match from {
            Coordinates::FilePosition { .. } => Vec::new(),
            Coordinates::Gtid { executed } => {
                vec![format!("SET GLOBAL gtid_purged = {}", quote(executed)).into()]
            }
            // In strict mode a server with binlogs of its own refuses every position but its own.
            Coordinates::MariaDbGtid { position } => vec![
                "SET GLOBAL gtid_strict_mode = OFF".to_owned().into(),
                format!("SET GLOBAL gtid_slave_pos = {}", quote(position)).into(),
                "SET GLOBAL gtid_strict_mode = ON".to_owned().into(),
            ],
        }
    }

    /// The statement that points a replica at its source, every TLS option stated.
    #[must_use]
    pub fn change_source(&self, spec: &SourceSpec<'_>) -> Sql {
        let (verb, p) = match self.words {
            Words::Old => ("CHANGE MASTER TO", "MASTER"),
            Words::New => ("CHANGE REPLICATION SOURCE TO", "SOURCE"),
        };
        let mut parts = vec![
            format!("{p}_HOST={}", quote(spec.host)),
            format!("{p}_PORT={}", spec.port),
            format!("{p}_USER={}", quote(spec.user)),
            format!("{p}_PASSWORD={}", quote(spec.password)),
            format!("{p}_CONNECT_RETRY={}", spec.connect_retry),
            format!("{p}_SSL=1"),
            format!("{p}_SSL_CA={}", quote(spec.ca)),
            format!("{p}_SSL_CERT={}", quote(spec.cert)),
            format!("{p}_SSL_KEY={}", quote(spec.key)),
            format!("{p}_SSL_VERIFY_SERVER_CERT=1"),
        ];
        if self.has_heartbeat_period() {
            parts.push(format!("{p}_HEARTBEAT_PERIOD={}", spec.heartbeat));
        }
        if self.has_retry_count_of_channel() {
            parts.push(format!("{p}_RETRY_COUNT={RETRY_COUNT}"));
        }
        if self.limits_the_applier() {
            let (rows_only, user) = if spec.limited {
                (1, format!("{}@'localhost'", quote(APPLIER_USER)))
            } else {
                (0, "NULL".to_owned())
            };
            parts.push(format!("REQUIRE_ROW_FORMAT={rows_only}, PRIVILEGE_CHECKS_USER={user}"));
        }
        match spec.from {
            Coordinates::FilePosition { file, position } => {
                parts.push(format!("{p}_LOG_FILE={}", quote(file)));
                parts.push(format!("{p}_LOG_POS={position}"));
            }
            Coordinates::Gtid { .. } => parts.push(format!("{p}_AUTO_POSITION=1")),
            Coordinates::MariaDbGtid { .. } => parts.push(format!("{p}_USE_GTID=slave_pos")),
        }
        Sql::new(format!("{verb} {}", parts.join(", ")))
    }

    /// Whether the server itself can limit an applier: to rows, and to the rights of an account.
    #[must_use]
    pub fn limits_the_applier(&self) -> bool {
        self.layout == Layout::MySql8
    }

    /// The rights of an account that limits an applier, in addition to those for tables.
    ///
    /// What `FLUSH` says without harm travels in the binlog, and a server without the right would stop there. `RELOAD`
    /// would be too much: with it somebody empties the binlogs of this server, or locks its tables. A tag of a GTID
    /// changes no row, and a server without the right to it does not say at which transaction it stopped.
    #[must_use]
    pub fn rights_of_the_applier(&self) -> &'static [&'static str] {
        const ALL: [&str; 6] = [
            "REPLICATION_APPLIER",
            "FLUSH_STATUS",
            "FLUSH_OPTIMIZER_COSTS",
            "FLUSH_USER_RESOURCES",
            "FLUSH_PRIVILEGES",
            "TRANSACTION_GTID_TAG",
        ];
        // Servers before 8.4 do not know the last two.
        if self.from >= (8, 4, 0) { &ALL } else { &ALL[..4] }
    }

    /// Returns one row with `account`, whose rights limit the applier, and `rows_only`.
    ///
    /// It is `None` if the server cannot limit an applier.
    #[must_use]
    pub fn limit_query(&self) -> Option<&'static str> {
        self.limits_the_applier().then_some(
            "SELECT PRIVILEGE_CHECKS_USER AS account, REQUIRE_ROW_FORMAT AS rows_only \
             FROM performance_schema.replication_applier_configuration WHERE CHANNEL_NAME = ''",
        )
    }

    /// Keeps or drops applied relay logs until the next start; `None` if nothing reads them.
    #[must_use]
    pub fn keep_relay_logs(&self, role: Role) -> Option<&'static str> {
        match role {
            _ if self.limits_the_applier() => None,
            Role::Primary => Some("SET GLOBAL relay_log_purge = OFF"),
            Role::Secondary => Some("SET GLOBAL relay_log_purge = ON"),
        }
    }

    /// Returns one row with `heartbeats`, the number that the receiver has got so far.
    #[must_use]
    pub fn heartbeats_query(&self) -> &'static str {
        match self.layout {
            Layout::MySql8 => {
                "SELECT COUNT_RECEIVED_HEARTBEATS AS heartbeats \
                 FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME = ''"
            }
            Layout::MySql5 => {
                "SELECT VARIABLE_VALUE AS heartbeats FROM information_schema.GLOBAL_STATUS \
                 WHERE VARIABLE_NAME = 'Slave_received_heartbeats'"
            }
            Layout::MariaDb => {
                "SELECT VARIABLE_VALUE AS heartbeats FROM information_schema.GLOBAL_STATUS \
                 WHERE VARIABLE_NAME = 'SLAVE_RECEIVED_HEARTBEATS'"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MARIADB_105, MYSQL_56, MYSQL_97};
    use super::*;

    #[test]
    fn the_channel_states_every_tls_option_in_the_words_of_its_server() {
        let from = Coordinates::FilePosition { file: "b.000002".into(), position: 120 };
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
        let old = MYSQL_56.change_source(&spec);
        assert_eq!(
            old.text(),
            "CHANGE MASTER TO MASTER_HOST='a', MASTER_PORT=1, MASTER_USER='u', MASTER_PASSWORD='p', \
             MASTER_CONNECT_RETRY=3, MASTER_SSL=1, MASTER_SSL_CA='/ca', \
             MASTER_SSL_CERT='/c', MASTER_SSL_KEY='/k', MASTER_SSL_VERIFY_SERVER_CERT=1, MASTER_HEARTBEAT_PERIOD=1, \
             MASTER_RETRY_COUNT=4294967295, MASTER_LOG_FILE='b.000002', MASTER_LOG_POS=120"
        );
        let executed = Coordinates::Gtid { executed: "x:1".into() };
        let new = MYSQL_97.change_source(&SourceSpec { from: &executed, ..spec });
        assert!(new.text().ends_with(
            "SOURCE_RETRY_COUNT=4294967295, REQUIRE_ROW_FORMAT=1, \
             PRIVILEGE_CHECKS_USER='pmp_ha_applier'@'localhost', SOURCE_AUTO_POSITION=1"
        ));
        let free = MYSQL_97.change_source(&SourceSpec { from: &executed, limited: false, ..spec });
        assert!(free.text().contains("REQUIRE_ROW_FORMAT=0, PRIVILEGE_CHECKS_USER=NULL, "));
        let position = Coordinates::MariaDbGtid { position: "1-1-1".into() };
        let maria = MARIADB_105.change_source(&SourceSpec { from: &position, ..spec });
        assert!(maria.text().ends_with("MASTER_HEARTBEAT_PERIOD=1, MASTER_USE_GTID=slave_pos"));
    }
}
