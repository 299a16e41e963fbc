//! One notion of a table, of a row and of equality, for `verify --deep` and for `repair`.
//!
//! The two look at a pair from two sides: the one lets the servers compute through replication, the
//! other reads both nodes. Which tables count, what a table is made of, by which key it is walked and
//! when two rows are equal they ask here, so that they cannot disagree.

pub mod change;
pub mod column;
pub mod equality;
pub mod names;
pub mod range;
pub mod rows;
pub mod structure;

use super::sql::{Sql, quote};
use column::{Column, KeyKind};

/// A unique index. A column is `None` where the index holds an expression or a part of it only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueIndex {
    /// Its name.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<Option<String>>,
    /// Whether statements may ask for it.
    pub usable: bool,
}

/// A table as one node describes it. Without columns the table is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Its name, as the server writes it.
    pub name: String,
    /// The engine that holds its rows; `None` where the server cannot open it.
    pub engine: Option<String>,
    /// In the order of the table, by which rows are replicated.
    pub columns: Vec<Column>,
    /// The unique indexes, by name.
    pub unique: Vec<UniqueIndex>,
    /// Whether writing to it fires a trigger. This is not a difference by itself.
    pub triggers: bool,
}

/// A column of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// How its values are written.
    pub kind: KeyKind,
    /// The character set of a text.
    pub charset: String,
}

/// The unique key that orders a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The name of the index.
    pub index: String,
    /// Its columns, none of which can be NULL.
    pub columns: Vec<KeyColumn>,
}

impl Key {
    /// The names of its columns.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// The kinds of tables that hold rows.
const KINDS: &str = "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";

fn of(schema: &str, table: Option<&str>) -> String {
    let table = table.map(|table| format!(" AND TABLE_NAME = {}", quote(table))).unwrap_or_default();
    format!("TABLE_SCHEMA = {}{table}", quote(schema))
}

/// Queries the names (`tbl`) of a schema's tables, or one of them, even if unreadable.
///
/// MySQL 5.6 hides tables that it cannot open if the query asks for anything more.
#[must_use]
pub fn names_query(schema: &str, table: Option<&str>) -> Sql {
    Sql::new(format!(
        "SELECT TABLE_NAME AS tbl FROM information_schema.TABLES WHERE {} AND {KINDS} ORDER BY TABLE_NAME",
        of(schema, table)
    ))
}

/// Queries the tables of a schema, or one: `tbl`, `bytes`, `estimate` of the rows, `engine`.
#[must_use]
pub fn tables_query(schema: &str, table: Option<&str>) -> Sql {
    Sql::new(format!(
        "SELECT TABLE_NAME AS tbl, DATA_LENGTH AS bytes, TABLE_ROWS AS estimate, ENGINE AS engine \
         FROM information_schema.TABLES WHERE {} AND {KINDS} ORDER BY TABLE_NAME",
        of(schema, table)
    ))
}

/// Asks for the columns of the tables of a schema, or of one of them, in order.
#[must_use]
pub fn columns_query(schema: &str, table: Option<&str>) -> Sql {
    Sql::new(format!(
        "SELECT TABLE_NAME AS tbl, COLUMN_NAME AS name, DATA_TYPE AS kind, COLUMN_TYPE AS full_type, \
         IS_NULLABLE AS nullable, CHARACTER_SET_NAME AS cs, COLLATION_NAME AS coll, \
         COLUMN_DEFAULT AS preset, EXTRA AS extra FROM information_schema.COLUMNS \
         WHERE {} ORDER BY TABLE_NAME, ORDINAL_POSITION",
        of(schema, table)
    ))
}

/// Queries the unique indexes, with all columns.
///
/// In some servers, a column shows whether statements may name an index.
#[must_use]
pub fn unique_query(schema: &str, table: Option<&str>) -> Sql {
    Sql::new(format!(
        "SELECT * FROM information_schema.STATISTICS WHERE {} AND NON_UNIQUE = 0 \
         ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
        of(schema, table)
    ))
}

/// Asks for the tables that have triggers: `tbl`.
#[must_use]
pub fn triggers_query(schema: &str) -> Sql {
    Sql::new(format!(
        "SELECT DISTINCT EVENT_OBJECT_TABLE AS tbl FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {}",
        quote(schema)
    ))
}

impl Shape {
    /// Whether the table is there at all.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The key that orders the table: the primary key, or another one that is as good.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let key_of = |index: &UniqueIndex| -> Option<Key> {
            let column_of = |name: &Option<String>| {
                let name = name.as_ref()?;
                let column = self.columns.iter().find(|column| &column.name == name)?;
                let kind = column.key_kind()?;
                let charset = column.charset.clone().unwrap_or_default();
                (!column.nullable).then(|| KeyColumn { name: name.clone(), kind, charset })
            };
            let columns = index.columns.iter().map(column_of).collect::<Option<Vec<_>>>()?;
            index.usable.then(|| Key { index: index.name.clone(), columns })
        };
        let primary = self.unique.iter().filter(|index| index.name == "PRIMARY");
        let others = self.unique.iter().filter(|index| index.name != "PRIMARY");
        primary.chain(others).find_map(key_of)
    }

    /// What is different about the same table of the secondary, in words. Nothing of it means that the
    /// secondary's table can hold the same rows, and treats them alike.
    #[must_use]
    pub fn differences(&self, secondary: &Self) -> Vec<String> {
        let mut out = Vec::new();
        for column in &self.columns {
            match secondary.columns.iter().find(|other| other.name == column.name) {
                None => out.push(format!("only the primary has the column {}", column.name)),
                Some(other) if other != column => out.push(format!(
                    "the column {} is {} on the primary and {} on the secondary",
                    column.name,
                    column.in_words(),
                    other.in_words()
                )),
                Some(_) => {}
            }
        }
        for column in &secondary.columns {
            if !self.columns.iter().any(|other| other.name == column.name) {
                out.push(format!("only the secondary has the column {}", column.name));
            }
        }
        if out.is_empty() && self.columns != secondary.columns {
            out.push("the columns are in another order".into());
        }
        if self.unique != secondary.unique {
            out.push("the unique keys are not the same".into());
        }
        if self.engine != secondary.engine {
            let of = |shape: &Self| shape.engine.clone().unwrap_or_else(|| "unknown".into());
            out.push(format!(
                "the engine is {} on the primary and {} on the secondary",
                of(self),
                of(secondary)
            ));
        }
        out
    }
}

#[cfg(test)]
pub(in crate::domain) mod tests {
    use super::*;

    pub(crate) fn column(name: &str, kind: &str) -> Column {
        let text = kind == "varchar";
        Column {
            name: name.into(),
            kind: kind.into(),
            full_type: kind.into(),
            nullable: false,
            charset: text.then(|| "utf8".into()),
            collation: text.then(|| "utf8_general_ci".into()),
            ..Column::default()
        }
    }

    fn index(name: &str, columns: &[&str]) -> UniqueIndex {
        UniqueIndex {
            name: name.into(),
            columns: columns.iter().map(|name| Some((*name).to_owned())).collect(),
            usable: true,
        }
    }

    #[test]
    fn a_table_is_walked_by_its_primary_key_or_by_one_that_is_as_good() {
        let mut shape = Shape {
            columns: vec![column("a", "int"), column("b", "varchar"), column("c", "json")],
            unique: vec![index("AB", &["b", "a"]), index("PRIMARY", &["a"])],
            ..Shape::default()
        };
        assert_eq!(
            shape.key().map(|key| (key.index.clone(), key.names())),
            Some(("PRIMARY".into(), vec!["a".into()]))
        );
        shape.unique.pop();
        assert_eq!(shape.key().map(|key| key.names()), Some(vec!["b".into(), "a".into()]));
        shape.columns[1].nullable = true;
        assert_eq!(shape.key(), None);
        shape.unique = vec![index("C", &["c"])];
        assert_eq!(shape.key(), None);
    }

    #[test]
    fn what_differs_is_said_in_words() {
        let here = Shape { columns: vec![column("a", "int"), column("b", "int")], ..Shape::default() };
        assert_eq!(here.differences(&here), Vec::<String>::new());
        let there = Shape { columns: vec![column("a", "bigint"), column("c", "int")], ..Shape::default() };
        assert_eq!(
            here.differences(&there),
            [
                "the column a is int NOT NULL on the primary and bigint NOT NULL on the secondary",
                "only the primary has the column b",
                "only the secondary has the column c",
            ]
        );
        let turned = Shape { columns: vec![column("b", "int"), column("a", "int")], ..Shape::default() };
        assert_eq!(here.differences(&turned), ["the columns are in another order"]);
        let keyed = Shape { unique: vec![index("PRIMARY", &["a"])], ..here.clone() };
        assert_eq!(here.differences(&keyed), ["the unique keys are not the same"]);
        let elsewhere = Shape { engine: Some("MyISAM".into()), ..here.clone() };
        assert_eq!(
            here.differences(&elsewhere),
            ["the engine is unknown on the primary and MyISAM on the secondary"]
        );
    }
}
