//! `pmp-ha verify --deep`

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Context;
use crate::adapters::look;
use crate::apply::refuse_cut_off_run;
use crate::cli::VerifyArgs;
use crate::deep;
use crate::domain::chronicle::occurrence::Happening;
use crate::domain::deep::refusals;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Role;
use crate::failure::{Failure, Kind};

pub async fn run(context: &Context<'_>, args: VerifyArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    refuse_cut_off_run(&home)?;
    let membership = home.require_membership()?;
    if membership.role == Role::Secondary {
        bail!(
            Failure::new(Kind::Refused, "cannot compare the data from here")
                .code("is-secondary")
                .because(format!("{} is the secondary of the pair", home.root().display()))
                .hint(format!("Run `pmp-ha verify --deep` on {}.", membership.peer().host))
        );
    }
    let seen = look::pair::take(&home, membership.clone(), &config, &context.interrupt).await?;
    let refusals = refusals(&seen);
    if !refusals.is_empty() {
        bail!(Failure::refused(refusals));
    }
    let server = seen.server(Role::Primary).context("the primary was not seen")?;
    let flavor = Flavor::of(&server.version).with_context(|| format!("{} is not known", server.version))?;
    let mut wanted = args.tables;
    wanted.sort();
    wanted.dedup();
    let task = deep::Task {
        home: &home,
        membership: &membership,
        config: &config,
        flavor,
        ui: context.ui,
        interrupt: &context.interrupt,
        wanted,
        pause: Duration::from_millis(args.pause),
        anew: args.anew,
    };
    if context.global.dry_run {
        return context.ui.data(&deep::outline(&task).await?);
    }
    let report = deep::compare(&task).await?;
    context.ui.data(&report)?;
    let result =
        if report.same { "the data of both nodes are the same" } else { "the data of the two nodes differ" };
    context.remember(&home, Happening::Compared { equal: report.same, result: result.into() });
    if !report.same {
        bail!(Failure::new(Kind::NotAlive, "the data of the two nodes differ"));
    }
    Ok(())
}
