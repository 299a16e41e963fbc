//! The kept state of a home, to which `rollback` returns.

use serde::{Deserialize, Serialize};

use super::manifest::Fingerprint;

/// The kept state of a home: only the latest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The format of this note, [`Kept::FORMAT`].
    pub format: u32,
    /// The name of its data directory, beside the one that is used.
    pub data: String,
    /// The time until which the home was in this state, RFC 3339, UTC.
    pub until: String,
    /// What was done to the home then: "the pack … was installed".
    pub then: String,
    /// Whether the home was a node of a pair.
    pub of_a_pair: bool,
    /// The installation that the data belong to; `None` if its files were missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

impl Kept {
    /// The format that this version reads and writes.
    pub const FORMAT: u32 = 1;
}
