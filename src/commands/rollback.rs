//! `pmp-ha rollback`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::home::{Home, datadir, kept};
use crate::adapters::look;
use crate::apply::{Runner, Settled, cut_off_run};
use crate::domain::journal::{Due, OpenRun};
use crate::domain::plan::{Command, Plan};
use crate::domain::procedures::rollback::{RollbackScene, plan};
use crate::domain::settling::Settling;
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct WentBack {
    home: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    #[serde(skip)]
    to: String,
    next: &'static str,
}

impl WentBack {
    fn of(home: &Home, plan: &Plan) -> Self {
        let kept = plan.keeps().map(|name| datadir::parent(home).join(name).display().to_string());
        let to = "is as it was when it was kept".into();
        Self { home: home.root().display().to_string(), kept, to, next: "pmp-ha start" }
    }

    /// Prints the result if an interrupted run was all there was to undo.
    fn before(home: &Home, command: Command) -> Self {
        let to = format!("is as it was before the interrupted `pmp-ha {command}`");
        let next = "pmp-ha start; or pmp-ha rollback again, to return to an older state";
        Self { home: home.root().display().to_string(), kept: None, to, next }
    }
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}.", self.home, self.to)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "  the previous state is kept: {kept}; pmp-ha rollback returns to it")?;
        }
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    if let Some(run) = cut_off_run(&home)? {
        refuse_repair_that_has_begun(&run)?;
        if context.global.dry_run {
            return context.ui.data(&Settling::of(&run));
        }
        let command = run.plan.command;
        match runner.settle_run(run).await? {
            Settled::Finished(plan) if command == Command::Rollback => {
                return context.ui.data(&WentBack::of(&home, &plan));
            }
            // What was there before it is kept: it can be taken back all the same.
            Settled::Finished(plan) if plan.keeps().is_some() => {}
            Settled::Finished(_) => bail!(only_finished(command)),
            Settled::RolledBack if command != Command::Rollback => {
                return context.ui.data(&WentBack::before(&home, command));
            }
            Settled::RolledBack | Settled::Nothing => {}
        }
    }
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let scene = RollbackScene {
        home: look::home::scene(&home, &context.interrupt).await?,
        kept: look::home::kept_state(&home)?,
        current_name: kept::free_name(&home, &format!("data.before-rollback-{stamp}")),
    };
    let plan = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.drive(&plan).await?;
    context.ui.data(&WentBack::of(&home, &plan))
}

/// Returns the failure for a run that was finished instead of rolled back.
fn only_finished(command: Command) -> Failure {
    Failure::new(Kind::Refused, format!("the interrupted `pmp-ha {command}` cannot be undone"))
        .code("past-no-return")
        .because("it had passed its point of no return: it is finished now")
        .hint("No run is open. If an earlier state was kept, `pmp-ha rollback` still returns to it.")
}

/// Returns the refusal for a repair that has changed rows: it can only be run again.
fn refuse_repair_that_has_begun(run: &OpenRun) -> Result<()> {
    match (run.plan.old_rows(), run.due()) {
        (Some(file), Due::Forward(_)) => bail!(
            Failure::new(Kind::Refused, "the interrupted `pmp-ha repair` cannot be undone")
                .code("past-no-return")
                .because(format!("it has begun to change rows; the old rows are in {file}"))
                .hint("Run `pmp-ha resume`: it compares every table with the primary's and makes it equal.")
        ),
        _ => Ok(()),
    }
}
