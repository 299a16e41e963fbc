//! `pmp-ha start` and `pmp-ha stop`

use std::fmt;

use anyhow::{Result, bail};
use serde::Serialize;

use super::Context;
use crate::adapters::home::{Home, entry, remembered};
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look::{self, tfa};
use crate::adapters::server::process::Database;
use crate::adapters::server::quiet;
use crate::adapters::system;
use crate::apply::{node_files, refuse_held_database};
use crate::domain::flavor::Flavor;
use crate::domain::pair::Role;
use crate::domain::snapshot::{Deviation, Tfa};
use crate::failure::{Failure, Kind};

#[derive(Serialize)]
struct DatabaseService {
    home: String,
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
    #[serde(skip)]
    what: String,
}

impl fmt::Display for DatabaseService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "The database of {} {}.", self.home, self.what)
    }
}

pub async fn start(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let database = Database::of(&home, &context.interrupt);
    let up = |pid, what| DatabaseService { home: shown(&home), running: true, process: Some(pid), what };
    let left_behind = database.offline_boots();
    if let Some(pid) = database.serving_pid().await?
        && !left_behind.contains(&pid)
    {
        if !context.global.dry_run
            && home.membership()?.is_some()
            && quiet::events_on(&home).await.unwrap_or(false)
        {
            context.ui.warn("a stop was killed and left the event scheduler off; pmp-ha turned it on");
        }
        return context.ui.done(&up(pid, format!("is already running, process {pid}")));
    }
    require_whole(&home)?;
    refuse_held_database(&home)?;
    context.still_primary(&home).await?;
    if let Some(why) = look::home::database_port_taken(&home) {
        bail!(
            Failure::new(Kind::Refused, "cannot start the database")
                .code("port-taken")
                .because(why)
                .hint("Find and stop the program that listens on the port in conf/database_params.conf.")
        );
    }
    if context.global.dry_run {
        return context.ui.would(&format!("run {}", home.start_script().display()));
    }
    entry::require_usable(&home)?;
    let _lock = system::lock_home(home.root())?;
    if !left_behind.is_empty() {
        // A run that was cut off has booted it, and nobody can use it.
        database.clear_offline_boot(config.stop_deadline()).await?;
    }
    let version = database.version().await?;
    let membership = home.membership()?;
    if let (Some(membership), Some(flavor)) = (&membership, Flavor::of(&version)) {
        node_files::refresh(&home, membership, flavor, &config)?;
    }
    let spinner = context.ui.spinner("the database is starting");
    let started = database.start(config.start_deadline()).await;
    drop(spinner);
    let pid = match started {
        Ok(pid) => pid,
        Err(error) => {
            // A start that was cut off, or took too long, must not leave a server half up behind.
            let uninterrupted = Interrupt::default();
            Database::of(&home, &uninterrupted).stop(config.stop_deadline()).await?;
            return Err(error);
        }
    };
    context.ui.done(&up(pid, format!("is up: {version}, process {pid}")))?;
    if let Some(membership) = membership {
        if membership.role == Role::Secondary {
            let noted = match tfa::look(&home, &config).await {
                Tfa::Unknown(why) => Err(why),
                seen => remembered::tfa::remember(&home, &seen).map_err(|error| format!("{error:#}")),
            };
            if let Err(why) = noted {
                context.ui.warn(format!("the TFA setting could not be recorded: {why}"));
            }
        }
        let deviations = look::pair::local_deviations(&home, &membership, &config, &context.interrupt).await;
        let (absent, others): (Vec<_>, Vec<_>) =
            deviations.into_iter().partition(Deviation::is_for_want_of_semi_sync);
        if !absent.is_empty() {
            context.ui.warn("this server has no semi-synchronous replication: see `pmp-ha verify`");
        }
        for deviation in others {
            let (variable, wanted) = (deviation.variable, deviation.wanted);
            context
                .ui
                .warn(format!("it runs without the setting {variable} = {wanted}: see `pmp-ha verify`"));
        }
    }
    Ok(())
}

pub async fn stop(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    if context.global.dry_run {
        return context.ui.would("stop the database");
    }
    entry::require_usable(&home)?;
    let _lock = system::lock_home(home.root())?;
    let spinner = context.ui.spinner("the database is stopping");
    if let Ok(Some(membership)) = home.membership()
        && let Some(reading) = look::returned::before_a_stop(&home, &membership).await
    {
        // ignored: it keeps no server from being stopped, and `verify` says what cannot be read
        let _ = remembered::returned::store(&home, &reading);
    }
    let uninterrupted = Interrupt::default();
    let database = Database::of(&home, &uninterrupted);
    let stopped = tokio::select! {
        stopped = database.stop(config.stop_deadline()) => stopped?,
        // What was begun goes on in the server, and nobody waits for it any more.
        () = context.interrupt.wanted() => {
            // ignored: a server that is about to end lets nobody in, and needs no events
            let _ = quiet::events_on(&home).await;
            bail!(
                Failure::new(Kind::Interrupted, "interrupted: the database may still stop")
                    .because("it had not stopped yet")
                    .hint("Run `pmp-ha stop` again: it waits until the database has stopped.")
            )
        }
    };
    drop(spinner);
    let what = if stopped { "has stopped cleanly" } else { "was not running" };
    context.ui.done(&DatabaseService { home: shown(&home), running: false, process: None, what: what.into() })
}

fn shown(home: &Home) -> String {
    home.root().display().to_string()
}

fn require_whole(home: &Home) -> Result<()> {
    let missing = home.missing();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Kind::Refused, "cannot start the database")
        .code("home-incomplete")
        .because(format!("the home is incomplete: {} is missing", missing.join(", ")))
        .hint("Name the folder of a complete installation with --home.")
        .into())
}
