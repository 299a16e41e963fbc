//! The figures of a piece of a table, as SQL: how many rows, and a number of 128 bits for what is
//! in them, whatever their order.

use std::fmt::Write;

use super::super::flavor::Flavor;
use super::super::settings::OWN_SCHEMA;
use super::super::sql::{Sql, quote, quote_name};
use super::range::{Range, as_json, condition};
use super::state::State;
use super::table::{Column, Key};

/// The digest of a row. No two different rows have the same text under it: NULL is not the empty
/// text, and the length of each text says where it ends.
#[must_use]
pub fn row(flavor: &Flavor, columns: &[Column]) -> String {
    let mut parts = Vec::new();
    let (mut lengths, mut nulls) = (Vec::new(), Vec::new());
    for column in columns {
        let name = quote_name(&column.name);
        parts.push(match column.kind.as_str() {
            // The text of a FLOAT has six digits, and it has more.
            "float" | "double" => format!("{name} + 0e0"),
            // By their number: a value that no member stands for has none of its own in words.
            "bit" | "enum" | "set" => format!("{name} + 0"),
            // The bytes themselves, so that columns of different character sets can stand together.
            "char" | "varchar" | "binary" | "varbinary" => {
                lengths.push(format!("LENGTH({name})"));
                format!("CAST({name} AS BINARY)")
            }
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" | "date"
            | "time" | "datetime" | "timestamp" => name.clone(),
            // However large they are, the whole stays below max_allowed_packet, and is never NULL.
            _ => flavor.digest(&name),
        });
        if column.nullable {
            nulls.push(format!("ISNULL({name})"));
        }
    }
    if !lengths.is_empty() {
        parts.push(format!("CONCAT_WS(',', {})", lengths.join(", ")));
    }
    if !nulls.is_empty() {
        parts.push(format!("CONCAT({})", nulls.join(", ")));
    }
    flavor.digest(&format!("CONCAT_WS('#', {})", parts.join(", ")))
}

/// The number for all rows: 64 bits of their digests joined by exclusive or, the next 64 added up,
/// so that two rows that are the same do not cancel each other.
fn rows(flavor: &Flavor, columns: &[Column]) -> String {
    let row = row(flavor, columns);
    let half = |from: u32| format!("CAST(CONV(SUBSTRING({row}, {from}, 16), 16, 10) AS UNSIGNED)");
    format!("CONCAT(LOWER(HEX(BIT_XOR({}))), '.', COALESCE(SUM({}), 0))", half(1), half(17))
}

/// A piece of a table that is compared.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The servers.
    pub flavor: &'a Flavor,
    /// The schema of the product.
    pub schema: &'a str,
    /// The table.
    pub table: &'a str,
    /// Its columns.
    pub columns: &'a [Column],
    /// The key by which it is walked.
    pub key: Option<&'a Key>,
    /// The range of keys.
    pub range: &'a Range,
}

impl Piece<'_> {
    /// The table as statements name it.
    #[must_use]
    pub fn from(&self) -> String {
        format!("{}.{}", quote_name(self.schema), quote_name(self.table))
    }

    fn source(&self) -> String {
        let index = self.key.map(|key| format!(" FORCE INDEX ({})", quote_name(&key.index)));
        let range = self.key.and_then(|key| condition(key, self.range)).map(|text| format!(" WHERE {text}"));
        format!("{}{}{}", self.from(), index.unwrap_or_default(), range.unwrap_or_default())
    }

    /// The statement that makes each node note its own figures. Nothing in it depends on the node:
    /// it is replicated as it stands.
    #[must_use]
    pub fn insert(&self, run: &str, chunk: u32) -> Sql {
        let bound = |bound: Option<&super::range::Bound>| {
            bound.map_or("NULL".to_owned(), |bound| quote(&as_json(bound)))
        };
        Sql::new(format!(
            "INSERT INTO {OWN_SCHEMA}.checksum (run, tbl, chunk, lower_key, upper_key, rows_here, crc_here) \
             SELECT {}, {}, {chunk}, {}, {}, COUNT(*), {} FROM {}",
            quote(run),
            quote(self.table),
            bound(self.range.lower.as_ref()),
            bound(self.range.upper.as_ref()),
            rows(self.flavor, self.columns),
            self.source()
        ))
    }

    /// Asks for each row's key and digest (`t0`, …, `h0`, …, `digest`), on one node.
    #[must_use]
    pub fn rows_query(&self, key: &Key) -> Sql {
        let keys = super::range::key_values(key);
        Sql::new(format!(
            "SELECT {keys}, {} AS digest FROM {}",
            row(self.flavor, self.columns),
            self.source()
        ))
    }
}

/// The row of a piece.
fn one(run: &str, table: &str, chunk: u32) -> String {
    format!("run = {} AND tbl = {} AND chunk = {chunk}", quote(run), quote(table))
}

/// Asks for this node's own figures.
#[must_use]
pub fn own_query(run: &str, table: &str, chunk: u32) -> Sql {
    let one = one(run, table, chunk);
    Sql::new(format!("SELECT rows_here, crc_here FROM {OWN_SCHEMA}.checksum WHERE {one}"))
}

/// Asks the secondary for its figures, once those of the primary have come after them.
#[must_use]
pub fn arrived_query(run: &str, table: &str, chunk: u32) -> Sql {
    let one = one(run, table, chunk);
    Sql::new(format!(
        "SELECT rows_here, crc_here FROM {OWN_SCHEMA}.checksum WHERE {one} AND rows_source IS NOT NULL"
    ))
}

/// Sends the primary's figures after the statement, as values.
#[must_use]
pub fn tell_source(run: &str, table: &str, chunk: u32, rows: u64, crc: &str) -> Sql {
    Sql::new(format!(
        "UPDATE {OWN_SCHEMA}.checksum SET rows_source = {rows}, crc_source = {} WHERE {}",
        quote(crc),
        one(run, table, chunk)
    ))
}

/// Takes the row of a piece back that was judged anew.
#[must_use]
pub fn drop_one(run: &str, table: &str, chunk: u32) -> Sql {
    Sql::new(format!("DELETE FROM {OWN_SCHEMA}.checksum WHERE {}", one(run, table, chunk)))
}

/// Takes back what was noted of a table.
#[must_use]
pub fn drop_table(run: &str, table: &str) -> Sql {
    Sql::new(format!(
        "DELETE FROM {OWN_SCHEMA}.checksum WHERE run = {} AND tbl = {}",
        quote(run),
        quote(table)
    ))
}

/// Takes back what a run that was cut off has noted beyond what it remembers.
#[must_use]
pub fn drop_forgotten(state: &State) -> Sql {
    let mut out = format!("DELETE FROM {OWN_SCHEMA}.checksum WHERE run = {}", quote(&state.run));
    for table in &state.done {
        // ignored: a text takes everything
        let _ = write!(out, " AND tbl <> {}", quote(table));
    }
    if let Some(current) = &state.current {
        // ignored: a text takes everything
        let _ = write!(out, " AND NOT (tbl = {} AND chunk < {})", quote(&current.table), current.next_chunk);
    }
    Sql::new(out)
}

/// Takes every other run back.
#[must_use]
pub fn drop_other_runs(run: &str) -> Sql {
    Sql::new(format!("DELETE FROM {OWN_SCHEMA}.checksum WHERE run <> {}", quote(run)))
}

#[cfg(test)]
mod tests {
    use super::super::super::flavor::ServerVersion;
    use super::super::table::tests::column;
    use super::*;

    fn old() -> &'static Flavor {
        Flavor::of(&ServerVersion::parse("5.6.24").expect("a version")).expect("a row")
    }

    #[test]
    fn a_row_cannot_be_mistaken_for_another_one() {
        let mut text = column("b", "varchar");
        text.nullable = true;
        let columns = [column("a", "int"), text, column("f", "float"), column("t", "longtext")];
        assert_eq!(
            row(old(), &columns),
            "MD5(CONCAT_WS('#', `a`, CAST(`b` AS BINARY), `f` + 0e0, MD5(`t`), \
             CONCAT_WS(',', LENGTH(`b`)), CONCAT(ISNULL(`b`))))"
        );
    }

    #[test]
    fn the_statement_says_the_same_on_every_node() {
        let columns = [column("a", "int")];
        let range = Range::default();
        let piece =
            Piece { flavor: old(), schema: "s", table: "t'", columns: &columns, key: None, range: &range };
        let text = piece.insert("r", 3).text().to_owned();
        assert!(text.contains("SELECT 'r', 't''', 3, NULL, NULL, COUNT(*), CONCAT("), "{text}");
        assert!(text.ends_with(" FROM `s`.`t'`"), "{text}");
        for unsafe_word in ["@@", "NOW", "UUID", "RAND", "LIMIT", "IGNORE", "REPLACE"] {
            assert!(!text.contains(unsafe_word), "{text}");
        }
    }
}
