//! What a comparison that is cut off has to remember.

use serde::{Deserialize, Serialize};

use super::super::table::range::Bound;
use super::report::TableDifference;

/// `replication/pmp-ha-deep.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`State::FORMAT`].
    pub format: u32,
    /// The name of the run in the servers' own table.
    pub run: String,
    /// When it began.
    pub begun: String,
    /// The pair that is compared.
    pub pair: String,
    /// The tables that were asked for; empty for all.
    pub wanted: Vec<String>,
    /// The tables that are done.
    pub done: Vec<String>,
    /// The rows of the tables that are done.
    pub rows: u64,
    /// The table that is walked.
    pub current: Option<Current>,
    /// What was found so far.
    pub differences: Vec<TableDifference>,
}

/// A table that is walked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Current {
    /// The table.
    pub table: String,
    /// The columns of the key that orders its rows.
    pub key: Vec<String>,
    /// The first number that no piece up to `lower` bears.
    pub next_chunk: u32,
    /// How far it was walked.
    pub lower: Option<Bound>,
    /// How far it will be, for a table that both nodes write.
    pub end: Option<Bound>,
    /// The rows that were compared.
    pub rows: u64,
    /// How many rows are taken next.
    pub size: u64,
}

impl State {
    /// The format that this version writes.
    pub const FORMAT: u32 = 1;

    /// A run that begins.
    #[must_use]
    pub fn new(run: String, begun: String, pair: &str, wanted: &[String]) -> Self {
        Self {
            format: Self::FORMAT,
            run,
            begun,
            pair: pair.to_owned(),
            wanted: wanted.to_vec(),
            done: Vec::new(),
            rows: 0,
            current: None,
            differences: Vec::new(),
        }
    }

    /// Whether a run for this pair and these tables can resume here.
    #[must_use]
    pub fn fits(&self, pair: &str, wanted: &[String]) -> bool {
        self.format == Self::FORMAT && self.pair == pair && self.wanted == wanted
    }

    /// Whether a table is incomplete, and cannot resume with this key.
    #[must_use]
    pub fn must_restart(&self, table: &str, key: &[String]) -> bool {
        self.current.as_ref().is_some_and(|left| left.table == table && left.key != key)
    }

    /// Takes a table up: where it was left, or at its beginning. Numbers are never given twice.
    pub fn enter(&mut self, table: &str, key: &[String], first_size: u64) -> &mut Current {
        let left = self.current.take().filter(|left| left.table == table);
        let next_chunk = left.as_ref().map_or(0, |left| left.next_chunk);
        let left = left.filter(|left| left.key == key);
        if left.is_none() {
            self.differences.retain(|difference| difference.table != table);
        }
        self.current.insert(left.unwrap_or_else(|| Current {
            table: table.to_owned(),
            key: key.to_vec(),
            next_chunk,
            lower: None,
            end: None,
            rows: 0,
            size: first_size,
        }))
    }

    /// Notes that a table is done.
    pub fn leave(&mut self, table: &str) {
        self.rows += self.current.take().map_or(0, |current| current.rows);
        self.done.push(table.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::What;
    use super::*;

    #[test]
    fn a_table_goes_on_where_it_was_left_unless_its_key_is_another_one() {
        let mut state = State::new("r".into(), "now".into(), "p", &[]);
        let key = ["a".to_owned()];
        state.enter("t", &key, 1000).rows = 7;
        state.differences.push(TableDifference { table: "t".into(), what: What::OnlyOnPrimary });
        let mut again: State =
            serde_json::from_str(&serde_json::to_string(&state).expect("JSON")).expect("a state");
        assert_eq!(again.enter("t", &key, 1000).rows, 7);
        assert_eq!(again.differences.len(), 1);
        let other = ["b".to_owned()];
        assert!(again.must_restart("t", &other) && !again.must_restart("t", &key));
        assert_eq!(again.enter("t", &other, 1000).rows, 0);
        assert_eq!(again.differences, []);
        state.leave("t");
        assert_eq!((state.rows, state.done, state.current), (7, vec!["t".to_owned()], None));
    }
}
