//! What happened in a round, as values: who wrote what and was told so when, which node became the
//! primary when, and what was there in the end.

use std::fmt;

/// Microseconds since 1970, by the one clock of the machine.
pub type Micros = u64;

/// One of the two nodes, for life: roles change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Node {
    A,
    B,
}

impl Node {
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    pub fn peer(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What only a primary takes.
    Application,
    /// What both nodes take, and what flows both ways.
    Audit,
}

/// A row that a server has acknowledged. Its name was never tried before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub node: Node,
    pub kind: Kind,
    pub name: String,
    /// Before it was sent.
    pub begun: Micros,
    /// After the answer had come.
    pub acknowledged: Micros,
}

/// How a node became the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Both nodes agreed.
    Switchover,
    /// The secondary was promoted alone.
    Failover {
        /// What the old primary acknowledged before this is safe, as was announced; without it,
        /// nothing may be lost.
        since: Option<Micros>,
        /// When the old primary was a secondary again: what it acknowledges from then on is safe.
        rejoined: Micros,
        /// Whether the operator said that the old primary is fenced, and it was not.
        overridden: bool,
    },
}

/// A node became the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub to: Node,
    /// When the first command for it began.
    pub begun: Micros,
    pub how: How,
}

/// A round.
#[derive(Debug, Clone)]
pub struct History {
    pub first_primary: Node,
    /// Whether commits waited until the other node had received them.
    pub semi_sync: bool,
    /// Sorted by nothing.
    pub writes: Vec<Write>,
    /// In the order of time.
    pub changes: Vec<Change>,
    /// The names of the rows that were there before the round.
    pub before: Vec<String>,
    /// The names of the rows that each node holds in the end.
    pub held: [Vec<String>; 2],
}
