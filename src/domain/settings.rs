//! What the server of a node has to be told, computed once: rendered as an option file, and
//! compared afterwards with what the running server says is in effect.

use super::flavor::{Flavor, Positioning, RETRY_COUNT};
use super::pair::{Membership, Role};

/// The schema of the tool itself, replicated with the vault.
pub const OWN_SCHEMA: &str = "pmp_ha";

/// The base name of the binlogs, relative to the data directory.
pub const BINLOG: &str = "pmp-ha-binlog";

/// The base name of the relay logs.
pub const RELAY_LOG: &str = "pmp-ha-relay";

/// How quickly the pair notices and heals, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Silence after which a receiver reconnects. The default of `MySQL` 5.6 is an hour.
    pub net_timeout: u64,
    /// Between two tries to connect.
    pub connect_retry: u64,
    /// Between two heartbeats of a quiet source.
    pub heartbeat: u64,
}

/// Where the TLS files of this node lie, full paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPaths {
    /// The pair's CA certificate.
    pub ca: String,
    /// This node's certificate.
    pub cert: String,
    /// This node's private key.
    pub key: String,
}

/// One server option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The option, with dashes.
    pub option: String,
    /// Its value.
    pub value: String,
    /// The variable that shows it in the running server, if one does, and what it then says.
    pub in_effect: Option<(String, String)>,
}

/// Computes the options of the node that `membership` describes.
#[must_use]
pub fn settings(
    flavor: &Flavor,
    membership: &Membership,
    tls: &TlsPaths,
    timing: &Timing,
    keep_days: u32,
) -> Vec<Setting> {
    let mut out = Vec::new();
    let mut set = |option: &str, value: &str, shown: Option<&str>| {
        let option = flavor.option(option);
        let in_effect = shown.map(|shown| (option.replace('-', "_"), shown.to_owned()));
        out.push(Setting { option, value: value.to_owned(), in_effect });
    };
    let this = membership.this();
    let number = this.number.to_string();

    set("server-id", &number, Some(&number));
    set("log-bin", BINLOG, Some("ON"));
    if flavor.has_binlog_format() {
        set("binlog-format", "ROW", Some("ROW"));
    }
    set("sync-binlog", "1", Some("1"));
    set("innodb-flush-log-at-trx-commit", "1", Some("1"));
    // Without these one audit row on each side of a cut link stops both appliers with 1062.
    set("auto-increment-increment", "2", Some("2"));
    set("auto-increment-offset", &number, Some(&number));
    set("relay-log", RELAY_LOG, None);
    set("relay-log-recovery", "ON", Some("ON"));
    let net_timeout = timing.net_timeout.to_string();
    set("replica-net-timeout", &net_timeout, Some(&net_timeout));
    // A reader's lock must not stop the applier for good with 1205.
    let retries = RETRY_COUNT.to_string();
    set("replica-transaction-retries", &retries, Some(&retries));
    // A look from the other node that ends with the greeting counts as an aborted connection, and
    // after a hundred of them the server would lock the other node out.
    set("max-connect-errors", "1000000000", None);
    set("report-host", &this.host, None);
    set("report-port", &this.db_port.to_string(), None);

    match flavor.positioning {
        Positioning::FilePosition => {}
        Positioning::Gtid => {
            set("gtid-mode", "ON", Some("ON"));
            set("enforce-gtid-consistency", "ON", Some("ON"));
        }
        Positioning::MariaDbGtid => {
            set("gtid-domain-id", &number, Some(&number));
            set("gtid-strict-mode", "ON", Some("ON"));
        }
    }
    if flavor.wants_repository_tables() {
        set("master-info-repository", "TABLE", Some("TABLE"));
        set("relay-log-info-repository", "TABLE", Some("TABLE"));
    }
    if flavor.retry_count_is_an_option() {
        set("source-retry-count", &retries, None);
    }
    // 0 keeps every binlog, so that a secondary finds its place however long it was away.
    match flavor.positioning {
        Positioning::Gtid => {
            let seconds = (u64::from(keep_days) * 86_400).to_string();
            set("binlog-expire-logs-seconds", &seconds, Some(&seconds));
        }
        Positioning::FilePosition | Positioning::MariaDbGtid => {
            set("expire-logs-days", &keep_days.to_string(), None);
        }
    }
    set("ssl-ca", &tls.ca, Some(&tls.ca));
    set("ssl-cert", &tls.cert, Some(&tls.cert));
    set("ssl-key", &tls.key, Some(&tls.key));
    if flavor.states_tls_versions() {
        set("tls-version", "TLSv1.2,TLSv1.3", None);
    }
    if flavor.has_mysqlx() {
        set("mysqlx", "OFF", None);
    }
    if membership.role == Role::Secondary {
        set("read-only", "ON", Some("ON"));
        // Events came with the copy of the primary and would write here, too.
        set("event-scheduler", "OFF", Some("OFF"));
        for pattern in replicated(&membership.pair.schema) {
            set("replicate-wild-do-table", &pattern, None);
        }
    }
    out
}

/// What the secondary takes from the primary, as the server's patterns.
#[must_use]
pub fn replicated(schema: &str) -> [String; 2] {
    // `_` is a wildcard in these patterns.
    [format!("{}.%", schema.replace('_', "\\_")), format!("{}.%", OWN_SCHEMA.replace('_', "\\_"))]
}

/// Renders the settings as lines of an option file. Values are quoted: a `#` would begin a
/// comment, and a backslash is an escape there.
#[must_use]
pub fn render(settings: &[Setting]) -> String {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
    let lines: Vec<String> =
        settings.iter().map(|s| format!("{} = \"{}\"\n", s.option, quoted(&s.value))).collect();
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::pair::{Node, Pair};

    fn rendered(version: &str, role: Role) -> String {
        let version = ServerVersion::parse(version).expect("a version");
        let node = |number| Node { number, host: format!("n{number}"), db_port: 2345, web_port: None };
        let pair = Pair { id: "x".into(), schema: "passtrix".into(), primary: 1, nodes: [node(1), node(2)] };
        let membership = Membership { format: 1, role, key_fingerprint: None, pair };
        let tls = TlsPaths { ca: "/a b/ca".into(), cert: "/c".into(), key: "/k".into() };
        let timing = Timing { net_timeout: 5, connect_retry: 3, heartbeat: 1 };
        render(&settings(Flavor::of(&version).expect("a row"), &membership, &tls, &timing, 0))
    }

    #[test]
    fn the_two_nodes_never_count_the_same() {
        assert!(rendered("5.6.24", Role::Primary).contains("auto-increment-offset = \"1\""));
        assert!(rendered("5.6.24", Role::Secondary).contains("auto-increment-offset = \"2\""));
    }

    #[test]
    fn no_option_is_given_that_the_server_has_dropped() {
        let new = rendered("9.7.4", Role::Secondary);
        for gone in ["slave", "master", "info-repository", "binlog-format", "expire-logs-days"] {
            assert!(!new.contains(gone), "{gone} in {new}");
        }
        let maria = rendered("11.8.6-MariaDB", Role::Secondary);
        for foreign in ["gtid-mode", "mysqlx", "info-repository", "binlog-expire-logs-seconds"] {
            assert!(!maria.contains(foreign), "{foreign} in {maria}");
        }
    }

    #[test]
    fn only_the_secondary_filters_and_is_read_only() {
        assert!(!rendered("5.6.24", Role::Primary).contains("read-only"));
        let secondary = rendered("5.6.24", Role::Secondary);
        assert!(secondary.contains("replicate-wild-do-table = \"passtrix.%\"\n"));
        assert!(secondary.contains("replicate-wild-do-table = \"pmp\\\\_ha.%\"\n"));
    }
}
