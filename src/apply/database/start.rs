//! The start of the primary's database in the middle of a pack, and what it cost.

use anyhow::Result;

use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::apply::work::Runner;

/// Starts the database with the product's own script, unless it runs already.
///
/// Ctrl-C does not cut it short: from here on the database belongs to the product again.
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
