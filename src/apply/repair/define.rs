//! Views, triggers, routines and events of a secondary, made as they are on the primary. What is
//! replaced is saved first.

use std::path::Path;

use anyhow::Result;

use super::nodes;
use crate::adapters::home::undo_file::UndoFile;
use crate::adapters::look::definitions::{definitions, statement};
use crate::adapters::look::rows::{Nodes, read_alike};
use crate::apply::work::Runner;
use crate::domain::definitions::{Named, ObjectKind, drop_it};
use crate::domain::settings::LOCAL_SCHEMA;
use crate::domain::sql::{quote, quote_name};

/// Drops what the primary does not have, or what would be set off by a repair.
pub async fn undefine(runner: &Runner<'_>, file: &Path, what: &[Named]) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    let mut undo = UndoFile::open(file)?;
    for what in what {
        drop_saved(&mut nodes, &mut undo, what).await?;
    }
    Ok(())
}

/// Makes what the primary has. Returns what could not be made, and why: a view whose table is gone on
/// the primary cannot be made anywhere.
pub async fn define(runner: &Runner<'_>, file: &Path, what: &[Named]) -> Result<Vec<(String, String)>> {
    let mut nodes = nodes(runner).await?;
    let mut undo = UndoFile::open(file)?;
    let mut due = what.to_vec();
    // A view may want another one first.
    due.sort();
    loop {
        let mut failed = Vec::new();
        for what in &due {
            if let Err(error) = make(&mut nodes, &mut undo, what).await {
                failed.push((what.clone(), format!("{error:#}")));
            }
            plain_again(&mut nodes).await?;
        }
        if failed.is_empty() || failed.len() == due.len() {
            let name = |((kind, name), why): (Named, String)| (format!("{kind} {name}"), why);
            return Ok(failed.into_iter().map(name).collect());
        }
        due = failed.into_iter().map(|(what, _)| what).collect();
    }
}

async fn make(nodes: &mut Nodes<'_>, undo: &mut UndoFile, what: &Named) -> Result<()> {
    let schema = nodes.pair.schema.clone();
    let all = definitions(&mut nodes.there).await?.unwrap_or_default();
    let Some(definition) = all.get(what) else { return Ok(()) };
    let create = statement(&mut nodes.there, &schema, what, definition).await?;
    drop_saved(nodes, undo, what).await?;
    nodes.here.run(format!("USE {}", quote_name(&schema))).await?;
    for sql in definition.session() {
        nodes.here.run(sql).await?;
    }
    nodes.here.run(create.clone()).await?;
    plain_again(nodes).await?;
    let sleeps = what.0 == ObjectKind::Event && create.contains("PRESERVE DISABLE ON SLAVE");
    if sleeps {
        let noted = format!(
            "REPLACE INTO {LOCAL_SCHEMA}.sleeping_events VALUES ({}, {})",
            quote(&schema),
            quote(&what.1)
        );
        nodes.here.run(noted).await?;
    }
    Ok(())
}

/// The session reads and writes as every other one of a repair again.
async fn plain_again(nodes: &mut Nodes<'_>) -> Result<()> {
    nodes.here.run("SET NAMES utf8mb4").await?;
    read_alike(&mut nodes.here).await
}

async fn drop_saved(nodes: &mut Nodes<'_>, undo: &mut UndoFile, what: &Named) -> Result<()> {
    let schema = nodes.pair.schema.clone();
    let all = definitions(&mut nodes.here).await?.unwrap_or_default();
    if let Some(definition) = all.get(what) {
        let create = statement(&mut nodes.here, &schema, what, definition).await?;
        undo.definition(&schema, what, &definition.session(), &create)?;
        undo.sync()?;
    }
    nodes.here.run(drop_it(&schema, what)).await
}
