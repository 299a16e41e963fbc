//! What this home stores about the relay logs of a primary: how far it read, and what it found.

use std::io::ErrorKind;
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

/// Returns what this home has recorded about the relay logs of the pair's primary.
#[must_use]
pub fn remembered_of(home: &Home, membership: &Membership) -> Returned {
    let history = format!("{} {}", membership.pair.id, membership.pair.node(Role::Primary).number);
    remembered(home, &history).unwrap_or_else(|| Returned::of(&history))
}

/// What is there and cannot be understood was altered: a server that executes what it was sent may write into it.
fn remembered(home: &Home, history: &str) -> Option<Returned> {
    let path = notes(home, history);
    let text = match read_bytes(&path, SMALL) {
        Ok(text) => Some(text),
        // An account that may not read it looks without it, and stores nothing.
        Err(error) if [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => {
            return None;
        }
        Err(_) => None,
    };
    match text.and_then(|text| serde_json::from_slice::<Returned>(&text).ok()) {
        Some(old) => (old.history == history).then_some(old),
        None => Some(Returned::of_altered_note(history, &path.file_name()?.to_string_lossy())),
    }
}

/// Records that pmp-ha drops the relay logs of this node, whatever its role is.
///
/// What it has not read by then stays unread.
///
/// # Errors
/// An unwritable folder: then the next look would take it for something that somebody else did.
pub fn let_go(home: &Home, membership: &Membership) -> Result<()> {
    noted(home, membership, Returned::lets_go)
}

/// Notes the same of relay logs that could not be read. When they are gone, the next look says so.
///
/// # Errors
/// An unwritable folder.
pub fn let_go_unread(home: &Home, membership: &Membership) -> Result<()> {
    noted(home, membership, Returned::lets_go_unread)
}

fn noted(home: &Home, membership: &Membership, note: impl FnOnce(&mut Returned)) -> Result<()> {
    let history = format!("{} {}", membership.pair.id, membership.this().number);
    let Some(mut reading) = remembered(home, &history) else { return Ok(()) };
    note(&mut reading);
    store(home, &reading)
}

/// Remembers in `home` how far the relay logs were read.
///
/// # Errors
/// An unwritable folder.
pub fn store(home: &Home, reading: &Returned) -> Result<()> {
    system::write_atomic(&notes(home, &reading.history), &serde_json::to_vec(reading)?, 0o600, None)
}

/// Remembers what a look has read, so that the next one continues there.
pub(super) fn remember(home: &Home, seen: &Snapshot) {
    let servers = [&seen.local, &seen.peer].into_iter().filter_map(Observed::seen);
    for writes in servers.filter_map(|server| server.returned.as_ref()?.as_ref().ok()) {
        let before = remembered(home, &writes.reading.history);
        // One that began before pmp-ha let the relay logs go knows less than the note.
        let is_late = before.as_ref().is_some_and(|before| before.turn != writes.reading.turn);
        if !is_late && before.as_ref() != Some(&writes.reading) {
            // ignored: an account that may only look reads it again the next time
            let _ = store(home, &writes.reading);
        }
    }
}
