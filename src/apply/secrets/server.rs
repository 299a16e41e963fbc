//! The server whose secrets change: it runs, or is booted without a network. And its files.

use std::time::Duration;

use anyhow::Result;

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::server::process::Database;
use crate::adapters::server::session::Session;
use crate::adapters::system;
use crate::apply::database::session::admin_session;
use crate::apply::database::{options, start};
use crate::apply::work::Runner;

/// The time limit for a login on this machine.
pub const LOGIN: Duration = Duration::from_secs(10);

/// The note that a run changes accounts.
const TOUCHED: &str = "secrets-touched";

/// A session that logs nothing to the binlog.
pub enum Opened {
    /// With the server that runs.
    Running(Session),
    /// With one that was booted for it.
    Booted(Session),
}

impl Opened {
    /// Opens one. A server that does not run is booted.
    pub async fn of(runner: &Runner<'_>) -> Result<Self> {
        let uninterrupted = Interrupt::default();
        let database = Database::of(runner.home, &uninterrupted);
        if database.serving_pid().await?.is_some() {
            return Self::running(admin_session(runner.home).await?).await;
        }
        let flavor = runner.flavor().await?;
        let options = options::node_options(runner, flavor, &runner.home.require_membership()?);
        let start = runner.config.start_deadline();
        let booted = database.boot_offline(flavor, &format!("[mysqld]\n{options}"), start).await?;
        Ok(Self::Booted(booted))
    }

    /// Takes the session of a running server.
    pub async fn running(mut session: Session) -> Result<Self> {
        session.run("SET SESSION sql_log_bin = 0").await?;
        Ok(Self::Running(session))
    }

    /// The session.
    pub fn session(&mut self) -> &mut Session {
        match self {
            Self::Running(session) | Self::Booted(session) => session,
        }
    }

    /// Closes it, and ends the boot.
    pub async fn close(self, runner: &Runner<'_>) -> Result<()> {
        match self {
            Self::Running(session) => session.close().await,
            Self::Booted(session) => {
                let uninterrupted = Interrupt::default();
                let database = Database::of(runner.home, &uninterrupted);
                database.end_offline_boot(session, runner.config.stop_deadline()).await?;
            }
        }
        Ok(())
    }
}

/// Notes that this run is about to change accounts.
pub fn touch(runner: &Runner<'_>) -> Result<()> {
    system::write_atomic(&runner.home.work().join(TOUCHED), b"", 0o600, None)
}

/// Whether this run has changed accounts, or was about to.
pub fn is_touched(runner: &Runner<'_>) -> bool {
    runner.home.work().join(TOUCHED).exists()
}

/// Writes one of the node's own files.
pub fn write(home: &Home, name: &str, text: &str) -> Result<()> {
    system::write_atomic(&home.node_files().join(name), text.as_bytes(), 0o600, None)
}

/// Makes a running server read its certificates again. One that does not run reads them when it starts.
pub async fn reload(runner: &Runner<'_>) -> Result<()> {
    let uninterrupted = Interrupt::default();
    if Database::of(runner.home, &uninterrupted).serving_pid().await?.is_none() {
        return Ok(());
    }
    let Some(sql) = runner.flavor().await?.reload_tls() else { return start::restart(runner).await };
    let mut opened = Opened::running(admin_session(runner.home).await?).await?;
    opened.session().run(sql).await?;
    opened.close(runner).await
}
