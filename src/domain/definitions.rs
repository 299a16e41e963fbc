//! The definitions of a schema: views, triggers, routines and events.
//!
//! It contains when two of them are equal, and the statements that read, create and drop them.
//!
//! An account that may see a definition may often change it, too. So the tool's procedures show them,
//! with the rights of its own account; whoever reads the other node may call these and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::accounts::ADMIN_USER;
use super::settings::OWN_SCHEMA;
use super::sql::{Sql, quote, quote_name};

/// What is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    /// `CREATE FUNCTION`
    Function,
    /// `CREATE PROCEDURE`
    Procedure,
    /// `CREATE VIEW`
    View,
    /// `CREATE TRIGGER`
    Trigger,
    /// `CREATE EVENT`
    Event,
}

impl ObjectKind {
    const ALL: [Self; 5] = [Self::Function, Self::Procedure, Self::View, Self::Trigger, Self::Event];

    fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Procedure => "procedure",
            Self::View => "view",
            Self::Trigger => "trigger",
            Self::Event => "event",
        }
    }

    /// Reads the word that a server says.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word.to_lowercase())
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is called what.
pub type Named = (ObjectKind, String);

/// A definition. Whether an event is awake does not count: the write guard puts those of the
/// secondary to sleep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// `USER@HOST`
    pub definer: String,
    /// The `sql_mode` that it was made in.
    pub mode: String,
    /// The character set that it was made in.
    pub charset: String,
    /// The collation that it was made in.
    pub collation: String,
    /// The time zone of an event.
    pub zone: String,
    /// The table of a trigger.
    pub table: String,
    /// What stands before its body.
    pub head: String,
    /// What it does.
    pub body: String,
}

/// The definitions of a schema.
pub type Definitions = BTreeMap<Named, Definition>;

impl Definition {
    /// Reads a row of [`QUERY`]: of which kind, its name, and the rest.
    pub fn read(column: impl Fn(&str) -> Option<String>) -> Option<(Named, Self)> {
        let get = |name: &str| column(name).unwrap_or_default();
        let definition = Self {
            definer: get("definer"),
            mode: get("mode"),
            charset: get("charset"),
            collation: get("collation"),
            zone: get("zone"),
            table: get("tbl"),
            head: get("head"),
            body: get("body"),
        };
        Some(((ObjectKind::parse(&column("kind")?)?, column("name")?), definition))
    }

    /// What is different about the secondary's, in words.
    #[must_use]
    pub fn differences(&self, secondary: &Self) -> Vec<&'static str> {
        let parts = [
            (self.definer != secondary.definer, "the definer"),
            (self.mode != secondary.mode, "the sql_mode"),
            (
                (&self.charset, &self.collation) != (&secondary.charset, &secondary.collation),
                "the character set",
            ),
            (self.zone != secondary.zone, "the time zone"),
            ((&self.table, &self.head) != (&secondary.table, &secondary.head), "the head"),
            (self.body != secondary.body, "the body"),
        ];
        parts.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
    }

    /// The statement that makes a trigger; the servers do not show it in every place.
    #[must_use]
    pub fn create_trigger(&self, schema: &str, name: &str) -> String {
        let (user, host) = self.definer.rsplit_once('@').unwrap_or((&self.definer, "%"));
        format!(
            "CREATE DEFINER={}@{} TRIGGER {}.{} {} ON {}.{} FOR EACH ROW {}",
            quote_name(user),
            quote_name(host),
            quote_name(schema),
            quote_name(name),
            self.head,
            quote_name(schema),
            quote_name(&self.table),
            self.body
        )
    }

    /// Makes a session one in which the definition means what it meant when it was made.
    #[must_use]
    pub fn session(&self) -> Vec<Sql> {
        let mut out = vec![Sql::new(format!("SET SESSION sql_mode = {}", quote(&self.mode)))];
        if !self.zone.is_empty() {
            out.push(Sql::new(format!("SET SESSION time_zone = {}", quote(&self.zone))));
        }
        // Beyond ASCII it would be misread: it comes as UTF-8.
        if self.body.is_ascii() && self.head.is_ascii() && !self.charset.is_empty() {
            out.push(Sql::new(format!(
                "SET SESSION character_set_client = {}, collation_connection = {}",
                quote(&self.charset),
                quote(&self.collation)
            )));
        }
        out
    }
}

/// Something that is not the same on both nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    /// What it is.
    pub what: Named,
    /// In words.
    pub evidence: String,
    /// Whether the primary has it.
    pub on_primary: bool,
}

/// The evidence of something that the secondary does not have. Whoever had all rights there may have sent it, and
/// dropped it again without a trace.
pub const ONLY_ON_PRIMARY: &str = "only the primary has it";

/// What is not defined the same on both nodes.
#[must_use]
pub fn differing(primary: &Definitions, secondary: &Definitions) -> Vec<Differs> {
    let mut out = Vec::new();
    for (what, definition) in primary {
        let evidence = match secondary.get(what) {
            None => ONLY_ON_PRIMARY.to_owned(),
            Some(other) if other == definition => continue,
            Some(other) => format!("{} differs", definition.differences(other).join(", ")),
        };
        out.push(Differs { what: what.clone(), evidence, on_primary: true });
    }
    for what in secondary.keys().filter(|what| !primary.contains_key(*what)) {
        let evidence = "only the secondary has it".to_owned();
        out.push(Differs { what: what.clone(), evidence, on_primary: false });
    }
    out
}

/// Asks for the definitions of the product's schema.
pub const QUERY: &str = "CALL pmp_ha.definitions()";

/// Asks for the statement that makes something other than a trigger.
#[must_use]
pub fn show((kind, name): &Named) -> Sql {
    Sql::new(format!("CALL {OWN_SCHEMA}.definition('{kind}', {})", quote(name)))
}

/// The statement out of the answer to [`show`]. An event sleeps on a secondary.
pub fn shown(kind: ObjectKind, column: impl Fn(&str) -> Option<String>) -> Option<String> {
    let text = column(&format!("Create {kind}"))?;
    Some(match kind {
        ObjectKind::Event => text.replacen("PRESERVE ENABLE", "PRESERVE DISABLE ON SLAVE", 1),
        _ => text,
    })
}

/// Drops something.
#[must_use]
pub fn drop_it(schema: &str, (kind, name): &Named) -> Sql {
    let word = kind.word().to_uppercase();
    Sql::new(format!("DROP {word} IF EXISTS {}.{}", quote_name(schema), quote_name(name)))
}

/// The columns of what [`QUERY`] asks for.
const COLUMNS: [&str; 10] =
    ["kind", "name", "definer", "mode", "charset", "collation", "zone", "tbl", "head", "body"];

/// Texts of `information_schema` as one. Its columns have collations of many kinds.
fn plain(parts: &[&str]) -> String {
    let part = |text: &&str| format!("IFNULL(CAST({text} AS BINARY), '')");
    format!("CONCAT_WS('\n', {})", parts.iter().map(part).collect::<Vec<_>>().join(", "))
}

/// Asks one view of `information_schema`: kind, name, `sql_mode`, time zone, table, head and body.
fn select(values: [&str; 5], head: &[&str], body: &str, from: &str) -> String {
    let [kind, name, mode, zone, table] = values;
    let values = [kind, name, "DEFINER", mode, "CHARACTER_SET_CLIENT", "COLLATION_CONNECTION", zone, table];
    let mut values: Vec<String> = values.iter().map(|value| plain(&[value])).collect();
    values.extend([plain(head), plain(&[body])]);
    let named: Vec<String> =
        values.iter().zip(COLUMNS).map(|(value, column)| format!("{value} AS `{column}`")).collect();
    format!("SELECT {} FROM information_schema.{from}", named.join(", "))
}

/// Asks for the parameters of a routine: what stands before the name of the schema, and behind it.
pub const PARAMETERS: [&str; 2] = [
    "GROUP_CONCAT(CONCAT_WS(' ', PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER) ORDER BY ORDINAL_POSITION) \
     FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA",
    "SPECIFIC_NAME = ROUTINES.ROUTINE_NAME AND PARAMETERS.ROUTINE_TYPE = ROUTINES.ROUTINE_TYPE",
];

/// Asks for all definitions of a schema, a quoted text.
fn selects(of: &str) -> String {
    let [what, which] = PARAMETERS;
    let parameters = format!("(SELECT {what} = {of} AND {which})");
    [
        select(
            ["'view'", "TABLE_NAME", "''", "''", "''"],
            &["SECURITY_TYPE", "CHECK_OPTION"],
            "VIEW_DEFINITION",
            &format!("VIEWS WHERE TABLE_SCHEMA = {of}"),
        ),
        select(
            ["'trigger'", "TRIGGER_NAME", "SQL_MODE", "''", "EVENT_OBJECT_TABLE"],
            &["CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION)"],
            "ACTION_STATEMENT",
            &format!("TRIGGERS WHERE TRIGGER_SCHEMA = {of}"),
        ),
        select(
            ["LOWER(ROUTINE_TYPE)", "ROUTINE_NAME", "SQL_MODE", "''", "''"],
            &[&parameters, "IS_DETERMINISTIC", "SQL_DATA_ACCESS", "SECURITY_TYPE", "ROUTINE_COMMENT"],
            "ROUTINE_DEFINITION",
            &format!("ROUTINES WHERE ROUTINE_SCHEMA = {of} AND ROUTINE_TYPE IN ('PROCEDURE', 'FUNCTION')"),
        ),
        select(
            ["'event'", "EVENT_NAME", "SQL_MODE", "TIME_ZONE", "''"],
            &[
                "EXECUTE_AT",
                "INTERVAL_VALUE",
                "INTERVAL_FIELD",
                "STARTS",
                "ENDS",
                "ON_COMPLETION",
                "EVENT_COMMENT",
            ],
            "EVENT_DEFINITION",
            &format!("EVENTS WHERE EVENT_SCHEMA = {of}"),
        ),
    ]
    .join(" UNION ALL ")
}

/// The procedures that show the definitions of a schema, in [`OWN_SCHEMA`].
pub const PROCEDURES: [&str; 2] = ["definitions", "definition"];

/// Returns the statements that create [`PROCEDURES`].
#[must_use]
pub fn procedures(schema: &str) -> Vec<Sql> {
    let name = quote_name(schema);
    let make = |signature: &str, body: &str| {
        format!(
            "CREATE DEFINER='{ADMIN_USER}'@'localhost' PROCEDURE {OWN_SCHEMA}.{signature} \
             SQL SECURITY DEFINER BEGIN {body} END"
        )
    };
    let words = [ObjectKind::View, ObjectKind::Procedure, ObjectKind::Function, ObjectKind::Event]
        .map(|kind| format!("WHEN '{kind}' THEN '{kind}'"))
        .join(" ");
    [
        format!("DROP PROCEDURE IF EXISTS {OWN_SCHEMA}.definitions"),
        make(
            "definitions() READS SQL DATA",
            &format!("{};", selects(&quote(schema))),
        ),
        format!("DROP PROCEDURE IF EXISTS {OWN_SCHEMA}.definition"),
        // Nothing of the caller's becomes a part of the statement but a quoted name.
        make(
            "definition(IN kind VARCHAR(9) CHARACTER SET utf8, IN name VARCHAR(64) CHARACTER SET utf8) READS SQL DATA",
            &format!(
                "SET @pmp_ha_show = CONCAT('SHOW CREATE ', CASE kind {words} END, ' {name}.`', \
                 REPLACE(name, '`', '``'), '`'); \
                 PREPARE pmp_ha_show FROM @pmp_ha_show; EXECUTE pmp_ha_show; DEALLOCATE PREPARE pmp_ha_show;"
            ),
        ),
    ]
    .map(Sql::new)
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(body: &str) -> Definition {
        Definition { definer: "root@localhost".into(), body: body.into(), ..Definition::default() }
    }

    #[test]
    fn what_differs_is_named_and_whether_the_primary_has_it() {
        let named = |kind, name: &str| (kind, name.to_owned());
        let primary: Definitions = [
            (named(ObjectKind::View, "v"), definition("a")),
            (named(ObjectKind::Event, "same"), definition("e")),
            (named(ObjectKind::Trigger, "t"), definition("t")),
        ]
        .into();
        let mut other = definition("b");
        other.definer = "x@%".into();
        let secondary: Definitions = [
            (named(ObjectKind::View, "v"), other),
            (named(ObjectKind::Event, "same"), definition("e")),
            (named(ObjectKind::Function, "f"), definition("f")),
        ]
        .into();
        let shown: Vec<String> = differing(&primary, &secondary)
            .iter()
            .map(|found| {
                format!("{} {}: {} {}", found.what.0, found.what.1, found.evidence, found.on_primary)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "view v: the definer, the body differs true",
                "trigger t: only the primary has it true",
                "function f: only the secondary has it false",
            ]
        );
    }

    #[test]
    fn an_event_is_made_asleep() {
        let text = "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE ENABLE DO SELECT 'PRESERVE ENABLE'";
        let made = shown(ObjectKind::Event, |column| (column == "Create event").then(|| text.to_owned()));
        assert_eq!(
            made.as_deref(),
            Some(
                "CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE ON SLAVE DO SELECT 'PRESERVE ENABLE'"
            )
        );
    }
}
