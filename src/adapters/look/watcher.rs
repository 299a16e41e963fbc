//! How the two monitors of a pair detect each other.
//!
//! The monitor of the primary holds a lock in both servers. It goes with the session: when that
//! monitor ends, or its machine, the lock is free. Nothing is written.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::adapters::home::Home;
use crate::adapters::look::other_node;
use crate::adapters::server::session::{Address, Session};
use crate::domain::pair::{Membership, Role};
use crate::domain::questions::{ANNOUNCE_WATCH, IS_WATCHED};

/// How long a server may take to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// Seconds after which a server ends a silent session, and the lock with it. A link that was cut
/// ends no session.
const SILENCE: u64 = 20;

/// The interval between two checks of the lock.
pub const PACE: Duration = Duration::from_secs(5);

/// The lock of the primary's monitor.
#[derive(Default)]
pub struct Presence {
    here: Option<Session>,
    there: Option<Session>,
}

impl Presence {
    /// Holds the lock in both servers, as far as they can be reached, if this node is the primary.
    pub async fn announce(&mut self, home: &Home, membership: &Membership) {
        if membership.role != Role::Primary {
            return self.withdraw().await;
        }
        let (here, there) = (self.here.take(), self.there.take());
        let (here, there) = tokio::join!(
            held(here, async { own(home).await.ok() }),
            held(there, async { other_node::open(home, membership).await.ok() }),
        );
        (self.here, self.there) = (here, there);
    }

    /// Releases the lock.
    pub async fn withdraw(&mut self) {
        for session in [self.here.take(), self.there.take()].into_iter().flatten() {
            session.close().await;
        }
    }
}

async fn own(home: &Home) -> Result<Session> {
    let account = home.credentials()?.monitor;
    let opened = Session::open(&Address::Socket(home.socket()), &account, DEADLINE).await;
    let session = opened.ok().context("the server of this home does not answer")?;
    Ok(session.with_deadline(DEADLINE))
}

/// Returns a session that holds the lock: the one from before, or another one.
async fn held(before: Option<Session>, open: impl Future<Output = Option<Session>>) -> Option<Session> {
    if let Some(mut session) = before
        && takes(&mut session).await
    {
        return Some(session);
    }
    let mut session = open.await?;
    session.run(format!("SET SESSION wait_timeout = {SILENCE}")).await.ok()?;
    takes(&mut session).await.then_some(session)
}

/// Whether a session has the lock, or gets it.
async fn takes(session: &mut Session) -> bool {
    let row = session.told(&ANNOUNCE_WATCH).await.ok().and_then(|rows| rows.into_iter().next());
    row.and_then(|row| row.get("got")).as_deref() == Some("1")
}

/// Checks on a secondary whether the primary's monitor runs and can announce.
pub async fn primary_watches(home: &Home, membership: &Membership) -> bool {
    let (there, here) =
        tokio::join!(async { is_held(other_node::open(home, membership).await.ok()).await }, async {
            is_held(own(home).await.ok()).await
        },);
    there || here
}

async fn is_held(session: Option<Session>) -> bool {
    let Some(mut session) = session else { return false };
    let row = session.told(&IS_WATCHED).await.map(|rows| rows.into_iter().next());
    session.close().await;
    row.ok().flatten().and_then(|row| row.get("held")).as_deref() == Some("1")
}
