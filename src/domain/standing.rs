//! Which node may serve writes. Every change of roles has a number, the epoch, which both nodes keep:
//! of two that believe themselves to be the primary, the one with the lower epoch is not.

use super::pair::{Membership, Role};

/// What a node says of itself in its own database, for the other one to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its number.
    pub node: u32,
    /// The change of roles that it knows of.
    pub epoch: u64,
    /// What it is since then.
    pub role: Role,
    /// The word that the product's installer wrote for a secondary, where it is known.
    pub secondary_word: Option<String>,
    /// How far it had applied the binlog of the other node when it became the primary.
    pub followed: Option<BinlogPlace>,
    /// The newest heartbeat of the other node that it had applied by then, by the other's clock,
    /// microseconds since 1970, UTC: whatever that one committed before is here.
    pub heard: Option<i64>,
}

/// A place in the binlogs of a node.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BinlogPlace {
    /// The file, without a folder.
    pub file: String,
    /// Bytes.
    pub position: u64,
}

/// Whether a node may serve writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing that was seen speaks against the role that it has.
    Holds,
    /// The other node became the primary in this later epoch.
    Superseded {
        /// The epoch of the other node.
        by: u64,
    },
    /// Both call themselves primary of the same epoch, which no change of roles can bring about.
    Disputed,
}

/// Judges the node that `own` describes by what the other one says of itself.
#[must_use]
pub fn standing(own: &Membership, peer: &NodeState) -> Standing {
    match (own.role, peer.role) {
        (Role::Primary, Role::Primary) if peer.epoch == own.pair.epoch => Standing::Disputed,
        (Role::Primary, _) if peer.epoch > own.pair.epoch => Standing::Superseded { by: peer.epoch },
        _ => Standing::Holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::Pair;

    fn judged(role: Role, epoch: u64, peer_role: Role, peer_epoch: u64) -> Standing {
        let pair = Pair { epoch, ..Pair::example() };
        let own = Membership { format: Membership::FORMAT, role, key_fingerprint: None, pair };
        let peer = NodeState {
            node: 2,
            epoch: peer_epoch,
            role: peer_role,
            secondary_word: None,
            followed: None,
            heard: None,
        };
        standing(&own, &peer)
    }

    #[test]
    fn of_two_primaries_the_older_one_may_not_serve() {
        use Role::{Primary, Secondary};
        assert_eq!(judged(Primary, 1, Secondary, 1), Standing::Holds);
        assert_eq!(judged(Primary, 1, Primary, 2), Standing::Superseded { by: 2 });
        assert_eq!(judged(Primary, 2, Primary, 1), Standing::Holds);
        assert_eq!(judged(Primary, 3, Primary, 3), Standing::Disputed);
        // A secondary that knows of a later change: this node was told of it in a run that was cut off.
        assert_eq!(judged(Primary, 1, Secondary, 2), Standing::Superseded { by: 2 });
        assert_eq!(judged(Secondary, 1, Primary, 2), Standing::Holds);
    }
}
