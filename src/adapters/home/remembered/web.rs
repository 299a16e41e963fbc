//! Which nodes of the pair have answered at their web port once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;

use crate::adapters::home::Home;
use crate::adapters::system;
use crate::domain::pair::Role;
use crate::domain::snapshot::Snapshot;
use crate::domain::web::WebSeen;

fn notes(home: &Home) -> PathBuf {
    home.replication().join("pmp-ha-web.json")
}

/// Returns the numbers of the nodes that have answered.
#[must_use]
pub fn answered(home: &Home) -> BTreeSet<u32> {
    let noted = system::read_bytes(&notes(home), system::SMALL).ok();
    noted.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Remembers in `home` which nodes have answered.
pub(super) fn remember(home: &Home, seen: &Snapshot) -> Result<()> {
    let membership = &seen.membership;
    let before = answered(home);
    let mut now = before.clone();
    for role in [Role::Primary, Role::Secondary] {
        if *seen.web.of(role, membership.role) == WebSeen::Answers {
            now.insert(membership.pair.node(role).number);
        }
    }
    if now == before {
        return Ok(());
    }
    system::write_atomic(&notes(home), &serde_json::to_vec(&now)?, 0o600, None)
}
