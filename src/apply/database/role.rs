//! The role that a node publishes in its own database, for the other node.

use anyhow::{Context, Result, bail};

use crate::adapters::home::Home;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::own_schema::{ASK_ROLE, read_role, say};
use crate::domain::pair::{Membership, Role};
use crate::domain::settings::OWN_SCHEMA;
use crate::domain::sql::quote;
use crate::domain::standing::{BinlogPlace, NodeState, Standing, standing};
use crate::failure::{Failure, Kind};

/// Returns the role that the session's server publishes.
pub async fn said(session: &mut Session) -> Result<Option<NodeState>> {
    let row = session.one(ASK_ROLE).await?;
    Ok(row.and_then(|row| read_role(|name| row.get(name))))
}

/// Returns the role that a newly set up node publishes.
pub fn at_setup(home: &Home, membership: &Membership) -> NodeState {
    let own_word = (home.role() == Role::Secondary).then(|| home.role_word().trim().to_owned());
    NodeState {
        node: membership.this().number,
        epoch: membership.pair.epoch,
        replaces: membership.pair.replaces,
        role: membership.role,
        candidate: false,
        secondary_word: membership.pair.secondary_word.clone().or(own_word),
        followed: None,
        heard: None,
    }
}

/// Publishes `membership` in the server's own role table. The replica must be stopped.
///
/// A new primary records how far it had followed: what the other node wrote beyond that is not
/// here. A new secondary records the end of its binlog: up to there it wrote as the primary.
pub async fn take_on(flavor: &Flavor, session: &mut Session, membership: &Membership) -> Result<()> {
    let before = said(session).await?;
    let mut state = NodeState {
        node: membership.this().number,
        epoch: membership.pair.epoch,
        replaces: membership.pair.replaces,
        role: membership.role,
        candidate: false,
        secondary_word: membership.pair.secondary_word.clone(),
        followed: before.as_ref().and_then(|before| before.followed.clone()),
        heard: before.as_ref().and_then(|before| before.heard),
    };
    let changes = before.as_ref().is_some_and(|before| before.role != membership.role);
    match (changes, membership.role) {
        (true, Role::Secondary) => note_end_of_binlog(flavor, session, membership).await?,
        (true, Role::Primary) => {
            state.heard = heard(session, membership.peer().number).await?;
            state.followed = followed(flavor, session).await?.or(state.followed);
        }
        // A server may forget it when it is told anew from where to replicate, which comes next: to a
        // promotion that was put back and is tried again.
        (false, Role::Secondary) => state.followed = followed(flavor, session).await?.or(state.followed),
        (false, Role::Primary) => {}
    }
    if state.secondary_word.is_none() {
        state.secondary_word = before.and_then(|before| before.secondary_word);
    }
    session.run(say(&state)).await
}

/// Asks the other node again whether it has replaced this one as the primary.
///
/// An unreachable node is no reason to keep a primary from serving.
///
/// # Errors
/// Refuses while the other node is about to become it: that may be taken back.
pub async fn is_replaced(runner: &Runner<'_>, membership: &Membership) -> Result<bool> {
    let mut other = runner.take_other()?;
    let answer = other.says().await;
    runner.keep_other(other);
    let Ok(Some(said)) = answer else { return Ok(false) };
    if standing(membership, &said) == Standing::Holds {
        return Ok(false);
    }
    let peer = membership.peer();
    if said.role == Role::Secondary {
        bail!(
            Failure::new(Kind::Refused, "this node does not serve writes now")
                .code("being-promoted")
                .because(format!("{peer} is being promoted, in epoch {}", said.epoch))
                .hint("Check its state there.")
        );
    }
    runner.ui.warn(format!(
        "{peer} is the primary, in epoch {}: this node does not serve writes. Run `pmp-ha rejoin` here",
        said.epoch
    ));
    Ok(true)
}

/// Returns how far the source's binlogs were applied.
pub async fn followed(flavor: &Flavor, session: &mut Session) -> Result<Option<BinlogPlace>> {
    let Some(row) = session.one(flavor.show_replica_status()).await? else { return Ok(None) };
    let column = |name: &str| row.get(&flavor.column(name)).filter(|value| !value.is_empty());
    let place =
        column("Relay_Source_Log_File").zip(column("Exec_Source_Log_Pos").and_then(|p| p.parse().ok()));
    Ok(place.map(|(file, position)| BinlogPlace { file, position }))
}

/// Returns the newest applied heartbeat of a node.
pub async fn heard(session: &mut Session, node: u32) -> Result<Option<i64>> {
    let row = session.one(format!("SELECT beat FROM {OWN_SCHEMA}.heartbeat WHERE node = {node}")).await?;
    Ok(row.and_then(|row| row.get("beat")?.parse().ok()).filter(|beat| *beat > 0))
}

async fn note_end_of_binlog(flavor: &Flavor, session: &mut Session, membership: &Membership) -> Result<()> {
    let row = session.one(flavor.binlog_end_query()).await?.context("the server writes no binlog")?;
    let (file, position) = row.get("File").zip(row.get("Position")).context("the binlog has no end")?;
    session
        .run(format!(
            "REPLACE INTO {OWN_SCHEMA}.errant_cleared VALUES ({}, {}, {position})",
            membership.this().number,
            quote(&file)
        ))
        .await
}

/// Publishes it when the node is set up.
pub async fn say_at_setup(runner: &Runner<'_>, session: &mut Session) -> Result<()> {
    let membership = runner.home.require_membership()?;
    let mut state = at_setup(runner.home, &membership);
    if let Some(before) = said(session).await?.filter(|before| before.role == state.role) {
        // A node that was promoted still knows how far it had followed the other one.
        (state.followed, state.heard) = (before.followed, before.heard);
    }
    session.run(say(&state)).await
}
