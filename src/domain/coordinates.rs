//! Where in the source's history a copy was made, in the way each server counts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The point from which a replica made from the copy has to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Coordinates {
    /// A binlog file and the byte behind the last event in it.
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
    /// MariaDB's position, one `domain-server-sequence` a domain.
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
