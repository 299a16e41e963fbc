//! What an old primary has that the new one lacks: found in its binlogs, shown, and saved.

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
use crate::failure::{Failure, Kind};

/// How many rows of a table are named.
const SHOWN: usize = 5;

const HEAD: &str = "-- The rows of an old primary that the new one does not have, or has otherwise. Nothing of it was\n\
-- carried over. Who wants a row of it, runs its statements on the new primary.\n";

/// Looks for what only this node has, in an offline boot. With `go_on` what was found is said and
/// saved, and the run goes on: the data are kept.
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
    let mut failure = Failure::new(Kind::Refused, format!("this node has what {peer} does not have"));
    failure.because.extend(found);
    let failure = failure.hint(format!(
        "It is saved in {}, for the owner's eyes only: these are somebody's passwords. Carry over by hand what is wanted. Then make a new pack on {peer} (`pmp-ha pack`), bring it here, and run `pmp-ha rejoin --pack FILE`.",
        file.display()
    ));
    if go_on {
        runner.ui.warn(&failure);
        return Ok(());
    }
    bail!(failure)
}

/// Sees that the other node still is the primary: the plan may be an old one. It cannot become the
/// secondary of this one from here on, for nobody answers here until this one is the secondary.
async fn still_replaced(runner: &Runner<'_>, membership: &Membership) -> Result<()> {
    let peer = membership.peer();
    let refused = |because: String| {
        Failure::new(Kind::Refused, "this node cannot become the secondary now")
            .because(because)
            .hint("See `pmp-ha verify` there, then run `pmp-ha rejoin` again.")
    };
    match other_node::ask(runner.home, membership).await {
        Err(blind) => bail!(refused(format!("{peer} cannot be asked: {}", blind.evidence))),
        Ok(Some(said)) if said.role == Role::Primary && standing(membership, &said) != Standing::Holds => {
            Ok(())
        }
        Ok(_) => bail!(refused(format!("{peer} is not the primary any more"))),
    }
}

/// What this node has alone, a line each; its rows are saved.
async fn extra(
    runner: &Runner<'_>,
    session: &mut Session,
    membership: &Membership,
    since: &BinlogPlace,
    file: &Path,
) -> Result<Vec<String>> {
    let reading = errant::written_since(session, membership, membership.this().number, since).await?;
    if reading.total == 0 {
        return Ok(Vec::new());
    }
    let here = open_booted(runner.home)
        .await?
        .map_err(|blind| anyhow::anyhow!("the database here lets nobody in: {}", blind.evidence))?;
    let there = open_there(runner.home, membership).await?.map_err(|blind| {
        anyhow::anyhow!("the database of {} cannot be read: {}", membership.peer(), blind.evidence)
    })?;
    let mut nodes = Nodes::of(here, there, runner.flavor().await?, membership, runner.interrupt);
    let all_known = reading.total == reading.found.len() as u64;
    let (shapes, _) = nodes.shapes().await?;
    let tables = match written(&reading.found, all_known, &membership.pair.schema).scope {
        Scope::Every => shapes.keys().cloned().collect(),
        Scope::Tables(names) => names,
    };
    let found = nodes.differences(&tables, false).await?;
    let mut out: Vec<String> =
        found.not_compared.iter().map(|table| format!("the table {table} is another one here")).collect();
    if found.rows.is_empty() {
        return Ok(out);
    }
    let mut saved = UndoFile::begin(file, HEAD)?;
    for (name, differences) in &found.rows {
        let Some(shape) = shapes.get(name) else { continue };
        let ids: Vec<&str> = differences.iter().map(|difference| difference.id.as_str()).collect();
        for ids in ids.chunks(IDS) {
            runner.interrupt.check()?;
            save(&mut nodes, &mut saved, shape, ids).await?;
        }
        let keys: Vec<String> = ids.iter().take(SHOWN).map(|id| shape.shown(id)).collect();
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
