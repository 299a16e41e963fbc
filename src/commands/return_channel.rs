//! `pmp-ha repair --return-channel`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::look::rows::{open_here, replica};
use crate::adapters::look::{self, returned};
use crate::adapters::server::process::Database;
use crate::apply::{Runner, cut_off_run, refuse_cut_off_run};
use crate::domain::flavor::Flavor;
use crate::domain::health::Health;
use crate::domain::judge::judge;
use crate::domain::procedures::return_channel::{ReturnScene, check, plan};
use crate::failure::Failure;

/// How many times reading of the relay logs continues; each time takes just under a second.
const READINGS: usize = 60;

#[derive(Serialize)]
struct RepairedChannel {
    #[serde(flatten)]
    health: Health,
    nothing_to_repair: bool,
}

impl fmt::Display for RepairedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.health, self.health.more())?;
        if self.nothing_to_repair {
            writeln!(f, "  nothing to repair in the return channel")?;
        }
        Ok(())
    }
}

pub async fn run(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let membership = home.require_membership()?;
    let mut runner = Runner::lock(&home, context.ui, &config, &context.interrupt)?;
    let cut_off = match cut_off_run(&home)? {
        // It looks anew at everything.
        Some(run) if run.plan.is_about_the_return_channel() => true,
        Some(_) => return refuse_cut_off_run(&home),
        None => false,
    };
    context.still_primary(&home).await?;
    let version = Database::of(&home, &context.interrupt).version().await?;
    let Some(flavor) = Flavor::of(&version) else { bail!("{version} is not known") };
    let mut look = ReturnScene {
        identity: look::home::identity(&home)?,
        role: membership.role,
        here: None,
        applier_error: None,
        limited: flavor.limits_the_applier(),
        returned: None,
    };
    match open_here(&home).await? {
        Err(blind) => look.here = Some(blind.evidence),
        Ok(mut session) => {
            let seen = replica(&mut session, flavor).await?;
            look.applier_error = seen.filter(|view| !view.applier_runs).map(|view| view.applier_error);
            for _ in 0..READINGS {
                context.interrupt.check()?;
                if look.limited {
                    break;
                }
                let after = look.returned.take();
                let read = returned::read_on(&mut session, flavor, &home, &membership, after).await?;
                look.returned = Some(read.reading);
                if !read.more {
                    break;
                }
            }
            session.close().await;
        }
    }
    let refusals = check(&look);
    if !refusals.is_empty() {
        bail!(Failure::refused(refusals));
    }
    let planned = plan(&look);
    if let Some(plan) = &planned {
        if !context.agreed(plan)? {
            return Ok(());
        }
        runner.drive(plan).await?;
    } else if cut_off && !context.global.dry_run {
        runner.close_repair()?;
    }
    let seen = look::pair::take(&home, membership, &config, &context.interrupt).await?;
    let health = judge(&seen, config.limits());
    context.ui.data(&RepairedChannel { health, nothing_to_repair: planned.is_none() })
}
