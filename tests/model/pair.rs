//! The state of a pair, as far as it matters to who may serve writes.

use std::sync::Arc;

use pmp_ha::domain::journal::OpenRun;
use pmp_ha::domain::pair::{Claim, Role};
use pmp_ha::domain::turn::Phase;

use crate::plans::Made;

/// Which of the two nodes: the first one is the primary in the beginning.
pub type Side = usize;

/// The other one.
pub fn other(side: Side) -> Side {
    1 - side
}

/// A role, and by whose claim: the node's own, or the other one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Office {
    pub role: Role,
    pub claim: Claim,
    /// Whether it is being promoted.
    pub candidate: bool,
}

/// What a node says in an exchange of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Word {
    pub run: u8,
    pub phase: Phase,
    /// It was repeated so long ago that it does not count.
    pub stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    Down,
    /// Its start script asks the other node, and holds the lock there.
    Asks {
        /// What the files said when it began.
        own: Office,
    },
    /// It may start, and cannot be seen yet.
    Starts {
        /// What the files said when it began.
        own: Office,
        /// Whether the other node's server still holds the lock that tells of it.
        announced: bool,
    },
    Up,
}

/// A process of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tool {
    pub does: Does,
    /// The exchange that it takes part in.
    pub run: Option<u8>,
    /// What it last read of the other node's word: by now it may be another one.
    pub heard: Option<Word>,
    /// Whether the other node said that it is the primary now, when it was last asked.
    pub replaced: bool,
}

impl Tool {
    pub fn new(does: Does) -> Self {
        Self { does, run: None, heard: None, replaced: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Does {
    /// It shows its plan, and waits for the operator.
    Asks(Arc<Made>),
    /// It is in this step: 0 before it is recorded, then in its effects, then before it is recorded as done.
    Goes { step: usize, at: usize },
    /// It undoes the steps below this one: in the effects of that, then before it is recorded as undone.
    Undoes { below: usize, at: usize },
}

/// What the journal tells of a run that is open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Journal {
    pub made: Arc<Made>,
    pub next: usize,
    pub begun: usize,
}

impl Journal {
    pub fn progress(&self) -> OpenRun {
        OpenRun {
            at: String::new(),
            by: String::new(),
            plan: self.made.plan.clone(),
            next: self.next,
            begun: self.begun,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// What `conf/pmp-ha` says.
    pub files: Office,
    /// What the database says of itself.
    pub says: Office,
    /// The latest epoch of the other node, by its heartbeats, where the files do not know of it.
    pub heard: u64,
    pub word: Option<Word>,
    /// Whether the write guard is set, in the database.
    pub guarded: bool,
    pub server: Server,
    pub tool: Option<Tool>,
    pub journal: Option<Journal>,
}

impl Node {
    fn of(role: Role) -> Self {
        let office = Office { role, claim: Claim::FIRST, candidate: false };
        Self {
            files: office,
            says: office,
            heard: 0,
            word: None,
            guarded: role == Role::Secondary,
            server: Server::Up,
            tool: None,
            journal: None,
        }
    }

    pub fn is_up(&self) -> bool {
        self.server == Server::Up
    }

    pub fn serves_writes(&self) -> bool {
        self.is_up() && !self.guarded
    }

    fn rests(&self) -> bool {
        self.tool.is_none() && self.journal.is_none() && self.is_up()
    }
}

/// What may still go wrong, and what the operator may still begin of his own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// A process or a machine dies.
    pub crashes: u8,
    /// The network between the nodes is cut: it drops, refuses or resets everything.
    pub cuts: u8,
    /// A firewall turns away what one node sends, and the other one gets through.
    pub rejections: u8,
    /// `switchover`, on each node.
    pub switchovers: [u8; 2],
    /// `recover --promote`, by an operator who vouches for nothing, or rightly for a fence.
    pub promotions: u8,
    /// `recover --promote --fenced`, by an operator who has fenced nothing.
    pub overrides: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The version of its servers, which does not change.
    pub server: &'static str,
    pub nodes: [Node; 2],
    /// Whether what each node sends arrives at the other one.
    pub network: [bool; 2],
    pub left: Left,
    /// How many exchanges have a name.
    pub runs: u8,
    /// Somebody said that a node is fenced which is not.
    pub overridden: bool,
    /// A primary that was replaced has started, or lifted its guard, and could not ask.
    pub unasked: bool,
    /// An exchange was taken back when writes were refused already.
    pub taken_back: bool,
}

impl Pair {
    pub fn new(left: Left, server: &'static str) -> Self {
        Self {
            server,
            nodes: [Node::of(Role::Primary), Node::of(Role::Secondary)],
            network: [true; 2],
            left,
            runs: 0,
            overridden: false,
            unasked: false,
            taken_back: false,
        }
    }

    /// A heartbeat of the other node, which is the primary, is applied. Whether it tells anything new.
    pub fn beat(&mut self, side: Side) -> bool {
        let said = self.nodes[other(side)].says;
        let comes = self.reaches(side) && self.nodes[side].is_up() && said.role == Role::Primary;
        let node = &mut self.nodes[side];
        let is_new = said.claim.epoch > node.heard.max(node.files.claim.epoch);
        if comes && is_new {
            node.heard = said.claim.epoch;
        }
        comes && is_new
    }

    /// Whether `side` can ask the other node's server.
    pub fn reaches(&self, side: Side) -> bool {
        self.network[side] && self.nodes[other(side)].is_up()
    }

    /// Whether the network is whole.
    pub fn is_connected(&self) -> bool {
        self.network == [true; 2]
    }

    pub fn both_serve_writes(&self) -> bool {
        self.nodes.iter().all(Node::serves_writes)
    }

    /// Whether it is a pair again: one primary that serves, one secondary that follows, each is what it
    /// says, and no secondary knows of a later change of roles than its primary.
    pub fn is_whole(&self) -> bool {
        let [a, b] = &self.nodes;
        let (primary, secondary) = if a.files.role == Role::Primary { (a, b) } else { (b, a) };
        let agrees =
            |node: &Node| node.says == node.files && node.guarded == (node.files.role == Role::Secondary);
        self.is_connected()
            && self.nodes.iter().all(|node| node.rests() && agrees(node))
            && a.files.role != b.files.role
            && primary.files.claim.epoch >= secondary.files.claim.epoch
    }
}
