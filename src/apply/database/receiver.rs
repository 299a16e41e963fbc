//! Restarts a receiver of this server that gave up. It skips nothing and resumes where it stopped.

use anyhow::{Context, Result};

use crate::adapters::home::Home;
use crate::adapters::interrupt::Interrupt;
use crate::adapters::look;
use crate::adapters::server::process::Database;
use crate::apply::cut_off::cut_off_run;
use crate::apply::database::session::admin_session;
use crate::domain::flavor::Flavor;
use crate::domain::receiver::gave_up;

/// Starts the receiver if it is still stopped, and returns the error with which it had stopped.
///
/// The error is its number and its text. The caller must hold the home's lock.
pub async fn start_again(home: &Home, interrupt: &Interrupt) -> Result<Option<(u32, String)>> {
    home.require_membership()?;
    if cut_off_run(home)?.is_some() {
        return Ok(None);
    }
    let version = Database::of(home, interrupt).version().await?;
    let flavor = Flavor::of(&version).with_context(|| format!("{version} is not known"))?;
    let mut session = admin_session(home).await?;
    let row = session.one(flavor.show_replica_status()).await?.unwrap_or_default();
    let replica = look::pair::parse_replica(flavor, &row);
    let due = gave_up(&replica);
    if due {
        // The applier runs, so no server drops its relay logs now: nothing of them need be read before.
        session.run(flavor.start_receiver()).await?;
    }
    session.close().await;
    Ok(due.then_some(replica.receiver_error))
}
