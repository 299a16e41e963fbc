//! Commits that wait for the secondary, turned on or off on a server that runs.

use anyhow::Result;

use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Role;

/// Makes the running server take its role in semi-synchronous replication as the configuration says,
/// while its receiver is stopped: only a new connection takes part. A server that does not offer it
/// goes on without, which is told.
pub async fn set(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session, role: Role) -> Result<()> {
    let wanted = runner.config.semi_sync();
    if !session.variables().await?.contains_key(&flavor.option("rpl_semi_sync_source_enabled")) {
        if wanted.is_none() {
            return Ok(());
        }
        if let Err(error) = load(flavor, session).await {
            runner.ui.warn(format!("this server offers no semi-synchronous replication: {error:#}"));
            return Ok(());
        }
    }
    for sql in flavor.semi_sync(role, wanted) {
        session.run(sql).await?;
    }
    Ok(())
}

async fn load(flavor: &Flavor, session: &mut Session) -> Result<()> {
    for sql in flavor.load_semi_sync() {
        session.run(sql).await?;
    }
    Ok(())
}
