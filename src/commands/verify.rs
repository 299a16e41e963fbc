//! `pmp-ha verify`

use anyhow::{Result, bail};

use super::Context;
use crate::adapters::snapshot;
use crate::apply::refuse_cut_off_run;
use crate::domain::health::Status;
use crate::domain::judge::{judge, no_pair};
use crate::failure::{Failure, Kind};

pub async fn run(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    // The two words come first whatever happens; what is said here goes to stderr.
    if let Err(cut_off) = refuse_cut_off_run(&home) {
        context.ui.warn(cut_off);
    }
    let health = match home.membership()? {
        Some(membership) => {
            let seen = snapshot::take(&home, membership, &config, &context.interrupt).await?;
            judge(&seen, config.limits())
        }
        None => no_pair(&format!("{} has no conf/pmp-ha/pair.toml", home.root().display())),
    };
    context.ui.data(&health)?;
    if (health.high_availability, health.replication) != (Status::Alive, Status::Alive) {
        bail!(Failure::new(Kind::NotAlive, "the pair is not Alive"));
    }
    Ok(())
}
