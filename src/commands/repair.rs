//! `pmp-ha repair`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::home::Home;
use crate::adapters::look::rows::{ApplierFailed, Nodes, open_here, open_there, replica};
use crate::adapters::look::{self, errant};
use crate::adapters::server::process::Database;
use crate::adapters::server::session::Session;
use crate::apply::repair::{file_name, kept_name, make_strict};
use crate::apply::{Runner, cut_off_run, refuse_cut_off_run};
use crate::cli::RepairArgs;
use crate::config::Config;
use crate::domain::flavor::Flavor;
use crate::domain::health::Health;
use crate::domain::judge::judge;
use crate::domain::pair::{Membership, Role};
use crate::domain::plan::{Plan, Scope, Step, TableChange};
use crate::domain::procedures::repair::{Applier, Look, RepairScene, Written, check, plan, written};
use crate::domain::rows::tables_named;
use crate::domain::settings::OWN_SCHEMA;
use crate::failure::{Failure, Kind};

/// How often the binlog here is read on: each time reads for a little less than a second.
const READINGS: usize = 60;

#[derive(Serialize)]
struct Repaired {
    #[serde(flatten)]
    health: Health,
    compared: Scope,
    changes: Vec<TableChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_rows: Option<String>,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.health)?;
        match &self.old_rows {
            None => writeln!(f, "  nothing to repair"),
            Some(file) => {
                writeln!(f, "  compared after the repair, and equal: {}", self.compared)?;
                writeln!(
                    f,
                    "  the rows as they were: {file}; it holds values of the vault, remove it when it is not needed"
                )
            }
        }
    }
}

pub async fn run(context: &Context<'_>, args: RepairArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let membership = home.require_membership()?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let cut_off = match cut_off_run(&home)? {
        Some(run) if run.plan.is_repair() => true,
        Some(_) => return refuse_cut_off_run(&home),
        None => false,
    };
    if cut_off && !context.global.dry_run {
        context.ui.say("An earlier `pmp-ha repair` was cut off: the applier is strict again, and every table is compared.");
        make_strict(&runner).await?;
    }
    let spinner = context.ui.spinner("the nodes are compared");
    let mut scene = look(context, &home, &membership, &args, cut_off).await;
    if scene.as_ref().is_err_and(anyhow::Error::is::<ApplierFailed>) {
        // It has stopped while it was looked at, and is looked at as that.
        scene = look(context, &home, &membership, &args, cut_off).await;
    }
    drop(spinner);
    let scene = scene?;
    let planned = plan(&scene).map_err(Failure::refused)?;
    if let Some(plan) = &planned {
        if !context.agreed(plan)? {
            return Ok(());
        }
        runner.drive(plan).await?;
    } else if cut_off && !context.global.dry_run {
        runner.close_repair()?;
    }
    context.ui.data(&result(context, &home, membership, &config, planned.as_ref(), scene).await?)
}

async fn result(
    context: &Context<'_>,
    home: &Home,
    membership: Membership,
    config: &Config,
    plan: Option<&Plan>,
    scene: RepairScene,
) -> Result<Repaired> {
    let health =
        judge(&look::pair::take(home, membership, config, &context.interrupt).await?, config.limits());
    let proven = plan.and_then(|plan| plan.steps.last()).and_then(|step| match step {
        Step::ProveEqual { scope, .. } => Some(scope.clone()),
        _ => None,
    });
    Ok(Repaired {
        health,
        old_rows: proven.as_ref().map(|_| scene.file),
        compared: proven.unwrap_or(scene.compared),
        changes: scene.changes,
    })
}

/// Looks at everything that the plan depends on, or refuses.
async fn look(
    context: &Context<'_>,
    home: &Home,
    membership: &Membership,
    args: &RepairArgs,
    cut_off: bool,
) -> Result<RepairScene> {
    let version = Database::of(home, &context.interrupt).version().await?;
    let Some(flavor) = Flavor::of(&version) else { bail!("{version} is not known") };
    let mut look = Look { role: membership.role, here: None, there: None, replica: None };
    let (mut here, mut there) = (None, None);
    if membership.role == Role::Secondary {
        match open_here(home).await? {
            Ok(mut session) => {
                look.replica = replica(&mut session, flavor).await?;
                here = Some(session);
            }
            Err(blind) => look.here = Some(blind.evidence),
        }
        match open_there(home, membership).await? {
            Ok(session) => there = Some(session),
            Err(blind) => look.there = Some(blind.evidence),
        }
    }
    let refusals = check(&look);
    let (Some(here), Some(there), Some(replica), true) = (here, there, look.replica, refusals.is_empty())
    else {
        return Err(Failure::refused(refusals).into());
    };
    let applier = Applier::of(&replica);
    let mut nodes = Nodes::of(here, there, flavor, membership, &context.interrupt);
    let (writes, place) = against_the_rules(context, home, membership, &mut nodes.here).await?;
    let compared = scope(&mut nodes, args, writes.as_ref(), &applier, cut_off).await?;
    let settled = applier == Applier::Runs;
    let mut lacking = nodes.other_shapes(settled).await?;
    let (here, there) = nodes.shapes().await?;
    if !settled {
        // While the applier stands, only what it names is known to be more than a delay.
        let named = tables_named(&replica.applier_error.1, &membership.pair.schema);
        lacking.retain(|table| named.contains(table));
    }
    let names = match &compared {
        Scope::Every => there.keys().cloned().collect(),
        Scope::Tables(names) => names.clone(),
    };
    let found = nodes.differences(&names, settled).await?;
    if settled && let Some(table) = found.not_compared.iter().find(|table| !lacking.contains(table)) {
        bail!("the table {table} was made otherwise while it was compared: run `pmp-ha repair` again");
    }
    let (mut changes, mut with_triggers) = (Vec::new(), Vec::new());
    for (name, differences) in &found.rows {
        let Some(shape) = here.get(name) else { continue };
        let Some(change) = shape.sum_up(&membership.pair, differences) else { continue };
        changes.push(change);
        if shape.triggers {
            with_triggers.push(name.clone());
        }
    }
    let kept = |table: &String| here.contains_key(table).then(|| kept_name(table));
    Ok(RepairScene {
        identity: look::home::identity(home)?,
        applier,
        cut_off,
        compared,
        lacking: lacking.into_iter().map(|table| (table.clone(), kept(&table))).collect(),
        changes,
        with_triggers,
        put_right: writes.filter(|writes| writes.by_rows).and(place),
        on_their_way: found.on_their_way,
        file: file_name(home),
    })
}

/// The writes against the rules in the binlog here, and its end before it was read.
async fn against_the_rules(
    context: &Context<'_>,
    home: &Home,
    membership: &Membership,
    session: &mut Session,
) -> Result<(Option<Written>, Option<(String, u64)>)> {
    let logs = session.query("SHOW BINARY LOGS").await?;
    let place = logs.last().and_then(|row| Some((row.get("Log_name")?, row.get("File_size")?.parse().ok()?)));
    for _ in 0..READINGS {
        context.interrupt.check()?;
        let read = errant::read_on(session, home, membership).await?;
        if read.unread > 0 {
            continue;
        }
        let whole = u64::try_from(read.found.len()).is_ok_and(|found| found == read.total);
        let writes = (read.total > 0).then(|| written(&read.found, whole, &membership.pair.schema));
        return Ok((writes, place));
    }
    context.ui.warn("not everything that was written on this node has been looked at: see `pmp-ha verify`");
    Ok((None, None))
}

/// Which tables have to be compared.
async fn scope(
    nodes: &mut Nodes<'_>,
    args: &RepairArgs,
    writes: Option<&Written>,
    applier: &Applier,
    cut_off: bool,
) -> Result<Scope> {
    let (_, there) = nodes.shapes().await?;
    let mut names = Vec::new();
    for table in &args.tables {
        let name = table.to_lowercase();
        if !there.contains_key(&name) {
            bail!(
                Failure::new(Kind::Usage, format!("there is no table {table}"))
                    .because(format!("the primary does not have it in {}", nodes.pair.schema))
                    .hint("Name a table of the product, without its schema.")
            );
        }
        names.push(name);
    }
    if *applier != Applier::Runs || cut_off {
        return Ok(Scope::Every);
    }
    match writes.map(|writes| &writes.scope) {
        Some(Scope::Every) => return Ok(Scope::Every),
        // Those that are gone differ in their making.
        Some(Scope::Tables(written)) => {
            names.extend(written.iter().filter(|table| there.contains_key(*table)).cloned());
        }
        None => {}
    }
    names.extend(flagged(&mut nodes.here, &nodes.pair.schema).await?);
    names.sort_unstable();
    names.dedup();
    Ok(Scope::Tables(names))
}

/// The tables in which the last comparison of the data has found a difference.
async fn flagged(session: &mut Session, schema: &str) -> Result<Vec<String>> {
    if session.one(format!("SHOW TABLES FROM {OWN_SCHEMA} LIKE 'checksum'")).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = session
        .query(format!(
            "SELECT DISTINCT tbl FROM {OWN_SCHEMA}.checksum WHERE rows_here <> rows_source OR crc_here <> crc_source"
        ))
        .await?;
    let plain = |name: String| {
        let name = name.to_lowercase();
        name.strip_prefix(&format!("{}.", schema.to_lowercase())).map_or(name.clone(), ToOwned::to_owned)
    };
    Ok(rows.iter().filter_map(|row| row.get("tbl")).map(plain).collect())
}
