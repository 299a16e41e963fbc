//! A change of the pair's secrets that is under way: `conf/pmp-ha/rotation.toml`.

use serde::{Deserialize, Serialize};

/// How far it is on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HowFar {
    /// On the primary: it uses the old secrets and accepts both, and has written the new ones to a file.
    Offered,
    /// On the secondary: it uses the new secrets, and accepts both.
    Taken,
}

/// A change of the pair's secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Random, the same on both nodes.
    pub id: String,
    /// How far it is on this node.
    pub stage: HowFar,
}
