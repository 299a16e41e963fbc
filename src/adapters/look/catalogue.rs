//! The structure of a schema's tables on one node, and whether they can be read.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::adapters::server::session::{Row, Session, StatementFailed};
use crate::domain::sql::quote_name;
use crate::domain::table::column::Column;
use crate::domain::table::names::Catalogue;
use crate::domain::table::{
    Shape, UniqueIndex, columns_query, names_query, tables_query, triggers_query, unique_query,
};

/// Errors of a moment, of the session, of the disk or of the server, and of no table.
const NOT_OF_A_TABLE: [u16; 11] = [3, 1021, 1026, 1040, 1053, 1114, 1205, 1213, 1317, 1969, 3024];

/// The structure of every table of a schema.
pub async fn catalogue(session: &mut Session, schema: &str) -> Result<Catalogue> {
    let mut tables = read(session, schema, None).await?;
    for row in session.query(triggers_query(schema)).await? {
        if let Some(shape) = row.get("tbl").and_then(|table| tables.get_mut(&table)) {
            shape.triggers = true;
        }
    }
    Ok(Catalogue { tables, folds: folds(session).await? })
}

/// Whether the server ignores case in names.
pub async fn folds(session: &mut Session) -> Result<bool> {
    let row = session.one("SELECT @@GLOBAL.lower_case_table_names AS folds").await?.unwrap_or_default();
    Ok(row.get("folds").is_some_and(|folds| folds != "0"))
}

/// The structure of one table, without its triggers. Without columns, it does not exist.
pub async fn shape(session: &mut Session, schema: &str, table: &str, folds: bool) -> Result<Shape> {
    let found = Catalogue { tables: read(session, schema, Some(table)).await?, folds };
    Ok(found.get(table).cloned().unwrap_or_default())
}

async fn read(session: &mut Session, schema: &str, table: Option<&str>) -> Result<BTreeMap<String, Shape>> {
    let name_of = |row: &Row| row.get("tbl").or_else(|| row.get("TABLE_NAME")).context("a table has no name");
    let mut out = BTreeMap::new();
    for row in session.query(names_query(schema, table)).await? {
        let name = name_of(&row)?;
        out.insert(name.clone(), Shape { name, ..Shape::default() });
    }
    for row in session.query(tables_query(schema, table)).await? {
        let Some(shape) = out.get_mut(&name_of(&row)?) else { continue };
        shape.engine = row.get("engine");
    }
    for row in session.query(columns_query(schema, table)).await? {
        let Some(shape) = out.get_mut(&name_of(&row)?) else { continue };
        let get = |name: &str| row.get(name).with_context(|| format!("a column has no {name}"));
        shape.columns.push(Column {
            name: get("name")?,
            kind: get("kind")?.to_lowercase(),
            full_type: get("full_type")?,
            nullable: get("nullable")? == "YES",
            charset: row.get("cs"),
            collation: row.get("coll"),
            default: row.get("preset"),
            extra: row.get("extra").unwrap_or_default(),
        });
    }
    for row in session.query(unique_query(schema, table)).await? {
        let Some(shape) = out.get_mut(&name_of(&row)?) else { continue };
        let name = row.get("INDEX_NAME").context("an index has no name")?;
        let column = row.get("COLUMN_NAME").filter(|_| row.get("SUB_PART").is_none());
        let hidden =
            row.get("IS_VISIBLE").as_deref() == Some("NO") || row.get("IGNORED").as_deref() == Some("YES");
        match shape.unique.last_mut().filter(|index| index.name == name) {
            Some(index) => index.columns.push(column),
            None => shape.unique.push(UniqueIndex { name, columns: vec![column], usable: !hidden }),
        }
    }
    Ok(out)
}

/// Why a table cannot be read, if it cannot.
///
/// # Errors
/// What is wrong is not the table.
pub async fn unreadable(session: &mut Session, schema: &str, table: &str) -> Result<Option<String>> {
    let look = format!("SELECT 1 FROM {}.{} LIMIT 1", quote_name(schema), quote_name(table));
    match session.run(look).await {
        Ok(()) => Ok(None),
        Err(error) => fault_of_table(error).map(Some),
    }
}

/// Returns the server's message about a table, from the error of a statement.
///
/// # Errors
/// The error itself, where it is not about the table.
pub fn fault_of_table(error: anyhow::Error) -> Result<String> {
    let failed = error.chain().find_map(|cause| cause.downcast_ref::<StatementFailed>());
    match failed.filter(|failed| failed.code.is_some_and(|code| !NOT_OF_A_TABLE.contains(&code))) {
        Some(failed) => Ok(failed.to_string()),
        None => Err(error),
    }
}
