//! The comparison of the data of both nodes, as values: queries, pieces, and results.
//!
//! A piece is compared by a statement that is replicated: each node computes the figures on its
//! own data, at one and the same point of replication, while the application goes on.

pub mod crc;
pub mod report;
pub mod state;

use std::time::Duration;

use super::pair::{Pair, Role};
use super::refusal::Refusal;
use super::snapshot::{Receiver, Snapshot};

/// Rows of the first piece of a table.
pub const FIRST_SIZE: u64 = 1000;

/// What is reported is narrowed down to so many rows.
pub const LEAF_ROWS: u64 = 50;

/// A table that differs in more ranges than this is not narrowed down further.
///
/// Each step costs a statement, and a repair of so many ranges needs no finer list.
pub const MOST_RANGES: usize = 200;

const SMALLEST: u64 = 50;
const LARGEST: u64 = 1_000_000;

/// The statement locks what it reads against writers until it ends. It is to take less than 0.3 s.
const TARGET: Duration = Duration::from_millis(150);

/// How many rows to take next, after `size` rows took so long.
#[must_use]
pub fn next_size(size: u64, took: Duration) -> u64 {
    let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let target = u64::try_from(TARGET.as_micros()).unwrap_or(u64::MAX);
    let wanted = u128::from(size) * u128::from(target) / u128::from(took);
    // Shrinks at once, and grows with care: the next rows may be larger ones.
    u64::try_from(wanted).unwrap_or(LARGEST).min(size.saturating_mul(2)).clamp(SMALLEST, LARGEST)
}

/// Why the data cannot be compared now.
#[must_use]
pub fn refusals(snapshot: &Snapshot) -> Vec<Refusal> {
    let what = || "the data of the two nodes cannot be compared now".to_owned();
    let mut out = Vec::new();
    for role in [snapshot.membership.role, Pair::peer_of(snapshot.membership.role)] {
        let node = snapshot.membership.pair.node(role);
        let server = match snapshot.observed(role) {
            super::snapshot::Observed::Seen(server) => server,
            super::snapshot::Observed::NotSeen(blind) => {
                out.push(Refusal {
                    code: "pair-not-alive",
                    what: what(),
                    because: format!(
                        "the database of the {role} {node} was not reachable: {}",
                        blind.evidence
                    ),
                    hint:
                        "Both databases must run and reach each other: `pmp-ha start`, then `pmp-ha verify`."
                            .into(),
                });
                continue;
            }
        };
        let runs = server
            .replica
            .as_ref()
            .is_some_and(|replica| replica.receiver == Receiver::Connected && replica.applier_runs);
        if !runs {
            let lost = match role {
                Role::Primary => "audit rows do not flow back to the primary",
                Role::Secondary => "the secondary does not replicate",
            };
            out.push(Refusal {
                code: "pair-not-alive",
                what: what(),
                because: lost.into(),
                hint: "`pmp-ha verify` shows what stopped it.".into(),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_follows_the_time_it_took() {
        assert_eq!(next_size(1000, Duration::from_millis(150)), 1000);
        assert_eq!(next_size(1000, Duration::from_millis(1)), 2000);
        assert_eq!(next_size(1000, Duration::from_millis(1500)), 100);
        assert_eq!(next_size(1000, Duration::from_secs(600)), 50);
        assert_eq!(next_size(LARGEST, Duration::ZERO), LARGEST);
    }
}
