//! The settings of a node's server.
//!
//! They are computed once, rendered as an option file, and compared with what is in effect in the
//! running server.

use super::flavor::{DISK_ERRORS, Flavor, Positioning, RETRY_COUNT, SemiSync};
use super::pair::{Membership, Node, Pair, Role};

/// The schema of the tool itself, replicated with the vault.
pub const OWN_SCHEMA: &str = "pmp_ha";

/// What the tool keeps in the database of one node. It is never replicated.
pub const LOCAL_SCHEMA: &str = "pmp_ha_local";

/// The base name of the binlogs, relative to the data directory.
pub const BINLOG: &str = "pmp-ha-binlog";

/// The base name of a node's binlogs.
///
/// Where a replica finds its place by file and position, a server that begins anew must not have files of
/// the names that an earlier one had: a place in those would be taken for one in these.
#[must_use]
pub fn binlog(flavor: &Flavor, node: &Node) -> String {
    binlog_named(node.history.filter(|_| flavor.positioning == Positioning::FilePosition))
}

/// The base name of binlogs that are named after a history, if they are named after one.
#[must_use]
pub fn binlog_named(history: Option<u32>) -> String {
    history.map_or_else(|| BINLOG.to_owned(), |history| format!("{BINLOG}-{history:08x}"))
}

/// Returns the history that the index of a node's binlogs names; `None` if this is no such file.
#[must_use]
pub fn history_of_index(name: &str) -> Option<Option<u32>> {
    let rest = name.strip_prefix(BINLOG)?.strip_suffix(".index")?;
    match rest.strip_prefix('-') {
        None => rest.is_empty().then_some(None),
        Some(history) => u32::from_str_radix(history, 16).ok().map(Some),
    }
}

/// The base name of the relay logs.
pub const RELAY_LOG: &str = "pmp-ha-relay";

/// The prefix of an option that a server need not know: without the plugin it starts anyway, and
/// `verify` reports it.
const LOOSE: &str = "loose-";

/// How quickly the pair notices and heals, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Silence after which a receiver reconnects. The default of `MySQL` 5.6 is an hour.
    pub net_timeout: u64,
    /// Between two tries to connect.
    pub connect_retry: u64,
    /// Between two heartbeats of a quiet source.
    pub heartbeat: u64,
    /// Between two heartbeat rows of each node.
    pub beat: u64,
}

/// The administrator's choices for a node's server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    /// How quickly the pair notices a failure and reconnects.
    pub timing: Timing,
    /// Days that binlogs are kept; 0 keeps all.
    pub keep_binlogs_days: u32,
    /// Whether commits wait for the secondary.
    pub semi_sync: Option<SemiSync>,
}

impl Choices {
    /// The choices for a boot without a network, and for what does not depend on semi-sync.
    ///
    /// In such a boot, no commit could be confirmed.
    #[must_use]
    pub fn alone(self) -> Self {
        Self { semi_sync: None, ..self }
    }
}

/// The full paths of this node's TLS files.
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
    /// The variable that shows it in the running server, if there is one, and its value.
    pub in_effect: Option<(String, String)>,
}

/// Options of semi-synchronous replication, each with its value and whether the server shows it in effect.
fn options_of_semi_sync(
    flavor: &Flavor,
    role: Role,
    semi_sync: Option<SemiSync>,
) -> Vec<(String, String, bool)> {
    if semi_sync.is_none() || !flavor.has_semi_sync() {
        return Vec::new();
    }
    let plugins = flavor.semi_sync_plugins();
    let mut out: Vec<(String, String, bool)> = if flavor.loads_plugins_at_once() {
        let all: Vec<String> = plugins.iter().map(|(name, file)| format!("{name}={file}")).collect();
        vec![("plugin-load".into(), all.join(";"), false)]
    } else {
        plugins.iter().map(|(_, file)| ("plugin-load-add".into(), (*file).to_owned(), false)).collect()
    };
    let variables = flavor.semi_sync_variables(role, semi_sync).into_iter();
    out.extend(variables.map(|(name, value)| (format!("{LOOSE}{}", name.replace('_', "-")), value, true)));
    out
}

/// Computes the options of the node that `membership` describes.
#[must_use]
pub fn settings(flavor: &Flavor, membership: &Membership, tls: &TlsPaths, choices: &Choices) -> Vec<Setting> {
    let Choices { timing, keep_binlogs_days, semi_sync } = choices;
    let mut out = Vec::new();
    let mut set = |option: &str, value: &str, shown: Option<&str>| {
        let option = flavor.option(option);
        let variable = option.strip_prefix(LOOSE).unwrap_or(&option).replace('-', "_");
        let in_effect = shown.map(|shown| (variable, shown.to_owned()));
        out.push(Setting { option, value: value.to_owned(), in_effect });
    };
    let this = membership.this();
    let number = this.number.to_string();

    set("server-id", &number, Some(&number));
    set("log-bin", &binlog(flavor, this), Some("ON"));
    if flavor.has_binlog_format() {
        set("binlog-format", "ROW", Some("ROW"));
    }
    set("sync-binlog", "1", Some("1"));
    set("innodb-flush-log-at-trx-commit", "1", Some("1"));
    // Without these one audit row on each side of a cut link stops both appliers with 1062.
    set("auto-increment-increment", "2", Some("2"));
    set("auto-increment-offset", &number, Some(&number));
    // What came from the other node is not passed on: there are only two, and no loop can arise.
    // Where the applier's place is found in the binlog, it must be there.
    let passes_on = if flavor.is_mended_before_start() { "ON" } else { "OFF" };
    set("log-replica-updates", passes_on, Some(passes_on));
    // The heartbeat rows are written by an event.
    set("event-scheduler", "ON", Some("ON"));
    set("relay-log", RELAY_LOG, None);
    if !flavor.is_mended_before_start() {
        set("relay-log-recovery", "ON", Some("ON"));
    }
    if !flavor.limits_the_applier() {
        // `verify` reads there what the secondary has sent.
        let purge = if membership.role == Role::Primary { "OFF" } else { "ON" };
        set("relay-log-purge", purge, Some(purge));
    }
    let net_timeout = timing.net_timeout.to_string();
    set("replica-net-timeout", &net_timeout, Some(&net_timeout));
    // A reader's lock must not stop the applier for good with 1205.
    let retries = RETRY_COUNT.to_string();
    set("replica-transaction-retries", &retries, Some(&retries));
    if flavor.applier_retries_on() {
        // The server's own list, and what it says while the disk is full.
        let disk = DISK_ERRORS.map(|number| number.to_string()).join(",");
        set(
            "slave-transaction-retry-errors",
            &format!("1158,1159,1160,1161,1205,1213,1429,2013,12701,{disk}"),
            None,
        );
        set("slave-transaction-retry-interval", "10", Some("10"));
    }
    // An error that is passed over is a row that is missing, and nobody would hear of it.
    set("replica-skip-errors", "OFF", Some("OFF"));
    // A repair that was killed must not leave an applier that passes conflicts.
    set("replica-exec-mode", "STRICT", Some("STRICT"));
    // A look from the other node that ends with the greeting counts as an aborted connection, and
    // after a hundred of them the server would lock the other node out.
    set("max-connect-errors", "1000000000", None);
    set("report-host", &this.host, None);
    set("report-port", &this.db_port.to_string(), None);

    // A statement may hold the vault's key, and binlogs are kept for long: only rows are logged.
    if flavor.positioning == Positioning::MariaDbGtid {
        set("binlog-annotate-row-events", "OFF", Some("OFF"));
        set("replicate-annotate-row-events", "OFF", Some("OFF"));
    } else if flavor.has_rows_query_events() {
        set("binlog-rows-query-log-events", "OFF", Some("OFF"));
    }
    match flavor.positioning {
        Positioning::FilePosition => {}
        Positioning::Gtid => {
            set("gtid-mode", "ON", Some("ON"));
            set("enforce-gtid-consistency", "ON", Some("ON"));
        }
        Positioning::MariaDbGtid => {
            let domain = this.history.map_or(number, |history| history.to_string());
            set("gtid-domain-id", &domain, Some(&domain));
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
            let seconds = (u64::from(*keep_binlogs_days) * 86_400).to_string();
            set("binlog-expire-logs-seconds", &seconds, Some(&seconds));
        }
        Positioning::FilePosition | Positioning::MariaDbGtid => {
            set("expire-logs-days", &keep_binlogs_days.to_string(), None);
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
    for (option, value, is_shown) in options_of_semi_sync(flavor, membership.role, *semi_sync) {
        set(&option, &value, is_shown.then_some(value.as_str()));
    }
    for pattern in taken_by(membership.role, &membership.pair) {
        set("replicate-wild-do-table", &pattern, None);
    }
    out.extend(writes_by_default(flavor));
    out
}

/// The applier obeys this default, and stops where it only reads.
fn writes_by_default(flavor: &Flavor) -> Option<Setting> {
    let off = || "OFF".to_owned();
    let in_effect = Some((flavor.read_only_default()?.to_owned(), off()));
    Some(Setting { option: "transaction-read-only".into(), value: off(), in_effect })
}

/// The pattern that admits statements about a schema, and no table in it.
///
/// A server compares the schema's name followed by a dot, and no table has an empty name.
///
/// A filter of tables lets through what names no table, as `CREATE PROCEDURE monitoring.p`. Without the
/// schema it would stop the applier with 1049, so that foreign schemas are there as empty shells.
pub const EVERY_SCHEMA: &str = "%.";

/// Returns what a node replicates from the other node, as the server's patterns.
///
/// In a pattern, `_` is a wildcard.
#[must_use]
pub fn taken_by(role: Role, pair: &Pair) -> Vec<String> {
    let own = OWN_SCHEMA.replace('_', "\\_");
    match role {
        Role::Secondary => {
            let vault = format!("{}.%", pair.schema.replace('_', "\\_"));
            vec![vault, format!("{own}.%"), EVERY_SCHEMA.to_owned()]
        }
        Role::Primary => {
            let mut out = pair.audit_tables.filters(&pair.schema);
            out.push(format!("{own}.heartbeat"));
            out
        }
    }
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

/// The line with which an option file includes another one.
#[must_use]
pub fn take_in(path: &str) -> String {
    format!("!include {path}")
}

/// The lines with which our option file includes the installation's own, and records its hash.
#[must_use]
pub fn take_in_and_note(path: &str, hash: &str) -> String {
    format!("{}\n{NOTED}{hash}\n[mysqld]\n", take_in(path))
}

/// What begins the note on the content of the file that is taken in.
const NOTED: &str = "# its SHA-256 when pmp-ha wrote this: ";

/// Whether an option file of ours is that of a server whose files are mended before it starts.
#[must_use]
pub fn is_mended_before_start(text: &str) -> bool {
    let says = |line: &str| line.trim() == "log-slave-updates = \"ON\"";
    text.lines().any(says)
}

/// The patterns of tables that an option file of ours takes.
#[must_use]
pub fn wild_do_tables(text: &str) -> Vec<String> {
    let of = |line: &str| {
        let value = line.trim().strip_prefix("replicate-wild-do-table = \"")?.strip_suffix('"')?;
        Some(value.replace("\\\\", "\\").replace("\\\"", "\""))
    };
    text.lines().filter_map(of).collect()
}

/// Returns the option file that ours takes in, with the hash that was noted.
#[must_use]
pub fn taken_in(text: &str) -> Option<(&str, &str)> {
    let path = text.lines().find_map(|line| line.strip_prefix("!include "))?;
    let hash = text.lines().find_map(|line| line.strip_prefix(NOTED))?;
    Some((path, hash))
}

/// Returns the first line of an option file that pmp-ha did not write, if there is one.
///
/// Such a line reads another file, or changes the account of the server. `account` is the one that root
/// sets, and `own` the installation's own option file.
#[must_use]
pub fn strange_option<'a>(text: &'a str, account: Option<&str>, own: Option<&str>) -> Option<&'a str> {
    let own = own.map(take_in);
    let is_strange = |line: &&str| {
        let line = line.trim();
        if line.is_empty()
            || line.starts_with(['#', ';'])
            || line == "[mysqld]"
            || Some(line) == own.as_deref()
        {
            return false;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = name.trim().to_lowercase().replace('_', "-");
        let name = name.strip_prefix(LOOSE).unwrap_or(&name);
        // A server takes the beginning of a name for the name.
        let is_user = "user".starts_with(name);
        line.starts_with(['!', '[']) || (is_user && account != Some(value.trim().trim_matches('"')))
    };
    text.lines().find(is_strange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::flavor::ServerVersion;
    use crate::domain::pair::Pair;

    fn rendered(version: &str, role: Role) -> String {
        let version = ServerVersion::parse(version).expect("a version");
        rendered_for(Flavor::of(&version).expect("a row"), role)
    }

    fn rendered_for(flavor: &Flavor, role: Role) -> String {
        let membership = Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() };
        let tls = TlsPaths { ca: "/a b/ca".into(), cert: "/c".into(), key: "/k".into() };
        let timing = Timing { net_timeout: 5, connect_retry: 3, heartbeat: 1, beat: 2 };
        let choices = Choices { timing, keep_binlogs_days: 0, semi_sync: Some(SemiSync { timeout: 10 }) };
        render(&settings(flavor, &membership, &tls, &choices))
    }

    #[test]
    fn an_option_file_names_the_account_that_root_chose_or_none() {
        let ours = rendered("5.6.24", Role::Primary);
        assert_eq!(strange_option(&format!("# a\n[mysqld]\n{ours}"), None, None), None);
        assert_eq!(strange_option("[mysqld]\nuser = \"mysql\"\n", Some("mysql"), None), None);
        let taken = take_in_and_note("/x/my.cnf", "ab");
        assert_eq!(strange_option(&taken, None, Some("/x/my.cnf")), None);
        assert_eq!(taken_in(&taken), Some(("/x/my.cnf", "ab")));
        for line in [
            "user = root",
            "user=root",
            "  User = \"root\"",
            "loose_user = root",
            "use=root",
            "!include /tmp/x",
            "! includedir /x",
            "[client]",
            "[mysqld-9.7]",
            "user",
        ] {
            let text = format!("[mysqld]\n{line}\n{ours}");
            for account in [None, Some("mysql")] {
                assert_eq!(strange_option(&text, account, Some("/x/my.cnf")), Some(line), "{account:?}");
            }
        }
    }

    #[test]
    fn the_two_nodes_never_count_the_same() {
        assert!(rendered("5.6.24", Role::Primary).contains("auto-increment-offset = \"1\""));
        assert!(rendered("5.6.24", Role::Secondary).contains("auto-increment-offset = \"2\""));
    }

    #[test]
    fn a_server_without_the_plugins_of_semi_synchronous_replication_starts_all_the_same() {
        for (version, role, wanted) in [
            ("5.6.24", Role::Primary, "plugin-load-add = \"semisync_master.so\""),
            ("5.6.24", Role::Primary, "loose-rpl-semi-sync-master-enabled = \"ON\""),
            ("9.7.4", Role::Secondary, "plugin-load-add = \"semisync_source.so\""),
            ("9.7.4", Role::Secondary, "loose-rpl-semi-sync-replica-enabled = \"ON\""),
            ("10.11.9-MariaDB", Role::Primary, "loose-rpl-semi-sync-master-wait-point = \"AFTER_SYNC\""),
        ] {
            let text = rendered(version, role);
            assert!(text.lines().any(|line| line == wanted), "no {wanted} in {text}");
        }
        assert!(!rendered("5.6.24", Role::Primary).contains("wait-point"));
        assert!(!rendered("11.8.6-MariaDB", Role::Primary).contains("plugin-load-add"));
    }

    #[test]
    fn an_old_server_gets_no_option_that_it_refuses_and_keeps_what_it_is_mended_from() {
        for name in ["MySQL 5.1", "MySQL 5.5"] {
            let text = rendered_for(Flavor::called(name), Role::Secondary);
            for refused in
                ["relay-log-recovery", "-info-repository", "plugin-load-add", "rows-query", "read-only"]
            {
                assert!(!text.contains(refused), "{refused} in {text}");
            }
            assert!(text.contains("master-retry-count = \"4294967295\""), "{text}");
            assert!(is_mended_before_start(&text));
            assert_eq!(wild_do_tables(&text), ["passtrix.%", "pmp\\_ha.%", "%."]);
        }
        let plugins =
            "plugin-load = \"rpl_semi_sync_master=semisync_master.so;rpl_semi_sync_slave=semisync_slave.so\"";
        assert!(rendered_for(Flavor::called("MySQL 5.5"), Role::Primary).contains(plugins));
        assert!(!rendered_for(Flavor::called("MySQL 5.1"), Role::Primary).contains("semi"));
        assert!(!is_mended_before_start(&rendered("5.6.24", Role::Secondary)));
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
    fn the_secondary_takes_the_vault_and_the_primary_only_audit_rows_and_heartbeats() {
        let filters = |role| -> Vec<String> {
            let text = rendered("5.6.24", role);
            let of = |line: &str| line.strip_prefix("replicate-wild-do-table = ").map(ToOwned::to_owned);
            text.lines().filter_map(of).collect()
        };
        assert_eq!(filters(Role::Secondary), [r#""passtrix.%""#, r#""pmp\\_ha.%""#, r#""%.""#]);
        assert_eq!(
            filters(Role::Primary),
            [
                r#""passtrix.%audit""#,
                r#""passtrix.%AUDIT""#,
                r#""passtrix.%Audit""#,
                r#""pmp\\_ha.heartbeat""#
            ]
        );
    }
}
