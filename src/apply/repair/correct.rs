//! Correcting rows of a running secondary, past its binlog and with the old ones saved first.
//!
//! While the applier is strict, a row is corrected only when the primary's has not changed since the
//! applier has passed it: so what comes next fits. While conflicts are passed, the row of this
//! moment is taken, and what comes next leads there again.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::adapters::home::undo_file::UndoFile;
use crate::adapters::look::rows::{IDS, Nodes, rows};
use crate::adapters::server::session::Session;
use crate::domain::procedures::repair::NEW_PACK;
use crate::domain::settings::LOCAL_SCHEMA;
use crate::domain::sql::quote_name;
use crate::domain::table::change::{Correction, change};
use crate::domain::table::equality::RowDifference;
use crate::domain::table::range::Bound;
use crate::domain::table::rows::{Rows, Values};
use crate::domain::table::structure::Structure;

/// About how many bytes one statement writes: the default of the oldest server allows four times that.
const STATEMENT: usize = 1 << 20;

/// The names of the tables that hold audit rows on their way out of the table and into the binlog.
const MERGE: &str = "merge_";

/// Writes the rows of these ids into the file as they are.
pub async fn save(
    session: &mut Session,
    undo: &mut UndoFile,
    table: &Rows<'_>,
    ids: &[&Bound],
) -> Result<()> {
    let mut before: BTreeMap<Bound, Vec<Values>> = BTreeMap::new();
    for (id, _, values) in rows(session, table, ids).await? {
        before.entry(id).or_default().push(values);
    }
    for id in ids {
        undo.row(table, id, before.get(*id).map_or(&[], Vec::as_slice))?;
    }
    Ok(())
}

/// Corrects rows while the applier is stopped, and restarts it in every case.
pub async fn correct(
    nodes: &mut Nodes<'_>,
    undo: &mut UndoFile,
    structure: &Structure,
    batch: &[(String, RowDifference)],
    passing: bool,
) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let clock = nodes.clock_there().await?;
    nodes.wait_applied(clock).await?;
    let stop = nodes.flavor.stop_applier();
    nodes.here.run(stop).await?;
    let written = write(nodes, undo, structure, batch, passing).await;
    let start = nodes.flavor.start_replica();
    let started = nodes.here.run(start).await;
    written.and(started)
}

async fn write(
    nodes: &mut Nodes<'_>,
    undo: &mut UndoFile,
    structure: &Structure,
    batch: &[(String, RowDifference)],
    passing: bool,
) -> Result<()> {
    let schema = nodes.pair.schema.clone();
    for part in batch.chunk_by(|a, b| a.0 == b.0) {
        let name = &part[0].0;
        let Some((here, there)) = structure.here.get(name).zip(structure.there.get(name)) else { continue };
        if here.triggers {
            bail!(
                "writing to {name} fires triggers, which would write more than the primary did: {NEW_PACK}"
            );
        }
        let table = Rows::of(nodes.flavor, &schema, there);
        for some in part.chunks(IDS) {
            let differences: Vec<&RowDifference> = some.iter().map(|(_, difference)| difference).collect();
            write_some(nodes, undo, &table, &differences, passing)
                .await
                .with_context(|| format!("cannot correct {name}"))?;
        }
    }
    Ok(())
}

/// What a transaction does to one table.
#[derive(Default)]
struct TableChanges<'a> {
    deletes: Vec<(&'a Bound, Option<u64>)>,
    merges: Vec<(&'a Bound, Option<u64>)>,
    writes: Vec<&'a Values>,
}

async fn write_some(
    nodes: &mut Nodes<'_>,
    undo: &mut UndoFile,
    table: &Rows<'_>,
    differences: &[&RowDifference],
    passing: bool,
) -> Result<()> {
    let ids: Vec<&Bound> = differences.iter().map(|difference| &difference.id).collect();
    let mut there: BTreeMap<Bound, Vec<(String, Values)>> = BTreeMap::new();
    for (id, print, values) in rows(&mut nodes.there, table, &ids).await? {
        there.entry(id).or_default().push((print, values));
    }
    let mut todo = TableChanges::default();
    let mut touched = Vec::new();
    for difference in differences {
        let found = there.get(&difference.id).map_or(&[][..], Vec::as_slice);
        let now = match found {
            [] => None,
            [(print, _), ..] if table.has_key() => Some(print.clone()),
            some => Some(some.len().to_string()),
        };
        // What has changed since is looked at again in the next round; while conflicts are passed
        // the row of this moment leads to the same end.
        if now != difference.there && !(passing && table.has_key()) {
            continue;
        }
        let as_found = RowDifference { there: now, ..(*difference).clone() };
        let found_change = change(&nodes.pair, &table.shape.name, table.has_key(), &as_found);
        let Some((change, count)) = found_change else { continue };
        // What the primary has deleted meanwhile comes as that.
        if change == Correction::Merge && difference.there.is_some() && table.has_key() {
            continue;
        }
        let id = &difference.id;
        touched.push(id);
        let limit = (!table.has_key()).then_some(count);
        match change {
            Correction::Delete => todo.deletes.push((id, limit)),
            Correction::Merge => todo.merges.push((id, limit)),
            Correction::Insert | Correction::Update => {
                if table.has_key() {
                    todo.deletes.push((id, None));
                }
                let wanted = usize::try_from(count)?;
                todo.writes.extend(found.iter().take(wanted).map(|(_, values)| values));
            }
        }
    }
    save(&mut nodes.here, undo, table, &touched).await?;
    undo.sync()?;
    let audit = nodes.pair.audit_tables.contains(&table.shape.name);
    commit(&mut nodes.here, table, &todo, audit).await
}

async fn replace_rows(
    session: &mut Session,
    table: &Rows<'_>,
    todo: &TableChanges<'_>,
    audit: bool,
) -> Result<()> {
    session.run("BEGIN").await?;
    if table.has_key() && !todo.deletes.is_empty() {
        let ids: Vec<&Bound> = todo.deletes.iter().map(|(id, _)| *id).collect();
        session.run(table.delete(&ids, None)).await?;
    } else {
        for (id, limit) in &todo.deletes {
            session.run(table.delete(&[id], *limit)).await?;
        }
    }
    if !todo.writes.is_empty() {
        // Another row may hold a unique value of this one: on the primary it does not, so that it
        // goes. An audit row is never in the way for nothing: that would be an error.
        let verb = if audit { "INSERT" } else { "REPLACE" };
        let mut some: Vec<&Values> = Vec::new();
        for values in &todo.writes {
            // One that is large goes alone.
            let together = some.iter().map(|values| values.size()).sum::<usize>() + values.size();
            if together > STATEMENT && !some.is_empty() {
                session.run(table.write(verb, &std::mem::take(&mut some))).await?;
            }
            some.push(values);
        }
        session.run(table.write(verb, &some)).await?;
    }
    session.run("COMMIT").await
}

async fn commit(session: &mut Session, table: &Rows<'_>, todo: &TableChanges<'_>, audit: bool) -> Result<()> {
    let written = replace_rows(session, table, todo, audit).await;
    if written.is_err() {
        // START REPLICA would commit the half of it.
        session.run("ROLLBACK").await?;
    }
    written?;
    if todo.merges.is_empty() {
        return Ok(());
    }
    let stage = format!("{LOCAL_SCHEMA}.{}", quote_name(&format!("{MERGE}{}", table.shape.name)));
    session.run(format!("CREATE TABLE IF NOT EXISTS {stage} LIKE {}", table.from())).await?;
    let staged = async {
        session.run("BEGIN").await?;
        for (id, limit) in &todo.merges {
            session.run(table.copy_rows(&stage, &[id], *limit)).await?;
            session.run(table.delete(&[id], *limit)).await?;
        }
        session.run("COMMIT").await
    }
    .await;
    if staged.is_err() {
        session.run("ROLLBACK").await?;
    }
    staged?;
    finish_merges(session, table.schema).await
}

/// Inserts the rows that were removed for merging, so that they are in the binlog.
///
/// The primary ignores writes to the local schema.
pub async fn finish_merges(session: &mut Session, schema: &str) -> Result<()> {
    let staged = format!(
        "SELECT TABLE_NAME AS tbl FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = '{LOCAL_SCHEMA}' AND TABLE_NAME LIKE 'merge\\_%'"
    );
    for row in session.query(staged).await? {
        let name = row.get("tbl").unwrap_or_default();
        let Some(table) = name.strip_prefix(MERGE) else { continue };
        let (stage, table) = (
            format!("{LOCAL_SCHEMA}.{}", quote_name(&name)),
            format!("{}.{}", quote_name(schema), quote_name(table)),
        );
        session.run("SET SESSION sql_log_bin = 1").await?;
        let merged = async {
            session.run("BEGIN").await?;
            session.run(format!("INSERT INTO {table} SELECT * FROM {stage}")).await?;
            session.run(format!("DELETE FROM {stage}")).await?;
            session.run("COMMIT").await
        }
        .await;
        if merged.is_err() {
            session.run("ROLLBACK").await?;
        }
        session.run("SET SESSION sql_log_bin = 0").await?;
        merged.with_context(|| format!("the audit rows in {stage} could not be merged"))?;
        session.run(format!("DROP TABLE {stage}")).await?;
    }
    Ok(())
}
