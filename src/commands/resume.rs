//! `pmp-ha resume`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::{Context, repair};
use crate::apply::{Runner, Settled, cut_off_run};
use crate::cli::RepairArgs;
use crate::domain::plan::Command;
use crate::domain::settling::Settling;

/// What happened to the interrupted run.
#[derive(Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Resumed {
    /// There was none.
    NothingOpen { home: String },
    /// It was undone.
    RolledBack { home: String, command: Command },
    /// It was finished.
    Finished { home: String, command: Command, target: String },
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingOpen { home } => writeln!(f, "No run is open in {home}."),
            Self::RolledBack { home, command } => {
                writeln!(f, "{home} is as it was before the interrupted `pmp-ha {command}`.")
            }
            Self::Finished { home, command, target } => {
                writeln!(f, "The interrupted `pmp-ha {command}` is finished in {home}: {target}")
            }
        }
    }
}

pub async fn run(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let root = home.root().display().to_string();
    let Some(run) = cut_off_run(&home)? else {
        return context.ui.data(&Resumed::NothingOpen { home: root });
    };
    if run.plan.is_repair() {
        // It looks anew at everything, and says itself what it is about to do.
        drop(runner);
        let return_channel = run.plan.is_about_the_return_channel();
        return Box::pin(repair::run(context, RepairArgs { tables: Vec::new(), return_channel })).await;
    }
    let settling = Settling::of(&run);
    if context.global.dry_run {
        return context.ui.data(&settling);
    }
    if context.ui.can_ask() {
        context.ui.say(&settling);
    }
    context.ui.confirm("Do this?")?;
    let command = run.plan.command;
    context.ui.data(&match runner.settle_run(run).await? {
        Settled::Nothing => Resumed::NothingOpen { home: root },
        Settled::RolledBack => Resumed::RolledBack { home: root, command },
        Settled::Finished(plan) => Resumed::Finished { home: root, command, target: plan.target() },
    })
}
