//! `pmp-ha rollback`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::home::{Home, datadir, kept};
use crate::adapters::look;
use crate::apply::{Runner, Settled, cut_off_run};
use crate::domain::journal::{Due, Progress};
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
        let to = "is what it was when it was kept".into();
        Self { home: home.root().display().to_string(), kept, to, next: "pmp-ha start" }
    }

    /// A run that was cut off was all that there was to take back.
    fn before(home: &Home, command: Command) -> Self {
        let to = format!("is what it was before the `pmp-ha {command}` that was cut off");
        let next = "pmp-ha start, or pmp-ha rollback once more to go back further";
        Self { home: home.root().display().to_string(), kept: None, to, next }
    }
}

impl fmt::Display for WentBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}.", self.home, self.to)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "  what was in use until now is kept: {kept}; pmp-ha rollback returns to it")?;
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

/// A run that was taken up behind its point of no return has not been rolled back, as was asked for.
fn only_finished(command: Command) -> Failure {
    Failure::new(Kind::Refused, format!("the `pmp-ha {command}` that was cut off cannot be taken back"))
        .because("it was behind its point of no return: it is finished now")
        .hint("Nothing is open any more. What was kept before it, if anything was, `pmp-ha rollback` still returns to.")
}

/// A repair that has changed rows is only taken up anew: it compares every table.
fn refuse_repair_that_has_begun(run: &Progress) -> Result<()> {
    match (run.plan.old_rows(), run.due()) {
        (Some(file), Due::Forward(_)) => bail!(
            Failure::new(Kind::Refused, "the `pmp-ha repair` that was cut off cannot be taken back")
                .because(format!("it has begun to change rows; as they were they are in {file}"))
                .hint("Run `pmp-ha resume`: every table is compared with the primary's and made equal.")
        ),
        _ => Ok(()),
    }
}
