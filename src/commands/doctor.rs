//! `pmp-ha doctor`

use anyhow::{Result, bail};

use super::Context;
use crate::adapters::clock::now;
use crate::adapters::home::Home;
use crate::adapters::look;
use crate::apply::refuse_cut_off_run;
use crate::cli::DoctorArgs;
use crate::config::Config;
use crate::domain::doctor::report::{DoctorReport, SCHEMA};
use crate::domain::doctor::{diagnose, next_step};
use crate::domain::pair::Endpoint;
use crate::failure::{Failure, Kind};

pub async fn run(context: &Context<'_>, args: DoctorArgs) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let waiting = context.ui.spinner("this node is checked");
    let report = tokio::select! {
        report = Box::pin(examined(context, &home, &config, args.peer.as_ref())) => report?,
        () = context.interrupt.wanted() => bail!(Failure::interrupted()),
    };
    drop(waiting);
    context.ui.data(&report)?;
    if !report.healthy {
        bail!(Failure::new(Kind::NotAlive, "the doctor found a failure"));
    }
    Ok(())
}

/// Checks the home, and reports the results.
pub(super) async fn examined(
    context: &Context<'_>,
    home: &Home,
    config: &Config,
    peer: Option<&Endpoint>,
) -> Result<DoctorReport> {
    let cut_off = refuse_cut_off_run(home).err().map(|error| {
        let failure = Failure::from_error(error);
        failure.because.into_iter().next().unwrap_or(failure.what)
    });
    let scene = Box::pin(look::doctor::scene(home, config, peer, cut_off, &context.interrupt)).await?;
    let points = diagnose(&scene);
    Ok(DoctorReport {
        schema: SCHEMA,
        at: now(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        home: home.root().display().to_string(),
        role: scene.home.membership.as_ref().map_or(scene.home.role, |own| own.role),
        in_a_pair: scene.home.membership.is_some(),
        healthy: DoctorReport::is_healthy(&points),
        next: next_step(&scene, &points),
        points,
    })
}
