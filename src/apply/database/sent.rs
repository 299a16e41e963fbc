//! What the other node has sent to a primary, before its relay logs go.

use anyhow::Result;

use super::role;
use crate::adapters::look::{returned, returned_notes};
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::{Membership, Role};

/// Reads on in the relay logs of a server that says that it is the primary, and notes that pmp-ha lets them go.
/// `MariaDB` drops them at each start of its replication, and every server when it is told anew from where to
/// replicate. Without the note, the next look would take it for something that somebody else did.
pub async fn lets_go(
    runner: &Runner<'_>,
    flavor: &Flavor,
    session: &mut Session,
    membership: &Membership,
) -> Result<()> {
    let said = role::said(session).await;
    let was_primary = said.is_ok_and(|said| said.is_some_and(|said| said.role == Role::Primary));
    if flavor.limits_the_applier() || !was_primary {
        return Ok(());
    }
    let mut before = membership.clone();
    (before.role, before.pair.primary) = (Role::Primary, membership.this().number);
    match returned::read_on(session, flavor, runner.home, &before, None).await {
        Ok(read) => {
            returned_notes::store(runner.home, &read.reading)?;
            returned_notes::let_go(runner.home, &before)
        }
        // `verify` has said why.
        Err(_) => returned_notes::let_go_unread(runner.home, &before),
    }
}
