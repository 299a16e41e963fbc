//! What the other node has sent to a primary, before its relay logs go.

use anyhow::Result;

use super::role;
use crate::adapters::home::remembered;
use crate::adapters::look::returned;
use crate::adapters::server::session::Session;
use crate::apply::work::Runner;
use crate::domain::flavor::Flavor;
use crate::domain::pair::{Membership, Role};

/// Reads the rest of a primary's relay logs, and records that pmp-ha drops them.
///
/// `MariaDB` drops them at each start of its replication, and every server when it gets a new source.
/// Without the record, the next check would report them as missing.
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
            remembered::returned::store(runner.home, &read.reading)?;
            remembered::returned::let_go(runner.home, &before)
        }
        // `verify` has said why.
        Err(_) => remembered::returned::let_go_unread(runner.home, &before),
    }
}
