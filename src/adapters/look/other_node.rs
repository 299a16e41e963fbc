//! Queries the roles on the other node.
//!
//! What does it say about itself, and is it starting as the primary while this node is being
//! promoted?

use std::time::Duration;

use anyhow::{Context, Result};

use crate::adapters::home::Home;
use crate::adapters::look::pair::peer_address;
use crate::adapters::server::session::{Session, greeting};
use crate::domain::own_schema::{ASK_ROLE, ask_turn, read_role, read_turn};
use crate::domain::pair::{Membership, Role};
use crate::domain::questions::{ANNOUNCE_START, IS_STARTING};
use crate::domain::snapshot::{Blind, BlindReason};
use crate::domain::standing::{NodeState, Standing, standing};
use crate::domain::turn::Turn;

/// The time limit for the other node to accept the login, and to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// The time limit for its greeting, and for its answer, while its turn is read repeatedly. An answer
/// lost on a silent link is asked for again over a new connection.
const TURN_DEADLINE: Duration = Duration::from_secs(1);

/// A session on the other node's server, with the monitor account.
pub async fn open(home: &Home, membership: &Membership) -> Result<Session, Blind> {
    open_within(home, membership, DEADLINE).await
}

/// As [`open`], with a time limit for the greeting and for each answer.
async fn open_within(home: &Home, membership: &Membership, deadline: Duration) -> Result<Session, Blind> {
    let peer = membership.peer();
    // Nobody waits for a login where nobody greets.
    greeting(&peer.host, peer.db_port, deadline).await?;
    let turned_away =
        |error: anyhow::Error| Blind { why: BlindReason::TurnedAway, evidence: format!("{error:#}") };
    let account = home.credentials().map_err(turned_away)?.monitor;
    let address = peer_address(home, membership).await;
    Ok(Session::open(&address, &account, DEADLINE).await?.with_deadline(deadline).for_a_look())
}

/// Returns what the other node says about itself; `None` if it says nothing.
pub async fn says(session: &mut Session) -> Result<Option<NodeState>> {
    let row = session.one(ASK_ROLE).await?;
    Ok(row.and_then(|row| read_role(|name| row.get(name))))
}

/// Returns what the other node says about itself.
pub async fn ask(home: &Home, membership: &Membership) -> Result<Option<NodeState>, Blind> {
    let mut session = open(home, membership).await?;
    let said = says(&mut session).await;
    session.close().await;
    said.map_err(|error| silent(&error))
}

fn silent(error: &anyhow::Error) -> Blind {
    Blind { why: BlindReason::Silent, evidence: format!("{error:#}") }
}

/// Returns whether this node may serve writes, as far as the other node can be asked.
///
/// If it cannot be asked, the primary still starts, because it must work without its secondary.
pub async fn standing_of(home: &Home, membership: &Membership) -> Result<Standing, Blind> {
    if membership.role == Role::Secondary {
        return Ok(Standing::Holds);
    }
    Ok(ask(home, membership).await?.map_or(Standing::Holds, |said| standing(membership, &said)))
}

/// Announces to the secondary's server that its primary is starting, until the session ends.
///
/// Returns false if another start is announced there. During this time, the secondary is not promoted.
pub async fn announce_start(session: &mut Session) -> Result<bool> {
    let row = session.told(&ANNOUNCE_START).await?.into_iter().next();
    Ok(row.and_then(|row| row.get("got")).as_deref() == Some("1"))
}

/// Whether the other node has announced, in the server of this session, that it is starting.
pub async fn is_starting(session: &mut Session) -> Result<bool> {
    let row = session.told(&IS_STARTING).await?.into_iter().next();
    Ok(row.and_then(|row| row.get("held")).context("the server has no locks")? != "0")
}

/// The other node in a switchover, whose turn is read repeatedly.
pub struct Watched {
    home: Home,
    membership: Membership,
    session: Option<Session>,
}

impl Watched {
    /// The other node of this one.
    #[must_use]
    pub fn of(home: &Home, membership: &Membership) -> Self {
        Self { home: home.clone(), membership: membership.clone(), session: None }
    }

    /// Returns its current turn. Logs in again after a lost connection.
    pub async fn turn(&mut self) -> Result<Option<Turn>, Blind> {
        let session = self.session().await?;
        match session.one(ask_turn()).await {
            Ok(row) => Ok(row.and_then(|row| read_turn(|name| row.get(name)))),
            Err(error) => {
                self.session = None;
                Err(silent(&error))
            }
        }
    }

    /// Returns what it says about itself now. Logs in again after a lost connection.
    pub async fn says(&mut self) -> Result<Option<NodeState>, Blind> {
        if let Some(session) = &mut self.session {
            if let Ok(said) = says(session).await {
                return Ok(said);
            }
            self.session = None;
        }
        says(self.session().await?).await.map_err(|error| silent(&error))
    }

    async fn session(&mut self) -> Result<&mut Session, Blind> {
        Ok(match &mut self.session {
            Some(session) => session,
            none => none.insert(open_within(&self.home, &self.membership, TURN_DEADLINE).await?),
        })
    }

    /// Closes the session.
    pub async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}

/// Returns evidence that the other node's server runs: a greeting, even with an error.
///
/// `None` proves nothing: the server may be down or frozen, or something between the nodes may hide it.
pub async fn sign_of_life(membership: &Membership) -> Option<String> {
    let peer = membership.peer();
    match greeting(&peer.host, peer.db_port, DEADLINE).await {
        Ok(version) => Some(format!("its server greets with version {version}")),
        Err(blind) if matches!(blind.why, BlindReason::Unreachable | BlindReason::Silent) => None,
        Err(blind) => Some(blind.evidence),
    }
}
