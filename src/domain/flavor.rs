//! The one table of differences between the servers. No other file compares versions.
//!
//! MySQL and MariaDB are told apart by the vendor string and are never ordered against each
//! other. A row that was proved on a real server says so; the others come from the manuals.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::coordinates::Coordinates;
use super::datafiles::Layout;
use super::pair::Role;
use super::sql::{Sql, quote};

/// Who wrote the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// Oracle's line.
    #[serde(rename = "MySQL")]
    MySql,
    /// The MariaDB Foundation's line.
    #[serde(rename = "MariaDB")]
    MariaDb,
}

/// A server's family and version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerVersion {
    /// Who wrote it.
    pub family: Family,
    /// Major, minor, patch.
    pub number: [u32; 3],
}

impl ServerVersion {
    /// Reads what `mysqld --version` prints, or what `SELECT VERSION()` answers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let after = text.split_once("Ver ").map_or(text, |(_, rest)| rest).trim_start();
        let word = after.split_whitespace().next()?;
        // MariaDB up to 10 greets with this in front, for the sake of old replicas.
        let word = word.strip_prefix("5.5.5-").unwrap_or(word);
        let family =
            if text.to_ascii_lowercase().contains("mariadb") { Family::MariaDb } else { Family::MySql };
        let mut number = [0; 3];
        let digits = word.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
        let parts: Vec<&str> = digits.split('.').collect();
        if parts.len() < 2 {
            return None;
        }
        for (slot, part) in number.iter_mut().zip(parts) {
            *slot = part.parse().ok()?;
        }
        Some(Self { family, number })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::MySql => "MySQL",
            Family::MariaDb => "MariaDB",
        };
        let [major, minor, patch] = self.number;
        write!(f, "{family} {major}.{minor}.{patch}")
    }
}

/// How far a row of the table can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The whole life of a pair was run on a real server of this row.
    RealServer,
    /// From the vendor's manual only.
    Manual,
}

/// How a replica of this server finds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positioning {
    /// Binlog file and byte, kept in a crash-safe table.
    FilePosition,
    /// MySQL's GTID sets with auto position.
    Gtid,
    /// MariaDB's `gtid_slave_pos`.
    MariaDbGtid,
}

/// What inside a server has to look after replication, because the server itself does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// Nothing.
    None,
    /// An applier that a full disk has stopped.
    OfApplier,
    /// That, and a receiver that does not notice a silent link.
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
    /// How far the row can be trusted.
    pub proof: Proof,
    /// How a replica finds its place.
    pub positioning: Positioning,
    /// What its data directory looks like.
    pub layout: Layout,
    /// The longest host name that the server stores for a source, in bytes.
    pub longest_source_host: usize,
    /// Whether every build of it speaks the TLS of today, 1.2 or newer.
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
}

/// The commit waits before it is done: nobody sees a row that the secondary may still lack.
const AFTER_SYNC: &str = "AFTER_SYNC";

/// The commit is done, and only its acknowledgement waits. With `MySQL`'s GTIDs the secondary would
/// otherwise be ahead of the primary for as long as a commit waits, and turn a receiver away for good
/// that connects for the way back just then (1236, purged).
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
};

/// Each row holds from its version up to the next row of the same family.
static FLAVORS: [Flavor; 7] = [
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

/// Loads the plugin by which a server copies itself.
pub const MAKE_CLONE_PLUGIN: &str = "INSTALL PLUGIN clone SONAME 'mysql_clone.so'";

/// Takes it away again.
pub const DROP_CLONE_PLUGIN: &str = "UNINSTALL PLUGIN clone";

/// Everything that a replica has to be told about its source.
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
    /// Where to go on.
    pub from: &'a Coordinates,
    /// Seconds between two tries.
    pub connect_retry: u64,
    /// Seconds between two heartbeats on a quiet link.
    pub heartbeat: u64,
}

/// The wish that a commit waits until the secondary has received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SemiSync {
    /// Seconds after which it goes on without.
    pub timeout: u64,
}

/// Tries before a receiver gives up: at one try a second 136 years, which means never.
/// `MySQL` 8.1 and later give up after ten by default.
pub const RETRY_COUNT: u64 = 4_294_967_295;

impl Flavor {
    /// The row for a version; `None` if it is older than every row or between two of them.
    #[must_use]
    pub fn of(version: &ServerVersion) -> Option<&'static Self> {
        let [major, minor, patch] = version.number;
        FLAVORS.iter().rfind(|row| row.family == version.family && row.from <= (major, minor, patch))
    }

    /// The versions that are known, for messages.
    #[must_use]
    pub fn known() -> String {
        FLAVORS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ")
    }

    /// `SHOW SLAVE STATUS` or its successor.
    #[must_use]
    pub fn show_replica_status(&self) -> &'static str {
        match self.words {
            Words::Old => "SHOW SLAVE STATUS",
            Words::New => "SHOW REPLICA STATUS",
        }
    }

    /// The name of a column of [`Self::show_replica_status`], given in the new words:
    /// `Source_Host`, `Replica_IO_Running`.
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

    /// Starts the receiver alone.
    #[must_use]
    pub fn start_receiver(&self) -> String {
        format!("START {} IO_THREAD", self.replica_word())
    }

    /// Starts the applier alone, to work off what was received.
    #[must_use]
    pub fn start_applier(&self) -> String {
        format!("START {} SQL_THREAD", self.replica_word())
    }

    /// Stops the applier alone; what comes in is received all the same.
    #[must_use]
    pub fn stop_applier(&self) -> String {
        format!("STOP {} SQL_THREAD", self.replica_word())
    }

    /// Makes the applier stop at every conflict, or put the source's row over what is in the way.
    #[must_use]
    pub fn exec_mode(&self, strict: bool) -> String {
        let mode = if strict { "STRICT" } else { "IDEMPOTENT" };
        format!("SET GLOBAL {} = '{mode}'", self.option("replica_exec_mode"))
    }

    /// Answers the `number` and `message` of each applier worker that failed by itself. Of several
    /// the replica status may show one that only stopped (3030) because another had failed.
    #[must_use]
    pub fn worker_errors_query(&self) -> Option<&'static str> {
        (self.layout == Layout::MySql8).then_some(
            "SELECT LAST_ERROR_NUMBER AS number, LAST_ERROR_MESSAGE AS message \
             FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER NOT IN (0, 3030)",
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

    /// Makes the stopped applier take these tables and no others, until the next start of the server;
    /// `None` where only a start can.
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

    /// Stops the receiver alone; what was received is applied all the same.
    #[must_use]
    pub fn stop_receiver(&self) -> String {
        format!("STOP {} IO_THREAD", self.replica_word())
    }

    /// Answers with the `File` and `Position` at which the server's own binlog ends.
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
    pub fn forget_source(&self) -> String {
        format!("RESET {} ALL", self.replica_word())
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

    /// What makes a stopped replica go on from `from`, before [`Self::change_source`].
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
            format!("{p}_HEARTBEAT_PERIOD={}", spec.heartbeat),
            format!("{p}_SSL=1"),
            format!("{p}_SSL_CA={}", quote(spec.ca)),
            format!("{p}_SSL_CERT={}", quote(spec.cert)),
            format!("{p}_SSL_KEY={}", quote(spec.key)),
            format!("{p}_SSL_VERIFY_SERVER_CERT=1"),
        ];
        if self.family == Family::MySql {
            parts.push(format!("{p}_RETRY_COUNT={RETRY_COUNT}"));
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

    /// Creates an account, or gives an existing one this password and this requirement.
    #[must_use]
    pub fn create_account(&self, account: &Account<'_>) -> Vec<Sql> {
        let who = format!("{}@{}", quote(account.user), quote(account.host));
        let password = quote(account.password);
        let require = if account.x509 { " REQUIRE X509" } else { "" };
        match self.accounts {
            Accounts::Grant => {
                let option = if account.all_rights { " WITH GRANT OPTION" } else { "" };
                let first = account.grants.first().copied().unwrap_or("USAGE ON *.*");
                let mut out =
                    vec![format!("GRANT {first} TO {who} IDENTIFIED BY {password}{require}{option}").into()];
                out.extend(
                    account.grants.iter().skip(1).map(|grant| format!("GRANT {grant} TO {who}").into()),
                );
                out
            }
            Accounts::CreateUser => {
                let option = if account.all_rights { " WITH GRANT OPTION" } else { "" };
                let mut out = vec![
                    format!("CREATE USER IF NOT EXISTS {who} IDENTIFIED BY {password}{require}").into(),
                    format!("ALTER USER {who} IDENTIFIED BY {password}{require}").into(),
                ];
                out.extend(
                    account.grants.iter().map(|grant| format!("GRANT {grant} TO {who}{option}").into()),
                );
                out
            }
        }
    }

    /// Gives an existing account another password, whatever it had before.
    #[must_use]
    pub fn set_password(&self, user: &str, host: &str, password: &str) -> Sql {
        let who = format!("{}@{}", quote(user), quote(host));
        Sql::new(match self.accounts {
            Accounts::Grant => format!("SET PASSWORD FOR {who} = PASSWORD({})", quote(password)),
            Accounts::CreateUser => format!("ALTER USER {who} IDENTIFIED BY {}", quote(password)),
        })
    }

    /// What the monitor account needs to see replication and the names of the tables that are
    /// written to, and nothing more.
    #[must_use]
    pub fn monitor_grants(&self) -> Vec<&'static str> {
        match (self.family, self.layout) {
            (Family::MariaDb, _) => {
                vec!["PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.*", "SELECT ON `pmp\\_ha`.*"]
            }
            (Family::MySql, Layout::MySql8) => vec![
                "PROCESS, REPLICATION CLIENT, REPLICATION SLAVE ON *.*",
                "SELECT ON `pmp\\_ha`.*",
                "SELECT ON performance_schema.*",
            ],
            (Family::MySql, _) => {
                vec!["PROCESS, REPLICATION CLIENT, REPLICATION SLAVE ON *.*", "SELECT ON `pmp\\_ha`.*"]
            }
        }
    }

    /// The digest of a text, at least 128 bits in hexadecimal digits. `MySQL` 9.6 has moved MD5
    /// into a component that nobody loads; elsewhere it takes a third of the time.
    #[must_use]
    pub fn digest(&self, text: &str) -> String {
        match self.layout {
            Layout::MySql8 => format!("SHA2({text}, 256)"),
            Layout::MySql5 | Layout::MariaDb => format!("MD5({text})"),
        }
    }

    /// Answers one row with `enabled` = `YES` when the server can speak TLS to its clients.
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

    /// Answers one row with `heartbeats`, the number that the receiver got so far.
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

    /// Whether `binlog_format` may still be given as an option.
    #[must_use]
    pub fn has_binlog_format(&self) -> bool {
        self.binlog_format_option
    }

    /// Whether the replica's state has to be put into crash-safe tables by an option.
    #[must_use]
    pub fn wants_repository_tables(&self) -> bool {
        self.repositories_as_tables
    }

    /// Whether the server opens a second, X protocol port unless told not to.
    #[must_use]
    pub fn has_mysqlx(&self) -> bool {
        self.mysqlx
    }

    /// Whether the allowed TLS versions can be stated (1.2 and newer).
    #[must_use]
    pub fn states_tls_versions(&self) -> bool {
        self.tls_versions
    }

    /// What inside the server has to look after replication.
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

    /// The tables that hold the rights of an account, and the column that names it.
    #[must_use]
    pub fn grant_tables(&self) -> Vec<(&'static str, &'static str)> {
        let mut out = match self.family {
            Family::MySql => vec![("user", "User")],
            Family::MariaDb => vec![("global_priv", "User"), ("roles_mapping", "User")],
        };
        out.extend(
            ["db", "tables_priv", "columns_priv", "procs_priv", "proxies_priv"].map(|table| (table, "User")),
        );
        if self.layout == Layout::MySql8 {
            out.extend([
                ("global_grants", "USER"),
                ("role_edges", "TO_USER"),
                ("default_roles", "USER"),
                ("password_history", "User"),
            ]);
        }
        out
    }

    /// The tables of [`Self::grant_tables`] whose rows a `REVOKE ALL PRIVILEGES` leaves.
    #[must_use]
    pub fn grants_that_revoke_leaves(&self) -> &'static [(&'static str, &'static str)] {
        match (self.family, self.layout) {
            (Family::MariaDb, _) => &[("roles_mapping", "User"), ("proxies_priv", "User")],
            (Family::MySql, Layout::MySql8) => {
                &[("role_edges", "TO_USER"), ("default_roles", "USER"), ("proxies_priv", "User")]
            }
            (Family::MySql, _) => &[("proxies_priv", "User")],
        }
    }

    /// Where the rights of an account stand, as SQL expressions: table, account name, host, the
    /// object that they are on, what they are. `{priv}` stands for all its `…_priv` columns.
    #[must_use]
    pub fn rights(&self) -> Vec<[&'static str; 5]> {
        let mut out = vec![
            ["db", "User", "Host", "CONCAT(Db, '.*')", "{priv}"],
            [
                "tables_priv",
                "User",
                "Host",
                "CONCAT(Db, '.', Table_name)",
                "CONCAT_WS('/', Table_priv, Column_priv)",
            ],
            ["columns_priv", "User", "Host", "CONCAT(Db, '.', Table_name, '.', Column_name)", "Column_priv"],
            ["procs_priv", "User", "Host", "CONCAT(Db, '.', Routine_name, '()')", "Proc_priv"],
            ["proxies_priv", "User", "Host", "CONCAT('proxy of ', Proxied_user)", "'PROXY'"],
        ];
        match (self.family, self.layout) {
            (Family::MariaDb, _) => out.extend([
                ["global_priv", "User", "Host", "'*.*'", "JSON_VALUE(Priv, '$.access')"],
                ["roles_mapping", "User", "Host", "CONCAT('role ', Role)", "Admin_option"],
            ]),
            (Family::MySql, Layout::MySql8) => out.extend([
                ["user", "User", "Host", "'*.*'", "{priv}"],
                ["global_grants", "USER", "HOST", "'*.*'", "CONCAT_WS(' ', PRIV, WITH_GRANT_OPTION)"],
                ["role_edges", "TO_USER", "TO_HOST", "CONCAT('role ', FROM_USER)", "WITH_ADMIN_OPTION"],
            ]),
            (Family::MySql, _) => out.push(["user", "User", "Host", "'*.*'", "{priv}"]),
        }
        out
    }

    /// Whether the server can copy its own data while it works; both families have something of
    /// the kind, and this is `MySQL`'s from 8.0.17 on.
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

    /// How far the redo log of a server at rest may be ahead of its checkpoint: `MariaDB` notes each
    /// checkpoint in the log itself.
    #[must_use]
    pub fn checkpoint_record(&self) -> u64 {
        match self.family {
            Family::MariaDb => 16,
            Family::MySql => 0,
        }
    }

    /// The plugins without which the server knows no semi-synchronous replication, one a side: name
    /// and file. `MariaDB` has it built in.
    #[must_use]
    pub fn semi_sync_plugins(&self) -> &'static [(&'static str, &'static str)] {
        match (self.family, self.words) {
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

    /// Loads the plugins into a server that runs, for as long as it runs: from the next start on the
    /// option file does it, and a row in `mysql.plugin` would go into packs.
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

    /// The variables of semi-synchronous replication, in the new words, and their values on the node
    /// that plays `role`: the side of the source on the primary only, that of the replica on the
    /// secondary only. So the way back of the audit rows stays asynchronous.
    #[must_use]
    pub fn semi_sync_variables(&self, role: Role, wanted: Option<SemiSync>) -> Vec<(&'static str, String)> {
        let mut out = Vec::new();
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

    /// Whether the retry count is an option of the server rather than of the channel.
    #[must_use]
    pub fn retry_count_is_an_option(&self) -> bool {
        self.family == Family::MariaDb
    }
}

/// An account to create.
#[derive(Clone, Copy)]
pub struct Account<'a> {
    /// The name.
    pub user: &'a str,
    /// The host it may come from.
    pub host: &'a str,
    /// The password.
    pub password: &'a str,
    /// Whether a certificate of the pair's CA is required.
    pub x509: bool,
    /// `PRIVILEGES ON object`, one a statement.
    pub grants: &'a [&'a str],
    /// Whether it may grant, too: only the account of an offline boot.
    pub all_rights: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flavor(text: &str) -> Option<&'static str> {
        Flavor::of(&ServerVersion::parse(text)?).map(|row| row.name)
    }

    #[test]
    fn a_version_is_read_from_what_each_real_server_prints() {
        for (text, shown) in [
            (
                "mysqld  Ver 5.6.24 for linux-glibc2.5 on x86_64 (MySQL Community Server (GPL))",
                "MySQL 5.6.24",
            ),
            ("/usr/sbin/mysqld  Ver 9.7.4-1 for Linux on x86_64 (Debian)", "MySQL 9.7.4"),
            (
                "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                "MariaDB 10.11.19",
            ),
            ("11.8.6-MariaDB-0+deb13u1-log", "MariaDB 11.8.6"),
            ("5.5.5-10.11.19-MariaDB-0+deb12u1-log", "MariaDB 10.11.19"),
        ] {
            assert_eq!(ServerVersion::parse(text).map(|v| v.to_string()).as_deref(), Some(shown));
        }
        assert_eq!(ServerVersion::parse("what is this"), None);
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
        assert_eq!(flavor("5.1.50"), None);
        assert_eq!(flavor("10.4.9-MariaDB"), None);
    }

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
        };
        let old = MYSQL_56.change_source(&spec);
        assert_eq!(
            old.text(),
            "CHANGE MASTER TO MASTER_HOST='a', MASTER_PORT=1, MASTER_USER='u', MASTER_PASSWORD='p', \
             MASTER_CONNECT_RETRY=3, MASTER_HEARTBEAT_PERIOD=1, MASTER_SSL=1, MASTER_SSL_CA='/ca', \
             MASTER_SSL_CERT='/c', MASTER_SSL_KEY='/k', MASTER_SSL_VERIFY_SERVER_CERT=1, \
             MASTER_RETRY_COUNT=4294967295, MASTER_LOG_FILE='b.000002', MASTER_LOG_POS=120"
        );
        let executed = Coordinates::Gtid { executed: "x:1".into() };
        let new = MYSQL_97.change_source(&SourceSpec { from: &executed, ..spec });
        assert!(new.text().ends_with("SOURCE_RETRY_COUNT=4294967295, SOURCE_AUTO_POSITION=1"));
        let position = Coordinates::MariaDbGtid { position: "1-1-1".into() };
        let maria = MARIADB_105.change_source(&SourceSpec { from: &position, ..spec });
        assert!(maria.text().ends_with("VERIFY_SERVER_CERT=1, MASTER_USE_GTID=slave_pos"));
    }

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
