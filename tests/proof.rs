//! The judge of `scripts/chaos` is judged: a checker that cannot complain proves nothing.

#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/history.rs"]
mod history;
#[path = "chaos/random.rs"]
mod random;
#[path = "chaos/schedule.rs"]
mod schedule;

use std::time::Duration;

use checker::{Verdict, check};
use history::{Change, History, How, Kind, Micros, Node, Write};
use schedule::{Death, Fault, Fencing, Scenario, Schedule};

const SECOND: Micros = 1_000_000;

fn write(node: Node, kind: Kind, name: &str, begun: Micros) -> Write {
    Write { node, kind, name: name.into(), begun, acknowledged: begun + 1000 }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A switchover from a to b after 10 s, with a row before and one after it, and an audit row of each
/// node: everything is on both.
fn good() -> History {
    let held = names(&["old", "a-1", "b-1", "audit-a", "audit-b"]);
    History {
        first_primary: Node::A,
        semi_sync: false,
        writes: vec![
            write(Node::A, Kind::Application, "a-1", 5 * SECOND),
            write(Node::A, Kind::Audit, "audit-a", 6 * SECOND),
            write(Node::B, Kind::Audit, "audit-b", 7 * SECOND),
            write(Node::B, Kind::Application, "b-1", 12 * SECOND),
        ],
        changes: vec![Change { to: Node::B, begun: 10 * SECOND, how: How::Switchover }],
        before: names(&["old"]),
        held: [held.clone(), held],
    }
}

fn without(history: &mut History, nodes: &[Node], name: &str) {
    for node in nodes {
        history.held[usize::from(*node == Node::B)].retain(|held| held != name);
    }
}

#[track_caller]
fn complains(history: &History, texts: &[&str]) -> Verdict {
    let verdict = check(history);
    assert_eq!(verdict.complaints(), texts, "{verdict:?}");
    verdict
}

#[test]
fn a_good_round_has_no_complaint() {
    assert_eq!(complains(&good(), &[]), Verdict { acknowledged: 4, ..Verdict::default() });
}

#[test]
fn a_row_that_was_not_acknowledged_may_be_there_or_not() {
    let mut history = good();
    for held in &mut history.held {
        held.push("sent, and no answer came".into());
    }
    complains(&history, &[]);
}

#[test]
fn a_lost_row_is_told() {
    let mut history = good();
    without(&mut history, &Node::BOTH, "a-1");
    complains(&history, &["1 rows lost: a-1"]);
}

#[test]
fn a_lost_row_of_an_earlier_round_is_told() {
    let mut history = good();
    without(&mut history, &Node::BOTH, "old");
    complains(&history, &["1 rows lost: old"]);
}

#[test]
fn an_audit_row_that_never_flowed_back_is_lost() {
    let mut history = good();
    without(&mut history, &[Node::A], "audit-b");
    complains(&history, &["1 rows lost: audit-b", "1 rows on one node only: audit-b"]);
}

#[test]
fn a_doubled_row_is_told() {
    let mut history = good();
    history.held[0].push("a-1".into());
    complains(&history, &["1 rows doubled: a-1"]);
}

#[test]
fn nodes_that_differ_are_told_even_if_nobody_was_promised_the_row() {
    let mut history = good();
    history.held[1].push("stray".into());
    complains(&history, &["1 rows on one node only: stray"]);
}

#[test]
fn a_write_on_the_secondary_is_told_without_any_change_of_roles() {
    let mut history = good();
    history.changes.clear();
    history.writes.retain(|write| write.name != "b-1");
    complains(&history, &[]);
    history.writes.push(write(Node::B, Kind::Application, "b-1", 5 * SECOND));
    complains(&history, &["two writable nodes for 0.001 s"]);
}

#[test]
fn an_old_primary_that_takes_writes_after_the_new_one_is_told() {
    let mut history = good();
    for (name, begun) in [("a-2", 13 * SECOND), ("a-3", 15 * SECOND)] {
        history.writes.push(write(Node::A, Kind::Application, name, begun));
        history.held.iter_mut().for_each(|held| held.push(name.into()));
    }
    complains(&history, &["two writable nodes for 2.001 s"]);
    // What it takes before the new one's first is its good right.
    for write in &mut history.writes {
        if write.name != "b-1" {
            write.begun = write.begun.min(11 * SECOND);
        }
    }
    complains(&history, &[]);
}

#[test]
fn a_way_back_begins_anew() {
    let mut history = good();
    history.changes.push(Change { to: Node::A, begun: 20 * SECOND, how: How::Switchover });
    for (node, name, begun) in [(Node::B, "b-2", 21 * SECOND), (Node::A, "a-2", 22 * SECOND)] {
        history.writes.push(write(node, Kind::Application, name, begun));
        history.held.iter_mut().for_each(|held| held.push(name.into()));
    }
    complains(&history, &[]);
    history.writes.push(write(Node::B, Kind::Application, "b-2", 23 * SECOND));
    complains(&history, &["two writable nodes for 0.001 s"]);
}

fn failover(since: Option<Micros>, overridden: bool) -> History {
    let how = How::Failover { since, rejoined: 30 * SECOND, overridden };
    let mut history = good();
    history.changes = vec![Change { to: Node::B, begun: 10 * SECOND, how }];
    history
}

#[test]
fn a_failover_may_lose_what_it_announced_and_no_more() {
    let mut history = failover(Some(4 * SECOND), false);
    without(&mut history, &Node::BOTH, "a-1");
    without(&mut history, &Node::BOTH, "audit-a");
    let verdict = complains(&history, &[]);
    assert_eq!(verdict.announced.len(), 2);

    // Commits had waited for the secondary.
    history.semi_sync = true;
    complains(&history, &["2 rows lost: a-1, audit-a"]);
    history.changes = failover(Some(4 * SECOND), true).changes;
    complains(&history, &[]);
    // Before the moment that was named.
    let mut history = failover(Some(6 * SECOND), false);
    without(&mut history, &Node::BOTH, "a-1");
    complains(&history, &["1 rows lost: a-1"]);
    // Nothing was announced.
    let mut history = failover(None, false);
    without(&mut history, &Node::BOTH, "a-1");
    complains(&history, &["1 rows lost: a-1"]);
    // What the new primary has acknowledged.
    for name in ["b-1", "audit-b"] {
        let mut history = failover(Some(4 * SECOND), false);
        without(&mut history, &Node::BOTH, name);
        complains(&history, &[&format!("1 rows lost: {name}")]);
    }
    // What the old one has acknowledged as a secondary.
    let mut history = failover(Some(4 * SECOND), false);
    history.writes.push(write(Node::A, Kind::Audit, "audit-a-2", 31 * SECOND));
    complains(&history, &["1 rows lost: audit-a-2"]);
    // A switchover may lose nothing.
    let mut history = good();
    without(&mut history, &Node::BOTH, "a-1");
    complains(&history, &["1 rows lost: a-1"]);
}

#[test]
fn two_writable_nodes_are_told_unless_the_operator_said_so_and_counted_then() {
    let strays = |overridden| {
        let mut history = failover(Some(4 * SECOND), overridden);
        history.writes.push(write(Node::A, Kind::Application, "a-2", 13 * SECOND));
        history
    };
    let verdict = complains(&strays(false), &["two writable nodes for 0.001 s"]);
    assert_eq!(verdict.overridden, Duration::ZERO);
    let verdict = complains(&strays(true), &[]);
    assert_eq!(verdict.overridden, Duration::from_millis(1));
}

#[test]
fn a_seed_is_a_schedule_for_good() {
    assert_eq!(Schedule::of(7), Schedule::of(7));
    assert_eq!(
        Schedule::of(1).to_string(),
        "failover: the link silent and the primary fenced; started again by the product's script; \
         the other one alone for 2.15 s; after 0.53 s freeze the secondary for 3.12 s"
    );
}

#[test]
fn two_hundred_seeds_hold_every_scenario_and_every_fault() {
    let all: Vec<Schedule> = (1..=200).map(Schedule::of).collect();
    let holds = |what: &str, is: &dyn Fn(&Schedule) -> bool| {
        let count = all.iter().filter(|schedule| is(schedule)).count();
        assert!(count > 3, "{what}: {count}");
    };
    let struck = |is: fn(Fault) -> bool| move |s: &Schedule| s.strikes.iter().any(|strike| is(strike.fault));
    holds("kill", &struck(|fault| matches!(fault, Fault::Kill(_))));
    holds("kill both", &struck(|fault| fault == Fault::KillBoth));
    holds("freeze", &struck(|fault| matches!(fault, Fault::Freeze(_))));
    holds("cut", &struck(|fault| fault == Fault::Cut));
    holds("reject", &struck(|fault| fault == Fault::Reject));
    holds("silence", &struck(|fault| fault == Fault::Silence));
    holds("full disk", &struck(|fault| matches!(fault, Fault::FullDisk(_))));
    holds("kill the tool", &|s| !s.tool_kills.is_empty());
    holds("steady", &|s| matches!(s.scenario, Scenario::Steady { .. }));
    holds("undisturbed switchover", &|s| {
        s.scenario.name() == "switchover" && s.strikes.is_empty() && s.tool_kills.is_empty()
    });
    for death in [Death::Killed, Death::Frozen, Death::CutOff, Death::Rejected, Death::Silent] {
        holds("death", &|s| matches!(&s.scenario, Scenario::Failover(f) if f.death == death));
    }
    for fencing in [Fencing::Real, Fencing::Pretended] {
        holds("fencing", &|s| {
            s.scenario.needs_fencing() && matches!(&s.scenario, Scenario::Failover(f) if f.fencing == fencing)
        });
    }
    holds("rows behind", &|s| s.scenario.name() == "failover, rows behind");
}
