//! Makes a server quiet before it stops: no events, and no clients.
//!
//! A `MySQL` server that stops keeps the other node's session open until its own threads are gone, for
//! some eight seconds at most. The event scheduler is such a thread, and goes last. And `MySQL` 5.6
//! waits two seconds if any client is connected. It ends their sessions in any case.

use std::time::Duration;

use anyhow::Result;

use crate::adapters::home::Home;
use crate::adapters::server::session::{Address, Session};

/// How long the server may take to let us in, and to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Every session but our own, those of the server itself, and the one that the other node reads from:
/// that one gets everything first.
const CLIENTS: &str = "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() \
                       AND COMMAND NOT IN ('Daemon', 'Connect', 'Binlog Dump', 'Binlog Dump GTID') \
                       AND USER NOT IN ('system user', 'event_scheduler')";

/// Turns the event scheduler of a server that is to stop off, and ends its clients' sessions.
pub async fn before_stop(home: &Home) -> Result<()> {
    let mut session = open(home).await?;
    set_scheduler(&mut session, "ON", "OFF").await?;
    for id in session.query(CLIENTS).await?.iter().filter_map(|row| row.get("id")) {
        // ignored: a session may have ended by itself
        let _ = session.run(format!("KILL {id}")).await;
    }
    session.close().await;
    Ok(())
}

/// Turns the event scheduler of a server that goes on running on; false where it is on already.
/// Every server of a pair has it on.
pub async fn events_on(home: &Home) -> Result<bool> {
    let mut session = open(home).await?;
    let changed = set_scheduler(&mut session, "OFF", "ON").await?;
    session.close().await;
    Ok(changed)
}

async fn open(home: &Home) -> Result<Session> {
    let admin = home.credentials()?.admin;
    let opened = Session::open(&Address::Socket(home.socket()), &admin, DEADLINE).await;
    Ok(opened.map_err(|blind| anyhow::anyhow!("{}", blind.evidence))?.with_deadline(DEADLINE))
}

async fn set_scheduler(session: &mut Session, from: &str, to: &str) -> Result<bool> {
    let row = session.one("SELECT @@GLOBAL.event_scheduler AS state").await?.unwrap_or_default();
    let changes = row.get("state").as_deref() == Some(from);
    if changes {
        session.run(format!("SET GLOBAL event_scheduler = {to}")).await?;
    }
    Ok(changes)
}
