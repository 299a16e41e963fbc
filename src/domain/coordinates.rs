//! The place in the source's history where a copy was made, as each server counts it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The point from which a replica made from the copy must replicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Coordinates {
    /// A binlog file and the position behind its last event.
    FilePosition {
        /// The file name, without a folder.
        file: String,
        /// Bytes.
        position: u64,
    },
    /// MySQL's `gtid_executed`.
    Gtid {
        /// A GTID set, `uuid:1-5,…`; never empty in a pack.
        executed: String,
    },
    /// MariaDB's position, one `domain-server-sequence` for each domain.
    MariaDbGtid {
        /// `1-1-42[,…]`.
        position: String,
    },
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FilePosition { file, position } => write!(f, "{file}:{position}"),
            Self::Gtid { executed } => f.write_str(executed),
            Self::MariaDbGtid { position } => f.write_str(position),
        }
    }
}

/// A parsed position of `MariaDB`: the last sequence number of each domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MariaDbPosition(BTreeMap<u32, u64>);

impl MariaDbPosition {
    /// Parses `1-1-42,2-2-7`. Ignores parts of another form.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(text.split(',').filter_map(gtid).collect())
    }

    /// Returns whether the transaction of an event (`BEGIN GTID 1-1-42`) is after this position.
    ///
    /// Returns false for an event it does not understand.
    #[must_use]
    pub fn covers(&self, info: &str) -> bool {
        let named = info.split_whitespace().find_map(gtid);
        named.is_some_and(|(domain, sequence)| self.0.get(&domain).is_some_and(|last| sequence <= *last))
    }

    /// Returns whether every transaction of a position (`1-1-42,2-2-7`) is after this one.
    #[must_use]
    pub fn covers_all(&self, position: &str) -> bool {
        position.split(',').all(|gtid| self.covers(gtid))
    }
}

fn gtid(text: &str) -> Option<(u32, u64)> {
    let mut parts = text.trim().split('-');
    let (domain, _server, sequence) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some((domain.parse().ok()?, sequence.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_covers_what_was_applied_in_each_domain() {
        let position = MariaDbPosition::parse("1-1-42,2-2-7");
        assert!(position.covers("BEGIN GTID 1-1-42") && position.covers("GTID 2-9-3"));
        assert!(
            !position.covers("BEGIN GTID 1-1-43")
                && !position.covers("GTID 3-1-1")
                && !position.covers("BEGIN")
        );
        assert!(!MariaDbPosition::parse("").covers("GTID 1-1-1"));
        assert!(position.covers_all("1-1-42,2-2-7") && !position.covers_all("1-1-42,2-2-8"));
    }
}
