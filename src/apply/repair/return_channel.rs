//! Repairs the return channel on the primary.
//!
//! It leaves out what the server refuses, and marks as seen what another server may have executed.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::leave_out::is_gtid;
use crate::adapters::home::remembered;
use crate::adapters::look::rows::{open_here, replica};
use crate::adapters::random;
use crate::adapters::server::session::Session;
use crate::apply::database::limit;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::procedures::repair::NEW_PACK;
use crate::domain::returned::{Returned, is_refusal, without_statement};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;
use crate::failure::{Failure, Kind};

/// How long the applier may take for what has come.
const CATCHING_UP: Duration = Duration::from_secs(60);

/// How often it is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How many transactions are left out in one run.
const MOST: usize = 10_000;

async fn session(runner: &Runner<'_>) -> Result<Session> {
    open_here(runner.home)
        .await?
        .map_err(|blind| anyhow::anyhow!("the database here rejects the login: {}", blind.evidence))
}

/// Restores the applier's rights, and leaves out each transaction that the server still refuses.
///
/// It ends when the applier has caught up.
pub async fn leave_out(runner: &Runner<'_>) -> Result<()> {
    let flavor = runner.flavor().await?;
    let mut session = session(runner).await?;
    limit::make(flavor, &mut session, &runner.home.require_membership()?.pair).await?;
    session.run(flavor.start_replica()).await?;
    for _ in 0..MOST {
        let Some((number, message)) = failure(runner, flavor, &mut session).await? else {
            session.close().await;
            return Ok(());
        };
        let row = match flavor.failed_transaction_query() {
            Some(query) if is_refusal(number) => session.one(query).await?,
            _ => None,
        };
        let Some(transaction) = row.and_then(|row| row.get("transaction")).filter(|name| is_gtid(name))
        else {
            bail!(
                Failure::new(Kind::Failed, "the applier stopped at something that is not left out")
                    .because(format!("error {number}: {}", without_statement(&message)))
                    .hint(format!("If the cause is not an external one, such as a full disk: {NEW_PACK}"))
            );
        };
        runner.ui.say(format!("     left out: {}", without_statement(&message)));
        session.run(format!("SET SESSION gtid_next = {}", quote(&transaction))).await?;
        session.run("BEGIN").await?;
        session.run("COMMIT").await?;
        session.run("SET SESSION gtid_next = 'AUTOMATIC'").await?;
        session.run(flavor.start_replica()).await?;
    }
    bail!("more than {MOST} transactions are refused: {NEW_PACK}")
}

/// Waits until the applier has applied what has come, or says why it stopped.
async fn failure(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
) -> Result<Option<(u32, String)>> {
    let begun = Instant::now();
    loop {
        runner.interrupt.check()?;
        let Some(view) = replica(session, flavor).await? else { bail!("the database here has no source") };
        if view.applier_error.0 != 0 && !view.applier_runs {
            return Ok(Some(view.applier_error));
        }
        let caught_up = view.applier_runs && view.lag == Some(0) && begun.elapsed() > 4 * TICK;
        if caught_up {
            return Ok(None);
        }
        if begun.elapsed() > CATCHING_UP {
            if view.applier_runs {
                return Ok(None);
            }
            bail!("the applier does not run: error {}: {}", view.applier_error.0, view.receiver_error.1);
        }
        runner.interrupt.sleep(TICK).await?;
    }
}

/// Marks as seen what was found up to a position. The other node reads this from the database.
pub async fn acknowledge(runner: &Runner<'_>, reading: &Returned) -> Result<()> {
    let mut session = session(runner).await?;
    let rest = reading.acknowledged();
    let place = &rest.place;
    for sql in [
        format!(
            "CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.returned_cleared (node INT UNSIGNED NOT NULL PRIMARY KEY, \
             id VARCHAR(64) NOT NULL, file VARCHAR(255) NOT NULL, position BIGINT UNSIGNED NOT NULL, \
             mark VARCHAR(255) NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
        ),
        format!(
            "REPLACE INTO {OWN_SCHEMA}.returned_cleared VALUES (@@GLOBAL.server_id, {}, {}, {}, {})",
            quote(&random::id()),
            quote(&place.file),
            place.position,
            quote(&place.mark)
        ),
    ] {
        session.run(sql).await?;
    }
    session.close().await;
    remembered::returned::store(runner.home, &rest)
}
