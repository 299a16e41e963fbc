//! What a table looks like on a node, whether both look the same, and by which key it is walked.

use super::super::sql::{Sql, quote};

/// A column, as far as both nodes have to agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The bare type: `varchar`.
    pub kind: String,
    /// The whole type: `varchar(250)`.
    pub full_type: String,
    /// Whether it can be NULL.
    pub nullable: bool,
    /// The character set of a text.
    pub charset: Option<String>,
    /// Its collation.
    pub collation: Option<String>,
}

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
    /// In the order of the table, by which rows are replicated.
    pub columns: Vec<Column>,
    /// The unique indexes, by name.
    pub unique: Vec<UniqueIndex>,
}

/// How the values of a key's column are read, and written into a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// As digits.
    Number,
    /// As digits with an exponent: a decimal point alone would be an exact number.
    Float,
    /// By its number: the order of an ENUM, SET or BIT is not that of its text.
    Code,
    /// Bytes of its own character set.
    Text,
    /// Bytes.
    Bytes,
    /// In quotes: dates, times, addresses.
    Quoted,
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

/// The unique key by which a table is walked.
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

/// Asks for the tables of a schema: `name`, `bytes`, `estimate` of the rows.
#[must_use]
pub fn tables_query(schema: &str) -> Sql {
    Sql::new(format!(
        "SELECT TABLE_NAME AS name, DATA_LENGTH AS bytes, TABLE_ROWS AS estimate FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY TABLE_NAME",
        quote(schema)
    ))
}

/// Asks for the columns of a table, in order.
#[must_use]
pub fn columns_query(schema: &str, table: &str) -> Sql {
    Sql::new(format!(
        "SELECT COLUMN_NAME AS name, DATA_TYPE AS kind, COLUMN_TYPE AS full_type, IS_NULLABLE AS nullable, \
         CHARACTER_SET_NAME AS cs, COLLATION_NAME AS coll FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} ORDER BY ORDINAL_POSITION",
        quote(schema),
        quote(table)
    ))
}

/// Asks for the unique indexes of a table. Some servers tell by a column of its own whether
/// statements may ask for an index; hence all columns.
#[must_use]
pub fn unique_query(schema: &str, table: &str) -> Sql {
    Sql::new(format!(
        "SELECT * FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} \
         AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX",
        quote(schema),
        quote(table)
    ))
}

impl Shape {
    /// Whether the table is there at all.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The key by which the table is walked: the primary key, or another that is as good.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let key_of = |index: &UniqueIndex| -> Option<Key> {
            let column_of = |name: &Option<String>| {
                let name = name.as_ref()?;
                let column = self.columns.iter().find(|column| &column.name == name)?;
                let kind = key_kind(&column.kind)?;
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

    /// What is different about the same table of the secondary, in words.
    #[must_use]
    pub fn differences(&self, secondary: &Self) -> Vec<String> {
        let mut out = Vec::new();
        for column in &self.columns {
            match secondary.columns.iter().find(|other| other.name == column.name) {
                None => out.push(format!("only the primary has the column {}", column.name)),
                Some(other) if other != column => out.push(format!(
                    "the column {} is {} on the primary and {} on the secondary",
                    column.name,
                    in_words(column),
                    in_words(other)
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
            out.push("the columns stand in another order".into());
        }
        if self.unique != secondary.unique {
            out.push("the unique keys are not the same".into());
        }
        out
    }
}

fn in_words(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    let collation = column.collation.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
    format!("{}{collation}{null}", column.full_type)
}

fn key_kind(kind: &str) -> Option<KeyKind> {
    Some(match kind {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "year" => KeyKind::Number,
        "float" | "double" => KeyKind::Float,
        "enum" | "set" | "bit" => KeyKind::Code,
        "char" | "varchar" => KeyKind::Text,
        "binary" | "varbinary" => KeyKind::Bytes,
        "date" | "time" | "datetime" | "timestamp" | "uuid" | "inet4" | "inet6" => KeyKind::Quoted,
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
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
        let here = Shape { columns: vec![column("a", "int"), column("b", "int")], unique: vec![] };
        assert_eq!(here.differences(&here), Vec::<String>::new());
        let there = Shape { columns: vec![column("a", "bigint"), column("c", "int")], unique: vec![] };
        assert_eq!(
            here.differences(&there),
            [
                "the column a is int NOT NULL on the primary and bigint NOT NULL on the secondary",
                "only the primary has the column b",
                "only the secondary has the column c",
            ]
        );
        let turned = Shape { columns: vec![column("b", "int"), column("a", "int")], unique: vec![] };
        assert_eq!(here.differences(&turned), ["the columns stand in another order"]);
        let keyed = Shape { unique: vec![index("PRIMARY", &["a"])], ..here.clone() };
        assert_eq!(here.differences(&keyed), ["the unique keys are not the same"]);
    }
}
