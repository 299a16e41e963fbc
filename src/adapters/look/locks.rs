//! What is in the way of a change: a session with a global read lock, and transactions that are prepared.

use anyhow::Result;

use crate::adapters::server::session::{Row, Session, code_of};
use crate::domain::flavor::Flavor;
use crate::domain::prepared;
use crate::domain::settings::OWN_SCHEMA;

/// How long a write may wait for a lock, in seconds.
const WAIT: u32 = 2;

/// `ER_LOCK_WAIT_TIMEOUT`
const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// The sessions that hold the lock, where the server tells.
const TOLD: &str = "SELECT DISTINCT t.PROCESSLIST_ID AS id, t.PROCESSLIST_USER AS user, \
     t.PROCESSLIST_HOST AS host, t.PROCESSLIST_TIME AS seconds FROM performance_schema.metadata_locks m \
     JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID \
     WHERE m.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND m.LOCK_TYPE = 'SHARED' AND m.LOCK_STATUS = 'GRANTED'";

/// The sessions that may hold it: those that wait for nothing themselves, the oldest first.
const POSSIBLE: &str = "SELECT ID AS id, USER AS user, HOST AS host, TIME AS seconds \
     FROM information_schema.PROCESSLIST WHERE COMMAND IN ('Sleep', 'Query') AND ID <> CONNECTION_ID() \
     AND USER NOT IN ('system user', 'event_scheduler') AND IFNULL(STATE, '') NOT LIKE 'Waiting for%' \
     ORDER BY TIME DESC LIMIT 5";

/// Returns which session blocks all writes; `None` if none does.
///
/// The session must not write to the binlog.
pub async fn blocked(session: &mut Session, flavor: &Flavor) -> Result<Option<String>> {
    if !flavor.has_lock_wait_timeout() {
        return Ok(None);
    }
    session.run(format!("SET SESSION lock_wait_timeout = {WAIT}")).await?;
    // It writes nothing, and has to wait like each write.
    let tried = session.run(format!("UPDATE {OWN_SCHEMA}.role SET role = role WHERE node = 0")).await;
    session.run("SET SESSION lock_wait_timeout = DEFAULT").await?;
    match tried {
        Err(error) if code_of(&error) == Some(LOCK_WAIT_TIMEOUT) => Ok(Some(holders(session).await?)),
        Err(error) => Err(error),
        Ok(()) => Ok(None),
    }
}

/// Returns the names of the transactions that are prepared by XA, as `XA COMMIT` takes them.
pub async fn prepared(session: &mut Session, flavor: &Flavor) -> Result<Vec<String>> {
    let name = |row: Row| {
        let length = |column: &str| row.get(column).and_then(|length| length.parse().ok()).unwrap_or(0);
        let lengths = ["gtrid_length", "bqual_length"].map(length);
        prepared::name(
            &row.get("formatID").unwrap_or_default(),
            lengths,
            &row.get("data").unwrap_or_default(),
        )
    };
    Ok(session.query(prepared::list(flavor)).await?.into_iter().map(name).collect())
}

async fn holders(session: &mut Session) -> Result<String> {
    // ignored: not every server has that table
    let told = session.query(TOLD).await.unwrap_or_default();
    if !told.is_empty() {
        return Ok(format!("the lock is held by {}", named(&told)));
    }
    let possible = session.query(POSSIBLE).await?;
    Ok(if possible.is_empty() {
        "the server does not say which session holds the lock".to_owned()
    } else {
        format!("the lock is held by one of {}", named(&possible))
    })
}

fn named(rows: &[Row]) -> String {
    let name = |row: &Row| {
        let get = |column: &str| row.get(column).unwrap_or_default();
        format!("session {} of {}@{}, {} s", get("id"), get("user"), get("host"), get("seconds"))
    };
    rows.iter().map(name).collect::<Vec<_>>().join("; ")
}
