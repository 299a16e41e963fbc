//! `pmp-ha teardown`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::home::Home;
use crate::adapters::look;
use crate::apply::Runner;
use crate::cli::TeardownArgs;
use crate::domain::plan::{Command, Plan};
use crate::domain::procedures::teardown::{left_as, next, plan};
use crate::failure::Failure;

/// The settings, which the administrator wrote.
const SETTINGS: &str = "conf/pmp-ha.toml";

/// What is left of a node.
#[derive(Serialize)]
struct TornDown {
    home: String,
    /// Whether the settings stay, which are no file of pmp-ha's own.
    settings_stay: bool,
    /// What it means for the other node, if this home was in a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_node: Option<String>,
    next: &'static str,
}

impl TornDown {
    fn of(home: &Home, plan: &Plan) -> Self {
        let (role, other_node) = left_as(plan).unzip();
        Self {
            home: home.root().display().to_string(),
            settings_stay: home.path(SETTINGS).is_file(),
            other_node,
            next: next(role.unwrap_or_else(|| home.role())),
        }
    }
}

impl fmt::Display for TornDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = &self.home;
        if self.settings_stay {
            writeln!(
                f,
                "{home} no longer belongs to a pair. Of pmp-ha, only your settings are left: {SETTINGS}."
            )?;
        } else {
            writeln!(f, "{home} no longer belongs to a pair, and no file of pmp-ha is left there.")?;
        }
        if let Some(other) = &self.other_node {
            writeln!(f, "The other node: {other}.")?;
        }
        write!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: TeardownArgs) -> Result<()> {
    // A home that has nothing to take off shall not get a log and a lock by being asked.
    let home = context.home_that_is_only_named()?;
    let config = context.config(&home)?;
    if home.membership()?.is_none() && !home.journal().is_file() {
        let scene = look::teardown::scene(&home, args.discard_kept, &context.interrupt).await?;
        plan(&scene).map_err(Failure::refused)?;
    }
    let home = context.home()?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let settled = context.settled(&mut runner).await?;
    if let Some(finished) = settled.finished(Command::Teardown) {
        return context.ui.done(&TornDown::of(&home, finished));
    }
    let scene = look::teardown::scene(&home, args.discard_kept, &context.interrupt).await?;
    let planned = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&planned)? {
        return Ok(());
    }
    runner.drive(&planned).await?;
    context.ui.done(&TornDown::of(&home, &planned))
}
