//! The views, triggers, routines and events of a node.

use anyhow::{Context, Result};

use crate::adapters::server::session::{Session, lacks_procedure};
use crate::domain::definitions::{Definition, Definitions, Named, ObjectKind, QUERY, show, shown};

/// The definitions of the product's schema; `None` if an earlier version set up the pair.
pub async fn definitions(session: &mut Session) -> Result<Option<Definitions>> {
    let rows = match session.query(QUERY).await {
        Ok(rows) => rows,
        Err(error) if lacks_procedure(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = rows.iter().map(|row| Definition::read(|name| row.get(name)));
    read.collect::<Option<_>>().context("a definition cannot be read").map(Some)
}

/// The statement that makes what a node has.
pub async fn statement(
    session: &mut Session,
    schema: &str,
    what: &Named,
    definition: &Definition,
) -> Result<String> {
    if what.0 == ObjectKind::Trigger {
        return Ok(definition.create_trigger(schema, &what.1));
    }
    let row = session.one(show(what)).await?.unwrap_or_default();
    shown(what.0, |name| row.get(name)).with_context(|| format!("the {} {} is not shown", what.0, what.1))
}
