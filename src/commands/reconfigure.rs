//! `pmp-ha reconfigure`

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::Context;
use crate::adapters::look;
use crate::apply::Runner;
use crate::cli::ReconfigureArgs;
use crate::domain::procedures::reconfigure::{ReconfigureScene, plan};
use crate::failure::Failure;

#[derive(Serialize)]
struct Reconfigured {
    home: String,
    next: &'static str,
}

impl fmt::Display for Reconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "next: {}", self.next)
    }
}

pub async fn run(context: &Context<'_>, args: ReconfigureArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    context.settled(&mut runner).await?;
    context.still_primary(&home).await?;
    let scene = ReconfigureScene {
        home: look::home::scene(&home, &context.interrupt).await?,
        own_port: args.own_port,
        peer_port: args.peer_port,
        audit_tables: config.replication.audit_tables.clone(),
        local_tables: config.replication.local_tables.clone(),
    };
    let plan = plan(&scene).map_err(Failure::refused)?;
    if !context.agreed(&plan)? {
        return Ok(());
    }
    runner.drive(&plan).await?;
    let home = home.root().display().to_string();
    context.ui.done(&Reconfigured { home, next: "pmp-ha verify" })
}
