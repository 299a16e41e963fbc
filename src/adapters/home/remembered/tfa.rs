//! The hash of the TFA setting as it was when the database here was last started.

use std::path::PathBuf;

use anyhow::Result;

use crate::adapters::home::Home;
use crate::adapters::system;
use crate::domain::snapshot::{Tfa, TfaNote};

fn notes(home: &Home) -> PathBuf {
    home.replication().join("pmp-ha-tfa.json")
}

/// Returns what was noted last. It may be of an earlier start of the server.
#[must_use]
pub fn noted(home: &Home) -> Option<TfaNote> {
    let noted = system::read_bytes(&notes(home), system::SMALL).ok()?;
    serde_json::from_slice(&noted).ok()
}

/// Remembers in `home` what a look has found, if nothing was noted since the last start.
///
/// # Errors
/// An unwritable folder.
pub fn remember(home: &Home, seen: &Tfa) -> Result<()> {
    let Tfa::NotNoted(note) = seen else { return Ok(()) };
    system::write_atomic(&notes(home), &serde_json::to_vec(note)?, 0o600, None)
}
