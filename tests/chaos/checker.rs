//! The judge of a round: values in, values out. `tests/proof.rs` feeds it histories that break each
//! promise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::history::{Change, History, How, Kind, Micros, Node, Write};

/// What a round did to the promises.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Rows that were acknowledged in this round.
    pub acknowledged: usize,
    /// Acknowledged rows that are on neither node, or on one only, and that nobody announced.
    pub lost: BTreeSet<String>,
    /// Acknowledged rows that an unplanned failover lost, as it had announced.
    pub announced: BTreeSet<String>,
    /// Rows that a node holds more than once.
    pub doubled: BTreeSet<String>,
    /// Rows that one node holds and the other does not, whether acknowledged or not.
    pub on_one_node_only: BTreeSet<String>,
    /// For how long both nodes took application writes, without anybody's word.
    pub two_writable: Duration,
    /// For how long they did after the operator had called a node fenced that was not.
    pub overridden: Duration,
}

impl Verdict {
    /// Every promise that was broken, in words.
    pub fn complaints(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut rows = |what: &str, rows: &BTreeSet<String>| {
            if !rows.is_empty() {
                let some: Vec<&str> = rows.iter().take(10).map(String::as_str).collect();
                out.push(format!("{} rows {what}: {}", rows.len(), some.join(", ")));
            }
        };
        rows("lost", &self.lost);
        rows("doubled", &self.doubled);
        rows("on one node only", &self.on_one_node_only);
        if !self.two_writable.is_zero() {
            out.push(format!("two writable nodes for {:.3} s", self.two_writable.as_secs_f64()));
        }
        out
    }
}

/// Judges a round.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict { acknowledged: history.writes.len(), ..Verdict::default() };
    let held = history.held.each_ref().map(|names| {
        let mut times = BTreeMap::<&str, usize>::new();
        for name in names {
            *times.entry(name).or_default() += 1;
        }
        times
    });
    for times in &held {
        verdict.doubled.extend(times.iter().filter(|(_, n)| **n > 1).map(|(name, _)| (*name).to_owned()));
    }
    for (here, there) in [(&held[0], &held[1]), (&held[1], &held[0])] {
        let only = here.keys().filter(|name| !there.contains_key(**name));
        verdict.on_one_node_only.extend(only.map(|name| (*name).to_owned()));
    }
    let on_both = |name: &str| held.iter().all(|times| times.contains_key(name));
    verdict.lost.extend(history.before.iter().filter(|name| !on_both(name)).cloned());
    for write in history.writes.iter().filter(|write| !on_both(&write.name)) {
        let rows = if was_announced(history, write) { &mut verdict.announced } else { &mut verdict.lost };
        rows.insert(write.name.clone());
    }
    for (era, change) in eras(history) {
        let overlap = overlap(history, &era, change);
        match change.map(|change| change.how) {
            Some(How::Failover { overridden: true, .. }) => verdict.overridden += overlap,
            None | Some(How::Switchover | How::Failover { overridden: false, .. }) => {
                verdict.two_writable += overlap;
            }
        }
    }
    verdict
}

/// A failover may lose what the primary before it acknowledged since the moment that it names, until
/// that node was a secondary. Where commits wait for the secondary there is nothing to lose, but
/// beside a primary that went on alone.
fn was_announced(history: &History, write: &Write) -> bool {
    history.changes.iter().any(|change| match change.how {
        How::Failover { since: Some(since), rejoined, overridden } => {
            (overridden || !history.semi_sync)
                && write.node == change.to.peer()
                && (since..rejoined).contains(&write.acknowledged)
        }
        How::Switchover | How::Failover { since: None, .. } => false,
    })
}

/// The time in which one node was to be the only writable one.
struct Era {
    primary: Node,
    begun: Micros,
    ended: Micros,
}

fn eras(history: &History) -> Vec<(Era, Option<&Change>)> {
    let mut out = vec![(Era { primary: history.first_primary, begun: 0, ended: Micros::MAX }, None)];
    for change in &history.changes {
        if let Some((before, _)) = out.last_mut() {
            before.ended = change.begun;
        }
        let era = Era { primary: change.to, begun: change.begun, ended: Micros::MAX };
        out.push((era, Some(change)));
    }
    out
}

/// For how long the other node took application writes after the primary of an era had taken its
/// first: from the first such write to the last. Before the first change there is no such "after".
fn overlap(history: &History, era: &Era, change: Option<&Change>) -> Duration {
    let of = |node: Node| {
        let all = history.writes.iter();
        all.filter(move |w| w.kind == Kind::Application && w.node == node)
            .filter(|w| w.begun >= era.begun && w.begun < era.ended)
    };
    let first = match change {
        Some(_) => of(era.primary).map(|w| w.acknowledged).min(),
        None => Some(0),
    };
    let Some(first) = first else { return Duration::ZERO };
    let offending = || of(era.primary.peer()).filter(|w| w.begun > first);
    let from = offending().map(|w| w.begun).min();
    let to = offending().map(|w| w.acknowledged).max();
    match from.zip(to) {
        // A single moment is one too many, and not nothing.
        Some((from, to)) => Duration::from_micros((to - from).max(1)),
        None => Duration::ZERO,
    }
}
