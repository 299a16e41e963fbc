//! `pmp-ha start` and `pmp-ha stop`

use anyhow::Result;

use super::Context;
use crate::adapters::home::Home;
use crate::adapters::mysqld::Database;
use crate::adapters::{observe, snapshot, system};
use crate::apply::refuse_cut_off_run;
use crate::failure::{Failure, Kind};

pub async fn start(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    let database = Database::of(&home, &context.interrupt);
    if let Some(pid) = database.pid()? {
        context.ui.say(format!("The database of {} runs already, process {pid}.", home.root().display()));
        return Ok(());
    }
    require_whole(&home, "cannot start the database")?;
    refuse_cut_off_run(&home)?;
    let in_the_way =
        observe::running(&home, &context.interrupt)?.into_iter().find(|why| why.contains("database port"));
    if let Some(why) = in_the_way {
        return Err(Failure::new(Kind::Refused, "cannot start the database")
            .because(why)
            .hint("Something else listens on the port that conf/database_params.conf names: find it and stop it.")
            .into());
    }
    if context.global.dry_run {
        context.ui.say(format!("would run {}", home.start_script().display()));
        return Ok(());
    }
    let _lock = system::lock_dir(home.root())?;
    let spinner = context.ui.spinner("the database is starting");
    let pid = match database.start(config.start_deadline()).await {
        Ok(pid) => pid,
        Err(error) => {
            // A start that was cut off, or took too long, must not leave a server half up behind.
            let uninterrupted = crate::adapters::interrupt::Interrupt::default();
            Database::of(&home, &uninterrupted).stop(config.stop_deadline()).await?;
            return Err(error);
        }
    };
    drop(spinner);
    let version = database.version().await?;
    context.ui.say(format!("The database of {} is up: {version}, process {pid}.", home.root().display()));
    if let Some(membership) = home.membership()? {
        let seen = snapshot::take(&home, membership, &config, &context.interrupt).await?;
        for deviation in seen.deviations {
            context.ui.warn(format!(
                "it runs without the setting {} = {}: see `pmp-ha verify`",
                deviation.variable, deviation.wanted
            ));
        }
    }
    Ok(())
}

pub async fn stop(context: &Context<'_>) -> Result<()> {
    let home = context.home()?;
    let config = context.config(&home)?;
    if context.global.dry_run {
        context.ui.say("would stop the database");
        return Ok(());
    }
    let _lock = system::lock_dir(home.root())?;
    let spinner = context.ui.spinner("the database is stopping");
    let stopped = Database::of(&home, &context.interrupt).stop(config.stop_deadline()).await?;
    drop(spinner);
    let what = if stopped { "has stopped cleanly" } else { "was not running" };
    context.ui.say(format!("The database of {} {what}.", home.root().display()));
    Ok(())
}

fn require_whole(home: &Home, what: &str) -> Result<()> {
    let missing = home.missing();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Kind::Refused, what)
        .because(format!("the home is not whole: {} is missing", missing.join(", ")))
        .hint("Name the folder of a complete installation with --home.")
        .into())
}
