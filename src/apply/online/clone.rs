//! Copies a running server with MySQL's clone plugin.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::{COPY_DEADLINE, Copying, session, while_probing};
use crate::adapters::home::Home;
use crate::adapters::home::saved::remove;
use crate::adapters::server::session::{STATEMENT_DEADLINE, Session};
use crate::adapters::system;
use crate::apply::work::Runner;
use crate::domain::accounts::ADMIN_USER;
use crate::domain::flavor::{DROP_CLONE_PLUGIN, MAKE_CLONE_PLUGIN};
use crate::domain::sql::quote;
use crate::failure::{Failure, Kind};

/// The statement, which identifies a clone that was left behind.
const CLONE: &str = "CLONE LOCAL DATA DIRECTORY";

/// The note that the plugin was loaded for this run.
fn note(home: &Home) -> PathBuf {
    home.work().join("clone-plugin-loaded")
}

/// Copies the data. Returns how long a write had to wait at most.
pub(super) async fn copy(copying: &Copying<'_>, install: bool) -> Result<Duration> {
    let runner = copying.runner;
    let mut session = session(copying.home).await?;
    // No signal ends this: a plugin that is half loaded may never load again.
    if install {
        system::write_atomic(&note(runner.home), b"", 0o600, None)?;
        session.run(MAKE_CLONE_PLUGIN).await.map_err(|error| {
            // One that was killed while it had the plugin may never load it again.
            Failure::new(Kind::Failed, "the database cannot copy itself")
                .because(format!("{error:#}"))
                .hint("Its error log says why. Stop the database and pack again: `pmp-ha stop`, then `pmp-ha pack --restart`.")
        })?;
    }
    let spinner = runner.ui.spinner("the database copies itself");
    let statement = format!("{CLONE} = {}", quote(&copying.target.to_string_lossy()));
    session = session.until(runner.interrupt).with_deadline(COPY_DEADLINE);
    let longest = while_probing(copying, session.run(statement)).await;
    drop(spinner);
    let longest = longest?;
    session = session.with_deadline(STATEMENT_DEADLINE);
    forget_plugin(runner, &mut session).await?;
    session.close().await;
    Ok(longest)
}

/// Ends a copy that nobody waits for any longer.
pub(super) async fn end(session: &mut Session) -> Result<()> {
    let left = format!(
        "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE USER = {} AND INFO LIKE '{CLONE}%'",
        quote(ADMIN_USER)
    );
    loop {
        let rows = session.query(left.as_str()).await?;
        let Some(id) = rows.iter().find_map(|row| row.get("id")) else { return Ok(()) };
        // ignored: it may have ended by itself, which the next look tells
        let _ = session.run(format!("KILL {id}")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Unloads the plugin, if it was loaded for this run.
pub(super) async fn forget_plugin(runner: &Runner<'_>, session: &mut Session) -> Result<()> {
    let note = note(runner.home);
    if !note.exists() {
        return Ok(());
    }
    let loaded = "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'";
    if session.one(loaded).await?.is_some() {
        session.run(DROP_CLONE_PLUGIN).await?;
    }
    remove(&note)
}
