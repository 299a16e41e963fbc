//! Errant writes on the secondary, read from its binlog.
//!
//! GTIDs and coordinates cannot tell an audit row from a stray one: both are the secondary's. The
//! events name the tables. Statements are never shown: they may hold an encryption key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pair::Pair;
use super::settings::{LOCAL_SCHEMA, OWN_SCHEMA};
use super::standing::BinlogPlace;

/// A row of `SHOW BINLOG EVENTS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its start, in bytes.
    pub position: u64,
    /// The start of the next one, in bytes.
    pub end: u64,
    /// `Table_map`, `Write_rows_v1`, `Query`, …
    pub kind: String,
    /// The server that wrote it first.
    pub server_id: u32,
    /// Its text.
    pub info: String,
}

/// The number of tables of one transaction that are kept in mind.
pub(super) const MOST_TABLES: usize = 500;

/// The position of the first event of every binlog, in bytes.
pub const FIRST_EVENT: u64 = 4;

/// An errant write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errant {
    /// The binlog file.
    pub file: String,
    /// The position in it, in bytes.
    pub position: u64,
    /// What was written, without any value.
    pub what: String,
}

/// How far the secondary's binlogs were read, and the errant writes in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Whose binlogs they are and since when: pack, number of the node, epoch.
    pub history: String,
    /// The file that is read next.
    pub file: String,
    /// The position in it, in bytes; always between two transactions.
    pub position: u64,
    /// The first errant writes, at most [`Reading::SHOWN`].
    pub found: Vec<Errant>,
    /// How many there were.
    pub total: u64,
    /// The end of the last event that was read of a transaction whose end was not; 0 between two of them.
    #[serde(default)]
    within: u64,
    /// The tables that this transaction has named, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tables: BTreeMap<u64, String>,
}

impl Reading {
    /// How many are remembered one by one.
    pub const SHOWN: usize = 20;

    /// Starts reading this history from a position.
    #[must_use]
    pub fn since(history: &str, place: &BinlogPlace) -> Self {
        let BinlogPlace { file, position } = place.clone();
        Self { history: history.to_owned(), file, position, ..Self::default() }
    }

    /// Processes the next event of the current file.
    pub fn take(&mut self, event: &Event, node: u32, pair: &Pair) {
        let kind = event.kind.to_lowercase();
        if event.server_id == node
            && let Some(what) = self.judge(&kind, &event.info, pair)
        {
            self.total += 1;
            if self.found.len() < Self::SHOWN {
                self.found.push(Errant { file: self.file.clone(), position: event.position, what });
            }
        }
        // Behind these no transaction is open.
        let ends =
            ["xid", "rotate", "stop", "format_desc", "previous_gtids", "gtid_list", "binlog_checkpoint"];
        let statement = ["query", "query_compressed"].contains(&kind.as_str())
            && !matches!(words(&event.info).as_str(), "BEGIN" | "SAVEPOINT");
        if ends.contains(&kind.as_str()) || statement {
            self.tables.clear();
            (self.position, self.within) = (event.end, 0);
        } else {
            self.within = event.end;
        }
    }

    /// The position of the next event. A look does not read all of a long transaction.
    #[must_use]
    pub fn continues_at(&self) -> u64 {
        self.position.max(self.within)
    }

    /// Whether the position is in a file of this name and size, in bytes.
    #[must_use]
    pub fn is_inside(&self, file: &str, size: u64) -> bool {
        self.file == file && self.continues_at() <= size
    }

    /// Continues with the next file.
    pub fn next_file(&mut self, file: &str) {
        self.tables.clear();
        file.clone_into(&mut self.file);
        (self.position, self.within) = (FIRST_EVENT, 0);
    }

    /// Forgets what was found before a position, because it was corrected.
    pub fn forget_before(&mut self, place: &BinlogPlace) {
        let (file, position) = (place.file.as_str(), place.position);
        let before = self.found.len();
        self.found.retain(|found| (found.file.as_str(), found.position) >= (file, position));
        let forgotten = u64::try_from(before - self.found.len()).unwrap_or(0);
        self.total = if self.found.is_empty() { 0 } else { self.total - forgotten };
    }

    fn judge(&mut self, kind: &str, info: &str, pair: &Pair) -> Option<String> {
        match kind {
            "table_map" => {
                let (number, name) = table_map(info)?;
                let (schema, table) = name.split_once('.').unwrap_or(("", &name));
                let (schema, table) = (schema.to_owned(), table.to_owned());
                if self.tables.len() >= MOST_TABLES {
                    return Some("rows of more tables than pmp-ha can store".into());
                }
                if let Some(what) = named_anew(&mut self.tables, number, &name) {
                    return Some(what);
                }
                let own = [OWN_SCHEMA, LOCAL_SCHEMA].contains(&schema.as_str());
                let may = schema.eq_ignore_ascii_case(&pair.schema)
                    && (pair.audit_tables.contains(&table) || pair.local_tables.contains(&table));
                (!own && !may).then(|| format!("rows of {name}"))
            }
            kind if kind.starts_with("update_rows") || kind.starts_with("delete_rows") => {
                // A place is between two transactions, so a table that was not named is no honest one.
                let table = table_id(info).and_then(|number| self.tables.get(&number));
                let name = table.map_or("a table that was not named", String::as_str);
                let own = name.starts_with(&format!("{OWN_SCHEMA}."))
                    || name.starts_with(&format!("{LOCAL_SCHEMA}."));
                let verb = if kind.starts_with("update") { "changed" } else { "deleted" };
                (!own).then(|| format!("rows of {name} were {verb}"))
            }
            "query" | "query_compressed" => {
                let how = if empties_a_table(info) { WHOLE_TABLE } else { "" };
                (!is_of_transactions_or_upkeep(info)).then(|| format!("a statement: {} …{how}", words(info)))
            }
            kind if kind.starts_with("write_rows") => None,
            "xid"
            | "rotate"
            | "stop"
            | "format_desc"
            | "previous_gtids"
            | "gtid"
            | "gtid_tagged_log_event"
            | "anonymous_gtid"
            | "gtid_list"
            | "binlog_checkpoint"
            | "annotate_rows"
            | "rows_query"
            | "intvar"
            | "rand"
            | "user var"
            | "heartbeat"
            | "start_encryption"
            | "transaction_payload" => None,
            other => Some(format!("an event of kind {other}")),
        }
    }
}

/// Notes the table of a number. No server gives a number to two tables of a transaction: what was named first is
/// kept, and the answer tells of it.
pub(super) fn named_anew(tables: &mut BTreeMap<u64, String>, number: u64, name: &str) -> Option<String> {
    let first = tables.entry(number).or_insert_with(|| name.to_owned());
    (first != name).then(|| format!("rows of {first} under the number of {name}"))
}

/// Statements that only mark where a transaction begins and ends.
const OF_TRANSACTIONS: [&str; 4] = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"];

/// What `FLUSH` may name without a change of any row, any lock and any log but the server's own.
const FLUSHED: [&str; 18] = [
    "LOGS",
    "BINARY",
    "RELAY",
    "ERROR",
    "SLOW",
    "GENERAL",
    "ENGINE",
    "PRIVILEGES",
    "STATUS",
    "GLOBAL",
    "SESSION",
    "HOSTS",
    "USER_RESOURCES",
    "QUERY",
    "CACHE",
    "DES_KEY_FILE",
    "OPTIMIZER_COSTS",
    "TABLES",
];

/// What `MariaDB` may say behind the tables that it analyzes.
const PERSISTENT: &str = " PERSISTENT FOR ALL";

/// Whether a statement only begins or ends a transaction, or is upkeep that changes no row. What is not
/// understood to its last word is neither: nobody can hide a statement in it.
pub(super) fn is_of_transactions_or_upkeep(info: &str) -> bool {
    let Some(statement) = without_schema(info) else { return false };
    let is_plain = |c: char| c.is_alphanumeric() || c.is_ascii_whitespace() || "_$.,`-".contains(c);
    if !statement.chars().all(is_plain) {
        return false;
    }
    let statement = statement.to_uppercase();
    let words: Vec<&str> = statement
        .split(|c: char| c.is_ascii_whitespace() || c == ',')
        .filter(|word| !word.is_empty() && !["LOCAL", "NO_WRITE_TO_BINLOG"].contains(word))
        .collect();
    match words[..] {
        ["BEGIN" | "COMMIT" | "ROLLBACK"]
        | ["SAVEPOINT", _]
        | ["ROLLBACK", "TO", _]
        | ["ROLLBACK", "TO", "SAVEPOINT", _] => true,
        ["ANALYZE" | "OPTIMIZE" | "FLUSH", "TABLE" | "TABLES", ..] => {
            let names = statement.split_once("TABLE").map_or("", |(_, rest)| rest);
            is_list_of_names(names.strip_prefix('S').unwrap_or(names))
        }
        ["FLUSH", ref what @ ..] => !what.is_empty() && what.iter().all(|word| FLUSHED.contains(word)),
        _ => false,
    }
}

/// What is said of a statement that empties a whole table.
pub const WHOLE_TABLE: &str = ", which empties a whole table";

/// Whether a statement empties one whole table. A server writes such a one itself, when it first opens a table in
/// memory after a start.
fn empties_a_table(info: &str) -> bool {
    let statement = without_schema(info).unwrap_or_default();
    let statement = statement.split("/*").next().unwrap_or_default().to_uppercase();
    ["DELETE FROM ", "TRUNCATE TABLE "].iter().any(|words| {
        let name = statement.strip_prefix(words).map(str::trim);
        name.is_some_and(|name| !name.is_empty() && !name.contains(',') && is_list_of_names(name))
    })
}

/// What `MariaDB` 11 puts behind such a statement.
const OF_THE_SERVER: &str = "/* generated by server for memory table after a restart */";

/// The schema and the table of a statement with which a server empties a table in memory.
///
/// Only the exact text of a server counts.
pub(super) fn emptied_by_a_server(info: &str) -> Option<(&str, &str)> {
    let statement = without_schema(info)?;
    let statement = statement.strip_suffix(OF_THE_SERVER).unwrap_or(statement).trim_end();
    let name =
        ["DELETE FROM `", "TRUNCATE TABLE `"].iter().find_map(|words| statement.strip_prefix(words))?;
    let (schema, table) = name.strip_suffix('`')?.split_once("`.`")?;
    let is_plain =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_$-".contains(c));
    (is_plain(schema) && is_plain(table)).then_some((schema, table))
}

/// Whether a text is nothing but names of tables, which may stand in backticks, with commas between them. A word
/// behind a name makes of the list another statement.
fn is_list_of_names(text: &str) -> bool {
    let text = text.strip_suffix(PERSISTENT).unwrap_or(text).trim();
    let is_name = |part: &str| {
        let part = part.trim();
        let bare = part.split('`').step_by(2).collect::<String>();
        !part.is_empty()
            && part.matches('`').count().is_multiple_of(2)
            && !bare.contains(|c: char| c.is_ascii_whitespace())
    };
    text.is_empty() || text.split(',').all(is_name)
}

/// The statement itself, without the schema that it is for; `None` if nobody knows where it begins. A name of a
/// schema may hold what ends one, and some servers do not double the backtick in it.
fn without_schema(info: &str) -> Option<&str> {
    let Some(rest) = info.strip_prefix("use `") else { return Some(info.trim()) };
    let (name, statement) = rest.split_once('`')?;
    let is_plain = |c: char| c.is_alphanumeric() || "_$-".contains(c);
    let statement = statement.strip_prefix("; ")?;
    name.chars().all(is_plain).then(|| statement.trim())
}

/// The first two words of a statement, or one if it is a word of transactions. They are to be shown, and prove
/// nothing.
pub(super) fn words(info: &str) -> String {
    let statement = without_schema(info).unwrap_or_default();
    // A comment may stand first, and hold anything. A server executes what stands in one of its own kind.
    let statement =
        match statement.strip_prefix("/*").filter(|rest| !rest.starts_with('!') && !rest.starts_with("M!")) {
            Some(rest) => rest.split_once("*/").map_or(statement, |(_, rest)| rest.trim_start()),
            None => statement,
        };
    let plain = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic());
    let mut words: Vec<String> =
        statement.split_whitespace().take_while(plain).take(2).map(str::to_uppercase).collect();
    if words.first().is_some_and(|first| OF_TRANSACTIONS.contains(&first.as_str())) {
        words.truncate(1);
    }
    if words.is_empty() { "SOMETHING".into() } else { words.join(" ") }
}

/// `table_id: 108 (passtrix.x)`
pub(super) fn table_map(info: &str) -> Option<(u64, String)> {
    let number = table_id(info)?;
    // A name may hold a parenthesis: only the last one is not of it.
    let name = info.split_once('(')?.1.rsplit_once(')')?.0;
    Some((number, name.to_lowercase()))
}

/// `table_id: 108 flags: STMT_END_F`
pub(super) fn table_id(info: &str) -> Option<u64> {
    info.split_once("table_id: ")?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(file: &str, position: u64) -> BinlogPlace {
        BinlogPlace { file: file.to_owned(), position }
    }

    fn read(events: &[(&str, &str)]) -> Reading {
        let mut reading = Reading::since("p", &at("b.000001", FIRST_EVENT));
        for (place, (kind, info)) in (1..).zip(events) {
            let event = Event {
                position: place * 100,
                end: place * 100 + 100,
                kind: (*kind).to_owned(),
                server_id: 2,
                info: (*info).to_owned(),
            };
            reading.take(&event, 2, &Pair::example());
        }
        reading
    }

    fn found(events: &[(&str, &str)]) -> Vec<String> {
        read(events).found.into_iter().map(|errant| errant.what).collect()
    }

    #[test]
    fn a_name_with_a_parenthesis_is_no_audit_table() {
        let found = found(&[("Table_map", "table_id: 7 (passtrix.ptrx_useraudit)x)")]);
        assert_eq!(found, ["rows of passtrix.ptrx_useraudit)x"]);
    }

    #[test]
    fn no_name_of_a_schema_hides_a_statement() {
        for info in [
            "use `a`; FLUSH x`; UPDATE t SET x = 1",
            "use `a``; FLUSH x`; UPDATE t SET x = 1",
            "use `a`; BEGIN`; DROP TABLE t",
            "use `a`; /* `; FLUSH x */ FLUSH y`; DROP TABLE t",
            "use `a``; /* x`; UPDATE t SET x = 1 WHERE '*/ FLUSH y' <> ''",
            "use `a`; /* x`; UPDATE t SET x = 1 WHERE '*/ FLUSH y' <> ''",
            "use `a`; ANALYZE TABLE x`; DROP TABLE t",
            "use `a`; SAVEPOINT x`; DROP TABLE t",
            "use `a``; COMMIT`; DROP TABLE t",
            "use `a\n`; COMMIT",
            "/* x */ FLUSH STATUS",
        ] {
            let found = found(&[("Query", info)]);
            assert!(found.len() == 1 && found[0].starts_with("a statement: "), "{info}: {found:?}");
        }
    }

    #[test]
    fn upkeep_is_understood_to_its_last_word() {
        for statement in [
            "BEGIN",
            "COMMIT",
            "ROLLBACK",
            "SAVEPOINT `sp-1`",
            "ROLLBACK TO SAVEPOINT a",
            "ROLLBACK TO `a`",
            "flush logs",
            "FLUSH LOCAL BINARY LOGS",
            "FLUSH  NO_WRITE_TO_BINLOG STATUS, HOSTS",
            "FLUSH QUERY CACHE",
            "FLUSH TABLES",
            "FLUSH TABLE `passtrix`.`a`, b",
            "ANALYZE TABLE passtrix.a, `b`",
            "OPTIMIZE LOCAL TABLES a",
        ] {
            assert!(is_of_transactions_or_upkeep(statement), "{statement}");
            assert!(is_of_transactions_or_upkeep(&format!("use `passtrix`; {statement}")), "{statement}");
        }
        for statement in [
            "FLUSH",
            "FLUSH MASTER",
            "FLUSH SLAVE",
            "FLUSH TABLES WITH READ LOCK",
            "FLUSH TABLES a WITH READ LOCK",
            "FLUSH LOCAL TABLES a FOR EXPORT",
            "FLUSH STATUS, MASTER",
            "BEGIN NOT ATOMIC",
            "COMMIT AND CHAIN; DROP TABLE t",
            "ROLLBACK x",
            "SAVEPOINT a; DROP TABLE t",
            "ANALYZE UPDATE a",
            "ANALYZE TABLE a (b)",
            "ANALYZE FORMAT=JSON UPDATE a",
            "OPTIMIZE a",
        ] {
            assert!(!is_of_transactions_or_upkeep(statement), "{statement}");
        }
    }

    #[test]
    fn audit_rows_and_heartbeats_are_never_errant() {
        assert_eq!(
            found(&[
                ("Format_desc", "Server ver: 5.6.24-log, Binlog ver: 4"),
                ("Query", "BEGIN"),
                ("Table_map", "table_id: 108 (passtrix.ptrx_useraudit)"),
                ("Write_rows", "table_id: 108 flags: STMT_END_F"),
                ("Xid", "COMMIT /* xid=1 */"),
                ("Gtid", "BEGIN GTID 2-2-5"),
                ("Table_map", "table_id: 9 (pmp_ha.heartbeat)"),
                ("Update_rows_v1", "table_id: 9 flags: STMT_END_F"),
                ("Query", "COMMIT"),
                ("Query", "FLUSH RELAY LOGS"),
                ("Query", "use `passtrix`; ANALYZE TABLE ptrx_account"),
            ]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn everything_else_is() {
        assert_eq!(
            found(&[
                ("Table_map", "table_id: 7 (passtrix.ptrx_account)"),
                ("Write_rows", "table_id: 7 flags: STMT_END_F"),
                ("Table_map", "table_id: 108 (passtrix.ptrx_useraudit)"),
                ("Delete_rows_v1", "table_id: 108 flags: STMT_END_F"),
                ("Query", "use `passtrix`; /* hi */ create table t (secret int)"),
                ("Query", "CREATE USER 'x'@'y' IDENTIFIED BY 'secret'"),
                ("XA_prepare", "XA PREPARE X'61'"),
            ]),
            [
                "rows of passtrix.ptrx_account",
                "rows of passtrix.ptrx_useraudit were deleted",
                "a statement: CREATE TABLE …",
                "a statement: CREATE USER …",
                "an event of kind xa_prepare",
            ]
        );
    }

    #[test]
    fn what_another_server_wrote_does_not_count() {
        let mut reading = Reading::since("p", &at("b.000001", FIRST_EVENT));
        let event =
            Event { position: 4, end: 9, kind: "Query".into(), server_id: 1, info: "DROP TABLE x".into() };
        reading.take(&event, 2, &Pair::example());
        assert_eq!(reading.found, []);
    }

    #[test]
    fn reading_goes_on_between_two_transactions() {
        let open = read(&[
            ("Query", "BEGIN"),
            ("Table_map", "table_id: 108 (passtrix.ptrx_useraudit)"),
            ("Xid", ""),
            ("Query", "BEGIN"),
            ("Table_map", "table_id: 108 (passtrix.ptrx_useraudit)"),
        ]);
        assert_eq!(open.position, 400);
    }

    #[test]
    fn what_was_put_right_is_forgotten() {
        let mut reading = read(&[("Query", "DROP TABLE a"), ("Query", "DROP TABLE b")]);
        reading.forget_before(&at("b.000001", 150));
        assert_eq!((reading.total, reading.found.len()), (1, 1));
        reading.forget_before(&at("b.000002", 4));
        assert_eq!((reading.total, reading.found.len()), (0, 0));
    }
}
