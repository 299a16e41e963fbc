//! `pmp-ha rejoin`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::{Context, install_pack};
use crate::adapters::home::Home;
use crate::adapters::look::{self, other_node};
use crate::adapters::server::process::Database;
use crate::apply::Runner;
use crate::cli::RejoinArgs;
use crate::domain::pair::Role;
use crate::domain::plan::Command;
use crate::domain::procedures::rejoin::{RejoinScene, plan};
use crate::failure::Failure;

#[derive(Serialize)]
struct Rejoined {
    home: String,
    primary: String,
    epoch: u64,
    next: String,
}

impl fmt::Display for Rejoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is now the secondary of {}, in epoch {}.", self.home, self.primary, self.epoch)?;
        writeln!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: RejoinArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let settled = context.settled(&mut runner).await?;
    if settled.finished(Command::Rejoin).is_some() {
        return rejoined(context, &home);
    }
    let scene = observe(context, &home).await?;
    if args.pack.is_some() {
        install_pack::over_an_old_primary(context, &home, &config, &mut runner, scene, args).await?;
        return rejoined(context, &home);
    }
    let plan = plan(&scene).map_err(Failure::refused)?.with_hooks(&config.hooks.programs());
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.drive(&plan).await?;
    rejoined(context, &home)
}

async fn observe(context: &Context<'_>, home: &Home) -> Result<RejoinScene> {
    let scene = look::home::scene(home, &context.interrupt).await?;
    let other = match scene.membership.as_ref().filter(|own| own.role == Role::Primary) {
        None => Ok(None),
        Some(own) => other_node::ask(home, own).await.map_err(|blind| blind.evidence),
    };
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    Ok(RejoinScene {
        running: Database::of(home, &context.interrupt).serving_pid().await?.is_some(),
        product_runs: look::home::product_processes(home)
            .into_iter()
            .map(|(pid, program)| format!("Password Manager Pro runs here: process {pid} ({program})"))
            .collect(),
        other,
        file: home.replication().join(format!("pmp-ha-extra-{stamp}.sql")).to_string_lossy().into_owned(),
        home: scene,
    })
}

fn rejoined(context: &Context<'_>, home: &Home) -> Result<()> {
    let membership = home.require_membership()?;
    context.ui.data(&Rejoined {
        home: home.root().display().to_string(),
        primary: membership.peer().to_string(),
        epoch: membership.pair.epoch,
        next: "pmp-ha verify; then restart Password Manager Pro here (it reads its role when it starts)"
            .into(),
    })
}
