//! Turns waiting for the secondary on or off on a running server.

use anyhow::Result;

use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::Role;

/// Makes the running server take its configured role in semi-synchronous replication.
///
/// The receiver must be stopped, because only a new connection takes part. A server without
/// semi-synchronous replication continues without it, with a warning.
pub async fn set(runner: &Runner<'_>, flavor: &Flavor, session: &mut Session, role: Role) -> Result<()> {
    let wanted = runner.config.semi_sync();
    if !session.variables().await?.contains_key(&flavor.option("rpl_semi_sync_source_enabled")) {
        if wanted.is_none() {
            return Ok(());
        }
        if !flavor.has_semi_sync() {
            runner.ui.warn(format!("{} has no semi-synchronous replication: no commit waits", flavor.name));
            return Ok(());
        }
        if let Err(error) = load(flavor, session).await {
            runner.ui.warn(format!("this server has no semi-synchronous replication: {error:#}"));
            return Ok(());
        }
    }
    for sql in flavor.semi_sync(role, wanted) {
        session.run(sql).await?;
    }
    Ok(())
}

/// Makes commits of a secondary wait for nobody, at once.
///
/// A primary that has just given its role away may have commits that wait for the other node, which takes
/// no part any more. They hold what they changed until the time limit.
pub async fn wait_no_longer(flavor: &Flavor, session: &mut Session) -> Result<()> {
    let source = flavor.option("rpl_semi_sync_source_enabled");
    if session.variables().await?.get(&source).is_some_and(|value| value == "ON") {
        session.run(format!("SET GLOBAL {source} = OFF")).await?;
    }
    Ok(())
}

async fn load(flavor: &Flavor, session: &mut Session) -> Result<()> {
    for sql in flavor.load_semi_sync() {
        session.run(sql).await?;
    }
    Ok(())
}
