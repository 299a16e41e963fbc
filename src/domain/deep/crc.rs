//! The figures that each node stores for a piece of a table: number of rows, and their digest.

use std::fmt::Write;

use super::super::settings::OWN_SCHEMA;
use super::super::sql::{Sql, quote};
use super::super::table::range::{Bound, Range, as_json};
use super::super::table::rows::Rows;
use super::state::State;

/// A piece of a table that is compared.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// The table's rows.
    pub rows: &'a Rows<'a>,
    /// The range of keys.
    pub range: &'a Range,
}

impl Piece<'_> {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.rows.shape.name
    }

    /// The statement that makes each node record its own figures.
    ///
    /// Nothing in it depends on the node, so it is replicated unchanged.
    #[must_use]
    pub fn insert(&self, run: &str, chunk: u32) -> Sql {
        let bound = |bound: Option<&Bound>| bound.map_or("NULL".to_owned(), |bound| quote(&as_json(bound)));
        Sql::new(format!(
            "INSERT INTO {OWN_SCHEMA}.checksum (run, tbl, chunk, lower_key, upper_key, rows_here, crc_here) \
             SELECT {}, {}, {chunk}, {}, {}, {} FROM {}",
            quote(run),
            quote(self.table()),
            bound(self.range.lower.as_ref()),
            bound(self.range.upper.as_ref()),
            self.rows.figures(),
            self.rows.within(self.range)
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

/// Removes the row of a piece that was judged again.
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
    use super::super::super::flavor::{Flavor, ServerVersion};
    use super::super::super::table::Shape;
    use super::super::super::table::tests::column;
    use super::*;

    #[test]
    fn the_statement_says_the_same_on_every_node() {
        let old = Flavor::of(&ServerVersion::parse("5.6.24").expect("a version")).expect("a row");
        let shape = Shape { name: "t'".into(), columns: vec![column("a", "int")], ..Shape::default() };
        let (rows, range) = (Rows::of(old, "s", &shape), Range::default());
        let text = Piece { rows: &rows, range: &range }.insert("r", 3).text().to_owned();
        assert!(text.contains("SELECT 'r', 't''', 3, NULL, NULL, COUNT(*), CONCAT("), "{text}");
        assert!(text.ends_with(" FROM `s`.`t'`"), "{text}");
        for unsafe_word in ["@@", "NOW", "UUID", "RAND", "LIMIT", "IGNORE", "REPLACE"] {
            assert!(!text.contains(unsafe_word), "{text}");
        }
    }
}
