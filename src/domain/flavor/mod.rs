//! The one table of differences between the servers. No other file compares versions.
//!
//! The vendor string tells MySQL and MariaDB apart; their versions are never compared with each
//! other. A row that was proved on a real server says so; the others come from the manuals.

mod accounts;
mod old;
mod replication;
mod semi_sync;
mod version;

use super::datafiles::Layout;

use old::Age;

pub use accounts::{Account, Demand};
pub use replication::{RETRY_COUNT, SourceSpec};
pub use semi_sync::SemiSync;
pub use version::{Family, ServerVersion};

/// The errors of a server whose disk is full: it cannot create or grow a file or table.
pub const DISK_ERRORS: [u32; 6] = [3, 1021, 1026, 1030, 1114, 3675];

/// How well a row of the table is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The whole life of a pair was run on a real server of this row.
    RealServer,
    /// From the vendor's manual only.
    Manual,
    /// No promise was seen on it yet: such a server is refused.
    Unseen,
}

/// How a replica of this server finds its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positioning {
    /// Binlog file and byte, kept in a crash-safe table.
    FilePosition,
    /// MySQL's GTID sets with auto position.
    Gtid,
    /// MariaDB's `gtid_slave_pos`.
    MariaDbGtid,
}

/// The watchdog that a server needs, because it does not recover from everything by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// Nothing.
    None,
    /// It restarts an applier that a full disk has stopped.
    OfApplier,
    /// That, and it reconnects a receiver that does not notice a silent link.
    OfReceiverAndApplier,
}

/// How accounts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accounts {
    /// `GRANT … IDENTIFIED BY … REQUIRE`, `SET PASSWORD = PASSWORD()`.
    Grant,
    /// `CREATE USER … REQUIRE`, `ALTER USER`.
    CreateUser,
}

/// The words of replication: `MASTER`/`SLAVE`, or `SOURCE`/`REPLICA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    Old,
    New,
}

/// One row: everything in which a range of server versions differs from the others.
#[derive(Debug, PartialEq, Eq)]
pub struct Flavor {
    /// For messages: `MySQL 5.6`.
    pub name: &'static str,
    /// How well the row is proved.
    pub proof: Proof,
    /// How a replica finds its position.
    pub positioning: Positioning,
    /// The layout of its data directory.
    pub layout: Layout,
    /// The longest host name that the server stores for a source, in bytes.
    pub longest_source_host: usize,
    /// Whether every build of it supports TLS 1.2 or newer.
    pub modern_tls: bool,
    family: Family,
    from: (u32, u32, u32),
    words: Words,
    accounts: Accounts,
    reset_binlogs: &'static str,
    binlog_format_option: bool,
    repositories_as_tables: bool,
    mysqlx: bool,
    tls_versions: bool,
    filters_at_run_time: bool,
    semi_sync_wait_point: Option<&'static str>,
    age: Age,
}

/// The commit waits before it takes effect: nobody sees a row that the secondary may lack.
const AFTER_SYNC: &str = "AFTER_SYNC";

/// The commit takes effect, and only its acknowledgement waits.
///
/// With `MySQL`'s GTIDs, the secondary would otherwise be ahead of the primary while a commit
/// waits. A receiver of the return channel that connects at that moment would be refused for good
/// (1236, purged).
const AFTER_COMMIT: &str = "AFTER_COMMIT";

const MYSQL_56: Flavor = Flavor {
    name: "MySQL 5.6",
    proof: Proof::RealServer,
    positioning: Positioning::FilePosition,
    layout: Layout::MySql5,
    longest_source_host: 60,
    modern_tls: false,
    family: Family::MySql,
    from: (5, 6, 0),
    words: Words::Old,
    accounts: Accounts::Grant,
    reset_binlogs: "RESET MASTER",
    binlog_format_option: true,
    repositories_as_tables: true,
    mysqlx: false,
    tls_versions: false,
    filters_at_run_time: false,
    semi_sync_wait_point: None,
    age: Age::Newer,
};

const MYSQL_97: Flavor = Flavor {
    name: "MySQL 9",
    proof: Proof::RealServer,
    positioning: Positioning::Gtid,
    layout: Layout::MySql8,
    longest_source_host: 255,
    modern_tls: true,
    family: Family::MySql,
    from: (9, 0, 0),
    words: Words::New,
    accounts: Accounts::CreateUser,
    reset_binlogs: "RESET BINARY LOGS AND GTIDS",
    binlog_format_option: false,
    repositories_as_tables: false,
    mysqlx: true,
    tls_versions: true,
    filters_at_run_time: true,
    semi_sync_wait_point: Some(AFTER_COMMIT),
    age: Age::Newer,
};

const MARIADB_105: Flavor = Flavor {
    name: "MariaDB 10.5 to 11.3",
    proof: Proof::RealServer,
    positioning: Positioning::MariaDbGtid,
    layout: Layout::MariaDb,
    longest_source_host: 60,
    modern_tls: true,
    family: Family::MariaDb,
    from: (10, 5, 2),
    words: Words::Old,
    accounts: Accounts::CreateUser,
    reset_binlogs: "RESET MASTER",
    binlog_format_option: true,
    repositories_as_tables: false,
    mysqlx: false,
    tls_versions: true,
    filters_at_run_time: true,
    semi_sync_wait_point: Some(AFTER_SYNC),
    age: Age::Newer,
};

/// Each row holds from its version up to the next row of the same family.
static FLAVORS: [Flavor; 10] = [
    Flavor {
        name: "MySQL 5.1",
        proof: Proof::Unseen,
        from: (5, 1, 50),
        repositories_as_tables: false,
        age: Age::Of51,
        ..MYSQL_56
    },
    Flavor {
        name: "MySQL 5.5",
        proof: Proof::RealServer,
        // It forgets a source at once from here on.
        from: (5, 5, 16),
        repositories_as_tables: false,
        age: Age::Of55,
        ..MYSQL_56
    },
    MYSQL_56,
    Flavor {
        name: "MySQL 5.7",
        proof: Proof::Manual,
        from: (5, 7, 6),
        accounts: Accounts::CreateUser,
        modern_tls: false,
        filters_at_run_time: true,
        semi_sync_wait_point: Some(AFTER_SYNC),
        ..MYSQL_56
    },
    // It limits an applier from 8.0.19 on, and has the new words for it from 8.0.26 on.
    Flavor { name: "MySQL 8.0 before 8.0.26", proof: Proof::Unseen, from: (8, 0, 0), ..MYSQL_97 },
    Flavor {
        name: "MySQL 8.0",
        proof: Proof::Manual,
        from: (8, 0, 26),
        reset_binlogs: "RESET MASTER",
        ..MYSQL_97
    },
    Flavor { name: "MySQL 8.4", proof: Proof::Manual, from: (8, 4, 0), ..MYSQL_97 },
    MYSQL_97,
    MARIADB_105,
    Flavor { name: "MariaDB 11.4 and later", from: (11, 4, 0), ..MARIADB_105 },
];

/// Loads the plugin with which a server copies itself.
pub const MAKE_CLONE_PLUGIN: &str = "INSTALL PLUGIN clone SONAME 'mysql_clone.so'";

/// Unloads it again.
pub const DROP_CLONE_PLUGIN: &str = "UNINSTALL PLUGIN clone";

impl Flavor {
    /// The statement that makes a running server reload its certificates; `None` if it cannot.
    #[must_use]
    pub fn reload_tls(&self) -> Option<&'static str> {
        match (self.family, self.layout) {
            (Family::MariaDb, _) => Some("FLUSH SSL"),
            (Family::MySql, Layout::MySql8) => Some("ALTER INSTANCE RELOAD TLS"),
            (Family::MySql, _) => None,
        }
    }

    /// Returns the row for a version; `None` if it is older than every row or between two rows.
    #[must_use]
    pub fn of(version: &ServerVersion) -> Option<&'static Self> {
        let [major, minor, patch] = version.number;
        let row =
            FLAVORS.iter().rfind(|row| row.family == version.family && row.from <= (major, minor, patch));
        row.filter(|row| row.proof != Proof::Unseen)
    }

    /// What helps where there is no row for a version.
    #[must_use]
    pub fn instead_of(version: &ServerVersion) -> &'static str {
        match (version.family, version.number) {
            (Family::MySql, [8, ..]) => {
                "Update it to MySQL 8.0.26 or later. The replication statements of earlier versions differ."
            }
            _ => {
                "Older servers keep the state of a replica in files that are wrong after a crash. pmp-ha does not support them."
            }
        }
    }

    /// The row of this name.
    #[cfg(test)]
    pub(crate) fn called(name: &str) -> &'static Self {
        FLAVORS.iter().find(|row| row.name == name).expect("a row")
    }

    /// Returns the known versions, for messages.
    #[must_use]
    pub fn known() -> String {
        let seen = FLAVORS.iter().filter(|row| row.proof != Proof::Unseen);
        seen.map(|row| row.name).collect::<Vec<_>>().join(", ")
    }

    /// The name of a column of [`Self::show_replica_status`] on this server.
    ///
    /// The argument is the new name: `Source_Host`, `Replica_IO_Running`.
    #[must_use]
    pub fn column(&self, new: &str) -> String {
        match self.words {
            Words::New => new.to_owned(),
            Words::Old => new.replace("Source", "Master").replace("Replica_", "Slave_"),
        }
    }

    /// A server option or variable, given in the new words: `replica_net_timeout`.
    #[must_use]
    pub fn option(&self, new: &str) -> String {
        match self.words {
            Words::New => new.to_owned(),
            Words::Old => {
                new.replace("source", "master").replace("replica_", "slave_").replace("replica-", "slave-")
            }
        }
    }

    /// Returns SQL for the digest of a text: at least 128 bits in hexadecimal digits.
    ///
    /// `MySQL` 9.6 moved MD5 into a component that is not loaded; elsewhere MD5 takes a third of
    /// the time.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        match self.layout {
            Layout::MySql8 => format!("SHA2({text}, 256)"),
            Layout::MySql5 | Layout::MariaDb => format!("MD5({text})"),
        }
    }

    /// Returns one row with `enabled` = `YES` if the server supports TLS for its clients.
    #[must_use]
    pub fn tls_enabled_query(&self) -> &'static str {
        match self.layout {
            Layout::MySql8 => {
                "SELECT UPPER(VALUE) AS enabled FROM performance_schema.tls_channel_status \
                 WHERE CHANNEL = 'mysql_main' AND PROPERTY = 'Enabled'"
            }
            Layout::MySql5 | Layout::MariaDb => "SELECT @@GLOBAL.have_ssl AS enabled",
        }
    }

    /// Whether `binlog_format` may still be given as an option.
    #[must_use]
    pub fn has_binlog_format(&self) -> bool {
        self.binlog_format_option
    }

    /// Returns whether an option must put the replica's state into crash-safe tables.
    #[must_use]
    pub fn wants_repository_tables(&self) -> bool {
        self.repositories_as_tables
    }

    /// Whether the server opens a second port for the X protocol by default.
    #[must_use]
    pub fn has_mysqlx(&self) -> bool {
        self.mysqlx
    }

    /// Whether the allowed TLS versions can be stated (1.2 and newer).
    #[must_use]
    pub fn states_tls_versions(&self) -> bool {
        self.tls_versions
    }

    /// Whether the return channel can continue when a pack is made.
    ///
    /// A replica with file and position must identify its server by a UUID, and store that in a table.
    #[must_use]
    pub fn return_channel_can_go_on(&self) -> bool {
        self.positioning != Positioning::FilePosition || self.repositories_as_tables
    }

    /// The variable that makes each session read-only by default; `None` if there is none.
    ///
    /// It also applies to the server's own applier.
    #[must_use]
    pub fn read_only_default(&self) -> Option<&'static str> {
        match (self.layout, self.repositories_as_tables) {
            (Layout::MySql8, _) => Some("transaction_read_only"),
            (Layout::MariaDb, _) | (Layout::MySql5, true) => Some("tx_read_only"),
            (Layout::MySql5, false) => None,
        }
    }

    /// Makes a session see the current counters of tables, if the server would show stored ones.
    #[must_use]
    pub fn counts_as_they_are(&self) -> Option<&'static str> {
        (self.layout == Layout::MySql8).then_some("SET SESSION information_schema_stats_expiry = 0")
    }

    /// Returns the watchdog that the server needs.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        match (self.family, self.modern_tls) {
            // It has an option for that: `applier_retries_on`.
            (Family::MariaDb, _) => Watchdog::None,
            (Family::MySql, true) => Watchdog::OfApplier,
            // Those that speak old TLS wait for ever on a silent link.
            (Family::MySql, false) => Watchdog::OfReceiverAndApplier,
        }
    }

    /// Whether an option names the errors on which the applier tries again.
    #[must_use]
    pub fn applier_retries_on(&self) -> bool {
        self.family == Family::MariaDb
    }

    /// Whether the server can copy its own data while it works: `MySQL` from 8.0.17 on.
    #[must_use]
    pub fn clones_itself(&self) -> bool {
        self.layout == Layout::MySql8
    }

    /// How the server's own backup tool may be called, for the servers that have one.
    #[must_use]
    pub fn backup_tools(&self) -> &'static [&'static str] {
        match self.family {
            Family::MariaDb => &["mariadb-backup", "mariabackup"],
            Family::MySql => &[],
        }
    }

    /// How far the redo log of an idle server may be ahead of its checkpoint.
    ///
    /// `MariaDB` records each checkpoint in the log itself.
    #[must_use]
    pub fn checkpoint_record(&self) -> u64 {
        match self.family {
            Family::MariaDb => 16,
            Family::MySql => 0,
        }
    }

    /// Whether the retry count is an option of the server rather than of the channel.
    #[must_use]
    pub fn retry_count_is_an_option(&self) -> bool {
        !self.has_retry_count_of_channel()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flavor(text: &str) -> Option<&'static str> {
        Flavor::of(&ServerVersion::parse(text)?).map(|row| row.name)
    }

    #[test]
    fn each_version_has_its_row_or_none() {
        assert_eq!(flavor("5.6.24"), Some("MySQL 5.6"));
        assert_eq!(flavor("5.7.44"), Some("MySQL 5.7"));
        assert_eq!(flavor("8.0.36"), Some("MySQL 8.0"));
        assert_eq!(flavor("8.4.1"), Some("MySQL 8.4"));
        assert_eq!(flavor("9.7.4"), Some("MySQL 9"));
        assert_eq!(flavor("26.7.0"), Some("MySQL 9"));
        assert_eq!(flavor("10.11.19-MariaDB"), Some("MariaDB 10.5 to 11.3"));
        assert_eq!(flavor("11.8.6-MariaDB"), Some("MariaDB 11.4 and later"));
        assert_eq!(flavor("12.0.1-MariaDB"), Some("MariaDB 11.4 and later"));
        assert_eq!(flavor("5.5.62"), Some("MySQL 5.5"));
        assert_eq!(flavor("8.0.26"), Some("MySQL 8.0"));
        for unknown in ["5.0.96", "5.1.50", "5.5.8", "8.0.4", "8.0.19", "8.0.25"] {
            assert_eq!(flavor(unknown), None, "{unknown}");
        }
        assert_eq!(flavor("10.4.9-MariaDB"), None);
        let instead = |text| ServerVersion::parse(text).map(|version| Flavor::instead_of(&version));
        assert!(instead("8.0.20").is_some_and(|hint| hint.contains("8.0.26 or later")));
        assert!(instead("5.0.96").is_some_and(|hint| hint.contains("Older servers")));
    }

    #[test]
    fn words_follow_the_server() {
        assert_eq!(MYSQL_56.column("Replica_IO_Running"), "Slave_IO_Running");
        assert_eq!(MYSQL_56.column("Replicate_Wild_Do_Table"), "Replicate_Wild_Do_Table");
        assert_eq!(MYSQL_97.column("Seconds_Behind_Source"), "Seconds_Behind_Source");
        assert_eq!(MARIADB_105.column("Seconds_Behind_Source"), "Seconds_Behind_Master");
        assert_eq!(MYSQL_56.option("replica-net-timeout"), "slave-net-timeout");
        assert_eq!(MARIADB_105.option("source-retry-count"), "master-retry-count");
    }
}
