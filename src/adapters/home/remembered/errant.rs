//! How far the secondary's binlog was searched for errant writes, and what was found.

use std::path::PathBuf;

use crate::adapters::home::Home;
use crate::adapters::system;
use crate::domain::errant::Reading;
use crate::domain::snapshot::{Observed, Snapshot};

fn notes(home: &Home) -> PathBuf {
    home.replication().join("pmp-ha-errant.json")
}

/// Returns the last reading that was remembered.
#[must_use]
pub fn remembered(home: &Home) -> Option<Reading> {
    serde_json::from_slice(&system::read_bytes(&notes(home), system::LARGE).ok()?).ok()
}

/// Remembers in `home` how far a look has read.
pub(super) fn remember(home: &Home, seen: &Snapshot) {
    let servers = [&seen.local, &seen.peer].into_iter().filter_map(Observed::seen);
    for writes in servers.filter_map(|server| server.errant.as_ref()?.as_ref().ok()) {
        if remembered(home).as_ref() == Some(&writes.reading) {
            continue;
        }
        let Ok(text) = serde_json::to_vec(&writes.reading) else { continue };
        // ignored: an account that may only look reads it again the next time
        let _ = system::write_atomic(&notes(home), &text, 0o600, None);
    }
}
