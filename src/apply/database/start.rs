//! Starts, stops and restarts the home's database with the product's own scripts.

use anyhow::Result;

use super::role;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::apply::work::Runner;

/// Starts the database with the product's own script, unless it runs already.
///
/// Ctrl-C does not interrupt it: from here on the database belongs to the product again.
pub async fn database(runner: &Runner<'_>) -> Result<()> {
    let uninterrupted = Interrupt::default();
    let database = Database::of(runner.home, &uninterrupted);
    if database.serving_pid().await?.is_some() {
        return Ok(());
    }
    let spinner = runner.ui.spinner("the database is starting");
    let started = database.start(runner.config.start_deadline()).await;
    if started.is_err() {
        // A start that took too long must not leave a server half up behind.
        database.stop(runner.config.stop_deadline()).await?;
    }
    drop(spinner);
    started.map(|_| ())
}

/// Stops the database, unless it is stopped.
pub async fn take_down(runner: &Runner<'_>) -> Result<()> {
    let uninterrupted = Interrupt::default();
    let _spinner = runner.ui.spinner("the database is stopping");
    Database::of(runner.home, &uninterrupted).stop(runner.config.stop_deadline()).await.map(|_| ())
}

/// Restarts the database. A node that was replaced meanwhile stays down.
///
/// The start gate would refuse it, and its run must end before it can rejoin.
pub async fn restart(runner: &Runner<'_>) -> Result<()> {
    take_down(runner).await?;
    if role::is_replaced(runner, &runner.home.require_membership()?).await? {
        return Ok(());
    }
    database(runner).await
}
