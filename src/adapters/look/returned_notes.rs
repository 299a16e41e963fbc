//! What this home remembers of the relay logs of a primary: how far they were read, and what was found.

use std::path::PathBuf;

use anyhow::Result;

use crate::adapters::home::Home;
use crate::adapters::system;
use crate::adapters::system::{SMALL, read_bytes};
use crate::domain::pair::{Membership, Role};
use crate::domain::returned::Returned;
use crate::domain::snapshot::{Observed, Snapshot};

/// Each node has a file of its own, so that an exchange of roles forgets nothing.
fn notes(home: &Home, history: &str) -> PathBuf {
    let node = history.rsplit(' ').next().unwrap_or_default();
    home.replication().join(format!("pmp-ha-returned-{node}.json"))
}

/// What this home remembers of the relay logs of the pair's primary.
pub(super) fn remembered_of(home: &Home, membership: &Membership) -> Returned {
    let history = format!("{} {}", membership.pair.id, membership.pair.node(Role::Primary).number);
    remembered(home, &history).unwrap_or_else(|| Returned::of(&history))
}

fn remembered(home: &Home, history: &str) -> Option<Returned> {
    let old: Returned = serde_json::from_slice(&read_bytes(&notes(home, history), SMALL).ok()?).ok()?;
    (old.history == history).then_some(old)
}

/// Remembers in `home` how far the relay logs were read.
pub fn store(home: &Home, reading: &Returned) -> Result<()> {
    system::write_atomic(&notes(home, &reading.history), &serde_json::to_vec(reading)?, 0o600, None)
}

/// Remembers what a look has read, so that the next one continues there.
pub fn remember(home: &Home, seen: &Snapshot) {
    let servers = [&seen.local, &seen.peer].into_iter().filter_map(Observed::seen);
    for writes in servers.filter_map(|server| server.returned.as_ref()?.as_ref().ok()) {
        if remembered(home, &writes.reading.history).as_ref() != Some(&writes.reading) {
            // ignored: an account that may only look reads it again the next time
            let _ = store(home, &writes.reading);
        }
    }
}
