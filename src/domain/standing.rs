//! Decides which node may serve writes.
//!
//! Every change of roles has a number, the epoch, which both nodes keep. If both believe that they
//! are the primary, the one that the other's claim replaces is not.

use super::pair::{Claim, Membership, Role};

/// The role that a node publishes in its own database, for the other node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// Its number.
    pub node: u32,
    /// The change of roles that it knows.
    pub epoch: u64,
    /// The latest epoch of the other node that is replaced by that change.
    pub replaces: u64,
    /// Its role since then.
    pub role: Role,
    /// Whether it is a secondary that is being promoted, in that epoch.
    pub candidate: bool,
    /// The word that the product's installer wrote for a secondary, if it is known.
    pub secondary_word: Option<String>,
    /// How far it had applied the binlog of the other node when it became the primary.
    pub followed: Option<BinlogPlace>,
    /// The newest heartbeat of the other node that it had applied by then, by the other's clock,
    /// microseconds since 1970, UTC: whatever that one committed before is here.
    pub heard: Option<i64>,
}

impl NodeState {
    /// Returns the claim that it knows.
    #[must_use]
    pub fn claim(&self) -> Claim {
        Claim { epoch: self.epoch, replaces: self.replaces }
    }
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
    /// Nothing that was seen contradicts its role.
    Holds,
    /// The other node became the primary in this later epoch.
    Superseded {
        /// The epoch of the other node.
        by: u64,
    },
    /// Each became the primary without knowing that the other was.
    Disputed {
        /// The epoch of the other node.
        by: u64,
    },
}

/// Judges the node that `own` describes by the role that the other node publishes.
#[must_use]
pub fn standing(own: &Membership, peer: &NodeState) -> Standing {
    let (mine, theirs) = (own.pair.claim(), peer.claim());
    let by = theirs.epoch;
    if own.role == Role::Secondary {
        return Standing::Holds;
    }
    if peer.role == Role::Secondary && !peer.candidate {
        return if by > mine.epoch { Standing::Superseded { by } } else { Standing::Holds };
    }
    if theirs.replaces >= mine.epoch {
        Standing::Superseded { by }
    } else if mine.replaces >= by {
        Standing::Holds
    } else {
        Standing::Disputed { by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pair::Pair;

    fn judged(role: Role, own: Claim, peer: &NodeState) -> Standing {
        let example = Membership { format: 1, role, key_fingerprint: None, pair: Pair::example() };
        standing(&example.changed_to(role, own), peer)
    }

    fn peer(role: Role, claim: Claim) -> NodeState {
        NodeState {
            node: 2,
            epoch: claim.epoch,
            replaces: claim.replaces,
            role,
            candidate: false,
            secondary_word: None,
            followed: None,
            heard: None,
        }
    }

    use Role::{Primary, Secondary};

    #[test]
    fn of_two_primaries_the_replaced_one_may_not_serve() {
        let (first, taken, promoted) = (Claim::FIRST, Claim::by_hand_over(1), Claim::by_promotion(1));
        for later in [taken, promoted] {
            let by = later.epoch;
            assert_eq!(judged(Primary, first, &peer(Primary, later)), Standing::Superseded { by });
            assert_eq!(judged(Primary, later, &peer(Primary, first)), Standing::Holds);
        }
        assert_eq!(judged(Primary, first, &peer(Secondary, first)), Standing::Holds);
        assert_eq!(judged(Secondary, first, &peer(Primary, promoted)), Standing::Holds);
        // A secondary that knows of a later change: this node was told of it in a run that was cut off.
        assert_eq!(judged(Primary, first, &peer(Secondary, taken)), Standing::Superseded { by: 2 });
        let candidate = NodeState { candidate: true, ..peer(Secondary, promoted) };
        assert_eq!(judged(Primary, first, &candidate), Standing::Superseded { by: 3 });
    }

    #[test]
    fn who_does_not_know_of_the_other_is_no_more_the_primary_than_it() {
        // It handed over, the other one died before it took the role, and it was promoted again.
        let again = Claim::by_promotion(Claim::by_hand_over(1).epoch);
        // The other one came back, heard nothing of that, and was promoted.
        let promoted = Claim::by_promotion(1);
        let by = promoted.epoch;
        assert_eq!(judged(Primary, again, &peer(Primary, promoted)), Standing::Disputed { by });
        let candidate = NodeState { candidate: true, ..peer(Secondary, promoted) };
        assert_eq!(judged(Primary, again, &candidate), Standing::Disputed { by });
        let by = again.epoch;
        assert_eq!(judged(Primary, promoted, &peer(Primary, again)), Standing::Disputed { by });
        // It heard of it: then it knows who it replaces.
        let knowing = Claim::by_promotion(again.epoch);
        assert_eq!(judged(Primary, again, &peer(Primary, knowing)), Standing::Superseded { by: 6 });
        assert_eq!(judged(Primary, knowing, &peer(Primary, again)), Standing::Holds);
        // As long as it is a secondary, it does not matter what it knows.
        assert_eq!(judged(Primary, again, &peer(Secondary, Claim::FIRST)), Standing::Holds);
    }

    #[test]
    fn two_of_the_same_epoch_are_in_dispute() {
        let claim = Claim::by_promotion(1);
        assert_eq!(judged(Primary, claim, &peer(Primary, claim)), Standing::Disputed { by: 3 });
    }
}
