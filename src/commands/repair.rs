//! `pmp-ha repair`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Context, return_channel};
use crate::adapters::home::Home;
use crate::adapters::look::rows::{ApplierFailed, Nodes, open_here, open_there, replica};
use crate::adapters::look::{self, errant};
use crate::adapters::server::process::Database;
use crate::adapters::server::session::Session;
use crate::apply::repair::{file_name, forget_due, kept_name, put_applier_back};
use crate::apply::{Runner, cut_off_run, refuse_cut_off_run};
use crate::cli::RepairArgs;
use crate::config::Config;
use crate::domain::definitions::Named;
use crate::domain::flavor::Flavor;
use crate::domain::health::Health;
use crate::domain::judge::judge;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{Plan, Scope, Step, TableChange};
use crate::domain::procedures::repair::{
    Applier, Look, NEW_PACK, RepairScene, Written, check, plan, too_long, written,
};
use crate::domain::table::change::sum_up;
use crate::domain::table::rows::tables_named;
use crate::domain::table::structure::Structure;
use crate::failure::{Failure, Kind};

/// How many times reading of the local binlog continues; each time takes just under a second.
const READINGS: usize = 60;

#[derive(Serialize)]
struct RepairedTables {
    #[serde(flatten)]
    health: Health,
    compared: Scope,
    changes: Vec<TableChange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<Untouched>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_rows: Option<String>,
}

/// A table that stays as it is.
#[derive(Serialize)]
struct Untouched {
    table: String,
    why: String,
}

impl fmt::Display for RepairedTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.health)?;
        match &self.old_rows {
            None if !self.left_out.is_empty() => {}
            None => match &self.compared {
                Scope::Every => writeln!(f, "  nothing to repair")?,
                Scope::Tables(_) => writeln!(f, "  nothing to repair in {}", self.compared)?,
            },
            Some(file) => {
                writeln!(f, "  compared after the repair, and equal: {}", self.compared)?;
                writeln!(
                    f,
                    "  the old rows are in {file}; it holds vault data, so delete it when you no longer need it"
                )?;
            }
        }
        self.left_out
            .iter()
            .try_for_each(|Untouched { table, why }| writeln!(f, "  left out: {table}: {why}"))
    }
}

pub async fn run(context: &Context<'_>, args: RepairArgs) -> Result<()> {
    if args.return_channel {
        return Box::pin(return_channel::run(context)).await;
    }
    let home = context.home()?;
    let config = context.config(&home)?;
    let membership = home.require_membership()?;
    context.still_primary(&home).await?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let open = match cut_off_run(&home)? {
        Some(run) if !run.plan.is_repair() => return refuse_cut_off_run(&home),
        open => open,
    };
    let cut_off = open.is_some();
    if let Some(run) = open.filter(|_| !context.global.dry_run) {
        context.ui.say("An earlier `pmp-ha repair` was interrupted: the applier is strict again, and every table is compared.");
        put_applier_back(&runner, &run.plan).await?;
    }
    let spinner = context.ui.spinner("the nodes are compared");
    let mut scene = look(context, &home, &membership, &args, cut_off).await;
    if scene.as_ref().is_err_and(anyhow::Error::is::<ApplierFailed>) {
        // It has stopped while it was looked at, and is looked at as that.
        scene = look(context, &home, &membership, &args, cut_off).await;
    }
    drop(spinner);
    let mut scene = scene?;
    let planned = plan(&scene);
    if let Some(plan) = &planned {
        if !context.agreed(plan)? {
            return Ok(());
        }
        runner.drive(plan).await?;
        scene.left_out.extend_from_slice(runner.left_out());
    } else if cut_off && !context.global.dry_run {
        runner.close_repair()?;
    }
    if args.tables.is_empty() && scene.left_out.is_empty() && !context.global.dry_run {
        forget_due(&runner).await?;
    }
    let repaired = result(context, &home, membership, &config, planned.as_ref(), scene).await?;
    context.ui.data(&repaired)?;
    if !repaired.left_out.is_empty() {
        let mut failure = Failure::new(Kind::NotAlive, "not every table could be repaired");
        let why = |Untouched { table, why }: &Untouched| format!("{table}: {why}");
        failure.because.extend(repaired.left_out.iter().map(why));
        failure =
            failure.hint(format!("Repair or drop each of them on the node that cannot read it. {NEW_PACK}"));
        // A verdict ends in silence, because the report says it all. People get a hint besides.
        if !context.global.json {
            context.ui.failure(&failure);
        }
        bail!(failure);
    }
    Ok(())
}

async fn result(
    context: &Context<'_>,
    home: &Home,
    membership: Membership,
    config: &Config,
    plan: Option<&Plan>,
    scene: RepairScene,
) -> Result<RepairedTables> {
    let health =
        judge(&look::pair::take(home, membership, config, &context.interrupt).await?, config.limits());
    let proven = plan.and_then(|plan| plan.steps.last()).and_then(|step| match step {
        Step::ProveEqual { scope, .. } => Some(scope.clone()),
        _ => None,
    });
    Ok(RepairedTables {
        health,
        old_rows: proven.as_ref().map(|_| scene.file),
        compared: proven.unwrap_or(scene.compared),
        changes: scene.changes,
        left_out: scene.left_out.into_iter().map(|(table, why)| Untouched { table, why }).collect(),
    })
}

/// Logs in to both servers, and notes what is in the way.
async fn open_both(
    home: &Home,
    membership: &Membership,
    flavor: &Flavor,
    look: &mut Look,
) -> Result<(Option<Session>, Option<Session>)> {
    let (mut here, mut there) = (None, None);
    if membership.role != Role::Secondary {
        return Ok((here, there));
    }
    match open_here(home).await? {
        Ok(mut session) => {
            look.replica = replica(&mut session, flavor).await?;
            in_the_way(&mut session, flavor, look).await?;
            here = Some(session);
        }
        Err(blind) => look.here = Some(blind.evidence),
    }
    match open_there(home, membership).await? {
        Ok(session) => there = Some(session),
        Err(blind) => look.there = Some(blind.evidence),
    }
    Ok((here, there))
}

/// What keeps the server here from writing, or its applier.
async fn in_the_way(session: &mut Session, flavor: &Flavor, look: &mut Look) -> Result<()> {
    if let Some(variable) = flavor.read_only_default() {
        let row = session.one(format!("SELECT @@GLOBAL.{variable} AS only_reads")).await?;
        let value = row.and_then(|row| row.get("only_reads"));
        look.read_only = value.filter(|value| value != "0").map(|_| variable);
    }
    if look.read_only.is_none() {
        look.blocked = look::locks::blocked(session, flavor).await?;
    }
    Ok(())
}

/// Reads everything that the plan depends on, or refuses.
async fn look(
    context: &Context<'_>,
    home: &Home,
    membership: &Membership,
    args: &RepairArgs,
    cut_off: bool,
) -> Result<RepairScene> {
    let version = Database::of(home, &context.interrupt).version().await?;
    let Some(flavor) = Flavor::of(&version) else { bail!("{version} is not known") };
    let mut look = Look {
        role: membership.role,
        here: None,
        there: None,
        replica: None,
        read_only: None,
        blocked: None,
    };
    let (here, there) = open_both(home, membership, flavor, &mut look).await?;
    let refusals = check(&look);
    let (Some(here), Some(there), Some(replica), true) = (here, there, look.replica, refusals.is_empty())
    else {
        return Err(Failure::refused(refusals).into());
    };
    let applier = Applier::of(&replica);
    let mut nodes = Nodes::of(here, there, flavor, membership, &context.interrupt);
    let (writes, place) = against_the_rules(context, home, membership, &mut nodes.here).await?;
    let settled = applier == Applier::Runs;
    let structure = nodes.structure(settled).await?;
    let wanted = wanted(&structure, args, writes.as_ref(), settled && !cut_off)?;
    let is_meant = |table: &String| match &wanted.scope {
        Scope::Every => true,
        Scope::Tables(names) => names.contains(table),
    };
    let mut lacking = structure.lacking();
    lacking.retain(is_meant);
    let mut extra = structure.names.only_on_secondary.clone();
    extra.retain(|table| settled && is_meant(table));
    if !settled {
        // While the applier stands, only what it names is known to be more than a delay.
        let named = tables_named(&replica.applier_error.1, &membership.pair.schema);
        lacking.retain(|table| named.contains(&table.to_lowercase()));
    }
    let mut names = structure.alike();
    names.retain(is_meant);
    let found = nodes.differences(&structure, &names, settled).await?;
    let (long, most) = nodes.too_long(&structure, &found).await?;
    if !long.is_empty() {
        return Err(Failure::refused(vec![too_long(&long, most)]).into());
    }
    let mut left_out: Vec<_> =
        structure.unreadable.iter().filter(|(table, _)| is_meant(table)).cloned().collect();
    left_out.extend(found.unreadable);
    let mut changes = Vec::new();
    for (name, differences) in &found.rows {
        let Some(shape) = structure.here.get(name) else { continue };
        let Some(change) = sum_up(&membership.pair, name, shape.key().is_some(), differences) else {
            continue;
        };
        if shape.triggers && structure.defined.is_none() {
            left_out.push((name.clone(), SETS_OFF.into()));
        } else {
            changes.push(change);
        }
    }
    let with_rows: Vec<String> = changes.iter().map(|change| change.table.clone()).collect();
    let all = settled && wanted.scope == Scope::Every;
    let (undefine, define) = definitions(&structure, with_rows, &lacking, all);
    let kept = |table: &String| structure.here.get(table).map(|_| kept_name(table));
    let mut compared = wanted.scope.clone();
    if settled && !cut_off && !wanted.proves_every {
        // What is equal already need not be looked at again.
        let mut names = wanted.named;
        names.extend(changes.iter().map(|change| change.table.clone()));
        names.extend(extra.iter().cloned());
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() {
            compared = Scope::Tables(names);
        }
    }
    Ok(RepairScene {
        identity: look::home::identity(home)?,
        applier,
        cut_off,
        compared,
        lacking: lacking.into_iter().map(|table| (table.clone(), kept(&table))).collect(),
        extra: extra.into_iter().map(|table| (table.clone(), kept_name(&table))).collect(),
        changes,
        undefine,
        define,
        left_out,
        put_right: writes.filter(|writes| writes.by_rows).and(place),
        on_their_way: found.on_their_way,
        file: file_name(home),
    })
}

/// Which definitions go, and which are made as on the primary: those that differ, if `all` are looked
/// at, and the triggers of tables whose rows change. They come back when the rows are right.
fn definitions(
    structure: &Structure,
    with_rows: Vec<String>,
    lacking: &[String],
    all: bool,
) -> (Vec<Named>, Vec<Named>) {
    let (mut undefine, _) = structure.triggers_of(&with_rows);
    let (_, mut define) = structure.triggers_of(&[with_rows, lacking.to_vec()].concat());
    for found in structure.definitions.iter().filter(|_| all) {
        let list = if found.on_primary { &mut define } else { &mut undefine };
        list.push(found.what.clone());
    }
    for list in [&mut undefine, &mut define] {
        list.sort();
        list.dedup();
    }
    (undefine, define)
}

/// Why a table with triggers is left out.
const SETS_OFF: &str = "writing to it fires triggers, which would write more than the primary did";

/// Returns the errant writes in the local binlog, and its end before the reading.
async fn against_the_rules(
    context: &Context<'_>,
    home: &Home,
    membership: &Membership,
    session: &mut Session,
) -> Result<(Option<Written>, Option<(String, u64)>)> {
    let logs = session.binary_logs().await?;
    let place = logs.last().and_then(|row| Some((row.get("Log_name")?, row.get("File_size")?.parse().ok()?)));
    let mut after = None;
    for _ in 0..READINGS {
        context.interrupt.check()?;
        let read = errant::read_on(session, home, membership, after).await?;
        if read.unread > 0 {
            after = Some(read.reading);
            continue;
        }
        let whole = u64::try_from(read.found.len()).is_ok_and(|found| found == read.total);
        let writes = (read.total > 0).then(|| written(&read.found, whole, &membership.pair.schema));
        return Ok((writes, place));
    }
    context.ui.warn("not all writes on this node have been checked yet: see `pmp-ha verify`");
    Ok((None, None))
}

/// What is compared.
struct Comparison {
    /// The tables.
    scope: Scope,
    /// Those that the operator or a write against the rules names.
    named: Vec<String>,
    /// Whether a write against the rules does not say its table.
    proves_every: bool,
}

/// Which tables have to be compared: all, unless the operator names some and nothing speaks against it.
fn wanted(
    structure: &Structure,
    args: &RepairArgs,
    writes: Option<&Written>,
    can_choose: bool,
) -> Result<Comparison> {
    let mut named = Vec::new();
    for table in &args.tables {
        let Some(name) = structure.meant(table) else {
            bail!(
                Failure::new(Kind::Usage, format!("there is no table {table}"))
                    .because("neither node has it in the schema of the product")
                    .hint("Name a table of the product, without the schema.")
            );
        };
        named.push(name);
    }
    let mut proves_every = false;
    match writes.map(|writes| &writes.scope) {
        Some(Scope::Every) => proves_every = true,
        // Those that are gone differ in their making.
        Some(Scope::Tables(written)) => {
            named.extend(written.iter().filter_map(|table| structure.meant(table)));
        }
        None => {}
    }
    let some = can_choose && !args.tables.is_empty() && !proves_every;
    let scope = if some { Scope::Tables(named.clone()) } else { Scope::Every };
    Ok(Comparison { scope, named, proves_every })
}
