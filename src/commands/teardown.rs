//! `pmp-ha teardown`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::look;
use crate::apply::{Runner, Settled};
use crate::cli::TeardownArgs;
use crate::domain::plan::Command;
use crate::domain::procedures::teardown::{for_the_other_node, plan};
use crate::failure::Failure;

/// What is left of a node.
#[derive(Serialize)]
struct TornDown {
    home: String,
    /// What it means for the other node, if this home was in a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_node: Option<String>,
    next: &'static str,
}

impl fmt::Display for TornDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} belongs to no pair any more, and pmp-ha has left no file there.", self.home)?;
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
    let done = |other_node| TornDown {
        home: home.root().display().to_string(),
        other_node,
        next: "start Password Manager Pro with its own service",
    };
    if let Settled::Finished(run) = &settled
        && run.command == Command::Teardown
    {
        return context.ui.done(&done(None));
    }
    let scene = look::teardown::scene(&home, args.discard_kept, &context.interrupt).await?;
    let planned = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&planned)? {
        return Ok(());
    }
    let meaning = scene.home.membership.as_ref().map(for_the_other_node);
    runner.drive(&planned).await?;
    context.ui.done(&done(meaning))
}
