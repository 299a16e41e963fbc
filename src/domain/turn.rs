//! The words with which two nodes swap their roles.
//!
//! Each node writes its turn into its own database, and reads the other's. Nothing is sent, so
//! nothing can be lost on the way, only seen late.
//!
//! The node that hands over the role decides. Until it says [`Phase::HandedOver`], it can undo
//! everything, and the other node has done nothing. After that it never serves writes again, unless
//! it is promoted. The other node lifts its write guard only after it has read that word. So both
//! never serve writes at the same time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The turn of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It does not take part, or no longer.
    Withdrawn,
    /// It has checked everything, and waits for the other one.
    Ready,
    /// It has seen that the other one is ready.
    Met,
    /// The primary refuses the application's writes.
    Refusing,
    /// The secondary has applied everything that the primary wrote before.
    CaughtUp,
    /// The primary has given up its role.
    HandedOver,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Withdrawn, Self::Ready, Self::Met, Self::Refusing, Self::CaughtUp, Self::HandedOver];

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.to_string() == word)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Withdrawn => "withdrawn",
            Self::Ready => "ready",
            Self::Met => "met",
            Self::Refusing => "refusing",
            Self::CaughtUp => "caught up",
            Self::HandedOver => "handed over",
        })
    }
}

/// The turn of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The switchover: the secondary creates it, and the primary adopts it.
    pub run: String,
    /// Its text.
    pub phase: Phase,
    /// A heartbeat that the primary wrote after its last write, in microseconds since 1970, UTC.
    pub mark: i64,
    /// How long ago the node wrote or repeated it, in microseconds.
    pub age: i64,
    /// For how long it has refused writes, microseconds.
    pub refusing_for: i64,
}

impl Turn {
    /// A word that was not repeated for this time does not count, in microseconds.
    ///
    /// A node that is there repeats it each second, and needs some more while it asks the other in vain.
    pub const STALE: i64 = 6_000_000;

    /// After this time without a repetition, the node does not come back, in microseconds.
    pub const GONE: i64 = 15_000_000;

    /// Returns whether the node is still there, and means this switchover.
    #[must_use]
    pub fn is_of(&self, run: &str) -> bool {
        self.run == run && self.age < Self::STALE
    }

    /// Returns whether the node has left this switchover without a last word.
    #[must_use]
    pub fn is_gone(&self, run: &str) -> bool {
        self.run == run && self.phase < Phase::HandedOver && self.age >= Self::GONE
    }
}

/// What a node that waits for the other node's word must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// It has come.
    Over,
    /// It may come.
    Longer,
    /// It will not come: the other node has withdrawn.
    InVain,
}

/// Judges a wait for `wanted` in the exchange `run`.
#[must_use]
pub fn wait_for(wanted: Phase, run: &str, turn: Option<&Turn>) -> Wait {
    match turn {
        // What was handed over stays so, whoever has gone since.
        Some(turn) if turn.run == run && turn.phase == Phase::HandedOver && wanted == Phase::HandedOver => {
            Wait::Over
        }
        Some(turn) if turn.run == run && turn.phase == Phase::Withdrawn => Wait::InVain,
        Some(turn) if turn.is_of(run) && turn.phase >= wanted => Wait::Over,
        _ => Wait::Longer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(phase: Phase, age: i64) -> Turn {
        Turn { run: "r".into(), phase, mark: 0, age, refusing_for: 0 }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for phase in Phase::ALL {
            assert_eq!(Phase::parse(&phase.to_string()), Some(phase));
        }
        assert_eq!(Phase::parse("taken"), None);
    }

    #[test]
    fn a_word_counts_in_its_own_exchange_and_while_who_said_it_is_there() {
        let wait = |turn: &Turn| wait_for(Phase::CaughtUp, "r", Some(turn));
        assert_eq!(wait(&turn(Phase::CaughtUp, 0)), Wait::Over);
        assert_eq!(wait(&turn(Phase::CaughtUp, Turn::STALE)), Wait::Longer);
        assert_eq!(wait(&turn(Phase::Met, 0)), Wait::Longer);
        assert_eq!(wait(&turn(Phase::Withdrawn, 0)), Wait::InVain);
        assert_eq!(wait_for(Phase::CaughtUp, "other", Some(&turn(Phase::CaughtUp, 0))), Wait::Longer);
        assert_eq!(wait_for(Phase::CaughtUp, "other", Some(&turn(Phase::Withdrawn, 0))), Wait::Longer);
        assert_eq!(wait_for(Phase::Ready, "r", None), Wait::Longer);
    }

    #[test]
    fn whoever_does_not_repeat_a_word_is_gone_after_a_while() {
        assert!(!turn(Phase::Refusing, Turn::STALE).is_gone("r"));
        assert!(turn(Phase::Refusing, Turn::GONE).is_gone("r"));
        assert!(!turn(Phase::Refusing, Turn::GONE).is_gone("other"));
        assert!(!turn(Phase::HandedOver, Turn::GONE).is_gone("r"));
    }

    #[test]
    fn what_was_handed_over_stays_so() {
        let old = turn(Phase::HandedOver, 10 * Turn::STALE);
        assert_eq!(wait_for(Phase::HandedOver, "r", Some(&old)), Wait::Over);
    }
}
