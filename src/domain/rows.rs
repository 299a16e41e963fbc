//! Rows as they are compared and made equal: what a table is made of, and the statements that read
//! keys, fingerprints and whole rows without losing a byte.
//!
//! A row is known by its id: the values of its key in hexadecimal, parted by commas. In a table
//! without a key it is known by its fingerprint, and what is compared is how often it is there.

use std::collections::BTreeMap;

use super::pair::Pair;
use super::plan::TableChange;
use super::sql::{Sql, quote, quote_name};

/// How many keys a plan names for each table.
const SHOWN: usize = 10;

/// How many characters of a key are shown.
const SHOWN_KEY: usize = 60;

/// The kinds of columns whose order and equality are the same in a statement as in the index.
const KEY_KINDS: [&str; 16] = [
    "tinyint",
    "smallint",
    "mediumint",
    "int",
    "bigint",
    "decimal",
    "char",
    "varchar",
    "binary",
    "varbinary",
    "date",
    "datetime",
    "timestamp",
    "time",
    "year",
    "integer",
];

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// `bigint`, `varchar`, …
    pub kind: String,
    /// Everything that has to be the same on both nodes for a row to fit.
    pub definition: String,
    /// The character set and collation of a text.
    pub text: Option<(String, String)>,
    /// Whether the server computes it.
    pub computed: bool,
}

/// What a table is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// The columns by which a row is known, by index; none where it has no key that can be used.
    pub key: Vec<usize>,
    /// Whether writing to it sets something else off.
    pub triggers: bool,
}

/// A range of keys, by ids: behind the lower one, up to and with the upper one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// Nothing is before the first.
    pub lower: Option<String>,
    /// Nothing is behind the last.
    pub upper: Option<String>,
}

/// A row that is not the same on both nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which row.
    pub id: String,
    /// Its fingerprint here, or how often it is there in a table without a key.
    pub here: Option<String>,
    /// The same at the primary.
    pub there: Option<String>,
}

/// What has to be done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The primary has it, and the secondary does not.
    Insert,
    /// Both have it, and the primary's holds.
    Update,
    /// Only the secondary has it.
    Delete,
    /// Only the secondary has it, and it must not be lost: it is sent to the primary once more.
    Merge,
}

/// The values of a row: hexadecimal, `None` for NULL. It has no `Debug` form: they are secrets.
pub struct Values(pub Vec<Option<String>>);

impl Values {
    /// How long they are in a statement, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|value| 10 + value.as_ref().map_or(0, String::len)).sum()
    }
}

impl Shape {
    /// Whether another node's table of the same name can hold the same rows.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        let defined = |shape: &Self| -> Vec<(String, String)> {
            shape.columns.iter().map(|c| (c.name.to_lowercase(), c.definition.clone())).collect()
        };
        self.key == other.key && defined(self) == defined(other)
    }

    /// Takes a key, if all its columns can be ordered in a statement as in the index.
    #[must_use]
    pub fn usable_key(columns: &[Column], names: &[String]) -> Vec<usize> {
        let index = |name: &String| {
            let found = columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))?;
            KEY_KINDS.contains(&columns[found].kind.as_str()).then_some(found)
        };
        names.iter().map(index).collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    /// Whether its rows are known by a key.
    #[must_use]
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// `schema`.`table`.
    #[must_use]
    pub fn full_name(&self, schema: &str) -> String {
        format!("{}.{}", quote_name(schema), quote_name(&self.name))
    }

    fn written(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.computed)
    }

    /// The names of the columns that can be written, quoted.
    #[must_use]
    pub fn column_names(&self) -> String {
        self.written().map(|column| quote_name(&column.name)).collect::<Vec<_>>().join(", ")
    }

    fn fingerprint(&self) -> String {
        // SHA2 is the one that every server still has. Column by column: a text of all the values may be longer than the server allows.
        let parts: Vec<String> =
            self.written().map(|column| format!("IFNULL(SHA2({}, 256), '-')", column.bytes())).collect();
        format!("SHA2(CONCAT_WS(',', {}), 256)", parts.join(", "))
    }

    fn id(&self) -> String {
        if self.key.is_empty() {
            return self.fingerprint();
        }
        let parts: Vec<String> =
            self.key.iter().map(|at| format!("HEX({})", self.columns[*at].bytes())).collect();
        format!("CONCAT_WS(',', {})", parts.join(", "))
    }

    fn order(&self) -> String {
        self.key.iter().map(|at| quote_name(&self.columns[*at].name)).collect::<Vec<_>>().join(", ")
    }

    /// Compares the key with an id: `after` for behind it, else up to and with it.
    fn bound(&self, id: &str, after: bool) -> String {
        let parts: Vec<(String, String)> = self
            .key
            .iter()
            .zip(id.split(','))
            .map(|(at, hex)| (quote_name(&self.columns[*at].name), self.columns[*at].key_literal(hex)))
            .collect();
        let mut alternatives = Vec::new();
        for (last, (name, value)) in parts.iter().enumerate() {
            let mut all: Vec<String> =
                parts[..last].iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let compare = match (after, last + 1 == parts.len()) {
                (true, _) => ">",
                (false, true) => "<=",
                (false, false) => "<",
            };
            all.push(format!("{name} {compare} {value}"));
            alternatives.push(format!("({})", all.join(" AND ")));
        }
        // The first column alone lets the server use the index.
        let first = parts.first().map(|(name, value)| {
            let compare = if after { ">=" } else { "<=" };
            format!("{name} {compare} {value} AND ")
        });
        format!("({}({}))", first.unwrap_or_default(), alternatives.join(" OR "))
    }

    fn within(&self, range: &Range) -> String {
        let bounds = [(&range.lower, true), (&range.upper, false)];
        let parts: Vec<String> =
            bounds.into_iter().filter_map(|(id, after)| Some(self.bound(id.as_ref()?, after))).collect();
        if parts.is_empty() { "1 = 1".into() } else { parts.join(" AND ") }
    }

    /// Says which rows have one of these ids.
    fn among(&self, ids: &[&str]) -> String {
        if self.key.is_empty() {
            let ids: Vec<String> = ids.iter().map(|id| quote(id)).collect();
            return format!("{} IN ({})", self.fingerprint(), ids.join(", "));
        }
        let of = |id: &&str| {
            let parts = self.key.iter().zip(id.split(','));
            let equal = parts.map(|(at, hex)| {
                let column = &self.columns[*at];
                format!("{} = {}", quote_name(&column.name), column.key_literal(hex))
            });
            format!("({})", equal.collect::<Vec<_>>().join(" AND "))
        };
        format!("({})", ids.iter().map(of).collect::<Vec<_>>().join(" OR "))
    }

    /// Asks for the id (`pmp_ha_id`) of the row `rows` rows behind the lower bound.
    #[must_use]
    pub fn next_bound(&self, schema: &str, lower: Option<&str>, rows: usize) -> Sql {
        let range = Range { lower: lower.map(ToOwned::to_owned), upper: None };
        Sql::new(format!(
            "SELECT {} AS pmp_ha_id FROM {} WHERE {} ORDER BY {} LIMIT 1 OFFSET {}",
            self.id(),
            self.full_name(schema),
            self.within(&range),
            self.order(),
            rows.saturating_sub(1)
        ))
    }

    /// Asks for the number of rows (`pmp_ha_rows`) and a checksum (`pmp_ha_sum`) of a range.
    #[must_use]
    pub fn summary(&self, schema: &str, range: &Range) -> Sql {
        // Of 60 bits each: MySQL 5.6 gives every number of 64 bits with the highest one set as the
        // same one, and two different sums would be equal.
        let part = |from: usize| {
            format!("BIT_XOR(CAST(CONV(SUBSTRING({}, {from}, 15), 16, 10) AS UNSIGNED))", self.fingerprint())
        };
        Sql::new(format!(
            "SELECT COUNT(*) AS pmp_ha_rows, CONCAT({}, '-', {}) AS pmp_ha_sum FROM {} WHERE {}",
            part(1),
            part(16),
            self.full_name(schema),
            self.within(range)
        ))
    }

    /// Asks for the id (`pmp_ha_id`) and the fingerprint (`pmp_ha_print`) of each row of a range.
    #[must_use]
    pub fn prints(&self, schema: &str, range: &Range) -> Sql {
        self.prints_where(schema, &self.within(range))
    }

    /// As [`Self::prints`], for the rows of these ids.
    #[must_use]
    pub fn prints_of(&self, schema: &str, ids: &[&str]) -> Sql {
        self.prints_where(schema, &self.among(ids))
    }

    fn prints_where(&self, schema: &str, condition: &str) -> Sql {
        let table = self.full_name(schema);
        Sql::new(if self.key.is_empty() {
            format!(
                "SELECT {} AS pmp_ha_id, COUNT(*) AS pmp_ha_print FROM {table} WHERE {condition} GROUP BY pmp_ha_id",
                self.id()
            )
        } else {
            format!(
                "SELECT {} AS pmp_ha_id, {} AS pmp_ha_print FROM {table} WHERE {condition}",
                self.id(),
                self.fingerprint()
            )
        })
    }

    /// Asks for the rows of these ids: the id, the fingerprint, and each column as `N` for NULL or
    /// `V` and hexadecimal digits. A value that is too long for the server comes as NULL itself.
    #[must_use]
    pub fn rows_of(&self, schema: &str, ids: &[&str]) -> Sql {
        let columns: Vec<String> = self
            .written()
            .map(|column| {
                let bytes = column.bytes();
                format!("IF({} IS NULL, 'N', CONCAT('V', HEX({bytes})))", quote_name(&column.name))
            })
            .collect();
        Sql::new(format!(
            "SELECT {} AS pmp_ha_id, {} AS pmp_ha_print, {} FROM {} WHERE {}",
            self.id(),
            self.fingerprint(),
            columns.join(", "),
            self.full_name(schema),
            self.among(ids)
        ))
    }

    /// Writes rows: `INSERT`, or `REPLACE` where a row in the way has to go.
    #[must_use]
    pub fn write(&self, verb: &str, schema: &str, rows: &[&Values]) -> Sql {
        let literals: Vec<String> = rows.iter().map(|row| format!("({})", self.literals(row))).collect();
        Sql::new(format!(
            "{verb} INTO {} ({}) VALUES {}",
            self.full_name(schema),
            self.column_names(),
            literals.join(", ")
        ))
    }

    fn literals(&self, row: &Values) -> String {
        let literal = |(column, value): (&Column, &Option<String>)| match value {
            None => "NULL".to_owned(),
            // A JSON column takes no binary text.
            Some(hex) if column.kind == "json" => format!("CONVERT(UNHEX('{hex}') USING utf8mb4)"),
            Some(hex) => format!("UNHEX('{hex}')"),
        };
        self.written().zip(&row.0).map(literal).collect::<Vec<_>>().join(", ")
    }

    /// Removes the rows of these ids; in a table without a key at most `limit` of them.
    #[must_use]
    pub fn delete(&self, schema: &str, ids: &[&str], limit: Option<u64>) -> Sql {
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        Sql::new(format!("DELETE FROM {} WHERE {}{limit}", self.full_name(schema), self.among(ids)))
    }

    /// Copies the rows of these ids into another table of the same shape.
    #[must_use]
    pub fn copy_rows(&self, schema: &str, into: &str, ids: &[&str], limit: Option<u64>) -> Sql {
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        Sql::new(format!(
            "INSERT INTO {into} ({columns}) SELECT {columns} FROM {} WHERE {}{limit}",
            self.full_name(schema),
            self.among(ids),
            columns = self.column_names()
        ))
    }

    /// The key of a row for people.
    #[must_use]
    pub fn shown(&self, id: &str) -> String {
        if self.key.is_empty() {
            return "a row without a key".into();
        }
        let text = |hex: &str| String::from_utf8_lossy(&unhex(hex)).into_owned();
        let parts: Vec<String> = self
            .key
            .iter()
            .zip(id.split(','))
            .map(|(at, hex)| if self.columns[*at].is_binary() { format!("0x{hex}") } else { text(hex) })
            .collect();
        let mut shown: String =
            parts.join("/").chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        if let Some((cut, _)) = shown.char_indices().nth(SHOWN_KEY) {
            shown.truncate(cut);
            shown.push('…');
        }
        shown
    }

    /// What has to be done about a difference; `None` where the row is left alone.
    #[must_use]
    pub fn change(&self, pair: &Pair, difference: &Difference) -> Option<(Change, u64)> {
        let only_here = || {
            if pair.audit_tables.contains(&self.name) {
                Some(Change::Merge)
            } else if pair.local_tables.contains(&self.name) {
                None
            } else {
                Some(Change::Delete)
            }
        };
        if self.key.is_empty() {
            let count = |side: &Option<String>| side.as_ref().and_then(|n| n.parse().ok()).unwrap_or(0u64);
            let (here, there) = (count(&difference.here), count(&difference.there));
            return match here.cmp(&there) {
                std::cmp::Ordering::Less => Some((Change::Insert, there - here)),
                std::cmp::Ordering::Equal => None,
                std::cmp::Ordering::Greater => only_here().map(|change| (change, here - there)),
            };
        }
        match (&difference.here, &difference.there) {
            (None, None) => None,
            (None, Some(_)) => Some((Change::Insert, 1)),
            (Some(here), Some(there)) => (here != there).then_some((Change::Update, 1)),
            (Some(_), None) => only_here().map(|change| (change, 1)),
        }
    }

    /// Sums up what has to be done, for a plan.
    #[must_use]
    pub fn sum_up(&self, pair: &Pair, differences: &[Difference]) -> Option<TableChange> {
        let mut out = TableChange { table: self.name.clone(), ..TableChange::default() };
        for difference in differences {
            let Some((change, rows)) = self.change(pair, difference) else { continue };
            match change {
                Change::Insert => out.insert += rows,
                Change::Update => out.update += rows,
                Change::Delete => out.delete += rows,
                Change::Merge => out.merge += rows,
            }
            if out.keys.len() < SHOWN {
                out.keys.push(self.shown(&difference.id));
            } else {
                out.more += 1;
            }
        }
        (out != TableChange { table: self.name.clone(), ..TableChange::default() }).then_some(out)
    }
}

impl Column {
    fn is_binary(&self) -> bool {
        matches!(self.kind.as_str(), "binary" | "varbinary")
    }

    /// The value as bytes that give the same value when they are written.
    fn bytes(&self) -> String {
        let name = quote_name(&self.name);
        // As a text a FLOAT loses digits.
        if self.kind == "float" {
            return format!("CAST({name} + 0e0 AS BINARY)");
        }
        format!("CAST({name} AS BINARY)")
    }

    /// A value of a key as a constant that the index can be searched for.
    fn key_literal(&self, hex: &str) -> String {
        let text = String::from_utf8_lossy(&unhex(hex)).into_owned();
        let number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '-' || c == '.');
        match (&self.text, self.kind.as_str()) {
            (Some((charset, collation)), _) => {
                format!("CONVERT(UNHEX('{hex}') USING {charset}) COLLATE {collation}")
            }
            (None, "binary" | "varbinary") => format!("UNHEX('{hex}')"),
            (None, "date" | "datetime" | "timestamp" | "time") => quote(&text),
            (None, _) if number => text,
            (None, _) => quote(&text),
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    (0..hex.len()).step_by(2).filter_map(digit).collect()
}

/// The tables of `schema` that an error message of the applier names, in lower case.
#[must_use]
pub fn tables_named(message: &str, schema: &str) -> Vec<String> {
    let message = message.to_lowercase().replace('`', "");
    let start = format!("{}.", schema.to_lowercase());
    let mut out = Vec::new();
    for (at, _) in message.match_indices(&start) {
        let opens = message[..at].chars().next_back().is_none_or(|c| " '\"(,".contains(c));
        let name: String = message[at + start.len()..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || "_$".contains(*c))
            .collect();
        if opens && !name.is_empty() && !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// The rows that are not the same, of two lists of fingerprints by id.
#[must_use]
pub fn differing(here: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> Vec<Difference> {
    let ids = here.keys().chain(there.keys().filter(|id| !here.contains_key(*id)));
    ids.filter(|id| here.get(*id) != there.get(*id))
        .map(|id| Difference { id: id.clone(), here: here.get(id).cloned(), there: there.get(id).cloned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column {
            name: name.into(),
            kind: kind.into(),
            definition: kind.into(),
            text: (kind == "varchar").then(|| ("utf8".into(), "utf8_bin".into())),
            computed: false,
        }
    }

    fn shape(name: &str, key: &[usize]) -> Shape {
        let columns = vec![column("A", "bigint"), column("B", "varchar")];
        Shape { name: name.into(), columns, key: key.into(), triggers: false }
    }

    fn difference(here: Option<&str>, there: Option<&str>) -> Difference {
        Difference { id: "3132,61".into(), here: here.map(Into::into), there: there.map(Into::into) }
    }

    #[test]
    fn what_is_done_depends_on_the_table_and_audit_rows_are_never_deleted() {
        let pair = Pair::example();
        let done = |name, here, there| shape(name, &[0]).change(&pair, &difference(here, there)).map(|c| c.0);
        assert_eq!(done("x", None, Some("1")), Some(Change::Insert));
        assert_eq!(done("x", Some("2"), Some("1")), Some(Change::Update));
        assert_eq!(done("x", Some("2"), None), Some(Change::Delete));
        assert_eq!(done("Ptrx_UserAudit", Some("2"), None), Some(Change::Merge));
        assert_eq!(done("ptrx_useraudit", Some("2"), Some("1")), Some(Change::Update));
    }

    #[test]
    fn rows_without_a_key_are_counted() {
        let pair = Pair::example();
        let done = |here, there| shape("x", &[]).change(&pair, &difference(here, there));
        assert_eq!(done(Some("1"), Some("3")), Some((Change::Insert, 2)));
        assert_eq!(done(Some("3"), None), Some((Change::Delete, 3)));
        assert_eq!(done(Some("3"), Some("3")), None);
    }

    #[test]
    fn a_range_of_a_key_of_two_columns_is_behind_the_one_and_up_to_the_other() {
        let range = Range { lower: Some("3132,61".into()), upper: None };
        let sql = shape("x", &[0, 1]).within(&range);
        let text = "CONVERT(UNHEX('61') USING utf8) COLLATE utf8_bin";
        assert_eq!(sql, format!("(`A` >= 12 AND ((`A` > 12) OR (`A` = 12 AND `B` > {text})))"));
    }

    #[test]
    fn keys_are_shown_and_bounded() {
        assert_eq!(shape("x", &[0, 1]).shown("3132,61"), "12/a");
        let many: Vec<Difference> = (0..12).map(|_| difference(None, Some("1"))).collect();
        let summed = shape("x", &[0, 1]).sum_up(&Pair::example(), &many).expect("a change");
        assert_eq!((summed.insert, summed.keys.len(), summed.more), (12, 10, 2));
    }

    #[test]
    fn the_tables_are_found_in_what_each_server_says() {
        for message in [
            "Could not execute Write_rows event on table passtrix.ptrx_settings; Duplicate entry 'a' for key",
            "Error executing row event: 'Table 'passtrix.Ptrx_Settings' doesn't exist'",
            "Error 'Table `passtrix`.`ptrx_settings` doesn't exist'",
        ] {
            assert_eq!(tables_named(message, "passtrix"), ["ptrx_settings"], "{message}");
        }
        assert_eq!(
            tables_named("on table mypasstrix.x; passtrix. nothing", "passtrix"),
            Vec::<String>::new()
        );
    }
}
