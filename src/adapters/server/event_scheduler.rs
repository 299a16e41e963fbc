//! The event scheduler of the server here: off while the server stops.
//!
//! A `MySQL` server that stops keeps the other node's session open until its own threads are gone, for
//! some eight seconds at most. The scheduler is such a thread, and goes last.

use std::time::Duration;

use anyhow::Result;

use crate::adapters::home::Home;
use crate::adapters::server::session::{Address, Session};

/// How long the server may take to let us in, and to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Turns the scheduler of a server that is to stop off; false where it is off already.
pub async fn turn_off(home: &Home) -> Result<bool> {
    change(home, "ON", "OFF").await
}

/// Turns the scheduler of a server that goes on running on; false where it is on already. Every
/// server of a pair has it on.
pub async fn turn_on(home: &Home) -> Result<bool> {
    change(home, "OFF", "ON").await
}

async fn change(home: &Home, from: &str, to: &str) -> Result<bool> {
    let admin = home.credentials()?.admin;
    let opened = Session::open(&Address::Socket(home.socket()), &admin, DEADLINE).await;
    let mut session = opened.map_err(|blind| anyhow::anyhow!("{}", blind.evidence))?.with_deadline(DEADLINE);
    let row = session.one("SELECT @@GLOBAL.event_scheduler AS state").await?.unwrap_or_default();
    let changes = row.get("state").as_deref() == Some(from);
    if changes {
        session.run(format!("SET GLOBAL event_scheduler = {to}")).await?;
    }
    session.close().await;
    Ok(changes)
}
