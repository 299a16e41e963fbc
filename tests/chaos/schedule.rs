//! From a seed to what is to happen in a round. The same seed is the same schedule, for good.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// A node by what it is when the round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Primary,
    Secondary,
}

/// What strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of a server.
    Kill(Side),
    /// `kill -9` of both at once.
    KillBoth,
    /// A server that does nothing and has not ended.
    Freeze(Side),
    /// The network ends every connection and lets nobody in.
    Cut,
    /// The network resets every connection and refuses new ones.
    Reject,
    /// The network keeps every connection and passes nothing on.
    Silence,
    /// No room on the disk of a node.
    FullDisk(Side),
}

/// A fault, when it strikes and for how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// Counted from the beginning of the load, or of the change of roles where there is one.
    pub at: Duration,
    pub fault: Fault,
    pub lasts: Duration,
}

/// What becomes of the primary before a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Its server is killed, and its machine refuses connections.
    Killed,
    /// Its server is frozen.
    Frozen,
    /// The network between the nodes is cut.
    CutOff,
    /// A firewall between the nodes refuses every connection: the primary lives, and looks as if it had died.
    Rejected,
    /// The network between the nodes swallows everything.
    Silent,
}

/// What the operator does about a primary that may be alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// Its server is killed before the word is given.
    Real,
    /// The word is given, and is not true.
    Pretended,
}

/// How the old primary comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Return {
    /// Before anybody promotes the other one.
    BeforeThePromotion,
    /// Somebody starts it with the tool.
    Start,
    /// Somebody starts it with the product's own script.
    Script,
    /// It stays down until it is rejoined.
    RejoinOnly,
}

/// A failover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    pub death: Death,
    /// For how long the link is cut before, so that rows cannot reach the secondary.
    pub behind: Option<Duration>,
    pub fencing: Fencing,
    pub returns: Return,
    /// For how long the new primary is alone.
    pub alone: Duration,
}

/// What a round is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scenario {
    /// Faults, and roles as they are; after a while, an errand.
    Steady { errand: Errand, after: Duration },
    /// A planned change, and how much later the second node's command begins.
    Switchover { first: Side, apart: Duration },
    /// An unplanned change, and the return of the old primary.
    Failover(Failover),
}

impl Scenario {
    pub const NAMES: [&str; 6] = [
        "no role change",
        "switchover",
        "failover",
        "failover, rows behind",
        "failover, overridden",
        "primary back in time",
    ];

    /// The name in the table.
    pub fn name(&self) -> &'static str {
        let [steady, switchover, failover, behind, overridden, back_in_time] = Self::NAMES;
        match self {
            Self::Steady { .. } => steady,
            Self::Switchover { .. } => switchover,
            Self::Failover(Failover { returns: Return::BeforeThePromotion, .. }) => back_in_time,
            Self::Failover(Failover { fencing: Fencing::Pretended, .. }) if self.needs_fencing() => {
                overridden
            }
            Self::Failover(Failover { behind: Some(_), .. }) => behind,
            Self::Failover(_) => failover,
        }
    }

    /// Whether the primary is alive when the other node is promoted, unless somebody fences it.
    pub fn needs_fencing(&self) -> bool {
        matches!(self, Self::Failover(failover) if failover.death != Death::Killed)
    }
}

/// What the operator does beside the faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// `repair` on the secondary.
    Repair,
    /// `reconfigure` on a node.
    Reconfigure(Side),
    /// `verify --deep` on the primary.
    Compare,
}

/// What is to happen in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    pub scenario: Scenario,
    pub strikes: Vec<Strike>,
    /// After which times the tool itself is killed, one of its runs after the other.
    pub tool_kills: Vec<Duration>,
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let random = &mut Random::of(seed);
        let scenario = match random.below(100) {
            0..25 => steady(random),
            25..55 => Scenario::Switchover {
                first: random.one_of(&[Side::Primary, Side::Secondary]),
                apart: random.millis(0, 1500),
            },
            _ => Scenario::Failover(failover(random)),
        };
        let steady = matches!(scenario, Scenario::Steady { .. });
        let strikes = match random.below(100) {
            // A change of roles that nothing disturbs must work, too.
            0..40 if !steady => 0,
            0..75 => 1,
            75..93 => 2,
            _ => 3,
        };
        let mut strikes: Vec<Strike> = (0..strikes).map(|_| strike(random, &scenario)).collect();
        strikes.sort_by_key(|strike| strike.at);
        let kills = match random.below(100) {
            0..55 => 0,
            55..85 => 1,
            _ => 2,
        };
        // As long as the commands take, about: an errand is done sooner than a change of roles.
        let latest = if steady { 1000 } else { 4000 };
        let tool_kills = (0..kills).map(|_| random.millis(5, latest)).collect();
        let mut schedule = Self { seed, scenario, strikes, tool_kills };
        // Drawn last: a seed from before there were firewalls means the same, but for its cuts.
        if random.chance(50) {
            schedule.cuts_reject();
        }
        schedule
    }

    fn cuts_reject(&mut self) {
        for strike in &mut self.strikes {
            if strike.fault == Fault::Cut {
                strike.fault = Fault::Reject;
            }
        }
        if let Scenario::Failover(Failover { death, .. }) = &mut self.scenario
            && *death == Death::CutOff
        {
            *death = Death::Rejected;
        }
    }
}

fn steady(random: &mut Random) -> Scenario {
    let errand = match random.below(3) {
        0 => Errand::Repair,
        1 => Errand::Reconfigure(random.one_of(&[Side::Primary, Side::Secondary])),
        _ => Errand::Compare,
    };
    Scenario::Steady { errand, after: random.millis(0, 5000) }
}

fn failover(random: &mut Random) -> Failover {
    let death = random.one_of(&[Death::Killed, Death::Killed, Death::Frozen, Death::CutOff, Death::Silent]);
    Failover {
        death,
        behind: random.chance(40).then(|| random.millis(300, 2500)),
        fencing: if random.chance(75) { Fencing::Real } else { Fencing::Pretended },
        returns: match random.below(100) {
            0..15 => Return::BeforeThePromotion,
            15..45 => Return::Start,
            45..65 => Return::Script,
            _ => Return::RejoinOnly,
        },
        alone: random.millis(100, 3000),
    }
}

fn strike(random: &mut Random, scenario: &Scenario) -> Strike {
    let at = random.millis(0, 5000);
    let lasts = random.millis(300, 6000);
    let both = [Side::Primary, Side::Secondary];
    // In a failover the primary has its own fate, and so has the network.
    if matches!(scenario, Scenario::Failover(_)) {
        let fault = match random.below(100) {
            0..45 => Fault::Kill(Side::Secondary),
            45..80 => Fault::Freeze(Side::Secondary),
            _ => Fault::FullDisk(Side::Secondary),
        };
        return Strike { at, fault, lasts };
    }
    let fault = match random.below(100) {
        0..28 => Fault::Kill(random.one_of(&both)),
        28..36 => Fault::KillBoth,
        36..56 => Fault::Freeze(random.one_of(&both)),
        56..74 => Fault::Cut,
        74..92 => Fault::Silence,
        _ => Fault::FullDisk(random.one_of(&both)),
    };
    Strike { at, fault, lasts }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "the primary",
            Self::Secondary => "the secondary",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(side) => write!(f, "kill {side}"),
            Self::KillBoth => f.write_str("kill both"),
            Self::Freeze(side) => write!(f, "freeze {side}"),
            Self::Cut => f.write_str("cut the link"),
            Self::Reject => f.write_str("reject on the link"),
            Self::Silence => f.write_str("silence the link"),
            Self::FullDisk(side) => write!(f, "fill the disk of {side}"),
        }
    }
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repair => f.write_str("repair"),
            Self::Reconfigure(side) => write!(f, "reconfigure {side}"),
            Self::Compare => f.write_str("verify --deep"),
        }
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(behind) = self.behind {
            write!(f, "the link cut for {} before; ", seconds(behind))?;
        }
        f.write_str(match self.death {
            Death::Killed => "the primary killed",
            Death::Frozen => "the primary frozen",
            Death::CutOff => "the link cut",
            Death::Rejected => "the link rejecting",
            Death::Silent => "the link silent",
        })?;
        f.write_str(match (self.death, self.fencing) {
            (Death::Killed, _) => "",
            (_, Fencing::Real) => " and the primary fenced",
            (_, Fencing::Pretended) => " and the primary said to be fenced",
        })?;
        f.write_str(match self.returns {
            Return::BeforeThePromotion => "; it comes back before the promotion",
            Return::Start => "; started again",
            Return::Script => "; started again by the product's script",
            Return::RejoinOnly => "",
        })?;
        write!(f, "; the other one alone for {}", seconds(self.alone))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scenario {
            Scenario::Steady { errand, after } => {
                write!(f, "no role change, {errand} after {}", seconds(*after))?;
            }
            Scenario::Switchover { first, apart } => {
                write!(f, "switchover, {first} {} first", seconds(*apart))?;
            }
            Scenario::Failover(failover) => write!(f, "failover: {failover}")?,
        }
        for Strike { at, fault, lasts } in &self.strikes {
            write!(f, "; after {} {fault} for {}", seconds(*at), seconds(*lasts))?;
        }
        for after in &self.tool_kills {
            write!(f, "; kill the tool after {}", seconds(*after))?;
        }
        Ok(())
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
