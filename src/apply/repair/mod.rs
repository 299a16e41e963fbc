//! Makes a running secondary equal to its primary.
//!
//! It passes conflicts, creates tables, corrects rows, and compares everything until nothing differs.

pub mod correct;
pub mod define;
mod leave_out;
pub mod return_channel;

use std::path::Path;

use anyhow::{Context, Result, bail};

use self::correct::{correct, finish_merges, save};
use crate::adapters::home::Home;
use crate::adapters::home::saved::remove;
use crate::adapters::home::undo_file::UndoFile;
use crate::adapters::look::catalogue::{folds, shape};
use crate::adapters::look::rows::{ApplierFailed, IDS, Nodes, open_here, open_there};
use crate::apply::work::Runner;
use crate::domain::own_schema::HEARTBEAT_ROWS;
use crate::domain::plan::{Plan, Scope};
use crate::domain::procedures::repair::{NEW_PACK, is_left_out};
use crate::domain::returned::without_statement;
use crate::domain::set_up_again::{ASK_DUE, compared};
use crate::domain::settings::{LOCAL_SCHEMA, OWN_SCHEMA};
use crate::domain::sql::{quote, quote_name};
use crate::domain::table::range::Bound;
use crate::domain::table::rows::{Rows, tables_named};
use crate::failure::{Failure, Kind};

/// How many rows are corrected while the applier stands still once.
const BATCH: usize = 4000;

/// How often the tables are compared before repair gives up.
const ROUNDS: usize = 5;

/// How many tables may turn out to be missing, and how many things are left out, while conflicts are passed.
const MAKINGS: usize = 500;

/// `ER_NO_SUCH_TABLE`
const NO_SUCH_TABLE: u32 = 1146;

async fn nodes<'a>(runner: &'a Runner<'_>) -> Result<Nodes<'a>> {
    let membership = runner.home.require_membership()?;
    let here = open_here(runner.home)
        .await?
        .map_err(|blind| anyhow::anyhow!("the database here rejects the login: {}", blind.evidence))?;
    let there = open_there(runner.home, &membership)
        .await?
        .map_err(|blind| anyhow::anyhow!("the database of the primary cannot be read: {}", blind.evidence))?;
    Ok(Nodes::of(here, there, runner.flavor().await?, &membership, runner.interrupt))
}

/// Begins the file; with `now` it holds all that differs before anything is done about it.
pub async fn save_rows(runner: &Runner<'_>, file: &Path, now: bool) -> Result<()> {
    let mut undo = UndoFile::open(file)?;
    if now {
        let mut nodes = nodes(runner).await?;
        let structure = nodes.structure(false).await?;
        let schema = nodes.pair.schema.clone();
        let found = nodes.differences(&structure, &structure.alike(), false).await?;
        for (name, differences) in &found.rows {
            let Some(shape) = structure.there.get(name) else { continue };
            let table = Rows::of(nodes.flavor, &schema, shape);
            let ids: Vec<&Bound> = differences.iter().map(|difference| &difference.id).collect();
            for ids in ids.chunks(IDS) {
                runner.interrupt.check()?;
                save(&mut nodes.here, &mut undo, &table, ids).await?;
            }
        }
    }
    undo.sync()
}

/// Removes a file that nothing was changed after.
pub fn drop_file(file: &Path) -> Result<()> {
    remove(file)
}

/// Creates a table as it is on the primary; what is there stays under another name.
pub async fn make_table(runner: &Runner<'_>, file: &Path, table: &str, kept: Option<&str>) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    let stop = nodes.flavor.stop_applier();
    nodes.here.run(stop).await?;
    make(&mut nodes, &mut UndoFile::open(file)?, table, kept).await
}

async fn make(nodes: &mut Nodes<'_>, undo: &mut UndoFile, table: &str, kept: Option<&str>) -> Result<()> {
    let name = nodes.pair.schema.clone();
    let schema = quote_name(&name);
    let case = folds(&mut nodes.here).await?;
    let here = shape(&mut nodes.here, &name, table, case).await?;
    let wanted = shape(&mut nodes.there, &name, table, case).await?;
    // Dropped since, which comes by itself; or made by the applier.
    if !wanted.is_there() || (here.is_there() && wanted.differences(&here).is_empty()) {
        return Ok(());
    }
    let full = format!("{schema}.{}", quote_name(table));
    let aside = kept.map(|kept| format!("{LOCAL_SCHEMA}.{}", quote_name(kept)));
    if let (Some(aside), Some(kept), true) = (&aside, kept, here.is_there()) {
        // A copy, not another name: the references of other tables stay with the table.
        let is_kept = format!("SHOW TABLES FROM {LOCAL_SCHEMA} LIKE {}", quote(kept));
        if nodes.here.one(is_kept).await?.is_none() {
            let part = format!("{LOCAL_SCHEMA}.{}", quote_name(&format!("{kept}_part")));
            for sql in [
                format!("DROP TABLE IF EXISTS {part}"),
                format!("CREATE TABLE {part} LIKE {full}"),
                format!("INSERT INTO {part} SELECT * FROM {full}"),
                format!("RENAME TABLE {part} TO {aside}"),
            ] {
                nodes.here.run(sql).await?;
            }
        }
    }
    let row = nodes.there.one(format!("SHOW CREATE TABLE {full}")).await?.unwrap_or_default();
    let create = row.values().nth(1).flatten().context("the primary does not say how it is made")?.to_owned();
    undo.table(&name, table, aside.as_deref())?;
    undo.sync()?;
    nodes.here.run(format!("DROP TABLE IF EXISTS {full}")).await?;
    nodes.here.run(format!("USE {schema}")).await?;
    nodes.here.run(create).await
}

/// Takes a table out of the way that the primary does not have. Its rows stay, under another name.
pub async fn set_aside_table(runner: &Runner<'_>, file: &Path, table: &str, kept: &str) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    set_aside(&mut nodes, &mut UndoFile::open(file)?, table, kept).await
}

async fn set_aside(nodes: &mut Nodes<'_>, undo: &mut UndoFile, table: &str, kept: &str) -> Result<()> {
    let schema = nodes.pair.schema.clone();
    let case = folds(&mut nodes.here).await?;
    let here = shape(&mut nodes.here, &schema, table, case).await?;
    let there = shape(&mut nodes.there, &schema, table, case).await?;
    // It is gone already, or the primary has made one of this name since.
    if !here.is_there() || there.is_there() {
        return Ok(());
    }
    let aside = format!("{LOCAL_SCHEMA}.{}", quote_name(kept));
    undo.moved(&schema, table, &aside)?;
    undo.sync()?;
    let full = format!("{}.{}", quote_name(&schema), quote_name(table));
    nodes.here.run(format!("RENAME TABLE {full} TO {aside}")).await
}

/// Starts the applier again that ran before a repair which failed.
pub async fn let_applier_go(runner: &Runner<'_>, plan: &Plan) {
    if !plan.found_the_applier_running() {
        return;
    }
    if let Err(error) = strict_and_running(runner, true).await {
        runner.ui.warn(format!("the applier could not be restarted: {error:#}"));
    }
}

/// Starts receiver and applier, and waits until what the primary has written by now is applied.
pub async fn start_replication(runner: &Runner<'_>) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    let start = nodes.flavor.start_replica();
    nodes.here.run(start).await?;
    let clock = nodes.clock_there().await?;
    nodes.wait_applied(clock).await
}

/// Lets the applier pass what it stopped at, until it has caught up.
pub async fn pass_conflicts(runner: &Runner<'_>, file: &Path) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    let done = pass(runner, &mut nodes, file).await;
    strict_again_after(&mut nodes, done).await
}

/// An effect that failed leaves the applier strict.
async fn strict_again_after<T>(nodes: &mut Nodes<'_>, done: Result<T>) -> Result<T> {
    if done.is_err() {
        set_exec_mode(nodes, true).await?;
    }
    done
}

async fn set_exec_mode(nodes: &mut Nodes<'_>, strict: bool) -> Result<()> {
    let sql = nodes.flavor.exec_mode(strict);
    nodes.here.run(sql).await
}

async fn pass(runner: &Runner<'_>, nodes: &mut Nodes<'_>, file: &Path) -> Result<()> {
    // Without them nobody would notice that it has caught up.
    nodes.here.run(HEARTBEAT_ROWS).await?;
    set_exec_mode(nodes, false).await?;
    let clock = nodes.clock_there().await?;
    for _ in 0..MAKINGS {
        let start = nodes.flavor.start_replica();
        nodes.here.run(start).await?;
        let Err(error) = nodes.wait_applied(clock).await else { return Ok(()) };
        let Some(failed) = error.downcast_ref::<ApplierFailed>() else { return Err(error) };
        let structure = nodes.structure(false).await?;
        // Those that the secondary has for itself, too: without them the applier stands.
        let lacking: Vec<String> = tables_named(&failed.message, &nodes.pair.schema)
            .iter()
            .filter_map(|table| structure.there.meant(table).cloned())
            .filter(|table| structure.here.get(table).is_none())
            .collect();
        if (failed.number != NO_SUCH_TABLE || lacking.is_empty())
            && is_left_out(failed.number, &failed.message)
        {
            // Everything is compared afterwards, and made as it is on the primary.
            runner.ui.say(format!("     cannot be executed here: {}", without_statement(&failed.message)));
            leave_out::leave_out(nodes, &failed.message).await?;
            continue;
        }
        if failed.number != NO_SUCH_TABLE || lacking.is_empty() {
            bail!(
                Failure::new(Kind::Failed, "the applier cannot pass what it stopped at")
                    .because(failed.to_string())
                    .hint(format!("If the cause is not an external one, such as a full disk: {NEW_PACK}"))
            );
        }
        for table in lacking {
            make(nodes, &mut UndoFile::open(file)?, &table, None).await?;
        }
    }
    bail!("too many tables are missing, or too much cannot be executed here: {NEW_PACK}")
}

/// Compares and corrects once.
pub async fn correct_rows(runner: &Runner<'_>, file: &Path, scope: &Scope, passing: bool) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    finish_merges(&mut nodes.here, &nodes.pair.schema).await?;
    let done = round(&mut nodes, file, scope, passing).await;
    if passing { strict_again_after(&mut nodes, done).await.map(|_| ()) } else { done.map(|_| ()) }
}

/// Compares, and corrects what is found. Returns whether nothing was. Tables that cannot be read are
/// left out: the plan has named them.
async fn round(nodes: &mut Nodes<'_>, file: &Path, scope: &Scope, passing: bool) -> Result<bool> {
    let mut structure = nodes.structure(true).await?;
    let is_meant = |table: &String| match scope {
        Scope::Every => true,
        Scope::Tables(names) => names.contains(table),
    };
    let lacking: Vec<String> = structure.lacking().into_iter().filter(is_meant).collect();
    if !passing && !lacking.is_empty() {
        bail!("the table definitions of the two nodes differ: {}", lacking.join(", "));
    }
    let extra: Vec<String> =
        structure.names.only_on_secondary.iter().filter(|t| is_meant(t)).cloned().collect();
    for table in &extra {
        set_aside(nodes, &mut UndoFile::open(file)?, table, &kept_name(table)).await?;
    }
    for table in &lacking {
        let kept = kept_name(table);
        let aside = structure.here.get(table).map(|_| kept.as_str());
        let stop = nodes.flavor.stop_applier();
        nodes.here.run(stop).await?;
        let made = make(nodes, &mut UndoFile::open(file)?, table, aside).await;
        let start = nodes.flavor.start_replica();
        let started = nodes.here.run(start).await;
        made.and(started)?;
    }
    if !lacking.is_empty() || !extra.is_empty() {
        structure = nodes.structure(true).await?;
    }
    let names: Vec<String> = structure.alike().into_iter().filter(is_meant).collect();
    let found = nodes.differences(&structure, &names, true).await?;
    let all_compared = found.not_compared.is_empty();
    let found = found.rows;
    if found.is_empty() {
        return Ok(all_compared);
    }
    let mut undo = UndoFile::open(file)?;
    let mut batch = Vec::new();
    for (name, differences) in found {
        for difference in differences {
            batch.push((name.clone(), difference));
            if batch.len() == BATCH {
                correct(nodes, &mut undo, &structure, &std::mem::take(&mut batch), passing).await?;
            }
        }
    }
    correct(nodes, &mut undo, &structure, &batch, passing).await?;
    Ok(false)
}

/// Returns the name for a table in the local schema. It contains the time, so none is overwritten.
#[must_use]
pub fn kept_name(table: &str) -> String {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let short: String = table.chars().take(40).collect();
    format!("{short}_{stamp}").to_lowercase()
}

/// Compares until nothing differs, with an applier that stops at every conflict.
pub async fn prove_equal(runner: &Runner<'_>, file: &Path, scope: &Scope, passing: bool) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    finish_merges(&mut nodes.here, &nodes.pair.schema).await?;
    for _ in 0..ROUNDS {
        set_exec_mode(&mut nodes, true).await?;
        let start = nodes.flavor.start_replica();
        nodes.here.run(start).await?;
        let clock = nodes.clock_there().await?;
        let equal = match nodes.wait_applied(clock).await {
            Ok(()) => round(&mut nodes, file, scope, false).await,
            Err(error) => Err(error),
        };
        match equal {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if passing && error.is::<ApplierFailed>() => {
                let again = async {
                    pass(runner, &mut nodes, file).await?;
                    round(&mut nodes, file, scope, true).await
                }
                .await;
                strict_again_after(&mut nodes, again).await?;
            }
            Err(error) => return Err(error),
        }
    }
    bail!(
        "the rows still differ after {ROUNDS} rounds: something writes to the secondary besides replication"
    )
}

/// Notes up to where the writes against the rules are put right.
pub async fn forget_errant(runner: &Runner<'_>, place: Option<&(String, u64)>) -> Result<()> {
    let Some((file, position)) = place else { return Ok(()) };
    let mut nodes = nodes(runner).await?;
    let node = runner.home.require_membership()?.this().number;
    nodes
        .here
        .run(format!("REPLACE INTO {OWN_SCHEMA}.errant_cleared VALUES ({node}, {}, {position})", quote(file)))
        .await
}

/// Notes that everything here was compared with the primary, and is equal.
pub async fn forget_due(runner: &Runner<'_>) -> Result<()> {
    let mut nodes = nodes(runner).await?;
    // ignored: data that were set up by an older version have no such table
    if nodes.here.one(ASK_DUE).await.ok().flatten().is_some() {
        nodes.here.run(compared()).await?;
    }
    remove(&runner.home.compare_due())
}

/// Cleans up after an interrupted run: the applier is strict again, and runs if it ran before.
pub async fn put_applier_back(runner: &Runner<'_>, cut_off: &Plan) -> Result<()> {
    strict_and_running(runner, false).await?;
    let_applier_go(runner, cut_off).await;
    Ok(())
}

async fn strict_and_running(runner: &Runner<'_>, running: bool) -> Result<()> {
    let Ok(mut session) = open_here(runner.home).await? else { return Ok(()) };
    let flavor = runner.flavor().await?;
    session.run(flavor.exec_mode(true)).await?;
    let schema = runner.home.require_membership()?.pair.schema;
    let merged = finish_merges(&mut session, &schema).await;
    if running {
        session.run(flavor.start_replica()).await?;
    }
    session.close().await;
    merged
}

/// The file of a repair.
#[must_use]
pub fn file_name(home: &Home) -> String {
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    home.replication().join(format!("pmp-ha-repair-{stamp}.sql")).to_string_lossy().into_owned()
}
