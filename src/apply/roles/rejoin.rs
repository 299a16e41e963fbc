//! Finds in its binlogs what only an old primary has, shows it, and saves it.

use std::path::Path;

use anyhow::{Result, bail};

use crate::adapters::home::undo_file::UndoFile;
use crate::adapters::look::rows::{IDS, Nodes, open_booted, open_there};
use crate::adapters::look::{errant, other_node};
use crate::adapters::server::session::Session;
use crate::apply::database::options;
use crate::apply::repair::correct::save;
use crate::apply::work::Runner;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::Scope;
use crate::domain::procedures::repair::written;
use crate::domain::standing::{BinlogPlace, Standing, standing};
use crate::domain::table::change::shown;
use crate::domain::table::range::Bound;
use crate::domain::table::rows::Rows;
use crate::failure::{Failure, Kind};

/// The number of rows of a table that a message names.
const SHOWN: usize = 5;

const HEAD: &str = "-- The rows of an old primary that the new one lacks or has differently. None of these rows were\n\
-- copied. To add a row, run its statements on the new primary.\n";

/// Looks in an offline boot for rows that only this node has. With `go_on`, it shows and saves
/// them, and the run continues because the data are kept.
///
/// # Errors
/// Refuses when something is found, with the file that it is saved in.
pub async fn find_extra(runner: &Runner<'_>, since: &BinlogPlace, file: &Path, go_on: bool) -> Result<()> {
    let flavor = runner.flavor().await?;
    let membership = runner.home.require_membership()?;
    let database = runner.database();
    still_replaced(runner, &membership).await?;
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
    let options = options::node_options(runner, flavor, &membership);
    let _spinner = runner.ui.spinner("the database is booted without a network");
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    let found = extra(runner, &mut session, &membership, since, file).await;
    database.end_offline_boot(session, stop).await?;
    let found = found?;
    if found.is_empty() {
        return Ok(());
    }
    let peer = membership.peer().host.clone();
    let mut failure = Failure::new(Kind::Refused, format!("this node has rows that {peer} does not have"))
        .code("rows-of-its-own");
    failure.because.extend(found);
    let failure = failure.hint(format!(
        "They are saved in {}, readable only by its owner: they might be somebody's passwords. Enter what you need on the new primary by hand. Then make a new pack on {peer} (`pmp-ha pack`), copy it here, and run `pmp-ha rejoin --pack FILE`.",
        file.display()
    ));
    if go_on {
        runner.ui.warn(&failure);
        return Ok(());
    }
    bail!(failure)
}

/// Checks that the other node is still the primary, because the plan may be old.
///
/// From here on it cannot become this node's secondary: this node answers nobody until it is the
/// secondary.
async fn still_replaced(runner: &Runner<'_>, membership: &Membership) -> Result<()> {
    let peer = membership.peer();
    let refused = |because: String| {
        Failure::new(Kind::Refused, "this node cannot become the secondary now")
            .code("not-replaced")
            .because(because)
            .hint("Run `pmp-ha verify` there, then `pmp-ha rejoin` here again.")
    };
    match other_node::ask(runner.home, membership).await {
        Err(blind) => bail!(refused(format!("cannot ask {peer}: {}", blind.evidence))),
        Ok(Some(said)) if said.role == Role::Primary && standing(membership, &said) != Standing::Holds => {
            Ok(())
        }
        Ok(_) => bail!(refused(format!("{peer} is no longer the primary"))),
    }
}

/// Saves the rows that only this node has. Returns a line for each table.
async fn extra(
    runner: &Runner<'_>,
    session: &mut Session,
    membership: &Membership,
    since: &BinlogPlace,
    file: &Path,
) -> Result<Vec<String>> {
    let reading =
        errant::written_since(session, runner.home, membership, membership.this().number, since).await?;
    if reading.total == 0 {
        return Ok(Vec::new());
    }
    let here = open_booted(runner.home)
        .await?
        .map_err(|blind| anyhow::anyhow!("the database here refuses the login: {}", blind.evidence))?;
    let there = open_there(runner.home, membership).await?.map_err(|blind| {
        anyhow::anyhow!("cannot read the database of {}: {}", membership.peer(), blind.evidence)
    })?;
    let mut nodes = Nodes::of(here, there, runner.flavor().await?, membership, runner.interrupt);
    let all_known = reading.total == reading.found.len() as u64;
    let structure = nodes.structure(false).await?;
    let tables: Vec<String> = match written(&reading.found, all_known, &membership.pair.schema).scope {
        Scope::Every => structure.here.tables.keys().cloned().collect(),
        Scope::Tables(names) => {
            names.iter().map(|name| structure.meant(name).unwrap_or_else(|| name.clone())).collect()
        }
    };
    let found = nodes.differences(&structure, &tables, false).await?;
    let mut out: Vec<String> = found
        .not_compared
        .iter()
        .map(|table| format!("the table {table} has another structure here"))
        .collect();
    out.extend(
        found.unreadable.iter().map(|(table, why)| format!("the table {table} cannot be read: {why}")),
    );
    if found.rows.is_empty() {
        return Ok(out);
    }
    let mut saved = UndoFile::begin(file, HEAD)?;
    for (name, differences) in &found.rows {
        let Some(shape) = structure.there.get(name) else { continue };
        let table = Rows::of(nodes.flavor, &membership.pair.schema, shape);
        let ids: Vec<&Bound> = differences.iter().map(|difference| &difference.id).collect();
        for ids in ids.chunks(IDS) {
            runner.interrupt.check()?;
            save(&mut nodes.here, &mut saved, &table, ids).await?;
        }
        let keys: Vec<String> = ids.iter().take(SHOWN).map(|id| shown(table.has_key(), id)).collect();
        let more = ids.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out.push(format!(
            "{} rows of {name} are missing or different there: {}{more}",
            ids.len(),
            keys.join(", ")
        ));
    }
    saved.sync()?;
    Ok(out)
}
