//! Promotes a secondary: fences the other node, applies everything received, begins the new epoch.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::adapters::look::{self, other_node};
use crate::adapters::program;
use crate::apply::database::session::admin_session;
use crate::apply::database::{align, backlog, options, role};
use crate::apply::work::Runner;
use crate::domain::own_schema::say;
use crate::domain::pair::Claim;
use crate::domain::standing::NodeState;
use crate::failure::{Failure, Kind};

/// The line that a fencing program must print, besides exiting with 0.
pub const FENCED: &str = "fenced";

/// Runs the program that fences the other node.
///
/// # Errors
/// Refuses unless it ends well and says so: a program that does nothing ends well, too.
pub async fn fence(runner: &Runner<'_>, command: &[String]) -> Result<()> {
    let refused = |because: String| {
        Failure::new(Kind::Refused, "the other node is not fenced").code("not-fenced")
            .because(because)
            .hint(format!("Make `fence.command` in conf/pmp-ha.toml exit 0 and print a line `{FENCED}`, or fence the other node by hand and pass --fenced."))
    };
    let Some(name) = command.first() else { bail!(refused("fence.command is empty".into())) };
    // The plan may come back from a journal. What is run is what the configuration says.
    if command != runner.config.fence.command.as_slice() {
        bail!(refused(format!("the plan names {name}, and fence.command names another program")));
    }
    let membership = runner.home.require_membership()?;
    let deadline = Duration::from_secs(runner.config.fence.deadline);
    let _spinner = runner.ui.spinner("fencing the other node");
    let environment = [("PMP_HA_OTHER_NODE", membership.peer().host.as_str())];
    let runs = Box::pin(program::ask_within(deadline, command, &environment, ""));
    let said = match runner.interrupt.or(runs).await {
        Ok(said) => said,
        Err(error) => match error.downcast::<Failure>() {
            Ok(interrupted) => bail!(interrupted),
            Err(error) => bail!(refused(format!("{error:#}"))),
        },
    };
    if !said.lines().any(|line| line.trim().eq_ignore_ascii_case(FENCED)) {
        bail!(refused(format!("{name} succeeded but did not print the line `{FENCED}`")));
    }
    Ok(())
}

/// Applies what was received in an offline boot. A normal start would discard it and fetch it again
/// from a lost source.
pub async fn work_off_offline(runner: &Runner<'_>, accept_loss: bool) -> Result<()> {
    let flavor = runner.flavor().await?;
    let database = runner.database();
    let options = options::options_to_read(runner, flavor);
    let (start, stop) = (runner.config.start_deadline(), runner.config.stop_deadline());
    let _spinner = runner.ui.spinner("the database is booted without a network");
    let mut session = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
    backlog::given_up(runner, backlog::work_off(runner, flavor, &mut session).await, accept_loss)?;
    database.end_offline_boot(session, stop).await
}

/// Stops receiving, and applies everything that was received.
pub async fn drain(runner: &Runner<'_>, accept_loss: bool) -> Result<()> {
    let flavor = runner.flavor().await?;
    let mut session = admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    session.run(flavor.stop_receiver()).await?;
    let row = session.one(flavor.show_replica_status()).await?.context("the server has no replica status")?;
    let worked_off = if look::pair::parse_replica(flavor, &row).applier_runs {
        backlog::wait_until_applied(flavor, &mut session, runner.interrupt).await
    } else {
        backlog::work_off(runner, flavor, &mut session).await
    };
    backlog::given_up(runner, worked_off, accept_loss)?;
    session.close().await;
    Ok(())
}

/// Restarts replication as it was, on the running server or in an offline boot.
///
/// An applier that still runs is left alone: it may wait for a lock of somebody else, and a stop would wait
/// as well.
pub async fn undrain(runner: &Runner<'_>, account: &str) -> Result<()> {
    if runner.database().serving_pid().await?.is_some() {
        let flavor = runner.flavor().await?;
        let mut session = admin_session(runner.home).await?;
        let row = session.one(flavor.show_replica_status()).await?;
        let goes_on = row.is_some_and(|row| look::pair::parse_replica(flavor, &row).applier_runs);
        if goes_on {
            session.run(flavor.start_receiver()).await?;
        }
        session.close().await;
        if goes_on {
            return Ok(());
        }
    }
    align::apply(runner, account).await.map(|_| ())
}

/// Announces the new epoch to the other node, then checks that it did not come back. One that was
/// `seen_alive` before it was fenced shows nothing new by its greeting, but by a start.
pub async fn claim(runner: &Runner<'_>, claim: Claim, seen_alive: bool) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let flavor = runner.flavor().await?;
    let mut session = admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    let before = role::said(&mut session).await?.unwrap_or_else(|| role::at_setup(runner.home, &membership));
    let Claim { epoch, replaces } = claim;
    let followed = role::followed(flavor, &mut session).await?.or_else(|| before.followed.clone());
    session.run(say(&NodeState { epoch, replaces, candidate: true, followed, ..before })).await?;
    // Whoever started before this epoch was there to be seen holds the lock until it answers.
    let starting = other_node::is_starting(&mut session).await?;
    session.close().await;
    let sign = if starting {
        Some("it has just asked this node whether it may start".to_owned())
    } else if seen_alive {
        None
    } else {
        other_node::sign_of_life(&membership).await
    };
    match sign {
        None => Ok(()),
        Some(sign) => bail!(
            Failure::new(Kind::Refused, "the other node came back during the promotion").code("peer-back")
                .because(sign)
                .hint("Everything was put back. Run `pmp-ha verify`: if the primary works again, there is nothing to do. If not, make sure that nothing answers at its address, and promote again.")
        ),
    }
}

/// Withdraws the new epoch.
pub async fn unclaim(runner: &Runner<'_>) -> Result<()> {
    if runner.database().pid()?.is_none() {
        // What is undone next says it anew, in a boot of its own.
        return Ok(());
    }
    let membership = runner.home.require_membership()?;
    let mut session = admin_session(runner.home).await?;
    session.run("SET SESSION sql_log_bin = 0").await?;
    let Claim { epoch, replaces } = membership.pair.claim();
    if let Some(said) = role::said(&mut session).await? {
        session.run(say(&NodeState { epoch, replaces, candidate: false, ..said })).await?;
    }
    session.close().await;
    Ok(())
}
